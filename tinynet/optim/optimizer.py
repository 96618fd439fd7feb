"""What optimizers share: groups of parameters with their options, and state that can be saved."""

from __future__ import annotations

import copy
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from reprlib import repr as brief
from typing import Any

from numpy import ndarray

from tinynet.autograd.modes import enable_grad
from tinynet.autograd.writes import writes
from tinynet.device import beside
from tinynet.dtypes import Array
from tinynet.errors import MissingZeroGrad
from tinynet.kinds import check_kind, check_known, count, number
from tinynet.nn.parameter import clear_grads
from tinynet.nvidia import recording
from tinynet.optim._options import counter
from tinynet.tensor import Tensor

HIGHEST = {"step": 2.0**63, "mu_product": 1.0}  # numbers that an optimizer keeps of a parameter

class Optimizer:
    """The base class. `params` is an iterable of tensors, of (name, tensor), or of dicts {"params": ...,
    option: ...} that override `defaults`. A subclass writes `_update(param, grad, state, group)` on raw
    arrays, and may say what state a parameter begins with (`_new_state`) and which options fit (`_check_options`).

    >>> w = tn.ones(2, requires_grad=True)
    >>> tn.optim.SGD([{"params": [w], "lr": 0.5}], lr=0.1).param_groups[0]["lr"]
    0.5
    """

    _opt_called = False  # whether step() was: a schedule wants to know

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        if isinstance(params, Tensor):
            raise TypeError(
                "params argument given to the optimizer should be an iterable of Tensors or dicts, but got a "
                "Tensor: write [tensor]"
            )
        self._check_options(defaults)
        self.defaults = defaults
        self.state: defaultdict[Any, dict[str, Any]] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        if not isinstance(params, Iterable):
            remedy = ": write model.parameters()" if hasattr(params, "parameters") else ""
            raise TypeError(
                "params argument given to the optimizer should be an iterable of Tensors or dicts, but got "
                f"{type(params).__name__}{remedy}"
            )
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        for group in groups if isinstance(groups[0], dict) else [{"params": groups}]:
            self.add_param_group(group)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters with options of their own, as when layers are unfrozen during training."""
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        if "params" not in param_group:
            raise KeyError(f"param_group has no 'params', the tensors that its options are for: {[*param_group]}")
        params = param_group["params"]
        if isinstance(params, set):
            raise TypeError(
                "optimizer parameters need to be organized in ordered collections, but the ordering of "
                "tensors in sets will change between runs. Please use a list instead."
            )
        entries = [params] if isinstance(params, Tensor) else list(params)
        names = [entry[0] for entry in entries if isinstance(entry, tuple)]
        params = [entry[1] if isinstance(entry, tuple) else entry for entry in entries]
        if names and len(names) != len(params):
            raise ValueError("all optimizer params should be with/without names. Some param names are missing")
        for p in params:
            if not isinstance(p, Tensor):
                raise TypeError(f"optimizer can only optimize Tensors, but one of the params is {type(p).__name__}")
            if not p.is_leaf:
                raise ValueError(
                    "can't optimize a non-leaf Tensor: give the tensor it was computed from, or detach() it"
                )
            if any(step == 0 and n > 1 for step, n in zip(p.stride(), p.shape, strict=True)) and p.numel():
                raise RuntimeError(
                    f"a parameter of shape {p.shape} was expanded: several of its elements are one in memory "
                    "and cannot be changed apart; clone() it first"
                )
        if len({id(p) for p in params}) != len(params):
            warnings.warn(
                "optimizer contains a parameter group with duplicate parameters; in future, this will cause an error",
                stacklevel=3,
            )
        for group in self.param_groups:
            if bool(names) != ("param_names" in group):
                raise ValueError(
                    "all optimizer param groups should be with/without names. cannot add param group "
                    f"{'with names' if names else 'without names'} to the optimizer"
                )
            if {id(p) for p in params} & {id(p) for p in group["params"]}:
                raise ValueError("some parameters appear in more than one parameter group")
        param_group["params"] = params
        if names:
            param_group["param_names"] = names
        for option, default in self.defaults.items():
            param_group.setdefault(option, default)
        self.param_groups.append(param_group)

    # ---- the step
    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters, before the next backward()."""
        for group in self.param_groups:
            clear_grads(group["params"], set_to_none)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient. closure computes the gradients anew; its loss is
        returned. Warns (MissingZeroGrad) of gradients that were used before and not cleared, but added to."""
        self._opt_called = True
        if recording.now.tape is not None:
            recording.now.tape.optimizers[self] = [group["lr"] for group in self.param_groups]
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        for group in self.param_groups:
            params = [p for p in group["params"] if p.gradient is not None]
            if params:
                if writes.use(params[0].gradient.array):
                    warnings.warn(
                        "backward() added to the gradients of the step before: call optimizer.zero_grad() before each "
                        "backward()",
                        MissingZeroGrad,
                        stacklevel=2,
                    )
                for some in _by_device(params):
                    with beside(some[0].array):
                        self._update_all(some, group)
            writes.record(*[p.array for p in params])
        return loss

    def _update_all(self, params: list[Any], group: dict[str, Any]) -> None:
        """Update parameters of a group, all of which have gradients: one by one, unless a subclass has a kernel that
        does it at once."""
        recording.only_eager(f"{type(self).__name__} computes numbers on the processor at each step: of tinynet's "
                             "optimizers Adam, AdamW and SGD can be recorded")
        for p in params:
            self._update(p.array, p.grad.array, self.state[p], group)

    def _update(self, w: Array, g: Array, state: dict[str, Any], group: dict[str, Any]) -> None:
        """Change the array w in place, given its gradient g (not to be written to) and the state of earlier
        steps."""
        raise NotImplementedError(f"{type(self).__name__} has no update")

    def _new_state(self, w: Array, group: dict[str, Any]) -> dict[str, Any]:
        """The state of a parameter w of the group before its first step."""
        return {}

    def _check_options(self, options: Mapping[str, Any]) -> None:
        """TypeError or ValueError for options that are none; only the sign of lr is not looked at, as a schedule may
        bring it to 0 and, by rounding, below."""

    # ---- saving and loading
    def state_dict(self) -> dict[str, Any]:
        """{"state": {number: {name: value}}, "param_groups": [{"params": [number, ...], option: value}]},
        where parameters are numbered in the order of the groups. The tensors are the optimizer's own: clone
        them to keep what they are now."""
        params = chain.from_iterable(group["params"] for group in self.param_groups)
        number = {id(p): k for k, p in enumerate(params)}
        return {
            "state": {number.get(id(p), p): state for p, state in self.state.items()},
            "param_groups": [
                {**group, "params": [number[id(p)] for p in group["params"]]} for group in self.param_groups
            ],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from where another optimizer of the same layout stood: its options (those it has not stay as they are)
        and a copy of its state, in the dtype and on the device of the parameters. ValueError, TypeError or KeyError,
        and nothing is loaded, if the layout differs, or something in it can be no option or state of this optimizer."""
        check_kind("the optimizer's state_dict", state_dict, {"state": {}, "param_groups": [{"params": [0]}]})
        groups, saved = self.param_groups, state_dict["param_groups"]
        if len(groups) != len(saved):
            raise ValueError(
                f"loaded state dict has a different number of parameter groups: {len(saved)}, the optimizer "
                f"has {len(groups)}"
            )
        owner: dict[int, tuple[Any, dict[str, Any]]] = {}
        loaded = []
        for k, (group, new) in enumerate(zip(groups, saved, strict=True)):
            if len(group["params"]) != len(new["params"]):
                raise ValueError(
                    "loaded state dict contains a parameter group that doesn't match the size of optimizer's "
                    f"group: {len(new['params'])} parameters in group {k}, here {len(group['params'])}"
                )
            where = f"param_groups[{k}]"
            check_known(where, new, {**group, "params": [0]})
            loaded.append({**group, **copy.deepcopy(dict(new)), "params": group["params"]})
            self._check_options(loaded[-1])
            numbers = [count(f"{where}['params']", n) for n in new["params"]]
            owner.update((n, (p, loaded[-1])) for n, p in zip(numbers, group["params"], strict=True))
        state: defaultdict[Any, dict[str, Any]] = defaultdict(dict)
        for n, values in state_dict["state"].items():
            if n in owner:
                state[owner[n][0]] = self._adopted(f"state[{n}]", values, *owner[n])
            elif not isinstance(n, (str, Tensor)):
                raise ValueError(f"state[{n}] is of no parameter: those of param_groups are {brief([*owner])}")
            else:  # what an optimizer keeps beside that of its parameters
                state[n] = copy.deepcopy(values)
        self.state, self.param_groups = state, loaded

    def _adopted(self, where: str, values: Any, p: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        """A copy of the state that was saved of a parameter, fit for it."""
        check_kind(where, values, self._new_state(p.array, group) if values else {})
        return {name: _fitted(f"{where}[{name!r}]", value, name, p) for name, value in values.items()}

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for k, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {k}")
            lines.extend(f"    {option}: {group[option]}" for option in sorted(group) if option != "params")
        return "\n".join([*lines, ")"])


def _by_device(params: list[Any]) -> list[list[Any]]:
    """The parameters, those on one device together."""
    if {type(p.array) for p in params} == {ndarray}:
        return [params]
    places = dict.fromkeys(p.device for p in params)
    return [[p for p in params if p.device == place] for place in places]


def _fitted(where: str, value: Any, name: str, p: Tensor) -> Any:
    """A copy of one thing of the state of a parameter, fit for it."""
    if name in HIGHEST:
        if not 0 <= number(where, value) <= HIGHEST[name]:
            raise ValueError(f"{where} must be a number from 0 to {HIGHEST[name]:g}, got {brief(value)}")
        if not isinstance(value, Tensor) or value.dtype.kind != "f":
            value = counter(number(where, value))
        value = value.detach().clone().cpu().reshape(())  # each step reads it
        return value if name == "step" else value.to(p.dtype)
    if not isinstance(value, Tensor):
        return copy.deepcopy(value)
    if value.ndim and value.shape != p.shape:
        raise ValueError(
            f"loaded state dict contains {name} of shape {value.shape} for a parameter of shape {p.shape}"
        )
    return value.detach().clone().to(p.device, p.dtype)
