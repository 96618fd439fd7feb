"""Softmax and cross-entropy. The largest score is subtracted first, so that exp never overflows."""
from __future__ import annotations

from typing import Any

from .. import kernel


@kernel("reference")
def softmax(xp: Any, x: Any, *, dim: int) -> Any:
    """p = exp(x) / Σ exp(x) along dim."""
    if x.size == 0:
        return x.copy()
    e = xp.exp(x - x.max(dim, keepdims=True))
    return e / e.sum(dim, keepdims=True)


@kernel("reference")
def log_softmax(xp: Any, x: Any, *, dim: int) -> Any:
    """log p = x - log Σ exp(x) along dim."""
    if x.size == 0:
        return x.copy()
    z = x - x.max(dim, keepdims=True)
    return z - xp.log(xp.exp(z).sum(dim, keepdims=True))


@kernel("reference")
def soft_labels(xp: Any, labels: Any, weight: Any = None, *, classes: int, ignore_index: int,
                label_smoothing: float, dtype: Any) -> Any:
    """The share of each class in the loss, q[n, c] = w[c] ((1 - ε) [c is the label of n] + ε / C), ε being
    label_smoothing; 0 for all c if the label is ignore_index. labels (N, …) -> q (N, C, …)."""
    along_axis_1 = (-1, *[1] * (labels.ndim - 1))
    labels = labels[:, None]
    is_label = (labels == xp.arange(classes).reshape(along_axis_1)).astype(dtype)
    q = (is_label * (1 - label_smoothing) + label_smoothing / classes) * (labels != ignore_index)
    return q if weight is None else q * weight.reshape(along_axis_1)


@kernel("reference")
def cross_entropy(xp: Any, x: Any, q: Any) -> Any:
    """Losses -Σ_c q log p (N, …) of scores x (N, C, …), and p = softmax(x). Where q is 0, log p may be -∞."""
    log_p = log_softmax(xp, x, dim=1)
    return -(q * xp.where(q == 0, 0, log_p)).sum(1), xp.exp(log_p)


@kernel("reference")
def cross_entropy_grad(xp: Any, g: Any, p: Any, q: Any) -> Any:
    """The gradient of the scores: g (p Σ_c q - q)."""
    return g[:, None] * (p * q.sum(1, keepdims=True) - q)


@kernel("reference")
def label_loss(xp: Any, x: Any, labels: Any) -> Any:
    """The mean of -log p[n, label n], for scores x (N, C, …), labels (N, …), and p = softmax(x)."""
    log_p = log_softmax(xp, x, dim=1)
    return -xp.take_along_axis(log_p, labels[:, None], 1).mean(), xp.exp(log_p)


@kernel("reference")
def label_loss_grad(xp: Any, g: Any, p: Any, labels: Any) -> Any:
    """The gradient of the scores, g / N (p - [c is the label]), when that of the mean is g."""
    g = g / labels.size
    slope = p * g
    label = labels[:, None]
    xp.put_along_axis(slope, label, xp.take_along_axis(slope, label, 1) - g, 1)
    return slope
