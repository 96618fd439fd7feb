"""Pruning: weight = weight_orig * weight_mask, computed anew before every forward."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

from tinynet.autograd.modes import no_grad
from tinynet.nn.module import Module
from tinynet.ops import ones_like, rand_like, topk
from tinynet.tensor import Tensor

__all__ = ["is_pruned", "l1_unstructured", "random_unstructured", "remove"]


class _Mask:
    """The forward pre-hook of one pruned parameter."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, module: Module, args: Any) -> None:
        setattr(module, self.name, self.masked(module))

    def masked(self, module: Module) -> Tensor:
        """mask · original, the parameter as it is used."""
        return getattr(module, f"{self.name}_mask") * getattr(module, f"{self.name}_orig")


def l1_unstructured(module: Module, name: str, amount: float, importance_scores: Tensor | None = None) -> Module:
    """Mask the parameter's `amount` least elements by |w| (or by |importance_scores|): a number of them, or a
    share in [0, 1] of those not yet pruned.

    The parameter becomes {name}_orig, beside the buffer {name}_mask of ones and zeros; the module's {name} is
    their product. Returns the module. ValueError for an amount out of range, TypeError if it is no number.
    Le Cun et al. 1990; Han et al. 2015.

    >>> layer = tn.nn.Linear(4, 1, bias=False)
    >>> with tn.no_grad(): _ = layer.weight.copy_(tn.tensor([[0.1, -3.0, 0.2, 1.0]]))
    >>> tn.nn.utils.prune.l1_unstructured(layer, "weight", amount=0.5).weight_mask
    tensor([[0., 1., 0., 1.]])
    """
    return _prune(module, name, amount, _scores(module, name, importance_scores).abs())


def random_unstructured(module: Module, name: str, amount: float) -> Module:
    """Mask `amount` elements of the parameter, drawn at random; otherwise as l1_unstructured.

    >>> layer = tn.nn.utils.prune.random_unstructured(tn.nn.Linear(3, 2), "weight", amount=2)
    >>> sorted(layer.state_dict()), layer.weight_mask.sum()
    (['bias', 'weight_mask', 'weight_orig'], tensor(4.))
    """
    return _prune(module, name, amount, rand_like(_scores(module, name, None)))


def _scores(module: Module, name: str, given: Tensor | None) -> Tensor:
    """A number for each element: the given ones, or the parameter itself."""
    parameter = getattr(module, name)
    if not isinstance(parameter, Tensor):
        raise TypeError(f"{type(module).__name__}.{name} is no parameter but {parameter}: there is nothing to prune")
    if given is not None and given.shape != parameter.shape:
        raise AssertionError(
            f"importance_scores should have the same shape as parameter {name} of {module}, got {given.shape} vs "
            f"{parameter.shape}"
        )
    return (parameter if given is None else given).detach()


def _prune(module: Module, name: str, amount: float, scores: Tensor) -> Module:
    """Mask the elements of least score."""
    if not isinstance(amount, Real):
        raise TypeError(f"Invalid type for amount: {amount}. Must be int or float.")
    whole = isinstance(amount, Integral)
    if amount < 0 or not (whole or amount <= 1):
        raise ValueError(f"amount={amount} should either be a float in the range [0, 1] or a non-negative integer")
    hook = _hook(module, name)
    original = getattr(module, f"{name}_orig" if hook else name)
    mask = getattr(module, f"{name}_mask").clone() if hook else ones_like(original.detach())
    left = mask == 1
    remaining = int(left.sum())
    count = int(amount) if whole else round(amount * remaining)
    if count > remaining:
        raise ValueError(f"amount={count} should be smaller than the number of parameters to prune={remaining}")
    kept = ones_like(scores[left])
    kept[topk(scores[left], count, largest=False).indices] = 0.0
    mask[left] = kept.to(mask.dtype)
    if hook is None:
        module.register_parameter(f"{name}_orig", original)
        delattr(module, name)
        module.register_buffer(f"{name}_mask", mask)
        masking = _Mask(name)
        module.register_forward_pre_hook(masking)
    else:
        setattr(module, f"{name}_mask", mask)
        masking = hook.function
    masking(module, ())
    return module


def _hook(module: Module, name: str) -> Any:
    """The hook that prunes this parameter, or None."""
    hooks = (h for h in module._forward_pre_hooks if isinstance(h.function, _Mask) and h.function.name == name)
    return next(hooks, None)


def remove(module: Module, name: str) -> Module:
    """Make the pruned parameter an ordinary one again; what was masked stays 0. ValueError if it is not pruned.

    >>> layer = tn.nn.utils.prune.random_unstructured(tn.nn.Linear(3, 2), "weight", amount=1.0)
    >>> layer = tn.nn.utils.prune.remove(layer, "weight")
    >>> [*layer.state_dict()], layer.weight.any()
    (['bias', 'weight'], tensor(False))
    """
    hook = _hook(module, name)
    if hook is None:
        raise ValueError(f"Parameter '{name}' of module {module} has to be pruned before pruning can be removed")
    parameter = getattr(module, f"{name}_orig")
    with no_grad():
        parameter.data = hook.function.masked(module)
    module._forward_pre_hooks.remove(hook)
    for attribute in (name, f"{name}_orig", f"{name}_mask"):
        delattr(module, attribute)
    module.register_parameter(name, parameter)
    return module


def is_pruned(module: Module) -> bool:
    """Is a parameter of the module, or of one inside it, pruned?

    >>> tn.nn.utils.prune.is_pruned(tn.nn.Linear(3, 2))
    False
    """
    return any(isinstance(hook.function, _Mask) for m in module.modules() for hook in m._forward_pre_hooks)
