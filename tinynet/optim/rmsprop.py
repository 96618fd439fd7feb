"""RMSprop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tinynet.device import backend
from tinynet.dtypes import Array
from tinynet.optim._options import check_options, check_rate, counter
from tinynet.optim.optimizer import Optimizer
from tinynet.tensor import Tensor


class RMSprop(Optimizer):
    """Each gradient is divided by its recent size. With g <- gradient + weight_decay w (maximize: of the
    negative objective),

        v <- alpha v + (1 - alpha) g^2               the mean of g^2
        a <- alpha a + (1 - alpha) g                 centered: the mean of g, and v - a^2 is used for v
        s <- g / (sqrt(v) + eps)
        w <- w - lr s,  or with momentum  b <- momentum b + s,  w <- w - lr b

    (Hinton, Coursera lecture 6.5, 2012; centered: Graves 2013.) ValueError for options out of range. The
    state: 'step', 'square_avg' (v), 'momentum_buffer' (b), 'grad_avg' (a).

    >>> w = tn.ones(2, requires_grad=True)
    >>> (w * w).sum().backward(); tn.optim.RMSprop([w], lr=0.5, alpha=0.75).step(); w
    tensor([0., 0.], requires_grad=True)
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        check_rate(lr)
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "alpha": alpha,
                "eps": eps,
                "centered": centered,
                "weight_decay": weight_decay,
                "maximize": maximize,
            },
        )

    def _check_options(self, options: Mapping[str, Any]) -> None:
        check_options(options, "eps", "momentum", "weight_decay", "alpha")

    def _new_state(self, w: Array, group: dict[str, Any]) -> dict[str, Any]:
        used = {"square_avg": True, "momentum_buffer": float(group["momentum"]), "grad_avg": group["centered"]}
        return {"step": counter(), **{name: Tensor(backend(w).zeros_like(w)) for name, on in used.items() if on}}

    def _update(self, w: Array, g: Array, state: dict[str, Any], group: dict[str, Any]) -> None:
        xp = backend(w)
        lr, alpha, eps = float(group["lr"]), float(group["alpha"]), float(group["eps"])
        momentum, decay = float(group["momentum"]), float(group["weight_decay"])
        if not state:
            state.update(self._new_state(w, group))
        step, v = state["step"].array, state["square_avg"].array
        step += 1
        if group["maximize"]:
            g = -g
        if decay:
            g = g + decay * w
        v *= alpha
        v += (1 - alpha) * g * g
        if group["centered"]:
            a = state["grad_avg"].array
            a += (1 - alpha) * (g - a)
            v = v - a * a
        s = g / (xp.sqrt(v) + eps)
        if momentum:
            b = state["momentum_buffer"].array
            b *= momentum
            b += s
            s = b
        w -= lr * s
