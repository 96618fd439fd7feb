"""NAdam."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from tinynet.device import backend
from tinynet.dtypes import Array
from tinynet.optim._options import check_betas, check_options, check_rate, counter
from tinynet.optim.optimizer import Optimizer
from tinynet.tensor import Tensor


class NAdam(Optimizer):
    """Adam with Nesterov's momentum, which grows with t. At step t, with g <- gradient + weight_decay w
    (maximize: of the negative objective),

        mu_t = beta1 (1 - 0.96^(t momentum_decay) / 2)
        P_t  = mu_1 mu_2 ... mu_t
        m  <- beta1 m + (1 - beta1) g
        v  <- beta2 v + (1 - beta2) g^2
        m' <- mu_(t+1) m / (1 - P_(t+1)) + (1 - mu_t) g / (1 - P_t)
        w  <- w - lr m' / (sqrt(v / (1 - beta2^t)) + eps)

    (Dozat 2016.) decoupled_weight_decay: instead of adding to g, first w <- (1 - lr weight_decay) w, as in
    AdamW. ValueError for options out of range. The state: 'step', 'mu_product' (P_t), 'exp_avg' (m),
    'exp_avg_sq' (v).

    >>> w = tn.ones(2, requires_grad=True)
    >>> (w * w).sum().backward(); tn.optim.NAdam([w], lr=0.5).step(); w
    tensor([0.4718, 0.4718], requires_grad=True)
    """

    def __init__(
        self,
        params: Any,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        check_rate(lr)
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "momentum_decay": momentum_decay,
                "decoupled_weight_decay": decoupled_weight_decay,
                "maximize": maximize,
            },
        )

    def _check_options(self, options: Mapping[str, Any]) -> None:
        check_options(options, "eps", "weight_decay", "momentum_decay")
        check_betas(options["betas"])

    def _new_state(self, w: Array, group: dict[str, Any]) -> dict[str, Any]:
        xp = backend(w)
        means = {name: Tensor(xp.zeros_like(w)) for name in ("exp_avg", "exp_avg_sq")}
        return {"step": counter(), "mu_product": counter(1.0), **means}

    def _update(self, w: Array, g: Array, state: dict[str, Any], group: dict[str, Any]) -> None:
        xp = backend(w)
        lr, decay, eps = float(group["lr"]), float(group["weight_decay"]), float(group["eps"])
        beta1, beta2 = map(float, group["betas"])
        if not state:
            state.update(self._new_state(w, group))
        step, product, m, v = (state[name].array for name in ("step", "mu_product", "exp_avg", "exp_avg_sq"))
        step += 1
        t = float(step)
        mu, mu_next = (beta1 * (1 - 0.5 * 0.96 ** (k * float(group["momentum_decay"]))) for k in (t, t + 1))
        product *= mu
        if group["maximize"]:
            g = -g
        if decay and group["decoupled_weight_decay"]:
            w *= 1 - lr * decay
        elif decay:
            g = g + decay * w
        m += (1 - beta1) * (g - m)
        v *= beta2
        v += (1 - beta2) * g * g
        size = xp.sqrt(v) / math.sqrt(1 - beta2**t) + eps
        w -= lr * (1 - mu) / (1 - float(product)) * g / size
        w -= lr * mu_next / (1 - float(product) * mu_next) * m / size
