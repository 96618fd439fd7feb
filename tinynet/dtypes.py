"""The dtypes a tensor can have, and PyTorch's rule for which one an op between two of them gives."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Array = Any
DType = np.dtype[Any]

float16, float32, float64 = (np.dtype(f"float{bits}") for bits in (16, 32, 64))
int8, int16, int32, int64 = (np.dtype(f"int{bits}") for bits in (8, 16, 32, 64))
uint8, bool_ = np.dtype("uint8"), np.dtype("bool")
half, float_, double, short, int_, long = float16, float32, float64, int16, int32, int64  # PyTorch's other names

SUPPORTED = (float16, float32, float64, int8, uint8, int16, int32, int64, bool_)
_default = float32


def get_default_dtype() -> DType:
    """The dtype of tensors made from Python floats: float32 unless changed.

    >>> tn.get_default_dtype()
    dtype('float32')
    """
    return _default


def set_default_dtype(d: Any) -> None:
    """Make `d` (float16, float32 or float64) the dtype of tensors made from Python floats. TypeError for others.

    >>> tn.set_default_dtype(tn.float64); tn.tensor([0.5]).dtype
    dtype('float64')
    >>> tn.set_default_dtype(tn.float32)
    """
    global _default
    dtype = as_dtype(d)
    if dtype.kind != "f":
        raise TypeError(f"only floating-point types are supported as the default type, not {name(dtype)}")
    _default = dtype


def as_dtype(spec: Any) -> DType:
    """The supported dtype that `spec` names: a dtype, "float32", or Python's float, int and bool."""
    if spec is float:
        return _default
    try:
        dtype = np.dtype(spec)
    except TypeError:
        dtype = None
    if spec is None or dtype is None or dtype not in SUPPORTED:  # to NumPy None is float64
        raise TypeError(f"{spec!r} is no dtype of tinynet; there are {', '.join(map(name, SUPPORTED))}")
    return dtype


def name(dtype: DType) -> str:
    """'float32', the name under which the dtype is found in `tn`."""
    return dtype.name


def _rank(x: Any) -> tuple[int, int]:
    """(category, priority): floats beat integers beat bools; within one, arrays beat 0-d arrays beat numbers."""
    if hasattr(x, "dtype"):
        kind = x.dtype.kind
        return (2 if kind == "f" else 0 if kind == "b" else 1), (0 if isinstance(x, np.generic) else 2 if x.ndim else 1)
    return (0 if isinstance(x, bool) else 1 if isinstance(x, int) else 2), 0


def result_type(arrays: Sequence[Any]) -> DType:
    """The common dtype of arrays and Python numbers, by PyTorch's rule: of the highest category present, the
    dtypes of the highest priority in it decide; a number never widens an array."""
    ranks = [_rank(x) for x in arrays]
    top = max(ranks)
    strong = [x.dtype for x, rank in zip(arrays, ranks, strict=True) if rank == top and rank[1]]
    if strong:
        return np.result_type(*strong)
    return (bool_, int64, _default)[top[0]]


def promote(arrays: Sequence[Any], to_float: bool) -> list[Any]:
    """The arrays in their common dtype (the default float if to_float and it is none); numbers stay numbers."""
    target = result_type(arrays)
    if to_float and target.kind != "f":
        target = _default
    whole = target.kind in "iu"  # NumPy refuses a number outside the dtype, PyTorch wraps it round
    return [
        x.astype(target, copy=False) if hasattr(x, "dtype") else np.asarray(x).astype(target) if whole else x
        for x in arrays
    ]
