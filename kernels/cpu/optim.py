"""Optimizers: every parameter of a group in one pass over memory.

As NumPy computes it, a step of Adam reads and writes each array of a parameter a dozen times, and a network has many
small parameters. Here a number is read, updated and written once, and the workers share out the elements of all
parameters together: laid end to end, each takes an equal stretch, wherever it begins.
"""
from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from itertools import accumulate, chain
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .compiler import parallel, span
from .functions import load_some, root
from .threads import workers_for
from .vector import lanes, store_some, where

Arrays = Sequence[Any]


# ---- lists of arrays
@intrinsic
def data_of(typing, identity, like):
    """The pointer to the numbers of an array of like's dtype, of which we have the id(). It stands
    right behind the head that all Python objects have (`PyArrayObject_fields`, in NumPy's C interface)."""
    kind = types.CPointer(like.dtype)

    def generate(context, builder, signature, arguments):
        field = builder.add(arguments[0], ir.Constant(arguments[0].type, object.__basicsize__))
        return builder.load(builder.inttoptr(field, context.get_value_type(kind).as_pointer()))
    return kind(types.intp, like), generate


def identities(*lists: Arrays) -> Any:
    """The id() of each array: a row for each list. (Ten times as fast as to ask each array where its numbers are.)"""
    return np.fromiter(map(id, chain(*lists)), np.int64, sum(map(len, lists))).reshape(len(lists), -1)


@functools.lru_cache(256)
def ends(*sizes: int) -> Any:
    """Where each parameter ends, laid end to end, after a 0."""
    return np.array([*accumulate(sizes, initial=0)])


@functools.lru_cache(256)
def constants(dtype: Any, *numbers: float) -> Any:
    """Numbers that are the same at every step."""
    return np.array(numbers, dtype)


# ---- the updates. ids[j, k]: the array that list j has for parameter k; like: one of their dtype, the settings' too
@parallel
def update_adam(worker, workers, ids, ends, corrections, settings, amsgrad):
    """w ← shrink · w - rate · m / (√v · root + ε); (rate, root) are the corrections of the parameter's step, new1 and
    new2 are 1 - β1 and 1 - β2: taken in double precision, as 1 - 0.999 in float32 has three digits only."""
    share, like = span(worker, workers, ends[-1]), settings
    new1, beta2, new2, eps, decay, shrink, sign = (settings[0], settings[1], settings[2], settings[3], settings[4],
                                                   settings[5], settings[6])
    for k in range(len(ends) - 1):
        w, g = data_of(ids[0, k], like), data_of(ids[1, k], like)
        m, v, most = data_of(ids[2, k], like), data_of(ids[3, k], like), data_of(ids[4, k], like)
        rate, to_root, last = corrections[k, 0], corrections[k, 1], min(share.stop, ends[k + 1]) - ends[k]
        for i in range(max(share.start, ends[k]) - ends[k], last, lanes(like)):
            some = last - i
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
    corrections = np.array([of_step[t] for t in steps], dtype)
    settings = constants(dtype, 1 - beta1, beta2, 1 - beta2, eps, 0 if decoupled else weight_decay,
                         1 - lr * weight_decay if decoupled else 1, -1 if maximize else 1)
    update_adam(workers_for(2 * int(bounds[-1])), identities(ws, gs, means, squares, largest or gs), bounds,
                corrections, settings, bool(largest))


@parallel
def update_sgd(worker, workers, ids, ends, like, lr, momentum, keep, decay, sign, nesterov, buffered):
    """b ← momentum b + keep g, w ← w - lr b."""
    share = span(worker, workers, ends[-1])
    for k in range(len(ends) - 1):
        w, g, b = data_of(ids[0, k], like), data_of(ids[1, k], like), data_of(ids[2, k], like)
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
    where = ends(*[w.size for w in ws])
    update_sgd(workers_for(int(where[-1])), identities(ws, gs, buffers or gs), where, np.empty(0, number), *settings,
               bool(nesterov), bool(buffers))
