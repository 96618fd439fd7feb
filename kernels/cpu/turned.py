"""The gradient of a convolution's images as a convolution: of the outputs' gradient, with the filters turned round.

Every pixel gathers what comes back to it, instead of patches being added where they overlap. For stride 1.
"""
from __future__ import annotations

from typing import Any

import numpy as np

from ..windows import Pair
from . import choice, conv, winograd


def conv2d_input_grad(xp: Any, g: Any, w: Any, *, size: Pair, stride: Pair, padding: Pair, dilation: Pair,
                      groups: int) -> Any:
    """dx[n, c, row, column] = Σ_oij w[o, c, k - i, k - j] g[n, o, row + i, column + j]."""
    turned = np.ascontiguousarray(w[:, :, ::-1, ::-1].transpose(1, 0, 2, 3))
    border = tuple(d * (k - 1) - p for d, k, p in zip(dilation, w.shape[2:], padding, strict=True))
    how: dict[str, Any] = {"stride": stride, "padding": border, "dilation": dilation, "groups": groups}
    forward = winograd if choice.conv2d_module(g, turned, **how) == "winograd" else conv
    return forward.conv2d(xp, g, turned, **how)
