"""Normalization, in two passes over memory forward and two backward.

x is seen as runs of numbers, (A, C, S): a mean and a variance for each c, a channel, of A runs, of as many images, of S
numbers, the pixels. A worker takes some of the c. (Layer norm, whose runs are rows, has a file of its own.)

Where channels lie last in memory, the numbers of one c are far apart and those of all c side by side: x is seen as
columns, (A, C). There a worker takes some of the rows, and a register adds up neighbouring columns.
"""
from __future__ import annotations

import math
from typing import Any

import numpy as np

from .choice import Axes, view_of
from .compiler import jit, parallel, span
from .functions import load_some
from .layout import like, ravel
from .threads import aligned_like, workers_for
from .vector import at, fma, lanes, splat, store_some

NANOSECONDS = 0.5  # for a number, about


# ---- runs: x (A, C, S)
@parallel
def standardize_runs(worker, workers, x, scale, offset, eps, y, mean, var):
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
            for s in range(size):
                y[a, c, s] = (x[a, c, s] - middle) * (rstd * scale[c]) + offset[c]


@parallel
def gradient_of_runs(worker, workers, g, of_mean, of_var, x, scale, mean, var, eps, dx, dscale, doffset):
    """dx = direct + (x - mean) · slope + constant, for direct = g · scale · rstd; dscale, doffset."""
    count, channels, size = x.shape
    n, number = count * size, var.dtype.type
    for c in span(worker, workers, channels):
        m, r = mean[c], number(1 / math.sqrt(var[c] + eps))
        sum_g, sum_gx = 0.0, 0.0  # and of that times x - mean
        for a in range(count):
            part, product = number(0), number(0)
            for s in range(size):
                part += g[a, c, s]
                product += g[a, c, s] * (x[a, c, s] - m)
            sum_g += part
            sum_gx += product
        dscale[c], doffset[c] = sum_gx * r, sum_g
        factor = r * scale[c]
        sum_g, sum_gx = sum_g * scale[c], sum_gx * scale[c]
        slope = number((2 * of_var[c] - r * r * r * sum_gx) / n)
        constant = number((of_mean[c] - r * sum_g) / n)
        for a in range(count):
            for s in range(size):
                dx[a, c, s] = g[a, c, s] * factor + (x[a, c, s] - m) * slope + constant


