"""What the constructors of the optimizers share: the check of their options, and the counter of steps."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinynet.dtypes import float32, float64, get_default_dtype
from tinynet.tensor import Tensor


def check_options(lr: Any, **options: Any) -> None:
    """ValueError unless the learning rate is one number and it and all the options are >= 0."""
    check_one_number(lr)
    names = {"lr": "learning rate", "eps": "epsilon value"}
    for name, value in {"lr": lr, **options}.items():
        if isinstance(value, str) or not hasattr(value, "__ge__"):
            raise TypeError(f"{name} must be a number, got {value!r}")
        if not value >= 0.0:  # nan too is refused
            raise ValueError(f"Invalid {names.get(name, f'{name} value')}: {value}; it must be >= 0")


def check_one_number(lr: Any) -> None:
    """ValueError for a learning rate that is a tensor of several."""
    if isinstance(lr, Tensor) and lr.numel() != 1:
        raise ValueError(f"Tensor lr must be 1-element, got one of shape {lr.shape}")


def check_betas(betas: Any) -> None:
    """ValueError unless there are two, both in [0, 1)."""
    if not isinstance(betas, (tuple, list)):
        raise TypeError(f"betas must be a pair of numbers in [0, 1), got {betas!r}")
    if len(betas) != 2:
        raise ValueError(f"betas must be a pair of numbers in [0, 1), got {len(betas)}: {betas}")
    for k, beta in enumerate(betas):
        if not 0.0 <= beta < 1.0:
            raise ValueError(f"Invalid beta parameter at index {k}: {beta}; it must be in [0, 1)")


def counter(start: float = 0.0) -> Tensor:
    """A number that an optimizer keeps of each parameter, as 'step', in PyTorch's form: a tensor of the
    widest dtype in use."""
    return Tensor(np.full((), start, float64 if get_default_dtype() == float64 else float32))
