"""Functions that jump and are flat between: comparisons, logic, roundings; and where, which chooses by them."""
from __future__ import annotations

from typing import Any

import numpy as np

from tinynet.ops._primitive import primitive


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


def not_of(kind: str, name: str, xp: Any, *operands: Any) -> None:
    """Refuse operands whose common dtype is of this kind."""
    dtype = xp.result_type(*operands)
    if dtype.kind == kind:
        raise NotImplementedError(f"{name} is not implemented for {dtype} tensors")


@primitive(elementwise=True)
def bitwise_and(xp, a, b):
    """a & b on bools and integers."""
    not_of("f", "bitwise_and", xp, a, b)
    return xp.bitwise_and(a, b)


@primitive(elementwise=True)
def bitwise_or(xp, a, b):
    """a | b on bools and integers."""
    not_of("f", "bitwise_or", xp, a, b)
    return xp.bitwise_or(a, b)


@primitive(elementwise=True)
def bitwise_xor(xp, a, b):
    """a ^ b on bools and integers."""
    not_of("f", "bitwise_xor", xp, a, b)
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


# ---- a choice
@primitive(elementwise=True)
def where(xp, condition, input, other):
    """input where condition is true, else other, elementwise.

    >>> tn.where(tn.tensor([True, False]), tn.tensor([1.0, 2.0]), 0.0)
    tensor([1., 0.])
    """
    return xp.where(condition, input, other)


where.vjp(input=lambda g, condition: where(condition, g, 0.0), other=lambda g, condition: where(condition, 0.0, g))


# ---- steps: constants have gradient zero
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
    not_of("b", "floor", xp, a)
    return xp.floor(a) if a.dtype.kind == "f" else a.copy()


@primitive
def ceil(xp, a):
    """The smallest integer not below a, elementwise.

    >>> tn.ceil(tn.tensor([1.5, -1.5]))
    tensor([ 2., -1.])
    """
    not_of("b", "ceil", xp, a)
    return xp.ceil(a) if a.dtype.kind == "f" else a.copy()


@primitive
def trunc(xp, a):
    """a without its fraction, elementwise.

    >>> tn.trunc(tn.tensor([1.5, -1.5]))
    tensor([ 1., -1.])
    """
    not_of("b", "trunc", xp, a)
    return xp.trunc(a) if a.dtype.kind == "f" else a.copy()


@primitive
@np.errstate(all="ignore")
def round_(xp, a, *, decimals=0):
    """a rounded to `decimals` places, halves to the even neighbour, elementwise.

    >>> tn.round(tn.tensor([0.5, 1.5, 2.4]))
    tensor([0., 2., 2.])
    """
    not_of("b", "round", xp, a)
    return xp.round(a, decimals)


def _flat(g):
    return g * 0.0


for _step in (sign, floor, ceil, trunc, round_):
    _step.vjp(a=_flat)
