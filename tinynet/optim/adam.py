"""Adam."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from tinynet import kernels
from tinynet.device import backend
from tinynet.dtypes import Array
from tinynet.nvidia import recording
from tinynet.optim._options import check_betas, check_options, check_rate, counter
from tinynet.optim.optimizer import Optimizer
from tinynet.tensor import Tensor


class Adam(Optimizer):
    """At step t, with g <- gradient + weight_decay w (maximize: of the negative objective),

        m  <- beta1 m + (1 - beta1) g            the mean of g
        v  <- beta2 v + (1 - beta2) g^2          the mean of g^2 (amsgrad: the largest so far is used)
        m' <- m / (1 - beta1^t)                  m and v began at zero:
        v' <- v / (1 - beta2^t)                  this makes up for it
        w  <- w - lr m' / (sqrt(v') + eps)

    (Kingma & Ba 2015; amsgrad: Reddi et al. 2018.) decoupled_weight_decay: instead of adding to g, first
    w <- (1 - lr weight_decay) w (Loshchilov & Hutter 2019). ValueError for options out of range.
    The state: 'step', 'exp_avg' (m), 'exp_avg_sq' (v), 'max_exp_avg_sq'.

    >>> w = tn.ones(2, requires_grad=True)
    >>> (w * w).sum().backward(); tn.optim.Adam([w], lr=0.5).step(); w
    tensor([0.5000, 0.5000], requires_grad=True)
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
    ) -> None:
        check_rate(lr)
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "amsgrad": amsgrad,
                "maximize": maximize,
                "decoupled_weight_decay": decoupled_weight_decay,
            },
        )
        if not all(isinstance(beta, float) for beta in betas):
            raise ValueError(f"betas must be floats, got {betas}")

    def _check_options(self, options: Mapping[str, Any]) -> None:
        check_options(options, "eps", "weight_decay")
        check_betas(options["betas"])

    def _new_state(self, w: Array, group: dict[str, Any]) -> dict[str, Any]:
        names = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")[: 3 if group["amsgrad"] else 2]
        return {"step": counter(), **{name: Tensor(backend(w).zeros_like(w)) for name in names}}

    def _update_all(self, params: list[Any], group: dict[str, Any]) -> None:
        states = [self.state[p] or self._begun(p, group) for p in params]
        tape = recording.now.tape
        told = {} if tape is None else {"live": tape.numbers(3, params[0].dtype, lambda: _advanced(states, group))}
        counters = [state["step"].array for state in states]
        steps = [t.item() + (tape is None) for t in counters]
        if tape is None:
            for t, step in zip(counters, steps, strict=True):
                t.fill(step)
        elif len({*steps}) > 1:
            recording.only_eager("Adam's parameters have taken different numbers of steps")
        largest = [state["max_exp_avg_sq"].array for state in states] if group["amsgrad"] else []
        beta1, beta2 = map(float, group["betas"])
        kernels.run(
            "adam",
            backend(params[0].array),
            [p.array for p in params],
            [p.gradient.array for p in params],
            [state["exp_avg"].array for state in states],
            [state["exp_avg_sq"].array for state in states],
            largest,
            steps,
            lr=float(group["lr"]),
            beta1=beta1,
            beta2=beta2,
            eps=float(group["eps"]),
            weight_decay=float(group["weight_decay"]),
            decoupled=group["decoupled_weight_decay"],
            maximize=group["maximize"],
            **told,
        )

    def _begun(self, p: Any, group: dict[str, Any]) -> dict[str, Any]:
        """The state of a parameter before its first step: zeros."""
        recording.only_eager("a parameter had no gradient before: Adam's means of it begin")
        state = self.state[p]
        state.update(self._new_state(p.array, group))
        return state


def _advanced(states: list[dict[str, Any]], group: dict[str, Any]) -> tuple[float, float, float]:
    """What a recorded step is told: each state's t goes on by one; the numbers that follow from it, and lr."""
    for state in states:
        state["step"].array += 1
    t, lr, (beta1, beta2) = float(states[0]["step"].array), float(group["lr"]), group["betas"]
    return lr / (1 - beta1**t), 1 / math.sqrt(1 - beta2**t), lr
