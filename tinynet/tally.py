"""What a training adds up: the loss and the metrics of an epoch, and their history over the epochs."""
from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from reprlib import repr as brief
from typing import Any

import numpy as np

from tinynet import metrics as known
from tinynet import nn
from tinynet.dtypes import Array
from tinynet.kinds import check_kind, count
from tinynet.metrics import to_numpy
from tinynet.nn import functional as F
from tinynet.tensor import Tensor

Metrics = dict[str, Callable[[Array, Array], Any]]
OFFERED = [name for name in known.__all__ if name != "confusion_matrix"]  # which is not one number


@dataclass
class History:
    """What fit() returns: `epoch`, the numbers of the epochs (from 0), and `history`, a list of one value an epoch for
    each quantity: loss, the metrics, the same with val_ before it, and lr where there is a scheduler.

    >>> tn.History([0, 1], {"loss": [0.5, 0.25]}).history["loss"][-1]
    0.25
    """

    epoch: list[int] = field(default_factory=list)
    history: dict[str, list[float]] = field(default_factory=dict)

    def append(self, epoch: int, logs: Mapping[str, float]) -> None:
        """Add an epoch's values; nan for those that it has not, or that the epochs before had not."""
        for name in dict.fromkeys((*self.history, *logs)):
            self.history.setdefault(name, [math.nan] * len(self.epoch)).append(logs.get(name, math.nan))
        self.epoch.append(epoch)


class Tally:
    """The loss of an epoch, as a mean over its samples, and the metrics of all its predictions."""

    def __init__(self, loss: Any, metrics: Metrics) -> None:
        self.loss, self.metrics = loss, metrics
        self.total, self.samples, self.last = 0.0, 0, 0.0
        self.truths: list[Array] = []
        self.predictions: list[Array] = []

    def add(self, loss: float, n: int, output: Any, target: Any) -> None:
        """Count a batch of n samples."""
        self.last = loss
        self.total += loss * n
        self.samples += n
        if self.metrics:
            truth, prediction = compared(self.loss, output, target)
            for so_far, new in ((self.truths, truth), (self.predictions, prediction)):
                if so_far and so_far[0].shape[1:] != new.shape[1:]:
                    raise ValueError(f"metrics see all of an epoch at once, but after batches of shape (N, "
                                     f"{str(so_far[0].shape[1:])[1:]} came one of {new.shape}")
                so_far.append(new)

    def logs(self) -> dict[str, float]:
        """The loss and the metrics so far."""
        found = {"loss": self.total / self.samples}
        if self.metrics:
            truth, prediction = np.concatenate(self.truths), np.concatenate(self.predictions)
            found |= {name: _number(name, metric(truth, prediction)) for name, metric in self.metrics.items()}
        return found

    def state_dict(self) -> dict[str, Any]:
        """All that was counted."""
        parts = {"truths": self.truths, "predictions": self.predictions}
        joined = {name: np.concatenate(arrays) if arrays else None for name, arrays in parts.items()}
        return {"total": self.total, "samples": self.samples, **joined}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Count on from there. TypeError, KeyError or ValueError for what was never counted."""
        check_kind("tally", state, {"total": 0.0})
        samples, kept, metrics = count("tally['samples']", state.get("samples")), [], len(self.metrics)
        for name in ("truths", "predictions"):
            found = state.get(name)
            if (found is None) is bool(samples and metrics) or (found is not None and not np.ndim(found)):
                raise ValueError(f"tally[{name!r}] is {brief(found)}, of {samples} samples and for {metrics} metrics")
            kept.append([] if found is None else [to_numpy(found)])
        self.total, self.samples, (self.truths, self.predictions) = float(state["total"]), samples, kept


def _number(name: str, value: Any) -> float:
    if np.size(to_numpy(value)) != 1:
        raise TypeError(f"metric {name!r} must give one number, got {value!r}")
    return float(value)


def named(metrics: Any) -> Metrics:
    """The metrics by name, given as names of `tn.metrics`, as functions of (y_true, y_pred), or as a dict of these."""
    metrics = () if metrics is None else [metrics] if isinstance(metrics, str) or callable(metrics) else metrics
    if isinstance(metrics, Mapping):
        items: Iterable[tuple[Any, Any]] = metrics.items()
    else:
        items = [(m if isinstance(m, str) else getattr(m, "__name__", None), m) for m in metrics]
    found: Metrics = {}
    for name, metric in items:
        function = getattr(known, metric, None) if metric in OFFERED else metric
        if not callable(function):
            raise ValueError(f"there is no metric {metric!r} that gives one number; tn.metrics has "
                             f"{', '.join(OFFERED)}, and any function of (y_true, y_pred) is one")
        if not isinstance(name, str):
            raise TypeError(f"a metric without a name: {metric!r}; write metrics={{name: function}}")
        if name == "loss" or name.startswith("val_") or name in found:
            raise ValueError(f"a metric cannot be called {name!r} here: write metrics={{name: function}}, with others")
        found[name] = function
    return found


# ---- what a loss takes for scores
def kind(loss: Any) -> str:
    """'cross_entropy', 'nll', 'bce_with_logits' or 'bce', for the loss as a module or function; else ''."""
    table = {"cross_entropy": (nn.CrossEntropyLoss, F.cross_entropy), "nll": (nn.NLLLoss, F.nll_loss),
             "bce": (nn.BCELoss, F.binary_cross_entropy),
             "bce_with_logits": (nn.BCEWithLogitsLoss, F.binary_cross_entropy_with_logits)}
    return next((name for name, (module, function) in table.items()
                 if isinstance(loss, module) or loss is function), "")


def compared(loss: Any, output: Any, target: Any) -> tuple[Array, Array]:
    """(y_true, y_pred) for a metric: labels where the target is labels or the loss wants scores of classes, with those
    left out that the loss ignores; else the numbers themselves."""
    for what, value in (("output", output), ("target", target)):
        if not isinstance(value, Tensor):
            raise TypeError(f"metrics compare tensors, but the {what} is of type {type(value).__name__}")
    truth, scores, of = to_numpy(target), to_numpy(output), kind(loss)
    if truth.dtype.kind in "iu" and scores.ndim == truth.ndim + 1:
        counted = truth != getattr(loss, "ignore_index", -100)
        return truth[counted], scores.argmax(1)[counted]
    if of == "cross_entropy":  # the target holds probabilities
        return truth.argmax(1).ravel(), scores.argmax(1).ravel()
    if of in ("bce", "bce_with_logits"):
        return (truth > 0.5).ravel().astype(int), (scores > (0.5 if of == "bce" else 0)).ravel().astype(int)
    return truth, scores
