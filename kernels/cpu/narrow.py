"""Convolution to a few channels, for filters of three columns: each pixel is read once for all three.

Where the outputs of a pixel fill one register, `panel` would read a number for every multiplication. But a pixel lies
under three windows of a row. So the tile is a stretch of a row here: a number is read once, and multiplied with what
the three windows over it have for it.
"""
from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic

from ..windows import Pair
from .compiler import jit, parallel, span
from .conv import Conv, band, buffer_size, packed, prepared, share, tasks
from .layout import channels_last, images, ravel
from .panel import zeros
from .threads import aligned, scratch
from .vector import REGISTERS, at, lanes, load, load_lanes, multiply_add, splat_number, store_lanes

TAPS = 3  # of a filter, side by side
LONG = 16 if REGISTERS == 32 else 8  # windows of a tile: their sums, TAPS filters and a number must all find room


@intrinsic
def add_products(typing, tile, x, pixel, w, tap):
    """The tile plus x[(p + j) · pixel] · w[j · tap] for each window p, and j < TAPS: one channel of the pixels under
    it, with all outputs of the filters."""
    def generate(context, builder, signature, arguments):
        sums, x, pixel, w, tap = arguments
        taps = []
        for _ in range(TAPS):
            taps.append(load_lanes(builder, tile.vector, w))
            w = builder.gep(w, [tap])
        for i in range(tile.height + TAPS - 1):
            number = splat_number(builder, tile.vector.llvm, builder.load(x))
            x = builder.gep(x, [pixel])
            for p in range(max(0, i - TAPS + 1), min(i + 1, tile.height)):
                more = multiply_add(builder, tile.vector, number, taps[i - p], builder.extract_value(sums, (p, 0)))
                sums = builder.insert_value(sums, more, (p, 0))
        return sums
    return tile(tile, x, types.intp, w, types.intp), generate


@intrinsic
def store_with(typing, tile, start, y, pixel):
    """y[p · pixel] = start + the sums of window p"""
    def generate(context, builder, signature, arguments):
        sums, start, y, pixel = arguments
        for p in range(tile.height):
            total = builder.fadd(start, builder.extract_value(sums, (p, 0)))
            store_lanes(builder, tile.vector, total, y)
            y = builder.gep(y, [pixel])
        return context.get_dummy_value()
    return types.void(tile, start, y, types.intp), generate


@jit
def stretch(x, filters, bias, y, s):
    """y = bias + x * filters for LONG windows of a row, of a register of channels."""
    sums, wide = zeros(x, LONG, 1, False), 2 * lanes(x)
    for i in range(s.kh):
        row, w = at(x, i * s.apart * s.pitch), at(filters, i * TAPS * s.c * wide)
        for c in range(s.c):
            sums = add_products(sums, at(row, c), s.c, at(w, c * wide), s.c * wide)
    store_with(sums, load(bias, 0), y, s.o)


@parallel
def convolve(worker, workers, x, filters, bias, y, buffers, s: Conv):
    """y = bias + x * w, for images x and y with channels last and packed filters w."""
    wide = 2 * lanes(x)
    for task in span(worker, workers, tasks(s)):
        image, first, several, rows = share(task, s)
        source = at(band(x, image, first, several, rows, buffers[worker], s), 0)
        target = at(y, (image * s.oh + first) * s.ow * s.o)
        for row in range(several * rows):
            pixels = at(source, row // rows * s.image + row % rows * s.down * s.pitch)
            for place in range(0, s.ow, LONG):
                q = min(place, s.ow - LONG)  # the last stretch begins earlier, and computes some windows again
                for k in range(0, s.o, lanes(x)):
                    stretch(at(pixels, q * s.c), at(filters, k // wide * len(s.taps) * wide + k % wide), at(bias, k),
                            at(target, (row * s.ow + q) * s.o + k), s)


# ---- for NumPy's arrays
def conv2d(xp: Any, x: Any, w: Any, b: Any = None, *, stride: Pair, padding: Pair, dilation: Pair, groups: int) -> Any:
    """y[n, o, r, s] = b[o] + Σ_cij w[o, c, i, j] x[n, c, row, column]."""
    s, workers = prepared(x, w.shape, x.shape, stride, padding, dilation, groups)
    y = aligned(s.n * s.oh * s.ow * s.o, x.dtype)
    convolve(workers, channels_last(x), packed(w, s, False), np.zeros(s.o, x.dtype) if b is None else ravel(b), y,
             scratch(workers, buffer_size(s), x.dtype), s)
    return images(y, s.n, s.o, s.oh, s.ow)
