"""The gradient of a convolution's images as a convolution: of the outputs' gradient, with the filters turned round.

Every pixel gathers what comes back to it, instead of patches being added where they overlap. For stride 1, and one
group or a group for each channel.
"""
from __future__ import annotations

from typing import Any

from ..windows import Pair
from . import choice, conv, depthwise, narrow, winograd


def conv2d_input_grad(xp: Any, g: Any, w: Any, *, size: Pair, stride: Pair, padding: Pair, dilation: Pair,
                      groups: int) -> Any:
    """dx[n, c, row, column] = Σ_oij w[o, c, k - i, k - j] g[n, o, row + i, column + j]."""
    turned = w[:, :, ::-1, ::-1]
    turned = turned.swapaxes(0, 1) if groups == 1 else turned  # or each channel by itself
    border = tuple(d * (k - 1) - p for d, k, p in zip(dilation, w.shape[2:], padding, strict=True))
    how: dict[str, Any] = {"stride": stride, "padding": border, "dilation": dilation, "groups": groups}
    if any(border) and not choice.finite(w):  # 0 · ∞ would be NaN at the border, where patches meet none
        patches = conv if groups == 1 else depthwise
        return patches.conv2d_input_grad(xp, g, w, size=size, stride=stride, padding=padding, dilation=dilation,
                                         groups=groups)
    modules: dict[str, Any] = {"winograd": winograd, "narrow": narrow, "conv": conv, "depthwise": depthwise}
    return modules[choice.conv2d_module(g, turned, **how)].conv2d(xp, g, turned, **how)
