"""Attention: values mixed by how well their keys fit each query."""
from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinynet import kernels
from tinynet.autograd.fit import unbroadcast
from tinynet.autograd.variable import Variable, raw, wrap
from tinynet.device import backend
from tinynet.dtypes import bool_, float32, name
from tinynet.errors import check_tensor
from tinynet.ops._dims import WIDE, Shape
from tinynet.ops._primitive import from_plain, primitive
from tinynet.ops.activation import softmax_
from tinynet.ops.discrete import where
from tinynet.ops.dropout import dropout
from tinynet.ops.elementwise import cast
from tinynet.ops.matmul import matmul
from tinynet.ops.shape import expand, mT

_NAME = "scaled_dot_product_attention"


# ---- the primitive: query (…, L, E), key (…, S, E), value (…, S, F), all with the same leading axes
@primitive(outputs="out tops totals", hidden=2)
def attention_(xp: Any, query: Any, key: Any, value: Any, mask: Any = None, *, scale: float, causal: bool) -> Any:
    """probs value, for probs = softmax(scale query keyᵀ + mask), and what the gradient makes probs of."""
    return kernels.run("attention", xp, query, key, value, mask, scale=scale, causal=causal)


def _rule(g: Any, wanted: list[bool], query: Any, key: Any, value: Any, mask: Any, tops: Any, totals: Any, scale: float,
          causal: bool) -> list[Any]:
    if not isinstance(g[0], Variable):
        *grads, ds = kernels.run("attention_grad", backend(query), g[0], query, key, value, mask, tops, totals,
                                 scale=scale, causal=causal, scores=wanted[3])
        return [*grads, unbroadcast(ds, mask.shape) if wanted[3] else None]

    def plainly(query: Any, key: Any, value: Any, mask: Any = mask) -> Any:
        return matmul(_probabilities(query, key, mask, scale, causal), value)

    given = [query, key, value, mask][:3 + wanted[3]]
    return [*from_plain(plainly)(g[0], wanted[:len(given)], *given), None][:4]


attention_.vjp_all(_rule)


# ---- what users call
def scaled_dot_product_attention(query: Any, key: Any, value: Any, attn_mask: Any = None, dropout_p: float = 0.0,
                                 is_causal: bool = False, *, scale: float | None = None,
                                 enable_gqa: bool = False) -> Any:
    """softmax(scale · query keyᵀ + attn_mask) value, for query (…, L, E), key (…, S, E), value (…, S, F).

    Leading axes broadcast. attn_mask broadcasts to (…, L, S): numbers to add, or bools, True where a query may see a
    key; a query that may see none gives 0. is_causal: query i sees keys 0 … i. scale: 1/√E unless given. dropout_p:
    probabilities are dropped, always. enable_gqa: each head of key and value (axis -3) serves several of query.
    RuntimeError for shapes and dtypes that do not fit. Vaswani et al., 2017.

    >>> q, k = tn.tensor([[0., 1.]]), tn.tensor([[1., 0.], [0., 1000.]])
    >>> tn.nn.functional.scaled_dot_product_attention(q, k, tn.tensor([[5.], [6.]]))
    tensor([[6.]])
    """
    _check_tensors(query=query, key=key, value=value)
    if enable_gqa:
        key, value = (_for_every_head(query, what, t) for what, t in (("key", key), ("value", value)))
    lead = _leading_axes(query, key, value)
    if is_causal and attn_mask is not None:
        raise RuntimeError(f"{_NAME}: Explicit attn_mask should not be set when is_causal=True: a mask says it all")
    if not 0 <= dropout_p <= 1:
        raise RuntimeError(f"dropout probability has to be between 0 and 1, but got {dropout_p}")
    mask, dtype = _fitted_mask(query, key, attn_mask), query.dtype
    query, key, value = (_made(t, (*lead, *t.shape[-2:]), WIDE.get(dtype, dtype)) for t in (query, key, value))
    scale = _scale(query) if scale is None else float(scale)
    if dropout_p:
        out = matmul(dropout(_probabilities(query, key, mask, scale, is_causal), dropout_p), value)
    else:
        out = attention_(query, key, value, mask, scale=scale, causal=is_causal)
    return _made(out, out.shape, dtype)


def attention_weights(query: Any, key: Any, mask: Any = None) -> Any:
    """softmax(query keyᵀ / √E + mask) (…, L, S) by itself; nan for a query that may see no key."""
    mask, dtype = _fitted_mask(query, key, mask), query.dtype
    query, key = (_made(t, t.shape, WIDE.get(dtype, dtype)) for t in (query, key))
    probs = softmax_(_scores(query, key, mask, _scale(query)), dim=-1)
    return _made(probs, probs.shape, dtype)


def as_bias(allowed: Any, dtype: Any) -> Any:
    """A mask of bools as numbers to add: 0 for True, -∞ for False."""
    return cast(where(allowed, 0.0, -math.inf), dtype=dtype)


