"""Pointwise arithmetic and functions. Operands broadcast, and promote as PyTorch's do; every gradient is a line."""
from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinynet.ops._primitive import primitive

_erf: Any = None  # scipy's, fetched on first use: importing it is slow


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
    return xp.negative(a)


@primitive(elementwise=True)
def add(xp, a, b, *, alpha=1):
    """a + alpha * b, elementwise.

    >>> tn.add(tn.tensor([1.0, 2.0]), 1, alpha=10)
    tensor([11., 12.])
    """
    return xp.add(a, b) if alpha == 1 else xp.add(a, b * alpha)


@primitive(elementwise=True)
def sub(xp, a, b, *, alpha=1):
    """a - alpha * b, elementwise.

    >>> tn.sub(tn.tensor([1.0, 2.0]), 1)
    tensor([0., 1.])
    """
    return xp.subtract(a, b) if alpha == 1 else xp.subtract(a, b * alpha)


@primitive(elementwise=True)
def mul(xp, a, b):
    """a * b, elementwise.

    >>> tn.mul(tn.tensor([1.0, 2.0]), tn.tensor([3.0, 4.0]))
    tensor([3., 8.])
    """
    return xp.multiply(a, b)


@primitive(to_float=True)
def true_divide(xp, a, b):
    """a / b, elementwise; integers give the default float dtype.

    >>> tn.true_divide(tn.tensor([1, 2]), 2)
    tensor([0.5000, 1.0000])
    """
    return xp.true_divide(a, b)


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
def pow_(xp, a, b):
    """a ** b, elementwise. RuntimeError for integers to a negative power.

    >>> tn.pow(tn.tensor([1.0, 2.0, 3.0]), 2)
    tensor([1., 4., 9.])
    """
    if isinstance(b, int) and b == 2:
        return xp.multiply(a, a)
    return xp.power(a, b)


def _no_integer_zero(xp: Any, a: Any, b: Any) -> None:
    if xp.result_type(a, b).kind != "f" and not xp.all(b):
        raise RuntimeError("ZeroDivisionError: an integer is divided by zero; convert to a float dtype for inf or nan")


def _slope_of_power(g, a, b):
    """b a^(b-1), which is 0 where b is 0, whatever a is."""
    if not hasattr(b, "dtype"):
        return g * (b * pow_(a, b - 1)) if b else g * 0.0
    return g * where(eq(b, 0), 0.0, b * pow_(a, b - 1))


def _slope_of_exponent(g, a, b, out):
    """a^b log a, which is 0 where a is 0 and b is not negative."""
    zero = logical_and(eq(a, 0), ge(b, 0))
    return g * where(zero, 0.0, out * log(where(zero, 1.0, a)))


neg.vjp(a=lambda g: -g)
clone.vjp(a=lambda g: g)
cast.vjp(a=lambda g: g)
add.vjp(a=lambda g: g, b=lambda g, alpha: g if alpha == 1 else g * alpha)
sub.vjp(a=lambda g: g, b=lambda g, alpha: g * -alpha)
mul.vjp(a=lambda g, b: g * b, b=lambda g, a: g * a)
true_divide.vjp(a=lambda g, b: g / b, b=lambda g, a, b: -g * (a / b / b))
remainder.vjp(a=lambda g: g, b=lambda g, a, b: -g * floor_divide(a, b))
pow_.vjp(a=_slope_of_power, b=_slope_of_exponent)


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
    kinds = {getattr(x, "dtype", np.asarray(x).dtype).kind for x in (input, other)}
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

    >>> tn.log10(tn.tensor([1.0, 100.0]))
    tensor([0., 2.])
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
    global _erf
    if _erf is None:
        from scipy.special import erf as _erf
    return _erf(a).astype(a.dtype, copy=False)  # scipy computes float16 in float32


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


# ---- comparisons and logic: results are bool and have no gradient
@primitive(elementwise=True)
def eq(xp, a, b):
    """a == b, elementwise, as bool.

    >>> tn.eq(tn.tensor([1, 2]), 2)
    tensor([False,  True])
    """
    return xp.equal(a, b)


