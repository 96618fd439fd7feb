"""Activation functions that are more than one function of NumPy's."""
from __future__ import annotations

import functools
import importlib
import math
from typing import Any

import numpy as np

from .. import kernel


@kernel("reference")
def gelu(xp: Any, x: Any) -> Any:
    """x Φ(x), Φ(x) being the chance that a normal number is smaller than x."""
    return x * _normal(xp, x)


@kernel("reference")
def gelu_grad(xp: Any, g: Any, x: Any) -> Any:
    """g (Φ(x) + x φ(x)), φ being the slope of Φ."""
    return g * (_normal(xp, x) + x * (xp.exp(x * x * -0.5) * (1 / math.sqrt(2 * math.pi))))


def _normal(xp: Any, x: Any) -> Any:
    return _special(xp).ndtr(x).astype(x.dtype, copy=False)


@functools.cache
def _special(xp: Any) -> Any:
    """SciPy's functions for this kind of arrays, fetched on first use: importing them is slow."""
    return importlib.import_module("scipy.special" if xp is np else "cupyx.scipy.special")
