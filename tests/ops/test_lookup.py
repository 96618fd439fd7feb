"""Looking up rows, without another library: what is left alone, what the gradient of the gradient is."""

from __future__ import annotations

import numpy as np
import pytest

import tinynet as tn
import tinynet.nn.functional as F
from tinynet.testing import assert_close


def test_a_share_is_the_same_in_the_gradient_and_in_its_derivative():
    """Row 2 is looked up three times and so moved by thirds; row 0 is the padding."""
    words = tn.tensor([2, 0, 2, 1, 2])
    weight, g = tn.zeros(3, 1, requires_grad=True), tn.ones(5, 1, requires_grad=True)
    out = F.embedding(words, weight, padding_idx=0, scale_grad_by_freq=True)
    (first,) = tn.autograd.grad(out, weight, g, create_graph=True)
    assert_close(first, tn.tensor([[0.0], [1.0], [1.0]]))
    (second,) = tn.autograd.grad(first, g, tn.tensor([[5.0], [7.0], [9.0]]))
    assert_close(second, tn.tensor([[3.0], [0.0], [3.0], [7.0], [3.0]]))


def test_max_norm_touches_only_the_long_rows_looked_up():
    start = np.array([[3.0, 4.0], [3.0, 4.0], [0.3, 0.4], [6.0, 8.0]])
    layer = tn.nn.Embedding(4, 2, max_norm=1.0, dtype=tn.float64)
    layer.load_state_dict({"weight": tn.tensor(start)})
    out = layer(tn.tensor([0, 2, 3, 0]))
    assert_close(out, tn.tensor([[0.6, 0.8], [0.3, 0.4], [0.6, 0.8], [0.6, 0.8]]).double(), rtol=1e-6, atol=0)
    assert layer.weight[1].tolist() == [3.0, 4.0] and layer.weight[2].tolist() == [0.3, 0.4]
    out.sum().backward()
    assert layer.weight.is_leaf and layer.weight.grad[0].tolist() == [2.0, 2.0]


def test_numbers_changed_before_backward_are_an_error():
    words, weight = tn.tensor([0, 1]), tn.zeros(3, 2, requires_grad=True)
    out = F.embedding(words, weight)
    words[0] = 2
    with pytest.raises(RuntimeError, match="modified by an inplace operation: embedding"):
        out.sum().backward()


def test_the_result_is_a_copy():
    weight = tn.ones(3, 2)
    for words in (tn.tensor(1), tn.tensor([1])):
        F.embedding(words, weight).zero_()
    assert tn.equal(weight, tn.ones(3, 2))


def test_the_padding_row_stays_where_it_is_in_training():
    tn.manual_seed(0)
    layer = tn.nn.Embedding(5, 3, padding_idx=0)
    optimizer = tn.optim.SGD(layer.parameters(), lr=0.1)
    layer(tn.tensor([0, 1, 1])).square().sum().backward()
    before = layer.weight.detach().clone()
    optimizer.step()
    assert not layer.weight[0].any() and tn.equal(layer.weight[2:], before[2:])
    assert_close(layer.weight[1], before[1] * 0.6)  # 1 - 0.1 * 2 * 2: it was looked up twice
