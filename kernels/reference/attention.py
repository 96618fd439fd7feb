"""Attention: values v (…, S, F) mixed by how well their keys k (…, S, E) fit the queries q (…, L, E)."""
from __future__ import annotations

from typing import Any

from .. import kernel


@kernel("reference")
def attention(xp: Any, q: Any, k: Any, v: Any, mask: Any = None, *, scale: float, causal: bool) -> tuple[Any, Any]:
    """p v (…, L, F) and p = softmax(scale q kᵀ + mask) (…, L, S); p is 0 where a query may see no key at all.

    mask broadcasts to p: numbers to add, or bools, False as good as -∞. causal: query i sees keys 0 … i."""
    scores = (q * scale) @ k.swapaxes(-1, -2)
    if mask is not None:
        scores += _bias(xp, mask, q.dtype) if mask.dtype.kind == "b" else mask
    if causal:
        scores += _bias(xp, xp.tri(*scores.shape[-2:], dtype=bool), q.dtype)
    if not scores.size:
        return scores @ v, scores
    top = scores.max(-1, keepdims=True)
    p = xp.exp(scores - xp.where(top == -xp.inf, 0, top))
    total = p.sum(-1, keepdims=True)
    p /= xp.where(total == 0, 1, total)
    return p @ v, p


@kernel("reference")
def attention_grad(xp: Any, g: Any, u: Any, q: Any, k: Any, v: Any, p: Any, *, scale: float) -> tuple[Any, ...]:
    """The gradients of q, k, v and of the scores, when that of p v is g, and that of p itself u (None: zero)."""
    dp = g @ v.swapaxes(-1, -2)
    if u is not None:
        dp += u
    ds = p * (dp - (p * dp).sum(-1, keepdims=True))
    return (ds @ k) * scale, (ds.swapaxes(-1, -2) @ q) * scale, p.swapaxes(-1, -2) @ g, ds


def _bias(xp: Any, allowed: Any, dtype: Any) -> Any:
    return xp.where(allowed, 0, -xp.inf).astype(dtype)
