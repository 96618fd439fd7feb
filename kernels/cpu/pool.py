"""Pooling, channels last: a register holds neighbouring channels of one pixel, and windows meet the image only.

What adds to images, the gradients, has whole images to itself, so that nobody else adds there; or if there are fewer
images than workers, some channels of one.
"""
from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from ..windows import Pair, Windows
from .compiler import jit, parallel, span
from .functions import load_some
from .layout import channels_last, images, inside, part, parts_of, zero
from .threads import get_num_threads, workers_for
from .vector import at, lanes, splat, store_integers, store_some, where


class Pool(NamedTuple):
    """Sizes: images (n, c, h, w), windows (kh, kw), outputs (oh, ow)."""

    n: int
    c: int
    h: int
    w: int
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
    count_border: int  # in an average: the pixels of the padding, too
    divisor: int  # in an average: instead of counting, unless 0


def plan(shape: tuple[int, ...], size: Pair, stride: Pair, padding: Pair, dilation: Pair, ceil_mode: bool,
         count_border: bool = False, divisor: int | None = None) -> tuple[Pool, int]:
    """The sizes, and the number of workers."""
    return _plan(shape, size, stride, padding, dilation, ceil_mode, count_border, divisor, get_num_threads())


@functools.lru_cache(256)
def _plan(shape: tuple[int, ...], size: Pair, stride: Pair, padding: Pair, dilation: Pair, ceil_mode: bool,
          count_border: bool, divisor: int | None, threads: int) -> tuple[Pool, int]:
    n, c, h, w = shape
    out = Windows((h, w), size, stride, padding, dilation, ceil_mode).out
    s = Pool._make((n, c, h, w, *size, *out, *stride, *padding, *dilation, int(count_border), divisor or 0))
    return s, workers_for(s.n * s.c * s.oh * s.ow * s.kh * s.kw / 4)


@parallel
def largest_pixels(worker, workers, x, y, indices, s: Pool):
    """y = the largest pixel of each window, indices = its number, row · w + column. Of equals the first; NaN wins."""
    size = lanes(x)
    for line in span(worker, workers, s.n * s.oh):
        image, top = line // s.oh, line % s.oh * s.down - s.top
        i0, i1 = inside(top, s.kh, s.apart, s.h)
        for q in range(s.ow):
            left = q * s.right - s.left
            j0, j1 = inside(left, s.kw, s.aside, s.w)
            # a wide dilation may step over the whole image
            first = min(top + i0 * s.apart, s.h - 1) * s.w + min(left + j0 * s.aside, s.w - 1)
            for c in range(0, s.c, size):
                some = min(size, s.c - c)
                best, number = splat(x, -np.inf), splat(x, first)
                for i in range(i0, i1):
                    for j in range(j0, j1):
                        here = (top + i * s.apart) * s.w + left + j * s.aside
                        pixel = load_some(x, (image * s.h * s.w + here) * s.c + c, some)
                        wins = (pixel > best) | (pixel != pixel)
                        best, number = where(wins, pixel, best), where(wins, splat(x, here), number)
                target = (line * s.ow + q) * s.c + c
                store_some(y, target, best, some)
                store_integers(indices, target, number, some)


@parallel
def to_the_largest(worker, workers, g, indices, dx, outputs, area, n, c):
    """dx[pixel of number indices[p]] += g[p]. A task has an image, or some of its channels, to itself."""
    parts = parts_of(n, c, workers, lanes(g))
    for task in span(worker, workers, n * parts):
        image, begin, end = part(task, c, parts, lanes(g))
        for pixel in range(image * area, (image + 1) * area):
            zero(at(dx, pixel * c + begin), 0, end - begin)
        there = at(dx, image * area * c)
        for p in range(image * outputs, (image + 1) * outputs):
            slope, number = at(g, p * c), at(indices, p * c)
            for k in range(begin, end):
                there[number[k] * c + k] += slope[k]


@jit
def counted(top, left, s):
    """The number of pixels that count in the window which begins there."""
    if s.divisor:
        return s.divisor
    edge, side = (s.top, s.left) if s.count_border else (0, 0)
    rows = min(top + s.kh, s.h + edge) - max(top, -edge)
    return rows * (min(left + s.kw, s.w + side) - max(left, -side))


