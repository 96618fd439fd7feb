"""Convolution, ReLU and 2 x 2 max pool at once.

A task computes a band of the convolution into a buffer that stays in the processor's cache, and writes to memory only
what is left of it: a quarter of the numbers, and for each a byte that says where in its block it stood. Backward the
gradient is spread out again, band by band, in the same buffer. What lies between the layers is never in memory at all.
"""
from __future__ import annotations

from typing import Any

import numpy as np

from .compiler import jit, parallel, span
from .conv import (
    Conv,
    band,
    conv2d,
    conv2d_input_grad,
    conv2d_weight_grad,
    packed,
    prepared,
    share,
    tasks,
    unpack,
)
from .layout import channels_last, flat, images, steps, zero
from .panel import FROM_BIAS, FROM_C, FROM_ZERO, panel
from .threads import scratch, workers_for
from .vector import at, lanes

CLOSED = np.uint8(4)  # the code of a block that ReLU closed: all its pixels are 0 or less


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
    panels, right, below = (s.outputs + wide - 1) // wide, s.o, s.ow * s.o
    nothing = x.dtype.type(0)
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
        for block in range(rows * s.ow // 4):
            first, out = corner(block, s.ow, s), target + block * s.o
            for c in range(first, first + s.o):
                best, number = pixels[c], np.uint8(0)
                if better(pixels[c + right], best):
                    best, number = pixels[c + right], np.uint8(1)
                if better(pixels[c + below], best):
                    best, number = pixels[c + below], np.uint8(2)
                if better(pixels[c + below + right], best):
                    best, number = pixels[c + below + right], np.uint8(3)
                closed = best <= nothing
                y[out + c - first] = nothing if closed else best
                winner[out + c - first] = CLOSED if closed else number


@jit
def corner(block, width, s):
    """Where a 2 x 2 block begins, among pixels of s.o channels, `width` in a row."""
    half = s.ow // 2
    return (block // half * 2 * width + block % half * 2) * s.o


@jit
def better(v, best):
    """Is v larger, or the first NaN?"""
    return v > best or (v != v and best == best)


@jit
def spread(g, winner, source, blocks, out, width, s):
    """Each g, from the blocks that begin at source, at the pixel of its block that won, and zeros at the others."""
    right, below, nothing = s.o, width * s.o, g.dtype.type(0)
    for block in range(blocks):
        first, where = corner(block, width, s), source + block * s.o
        for c in range(s.o):
            value, number = g[where + c], winner[where + c]
            out[first + c] = value if number == 0 else nothing
            out[first + c + right] = value if number == 1 else nothing
            out[first + c + below] = value if number == 2 else nothing
            out[first + c + below + right] = value if number == 3 else nothing


@parallel
def pooled_weight_grad(worker, workers, x, g, winner, sums, offsets, work, border, s: Conv):
    """weight_grad of the gradient g, spread out to before the pool, and offsets[worker, o], its sum over the pixels."""
    total, wide = sums[worker], 2 * lanes(x)
    padded, pixels, nothing = work[worker][:border], work[worker][border:], x.dtype.type(0)
    zero(total, 0, len(total))
    zero(offsets[worker], 0, s.o)
    for task in span(worker, workers, tasks(s)):
        image, row, _, rows = share(task, s)
        source = band(x, image, row, 1, rows, padded, s)
        start, blocks = (image * s.oh + row) // 2 * (s.ow // 2) * s.o, rows * s.ow // 4
        spread(g, winner, start, blocks, pixels, s.ow, s)
        for block in range(start, start + blocks * s.o, s.o):
            for c in range(s.o):
                offsets[worker, c] += g[block + c] if winner[block + c] < CLOSED else nothing
        for group in range(s.groups):
            for p in range(0, s.outputs, wide):
                channel = group * s.outputs + p
                panel(len(s.taps), min(wide, s.outputs - p), rows * s.ow,
                      at(source, group * s.inputs), at(s.taps, 0), at(s.pixels, 0), at(pixels, channel), s.o,
                      at(total, channel), at(s.places, 0), FROM_C, at(total, 0), 0)


@parallel
def spread_out(worker, workers, g, winner, out, h, w, s: Conv):
    """The gradient before the pool, of images h x w: spread, image by image."""
    quarter = s.oh * s.ow // 4 * s.o
    for image in span(worker, workers, s.n):
        mine = out[image * h * w * s.o:(image + 1) * h * w * s.o]
        zero(mine, s.oh * w * s.o, (h - s.oh) * w * s.o)  # an odd last row,
        if w > s.ow:  # and column
            for row in range(s.oh):
                zero(mine, (row * w + s.ow) * s.o, s.o)
        spread(g, winner, image * quarter, quarter // s.o, mine, w, s)


@parallel
def closed_to(worker, workers, g, y, out, offsets):
    """out = g where ReLU let y pass, 0 elsewhere, for (pixels, channels); offsets[worker]: its sum over the pixels."""
    nothing = g.dtype.type(0)
    mine = offsets[worker]
    zero(mine, 0, len(mine))
    for pixel in span(worker, workers, len(g)):
        for c in range(len(mine)):
            value = nothing if y[pixel, c] <= nothing else g[pixel, c]
            out[pixel, c] = value
            mine[c] += value


# ---- for NumPy's arrays
def conv2d_relu(xp: Any, x: Any, w: Any, b: Any = None, **options: Any) -> Any:
    """max(0, conv2d(x, w, b)): `panel` sees to it before it writes."""
    return conv2d(xp, x, w, b, relu=True, **options)


def conv2d_relu_grad(xp: Any, g: Any, y: Any, x: Any, w: Any, *, wanted: Any, **options: Any) -> Any:
    """The gradients of x (None unless wanted[0]), w and b."""
    n, o, h, wide = y.shape
    before, workers = np.empty((n * h * wide, o), g.dtype), workers_for(g.size)
    offsets = np.empty((workers, o), g.dtype)
    closed_to(workers, *(channels_last(a).reshape(-1, o) for a in (g, y)), before, offsets)
    before = images(before.reshape(-1), n, o, h, wide)
    dx = conv2d_input_grad(xp, before, w, size=x.shape[2:], **options) if wanted[0] else None
    return dx, conv2d_weight_grad(xp, x, before, size=w.shape[2:], **options), offsets.sum(0)


def conv2d_relu_pool(xp: Any, x: Any, w: Any, b: Any = None, **options: Any) -> Any:
    """The largest of each 2 x 2 block of max(0, conv2d(x, w, b)), and its number in the block."""
    whole, workers = prepared(x, w.shape, x.shape, *options.values())
    s = in_blocks(whole)
    y = np.empty(s.n * s.oh * s.ow * s.o // 4, x.dtype)
    winner = np.empty(y.size, np.uint8)
    convolve_and_pool(workers, channels_last(x), packed(w, s, False), y if b is None else flat(b)[0], y, winner,
                      *memory(workers, x, s), FROM_ZERO if b is None else FROM_BIAS, s)
    return tuple(images(a, s.n, s.o, s.oh // 2, s.ow // 2) for a in (y, winner))


def conv2d_relu_pool_grad(xp: Any, g: Any, winner: Any, x: Any, w: Any, *, wanted: Any, **options: Any) -> Any:
    """The gradients of x (if wanted[0]), w and b."""
    whole, workers = prepared(x, w.shape, x.shape, *options.values())
    s = in_blocks(whole)
    vector, codes = channels_last(g), channels_last(winner)
    sums, offsets = (np.empty((workers, size), x.dtype) for size in (len(s.taps) * s.o, s.o))
    dw = np.empty(w.shape, w.dtype)
    pooled_weight_grad(workers, channels_last(x), vector, codes, sums, offsets, *memory(workers, x, s), s)
    unpack(workers_for(2 * dw.size), sums, dw.reshape(-1), s.o, s.inputs, s.kh * s.kw)
    dx = None
    if wanted[0]:
        before = np.empty(s.n * whole.oh * whole.ow * s.o, x.dtype)
        spread_out(workers, vector, codes, before, whole.oh, whole.ow, s)
        dx = conv2d_input_grad(xp, images(before, s.n, s.o, whole.oh, whole.ow), w, size=x.shape[2:], **options)
    return dx, dw, offsets.sum(0)


def memory(workers: int, x: Any, s: Conv) -> tuple[Any, int]:
    """What the tasks work in, and how much of it is for the band with its border."""
    border = s.image if s.top or s.left else 0
    return scratch(workers, border + s.rows * s.ow * s.o, x.dtype), border
