"""Padding: axes made longer at their ends, by a constant or by continuing what is there; or shorter."""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinynet.autograd.variable import raw
from tinynet.device import backend
from tinynet.dtypes import Array, DType, name
from tinynet.ops._primitive import primitive
from tinynet.ops.create import array_of, number, store, whole
from tinynet.ops.index import getitem
from tinynet.ops.shape import Shape

Ends = tuple[tuple[int, int], ...]  # for each axis how much goes before and after it; negative numbers cut off


# ---- a constant
def _opposite(pad: Ends) -> Ends:
    return tuple((-before, -after) for before, after in pad)


def _inside(shape: Shape, pad: Ends) -> tuple[slice, ...]:
    """What is not padding in something of this shape that was padded."""
    return tuple(slice(max(before, 0), n - max(after, 0)) for n, (before, after) in zip(shape, pad, strict=True))


@primitive
def constant_pad(xp: Any, a: Array, *, pad: Ends, value: Any) -> Array:
    """a with `value` put before and after its axes. What negative numbers cut off is what the opposite would put."""
    out = xp.full([n + before + after for n, (before, after) in zip(a.shape, pad, strict=True)], value, a.dtype)
    out[_inside(out.shape, pad)] = a[_inside(a.shape, _opposite(pad))]
    return out


constant_pad.vjp(a=lambda g, pad: constant_pad(g, pad=_opposite(pad), value=0))


# ---- which elements stand along an axis of n that is continued: all but the circle see past what is cut off
def _reflect(xp: Any, n: int, before: int, after: int) -> Array:
    return n - 1 - abs(n - 1 - abs(xp.arange(-before, n + after)))


def _replicate(xp: Any, n: int, before: int, after: int) -> Array:
    return xp.clip(xp.arange(-before, n + after), 0, n - 1)


def _circular(xp: Any, n: int, before: int, after: int) -> Array:
    kept = xp.arange(max(-before, 0), n - max(-after, 0))
    return kept[xp.arange(-max(before, 0), len(kept) + max(after, 0)) % len(kept)]


CONTINUED = {"reflect": _reflect, "replicate": _replicate, "circular": _circular}


def pad(input: Any, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Any:
    """input with its last axes made longer: pad[0] before and pad[1] after the last, pad[2] and pad[3] at the one
    before that, and so on. Negative numbers cut off.

    mode: "constant" puts `value` (0) there, for inputs of any shape. "reflect" (3 2 | 1 2 3 | 2 1), "replicate"
    (1 1 | 1 2 3 | 3 3) and "circular" (2 3 | 1 2 3 | 1 2) continue images, on all their axes: two numbers for
    (C, L), four for (C, H, W), six for (C, D, H, W), and for batches of them.

    RuntimeError for sizes that do not fit, NotImplementedError for other modes or numbers of axes.

    >>> tn.nn.functional.pad(tn.tensor([[1, 2, 3]]), (2, -1))
    tensor([[0, 0, 1, 2]])
    >>> tn.nn.functional.pad(tn.tensor([[1, 2, 3]]), (2, 1), mode="reflect")
    tensor([[3, 2, 1, 2, 3, 2]])
    """
    ends = _ends(input, pad, mode)
    if mode == "constant":
        if any(n + min(before, 0) + min(after, 0) < 0 for n, (before, after) in zip(input.shape, ends, strict=True)):
            raise RuntimeError(f"pad={list(pad)} cuts off more than there is of an input of shape {list(input.shape)}")
        return constant_pad(input, pad=ends, value=_fill(0 if value is None else value, input.dtype))
    if value is not None and value != 0:
        raise RuntimeError(f'Padding mode "{mode}" doesn\'t take in value argument, but got value={value}')
    lead = input.ndim - len(pad) // 2
    _check_images(input, ends[lead:], mode)
    sizes, xp = zip(input.shape[lead:], ends[lead:], strict=True), backend(raw(input))
    return getitem(input, index=(..., *xp.ix_(*[CONTINUED[mode](xp, n, *both) for n, both in sizes])))


# ---- checks
def _ends(input: Any, pad: Any, mode: Any) -> Ends:
    ndim = array_of("pad", input).ndim
    if not isinstance(pad, (tuple, list)):
        raise TypeError(f"pad(): argument 'pad' must be tuple of ints, not {type(pad).__name__}")
    if not isinstance(mode, str):
        raise TypeError(f"pad(): argument 'mode' must be str, not {type(mode).__name__}")
    if mode != "constant" and mode not in CONTINUED:
        raise NotImplementedError(f"Unrecognised padding mode {mode}: choose constant, {', '.join(CONTINUED)}")
    numbers = [whole("pad(): argument 'pad'", n) for n in pad]
    if len(numbers) % 2:
        raise RuntimeError(f"Padding length must be divisible by 2, two numbers for an axis, but got pad={numbers}")
    if len(numbers) > 2 * ndim:
        raise RuntimeError("Padding length should be less than or equal to two times the input dimension but got "
                           f"padding length {len(numbers)} and input of dimension {ndim}")
    ends = tuple(zip(numbers[::2], numbers[1::2], strict=True))[::-1]
    return ((0, 0),) * (ndim - len(ends)) + ends


def _fill(value: Any, dtype: DType) -> Any:
    value = float(number("pad(): argument 'value'", value))
    fill = store(value, dtype)
    if math.isfinite(value) and not np.isfinite(fill):
        raise RuntimeError(f"value cannot be converted to type {name(dtype)} without overflow: {value}")
    return fill.item()


def _check_images(input: Any, ends: Ends, mode: str) -> None:
    shape, axes = list(input.shape), len(ends)
    if axes not in (1, 2, 3) or input.ndim not in (axes + 1, axes + 2):
        raise NotImplementedError(f"Padding size {2 * axes} is not supported for {input.ndim}D input tensor: mode "
                                  f"{mode} takes 2 numbers for (C, L), 4 for (C, H, W), 6 for (C, D, H, W) and "
                                  f"for batches of them, got shape {shape}")
    out = []
    for axis, (before, after) in enumerate(ends, start=input.ndim - axes):
        n, left = shape[axis], shape[axis] + min(before, 0) + min(after, 0)
        out.append(n + before + after)
        if mode == "reflect" and max(before, after) >= n > 0:
            raise RuntimeError("Padding size should be less than the corresponding input dimension, but got: padding "
                               f"({before}, {after}) at dimension {axis} of input {shape}")
        if mode == "circular" and max(before, after) > left:
            raise RuntimeError(f"Padding value causes wrapping around more than once: ({before}, {after}) at "
                               f"dimension {axis} of input {shape}")
    if mode != "circular":
        if input.dtype.kind == "b":
            raise NotImplementedError(f"pad with mode {mode} is not implemented for bool: use input.int()")
        if 0 in shape[-axes - 1:]:
            raise RuntimeError(f"Expected {axes + 1}D or {axes + 2}D (batch mode) tensor with possibly 0 batch size "
                               f"and other non-zero dimensions for input, but got: {shape}")
    if min(out) < 0 or (mode != "circular" and max(out) < 1):
        raise RuntimeError(f"input {shape} is too small: padding {list(ends)} would leave sizes {out}")
