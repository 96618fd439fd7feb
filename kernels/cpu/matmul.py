"""Products of matrices: how `panel` is fed.

A worker takes two registers' width of columns of b at a time, packs them so that they lie side by side, and lets
`panel` multiply many rows of a with them; a small b it packs whole, and then goes along the rows of c. a is read where
it lies, by rows or by columns: for `panel` a transposed matrix is one whose two tables are exchanged.
"""
from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np

from .blocks import before_relu
from .compiler import jit, parallel, span
from .layout import flat, ravel, steps, transpose
from .panel import FROM_BIAS, FROM_C, FROM_ZERO, TALL, panel
from .threads import get_num_threads, scratch, workers_for
from .vector import BYTES, at, lanes, load, store, transpose_square

Shape = tuple[int, ...]
DEPTH = 2048  # rows of b that are packed at a time: a quarter of a megabyte, in the second cache
WHOLE = 65_536  # numbers of a b that is packed whole: as many
BLOCK = 16 * TALL  # rows of a that one task multiplies with them
FAR = 2048  # bytes from one column of a to the next at which it pays to transpose it first,
REUSED = 256  # if there are so many columns of b to be multiplied with
SHALLOW = 32  # a depth at which c is much more memory than a and b


class Product(NamedTuple):
    """Sizes and strides of c = a b + bias, for a (rows, depth), b (depth, columns), and c without gaps."""

    matrices: int
    rows: int
    depth: int
    columns: int
    a_down: int  # from one row of a to the next, and from one column
    a_right: int
    b_down: int
    b_right: int
    block: int  # rows of a task
    across: int  # whether tasks follow one another along the rows of c, or down a panel
    whole: int  # whether a worker packs all of b
    a_rows: Any  # tables: where the rows of a task begin in a and in c, and where the columns of a
    a_columns: Any
    c_rows: Any
    start: int
    relu: int


