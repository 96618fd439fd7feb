"""Pooling, and its gradients, each number by a thread of its own: pool.cu."""
from __future__ import annotations

import math
from typing import Any

from ..windows import Pair, Windows
from .launcher import empty, launch


def max_pool2d(xp: Any, x: Any, *, kernel_size: Pair, stride: Pair, padding: Pair, dilation: Pair,
               ceil_mode: bool) -> tuple[Any, Any]:
    """The largest pixel under each window, and its number in its image."""
    at = Windows(x.shape[2:], kernel_size, stride, padding, dilation, ceil_mode)
    y = empty(xp, (*x.shape[:2], *at.out), x.dtype)
    indices = empty(xp, y.shape, "int64")
    _slide(xp, "max_pool", at, x, y, indices=indices)
    return y, indices


def avg_pool2d(xp: Any, x: Any, *, kernel_size: Pair, stride: Pair, padding: Pair, ceil_mode: bool,
               count_include_pad: bool, divisor_override: int | None) -> Any:
    """The sum of the pixels under each window over their number."""
    at = Windows(x.shape[2:], kernel_size, stride, padding, ceil_mode=ceil_mode)
    y = empty(xp, (*x.shape[:2], *at.out), x.dtype)
    _slide(xp, "avg_pool", at, x, y, count_padding=int(count_include_pad), divisor=divisor_override or 0)
    return y


def avg_pool2d_grad(xp: Any, g: Any, *, size: Pair, kernel_size: Pair, stride: Pair, padding: Pair, ceil_mode: bool,
                    count_include_pad: bool, divisor_override: int | None) -> Any:
    """Each g is shared out evenly among the pixels, of images of `size`, under its window."""
    at = Windows(size, kernel_size, stride, padding, ceil_mode=ceil_mode)
    dx = empty(xp, (*g.shape[:2], *size), g.dtype)
    _slide(xp, "avg_pool_grad", at, g, dx, count_padding=int(count_include_pad), divisor=divisor_override or 0)
    return dx


def max_pool2d_grad(xp: Any, g: Any, indices: Any, *, size: Pair) -> Any:
    """Each g goes to the pixel, of images of `size`, that won its window."""
    dx, (rows, columns) = empty(xp, (*g.shape[:2], *size), g.dtype), g.shape[2:]
    launch(xp, "max_pool_grad", (math.prod(g.shape[:2]),), shared=8 * (sum(size) + rows + columns),
           slopes=xp.ascontiguousarray(g), indices=xp.ascontiguousarray(indices), dx=dx, height=size[0], width=size[1],
           rows=rows, columns=columns)
    return dx


def _slide(xp: Any, kernel: str, at: Windows, x: Any, y: Any, *, indices: Any = None, count_padding: int = 0,
           divisor: int = 0) -> None:
    pairs: Any = {"size": at.size, "stride": at.stride, "padding": at.padding, "dilation": at.dilation}
    by_axis: dict[str, Any] = {f"{name}_{axis}": pair[k] for name, pair in pairs.items() for k, axis in enumerate("yx")}
    launch(xp, kernel, (-(-y.size // 256),), x=xp.ascontiguousarray(x), y=y, indices=indices, count=y.size,
           height=at.image[0], width=at.image[1], rows=at.out[0], columns=at.out[1], **by_axis,
           count_padding=count_padding, divisor=divisor)
