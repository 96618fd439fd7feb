"""Normalization: shifted and scaled to mean 0 and variance 1 over some dims, then scaled and shifted as learnt.

Batch, layer, group and instance norm are one op, `standardize`; they differ in the dims that they reduce.
"""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinynet import kernels
from tinynet.autograd.fit import unbroadcast, zeros
from tinynet.autograd.variable import Variable, raw
from tinynet.device import backend
from tinynet.dtypes import float16, float32, name
from tinynet.ops._dims import WIDE, Dims, Shape, count, total
from tinynet.ops._primitive import primitive, shape_of
from tinynet.ops.activation import check_float
from tinynet.ops.elementwise import cast, rsqrt
from tinynet.ops.inplace import overwrite


# ---- the two ops. Their moments are outputs too, so that a derivative can be differentiated through them.
@primitive(outputs="out mean var", hidden=2, told=True, casts=True)
def standardize(xp: Any, input: Any, weight: Any, bias: Any, *, dim: Any, eps: float) -> Any:
    """(input - mean) / √(var + eps) · weight + bias, the mean and the variance of input over dim, and these two."""
    x = input.astype(WIDE.get(input.dtype, input.dtype), copy=False)
    if dim[:1] == (0,):
        weight, bias = _facing(weight, x.ndim, dim), _facing(bias, x.ndim, dim)
    out, mean, var = kernels.run("standardize", xp, x, weight, bias, dim=dim, eps=eps)
    return out.astype(input.dtype, copy=False), mean, var


@primitive(outputs="out mean_square", hidden=1, casts=True)
def rms_norm_(xp: Any, input: Any, weight: Any, *, dim: Dims, eps: float) -> Any:
    """input / √(mean_square + eps) · weight, with the mean of input² over dim, and that mean."""
    x, n = input.astype(WIDE.get(input.dtype, input.dtype), copy=False), count(input.shape, dim) or math.nan
    mean_square = total(xp, x * x, dim, True) / n
    out = x * (1 / xp.sqrt(mean_square + eps))
    if weight is not None:
        out *= weight
    return out.astype(input.dtype, copy=False), mean_square


def _beside(shape: Shape, ndim: int, dim: Any) -> Shape:
    """The shape in which a weight or a bias meets the input: batch norm's, (channels,), becomes (channels, 1, …)."""
    return (*shape, *[1] * (ndim - 2)) if dim[:1] == (0,) and len(shape) == 1 and len(dim) == ndim - 1 else shape


def _facing(p: Any, ndim: int, dim: Any) -> Any:
    """A weight or a bias in that shape."""
    return p if p is None else p.reshape(_beside(p.shape, ndim, dim))


def _standardize_rule(g: Any, wanted: list[bool], input: Any, weight: Any, bias_shape: Shape, mean: Any, var: Any,
                      dim: Dims, eps: float) -> list[Any]:
    """x enters its own mean and variance: what they take from g is a multiple of x - mean, and a constant."""
    of_out, of_mean, of_var = g
    if of_mean is None or of_var is None:
        nothing = zeros(mean.shape, mean.dtype, of_out)
        of_mean, of_var = (nothing if a is None else a for a in (of_mean, of_var))
    w: Any = _facing(weight, input.ndim, dim)
    b_shape = _beside(bias_shape, input.ndim, dim)
    if not isinstance(of_out, Variable):  # one pass for all three; what follows is for derivatives of derivatives
        dx, dw, db = kernels.run("standardize_grad", backend(input), of_out, of_mean, of_var, input, w, mean, var,
                                 b_shape=b_shape if wanted[2] else None, dim=dim, eps=eps)
        shapes = shape_of(weight), bias_shape
        return [dx, *(a if a is None or a.shape == s else a.reshape(s) for a, s in zip((dw, db), shapes, strict=True))]
    n, rstd, centred = count(input.shape, dim) or math.nan, rsqrt(var + eps), input - mean
    dx = dw = db = None
    if wanted[0]:
        direct = (of_out if w is None else of_out * w) * rstd
        slope = (of_var * 2 - rstd * rstd * (direct * centred).sum(axis=dim, keepdims=True)) / n
        dx = direct + centred * slope + (of_mean - direct.sum(axis=dim, keepdims=True)) / n
    if wanted[1]:
        dw = unbroadcast(of_out * (centred * rstd), w.shape).reshape(weight.shape)
    if wanted[2]:
        db = unbroadcast(of_out, b_shape).reshape(bias_shape)
    return [dx, dw, db]


def _rms_rule(g: Any, wanted: list[bool], input: Any, weight: Any, mean_square: Any, dim: Dims,
              eps: float) -> list[Any]:
    of_out, of_mean_square = g
    n, rms = count(input.shape, dim) or math.nan, rsqrt(mean_square + eps)
    dx = dw = None
    if wanted[0]:
        direct = (of_out if weight is None else of_out * weight) * rms
        slope = rms * rms * (direct * input).sum(axis=dim, keepdims=True)
        if of_mean_square is not None:
            slope = slope - of_mean_square * 2
        dx = direct - input * (slope / n)
    if wanted[1]:
        dw = unbroadcast(of_out * (input * rms), weight.shape)
    return [dx, dw]


