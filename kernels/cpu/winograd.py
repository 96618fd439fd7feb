"""Winograd's convolution: 16 multiplications where 36 seem to be needed. 3 x 3 filters, stride 1, float32.

A tile of 2 x 2 outputs sees 4 x 4 inputs. In one dimension, 2 outputs of 3 weights w and 4 inputs x are

    y = Aᵀ [(G w) · (Bᵀ x)],    4 products instead of 6, with matrices that hold only 0, ±1 and ±1/2,

and in two dimensions Y = Aᵀ [(G w Gᵀ) · (Bᵀ x B)] A: each of the 16 places is a product over channels, which for many
tiles at once is a product of matrices, for `panel`. The gradients are the same equations read backwards, with A, B and
G where Aᵀ, Bᵀ and Gᵀ stood. (S. Winograd 1980; A. Lavin and S. Gray, Fast algorithms for convolutional neural
networks, 2016.)

The sums are as exact as those of the plain convolution, but differences of pixels enter them: an infinite pixel makes
NaN of its neighbours.
"""
from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from ..windows import Pair
from .blocks import shared_out, write_strongest
from .compiler import jit, parallel, span
from .functions import larger
from .layout import add, channels_last, copy, images, ravel, steps, zero
from .panel import FROM_C, FROM_ZERO, panel
from .places import (
    PLACES,
    filters_of,
    inputs_to_places,
    outputs_of,
    outputs_to_places,
    places_to_inputs,
    transform_back,
)
from .threads import aligned, get_num_threads, scratch, workers_for
from .vector import at, lanes, load, splat, store, where

PLAIN, RELU, POOL = 0, 1, 2  # what follows the convolution
BOTH, INPUTS, WEIGHTS = 0, 1, 2  # which gradients are wanted
LINE = 16  # numbers of the gap between places: without it all 16 would compete for the same lines of the cache
NUMBERS = 5_000  # in the rows of a task, at one place: 16 of them stay in a processor's own cache


class Tiles(NamedTuple):
    """Sizes of images (n, h, w, c) and outputs (oh, ow, o), and how tiles are taken."""

    n: int
    h: int
    w: int
    c: int
    oh: int
    ow: int
    o: int
    top: int
    left: int
    down: int  # tiles of an image: rows, columns
    across: int
    together: int  # tiles of a task
    inputs: int  # numbers from the inputs of all these tiles at one place to those at the next, and of the outputs
    outputs: int
    by_inputs: Any  # tables for `panel`: steps of c numbers, of o, and of one
    by_outputs: Any
    by_one: Any


