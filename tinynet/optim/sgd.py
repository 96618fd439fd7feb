"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tinynet import kernels
from tinynet.device import backend
from tinynet.dtypes import Array
from tinynet.nvidia import recording
from tinynet.optim._options import check_options, check_rate
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
        check_rate(lr)
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
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError(
                f"Nesterov momentum requires a momentum and zero dampening, got momentum={momentum} and "
                f"dampening={dampening}"
            )

    def _check_options(self, options: Mapping[str, Any]) -> None:
        check_options(options, "momentum", "weight_decay")

    def _new_state(self, w: Array, group: dict[str, Any]) -> dict[str, Any]:
        return {"momentum_buffer": Tensor(backend(w).zeros_like(w))} if float(group["momentum"]) else {}

    def _adopted(self, where: str, values: Any, p: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        if isinstance(values, Mapping) and values.get("momentum_buffer", 0) is None:  # PyTorch: no momentum began yet
            values = {name: value for name, value in values.items() if name != "momentum_buffer"}
        return super()._adopted(where, values, p, group)

    def _update_all(self, params: list[Any], group: dict[str, Any]) -> None:
        momentum = float(group["momentum"])
        if not momentum:
            self._run(params, [], momentum, 0.0, group)
            return
        fresh = [p for p in params if self.state[p].get("momentum_buffer") is None]
        known = [p for p in params if self.state[p].get("momentum_buffer") is not None]
        if fresh:
            recording.only_eager("a parameter had no gradient before: its momentum begins")
        for p in fresh:
            self.state[p].update(self._new_state(p.array, group))
        for some, dampening in ((fresh, 0.0), (known, float(group["dampening"]))):  # a first gradient counts whole
            if some:
                buffers = [self.state[p]["momentum_buffer"].array for p in some]
                self._run(some, buffers, momentum, dampening, group)

    def _run(
        self, params: list[Any], buffers: list[Any], momentum: float, dampening: float, group: dict[str, Any]
    ) -> None:
        tape = recording.now.tape
        told = {} if tape is None else {"live": tape.numbers(1, params[0].dtype, lambda: [float(group["lr"])])}
        kernels.run(
            "sgd",
            backend(params[0].array),
            [p.array for p in params],
            [p.grad.array for p in params],
            buffers,
            lr=float(group["lr"]),
            momentum=momentum,
            dampening=dampening,
            weight_decay=float(group["weight_decay"]),
            nesterov=group["nesterov"],
            maximize=group["maximize"],
            **told,
        )
