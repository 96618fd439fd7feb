"""Dropout layers: elements or channels set to zero at random, in training only."""

from __future__ import annotations

from tinynet.nn import functional as F
from tinynet.nn.module import Module
from tinynet.tensor import Tensor


class _Dropout(Module):
    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
        self.p, self.inplace = p, inplace

    def extra_repr(self) -> str:
        """The probability, and whether in place."""
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout):
    """In training each element is 0 with probability p, else x / (1 - p); in eval x. In x's own memory if inplace.
    ValueError for p outside [0, 1]. Srivastava et al., 2014.

    >>> tn.nn.Dropout(0.5).eval()(tn.ones(2))
    tensor([1., 1.])
    """

    def forward(self, input: Tensor) -> Tensor:
        """input with elements dropped."""
        return F.dropout(input, self.p, self.training, self.inplace)


class Dropout2d(_Dropout):
    """Dropout of whole channels of x (N, C, H, W): all of a channel's elements or none. Tompson et al., 2015.

    >>> tn.nn.Dropout2d(0.5).eval()(tn.ones(1, 2, 1, 1)).shape
    (1, 2, 1, 1)
    """

    def forward(self, input: Tensor) -> Tensor:
        """input with channels dropped."""
        return F.dropout2d(input, self.p, self.training, self.inplace)
