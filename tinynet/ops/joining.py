"""Joining tensors and cutting them: cat and split, stack and unbind are each other's derivative."""
from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from tinynet.dtypes import Array, result_type
from tinynet.errors import check_dim, check_tensor
from tinynet.ops._primitive import primitive
from tinynet.ops.elementwise import cast
from tinynet.ops.shape import sizes


@primitive
def cat_(xp: Any, *tensors: Array, dim: int = 0) -> Array:
    """The tensors one after the other along dim."""
    return xp.concatenate(tensors, dim)


@primitive(new_dim=True)
def stack_(xp: Any, *tensors: Array, dim: int = 0) -> Array:
    """The tensors side by side along a new dim."""
    return xp.stack(tensors, dim)


@primitive(view=True)
def split_with_sizes(xp: Any, a: Array, *, split_sizes: Sequence[int], dim: int = 0) -> tuple[Array, ...]:
    """a cut along dim into pieces of these sizes. Views."""
    if min(split_sizes, default=0) < 0:
        raise RuntimeError("split_with_sizes expects split_sizes have only non-negative entries, but got "
                           f"split_sizes={list(split_sizes)}")
    if sum(split_sizes) != a.shape[dim]:
        raise RuntimeError(f"split_with_sizes expects split_sizes to sum exactly to {a.shape[dim]} (input "
                           f"tensor's size at dimension {dim}), but got split_sizes={list(split_sizes)}")
    before, ends = (slice(None),) * dim, accumulate(split_sizes)
    return tuple(a[(*before, slice(end - n, end))] for n, end in zip(split_sizes, ends, strict=True))


@primitive(view=True)
def unbind(xp: Any, a: Array, *, dim: int = 0) -> tuple[Array, ...]:
    """The slices along dim, each without it. Views.

    >>> tn.unbind(tn.tensor([[1, 2], [3, 4]]))
    (tensor([1, 2]), tensor([3, 4]))
    """
    if not a.ndim:
        raise IndexError("Dimension specified as 0 but tensor has no dimensions")
    return tuple(a[(*(slice(None),) * dim, k, ...)] for k in range(a.shape[dim]))


def _joined(parts: Sequence[Any], dim: int) -> Any:
    """cat_(parts), which takes no copy of arrays that lie so already."""
    whole = getattr(parts[0], "base", None)
    if type(whole) is np.ndarray and whole.flags.c_contiguous and all(type(p) is np.ndarray for p in parts):
        shape = list(parts[0].shape)
        shape[dim] = sum(p.shape[dim] for p in parts)
        if whole.size == math.prod(shape) and whole.dtype == parts[0].dtype:
            whole = whole.reshape(shape)
            wide, here = whole.strides[dim], whole.__array_interface__["data"][0]
            for p in parts:
                if p.strides != whole.strides or p.__array_interface__["data"][0] != here:
                    return cat_(*parts, dim=dim)
                here += p.shape[dim] * wide
            return whole
    return cat_(*parts, dim=dim)


cat_.vjp_all(lambda g, wanted, tensors_shape, dim:
             split_with_sizes(g, split_sizes=[s[dim] for s in tensors_shape], dim=dim))
stack_.vjp_all(lambda g, wanted, dim: unbind(g, dim=dim))
split_with_sizes.vjp(a=lambda g, dim: _joined(g, dim))
unbind.vjp(a=lambda g, dim: stack_(*g, dim=dim))


def cat(tensors: Sequence[Any], dim: int = 0) -> Any:
    """The tensors one after the other along dim. Their other sizes must agree; their dtypes are promoted.

    >>> tn.cat([tn.tensor([1, 2]), tn.tensor([3.])])
    tensor([1., 2., 3.])
    """
    tensors = _list("cat", tensors, ValueError, "cat(): expected a non-empty list of Tensors")
    tensors = [t for t in tensors if t.shape != (0,)] or tensors  # tensor([]) stands for "nothing yet"
    first = tensors[0].shape
    for k, t in enumerate(tensors):
        if not t.ndim:
            raise RuntimeError(f"zero-dimensional tensor (at position {k}) cannot be concatenated; use stack")
        if t.ndim != len(first):
            raise RuntimeError(f"Tensors must have same number of dimensions: got {len(first)} and {t.ndim} "
                               f"(shapes {list(first)} and, for tensor number {k} in the list, "
                               f"{list(t.shape)})")
    dim = check_dim(dim, len(first))
    for k, t in enumerate(tensors):
        for d, (n, m) in enumerate(zip(first, t.shape, strict=True)):
            if n != m and d != dim:
                raise RuntimeError(f"Sizes of tensors must match except in dimension {dim}. Expected size "
                                   f"{n} but got size {m} for tensor number {k} in the list (shapes "
                                   f"{list(first)} and {list(t.shape)})")
    return cat_(*tensors, dim=dim)


