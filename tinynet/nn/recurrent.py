"""Recurrent layers: RNN, LSTM and GRU over whole sequences, in several layers and both directions."""

from __future__ import annotations

import math
import warnings
from typing import Any

from tinynet.dtypes import name
from tinynet.errors import check_tensor
from tinynet.nn import functional as F
from tinynet.nn import init
from tinynet.nn.cells import State, two_states
from tinynet.nn.module import Module
from tinynet.nn.parameter import Parameter
from tinynet.ops.create import empty, zeros
from tinynet.ops.joining import cat, stack, unbind
from tinynet.ops.recurrent import GATES, SEQUENCES
from tinynet.tensor import Tensor


class RNNBase(Module):
    """What RNN, LSTM and GRU share: everything but the op (`ops.recurrent.SEQUENCES`), which `mode` names."""

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int,
        bias: bool,
        batch_first: bool,
        dropout: float,
        bidirectional: bool,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        _check_options(input_size, hidden_size, num_layers, bias, batch_first, dropout, proj_size)
        self.mode, self.input_size, self.hidden_size, self.num_layers = mode, input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout = bias, batch_first, float(dropout)
        self.bidirectional, self.proj_size = bidirectional, proj_size
        self._all_weights: list[list[str]] = []  # the names, for each layer and direction
        rows = GATES[mode] * hidden_size
        for layer in range(num_layers):
            into = hidden_size * self._directions if layer else input_size
            shapes: dict[str, tuple[int, ...]] = {"weight_ih": (rows, into), "weight_hh": (rows, hidden_size)}
            shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)} if bias else {}
            for suffix in ("", "_reverse")[: self._directions]:
                names = {f"{what}_l{layer}{suffix}": shape for what, shape in shapes.items()}
                for what, shape in names.items():
                    setattr(self, what, Parameter(empty(shape, device=device, dtype=dtype)))
                self._all_weights.append([*names])
        self.reset_parameters()

    @property
    def _directions(self) -> int:
        return 2 if self.bidirectional else 1

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """For each layer and direction: weight_ih, weight_hh and, if there are any, bias_ih, bias_hh."""
        return [[getattr(self, what) for what in names] for names in self._all_weights]

    def reset_parameters(self) -> None:
        """Draw all weights anew from U(-k, k), k = 1/sqrt(hidden_size)."""
        k = 1 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            init.uniform_(parameter, -k, k)

    def flatten_parameters(self) -> None:
        """Nothing: there is no layout of the weights that would be faster here."""

    # ---- running
    def forward(self, input: Tensor, hx: Any = None) -> tuple[Tensor, Any]:
        """(the output of the last layer at every time, the last state of every layer and direction)."""
        out, states, batched = input, self._first_states(input, hx), input.ndim == 3
        if not batched:  # a batch of one
            out, states = input.unsqueeze(1), tuple(s.unsqueeze(1) for s in states)
        elif self.batch_first:
            out = input.transpose(0, 1)
        starts = [*zip(*map(unbind, states), strict=True)]
        ends: list[State] = []
        for layer in range(self.num_layers):
            if layer:
                out = F.dropout(out, self.dropout, self.training)
            outs = []
            for direction in range(self._directions):
                k = len(ends)
                found, *end = SEQUENCES[self.mode](out, *starts[k], *self.all_weights[k], reverse=direction == 1)
                outs.append(found)
                ends.append(tuple(end))
            out = outs[0] if len(outs) == 1 else cat(outs, -1)
        last = [stack(parts) for parts in zip(*ends, strict=True)]
        if not batched:
            out, *last = (t.squeeze(1) for t in (out, *last))
        elif self.batch_first:
            out = out.transpose(0, 1)
        return out, tuple(last) if len(last) > 1 else last[0]

    def _time(self, input: Tensor) -> int:
        """The axis of time: of unbatched input always the first."""
        return int(self.batch_first and input.ndim == 3)

    # ---- checks
    def _first_states(self, input: Tensor, hx: Any) -> State:
        """The state (h,) or (h, c) before the first step, of all layers and directions, if it fits the input."""
        layer = type(self).__name__
        check_tensor(layer, input)
        if input.ndim not in (2, 3):
            raise ValueError(
                f"{layer}: Expected input to be 2D or 3D, got {input.ndim}D instead: {self._fitting()}, got "
                f"{input.shape}"
            )
        dtype = self.all_weights[0][0].dtype
        if input.dtype != dtype:
            raise ValueError(
                f"RNN input dtype ({name(input.dtype)}) does not match weight dtype ({name(dtype)}). Convert input: "
                f"input.to({name(dtype)}), or convert model: model.to({name(input.dtype)})"
            )
        if input.shape[-1] != self.input_size:
            raise RuntimeError(
                f"input.size(-1) must be equal to input_size. Expected {self.input_size}, got {input.shape[-1]}: "
                f"{self._fitting()}, got {input.shape}"
            )
        time = self._time(input)
        if not input.shape[time]:
            raise RuntimeError(f"Expected sequence length to be larger than 0 in {layer}, got {input.shape}")
        batch = () if input.ndim == 2 else (input.shape[1 - time],)
        shape = (self.num_layers * self._directions, *batch, self.hidden_size)
        parts = 2 if self.mode == "LSTM" else 1
        if hx is None:
            return (zeros(shape, dtype=dtype, device=input.device),) * parts
        states = two_states(layer, hx) if parts == 2 else (hx,)
        for k, s in enumerate(states):
            what = f"hx[{k}]" if parts == 2 else "hx"
            check_tensor(layer, s, what)
            if s.shape != shape:
                raise RuntimeError(
                    f"{layer}: Expected hidden size {shape} for an input {input.shape}, got {what} of size {s.shape}"
                )
            if s.dtype != dtype:
                raise RuntimeError(
                    f"{layer}: {what} and the weights must have the same dtype, but got {name(s.dtype)} and "
                    f"{name(dtype)}; convert one with .to(dtype)"
                )
        return states

    def _fitting(self) -> str:
        axes = "N, L" if self.batch_first else "L, N"
        return f"expected ({axes}, {self.input_size}) or, unbatched, (L, {self.input_size})"

    def extra_repr(self) -> str:
        """The sizes, and what differs from the defaults."""
        defaults = {"num_layers": 1, "bias": True, "batch_first": False, "dropout": 0, "bidirectional": False}
        values = {what: getattr(self, what) for what in defaults}
        more = [f", {what}={value}" for what, value in values.items() if value != defaults[what]]
        return f"{self.input_size}, {self.hidden_size}" + "".join(more)


