"""Convolution layers."""

from __future__ import annotations

from typing import Any

from tinynet.nn import functional as F
from tinynet.nn._convolution import Convolution, Sizes
from tinynet.tensor import Tensor

Pair = int | tuple[int, int]


class _Conv(Convolution):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: str | Sizes = 0,
        dilation: Sizes = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            False,
            0,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )

    def forward(self, input: Tensor) -> Tensor:
        """The convolution of input with weight, plus bias."""
        padding = self.padding
        if self.padding_mode != "zeros":
            input, padding = F.pad(input, self._ends(), self.padding_mode), 0
        convolve = F.conv1d if self._axes == 1 else F.conv2d
        return convolve(input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)

    def _ends(self) -> list[int]:
        """What F.pad adds before and after each axis, from the last one; of an odd number the one more after it."""
        if isinstance(self.padding, str):
            reach = [d * (k - 1) for d, k in zip(self.dilation, self.kernel_size, strict=True)]
            totals = reach if self.padding == "same" else [0] * self._axes
        else:
            totals = [2 * p for p in self.padding]
        return [n for total in reversed(totals) for n in (total // 2, total - total // 2)]


class Conv1d(_Conv):
    """Conv2d over one axis: input (N, C, L) or (C, L), weight (out, in/groups, k), and one number for each option.

    >>> tn.nn.Conv1d(4, 8, 3, padding="same")(tn.zeros(2, 4, 20)).shape
    (2, 8, 20)
    """

    _axes = 1


class Conv2d(_Conv):
    """out[o] = bias[o] + sum_c weight[o, c] * input[c], a cross-correlation over the last two axes; input
    (N, C, H, W) or (C, H, W). padding: numbers, 'valid' (none) or 'same' (output as large as the input);
    padding_mode: 'zeros', 'reflect', 'replicate' or 'circular'. Weights (out, in/groups, kh, kw) and bias
    start from U(-k, k), k = 1/sqrt(in/groups * kh * kw).

    ValueError where groups does not divide the channels and for unknown words, RuntimeError for sizes that do not fit.

    >>> tn.nn.Conv2d(1, 32, 3)(tn.zeros(64, 1, 28, 28)).shape
    (64, 32, 26, 26)
    """

    _axes = 2
