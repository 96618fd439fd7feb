"""The gradients of a linear layer, a block of rows at a time.

Where the weight is small, it is memory that takes the time: the rows of g are wanted for all three gradients. So a
worker takes some of the rows, block by block, and does everything with a block while it is in the cache. What its rows
add to the gradients of the weight and the bias, it sums in memory of its own; at the end these sums are added up.
"""
from __future__ import annotations

import functools
from typing import Any, NamedTuple

from .compiler import jit, parallel, span
from .functions import load_some
from .layout import copy, ravel, steps, zero
from .panel import FROM_C, FROM_ZERO
from .panels import pack_panels, product
from .threads import LINE, aligned, scratch, sum_of_workers, workers_for
from .vector import BYTES, at, lanes, splat, store_some, where

BLOCK = 64  # rows


class Layer(NamedTuple):
    """The sizes of a layer, what is wanted, where in a worker's memory it has its own, and tables for `panel`."""

    rows: int
    inputs: int
    outputs: int
    relu: int
    of_x: int
    of_w: int
    of_b: int
    x_pitch: int  # from one row of a block of x, or of g, to the next: rows 2ᵏ apart would get in each other's way
    g_pitch: int  # in the cache, which keeps only a few lines of memory whose addresses end alike
    x_block: int  # after the packed weight
    g_block: int
    bias: int
    weight: int
    ones: Any  # (0, 1, …)
    by_input: Any  # (0, inputs, …), where rows of x begin
    by_pitch: Any  # (0, g_pitch, …)


@parallel
def gradients(worker, workers, g, x, w, y, dx, work, s: Layer):
    """dx, and in work[worker] the share of these rows in the gradients of the weight and the bias. relu: g only counts
    where y is positive."""
    mine, rows = at(work[worker], 0), span(worker, workers, s.rows)
    inputs, slopes, of_b, of_w = at(mine, s.x_block), at(mine, s.g_block), at(mine, s.bias), at(mine, s.weight)
    ones, by_input, by_pitch = at(s.ones, 0), at(s.by_input, 0), at(s.by_pitch, 0)
    zero(of_b, 0, s.outputs)
    zero(of_w, 0, s.outputs * s.inputs)
    if s.of_x:
        pack_panels(w, 0, s.inputs, 1, s.outputs, 0, s.inputs, mine)
    for first in range(rows.start, rows.stop, BLOCK):
        count = min(BLOCK, rows.stop - first)
        take(at(g, first * s.outputs), at(y, first * s.outputs), s.relu, count, s.outputs, slopes, s.g_pitch, of_b)
        if s.of_x:
            product(count, s.inputs, s.outputs, slopes, by_pitch, ones, mine, s.outputs, 2 * lanes(g),
                    at(dx, first * s.inputs), by_input, FROM_ZERO, slopes)
        if s.of_w:
            for row in range(count):
                copy(x, (first + row) * s.inputs, inputs, row * s.x_pitch, s.inputs)
            product(s.outputs, s.inputs, count, slopes, ones, by_pitch, inputs, 1, s.x_pitch,
                    of_w, by_input, FROM_C, slopes)


@jit
def take(g, y, relu, rows, n, out, pitch, sums):
    """out = rows of n of g, or 0 where ReLU let y not pass; their sum is added to sums."""
    nothing = splat(g, 0)
    for row in range(rows):
        for k in range(0, n, lanes(g)):
            i, some = row * n + k, n - k
            value = load_some(g, i, some)
            if relu:
                value = where(load_some(y, i, some) <= nothing, nothing, value)
            store_some(out, row * pitch + k, value, some)
            store_some(sums, k, load_some(sums, k, some) + value, some)


# ---- for NumPy's arrays
def linear_grad(xp: Any, g: Any, x: Any, w: Any, y: Any = None, *, wanted: Any) -> Any:
    """The gradients of x, w and b, None where not wanted; y: after ReLU."""
    g, x, w, y = (a if a is None else ravel(a).reshape(a.shape) for a in (g, x, w, y))
    dx = aligned(x.size, x.dtype).reshape(x.shape) if wanted[0] else x
    s, size = layer(len(x), *w.shape, y is not None, tuple(wanted), x.itemsize)
    workers = workers_for(x.size * len(w) / 8)
    work = scratch(workers, size, x.dtype)
    gradients(workers, *(a.reshape(-1) for a in (g, x, w, g if y is None else y, dx)), work, s)
    return (dx if wanted[0] else None, sum_of_workers(work, s.weight, w.shape) if wanted[1] else None,
            sum_of_workers(work, s.bias, w.shape[:1]) if wanted[2] else None)


@functools.lru_cache(256)
def layer(rows: int, outputs: int, inputs: int, relu: bool, wanted: tuple[bool, ...], itemsize: int) -> tuple[Layer,
                                                                                                           int]:
    """The sizes, and how much memory a worker wants."""
    wide, line = 2 * BYTES // itemsize, LINE // itemsize
    x_pitch, g_pitch = ((-(-n // line) | 1) * line for n in (inputs, outputs))  # lines, an odd number: see Layer
    x_block = -(-inputs // wide) * wide * outputs
    g_block = x_block + BLOCK * x_pitch
    bias = g_block + BLOCK * g_pitch
    weight = bias + g_pitch
    s = Layer._make((
        rows, inputs, outputs, int(relu), *map(int, wanted), x_pitch, g_pitch, x_block, g_block, bias, weight,
        steps(max(inputs, outputs, BLOCK), 1), steps(max(outputs, BLOCK), inputs), steps(BLOCK, g_pitch)))
    return s, weight + outputs * inputs