def _check_options(
    input_size: int, hidden_size: int, num_layers: int, bias: bool, batch_first: bool, dropout: float, proj_size: int
) -> None:
    if isinstance(dropout, bool) or not isinstance(dropout, (int, float)) or not 0 <= dropout <= 1:
        raise ValueError(
            f"dropout should be a number in range [0, 1] representing the probability of an element being zeroed, "
            f"got {dropout!r}"
        )
    for what, flag in (("bias", bias), ("batch_first", batch_first)):
        if not isinstance(flag, bool):
            raise TypeError(f"{what} should be of type bool, got: {type(flag).__name__}")
    for what, size in (("input_size", input_size), ("hidden_size", hidden_size), ("num_layers", num_layers)):
        if not isinstance(size, int):
            raise TypeError(f"{what} should be of type int, got: {type(size).__name__}")
        if size <= 0:
            raise ValueError(f"{what} must be greater than zero, got {size}")
    if proj_size:
        if not 0 < proj_size < hidden_size:
            raise ValueError(f"proj_size has to be from 0 to hidden_size - 1 = {hidden_size - 1}, got {proj_size}")
        raise NotImplementedError(f"proj_size={proj_size}: there are no projections; use proj_size=0 and a Linear")
    if dropout and num_layers == 1:
        warnings.warn(
            f"dropout option adds dropout after all but last recurrent layer, so non-zero dropout expects num_layers "
            f"greater than 1, but got dropout={dropout} and num_layers=1",
            stacklevel=4,
        )


class RNN(RNNBase):
    """h_t = tanh(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh), or relu for tanh, for each time t; a layer reads the h of the
    one below, with dropout between, and with bidirectional also a second h, from the last time to the first.

    input (L, N, input_size), (N, L, …) if batch_first, or (L, input_size); hx, zero unless given, (D * num_layers, N,
    hidden_size) with D = 2 if bidirectional, else 1, or without N. Returns (the h of the last layer (…, D *
    hidden_size), the last h of all layers, shaped as hx). Weights weight_ih_l0, weight_hh_l0, bias_ih_l0, … start from
    U(-k, k), k = 1/sqrt(hidden_size). RuntimeError for shapes that do not fit. Elman, 1990.

    >>> output, h = tn.nn.RNN(10, 20, num_layers=2)(tn.zeros(5, 3, 10)); output.shape, h.shape
    ((5, 3, 20), (2, 3, 20))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        mode = f"RNN_{str(nonlinearity).upper()}"
        if mode not in SEQUENCES:
            raise ValueError(f"Unknown nonlinearity {nonlinearity!r}. Select from 'tanh' or 'relu'.")
        options = (num_layers, bias, batch_first, dropout, bidirectional)
        super().__init__(mode, input_size, hidden_size, *options, device=device, dtype=dtype)
        self.nonlinearity = nonlinearity


class LSTM(RNNBase):
    """c_t = f c_{t-1} + i g and h_t = o tanh(c_t), where i, f, o = σ(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh) and g is
    the same with tanh; the weights hold i, f, g, o one below the other.

    Arguments, input and weights as RNN's; hx = (h, c), and so is the state returned. proj_size must be 0
    (NotImplementedError). Hochreiter & Schmidhuber, 1997.

    >>> output, (h, c) = tn.nn.LSTM(10, 20, bidirectional=True)(tn.zeros(5, 3, 10)); output.shape, c.shape
    ((5, 3, 40), (2, 3, 20))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        options = (num_layers, bias, batch_first, dropout, bidirectional, proj_size)
        super().__init__("LSTM", input_size, hidden_size, *options, device=device, dtype=dtype)


class GRU(RNNBase):
    """h_t = (1 - z) n + z h_{t-1} with the gates r, z = σ(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh) and n = tanh(W_in x_t
    + b_in + r (W_hn h_{t-1} + b_hn)); the weights hold r, z, n one below the other.

    Arguments, input, state and weights as RNN's. Cho et al., 2014.

    >>> output, h = tn.nn.GRU(10, 20, batch_first=True)(tn.zeros(3, 5, 10)); output.shape, h.shape
    ((3, 5, 20), (1, 3, 20))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        options = (num_layers, bias, batch_first, dropout, bidirectional)
        super().__init__("GRU", input_size, hidden_size, *options, device=device, dtype=dtype)
