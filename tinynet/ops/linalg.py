"""tn.linalg: inverses, determinants, factorizations and norms; leading axes are a batch."""
from __future__ import annotations

import importlib
import math
from contextlib import nullcontext
from typing import Any, NoReturn

import numpy as np

from tinynet.autograd.fit import unbroadcast
from tinynet.autograd.variable import raw
from tinynet.device import backend, host
from tinynet.dtypes import Array, as_dtype, float16, name
from tinynet.errors import broadcast_error, check_dims
from tinynet.ops._dims import kept
from tinynet.ops._primitive import primitive
from tinynet.ops.diagonals import add_diagonal, tril
from tinynet.ops.discrete import where
from tinynet.ops.elementwise import cast
from tinynet.ops.matmul import matmul
from tinynet.ops.piecewise import abs_
from tinynet.ops.reduce import amax, amin
from tinynet.ops.reduce import norm as norm_of_elements
from tinynet.ops.shape import movedim, mT

__all__ = ["LinAlgError", "cholesky", "det", "inv", "norm", "slogdet", "solve", "vector_norm"]


class LinAlgError(RuntimeError):
    """A matrix has no inverse, or not the factorization asked for.

    >>> tn.linalg.inv(tn.zeros(2, 2))
    Traceback (most recent call last):
    tinynet.ops.linalg.LinAlgError: linalg.inv: the input matrix is singular (rows linearly dependent)
    """


def _check_tensor(op: str, x: Any) -> None:
    if not hasattr(x, "dtype"):
        raise TypeError(f"linalg.{op}(): every argument must be Tensor, not {type(x).__name__}")


def _check(op: str, A: Any, square: bool = True) -> None:
    _check_tensor(op, A)
    if A.dtype.kind != "f":
        raise RuntimeError(f"linalg.{op}: Expected a floating point tensor as input. Got {name(A.dtype)}")
    if A.dtype == float16:
        raise RuntimeError(f"linalg.{op}: Low precision dtypes not supported. Got float16; use .float()")
    if A.ndim < 2:
        raise RuntimeError(f"linalg.{op}: The input tensor must have at least 2 dimensions: {list(A.shape)}")
    if square and A.shape[-1] != A.shape[-2]:
        raise RuntimeError(f"linalg.{op}: A must be batches of square matrices, but they are "
                           f"{A.shape[-2]} by {A.shape[-1]} matrices")


def _which(bad: Array) -> str:
    """Where in a batch the first bad matrix stands."""
    bad = host(bad)
    return f"(Batch element {', '.join(map(str, np.argwhere(bad)[0]))}): " if bad.ndim and bad.any() else ""


def _singular(xp: Any, op: str, A: Array) -> NoReturn:
    which = _which(xp.linalg.slogdet(A)[0] == 0)
    raise LinAlgError(f"linalg.{op}: {which}the input matrix is singular (rows linearly dependent)") from None


def _raising(xp: Any) -> Any:
    """While this is open, CuPy waits for what a factorization says of itself, and raises LinAlgError, as NumPy does."""
    return nullcontext() if xp is np else importlib.import_module("cupyx").errstate(linalg="raise")


# ---- inverses and linear systems
@primitive
def inv(xp: Any, A: Array) -> Array:
    """A^-1. LinAlgError for a singular matrix. (For A^-1 B use solve: faster and more accurate.)

    >>> tn.linalg.inv(tn.tensor([[2., 0.], [0., 4.]]))
    tensor([[0.5000, 0.0000],
            [0.0000, 0.2500]])
    """
    _check("inv", A)
    try:
        with _raising(xp):
            return xp.linalg.inv(A)
    except np.linalg.LinAlgError:
        _singular(xp, "inv", A)


inv.vjp(A=lambda g, out: -matmul(mT(out), matmul(g, mT(out))))


