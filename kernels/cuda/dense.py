"""Products of matrices, and the linear layer: sgemm.cu, or tf32.cu where TF32 is allowed."""
from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from . import choice, launcher, sums

DEPTH = 16  # the inner axis is taken in steps of so many
LEAST_SLICE = 128  # numbers of the inner axis that a block should sum at least
STAGES, ALONG_K, ALONG_I = 4, 128 * (DEPTH + 4), DEPTH * (128 + 8)  # tf32.cu: pairs of panels, numbers of each kind


class Matrices(NamedTuple):
    """Matrices (outer, inner, rows, columns) as a kernel reads them: rows of `pitch` numbers; if turned, columns."""

    array: Any
    turned: bool
    pitch: Any
    outer: int  # numbers from one matrix to the next
    inner: int


def matmul(xp: Any, a: Any, b: Any) -> Any:
    """y[…, i, j] = Σ_k a[…, i, k] b[…, k, j], leading axes broadcast."""
    lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    y = launcher.empty(xp, (*lead, a.shape[-2], b.shape[-1]), a.dtype)
    return product(xp, a, b, None, False, y)


def linear(xp: Any, x: Any, w: Any, b: Any = None, *, relu: bool = False) -> Any:
    """y[n, o] = b[o] + Σ_i x[n, i] w[o, i]; relu: max(y, 0)."""
    y = launcher.empty(xp, (len(x), len(w)), x.dtype)
    return product(xp, x, w.T, None if b is None else xp.ascontiguousarray(b), relu, y)


def linear_grad(xp: Any, g: Any, x: Any, w: Any, y: Any = None, *, wanted: Any) -> tuple[Any, ...]:
    """The gradients of x, w and b, None where not wanted, when that of the layer's output is g; or that of max(0,
    output), which is y."""
    g = xp.ascontiguousarray(g)
    if y is not None:
        g = sums.relu_grad(xp, g, y)
    return (matmul(xp, g, w) if wanted[0] else None, matmul(xp, g.T, x) if wanted[1] else None,
            sums.of_columns(xp, g) if wanted[2] else None)


def product(xp: Any, a: Any, b: Any, bias: Any, relu: bool, y: Any) -> Any:
    """y = a b + bias, through max(…, 0) if relu."""
    lead, (m, n), k = y.shape[:-2], y.shape[-2:], a.shape[-1]
    outer, inner = (math.prod(lead[:-1]), lead[-1]) if lead else (1, 1)
    a, b_read = (as_read(xp, x, lead, (outer, inner)) for x in (a, b))
    if a.turned and b_read.turned:  # rare, so there is no kernel for it
        b_read = as_read(xp, xp.ascontiguousarray(b), lead, (outer, inner))
    b = b_read
    kernel, size, slices, shared = plan(m, n, k, outer * inner, launcher.multiprocessors(xp), a.turned, b.turned)
    depth = -(-k // slices // DEPTH) * DEPTH if slices > 1 else max(k, 1)
    slices = max(-(-k // depth), 1)
    parts = y if slices == 1 else launcher.empty(xp, (slices, *y.shape), y.dtype)
    launcher.launch(
        xp, kernel, (-(-m // size), -(-n // size), outer * inner * slices), shared=shared,
        a=launcher.Strided(a.array), b=launcher.Strided(b.array), bias=bias, c=parts, m=m, n=n, k=k,
        a_pitch=a.pitch, b_pitch=b.pitch, inner=inner, a_outer=a.outer, a_inner=a.inner, b_outer=b.outer,
        b_inner=b.inner, slices=slices, slice_depth=depth, relu=int(relu))
    if slices > 1:
        launcher.launch(xp, "sgemm_sum", (-(-y.size // 256),), parts=parts, bias=bias, c=y, size=y.size, n=n,
                        slices=slices, relu=int(relu))
    return y


def plan(m: int, n: int, k: int, batch: int, multiprocessors: int, a_turned: bool,
         b_turned: bool) -> tuple[str, int, int, int]:
    """Which kernel, the size of its tiles, into how many slices it cuts the inner axis, and its bytes of shared memory:
    enough blocks to keep a card busy."""
    layout, large = f"{'nt'[a_turned]}{'nt'[b_turned]}", -(-m // 128) * -(-n // 128) * batch
    if choice.precision == "tf32" and min(m, n) > 32:
        shared = 4 * STAGES * sum(ALONG_K if along else ALONG_I for along in (not a_turned, b_turned))
        return f"tf32_{layout}", 128, max(1, min(2 * multiprocessors // large, k // LEAST_SLICE)), shared
    if large >= multiprocessors:
        return f"sgemm_{layout}_128", 128, 1, 0
    blocks = -(-m // 64) * -(-n // 64) * batch
    return f"sgemm_{layout}_64", 64, max(1, min(2 * multiprocessors // blocks, k // LEAST_SLICE)), 0


def as_read(xp: Any, x: Any, lead: tuple[int, ...], batch: tuple[int, int]) -> Matrices:
    """Matrices in the shape of a batch: as they lie in memory, if they lie in rows or in columns; or else copied."""
    rows, columns = x.shape[-2:]
    if min(x.strides) < 0 or (pitch(x) is None and pitch(x.swapaxes(-1, -2)) is None):
        x = xp.ascontiguousarray(x)
    if x.shape[:-2] != lead:
        x = xp.broadcast_to(x, (*lead, rows, columns))
    x = x.reshape(*batch, rows, columns)  # a copy, if the axes do not fold
    turned = pitch(x) is None
    outer, inner = (stride // x.itemsize for stride in x.strides[:2])
    return Matrices(x, turned, pitch(x.swapaxes(-1, -2) if turned else x), outer, inner)


def pitch(x: Any) -> Any:
    """How many numbers one row of a matrix lies after another, if rows lie in memory in one piece; or else None."""
    (rows, columns), (down, along), item = x.shape[-2:], x.strides[-2:], x.itemsize
    if columns > 1 and along != item:
        return None
    if rows == 1:
        return columns  # the stride of a lone row may be anything
    return down // item if down >= columns * item and down % item == 0 else None
