"""Which cases the kernels here take, which are worth it, and which kernel a shape is for. Nothing here needs Numba.

A condition answers True, or says why not.
"""
from __future__ import annotations

import functools
import importlib
import math
from typing import Any

import numpy as np
from numpy import ndarray

from .. import LARGE
from ..windows import Pair, Windows

Answer = bool | str
Axes = tuple[int, ...]
INT64, UINT8 = np.dtype("int64"), np.dtype("uint8")


# ---- what they can compute
@functools.cache
def numba_is_there() -> Answer:
    """Can Numba be imported, and has it what `compiler` asks for?"""
    try:
        importlib.import_module(f"{__package__}.compiler")
    except (ImportError, AttributeError) as error:
        return f"needs Numba, which cannot be imported: {error}"
    return True


def floats(xp: Any, x: Any, *others: Any, **options: Any) -> Answer:
    """Arrays of NumPy's, all float32 or all float64, with something in them. (Asked at every op, so in a hurry.)"""
    dtype = x.dtype
    if xp is np and x.size and dtype.char in "fd":
        for a in others:
            if a is not None and (a.dtype is not dtype or not a.size):
                break
        else:
            return True
    return _why_not(xp, x, *others)


def _why_not(xp: Any, x: Any, *others: Any) -> Answer:
    given = [a for a in (x, *others) if a is not None]
    if xp is not np:
        return f"takes arrays of NumPy's, not of {xp.__name__}"
    if x.dtype.char not in "fd" or not x.dtype.isnative or any(a.dtype != x.dtype for a in given):
        return f"takes float32 or float64, not {', '.join(a.dtype.name for a in given)}"
    return all(a.size for a in given) or "takes no array without elements"


def last_channels(xp: Any, x: Any) -> Answer:
    """Images with channels last in memory."""
    fit = x.ndim == 4 and x.transpose(0, 2, 3, 1).flags.c_contiguous
    return floats(xp, x) if fit else "takes images with channels last in memory"


def images(xp: Any, x: Any, **options: Any) -> Answer:
    """Images whose pixels' numbers are exact in their dtype."""
    if x.dtype.kind == "f" and math.prod(x.shape[2:]) > 2 ** np.finfo(x.dtype).nmant:
        return f"takes images of fewer pixels: their numbers must be exact in {x.dtype}"
    return floats(xp, x)


def without_gaps(xp: Any, *arrays: Any) -> Answer:
    """Numbers, the last of which lie in memory in order, or with channels last."""
    y = arrays[-1]
    in_order = y.flags.c_contiguous or (y.ndim == 4 and y.transpose(0, 2, 3, 1).flags.c_contiguous)
    return floats(xp, *arrays) if in_order else "takes numbers without gaps in memory"


def alike(xp: Any, a: Any, b: Any) -> Answer:
    """The same, of one shape."""
    return without_gaps(xp, a, b) if a.shape == b.shape else "takes arrays of one shape"


def labelled(xp: Any, x: Any, labels: Any) -> Answer:
    """Scores, and a class for each sample."""
    return floats(xp, x) if labels.dtype == INT64 else f"takes labels in int64, not {labels.dtype}"


def labelled_slopes(xp: Any, g: Any, p: Any, labels: Any) -> Answer:
    """The gradient of a loss, probabilities, and a class for each sample."""
    return labelled(xp, p, labels)


def winners(xp: Any, g: Any, indices: Any, **options: Any) -> Answer:
    """Floats, and the numbers of pixels."""
    return floats(xp, g) if indices.dtype == INT64 else f"takes indices in int64, not {indices.dtype}"


def numbered(xp: Any, g: Any, index: Any, **options: Any) -> Answer:
    """Floats, and the numbers of the rows that they are for."""
    return floats(xp, g) if index.dtype.kind == "i" else f"takes numbers of rows, not {index.dtype}"


