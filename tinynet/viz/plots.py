"""Pictures of a training, by matplotlib: curves, a confusion matrix, images, filters, predictions. Each returns its
Axes, or draws on Axes given."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tinynet.dtypes import Array
from tinynet.metrics import r2_score, to_numpy
from tinynet.text import rounded

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
        panel.set_ylabel({"lr": "learning rate", "r2_score": "R²"}.get(name, name.replace("_", " ")))
        panel.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        _frame(panel)
        if f"val_{name}" in curves:
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
    form = ".0f" if (counts == np.round(counts)).all() else ".2f"
    for row in range(n):
        for column in range(n):
            text = format(counts[row, column], form)
            if float(text):
                panel.text(column, row, text, ha="center", va="center",
                           color="white" if share[row, column] > 0.7 else "black")
    slant: dict[str, Any] = {"rotation": 45, "rotation_mode": "anchor", "ha": "right"}
    panel.set_xticks(range(n), names, **(slant if max(map(len, names)) > 3 else {}))
    panel.set_yticks(range(n), names)
    panel.set_xticks(np.arange(0.5, n - 1), minor=True)
    panel.set_yticks(np.arange(0.5, n - 1), minor=True)
    panel.grid(visible=False, which="major")
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
    longest = max(map(len, map(str, titles or [""])))
    for k, (panel, picture) in enumerate(zip(axes, pictures, strict=True)):
        pixels = picture[0] if len(picture) == 1 else picture.transpose(1, 2, 0)
        panel.imshow(pixels, cmap="gray_r", interpolation="nearest")
        panel.set_xticks([])
        panel.set_yticks([])
        if titles is not None:
            panel.set_title(str(titles[k]), fontsize=9 if longest < 14 else 126 / longest)  # as wide as the image
    return axes


def plot_filters(weight: Any, columns: int = 8, ax: Any = None) -> Any:
    """The filters of a convolution as tiles of one picture; returns its Axes.

    weight: a layer that has one, or O x C x H x W, or O x H x W. Filters of one channel (blue below 0, red above,
    white at 0) and of three (as colours) stand in rows of `columns`; of others each row is a filter, each column one of
    its input channels.

    >>> ax = tn.viz.plot_filters(tn.nn.Conv2d(1, 32, 3))  # doctest: +SKIP
    """
    filters = to_numpy(getattr(weight, "weight", weight))
    if filters.ndim == 3:
        filters = filters[:, None]
    if filters.ndim != 4 or 0 in filters.shape:
        raise ValueError(f"filters must have shape (O, C, H, W) or (O, H, W), got {filters.shape}")
    n, channels, h, w = filters.shape
    in_rows = channels in (1, 3)
    most = np.abs(filters).max() or 1.0
    if channels == 3:
        tiles: Array = (filters / (2 * most) + 0.5).transpose(0, 2, 3, 1)
    else:
        tiles = filters.reshape(n * channels, h, w)
    across = min(columns, n) if in_rows else channels
    down = -(-len(tiles) // across)
    mosaic, rows, columns_at = _mosaic(tiles, across, down)
    (panel,) = _panels(ax, 1, (6.0, min(5.0 * mosaic.shape[0] / mosaic.shape[1] + 0.8, 12.0)))
    shown = panel.imshow(mosaic, cmap="RdBu_r", vmin=-most, vmax=most, interpolation="nearest")
    _number(panel.set_xticks, columns_at, 0 if in_rows else 1)
    _number(panel.set_yticks, rows, across if in_rows else 1)
    panel.set_xlabel("" if in_rows else "input channel")
    panel.set_ylabel("number of the first filter" if in_rows else "filter")
    panel.tick_params(length=0)
    panel.set_title(f"{n} filter{'s' * (n > 1)} of {channels} × {h} × {w}", fontsize=10)
    panel.spines[:].set_visible(False)
    if channels != 3:
        panel.figure.colorbar(shown, ax=panel, fraction=0.05, aspect=30, label="weight")
    return panel


def _mosaic(tiles: Array, across: int, down: int) -> tuple[Array, Array, Array]:
    """The tiles in rows, in one image with gaps between them, each number drawn as a square of pixels; and where the
    middles of its rows and columns are."""
    zoom, gap = 6, 4
    tiles = tiles.repeat(zoom, 1).repeat(zoom, 2)
    h, w = tiles.shape[1:3]
    image = np.full((down * (h + gap) - gap, across * (w + gap) - gap, *tiles.shape[3:]),
                    np.nan if tiles.ndim == 3 else 1.0)
    for k, tile in enumerate(tiles):
        top, left = k // across * (h + gap), k % across * (w + gap)
        image[top:top + h, left:left + w] = tile
    return image, np.arange(down) * (h + gap) + h / 2, np.arange(across) * (w + gap) + w / 2


def _number(set_ticks: Any, places: Array, step: int) -> None:
    """Ticks at these places, not more than 16, numbered in steps; none for step 0."""
    every = -(-len(places) // 16)
    set_ticks(places[::every] if step else [], [str(step * k) for k in range(0, len(places), every)] if step else [])


def plot_predicted_vs_actual(y_true: Any, y_pred: Any, ax: Any = None) -> Any:
    """A point for each sample, its actual value across and the predicted one up; on the line they are equal. The title
    has RMSE and R². Returns its Axes.

    >>> ax = tn.viz.plot_predicted_vs_actual([1.0, 2.0, 3.0], [1.1, 1.9, 3.2])  # doctest: +SKIP
    """
    actual, predicted = to_numpy(y_true).ravel().astype(np.float64), to_numpy(y_pred).ravel().astype(np.float64)
    if len(actual) != len(predicted) or len(actual) < 2:
        raise ValueError(f"y_true and y_pred must have the same number of values, at least 2, got {len(actual)} and "
                         f"{len(predicted)}")
    r2, rmse = r2_score(actual, predicted), float(np.sqrt(np.mean((actual - predicted) ** 2)))
    (panel,) = _panels(ax, 1, (4.6, 4.6))
    low, high = min(actual.min(), predicted.min()), max(actual.max(), predicted.max())
    room = 0.04 * (high - low) or 1.0
    limits = low - room, high + room
    faint = float(np.clip(10 / len(actual) ** 0.5, 0.1, 0.9))  # where many lie on one another
    panel.scatter(actual, predicted, s=14, alpha=faint, color="#08306b", linewidths=0)
    panel.plot(limits, limits, color="#b5651d", linewidth=1.2, linestyle="--", label="predicted = actual")
    panel.set(xlim=limits, ylim=limits, xlabel="actual", ylabel="predicted", aspect="equal")
    for axis in (panel.xaxis, panel.yaxis):
        axis.get_major_locator().set_params(nbins=5)
        axis.set_major_formatter(lambda value, _: rounded(value))
    panel.set_title(f"{len(actual):,} samples: RMSE {rounded(rmse)}, R² {r2:.3f}", fontsize=10)
    _frame(panel)
    panel.legend(frameon=False, loc="upper left")
    return panel


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


def _frame(panel: Any) -> None:
    """A light grid behind, and no box around."""
    panel.grid(color="0.9")
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)
