"""Lesson 14, smaller networks: pruning, eight bits, the loss of distillation, and timing."""
from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
from hypothesis import strategies as st

import tinynet as tn
from tinynet.learn import close, draw, reference, require
from tinynet.learn.compare import values
from tinynet.nn import functional as F

TEMPERATURES = st.sampled_from([1.0, 2.0, 4.0])


# ---- pruning
@reference("14.keep", tensors=True)
def keep(w, share):
    """False at the round(share · n) weights of least magnitude, True at the others."""
    order = w.abs().flatten().argsort()
    mask = tn.ones(w.numel(), dtype=tn.bool)
    mask[order[:round(share * w.numel())]] = False
    return mask.reshape(w.shape)


SHARES = st.sampled_from([0.0, 0.25, 0.5, 0.75, 0.9, 1.0])


def table(got: Any, w: Any) -> np.ndarray:
    """What came, as an array of bools."""
    a = values(got)
    require(a.shape == tuple(w.shape), f"the shape should be {tuple(w.shape)}, as w's, not {a.shape}")
    require(a.dtype == bool, f"True and False are expected, not {a.dtype}", "A tensor of dtype tn.bool.")
    return a


@keep.property("exactly the asked number of weights goes", w="n k", share=SHARES)
def _(mine, w, share):
    gone = int((~table(mine(w, share), w)).sum())
    close(gone, round(share * w.numel()), "A comparison with a threshold drops too many or too few where weights are "
          "equal. Sort: argsort says which are the first so many. True is for those that stay.")


@keep.property("what goes is nearest to zero", w="n k", share=SHARES)
def _(mine, w, share):
    mask, size = table(mine(w, share), w), w.abs().numpy()
    if mask.any() and not mask.all():
        require(size[~mask].max() <= size[mask].min(), f"a weight of magnitude {size[~mask].max():g} goes, and one of "
                f"{size[mask].min():g} stays", "A weight of -3 matters as much as one of 3: compare magnitudes, "
                "w.abs(), and drop the smallest.")


# ---- eight bits
@reference("14.to_int8", tensors=True)
def to_int8(w):
    """(q, scale): q = round(w / scale) in int8, scale = max |row| / 127, of shape (rows, 1)."""
    peak = w.abs().amax(1, keepdim=True)
    scale = tn.where(peak > 0, peak / 127, 1.0)
    return (w / scale).round().to(tn.int8), scale


def two(got: Any, w: Any) -> tuple[np.ndarray, np.ndarray]:
    """q and scale as arrays."""
    require(isinstance(got, tuple | list) and len(got) == 2, "two tensors are expected: q and scale")
    q, scale = map(values, got)
    require(q.dtype == np.int8, f"q should be int8, not {q.dtype}", ".to(tn.int8), after rounding.")
    require(q.shape == tuple(w.shape), f"q should have w's shape {tuple(w.shape)}, not {q.shape}")
    require(scale.shape == (len(w), 1), f"scale should have the shape ({len(w)}, 1), not {scale.shape}", "One scale "
            "for each row of w: amax(1, keepdim=True).")
    return q.astype(float), scale.astype(float)


@to_int8.property("the largest of each row becomes 127 or -127", w="n k")
def _(mine, w):
    q, _ = two(mine(w), w)
    want = np.where(np.abs(w.numpy()).max(1) > 0, 127.0, 0.0)
    close(np.abs(q).max(1), want, "The scale of a row is its largest magnitude divided by 127. (128 does not fit into "
          "eight bits: it comes out as -128.)")


@to_int8.property("a row of zeros stays zeros, with a scale that is a number", w="n k")
def _(mine, w):
    w = w.clone()
    w[0] = 0.0
    q, scale = two(mine(w), w)
    require(np.isfinite(scale).all() and (scale > 0).all(), "a scale is 0, nan or infinite", "Where all of a row is 0 "
            "its largest magnitude is 0, and w / 0 is no number: any other scale will do there, say 1.", got=scale)
    close(q[0], np.zeros(w.shape[1]), "All of a row of zeros is 0.")


@to_int8.property("q · scale is w, up to half a step", w="n k")
def _(mine, w):
    q, scale = two(mine(w), w)
    apart = np.abs(q * scale - w.numpy()) / scale
    require(apart.max() <= 0.501, f"a weight is {apart.max():.2f} steps away from q · scale", "Round to the nearest, "
            "with round(): the conversion to int8 cuts off what is behind the point.")


