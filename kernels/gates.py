"""One step of a recurrent layer, from what the input and the last state, x and r, give its gates: (…, H) for each gate,
side by side. What cells compute, and whole layers at each time."""
from __future__ import annotations

from typing import Any


def lstm_step(xp: Any, x: Any, r: Any, c: Any) -> tuple[Any, ...]:
    """c' = f c + i g and h = o tanh(c'), with the gates i, f, o = σ(x + r) and the new content g = tanh(x + r), in
    the order i, f, g, o. Returns h, c', the gates and tanh(c')."""
    gates, n = x + r, c.shape[-1]
    i, f, g, o = (gates[..., k * n:(k + 1) * n] for k in range(4))
    for gate in (gates[..., :2 * n], o):
        gate[...] = sigmoid(xp, gate)
    g[...] = xp.tanh(g)
    c_next = f * c + i * g
    tanh_c = xp.tanh(c_next)
    return o * tanh_c, c_next, gates, tanh_c


def gru_step(xp: Any, x: Any, r: Any, h: Any) -> tuple[Any, ...]:
    """n + update (h - n), with the gates reset, update = σ(x + r) and the new state n = tanh(x + reset r), in the
    order reset, update, n. Returns it and the gates."""
    gates, n = x + r, h.shape[-1]
    both, new = gates[..., :2 * n], gates[..., 2 * n:]
    both[...] = sigmoid(xp, both)
    reset, update = both[..., :n], both[..., n:]
    new[...] = xp.tanh(x[..., 2 * n:] + reset * r[..., 2 * n:])
    return new + update * (h - new), gates


def sigmoid(xp: Any, x: Any) -> Any:
    """1 / (1 + e⁻ˣ), without overflow."""
    small = xp.exp(-xp.abs(x))
    return xp.where(x >= 0, 1, small) / (1 + small)
