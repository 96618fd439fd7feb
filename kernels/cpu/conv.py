"""Convolution as a matrix product whose left matrix is never written down.

It is the product of the reference: a row for each output pixel, a column for each output channel, and the sum runs
over the taps of a window (row, column, channel). But no matrix of patches is made. With the channels of a pixel side
by side in memory, tap k of window p reads the number at pixels[p] + taps[k], and two tables of offsets are all that
`panel` needs. The gradient of the weights sums over pixels where the convolution sums over taps: the two tables change
places. The gradient of the images is a product, patch by patch, and each patch is added back to the pixels it came
from.

A task is a band of output rows of one image, or a few small images: as much as stays in a processor's own cache. Where
there is padding, the band is first copied to a buffer with zeros around it.
"""
from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from ..windows import Pair, Windows
from .compiler import jit, parallel, span
from .layout import add, channels_last, copy, flat, images, ravel, steps, zero
from .panel import FROM_BIAS, FROM_C, FROM_ZERO, panel
from .threads import aligned, get_num_threads, scratch, workers_for
from .vector import BYTES, at, lanes

BAND = 300_000  # bytes that a task reads and writes
PATCHES = 65_536  # numbers in the patches that the gradient of the images computes at a time


class Conv(NamedTuple):
    """The sizes of a convolution, and the tables of its offsets. inputs, outputs: channels of a group."""

    n: int
    h: int
    w: int
    c: int
    o: int
    groups: int
    inputs: int
    outputs: int
    kh: int
    kw: int
    oh: int
    ow: int
    down: int  # stride, padding and dilation: of rows, of columns
    right: int
    top: int
    left: int
    apart: int
    aside: int
    several: int  # images in a task,
    rows: int  # and output rows of each
    image: int  # numbers from one image to the next, and from one row: in the buffer, if there is padding
    pitch: int
    pixels: Any  # where the windows of a task begin
    taps: Any  # what to add for each tap of a window
    places: Any  # where pixels begin in the output


