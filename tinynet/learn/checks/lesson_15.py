"""Lesson 15, fast on the CPU: a matrix product in blocks, softmax in blocks, a convolution shared by workers."""
from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from numba import njit

from tinynet.learn import close, draw, reference, require
from tinynet.learn.compare import values

SIZES = st.integers(1, 5)


# ---- matrix products
@reference("15.matmul_blocked")
def matmul_blocked(a, b, size, product):
    """a @ b: for each block of b, its product with the columns of a that belong to it is added to c."""
    c = np.zeros((len(a), b.shape[1]), a.dtype)
    for k in range(0, len(b), size):
        for j in range(0, b.shape[1], size):
            c[:, j:j + size] += product(a[:, k:k + size], b[k:k + size, j:j + size])
    return c


class Counting:
    """A product that looks at what it is asked to do."""

    def __init__(self, size: int) -> None:
        self.size, self.work = size, 0

    def __call__(self, a: Any, b: Any) -> Any:
        require(a.ndim == b.ndim == 2 and a.shape[1] == len(b), f"product was given shapes {a.shape} and {b.shape}: "
                "they do not fit", "The same rows of b and columns of a belong together: both from k to k + size.")
        require(max(b.shape) <= self.size, f"a block of b has the shape {b.shape}, and size is {self.size}", "Cut b in "
                "both directions: b[k:k + size, j:j + size].")
        self.work += a.shape[0] * a.shape[1] * b.shape[1]
        return a @ b


@matmul_blocked.property("it is a @ b, also where the blocks do not come out even", a="n k", b="k m", size=SIZES)
def _(mine, a, b, size):
    close(mine(a, b, size, Counting(size)), a @ b, "Each block of c is a sum over all k: begin with zeros and add, +=. "
          "range(0, n, size) has the last, smaller block too.")


@matmul_blocked.property("each multiplication is done once, by product", a="n k", b="k m", size=SIZES)
def _(mine, a, b, size):
    product = Counting(size)
    mine(a, b, size, product)
    close(product.work, a.size * b.shape[1], "Two loops, over k and j, in steps of `size`, and one call of product in "
          "them.")


# ---- softmax
@reference("15.softmax_blocked")
def softmax_blocked(x, rows):
    """exp(x - max) / sum of each row, so many rows at a time, without temporary arrays of x's size."""
    out = np.empty_like(x)
    for r in range(0, len(x), rows):
        part, here = x[r:r + rows], out[r:r + rows]
        np.subtract(part, part.max(1, keepdims=True), out=here)
        np.exp(here, out=here)
        here /= here.sum(1, keepdims=True)
    return out


@softmax_blocked.property("each row sums to 1", x="n k", rows=SIZES)
def _(mine, x, rows):
    got = values(mine(x, rows))
    require(got.shape == x.shape, f"the shape should be {x.shape}, not {got.shape}", "The last block may have fewer "
            "rows: a slice takes care of that, x[r:r + rows].")
    close(got.sum(1), np.ones(len(x)), "Divide each row by its own sum: here.sum(1, keepdims=True), once exp has been "
          "taken.")


softmax_blocked.agrees("it is softmax, of large scores too", x=draw.arrays((5, 3), -1000, 1000), rows=SIZES,
                       hint="Subtract each row's own maximum before exp: max(1, keepdims=True).")


# ---- workers
@reference("15.conv_share", inplace=True)
@njit(nogil=True)
def conv_share(worker, workers, x, w, y):
    """Channel o of image i of y for the tasks i · channels + o that are worker, worker + workers, …; how many."""
    images, channels, height, width = y.shape
    done = 0
    for task in range(worker, images * channels, workers):
        image, o = task // channels, task % channels
        y[image, o] = 0.0
        for r in range(w.shape[2]):
            for s in range(w.shape[3]):
                for c in range(w.shape[1]):
                    weight = w[o, c, r, s]
                    for i in range(height):
                        for j in range(width):
                            y[image, o, i, j] += weight * x[image, c, i + r, j + s]
        done += 1
    return done


def whole(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """The convolution, by the reference kernel."""
    from tinynet.kernels.reference.conv import conv2d

    return conv2d(np, x, w, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1)


SHAPES = {"seed": draw.seed(), "images": st.integers(1, 3), "channels": st.integers(1, 3), "workers": st.integers(1, 4)}


def case(seed: int, images: int, channels: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, w and the right y, of small whole numbers."""
    rng = np.random.default_rng(seed)
    x = rng.integers(-3, 4, (images, 2, 4, 5)).astype(np.float32)
    w = rng.integers(-3, 4, (channels, 2, 3, 2)).astype(np.float32)
    return x, w, whole(x, w)


@conv_share.property("one worker by itself does all of it", examples=8, seed=draw.seed(), images=st.integers(1, 3),
                     channels=st.integers(1, 3))
def _(mine, seed, images, channels):
    x, w, want = case(seed, images, channels)
    y = np.full_like(want, np.nan)
    mine(0, 1, x, w, y)
    require(not np.isnan(y).any(), f"{np.isnan(y).mean():.0%} of y was not written, or is nan", "y holds anything at "
            "the beginning: set a task's part to 0, then add. Task t is image t // channels, channel t % channels.")
    close(y, want, "Add up over c, r and s: at row i and column j of y goes w[o, c, r, s] times x[image, c] at "
          "row i + r and column j + s.")


@conv_share.property("each task is done by exactly one worker", examples=10, **SHAPES)
def _(mine, seed, images, channels, workers):
    x, w, want = case(seed, images, channels)
    writers = np.zeros((images, channels), int)
    for worker in range(workers):
        y = np.full_like(want, np.nan)
        mine(worker, workers, x, w, y)
        writers += ~np.isnan(y).all((2, 3))
    close(writers, np.ones_like(writers), "Worker number `worker` of `workers` takes every workers-th task, beginning "
          "with its own number. Two that write to one place spoil each other's sums; what nobody writes is missing.",
          what="this many workers write to each channel of each image")


@conv_share.property("the work is shared evenly, and each says how much it did", examples=10, **SHAPES)
def _(mine, seed, images, channels, workers):
    x, w, want = case(seed, images, channels)
    counts, y = [], np.full_like(want, np.nan)
    for worker in range(workers):
        counts.append(mine(worker, workers, x, w, y))
    require(all(isinstance(c, int | np.integer) for c in counts), f"numbers of tasks are expected, not {counts}",
            "Return how many tasks this worker did.")
    close(sum(counts), images * channels, "A task is one channel of one image. Count those that this worker did.")
    require(max(counts) - min(counts) <= 1, f"the workers did {counts} tasks", "The last one to finish decides how "
            "long it takes: nobody should have two tasks more than another.")
    close(y, want, "All together must give the whole convolution.")
