"""The specification of every kernel: plain array code, as short as can be read, for NumPy and CuPy (`xp`)."""
from __future__ import annotations

from . import attention, conv, dense, fused, norm, optim, pool, softmax

__all__ = ["attention", "conv", "dense", "fused", "norm", "optim", "pool", "softmax"]
