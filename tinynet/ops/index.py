"""Reading and writing by index: x[...], gather and scatter, slices, masks, diagonals.

Reading at places and adding into them are each other's derivative, for each way of naming the places: getitem
and add_at, take_along and add_along, diagonal and add_diagonal.
"""
from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinynet import kernels
from tinynet.autograd.fit import unbroadcast
from tinynet.autograd.variable import raw, replay, wrap
from tinynet.device import backend, host
from tinynet.dtypes import Array, DType, int64, name
from tinynet.errors import check_dim, check_tensor
from tinynet.ops._index import ALL, Index, check_range, complain, window
from tinynet.ops._index import index_of as index_of
from tinynet.ops._index import is_basic as is_basic
from tinynet.ops._index import plain_index as plain_index
from tinynet.ops._primitive import primitive
from tinynet.ops.discrete import where
from tinynet.ops.elementwise import cast
from tinynet.ops.shape import Shape, broadcast_shape, expand


# ---- x[index]
@primitive(view=True)
def getitem(xp: Any, a: Array, *, index: Index) -> Array:
    """a[index] for a plain index: a view if it is basic, else a copy."""
    try:
        if not is_basic(index):
            seen, rest = window(a, index)
            return seen[rest]
        index = index if type(index) is tuple else (index,)
        return a[index if Ellipsis in index else (*index, Ellipsis)]  # with ... even one element is a view
    except IndexError:
        complain(index, a.shape)
        raise


@primitive
def add_at(xp: Any, g: Array, *, index: Index, shape: Shape) -> Array:
    """Zeros of the shape, with g added at [index]: where the index names a place twice, twice."""
    out = xp.zeros(shape, g.dtype)
    _store(xp, out, g, index, add=not is_basic(index))
    return out


@primitive
def set_at(xp: Any, a: Array, v: Array, *, index: Index, accumulate: bool = False) -> Array:
    """A copy of a with a[index] replaced by v, or with v added there. v is of a's dtype, and broadcasts."""
    out = a.copy()
    try:
        _store(xp, out, v, index, accumulate)
    except IndexError:
        complain(index, a.shape)
        raise
    except ValueError:
        raise RuntimeError(f"shape mismatch: value tensor of shape {list(getattr(v, 'shape', ()))} cannot be broadcast "
                           f"to indexing result of shape {list(getitem(a, index=index).shape)}") from None
    return out


def _store(xp: Any, out: Array, v: Array, index: Index, add: bool) -> None:
    if not is_basic(index):
        out, index = window(out, index)
    if add:
        kernels.run("scatter_add", xp, out, v, index=index)
    else:
        out[index] = v


def _like_value(g: Any, shape: Shape) -> Any:
    """g summed to the shape of a value that was broadcast to it, and may have had more dims, of size 1."""
    core = shape[max(len(shape) - g.ndim, 0):]
    return (g if g.shape == core else unbroadcast(g, core)).reshape(shape)


getitem.vjp(a=lambda g, a_shape, index: add_at(g, index=index, shape=a_shape))
add_at.vjp(g=lambda u, index: getitem(u, index=index))
set_at.vjp(a=lambda g, index, accumulate: g if accumulate else set_at(g, 0.0, index=index),
           v=lambda g, v_shape, index: _like_value(getitem(g, index=index), v_shape))


@primitive
def put(xp: Any, base: Array, new: Array, *, path: tuple[Any, ...]) -> Array:
    """base with its window, seen through a path of views, replaced by new: what writing into a view means."""
    out = xp.array(base, order="C")
    if not path:
        out[...] = new
        return out
    numbers = xp.arange(out.size).reshape(out.shape)  # by number: strides may differ from the original's
    out.reshape(-1)[replay(numbers, path)] = new
    return out


put.vjp(base=lambda g, path: put(g, 0.0, path=path), new=lambda g, path: replay(g, path))


