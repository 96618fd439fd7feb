"""Attention, a block of queries at a time: their scores stay in the cache, and are never written to memory.

A block's scores are one product, with a row for each key: so a register holds the scores of several queries for one
key, and the largest score of each query, the exponentials and their sum take no more than adding up rows. Another
product mixes the values. Backward the scores are computed again, rather than kept: of each query only its largest score
and the sum are (Dao et al., 2022). They give the gradients of the scores, and these what the block adds to the
gradients of queries, keys and values. Where attention is causal, half a block leaves out the keys after its last query.

Queries, keys and values are read where they lie, with whatever is between them: mostly they are parts of one array.
"""
from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np

from .compiler import jit, parallel, span
from .functions import exp, larger, load_some
from .layout import add, flat, from_last, steps, zero
from .matmul import starts
from .panel import FROM_C, FROM_ZERO
from .panels import pack_panels, product
from .threads import get_num_threads, scratch, workers_for
from .vector import BYTES, at, lanes, load, splat, store, store_some, where

BLOCK = 64  # queries; a multiple of what a register holds
HALF = BLOCK // 2
Shape = tuple[int, ...]


class Heads(NamedTuple):
    """How many heads, of all samples together; how many of what each has; and tables for `panel`."""

    heads: int
    queries: int
    keys: int
    features: int  # of a query and of a key,
    width: int  # and of a value
    causal: int
    ones: Any  # (0, 1, …)
    rows: Any  # (0, BLOCK, …), where the keys' rows of scores begin


class Matrices(NamedTuple):
    """A matrix for each head: the memory in which they lie, from the first number on, where each begins, how far it is
    from one row to the next, and the table of that."""

    memory: Any
    starts: Any
    down: int
    rows: Any


# ---- tasks. Helpers get pointers: arrays would have their references counted at every call
@parallel
def attend(worker, workers, q: Matrices, k: Matrices, v: Matrices, mask: Matrices, masked, out: Matrices, tops, sums,
           scale, work, s: Heads):
    """out = p v, p = softmax(scale q kᵀ + mask); of each query its largest score, and the sum of the exponentials."""
    mine, size, ones, rows = work[worker], lanes(work), at(s.ones, 0), at(s.rows, 0)
    probs, packed = at(mine, 0), at(mine, s.keys * BLOCK)
    blocks = (s.queries + BLOCK - 1) // BLOCK
    for task in span(worker, workers, s.heads * blocks):
        head, first = task // blocks, task % blocks * BLOCK
        count, of_query = min(BLOCK, s.queries - first), head * s.queries + first
        seen = min(s.keys, first + count) if s.causal else s.keys
        scores(at(q.memory, q.starts[head] + first * q.down), q.down, at(k.memory, k.starts[head]), at(k.rows, 0),
               s.features, count, first, seen, s.causal, scale, packed, ones, probs, rows)
        if masked:
            add_mask(at(mask.memory, mask.starts[head] + first), mask.down, probs, count, seen)
        if s.causal:
            hide(probs, first, seen)
        for c in range(0, count, size):
            top, total = exponentials(probs, c, min(seen, first + c + size) if s.causal else seen, seen)
            store_some(tops, of_query + c, top, count - c)
            store_some(sums, of_query + c, total, count - c)
        result = at(out.memory, out.starts[head] + first * out.down)
        mix(count, s.width, first, seen, s.causal, probs, ones, rows, at(v.memory, v.starts[head]), v.down, result,
            out.down, at(out.rows, 0))
        for c in range(count):
            multiply_by(result, c * out.down, s.width, 1 / sums[of_query + c])


