"""Lesson 8, convolution and pooling: the windows, a convolution of them, its two gradients, and max pooling."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tinynet import kernels
from tinynet.learn import close, draw, forward, reference, require, rule, slope

STRIDES, PADDINGS = st.integers(1, 3), st.integers(0, 2)


# ---- how tn.use puts an answer into the engine: squares in one stride; all else goes the engine's own way
def square(stride: Any, padding: Any, dilation: Any, groups: int) -> bool:
    """Whether a convolution is of the kind that the lesson is about."""
    return stride[0] == stride[1] and padding[0] == padding[1] and tuple(dilation) == (1, 1) and groups == 1


def of_conv2d(mine: Callable[..., Any]) -> list[Any]:
    """The engine's conv2d."""
    def compute(x, w, b=None, **options):
        if not square(**options):
            return kernels.run("conv2d", np, x, w, b, **options)
        b = np.zeros(len(w), x.dtype) if b is None else b
        return np.ascontiguousarray(mine(x, w, b, options["stride"][0], options["padding"][0]), x.dtype)
    return [forward("conv2d", compute)]


def of_gradient(op: str) -> Callable[..., list[Any]]:
    """The engine's op of that name, one of the two gradients of conv2d."""
    def patches(mine: Callable[..., Any]) -> list[Any]:
        def compute(a, b, *, size, **options):
            if not square(**options):
                return kernels.run(op, np, a, b, size=size, **options)
            return np.ascontiguousarray(mine(a, b, size, options["stride"][0], options["padding"][0]), a.dtype)
        return [forward(op, compute)]
    return patches


def of_max_pool2d(mine: Callable[..., Any]) -> list[Any]:
    """The engine's max_pool2d."""
    def compute(x, **options):
        (size, other), plain = options["kernel_size"], {"padding": (0, 0), "dilation": (1, 1), "ceil_mode": False}
        if size != other or tuple(options["stride"]) != (size, size) or any(options[k] != plain[k] for k in plain):
            return kernels.run("max_pool2d", np, x, **options)
        values, where = mine(x, size)
        return np.ascontiguousarray(values, x.dtype), np.ascontiguousarray(where, np.int64)
    return [forward("max_pool2d", compute)]


def pad(x: Any, padding: int) -> Any:
    """Images with a border of zeros."""
    return np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))


# ---- windows
@reference("08.windows")
def windows(x, size, stride):
    """[(r, s, the pixels of x under the window at row r and column s)], row by row."""
    (h, w), (kh, kw) = x.shape[2:], size
    rows, columns = (h - kh) // stride + 1, (w - kw) // stride + 1
    return [(r, s, x[:, :, r * stride:r * stride + kh, s * stride:s * stride + kw])
            for r in range(rows) for s in range(columns)]


@windows.property("a 2 × 2 window has 6 places on a 3 × 4 image in steps of 1, and 2 in steps of 2")
def _(mine):
    x = np.arange(12.0).reshape(1, 1, 3, 4)
    for stride, count in ((1, 6), (2, 2)):
        got = mine(x, (2, 2), stride)
        require(isinstance(got, list), f"a list is expected, not {type(got).__name__}")
        require(len(got) == count, f"in steps of {stride} the window has {count} places, not {len(got)}",
                "Along an axis: from the first place to the last the window goes (image - window) pixels. How many "
                "whole steps are in that? The first place counts too.")


@windows.property("each place has its row, its column and the pixels there",
                  x="n c 5 6", height=st.integers(1, 3), width=st.integers(1, 3), stride=STRIDES)
def _(mine, x, height, width, stride):
    got, want = mine(x, (height, width), stride), windows(x, (height, width), stride)
    require(len(got) == len(want), f"there are {len(want)} places, not {len(got)}", "Rows are counted with the "
            "window's height, columns with its width.")
    for (r, s, pixels), (row, column, there) in zip(got, want, strict=True):
        close((r, s), (row, column), "Go along the first row, then along the next.",
              what="the places come in another order")
        close(pixels, there, "The window at (r, s) starts at row r · stride and ends `height` rows later; columns the "
              "same with s.", what=f"the pixels at row {r}, column {s} are wrong")


