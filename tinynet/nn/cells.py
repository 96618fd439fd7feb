"""Recurrent cells: one step of RNN, LSTM and GRU, to be called in a loop of one's own."""

from __future__ import annotations

import math
from typing import Any

from tinynet.dtypes import name
from tinynet.errors import check_tensor
from tinynet.nn import functional as F
from tinynet.nn import init
from tinynet.nn.module import Module
from tinynet.nn.parameter import Parameter
from tinynet.ops.create import empty, zeros
from tinynet.ops.recurrent import GATES, STEPS
from tinynet.tensor import Tensor

State = tuple[Tensor, ...]


class RNNCellBase(Module):
    """What the cells share: weights (gates * hidden_size, …) for the input and for the state."""

    weight_ih: Parameter
    weight_hh: Parameter
    bias_ih: Parameter | None
    bias_hh: Parameter | None

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool, num_chunks: int, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        for which, size in (("ih", input_size), ("hh", hidden_size)):
            weight = empty((num_chunks * hidden_size, size), device=device, dtype=dtype)
            setattr(self, f"weight_{which}", Parameter(weight))
        for which in ("ih", "hh"):
            vector = Parameter(empty(num_chunks * hidden_size, device=device, dtype=dtype)) if bias else None
            self.register_parameter(f"bias_{which}", vector)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all weights anew from U(-k, k), k = 1/sqrt(hidden_size)."""
        k = 1 / math.sqrt(self.hidden_size) if self.hidden_size else 0
        for parameter in self.parameters():
            init.uniform_(parameter, -k, k)

    def _step(self, mode: str, input: Tensor, *state: Tensor) -> State:
        """The next state (h,) or (h, c), from the one before, which is zero if none is given."""
        self._check_input(input)
        shape = (*input.shape[:-1], self.hidden_size)
        if not state:
            state = (zeros(shape, dtype=input.dtype, device=input.device),) * (2 if mode == "LSTM" else 1)
        for k, s in enumerate(state):
            self._check_state(k, s, input, shape)
        x, r = F.linear(input, self.weight_ih, self.bias_ih), F.linear(state[0], self.weight_hh, self.bias_hh)
        return STEPS[mode](x, r, *state)

    def _check_input(self, input: Tensor) -> None:
        cell = type(self).__name__
        check_tensor(cell, input)
        if input.ndim not in (1, 2):
            raise ValueError(
                f"{cell}: Expected input to be 1D or 2D, got {input.ndim}D instead: (N, {self.input_size}) or "
                f"({self.input_size},), got {input.shape}"
            )
        if input.shape[-1] != self.input_size:
            raise RuntimeError(
                f"{cell}: input has inconsistent input_size: got {input.shape[-1]} expected {self.input_size}, got an "
                f"input of shape {input.shape}"
            )
        self._check_dtype("input", input)

    def _check_state(self, k: int, s: Tensor, input: Tensor, shape: tuple[int, ...]) -> None:
        cell = type(self).__name__
        check_tensor(cell, s, "hx")
        if s.ndim not in (1, 2):
            raise ValueError(f"{cell}: Expected hidden{k} to be 1D or 2D, got {s.ndim}D instead")
        if s.shape[-1] != self.hidden_size:
            raise RuntimeError(
                f"{cell}: hidden{k} has inconsistent hidden_size: got {s.shape[-1]}, expected {self.hidden_size}: "
                f"hx must be {shape}, got {s.shape}"
            )
        if s.shape != shape:
            raise RuntimeError(
                f"{cell}: Input batch size doesn't match hidden{k} batch size: for an input {input.shape} hx must be "
                f"{shape}, got {s.shape}"
            )
        self._check_dtype("hx", s)

    def _check_dtype(self, what: str, t: Tensor) -> None:
        if t.dtype != self.weight_ih.dtype:
            raise RuntimeError(
                f"{type(self).__name__}: {what} and weight must have the same dtype, but got {name(t.dtype)} and "
                f"{name(self.weight_ih.dtype)}; convert one with .to(dtype)"
            )

    def extra_repr(self) -> str:
        """The sizes, and what differs from the defaults."""
        return f"{self.input_size}, {self.hidden_size}" + (f", bias={self.bias}" if self.bias is not True else "")


class RNNCell(RNNCellBase):
    """h' = tanh(W_ih x + b_ih + W_hh h + b_hh), or relu for tanh, for input (N, input_size) or (input_size,) and hx
    (N, hidden_size) or (hidden_size,), zero unless given. Elman, 1990.

    >>> tn.nn.RNNCell(10, 20)(tn.zeros(3, 10)).shape
    (3, 20)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, GATES["RNN_TANH"], device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """The next state."""
        mode = f"RNN_{str(self.nonlinearity).upper()}"
        if mode not in STEPS:
            raise RuntimeError(f"Unknown nonlinearity: {self.nonlinearity!r}; there are 'tanh' and 'relu'")
        return self._step(mode, input, *(() if hx is None else (hx,)))[0]

    def extra_repr(self) -> str:
        """The sizes, and what differs from the defaults."""
        return super().extra_repr() + (f", nonlinearity={self.nonlinearity}" if self.nonlinearity != "tanh" else "")


class LSTMCell(RNNCellBase):
    """(h', c') with c' = f c + i g and h' = o tanh(c'), where i, f, o = σ(W_ih x + b_ih + W_hh h + b_hh) and g is the
    same with tanh; the weights hold i, f, g, o one below the other. input (N, input_size) or (input_size,), hx =
    (h, c), zero unless given. Hochreiter & Schmidhuber, 1997.

    >>> h, c = tn.nn.LSTMCell(10, 20)(tn.zeros(3, 10)); h.shape, c.shape
    ((3, 20), (3, 20))
    """

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__(input_size, hidden_size, bias, GATES["LSTM"], device, dtype)

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """The next state (h, c)."""
        h, c = self._step("LSTM", input, *(() if hx is None else two_states("LSTMCell", hx)))
        return h, c


class GRUCell(RNNCellBase):
    """h' = (1 - z) n + z h with the gates r, z = σ(W_ih x + b_ih + W_hh h + b_hh) and n = tanh(W_in x + b_in +
    r (W_hn h + b_hn)); the weights hold r, z, n one below the other. input (N, input_size) or (input_size,), hx
    (N, hidden_size) or (hidden_size,), zero unless given. Cho et al., 2014.

    >>> tn.nn.GRUCell(10, 20)(tn.zeros(3, 10)).shape
    (3, 20)
    """

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__(input_size, hidden_size, bias, GATES["GRU"], device, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """The next state."""
        return self._step("GRU", input, *(() if hx is None else (hx,)))[0]


def two_states(op: str, hx: Any) -> State:
    """hx as (h, c). TypeError if it is no pair, RuntimeError for another number."""
    if not isinstance(hx, (tuple, list)):
        raise TypeError(f"{op}(): argument 'hx' must be tuple of Tensors, (h, c), not {type(hx).__name__}")
    if len(hx) != 2:
        raise RuntimeError(f"{op} expects two hidden states, hx = (h, c), got {len(hx)}")
    return tuple(hx)
