"""Convolution of each channel by itself: nothing is summed over channels, so it is no matrix product.

The tasks and the tables are those of `conv`. But a register holds neighbouring channels of one pixel, times the
weights of one tap for the same channels. Four sums are made at once: each weight that is read serves four pixels, and
the processor need not wait for one sum to be ready before it adds to the next.
"""
from __future__ import annotations

from typing import Any

import numpy as np

from ..windows import Pair
from .compiler import jit, parallel, span
from .conv import Conv, band, buffer_size, prepared, share, tasks, unpack
from .functions import larger, load_some
from .layout import channels_last, images, inside, part, parts_of, ravel, zero
from .threads import scratch, workers_for
from .vector import at, fma, lanes, splat, store_some


@jit
def four(k, count):
    """k, k + 1, k + 2 and k + 3. Past the end the last again: what is computed twice is the same twice."""
    last = count - 1
    return min(k, last), min(k + 1, last), min(k + 2, last), min(k + 3, last)


@parallel
def correlate(worker, workers, x, filters, bias, has_bias, relu, y, buffers, s: Conv):
    """y[pixel, c] = bias[c] + Σ_k x[pixel + tap k, c] filters[k, c]; relu: max(y, 0)."""
    size, zeros = lanes(x), splat(x, 0)
    for task in span(worker, workers, tasks(s)):
        image, row, several, rows = share(task, s)
        source, target = band(x, image, row, several, rows, buffers[worker], s), (image * s.oh + row) * s.ow * s.c
        for c in range(0, s.c, size):
            some = min(size, s.c - c)
            start = load_some(bias, c, some) if has_bias else zeros
            for p in range(0, several * rows * s.ow, 4):
                p0, p1, p2, p3 = four(p, several * rows * s.ow)
                at0, at1, at2, at3 = s.pixels[p0] + c, s.pixels[p1] + c, s.pixels[p2] + c, s.pixels[p3] + c
                sum0 = sum1 = sum2 = sum3 = start
                for k in range(len(s.taps)):
                    tap, weight = s.taps[k], load_some(filters, k * s.c + c, some)
                    sum0 = fma(load_some(source, at0 + tap, some), weight, sum0)
                    sum1 = fma(load_some(source, at1 + tap, some), weight, sum1)
                    sum2 = fma(load_some(source, at2 + tap, some), weight, sum2)
                    sum3 = fma(load_some(source, at3 + tap, some), weight, sum3)
                if relu:
                    sum0, sum1 = larger(sum0, zeros), larger(sum1, zeros)
                    sum2, sum3 = larger(sum2, zeros), larger(sum3, zeros)
                store_some(y, target + s.places[p0] + c, sum0, some)
                store_some(y, target + s.places[p1] + c, sum1, some)
                store_some(y, target + s.places[p2] + c, sum2, some)
                store_some(y, target + s.places[p3] + c, sum3, some)


@parallel
def weight_grad(worker, workers, x, g, sums, buffers, s: Conv):
    """sums[worker, k, c] = Σ_pixel x[pixel + tap k, c] g[pixel, c], over the pixels of this worker's tasks."""
    size, mine = lanes(x), sums[worker]
    zero(mine, 0, len(mine))
    for task in span(worker, workers, tasks(s)):
        image, row, several, rows = share(task, s)
        source, target = band(x, image, row, several, rows, buffers[worker], s), (image * s.oh + row) * s.ow * s.c
        for c in range(0, s.c, size):
            some = min(size, s.c - c)
            for k in range(0, len(s.taps), 4):
                k0, k1, k2, k3 = four(k, len(s.taps))
                tap0, tap1, tap2, tap3 = s.taps[k0] + c, s.taps[k1] + c, s.taps[k2] + c, s.taps[k3] + c
                sum0, sum1 = load_some(mine, k0 * s.c + c, some), load_some(mine, k1 * s.c + c, some)
                sum2, sum3 = load_some(mine, k2 * s.c + c, some), load_some(mine, k3 * s.c + c, some)
                for p in range(several * rows * s.ow):
                    pixel, slope = s.pixels[p], load_some(g, target + s.places[p] + c, some)
                    sum0 = fma(load_some(source, pixel + tap0, some), slope, sum0)
                    sum1 = fma(load_some(source, pixel + tap1, some), slope, sum1)
                    sum2 = fma(load_some(source, pixel + tap2, some), slope, sum2)
                    sum3 = fma(load_some(source, pixel + tap3, some), slope, sum3)
                store_some(mine, k0 * s.c + c, sum0, some)
                store_some(mine, k1 * s.c + c, sum1, some)
                store_some(mine, k2 * s.c + c, sum2, some)
                store_some(mine, k3 * s.c + c, sum3, some)


