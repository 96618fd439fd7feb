"""Recurrent networks: one step of them, what the gates make of an input and of the state before; and whole sequences.

x and r are what the input and the last state give the gates, W x + b: (…, H) for each gate, side by side.
"""
from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from tinynet import kernels
from tinynet.autograd.variable import Variable
from tinynet.device import backend
from tinynet.kernels.gates import gru_step, lstm_step
from tinynet.ops._primitive import from_plain, primitive
from tinynet.ops.activation import relu
from tinynet.ops.dense import linear
from tinynet.ops.elementwise import tanh
from tinynet.ops.joining import cat_, split_with_sizes, stack_, unbind


# ---- steps. The gates, once open or shut, are outputs too: the gradient wants them
@primitive(outputs="h c_next gates tanh_c", hidden=2)
def lstm_cell(xp: Any, x: Any, r: Any, c: Any) -> Any:
    """c' = f c + i g and h = o tanh(c'), with the gates i, f, o = σ(x + r) and the new content g = tanh(x + r), in
    the order i, f, g, o. Hochreiter & Schmidhuber, 1997; Gers, Schmidhuber & Cummins, 2000."""
    return lstm_step(xp, x, r, c)


@primitive(outputs="h gates", hidden=1)
def gru_cell(xp: Any, x: Any, r: Any, h: Any) -> Any:
    """n + update (h - n), with the gates reset, update = σ(x + r) and the new state n = tanh(x + reset r), in the
    order reset, update, n. Cho et al., 2014."""
    return gru_step(xp, x, r, h)


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


# (x, r, *state) -> the next state, of which the first part is the output
STEPS: dict[str, Callable[..., tuple[Any, ...]]] = {
    "RNN_TANH": lambda x, r, h: (tanh(x + r),),
    "RNN_RELU": lambda x, r, h: (relu(x + r),),
    "LSTM": lambda x, r, h, c: lstm_cell(x, r, c),
    "GRU": lambda x, r, h: (gru_cell(x, r, h),),
}
GATES = {"RNN_TANH": 1, "RNN_RELU": 1, "LSTM": 4, "GRU": 3}


# ---- sequences: one layer in one direction. input (T, N, I) and first states (N, H) -> outputs (T, N, H), last states
@primitive(outputs="out last_h last_c gates cells", hidden=2)
def lstm(xp: Any, input: Any, h: Any, c: Any, weight_ih: Any, weight_hh: Any, *biases: Any, reverse: bool) -> Any:
    """The h of lstm_cell at all times, and the last h and c. biases: two or none."""
    return kernels.run("lstm", xp, input, h, c, weight_ih, weight_hh, *biases, reverse=reverse)


@primitive(outputs="out last_h gates news", hidden=2)
def gru(xp: Any, input: Any, h: Any, weight_ih: Any, weight_hh: Any, *biases: Any, reverse: bool) -> Any:
    """The h of gru_cell at all times, and the last. biases: two or none."""
    return kernels.run("gru", xp, input, h, weight_ih, weight_hh, *biases, reverse=reverse)


@primitive(outputs="out last_h")
def rnn(xp: Any, input: Any, h: Any, weight_ih: Any, weight_hh: Any, *biases: Any, reverse: bool, relu: bool) -> Any:
    """h' = tanh(x + r), or max(0, x + r), at all times, and the last. biases: two or none."""
    return kernels.run("rnn", xp, input, h, weight_ih, weight_hh, *biases, reverse=reverse, relu=relu)


def _lstm_sequence_rule(grads: Any, wanted: list[bool], input: Any, h: Any, c: Any, weight_ih: Any, weight_hh: Any,
                        biases: Any, out: Any, gates: Any, cells: Any, reverse: bool) -> Any:
    if isinstance(grads[0], Variable):
        return _step_by_step("LSTM", reverse, grads[:3], wanted, input, h, c, weight_ih, weight_hh, *biases)
    return _found("lstm_grad", *grads[:3], input, h, weight_ih, weight_hh, out, gates, cells, wanted=wanted,
                  reverse=reverse)


def _gru_sequence_rule(grads: Any, wanted: list[bool], input: Any, h: Any, weight_ih: Any, weight_hh: Any, biases: Any,
                       out: Any, gates: Any, news: Any, reverse: bool) -> Any:
    if isinstance(grads[0], Variable):
        return _step_by_step("GRU", reverse, grads[:2], wanted, input, h, weight_ih, weight_hh, *biases)
    return _found("gru_grad", *grads[:2], input, h, weight_ih, weight_hh, out, gates, news, wanted=wanted,
                  reverse=reverse)


def _rnn_sequence_rule(grads: Any, wanted: list[bool], input: Any, h: Any, weight_ih: Any, weight_hh: Any, biases: Any,
                       out: Any, reverse: bool, relu: bool) -> Any:
    if isinstance(grads[0], Variable):
        mode = "RNN_RELU" if relu else "RNN_TANH"
        return _step_by_step(mode, reverse, grads, wanted, input, h, weight_ih, weight_hh, *biases)
    return _found("rnn_grad", *grads, input, h, weight_ih, weight_hh, out, wanted=wanted, reverse=reverse, relu=relu)


def _found(op: str, *arrays: Any, wanted: list[bool], **options: Any) -> Any:
    """The gradients of all arguments, with or without biases."""
    return kernels.run(op, backend(arrays[0]), *arrays, wanted=tuple(wanted), **options)[:len(wanted)]


def _step_by_step(mode: str, reverse: bool, grads: Any, wanted: list[bool], *args: Any) -> Any:
    """The gradients by the cells, whose derivatives can be differentiated again."""
    return from_plain(lambda *tensors: _in_one(scan(mode, reverse, *tensors)))(_in_one(grads), wanted, *args)


def _in_one(tensors: Any) -> Any:
    return cat_(*(t.reshape((-1,)) for t in tensors))


def scan(mode: str, reverse: bool, input: Any, *tensors: Any) -> tuple[Any, ...]:
    """A sequence, step after step: what the primitives compute at once."""
    parts = 2 if mode == "LSTM" else 1
    state, (weight_ih, weight_hh, *biases) = tensors[:parts], tensors[parts:]
    bias_ih, bias_hh = biases or (None, None)
    outs = []
    xs = unbind(linear(input, weight_ih, bias_ih))
    for x in reversed(xs) if reverse else xs:
        state = STEPS[mode](x, linear(state[0], weight_hh, bias_hh), *state)
        outs.append(state[0])
    return stack_(*(outs[::-1] if reverse else outs)), *state


lstm.vjp_all(_lstm_sequence_rule)
gru.vjp_all(_gru_sequence_rule)
rnn.vjp_all(_rnn_sequence_rule)
# The layers of torch.nn by what they call a mode: (input, *state, weight_ih, weight_hh, *biases, reverse=)
SEQUENCES: dict[str, Callable[..., tuple[Any, ...]]] = {
    "RNN_TANH": functools.partial(rnn, relu=False), "RNN_RELU": functools.partial(rnn, relu=True), "LSTM": lstm,
    "GRU": gru}
