"""Random tensors, drawn from `generator`, or else from the stream that tn.manual_seed() starts."""
from __future__ import annotations

from typing import Any

import numpy as np

from tinynet.autograd.modes import no_grad
from tinynet.autograd.variable import Variable, raw, wrap
from tinynet.dtypes import Array, DType, as_dtype, bool_, float16, float32, int64, name
from tinynet.ops.create import Shape, array_of, finish, float_or, module_of, size_of, whole
from tinynet.ops.inplace import write
from tinynet.ops.shape import broadcast_shape, expand
from tinynet.random import Generator, default_generator


# ---- the distributions, on arrays
def stream(generator: Any) -> np.random.Generator:
    """The generator's stream of numbers; None means the default generator."""
    if generator is None:
        return default_generator.rng
    if not isinstance(generator, Generator):
        raise TypeError(f"argument 'generator' must be tn.Generator, not {type(generator).__name__}")
    return generator.rng


def _drawn(op: str, dtype: DType) -> Any:
    """The dtype to draw in, for a result of this dtype."""
    if dtype.kind != "f":
        raise NotImplementedError(f"{op} is not implemented for {name(dtype)}: use a float dtype")
    return float32 if dtype == float16 else dtype


def _uniform(generator: Any, shape: Shape, dtype: DType) -> Array:
    """In [0, 1)."""
    drawn = _drawn("uniform", dtype)
    if dtype == float16:  # a float32 just below 1 would be rounded to 1
        return (stream(generator).integers(0, 2048, shape) / 2048).astype(dtype)
    return stream(generator).random(shape, dtype=drawn)


def _gaussian(generator: Any, shape: Shape, dtype: DType) -> Array:
    """Mean 0, standard deviation 1."""
    return stream(generator).standard_normal(shape, dtype=_drawn("normal", dtype)).astype(dtype, copy=False)


def _integers(generator: Any, low: int, high: int, shape: Shape, dtype: DType) -> Array:
    """Whole numbers in [low, high), each equally often."""
    if low >= high:
        raise RuntimeError(f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}")
    least, greatest = _range(dtype)
    for what, k in (("from", low), ("to - 1", high - 1)):
        if not least <= k <= greatest:
            raise RuntimeError(f"{what} is out of bounds for {name(dtype)}: {k} not in [{least}, {greatest}]")
    return stream(generator).integers(low, high, shape, dtype=int64).astype(dtype)


def _range(dtype: DType) -> tuple[int, int]:
    """The whole numbers that the dtype holds without gaps."""
    if dtype.kind == "f":
        exact = 2 ** (np.finfo(dtype).nmant + 1)
        return -exact, exact
    return (0, 1) if dtype == bool_ else (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))


def _happens(generator: Any, p: Any, shape: Shape) -> Array:
    """True with probability p, a number or an array."""
    wrong = ~((np.asarray(p) >= 0) & (np.asarray(p) <= 1))
    if wrong.any():
        raise RuntimeError(f"bernoulli expects p to be in [0, 1], but got p={np.asarray(p)[wrong][0]:g}")
    return stream(generator).random(shape) < p


# ---- new tensors
def rand(*sizes: Any, size: Any = None, generator: Any = None, dtype: Any = None, device: Any = None,
         requires_grad: bool = False) -> Any:
    """Uniform in [0, 1).

    >>> tn.rand(2, 3).shape
    (2, 3)
    """
    module_of(device)
    return finish(_uniform(generator, size_of("rand", sizes, size), float_or(dtype)), requires_grad)


def randn(*sizes: Any, size: Any = None, generator: Any = None, dtype: Any = None, device: Any = None,
          requires_grad: bool = False) -> Any:
    """Normal, with mean 0 and standard deviation 1.

    >>> tn.randn(2, 3).shape
    (2, 3)
    """
    module_of(device)
    return finish(_gaussian(generator, size_of("randn", sizes, size), float_or(dtype)), requires_grad)


def rand_like(input: Any, *, generator: Any = None, dtype: Any = None, device: Any = None,
              requires_grad: bool = False) -> Any:
    """Uniform in [0, 1), in the shape and dtype of input.

    >>> tn.rand_like(tn.zeros(2, dtype=tn.float64)).dtype
    dtype('float64')
    """
    a = array_of("rand_like", input)
    dtype = a.dtype if dtype is None else dtype
    return rand(a.shape, generator=generator, dtype=dtype, device=device, requires_grad=requires_grad)