def index_put(input: Any, indices: Sequence[Any], values: Any, accumulate: bool = False) -> Any:
    """A copy of input with input[indices] replaced by values, or, if accumulate, with values added there.

    >>> tn.index_put(tn.zeros(3), (tn.tensor([0, 0]),), tn.tensor(1.), accumulate=True)
    tensor([2., 0., 0.])
    """
    if not isinstance(indices, (tuple, list)):
        raise TypeError("index_put(): argument 'indices' must be tuple of Tensors, not "
                        f"{type(indices).__name__}")
    check_tensor("index_put", values, "values")
    if values.dtype != input.dtype:
        raise RuntimeError("Index put requires the source and destination dtypes match, got "
                           f"{name(input.dtype)} for the destination and {name(values.dtype)} for the "
                           "source.")
    return set_at(input, values, index=index_of(raw(input), tuple(indices)), accumulate=accumulate)


# ---- one index for each element: gather and scatter
def _mesh(xp: Any, index: Array, dim: int) -> tuple[Array, ...]:
    """index along dim, and along the other dims each element's own position."""
    mesh = list(xp.ix_(*[xp.arange(n) for n in index.shape])) or [index]
    mesh[dim] = index
    return tuple(mesh)


def _line(a: Array) -> Array:
    return a if a.ndim else a.reshape(1)


@primitive
def take_along(xp: Any, a: Array, index: Array, *, dim: int) -> Array:
    """out[i, j, k] = a[i, index[i, j, k], k] for dim = 1. Along other dims index may be shorter than a."""
    return _line(a)[_mesh(xp, index, dim)]


@primitive
def add_along(xp: Any, g: Array, index: Array, *, dim: int, shape: Shape) -> Array:
    """Zeros of the shape, with g[i, j, k] added at [i, index[i, j, k], k] for dim = 1."""
    out = xp.zeros(shape, g.dtype)
    if index.ndim and index.shape[dim] == 1:  # no place is named twice, and assignment is faster
        _line(out)[_mesh(xp, index, dim)] = g
    else:
        kernels.run("scatter_add", xp, _line(out), g, index=_mesh(xp, index, dim))
    return out


@primitive
def set_along(xp: Any, a: Array, v: Array, index: Array, *, dim: int) -> Array:
    """A copy of a with [i, index[i, j, k], k] replaced by v[i, j, k], or the number v, for dim = 1."""
    out = a.copy()
    _line(out)[_mesh(xp, index, dim)] = v
    return out


take_along.vjp(a=lambda g, index, a_shape, dim: add_along(g, index, dim=dim, shape=a_shape))
add_along.vjp(g=lambda u, index, dim: take_along(u, index, dim=dim))
set_along.vjp(a=lambda g, index, dim: set_along(g, 0.0, index, dim=dim),
              v=lambda g, index, dim: take_along(g, index, dim=dim))


def _check_along(op: str, input: Any, dim: int, index: Any, src: Any = None) -> int:
    """dim in [0, ndim), if index (and src) fit input."""
    check_tensor(op, input)
    check_tensor(op, index, "index")
    dim = check_dim(dim, input.ndim)
    if index.dtype not in ("int64", "int32"):
        raise RuntimeError(f"{op}(): Expected dtype int32/int64 for index, got {name(index.dtype)}")
    shapes = [list(x.shape) or [1] for x in (input, index, index if src is None else src)]
    if len({len(s) for s in shapes}) > 1:
        raise RuntimeError("Index tensor must have the same number of dimensions as input tensor (and src): "
                           f"index {shapes[1]}, input {shapes[0]}, src {shapes[2]}")
    if any((k > n and d != dim) or k > m for d, (n, k, m) in enumerate(zip(*shapes, strict=True))):
        raise RuntimeError(f"Size does not match: expected index {shapes[1]} to be no larger than self "
                           f"{shapes[0]} apart from dimension {dim} and to be no larger size than src "
                           f"{shapes[2]}")
    check_range(raw(index), dim, shapes[0][dim], error=RuntimeError)
    if src is not None and src.dtype != input.dtype:
        raise RuntimeError(f"{op}(): Expected self.dtype to be equal to src.dtype, got {name(input.dtype)} "
                           f"and {name(src.dtype)}")
    return dim


