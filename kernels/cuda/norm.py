"""Normalization: rows by one kernel, runs and columns in three steps; each number is read once a step: norm.cu."""
from __future__ import annotations

from typing import Any

from . import sums
from .launcher import empty, launch, multiprocessors
from .pieces import Shape, View, view_of

Grads = tuple[Any, Any | None, Any | None]
MANY = 128  # pieces: more are joined by a block
SHARED = 128 << 10  # bytes of shared memory that the blocks of a multiprocessor should take together


def standardize(xp: Any, x: Any, w: Any, b: Any, *, dim: Shape, eps: float) -> Any:
    """(x - mean) / √(var + ε) · w + b, the mean and the variance over dim, and these two."""
    view = view_of(x, dim, *(a if a is None else a.shape for a in (w, b)))
    kept = tuple(1 if d in dim else n for d, n in enumerate(x.shape))
    mean, var = empty(xp, kept, x.dtype), empty(xp, kept, x.dtype)
    x, (w, b) = _in_memory(xp, view, x), (a if a is None else xp.ascontiguousarray(a) for a in (w, b))
    y = empty(xp, x.shape, x.dtype)
    if view.kind == "rows":
        launch(xp, f"standardize_rows_{view.ending}", view.grid, x=x, w=w, b=b, y=y, mean=mean, var=var,
               rows=view.runs, size=view.size, eps=eps)
        return y, mean, var
    pieces: Any = {"x": x, "w": w, "b": b, "y": y, "mean": mean, "var": var, **view.cut(), "eps": eps}
    totals, squares = empty(xp, (2, view.runs * view.slices), x.dtype)
    launch(xp, f"moments_{view.ending}", view.grid, sums=totals, squares=squares, **pieces)
    _join(xp, "join_moments", view.joined(view.mean_each, view.mean_count), sums=totals, squares=squares, mean=mean,
          var=var, size=view.size, slices=view.slices, length=view.length)
    launch(xp, f"standardize_{view.ending}", view.grid, sums=None, squares=None, **pieces)
    return _as_given(view, y), mean, var


def standardize_grad(xp: Any, g: Any, of_mean: Any, of_var: Any, x: Any, w: Any, mean: Any, var: Any, *,
                     b_shape: Shape | None, dim: Shape, eps: float) -> Grads:
    """The gradients of x, w and b, None where there is none."""
    view = view_of(x, dim, None if w is None else w.shape, b_shape)
    g, x = _in_memory(xp, view, g), _in_memory(xp, view, x)
    dx, shapes = empty(xp, x.shape, x.dtype), (None if w is None else w.shape, b_shape)
    of_mean, of_var = (xp.ascontiguousarray(xp.broadcast_to(a, var.shape)) for a in (of_mean, of_var))
    mean, var, w = (a if a is None else xp.ascontiguousarray(a) for a in (mean, var, w))
    given: Any = {"g": g, "x": x, "w": w, "mean": mean, "var": var, "dx": dx, "eps": eps}
    wanted = shapes != (None, None)
    if view.kind == "rows":
        dw, db = _rows_grad(xp, view, wanted, of_mean=of_mean, of_var=of_var, **given)
    else:
        dw, db = _pieces_grad(xp, view, wanted, of_mean, of_var, given)
    dw, db = (None if shape is None else d.reshape(shape) for shape, d in zip(shapes, (dw, db), strict=True))
    return _as_given(view, dx), dw, db


def _rows_grad(xp: Any, view: View, wanted: bool, **given: Any) -> tuple[Any, Any]:
    """As many blocks as run at a time, each with every so many-th row; then the sums of the blocks are added up."""
    shared = 8 * view.groups * view.size if wanted else 0
    at_once = multiprocessors(xp) * max(2, min(8, SHARED // max(shared, 1)))
    blocks = min(*view.grid, at_once)
    parts = empty(xp, (blocks, 2 * view.size), given["x"].dtype) if wanted else None
    launch(xp, f"rows_grad_{view.ending}", (blocks,), shared=shared, parts=parts, rows=view.runs,
           size=view.size, **given)
    if parts is None:
        return None, None
    found = sums.of_columns(xp, parts)
    return found[:view.size], found[view.size:]


def _pieces_grad(xp: Any, view: View, wanted: bool, of_mean: Any, of_var: Any, given: Any) -> tuple[Any, Any]:
    parts = empty(xp, (4, view.runs * view.slices), given["x"].dtype)
    slope, constant = empty(xp, (2, view.mean_count), parts.dtype)
    dw, db = empty(xp, (2, view.weight_count), parts.dtype)
    pieces = {**given, **view.cut(), "slope": slope, "constant": constant, "parts": parts}
    launch(xp, f"slopes_{view.ending}", view.grid, **pieces)
    _join(xp, "join_slopes", view.joined(view.mean_each, view.mean_count), sums=parts[2], products=parts[3],
          of_mean=of_mean, of_var=of_var, var=given["var"], slope=slope, constant=constant,
          numbers=given["x"].size / view.mean_count, eps=given["eps"])
    if wanted:
        _join(xp, "join_weights", view.joined(view.weight_each, view.weight_count), sums=parts[0], products=parts[1],
              dw=dw, db=db)
    launch(xp, f"gradient_{view.ending}", view.grid, **pieces)
    return dw, db


def _join(xp: Any, kernel: str, pieces: dict[str, Any], **given: Any) -> None:
    """One of the kernels that join pieces, by a warp for each result, or by a block."""
    group = 32 if pieces["pieces"] <= MANY else 256
    launch(xp, f"{kernel}_{group}", (-(-pieces["count"] * group // 256),), **pieces, **given)


def _in_memory(xp: Any, view: View, a: Any) -> Any:
    """Contiguous, with the axis of channels last if they are columns."""
    return xp.ascontiguousarray(xp.moveaxis(a, 1, -1) if view.kind == "columns" else a)


def _as_given(view: View, a: Any) -> Any:
    return a.transpose(0, a.ndim - 1, *range(1, a.ndim - 1)) if view.kind == "columns" else a