@primitive
def solve_(xp: Any, A: Array, B: Array) -> Array:
    """X with A X = B, of matrices; leading axes broadcast."""
    lead = np.broadcast_shapes(A.shape[:-2], B.shape[:-2])  # which NumPy would do, and CuPy does not
    A, B = (x if x.shape[:-2] == lead else xp.broadcast_to(x, (*lead, *x.shape[-2:])) for x in (A, B))
    try:
        with _raising(xp):
            return xp.linalg.solve(A, B)
    except np.linalg.LinAlgError:
        _singular(xp, "solve", A)


def _solve_rule(g: Any, wanted: list[bool], A: Any, A_shape: Any, B_shape: Any, out: Any) -> list[Any]:
    """dB = A^-T g, dA = -dB X^T"""
    dB = solve_(mT(A), g)
    dA = -matmul(dB, mT(out)) if wanted[0] else dB
    return [d if d.shape == shape else unbroadcast(d, shape) for d, shape in ((dA, A_shape), (dB, B_shape))]


solve_.vjp_all(_solve_rule)


def solve(A: Any, B: Any, *, left: bool = True) -> Any:
    """X with A X = B (left=False: X A = B). LinAlgError if A is singular.

    B is a vector, a batch of vectors (of shape A.shape[:-1]), or matrices; leading axes broadcast.

    >>> tn.linalg.solve(tn.tensor([[2., 0.], [0., 4.]]), tn.tensor([1., 1.]))
    tensor([0.5000, 0.2500])
    """
    _check("solve", A)
    _check_tensor("solve", B)
    if A.dtype != B.dtype:
        raise RuntimeError(f"linalg.solve: Expected A and B to have the same dtype, but found A of type "
                           f"{name(A.dtype)} and B of type {name(B.dtype)} instead")
    vectors = B.ndim == 1 or (B.ndim == A.ndim - 1 and B.shape == A.shape[:-1])
    b = B.reshape((*B.shape, 1)) if vectors else B
    if b.ndim < 2 or b.shape[-2 if left else -1] != A.shape[-1]:
        raise RuntimeError(f"linalg.solve: Incompatible shapes of A and B for the equation "
                           f"{'AX = B' if left else 'XA = B'} ({list(A.shape)} and {list(b.shape)})")
    try:
        np.broadcast_shapes(A.shape[:-2], b.shape[:-2])
    except ValueError:
        raise broadcast_error("linalg.solve", [A.shape[:-2], b.shape[:-2]]) from None
    X = solve_(A, b) if left else mT(solve_(mT(A), mT(b)))
    return X.reshape(X.shape[:-1]) if vectors else X


# ---- determinants
@primitive
@np.errstate(all="ignore")
def det(xp: Any, A: Array) -> Array:
    """The determinant. Its gradient, the matrix of cofactors, exists for singular matrices too.

    >>> tn.linalg.det(tn.tensor([[2., 1.], [1., 2.]]))
    tensor(3.)
    """
    _check("det", A)
    return xp.linalg.det(A)


@primitive
@np.errstate(all="ignore")
def cofactors(xp: Any, A: Array) -> Array:
    """det(A) A^-T, also where A has no inverse: of A = U S V^T it is det(U) det(V) U S' V^T, where S' has the
    product of the others in place of each singular value."""
    u, s, vt = xp.linalg.svd(A)
    others = xp.where(xp.eye(s.shape[-1], dtype=bool), 1, s[..., None, :]).prod(-1)
    signed = others * (xp.linalg.det(u) * xp.linalg.det(vt))[..., None]
    return (u * signed[..., None, :] @ vt).astype(A.dtype, copy=False)


def _number_each(g: Any) -> Any:
    """A number for each matrix, shaped to multiply it."""
    return g.reshape((*g.shape, 1, 1))


def _cofactors_rule(g: Any, A: Any, out: Any) -> Any:
    """<g, C> A^-T - C g^T A^-T. (Here a singular A is a LinAlgError.)"""
    inverse = mT(inv(A))
    return _number_each((g * out).sum(axis=(-2, -1))) * inverse - matmul(matmul(out, mT(g)), inverse)


