"""`tinynet demo`: train a network on handwritten digits, look at its mistakes, check its gradients."""
from __future__ import annotations

import copy
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import tinynet as tn
from tinynet.recipes import digits_cnn


def demo(out: Path) -> None:
    """Train, print the test accuracy and the confusion matrix, write `out`/training.png, run gradcheck."""
    train, test = tn.data.datasets.digits(train=True), tn.data.datasets.digits(train=False)
    print(f"A convolutional network learns {len(train)} handwritten digits; {len(test)} others test it.",
          flush=True)
    model, history = digits_cnn.train()

    images, labels = test.tensors
    with tn.no_grad():
        predicted = model.eval()(images).argmax(1)
    matrix = tn.metrics.confusion_matrix(labels, predicted, labels=range(10))
    print(f"\ntest accuracy {matrix.trace() / len(test):.2%} ({matrix.trace()} of {len(test)} right)\n")
    print(table(matrix))
    picture = write_curves(history, out / "training.png")
    print(f"\nloss and accuracy, epoch by epoch: see {picture}\n", flush=True)
    print(check(model, *test[:4]))


def table(matrix: Any) -> str:
    """A confusion matrix as text: a row for each true digit, a column for each predicted one, dots for 0."""
    lines = ["true \\ predicted " + "".join(f"{digit:4}" for digit in range(len(matrix)))]
    for digit, row in enumerate(matrix):
        lines.append(f"{digit:>16} " + "".join(f"{count or '.':>4}" for count in row))
    return "\n".join(lines)


def write_curves(history: dict[str, list[float]], path: Path) -> Path:
    """The curves as a PNG, which appears under its name only when it is whole."""
    from matplotlib.figure import Figure  # not pyplot: no window, and no display needed

    figure = Figure(figsize=(10, 3.6), layout="constrained")
    tn.viz.plot_history(history, ["loss", "accuracy"], ax=figure.subplots(1, 2))
    unfinished = path.with_name(f".{path.name}.part")
    try:
        figure.savefig(unfinished, format="png", dpi=150)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path


def check(model: Any, images: Any, labels: Any) -> str:
    """gradcheck of the trained model's loss with respect to its parameters, on a copy in float64, told a line
    for each. Raises GradcheckError, with a diagnosis, if a gradient is wrong."""
    model = copy.deepcopy(model).double()
    loss_fn, images = digits_cnn.loss(), images.double()
    names, parameters = zip(*model.named_parameters(), strict=True)
    result = tn.gradcheck(lambda *_: loss_fn(model(images), labels), parameters)
    lines = ["gradcheck of the trained network's loss: backward's gradients against measured slopes"]
    lines += [f"  {replace(found, label=name)}" for name, found in zip(names, result.inputs, strict=True)]
    count = sum(parameter.numel() for parameter in parameters)
    return "\n".join([*lines, f"PASS: the gradients of all {count:,} parameters are right"])
