"""Pointwise arithmetic and functions. Operands broadcast, and promote as PyTorch's do; every gradient is a line."""
from __future__ import annotations

import functools
import importlib
import math
from typing import Any

import numpy as np
from numpy import ndarray

from tinynet import kernels, late
from tinynet.ops._primitive import primitive
from tinynet.ops.discrete import eq, ge, logical_and, not_of, trunc, where

_ZERO = "ZeroDivisionError: an integer is divided by zero; convert to a float dtype for inf or nan"
_NEGATIVE = "pow: Integers to negative integer powers are not allowed."


# ---- arithmetic
@primitive
def clone(xp, a):
    """A copy of a, in memory of its own; gradients flow through it.

    >>> tn.clone(tn.tensor([1.0]))
    tensor([1.])
    """
    return a.copy()


@primitive(elementwise=True)
def cast(xp, a, *, dtype):
    """a in another dtype. (The engine casts the gradient back.)"""
    return a.astype(dtype)


@primitive(elementwise=True)
def neg(xp, a):
    """-a, elementwise.

    >>> tn.neg(tn.tensor([1.0, -2.0]))
    tensor([-1.,  2.])
    """
    if xp is not np:
        not_of("b", "neg", xp, a)  # CuPy would do something
    return xp.negative(a)


@primitive(elementwise=True)
def add(xp, a, b, *, alpha=1):
    """a + alpha * b, elementwise.

    >>> tn.add(tn.tensor([1.0, 2.0]), 1, alpha=10)
    tensor([11., 12.])
    """
    if alpha != 1:
        b = _scaled(xp, a, b, alpha)
    return kernels.run("add", xp, a, b) if type(a) is type(b) is ndarray and a.size >= kernels.LARGE else a + b


@primitive(elementwise=True)
def sub(xp, a, b, *, alpha=1):
    """a - alpha * b, elementwise.

    >>> tn.sub(tn.tensor([1.0, 2.0]), 1)
    tensor([0., 1.])
    """
    if xp is not np:
        not_of("b", "sub", xp, a, b)
    return a - (b if alpha == 1 else _scaled(xp, a, b, alpha))


def _scaled(xp: Any, a: Any, b: Any, alpha: float) -> Any:
    if isinstance(alpha, float) and xp.result_type(a, b).kind != "f":
        raise RuntimeError(f"For integral input tensors, argument alpha must not be a floating point number: {alpha}")
    return b * alpha


@primitive(elementwise=True)
def mul(xp, a, b):
    """a * b, elementwise.

    >>> tn.mul(tn.tensor([1.0, 2.0]), tn.tensor([3.0, 4.0]))
    tensor([3., 8.])
    """
    return a * b


@primitive(to_float=True)
def true_divide(xp, a, b):
    """a / b, elementwise; integers give the default float dtype.

    >>> tn.true_divide(tn.tensor([1, 2]), 2)
    tensor([0.5000, 1.0000])
    """
    return a / b


@primitive(elementwise=True)
def floor_divide(xp, a, b):
    """floor(a / b), elementwise. RuntimeError for an integer divided by zero.

    >>> tn.floor_divide(tn.tensor([7, -7]), 2)
    tensor([ 3, -4])
    """
    _no_integer_zero(xp, a, b)
    return xp.floor_divide(a, b)


@primitive(elementwise=True)
def remainder(xp, a, b):
    """a - b * floor(a / b), elementwise: the remainder with the sign of b, as Python's %.

    >>> tn.remainder(tn.tensor([7, -7]), 3)
    tensor([1, 2])
    """
    _no_integer_zero(xp, a, b)
    return xp.remainder(a, b)


@primitive(elementwise=True)
def pow_(xp, a, exponent):
    """a ** exponent, elementwise. RuntimeError for integers to a negative power.

    >>> tn.pow(tn.tensor([1.0, 2.0, 3.0]), 2)
    tensor([1., 4., 9.])
    """
    if isinstance(exponent, int) and exponent == 2:
        return xp.multiply(a, a)
    if xp is not np and a.dtype.kind != "f":
        _no_negative_power(exponent)
    return xp.power(a, exponent)


def _no_integer_zero(xp: Any, a: Any, b: Any) -> None:
    if xp.result_type(a, b).kind != "f" and (late.found(b == 0, RuntimeError, _ZERO) if hasattr(b, "dtype") else not b):
        raise RuntimeError(_ZERO)


def _no_negative_power(exponent: Any) -> None:
    """NumPy says so itself."""
    negative = exponent < 0
    if late.found(negative, RuntimeError, _NEGATIVE) if hasattr(negative, "dtype") else negative:
        raise RuntimeError(_NEGATIVE)


def _slope_of_power(g, a, exponent):
    """n a^(n-1) for the exponent n, which is 0 where n is 0, whatever a is."""
    if not hasattr(exponent, "dtype"):
        return g * (exponent * pow_(a, exponent - 1)) if exponent else g * 0.0
    return g * where(eq(exponent, 0), 0.0, exponent * pow_(a, exponent - 1))


