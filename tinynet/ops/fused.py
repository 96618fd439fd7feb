"""A convolution together with the ReLU, and the 2 x 2 max pool, that follow it in most networks.

The result is that of the separate ops, which see all that lies between written to memory and read again.
"""
from __future__ import annotations

from typing import Any

from tinynet import kernels
from tinynet.autograd.variable import Variable
from tinynet.device import backend
from tinynet.kernels.windows import output_size
from tinynet.ops._primitive import primitive
from tinynet.ops.conv import Pair, conv2d_input_grad, conv2d_weight_grad
from tinynet.ops.discrete import where


@primitive
def conv2d_relu(xp: Any, input: Any, weight: Any, bias: Any = None, *, stride: Pair, padding: Pair, dilation: Pair,
                groups: int) -> Any:
    """max(0, conv2d(input, weight, bias))."""
    return kernels.run("conv2d_relu", xp, input, weight, bias, stride=stride, padding=padding, dilation=dilation,
                       groups=groups)


@primitive(outputs="out winner", hidden=1)
def conv2d_relu_pool(xp: Any, input: Any, weight: Any, bias: Any = None, *, stride: Pair, padding: Pair,
                     dilation: Pair, groups: int) -> Any:
    """The largest of each 2 x 2 block of max(0, conv2d(input, weight, bias)), and which of the four it was."""
    return kernels.run("conv2d_relu_pool", xp, input, weight, bias, stride=stride, padding=padding, dilation=dilation,
                       groups=groups)


@primitive
def unpool(xp: Any, g: Any, winner: Any, *, size: Pair) -> Any:
    """Images of `size` with each g at the pixel that won its block."""
    return kernels.run("unpool", xp, g, winner, size=size)


@primitive
def pool_winners(xp: Any, input: Any, winner: Any) -> Any:
    """The pixels that won their blocks."""
    return kernels.run("pool_winners", xp, input, winner)


def _relu_rule(g: Any, wanted: list[bool], input: Any, weight: Any, out: Any, stride: Pair, padding: Pair,
               dilation: Pair, groups: int) -> Any:
    if not isinstance(g, Variable):  # all three at once; what follows is for derivatives of derivatives
        return kernels.run("conv2d_relu_grad", backend(input), g, out, input, weight, wanted=tuple(wanted),
                           stride=stride, padding=padding, dilation=dilation, groups=groups)
    return _conv_grads(where(out <= 0, 0.0, g), wanted, input, weight, stride, padding, dilation, groups)


def _pool_rule(g: Any, wanted: list[bool], input: Any, weight: Any, winner: Any, stride: Pair, padding: Pair,
               dilation: Pair, groups: int) -> Any:
    if not isinstance(g[0], Variable):
        return kernels.run("conv2d_relu_pool_grad", backend(input), g[0], winner, input, weight, wanted=tuple(wanted),
                           stride=stride, padding=padding, dilation=dilation, groups=groups)
    h, w = (output_size(n, k, s, p, d) for n, k, s, p, d in
            zip(input.shape[2:], weight.shape[2:], stride, padding, dilation, strict=True))
    return _conv_grads(unpool(g[0], winner, size=(h, w)), wanted, input, weight, stride, padding, dilation, groups)


def _conv_grads(g: Any, wanted: list[bool], input: Any, weight: Any, *options: Any) -> list[Any]:
    return [conv2d_input_grad(g, weight, input.shape[2:], *options) if wanted[0] else None,
            conv2d_weight_grad(input, g, weight.shape[2:], *options) if wanted[1] else None,
            g.sum(axis=(0, 2, 3)) if wanted[2:] == [True] else None]


conv2d_relu.vjp_all(_relu_rule)
conv2d_relu_pool.vjp_all(_pool_rule)
unpool.vjp(g=lambda u, winner: pool_winners(u, winner))
pool_winners.vjp(input=lambda g, winner, input_shape: unpool(g, winner, size=input_shape[2:]))
