"""Weights travel: a model saved by PyTorch predicts the same here, and back."""

from __future__ import annotations

import numpy as np
import pytest

import tinynet as tn

torch = pytest.importorskip("torch")
from safetensors.torch import load_file, save_file, save_model  # noqa: E402 - wants PyTorch


def mnist_cnn(nn):
    return nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(1600, 128), nn.ReLU(), nn.Linear(128, 10),
    )  # fmt: skip


def resnet_block(nn):
    class Block(nn.Module):
        def __init__(self, channels=8, wider=16):
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(channels, wider, 3, 2, 1, bias=False), nn.BatchNorm2d(wider)
            self.conv2, self.bn2 = nn.Conv2d(wider, wider, 3, 1, 1, bias=False), nn.BatchNorm2d(wider)
            self.shortcut = nn.Sequential(nn.Conv2d(channels, wider, 1, 2, bias=False), nn.BatchNorm2d(wider))
            self.relu = nn.ReLU()

        def forward(self, x):
            y = self.relu(self.bn1(self.conv1(x)))
            return self.relu(self.bn2(self.conv2(y)) + self.shortcut(x))

    return Block()


def lstm(nn):
    return nn.LSTM(5, 7, num_layers=2, batch_first=True, bidirectional=True)


def transformer_layer(nn):
    return nn.TransformerEncoderLayer(8, 2, dim_feedforward=16, batch_first=True, dropout=0.0, activation="gelu")


MODELS = [(mnist_cnn, (4, 1, 28, 28)), (resnet_block, (3, 8, 9, 9)), (lstm, (3, 6, 5)), (transformer_layer, (3, 6, 8))]


def trained(lib, build, shape, seed):
    """A model whose every number, batch norm's running ones too, has moved from where it starts."""
    lib.manual_seed(seed)
    model, rng = build(lib.nn), np.random.default_rng(seed)
    optimizer = lib.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(3):
        optimizer.zero_grad()
        predict(lib, model, rng.standard_normal(shape).astype("float32")).square().mean().backward()
        optimizer.step()
    return model


def predict(lib, model, x):
    out = model(lib.tensor(x))
    return out[0] if isinstance(out, tuple) else out


@pytest.mark.parametrize(("build", "shape"), MODELS, ids=lambda p: getattr(p, "__name__", ""))
@pytest.mark.parametrize("theirs_first", [True, False], ids=["from PyTorch", "to PyTorch"])
def test_a_model_that_travels_predicts_the_same(tmp_path, build, shape, theirs_first):
    path = tmp_path / "model.safetensors"
    if theirs_first:
        theirs, ours = trained(torch, build, shape, 1), build(tn.nn)
        save_file(theirs.state_dict(), path)
        assert ours.load_state_dict(tn.io.load_safetensors(path)) == ([], [])
    else:
        theirs, ours = build(torch.nn), trained(tn, build, shape, 1)
        tn.io.save_safetensors(ours.state_dict(), path)
        assert tuple(theirs.load_state_dict(load_file(path))) == ([], [])
    x = np.random.default_rng(2).standard_normal(shape).astype("float32")
    found, expected = (predict(lib, model.eval(), x).detach().numpy() for lib, model in ((tn, ours), (torch, theirs)))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    other = predict(tn, build(tn.nn).eval(), x).detach().numpy()
    assert not np.allclose(other, expected, rtol=1e-2, atol=1e-2), "any weights would do"


DTYPES = ["float16", "float32", "float64", "int8", "uint8", "int16", "int32", "int64", "bool"]
VALUES = [[[0, 1, 1], [1, 0, 2]], [], [[], []], 1]


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_and_shape_travels(tmp_path, dtype):
    ours = {f"t{k}": tn.tensor(v, dtype=getattr(tn, dtype)) for k, v in enumerate(VALUES)}
    tn.io.save_safetensors(ours, tmp_path / "ours")
    theirs = load_file(tmp_path / "ours")
    save_file(theirs, tmp_path / "theirs")
    back = tn.io.load_safetensors(tmp_path / "theirs")
    for k, value in enumerate(VALUES):
        expected = torch.tensor(value, dtype=getattr(torch, dtype))
        assert torch.equal(theirs[f"t{k}"], expected) and theirs[f"t{k}"].dtype == expected.dtype
        assert back[f"t{k}"].equal(ours[f"t{k}"]) and back[f"t{k}"].dtype == ours[f"t{k}"].dtype


def tied(nn):
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))
    model[2].weight = model[0].weight
    return model


def test_tied_weights_travel_though_pytorch_saves_them_once(tmp_path):
    theirs, ours = tied(torch.nn), tied(tn.nn)
    save_model(theirs, tmp_path / "theirs")
    assert len(load_file(tmp_path / "theirs")) == 3, "PyTorch saved the weights twice: nothing is tested"
    ours.load_state_dict(tn.io.load_safetensors(tmp_path / "theirs"))
    np.testing.assert_array_equal(ours[2].weight.detach().numpy(), theirs[2].weight.detach().numpy())
    tn.io.save_safetensors(ours.state_dict(), tmp_path / "ours")
    other = tied(torch.nn)
    assert tuple(other.load_state_dict(load_file(tmp_path / "ours"))) == ([], [])
    assert torch.equal(other[2].weight, theirs[2].weight) and other[2].weight is other[0].weight


def test_half_precision_that_is_not_here_is_named(tmp_path):
    save_file({"w": torch.ones(2, dtype=torch.bfloat16), "b": torch.ones(2)}, tmp_path / "brain")
    with pytest.raises(ValueError, match=r"brain has tensors of dtypes that tinynet has not: 'w' \(BF16\)"):
        tn.io.load_safetensors(tmp_path / "brain")
