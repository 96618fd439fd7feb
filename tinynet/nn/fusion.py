"""Which neighbours in a Sequential are computed as one op: a Linear or a Conv2d with the ReLU after it, and a Conv2d's
with the 2 x 2 max pool after that; a Linear, a GELU and a Linear, on the CPU. The numbers are the same, and what lies
between is never written to memory, or once.

Layers with hooks, and all layers under `tn.use_kernels("reference")`, are computed one by one; so are those whose input
does not fit, and they say why.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinynet import kernels
from tinynet.kernels.windows import output_size
from tinynet.nn.activation import GELU, ReLU
from tinynet.nn.conv import Conv2d
from tinynet.nn.linear import Linear
from tinynet.nn.module import Module
from tinynet.nn.pooling import MaxPool2d
from tinynet.ops.dense import feed_forward, linear_relu
from tinynet.ops.fused import conv2d_relu, conv2d_relu_pool
from tinynet.tensor import Tensor


def together(layers: Sequence[Module], first: int, input: Any) -> tuple[int, Callable[[Any], Any]]:
    """How many layers, from number `first` on, are computed as one for this input, and what computes them."""
    head: Any = layers[first]
    kind = type(head)
    if (kind is not Linear and kind is not Conv2d) or first + 1 == len(layers) or kernels.one_by_one():
        return 1, head
    if kind is Linear and type(layers[first + 1]) is GELU:
        return _feed_forward(layers, first, input)
    if not _next_is(layers, first + 1, ReLU):
        return 1, head
    weight, bias = head.weight, head.bias
    if not _unhooked(head) or not isinstance(input, Tensor) or input.array.dtype is not weight.array.dtype:
        return 1, head
    arguments = (weight,) if bias is None else (weight, bias)
    if kind is Linear:
        fits = input.array.ndim > 0 and input.array.shape[-1] == head.in_features
        return (2, lambda x: linear_relu(x, *arguments)) if fits else (1, head)
    if not _conv_fits(head, input):
        return 1, head
    pools = head.groups == 1 and _next_is(layers, first + 2, MaxPool2d) and _halves(layers[first + 2])
    op = conv2d_relu_pool if pools and min(_output_size(head, input)) > 1 else conv2d_relu
    options = {name: getattr(head, name) for name in ("stride", "padding", "dilation", "groups")}
    return 2 + (op is conv2d_relu_pool), lambda x: op(x, *arguments, **options)


def _feed_forward(layers: Sequence[Module], first: int, input: Any) -> tuple[int, Callable[[Any], Any]]:
    """A Linear, a GELU and a Linear, where there is a kernel for all three and these sizes."""
    head, gelu, *rest = layers[first:first + 3]
    if not rest or not _next_is(rest, 0, Linear) or not _unhooked(head) or not _unhooked(gelu):
        return 1, head
    last, x = rest[0], getattr(input, "array", None)
    parameters: Any = head.weight, head.bias, last.weight, last.bias
    if not isinstance(x, np.ndarray) or gelu.approximate != "none" or any(p is None for p in parameters):
        return 1, head
    if x.ndim < 2 or x.shape[-1] != head.in_features or head.out_features != last.in_features:
        return 1, head
    chosen = kernels.chosen("feed_forward", np, x.reshape((-1, x.shape[-1])), *(p.array for p in parameters))
    return (3, lambda x: feed_forward(x, *parameters)) if chosen != "reference" else (1, head)


def _next_is(layers: Sequence[Module], number: int, kind: type[Module]) -> bool:
    return number < len(layers) and type(layers[number]) is kind and _unhooked(layers[number])


def _unhooked(layer: Module) -> bool:
    """No hooks, and no forward of its own."""
    hooks = layer._forward_hooks or layer._forward_pre_hooks or layer._backward_hooks
    return not hooks and "forward" not in layer.__dict__


def _conv_fits(conv: Conv2d, input: Tensor) -> bool:
    fits = conv.padding_mode == "zeros" and not isinstance(conv.padding, str) and input.ndim == 4
    return fits and input.shape[1] == conv.in_channels and min(_output_size(conv, input)) > 0


def _output_size(conv: Conv2d, input: Tensor) -> list[int]:
    axes = zip(input.shape[2:], conv.kernel_size, conv.stride, conv.padding, conv.dilation, strict=True)
    return [output_size(*axis) for axis in axes]


def _halves(pool: Any) -> bool:
    """2 x 2 blocks, side by side."""
    sizes = {pool.kernel_size, pool.stride} <= {2, (2, 2)} and pool.padding in (0, (0, 0))
    return sizes and pool.dilation in (1, (1, 1)) and not pool.ceil_mode and not pool.return_indices