@parallel
def attend_back(worker, workers, g: Matrices, q: Matrices, k: Matrices, v: Matrices, mask: Matrices, masked, tops, sums,
                dq: Matrices, dk: Matrices, dv: Matrices, ds: Matrices, with_ds, scale, work, s: Heads):
    """The gradients of queries, keys, values and (with_ds) scores, when that of what attention gives is g."""
    mine, size, ones, rows = work[worker], lanes(work), at(s.ones, 0), at(s.rows, 0)
    probs, slopes, packed = at(mine, 0), at(mine, s.keys * BLOCK), at(mine, 2 * s.keys * BLOCK)
    for head in span(worker, workers, s.heads):
        keys, of_keys = at(k.memory, k.starts[head]), at(dk.memory, dk.starts[head])
        values, of_values = at(v.memory, v.starts[head]), at(dv.memory, dv.starts[head])
        for key in range(s.keys):
            zero(of_keys, key * dk.down, s.features)
            zero(of_values, key * dv.down, s.width)
        for first in range(0, s.queries, BLOCK):
            count, of_query = min(BLOCK, s.queries - first), head * s.queries + first
            seen = min(s.keys, first + count) if s.causal else s.keys
            queries = at(q.memory, q.starts[head] + first * q.down)
            of_out = at(g.memory, g.starts[head] + first * g.down)
            scores(queries, q.down, keys, at(k.rows, 0), s.features, count, first, seen, s.causal, scale, packed, ones,
                   probs, rows)
            if masked:
                add_mask(at(mask.memory, mask.starts[head] + first), mask.down, probs, count, seen)
            if s.causal:
                hide(probs, first, seen)
            scores(of_out, g.down, values, at(v.rows, 0), s.width, count, first, seen, s.causal, 1, packed, ones,
                   slopes, rows)
            for c in range(0, count, size):
                top, total = load_some(tops, of_query + c, count - c), load_some(sums, of_query + c, count - c)
                gradients(probs, slopes, c, min(seen, first + c + size) if s.causal else seen, seen, top, total,
                          1 if with_ds else scale)
            if with_ds:
                for key in range(seen):
                    add(slopes, key * BLOCK, at(ds.memory, ds.starts[head] + key * ds.down + first), 0, count)
                multiply_by(slopes, 0, seen * BLOCK, scale)
            mix(count, s.features, first, seen, s.causal, slopes, ones, rows, keys, k.down,
                at(dq.memory, dq.starts[head] + first * dq.down), dq.down, at(dq.rows, 0))
            add_mixed(count, s.features, first, seen, s.causal, slopes, ones, rows, queries, q.down,
                      of_keys, dk.down, at(dk.rows, 0))
            add_mixed(count, s.width, first, seen, s.causal, probs, ones, rows, of_out, g.down,
                      of_values, dv.down, at(dv.rows, 0))


