"""Normalization layers: activations brought to mean 0 and variance 1, then scaled and shifted as learnt."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

from tinynet.autograd.modes import no_grad
from tinynet.dtypes import int64
from tinynet.nn import functional as F
from tinynet.nn import init
from tinynet.nn.module import Module
from tinynet.nn.parameter import Parameter, check_sizes, member
from tinynet.ops.create import empty, ones, zeros
from tinynet.ops.inplace import overwrite
from tinynet.tensor import Tensor


class _Affine(Module):
    """weight and bias of one shape, that start from ones and zeros; None if they are not wanted."""

    weight: Parameter | None = member()
    bias: Parameter | None = member()

    def _register(self, shape: int | tuple[int, ...], weight: bool, bias: bool, device: Any, dtype: Any) -> None:
        for name, wanted in (("weight", weight), ("bias", weight and bias)):
            self.register_parameter(name, Parameter(empty(shape, device=device, dtype=dtype)) if wanted else None)

    def reset_parameters(self) -> None:
        """Weights of one, biases of zero."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)


# ---- with the moments of each channel, and running ones
class _ChannelNorm(_Affine):
    running_mean: Tensor | None = member()
    running_var: Tensor | None = member()
    num_batches_tracked: Tensor | None = member()
    _ndims: tuple[int, int]  # the numbers of axes an input may have

    def __init__(
        self,
        num_features: int,
        eps: float,
        momentum: float | None,
        affine: bool,
        track_running_stats: bool,
        device: Any,
        dtype: Any,
        bias: bool,
    ) -> None:
        super().__init__()
        check_sizes(self, num_features=num_features)
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        self._register(num_features, affine, bias, device, dtype)
        track, size = track_running_stats, num_features
        self.register_buffer("running_mean", zeros(size, device=device, dtype=dtype) if track else None)
        self.register_buffer("running_var", ones(size, device=device, dtype=dtype) if track else None)
        self.register_buffer("num_batches_tracked", zeros((), device=device, dtype=int64) if track else None)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Forget what was seen: mean 0, variance 1."""
        with no_grad():
            for buffer, value in ((self.running_mean, 0), (self.running_var, 1), (self.num_batches_tracked, 0)):
                if buffer is not None:
                    buffer.fill_(value)

    def reset_parameters(self) -> None:
        """Weights of one, biases of zero, running moments of nothing seen."""
        self.reset_running_stats()
        super().reset_parameters()

    def _check_ndim(self, input: Tensor) -> None:
        if input.ndim not in self._ndims:
            named = " or ".join(f"{n}D" for n in dict.fromkeys(self._ndims))
            raise ValueError(f"expected {named} input (got {input.ndim}D input)")

    def extra_repr(self) -> str:
        """The sizes and options."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(_ChannelNorm):
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias)

    def forward(self, input: Tensor) -> Tensor:
        """In training standardized by the batch, which the running moments follow, else by these."""
        self._check_ndim(input)
        share = 0.0 if self.momentum is None else self.momentum
        tracking = self.training and self.track_running_stats
        batches, mean, var = self.num_batches_tracked, self.running_mean, self.running_var
        if tracking and batches is not None:
            overwrite(batches, batches.array + 1)
            if self.momentum is None:  # the plain average of all batches
                share = 1 / batches.item()
        by_batch = self.training or (mean is None and var is None)
        if self.training and not tracking:
            mean = var = None
        return F.batch_norm(input, mean, var, self.weight, self.bias, by_batch, share, self.eps)


class BatchNorm1d(_BatchNorm):
    """y = (x - mean) / √(var + eps) · weight + bias, with the moments of each channel of x (N, C) or (N, C, L).

    In training these are the batch's, and running_mean and running_var (of the unbiased variance) move a share
    momentum towards them (None: they are the average of all batches); in eval the running ones, unless not
    track_running_stats. ValueError for other numbers of axes, and in training for one value per channel.
    Ioffe & Szegedy, 2015.

    >>> tn.nn.BatchNorm1d(1)(tn.tensor([[1.0], [3.0]])).detach()
    tensor([[-1.0000],
            [ 1.0000]])
    """

    _ndims = (2, 3)


class BatchNorm2d(_BatchNorm):
    """BatchNorm1d for images (N, C, H, W).

    >>> tn.nn.BatchNorm2d(3)(tn.rand(2, 3, 4, 4)).shape
    (2, 3, 4, 4)
    """

    _ndims = (4, 4)


