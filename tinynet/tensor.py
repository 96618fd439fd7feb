"""Tensor: an array that remembers how it was computed.

What it is as a value is in `value.py`, its bookkeeping in `autograd/variable.py`; what an op computes and how it is
differentiated stands in `ops`. Here is what ties them together: its place in the graph, and the table that turns ops
into methods and operators.
"""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tinynet import ops
from tinynet.autograd import engine
from tinynet.autograd.graph import Leaf
from tinynet.autograd.variable import Handle, Variable, wrap
from tinynet.ops import linalg, sampling
from tinynet.ops._primitive import NUMBERS, Primitive
from tinynet.ops.create import array_in
from tinynet.ops.discrete import bitwise_and, bitwise_not, bitwise_or, bitwise_xor
from tinynet.ops.elementwise import cast
from tinynet.ops.index import getitem, index_of, is_basic, set_at
from tinynet.ops.inplace import in_place, nearby, scalar_or_tensor, view_in_place, write
from tinynet.ops.shape import mT, sizes
from tinynet.value import Value

Bool = bool  # in the class, `bool`, `any` and their like are methods


def _reflected(op: Primitive) -> Any:
    """other op self, for a number or array on the left."""
    def method(self: Any, other: Any) -> Any:
        known = isinstance(other, NUMBERS) or hasattr(other, "dtype")
        return op(other, self) if known else NotImplemented
    return method


def _operators(*primitives: Primitive) -> list[Any]:
    return [op.operator for op in primitives]


def _in_place(*functions: Any, by: Any = in_place) -> list[Any]:
    return [by(f) for f in functions]


