"""The linear layer, alone, together with the ReLU after it, and with the GELU and the linear layer after that."""
from __future__ import annotations

from typing import Any

from tinynet import kernels
from tinynet.autograd.variable import Variable, raw
from tinynet.device import backend
from tinynet.errors import check_tensor
from tinynet.ops._primitive import from_plain, primitive
from tinynet.ops.activation import gelu_
from tinynet.ops.discrete import where
from tinynet.ops.matmul import matmul, tall


# ---- the primitives
@primitive
def linear_(xp: Any, input: Any, weight: Any, bias: Any = None) -> Any:
    """out[..., o] = bias[o] + Σ_i input[..., i] weight[o, i]."""
    return _run(xp, input, weight, bias, relu=False)


@primitive
def linear_relu(xp: Any, input: Any, weight: Any, bias: Any = None) -> Any:
    """max(0, bias[o] + Σ_i input[..., i] weight[o, i])."""
    return _run(xp, input, weight, bias, relu=True)


@primitive(outputs="out hidden", hidden=1)
def feed_forward(xp: Any, input: Any, weight1: Any, bias1: Any, weight2: Any, bias2: Any) -> tuple[Any, Any]:
    """linear(gelu(hidden), weight2, bias2) for hidden = linear(input, weight1, bias1), and hidden."""
    out, hidden = kernels.run("feed_forward", xp, tall(input), weight1, bias1, weight2, bias2)
    return out.reshape((*input.shape[:-1], len(weight2))), hidden


@primitive
def linear_weight_grad(xp: Any, g: Any, input: Any) -> Any:
    """out[o, i] = Σ g[..., o] input[..., i], over all leading axes: gᵀ x. The gradient of the weight, when that of the
    output is g."""
    return kernels.run("matmul", xp, tall(g).T, tall(input))


def _run(xp: Any, input: Any, weight: Any, bias: Any, relu: bool) -> Any:
    out = kernels.run("linear", xp, tall(input), weight, bias, relu=relu)
    return out if input.ndim == 2 else out.reshape((*input.shape[:-1], len(weight)))


def _grads(g: Any, wanted: list[bool], input: Any, weight: Any) -> list[Any]:
    if not isinstance(g, Variable):
        return _grads_at_once(g, wanted, input, weight, None)
    return [matmul(g, weight) if wanted[0] else None, linear_weight_grad(g, input) if wanted[1] else None,
            tall(g).sum(axis=0) if wanted[2:] == [True] else None]


def _grads_before_relu(g: Any, wanted: list[bool], input: Any, weight: Any, out: Any) -> list[Any]:
    if not isinstance(g, Variable):
        return _grads_at_once(g, wanted, input, weight, tall(out))
    return _grads(where(out <= 0, 0.0, g), wanted, input, weight)


def _grads_at_once(g: Any, wanted: list[bool], input: Any, weight: Any, y: Any) -> list[Any]:
    """Those of raw arrays, by one kernel; y: after ReLU."""
    dx, dw, db = kernels.run("linear_grad", backend(g), tall(g), tall(input), weight, y, wanted=(*wanted, False)[:3])
    return [dx if dx is None or input.ndim == 2 else dx.reshape(input.shape), dw, db][:len(wanted)]


def _feed_forward_grads(g: Any, wanted: list[bool], input: Any, weight1: Any, bias1: Any, weight2: Any, bias2: Any,
                        hidden: Any) -> list[Any]:
    if not isinstance(g[0], Variable):
        dx, *rest = kernels.run("feed_forward_grad", backend(g[0]), tall(g[0]), tall(input), weight1, hidden, weight2)
        return [dx.reshape(input.shape), *rest]
    return list(from_plain(_layer_by_layer)(g[0], wanted, input, weight1, bias1, weight2, bias2))


def _layer_by_layer(input: Any, weight1: Any, bias1: Any, weight2: Any, bias2: Any) -> Any:
    return linear_(gelu_(linear_(input, weight1, bias1)), weight2, bias2)


linear_.vjp_all(_grads)
feed_forward.vjp_all(_feed_forward_grads)
linear_relu.vjp_all(_grads_before_relu)
linear_weight_grad.vjp(
    g=lambda u, input: linear_(input, u),
    input=lambda u, g: matmul(g, u))


# ---- what users call
def linear(input: Any, weight: Any, bias: Any = None) -> Any:
    """input weightᵀ + bias, for input (…, in), weight (out, in) or (in,), bias (out,) or ().

    RuntimeError if the sizes do not fit.

    >>> tn.nn.functional.linear(tn.tensor([1., 2.]), tn.tensor([[1., 0.], [0., 1.], [1., 1.]]))
    tensor([1., 2., 3.])
    """
    x, w, b = raw(input), raw(weight), raw(bias)
    check_linear(x, w, b)
    if w.ndim == 2 and (b is None or b.shape == w.shape[:1]):
        return linear_(input, weight) if b is None else linear_(input, weight, bias)
    out = matmul(input, weight.T)
    return out if bias is None else out + bias


def check_linear(x: Any, w: Any, b: Any) -> None:
    """RuntimeError unless the arrays of a linear layer, its input, weight and bias, fit one another."""
    check_tensor("linear", x)
    if w.ndim not in (1, 2) or not x.ndim:
        raise RuntimeError(f"linear: expected input (…, in) and weight (out, in), got {x.shape} and {w.shape}")
    n, out = w.shape[-1], w.shape[:-1]
    if x.shape[-1] == n and w.dtype == x.dtype and (
            b is None or (b.dtype == x.dtype and (not out or b.shape[-1:] in ((), (1,), out)))):
        return
    layer = f"linear {n}→{out[0] if out else 1}"
    if x.shape[-1] != n:
        raise RuntimeError(f"{layer}: expected (…, {n}), got {x.shape}. The last axis of the input must have "
                           f"in_features = {n} elements: flatten() or reshape() it, or change in_features to "
                           f"{x.shape[-1]}.")
    for what, a in (("weight", w), ("bias", b)):
        if a is not None and a.dtype != x.dtype:
            raise RuntimeError(f"{layer}: input and {what} must have the same dtype, but got {x.dtype} and {a.dtype}; "
                               f"convert one with .to(dtype)")
    raise RuntimeError(f"{layer}: expected a bias of shape ({out[0]},), got {b.shape}")