det.vjp(A=lambda g, A: _number_each(g) * cofactors(A))
cofactors.vjp(A=_cofactors_rule)


@primitive(outputs="sign logabsdet")
@np.errstate(all="ignore")
def slogdet(xp: Any, A: Array) -> Any:
    """(sign, log |det A|), which do not overflow; (0, -inf) for a singular matrix, where it has no gradient.

    >>> tn.linalg.slogdet(tn.tensor([[0., 1.], [1., 0.]])).sign
    tensor(-1.)
    """
    _check("slogdet", A)
    return tuple(xp.linalg.slogdet(A))


slogdet.vjp(A=lambda g, A: _number_each(g[1]) * mT(inv(A)))


# ---- Cholesky
@primitive
def cholesky_(xp: Any, A: Array) -> Array:
    """The lower triangular L with A = L L^T, from the lower triangle of A."""
    _check("cholesky", A)
    try:
        with _raising(xp):
            return xp.linalg.cholesky(A)
    except np.linalg.LinAlgError:
        least = xp.linalg.eigvalsh(A)[..., 0]
        which = _which(least <= 0)
        raise LinAlgError(f"linalg.cholesky: {which}the factorization could not be completed: the input is "
                          f"not positive-definite (least eigenvalue {host(least).min():.3g})") from None


def _cholesky_rule(g: Any, out: Any) -> Any:
    """L^-T P L^-1, where P is the lower triangle of L^T g, mirrored and halved (Murray 2016)."""
    p = tril(matmul(mT(out), g))
    p = (p + mT(tril(p, diagonal=-1))) * 0.5
    inverse = inv(out)
    return matmul(mT(inverse), matmul(p, inverse))


cholesky_.vjp(A=_cholesky_rule)


def cholesky(A: Any, *, upper: bool = False) -> Any:
    """The lower triangular L with A = L L^T (upper: U with A = U^T U), for symmetric positive-definite A.

    Only that triangle of A is read; its gradient is symmetric, as A. LinAlgError if not positive-definite.

    >>> tn.linalg.cholesky(tn.tensor([[4., 2.], [2., 5.]]))
    tensor([[2., 0.],
            [1., 2.]])
    """
    return mT(cholesky_(mT(A))) if upper else cholesky_(A)


# ---- norms
def _floats(op: str, x: Any, dtype: Any) -> Any:
    """x, cast to dtype if one is given."""
    _check_tensor(op, x)
    target = x.dtype if dtype is None else as_dtype(dtype)
    for what, d in (("input", x.dtype), ("dtype", target)):
        if d.kind != "f":
            raise RuntimeError(f"linalg.{op}: Expected a floating point {what}. Got {name(d)}; use .float()")
    if target.itemsize < x.dtype.itemsize:
        raise RuntimeError(f"linalg.{op}: the dtype of the input ({name(x.dtype)}) should be convertible "
                           f"without narrowing to the specified dtype ({name(target)})")
    return x if target == x.dtype else cast(x, dtype=target)


