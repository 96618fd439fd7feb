"""A small convolutional network that reads the 8 x 8 digits which come with tinynet: `tinynet train
digits-cnn`."""
from __future__ import annotations

from typing import Any

import tinynet as tn
from tinynet.recipes._loop import fit


def network() -> Any:
    """8 x 8 pixels -> 16 maps -> 32 maps -> 4 x 4 after pooling -> 64 features -> 10 scores."""
    return tn.nn.Sequential(
        tn.nn.Conv2d(1, 16, 3, padding=1),
        tn.nn.ReLU(),
        tn.nn.Conv2d(16, 32, 3, padding=1),
        tn.nn.ReLU(),
        tn.nn.MaxPool2d(2),
        tn.nn.Flatten(),
        tn.nn.Linear(32 * 4 * 4, 64),
        tn.nn.ReLU(),
        tn.nn.Linear(64, 10),
    )


def train(epochs: int = 15, batch_size: int = 32, seed: int = 0,
          lr: float = 1e-3) -> tuple[Any, dict[str, list[float]]]:
    """The trained network and its curves; the test images are looked at but never learned from."""
    tn.manual_seed(seed)
    model = network()
    optimizer = tn.optim.Adam(model.parameters(), lr=lr)
    digits = tn.data.datasets.digits
    train_set, test_set = digits(train=True), digits(train=False)
    return model, fit(model, optimizer, train_set, test_set, epochs=epochs, batch_size=batch_size)