def with_noise(xp: Any, x: Any, noise: Any, **options: Any) -> Answer:
    """Floats, and a float32 for each."""
    fit = noise is not None and noise.dtype == np.float32 and noise.shape == x.shape
    return floats(xp, x) if fit else f"takes noise in float32, of the shape {x.shape}"


def matrices(xp: Any, a: Any, b: Any) -> Answer:
    """Matrices, or arrays of them."""
    return floats(xp, a, b) if min(a.ndim, b.ndim) >= 2 else "takes matrices, not vectors"


def rows(xp: Any, x: Any, w: Any, b: Any = None, **options: Any) -> Answer:
    """Rows of inputs, and one bias for each output."""
    fit = x.ndim == w.ndim == 2 and (b is None or b.shape == w.shape[:1])
    return floats(xp, x, w, b) if fit else "takes rows, and one bias for each output"


def rows_and_slopes(xp: Any, g: Any, x: Any, w: Any, y: Any = None, **options: Any) -> Answer:
    """Rows of inputs and of the outputs' gradients."""
    return floats(xp, g, x, w, y)


def pooled(xp: Any, g: Any, winner: Any, x: Any, w: Any, **options: Any) -> Answer:
    """Floats, and which pixel of each block they belong to."""
    return floats(xp, g, x, w) if winner.dtype == UINT8 else f"takes winners in uint8, not {winner.dtype}"


def attended(xp: Any, q: Any, k: Any, v: Any, mask: Any = None, **options: Any) -> Answer:
    """Queries, keys and values, and bools or numbers of their dtype to add to the scores."""
    if mask is not None and mask.dtype not in (q.dtype, bool):
        return f"takes a mask of bools or of {q.dtype}, not of {mask.dtype}"
    return floats(xp, q, k, v)


def attended_back(xp: Any, g: Any, q: Any, k: Any, v: Any, mask: Any, *arrays: Any, **options: Any) -> Answer:
    """The same, and the gradient of what was attended to."""
    answer = floats(xp, g, *arrays)
    return attended(xp, q, k, v, mask) if answer is True else answer


def parameters(xp: Any, *lists: Any, **options: Any) -> Answer:
    """Lists of arrays of one float dtype, without gaps. (Asked at every step of an optimizer, so in a hurry.)"""
    dtype = lists[0][0].dtype
    if xp is not np or dtype.kind != "f" or dtype.itemsize == 2:
        return f"takes arrays of NumPy's, float32 or float64, not {dtype}"
    for arrays in lists:
        for a in arrays:
            if type(a) is ndarray:
                if a.dtype is not dtype or not a.flags.c_contiguous:
                    return "takes parameters of one dtype, without gaps in memory"
            elif type(a) is not float:
                return f"takes arrays, not {type(a).__name__}"
    return numba_is_there()


# ---- how normalization sees x: as runs (A, C, S) or as columns (A, C), with a mean for each c
def view_of(x: Any, dim: tuple[int, ...]) -> Any:
    """x as runs or as columns, without a copy; None if it is neither."""
    if along_rows(x.ndim, dim):
        return x.reshape(1, -1, math.prod(x.shape[-len(dim):])) if x.flags.c_contiguous else None
    if dim != (0, *range(2, x.ndim)):
        return None
    if x.flags.c_contiguous:
        return x.reshape(len(x), x.shape[1], -1) if x.ndim > 2 else x
    last = x.transpose(*dim, 1)
    return last.reshape(-1, x.shape[1]) if last.flags.c_contiguous else None


@functools.cache
def along_rows(ndim: int, dim: Axes) -> bool:
    """Is it the last axes that are normalized?"""
    return dim == tuple(range(ndim - len(dim), ndim))


def norm_module(x: Any, w: Any, b: Any, *, dim: Axes, eps: float) -> str:
    """"layernorm" if the last axes are normalized, else "norm"."""
    return "layernorm" if along_rows(x.ndim, dim) else "norm"


