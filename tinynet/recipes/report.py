"""What a recipe reports: how good its model is, how large, how fast; as text and as JSON."""
from __future__ import annotations

import json
import math
import sys
from typing import Any

import numpy as np

import tinynet as tn
from tinynet.metrics import to_numpy
from tinynet.recipes.frame import Run
from tinynet.text import rounded, size, table

SHARES = ("accuracy", "precision", "recall", "f1")  # told in percent
MANY = 20  # classes; of more the confusion matrix is not shown


# ---- how good it is
def classification(run: Run, model: Any, test_set: Any) -> dict[str, float]:
    """Accuracy, and the means over the classes of precision, recall and F1; of few classes also the figures of each,
    and the confusion matrix.

    >>> from tinynet.recipes import Run, classification
    >>> digits, model = tn.data.datasets.digits(), tn.nn.Sequential(tn.nn.Flatten(), tn.nn.Linear(64, 10))
    >>> list(classification(Run.of("digits-cnn"), model, digits))
    ['accuracy', 'precision', 'recall', 'f1']
    """
    scores, labels = run.predict(model, test_set)
    predicted, names = scores.argmax(1), class_names(test_set)
    classes = sorted({*range(len(names)), *labels.tolist(), *predicted.tolist()})
    if len(classes) <= MANY:
        run.shown["confusion"] = {"classes": [names[k] if k < len(names) else str(k) for k in classes],
                                  "counts": tn.metrics.confusion_matrix(labels, predicted, labels=classes).tolist()}
    means = {name: score(labels, predicted, average="macro", zero_division=0) for name, score in _SCORES.items()}
    return {"accuracy": tn.metrics.accuracy(labels, predicted), **means}


def class_names(data_set: Any) -> list[str]:
    """The names of a data set's classes, or of the one that it is a part of; none if it has none."""
    return [str(name) for name in getattr(getattr(data_set, "dataset", data_set), "classes", ())]


_SCORES = {"precision": tn.metrics.precision, "recall": tn.metrics.recall, "f1": tn.metrics.f1_score}


def regression(run: Run, model: Any, test_set: Any) -> dict[str, float]:
    """RMSE, mean absolute error and R², in the units of the target.

    >>> from tinynet.recipes import Run, regression
    >>> x = tn.arange(4.0).reshape(4, 1)
    >>> regression(Run.of("digits-cnn"), tn.nn.Identity(), tn.data.TensorDataset(x, x + 1))
    {'rmse': 1.0, 'mae': 1.0, 'r2': 0.19999999999999996}
    """
    predicted, actual = (to_numpy(t).astype(np.float64) for t in run.predict(model, test_set))
    rmse = float(np.sqrt(np.mean((predicted - actual) ** 2)))
    return {"rmse": rmse, "mae": tn.metrics.mean_absolute_error(actual, predicted),
            "r2": tn.metrics.r2_score(actual, predicted)}


# ---- the report
def report(run: Run, model: Any, figures: dict[str, float], train_set: Any, test_set: Any) -> dict[str, Any]:
    """All there is to say of a run, as `--json` prints it."""
    found: dict[str, Any] = {"recipe": run.name, "data": {"source": run.source, "test": _length(test_set)}}
    if not run.evaluating:
        found["data"]["train"] = _length(train_set)
    found |= {"parameters": sum(p.numel() for p in model.parameters()), "bytes": tn.compress.size_in_bytes(model)}
    if not run.evaluating:
        found["training"] = {"epochs": run.epochs, "batch_size": run.batch_size, "lr": run.lr, "seed": run.seed,
                             "device": run.device, "seconds": run.seconds}
    return found | {"metrics": figures, "seconds_per_sample": run.seconds_per_sample, "peak_memory": peak_memory(),
                    **run.shown, "files": [str(path) for path in run.files]}


def _length(data_set: Any) -> int | None:
    return len(data_set) if hasattr(data_set, "__len__") else None


