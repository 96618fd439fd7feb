"""Functions made of pieces, with the gradient of the piece; at a tie it is shared as PyTorch shares it."""
from __future__ import annotations

from typing import Any

from tinynet.errors import check_tensor
from tinynet.ops._primitive import primitive
from tinynet.ops.discrete import eq, ge, gt, isfinite, isnan, le, logical_and, logical_or, lt, not_of, sign, where
from tinynet.ops.elementwise import add, cast, mul, sub


@primitive
def abs_(xp, a):
    """|a|, elementwise; its derivative at 0 is 0.

    >>> tn.abs(tn.tensor([-1.0, 2.0]))
    tensor([1., 2.])
    """
    not_of("b", "abs", xp, a)
    return xp.abs(a)


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


abs_.vjp(a=lambda g, a: g * sign(a))
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
    check_tensor("isclose", input)
    check_tensor("isclose", other, "other")
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
    return bool(isclose(input, other, rtol, atol, equal_nan).all())


def equal(input: Any, other: Any) -> bool:
    """Whether shapes and all elements are the same.

    >>> tn.equal(tn.tensor([1, 2]), tn.tensor([1, 2]))
    True
    """
    check_tensor("equal", input)
    check_tensor("equal", other, "other")
    return input.shape == other.shape and bool(eq(input, other).all())
