"""Softmax and cross-entropy, a row of scores at a time: it is read three times, but from memory only once.

The sums are of vectors, never of numbers: among those the compiler may move brackets, and x - (top + log) is not
(x - top) - log where both are large.
"""
from __future__ import annotations

import math
from typing import Any

import numpy as np

from .compiler import jit, parallel, span
from .functions import exp, larger, load_some
from .layout import ravel
from .threads import workers_for
from .vector import lanes, largest, load_else, splat, store_some, total, where


@jit
def exponentials(x, start, n, out):
    """out = exp(x - top), for a row of n and its largest, top. Returns top and the sum."""
    size = lanes(x)
    nothing = splat(x, -math.inf)
    tops, sums = nothing, splat(x, 0)
    for k in range(0, n, size):
        tops = larger(tops, load_else(x, start + k, n - k, tops))
    top = largest(tops)
    for k in range(0, n, size):
        e = exp(load_else(x, start + k, n - k, nothing) - top)
        store_some(out, start + k, e, n - k)
        sums = sums + e
    return top, total(sums)


@parallel
def softmax_rows(worker, workers, x, n, out):
    """out = exp(x) / Σ exp(x), for rows of n."""
    for row in span(worker, workers, len(x) // n):
        _, whole = exponentials(x, row * n, n, out)
        share = 1 / whole
        for k in range(0, n, lanes(x)):
            store_some(out, row * n + k, load_some(out, row * n + k, n - k) * share, n - k)


@parallel
def log_softmax_rows(worker, workers, x, n, out):
    """out = x - log Σ exp(x), for rows of n."""
    for row in span(worker, workers, len(x) // n):
        top, whole = exponentials(x, row * n, n, out)
        log = np.log(whole)
        for k in range(0, n, lanes(x)):
            store_some(out, row * n + k, load_some(x, row * n + k, n - k) - top - log, n - k)


@parallel
def losses_of_rows(worker, workers, x, q, n, losses, p):
    """losses = -Σ q log p, p = softmax(x), for rows of n. Where q is 0, log p may be -∞."""
    zero = splat(x, 0)
    for row in span(worker, workers, len(x) // n):
        top, whole = exponentials(x, row * n, n, p)
        log, share, sums = np.log(whole), 1 / whole, zero
        for k in range(0, n, lanes(x)):
            at, some = row * n + k, n - k
            weight = load_some(q, at, some)
            sums = sums - where(weight != zero, weight * (load_some(x, at, some) - top - log), zero)
            store_some(p, at, load_some(p, at, some) * share, some)
        losses[row] = total(sums)


@parallel
def slopes_of_rows(worker, workers, g, p, q, n, dx):
    """dx = g (p Σ q - q), for rows of n."""
    for row in span(worker, workers, len(p) // n):
        sums = splat(p, 0)
        for k in range(0, n, lanes(p)):
            sums = sums + load_some(q, row * n + k, n - k)
        whole = total(sums)
        for k in range(0, n, lanes(p)):
            at, some = row * n + k, n - k
            store_some(dx, at, (load_some(p, at, some) * whole - load_some(q, at, some)) * g[row], some)


@parallel
def losses_of_labels(worker, workers, x, labels, n, losses, p):
    """losses = -log p[label], p = softmax(x), for rows of n."""
    for row in span(worker, workers, len(x) // n):
        top, whole = exponentials(x, row * n, n, p)
        share, losses[row] = 1 / whole, top + np.log(whole) - x[row * n + labels[row]]
        for k in range(0, n, lanes(x)):
            store_some(p, row * n + k, load_some(p, row * n + k, n - k) * share, n - k)


@parallel
def slopes_of_labels(worker, workers, g, p, labels, n, dx):
    """dx = g (p - [k is the label]), for rows of n."""
    for row in span(worker, workers, len(p) // n):
        for k in range(0, n, lanes(p)):
            store_some(dx, row * n + k, load_some(p, row * n + k, n - k) * g, n - k)
        dx[row * n + labels[row]] = dx[row * n + labels[row]] - g


# ---- for NumPy's arrays
def as_rows(x: Any, dim: int) -> Any:
    """x with axis dim last, as one vector."""
    y = x if dim in (-1, x.ndim - 1) else np.moveaxis(x, dim, -1)
    return ravel(y)


def from_rows(rows: Any, x: Any, dim: int) -> Any:
    """An array shaped like x of such a vector."""
    if dim in (-1, x.ndim - 1):
        return rows.reshape(x.shape)
    return np.moveaxis(rows.reshape(np.moveaxis(x, dim, -1).shape), -1, dim)


def softmax(xp: Any, x: Any, *, dim: int) -> Any:
    """exp(x) / Σ exp(x) along dim."""
    out = np.empty(x.size, x.dtype)
    softmax_rows(workers_for(2 * x.size), as_rows(x, dim), x.shape[dim], out)
    return from_rows(out, x, dim)


def log_softmax(xp: Any, x: Any, *, dim: int) -> Any:
    """x - log Σ exp(x) along dim."""
    out = np.empty(x.size, x.dtype)
    log_softmax_rows(workers_for(2 * x.size), as_rows(x, dim), x.shape[dim], out)
    return from_rows(out, x, dim)


def cross_entropy(xp: Any, x: Any, q: Any) -> tuple[Any, Any]:
    """-Σ_c q log p, and p = softmax(x)."""
    p, losses = np.empty(x.size, x.dtype), np.empty(x.shape[:1] + x.shape[2:], x.dtype)
    losses_of_rows(workers_for(4 * x.size), as_rows(x, 1), as_rows(q, 1), x.shape[1], losses.reshape(-1), p)
    return losses, from_rows(p, x, 1)


def cross_entropy_grad(xp: Any, g: Any, p: Any, q: Any) -> Any:
    """g (p Σ_c q - q)"""
    dx = np.empty(p.size, p.dtype)
    g = ravel(g)
    slopes_of_rows(workers_for(2 * p.size), g, as_rows(p, 1), as_rows(q, 1), p.shape[1], dx)
    return from_rows(dx, p, 1)


def label_loss(xp: Any, x: Any, labels: Any) -> tuple[Any, Any]:
    """The mean of -log p[n, label n], and p = softmax(x)."""
    p, losses = np.empty(x.size, x.dtype), np.empty(labels.size, x.dtype)
    losses_of_labels(workers_for(3 * x.size), as_rows(x, 1), ravel(labels), x.shape[1], losses,
                     p)
    return np.add.reduce(losses) / len(losses), from_rows(p, x, 1)


def label_loss_grad(xp: Any, g: Any, p: Any, labels: Any) -> Any:
    """g / N (p - [c is the label])"""
    dx = np.empty(p.size, p.dtype)
    slopes_of_labels(workers_for(p.size), p.dtype.type(float(g) / labels.size), as_rows(p, 1),
                     ravel(labels), p.shape[1], dx)
    return from_rows(dx, p, 1)
