"""Functions of vectors."""
from __future__ import annotations

import math

from .compiler import jit
from .vector import BYTES, fma, lane, lanes, load_else, nearest, power_of_two, splat, where

LOG2_E = 1 / math.log(2)
LN_2 = 0.693145751953125  # its first 16 bits: n · LN_2 is exact
LN_2_REST = 1.4286068203094172e-6  # ln 2 - LN_2, to more digits than a difference of floats has


@jit
def load_some(a, i, count):
    """a[i : i + count], then zeros."""
    return load_else(a, i, count, splat(a, 0))


@jit
def larger(x, y):
    """The maximum that keeps NaN, as NumPy's."""
    return where((x > y) | (x != x), x, y)


@jit
def largest(x):
    """The maximum of the lanes; NaN if there is one."""
    most = lane(x, 0)
    for k in range(1, lanes(x)):
        v = lane(x, k)
        if v > most or v != v:
            most = v
    return most


@jit
def of_type(x, single, double):
    """One constant or the other, by the type of x's numbers."""
    return single if lanes(x) * 4 == BYTES else double


@jit
def exp(x):
    """eˣ = 2ⁿ eʳ with n whole and |r| ≤ ln 2 / 2: for such r, 1 + r (1 + r/2 (1 + r/3 (…))) is exact after a few terms.

    0 where the result would be smaller than any normal number, or nearly so."""
    n = nearest(x * LOG2_E)
    r = fma(n, splat(x, -LN_2_REST), fma(n, splat(x, -LN_2), x))
    series = splat(x, 1)
    for k in range(of_type(x, 7, 13), 0, -1):
        series = fma(series, r * (1 / k), splat(x, 1))
    result = (series + series) * power_of_two(n - 1)  # 2ⁿ itself may be too large
    result = where(x < of_type(x, -86.6, -707.7), splat(x, 0), result)
    return where(x > of_type(x, 88.722839, 709.782712893384), splat(x, math.inf), result)
