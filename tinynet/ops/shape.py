"""The shape of a tensor: one memory seen under another shape; tensors repeated, joined, cut and turned round.

reshape, permute and expand are primitives, and most of the rest is one of them with the arithmetic of sizes.
cat and split, stack and unbind are each other's derivative.
"""
from __future__ import annotations

import functools
import math
import operator
from collections.abc import Sequence
from typing import Any, NoReturn

from tinynet import kernels
from tinynet.autograd.fit import unbroadcast
from tinynet.autograd.variable import raw, wrap
from tinynet.autograd.writes import owner
from tinynet.device import backend
from tinynet.dtypes import Array
from tinynet.errors import broadcast_error, check_dim, check_dims, check_tensor
from tinynet.ops._primitive import primitive
from tinynet.ops.elementwise import clone

Shape = tuple[int, ...]


def sizes(args: Sequence[Any]) -> Shape:
    """(2, 3), whether it was written f(2, 3), f((2, 3)) or f([2, 3])."""
    if len(args) == 1 and isinstance(args[0], (tuple, list)):
        args = args[0]
    try:
        return tuple(map(operator.index, args))
    except TypeError:
        raise TypeError(f"sizes and dims must be ints, got {tuple(args)!r}") from None


# ---- the same numbers under another shape
@primitive(view=True)
def reshape(xp: Any, a: Array, *, shape: Shape) -> Array:
    """The elements, in their order, under another shape; one size may be -1, which is then inferred.

    A view where the memory allows it, else a copy.

    >>> tn.reshape(tn.tensor([1, 2, 3, 4]), (2, -1))
    tensor([[1, 2],
            [3, 4]])
    """
    if len(shape) == 2 and a.shape[:1] == shape[:1] and _channels_last(a):  # images made into vectors
        a = kernels.run("in_rows", xp, a)
    try:
        out = a.reshape(shape) if min(shape, default=0) >= -1 else None  # NumPy infers any negative size
    except (TypeError, ValueError):
        out = None
    return _refuse_shape(a, list(sizes((shape,)))) if out is None else out


reshape.vjp(a=lambda g, a_shape: g.reshape(a_shape))


def _refuse_shape(a: Array, shape: list[int]) -> NoReturn:
    if shape.count(-1) > 1:
        raise RuntimeError(f"only one dimension can be inferred, but shape {shape} has several sizes -1")
    for k, n in enumerate(shape):
        if n < -1:
            raise RuntimeError(f"invalid shape dimension {n} at index {k} of shape {shape}")
    if a.size == 0 and -1 in shape and 0 in shape:
        raise RuntimeError(f"cannot reshape tensor of 0 elements into shape {shape} because the unspecified "
                           "dimension size -1 can be any value and is ambiguous")
    raise RuntimeError(f"shape '{shape}' is invalid for input of size {a.size}, of shape {list(a.shape)}")


def view(input: Any, *shape: Any) -> Any:
    """reshape that never copies: RuntimeError where the memory does not allow a view.

    >>> tn.arange(4).view(2, 2)
    tensor([[0, 1],
            [2, 3]])
    """
    check_tensor("view", input)
    _in_rows(input)
    out = reshape(input, shape=sizes(shape))
    if owner(raw(out)) is not owner(raw(input)):
        raise RuntimeError(f"view size {list(out.shape)} is not compatible with input tensor's size "
                           f"{list(input.shape)} and stride (at least one dimension spans across two "
                           "contiguous subspaces). Use .reshape(...) instead.")
    return out


def _in_rows(input: Any) -> None:
    """Lay images anew that the kernels made with channels last in memory: what they hide does not stand in the way."""
    x = input.array
    own = x.base is None or x.base.ndim == 1  # and not an array of the user's, which shares its memory
    if own and input.base is None and _channels_last(x):
        input.array = kernels.run("in_rows", backend(x), x)


def _channels_last(x: Array) -> bool:
    """Whether these are several pixels with several channels that lie side by side in memory."""
    return x.ndim == 4 and not x.flags.c_contiguous and x.transpose(0, 2, 3, 1).flags.c_contiguous


