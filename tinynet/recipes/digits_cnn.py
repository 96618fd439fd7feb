"""A small convolutional network for the 8 x 8 digits that come with tinynet: `tinynet train digits-cnn`."""
from __future__ import annotations

from typing import Any

import tinynet as tn


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
    """The trained network and its curves. The step size falls in equal steps towards 0: large ones find the valley,
    small ones its floor. The test images, looked at after each epoch, decide nothing."""
    tn.manual_seed(seed)
    model = network()
    optimizer = tn.optim.Adam(model.parameters(), lr=lr)
    decay = tn.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 1 - epoch / epochs)
    digits = tn.data.datasets.digits
    trainer = tn.Trainer(model, loss(), optimizer, metrics=["accuracy"], scheduler=decay)
    history = trainer.fit(digits(train=True), epochs=epochs, batch_size=batch_size, validation_data=digits(train=False))
    return model, history.history
