"""Random tensors, drawn from `generator`, or else from the stream that tn.manual_seed() starts."""
from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinynet import late
from tinynet.autograd.modes import no_grad
from tinynet.autograd.variable import Variable, raw, wrap
from tinynet.device import backend, device_of, host, together
from tinynet.dtypes import Array, DType, as_dtype, bool_, float16, float32, int64, name
from tinynet.ops._streams import stream
from tinynet.ops.create import Shape, array_of, finish, float_or, size_of, whole
from tinynet.ops.inplace import write
from tinynet.ops.shape import broadcast_shape, expand
from tinynet.random import default_generator


# ---- the distributions, on arrays: rng is a stream
def _drawn(op: str, dtype: DType) -> Any:
    """The dtype to draw in, for a result of this dtype."""
    if dtype.kind != "f":
        raise NotImplementedError(f"{op} is not implemented for {name(dtype)}: use a float dtype")
    return float32 if dtype == float16 else dtype


def _uniform(rng: Any, shape: Shape, dtype: DType) -> Array:
    """In [0, 1)."""
    drawn = _drawn("uniform", dtype)
    if dtype == float16:  # a float32 just below 1 would be rounded to 1
        return (rng.integers(0, 2048, shape) / 2048).astype(dtype)
    return rng.random(shape, dtype=drawn)


def _gaussian(rng: Any, shape: Shape, dtype: DType) -> Array:
    """Mean 0, standard deviation 1."""
    return rng.standard_normal(shape, dtype=_drawn("normal", dtype)).astype(dtype, copy=False)


def _integers(rng: Any, low: int, high: int, shape: Shape, dtype: DType) -> Array:
    """Whole numbers in [low, high), each equally often."""
    if low >= high:
        raise RuntimeError(f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}")
    least, greatest = _range(dtype)
    for what, k in (("from", low), ("to - 1", high - 1)):
        if not least <= k <= greatest:
            raise RuntimeError(f"{what} is out of bounds for {name(dtype)}: {k} not in [{least}, {greatest}]")
    return rng.integers(low, high, shape, dtype=int64).astype(dtype)


def _range(dtype: DType) -> tuple[int, int]:
    """The whole numbers that the dtype holds without gaps."""
    if dtype.kind == "f":
        exact = 2 ** (np.finfo(dtype).nmant + 1)
        return -exact, exact
    return (0, 1) if dtype == bool_ else (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))


def _happens(rng: Any, p: Any, shape: Shape) -> Array:
    """True with probability p, a number or an array."""
    wrong = (p < 0) | (p > 1) | (p != p)
    what = "bernoulli expects p to be in [0, 1]"
    if late.found(wrong, RuntimeError, what) if hasattr(p, "dtype") else wrong:
        raise RuntimeError(f"{what}, but got p={host(p[wrong])[0] if hasattr(p, 'dtype') else p:g}")
    return rng.random(shape) < p


def _check_std(std: Any) -> None:
    wrong, what = std < 0, "normal expects std >= 0.0"
    if late.found(wrong, RuntimeError, what) if hasattr(wrong, "dtype") else wrong:
        raise RuntimeError(f"{what}, but found std {std.min() if hasattr(std, 'dtype') else std:g}")


# ---- new tensors
def rand(*sizes: Any, size: Any = None, generator: Any = None, dtype: Any = None, device: Any = None,
         requires_grad: bool = False) -> Any:
    """Uniform in [0, 1).

    >>> tn.rand(2, 3).shape
    (2, 3)
    """
    return finish(_uniform(stream(generator, device), size_of("rand", sizes, size), float_or(dtype)), requires_grad)


def randn(*sizes: Any, size: Any = None, generator: Any = None, dtype: Any = None, device: Any = None,
          requires_grad: bool = False) -> Any:
    """Normal, with mean 0 and standard deviation 1.

    >>> tn.randn(2, 3).shape
    (2, 3)
    """
    return finish(_gaussian(stream(generator, device), size_of("randn", sizes, size), float_or(dtype)), requires_grad)


