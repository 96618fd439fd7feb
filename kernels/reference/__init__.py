"""The specification of every kernel: plain array code, as short as can be read, for NumPy and CuPy (`xp`)."""
from __future__ import annotations

from . import conv, pool, softmax

__all__ = ["conv", "pool", "softmax"]
