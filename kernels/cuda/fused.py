"""A convolution with the ReLU, and the 2 x 2 max pool, that follow it: conv.cu, which has a ReLU in its last step, and
fused.cu."""
from __future__ import annotations

import math
from typing import Any

from ..windows import Pair, Windows
from . import sums
from .conv import as_read, conv2d, conv2d_input_grad, conv2d_weight_grad, images, in_memory
from .launcher import empty, launch, multiprocessors


def relu_grad(xp: Any, g: Any, y: Any) -> Any:
    """g where y = max(…, 0) is not 0."""
    if y.ndim == 4 and not y.flags.c_contiguous and all(in_memory(a, True).flags.c_contiguous for a in (g, y)):
        return sums.relu_grad(xp, in_memory(g, True), in_memory(y, True)).transpose(0, 3, 1, 2)
    return sums.relu_grad(xp, xp.ascontiguousarray(g), y)


def conv2d_relu_grad(xp: Any, g: Any, y: Any, x: Any, w: Any, *, wanted: Any, **how: Any) -> Any:
    """The gradients of x (None unless wanted[0]), w and b, when that of y = conv2d_relu(x, w, b) is g."""
    return _gradients(xp, relu_grad(xp, g, y), x, w, wanted, how)


def conv2d_relu_pool(xp: Any, x: Any, w: Any, b: Any = None, *, stride: Pair, padding: Pair, dilation: Pair,
                     groups: int) -> Any:
    """The largest of each 2 x 2 block of max(0, conv2d(x, w, b)) and its number in the block; 4, where it is 0."""
    y, last = as_read(xp, conv2d(xp, x, w, b, stride=stride, padding=padding, dilation=dilation, groups=groups), 4)
    n, c, height, width = y.shape
    out = (n, c, height // 2, width // 2)
    best, winner = (images(xp, out, last, kind) for kind in ("float32", "uint8"))
    _on_blocks(xp, "relu_pool", best.size, out, y.shape, last, x=y, y=best, winner=winner)
    return best, winner


def conv2d_relu_pool_grad(xp: Any, g: Any, winner: Any, x: Any, w: Any, *, wanted: Any, stride: Pair, padding: Pair,
                          dilation: Pair, groups: int) -> Any:
    """The gradients of x (None unless wanted[0]), w and b, when that of the pooled images is g."""
    height, width = Windows(x.shape[2:], w.shape[2:], stride, padding, dilation).out
    how = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return _gradients(xp, unpool(xp, g, winner, size=(height, width)), x, w, wanted, how)


def unpool(xp: Any, g: Any, winner: Any, *, size: Pair) -> Any:
    """Images of `size` with each g at the pixel that won its block, and zeros elsewhere."""
    g, winner, last = _alike(xp, g, winner)
    dx = images(xp, (*g.shape[:2], *size), last)
    _on_blocks(xp, "unpool", dx.size, g.shape, dx.shape, last, slopes=g, winner=winner, dx=dx)
    return dx


def pool_winners(xp: Any, y: Any, winner: Any) -> Any:
    """The pixels of y that won their blocks."""
    y, winner, last = _alike(xp, y, winner)
    out = images(xp, winner.shape, last)
    _on_blocks(xp, "pool_winners", out.size, out.shape, y.shape, last, x=y, winner=winner, y=out)
    return out


def _alike(xp: Any, x: Any, winner: Any) -> tuple[Any, Any, bool]:
    """Both with their channels last in memory, or both without."""
    (x, last), (winner, other) = as_read(xp, x, 4), as_read(xp, winner, 4)
    if last != other:
        return xp.ascontiguousarray(x), xp.ascontiguousarray(winner), False
    return x, winner, last


def _on_blocks(xp: Any, kernel: str, count: int, blocks: Any, pixels: Any, last: bool, **arrays: Any) -> None:
    launch(xp, kernel, (-(-count // 256),), **{name: in_memory(a, last) for name, a in arrays.items()}, count=count,
           rows=blocks[2], columns=blocks[3], height=pixels[2], width=pixels[3], inside=pixels[1] if last else 1)


def _gradients(xp: Any, g: Any, x: Any, w: Any, wanted: Any, how: Any) -> tuple[Any, ...]:
    dx = conv2d_input_grad(xp, g, w, size=x.shape[2:], **how) if wanted[0] else None
    return dx, conv2d_weight_grad(xp, x, g, size=w.shape[2:], **how), of_channels(xp, g)


def of_channels(xp: Any, g: Any) -> Any:
    """The sum of each channel, over all images and pixels."""
    g, last = as_read(xp, g, 4)
    if last:
        return sums.of_columns(xp, in_memory(g, True).reshape(-1, g.shape[1]))
    n, channels = g.shape[:2]
    slices = max(1, min(-(-2 * multiprocessors(xp) // channels), n))
    slice_images = -(-n // slices)
    slices = -(-n // slice_images)
    y = empty(xp, (channels,), g.dtype)
    parts = y if slices == 1 else empty(xp, (slices, channels), g.dtype)
    launch(xp, "channel_sums", (channels, slices), x=g, parts=parts, images=n, channels=channels,
           plane=math.prod(g.shape[2:]), slice_images=slice_images)
    if slices > 1:
        launch(xp, "sgemm_sum", (-(-channels // 256),), parts=parts, bias=None, c=y, size=channels, n=channels,
               slices=slices, relu=0)
    return y