def _slope_of_exponent(g, a, exponent, out):
    """a^n log a for the exponent n, which is 0 where a is 0 and n is not negative."""
    zero = logical_and(eq(a, 0), ge(exponent, 0))
    return g * where(zero, 0.0, out * log(where(zero, 1.0, a)))


neg.vjp(a=lambda g: -g)
clone.vjp(a=lambda g: g)
cast.vjp(a=lambda g: g)
add.vjp(a=lambda g: g, b=lambda g, alpha: g if alpha == 1 else g * alpha)
sub.vjp(a=lambda g: g, b=lambda g, alpha: g * -alpha)
mul.vjp(a=lambda g, b: g * b, b=lambda g, a: g * a)
true_divide.vjp(a=lambda g, b: g / b, b=lambda g, a, b: -g * (a / b / b))
remainder.vjp(a=lambda g: g, b=lambda g, a, b: -g * floor_divide(a, b))
pow_.vjp(a=_slope_of_power, exponent=_slope_of_exponent)


def div(input: Any, other: Any, *, rounding_mode: str | None = None) -> Any:
    """input / other, elementwise; rounding_mode "trunc" rounds toward 0, "floor" downward.

    >>> tn.div(tn.tensor([7.0, -7.0]), 2, rounding_mode="trunc")
    tensor([ 3., -3.])
    """
    if rounding_mode is None:
        return true_divide(input, other)
    if rounding_mode == "floor":
        return floor_divide(input, other)
    if rounding_mode != "trunc":
        raise RuntimeError(f"div expected rounding_mode to be one of None, 'trunc', or 'floor' but found "
                           f"{rounding_mode!r}")
    whole = trunc(true_divide(input, other))
    kinds = {x.dtype.kind if hasattr(x, "dtype") else np.asarray(x).dtype.kind for x in (input, other)}
    return whole if "f" in kinds else cast(whole, dtype=add(input, other).dtype)


# ---- exponentials and roots
@primitive(to_float=True)
def exp(xp, a):
    """e^a, elementwise.

    >>> tn.exp(tn.tensor([0.0, 1.0]))
    tensor([1.0000, 2.7183])
    """
    return xp.exp(a)


@primitive(to_float=True)
def expm1(xp, a):
    """e^a - 1, elementwise, exact near 0.

    >>> tn.expm1(tn.tensor([0.0, 1.0]))
    tensor([0.0000, 1.7183])
    """
    return xp.expm1(a)


@primitive(to_float=True)
def log(xp, a):
    """The natural logarithm, elementwise; nan below 0.

    >>> tn.log(tn.tensor([1.0, 2.0]))
    tensor([0.0000, 0.6931])
    """
    return xp.log(a)


@primitive(to_float=True)
def log1p(xp, a):
    """log(1 + a), elementwise, exact near 0.

    >>> tn.log1p(tn.tensor([0.0, 1.0]))
    tensor([0.0000, 0.6931])
    """
    return xp.log1p(a)


@primitive(to_float=True)
def log2(xp, a):
    """The logarithm to base 2, elementwise.

    >>> tn.log2(tn.tensor([1.0, 8.0]))
    tensor([0., 3.])
    """
    return xp.log2(a)


@primitive(to_float=True)
def log10(xp, a):
    """The logarithm to base 10, elementwise.

    >>> tn.log10(tn.tensor([1.0, 0.5]))
    tensor([ 0.0000, -0.3010])
    """
    return xp.log10(a)


@primitive(to_float=True)
def sqrt(xp, a):
    """The square root, elementwise; nan below 0.

    >>> tn.sqrt(tn.tensor([4.0, 9.0]))
    tensor([2., 3.])
    """
    return xp.sqrt(a)


@primitive(to_float=True)
def rsqrt(xp, a):
    """1 / sqrt(a), elementwise.

    >>> tn.rsqrt(tn.tensor([4.0]))
    tensor([0.5000])
    """
    return 1 / xp.sqrt(a)


@primitive(elementwise=True)
def square(xp, a):
    """a * a, elementwise.

    >>> tn.square(tn.tensor([3.0]))
    tensor([9.])
    """
    return xp.multiply(a, a) if a.dtype.kind != "b" else a.astype("int64")


@primitive(to_float=True)
def reciprocal(xp, a):
    """1 / a, elementwise.

    >>> tn.reciprocal(tn.tensor([4.0]))
    tensor([0.2500])
    """
    return xp.true_divide(1, a)


exp.vjp(a=lambda g, out: g * out)
expm1.vjp(a=lambda g, out: g * (out + 1))
log.vjp(a=lambda g, a: g / a)
log1p.vjp(a=lambda g, a: g / (a + 1))
log2.vjp(a=lambda g, a: g / (a * math.log(2)))
log10.vjp(a=lambda g, a: g / (a * math.log(10)))
sqrt.vjp(a=lambda g, out: g / (out * 2))
rsqrt.vjp(a=lambda g, out: g * (out * out * out * -0.5))
square.vjp(a=lambda g, a: g * (a * 2))
reciprocal.vjp(a=lambda g, out: -g * (out * out))


