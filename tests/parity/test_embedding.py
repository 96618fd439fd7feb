"""Embedding, one_hot and Bilinear beside PyTorch's: every argument, values and derivatives, and what is refused."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinynet as tn

torch = pytest.importorskip("torch")

SEEDS = st.integers(0, 2**32 - 1)
SIZES = st.integers(1, 3)
BOOL = st.booleans()
NORMS = st.sampled_from([2.0, 1.0, 0.5, 0.0, math.inf])
SHAPES = st.lists(st.integers(0, 4), max_size=3)


@given(SEEDS, st.integers(1, 5), SIZES, SHAPES, NORMS, BOOL, st.sampled_from(["int64", "int32"]), st.data())
def test_embedding(seed, rows, columns, shape, norm_type, by_freq, dtype, data):
    """The weight, too: max_norm writes into it."""
    rng = np.random.default_rng(seed)
    options = {"padding_idx": data.draw(st.one_of(st.none(), st.integers(-rows, rows - 1)))}
    options |= {"max_norm": data.draw(st.sampled_from([None, 1.0])), "norm_type": norm_type}
    options |= {"scale_grad_by_freq": by_freq}
    ours, theirs = (nn.nn.Embedding(rows, columns, **options).double() for nn in (tn, torch))
    assert repr(ours) == repr(theirs)
    assert ours.load_state_dict({"weight": tn.tensor(theirs.weight.detach().numpy().copy())}) == ([], [])
    words = rng.integers(0, rows, shape).astype(dtype)
    g = rng.standard_normal((*shape, columns))
    out, expected = ours(tn.tensor(words)), theirs(torch.tensor(words))
    out.backward(tn.tensor(g))
    expected.backward(torch.tensor(g))
    for a, b in ((out, expected), (ours.weight, theirs.weight), (ours.weight.grad, theirs.weight.grad)):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-12, atol=1e-14)


@given(SEEDS, st.integers(1, 4), st.lists(SIZES, max_size=2), st.data())
def test_the_derivative_of_the_gradient(seed, rows, shape, data):
    """The gradient is linear in that of the output."""
    rng = np.random.default_rng(seed)
    padding_idx = data.draw(st.one_of(st.none(), st.integers(0, rows - 1)))
    words, g, u = rng.integers(0, rows, shape), rng.standard_normal((*shape, 2)), rng.standard_normal((rows, 2))
    found = []
    for nn in (tn, torch):
        weight, cotangent = nn.zeros((rows, 2), dtype=nn.float64, requires_grad=True), nn.tensor(g, requires_grad=True)
        out = nn.nn.functional.embedding(nn.tensor(words), weight, padding_idx)
        (first,) = nn.autograd.grad(out, weight, cotangent, create_graph=True)
        found.append(nn.autograd.grad(first, cotangent, nn.tensor(u))[0].numpy())
    np.testing.assert_allclose(*found, rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("by_freq", [True, False])
def test_narrow_dtypes(dtype, by_freq):
    rng = np.random.default_rng(0)
    words, weight, found = rng.integers(0, 5, (6, 7)), rng.standard_normal((5, 3)).astype(dtype), []
    for nn in (tn, torch):
        w = nn.tensor(weight, requires_grad=True)
        nn.nn.functional.embedding(nn.tensor(words), w, 1, scale_grad_by_freq=by_freq).sum().backward()
        found.append(w.grad.numpy())
    assert found[0].dtype == dtype
    np.testing.assert_allclose(*found, rtol=1e-2 if dtype == "float16" else 1e-6)


def test_from_pretrained():
    values = np.arange(6.0).reshape(3, 2)
    for freeze in (True, False):
        made = [nn.nn.Embedding.from_pretrained(nn.tensor(values), freeze, padding_idx=-1) for nn in (tn, torch)]
        ours, theirs = made
        assert repr(ours) == repr(theirs) and ours.padding_idx == theirs.padding_idx == 2
        assert ours.weight.requires_grad == theirs.weight.requires_grad == (not freeze)
        assert ours.weight.tolist() == theirs.weight.tolist() == values.tolist()  # row padding_idx is not cleared
        assert [*ours.state_dict()] == [*theirs.state_dict()]
    table = tn.tensor(values)
    assert np.shares_memory(tn.nn.Embedding.from_pretrained(table).weight.detach().numpy(), table.numpy())


def test_weights_start_normal():
    layer = tn.nn.Embedding(400, 50, padding_idx=3)
    values = layer.weight.detach().numpy()
    assert not values[3].any()
    assert abs(values.mean()) < 0.03 and abs(values[[0, 1, 2, *range(4, 400)]].std() - 1) < 0.03
    assert tn.nn.Embedding(3, 2, dtype=tn.float64).weight.dtype == tn.float64


@given(SEEDS, SHAPES, st.integers(1, 5), BOOL)
def test_one_hot(seed, shape, classes, infer):
    labels = np.random.default_rng(seed).integers(0, classes, shape)
    number = -1 if infer and labels.size else classes
    ours, theirs = (nn.nn.functional.one_hot(nn.tensor(labels), number) for nn in (tn, torch))
    assert ours.dtype == tn.int64 and ours.shape == tuple(theirs.shape) and ours.tolist() == theirs.tolist()


@given(SEEDS, SIZES, SIZES, SIZES, BOOL, st.lists(st.integers(0, 3), max_size=2))
def test_bilinear(agree, seed, first, second, out, bias, lead):
    rng = np.random.default_rng(seed)
    pair = [nn.nn.Bilinear(first, second, out, bias) for nn in (tn, torch)]
    agree(*pair, rng, rng.standard_normal((*lead, first)), rng.standard_normal((*lead, second)))


def test_bilinear_starts_uniform():
    values = tn.cat([p.reshape(-1) for p in tn.nn.Bilinear(9, 20, 30).parameters()]).detach()
    assert values.abs().max() <= 1 / 3 and abs(values.std().item() - 2 / 3 / math.sqrt(12)) < 0.01


BAD = [  # what is wrong, and words of our message
    ("F.embedding(T([4]), W)", "index out of range in self: input holds 4, but weight (4, 2) has the rows 0 to 3"),
    ("F.embedding(T([0, -1]), W)", "input holds -1"),
    ("F.embedding(T([1.0]), W)", "Long, Int; but got float32 instead: use input.long()"),
    ("F.embedding(T([True]), W)", "Long, Int; but got bool"),
    ("F.embedding(T([0]), W[0])", "'weight' must be 2-D, (rows, columns), but got (2,)"),
    ("F.embedding(W, T([0]))", "the numbers of rows are the first argument"),
    ("F.embedding(T([0]), W, 4)", "Padding_idx must be within num_embeddings: got 4 for 4 rows, expected -4 to 3"),
    ("F.embedding(T([0]), W, -5)", "got -5 for 4 rows"),
    ("F.embedding([0], W)", "embedding(): argument 'input' must be Tensor, not list"),
    ("F.embedding(T([0]), [[0.0]])", "argument 'weight' must be Tensor, not list"),
    ("F.embedding(T([4]), W, max_norm=1.0)", "index out of range"),
    ("nn.Embedding(4, 2, padding_idx=4)", "Padding_idx must be within num_embeddings: got 4"),
    ("nn.Embedding(4, 2, padding_idx=-5)", "Padding_idx must be within num_embeddings: got -5"),
    ("nn.Embedding(4, 2)(T([1, 7]))", "input holds 7"),
    ("nn.Embedding(-1, 2)", "num_embeddings must not be negative, got -1"),
    ("nn.Embedding(4, 2, _weight=Z(2, 4))", "embedding_dim: got (2, 4), expected (4, 2)"),
    ("nn.Embedding.from_pretrained(Z(2))", "Embeddings parameter is expected to be 2-dimensional, got (2,)"),
    ("F.one_hot(T([0, 2]), 2)", "Class values must be smaller than num_classes, but input holds 2 and num_classes=2"),
    ("F.one_hot(T([0, -2]))", "Class values must be non-negative, but input holds -2"),
    ("F.one_hot(T([0, 2]), -2)", "num_classes=-2"),
    ("F.one_hot(T([0.0]))", "one_hot is only applicable to index tensor of type LongTensor, got float32"),
    ("F.one_hot(T([]).long())", "Can not infer total number of classes from empty tensor"),
    ("F.one_hot([1])", "one_hot(): argument 'input' must be Tensor, not list"),
    ("F.one_hot(T([1]), 1.5)", "argument 'num_classes' must be int, not float"),
    ("F.bilinear(Z(2, 3), Z(3, 4), Z(5, 3, 4))", "input batch dimensions do not match at dim 0: got 2 and 3"),
    ("F.bilinear(Z(2, 3), Z(4), Z(5, 3, 4))", "input dimensions do not match: got 2 and 1"),
    ("F.bilinear(T(1.0), Z(4), Z(5, 3, 4))", "input dimensions do not match: got 0 and 1"),
    ("F.bilinear(Z(2, 2), Z(2, 4), Z(5, 3, 4))", "input1 size does not match weight size: got 2 but expected 3"),
    ("F.bilinear(Z(2, 3), Z(2, 2), Z(5, 3, 4))", "input2 size does not match weight size: got 2 but expected 4"),
    ("F.bilinear(Z(2, 3), Z(2, 4), Z(3, 4))", "expected a weight (out, in1, in2), got (3, 4)"),
    ("F.bilinear(Z(2, 3), Z(2, 4), Z(5, 3, 4), Z(4))", "bias size does not match weight size: got (4,) but"),
    ("F.bilinear(Z(2, 3), Z(2, 4).double(), Z(5, 3, 4))", "input1: float32, input2: float64, weight: float32"),
    ("F.bilinear(Z(2, 3), Z(2, 4), Z(5, 3, 4), Z(5).double())", "bias: float64"),
    ("F.bilinear([1.0], Z(2, 4), Z(5, 3, 4))", "bilinear(): argument 'input1' must be Tensor, not list"),
    ("nn.Bilinear(0, 2, 3)", "in1_features must be > 0, but got (in1_features=0)"),
    ("nn.Bilinear(2, 2, 3)(Z(4, 3), Z(4, 2))", "input1 size does not match"),
]


@pytest.mark.parametrize(("program", "text"), BAD)
def test_errors(program, text):
    ours, theirs = ({"nn": nn.nn, "F": nn.nn.functional, "T": nn.tensor, "Z": nn.zeros, "W": nn.zeros(4, 2)}
                    for nn in (tn, torch))
    with pytest.raises(Exception) as expected:
        eval(program, theirs)
    with pytest.raises(type(expected.value), match=re.escape(text)):
        eval(program, ours)


def test_sparse_gradients_are_refused():
    for refused in (lambda: tn.nn.Embedding(4, 2, sparse=True),
                    lambda: tn.nn.functional.embedding(tn.tensor([0]), tn.zeros(4, 2), sparse=True)):
        with pytest.raises(NotImplementedError, match="no sparse gradients; use sparse=False"):
            refused()
