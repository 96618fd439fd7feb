"""Convolution and its gradients, as products of a matrix that is never written: conv.cu and conv_grad.cu.

Along each axis of the images, `Axis` says how windows lie and where their results go. A convolution is one launch. The
gradient of the images is as many as there are places in a stride: along an axis, window r's tap i lies on the pixel
y = r · stride + i · dilation - padding. So the pixels y0, y0 + stride, … all meet the same taps, those for which
i · dilation and y0 + padding leave the same remainder by stride; and from one of these taps to the next, r falls by
dilation / gcd(stride, dilation). That is a convolution of g.
"""
from __future__ import annotations

import math
from typing import Any, NamedTuple

from ..windows import Pair, Windows
from . import choice
from .launcher import empty, launch, multiprocessors

RING = 4 * 4 * 2 * 128 * (16 + 4)  # product.h: bytes of the ring of panels
DEPTH = 16  # windows: slices are multiples of so many,
LEAST_SLICE = 128  # and a block should sum at least so many
ALONE = 4  # filters of a group, for which a tile would be nearly empty
WEIGHTS = 9  # conv_grad.cu: so many a block sums then
FEW = 32  # rows that tensor cores are not worth while for


class Axis(NamedTuple):
    """Windows along an axis: tap i of window r lies at pixel first + r · stride + i · step of x, and the window's
    result at to + r · apart of y."""

    windows: int
    taps: int
    first: int
    stride: int
    step: int
    to: int = 0
    apart: int = 1
    first_tap: int = 0  # of the filters, the one that is taken for tap 0,
    tap_step: int = 1  # and how far on from it that for the next is


def conv2d(xp: Any, x: Any, w: Any, b: Any = None, *, stride: Pair, padding: Pair, dilation: Pair, groups: int) -> Any:
    """y[n, o, r, s] = b[o] + Σ_cij w[o, c, i, j] x[n, c, r · stride + i · dilation - padding, …]."""
    return _forward(xp, x, w, b, Windows(x.shape[2:], w.shape[2:], stride, padding, dilation), groups, False)


def conv2d_relu(xp: Any, x: Any, w: Any, b: Any = None, *, stride: Pair, padding: Pair, dilation: Pair,
                groups: int) -> Any:
    """max(0, conv2d(x, w, b))."""
    return _forward(xp, x, w, b, Windows(x.shape[2:], w.shape[2:], stride, padding, dilation), groups, True)


