"""The matrices of Winograd's convolution: pixels, outputs and filters to the 16 places of a tile, and back."""
from __future__ import annotations

from typing import Any

import numpy as np

from .compiler import jit, parallel, span
from .layout import flat
from .threads import scratch, workers_for
from .vector import BYTES, lanes, load, splat, store

PLACES = 16  # of a tile


# ---- the matrices, for four numbers in a row: here numbers are vectors
@jit
def BT(x0, x1, x2, x3):
    """Bᵀ x: four pixels in a row to the four places of a tile."""
    return x0 - x2, x1 + x2, x2 - x1, x1 - x3


@jit
def B(x0, x1, x2, x3):
    """B x: the gradients of four places to those of four pixels."""
    return x0, x1 - x2 + x3, x1 + x2 - x0, splat(x3, 0) - x3


@jit
def AT(x0, x1, x2, x3):
    """Aᵀ x: four places to two outputs."""
    return x0 + x1 + x2, x1 - x2 - x3


@jit
def A(x0, x1):
    """A x: the gradients of two outputs to those of four places."""
    return x0, x0 + x1, x0 - x1, splat(x1, 0) - x1


@jit
def G(x0, x1, x2):
    """G x: three numbers of a filter to four places."""
    return x0, (x0 + x2 + x1) * 0.5, (x0 + x2 - x1) * 0.5, x2


@jit
def GT(x0, x1, x2, x3):
    """Gᵀ x: the gradients of four places to those of three numbers of a filter."""
    return x0 + (x1 + x2) * 0.5, (x1 - x2) * 0.5, (x1 + x2) * 0.5 + x3


# ---- and for squares of them, in memory
@jit
def load_four(x, i, step):
    """The vectors at x[i], x[i + step], …"""
    return load(x, i), load(x, i + step), load(x, i + 2 * step), load(x, i + 3 * step)


@jit
def store_four(x, i, step, four):
    """x[i], x[i + step], … = four vectors"""
    store(x, i, four[0])
    store(x, i + step, four[1])
    store(x, i + 2 * step, four[2])
    store(x, i + 3 * step, four[3])


@jit
def inputs_to_places(x, row, pixel, channels, out, step):
    """out = Bᵀ x B for the 4 x 4 pixels at x, `row` and `pixel` numbers apart; place k is written to out[k · step]."""
    for c in range(0, channels, lanes(x)):
        p, q = BT(*load_four(x, c, row)), BT(*load_four(x, c + pixel, row))
        r, s = BT(*load_four(x, c + 2 * pixel, row)), BT(*load_four(x, c + 3 * pixel, row))
        store_four(out, c, step, BT(p[0], q[0], r[0], s[0]))
        store_four(out, c + 4 * step, step, BT(p[1], q[1], r[1], s[1]))
        store_four(out, c + 8 * step, step, BT(p[2], q[2], r[2], s[2]))
        store_four(out, c + 12 * step, step, BT(p[3], q[3], r[3], s[3]))


@jit
def places_to_inputs(places, step, channels, x, row, pixel):
    """x += B places Bᵀ: `inputs_to_places` read backwards."""
    for c in range(0, channels, lanes(x)):
        p, q = B(*load_four(places, c, 4 * step)), B(*load_four(places, c + step, 4 * step))
        r, s = B(*load_four(places, c + 2 * step, 4 * step)), B(*load_four(places, c + 3 * step, 4 * step))
        add_four(x, c, pixel, B(p[0], q[0], r[0], s[0]))
        add_four(x, c + row, pixel, B(p[1], q[1], r[1], s[1]))
        add_four(x, c + 2 * row, pixel, B(p[2], q[2], r[2], s[2]))
        add_four(x, c + 3 * row, pixel, B(p[3], q[3], r[3], s[3]))


@jit
def add_four(x, i, step, four):
    """x[i], x[i + step], … += four vectors"""
    store(x, i, load(x, i) + four[0])
    store(x, i + step, load(x, i + step) + four[1])
    store(x, i + 2 * step, load(x, i + 2 * step) + four[2])
    store(x, i + 3 * step, load(x, i + 3 * step) + four[3])


