"""tinynet.nn.utils beside torch.nn.utils: clipping, vectors of parameters, pruning."""

from __future__ import annotations

import copy
import pickle
import warnings

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import tinynet as tn

torch = pytest.importorskip("torch")

LIBRARIES = (tn, torch)
SHAPES = st.lists(st.sampled_from([(3, 2), (4,), (), (1, 2, 2)]), min_size=1, max_size=4)
NORMS = st.sampled_from([1.0, 2.0, 3, 0.5, float("inf"), "inf", -1.0, 0.0])
BOUNDS = st.sampled_from([0.0, 0.1, 1, 5.0, float("inf")])
DTYPES = st.sampled_from(["float32", "float64"])


def with_gradients(seed, shapes, dtype="float64", absent=0.2):
    """The same parameters and gradients in both libraries; some parameters have none."""
    rng = np.random.default_rng(seed)
    ours, theirs = [], []
    for shape in shapes:
        value, g = (np.asarray(rng.standard_normal(shape), dtype) for _ in range(2))
        gone = rng.random() < absent
        for lib, params in ((tn, ours), (torch, theirs)):
            p = lib.tensor(value, requires_grad=True)
            p.grad = None if gone else lib.tensor(g)
            params.append(p)
    return ours, theirs


def equal_gradients(ours, theirs, rtol):
    for p, q in zip(ours, theirs, strict=True):
        assert (p.grad is None) == (q.grad is None)
        if p.grad is not None:
            assert p.grad.dtype == p.dtype
            np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=rtol, atol=0)


@given(st.integers(0, 2**32 - 1), SHAPES, BOUNDS, NORMS, DTYPES)
def test_clip_grad_norm(seed, shapes, max_norm, norm_type, dtype):
    ours, theirs = with_gradients(seed, shapes, dtype)
    before = [p.grad for p in ours]
    norms = [
        lib.nn.utils.clip_grad_norm_(params, max_norm, norm_type)
        for lib, params in zip(LIBRARIES, (ours, theirs), strict=True)
    ]
    rtol = 1e-12 if dtype == "float64" else 2e-6
    np.testing.assert_allclose(norms[0].numpy(), norms[1].numpy(), rtol=rtol)
    assert str(norms[1].dtype) == f"torch.{tn.dtypes.name(norms[0].dtype)}"
    assert not norms[0].requires_grad
    equal_gradients(ours, theirs, rtol)
    assert all(p.grad is g for p, g in zip(ours, before, strict=True))


@given(st.integers(0, 2**32 - 1), SHAPES, BOUNDS)
def test_clip_grad_value(seed, shapes, bound):
    ours, theirs = with_gradients(seed, shapes)
    before = [p.grad for p in ours]
    assume(any(g is not None for g in before))  # PyTorch stumbles where there is none
    assert tn.nn.utils.clip_grad_value_(iter(ours), bound) is None
    torch.nn.utils.clip_grad_value_(iter(theirs), bound)
    equal_gradients(ours, theirs, rtol=0)
    assert all(p.grad is g for p, g in zip(ours, before, strict=True))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_gradients_that_are_not_finite(bad):
    results = []
    for lib in LIBRARIES:
        w = lib.ones(3, requires_grad=True)
        w.grad = lib.tensor([1.0, bad, -2.0])
        with pytest.raises(RuntimeError) as info:
            lib.nn.utils.clip_grad_norm_(w, 1.0, error_if_nonfinite=True)
        assert w.grad.tolist()[0] == 1.0  # refused, and nothing changed
        norm = lib.nn.utils.clip_grad_norm_(w, 1.0)
        results.append((str(info.value), norm.tolist(), w.grad.tolist()))
    np.testing.assert_equal(*results)


def test_mixed_dtypes_and_nothing_to_clip():
    results = []
    for lib in LIBRARIES:
        a, b = lib.ones(3, requires_grad=True), lib.ones(2, dtype=lib.float16, requires_grad=True)
        a.grad, b.grad = lib.ones(3) * 3, lib.ones(2, dtype=lib.float16) * 4
        norm = lib.nn.utils.clip_grad_norm_([a, b], 1.0)
        clipped = a.grad.tolist(), b.grad.tolist()
        assert (a.grad.dtype, b.grad.dtype) == (lib.float32, lib.float16)
        nothing = lib.nn.utils.clip_grad_norm_([lib.ones(2, requires_grad=True)], 1.0)
        with pytest.warns(UserWarning, match="`parameters` is an empty generator, no gradient clipping will occur"):
            lib.nn.utils.clip_grad_norm_((p for p in ()), 1.0)
        results.append((norm.tolist(), clipped, nothing.tolist(), lib.nn.utils.clip_grad_norm_([], 1.0).tolist()))
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-6)
    for ours, theirs in zip(results[0][1], results[1][1], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3)
    assert results[0][2:] == results[1][2:]