def gather(input: Any, dim: int, index: Any) -> Any:
    """out[i, j, k] = input[i, index[i, j, k], k] for dim = 1. RuntimeError for an index out of range.

    >>> tn.gather(tn.tensor([[1, 2], [3, 4]]), 1, tn.tensor([[1], [0]]))
    tensor([[2],
            [3]])
    """
    return take_along(input, index, dim=_check_along("gather", input, dim, index))


def scatter(input: Any, dim: int, index: Any, src: Any = None, value: Any = None) -> Any:
    """A copy of input with [i, index[i, j, k], k] replaced by src[i, j, k], or by a number, for dim = 1.

    >>> tn.scatter(tn.zeros(2, 3), 1, tn.tensor([[2], [0]]), 1.)
    tensor([[0., 0., 1.],
            [1., 0., 0.]])
    """
    src = value if src is None else src
    if src is None:
        raise TypeError("scatter() needs src, a Tensor, or value, a number")
    if not hasattr(src, "dtype"):
        return set_along(input, src, index, dim=_check_along("scatter", input, dim, index))
    dim = _check_along("scatter", input, dim, index, src)
    return set_along(input, _corner(src, index.shape), index, dim=dim)


def scatter_add(input: Any, dim: int, index: Any, src: Any) -> Any:
    """input with src[i, j, k] added at [i, index[i, j, k], k] for dim = 1.

    >>> tn.scatter_add(tn.zeros(3), 0, tn.tensor([1, 1]), tn.tensor([2., 3.]))
    tensor([0., 5., 0.])
    """
    check_tensor("scatter_add", src, "src")
    dim = _check_along("scatter_add", input, dim, index, src)
    return input + add_along(_corner(src, index.shape), index, dim=dim, shape=input.shape)


def _corner(src: Any, shape: Shape) -> Any:
    return src if src.shape == shape else getitem(src, index=tuple(slice(n) for n in shape))


def take_along_dim(input: Any, indices: Any, dim: int | None = None) -> Any:
    """gather, with input and indices broadcast to each other along the other dims; no dim: of both flattened.

    >>> tn.take_along_dim(tn.tensor([[3, 1], [2, 4]]), tn.tensor([[1, 0]]), 1)
    tensor([[1, 3],
            [4, 2]])
    """
    check_tensor("take_along_dim", input)
    check_tensor("take_along_dim", indices, "indices")
    if indices.dtype != int64:
        raise RuntimeError("take_along_dim(): dtype of indices should be int64 but got "
                           f"{name(indices.dtype)}")
    if dim is None:
        input, indices, dim = input.reshape((-1,)), indices.reshape((-1,)), 0
    if input.ndim != indices.ndim:
        raise RuntimeError("take_along_dim(): input and indices should have the same number of dimensions, "
                           f"but got {input.ndim} dimensions for input, and {indices.ndim} dimensions for "
                           "indices")
    dim = check_dim(dim, input.ndim)
    if not input.ndim:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    n, m = input.shape[dim], indices.shape[dim]
    check_range(raw(indices), dim, n, negative=True)
    outside = [(*x.shape[:dim], 1, *x.shape[dim + 1:]) for x in (input, indices)]
    shape = broadcast_shape("take_along_dim", outside)
    wide, long = ((*shape[:dim], k, *shape[dim + 1:]) for k in (n, m))
    return take_along(expand(input, shape=wide), expand(indices, shape=long), dim=dim)


# ---- whole slices
def select(input: Any, dim: int, index: int) -> Any:
    """The slice at `index` along dim, without the dim. A view.

    >>> tn.select(tn.tensor([[1, 2], [3, 4]]), 1, 0)
    tensor([1, 3])
    """
    check_tensor("select", input)
    if not input.ndim:
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    dim, k = check_dim(dim, input.ndim), operator.index(index)
    if not -input.shape[dim] <= k < input.shape[dim]:
        raise IndexError(f"select(): index {k} out of range for tensor of size {list(input.shape)} at "
                         f"dimension {dim}")
    return getitem(input, index=(*(ALL,) * dim, k))


