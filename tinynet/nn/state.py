"""state_dict: a module's tensors by the path of their attributes, out and in again."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from tinynet.autograd.modes import no_grad
from tinynet.nn.parameter import Parameter
from tinynet.tensor import Tensor

if TYPE_CHECKING:
    from tinynet.nn.module import Module


class IncompatibleKeys(namedtuple("IncompatibleKeys", "missing_keys unexpected_keys")):
    """What load_state_dict returns."""

    __slots__ = ()

    def __repr__(self) -> str:
        return super().__repr__() if any(self) else "<All keys matched successfully>"


def entries(module: Module, prefix: str = "") -> Iterator[tuple[str, Module, str, Tensor]]:
    """(key, owner, name, tensor) for all that a state_dict holds, a shared tensor at each of its places."""
    for name, value in (*module._parameters.items(), *module._buffers.items()):
        if value is not None and name not in module._non_persistent_buffers_set:
            yield prefix + name, module, name, value
    for name, child in module._modules.items():
        if child is not None:
            yield from entries(child, f"{prefix}{name}.")


def load(module: Module, state_dict: Mapping[str, Any], strict: bool, assign: bool) -> IncompatibleKeys:
    """Module.load_state_dict: check everything, then copy."""
    if not isinstance(state_dict, Mapping):
        raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
    places = list(entries(module))
    missing = [key for key, *_ in places if key not in state_dict]
    unexpected = _in_tree_order(module, state_dict.keys() - {key for key, *_ in places}, state_dict)
    errors, fitting = [], []
    for key, owner, name, own in places:
        value = state_dict.get(key, own)
        if not isinstance(value, Tensor):
            errors.append(
                f'While copying the parameter named "{key}", expected tn.Tensor from checkpoint but received '
                f"{type(value)}"
            )
            continue
        if not own.shape and value.shape == (1,):
            value = value[0]
        if value.shape != own.shape:
            errors.append(
                f"size mismatch for {key}: copying a param with shape {value.shape} from checkpoint, the "
                f"shape in current model is {own.shape}."
            )
        if value is not own:
            fitting.append((owner, name, own, value))
    if strict and unexpected:
        errors.insert(0, f"Unexpected key(s) in state_dict: {_quoted(unexpected)}. ")
    if strict and missing:
        errors.insert(0, f"Missing key(s) in state_dict: {_quoted(missing)}. ")
    if errors:
        text = "\n\t".join(errors)
        raise RuntimeError(f"Error(s) in loading state_dict for {type(module).__name__}:\n\t{text}")
    for owner, name, own, value in fitting:
        if assign:
            setattr(owner, name, Parameter(value, own.requires_grad) if isinstance(own, Parameter) else value)
        else:
            with no_grad():
                own.copy_(value)
    return IncompatibleKeys(missing, unexpected)


def _quoted(keys: list[str]) -> str:
    return ", ".join(f'"{key}"' for key in keys)


def _in_tree_order(module: Module, keys: set[str], state_dict: Mapping[str, Any]) -> list[str]:
    """The keys in the order of the modules they lead to; within one, in the order of the state_dict."""
    if not keys:
        return []
    order = {path: k for k, (path, _) in enumerate(module.named_modules(remove_duplicate=False))}

    def deepest_module(key: str) -> int:
        path = key.rpartition(".")[0]
        while path not in order:
            path = path.rpartition(".")[0]
        return order[path]

    return sorted((key for key in state_dict if key in keys), key=deepest_module)
