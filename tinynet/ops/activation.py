"""Activation functions: what stands between the layers."""
from __future__ import annotations

import math
from typing import Any

from tinynet import kernels
from tinynet.autograd.variable import raw
from tinynet.dtypes import as_dtype, name
from tinynet.errors import check_dim, check_tensor
from tinynet.ops._primitive import primitive
from tinynet.ops.discrete import where
from tinynet.ops.elementwise import cast, clone, exp, expm1, sigmoid, tanh
from tinynet.ops.inplace import write
from tinynet.ops.joining import split_with_sizes
from tinynet.ops.piecewise import abs_, clamp_max


@primitive(elementwise=True)
def relu(xp: Any, input: Any) -> Any:
    """max(input, 0), elementwise; its slope at 0 is 0.

    >>> tn.relu(tn.tensor([-1., 2.]))
    tensor([0., 2.])
    """
    if input.dtype.kind == "b":
        raise RuntimeError("Boolean inputs not supported for relu")
    return kernels.run("relu", xp, input)


@primitive
def relu_grad(xp: Any, g: Any, y: Any) -> Any:
    """g where y is positive, else 0: the gradient before a ReLU whose result is y."""
    return kernels.run("relu_grad", xp, g, y)


@primitive
def softmax_(xp: Any, input: Any, *, dim: Any) -> Any:
    """exp(input) / Σ exp(input) along dim."""
    return kernels.run("softmax", xp, input, dim=dim)


@primitive
def log_softmax_(xp: Any, input: Any, *, dim: Any) -> Any:
    """input - log Σ exp(input) along dim."""
    return kernels.run("log_softmax", xp, input, dim=dim)


relu.vjp(input=lambda g, out: relu_grad(g, raw(out)))  # where it is positive does not depend on how large it is
relu_grad.vjp(g=lambda u, y: relu_grad(u, raw(y)))
softmax_.vjp(input=lambda g, out, dim: out * (g - (g * out).sum(axis=dim, keepdims=True)))
log_softmax_.vjp(input=lambda g, out, dim: g - exp(out) * g.sum(axis=dim, keepdims=True))


def softmax(input: Any, dim: int, dtype: Any = None) -> Any:
    """exp(input) / Σ exp(input) along dim: numbers between 0 and 1 that sum to 1. dtype: cast the input
    first.

    >>> tn.softmax(tn.tensor([1000., 1000.]), 0)
    tensor([0.5000, 0.5000])
    """
    return _along(softmax_, input, dim, dtype)


def log_softmax(input: Any, dim: int, dtype: Any = None) -> Any:
    """input - log Σ exp(input) along dim: the logarithm of softmax, exact where that is tiny. dtype: cast the
    input first.

    >>> tn.log_softmax(tn.tensor([0., -1000.]), 0)
    tensor([    0., -1000.])
    """
    return _along(log_softmax_, input, dim, dtype)


def _along(op: Any, input: Any, dim: int, dtype: Any) -> Any:
    check_tensor(op.name, input)
    if dtype is not None and as_dtype(dtype) != input.dtype:
        input = cast(input, dtype=as_dtype(dtype))
    check_float(op.name, input, "pass dtype=tn.float32")
    return op(input, dim=dim) if input.ndim else op(input.reshape((1,)), dim=dim).reshape(())


# ---- in the place of relu. A kink has the slope that PyTorch gives it
def leaky_relu(input: Any, negative_slope: float = 0.01, inplace: bool = False) -> Any:
    """input where it is positive, else negative_slope · input; in input's own memory if inplace. Maas, Hannun &
    Ng, 2013.

    >>> tn.nn.functional.leaky_relu(tn.tensor([-1., 2.]), 0.1)
    tensor([-0.1000,  2.0000])
    """
    check_float("leaky_relu", input)
    if inplace:
        return _overwrite(leaky_relu, input, negative_slope)
    return where(input > 0, input, input * negative_slope)


