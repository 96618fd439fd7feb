"""Photographs of 224 x 224 in up to 1,000 classes, from a folder: `tinynet train image-cnn-224`.

The folder has one of images for each class; every fifth image tests. Without a folder, images are generated: stripes,
whose class says their colour, their direction and their width.
"""
from __future__ import annotations

from typing import Any

import numpy as np

import tinynet as tn
from tinynet.recipes import Recipe, Run, classification
from tinynet.recipes.frame import whole_path
from tinynet.recipes.stripes import Stripes

CLASSES = 1000


def data(run: Run) -> tuple[Any, Any]:
    """3 x 224 x 224: red, green and blue, from 0 to 1; read when they are needed."""
    folder = run.data or run.options["images"]
    if folder is None:
        n, classes = run.options["samples"], run.options["classes"]
        run.source = f"stripes in {classes} classes, generated, as no --images FOLDER was given"
        return Stripes(n, classes), Stripes(-(-n // 5), classes, first=n)
    run.options["images"] = folder = whole_path(folder)
    images = tn.data.ImageFolder(folder, size=224)
    if len(images.classes) > CLASSES:
        raise ValueError(f"{folder} has {len(images.classes):,} classes, the network has {CLASSES:,} scores")
    run.source = f"images of {len(images.classes)} classes in {folder}"
    place = np.arange(len(images)) - np.searchsorted(images.targets, images.targets)  # of each within its class
    if not place.any():
        raise ValueError(f"{folder} has one image of each class: it would test, and none be left to train with")
    train, test = (np.flatnonzero(chosen).tolist() for chosen in (place % 5, place % 5 == 0))
    return tn.data.Subset(images, train), tn.data.Subset(images, test)


def network(run: Run) -> Any:
    """224 x 224 colours -> 32 maps of 111 x 111 -> 64 of 54 x 54 -> 128 of 26 x 26 -> 128 features -> 1,000 scores."""
    return tn.nn.Sequential(
        tn.nn.Conv2d(3, 32, 3),
        tn.nn.ReLU(),
        tn.nn.MaxPool2d(2),
        tn.nn.Conv2d(32, 64, 3),
        tn.nn.ReLU(),
        tn.nn.MaxPool2d(2),
        tn.nn.Conv2d(64, 128, 3),
        tn.nn.ReLU(),
        tn.nn.MaxPool2d(2),
        tn.nn.Flatten(),
        tn.nn.Linear(128 * 26 * 26, 128),
        tn.nn.ReLU(),
        tn.nn.Linear(128, CLASSES),
    )


def train(run: Run, train_set: Any, test_set: Any) -> tuple[Any, tn.History]:
    """A thread reads the next images while the network learns from these. The test images decide nothing."""
    model = run.network()
    loader = tn.data.DataLoader(train_set, run.batch_size, shuffle=True, num_workers=1)
    optimizer = tn.optim.Adam(model.parameters(), lr=run.lr)
    trainer = tn.Trainer(model, tn.nn.CrossEntropyLoss(), optimizer, metrics=["accuracy"], device=run.device)
    history = trainer.fit(loader, epochs=run.epochs, validation_data=test_set, callbacks=run.callbacks)
    return model, history


OPTIONS: dict[str, dict[str, Any]] = {
    "--images": {"metavar": "FOLDER", "help": "folder with one of images for each class"},
    "--classes": {"type": int, "default": 10, "metavar": "N",
                  "help": "classes of generated images, 1 to 1000 (default: %(default)s)"},
    "--samples": {"type": int, "default": 400, "metavar": "N",
                  "help": "generated images to train with (default: %(default)s)"},
}
RECIPE = Recipe(data=data, network=network, train=train, measure=classification, options=OPTIONS,
                epochs=3, batch_size=16, lr=3e-4, examples=["image-cnn-224 --images photos --epochs 10"])
