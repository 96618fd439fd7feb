"""What schedules share: counting epochs, and writing learning rates into the optimizer's groups."""

from __future__ import annotations

import copy
import warnings
from typing import Any

from tinynet.kinds import TOO_MANY, check_known, number
from tinynet.nvidia import recording
from tinynet.optim.optimizer import Optimizer
from tinynet.tensor import Tensor


class LRScheduler:
    """The base class. It takes a first step when it is made, to epoch 0. A subclass writes `get_lr()`, the next
    learning rates of all groups, or `_next(lr, base_lr, k)`, that of group k: from the present one, so that
    several schedules can act on one optimizer. base_lrs are the learning rates at the start, kept in the groups
    as 'initial_lr'.

    last_epoch: where to go on, with an optimizer that was loaded; KeyError if its groups have no 'initial_lr'.

    >>> class HalfLR(tn.optim.lr_scheduler.LRScheduler):
    ...     def get_lr(self):
    ...         return [base_lr / 2**self.last_epoch for base_lr in self.base_lrs]
    >>> optimizer = tn.optim.SGD([tn.zeros(2)], lr=1.0); scheduler = HalfLR(optimizer)
    >>> optimizer.step(); scheduler.step(); scheduler.get_last_lr()
    [0.5]
    """

    _get_lr_called_within_step = False
    _is_initial = False  # during the first step, when the groups may hold the learning rates of a resumed run
    _may_be_none: tuple[str, ...] = ()  # attributes, which the schedule checks itself
    _last_lr: list[Any]
    _step_count: int

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        check_optimizer(optimizer)
        self.optimizer = optimizer
        for k, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", copy_of(group["lr"]))
            elif "initial_lr" not in group:
                raise KeyError(
                    f"param 'initial_lr' is not specified in param_groups[{k}] when resuming scheduler with last_epoch "
                    ">= 0. Load the optimizer's state_dict first; in a fresh run leave last_epoch at -1."
                )
        self.base_lrs = options(optimizer, "initial_lr")
        self.last_epoch = last_epoch
        self._check_options()
        self._initial_step()

    def _initial_step(self) -> None:
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    def step(self, epoch: Any = None) -> None:
        """Go to the next epoch (to `epoch` by the closed form, which PyTorch deprecates) and set the learning
        rates. Warns if optimizer.step() was not called before."""
        recording.only_eager("a schedule counts on the processor: call its step() after the recorded one, outside")
        leaves_a_mark = type(self.optimizer).step is Optimizer.step  # one of another kind cannot be asked
        if self._step_count == 1 and leaves_a_mark and not self.optimizer._opt_called:
            warnings.warn(
                "Detected call of `lr_scheduler.step()` before `optimizer.step()`. Call them in the opposite order: "
                "`optimizer.step()` before `lr_scheduler.step()`, or the first value of the learning rate schedule "
                "is skipped.",
                stacklevel=2,
            )
        self._step_count += 1
        if epoch is not None:
            _warn_of_epoch()
        self._update_lr(epoch)

    def _update_lr(self, epoch: Any = None) -> None:
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        self._get_lr_called_within_step = True
        try:
            if epoch is not None and hasattr(self, "_closed_form"):
                lrs = [self._closed_form(base_lr) for base_lr in self.base_lrs]
            else:
                lrs = self.get_lr()
        finally:
            self._get_lr_called_within_step = False
        for group, lr in zip(self.optimizer.param_groups, lrs, strict=True):
            set_option(group, "lr", lr)
        self._last_lr = options(self.optimizer, "lr")

    def get_lr(self) -> list[Any]:
        """The next learning rates: what step() asks for. Warns outside of it: use get_last_lr()."""
        if not hasattr(self, "_next"):
            raise NotImplementedError(f"{type(self).__name__} has no get_lr")
        if not self._get_lr_called_within_step:
            warnings.warn(
                "To get the last learning rate computed by the scheduler, please use `get_last_lr()`.", stacklevel=2
            )
        present = options(self.optimizer, "lr")
        return [self._next(lr, base_lr, k) for k, (lr, base_lr) in enumerate(zip(present, self.base_lrs, strict=True))]

    def get_last_lr(self) -> list[Any]:
        """The learning rates of all groups, as this schedule set them last."""
        return self._last_lr

    def state_dict(self) -> dict[str, Any]:
        """All attributes but the optimizer."""
        return {name: value for name, value in self.__dict__.items() if name != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from where another schedule of this kind stood. The learning rates themselves are in the
        optimizer's state_dict. TypeError, KeyError or ValueError, and nothing is loaded, for what can be no state of
        this schedule."""
        # of the methods too: no number can take their place
        here = {name: getattr(self, name) for name in dir(self) if name not in self._may_be_none}
        check_known(f"the state_dict of {type(self).__name__}", state_dict, here)
        trial = copy.copy(self)
        trial.__dict__.update(state_dict)
        trial._check_options()
        self.__dict__.update(state_dict)

    def _check_options(self) -> None:
        """ValueError or TypeError unless the attributes are those of such a schedule. A subclass adds its own to it."""
        if not abs(number("last_epoch", getattr(self, "last_epoch", 0))) < TOO_MANY:
            raise ValueError(f"last_epoch must be a number of epochs, got {self.last_epoch}")
        if len(getattr(self, "base_lrs", groups := self.optimizer.param_groups)) != len(groups):
            raise ValueError(f"there are {len(self.base_lrs)} base_lrs for {len(groups)} groups of parameters")


def check_optimizer(optimizer: Any) -> None:
    """TypeError for anything else."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")


def copy_of(value: Any) -> Any:
    """An option of a group, safe from changes in place if it is a tensor."""
    return value.clone() if isinstance(value, Tensor) else value


def options(optimizer: Optimizer, name: str) -> list[Any]:
    """What the groups have under this name, copied."""
    return [copy_of(group[name]) for group in optimizer.param_groups]


def set_option(group: dict[str, Any], name: str, value: Any) -> None:
    """Write a number into a group; into its tensor, if it has one there."""
    if isinstance(group[name], Tensor):
        group[name].fill_(float(value))
    else:
        group[name] = value


def one_for_each_group(name: str, optimizer: Optimizer, value: Any) -> list[Any]:
    """A list of as many values as groups: the given one, or the given value in each place."""
    n = len(optimizer.param_groups)
    if not isinstance(value, (list, tuple)):
        return [copy_of(value) for _ in range(n)]
    if len(value) != n:
        raise ValueError(
            f"{name} must have the same length as optimizer.param_groups. {name} has {len(value)} values, "
            f"param_groups has {n}."
        )
    return [copy_of(v) for v in value]


def _warn_of_epoch() -> None:
    warnings.warn(
        "The epoch parameter in `scheduler.step()` is deprecated: use `scheduler.step()` to step the scheduler. With "
        "epoch the closed form is used instead of the chainable form, where there is one.",
        stacklevel=3,
    )
