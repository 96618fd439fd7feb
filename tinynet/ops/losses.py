"""Losses of numbers, of probabilities and of distances, one expression each; and the distances themselves.

Shapes that differ raise ValueError, on purpose: see mse_loss.
"""
from __future__ import annotations

import math
import warnings
from typing import Any

from tinynet import late
from tinynet.autograd.variable import raw
from tinynet.dtypes import name
from tinynet.ops._primitive import primitive
from tinynet.ops.activation import check_float, softplus_
from tinynet.ops.discrete import where
from tinynet.ops.elementwise import exp, log, log1p, sqrt, square
from tinynet.ops.loss import check_tensors, reduced, reduction_of, what_broadcasting_does
from tinynet.ops.piecewise import abs_, clamp_min, minimum
from tinynet.ops.reduce import norm, sum_
from tinynet.ops.shape import Shape, broadcast_shape, expand


# ---- of numbers
def mse_loss(input: Any, target: Any, size_average: bool | None = None, reduce: bool | None = None,
             reduction: str = "mean", weight: Any = None) -> Any:
    """(input - target)², times weight if given; a mean is then weighted.

    ValueError if the shapes differ, on purpose: broadcasting (N, 1) against (N,) compares every prediction
    with every target, and trains to their average.

    >>> tn.nn.functional.mse_loss(tn.tensor([1., 2.]), tn.tensor([1., 4.]))
    tensor(2.)
    """
    reduction = reduction_of(reduction, size_average, reduce)
    _check_pair("mse_loss", input, target)
    plain = reduction == "mean" and weight is None and input.dtype.char in "fd"
    if plain and input.dtype is target.dtype and input.array.size and type(input.array) is type(target.array):
        return mean_square(input, target)
    return _weighted_mean((input - target).square(), input, weight, reduction)


@primitive
def mean_square(xp: Any, a: Any, b: Any) -> Any:
    """The mean of (a - b)²: of arrays of one shape, in one op, for this is what regression is trained with."""
    d = a - b
    return xp.add.reduce(d * d, axis=None) / d.size


mean_square.vjp(
    a=lambda g, a, b: (a - b) * (g * (2 / math.prod(a.shape))),
    b=lambda g, a, b: (b - a) * (g * (2 / math.prod(a.shape))))


def l1_loss(input: Any, target: Any, size_average: bool | None = None, reduce: bool | None = None,
            reduction: str = "mean", weight: Any = None) -> Any:
    """|input - target|, times weight if given; a mean is then weighted. ValueError if shapes differ.

    >>> tn.nn.functional.l1_loss(tn.tensor([1., 2.]), tn.tensor([1., 4.]))
    tensor(1.)
    """
    reduction = reduction_of(reduction, size_average, reduce)
    _check_pair("l1_loss", input, target)
    return _weighted_mean(abs_(input - target), input, weight, reduction)


def _weighted_mean(losses: Any, input: Any, weight: Any, reduction: str) -> Any:
    if weight is None:
        return reduced(losses, reduction, raw(losses).size)
    _check_weights(input, weight)
    return reduced(losses * weight, reduction, weight.sum())


def smooth_l1_loss(input: Any, target: Any, size_average: bool | None = None, reduce: bool | None = None,
                   reduction: str = "mean", beta: float = 1.0) -> Any:
    """d² / (2 beta) for d = |input - target| below beta, d - beta / 2 from there on: huber_loss / beta.

    ValueError if shapes differ, RuntimeError for a negative beta. Girshick, 2015.

    >>> tn.nn.functional.smooth_l1_loss(tn.tensor([0., 0.]), tn.tensor([0.5, 2.]), reduction="none")
    tensor([0.1250, 1.5000])
    """
    reduction = reduction_of(reduction, size_average, reduce)
    _check_pair("smooth_l1_loss", input, target)
    if beta < 0:
        raise RuntimeError(f"smooth_l1_loss does not support negative values for beta, got {beta}")
    d = input - target
    losses = where(abs_(d) < beta, square(d) * (0.5 / beta), abs_(d) - 0.5 * beta) if beta else abs_(d)
    return reduced(losses, reduction, raw(losses).size)


def huber_loss(input: Any, target: Any, reduction: str = "mean", delta: float = 1.0, weight: Any = None) -> Any:
    """d² / 2 for d = |input - target| up to delta, delta (d - delta / 2) from there on; times weight if given.

    ValueError if shapes differ, RuntimeError unless delta > 0. Huber, 1964.

    >>> tn.nn.functional.huber_loss(tn.tensor([0., 0.]), tn.tensor([0.5, 4.]), "none", delta=2.0)
    tensor([0.1250, 6.0000])
    """
    reduction = reduction_of(reduction, None, None)
    _check_pair("huber_loss", input, target)
    if delta <= 0:
        raise RuntimeError(f"huber_loss does not support non-positive values for delta, got {delta}")
    d = input - target
    losses = where(abs_(d) <= delta, square(d) * 0.5, (abs_(d) - 0.5 * delta) * delta)
    if weight is not None:
        _check_weights(input, weight)
        losses = losses * weight
    return reduced(losses, reduction, raw(losses).size)


