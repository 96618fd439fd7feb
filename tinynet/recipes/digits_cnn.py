"""A small convolutional network for the 8 x 8 digits that come with tinynet: `tinynet train digits-cnn`."""
from __future__ import annotations

from typing import Any

import tinynet as tn
from tinynet.recipes._loop import fit


def network() -> Any:
    """8 x 8 pixels -> 32 maps -> 32 maps -> 4 x 4 after pooling -> 10 scores."""
    return tn.nn.Sequential(
        tn.nn.Conv2d(1, 32, 3, padding=1),
        tn.nn.ReLU(),
        tn.nn.Conv2d(32, 32, 3, padding=1),
        tn.nn.ReLU(),
        tn.nn.MaxPool2d(2),
        tn.nn.Flatten(),
        tn.nn.Linear(32 * 4 * 4, 10),
    )


def loss() -> Any:
    """Cross-entropy, with a tenth of the target spread over all classes: 1,433 images are few, and a network
    that may be certain of each learns them by heart (label smoothing: Szegedy et al. 2016)."""
    return tn.nn.CrossEntropyLoss(label_smoothing=0.1)


def train(epochs: int = 15, batch_size: int = 16, seed: int = 0,
          lr: float = 5e-3) -> tuple[Any, dict[str, list[float]]]:
    """The trained network and its curves. The test images, looked at after each epoch, decide nothing."""
    tn.manual_seed(seed)
    model = network()
    optimizer = tn.optim.Adam(model.parameters(), lr=lr)
    digits = tn.data.datasets.digits
    train_set, test_set = digits(train=True), digits(train=False)
    return model, fit(model, loss(), optimizer, train_set, test_set, epochs, batch_size, decay=True)
