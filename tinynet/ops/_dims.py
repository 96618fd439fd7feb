"""The dims an op reduces, and what every reduction needs of them."""
from __future__ import annotations

import math
from typing import Any

from tinynet.dtypes import Array, as_dtype, float16, float32, get_default_dtype, int64
from tinynet.ops.shape import expand

Shape = tuple[int, ...]
Dims = int | tuple[int, ...] | None

WIDE = {float16: float32}  # a sum of float16 loses and overflows: it is made in float32


def reduced(shape: Shape, dim: Dims) -> Shape:
    """The axes that `dim` names, as numbers in [0, len(shape)): all of them for None and ()."""
    n = len(shape)
    if dim is None or dim == () or n == 0:
        return tuple(range(n))
    return tuple(d % n for d in (dim if isinstance(dim, tuple) else (dim,)))


def kept(shape: Shape, dim: Dims) -> Shape:
    """The shape with the reduced axes left in as ones."""
    axes = reduced(shape, dim)
    return tuple(1 if k in axes else n for k, n in enumerate(shape))


def count(shape: Shape, dim: Dims) -> int:
    """How many elements are made one."""
    return math.prod(shape[k] for k in reduced(shape, dim))


def spread(g: Any, shape: Shape, dim: Dims) -> Any:
    """What each element sees of a reduction's gradient: the adjoint of the sum."""
    return expand(g.reshape(kept(shape, dim)), shape=shape)


def one_dim(op: str, dim: Any) -> None:
    """TypeError unless dim is a number."""
    if not isinstance(dim, int):
        raise TypeError(f"{op}(): argument 'dim' must be int, not {type(dim).__name__}")


def not_empty(op: str, a: Array, dim: Dims, error: type[Exception] = RuntimeError) -> None:
    """Raise if nothing is reduced: it has no greatest element."""
    if a.size == 0 and (dim is None or dim == ()):
        raise error(f"{op}(): Expected reduction dim to be specified for input.numel() == 0: {list(a.shape)}")
    for k in reduced(a.shape, dim) if a.size == 0 else ():
        if a.shape[k] == 0:
            raise IndexError(f"{op}(): Expected reduction dim {k} to have non-zero size, not {list(a.shape)}")


def float_of(a: Array) -> Any:
    """The dtype of a result that is no integer."""
    return a.dtype if a.dtype.kind == "f" else get_default_dtype()


def summands(a: Array, dtype: Any) -> tuple[Array, Any]:
    """a cast to dtype, if one is given, and the dtype of its sum (if none is given, of integers int64)."""
    if dtype is None:
        return a, a.dtype if a.dtype.kind == "f" else int64
    a = a.astype(as_dtype(dtype), copy=False)
    return a, a.dtype


def total(xp: Any, a: Array, dim: Dims, keepdim: bool, dtype: Any = None) -> Array:
    """The sum over dim, made in dtype or a wider one."""
    return xp.add.reduce(a, axis=reduced(a.shape, dim), dtype=WIDE.get(dtype, dtype), keepdims=keepdim)