@functools.lru_cache(256)
def plan(shape: tuple[int, ...], o: int, padding: Pair, then: int, threads: int) -> Tiles:
    """Size the tasks and make the tables. The pool does not see an odd last row or column."""
    n, c, h, w = shape
    oh, ow = h + 2 * padding[0] - 2, w + 2 * padding[1] - 2
    down, across = (oh // 2, ow // 2) if then == POOL else (-(-oh // 2), -(-ow // 2))
    most = max(8, min(64, NUMBERS // (c + o) // 8 * 8))
    tasks = max(1, -(-n * down * across // (most * threads)) * threads)  # as many for each thread
    together = -(-n * down * across // (8 * tasks)) * 8
    most = max(c, o, together)
    return Tiles(n, h, w, c, oh, ow, o, *padding, down, across, together, together * c + LINE, together * o + LINE,
                 steps(most, c), steps(most, o), steps(most, 1))


# ---- tiles of images
@jit
def tile(number, s):
    """The image of a tile, and the first row and column of its outputs."""
    image, rest = number // (s.down * s.across), number % (s.down * s.across)
    return image, rest // s.across * 2, rest % s.across * 2


@jit
def visible(start, count, n):
    """Of `count` rows or columns from `start` on, the first that an image of n has, and the end of them."""
    return max(0, -start), min(count, n - start)


@jit
def patch(x, image, y, left, size, h, w, c, buffer):
    """The size x size pixels of an image at (y, left), as (pointer, step of rows): in x itself, or, at the edge, copied
    to the buffer with zeros around them."""
    i0, i1 = visible(y, size, h)
    j0, j1 = visible(left, size, w)
    if i0 == 0 and j0 == 0 and i1 == size and j1 == size:
        return at(x, ((image * h + y) * w + left) * c), w * c
    zero(buffer, 0, size * size * c)
    for i in range(i0, i1):
        copy(x, ((image * h + y + i) * w + left + j0) * c, buffer, (i * size + j0) * c, (j1 - j0) * c)
    return buffer, size * c


@parallel
def convolve(worker, workers, x, filters, bias, y, winners, work, then, s: Tiles):
    """y = x * w + bias, with ReLU, or ReLU and the 2 x 2 max pool. work: the places of the inputs, those of the
    outputs, and a patch."""
    inputs, outputs, edge = rooms(work, worker, s)
    wide = 2 * lanes(x)
    panels, x = (s.o + wide - 1) // wide, at(x, 0)
    count = s.n * s.down * s.across
    for task in span(worker, workers, (count + s.together - 1) // s.together):
        first = task * s.together
        tiles = min(s.together, count - first)
        for t in range(tiles):
            image, row, column = tile(first + t, s)
            corner, pitch = patch(x, image, row - s.top, column - s.left, 4, s.h, s.w, s.c, edge)
            inputs_to_places(corner, pitch, s.c, s.c, at(inputs, t * s.c), s.inputs)
        for k in range(PLACES):
            for p in range(panels):
                panel(tiles, min(wide, s.o - p * wide), s.c,
                      at(inputs, k * s.inputs), at(s.by_inputs, 0), at(s.by_one, 0),
                      at(filters, (k * panels + p) * s.c * wide), wide,
                      at(outputs, k * s.outputs + p * wide), at(s.by_outputs, 0), FROM_ZERO, inputs, 0)
        for t in range(tiles):
            image, row, column = tile(first + t, s)
            for c in range(0, s.o, lanes(x)):
                (y0, y1), (y2, y3) = outputs_of(at(outputs, t * s.o + c), s.outputs)
                start = load(bias, c)
                y0, y1, y2, y3 = y0 + start, y1 + start, y2 + start, y3 + start
                if then == POOL:
                    write_strongest(y0, y1, y2, y3, y, winners, (first + t) * s.o + c, lanes(x))
                    continue
                if then == RELU:
                    none = splat(x, 0)
                    y0, y1, y2, y3 = larger(y0, none), larger(y1, none), larger(y2, none), larger(y3, none)
                p = ((image * s.oh + row) * s.ow + column) * s.o + c
                store(y, p, y0)
                if column + 1 < s.ow:
                    store(y, p + s.o, y1)
                if row + 1 < s.oh:
                    store(y, p + s.ow * s.o, y2)
                    if column + 1 < s.ow:
                        store(y, p + s.ow * s.o + s.o, y3)


@parallel
def gradients(worker, workers, x, g, y, winners, filters, dx, sums, offsets, work, then, wanted, s: Tiles):
    """From g, the gradient of what `convolve` wrote: dx, and the bias's in offsets[worker], and in sums[worker] that of
    the weights at their places. wanted: dx, or all but dx, or both. An image belongs to one worker, as tiles overlap in
    dx."""
    inputs, outputs, edge = rooms(work, worker, s)
    mine, offset = at(sums[worker], 0), at(offsets[worker], 0)
    wide = 2 * lanes(x)
    panels, x, dx = (s.c + wide - 1) // wide, at(x, 0), at(dx, 0)
    zero(mine, 0, PLACES * s.c * s.o)
    zero(offset, 0, s.o)
    share = span(worker, workers, s.n)
    if wanted != WEIGHTS:
        zero(dx, share.start * s.h * s.w * s.c, (share.stop - share.start) * s.h * s.w * s.c)
    end = share.stop * s.down * s.across
    for first in range(share.start * s.down * s.across, end, s.together):
        tiles = min(s.together, end - first)
        for t in range(tiles):
            image, row, column = tile(first + t, s)
            slopes_to_places(g, y, winners, first + t, image, row, column, then, edge, at(outputs, t * s.o), offset, s)
            if wanted != INPUTS:
                corner, pitch = patch(x, image, row - s.top, column - s.left, 4, s.h, s.w, s.c, edge)
                inputs_to_places(corner, pitch, s.c, s.c, at(inputs, t * s.c), s.inputs)
        for k in range(PLACES if wanted != INPUTS else 0):
            for p in range(0, s.o, wide):
                panel(s.c, min(wide, s.o - p), tiles,
                      at(inputs, k * s.inputs), at(s.by_one, 0), at(s.by_inputs, 0),
                      at(outputs, k * s.outputs + p), s.o,
                      at(mine, k * s.c * s.o + p), at(s.by_outputs, 0), FROM_C, mine, 0)
        if wanted != WEIGHTS:
            for k in range(PLACES):
                for p in range(panels):
                    panel(tiles, min(wide, s.c - p * wide), s.o,
                          at(outputs, k * s.outputs), at(s.by_outputs, 0), at(s.by_one, 0),
                          at(filters, (k * panels + p) * s.o * wide), wide,
                          at(inputs, k * s.inputs + p * wide), at(s.by_inputs, 0), FROM_ZERO, mine, 0)
            for t in range(tiles):
                image, row, column = tile(first + t, s)
                add_tile(at(inputs, t * s.c), image, row - s.top, column - s.left, edge, dx, s)


@jit
def slopes_to_places(g, y, winners, number, image, row, column, then, edge, out, offset, s):
    """A G Aᵀ for the gradient G of a tile before ReLU and pool, which is added up in offset."""
    nothing = splat(g, 0)
    if then == POOL:
        for c in range(0, s.o, lanes(g)):
            g0, g1, g2, g3 = shared_out(g, winners, number * s.o + c, lanes(g))
            store(offset, c, load(offset, c) + ((g0 + g1) + (g2 + g3)))
            outputs_to_places(g0, g1, g2, g3, at(out, c), s.outputs)
        return
    corner, pitch = patch(g, image, row, column, 2, s.oh, s.ow, s.o, edge)
    seen, seen_pitch = corner, pitch
    if then == RELU:
        seen, seen_pitch = patch(y, image, row, column, 2, s.oh, s.ow, s.o, at(edge, 4 * s.o))
    for c in range(0, s.o, lanes(g)):
        g0, g1 = load(corner, c), load(corner, c + s.o)
        g2, g3 = load(corner, c + pitch), load(corner, c + pitch + s.o)
        if then == RELU:
            g0 = where(load(seen, c) <= nothing, nothing, g0)
            g1 = where(load(seen, c + s.o) <= nothing, nothing, g1)
            g2 = where(load(seen, c + seen_pitch) <= nothing, nothing, g2)
            g3 = where(load(seen, c + seen_pitch + s.o) <= nothing, nothing, g3)
        store(offset, c, load(offset, c) + ((g0 + g1) + (g2 + g3)))
        outputs_to_places(g0, g1, g2, g3, at(out, c), s.outputs)


@jit
def add_tile(places, image, y, left, edge, dx, s):
    """Add a tile's part of the gradient of the images: to the pixels themselves, or at the edge by way of a buffer."""
    i0, i1 = visible(y, 4, s.h)
    j0, j1 = visible(left, 4, s.w)
    if i0 == 0 and j0 == 0 and i1 == 4 and j1 == 4:
        places_to_inputs(places, s.inputs, s.c, at(dx, ((image * s.h + y) * s.w + left) * s.c), s.w * s.c, s.c)
        return
    zero(edge, 0, 16 * s.c)
    places_to_inputs(places, s.inputs, s.c, edge, 4 * s.c, s.c)
    for i in range(i0, i1):
        add(edge, (4 * i + j0) * s.c, dx, ((image * s.h + y + i) * s.w + left + j0) * s.c, (j1 - j0) * s.c)


@jit
def rooms(work, worker, s):
    """A worker's memory: for the places of inputs, those of outputs, and a patch at the edge."""
    start = at(work[worker], 0)
    return start, at(start, PLACES * s.inputs), at(start, PLACES * (s.inputs + s.outputs))


def memory(workers: int, s: Tiles) -> Any:
    """The workers' memory for such rooms."""
    return scratch(workers, PLACES * (s.inputs + s.outputs + max(s.c, s.o)), np.dtype("float32"))


# ---- for NumPy's arrays
def _forward(x: Any, w: Any, b: Any, padding: Pair, then: int) -> tuple[Any, Any]:
    s = plan(x.shape, len(w), tuple(padding), then, get_num_threads())
    size = (s.oh // 2, s.ow // 2) if then == POOL else (s.oh, s.ow)
    y = aligned(s.n * size[0] * size[1] * s.o, x.dtype)
    winners = np.empty(y.size if then == POOL else 0, np.uint8)
    workers = workers_for(s.n * s.down * s.across * s.c * s.o)
    convolve(workers, channels_last(x), filters_of(w, False), np.zeros(s.o, x.dtype) if b is None else ravel(b), y,
             winners, memory(workers, s), then, s)
    return images(y, s.n, s.o, *size), images(winners, s.n, s.o, *size) if then == POOL else None


def _backward(g: Any, y: Any, winners: Any, x: Any, x_shape: tuple[int, ...], w: Any, padding: Pair, then: int,
              wanted: int) -> Any:
    s = plan(x_shape, g.shape[1], tuple(padding), then, get_num_threads())
    workers = min(s.n, workers_for(2 * s.n * s.down * s.across * s.c * s.o))
    dx = aligned(s.n * s.h * s.w * s.c if wanted != WEIGHTS else 0, g.dtype)
    sums, offsets = (np.empty((workers, size), g.dtype) for size in (PLACES * s.c * s.o, s.o))
    g = channels_last(g)
    gradients(workers, g if x is None else channels_last(x), g, g if y is None else channels_last(y),
              np.empty(0, np.uint8) if winners is None else channels_last(winners),
              g if wanted == WEIGHTS else filters_of(w, True), dx, sums, offsets, memory(workers, s), then, wanted, s)
    dw = None
    if wanted != INPUTS:
        dw = np.empty((s.o, s.c, 3, 3), g.dtype)
        transform_back(workers_for(6 * s.o * s.c), sums.reshape(-1), workers, s.c, s.o, dw.reshape(-1))
    return images(dx, s.n, s.c, s.h, s.w) if wanted != WEIGHTS else None, dw, offsets.sum(0)


def conv2d(xp: Any, x: Any, w: Any, b: Any = None, *, padding: Pair, **options: Any) -> Any:
    """conv2d, in tiles of 2 x 2 outputs (Winograd)."""
    return _forward(x, w, b, padding, PLAIN)[0]


def conv2d_relu(xp: Any, x: Any, w: Any, b: Any = None, *, padding: Pair, **options: Any) -> Any:
    """max(0, conv2d(x, w, b))."""
    return _forward(x, w, b, padding, RELU)[0]


def conv2d_relu_pool(xp: Any, x: Any, w: Any, b: Any = None, *, padding: Pair, **options: Any) -> Any:
    """The largest of each 2 x 2 block of max(0, conv2d(x, w, b)), and its number in the block."""
    return _forward(x, w, b, padding, POOL)


def conv2d_input_grad(xp: Any, g: Any, w: Any, *, size: Pair, padding: Pair, **options: Any) -> Any:
    """The gradient of the images."""
    return _backward(g, None, None, None, (len(g), w.shape[1], *size), w, padding, PLAIN, INPUTS)[0]


def conv2d_weight_grad(xp: Any, x: Any, g: Any, *, padding: Pair, **options: Any) -> Any:
    """The gradient of the weights."""
    return _backward(g, None, None, x, x.shape, None, padding, PLAIN, WEIGHTS)[1]


def conv2d_relu_grad(xp: Any, g: Any, y: Any, x: Any, w: Any, *, wanted: Any, padding: Pair, **options: Any) -> Any:
    """The gradients of x (None unless wanted[0]), w and b."""
    return _backward(g, y, None, x, x.shape, w, padding, RELU, BOTH if wanted[0] else WEIGHTS)


def conv2d_relu_pool_grad(xp: Any, g: Any, winner: Any, x: Any, w: Any, *, wanted: Any, padding: Pair,
                          **options: Any) -> Any:
    """The gradients of x (None unless wanted[0]), w and b."""
    return _backward(g, None, winner, x, x.shape, w, padding, POOL, BOTH if wanted[0] else WEIGHTS)
