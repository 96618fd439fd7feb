"""Running sums and products, and the product, whose gradient is made of running ones.

No rule divides by an element, which may be zero. cumprod is a linear recurrence, y_k = x_k y_{k-1}; its
adjoint is one too, run from the other end, and so is the adjoint of that: closed under differentiation.
"""
from __future__ import annotations

from itertools import pairwise
from typing import Any

from tinynet.dtypes import Array, float64
from tinynet.ops._dims import WIDE, Shape, one_dim, reduced, spread, summands
from tinynet.ops._primitive import primitive
from tinynet.ops.elementwise import cast
from tinynet.ops.shape import flip


@primitive(casts=True)
def cumsum(xp: Any, a: Array, *, dim: int, dtype: Any = None) -> Array:
    """out_k = x_0 + … + x_k along dim; of bools and integers int64. dtype: to cast the input to first.

    >>> tn.cumsum(tn.tensor([1, 2, 3]), dim=0)
    tensor([1, 3, 6])
    """
    return _running("cumsum", a, dim, dtype)


@primitive(casts=True)
def cumprod(xp: Any, a: Array, *, dim: int, dtype: Any = None) -> Array:
    """out_k = x_0 x_1 … x_k along dim; of bools and integers int64. dtype: to cast the input to first.

    >>> tn.cumprod(tn.tensor([1.0, 2.0, 3.0]), dim=0)
    tensor([1., 2., 6.])
    """
    return _running("cumprod", a, dim, dtype)


@primitive(casts=True)
def prod(xp: Any, a: Array, *, dim: int | None = None, keepdim: bool = False, dtype: Any = None) -> Array:
    """The product over all elements or one dim; of integers int64. dtype: to cast the input to first.

    >>> tn.prod(tn.tensor([2.0, 3.0, 4.0]))
    tensor(24.)
    """
    if dim is not None:
        one_dim("prod", dim)
    a, out = summands(a, dtype)
    axes, wide = reduced(a.shape, dim), WIDE.get(out, out)
    return xp.multiply.reduce(a, axis=axes, dtype=wide, keepdims=keepdim).astype(out, copy=False)


@primitive
def neighbour(xp: Any, a: Array, *, dim: int, reverse: bool = False, fill: float = 0) -> Array:
    """out_k = a_{k-1} along dim (reverse: a_{k+1}), and `fill` where there is none."""
    out = xp.full_like(a, fill)
    if a.ndim:
        early, late = ((slice(None),) * dim + (part,) for part in (slice(None, -1), slice(1, None)))
        to, fro = (early, late) if reverse else (late, early)
        out[to] = a[fro]
    return out


@primitive
def recurrence(xp: Any, a: Array, b: Array, *, dim: int, reverse: bool = False) -> Array:
    """out_k = a_k + b_k out_{k-1} along dim (reverse: out_{k+1})."""
    out = a.copy()
    if a.ndim:
        y, b = xp.moveaxis(out, dim, 0), xp.moveaxis(b, dim, 0)
        for before, k in pairwise(range(len(y))[::-1] if reverse else range(len(y))):
            y[k] += b[k] * y[before]
    return out


def _running(op: str, a: Array, dim: int, dtype: Any) -> Array:
    one_dim(op, dim)
    a, out = summands(a, dtype)
    line = a if a.ndim else a.reshape(1)
    result = getattr(line, op)(dim, dtype=float64 if out.kind == "f" else out)
    return result.reshape(a.shape).astype(out, copy=False)


def _from_the_end(f: Any, a: Any, dim: int) -> Any:
    return flip(f(flip(a, dims=(dim,)), dim=dim), dims=(dim,)) if a.ndim else f(a, dim=dim)


def _before(a: Any, dim: int) -> Any:
    """The product of the elements before each."""
    return neighbour(cumprod(a, dim=dim), dim=dim, fill=1)


def _adjoint(g: Any, b: Any, dim: int, reverse: bool = False) -> Any:
    """The recurrence run the other way, where what out_k passed on to its neighbour comes back to it."""
    return recurrence(g, neighbour(b, dim=dim, reverse=not reverse), dim=dim, reverse=not reverse)


def _recurrence_rule(g: Any, wanted: list[bool], b: Any, out: Any, dim: int, reverse: bool) -> list[Any]:
    u = _adjoint(g, b, dim, reverse)
    return [u, u * neighbour(out, dim=dim, reverse=reverse)]


def _prod_rule(g: Any, a: Any, a_shape: Shape, dim: int | None) -> Any:
    """g times the product of the other elements: of those before and those after."""
    a = _like(a, g)
    a, k = (a.reshape((-1,)), 0) if dim is None else (a, dim)
    return (spread(g, a.shape, k) * (_before(a, k) * _from_the_end(_before, a, k))).reshape(a_shape)


def _like(a: Any, g: Any) -> Any:
    return a if a.dtype == g.dtype else cast(a, dtype=g.dtype)


cumsum.vjp(a=lambda g, dim: _from_the_end(cumsum, g, dim))
cumprod.vjp(a=lambda g, a, out, dim: _adjoint(g, _like(a, g), dim) * neighbour(out, dim=dim, fill=1))
prod.vjp(a=_prod_rule)
neighbour.vjp(a=lambda g, dim, reverse: neighbour(g, dim=dim, reverse=not reverse))
recurrence.vjp_all(_recurrence_rule)