def flatten(input: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    """The dims from start_dim to end_dim made one; a number becomes a vector.

    >>> tn.flatten(tn.zeros(2, 3, 4), 1).shape
    (2, 12)
    """
    check_tensor("flatten", input)
    start, end = check_dim(start_dim, input.ndim), check_dim(end_dim, input.ndim)
    if start > end:
        raise RuntimeError(f"flatten(): start_dim {start_dim} cannot come after end_dim {end_dim}")
    if start == end and input.ndim:
        return input
    shape = input.shape
    return input.reshape((*shape[:start], math.prod(shape[start:end + 1]), *shape[end + 1:]))


def unflatten(input: Any, dim: int, sizes: Sequence[int]) -> Any:
    """Dim `dim` made several, of these sizes, one of which may be -1: the inverse of flatten. A view.

    >>> tn.unflatten(tn.zeros(2, 12), 1, (3, -1)).shape
    (2, 3, 4)
    """
    check_tensor("unflatten", input)
    dim, inner = check_dim(dim, input.ndim), list(sizes)
    if not input.ndim or not inner:
        raise RuntimeError(f"unflatten: sizes {inner} and shape {list(input.shape)} must be non-empty")
    n, known = input.shape[dim], math.prod(k for k in inner if k != -1)
    if inner.count(-1) == 1 and known:
        inner[inner.index(-1)] = n // known
    if math.prod(inner) != n or min(inner) < 0:
        raise RuntimeError(f"unflatten: Provided sizes {list(sizes)} don't multiply up to the size of dim "
                           f"{dim} ({n}) in the input tensor of shape {list(input.shape)}")
    return input.reshape((*input.shape[:dim], *inner, *input.shape[dim + 1:]))


def squeeze(input: Any, dim: int | Sequence[int] | None = None) -> Any:
    """Without the dims of size 1: all of them, or those of them in `dim`. A view.

    >>> tn.squeeze(tn.zeros(1, 3, 1)).shape
    (3,)
    """
    check_tensor("squeeze", input)
    dims = range(input.ndim) if dim is None else check_dims(_tuple(dim), input.ndim)
    return input.reshape(tuple(n for k, n in enumerate(input.shape) if n != 1 or k not in dims))


def unsqueeze(input: Any, dim: int) -> Any:
    """With a new dim, of size 1, at position `dim`. A view.

    >>> tn.unsqueeze(tn.tensor([1, 2]), 1).shape
    (2, 1)
    """
    check_tensor("unsqueeze", input)
    dim = check_dim(dim, input.ndim + 1)
    return input.reshape((*input.shape[:dim], 1, *input.shape[dim:]))


def contiguous(input: Any) -> Any:
    """input itself if its elements lie in memory in order and without gaps, else a copy in which they do.

    >>> tn.zeros(2, 3).t().contiguous().is_contiguous()
    True
    """
    check_tensor("contiguous", input)
    return input if raw(input).flags.c_contiguous else clone(input)


def detach(input: Any) -> Any:
    """The same memory without history: no gradient flows through it.

    >>> tn.detach(tn.ones(1, requires_grad=True) * 2)
    tensor([2.])
    """
    return wrap(raw(input))


# ---- the order of the dims
@primitive(view=True)
def permute(xp: Any, a: Array, *, dims: Shape) -> Array:
    """Dim k of the result is dim dims[k] of a. A view.

    >>> tn.permute(tn.zeros(2, 3, 4), (2, 0, 1)).shape
    (4, 2, 3)
    """
    try:
        return a.transpose(dims)
    except (ValueError, TypeError) as error:
        return _refuse_order(a, dims, error)


def _refuse_order(a: Array, dims: Shape, error: Exception) -> NoReturn:
    if len(dims) != a.ndim:
        raise RuntimeError("permute(): number of dimensions in the tensor input does not match the length "
                           f"of the desired ordering: input.dim() = {a.ndim}, dims = {list(dims)}") from None
    if len({check_dim(d, a.ndim) for d in dims}) < a.ndim:
        raise RuntimeError(f"permute(): duplicate dims are not allowed, got {list(dims)}") from None
    raise error


@functools.lru_cache(256)
def _inverse(dims: Shape) -> Shape:
    return tuple(sorted(range(len(dims)), key=lambda k: dims[k] % len(dims)))


permute.vjp(a=lambda g, dims: permute(g, dims=_inverse(tuple(dims))))


@primitive(view=True)
def transposed(xp: Any, input: Any) -> Any:
    """The last two axes exchanged: each matrix of a batch transposed."""
    return xp.swapaxes(input, -1, -2)


transposed.vjp(input=lambda g: transposed(g))


def transpose(input: Any, dim0: int, dim1: int) -> Any:
    """Dims dim0 and dim1 exchanged. A view.

    >>> tn.transpose(tn.zeros(2, 3, 4), 0, 2).shape
    (4, 3, 2)
    """
    check_tensor("transpose", input)
    n = input.ndim
    i, j, dims = check_dim(dim0, n), check_dim(dim1, n), [*range(n)]
    if n:
        dims[i], dims[j] = j, i
    return permute(input, dims=tuple(dims))


def t(input: Any) -> Any:
    """The transpose of a matrix; a vector or a number as it is. A view.

    >>> tn.t(tn.tensor([[1, 2]])).shape
    (2, 1)
    """
    check_tensor("t", input)
    if input.ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {input.ndim}D; use "
                           "transpose")
    return permute(input, dims=tuple(reversed(range(input.ndim))))


