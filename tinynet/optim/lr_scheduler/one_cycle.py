"""The 1cycle schedule: learning rate up, then far down, momentum the other way."""

from __future__ import annotations

import math
from typing import Any

from tinynet.kinds import number
from tinynet.optim.lr_scheduler.scheduler import LRScheduler, check_optimizer, one_for_each_group
from tinynet.optim.optimizer import Optimizer


class OneCycleLR(LRScheduler):
    """The learning rate goes from max_lr / div_factor up to max_lr in the first pct_start of total_steps, then
    down to max_lr / div_factor / final_div_factor; momentum (or beta1) from max_momentum to base_momentum and
    back. Between a and b, at p of the way,

        cos:     b + (a - b) (1 + cos(pi p)) / 2
        linear:  a + (b - a) p

    three_phase: the way down first mirrors the way up, and the rest is spent below. Call step() after every
    batch: ValueError after total_steps (or epochs * steps_per_epoch) of them, or if the optimizer has no
    momentum to cycle and cycle_momentum is not False. Smith & Topin 2018 (super-convergence).

    >>> optimizer = tn.optim.SGD([tn.zeros(2)], lr=0.1, momentum=0.9)
    >>> scheduler = tn.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=10, div_factor=4)
    >>> optimizer.step(); scheduler.step(); scheduler.get_last_lr(), optimizer.param_groups[0]["momentum"]
    ([0.625], 0.8999999999999999)
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        check_optimizer(optimizer)
        if total_steps is not None:
            self.total_steps = _positive("total_steps", total_steps)
        elif epochs is not None and steps_per_epoch is not None:
            self.total_steps = _positive("epochs", epochs) * _positive("steps_per_epoch", steps_per_epoch)
        else:
            raise ValueError("You must define either total_steps OR (epochs AND steps_per_epoch)")
        if not isinstance(pct_start, float) or not 0 <= pct_start <= 1:
            raise ValueError(f"Expected float between 0 and 1 pct_start, but got {pct_start}")
        _check_strategy(anneal_strategy)
        self._anneal_func_type = anneal_strategy
        turn, end = pct_start * self.total_steps - 1, self.total_steps - 1
        up = _phase(turn, "initial_lr", "max_lr", "max_momentum", "base_momentum")
        if three_phase:
            down = _phase(2 * turn, "max_lr", "initial_lr", "base_momentum", "max_momentum")
            self._schedule_phases = [up, down, _phase(end, "initial_lr", "min_lr", "max_momentum", "max_momentum")]
        else:
            self._schedule_phases = [up, _phase(end, "max_lr", "min_lr", "base_momentum", "max_momentum")]

        max_lrs = one_for_each_group("max_lr", optimizer, max_lr)
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            if not {"momentum", "betas"} & optimizer.defaults.keys():
                raise ValueError("optimizer must support momentum or beta1 with `cycle_momentum` option enabled")
            self.use_beta1 = "betas" in optimizer.defaults
            highest = one_for_each_group("max_momentum", optimizer, max_momentum)
            lowest = one_for_each_group("base_momentum", optimizer, base_momentum)
        if last_epoch == -1:
            for k, group in enumerate(optimizer.param_groups):
                group["initial_lr"] = max_lrs[k] / div_factor
                group["max_lr"] = max_lrs[k]
                group["min_lr"] = group["initial_lr"] / final_div_factor
                if cycle_momentum:
                    group["max_momentum"], group["base_momentum"] = highest[k], lowest[k]
        super().__init__(optimizer, last_epoch)

    def _check_options(self) -> None:
        super()._check_options()
        _positive("total_steps", self.total_steps)
        _check_strategy(self._anneal_func_type)
        if not self._schedule_phases:
            raise ValueError("OneCycleLR: _schedule_phases has none")
        ends = ("start_lr", "end_lr", "start_momentum", "end_momentum")[: 4 if self.cycle_momentum else 2]
        used = {phase[end] for phase in self._schedule_phases for end in ends}
        cycled = {"betas" if self.use_beta1 else "momentum"} if self.cycle_momentum else set()
        for k, group in enumerate(self.optimizer.param_groups):
            if missing := sorted((used | cycled) - group.keys()):
                raise KeyError(f"OneCycleLR goes by {missing[0]!r}, which param_groups[{k}] has not")
            for name in used:
                number(f"param_groups[{k}][{name!r}]", group[name])

    def _next(self, lr: Any, base_lr: Any, k: int) -> Any:
        t, group, start = self.last_epoch, self.optimizer.param_groups[k], 0.0
        if t > self.total_steps:
            raise ValueError(f"Tried to step {t} times. The specified number of total steps is {self.total_steps}")
        for phase in self._schedule_phases:
            end = phase["end_step"]
            if t <= end or phase is self._schedule_phases[-1]:
                break
            start = end
        p = (t - start) / (end - start) if end != start else 1.0  # a way up of a single step is over at once
        if self.cycle_momentum:
            momentum = self._between(group[phase["start_momentum"]], group[phase["end_momentum"]], p)
            if self.use_beta1:
                group["betas"] = (momentum, *group["betas"][1:])
            else:
                group["momentum"] = momentum
        return self._between(group[phase["start_lr"]], group[phase["end_lr"]], p)

    def _between(self, a: Any, b: Any, p: float) -> Any:
        if self._anneal_func_type == "cos":
            return b + (a - b) / 2.0 * (math.cos(math.pi * p) + 1)
        return (b - a) * p + a


def _check_strategy(name: str) -> None:
    if name not in ("cos", "linear"):
        raise ValueError(f"anneal_strategy must be one of 'cos' or 'linear', instead got {name}")


def _positive(name: str, count: int) -> int:
    if not isinstance(count, int) or count <= 0:
        raise ValueError(f"Expected positive integer {name}, but got {count}")
    return count


def _phase(end: float, start_lr: str, end_lr: str, start_momentum: str, end_momentum: str) -> dict[str, Any]:
    return {
        "end_step": end,
        "start_lr": start_lr,
        "end_lr": end_lr,
        "start_momentum": start_momentum,
        "end_momentum": end_momentum,
    }
