"""How arguments are drawn at which derivatives can be proved: away from kinks, and of shapes, dims and
options of every kind.

A Drawer draws; the functions here draw the arguments and options of one Call, for a kind of op or for one op.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from tinynet.dtypes import Array
from tinynet.ops._primitive import PRIMITIVES

ALL = slice(None)


class Call(NamedTuple):
    """What to call an op with."""

    args: tuple[Any, ...]
    options: dict[str, Any]
    first: Callable[..., Any] | None = None  # to make of the arguments what the op takes: a symmetric matrix


def call(*args: Any, **options: Any) -> Call:
    """A call with these arguments and options."""
    return Call(args, options)


class Drawer:
    """Draws sizes and options with `pick(low, high)`, which Hypothesis can take over, values at random."""

    def __init__(self, seed: int, pick: Callable[[int, int], int] | None = None) -> None:
        self.rng = np.random.default_rng(seed)
        self.pick = pick or (lambda low, high: int(self.rng.integers(low, high + 1)))

    # ---- sizes and options
    def flag(self) -> bool:
        """Yes or no."""
        return bool(self.pick(0, 1))

    def of(self, *choices: Any) -> Any:
        """One of the choices."""
        return choices[self.pick(0, len(choices) - 1)]

    def shape(self, low: int = 0, high: int = 3, least: int = 1) -> tuple[int, ...]:
        """Of low to high axes, each of `least` to 3 elements."""
        return tuple(self.pick(least, 3) for _ in range(self.pick(low, high)))

    def any_shape(self) -> tuple[int, ...]:
        """Now and then of a tensor without elements."""
        shape = self.shape()
        return (*shape[:-1], 0) if shape and self.pick(0, 9) == 9 else shape

    def shapes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Two that broadcast with each other."""
        full = self.any_shape()
        a, b = (tuple(n if self.pick(0, 3) else 1 for n in full)[self.pick(0, len(full)):] for _ in range(2))
        return (full, b) if self.flag() else (a, full)

    def dim(self, shape: Sequence[int]) -> int:
        """The number of an axis, from the front or from the back."""
        return self.pick(-len(shape), len(shape) - 1) if shape else 0

    def dims(self, shape: Sequence[int]) -> Any:
        """None, one or several."""
        every = self.order(len(shape))
        return self.of(None, self.dim(shape), every[:self.pick(1, len(every))]) if shape else None

    def order(self, n: int) -> tuple[int, ...]:
        """The numbers below n, in random order."""
        return tuple(int(k) for k in self.rng.permutation(n))

    # ---- values
    def between(self, low: float, high: float, *shape: int) -> Array:
        """Evenly spread from low to high."""
        return np.asarray(self.rng.uniform(low, high, shape))

    def normal(self, *shape: int) -> Array:
        """Normally distributed."""
        return np.asarray(self.rng.standard_normal(shape))

    def positive(self, *shape: int) -> Array:
        """From 1/2 to 2."""
        return self.between(0.5, 2, *shape)

    def away(self, *shape: int) -> Array:
        """Not near zero."""
        return np.asarray(self.positive(*shape) * self.rng.choice([-1.0, 1.0], shape))

    def between_integers(self, *shape: int) -> Array:
        """Not near a whole number or a half."""
        middle = self.rng.integers(-3, 3, shape) + self.rng.choice([0.25, 0.75], shape)
        return np.asarray(middle + self.between(-0.15, 0.15, *shape))

    def distinct(self, *shape: int) -> Array:
        """No two near each other, nor any near zero."""
        n = int(np.prod(shape))
        return ((self.rng.permutation(n) - n // 2 + 0.5) * 0.4 + self.between(-0.1, 0.1, n)).reshape(shape)

    def two_distinct(self) -> tuple[Array, Array]:
        """Two that broadcast, no element of one near one of the other."""
        a, b = self.shapes()
        split = int(np.prod(a))
        both = self.distinct(split + int(np.prod(b)))
        return both[:split].reshape(a), both[split:].reshape(b)

    def ints(self, high: int, *shape: int) -> Array:
        """Whole numbers from 0 to high - 1."""
        return np.asarray(self.rng.integers(0, high, shape))

    def zeros_and_ones(self, *shape: int) -> Array:
        """Zeros and ones, as integers."""
        return self.ints(2, *shape)

    def bools(self, *shape: int) -> Array:
        """True and False."""
        return np.asarray(self.ints(2, *shape) > 0)

    def two(self, first: str = "normal", second: str = "normal") -> tuple[Array, Array]:
        """Two that broadcast."""
        a, b = self.shapes()
        return getattr(self, first)(*a), getattr(self, second)(*b)

    def matrix(self) -> Array:
        """One or a batch of square matrices with an inverse."""
        n, batch = self.pick(1, 3), self.shape(0, 1)
        return self.between(-0.6, 0.6, *batch, n, n) + np.eye(n) * 2.5


def unary(values: str, **options: Any) -> Callable[[Drawer], Call]:
    """One argument, with values as the Drawer's method of that name draws them."""
    return lambda d: call(getattr(d, values)(*d.any_shape()), **options)


def within(low: float, high: float) -> Callable[[Drawer], Call]:
    """One argument, with values from low to high."""
    return lambda d: call(d.between(low, high, *d.any_shape()))


def binary(first: str, second: str) -> Callable[[Drawer], Call]:
    """Two arguments that broadcast, with values as two methods of the Drawer draw them."""
    return lambda d: call(*d.two(first, second))


def clear_of_each_other(d: Drawer) -> Call:
    """Two arguments that broadcast, of which no elements are near each other."""
    return call(*d.two_distinct())


def power(d: Drawer) -> Call:
    """A positive base, or a whole exponent."""
    return call(*d.of(d.two("positive"), (d.away(*d.shape()), d.of(3, -2)), (2.5, d.normal(*d.shape()))))


def where(d: Drawer) -> Call:
    """A condition that broadcasts with the two that it chooses from, or has no axes."""
    a, b = d.two()
    return call(d.bools(*d.of((), b.shape, np.broadcast_shapes(a.shape, b.shape))), a, b)


def remainder(d: Drawer) -> Call:
    """Quotients not near a whole number, where the remainder jumps."""
    a, b = d.shapes()
    divisor = d.away(*b)
    full = np.broadcast_shapes(a, b)
    return call(np.asarray(divisor * d.between_integers(*full)), divisor)


def reduction(values: str, several: bool = True, least: int = 1, **options: Any) -> Callable[[Drawer], Call]:
    """Over None, one or several dims, kept or not."""
    def draw(d: Drawer) -> Call:
        shape = d.shape(0 if least == 1 else 1, 3, least)
        return call(getattr(d, values)(*shape), dim=d.dims(shape) if several else d.dim(shape),
                    keepdim=d.flag(), **options)
    return draw


def along(values: str, **options: Any) -> Callable[[Drawer], Call]:
    """Along one dim."""
    def draw(d: Drawer) -> Call:
        shape = d.shape(1)
        return call(getattr(d, values)(*shape), dim=d.dim(shape), **options)
    return draw


def index(d: Drawer, repeats: bool = True) -> Any:
    """What may stand in the brackets of a 3 by 4 tensor; repeats: places may be named twice."""
    rows = np.array([0, 2, 0] if repeats else [2, 0])
    return d.of(1, slice(1, 3), (ALL, 2), (2, -1), (Ellipsis, None, 1),
                (slice(0, 3, 2), slice(None, None, 3)), rows,
                (rows, np.array([1, 3, 1] if repeats else [1, 3])), (ALL, np.array([[0], [3]])),
                (1, np.array([2, 0])), d.bools(3, 4))


def set_at(d: Drawer) -> Call:
    """A 3 by 4 tensor, an index, and what to put there; or, for places named twice, to add there."""
    accumulate = d.flag()
    at = index(d, repeats=accumulate)
    shape = np.zeros((3, 4))[at].shape
    shape = shape[d.pick(0, len(shape)):] if d.flag() else shape
    return call(d.normal(3, 4), d.normal(*shape), index=at, accumulate=accumulate)


def add_at(d: Drawer) -> Call:
    """An index of a 3 by 4 tensor, and what to add there to zeros."""
    at = index(d)
    return call(d.normal(*np.zeros((3, 4))[at].shape), index=at, shape=(3, 4))


def put(d: Drawer) -> Call:
    """A tensor, and the new values of a view of it, up to three views deep."""
    path: tuple[Any, ...] = ((PRIMITIVES["getitem"], {"index": (slice(1, 3),)}, None),
                             (PRIMITIVES["permute"], {"dims": (1, 0)}, None),
                             (PRIMITIVES["getitem"], {"index": (2,)}, None))[:d.pick(0, 3)]
    return call(d.normal(3, 4), d.normal(*((3, 4), (2, 4), (4, 2), (2,))[len(path)]), path=path)


def places(d: Drawer) -> tuple[tuple[int, ...], int, Array]:
    """A shape, a dim of it, and an index along that dim that names no place twice."""
    shape = d.shape(1)
    dim = d.pick(0, len(shape) - 1)
    order = np.argsort(d.normal(*shape), axis=dim)
    return shape, dim, np.take(order, range(d.pick(1, shape[dim])), axis=dim)


def take_along(d: Drawer) -> Call:
    """A tensor, and an index along one of its dims."""
    shape, dim, at = places(d)
    return call(d.normal(*shape), at, dim=dim)


def add_along(d: Drawer) -> Call:
    """Values, and where along a dim they are added to zeros: several into one place, too."""
    shape, dim, at = places(d)
    at = at if d.flag() else np.zeros_like(at)  # several into one place
    return call(d.normal(*at.shape), at, dim=dim, shape=shape)


def set_along(d: Drawer) -> Call:
    """A tensor, values, and where along a dim they are put."""
    shape, dim, at = places(d)
    return call(d.normal(*shape), d.normal(*at.shape), at, dim=dim)


def diagonal(d: Drawer) -> Call:
    """A tensor of three axes, two of them, and which diagonal."""
    dim1, dim2 = d.order(3)[:2]
    return call(d.normal(2, 3, 4), offset=d.pick(-1, 2), dim1=dim1, dim2=dim2)


def triangle(d: Drawer) -> Call:
    """Matrices, and the diagonal at which the triangle ends."""
    return call(d.normal(*d.shape(2)), diagonal=d.pick(-1, 1))


def add_diagonal(d: Drawer) -> Call:
    """The diagonal of a tensor, to be laid into zeros of its shape."""
    (a,), options, _ = diagonal(d)
    return call(d.normal(*np.diagonal(a, options["offset"], options["dim1"], options["dim2"]).shape),
                shape=a.shape, **options)


def joined(d: Drawer) -> Call:
    """cat: the same but for one dim."""
    shape = d.shape(1)
    dim = d.pick(0, len(shape) - 1)
    parts = [d.normal(*shape[:dim], d.pick(1, 3), *shape[dim + 1:]) for _ in range(d.pick(1, 3))]
    return call(*parts, dim=dim - d.of(0, len(shape)))


def stacked(d: Drawer) -> Call:
    """Tensors of one shape, and where the new dim goes."""
    shape = d.shape()
    return call(*[d.normal(*shape) for _ in range(d.pick(1, 3))], dim=d.pick(-len(shape) - 1, len(shape)))


def expanded(d: Drawer) -> Call:
    """A tensor, and a shape to which it broadcasts."""
    shape = d.shape()
    small = tuple(n if d.flag() else 1 for n in shape)[d.pick(0, len(shape)):]
    return call(d.normal(*small), shape=shape)


def matmul(d: Drawer) -> Call:
    """Matrices, vectors and batches of both, whose sizes fit."""
    n, k, m = (d.pick(1, 3) for _ in range(3))
    a, b = d.of(((n, k), (k, m)), ((k,), (k,)), ((k,), (2, k, m)), ((2, n, k), (k,)), ((2, n, k), (k, m)),
                ((2, 1, n, k), (3, k, m)))
    return call(d.normal(*a), d.normal(*b))


def contract(d: Drawer) -> Call:
    """Products of two or three tensors, in einsum's letters."""
    spec = d.of("ij,jk->ik", "bij,jk,bk->bi", "i,j->ij", "ijk,ik->j", "ij,ij->", "ij,kl,jk->il")
    sizes = {letter: d.pick(1, 3) for letter in "bijkl"}
    return call(*[d.normal(*(sizes[c] for c in term)) for term in spec.split("->")[0].split(",")], spec=spec)


def matrix(d: Drawer) -> Call:
    """Square matrices with an inverse."""
    return call(d.matrix())


def solve(d: Drawer) -> Call:
    """The same matrix for a batch of right sides, or the same right side for a batch of matrices, too."""
    a = d.matrix()
    batch = d.of(a.shape[:-2], (), (2, 1))
    return call(a, d.normal(*batch, a.shape[-1], d.pick(1, 2)))


def symmetric(d: Drawer) -> Call:
    """Positive definite: the sum of a matrix like that with its transpose."""
    return Call((d.matrix() * 2,), {}, lambda a: a + a.mT)


def singular_values(d: Drawer) -> Call:
    """No two of them equal."""
    n, m = d.pick(1, 3), d.pick(1, 3)
    return call(np.eye(n, m) * np.arange(1, m + 1) + d.between(-0.1, 0.1, *d.shape(0, 1), n, m))


def topk(d: Drawer) -> Call:
    """Numbers of which no two are near each other, and how many of them to take along a dim."""
    shape = d.shape(1)
    dim = d.dim(shape)
    return call(d.distinct(*shape), k=d.pick(1, shape[dim]), dim=dim, largest=d.flag())


def rolled(d: Drawer) -> Call:
    """A tensor, and how far to roll it, along a dim or laid end to end."""
    shape = d.shape(1)
    return call(d.normal(*shape), shifts=d.pick(-3, 3), dims=d.of(None, d.dim(shape)))


def shaped(d: Drawer) -> Call:
    """A tensor of 12 elements, and another shape for them."""
    return call(d.normal(2, 3, 2), shape=d.of((12,), (3, -1), (2, 2, 3), (1, 12, 1)))


def recurrence(d: Drawer) -> Call:
    """The factors and the summands of a recurrence along a dim."""
    shape = d.shape(1)
    return call(d.normal(*shape), d.normal(*shape), dim=d.pick(0, len(shape) - 1), reverse=d.flag())


def with_a_zero(several: bool) -> Callable[[Drawer], Call]:
    """Products, of which one factor may be zero."""
    def draw(d: Drawer) -> Call:
        (a,), options, _ = reduction("normal", several=False)(d)
        if d.flag():
            a.ravel()[d.pick(0, a.size - 1)] = 0
        dim = options["dim"]
        return call(a, dim=d.of(None, dim), keepdim=d.flag()) if several else call(a, dim=dim)
    return draw


def infinities(d: Drawer) -> Call:
    """Numbers, infinities and nans."""
    return call(d.rng.choice([1.0, np.inf, -np.inf, np.nan], d.shape(1)))


def numpy_names(f: Callable[..., Any]) -> Callable[..., Any]:
    """A function of NumPy's, called with our names of options."""
    return lambda a, dim, keepdim: f(a, axis=dim, keepdims=keepdim)
