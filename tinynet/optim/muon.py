"""Muon: momentum whose matrices are made orthogonal."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from tinynet.device import backend
from tinynet.dtypes import Array, float32
from tinynet.kinds import check_kind, count, number
from tinynet.optim._options import check_one_number
from tinynet.optim.optimizer import Optimizer
from tinynet.tensor import Tensor


class Muon(Optimizer):
    """For the matrices of hidden layers: all directions of a step are made equally long, so that rare ones
    count too. With the gradient g of an A x B matrix w,

        b <- momentum b + (1 - momentum) g
        u <- b, or with nesterov momentum b + (1 - momentum) g
        w <- (1 - lr weight_decay) w
        w <- w - lr r orthogonalized(u)         r = sqrt(max(1, A / B)), or for adjust_lr_fn =
                                                "match_rms_adamw" 0.2 sqrt(max(A, B))

    orthogonalized(u) is about U V^T, where u = U S V^T is the singular value decomposition: ns_steps times the
    polynomial of ns_coefficients (see there). Give biases, gains and embeddings to AdamW: ValueError for
    parameters that are not 2-D and options out of range. The state: 'momentum_buffer'.

    Jordan et al. 2024, kellerjordan.github.io/posts/muon; match_rms_adamw: Liu et al. 2025, arXiv 2502.16982.

    >>> w = tn.zeros(2, 2, requires_grad=True)
    >>> (3 * w[0, 0] + w[1, 1]).backward(); tn.optim.Muon([w], lr=1.0).step(); w.abs() > 0.6
    tensor([[ True, False],
            [False,  True]])
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.7750, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ) -> None:
        check_one_number(lr)
        _check_sign("Learning rate", lr)
        super().__init__(
            params,
            {
                "lr": lr,
                "weight_decay": weight_decay,
                "momentum": momentum,
                "nesterov": nesterov,
                "ns_coefficients": ns_coefficients,
                "eps": eps,
                "ns_steps": ns_steps,
                "adjust_lr_fn": adjust_lr_fn,
            },
        )
        for p in (p for group in self.param_groups for p in group["params"]):
            if p.ndim != 2:
                raise ValueError(f"Muon only supports 2D parameters whereas we found a parameter with size: {p.shape}")

    def _check_options(self, options: Mapping[str, Any]) -> None:
        _check_sign("momentum", options["momentum"])
        _check_sign("weight decay", options["weight_decay"])
        number("eps", options["eps"])
        count("ns_steps", options["ns_steps"])
        check_kind("ns_coefficients", options["ns_coefficients"], [0.0])
        if options["adjust_lr_fn"] not in (None, "original", "match_rms_adamw"):
            raise ValueError(
                f"Adjust learning rate function {options['adjust_lr_fn']} is not supported: choose 'original' or "
                "'match_rms_adamw'"
            )

    def _new_state(self, w: Array, group: dict[str, Any]) -> dict[str, Any]:
        return {"momentum_buffer": Tensor(backend(w).zeros_like(w))}

    def _update(self, w: Array, g: Array, state: dict[str, Any], group: dict[str, Any]) -> None:
        if w.ndim != 2:
            raise ValueError(f"Param gradient must be a 2D matrix, got one of shape {w.shape}")
        lr, momentum = float(group["lr"]), float(group["momentum"])
        if not state:
            state.update(self._new_state(w, group))
        b = state["momentum_buffer"].array
        b += (1 - momentum) * (g - b)
        u = g + momentum * (b - g) if group["nesterov"] else b
        u = orthogonalized(u, group["ns_coefficients"], group["ns_steps"], float(group["eps"]))
        rows, columns = w.shape
        if group["adjust_lr_fn"] == "match_rms_adamw":
            ratio = 0.2 * math.sqrt(max(rows, columns))
        else:
            ratio = math.sqrt(max(1, rows / columns))
        w *= 1 - lr * float(group["weight_decay"])
        w -= lr * ratio * u.astype(w.dtype)


def _check_sign(what: str, value: Any) -> None:
    if not number(what, value) >= 0.0:
        raise ValueError(f"{what} should be >= 0 but is: {value}")


def orthogonalized(u: Array, coefficients: tuple[float, float, float], steps: int, eps: float) -> Array:
    """X <- a X + (b X X^T + c (X X^T)^2) X, `steps` times, from X = u / max(|u|, eps).

    This takes each singular value s to a s + b s^3 + c s^5 and leaves the singular vectors as they are. Muon's
    coefficients lift the small ones fast, and leave all near 1 (0.7 to 1.2) rather than at 1.
    """
    if steps >= 100:
        raise ValueError("Number of steps must be less than 100 for computational efficiency")
    if len(coefficients) != 3:
        raise ValueError("Coefficients must be a tuple of exactly 3 values")
    a, b, c = map(float, coefficients)
    x = _bfloat16(u)
    tall = x.shape[0] > x.shape[1]  # X X^T is then taken the smaller way round
    x = x.T if tall else x
    x = _bfloat16(x / backend(x).maximum(_bfloat16((x * x).sum(keepdims=True) ** 0.5), eps))
    for _ in range(steps):
        s = _bfloat16(x @ x.T)
        x = _bfloat16(a * x + _bfloat16(b * s + c * (s @ s)) @ x)
    return x.T if tall else x


def _bfloat16(x: Array) -> Array:
    """The nearest numbers whose last 16 bits are zero (ties: to the even one), as float32. It is what GPUs
    multiply fastest, and PyTorch rounds every intermediate result so: hence our steps are equal to its."""
    xp, x = backend(x), x.astype(float32)
    bits = xp.ascontiguousarray(x).view(xp.uint32)
    nearest = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000
    return xp.where(x == x, nearest.view(xp.float32), x)  # a nan could run over
