"""The Trainer: what every training loop does, and the loop itself in plain sight (`Trainer.fit`)."""
from __future__ import annotations

import copy
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from reprlib import repr as brief
from typing import Any

from tinynet import mistakes
from tinynet.autograd.modes import no_grad
from tinynet.callbacks import Callbacks, ModelCheckpoint, listed
from tinynet.checkpoint import load, save
from tinynet.data._progress import EpochBar
from tinynet.device import device as Device
from tinynet.dtypes import DType, get_default_dtype
from tinynet.feed import batches, is_array, samples, streams, training_batches
from tinynet.interrupts import Interrupts
from tinynet.kinds import check_kind, count, positive
from tinynet.nn import CrossEntropyLoss, Module, NLLLoss
from tinynet.nn.utils import clip_grad_norm_, clip_grad_value_
from tinynet.ops import as_tensor, cat
from tinynet.optim import Optimizer
from tinynet.optim.lr_scheduler import ReduceLROnPlateau
from tinynet.random import Generator
from tinynet.tally import History, Tally, named
from tinynet.tensor import Tensor

__all__ = ["Trainer"]

FILE = {  # an example of what is in a checkpoint
    "model": {}, "optimizer": {}, "callbacks": [[]], "epoch": 0, "batch": 0, "stop_training": False,
    "history": {"epoch": [0], "history": {}}, "streams": {"now": [], "epoch began": []},
}


