"""Activation layers."""

from __future__ import annotations

import warnings
from typing import Any

from tinynet.nn import functional as F
from tinynet.nn import init as start
from tinynet.nn.module import Module
from tinynet.nn.parameter import Parameter, check_sizes
from tinynet.ops.create import empty
from tinynet.tensor import Tensor


class _InPlace(Module):
    """A function that may work in its input's own memory."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def extra_repr(self) -> str:
        """Whether in place."""
        return "inplace=True" if self.inplace else ""


class ReLU(_InPlace):
    """max(x, 0), in x's own memory if inplace.

    >>> tn.nn.ReLU()(tn.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """

    def forward(self, input: Tensor) -> Tensor:
        """max(input, 0)."""
        return F.relu(input, inplace=self.inplace)


class LeakyReLU(_InPlace):
    """x where it is positive, else negative_slope · x. Maas, Hannun & Ng, 2013.

    >>> tn.nn.LeakyReLU(0.1)(tn.tensor([-1.0, 2.0]))
    tensor([-0.1000,  2.0000])
    """

    def __init__(self, negative_slope: float = 1e-2, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.negative_slope = negative_slope

    def forward(self, input: Tensor) -> Tensor:
        """input where positive, else scaled."""
        return F.leaky_relu(input, self.negative_slope, self.inplace)

    def extra_repr(self) -> str:
        """The slope, and whether in place."""
        return f"negative_slope={self.negative_slope}" + (", inplace=True" if self.inplace else "")


class PReLU(Module):
    """x where it is positive, else weight · x: a slope for each of num_parameters channels of x (N, C, …), or one.
    It is learnt, from init. He, Zhang, Ren & Sun, 2015.

    >>> tn.nn.PReLU()(tn.tensor([-1.0, 2.0])).detach()
    tensor([-0.2500,  2.0000])
    """

    weight: Parameter

    def __init__(self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: Any = None) -> None:
        super().__init__()
        check_sizes(self, num_parameters=num_parameters)
        self.num_parameters, self.init = num_parameters, init
        self.weight = Parameter(empty(num_parameters, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Every slope as at the start."""
        start.constant_(self.weight, self.init)

    def forward(self, input: Tensor) -> Tensor:
        """input where positive, else times the weight."""
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        """How many slopes."""
        return f"num_parameters={self.num_parameters}"


class ELU(_InPlace):
    """x where it is positive, else alpha (exp(x) - 1). Clevert, Unterthiner & Hochreiter, 2015.

    >>> tn.nn.ELU()(tn.tensor([-1.0, 2.0]))
    tensor([-0.6321,  2.0000])
    """

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.alpha = alpha

    def forward(self, input: Tensor) -> Tensor:
        """input where positive, else the exponential."""
        return F.elu(input, self.alpha, self.inplace)

    def extra_repr(self) -> str:
        """alpha, and whether in place."""
        return f"alpha={self.alpha}" + (", inplace=True" if self.inplace else "")


class SELU(_InPlace):
    """1.0507 ELU(x, 1.6733), which keeps mean 0 and variance 1 through a deep network. Klambauer et al., 2017.

    >>> tn.nn.SELU()(tn.tensor([-1.0, 2.0]))
    tensor([-1.1113,  2.1014])
    """

    def forward(self, input: Tensor) -> Tensor:
        """The scaled ELU of input."""
        return F.selu(input, self.inplace)


class GELU(Module):
    """x · Φ(x), Φ being the distribution of a normal number; approximate='tanh' takes a tanh for it. Hendrycks &
    Gimpel, 2016.

    >>> tn.nn.GELU()(tn.tensor([-1.0, 2.0]))
    tensor([-0.1587,  1.9545])
    """

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = approximate

    def forward(self, input: Tensor) -> Tensor:
        """input times its chance."""
        return F.gelu(input, approximate=self.approximate)

    def extra_repr(self) -> str:
        """How it is computed."""
        return f"approximate={self.approximate!r}"


class SiLU(_InPlace):
    """x · sigmoid(x). Elfwing, Uchibe & Doya, 2017.

    >>> tn.nn.SiLU()(tn.tensor([-1.0, 2.0]))
    tensor([-0.2689,  1.7616])
    """

    def forward(self, input: Tensor) -> Tensor:
        """input times its sigmoid."""
        return F.silu(input, self.inplace)


class Mish(_InPlace):
    """x · tanh(softplus(x)). Misra, 2019.

    >>> tn.nn.Mish()(tn.tensor([-1.0, 2.0]))
    tensor([-0.3034,  1.9440])
    """

    def forward(self, input: Tensor) -> Tensor:
        """input times the tanh of its softplus."""
        return F.mish(input, self.inplace)


class Softplus(Module):
    """log(1 + exp(beta · x)) / beta, a smooth ReLU; x itself where beta · x > threshold. Dugas et al., 2001.

    >>> tn.nn.Softplus()(tn.tensor([0.0, 2.0]))
    tensor([0.6931, 2.1269])
    """

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta, self.threshold = beta, threshold

    def forward(self, input: Tensor) -> Tensor:
        """The softplus of input."""
        return F.softplus(input, self.beta, self.threshold)

    def extra_repr(self) -> str:
        """beta and threshold."""
        return f"beta={self.beta}, threshold={self.threshold}"


class Softsign(Module):
    """x / (1 + |x|).

    >>> tn.nn.Softsign()(tn.tensor([-1.0, 3.0]))
    tensor([-0.5000,  0.7500])
    """

    def forward(self, input: Tensor) -> Tensor:
        """The softsign of input."""
        return F.softsign(input)


class Sigmoid(Module):
    """1 / (1 + exp(-x)).

    >>> tn.nn.Sigmoid()(tn.tensor([0.0, 2.0]))
    tensor([0.5000, 0.8808])
    """

    def forward(self, input: Tensor) -> Tensor:
        """The sigmoid of input."""
        return F.sigmoid(input)


class LogSigmoid(Module):
    """log(1 / (1 + exp(-x))), exact where the sigmoid is nearly 0 or 1.

    >>> tn.nn.LogSigmoid()(tn.tensor([0.0, 2.0]))
    tensor([-0.6931, -0.1269])
    """

    def forward(self, input: Tensor) -> Tensor:
        """The logarithm of the sigmoid of input."""
        return F.logsigmoid(input)


class Tanh(Module):
    """(exp(x) - exp(-x)) / (exp(x) + exp(-x)).

    >>> tn.nn.Tanh()(tn.tensor([0.0, 1.0]))
    tensor([0.0000, 0.7616])
    """

    def forward(self, input: Tensor) -> Tensor:
        """The tanh of input."""
        return F.tanh(input)


class Hardtanh(_InPlace):
    """x held between min_val and max_val; min_value and max_value are older names of these. AssertionError unless
    min_val < max_val.

    >>> tn.nn.Hardtanh()(tn.tensor([-2.0, 0.5]))
    tensor([-1.0000,  0.5000])
    """

    def __init__(
        self,
        min_val: float = -1.0,
        max_val: float = 1.0,
        inplace: bool = False,
        min_value: float | None = None,
        max_value: float | None = None,
    ) -> None:
        super().__init__(inplace)
        for end, value in (("min", min_value), ("max", max_value)):
            if value is not None:
                text = f"keyword argument `{end}_value` is deprecated and renamed to `{end}_val`"
                warnings.warn(text, FutureWarning, stacklevel=2)
        self.min_val = min_val if min_value is None else min_value
        self.max_val = max_val if max_value is None else max_value
        if self.max_val <= self.min_val:
            raise AssertionError(f"max_val ({self.max_val}) must be greater than min_val ({self.min_val})")

    def forward(self, input: Tensor) -> Tensor:
        """input held between the bounds."""
        return F.hardtanh(input, self.min_val, self.max_val, self.inplace)

    def extra_repr(self) -> str:
        """The bounds, and whether in place."""
        return f"min_val={self.min_val}, max_val={self.max_val}" + (", inplace=True" if self.inplace else "")


class ReLU6(Hardtanh):
    """min(max(x, 0), 6). Krizhevsky, 2010.

    >>> tn.nn.ReLU6()(tn.tensor([-1.0, 2.0, 7.0]))
    tensor([0., 2., 6.])
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__(0.0, 6.0, inplace)

    def forward(self, input: Tensor) -> Tensor:
        """input held between 0 and 6."""
        return F.relu6(input, self.inplace)

    def extra_repr(self) -> str:
        """Whether in place."""
        return "inplace=True" if self.inplace else ""


class Hardsigmoid(_InPlace):
    """ReLU6(x + 3) / 6. Howard et al., 2019.

    >>> tn.nn.Hardsigmoid()(tn.tensor([-4.0, 0.0]))
    tensor([0.0000, 0.5000])
    """

    def forward(self, input: Tensor) -> Tensor:
        """A sigmoid in straight pieces."""
        return F.hardsigmoid(input, self.inplace)

    def extra_repr(self) -> str:
        """Nothing, as PyTorch."""
        return ""


class Hardswish(_InPlace):
    """x · ReLU6(x + 3) / 6. Howard et al., 2019.

    >>> tn.nn.Hardswish()(tn.tensor([1.0, 4.0]))
    tensor([0.6667, 4.0000])
    """

    def forward(self, input: Tensor) -> Tensor:
        """input times its hardsigmoid."""
        return F.hardswish(input, self.inplace)

    def extra_repr(self) -> str:
        """Nothing, as PyTorch."""
        return ""


class GLU(Module):
    """a · sigmoid(b), for a and b the two halves of x along dim. Dauphin, Fan, Auli & Grangier, 2016.

    >>> tn.nn.GLU()(tn.tensor([1.0, 2.0, 0.0, 0.0]))
    tensor([0.5000, 1.0000])
    """

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """One half of input, as the other lets it pass."""
        return F.glu(input, self.dim)

    def extra_repr(self) -> str:
        """The axis."""
        return f"dim={self.dim}"


class _Along(Module):
    """A function along one axis."""

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def extra_repr(self) -> str:
        """The axis."""
        return f"dim={self.dim}"


class Softmax(_Along):
    """exp(x) / Σ exp(x) along dim: numbers between 0 and 1 that sum to 1.

    >>> tn.nn.Softmax(dim=1)(tn.tensor([[0.0, 0.0]]))
    tensor([[0.5000, 0.5000]])
    """

    def forward(self, input: Tensor) -> Tensor:
        """The softmax of input."""
        return F.softmax(input, self.dim, _stacklevel=5)


class Softmin(_Along):
    """The softmax of -x along dim.

    >>> tn.nn.Softmin(dim=1)(tn.tensor([[0.0, 1000.0]]))
    tensor([[1., 0.]])
    """

    def forward(self, input: Tensor) -> Tensor:
        """The softmax of -input."""
        return F.softmin(input, self.dim, _stacklevel=5)


class LogSoftmax(_Along):
    """x - log Σ exp(x) along dim: the logarithm of Softmax, exact where that is tiny.

    >>> tn.nn.LogSoftmax(dim=1)(tn.tensor([[0.0, -1000.0]]))
    tensor([[    0., -1000.]])
    """

    def forward(self, input: Tensor) -> Tensor:
        """The logarithm of the softmax of input."""
        return F.log_softmax(input, self.dim, _stacklevel=5)