# ---- one vector of all parameters
def test_vector_of_parameters():
    results = []
    for lib in LIBRARIES:
        model = lib.nn.Sequential(lib.nn.Linear(3, 2), lib.nn.Conv2d(1, 2, 2))
        utils, n = lib.nn.utils, sum(p.numel() for p in model.parameters())
        vector = lib.arange(n) * 0.5
        utils.vector_to_parameters(vector, model.parameters())
        out = utils.parameters_to_vector(model.parameters())
        assert out.tolist() == vector.tolist() and out.requires_grad
        (out * out).sum().backward()
        vector[0] = 100.0  # the parameters are views of it
        results.append(([p.tolist() for p in model.parameters()], [p.grad.tolist() for p in model.parameters()]))
        assert all(p.is_leaf and isinstance(p, lib.nn.Parameter) for p in model.parameters())
        with pytest.raises(TypeError, match=r"expected .*Tensor, but got"):
            utils.vector_to_parameters([1.0], model.parameters())
        with pytest.raises(RuntimeError):
            utils.vector_to_parameters(lib.ones(n - 1), model.parameters())
        with pytest.raises(ValueError):
            utils.parameters_to_vector([])
    assert results[0] == results[1]


# ---- pruning
def layers(weight, bias):
    """The same Linear layer in both libraries."""
    made = []
    for lib in LIBRARIES:
        layer = lib.nn.Linear(weight.shape[1], weight.shape[0])
        with lib.no_grad():
            layer.weight.copy_(lib.tensor(weight))
            layer.bias.copy_(lib.tensor(bias))
        made.append(layer)
    return made


def prune(lib):
    return lib.nn.utils.prune if lib is tn else pytest.importorskip("torch.nn.utils.prune")


def equal_layers(ours, theirs):
    a, b = ours.state_dict(), theirs.state_dict()
    assert [*a] == [*b]
    for key, value in a.items():
        np.testing.assert_array_equal(value.detach().numpy(), b[key].numpy(), err_msg=key)
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    assert [n for n, _ in ours.named_buffers()] == [n for n, _ in theirs.named_buffers()]
    np.testing.assert_array_equal(ours.weight.detach().numpy(), theirs.weight.detach().numpy())
    assert isinstance(ours.weight, tn.nn.Parameter) == isinstance(theirs.weight, torch.nn.Parameter)
    assert tn.nn.utils.prune.is_pruned(ours) == prune(torch).is_pruned(theirs)


WEIGHTS = arrays(np.float32, (3, 4), elements=st.floats(-4, 4, width=32), unique=True).filter(
    lambda w: len(np.unique(np.abs(w))) == w.size  # which of two equal elements goes first is nobody's promise
)
AMOUNTS = st.one_of(st.integers(0, 4), st.sampled_from([0.0, 0.1, 0.25, 0.5]))


