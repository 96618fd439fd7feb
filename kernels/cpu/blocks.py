"""ReLU and the largest of each 2 x 2 block of pixels, and the way back; a register holds channels of one pixel."""
from __future__ import annotations

from typing import Any

import numpy as np

from .compiler import jit, parallel, span
from .functions import load_some
from .layout import zero
from .threads import aligned, workers_for
from .vector import at, lanes, load_integers, splat, store_integers, store_some, where

CLOSED = 4  # the code of a block that ReLU closed: all its pixels are 0 or less


@jit
def later_wins(pixel, best):
    """Is it larger, or the first NaN?"""
    return (pixel > best) | ((pixel != pixel) & (best == best))


@jit
def strongest(a, b, c, d):
    """The largest of four pixels, or 0 if none is larger; and which it was, the first of equals."""
    best, winner = a, splat(a, 0)
    wins = later_wins(b, best)
    best, winner = where(wins, b, best), where(wins, splat(a, 1), winner)
    wins = later_wins(c, best)
    best, winner = where(wins, c, best), where(wins, splat(a, 2), winner)
    wins = later_wins(d, best)
    best, winner = where(wins, d, best), where(wins, splat(a, 3), winner)
    closed = best <= splat(a, 0)
    return where(closed, splat(a, 0), best), where(closed, splat(a, CLOSED), winner)


@jit
def write_strongest(a, b, c, d, y, winners, i, count):
    """The first of `strongest` to y[i …] and winners[i …]."""
    best, winner = strongest(a, b, c, d)
    store_some(y, i, best, count)
    store_integers(winners, i, winner, count)


@jit
def shared_out(g, winners, i, count):
    """g[i : i + count] at the pixel of its block that won, and 0 at the other three."""
    value, zero = load_some(g, i, count), splat(g, 0)
    winner = load_integers(winners, i, zero, count)
    return (where(winner == zero, value, zero), where(winner == splat(g, 1), value, zero),
            where(winner == splat(g, 2), value, zero), where(winner == splat(g, 3), value, zero))


@jit
def pool_rows(pixels, rows, width, o, y, winners, target):
    """An even number of rows of `width` pixels with o channels: their blocks' `strongest`, from y[target] on."""
    below = width * o
    for row in range(0, rows, 2):
        for column in range(0, width // 2):
            first = (row * width + 2 * column) * o
            for c in range(0, o, lanes(y)):
                some, p = o - c, first + c
                write_strongest(load_some(pixels, p, some), load_some(pixels, p + o, some),
                                load_some(pixels, p + below, some), load_some(pixels, p + below + o, some),
                                y, winners, target + c, some)
            target += o


@jit
def unpool_rows(g, winners, source, rows, width, o, out, pitch, offsets):
    """The way back: rows of `width` pixels, `pitch` numbers from one to the next, from the blocks that begin at
    g[source]; each gradient is added to its channel of offsets."""
    for row in range(0, rows, 2):
        for column in range(0, width // 2):
            first = row * pitch + 2 * column * o
            for c in range(0, o, lanes(g)):
                some, p = o - c, first + c
                a, b, d, e = shared_out(g, winners, source + c, some)
                store_some(out, p, a, some)
                store_some(out, p + o, b, some)
                store_some(out, p + pitch, d, some)
                store_some(out, p + pitch + o, e, some)
                store_some(offsets, c, load_some(offsets, c, some) + ((a + b) + (d + e)), some)
            source += o


@parallel
def closed_to(worker, workers, g, y, o, out, offsets):
    """out = g where ReLU let y pass, 0 elsewhere, for rows of o numbers; offsets[worker]: its sum over the rows."""
    nothing, mine = splat(g, 0), at(offsets[worker], 0)
    zero(mine, 0, o)
    for pixel in span(worker, workers, len(g) // o):
        for c in range(0, o, lanes(g)):
            some, p = o - c, pixel * o + c
            value = where(load_some(y, p, some) <= nothing, nothing, load_some(g, p, some))
            store_some(out, p, value, some)
            store_some(mine, c, load_some(mine, c, some) + value, some)


def before_relu(g: Any, y: Any, o: int) -> tuple[Any, Any]:
    """The gradient before a ReLU whose result is y, for vectors of rows of o numbers, and its sum over the rows."""
    out, workers = aligned(g.size, g.dtype), workers_for(g.size / 4)
    offsets = np.empty((workers, o), g.dtype)
    closed_to(workers, g, y, o, out, offsets)
    return out, np.add.reduce(offsets, axis=0)