# ---- distillation
@reference("14.distillation_loss", tensors=True)
def distillation_loss(student, teacher, labels, temperature, alpha):
    """alpha T² KL(softmax(teacher / T), softmax(student / T)) + (1 - alpha) cross_entropy(student, labels)."""
    log_q = F.log_softmax(student / temperature, -1)
    log_p = F.log_softmax(teacher.detach() / temperature, -1)
    apart = (log_p.exp() * (log_p - log_q)).sum(-1).mean()
    return alpha * temperature**2 * apart + (1 - alpha) * F.cross_entropy(student, labels)


@distillation_loss.property("with alpha = 0 it is the cross-entropy", examples=8, s="n 3", t="n 3", labels="n of 3")
def _(mine, s, t, labels):
    close(mine(s, t, labels, 4.0, 0.0), F.cross_entropy(s, labels), "With alpha = 0 the teacher does not count: the "
          "ordinary cross-entropy is left, of the student's scores as they are, without temperature.")


@distillation_loss.property("a student that agrees with the teacher has nothing to learn from it", examples=8,
                            t="n 3", labels="n of 3", temperature=TEMPERATURES)
def _(mine, t, labels, temperature):
    close(mine(t, t, labels, temperature, 1.0), tn.tensor(0.0, dtype=t.dtype), "The sum is over p (log p - log q): it "
          "is 0 where p and q are the same.", atol=1e-9)


@distillation_loss.property("it is how far q is from p, times T², the mean over the images", examples=10,
                            s="n 3", t="n 3", labels="n of 3", temperature=TEMPERATURES)
def _(mine, s, t, labels, temperature):
    close(mine(s, t, labels, temperature, 1.0), distillation_loss(s, t, labels, temperature, 1.0), "Both scores are "
          "divided by T; p is the teacher's. Add up over the classes, take the mean over the images, and multiply "
          "by T².")


@distillation_loss.property("the teacher is not taught", s="n 3", t="n 3", labels="n of 3", examples=5)
def _(mine, s, t, labels):
    t.requires_grad_()
    s.requires_grad_()
    mine(s, t, labels, 2.0, 0.5).backward()
    require(t.grad is None or not t.grad.any(), "a gradient goes to the teacher's scores", "teacher.detach() has the "
            "same numbers, and lets no gradient through.")


distillation_loss.agrees("both parts count, alpha and 1 - alpha", student="n 3", teacher="n 3", labels="n of 3",
                         temperature=TEMPERATURES, alpha=st.sampled_from([0.25, 0.5, 0.9]), examples=10,
                         hint="alpha goes with the teacher, 1 - alpha with the labels.")


# ---- time
@reference("14.latency")
def latency(run, clock, warmup, times):
    """The median seconds of `times` runs, after `warmup` that do not count."""
    for _ in range(warmup):
        run()
    seconds = []
    for _ in range(times):
        start = clock()
        run()
        seconds.append(clock() - start)
    return median(seconds)


class Watch:
    """A clock that goes on by what each run is said to take."""

    def __init__(self, takes: list[float]) -> None:
        self.takes, self.now, self.runs = takes, 0.0, 0

    def run(self) -> None:
        self.now += self.takes[self.runs] if self.runs < len(self.takes) else self.takes[-1]
        self.runs += 1

    def clock(self) -> float:
        return self.now


def timed(mine: Callable[..., Any], takes: list[float], warmup: int, times: int) -> tuple[Any, Watch]:
    """What comes of runs that take so many seconds, and the watch."""
    watch = Watch(takes)
    return mine(watch.run, watch.clock, warmup, times), watch


@latency.property("of runs that all take as long it is the seconds of one", each=draw.number(0.25, 3),
                  times=st.integers(1, 5))
def _(mine, each, times):
    got, watch = timed(mine, [each] * 20, 2, times)
    require(watch.runs == 2 + times, f"run() was called {watch.runs} times", "First `warmup` runs that do not count, "
            "then `times` that do.", expected=2 + times, got=watch.runs)
    close(got, each, "Ask the clock before and after each run: the difference is its seconds.")


@latency.property("the first runs, which are slow, do not count", warmup=st.integers(1, 3))
def _(mine, warmup):
    close(timed(mine, [100.0] * warmup + [1.0] * 20, warmup, 5)[0], 1.0, "Run it `warmup` times before the first time "
          "that is measured.")


@latency.property("one run that something else got in the way of does not matter")
def _(mine):
    close(timed(mine, [1.0, 1.0, 1.0, 60.0, 2.0, 2.0, 1.0], 1, 6)[0], 1.5, "The mean would be far off. Sort the times "
          "and take the middle one (of an even number the mean of the middle two): np.median.")