@jit
def outputs_of(places, step):
    """Aᵀ places A: the 2 x 2 outputs, for a register of channels."""
    p, q = AT(*load_four(places, 0, 4 * step)), AT(*load_four(places, step, 4 * step))
    r, s = AT(*load_four(places, 2 * step, 4 * step)), AT(*load_four(places, 3 * step, 4 * step))
    return AT(p[0], q[0], r[0], s[0]), AT(p[1], q[1], r[1], s[1])


@jit
def outputs_to_places(x0, x1, x2, x3, out, step):
    """out = A x Aᵀ for 2 x 2 outputs, for a register of channels: `outputs_of` read backwards."""
    p, q = A(x0, x2), A(x1, x3)
    store_four(out, 0, step, A(p[0], q[0]))
    store_four(out, 4 * step, step, A(p[1], q[1]))
    store_four(out, 8 * step, step, A(p[2], q[2]))
    store_four(out, 12 * step, step, A(p[3], q[3]))


# ---- filters, as many side by side as fit a register
@parallel
def transform(worker, workers, w, down, across, turned, rows, columns, out):
    """G w Gᵀ for a matrix of filters, `down` numbers apart in its columns and `across` in its rows: for each place a
    matrix in panels, two registers wide. turned: of the filters turned round."""
    size = lanes(w)
    taps, place = np.empty(9 * size, w.dtype), (columns + 2 * size - 1) // (2 * size) * rows * 2 * size
    for i in span(worker, workers, rows):
        for j in range(0, columns, size):
            for n in range(size):
                for tap in range(9):
                    taps[tap * size + n] = w[i * down + (j + n) * across + (8 - tap if turned else tap)]
            p, q, r = column_of_filters(taps, 0), column_of_filters(taps, 1), column_of_filters(taps, 2)
            k = (j // (2 * size) * rows + i) * 2 * size + j % (2 * size)
            store_four(out, k, place, G(p[0], q[0], r[0]))
            store_four(out, k + 4 * place, place, G(p[1], q[1], r[1]))
            store_four(out, k + 8 * place, place, G(p[2], q[2], r[2]))
            store_four(out, k + 12 * place, place, G(p[3], q[3], r[3]))


@jit
def column_of_filters(taps, k):
    """G times a column, for filters whose taps lie side by side."""
    size = lanes(taps)
    return G(load(taps, k * size), load(taps, (k + 3) * size), load(taps, (k + 6) * size))


@parallel
def transform_back(worker, workers, sums, several, c, o, dw):
    """dw = Gᵀ places G for all filters, of the places in the sums of several workers, which lie one after the other."""
    size, place = lanes(sums), c * o
    total, taps = np.empty(PLACES * size, sums.dtype), np.empty(9 * size, sums.dtype)
    for i in span(worker, workers, c):
        for j in range(0, o, size):
            for k in range(PLACES):
                here = load(sums, k * place + i * o + j)
                for other in range(1, several):
                    here = here + load(sums, (other * PLACES + k) * place + i * o + j)
                store(total, k * size, here)
            p, q = GT(*load_four(total, 0, 4 * size)), GT(*load_four(total, size, 4 * size))
            r, s = GT(*load_four(total, 2 * size, 4 * size)), GT(*load_four(total, 3 * size, 4 * size))
            for k, row in ((0, GT(p[0], q[0], r[0], s[0])), (3, GT(p[1], q[1], r[1], s[1])),
                           (6, GT(p[2], q[2], r[2], s[2]))):
                store(taps, k * size, row[0])
                store(taps, (k + 1) * size, row[1])
                store(taps, (k + 2) * size, row[2])
            for n in range(size):
                for tap in range(9):
                    dw[((j + n) * c + i) * 9 + tap] = taps[tap * size + n]


def filters_of(w: Any, backwards: bool) -> Any:
    """The filters as `convolve` wants them, from inputs to outputs; or as `gradients` does."""
    o, c = w.shape[:2]
    turned = w.strides[3] < 0
    vector, (by_output, by_input, *taps) = flat(w[:, :, ::-1, ::-1] if turned else w)
    if taps != [3, 1]:
        vector, (by_output, by_input, *_) = flat(np.array(w, order="C"))
        turned = False
    down, across, rows, columns = (by_output, by_input, o, c) if backwards else (by_input, by_output, c, o)
    wide = 2 * BYTES // w.itemsize
    (out,) = scratch(1, PLACES * -(-columns // wide) * wide * rows, w.dtype, "filters")
    transform(workers_for(6 * o * c), vector, down, across, int(turned), rows, columns, out)
    return out