class Trainer:
    """Trains a model, with Keras's words: fit(), evaluate(), predict().

    loss: a function of (output, target), such as nn.CrossEntropyLoss(). metrics: names of `tn.metrics`, functions of
    (y_true, y_pred), or a dict of them; they get labels where the target is labels, and all of an epoch at once.
    scheduler: a learning-rate schedule, which makes its step after each "epoch" or "batch" (scheduler_each);
    ReduceLROnPlateau is fed `monitor`: by default val_loss, or loss if nothing is held out. clip_norm, clip_value: clip
    the gradients. callbacks: one `tn.Callback` or several. class_weights: a weight for each class (a list, a tensor or
    a dict) for the loss in training, not in evaluation. device: where to train.

    fit() puts the model into training mode; a module inside that is in eval mode stays in it. `tn.mistakes` lists what
    it warns of.

    >>> model = tn.nn.Linear(2, 1)
    >>> trainer = tn.Trainer(model, tn.nn.MSELoss(), tn.optim.SGD(model.parameters(), lr=0.5))
    >>> x = tn.eye(2); history = trainer.fit(x, x.sum(1, keepdim=True), epochs=50, verbose=False)
    >>> history.history["loss"][-1] < 1e-6, trainer.predict(x).shape
    (True, (2, 1))
    """

    history: History
    epoch: int  # how many are done
    batch: int  # how many of the next epoch are done
    stop_training: bool  # a callback's wish, heeded after the epoch
    resumed: bool
    _first: bool
    _tally: Tally
    _streams: list[Generator]

    def __init__(self, model: Module, loss: Any, optimizer: Optimizer, metrics: Any = (), scheduler: Any = None,
                 callbacks: Callbacks = (), device: str | Device | None = None, *,
                 scheduler_each: str = "epoch", monitor: str | None = None, clip_norm: float | None = None,
                 clip_value: float | None = None, class_weights: Any = None) -> None:
        _check_parts(model, loss, optimizer, scheduler, scheduler_each)
        for name, value in (("clip_norm", clip_norm), ("clip_value", clip_value)):
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be above 0, got {value}")
        self.device = None if device is None else Device(device)
        self.model = model if self.device is None else model.to(self.device)
        self.loss, self.optimizer, self.metrics = loss, optimizer, named(metrics)
        self.training_loss = loss if class_weights is None else self._weighted(loss, class_weights)
        self.scheduler, self.scheduler_each, self.monitor = scheduler, scheduler_each, monitor
        self.clip_norm, self.clip_value = clip_norm, clip_value
        self._given = listed(callbacks)
        self._begin([], None, None)

    # ---- training
    def fit(self, x: Any, y: Any = None, *, epochs: int = 1, batch_size: int = 32, shuffle: bool = True,
            validation_data: Any = None, validation_split: float = 0.0, callbacks: Callbacks = (),
            resume_from: str | os.PathLike[str] | None = None, verbose: bool = True) -> History:
        """Train until `epochs` epochs are done; returns the History.

        x, y: tensors or arrays (x may be a tuple of several inputs); or x alone: a data set of (inputs..., target), or
        a loader or list of such batches, to which batch_size and shuffle do not apply. Held out, and looked at after
        each epoch: validation_data, (x, y) or the like; or the last samples, as many as the share validation_split
        says. callbacks are those of this call, beside the Trainer's own. A bar on stderr shows how far it is.

        resume_from: a file of save_checkpoint() or ModelCheckpoint, given with the same data and arguments. The
        training goes on where it was saved, also within an epoch, bit for bit as if it had never stopped: model,
        optimizer, schedule, callbacks, history and every `Generator` that the model, the loaders, their samplers and
        data sets have as an attribute. (What else draws random numbers, as Python's `random`, is yours to restore.)

        Ctrl-C takes effect after the step that runs, a second one at once; the model can then be used or saved, and
        `trainer.history` holds the epochs done. RuntimeError at the first loss or gradient that is nan or inf, which
        says where it comes from; the weights are then those of the last good step.
        """
        epochs, batch_size = positive("epochs", epochs), positive("batch_size", batch_size)
        train, held_out = training_batches(x, y, validation_data, validation_split, batch_size, shuffle, self._dtype())
        self._begin(callbacks, train, held_out)
        if resume_from is not None:
            self._resume(resume_from)
        mistakes.check_parameters(self.model, self.optimizer)
        mistakes.check_mode(self.model)

        with Interrupts() as self._interrupts:
            self._call("on_train_begin")
            while self.epoch < epochs and not self.stop_training:
                name, done = f"epoch {self.epoch + 1}/{epochs}", self._tally.samples
                with EpochBar(name, samples(train), done, not verbose) as bar:
                    for batch in self._batches(train):
                        with mistakes.telling_dtypes(self.model, batch):
                            self._step(batch)
                        bar.advance(self._tally.samples, self._tally.logs)
                    logs = self._tally.logs()
                    if held_out is not None:
                        logs |= {f"val_{name}": value for name, value in self._evaluate(held_out).items()}
                    bar.finish(logs)
                self._end_epoch(logs)
            self._call("on_train_end")
        return self.history

    def _step(self, batch: Any) -> None:
        """Forward, loss, backward, update."""
        inputs, target = self._unpack(batch)
        output = self.model(*inputs)
        loss = self.training_loss(output, target)

        self.optimizer.zero_grad()
        loss.backward()
        self._check(inputs, output, target, loss)
        self._clip()
        self.optimizer.step()
        self._tally.add(loss.item(), _count(inputs, target), output, target)

    def _batches(self, train: Any) -> Iterator[Any]:
        """The batches of an epoch, those left out that were done before the training was resumed. Between them is
        where callbacks are called, and where Ctrl-C takes effect."""
        if not self.batch:
            self._call("on_epoch_begin", self.epoch)
            self._epoch_began = self._states()
        for batch in self._rest(train) if self.batch else train:
            self._call("on_train_batch_begin", self.batch)
            self._before = self._states()
            yield batch
            if self.scheduler is not None and self.scheduler_each == "batch":
                self.scheduler.step()
            self.batch += 1
            self._call("on_train_batch_end", self.batch - 1, {"loss": self._tally.last})
            self._interrupts.check()
        if not self.batch:
            raise ValueError(f"there is no batch in epoch {self.epoch + 1}: the data are empty, or a generator, which "
                             "can be read only once")

    def _rest(self, train: Any) -> Iterator[Any]:
        """The batches after those that are done. Their order was drawn when the epoch began: so it is again."""
        now = self._states()
        self._restore(self._epoch_began)
        todo, seen = iter(train), 0
        saved = f"the training was saved after {self.batch:,} batches of epoch {self.epoch + 1}"
        for done in range(self.batch):
            if (batch := next(todo, None)) is None:
                raise ValueError(f"{saved}, but the data have {done:,}: give the same data and batch_size as then")
            seen += _count(*self._unpack(batch))
        if seen != self._tally.samples:
            raise ValueError(f"{saved}, which had {self._tally.samples:,} samples, but here they have {seen:,}: give "
                             "the same data and batch_size as then")
        self._restore(now)
        return todo

    def _check(self, inputs: list[Any], output: Any, target: Any, loss: Tensor) -> None:
        """Warn of the mistakes that a first batch shows; stop at a loss or gradient that is nan or inf."""
        if self._first:
            mistakes.check_inputs(self.model, inputs)
            mistakes.check_output(self.loss, output, loss)
            self._first = False
        if mistakes.is_finite(loss, self.optimizer):
            return
        self.optimizer.zero_grad()
        self._restore(self._before)
        why = mistakes.explain(self.model, inputs, target, self.training_loss)
        self.optimizer.zero_grad()
        what = "a gradient is not finite" if loss.isfinite() else f"the loss is {loss.item()}"
        raise RuntimeError(f"in epoch {self.epoch + 1}, batch {self.batch + 1}, {what}: {why}")

    def _clip(self) -> None:
        """Clip the gradients, if so asked."""
        if self.clip_norm is not None:
            clip_grad_norm_(list(self.model.parameters()), self.clip_norm)
        if self.clip_value is not None:
            clip_grad_value_(self.model.parameters(), self.clip_value)

    def _end_epoch(self, logs: dict[str, float]) -> None:
        """Note the epoch's figures, take the schedule's step, and let the callbacks see."""
        if self.scheduler is not None:
            logs["lr"] = float(self.optimizer.param_groups[0]["lr"])
            if self._plateau():
                self.scheduler.step(logs[self._watched()])
            elif self.scheduler_each == "epoch":
                self.scheduler.step()
        self.history.append(self.epoch, logs)
        mistakes.check_progress(self.history.history["loss"])
        self.epoch, self.batch, self._tally = self.epoch + 1, 0, Tally(self.loss, self.metrics)
        self._call("on_epoch_end", self.epoch - 1, logs)
        mistakes.check_mode(self.model)
        self._interrupts.check()

    def _call(self, hook: str, *arguments: Any) -> None:
        for callback in self.callbacks:
            getattr(callback, hook)(*arguments)

    # ---- using the model
    def evaluate(self, x: Any, y: Any = None, *, batch_size: int = 32) -> dict[str, float]:
        """The loss and the metrics on data given as to fit(), by name; the model is in eval mode meanwhile."""
        return self._evaluate(batches(x, y, positive("batch_size", batch_size), False, self._dtype()))

    def _evaluate(self, loader: Any) -> dict[str, float]:
        tally = Tally(self.loss, self.metrics)
        with _eval_mode(self.model), no_grad():
            for batch in loader:
                inputs, target = self._unpack(batch)
                with mistakes.telling_dtypes(self.model, batch):
                    output = self.model(*inputs)
                tally.add(self.loss(output, target).item(), _count(inputs, target), output, target)
                self._interrupts.check()
        if not tally.samples:
            raise ValueError("there is nothing to evaluate on: the data are empty, or a generator that was read before")
        return tally.logs()

    def predict(self, x: Any, *, batch_size: int = 32) -> Tensor:
        """The model's outputs for tensors or arrays (a tuple: several inputs), or for a data set or loader, of which
        the targets are left out; the model is in eval mode meanwhile."""
        batch_size, outputs = positive("batch_size", batch_size), []
        with _eval_mode(self.model), no_grad():
            for batch in batches(x, None, batch_size, False, self._dtype(), targets=False):
                parts = list(batch) if isinstance(batch, (tuple, list)) else [batch]
                inputs = parts if is_array(x) or len(parts) == 1 else parts[:-1]
                with mistakes.telling_dtypes(self.model, (*inputs, None)):
                    outputs.append(self.model(*map(self._to_device, inputs)))
        if not outputs:
            raise ValueError("there is nothing to predict: the data are empty, or a generator that was read before")
        if not all(isinstance(output, Tensor) for output in outputs):
            raise TypeError(f"predict() joins tensors, but the model gave a {type(outputs[0]).__name__}")
        return cat(outputs)

    # ---- saving and going on
    def state_dict(self) -> dict[str, Any]:
        """All that a training needs to go on: model, optimizer, schedule, callbacks, history, random streams, and how
        far it was."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": None if self.scheduler is None else self.scheduler.state_dict(),
            "callbacks": self._callback_states(),
            "history": {"epoch": self.history.epoch, "history": self.history.history},
            "epoch": self.epoch,
            "batch": self.batch,
            "tally": self._tally.state_dict(),
            "stop_training": self.stop_training,
            "streams": {"now": self._states(), "epoch began": self._epoch_began},
        }

    def save_checkpoint(self, path: str | os.PathLike[str]) -> None:
        """Save the training, as it is between two steps, for `fit(resume_from=path)`: from a callback, after Ctrl-C or
        after fit(). The file is complete before it takes its name. (ModelCheckpoint does it after each epoch.)

        >>> model = tn.nn.Linear(2, 1)
        >>> trainer = tn.Trainer(model, tn.nn.MSELoss(), tn.optim.Adam(model.parameters()))
        >>> trainer.save_checkpoint("last.ckpt"); tn.load("last.ckpt")["epoch"]
        0
        """
        save(self.state_dict(), path)

    def _resume(self, path: str | os.PathLike[str]) -> None:
        state = load(path)
        if not isinstance(state, dict) or not state.keys() >= self.state_dict().keys():
            raise ValueError(f"{path} is no checkpoint of a Trainer")
        try:
            check_kind("the file", state, FILE)
            self._go_on(state)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError, RuntimeError) as problem:
            why = problem.args[0] if problem.args else type(problem).__name__  # a KeyError would quote it
            raise ValueError(f"{path} is no checkpoint of such a training, or is damaged: {why}") from problem

    def _go_on(self, state: dict[str, Any]) -> None:
        """Take over what was saved, of which FILE is seen to already."""
        if any(len(pair) != 2 for pair in state["callbacks"]):
            raise TypeError(f"callbacks must be pairs of a name and a state, got {brief(state['callbacks'])}")
        saved, mine = ([name for name, _ in pairs] for pairs in (state["callbacks"], self._callback_states()))
        if saved != mine:
            raise ValueError(f"it has the state of the callbacks {saved}, this training has {mine}")
        if (state["scheduler"] is None) != (self.scheduler is None):
            raise ValueError(f"it was saved with{'out' * (state['scheduler'] is None)} a scheduler")
        self._epoch_began = state["streams"]["epoch began"]
        for states in (self._epoch_began, state["streams"]["now"]):
            if len(states) != len(self._streams):
                raise ValueError(f"it was saved with {len(states)} generators of random numbers, this training has "
                                 f"{len(self._streams)}: give the same model and loaders as then")
            self._restore(states)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        pairs = [*zip(state["optimizer"]["param_groups"], self.optimizer.state_dict()["param_groups"], strict=True)]
        self.optimizer._opt_called = True  # else the schedule would think that its step comes too early
        if self.scheduler is not None:
            self.scheduler.load_state_dict(state["scheduler"])
            pairs.append((state["scheduler"], self.scheduler.state_dict()))
        for part, whole in pairs:  # what is not there would begin anew
            if missing := whole.keys() - part.keys():
                raise KeyError(f"it has no {min(missing)!r} among {brief([*part])}")
        stateful = [callback for callback in self.callbacks if callback.state_dict()]
        for callback, (_, saved_state) in zip(stateful, state["callbacks"], strict=True):
            callback.load_state_dict(saved_state)
        epochs, curves = state["history"]["epoch"], state["history"]["history"]
        self.epoch, self.batch = count("epoch", state["epoch"]), count("batch", state["batch"])
        if epochs != [*range(len(epochs))] or self.epoch != len(epochs):
            raise ValueError(f"it has the figures of the epochs {brief(epochs)}, but goes on after {self.epoch} epochs")
        for name, values in curves.items():
            check_kind(f"history[{name!r}]", values, [math.nan])
        if {len(values) for values in curves.values()} - {self.epoch} or (epochs and "loss" not in curves):
            raise ValueError(f"history is no table of {self.epoch} epochs, their loss among it: {brief(curves)}")
        self.history = History([*epochs], {name: [*values] for name, values in curves.items()})
        self._tally.load_state_dict(state["tally"])
        if bool(self._tally.samples) != bool(self.batch):
            raise ValueError(f"it has counted {self._tally.samples} samples in {self.batch} batches")
        self.stop_training, self.resumed = state["stop_training"], True

    def _callback_states(self) -> list[Any]:
        return [[type(c).__name__, c.state_dict()] for c in self.callbacks if c.state_dict()]

    def _states(self) -> list[Any]:
        """Where every random stream stands."""
        return [stream.get_state() for stream in self._streams]

    def _restore(self, states: list[Any]) -> None:
        for stream, state in zip(self._streams, states, strict=True):
            stream.set_state(state)

    # ---- setting up
    def _begin(self, callbacks: Callbacks, train: Any, held_out: Any) -> None:
        """Before the first step of a new training."""
        self.callbacks = [*self._given, *listed(callbacks)]
        self.callbacks.sort(key=lambda callback: isinstance(callback, ModelCheckpoint))  # last: they save all states
        for callback in self.callbacks:
            callback.trainer = self
        self.epoch = self.batch = 0
        self.history, self._tally = History(), Tally(self.loss, self.metrics)
        self.stop_training, self.resumed, self._first = False, False, True
        self._interrupts = Interrupts()
        self._streams = streams(*self.model.modules(), train, held_out, *self.callbacks)
        self._epoch_began = self._states()
        names = ["loss", *self.metrics]
        self.quantities = [*names, *(f"val_{name}" for name in names if held_out is not None),
                           *(["lr"] if self.scheduler is not None else [])]
        if train is not None and self._plateau() and self._watched() not in self.quantities:
            there = ", ".join(map(repr, self.quantities))
            raise ValueError(f"monitor={self.monitor!r}, but there will only be {there}")

    def _plateau(self) -> bool:
        return isinstance(self.scheduler, ReduceLROnPlateau)

    def _watched(self) -> str:
        """What ReduceLROnPlateau is fed."""
        return self.monitor or ("val_loss" if "val_loss" in self.quantities else "loss")

    def _dtype(self) -> DType:
        """That of the model's parameters."""
        return next((p.dtype for p in self.model.parameters()), get_default_dtype())

    def _unpack(self, batch: Any) -> tuple[list[Any], Any]:
        """A batch as (inputs, target), on the device."""
        if not isinstance(batch, (tuple, list)) or len(batch) < 2:
            raise TypeError(f"a batch must be (inputs..., target), got {type(batch).__name__}"
                            + (f" of {len(batch)}" if isinstance(batch, (tuple, list)) else ""))
        *inputs, target = map(self._to_device, batch)
        return inputs, target

    def _to_device(self, part: Any) -> Any:
        return part.to(self.device) if self.device is not None and isinstance(part, Tensor) else part

    def _weighted(self, loss: Any, weights: Any) -> Any:
        """The loss with a weight for each class."""
        if not isinstance(loss, (CrossEntropyLoss, NLLLoss)):
            raise TypeError(f"class_weights go with CrossEntropyLoss and NLLLoss, got {type(loss).__name__}")
        if loss.weight is not None:
            raise ValueError("the loss has class weights already: leave class_weights out")
        if isinstance(weights, dict):
            if sorted(weights) != list(range(len(weights))):
                raise ValueError(f"class_weights must have a weight for each class from 0 on, got {weights}")
            weights = [weights[k] for k in range(len(weights))]
        weighted = copy.deepcopy(loss)
        weighted.weight = self._to_device(as_tensor(weights).to(self._dtype()))
        return weighted