@functools.lru_cache(256)
def plan(x_shape: tuple[int, ...], w_shape: tuple[int, ...], stride: Pair, padding: Pair, dilation: Pair, groups: int,
         itemsize: int, threads: int) -> Conv:
    """Size the tasks and make the tables, once for convolutions of the same shapes."""
    (n, c, h, w), (o, inputs, kh, kw) = x_shape, w_shape
    oh, ow = Windows((h, w), (kh, kw), stride, padding, dilation).out
    width = (ow - 1) * stride[1] + dilation[1] * (kw - 1) + 1 if any(padding) else w
    pitch = width * c
    row = (stride[0] * pitch + ow * o) * itemsize  # bytes that a row of windows touches
    several = max(1, min(-(-n // (4 * threads)), BAND // (row * oh), -(-256 // (oh * ow))))
    rows = max(1, min(oh, BAND // row, oh if n >= 2 * threads else -(-oh // 4)))
    rows = -(-oh // -(-oh // rows))  # as many in each band
    image = ((rows - 1) * stride[0] + dilation[0] * (kh - 1) + 1) * pitch if any(padding) else h * pitch
    window = steps(kh, dilation[0] * pitch)[:, None, None] + steps(kw, dilation[1] * c)[:, None] + np.arange(inputs)
    band = steps(several, image)[:, None, None] + steps(rows, stride[0] * pitch)[:, None] + steps(ow, stride[1] * c)
    return Conv(n, h, w, c, o, groups, inputs, o // groups, kh, kw, oh, ow, *stride, *padding, *dilation, several, rows,
                image, pitch, band.reshape(-1), window.reshape(-1), steps(max(band.size, window.size), o))


# ---- what a task reads
@jit
def tasks(s):
    """How many there are: bands of images, or groups of images."""
    return (s.n + s.several - 1) // s.several * ((s.oh + s.rows - 1) // s.rows)


@jit
def share(task, s):
    """The first image and the first output row of a task, and how many of each."""
    bands = (s.oh + s.rows - 1) // s.rows
    image, row = task // bands * s.several, task % bands * s.rows
    return image, row, min(s.several, s.n - image), min(s.rows, s.oh - row)


@jit
def band(x, image, row, several, rows, buffer, s):
    """The pointer to the pixels under the first window of a task: in x itself, or in the buffer if there is padding."""
    if s.top == 0 and s.left == 0:
        return at(x, (image * s.h + row * s.down) * s.pitch)
    inside = min(s.w * s.c, s.pitch - s.left * s.c)  # numbers of an image row that windows reach
    x, buffer = at(x, 0), at(buffer, 0)
    for k in range(several):
        for r in range((rows - 1) * s.down + s.apart * (s.kh - 1) + 1):
            y, start = row * s.down - s.top + r, k * s.image + r * s.pitch
            if 0 <= y < s.h:
                zero(buffer, start, s.left * s.c)
                copy(x, ((image + k) * s.h + y) * s.w * s.c, buffer, start + s.left * s.c, inside)
                zero(buffer, start + s.left * s.c + inside, s.pitch - s.left * s.c - inside)
            else:
                zero(buffer, start, s.pitch)
    return buffer


# ---- the three kernels
@parallel
def convolve(worker, workers, x, filters, bias, y, buffers, start, relu, s: Conv):
    """y[pixel, o] = Σ_k x[pixel + tap k] w[k, o], for images x and y with channels last and packed filters w."""
    wide = 2 * lanes(x)
    panels = (s.outputs + wide - 1) // wide
    for task in span(worker, workers, tasks(s)):
        image, row, several, rows = share(task, s)
        source = band(x, image, row, several, rows, buffers[worker], s)
        target = (image * s.oh + row) * s.ow * s.o
        for group in range(s.groups):
            for p in range(panels):
                channel = group * s.outputs + p * wide
                panel(several * rows * s.ow, min(wide, s.outputs - p * wide), len(s.taps),
                      at(source, group * s.inputs), at(s.pixels, 0), at(s.taps, 0),
                      at(filters, (group * panels + p) * len(s.taps) * wide), wide,
                      at(y, target + channel), at(s.places, 0), start, at(bias, channel), relu)


@parallel
def weight_grad(worker, workers, x, g, sums, buffers, s: Conv):
    """sums[worker, k, o] = Σ_pixel x[pixel + tap k] g[pixel, o], over the pixels of this worker's tasks."""
    mine, wide = sums[worker], 2 * lanes(x)
    zero(mine, 0, len(mine))
    for task in span(worker, workers, tasks(s)):
        image, row, several, rows = share(task, s)
        source = band(x, image, row, several, rows, buffers[worker], s)
        target = (image * s.oh + row) * s.ow * s.o
        for group in range(s.groups):
            for p in range(0, s.outputs, wide):
                channel = group * s.outputs + p
                panel(len(s.taps), min(wide, s.outputs - p), several * rows * s.ow,
                      at(source, group * s.inputs), at(s.taps, 0), at(s.pixels, 0),
                      at(g, target + channel), s.o,
                      at(mine, channel), at(s.places, 0), FROM_C, at(mine, 0), 0)


@parallel
def input_grad(worker, workers, g, filters, dx, patches, block, strips, pixels, channels, places, s: Conv):
    """dx[pixel + tap k] += Σ_o g[pixel, o] w[o, k]. A task is a strip of rows of dx, which nobody else adds to; windows
    that reach over its edge are computed on both sides."""
    mine, wide, depth = patches[worker], 2 * lanes(g), len(s.taps)
    panels = (depth + wide - 1) // wide
    for task in span(worker, workers, s.n * strips):
        image, strip = task // strips, task % strips
        low, high = s.h * strip // strips, s.h * (strip + 1) // strips
        zero(dx, (image * s.h + low) * s.w * s.c, (high - low) * s.w * s.c)
        first = max(0, -((s.apart * (s.kh - 1) - low - s.top) // s.down))  # rows of windows that reach the strip
        end = min(s.oh, (high - 1 + s.top) // s.down + 1)
        for pixel in range(first * s.ow, end * s.ow, block):
            count = min(block, end * s.ow - pixel)
            for group in range(s.groups):
                for p in range(panels):
                    panel(count, min(wide, depth - p * wide), s.outputs,
                          at(g, (image * s.oh * s.ow + pixel) * s.o + group * s.outputs),
                          at(pixels, 0), at(channels, 0),
                          at(filters, (group * panels + p) * s.outputs * wide), wide,
                          at(mine, p * wide), at(places, 0), FROM_ZERO, at(mine, 0), 0)
                add_back(mine, pixel, count, image, group, low, high, dx, s)


@jit
def add_back(patches, pixel, count, image, group, low, high, dx, s):
    """Add the patches of windows pixel, pixel + 1, … to the rows low … high - 1 of an image."""
    together = s.kw if s.aside == 1 and s.groups == 1 else 1  # taps that lie side by side in the image, too
    y, q = pixel // s.ow * s.down - s.top, pixel % s.ow
    patches, dx = at(patches, 0), at(dx, 0)  # pointers: to pass an array on takes longer than to add a few numbers
    for m in range(count):
        x = q * s.right - s.left
        for j in range(0, s.kw, together):
            column = x + j * s.aside
            start, stop = max(0, -column), min(together, s.w - column)
            source = (m * s.kh * s.kw + j + start) * s.inputs
            target = (image * s.h * s.w + column + start) * s.c + group * s.inputs
            for i in range(s.kh):
                row = y + i * s.apart
                if low <= row < high and start < stop:
                    add(patches, source + i * s.kw * s.inputs, dx, target + row * s.w * s.c, (stop - start) * s.inputs)
        q += 1
        if q == s.ow:
            y, q = y + s.down, 0


# ---- weights
@parallel
def pack(worker, workers, w, groups, step, rows, columns, packed):
    """For each group, the matrix w[rows[k] + columns[n]] in panels: two registers' width of columns, row after row."""
    wide, depth = 2 * lanes(w), len(rows)
    panels = (len(columns) + wide - 1) // wide
    for task in span(worker, workers, groups * panels):
        start, first = task // panels * step, task % panels * wide
        for k in range(depth):
            for n in range(min(wide, len(columns) - first)):
                packed[(task * depth + k) * wide + n] = w[start + rows[k] + columns[first + n]]


@parallel
def unpack(worker, workers, sums, dw, o, inputs, window):
    """dw[o, channel, tap] = the sum of all workers' sums[tap, channel, o], worker by worker."""
    for k in span(worker, workers, o * inputs):
        for tap in range(window):
            from_ = (tap * inputs + k % inputs) * o + k // inputs
            total = sums[0, from_]
            for other in range(1, len(sums)):
                total += sums[other, from_]
            dw[k * window + tap] = total


def packed(w: Any, s: Conv, transposed: bool) -> Any:
    """The filters as `convolve` wants them; or, transposed, as input_grad does."""
    vector, strides = flat(w)
    taps, outputs, wide = filter_taps(w.shape[1:], strides[1:]), steps(s.outputs, strides[0]), 2 * BYTES // w.itemsize
    rows, columns = (outputs, taps) if transposed else (taps, outputs)
    (out,) = scratch(1, s.groups * -(-len(columns) // wide) * wide * len(rows), w.dtype, "filters")
    pack(workers_for(2 * w.size), vector, s.groups, s.outputs * strides[0], rows, columns, out)
    return out


@functools.lru_cache(256)
def filter_taps(sizes: tuple[int, ...], strides: tuple[int, ...]) -> Any:
    """Where the weights of a filter lie, in the order of the taps of a window."""
    i, kh, kw = (steps(n, stride) for n, stride in zip(sizes, strides, strict=True))
    return (kh[:, None, None] + kw[:, None] + i).reshape(-1)


# ---- for NumPy's arrays
def prepared(x: Any, w_shape: tuple[int, ...], x_shape: tuple[int, ...], stride: Pair, padding: Pair, dilation: Pair,
             groups: int) -> tuple[Conv, int]:
    """The plan of a convolution, and the number of workers for it."""
    s = plan(x_shape, w_shape, tuple(stride), tuple(padding), tuple(dilation), groups, x.itemsize, get_num_threads())
    products = s.n * s.oh * s.ow * s.o * len(s.taps)
    return s, workers_for(products * x.itemsize / (2 * BYTES))


def buffer_size(s: Conv) -> int:
    """How many numbers a worker needs to keep a task's images with their padding."""
    return s.several * s.image if s.top or s.left else 0


def conv2d(xp: Any, x: Any, w: Any, b: Any = None, *, stride: Pair, padding: Pair, dilation: Pair, groups: int,
           relu: bool = False) -> Any:
    """y[n, o, r, s] = b[o] + Σ_cij w[o, c, i, j] x[n, c, row, column]; relu: max(y, 0)."""
    s, workers = prepared(x, w.shape, x.shape, stride, padding, dilation, groups)
    filters, y = packed(w, s, False), aligned(s.n * s.oh * s.ow * s.o, x.dtype)
    convolve(workers, channels_last(x), filters, y if b is None else ravel(b), y,
             scratch(workers, buffer_size(s), x.dtype),
             FROM_ZERO if b is None else FROM_BIAS, int(relu), s)
    return images(y, s.n, s.o, s.oh, s.ow)


def conv2d_weight_grad(xp: Any, x: Any, g: Any, *, size: Pair, stride: Pair, padding: Pair, dilation: Pair,
                       groups: int) -> Any:
    """dw[o, c, i, j] = Σ_nrs g[n, o, r, s] x[n, c, row, column]."""
    shape = (g.shape[1], x.shape[1] // groups, *size)
    s, workers = prepared(x, shape, x.shape, stride, padding, dilation, groups)
    sums, dw = np.empty((workers, len(s.taps) * s.o), x.dtype), np.empty(shape, x.dtype)
    weight_grad(workers, channels_last(x), channels_last(g), sums,
                scratch(workers, buffer_size(s), x.dtype), s)
    unpack(workers_for(2 * dw.size), sums, dw.reshape(-1), s.o, s.inputs, s.kh * s.kw)
    return dw


def conv2d_input_grad(xp: Any, g: Any, w: Any, *, size: Pair, stride: Pair, padding: Pair, dilation: Pair,
                      groups: int) -> Any:
    """dx[n, c, row, column] = Σ_oij w[o, c, i, j] g[n, o, r, s], over the windows that meet the pixel."""
    s, workers = prepared(g, w.shape, (len(g), w.shape[1] * groups, *size), stride, padding, dilation, groups)
    depth = len(s.taps)
    block = max(8, min(s.oh * s.ow, PATCHES // depth // 8 * 8))
    dx = aligned(s.n * s.h * s.w * s.c, g.dtype)
    input_grad(workers, channels_last(g), packed(w, s, True), dx, scratch(workers, block * depth, g.dtype), block,
               1 if s.n >= workers else min(s.h, 2 * workers), steps(block, s.o), steps(s.outputs, 1),
               steps(block, depth), s)
    return images(dx, s.n, s.c, s.h, s.w)
