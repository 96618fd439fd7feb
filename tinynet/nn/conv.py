"""Convolution layers."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from tinynet.nn import functional as F
from tinynet.nn import init
from tinynet.nn.module import Module
from tinynet.nn.parameter import Parameter
from tinynet.ops.create import empty
from tinynet.tensor import Tensor

Pair = int | tuple[int, int]
# padding_mode -> NumPy's name for it
MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def pair(value: Any, name: str) -> tuple[int, int]:
    """(v, v) of one number, or the two given."""
    both = tuple(value) if isinstance(value, Iterable) else (value, value)
    if len(both) != 2 or not all(isinstance(v, (int, np.integer)) for v in both):
        raise ValueError(f"{name} must be an int or two ints (height, width), got {value!r}")
    return both


def pad2d(x: Tensor, padding: tuple[tuple[int, int], tuple[int, int]], mode: str) -> Tensor:
    """x with its last two axes continued on both sides by its own values: rows and columns, read anew."""
    for n, sides in zip(x.shape[-2:], padding, strict=True):
        most = {"reflect": n - 1, "circular": n}.get(mode, math.inf if n else 0)
        if not 0 <= min(sides) <= max(sides) <= most:
            raise RuntimeError(
                f"padding_mode='{mode}' cannot pad an axis of size {n} by {sides}: from 0 to {most} "
                f"(input shape {x.shape})"
            )
    rows, columns = (
        np.pad(np.arange(n), sides, MODES[mode])  # type: ignore[call-overload]
        for n, sides in zip(x.shape[-2:], padding, strict=True)
    )
    return x[..., rows[:, None], columns]


class Conv2d(Module):
    """out[o] = bias[o] + sum_c weight[o, c] * input[c], a cross-correlation over the last two axes; input
    (N, C, H, W) or (C, H, W). padding: numbers, 'valid' (none) or 'same' (output as large as the input);
    padding_mode: 'zeros', 'reflect', 'replicate' or 'circular'. Weights (out, in/groups, kh, kw) and bias
    start from U(-k, k), k = 1/sqrt(in/groups * kh * kw).

    >>> tn.nn.Conv2d(1, 32, 3)(tn.zeros(64, 1, 28, 28)).shape
    (64, 32, 26, 26)
    """

    weight: Parameter
    bias: Parameter | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        stride: Pair = 1,
        padding: str | Pair = 0,
        dilation: Pair = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size, self.stride = pair(kernel_size, "kernel_size"), pair(stride, "stride")
        self.dilation, self.padding_mode = pair(dilation, "dilation"), padding_mode
        self.padding = padding if isinstance(padding, str) else pair(padding, "padding")
        self._check()
        shape = (out_channels, in_channels // groups, *self.kernel_size)
        self.weight = Parameter(empty(shape, device=device, dtype=dtype))
        self.register_parameter("bias", Parameter(empty(out_channels, device=device, dtype=dtype)) if bias else None)
        self.reset_parameters()

    def _check(self) -> None:
        if self.groups <= 0:
            raise ValueError(f"groups must be a positive integer, got {self.groups}")
        for name, channels in (("in_channels", self.in_channels), ("out_channels", self.out_channels)):
            if channels % self.groups:
                raise ValueError(f"{name} must be divisible by groups, got {name}={channels}, groups={self.groups}")
        if isinstance(self.padding, str):
            if self.padding not in ("same", "valid"):
                raise ValueError(f"Invalid padding string {self.padding!r}, should be one of 'same', 'valid'")
            if self.padding == "same" and self.stride != (1, 1):
                raise ValueError(f"padding='same' is not supported for strided convolutions, got stride={self.stride}")
        if self.padding_mode not in MODES:
            raise ValueError(f"padding_mode must be one of {[*MODES]}, but got padding_mode={self.padding_mode!r}")

    def reset_parameters(self) -> None:
        """Draw weight and bias anew."""
        init.layer_default_(self.weight, self.bias)

    def _sides(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """((above, below), (left, right)); 'same' puts the odd one below and right."""
        if isinstance(self.padding, str):
            spans = [
                d * (k - 1) if self.padding == "same" else 0
                for d, k in zip(self.dilation, self.kernel_size, strict=True)
            ]
            return (spans[0] // 2, spans[0] - spans[0] // 2), (spans[1] // 2, spans[1] - spans[1] // 2)
        return (self.padding[0],) * 2, (self.padding[1],) * 2

    def forward(self, input: Tensor) -> Tensor:
        """The convolution of input with weight, plus bias."""
        padding: Any = self.padding
        if self.padding_mode != "zeros" and input.ndim in (3, 4):
            input, padding = pad2d(input, self._sides(), self.padding_mode), 0
        return F.conv2d(input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)

    def extra_repr(self) -> str:
        """What differs from the defaults."""
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        if self.padding != (0, 0):
            text += f", padding={self.padding}"
        if self.dilation != (1, 1):
            text += f", dilation={self.dilation}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.bias is None:
            text += ", bias=False"
        return text + (f", padding_mode={self.padding_mode}" if self.padding_mode != "zeros" else "")