@parallel
def input_grad(worker, workers, g, filters, dx, s: Conv):
    """dx[pixel + tap k, c] += g[pixel, c] filters[k, c]. A task has an image, or some of its channels, to itself."""
    size, parts = lanes(g), parts_of(s.n, s.c, workers, lanes(g))
    for task in span(worker, workers, s.n * parts):
        image, begin, end = part(task, s.c, parts, size)
        for pixel in range(image * s.h * s.w, (image + 1) * s.h * s.w):
            zero(at(dx, pixel * s.c + begin), 0, end - begin)
        for r in range(s.oh):
            top = r * s.down - s.top
            i0, i1 = inside(top, s.kh, s.apart, s.h)
            for c in range(begin, end, size):
                some, source = min(size, end - c), (image * s.oh + r) * s.ow * s.c + c
                for i in range(i0, i1):
                    for j in range(s.kw):  # a tap at a time: what one has written, the next reads much later
                        left, weight = j * s.aside - s.left, load_some(filters, (i * s.kw + j) * s.c + c, some)
                        q0, q1 = inside(left, s.ow, s.right, s.w)
                        target = ((image * s.h + top + i * s.apart) * s.w + left) * s.c + c
                        for q in range(q0, q1):
                            pixel = target + q * s.right * s.c
                            more = fma(load_some(g, source + q * s.c, some), weight, load_some(dx, pixel, some))
                            store_some(dx, pixel, more, some)


# ---- for NumPy's arrays. With several filters to a channel, channels are repeated, one for each filter
def conv2d(xp: Any, x: Any, w: Any, b: Any = None, *, stride: Pair, padding: Pair, dilation: Pair, groups: int,
           relu: bool = False) -> Any:
    """y[n, o, r, s] = b[o] + Σ_ij w[o, 0, i, j] x[n, channel of o, row, column]; relu: max(y, 0)."""
    x = repeated(x, len(w) // groups)
    s, workers = prepared(x, w.shape, x.shape, stride, padding, dilation, len(w))
    y = np.empty(s.n * s.oh * s.ow * s.o, x.dtype)
    correlate(workers, channels_last(x), taps_first(w), y if b is None else ravel(b), b is not None, relu, y,
              scratch(workers, buffer_size(s), x.dtype), s)
    return images(y, s.n, s.o, s.oh, s.ow)


def conv2d_relu(xp: Any, x: Any, w: Any, b: Any = None, **options: Any) -> Any:
    """max(0, conv2d(x, w, b)): before it is written."""
    return conv2d(xp, x, w, b, relu=True, **options)


def conv2d_weight_grad(xp: Any, x: Any, g: Any, *, size: Pair, stride: Pair, padding: Pair, dilation: Pair,
                       groups: int) -> Any:
    """dw[o, 0, i, j] = Σ_nrs g[n, o, r, s] x[n, channel of o, row, column]"""
    shape = (g.shape[1], 1, *size)
    x = repeated(x, shape[0] // groups)
    s, workers = prepared(x, shape, x.shape, stride, padding, dilation, shape[0])
    sums, dw = np.empty((workers, len(s.taps) * s.o), x.dtype), np.empty(shape, x.dtype)
    weight_grad(workers, channels_last(x), channels_last(g), sums, scratch(workers, buffer_size(s), x.dtype), s)
    unpack(workers_for(2 * dw.size), sums, dw.reshape(-1), s.o, 1, len(s.taps))
    return dw


def conv2d_input_grad(xp: Any, g: Any, w: Any, *, size: Pair, stride: Pair, padding: Pair, dilation: Pair,
                      groups: int) -> Any:
    """dx[n, c, row, column] = Σ_oij w[o, 0, i, j] g[n, o, r, s], over windows that meet the pixel and outputs of c."""
    s, workers = prepared(g, w.shape, (len(g), len(w), *size), stride, padding, dilation, len(w))
    dx = np.empty(s.n * s.h * s.w * s.c, g.dtype)
    input_grad(workers, channels_last(g), taps_first(w), dx, s)
    dx = images(dx, s.n, s.c, s.h, s.w)
    return dx if groups == s.c else dx.reshape(s.n, groups, -1, s.h, s.w).sum(2)


def taps_first(w: Any) -> Any:
    """The filters, channels side by side."""
    return np.array(w.transpose(2, 3, 1, 0), order="C").reshape(-1)


def repeated(x: Any, times: int) -> Any:
    """Each channel several times."""
    return x if times == 1 else np.repeat(x.transpose(0, 2, 3, 1), times, 3).transpose(0, 3, 1, 2)
