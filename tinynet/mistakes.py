"""The classic mistakes of a training: warnings of those that can be seen, and where a nan comes from.

Each has a class, so that one can be silenced alone: `warnings.simplefilter("ignore", tn.mistakes.UnscaledInput)`.
"""
from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tinynet.autograd.graph import Node, reach
from tinynet.autograd.modes import detect_anomaly
from tinynet.dtypes import Array
from tinynet.errors import MissingZeroGrad, TrainingWarning
from tinynet.metrics import to_numpy
from tinynet.nn import BatchNorm1d, BatchNorm2d, GroupNorm, InstanceNorm1d, InstanceNorm2d, LayerNorm, RMSNorm
from tinynet.ops.loss import cross_entropy_, label_loss
from tinynet.tally import kind
from tinynet.tensor import Tensor

__all__ = [
    "EvalMode", "MissingZeroGrad", "ProbabilitiesForScores", "StuckLoss", "TrainingWarning", "UnscaledInput",
    "UntrainedParameters",
]

_PACKAGE = str(Path(__file__).parent / "_")[:-1]
_NORMS = (BatchNorm1d, BatchNorm2d, GroupNorm, InstanceNorm1d, InstanceNorm2d, LayerNorm, RMSNorm)
_LARGE = 10.0  # inputs of a larger root mean square are called unscaled
_STILL = 1e-5  # a loss that differs by less than this share of itself has not moved
_EPOCHS = 3  # ... over so many epochs


class ProbabilitiesForScores(TrainingWarning):
    """A softmax (or sigmoid) before a loss that takes scores and applies it itself: the gradients become small.

    >>> issubclass(tn.mistakes.ProbabilitiesForScores, UserWarning)
    True
    """


class UntrainedParameters(TrainingWarning):
    """Parameters of the model that the optimizer was not given.

    >>> issubclass(tn.mistakes.UntrainedParameters, UserWarning)
    True
    """


class EvalMode(TrainingWarning):
    """A model in eval mode while it is trained: dropout is off, and batch norm's statistics stand still.

    >>> issubclass(tn.mistakes.EvalMode, UserWarning)
    True
    """


class UnscaledInput(TrainingWarning):
    """Inputs that are large, as pixels from 0 to 255 are.

    >>> issubclass(tn.mistakes.UnscaledInput, UserWarning)
    True
    """


class StuckLoss(TrainingWarning):
    """A loss that is the same, epoch after epoch.

    >>> issubclass(tn.mistakes.StuckLoss, UserWarning)
    True
    """


def _warn(category: type[TrainingWarning], text: str) -> None:
    """Warn of the line outside this package that led here."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        level, frame = level + 1, frame.f_back
    warnings.warn(text, category, stacklevel=level)


# ---- what can be seen of a training
def check_parameters(model: Any, optimizer: Any) -> None:
    """Are all parameters that want a gradient the optimizer's?"""
    given = {id(p) for group in optimizer.param_groups for p in group["params"]}
    names = [name for name, p in model.named_parameters() if p.requires_grad and id(p) not in given]
    if names:
        shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        _warn(UntrainedParameters, f"the optimizer was not given {shown}: they will stay as they are. Pass it "
              "model.parameters() of this very model; what is to stay frozen takes .requires_grad_(False)")


def check_mode(model: Any) -> None:
    """Is the model in training mode? It is from then on. Modules inside may be in eval mode: they were put there."""
    if not model.training:
        _warn(EvalMode, "the model was in eval mode, in which dropout does nothing and the statistics of batch norm "
              "stand still: fit() has called model.train(). To keep parts frozen call .eval() on these, after that")
        model.train()


