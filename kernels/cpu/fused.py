"""Convolution, ReLU and 2 x 2 max pool at once.

A task computes a band of the convolution into a buffer that stays in the processor's cache, and writes to memory only
what is left of it: a quarter of the numbers, and for each a byte that says where in its block it stood. Backward the
gradient is spread out again, band by band, in the same buffer. What lies between the layers is never in memory at all.
"""
from __future__ import annotations

from typing import Any

import numpy as np

from .. import run
from .blocks import before_relu, pool_rows, unpool_rows
from .compiler import parallel, span
from .conv import (
    Conv,
    band,
    conv2d,
    packed,
    prepared,
    share,
    tasks,
    unpack,
)
from .layout import channels_last, images, ravel, steps, zero
from .panel import FROM_BIAS, FROM_C, FROM_ZERO, panel
from .threads import aligned, scratch, workers_for
from .vector import at, lanes


def in_blocks(s: Conv) -> Conv:
    """The plan of a convolution for tasks of whole 2 x 2 blocks: an odd last row or column is not computed."""
    oh, ow = s.oh // 2 * 2, s.ow // 2 * 2
    rows = min(oh, max(2, s.rows // 2 * 2))
    image = ((rows - 1) * s.down + s.apart * (s.kh - 1) + 1) * s.pitch if s.top or s.left else s.image
    pixels = (steps(rows, s.down * s.pitch)[:, None] + steps(ow, s.right * s.c)).reshape(-1)
    places = steps(max(len(pixels), len(s.taps)), s.o)
    return s._replace(oh=oh, ow=ow, several=1, rows=rows, image=image, pixels=pixels, places=places)


# ---- tasks. Each worker has `work` memory: for the band of x with its border, then for a band of the convolution
@parallel
def convolve_and_pool(worker, workers, x, filters, bias, y, winner, work, border, start, s: Conv):
    """The largest of each block of x * w + bias, or 0, in y, and which of the four it was in winner."""
    padded, pixels, wide = work[worker][:border], work[worker][border:], 2 * lanes(x)
    panels = (s.outputs + wide - 1) // wide
    for task in span(worker, workers, tasks(s)):
        image, row, _, rows = share(task, s)
        source = band(x, image, row, 1, rows, padded, s)
        for group in range(s.groups):
            for p in range(panels):
                channel = group * s.outputs + p * wide
                panel(rows * s.ow, min(wide, s.outputs - p * wide), len(s.taps),
                      at(source, group * s.inputs), at(s.pixels, 0), at(s.taps, 0),
                      at(filters, (group * panels + p) * len(s.taps) * wide), wide,
                      at(pixels, channel), at(s.places, 0), start, at(bias, channel), 0)
        target = (image * s.oh + row) // 2 * (s.ow // 2) * s.o
        pool_rows(at(pixels, 0), rows, s.ow, s.o, at(y, 0), at(winner, 0), target)


@parallel
def pooled_weight_grad(worker, workers, x, g, winner, sums, offsets, work, border, s: Conv):
    """weight_grad of the gradient g, spread out to before the pool; offsets[worker, o]: its sum over the pixels."""
    total, wide = sums[worker], 2 * lanes(x)
    padded, pixels = work[worker][:border], work[worker][border:]
    zero(total, 0, len(total))
    zero(offsets[worker], 0, s.o)
    for task in span(worker, workers, tasks(s)):
        image, row, _, rows = share(task, s)
        source = band(x, image, row, 1, rows, padded, s)
        start = (image * s.oh + row) // 2 * (s.ow // 2) * s.o
        unpool_rows(at(g, 0), at(winner, 0), start, rows, s.ow, s.o, at(pixels, 0), s.ow * s.o, at(offsets[worker], 0))
        for group in range(s.groups):
            for p in range(0, s.outputs, wide):
                channel = group * s.outputs + p
                panel(len(s.taps), min(wide, s.outputs - p), rows * s.ow,
                      at(source, group * s.inputs), at(s.taps, 0), at(s.pixels, 0), at(pixels, channel), s.o,
                      at(total, channel), at(s.places, 0), FROM_C, at(total, 0), 0)


@parallel
def spread_out(worker, workers, g, winner, out, offsets, h, w, s: Conv):
    """The gradient before the pool, of images h x w, image by image; offsets as above."""
    zero(offsets[worker], 0, s.o)
    for image in span(worker, workers, s.n):
        mine = at(out, image * h * w * s.o)
        zero(mine, s.oh * w * s.o, (h - s.oh) * w * s.o)  # an odd last row,
        if w > s.ow:  # and column
            for row in range(s.oh):
                zero(mine, (row * w + s.ow) * s.o, s.o)
        unpool_rows(at(g, 0), at(winner, 0), image * (s.oh * s.ow // 4) * s.o, s.oh, s.ow, s.o, mine, w * s.o,
                    at(offsets[worker], 0))


# ---- for NumPy's arrays
def conv2d_relu(xp: Any, x: Any, w: Any, b: Any = None, **options: Any) -> Any:
    """max(0, conv2d(x, w, b)): `panel` sees to it before it writes."""
    return conv2d(xp, x, w, b, relu=True, **options)


def conv2d_relu_grad(xp: Any, g: Any, y: Any, x: Any, w: Any, *, wanted: Any, **options: Any) -> Any:
    """The gradients of x (None unless wanted[0]), w and b."""
    n, o, h, wide = y.shape
    before, offsets = before_relu(channels_last(g), channels_last(y), o)
    return _grads(xp, images(before, n, o, h, wide), x, w, wanted, offsets, options)


def _grads(xp: Any, before: Any, x: Any, w: Any, wanted: Any, offsets: Any, how: dict[str, Any]) -> Any:
    dx = run("conv2d_input_grad", xp, before, w, size=x.shape[2:], **how) if wanted[0] else None
    return dx, run("conv2d_weight_grad", xp, x, before, size=w.shape[2:], **how), offsets


def conv2d_relu_pool(xp: Any, x: Any, w: Any, b: Any = None, **options: Any) -> Any:
    """The largest of each 2 x 2 block of max(0, conv2d(x, w, b)), and its number in the block."""
    whole, workers = prepared(x, w.shape, x.shape, *options.values())
    s = in_blocks(whole)
    y = aligned(s.n * s.oh * s.ow * s.o // 4, x.dtype)
    winner = np.empty(y.size, np.uint8)
    convolve_and_pool(workers, channels_last(x), packed(w, s, False), y if b is None else ravel(b), y, winner,
                      *memory(workers, x, s), FROM_ZERO if b is None else FROM_BIAS, s)
    return tuple(images(a, s.n, s.o, s.oh // 2, s.ow // 2) for a in (y, winner))


def conv2d_relu_pool_grad(xp: Any, g: Any, winner: Any, x: Any, w: Any, *, wanted: Any, **options: Any) -> Any:
    """The gradients of x (if wanted[0]), w and b."""
    whole, workers = prepared(x, w.shape, x.shape, *options.values())
    s = in_blocks(whole)
    vector, codes, offsets = channels_last(g), channels_last(winner), np.empty((workers, s.o), x.dtype)
    if wanted[0]:
        before = aligned(s.n * whole.oh * whole.ow * s.o, x.dtype)
        spread_out(workers, vector, codes, before, offsets, whole.oh, whole.ow, s)
        return _grads(xp, images(before, s.n, s.o, whole.oh, whole.ow), x, w, wanted, offsets.sum(0),
                      options)
    sums, dw = np.empty((workers, len(s.taps) * s.o), x.dtype), np.empty(w.shape, w.dtype)
    pooled_weight_grad(workers, channels_last(x), vector, codes, sums, offsets, *memory(workers, x, s), s)
    unpack(workers_for(2 * dw.size), sums, dw.reshape(-1), s.o, s.inputs, s.kh * s.kw)
    return None, dw, offsets.sum(0)


def memory(workers: int, x: Any, s: Conv) -> tuple[Any, int]:
    """What the tasks work in, and how much of it is for the band with its border."""
    border = s.image if s.top or s.left else 0
    return scratch(workers, border + s.rows * s.ow * s.o, x.dtype), border
