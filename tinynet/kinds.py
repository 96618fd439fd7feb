"""What comes from a file, held against what it is to replace: an error that says what does not fit, at once and not at
the first step. `where` is the part of the file that the error names."""
from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Integral
from reprlib import repr as brief
from typing import Any

TOO_MANY = 2**63  # of what is counted


def number(where: str, value: Any) -> float:
    """The value as Python's number. TypeError if it is none, ValueError for a tensor of several, and for a number that
    is larger than any float.

    >>> from tinynet.kinds import number
    >>> number("lr", tn.tensor([0.5]))
    0.5
    """
    if not hasattr(type(value), "__float__"):
        raise TypeError(f"{where} must be a number, got {brief(value)}")
    shape = getattr(value, "shape", ())
    if math.prod(shape) != 1:
        raise ValueError(f"{where} must be one number, got a tensor of shape {tuple(shape)}")
    try:
        return float(value.item() if shape else value)
    except OverflowError:
        raise ValueError(f"{where} must be a number that a float can hold, got {brief(value)}") from None


def count(where: str, value: Any) -> int:
    """The value, a whole number from 0 on. TypeError or ValueError if it is none.

    >>> from tinynet.kinds import count
    >>> count("epoch", 3)
    3
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{where} must be a whole number, got {brief(value)}")
    if not 0 <= int(value) < TOO_MANY:
        raise ValueError(f"{where} must be a number from 0 on that can be counted to, got {brief(value)}")
    return int(value)


def positive(where: str, value: Any) -> int:
    """The value, a whole number from 1 on. ValueError if it is none.

    >>> from tinynet.kinds import positive
    >>> positive("epochs", 3)
    3
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise ValueError(f"{where} must be a whole number above 0, got {value!r}")
    return int(value)


def check_kind(where: str, value: Any, here: Any) -> None:
    """TypeError, KeyError or ValueError unless the value is of the kind of what is `here`: a number (but nan) for a
    number; a tensor of the same shape for a tensor; a list whose parts are as here's first; a dict that has at least
    the keys of here, and under each what fits; and for anything else one of its class. None here says nothing.

    >>> from tinynet.kinds import check_kind
    >>> check_kind("group", {"lr": 1, "more": None}, {"lr": 0.1})
    """
    if here is None:
        return
    if isinstance(here, Mapping):
        if not isinstance(value, Mapping):
            raise TypeError(f"{where} must be a dict, got {brief(value)}")
        for key, part in here.items():
            if key in value:
                check_kind(f"{where}[{key!r}]", value[key], part)
            elif part is not None:
                raise KeyError(f"{where} has no {key!r}, only {brief([*value])}")
    elif isinstance(here, (list, tuple)):
        if not isinstance(value, (list, tuple)):
            raise TypeError(f"{where} must be a list, got {brief(value)}")
        for k, part in enumerate(value if here else ()):
            check_kind(f"{where}[{k}]", part, here[0])
    elif not isinstance(here, bool) and hasattr(type(here), "__float__") and not getattr(here, "shape", ()):
        if math.isnan(number(where, value)) and not math.isnan(here):
            raise ValueError(f"{where} must be a number, got nan")
    elif hasattr(here, "shape"):
        if not hasattr(value, "dtype"):
            raise TypeError(f"{where} must be a tensor of shape {tuple(here.shape)}, got {brief(value)}")
        if tuple(value.shape) != tuple(here.shape):
            raise ValueError(f"{where} must be a tensor of shape {tuple(here.shape)}, got one of {tuple(value.shape)}")
    elif not isinstance(value, type(here)):
        raise TypeError(f"{where} must be of type {type(here).__name__}, got {brief(value)}")


def check_known(where: str, value: Any, here: Mapping[Any, Any]) -> None:
    """check_kind() of a dict that need not have all that is here, and may have more.

    >>> from tinynet.kinds import check_known
    >>> check_known("group", {"lr": 1, "foreach": None}, {"lr": 0.1, "eps": 1e-8})
    """
    check_kind(where, value, {})
    check_kind(where, value, {key: part for key, part in here.items() if key in value})
