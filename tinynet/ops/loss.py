"""Losses of labels: cross-entropy and the negative log-likelihood; and what all losses share."""
from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from tinynet import kernels, late
from tinynet.autograd.variable import Variable, raw, wrap
from tinynet.device import backend
from tinynet.dtypes import int64, name, uint8
from tinynet.ops._primitive import primitive
from tinynet.ops.activation import log_softmax_
from tinynet.ops.discrete import where
from tinynet.ops.elementwise import cast
from tinynet.ops.index import take_along

_UNSIGNED = np.dtype("uint64")


# ---- softmax cross-entropy: of scores (N, C, …) and the shares q (N, C, …) that the loss gives each class
@primitive(outputs="loss probs", hidden=1)
def cross_entropy_(xp: Any, input: Any, q: Any) -> Any:
    """The losses -Σ_c q log softmax(input), and the softmax, which the gradient wants."""
    return kernels.run("cross_entropy", xp, input, q)


@primitive
def cross_entropy_grad(xp: Any, g: Any, p: Any, q: Any) -> Any:
    """The gradient of the scores, g (p Σ_c q - q), when that of the losses is g and p = softmax(input)."""
    return kernels.run("cross_entropy_grad", xp, g, p, q)


# ---- and of labels, averaged: what nearly every classifier is trained with, in one op
@primitive(outputs="loss probs", hidden=1)
def label_loss(xp: Any, input: Any, labels: Any) -> Any:
    """The mean of the losses -log softmax(input)[n, label n], and the softmax."""
    return kernels.run("label_loss", xp, input, labels)


@primitive
def label_loss_grad(xp: Any, g: Any, p: Any, labels: Any) -> Any:
    """The gradient of the scores, g (p - [c is the label]) / N, when that of the mean is g and p = softmax(input)."""
    return kernels.run("label_loss_grad", xp, g, p, labels)


def _column(g: Any) -> Any:
    """A number for each sample, ready to meet every class: (N, …) -> (N, 1, …)."""
    return g.reshape((g.shape[0], 1, *g.shape[1:]))


def _through_softmax(slope: Any, of_probs: Any, probs: Any) -> Any:
    """With what comes by way of the probabilities, which have a gradient when a derivative is differentiated."""
    if of_probs is None:
        return slope
    return slope + probs * (of_probs - (of_probs * probs).sum(axis=1, keepdims=True))


def _one_hot(p: Any, labels: Any) -> Any:
    """1 / N for each label, 0 for other classes."""
    return kernels.run("soft_labels", backend(raw(labels)), raw(labels), classes=p.shape[1], ignore_index=-1,
                       label_smoothing=0.0, dtype=p.dtype) / raw(labels).size


cross_entropy_.vjp(
    input=lambda g, probs, q: _through_softmax(cross_entropy_grad(g[0], probs, q), g[1], probs),
    q=lambda g, input: -_column(g[0]) * log_softmax_(input, dim=1))
cross_entropy_grad.vjp(
    g=lambda u, p, q: (u * (p * q.sum(axis=1, keepdims=True) - q)).sum(axis=1),
    p=lambda u, g, q: u * _column(g) * q.sum(axis=1, keepdims=True),
    q=lambda u, g, p: _column(g) * ((u * p).sum(axis=1, keepdims=True) - u))
label_loss.vjp(
    input=lambda g, probs, labels: _through_softmax(label_loss_grad(g[0], probs, labels), g[1], probs))
label_loss_grad.vjp(
    g=lambda u, p, labels: (u * (p / raw(labels).size - _one_hot(p, labels))).sum(),
    p=lambda u, g, labels: u * g / raw(labels).size)


# ---- what users call
def cross_entropy(input: Any, target: Any, weight: Any = None, size_average: bool | None = None,
                  ignore_index: int = -100, reduce: bool | None = None, reduction: str = "mean",
                  label_smoothing: float = 0.0) -> Any:
    """-weight[t] log softmax(input)[t] for scores input (N, C, …) or (C,) and labels t = target (N, …) or ().

    target may also be probabilities shaped like input; then the loss is -Σ_c weight[c] target[c] log
    softmax(input)[c]. label_smoothing ε mixes (1 - ε) target with ε / C for every class. Samples labelled
    ignore_index count for nothing; a mean over labels is weighted by weight[t]. IndexError for a label
    outside [0, C), RuntimeError for labels that are not int64 or uint8 and for shapes that do not fit.

    >>> tn.nn.functional.cross_entropy(tn.tensor([[2., 0., 0.]]), tn.tensor([0]))
    tensor(0.2395)
    """
    reduction = reduction_of(reduction, size_average, reduce)
    _check_scores("cross_entropy", input, target)
    if not 0 <= label_smoothing <= 1:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}")
    shape = input.array.shape
    classes = shape[1] if len(shape) > 1 else shape[0]
    _check_weight(weight, classes)
    if target.array.shape == shape:
        return _of_probabilities(input, target, weight, ignore_index, reduction, label_smoothing)
    labels, scores, all_count = _check_labels(input, target, weight, ignore_index)
    if all_count and reduction == "mean" and weight is None and not label_smoothing:
        return label_loss(scores, labels)
    total = _total_weight(labels, weight, ignore_index)
    q = kernels.run("soft_labels", backend(labels), labels, raw(weight), classes=classes,
                    ignore_index=ignore_index, label_smoothing=label_smoothing, dtype=input.dtype)
    losses = cross_entropy_(scores, q)
    losses = losses if losses.shape == target.shape else losses.reshape(target.shape)
    return reduced(losses, reduction, total)