def norm_grad_module(g: Any, of_mean: Any, of_var: Any, x: Any, *arrays: Any, dim: Axes, **options: Any) -> str:
    """The same, of the gradients."""
    return "layernorm" if along_rows(x.ndim, dim) else "norm"


def parameter_shape(x_shape: Axes, dim: Axes) -> Axes:
    """That of a number for each s, or for each c."""
    ndim = len(x_shape)
    return x_shape[-len(dim):] if along_rows(ndim, dim) else (x_shape[1], *[1] * (ndim - 2))


@functools.lru_cache(1024)
def is_parameter(shape: Axes, x_shape: Axes, dim: Axes) -> bool:
    """Is this the shape, but for axes of length 1 before it?"""
    wanted = parameter_shape(x_shape, dim)
    spare = len(shape) - len(wanted)
    return shape[spare:] == wanted and set(shape[:spare]) <= {1} if spare >= 0 else False


def normalizable(xp: Any, x: Any, *parameters: Any, dim: tuple[int, ...], **options: Any) -> Answer:
    """Runs or columns, with a weight and a bias for each c, or along the rows for each s."""
    answer = floats(xp, x, *parameters)
    if answer is not True:
        return answer
    if view_of(x, dim) is None:
        return "takes images normalized by channel or rows, that lie in memory without gaps"
    for a in parameters:
        if a is not None and not is_parameter(a.shape, x.shape, dim):
            return f"takes a weight and a bias of shape {parameter_shape(x.shape, dim)}"
    return True


def finite(a: Any) -> bool:
    """Whether all numbers are finite. (In a hurry: so is the sum of their squares, or they are very large.)"""
    vector = a.reshape(-1)
    return math.isfinite(vector.dot(vector)) or bool(np.isfinite(vector).all())


def normalized(xp: Any, g: Any, of_mean: Any, of_var: Any, x: Any, w: Any, mean: Any, var: Any, *, b_shape: Any,
               dim: tuple[int, ...], eps: float) -> Answer:
    """The same, of gradients in its dtype."""
    if floats(xp, g, x, mean, var, of_mean, of_var) is not True:
        return "takes a gradient like x"
    if b_shape is not None and not is_parameter(b_shape, x.shape, dim):
        return f"takes a bias of shape {parameter_shape(x.shape, dim)}"
    if w is not None and not finite(w):  # it is multiplied with the sums: NaN would not come of ∞ - ∞
        return "takes a finite weight"
    return normalizable(xp, x, w, dim=dim)


# ---- what is worth starting them for: that costs as much as a few NumPy functions cost
def always(*arrays: Any, **options: Any) -> Answer:
    """However little there is to do."""
    return True


@functools.lru_cache(4096)
def enough(what: str, count: int, least: int) -> Answer:
    """Are there as many of `what` as are worth it? If not, how many would be."""
    return count >= least or f"{count:,} {what} are too few to gain by: {least:,} are enough"


def many_numbers(xp: Any, x: Any, *arrays: Any, **options: Any) -> Answer:
    """In the first array."""
    return enough("numbers", x.size, 4_096)


def very_many_numbers(xp: Any, x: Any, *arrays: Any, **options: Any) -> Answer:
    """Where NumPy has a function that does the same on one thread."""
    return enough("numbers", x.size, LARGE)


def many_pixels(xp: Any, g: Any, *, size: Pair, **options: Any) -> Answer:
    """Of the images that gradients are spread over."""
    return enough("pixels", math.prod(g.shape[:-2]) * math.prod(size), 4_096)


def many_scores(xp: Any, x: Any, *arrays: Any, **options: Any) -> Answer:
    """To take a softmax or a loss of."""
    return enough("scores", x.size, 512)


def many_slopes(xp: Any, g: Any, p: Any, *arrays: Any, **options: Any) -> Answer:
    """Of as many scores."""
    return many_scores(xp, p)


def many_products(count: int, least: int = 65_536) -> Answer:
    """Multiplications, of a convolution or a walk through time."""
    return enough("multiplications", count, least)


