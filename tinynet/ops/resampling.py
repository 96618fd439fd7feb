"""Images on another grid: their pixels interpolated, or their channels laid out as pixels."""
from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tinynet.autograd.variable import raw, wrap
from tinynet.device import backend
from tinynet.dtypes import Array, float32, name
from tinynet.ops._dims import WIDE
from tinynet.ops._index import ALL
from tinynet.ops.adaptive import adaptive_avg
from tinynet.ops.create import array_of, number, whole
from tinynet.ops.elementwise import cast
from tinynet.ops.index import getitem
from tinynet.ops.shape import permute

Weight = Callable[[Array], Array]  # how much a pixel at the distance d ≥ 0 counts
Scales = list[float | None]  # the factors as given, or None: as the sizes say


def linear(d: Array) -> Array:
    """A straight line from 1 at the pixel to 0 at its neighbours."""
    return 1 - d


def cubic(d: Array) -> Array:
    """Keys, 1981, with a = -3/4: two cubics, from 1 at the pixel to 0 at its neighbours, and on to 0 at the next."""
    a = -0.75
    return backend(d).where(d <= 1, ((a + 2) * d - (a + 3)) * d * d + 1, a * (((d - 5) * d + 8) * d - 4))


# mode -> the numbers of axes it takes, and what it makes a weighted sum with: of how many pixels on either side
MODES: dict[Any, tuple[tuple[int, ...], Weight | None, int]] = {
    "nearest": ((1, 2, 3), None, 0), "nearest-exact": ((1, 2, 3), None, 0), "area": ((1, 2, 3), None, 0),
    "linear": ((1,), linear, 1), "bilinear": ((2,), linear, 1), "trilinear": ((3,), linear, 1),
    "bicubic": ((2,), cubic, 2)}


def interpolate(input: Any, size: Any = None, scale_factor: Any = None, mode: str = "nearest",
                align_corners: bool | None = None, recompute_scale_factor: bool | None = None,
                antialias: bool = False) -> Any:
    """input (N, C, L), (N, C, H, W) or (N, C, D, H, W) on a grid of `size` pixels, or of scale_factor times as many.

    mode, for the pixel whose centre lies at x among those of the input: "nearest-exact" takes the nearest, "nearest"
    the one at its left edge, "linear", "bilinear", "trilinear" (for 1, 2, 3 axes) weigh the two around x in each axis,
    "bicubic" four (Keys, 1981), "area" is adaptive_avg_pool. x = (i + ½) s - ½ for s = 1 / scale_factor or, if a
    size is given or recompute_scale_factor is true, input size / size; under align_corners x = i (n - 1) / (m - 1).

    ValueError for arguments that exclude each other, NotImplementedError for other modes, axes or dtypes (antialias
    is not there), RuntimeError for sizes that are not positive.

    >>> tn.nn.functional.interpolate(tn.tensor([[[0., 2.]]]), scale_factor=2, mode="linear")
    tensor([[[0.0000, 0.5000, 1.5000, 2.0000]]])
    """
    array_of("interpolate", input)
    if align_corners is not None and mode in ("nearest", "nearest-exact", "area"):
        raise ValueError("align_corners option can only be set with the interpolating modes: linear | bilinear | "
                         f"bicubic | trilinear, but mode is {mode}")
    sizes, scales = _grid(input, size, scale_factor, recompute_scale_factor)
    _check(input, sizes, mode, antialias)
    if mode == "area":
        return adaptive_avg(input, sizes)
    _, weight, reach = MODES[mode]
    half = 0.0 if align_corners or mode == "nearest" else 0.5
    dtype = WIDE.get(input.dtype, input.dtype if input.dtype.kind == "f" else float32)
    x = cast(input, dtype=dtype) if weight and dtype != input.dtype else input
    xp, nearest = backend(raw(x)), []
    for axis, (n, m, scale) in enumerate(zip(input.shape[2:], sizes, scales, strict=True), start=2):
        if weight is linear and n == m:
            scale = None  # a factor that changes nothing
        step = (n - 1) / max(m - 1, 1) if align_corners else 1 / scale if scale else n / m
        at = (xp.arange(m, dtype=dtype) + half) * step  # in pixels from the image's edge, or from its first centre
        if weight:
            x = _weighted(x, axis, at - half, weight, reach)
        else:
            at = at.astype(float32)  # as PyTorch does: 13 stays 13 where float64 makes it 12.999999999999998
            nearest.append(xp.minimum(at.astype(int), n - 1))
    if nearest:
        return getitem(x, index=(..., *xp.ix_(*nearest)))
    return x if dtype == input.dtype else cast(x, dtype=input.dtype)


def _weighted(x: Any, axis: int, at: Array, weight: Weight, reach: int) -> Any:
    """For each place in `at` along the axis the sum of weight(distance) x over the pixels around it; beyond the ends
    the last ones go on."""
    xp, last, out = backend(raw(x)), x.shape[axis] - 1, None
    for k in range(1 - reach, 1 + reach):
        pixel = xp.floor(at) + k
        here = getitem(x, index=(*[ALL] * axis, xp.clip(pixel, 0, last).astype(int)))
        weights = weight(abs(at - pixel)).reshape(-1, *[1] * (x.ndim - axis - 1))
        term = here * wrap(weights.astype(x.dtype))
        out = term if out is None else out + term
    return out