def _of_probabilities(input: Any, target: Any, weight: Any, ignore_index: int, reduction: str,
                      smoothing: float) -> Any:
    if target.dtype.kind != "f":
        raise RuntimeError(f"Expected floating point type for target with class probabilities, got "
                           f"{name(target.dtype)}: labels have no axis of classes, that is for "
                           f"{input.shape} the shape {_label_shape(input)}")
    if ignore_index >= 0:
        raise RuntimeError("ignore_index is not supported for floating point target")
    if input.ndim == 1:
        input, target = input.reshape((1, -1)), target.reshape((1, -1))
        return _of_probabilities(input, target, weight, ignore_index, reduction, smoothing).reshape(())
    dtype = np.result_type(input.dtype, target.dtype)
    input, target = (t if t.dtype == dtype else cast(t, dtype=dtype) for t in (input, target))
    q = target * (1 - smoothing) + smoothing / input.shape[1] if smoothing else target
    if weight is not None:
        q = q * cast(weight, dtype=dtype).reshape((-1, *[1] * (input.ndim - 2)))
    losses = cross_entropy_(input, q)
    return reduced(losses, reduction, raw(losses).size)


def nll_loss(input: Any, target: Any, weight: Any = None, size_average: bool | None = None,
             ignore_index: int = -100, reduce: bool | None = None, reduction: str = "mean") -> Any:
    """-weight[t] input[t] for log-probabilities input (N, C, …) or (C,) and labels t = target (N, …) or ().

    Samples labelled ignore_index count for nothing; a mean is weighted by weight[t]. IndexError for a label
    outside [0, C), RuntimeError for labels that are not int64 or uint8 and for shapes that do not fit.

    >>> tn.nn.functional.nll_loss(tn.tensor([[-0.5, -1.0]]), tn.tensor([1]))
    tensor(1.)
    """
    reduction = reduction_of(reduction, size_average, reduce)
    _check_scores("nll_loss", input, target)
    _check_weight(weight, input.shape[min(1, input.ndim - 1)])
    labels, scores, _ = _check_labels(input, target, weight, ignore_index)
    kept = labels != ignore_index
    safe = backend(labels).where(kept, labels, 0)
    losses = -take_along(scores, safe[:, None], dim=1).reshape(labels.shape)
    if weight is not None:
        losses = losses * wrap(raw(weight)[safe])
    losses = where(wrap(kept), losses, 0.0).reshape(target.shape)
    return reduced(losses, reduction, _total_weight(labels, weight, ignore_index))


# ---- from a loss for each sample to the result
def reduction_of(reduction: str, size_average: bool | None, reduce: bool | None) -> str:
    """'none', 'mean' or 'sum': what an argument `reduction` may be."""
    if size_average is not None or reduce is not None:
        reduction = older_words(reduction, size_average, reduce, 4)
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not a valid value for reduction: use 'none', 'mean' or 'sum'")
    return reduction


def older_words(reduction: str, size_average: bool | None, reduce: bool | None, stacklevel: int) -> str:
    """The reduction, unless size_average and reduce, PyTorch's older words for it, name another; a warning then."""
    if size_average is None and reduce is None:
        return reduction
    reduction = "none" if reduce is False else "sum" if size_average is False else "mean"
    warnings.warn(f"size_average and reduce args will be deprecated, please use reduction='{reduction}' instead.",
                  stacklevel=stacklevel)
    return reduction


def reduced(losses: Any, reduction: str, total: Any) -> Any:
    """The losses, their sum, or the sum divided by total."""
    return losses if reduction == "none" else losses.sum() if reduction == "sum" else losses.sum() / total


