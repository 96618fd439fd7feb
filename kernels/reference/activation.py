"""What is done to one number after another and is more than one function of NumPy's: activations, dropout."""
from __future__ import annotations

import functools
import importlib
import math
from typing import Any

import numpy as np

from .. import kernel
from .philox import philox


@kernel("reference")
def gelu(xp: Any, x: Any) -> Any:
    """x Φ(x), Φ(x) being the chance that a normal number is smaller than x."""
    return x * _normal(xp, x)


@kernel("reference")
def gelu_grad(xp: Any, g: Any, x: Any) -> Any:
    """g (Φ(x) + x φ(x)), φ being the slope of Φ."""
    return g * (_normal(xp, x) + x * (xp.exp(x * x * -0.5) * (1 / math.sqrt(2 * math.pi))))


@kernel("reference")
def dropout(xp: Any, x: Any, noise: Any, *, p: float, drawn: tuple[int, Any, int] | None = None) -> Any:
    """x / (1 - p) where noise ≥ p, else 0 · x. noise: in [0, 1), of any shape that broadcasts to x's; or drawn (seed,
    offset, each), by Philox, a word for each so many neighbours in x."""
    if drawn:
        seed, offset, each = drawn
        words = philox(xp, seed=seed, offset=offset, blocks=-(-x.size // (4 * each))).reshape(-1)
        noise = xp.repeat(words[:x.size // each], each).reshape(x.shape) >> 8
        noise = noise.astype("float32") * 2.0**-24
    return x * ((noise >= p) * x.dtype.type(1 / (1 - p) if p < 1 else 0))


def _normal(xp: Any, x: Any) -> Any:
    return _special(xp).ndtr(x).astype(x.dtype, copy=False)


@functools.cache
def _special(xp: Any) -> Any:
    """SciPy's functions for this kind of arrays, fetched on first use: importing them is slow."""
    return importlib.import_module("scipy.special" if xp is np else "cupyx.scipy.special")
