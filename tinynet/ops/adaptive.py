"""Adaptive pooling: as many windows as are asked for, of whatever size they need to cover the image."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tinynet.autograd.variable import raw, wrap
from tinynet.device import backend
from tinynet.dtypes import Array, name
from tinynet.ops._dims import WIDE
from tinynet.ops._index import ALL
from tinynet.ops._primitive import primitive
from tinynet.ops.conv import numbers
from tinynet.ops.create import array_of
from tinynet.ops.elementwise import cast
from tinynet.ops.index import getitem
from tinynet.ops.pool import as_images, like, max_pool2d_
from tinynet.ops.shape import Shape


def windows(n: int, m: int) -> list[tuple[int, int]]:
    """Where m windows over n elements begin and end: i from ⌊i n / m⌋ up to ⌈(i + 1) n / m⌉. They overlap where m does
    not divide n. Window i of these holds element p just if window p of windows(m, n) holds element i."""
    return [(i * n // m, -(-(i + 1) * n // m)) for i in range(m)]


def _ends(xp: Any, n: int, m: int) -> tuple[Array, Array]:
    """The same, as two arrays."""
    k = xp.arange(m)
    return k * n // m, -(-(k + 1) * n // m)


@primitive
def adaptive_sum(xp: Any, a: Array, *, size: Shape) -> Array:
    """The sums of size[0] × size[1] × … windows over the last axes of a."""
    for axis, m in enumerate(size, start=a.ndim - len(size)):
        lead, n, rest = a.shape[:axis], a.shape[axis], a.shape[axis + 1:]
        if m and n % m == 0:  # the windows lie side by side
            a = a.reshape((*lead, m, n // m, *rest)).sum(axis + 1)
        elif n and m % n == 0:  # each holds one element
            a = xp.repeat(a, m // n, axis)
        else:
            before = (ALL,) * axis
            a = xp.stack([a[(*before, slice(first, end))].sum(axis) for first, end in windows(n, m)], axis)
    return a


# An element's gradient is the sum of those of the windows that hold it: windows again, the other way round.
adaptive_sum.vjp(a=lambda g, a_shape, size: adaptive_sum(g, size=a_shape[-len(size):]))


def adaptive_avg(input: Any, size: Shape) -> Any:
    """The means of size[0] × size[1] × … windows over the last axes of input."""
    xp = backend(raw(input))
    counts: Any = None
    for n, m in zip(input.shape[-len(size):], size, strict=True):
        first, end = _ends(xp, n, m)
        counts = end - first if counts is None else counts[..., None] * (end - first)
    dtype = WIDE.get(input.dtype, input.dtype)  # half precision is added up in single
    total = adaptive_sum(cast(input, dtype=dtype) if dtype != input.dtype else input, size=size)
    mean = total / wrap(counts.astype(dtype))
    return mean if dtype == input.dtype else cast(mean, dtype=input.dtype)


# ---- what users call
def adaptive_avg_pool2d(input: Any, output_size: Any) -> Any:
    """Images of output_size, (rows, columns) or one number for both: pixel i of m is the mean of the pixels from
    ⌊i n / m⌋ up to ⌈(i + 1) n / m⌉ along each axis. None: as many as the input has.

    input (N, C, H, W) or (C, H, W) of floats. RuntimeError for sizes that do not fit.

    >>> tn.nn.functional.adaptive_avg_pool2d(tn.arange(15.).reshape(1, 3, 5), (1, 2))
    tensor([[[6., 8.]]])
    """
    return adaptive_avg(input, _check("adaptive_avg_pool2d", 2, input, output_size))


def adaptive_avg_pool1d(input: Any, output_size: Any) -> Any:
    """adaptive_avg_pool2d over one axis: input (N, C, L) or (C, L).

    >>> tn.nn.functional.adaptive_avg_pool1d(tn.tensor([[1., 2., 6.]]), 2)
    tensor([[1.5000, 4.0000]])
    """
    return adaptive_avg(input, _check("adaptive_avg_pool1d", 1, input, output_size))


def adaptive_max_pool2d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """The largest pixel of each of the windows that adaptive_avg_pool2d takes the mean of; with return_indices also
    its number in the image, row · W + column.

    >>> tn.nn.functional.adaptive_max_pool2d(tn.arange(15.).reshape(1, 3, 5), (1, 2))
    tensor([[[12., 14.]]])
    """
    return _adaptive_max("adaptive_max_pool2d", 2, input, output_size, return_indices)


def adaptive_max_pool1d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """adaptive_max_pool2d over one axis: input (N, C, L) or (C, L).

    >>> tn.nn.functional.adaptive_max_pool1d(tn.tensor([[1., 2., 6.]]), 2)
    tensor([[2., 6.]])
    """
    return _adaptive_max("adaptive_max_pool1d", 1, input, output_size, return_indices)


def _adaptive_max(op: str, axes: int, input: Any, output_size: Any, return_indices: bool) -> Any:
    """max_pool2d of an image in which all windows are apart and of one size: the shorter read their last row or column
    once more, which changes no maximum."""
    size = _check(op, axes, input, output_size)
    x, xp = as_images(input, axes), backend(raw(input))
    rows, columns = (_apart(xp, n, m) for n, m in zip(x.shape[2:], (1, *size)[-2:], strict=True))
    kernel = rows.shape[1], columns.shape[1]
    pixels = xp.ix_(rows.reshape(-1), columns.reshape(-1))
    apart = x if (rows.size, columns.size) == x.shape[2:] else getitem(x, index=(..., *pixels))
    values, numbers = max_pool2d_(apart, kernel_size=kernel, stride=kernel, padding=(0, 0), dilation=(1, 1),
                                  ceil_mode=False)
    if not return_indices:
        return like(values, input, axes)
    seen = (pixels[0] * x.shape[3] + pixels[1]).reshape(-1)
    return like(values, input, axes), like(wrap(seen[raw(numbers)]), input, axes)


def _apart(xp: Any, n: int, m: int) -> Array:
    """Row i: the elements of window i of m over n, the last one again where it is shorter than the longest."""
    if not m:
        return xp.zeros((0, 1), int)
    first, end = _ends(xp, n, m)
    longest = max(b - a for a, b in windows(n, m))
    return xp.minimum(first[:, None] + xp.arange(longest), end[:, None] - 1)


def _check(op: str, axes: int, input: Any, output_size: Any) -> Shape:
    """output_size as numbers, if they and the input are what op takes."""
    a = array_of(op, input)
    if a.ndim not in (axes + 1, axes + 2):
        raise RuntimeError(f"{op}(): Expected {axes + 1}D or {axes + 2}D tensor, but got {list(a.shape)}")
    if 0 in a.shape[-axes:]:
        raise RuntimeError(f"{op}(): Expected input to have non-zero size for non-batch dimensions, but input has "
                           f"sizes {list(a.shape)}")
    if a.dtype.kind != "f":
        raise NotImplementedError(f"{op} is not implemented for {name(a.dtype)}; use input.float()")
    given = list(output_size) if isinstance(output_size, Iterable) else [output_size] * axes
    if len(given) != axes:
        raise RuntimeError(f"{op}: output_size must be {axes} numbers, one for each axis, but got {output_size}")
    if axes == 2 and output_size is not None:
        given = [n if size is None else size for n, size in zip(a.shape[-2:], given, strict=True)]
    size = numbers(op, "output_size", given, axes)
    if min(size) < 0:
        raise RuntimeError(f"{op}: elements of output_size must be greater than or equal to 0 but received {size}")
    return size