def rand_like(input: Any, *, generator: Any = None, dtype: Any = None, device: Any = None,
              requires_grad: bool = False) -> Any:
    """Uniform in [0, 1), in the shape and dtype of input.

    >>> tn.rand_like(tn.zeros(2, dtype=tn.float64)).dtype
    dtype('float64')
    """
    a = array_of("rand_like", input)
    dtype, device = a.dtype if dtype is None else dtype, device_of(a) if device is None else device
    return rand(a.shape, generator=generator, dtype=dtype, device=device, requires_grad=requires_grad)


def randn_like(input: Any, *, generator: Any = None, dtype: Any = None, device: Any = None,
               requires_grad: bool = False) -> Any:
    """Normal with mean 0 and standard deviation 1, in the shape and dtype of input.

    >>> tn.randn_like(tn.zeros(2, 3)).shape
    (2, 3)
    """
    a = array_of("randn_like", input)
    dtype, device = a.dtype if dtype is None else dtype, device_of(a) if device is None else device
    return randn(a.shape, generator=generator, dtype=dtype, device=device, requires_grad=requires_grad)


def randint(*bounds: Any, low: Any = 0, high: Any = None, size: Any = None, generator: Any = None,
            dtype: Any = int64, device: Any = None, requires_grad: bool = False) -> Any:
    """Whole numbers in [low, high), each equally often: randint(high, size) or randint(low, high, size).

    >>> tn.randint(5, 6, (2,))
    tensor([5, 5])
    """
    rng, given = stream(generator, device), list(bounds)
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
    return finish(_integers(rng, low, high, size_of("randint", (size,)), dtype), requires_grad)


def randperm(n: int, *, generator: Any = None, dtype: Any = int64, device: Any = None,
             requires_grad: bool = False) -> Any:
    """The numbers 0 to n - 1 in random order.

    >>> tn.randperm(5).sum()
    tensor(10)
    """
    rng, (n,), dtype = stream(generator, device), size_of("randperm", (n,)), as_dtype(dtype)
    if n - 1 > _range(dtype)[1]:
        raise RuntimeError(f"randperm: {n - 1} cannot be converted to type {name(dtype)} without overflow")
    return finish(rng.permutation(n).astype(dtype), requires_grad)


def normal(mean: Any = 0.0, std: Any = 1.0, size: Any = None, *, generator: Any = None, dtype: Any = None,
           device: Any = None, requires_grad: bool = False) -> Any:
    """mean + std * (standard normal numbers); of tensors, which broadcast, or of two numbers and a size.

    >>> tn.normal(tn.tensor([1., 2.]), 0.)
    tensor([1., 2.])
    """
    tensors = [raw(x) for x in (mean, std) if isinstance(x, Variable)]
    together("normal", tensors)
    rng = stream(generator, device_of(tensors[0]) if tensors else device)
    if (size is None) != bool(tensors):
        raise TypeError("normal() takes mean and std, one of them a tensor at least, or numbers and a size")
    mean, std = raw(mean), raw(std)
    _check_std(std)
    for a in tensors:
        _drawn("normal", a.dtype)
    dtype = np.result_type(*[a.dtype for a in tensors]) if tensors else float_or(dtype)
    shape = broadcast_shape("normal", [a.shape for a in tensors]) if tensors else size_of("normal", (size,))
    out = mean + std * _gaussian(rng, shape, dtype)
    return finish(out.astype(dtype, copy=False), requires_grad)


