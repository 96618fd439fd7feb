"""The graph that a forward pass leaves behind.

A *place* is where a gradient gathers: a Leaf, a Node, or one output (Pick) of a node that has several; if all but the
first are hidden (the op is `lone`), the first one's place is the node. A tensor that requires grad points to its place;
a place points to the places of its inputs and to the arrays its rules named. Nothing points from a place back to a
tensor, so there are no cycles: when the last tensor dies, the graph dies with it.
"""
from __future__ import annotations

import linecache
import os
import sys
import weakref
from collections.abc import Iterable
from operator import attrgetter
from typing import Any

from tinynet.autograd.writes import tick
from tinynet.device import backend

Place = Any  # Leaf | Node | Pick
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_RECIPES = os.path.join(_PACKAGE, "recipes", "")


def user_line() -> str:
    """The innermost line outside this package, or in a recipe: what the user wrote, or runs as it is."""
    frame: Any = sys._getframe(1)
    while frame is not None and _is_ours(frame.f_code.co_filename):
        frame = frame.f_back
    if frame is None:
        return "?"
    file, number = frame.f_code.co_filename, frame.f_lineno
    return f"{file}:{number}: {linecache.getline(file, number).strip()}"


def _is_ours(file: str) -> bool:
    return file.startswith(_PACKAGE) and not file.startswith(_RECIPES)


class Leaf:
    """The place of a tensor the user made: its gradient is kept in the tensor's `.grad`."""

    __slots__ = ("dtype", "hooks", "seq", "shape", "tensor")
    inputs: tuple[Place, ...] = ()
    next_functions: tuple[tuple[Place, int], ...] = ()

    def __init__(self, tensor: Any) -> None:
        self.seq, self.shape, self.dtype, self.hooks = tick(), tensor.array.shape, tensor.array.dtype, None
        self.tensor = weakref.ref(tensor)

    def name(self) -> str:
        """PyTorch's name for this kind of place."""
        return "AccumulateGrad"


class Node:
    """One recorded op: where its inputs' gradients go, and what its rules named. Never its outputs' tensors.

    `args` holds, for each argument, the array, its shape or None, as the rules asked (a tuple if no array is held);
    `out` the output, or a tuple with an entry for each; `shape` and `dtype` describe the output(s) that are shown."""

    __slots__ = ("args", "dtype", "hooks", "inputs", "op", "options", "out", "pick_hooks", "seq", "shape")
    stack: str | None = None  # the user's line, where traced
    pick_hooks: dict[int, Any]  # only where an output of several has hooks
    made: str | None = None

    def __init__(self, op: Any, inputs: Any, args: Any, out: Any, options: Any, shape: Any, dtype: Any) -> None:
        self.seq = tick()
        self.op, self.inputs, self.args, self.out, self.options = op, inputs, args, out, options
        self.shape, self.dtype, self.hooks = shape, dtype, None

    def name(self) -> str:
        """PyTorch's name for the op's backward: 'MulBackward0'."""
        return "".join(part.capitalize() for part in self.op.name.split("_")) + "Backward0"

    @property
    def next_functions(self) -> tuple[tuple[Place, int], ...]:
        """The places this op's gradients go to, each with the number of the output it is (as PyTorch's)."""
        return tuple((p.node, p.index) if type(p) is Pick else (p, 0) for p in self.inputs)

    def __repr__(self) -> str:
        return f"<{self.name()}>"


class TracedNode(Node):
    """A node recorded under detect_anomaly: it also knows the user's line, and whether its op made the first
    nan or inf (`made`): a non-finite result of finite arguments."""

    __slots__ = ("made", "stack")

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.stack, self.made = user_line(), None

    def watch(self, arguments: Iterable[Any], outputs: Iterable[Any]) -> None:
        """Note whether the op made a nan or inf out of finite arguments (all given as arrays and numbers)."""
        results = _floats(outputs)
        if all(map(_finite, results)) or not all(map(_finite, _floats(arguments))):
            return
        self.made = "nan" if any((a != a).any() for a in results) else "inf"


def _finite(a: Any) -> bool:
    return bool(backend(a).isfinite(a).all())


def _floats(values: Iterable[Any]) -> list[Any]:
    return [a for a in values if isinstance(a, float) or (hasattr(a, "dtype") and a.dtype.kind == "f")]


class Pick:
    """One output of a node with several. Any two of the same output are equal, and share their hooks: a node must not
    point to its picks."""

    __slots__ = ("dtype", "index", "node", "seq", "shape")

    def __init__(self, node: Node, index: int) -> None:
        self.seq, self.node, self.index = node.seq + 0.5, node, index
        if node.op.lone:
            self.shape, self.dtype = node.out[index].shape, node.out[index].dtype
        else:
            self.shape, self.dtype = node.shape[index], node.dtype[index]

    def __eq__(self, other: object) -> bool:
        return type(other) is Pick and self.node is other.node and self.index == other.index

    def __hash__(self) -> int:
        return id(self.node) + self.index

    @property
    def hooks(self) -> Any:
        """The hooks on the gradient of this output."""
        return getattr(self.node, "pick_hooks", {}).get(self.index)

    @hooks.setter
    def hooks(self, new: Any) -> None:
        self.node.pick_hooks = {**getattr(self.node, "pick_hooks", {}), self.index: new}

    @property
    def inputs(self) -> tuple[Place, ...]:
        """The node alone: a gradient that gathers here goes to its rules."""
        return (self.node,)

    def name(self) -> str:
        """The name of the op's backward."""
        return self.node.name()

    @property
    def next_functions(self) -> tuple[tuple[Place, int], ...]:
        """Those of the node."""
        return self.node.next_functions

    def __repr__(self) -> str:
        return repr(self.node)


def reach(roots: Iterable[Place]) -> list[Place]:
    """Every place the roots depend on, oldest first. Iterative: a graph is often deeper than Python's stack."""
    seen = set(roots)
    todo = list(seen)
    while todo:
        for p in todo.pop().inputs:
            if p is not None and p not in seen:
                seen.add(p)
                todo.append(p)
    return sorted(seen, key=attrgetter("seq"))