class Tensor(Value):
    """A multi-dimensional array of one dtype that can be differentiated through. Make one with `tn.tensor(data)`,
    `tn.zeros(shape)`, …; see `tn.autograd` for its gradient.

    >>> x = tn.tensor([1.0, 2.0], requires_grad=True)
    >>> (x * x).sum().backward(); x.grad
    tensor([2., 4.])
    """

    __slots__ = ()

    # ---- its place in the graph
    @property
    def data(self) -> Tensor:
        """The same memory without history; assign a tensor to replace array and dtype.

        >>> tn.ones(2, requires_grad=True).data.requires_grad
        False
        """
        return Tensor(self.array)

    @data.setter
    def data(self, new: Tensor) -> None:
        if not isinstance(new, Variable):
            raise TypeError(f"Variable data has to be a tensor, but got {type(new).__name__}")
        self.array = new.array
        if type(self.place) is Leaf:
            self.place.shape, self.place.dtype = new.array.shape, new.array.dtype

    @property
    def grad(self) -> Tensor | None:
        """What backward() has gathered for this leaf; None before the first. (For other tensors see retain_grad.)

        >>> x = tn.tensor(3.0, requires_grad=True)
        >>> (x * x).backward(); x.grad
        tensor(6.)
        """
        return self.gradient

    @grad.setter
    def grad(self, new: Tensor | None) -> None:
        if new is not None and not isinstance(new, Variable):
            raise TypeError(f"assigned grad expected to be a Tensor or None but got {type(new).__name__}")
        if new is not None and (new.array.shape != self.array.shape or new.array.dtype != self.array.dtype):
            raise RuntimeError(f"assigned grad has {new.array.dtype}{list(new.array.shape)}, the tensor has "
                               f"{self.array.dtype}{list(self.array.shape)}")
        self.gradient = new

    @grad.deleter
    def grad(self) -> None:
        self.gradient = None

    @property
    def requires_grad(self) -> Bool:
        """Whether a gradient can be asked for: set on a leaf, inherited by what is computed from it.

        >>> (tn.ones(2, requires_grad=True) * 2).requires_grad
        True
        """
        return self.refresh() is not None

    @requires_grad.setter
    def requires_grad(self, on: Bool) -> None:
        self.requires_grad_(on)

    def requires_grad_(self, requires_grad: Bool = True) -> Tensor:
        """Set requires_grad of a leaf; returns the tensor. RuntimeError for integers, and to clear it of a result.

        >>> tn.ones(1).requires_grad_()
        tensor([1.], requires_grad=True)
        """
        if requires_grad:
            self.refresh()
            self.track()
        elif not self.is_leaf:
            raise RuntimeError("you can only change requires_grad flags of leaf variables. To use a computed tensor in "
                               "a subgraph that doesn't require differentiation, use detach().")
        else:
            self.place = None
        return self

    def backward(self, gradient: Tensor | None = None, retain_graph: Bool | None = None, create_graph: Bool = False,
                 inputs: Any = None) -> None:
        """Add the gradient of <self, gradient> to `.grad` of every leaf it depends on (or of `inputs`). A scalar needs
        no gradient. RuntimeError for another shape without one, and when called twice without retain_graph.

        >>> x = tn.tensor(3.0, requires_grad=True)
        >>> (x * x).backward(); x.grad
        tensor(6.)
        """
        engine.backward(self, gradient, retain_graph, create_graph, inputs)

    @property
    def retains_grad(self) -> Bool:
        """Whether retain_grad() was called.

        >>> tn.ones(1).retains_grad
        False
        """
        return not self.is_leaf and any(last for last, _ in self.place.hooks or ())

    def retain_grad(self) -> None:
        """Have backward() fill `.grad` of this tensor, though it is no leaf.

        >>> y = tn.ones(1, requires_grad=True) * 2
        >>> y.retain_grad(); y.backward(); y.grad
        tensor([1.])
        """
        if self.refresh() is None:
            raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
        if not self.is_leaf and not self.retains_grad:
            self.keep_gradient()

    def register_hook(self, hook: Any) -> Handle:
        """Call hook(grad) when the gradient of this tensor is known; what it returns, if anything, replaces it.
        `remove()` of the result takes it away.

        >>> x = tn.ones(1, requires_grad=True)
        >>> handle = x.register_hook(lambda g: g * 10)
        >>> (x * 2).backward(); x.grad
        tensor([20.])
        """
        return self.add_hook(hook)

    def detach_(self) -> Tensor:
        """Forget this tensor's history. RuntimeError for a view.

        >>> (tn.ones(1, requires_grad=True) * 2).detach_().requires_grad
        False
        """
        if self.base is not None:
            raise RuntimeError("Can't detach views in-place. Use detach() instead.")
        self.place = None
        return self

    # ---- indexing
    def __getitem__(self, index: Any) -> Tensor:
        return getitem(self, index=index_of(self.array, index))

    def __setitem__(self, index: Any, value: Any) -> None:
        value = scalar_or_tensor(value, self)
        ones = next((k for k, n in enumerate(value.shape) if n != 1), value.ndim)  # x[0] = v may have v.shape (1, n)
        index = index_of(self.array, index)
        if is_basic(index):
            window = getitem(self, index=index)
            value, spare = nearby(value, self), min(ones, value.ndim - window.ndim)
            write(window, value.reshape(value.shape[spare:]) if spare > 0 else value)
        else:
            value = value.reshape(value.shape[ones:]) if ones else value
            if value.dtype != self.dtype:
                value = cast(value, dtype=self.dtype)
            write(self, set_at(self, value, index=index), own=True)

    def __iter__(self) -> Iterator[Tensor]:
        if not self.array.ndim:
            raise TypeError("iteration over a 0-d tensor")
        return iter(ops.unbind(self))

    def __contains__(self, value: Any) -> Bool:
        return Bool((self == value).any())

    @property
    def T(self) -> Tensor:
        """The axes in reverse order: the transpose of a matrix. A view.

        >>> tn.zeros(2, 3).T.shape
        (3, 2)
        """
        return ops.permute(self, dims=tuple(reversed(range(self.ndim))))

    @property
    def mT(self) -> Tensor:
        """The last two axes exchanged: each matrix of a batch transposed. A view.

        >>> tn.zeros(5, 2, 3).mT.shape
        (5, 3, 2)
        """
        return mT(self)

    # ---- operators
    __hash__ = Value.__hash__  # a class that defines __eq__ must say so
    __neg__, __add__, __sub__, __mul__, __truediv__, __floordiv__, __mod__, __pow__ = _operators(
        ops.neg, ops.add, ops.sub, ops.mul, ops.true_divide, ops.floor_divide, ops.remainder, ops.pow)
    __radd__, __rsub__, __rmul__, __rtruediv__, __rfloordiv__, __rmod__, __rpow__ = map(_reflected, (
        ops.add, ops.sub, ops.mul, ops.true_divide, ops.floor_divide, ops.remainder, ops.pow))
    __iadd__, __isub__, __imul__, __itruediv__, __ifloordiv__, __imod__, __ipow__ = _in_place(
        __add__, __sub__, __mul__, __truediv__, __floordiv__, __mod__, __pow__)
    __eq__, __ne__, __lt__, __le__, __gt__, __ge__ = _operators(ops.eq, ops.ne, ops.lt, ops.le, ops.gt, ops.ge)
    __and__, __or__, __xor__, __invert__ = _operators(bitwise_and, bitwise_or, bitwise_xor, bitwise_not)
    __rand__, __ror__, __rxor__ = map(_reflected, (bitwise_and, bitwise_or, bitwise_xor))
    __iand__, __ior__, __ixor__ = _in_place(__and__, __or__, __xor__)
    __matmul__, __abs__ = ops.matmul, ops.abs.operator

    def __rmatmul__(self, other: Any) -> Any:
        return ops.matmul(wrap(array_in(other)), self)

    def __pos__(self) -> Tensor:
        return self

    # ---- functions of ops as methods: pointwise
    abs, neg, sign, floor, ceil, trunc, isnan, isinf, isfinite, logical_not = _operators(
        ops.abs, ops.neg, ops.sign, ops.floor, ops.ceil, ops.trunc, ops.isnan, ops.isinf, ops.isfinite, ops.logical_not)
    exp, expm1, log, log1p, log2, log10, sqrt, rsqrt, square, reciprocal = _operators(
        ops.exp, ops.expm1, ops.log, ops.log1p, ops.log2, ops.log10, ops.sqrt, ops.rsqrt, ops.square, ops.reciprocal)
    sin, cos, tan, asin, acos, atan, sinh, cosh, tanh, sigmoid, erf = _operators(
        ops.sin, ops.cos, ops.tan, ops.asin, ops.acos, ops.atan, ops.sinh, ops.cosh, ops.tanh, ops.sigmoid, ops.erf)
    add, sub, mul, true_divide, floor_divide, remainder, pow = (
        ops.add, ops.sub, ops.mul, ops.true_divide, ops.floor_divide, ops.remainder, ops.pow)
    round, maximum, minimum, atan2, clamp_min, clamp_max, nan_to_num = (
        ops.round, ops.maximum, ops.minimum, ops.atan2, ops.clamp_min, ops.clamp_max, ops.nan_to_num)
    eq, ne, lt, le, gt, ge = ops.eq, ops.ne, ops.lt, ops.le, ops.gt, ops.ge
    logical_and, logical_or, logical_xor = ops.logical_and, ops.logical_or, ops.logical_xor
    div, clamp, lerp, addcmul, clone = ops.div, ops.clamp, ops.lerp, ops.addcmul, ops.clone
    isclose, allclose, equal = ops.isclose, ops.allclose, ops.equal

    def where(self, condition: Tensor, other: Any) -> Tensor:
        """self where condition is true, else other.

        >>> tn.ones(2).where(tn.tensor([True, False]), 0.0)
        tensor([1., 0.])
        """
        return ops.where(condition, self, other)

    # ---- reductions and orders
    sum, mean, prod, max, min, amax, amin = ops.sum, ops.mean, ops.prod, ops.max, ops.min, ops.amax, ops.amin
    argmax, argmin, var, std, norm, logsumexp = ops.argmax, ops.argmin, ops.var, ops.std, ops.norm, ops.logsumexp
    all, any, cumsum, cumprod, count_nonzero = ops.all, ops.any, ops.cumsum, ops.cumprod, ops.count_nonzero
    median, sort, argsort, topk, unique, bincount = (
        ops.median, ops.sort, ops.argsort, ops.topk, ops.unique, ops.bincount)
    softmax, log_softmax, relu = ops.softmax, ops.log_softmax, ops.relu

    # ---- shapes
    view, flatten, unflatten, squeeze, unsqueeze = ops.view, ops.flatten, ops.unflatten, ops.squeeze, ops.unsqueeze
    transpose, t, movedim, expand_as, broadcast_to = ops.transpose, ops.t, ops.movedim, ops.expand_as, ops.broadcast_to
    tile, split, chunk, unbind, roll, narrow, select = (
        ops.tile, ops.split, ops.chunk, ops.unbind, ops.roll, ops.narrow, ops.select)
    repeat_interleave, contiguous, detach = ops.repeat_interleave, ops.contiguous, ops.detach

    def reshape(self, *shape: Any) -> Tensor:
        """The elements under another shape, one size of which may be -1: reshape(2, -1) or reshape((2, -1)).

        >>> tn.arange(6).reshape(2, -1).shape
        (2, 3)
        """
        return ops.reshape(self, shape=sizes(shape))

    def permute(self, *dims: Any) -> Tensor:
        """The axes in another order: permute(2, 0, 1) or permute((2, 0, 1)). A view.

        >>> tn.zeros(2, 3, 4).permute(2, 0, 1).shape
        (4, 2, 3)
        """
        return ops.permute(self, dims=sizes(dims))

    def expand(self, *size: Any) -> Tensor:
        """Axes of size 1 read over and over to fill these sizes; -1 keeps one. A view.

        >>> tn.zeros(3, 1).expand(-1, 4).shape
        (3, 4)
        """
        return ops.expand(self, shape=sizes(size))

    def repeat(self, *repeats: Any) -> Tensor:
        """Laid repeats[k] times along axis k. A copy.

        >>> tn.tensor([1, 2]).repeat(2)
        tensor([1, 2, 1, 2])
        """
        return ops.repeat(self, repeats=sizes(repeats))

    def flip(self, *dims: Any) -> Tensor:
        """In reverse order along these axes. A copy.

        >>> tn.tensor([1, 2]).flip(0)
        tensor([2, 1])
        """
        return ops.flip(self, dims=sizes(dims))

    # ---- indices and matrices
    gather, scatter, scatter_add, index_select, index_add = (
        ops.gather, ops.scatter, ops.scatter_add, ops.index_select, ops.index_add)
    masked_fill, masked_select, take_along_dim, index_put, nonzero = (
        ops.masked_fill, ops.masked_select, ops.take_along_dim, ops.index_put, ops.nonzero)
    diagonal, trace, tril, triu, diag = ops.diagonal, ops.trace, ops.tril, ops.triu, ops.diag
    matmul, mm, bmm, mv, dot, inner, outer, addmm, baddbmm = (
        ops.matmul, ops.mm, ops.bmm, ops.mv, ops.dot, ops.inner, ops.outer, ops.addmm, ops.baddbmm)
    det, slogdet = linalg.det, linalg.slogdet

    # ---- in place
    add_, sub_, mul_, div_, true_divide_, floor_divide_, remainder_, pow_, lerp_, addcmul_ = _in_place(
        ops.add, ops.sub, ops.mul, ops.div, ops.true_divide, ops.floor_divide, ops.remainder, ops.pow, ops.lerp,
        ops.addcmul)
    abs_, neg_, exp_, expm1_, log_, log1p_, log2_, log10_, sqrt_, rsqrt_, square_, reciprocal_ = _in_place(
        abs, neg, exp, expm1, log, log1p, log2, log10, sqrt, rsqrt, square, reciprocal)
    sin_, cos_, tan_, asin_, acos_, atan_, sinh_, cosh_, tanh_, sigmoid_, erf_ = _in_place(
        sin, cos, tan, asin, acos, atan, sinh, cosh, tanh, sigmoid, erf)
    sign_, floor_, ceil_, trunc_, relu_ = _in_place(sign, floor, ceil, trunc, relu)
    round_, clamp_, clamp_min_, clamp_max_, nan_to_num_ = _in_place(
        ops.round, ops.clamp, ops.clamp_min, ops.clamp_max, ops.nan_to_num)
    cumsum_, cumprod_, tril_, triu_, masked_fill_, scatter_, scatter_add_, index_add_, index_put_ = _in_place(
        ops.cumsum, ops.cumprod, ops.tril, ops.triu, ops.masked_fill, ops.scatter, ops.scatter_add, ops.index_add,
        ops.index_put)
    atan2_, addmm_, baddbmm_, logical_and_, logical_or_, logical_xor_, logical_not_ = _in_place(
        ops.atan2, ops.addmm, ops.baddbmm, ops.logical_and, ops.logical_or, ops.logical_xor, ops.logical_not)
    eq_, ne_, lt_, le_, gt_, ge_ = _in_place(ops.eq, ops.ne, ops.lt, ops.le, ops.gt, ops.ge)
    squeeze_, unsqueeze_, t_, transpose_ = _in_place(
        ops.squeeze, ops.unsqueeze, ops.t, ops.transpose, by=view_in_place)
    bernoulli, multinomial = ops.bernoulli, ops.multinomial
    normal_, uniform_, bernoulli_, random_, exponential_ = (
        sampling.normal_, sampling.uniform_, sampling.bernoulli_, sampling.random_, sampling.exponential_)

    def fill_(self, value: Any) -> Tensor:
        """Set every element to value.

        >>> tn.zeros(2).fill_(3)
        tensor([3., 3.])
        """
        return write(self, scalar_or_tensor(value, self))

    def zero_(self) -> Tensor:
        """Set every element to 0.

        >>> tn.ones(2).zero_()
        tensor([0., 0.])
        """
        return self.fill_(0)

    def copy_(self, src: Any, non_blocking: Bool = False) -> Tensor:
        """Set the elements to those of src, cast and broadcast to this tensor's dtype and shape.

        >>> tn.zeros(2).copy_(tn.tensor([1, 2]))
        tensor([1., 2.])
        """
        src = nearby(scalar_or_tensor(src, self), self)
        return write(self, cast(src, dtype=self.dtype) if src.dtype != self.dtype else src)


Variable.public = Tensor
