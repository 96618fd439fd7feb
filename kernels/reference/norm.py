"""Normalization: shifted and scaled to mean 0 and variance 1 over some axes, then scaled and shifted as learnt."""
from __future__ import annotations

import math
from typing import Any

from .. import kernel

Axes = tuple[int, ...]


@kernel("reference")
def standardize(xp: Any, x: Any, w: Any, b: Any, *, dim: Axes, eps: float) -> Any:
    """(x - mean) / √(var + ε) · w + b, the mean and the variance over dim, and these two. w, b: of any shape that
    broadcasts to x's, or None."""
    n = _count(x, dim)
    mean = x.sum(axis=dim, keepdims=True) / n
    y = x - mean
    var = (y * y).sum(axis=dim, keepdims=True) / n
    y *= 1 / xp.sqrt(var + eps)
    if w is not None:
        y *= w
    if b is not None:
        y += b
    return y, mean, var


@kernel("reference")
def standardize_grad(xp: Any, g: Any, of_mean: Any, of_var: Any, x: Any, w: Any, mean: Any, var: Any, *, b_shape: Any,
                     dim: Axes, eps: float) -> Any:
    """The gradients of x, w and b (None where there is none) when those of standardize's outputs are g, of_mean and
    of_var. x enters its own mean and variance: it takes a multiple of x - mean from g, and a constant."""
    n, rstd, y = _count(x, dim), 1 / xp.sqrt(var + eps), x - mean
    direct = (g if w is None else g * w) * rstd
    slope = (of_var * 2 - rstd * rstd * (direct * y).sum(axis=dim, keepdims=True)) / n
    dx = direct + y * slope + (of_mean - direct.sum(axis=dim, keepdims=True)) / n
    dw = None if w is None else _summed(g * (y * rstd), w.shape)
    return dx, dw, None if b_shape is None else _summed(g, b_shape)


def _summed(a: Any, shape: Axes) -> Any:
    """a, summed over the axes along which `shape` is repeated to be as large."""
    lead = a.ndim - len(shape)
    repeated = tuple(lead + k for k, n in enumerate(shape) if n == 1)
    return a.sum(axis=(*range(lead), *repeated), keepdims=True).reshape(shape)


def _count(x: Any, dim: Axes) -> Any:
    return math.prod(x.shape[d] for d in dim) or math.nan