def narrow(input: Any, dim: int, start: int, length: int) -> Any:
    """`length` slices from `start` on along dim. A view.

    >>> tn.narrow(tn.arange(5), 0, 1, 3)
    tensor([1, 2, 3])
    """
    if not input.ndim:
        raise RuntimeError("narrow() cannot be applied to a 0-dim tensor.")
    dim, at, length = check_dim(dim, input.ndim), operator.index(start), operator.index(length)
    n = input.shape[dim]
    if not -n <= at <= n:
        raise IndexError(f"start out of range (expected to be in range of [{-n}, {n}], but got {at})")
    at += n if at < 0 else 0
    if length < 0:
        raise RuntimeError(f"narrow(): length must be non-negative, got {length}.")
    if at + length > n:
        raise RuntimeError(f"start ({at}) + length ({length}) exceeds dimension size ({n}).")
    return getitem(input, index=(*(ALL,) * dim, slice(at, at + length)))


def _vector(op: str, index: Any, dim: int, size: int, error: type[Exception]) -> Array:
    """A copy of index, checked: a vector of ints in [0, size)."""
    check_tensor(op, index, "index")
    if index.dtype not in ("int64", "int32"):
        raise RuntimeError(f"{op}(): Expected dtype int32 or int64 for index, got {name(index.dtype)}")
    if index.ndim > 1:
        raise IndexError(f"{op}(): Index is supposed to be a vector, but got shape {list(index.shape)}")
    check_range(raw(index), dim, size, error=error)
    return raw(index).copy().reshape(-1)


def index_select(input: Any, dim: int, index: Any) -> Any:
    """The slices along dim that index names, in its order. IndexError for an index out of range.

    >>> tn.index_select(tn.tensor([[1, 2], [3, 4]]), 1, tn.tensor([1, 1]))
    tensor([[2, 2],
            [4, 4]])
    """
    check_tensor("index_select", input)
    dim = check_dim(dim, input.ndim)
    if not input.ndim:
        return index_select(input.reshape((1,)), 0, index).reshape(())
    k = _vector("index_select", index, dim, input.shape[dim], IndexError)
    return getitem(input, index=(*(ALL,) * dim, k))


def index_add(input: Any, dim: int, index: Any, source: Any, *, alpha: float = 1) -> Any:
    """input with alpha times the k-th slice of source added to slice index[k] along dim.

    >>> tn.index_add(tn.zeros(3), 0, tn.tensor([0, 0, 2]), tn.tensor([1., 2., 3.]))
    tensor([3., 0., 3.])
    """
    dim = check_dim(dim, input.ndim)
    check_tensor("index_add", source, "source")
    if source.dtype != input.dtype:
        raise RuntimeError(f"index_add(): self ({name(input.dtype)}) and source ({name(source.dtype)}) must "
                           "have the same scalar type")
    k = _vector("index_add", index, dim, input.shape[dim], RuntimeError)
    if source.shape != (*input.shape[:dim], len(k), *input.shape[dim + 1:]):
        raise RuntimeError("source tensor shape must match self tensor shape, except for the number of "
                           f"indices at dim {dim}. Got self.shape = {list(input.shape)} source.shape = "
                           f"{list(source.shape)}, {len(k)} indices")
    source = source if alpha == 1 else source * _number(alpha, input.dtype)
    return set_at(input, source, index=(*(ALL,) * dim, k), accumulate=True)


