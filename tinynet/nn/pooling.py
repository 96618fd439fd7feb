"""Pooling layers: a number for each window of the last one or two axes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tinynet.nn import functional as F
from tinynet.nn.module import Module
from tinynet.tensor import Tensor

Sizes = int | tuple[int, ...]
Pair = int | tuple[int, int]


class _MaxPool(Module):
    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        dilation: Sizes = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.dilation = padding, dilation
        self.return_indices, self.ceil_mode = return_indices, ceil_mode

    def _sizes(self) -> tuple[Any, ...]:
        """What F's functions take after the input."""
        sizes = self.kernel_size, self.stride, self.padding, self.dilation
        return *sizes, self.ceil_mode, self.return_indices

    def extra_repr(self) -> str:
        """The sizes."""
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(_MaxPool):
    """The largest value of each window (stride: the kernel's size unless given) of (N, C, L) or (C, L); with
    return_indices also where in its channel it stood. Padding never wins. ceil_mode: the last window may hang over
    the end.

    >>> tn.nn.MaxPool1d(2)(tn.tensor([[1., 2., 8., 3.]]))
    tensor([[2., 8.]])
    """

    def forward(self, input: Tensor) -> Any:
        """The maxima (and their indices)."""
        return F.max_pool1d(input, *self._sizes())


class MaxPool2d(_MaxPool):
    """The largest value of each window (stride: the kernel's size unless given) of (N, C, H, W) or (C, H, W); with
    return_indices also where in its plane it stood. Padding never wins. ceil_mode: the last window may hang over
    the end.

    >>> tn.nn.MaxPool2d(2)(tn.arange(16.0).reshape(1, 4, 4))
    tensor([[[ 5.,  7.],
             [13., 15.]]])
    """

    def forward(self, input: Tensor) -> Any:
        """The maxima (and their indices)."""
        return F.max_pool2d(input, *self._sizes())


class AvgPool1d(Module):
    """The mean of each window (stride: the kernel's size unless given) of (N, C, L) or (C, L); padded places count
    or not.

    >>> tn.nn.AvgPool1d(2)(tn.tensor([[1., 2., 8., 3.]]))
    tensor([[1.5000, 5.5000]])
    """

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        sizes = kernel_size, kernel_size if stride is None else stride, padding
        self.kernel_size, self.stride, self.padding = (tuple(s) if isinstance(s, Iterable) else (s,) for s in sizes)
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def forward(self, input: Tensor) -> Tensor:
        """The means."""
        return F.avg_pool1d(
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad
        )

    def extra_repr(self) -> str:
        """The sizes."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool2d(Module):
    """The mean of each window (stride: the kernel's size unless given) of (N, C, H, W) or (C, H, W): its sum by its
    size, padded places counted or not, or by divisor_override.

    >>> tn.nn.AvgPool2d(2)(tn.arange(16.0).reshape(1, 4, 4))
    tensor([[[ 2.5000,  4.5000],
             [10.5000, 12.5000]]])
    """

    def __init__(
        self,
        kernel_size: Pair,
        stride: Pair | None = None,
        padding: Pair = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.ceil_mode = padding, ceil_mode
        self.count_include_pad, self.divisor_override = count_include_pad, divisor_override

    def forward(self, input: Tensor) -> Tensor:
        """The means."""
        return F.avg_pool2d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )

    def extra_repr(self) -> str:
        """The sizes."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class _Adaptive(Module):
    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size

    def extra_repr(self) -> str:
        """The size wanted."""
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_Adaptive):
    """The means of output_size windows that cover (N, C, L) or (C, L).

    >>> tn.nn.AdaptiveAvgPool1d(2)(tn.tensor([[1., 2., 6.]]))
    tensor([[1.5000, 4.0000]])
    """

    def forward(self, input: Tensor) -> Tensor:
        """The means."""
        return F.adaptive_avg_pool1d(input, self.output_size)


class AdaptiveAvgPool2d(_Adaptive):
    """The means of output_size windows (rows, columns; a number for both; None: as many as there are pixels) that
    cover images (N, C, H, W) or (C, H, W): whatever their size, what follows sees one size.

    >>> tn.nn.AdaptiveAvgPool2d((1, 2))(tn.arange(15.0).reshape(1, 3, 5))
    tensor([[[6., 8.]]])
    """

    def forward(self, input: Tensor) -> Tensor:
        """The means."""
        return F.adaptive_avg_pool2d(input, self.output_size)


class _AdaptiveMax(_Adaptive):
    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        super().__init__(output_size)
        self.return_indices = return_indices


class AdaptiveMaxPool1d(_AdaptiveMax):
    """The largest values of output_size windows that cover (N, C, L) or (C, L); with return_indices also where they
    stood.

    >>> tn.nn.AdaptiveMaxPool1d(2)(tn.tensor([[1., 2., 6.]]))
    tensor([[2., 6.]])
    """

    def forward(self, input: Tensor) -> Any:
        """The maxima (and their indices)."""
        return F.adaptive_max_pool1d(input, self.output_size, self.return_indices)


class AdaptiveMaxPool2d(_AdaptiveMax):
    """The largest values of output_size windows (rows, columns; a number for both; None: as many as there are pixels)
    that cover images (N, C, H, W) or (C, H, W); with return_indices also where in its plane each stood.

    >>> tn.nn.AdaptiveMaxPool2d((1, 2))(tn.arange(15.0).reshape(1, 3, 5))
    tensor([[[12., 14.]]])
    """

    def forward(self, input: Tensor) -> Any:
        """The maxima (and their indices)."""
        return F.adaptive_max_pool2d(input, self.output_size, self.return_indices)
