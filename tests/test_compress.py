"""Compression: what is pruned stays pruned, what is rounded still counts right, what is distilled learns."""

from __future__ import annotations

import copy
import importlib
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinynet as tn
import tinynet.compress as compress
from tinynet import nn
from tinynet.nn.utils import prune


@pytest.fixture(autouse=True)
def seeded():
    tn.manual_seed(0)


def mlp(*sizes):
    layers = [m for n, k in pairwise(sizes) for m in (nn.Linear(n, k), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


def cnn():
    return nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
                         nn.Conv2d(8, 16, 3, groups=2), nn.ReLU(), nn.Flatten(), nn.Linear(64, 10))  # fmt: skip


def step(model, optimizer, x, y, loss=nn.functional.cross_entropy):
    optimizer.zero_grad()
    loss(model(x), y).backward()
    optimizer.step()


@pytest.fixture(scope="module")
def trained():
    """A network that reads digits, and the images and labels to test it with."""
    tn.manual_seed(0)
    train, test = (tuple(tn.data.datasets.digits(train=part).tensors) for part in (True, False))
    model = cnn()
    optimizer = tn.optim.Adam(model.parameters(), 5e-3)
    for _ in range(5):
        for k in range(0, 1400, 50):
            step(model, optimizer, train[0][k : k + 50], train[1][k : k + 50])
    return model.eval(), train, test


def accuracy(model, data):
    with tn.no_grad():
        return float((model.eval()(data[0]).argmax(1) == data[1]).float().mean())


# --- pruning
@given(st.floats(0, 1), st.floats(0, 1))
def test_the_smallest_of_all_layers_go_as_in_pytorch(first, second):
    torch = pytest.importorskip("torch")
    importlib.import_module("torch.nn.utils.prune")
    ours = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3))
    theirs = torch.nn.Sequential(torch.nn.Linear(5, 4), torch.nn.ReLU(), torch.nn.Linear(4, 3))
    theirs.load_state_dict({k: torch.tensor(v.numpy()) for k, v in ours.state_dict().items()})
    for amount in (first, second):
        compress.prune_magnitude(ours, amount)
        parts = [(theirs[0], "weight"), (theirs[2], "weight")]
        torch.nn.utils.prune.global_unstructured(parts, torch.nn.utils.prune.L1Unstructured, amount=amount)
    for k in (0, 2):
        np.testing.assert_array_equal(ours[k].weight_mask.numpy(), theirs[k].weight_mask.numpy())


def test_pruned_weights_survive_fine_tuning(trained):
    model, train, test = trained
    model = copy.deepcopy(model).train()
    compress.prune_magnitude(model, 0.5)
    compress.prune_magnitude(model, 0.4)
    assert compress.sparsity(model) == pytest.approx(0.7, abs=1e-2)
    masks = {name: b.clone() for name, b in model.named_buffers() if name.endswith("_mask")}
    optimizer = tn.optim.Adam(model.parameters(), 2e-3, weight_decay=1e-4)
    before = model[7].weight_orig.detach().clone()
    for k in range(0, 1400, 50):
        step(model, optimizer, train[0][k : k + 50], train[1][k : k + 50])
    assert accuracy(model, test) > 0.9
    assert (model[7].weight_orig != before).any(), "the others are trained"
    for path in ("0", "4", "7"):
        layer, mask = model.get_submodule(path), masks[f"{path}.weight_mask"]
        assert (layer.weight_mask == mask).all() and (layer.weight[mask == 0] == 0).all()
        prune.remove(layer, "weight")
        assert (layer.weight[mask == 0] == 0).all()
    assert compress.sparsity(model) == pytest.approx(0.7, abs=1e-2)


def test_a_number_of_weights():
    model = mlp(4, 3, 2)
    compress.prune_magnitude(model, 5)
    assert sum(int((m.weight_mask == 0).sum()) for m in (model[0], model[2])) == 5


# --- eight bits
@given(st.integers(0, 2**32 - 1), st.sampled_from(["dynamic", "calibrated"]),
       st.sampled_from([((3, 7), lambda: nn.Linear(7, 5)), ((2, 4, 6), lambda: nn.Linear(6, 2, bias=False)),
                        ((2, 4, 6, 5), lambda: nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2)),
                        ((2, 4, 9), lambda: nn.Conv1d(4, 3, 3, dilation=2, padding="same"))]))  # fmt: skip
