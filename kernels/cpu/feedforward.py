"""Two linear layers with a GELU between, as a transformer has them: a block of rows at a time, from end to end.

What lies between is four times as wide as what comes in and goes out, and takes longer to write and to read than to
compute. Here only what the GELU gets is written, once, for backward; all else of a block stays in the cache. Backward
is that of `dense`, twice over.
"""
from __future__ import annotations

import functools
from typing import Any, NamedTuple

from .activation import SCALE
from .compiler import jit, parallel, span
from .dense import BLOCK, take
from .functions import load_some, normal
from .layout import copy, ravel, steps, zero
from .panel import FROM_BIAS, FROM_C, FROM_ZERO
from .panels import pack_panels, product
from .threads import LINE, aligned, scratch, sum_of_workers, workers_for
from .vector import BYTES, at, lanes, store_some


class Layers(NamedTuple):
    """Sizes; where in a worker's memory it has its own; and tables for `panel`."""

    rows: int
    inputs: int
    wide: int
    outputs: int
    x_pitch: int  # see `dense`
    h_pitch: int
    g_pitch: int
    second: int  # after the packed first weight the second
    x_block: int
    h_block: int
    slopes: int
    g_block: int
    sums: int  # what the biases and the weights get, one after the other
    ones: Any
    by_input: Any
    by_wide: Any
    by_output: Any
    by_h_pitch: Any
    by_g_pitch: Any


@parallel
def forward(worker, workers, x, w1, b1, w2, b2, h, y, work, s: Layers):
    """h = x w1ᵀ + b1, y = gelu(h) w2ᵀ + b2"""
    mine, rows, apart = at(work[worker], 0), span(worker, workers, s.rows), 2 * lanes(x)
    second, active = at(mine, s.second), at(mine, s.h_block)
    ones, by_input, by_wide = at(s.ones, 0), at(s.by_input, 0), at(s.by_wide, 0)
    pack_panels(w1, 0, 1, s.inputs, s.inputs, 0, s.wide, mine)
    pack_panels(w2, 0, 1, s.wide, s.wide, 0, s.outputs, second)
    for first in range(rows.start, rows.stop, BLOCK):
        count, between = min(BLOCK, rows.stop - first), at(h, first * s.wide)
        product(count, s.wide, s.inputs, at(x, first * s.inputs), by_input, ones, mine, s.inputs, apart,
                between, by_wide, FROM_BIAS, at(b1, 0))
        for row in range(count):
            activate(between, row * s.wide, s.wide, active, row * s.h_pitch)
        product(count, s.outputs, s.wide, active, at(s.by_h_pitch, 0), ones, second, s.wide, apart,
                at(y, first * s.outputs), at(s.by_output, 0), FROM_BIAS, at(b2, 0))


@parallel
def backward(worker, workers, g, x, w1, h, w2, dx, work, s: Layers):
    """dx, and in work[worker] the share of these rows in the gradients of the weights and biases."""
    mine, rows, apart = at(work[worker], 0), span(worker, workers, s.rows), 2 * lanes(x)
    first_weight, inputs, active, slopes = mine, at(mine, s.x_block), at(mine, s.h_block), at(mine, s.slopes)
    second_weight, of_y, ones = at(mine, s.second), at(mine, s.g_block), at(s.ones, 0)
    db1 = at(mine, s.sums)
    db2 = at(db1, s.wide)
    dw1 = at(db2, s.outputs)
    dw2 = at(dw1, s.wide * s.inputs)
    zero(db1, 0, s.wide + s.outputs + s.wide * (s.inputs + s.outputs))
    pack_panels(w1, 0, s.inputs, 1, s.wide, 0, s.inputs, first_weight)
    pack_panels(w2, 0, s.wide, 1, s.outputs, 0, s.wide, second_weight)
    by_input, by_wide, by_h_pitch, by_g_pitch = (at(s.by_input, 0), at(s.by_wide, 0), at(s.by_h_pitch, 0),
                                                 at(s.by_g_pitch, 0))
    for first in range(rows.start, rows.stop, BLOCK):
        count = min(BLOCK, rows.stop - first)
        here = at(g, first * s.outputs)
        take(here, here, 0, count, s.outputs, of_y, s.g_pitch, db2)
        product(count, s.wide, s.outputs, of_y, by_g_pitch, ones, second_weight, s.outputs, apart,
                slopes, by_h_pitch, FROM_ZERO, of_y)
        for row in range(count):
            through(h, (first + row) * s.wide, s.wide, active, slopes, row * s.h_pitch, db1)
            copy(x, (first + row) * s.inputs, inputs, row * s.x_pitch, s.inputs)
        product(s.outputs, s.wide, count, of_y, ones, by_g_pitch, active, 1, s.h_pitch, dw2, by_wide, FROM_C, of_y)
        product(count, s.inputs, s.wide, slopes, by_h_pitch, ones, first_weight, s.wide, apart,
                at(dx, first * s.inputs), by_input, FROM_ZERO, of_y)
        product(s.wide, s.inputs, count, slopes, ones, by_h_pitch, inputs, 1, s.x_pitch, dw1, by_input, FROM_C, of_y)