@primitive(elementwise=True)
def ne(xp, a, b):
    """a != b, elementwise, as bool.

    >>> tn.ne(tn.tensor([1, 2]), 2)
    tensor([ True, False])
    """
    return xp.not_equal(a, b)


@primitive(elementwise=True)
def lt(xp, a, b):
    """a < b, elementwise, as bool.

    >>> tn.lt(tn.tensor([1, 2]), 2)
    tensor([ True, False])
    """
    return xp.less(a, b)


@primitive(elementwise=True)
def le(xp, a, b):
    """a <= b, elementwise, as bool.

    >>> tn.le(tn.tensor([1, 2]), 1)
    tensor([ True, False])
    """
    return xp.less_equal(a, b)


@primitive(elementwise=True)
def gt(xp, a, b):
    """a > b, elementwise, as bool.

    >>> tn.gt(tn.tensor([1, 2]), 1)
    tensor([False,  True])
    """
    return xp.greater(a, b)


@primitive(elementwise=True)
def ge(xp, a, b):
    """a >= b, elementwise, as bool.

    >>> tn.ge(tn.tensor([1, 2]), 2)
    tensor([False,  True])
    """
    return xp.greater_equal(a, b)


@primitive(elementwise=True)
def logical_and(xp, a, b):
    """Whether both are non-zero, elementwise.

    >>> tn.logical_and(tn.tensor([True, True]), tn.tensor([True, False]))
    tensor([ True, False])
    """
    return xp.logical_and(a, b)


@primitive(elementwise=True)
def logical_or(xp, a, b):
    """Whether one of the two is non-zero, elementwise.

    >>> tn.logical_or(tn.tensor([True, False]), tn.tensor([False, False]))
    tensor([ True, False])
    """
    return xp.logical_or(a, b)


@primitive(elementwise=True)
def logical_xor(xp, a, b):
    """Whether just one of the two is non-zero, elementwise.

    >>> tn.logical_xor(tn.tensor([True, False]), tn.tensor([True, True]))
    tensor([False,  True])
    """
    return xp.logical_xor(a, b)


@primitive(elementwise=True)
def logical_not(xp, a):
    """Whether a is zero, elementwise.

    >>> tn.logical_not(tn.tensor([0, 3]))
    tensor([ True, False])
    """
    return xp.logical_not(a)


def _not_of(kind: str, name: str, xp: Any, *operands: Any) -> None:
    dtype = xp.result_type(*operands)
    if dtype.kind == kind:
        raise NotImplementedError(f"{name} is not implemented for {dtype} tensors")


@primitive(elementwise=True)
def bitwise_and(xp, a, b):
    """a & b on bools and integers."""
    _not_of("f", "bitwise_and", xp, a, b)
    return xp.bitwise_and(a, b)


@primitive(elementwise=True)
def bitwise_or(xp, a, b):
    """a | b on bools and integers."""
    _not_of("f", "bitwise_or", xp, a, b)
    return xp.bitwise_or(a, b)


@primitive(elementwise=True)
def bitwise_xor(xp, a, b):
    """a ^ b on bools and integers."""
    _not_of("f", "bitwise_xor", xp, a, b)
    return xp.bitwise_xor(a, b)


@primitive
def bitwise_not(xp, a):
    """~a on bools (logical not) and integers."""
    if a.dtype.kind == "f":
        raise TypeError(f"~ (bitwise_not) is only implemented on integer and bool tensors, not on {a.dtype}")
    return xp.invert(a)


@primitive
def isnan(xp, a):
    """Whether a is nan, elementwise.

    >>> tn.isnan(tn.tensor([1.0, float("nan")]))
    tensor([False,  True])
    """
    return xp.isnan(a)


@primitive
def isinf(xp, a):
    """Whether a is inf or -inf, elementwise.

    >>> tn.isinf(tn.tensor([1.0, float("-inf")]))
    tensor([False,  True])
    """
    return xp.isinf(a)


