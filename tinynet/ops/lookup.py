"""Looking up rows of a table by number: embedding, and its derivative; and numbers as rows of zeros and a one."""
from __future__ import annotations

import operator
from typing import Any, NoReturn

from tinynet import kernels, late
from tinynet.autograd.modes import no_grad
from tinynet.autograd.variable import raw, wrap
from tinynet.device import backend, host
from tinynet.dtypes import Array, int64, name
from tinynet.errors import check_tensor
from tinynet.ops._primitive import primitive
from tinynet.ops.discrete import eq
from tinynet.ops.elementwise import cast


@primitive
def embedding_(xp: Any, weight: Array, index: Array, *, padding_idx: int | None = None, by_freq: bool = False) -> Array:
    """weight[index], row by row. The gradient leaves row padding_idx out; by_freq: it is a mean over the places where
    a row is looked up, not a sum."""
    return xp.take(weight, index, axis=0)


@primitive
def embedding_grad(xp: Any, g: Array, index: Array, *, rows: int, padding_idx: int | None = None,
                   by_freq: bool = False) -> Array:
    """Zeros of so many rows, with g[k] times its share added to row index[k]."""
    if by_freq or padding_idx is not None:
        g = g * _shares(index, padding_idx, by_freq, g.dtype)
    return kernels.run("embedding_grad", xp, g, index, rows=rows)


def _shares(index: Array, padding_idx: int | None, by_freq: bool, dtype: Any) -> Array:
    """By how much each place that looks up a row moves it: 0 for padding_idx; by_freq: 1 / (how many such places)."""
    xp = backend(index)
    shares = xp.ones((*index.shape, 1), dtype)
    if by_freq and index.size:
        flat = xp.sort(index.reshape(-1))  # how often each is there, is how many places apart it begins and ends
        begin, end = (xp.searchsorted(flat, index, side) for side in ("left", "right"))
        shares /= (end - begin)[..., None]
    if padding_idx is not None:
        shares *= (index != padding_idx)[..., None]
    return shares


embedding_.vjp(weight=lambda g, weight_shape, index, padding_idx, by_freq:
               embedding_grad(g, index, rows=weight_shape[0], padding_idx=padding_idx, by_freq=by_freq))
embedding_grad.vjp(g=lambda u, index, padding_idx, by_freq:
                   embedding_(u, index) * _shares(raw(index), padding_idx, by_freq, u.dtype))


# ---- what users call
def embedding(input: Any, weight: Any, padding_idx: int | None = None, max_norm: float | None = None,
              norm_type: float = 2.0, scale_grad_by_freq: bool = False, sparse: bool = False) -> Any:
    """weight[input]: for each number in input (…), int64 or int32, its row of weight (rows, columns).

    Row padding_idx gets no gradient. max_norm: rows looked up whose norm_type-norm is larger are first scaled down to
    it, in weight's own memory. scale_grad_by_freq: a row's gradient is divided by how often it is looked up.
    IndexError for a number outside [0, rows), RuntimeError for dtypes and shapes that do not fit, AssertionError for a
    padding_idx that is no row, NotImplementedError for sparse gradients.

    >>> tn.nn.functional.embedding(tn.tensor([2, 0]), tn.tensor([[1., 2.], [3., 4.], [5., 6.]]))
    tensor([[5., 6.],
            [1., 2.]])
    """
    check_tensor("embedding", input)
    check_tensor("embedding", weight, "weight")
    if sparse:
        no_sparse()
    if weight.ndim != 2:
        raise RuntimeError(f"embedding: 'weight' must be 2-D, (rows, columns), but got {weight.shape}; the numbers of "
                           f"rows are the first argument")
    if input.dtype not in ("int64", "int32"):
        raise RuntimeError(f"embedding: Expected input to have one of the following scalar types: Long, Int; but got "
                           f"{name(input.dtype)} instead: use input.long()")
    rows = weight.shape[0]
    padding_idx, index = padding_row(padding_idx, rows), raw(input)
    outside = (index < 0) | (index >= rows)
    if late.found(outside, IndexError, "embedding: index out of range in self"):
        raise IndexError(f"embedding: index out of range in self: input holds {host(index[outside])[0]}, but weight "
                         f"{weight.shape} has the rows 0 to {rows - 1}")
    if max_norm is not None:
        _shorten(weight, index, max_norm, norm_type)
    return embedding_(weight, input, padding_idx=padding_idx, by_freq=scale_grad_by_freq)


def _shorten(weight: Any, index: Array, max_norm: float, norm_type: float) -> None:
    """Scale the rows that index names and that are longer than max_norm down to it, in place."""
    xp = backend(index)
    rows = xp.unique(index)
    norms = xp.linalg.norm(raw(weight)[rows], ord=norm_type, axis=1)
    rows, norms = rows[norms > max_norm], norms[norms > max_norm]
    if rows.size:
        with no_grad():
            weight[rows] = weight[rows] * wrap((max_norm / (norms + 1e-7))[:, None])


def padding_row(padding_idx: int | None, rows: int) -> int | None:
    """padding_idx as a row in [0, rows); AssertionError (PyTorch's) if it is none."""
    if padding_idx is None:
        return None
    if not -rows <= operator.index(padding_idx) < max(rows, 1):
        raise AssertionError(f"Padding_idx must be within num_embeddings: got {padding_idx} for {rows} rows, "
                             f"expected {-rows} to {rows - 1}")
    return padding_idx + rows if padding_idx < 0 else padding_idx


def no_sparse() -> NoReturn:
    """There are no sparse tensors here."""
    raise NotImplementedError("sparse=True: tinynet has no sparse gradients; use sparse=False")


def one_hot(input: Any, num_classes: int = -1) -> Any:
    """For each class k in input (…), int64, a row of num_classes zeros with a 1 at place k.

    num_classes: one more than the largest class unless given. RuntimeError for classes outside [0, num_classes).

    >>> tn.nn.functional.one_hot(tn.tensor([0, 2]))
    tensor([[1, 0, 0],
            [0, 0, 1]])
    """
    check_tensor("one_hot", input)
    if isinstance(num_classes, bool) or not hasattr(num_classes, "__index__"):
        raise TypeError(f"one_hot(): argument 'num_classes' must be int, not {type(num_classes).__name__}")
    if input.dtype != int64:
        raise RuntimeError(f"one_hot is only applicable to index tensor of type LongTensor, got {name(input.dtype)}: "
                           f"use input.long()")
    classes = raw(input)
    if not classes.size and num_classes <= 0:
        raise RuntimeError("Can not infer total number of classes from empty tensor: give num_classes")
    if late.found(classes < 0, RuntimeError, "Class values must be non-negative"):
        raise RuntimeError(f"Class values must be non-negative, but input holds {int(classes.min())}")
    if num_classes == -1:
        num_classes = int(classes.max()) + 1 if classes.size else 0
    if late.found(classes >= num_classes, RuntimeError, "Class values must be smaller than num_classes"):
        raise RuntimeError(f"Class values must be smaller than num_classes, but input holds {int(classes.max())} and "
                           f"num_classes={num_classes}")
    return cast(eq(wrap(classes[..., None]), wrap(backend(classes).arange(num_classes))), dtype=int64)
