"""Activation layers."""

from __future__ import annotations

from typing import Any

from tinynet.nn import functional as F
from tinynet.nn.module import Module
from tinynet.tensor import Tensor


class ReLU(Module):
    """max(x, 0), in x's own memory if inplace.

    >>> tn.nn.ReLU()(tn.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Tensor) -> Any:
        """max(input, 0)."""
        return F.relu(input, inplace=self.inplace)

    def extra_repr(self) -> str:
        """Whether in place."""
        return "inplace=True" if self.inplace else ""
