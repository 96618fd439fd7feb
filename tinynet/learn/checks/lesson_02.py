"""Lesson 2, tensors and broadcasting: the rule of shapes, its way back, and all distances at once."""
from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tinynet import testing
from tinynet.autograd import fit
from tinynet.learn import close, draw, reference, require
from tinynet.learn.answers import NotDone

PAIRS = testing.broadcastable(2)


def fits(shapes: Any) -> bool:
    """Whether the shapes broadcast."""
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        return False
    return True


MISFITS = st.tuples(testing.shapes(1), testing.shapes(1)).filter(lambda pair: not fits(pair))


@reference("02.broadcast_shape")
def broadcast_shape(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    """Flush right; a missing size is 1, and a 1 is stretched."""
    return np.broadcast_shapes(a, b)


@broadcast_shape.property("(2, 3) and (2, 3) make (2, 3): equal sizes stay")
def _(mine):
    close(mine((2, 3), (2, 3)), (2, 3), "Rule 2. Return a tuple with a size for each axis.")


@broadcast_shape.property("(3, 1) and (1, 4) make (3, 4): a 1 is stretched, on either side")
def _(mine):
    close(mine((3, 1), (1, 4)), (3, 4), "Rule 3, for each pair of sizes: where one of them is 1, take the other.")


@broadcast_shape.property("(2, 3) and (3,) make (2, 3): shapes stand flush right", a=st.just((2, 3)), b=st.just((3,)))
def _(mine, a, b):
    hint = "Rule 1: the shorter shape gets 1s in front, not behind. Either of the two may be the shorter."
    for one, other in ((a, b), (b, a)):
        close(mine(one, other), (2, 3), hint)


@broadcast_shape.property("it is the shape that the sum has", shapes=PAIRS)
def _(mine, shapes):
    close(mine(*shapes), np.broadcast_shapes(*shapes), "Go through the pairs of sizes from the right.")


@broadcast_shape.property("shapes that do not fit raise ValueError", shapes=MISFITS)
def _(mine, shapes):
    hint = "Two sizes that differ, neither of them 1: raise ValueError(...)."
    try:
        got = mine(*shapes)
    except ValueError:
        return
    except NotDone:
        got = None
    require(False, "these shapes do not fit, but no ValueError was raised", hint, got=got)


# ---- the way back
def of_engine(mine: Any) -> list[Any]:
    """tinynet's own unbroadcast, wherever it stands; tensors (in second derivatives) keep its own."""
    own = fit.unbroadcast

    def unbroadcast(g: Any, shape: tuple[int, ...]) -> Any:
        return mine(g, shape) if isinstance(g, np.ndarray) and g.shape != shape else own(g, shape)

    users = [import_module(f"tinynet.ops.{name}")
             for name in ("attention", "index", "matmul", "normalization", "shape")]
    return [(module, "unbroadcast", unbroadcast) for module in (fit, *users)]


@st.composite
def spreads(pick: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """A shape and one that it broadcasts to."""
    small, other = pick(PAIRS)
    return small, np.broadcast_shapes(small, other)


@reference("02.unbroadcast", engine=of_engine)
def unbroadcast(g, shape):
    """The sum over the axes in front, and over those that were stretched."""
    g = g.sum(axis=tuple(range(g.ndim - len(shape))))
    return g.sum(axis=tuple(k for k, n in enumerate(shape) if n == 1), keepdims=True)


@unbroadcast.property("a row that was added to 3 rows: each of its numbers is worth 3")
def _(mine):
    close(mine(np.ones((3, 2)), (2,)), [3.0, 3.0], "The axis in front was put there: sum over it.")


@unbroadcast.property("a column that was added to 4 columns: each of its numbers is worth 4")
def _(mine):
    close(mine(np.ones((2, 4)), (2, 1)), np.full((2, 1), 4.0), "An axis of size 1 was stretched: sum over it, and keep "
          "it, with keepdims=True.")


@unbroadcast.property("the result has the shape from before", shapes=spreads())
def _(mine, shapes):
    small, large = shapes
    got = np.shape(mine(np.ones(large), small))
    require(got == small, f"from {large} back to {small}: the result has shape {got}",
            "Both may have happened at once: axes in front, and sizes of 1 among the others.")


@unbroadcast.property("⟨g, broadcast(x)⟩ = ⟨unbroadcast(g), x⟩", shapes=spreads(), seed=draw.seed())
def _(mine, shapes, seed):
    small, large = shapes
    rng = np.random.default_rng(seed)
    x, g = rng.integers(-3, 4, small).astype(float), rng.integers(-3, 4, large).astype(float)
    close((np.asarray(mine(g, small)) * x).sum(), (g * np.broadcast_to(x, large)).sum(),
          "Every copy of a number counts: it is a sum over the copies, not their mean, nor one of them.")


# ---- all pairs
@reference("02.pairwise_distances", tensors=True)
def pairwise_distances(a, b):
    """The root of the sum over k of (a[i, k] - b[j, k])²."""
    return (a[:, None] - b[None]).square().sum(-1).sqrt()


@pairwise_distances.property("(0, 0) and (3, 4) are 5 apart", a=st.just(np.zeros((1, 2))),
                             b=st.just(np.array([[3.0, 4.0]])))
def _(mine, a, b):
    close(mine(a, b), np.array([[5.0]]), "Square the differences, sum them over k, then take the root.")


@pairwise_distances.property("n points and m points make a table of n rows and m columns", a="n k", b="m k")
def _(mine, a, b):
    got, want = tuple(np.shape(mine(a, b))), (len(a), len(b))
    require(got == want, f"the shape should be {want}, not {got}", "a becomes (n, 1, k) and b becomes (1, m, k); the "
            "sum takes away the axis of k, the last.")


pairwise_distances.agrees("the distances are right", a="n k", b="m k", hint="Sum over the last axis, k; a gives the "
                          "rows, b the columns.")
