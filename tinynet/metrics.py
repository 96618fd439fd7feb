"""How good predictions are, as in scikit-learn: `metric(y_true, y_pred)` on tensors, arrays or lists.

Classification takes labels (of scores, take `.argmax(1)`), regression numbers. Results are Python floats, or
NumPy arrays where there is one for each class or output. Malformed input raises ValueError.
"""
from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from tinynet.device import host, is_array
from tinynet.dtypes import Array

__all__ = [
    "accuracy",
    "confusion_matrix",
    "f1_score",
    "mean_absolute_error",
    "precision",
    "r2_score",
    "recall",
]


def to_numpy(x: Any) -> Array:
    """The values of a tensor (which may need grad, and be on a GPU), an array or a list as a NumPy array."""
    return x.detach().cpu().numpy() if hasattr(x, "detach") else host(x) if is_array(x) else np.asarray(x)


# --- classification -----------------------------------------------------------------------------------------
def accuracy(y_true: Any, y_pred: Any) -> float:
    """mean(y_true = y_pred): the share of predictions that are right.

    >>> tn.metrics.accuracy([0, 1, 2, 2], [0, 1, 2, 1])
    0.75
    """
    y_true, y_pred = _labels(y_true, y_pred)
    return float(np.mean(y_true == y_pred))


def confusion_matrix(y_true: Any, y_pred: Any, *, labels: Any = None, normalize: str | None = None) -> Array:
    """C[i, j] = how many samples of class i were predicted to be of class j, int64.

    `labels` chooses and orders the classes (default: all that occur, sorted). `normalize` divides by the sums
    over the rows ("true"), the columns ("pred") or "all", to float64; 0 where that sum is 0.

    >>> tn.metrics.confusion_matrix([0, 1, 1], [0, 1, 0])
    array([[1, 0],
           [1, 1]])
    """
    if normalize not in (None, "true", "pred", "all"):
        raise ValueError(f"normalize must be one of 'true', 'pred', 'all' and None, got {normalize!r}")
    y_true, y_pred = _labels(y_true, y_pred)
    classes = np.union1d(y_true, y_pred) if labels is None else to_numpy(labels).ravel()
    if not np.isin(classes, y_true).any():
        raise ValueError(f"At least one label specified must be in y_true: labels={classes.tolist()}, y_true "
                         f"has {np.unique(y_true).tolist()}")
    order = np.argsort(classes, kind="stable")
    known = np.isin(y_true, classes) & np.isin(y_pred, classes)
    rows, columns = (order[np.searchsorted(classes, y[known], sorter=order)] for y in (y_true, y_pred))
    n = len(classes)
    counts = np.bincount(rows * n + columns, minlength=n * n).reshape(n, n)
    if normalize is None:
        return counts
    total = counts.sum(axis={"true": 1, "pred": 0, "all": None}[normalize], keepdims=True)
    return counts / np.where(total == 0, 1, total)


def precision(y_true: Any, y_pred: Any, *, labels: Any = None, pos_label: Any = 1,
              average: str | None = "binary", zero_division: Any = "warn") -> Any:
    """TP / (TP + FP): the share of what was called positive that is.

    average: "binary" (of `pos_label`; the labels must be two), "macro" (mean over the classes), "weighted"
    (by how often each is true), "micro" (of the counts added up), or None (one for each of `labels`, as an
    array). zero_division: the value of 0/0: 0, 1, nan (which averages leave out), or "warn", which is 0 with
    a warning.

    >>> tn.metrics.precision([0, 1, 1, 0], [1, 1, 0, 0])
    0.5
    """
    hit, true, called = _counts(y_true, y_pred, labels, pos_label, average)
    return _average(hit, called, true, average, zero_division, "Precision", "no predicted samples")