@windows.property("the pixels are a part of the image, not a copy of it", x="1 1 3 3")
def _(mine, x):
    require(all(np.shares_memory(pixels, x) for _, _, pixels in mine(x, (2, 2), 1)), "the pixels were copied",
            "A slice x[:, :, a:b, c:d] looks into x: what is added to it is added to x. Later exercises need that.")


# ---- convolution
@reference("08.conv2d", engine=of_conv2d)
def conv2d(x, w, b, stride, padding):
    """y[n, o, r, s] = b[o] + the sum of w[o] times the pixels of x[n] under the window at (r, s)."""
    x = pad(x, padding)
    places = windows(x, w.shape[2:], stride)
    y = np.zeros((len(x), len(w), places[-1][0] + 1, places[-1][1] + 1))
    for r, s, pixels in places:
        y[:, :, r, s] = np.einsum("ncij,ocij->no", pixels, w) + b
    return y


@conv2d.property("at a single place it is the sum of all products, and the bias", x="n c h k", w="o c h k", b="o")
def _(mine, x, w, b):
    want = np.array([[(image * one).sum() + bias for one, bias in zip(w, b, strict=True)] for image in x])
    close(mine(x, w, b, 1, 0), want[:, :, None, None], "Multiply the filter with the pixels, element by element, add "
          "up over channels, rows and columns, and then add the filter's bias, once.")


@conv2d.property("a filter with one 1 picks that pixel of each window", x="1 1 3 3", i=st.integers(0, 1),
                 j=st.integers(0, 1))
def _(mine, x, i, j):
    w = np.zeros((1, 1, 2, 2))
    w[0, 0, i, j] = 1
    close(mine(x, w, np.zeros(1), 1, 0), x[:, :, i:i + 2, j:j + 2],
          "The filter is laid on the image as it is: not turned around, not transposed.")


conv2d.agrees("it is right with strides and padding", x="n c 5 4", w="o c 2 3", b="o", stride=STRIDES,
              padding=PADDINGS, hint="Pad first, then take the windows of the padded image, `stride` apart.")


# ---- its gradients
@reference("08.conv2d_input_grad", engine=of_gradient("conv2d_input_grad"))
def conv2d_input_grad(g, w, size, stride, padding):
    """Each g, times its filter, added to the pixels that were under the window."""
    dx = np.zeros((len(g), w.shape[1], size[0] + 2 * padding, size[1] + 2 * padding))
    for r, s, pixels in windows(dx, w.shape[2:], stride):
        pixels += np.einsum("no,ocij->ncij", g[:, :, r, s], w)
    return dx[:, :, padding:padding + size[0], padding:padding + size[1]]


@conv2d_input_grad.property("where windows overlap, a pixel gets something from each")
def _(mine):
    got = mine(np.ones((1, 1, 1, 3)), np.array([[[[2.0, 10.0]]]]), (1, 4), 1, 0)
    close(got, np.array([[[[2.0, 12.0, 12.0, 10.0]]]]), "Add to what is there (pixels += …): a middle pixel was "
          "multiplied by 10 in one window and by 2 in the next.")


@conv2d_input_grad.property("it has the size of the images, without the border", g="n o 1 1", w="o c 3 3")
def _(mine, g, w):
    close(np.shape(mine(g, w, (1, 1), 1, 1)), (len(g), w.shape[1], 1, 1), "Cut off `padding` pixels at each side: from "
          "padding to padding + height. (A slice that ends at -padding is empty for a padding of 0.)",
          what="the shape is wrong")