@jit
def scores(q, q_down, k, k_rows, features, count, first, seen, causal, scale, packed, ones, out, rows):
    """out[key · BLOCK + c] = scale Σ q[c] k[key], for a block of queries q from number `first` on. causal: not where no
    query of a panel sees the key."""
    wide = 2 * lanes(out)
    pack_panels(q, 0, 1, q_down, features, 0, count, packed)
    if scale != 1:
        multiply_by(packed, 0, (count + wide - 1) // wide * wide * features, scale)
    for c in range(0, count, wide):
        some = min(wide, count - c)
        product(min(seen, first + c + some) if causal else seen, some, features, k, k_rows, ones,
                at(packed, c * features), features, wide, at(out, c), rows, FROM_ZERO, out)


@jit
def mix(count, width, first, seen, causal, p, ones, rows, v, v_down, out, down, places):
    """out[c] = Σ p[key, c] v[key] over the keys: those that half a block of queries sees."""
    for c in range(0, count, HALF):
        some = min(HALF, count - c)
        product(some, width, min(seen, first + c + some) if causal else seen, at(p, c), ones, rows, v, 1, v_down,
                at(out, c * down), places, FROM_ZERO, p)


@jit
def add_mixed(count, width, first, seen, causal, p, ones, rows, q, q_down, out, down, places):
    """out[key] += Σ p[key, c] q[c] over a block of queries; only the second half of it sees the block's last keys."""
    early = min(seen, first + HALF) if causal and count > HALF else seen
    product(early, width, count, p, rows, ones, q, 1, q_down, out, places, FROM_C, p)
    if early < seen:
        product(seen - early, width, count - HALF, at(p, early * BLOCK + HALF), rows, ones, at(q, HALF * q_down), 1,
                q_down, at(out, early * down), places, FROM_C, p)


@jit
def add_mask(mask, mask_down, out, count, seen):
    """out[key] += the mask's numbers for `count` queries, for each key of the first `seen`."""
    for key in range(seen):
        add(mask, key * mask_down, out, key * BLOCK, count)


@jit
def hide(out, first, seen):
    """-∞ for each key after a query, in those registers of queries of which some see it."""
    size, blind = lanes(out), splat(out, -math.inf)
    for key in range(first + 1, seen):
        others = (key - first) % size
        store_some(out, key * BLOCK + key - first - others, blind, others)


@jit
def exponentials(p, c, n, seen):
    """For a register of queries: the exponentials of their scores for n keys, and 0 for the rest, in their place.
    Returns the largest scores, which are subtracted, and the sums. A query that sees no key gets 0 and 1."""
    top, total, nothing = splat(p, -math.inf), splat(p, 0), splat(p, 0)
    for i in range(c, c + n * BLOCK, BLOCK):
        top = larger(top, load(p, i))
    top = where(top == -math.inf, nothing, top)
    for i in range(c, c + n * BLOCK, BLOCK):
        e = exp(load(p, i) - top)
        total = total + e
        store(p, i, e)
    for i in range(c + n * BLOCK, c + seen * BLOCK, BLOCK):
        store(p, i, nothing)
    return top, where(total == 0, splat(p, 1), total)


@jit
def gradients(p, d, c, n, seen, top, total, scale):
    """For a register of queries: scores become the probabilities p, and the gradients d of these those of the scores,
    p (d - Σ p d), times scale."""
    share, mean, nothing = 1 / total, splat(p, 0), splat(p, 0)
    for i in range(c, c + n * BLOCK, BLOCK):
        e = exp(load(p, i) - top) * share
        mean = mean + e * load(d, i)
        store(p, i, e)
    for i in range(c, c + n * BLOCK, BLOCK):
        store(d, i, load(p, i) * (load(d, i) - mean) * scale)
    for i in range(c + n * BLOCK, c + seen * BLOCK, BLOCK):
        store(p, i, nothing)
        store(d, i, nothing)


@jit
def multiply_by(a, i, n, number):
    """a[i : i + n] *= number"""
    for k in range(i, i + n, lanes(a)):
        store_some(a, k, load_some(a, k, i + n - k) * number, i + n - k)


# ---- for NumPy's arrays
def attention(xp: Any, q: Any, k: Any, v: Any, mask: Any = None, *, scale: float, causal: bool) -> tuple[Any, ...]:
    """p v, p = softmax(scale q kᵀ + mask); the largest score of each query, and the sum of the exponentials."""
    out, tops, sums = room_like(q, v.shape[-1]), np.empty(q.shape[:-1], q.dtype), np.empty(q.shape[:-1], q.dtype)
    s, workers, packed = plan(q.shape, v.shape, causal, q.itemsize, get_num_threads())
    attend(workers, *map(matrices, (q, k, v)), *_transposed(mask, q, k), matrices(out), tops.reshape(-1),
           sums.reshape(-1), q.dtype.type(scale), scratch(workers, s.keys * BLOCK + packed, q.dtype), s)
    return out, tops, sums


def attention_grad(xp: Any, g: Any, q: Any, k: Any, v: Any, mask: Any, tops: Any, sums: Any, *, scale: float,
                   causal: bool, scores: bool) -> tuple[Any, ...]:
    """The gradients of q, k, v, and of the scores if they are asked for."""
    dq, dk, dv = rooms_like(q, k, v)
    ds = np.zeros((*q.shape[:-2], k.shape[-2], q.shape[-2]), q.dtype) if scores else q
    s, workers, packed = plan(q.shape, v.shape, causal, q.itemsize, get_num_threads())
    attend_back(workers, *map(matrices, (g, q, k, v)), *_transposed(mask, q, k), flat(tops)[0], flat(sums)[0],
                *map(matrices, (dq, dk, dv, ds)), int(scores), q.dtype.type(scale),
                scratch(workers, 2 * s.keys * BLOCK + packed, q.dtype), s)
    return dq, dk, dv, ds.swapaxes(-1, -2) if scores else None


@functools.lru_cache(256)
def plan(q_shape: Shape, v_shape: Shape, causal: bool, itemsize: int, threads: int) -> tuple[Heads, int, int]:
    """The sizes, how many workers, and what memory each wants for a packed block."""
    (*lead, queries, features), (keys, width) = q_shape, v_shape[-2:]
    heads, wide = math.prod(lead), 2 * BYTES // itemsize
    s = Heads(heads, queries, keys, features, width, int(causal), steps(max(features, width, keys, BLOCK), 1),
              steps(max(keys, BLOCK), BLOCK))
    return s, workers_for(heads * queries * keys * (1 + (features + width) / wide)), BLOCK * max(features, width)


def room_like(x: Any, columns: int) -> Any:
    """An array (…, rows, columns), its rows in memory in the order of x's."""
    order = from_last(x.strides[:-1])
    return np.empty([*[x.shape[d] for d in order], columns], x.dtype).transpose(back(*order))


@functools.lru_cache(256)
def back(*order: int) -> list[int]:
    """From this order of the axes, and a last one, to their own."""
    return [*sorted(range(len(order)), key=order.__getitem__), len(order)]


def rooms_like(*parts: Any) -> Any:
    """An array like each. If the parts lie side by side in one array, so do these: then nobody need join them, who
    wants the gradient of that array."""
    first, whole, count = parts[0], parts[0].base, len(parts)
    shape, strides = first.shape, first.strides
    if (isinstance(whole, np.ndarray) and whole.flags.c_contiguous and whole.size == count * first.size
            and all(a.base is whole and a.shape == shape and a.strides == strides for a in parts)):
        begin, *begins = (a.__array_interface__["data"][0] for a in (whole, *parts))
        wide = begins[1] - begin
        inner = sum((n - 1) * step for n, step in zip(shape, strides, strict=True) if step < count * wide)
        apart = inner + first.itemsize <= wide and min(strides) > 0
        if apart and begins == [begin + k * wide for k in range(count)]:
            room = np.empty_like(whole)
            return [np.ndarray(shape, first.dtype, room, k * wide, strides) for k in range(count)]
    return [room_like(a, a.shape[-1]) for a in parts]


def matrices(x: Any) -> Matrices:
    """x (…, rows, columns) where it lies; a copy if the numbers of a row are apart, or memory is read-only."""
    flags = x.flags
    if (x.strides[-1] != x.itemsize and x.shape[-1] > 1) or not (flags.writeable and flags.aligned):
        x = np.array(x, order="C")
    return Matrices(x[(0,) * (x.ndim - 1)], *layout(x.shape, x.strides, x.itemsize))


@functools.lru_cache(256)
def layout(shape: Shape, strides: Shape, itemsize: int) -> tuple[Any, int, Any]:
    """What Matrices says of the matrices of an array."""
    apart = tuple(step // itemsize for step in strides)
    return starts(shape[:-2], shape, apart), apart[-2], steps(shape[-2], apart[-2])


def _transposed(mask: Any, q: Any, k: Any) -> tuple[Matrices, int]:
    """What a mask adds to the scores, with a row for each key; where it is the same for several heads or keys, it is
    there once. And whether there is one."""
    if mask is None:
        return matrices(q), 0
    bias = np.where(mask, 0, -np.inf) if mask.dtype.kind == "b" else mask
    bias = np.atleast_2d(bias).swapaxes(-1, -2)
    bias = np.array(np.broadcast_to(bias, (*bias.shape[:-1], q.shape[-2])), q.dtype, order="C")
    strides = np.broadcast_to(bias, (*q.shape[:-2], k.shape[-2], q.shape[-2])).strides
    return Matrices(bias.reshape(-1), *layout((*q.shape[:-2], k.shape[-2], q.shape[-2]), strides, q.itemsize)), 1
