"""Attention: values v (…, S, F) mixed by how well their keys k (…, S, E) fit the queries q (…, L, E)."""
from __future__ import annotations

from typing import Any

from .. import kernel


@kernel("reference")
def attention(xp: Any, q: Any, k: Any, v: Any, mask: Any = None, *, scale: float, causal: bool) -> tuple[Any, ...]:
    """p v (…, L, F), p = softmax(scale q kᵀ + mask); and of each query (…, L), what p is made of: its largest score,
    and the sum of the exponentials of all after that is subtracted. For a query that may see no key p is 0, and these
    are 0 and 1.

    mask broadcasts to the scores: numbers to add, or bools, False as good as -∞. causal: query i sees keys 0 … i."""
    scores = _scores(xp, q, k, mask, scale, causal)
    top = scores.max(-1) if scores.shape[-1] else xp.full(scores.shape[:-1], -xp.inf, scores.dtype)
    top = xp.where(top == -xp.inf, 0, top).astype(q.dtype)
    p = xp.exp(scores - top[..., None])
    total = p.sum(-1)
    total = xp.where(total == 0, 1, total).astype(q.dtype)
    return (p / total[..., None]) @ v, top, total


@kernel("reference")
def attention_grad(xp: Any, g: Any, q: Any, k: Any, v: Any, mask: Any, top: Any, total: Any, *, scale: float,
                   causal: bool, scores: bool) -> tuple[Any, ...]:
    """The gradients of q, k, v and (None unless asked for) of the scores, when that of p v is g."""
    p = xp.exp(_scores(xp, q, k, mask, scale, causal) - top[..., None]) / total[..., None]
    dp = g @ v.swapaxes(-1, -2)
    ds = p * (dp - (p * dp).sum(-1, keepdims=True))
    dq, dk = (ds @ k) * scale, (ds.swapaxes(-1, -2) @ q) * scale
    return dq, dk, p.swapaxes(-1, -2) @ g, ds if scores else None


def _scores(xp: Any, q: Any, k: Any, mask: Any, scale: float, causal: bool) -> Any:
    scores = (q * scale) @ k.swapaxes(-1, -2)
    if mask is not None:
        scores += _bias(xp, mask, q.dtype) if mask.dtype.kind == "b" else mask
    if causal:
        scores += _bias(xp, xp.tri(*scores.shape[-2:], dtype=bool), q.dtype)
    return scores


def _bias(xp: Any, allowed: Any, dtype: Any) -> Any:
    return xp.where(allowed, 0, -xp.inf).astype(dtype)