def mT(input: Any) -> Any:
    """The last two dims exchanged: each matrix of a batch transposed. A view.

    >>> tn.zeros(5, 2, 3).mT.shape
    (5, 3, 2)
    """
    if input.ndim < 2:
        raise RuntimeError(f"mT is only supported on matrices or batches of matrices. Got {input.ndim}-D "
                           "tensor.")
    return transposed(input)


def movedim(input: Any, source: int | Sequence[int], destination: int | Sequence[int]) -> Any:
    """Each dim in source moved to its position in destination, the others kept in order. A view.

    >>> tn.movedim(tn.zeros(2, 3, 4), 0, -1).shape
    (3, 4, 2)
    """
    check_tensor("movedim", input)
    where, to = _tuple(source), _tuple(destination)
    if len(where) != len(to):
        raise RuntimeError(f"movedim: Invalid source or destination dims: source ({list(where)} dims) should "
                           f"contain the same number of dims as destination ({list(to)} dims)")
    moved = [(check_dim(b, input.ndim), check_dim(a, input.ndim)) for a, b in zip(where, to, strict=True)]
    for word, dims, k in (("source", where, 1), ("destination", to, 0)):
        if len({pair[k] for pair in moved}) < len(moved):
            raise RuntimeError(f"movedim: repeated dim in `{word}` ({list(dims)})")
    order = [k for k in range(input.ndim) if k not in {a for _, a in moved}]
    for b, a in sorted(moved):
        order.insert(b, a)
    return permute(input, dims=tuple(order[:input.ndim]))


def _tuple(x: Any) -> Shape:
    return tuple(x) if isinstance(x, (tuple, list)) else (operator.index(x),)


# ---- the same number in many places
@primitive(view=True)
def expand(xp: Any, a: Array, *, shape: Shape) -> Array:
    """Dims of size 1, and new ones in front, read over and over to fill the shape; -1 keeps a size. A view.

    >>> tn.tensor([[1], [2]]).expand(-1, 3)
    tensor([[1, 1, 1],
            [2, 2, 2]])
    """
    lead = len(shape) - a.ndim
    if -1 in shape:
        shape = tuple(a.shape[k - lead] if n == -1 and k >= lead else n for k, n in enumerate(shape))
    try:
        out = xp.broadcast_to(a, shape)
    except ValueError:
        return _refuse_expand(a, shape, lead)
    if hasattr(out.flags, "writeable"):
        out.flags.writeable = a.flags.writeable  # or x.expand(...)[0] = v could never work
    return out


expand.vjp(a=lambda g, a_shape: g if g.shape == a_shape else unbroadcast(g, a_shape))


def _refuse_expand(a: Array, shape: Shape, lead: int) -> NoReturn:
    sizes = f"Target sizes: {list(shape)}.  Tensor sizes: {list(a.shape)}"
    if lead < 0:
        raise RuntimeError(f"expand: the number of sizes provided ({len(shape)}) must be greater or equal to "
                           f"the number of dimensions in the tensor ({a.ndim}).  {sizes}")
    for k, (n, m) in enumerate(zip(shape, (None,) * lead + a.shape, strict=True)):
        if n < 0 and m is None:
            raise RuntimeError(f"The expanded size of the tensor ({n}) isn't allowed in a leading, "
                               f"non-existing dimension {k}.  {sizes}")
        if n != m and (n < 0 or m not in (None, 1)):
            raise RuntimeError(f"The expanded size of the tensor ({n}) must match the existing size ({m}) at "
                               f"non-singleton dimension {k}.  {sizes}")
    raise RuntimeError(f"expand: no tensor can have this shape.  {sizes}")


def broadcast_to(input: Any, size: Sequence[int]) -> Any:
    """input expanded to the shape `size`. A view.

    >>> tn.broadcast_to(tn.tensor([1, 2]), (3, 2)).shape
    (3, 2)
    """
    return expand(input, shape=sizes((size,)))


