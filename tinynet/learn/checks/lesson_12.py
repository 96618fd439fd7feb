"""Lesson 12, RNN and LSTM: one step of each, clipping by norm, sampling with a temperature."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

import tinynet as tn
from tinynet import trainer
from tinynet.learn import close, draw, reference, require, slope
from tinynet.nn import recurrent
from tinynet.ops.recurrent import SEQUENCES

STEPS = 5


def sequence(step: Callable[..., Any], states: int) -> Callable[..., tuple[Any, ...]]:
    """What nn.RNN and nn.LSTM call for one layer and direction, by a step of the student's."""
    def run(x, *args, reverse):
        state, weights = args[:states], list(args[states:])
        weights += [tn.zeros(len(weights[0]), dtype=x.dtype)] * (4 - len(weights))
        found = []
        for t in reversed(range(len(x))) if reverse else range(len(x)):
            after = step(x[t], *state, *weights)
            state = tuple(after) if isinstance(after, tuple | list) else (after,)
            found.append(state[0])
        return (tn.stack(found[::-1] if reverse else found), *state)
    return run


def in_place_of(mode: str, states: int) -> Callable[..., list[Any]]:
    """For `engine`: the layer's sequences are run by the student's step."""
    return lambda mine: [(recurrent, "SEQUENCES", {**SEQUENCES, mode: sequence(mine, states)})]


def drawn(seed: int, gates: int, states: int, n: int = 2) -> list[Any]:
    """x (N, 3), states (N, 2), weights and biases for a cell of 2 units, in float64."""
    rng = np.random.default_rng(seed)
    shapes = [(n, 3), *[(n, 2)] * states, (2 * gates, 3), (2 * gates, 2), (2 * gates,), (2 * gates,)]
    return [tn.tensor(rng.normal(size=shape)) for shape in shapes]


def through_time(step: Callable[..., Any], states: int) -> Callable[..., Any]:
    """The sum of all outputs of STEPS steps, for gradcheck."""
    def run(x, *args):
        state, weights = args[:states], args[states:]
        total = 0.0
        for t in range(STEPS):
            state = step(x * (t + 1), *state, *weights)
            state = state if isinstance(state, tuple | list) else (state,)
            total = total + (state[0] * (t + 1)).sum()
        return total
    return run


# ---- RNN
@reference("12.rnn_step", tensors=True, engine=in_place_of("RNN_TANH", 1))
def rnn_step(x, h, w_ih, w_hh, b_ih, b_hh):
    """tanh(x w_ihᵀ + b_ih + h w_hhᵀ + b_hh)"""
    return (x @ w_ih.T + b_ih + h @ w_hh.T + b_hh).tanh()


@rnn_step.property("with weights of zero it is the tanh of the biases", b="2")
def _(mine, b):
    none = tn.zeros(2, 2, dtype=tn.float64)
    want = (b + b * 2).tanh() + none
    close(mine(none, none, none, none, b, b * 2), want, "Both biases are added, then comes tanh.")


@rnn_step.property("the state before has its part, by w_hh", h="n 2", w="2 2")
def _(mine, h, w):
    none = tn.zeros(2, dtype=tn.float64)
    close(mine(h * 0, h, w * 0, w, none, none), (h @ w.T).tanh(), "Weights have a row for each unit, as in nn.Linear: "
          "state times the transposed weights.")


rnn_step.agrees("it is right for any sizes", x="n k", h="n m", w_ih="m k", w_hh="m m", b_ih="m", b_hh="m",
                hint="x belongs to w_ih, h to w_hh.")


@rnn_step.property(f"through {STEPS} steps a measured slope agrees", examples=2, seed=draw.seed())
def _(mine, seed):
    slope(through_time(mine, 1), drawn(seed, 1, 1, 1), "All of it must be computed with tensors, without detach.")


# ---- clipping
def of_clip(mine: Callable[..., Any]) -> list[Any]:
    """What the Trainer calls where it has a clip_norm."""
    def clip_grad_norm_(parameters, max_norm):
        with_grad = [p for p in parameters if p.grad is not None]
        clipped = mine([p.grad.numpy().copy() for p in with_grad], max_norm)
        for p, g in zip(with_grad, clipped, strict=True):
            p.grad.copy_(tn.tensor(g).to(p.dtype))
    return [(trainer, "clip_grad_norm_", clip_grad_norm_)]


@reference("12.clip_by_norm", engine=of_clip)
def clip_by_norm(gradients, most):
    """All gradients times one number, so that their common length is at most `most`."""
    length = np.sqrt(sum((g * g).sum() for g in gradients))
    return [g * min(1.0, most / length) if length > 0 else g for g in gradients]


def lengths(gradients: Any) -> float:
    """The common length."""
    return float(np.sqrt(sum(float((np.asarray(g) ** 2).sum()) for g in gradients)))


@clip_by_norm.property("what is short enough stays as it is", a="n k", b="m", more=st.sampled_from([0.0, 0.5, 10.0]))
def _(mine, a, b, more):
    close(mine([a, b], lengths([a, b]) + more), [a, b], "Only what is longer than `most` is made shorter. (And do not "
          "divide by a length of 0.)")


@clip_by_norm.property("[3] and [4] have together a length of 5")
def _(mine):
    close(mine([np.array([3.0]), np.array([4.0])], 1.0), [np.array([0.6]), np.array([0.8])], "One length for all: the "
          "root of the sum of all squares. All gradients are multiplied by the same number, so the direction stays.")


@clip_by_norm.property("the gradients that were given stay as they are")
def _(mine):
    given = [np.array([3.0, 4.0]), np.array([12.0])]
    mine(given, 1.0)
    close(given, [np.array([3.0, 4.0]), np.array([12.0])], "Make new arrays: g = g * s, not g *= s.")


