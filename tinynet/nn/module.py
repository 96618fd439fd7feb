"""Module: a tree of parameters, buffers and submodules, found by assignment and called like a function."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn, Self

from tinynet.autograd.modes import no_grad
from tinynet.autograd.variable import Handle
from tinynet.device import device as as_device
from tinynet.dtypes import as_dtype, float16, float32, float64
from tinynet.nn import state
from tinynet.nn.hooks import Hook, call_with_hooks, locate
from tinynet.nn.parameter import Parameter, clear_grads
from tinynet.tensor import Tensor


def _indented(text: str) -> str:
    return text.replace("\n", "\n  ")


def _no_forward(self: Module, *input: Any) -> NoReturn:
    """What the module computes, to be written by every subclass. Call the module itself, not this."""
    raise NotImplementedError(f'Module [{type(self).__name__}] is missing the required "forward" function')


class Module:
    """A layer or a model: assign parameters and other modules to attributes, and write forward(). Calling the
    module runs forward between its hooks. Keys of state_dict() are the paths of the attributes.

    >>> class Scale(tn.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.factor = tn.nn.Parameter(tn.tensor(3.0))
    ...     def forward(self, x):
    ...         return self.factor * x
    >>> Scale()(tn.tensor(2.0)).item(), [name for name, _ in Scale().named_parameters()]
    (6.0, ['factor'])
    """

    training: bool
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Module | None]
    _non_persistent_buffers_set: set[str]
    _forward_pre_hooks: list[Hook]
    _forward_hooks: list[Hook]
    _backward_hooks: list[Hook]
    forward: Callable[..., Any] = _no_forward

    def __init__(self) -> None:
        self.__dict__.update(  # not by assignment: __setattr__ looks into these very dicts
            training=True,
            _parameters={},
            _buffers={},
            _modules={},
            _non_persistent_buffers_set=set(),
            _forward_pre_hooks=[],
            _forward_hooks=[],
            _backward_hooks=[],
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            if self._forward_hooks or self._forward_pre_hooks or self._backward_hooks:
                return call_with_hooks(self, args, kwargs)
            return self.forward(*args, **kwargs)
        except Exception as error:
            locate(self, error)
            raise

    # ---- attributes
    def __getattr__(self, name: str) -> Any:
        own = self.__dict__
        for kind in ("_parameters", "_modules", "_buffers"):  # in a hurry: a layer asks for its weights at each call
            if kind in own and name in own[kind]:
                return own[kind][name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __setattr__(self, name: str, value: Any) -> None:
        parameters, buffers, modules = map(self.__dict__.get, ("_parameters", "_buffers", "_modules"))
        if isinstance(value, Parameter):
            if parameters is None:
                raise AttributeError(
                    "cannot assign parameters before Module.__init__() call: call super().__init__() first"
                )
            self._forget(name, self._buffers, self._modules)
            self.register_parameter(name, value)
        elif parameters is not None and name in parameters:
            if value is not None:
                raise TypeError(
                    f"cannot assign '{type(value).__name__}' as parameter '{name}' (tn.nn.Parameter or None "
                    f"expected): wrap it, or write {name}.data"
                )
            parameters[name] = None
        elif isinstance(value, Module):
            if modules is None:
                raise AttributeError(
                    "cannot assign module before Module.__init__() call: call super().__init__() first"
                )
            self._forget(name, self._parameters, self._buffers)
            modules[name] = value
        elif modules is not None and name in modules:
            if value is not None:
                raise TypeError(
                    f"cannot assign '{type(value).__name__}' as child module '{name}' (tn.nn.Module or None expected)"
                )
            modules[name] = None
        elif buffers is not None and name in buffers:
            if value is not None and not isinstance(value, Tensor):
                raise TypeError(
                    f"cannot assign '{type(value).__name__}' as buffer '{name}' (tn.Tensor or None expected)"
                )
            buffers[name] = value
        else:
            super().__setattr__(name, value)

    def _forget(self, name: str, *members: dict[str, Any]) -> None:
        for names in (self.__dict__, *members):
            names.pop(name, None)
        self._non_persistent_buffers_set.discard(name)

    def __delattr__(self, name: str) -> None:
        for members in (self._parameters, self._buffers, self._modules):
            if name in members:
                del members[name]
                self._non_persistent_buffers_set.discard(name)
                return
        super().__delattr__(name)

    def __dir__(self) -> list[str]:
        names = [*dir(type(self)), *self.__dict__, *self._parameters, *self._buffers, *self._modules]
        return sorted(name for name in names if not name[0].isdigit())

    # ---- registering
    def _check_name(self, kind: str, name: Any, members: str) -> None:
        if members not in self.__dict__:
            raise AttributeError(f"cannot assign {kind} before Module.__init__() call: call super().__init__() first")
        if not isinstance(name, str):
            raise TypeError(f"{kind} name should be a string. Got {type(name).__name__}")
        if hasattr(self, name) and name not in self.__dict__[members]:
            raise KeyError(f"attribute '{name}' already exists")
        if "." in name:
            raise KeyError(f'{kind} name can\'t contain ".", got: {name}')
        if not name:
            raise KeyError(f'{kind} name can\'t be empty string ""')

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """The same as `self.name = param`; None: there is no such parameter here, as bias=False."""
        self._check_name("parameter", name, "_parameters")
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(
                f"cannot assign '{type(param).__name__}' object to parameter '{name}' (tn.nn.Parameter or "
                f"None required)"
            )
        if param is not None and not param.is_leaf:
            raise ValueError(
                f"Cannot assign non-leaf Tensor to parameter '{name}'. Model parameters must be created "
                f"explicitly. To express '{name}' as a function of another Tensor, compute the value in the "
                f"forward() method."
            )
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """A tensor that belongs to the module but is not trained; part of state_dict() if persistent."""
        self._check_name("buffer", name, "_buffers")
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"cannot assign '{type(tensor).__name__}' object to buffer '{name}' (tn.Tensor or None required)"
            )
        self._buffers[name] = tensor
        (self._non_persistent_buffers_set.discard if persistent else self._non_persistent_buffers_set.add)(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """The same as `self.name = module`, for names that are no identifiers."""
        if module is not None and not isinstance(module, Module):
            remedy = ": unpack it with *" if isinstance(module, (list, tuple)) else ""
            raise TypeError(f"{type(module).__name__} is not a Module subclass{remedy}")
        self._check_name("module", name, "_modules")
        self._modules[name] = module

    def register_module(self, name: str, module: Module | None) -> None:
        """Another name for add_module."""
        self.add_module(name, module)

    # ---- walking the tree
    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """(path, module) for this module and all below it, parents first, each once."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, child in self._modules.items():
            if child is not None:
                yield from child.named_modules(memo, f"{prefix}.{name}" if prefix else name, remove_duplicate)

    def modules(self, remove_duplicate: bool = True) -> Iterator[Module]:
        """This module and all below it."""
        for _, module in self.named_modules(remove_duplicate=remove_duplicate):
            yield module

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """(name, module) for the modules directly below."""
        seen: set[Module] = set()
        for name, child in self._modules.items():
            if child is not None and child not in seen:
                seen.add(child)
                yield name, child

    def children(self) -> Iterator[Module]:
        """The modules directly below."""
        for _, child in self.named_children():
            yield child

    def _named_members(
        self, members: str, prefix: str, recurse: bool, remove_duplicate: bool
    ) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        modules = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate) if recurse else [(prefix, self)]
        for path, module in modules:
            for name, value in module.__dict__[members].items():
                if value is None or id(value) in seen:
                    continue
                if remove_duplicate:
                    seen.add(id(value))
                yield f"{path}.{name}" if path else name, value

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """(path, parameter); one that is shared appears once, under its first path."""
        return self._named_members("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters, each once: what an optimizer is given."""
        for _, parameter in self.named_parameters(recurse=recurse):
            yield parameter

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """(path, buffer)."""
        return self._named_members("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """The buffers, each once."""
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

    def get_submodule(self, target: str) -> Module:
        """The module at a path like "layers.3"; AttributeError if there is none."""
        module = self
        for name in target.split(".") if target else ():
            if not hasattr(module, name):
                raise AttributeError(f"{type(module).__name__} has no attribute `{name}`")
            module = getattr(module, name)
            if not isinstance(module, Module):
                raise AttributeError(f"`{name}` is not an nn.Module")
        return module

    def get_parameter(self, target: str) -> Parameter:
        """The parameter at a path like "layers.3.weight"; AttributeError if there is none."""
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        if not hasattr(module, name):
            raise AttributeError(f"{type(module).__name__} has no attribute `{name}`")
        parameter = getattr(module, name)
        if not isinstance(parameter, Parameter):
            raise AttributeError(f"`{name}` is not an nn.Parameter")
        return parameter

    # ---- saving and loading
    def state_dict(self, *, destination: Any = None, prefix: str = "", keep_vars: bool = False) -> Any:
        """An ordered dict from path to tensor: parameters and persistent buffers. They share the module's
        memory; with keep_vars they are the module's own tensors.

        >>> list(tn.nn.Linear(2, 1).state_dict())
        ['weight', 'bias']
        """
        found = OrderedDict() if destination is None else destination
        found.update((key, t if keep_vars else t.detach()) for key, _, _, t in state.entries(self, prefix))
        return found

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> state.IncompatibleKeys:
        """Copy the values in (assign: take the tensors themselves). All is checked first: one RuntimeError
        lists every missing and unexpected key (if strict) and every mismatch of shape, and nothing has been
        loaded."""
        return state.load(self, state_dict, strict, assign)

    # ---- training, moving, converting
    def train(self, mode: bool = True) -> Self:
        """Tell this module and all below it that they are being trained: dropout, say, heeds it."""
        if not isinstance(mode, bool):
            raise ValueError(f"training mode is expected to be boolean, got {mode!r}")
        self.training = mode
        for child in self.children():
            child.train(mode)
        return self

    def eval(self) -> Self:
        """train(False)."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Freeze (False) or unfreeze all parameters."""
        for p in self.parameters():
            p.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters."""
        clear_grads(self.parameters(), set_to_none)

    def apply(self, fn: Callable[[Module], None]) -> Self:
        """Call fn on every module below, then on this one: to initialise, say."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def _apply(self, fn: Callable[[Tensor], Tensor]) -> Self:
        for child in self.children():
            child._apply(fn)
        with no_grad():
            for p in self._parameters.values():
                if p is not None:
                    p_grad = p.grad
                    p.data = fn(p.detach())
                    p.grad = p_grad if p_grad is None else fn(p_grad)
            for name, buffer in self._buffers.items():
                if buffer is not None:
                    self._buffers[name] = fn(buffer)
        return self

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """to(device), to(dtype), to(device, dtype) or to(tensor): move everything, convert what is
        floating-point. In place. TypeError for a dtype that is not floating-point.

        >>> tn.nn.Linear(2, 1).to(tn.float64).weight.dtype
        dtype('float64')
        """
        device, dtype = kwargs.pop("device", None), kwargs.pop("dtype", None)
        kwargs.pop("non_blocking", None)
        for a in args:
            if isinstance(a, Tensor):
                device, dtype = a.device, a.dtype
            elif isinstance(a, (str, as_device)):
                device = a
            elif a is not None and not isinstance(a, bool):  # a bool is non_blocking
                dtype = a
        if kwargs:
            raise TypeError(f"to() got an unexpected keyword argument '{next(iter(kwargs))}'")
        dtype = None if dtype is None else as_dtype(dtype)
        if dtype is not None and dtype.kind != "f":
            raise TypeError(f"nn.Module.to only accepts floating point dtypes, but got desired dtype={dtype}")
        device = None if device is None else as_device(device)
        return self._apply(lambda t: t.to(device or t.device, dtype if dtype and t.dtype.kind == "f" else t.dtype))

    def cpu(self) -> Self:
        """Move everything to the CPU."""
        return self.to("cpu")

    def cuda(self, device: int | Any = None) -> Self:
        """Move everything to a GPU. RuntimeError if there is none."""
        return self.to(as_device("cuda" if device is None else device))

    def half(self) -> Self:
        """to(float16)."""
        return self.to(float16)

    def float(self) -> Self:
        """to(float32)."""
        return self.to(float32)

    def double(self) -> Self:
        """to(float64)."""
        return self.to(float64)

    # ---- hooks
    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> Handle:
        """Before forward call hook(module, args), or with_kwargs hook(module, args, kwargs) -> (args,
        kwargs); what it returns, if not None, replaces the arguments."""
        return _register(self._forward_pre_hooks, Hook(hook, with_kwargs), prepend)

    def register_forward_hook(
        self,
        hook: Callable[..., Any],
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> Handle:
        """After forward call hook(module, args, [kwargs,] output); what it returns, if not None, replaces the
        output. always_call: also if forward raises.

        >>> layer = tn.nn.Flatten()
        >>> handle = layer.register_forward_hook(lambda module, args, output: print(output.shape))
        >>> y = layer(tn.zeros(2, 3, 4))
        (2, 12)
        """
        return _register(self._forward_hooks, Hook(hook, with_kwargs, always_call), prepend)

    def register_full_backward_hook(self, hook: Callable[..., Any], prepend: bool = False) -> Handle:
        """In backward call hook(module, grad_input, grad_output), tuples with None where there is no
        gradient; what it returns, if not None, replaces grad_input."""
        return _register(self._backward_hooks, Hook(hook), prepend)

    # ---- showing
    def extra_repr(self) -> str:
        """What repr() says of the module itself, as "in_features=2"; to be overridden."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        children = [f"({name}): {_indented(repr(child))}" for name, child in self._modules.items()]
        lines = [*(extra.split("\n") if extra else ()), *children]
        if not children and len(lines) <= 1:
            return f"{type(self).__name__}({extra})"
        return f"{type(self).__name__}(\n  " + "\n  ".join(lines) + "\n)"


def _register(hooks: list[Hook], hook: Hook, prepend: bool) -> Handle:
    hooks.insert(0 if prepend else len(hooks), hook)
    return Handle(hooks, hook)