def stack(tensors: Sequence[Any], dim: int = 0) -> Any:
    """The tensors, all of one shape, side by side along a new dim.

    >>> tn.stack([tn.tensor([1, 2]), tn.tensor([3, 4])], 1)
    tensor([[1, 3],
            [2, 4]])
    """
    tensors = _list("stack", tensors, RuntimeError, "stack expects a non-empty TensorList")
    for k, t in enumerate(tensors):
        if t.shape != tensors[0].shape:
            raise RuntimeError("stack expects each tensor to be equal size, but got "
                               f"{list(tensors[0].shape)} at entry 0 and {list(t.shape)} at entry {k}")
    return stack_(*tensors, dim=dim)


def _list(op: str, tensors: Any, error: type[Exception], text: str) -> list[Any]:
    """The tensors in one dtype; the error if there are none."""
    if not isinstance(tensors, (tuple, list)):
        raise TypeError(f"{op}(): argument 'tensors' must be tuple of Tensors, not {type(tensors).__name__}")
    if not tensors:
        raise error(text)
    for k, t in enumerate(tensors):
        if not hasattr(t, "dtype"):
            raise TypeError(f"{op}(): expected Tensor as element {k}, but got {type(t).__name__}")
    dtype = result_type(tensors) if len({t.dtype for t in tensors}) > 1 else tensors[0].dtype
    return [t if t.dtype == dtype else cast(t, dtype=dtype) for t in tensors]


def hstack(tensors: Sequence[Any]) -> Any:
    """Joined side by side: along dim 1, vectors along dim 0.

    >>> tn.hstack([tn.tensor([1, 2]), tn.tensor([3])])
    tensor([1, 2, 3])
    """
    tensors = _list("hstack", tensors, RuntimeError, "hstack expects a non-empty TensorList")
    tensors = [t if t.ndim else t.reshape((1,)) for t in tensors]
    return cat(tensors, dim=0 if tensors[0].ndim == 1 else 1)


def vstack(tensors: Sequence[Any]) -> Any:
    """Joined one below the other: along dim 0, a vector being a row.

    >>> tn.vstack([tn.tensor([1, 2]), tn.tensor([[3, 4]])]).shape
    (2, 2)
    """
    tensors = _list("vstack", tensors, RuntimeError, "vstack expects a non-empty TensorList")
    return cat([t if t.ndim > 1 else t.reshape((1, math.prod(t.shape))) for t in tensors], dim=0)


def split(tensor: Any, split_size_or_sections: int | Sequence[int], dim: int = 0) -> Any:
    """Cut along dim into pieces of one size (the last may be smaller), or of the sizes in a list. Views.

    >>> tn.split(tn.arange(5), 2)
    (tensor([0, 1]), tensor([2, 3]), tensor([4]))
    """
    check_tensor("split", tensor, "tensor")
    if not tensor.ndim:
        raise RuntimeError("split expects at least a 1-dimensional tensor")
    if isinstance(split_size_or_sections, (tuple, list)):
        return split_with_sizes(tensor, split_sizes=sizes(split_size_or_sections), dim=dim)
    size, n = sizes((split_size_or_sections,))[0], tensor.shape[check_dim(dim, tensor.ndim)]
    if size < 0:
        raise RuntimeError(f"split expects split_size be non-negative, but got split_size={size}")
    if size == 0 and n:
        raise RuntimeError(f"split_size can only be 0 if dimension size is 0, but got dimension size of {n}")
    pieces = [min(size, n - k) for k in range(0, n, size)] if n else [0]
    return split_with_sizes(tensor, split_sizes=pieces, dim=dim)


def chunk(input: Any, chunks: int, dim: int = 0) -> Any:
    """Cut along dim into at most `chunks` pieces of equal size (the last may be smaller). Views.

    >>> tn.chunk(tn.arange(5), 3)
    (tensor([0, 1]), tensor([2, 3]), tensor([4]))
    """
    check_tensor("chunk", input)
    if not input.ndim:
        raise RuntimeError("chunk expects at least a 1-dimensional tensor")
    if sizes((chunks,))[0] < 1:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    n = input.shape[check_dim(dim, input.ndim)]
    return split(input, -(-n // chunks) if n else [0] * chunks, dim)