standardize.vjp_all(_standardize_rule)
rms_norm_.vjp_all(_rms_rule)


# ---- what users call
def batch_norm(input: Any, running_mean: Any, running_var: Any, weight: Any = None, bias: Any = None,
               training: bool = False, momentum: float = 0.1, eps: float = 1e-5) -> Any:
    """(input - mean) / √(var + eps) · weight + bias for each channel of input (N, C, …).

    In training with the moments of the batch, of which the running ones (C,), if given, move a share `momentum`
    towards (to the unbiased variance); otherwise with the running ones. ValueError for one value per channel in
    training, RuntimeError for shapes and dtypes that do not fit. Ioffe & Szegedy, 2015.

    >>> tn.nn.functional.batch_norm(tn.tensor([[1.], [3.]]), None, None, training=True)
    tensor([[-1.0000],
            [ 1.0000]])
    """
    check_float("batch_norm", input)
    if input.ndim < 2:
        raise RuntimeError(f"batch_norm: expected an input (N, C, …), got {input.shape}")
    channels, n = input.shape[1], input.numel() // max(input.shape[1], 1)
    if training and n == 1:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {input.shape}: its "
                         f"variance would be 0; use a larger batch, or eval()")
    if eps < 0 or (training and eps == 0):
        raise ValueError(f"batch_norm eps must be {'positive during training' if training else 'non-negative'}, but "
                         f"got {eps}")
    if training:
        _check_running(running_mean, running_var)
    _check_channels("batch_norm", input, channels, running_mean=running_mean, running_var=running_var, weight=weight,
                    bias=bias)
    if training:
        out, mean, var = standardize(input, weight, bias, dim=(0, *range(2, input.ndim)), eps=eps)
        _move(running_mean, running_var, mean, var, n, momentum)
        return out
    if running_mean is None or running_var is None:
        missing = "running_mean" if running_mean is None else "running_var"
        raise RuntimeError(f"{missing} must be defined in evaluation mode: pass the running statistics, or "
                           f"training=True")
    scale = rsqrt(running_var + eps)
    out = (input - _at(running_mean, input)) * _at(scale if weight is None else scale * weight, input)
    out = out if bias is None else out + _at(bias, input)
    return out if out.dtype == input.dtype else cast(out, dtype=input.dtype)


def instance_norm(input: Any, running_mean: Any = None, running_var: Any = None, weight: Any = None, bias: Any = None,
                  use_input_stats: bool = True, momentum: float = 0.1, eps: float = 1e-5) -> Any:
    """(input - mean) / √(var + eps) · weight + bias for each channel of each sample of input (N, C, …).

    The running moments (C,), if given, move a share `momentum` towards the means over the samples; they are used
    if not use_input_stats. ValueError for one value per channel, RuntimeError for shapes and dtypes that do not
    fit. Ulyanov, Vedaldi & Lempitsky, 2016.

    >>> tn.nn.functional.instance_norm(tn.tensor([[[1., 3.], [0., 200.]]]))
    tensor([[[-1.0000,  1.0000],
             [-1.0000,  1.0000]]])
    """
    check_float("instance_norm", input)
    n = int(np.prod(input.shape[2:]))
    if use_input_stats and n == 1:
        raise ValueError(f"Expected more than 1 spatial element when training, got input size {input.shape}")
    _check_running(running_mean, running_var)
    if not use_input_stats:
        if running_mean is None:
            raise RuntimeError("Expected running_mean and running_var to be defined when use_input_stats is false")
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    _check_channels("instance_norm", input, input.shape[1], running_mean=running_mean, running_var=running_var,
                    weight=weight, bias=bias)
    out, mean, var = standardize(input, _at(weight, input), _at(bias, input), dim=tuple(range(2, input.ndim)), eps=eps)
    _move(running_mean, running_var, mean, var, n, momentum)
    return out


