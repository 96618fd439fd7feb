"""A table of vectors, looked up by number."""

from __future__ import annotations

from typing import Any, Self

from tinynet.autograd.modes import no_grad
from tinynet.nn import functional as F
from tinynet.nn import init
from tinynet.nn.module import Module
from tinynet.nn.parameter import Parameter, check_sizes, member
from tinynet.ops.create import empty
from tinynet.ops.lookup import no_sparse, padding_row
from tinynet.tensor import Tensor


class Embedding(Module):
    """weight[input]: a vector for each of num_embeddings words, by the word's number. weight (num_embeddings,
    embedding_dim) starts from N(0, 1), with row padding_idx zero, which gets no gradient. The other options are those
    of `functional.embedding`; AssertionError for a padding_idx that is no row.

    >>> tn.nn.Embedding(10, 3, padding_idx=0)(tn.tensor([[0, 0]]))
    tensor([[[0., 0., 0.],
             [0., 0., 0.]]], grad_fn=<EmbeddingBackward0>)
    """

    weight: Parameter = member()

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: Tensor | None = None,
        _freeze: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if sparse:
            no_sparse()
        check_sizes(self, num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = padding_row(padding_idx, num_embeddings)
        self.max_norm, self.norm_type = max_norm, norm_type
        self.scale_grad_by_freq, self.sparse = scale_grad_by_freq, sparse
        shape = (num_embeddings, embedding_dim)
        if _weight is not None and _weight.shape != shape:
            raise AssertionError(
                f"Shape of weight does not match num_embeddings and embedding_dim: got {_weight.shape}, "
                f"expected {shape}"
            )
        weight = empty(shape, device=device, dtype=dtype) if _weight is None else _weight
        self.weight = Parameter(weight, requires_grad=not _freeze)
        if _weight is None:
            self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight anew; row padding_idx is zero."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            with no_grad():
                self.weight[self.padding_idx] = 0

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Tensor,
        freeze: bool = True,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
    ) -> Self:
        """A layer whose weight is `embeddings` (2-D), in the same memory; freeze: it is not trained.

        >>> tn.nn.Embedding.from_pretrained(tn.tensor([[1.0, 2.0], [3.0, 4.0]]))(tn.tensor(1))
        tensor([3., 4.])
        """
        if embeddings.ndim != 2:
            raise AssertionError(f"Embeddings parameter is expected to be 2-dimensional, got {embeddings.shape}")
        rows, columns = embeddings.shape
        options = (padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse)
        return cls(rows, columns, *options, _weight=embeddings, _freeze=freeze)

    def forward(self, input: Tensor) -> Tensor:
        """The row of each number in input."""
        options = (self.padding_idx, self.max_norm, self.norm_type, self.scale_grad_by_freq, self.sparse)
        return F.embedding(input, self.weight, *options)

    def extra_repr(self) -> str:
        """What differs from the defaults."""
        text = f"{self.num_embeddings}, {self.embedding_dim}"
        if self.padding_idx is not None:
            text += f", padding_idx={self.padding_idx}"
        if self.max_norm is not None:
            text += f", max_norm={self.max_norm}"
        if self.norm_type != 2:
            text += f", norm_type={self.norm_type}"
        return text + (f", scale_grad_by_freq={self.scale_grad_by_freq}" if self.scale_grad_by_freq else "")