def _probabilities(query: Any, key: Any, mask: Any, scale: float, causal: bool) -> Any:
    """softmax(scale query keyᵀ + mask), 0 for a query that may see no key."""
    scores = _scores(query, key, mask, scale)
    if causal:
        seen = backend(raw(query)).tri(*scores.shape[-2:], dtype=bool)
        scores = scores + as_bias(wrap(seen), query.dtype)
    blind = (scores == -math.inf).all(axis=-1, keepdims=True)
    return where(blind, 0.0, softmax_(where(blind, 0.0, scores), dim=-1))


def _scores(query: Any, key: Any, mask: Any, scale: float) -> Any:
    scores = matmul(query * scale, mT(key))
    if mask is None:
        return scores
    return scores + (as_bias(mask, query.dtype) if mask.dtype == bool_ else mask)


def _scale(query: Any) -> float:
    return 1 / math.sqrt(query.shape[-1] or 1)


def _made(t: Any, shape: Shape, dtype: Any) -> Any:
    """t of this shape and dtype."""
    t = t if t.dtype == dtype else cast(t, dtype=dtype)
    return t if t.shape == shape else expand(t, shape=shape)


def _for_every_head(query: Any, what: str, t: Any) -> Any:
    """Each head of t as often as query has heads for it: (…, H, S, E) -> (…, Hq, S, E)."""
    if query.ndim < 3 or t.ndim < 3:
        raise IndexError(f"{_NAME}: Dimension out of range: enable_gqa=True wants an axis -3 of heads, but got a query "
                         f"of shape {query.shape} and a {what} of shape {t.shape}")
    *lead, heads, s, e = t.shape
    many = query.shape[-3]
    if not heads or many % heads:
        raise RuntimeError(f"{_NAME}: Number of heads in key and value must divide the number of heads in query, but "
                           f"{what} has {heads}, query {many} (axis -3)")
    each = many // heads
    if each == 1:
        return t
    return expand(t.reshape((*lead, heads, 1, s, e)), shape=(*lead, heads, each, s, e)).reshape((*lead, many, s, e))


# ---- checks
def _check_tensors(**tensors: Any) -> None:
    for what, t in tensors.items():
        check_tensor(_NAME, t, what)
    ndims, dtypes = [t.ndim for t in tensors.values()], [t.dtype for t in tensors.values()]
    if min(ndims) < 2:
        raise RuntimeError(f"{_NAME}: Expected query, key, and value to all be at least 2 dimensional, but got "
                           f"query.ndim: {ndims[0]}, key.ndim: {ndims[1]} and value.ndim: {ndims[2]}")
    if len(set(dtypes)) > 1:
        raise RuntimeError(f"{_NAME}: Expected query, key, and value to have the same dtype, but got query.dtype: "
                           f"{name(dtypes[0])}, key.dtype: {name(dtypes[1])} and value.dtype: {name(dtypes[2])}; "
                           f"convert with .to(dtype)")
    if dtypes[0].kind != "f":
        raise RuntimeError(f"{_NAME}: expected query, key and value of floating point, but got {name(dtypes[0])}: use "
                           f".float()")


def _leading_axes(query: Any, key: Any, value: Any) -> Shape:
    q, k, v = query.shape, key.shape, value.shape
    if q[-1] == k[-1] and k[-2] == v[-2] and q[:-2] == k[:-2] == v[:-2]:
        return q[:-2]
    shapes = f"query {q}, key {k}, value {v}"
    if query.shape[-1] != key.shape[-1]:
        raise RuntimeError(f"{_NAME}: query and key must have equally many features (axis -1), but got {shapes}")
    if key.shape[-2] != value.shape[-2]:
        raise RuntimeError(f"{_NAME}: key and value must be equally long (axis -2), but got {shapes}")
    try:
        return np.broadcast_shapes(*(t.shape[:-2] for t in (query, key, value)))
    except ValueError:
        raise RuntimeError(f"{_NAME}: all axes but the last two must match or be 1, but got {shapes}; for a query of "
                           f"more heads (axis -3) pass enable_gqa=True") from None


def _fitted_mask(query: Any, key: Any, mask: Any) -> Any:
    """The mask, as bools or of the dtype that we compute in."""
    if mask is None:
        return None
    check_tensor(_NAME, mask, "attn_mask")
    if mask.dtype not in (bool_, float32, query.dtype):
        raise RuntimeError(f"{_NAME}: Expected attn_mask dtype to be bool or float or to match query dtype, but got "
                           f"attn_mask.dtype: {name(mask.dtype)} and query.dtype: {name(query.dtype)}; convert it "
                           f"with .to(dtype)")
    lead = np.broadcast_shapes(query.shape[:-2], key.shape[:-2])
    wanted = (*lead, query.shape[-2], key.shape[-2])
    try:
        fits = np.broadcast_shapes(mask.shape, wanted) == wanted
    except ValueError:
        fits = False
    if not fits:
        raise RuntimeError(f"{_NAME}: attn_mask must broadcast to the scores (…, L, S) = {wanted}, but got the shape "
                           f"{mask.shape}")
    dtype = WIDE.get(query.dtype, query.dtype)
    return mask if mask.dtype in (bool_, dtype) else cast(mask, dtype=dtype)