@contextmanager
def _eval_mode(model: Module) -> Iterator[None]:
    """The model in eval mode; each module is then in the mode that it was in."""
    before = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in before:
            module.training = training


def _count(inputs: list[Any], target: Any) -> int:
    """How many samples a batch has."""
    t = target if isinstance(target, Tensor) else inputs[0]
    return len(t) if t.ndim else 1


def _check_parts(model: Any, loss: Any, optimizer: Any, scheduler: Any, scheduler_each: str) -> None:
    for name, part in (("model", model), ("loss", loss), ("optimizer", optimizer), ("scheduler", scheduler)):
        if isinstance(part, type):
            raise TypeError(f"{name}={part.__name__} is a class: make an object of it, {part.__name__}(...)")
    if not isinstance(model, Module):
        raise TypeError(f"model must be a tn.nn.Module, got {type(model).__name__}")
    if not callable(loss):
        raise TypeError(f"loss must be a function of (output, target), got {type(loss).__name__}")
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"optimizer must be one of tn.optim, got {type(optimizer).__name__}")
    if scheduler is not None and getattr(scheduler, "optimizer", None) is not optimizer:
        raise ValueError("the scheduler must be one of this very optimizer")
    if scheduler_each not in ("epoch", "batch"):
        raise ValueError(f"scheduler_each must be 'epoch' or 'batch', got {scheduler_each!r}")
    if scheduler_each == "batch" and isinstance(scheduler, ReduceLROnPlateau):
        raise ValueError("ReduceLROnPlateau looks at whole epochs: leave scheduler_each='epoch'")