@primitive
def isfinite(xp, a):
    """Whether a is neither nan nor infinite, elementwise.

    >>> tn.isfinite(tn.tensor([1.0, float("inf")]))
    tensor([ True, False])
    """
    return xp.isfinite(a)


# ---- pieces and steps: a constant where they are flat, and at a tie the gradient is shared as PyTorch shares it
@primitive(elementwise=True)
def where(xp, condition, input, other):
    """input where condition is true, else other, elementwise. (With the condition alone, use `nonzero`.)

    >>> tn.where(tn.tensor([True, False]), tn.tensor([1.0, 2.0]), 0.0)
    tensor([1., 0.])
    """
    return xp.where(condition, input, other)


@primitive
def abs_(xp, a):
    """|a|, elementwise; its derivative at 0 is 0.

    >>> tn.abs(tn.tensor([-1.0, 2.0]))
    tensor([1., 2.])
    """
    _not_of("b", "abs", xp, a)
    return xp.abs(a)


@primitive
def sign(xp, a):
    """-1, 0 or 1, elementwise; 0 for nan.

    >>> tn.sign(tn.tensor([-3.0, 0.0]))
    tensor([-1.,  0.])
    """
    return xp.subtract(a > 0, a < 0, dtype=a.dtype) if a.dtype.kind != "b" else a.copy()


@primitive
def floor(xp, a):
    """The largest integer not above a, elementwise.

    >>> tn.floor(tn.tensor([1.5, -1.5]))
    tensor([ 1., -2.])
    """
    _not_of("b", "floor", xp, a)
    return xp.floor(a) if a.dtype.kind == "f" else a.copy()


@primitive
def ceil(xp, a):
    """The smallest integer not below a, elementwise.

    >>> tn.ceil(tn.tensor([1.5, -1.5]))
    tensor([ 2., -1.])
    """
    _not_of("b", "ceil", xp, a)
    return xp.ceil(a) if a.dtype.kind == "f" else a.copy()


@primitive
def trunc(xp, a):
    """a without its fraction, elementwise.

    >>> tn.trunc(tn.tensor([1.5, -1.5]))
    tensor([ 1., -1.])
    """
    _not_of("b", "trunc", xp, a)
    return xp.trunc(a) if a.dtype.kind == "f" else a.copy()


@primitive
def round_(xp, a, *, decimals=0):
    """a rounded to `decimals` places, halves to the even neighbour, elementwise.

    >>> tn.round(tn.tensor([0.5, 1.5, 2.4]))
    tensor([0., 2., 2.])
    """
    _not_of("b", "round", xp, a)
    return xp.round(a, decimals)


@primitive(elementwise=True)
def maximum(xp, a, b):
    """The larger of a and b, elementwise; nan if one is. A tie shares the gradient in halves.

    >>> tn.maximum(tn.tensor([1.0, 4.0]), tn.tensor([3.0, 2.0]))
    tensor([3., 4.])
    """
    return xp.maximum(a, b)


@primitive(elementwise=True)
def minimum(xp, a, b):
    """The smaller of a and b, elementwise; nan if one is. A tie shares the gradient in halves.

    >>> tn.minimum(tn.tensor([1.0, 4.0]), tn.tensor([3.0, 2.0]))
    tensor([1., 2.])
    """
    return xp.minimum(a, b)


@primitive(elementwise=True)
def clamp_min(xp, a, min):
    """max(a, min), elementwise; the gradient passes where a >= min.

    >>> tn.clamp_min(tn.tensor([-1.0, 2.0]), 0)
    tensor([0., 2.])
    """
    return xp.maximum(a, min)


@primitive(elementwise=True)
def clamp_max(xp, a, max):
    """min(a, max), elementwise; the gradient passes where a <= max.

    >>> tn.clamp_max(tn.tensor([-1.0, 2.0]), 1)
    tensor([-1.,  1.])
    """
    return xp.minimum(a, max)


