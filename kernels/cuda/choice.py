"""Which cases the kernels here take: a condition answers True, or says why not. Nothing here needs CuPy or g++."""
from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..windows import Pair, Windows
from .pieces import view_of

Answer = bool | str | None
MOST_MATRICES = 2**15  # an axis of a grid has not much more
MOST_NUMBERS = 2**31 - 2**16  # of images: an int holds their places, and those of a tile beyond the end
TOO_MANY = f"takes {MOST_NUMBERS:,} numbers at most, in {MOST_MATRICES:,} groups"
MOST_FEATURES = 128  # of a head: shared memory has room for no more
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


def windowed(x: Any, w: Any, b: Any = None, *, stride: Pair, padding: Pair, dilation: Pair, groups: int) -> Answer:
    """Images and filters; and numbers of all that comes of them that an int holds."""
    out = Windows(x.shape[2:], w.shape[2:], stride, padding, dilation).out
    return floats(x, w, b) if _few(x.size, len(x) * len(w) * math.prod(out), groups=groups) else TOO_MANY


def windowed_back(g: Any, w: Any, *, size: Pair, groups: int, **how: Pair) -> Answer:
    """The gradient of such an output, and filters, for images of `size`."""
    fits = _few(g.size, w.size, len(g) * w.shape[1] * groups * math.prod(size), groups=groups)
    return floats(g, w) if fits else TOO_MANY


def windowed_both(x: Any, g: Any, *, size: Pair, groups: int, **how: Pair) -> Answer:
    """Images, and such a gradient, for filters of `size`."""
    weights = g.shape[1] * x.shape[1] // groups * math.prod(size)
    return floats(x, g) if _few(x.size, g.size, weights, groups=groups) else TOO_MANY


def windowed_all(g: Any, kept: Any, x: Any, w: Any, *, wanted: Any, **how: Any) -> Answer:
    """The gradient of what came of a convolution, its result or who won there, and what the convolution took."""
    fit = windowed(x, w, **how)
    return floats(g, *[kept] * (kept.dtype != np.uint8)) if fit is True else fit


def alike(g: Any, y: Any) -> Answer:
    """Two arrays of one shape."""
    return floats(g, y) if g.shape == y.shape else "takes arrays of the same shape"


def blocks(x: Any, winner: Any, **options: Any) -> Answer:
    """Images, and the number of the pixel that won in each 2 x 2 block."""
    return floats(x) if x.ndim == winner.ndim == 4 and winner.dtype == np.uint8 else "takes winners in uint8"


def _few(*sizes: int, groups: int) -> bool:
    return max(sizes) <= MOST_NUMBERS and groups <= MOST_MATRICES


def labelled(x: Any, labels: Any) -> Answer:
    """Scores, and a class for each sample."""
    return floats(x) if labels.dtype == np.int64 else f"takes labels in int64, not {labels.dtype}"


def labelled_slopes(g: Any, p: Any, labels: Any) -> Answer:
    """The same, and the gradient of the mean of their losses."""
    return labelled(p, labels) if g.dtype == np.float32 else f"takes float32, not {g.dtype}"


def heads(q: Any, k: Any, v: Any, mask: Any = None, **options: Any) -> Answer:
    """Queries, keys and values of heads that are not too wide; a mask of numbers or bools."""
    if max(q.shape[-1], v.shape[-1]) > MOST_FEATURES:
        return f"takes heads of {MOST_FEATURES} features at most"
    return floats(q, k, v, None if mask is None or mask.dtype == bool else mask)


def heads_back(g: Any, q: Any, k: Any, v: Any, mask: Any, *kept: Any, **options: Any) -> Answer:
    """The same, and the gradient of what came of them."""
    answer = floats(g, *kept)
    return heads(q, k, v, mask) if answer is True else answer


def normalizable(x: Any, w: Any, b: Any, *, dim: tuple[int, ...], eps: float) -> Answer:
    """Rows or channels, with a weight and a bias for each number of a row, or each channel."""
    return _normal(x, dim, *(a if a is None else a.shape for a in (w, b))) if (fit := floats(x, w, b)) is True else fit


def normalized(g: Any, of_mean: Any, of_var: Any, x: Any, w: Any, mean: Any, var: Any, *, b_shape: Any,
               dim: tuple[int, ...], eps: float) -> Answer:
    """The same, and the gradients of all that came of it."""
    fit = floats(g, of_mean, of_var, x, w, mean, var)
    return _normal(x, dim, None if w is None else w.shape, b_shape) if fit is True else fit


def _normal(x: Any, dim: tuple[int, ...], *parameters: Any) -> Answer:
    if x.size >= 2**31:
        return "takes fewer than 2**31 numbers"
    try:
        view_of(x, dim, *parameters)
    except ValueError as why_not:
        return str(why_not)
    return True


def numbered(g: Any, index: Any, *, rows: int) -> Answer:
    """Floats, and the numbers of the rows that they are for."""
    if index.dtype.kind != "i":
        return f"takes numbers of rows, not {index.dtype}"
    return floats(g) if rows < 2**31 and index.size < 2**30 else "takes fewer than 2**31 rows, and 2**30 places"


def scattered(out: Any, values: Any, **options: Any) -> Answer:
    """Floats of one dtype, few enough that an int numbers them."""
    return floats(out, values) if max(out.size, values.size) < 2**30 else "takes fewer than 2**30 numbers"


def counters(*, blocks: int, **options: Any) -> Answer:
    """Some blocks of random words."""
    return blocks > 0 or "takes one block at least"


def droppable(x: Any, noise: Any, *, drawn: Any = None, **options: Any) -> Answer:
    """Floats, for which the kernel draws."""
    if drawn is None:
        return "draws by itself, where it is told to begin"
    return floats(x) if x.size < 2**31 - 2**10 else "takes fewer than 2**31 numbers"
