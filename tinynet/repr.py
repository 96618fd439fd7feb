"""How a tensor is shown: PyTorch's print format, from a raw array.

All elements share one number format, chosen from the finite values other than zero: integers as `3.`, others
with four decimals, `e` notation if they span too many orders of magnitude. More than 1,000 elements are cut
to the first and last three of each axis.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from tinynet.device import backend, host
from tinynet.dtypes import get_default_dtype, name

PRECISION = 4
THRESHOLD = 1000
EDGE = 3
WIDTH = 80

Array = Any


def tensor_repr(
    array: Array,
    *,
    requires_grad: bool = False,
    grad_fn: str | None = None,
    device: str | None = None,
    prefix: str = "tensor(",
) -> str:
    """The text PyTorch prints for these values: prefix, values, then what cannot be seen from them.

    device: named only where it is not the CPU; grad_fn: the name of the node that made the tensor.

    >>> from tinynet.repr import tensor_repr
    >>> print(tensor_repr(np.eye(2), grad_fn="MulBackward0"))
    tensor([[1., 0.],
            [0., 1.]], dtype=tn.float64, grad_fn=<MulBackward0>)
    """
    default = array.dtype == get_default_dtype()
    notes = [f"device='{device}'"] if device else []
    if array.size:
        values = _values(array, indent=len(prefix))
        default = default or array.dtype.name in ("int64", "bool")
    else:
        values = "[]"  # nothing here tells the shape or that these are integers, so say both
        notes += [f"size={array.shape}"] if array.ndim != 1 else []
    if not default:
        notes.append(f"dtype=tn.{name(array.dtype)}")
    if grad_fn:
        notes.append(f"grad_fn=<{grad_fn}>")
    elif requires_grad:
        notes.append("requires_grad=True")
    return _annotate(prefix + values, notes, indent=len(prefix)) + ")"


def _annotate(text: str, notes: Sequence[str], indent: int) -> str:
    """Add the notes, each on the last line while that has room."""
    used = len(text) - text.rfind("\n") + 1
    for note in notes:
        if used + len(note) + 2 > WIDTH:
            text += ",\n" + " " * indent + note
            used = indent + len(note)
        else:
            text += ", " + note
            used += len(note) + 2
    return text


# --- values -------------------------------------------------------------------------------------------------
def _values(array: Array, indent: int) -> str:
    cut = [array.size > THRESHOLD and n > 2 * EDGE for n in array.shape]
    for axis, is_cut in enumerate(cut):
        if is_cut:
            before = (slice(None),) * axis
            edges = array[(*before, slice(EDGE))], array[(*before, slice(-EDGE, None))]
            array = backend(array).concatenate(edges, axis)
    array = host(array)
    numbers = array.reshape(-1).tolist()
    show, width = _number_format(numbers)
    return _nested(array.tolist(), cut, indent, show, width)


def _nested(values: Any, cut: Sequence[bool], indent: int, show: Callable[[Any], str], width: int) -> str:
    """Brackets in brackets. The last axis fills lines; each one before it stands a line further apart."""
    if not cut:
        return show(values)
    if len(cut) == 1:
        items = [show(v) for v in values]
        if cut[0]:
            items.insert(EDGE, " ...")
        per_line = max(1, (WIDTH - indent) // (width + 2))
        parts = [", ".join(items[k : k + per_line]) for k in range(0, len(items), per_line)]
        newlines = "\n"
    else:
        parts = [_nested(v, cut[1:], indent + 1, show, width) for v in values]
        if cut[0]:
            parts.insert(EDGE, "...")
        newlines = "\n" * (len(cut) - 1)
    return "[" + ("," + newlines + " " * (indent + 1)).join(parts) + "]"


# --- numbers ------------------------------------------------------------------------------------------------
def _number_format(numbers: list[Any]) -> tuple[Callable[[Any], str], int]:
    """One format for all the numbers, and its width."""
    if not isinstance(numbers[0], float):
        width = max(len(str(v)) for v in numbers)
        return (lambda v: str(v).rjust(width)), width

    telling = [v for v in numbers if v and math.isfinite(v)]  # zeros, infinities and NaNs have no say
    show = _float_format(telling)
    width = max((len(show(v)) for v in telling), default=1)
    return (lambda v: show(v).rjust(width)), width


def _float_format(telling: list[float]) -> Callable[[float], str]:
    sizes = [abs(v) for v in telling]
    small, large = (min(sizes), max(sizes)) if sizes else (1.0, 1.0)
    if large / small > 1000 or large > 1e8 or small < 1e-4:
        return lambda v: f"{v:.{PRECISION}e}"
    if all(v.is_integer() for v in telling):
        return lambda v: f"{v:.0f}." if math.isfinite(v) else f"{v:.0f}"
    return lambda v: f"{v:.{PRECISION}f}"