def test_whole_numbers_are_multiplied_exactly(seed, how, case):
    shape, make = case
    rng, layer = np.random.default_rng(seed), make()
    x = tn.tensor(rng.normal(rng.normal(), 1, shape).astype(np.float32))
    small = compress.quantize(layer, x if how == "calibrated" else None)
    scale, zero = small.input_step(x)
    q = np.clip(np.round(x.numpy() / np.float32(scale)) + zero, -128, 127) - zero
    weight = small.weight.numpy()
    assert small.weight.dtype == tn.int8 and (abs(weight.astype(int)).reshape(len(weight), -1).max(1) == 127).all()
    whole = make()  # the same layer on integers, in NumPy's int64
    whole.bias = None
    if weight.ndim == 2:
        total = q.astype(np.int64) @ weight.astype(np.int64).T
    else:
        options = small.sizes
        total = (nn.functional.conv1d if weight.ndim == 3 else nn.functional.conv2d)(
            tn.tensor(q.astype(np.int64)), tn.tensor(weight.astype(np.int64)), **options).numpy()  # fmt: skip
    axes = (-1, *[1] * (weight.ndim - 2))
    expected = total.astype(np.float32) * (small.weight_scale.numpy() * np.float32(scale)).reshape(axes)
    if layer.bias is not None:
        expected = expected + layer.bias.detach().numpy().reshape(axes)
    np.testing.assert_allclose(small(x).numpy(), expected, rtol=1e-6, atol=1e-6)
    with tn.no_grad():  # each of n products is off by half a step of either factor at most
        n = weight[0].size
        error = 0.5 * (scale * 127 + abs(x.numpy()).max() + scale) * n * small.weight_scale.numpy().max()
        assert float((small(x) - layer(x)).abs().max()) <= error


@pytest.mark.filterwarnings("ignore:.*quant.*deprecated")
def test_rounding_is_pytorchs():
    torch = pytest.importorskip("torch")
    layer = nn.Linear(50, 20)
    small = compress.quantize(layer)
    theirs = torch.quantize_per_channel(
        torch.tensor(layer.weight.detach().numpy()), torch.tensor(small.weight_scale.numpy()),
        torch.zeros(20, dtype=torch.long), 0, torch.qint8)  # fmt: skip
    assert np.abs(theirs.int_repr().numpy().astype(int) - small.weight.numpy()).max() <= 1  # it multiplies by 1 / scale
    assert (theirs.int_repr().numpy() == small.weight.numpy()).mean() > 0.999
    observer = torch.ao.quantization.MinMaxObserver(dtype=torch.qint8, quant_min=-128, quant_max=127)
    x = np.random.default_rng(0).normal(1, 2, (30, 50)).astype(np.float32)
    observer(torch.tensor(x))
    scale, zero = observer.calculate_qparams()
    assert small.input_step(tn.tensor(x)) == (pytest.approx(scale.item(), rel=1e-6), zero.item())


@pytest.mark.parametrize("calibrated", [False, True])
def test_a_fourth_of_the_size_at_the_same_accuracy(trained, calibrated):
    model, train, test = trained
    loader = tn.data.DataLoader(tn.data.TensorDataset(*train), batch_size=100)
    small = compress.quantize(model, loader if calibrated else None)
    assert [type(m).__name__ for m in small][::4] == ["QuantizedConv", "QuantizedConv"]
    assert [type(m).__name__ for m in model][::4] == ["Conv2d", "Conv2d"], "the model itself stays"
    assert accuracy(model, test) > 0.93
    assert accuracy(small, test) >= accuracy(model, test) - 0.01
    weights = sum(m.weight.numel() for m in (model[0], model[4], model[7]))
    saved = compress.size_in_bytes(model) - compress.size_in_bytes(small)
    extra = 4 * (8 + 16 + 10) + (24 if calibrated else 0)  # a scale for each output, and the ranges
    assert saved == 3 * weights - extra


def test_it_is_saved_and_loaded(tmp_path, trained):
    model, train, test = trained
    small = compress.quantize(model, train[0])
    tn.save(small.state_dict(), tmp_path / "small.ckpt")
    other = compress.quantize(cnn(), train[0])
    other.load_state_dict(tn.load(tmp_path / "small.ckpt"))
    assert (other(test[0]) == small(test[0])).all()


def test_pruned_and_shared_layers():
    layer = nn.Linear(6, 6)
    model = compress.prune_magnitude(nn.Sequential(layer, nn.ReLU(), layer), 0.5)
    small = compress.quantize(model)
    assert small[0] is small[2] and compress.sparsity(model) == 0.5
    assert ((small[0].weight == 0) >= (layer.weight_mask == 0)).all()
    assert prune.is_pruned(model), "the model itself stays"


