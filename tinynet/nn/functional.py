"""The functions behind the layers (as `F`), named and called as torch.nn.functional's."""
from __future__ import annotations

import warnings
from typing import Any

from tinynet.ops import activation
from tinynet.ops.activation import (
    elu,
    gelu,
    glu,
    hardsigmoid,
    hardswish,
    hardtanh,
    leaky_relu,
    logsigmoid,
    mish,
    prelu,
    relu6,
    selu,
    silu,
    softplus,
    softsign,
)
from tinynet.ops.conv import conv1d, conv2d
from tinynet.ops.dropout import dropout, dropout2d
from tinynet.ops.elementwise import sigmoid, tanh
from tinynet.ops.loss import cross_entropy, mse_loss, nll_loss
from tinynet.ops.losses import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cosine_embedding_loss,
    cosine_similarity,
    hinge_embedding_loss,
    huber_loss,
    kl_div,
    l1_loss,
    margin_ranking_loss,
    normalize,
    pairwise_distance,
    smooth_l1_loss,
    triplet_margin_loss,
)
from tinynet.ops.matmul import matmul
from tinynet.ops.normalization import batch_norm, group_norm, instance_norm, layer_norm, rms_norm
from tinynet.ops.pool import avg_pool2d, max_pool2d
from tinynet.tensor import Tensor

__all__ = ["avg_pool2d", "batch_norm", "binary_cross_entropy", "binary_cross_entropy_with_logits", "conv1d",
           "conv2d", "cosine_embedding_loss", "cosine_similarity", "cross_entropy", "dropout", "dropout2d",
           "elu", "gelu", "glu", "group_norm", "hardsigmoid", "hardswish", "hardtanh",
           "hinge_embedding_loss", "huber_loss", "instance_norm", "kl_div", "l1_loss", "layer_norm",
           "leaky_relu", "linear", "log_softmax", "logsigmoid", "margin_ranking_loss", "max_pool2d", "mish",
           "mse_loss", "nll_loss", "normalize", "pairwise_distance", "prelu", "relu", "relu6", "rms_norm",
           "selu", "sigmoid", "silu", "smooth_l1_loss", "softmax", "softmin", "softplus", "softsign",
           "tanh", "triplet_margin_loss"]


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """input weightᵀ + bias, for input (…, in), weight (out, in) or (in,), bias (out,) or ().

    RuntimeError if the sizes do not fit.

    >>> tn.nn.functional.linear(tn.tensor([1., 2.]), tn.tensor([[1., 0.], [0., 1.], [1., 1.]]))
    tensor([1., 2., 3.])
    """
    _check_linear(input, weight, bias)
    x = input.reshape((-1, input.shape[-1])) if input.ndim > 2 else input  # one matrix product, however deep
    out = matmul(x, weight.T)
    if input.ndim > 2:
        out = out.reshape((*input.shape[:-1], *weight.shape[:-1]))
    return out if bias is None else out + bias


def _check_linear(input: Tensor, weight: Tensor, bias: Tensor | None) -> None:
    if weight.ndim not in (1, 2) or not input.ndim:
        raise RuntimeError(f"linear: expected input (…, in) and weight (out, in), got {input.shape} "
                           f"and {weight.shape}")
    n, out = weight.shape[-1], weight.shape[:-1]
    layer = f"linear {n}→{out[0] if out else 1}"
    if input.shape[-1] != n:
        raise RuntimeError(f"{layer}: expected (…, {n}), got {input.shape}. The last axis of the "
                           f"input must have in_features = {n} elements: flatten() or reshape() it, or "
                           f"change in_features to {input.shape[-1]}.")
    for what, t in (("weight", weight), ("bias", bias)):
        if t is not None and t.dtype != input.dtype:
            raise RuntimeError(f"{layer}: input and {what} must have the same dtype, but got {input.dtype} "
                               f"and {t.dtype}; convert one with .to(dtype)")
    if bias is not None and out and bias.shape[-1:] not in ((), (1,), out):
        raise RuntimeError(f"{layer}: expected a bias of shape ({out[0]},), got {bias.shape}")


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(input, 0), elementwise; in input's own memory if inplace.

    >>> tn.nn.functional.relu(tn.tensor([-1., 2.]))
    tensor([0., 2.])
    """
    return input.relu_() if inplace else activation.relu(input)


def softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """exp(input) / Σ exp(input) along dim: numbers between 0 and 1 that sum to 1. dtype: cast the input
    first.

    >>> tn.nn.functional.softmax(tn.tensor([[0., 0.]]), dim=1)
    tensor([[0.5000, 0.5000]])
    """
    return activation.softmax(input, _dim("softmax", input, dim, _stacklevel), dtype)


def softmin(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """The softmax of -input along dim. dtype: cast the input first.

    >>> tn.nn.functional.softmin(tn.tensor([[0., 1000.]]), dim=1)
    tensor([[1., 0.]])
    """
    return activation.softmax(-input, _dim("softmin", input, dim, _stacklevel), dtype)


def log_softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """input - log Σ exp(input) along dim: the logarithm of softmax, exact where that is tiny. dtype: cast the
    input first.

    >>> tn.nn.functional.log_softmax(tn.tensor([[0., -1000.]]), dim=1)
    tensor([[    0., -1000.]])
    """
    return activation.log_softmax(input, _dim("log_softmax", input, dim, _stacklevel), dtype)


def _dim(op: str, input: Tensor, dim: int | None, stacklevel: int) -> int:
    """PyTorch's choice where dim is left out: it warns, since the choice is often not what was meant."""
    if dim is not None:
        return dim
    warnings.warn(f"Implicit dimension choice for {op} has been deprecated. Change the call to include "
                  f"dim=X as an argument.", stacklevel=stacklevel)
    return 0 if input.ndim in (0, 1, 3) else 1
