"""What can be done between the steps of a training: stop early, keep the best model, write down the figures."""
from __future__ import annotations

import csv
import errno
import io
import math
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tinynet.checkpoint import save
from tinynet.files import whole_file
from tinynet.kinds import check_kind, count, positive

Logs = dict[str, float]

HIGHER_IS_BETTER = ("accuracy", "precision", "recall", "f1", "r2", "auc", "score")
LOWER_IS_BETTER = ("loss", "error", "mae", "mse", "rmse", "perplexity")


class Callback:
    """The base class: write those of the hooks below that you need. `self.trainer` is the Trainer that calls them,
    `self.model` its model; `self.trainer.stop_training = True` ends the training after the epoch. Epochs and batches
    are counted from 0; logs holds the epoch's figures, or of a batch its loss.

    What it must remember for a training to be resumed goes through state_dict() and load_state_dict().

    >>> class Halt(tn.Callback):
    ...     def on_epoch_end(self, epoch, logs): self.trainer.stop_training = logs["loss"] < 0.1
    """

    trainer: Any  # the Trainer that calls

    @property
    def model(self) -> Any:
        """The model that is trained."""
        return self.trainer.model

    def on_train_begin(self) -> None:
        """Called by fit() before all else."""

    def on_train_end(self) -> None:
        """Called when fit() ends as it should: not by an error or Ctrl-C."""

    def on_epoch_begin(self, epoch: int) -> None:
        """Called before an epoch's first batch."""

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Called after an epoch, its validation included."""

    def on_train_batch_begin(self, batch: int) -> None:
        """Called before each step."""

    def on_train_batch_end(self, batch: int, logs: Logs) -> None:
        """Called after each step."""

    def state_dict(self) -> dict[str, Any]:
        """What must be remembered for a training to be resumed."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there. TypeError or ValueError for what can be no state."""
        check_kind(f"the state of {type(self).__name__}", state, {})
        for name in state:
            if hasattr(Callback, str(name)) or callable(getattr(self, str(name), None)) or name == "trainer":
                raise ValueError(f"the state of {type(self).__name__} cannot have a {name!r}")
        self.__dict__.update(state)


Callbacks = Sequence[Callback] | Callback | None


def listed(given: Callbacks) -> list[Callback]:
    """Several callbacks, one, or none (None), as a list."""
    callbacks = [] if given is None else [*given] if isinstance(given, Iterable) else [given]
    for callback in callbacks:
        if not isinstance(callback, Callback):
            raise TypeError(f"callbacks must be tn.Callback objects, got {callback!r}")
    return callbacks


def _check_folder(path: str, folder: str) -> None:
    """FileNotFoundError now, and not only when there is something to save."""
    if folder and not os.path.isdir(folder):
        raise FileNotFoundError(errno.ENOENT, f"there is no folder {folder!r}: make it first", path)


class LambdaCallback(Callback):
    """Functions in the place of hooks: on_epoch_begin(epoch), on_epoch_end(epoch, logs), on_train_begin(),
    on_train_end(), on_train_batch_begin(batch), on_train_batch_end(batch, logs). TypeError for another name.

    >>> told = tn.LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch, logs["loss"]))
    """

    def __init__(self, **hooks: Callable[..., Any]) -> None:
        for name, hook in hooks.items():
            if not name.startswith("on_") or not hasattr(Callback, name):
                known = ", ".join(hook for hook in vars(Callback) if hook.startswith("on_"))
                raise TypeError(f"there is no hook {name!r}; there are {known}")
            if not callable(hook):
                raise TypeError(f"{name} must be a function, got {hook!r}")
            setattr(self, name, hook)


