"""Transposed convolution layers: the derivative of a convolution, with weights of its own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tinynet.kernels.windows import image_size
from tinynet.nn import functional as F
from tinynet.nn._convolution import Convolution, Sizes
from tinynet.ops.conv import numbers
from tinynet.tensor import Tensor


class _ConvTranspose(Convolution):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Sizes = 0,
        output_padding: Sizes = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Sizes = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if padding_mode != "zeros":
            raise ValueError(
                f'Only "zeros" padding mode is supported for {type(self).__name__}, got padding_mode={padding_mode!r}'
            )
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            True,
            output_padding,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )

    def forward(self, input: Tensor, output_size: Iterable[int] | None = None) -> Tensor:
        """The transposed convolution of input with weight, plus bias: of output_padding as constructed, or as
        output_size, for the last axes or for all, asks."""
        extra = self.output_padding if output_size is None else self._missing(input, output_size)
        spread = F.conv_transpose1d if self._axes == 1 else F.conv_transpose2d
        return spread(input, self.weight, self.bias, self.stride, self.padding, extra, self.groups, self.dilation)

    def _missing(self, input: Tensor, output_size: Iterable[int]) -> tuple[int, ...]:
        """How much longer than the smallest possible each axis is to be."""
        layer, axes, lead = type(self).__name__, self._axes, input.ndim - self._axes
        if not isinstance(output_size, Iterable):
            raise TypeError(f"{layer}: output_size must be a sequence of ints, not {type(output_size).__name__}")
        if lead not in (1, 2):
            return self.output_padding  # the function says what is wrong with the input
        asked = tuple(output_size)
        if len(asked) not in (axes, lead + axes):
            raise ValueError(
                f"{layer}: for {input.ndim}D input, output_size must have {axes} or {lead + axes} elements (got "
                f"{len(asked)})"
            )
        sizes = numbers(layer, "output_size", asked[-axes:], axes)
        shape = zip(input.shape[lead:], self.kernel_size, self.stride, self.padding, self.dilation, strict=True)
        least = [image_size(*axis) for axis in shape]
        most = [n + s - 1 for n, s in zip(least, self.stride, strict=True)]
        if any(not low <= n <= high for n, low, high in zip(sizes, least, most, strict=True)):
            raise ValueError(
                f"requested an output size of {sizes}, but valid sizes range from {least} to {most} (for an input of "
                f"{list(input.shape[lead:])})"
            )
        return tuple(n - low for n, low in zip(sizes, least, strict=True))


class ConvTranspose1d(_ConvTranspose):
    """ConvTranspose2d over one axis: input (N, C, L) or (C, L), weight (in, out/groups, k), and one number for each
    option.

    >>> tn.nn.ConvTranspose1d(8, 4, 4, stride=2, padding=1)(tn.zeros(2, 8, 10)).shape
    (2, 4, 20)
    """

    _axes = 1


class ConvTranspose2d(_ConvTranspose):
    """Each pixel of input (N, C, H, W) or (C, H, W) adds its multiple of the kernel to the output, stride apart: the
    derivative of Conv2d by its input, which leads from small images to large ones. Rows of the output:
    (H - 1) * stride + dilation * (kh - 1) + 1 - 2 * padding + output_padding. Where a Conv2d with stride made images
    of several sizes as small as the input, output_padding, or output_size in the call, says which is wanted.

    Weights (in, out/groups, kh, kw) and bias start from U(-k, k), k = 1/sqrt(out/groups * kh * kw). ValueError where
    groups does not divide the channels and for an output_size that cannot be, RuntimeError for sizes that do not fit.
    Zeiler et al., 2010.

    >>> up = tn.nn.ConvTranspose2d(16, 8, 3, stride=2, padding=1)
    >>> up(tn.zeros(16, 5, 5)).shape, up(tn.zeros(16, 5, 5), output_size=(10, 10)).shape
    ((8, 9, 9), (8, 10, 10))
    """

    _axes = 2