# ---- of probabilities
_NO_PROBABILITY = "all elements of input and target should be between 0 and 1"


@primitive
def binary_cross_entropy_(xp: Any, input: Any, target: Any) -> Any:
    """-target log input - (1 - target) log(1 - input), no logarithm below -100."""
    return (target - 1) * xp.maximum(xp.log1p(-input), -100) - target * xp.maximum(xp.log(input), -100)


# in one fraction the slope is 0 at input = target, and finite at 0 and 1, where the logarithms are held at -100
binary_cross_entropy_.vjp(
    input=lambda g, input, target: g * ((input - target) / clamp_min((1 - input) * input, 1e-12)),
    target=lambda g, input: g * (clamp_min(log1p(-input), -100) - clamp_min(log(input), -100)))


def binary_cross_entropy(input: Any, target: Any, weight: Any = None, size_average: bool | None = None,
                         reduce: bool | None = None, reduction: str = "mean") -> Any:
    """-target log input - (1 - target) log(1 - input), times weight if given, for probabilities input and target; no
    logarithm is taken to be below -100.

    ValueError if shapes differ, RuntimeError for different dtypes and for numbers outside [0, 1].

    >>> tn.nn.functional.binary_cross_entropy(tn.tensor([0.5, 1.0]), tn.tensor([1., 0.]), reduction="none")
    tensor([  0.6931, 100.0000])
    """
    reduction = reduction_of(reduction, size_average, reduce)
    _check_pair("binary_cross_entropy", input, target)
    check_float("binary_cross_entropy", input)
    if target.dtype != input.dtype:
        raise RuntimeError(f"binary_cross_entropy: Found dtype {name(target.dtype)} but expected {name(input.dtype)}: "
                           f"convert the target with .to(input.dtype)")
    for what, p in (("input", raw(input)), ("target", raw(target))):
        if late.found((p < 0) | (p > 1), RuntimeError, _NO_PROBABILITY):
            remedy = ": apply sigmoid, or use binary_cross_entropy_with_logits" if what == "input" else ""
            raise RuntimeError(f"all elements of {what} should be between 0 and 1, got {p.min()} to {p.max()}{remedy}")
    losses = binary_cross_entropy_(input, target)
    losses = losses if weight is None else losses * expand(weight, shape=input.shape)
    return reduced(losses, reduction, raw(losses).size)


def binary_cross_entropy_with_logits(input: Any, target: Any, weight: Any = None, size_average: bool | None = None,
                                     reduce: bool | None = None, reduction: str = "mean",
                                     pos_weight: Any = None) -> Any:
    """-pos_weight · target log σ(input) - (1 - target) log(1 - σ(input)), times weight if given, for scores input,
    probabilities target and σ = sigmoid, exact where σ(input) is nearly 0 or 1.

    ValueError if shapes differ; weight and pos_weight broadcast.

    >>> tn.nn.functional.binary_cross_entropy_with_logits(tn.tensor([0., 1000.]), tn.tensor([1., 0.]), reduction="none")
    tensor([6.9315e-01, 1.0000e+03])
    """
    reduction = reduction_of(reduction, size_average, reduce)
    _check_pair("binary_cross_entropy_with_logits", input, target)
    check_float("binary_cross_entropy_with_logits", input)
    check_float("binary_cross_entropy_with_logits", target, "use target.float()")
    positive = target if pos_weight is None else target * expand(pos_weight, shape=target.shape)
    losses = positive * _log1p_exp(-input) + (1 - target) * _log1p_exp(input)
    losses = losses if weight is None else losses * expand(weight, shape=input.shape)
    return reduced(losses, reduction, raw(losses).size)


def _log1p_exp(x: Any) -> Any:
    return softplus_(x, beta=1.0, threshold=float("inf"))


