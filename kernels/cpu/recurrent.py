"""Recurrent layers: a worker takes some of the samples through all times, so that nobody waits within a sequence.

What the input gives the gates is one large product, for all times at once. Then, time after time, `panel` multiplies
the states with the weights, which lie packed in the processor's cache, and a step makes the next states of both, a
register at a time; the gates stay where they were made. Backward the same from the last time to the first; the
gradients of the weights are again large products, at the end.

Two orders of memory, time first or samples first, are one to the kernels: they count rows, one for each sample at each
time.
"""
from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..reference.recurrent import before
from .compiler import jit, parallel, span
from .functions import load_some, sigmoid, tanh
from .layout import flat, ravel, steps, transpose, zero
from .matmul import matmul, multiply
from .panel import FROM_BIAS, FROM_C, FROM_ZERO
from .panels import pack_panels, product
from .threads import aligned, aligned_like, get_num_threads, scratch, workers_for
from .vector import BYTES, at, lanes, splat, store_some, where

Arrays = tuple[Any, ...]


class Scan(NamedTuple):
    """A walk through time: sizes, and in what order the rows follow one another."""

    times: int
    samples: int
    hidden: int
    width: int  # of the gates: hidden, so many times as there are gates
    per_time: int  # rows from one time to the next, and from one sample to the next
    per_sample: int
    reverse: int
    columns: Any  # tables: (0, 1, …), where the states of the samples begin,
    states: Any
    gates: Any  # their gates, one below the other,
    apart: Any  # and their gates at one time, among those of all times


@jit
def row_of(k, sample, s):
    """The row of a sample at the k-th step."""
    return (s.times - 1 - k if s.reverse else k) * s.per_time + sample * s.per_sample


@jit
def add_rows(a, first, rows, count, width, total):
    """total += each of `count` rows of a."""
    for k in range(0, width, lanes(a)):
        some = width - k
        sums = load_some(total, k, some)
        for p in range(count):
            sums = sums + load_some(a, first + rows[p] + k, some)
        store_some(total, k, sums, some)


