"""AdamW: Adam whose weight decay is not scaled by the gradients seen."""

from __future__ import annotations

from typing import Any

from tinynet.optim.adam import Adam


class AdamW(Adam):
    """Adam with decoupled weight decay: at each step first

        w <- (1 - lr weight_decay) w

    then Adam's step with the gradient alone, so that all weights shrink at the same rate, whatever their
    gradients were (Loshchilov & Hutter 2019). Options, errors and state are Adam's.

    >>> w = tn.ones(2, requires_grad=True)
    >>> (w * w).sum().backward(); tn.optim.AdamW([w], lr=0.5, weight_decay=0.5).step(); w
    tensor([0.2500, 0.2500], requires_grad=True)
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize, decoupled_weight_decay=True)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        for group in self.param_groups:  # one saved by Adam says otherwise
            group["decoupled_weight_decay"] = True
