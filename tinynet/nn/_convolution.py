"""What all convolution layers share, either way round, over one axis or two: their arguments, parameters and text."""

from __future__ import annotations

from typing import Any

from tinynet.nn import init
from tinynet.nn.module import Module
from tinynet.nn.parameter import Parameter, check_sizes, member
from tinynet.ops.conv import numbers
from tinynet.ops.create import empty

Sizes = int | tuple[int] | tuple[int, int]  # one for all axes, or one for each
PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


class Convolution(Module):
    """A kernel that slides along the last axes of its input; its numbers checked, its parameters drawn."""

    weight: Parameter = member()
    bias: Parameter | None = member()
    _axes: int  # how many axes it slides along

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes,
        padding: str | Sizes,
        dilation: Sizes,
        transposed: bool,
        output_padding: Sizes,
        groups: int,
        bias: bool,
        padding_mode: str,
        device: Any,
        dtype: Any,
    ) -> None:
        super().__init__()
        check_sizes(self, in_channels=in_channels, out_channels=out_channels)
        layer, axes = type(self).__name__, self._axes
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = numbers(layer, "kernel_size", kernel_size, axes, 1)
        self.stride = numbers(layer, "stride", stride, axes, 1)
        self.dilation = numbers(layer, "dilation", dilation, axes, 1)
        named = isinstance(padding, str) and not transposed
        self.padding: Any = padding if named else numbers(layer, "padding", padding, axes)
        self.output_padding = numbers(layer, "output_padding", output_padding, axes)
        self.transposed, self.padding_mode = transposed, padding_mode
        self._check()
        first, second = (in_channels, out_channels) if transposed else (out_channels, in_channels)
        shape = (first, second // groups, *self.kernel_size)
        self.weight = Parameter(empty(shape, device=device, dtype=dtype))
        self.register_parameter("bias", Parameter(empty(out_channels, device=device, dtype=dtype)) if bias else None)
        self.reset_parameters()

    def _check(self) -> None:
        if self.groups <= 0:
            raise ValueError(f"groups must be a positive integer, got groups={self.groups}")
        for name, channels in (("in_channels", self.in_channels), ("out_channels", self.out_channels)):
            if channels % self.groups:
                raise ValueError(f"{name} must be divisible by groups, got {name}={channels}, groups={self.groups}")
        if isinstance(self.padding, str):
            if self.padding not in ("same", "valid"):
                raise ValueError(f"Invalid padding string {self.padding!r}, should be one of 'same', 'valid'")
            if self.padding == "same" and max(self.stride) > 1:
                raise ValueError(f"padding='same' is not supported for strided convolutions, got stride={self.stride}")
        if self.padding_mode not in PADDING_MODES:
            raise ValueError(
                f"padding_mode must be one of {', '.join(PADDING_MODES)}, but got padding_mode={self.padding_mode!r}"
            )

    def reset_parameters(self) -> None:
        """Draw weight and bias anew."""
        init.layer_default_(self.weight, self.bias)

    def extra_repr(self) -> str:
        """The sizes, and what differs from the defaults."""
        ones, zeros = (1,) * self._axes, (0,) * self._axes
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        for name, usual in (("padding", zeros), ("dilation", ones), ("output_padding", zeros), ("groups", 1)):
            value = getattr(self, name)
            text += f", {name}={value}" if value != usual else ""
        text += ", bias=False" if self.bias is None else ""
        return text + (f", padding_mode={self.padding_mode}" if self.padding_mode != "zeros" else "")