def bernoulli(input: Any, p: float | None = None, *, generator: Any = None) -> Any:
    """1 with the probability that input holds (or with probability p), else 0; of input's shape and dtype.

    >>> tn.bernoulli(tn.tensor([0., 1., 1.]))
    tensor([0., 1., 1.])
    """
    a = array_of("bernoulli", input)
    if p is None:
        _drawn("bernoulli", a.dtype)
    return wrap(_happens(stream(generator, device_of(a)), a if p is None else p, a.shape).astype(a.dtype))


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
    bad, void = ~((p >= 0) & (p < math.inf)), ~(p > 0).any(-1)
    for wrong, what in ((bad, "probability tensor contains either `inf`, `nan` or element < 0"),
                        (void, "invalid multinomial distribution (sum of probabilities <= 0)")):
        if late.found(wrong, RuntimeError, what):
            raise RuntimeError(what)
    xp, rng = backend(p), stream(generator, device_of(p))
    if not replacement:  # clocks of rate p: in the order in which they ring (Efraimidis and Spirakis 2006)
        with np.errstate(divide="ignore"):
            rings = rng.standard_exponential(p.shape) / p
        return wrap(xp.argsort(rings, axis=-1)[..., :num_samples].copy())
    edges = p.cumsum(-1, dtype=np.float64)  # of intervals as long as the probabilities, where points fall
    edges /= edges[..., -1:]
    points = rng.random((*p.shape[:-1], num_samples))
    rows = zip(edges.reshape(-1, p.shape[-1]), points.reshape(-1, num_samples), strict=True)
    found = [xp.searchsorted(e, x, "right") for e, x in rows]
    return wrap((xp.stack(found) if found else xp.zeros(0, int64)).astype(int64).reshape(points.shape))


# ---- into a tensor that is there
def _fill(t: Any, values: Array) -> Any:
    return write(t, wrap(values.astype(t.dtype, copy=False)))


def normal_(t: Any, mean: float = 0, std: float = 1, *, generator: Any = None) -> Any:
    """Fill with normal numbers of this mean and standard deviation.

    >>> tn.zeros(2).normal_(5, 0)
    tensor([5., 5.])
    """
    _check_std(std)
    return _fill(t, mean + std * _gaussian(stream(generator, t.device), t.shape, t.dtype))


def uniform_(t: Any, from_: float = 0, to: float = 1, *, generator: Any = None) -> Any:
    """Fill with numbers uniform in [from_, to).

    >>> tn.zeros(2).uniform_(3, 3)
    tensor([3., 3.])
    """
    if not np.isfinite([from_, to]).all():
        raise RuntimeError(f"uniform_: from={from_:g} or to={to:g} is out of bounds for {name(t.dtype)}")
    if from_ > to:
        raise RuntimeError(f"uniform_ expects to return a [from, to) range, but found {from_:g} > {to:g}")
    return _fill(t, from_ + (to - from_) * _uniform(stream(generator, t.device), t.shape, t.dtype))


def bernoulli_(t: Any, p: Any = 0.5, *, generator: Any = None) -> Any:
    """Fill with 1 with probability p (a number, or a tensor that broadcasts to t), else 0.

    >>> tn.zeros(2).bernoulli_(1.)
    tensor([1., 1.])
    """
    with no_grad():
        chances = raw(expand(p, shape=t.shape)) if isinstance(p, Variable) else p
    return _fill(t, _happens(stream(generator, t.device), chances, t.shape))


def random_(t: Any, from_: int | None = None, to: int | None = None, *, generator: Any = None) -> Any:
    """Fill with whole numbers in [from_, to): random_(from_, to), random_(to), or from 0 to the dtype's last.

    >>> tn.zeros(2).random_(7, 8)
    tensor([7., 7.])
    """
    low, high = (0, from_) if to is None else (0 if from_ is None else from_, to)
    high = _range(t.dtype)[1] + 1 if high is None else high
    low, high = whole("random_(): argument 'from'", low), whole("random_(): argument 'to'", high)
    return _fill(t, _integers(stream(generator, t.device), low, high, t.shape, t.dtype))


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
    rng = stream(generator, t.device)
    return _fill(t, rng.standard_exponential(t.shape, dtype=_drawn("", t.dtype)) / lambd)


def get_rng_state() -> Any:
    """Where the default stream stands, as a uint8 tensor of 48 bytes.

    >>> tn.get_rng_state().shape
    (48,)
    """
    return wrap(default_generator.get_state())


def set_rng_state(new_state: Any) -> None:
    """Continue the default stream from where get_rng_state() was called. TypeError or RuntimeError for anything else.

    >>> state = tn.get_rng_state()
    >>> x = tn.rand(3)
    >>> tn.set_rng_state(state)
    >>> tn.equal(x, tn.rand(3))
    True
    """
    default_generator.set_state(raw(new_state))