def prelu(input: Any, weight: Any) -> Any:
    """input where it is positive, else weight · input; weight (C,), for the channels of input (N, C, …), or one
    number. RuntimeError for other shapes and for different dtypes. He, Zhang, Ren & Sun, 2015.

    >>> tn.nn.functional.prelu(tn.tensor([[-1., -1., 2.]]), tn.tensor([0.1, 0.2, 0.3]))
    tensor([[-0.1000, -0.2000,  2.0000]])
    """
    check_tensor("prelu", input)
    check_tensor("prelu", weight, "weight")
    if input.dtype != weight.dtype:
        raise RuntimeError(f"prelu: Type promoting not supported. Got {name(input.dtype)} and {name(weight.dtype)}: "
                           f"convert one with .to(dtype)")
    channels = input.shape[1] if input.ndim > 1 else 1
    if weight.ndim > 1:
        raise RuntimeError(f"prelu: Expected `weight` to be a scalar or 1D tensor, but got: ndim = {weight.ndim}")
    if weight.shape not in ((), (1,), (channels,)):
        raise RuntimeError(f"Mismatch of parameter numbers and input channel size. Found parameter numbers = "
                           f"{weight.shape[0]} and channel size = {channels}.")
    slope = weight.reshape((1, -1, *[1] * (input.ndim - 2)) if input.ndim > 1 else (1,) * input.ndim)
    return where(input > 0, input, clamp_max(input, 0.0) * slope)


def elu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """input where it is positive, else alpha (exp(input) - 1); in input's own memory if inplace. Clevert,
    Unterthiner & Hochreiter, 2015.

    >>> tn.nn.functional.elu(tn.tensor([-1., 2.]))
    tensor([-0.6321,  2.0000])
    """
    check_float("elu", input)
    if inplace:
        return _overwrite(elu, input, alpha)
    return where(input > 0, input, expm1(clamp_max(input, 0.0)) * alpha)


def selu(input: Any, inplace: bool = False) -> Any:
    """1.0507 elu(input, 1.6733): with these constants mean 0 and variance 1 are a stable fixed point of a deep
    network. In input's own memory if inplace. Klambauer, Unterthiner, Mayr & Hochreiter, 2017.

    >>> tn.nn.functional.selu(tn.tensor([-1., 2.]))
    tensor([-1.1113,  2.1014])
    """
    check_float("selu", input)
    if inplace:
        return _overwrite(selu, input)
    return elu(input, 1.6732632423543772848170429916717) * 1.0507009873554804934193349852946


# ---- smooth ones
@primitive
def softplus_(xp: Any, input: Any, *, beta: float, threshold: float) -> Any:
    """log(1 + exp(beta input)) / beta, without overflow; input itself where beta input > threshold."""
    x = input * beta
    return xp.where(x > threshold, input, (xp.maximum(x, 0) + xp.log1p(xp.exp(-xp.abs(x)))) / beta)


softplus_.vjp(input=lambda g, input, beta, threshold:
              where(input * beta > threshold, g, g * sigmoid(input * beta)))


