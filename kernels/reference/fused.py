"""Convolution with what follows it in most networks: ReLU, and the largest of each 2 x 2 block.

Done at once, what lies between is never written to memory. Here it is, to say what the result must be.
"""
from __future__ import annotations

from typing import Any

from .. import kernel
from ..windows import Pair, Windows
from .conv import conv2d, conv2d_input_grad, conv2d_weight_grad


@kernel("reference")
def relu_grad(xp: Any, g: Any, y: Any) -> Any:
    """The gradient before a ReLU whose result is y: g where y is positive, else 0. (A NaN is not 0 or less.)"""
    return xp.where(y <= 0, g.dtype.type(0), g)


@kernel("reference")
def conv2d_relu(xp: Any, x: Any, w: Any, b: Any = None, *, stride: Pair, padding: Pair, dilation: Pair,
                groups: int) -> Any:
    """max(0, conv2d(x, w, b))."""
    y = conv2d(xp, x, w, b, stride=stride, padding=padding, dilation=dilation, groups=groups)
    return xp.maximum(y, 0, out=y)


@kernel("reference")
def conv2d_relu_grad(xp: Any, g: Any, y: Any, x: Any, w: Any, *, wanted: Any, **how: Any) -> Any:
    """The gradients of x (None unless wanted[0]), w and b, when that of y = conv2d_relu(x, w, b) is g."""
    return _conv_grads(xp, xp.where(y <= 0, g.dtype.type(0), g), x, w, wanted, how)


def _conv_grads(xp: Any, g: Any, x: Any, w: Any, wanted: Any, how: Any) -> Any:
    dx = conv2d_input_grad(xp, g, w, size=x.shape[2:], **how) if wanted[0] else None
    return dx, conv2d_weight_grad(xp, x, g, size=w.shape[2:], **how), g.sum(axis=(0, 2, 3))


@kernel("reference")
def conv2d_relu_pool(xp: Any, x: Any, w: Any, b: Any = None, *, stride: Pair, padding: Pair, dilation: Pair,
                     groups: int) -> Any:
    """The largest of each 2 x 2 block of max(0, conv2d(x, w, b)) and its number in the block, row · 2 + column, or 4
    where it is 0. An odd last row or column is left out; of equal pixels the first counts, and a NaN beats all."""
    y = conv2d(xp, x, w, b, stride=stride, padding=padding, dilation=dilation, groups=groups)
    best, winner = y[:, :, :-1:2, :-1:2], 0
    for number in (1, 2, 3):
        pixels = y[:, :, number // 2:, number % 2:][:, :, :best.shape[2] * 2:2, :best.shape[3] * 2:2]
        better = (pixels > best) | ((pixels != pixels) & (best == best))
        best, winner = xp.where(better, pixels, best), xp.where(better, xp.uint8(number), winner)
    closed = best <= 0
    return xp.where(closed, y.dtype.type(0), best), xp.where(closed, xp.uint8(4), winner).astype("uint8")


@kernel("reference")
def conv2d_relu_pool_grad(xp: Any, g: Any, winner: Any, x: Any, w: Any, *, wanted: Any, stride: Pair, padding: Pair,
                          dilation: Pair, groups: int) -> Any:
    """The gradients of x (None unless wanted[0]), w and b, when that of the pooled images is g."""
    how = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    size = Windows(x.shape[2:], w.shape[2:], stride, padding, dilation).out
    return _conv_grads(xp, unpool(xp, g, winner, size=size), x, w, wanted, how)


@kernel("reference")
def unpool(xp: Any, g: Any, winner: Any, *, size: Pair) -> Any:
    """Images of `size` with each g at the pixel that won its block, and zeros elsewhere."""
    y = xp.zeros((*g.shape[:2], *size), g.dtype)
    for number in range(4):
        y[:, :, number // 2:, number % 2:][:, :, :g.shape[2] * 2:2, :g.shape[3] * 2:2] = xp.where(
            winner == number, g, g.dtype.type(0))
    return y


@kernel("reference")
def pool_winners(xp: Any, y: Any, winner: Any) -> Any:
    """The pixels of y that won their blocks: what unpool reads backwards."""
    out = xp.zeros(winner.shape, y.dtype)
    for number in range(4):
        pixels = y[:, :, number // 2:, number % 2:][:, :, :out.shape[2] * 2:2, :out.shape[3] * 2:2]
        out = xp.where(winner == number, pixels, out)
    return out
