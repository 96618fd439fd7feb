"""A schedule that watches a metric."""

from __future__ import annotations

import math
from typing import Any

from tinynet.kinds import number
from tinynet.optim.lr_scheduler.scheduler import LRScheduler, _warn_of_epoch, check_optimizer, options, set_option
from tinynet.optim.optimizer import Optimizer


class ReduceLROnPlateau(LRScheduler):
    """lr <- max(factor lr, min_lr), whenever the metric given to step() was not better than its best for more
    than `patience` epochs. Better than the best b is, for mode "min" and "max",

        threshold_mode "rel":  a < b (1 - threshold)    a > b (1 + threshold)
        threshold_mode "abs":  a < b - threshold        a > b + threshold

    After a change bad epochs do not count for `cooldown` epochs; a change by eps or less is not made. min_lr:
    a number, or one for each group. ValueError for a factor >= 1 and unknown modes.

    >>> optimizer = tn.optim.SGD([tn.zeros(2)], lr=1.0)
    >>> scheduler = tn.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
    >>> for loss in (3.0, 3.0, 3.0):
    ...     scheduler.step(loss)
    >>> scheduler.get_last_lr()
    [0.5]
    """

    _may_be_none = ("default_min_lr",)

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | list[float] = 0,
        eps: float = 1e-8,
    ) -> None:
        check_optimizer(optimizer)
        n = len(optimizer.param_groups)
        if isinstance(min_lr, (list, tuple)):
            if len(min_lr) != n:
                raise ValueError(f"expected {n} min_lrs, got {len(min_lr)}")
            self.default_min_lr, self.min_lrs = None, list(min_lr)
        else:
            self.default_min_lr, self.min_lrs = min_lr, [min_lr] * n
        self.optimizer = optimizer
        self.mode, self.threshold, self.threshold_mode = mode, threshold, threshold_mode
        self.factor, self.patience, self.cooldown, self.eps = factor, patience, cooldown, eps
        self.mode_worse = math.inf if mode == "min" else -math.inf
        self.last_epoch = 0
        self._last_lr = options(optimizer, "lr")
        self._reset()
        self._check_options()

    def _check_options(self) -> None:
        super()._check_options()
        if self.default_min_lr is not None:
            number("default_min_lr", self.default_min_lr)
        if self.factor >= 1.0:
            raise ValueError(f"Factor should be < 1.0, got {self.factor}")
        if self.mode not in ("min", "max"):
            raise ValueError(f"mode {self.mode} is unknown! There are 'min' and 'max'")
        if self.threshold_mode not in ("rel", "abs"):
            raise ValueError(f"threshold mode {self.threshold_mode} is unknown! There are 'rel' and 'abs'")

    def _reset(self) -> None:
        """Forget the metrics seen."""
        self.best = self.mode_worse
        self.cooldown_counter = self.num_bad_epochs = 0

    def step(self, metrics: Any, epoch: int | None = None) -> None:  # type: ignore[override]
        """Note the metric of an epoch (a number or a tensor of one) and reduce the learning rates if it is time."""
        if epoch is not None:
            _warn_of_epoch()
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        current = float(metrics)
        if self._is_better(current, self.best):
            self.best, self.num_bad_epochs = current, 0
        else:
            self.num_bad_epochs += 1
        if self.in_cooldown:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce_lr()
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        self._last_lr = options(self.optimizer, "lr")

    def _reduce_lr(self) -> None:
        groups = self.optimizer.param_groups
        if len(groups) != len(self.min_lrs):
            if self.default_min_lr is None:
                raise RuntimeError(
                    f"The number of param groups in the `optimizer` ({len(groups)}) differs from when "
                    f"`ReduceLROnPlateau` was initialized ({len(self.min_lrs)}): a group was added since. Make "
                    "`min_lrs` as long as the optimizer's param_groups."
                )
            self.min_lrs = [self.default_min_lr] * len(groups)
        for group, least in zip(groups, self.min_lrs, strict=True):
            old = float(group["lr"])
            new = max(old * self.factor, least)
            if old - new > self.eps:
                set_option(group, "lr", new)

    @property
    def in_cooldown(self) -> bool:
        """Is a change so recent that bad epochs do not count yet?"""
        return self.cooldown_counter > 0

    def _is_better(self, a: float, best: float) -> bool:
        sign = -1 if self.mode == "min" else 1
        margin = sign * self.threshold
        bar = best * (1.0 + margin) if self.threshold_mode == "rel" else best + margin
        return a < bar if self.mode == "min" else a > bar
