"""Functions of vectors."""
from __future__ import annotations

import math

from numpy.polynomial.chebyshev import cheb2poly

from .compiler import jit
from .vector import BYTES, fma, lanes, load_else, nearest, one_over_root, power_of_two, splat, where

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
def root(x):
    """√x = x / √x. It takes a processor as long as thirty products: if r is only near 1/√x, y = x r is improved by half
    of what y r lacks of 1, which leaves the square of the error."""
    r = one_over_root(x)
    y = x * r
    y = fma(y, fma(y * -0.5, r, splat(x, 0.5)), y)
    return where((x == 0) | (x == math.inf), x, y)


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


# e^(z²/2) Φ(-z) (z + 4) for z ≥ 0, as Σ_k c_k T_k(t) with the Chebyshev polynomials of t = (z - 4) / (z + 4): so smooth
# a function that ten coefficients are enough for float32 (after Shepherd & Laframboise, 1981)
TAIL = (
    0.9704512045660766, -0.7517088168395706, 0.22219355567525104, -0.048517753260446085, 0.006925920496242481,
    -0.00032059847439814995, -0.00010054739163210679, 1.8903369019706965e-05, 1.010356885474631e-06,
    -6.145334749397824e-07, -3.3810201200691756e-09, 2.0686508061742833e-08, -1.1282603632469503e-10,
    -7.774015228388694e-10, -9.941424191404666e-12, 3.174482949858307e-11, 1.842480684470533e-12,
    -1.3128616466710587e-12, -1.741536265265115e-13, 4.907274031707963e-14, 1.2931384326199658e-14,
    -1.218066352139915e-15, -8.052147372307862e-16, -2.8604941412769365e-17)
SHORT, LONG = (tuple(cheb2poly(TAIL[:count]).tolist()) for count in (10, len(TAIL)))  # the same in powers of t


@jit
def polynomial(coefficients, x):
    """Σ_k coefficients[k] xᵏ"""
    sums = splat(x, coefficients[-1])
    for k in range(len(coefficients) - 2, -1, -1):
        sums = fma(sums, x, splat(x, coefficients[k]))
    return sums


@jit
def normal(x):
    """Φ(x), the chance that a normal number is smaller than x, and e^(-x²/2)."""
    z = where(x < 0, x * -1, x)
    near, bell = 1 / (z + 4), exp(x * x * -0.5)
    t = fma(near, splat(x, -8), splat(x, 1))
    tail = bell * near * (polynomial(SHORT, t) if lanes(x) * 4 == BYTES else polynomial(LONG, t))
    return where(x < 0, tail, 1 - tail), bell