def recall(y_true: Any, y_pred: Any, *, labels: Any = None, pos_label: Any = 1,
           average: str | None = "binary", zero_division: Any = "warn") -> Any:
    """TP / (TP + FN): the share of what is positive that was found. Arguments as of `precision`.

    >>> tn.metrics.recall([0, 1, 1, 1], [1, 1, 0, 1], average=None)
    array([0.        , 0.66666667])
    """
    hit, true, _ = _counts(y_true, y_pred, labels, pos_label, average)
    return _average(hit, true, true, average, zero_division, "Recall", "no true samples")


def f1_score(y_true: Any, y_pred: Any, *, labels: Any = None, pos_label: Any = 1,
             average: str | None = "binary", zero_division: Any = "warn") -> Any:
    """2 TP / (2 TP + FP + FN): the harmonic mean of precision and recall. Arguments as of `precision`.

    >>> tn.metrics.f1_score([0, 1, 2, 2], [0, 2, 2, 2], average="micro")
    0.75
    """
    hit, true, called = _counts(y_true, y_pred, labels, pos_label, average)
    either = "no true nor predicted samples"
    return _average(2 * hit, true + called, true, average, zero_division, "F-score", either)


def _labels(y_true: Any, y_pred: Any) -> tuple[Array, Array]:
    """Both as vectors of labels, of one length and not empty."""
    vectors = []
    for name, y in (("y_true", to_numpy(y_true)), ("y_pred", to_numpy(y_pred))):
        if y.ndim == 2 and y.shape[1] == 1:
            y = y[:, 0]
        if y.ndim != 1:
            raise ValueError(f"{name} must be a vector of labels, got shape {y.shape}; the labels that "
                             "scores of shape (N, classes) predict are scores.argmax(1)")
        if y.dtype.kind == "f" and not (np.isfinite(y).all() and (y == np.round(y)).all()):
            raise ValueError(f"{name} holds continuous values; labels are whole: continuous is not supported")
        vectors.append(y)
    _check_lengths(*vectors)
    return vectors[0], vectors[1]


def _check_lengths(y_true: Array, y_pred: Array) -> None:
    if len(y_true) != len(y_pred):
        raise ValueError("Found input variables with inconsistent numbers of samples: "
                         f"{len(y_true)} in y_true, {len(y_pred)} in y_pred")
    if len(y_true) == 0:
        raise ValueError("Found empty input: y_true and y_pred need at least one sample")


def _counts(y_true: Any, y_pred: Any, labels: Any, pos_label: Any,
            average: str | None) -> tuple[Array, Array, Array]:
    """For each class: how often rightly predicted, how often true, how often predicted."""
    if average not in ("binary", "micro", "macro", "weighted", None):
        raise ValueError(f"average has to be 'binary', 'micro', 'macro', 'weighted' or None, got {average!r}")
    y_true, y_pred = _labels(y_true, y_pred)
    present = np.union1d(y_true, y_pred)
    classes = present if labels is None else to_numpy(labels).ravel()
    if average == "binary":
        if len(present) > 2:
            raise ValueError(f"Target is multiclass (labels {present.tolist()}) but average='binary', which is of two "
                             "classes. Please choose another average setting, one of 'micro', 'macro', 'weighted' or "
                             "None; in a tn.Trainer as a function of one's own, such as "
                             "metrics={'f1': lambda t, p: tn.metrics.f1_score(t, p, average='macro')}")
        if len(present) == 2 and pos_label not in present:
            raise ValueError(
                f"pos_label={pos_label} is not a valid label. It should be one of {present.tolist()}")
        classes = np.asarray([pos_label])
    hit = np.array([np.sum((y_true == c) & (y_pred == c)) for c in classes])
    true = np.array([np.sum(y_true == c) for c in classes])
    called = np.array([np.sum(y_pred == c) for c in classes])
    if average == "micro":
        return hit.sum(keepdims=True), true.sum(keepdims=True), called.sum(keepdims=True)
    return hit, true, called


