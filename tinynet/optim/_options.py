"""What the constructors of the optimizers share: the check of their options, and the counter of steps."""

from __future__ import annotations

from collections.abc import Mapping
from reprlib import repr as brief
from typing import Any

import numpy as np

from tinynet.dtypes import float32, float64, get_default_dtype
from tinynet.kinds import number
from tinynet.tensor import Tensor


def check_rate(lr: Any) -> None:
    """TypeError or ValueError unless the learning rate is one number >= 0."""
    check_one_number(lr)
    check_options({"lr": lr}, "lr")


def check_one_number(lr: Any) -> None:
    """ValueError for a learning rate that is a tensor of several."""
    if isinstance(lr, Tensor) and lr.numel() != 1:
        raise ValueError(f"Tensor lr must be 1-element, got one of shape {lr.shape}")


def check_options(options: Mapping[str, Any], *names: str) -> None:
    """TypeError or ValueError unless the options of these names are numbers >= 0."""
    told = {"lr": "learning rate", "eps": "epsilon value"}
    for name in names:
        if not number(name, options[name]) >= 0.0:  # nan too is refused
            raise ValueError(f"Invalid {told.get(name, f'{name} value')}: {options[name]}; it must be >= 0")


def check_betas(betas: Any) -> None:
    """TypeError or ValueError unless there are two, both in [0, 1)."""
    if not isinstance(betas, (tuple, list)):
        raise TypeError(f"betas must be a pair of numbers in [0, 1), got {brief(betas)}")
    if len(betas) != 2:
        raise ValueError(f"betas must be a pair of numbers in [0, 1), got {len(betas)}: {brief(betas)}")
    for k, beta in enumerate(betas):
        if not 0.0 <= number(f"betas[{k}]", beta) < 1.0:
            raise ValueError(f"Invalid beta parameter at index {k}: {beta}; it must be in [0, 1)")


def counter(start: float = 0.0) -> Tensor:
    """A number that an optimizer keeps of each parameter, as 'step', in PyTorch's form: a tensor of the
    widest dtype in use."""
    return Tensor(np.full((), start, float64 if get_default_dtype() == float64 else float32))
