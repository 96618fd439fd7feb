"""Pooling: the largest or the mean pixel under each window. x (N, C, H, W) -> (N, C, rows, columns)."""
from __future__ import annotations

from typing import Any

from .. import kernel
from ..windows import Pair, Windows


@kernel("reference")
def max_pool2d(xp: Any, x: Any, *, kernel_size: Pair, stride: Pair, padding: Pair, dilation: Pair,
               ceil_mode: bool) -> Any:
    """The largest pixel under each window, and its number, row · W + column, in its image. The border is -∞
    and never chosen; of equal pixels the first counts, and a NaN beats everything."""
    at = Windows(x.shape[2:], kernel_size, stride, padding, dilation, ceil_mode)
    lowest = -xp.inf if x.dtype.kind == "f" else xp.iinfo(x.dtype).min
    values = xp.full((*x.shape[:2], *at.out), lowest, x.dtype)
    winner = xp.zeros(values.shape, "int32")  # which pixel of the window is the largest so far, from 1
    for number, (_, _, pixels) in enumerate(at.taps(at.pad(xp, x, lowest)), start=1):
        wins = (pixels > values) | (pixels != pixels)
        winner = xp.maximum(winner, wins * xp.int32(number))
        values = xp.maximum(values, pixels)

    (kh, kw), (dh, dw), width = kernel_size, dilation, x.shape[3]
    start = at.starts(xp, 0)[:, None] * width + at.starts(xp, 1)
    step = (xp.arange(kh)[:, None] * (dh * width) + xp.arange(kw) * dw).reshape(-1)
    first = at.inside(xp, 0)[:, None] * width + at.inside(xp, 1)  # wins if all pixels are -∞
    return values, xp.where(winner > 0, start + step[winner - 1], first)


@kernel("reference")
def max_pool2d_grad(xp: Any, g: Any, indices: Any, *, size: Pair) -> Any:
    """Each g goes to the pixel, of images of `size`, that won its window; one that won several gets
    the sum."""
    (n, c), area = g.shape[:2], size[0] * size[1]
    dx = xp.zeros(n * c * area, g.dtype)
    xp.add.at(dx, (indices + xp.arange(n * c).reshape(n, c, 1, 1) * area).reshape(-1), g.reshape(-1))
    return dx.reshape(n, c, *size)


@kernel("reference")
def avg_pool2d(xp: Any, x: Any, *, kernel_size: Pair, stride: Pair, padding: Pair, ceil_mode: bool,
               count_include_pad: bool, divisor_override: int | None) -> Any:
    """The sum of the pixels under each window over their number."""
    at = Windows(x.shape[2:], kernel_size, stride, padding, ceil_mode=ceil_mode)
    total = xp.zeros((*x.shape[:2], *at.out), x.dtype)
    for _, _, pixels in at.taps(at.pad(xp, x)):
        total += pixels
    return total / divisor(xp, at, x.dtype, count_include_pad, divisor_override)


@kernel("reference")
def avg_pool2d_grad(xp: Any, g: Any, *, size: Pair, kernel_size: Pair, stride: Pair, padding: Pair,
                    ceil_mode: bool, count_include_pad: bool, divisor_override: int | None) -> Any:
    """Each g is shared out evenly among the pixels, of images of `size`, under its window."""
    at = Windows(size, kernel_size, stride, padding, ceil_mode=ceil_mode)
    share = g / divisor(xp, at, g.dtype, count_include_pad, divisor_override)
    dx = at.blank(xp, g.shape[:2], g.dtype)
    for _, _, pixels in at.taps(dx):
        pixels += share
    return at.crop(xp, dx)


def divisor(xp: Any, at: Windows, dtype: Any, count_include_pad: bool, divisor_override: int | None) -> Any:
    """How many pixels each window has: of the image, or of the padding too; what hangs over never counts."""
    if divisor_override is not None:
        return divisor_override
    counts = []
    for axis in (0, 1):
        start, border = at.starts(xp, axis), at.padding[axis] if count_include_pad else 0
        end = xp.minimum(start + at.size[axis], at.image[axis] + border)
        counts.append(end - xp.maximum(start, -border))
    return (counts[0][:, None] * counts[1]).astype(dtype)
