"""Which cases the kernels here take, which are worth it, and which kernel a shape is for. Nothing here needs Numba.

A condition answers True, or says why not.
"""
from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from ..windows import Pair, Windows

Answer = bool | str


# ---- what they can compute
@functools.cache
def numba_is_there() -> Answer:
    """Can Numba be imported?"""
    try:
        import numba  # noqa: F401 - to see whether it can be
    except ImportError as error:
        return f"needs Numba, which cannot be imported: {error}"
    return True


def floats(xp: Any, x: Any, *others: Any, **options: Any) -> Answer:
    """Arrays of NumPy's, all float32 or all float64, with something in them."""
    dtype = x.dtype
    if xp is not np:
        return f"takes arrays of NumPy's, not of {xp.__name__}"
    if dtype.char not in "fd" or not dtype.isnative or any(a is not None and a.dtype != dtype for a in others):
        return f"takes float32 or float64, not {', '.join(a.dtype.name for a in (x, *others) if a is not None)}"
    if not x.size or any(a is not None and not a.size for a in others):
        return "takes no array without elements"
    return True


def images(xp: Any, x: Any, **options: Any) -> Answer:
    """Images whose pixels' numbers are exact in their dtype."""
    if x.dtype.kind == "f" and math.prod(x.shape[2:]) > 2 ** np.finfo(x.dtype).nmant:
        return f"takes images of fewer pixels: their numbers must be exact in {x.dtype}"
    return floats(xp, x)


def winners(xp: Any, g: Any, indices: Any, **options: Any) -> Answer:
    """Floats, and the numbers of pixels."""
    return floats(xp, g) if indices.dtype == np.int64 else f"takes indices in int64, not {indices.dtype}"


def matrices(xp: Any, a: Any, b: Any) -> Answer:
    """Matrices, or arrays of them."""
    return floats(xp, a, b) if min(a.ndim, b.ndim) >= 2 else "takes matrices, not vectors"


def rows(xp: Any, x: Any, w: Any, b: Any = None, **options: Any) -> Answer:
    """Rows of inputs, and one bias for each output."""
    fit = x.ndim == w.ndim == 2 and (b is None or b.shape == w.shape[:1])
    return floats(xp, x, w, b) if fit else "takes rows, and one bias for each output"


def pooled(xp: Any, g: Any, winner: Any, x: Any, w: Any, **options: Any) -> Answer:
    """Floats, and which pixel of each block they belong to."""
    return floats(xp, g, x, w) if winner.dtype == np.uint8 else f"takes winners in uint8, not {winner.dtype}"


def parameters(xp: Any, *lists: Any, **options: Any) -> Answer:
    """Lists of arrays of one float dtype, without gaps. (Asked at every step of an optimizer, so in a hurry.)"""
    dtype = lists[0][0].dtype
    if xp is not np or dtype.kind != "f" or dtype.itemsize == 2:
        return f"takes arrays of NumPy's, float32 or float64, not {dtype}"
    for arrays in lists:
        for a in arrays:
            if type(a) is np.ndarray:
                if a.dtype is not dtype or not a.flags.c_contiguous:
                    return "takes parameters of one dtype, without gaps in memory"
            elif type(a) is not float:
                return f"takes arrays, not {type(a).__name__}"
    return numba_is_there()


# ---- how normalization sees x: as runs (A, C, S) or as columns (A, C), with a mean for each c
def view_of(x: Any, dim: tuple[int, ...]) -> Any:
    """x as runs or as columns, without a copy; None if it is neither."""
    if along_rows(x, dim):
        return x.reshape(1, -1, math.prod(x.shape[d] for d in dim)) if x.flags.c_contiguous else None
    if dim != (0, *range(2, x.ndim)):
        return None
    if x.flags.c_contiguous:
        return x.reshape(len(x), x.shape[1], -1) if x.ndim > 2 else x
    last = x.transpose(*dim, 1)
    return last.reshape(-1, x.shape[1]) if last.flags.c_contiguous else None


def along_rows(x: Any, dim: tuple[int, ...]) -> bool:
    """Is it the last axes that are normalized?"""
    return dim == tuple(range(x.ndim - len(dim), x.ndim))


