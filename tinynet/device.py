"""Where a tensor lives. The device belongs to the array: no op and no rule names an array module."""
from __future__ import annotations

import sys
from typing import Any

import numpy as np

from tinynet.dtypes import Array

_NUMPY = (np.ndarray, np.generic, int, float, bool)


class device:
    """device("cpu") or device("cuda:0"): RuntimeError for one this machine (or this version) does not have.

    >>> tn.device("cpu")
    device(type='cpu')
    """

    __slots__ = ("index", "type")
    type: str
    index: int | None

    def __init__(self, type: str | device = "cpu", index: int | None = None) -> None:
        if not isinstance(type, (str, device)):
            raise TypeError(f"device(): expected a string as 'cpu', got {type!r}")
        kind, _, number = str(type).partition(":")
        if kind not in ("cpu", "cuda") or (number and not number.isdigit()):
            raise RuntimeError(f"Expected one of cpu, cuda device type at start of device string: {type}")
        if kind == "cuda":
            raise RuntimeError("device 'cuda': this version of tinynet computes on the CPU only; use device='cpu'")
        self.type = kind
        self.index = int(number) if number else index

    def __repr__(self) -> str:
        return f"device(type='{self.type}'" + (f", index={self.index})" if self.index is not None else ")")

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, device) and (self.type, self.index) == (other.type, other.index)

    def __hash__(self) -> int:
        return hash((self.type, self.index))


CPU = device("cpu")


def backend(a: Array) -> Any:
    """The array module of a: NumPy, or the module that a's type comes from (CuPy)."""
    return np if isinstance(a, _NUMPY) else sys.modules[type(a).__module__.split(".")[0]]


def settle(a: Array) -> Array:
    """NumPy turns 0-d results into scalars, which nothing can view or write: back to a 0-d array."""
    return np.asarray(a) if isinstance(a, (np.generic, int, float)) else a