# ---- columns: x and g are vectors of rows of c numbers. Rows are taken some at a time, which stay in the first cache
@jit
def rows_of_a_block(c):
    """So many, that sums of them are exact enough in x's own dtype: blocks are added up in double precision."""
    return min(64, max(2, 2048 // c))


@jit
def sums_of_products(p, p_shift, q, q_shift, first, end, c, k):
    """Σ (p - p_shift) and Σ (p - p_shift) (q - q_shift) over rows `first` … `end` - 1, for the register of columns from
    k on. Those of every other row are added up apart: a sum waits for the one before."""
    zero, some = splat(p, 0), c - k
    even, odd, products, others = zero, zero, zero, zero
    for row in range(first, end - 1, 2):
        i = row * c + k
        d, e = load_some(p, i, some) - p_shift, load_some(p, i + c, some) - p_shift
        even, odd = even + d, odd + e
        products = fma(d, load_some(q, i, some) - q_shift, products)
        others = fma(e, load_some(q, i + c, some) - q_shift, others)
    if (end - first) % 2:
        i = (end - 1) * c + k
        d = load_some(p, i, some) - p_shift
        even, products = even + d, fma(d, load_some(q, i, some) - q_shift, products)
    return even + odd, products + others


@jit
def join(sums, n, more, m, c):
    """Σ x and Σ (x - mean)² over n rows, in sums, become those over n and m more (Chan, Golub & LeVeque, 1979)."""
    for k in range(c):
        away = more[k] * (1 / max(m, 1)) - sums[k] * (1 / max(n, 1))
        sums[k] += more[k]
        sums[c + k] += more[c + k] + away * away * (n * m / max(n + m, 1))


@parallel
def moments_of_columns(worker, workers, x, c, sums):
    """sums[worker]: Σ x over the worker's rows, then Σ (x - mean)². The second is summed about the mean of each block,
    and so needs no second reading from memory."""
    part, total, zero = np.empty(2 * c, x.dtype), sums[worker], splat(x, 0)
    total[:] = 0
    share, size, x = span(worker, workers, len(x) // c), rows_of_a_block(c), at(x, 0)  # to pass arrays on takes longer
    for first in range(share.start, share.stop, size):
        end = min(first + size, share.stop)
        for k in range(0, c, lanes(x)):
            here = sums_of_products(x, zero, x, zero, first, end, c, k)[0]
            middle = here * (1 / (end - first))
            store_some(part, k, here, c - k)
            store_some(part, c + k, sums_of_products(x, middle, x, middle, first, end, c, k)[1], c - k)
        join(total, first - share.start, part, end - first, c)


@parallel
def standardize_columns(worker, workers, x, sums, scale, offset, eps, c, y, mean, var):
    """y = (x - mean) / √(var + ε) · scale + offset, by the moments of all workers' rows; and these two."""
    rows, total, slope, middle = len(x) // c, sums[0].copy(), np.empty(c, x.dtype), np.empty(c, x.dtype)
    for other in range(1, workers):
        share = span(other, workers, rows)
        join(total, share.start, sums[other], len(share), c)
    for k in range(c):
        middle[k], spread = total[k] / rows, x.dtype.type(total[c + k] / rows)
        slope[k] = scale[k] / math.sqrt(spread + eps)
        if worker == 0:
            mean[k], var[k] = middle[k], spread
    combine_columns(worker, workers, x, np.zeros(c, x.dtype), x, middle, slope, offset, c, y)


@parallel
def sums_of_columns(worker, workers, g, x, mean, c, sums):
    """sums[worker] = Σ g, then Σ g (x - mean), over the worker's rows."""
    part, total, zero = np.empty(2 * c, x.dtype), sums[worker], splat(x, 0)
    total[:] = 0
    share, size = span(worker, workers, len(x) // c), rows_of_a_block(c)
    g, x = at(g, 0), at(x, 0)
    for first in range(share.start, share.stop, size):
        for k in range(0, c, lanes(x)):
            here, products = sums_of_products(g, zero, x, load_some(mean, k, c - k), first,
                                              min(first + size, share.stop), c, k)
            store_some(part, k, here, c - k)
            store_some(part, c + k, products, c - k)
        for k in range(2 * c):
            total[k] += part[k]


@parallel
def gradient_of_columns(worker, workers, g, of_mean, of_var, x, sums, scale, mean, var, eps, c, dx, dscale, doffset):
    """dx = direct + (x - mean) · slope + constant, for direct = g · scale · rstd, by the sums of all workers' rows; and
    the gradients of scale and offset."""
    n, factor, slope, constant = len(x) // c, np.empty(c, x.dtype), np.empty(c, x.dtype), np.empty(c, x.dtype)
    for k in range(c):
        sum_g, sum_gx = 0.0, 0.0
        for other in range(workers):
            sum_g += sums[other, k]
            sum_gx += sums[other, c + k]
        r = 1 / math.sqrt(var[k] + eps)
        factor[k] = r * scale[k]
        slope[k] = (2 * of_var[k] - r * r * r * scale[k] * sum_gx) / n
        constant[k] = (of_mean[k] - r * scale[k] * sum_g) / n
        if worker == 0:
            dscale[k], doffset[k] = sum_gx * r, sum_g
    combine_columns(worker, workers, g, factor, x, mean, slope, constant, c, dx)


@jit
def combine_columns(worker, workers, p, factor, q, q_shift, slope, constant, c, y):
    """y = p · factor + (q - q_shift) · slope + constant, for the worker's rows."""
    share, size = span(worker, workers, len(p) // c), rows_of_a_block(c)
    for first in range(share.start, share.stop, size):
        for k in range(0, c, lanes(p)):
            some = c - k
            a, shift = load_some(factor, k, some), load_some(q_shift, k, some)
            b, start = load_some(slope, k, some), load_some(constant, k, some)
            for row in range(first, min(first + size, share.stop)):
                i = row * c + k
                centred = load_some(q, i, some) - shift
                store_some(y, i, fma(centred, b, fma(load_some(p, i, some), a, start)), some)


# ---- for NumPy's arrays
def standardize(xp: Any, x: Any, w: Any, b: Any, *, dim: Axes, eps: float) -> Any:
    """(x - mean) / √(var + ε) · w + b, the mean and the variance over dim, and these two."""
    y, eps = aligned_like(x), x.dtype.type(eps)
    view, out, workers = view_of(x, dim), view_of(y, dim), workers_for(NANOSECONDS * x.size)
    c = view.shape[1]
    scale, offset, moments = _numbers(w, view, 1), _numbers(b, view, 0), np.empty((2, c), x.dtype)
    mean, var = moments
    if view.ndim == 3:
        standardize_runs(workers, view, scale, offset, eps, out, mean, var)
    else:
        vector, sums = view.reshape(-1), np.empty((workers, 2 * c))
        moments_of_columns(workers, vector, c, sums)
        standardize_columns(workers, vector, sums, scale, offset, eps, c, out.reshape(-1), mean, var)
    mean, var = moments.reshape(2, *[1 if d in dim else n for d, n in enumerate(x.shape)])
    return y, mean, var


def standardize_grad(xp: Any, g: Any, of_mean: Any, of_var: Any, x: Any, w: Any, mean: Any, var: Any, *, b_shape: Any,
                     dim: Axes, eps: float) -> Any:
    """The gradients of x, w and b."""
    dx, g = aligned_like(x), like(g, x)
    view_g, view, out = view_of(g, dim), view_of(x, dim), view_of(dx, dim)
    workers = workers_for(2 * NANOSECONDS * x.size)
    scale, number = _numbers(w, view, 1), x.dtype.type
    mean, var, of_mean, of_var = ravel(mean), ravel(var), ravel(of_mean), ravel(of_var)
    if view.ndim == 3:
        dscale, doffset = np.empty((2, len(scale)), x.dtype)
        gradient_of_runs(workers, view_g, of_mean, of_var, view, scale, mean, var, number(eps), out, dscale, doffset)
    else:
        c = view.shape[1]
        flat_g, flat_x, sums = view_g.reshape(-1), view.reshape(-1), np.empty((workers, 2 * c))
        dscale, doffset = np.empty((2, c), x.dtype)
        sums_of_columns(workers, flat_g, flat_x, mean, c, sums)
        gradient_of_columns(workers, flat_g, of_mean, of_var, flat_x, sums, scale, mean, var, number(eps), c,
                            out.reshape(-1), dscale, doffset)
    return dx, None if w is None else dscale.reshape(w.shape), None if b_shape is None else doffset.reshape(b_shape)


def _numbers(a: Any, view: Any, otherwise: float) -> Any:
    """A weight or a bias as it enters the loops: 1-d, and the same number everywhere where there is none."""
    if a is None:
        return np.full(view.shape[1], otherwise, view.dtype)
    return ravel(a)
