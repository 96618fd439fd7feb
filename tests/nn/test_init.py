"""The starting values have the distributions their names promise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinynet as tn
from tinynet.nn import init

N = 20_000


def stream(seed=0):
    return tn.Generator().manual_seed(seed)


def looks_uniform(t, low, high):
    a = t.detach().numpy().ravel()
    assert a.min() >= low and a.max() <= high
    counts, _ = np.histogram(a, 10, (low, high))
    assert abs(counts - a.size / 10).max() < 6 * math.sqrt(a.size / 10)


def looks_normal(t, mean, std):
    a = t.detach().numpy().ravel()
    assert abs(a.mean() - mean) < 6 * std / math.sqrt(a.size)
    assert abs(a.std() / std - 1) < 6 / math.sqrt(2 * a.size)
    assert abs((np.abs(a - mean) < std).mean() - 0.6827) < 0.02


def test_uniform_and_normal():
    looks_uniform(init.uniform_(tn.empty(N), -2.0, 3.0, generator=stream()), -2.0, 3.0)
    looks_normal(init.normal_(tn.empty(N), 2.0, 0.5, generator=stream()), 2.0, 0.5)


@pytest.mark.parametrize("shape", [(100, 200), (40, 20, 5, 5)])
def test_scaled_by_the_fans(shape):
    fan_in, fan_out = shape[1] * math.prod(shape[2:]), shape[0] * math.prod(shape[2:])
    both = fan_in + fan_out
    bound = 2.0 * math.sqrt(6 / both)
    looks_uniform(init.xavier_uniform_(tn.empty(shape), 2.0, generator=stream()), -bound, bound)
    looks_normal(init.xavier_normal_(tn.empty(shape), 2.0, generator=stream()), 0, 2.0 * math.sqrt(2 / both))
    for mode, fan in (("fan_in", fan_in), ("fan_out", fan_out)):
        bound = math.sqrt(6 / fan)
        t = init.kaiming_uniform_(tn.empty(shape), mode=mode, nonlinearity="relu", generator=stream())
        looks_uniform(t, -bound, bound)
        t = init.kaiming_normal_(tn.empty(shape), mode=mode, nonlinearity="tanh", generator=stream())
        looks_normal(t, 0, 5 / 3 / math.sqrt(fan))


@given(st.floats(-3, 3), st.floats(0.2, 3), st.floats(-3, 3), st.floats(0.05, 6), st.integers(0, 100))
def test_truncated_normal(mean, std, a, width, seed):
    """Its mean is that of the normal density on [a, b], by numerical integration; nothing lies outside."""
    b = a + width
    if mean < a - 2 * std or mean > b + 2 * std:
        with pytest.warns(UserWarning, match="more than 2 std"):
            t = init.trunc_normal_(tn.empty(2000, dtype=tn.float64), mean, std, a, b, generator=stream(seed))
    else:
        t = init.trunc_normal_(tn.empty(2000, dtype=tn.float64), mean, std, a, b, generator=stream(seed))
    values = t.numpy()
    assert values.min() >= a and values.max() <= b
    x = np.linspace(a, b, 4001)
    density = np.exp(-(((x - mean) / std) ** 2) / 2 + ((np.clip(mean, a, b) - mean) / std) ** 2 / 2)
    density /= density.sum()
    expected = (x * density).sum()
    spread = math.sqrt(((x - expected) ** 2 * density).sum())
    assert abs(values.mean() - expected) < 6 * spread / math.sqrt(values.size) + 1e-9


@pytest.mark.parametrize("shape", [(4, 4), (3, 7), (7, 3), (2, 3, 2, 2), (6, 1)])
def test_orthogonal(shape):
    q = init.orthogonal_(tn.empty(shape, dtype=tn.float64), 2.0, generator=stream()).numpy().reshape(shape[0], -1)
    square = q @ q.T if q.shape[0] <= q.shape[1] else q.T @ q
    np.testing.assert_allclose(square, 4 * np.eye(len(square)), atol=1e-12)


def test_orthogonal_leans_to_no_side():
    corner = [init.orthogonal_(tn.empty(2, 2), generator=stream(seed))[0, 0].item() for seed in range(400)]
    assert abs(np.mean(corner)) < 6 * math.sqrt(0.5 / 400)


def test_constants():
    assert init.constant_(tn.empty(2), 0.5).tolist() == [0.5, 0.5]
    assert init.ones_(tn.empty(2)).tolist() == [1, 1]
    assert init.zeros_(tn.ones(2)).tolist() == [0, 0]
    assert init.eye_(tn.empty(2, 3)).tolist() == [[1, 0, 0], [0, 1, 0]]


def test_gains():
    assert init.calculate_gain("relu") == math.sqrt(2)
    assert init.calculate_gain("leaky_relu", 1) == 1
    assert init.calculate_gain("leaky_relu") == math.sqrt(2 / (1 + 0.01**2))
    assert (init.calculate_gain("conv2d"), init.calculate_gain("tanh"), init.calculate_gain("selu")) == (1, 5 / 3, 0.75)


def test_a_generator_repeats_and_the_default_stream_is_left_alone():
    for fill in (
        init.uniform_,
        init.normal_,
        init.xavier_normal_,
        init.kaiming_uniform_,
        init.trunc_normal_,
        init.orthogonal_,
    ):
        before = tn.get_rng_state()
        first, again, other = (fill(tn.empty(3, 4), generator=stream(seed)) for seed in (5, 5, 6))
        assert tn.equal(first, again) and not tn.equal(first, other)
        assert tn.equal(tn.as_tensor(before), tn.as_tensor(tn.get_rng_state()))


@pytest.mark.parametrize(
    "fill", [init.uniform_, init.normal_, init.ones_, init.zeros_, init.eye_, init.trunc_normal_, init.orthogonal_]
)
def test_writes_are_counted_and_not_recorded(fill):
    w = tn.ones(2, 2, requires_grad=True)
    loss = (w * w).sum()
    assert fill(w) is w and w.is_leaf and w.requires_grad
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_nothing_to_initialise():
    for fill in (init.kaiming_uniform_, init.kaiming_normal_):
        with pytest.warns(UserWarning, match="no-op"):
            assert fill(tn.empty(0, 3)).shape == (0, 3)
    assert init.orthogonal_(tn.empty(0, 3)).shape == (0, 3)
    with pytest.warns(UserWarning, match="no-op"):
        assert tn.nn.Linear(0, 3).bias.detach().tolist() == [0, 0, 0]