def peak_memory() -> int | None:
    """The most bytes of memory that this process has had; None where the system does not tell."""
    if sys.platform == "win32":
        return None
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def as_json(found: dict[str, Any]) -> str:
    """The report for a machine; what is not a number is null."""
    return json.dumps(_finite(found), indent=2)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def as_text(found: dict[str, Any], confusion: bool = False) -> str:
    """The report for a reader; with the confusion matrix, and the figures of each class, if so asked."""
    counts = found["data"]
    samples = [f"{counts[part]:,} to {verb}" for part, verb in (("train", "train with"), ("test", "test with"))
               if counts.get(part) is not None]
    parameters = f"{found['parameters']:,}" if found["parameters"] else "none to train"
    rows = [("recipe", found["recipe"]), ("data", "; ".join([counts["source"], " and ".join(samples)])),
            ("parameters", f"{parameters} ({size(found['bytes'])})")]
    if training := found.get("training"):
        epochs = training["epochs"]
        rows.append(("training", f"{epochs} epoch{'s' * (epochs > 1)} in {duration(training['seconds'])}"))
    rows += [(_label(name), figure(name, value)) for name, value in found["metrics"].items()]
    if found["seconds_per_sample"] is not None:
        rows.append(("time", f"{duration(found['seconds_per_sample'])} a sample"))
    if found["peak_memory"] is not None:
        rows.append(("peak memory", size(found["peak_memory"])))
    if found["files"]:
        rows.append(("written", ", ".join(found["files"])))
    width = max(len(name) for name, _ in rows)
    lines = [f"{name:{width}}  {value}" for name, value in rows]
    for title, value in found.items():
        if isinstance(value, str) and title != "recipe":
            lines += ["", title, "", value]
        elif isinstance(value, list) and title != "files":
            lines += ["", *table(list(value[0]), [[_cell(k, v) for k, v in row.items()] for row in value])]
    if confusion and "confusion" in found:
        lines += ["", *_each_class(**found["confusion"]), "", confusion_table(**found["confusion"])]
    return "\n".join(lines)


def _label(name: str) -> str:
    return {"f1": "F1", "rmse": "RMSE", "mae": "MAE", "r2": "R²"}.get(name, name)


def figure(name: str, value: float) -> str:
    """A metric: a share in percent, another number with four digits or all before the point."""
    return f"{value:.2%}" if name in SHARES else rounded(value)


def _cell(name: str, value: Any) -> str:
    if isinstance(value, float):
        return figure(name, value)
    return f"{value:,}" if isinstance(value, int) else str(value)


def duration(seconds: float) -> str:
    """A time a person can read: 21.3 µs, 8.21 s, 12 min 5 s."""
    if seconds >= 120:
        return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
    unit, factor = ("s", 1.0) if seconds >= 1 else ("ms", 1e3) if seconds >= 1e-3 else ("µs", 1e6)
    return f"{seconds * factor:.3g} {unit}"


def _each_class(classes: list[str], counts: list[list[int]]) -> list[str]:
    """Precision, recall and F1 of each class, and how many samples it has."""
    c = np.array(counts)
    truth, predicted = (np.repeat(np.indices(c.shape)[k].ravel(), c.ravel()) for k in (0, 1))
    each = [score(truth, predicted, labels=range(len(c)), average=None, zero_division=0) for score in _SCORES.values()]
    rows = [[name, *(f"{score[k]:.2%}" for score in each), f"{c[k].sum():,}"] for k, name in enumerate(classes)]
    return table(["class", "precision", "recall", "F1", "samples"], rows)


def confusion_table(classes: list[str], counts: Any) -> str:
    """A confusion matrix as text: a row for each true class, a column for each predicted one, dots for 0."""
    widths = [max(4, len(name) + 1) for name in classes]
    lines = ["true \\ predicted " + "".join(f"{name:>{w}}" for name, w in zip(classes, widths, strict=True))]
    for name, row in zip(classes, counts, strict=True):
        lines.append(f"{name:>16} " + "".join(f"{n or '.':>{w}}" for n, w in zip(row, widths, strict=True)))
    return "\n".join(lines)
