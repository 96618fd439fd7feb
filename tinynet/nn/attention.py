"""Attention with several heads: each projects queries, keys and values in its own way."""

from __future__ import annotations

import warnings
from typing import Any

from tinynet.dtypes import bool_, name
from tinynet.errors import check_tensor
from tinynet.nn import functional as F
from tinynet.nn import init
from tinynet.nn.linear import Linear
from tinynet.nn.module import Module
from tinynet.nn.parameter import Parameter
from tinynet.ops.attention import as_bias, attention_weights
from tinynet.ops.create import empty, zeros
from tinynet.ops.joining import cat, chunk
from tinynet.tensor import Tensor


class NonDynamicallyQuantizableLinear(Linear):
    """Linear, by the name that PyTorch shows for the last step of an attention."""


class MultiheadAttention(Module):
    """y = concat(head_1, …, head_h) W_oᵀ + b_o, head_i = softmax(q_i k_iᵀ / √d) v_i, for h = num_heads,
    d = embed_dim / h, and q_i, k_i, v_i of d features each: those of query, key and value, projected.

    query (L, N, embed_dim), key (S, N, kdim), value (S, N, vdim), with the batch N first if batch_first, or without
    it. Returns y, shaped like query, and, if need_weights, the probabilities (N, L, S) averaged over the heads, or
    (N, h, L, S). add_bias_kv: a learnt key and value at the end of each sequence; add_zero_attn: and zeros. dropout:
    of the probabilities, in training. Vaswani et al., 2017.

    >>> y, weights = tn.nn.MultiheadAttention(8, 2)(tn.rand(5, 3, 8), tn.rand(7, 3, 8), tn.rand(7, 3, 8))
    >>> y.shape, weights.shape
    ((5, 3, 8), (3, 5, 7))
    """

    in_proj_weight: Parameter | None
    q_proj_weight: Parameter | None
    k_proj_weight: Parameter | None
    v_proj_weight: Parameter | None
    in_proj_bias: Parameter | None
    bias_k: Parameter | None
    bias_v: Parameter | None

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if embed_dim <= 0 or num_heads <= 0:
            raise ValueError(
                f"embed_dim and num_heads must be greater than 0, got embed_dim={embed_dim} and num_heads={num_heads} "
                f"instead"
            )
        if embed_dim % num_heads:
            raise AssertionError(
                f"embed_dim must be divisible by num_heads, got embed_dim={embed_dim} and num_heads={num_heads}"
            )
        super().__init__()
        self.embed_dim, self.num_heads, self.head_dim = embed_dim, num_heads, embed_dim // num_heads
        self.kdim, self.vdim = (embed_dim if dim is None else dim for dim in (kdim, vdim))
        self.dropout, self.batch_first, self.add_zero_attn = dropout, batch_first, add_zero_attn

        def parameter(wanted: bool, *shape: int) -> Parameter | None:
            return Parameter(empty(shape, device=device, dtype=dtype)) if wanted else None

        packed = self.kdim == self.vdim == embed_dim
        self.register_parameter("in_proj_weight", parameter(packed, 3 * embed_dim, embed_dim))
        for what, dim in (("q", embed_dim), ("k", self.kdim), ("v", self.vdim)):
            self.register_parameter(f"{what}_proj_weight", parameter(not packed, embed_dim, dim))
        self.register_parameter("in_proj_bias", parameter(bias, 3 * embed_dim))
        self.out_proj = NonDynamicallyQuantizableLinear(embed_dim, embed_dim, bias=bias, device=device, dtype=dtype)
        self.bias_k, self.bias_v = (parameter(add_bias_kv, 1, 1, embed_dim) for _ in range(2))
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        for weight in (self.in_proj_weight, self.q_proj_weight, self.k_proj_weight, self.v_proj_weight):
            if weight is not None:
                init.xavier_uniform_(weight)
        for bias in (self.in_proj_bias, self.out_proj.bias):
            if bias is not None:
                init.zeros_(bias)
        for extra in (self.bias_k, self.bias_v):
            if extra is not None:
                init.xavier_normal_(extra)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """y, and the probabilities or None.

        key_padding_mask (N, S) and attn_mask (L, S) or (N·h, L, S) are numbers to add to the scores, or bools, here
        True where a key may not be seen. is_causal promises that attn_mask hides just the keys after each query.
        AssertionError or RuntimeError for shapes and dtypes that do not fit.
        """
        masks = {"key_padding_mask": key_padding_mask, "attn_mask": attn_mask}
        self._check_inputs(query, key, value)
        self._check_masks(query, key, masks, is_causal)
        q, k, v = map(self._heads, self._projected(query, key, value), (query, key, value))
        k, v = self._lengthened(k, self.bias_k), self._lengthened(v, self.bias_v)
        causal = is_causal and key_padding_mask is None and not need_weights
        mask = None if causal else self._merged(masks, q, k)
        rate, weights = self.dropout if self.training else 0.0, None
        if need_weights:
            weights = F.dropout(attention_weights(q, k, mask), rate)
            out = weights @ v
        else:
            out = F.scaled_dot_product_attention(q, k, v, mask, rate, causal)
        out = out.transpose(1, 2).flatten(2)
        if query.ndim == 2:
            out = out.squeeze(0)
        elif not self.batch_first:
            out = out.transpose(0, 1)
        if weights is not None:
            weights = weights.mean(1) if average_attn_weights else weights
            weights = weights.squeeze(0) if query.ndim == 2 else weights
        return self.out_proj(out), weights

    # ---- the steps
    def _projected(self, query: Tensor, key: Tensor, value: Tensor) -> list[Tensor]:
        if self.in_proj_weight is not None and query is key is value:
            return list(chunk(F.linear(query, self.in_proj_weight, self.in_proj_bias), 3, -1))  # one product for all
        biases = [None] * 3 if self.in_proj_bias is None else chunk(self.in_proj_bias, 3)
        weights: Any = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        if self.in_proj_weight is not None:
            weights = chunk(self.in_proj_weight, 3)
        return [F.linear(x, w, b) for x, w, b in zip((query, key, value), weights, biases, strict=True)]

    def _heads(self, projected: Tensor, given: Tensor) -> Tensor:
        """(N, h, length, d): the batch first, whether or not the user gave it so."""
        if given.ndim == 2:
            projected = projected.unsqueeze(0)
        elif not self.batch_first:
            projected = projected.transpose(0, 1)
        return projected.unflatten(-1, (self.num_heads, self.head_dim)).transpose(1, 2)

    def _lengthened(self, x: Tensor, extra: Parameter | None) -> Tensor:
        """Keys or values (N, h, S, d) and those that every sequence has at its end."""
        parts, (n, heads, _, d) = [x], x.shape
        if extra is not None:
            parts.append(extra.reshape((1, heads, 1, d)).expand(n, heads, 1, d))
        if self.add_zero_attn:
            parts.append(zeros((n, heads, 1, d), dtype=x.dtype, device=x.device))
        return cat(parts, 2) if len(parts) > 1 else x

    def _merged(self, masks: dict[str, Tensor | None], q: Tensor, k: Tensor) -> Tensor | None:
        """Both masks as one, to be added to the scores (N, h, L, S); all may see the keys at the end."""
        total = None
        for what, mask in masks.items():
            if mask is None:
                continue
            if what == "key_padding_mask":
                mask = mask.reshape((q.shape[0], 1, 1, mask.shape[-1]))
            elif mask.ndim == 3:
                mask = mask.reshape((*q.shape[:3], mask.shape[-1]))
            mask = as_bias(~mask, q.dtype) if mask.dtype == bool_ else mask
            total = mask if total is None else total + mask
        if total is None or total.shape[-1] == k.shape[2]:
            return total
        return F.pad(total, (0, k.shape[2] - total.shape[-1]))

    # ---- checks
    def _check_inputs(self, query: Tensor, key: Tensor, value: Tensor) -> None:
        for what, t in (("query", query), ("key", key), ("value", value)):
            check_tensor("MultiheadAttention", t, what)
        if query.ndim not in (2, 3):
            raise AssertionError(
                f"query should be unbatched 2D or batched 3D tensor but received {query.ndim}-D query tensor"
            )
        if not key.ndim == value.ndim == query.ndim:
            kind = "batched" if query.ndim == 3 else "unbatched"
            raise AssertionError(
                f"For {kind} ({query.ndim}-D) `query`, expected `key` and `value` to be {query.ndim}-D but found "
                f"{key.ndim}-D and {value.ndim}-D tensors respectively"
            )
        if query.shape[-1] != self.embed_dim:
            raise AssertionError(
                f"was expecting embedding dimension of {self.embed_dim}, but got {query.shape[-1]}: query has the "
                f"shape {query.shape}"
            )
        given = f"but got key {key.shape} and value {value.shape}"
        if self.in_proj_weight is not None and key.shape != value.shape:
            raise AssertionError(f"key and value must have the same shape, {given}: pass kdim and vdim if not")
        if key.shape[:-1] != value.shape[:-1]:
            raise AssertionError(f"key's sequence and batch dims do not match value's: they must be equal, {given}")
        if (key.shape[-1], value.shape[-1]) != (self.kdim, self.vdim):
            error = AssertionError if self.in_proj_weight is None else RuntimeError
            raise error(f"key must have kdim = {self.kdim} features and value vdim = {self.vdim}, {given}")
        if query.ndim == 3 and self._sizes(query)[1] != self._sizes(key)[1]:
            raise RuntimeError(
                f"query and key must have the same batch (axis {0 if self.batch_first else 1}), but got query "
                f"{query.shape} and key {key.shape}"
            )

    def _check_masks(
        self, query: Tensor, key: Tensor, masks: dict[str, Tensor | None], is_causal: bool
    ) -> None:
        (length, n), (keys, _) = self._sizes(query), self._sizes(key)
        padding, hiding = masks.values()
        for what, mask in masks.items():
            if mask is not None:
                check_tensor("MultiheadAttention", mask, what)
                if mask.dtype != bool_ and mask.dtype.kind != "f":
                    raise AssertionError(
                        f"only bool and floating types of {what} are supported, but got {name(mask.dtype)}: use "
                        f"{what}.bool()"
                    )
        batched = query.ndim == 3
        if padding is not None:
            wanted = (n, keys) if batched else (keys,)
            if padding.shape != wanted:
                raise AssertionError(f"Expected key_padding_mask.shape to be {wanted}, but got {padding.shape}")
            if hiding is not None and padding.dtype != hiding.dtype:
                warnings.warn(
                    "Support for mismatched key_padding_mask and attn_mask is deprecated. Use same type for both "
                    "instead.",
                    stacklevel=4,
                )
        if hiding is None:
            if is_causal:
                raise RuntimeError(
                    "Need attn_mask if specifying the is_causal hint: for a causal one pass "
                    f"attn_mask=tn.ones({length}, {keys}, dtype=tn.bool).triu(1)"
                )
            return
        fitting = {2: (length, keys), 3: (n * self.num_heads, length, keys)}
        if hiding.ndim not in fitting:
            raise AssertionError(f"expected attn_mask to be None, 2-D or 3-D, but got the shape {hiding.shape}")
        if hiding.shape != fitting[hiding.ndim]:
            error = AssertionError if hiding.ndim == 3 and not batched else RuntimeError
            raise error(
                f"The shape of the {hiding.ndim}D attn_mask is {hiding.shape}, but should be {fitting[hiding.ndim]}."
            )

    def _sizes(self, t: Tensor) -> tuple[int, int]:
        """The length of the sequences, and how many they are."""
        if t.ndim == 2:
            return t.shape[0], 1
        return (t.shape[1], t.shape[0]) if self.batch_first else (t.shape[0], t.shape[1])
