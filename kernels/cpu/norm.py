"""Normalization, in two passes over memory forward and two backward.

x is seen as runs of numbers, (A, C, S): a mean and a variance for each c, of A runs of S numbers. Layer norm has A = 1
and a c for each row; batch norm a c for each channel, A images, and S pixels. A worker takes some of the c.

Where channels lie last in memory, the numbers of one c are far apart and those of all c side by side: x is seen as
columns, (A, C). There a worker takes some of the rows, and a register adds up neighbouring columns.
"""
from __future__ import annotations

import math
from typing import Any

import numpy as np

from .choice import along_rows, view_of
from .compiler import parallel, span
from .functions import load_some
from .layout import like
from .threads import workers_for
from .vector import fma, lanes, splat, store_some

Axes = tuple[int, ...]
BLOCK = 64  # rows that are added up in x's own dtype, before their sum is added to one in double precision
NANOSECONDS = 0.5  # for a number, about


# ---- runs: x (A, C, S); scale and offset have an entry for each c, or, if along, for each s
@parallel
def standardize_runs(worker, workers, x, scale, offset, along, eps, y, mean, var):
    """y = (x - mean) / √(var + ε) · scale + offset, and mean and var."""
    count, channels, size = x.shape
    for c in span(worker, workers, channels):
        total = 0.0
        for a in range(count):
            part = eps * 0
            for s in range(size):
                part += x[a, c, s]
            total += part
        middle = x.dtype.type(total / (count * size))
        total = 0.0
        for a in range(count):
            part = eps * 0
            for s in range(size):
                part += (x[a, c, s] - middle) * (x[a, c, s] - middle)
            total += part
        mean[c], var[c] = middle, total / (count * size)
        rstd = 1 / math.sqrt(var[c] + eps)
        for a in range(count):
            if along:
                for s in range(size):
                    y[a, c, s] = (x[a, c, s] - middle) * rstd * scale[s] + offset[s]
            else:
                for s in range(size):
                    y[a, c, s] = (x[a, c, s] - middle) * (rstd * scale[c]) + offset[c]


@parallel
def gradient_of_runs(worker, workers, g, of_mean, of_var, x, scale, along, mean, rstd, dx, dscale, doffset):
    """dx = direct + (x - mean) · slope + constant, for direct = g · scale · rstd; a row of dscale and of doffset for
    each worker, to be added up."""
    count, channels, size = x.shape
    n, zero = count * size, rstd.dtype.type(0)
    dscale[worker, :], doffset[worker, :] = zero, zero
    for c in span(worker, workers, channels):
        m, r = mean[c], rstd[c]
        sum_g, sum_gx = 0.0, 0.0  # of direct / rstd, and of that times x - mean
        for a in range(count):
            part, product = zero, zero
            if along:
                for s in range(size):
                    part += g[a, c, s] * scale[s]
                    product += g[a, c, s] * scale[s] * (x[a, c, s] - m)
                for s in range(size):
                    dscale[worker, s] += g[a, c, s] * ((x[a, c, s] - m) * r)
                    doffset[worker, s] += g[a, c, s]
            else:
                for s in range(size):
                    part += g[a, c, s]
                    product += g[a, c, s] * (x[a, c, s] - m)
            sum_g += part
            sum_gx += product
        factor = r
        if not along:
            dscale[worker, c], doffset[worker, c] = sum_gx * r, sum_g
            factor = r * scale[c]
            sum_g, sum_gx = sum_g * scale[c], sum_gx * scale[c]
        slope = rstd.dtype.type((2 * of_var[c] - r * r * r * sum_gx) / n)
        constant = rstd.dtype.type((of_mean[c] - r * sum_g) / n)
        for a in range(count):
            if along:
                for s in range(size):
                    dx[a, c, s] = g[a, c, s] * scale[s] * r + (x[a, c, s] - m) * slope + constant
            else:
                for s in range(size):
                    dx[a, c, s] = g[a, c, s] * factor + (x[a, c, s] - m) * slope + constant


