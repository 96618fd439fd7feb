"""The training loop that the recipes share: forward, loss, backward, step."""
from __future__ import annotations

from typing import Any

import tinynet as tn
from tinynet.data._progress import progress


def train_epoch(model: Any, loss_fn: Any, optimizer: Any, loader: Any, name: str) -> tuple[float, float]:
    """One pass over the training data; returns its mean loss and accuracy, of the model as it was then."""
    model.train()
    total = right = seen = 0.0
    with progress(loader, desc=name, unit="batch") as bar:
        for images, labels in bar:
            logits = model(images)
            loss = loss_fn(logits, labels)

            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

            total += loss.item() * len(labels)
            right += (logits.argmax(1) == labels).sum().item()
            seen += len(labels)
            bar.set_postfix_str(f"loss {total / seen:.4f}, accuracy {right / seen:.2%}", refresh=False)
    return total / seen, right / seen


@tn.no_grad()
def evaluate(model: Any, loss_fn: Any, loader: Any) -> tuple[float, Any]:
    """The mean loss over the data, and the label predicted for each sample."""
    model.eval()
    total, predicted = 0.0, []
    for images, labels in loader:
        logits = model(images)
        total += loss_fn(logits, labels).item() * len(labels)
        predicted += logits.argmax(1).tolist()
    return total / len(predicted), tn.tensor(predicted)


def fit(model: Any, loss_fn: Any, optimizer: Any, train: Any, test: Any, epochs: int, batch_size: int,
        decay: bool = False) -> dict[str, list[float]]:
    """Train on one data set, look at the other after each epoch; returns the four curves.

    With decay the step size falls in equal steps towards 0: large ones find the valley, small ones its floor.
    """
    batches = tn.data.DataLoader(train, batch_size, shuffle=True)
    held_out = tn.data.DataLoader(test, batch_size=500)
    history: dict[str, list[float]] = {"loss": [], "val_loss": [], "accuracy": [], "val_accuracy": []}
    lr = optimizer.param_groups[0]["lr"]
    for epoch in range(1, epochs + 1):
        if decay:
            optimizer.param_groups[0]["lr"] = lr * (1 - (epoch - 1) / epochs)
        loss, accuracy = train_epoch(model, loss_fn, optimizer, batches, f"epoch {epoch}/{epochs}")
        val_loss, predicted = evaluate(model, loss_fn, held_out)
        val_accuracy = tn.metrics.accuracy(test.tensors[1], predicted)
        for name, value in zip(history, (loss, val_loss, accuracy, val_accuracy), strict=True):
            history[name].append(value)
    return history
