"""The fused steps of LSTM and GRU beside the same written out in plain ops: values, and derivatives twice."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinynet as tn
from tinynet.ops.recurrent import gru_cell, lstm_cell
from tinynet.testing import assert_close


def plain_lstm(x, r, c):
    i, f, g, o = (x + r).chunk(4, -1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def plain_gru(x, r, h):
    (x_reset, x_update, x_new), (r_reset, r_update, r_new) = x.chunk(3, -1), r.chunk(3, -1)
    reset, update = (x_reset + r_reset).sigmoid(), (x_update + r_update).sigmoid()
    return (1 - update) * (x_new + reset * r_new).tanh() + update * h


def derivatives(step, arrays, seeds):
    """The results, their derivatives by x, r and the state, and those of these, with the given cotangents."""
    inputs = [tn.tensor(a, requires_grad=True) for a in arrays]
    out = step(*inputs)
    outs = [out] if isinstance(out, tn.Tensor) else [*out]
    firsts = tn.autograd.grad(outs, inputs, [tn.tensor(s) for s in seeds[: len(outs)]], create_graph=True)
    total = sum((g * tn.tensor(s)).sum() for g, s in zip(firsts, seeds[2:], strict=True))
    return outs, firsts, tn.autograd.grad(total, inputs)


@pytest.mark.parametrize(("fused", "plain", "gates"), [(lstm_cell, plain_lstm, 4), (gru_cell, plain_gru, 3)])
@given(seed=st.integers(0, 2**32 - 1), lead=st.lists(st.integers(0, 3), max_size=2), n=st.integers(1, 3))
def test_fused_steps_are_the_plain_ones(fused, plain, gates, seed, lead, n):
    rng = np.random.default_rng(seed)
    of_gates, of_state = (*lead, gates * n), (*lead, n)
    shapes = [of_gates, of_gates, of_state]
    arrays = [3 * rng.standard_normal(s) for s in shapes]
    seeds = [rng.standard_normal(s) for s in (of_state, of_state, *shapes)]
    for found, expected in zip(derivatives(fused, arrays, seeds), derivatives(plain, arrays, seeds), strict=True):
        assert len(found) == len(expected)
        for a, b in zip(found, expected, strict=True):
            assert_close(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("fused", "plain", "gates"), [(lstm_cell, plain_lstm, 4), (gru_cell, plain_gru, 3)])
def test_gates_shut_and_open_without_overflow(fused, plain, gates):
    x = tn.full((1, gates * 2), 1e4) * tn.tensor([1.0, -1.0] * gates)
    outs = [step(x, tn.zeros(1, gates * 2), tn.full((1, 2), 0.5)) for step in (fused, plain)]
    for a, b in zip(*[out if isinstance(out, tuple) else [out] for out in outs], strict=True):
        assert tn.isfinite(a).all() and a.dtype == tn.float32
        assert_close(a, b)


def test_the_arguments_are_left_alone():
    for step, gates in ((lstm_cell, 4), (gru_cell, 3)):
        arrays = [tn.randn(2, gates * 3), tn.randn(2, gates * 3), tn.randn(2, 3)]
        before = [a.clone() for a in arrays]
        step(*arrays)
        assert all(tn.equal(a, b) for a, b in zip(arrays, before, strict=True))