def thick_matrices(xp: Any, a: Any, b: Any) -> Answer:
    """Matrices whose product is large, and neither of which is a few rows or columns."""
    return _thick(a.shape[-2], b.shape[-1], a.size * b.shape[-1])


@functools.lru_cache(4096)
def _thick(rows: int, columns: int, products: int) -> Answer:
    if products < 262_144:  # NumPy's own are quick to start, and for fewer wake no threads
        return many_products(products, 262_144)
    if rows < 4 or columns < 4:
        return "takes more than 3 rows and columns: numbers of fewer are hardly read twice, so registers gain nothing"
    return True


def thick_rows(xp: Any, x: Any, w: Any, b: Any = None, **options: Any) -> Answer:
    """The same, of a linear layer."""
    return _thick(len(x), len(w), x.size * len(w))


def thick_slopes(xp: Any, g: Any, x: Any, w: Any, y: Any = None, **options: Any) -> Answer:
    """The same, of a linear layer's gradients."""
    return _thick(len(g), w.shape[1], g.size * w.shape[1])


def linear_grad_module(g: Any, x: Any, w: Any, y: Any = None, *, wanted: Any) -> str:
    """"dense" if there are many rows, and a worker's cache holds the weight and its gradient."""
    return "dense" if small_layers(np, x, w) is True else "matmul"


def small_layers(xp: Any, x: Any, *weights: Any) -> Answer:
    """Many rows, and small weights."""
    small = max(w.size for w in weights) <= 65_536
    return enough("rows", len(x), 512) if small else "takes weights of which a processor's cache holds both, and more"


def small_layers_back(xp: Any, g: Any, x: Any, w1: Any, h: Any, w2: Any) -> Answer:
    """The same, of their gradients."""
    return small_layers(xp, x, w1, w2)


def large_conv2d(xp: Any, x: Any, w: Any, b: Any = None, *, stride: Pair, padding: Pair, dilation: Pair,
                 **options: Any) -> Answer:
    """Each place of a window multiplies a filter."""
    return many_products(len(x) * windows(x.shape[2:], w.shape[2:], stride, padding, dilation) * w.size)


@functools.lru_cache(1024)
def windows(image: Pair, size: Pair, stride: Pair, padding: Pair, dilation: Pair) -> int:
    """In how many places of an image a filter is tried."""
    rows, columns = Windows(image, size, stride, padding, dilation).out
    return rows * columns


