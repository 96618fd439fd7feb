"""Sums in an order that is always the same: sums.cu."""
from __future__ import annotations

from typing import Any

from .launcher import empty, launch, multiprocessors
from .source import home_of


def total(xp: Any, x: Any, factor: float = 1.0) -> Any:
    """The sum of all numbers times a factor, an array without axes."""
    chunk = home_of("sum_chunks").constants["CHUNK"]
    while True:
        blocks = -(-x.size // chunk)
        y = empty(xp, () if blocks == 1 else (blocks,), x.dtype)
        launch(xp, "sum_chunks", (blocks,), x=x, y=y, count=x.size, factor=factor if blocks == 1 else 1.0)
        if blocks == 1:
            return y
        x = y


def of_columns(xp: Any, x: Any) -> Any:
    """The sum of each column of a matrix."""
    (rows, columns), y = x.shape, empty(xp, x.shape[1:], x.dtype)
    across = -(-columns // 32)
    slices = max(1, min(-(-2 * multiprocessors(xp) // across), rows // 64))
    slice_rows = -(-rows // slices)
    slices = -(-rows // slice_rows)
    parts = y if slices == 1 else empty(xp, (slices, columns), x.dtype)
    launch(xp, "column_sums", (across, slices), x=x, parts=parts, rows=rows, columns=columns, slice_rows=slice_rows)
    if slices > 1:
        launch(xp, "sgemm_sum", (-(-columns // 256),), parts=parts, bias=None, c=y, size=columns, n=columns,
               slices=slices, relu=0)
    return y


def relu_grad(xp: Any, g: Any, y: Any) -> Any:
    """g where y = max(…, 0) is not 0."""
    dx = empty(xp, g.shape, g.dtype)
    launch(xp, "relu_grad", (-(-g.size // 1024),), g=g, y=xp.ascontiguousarray(y), dx=dx, count=g.size)
    return dx