# ---- columns: p, q are vectors of rows of c numbers
@parallel
def sums_of_columns(worker, workers, p, p_shift, q, q_shift, c, sums):
    """sums[worker] = Σ (p - p_shift), then Σ (p - p_shift) (q - q_shift), over the worker's rows."""
    part, total = np.empty(2 * c, p.dtype), sums[worker]
    total[:] = 0
    share = span(worker, workers, len(p) // c)
    for first in range(share.start, share.stop, BLOCK):
        for k in range(0, c, lanes(p)):
            some = c - k
            shift, other = load_some(p_shift, k, some), load_some(q_shift, k, some)
            here, products = splat(p, 0), splat(p, 0)
            for row in range(first, min(first + BLOCK, share.stop)):
                d = load_some(p, row * c + k, some) - shift
                here, products = here + d, fma(d, load_some(q, row * c + k, some) - other, products)
            store_some(part, k, here, some)
            store_some(part, c + k, products, some)
        for k in range(2 * c):
            total[k] += part[k]


@parallel
def combine_columns(worker, workers, p, factor, q, q_shift, slope, constant, c, y):
    """y = p · factor + (q - q_shift) · slope + constant"""
    for row in span(worker, workers, len(p) // c):
        for k in range(0, c, lanes(p)):
            i, some = row * c + k, c - k
            direct = fma(load_some(p, i, some), load_some(factor, k, some), load_some(constant, k, some))
            centred = load_some(q, i, some) - load_some(q_shift, k, some)
            store_some(y, i, fma(centred, load_some(slope, k, some), direct), some)


# ---- for NumPy's arrays
def standardize(xp: Any, x: Any, w: Any, b: Any, *, dim: Axes, eps: float) -> Any:
    """(x - mean) / √(var + ε) · w + b, the mean and the variance over dim, and these two."""
    y, number = np.empty_like(x), x.dtype.type
    shape = tuple(1 if d in dim else n for d, n in enumerate(x.shape))
    view, out = view_of(x, dim), view_of(y, dim)
    workers = workers_for(NANOSECONDS * x.size)
    scale, offset = (_numbers(p, view, along_rows(x, dim), value) for p, value in ((w, 1), (b, 0)))
    if view.ndim == 3:
        mean, var = (np.empty(view.shape[1], x.dtype) for _ in range(2))
        standardize_runs(workers, view, scale, offset, along_rows(x, dim), number(eps), out, mean, var)
    else:
        n, c = view.shape
        flat_x, zero = view.reshape(-1), np.zeros(c, x.dtype)
        mean = (_column_sums(workers, flat_x, zero, flat_x, zero, c)[0] / n).astype(x.dtype)
        var = (_column_sums(workers, flat_x, mean, flat_x, mean, c)[1] / n).astype(x.dtype)
        combine_columns(workers, flat_x, zero, flat_x, mean, scale / np.sqrt(var + number(eps)), offset, c,
                        out.reshape(-1))
    return y, mean.reshape(shape), var.reshape(shape)


def standardize_grad(xp: Any, g: Any, of_mean: Any, of_var: Any, x: Any, w: Any, mean: Any, var: Any, *, b_shape: Any,
                     dim: Axes, eps: float) -> Any:
    """The gradients of x, w and b."""
    dx, along, g = np.empty_like(x), along_rows(x, dim), like(g, x)
    view_g, view, out = (view_of(a, dim) for a in (g, x, dx))
    workers = workers_for(2 * NANOSECONDS * x.size)
    scale = _numbers(w, view, along, 1)
    mean, rstd = mean.reshape(-1), (1 / np.sqrt(var + x.dtype.type(eps))).reshape(-1)
    of_mean, of_var = np.broadcast_to(of_mean, var.shape).reshape(-1), np.broadcast_to(of_var, var.shape).reshape(-1)
    if view.ndim == 3:
        dscale, doffset = (np.empty((workers, len(scale)), x.dtype) for _ in range(2))
        gradient_of_runs(workers, view_g, of_mean, of_var, view, scale, along, mean, rstd, out, dscale, doffset)
        dscale, doffset = dscale.sum(0), doffset.sum(0)
    else:
        n, c = view.shape
        flat_g, flat_x = view_g.reshape(-1), view.reshape(-1)
        doffset, products = _column_sums(workers, flat_g, np.zeros_like(mean), flat_x, mean, c)
        dscale, factor = products * rstd, scale * rstd
        slope = (2 * of_var - rstd * rstd * factor * products) / n
        constant = (of_mean - factor * doffset) / n
        combine_columns(workers, flat_g, factor.astype(x.dtype), flat_x, mean, slope.astype(x.dtype),
                        constant.astype(x.dtype), c, out.reshape(-1))
    dw, db = (None if shape is None else d.astype(x.dtype).reshape(shape)
              for d, shape in ((dscale, None if w is None else w.shape), (doffset, b_shape)))
    return dx, dw, db


def _numbers(a: Any, view: Any, along: bool, otherwise: float) -> Any:
    """A weight or a bias as it enters the loops: 1-d, and the same number everywhere where there is none."""
    if a is None:
        return np.full(view.shape[2 if along else 1], otherwise, view.dtype)
    return np.ascontiguousarray(a).reshape(-1)


def _column_sums(workers: int, *arguments: Any) -> Any:
    c = arguments[-1]
    sums = np.empty((workers, 2 * c))
    sums_of_columns(workers, *arguments, sums)
    return sums.sum(0).reshape(2, c)
