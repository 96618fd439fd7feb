"""Parameter: a tensor that a module owns and an optimizer changes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tinynet.autograd.modes import no_grad
from tinynet.ops.create import empty
from tinynet.tensor import Tensor


class Parameter(Tensor):
    """A leaf that requires grad and shares the memory of `data`; a module registers it when it is assigned to
    an attribute. RuntimeError for integers with requires_grad=True.

    >>> tn.nn.Parameter(tn.zeros(2))
    Parameter containing:
    tensor([0., 0.], requires_grad=True)
    """

    def __init__(self, data: Tensor | None = None, requires_grad: bool = True) -> None:
        data = empty(0) if data is None else data
        if not isinstance(data, Tensor):  # PyTorch's type: it looks for data.detach()
            raise AttributeError(f"Parameter(data): expected a Tensor, got {type(data).__name__}; use tn.tensor(data)")
        super().__init__(data.array)
        if requires_grad:
            self.requires_grad_()

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameter:
        return type(self)(self.detach().clone(), self.requires_grad)  # without the gradient, as in PyTorch


class _Member:
    """The name of a parameter or a buffer, as an attribute of a class."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, module: Any, owner: type) -> Any:
        if module is None:
            return self
        own = module.__dict__
        for kind in ("_parameters", "_buffers"):
            if kind in own and self.name in own[kind]:
                return own[kind][self.name]
        raise AttributeError(self.name)  # then Module.__getattr__ has the word


def member() -> Any:
    """What a class of layers says of a parameter or a buffer, as in `weight: Parameter = member()`. Without it Python
    looks everywhere else before it asks `Module.__getattr__`: five times as long, at each call of a layer."""
    return _Member()


def check_sizes(layer: Any, **sizes: Any) -> None:
    """The sizes that a layer is made with: TypeError for one that is no int, RuntimeError for a negative one."""
    for name, n in sizes.items():
        if not hasattr(n, "__index__"):
            raise TypeError(f"{type(layer).__name__}: {name} must be an int, got {n!r}")
        if n < 0:
            raise RuntimeError(f"{type(layer).__name__}: {name} must not be negative, got {n}")


def clear_grads(tensors: Iterable[Tensor], set_to_none: bool) -> None:
    """Forget the gradients, or fill them with zeros where they are."""
    for t in tensors:
        if set_to_none:
            t.gradient = None
        elif t.grad is not None:
            if t.grad.requires_grad:  # made by create_graph: zeros have no history
                t.grad = t.grad.detach()
            with no_grad():
                t.grad.zero_()
