"""Pooling: the largest or the mean pixel of each window, and their derivatives."""
from __future__ import annotations

from typing import Any

from tinynet import kernels
from tinynet.autograd.variable import Variable
from tinynet.dtypes import name
from tinynet.kernels.windows import output_size
from tinynet.ops._primitive import primitive
from tinynet.ops.conv import Pair, numbers
from tinynet.ops.index import take_along


# ---- the primitives: all options are pairs of numbers, all images are in a batch
@primitive(outputs="values indices")
def max_pool2d_(xp: Any, input: Any, *, kernel_size: Pair, stride: Pair, padding: Pair, dilation: Pair,
                ceil_mode: bool) -> Any:
    """The largest pixel under each window and its number, row · W + column, in its image."""
    return kernels.run("max_pool2d", xp, input, kernel_size=kernel_size, stride=stride, padding=padding,
                       dilation=dilation, ceil_mode=ceil_mode)


@primitive
def max_pool2d_grad(xp: Any, g: Any, indices: Any, *, size: Pair) -> Any:
    """Images of `size` with each g added at its index: the derivative of reading the pixels there."""
    return kernels.run("max_pool2d_grad", xp, g, indices, size=size)


@primitive
def avg_pool2d_(xp: Any, input: Any, *, kernel_size: Pair, stride: Pair, padding: Pair, ceil_mode: bool,
                count_include_pad: bool, divisor_override: int | None) -> Any:
    """The sum of the pixels under each window over their number."""
    return kernels.run("avg_pool2d", xp, input, kernel_size=kernel_size, stride=stride, padding=padding,
                       ceil_mode=ceil_mode, count_include_pad=count_include_pad,
                       divisor_override=divisor_override)


@primitive
def avg_pool2d_grad(xp: Any, g: Any, *, size: Pair, kernel_size: Pair, stride: Pair, padding: Pair,
                    ceil_mode: bool, count_include_pad: bool, divisor_override: int | None) -> Any:
    """Images of `size` with each g shared out evenly under its window."""
    return kernels.run("avg_pool2d_grad", xp, g, size=size, kernel_size=kernel_size, stride=stride,
                       padding=padding, ceil_mode=ceil_mode, count_include_pad=count_include_pad,
                       divisor_override=divisor_override)


def _read(u: Any, indices: Any) -> Any:
    """The pixels of images u at the indices."""
    n, c, h, w = u.shape
    at = indices.reshape((n, c, indices.shape[2] * indices.shape[3]))
    return take_along(u.reshape((n, c, h * w)), at, dim=2).reshape(indices.shape)


max_pool2d_.vjp(input=lambda g, indices, input_shape: max_pool2d_grad(g[0], indices, size=input_shape[2:]))
max_pool2d_grad.vjp(g=lambda u, indices: _read(u, indices))
avg_pool2d_.vjp(
    input=lambda g, input_shape, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override:
        avg_pool2d_grad(g, size=input_shape[2:], kernel_size=kernel_size, stride=stride, padding=padding,
                        ceil_mode=ceil_mode, count_include_pad=count_include_pad, divisor_override=divisor_override))
avg_pool2d_grad.vjp(
    g=lambda u, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override:
        avg_pool2d_(u, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override))


