"""Several schedules on one optimizer: one after another, or all at once."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from tinynet.kinds import check_kind
from tinynet.optim.lr_scheduler.plateau import ReduceLROnPlateau
from tinynet.optim.lr_scheduler.scheduler import LRScheduler, options, set_option
from tinynet.optim.optimizer import Optimizer


class _Several(LRScheduler):
    """What holds other schedules: their check, and their state in its own."""

    _schedulers: Sequence[Any]

    def _check(self, schedulers: Sequence[Any], optimizer: Optimizer) -> None:
        name = type(self).__name__
        for k, scheduler in enumerate(schedulers):
            if not hasattr(scheduler, "optimizer"):
                raise TypeError(f"{name} at index {k} should have `optimizer` as its attribute.")
            if isinstance(scheduler, ReduceLROnPlateau):
                raise ValueError(
                    f"{name} does not support `ReduceLROnPlateau` scheduler as it requires additional kwargs to be "
                    f"specified when calling `step`, but got one at index {k} in the given schedulers sequence."
                )
            if optimizer is not scheduler.optimizer:
                raise ValueError(
                    f"{name} expects all schedulers to belong to the same optimizer, but got scheduler "
                    f"{type(scheduler).__name__} at index {k} has {scheduler.optimizer}, which is different from "
                    f"{type(optimizer).__name__}."
                )

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "_schedulers": [s.state_dict() for s in self._schedulers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        check_kind(f"the state_dict of {type(self).__name__}", state_dict, {"_schedulers": [{}]})
        saved = state_dict["_schedulers"]
        if len(saved) != len(self._schedulers):
            raise ValueError(f"{type(self).__name__} has {len(self._schedulers)} schedules, got states of {len(saved)}")
        before: list[dict[str, Any]] = []
        try:
            for scheduler, state in zip(self._schedulers, saved, strict=True):
                before.append(scheduler.state_dict())
                scheduler.load_state_dict(state)
            super().load_state_dict({name: value for name, value in state_dict.items() if name != "_schedulers"})
        except Exception:
            for scheduler, state in zip(self._schedulers, before, strict=False):
                scheduler.load_state_dict(state)
            raise


class SequentialLR(_Several):
    """The first schedule up to the first milestone, then the second from its beginning, and so on.

    TypeError and ValueError unless they are of this optimizer and one more than the milestones.

    >>> from tinynet.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR
    >>> optimizer = tn.optim.SGD([tn.zeros(2)], lr=1.0)
    >>> warm_up, rest = LinearLR(optimizer, 0.5, total_iters=2), CosineAnnealingLR(optimizer, T_max=2)
    >>> scheduler = SequentialLR(optimizer, [warm_up, rest], milestones=[2])
    >>> for _ in range(3):
    ...     print(scheduler.get_last_lr())
    ...     optimizer.step(); scheduler.step()
    [0.5]
    [0.75]
    [1.0]
    """

    def __init__(
        self, optimizer: Optimizer, schedulers: list[Any], milestones: list[int], last_epoch: int = -1
    ) -> None:
        if len(schedulers) < 1:
            raise ValueError(f"{type(self).__name__} expects at least one scheduler, but got no scheduler.")
        self._check(schedulers, optimizer)
        self._schedulers, self._milestones = schedulers, milestones
        self.optimizer, self.last_epoch = optimizer, last_epoch + 1
        self._check_options()
        # Each of them took its first step when it was made: undo that, and let the first alone take it.
        for group in optimizer.param_groups:
            set_option(group, "lr", group["initial_lr"])
        _undo_first_step(self)
        first = schedulers[bisect_right(milestones, 0)]
        first._initial_step()
        self._last_lr = first.get_last_lr()

    def _check_options(self) -> None:
        super()._check_options()
        if len(self._milestones) != len(self._schedulers) - 1:
            raise ValueError(
                "Sequential Schedulers expects number of schedulers provided to be one more than the number of "
                f"milestone points, but got number of schedulers {len(self._schedulers)} and the number of milestones "
                f"to be equal to {len(self._milestones)}"
            )

    def step(self) -> None:  # type: ignore[override]
        """Go to the next epoch: a step of the schedule whose turn it is."""
        self.last_epoch += 1
        k = bisect_right(self._milestones, self.last_epoch)
        if k > 0 and self._milestones[k - 1] == self.last_epoch:
            self._schedulers[k]._update_lr(0)
        else:
            self._schedulers[k].step()
        self._last_lr = self._schedulers[k].get_last_lr()


def _undo_first_step(scheduler: Any) -> None:
    if isinstance(scheduler, _Several):
        for s in scheduler._schedulers:
            _undo_first_step(s)
    else:
        scheduler.last_epoch -= 1


class ChainedScheduler(_Several):
    """All schedules at every step, each on what the ones before it made of the learning rate.

    TypeError and ValueError unless they are of one optimizer.

    >>> from tinynet.optim.lr_scheduler import ChainedScheduler, ConstantLR, ExponentialLR
    >>> optimizer = tn.optim.SGD([tn.zeros(2)], lr=1.0)
    >>> scheduler = ChainedScheduler([ConstantLR(optimizer, factor=0.5), ExponentialLR(optimizer, gamma=0.5)])
    >>> optimizer.step(); scheduler.step(); scheduler.get_last_lr()
    [0.25]
    """

    def __init__(self, schedulers: Sequence[Any], optimizer: Optimizer | None = None) -> None:
        if len(schedulers) < 1:
            raise ValueError(
                f"{type(self).__name__} expects at least one scheduler to be chained, but got no scheduler."
            )
        self.optimizer = optimizer or schedulers[0].optimizer
        self._check(schedulers, self.optimizer)
        self._schedulers = schedulers
        self._last_lr = options(self.optimizer, "lr")

    def step(self) -> None:  # type: ignore[override]
        """A step of each of them."""
        for scheduler in self._schedulers:
            scheduler.step()
        self._last_lr = options(self.optimizer, "lr")