def _average(above: Array, below: Array, support: Array, average: str | None, zero_division: Any, name: str,
             reason: str) -> Any:
    """above / below for each class, then their mean (weighted by how often each is true)."""
    fill = 0.0 if isinstance(zero_division, str) and zero_division == "warn" else zero_division
    if isinstance(fill, str) or not (fill in (0, 1) or math.isnan(fill)):
        raise ValueError(f"zero_division must be 'warn', 0, 1 or nan, got {zero_division!r}")
    empty = below == 0
    if empty.any() and isinstance(zero_division, str):
        warnings.warn(f"{name} is ill-defined and being set to 0.0 where there are {reason}. Use the "
                      "zero_division parameter to control this behavior.", UserWarning, stacklevel=3)
    scores = np.where(empty, fill, above / np.where(empty, 1, below))
    if average is None:
        return scores
    defined = ~np.isnan(scores)
    if not defined.any():
        return math.nan
    weights = support[defined] if average == "weighted" and support[defined].any() else None
    return float(np.average(scores[defined], weights=weights))


# --- regression ---------------------------------------------------------------------------------------------
def r2_score(y_true: Any, y_pred: Any, *, multioutput: str = "uniform_average") -> Any:
    """1 - sum (y - ŷ)² / sum (y - mean y)²: 1 is perfect, 0 is as good as the mean, and there is worse.

    Where y is constant: 1 if all predictions are right, else 0. Of one sample: nan, with a warning. With
    several outputs (columns), `multioutput` is "uniform_average" or "raw_values" (an array).

    >>> tn.metrics.r2_score([1., 2., 3.], [1., 2., 4.])
    0.5
    """
    y_true, y_pred = _numbers(y_true, y_pred, multioutput)
    if len(y_true) < 2:
        warnings.warn("R^2 score is not well-defined with less than two samples.", UserWarning, stacklevel=2)
        return math.nan
    error = np.sum((y_true - y_pred) ** 2, axis=0)
    spread = np.sum((y_true - np.mean(y_true, axis=0)) ** 2, axis=0)
    constant = spread == 0
    scores = np.where(constant, np.where(error == 0, 1.0, 0.0), 1 - error / np.where(constant, 1, spread))
    return scores if multioutput == "raw_values" else float(np.mean(scores))


def mean_absolute_error(y_true: Any, y_pred: Any, *, multioutput: str = "uniform_average") -> Any:
    """mean |y - ŷ|. With several outputs (columns), `multioutput` is "uniform_average" or "raw_values" (an
    array).

    >>> tn.metrics.mean_absolute_error([1., 2., 3.], [1., 2., 4.5])
    0.5
    """
    y_true, y_pred = _numbers(y_true, y_pred, multioutput)
    errors = np.mean(np.abs(y_true - y_pred), axis=0)
    return errors if multioutput == "raw_values" else float(np.mean(errors))


def _numbers(y_true: Any, y_pred: Any, multioutput: str) -> tuple[Array, Array]:
    """Both as (samples, outputs) in float64, so that float32 predictions lose nothing in long sums."""
    if multioutput not in ("uniform_average", "raw_values"):
        raise ValueError(f"multioutput must be 'uniform_average' or 'raw_values', got {multioutput!r}")
    tables = []
    for name, y in (("y_true", to_numpy(y_true)), ("y_pred", to_numpy(y_pred))):
        if y.ndim not in (1, 2):
            raise ValueError(f"{name} must have shape (N,) or (N, outputs), got {y.shape}")
        y = (y if y.ndim == 2 else y[:, None]).astype(np.float64)
        if not np.isfinite(y).all():
            raise ValueError(f"{name} contains NaN or infinity")
        tables.append(y)
    _check_lengths(*tables)
    if tables[0].shape != tables[1].shape:
        raise ValueError(f"y_true and y_pred have different number of output ({tables[0].shape[1]}!="
                         f"{tables[1].shape[1]})")
    return tables[0], tables[1]
