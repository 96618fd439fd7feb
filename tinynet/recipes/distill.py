"""A small network that learns from a large one, and from few labels: `tinynet train distill`.

The teacher's scores need no label, and say more than one: that this 7 is nearly a 1. So the student can learn from
images that nobody has labelled. G. Hinton, O. Vinyals, J. Dean, "Distilling the knowledge in a neural network", 2015.
"""
from __future__ import annotations

from typing import Any

import tinynet as tn
from tinynet.recipes import Recipe, Run, classification
from tinynet.recipes.base import CHECKPOINT, base_data, trained
from tinynet.recipes.report import class_names

MOST = 10_000  # features of a student


def data(run: Run) -> tuple[Any, Any]:
    """The images that the teacher learned from, and those it was tested with."""
    train_set, test_set = base_data(run)
    run.options["shape"] = list(train_set[0][0].shape)
    run.options["classes"] = len(class_names(test_set))
    return train_set, test_set


def network(run: Run) -> Any:
    """The student: all pixels -> `--hidden` features -> a score for each class."""
    channels, height, width = run.options["shape"]
    if not 1 <= run.options["hidden"] <= MOST:
        raise ValueError(f"--hidden must be from 1 to {MOST:,}, got {run.options['hidden']}")
    return tn.nn.Sequential(
        tn.nn.Flatten(),
        tn.nn.Linear(channels * height * width, run.options["hidden"]),
        tn.nn.ReLU(),
        tn.nn.Linear(run.options["hidden"], run.options["classes"]),
    )


def train(run: Run, train_set: Any, test_set: Any) -> tuple[Any, tn.History]:
    """The same student twice, from the same start, with as many steps: from `--labels` images with their labels, and
    from the teacher's scores of all images, without a label."""
    teacher, labels = trained(run), min(run.options["labels"], len(train_set))
    few = tn.randperm(len(train_set), generator=tn.Generator().manual_seed(run.seed))[:labels].tolist()
    alone, student = run.network(), run.network()
    student.load_state_dict(alone.state_dict())

    run.say(f"the student alone, from {labels} labels")
    fit(run, alone, tn.nn.CrossEntropyLoss(), tn.data.Subset(train_set, few), run.epochs * len(train_set) // labels)
    run.say("the student with its teacher")
    scored, scored_test = (with_scores(run, teacher, part) for part in (train_set, test_set))
    history = fit(run, student, distillation, scored, run.epochs, metrics={"agreement": agreement},
                  validation_data=scored_test, callbacks=run.callbacks)
    run.show("comparison", [
        {"network": name, "parameters": sum(p.numel() for p in model.parameters()),
         "accuracy": classification(run, model, test_set)["accuracy"]}
        for name, model in (("teacher", teacher), (f"student, {labels} labels", alone), ("student, taught", student))])
    return student, history


def fit(run: Run, model: Any, loss: Any, images: Any, epochs: int, metrics: Any = (), **options: Any) -> tn.History:
    """Train a student."""
    optimizer = tn.optim.Adam(model.parameters(), lr=run.lr)
    trainer = tn.Trainer(model, loss, optimizer, metrics=metrics, device=run.device)
    return trainer.fit(images, epochs=epochs, batch_size=run.batch_size, **options)


def with_scores(run: Run, teacher: Any, images: Any) -> Any:
    """The images, with the teacher's scores in the place of labels."""
    scores, _ = run.predict(teacher, images)
    return tn.data.TensorDataset(tn.cat([x for x, _ in tn.data.DataLoader(images, run.batch_size)]), scores)


def distillation(scores: tn.Tensor, teacher: tn.Tensor) -> tn.Tensor:
    """How far the student is from the teacher's scores, made softer, and from its answer."""
    return tn.compress.distillation_loss(scores, teacher, teacher.argmax(1), temperature=2.0, alpha=0.9)


def agreement(teacher: Any, scores: Any) -> float:
    """How often the student's answer is the teacher's."""
    return tn.metrics.accuracy(teacher.argmax(1), scores.argmax(1))


OPTIONS: dict[str, dict[str, Any]] = {
    "--checkpoint": CHECKPOINT,
    "--hidden": {"type": int, "default": 16, "metavar": "N", "help": "the student's features (default: %(default)s)"},
    "--labels": {"type": int, "default": 100, "metavar": "N", "help": "labels there are (default: %(default)s)"},
}
RECIPE = Recipe(data=data, network=network, train=train, measure=classification, options=OPTIONS,
                epochs=30, batch_size=32, lr=3e-3, examples=["distill --checkpoint mnist-cnn.ckpt --epochs 5"])
