"""Lesson 6, softmax and cross-entropy: a logsumexp that never overflows, the loss, its gradient, and the metrics."""
from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from tinynet import metrics
from tinynet.learn import close, draw, forward, reference, require, rule, slope
from tinynet.ops._primitive import PRIMITIVES

LARGEST = "Subtract the largest score of each row before exp, and add it again after log."
FAR = draw.arrays((3, 3), -10_000, 10_000, 1000)


@reference("06.logsumexp")
def logsumexp(s):
    """m + log Σ exp(s - m) over each row, m being its largest."""
    m = s.max(1, keepdims=True)
    return m[:, 0] + np.log(np.exp(s - m).sum(1))


@logsumexp.property("of the scores 0 and 0 it is log 2")
def _(mine):
    close(mine(np.zeros((1, 2))), [np.log(2)], "exp of each, the sum over the row, the log of that: one number a row.")


logsumexp.agrees("each row has its own", s="n k", hint="A number for each row: sum over axis 1.")


@logsumexp.property("it is right for scores of 10000")
def _(mine):
    close(mine(np.array([[10_000.0, 10_000.0]])), [10_000 + np.log(2)],
          f"exp(10000) is too large for a computer. {LARGEST}")


@logsumexp.property("it is right for scores of -10000")
def _(mine):
    close(mine(np.array([[-10_000.0, -10_000.0]])), [-10_000 + np.log(2)],
          f"exp(-10000) is 0, and log(0) is -inf. {LARGEST}")


logsumexp.agrees("it is right where rows lie far apart", s=FAR, hint=LARGEST)


# ---- the loss
@reference("06.cross_entropy")
def cross_entropy(scores, labels):
    """The mean over the rows of logsumexp(scores) - scores[label]."""
    return np.mean(logsumexp(scores) - scores[np.arange(len(labels)), labels])


@cross_entropy.property("equal scores of k classes cost log k", k=st.integers(2, 5))
def _(mine, k):
    close(mine(np.ones((3, k)), np.array([0, 1, 1])), np.log(k), "Each share is 1/k, and -log(1/k) is log k. One "
          "number: the mean over the rows.")


@cross_entropy.property("sure and wrong: the scores 10000 and 0, and the second is right")
def _(mine):
    close(mine(np.array([[10_000.0, 0.0]]), np.array([1])), 10_000.0, "p is 0 for the computer, and log 0 is -inf. Use "
          "logsumexp(scores) - the right score: there is no p in it.")


cross_entropy.agrees("it is the mean of -log p[label]", scores="n k", labels="n of k",
                     hint="From each row the score of its own label: scores[np.arange(n), labels].")


# ---- its gradient
def of_engine(mine: Any) -> list[Any]:
    """tinynet's gradient of the mean loss: what it knows is p, whose log will do as scores."""
    own = PRIMITIVES["label_loss_grad"].forward

    def gradient(g: Any, p: Any, labels: Any) -> Any:
        if p.ndim != 2:
            return own(np, g, p, labels)
        return (g * mine(np.log(np.maximum(p, np.finfo(p.dtype).tiny)), labels)).astype(p.dtype)

    return [forward("label_loss_grad", gradient)]


@reference("06.cross_entropy_gradient", engine=of_engine)
def cross_entropy_gradient(scores, labels):
    """(softmax(scores) - 1 at the labels) / n."""
    p = np.exp(scores - logsumexp(scores)[:, None])
    p[np.arange(len(labels)), labels] -= 1
    return p / len(labels)


@cross_entropy_gradient.property("two equal scores, the first is right: it should rise, the other fall")
def _(mine):
    close(mine(np.zeros((1, 2)), np.array([0])), np.array([[-0.5, 0.5]]), "p minus 1 at the label, p elsewhere. A "
          "minus sign means: a higher score, a lower loss.")


@cross_entropy_gradient.property("each row adds up to 0", scores="n k", labels="n of k")
def _(mine, scores, labels):
    got = np.asarray(mine(scores, labels))
    require(got.shape == scores.shape, f"the shape should be {scores.shape}, not {got.shape}",
            "A slope for each score.")
    close(got.sum(1), np.zeros(len(scores)), "The shares of a row add up to 1, and so does what is true. Is p the "
          "softmax of each row by itself?", atol=1e-9)


@cross_entropy_gradient.property("a measured slope agrees", examples=10, scores="n k", labels="n of k")
def _(mine, scores, labels):
    slope(rule(lambda s: cross_entropy(s, labels), lambda g, s: g * mine(s, labels)), [scores],
          "The loss is the mean over n rows: a row's slope is 1/n of its own.")


@cross_entropy_gradient.property("it is right for scores of 10000")
def _(mine):
    close(mine(np.array([[10_000.0, 0.0]]), np.array([1])), np.array([[1.0, -1.0]]), "Go by log p = scores - "
          "logsumexp: it is never above 0.")


# ---- counting
@reference("06.precision_recall_f1")
def precision_recall_f1(true, predicted, positive):
    """Hits / called, hits / there, and 2 precision recall / (precision + recall)."""
    hits = np.sum((predicted == positive) & (true == positive))
    called, there = np.sum(predicted == positive), np.sum(true == positive)
    return (hits / called if called else 0.0, hits / there if there else 0.0,
            2 * hits / (called + there) if hits else 0.0)


@precision_recall_f1.property("three are positive; two were called so, one of them rightly: 1/2, 1/3 and 0.4")
def _(mine):
    close(mine(np.array([1, 1, 1, 0, 0]), np.array([1, 0, 0, 1, 0]), 1), (1 / 2, 1 / 3, 0.4), "Precision: of those "
          "that were called positive. Recall: of those that are. F1: twice their product over their sum.")


@precision_recall_f1.property("nothing was called positive, or nothing is: no division by 0", called=st.booleans())
def _(mine, called):
    there, none = np.array([1, 1, 0]), np.zeros(3, int)
    got = mine(none, there, 1) if called else mine(there, none, 1)
    close(got, (0.0, 0.0, 0.0), "Look at the number you divide by first; where it is 0, the answer is 0.")


@precision_recall_f1.property("it is right for any labels", true="n of 3", predicted="n of 3",
                              positive=st.integers(0, 2))
def _(mine, true, predicted, positive):
    options: dict[str, Any] = {"labels": [positive], "average": "macro", "zero_division": 0}
    want = tuple(f(true, predicted, **options) for f in (metrics.precision, metrics.recall, metrics.f1_score))
    close(mine(true, predicted, positive), want, "Only `positive` counts as positive: 0 is a label like any other.")