def parameter_shape(x: Any, dim: tuple[int, ...]) -> tuple[int, ...]:
    """That of a number for each s, or for each c."""
    return x.shape[-len(dim):] if along_rows(x, dim) else (x.shape[1], *[1] * (x.ndim - 2))


def normalizable(xp: Any, x: Any, *parameters: Any, dim: tuple[int, ...], **options: Any) -> Answer:
    """Runs or columns, with a weight and a bias for each c, or along the rows for each s."""
    answer = floats(xp, x, *parameters)
    if answer is not True:
        return answer
    if view_of(x, dim) is None:
        return "takes images normalized by channel or rows, that lie in memory without gaps"
    shape = parameter_shape(x, dim)
    return all(a is None or a.shape == shape for a in parameters) or f"takes a weight and a bias of shape {shape}"


def normalized(xp: Any, g: Any, of_mean: Any, of_var: Any, x: Any, w: Any, mean: Any, var: Any, *, b_shape: Any,
               dim: tuple[int, ...], eps: float) -> Answer:
    """The same, of a gradient that lies in memory as x does."""
    if g.strides != x.strides or floats(xp, g, x, mean, var, of_mean, of_var) is not True:
        return "takes a gradient like x"
    if b_shape not in (None, parameter_shape(x, dim)):
        return f"takes a bias of shape {parameter_shape(x, dim)}"
    if w is not None and not np.isfinite(w).all():  # it is multiplied with the sums: NaN would not come of ∞ - ∞
        return "takes a finite weight"
    return normalizable(xp, x, w, dim=dim)


# ---- what is worth starting them for: that costs as much as a few NumPy functions cost
def always(*arrays: Any, **options: Any) -> Answer:
    return True


def enough(what: str, count: int, least: int) -> Answer:
    return count >= least or f"{count:,} {what} are too few to gain by: {least:,} are enough"


def many_numbers(xp: Any, x: Any, *arrays: Any, **options: Any) -> Answer:
    return enough("numbers", x.size, 4_096)


def many_scores(xp: Any, x: Any, *arrays: Any, **options: Any) -> Answer:
    return enough("scores", x.size, 512)


def many_products(count: int, least: int = 65_536) -> Answer:
    return enough("multiplications", count, least)


def thick_matrices(xp: Any, a: Any, b: Any) -> Answer:
    if min(a.shape[-2], b.shape[-1]) < 4:
        return "takes more than 3 rows and columns: numbers of fewer are hardly read twice, so registers gain nothing"
    return many_products(a.size * b.shape[-1], 262_144)  # NumPy's own are quick to start, and for fewer wake no threads


def thick_rows(xp: Any, x: Any, w: Any, b: Any = None, **options: Any) -> Answer:
    return thick_matrices(xp, x, w.T)


def large_conv2d(xp: Any, x: Any, w: Any, b: Any = None, *, stride: Pair, padding: Pair, dilation: Pair,
                 **options: Any) -> Answer:
    return many_products(len(x) * math.prod(Windows(x.shape[2:], w.shape[2:], stride, padding, dilation).out) * w.size)


def large_input_grad(xp: Any, g: Any, w: Any, **options: Any) -> Answer:
    return many_products(g.size // len(w) * w.size)


def large_weight_grad(xp: Any, x: Any, g: Any, *, size: Pair, groups: int, **options: Any) -> Answer:
    return many_products(g.size * (x.shape[1] // groups) * math.prod(size))


def large_fused_grad(xp: Any, g: Any, y: Any, x: Any, w: Any, **options: Any) -> Answer:
    return many_products(y.size * w[0].size)


# ---- which module computes a convolution
def conv2d_module(x: Any, w: Any, b: Any = None, *, groups: int, **options: Any) -> str:
    """Groups of one channel have too little in them for a matrix product: their channels fill the registers instead."""
    return "depthwise" if groups > 1 and w.shape[1] == 1 and len(w) // groups <= 4 else "conv"


def weight_grad_module(x: Any, g: Any, *, groups: int, **options: Any) -> str:
    return "depthwise" if groups > 1 and x.shape[1] == groups and g.shape[1] // groups <= 4 else "conv"