@jit
def activate(h, i, n, out, j):
    """out = gelu(h), for n numbers."""
    for k in range(0, n, lanes(h)):
        x = load_some(h, i + k, n - k)
        below, _ = normal(x)
        store_some(out, j + k, x * below, n - k)


@jit
def through(h, i, n, active, slopes, j, sums):
    """active = gelu(h), slopes *= its slope, for n numbers; the slopes are added to sums."""
    for k in range(0, n, lanes(h)):
        some, x = n - k, load_some(h, i + k, n - k)
        below, bell = normal(x)
        slope = load_some(slopes, j + k, some) * (below + x * (bell * SCALE))
        store_some(active, j + k, x * below, some)
        store_some(slopes, j + k, slope, some)
        store_some(sums, k, load_some(sums, k, some) + slope, some)


# ---- for NumPy's arrays
def feed_forward(xp: Any, x: Any, w1: Any, b1: Any, w2: Any, b2: Any) -> tuple[Any, Any]:
    """gelu(x w1ᵀ + b1) w2ᵀ + b2, and what the GELU gets."""
    s, size, _ = layers(len(x), *w1.shape, len(w2), x.itemsize)
    h, y = (aligned(len(x) * len(w), x.dtype).reshape(len(x), len(w)) for w in (w1, w2))
    workers = workers_for(h.size * (s.inputs + s.outputs) / 8)
    forward(workers, *(ravel(a) for a in (x, w1, b1, w2, b2)), h.reshape(-1), y.reshape(-1),
            scratch(workers, size, x.dtype), s)
    return y, h


def feed_forward_grad(xp: Any, g: Any, x: Any, w1: Any, h: Any, w2: Any) -> tuple[Any, ...]:
    """The gradients of x, w1, b1, w2 and b2."""
    s, _, size = layers(len(x), *w1.shape, len(w2), x.itemsize)
    dx = aligned(x.size, x.dtype).reshape(x.shape)
    workers = workers_for(h.size * (s.inputs + s.outputs) / 4)
    work = scratch(workers, size, x.dtype)
    backward(workers, *(ravel(a) for a in (g, x, w1, h, w2)), dx.reshape(-1), work, s)
    db2 = s.sums + s.wide
    dw1 = db2 + s.outputs
    return (dx, sum_of_workers(work, dw1, w1.shape), sum_of_workers(work, s.sums, (s.wide,)),
            sum_of_workers(work, dw1 + w1.size, w2.shape), sum_of_workers(work, db2, (s.outputs,)))


@functools.lru_cache(256)
def layers(rows: int, wide: int, inputs: int, outputs: int, itemsize: int) -> tuple[Layers, int, int]:
    """The sizes, and how much memory a worker wants forward and backward."""
    panel, line = 2 * BYTES // itemsize, LINE // itemsize
    x_pitch, h_pitch, g_pitch = ((-(-n // line) | 1) * line for n in (inputs, wide, outputs))
    of_inputs, of_wide, of_outputs = (-(-n // panel) * panel for n in (inputs, wide, outputs))  # in whole panels
    second = max(of_wide * inputs, of_inputs * wide)  # packed forward, and backward
    x_block = second + max(of_outputs * wide, of_wide * outputs)
    h_block = x_block + BLOCK * x_pitch
    slopes = h_block + BLOCK * h_pitch
    g_block = slopes + BLOCK * h_pitch
    sums = g_block + BLOCK * g_pitch
    count = max(BLOCK, inputs, wide, outputs)
    s = Layers(rows, inputs, wide, outputs, x_pitch, h_pitch, g_pitch, second, x_block, h_block, slopes, g_block, sums,
               steps(count, 1), steps(count, inputs), steps(count, wide), steps(BLOCK, outputs), steps(BLOCK, h_pitch),
               steps(BLOCK, g_pitch))
    return s, slopes, sums + wide + outputs + wide * (inputs + outputs)
