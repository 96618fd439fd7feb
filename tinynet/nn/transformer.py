"""The transformer's layers: attention, then a network for each element, both added to what they were given."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

from tinynet.nn import functional as F
from tinynet.nn.attention import MultiheadAttention
from tinynet.nn.containers import ModuleList
from tinynet.nn.dropout import Dropout
from tinynet.nn.linear import Linear
from tinynet.nn.module import Module
from tinynet.nn.normalization import LayerNorm
from tinynet.ops.create import full_like
from tinynet.ops.diagonals import triu
from tinynet.tensor import Tensor

Activation = Callable[[Tensor], Tensor]
_ACTIVATIONS: dict[str, Activation] = {"relu": F.relu, "gelu": F.gelu}


class _Layer(Module):
    """What both kinds have: attention to oneself, perhaps to another sequence, and a network of two linear layers."""

    _attends_to_memory: bool
    norm1: LayerNorm
    norm2: LayerNorm
    dropout1: Dropout
    dropout2: Dropout

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Activation = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        for name in ("self_attn", "multihead_attn")[: 1 + self._attends_to_memory]:
            attention = MultiheadAttention(
                d_model, nhead, dropout, bias, batch_first=batch_first, device=device, dtype=dtype
            )
            self.add_module(name, attention)
        self.linear1 = Linear(d_model, dim_feedforward, bias, device=device, dtype=dtype)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias, device=device, dtype=dtype)
        self.norm_first = norm_first
        parts = range(1, 3 + self._attends_to_memory)
        for k in parts:
            norm = LayerNorm(d_model, layer_norm_eps, bias=bias, device=device, dtype=dtype)
            self.add_module(f"norm{k}", norm)
        for k in parts:
            self.add_module(f"dropout{k}", Dropout(dropout))
        if isinstance(activation, str):
            if activation not in _ACTIVATIONS:
                raise RuntimeError(f"activation should be relu/gelu, not {activation}; or pass a function")
            activation = _ACTIVATIONS[activation]
        self.activation = activation

    def _add(self, x: Tensor, norm: Module, part: Activation) -> Tensor:
        """x + part(x), with the norm before the part or after the sum."""
        return x + part(norm(x)) if self.norm_first else norm(x + part(x))

    def _attend(
        self, x: Tensor, mask: Tensor | None, padding: Tensor | None, is_causal: bool
    ) -> Tensor:
        y, _ = self.self_attn(x, x, x, padding, need_weights=False, attn_mask=mask, is_causal=is_causal)
        return self.dropout1(y)

    def _feed_forward(self, x: Tensor) -> Tensor:
        return self.linear2(self.dropout(self.activation(self.linear1(x))))


class TransformerEncoderLayer(_Layer):
    """x = norm1(src + attention(src, src, src)), y = norm2(x + W_2 activation(W_1 x + b_1) + b_2), with dropout in
    both sums and between the two products; with norm_first x = src + attention(norm1(src), …) and so on.

    src (L, N, d_model), (N, L, d_model) if batch_first, or (L, d_model). activation: "relu", "gelu" or a function.
    bias=False: no layer has one. Vaswani et al., 2017; norm_first: Xiong et al., 2020.

    >>> tn.nn.TransformerEncoderLayer(8, nhead=2, dim_feedforward=16)(tn.rand(5, 3, 8)).shape
    (5, 3, 8)
    """

    _attends_to_memory = False

    def forward(
        self,
        src: Tensor,
        src_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        """y; the masks are those of MultiheadAttention, is_causal promises that src_mask is a causal one."""
        x = self._add(src, self.norm1, lambda x: self._attend(x, src_mask, src_key_padding_mask, is_causal))
        return self._add(x, self.norm2, lambda x: self.dropout2(self._feed_forward(x)))


class TransformerDecoderLayer(_Layer):
    """x = norm1(tgt + attention(tgt, tgt, tgt)), y = norm2(x + attention(x, memory, memory)),
    z = norm3(y + W_2 activation(W_1 y + b_1) + b_2), with dropout as in TransformerEncoderLayer, as are the arguments.

    tgt (L, N, d_model), memory (S, N, d_model): what an encoder made. Vaswani et al., 2017.

    >>> layer = tn.nn.TransformerDecoderLayer(8, nhead=2, dim_feedforward=16)
    >>> layer(tn.rand(5, 3, 8), tn.rand(7, 3, 8)).shape
    (5, 3, 8)
    """

    _attends_to_memory = True
    norm3: LayerNorm
    dropout3: Dropout

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """z; the masks are those of MultiheadAttention, the hints promise that tgt_mask, memory_mask are causal."""
        x = self._add(tgt, self.norm1, lambda x: self._attend(x, tgt_mask, tgt_key_padding_mask, tgt_is_causal))

        def look_up(x: Tensor) -> Tensor:
            y, _ = self.multihead_attn(
                x,
                memory,
                memory,
                memory_key_padding_mask,
                need_weights=False,
                attn_mask=memory_mask,
                is_causal=memory_is_causal,
            )
            return self.dropout2(y)

        y = self._add(x, self.norm2, look_up)
        return self._add(y, self.norm3, lambda x: self.dropout3(self._feed_forward(x)))


class _Stack(Module):
    """Copies of a layer, that all start from the same parameters, and a norm at the end."""

    norm: Module | None

    def __init__(self, layer: Module, num_layers: int, norm: Module | None) -> None:
        super().__init__()
        self.layers = ModuleList([copy.deepcopy(layer) for _ in range(num_layers)])
        self.num_layers, self.norm = num_layers, norm

    def _run(self, x: Tensor, *args: Any, **options: Any) -> Tensor:
        for layer in self.layers:
            x = layer(x, *args, **options)
        return x if self.norm is None else self.norm(x)


class TransformerEncoder(_Stack):
    """norm(layer_n(… layer_1(src))), for num_layers copies of encoder_layer, that start from the same parameters.

    enable_nested_tensor and mask_check are taken, and change nothing. Vaswani et al., 2017.

    >>> layer = tn.nn.TransformerEncoderLayer(8, nhead=2, dim_feedforward=16)
    >>> tn.nn.TransformerEncoder(layer, num_layers=2)(tn.rand(5, 3, 8)).shape
    (5, 3, 8)
    """

    def __init__(
        self,
        encoder_layer: Module,
        num_layers: int,
        norm: Module | None = None,
        enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ) -> None:
        super().__init__(encoder_layer, num_layers, norm)
        self.enable_nested_tensor, self.mask_check = enable_nested_tensor, mask_check

    def forward(
        self,
        src: Tensor,
        mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool | None = None,
    ) -> Tensor:
        """The result of the last layer; every layer gets the masks. is_causal=None: we look whether mask is causal."""
        causal = _is_causal(mask) if is_causal is None else is_causal
        return self._run(src, src_mask=mask, src_key_padding_mask=src_key_padding_mask, is_causal=causal)


class TransformerDecoder(_Stack):
    """norm(layer_n(… layer_1(tgt, memory) …, memory)), for num_layers copies of decoder_layer, that start from the same
    parameters. Vaswani et al., 2017.

    >>> layer = tn.nn.TransformerDecoderLayer(8, nhead=2, dim_feedforward=16)
    >>> tn.nn.TransformerDecoder(layer, num_layers=2)(tn.rand(5, 3, 8), tn.rand(7, 3, 8)).shape
    (5, 3, 8)
    """

    def __init__(self, decoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        super().__init__(decoder_layer, num_layers, norm)

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """The result of the last layer; every layer gets memory and the masks. tgt_is_causal=None: we look whether
        tgt_mask is causal."""
        return self._run(
            tgt,
            memory,
            tgt_mask=tgt_mask,
            memory_mask=memory_mask,
            tgt_key_padding_mask=tgt_key_padding_mask,
            memory_key_padding_mask=memory_key_padding_mask,
            tgt_is_causal=_is_causal(tgt_mask) if tgt_is_causal is None else tgt_is_causal,
            memory_is_causal=memory_is_causal,
        )


def _is_causal(mask: Tensor | None) -> bool:
    """Whether a mask hides from each element just those after it."""
    hidden: Any = None if mask is None else {"b": True, "f": -math.inf}.get(mask.dtype.kind)
    if mask is None or hidden is None or mask.ndim != 2 or mask.shape[0] != mask.shape[1]:
        return False
    return bool((mask == triu(full_like(mask, hidden), diagonal=1)).all())
