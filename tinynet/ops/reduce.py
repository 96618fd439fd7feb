"""Reductions: many elements made one, over all dims or some. float16 is added up in float32.

`dim` is None (or empty) for all dims, a number, or a tuple of numbers.
"""
from __future__ import annotations

import math
from collections.abc import Callable
from functools import wraps
from typing import Any

from tinynet.autograd.variable import Variable
from tinynet.dtypes import Array, as_dtype, bool_, get_default_dtype, int64, name, uint8
from tinynet.errors import check_dims, check_tensor
from tinynet.ops._dims import (
    WIDE,
    Dims,
    Shape,
    count,
    float_of,
    kept,
    not_empty,
    one_dim,
    reduced,
    spread,
    summands,
    total,
)
from tinynet.ops._primitive import primitive
from tinynet.ops.discrete import logical_or, sign, where
from tinynet.ops.elementwise import cast, exp
from tinynet.ops.index import add_along
from tinynet.ops.piecewise import abs_, maximum, minimum


# ---- sums
@primitive(casts=True)
def sum_(xp: Any, a: Array, *, dim: Dims = None, keepdim: bool = False, dtype: Any = None) -> Array:
    """The sum over dim; of bools and integers int64. dtype: to cast the input to first.

    >>> tn.sum(tn.tensor([[1.0, 2.0], [3.0, 4.0]]), dim=0)
    tensor([4., 6.])
    """
    a, out = summands(a, dtype)
    return total(xp, a, dim, keepdim, out).astype(out, copy=False)


@primitive(casts=True)
def mean(xp: Any, a: Array, *, dim: Dims = None, keepdim: bool = False, dtype: Any = None) -> Array:
    """The mean over dim, nan if there is nothing; of integers in the default float dtype.

    >>> tn.mean(tn.tensor([1, 2]))
    tensor(1.5000)
    """
    if dtype is not None and as_dtype(dtype).kind != "f":
        raise RuntimeError(f"mean(): dtype must be a floating point type, not {name(as_dtype(dtype))}")
    a, out = summands(a, dtype)
    n = count(a.shape, dim) or math.nan
    return (total(xp, a, dim, keepdim, out) / n).astype(float_of(a), copy=False)


@primitive
def count_nonzero(xp: Any, a: Array, *, dim: Dims = None) -> Array:
    """How many elements over dim are not zero.

    >>> tn.count_nonzero(tn.tensor([[1, 0], [2, 3]]), dim=0)
    tensor([2, 1])
    """
    return total(xp, a != 0, dim, False, int64)


sum_.vjp(a=lambda g, a_shape, dim: spread(g, a_shape, dim))
mean.vjp(a=lambda g, a_shape, dim: spread(g / (count(a_shape, dim) or math.nan), a_shape, dim))


# ---- truth
@primitive
def all_(xp: Any, a: Array, *, dim: Dims = None, keepdim: bool = False) -> Array:
    """Whether no element over dim is zero (true of nothing), as bool; of uint8 as uint8.

    >>> tn.all(tn.tensor([[True, False], [True, True]]), dim=1)
    tensor([False,  True])
    """
    return _ask(xp.all, a, dim, keepdim)


@primitive
def any_(xp: Any, a: Array, *, dim: Dims = None, keepdim: bool = False) -> Array:
    """Whether an element over dim is not zero (false of nothing), as bool; of uint8 as uint8.

    >>> tn.any(tn.tensor([[True, False], [False, False]]), dim=1)
    tensor([ True, False])
    """
    return _ask(xp.any, a, dim, keepdim)


def _ask(f: Any, a: Array, dim: Dims, keepdim: bool) -> Array:
    each = dim == ()  # for which PyTorch asks each element by itself
    out = a != 0 if each else f(a, axis=reduced(a.shape, dim), keepdims=keepdim)
    return out.astype(uint8 if a.dtype == uint8 else bool_)


# ---- extremes: nan is both the greatest and the least
@primitive
def amax(xp: Any, a: Array, *, dim: Dims = None, keepdim: bool = False) -> Array:
    """The greatest element over dim; elements that tie share the gradient. An error if there is none.

    >>> tn.amax(tn.tensor([[1.0, 5.0], [3.0, 2.0]]), dim=1)
    tensor([5., 3.])
    """
    not_empty("amax", a, dim)
    return a.max(axis=reduced(a.shape, dim), keepdims=keepdim)


@primitive
def amin(xp: Any, a: Array, *, dim: Dims = None, keepdim: bool = False) -> Array:
    """The least element over dim; elements that tie share the gradient. An error if there is none.

    >>> tn.amin(tn.tensor([[1.0, 5.0], [3.0, 2.0]]), dim=1)
    tensor([1., 2.])
    """
    not_empty("amin", a, dim)
    return a.min(axis=reduced(a.shape, dim), keepdims=keepdim)


@primitive
def argmax(xp: Any, a: Array, *, dim: Dims = None, keepdim: bool = False) -> Array:
    """The index of the greatest element along dim, or among all elements in a row; the first if several tie.

    >>> tn.argmax(tn.tensor([[1.0, 5.0], [3.0, 2.0]]), dim=1)
    tensor([1, 0])
    """
    _not_bool("argmax", a)
    return _arg(xp.argmax, "argmax", a, dim, keepdim)


@primitive
def argmin(xp: Any, a: Array, *, dim: Dims = None, keepdim: bool = False) -> Array:
    """The index of the least element along dim, or among all elements in a row; the first if several tie.

    >>> tn.argmin(tn.tensor([[1.0, 5.0], [3.0, 2.0]]), dim=1)
    tensor([0, 1])
    """
    _not_bool("argmin", a)
    return _arg(xp.argmin, "argmin", a, dim, keepdim)


def _arg(f: Any, op: str, a: Array, dim: Dims, keepdim: bool) -> Array:
    if dim is not None:
        one_dim(op, dim)
    not_empty(op, a, dim, IndexError)
    return f(a, axis=dim if a.ndim else None, keepdims=keepdim)


def _not_bool(op: str, a: Array) -> None:
    if a.dtype.kind == "b":
        raise RuntimeError(f"{op}(): does not support bool input; convert it first, e.g. x.int()")


def share(g: Any, a: Any, out: Any, dim: Dims) -> Any:
    """g in equal parts to the elements equal to out, or to the nans."""
    at = kept(a.shape, dim)
    hits = cast(logical_or(a == out.reshape(at), a != a), dtype=g.dtype)
    return hits * (g.reshape(at) / hits.sum(axis=reduced(a.shape, dim), keepdims=True))


def pick(xp: Any, a: Array, indices: Any, dim: Dims, keepdim: bool) -> tuple[Array, Array]:
    """The elements at the indices, of which there is one along dim, and the indices."""
    if a.ndim == 0:
        return a.copy(), indices
    values = xp.take_along_axis(a, indices, dim)
    return (values, indices) if keepdim else (values.squeeze(dim), indices.squeeze(dim))


def put_back(g: Any, indices: Any, shape: Shape, dim: Dims) -> Any:
    """The gradient of elements that were taken along dim, in their places."""
    g, indices = (x.reshape(x.shape or (1,)) for x in (g, indices))
    return add_along(g, indices, dim=dim, shape=shape or (1,)).reshape(shape)


def pick_rule(g: Any, indices: Any, a_shape: Shape, dim: Dims) -> Any:
    """The rule of an op that ends in pick."""
    at = kept(a_shape, dim)
    return put_back(g[0].reshape(at), indices.reshape(at), a_shape, dim)


def _extreme(op: str, sense: str) -> Any:
    """max or min along one dim."""
    def forward(xp: Any, a: Array, *, dim: Dims, keepdim: bool = False) -> tuple[Array, Array]:
        return pick(xp, a, _arg(getattr(xp, f"arg{op}"), op, a, dim, True), dim, keepdim)

    forward.__name__ = op
    forward.__doc__ = f"The {sense} element along dim and its index, to which the gradient goes."
    extreme = primitive(forward, outputs="values indices")
    extreme.vjp(a=pick_rule)
    return extreme


amax.vjp(a=share)
amin.vjp(a=share)
max_along, min_along = _extreme("max", "greatest"), _extreme("min", "least")


# ---- public functions that are several ops
def numpy_names(f: Callable[..., Any]) -> Callable[..., Any]:
    """f, which also takes NumPy's axis= and keepdims= for dim= and keepdim=."""
    @wraps(f)
    def call(*args: Any, **options: Any) -> Any:
        for theirs, ours in (("axis", "dim"), ("keepdims", "keepdim")):
            if theirs in options:
                options[ours] = options.pop(theirs)
        return f(*args, **options)

    return call