def softplus(input: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
    """log(1 + exp(beta · input)) / beta, a smooth relu; input itself where beta · input > threshold. Dugas et al.,
    2001.

    >>> tn.nn.functional.softplus(tn.tensor([0., 1000.]))
    tensor([6.9315e-01, 1.0000e+03])
    """
    check_float("softplus", input)
    return softplus_(input, beta=beta, threshold=threshold)


def logsigmoid(input: Any) -> Any:
    """log(1 / (1 + exp(-input))) = -log(1 + exp(-input)), exact where that is tiny or large.

    >>> tn.nn.functional.logsigmoid(tn.tensor([0., -1000.]))
    tensor([-6.9315e-01, -1.0000e+03])
    """
    check_float("logsigmoid", input)
    return -softplus_(-input, beta=1.0, threshold=math.inf)


@primitive
def gelu_(xp: Any, input: Any) -> Any:
    """input · Φ(input)."""
    return kernels.run("gelu", xp, input)


@primitive
def gelu_grad(xp: Any, g: Any, input: Any) -> Any:
    """g (Φ(input) + input φ(input)), φ(x) = e^(-x²/2) / √(2π) being the slope of Φ."""
    return kernels.run("gelu_grad", xp, g, input)


gelu_.vjp(input=lambda g, input: gelu_grad(g, input))
gelu_grad.vjp(
    g=lambda u, input: gelu_grad(u, input),
    input=lambda u, g, input: u * g * (exp(input * input * -0.5) * (2 - input * input) * (1 / math.sqrt(2 * math.pi))))


def gelu(input: Any, *, approximate: str = "none") -> Any:
    """input · Φ(input), Φ(x) = (1 + erf(x / √2)) / 2 being the chance that a normal number is smaller; with
    approximate='tanh' Φ(x) ≈ (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2. Hendrycks & Gimpel, 2016.

    >>> tn.nn.functional.gelu(tn.tensor([-1., 2.]))
    tensor([-0.1587,  1.9545])
    """
    check_float("gelu", input)
    if approximate == "none":
        return gelu_(input)
    if approximate != "tanh":
        raise RuntimeError(f"approximate argument must be either none or tanh, got {approximate!r}")
    return input * (tanh((input + input * input * input * 0.044715) * math.sqrt(2 / math.pi)) + 1) * 0.5


def silu(input: Any, inplace: bool = False) -> Any:
    """input · sigmoid(input), in input's own memory if inplace. Elfwing, Uchibe & Doya, 2017.

    >>> tn.nn.functional.silu(tn.tensor([-1., 2.]))
    tensor([-0.2689,  1.7616])
    """
    check_float("silu", input)
    return _overwrite(silu, input) if inplace else input * sigmoid(input)


def mish(input: Any, inplace: bool = False) -> Any:
    """input · tanh(softplus(input)), in input's own memory if inplace. Misra, 2019.

    >>> tn.nn.functional.mish(tn.tensor([-1., 2.]))
    tensor([-0.3034,  1.9440])
    """
    check_float("mish", input)
    return _overwrite(mish, input) if inplace else input * tanh(softplus(input))


def softsign(input: Any) -> Any:
    """input / (1 + |input|).

    >>> tn.nn.functional.softsign(tn.tensor([-1., 3.]))
    tensor([-0.5000,  0.7500])
    """
    check_tensor("softsign", input)
    return input / (abs_(input) + 1)


def glu(input: Any, dim: int = -1) -> Any:
    """a · sigmoid(b), for a and b the two halves of input along dim. RuntimeError if dim has an odd size. Dauphin,
    Fan, Auli & Grangier, 2016.

    >>> tn.nn.functional.glu(tn.tensor([1., 2., 0., 1000.]))
    tensor([0.5000, 2.0000])
    """
    check_float("glu", input)
    if not input.ndim:
        raise RuntimeError("glu does not support scalars because halving size must be even")
    dim = check_dim(dim, input.ndim)
    if input.shape[dim] % 2:
        raise RuntimeError(f"Halving dimension must be even, but dimension {dim} is size {input.shape[dim]}")
    a, b = split_with_sizes(input, split_sizes=[input.shape[dim] // 2] * 2, dim=dim)
    return a * sigmoid(b)


# ---- in straight pieces; the slope at both ends is 0
def hardtanh(input: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Any:
    """input held between min_val and max_val, in its own memory if inplace. ValueError if min_val > max_val.

    >>> tn.nn.functional.hardtanh(tn.tensor([-2., 0.5, 2.]))
    tensor([-1.0000,  0.5000,  1.0000])
    """
    check_tensor("hardtanh", input)
    if min_val > max_val:
        raise ValueError(f"min_val cannot be greater than max_val, got {min_val} and {max_val}")
    if inplace:
        return _overwrite(hardtanh, input, min_val, max_val)
    if input.dtype.kind != "f":  # whole numbers stay whole
        min_val, max_val = int(min_val), int(max_val)
    return where(input <= min_val, min_val, where(input >= max_val, max_val, input))


def relu6(input: Any, inplace: bool = False) -> Any:
    """min(max(input, 0), 6), in input's own memory if inplace. Krizhevsky, 2010.

    >>> tn.nn.functional.relu6(tn.tensor([-1., 2., 7.]))
    tensor([0., 2., 6.])
    """
    return hardtanh(input, 0.0, 6.0, inplace)


def hardsigmoid(input: Any, inplace: bool = False) -> Any:
    """relu6(input + 3) / 6, in input's own memory if inplace. Howard et al., 2019.

    >>> tn.nn.functional.hardsigmoid(tn.tensor([-4., 0., 4.]))
    tensor([0.0000, 0.5000, 1.0000])
    """
    check_float("hardsigmoid", input)
    return _overwrite(hardsigmoid, input) if inplace else relu6(input + 3) / 6


def hardswish(input: Any, inplace: bool = False) -> Any:
    """input · relu6(input + 3) / 6, in input's own memory if inplace. Howard et al., 2019.

    >>> tn.nn.functional.hardswish(tn.tensor([-4., 1., 4.]))
    tensor([-0.0000, 0.6667, 4.0000])
    """
    check_float("hardswish", input)
    return _overwrite(hardswish, input) if inplace else input * hardsigmoid(input)


def _overwrite(f: Any, input: Any, *args: Any) -> Any:
    """f of input, written into it. It is computed from a copy, so that nothing saved for backward is overwritten."""
    return write(input, f(clone(input), *args), own=True)


# ---- checks
def check_float(op: str, input: Any, remedy: str = "use input.float()") -> None:
    """TypeError for what is no tensor, NotImplementedError for one without floats."""
    check_tensor(op, input)
    if input.dtype.kind != "f":
        raise NotImplementedError(f"{op} is not implemented for {name(input.dtype)}: {remedy}")