def check_inputs(model: Any, inputs: Sequence[Any]) -> None:
    """Are the numbers of the first batch of a size that layers are made for?"""
    first = next(module for module in model.modules() if not any(module.children()))
    for x in inputs:
        if isinstance(x, Tensor) and x.dtype.kind == "f" and x.numel() and not isinstance(first, _NORMS):
            a = to_numpy(x).astype(np.float64)
            size = float(np.sqrt(np.mean(a * a)))
            if size > _LARGE:
                _warn(UnscaledInput, f"the inputs lie between {a.min():.4g} and {a.max():.4g} (root mean square "
                      f"{size:.4g}): layers expect numbers around 0 to 1, and learn slowly or not at all from others. "
                      "Divide pixels by 255; from other columns subtract the mean and divide by the standard deviation")


def check_output(loss: Any, output: Any, value: Tensor) -> None:
    """Does the model give what the loss, which is `value`, takes?"""
    if not isinstance(output, Tensor) or not output.numel():
        return
    a, of = to_numpy(output), kind(loss) or _kind_of_op(output, value)
    sigmoid = isinstance(output.grad_fn, Node) and output.grad_fn.op.name == "sigmoid"
    if of == "cross_entropy" and sigmoid:
        _warn(ProbabilitiesForScores, "the model ends with a sigmoid, but the cross-entropy takes scores and applies "
              "the softmax itself: leave out the sigmoid, or use BCELoss if a sample can be of several classes at once")
    elif of == "cross_entropy" and _probabilities(a):
        _warn(ProbabilitiesForScores, "the model's outputs are probabilities, but the cross-entropy takes scores and "
              "applies the softmax itself: leave out the softmax at the end of the model")
    elif of == "nll" and (a > 0).any():
        _warn(ProbabilitiesForScores, "NLLLoss takes log-probabilities, which are never above 0, but the model's "
              f"outputs reach {a.max():.4g}: end the model with log_softmax, or use CrossEntropyLoss on its scores")
    elif of == "bce_with_logits" and sigmoid:
        _warn(ProbabilitiesForScores, "the model ends with a sigmoid, but BCEWithLogitsLoss takes scores and applies "
              "the sigmoid itself: leave it out, or use BCELoss")


def _kind_of_op(output: Tensor, value: Tensor) -> str:
    """What a loss of one's own does with the output itself, as `kind` would say it."""
    if not output.requires_grad:  # then it has no place to be found by
        return ""
    ops = [node.op for node in reach([value.place]) if isinstance(node, Node) and output.place in node.inputs]
    return "cross_entropy" if label_loss in ops or cross_entropy_ in ops else ""


def _probabilities(a: Array) -> bool:
    """Whether these are shares of several classes."""
    return a.ndim > 1 and a.shape[1] > 1 and bool((a >= 0).all()) and np.allclose(a.sum(1), 1, atol=1e-3)


def check_progress(losses: Sequence[float]) -> None:
    """Has the loss moved in the first epochs?"""
    if len(losses) == _EPOCHS and abs(losses[0]) > 1e-6 and np.ptp(losses) <= _STILL * abs(losses[0]):
        _warn(StuckLoss, f"the loss has been {losses[0]:.6g} for {_EPOCHS} epochs and does not move. Is the learning "
              "rate 0 or far too small, is the model's output the same for all inputs (dead ReLUs, saturated "
              "sigmoids), does the loss depend on the parameters at all (detach(), .data, no_grad())?")


# ---- where an error comes from
@contextmanager
def telling_dtypes(model: Any, batch: Sequence[Any]) -> Iterator[None]:
    """An error of the model that names the dtypes of its parameters and of an input says what the inputs should be.
    (What takes whole numbers, as an embedding, says so itself.) The batch is (inputs..., target)."""
    try:
        yield
    except (RuntimeError, ValueError) as problem:
        dtype = next((p.dtype for p in model.parameters()), None)
        of_model = getattr(problem, "_raised_in", [None])[0] is model  # as nn.hooks.locate() notes it
        for x in batch[:-1] if of_model else ():
            if isinstance(x, Tensor) and x.dtype != dtype and all(str(d) in str(problem) for d in (x.dtype, dtype)):
                how = (f"x.to(tn.{dtype}), or the model {x.dtype}, model.to(tn.{x.dtype})" if x.dtype.kind == "f" else
                       f"for pixels x.astype('{dtype}') / 255, for a list or tensor tn.as_tensor(x, dtype=tn.{dtype})")
                problem.args = (f"{problem}. The inputs are {x.dtype}, the model's parameters {dtype}: make the inputs "
                                f"{dtype}, {how}",)
                break
        raise