def kl_div(input: Any, target: Any, size_average: bool | None = None, reduce: bool | None = None,
           reduction: str = "mean", log_target: bool = False) -> Any:
    """target (log target - input), 0 where target is 0, for log-probabilities input and probabilities target, or their
    logarithms if log_target. reduction "batchmean", the sum over the number of samples, is the divergence of
    Kullback and Leibler (1951); "mean" divides by all elements, and warns of that. ValueError if shapes differ.

    >>> p = tn.tensor([[0.5, 0.5]])
    >>> tn.nn.functional.kl_div(tn.tensor([[0.25, 0.75]]).log(), p, reduction="batchmean")
    tensor(0.1438)
    """
    if size_average is None and reduce is None and reduction == "mean":
        warnings.warn("reduction: 'mean' divides the total loss by both the batch size and the support size. "
                      "'batchmean' divides only by the batch size, and aligns with the KL div math definition. "
                      "'mean' will be changed to behave the same as 'batchmean' in the next major release.",
                      stacklevel=2)
    batchmean = reduction == "batchmean"
    reduction = reduction_of("sum" if batchmean else reduction, size_average, reduce)
    check_tensors("kl_div", input=input, target=target)
    _check_shapes("kl_div", input.shape, target.shape)
    if input.dtype.kind != "f" or target.dtype.kind != "f":
        raise RuntimeError(f"kl_div: Integral inputs not supported, got {name(input.dtype)} and {name(target.dtype)}")
    if log_target:
        losses = exp(target) * (target - input)
    else:
        losses = target * log(where(target == 0, 1.0, target)) - target * input
    out = reduced(losses, reduction, raw(losses).size)
    return out / input.shape[0] if batchmean and input.ndim else out


# ---- distances
def normalize(input: Any, p: float = 2.0, dim: Any = 1, eps: float = 1e-12) -> Any:
    """input / max(‖input‖_p, eps), with the p-norm along dim.

    >>> tn.nn.functional.normalize(tn.tensor([[3., 4.]]))
    tensor([[0.6000, 0.8000]])
    """
    check_float("normalize", input)
    return _unit(input, p, dim, eps)


def _unit(x: Any, p: float, dim: Any, eps: float) -> Any:
    return x / clamp_min(norm(x, p, dim, keepdim=True), eps)


def cosine_similarity(x1: Any, x2: Any, dim: int = 1, eps: float = 1e-8) -> Any:
    """Σ x1 x2 / (max(‖x1‖, eps) max(‖x2‖, eps)) along dim; x1 and x2 broadcast.

    >>> tn.nn.functional.cosine_similarity(tn.tensor([[1., 0.]]), tn.tensor([[1., 1.]]))
    tensor([0.7071])
    """
    check_tensors("cosine_similarity", x1=x1, x2=x2)
    if x1.dtype.kind != "f" and x2.dtype.kind != "f":
        raise RuntimeError(f"expected common dtype to be floating point, yet common dtype is {name(x1.dtype)}: use "
                           f"x1.float()")
    shape = broadcast_shape("cosine_similarity", [x1.shape, x2.shape])
    x1, x2 = expand(x1, shape=shape), expand(x2, shape=shape)
    return sum_(_unit(x1, 2, dim, eps) * _unit(x2, 2, dim, eps), dim=dim)


