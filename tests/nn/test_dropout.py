"""Dropout: how many are dropped, that the expectation stays, whole channels, modes, in place, errors."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinynet as tn
import tinynet.nn.functional as F
from tinynet.testing import assert_close, gradcheck, gradgradcheck

INF = float("inf")


@given(st.sampled_from([0.1, 0.5, 0.9]), st.integers(0, 2**32), st.sampled_from(["float16", "float32", "float64"]))
def test_a_share_p_is_dropped_and_the_rest_scaled(p, seed, dtype):
    tn.manual_seed(seed)
    y = tn.nn.Dropout(p)(tn.ones(100, 100, dtype=dtype)).numpy()
    kept = y != 0
    assert y.dtype == dtype
    np.testing.assert_allclose(y[kept].astype(float), 1 / (1 - p), rtol=1e-3)
    assert abs(kept.mean() - (1 - p)) < 6 * np.sqrt(p * (1 - p) / y.size)  # six standard deviations
    assert 0.05 < (kept.mean(0) > 1 - p).mean() < 0.95, "each element falls by itself"


def test_eval_and_p_0_and_p_1():
    x = tn.randn(3, 4)
    assert tn.equal(tn.nn.Dropout(0.5).eval()(x), x) and tn.equal(F.dropout(x, 0.0), x)
    assert F.dropout(x, 0.5, training=False) is x
    assert F.dropout(x, 1.0).tolist() == [[0.0] * 4] * 3
    x = tn.tensor([INF, 1.0])
    assert np.isnan(F.dropout(x, 1.0).numpy()[0])  # inf times 0, as in PyTorch


def test_the_mask_is_drawn_from_the_default_stream():
    x = tn.ones(50)
    first, again, other = (F.dropout(x) for seed in (0, 0, 1) if tn.manual_seed(seed))
    assert tn.equal(first, again) and not tn.equal(first, other)
    assert not tn.equal(F.dropout(x), F.dropout(x))


@pytest.mark.parametrize("f", [F.dropout, F.dropout2d])
def test_derivatives(f):
    x = tn.tensor(np.random.default_rng(0).standard_normal((2, 3, 2, 2)), requires_grad=True)

    def same_mask(x):
        tn.manual_seed(3)
        return f(x, 0.4).tanh()

    assert gradcheck(same_mask, x) and gradgradcheck(same_mask, x)


@pytest.mark.parametrize("shape", [(4, 8, 3, 5), (4, 8, 1, 1), (4, 8, 3)])
@pytest.mark.filterwarnings("ignore:dropout2d. Received a 3D input:UserWarning")
def test_whole_channels(shape):
    tn.manual_seed(0)
    y = tn.nn.Dropout2d(0.5)(tn.ones(shape)).numpy().reshape(32, -1)
    assert (y == y[:, :1]).all()
    assert set(np.unique(y)) == {0.0, 2.0}


def test_in_place():
    for layer in (tn.nn.Dropout(0.5, inplace=True), tn.nn.Dropout2d(0.5, inplace=True)):
        x = tn.ones(2, 8, 1, 1, requires_grad=True)
        y = x * 3
        z = layer(y)
        assert z is y
        z.sum().backward()
        assert_close(x.grad * 1, z.detach())
        assert layer.eval()(y) is y


def test_how_it_is_written():
    assert repr(tn.nn.Dropout(0.2)) == "Dropout(p=0.2, inplace=False)"
    assert repr(tn.nn.Dropout2d(inplace=True)) == "Dropout2d(p=0.5, inplace=True)"
    assert not tn.nn.Dropout().state_dict()


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_probabilities_outside_0_and_1(p):
    text = re.escape(f"dropout probability has to be between 0 and 1, but got {p}")
    for make in (
        tn.nn.Dropout,
        tn.nn.Dropout2d,
        lambda p: F.dropout(tn.ones(2), p),
        lambda p: F.dropout2d(tn.ones(2, 2, 1, 1), p),
    ):
        with pytest.raises(ValueError, match=text):
            make(p)


def test_errors_and_warnings():
    with pytest.raises(RuntimeError, match="can't be cast to the desired output type int64"):
        F.dropout(tn.tensor([1, 2]))
    with pytest.raises(TypeError, match="must be Tensor, not list"):
        F.dropout([1.0])
    with pytest.warns(UserWarning, match="Received a 2-D input"):
        F.dropout2d(tn.ones(2, 3))
    with pytest.warns(UserWarning, match="Received a 3D input"):
        F.dropout2d(tn.ones(2, 3, 4))
    with pytest.warns(UserWarning, match="Received a 1-D"), pytest.raises(RuntimeError, match="at least 2 dim"):
        F.dropout2d(tn.ones(2))