def conv2d_input_grad(xp: Any, g: Any, w: Any, *, size: Pair, stride: Pair, padding: Pair, dilation: Pair,
                      groups: int) -> Any:
    """The gradient of the images, of `size`."""
    at, channels = Windows(size, w.shape[2:], stride, padding, dilation), w.shape[1]
    g, last = as_read(xp, g, len(w) // groups if channels > ALONE else 4)
    w, (filters, taps) = xp.ascontiguousarray(w), (len(w) // groups, math.prod(at.size))
    dx = images(xp, (len(g), channels * groups, *size), last)
    for rows in backwards(at, 0):
        for columns in backwards(at, 1):
            _launch(xp, g, w, None, dx, rows, columns, groups, filters, channels, last, careful=True,
                    steps=(taps, channels * taps))
    return dx


def conv2d_weight_grad(xp: Any, x: Any, g: Any, *, size: Pair, stride: Pair, padding: Pair, dilation: Pair,
                       groups: int) -> Any:
    """The gradient of the filters, of `size`: summed over the windows, in slices."""
    channels, filters, windows = x.shape[1] // groups, g.shape[1] // groups, len(g) * math.prod(g.shape[2:])
    (x, last), (g, g_last) = as_read(xp, x, channels), as_read(xp, g, filters)
    alone = max(filters, channels) <= ALONE
    if last != g_last or alone:
        x, g, last = xp.ascontiguousarray(x), xp.ascontiguousarray(g), False
    dw = empty(xp, (filters * groups, channels, *size), x.dtype)
    weights = channels * math.prod(size)
    kernel, tile, shared = plan(filters, weights, groups * max(1, windows // LEAST_SLICE), multiprocessors(xp))
    blocks = -(-weights // tile), -(-filters // tile), groups
    if alone:
        kernel, blocks, shared = "each", (filters * groups, -(-weights // WEIGHTS), 1), 0
    slices = max(1, min(2 * multiprocessors(xp) // math.prod(blocks), windows // LEAST_SLICE))
    depth = -(-windows // slices // DEPTH) * DEPTH
    slices = -(-windows // depth)
    parts = dw if slices == 1 else empty(xp, (slices, *dw.shape), x.dtype)
    pairs = {"taps": size, "stride": stride, "padding": padding, "dilation": dilation}
    by_axis: Any = {f"{what}_{axis}": pair[k] for what, pair in pairs.items() for k, axis in enumerate("yx")}
    launch(xp, f"conv_grad_{kernel}{'_last' * last}", (*blocks[:2], blocks[2] * slices), shared=shared,
           x=in_memory(x, last), slopes=in_memory(g, last), parts=parts, groups=groups, channels=channels,
           filters=filters, height=x.shape[2], width=x.shape[3], windows=windows, rows=g.shape[2], columns=g.shape[3],
           **by_axis, slices=slices, slice_depth=depth, plane=math.prod(g.shape[2:]), x_image=x.size // len(x),
           y_image=g.size // len(g))
    if slices > 1:
        launch(xp, "sgemm_sum", (-(-dw.size // 256),), parts=parts, bias=None, c=dw, size=dw.size, n=1, slices=slices,
               relu=0)
    return dw


def _forward(xp: Any, x: Any, w: Any, b: Any, at: Windows, groups: int, relu: bool) -> Any:
    (filters, channels), taps = w.shape[:2], math.prod(at.size)
    x, last = as_read(xp, x, channels if filters // groups > ALONE else 4)
    y = images(xp, (len(x), filters, *at.out), last)
    rows, columns = (Axis(at.out[k], at.size[k], -at.padding[k], at.stride[k], at.dilation[k]) for k in (0, 1))
    _launch(xp, x, xp.ascontiguousarray(w), None if b is None else xp.ascontiguousarray(b), y, rows, columns, groups,
            channels, filters // groups, last, relu=relu, steps=(channels * taps, taps))
    return y


def backwards(at: Windows, axis: int) -> list[Axis]:
    """The convolutions of g that give the gradient along an axis: for each place in a stride, one."""
    stride, dilation, padding, found = at.stride[axis], at.dilation[axis], at.padding[axis], []
    common = math.gcd(stride, dilation)
    for place in range(min(stride, at.image[axis])):
        taps = [i for i in range(at.size[axis]) if (i * dilation - place - padding) % stride == 0]
        first, pixels = taps[0] if taps else 0, -(-(at.image[axis] - place) // stride)
        found.append(Axis(pixels, len(taps), (place + padding - first * dilation) // stride, 1, -dilation // common,
                          place, stride, first, stride // common))
    return found


def _launch(xp: Any, x: Any, w: Any, bias: Any, y: Any, rows: Axis, columns: Axis, groups: int, channels: int,
            filters: int, last: bool, *, steps: Pair, relu: bool = False, careful: bool = False) -> None:
    """One convolution. channels, filters: of x and of y, in a group; steps: numbers of w from a filter to the next, and
    from a channel to the next."""
    pitch, windows = -(-filters // 4) * 4, len(x) * rows.windows * columns.windows
    packed = None
    if rows.taps * columns.taps:
        packed = empty(xp, (groups, rows.taps * columns.taps * channels, pitch), w.dtype)
        launch(xp, "conv_filters", (-(-packed.size // 256),), w=w, packed=packed, count=packed.size, filters=filters,
               pitch=pitch, channels=channels, taps_y=rows.taps, taps_x=columns.taps, first_y=rows.first_tap,
               first_x=columns.first_tap, step_y=rows.tap_step, step_x=columns.tap_step, size_x=w.shape[3],
               from_filter=steps[0], from_channel=steps[1], from_group=w.size // groups)
    kernel, size, shared = plan(filters, windows, groups, multiprocessors(xp))
    grid = (-(-windows // size), -(-filters // size), groups)
    if filters <= ALONE:
        kernel, grid, shared = "each", (-(-windows * filters * groups // 256), 1, 1), 0
    launch(xp, f"conv_{kernel}{'_last' * last}", grid, shared=shared,
           x=in_memory(x, last), w=packed, bias=bias, y=in_memory(y, last), groups=groups, channels=channels,
           filters=filters, pitch=pitch, height=x.shape[2], width=x.shape[3], windows=windows, rows=rows.windows,
           columns=columns.windows, taps_y=rows.taps if packed is not None else 0, taps_x=max(columns.taps, 1),
           first_y=rows.first, first_x=columns.first, stride_y=rows.stride, stride_x=columns.stride, step_y=rows.step,
           step_x=columns.step, y_height=y.shape[2], y_width=y.shape[3], to_y=rows.to, to_x=columns.to,
           apart_y=rows.apart, apart_x=columns.apart, relu=int(relu), careful=int(careful))


def plan(rows: int, columns: int, groups: int, multiprocessors: int) -> tuple[str, int, int]:
    """Which kernel makes such products, the size of its tiles and its bytes of shared memory: large tiles, if they
    occupy the card and are not half empty."""
    if choice.precision == "tf32" and rows > FEW:
        return "tf32", 128, RING
    large = -(-rows // 128) * -(-columns // 128) * groups >= multiprocessors and -rows % 128 < 64
    return ("128", 128, 0) if large else ("64", 64, 0)


# ---- images in memory
def as_read(xp: Any, x: Any, channels: int) -> tuple[Any, bool]:
    """Images as a kernel reads them, and whether their channels are last in memory. If those, so many in a group,
    cannot be read by fours, or if there are gaps, they are copied: channel by channel."""
    if x.flags.c_contiguous:
        return x, False
    address = x.data.ptr if hasattr(x.data, "ptr") else x.ctypes.data
    if in_memory(x, True).flags.c_contiguous and channels % 4 == 0 and address % 16 == 0:
        return x, True
    return xp.ascontiguousarray(x), False


def in_memory(x: Any, last: bool) -> Any:
    """Images (N, C, H, W) with their axes in the order in which they lie in memory."""
    return x.transpose(0, 2, 3, 1) if last else x


def images(xp: Any, shape: tuple[int, ...], last: bool, dtype: str = "float32") -> Any:
    """Images (N, C, H, W) for a kernel to fill."""
    if not last:
        return empty(xp, shape, dtype)
    n, c, h, w = shape
    return empty(xp, (n, h, w, c), dtype).transpose(0, 3, 1, 2)
