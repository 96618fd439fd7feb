"""Recurrent layers by themselves: what they promise that needs no other library to check."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import tinynet as tn
from tinynet.testing import assert_close

LAYERS = ["RNN", "LSTM", "GRU"]


def first(state):
    return state[0] if isinstance(state, tuple) else state


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_its_cell_in_a_loop(name):
    layer, cell = getattr(tn.nn, name)(2, 3), getattr(tn.nn, f"{name}Cell")(2, 3)
    cell.load_state_dict({what.removesuffix("_l0"): w for what, w in layer.state_dict().items()})
    x, state, outs = tn.randn(5, 4, 2), None, []
    for step in x:
        state = cell(step, state)
        outs.append(first(state))
    output, last = layer(x)
    assert_close(output, tn.stack(outs))
    assert_close(first(last)[0], first(state))


@pytest.mark.parametrize("name", LAYERS)
def test_a_sequence_in_two_parts(name):
    layer = getattr(tn.nn, name)(2, 3, num_layers=2, batch_first=True)
    x = tn.randn(4, 6, 2)
    whole, last = layer(x)
    one, state = layer(x[:, :2])
    two, end = layer(x[:, 2:], state)
    assert_close(tn.cat([one, two], 1), whole)
    assert_close(first(end), first(last))


@pytest.mark.parametrize("name", LAYERS)
def test_the_second_direction_reads_backwards(name):
    layer = getattr(tn.nn, name)(2, 3, bidirectional=True)
    turned = getattr(tn.nn, name)(2, 3)
    weights = {what.removesuffix("_reverse"): w for what, w in layer.state_dict().items() if "reverse" in what}
    turned.load_state_dict(weights)
    x = tn.randn(5, 4, 2)
    (output, last), (expected, end) = layer(x), turned(x.flip(0))
    assert_close(output[..., 3:], expected.flip(0))
    assert_close(first(last)[1], first(end)[0])


@pytest.mark.parametrize("name", LAYERS)
def test_a_batch_is_its_sequences(name):
    layer = getattr(tn.nn, name)(2, 3, bidirectional=True, batch_first=True)
    x = tn.randn(4, 5, 2)
    output, last = layer(x)
    for k in range(4):
        alone, end = layer(x[k])
        assert_close(alone, output[k])
        assert_close(first(end), first(last)[:, k])


def test_dropout_drops_a_share_and_scales_the_rest():
    layer = tn.nn.RNN(1, 400, 2, "relu", bias=False, dropout=0.25)
    with tn.no_grad():
        for name, w in layer.named_parameters():
            w.copy_(tn.eye(400) if name == "weight_ih_l1" else tn.ones(400, 1) if name == "weight_ih_l0" else 0 * w)
    output = layer(tn.ones(1, 50, 1))[0]
    assert set(np.unique(output.detach().numpy())) == {np.float32(0), np.float32(1) / np.float32(0.75)}
    assert abs((output == 0).float().mean().item() - 0.25) < 0.02
    assert tn.equal(layer.eval()(tn.ones(1, 50, 1))[0], tn.ones(1, 50, 400))


def test_dropout_of_a_single_layer_warns_at_the_line_that_asks_for_it():
    for name in LAYERS:
        with pytest.warns(UserWarning, match="dropout=0.5 and num_layers=1") as caught:
            getattr(tn.nn, name)(2, 3, dropout=0.5)
        assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tn.nn.GRU(2, 3, 2, dropout=0.5)


def test_projections_are_refused():
    with pytest.raises(NotImplementedError, match="proj_size=2: there are no projections"):
        tn.nn.LSTM(4, 3, proj_size=2)
    assert tn.nn.LSTM(4, 3, proj_size=0).proj_size == 0


def test_what_is_no_tensor_is_named():
    x, h = tn.zeros(5, 2, 4), tn.zeros(1, 2, 3)
    with pytest.raises(TypeError, match=r"GRU\(\): argument 'input' must be Tensor, not list"):
        tn.nn.GRU(4, 3)([1.0])
    with pytest.raises(TypeError, match=r"GRU\(\): argument 'hx' must be Tensor, not tuple"):
        tn.nn.GRU(4, 3)(x, (h, h))
    with pytest.raises(TypeError, match=r"LSTM\(\): argument 'hx' must be tuple of Tensors, \(h, c\), not Tensor"):
        tn.nn.LSTM(4, 3)(x, h)
    with pytest.raises(TypeError, match=r"argument 'hx\[1\]' must be Tensor, not NoneType"):
        tn.nn.LSTM(4, 3)(x, (h, None))
    with pytest.raises(RuntimeError, match=r"LSTM expects two hidden states, hx = \(h, c\), got 1"):
        tn.nn.LSTM(4, 3)(x, (h,))
    with pytest.raises(TypeError, match=r"RNNCell\(\): argument 'input' must be Tensor"):
        tn.nn.RNNCell(4, 3)(None)
    with pytest.raises(RuntimeError, match="hx and weight must have the same dtype"):
        tn.nn.LSTMCell(4, 3)(x[0], (h[0], h[0].double()))


def test_an_lstm_learns_to_remember():
    """The first number of a sequence, after others: the loss falls to a small part of what it was."""
    tn.manual_seed(0)
    layer, head = tn.nn.LSTM(1, 8), tn.nn.Linear(8, 1)
    layer.flatten_parameters()
    optimizer = tn.optim.Adam([*layer.parameters(), *head.parameters()], lr=0.05)
    losses = []
    for _ in range(250):
        x = tn.rand(5, 16, 1)
        loss = tn.nn.functional.mse_loss(head(layer(x)[0][-1]), x[0])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-10:]) < 0.1 * np.mean(losses[:10])