def expand_as(input: Any, other: Any) -> Any:
    """input expanded to the shape of other. A view.

    >>> tn.tensor([1, 2]).expand_as(tn.zeros(3, 2)).shape
    (3, 2)
    """
    check_tensor("expand_as", other, "other")
    return expand(input, shape=other.shape)


def broadcast_tensors(*tensors: Any) -> tuple[Any, ...]:
    """The tensors, each expanded to the shape they have together in arithmetic. Views.

    >>> [x.shape for x in tn.broadcast_tensors(tn.zeros(3, 1), tn.zeros(2))]
    [(3, 2), (3, 2)]
    """
    for t in tensors:
        check_tensor("broadcast_tensors", t, "tensors")
    shape = broadcast_shape("broadcast_tensors", [t.shape for t in tensors])
    return tuple(expand(t, shape=shape) for t in tensors)


def broadcast_shape(name: str, shapes: Sequence[Shape]) -> Shape:
    """The shape that these broadcast to; RuntimeError, under the op's name, if they do not."""
    width = max(map(len, shapes), default=0)
    columns = zip(*((1,) * (width - len(s)) + s for s in shapes), strict=True)
    grown = [{n for n in column if n != 1} or {1} for column in columns]
    if any(len(sizes) > 1 for sizes in grown):
        raise broadcast_error(name, shapes)
    return tuple(n for (n,) in grown)


@primitive
def repeat(xp: Any, a: Array, *, repeats: Shape) -> Array:
    """a laid repeats[k] times along dim k; more repeats than dims make new dims in front. A copy.

    >>> tn.tensor([1, 2]).repeat(2, 2)
    tensor([[1, 2, 1, 2],
            [1, 2, 1, 2]])
    """
    if len(repeats) < a.ndim:
        raise RuntimeError("Number of dimensions of repeat dims can not be smaller than number of "
                           f"dimensions of tensor: repeats {list(repeats)}, shape {list(a.shape)}. tile() "
                           "fills up with ones.")
    if min(repeats, default=0) < 0:
        raise RuntimeError(f"Trying to create tensor with negative dimension: repeats {list(repeats)}")
    return xp.tile(a, repeats)


def _sum_copies(g: Any, a_shape: Shape, repeats: Shape) -> Any:
    """A dim of size r * n is n elements r times: as two dims (r, n) it is summed over the first."""
    shape = (1,) * (len(repeats) - len(a_shape)) + a_shape
    pairs = tuple(n for pair in zip(repeats, shape, strict=True) for n in pair)
    return g.reshape(pairs).sum(axis=tuple(range(0, len(pairs), 2))).reshape(a_shape)


repeat.vjp(a=_sum_copies)


def tile(input: Any, *dims: Any) -> Any:
    """repeat, with ones put in front where there are fewer repeats than dims.

    >>> tn.tile(tn.tensor([[1, 2]]), (2,))
    tensor([[1, 2, 1, 2]])
    """
    check_tensor("tile", input)
    repeats = sizes(dims)
    return repeat(input, repeats=(1,) * (input.ndim - len(repeats)) + repeats)


# ---- the same elements in another order
@primitive
def flip(xp: Any, a: Array, *, dims: Shape) -> Array:
    """In reverse order along the dims. A copy.

    >>> tn.flip(tn.tensor([1, 2, 3]), (0,))
    tensor([3, 2, 1])
    """
    dims = check_dims(dims, a.ndim)
    return xp.flip(a, dims).copy() if a.ndim else a.copy()


@primitive
def roll(xp: Any, a: Array, *, shifts: int | Shape, dims: int | Shape | None = None) -> Array:
    """Moved round by shifts along dims (none: as one vector); what leaves at one end enters at the other.

    >>> tn.roll(tn.tensor([1, 2, 3]), 1)
    tensor([3, 1, 2])
    """
    by, along = _tuple(shifts), () if dims is None else _tuple(dims)
    if not by:
        raise RuntimeError("`shifts` required")
    if len(by) != len(along) and (along or len(by) > 1):
        raise RuntimeError(f"shifts and dimensions must align. shifts: {len(by)}, dims:{len(along)}")
    if along and not a.ndim:
        raise IndexError(f"Dimension specified as {along[0]} but tensor has no dimensions")
    return xp.roll(a, by, tuple(check_dim(d, a.ndim) for d in along) or None)


flip.vjp(a=lambda g, dims: flip(g, dims=dims))
roll.vjp(a=lambda g, shifts, dims: roll(g, shifts=tuple(-n for n in _tuple(shifts)), dims=dims))
