"""Losses as modules. reduction: 'mean', 'sum' or 'none'; size_average and reduce are older words for it."""

from __future__ import annotations

import warnings
from typing import Any

from tinynet.nn import functional as F
from tinynet.nn.module import Module
from tinynet.tensor import Tensor


class _Loss(Module):
    weight: Tensor | None

    def __init__(self, size_average: bool | None, reduce: bool | None, reduction: str) -> None:
        super().__init__()
        if size_average is not None or reduce is not None:
            reduction = "none" if reduce is False else "sum" if size_average is False else "mean"
            warnings.warn(
                f"size_average and reduce args will be deprecated, please use reduction='{reduction}' instead.",
                stacklevel=3,
            )
        self.reduction = reduction


class MSELoss(_Loss):
    """(input - target)^2. RuntimeError if the shapes differ: nothing is broadcast.

    >>> tn.nn.MSELoss()(tn.tensor([1.0, 2.0]), tn.tensor([1.0, 4.0]))
    tensor(2.)
    """

    def __init__(self, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean") -> None:
        super().__init__(size_average, reduce, reduction)

    def forward(self, input: Tensor, target: Tensor) -> Any:
        """The loss of input against target."""
        return F.mse_loss(input, target, reduction=self.reduction)


class NLLLoss(_Loss):
    """-weight[t] * input[t] for log-probabilities input (N, C, ...) and labels t (N, ...); the mean divides
    by the weights.

    >>> tn.nn.NLLLoss()(tn.tensor([[-0.5, -1.0]]), tn.tensor([1]))
    tensor(1.)
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index

    def forward(self, input: Tensor, target: Tensor) -> Any:
        """The loss of input against target."""
        return F.nll_loss(input, target, weight=self.weight, ignore_index=self.ignore_index, reduction=self.reduction)


class CrossEntropyLoss(_Loss):
    """-log softmax(input)[t], the softmax along axis 1 of scores (N, C, ...); target: labels (N, ...) or
    probabilities shaped like input. label_smoothing s mixes the target with s/C for every class.

    >>> tn.nn.CrossEntropyLoss()(tn.zeros(2, 4), tn.tensor([0, 3]))
    tensor(1.3863)
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)
        self.ignore_index, self.label_smoothing = ignore_index, label_smoothing

    def forward(self, input: Tensor, target: Tensor) -> Any:
        """The loss of input against target."""
        return F.cross_entropy(
            input,
            target,
            weight=self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )
