"""Activation functions: what stands between the layers."""
from __future__ import annotations

from typing import Any

from tinynet import kernels
from tinynet.dtypes import as_dtype, name
from tinynet.ops._primitive import primitive
from tinynet.ops.elementwise import cast, exp, where


@primitive(elementwise=True)
def relu(xp: Any, input: Any) -> Any:
    """max(input, 0), elementwise; its slope at 0 is 0.

    >>> tn.relu(tn.tensor([-1., 2.]))
    tensor([0., 2.])
    """
    if input.dtype.kind == "b":
        raise RuntimeError("Boolean inputs not supported for relu")
    return xp.maximum(input, 0)


@primitive
def softmax_(xp: Any, input: Any, *, dim: Any) -> Any:
    """exp(input) / Σ exp(input) along dim."""
    return kernels.run("softmax", xp, input, dim=dim)


@primitive
def log_softmax_(xp: Any, input: Any, *, dim: Any) -> Any:
    """input - log Σ exp(input) along dim."""
    return kernels.run("log_softmax", xp, input, dim=dim)


relu.vjp(input=lambda g, out: where(out <= 0, 0.0, g))
softmax_.vjp(input=lambda g, out, dim: out * (g - (g * out).sum(axis=dim, keepdims=True)))
log_softmax_.vjp(input=lambda g, out, dim: g - exp(out) * g.sum(axis=dim, keepdims=True))


def softmax(input: Any, dim: int, dtype: Any = None) -> Any:
    """exp(input) / Σ exp(input) along dim: numbers between 0 and 1 that sum to 1. dtype: cast the input
    first.

    >>> tn.softmax(tn.tensor([1000., 1000.]), 0)
    tensor([0.5000, 0.5000])
    """
    return _along(softmax_, input, dim, dtype)


def log_softmax(input: Any, dim: int, dtype: Any = None) -> Any:
    """input - log Σ exp(input) along dim: the logarithm of softmax, exact where that is tiny. dtype: cast the
    input first.

    >>> tn.log_softmax(tn.tensor([0., -1000.]), 0)
    tensor([    0., -1000.])
    """
    return _along(log_softmax_, input, dim, dtype)


def _along(op: Any, input: Any, dim: int, dtype: Any) -> Any:
    if not hasattr(input, "dtype"):
        raise TypeError(f"{op.name}(): argument 'input' must be Tensor, not {type(input).__name__}")
    if dtype is not None and as_dtype(dtype) != input.dtype:
        input = cast(input, dtype=as_dtype(dtype))
    if input.dtype.kind != "f":
        raise NotImplementedError(f"{op.name} is not implemented for {name(input.dtype)}: pass "
                                  f"dtype=tn.float32")
    return op(input, dim=dim) if input.ndim else op(input.reshape((1,)), dim=dim).reshape(())
