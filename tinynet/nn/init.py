"""Starting values, written into a tensor in place and not recorded. Each returns its tensor."""

from __future__ import annotations

import math
import warnings
from typing import Any

from tinynet.autograd.modes import no_grad
from tinynet.device import backend
from tinynet.ops.create import empty_like, eye, full_like
from tinynet.random import Generator
from tinynet.tensor import Tensor

__all__ = [
    "calculate_gain",
    "constant_",
    "eye_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "normal_",
    "ones_",
    "orthogonal_",
    "trunc_normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]

_GAINS = {"sigmoid": 1, "tanh": 5.0 / 3, "relu": math.sqrt(2.0), "selu": 3.0 / 4}
_LINEAR = ("linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d")


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """By how much to scale the standard deviation of weights before this nonlinearity (param: leaky_relu's
    slope, 0.01 unless given). ValueError for one it does not know.

    >>> tn.nn.init.calculate_gain("relu")
    1.4142135623730951
    """
    if nonlinearity in _LINEAR:
        return 1
    if nonlinearity == "leaky_relu":
        if isinstance(param, bool) or not isinstance(param, (int, float, type(None))):
            raise ValueError(f"negative_slope {param} not a valid number")
        return math.sqrt(2.0 / (1 + (0.01 if param is None else param) ** 2))
    if nonlinearity not in _GAINS:
        raise ValueError(f"Unsupported nonlinearity {nonlinearity}: there are {[*_LINEAR, *_GAINS, 'leaky_relu']}")
    return _GAINS[nonlinearity]


def _fans(tensor: Tensor) -> tuple[int, int]:
    """How many inputs an output sums, and how many outputs an input feeds, for weights (out, in, *window)."""
    if tensor.ndim < 2:
        raise ValueError(
            f"Fan in and fan out can not be computed for tensor with fewer than 2 dimensions, got shape {tensor.shape}"
        )
    out, into, *window = tensor.shape
    return into * math.prod(window), out * math.prod(window)


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None) -> Tensor:
    """U(a, b).

    >>> tn.nn.init.uniform_(tn.empty(100)).max().item() < 1.0
    True
    """
    with no_grad():
        tensor.uniform_(a, b, generator=generator)
    return tensor


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None) -> Tensor:
    """N(mean, std^2).

    >>> tn.nn.init.normal_(tn.empty(2, 3)).shape
    (2, 3)
    """
    with no_grad():
        tensor.normal_(mean, std, generator=generator)
    return tensor


def constant_(tensor: Tensor, val: float) -> Tensor:
    """val everywhere.

    >>> tn.nn.init.constant_(tn.empty(2), 0.3)
    tensor([0.3000, 0.3000])
    """
    with no_grad():
        tensor.fill_(val)
    return tensor


def zeros_(tensor: Tensor) -> Tensor:
    """0 everywhere.

    >>> tn.nn.init.zeros_(tn.ones(2))
    tensor([0., 0.])
    """
    return constant_(tensor, 0)


def ones_(tensor: Tensor) -> Tensor:
    """1 everywhere.

    >>> tn.nn.init.ones_(tn.zeros(2))
    tensor([1., 1.])
    """
    return constant_(tensor, 1)


def eye_(tensor: Tensor) -> Tensor:
    """The identity matrix. ValueError for a tensor that is not 2-D.

    >>> tn.nn.init.eye_(tn.empty(2, 2))
    tensor([[1., 0.],
            [0., 1.]])
    """
    if tensor.ndim != 2:
        raise ValueError(f"Only tensors with 2 dimensions are supported, got shape {tensor.shape}")
    with no_grad():
        tensor.copy_(eye(*tensor.shape, dtype=tensor.dtype, device=tensor.device))
    return tensor


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """U(-a, a), a = gain sqrt(6 / (fan_in + fan_out)) (Glorot & Bengio 2010).

    >>> tn.nn.init.xavier_uniform_(tn.empty(3, 3)).abs().max().item() <= 1.0
    True
    """
    a = gain * math.sqrt(6.0 / sum(_fans(tensor)))
    return uniform_(tensor, -a, a, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """N(0, s^2), s = gain sqrt(2 / (fan_in + fan_out)) (Glorot & Bengio 2010).

    >>> tn.nn.init.xavier_normal_(tn.empty(3, 5)).shape
    (3, 5)
    """
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / sum(_fans(tensor))), generator)


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    if mode.lower() not in ("fan_in", "fan_out"):
        raise ValueError(f"Mode {mode} not supported, please use one of ['fan_in', 'fan_out']")
    fan = _fans(tensor)[mode.lower() == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan)


