"""Adding at places that an index names: sorted by place first, so that sums have always the same order: lookup.cu."""
from __future__ import annotations

import math
from typing import Any

import numpy as np

from .launcher import empty, launch
from .source import home_of


def embedding_grad(xp: Any, g: Any, index: Any, *, rows: int) -> Any:
    """Zeros of so many rows, with g[k] (…, columns) added to row index[k] (…)."""
    out = xp.zeros((rows, g.shape[-1]), g.dtype)
    _add(xp, out, xp.ascontiguousarray(g), index)
    return out


def scatter_add(xp: Any, out: Any, values: Any, *, index: Any) -> None:
    """out[index] += values, in place; where the index names a place twice, twice."""
    whole, (rows, axes) = xp.ascontiguousarray(out), _rows(xp, out, index)
    values = xp.broadcast_to(xp.asarray(values), (*rows.shape, *out.shape[axes:]))
    if values.size:
        _add(xp, whole.reshape(-1, math.prod(out.shape[axes:])), xp.ascontiguousarray(values), rows)
    if whole is not out:
        out[...] = whole


def _rows(xp: Any, out: Any, index: Any) -> tuple[Any, int]:
    """The index as one number for each place, and how many axes of out it counts through."""
    index = index if isinstance(index, tuple) else (index,)
    if not all(isinstance(a, xp.ndarray) and a.dtype.kind in "iu" for a in index):
        return xp.arange(out.size).reshape(out.shape)[index], out.ndim
    rows: Any = 0
    for a, n in zip(index, out.shape, strict=False):
        a = a.astype(np.int64, copy=False)
        rows = rows * n + xp.where(a < 0, a + n, a)
    return rows, len(index)


def _add(xp: Any, out: Any, values: Any, rows: Any) -> None:
    """out[rows[k]] += values[k], for out (rows, columns)."""
    count, columns = rows.size, out.shape[1]
    chunk = home_of("add_runs").constants["CHUNK"]
    keys, parts = _sorted(xp, rows), empty(xp, (-(-count // chunk), columns), out.dtype)
    grid = (-(-(len(parts) * -(-columns // 32)) // 8),)
    for kernel in ("add_runs", "add_parts"):
        launch(xp, kernel, grid, keys=keys, values=values, out=out, parts=parts, count=count, columns=columns)


def _sorted(xp: Any, rows: Any) -> Any:
    """row · 2³² + k for the k-th of these rows, sorted."""
    width, blocks = home_of("sort_tiles").constants["TILE"], -(-rows.size // 256)
    keys, other = empty(xp, (2, rows.size), np.uint64)
    launch(xp, "sort_tiles", (blocks,), index=xp.ascontiguousarray(rows, np.int64), keys=keys, count=rows.size)
    while width < rows.size:
        launch(xp, "merge_runs", (blocks,), keys=keys, merged=other, count=rows.size, width=width)
        keys, other, width = other, keys, 2 * width
    return keys
