"""Functions of one number after another, each in one pass over memory."""
from __future__ import annotations

import math
from typing import Any

import numpy as np

from .compiler import parallel, span
from .functions import load_some, normal
from .layout import flat
from .threads import workers_for
from .vector import lanes, splat, store_some, where

SCALE = 1 / math.sqrt(2 * math.pi)  # of the bell, whose integral is 1


@parallel
def gelu_of(worker, workers, x, y):
    """y = x Φ(x)"""
    mine = span(worker, workers, len(x))
    for i in range(mine.start, mine.stop, lanes(x)):
        some, v = mine.stop - i, load_some(x, i, mine.stop - i)
        below, _ = normal(v)
        store_some(y, i, v * below, some)


@parallel
def gelu_slopes(worker, workers, g, x, dx):
    """dx = g (Φ(x) + x φ(x))"""
    mine = span(worker, workers, len(x))
    for i in range(mine.start, mine.stop, lanes(x)):
        some, v = mine.stop - i, load_some(x, i, mine.stop - i)
        below, bell = normal(v)
        store_some(dx, i, load_some(g, i, some) * (below + v * (bell * SCALE)), some)


@parallel
def drop(worker, workers, noise, x, p, scale, y):
    """y = x · scale where noise ≥ p, else 0 · x."""
    mine = span(worker, workers, len(x))
    for i in range(mine.start, mine.stop, lanes(x)):
        some = mine.stop - i
        kept = where(splat(x, p) <= load_some(noise, i, some), splat(x, scale), splat(x, 0))
        store_some(y, i, load_some(x, i, some) * kept, some)


# ---- for NumPy's arrays
def gelu(xp: Any, x: Any) -> Any:
    """x Φ(x)"""
    return pointwise(gelu_of, 2, x)


def gelu_grad(xp: Any, g: Any, x: Any) -> Any:
    """g (Φ(x) + x φ(x))"""
    return pointwise(gelu_slopes, 2, g, x)


def dropout(xp: Any, x: Any, noise: Any, *, p: float, drawn: None = None) -> Any:
    """x / (1 - p) where noise ≥ p, else 0 · x."""
    y, number = np.empty_like(x), x.dtype.type
    least, scale = number(noise.dtype.type(p)), number(1 / (1 - p) if p < 1 else 0)
    given = (flat(_in_order_of(y, a.astype(x.dtype, copy=False)))[0] for a in (noise, x))
    drop(workers_for(x.size / 4), *given, least, scale, flat(y)[0])
    return y


def pointwise(kernel: Any, nanoseconds: float, *arrays: Any) -> Any:
    """What a kernel makes of arrays of one shape, number by number: an array in the memory order of the last."""
    y = np.empty_like(arrays[-1])
    kernel(workers_for(nanoseconds * y.size), *(flat(_in_order_of(y, a))[0] for a in arrays), flat(y)[0])
    return y


def _in_order_of(y: Any, a: Any) -> Any:
    if a.strides == y.strides:
        return a
    ordered = np.empty_like(y)
    ordered[...] = a
    return ordered
