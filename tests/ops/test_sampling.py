"""Random numbers: that streams repeat, that the distributions are those promised, that NumPy's stream is let alone."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tinynet as tn

N = 20_000
FLOATS = ["float16", "float32", "float64"]


def within(values, mean, std, n=N):
    """The mean of n numbers is within five standard errors, and so is their variance (if their tails are tame)."""
    values = np.asarray(values, np.float64).reshape(-1)
    assert values.size == n
    assert abs(values.mean() - mean) <= 5 * std / math.sqrt(n)
    assert abs(values.std() - std) <= 5 * std * math.sqrt(3 / n)


def stream(seed=0):
    return tn.Generator().manual_seed(seed)


DRAWS = {
    "rand": lambda g: tn.rand(5, generator=g),
    "randn": lambda g: tn.randn(5, generator=g),
    "rand_like": lambda g: tn.rand_like(tn.zeros(5), generator=g),
    "randn_like": lambda g: tn.randn_like(tn.zeros(5), generator=g),
    "randint": lambda g: tn.randint(10**6, (5,), generator=g),
    "randperm": lambda g: tn.randperm(50, generator=g),
    "normal": lambda g: tn.normal(0.0, 1.0, (5,), generator=g),
    "bernoulli": lambda g: tn.bernoulli(tn.full((64,), 0.5), generator=g),
    "multinomial": lambda g: tn.multinomial(tn.ones(50), 40, generator=g),
    "multinomial again": lambda g: tn.multinomial(tn.ones(50), 40, True, generator=g),
    "normal_": lambda g: tn.zeros(5).normal_(generator=g),
    "uniform_": lambda g: tn.zeros(5).uniform_(generator=g),
    "bernoulli_": lambda g: tn.zeros(64).bernoulli_(generator=g),
    "random_": lambda g: tn.zeros(5).random_(generator=g),
    "exponential_": lambda g: tn.zeros(5).exponential_(generator=g),
}


@pytest.mark.parametrize("name", DRAWS)
def test_streams(name):
    """A seed gives the same numbers again, another seed others; the default stream follows manual_seed."""
    draw, before = DRAWS[name], np.random.get_state()
    g = stream(1)
    first, second = draw(g), draw(g)
    assert tn.equal(first, draw(stream(1)))
    assert not tn.equal(first, second)
    assert not tn.equal(first, draw(stream(2)))
    tn.manual_seed(1)
    assert tn.equal(first, draw(None))
    state = tn.get_rng_state()
    third = draw(None)
    tn.set_rng_state(state)
    assert tn.equal(third, draw(None))
    after = np.random.get_state()  # of NumPy's own stream
    assert before[2:] == after[2:] and np.array_equal(before[1], after[1])
    with pytest.raises(TypeError, match="generator"):
        draw(0)


@pytest.mark.parametrize("dtype", FLOATS)
def test_uniform(dtype):
    for x in (
        tn.rand(N, dtype=getattr(tn, dtype), generator=stream()),
        tn.empty(N, dtype=getattr(tn, dtype)).uniform_(generator=stream()),
    ):
        assert x.dtype == dtype
        assert x.min() >= 0 and x.max() < 1
        within(x, 0.5, math.sqrt(1 / 12))
    within(tn.empty(N).uniform_(-3, 5, generator=stream()), 1, 8 / math.sqrt(12))


@pytest.mark.parametrize("dtype", FLOATS)
def test_normal(dtype):
    d = getattr(tn, dtype)
    within(tn.randn(N, dtype=d, generator=stream()), 0, 1)
    within(tn.empty(N, dtype=d).normal_(3, 0.5, generator=stream()), 3, 0.5)
    within(tn.normal(3.0, 0.5, (N,), dtype=d, generator=stream()), 3, 0.5)
    mean, std = tn.tensor([[0.0], [10.0]], dtype=d), tn.tensor([1.0, 2.0] * (N // 2), dtype=d)
    x = tn.normal(mean, std, generator=stream())
    assert x.dtype == dtype and x.shape == (2, N)
    within(x[0, ::2], 0, 1, N // 2)
    within(x[1, 1::2], 10, 2, N // 2)


def test_float32_is_drawn_as_float32():
    """A float64 rounded would sometimes be 1, and cost twice."""
    expected = np.random.Generator(np.random.PCG64(0)).random(5, dtype=np.float32)
    assert np.array_equal(tn.rand(5, generator=stream()).numpy(), expected)


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64", "float32", "float16"])
def test_integers(dtype):
    x = tn.randint(2, 8, (N,), dtype=getattr(tn, dtype), generator=stream())
    assert x.dtype == dtype
    assert sorted(set(x.tolist())) == [2, 3, 4, 5, 6, 7]
    within(x, 4.5, math.sqrt(35 / 12))
    y = tn.zeros(N, dtype=getattr(tn, dtype)).random_(2, 8, generator=stream())
    assert tn.equal(x, y)


@pytest.mark.parametrize(("dtype", "greatest"), [("int8", 127), ("uint8", 255), ("bool", 1), ("float16", 2048)])
def test_random_without_bounds_uses_the_whole_range(dtype, greatest):
    x = tn.zeros(N, dtype=getattr(tn, dtype)).random_(generator=stream())
    assert (x.min(), x.max()) == (0, greatest)
    assert tn.zeros(99, dtype=tn.int64).random_(generator=stream()).max() > 2**61


def test_randint_forms():
    forms = [
        tn.randint(9, (4,), generator=stream()),
        tn.randint(0, 9, (4,), generator=stream()),
        tn.randint(9, size=(4,), generator=stream()),
        tn.randint(low=0, high=9, size=(4,), generator=stream()),
        tn.randint(high=9, size=[4], generator=stream()),
        tn.randint(0, 9, size=(4,), generator=stream()),
    ]
    assert all(tn.equal(x, forms[0]) for x in forms)


def test_randperm_is_a_permutation():
    assert sorted(tn.randperm(100, generator=stream()).tolist()) == [*range(100)]
    firsts = [tn.randperm(5, generator=g)[0].item() for g in [stream()] for _ in range(2000)]
    within(firsts, 2, math.sqrt(2), 2000)


def test_bernoulli():
    p = tn.tensor([0.0, 0.25, 1.0]).reshape(3, 1).expand(3, N)
    for x in (tn.bernoulli(p, generator=stream()), tn.empty(3, N).bernoulli_(p[:, :1], generator=stream())):
        assert not x[0].any() and x[2].all()
        within(x[1], 0.25, math.sqrt(0.25 * 0.75))
    within(tn.empty(N).bernoulli_(0.9, generator=stream()), 0.9, 0.3)
    with pytest.raises(RuntimeError, match=r"to be in \[0, 1\], but got p=1.5"):
        tn.bernoulli(tn.tensor([0.5, 1.5]))


def test_exponential():
    x = tn.empty(N).exponential_(4, generator=stream())
    assert x.min() >= 0
    assert abs(x.mean().item() - 0.25) < 5 * 0.25 / math.sqrt(N)
    assert abs((x > 0.25).float().mean().item() - math.exp(-1)) < 5 * 0.5 / math.sqrt(N)


def test_multinomial_with_replacement():
    weights = tn.tensor([[1.0, 0.0, 3.0], [0.0, 5.0, 0.0]])
    x = tn.multinomial(weights, N, replacement=True, generator=stream())
    assert x.shape == (2, N) and x.dtype == tn.int64
    assert (x[1] == 1).all() and not (x[0] == 1).any()
    within(x[0] == 2, 0.75, math.sqrt(0.75 * 0.25))


def test_multinomial_without_replacement():
    """The first draw has the weights; the second those of what is left."""
    weights = tn.tensor([1.0, 2.0, 0.0, 5.0]).expand(N, 4)
    x = tn.multinomial(weights, 2, generator=stream())
    assert (x[:, 0] != x[:, 1]).all() and not (x == 2).any()
    for k, p in ((0, 1 / 8), (1, 2 / 8), (3, 5 / 8)):
        within(x[:, 0] == k, p, math.sqrt(p * (1 - p)))
    second = sum(first / 8 * 2 / (8 - first) for first in (1.0, 5.0))  # of element 1
    within(x[:, 1] == 1, second, math.sqrt(second * (1 - second)))
    assert sorted(tn.multinomial(tn.ones(6), 6).tolist()) == [*range(6)]


def test_multinomial_never_draws_the_impossible():
    weights = tn.tensor([0.0] * 3 + [1e-30] * 7 + [0.0] * 3)
    x = tn.multinomial(weights, N, replacement=True, generator=stream())
    assert x.min() >= 3 and x.max() < 10


def test_samples_are_leaves():
    assert tn.rand(2, requires_grad=True).is_leaf
    assert not tn.bernoulli(tn.full((2,), 0.5, requires_grad=True)).requires_grad
    with pytest.raises(RuntimeError, match="leaf"):
        tn.zeros(2, requires_grad=True).normal_()
    x = tn.ones(3, requires_grad=True)
    y = x * 2
    y[1:].uniform_()  # cuts the history of what it writes over
    y.sum().backward()
    assert x.grad.tolist() == [2, 0, 0]


def test_writing_over_what_was_saved_is_noticed():
    x = tn.ones(3, requires_grad=True)
    w = tn.ones(3)
    y = x * w
    w.normal_()
    with pytest.raises(RuntimeError, match="inplace"):
        y.sum().backward()
