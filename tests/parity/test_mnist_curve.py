"""The CNN of the first lesson, from PyTorch's initial weights: the same loss as PyTorch's, step by step."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import tinynet as tn

torch = pytest.importorskip("torch")

STEPS, BATCH = 20, 64


def cnn(nn):
    return nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(1600, 128), nn.ReLU(), nn.Linear(128, 10),
    )  # fmt: skip


def batches():
    """The first 20 batches of MNIST where it is at hand; else noise over ten coarse patterns."""
    root = Path(os.environ.get("TINYNET_DATA", "")) / "mnist"
    n = STEPS * BATCH
    if (root / "train-images-idx3-ubyte.gz").exists():
        images, labels = (t[:n].numpy() for t in tn.data.datasets.mnist(root).tensors)
    else:
        rng = np.random.default_rng(0)
        labels = rng.integers(0, 10, n)
        patterns = np.kron(rng.random((10, 1, 7, 7)), np.ones((4, 4)))
        images = 0.5 * patterns[labels] + 0.5 * rng.random((n, 1, 28, 28))
    images, labels = images.astype("float32"), labels.astype("int64")
    return [(images[k : k + BATCH], labels[k : k + BATCH]) for k in range(0, n, BATCH)]


def losses(lib, model, data):
    optimizer, criterion = lib.optim.Adam(model.parameters()), lib.nn.CrossEntropyLoss()
    curve = []
    for images, labels in data:
        optimizer.zero_grad()
        loss = criterion(model(lib.tensor(images)), lib.tensor(labels))
        loss.backward()
        optimizer.step()
        curve.append(loss.item())
    return curve


def test_the_loss_of_twenty_steps():
    torch.manual_seed(0)
    theirs, ours = cnn(torch.nn), cnn(tn.nn)
    assert ours.load_state_dict({k: tn.tensor(v.numpy().copy()) for k, v in theirs.state_dict().items()}) == ([], [])
    data = batches()
    expected = losses(torch, theirs, data)
    assert expected[-1] < 0.85 * expected[0], "nothing was learnt: the curve would prove nothing"
    np.testing.assert_allclose(losses(tn, ours, data), expected, rtol=1e-3)