def clamp(input: Any, min: Any = None, max: Any = None) -> Any:
    """min(max(input, min), max), elementwise; bounds are numbers, tensors or None. RuntimeError without a bound.

    >>> tn.clamp(tn.tensor([-1.0, 0.5, 2.0]), 0, 1)
    tensor([0.0000, 0.5000, 1.0000])
    """
    if min is None and max is None:
        raise RuntimeError("clamp: At least one of 'min' or 'max' must not be None")
    low = input if min is None else clamp_min(input, min)
    return low if max is None else clamp_max(low, max)


@primitive(elementwise=True)
def nan_to_num(xp, a, *, nan=0.0, posinf=None, neginf=None):
    """a with nan, inf and -inf replaced (by 0 and the largest finite numbers unless told), elementwise.

    >>> tn.nan_to_num(tn.tensor([1.0, float("nan")]))
    tensor([1., 0.])
    """
    return xp.nan_to_num(a, nan=nan or 0.0, posinf=posinf, neginf=neginf)


def _half_at_tie(wins, ties):
    return where(wins, 1.0, where(ties, 0.5, 0.0))


def _flat(g):
    return g * 0.0


where.vjp(input=lambda g, condition: where(condition, g, 0.0), other=lambda g, condition: where(condition, 0.0, g))
abs_.vjp(a=lambda g, a: g * sign(a))
for _step in (sign, floor, ceil, trunc, round_):
    _step.vjp(a=_flat)
maximum.vjp(a=lambda g, a, b: g * _half_at_tie(gt(a, b), eq(a, b)),
            b=lambda g, a, b: g * _half_at_tie(gt(b, a), eq(a, b)))
minimum.vjp(a=lambda g, a, b: g * _half_at_tie(lt(a, b), eq(a, b)),
            b=lambda g, a, b: g * _half_at_tie(lt(b, a), eq(a, b)))
clamp_min.vjp(a=lambda g, a, min: where(ge(a, min), g, 0.0), min=lambda g, a, min: where(lt(a, min), g, 0.0))
clamp_max.vjp(a=lambda g, a, max: where(le(a, max), g, 0.0), max=lambda g, a, max: where(gt(a, max), g, 0.0))
nan_to_num.vjp(a=lambda g, a: where(isfinite(a), g, 0.0))


# ---- compositions
def lerp(input: Any, end: Any, weight: Any) -> Any:
    """input + weight * (end - input), elementwise.

    >>> tn.lerp(tn.tensor([0.0]), tn.tensor([10.0]), 0.25)
    tensor([2.5000])
    """
    return add(input, mul(sub(end, input), weight))


def addcmul(input: Any, tensor1: Any, tensor2: Any, *, value: float = 1) -> Any:
    """input + value * tensor1 * tensor2, elementwise.

    >>> tn.addcmul(tn.tensor([1.0]), tn.tensor([2.0]), tn.tensor([3.0]), value=2)
    tensor([13.])
    """
    product = mul(tensor1, tensor2)
    return add(input, product if value == 1 else mul(product, value))


def isclose(input: Any, other: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Any:
    """|input - other| <= atol + rtol * |other|, elementwise; infinities of one sign are close.

    >>> tn.isclose(tn.tensor([1.0, 2.0]), tn.tensor([1.0, 2.1]))
    tensor([ True, False])
    """
    if input.dtype != other.dtype:
        raise RuntimeError(f"{input.dtype} did not match {other.dtype}: convert one of the two")
    near = logical_and(isfinite(other), le(abs_(sub(cast(input, dtype=float), cast(other, dtype=float))),
                                           add(mul(abs_(cast(other, dtype=float)), rtol), atol)))
    close = logical_or(eq(input, other), near)
    return logical_or(close, logical_and(isnan(input), isnan(other))) if equal_nan else close


def allclose(input: Any, other: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> bool:
    """Whether isclose holds for every element.

    >>> tn.allclose(tn.tensor([1.0]), tn.tensor([1.0 + 1e-9]))
    True
    """
    return bool(isclose(input, other, rtol, atol, equal_nan).array.all())


def equal(input: Any, other: Any) -> bool:
    """Whether shapes and all elements are the same.

    >>> tn.equal(tn.tensor([1, 2]), tn.tensor([1, 2]))
    True
    """
    return input.shape == other.shape and bool(eq(input, other).array.all())
