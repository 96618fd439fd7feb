"""relu, softmax and log_softmax: extremes, dtypes, dims, and errors."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinynet as tn
import tinynet.nn.functional as F
from tinynet.testing import arrays, assert_close, shapes

NAN, INF = float("nan"), float("inf")


# ---- relu
def test_relu():
    x = tn.tensor([-1.0, -0.0, 0.0, 2.0, NAN, INF, -INF], requires_grad=True)
    y = tn.relu(x)
    assert_close(y, tn.tensor([0.0, 0.0, 0.0, 2.0, NAN, INF, 0.0]), equal_nan=True)
    y.backward(tn.full((7,), 3.0))
    assert x.grad.tolist() == [0, 0, 0, 3, 3, 3, 0]  # the slope at 0 is 0


def test_a_dead_relu_stops_even_an_infinite_gradient():
    x = tn.tensor([-1.0, 4.0], requires_grad=True)
    tn.relu(x).sqrt().sum().backward()  # sqrt is infinitely steep at 0
    assert_close(x.grad, tn.tensor([0.0, 0.25]))


def test_relu_in_place():
    x = tn.tensor([-1.0, 2.0], requires_grad=True)
    y = x * 3
    assert F.relu(y, inplace=True) is y
    y.sum().backward()
    assert_close(y, tn.tensor([0.0, 6.0]))
    assert_close(x.grad, tn.tensor([0.0, 3.0]))


def test_relu_of_other_dtypes():
    assert tn.relu(tn.tensor([-1, 2])).tolist() == [0, 2]
    with pytest.raises(RuntimeError, match="Boolean inputs not supported for relu"):
        tn.relu(tn.tensor([True]))


# ---- softmax
@given(shapes(max_dims=3), st.data())
def test_softmax_sums_to_one_and_log_softmax_is_its_logarithm(shape, data):
    x = tn.tensor(data.draw(arrays(shape)))
    dim = data.draw(st.integers(-x.ndim, x.ndim - 1)) if shape else 0
    p = tn.softmax(x, dim)
    assert_close(p.sum(dim), tn.ones_like(p.sum(dim)))
    assert_close(tn.log_softmax(x, dim), p.log())
    assert_close(p, x.softmax(dim=dim))
    assert_close(p.log(), x.log_softmax(dim))


def test_softmax_of_enormous_scores():
    x = tn.tensor([[1e4, 0.0], [-1e4, -1e4]], requires_grad=True)
    assert_close(tn.softmax(x, 1), tn.tensor([[1.0, 0.0], [0.5, 0.5]]))
    y = tn.log_softmax(x, 1)
    assert_close(y, tn.tensor([[0.0, -1e4], [-np.log(2)] * 2], dtype=tn.float32))
    y[:, 1].sum().backward()
    assert_close(x.grad, tn.tensor([[-1.0, 1.0], [-0.5, 0.5]]))


def test_softmax_of_infinite_scores():
    x = tn.tensor([[-INF, 0.0, 0.0], [-INF, -INF, -INF], [INF, 0.0, 0.0]], requires_grad=True)
    expected = tn.tensor([[0.0, 0.5, 0.5], [NAN] * 3, [NAN] * 3])
    assert_close(tn.softmax(x, 1), expected, equal_nan=True)
    assert_close(tn.log_softmax(x, 1), expected.log(), equal_nan=True)
    for function in (tn.softmax, tn.log_softmax):
        (g,) = tn.autograd.grad(function(x, 1)[0, 1], x)
        assert np.isfinite(g[0].numpy()).all()


def test_softmax_dtypes_and_dims():
    assert tn.softmax(tn.tensor(3.0), 0).shape == ()
    assert tn.log_softmax(tn.zeros(2, 0), 1).shape == (2, 0)
    assert tn.softmax(tn.arange(3), 0, dtype=tn.float64).dtype == tn.float64
    x = tn.zeros(2, dtype=tn.float16, requires_grad=True)
    y = tn.log_softmax(x, 0, tn.float32)
    y[0].backward()
    assert (y.dtype, x.grad.dtype) == (tn.float32, tn.float16)
    with pytest.raises(NotImplementedError, match="softmax is not implemented for int64: pass dtype"):
        tn.softmax(tn.arange(3), 0)
    with pytest.raises(IndexError, match=re.escape("expected to be in range of [-1, 0], but got 2")):
        tn.softmax(tn.zeros(3), 2)
    with pytest.raises(TypeError, match="must be Tensor, not list"):
        tn.softmax([1.0], 0)


def test_functional_softmax_chooses_a_dim_but_warns():
    for shape, dim in [((3,), 0), ((2, 3), 1), ((2, 3, 4), 0), ((2, 3, 4, 5), 1)]:
        x = tn.randn(shape)
        for name in ("softmax", "log_softmax"):
            with pytest.warns(UserWarning, match=f"Implicit dimension choice for {name} has been deprecated"):
                y = getattr(F, name)(x)
            assert_close(y, getattr(F, name)(x, dim))
