"""Tools for the parameters of a model: clipping gradients, one long vector of all, pruning (`prune`)."""

from __future__ import annotations

import warnings
from collections.abc import Generator, Iterable

from tinynet.autograd.modes import no_grad
from tinynet.nn.utils import prune
from tinynet.ops import cat, clamp, linalg, stack, zeros
from tinynet.tensor import Tensor

__all__ = ["clip_grad_norm_", "clip_grad_value_", "parameters_to_vector", "prune", "vector_to_parameters"]


def _gradients(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    parameters = [parameters] if isinstance(parameters, Tensor) else parameters
    return [p.grad for p in parameters if p.grad is not None]


@no_grad()
def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> Tensor:
    """grad <- grad min(1, max_norm / (N + 1e-6)), where N is the norm of all gradients together, which is
    returned. norm_type: the p of sum(|g|^p)^(1/p); inf: the greatest |g|. error_if_nonfinite: RuntimeError if N
    is inf or nan, instead of gradients that are nan. Pascanu et al. 2013.

    >>> w = tn.zeros(2, requires_grad=True)
    >>> (w @ tn.tensor([3.0, 4.0])).backward()
    >>> tn.nn.utils.clip_grad_norm_([w], max_norm=1.0), w.grad
    (tensor(5.), tensor([0.6000, 0.8000]))
    """
    if isinstance(parameters, Generator):
        parameters = list(parameters)
        if not parameters:
            warnings.warn("`parameters` is an empty generator, no gradient clipping will occur.", stacklevel=2)
    grads, norm_type = _gradients(parameters), float(norm_type)
    if not grads:
        return zeros(())
    norms = [linalg.vector_norm(g, norm_type) for g in grads]
    total = linalg.vector_norm(stack(norms), norm_type)
    if error_if_nonfinite and not total.isfinite():
        raise RuntimeError(
            f"The total norm of order {norm_type} for gradients from `parameters` is non-finite, so it cannot be "
            "clipped. To disable this error and scale the gradients by the non-finite norm anyway, set "
            "`error_if_nonfinite=False`"
        )
    factor = clamp(float(max_norm) / (total + 1e-6), max=1.0)
    for g in grads:
        g.mul_(factor)
    return total


@no_grad()
def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """grad <- min(max(grad, -clip_value), clip_value), element by element.

    >>> w = tn.zeros(2, requires_grad=True)
    >>> (w @ tn.tensor([3.0, -0.5])).backward()
    >>> tn.nn.utils.clip_grad_value_([w], clip_value=1.0); w.grad
    tensor([ 1.0000, -0.5000])
    """
    for g in _gradients(parameters):
        g.clamp_(-float(clip_value), float(clip_value))


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All parameters, flattened, one after another. Gradients flow back through it.

    >>> tn.nn.utils.parameters_to_vector(tn.nn.Linear(2, 3).parameters()).shape
    (9,)
    """
    return cat([p.reshape(-1) for p in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """The reverse of parameters_to_vector: every parameter becomes a view of its part of the vector.

    >>> layer = tn.nn.Linear(2, 1)
    >>> tn.nn.utils.vector_to_parameters(tn.tensor([1.0, 2.0, 3.0]), layer.parameters()); layer.weight
    Parameter containing:
    tensor([[1., 2.]], requires_grad=True)
    """
    if not isinstance(vec, Tensor):
        raise TypeError(f"expected tn.Tensor, but got: {type(vec).__name__}")
    start = 0
    for p in parameters:
        p.data = vec.data[start : start + p.numel()].reshape(p.shape)
        start += p.numel()