class _InstanceNorm(_ChannelNorm):
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias)

    def forward(self, input: Tensor) -> Tensor:
        """Each channel of each sample standardized by itself, or, in eval, by the running moments if tracked."""
        self._check_ndim(input)
        alone = input.ndim == self._ndims[0]  # one sample, without an axis for it
        axis = 0 if alone else 1
        if input.shape[axis] != self.num_features:
            if self.affine:
                raise ValueError(
                    f"expected input's size at dim={axis} to match num_features ({self.num_features}), but got: "
                    f"{input.shape[axis]}."
                )
            warnings.warn(
                f"input's size at dim={axis} does not match num_features. You can silence this warning by not "
                f"passing in num_features, which is not used because affine=False",
                stacklevel=2,
            )
        out = F.instance_norm(
            input.unsqueeze(0) if alone else input,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or not self.track_running_stats,
            0.0 if self.momentum is None else self.momentum,
            self.eps,
        )
        return out.squeeze(0) if alone else out


class InstanceNorm1d(_InstanceNorm):
    """y = (x - mean) / √(var + eps) · weight + bias, with the moments of each channel of each sample of x (N, C, L)
    or (C, L); in eval the running ones if track_running_stats.

    ValueError for other numbers of axes, for L = 1 and, if affine, for other channels than num_features. Ulyanov,
    Vedaldi & Lempitsky, 2016.

    >>> tn.nn.InstanceNorm1d(2)(tn.tensor([[1.0, 3.0], [0.0, 200.0]]))
    tensor([[-1.0000,  1.0000],
            [-1.0000,  1.0000]])
    """

    _ndims = (2, 3)


class InstanceNorm2d(_InstanceNorm):
    """InstanceNorm1d for images (N, C, H, W) or (C, H, W).

    >>> tn.nn.InstanceNorm2d(3)(tn.rand(2, 3, 4, 4)).shape
    (2, 3, 4, 4)
    """

    _ndims = (3, 4)


# ---- with the moments of each sample: alike in training and eval
class GroupNorm(_Affine):
    """y = (x - mean) / √(var + eps) · weight + bias, with the moments of each of num_groups groups of channels of
    each sample of x (N, C, …); weight and bias (C,). ValueError if num_groups does not divide num_channels. Wu & He,
    2018.

    >>> tn.nn.GroupNorm(2, 6)(tn.rand(2, 6, 4, 4)).shape
    (2, 6, 4, 4)
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        check_sizes(self, num_channels=num_channels)
        if num_groups <= 0 or num_channels % num_groups:
            raise ValueError(f"num_channels ({num_channels}) must be divisible by num_groups ({num_groups})")
        self.num_groups, self.num_channels, self.eps, self.affine = num_groups, num_channels, eps, affine
        self._register(num_channels, affine, bias, device, dtype)
        self.reset_parameters()

    def forward(self, input: Tensor) -> Tensor:
        """Each group of channels standardized."""
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """The sizes and options."""
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )


def _shape(normalized_shape: int | Iterable[int]) -> tuple[int, ...]:
    return tuple(normalized_shape) if isinstance(normalized_shape, Iterable) else (normalized_shape,)


class LayerNorm(_Affine):
    """y = (x - mean) / √(var + eps) · weight + bias, with the moments over the last axes of x, whose sizes, and
    those of weight and bias, are normalized_shape. RuntimeError for an x that ends otherwise. Ba, Kiros & Hinton,
    2016.

    >>> tn.nn.LayerNorm(2)(tn.tensor([[1.0, 3.0], [0.0, 200.0]])).detach()
    tensor([[-1.0000,  1.0000],
            [-1.0000,  1.0000]])
    """

    def __init__(
        self,
        normalized_shape: int | Iterable[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.normalized_shape, self.eps, self.elementwise_affine = _shape(normalized_shape), eps, elementwise_affine
        self._register(self.normalized_shape, elementwise_affine, bias, device, dtype)
        self.reset_parameters()

    def forward(self, input: Tensor) -> Tensor:
        """The last axes standardized."""
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """The sizes and options."""
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}, "
            f"bias={self.bias is not None}"
        )


class RMSNorm(Module):
    """y = x / √(mean(x²) + eps) · weight, with the mean over the last axes of x, whose sizes, and those of weight,
    are normalized_shape. eps: the dtype's distance from 1 to the next number unless given. Zhang & Sennrich, 2019.

    >>> tn.nn.RMSNorm(2)(tn.tensor([[3.0, 4.0]])).detach()
    tensor([[0.8485, 1.1314]])
    """

    weight: Parameter | None

    def __init__(
        self,
        normalized_shape: int | Iterable[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.normalized_shape, self.eps, self.elementwise_affine = _shape(normalized_shape), eps, elementwise_affine
        weight = Parameter(empty(self.normalized_shape, device=device, dtype=dtype)) if elementwise_affine else None
        self.register_parameter("weight", weight)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weights of one."""
        if self.weight is not None:
            init.ones_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        """The last axes, scaled."""
        return F.rms_norm(x, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        """The sizes and options."""
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
