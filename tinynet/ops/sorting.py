"""Elements by rank: in order, the k greatest, the middle one, each one once. nan ranks above everything."""
from __future__ import annotations

import math
import operator
from typing import Any

from tinynet.dtypes import Array, float32, float64, int64, name
from tinynet.ops._dims import not_empty, one_dim
from tinynet.ops._primitive import primitive
from tinynet.ops.reduce import numpy_names, pick, pick_rule, put_back, share


def _order(xp: Any, op: str, a: Array, dim: int, descending: bool) -> Array:
    """The indices that sort a along dim. Elements that tie stay in order, whichever way it is sorted."""
    one_dim(op, dim)
    if a.ndim == 0:
        return xp.zeros((), int64)
    if not descending:
        return xp.argsort(a, dim, kind="stable")
    return a.shape[dim] - 1 - xp.flip(xp.argsort(xp.flip(a, dim), dim, kind="stable"), dim)


def _at(xp: Any, a: Array, indices: Any, dim: int) -> Array:
    return xp.take_along_axis(a, indices, dim) if a.ndim else a.copy()


@primitive(outputs="values indices")
def sort(xp: Any, a: Array, *, dim: int = -1, descending: bool = False,
         stable: bool = False) -> tuple[Array, Array]:
    """The elements in order along dim, and where each was. Elements that tie always keep their order.

    >>> tn.sort(tn.tensor([3.0, 1.0, 2.0])).values
    tensor([1., 2., 3.])
    """
    indices = _order(xp, "sort", a, dim, descending)
    return _at(xp, a, indices, dim), indices


@primitive
def argsort(xp: Any, a: Array, *, dim: int = -1, descending: bool = False, stable: bool = False) -> Array:
    """The indices that put the elements in order along dim.

    >>> tn.argsort(tn.tensor([3.0, 1.0, 2.0]))
    tensor([1, 2, 0])
    """
    return _order(xp, "argsort", a, dim, descending)


@primitive(outputs="values indices")
def topk(xp: Any, a: Array, *, k: int, dim: int = -1, largest: bool = True,
         sorted: bool = True) -> tuple[Array, Array]:
    """The k greatest (largest=False: least) elements along dim, the first of them first, and their indices.

    >>> tn.topk(tn.tensor([3.0, 1.0, 2.0]), 2)
    topk(values=tensor([3., 2.]), indices=tensor([0, 2]))
    """
    indices = _order(xp, "topk", a, dim, largest)
    k, n = operator.index(k), a.shape[dim] if a.ndim else 1
    if not 0 <= k <= n:
        raise RuntimeError(f"topk(): selected index k out of range: {k} of {n} elements along dim {dim}")
    if a.ndim:
        indices = indices[(slice(None),) * (dim % a.ndim) + (slice(k),)]
    return _at(xp, a, indices, dim), indices


sort.vjp(a=lambda g, indices, a_shape, dim: put_back(g[0], indices, a_shape, dim))
topk.vjp(a=lambda g, indices, a_shape, dim: put_back(g[0], indices, a_shape, dim))


# ---- the median
def _middle(xp: Any, a: Array, dim: int) -> Array:
    """Where along dim the lower median is; the first nan, if there is one."""
    n = a.shape[dim]
    numbers = n - (a != a).sum(axis=dim, keepdims=True)  # the others are nan, and last
    rank = xp.where(numbers < n, numbers, (n - 1) // 2)
    return xp.take_along_axis(_order(xp, "median", a, dim, False), rank, dim)


@primitive(outputs="values indices")
def median_(xp: Any, a: Array, *, dim: int, keepdim: bool = False) -> tuple[Array, Array]:
    """The lower median along dim and its index, to which the gradient goes."""
    one_dim("median", dim)
    not_empty("median", a, dim)
    return pick(xp, a, _middle(xp, a, dim) if a.ndim else xp.zeros((), int64), dim, keepdim)


@primitive
def median_of_all(xp: Any, a: Array, *, keepdim: bool = False) -> Array:
    """The lower median; elements that tie share the gradient. Of nothing nan, or the least integer."""
    flat = a.reshape(-1)
    nothing = math.nan if a.dtype.kind == "f" else 0 if a.dtype.kind == "b" else xp.iinfo(a.dtype).min
    out = flat[_middle(xp, flat, 0)] if a.size else xp.full(1, nothing, a.dtype)
    return out.reshape((1,) * a.ndim if keepdim else ())


median_.vjp(a=pick_rule)
median_of_all.vjp(a=lambda g, a, out: share(g, a, out, None))


@numpy_names
def median(input: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """The middle element, of an even number the lower of the two; with dim, (values, indices) along it.

    >>> tn.median(tn.tensor([4.0, 1.0, 3.0, 2.0]))
    tensor(2.)
    """
    return median_of_all(input, keepdim=keepdim) if dim is None else median_(input, dim=dim, keepdim=keepdim)


# ---- each one once
@primitive
def unique(xp: Any, a: Array, *, sorted: bool = True, return_inverse: bool = False,
           return_counts: bool = False, dim: int | None = None) -> Any:
    """The different elements (with dim: slices) in order; if asked for, where each of the input is among
    them, and how often each occurs. No nan equals another.

    >>> tn.unique(tn.tensor([3, 1, 3]), return_counts=True)
    (tensor([1, 3]), tensor([1, 2]))
    """
    if dim is not None and a.ndim == 0:
        raise IndexError(f"unique(): Dimension specified as {dim} but tensor has no dimensions")
    if dim is not None and 0 in a.shape[:dim] + a.shape[dim + 1:]:
        raise RuntimeError(f"unique(): There are 0 sized dimensions, and they aren't selected: {a.shape}")
    values, inverse, counts = xp.unique(a, return_inverse=True, return_counts=True, axis=dim, equal_nan=False)
    results = [values]
    if return_inverse:
        results.append(inverse.reshape(a.shape if dim is None else -1))
    if return_counts:
        results.append(counts)
    return tuple(results) if len(results) > 1 else values


@primitive
def bincount(xp: Any, a: Array, weights: Array | None = None, *, minlength: int = 0) -> Array:
    """How often each of 0, 1, 2, … occurs in a vector of integers >= 0; with weights, the sum of theirs.

    >>> tn.bincount(tn.tensor([1, 3, 1]))
    tensor([0, 2, 0, 1])
    """
    if a.dtype.kind not in "iu":
        raise NotImplementedError(f"bincount() counts integers, not {name(a.dtype)}: convert with .long()")
    if a.ndim != 1 or (a.size and a.min() < 0):
        raise RuntimeError(f"bincount only supports 1-d non-negative integral inputs: shape "
                           f"{list(a.shape)}, least {a.min() if a.size else None}")
    if minlength < 0:
        raise RuntimeError(f"minlength should be >= 0, got {minlength}")
    if weights is not None and weights.shape != a.shape:
        raise RuntimeError(f"weights should be 1-d and have the same length as input: "
                           f"{list(weights.shape)} for {list(a.shape)}")
    dtype = int64 if weights is None else float32 if weights.dtype == float32 else float64
    return xp.bincount(a, weights, minlength).astype(dtype, copy=False)
