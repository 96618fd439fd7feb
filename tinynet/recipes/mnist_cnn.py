"""The convolutional network everybody starts with, on MNIST's 70,000 digits: `tinynet train mnist-cnn`."""
from __future__ import annotations

from typing import Any

import tinynet as tn


def network() -> Any:
    """28 x 28 pixels -> 32 maps of 13 x 13 -> 64 maps of 5 x 5 -> 128 features -> 10 scores."""
    return tn.nn.Sequential(
        tn.nn.Conv2d(1, 32, 3),
        tn.nn.ReLU(),
        tn.nn.MaxPool2d(2),
        tn.nn.Conv2d(32, 64, 3),
        tn.nn.ReLU(),
        tn.nn.MaxPool2d(2),
        tn.nn.Flatten(),
        tn.nn.Linear(64 * 5 * 5, 128),
        tn.nn.ReLU(),
        tn.nn.Linear(128, 10),
    )


def train(epochs: int = 2, batch_size: int = 64, seed: int = 0, lr: float = 1e-3,
          data: str | None = None) -> tuple[Any, dict[str, list[float]]]:
    """The trained network and its curves; `data`: the folder of MNIST's files, if it is not the usual one."""
    tn.manual_seed(seed)
    mnist = tn.data.datasets.mnist
    train_set, test_set = mnist(data, train=True), mnist(data, train=False)
    model = network()
    optimizer = tn.optim.Adam(model.parameters(), lr=lr)
    trainer = tn.Trainer(model, tn.nn.CrossEntropyLoss(), optimizer, metrics=["accuracy"])
    return model, trainer.fit(train_set, epochs=epochs, batch_size=batch_size, validation_data=test_set).history
