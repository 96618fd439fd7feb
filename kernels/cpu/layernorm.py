"""Normalization of rows, each by its own mean and variance: layer norm. Two passes over memory forward, two backward;
a row is read several times, but from the fastest cache.

A register holds neighbours in a row, and a worker takes some of the rows. What the weight and the bias get is summed
over rows: a few in x's own dtype, before their sum is added to one in double precision.
"""
from __future__ import annotations

import math
from typing import Any

import numpy as np

from .choice import Axes
from .compiler import jit, parallel, span
from .functions import load_some
from .layout import ravel, zero
from .threads import aligned, scratch, sum_of_workers, workers_for
from .vector import at, first, fma, lanes, load, splat, store, store_some, total

BLOCK = 64  # rows of which a part is summed


@parallel
def standardize_rows(worker, workers, x, scale, offset, n, eps, y, mean, var):
    """y = (x - mean) / √(var + ε) · scale + offset for rows of n, and mean and var."""
    nothing, whole = splat(x, 0), n // lanes(x) * lanes(x)
    for row in span(worker, workers, len(mean)):
        here, there, sums, squares = at(x, row * n), at(y, row * n), nothing, nothing
        for k in range(0, whole, lanes(x)):
            sums = sums + load(here, k)
        if whole < n:
            sums = sums + load_some(here, whole, n - whole)
        mean[row] = total(sums) / n  # in double precision: a multiple of 1 / n in single would be a digit off
        middle = splat(x, mean[row])
        for k in range(0, whole, lanes(x)):
            centred = load(here, k) - middle
            squares = fma(centred, centred, squares)
        if whole < n:
            centred = first(load_some(here, whole, n - whole) - middle, n - whole)
            squares = fma(centred, centred, squares)
        var[row] = total(squares) / n
        rstd = splat(x, 1 / math.sqrt(var[row] + eps))
        for k in range(0, whole, lanes(x)):
            store(there, k, fma((load(here, k) - middle) * rstd, load(scale, k), load(offset, k)))
        if whole < n:
            some = n - whole
            centred = (load_some(here, whole, some) - middle) * rstd
            store_some(there, whole, fma(centred, load_some(scale, whole, some), load_some(offset, whole, some)), some)


@parallel
def gradient_of_rows(worker, workers, g, of_mean, of_var, x, scale, n, eps, mean, var, dx, part, sums):
    """dx = direct + (x - mean) · slope + constant, for direct = g · scale · rstd; sums[worker]: those of g (x - mean)
    rstd over the worker's rows, then those of g."""
    nothing, share, mine, added = splat(x, 0), span(worker, workers, len(mean)), at(part[worker], 0), sums[worker]
    whole = n // lanes(x) * lanes(x)
    zero(added, 0, 2 * n)
    for start in range(share.start, share.stop, BLOCK):
        zero(mine, 0, 2 * n)
        for row in range(start, min(start + BLOCK, share.stop)):
            here, slopes, there = at(x, row * n), at(g, row * n), at(dx, row * n)
            middle, r, both = splat(x, mean[row]), 1 / math.sqrt(var[row] + eps), (nothing, nothing)
            for k in range(0, whole, lanes(x)):
                both = _sum_up(here, slopes, scale, mine, n, k, lanes(x), middle, r, both)
            if whole < n:
                both = _sum_up(here, slopes, scale, mine, n, whole, n - whole, middle, r, both)
            slope = splat(x, (2 * of_var[row] - r * r * r * total(both[1])) / n)
            constant = splat(x, (of_mean[row] - r * total(both[0])) / n)
            for k in range(0, whole, lanes(x)):
                direct = load(slopes, k) * load(scale, k)
                store(there, k, fma(load(here, k) - middle, slope, fma(direct, splat(x, r), constant)))
            if whole < n:
                some = n - whole
                direct = load_some(slopes, whole, some) * load_some(scale, whole, some)
                centred = load_some(here, whole, some) - middle
                store_some(there, whole, fma(centred, slope, fma(direct, splat(x, r), constant)), some)
        for k in range(2 * n):
            added[k] += mine[k]


@jit
def _sum_up(x, g, scale, part, n, k, some, mean, r, both):
    """part[k] += g (x - mean) r and part[n + k] += g for `some` numbers of a row from k on; added to `both`: direct / r
    there, and that times x - mean."""
    slope, centred = load_some(g, k, some), first(load_some(x, k, some) - mean, some)
    direct = slope * load_some(scale, k, some)
    store_some(part, k, fma(slope, centred * r, load_some(part, k, some)), some)
    store_some(part, n + k, load_some(part, n + k, some) + slope, some)
    return both[0] + direct, fma(direct, centred, both[1])


# ---- for NumPy's arrays
def standardize(xp: Any, x: Any, w: Any, b: Any, *, dim: Axes, eps: float) -> Any:
    """(x - mean) / √(var + ε) · w + b, the mean and the variance over dim, and these two."""
    y, n = aligned(x.size, x.dtype), math.prod(x.shape[-len(dim):])
    mean, var = np.empty((2, *x.shape[:-len(dim)], *(1,) * len(dim)), x.dtype)
    standardize_rows(workers_for(x.size / 2), ravel(x), numbers(w, n, 1, x), numbers(b, n, 0, x), n,
                     x.dtype.type(eps), y, mean.reshape(-1), var.reshape(-1))
    return y.reshape(x.shape), mean, var


def standardize_grad(xp: Any, g: Any, of_mean: Any, of_var: Any, x: Any, w: Any, mean: Any, var: Any, *, b_shape: Any,
                     dim: Axes, eps: float) -> Any:
    """The gradients of x, w and b."""
    dx, n, workers = aligned(x.size, x.dtype), math.prod(x.shape[-len(dim):]), workers_for(x.size / 2)
    part, sums = scratch(workers, 2 * n, x.dtype), np.empty((workers, 2 * n))  # the first is written row by row
    g, of_mean, of_var, mean, var = (ravel(a) for a in (g, of_mean, of_var, mean, var))
    gradient_of_rows(workers, g, of_mean, of_var, ravel(x), numbers(w, n, 1, x), n, x.dtype.type(eps), mean, var,
                     dx, part, sums)
    return (dx.reshape(x.shape), None if w is None else sum_of_workers(sums, 0, w.shape).astype(x.dtype),
            None if b_shape is None else sum_of_workers(sums, n, b_shape).astype(x.dtype))


def numbers(a: Any, n: int, otherwise: float, x: Any) -> Any:
    """A weight or a bias as one vector; the same number everywhere where there is none."""
    return np.full(n, otherwise, x.dtype) if a is None else ravel(a)