def large_input_grad(xp: Any, g: Any, w: Any, **options: Any) -> Answer:
    """Each output's gradient multiplies a filter."""
    return many_products(g.size // len(w) * w.size)


def large_weight_grad(xp: Any, x: Any, g: Any, *, size: Pair, groups: int, **options: Any) -> Answer:
    """Each output's gradient multiplies the pixels of its window."""
    return many_products(g.size * (x.shape[1] // groups) * math.prod(size))


def large_fused_grad(xp: Any, g: Any, y: Any, x: Any, w: Any, **options: Any) -> Answer:
    """The same, of a convolution with ReLU."""
    return many_products(y.size * w[0].size)


def many_scores_of_heads(xp: Any, q: Any, k: Any, *arrays: Any, **options: Any) -> Answer:
    """One for each query with each key."""
    return enough("scores", q.size // q.shape[-1] * k.shape[-2], 1_024)


def many_scores_of_heads_back(xp: Any, g: Any, q: Any, k: Any, *arrays: Any, **options: Any) -> Answer:
    """The same, of their gradients."""
    return many_scores_of_heads(xp, q, k)


def long_walk(xp: Any, x: Any, h: Any, *arrays: Any, **options: Any) -> Answer:
    """Of the states with their weights, in a recurrent layer of one gate or more."""
    return many_products(len(x) * h.size * h.shape[-1], 4_096)


def long_walk_back(xp: Any, of_out: Any, of_h: Any, *arrays: Any, **options: Any) -> Answer:
    """The same, backward."""
    return long_walk(xp, of_out, of_h)


# ---- which module computes a convolution
def conv2d_module(x: Any, w: Any, b: Any = None, *, groups: int, **options: Any) -> str:
    """"depthwise", "winograd" or "narrow" for the shapes that they are for, else "conv"."""
    if _depthwise(groups, w.shape[1], len(w)):
        return "depthwise"
    if _in_tiles(x, w.shape, groups=groups, **options):
        return "winograd"
    return "narrow" if _in_stretches(x, w.shape, groups=groups, **options) else "conv"


def input_grad_module(g: Any, w: Any, *, size: Pair, stride: Pair, padding: Pair, dilation: Pair, groups: int) -> str:
    """"turned": it is a convolution itself, of g with the filters turned round, if there are hardly more pixels than
    outputs; else patches are added where they overlap."""
    narrow = all(p <= d * (k - 1) for p, d, k in zip(padding, dilation, w.shape[2:], strict=True))
    apart = groups == 1 or w.shape[:2] == (groups, 1)
    if narrow and apart and tuple(stride) == (1, 1) and math.prod(size) <= 1.25 * math.prod(g.shape[2:]):
        return "turned"
    if _depthwise(groups, w.shape[1], len(w)):
        return "depthwise"
    tiled = _in_tiles(g, w.shape, least=64, stride=stride, padding=padding, dilation=dilation, groups=groups)
    return "winograd" if tiled else "conv"


def weight_grad_module(x: Any, g: Any, *, size: Pair, groups: int, **options: Any) -> str:
    """The same, of the gradient of the filters; there is no "narrow" one."""
    if _depthwise(groups, x.shape[1] // groups, g.shape[1]):
        return "depthwise"
    shape = g.shape[1], x.shape[1] // groups, *size
    return "winograd" if _in_tiles(x, shape, least=64, groups=groups, **options) else "conv"


def fused_module(x: Any, w: Any, b: Any = None, **options: Any) -> str:
    """The same, of a convolution with ReLU."""
    module = conv2d_module(x, w, b, **options)
    return "fused" if module in ("conv", "narrow") else module


def pooled_module(x: Any, w: Any, b: Any = None, **options: Any) -> str:
    """The same, of a convolution with ReLU and 2 x 2 max pooling."""
    return "winograd" if _in_tiles(x, w.shape, **options) else "fused"


def fused_grad_module(g: Any, y: Any, x: Any, w: Any, **options: Any) -> str:
    """The same, of the gradients of both."""
    return "winograd" if _in_tiles(x, w.shape, **options) else "fused"


def _depthwise(groups: int, inputs: int, outputs: int) -> bool:
    """Groups of one channel have too little in them for a matrix product: their channels fill the registers instead."""
    return groups > 1 and inputs == 1 and outputs // groups <= 4


def _in_tiles(x: Any, w_shape: tuple[int, ...], *, stride: Pair, padding: Pair, dilation: Pair, groups: int,
              least: int = 32, **options: Any) -> bool:
    """Whether Winograd's way is the faster: 3 x 3, single precision, whole registers of channels, and enough of them
    that the products take longer than the transformations, which both gradients can share."""
    o, c, *size = w_shape
    return (size == [3, 3] and x.dtype.char == "f" and groups == 1 and min(o, c) >= least and o % 16 == c % 16 == 0
            and tuple(stride) == tuple(dilation) == (1, 1) and max(padding) <= 2 and len(x) > 1)


def _in_stretches(x: Any, w_shape: tuple[int, ...], *, stride: Pair, padding: Pair, dilation: Pair, groups: int,
                  **options: Any) -> bool:
    """Whether the outputs of a pixel are one register, and it is worth reading each pixel once for three windows."""
    if w_shape[3] != 3 or w_shape[0] * x.itemsize != 64 or groups > 1:
        return False
    return stride[1] == dilation[1] == 1 and x.shape[3] + 2 * padding[1] - 2 >= 16
