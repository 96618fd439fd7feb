"""Convolution: three primitives, each the derivative of the others, to every order."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tinynet import kernels
from tinynet.autograd.variable import Variable
from tinynet.dtypes import name
from tinynet.ops._primitive import primitive

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
    input=lambda g, weight, input_shape, stride, padding, dilation, groups:
        conv2d_input_grad(g, weight, input_shape[2:], stride, padding, dilation, groups),
    weight=lambda g, input, weight_shape, stride, padding, dilation, groups:
        conv2d_weight_grad(input, g, weight_shape[2:], stride, padding, dilation, groups),
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


def _convolve(op: str, axes: int, input: Any, weight: Any, bias: Any, stride: Any, padding: Any,
              dilation: Any, groups: int) -> Any:
    _check_tensors(op, axes, input, weight, bias)
    stride, dilation = numbers(op, "stride", stride, axes), numbers(op, "dilation", dilation, axes)
    for what, values in (("stride", stride), ("dilation", dilation), ("groups", (groups,))):
        if min(values) <= 0:
            raise RuntimeError(f"non-positive {what} is not supported: {op} got {what}={_short(values)}")
    if isinstance(padding, str):
        padding, odd = _named_padding(padding, weight.shape[2:], stride, dilation)
    else:
        padding, odd = numbers(op, "padding", padding, axes), (0,) * axes
    if min(padding) < 0:
        raise RuntimeError(f"negative padding is not supported: {op} got padding={_short(padding)}")
    _check_fit(op, input, weight, bias, padding, dilation, groups)

    batched = input.ndim == axes + 2
    x = input if batched else input.reshape((1, *input.shape))
    if axes == 1:  # images of one row
        x, weight = (t.reshape((*t.shape[:2], 1, t.shape[2])) for t in (x, weight))
        stride, padding, dilation = (1, *stride), (0, *padding), (1, *dilation)
    out = conv2d_(x, weight, bias, stride=stride, padding=padding, dilation=dilation, groups=groups)
    if axes == 1:
        out = out.reshape((*out.shape[:2], out.shape[3]))
    if any(odd):
        out = out[(..., *(slice(k, None) for k in odd))]
    return out if batched else out.reshape(out.shape[1:])


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


# ---- checks
def numbers(op: str, what: str, value: Any, axes: int = 2) -> tuple[int, ...]:
    """An option of `op` as one number for each axis; it may be given as a single one."""
    values = tuple(value) if isinstance(value, Iterable) else (value,)
    for v in values:
        if isinstance(v, bool) or not hasattr(v, "__index__"):
            raise TypeError(f"{op}(): argument '{what}' must be an int or {axes} ints, but found {v!r} of "
                            f"type {type(v).__name__}")
    if len(values) not in (1, axes):
        raise RuntimeError(f"expected {what} to be a single integer value or a list of {axes} values to "
                           f"match the {op} dimensions, but got {what}={list(values)}")
    return tuple(int(v) for v in values) * (axes // len(values))


def _short(values: Any) -> Any:
    return values[0] if len(set(values)) == 1 else values


def _check_tensors(op: str, axes: int, input: Any, weight: Any, bias: Any) -> None:
    for what, t in (("input", input), ("weight", weight), ("bias", bias)):
        if not isinstance(t, Variable) and (t is not None or what != "bias"):
            raise TypeError(f"{op}(): argument '{what}' must be Tensor, not {type(t).__name__}")
    if input.ndim not in (axes + 1, axes + 2):
        raise RuntimeError(f"Expected {axes + 1}D (unbatched) or {axes + 2}D (batched) input to {op}, but "
                           f"got input of size: {list(input.shape)}")
    if weight.ndim != axes + 2 or 0 in weight.shape[2:]:
        raise RuntimeError(f"{op}: expected a weight of size (out_channels, in_channels / groups, "
                           f"{'kernel' if axes == 1 else 'rows, columns'}), got {list(weight.shape)}")
    for what, t in (("weight", weight), ("bias", bias)):
        if t is not None and t.dtype != input.dtype:
            raise RuntimeError(f"Input type ({name(input.dtype)}) and {what} type ({name(t.dtype)}) should "
                               f"be the same: convert one with .to(dtype)")


def _check_fit(op: str, input: Any, weight: Any, bias: Any, padding: Any, dilation: Any, groups: int) -> None:
    o, axes, size = weight.shape[0], len(padding), list(weight.shape)
    if not o or o % groups:
        raise RuntimeError(f"Given groups={groups}, expected weight to be at least 1 and divisible by "
                           f"{groups} at dimension 0, but got weight of size {size} instead")
    channels, wanted = input.shape[-axes - 1], weight.shape[1] * groups
    if channels != wanted:
        raise RuntimeError(f"Given groups={groups}, weight of size {size}, expected "
                           f"input{list(input.shape)} to have {wanted} channels, but got {channels} "
                           f"channels instead")
    if bias is not None and bias.shape != (o,):
        raise RuntimeError(f"Given weight of size {size}, expected bias to be 1-dimensional with {o} "
                           f"elements, but got bias of size {list(bias.shape)} instead")
    room = [n + 2 * p for n, p in zip(input.shape[-axes:], padding, strict=True)]
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, weight.shape[2:], strict=True)]
    if any(r > n for r, n in zip(reach, room, strict=True)):
        there, needed = (" x ".join(map(str, sizes)) for sizes in (room, reach))
        raise RuntimeError(f"Calculated padded input size per channel: ({there}). Kernel size: ({needed}). "
                           f"Kernel size can't be greater than actual input size: pad more, or use a "
                           f"smaller kernel")
