"""Attention and its gradients, which never write a matrix of scores to memory: attention.cu."""
from __future__ import annotations

import math
from typing import Any

from . import dense
from .launcher import Strided, empty, launch
from .source import home_of

# ROWS and COLUMNS of the tiles forward, and of those backward, by the most features that a head may have
TILES = {64: ((64, 64), (64, 32)), 128: ((64, 32), (32, 32))}
OUTPUTS = ("out", "tops", "totals", "means", "dq", "dk", "dv", "ds")
STEPS = ("mask_sample", "mask_head", "mask_query", "mask_key")


def attention(xp: Any, q: Any, k: Any, v: Any, mask: Any = None, *, scale: float, causal: bool) -> tuple[Any, ...]:
    """p v, p = softmax(scale q kᵀ + mask); the largest score of each query, and the sum of the exponentials."""
    out = empty(xp, (*q.shape[:-1], v.shape[-1]), q.dtype)
    tops, totals = (empty(xp, q.shape[:-1], q.dtype) for _ in range(2))
    _launch(xp, "attention", q, _inputs(xp, (q, k, v), mask, scale, causal), out=out, tops=tops, totals=totals)
    return out, tops, totals


def attention_grad(xp: Any, g: Any, q: Any, k: Any, v: Any, mask: Any, tops: Any, totals: Any, *, scale: float,
                   causal: bool, scores: bool) -> tuple[Any, ...]:
    """The gradients of q, k, v, and of the scores if they are asked for."""
    dq, dk, dv, means = (empty(xp, shape, q.dtype) for shape in (q.shape, k.shape, v.shape, q.shape[:-1]))
    ds = empty(xp, (*q.shape[:-1], k.shape[-2]), q.dtype) if scores else None
    kept = {"tops": xp.ascontiguousarray(tops), "totals": xp.ascontiguousarray(totals), "means": means}
    inputs = _inputs(xp, (q, k, v, g), mask, scale, causal)
    _launch(xp, "attention_dq", q, inputs, **kept, dq=dq, ds=ds)
    _launch(xp, "attention_dk", k, inputs, **kept, dk=dk, dv=dv)
    return dq, dk, dv, ds


def _inputs(xp: Any, matrices: tuple[Any, ...], mask: Any, scale: float, causal: bool) -> dict[str, Any]:
    """What the kernels are told of q, k, v and g, which are read where they lie, mostly as parts of one array, and of
    a mask, which is never written out for all the heads that it is for."""
    (*lead, queries, features), (keys, width) = matrices[0].shape, matrices[2].shape[-2:]
    samples, heads = math.prod(lead[:-1]), lead[-1] if lead else 1
    rows = [x if dense.pitch(x) is not None else xp.ascontiguousarray(x) for x in matrices]
    read = [dense.as_read(xp, x, tuple(lead), (samples, heads)) for x in rows]
    told = {"in": [Strided(m.array) for m in read], "sample_step": [m.outer for m in read],
            "head_step": [m.inner for m in read], "pitch": [m.pitch for m in read],
            "heads": heads, "queries": queries, "keys": keys, "features": features, "width": width,
            "causal": int(causal), "scale": float(scale), "mask": None, "allowed": None, **dict.fromkeys(STEPS, 0)}
    if mask is not None:
        mask = xp.broadcast_to(mask, (*lead, queries, keys)).reshape(samples, heads, queries, keys)
        told["allowed" if mask.dtype.kind == "b" else "mask"] = Strided(mask)
        told |= dict(zip(STEPS, (step // mask.itemsize for step in mask.strides), strict=True))
    return told


def _launch(xp: Any, kernel: str, rows: Any, inputs: dict[str, Any], **outputs: Any) -> None:
    """A block for every so many rows of every head. It keeps these of one matrix, q, or of two backward; a tile of the
    columns of two others; and weights."""
    most = next(d for d in TILES if max(inputs["features"], inputs["width"]) <= d)
    kept = len(inputs["in"]) - 2
    (tall, wide), pad = TILES[most][kept - 1], home_of(f"{kernel}_{most}").constants["PAD"]
    numbers = (kept * tall + 2 * wide) * (most + pad) + tall * (wide + pad)
    blocks = math.prod(rows.shape[:-2]) * -(-rows.shape[-2] // tall)
    launch(xp, f"{kernel}_{most}", (blocks,), shared=4 * numbers, **inputs, **{**dict.fromkeys(OUTPUTS), **outputs})