def vector_norm(x: Any, ord: float = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """(sum |x|^p)^(1/p) for p = ord, over all elements or along dim(s).

    inf: the greatest |x|, -inf: the least, 0: how many are not zero.

    >>> tn.linalg.vector_norm(tn.tensor([3., 4.]))
    tensor(5.)
    """
    if isinstance(ord, str) or not hasattr(ord, "__float__"):
        raise TypeError(f"linalg.vector_norm(): argument 'ord' must be Number, not {type(ord).__name__}")
    return norm_of_elements(_floats("vector_norm", x, dtype), float(ord), dim, keepdim)


@primitive(outputs="s u vt", hidden=2)
def singular_values(xp: Any, A: Array) -> Any:
    """The singular values, greatest first: A = U diag(s) V^T."""
    u, s, vt = xp.linalg.svd(A, full_matrices=False)
    return s, u, vt


def _singular_values_rule(g: Any, s: Any, u: Any, vt: Any) -> Any:
    """U diag(ds) V^T; when that is differentiated, also what comes through U and V (Townsend 2016), which
    equal singular values make infinite."""
    ds, du, dvt = g
    n, row = s.shape[-1], s.reshape((*s.shape[:-1], 1, s.shape[-1]))
    core = add_diagonal(ds, shape=(*s.shape, n), offset=0, dim1=-2, dim2=-1)
    gaps = where(backend(raw(s)).eye(n, dtype=bool), 1.0, row * row - mT(row * row))
    outside: Any = 0.0  # the part of du and dv that is not in the span of U and V
    if du is not None:
        inside = matmul(mT(u), du)
        core = core + (inside - mT(inside)) / gaps * row
        if u.shape[-2] > n:
            outside = outside + matmul((du - matmul(u, inside)) / row, vt)
    if dvt is not None:
        inside = matmul(vt, mT(dvt))
        core = core + (inside - mT(inside)) / gaps * mT(row)
        if vt.shape[-1] > n:
            outside = outside + matmul(u, (dvt - matmul(mT(inside), vt)) / mT(row))
    return matmul(matmul(u, core), vt) + outside


singular_values.vjp(A=_singular_values_rule)


def _matrix_norm(A: Any, ord: Any, dim: Any, keepdim: bool) -> Any:
    if A.ndim < 2 or not isinstance(dim, (tuple, list)) or len(dim) != 2:
        raise RuntimeError(f"linalg.matrix_norm: order {ord!r} is one of matrices: at least 2 dimensions and "
                           f"dim=(rows, columns). Got shape {list(A.shape)} and dim {dim}")
    dims = check_dims(dim, A.ndim)
    if ord == "fro":
        return vector_norm(A, 2, dims, keepdim)
    if ord not in ("nuc", 1, -1, 2, -2, math.inf, -math.inf):
        raise RuntimeError(f"linalg.matrix_norm: Order {ord} not supported; try 'fro', 'nuc', inf, 1 or 2")
    matrices = movedim(A, dims, (-2, -1))
    if ord in ("nuc", 2, -2):
        _check("matrix_norm", A, square=False)
        values = singular_values(matrices)
    else:
        values = abs_(matrices).sum(axis=-1 if math.isinf(ord) else -2)
    out = values.sum(axis=-1) if ord == "nuc" else (amax if ord > 0 else amin)(values, dim=-1)
    return out.reshape(kept(A.shape, dims)) if keepdim else out


def norm(A: Any, ord: Any = None, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """The norm of a vector (1-D, or one dim; see vector_norm) or of a matrix (2-D, or two dims).

    Of a matrix: "fro" (or None, for any shape) the root of the sum of squares, "nuc" the sum of the singular
    values, 2 the greatest of them, 1 the greatest column sum of |A|, inf row sum; negative: the least.

    >>> tn.linalg.norm(tn.tensor([[1., 2.], [3., 4.]]), 1)
    tensor(6.)
    """
    A = _floats("norm", A, dtype)
    if isinstance(dim, (tuple, list)) and len(dim) not in (1, 2):
        raise RuntimeError(f"linalg.norm: If dim is specified, it must be of length 1 or 2. Got {list(dim)}")
    if ord is None:
        return vector_norm(A, 2, dim, keepdim)
    if dim is None:
        if A.ndim not in (1, 2):
            raise RuntimeError("linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D: "
                               f"it is {A.ndim}D.")
        dim = tuple(range(A.ndim))
    if isinstance(ord, str) or (isinstance(dim, (tuple, list)) and len(dim) == 2):
        return _matrix_norm(A, ord, dim, keepdim)
    return vector_norm(A, ord, dim, keepdim)
