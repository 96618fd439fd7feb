"""Two convolutions with batch norm and dropout on pictures of clothes: `tinynet train fashion-cnn`.

Fashion-MNIST has the files and the sizes of MNIST, and is harder: shirts, coats and pullovers look alike.
"""
from __future__ import annotations

from typing import Any

import tinynet as tn
from tinynet.recipes import Recipe, Run, classification
from tinynet.recipes.mnist_cnn import train


def data(run: Run) -> tuple[Any, Any]:
    """28 x 28 pixels of grey, in ten classes."""
    clothes = tn.data.datasets.fashion_mnist
    return clothes(run.data, train=True), clothes(run.data, train=False)


def network(run: Run) -> Any:
    """28 x 28 pixels -> 32 maps of 14 x 14 -> 64 maps of 7 x 7 -> 128 features -> 10 scores.

    Half of what the maps say is left out in each step of training (dropout), lest the network learn the images by
    heart; batch norm lets it learn in fewer steps."""
    return tn.nn.Sequential(
        tn.nn.Conv2d(1, 32, 3, padding=1),
        tn.nn.BatchNorm2d(32),
        tn.nn.ReLU(),
        tn.nn.MaxPool2d(2),
        tn.nn.Conv2d(32, 64, 3, padding=1),
        tn.nn.BatchNorm2d(64),
        tn.nn.ReLU(),
        tn.nn.MaxPool2d(2),
        tn.nn.Flatten(),
        tn.nn.Dropout(0.5),
        tn.nn.Linear(64 * 7 * 7, 128),
        tn.nn.ReLU(),
        tn.nn.Linear(128, 10),
    )


RECIPE = Recipe(data=data, network=network, train=train, measure=classification, source="fashion_mnist",
                epochs=8, batch_size=64, lr=1e-3, examples=["fashion-cnn --data ~/fashion-mnist"])
