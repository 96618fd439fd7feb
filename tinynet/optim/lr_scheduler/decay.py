"""Schedules by a factor: constant, linear, exponential, in steps, or any function of the epoch."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable
from reprlib import repr as brief
from types import FunctionType
from typing import Any

from tinynet.kinds import check_kind, check_known, count, number
from tinynet.optim.lr_scheduler.scheduler import LRScheduler
from tinynet.optim.optimizer import Optimizer


class LambdaLR(LRScheduler):
    """lr_t = lr_0 f(t), with one function for all groups or a list of one each. state_dict() keeps what is in
    callable objects, not functions: give the same ones again.

    >>> optimizer = tn.optim.SGD([tn.zeros(2)], lr=1.0)
    >>> scheduler = tn.optim.lr_scheduler.LambdaLR(optimizer, lambda t: 1 / (1 + t))
    >>> optimizer.step(); scheduler.step(); scheduler.get_last_lr()
    [0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | list[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        n = len(optimizer.param_groups)
        self.lr_lambdas = list(lr_lambda) if isinstance(lr_lambda, (list, tuple)) else [lr_lambda] * n
        if len(self.lr_lambdas) != n:
            raise ValueError(f"Expected {n} lr_lambdas, but got {len(self.lr_lambdas)}")
        super().__init__(optimizer, last_epoch)

    def _next(self, lr: Any, base_lr: Any, k: int) -> Any:
        return base_lr * self.lr_lambdas[k](self.last_epoch)

    def state_dict(self) -> dict[str, Any]:
        state = [dict(vars(f)) if _has_state(f) else None for f in self.lr_lambdas]
        return {**super().state_dict(), "lr_lambdas": state}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        check_kind("the state_dict of LambdaLR", state_dict, {"lr_lambdas": []})
        saved = state_dict["lr_lambdas"]
        if [state is not None for state in saved] != [_has_state(f) for f in self.lr_lambdas]:
            raise ValueError(f"lr_lambdas of LambdaLR are {brief(saved)}, which is no state of these functions")
        for k, (f, state) in enumerate(zip(self.lr_lambdas, saved, strict=True)):
            if state is not None:
                check_known(f"lr_lambdas[{k}] of LambdaLR", state, vars(f))
        super().load_state_dict({name: value for name, value in state_dict.items() if name != "lr_lambdas"})
        for f, state in zip(self.lr_lambdas, saved, strict=True):
            if state is not None:
                vars(f).update(state)


def _has_state(f: Callable[[int], float]) -> bool:
    return hasattr(f, "__dict__") and not isinstance(f, FunctionType)


class StepLR(LRScheduler):
    """lr_t = lr_0 gamma^floor(t / step_size).

    >>> optimizer = tn.optim.SGD([tn.zeros(2)], lr=1.0)
    >>> scheduler = tn.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
    >>> optimizer.step(); scheduler.step(); scheduler.get_last_lr()
    [0.5]
    """

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1) -> None:
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def _next(self, lr: Any, base_lr: Any, k: int) -> Any:
        if self.last_epoch and not self.step_size:
            raise ZeroDivisionError("StepLR has step_size=0: it must be the number of steps between two changes")
        return lr if self.last_epoch == 0 or self.last_epoch % self.step_size else lr * self.gamma

    def _closed_form(self, base_lr: Any) -> Any:
        return base_lr * self.gamma ** (self.last_epoch // self.step_size)


class MultiStepLR(LRScheduler):
    """lr_t = lr_0 gamma^n, where n of the milestones are at t or before.

    >>> optimizer = tn.optim.SGD([tn.zeros(2)], lr=1.0)
    >>> scheduler = tn.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[1, 5], gamma=0.5)
    >>> optimizer.step(); scheduler.step(); scheduler.get_last_lr()
    [0.5]
    """

    def __init__(
        self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.milestones, self.gamma = Counter(milestones), gamma
        super().__init__(optimizer, last_epoch)

    def _check_options(self) -> None:
        super()._check_options()
        if not isinstance(self.milestones, Counter):
            raise TypeError(f"milestones must be a Counter, got {brief(self.milestones)}")
        for epoch, times in self.milestones.items():
            number("milestones", epoch)
            count(f"milestones[{epoch}]", times)

    def _next(self, lr: Any, base_lr: Any, k: int) -> Any:
        times = self.milestones[self.last_epoch]
        return lr * self.gamma**times if times else lr

    def _closed_form(self, base_lr: Any) -> Any:
        return base_lr * self.gamma ** bisect_right(sorted(self.milestones.elements()), self.last_epoch)


class ConstantLR(LRScheduler):
    """lr_t = lr_0 factor for t < total_iters, then lr_0.

    >>> optimizer = tn.optim.SGD([tn.zeros(2)], lr=1.0)
    >>> scheduler = tn.optim.lr_scheduler.ConstantLR(optimizer, factor=0.5, total_iters=3)
    >>> optimizer.step(); scheduler.step(); scheduler.get_last_lr()
    [0.5]
    """

    def __init__(
        self, optimizer: Optimizer, factor: float = 1.0 / 3, total_iters: int = 5, last_epoch: int = -1
    ) -> None:
        self.factor, self.total_iters = factor, total_iters
        super().__init__(optimizer, last_epoch)

    def _check_options(self) -> None:
        super()._check_options()
        if self.factor > 1.0 or self.factor < 0:
            raise ValueError(f"Constant multiplicative factor expected to be between 0 and 1, got factor={self.factor}")

    def _next(self, lr: Any, base_lr: Any, k: int) -> Any:
        if self.last_epoch == 0:
            return lr * self.factor
        return lr * (1.0 / self.factor) if self.last_epoch == self.total_iters else lr

    def _closed_form(self, base_lr: Any) -> Any:
        return base_lr * (self.factor + (self.last_epoch >= self.total_iters) * (1 - self.factor))


class LinearLR(LRScheduler):
    """lr_t = lr_0 (start_factor + (end_factor - start_factor) min(t / total_iters, 1)): a warm-up.

    >>> optimizer = tn.optim.SGD([tn.zeros(2)], lr=1.0)
    >>> scheduler = tn.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.25, total_iters=3)
    >>> optimizer.step(); scheduler.step(); scheduler.get_last_lr()
    [0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        self.start_factor, self.end_factor, self.total_iters = start_factor, end_factor, total_iters
        super().__init__(optimizer, last_epoch)

    def _check_options(self) -> None:
        super()._check_options()
        if self.start_factor > 1.0 or self.start_factor <= 0:
            raise ValueError(
                "Starting multiplicative factor expected to be greater than 0 and less or equal to 1, "
                f"got {self.start_factor}"
            )
        if self.end_factor > 1.0 or self.end_factor < 0:
            raise ValueError(f"Ending multiplicative factor expected to be between 0 and 1, got {self.end_factor}")

    def _next(self, lr: Any, base_lr: Any, k: int) -> Any:
        if self.last_epoch == 0:
            return lr * self.start_factor
        if self._is_initial or self.last_epoch > self.total_iters:
            return lr
        change = self.end_factor - self.start_factor
        return lr * (1.0 + change / (self.total_iters * self.start_factor + (self.last_epoch - 1) * change))

    def _closed_form(self, base_lr: Any) -> Any:
        t, change = min(self.total_iters, self.last_epoch), self.end_factor - self.start_factor
        return base_lr * (self.start_factor + change * t / self.total_iters)


class ExponentialLR(LRScheduler):
    """lr_t = lr_0 gamma^t.

    >>> optimizer = tn.optim.SGD([tn.zeros(2)], lr=1.0)
    >>> scheduler = tn.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
    >>> optimizer.step(); scheduler.step(); scheduler.get_last_lr()
    [0.5]
    """

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def _next(self, lr: Any, base_lr: Any, k: int) -> Any:
        return lr if self._is_initial else lr * self.gamma

    def _closed_form(self, base_lr: Any) -> Any:
        return base_lr * self.gamma**self.last_epoch
