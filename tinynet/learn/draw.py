"""Random inputs for properties: arrays by named sizes, drawn by Hypothesis, which also finds the smallest that fail.

"n k" is an array of n rows and k columns, where n and k are the same wherever they stand in one property; "n 3" has 3
columns; "" is a single number; "n of k" are n labels, whole numbers from 0 to k - 1. Numbers are quarters from -3 to
3, so that examples can be read.
"""
from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import strategies as st

LARGEST = 4  # of a named size
FEW = 24  # elements that are drawn one by one, and so become simple in a failing example


def cases(draws: dict[str, Any], tensors: bool) -> Any:
    """Strategy: the arguments of one example."""
    @st.composite
    def case(draw: Any) -> dict[str, Any]:
        sizes: dict[str, int] = {}
        drawn: dict[str, Any] = {}
        for name, wish in draws.items():
            value = draw(named(wish, sizes)) if isinstance(wish, str) else draw(wish)
            drawn[name] = as_tensor(value) if tensors and isinstance(value, np.ndarray) else value
        return drawn
    return case()


def named(wish: str, sizes: dict[str, int]) -> Any:
    """Strategy: an array of named sizes; `sizes` holds those that are drawn already."""
    shape_wish, _, classes = wish.partition(" of ")

    @st.composite
    def array(draw: Any) -> np.ndarray:
        for word in (*shape_wish.split(), *classes.split()):
            if not word.isdigit() and word not in sizes:
                sizes[word] = draw(st.integers(1, LARGEST))
        shape = tuple(int(w) if w.isdigit() else sizes[w] for w in shape_wish.split())
        if classes:
            return draw(whole(shape, 0, (int(classes) if classes.isdigit() else sizes[classes]) - 1))
        return draw(arrays(shape))
    return array()


def whole(shape: Any = (), low: int = -3, high: int = 3) -> Any:
    """Strategy: arrays of whole numbers, int64."""
    @st.composite
    def array(draw: Any) -> np.ndarray:
        size = draw(shape) if isinstance(shape, st.SearchStrategy) else shape
        n = math.prod(size)
        if n > FEW:
            return np.random.default_rng(draw(st.integers(0, 2**32 - 1))).integers(low, high + 1, size)
        return np.array(draw(st.lists(st.integers(low, high), min_size=n, max_size=n)), np.int64).reshape(size)
    return array()


def arrays(shape: Any = (), low: float = -3, high: float = 3, step: float = 0.25, dtype: Any = np.float64) -> Any:
    """Strategy: arrays of a shape (or of shapes from a strategy) of multiples of `step`."""
    return whole(shape, round(low / step), round(high / step)).map(lambda a: (a * step).astype(dtype))


def distinct(shape: Any, step: float = 0.25) -> Any:
    """Strategy: arrays without two equal numbers (no ties), nor a zero: for maxima and for gradients at kinks."""
    n = math.prod(shape)
    numbers = [k for k in range(-n, n + 1) if k][: 2 * n]
    return st.permutations(numbers).map(lambda p: np.array(p[:n], np.float64).reshape(shape) * step)


def number(low: float = -3, high: float = 3, step: float = 0.25) -> Any:
    """Strategy: one multiple of `step`, a Python float."""
    return st.integers(math.ceil(low / step), math.floor(high / step)).map(lambda k: k * step)


def seed() -> Any:
    """Strategy: a seed, for examples that a random generator makes."""
    return st.integers(0, 2**32 - 1)


def as_tensor(a: np.ndarray) -> Any:
    """A tensor of the array's numbers, in memory of its own."""
    from tinynet.tensor import Tensor

    return Tensor(a.copy())
