"""Convolution as one matrix product (im2col: Chellapilla, Puri & Simard 2006).

Lay the pixels under each window out as a column of a matrix X, and each filter as a row of a matrix W. Then
convolution is Y = W X, and its gradients are those of a product: dW = dY Xᵀ, and dX = Wᵀ dY, of which each
entry is added back to the pixel it was copied from. With groups, each group of channels has three matrices of
its own.

x (N, C, H, W), w (O, C / groups, kh, kw), b (O,) -> y (N, O, rows, columns). im2col and col2im give X, of each image
by itself, and the way back, as ops of their own.
"""
from __future__ import annotations

from typing import Any

from .. import kernel
from ..windows import Pair, Windows


@kernel("reference")
def conv2d(xp: Any, x: Any, w: Any, b: Any = None, *, stride: Pair, padding: Pair, dilation: Pair,
           groups: int) -> Any:
    """y[n, o, r, s] = b[o] + Σ_cij w[o, c, i, j] x[n, c, row, column], row being r·stride + i·dilation -
    padding, and column the same of s and j."""
    at = Windows(x.shape[2:], w.shape[2:], stride, padding, dilation)
    y = xp.matmul(filters_as_rows(w, groups), windows_as_columns(xp, x, at, groups))
    if b is not None:
        y += b.reshape(groups, -1, 1)
    return xp.ascontiguousarray(y.reshape(len(w), len(x), *at.out).transpose(1, 0, 2, 3))


@kernel("reference")
def conv2d_input_grad(xp: Any, g: Any, w: Any, *, size: Pair, stride: Pair, padding: Pair, dilation: Pair,
                      groups: int) -> Any:
    """The gradient of the images, of `size`: dX = Wᵀ dY, each column added to the pixels under its window."""
    at = Windows(size, w.shape[2:], stride, padding, dilation)
    dcolumns = xp.matmul(filters_as_rows(w, groups).transpose(0, 2, 1), outputs_as_rows(g, groups))
    return columns_as_images(xp, dcolumns, at, (len(g), w.shape[1] * groups))


@kernel("reference")
def conv2d_weight_grad(xp: Any, x: Any, g: Any, *, size: Pair, stride: Pair, padding: Pair, dilation: Pair,
                       groups: int) -> Any:
    """The gradient of the filters, of `size`: dW = dY Xᵀ."""
    at = Windows(x.shape[2:], size, stride, padding, dilation)
    dw = xp.matmul(outputs_as_rows(g, groups), windows_as_columns(xp, x, at, groups).transpose(0, 2, 1))
    return dw.reshape(g.shape[1], x.shape[1] // groups, *size)


@kernel("reference")
def im2col(xp: Any, x: Any, *, size: Pair, stride: Pair, padding: Pair, dilation: Pair) -> Any:
    """The pixels under each window of `size` in a column: y[n, (c, i, j), (r, s)], the element (i, j) of window (r, s)
    in channel c; a zero in the border."""
    at = Windows(x.shape[2:], size, stride, padding, dilation)
    (n, c), (rows, columns) = x.shape[:2], at.out
    matrix = windows_as_columns(xp, x, at, 1).reshape(c * size[0] * size[1], n, rows * columns)
    return xp.ascontiguousarray(matrix.transpose(1, 0, 2))


@kernel("reference")
def col2im(xp: Any, g: Any, *, image: Pair, size: Pair, stride: Pair, padding: Pair, dilation: Pair) -> Any:
    """Images of `image` pixels from such columns, each entry added to the pixel it would be a copy of."""
    at = Windows(image, size, stride, padding, dilation)
    return columns_as_images(xp, g.transpose(1, 0, 2), at, (len(g), g.shape[1] // (size[0] * size[1])))


def filters_as_rows(w: Any, groups: int) -> Any:
    """W: (groups, O / groups, C / groups · kh · kw)."""
    o, c, kh, kw = w.shape
    return w.reshape(groups, o // groups, c * kh * kw)


def outputs_as_rows(y: Any, groups: int) -> Any:
    """Y: (groups, O / groups, N · rows · columns)."""
    n, o, rows, columns = y.shape
    return y.transpose(1, 0, 2, 3).reshape(groups, o // groups, n * rows * columns)


def windows_as_columns(xp: Any, x: Any, at: Windows, groups: int) -> Any:
    """X: (groups, C / groups · kh · kw, N · rows · columns)."""
    (n, c), (kh, kw), (rows, columns) = x.shape[:2], at.size, at.out
    out = xp.empty((c, kh, kw, n, rows, columns), x.dtype)
    for i, j, pixels in at.taps(at.pad(xp, x)):
        out[:, i, j] = pixels.transpose(1, 0, 2, 3)
    return out.reshape(groups, c // groups * kh * kw, n * rows * columns)


def columns_as_images(xp: Any, columns: Any, at: Windows, lead: Pair) -> Any:
    """Images (*lead, H, W) with each entry of X added to the pixel it was copied from."""
    n, c = lead
    columns = columns.reshape(c, *at.size, n, *at.out)
    images = at.blank(xp, lead, columns.dtype)
    for i, j, pixels in at.taps(images):
        pixels += columns[:, i, j].transpose(1, 0, 2, 3)
    return at.crop(xp, images)


@kernel("reference")
def in_rows(xp: Any, x: Any) -> Any:
    """Images x (N, C, H, W), in memory channel by channel and row by row."""
    return xp.ascontiguousarray(x)
