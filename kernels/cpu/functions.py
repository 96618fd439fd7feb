"""Functions of vectors."""
from __future__ import annotations

import math

from .compiler import jit
from .vector import BYTES, fma, lane, lanes, load_else, nearest, power_of_two, splat, where

LOG2_E = 1 / math.log(2)
LN_2 = 0.693145751953125  # its first 16 bits: n · LN_2 is exact
LN_2_REST = 1.4286068203094172e-6  # ln 2 - LN_2, to more digits than a difference of floats has
ONE_OVER_FACTORIAL = tuple(1 / math.factorial(k) for k in range(14))


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
def parts_of_exp(x):
    """n, r and s with eˣ = 2ⁿ (1 + r s): n is whole and |r| ≤ ln 2 / 2, and for such r the series s = 1 + r/2! + r²/3!
    + … is exact after a few terms."""
    n = nearest(x * LOG2_E)
    r = fma(n, splat(x, -LN_2_REST), fma(n, splat(x, -LN_2), x))
    last = of_type(x, 7, 13)
    s = splat(x, ONE_OVER_FACTORIAL[last])
    for k in range(last - 1, 0, -1):
        s = fma(s, r, splat(x, ONE_OVER_FACTORIAL[k]))
    return n, r, s


@jit
def exp(x):
    """eˣ; 0 where it would be smaller than any normal number, or nearly so."""
    n, r, s = parts_of_exp(x)
    series = fma(r, s, splat(x, 1))
    result = (series + series) * power_of_two(n - 1)  # 2ⁿ itself may be too large
    result = where(x < of_type(x, -86.6, -707.7), splat(x, 0), result)
    return where(x > of_type(x, 88.722839, 709.782712893384), splat(x, math.inf), result)


@jit
def sigmoid(x):
    """1 / (1 + e⁻ˣ)"""
    return 1 / (1 + exp(x * -1))


@jit
def tanh(x):
    """(e²ˣ - 1) / (e²ˣ + 1), by e²ˣ - 1 itself, which has all its digits where it is small."""
    x = within(x, 20)  # beyond, the result is ±1
    n, r, s = parts_of_exp(x + x)
    power = power_of_two(n)
    less_one = fma(power, r * s, power - 1)
    return less_one / (less_one + 2)


@jit
def within(x, most):
    """x, but no farther from 0 than `most`; NaN stays."""
    x = where(x > most, splat(x, most), x)
    return where(x < -most, splat(x, -most), x)


# e^(z²) erfc(z) (1 + 2z) for z ≥ 0, as Σ_k c_k T_k(t) with the Chebyshev polynomials of t = (z - 2.5) / (z + 2.5): a
# function so smooth that half the coefficients are enough for float32 (after Shepherd & Laframboise, 1981)
ERFCX = (
    1.1771189339755784, 0.014212740827323321, -0.10037710257743796, 0.048384221974957707, -0.012607425531069104,
    0.0016421555334706596, 5.29270522898005e-05, -5.10608837840983e-05, 2.371428558502003e-06, 1.583941090518258e-06,
    -1.2483958211750847e-07, -6.045657321336039e-08, 4.0925941245210135e-09, 2.7374094237187245e-09,
    -4.588693371600376e-11, -1.3187750369729464e-10, -8.268090806120332e-12, 5.937925124179028e-12,
    1.0596357285840175e-12, -1.9892259921437084e-13, -8.474653109110981e-14, -2.518334370166951e-16,
    4.974971993791261e-15, 7.988345428788569e-16)


@jit
def normal(x):
    """Φ(x), the chance that a normal number is smaller than x, and e^(-x²/2)."""
    z = within(x, 40) * math.sqrt(0.5)
    z = where(z < 0, z * -1, z)
    t, bell = (z - 2.5) / (z + 2.5), exp(x * x * -0.5)
    last, before = splat(x, 0), splat(x, 0)  # Clenshaw's sum: T_k+1 = 2t T_k - T_k-1, from the end
    for k in range(of_type(x, 12, 24) - 1, 0, -1):
        last, before = fma(t + t, last, ERFCX[k] - before), last
    tail = bell * fma(t, last, ERFCX[0] - before) / (2 + 4 * z)
    return where(x < 0, tail, 1 - tail), bell