# ---- what users call
def max_pool2d(input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
               ceil_mode: bool = False, return_indices: bool = False) -> Any:
    """The largest pixel under each window; with return_indices also its number in the image, row · W +
    column.

    input (N, C, H, W) or (C, H, W); stride: the kernel's size unless given. The border never wins, of equal
    pixels the first does, and a NaN beats all. ceil_mode: the last window may hang over the end. RuntimeError
    for sizes that do not fit.

    >>> x = tn.tensor([[[1., 2., 8., 3.], [4., 3., 7., 5.]]])
    >>> tn.nn.functional.max_pool2d(x, 2)
    tensor([[[4., 8.]]])
    """
    return _max_pool("max_pool2d", 2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool1d(input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
               ceil_mode: bool = False, return_indices: bool = False) -> Any:
    """max_pool2d over one axis: input (N, C, L) or (C, L).

    >>> tn.nn.functional.max_pool1d(tn.tensor([[1., 2., 8., 3.]]), 2)
    tensor([[2., 8.]])
    """
    return _max_pool("max_pool1d", 1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def _max_pool(op: str, axes: int, input: Any, kernel_size: Any, stride: Any, padding: Any, dilation: Any,
              ceil_mode: bool, return_indices: bool) -> Any:
    _check_images(op, axes, input)
    if input.dtype.kind == "b":
        raise NotImplementedError(f"{op} is not implemented for bool; use input.float()")
    options = _windows(op, axes, input, kernel_size, stride, padding, dilation, ceil_mode)
    values, indices = (like(t, input, axes) for t in max_pool2d_(as_images(input, axes), **options))
    return (values, indices) if return_indices else values


def avg_pool2d(input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
               count_include_pad: bool = True, divisor_override: int | None = None) -> Any:
    """The mean of the pixels under each window: their sum over their number (with the border's zeros, or
    not), or over divisor_override.

    input (N, C, H, W) or (C, H, W) of floats; stride: the kernel's size unless given. ceil_mode: the last
    window may hang over the end. RuntimeError for sizes that do not fit.

    >>> x = tn.tensor([[[1., 2., 8., 3.], [4., 3., 7., 5.]]])
    >>> tn.nn.functional.avg_pool2d(x, 2)
    tensor([[[2.5000, 5.7500]]])
    """
    return _avg_pool("avg_pool2d", 2, input, kernel_size, stride, padding, ceil_mode, count_include_pad,
                     divisor_override)


def avg_pool1d(input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
               count_include_pad: bool = True) -> Any:
    """avg_pool2d over one axis: input (N, C, L) or (C, L).

    >>> tn.nn.functional.avg_pool1d(tn.tensor([[1., 2., 8., 3.]]), 2)
    tensor([[1.5000, 5.5000]])
    """
    return _avg_pool("avg_pool1d", 1, input, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


def _avg_pool(op: str, axes: int, input: Any, kernel_size: Any, stride: Any, padding: Any, ceil_mode: bool,
              count_include_pad: bool, divisor_override: int | None) -> Any:
    _check_images(op, axes, input)
    if input.dtype.kind != "f":
        raise NotImplementedError(f"{op} is not implemented for {name(input.dtype)}; use input.float()")
    if divisor_override == 0:
        raise RuntimeError(f"divisor must be not zero: {op} got divisor_override=0")
    options = _windows(op, axes, input, kernel_size, stride, padding, 1, ceil_mode)
    options |= {"count_include_pad": bool(count_include_pad), "divisor_override": divisor_override}
    del options["dilation"]
    return like(avg_pool2d_(as_images(input, axes), **options), input, axes)


# ---- one axis is an image of one row, and one image a batch of one
def as_images(input: Any, axes: int) -> Any:
    """input (N, C, H, W), (C, H, W) or, with one axis, (N, C, L) or (C, L), as (N, C, H, W)."""
    n, c = (1, *input.shape[:-axes])[-2:]
    return input if input.ndim == 4 else input.reshape((n, c, *[1] * (2 - axes), *input.shape[-axes:]))


def like(out: Any, input: Any, axes: int) -> Any:
    """What became of as_images(input, axes), with the axes that input has."""
    return out if input.ndim == 4 else out.reshape((*input.shape[:-axes], *out.shape[-axes:]))


# ---- checks
def _check_images(op: str, axes: int, input: Any) -> None:
    """TypeError for no Tensor, RuntimeError for one that is no image, nor a batch of them."""
    if not isinstance(input, Variable):
        raise TypeError(f"{op}(): argument 'input' must be Tensor, not {type(input).__name__}")
    shape = input.array.shape
    if len(shape) not in (axes + 1, axes + 2) or 0 in shape[-axes - 1:]:
        raise RuntimeError(f"Expected {axes + 1}D or {axes + 2}D (batch mode) tensor with optional 0 dim batch size "
                           f"for input of {op}, but got: {list(shape)}")


def _windows(op: str, axes: int, input: Any, kernel_size: Any, stride: Any, padding: Any, dilation: Any,
             ceil_mode: bool) -> dict[str, Any]:
    """The options as pairs. RuntimeError if there is no such window."""
    stride = kernel_size if stride is None else stride
    size, stride, padding, dilation = (
        (none,) * (2 - axes) + numbers(op, what, value, axes) for what, value, none in (
            ("kernel_size", kernel_size, 1), ("stride", stride, 1), ("padding", padding, 0), ("dilation", dilation, 1)))
    for what, values in (("kernel_size", size), ("stride", stride), ("dilation", dilation)):
        if min(values) <= 0:
            raise RuntimeError(f"{op}: {what} should be greater than zero, but got {values[-axes:]}")
    for p, k, d in zip(padding, size, dilation, strict=True):
        if p < 0:
            raise RuntimeError(f"pad must be non-negative, but got pad: {p} in {op}")
        if p > (d * (k - 1) + 1) // 2:
            raise RuntimeError(f"pad should be at most half of effective kernel size, but got pad={p}, "
                               f"kernel_size={k} and dilation={d} in {op}")
    c, (h, w) = input.shape[-axes - 1], (1, *input.shape[-axes:])[-2:]
    along = zip((h, w), size, stride, padding, dilation, strict=True)
    rows, columns = (max(output_size(*axis, ceil_mode), 0) for axis in along)
    if not rows or not columns:
        raise RuntimeError(f"Given input size: ({c}x{h}x{w}). Calculated output size: "
                           f"({c}x{rows}x{columns}). Output size is too small: {op} with kernel_size={size[-axes:]} "
                           f"needs a larger image")
    return {"kernel_size": size, "stride": stride, "padding": padding, "dilation": dilation,
            "ceil_mode": bool(ceil_mode)}
