"""What an optimizer does at a step, for all parameters of a group, a few dozen arrays in a launch: optim.cu."""
from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from .launcher import launch
from .source import home_of

Arrays = Sequence[Any]


def adam(xp: Any, ws: Arrays, gs: Arrays, means: Arrays, squares: Arrays, largest: Arrays, steps: Sequence[float], *,
         lr: float, beta1: float, beta2: float, eps: float, weight_decay: float, decoupled: bool, maximize: bool,
         live: Any = None) -> None:
    """As the reference's. live: None, or an array of lr / (1 - β1ᵗ), 1 / √(1 - β2ᵗ) and lr, which the kernel reads in
    memory when it runs: so that a captured step can be told new ones."""
    for part, more in _launches("adam", ws, {"g": gs, "m": means, "v": squares, "most": largest}):
        rates = [lr / (1 - beta1 ** steps[k]) for k in part]
        scales = [1 / math.sqrt(1 - beta2 ** steps[k]) for k in part]
        launch(xp, "adam", rate=rates, scale=scales, live=live, lr=lr, beta2=beta2, rest1=1 - beta1, rest2=1 - beta2,
               eps=eps, weight_decay=weight_decay, decoupled=int(decoupled), maximize=int(maximize), **more)


def sgd(xp: Any, ws: Arrays, gs: Arrays, buffers: Arrays, *, lr: float, momentum: float, dampening: float,
        weight_decay: float, nesterov: bool, maximize: bool, live: Any = None) -> None:
    """As the reference's. live: None, or an array of lr, as in adam."""
    for _, more in _launches("sgd", ws, {"g": gs, "b": buffers}):
        launch(xp, "sgd", live=live, lr=lr, momentum=momentum, undamped=1 - dampening, weight_decay=weight_decay,
               nesterov=int(nesterov), maximize=int(maximize), **more)


def _launches(kernel: str, ws: Arrays, others: dict[str, Arrays]) -> Iterator[tuple[list[int], dict[str, Any]]]:
    """The arrays of each launch, by their numbers, and the arguments that follow from them."""
    constants = home_of(kernel).constants
    filled = [k for k, w in enumerate(ws) if w.size]
    for start in range(0, len(filled), constants["MOST"]):
        part = filled[start:start + constants["MOST"]]
        first = [0]
        for k in part:
            first.append(first[-1] + -(-ws[k].size // constants["CHUNK"]))
        lists = {name: [arrays[k] for k in part] if arrays else [] for name, arrays in others.items()}
        yield part, {"w": [ws[k] for k in part], **lists, "size": [ws[k].size for k in part], "first": first[:-1],
                     "grid": first[-1:], "arrays": len(part)}
