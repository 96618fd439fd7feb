"""Gradients made to fit the places they go to. Rules never do this themselves."""
from __future__ import annotations

from typing import Any

from tinynet.autograd.variable import Variable, raw, wrap
from tinynet.device import backend


def unbroadcast(g: Any, shape: tuple[int, ...]) -> Any:
    """The adjoint of broadcasting from `shape`: sum over the axes it added or stretched."""
    if g.shape == shape:
        return g
    lead = g.ndim - len(shape)
    stretched = (k + lead for k, n in enumerate(shape) if n == 1 and g.shape[k + lead] != 1)
    return g.sum(axis=(*range(lead), *stretched), keepdims=True).reshape(shape)


def fit_broadcast(g: Any, place: Any) -> Any:
    """g summed and cast to the shape and dtype of its place."""
    if g.shape != place.shape:
        g = unbroadcast(g, place.shape)
    if g.dtype == place.dtype:
        return g
    return g.to(place.dtype) if isinstance(g, Variable) else g.astype(place.dtype)  # type: ignore[attr-defined]


def zeros_where_unused(parts: list[Any], node: Any, shown: int) -> list[Any]:
    """Outputs nobody used have gradient zero; hidden outputs (from `shown` on) and integers stay None."""
    like = next(p for p in parts if p is not None)
    for k in range(shown):
        if parts[k] is None and node.dtype[k] is not None and node.dtype[k].kind == "f":
            parts[k] = zeros(node.shape[k], node.dtype[k], like)
    return parts


def zeros(shape: tuple[int, ...], dtype: Any, like: Any) -> Any:
    """A gradient of zeros: an array or a tensor, on the same device, as like is."""
    z = backend(raw(like)).zeros(shape, dtype)
    return wrap(z) if isinstance(like, Variable) else z