@parallel
def pack_weight(worker, workers, b, down, right, depth, columns, out):
    """Its panels; each worker takes some."""
    wide = 2 * lanes(b)
    mine = span(worker, workers, (columns + wide - 1) // wide)
    pack_panels(b, 0, down, right, depth, mine.start * wide, min(columns, mine.stop * wide), out)


# ---- the walks. A step is given where a sample's numbers begin: i among the gates, o among the outputs, k among the
# states; those of what the states give the gates (r) at j
def forward(step: Callable[..., None]) -> Any:
    """A kernel: the gates, the outputs and what the gradient wants, at all times; h and c are the first states, and in
    the end the last."""
    def task(worker, workers, gates, out, kept, h, c, weight, bias, work, start, s: Scan):
        mine, r, wide = span(worker, workers, s.samples), work[worker], 2 * lanes(gates)
        for t in range(s.times):
            product(mine.stop - mine.start, s.width, s.hidden, at(h, mine.start * s.hidden), s.states, s.columns,
                    weight, s.hidden, wide, r, s.gates, start, bias)
            for sample in mine:
                row, k = row_of(t, sample, s), sample * s.hidden
                step(gates, row * s.width, r, (sample - mine.start) * s.width, h, c, k, out, kept, row * s.hidden,
                     s.hidden)
    task.__name__ = f"forward_{step.__name__}"
    return parallel(task)


def backward(step: Callable[..., None]) -> Any:
    """A kernel: the gradients of what the input (dx) and the states (dr) gave the gates at all times, and for each
    worker the sum of the latter; dh and dc are the gradients of the last states, and in the end of the first."""
    def task(worker, workers, gates, kept, before, of_out, dh, dc, dx, dr, sums, weight, start, s: Scan):
        mine, wide = span(worker, workers, s.samples), 2 * lanes(gates)
        count = mine.stop - mine.start
        zero(sums[worker], 0, s.width)
        for t in range(s.times - 1, -1, -1):
            first = row_of(t, mine.start, s) * s.width
            for sample in mine:
                row = row_of(t, sample, s)
                step(gates, row * s.width, kept, before, of_out, row * s.hidden, dh, dc, sample * s.hidden, dx, dr,
                     s.hidden)
            add_rows(dr, first, s.apart, count, s.width, sums[worker])
            product(count, s.hidden, s.width, at(dr, first), s.apart, s.columns, weight, s.width, wide,
                    at(dh, mine.start * s.hidden), s.states, start, dh)
    task.__name__ = f"backward_{step.__name__}"
    return parallel(task)


# ---- steps
@jit
def given(x, i, r, j, count):
    """What the input and the state give a gate, together."""
    return load_some(x, i, count) + load_some(r, j, count)


@jit
def lstm_step(x, i, r, j, h, c, k, out, cells, o, n):
    """c' = f c + i g, h = o tanh(c')"""
    for m in range(0, n, lanes(x)):
        some = n - m
        enter = sigmoid(given(x, i + m, r, j + m, some))
        forget = sigmoid(given(x, i + n + m, r, j + n + m, some))
        new = tanh(given(x, i + 2 * n + m, r, j + 2 * n + m, some))
        show = sigmoid(given(x, i + 3 * n + m, r, j + 3 * n + m, some))
        before = load_some(c, k + m, some)
        cell = forget * before + enter * new
        state = show * tanh(cell)
        store_some(x, i + m, enter, some)
        store_some(x, i + n + m, forget, some)
        store_some(x, i + 2 * n + m, new, some)
        store_some(x, i + 3 * n + m, show, some)
        store_some(cells, o + m, before, some)
        store_some(c, k + m, cell, some)
        store_some(h, k + m, state, some)
        store_some(out, o + m, state, some)


@jit
def lstm_step_grad(gates, i, cells, before, of_out, o, dh, dc, k, dx, dr, n):
    """Before their sigmoids and tanh, with dh for of_out + dh, and dc for dc + dh o (1 - tanh²(c')):
    di = dc g i (1 - i), df = dc c f (1 - f), dg = dc i (1 - g²), do = dh tanh(c') o (1 - o); and of c, dc f."""
    for m in range(0, n, lanes(gates)):
        some = n - m
        enter, forget = load_some(gates, i + m, some), load_some(gates, i + n + m, some)
        new, show = load_some(gates, i + 2 * n + m, some), load_some(gates, i + 3 * n + m, some)
        cell = load_some(cells, o + m, some)
        shown = tanh(forget * cell + enter * new)
        of_h = load_some(of_out, o + m, some) + load_some(dh, k + m, some)
        of_c = load_some(dc, k + m, some) + of_h * show * (1 - shown * shown)
        store_some(dx, i + m, of_c * new * enter * (1 - enter), some)
        store_some(dx, i + n + m, of_c * cell * forget * (1 - forget), some)
        store_some(dx, i + 2 * n + m, of_c * enter * (1 - new * new), some)
        store_some(dx, i + 3 * n + m, of_h * shown * show * (1 - show), some)
        store_some(dc, k + m, of_c * forget, some)


@jit
def gru_step(x, i, r, j, h, c, k, out, news, o, n):
    """h = new + update (h - new)"""
    for m in range(0, n, lanes(x)):
        some = n - m
        reset = sigmoid(given(x, i + m, r, j + m, some))
        update = sigmoid(given(x, i + n + m, r, j + n + m, some))
        from_state = load_some(r, j + 2 * n + m, some)
        new = tanh(load_some(x, i + 2 * n + m, some) + reset * from_state)
        state = new + update * (load_some(h, k + m, some) - new)
        store_some(x, i + m, reset, some)
        store_some(x, i + n + m, update, some)
        store_some(x, i + 2 * n + m, new, some)
        store_some(news, o + m, from_state, some)
        store_some(h, k + m, state, some)
        store_some(out, o + m, state, some)


@jit
def gru_step_grad(gates, i, news, before, of_out, o, dh, dc, k, dx, dr, n):
    """Before their sigmoids and tanh, with dh for of_out + dh, and r for what the state gives the new one:
    d_update = dh (h - new) u (1 - u), d_new = dh (1 - u) (1 - new²), d_reset = d_new r reset (1 - reset); of r,
    d_new reset; and of h, beside what comes through the gates, dh u."""
    for m in range(0, n, lanes(gates)):
        some = n - m
        reset, update = load_some(gates, i + m, some), load_some(gates, i + n + m, some)
        new = load_some(gates, i + 2 * n + m, some)
        of_h = load_some(of_out, o + m, some) + load_some(dh, k + m, some)
        d_update = of_h * (load_some(before, o + m, some) - new) * update * (1 - update)
        d_new = of_h * (1 - update) * (1 - new * new)
        d_reset = d_new * load_some(news, o + m, some) * reset * (1 - reset)
        for d, last in ((dx, d_new), (dr, d_new * reset)):
            store_some(d, i + m, d_reset, some)
            store_some(d, i + n + m, d_update, some)
            store_some(d, i + 2 * n + m, last, some)
        store_some(dh, k + m, of_h * update, some)


@jit
def tanh_step(x, i, r, j, h, c, k, out, kept, o, n):
    """h = tanh(x + r)"""
    for m in range(0, n, lanes(x)):
        state = tanh(given(x, i + m, r, j + m, n - m))
        store_some(h, k + m, state, n - m)
        store_some(out, o + m, state, n - m)


@jit
def tanh_step_grad(out, i, kept, before, of_out, o, dh, dc, k, dx, dr, n):
    """(of_out + dh) (1 - h²)"""
    for m in range(0, n, lanes(out)):
        some, h = n - m, load_some(out, o + m, n - m)
        store_some(dx, o + m, (load_some(of_out, o + m, some) + load_some(dh, k + m, some)) * (1 - h * h), some)


@jit
def relu_step(x, i, r, j, h, c, k, out, kept, o, n):
    """h = max(0, x + r)"""
    for m in range(0, n, lanes(x)):
        state = given(x, i + m, r, j + m, n - m)
        state = where(state < 0, splat(x, 0), state)  # NaN stays
        store_some(h, k + m, state, n - m)
        store_some(out, o + m, state, n - m)


@jit
def relu_step_grad(out, i, kept, before, of_out, o, dh, dc, k, dx, dr, n):
    """of_out + dh where h > 0; NaN lets it pass."""
    for m in range(0, n, lanes(out)):
        some, zeros = n - m, splat(out, 0)
        of_h = load_some(of_out, o + m, some) + load_some(dh, k + m, some)
        h = load_some(out, o + m, some)
        store_some(dx, o + m, where((h > zeros) | (h != h), of_h, zeros), some)


lstm_forward, lstm_backward = forward(lstm_step), backward(lstm_step_grad)
gru_forward, gru_backward = forward(gru_step), backward(gru_step_grad)
tanh_forward, tanh_backward = forward(tanh_step), backward(tanh_step_grad)
relu_forward, relu_backward = forward(relu_step), backward(relu_step_grad)


# ---- for NumPy's arrays
def lstm(xp: Any, x: Any, h: Any, c: Any, w_ih: Any, w_hh: Any, *biases: Any, reverse: bool) -> Arrays:
    """out, the last h and the last c; the gates, and c before each step."""
    return _through_time(lstm_forward, x, h, c, w_ih, w_hh, biases, reverse)


def gru(xp: Any, x: Any, h: Any, w_ih: Any, w_hh: Any, *biases: Any, reverse: bool) -> Arrays:
    """out and the last h; the gates, and what the state gives the new one before it is reset."""
    out, h, _, gates, news = _through_time(gru_forward, x, h, h[:0], w_ih, w_hh, biases, reverse)
    return out, h, gates, news


def rnn(xp: Any, x: Any, h: Any, w_ih: Any, w_hh: Any, *biases: Any, reverse: bool, relu: bool) -> Arrays:
    """out and the last h."""
    return _through_time(relu_forward if relu else tanh_forward, x, h, h[:0], w_ih, w_hh, biases, reverse, False)[:2]


def lstm_grad(xp: Any, of_out: Any, of_h: Any, of_c: Any, x: Any, h: Any, w_ih: Any, w_hh: Any, out: Any, gates: Any,
              cells: Any, *, wanted: Any, reverse: bool) -> Arrays:
    """The gradients of x (if wanted[0]), h, c, the weights and the biases."""
    return _back_through_time(lstm_backward, of_out, of_h, of_c, x, h, w_ih, w_hh, out, gates, cells, wanted, reverse)


def gru_grad(xp: Any, of_out: Any, of_h: Any, x: Any, h: Any, w_ih: Any, w_hh: Any, out: Any, gates: Any, news: Any, *,
             wanted: Any, reverse: bool) -> Arrays:
    """The gradients of x (if wanted[0]), h, the weights and the biases."""
    dx, dh, _, *rest = _back_through_time(gru_backward, of_out, of_h, of_h[:0], x, h, w_ih, w_hh, out, gates, news,
                                          wanted, reverse)
    return dx, dh, *rest


def rnn_grad(xp: Any, of_out: Any, of_h: Any, x: Any, h: Any, w_ih: Any, w_hh: Any, out: Any, *, wanted: Any,
             reverse: bool, relu: bool) -> Arrays:
    """The gradients of x (if wanted[0]), h, the weights and the biases."""
    dx, dh, _, *rest = _back_through_time(relu_backward if relu else tanh_backward, of_out, of_h, of_h[:0], x, h, w_ih,
                                          w_hh, out, out, out, wanted, reverse)
    return dx, dh, *rest


def _through_time(kernel: Any, x: Any, h: Any, c: Any, w_ih: Any, w_hh: Any, biases: Arrays, reverse: bool,
                  keeps: bool = True) -> Arrays:
    s, workers = plan(*x.shape[:2], *w_hh.shape, _samples_first(x), reverse, x.itemsize, get_num_threads())
    rows = s.times * s.samples
    gates, out = (aligned(rows * n, x.dtype).reshape(rows, n) for n in (s.width, s.hidden))
    multiply(_rows(x, s), w_ih.T, gates, biases[0] if biases else None, False)
    kept = aligned_like(out) if keeps else out
    h, c = (np.array(a, order="C") for a in (h, c))
    bias, start = (ravel(biases[1]), FROM_BIAS) if biases else (out.reshape(-1), FROM_ZERO)
    kernel(workers, *(a.reshape(-1) for a in (gates, out, kept, h, c)), _packed(w_hh.T), bias,
           scratch(workers, -(-s.samples // workers) * s.width, x.dtype), start, s)
    return _at_times(out, s), h, c, _at_times(gates, s), _at_times(kept, s)


def _back_through_time(kernel: Any, of_out: Any, of_h: Any, of_c: Any, x: Any, h: Any, w_ih: Any, w_hh: Any, out: Any,
                       gates: Any, kept: Any, wanted: Any, reverse: bool) -> Arrays:
    s, workers = plan(*x.shape[:2], *w_hh.shape, _samples_first(x), reverse, x.itemsize, get_num_threads())
    x, gates, kept, of_out, states = (_rows(a, s) for a in (x, gates, kept, of_out, before(np, h, out, reverse)))
    dx, gated = aligned_like(gates), kernel is gru_backward  # its state enters through a gate
    dr, dh, dc = aligned_like(dx) if gated else dx, np.array(of_h, order="C"), np.array(of_c, order="C")
    sums = np.empty((workers, s.width), x.dtype)
    kernel(workers, *(flat(a)[0] for a in (gates, kept, states, of_out, dh, dc, dx, dr)), sums, _packed(w_hh),
           FROM_C if gated else FROM_ZERO, s)
    to_x = _at_times(matmul(np, dx, w_ih), s) if wanted[0] else None
    to_bias_hh = sums.sum(0)
    to_bias_ih = dx.sum(0) if gated else to_bias_hh
    return to_x, dh, dc, _over_rows(dx, x), _over_rows(dr, states), to_bias_ih, to_bias_hh


def _over_rows(d: Any, x: Any) -> Any:
    """dᵀ x, by way of xᵀ d: the columns of the narrower matrix are nearer to each other in memory."""
    product = matmul(np, x.T, d)
    out = np.empty(product.shape[::-1], product.dtype)
    transpose(workers_for(out.size), product.reshape(-1), 1, *product.shape, out.reshape(-1))
    return out


def _samples_first(x: Any) -> bool:
    """Does the memory of x (T, N, …) hold one sample after the other?"""
    return bool(x.strides[0] < x.strides[1])


def _rows(a: Any, s: Scan) -> Any:
    """a (T, N, …) as a matrix with its rows in the order of the walk. A copy if its memory has another."""
    return np.ascontiguousarray(a.transpose(1, 0, 2) if s.per_time == 1 else a).reshape(-1, a.shape[2])


def _at_times(rows: Any, s: Scan) -> Any:
    """Such a matrix as (T, N, …)."""
    if s.per_time == 1:
        return rows.reshape(s.samples, s.times, -1).transpose(1, 0, 2)
    return rows.reshape(s.times, s.samples, -1)


def _packed(b: Any) -> Any:
    """The panels of a matrix."""
    (depth, columns), (vector, (down, right)) = b.shape, flat(b)
    wide = 2 * BYTES // b.itemsize
    out = aligned(-(-columns // wide) * wide * depth, b.dtype)
    pack_weight(workers_for(b.size), vector, down, right, depth, columns, out)
    return out


@functools.lru_cache(256)
def plan(times: int, samples: int, width: int, hidden: int, samples_first: bool, reverse: bool, itemsize: int,
         threads: int) -> tuple[Scan, int]:
    """The walk, and how many workers share the samples."""
    per_time, per_sample = (1, times) if samples_first else (samples, 1)
    s = Scan(times, samples, hidden, width, per_time, per_sample, int(reverse), steps(max(hidden, width), 1),
             steps(samples, hidden), steps(samples, width), steps(samples, width * per_sample))
    return s, min(samples, workers_for(times * samples * width * (1 + hidden * itemsize / (2 * BYTES))))
