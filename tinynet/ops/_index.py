"""What may stand in the brackets of x[...]: in a form that arrays take, and errors where it cannot fit."""
from __future__ import annotations

import operator
import warnings
from typing import Any

import numpy as np

from tinynet import late
from tinynet.autograd.variable import raw
from tinynet.device import backend, host, is_array, together
from tinynet.dtypes import Array, int64

Index = Any  # an entry, or a tuple of entries
ALL = slice(None)


def plain_index(index: Index) -> Index:
    """The index in ints, slices, None, Ellipsis and arrays alone; IndexError, TypeError or ValueError if it is none.
    Arrays are copied: they are small, and a later change of them must not change the gradient."""
    return tuple(map(_entry, index)) if type(index) is tuple else _entry(index)


def index_of(a: Array, index: Index) -> Index:
    """The plain index, with its arrays where a is."""
    plain = plain_index(index)
    return plain if type(a) is np.ndarray and not _far(plain) else _beside(plain, a)


def _far(index: Index) -> bool:
    """Whether an array in it is not NumPy's."""
    return any(hasattr(k, "dtype") and type(k) is not np.ndarray for k in (index if type(index) is tuple else (index,)))


def _beside(index: Index, a: Array) -> Index:
    """The index with its arrays on a's device. From the CPU they are brought there; numbers out of range are noted."""
    if type(a) is np.ndarray:
        raise RuntimeError("indices should be either on cpu or on the same device as the indexed tensor (cpu): use "
                           "index.cpu()")
    xp, entries, dim = backend(a), [], 0
    spare = a.ndim - sum(map(_takes, index if type(index) is tuple else (index,)))
    for k in index if type(index) is tuple else (index,):
        if hasattr(k, "dtype"):
            k = xp.asarray(k)
            together("index", (a, k))
            if k.dtype.kind != "b" and dim < a.ndim:
                check_range(k, dim, a.shape[dim], negative=True)
        dim += spare if k is Ellipsis else _takes(k)
        entries.append(k)
    return tuple(entries) if type(index) is tuple else entries[0]


def _entry(k: Any) -> Any:
    if type(k) is int or k is None or k is Ellipsis:
        return k
    if isinstance(k, slice):
        start, stop, step = (n if n is None else operator.index(n) for n in (k.start, k.stop, k.step))
        if step is not None and step <= 0:
            raise ValueError(f"step must be greater than zero, got {step}; use flip() to reverse a dimension")
        return slice(start, stop, step)
    if isinstance(k, (list, tuple, range, bool)):
        try:
            k = np.array(_numbers(k))
        except ValueError:
            raise ValueError(f"a list used as an index must be rectangular, got {k}") from None
        k = k if k.size else k.astype(int64)  # NumPy makes [] a float
    elif hasattr(k, "dtype"):
        k = np.array(raw(k)) if isinstance(k, np.generic) else raw(k).copy()
    else:
        try:
            return operator.index(k)
        except TypeError:
            error = TypeError if isinstance(k, str) else IndexError
            raise error("only integers, slices (`:`), ellipsis (`...`), None and int64, int32 or bool "
                             f"tensors are valid indices (got {type(k).__name__})") from None
    if k.dtype == "uint8":
        warnings.warn("indexing with dtype uint8 is now deprecated, it is taken as a mask: use a dtype bool",
                      UserWarning, stacklevel=4)
        k = k.astype(bool)
    if k.ndim == 0 and k.dtype.kind in "iu":
        return int(k)
    if k.dtype not in ("int64", "int32", "bool"):
        raise IndexError(f"tensors used as indices must be int64, int32 or bool tensors, not {k.dtype}: use "
                         ".long()")
    return k


def _numbers(k: Any) -> Any:
    k = raw(k)
    return [_numbers(e) for e in k] if isinstance(k, (list, tuple, range)) else host(k) if is_array(k) else k


def is_basic(index: Index) -> bool:
    """Whether a plain index holds no array: then x[index] is a view."""
    return not any(hasattr(k, "dtype") for k in (index if type(index) is tuple else (index,)))


def _is_mask(k: Any) -> bool:
    return hasattr(k, "dtype") and k.dtype.kind == "b"


def _takes(k: Any) -> int:
    """How many dims an entry uses up."""
    return 0 if k is None or k is Ellipsis else k.ndim if _is_mask(k) else 1


def window(a: Array, index: Index) -> tuple[Array, Index]:
    """What of a an advanced index reads, and where in it. Its ints go first, as in PyTorch: x[0, :, rows] is
    x[0][:, rows], where NumPy would take 0 for an array too and move the dim of rows to the front."""
    if type(index) is not tuple or not any(type(k) is int for k in index):
        return a, index
    ints: list[Any] = []
    for k in index:
        ints += [k] if type(k) is int or k is Ellipsis else [ALL] * _takes(k)
    if not any(k is Ellipsis for k in ints):
        ints.append(Ellipsis)
    return a[tuple(ints)], tuple(k for k in index if type(k) is not int)


def complain(index: Index, shape: tuple[int, ...]) -> None:
    """Raise what PyTorch would for an index that NumPy refused."""
    entries = index if type(index) is tuple else (index,)
    used, dim, arrays = sum(map(_takes, entries)), 0, []
    if used and not shape:
        raise IndexError("invalid index of a 0-dim tensor. Use `tensor.item()` to convert it to a number")
    if used > len(shape):
        raise IndexError(f"too many indices for tensor of dimension {len(shape)}: {used} for shape "
                         f"{list(shape)}")
    if sum(k is Ellipsis for k in entries) > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    for k in entries:
        if _is_mask(k):
            if k.shape != shape[dim:dim + k.ndim]:
                raise IndexError(f"The shape of the mask {list(k.shape)} at index {dim} does not match the "
                                 f"shape of the indexed tensor {list(shape)} at index {dim}")
            arrays.append([int(k.sum())])
        elif type(k) is int or hasattr(k, "dtype"):
            check_range(k, dim, shape[dim], negative=True)
            arrays += [list(k.shape)] if hasattr(k, "dtype") else []
        dim += len(shape) - used if k is Ellipsis else _takes(k)
    raise IndexError("shape mismatch: indexing tensors could not be broadcast together with shapes "
                     + ", ".join(map(str, arrays)))


def check_range(index: Any, dim: int, size: int, negative: bool = False,
                error: type[Exception] = IndexError) -> None:
    """Raise the error, naming the first index outside [0, size) (or [-size, size)), the dim and its size."""
    index = np.asarray(index) if isinstance(index, int) else index
    wrong = (index < (-size if negative else 0)) | (index >= size)
    if late.found(wrong, error, "index is out of bounds"):
        raise error(f"index {host(index[wrong]).reshape(-1)[0]} is out of bounds for dimension {dim} with size {size}")
