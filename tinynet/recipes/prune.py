"""A network with most of its weights taken out, then in eight bits: `tinynet train prune`.

S. Han, J. Pool, J. Tran and W. Dally, "Learning both weights and connections for efficient neural networks", 2015:
what is least in magnitude is set to zero, the others learn to do without.
"""
from __future__ import annotations

import zlib
from itertools import islice
from typing import Any

import tinynet as tn
from tinynet.metrics import to_numpy
from tinynet.recipes import Recipe, Run, classification
from tinynet.recipes.base import CHECKPOINT, base, base_data, trained

STAGES = 4
CALIBRATION = 8  # batches that show what numbers each layer is given


def data(run: Run) -> tuple[Any, Any]:
    """What the network was trained with."""
    train_set, test_set = base_data(run)
    run.options["shape"] = list(train_set[0][0].shape)
    return train_set, test_set


def network(run: Run) -> Any:
    """The network of the checkpoint's recipe, in eight bits: as it is saved in the end."""
    return tn.compress.quantize(base(run).network(), tn.zeros(1, *run.options["shape"], device=run.device))


class Pruning(tn.Callback):
    """Takes out weights at the beginning of each of four stages, fewer each time as fewer are left, and notes at the
    stage's end what that has cost."""

    def __init__(self, run: Run, rows: list[dict[str, Any]]) -> None:
        self.zeros, self.rows = run.options["zeros"], rows
        self.begins = [stage * run.epochs // STAGES for stage in range(STAGES + 1)]

    def on_epoch_begin(self, epoch: int) -> None:
        """At a stage's beginning: as many zeros as it is to have."""
        stages = [stage for stage, begin in enumerate(self.begins, 1) if begin == epoch]
        if stages:
            there, wanted = tn.compress.sparsity(self.model), self.zeros * (1 - (1 - stages[-1] / STAGES) ** 2)
            tn.compress.prune_magnitude(self.model, max(wanted - there, 0) / (1 - there))

    def on_epoch_end(self, epoch: int, logs: Any) -> None:
        """At its end: a row of the table."""
        if epoch + 1 in self.begins:
            self.rows.append(row("pruned", self.model, logs["val_accuracy"]))


def train(run: Run, train_set: Any, test_set: Any) -> tuple[Any, tn.History]:
    """Prune and train by turns; then round the weights that are left to 255 levels. ValueError for a share of zeros
    that is none."""
    if not 0 <= run.options["zeros"] < 1:
        raise ValueError(f"--zeros is a share of the weights, from 0 to below 1; got {run.options['zeros']}")
    model = trained(run)
    rows = [row("as it was", model, classification(run, model, test_set)["accuracy"])]
    optimizer = tn.optim.Adam(model.parameters(), lr=run.lr)
    trainer = tn.Trainer(model, tn.nn.CrossEntropyLoss(), optimizer, metrics=["accuracy"], device=run.device)
    model.train()
    history = trainer.fit(train_set, epochs=run.epochs, batch_size=run.batch_size, validation_data=test_set,
                          callbacks=[*run.callbacks, Pruning(run, rows)])
    loader = tn.data.DataLoader(train_set, run.batch_size)
    small = tn.compress.quantize(model, (images.to(run.device) for images, _ in islice(loader, CALIBRATION)))
    rows.append(row("in eight bits", small, classification(run, small, test_set)["accuracy"]))
    run.show("comparison", rows)
    return small, history


def row(name: str, model: Any, accuracy: float) -> dict[str, Any]:
    """A line of the table: what zeros are worth is seen when the file is packed, as zip does it."""
    arrays = [to_numpy(t) for t in weights(model)]
    large = [a for a in arrays if a.ndim > 1]
    packed = zlib.compress(b"".join(a.tobytes() for a in arrays), 9)
    return {"network": name, "zeros": f"{sum((a == 0).sum() for a in large) / sum(a.size for a in large):.1%}",
            "accuracy": accuracy, "size": tn.text.size(sum(a.nbytes for a in arrays)),
            "packed": tn.text.size(len(packed))}


def weights(model: Any) -> list[tn.Tensor]:
    """The model's state, with the masks of what is pruned applied."""
    state = model.state_dict()
    masks = {name.removesuffix("_mask"): t for name, t in state.items() if name.endswith("_mask")}
    return [t * masks[name.removesuffix("_orig")] if name.endswith("_orig") else t for name, t in state.items()
            if not name.endswith("_mask")]


ZEROS = {"type": float, "default": 0.9, "metavar": "SHARE", "help": "of the weights, in the end (default: %(default)s)"}
RECIPE = Recipe(data=data, network=network, train=train, measure=classification,
                options={"--checkpoint": CHECKPOINT, "--zeros": ZEROS}, epochs=12, batch_size=32, lr=1e-3,
                examples=["prune --checkpoint mnist-cnn.ckpt --epochs 4 --zeros 0.95"])
