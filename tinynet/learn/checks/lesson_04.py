"""Lesson 4, trusting gradients: slopes by measuring, gradcheck, and four rules to mend."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinynet.dtypes import Array
from tinynet.learn import close, draw, reference, require, rule, slope


# ---- measuring
@reference("04.numerical_gradient")
def numerical_gradient(f: Callable[[Array], Any], x: Any, h: float = 1e-5) -> Array:
    """(f(x + h) - f(x - h)) / 2h for each element, the others staying where they are."""
    x = np.array(x, float)
    slopes = np.zeros(x.shape)
    for i in np.ndindex(x.shape):
        here, heights = x[i], []
        for there in (here + h, here - h):
            x[i] = there
            heights.append(f(x))
        x[i] = here
        slopes[i] = (heights[0] - heights[1]) / (2 * h)
    return slopes


@numerical_gradient.property("of 2a + 5b the slopes are 2 and 5")
def _(mine):
    close(mine(lambda x: float(2 * x[0] + 5 * x[1]), np.array([1.0, 3.0])), [2.0, 5.0], "Move one element, measure, "
          "put it back, and only then move the next. How far apart are the two points?", atol=1e-8)


@numerical_gradient.property("the result has the shape of x, and each slope its place", w="n k", x="n k")
def _(mine, w, x):
    close(mine(lambda x: float((w * x).sum()), x), w, "An array like x: slopes[i] belongs to x[i].", atol=1e-8)


@numerical_gradient.property("on a parabola it is exact, with any step", x="n k", h=draw.number(0.25, 1))
def _(mine, x, h):
    close(mine(lambda x: float((x * x).sum()), x, h), 2 * x, "Step to both sides, and by h, not by a step of your own.")


@numerical_gradient.property("x may hold whole numbers", x=draw.whole((3,), 1, 4))
def _(mine, x):
    close(mine(lambda x: float((x**3).sum()), x), 3.0 * x**2, "In an array of whole numbers, 1 + 0.00001 is cut off to "
          "1. Make the copy one of float.", rtol=1e-6)


# ---- gradcheck, and what it is tried on
Case = tuple[Callable[..., Any], Callable[..., Any]]
W = np.array([[1.0, 2.0, 0.0], [0.0, 1.0, -1.0], [3.0, 0.0, 1.0]])


def centre(x: Array) -> Array:
    """Each row less its mean."""
    return x - x.mean(1, keepdims=True)


def relu(x: Array) -> Array:
    """max(x, 0)"""
    return np.maximum(x, 0)


def sum_before(x: Array) -> Array:
    """In each row: a, a + b, a + b + c ..."""
    return np.cumsum(x, 1)


RIGHT: dict[str, Case] = {
    "x²": (np.square, lambda g, x: 2 * x * g),
    "exp(5x), whose slopes are large": (lambda x: np.exp(5 * x), lambda g, x: 5 * np.exp(5 * x) * g),
    "0.000001 x², whose slopes are tiny": (lambda x: 1e-6 * x * x, lambda g, x: 2e-6 * x * g),
    "sin": (np.sin, lambda g, x: np.cos(x) * g),
    "relu": (relu, lambda g, x: g * (x > 0)),
    "the sum of all": (np.sum, lambda g, x: np.full(x.shape, g)),
    "the mean of each column": (lambda x: x.mean(0), lambda g, x: np.ones(x.shape) * g / len(x)),
    "each row less its mean": (centre, lambda g, x: g - g.mean(1, keepdims=True)),
    "the running sum": (sum_before, lambda g, x: sum_before(g[:, ::-1])[:, ::-1]),
    "x @ w": (lambda x: x @ W, lambda g, x: g @ W.T)}
SHAPE = "Compare the shapes first: an array of another shape is broadcast, and looks equal."
RANDOM = "Weigh the elements of the result by the random g; with all ones some mistakes cannot be seen."
RELATIVE = "A difference is large or small beside the slopes themselves: divide by their size."
COMPARE = "Compare what the rule claims with the slopes of (g * forward(x)).sum()."
MUTANTS: dict[str, tuple[Case, str]] = {
    "x², the factor 2 forgotten": ((np.square, lambda g, x: x * g), COMPARE),
    "0.000001 x², the factor 2 forgotten": ((lambda x: 1e-6 * x * x, lambda g, x: 1e-6 * x * g), RELATIVE),
    "sin, with the sign flipped": ((np.sin, lambda g, x: -np.cos(x) * g), COMPARE),
    "relu, the mask the wrong way round": ((relu, lambda g, x: g * (x < 0)), COMPARE),
    "relu, everything let through": ((relu, lambda g, x: 1.0 * g), COMPARE),
    "the sum of all, as one number": ((np.sum, lambda g, x: g), SHAPE),
    "the mean of each column, 1/n forgotten": ((lambda x: x.mean(0), lambda g, x: np.ones(x.shape) * g), COMPARE),
    "each row less its mean, as zeros": ((centre, lambda g, x: np.zeros(x.shape)), RANDOM),
    "the running sum, in the wrong direction": ((sum_before, lambda g, x: sum_before(g)), RANDOM),
    "x @ w, not transposed": ((lambda x: x @ W, lambda g, x: g @ W), RANDOM),
    "x², with g left out": ((np.square, lambda g, x: 2 * x), RANDOM)}


def somewhere(seed: int) -> Array:
    """3 by 3 numbers of both signs, all different, none near 0."""
    return (np.random.default_rng(seed).permutation(np.arange(-4, 5)).reshape(3, 3) + 0.25) / 3


@reference("04.gradcheck")
def gradcheck(forward: Callable[..., Any], rule: Callable[..., Any], x: Array) -> bool:
    """Whether the rule gives the measured slopes of the sum of g * forward(x), g being random."""
    g = np.random.default_rng(0).normal(size=np.shape(forward(x)))
    claimed, measured = rule(g, x), numerical_gradient(lambda x: (g * forward(x)).sum(), x)
    size = max(np.abs(claimed).max(), np.abs(measured).max(), 1e-5)
    return np.shape(claimed) == x.shape and bool(np.abs(claimed - measured).max() < 1e-5 * size)


def verdict(mine: Any, case: Case, seed: int) -> bool:
    """What the answer says of a rule."""
    got = mine(*case, somewhere(seed))
    require(isinstance(got, bool | np.bool_), f"True or False is expected, not {type(got).__name__}",
            "Take the largest error of all elements: one truth for the whole array.", got=got)
    return bool(got)


@gradcheck.property("it takes the ten right rules", examples=4, seed=draw.seed())
def _(mine, seed):
    for name, case in RIGHT.items():
        require(verdict(mine, case, seed), f"the rule of {name} is right, and was refused",
                f"{RELATIVE} And leave some room: a measured slope is never exact.")


@gradcheck.property("it refuses the wrong rules", examples=4, seed=draw.seed())
def _(mine, seed):
    for name, (case, hint) in MUTANTS.items():
        require(not verdict(mine, case, seed), f"the rule of {name}, is wrong, and was taken", hint)


# ---- four rules to mend
X = np.array([[0.5, -2.0, 0.25], [1.5, 0.75, -0.5]])


@reference("04.mean_rule")
def mean_rule(g, x):
    """g / n for each of the n rows."""
    return np.ones(x.shape) * g / len(x)


@mean_rule.property("of two rows, each moves the mean half as much as itself")
def _(mine):
    close(mine(np.array([1.0, 2.0, 3.0]), X.copy()), np.array([[0.5, 1.0, 1.5]] * 2),
          "If one of n numbers rises by 0.01, by how much does their mean rise?")


@mean_rule.property("a measured slope agrees", examples=8, x="n k")
def _(mine, x):
    slope(rule(lambda x: x.mean(0), mine), [x], "n is the number of rows, len(x).")


@reference("04.clip_rule")
def clip_rule(g, x):
    """g where x lies between -1 and 1, 0 elsewhere."""
    return g * (np.abs(x) < 1)


@clip_rule.property("what is cut off has no influence, and the rest all of it")
def _(mine):
    close(mine(np.full((2, 3), 5.0), X.copy()), np.array([[5.0, 0.0, 5.0], [0.0, 5.0, 5.0]]),
          "Where x is 1.5 the result is 1, and stays 1 if x rises. Where it is 0.5, the result rises with it.")


@clip_rule.property("a measured slope agrees", examples=8, x=draw.distinct((2, 3), 0.4))
def _(mine, x):
    slope(rule(lambda x: np.clip(x, -1, 1), mine), [x], "Both ends count: below -1 it is flat, too.")


@reference("04.centre_rule")
def centre_rule(g, x):
    """g less its own mean in each row."""
    return g - g.mean(1, keepdims=True)


@centre_rule.property("if a whole row is raised, nothing that comes out moves", g="n k", x="n k")
def _(mine, g, x):
    close(np.asarray(mine(g, x)).sum(-1), np.zeros(len(x)), "An element has two paths: straight through, and through "
          "the mean of its row, which is taken from all of them.", atol=1e-9)


@centre_rule.property("a measured slope agrees", examples=8, x="n k")
def _(mine, x):
    slope(rule(centre, mine), [x], "By the mean, each element sends -1/k to every place of its row.")


@reference("04.running_rule")
def running_rule(g, x):
    """The running sum of g from the other end."""
    return sum_before(g[:, ::-1])[:, ::-1]


@running_rule.property("the first of three is part of all three sums, the last of one")
def _(mine):
    close(mine(np.ones((1, 3)), np.array([[1.0, 2.0, 3.0]])), np.array([[3.0, 2.0, 1.0]]),
          "Element k is part of the sums k, k + 1, ..., up to the last: it gets their g, added up.")


@running_rule.property("a measured slope agrees", examples=8, x="n k")
def _(mine, x):
    slope(rule(sum_before, mine), [x], "A running sum from the right: turn g round, sum, and turn back.")