@given(WEIGHTS, st.lists(AMOUNTS, min_size=1, max_size=3), st.booleans(), st.booleans())
def test_l1_pruning(weight, amounts, scored, permanent):
    bias = np.float32([1, -2, 3])
    pair = layers(weight, bias)
    scores = np.cos(weight * 50) if scored else None
    if scored and len(np.unique(np.abs(scores))) < scores.size:
        scores = None
    x = np.float32([[1, -1, 2, 0.5]])
    for amount in amounts:
        for lib, layer in zip(LIBRARIES, pair, strict=True):
            importance = None if scores is None else lib.tensor(scores)
            assert prune(lib).l1_unstructured(layer, "weight", amount, importance) is layer
        equal_layers(*pair)
    gradients = []
    for lib, layer in zip(LIBRARIES, pair, strict=True):
        out = layer(lib.tensor(x))
        (out * out).sum().backward()
        gradients.append((out.detach().numpy(), layer.weight_orig.grad.numpy(), layer.bias.grad.numpy()))
        with lib.no_grad():
            layer.weight_orig.copy_(layer.weight_orig + 1)  # as an optimizer would
        layer(lib.tensor(x))
    for a, b in zip(*gradients, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
    equal_layers(*pair)
    if permanent:
        originals = [layer.weight_orig for layer in pair]
        for lib, layer, original in zip(LIBRARIES, pair, originals, strict=True):
            assert prune(lib).remove(layer, "weight") is layer
            assert layer.weight is original
        equal_layers(*pair)
        np.testing.assert_allclose(
            *(layer(lib.tensor(x)).detach().numpy() for lib, layer in zip(LIBRARIES, pair, strict=True)), rtol=1e-5
        )


@given(st.integers(0, 2**32 - 1), AMOUNTS, AMOUNTS)
def test_random_pruning(seed, first, second):
    tn.manual_seed(seed)
    counts = []
    for lib in LIBRARIES:
        layer = lib.nn.Linear(5, 4)
        prune(lib).random_unstructured(layer, "weight", first)
        before = layer.weight_mask.tolist()
        prune(lib).random_unstructured(layer, "weight", second)
        after = layer.weight_mask.tolist()
        assert np.all(np.array(before) >= np.array(after))  # what is pruned stays so
        counts.append((np.sum(before), np.sum(after)))
    assert counts[0] == counts[1]


def test_random_pruning_is_random():
    tn.manual_seed(0)
    layer = [tn.nn.utils.prune.random_unstructured(tn.nn.Linear(8, 8), "weight", 0.5) for _ in range(40)]
    share = sum(m.weight_mask for m in layer) / 40
    assert share.min() > 0.1 and share.max() < 0.9


def test_weights_travel():
    """A pruned layer's state_dict loads into a pruned layer of the other library."""
    pair = layers(np.float32(np.arange(12).reshape(3, 4)), np.float32([1, 2, 3]))
    for lib, layer, amount in zip(LIBRARIES, pair, (3, 7), strict=True):
        prune(lib).l1_unstructured(layer, "weight", amount)
        prune(lib).l1_unstructured(layer, "bias", 1)
    pair[1].load_state_dict({k: torch.tensor(v.numpy()) for k, v in pair[0].state_dict().items()})
    outputs = [layer(lib.ones(1, 4)).tolist() for lib, layer in zip(LIBRARIES, pair, strict=True)]
    assert outputs[0] == outputs[1]
    assert prune(tn).is_pruned(tn.nn.Sequential(pair[0])) and not prune(tn).is_pruned(tn.nn.Sequential())
    prune(tn).remove(pair[0], "weight")
    assert prune(tn).is_pruned(pair[0])  # the bias is
    prune(tn).remove(pair[0], "bias")
    assert not prune(tn).is_pruned(pair[0])


def test_a_pruned_layer_is_copied_after_a_forward_without_gradients():
    layer = prune(tn).l1_unstructured(tn.nn.Linear(3, 2), "weight", 0.5)
    with tn.no_grad():
        layer(tn.ones(1, 3))
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        with tn.no_grad():
            twin.weight_orig.zero_()
        assert twin(tn.ones(1, 3)).tolist() == [layer.bias.tolist()]


BAD = {
    "amount as text": lambda lib, m: prune(lib).l1_unstructured(m, "weight", "all"),
    "negative": lambda lib, m: prune(lib).l1_unstructured(m, "weight", -1),
    "above 1": lambda lib, m: prune(lib).random_unstructured(m, "weight", 1.5),
    "below 0": lambda lib, m: prune(lib).random_unstructured(m, "weight", -0.5),
    "too many": lambda lib, m: prune(lib).l1_unstructured(m, "weight", 13),
    "not pruned": lambda lib, m: prune(lib).remove(m, "weight"),
    "no such parameter": lambda lib, m: prune(lib).l1_unstructured(m, "gain", 1),
    "scores": lambda lib, m: prune(lib).l1_unstructured(m, "weight", 1, lib.ones(2, 2)),
    "positional": lambda lib, m: prune(lib).random_unstructured(m, "weight"),
    "no bias": lambda lib, m: prune(lib).l1_unstructured(lib.nn.Linear(2, 2, bias=False), "bias", 1),
}


@pytest.mark.parametrize("name", BAD)
def test_errors(name):
    caught, pair = [], layers(np.float32(np.arange(12).reshape(3, 4)), np.float32([1, 2, 3]))
    for lib, layer in zip(LIBRARIES, pair, strict=True):
        with pytest.raises(Exception) as info:
            BAD[name](lib, layer)
        caught.append(info.value)
    assert type(caught[0]) is type(caught[1])
    if name not in {"scores", "positional", "no bias"}:
        assert str(caught[0]) == str(caught[1])
    assert [*pair[0].state_dict()] == ["weight", "bias"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pair[0](tn.ones(1, 4))