def repeat_interleave(input: Any, repeats: Any = None, dim: int | None = None, *,
                      output_size: int | None = None) -> Any:
    """Each slice along dim `repeats` times in a row (a number, or one for each slice).

    Without dim each element of the flat input; without repeats each k as often as input[k] says.

    >>> tn.repeat_interleave(tn.tensor([1, 2]), tn.tensor([1, 3]))
    tensor([1, 2, 2, 2])
    """
    check_tensor("repeat_interleave", input)
    xp = backend(raw(input))
    if repeats is None:
        input, repeats = wrap(xp.arange(len(input))), input
    if dim is None:
        input, dim = input.reshape((-1,)), 0
    dim, counts = check_dim(dim, input.ndim), host(raw(repeats))  # how long the result is, the processor must know
    n = input.shape[dim]
    if counts.dtype not in ("int64", "int32") or counts.ndim > 1:
        raise RuntimeError("repeats has to be a number or a vector of int64, got "
                           f"{counts.dtype}{list(counts.shape)}")
    if counts.ndim and counts.size not in (1, n):
        raise RuntimeError("repeats must have the same size as input along dim, but got repeats.size(0) = "
                           f"{counts.size} and input.size({dim}) = {n}")
    if (counts < 0).any():
        raise RuntimeError(f"repeats can not be negative, got {counts.min()}")
    rows = xp.asarray(np.repeat(np.arange(n), counts))
    if output_size not in (None, len(rows)):
        raise RuntimeError(f"allocated size does not match required size: output_size {output_size}, not "
                           f"{len(rows)}")
    return getitem(input, index=(*(ALL,) * dim, rows))


# ---- masks
def _check_mask(op: str, mask: Any) -> None:
    check_tensor(op, mask, "mask")
    if mask.dtype != "bool":
        raise RuntimeError(f"{op} only supports boolean masks, but got mask with dtype {name(mask.dtype)}")


def masked_fill(input: Any, mask: Any, value: Any) -> Any:
    """value, a number or a 0-d tensor, where mask; else input. The dtype is input's.

    >>> tn.masked_fill(tn.tensor([1., 2.]), tn.tensor([True, False]), 0)
    tensor([0., 2.])
    """
    _check_mask("masked_fill", mask)
    broadcast_shape("masked_fill", [input.shape, mask.shape])
    if not hasattr(value, "dtype"):
        return where(mask, _number(value, input.dtype), input)
    if value.ndim:
        raise RuntimeError("masked_fill only supports a 0-dimensional value tensor, but got tensor with "
                           f"{value.ndim} dimension(s).")
    return where(mask, value if value.dtype == input.dtype else cast(value, dtype=input.dtype), input)


def _number(value: Any, dtype: DType) -> Any:
    """A Python number as the dtype would hold it."""
    if dtype.kind in "iu" and abs(value) > np.iinfo(dtype).max + 1:
        raise RuntimeError(f"value cannot be converted to type {name(dtype)} without overflow: {value}")
    return value if dtype.kind == "f" else np.asarray(value).astype(dtype).item()


def masked_select(input: Any, mask: Any) -> Any:
    """The elements where mask, broadcast with input, is True, as a vector.

    >>> tn.masked_select(tn.tensor([1, 2, 3]), tn.tensor([True, False, True]))
    tensor([1, 3])
    """
    _check_mask("masked_select", mask)
    shape = broadcast_shape("masked_select", [input.shape, mask.shape])
    return getitem(expand(input, shape=shape), index=plain_index(expand(mask, shape=shape)))


@primitive
def nonzero(xp: Any, a: Array, *, as_tuple: bool = False) -> Any:
    """The places of the elements that are not zero, a row each; as_tuple: a vector for each dim.

    >>> tn.nonzero(tn.tensor([0, 5, 6]))
    tensor([[1],
            [2]])
    """
    return xp.nonzero(_line(a)) if as_tuple else xp.argwhere(a)


def where_(condition: Any, input: Any = None, other: Any = None) -> Any:
    """input where condition (bool) is true, else other, elementwise; of the condition alone, nonzero as a tuple.

    >>> tn.where(tn.tensor([True, False]), tn.tensor([1.0, 2.0]), 0.0)
    tensor([1., 0.])
    >>> tn.where(tn.tensor([0, 5, 6]))
    (tensor([1, 2]),)
    """
    if input is None and other is None:
        return nonzero(condition, as_tuple=True)
    if input is None or other is None:
        raise TypeError("where() takes a condition alone, or condition, input and other")
    check_tensor("where", condition, "condition")
    if condition.dtype not in ("bool", "uint8"):
        raise RuntimeError(f"where expected condition to be a boolean tensor, but got a tensor with dtype "
                           f"{name(condition.dtype)}: compare it, as in condition != 0")
    return where(condition, input, other)
