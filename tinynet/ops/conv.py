"""Convolution: three primitives, each the derivative of the others, to every order. A transposed convolution is one
of them, the derivative of a convolution, used as a layer."""
from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

from tinynet import kernels
from tinynet.autograd.variable import Variable
from tinynet.dtypes import name
from tinynet.kernels.windows import image_size
from tinynet.ops._primitive import primitive
from tinynet.ops.padding import pad

Pair = tuple[int, int]


# ---- the primitives: all options are pairs of numbers, all images are in a batch
@primitive
def conv2d_(xp: Any, input: Any, weight: Any, bias: Any = None, *, stride: Pair, padding: Pair,
            dilation: Pair, groups: int) -> Any:
    """out[n, o] = bias[o] + Σ_c weight[o, c] ⋆ input[n, c], a cross-correlation over the last two axes."""
    return kernels.run("conv2d", xp, input, weight, bias, stride=stride, padding=padding, dilation=dilation,
                       groups=groups)


@primitive
def conv2d_input_grad(xp: Any, g: Any, weight: Any, *, size: Pair, stride: Pair, padding: Pair,
                      dilation: Pair, groups: int) -> Any:
    """The gradient of conv2d's input, of image size `size`, when that of its output is g."""
    return kernels.run("conv2d_input_grad", xp, g, weight, size=size, stride=stride, padding=padding,
                       dilation=dilation, groups=groups)


@primitive
def conv2d_weight_grad(xp: Any, input: Any, g: Any, *, size: Pair, stride: Pair, padding: Pair,
                       dilation: Pair, groups: int) -> Any:
    """The gradient of conv2d's weight, of kernel size `size`, when that of its output is g."""
    return kernels.run("conv2d_weight_grad", xp, input, g, size=size, stride=stride, padding=padding,
                       dilation=dilation, groups=groups)


conv2d_.vjp(
    input=lambda g, weight, input_shape, stride, padding, dilation, groups: conv2d_input_grad(
        g, weight, size=input_shape[2:], stride=stride, padding=padding, dilation=dilation, groups=groups),
    weight=lambda g, input, weight_shape, stride, padding, dilation, groups: conv2d_weight_grad(
        input, g, size=weight_shape[2:], stride=stride, padding=padding, dilation=dilation, groups=groups),
    bias=lambda g: g.sum(axis=(0, 2, 3)))
conv2d_input_grad.vjp(
    g=lambda u, weight, stride, padding, dilation, groups:
        conv2d_(u, weight, None, stride, padding, dilation, groups),
    weight=lambda u, g, weight_shape, stride, padding, dilation, groups:
        conv2d_weight_grad(u, g, weight_shape[2:], stride, padding, dilation, groups))
conv2d_weight_grad.vjp(
    input=lambda u, g, input_shape, stride, padding, dilation, groups:
        conv2d_input_grad(g, u, input_shape[2:], stride, padding, dilation, groups),
    g=lambda u, input, stride, padding, dilation, groups:
        conv2d_(input, u, None, stride, padding, dilation, groups))


# ---- what users call
def conv2d(input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
           groups: int = 1) -> Any:
    """out[n, o] = bias[o] + Σ_c weight[o, c] ⋆ input[n, c], a cross-correlation over the last two axes.

    input (N, C, H, W) or (C, H, W), weight (O, C / groups, kh, kw), bias (O,). stride, padding, dilation: a
    number, or one for rows and one for columns; padding may be "valid" (none) or "same" (an output as large
    as the input; for stride 1). RuntimeError for shapes that do not fit.

    >>> tn.nn.functional.conv2d(tn.ones(1, 3, 3), tn.ones(1, 1, 2, 2))
    tensor([[[4., 4.],
             [4., 4.]]])
    """
    return _convolve("conv2d", 2, input, weight, bias, stride, padding, dilation, groups)


def conv1d(input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
           groups: int = 1) -> Any:
    """conv2d over one axis: input (N, C, L) or (C, L), weight (O, C / groups, k), bias (O,).

    >>> tn.nn.functional.conv1d(tn.tensor([[1., 2., 4.]]), tn.tensor([[[-1., 1.]]]))
    tensor([[1., 2.]])
    """
    return _convolve("conv1d", 1, input, weight, bias, stride, padding, dilation, groups)


