"""Stochastic gradient descent."""

from __future__ import annotations

from typing import Any

from tinynet.device import backend
from tinynet.dtypes import Array
from tinynet.optim.optimizer import Optimizer
from tinynet.tensor import Tensor


class SGD(Optimizer):
    """w <- w - lr g, where

        g <- gradient + weight_decay w        (maximize: of the negative objective)
        b <- momentum b + (1 - dampening) g   (at the first step b = g)
        g <- b, or with nesterov g + momentum b

    Momentum: Polyak 1964; Nesterov's form as in Sutskever et al. 2013, with lr outside b. ValueError for
    options out of range. The state: 'momentum_buffer'.

    >>> w = tn.ones(2, requires_grad=True)
    >>> (w * w).sum().backward(); tn.optim.SGD([w], lr=0.25).step(); w
    tensor([0.5000, 0.5000], requires_grad=True)
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        if isinstance(lr, Tensor) and lr.numel() != 1:
            raise ValueError("Tensor lr must be 1-element")
        if lr < 0.0:
            raise ValueError(f"Invalid learning rate: {lr}")
        if momentum < 0.0:
            raise ValueError(f"Invalid momentum value: {momentum}")
        if weight_decay < 0.0:
            raise ValueError(f"Invalid weight_decay value: {weight_decay}")
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "dampening": dampening,
                "weight_decay": weight_decay,
                "nesterov": nesterov,
                "maximize": maximize,
            },
        )

    def _update(self, w: Array, g: Array, state: dict[str, Any], group: dict[str, Any]) -> None:
        lr, momentum, decay = float(group["lr"]), float(group["momentum"]), float(group["weight_decay"])
        if group["maximize"]:
            g = -g
        if decay:
            g = g + decay * w
        if momentum:
            if state.get("momentum_buffer") is None:
                state["momentum_buffer"] = Tensor(backend(w).array(g))
                b = state["momentum_buffer"].array
            else:
                b = state["momentum_buffer"].array
                b *= momentum
                b += (1 - float(group["dampening"])) * g
            g = g + momentum * b if group["nesterov"] else b
        w -= lr * g