def is_finite(loss: Tensor, optimizer: Any) -> bool:
    """Whether the loss and all gradients are. (A sum that is shows it of all its terms, and is quick; so it is looked
    at first, once for all of them: from a GPU one number comes.)"""
    seen = [loss, *(p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None)]
    with np.errstate(all="ignore"):
        places = dict.fromkeys(t.device for t in seen)
        sums = [sum(t.array.sum() for t in seen if t.device == place) for place in places]
    return all(math.isfinite(float(s)) for s in sums) or all(map(_finite, seen))


def explain(model: Any, inputs: Sequence[Any], target: Any, loss: Callable[[Any, Any], Any]) -> str:
    """Where the first nan or inf of a step comes from, found by running it again, and what may help."""
    for name, t in (*((f"input {k}", x) for k, x in enumerate(inputs)), ("the target", target)):
        if place := _not_finite(t):
            return (f"the data have nan or inf in them: {name}{place} of this batch (counted in it, not in the data, "
                    "which may be shuffled). Look for them with np.isfinite(x).all(), and fill them in or leave those "
                    "samples out")
    return (f"{_origin(model, inputs, target, loss)}. The weights are those of the step before; if they are large, a "
            "smaller learning rate or clip_norm=1.0 may help")


def _origin(model: Any, inputs: Sequence[Any], target: Any, loss: Callable[[Any, Any], Any]) -> str:
    """The parameter that is not finite, or the first op to make what is not of what is."""
    for name, p in model.named_parameters():
        if place := _not_finite(p):
            return f"the model has it already: {name}{place}"
    with detect_anomaly(), _first_module(model) as module:
        try:  # with inputs that require grad, so that every op is recorded
            value = loss(model(*map(_tracked, inputs)), target)
        except RuntimeError:
            value = loss(model(*inputs), target)
        if not _finite(value):
            nodes = reach([value.place]) if value.requires_grad else []
            first = next((node for node in nodes if getattr(node, "made", None)), None)
            if first is None:
                return "it was made of finite numbers, but by an op that is not recorded"
            where = f"in {module[0]}" if module else "in the loss"
            return f"the first op to make {first.made} of finite numbers is {first.op.name}, {where}; {first.stack}"
        try:
            value.backward()
        except RuntimeError as problem:
            return str(problem).rstrip(".")
    return "run again, the step gives finite numbers: something in it changes from run to run"


def _tracked(x: Any) -> Any:
    return x.detach().requires_grad_().clone() if isinstance(x, Tensor) and x.dtype.kind == "f" else x


def _not_finite(t: Any) -> str:
    """' at [2, 0]', where a tensor is first not finite; '' if it is everywhere."""
    if not isinstance(t, Tensor) or _finite(t):
        return ""
    return f" at {np.argwhere(~np.isfinite(to_numpy(t)))[0].tolist()}"


def _finite(t: Tensor) -> bool:
    return bool(np.isfinite(to_numpy(t)).all())


def _all_finite(values: Any) -> bool:
    parts = values if isinstance(values, (tuple, list)) else [values]
    return all(_finite(t) for t in parts if isinstance(t, Tensor))


@contextmanager
def _first_module(model: Any) -> Iterator[list[str]]:
    """The innermost module that first makes what is not finite of what is, as a list of one text, or of none."""
    found: list[str] = []

    def note(path: str) -> Callable[..., None]:
        def hook(module: Any, args: Any, output: Any) -> None:
            if not found and _all_finite(args) and not _all_finite(output):
                found.append(f"module {path} ({type(module).__name__})" if path else type(module).__name__)
        return hook

    handles = [module.register_forward_hook(note(path)) for path, module in model.named_modules()]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()
