"""What the first cells of a lesson do: choose its size, say how long it will take here, set up the figures."""
from __future__ import annotations

import os
import time
import warnings
from typing import Any

import numpy as np

SCALES = ("ci", "laptop", "full")
YARDSTICK = 0.0039  # seconds that `measure` takes on the two-core machine where the lessons were timed


def scale() -> str:
    """$TINYNET_SCALE: ci (smallest), laptop (where it is not set) or full. ValueError for another word.

    >>> tn.learn.lessons.scale()
    'laptop'
    """
    word = os.environ.get("TINYNET_SCALE", "laptop")
    if word not in SCALES:
        raise ValueError(f"TINYNET_SCALE is {word!r}; choose from {', '.join(SCALES)}")
    return word


def sized(ci: Any, laptop: Any, full: Any = None) -> Any:
    """The one of these that is meant for this scale; without `full`, laptop's serves for it too.

    >>> tn.learn.sized(ci=100, laptop=10_000)
    10000
    """
    return {"ci": ci, "laptop": laptop, "full": laptop if full is None else full}[scale()]


class Stop(Exception):
    """A lesson cannot go on here: Jupyter shows the sentence and no traceback, and Run All goes no further."""

    def _render_traceback_(self) -> list[str]:  # IPython asks for it
        return [str(self)]


def begin(ci: float, laptop: float, full: float | None = None) -> str:
    """Print how long the lesson will take here, of the seconds it takes at each scale on the machine where it was
    timed; set up figures that can be read in grey, and the random numbers. Returns the scale."""
    import matplotlib.pyplot as plt
    from cycler import cycler

    from tinynet.random import manual_seed

    styles = cycler(color=["#08306b", "#d95f0e", "#31a354", "#7a7a7a"]) + cycler(linestyle=["-", "--", ":", "-."])
    plt.rcParams.update({"axes.prop_cycle": styles, "figure.figsize": (6.4, 3.6), "figure.dpi": 90,
                         "axes.grid": True, "grid.alpha": 0.3, "image.cmap": "gray", "lines.linewidth": 2,
                         "figure.constrained_layout.use": True})
    warnings.filterwarnings("ignore", message="IProgress not found")  # progress bars are text without ipywidgets
    manual_seed(0)
    np.random.seed(0)
    seconds = sized(ci, laptop, full) * measure() / YARDSTICK
    print(f"SCALE = {scale()}: Run All takes about {in_words(seconds)} on this machine "
          f"(TINYNET_SCALE = {', '.join(s for s in SCALES if s != scale())} before Jupyter starts changes that).")
    return scale()


def measure() -> float:
    """Seconds for a little of what lessons do, arithmetic on arrays and loops of Python: the best of nine."""
    a, best = np.linspace(0, 1, 100_000, dtype=np.float32), float("inf")
    for _ in range(9):
        start = time.perf_counter()
        for _ in range(10):
            a = np.tanh(a * 0.9 + 0.1)
        sum(k * k for k in range(30_000))
        best = min(best, time.perf_counter() - start)
    return best


def in_words(seconds: float) -> str:
    """A time, rounded as one would say it.

    >>> tn.learn.lessons.in_words(257.0)
    '4 minutes'
    """
    if seconds < 90:
        return f"{max(5, 5 * round(seconds / 5))} seconds"
    return f"{round(seconds / 60)} minutes"