def randn_like(input: Any, *, generator: Any = None, dtype: Any = None, device: Any = None,
               requires_grad: bool = False) -> Any:
    """Normal with mean 0 and standard deviation 1, in the shape and dtype of input.

    >>> tn.randn_like(tn.zeros(2, 3)).shape
    (2, 3)
    """
    a = array_of("randn_like", input)
    dtype = a.dtype if dtype is None else dtype
    return randn(a.shape, generator=generator, dtype=dtype, device=device, requires_grad=requires_grad)


def randint(*bounds: Any, low: Any = 0, high: Any = None, size: Any = None, generator: Any = None,
            dtype: Any = int64, device: Any = None, requires_grad: bool = False) -> Any:
    """Whole numbers in [low, high), each equally often: randint(high, size) or randint(low, high, size).

    >>> tn.randint(5, 6, (2,))
    tensor([5, 5])
    """
    module_of(device)
    given = list(bounds)
    if size is None and given:
        size = given.pop()
    if high is None and given:
        high = given.pop()
    if given:
        low = given.pop()
    if given or high is None or not isinstance(size, (tuple, list)):
        raise TypeError("randint() takes (high, size) or (low, high, size), where size is a tuple of ints")
    low, high = whole("randint(): argument 'low'", low), whole("randint(): argument 'high'", high)
    dtype = int64 if dtype is None else as_dtype(dtype)
    return finish(_integers(generator, low, high, size_of("randint", (size,)), dtype), requires_grad)


def randperm(n: int, *, generator: Any = None, dtype: Any = int64, device: Any = None,
             requires_grad: bool = False) -> Any:
    """The numbers 0 to n - 1 in random order.

    >>> tn.randperm(5).sum()
    tensor(10)
    """
    module_of(device)
    (n,), dtype = size_of("randperm", (n,)), as_dtype(dtype)
    if n - 1 > _range(dtype)[1]:
        raise RuntimeError(f"randperm: {n - 1} cannot be converted to type {name(dtype)} without overflow")
    return finish(stream(generator).permutation(n).astype(dtype), requires_grad)


def normal(mean: Any = 0.0, std: Any = 1.0, size: Any = None, *, generator: Any = None, dtype: Any = None,
           device: Any = None, requires_grad: bool = False) -> Any:
    """mean + std * (standard normal numbers); of tensors, which broadcast, or of two numbers and a size.

    >>> tn.normal(tn.tensor([1., 2.]), 0.)
    tensor([1., 2.])
    """
    module_of(device)
    tensors = [raw(x) for x in (mean, std) if isinstance(x, Variable)]
    if (size is None) != bool(tensors):
        raise TypeError("normal() takes mean and std, one of them a tensor at least, or numbers and a size")
    mean, std = raw(mean), raw(std)
    if np.any(std < 0):
        raise RuntimeError(f"normal expects std >= 0.0, but found std {np.min(std):g}")
    for a in tensors:
        _drawn("normal", a.dtype)
    dtype = np.result_type(*[a.dtype for a in tensors]) if tensors else float_or(dtype)
    shape = broadcast_shape("normal", [a.shape for a in tensors]) if tensors else size_of("normal", (size,))
    out = mean + std * _gaussian(generator, shape, dtype)
    return finish(out.astype(dtype, copy=False), requires_grad)


def bernoulli(input: Any, p: float | None = None, *, generator: Any = None) -> Any:
    """1 with the probability that input holds (or with probability p), else 0; of input's shape and dtype.

    >>> tn.bernoulli(tn.tensor([0., 1., 1.]))
    tensor([0., 1., 1.])
    """
    a = array_of("bernoulli", input)
    if p is None:
        _drawn("bernoulli", a.dtype)
    return wrap(_happens(generator, a if p is None else p, a.shape).astype(a.dtype))


