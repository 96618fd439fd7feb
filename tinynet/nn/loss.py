"""Losses as modules. reduction: 'mean', 'sum' or 'none'; size_average and reduce are older words for it."""

from __future__ import annotations

from tinynet.nn import functional as F
from tinynet.nn.module import Module
from tinynet.nn.parameter import member
from tinynet.ops.loss import older_words
from tinynet.tensor import Tensor


class _Loss(Module):
    weight: Tensor | None = member()

    def __init__(self, size_average: bool | None, reduce: bool | None, reduction: str) -> None:
        super().__init__()
        self.reduction = older_words(reduction, size_average, reduce, 4)


class MSELoss(_Loss):
    """(input - target)^2. ValueError if the shapes differ: nothing is broadcast.

    >>> tn.nn.MSELoss()(tn.tensor([1.0, 2.0]), tn.tensor([1.0, 4.0]))
    tensor(2.)
    """

    def __init__(self, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean") -> None:
        super().__init__(size_average, reduce, reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
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

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
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

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss of input against target."""
        return F.cross_entropy(
            input,
            target,
            weight=self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )


class L1Loss(_Loss):
    """|input - target|. ValueError if the shapes differ.

    >>> tn.nn.L1Loss()(tn.tensor([1.0, 2.0]), tn.tensor([1.0, 4.0]))
    tensor(1.)
    """

    def __init__(self, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean") -> None:
        super().__init__(size_average, reduce, reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss of input against target."""
        return F.l1_loss(input, target, reduction=self.reduction)


class SmoothL1Loss(_Loss):
    """d² / (2 beta) for d = |input - target| below beta, d - beta / 2 from there on. ValueError if the shapes differ.
    Girshick, 2015.

    >>> tn.nn.SmoothL1Loss(reduction="none")(tn.zeros(2), tn.tensor([0.5, 2.0]))
    tensor([0.1250, 1.5000])
    """

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        beta: float = 1.0,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.beta = beta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss of input against target."""
        return F.smooth_l1_loss(input, target, reduction=self.reduction, beta=self.beta)


class HuberLoss(_Loss):
    """d² / 2 for d = |input - target| up to delta, delta (d - delta / 2) from there on. ValueError if the shapes
    differ. Huber, 1964.

    >>> tn.nn.HuberLoss("none", delta=2.0)(tn.zeros(2), tn.tensor([0.5, 4.0]))
    tensor([0.1250, 6.0000])
    """

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(None, None, reduction)
        if not isinstance(delta, (float, int)):
            raise TypeError(f"delta must be a float or int, got: {type(delta).__name__}")
        self.delta = delta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss of input against target."""
        return F.huber_loss(input, target, reduction=self.reduction, delta=self.delta)


class BCELoss(_Loss):
    """-target log input - (1 - target) log(1 - input), times weight, for probabilities input and target; no logarithm
    is taken to be below -100. ValueError if the shapes differ, RuntimeError for numbers outside [0, 1].

    >>> tn.nn.BCELoss()(tn.tensor([0.5]), tn.tensor([1.0]))
    tensor(0.6931)
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss of input against target."""
        return F.binary_cross_entropy(input, target, weight=self.weight, reduction=self.reduction)


class BCEWithLogitsLoss(_Loss):
    """-pos_weight · target log σ(input) - (1 - target) log(1 - σ(input)), times weight, for scores input,
    probabilities target and σ = sigmoid: BCELoss of the sigmoid, exact where that is nearly 0 or 1. ValueError if
    the shapes differ.

    >>> tn.nn.BCEWithLogitsLoss()(tn.tensor([-1000.0]), tn.tensor([1.0]))
    tensor(1000.)
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        pos_weight: Tensor | None = None,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)
        self.register_buffer("pos_weight", pos_weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss of input against target."""
        return F.binary_cross_entropy_with_logits(
            input, target, weight=self.weight, reduction=self.reduction, pos_weight=self.pos_weight
        )


class KLDivLoss(_Loss):
    """target (log target - input) for log-probabilities input and probabilities target, or their logarithms if
    log_target; reduction 'batchmean' divides the sum by the number of samples. ValueError if the shapes differ.
    Kullback & Leibler, 1951.

    >>> tn.nn.KLDivLoss(reduction="batchmean")(tn.tensor([[0.25, 0.75]]).log(), tn.tensor([[0.5, 0.5]]))
    tensor(0.1438)
    """

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        log_target: bool = False,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.log_target = log_target

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss of input against target."""
        return F.kl_div(input, target, reduction=self.reduction, log_target=self.log_target)


class CosineEmbeddingLoss(_Loss):
    """1 - c where target is 1, max(c - margin, 0) where it is -1, for the cosine c of input1 and input2 (N, D) and
    target (N,), or (D,) and ().

    >>> tn.nn.CosineEmbeddingLoss()(tn.tensor([[1.0, 0.0]]), tn.tensor([[1.0, 1.0]]), tn.tensor([1]))
    tensor(0.2929)
    """

    def __init__(
        self,
        margin: float = 0.0,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.margin = margin

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        """The loss of the pair, which target calls alike or not."""
        return F.cosine_embedding_loss(input1, input2, target, margin=self.margin, reduction=self.reduction)


class HingeEmbeddingLoss(_Loss):
    """input where target is 1, max(margin - input, 0) where it is -1. ValueError if the shapes differ.

    >>> tn.nn.HingeEmbeddingLoss()(tn.tensor([0.25, 0.5]), tn.tensor([1, -1]))
    tensor(0.3750)
    """

    def __init__(
        self,
        margin: float = 1.0,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.margin = margin

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss of input against target."""
        return F.hinge_embedding_loss(input, target, margin=self.margin, reduction=self.reduction)


class MarginRankingLoss(_Loss):
    """max(margin - target (input1 - input2), 0): input1 is to be above input2 where target is 1, below where it is -1.
    ValueError if the sizes differ.

    >>> tn.nn.MarginRankingLoss()(tn.tensor([2.0]), tn.tensor([3.0]), tn.tensor([1]))
    tensor(1.)
    """

    def __init__(
        self,
        margin: float = 0.0,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.margin = margin

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        """The loss of the pair, whose order target gives."""
        return F.margin_ranking_loss(input1, input2, target, margin=self.margin, reduction=self.reduction)


class TripletMarginLoss(_Loss):
    """max(margin + d(anchor, positive) - d(anchor, negative), 0), with d the p-norm of the difference plus eps; with
    swap the negative is as near as it is to the anchor or to the positive. ValueError unless margin > 0, and if the
    sizes differ. Balntas et al., 2016.

    >>> tn.nn.TripletMarginLoss()(tn.zeros(1, 2), tn.tensor([[0.0, 2.0]]), tn.zeros(1, 2))
    tensor(3.0000)
    """

    def __init__(
        self,
        margin: float = 1.0,
        p: float = 2.0,
        eps: float = 1e-6,
        swap: bool = False,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        if margin <= 0:
            raise ValueError(f"TripletMarginLoss: expected margin to be greater than 0, got {margin} instead")
        self.margin, self.p, self.eps, self.swap = margin, p, eps, swap

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """The loss of the triplet."""
        return F.triplet_margin_loss(
            anchor,
            positive,
            negative,
            margin=self.margin,
            p=self.p,
            eps=self.eps,
            swap=self.swap,
            reduction=self.reduction,
        )
