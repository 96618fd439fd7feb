"""Three linear layers on MNIST, the plainest network there is: `tinynet train mnist-mlp`.

It sees 784 numbers and not that they lie in rows; 98 % of the test images are read rightly after five epochs.
"""
from __future__ import annotations

from typing import Any

import tinynet as tn
from tinynet.recipes import Recipe, Run, classification
from tinynet.recipes.mnist_cnn import data, train


def network(run: Run) -> Any:
    """784 pixels -> 256 features -> 128 features -> 10 scores."""
    return tn.nn.Sequential(
        tn.nn.Flatten(),
        tn.nn.Linear(28 * 28, 256),
        tn.nn.ReLU(),
        tn.nn.Linear(256, 128),
        tn.nn.ReLU(),
        tn.nn.Linear(128, 10),
    )


RECIPE = Recipe(data=data, network=network, train=train, measure=classification, source="mnist",
                epochs=5, batch_size=64, lr=1e-3, examples=["mnist-mlp --epochs 2 --seed 1"])
