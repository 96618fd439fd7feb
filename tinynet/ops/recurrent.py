"""One step of a recurrent network: what its gates make of an input and of the state before.

x and r are what the input and the last state give the gates, W x + b: (…, H) for each gate, side by side.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinynet.ops._primitive import primitive
from tinynet.ops.activation import relu
from tinynet.ops.elementwise import sigmoid, tanh
from tinynet.ops.joining import cat_, split_with_sizes


# ---- the primitives. The gates, once open or shut, are outputs too: the gradient wants them
@primitive(outputs="h c_next gates tanh_c", hidden=2)
def lstm_cell(xp: Any, x: Any, r: Any, c: Any) -> Any:
    """c' = f c + i g and h = o tanh(c'), with the gates i, f, o = σ(x + r) and the new content g = tanh(x + r), in
    the order i, f, g, o. Hochreiter & Schmidhuber, 1997; Gers, Schmidhuber & Cummins, 2000."""
    gates, n = x + r, c.shape[-1]
    i, f, g, o = (gates[..., k * n:(k + 1) * n] for k in range(4))
    for gate in (gates[..., :2 * n], o):
        gate[...] = sigmoid.forward(xp, gate)
    g[...] = xp.tanh(g)
    c_next = f * c + i * g
    tanh_c = xp.tanh(c_next)
    return o * tanh_c, c_next, gates, tanh_c


@primitive(outputs="h gates", hidden=1)
def gru_cell(xp: Any, x: Any, r: Any, h: Any) -> Any:
    """n + update (h - n), with the gates reset, update = σ(x + r) and the new state n = tanh(x + reset r), in the
    order reset, update, n. Cho et al., 2014."""
    gates, n = x + r, h.shape[-1]
    both, new = gates[..., :2 * n], gates[..., 2 * n:]
    both[...] = sigmoid.forward(xp, both)
    reset, update = both[..., :n], both[..., n:]
    new[...] = xp.tanh(x[..., 2 * n:] + reset * r[..., 2 * n:])
    return new + update * (h - new), gates


def _parts(a: Any, count: int) -> Any:
    """a, cut into `count` equal parts along its last axis."""
    return split_with_sizes(a, split_sizes=[a.shape[-1] // count] * count, dim=-1)


def _lstm_rule(grads: Any, wanted: list[bool], c: Any, gates: Any, tanh_c: Any) -> list[Any]:
    of_h, of_c, of_gates, of_tanh_c = grads  # the last two only when a derivative is differentiated
    i, f, g, o = _parts(gates, 4)
    through_h = of_h * o if of_tanh_c is None else of_h * o + of_tanh_c
    dc = of_c + through_h * (1 - tanh_c * tanh_c)
    d = cat_(dc * g, dc * c, dc * i, of_h * tanh_c, dim=-1)
    if of_gates is not None:
        d = d + of_gates
    d = d * cat_(i * (1 - i), f * (1 - f), 1 - g * g, o * (1 - o), dim=-1)
    return [d, d, dc * f]


def _gru_rule(grads: Any, wanted: list[bool], r: Any, h: Any, gates: Any) -> list[Any]:
    of_h, of_gates = grads
    (reset, update, new), r_new = _parts(gates, 3), _parts(r, 3)[2]
    d_update, d_new = of_h * (h - new), of_h * (1 - update)
    if of_gates is not None:
        of_reset, of_update, of_new = _parts(of_gates, 3)
        d_update, d_new = d_update + of_update, d_new + of_new
    d_new = d_new * (1 - new * new)
    d_reset = d_new * r_new if of_gates is None else d_new * r_new + of_reset
    both = d_reset * (reset * (1 - reset)), d_update * (update * (1 - update))
    return [cat_(*both, d_new, dim=-1), cat_(*both, d_new * reset, dim=-1), of_h * update]


lstm_cell.vjp_all(_lstm_rule)
gru_cell.vjp_all(_gru_rule)


# ---- (x, r, *state) -> the next state, of which the first part is the output
STEPS: dict[str, Callable[..., tuple[Any, ...]]] = {
    "RNN_TANH": lambda x, r, h: (tanh(x + r),),
    "RNN_RELU": lambda x, r, h: (relu(x + r),),
    "LSTM": lambda x, r, h, c: lstm_cell(x, r, c),
    "GRU": lambda x, r, h: (gru_cell(x, r, h),),
}
GATES = {"RNN_TANH": 1, "RNN_RELU": 1, "LSTM": 4, "GRU": 3}
