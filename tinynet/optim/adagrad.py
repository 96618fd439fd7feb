"""Adagrad."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tinynet.device import backend
from tinynet.dtypes import Array
from tinynet.optim._options import check_options, check_rate, counter
from tinynet.optim.optimizer import Optimizer
from tinynet.tensor import Tensor


class Adagrad(Optimizer):
    """Each gradient is divided by the size of all before it: a weight that is seldom touched moves far when it
    is. At step t, with g <- gradient + weight_decay w (maximize: of the negative objective),

        s <- s + g^2                                     s begins at initial_accumulator_value
        w <- w - lr / (1 + (t - 1) lr_decay) g / (sqrt(s) + eps)

    (Duchi, Hazan & Singer 2011.) ValueError for options out of range. The state, there from the beginning:
    'step' (t), 'sum' (s).

    >>> w = tn.ones(2, requires_grad=True)
    >>> (w * w).sum().backward(); tn.optim.Adagrad([w], lr=0.5).step(); w
    tensor([0.5000, 0.5000], requires_grad=True)
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
    ) -> None:
        check_rate(lr)
        super().__init__(
            params,
            {
                "lr": lr,
                "lr_decay": lr_decay,
                "eps": eps,
                "weight_decay": weight_decay,
                "initial_accumulator_value": initial_accumulator_value,
                "maximize": maximize,
            },
        )
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p] = self._new_state(p.array, group)

    def _check_options(self, options: Mapping[str, Any]) -> None:
        check_options(options, "lr_decay", "weight_decay", "initial_accumulator_value", "eps")

    def _new_state(self, w: Array, group: dict[str, Any]) -> dict[str, Any]:
        start = float(self.defaults["initial_accumulator_value"])
        return {"step": counter(), "sum": Tensor(backend(w).full_like(w, start))}

    def _update(self, w: Array, g: Array, state: dict[str, Any], group: dict[str, Any]) -> None:
        xp = backend(w)
        lr, lr_decay, decay = float(group["lr"]), float(group["lr_decay"]), float(group["weight_decay"])
        if not state:  # a group that came later
            state.update(self._new_state(w, group))
        step, s = state["step"].array, state["sum"].array
        step += 1
        if group["maximize"]:
            g = -g
        if decay:
            g = g + decay * w
        s += g * g
        w -= lr / (1 + (float(step) - 1) * lr_decay) * g / (xp.sqrt(s) + float(group["eps"]))
