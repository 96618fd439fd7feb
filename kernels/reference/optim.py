"""What an optimizer does at a step, for all parameters of a group: lists of arrays, changed in place.

w: the parameters, g: their gradients (not written to), the others: what the optimizer remembers of each.
"""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .. import kernel

Arrays = Sequence[Any]


@kernel("reference", ufuncs=True)
def adam(xp: Any, ws: Arrays, gs: Arrays, means: Arrays, squares: Arrays, largest: Arrays, steps: Sequence[float], *,
         lr: float, beta1: float, beta2: float, eps: float, weight_decay: float, decoupled: bool,
         maximize: bool, live: Any = None) -> None:
    """m ← β1 m + (1 - β1) g, v ← β2 v + (1 - β2) g², w ← w - lr m̂ / (√v̂ + ε), the hats for the correction of step
    t (Kingma & Ba 2015). largest: empty, or for amsgrad the largest v so far of each, which is then used. live: None,
    or an array of lr / (1 - β1ᵗ), 1 / √(1 - β2ᵗ) and lr for all, which count instead: so a recorded step is told."""
    for k, (w, g, m, v, t) in enumerate(zip(ws, gs, means, squares, steps, strict=True)):
        rate, root = lr / (1 - beta1**t), math.sqrt(1 - beta2**t)
        if live is not None:
            rate, root, lr = live[0], 1 / live[1], live[2]
        g = -g if maximize else g
        if weight_decay and decoupled:
            w *= 1 - lr * weight_decay
        elif weight_decay:
            g = g + weight_decay * w
        m += (1 - beta1) * (g - m)
        v *= beta2
        v += (1 - beta2) * g * g
        if largest:
            v = xp.maximum(largest[k], v, out=largest[k])
        w -= rate * m / (xp.sqrt(v) / root + eps)


@kernel("reference", ufuncs=True)
def sgd(xp: Any, ws: Arrays, gs: Arrays, buffers: Arrays, *, lr: float, momentum: float, dampening: float,
        weight_decay: float, nesterov: bool, maximize: bool, live: Any = None) -> None:
    """b ← momentum b + (1 - dampening) g, w ← w - lr b; nesterov: w ← w - lr (g + momentum b). buffers: empty where
    there is no momentum; those of a first step are the gradients themselves. live: None, or an array of the lr that
    counts instead."""
    lr = lr if live is None else live[0]
    for k, (w, g) in enumerate(zip(ws, gs, strict=True)):
        g = -g if maximize else g
        if weight_decay:
            g = g + weight_decay * w
        if buffers:
            b = buffers[k]
            b *= momentum
            b += (1 - dampening) * g
            g = g + momentum * b if nesterov else b
        w -= lr * g
