"""Recurrent layers and cells beside PyTorch's: every constructor argument, with and without a first state, batches and
single sequences: outputs, last states, and derivatives twice."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

import tinynet as tn

torch = pytest.importorskip("torch")

SEEDS = st.integers(0, 2**32 - 1)
SIZES = st.integers(1, 3)
BOOL = st.booleans()
KINDS = st.sampled_from(["tanh", "relu"])
LAYERS = ["RNN", "LSTM", "GRU"]


def in_one(nn, layer, pair):
    """The layer, as a module of tensors (input, h, c) whose result is everything it returns, in one vector."""

    class InOne(nn.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer

        def forward(self, input, *state):
            out = self.layer(input, state) if pair and state else self.layer(input, *state)
            return nn.cat([t.reshape(-1) for t in flat(out)])

    return InOne()


def flat(out):
    return [t for part in out for t in flat(part)] if isinstance(out, tuple) else [out]


def both(build, pair):
    return [in_one(nn, build(nn.nn), pair) for nn in (tn, torch)]


@pytest.mark.parametrize("name", LAYERS)
@drawn(SEEDS, SIZES, SIZES, st.integers(1, 2), BOOL, BOOL, BOOL, BOOL, BOOL, KINDS, st.data())
def test_layers(agree, name, seed, into, hidden, layers, bias, batch_first, two_ways, batched, given, kind, data):
    rng, length, batch = np.random.default_rng(seed), data.draw(SIZES), data.draw(st.integers(0, 2))
    options = {"num_layers": layers, "bias": bias, "batch_first": batch_first, "bidirectional": two_ways}
    options |= {"nonlinearity": kind} if name == "RNN" else {}
    pair = both(lambda nn: getattr(nn, name)(into, hidden, **options), name == "LSTM")
    shape = ((batch, length) if batch_first else (length, batch)) if batched else (length,)
    states = [(layers * (1 + two_ways), *[batch] * batched, hidden)] * (1 + (name == "LSTM"))
    inputs = [rng.standard_normal(s) for s in ((*shape, into), *(states if given else ()))]
    agree(*pair, rng, *inputs)


@pytest.mark.parametrize("name", LAYERS)
@drawn(SEEDS, SIZES, SIZES, BOOL, BOOL, BOOL, KINDS, st.integers(0, 2))
def test_cells(agree, name, seed, into, hidden, bias, batched, given, kind, batch):
    rng = np.random.default_rng(seed)
    options = {"bias": bias} | ({"nonlinearity": kind} if name == "RNN" else {})
    pair = both(lambda nn: getattr(nn, f"{name}Cell")(into, hidden, **options), name == "LSTM")
    lead = (batch,) * batched
    states = [(*lead, hidden)] * (1 + (name == "LSTM")) if given else []
    agree(*pair, rng, *(rng.standard_normal(s) for s in ((*lead, into), *states)))


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("size", [{"batch_first": True}, {}])
def test_shapes_of_the_results(name, size):
    for shape in ((4, 3, 2), (4, 2)):
        build = [getattr(nn.nn, name)(2, 5, 2, bidirectional=True, **size) for nn in (tn, torch)]
        ours, theirs = build[0](tn.zeros(shape)), build[1](torch.zeros(shape))
        assert [t.shape for t in flat(ours)] == [tuple(t.shape) for t in flat(theirs)]
        assert type(ours[1]) is (tuple if name == "LSTM" else tn.Tensor)


@pytest.mark.parametrize("name", LAYERS)
def test_dropout_between_layers(name):
    """All dropped: the second layer sees zeros. In eval nothing is dropped."""
    found = []
    for nn in (tn, torch):
        layer = getattr(nn.nn, name)(2, 3, 2, dropout=1.0, dtype=nn.float64)
        found.append(layer)
    state = {what: tn.tensor(t.numpy()) for what, t in found[1].state_dict().items()}
    found[0].load_state_dict(state)
    x = np.random.default_rng(0).standard_normal((4, 2, 2))
    for mode in (True, False):
        results = [flat(layer.train(mode)(nn.tensor(x))) for nn, layer in zip((tn, torch), found, strict=True)]
        for a, b in zip(*results, strict=True):
            np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-10)


@pytest.mark.parametrize("name", LAYERS)
def test_float32_and_weights_in_order(name):
    ours, theirs = (getattr(nn.nn, name)(3, 4, 2, bidirectional=True) for nn in (tn, torch))
    shapes = [[(k, tuple(v.shape)) for k, v in layer.state_dict().items()] for layer in (ours, theirs)]
    assert shapes[0] == shapes[1]
    shapes = [[tuple(w.shape) for ws in layer.all_weights for w in ws] for layer in (ours, theirs)]
    assert shapes[0] == shapes[1]
    ours.load_state_dict({k: tn.tensor(v.numpy()) for k, v in theirs.state_dict().items()})
    x = np.random.default_rng(0).standard_normal((5, 2, 3)).astype("float32")
    for a, b in zip(flat(ours(tn.tensor(x))), flat(theirs(torch.tensor(x))), strict=True):
        assert a.dtype == tn.float32
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-5, atol=1e-6)


TEXTS = ["RNN(4, 3)", "RNN(4, 3, 2, 'relu', False, True, 0.5, True)", "LSTM(4, 3, 2, dropout=1)",
         "GRU(4, 3, bias=False)", "LSTM(4, 3, 1, True, True)", "GRU(4, 3, bidirectional=True)", "RNNCell(4, 3)",
         "RNNCell(4, 3, False, 'relu')",
         "LSTMCell(4, 3, bias=False)", "GRUCell(4, 3)"]


@pytest.mark.parametrize("text", TEXTS)
def test_repr(text):
    ours, theirs = (eval(f"nn.{text}", {"nn": nn.nn}) for nn in (tn, torch))
    assert repr(ours) == repr(theirs)
    assert [*ours.state_dict()] == [*theirs.state_dict()]


@pytest.mark.parametrize("text", ["RNN(4, 9)", "LSTM(4, 9, 2, bidirectional=True)", "GRUCell(4, 9)"])
def test_weights_start_uniform(text):
    """Between -1/3 and 1/3, and with the moments of that."""
    values = tn.cat([p.reshape(-1) for k in range(40) for p in eval(f"tn.nn.{text}").parameters()]).detach()
    assert values.abs().max() <= 1 / 3 and abs(values.mean()) < 0.01
    np.testing.assert_allclose(values.var().item(), (2 / 3) ** 2 / 12, rtol=0.05)


Z = "nn.zeros"
LSTM, CELL = f"nn.LSTM(4, 3)({Z}(5, 2, 4), ", f"nn.LSTMCell(4, 3)({Z}(2, 4), "
BAD = [  # what is wrong, and words of our message
    ("nn.RNN(4, 0)", "hidden_size must be greater than zero, got 0"),
    ("nn.GRU(0, 4)", "input_size must be greater than zero, got 0"),
    ("nn.LSTM(4, 4, 0)", "num_layers must be greater than zero, got 0"),
    ("nn.LSTM(4, 4, -1)", "num_layers must be greater than zero, got -1"),
    ("nn.LSTM(4.0, 4)", "input_size should be of type int, got: float"),
    ("nn.LSTM(4, 4.0)", "hidden_size should be of type int, got: float"),
    ("nn.LSTM(4, 4, 1.5)", "num_layers should be of type int, got: float"),
    ("nn.GRU(4, 4, dropout=1.5)", "in range [0, 1] representing the probability of an element being zeroed, got 1.5"),
    ("nn.GRU(4, 4, dropout=True)", "dropout should be a number in range [0, 1]"),
    ("nn.GRU(4, 4, dropout='a')", "got 'a'"),
    ("nn.RNN(4, 4, bias=1)", "bias should be of type bool, got: int"),
    ("nn.RNN(4, 4, batch_first=1)", "batch_first should be of type bool, got: int"),
    ("nn.RNN(4, 3, 1, 'sin')", "Unknown nonlinearity 'sin'. Select from 'tanh' or 'relu'"),
    ("nn.LSTM(4, 3, proj_size=-1)", "proj_size has to be from 0 to hidden_size - 1 = 2, got -1"),
    ("nn.LSTM(4, 3, proj_size=3)", "proj_size has to be from 0 to hidden_size - 1 = 2, got 3"),
    (f"nn.LSTM(4, 3)({Z}(4))", "LSTM: Expected input to be 2D or 3D, got 1D instead: expected (L, N, 4)"),
    (f"nn.RNN(4, 3, batch_first=True)({Z}(1, 1, 1, 4))", "got 4D instead: expected (N, L, 4) or, unbatched, (L, 4)"),
    (f"nn.LSTM(4, 3)({Z}(2, 2, 5))", "input.size(-1) must be equal to input_size. Expected 4, got 5"),
    (f"nn.GRU(4, 3)({Z}(2, 2, 4).double())", "RNN input dtype (float64) does not match weight dtype (float32)"),
    (f"nn.GRU(4, 3)({Z}(2, 2, 4).long())", "RNN input dtype (int64)"),
    (f"nn.GRU(4, 3)({Z}(0, 2, 4))", "Expected sequence length to be larger than 0 in GRU, got (0, 2, 4)"),
    (f"nn.GRU(4, 3, batch_first=True)({Z}(2, 0, 4))", "got (2, 0, 4)"),
    (f"nn.RNN(4, 3)({Z}(5, 2, 4), {Z}(2, 2, 3))", "Expected hidden size (1, 2, 3) for an input (5, 2, 4), got hx of"),
    (f"nn.RNN(4, 3, batch_first=True)({Z}(5, 2, 4), {Z}(1, 2, 3))", "Expected hidden size (1, 5, 3)"),
    (f"nn.RNN(4, 3)({Z}(5, 2, 4), {Z}(2, 3))", "Expected hidden size (1, 2, 3)"),
    (f"nn.RNN(4, 3)({Z}(5, 4), {Z}(1, 1, 3))", "Expected hidden size (1, 3)"),
    (f"{LSTM}({Z}(1, 2, 3), {Z}(1, 2, 4)))", "got hx[1] of size (1, 2, 4)"),
    (f"{LSTM}({Z}(1, 2, 3),) * 3)", "LSTM expects two hidden states, hx = (h, c), got 3"),
    (f"nn.GRU(4, 3)({Z}(5, 2, 4), {Z}(1, 2, 3).double())", "hx and the weights must have"),
    (f"nn.RNNCell(4, 3)({Z}(2, 4), {Z}(2, 4))", "got 4, expected 3: hx must be (2, 3), got (2, 4)"),
    (f"nn.RNNCell(4, 3)({Z}(2, 4), {Z}(3, 3))", "for an input (2, 4) hx must be (2, 3), got (3, 3)"),
    (f"nn.GRUCell(4, 3)({Z}(2, 4), {Z}(3))", "hx must be (2, 3), got (3,)"),
    (f"nn.GRUCell(4, 3)({Z}(4), {Z}(1, 3))", "hx must be (3,), got (1, 3)"),
    (f"nn.GRUCell(4, 3)({Z}(2, 5))", "input has inconsistent input_size: got 5 expected 4"),
    (f"nn.LSTMCell(4, 3)({Z}(2, 2, 4))", "LSTMCell: Expected input to be 1D or 2D, got 3D instead"),
    (f"nn.RNNCell(4, 3)({Z}(2, 4), {Z}(1, 2, 3))", "Expected hidden0 to be 1D or 2D, got 3D"),
    (f"nn.RNNCell(4, 3)({Z}(2, 4).double())", "input and weight must have the same dtype, but got"),
    (f"nn.RNNCell(4, 3)({Z}(2, 4), {Z}(2, 3).double())", "hx and weight must have the same dtype"),
    (f"{CELL}({Z}(2, 3), {Z}(2, 4)))", "hidden1 has inconsistent hidden_size: got 4, expected 3"),
    (f"{CELL}({Z}(2, 3), {Z}(3, 3)))", "hidden1 batch size"),
    (f"{CELL}({Z}(2, 3),))", "LSTMCell expects two hidden states, hx = (h, c), got 1"),
    (f"{CELL}{Z}(2, 3))", "argument 'hx' must be tuple of Tensors, (h, c), not Tensor"),
    (f"nn.RNNCell(4, 3, True, 'sin')({Z}(2, 4))", "Unknown nonlinearity: 'sin'; there are 'tanh' and 'relu'"),
]


@pytest.mark.parametrize(("program", "text"), BAD)
def test_errors(program, text):
    ours, theirs = ({"nn": type("nn", (), {**vars(nn.nn), "zeros": nn.zeros})} for nn in (tn, torch))
    with pytest.raises(Exception) as expected:
        eval(program, theirs)
    with pytest.raises(type(expected.value), match=re.escape(text)):
        eval(program, ours)
