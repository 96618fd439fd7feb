"""What the engine knows of a tensor: its array, its place in the graph, its gradient, and what it is a view of.

`tinynet.tensor.Tensor` is the subclass users meet; it is entered here as `public`, so that lower rooms can make one.
"""
from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from tinynet.autograd.graph import Leaf, Place
from tinynet.autograd.modes import enable_grad, modes
from tinynet.autograd.writes import owner
from tinynet.device import settle
from tinynet.dtypes import Array


class Variable:
    """An array, and the place where its gradient gathers (None: it needs none)."""

    __slots__ = ("__weakref__", "array", "base", "gradient", "of", "path", "place")
    array: Array
    place: Place
    gradient: Any
    base: Any  # the tensor that owns the memory, if this is a view; then path and of hold
    path: Any  # the steps from base to here; None if nobody recorded them
    of: Place  # where base stood when this view was last brought up to date
    public: Any = None  # the class of tensors: Tensor, as soon as it exists

    def __init__(self, array: Array, place: Place = None) -> None:
        self.array, self.place, self.gradient, self.base = array, place, None, None

    # ---- views: (base, path) say how this memory is reached from the tensor that owns it
    def follow(self, source: Variable, step: tuple[Any, ...], blind: bool) -> None:
        """Remember how this view is reached. blind: made under no_grad from a tensor that is tracked."""
        if owner(self.array) is not owner(source.array):
            return  # a copy after all
        self.base = source if source.base is None else source.base
        self.path = None if blind else (step,) if source.base is None else source.path and (*source.path, step)
        self.of = self.base.place

    def refresh(self) -> Place:
        """The place, brought up to date: a view follows its base, so if that was given a new history by a write
        through another view, the path is replayed from it."""
        base = self.base
        while base is not None and base.base is not None:  # it was given another shape in place
            base = self.base = base.base
        if base is not None and self.path and self.of is not base.place and not isinstance(base.place, Leaf):
            self.of = base.place
            with enable_grad():
                self.move(replay(base, self.path).place)
        return self.place

    def move(self, place: Place) -> None:
        """Stand at a new place, after a write in place; what keeps this tensor's gradient moves along."""
        old, self.place = self.place, place
        kept = [entry for entry in (old.hooks or ()) if entry[0]] if old is not None else []
        if kept and place is not None:
            old.hooks = [entry for entry in old.hooks if not entry[0]]
            place.hooks = [*(place.hooks or ()), *kept]

    # ---- leaves and hooks
    def track(self) -> None:
        """Make this a leaf whose gradient is wanted."""
        if self.array.dtype.kind != "f":
            raise RuntimeError(f"only Tensors of floating point dtype can require gradients, not {self.array.dtype}; "
                               f"convert it first, e.g. x.float()")
        if self.place is None:
            self.place = Leaf(self)

    def add_hook(self, hook: Callable[[Any], Any], last: bool = False) -> Handle:
        """Call hook(gradient) when the gradient of this tensor is complete; what it returns replaces it."""
        place = self.refresh()
        if place is None:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        entry = (last, hook)
        place.hooks = sorted([*(place.hooks or ()), entry], key=lambda e: e[0])
        return Handle(place.hooks, entry, place)

    def keep_gradient(self) -> None:
        """Fill the gradient of this tensor, though it is no leaf, after its hooks have run."""
        me = weakref.ref(self)  # the graph must not hold its tensors

        def keep(g: Variable) -> None:
            tensor = me()
            if tensor is not None:
                tensor.gradient = wrap(g.array.copy(), g.place)
        self.add_hook(keep, last=True)


class Handle:
    """What registering a hook returns: `remove()` takes the hook away again."""

    def __init__(self, hooks: Any, entry: Any, place: Place = None) -> None:
        self._hooks, self._entry, self._place = hooks, entry, place

    def remove(self) -> None:
        """Take the hook away; a second call does nothing."""
        hooks = self._place.hooks if self._place is not None else self._hooks
        if hooks and self._entry in hooks:
            hooks.remove(self._entry)

    def __enter__(self) -> Handle:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()


def wrap(array: Array, place: Place = None) -> Any:
    """A tensor of this array."""
    return Variable.public(settle(array), place)


def raw(a: Any) -> Any:
    """The array of a tensor; anything else as it is."""
    return a.array if isinstance(a, Variable) else a


def replay(x: Any, path: tuple[Any, ...]) -> Any:
    """x seen through a path of views: each step an op, its options, and which of its outputs."""
    for op, options, k in path:
        x = op(x, **options)
        x = x if k is None else x[k]
    return x


def recording() -> bool:
    """Whether this thread records ops."""
    return modes.record is not None
