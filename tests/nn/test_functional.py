"""The functions of tn.nn.functional that are no op of their own: linear."""

from __future__ import annotations

import re

import numpy as np
import pytest

import tinynet as tn
import tinynet.nn.functional as F
from tinynet.testing import assert_close, gradcheck, gradgradcheck


def test_linear():
    x, w, b = (tn.randn(shape, dtype=tn.float64) for shape in ((2, 4, 3), (5, 3), (5,)))
    y = F.linear(x, w, b)
    assert_close(y, tn.tensor(x.numpy() @ w.numpy().T + b.numpy()))
    assert_close(F.linear(x[0], w, b), y[0])
    assert_close(F.linear(x[0, 0], w, b), y[0, 0])
    assert_close(F.linear(x, w[0], b[0]), y[..., 0])
    assert F.linear(x[:0], w).shape == (0, 4, 5)


@pytest.mark.parametrize("lead", [(), (2,), (2, 2)])
def test_derivatives_of_linear(lead):
    rng = np.random.default_rng(0)
    shapes = ((*lead, 3), (2, 3), (2,))
    inputs = [tn.tensor(rng.standard_normal(shape), requires_grad=True) for shape in shapes]
    assert gradcheck(F.linear, inputs)
    assert gradgradcheck(F.linear, inputs)


def test_errors_of_linear():
    w = tn.zeros(10, 128)
    with pytest.raises(RuntimeError, match=re.escape("linear 128→10: expected (…, 128), got (64, 120). The")):
        F.linear(tn.zeros(64, 120), w)
    with pytest.raises(RuntimeError, match="weight must have the same dtype, but got float64 and float32"):
        F.linear(tn.zeros(64, 128, dtype=tn.float64), w)
    with pytest.raises(RuntimeError, match=re.escape("expected a bias of shape (10,), got (4,)")):
        F.linear(tn.zeros(64, 128), w, tn.zeros(4))
    with pytest.raises(RuntimeError, match=re.escape("got () and (10, 128)")):
        F.linear(tn.tensor(1.0), w)
    with pytest.raises(RuntimeError, match=re.escape("weight (out, in)")):
        F.linear(tn.zeros(64, 128), tn.zeros(2, 10, 128))


@pytest.mark.parametrize("backend", ["reference", "numba"])
@pytest.mark.parametrize("n", [7, 49, 100, 769])
def test_rows_of_one_number_are_normalized_to_nothing(n, backend):
    """Their mean is that number to the last digit: what is left over would be magnified by 1 / √eps."""
    x = tn.full((3, n), 12345.0)
    with tn.use_kernels(backend):
        assert not F.layer_norm(x, (n,)).any()
