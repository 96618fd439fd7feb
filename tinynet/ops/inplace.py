"""Writing into a tensor: `t[...] = new`, as part of the differentiated program.

An in-place op is the ordinary op, then a write. A write into a view is a write into its base: base := put(base, new,
path), from which the base's other views are replayed when they are next looked at.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinynet.autograd.graph import Leaf, Node, user_line
from tinynet.autograd.modes import modes, no_grad
from tinynet.autograd.variable import Variable, wrap
from tinynet.autograd.writes import writes
from tinynet.device import device_of, is_array, together, writeable
from tinynet.ops._primitive import Primitive
from tinynet.ops.elementwise import cast
from tinynet.ops.index import put
from tinynet.ops.shape import expand

_CATEGORY = {"b": 0, "u": 1, "i": 1, "f": 2}  # a result of a higher one does not fit into a tensor of a lower one


def write(target: Any, new: Any, own: bool = False) -> Any:
    """target[...] = new; returns target. own: `new` is the result of the very op that is done in place, so its node
    may become target's, and its shape must be target's."""
    target.refresh()
    root = target if target.base is None else target.base
    record = modes.record
    _check(target, root, new, own, record is not None)
    node = new.place if own and isinstance(new.place, Node) else None
    if node and type(node.args) is list and node.args[0] is target.array:
        node.args[0] = target.array.copy()  # this very op saved what it overwrites
    value = new.array
    if type(value) is not type(target.array):
        together("an in-place op", (target.array, value))
        value = value.item()  # it has no axes: a number goes to the GPU with the command
    target.array[...] = value
    date = writes.record(target.array, **{"line": user_line()} if modes.anomaly else {})
    if record is None or (root.place is None and new.place is None):
        return target
    if node and new.array.dtype == target.array.dtype:
        if node.out is new.array:  # the saved output lives in our memory from now on
            stale = writes.after(node.seq, node.args)
            node.out, node.seq = target.array, node.seq if stale else date
        if root is target:
            target.move(node)
            return target
    if new.shape != target.shape:
        new = expand(new, shape=target.shape)
    if new.dtype != target.dtype:
        new = cast(new, dtype=target.dtype)
    put.plans.get(7) or put.plan(7)  # its rules are bound when first recorded
    a, path = root.array, () if root is target else target.path
    root.move(record(put, [root.place, new.place], (None, None), None, {"path": path}, a.shape, a.dtype))
    return target


def overwrite(target: Any, value: Any) -> None:
    """target[...] = value, an array of its shape, outside the graph: for what a layer keeps count of."""
    a = target.array
    if target.base is None and target.place is None and writeable(a) and not modes.anomaly:
        a[...] = value
        writes.record(a)
        return
    with no_grad():
        write(target, wrap(value))


def _check(target: Any, root: Any, new: Any, own: bool, recording: bool) -> None:
    _check_leaf(target, root, recording)
    if recording and target.base is not None and target.path is None and (root.place or new.place):
        raise RuntimeError("A view was created in no_grad mode and is being modified inplace with grad mode enabled: "
                           "its history is not known. Make the view outside no_grad(), or clone() it.")
    shape, fits = target.shape, new.shape == target.shape
    if not fits and not own:
        try:
            fits = np.broadcast_shapes(new.shape, shape) == shape
        except ValueError:
            fits = False
    if not fits:
        raise RuntimeError(f"output with shape {list(shape)} doesn't match the broadcast shape {list(new.shape)}: an "
                           f"in-place op cannot change its tensor's shape")
    given, kept = _CATEGORY[new.dtype.kind], _CATEGORY[target.dtype.kind]
    if given > kept:
        raise RuntimeError(f"result type {new.dtype} can't be cast to the desired output type {target.dtype}; "
                           f"use the out-of-place form")
    if target.array.size and any(s == 0 and n > 1 for s, n in zip(target.array.strides, shape, strict=True)):
        raise RuntimeError("unsupported operation: more than one element of the written-to tensor refers to a single "
                           "memory location. Please clone() the tensor before performing the operation.")
    if not writeable(target.array):
        raise RuntimeError("this tensor shares the memory of a read-only array; clone() it to write")


def _check_leaf(target: Any, root: Any, recording: bool) -> None:
    if recording and isinstance(root.place, Leaf):
        what = "a leaf Variable" if root is target else "a view of a leaf Variable"
        raise RuntimeError(f"{what} that requires grad is being used in an in-place operation. Do it under no_grad(), "
                           f"or on a clone().")


def in_place(op: Callable[..., Any]) -> Callable[..., Any]:
    """The in-place twin of an op: t.op_(…) computes op(t, …) and writes it into t."""
    def method(self: Any, *args: Any, **options: Any) -> Any:
        result = op(self, *args, **options)
        return result if result is NotImplemented else write(self, result, own=True)

    return _twin(method, op, "writes the result into this tensor and returns it.")


def _twin(method: Callable[..., Any], op: Any, what: str) -> Callable[..., Any]:
    name = op.name if isinstance(op, Primitive) else op.__name__
    method.__name__ = method.__qualname__ = f"{name}_"
    method.__doc__ = f"In-place version of `{name}`: {what}"
    return method


def view_in_place(op: Callable[..., Any]) -> Callable[..., Any]:
    """The in-place twin of an op whose result is a view: t.op_(…) lets t itself be seen so. Views of t are from then
    on views of what t was, and so is t."""
    def method(self: Any, *args: Any) -> Any:
        place = self.refresh()
        _check_leaf(self, self if self.base is None else self.base, modes.record is not None)
        if isinstance(place, Leaf):  # under no_grad: it stays a leaf
            self.array = op(wrap(self.array), *args).array
            place.shape = self.array.shape
            return self
        before = self if self.base is not None else wrap(self.array, place)
        after = op(before, *args)
        self.array, self.base, self.path, self.of = after.array, after.base, after.path, after.of
        if after.place is not None:
            self.move(after.place)
        return self

    return _twin(method, op, "this tensor itself is from now on seen so. Returns it.")


def nearby(value: Any, target: Any) -> Any:
    """A value to be written into target, from wherever it is."""
    there = type(value.array) is type(target.array) or not (value.ndim or value.place)
    return value if there else value.to(device_of(target.array))


def scalar_or_tensor(value: Any, like: Any) -> Any:
    """A value to be written into `like`: a tensor as it is, anything else as one of like's dtype."""
    if isinstance(value, Variable):
        return value
    try:
        array = value if is_array(value) else np.asarray(value)
        return Variable.public(array.astype(like.dtype, copy=False))
    except (TypeError, ValueError):
        raise TypeError(f"can't assign a {type(value).__name__} to a tensor of {like.dtype}: {value!r}") from None
