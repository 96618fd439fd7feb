"""Which cases the kernels here take: a condition answers True, or says why not. Nothing here needs CuPy or g++."""
from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

Answer = bool | str | None
MOST_MATRICES = 2**15  # an axis of a grid has not much more
precision = "fp32"  # how products are computed: or "tf32", on tensor cores


def set_precision(name: str) -> None:
    """How the kernels multiply float32: "fp32", exactly; or "tf32", by tensor cores that look at 10 bits of each
    fraction and add in fp32, several times as fast."""
    global precision
    if name not in ("fp32", "tf32"):
        raise ValueError(f"precision must be 'fp32' or 'tf32', not {name!r}")
    precision = name


def on(home: str, takes: Callable[..., Answer]) -> Callable[..., Answer]:
    """The condition for arrays of one module; None where they are another's, whom this does not concern."""
    @functools.wraps(takes)
    def condition(xp: Any, *arrays: Any, **options: Any) -> Answer:
        return takes(*arrays, **options) if xp.__name__ == home else None
    return condition


def when_asked(xp: Any, *arrays: Any, **options: Any) -> Answer:
    """The emulator is there to be looked into, not to be fast."""
    return 'runs only where use_kernels("emu") asks for it'


def floats(*arrays: Any, **options: Any) -> Answer:
    """float32, with something in them."""
    arrays = tuple(a for a in arrays if a is not None)
    if any(a.dtype != np.float32 or not a.dtype.isnative for a in arrays):
        return f"takes float32, not {', '.join(a.dtype.name for a in arrays)}"
    return all(a.size for a in arrays) or "takes no array without elements"


def matrices(a: Any, b: Any) -> Answer:
    """Matrices, or arrays of them."""
    if min(a.ndim, b.ndim) < 2:
        return "takes matrices, not vectors"
    if math.prod(np.broadcast_shapes(a.shape[:-2], b.shape[:-2])) > MOST_MATRICES:
        return f"takes {MOST_MATRICES:,} matrices at most"
    return floats(a, b)


def rows(x: Any, w: Any, b: Any = None, **options: Any) -> Answer:
    """Rows of inputs, and one bias for each output."""
    fit = x.ndim == w.ndim == 2 and (b is None or b.shape == w.shape[:1])
    return floats(x, w, b) if fit else "takes rows, and one bias for each output"


def lines(x: Any, **options: Any) -> Answer:
    """Scores, with an axis to sum over."""
    return floats(x) if x.ndim else "takes no array without axes"


def parameters(*lists: Any, **options: Any) -> Answer:
    """Lists of float32 arrays without gaps, and of numbers."""
    for array in (a for arrays in lists for a in arrays if not isinstance(a, (int, float))):
        if array.dtype != np.float32 or not array.flags.c_contiguous:
            return "takes float32 arrays without gaps in memory"
    return True


def images(x: Any, **options: Any) -> Answer:
    """Images whose pixels have numbers that an int holds."""
    size = options.get("size", x.shape[2:])
    return floats(x) if math.prod(size) < 2**31 else "takes images of fewer pixels"


def winners(g: Any, indices: Any, **options: Any) -> Answer:
    """Floats, and the numbers of pixels."""
    return images(g, **options) if indices.dtype == np.int64 else f"takes indices in int64, not {indices.dtype}"


def slopes(g: Any, x: Any, w: Any, y: Any = None, **options: Any) -> Answer:
    """Rows, and the gradient of each output of each."""
    return floats(g, x, w, y) if g.ndim == x.ndim == w.ndim == 2 else "takes rows"


def labelled(x: Any, labels: Any) -> Answer:
    """Scores, and a class for each sample."""
    return floats(x) if labels.dtype == np.int64 else f"takes labels in int64, not {labels.dtype}"


def labelled_slopes(g: Any, p: Any, labels: Any) -> Answer:
    """The same, and the gradient of the mean of their losses."""
    return labelled(p, labels) if g.dtype == np.float32 else f"takes float32, not {g.dtype}"
