"""Pictures of a training: curves, a confusion matrix, images. Each returns its Axes, or draws on Axes given.

matplotlib is imported when a picture is asked for, not before, and works without a display.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tinynet.dtypes import Array
from tinynet.metrics import to_numpy

__all__ = ["plot_confusion", "plot_history", "plot_images"]

# Of different lightness and different dashes, so that they can be told apart printed in grey.
TRAIN = {"color": "#9ecae1", "linewidth": 2.5, "label": "train"}
VALIDATION = {"color": "#08306b", "linewidth": 1.5, "linestyle": "--", "label": "validation"}


def plot_history(history: Any, quantities: str | Sequence[str] | None = None, ax: Any = None) -> Array:
    """One panel for each quantity, training and validation over the epochs; returns an array of Axes.

    history: a mapping (or an object whose `.history` is one) from names to one number an epoch; the
    validation's values of `loss` are under `val_loss`. quantities: which to draw (default: all). ax: Axes to
    draw on, one for each.

    >>> axes = tn.viz.plot_history({"loss": [2.0, 1.0, 0.5], "val_loss": [2.1, 1.3, 1.0]})  # doctest: +SKIP
    """
    curves: Mapping[str, Sequence[float]] = getattr(history, "history", history)
    if quantities is None:
        names = list(dict.fromkeys(name.removeprefix("val_") for name in curves))
    else:
        names = [quantities] if isinstance(quantities, str) else list(quantities)
    for name in names:
        if name not in curves and f"val_{name}" not in curves:
            raise ValueError(f"the history has no {name!r}; it has {', '.join(map(repr, curves))}")
    axes = _panels(ax, len(names), (5.0, 3.6))
    for panel, name in zip(axes, names, strict=True):
        for key, style in ((name, TRAIN), (f"val_{name}", VALIDATION)):
            if key in curves:
                values = [float(v) for v in curves[key]]
                marker = "o" if len(values) < 3 else None
                panel.plot(range(1, len(values) + 1), values, marker=marker, **style)
        panel.set_xlabel("epoch")
        panel.set_ylabel(name.replace("_", " "))
        panel.xaxis.get_major_locator().set_params(integer=True)
        panel.grid(color="0.9")
        panel.set_axisbelow(True)
        panel.spines[["top", "right"]].set_visible(False)
        panel.legend(frameon=False)
    return axes


def plot_confusion(matrix: Any, labels: Sequence[Any] | None = None, ax: Any = None) -> Any:
    """A confusion matrix (rows: true, columns: predicted) as shaded counts; returns its Axes.

    Each row is shaded by its share of that row, so that a rare class is as readable as a frequent one.

    >>> ax = tn.viz.plot_confusion([[9, 1], [2, 8]], labels=["cat", "dog"])  # doctest: +SKIP
    """
    counts = to_numpy(matrix)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1]:
        raise ValueError(f"a confusion matrix is square, got shape {counts.shape}")
    n = len(counts)
    names = [str(label) for label in (range(n) if labels is None else labels)]
    if len(names) != n:
        raise ValueError(f"{len(names)} labels for a confusion matrix of {n} classes")
    (panel,) = _panels(ax, 1, (max(3.5, 0.5 * n + 1.2),) * 2)
    total = counts.sum(axis=1, keepdims=True)
    share = counts / np.where(total == 0, 1, total)
    panel.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for row in range(n):
        for column in range(n):
            if counts[row, column]:
                panel.text(column, row, _short(counts[row, column]), ha="center", va="center",
                           color="white" if share[row, column] > 0.7 else "black")
    panel.set_xticks(range(n), names, rotation=45 if max(map(len, names)) > 3 else 0)
    panel.set_yticks(range(n), names)
    panel.set_xticks(np.arange(0.5, n - 1), minor=True)
    panel.set_yticks(np.arange(0.5, n - 1), minor=True)
    panel.grid(which="minor", color="0.85")
    panel.tick_params(which="both", length=0)
    panel.set_xlabel("predicted")
    panel.set_ylabel("true")
    return panel


def plot_images(images: Any, titles: Sequence[Any] | None = None, columns: int = 8, ax: Any = None) -> Array:
    """Images in rows of `columns`, one channel as dark ink on light, titles above; returns an array of Axes.

    images: N x H x W, N x 1 x H x W or N x 3 x H x W (colours in [0, 1] or bytes).

    >>> images, labels = tn.data.datasets.digits().tensors
    >>> axes = tn.viz.plot_images(images[:16], titles=labels[:16].tolist())  # doctest: +SKIP
    """
    pictures = to_numpy(images)
    if pictures.ndim == 3:
        pictures = pictures[:, None]
    if pictures.ndim != 4 or pictures.shape[1] not in (1, 3) or len(pictures) == 0:
        raise ValueError(
            f"images must have shape (N, H, W), (N, 1, H, W) or (N, 3, H, W), got {pictures.shape}")
    if titles is not None and len(titles) != len(pictures):
        raise ValueError(f"{len(titles)} titles for {len(pictures)} images")
    axes = _panels(ax, len(pictures), (1.1, 1.3), columns)
    for k, (panel, picture) in enumerate(zip(axes, pictures, strict=True)):
        pixels = picture[0] if len(picture) == 1 else picture.transpose(1, 2, 0)
        panel.imshow(pixels, cmap="gray_r", interpolation="nearest")
        panel.set_xticks([])
        panel.set_yticks([])
        if titles is not None:
            panel.set_title(str(titles[k]), fontsize=9)
    return axes


def _panels(ax: Any, n: int, size: tuple[float, float], columns: int = 4) -> Array:
    """The n Axes given, or those of a new figure of panels of that size in inches."""
    if ax is not None:
        given = np.array(ax, dtype=object).ravel()
        if len(given) != n:
            raise ValueError(f"there are {n} panels to draw, and ax= gives {len(given)} Axes")
        return given
    from matplotlib import pyplot as plt

    columns = min(n, columns)
    rows = -(-n // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(size[0] * columns, size[1] * rows), squeeze=False,
                                layout="constrained")
    for unused in axes.ravel()[n:]:
        figure.delaxes(unused)
    return axes.ravel()[:n]


def _short(value: Any) -> str:
    return str(value) if isinstance(value, np.integer) else f"{value:.2g}"
