"""Softmax and cross-entropy, each line of scores shared by a thread, a warp or a block: softmax.cu."""
from __future__ import annotations

import math
from typing import Any

from .launcher import empty, launch
from .sums import total

FEW, MANY = 4, 1024  # classes: up to which a thread, or a warp, takes a line by itself


def softmax(xp: Any, x: Any, *, dim: int) -> Any:
    """p = exp(x) / Σ exp(x) along dim."""
    return _along(xp, x, dim, 0)


def log_softmax(xp: Any, x: Any, *, dim: int) -> Any:
    """log p = x - log Σ exp(x) along dim."""
    return _along(xp, x, dim, 1)


def cross_entropy(xp: Any, x: Any, q: Any) -> tuple[Any, Any]:
    """Losses -Σ_c q log p (N, …) of scores x (N, C, …), and p = softmax(x)."""
    loss, p = empty(xp, (x.shape[0], *x.shape[2:]), x.dtype), empty(xp, x.shape, x.dtype)
    x, q = xp.ascontiguousarray(x), xp.ascontiguousarray(q)
    _launch(xp, "cross_entropy", x, 1, x=x, q=q, loss=loss, p=p)
    return loss, p


def cross_entropy_grad(xp: Any, g: Any, p: Any, q: Any) -> Any:
    """The gradient of the scores: g (p Σ_c q - q)."""
    dx = empty(xp, p.shape, p.dtype)
    g, p, q = (xp.ascontiguousarray(a) for a in (g, p, q))
    _launch(xp, "cross_entropy_grad", p, 1, g=g, p=p, q=q, dx=dx)
    return dx


def label_loss(xp: Any, x: Any, labels: Any) -> tuple[Any, Any]:
    """The mean of -log p[n, label n], and p = softmax(x)."""
    losses, p = empty(xp, labels.shape, x.dtype), empty(xp, x.shape, x.dtype)
    _launch(xp, "label_loss", x, 1, x=xp.ascontiguousarray(x), labels=xp.ascontiguousarray(labels), loss=losses, p=p)
    return total(xp, losses, 1 / labels.size), p


def label_loss_grad(xp: Any, g: Any, p: Any, labels: Any) -> Any:
    """The gradient of the scores, g / N (p - [c is the label]), when that of the mean is g."""
    dx = empty(xp, p.shape, p.dtype)
    _launch(xp, "label_loss_grad", p, 1, g=xp.asarray(g), p=xp.ascontiguousarray(p),
            labels=xp.ascontiguousarray(labels), dx=dx)
    return dx


def _along(xp: Any, x: Any, dim: int, log: int) -> Any:
    y, x = empty(xp, x.shape, x.dtype), xp.ascontiguousarray(x)
    _launch(xp, "softmax", x, dim % x.ndim, x=x, y=y, log=log)
    return y


def _launch(xp: Any, kernel: str, scores: Any, dim: int, **more: Any) -> None:
    classes, inner = scores.shape[dim], math.prod(scores.shape[dim + 1:])
    lines = scores.size // classes
    group = 1 if inner > 1 or classes <= FEW else 32 if classes <= MANY else 256
    launch(xp, f"{kernel}_{group}", (-(-lines * group // 256),), lines=lines, classes=classes, inner=inner, **more)