def test_zeros_are_exact_and_constant_inputs_fit():
    layer = nn.Linear(3, 2)
    with tn.no_grad():
        layer.weight[0] = 0
    small = compress.quantize(layer)
    for value in (0.0, 5.0, -5.0):
        x = tn.full((2, 3), value)
        np.testing.assert_allclose(small(x).numpy(), layer(x).detach().numpy(), rtol=0.01, atol=0.03)
    assert (small(tn.zeros(2, 3)) == layer.bias).all()
    assert small(tn.zeros(0, 3)).shape == (0, 2)


def test_other_paddings_stay_as_they_are():
    model = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1, padding_mode="reflect"), nn.Conv2d(2, 2, 3))
    assert [type(m).__name__ for m in compress.quantize(model)] == ["Conv2d", "QuantizedConv"]


# --- distillation
@given(st.integers(0, 2**32 - 1), st.floats(0.5, 10), st.floats(0, 1), st.sampled_from([(4, 3), (2, 3, 5)]))
def test_the_loss_is_hintons(seed, temperature, alpha, shape):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(seed)
    s, t = rng.standard_normal((2, *shape))
    y = rng.integers(0, 3, (shape[0], *shape[2:]))
    ours = [tn.tensor(a, requires_grad=True) for a in (s, t)]
    theirs = torch.tensor(s, requires_grad=True)
    loss = compress.distillation_loss(*ours, tn.tensor(y), temperature, alpha)
    rows = [(x / temperature).movedim(1, -1).reshape(-1, 3) for x in (theirs, torch.tensor(t))]
    soft = torch.nn.functional.kl_div(rows[0].log_softmax(1), rows[1].softmax(1), reduction="batchmean")
    hard = torch.nn.functional.cross_entropy(theirs, torch.tensor(y))
    expected = alpha * temperature**2 * soft + (1 - alpha) * hard
    np.testing.assert_allclose(loss.item(), expected.item(), rtol=1e-9, atol=1e-12)
    loss.backward()
    expected.backward()
    np.testing.assert_allclose(ours[0].grad.numpy(), theirs.grad.numpy(), rtol=1e-8, atol=1e-12)
    assert ours[1].grad is None, "nothing goes to the teacher"


def test_a_student_comes_near_its_teacher(trained):
    teacher, train, _ = trained
    student = nn.Sequential(nn.Flatten(), *mlp(64, 16, 10))
    optimizer = tn.optim.Adam(student.parameters(), 1e-2)
    with tn.no_grad():
        soft = teacher(train[0])

    def apart():
        with tn.no_grad():
            return float(compress.distillation_loss(student(train[0]), soft, train[1], alpha=1.0))

    before = apart()
    for _ in range(2):
        for k in range(0, 1400, 50):
            part = soft[k : k + 50]
            step(student, optimizer, train[0][k : k + 50], train[1][k : k + 50],
                 lambda s, y, part=part: compress.distillation_loss(s, part, y))  # fmt: skip
    assert apart() < before / 3


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: compress.prune_magnitude(mlp(3, 2), 1.5), ValueError, r"share in \[0, 1\], or a number of at most 6"),
    (lambda: compress.prune_magnitude(mlp(3, 2), 7), ValueError, "at most 6 weights, got 7"),
    (lambda: compress.prune_magnitude(mlp(3, 2), "half"), ValueError, "got 'half'"),
    (lambda: compress.prune_magnitude(nn.ReLU(), 0.5), ValueError, "no linear or convolution layer"),
    (lambda: compress.prune_magnitude(3, 0.5), TypeError, "must be a tn.nn.Module, not int"),
    (lambda: compress.sparsity(nn.ReLU()), ValueError, "no linear or convolution layer"),
    (lambda: compress.quantize(nn.ReLU()), ValueError, "no Linear, Conv1d or Conv2d"),
    (lambda: compress.quantize("model"), TypeError, "must be a tn.nn.Module, not str"),
    (lambda: compress.quantize(mlp(3, 2), []), ValueError, "calibration never called 0"),
    (lambda: compress.quantize(nn.Linear(2, 1).requires_grad_(False).apply(
        lambda m: m.weight.fill_(float("nan")))), ValueError, "not finite"),
    (lambda: compress.distillation_loss(tn.ones(2, 3), tn.ones(2, 4), tn.tensor([0, 0])), RuntimeError, r"\[2, 3\]"),
    (lambda: compress.distillation_loss(tn.ones(3), tn.ones(3), tn.tensor(0)), RuntimeError, r"one shape \(N, C"),
    (lambda: compress.distillation_loss(tn.ones(2, 3), tn.ones(2, 3), tn.tensor([0, 0]), 0), ValueError, "temperature"),
    (lambda: compress.distillation_loss(tn.ones(2, 3), tn.ones(2, 3), tn.tensor([0, 0]), alpha=2), ValueError, "alpha"),
])  # fmt: skip
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
