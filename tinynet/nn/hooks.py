"""What happens around a module's forward: hooks, and the module's path in the errors that leave it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tinynet.autograd.function import Function
from tinynet.autograd.modes import is_grad_enabled
from tinynet.tensor import Tensor

if TYPE_CHECKING:
    from tinynet.nn.module import Module


class Hook:
    """One registration: the function and how it wants to be called. Equal only to itself."""

    __slots__ = ("always_call", "function", "with_kwargs")

    def __init__(self, function: Callable[..., Any], with_kwargs: bool = False, always_call: bool = False) -> None:
        self.function, self.with_kwargs, self.always_call = function, with_kwargs, always_call


def call_with_hooks(module: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """forward, between what the module's hooks do to its arguments, its result and their gradients."""
    result, called = None, set()
    try:
        for pre in tuple(module._forward_pre_hooks):
            args, kwargs = _before(pre, module, args, kwargs)
        watcher = _GradWatcher(module) if module._backward_hooks else None
        if watcher:
            args = watcher.inputs(args)
        result = module.forward(*args, **kwargs)
        for hook in tuple(module._forward_hooks):
            called.add(hook)
            result = _after(hook, module, args, kwargs, result)
        return watcher.outputs(result) if watcher else result
    except Exception:
        for hook in module._forward_hooks:
            if hook.always_call and hook not in called:
                try:
                    result = _after(hook, module, args, kwargs, result)
                except Exception as second:
                    warnings.warn(
                        "module forward hook with ``always_call=True`` raised an exception that was silenced "
                        f"as another error was raised in forward: {second}",
                        stacklevel=3,
                    )
        raise


def _before(hook: Hook, module: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if not hook.with_kwargs:
        new = hook.function(module, args)
        return (args if new is None else new if isinstance(new, tuple) else (new,)), kwargs
    new = hook.function(module, args, kwargs)
    if new is None:
        return args, kwargs
    if not isinstance(new, tuple) or len(new) != 2:
        raise RuntimeError(f"forward pre-hook must return None or a tuple of (new_args, new_kwargs), but got {new}.")
    return new


def _after(hook: Hook, module: Module, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> Any:
    new = hook.function(module, args, kwargs, result) if hook.with_kwargs else hook.function(module, args, result)
    return result if new is None else new


# ---- gradients on their way through a module
class _Gate(Function):
    """The identity on several tensors at once: one node, so its backward sees all their gradients together.
    The tensors are copied: a module that works in place must not write into what the user holds."""

    @staticmethod
    def forward(ctx: Any, see: Callable[..., Any], materialize: bool, *tensors: Tensor) -> Any:
        ctx.see = see
        ctx.set_materialize_grads(materialize)
        outs = tuple(t.clone() for t in tensors)
        ctx.mark_non_differentiable(*(o for t, o in zip(tensors, outs, strict=True) if not t.requires_grad))
        return outs

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return None, None, *ctx.see(grads)


class _GradWatcher:
    """Two gates, around the arguments and around the result. In backward the latter is met first and notes
    the gradient of the result; the other then calls hook(module, grad_input, grad_output)."""

    def __init__(self, module: Module) -> None:
        self.module, self.hooks = module, tuple(module._backward_hooks)
        self.grad_output: tuple[Any, ...] | None = None

    def inputs(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments, behind a gate."""
        self.arity = len(args)
        args, self.inner = _through_gate(args, self._see_inputs, True)
        return args

    def outputs(self, result: Any) -> Any:
        """The result, behind a gate."""
        if not isinstance(result, (Tensor, tuple)):
            warnings.warn(
                "For backward hooks to be called, module output should be a Tensor or a tuple of Tensors but "
                f"received {type(result)}",
                stacklevel=3,
            )
            return result
        several = result if isinstance(result, tuple) else (result,)
        self.results = len(several)
        gated, self.outer = _through_gate(several, self._see_outputs, False)
        if not isinstance(result, tuple):
            return gated[0]
        return type(result)(*gated) if hasattr(result, "_fields") else gated

    def _see_outputs(self, grads: tuple[Any, ...]) -> tuple[Any, ...]:
        self.grad_output = _spread(self.outer, grads, self.results)
        if not self.inner:
            warnings.warn(
                "Full backward hook is firing when gradients are computed with respect to module outputs "
                "since no inputs require gradients.",
                stacklevel=2,
            )
            self._call_hooks((None,) * self.arity)
        return grads

    def _see_inputs(self, grads: tuple[Any, ...]) -> tuple[Any, ...]:
        if self.grad_output is None:  # the gradient did not come through the result
            return grads
        changed = self._call_hooks(_spread(self.inner, grads, self.arity))
        return tuple(changed[k] for k in self.inner)

    def _call_hooks(self, grad_input: tuple[Any, ...]) -> tuple[Any, ...]:
        grad_output, self.grad_output = self.grad_output, None
        for hook in self.hooks:
            new = hook.function(self.module, grad_input, grad_output)
            if new is None:
                continue
            new = new if isinstance(new, (tuple, list)) else (new,)
            if not self.inner and any(g is not None for g in new):
                raise RuntimeError(
                    "Backward hook for Modules where no input requires gradient should always return "
                    "None or None for all gradients."
                )
            if len(new) != len(grad_input):
                raise RuntimeError(
                    f"Backward hook returned an invalid number of grad_input, got {len(new)}, but "
                    f"expected {len(grad_input)}"
                )
            grad_input = tuple(new)
        return grad_input


def _through_gate(
    values: tuple[Any, ...], see: Callable[..., Any], materialize: bool
) -> tuple[tuple[Any, ...], list[int]]:
    """The values, with the tensors among them behind one gate, and where those stand. No gate if none
    requires grad."""
    at = [k for k, t in enumerate(values) if isinstance(t, Tensor)]
    if not is_grad_enabled() or not any(values[k].requires_grad for k in at):
        return values, []
    gated = dict(zip(at, _Gate.apply(see, materialize, *(values[k] for k in at)), strict=True))
    return tuple(gated.get(k, v) for k, v in enumerate(values)), at


def _spread(positions: list[int], grads: tuple[Any, ...], n: int) -> tuple[Any, ...]:
    """The gradients at their positions among n, None elsewhere."""
    at = dict(zip(positions, grads, strict=True))
    return tuple(at.get(k) for k in range(n))


# ---- errors
def locate(module: Module, error: Exception) -> None:
    """Note on an error where in the model it was raised: "in module model.3 (Linear(...))".

    Every module the error passes on its way out calls this, so the note's path grows by a name at each
    level."""
    inner, path, what, note = getattr(error, "_raised_in", (module, "", "", ""))
    if inner is not module:
        step = next((name for name, m in module.named_modules() if m is inner), type(inner).__name__)
        path = f".{step}{path}"
    what = what or f"{type(module).__name__}({' '.join(module.extra_repr().split())})"
    notes = getattr(error, "__notes__", [])
    if note in notes:
        notes.remove(note)
    note = f"in module model{path} ({what})" if path else f"in module {what}"
    error.add_note(note)
    error._raised_in = module, path, what, note  # type: ignore[attr-defined]