def _total_weight(labels: Any, weight: Any, ignore_index: int) -> Any:
    """What a mean over labels divides by: a number, or on a GPU, for which nobody is to wait, an array without axes."""
    kept = labels != ignore_index
    xp = backend(labels)
    if xp is np:
        return kept.sum().item() if weight is None else raw(weight)[labels[kept]].sum().item()
    return kept.sum() if weight is None else xp.where(kept, raw(weight)[xp.where(kept, labels, 0)], 0).sum()


# ---- checks
def check_tensors(op: str, **tensors: Any) -> None:
    """TypeError for what is no tensor."""
    for what, t in tensors.items():
        if not isinstance(t, Variable):
            raise TypeError(f"{op}(): argument '{what}' must be Tensor, not {type(t).__name__}")


def _check_scores(op: str, input: Any, target: Any) -> None:
    if not (isinstance(input, Variable) and isinstance(target, Variable)):
        check_tensors(op, input=input, target=target)
    if not input.array.ndim:
        raise ValueError(f"{op}: expected an input of shape (C,) or (N, C, …), got a 0-d tensor")
    if input.array.dtype.kind != "f":
        raise NotImplementedError(f"{op} is not implemented for {name(input.dtype)}: use input.float()")


def _check_weight(weight: Any, classes: int) -> None:
    if weight is not None and weight.shape != (classes,):
        raise RuntimeError(f"weight tensor should be defined either for all {classes} classes or no classes "
                           f"but got weight tensor of shape: {list(weight.shape)}")


def _label_shape(input: Any) -> tuple[int, ...]:
    shape = input.array.shape
    return shape[:1] + shape[2:] if len(shape) > 1 else ()


def _check_labels(input: Any, target: Any, weight: Any, ignore_index: int) -> tuple[Any, Any, bool]:
    """The labels (N, …) as a raw array, the scores (N, C, …) that belong to them, and whether it is known, and quickly,
    that none of them is to be ignored."""
    labels = target.array
    shape, wanted = labels.shape, _label_shape(input)
    if not wanted and shape in ((), (1,)):
        input, shape, wanted = input.reshape((1, -1)), (1,), (1,)
    if len(shape) != len(wanted):
        raise RuntimeError(f"0D or 1D target tensor expected, multi-target not supported: an input of shape "
                           f"{input.shape} takes labels of shape {wanted}, got {shape}")
    if shape[0] != wanted[0]:
        raise ValueError(f"Expected input batch_size ({wanted[0]}) to match target batch_size ({shape[0]}).")
    if shape != wanted:
        raise RuntimeError(f"size mismatch (got input: {list(input.shape)}, target: {list(shape)}): the "
                           f"labels must have shape {wanted}")
    if labels.dtype is not int64 and labels.dtype not in (int64, uint8):
        raise RuntimeError(f"expected scalar type Long or Byte for labels but got {name(target.dtype)}: use "
                           f"target.long() (probabilities would have the input's shape, {input.shape})")
    if weight is not None and weight.dtype != input.dtype:
        raise RuntimeError(f"expected scalar type {name(input.dtype)} but found {name(weight.dtype)}: the "
                           f"weight must have the dtype of the input")
    if weight is not None and weight.requires_grad:
        raise RuntimeError("the loss of labels is not differentiable with respect to argument 'weight': use "
                           "weight.detach()")
    if labels.dtype is not int64 or labels.shape != shape:
        labels = labels.astype(int64, copy=False).reshape(shape)
    classes = input.array.shape[1]
    if type(labels) is np.ndarray and labels.size:
        unsigned = labels.view(_UNSIGNED)  # then -1 is very large
        if unsigned.item(unsigned.argmax()) < classes:  # nearly always
            return labels, input, not 0 <= ignore_index < classes
    wrong = (labels != ignore_index) & ((labels < 0) | (labels >= classes))
    if late.found(wrong, IndexError, "Target is out of bounds: a label is no class of input's, nor ignore_index"):
        at = tuple(int(k[0]) for k in wrong.nonzero())
        place = f"target[{', '.join(map(str, at))}]" if target.ndim else "target"
        raise IndexError(f"Target {labels[at]} is out of bounds: {place} must be in [0, {classes}), as input "
                         f"{input.shape} has {classes} classes, or be ignore_index={ignore_index}")
    return labels, input, False


def what_broadcasting_does(op: str, a: tuple[int, ...], b: tuple[int, ...], first: str, second: str) -> str:
    """What to say where the shapes of input and target, or of others so called, differ."""
    text = f"{op}: {first} and {second} must have the same shape, got {a} and {b}. "
    try:
        both = np.broadcast_shapes(a, b)
    except ValueError:
        return text + "They do not even broadcast."
    text += f"Broadcasting would have averaged over {both}, comparing elements that do not belong together"
    return text + (f": use {second}.reshape{a}." if np.prod(a) == np.prod(b) else ".")