# ---- trigonometric and hyperbolic functions
@primitive(to_float=True)
def sin(xp, a):
    """sin(a), elementwise; a in radians.

    >>> tn.sin(tn.tensor([0.0, 1.0]))
    tensor([0.0000, 0.8415])
    """
    return xp.sin(a)


@primitive(to_float=True)
def cos(xp, a):
    """cos(a), elementwise; a in radians.

    >>> tn.cos(tn.tensor([0.0, 1.0]))
    tensor([1.0000, 0.5403])
    """
    return xp.cos(a)


@primitive(to_float=True)
def tan(xp, a):
    """tan(a), elementwise; a in radians.

    >>> tn.tan(tn.tensor([0.0, 1.0]))
    tensor([0.0000, 1.5574])
    """
    return xp.tan(a)


@primitive(to_float=True)
def asin(xp, a):
    """The angle in [-pi/2, pi/2] whose sine is a, elementwise; nan outside [-1, 1].

    >>> tn.asin(tn.tensor([0.0, 1.0]))
    tensor([0.0000, 1.5708])
    """
    return xp.arcsin(a)


@primitive(to_float=True)
def acos(xp, a):
    """The angle in [0, pi] whose cosine is a, elementwise; nan outside [-1, 1].

    >>> tn.acos(tn.tensor([1.0, 0.0]))
    tensor([0.0000, 1.5708])
    """
    return xp.arccos(a)


@primitive(to_float=True)
def atan(xp, a):
    """The angle in (-pi/2, pi/2) whose tangent is a, elementwise.

    >>> tn.atan(tn.tensor([0.0, 1.0]))
    tensor([0.0000, 0.7854])
    """
    return xp.arctan(a)


@primitive(to_float=True)
def atan2(xp, a, b):
    """The angle of the point (b, a) from the x axis, in [-pi, pi], elementwise.

    >>> tn.atan2(tn.tensor([1.0]), tn.tensor([-1.0]))
    tensor([2.3562])
    """
    return xp.arctan2(a, b)


@primitive(to_float=True)
def sinh(xp, a):
    """(e^a - e^-a) / 2, elementwise.

    >>> tn.sinh(tn.tensor([0.0, 1.0]))
    tensor([0.0000, 1.1752])
    """
    return xp.sinh(a)


@primitive(to_float=True)
def cosh(xp, a):
    """(e^a + e^-a) / 2, elementwise.

    >>> tn.cosh(tn.tensor([0.0, 1.0]))
    tensor([1.0000, 1.5431])
    """
    return xp.cosh(a)


@primitive(to_float=True)
def tanh(xp, a):
    """(e^a - e^-a) / (e^a + e^-a), elementwise.

    >>> tn.tanh(tn.tensor([0.0, 1.0]))
    tensor([0.0000, 0.7616])
    """
    return xp.tanh(a)


@primitive(to_float=True)
def sigmoid(xp, a):
    """1 / (1 + e^-a), elementwise, without overflow.

    >>> tn.sigmoid(tn.tensor([0.0, 1000.0]))
    tensor([0.5000, 1.0000])
    """
    small = xp.exp(-xp.abs(a))
    return xp.where(a >= 0, 1, small) / (1 + small)


@primitive(to_float=True)
def erf(xp, a):
    """2/sqrt(pi) times the integral of e^(-t^2) from 0 to a, elementwise.

    >>> tn.erf(tn.tensor([0.0, 1.0]))
    tensor([0.0000, 0.8427])
    """
    return _special(xp).erf(a).astype(a.dtype, copy=False)  # scipy computes float16 in float32


@functools.cache
def _special(xp: Any) -> Any:
    """SciPy's functions for this kind of arrays, fetched on first use: importing them is slow."""
    return importlib.import_module("scipy.special" if xp is np else "cupyx.scipy.special")


sin.vjp(a=lambda g, a: g * cos(a))
cos.vjp(a=lambda g, a: -g * sin(a))
tan.vjp(a=lambda g, out: g * (1 + out * out))
asin.vjp(a=lambda g, a: g * rsqrt(1 - a * a))
acos.vjp(a=lambda g, a: -g * rsqrt(1 - a * a))
atan.vjp(a=lambda g, a: g / (1 + a * a))
atan2.vjp(a=lambda g, a, b: g * (b / (a * a + b * b)), b=lambda g, a, b: -g * (a / (a * a + b * b)))
sinh.vjp(a=lambda g, a: g * cosh(a))
cosh.vjp(a=lambda g, a: g * sinh(a))
tanh.vjp(a=lambda g, out: g * (1 - out * out))
sigmoid.vjp(a=lambda g, out: g * ((1 - out) * out))
erf.vjp(a=lambda g, a: g * (exp(-(a * a)) * (2 / math.sqrt(math.pi))))
