"""Where a tensor lives. The device belongs to the array: no op and no rule names an array module."""
from __future__ import annotations

import functools
import sys
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from tinynet.dtypes import Array
from tinynet.nvidia import library

_NUMPY = (np.ndarray, np.generic, int, float, bool)


class device:
    """device("cpu") or device("cuda:0"): RuntimeError for one this machine does not have, with what to do about it.
    "cuda" is the GPU in use: the first, or the one on which a tensor was last asked for by its number.

    >>> tn.device("cpu")
    device(type='cpu')
    """

    __slots__ = ("index", "type")
    type: str
    index: int | None

    def __init__(self, type: str | int | device = "cpu", index: int | None = None) -> None:
        if isinstance(type, int) and not isinstance(type, bool):
            type = f"cuda:{type}"
        if not isinstance(type, (str, device)):
            raise TypeError(f"device(): expected a string as 'cpu', got {type!r}")
        kind, _, number = str(type).partition(":")
        if kind not in ("cpu", "cuda") or (number and not number.isdigit()):
            raise RuntimeError(f"Expected one of cpu, cuda device type at start of device string: {type}")
        self.type = kind
        self.index = int(number) if number else index
        if kind == "cuda":
            library.check(self.index)

    def __repr__(self) -> str:
        return f"device(type='{self.type}'" + (f", index={self.index})" if self.index is not None else ")")

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, device) and (self.type, self.index) == (other.type, other.index))

    def __hash__(self) -> int:
        return hash((self.type, self.index))


CPU = device("cpu")


# ---- from arrays to devices
def backend(a: Array) -> Any:
    """The array module of a: NumPy, or the module that a's type comes from (CuPy)."""
    return np if isinstance(a, _NUMPY) else sys.modules[type(a).__module__.split(".")[0]]


def device_of(a: Array) -> device:
    """Where an array lies."""
    return CPU if isinstance(a, _NUMPY) else _card(a.device.id)


@functools.cache
def _card(index: int) -> device:
    """The GPU of this number, of which an array shows that it is there."""
    card = device.__new__(device)
    card.type, card.index = "cuda", index
    return card


def together(op: str, arrays: Iterable[Any]) -> None:
    """RuntimeError unless the arrays are on one device. (A number may stand for an array anywhere, and so may an array
    of NumPy's without axes.)"""
    places = {device_of(a): None for a in arrays if hasattr(a, "dtype") and (a.ndim or not isinstance(a, _NUMPY))}
    if len(places) > 1:
        names = [str(place) for place in places]
        raise RuntimeError(f"{op}: Expected all tensors to be on the same device, but found at least two devices, "
                           f"{names[0]} and {names[1]}! Move one: x.to('{names[0]}')")


def is_array(x: Any) -> bool:
    """Whether x is an array of NumPy's or CuPy's."""
    return isinstance(x, np.ndarray) or (type(x).__module__.partition(".")[0] == "cupy" and hasattr(x, "dtype"))


def writeable(a: Array) -> bool:
    """Whether a may be written to: on a GPU always."""
    return getattr(a.flags, "writeable", True)


def settle(a: Array) -> Array:
    """NumPy turns 0-d results into scalars, which nothing can view or write: back to a 0-d array."""
    return np.asarray(a) if isinstance(a, (np.generic, int, float)) else a


# ---- from devices to arrays
def array_module(place: device | str | None) -> Any:
    """The module whose functions make arrays on a device: NumPy, or CuPy, from now on with the GPU that was named."""
    if place is None:
        return np
    place = device(place)
    if place.type == "cpu":
        return np
    cupy = library.cupy()
    if place.index not in (None, cupy.cuda.Device().id):
        cupy.cuda.Device(place.index).use()
    return cupy


_HERE = nullcontext()


def beside(a: Array) -> AbstractContextManager[Any]:
    """While this is open, new arrays are made where a is: CuPy makes them on the GPU in use, which may be another."""
    return _HERE if isinstance(a, _NUMPY) or library.count() == 1 else a.device


def located(place: device) -> device:
    """The device with its number: for "cuda" that of the GPU in use."""
    if place.type == "cpu" or place.index is not None:
        return place
    return _card(library.cupy().cuda.Device().id)


def placed(a: Array, place: device | str | None) -> Array:
    """a on the device, if one is named: itself if it is there."""
    if place is None:
        return a
    target = located(device(place))
    return a if device_of(a) == target else move(a, target)


def move(a: Array, place: device) -> Array:
    """a copy of a on the device. (From a GPU to the CPU: for that the processor waits.)"""
    if place.type == "cpu":
        return np.array(a) if isinstance(a, _NUMPY) else a.get()
    xp = array_module(place)
    return xp.asarray(a) if isinstance(a, _NUMPY) else xp.array(a)


def host(a: Array) -> Array:
    """The values as an array of NumPy's: a itself if it is one."""
    return np.asarray(a) if isinstance(a, _NUMPY) else a.get()
