"""The functions behind the layers (as `F`), named and called as torch.nn.functional's."""
from __future__ import annotations

import warnings
from typing import Any

from tinynet.errors import check_tensor
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
from tinynet.ops.adaptive import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
)
from tinynet.ops.attention import scaled_dot_product_attention
from tinynet.ops.conv import conv1d, conv2d, conv_transpose1d, conv_transpose2d
from tinynet.ops.dense import linear
from tinynet.ops.dropout import dropout, dropout2d
from tinynet.ops.elementwise import sigmoid, tanh
from tinynet.ops.folding import fold, unfold
from tinynet.ops.lookup import embedding, one_hot
from tinynet.ops.loss import cross_entropy, nll_loss
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
    mse_loss,
    normalize,
    pairwise_distance,
    smooth_l1_loss,
    triplet_margin_loss,
)
from tinynet.ops.multilinear import bilinear
from tinynet.ops.normalization import batch_norm, group_norm, instance_norm, layer_norm, rms_norm
from tinynet.ops.padding import pad
from tinynet.ops.pool import avg_pool1d, avg_pool2d, max_pool1d, max_pool2d
from tinynet.ops.resampling import interpolate, pixel_shuffle, pixel_unshuffle
from tinynet.tensor import Tensor

__all__ = ["adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_max_pool1d", "adaptive_max_pool2d", "avg_pool1d",
           "avg_pool2d", "batch_norm", "bilinear", "binary_cross_entropy", "binary_cross_entropy_with_logits", "conv1d",
           "conv2d", "conv_transpose1d", "conv_transpose2d", "cosine_embedding_loss", "cosine_similarity",
           "cross_entropy", "dropout", "dropout2d", "elu", "embedding", "fold", "gelu", "glu", "group_norm",
           "hardsigmoid", "hardswish", "hardtanh", "hinge_embedding_loss", "huber_loss", "instance_norm", "interpolate",
           "kl_div", "l1_loss", "layer_norm", "leaky_relu", "linear", "log_softmax", "logsigmoid",
           "margin_ranking_loss", "max_pool1d", "max_pool2d", "mish", "mse_loss", "nll_loss", "normalize", "one_hot",
           "pad", "pairwise_distance", "pixel_shuffle", "pixel_unshuffle", "prelu", "relu", "relu6", "rms_norm",
           "scaled_dot_product_attention", "selu", "sigmoid", "silu", "smooth_l1_loss", "softmax", "softmin",
           "softplus", "softsign", "tanh", "triplet_margin_loss", "unfold"]


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
    check_tensor(op, input)
    warnings.warn(f"Implicit dimension choice for {op} has been deprecated. Change the call to include "
                  f"dim=X as an argument.", stacklevel=stacklevel)
    return 0 if input.ndim in (0, 1, 3) else 1
