"""Checks that several rooms make, with the messages that teach. Types are those PyTorch raises. And the warnings."""
from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any


def check_tensor(op: str, value: Any, argument: str = "input") -> None:
    """TypeError for what is neither a tensor nor an array."""
    if not hasattr(value, "dtype"):
        raise TypeError(f"{op}(): argument '{argument}' must be Tensor, not {type(value).__name__}")


class UnknownName(ValueError):
    """A name that nothing has, among those that a command takes: its exit status is that of wrong usage.

    >>> from tinynet.errors import UnknownName
    >>> issubclass(UnknownName, ValueError)
    True
    """


class TrainingWarning(UserWarning):
    """What the warnings of mistakes in a training have in common.

    >>> issubclass(tn.mistakes.StuckLoss, tn.mistakes.TrainingWarning)
    True
    """


class MissingZeroGrad(TrainingWarning):
    """A step along the sum of this step's gradient and earlier ones.

    >>> issubclass(tn.mistakes.MissingZeroGrad, UserWarning)
    True
    """


def check_dim(dim: Any, ndim: int) -> int:
    """dim as a number in [0, ndim). IndexError if it is out of range, TypeError if it is no integer."""
    try:
        d = operator.index(dim)
    except TypeError:
        raise TypeError(f"dim must be an int, got {dim!r} of type {type(dim).__name__}") from None
    n = max(ndim, 1)  # PyTorch lets a 0-d tensor have dims 0 and -1
    if not -n <= d < n:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-n}, {n - 1}], but got {d})")
    return d % n


def check_dims(dim: Any, ndim: int) -> Any:
    """None, one dim, or several, each in [0, ndim). RuntimeError if one appears twice."""
    if dim is None:
        return None
    if not isinstance(dim, (tuple, list)):
        return check_dim(dim, ndim)
    dims = tuple([d if type(d) is int and 0 <= d < ndim else check_dim(d, ndim) for d in dim])
    for d in dims:
        if dims.count(d) > 1:
            raise RuntimeError(f"dim {d} appears multiple times in the list of dims {list(dim)}")
    return dims


def broadcast_error(name: str, shapes: Sequence[Sequence[int]]) -> RuntimeError:
    """The error that says at which axis shapes fail to broadcast; the shapes aligned at the right."""
    width = max(len(s) for s in shapes)
    padded = [(1,) * (width - len(s)) + tuple(s) for s in shapes]
    for axis in reversed(range(width)):
        sizes = [s[axis] for s in padded if s[axis] != 1]
        if len(set(sizes)) > 1:
            break
    texts = [str(list(s)) for s in shapes]
    aligned = "\n".join(f"    {t:>{max(map(len, texts))}}" for t in texts)
    return RuntimeError(
        f"{name}: The size of tensor a ({sizes[0]}) must match the size of tensor b ({sizes[1]}) at non-singleton "
        f"dimension {axis}. Shapes, aligned from the right:\n{aligned}\n"
        f"Sizes must be equal or 1; unsqueeze() or reshape() the one that is missing an axis."
    )
