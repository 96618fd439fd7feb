"""Diagonals and triangles of matrices: reading a diagonal and adding into one are each other's derivative."""
from __future__ import annotations

from typing import Any

from tinynet.dtypes import Array
from tinynet.errors import check_dim, check_tensor
from tinynet.ops._primitive import primitive
from tinynet.ops.elementwise import clone


@primitive(view=True)
def diagonal(xp: Any, a: Array, *, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Array:
    """The elements whose indices along dim1 and dim2 are (i, i + offset), as the last dim. A view.

    >>> tn.diagonal(tn.tensor([[1, 2], [3, 4]]))
    tensor([1, 4])
    """
    i, j = check_dim(dim1, a.ndim), check_dim(dim2, a.ndim)
    if i == j:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    out = a.diagonal(offset, i, j)
    if hasattr(out.flags, "writeable"):
        out.flags.writeable = a.flags.writeable  # NumPy hands out diagonals for reading only
    return out


@primitive
def add_diagonal(xp: Any, g: Array, *, shape: tuple[int, ...], offset: int, dim1: int, dim2: int) -> Array:
    """Zeros of the shape, with g on the diagonal."""
    out = xp.zeros(shape, g.dtype)
    diagonal(out, offset=offset, dim1=dim1, dim2=dim2)[...] = g
    return out


diagonal.vjp(a=lambda g, a_shape, offset, dim1, dim2:
             add_diagonal(g, shape=a_shape, offset=offset, dim1=dim1, dim2=dim2))
add_diagonal.vjp(g=lambda u, offset, dim1, dim2: diagonal(u, offset=offset, dim1=dim1, dim2=dim2))
_diagonal = diagonal  # where an argument has that name


def trace(input: Any) -> Any:
    """sum_i input[i, i] of a matrix.

    >>> tn.trace(tn.tensor([[1., 2.], [3., 4.]]))
    tensor(5.)
    """
    check_tensor("trace", input)
    if input.ndim != 2:
        raise RuntimeError(f"trace: expected a matrix, but got tensor with dim {input.ndim}")
    return diagonal(input).sum()


def diag(input: Any, diagonal: int = 0) -> Any:
    """A matrix with the vector input on its diagonal; of a matrix, a copy of its diagonal.

    >>> tn.diag(tn.tensor([1, 2]))
    tensor([[1, 0],
            [0, 2]])
    """
    check_tensor("diag", input)
    if input.ndim not in (1, 2):
        raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {input.ndim}D")
    if input.ndim == 2:
        return clone(_diagonal(input, offset=diagonal))
    n = input.shape[0] + abs(diagonal)
    return add_diagonal(input, shape=(n, n), offset=diagonal, dim1=0, dim2=1)


@primitive
def tril(xp: Any, a: Array, *, diagonal: int = 0) -> Array:
    """The lower triangle of each matrix, the rest zero: the elements with column - row <= diagonal.

    >>> tn.tril(tn.tensor([[1, 2], [3, 4]]))
    tensor([[1, 0],
            [3, 4]])
    """
    return xp.tril(_matrix("tril", a), diagonal)


@primitive
def triu(xp: Any, a: Array, *, diagonal: int = 0) -> Array:
    """The upper triangle of each matrix, the rest zero: the elements with column - row >= diagonal.

    >>> tn.triu(tn.tensor([[1, 2], [3, 4]]))
    tensor([[1, 2],
            [0, 4]])
    """
    return xp.triu(_matrix("triu", a), diagonal)


def _matrix(op: str, a: Array) -> Array:
    if a.ndim < 2:
        raise RuntimeError(f"{op}: input tensor must have at least 2 dimensions, got shape {list(a.shape)}")
    return a


tril.vjp(a=lambda g, diagonal: tril(g, diagonal=diagonal))
triu.vjp(a=lambda g, diagonal: triu(g, diagonal=diagonal))
