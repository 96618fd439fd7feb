"""Modules that hold modules: as a chain, a list or a dict."""

from __future__ import annotations

import operator
from collections import OrderedDict
from collections.abc import ItemsView, Iterable, Iterator, KeysView, ValuesView
from itertools import chain
from typing import Any, Self

from tinynet.nn.fusion import together
from tinynet.nn.module import Module


def position(index: Any, size: int) -> int:
    """index, counted from the end if negative."""
    k = operator.index(index)
    if not -size <= k < size:
        raise IndexError(f"index {k} is out of range: there are {size}")
    return k % size


def pairs(items: Any, who: str) -> Iterator[tuple[Any, Any]]:
    """(key, value) from a mapping or from an iterable of pairs."""
    if not isinstance(items, Iterable):
        got = type(items).__name__
        raise TypeError(f"{who}.update should be called with an iterable of key/value pairs, but got {got}")
    if hasattr(items, "items"):
        yield from items.items()
        return
    for k, pair in enumerate(items):
        if not isinstance(pair, Iterable):
            got = type(pair).__name__
            raise TypeError(f"{who} update sequence element #{k} should be Iterable; is {got}")
        pair = tuple(pair)
        if len(pair) != 2:
            raise ValueError(f"{who} update sequence element #{k} has length {len(pair)}; 2 is required")
        yield pair


class Identity(Module):
    """y = x. Takes and ignores any arguments: a stand-in for a layer that is switched off.

    >>> tn.nn.Identity(54)(tn.ones(2))
    tensor([1., 1.])
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Any) -> Any:
        """input, as it is."""
        return input


class _Numbered(Module):
    """What Sequential and ModuleList share: children in order, named 0, 1, ... unless given other names."""

    _modules: dict[str, Any]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._modules.values())

    def __setitem__(self, index: int, module: Module) -> None:
        setattr(self, [*self._modules][position(index, len(self))], module)

    def __delitem__(self, index: int | slice) -> None:
        kept = [*self]
        del kept[index if isinstance(index, slice) else position(index, len(self))]
        self._modules = {str(k): module for k, module in enumerate(kept)}

    def append(self, module: Module) -> Self:
        """Add a module at the end."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add several modules at the end."""
        if not isinstance(modules, Iterable):
            who, got = type(self).__name__, type(modules).__name__
            raise TypeError(f"{who}.extend should be called with an iterable, but got {got}")
        for module in list(modules):
            self.append(module)
        return self

    def _insert(self, index: int, module: Module) -> None:
        n = len(self)
        if not -n <= index <= n:
            raise IndexError(f"Index out of range: {index}")
        modules = [*self]
        modules.insert(index, module)
        self._modules = {str(k): m for k, m in enumerate(modules)}

    def pop(self, key: int | slice) -> Any:
        """Remove and return what is at key."""
        found = self[key]  # type: ignore[index]
        del self[key]
        return found


class Sequential(_Numbered):
    """x -> f_n(...f_2(f_1(x))): the modules, given as arguments or as one OrderedDict, called one after the
    other.

    >>> tn.nn.Sequential(tn.nn.Linear(2, 3), tn.nn.ReLU())
    Sequential(
      (0): Linear(in_features=2, out_features=3, bias=True)
      (1): ReLU()
    )
    """

    def __init__(self, *args: Any) -> None:
        super().__init__()
        if len(args) == 1 and isinstance(args[0], OrderedDict):
            for name, module in args[0].items():
                self.add_module(name, module)
        else:
            self.extend(args)

    def forward(self, input: Any) -> Any:
        """The last module's output."""
        layers, k = [*self._modules.values()], 0
        while k < len(layers):
            count, compute = together(layers, k, input)
            input, k = compute(input), k + count
        return input

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)(OrderedDict([*self._modules.items()][index]))
        return [*self][position(index, len(self))]

    def __add__(self, other: Sequential) -> Sequential:
        return Sequential(*self).__iadd__(other)

    def __iadd__(self, other: Sequential) -> Self:
        if not isinstance(other, Sequential):
            raise ValueError(f"add operator supports only objects of Sequential class, but {type(other)} is given.")
        return self.extend(other)

    def __mul__(self, other: int) -> Sequential:
        return Sequential(*self).__imul__(other)

    def __imul__(self, other: int) -> Self:
        if not isinstance(other, int):
            raise TypeError(f"unsupported operand type(s) for *: {type(self)} and {type(other)}")
        if other <= 0:
            raise ValueError(f"Non-positive multiplication factor {other} for {type(self)}")
        return self.extend([*self] * (other - 1))

    __rmul__ = __mul__

    def insert(self, index: int, module: Module) -> Self:
        """Put a module before the one at index; those behind move up by one."""
        if not isinstance(module, Module):
            raise AssertionError(f"module should be of type: {Module}")  # the type PyTorch raises
        self._insert(index, module)
        return self


class ModuleList(_Numbered):
    """A list whose modules are registered. It has no forward: whoever holds it says how they are used.

    >>> layers = tn.nn.ModuleList(tn.nn.Linear(2, 2) for _ in range(3))
    >>> len(list(layers.parameters()))
    6
    """

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.extend(modules)

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)([*self][index])
        return [*self][position(index, len(self))]

    def __iadd__(self, modules: Iterable[Module]) -> Self:
        return self.extend(modules)

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList(chain(self, other))

    def insert(self, index: int, module: Module) -> None:
        """Put a module before the one at index; those behind move up by one."""
        if not isinstance(module, Module):
            raise TypeError(f"{type(module).__name__} is not a Module subclass")
        self._insert(index, module)

    def __repr__(self) -> str:
        runs: list[list[Any]] = []  # [first, last, text]: equal neighbours are shown once
        for k, text in enumerate(map(repr, self)):
            if runs and runs[-1][2] == text:
                runs[-1][1] = k
            else:
                runs.append([k, k, text])
        lines = [f"({a}): {text}" if a == b else f"({a}-{b}): {b - a + 1} x {text}" for a, b, text in runs]
        inside = "".join("\n  " + line.replace("\n", "\n  ") for line in lines)
        return f"{type(self).__name__}({inside}\n)" if lines else f"{type(self).__name__}()"


class ModuleDict(Module):
    """A dict whose modules are registered, in order of insertion.

    >>> tn.nn.ModuleDict({"act": tn.nn.ReLU()})["act"]
    ReLU()
    """

    _modules: dict[str, Any]

    def __init__(self, modules: Any = None) -> None:
        super().__init__()
        if modules is not None:
            self.update(modules)

    def __getitem__(self, key: str) -> Any:
        return self._modules[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        del self._modules[key]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: object) -> bool:
        return key in self._modules

    def clear(self) -> None:
        """Remove all."""
        self._modules.clear()

    def pop(self, key: str) -> Any:
        """Remove and return the module at key."""
        return self._modules.pop(key)

    def keys(self) -> KeysView[str]:
        """The names."""
        return self._modules.keys()

    def items(self) -> ItemsView[str, Any]:
        """(name, module)."""
        return self._modules.items()

    def values(self) -> ValuesView[Any]:
        """The modules."""
        return self._modules.values()

    def update(self, modules: Any) -> None:
        """Add from a mapping or an iterable of pairs; a name that is there is given the new module."""
        for key, module in pairs(modules, "ModuleDict"):
            self[key] = module
