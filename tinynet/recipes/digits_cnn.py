"""A small network on the digits that come with tinynet: `tinynet train digits-cnn`."""
from __future__ import annotations

from typing import Any

import tinynet as tn
from tinynet.recipes import Recipe, Run, classification


def data(run: Run) -> tuple[Any, Any]:
    """8 x 8 pixels, from 0 (paper) to 1 (ink)."""
    digits = tn.data.datasets.digits
    return digits(train=True), digits(train=False)


def network(run: Run) -> Any:
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


def train(run: Run, train_set: Any, test_set: Any) -> tuple[Any, tn.History]:
    """The step size falls in equal steps towards 0: large ones find the valley, small ones its floor. The test images,
    looked at after each epoch, decide nothing."""
    model = run.network()
    optimizer = tn.optim.Adam(model.parameters(), lr=run.lr)
    decay = tn.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 1 - epoch / run.epochs)
    trainer = tn.Trainer(model, loss(), optimizer, metrics=["accuracy"], scheduler=decay, device=run.device)
    history = trainer.fit(train_set, epochs=run.epochs, batch_size=run.batch_size, validation_data=test_set,
                          callbacks=run.callbacks)
    return model, history


RECIPE = Recipe(data=data, network=network, train=train, measure=classification, source="digits",
                epochs=15, batch_size=16, lr=5e-3, examples=["digits-cnn --epochs 30 --seed 1"])
