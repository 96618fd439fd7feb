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
from .compiler import parallel, span
from .functions import load_some
from .layout import ravel, zero
from .threads import aligned, scratch, workers_for
from .vector import at, first, fma, lanes, splat, store_some, total

BLOCK = 64  # rows of which a part is summed


@parallel
def standardize_rows(worker, workers, x, scale, offset, n, eps, y, mean, var):
    """y = (x - mean) / √(var + ε) · scale + offset for rows of n, and mean and var."""
    nothing = splat(x, 0)
    for row in span(worker, workers, len(mean)):
        here, sums, squares = at(x, row * n), nothing, nothing
        for k in range(0, n, lanes(x)):
            sums = sums + load_some(here, k, n - k)
        middle = splat(x, total(sums) / n)
        for k in range(0, n, lanes(x)):
            centred = first(load_some(here, k, n - k) - middle, n - k)
            squares = fma(centred, centred, squares)
        mean[row], var[row] = total(sums) / n, total(squares) / n
        rstd = splat(x, 1 / math.sqrt(var[row] + eps))
        for k in range(0, n, lanes(x)):
            some = n - k
            centred = (load_some(here, k, some) - middle) * rstd
            store_some(y, row * n + k, fma(centred, load_some(scale, k, some), load_some(offset, k, some)), some)


@parallel
def gradient_of_rows(worker, workers, g, of_mean, of_var, x, scale, n, eps, mean, var, dx, part, sums):
    """dx = direct + (x - mean) · slope + constant, for direct = g · scale · rstd; sums[worker]: those of g (x - mean)
    rstd over the worker's rows, then those of g."""
    nothing, share, mine, whole = splat(x, 0), span(worker, workers, len(mean)), at(part[worker], 0), sums[worker]
    zero(whole, 0, 2 * n)
    for start in range(share.start, share.stop, BLOCK):
        zero(mine, 0, 2 * n)
        for row in range(start, min(start + BLOCK, share.stop)):
            here, slopes, middle, r = at(x, row * n), at(g, row * n), splat(x, mean[row]), 1 / math.sqrt(var[row] + eps)
            sum_g, sum_gx = nothing, nothing  # of direct / rstd, and of that times x - mean
            for k in range(0, n, lanes(x)):
                some = n - k
                slope, centred = load_some(slopes, k, some), first(load_some(here, k, some) - middle, some)
                direct = slope * load_some(scale, k, some)
                sum_g, sum_gx = sum_g + direct, fma(direct, centred, sum_gx)
                store_some(mine, k, fma(slope, centred * r, load_some(mine, k, some)), some)
                store_some(mine, n + k, load_some(mine, n + k, some) + slope, some)
            slope_of_x = splat(x, (2 * of_var[row] - r * r * r * total(sum_gx)) / n)
            constant = splat(x, (of_mean[row] - r * total(sum_g)) / n)
            for k in range(0, n, lanes(x)):
                some = n - k
                direct = load_some(slopes, k, some) * load_some(scale, k, some)
                centred = load_some(here, k, some) - middle
                store_some(dx, row * n + k, fma(centred, slope_of_x, fma(direct, splat(x, r), constant)), some)
        for k in range(2 * n):
            whole[k] += mine[k]


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
    dw, db = np.add.reduce(sums, axis=0).astype(x.dtype).reshape(2, n)
    return (dx.reshape(x.shape), None if w is None else dw.reshape(w.shape),
            None if b_shape is None else db.reshape(b_shape))


def numbers(a: Any, n: int, otherwise: float, x: Any) -> Any:
    """A weight or a bias as one vector; the same number everywhere where there is none."""
    return np.full(n, otherwise, x.dtype) if a is None else ravel(a)
