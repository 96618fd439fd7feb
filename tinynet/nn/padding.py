"""Padding layers: the last axes made longer at both ends. Negative numbers cut off."""

from __future__ import annotations

from collections.abc import Iterable

from tinynet.nn import functional as F
from tinynet.nn.module import Module
from tinynet.tensor import Tensor

Ends = int | tuple[int, ...]


class _Pad(Module):
    """F.pad of the last `axes` axes. padding: two numbers for each axis, from the last on, or one for all ends."""

    axes: int
    mode = "constant"
    value: float | None = None

    def __init__(self, padding: Ends) -> None:
        super().__init__()
        self.padding = tuple(padding) if isinstance(padding, Iterable) else (padding,) * (2 * self.axes)

    def forward(self, input: Tensor) -> Tensor:
        """input with its ends."""
        return F.pad(input, self.padding, self.mode, self.value)

    def extra_repr(self) -> str:
        """How much goes to each end."""
        return f"{self.padding}"


class ConstantPad1d(_Pad):
    """`value` put before and after the last axis: padding (left, right), or one number for both.

    >>> tn.nn.ConstantPad1d((1, 2), 7.0)(tn.zeros(1, 2))
    tensor([[7., 0., 0., 7., 7.]])
    """

    axes = 1

    def __init__(self, padding: Ends, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def extra_repr(self) -> str:
        """How much of what goes to each end."""
        return f"padding={self.padding}, value={self.value}"


class ConstantPad2d(ConstantPad1d):
    """A border of `value` round images: padding (left, right, above, below), or one number for all.

    >>> tn.nn.ConstantPad2d((1, 1, 0, 1), 7.0)(tn.zeros(1, 1, 1))
    tensor([[[7., 0., 7.],
             [7., 7., 7.]]])
    """

    axes = 2


class ZeroPad2d(ConstantPad2d):
    """A border of zeros round images: padding (left, right, above, below), or one number for all.

    >>> tn.nn.ZeroPad2d(2)(tn.ones(1, 28, 28)).shape
    (1, 32, 32)
    """

    def __init__(self, padding: Ends) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        """How much goes to each end."""
        return f"{self.padding}"


class ReflectionPad2d(_Pad):
    """A border that mirrors images (N, C, H, W) or (C, H, W), without their outermost pixels: padding (left, right,
    above, below), or one number for all, each less than the size of the image.

    >>> tn.nn.ReflectionPad2d((2, 2, 0, 0))(tn.tensor([[[1., 2., 3.]]]))
    tensor([[[3., 2., 1., 2., 3., 2., 1.]]])
    """

    axes, mode = 2, "reflect"