@numpy_names
def max_(input: Any, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """The greatest element; with dim, (values, indices) along it; with another tensor, `maximum`.

    >>> tn.max(tn.tensor([[1.0, 5.0], [3.0, 2.0]]), dim=1).indices
    tensor([1, 0])
    """
    if other is not None or isinstance(dim, Variable):
        return maximum(input, dim if other is None else other)
    return amax(input) if dim is None else max_along(input, dim=dim, keepdim=keepdim)


@numpy_names
def min_(input: Any, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """The least element; with dim, (values, indices) along it; with another tensor, `minimum`.

    >>> tn.min(tn.tensor([[1.0, 5.0], [3.0, 2.0]]), dim=1).values
    tensor([1., 2.])
    """
    if other is not None or isinstance(dim, Variable):
        return minimum(input, dim if other is None else other)
    return amin(input) if dim is None else min_along(input, dim=dim, keepdim=keepdim)


# ---- moments: of n elements, with n - correction degrees of freedom
@primitive(outputs="var mean")
def var_mean_(xp: Any, a: Array, *, dim: Dims = None, keepdim: bool = False,
              correction: float = 1) -> tuple[Array, Array]:
    """The variance over dim, and the mean."""
    var, mean = _var_mean(xp, a, dim, keepdim, correction)
    return var.astype(float_of(a), copy=False), mean.astype(float_of(a), copy=False)


@primitive(outputs="std mean")
def std_mean_(xp: Any, a: Array, *, dim: Dims = None, keepdim: bool = False,
              correction: float = 1) -> tuple[Array, Array]:
    """The standard deviation over dim, and the mean."""
    var, mean = _var_mean(xp, a, dim, keepdim, correction)
    return xp.sqrt(var).astype(float_of(a), copy=False), mean.astype(float_of(a), copy=False)


def _var_mean(xp: Any, a: Array, dim: Dims, keepdim: bool, correction: float) -> tuple[Array, Array]:
    n = count(a.shape, dim)
    mean = total(xp, a, dim, True, float_of(a)) / (n or math.nan)
    squares = total(xp, (a - mean) ** 2, dim, keepdim)
    var = squares / (n - correction) if n > correction else xp.where(squares > 0, math.inf, math.nan)
    return var, mean.reshape(var.shape)


def _var_mean_rule(g: Any, a: Any, mean: Any, dim: Dims, correction: float) -> Any:
    at, n = kept(a.shape, dim), count(a.shape, dim)
    slope = g[0].reshape(at) * (2 / (n - correction) if n > correction else math.nan)
    return (a - mean.reshape(at)) * slope + g[1].reshape(at) / (n or math.nan)


def _std_mean_rule(g: Any, a: Any, std: Any, mean: Any, dim: Dims, correction: float) -> Any:
    at, n = kept(a.shape, dim), count(a.shape, dim)
    slope = quotient(g[0], std).reshape(at) * (1 / (n - correction) if n > correction else math.nan)
    return (a - mean.reshape(at)) * slope + g[1].reshape(at) / (n or math.nan)


def quotient(a: Any, b: Any) -> Any:
    """a / b, and 0 where b is 0: the slope chosen at the tip of a root."""
    return where(b == 0, 0.0, a / where(b == 0, 1.0, b))


var_mean_.vjp(a=_var_mean_rule)
std_mean_.vjp(a=_std_mean_rule)


def _moments(op: Any, input: Any, dim: Any, unbiased: Any, keepdim: bool, correction: Any) -> tuple[Any, Any]:
    if isinstance(dim, bool):  # var(x, False)
        dim, unbiased = None, dim
    if unbiased is not None and correction is not None:
        raise TypeError(f"{op.name}() takes unbiased or correction, not both")
    degrees = correction if correction is not None else 1 if unbiased is None else int(unbiased)
    return tuple(op(input, dim=dim, keepdim=keepdim, correction=degrees))


@numpy_names
def var(input: Any, dim: Any = None, unbiased: Any = None, keepdim: Any = False, *,
        correction: Any = None) -> Any:
    """sum (x - mean)^2 / (n - correction) over dim. unbiased=True means correction=1, False 0.

    >>> tn.var(tn.tensor([1.0, 2.0, 3.0]), correction=0)
    tensor(0.6667)
    """
    return _moments(var_mean_, input, dim, unbiased, keepdim, correction)[0]


@numpy_names
def std(input: Any, dim: Any = None, unbiased: Any = None, keepdim: Any = False, *,
        correction: Any = None) -> Any:
    """The square root of the variance over dim; its gradient is 0 where all elements are equal.

    >>> tn.std(tn.tensor([1.0, 2.0, 3.0]))
    tensor(1.)
    """
    return _moments(std_mean_, input, dim, unbiased, keepdim, correction)[0]


@numpy_names
def var_mean(input: Any, dim: Any = None, unbiased: Any = None, keepdim: Any = False, *,
             correction: Any = None) -> Any:
    """The variance over dim, and the mean.

    >>> tn.var_mean(tn.tensor([1.0, 2.0, 3.0]))
    (tensor(1.), tensor(2.))
    """
    return _moments(var_mean_, input, dim, unbiased, keepdim, correction)


@numpy_names
def std_mean(input: Any, dim: Any = None, unbiased: Any = None, keepdim: Any = False, *,
             correction: Any = None) -> Any:
    """The standard deviation over dim, and the mean.

    >>> tn.std_mean(tn.tensor([1.0, 2.0, 3.0]))
    (tensor(1.), tensor(2.))
    """
    return _moments(std_mean_, input, dim, unbiased, keepdim, correction)


# ---- norms
@primitive
def norm_(xp: Any, a: Array, *, p: float = 2, dim: Dims = None, keepdim: bool = False) -> Array:
    """(sum |a|^p)^(1/p) over dim, for p neither 0 nor infinite."""
    x = abs(a.astype(WIDE.get(a.dtype, a.dtype), copy=False))
    powers = total(xp, x * x if p == 2 else x ** p, dim, keepdim)
    return (xp.sqrt(powers) if p == 2 else powers ** (1 / p)).astype(a.dtype, copy=False)


def _norm_rule(g: Any, a: Any, out: Any, p: float, dim: Dims) -> Any:
    """g sign(a) (|a| / norm)^(p-1), and 0 where a is 0."""
    at = kept(a.shape, dim)
    g, out = g.reshape(at), out.reshape(at)
    if p == 2:
        return a * quotient(g, out)
    ratio = quotient(abs_(a), out) if p > 1 else quotient(out, abs_(a))
    return g * (sign(a) * where(a == 0, 1.0, ratio) ** (p - 1 if p > 1 else 1 - p))


norm_.vjp(a=_norm_rule)


@numpy_names
def norm(input: Any, p: Any = "fro", dim: Dims = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """(sum |x|^p)^(1/p) over dim; "fro" is 2, inf: the greatest |x|, -inf: the least, 0: how many are not 0.

    Its gradient is 0 where x is 0. RuntimeError for "nuc", and where there is no element for inf and p < 0.

    >>> tn.norm(tn.tensor([3.0, 4.0]))
    tensor(5.)
    """
    check_tensor("norm", input)
    p = 2 if p is None or p == "fro" else p
    if isinstance(p, str):
        raise RuntimeError(f"norm(): order {p!r} is not supported: use a number, inf, -inf or 'fro'")
    if dtype is not None or input.dtype.kind != "f":
        input = cast(input, dtype=get_default_dtype() if dtype is None else as_dtype(dtype))
    if (p == math.inf or p < 0) and count(input.shape, check_dims(dim, input.ndim)) == 0:
        raise RuntimeError(f"norm(): no elements have no {p} norm: shape {list(input.shape)}, dim {dim}")
    if p == 0:
        return sum_(cast(input != 0, dtype=input.dtype), dim=dim, keepdim=keepdim)
    if p == 1:
        return sum_(abs_(input), dim=dim, keepdim=keepdim)
    if math.isinf(p):
        return (amax if p > 0 else amin)(abs_(input), dim=dim, keepdim=keepdim)
    return norm_(input, p=p, dim=dim, keepdim=keepdim)


@primitive
def logsumexp(xp: Any, a: Array, *, dim: Dims, keepdim: bool = False) -> Array:
    """log(sum e^a) over dim, computed from the greatest element so that nothing overflows.

    >>> tn.logsumexp(tn.tensor([1e4, 1e4]), dim=0) - 1e4 > 0.69
    tensor(True)
    """
    dtype = float_of(a)
    a = a.astype(WIDE.get(dtype, dtype), copy=False)
    axes, at = reduced(a.shape, dim), kept(a.shape, dim)
    top = a.max(axis=axes, keepdims=True) if a.size else xp.full(at, -math.inf, a.dtype)
    top = xp.where(xp.isfinite(top), top, 0)  # inf - inf is nan
    out = xp.log(total(xp, xp.exp(a - top), dim, keepdim))
    return (out + top.reshape(out.shape)).astype(dtype, copy=False)


def _logsumexp_rule(g: Any, a: Any, out: Any, dim: Dims) -> Any:
    at = kept(a.shape, dim)
    return g.reshape(at) * exp(a - out.reshape(at))


logsumexp.vjp(a=_logsumexp_rule)
