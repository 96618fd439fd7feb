"""Optimizers: every parameter of a group in one pass over memory.

As NumPy computes it, a step of Adam reads and writes each array of a parameter a dozen times, and a network has many
small parameters. Here a number is read, updated and written once, and the workers share out the elements of all
parameters together: laid end to end, each takes an equal stretch, wherever it begins.
"""
from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .compiler import jit, parallel, span
from .functions import load_some, root
from .threads import workers_for
from .vector import lanes, store_some, where

Arrays = Sequence[Any]


# ---- lists of arrays
@intrinsic
def data_of(typing, arrays, k, like):
    """The pointer to the numbers of an array of like's dtype, number k of a tuple of which we have the id(): so Python
    need not ask each array where its numbers are. A tuple's items stand right behind its head, and an array's pointer
    right behind the head that all Python objects have (`PyArrayObject_fields`, in NumPy's C interface)."""
    kind = types.CPointer(like.dtype)

    def generate(context, builder, signature, arguments):
        word, (begin, k, _) = arguments[0].type, arguments
        items = builder.inttoptr(builder.add(begin, ir.Constant(word, tuple.__basicsize__)), word.as_pointer())
        field = builder.add(builder.load(builder.gep(items, [k])), ir.Constant(word, object.__basicsize__))
        return builder.load(builder.inttoptr(field, context.get_value_type(kind).as_pointer()))
    return kind(types.intp, types.intp, like), generate


@functools.lru_cache(256)
def ends(*sizes: int) -> Any:
    """Where each parameter ends, laid end to end, after a 0."""
    return np.array([*accumulate(sizes, initial=0)])


@functools.lru_cache(256)
def constants(dtype: Any, *numbers: float) -> Any:
    """Numbers that are the same at every step."""
    return np.array(numbers, dtype)


# ---- the updates. ws, gs, ms, …: the id() of a tuple of arrays, one for each parameter; like: one of their dtype, the
# settings' too
@parallel
def update_adam(worker, workers, ws, gs, ms, vs, largest, ends, corrections, settings, amsgrad):
    """w ← shrink · w - rate · m / (√v · root + ε); (rate, root) are the corrections of the parameter's step, new1 and
    new2 are 1 - β1 and 1 - β2: taken in double precision, as 1 - 0.999 in float32 has three digits only."""
    share, like = span(worker, workers, ends[-1]), settings
    numbers = settings[0], settings[1], settings[2], settings[3], settings[4], settings[5], settings[6]
    for k in range(len(ends) - 1):
        w, g, m, v = data_of(ws, k, like), data_of(gs, k, like), data_of(ms, k, like), data_of(vs, k, like)
        most, rate, to_root = data_of(largest, k, like), corrections[2 * k], corrections[2 * k + 1]
        last = min(share.stop, ends[k + 1]) - ends[k]
        begin = max(share.start, ends[k]) - ends[k]
        whole = begin + (last - begin) // lanes(like) * lanes(like) if last > begin else last
        for i in range(begin, whole, lanes(like)):
            _adam(w, g, m, v, most, i, lanes(like), rate, to_root, numbers, amsgrad)
        if whole < last:
            _adam(w, g, m, v, most, whole, last - whole, rate, to_root, numbers, amsgrad)


@jit
def _adam(w, g, m, v, most, i, some, rate, to_root, numbers, amsgrad):
    """The update of some numbers, a register of them, from number i on."""
    new1, beta2, new2, eps, decay, shrink, sign = numbers
    weight, mean = load_some(w, i, some), load_some(m, i, some)
    slope = sign * load_some(g, i, some) + decay * weight
    mean = mean + new1 * (slope - mean)
    square = beta2 * load_some(v, i, some) + new2 * slope * slope
    store_some(m, i, mean, some)
    store_some(v, i, square, some)
    if amsgrad:
        before = load_some(most, i, some)
        square = where(before > square, before, square)  # a NaN takes over
        store_some(most, i, square, some)
    store_some(w, i, shrink * weight - rate * mean / (root(square) * to_root + eps), some)


def adam(xp: Any, ws: Arrays, gs: Arrays, means: Arrays, squares: Arrays, largest: Arrays, steps: Sequence[float], *,
         lr: float, beta1: float, beta2: float, eps: float, weight_decay: float, decoupled: bool,
         maximize: bool) -> None:
    """Adam's step."""
    dtype, bounds = ws[0].dtype, ends(*[w.size for w in ws])
    of_step = {t: (lr / (1 - beta1**t), 1 / math.sqrt(1 - beta2**t)) for t in {*steps}}  # mostly all as many
    corrections = np.array([number for t in steps for number in of_step[t]], dtype)
    settings = constants(dtype, 1 - beta1, beta2, 1 - beta2, eps, 0 if decoupled else weight_decay,
                         1 - lr * weight_decay if decoupled else 1, -1 if maximize else 1)
    tuples = tuple(ws), tuple(gs), tuple(means), tuple(squares), tuple(largest or gs)
    update_adam(workers_for(2 * int(bounds[-1])), *map(id, tuples), bounds, corrections, settings, bool(largest))


@parallel
def update_sgd(worker, workers, ws, gs, buffers, ends, like, lr, momentum, keep, decay, sign, nesterov, buffered):
    """b ← momentum b + keep g, w ← w - lr b."""
    share = span(worker, workers, ends[-1])
    for k in range(len(ends) - 1):
        w, g, b = data_of(ws, k, like), data_of(gs, k, like), data_of(buffers, k, like)
        for i in range(max(share.start, ends[k]) - ends[k], min(share.stop, ends[k + 1]) - ends[k]):
            slope = sign * g[i] + decay * w[i]
            if buffered:
                b[i] = momentum * b[i] + keep * slope
                slope = slope + momentum * b[i] if nesterov else b[i]
            w[i] -= lr * slope


def sgd(xp: Any, ws: Arrays, gs: Arrays, buffers: Arrays, *, lr: float, momentum: float, dampening: float,
        weight_decay: float, nesterov: bool, maximize: bool) -> None:
    """The step of gradient descent."""
    number = ws[0].dtype.type
    settings = map(number, (lr, momentum, 1 - dampening, weight_decay, -1 if maximize else 1))
    bounds, tuples = ends(*[w.size for w in ws]), (tuple(ws), tuple(gs), tuple(buffers or gs))
    update_sgd(workers_for(int(bounds[-1])), *map(id, tuples), bounds, np.empty(0, number), *settings, bool(nesterov),
               bool(buffers))
