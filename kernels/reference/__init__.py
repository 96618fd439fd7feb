"""The specification of every kernel: plain array code, as short as can be read, for NumPy and CuPy (`xp`)."""
from __future__ import annotations

from . import (
    activation,
    attention,
    conv,
    dense,
    elementwise,
    fused,
    norm,
    optim,
    philox,
    pool,
    recurrent,
    scatter,
    softmax,
)

__all__ = ["activation", "attention", "conv", "dense", "elementwise", "fused", "norm", "optim", "philox", "pool",
           "recurrent", "scatter", "softmax"]