@parallel
def product(worker, workers, a, b, c, a_starts, b_starts, bias, work, s: Product):
    """c = a b, for each matrix a that begins in a_starts, b in b_starts."""
    packed, wide = at(work[worker], 0), 2 * lanes(a)
    panels, blocks = (s.columns + wide - 1) // wide, (s.rows + s.block - 1) // s.block
    in_place = -1  # the panel that is packed, or the matrix
    for task in span(worker, workers, s.matrices * panels * blocks):
        matrix, rest = task // (panels * blocks), task % (panels * blocks)
        p, r = (rest % panels, rest // panels) if s.across else (rest // blocks, rest % blocks)
        this, column, first = matrix if s.whole else matrix * panels + p, p * wide, r * s.block
        rows, columns = min(s.block, s.rows - first), min(wide, s.columns - column)
        for k in range(0, s.depth, DEPTH):
            depth = min(DEPTH, s.depth - k)
            if this != in_place or s.depth > DEPTH:
                for n in range(0 if s.whole else column, s.columns if s.whole else column + 1, wide):
                    corner = b_starts[matrix] + k * s.b_down + n * s.b_right
                    pack(b, corner, s.b_down, s.b_right, depth, min(wide, s.columns - n),
                         at(packed, n * depth if s.whole else 0))
                in_place = this
            panel(rows, columns, depth,
                  at(a, a_starts[matrix] + first * s.a_down + k * s.a_right), at(s.a_rows, 0), at(s.a_columns, 0),
                  at(packed, column * depth if s.whole else 0), wide,
                  at(c, (matrix * s.rows + first) * s.columns + column), at(s.c_rows, 0),
                  FROM_C if k else s.start, at(bias, column), s.relu and k + depth == s.depth)


@jit
def pack(b, start, down, right, depth, columns, out):
    """out[k · 2 lanes + n] = b[start + k · down + n · right], for k < depth and n < columns: a panel, row after row."""
    size = lanes(b)
    wide, whole = 2 * size, 0
    if right == 1 and columns == wide:  # whole rows
        for k in range(depth):
            store(out, k * wide, load(b, start + k * down))
            store(out, k * wide + size, load(b, start + k * down + size))
        return
    if down == 1:  # columns lie side by side in b: squares of them, transposed
        whole = depth // size * size
        for n in range(0, columns // size * size, size):
            for k in range(0, whole, size):
                transpose_square(b, start + n * right + k, right, out, k * wide + n, wide)
    for k in range(depth):
        for n in range(columns // size * size if k < whole else 0, columns):
            out[k * wide + n] = b[start + k * down + n * right]


# ---- for NumPy's arrays
def matmul(xp: Any, a: Any, b: Any) -> Any:
    """y[…, i, j] = Σ_k a[…, i, k] b[…, k, j], leading axes broadcast."""
    lead = () if a.ndim == b.ndim == 2 else np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    c = np.empty((*lead, a.shape[-2], b.shape[-1]), a.dtype)
    multiply(a, b, c, None, False)
    return c


def linear(xp: Any, x: Any, w: Any, b: Any = None, *, relu: bool = False) -> Any:
    """y[n, o] = b[o] + Σ_i x[n, i] w[o, i]; relu: max(y, 0)."""
    y = np.empty((len(x), len(w)), x.dtype)
    multiply(x, w.T, y, b, relu)
    return y


def linear_grad(xp: Any, g: Any, x: Any, w: Any, y: Any = None, *, wanted: Any) -> Any:
    """The gradients of x, w and b, None where not wanted; y: after ReLU."""
    if y is None:
        sums = g.sum(0) if wanted[2] else None
    else:
        before, sums = before_relu(ravel(g), ravel(y), y.shape[1])
        g = before.reshape(y.shape)
    return (matmul(xp, g, w) if wanted[0] else None, matmul(xp, g.T, x) if wanted[1] else None,
            sums if wanted[2] else None)


def multiply(a: Any, b: Any, c: Any, bias: Any, relu: bool) -> None:
    """c = a b + bias, for a matrix c or as many as it holds; relu: max(c, 0)."""
    shapes = c.shape[:-2], a.shape, b.shape
    (a, a_strides), (b, b_strides) = flat(a), flat(b)
    if a_strides == (1, shapes[1][0]) and a_strides[1] * a.itemsize >= FAR and shapes[2][1] >= REUSED:
        columns, rows = a_strides[1], shapes[1][1]
        a, by_columns, a_strides = np.empty_like(a), a, (rows, 1)
        transpose(workers_for(a.size), by_columns, 1, rows, columns, a)
    start = FROM_ZERO if bias is None else FROM_BIAS
    workers, size, *places, s = plan(*shapes, a_strides, b_strides, start, int(relu), c.itemsize, get_num_threads())
    product(workers, a, b, c.reshape(-1), *places, a if bias is None else ravel(bias),
            scratch(workers, size, c.dtype), s)


@functools.lru_cache(1024)
def plan(lead: Shape, a_shape: Shape, b_shape: Shape, a_strides: Shape, b_strides: Shape, start: int, relu: int,
         itemsize: int, threads: int) -> tuple[int, int, Any, Any, Product]:
    """How many workers and how much memory for each, where the matrices begin in a and in b, and the sizes."""
    wide, matrices = 2 * BYTES // itemsize, math.prod(lead)
    rows, depth, columns = a_shape[-2], a_shape[-1], b_shape[-1]
    workers = workers_for(matrices * rows * depth * columns / wide)
    panels = -(-columns // wide)
    whole = depth <= DEPTH and depth * panels * wide <= WHOLE and rows >= 4 * panels * wide
    across = whole or depth <= SHALLOW  # then writing c takes longest: row after row, as it lies in memory
    block, others = (4 if whole else 2) * TALL if across else BLOCK, matrices * panels
    tasks = 4 * workers if depth <= DEPTH else workers  # a task packs b anew if it takes several times DEPTH
    while block > 2 * TALL and others * -(-rows // block) < tasks:
        block //= 2
    s = Product._make((
        matrices, rows, depth, columns, *a_strides[-2:], *b_strides[-2:], block, int(across), int(whole),
        steps(block, a_strides[-2]), steps(min(depth, DEPTH), a_strides[-1]), steps(block, columns), start, relu))
    packed = min(depth, DEPTH) * wide * (panels if whole else 1)
    return workers, packed, starts(lead, a_shape, a_strides), starts(lead, b_shape, b_strides), s


def starts(lead: Shape, shape: Shape, strides: Shape) -> Any:
    """Where each matrix begins, when the leading axes of an array are broadcast to `lead`."""
    begins = sum((steps(n, stride)[(slice(None), *[None] * k)] for k, (n, stride) in
                  enumerate(zip(reversed(shape[:-2]), reversed(strides[:-2]), strict=True))), np.int64(0))
    return np.array(np.broadcast_to(begins, lead)).reshape(-1)
