"""A trained network on other images, of which there are few: `tinynet train finetune`.

What it has learned of strokes and shapes stays as it is; the last layer, its head, is replaced and trained. Beside it
the same network is trained from nothing on the same few images.
"""
from __future__ import annotations

from typing import Any

import tinynet as tn
from tinynet.nn import functional as F
from tinynet.recipes import Recipe, Run, classification
from tinynet.recipes.base import CHECKPOINT, base, trained

SIZES = {"digits": (1, 8), "mnist": (1, 28), "fashion_mnist": (1, 28), "cifar10": (3, 32), None: (3, 224)}


def data(run: Run) -> tuple[Any, Any]:
    """The images of --onto, of which `--samples` are to train with."""
    first, onto = base(run), run.options["onto"]
    load, folder = getattr(tn.data.datasets, onto), {} if onto == "digits" else {"root": run.data}
    with run.needs(onto):
        train_set, test_set = load(train=True, **folder), load(train=False, **folder)
    few = tn.randperm(len(train_set), generator=tn.Generator().manual_seed(run.seed))[:run.options["samples"]]
    run.options["classes"], run.source = len(train_set.classes), f"{run.source}; for a network of {first.name}"
    return tn.data.Subset(train_set, few.tolist()), test_set


class Fitted(tn.nn.Module):
    """A network behind a lens: it gets images in the size and the colours that it is used to."""

    def __init__(self, body: Any, channels: int, side: int) -> None:
        super().__init__()
        self.body, self.channels, self.side = body, channels, side

    def forward(self, images: tn.Tensor) -> tn.Tensor:
        """The network's scores for images of any size."""
        if images.shape[1] != self.channels:  # grey for colours, or three times the same for grey
            images = images.mean(1, keepdim=True).expand(-1, self.channels, -1, -1)
        if images.shape[2] > self.side:
            return self.body(F.adaptive_avg_pool2d(images, self.side))
        return self.body(F.interpolate(images, size=(self.side, self.side), mode="bilinear"))


def wanted(first: Run) -> tuple[int, int]:
    """The channels and the side of the images of that recipe, or of the one that it began with itself."""
    return wanted(base(first)) if "base" in first.options else SIZES[first.recipe.source]


def head(model: Any) -> tuple[str, Any]:
    """The last linear layer, and its name. ValueError if there is none."""
    layers = [(name, layer) for name, layer in model.named_modules() if isinstance(layer, tn.nn.Linear)]
    if not layers:
        raise ValueError("the network of the checkpoint has no linear layer that could be replaced")
    return layers[-1]


def network(run: Run) -> Any:
    """The network of the checkpoint's recipe, with a new head: a score for each class of the new images."""
    first = base(run)
    model = first.network()
    name, old = head(model)
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, tn.nn.Linear(old.in_features, run.options["classes"]))
    return Fitted(model, *wanted(first))


def train(run: Run, train_set: Any, test_set: Any) -> tuple[Any, tn.History]:
    """Only the head is given to the optimizer. What is frozen needs no gradient, and stays in eval mode: so the means
    of batch norm stay as they were."""
    learned, model, scratch = trained(run).state_dict(), run.network(), run.network()
    name, new = head(model.body)
    model.body.load_state_dict({k: w for k, w in learned.items() if not k.startswith(f"{name}.")}, strict=False)
    model.body.requires_grad_(False).eval()
    new.requires_grad_(True).train()

    history = fit(run, model, new, train_set, run.callbacks)
    run.say("the same from nothing")
    fit(run, scratch, scratch, train_set, [])
    run.show("comparison", [
        {"network": title, "parameters trained": sum(p.numel() for p in part.parameters()),
         "accuracy": classification(run, whole, test_set)["accuracy"]}
        for title, whole, part in (("fine-tuned", model, new), ("from nothing", scratch, scratch))])
    return model, history


def fit(run: Run, model: Any, part: Any, train_set: Any, callbacks: Any) -> tn.History:
    """Train a part of the model."""
    optimizer = tn.optim.Adam(part.parameters(), lr=run.lr)
    trainer = tn.Trainer(model, tn.nn.CrossEntropyLoss(), optimizer, metrics=["accuracy"], device=run.device)
    return trainer.fit(train_set, epochs=run.epochs, batch_size=run.batch_size, callbacks=callbacks)


OPTIONS: dict[str, dict[str, Any]] = {
    "--checkpoint": CHECKPOINT,
    "--onto": {"choices": [name for name in SIZES if name], "default": "mnist",
               "help": "the new images (default: %(default)s)"},
    "--data": {"metavar": "DIR", "help": "folder with the files of the new images (default: the set's own in "
               "$TINYNET_DATA, then in the cache)"},
    "--samples": {"type": int, "default": 100, "metavar": "N", "help": "how many of them (default: %(default)s)"},
}
RECIPE = Recipe(data=data, network=network, train=train, measure=classification, options=OPTIONS,
                epochs=30, batch_size=16, lr=5e-3, examples=["finetune --checkpoint mnist-cnn.ckpt --onto digits"])
