"""The layers of full connections."""

from __future__ import annotations

import math
from typing import Any

from tinynet.nn import functional as F
from tinynet.nn import init
from tinynet.nn.module import Module
from tinynet.nn.parameter import Parameter, check_sizes, member
from tinynet.ops.create import empty
from tinynet.tensor import Tensor


class Linear(Module):
    """y = x W^T + b, for x (..., in_features). W (out_features, in_features) and b start from U(-k, k),
    k = 1/sqrt(in_features).

    >>> tn.nn.Linear(20, 30)(tn.zeros(128, 20)).shape
    (128, 30)
    """

    weight: Parameter = member()
    bias: Parameter | None = member()

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        check_sizes(self, in_features=in_features, out_features=out_features)
        self.in_features, self.out_features = in_features, out_features
        self.weight = Parameter(empty((out_features, in_features), device=device, dtype=dtype))
        self.register_parameter("bias", Parameter(empty(out_features, device=device, dtype=dtype)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias anew."""
        init.layer_default_(self.weight, self.bias)

    def forward(self, input: Tensor) -> Tensor:
        """x W^T + b."""
        return F.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        """The sizes."""
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


class Bilinear(Module):
    """y[o] = Σ_ij x1[i] A[o, i, j] x2[j] + b[o], for x1 (…, in1_features) and x2 (…, in2_features). A (out_features,
    in1_features, in2_features) and b start from U(-k, k), k = 1/sqrt(in1_features).

    >>> tn.nn.Bilinear(20, 30, 40)(tn.zeros(128, 20), tn.zeros(128, 30)).shape
    (128, 40)
    """

    weight: Parameter
    bias: Parameter | None

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        check_sizes(self, in1_features=in1_features, in2_features=in2_features, out_features=out_features)
        self.in1_features, self.in2_features, self.out_features = in1_features, in2_features, out_features
        if not in1_features:
            raise ValueError(f"in1_features must be > 0, but got (in1_features={in1_features})")
        self.weight = Parameter(empty((out_features, in1_features, in2_features), device=device, dtype=dtype))
        self.register_parameter("bias", Parameter(empty(out_features, device=device, dtype=dtype)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias anew."""
        k = 1 / math.sqrt(self.in1_features)
        for parameter in self.parameters():
            init.uniform_(parameter, -k, k)

    def forward(self, input1: Tensor, input2: Tensor) -> Tensor:
        """Σ_ij input1[i] A[o, i, j] input2[j] + b[o]."""
        return F.bilinear(input1, input2, self.weight, self.bias)

    def extra_repr(self) -> str:
        """The sizes."""
        return (
            f"in1_features={self.in1_features}, in2_features={self.in2_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}"
        )
