"""Recurrent layers over whole sequences: one layer, in one direction.

At each time a step makes the next state of what the input and the last state give its gates, W x + b each: (…, H) for
every gate, side by side. x (T, N, I), the states h and c (N, H), out (T, N, H). Biases: one for the input and one for
the state, or none. reverse: from the last time to the first.

Backward, the gradients of a step's gates give those of the state before; those of the weights are sums over all times,
and made at the end.
"""
from __future__ import annotations

from typing import Any

from .. import kernel
from ..gates import gru_step, lstm_step
from .dense import linear

Wanted = tuple[bool, ...]


# ---- forward: what only the gradient wants comes last
@kernel("reference")
def lstm(xp: Any, x: Any, h: Any, c: Any, w_ih: Any, w_hh: Any, *biases: Any, reverse: bool) -> tuple[Any, ...]:
    """out, the last h and the last c; the gates (T, N, 4H), and c before each step (T, N, H)."""
    out, gates, cells = _outputs(xp, x, h, w_ih, biases)
    for t in _times(x, reverse):
        cells[t] = c
        h, c, gates[t], _ = lstm_step(xp, gates[t], linear(xp, h, w_hh, *biases[1:]), c)
        out[t] = h
    return out, h, c, gates, cells


@kernel("reference")
def gru(xp: Any, x: Any, h: Any, w_ih: Any, w_hh: Any, *biases: Any, reverse: bool) -> tuple[Any, ...]:
    """out and the last h; the gates (T, N, 3H), and what the state gives the new one before it is reset (T, N, H)."""
    out, gates, news = _outputs(xp, x, h, w_ih, biases)
    for t in _times(x, reverse):
        r = linear(xp, h, w_hh, *biases[1:])
        news[t] = r[:, -h.shape[-1]:]
        h, gates[t] = gru_step(xp, gates[t], r, h)
        out[t] = h
    return out, h, gates, news


@kernel("reference")
def rnn(xp: Any, x: Any, h: Any, w_ih: Any, w_hh: Any, *biases: Any, reverse: bool, relu: bool) -> tuple[Any, Any]:
    """out and the last h, for h = tanh(x + r), or max(0, x + r)."""
    out, gates, _ = _outputs(xp, x, h, w_ih, biases)
    for t in _times(x, reverse):
        z = gates[t] + linear(xp, h, w_hh, *biases[1:])
        out[t] = h = xp.maximum(z, 0) if relu else xp.tanh(z)
    return out, h


def _outputs(xp: Any, x: Any, h: Any, w_ih: Any, biases: Any) -> tuple[Any, Any, Any]:
    """Room for out, what the input gives the gates at all times, and room for one more result like out."""
    times, samples, features = x.shape
    given = linear(xp, x.reshape(times * samples, features), w_ih, *biases[:1]).reshape(times, samples, len(w_ih))
    out = xp.empty((times, samples, h.shape[-1]), x.dtype)
    return out, given, xp.empty_like(out)


def _times(x: Any, reverse: bool) -> Any:
    return range(len(x))[::-1] if reverse else range(len(x))


# ---- backward. of_out (T, N, H), of_h and of_c (N, H): the gradients of the results
@kernel("reference")
def lstm_grad(xp: Any, of_out: Any, of_h: Any, of_c: Any, x: Any, h: Any, w_ih: Any, w_hh: Any, out: Any, gates: Any,
              cells: Any, *, wanted: Wanted, reverse: bool) -> tuple[Any, ...]:
    """The gradients of x (None unless wanted[0]), h, c, the weights, and the biases, if there were any."""
    dx = xp.empty_like(gates)
    for t in _times(dx, not reverse):
        i, f, g, o = xp.split(gates[t], 4, -1)
        tanh_c = xp.tanh(f * cells[t] + i * g)
        of_h = of_h + of_out[t]
        of_c = of_c + of_h * o * (1 - tanh_c * tanh_c)
        dx[t] = xp.concatenate([of_c * g * i * (1 - i), of_c * cells[t] * f * (1 - f), of_c * i * (1 - g * g),
                                of_h * tanh_c * o * (1 - o)], -1)
        of_h, of_c = xp.matmul(dx[t], w_hh), of_c * f
    to_x, *rest = _at_all_times(xp, dx, dx, x, before(xp, h, out, reverse), w_ih, wanted)
    return to_x, of_h, of_c, *rest


@kernel("reference")
def gru_grad(xp: Any, of_out: Any, of_h: Any, x: Any, h: Any, w_ih: Any, w_hh: Any, out: Any, gates: Any, news: Any, *,
             wanted: Wanted, reverse: bool) -> tuple[Any, ...]:
    """The gradients of x (None unless wanted[0]), h, the weights, and the biases, if there were any."""
    dx, dr, states = xp.empty_like(gates), xp.empty_like(gates), before(xp, h, out, reverse)
    for t in _times(dx, not reverse):
        reset, update, new = xp.split(gates[t], 3, -1)
        of_h = of_h + of_out[t]
        d_update = of_h * (states[t] - new) * update * (1 - update)
        d_new = of_h * (1 - update) * (1 - new * new)
        d_reset = d_new * news[t] * reset * (1 - reset)
        dx[t] = xp.concatenate([d_reset, d_update, d_new], -1)
        dr[t] = xp.concatenate([d_reset, d_update, d_new * reset], -1)
        of_h = of_h * update + xp.matmul(dr[t], w_hh)
    to_x, *rest = _at_all_times(xp, dx, dr, x, states, w_ih, wanted)
    return to_x, of_h, *rest


@kernel("reference")
def rnn_grad(xp: Any, of_out: Any, of_h: Any, x: Any, h: Any, w_ih: Any, w_hh: Any, out: Any, *, wanted: Wanted,
             reverse: bool, relu: bool) -> tuple[Any, ...]:
    """The gradients of x (None unless wanted[0]), h, the weights, and the biases, if there were any."""
    dx = xp.empty_like(out)
    for t in _times(dx, not reverse):
        of_h = of_h + of_out[t]
        dx[t] = xp.where(out[t] <= 0, x.dtype.type(0), of_h) if relu else of_h * (1 - out[t] * out[t])
        of_h = xp.matmul(dx[t], w_hh)
    to_x, *rest = _at_all_times(xp, dx, dx, x, before(xp, h, out, reverse), w_ih, wanted)
    return to_x, of_h, *rest


def before(xp: Any, h: Any, out: Any, reverse: bool) -> Any:
    """The state before each step: the first of all, and those after the others."""
    states = xp.empty_like(out)
    if reverse:
        states[-1], states[:-1] = h, out[1:]
    else:
        states[0], states[1:] = h, out[:-1]
    return states


def _at_all_times(xp: Any, dx: Any, dr: Any, x: Any, states: Any, w_ih: Any, wanted: Wanted) -> tuple[Any, ...]:
    """The gradients of x, of the weights and of the biases, from those of what x and the states gave the gates."""
    flat_dx, flat_dr, flat_x, flat_h = (a.reshape(-1, a.shape[-1]) for a in (dx, dr, x, states))
    return (xp.matmul(dx, w_ih) if wanted[0] else None, xp.matmul(flat_dx.T, flat_x), xp.matmul(flat_dr.T, flat_h),
            flat_dx.sum(0), flat_dr.sum(0))