def group_norm(input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    """(input - mean) / √(var + eps) · weight + bias, with the moments of each of num_groups groups of channels of
    each sample of input (N, C, …); weight and bias (C,).

    RuntimeError for shapes and dtypes that do not fit, ValueError for one value per group in one sample. Wu & He,
    2018.

    >>> tn.nn.functional.group_norm(tn.tensor([[1., 3., 0., 200.]]), 2)
    tensor([[-1.0000,  1.0000, -1.0000,  1.0000]])
    """
    check_float("group_norm", input)
    if input.ndim < 2:
        raise RuntimeError(f"Expected at least 2 dimensions for input tensor but received {input.ndim}")
    samples, channels, *rest = input.shape
    if num_groups <= 0 or channels % num_groups:
        raise RuntimeError(f"Expected number of channels in input to be divisible by num_groups, but got input of "
                           f"shape {list(input.shape)} and num_groups={num_groups}")
    if samples * channels // num_groups * math.prod(rest) == 1:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {list(input.shape)}")
    _check_channels("group_norm", input, channels, weight=weight, bias=bias)
    apart = (num_groups, channels // num_groups)
    w, b = (t if t is None else t.reshape((1, *apart, *[1] * len(rest))) for t in (weight, bias))
    grouped = input.reshape((samples, *apart, *rest))
    return standardize(grouped, w, b, dim=tuple(range(2, grouped.ndim)), eps=eps)[0].reshape(input.shape)


def layer_norm(input: Any, normalized_shape: Sequence[int], weight: Any = None, bias: Any = None,
               eps: float = 1e-5) -> Any:
    """(input - mean) / √(var + eps) · weight + bias, with the moments over the last axes, whose sizes, and those of
    weight and bias, are normalized_shape.

    RuntimeError for shapes and dtypes that do not fit. Ba, Kiros & Hinton, 2016.

    >>> tn.nn.functional.layer_norm(tn.tensor([[1., 3.], [0., 200.]]), (2,))
    tensor([[-1.0000,  1.0000],
            [-1.0000,  1.0000]])
    """
    dim = _last_axes("layer_norm", input, normalized_shape, weight=weight, bias=bias)
    return standardize(input, weight, bias, dim=dim, eps=eps)[0]


def rms_norm(input: Any, normalized_shape: Sequence[int], weight: Any = None, eps: float | None = None) -> Any:
    """input / √(mean(input²) + eps) · weight, with the mean over the last axes, whose sizes, and those of weight, are
    normalized_shape. eps: the dtype's distance from 1 to the next number unless given.

    RuntimeError for shapes and dtypes that do not fit. Zhang & Sennrich, 2019.

    >>> tn.nn.functional.rms_norm(tn.tensor([[3., 4.]]), (2,))
    tensor([[0.8485, 1.1314]])
    """
    dim = _last_axes("rms_norm", input, normalized_shape, weight=weight)
    return rms_norm_(input, weight, dim=dim, eps=float(np.finfo(input.dtype).eps) if eps is None else eps)


def _at(t: Any, input: Any) -> Any:
    """A number for each channel, ready to meet the input: (C,) -> (1, C, 1, …)."""
    return t if t is None else t.reshape((1, -1, *[1] * (input.ndim - 2)))


def _move(running_mean: Any, running_var: Any, mean: Any, var: Any, n: int, momentum: float) -> None:
    """The running moments a share of the way to those seen (of which there is one for each sample, or one)."""
    if running_mean is None or not n:
        return
    for running, seen, share in ((running_mean, mean, momentum), (running_var, var, momentum * n / (n - 1))):
        shape = running.array.shape
        each = seen.reshape(shape) if seen.size == running.array.size else seen.reshape(-1, *shape).mean(0)
        overwrite(running, running.array * (1 - momentum) + each * share)


# ---- checks
def _check_dtype(op: str, what: str, t: Any, input: Any) -> None:
    if t.dtype not in (input.dtype, float32 if input.dtype == float16 else input.dtype):
        raise RuntimeError(f"{op}: mixed dtype: expected {what} of {name(input.dtype)}, as the input, but got "
                           f"{name(t.dtype)}; convert one with .to(dtype)")


def _check_running(running_mean: Any, running_var: Any) -> None:
    if (running_mean is None) != (running_var is None):
        missing = "running_mean" if running_mean is None else "running_var"
        raise ValueError("running_mean and running_var must either both be None or neither be None, but only "
                         f"{missing} is")


def _check_channels(op: str, input: Any, channels: int, **tensors: Any) -> None:
    wanted, dtype = (channels,), input.dtype
    for what, t in tensors.items():
        if t is None or (t.shape == wanted and t.dtype is dtype):
            continue
        if t.shape != wanted:
            raise RuntimeError(f"{op}: {what} should contain {channels} elements not {raw(t).size}: the input "
                               f"{input.shape} has {channels} channels, {what} the shape {t.shape}")
        _check_dtype(op, what, t, input)


def _last_axes(op: str, input: Any, normalized_shape: Sequence[int], **tensors: Any) -> tuple[int, ...]:
    """The axes of which normalized_shape gives the sizes."""
    check_float(op, input)
    shape = tuple(normalized_shape)
    if not shape:
        raise RuntimeError(f"{op}: Expected normalized_shape to be at least 1-dimensional, i.e., containing at least "
                           f"one element, but got normalized_shape = []")
    for what, t in tensors.items():
        if t is None:
            continue
        if t.shape != shape:
            raise RuntimeError(f"{op}: Expected {what} to be of same shape as normalized_shape, but got {what} of "
                               f"shape {list(t.shape)} and normalized_shape = {list(shape)}")
        _check_dtype(op, what, t, input)
    if input.shape[-len(shape):] != shape:
        raise RuntimeError(f"{op}: Given normalized_shape={list(shape)}, expected input with shape "
                           f"[*, {', '.join(map(str, shape))}], but got input of size {list(input.shape)}")
    return tuple(range(input.ndim - len(shape), input.ndim))