def _grid(input: Any, size: Any, scale_factor: Any, recompute: bool | None) -> tuple[tuple[int, ...], Scales]:
    """The sizes wanted, and the scales to go by."""
    there = input.shape[2:]
    if (size is None) == (scale_factor is None):
        raise ValueError("either size or scale_factor should be defined" if size is None else
                         "only one of size or scale_factor should be defined")
    given = scale_factor if size is None else size
    values = list(given) if isinstance(given, (tuple, list)) else [given] * len(there)
    if len(values) != len(there):
        raise ValueError("Input and output must have the same number of spatial dimensions, but got input with spatial "
                         f"dimensions of {list(there)} and {'scale_factor' if size is None else 'output size'} of "
                         f"{given}: input is (N, C, …), and the sizes or factors are for what follows")
    if size is not None:
        if recompute:
            raise ValueError("recompute_scale_factor is not meaningful with an explicit size.")
        return tuple(whole("interpolate(): argument 'size'", v) for v in values), [None] * len(values)
    factors = [float(number("interpolate(): argument 'scale_factor'", v)) for v in values]
    if not all(map(math.isfinite, factors)):
        raise RuntimeError(f"interpolate: scale_factor must be finite, got {given}")
    sizes = tuple(int(n * s) for n, s in zip(there, factors, strict=True))
    return sizes, [None if recompute else s for s in factors]


def _check(input: Any, sizes: tuple[int, ...], mode: str, antialias: bool) -> None:
    if antialias and (mode not in ("bilinear", "bicubic") or input.ndim != 4):
        raise ValueError("Anti-alias option is restricted to bilinear and bicubic modes and requires a 4-D tensor as "
                         f"input, but mode is {mode} and the input {list(input.shape)}")
    if antialias:
        raise NotImplementedError("interpolate: antialias=True is not implemented; mode='area' makes images smaller "
                                  "without aliasing")
    if mode not in MODES:
        raise NotImplementedError(f"interpolate: no mode is called {mode!r}; choose from {', '.join(MODES)}")
    axes = MODES[mode][0]
    if input.ndim - 2 not in axes:
        needed = " or ".join(f"{n + 2}D" for n in axes)
        raise NotImplementedError(f"Got {input.ndim}D input, but {mode} mode needs {needed} input, (N, C, …): got the "
                                  f"shape {list(input.shape)}")
    if input.dtype.kind != "f" and (input.dtype != "uint8" or "nearest" not in mode):
        raise NotImplementedError(f"interpolate with mode {mode} is not implemented for {name(input.dtype)}: use "
                                  "input.float()")
    there = list(input.shape[2:])
    if 0 in there or min(sizes) < (mode != "area"):
        raise RuntimeError(f"Input and output sizes should be greater than 0, but got input {there} and output "
                           f"{list(sizes)}")
    if not input.shape[1] and mode != "area":
        raise RuntimeError(f"Non-empty {input.ndim}D data tensor expected but got a tensor with sizes "
                           f"{list(input.shape)}")


# ---- channels and pixels
def pixel_shuffle(input: Any, upscale_factor: int) -> Any:
    """Each pixel's channels, r² at a time, as r × r pixels: (…, C r², H, W) becomes (…, C, H r, W r). Shi et al., 2016.

    >>> tn.nn.functional.pixel_shuffle(tn.arange(4).reshape(4, 1, 1), 2)
    tensor([[[0, 1],
             [2, 3]]])
    """
    r = _factor("pixel_shuffle", "upscale_factor", input, upscale_factor)
    *lead, c, h, w = input.shape
    if c % (r * r):
        raise RuntimeError("pixel_shuffle expects its input's 'channel' dimension to be divisible by the square of "
                           f"upscale_factor, but input.size(-3)={c} is not divisible by {r * r}")
    c //= r * r
    x = permute(input.reshape((math.prod(lead), c, r, r, h, w)), dims=(0, 1, 4, 2, 5, 3))
    return x.reshape((*lead, c, h * r, w * r))


def pixel_unshuffle(input: Any, downscale_factor: int) -> Any:
    """What pixel_shuffle undoes: each r × r pixels as the channels of one, (…, C, H r, W r) as (…, C r², H, W).

    >>> tn.nn.functional.pixel_unshuffle(tn.arange(4).reshape(1, 2, 2), 2).flatten()
    tensor([0, 1, 2, 3])
    """
    r = _factor("pixel_unshuffle", "downscale_factor", input, downscale_factor)
    *lead, c, h, w = input.shape
    for what, n, dim in (("height", h, -2), ("width", w, -1)):
        if n % r:
            raise RuntimeError(f"pixel_unshuffle expects {what} to be divisible by downscale_factor, but "
                               f"input.size({dim})={n} is not divisible by {r}")
    h, w = h // r, w // r
    x = permute(input.reshape((math.prod(lead), c, h, r, w, r)), dims=(0, 1, 3, 5, 2, 4))
    return x.reshape((*lead, c * r * r, h, w))


def _factor(op: str, what: str, input: Any, factor: Any) -> int:
    array_of(op, input)
    r = whole(f"{op}(): argument '{what}'", factor)
    if input.ndim < 3:
        raise RuntimeError(f"{op} expects input to have at least 3 dimensions, but got input with {input.ndim} "
                           "dimension(s)")
    if r <= 0:
        raise RuntimeError(f"{op} expects a positive {what}, but got {r}")
    return r