def conv_transpose2d(input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0,
                     output_padding: Any = 0, groups: int = 1, dilation: Any = 1) -> Any:
    """The derivative of conv2d by its input: each pixel adds its multiple of the kernel to the output, `stride` apart.

    input (N, C, H, W) or (C, H, W), weight (C, O / groups, kh, kw), bias (O,). The output has
    (H - 1) · stride + dilation · (kh - 1) + 1 - 2 · padding + output_padding rows: a convolution with stride makes
    images of several sizes as small as the input, and output_padding, less than stride or dilation, says which one
    is wanted. RuntimeError for shapes that do not fit.

    >>> tn.nn.functional.conv_transpose2d(tn.tensor([[[1., 2.]]]), tn.ones(1, 1, 2, 2), stride=2)
    tensor([[[1., 1., 2., 2.],
             [1., 1., 2., 2.]]])
    """
    return _spread("conv_transpose2d", 2, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose1d(input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0,
                     output_padding: Any = 0, groups: int = 1, dilation: Any = 1) -> Any:
    """conv_transpose2d over one axis: input (N, C, L) or (C, L), weight (C, O / groups, k), bias (O,).

    >>> tn.nn.functional.conv_transpose1d(tn.tensor([[1., 2.]]), tn.tensor([[[1., 10.]]]))
    tensor([[ 1., 12., 20.]])
    """
    return _spread("conv_transpose1d", 1, input, weight, bias, stride, padding, output_padding, groups, dilation)


def _convolve(op: str, axes: int, input: Any, weight: Any, bias: Any, stride: Any, padding: Any,
              dilation: Any, groups: Any) -> Any:
    _check_tensors(op, axes, input, weight, bias)
    stride, dilation = numbers(op, "stride", stride, axes, 1), numbers(op, "dilation", dilation, axes, 1)
    (groups,) = numbers(op, "groups", (groups,), 1, 1)
    if isinstance(padding, str):
        padding, odd = _named_padding(padding, weight.shape[2:], stride, dilation)
    else:
        padding, odd = numbers(op, "padding", padding, axes, 0), ()
    _check_channels(input, weight, bias, groups)
    _check_room(input.shape[2 - weight.ndim:], weight.shape[2:], padding, dilation)

    parameters = (weight,) if bias is None else (weight, bias)
    if axes == 2 and input.ndim == 4 and not any(odd):
        return conv2d_(input, *parameters, stride=stride, padding=padding, dilation=dilation, groups=groups)
    out = _on_images(lambda x, w, **sizes: conv2d_(x, w, *parameters[1:], groups=groups, **sizes), input, weight,
                     stride=stride, padding=padding, dilation=dilation)
    return out[(..., *(slice(k, None) for k in odd))] if any(odd) else out


def _named_padding(word: str, size: Any, stride: Any, dilation: Any) -> tuple[Any, Any]:
    """The padding on both sides, and how many outputs to drop at the start. "same" pads d (k - 1) in all, the
    odd one after the end; we pad the larger half on both sides, and then the first output is one too many."""
    if word == "valid":
        return (0,) * len(size), (0,) * len(size)
    if word != "same":
        raise RuntimeError(f"Invalid padding string: '{word}'; choose 'same', 'valid' or numbers")
    if max(stride) > 1:
        raise RuntimeError(f"padding='same' is not supported for strided convolutions, got stride={stride}")
    total = [d * (k - 1) for d, k in zip(dilation, size, strict=True)]
    return tuple((t + 1) // 2 for t in total), tuple(t % 2 for t in total)


def _spread(op: str, axes: int, input: Any, weight: Any, bias: Any, stride: Any, padding: Any,
            output_padding: Any, groups: Any, dilation: Any) -> Any:
    _check_tensors(op, axes, input, weight, bias, transposed=True)
    stride, dilation = numbers(op, "stride", stride, axes, 1), numbers(op, "dilation", dilation, axes, 1)
    padding, extra = numbers(op, "padding", padding, axes, 0), numbers(op, "output_padding", output_padding, axes, 0)
    (groups,) = numbers(op, "groups", (groups,), 1, 1)
    _check_channels(input, weight, bias, groups, transposed=True)
    axis_by_axis = zip(input.shape[-axes:], weight.shape[2:], stride, padding, dilation, strict=True)
    size = tuple(image_size(*axis) + e for axis, e in zip(axis_by_axis, extra, strict=True))
    _check_spread(op, input, size, stride, dilation, extra)

    # an output longer by a stride has room for another window: that of a zero at the end of the input
    more = [e // s for e, s in zip(extra, stride, strict=True)]
    if any(more):
        input = pad(input, [k for m in reversed(more) for k in (0, m)])
    out = _on_images(lambda x, w, **sizes: conv2d_input_grad(x, w, groups=groups, **sizes), input, weight,
                     size=size, stride=stride, padding=padding, dilation=dilation)
    return out if bias is None else out + bias.reshape((-1, *[1] * axes))


ONE_ROW = {"size": 1, "stride": 1, "padding": 0, "dilation": 1}


def _on_images(compute: Callable[..., Any], input: Any, weight: Any, **sizes: Any) -> Any:
    """compute(images, weight, **sizes), for a batch of images: of one, where there is no batch, and, where there is
    one axis, of one row each."""
    line, batched = weight.ndim == 3, input.ndim == weight.ndim
    x = input if batched else input.reshape((1, *input.shape))
    if line:
        x, weight = (t.reshape((*t.shape[:2], 1, t.shape[2])) for t in (x, weight))
        sizes = {what: (ONE_ROW[what], *size) for what, size in sizes.items()}
    out = compute(x, weight, **sizes)
    if line:
        out = out.reshape((*out.shape[:2], out.shape[3]))
    return out if batched else out.reshape(out.shape[1:])


# ---- checks
def numbers(op: str, what: str, value: Any, axes: int = 2, least: int | None = None) -> tuple[int, ...]:
    """An option of `op` as one number for each axis; it may be given as a single one. RuntimeError for another number
    of them, and for one below `least` (1 or 0)."""
    if type(value) is tuple and len(value) == axes and {*map(type, value)} == {int} and min(value) >= (least or 0):
        return value
    values = tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else (value,)
    for v in values:
        if isinstance(v, bool) or not hasattr(v, "__index__"):
            raise TypeError(f"{op}(): argument '{what}' must be an int{f' or {axes} ints' if axes > 1 else ''}, but "
                            f"found {v!r} of type {type(v).__name__}")
    if len(values) not in (1, axes):
        raise RuntimeError(f"expected {what} to be a single integer value or a list of {axes} values to "
                           f"match the {op} dimensions, but got {what}={list(values)}")
    if least is not None and min(values) < least:
        raise RuntimeError(f"{'non-positive' if least else 'negative'} {what} is not supported: {op} got "
                           f"{what}={values[0] if len(set(values)) == 1 else values}")
    return tuple(int(v) for v in values) * (axes // len(values))


def _check_tensors(op: str, axes: int, input: Any, weight: Any, bias: Any, transposed: bool = False) -> None:
    for what, t in (("input", input), ("weight", weight), ("bias", bias)):
        if not isinstance(t, Variable) and (t is not None or what != "bias"):
            raise TypeError(f"{op}(): argument '{what}' must be Tensor, not {type(t).__name__}")
    if not axes + 1 <= input.ndim <= axes + 2:
        raise RuntimeError(f"Expected {axes + 1}D (unbatched) or {axes + 2}D (batched) input to {op}, but "
                           f"got input of size: {list(input.shape)}")
    if weight.ndim != axes + 2 or 0 in weight.shape[2:]:
        channels = "in_channels, out_channels" if transposed else "out_channels, in_channels"
        raise RuntimeError(f"{op}: expected a weight of size ({channels} / groups, "
                           f"{'kernel' if axes == 1 else 'rows, columns'}), got {list(weight.shape)}")
    if input.dtype.kind == "b":
        raise NotImplementedError(f"{op} is not implemented for bool; use input.float()")
    for what, t in (("weight", weight), ("bias", bias)):
        if t is not None and t.dtype != input.dtype:
            raise RuntimeError(f"Input type ({name(input.dtype)}) and {what} type ({name(t.dtype)}) should "
                               f"be the same: convert one with .to(dtype)")


def _check_channels(input: Any, weight: Any, bias: Any, groups: int, transposed: bool = False) -> None:
    size, first, second = list(weight.shape), weight.shape[0], weight.shape[1] * groups
    wanted, out = (first, second) if transposed else (second, first)
    if not first or first % groups or not out:
        raise RuntimeError(f"Given groups={groups}, expected weight to be at least 1 and divisible by {groups} at "
                           f"dimension 0{', and at least 1 at dimension 1' if transposed else ''}, but got weight of "
                           f"size {size} instead")
    channels = input.shape[1 - weight.ndim]
    if channels != wanted:
        raise RuntimeError(f"Given groups={groups}, weight of size {size}, expected "
                           f"input{list(input.shape)} to have {wanted} channels, but got {channels} "
                           f"channels instead")
    if bias is not None and bias.shape != (out,):
        raise RuntimeError(f"Given groups={groups}, weight of size {size}, expected bias to be 1-dimensional with "
                           f"{out} elements, but got bias of size {list(bias.shape)} instead")
    if 0 in input.shape[2 - weight.ndim:] and 0 not in input.shape[:2 - weight.ndim]:
        raise RuntimeError(f"Only zero batch or zero channel inputs are supported, but got input shape: "
                           f"{list(input.shape)}")


@functools.lru_cache(1024)
def _check_room(image: tuple[int, ...], size: tuple[int, ...], padding: Any, dilation: Any) -> None:
    room = [n + 2 * p for n, p in zip(image, padding, strict=True)]
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, size, strict=True)]
    if any(r > n for r, n in zip(reach, room, strict=True)):
        raise RuntimeError(f"Calculated padded input size per channel: ({_by(room)}). Kernel size: ({_by(reach)}). "
                           f"Kernel size can't be greater than actual input size: pad more, or use a "
                           f"smaller kernel")


def _check_spread(op: str, input: Any, size: Any, stride: Any, dilation: Any, extra: Any) -> None:
    if any(e >= max(s, d) for e, s, d in zip(extra, stride, dilation, strict=True)):
        raise RuntimeError(f"output padding must be smaller than either stride or dilation, but {op} got "
                           f"output_padding={extra}, stride={stride}, dilation={dilation}")
    if min(size) < 1:
        raise RuntimeError(f"Given input size per channel: ({_by(input.shape[-len(size):])}). Calculated output size "
                           f"per channel: ({_by(size)}). Output size is too small: {op} needs less padding, a larger "
                           f"input or a larger kernel")


def _by(sizes: Any) -> str:
    return " x ".join(map(str, sizes))