@parallel
def means(worker, workers, x, y, s: Pool):
    """y = the mean of each window's pixels."""
    size = lanes(x)
    for line in span(worker, workers, s.n * s.oh):
        image, top = line // s.oh, line % s.oh * s.down - s.top
        i0, i1 = inside(top, s.kh, 1, s.h)
        for q in range(s.ow):
            left = q * s.right - s.left
            j0, j1 = inside(left, s.kw, 1, s.w)
            for c in range(0, s.c, size):
                some, total = min(size, s.c - c), splat(x, 0)
                for i in range(top + i0, top + i1):
                    for j in range(left + j0, left + j1):
                        total = total + load_some(x, ((image * s.h + i) * s.w + j) * s.c + c, some)
                store_some(y, (line * s.ow + q) * s.c + c, total / counted(top, left, s), some)


@parallel
def shared_out(worker, workers, g, dx, s: Pool):
    """dx += each g, shared out evenly among its window's pixels. A task has an image, or some of its channels, to
    itself."""
    size, parts = lanes(g), parts_of(s.n, s.c, workers, lanes(g))
    for task in span(worker, workers, s.n * parts):
        image, begin, end = part(task, s.c, parts, size)
        for pixel in range(image * s.h * s.w, (image + 1) * s.h * s.w):
            zero(at(dx, pixel * s.c + begin), 0, end - begin)
        for p in range(s.oh * s.ow):
            top, left = p // s.ow * s.down - s.top, p % s.ow * s.right - s.left
            i0, i1 = inside(top, s.kh, 1, s.h)
            j0, j1 = inside(left, s.kw, 1, s.w)
            for c in range(begin, end, size):
                some = min(size, end - c)
                share = load_some(g, (image * s.oh * s.ow + p) * s.c + c, some) / counted(top, left, s)
                for i in range(top + i0, top + i1):
                    for j in range(left + j0, left + j1):
                        pixel = ((image * s.h + i) * s.w + j) * s.c + c
                        store_some(dx, pixel, load_some(dx, pixel, some) + share, some)


# ---- for NumPy's arrays
def max_pool2d(xp: Any, x: Any, *, kernel_size: Pair, stride: Pair, padding: Pair, dilation: Pair,
               ceil_mode: bool) -> tuple[Any, Any]:
    """The largest pixel of each window, and its number in the image."""
    s, workers = plan(x.shape, kernel_size, stride, padding, dilation, ceil_mode)
    y, indices = np.empty(s.n * s.oh * s.ow * s.c, x.dtype), np.empty(s.n * s.oh * s.ow * s.c, np.int64)
    largest_pixels(workers, channels_last(x), y, indices, s)
    return images(y, s.n, s.c, s.oh, s.ow), images(indices, s.n, s.c, s.oh, s.ow)


def max_pool2d_grad(xp: Any, g: Any, indices: Any, *, size: Pair) -> Any:
    """Each g at the pixel that won its window."""
    (n, c, oh, ow), area = g.shape, size[0] * size[1]
    dx = np.empty(n * area * c, g.dtype)
    workers = workers_for(2 * (g.size + dx.size))
    to_the_largest(workers, channels_last(g), channels_last(indices), dx, oh * ow, area, n, c)
    return images(dx, n, c, *size)


def avg_pool2d(xp: Any, x: Any, *, kernel_size: Pair, stride: Pair, padding: Pair, ceil_mode: bool,
               count_include_pad: bool, divisor_override: int | None) -> Any:
    """The mean of each window's pixels."""
    s, workers = plan(x.shape, kernel_size, stride, padding, (1, 1), ceil_mode, count_include_pad, divisor_override)
    y = np.empty(s.n * s.oh * s.ow * s.c, x.dtype)
    means(workers, channels_last(x), y, s)
    return images(y, s.n, s.c, s.oh, s.ow)


def avg_pool2d_grad(xp: Any, g: Any, *, size: Pair, kernel_size: Pair, stride: Pair, padding: Pair, ceil_mode: bool,
                    count_include_pad: bool, divisor_override: int | None) -> Any:
    """Each g shared out among its window's pixels."""
    s, workers = plan((*g.shape[:2], *size), kernel_size, stride, padding, (1, 1), ceil_mode, count_include_pad,
                      divisor_override)
    dx = np.empty(s.n * s.h * s.w * s.c, g.dtype)
    shared_out(workers, channels_last(g), dx, s)
    return images(dx, s.n, s.c, s.h, s.w)
