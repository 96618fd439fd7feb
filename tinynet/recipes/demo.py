"""`tinynet demo`: train a network on handwritten digits, look at its mistakes, check its gradients."""
from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import tinynet as tn
from tinynet.recipes import Run, digits_cnn
from tinynet.recipes.frame import curves, save_picture
from tinynet.recipes.report import confusion_table


def demo(out: Path) -> None:
    """Train, print the test accuracy and the confusion matrix, write `out`/training.png, run gradcheck."""
    tn.manual_seed(0)
    run = Run.of("digits-cnn")
    train, test = run.load()
    print(f"A convolutional network learns {len(train):,} handwritten digits; {len(test)} others test it.",
          flush=True)
    model, history = digits_cnn.train(run, train, test)

    images, labels = test.tensors
    with tn.no_grad():
        predicted = model.eval()(images).argmax(1)
    matrix = tn.metrics.confusion_matrix(labels, predicted, labels=range(10))
    print(f"\ntest accuracy {matrix.trace() / len(test):.2%} ({matrix.trace()} of {len(test)} right)\n")
    print(confusion_table(test.classes, matrix))
    picture = save_picture(curves(history.history), out / "training.png")
    print(f"\nloss and accuracy, epoch by epoch: see {picture}\n", flush=True)
    print(check(model, *test[:4]))


def check(model: Any, images: Any, labels: Any) -> str:
    """gradcheck of the trained model's loss with respect to its parameters, on a copy in float64, told a line
    for each. Raises GradcheckError, with a diagnosis, if a gradient is wrong."""
    model = copy.deepcopy(model).double()
    loss_fn, images = digits_cnn.loss(), images.double()
    names, parameters = zip(*model.named_parameters(), strict=True)
    result = tn.gradcheck(lambda *_: loss_fn(model(images), labels), parameters)
    lines = ["gradcheck of the trained network's loss: backward's gradients against measured slopes"]
    lines += [f"  {replace(found, label=name)}" for name, found in zip(names, result.inputs, strict=True)]
    count, kinks = sum(p.numel() for p in parameters), sum(found.kinks for found in result.inputs)
    right = f"{count - kinks:,} of {count:,}" if kinks else f"all {count:,}"
    lines.append(f"PASS: the gradients of {right} parameters are right")
    if kinks:
        lines[-1] += f"; {kinks:,} lie at kinks, where there is no slope to compare with"
    return "\n".join(lines)