class _Watcher(Callback):
    """What callbacks share that compare one quantity with its best so far."""

    def __init__(self, monitor: str, mode: str, min_delta: float = 0.0) -> None:
        if mode not in ("auto", "min", "max"):
            raise ValueError(f"mode must be 'auto', 'min' or 'max', got {mode!r}")
        if mode == "auto":
            name = monitor.removeprefix("val_")
            mode = "max" if any(word in name for word in HIGHER_IS_BETTER) else "min"
            if mode == "min" and not any(word in name for word in LOWER_IS_BETTER):
                raise ValueError(f"is a higher {monitor!r} better, or a lower one? Say mode='max' or mode='min'")
        self.monitor, self.mode, self.min_delta = monitor, mode, abs(min_delta)
        self._forget()

    def _forget(self) -> None:
        self.best = math.inf if self.mode == "min" else -math.inf

    def _improved(self, logs: Logs) -> bool:
        """Whether this epoch is the best so far; if so, that is noted."""
        value = logs[self.monitor]
        margin = self.best - value if self.mode == "min" else value - self.best
        if not margin > self.min_delta:  # nan is no improvement
            return False
        self.best = value
        return True

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there. TypeError, KeyError or ValueError for what is not of the kind of the present state."""
        check_kind(f"the state of {type(self).__name__}", state, self.state_dict())
        super().load_state_dict(state)

    def on_train_begin(self) -> None:
        """ValueError if the quantity will not be there."""
        if self.monitor not in self.trainer.quantities:
            hint = ": give validation_data" if self.monitor.startswith("val_") else ""
            raise ValueError(f"{type(self).__name__} monitors {self.monitor!r}, but there will only be "
                             f"{', '.join(map(repr, self.trainer.quantities))}{hint}")
        if not self.trainer.resumed:
            self._forget()


class EarlyStopping(_Watcher):
    """Stop when the monitored quantity has not been better than its best, by more than min_delta, for `patience` epochs
    (0 is as 1). mode: whether "min" or "max" is better; "auto" knows it of losses, errors and
    the metrics of `tn.metrics`. restore_best_weights: leave the model as it was after its best epoch. ValueError for a
    patience below 0, and if the quantity is not there.

    >>> stop = tn.EarlyStopping("val_accuracy", patience=3, restore_best_weights=True)
    >>> stop.mode
    'max'
    """

    def __init__(self, monitor: str = "val_loss", *, patience: int = 0, min_delta: float = 0.0, mode: str = "auto",
                 restore_best_weights: bool = False) -> None:
        super().__init__(monitor, mode, min_delta)
        self.patience, self.restore_best_weights = count("patience", patience), restore_best_weights

    def _forget(self) -> None:
        super()._forget()
        self.wait, self.best_epoch = 0, -1
        self.best_weights: dict[str, Any] | None = None

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Look whether it is better, and if not, whether that is enough."""
        if self._improved(logs):
            self.wait, self.best_epoch = 0, epoch
            if self.restore_best_weights:
                self.best_weights = {name: t.clone() for name, t in self.model.state_dict().items()}
            return
        self.wait += 1
        if self.wait >= max(self.patience, 1):
            self.trainer.stop_training = True

    def on_train_end(self) -> None:
        """Give the model its best weights back."""
        if self.best_weights is not None:
            self.model.load_state_dict(self.best_weights)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there. The best weights must be some of this model."""
        super().load_state_dict(state)
        if self.best_weights is not None:
            check_kind("the state of EarlyStopping['best_weights']", self.best_weights, self.model.state_dict())

    def state_dict(self) -> dict[str, Any]:
        """The best so far, and how long ago that was."""
        return {name: getattr(self, name) for name in ("best", "wait", "best_epoch", "best_weights")}


class ModelCheckpoint(_Watcher):
    """Save the training after each epoch to a file from which `fit(resume_from=filepath)` goes on; or only the model's
    weights. The name may hold the epoch (counted from 1) and its figures: "epoch {epoch:02d}, {val_loss:.3f}.ckpt".

    save_best_only: only after an epoch in which `monitor` was better than ever (mode: as in EarlyStopping). save_freq:
    "epoch", or a number of batches after which to save each time. A new file takes the place of an old one only when
    it is complete and on the disk. It is called after all other callbacks, so that their state is in it.

    >>> best = tn.ModelCheckpoint("best.ckpt", monitor="val_accuracy", save_best_only=True)
    """

    def __init__(self, filepath: str | os.PathLike[str], monitor: str = "val_loss", *, save_best_only: bool = False,
                 save_weights_only: bool = False, mode: str = "auto", save_freq: str | int = "epoch") -> None:
        super().__init__(monitor, mode if save_best_only else "min")
        if save_freq != "epoch":
            save_freq = positive("save_freq, if not 'epoch',", save_freq)
        if save_best_only and save_freq != "epoch":
            raise ValueError("save_best_only looks at whole epochs: leave save_freq='epoch'")
        self.filepath, self.save_best_only = os.fspath(filepath), save_best_only
        self.save_weights_only, self.save_freq = save_weights_only, save_freq

    def on_train_begin(self) -> None:
        """ValueError if the quantity, or one in the name, will not be there; FileNotFoundError if the folder is not."""
        if self.save_best_only:
            super().on_train_begin()
        folder = os.path.dirname(self.filepath)
        if "{" not in folder:  # else it is known, and may be made, only later
            _check_folder(self.filepath, folder)
        if self.save_freq == "epoch":
            self._name(0, dict.fromkeys(self.trainer.quantities, 0.0))

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Save, if it is to be saved after this epoch."""
        if self.save_freq == "epoch" and (not self.save_best_only or self._improved(logs)):
            self._save(epoch, logs)

    def on_train_batch_end(self, batch: int, logs: Logs) -> None:
        """Save, if it is to be saved after this batch."""
        if self.save_freq != "epoch" and (batch + 1) % int(self.save_freq) == 0:
            self._save(self.trainer.epoch, logs)

    def _name(self, epoch: int, logs: Logs) -> str:
        try:
            return self.filepath.format(epoch=epoch + 1, **logs)
        except (KeyError, IndexError, ValueError) as problem:
            raise ValueError(f"the name {self.filepath!r} can hold {{epoch}} and {', '.join(map(repr, logs))}: "
                             f"{problem!r}") from None

    def _save(self, epoch: int, logs: Logs) -> None:
        path = self._name(epoch, logs)
        if self.save_weights_only:
            save(self.model.state_dict(), path)
        else:
            self.trainer.save_checkpoint(path)

    def state_dict(self) -> dict[str, Any]:
        """The best so far."""
        return {"best": self.best}


class CSVLogger(Callback):
    """A table of all epochs so far, a row each, in the file `filename`; written anew after each epoch, and so always
    complete, also of a training that was resumed.

    >>> log = tn.CSVLogger("training.csv")
    """

    def __init__(self, filename: str | os.PathLike[str], separator: str = ",") -> None:
        self.filename, self.separator = os.fspath(filename), separator

    def on_train_begin(self) -> None:
        """FileNotFoundError if the folder is not there."""
        _check_folder(self.filename, os.path.dirname(self.filename))

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Write the table."""
        history = self.trainer.history
        text = io.StringIO()
        table = csv.writer(text, delimiter=self.separator, lineterminator="\n")
        table.writerow(["epoch", *history.history])
        table.writerows(zip(history.epoch, *history.history.values(), strict=True))
        with whole_file(self.filename) as file:
            file.write(text.getvalue().encode())