@conv2d_input_grad.property("a measured slope agrees", examples=6, x="n c 5 4", w="o c 2 3", stride=STRIDES,
                            padding=st.integers(0, 1))
def _(mine, x, w, stride, padding):
    slope(rule(lambda x: conv2d(x, w, 0, stride, padding), lambda g, x: mine(g, w, x.shape[2:], stride, padding)), [x],
          "One pixel: in which windows is it, and which number of each filter is it multiplied with there? Add over "
          "the filters (o).")


@reference("08.conv2d_weight_grad", engine=of_gradient("conv2d_weight_grad"))
def conv2d_weight_grad(x, g, size, stride, padding):
    """The sum over all places of g there, times the pixels under the window."""
    dw = np.zeros((g.shape[1], x.shape[1], *size))
    for r, s, pixels in windows(pad(x, padding), size, stride):
        dw += np.einsum("no,ncij->ocij", g[:, :, r, s], pixels)
    return dw


@conv2d_weight_grad.property("a filter of one number is used at every place, and gets something from each")
def _(mine):
    x, g = np.array([[[[1.0, 2.0, 3.0]]]]), np.array([[[[1.0, 10.0, 100.0]]]])
    close(mine(x, g, (1, 1), 1, 0), np.array([[[[321.0]]]]), "At each place: g there times the pixel there. Add up "
          "over the places (dw += …).")


@conv2d_weight_grad.property("a measured slope agrees", examples=6, x="n c 5 4", w="o c 2 3", stride=STRIDES,
                             padding=PADDINGS)
def _(mine, x, w, stride, padding):
    slope(rule(lambda w: conv2d(x, w, 0, stride, padding), lambda g, w: mine(x, g, w.shape[2:], stride, padding)), [w],
          "All images share the filters: the sum goes over the images (n), too. No mean: that is the loss's business.")


# ---- pooling
@reference("08.max_pool2d", engine=of_max_pool2d)
def max_pool2d(x, size):
    """(the largest pixel of each size × size window, its number row · W + column in its image): of equals the first."""
    n, c, height, width = x.shape
    values = np.zeros((n, c, height // size, width // size), x.dtype)
    where = np.zeros(values.shape, int)
    for r, s, pixels in windows(x, (size, size), size):
        flat = pixels.reshape(n, c, size * size)
        winner = flat.argmax(-1)
        values[:, :, r, s] = flat.max(-1)
        where[:, :, r, s] = (r * size + winner // size) * width + s * size + winner % size
    return values, where


@max_pool2d.property("the values are the largest of each window", x="n c 4 5", size=st.integers(1, 3))
def _(mine, x, size):
    got = mine(x, size)
    require(isinstance(got, tuple | list) and len(got) == 2, "two results are expected: the values, and where they are")
    close(got[0], max_pool2d(x, size)[0], "The windows do not overlap, and pixels at the end that do not fill a window "
          "are left out. Each image and channel has a largest pixel of its own.")


@max_pool2d.property("it says where they are: row · W + column, in the whole image", x=draw.distinct((1, 1, 4, 6)))
def _(mine, x):
    got = np.asarray(mine(x, 2)[1])
    require(got.shape == (1, 1, 2, 3), f"the shape should be (1, 1, 2, 3), not {got.shape}")
    close(got, max_pool2d(x, 2)[1], "argmax counts within the window. Which row and column of the window is that, and "
          "where does the window start in the image? W is the width of the whole image.")


@max_pool2d.property("of equal pixels the first wins", x=draw.whole((1, 1, 2, 4), 0, 1))
def _(mine, x):
    close(mine(x.astype(float), 2), max_pool2d(x.astype(float), 2), "Exactly one pixel may win, or the gradient would "
          "be counted twice: the first, row by row.")


max_pool2d.agrees("every image and channel is treated by itself", x=draw.arrays((2, 3, 4, 4), -2, 2),
                  size=st.integers(1, 2), hint="argmax over the pixels of the window only, not over channels.")