def _nothing_to_do(tensor: Tensor) -> bool:
    if 0 in tensor.shape:
        warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=3)
    return 0 in tensor.shape


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """U(-b, b), b = gain sqrt(3 / fan), so that activations keep their variance (He et al. 2015).

    >>> tn.nn.init.kaiming_uniform_(tn.empty(4, 6), nonlinearity="relu").abs().max().item() <= 1.0
    True
    """
    if _nothing_to_do(tensor):
        return tensor
    bound = math.sqrt(3.0) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """N(0, s^2), s = gain / sqrt(fan) (He et al. 2015).

    >>> tn.nn.init.kaiming_normal_(tn.empty(4, 6), mode="fan_out").shape
    (4, 6)
    """
    if _nothing_to_do(tensor):
        return tensor
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity), generator)


def layer_default_(weight: Tensor, bias: Tensor | None) -> None:
    """PyTorch's start of linear and convolution layers: U(-k, k) for both, k = 1/sqrt(fan_in)."""
    kaiming_uniform_(weight, a=math.sqrt(5))
    if bias is not None:
        fan_in = _fans(weight)[0]
        k = 1 / math.sqrt(fan_in) if fan_in else 0
        uniform_(bias, -k, k)


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:
    """N(mean, std^2) given that it lies in [a, b]: drawn, and drawn again where it does not.

    >>> tn.nn.init.trunc_normal_(tn.empty(100), a=-1.0, b=1.0).abs().max().item() <= 1.0
    True
    """
    if mean < a - 2 * std or mean > b + 2 * std:
        warnings.warn(
            "mean is more than 2 std from [a, b] in nn.init.trunc_normal_. The distribution of values may be "
            "incorrect.",
            stacklevel=2,
        )
    likely = math.erf((b - mean) / std / math.sqrt(2)) - math.erf((a - mean) / std / math.sqrt(2)) > 0.6
    mode = max(a, min(mean, b))  # where in [a, b] the density is greatest
    wrong = full_like(tensor, True, dtype=bool)
    with no_grad():
        while wrong.any():
            if likely:
                draw = empty_like(tensor).normal_(mean, std, generator=generator)
                miss = (draw < a) | (draw > b)
            else:  # far in a tail few normal draws would do: take uniform ones, with the density as chance
                draw = empty_like(tensor).uniform_(a, b, generator=generator)
                density = (((mode - mean) ** 2 - (draw - mean) ** 2) / (2 * std**2)).exp()
                miss = empty_like(tensor).uniform_(generator=generator) > density
            tensor.copy_(draw.where(wrong, tensor))
            wrong = wrong & miss
    return tensor


def orthogonal_(tensor: Tensor, gain: float = 1, generator: Generator | None = None) -> Tensor:
    """gain Q, with the rows (or columns, if fewer) of Q orthonormal, uniformly distributed (Saxe et al.
    2013; the signs: Mezzadri 2006). Axes past the first are taken as one. ValueError for a tensor with fewer
    than 2.

    >>> q = tn.nn.init.orthogonal_(tn.empty(2, 3))
    >>> tn.allclose(q @ q.T, tn.eye(2), atol=1e-6)
    True
    """
    if tensor.ndim < 2:
        raise ValueError(f"Only tensors with 2 or more dimensions are supported, got shape {tensor.shape}")
    if 0 in tensor.shape:
        return tensor
    rows = tensor.shape[0]
    flat: Any = empty_like(tensor).normal_(generator=generator).reshape(rows, -1).array
    xp = backend(flat)
    q, r = xp.linalg.qr(flat.T if rows < flat.shape[1] else flat)
    q *= xp.sign(xp.diagonal(r))  # without this Q would lean to one side
    q = q.T if rows < flat.shape[1] else q
    with no_grad():
        tensor.copy_(Tensor((gain * q).reshape(tensor.shape)))
    return tensor