def pairwise_distance(x1: Any, x2: Any, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Any:
    """‖x1 - x2 + eps‖_p along the last axis; x1 and x2 broadcast.

    >>> tn.nn.functional.pairwise_distance(tn.tensor([[3., 4.]]), tn.tensor([[0., 0.]]))
    tensor([5.0000])
    """
    check_tensors("pairwise_distance", x1=x1, x2=x2)
    broadcast_shape("pairwise_distance", [x1.shape, x2.shape])  # or the error would speak of a difference
    return norm(x1 - x2 + eps, p, -1, keepdim)


# ---- of distances, so that what belongs together is near and what does not is a margin away
def cosine_embedding_loss(input1: Any, input2: Any, target: Any, margin: float = 0.0,
                          size_average: bool | None = None, reduce: bool | None = None,
                          reduction: str = "mean") -> Any:
    """1 - c where target is 1, max(c - margin, 0) where it is -1, for the cosine c of input1 and input2 (N, D) and
    target (N,), or (D,) and (). RuntimeError for other dims, ValueError for sizes that differ.

    >>> x = tn.tensor([[1., 0.]])
    >>> tn.nn.functional.cosine_embedding_loss(x, tn.tensor([[1., 1.]]), tn.tensor([1]))
    tensor(0.2929)
    """
    reduction = reduction_of(reduction, size_average, reduce)
    check_tensors("cosine_embedding_loss", input1=input1, input2=input2, target=target)
    if target.ndim > 1:
        raise RuntimeError(f"0D or 1D target tensor expected, multi-target not supported, got {target.shape}")
    if not input1.ndim == input2.ndim == target.ndim + 1:
        raise RuntimeError(f"{target.ndim}D target tensor expects {target.ndim + 1}D input tensors, but found inputs "
                           f"with sizes {list(input1.shape)} and {list(input2.shape)}.")
    _check_shapes("cosine_embedding_loss", input1.shape, input2.shape, "input1", "input2")
    _check_shapes("cosine_embedding_loss", input1.shape[:-1], target.shape, "the rows of input1")
    tiny = 1e-12
    squares = (sum_(square(input1), dim=-1) + tiny) * (sum_(square(input2), dim=-1) + tiny)
    cosine = sum_(input1 * input2, dim=-1) / sqrt(squares)
    losses = where(target == 1, 1 - cosine, where(target == -1, clamp_min(cosine - margin, 0), 0.0))
    return reduced(losses, reduction, raw(losses).size)


def hinge_embedding_loss(input: Any, target: Any, margin: float = 1.0, size_average: bool | None = None,
                         reduce: bool | None = None, reduction: str = "mean") -> Any:
    """input where target is 1, max(margin - input, 0) where it is -1; ValueError if shapes differ.

    >>> tn.nn.functional.hinge_embedding_loss(tn.tensor([0.3, 0.3]), tn.tensor([1, -1]), reduction="none")
    tensor([0.3000, 0.7000])
    """
    reduction = reduction_of(reduction, size_average, reduce)
    _check_pair("hinge_embedding_loss", input, target)
    losses = where(target != 1, clamp_min(margin - input, 0), 0.0) + where(target != -1, input, 0.0)
    return reduced(losses, reduction, raw(losses).size)


def margin_ranking_loss(input1: Any, input2: Any, target: Any, margin: float = 0.0, size_average: bool | None = None,
                        reduce: bool | None = None, reduction: str = "mean") -> Any:
    """max(margin - target (input1 - input2), 0): input1 is to be above input2 where target is 1, below where it is -1.

    RuntimeError if the numbers of axes differ, ValueError if sizes do.

    >>> tn.nn.functional.margin_ranking_loss(tn.tensor([2.]), tn.tensor([3.]), tn.tensor([1]))
    tensor(1.)
    """
    reduction = reduction_of(reduction, size_average, reduce)
    check_tensors("margin_ranking_loss", input1=input1, input2=input2, target=target)
    if not input1.ndim == input2.ndim == target.ndim:
        raise RuntimeError(f"margin_ranking_loss : All input tensors should have same dimension but got sizes: input1: "
                           f"{input1.shape}, input2: {input2.shape}, target: {target.shape}")
    _check_shapes("margin_ranking_loss", input1.shape, input2.shape, "input1", "input2")
    _check_shapes("margin_ranking_loss", input1.shape, target.shape, "input1")
    losses = clamp_min(margin - target * (input1 - input2), 0)
    return reduced(losses, reduction, raw(losses).size)


def triplet_margin_loss(anchor: Any, positive: Any, negative: Any, margin: float = 1.0, p: float = 2,
                        eps: float = 1e-6, swap: bool = False, size_average: bool | None = None,
                        reduce: bool | None = None, reduction: str = "mean") -> Any:
    """max(margin + d(anchor, positive) - d(anchor, negative), 0), for the pairwise_distance d; with swap the negative
    is as near as it is to the anchor or to the positive (Balntas et al., 2016).

    RuntimeError if the numbers of axes differ, ValueError if sizes do and unless margin > 0.

    >>> a, b = tn.tensor([[0., 0.]]), tn.tensor([[0., 2.]])
    >>> tn.nn.functional.triplet_margin_loss(a, b, a)
    tensor(3.0000)
    """
    reduction = reduction_of(reduction, size_average, reduce)
    check_tensors("triplet_margin_loss", anchor=anchor, positive=positive, negative=negative)
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    if not anchor.ndim == positive.ndim == negative.ndim:
        raise RuntimeError(f"The anchor, positive, and negative tensors are expected to have the same number of "
                           f"dimensions, but got: anchor {anchor.ndim}D, positive {positive.ndim}D, and negative "
                           f"{negative.ndim}D inputs")
    _check_shapes("triplet_margin_loss", anchor.shape, positive.shape, "anchor", "positive")
    _check_shapes("triplet_margin_loss", anchor.shape, negative.shape, "anchor", "negative")
    near, far = pairwise_distance(anchor, positive, p, eps), pairwise_distance(anchor, negative, p, eps)
    if swap:
        far = minimum(far, pairwise_distance(positive, negative, p, eps))
    losses = clamp_min(near - far + margin, 0)
    return reduced(losses, reduction, raw(losses).size)


# ---- checks
def _check_shapes(op: str, a: Shape, b: Shape, first: str = "input", second: str = "target") -> None:
    if a != b:
        raise ValueError(what_broadcasting_does(op, a, b, first, second))


def _check_pair(op: str, input: Any, target: Any) -> None:
    check_tensors(op, input=input, target=target)
    _check_shapes(op, input.shape, target.shape)
    if input.dtype.kind != "f" and target.dtype.kind != "f":
        raise NotImplementedError(f"{op} is not implemented for {name(input.dtype)}: use input.float()")


def _check_weights(input: Any, weight: Any) -> None:
    if weight.shape != input.shape:
        raise ValueError(f"Weights and input must have the same size, got {weight.shape} and {input.shape}")
