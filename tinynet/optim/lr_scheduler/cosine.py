"""Schedules along a cosine: once, or again and again."""

from __future__ import annotations

import math
from typing import Any

from tinynet.optim.lr_scheduler.scheduler import LRScheduler
from tinynet.optim.optimizer import Optimizer


class CosineAnnealingLR(LRScheduler):
    """lr_t = eta_min + (lr_0 - eta_min) (1 + cos(pi t / T_max)) / 2: down to eta_min at T_max, and up again.

    Loshchilov & Hutter 2017 (SGDR), without the restarts.

    >>> optimizer = tn.optim.SGD([tn.zeros(2)], lr=1.0)
    >>> scheduler = tn.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=2)
    >>> optimizer.step(); scheduler.step(); scheduler.get_last_lr()
    [0.5]
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def _next(self, lr: Any, base_lr: Any, k: int) -> Any:
        if self._is_initial:
            return lr
        if not self.T_max:
            raise ZeroDivisionError("CosineAnnealingLR has T_max=0: it must be the number of steps from the top down")
        if (self.last_epoch - 1 - self.T_max) % (2 * self.T_max) == 0:  # from the bottom no factor leads up
            return lr + (base_lr - self.eta_min) * (1 - math.cos(math.pi / self.T_max)) / 2
        now, before = (1 + math.cos(math.pi * t / self.T_max) for t in (self.last_epoch, self.last_epoch - 1))
        return now / before * (lr - self.eta_min) + self.eta_min

    def _closed_form(self, base_lr: Any) -> Any:
        return self.eta_min + (base_lr - self.eta_min) * (1 + math.cos(math.pi * self.last_epoch / self.T_max)) / 2


class CosineAnnealingWarmRestarts(LRScheduler):
    """lr = eta_min + (lr_0 - eta_min) (1 + cos(pi T_cur / T_i)) / 2, where T_cur epochs have passed since the
    last restart. The first restart is after T_0 epochs, each later period T_i is T_mult times as long.

    step(epoch) takes fractions too: epoch + batch / batches. ValueError for periods that are not positive
    integers. Loshchilov & Hutter 2017 (SGDR).

    >>> optimizer = tn.optim.SGD([tn.zeros(2)], lr=1.0)
    >>> scheduler = tn.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=2)
    >>> optimizer.step(); scheduler.step(); scheduler.get_last_lr()
    [0.5]
    """

    def __init__(
        self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        self.T_i: int
        self.T_cur: float
        self.T_0, self.T_mult, self.eta_min = T_0, T_mult, eta_min
        self.T_i, self.T_cur = T_0, last_epoch
        super().__init__(optimizer, last_epoch)

    def _check_options(self) -> None:
        super()._check_options()
        if self.T_0 <= 0 or not isinstance(self.T_0, int):
            raise ValueError(f"Expected positive integer T_0, but got {self.T_0}")
        if self.T_mult < 1 or not isinstance(self.T_mult, int):
            raise ValueError(f"Expected integer T_mult >= 1, but got {self.T_mult}")
        if not isinstance(self.eta_min, (float, int)):
            raise ValueError(f"Expected float or int eta_min, but got {self.eta_min} of type {type(self.eta_min)}")
        if self.T_i <= 0 or abs(self.T_cur) > max(self.T_i, abs(self.last_epoch)):
            raise ValueError(f"T_cur={self.T_cur} is no epoch of a period of T_i={self.T_i}")

    def _next(self, lr: Any, base_lr: Any, k: int) -> Any:
        return self.eta_min + (base_lr - self.eta_min) * (1 + math.cos(math.pi * self.T_cur / self.T_i)) / 2

    def step(self, epoch: float | None = None) -> None:
        """Go to the next epoch, or to `epoch`, which may lie between two."""
        if epoch is None and self.last_epoch < 0:
            epoch = 0
        if epoch is None:
            epoch = self.last_epoch + 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur %= self.T_i
                self.T_i *= self.T_mult
        elif epoch < 0:
            raise ValueError(f"Expected non-negative epoch, but got {epoch}")
        elif epoch < self.T_0 or self.T_mult == 1:
            self.T_cur, self.T_i = epoch % self.T_0, self.T_0
        else:  # after n periods: T_0 (1 + T_mult + ... + T_mult^(n-1)) epochs
            n = int(math.log(epoch / self.T_0 * (self.T_mult - 1) + 1, self.T_mult))
            self.T_cur = epoch - self.T_0 * (self.T_mult**n - 1) / (self.T_mult - 1)
            self.T_i = self.T_0 * self.T_mult**n
        self._update_lr(math.floor(epoch))
