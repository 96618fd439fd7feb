"""How arrays lie in memory: NumPy's strides above, the flat vectors that kernels read below.

Images are (N, C, H, W) to everybody, but kernels want the channels of a pixel side by side ("channels-last"), so that
one register holds 16 of them and one load brings them. Strides make that free: an array of shape (N, C, H, W) whose
memory is in the order (N, H, W, C) looks like any other. Kernels return such arrays, NumPy's functions keep the order,
and so from the first convolution of a network to its last nothing is rearranged.
"""
from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .compiler import jit, parallel, span
from .functions import load_some
from .threads import workers_for
from .vector import lanes, load, store, store_some, transpose_square


def flat(x: Any) -> tuple[Any, tuple[int, ...]]:
    """x's memory as one vector, and how many numbers apart its neighbours along each axis lie. A copy if memory has
    gaps, runs backwards or is read-only (to Numba another type, and another compilation)."""
    flags, ordered = x.flags, x
    if not flags.c_contiguous:
        ordered = x.transpose(from_last(x.strides))
    if not (flags.writeable and flags.aligned and (ordered is x or ordered.flags.c_contiguous)):
        x = ordered = np.array(x, order="C")
    return ordered.reshape(-1), in_numbers(x.strides, x.itemsize)


def memory_of(x: Any) -> Any:
    """x's memory as one vector, without more."""
    flags = x.flags
    return x.reshape(-1) if flags.c_contiguous and flags.writeable and flags.aligned else flat(x)[0]


@functools.lru_cache(4096)
def from_last(strides: tuple[int, ...]) -> list[int]:
    """The axes in their order in memory: the last is the one whose neighbours lie side by side."""
    return sorted(range(len(strides)), key=lambda d: -strides[d])


@functools.lru_cache(4096)
def in_numbers(strides: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Strides, which NumPy counts in bytes."""
    return tuple(s // itemsize for s in strides)


def ravel(x: Any) -> Any:
    """x's numbers as one vector, in the order of its axes; a copy only where `flat` would copy."""
    flags = x.flags
    if flags.c_contiguous and flags.writeable and flags.aligned:
        return x.reshape(-1)
    return np.array(x, order="C").reshape(-1)


@functools.lru_cache(1024)
def steps(count: int, step: int) -> Any:
    """The table (0, step, 2 step, …)."""
    return np.arange(count) * step


def channels_last(x: Any) -> Any:
    """The numbers of images x (N, C, H, W), or of anything like them, in the order (N, H, W, C), as one vector."""
    pixels = x.transpose(0, 2, 3, 1)
    if pixels.flags.c_contiguous and x.flags.writeable and x.flags.aligned:
        return pixels.reshape(-1)
    if not x.flags.c_contiguous or x.dtype.kind != "f":
        return np.array(pixels, order="C").reshape(-1)
    out = np.empty(x.size, x.dtype)
    n, c, h, w = x.shape
    transpose(workers_for(x.size), flat(x)[0], n, c, h * w, out)
    return out


def in_rows(xp: Any, x: Any) -> Any:
    """Images that lie in memory with channels last, channel by channel and row by row."""
    n, c, h, w = x.shape
    out = np.empty(x.shape, x.dtype)
    transpose(workers_for(x.size), channels_last(x), n, h * w, c, out.reshape(-1))
    return out


def images(vector: Any, n: int, c: int, h: int, w: int) -> Any:
    """The images (N, C, H, W) whose numbers are in the order (N, H, W, C)."""
    return vector.reshape(n, h, w, c).transpose(0, 3, 1, 2)


def like(g: Any, x: Any) -> Any:
    """g, in memory as x is."""
    if g.strides == x.strides:
        return g
    if x.ndim == 4 and not x.flags.c_contiguous:
        n, c, h, w = x.shape
        return images(channels_last(g), n, c, h, w)
    return np.ascontiguousarray(g)


@parallel
def transpose(worker, workers, a, n, rows, columns, out):
    """Each of n matrices (rows, columns) transposed, a square that fits the registers at a time."""
    size = lanes(a)
    strips = (columns + size - 1) // size
    for t in span(worker, workers, n * strips):
        start, first = t // strips * rows * columns, t % strips * size
        whole = rows // size * size if first + size <= columns else 0
        for row in range(0, whole, size):
            transpose_square(a, start + row * columns + first, columns, out, start + first * rows + row, rows)
        for column in range(first, min(first + size, columns)):
            for row in range(whole, rows):
                out[start + column * rows + row] = a[start + row * columns + column]


# ---- runs of numbers, for kernels
@jit
def zero(a, i, count):
    """a[i : i + count] = 0"""
    for k in range(i, i + count):
        a[k] = 0


@jit
def copy(a, i, out, j, count):
    """out[j : j + count] = a[i : i + count]"""
    size = lanes(a)
    while count >= size:
        store(out, j, load(a, i))
        i, j, count = i + size, j + size, count - size
    if count > 0:
        store_some(out, j, load_some(a, i, count), count)


@jit
def add(a, i, out, j, count):
    """out[j : j + count] += a[i : i + count]"""
    size = lanes(a)
    while count >= size:
        store(out, j, load(out, j) + load(a, i))
        i, j, count = i + size, j + size, count - size
    if count > 0:
        store_some(out, j, load_some(out, j, count) + load_some(a, i, count), count)


@jit
def parts_of(n, c, workers, size):
    """In how many parts to take each of n images: whole, or if there are too few, by `size` channels."""
    return 1 if n >= workers else (c + size - 1) // size


@jit
def part(task, c, parts, size):
    """A task's image, its first channel, and the first that is no longer its own."""
    return task // parts, task % parts * size, c if parts == 1 else min(c, (task % parts + 1) * size)


@jit
def inside(start, count, apart, image):
    """The first tap of a window that meets the image, and the first after it that does not."""
    first = -(start // apart) if start < 0 else 0
    return first, min(count, (image - start + apart - 1) // apart)