def multinomial(input: Any, num_samples: int, replacement: bool = False, *, generator: Any = None) -> Any:
    """Indices into each row of input (its only row, if 1-D), drawn with probabilities in proportion to it.

    >>> tn.multinomial(tn.tensor([0., 3., 0.]), 2, replacement=True)
    tensor([1, 1])
    """
    p = array_of("multinomial", input)
    if p.dtype.kind != "f":
        raise RuntimeError(f"multinomial only supports floating-point dtypes for input, got: {name(p.dtype)}")
    if p.ndim not in (1, 2):
        raise RuntimeError(f"prob_dist must be 1 or 2 dim, got shape {list(p.shape)}")
    if num_samples <= 0:
        raise RuntimeError(f"cannot sample n_sample <= 0 samples, got {num_samples}")
    if not replacement and num_samples > p.shape[-1]:
        raise RuntimeError(f"cannot sample n_sample > prob_dist.size(-1) samples without replacement: "
                           f"{num_samples} of {p.shape[-1]}")
    if not (np.isfinite(p) & (p >= 0)).all():
        raise RuntimeError("probability tensor contains either `inf`, `nan` or element < 0")
    if not (p > 0).any(-1).all():
        raise RuntimeError("invalid multinomial distribution (sum of probabilities <= 0)")
    rng = stream(generator)
    if not replacement:  # clocks of rate p: in the order in which they ring (Efraimidis and Spirakis 2006)
        with np.errstate(divide="ignore"):
            rings = rng.standard_exponential(p.shape) / p
        return wrap(np.argsort(rings, axis=-1)[..., :num_samples].copy())
    edges = p.cumsum(-1, dtype=np.float64)  # of intervals as long as the probabilities, where points fall
    edges /= edges[..., -1:]
    points = rng.random((*p.shape[:-1], num_samples))
    rows = zip(edges.reshape(-1, p.shape[-1]), points.reshape(-1, num_samples), strict=True)
    return wrap(np.array([np.searchsorted(e, x, "right") for e, x in rows], int64).reshape(points.shape))


# ---- into a tensor that is there
def _fill(t: Any, values: Array) -> Any:
    return write(t, wrap(values.astype(t.dtype, copy=False)))


def normal_(t: Any, mean: float = 0, std: float = 1, *, generator: Any = None) -> Any:
    """Fill with normal numbers of this mean and standard deviation.

    >>> tn.zeros(2).normal_(5, 0)
    tensor([5., 5.])
    """
    if std < 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std:g}")
    return _fill(t, mean + std * _gaussian(generator, t.shape, t.dtype))


def uniform_(t: Any, from_: float = 0, to: float = 1, *, generator: Any = None) -> Any:
    """Fill with numbers uniform in [from_, to).

    >>> tn.zeros(2).uniform_(3, 3)
    tensor([3., 3.])
    """
    if not np.isfinite([from_, to]).all():
        raise RuntimeError(f"uniform_: from={from_:g} or to={to:g} is out of bounds for {name(t.dtype)}")
    if from_ > to:
        raise RuntimeError(f"uniform_ expects to return a [from, to) range, but found {from_:g} > {to:g}")
    return _fill(t, from_ + (to - from_) * _uniform(generator, t.shape, t.dtype))


def bernoulli_(t: Any, p: Any = 0.5, *, generator: Any = None) -> Any:
    """Fill with 1 with probability p (a number, or a tensor that broadcasts to t), else 0.

    >>> tn.zeros(2).bernoulli_(1.)
    tensor([1., 1.])
    """
    with no_grad():
        chances = raw(expand(p, shape=t.shape)) if isinstance(p, Variable) else p
    return _fill(t, _happens(generator, chances, t.shape))


def random_(t: Any, from_: int | None = None, to: int | None = None, *, generator: Any = None) -> Any:
    """Fill with whole numbers in [from_, to): random_(from_, to), random_(to), or from 0 to the dtype's last.

    >>> tn.zeros(2).random_(7, 8)
    tensor([7., 7.])
    """
    low, high = (0, from_) if to is None else (0 if from_ is None else from_, to)
    high = _range(t.dtype)[1] + 1 if high is None else high
    low, high = whole("random_(): argument 'from'", low), whole("random_(): argument 'to'", high)
    return _fill(t, _integers(generator, low, high, t.shape, t.dtype))


def exponential_(t: Any, lambd: float = 1, *, generator: Any = None) -> Any:
    """Fill with exponentially distributed numbers, of mean 1 / lambd.

    >>> bool((tn.zeros(5).exponential_() >= 0).all())
    True
    """
    if not lambd > 0:
        raise RuntimeError(f"exponential_ expects lambda > 0.0, but found lambda={lambd:g}")
    if t.dtype.kind != "f":
        raise RuntimeError(f"Exponential distribution is a continuous probability distribution. dtype must "
                           f"be a floating point but you specified {name(t.dtype)}")
    return _fill(t, stream(generator).standard_exponential(t.shape, dtype=_drawn("", t.dtype)) / lambd)


def get_rng_state() -> Any:
    """Where the default stream stands, as a uint8 tensor of 48 bytes.

    >>> tn.get_rng_state().shape
    (48,)
    """
    return wrap(default_generator.get_state())


def set_rng_state(new_state: Any) -> None:
    """Continue the default stream from where get_rng_state() was called. RuntimeError for anything else.

    >>> state = tn.get_rng_state()
    >>> x = tn.rand(3)
    >>> tn.set_rng_state(state)
    >>> tn.equal(x, tn.rand(3))
    True
    """
    default_generator.set_state(raw(new_state))
