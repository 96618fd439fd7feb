"""Adding up rows by number. A worker has some columns to itself, so that nobody else adds where it does."""
from __future__ import annotations

from typing import Any

import numpy as np

from .compiler import parallel, span
from .layout import add, ravel, zero
from .threads import workers_for
from .vector import at, lanes


@parallel
def add_rows(worker, workers, values, index, columns, out):
    """out = zeros, with values[k] added to row index[k]."""
    size = lanes(out)
    mine = span(worker, workers, (columns + size - 1) // size)
    first, last = mine.start * size, min(columns, mine.stop * size)
    for row in range(0, len(out), columns):
        zero(at(out, row + first), 0, last - first)
    for k in range(len(index)):
        add(at(values, k * columns + first), 0, at(out, index[k] * columns + first), 0, last - first)


# ---- for NumPy's arrays
def embedding_grad(xp: Any, g: Any, index: Any, *, rows: int) -> Any:
    """So many rows, with g[k] added to row index[k]."""
    out = np.empty((rows, g.shape[-1]), g.dtype)
    index = np.array(index, np.int64, order="C").reshape(-1)
    add_rows(workers_for(g.size), ravel(g), index, g.shape[-1], out.reshape(-1))
    return out
