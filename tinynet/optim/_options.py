"""What the constructors of the optimizers share: the check of their options, and the counter of steps."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinynet.dtypes import float32, float64, get_default_dtype
from tinynet.tensor import Tensor


def check_options(lr: Any, **options: Any) -> None:
    """ValueError unless the learning rate is one number and it and all the options are >= 0."""
    if isinstance(lr, Tensor) and lr.numel() != 1:
        raise ValueError("Tensor lr must be 1-element")
    names = {"lr": "learning rate", "eps": "epsilon value"}
    for name, value in {"lr": lr, **options}.items():
        if not value >= 0.0:  # nan too is refused
            raise ValueError(f"Invalid {names.get(name, f'{name} value')}: {value}")


def check_betas(betas: Any) -> None:
    """ValueError unless both are in [0, 1)."""
    for k, beta in enumerate(betas):
        if not 0.0 <= beta < 1.0:
            raise ValueError(f"Invalid beta parameter at index {k}: {beta}")


def counter(start: float = 0.0) -> Tensor:
    """A number that an optimizer keeps of each parameter, as 'step', in PyTorch's form: a tensor of the
    widest dtype in use."""
    return Tensor(np.full((), start, float64 if get_default_dtype() == float64 else float32))
