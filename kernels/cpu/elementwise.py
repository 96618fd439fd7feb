"""ReLU, its gradient and sums, number by number.

There is next to nothing to compute. But two processors bring more from memory than one; and a worker finds in its own
one's cache what it wrote there itself, as kernels share out the rows of a batch all in the same way.
"""
from __future__ import annotations

from typing import Any

from .compiler import parallel, span
from .functions import larger, load_some
from .layout import like, memory_of
from .threads import aligned_like, workers_for
from .vector import lanes, splat, store_some, where

NANOSECONDS = 0.625  # for a number, about, that comes from another processor's cache


@parallel
def rectify(worker, workers, x, y):
    """y = max(x, 0)"""
    nothing, share = splat(x, 0), span(worker, workers, len(x))
    for i in range(share.start, share.stop, lanes(x)):
        store_some(y, i, larger(load_some(x, i, share.stop - i), nothing), share.stop - i)


@parallel
def pass_on(worker, workers, g, y, out):
    """out = g where ReLU let y pass, 0 elsewhere."""
    nothing, share = splat(g, 0), span(worker, workers, len(g))
    for i in range(share.start, share.stop, lanes(g)):
        some = share.stop - i
        store_some(out, i, where(load_some(y, i, some) <= nothing, nothing, load_some(g, i, some)), some)


@parallel
def sum_of_two(worker, workers, a, b, out):
    """out = a + b"""
    share = span(worker, workers, len(a))
    for i in range(share.start, share.stop, lanes(a)):
        some = share.stop - i
        store_some(out, i, load_some(a, i, some) + load_some(b, i, some), some)


# ---- for NumPy's arrays
def relu(xp: Any, x: Any) -> Any:
    """max(x, 0)"""
    return _each(rectify, x)


def relu_grad(xp: Any, g: Any, y: Any) -> Any:
    """g where y is positive, else 0."""
    return _each(pass_on, like(g, y), y)


def add(xp: Any, a: Any, b: Any) -> Any:
    """a + b"""
    return _each(sum_of_two, like(a, b), b)


def _each(kernel: Any, *arrays: Any) -> Any:
    """What a kernel makes of arrays that lie in memory in the same order, without gaps."""
    out = aligned_like(arrays[-1])
    kernel(workers_for(NANOSECONDS * out.size), *[memory_of(a) for a in arrays], memory_of(out))
    return out
