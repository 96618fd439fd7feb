"""Adam."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinynet.device import backend
from tinynet.dtypes import Array, float32, float64, get_default_dtype
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
        if isinstance(lr, Tensor) and lr.numel() != 1:
            raise ValueError("Tensor lr must be 1-element")
        if not lr >= 0.0:
            raise ValueError(f"Invalid learning rate: {lr}")
        if not eps >= 0.0:
            raise ValueError(f"Invalid epsilon value: {eps}")
        for k, beta in enumerate(betas):
            if not 0.0 <= beta < 1.0:
                raise ValueError(f"Invalid beta parameter at index {k}: {beta}")
        if not weight_decay >= 0.0:
            raise ValueError(f"Invalid weight_decay value: {weight_decay}")
        if not all(isinstance(beta, float) for beta in betas):
            raise ValueError(f"betas must be floats, got {betas}")
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

    def _update(self, w: Array, g: Array, state: dict[str, Any], group: dict[str, Any]) -> None:
        xp = backend(w)
        lr, decay, eps = float(group["lr"]), float(group["weight_decay"]), float(group["eps"])
        beta1, beta2 = map(float, group["betas"])
        if not state:
            counter = float64 if get_default_dtype() == float64 else float32
            state["step"] = Tensor(np.zeros((), counter))
            for name in ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")[: 3 if group["amsgrad"] else 2]:
                state[name] = Tensor(xp.zeros_like(w))
        step, m, v = state["step"].array, state["exp_avg"].array, state["exp_avg_sq"].array
        step += 1
        t = float(step)
        if group["maximize"]:
            g = -g
        if decay and group["decoupled_weight_decay"]:
            w *= 1 - lr * decay
        elif decay:
            g = g + decay * w
        m += (1 - beta1) * (g - m)
        v *= beta2
        v += (1 - beta2) * g * g
        if group["amsgrad"]:
            v = xp.maximum(state["max_exp_avg_sq"].array, v, out=state["max_exp_avg_sq"].array)
        w -= lr / (1 - beta1**t) * m / (xp.sqrt(v) / math.sqrt(1 - beta2**t) + eps)