clip_by_norm.agrees("it is right for any gradients", gradients=st.lists(draw.arrays((2, 3)), min_size=1, max_size=3),
                    most=st.sampled_from([0.5, 1.0, 5.0]), hint="All are multiplied by one and the same number: most / "
                    "length, where the length is more than `most`, else 1.")


# ---- LSTM
@reference("12.lstm_step", tensors=True, engine=in_place_of("LSTM", 2))
def lstm_step(x, h, c, w_ih, w_hh, b_ih, b_hh):
    """(h', c'): c' = f c + i g and h' = o tanh(c')."""
    i, f, g, o = (x @ w_ih.T + b_ih + h @ w_hh.T + b_hh).chunk(4, -1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def gated(mine: Any, c: Any, i: float, f: float, g: float, o: float) -> Any:
    """The step where the gates are told by their biases alone: 9 is open, -9 shut."""
    n = len(c)
    wide = [tn.tensor([v] * c.shape[1], dtype=tn.float64) for v in (i, f, g, o)]
    none = {name: tn.zeros(*shape, dtype=tn.float64) for name, shape in (
        ("x", (n, 1)), ("h", c.shape), ("w_ih", (4 * c.shape[1], 1)), ("w_hh", (4 * c.shape[1], c.shape[1])))}
    got = mine(none["x"], none["h"], c, none["w_ih"], none["w_hh"], tn.cat(wide), 0 * tn.cat(wide))
    require(isinstance(got, tuple | list) and len(got) == 2, "two results are expected: h and c")
    return got


@lstm_step.property("forget gate open, input gate shut: what is in c stays", c="n 2")
def _(mine, c):
    close(gated(mine, c, -40, 40, 9, 40)[1], c, "The four parts stand in the order i, f, g, o. The new c is f times "
          "the old one, plus i times g; i, f and o go through a sigmoid.")


@lstm_step.property("forget gate shut, input gate open: c is what is new", c="n 2", g=draw.number(-2, 2))
def _(mine, c, g):
    close(gated(mine, c, 40, -40, g, 40)[1], tn.full(c.shape, float(np.tanh(g)), dtype=tn.float64), "g, the new "
          "content, goes through tanh, not through a sigmoid: it may be negative.")


@lstm_step.property("the output gate lets tanh(c) through, or not", c="n 2", o=st.sampled_from([-40, 40]))
def _(mine, c, o):
    close(gated(mine, c, -40, 40, 0, o)[0], c.tanh() * (o > 0), "h = o · tanh of the NEW c; c itself is passed on as "
          "it is.")


@lstm_step.property("it is tinynet's LSTMCell", seed=draw.seed(), n=st.integers(1, 3))
def _(mine, seed, n):
    args = drawn(seed, 4, 2, n)
    close(mine(*args), lstm_step(*args), "x belongs to w_ih, h to w_hh; all four parts come from the same sum.")


@lstm_step.property(f"through {STEPS} steps a measured slope agrees", examples=1, seed=draw.seed())
def _(mine, seed):
    slope(through_time(mine, 2), drawn(seed, 4, 2, 1), "All of it must be computed with tensors, without detach.")


# ---- sampling
@reference("12.sample")
def sample(scores, temperature, rng):
    """A class drawn with the probabilities softmax(scores / temperature)."""
    z = np.exp((scores - scores.max()) / temperature)
    return rng.choice(len(scores), p=z / z.sum())


def shares(mine: Any, scores: np.ndarray, temperature: float, seed: int, n: int = 800) -> np.ndarray:
    """How often each class is drawn."""
    rng = np.random.default_rng(seed)
    drawn = [mine(scores, temperature, rng) for _ in range(n)]
    good = all(np.ndim(k) == 0 and 0 <= k < len(scores) and int(k) == k for k in drawn)
    require(good, f"a whole number from 0 to {len(scores) - 1} is expected, the number of a class", got=drawn[0])
    return np.bincount(np.array(drawn, int), minlength=len(scores)) / n


@sample.property("at a temperature near 0 the class with the highest score comes", seed=draw.seed(),
                 scores=draw.distinct((4,)))
def _(mine, seed, scores):
    require(shares(mine, scores, 0.01, seed, 20)[scores.argmax()] == 1, "another class came", "Divide the scores by "
            "the temperature BEFORE softmax: the smaller it is, the farther apart they are.", got=mine(
                scores, 0.01, np.random.default_rng(seed)), expected=int(scores.argmax()))


@sample.property("classes come as often as softmax says", examples=3, seed=draw.seed(),
                 temperature=st.sampled_from([0.5, 1.0, 2.0]))
def _(mine, seed, temperature):
    scores = np.array([0.0, 1.0, 2.0, -30.0])
    want = np.exp(scores / temperature) / np.exp(scores / temperature).sum()
    got = shares(mine, scores, temperature, seed)
    require(np.abs(got - want).max() < 0.08, f"at temperature {temperature} the classes come with other shares",
            "softmax(scores / temperature) are the probabilities: draw with rng.choice(..., p=...).", expected=want,
            got=got)


@sample.property("large scores are no problem", seed=draw.seed())
def _(mine, seed):
    require(shares(mine, np.array([5000.0, -5000.0]), 1.0, seed, 5)[0] == 1, "the class with 5000 should come",
            "Subtract the largest score before exp, as in lesson 6.")


@sample.property("it draws from rng", examples=3, seed=draw.seed())
def _(mine, seed):
    first, again = ([mine(np.zeros(50), 1.0, rng) for _ in range(5)]
                    for rng in (np.random.default_rng(seed), np.random.default_rng(seed)))
    close(np.array(again), np.array(first), "The same seed must give the same text: use rng, not np.random.")
