"""Three convolutions on small photographs, flipped and shifted: `tinynet train cifar-cnn`.

CIFAR-10 has 50,000 photographs to train with, and this takes as many of them as there are. Augmentation makes more of
few: a cat in the mirror, or four pixels further left, is a cat.
"""
from __future__ import annotations

from typing import Any

import tinynet as tn
from tinynet.recipes import Recipe, Run, classification


def data(run: Run) -> tuple[Any, Any]:
    """3 x 32 x 32: red, green and blue, from 0 to 1."""
    cifar = tn.data.datasets.cifar10
    return cifar(run.data, train=True), cifar(run.data, train=False)


def network(run: Run) -> Any:
    """32 x 32 colours -> 32 maps of 16 x 16 -> 64 maps of 8 x 8 -> 128 maps of 4 x 4 -> 10 scores."""
    return tn.nn.Sequential(*stage(3, 32), *stage(32, 64), *stage(64, 128), tn.nn.Flatten(), tn.nn.Dropout(0.2),
                            tn.nn.Linear(128 * 4 * 4, 10))


def stage(inputs: int, outputs: int) -> list[Any]:
    """New maps, of half the side. (Batch norm adds what a bias would.)"""
    return [tn.nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), tn.nn.BatchNorm2d(outputs), tn.nn.ReLU(),
            tn.nn.MaxPool2d(2)]


def augmented(run: Run, train_set: Any) -> Any:
    """A loader of the training images, each time in the mirror or not, and shifted by up to four pixels."""
    T = tn.data.transforms
    change = T.Compose([T.RandomHorizontalFlip(), T.RandomCrop(32, padding=4)])
    return tn.data.DataLoader(train_set, run.batch_size, shuffle=True, collate_fn=change, num_workers=1)


def train(run: Run, train_set: Any, test_set: Any) -> tuple[Any, tn.History]:
    """The step size rises, then falls to almost nothing, batch by batch (one cycle: Smith & Topin, 2019). The test
    images are not changed, and decide nothing."""
    model, loader = run.network(), augmented(run, train_set)
    optimizer = tn.optim.AdamW(model.parameters(), lr=run.lr, weight_decay=0.01)
    cycle = tn.optim.lr_scheduler.OneCycleLR(optimizer, run.lr, total_steps=run.epochs * len(loader))
    trainer = tn.Trainer(model, tn.nn.CrossEntropyLoss(), optimizer, metrics=["accuracy"], scheduler=cycle,
                         scheduler_each="batch", device=run.device)
    history = trainer.fit(loader, epochs=run.epochs, validation_data=test_set, callbacks=run.callbacks)
    return model, history


RECIPE = Recipe(data=data, network=network, train=train, measure=classification, source="cifar10",
                epochs=5, batch_size=64, lr=4e-3, examples=["cifar-cnn --data ~/cifar-10-batches-bin --epochs 20"])
