"""What a model computes: its ops, one after another, as they meet arrays that depend on its input."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinynet.autograd.variable import raw
from tinynet.autograd.writes import owner, writes
from tinynet.device import settle
from tinynet.dtypes import Array, promote
from tinynet.kernels import use_kernels
from tinynet.model_summary import as_it_was, tensors_in
from tinynet.nn import transformer
from tinynet.nn.module import Module
from tinynet.ops import _index, _primitive, create, index, inplace, sampling
from tinynet.ops._primitive import Primitive
from tinynet.ops._watch import replaced, watched
from tinynet.ops.sampling import rand
from tinynet.value import Value as Numbers

# Where numbers leave a tensor: methods of it, and where an op takes a tensor for a number or an index. (Other ops look
# whether labels are in range, which changes no result.)
EXITS: tuple[tuple[Any, str, str], ...] = (
    *((Numbers, name, how) for name, how in {
        "__bool__": "bool()", "__float__": "float()", "__int__": "int()", "__index__": "a tensor given for an int",
        "item": "item()", "tolist": "tolist()", "numpy": "numpy()", "__array__": "np.asarray()",
        "__dlpack__": "from_dlpack()", "__deepcopy__": "deepcopy()"}.items()),
    (create, "array_in", "tensor()"), (create, "raw", "a tensor given for a number"),
    (_index, "raw", "index of getitem"), (index, "_vector", "a vector of indices"),
    (index, "host", "repeat_interleave()"), (sampling, "_happens", "bernoulli()"),
    (sampling, "backend", "multinomial()"))


@dataclass(frozen=True)
class Value:
    """An array that depends on the input."""

    number: int
    shape: tuple[int, ...]
    dtype: Any


@dataclass
class Call:
    """An op that was run: on Values, arrays that are the same for every input, and numbers; and the same again, as it
    was in the second run."""

    op: str
    args: list[Any]
    options: dict[str, Any]
    outs: list[Value]
    where: str  # in which module
    twin: Call = field(init=False, repr=False)

    def option(self, name: str) -> Any:
        """The option; RuntimeError if it goes with the batch."""
        mine, other = self.options[name], self.twin.options[name]
        if not _same(mine, other):
            raise RuntimeError(f"onnx.export(): {name} of {self.op}{self.where} depends on the input: it was {mine!r} "
                               f"and, for another input, {other!r}")
        return mine


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, (tuple, list)) and isinstance(b, (tuple, list)):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return np.shape(a) == np.shape(b) and bool(np.array_equal(a, b))
    return bool(a == b)


class Trace:
    """One run of the model in eval mode, op by op: layers are not fused, and the kernels are the plain ones."""

    def __init__(self, model: Module, args: tuple[Any, ...], skip: int) -> None:
        self.calls: list[Call] = []
        self._values: dict[int, Value] = {}
        self._kept: dict[int, Array] = {}  # no array may go: another could be given its id
        self._written: dict[int, Array] = {}
        self._memory: dict[int, Array] = {}  # that of Values
        self._spoiled: dict[int, Array] = {}  # other memory, of which a part was written with what depends on the input
        self._source: Any = None  # what is being written in place, as _seen() says it; None if that is not known
        self._inside = False
        self._modules: list[Module] = []
        self._paths = {module: path for path, module in model.named_modules()}
        self.inputs = [self._value(t.array) for t in tensors_in(args)]
        with ExitStack() as stack:
            for seam in (as_it_was(model), use_kernels("reference"), watched(self._around), *self._seams()):
                stack.enter_context(seam)
            rand(skip)  # what is drawn at random shall differ between two runs
            self.outputs = [self._seen(t.array) for t in tensors_in(model(*args))]

    def _seams(self) -> Sequence[Any]:
        call, record = Module.__call__, type(writes).record

        def within(module: Module, *args: Any, **kwargs: Any) -> Any:
            self._modules.append(module)
            try:
                return call(module, *args, **kwargs)
            finally:
                self._modules.pop()

        def promoted(arrays: Sequence[Any], to_float: bool) -> list[Any]:
            found = promote(arrays, to_float)
            for before, after in zip(arrays, found, strict=True):
                if after is not before and id(before) in self._values:
                    self._note("cast", [before], {"dtype": after.dtype}, (after,))
            return found

        def checked(target: Any, root: Any, new: Any, *how: Any) -> None:
            check(target, root, new, *how)
            self._source = self._seen(new.array)

        def written(self_: Any, *arrays: Array, **where: Any) -> int:
            for array in arrays:
                self._overwrite(array, self._source)
            self._source = None
            return record(self_, *arrays, **where)

        def causal(mask: Any) -> bool:  # for another input a mask may be another, so it is an operand
            return not isinstance(self._seen(raw(mask)), Value) and is_causal(mask)

        check, is_causal = inplace._check, transformer._is_causal
        return (replaced(Module, "__call__", within), replaced(_primitive, "promote", promoted),
                replaced(inplace, "_check", checked), replaced(type(writes), "record", written),
                replaced(transformer, "_is_causal", causal),
                *(replaced(place, name, self._guarded(vars(place)[name], how)) for place, name, how in EXITS))

    def _guarded(self, way: Callable[..., Any], how: str) -> Callable[..., Any]:
        """RuntimeError where it is given an array that depends on the input."""
        def guarded(*args: Any, **options: Any) -> Any:
            if any(isinstance(self._seen(raw(a)), Value) for a in args):
                raise self._looks(how)
            return way(*args, **options)
        return guarded

    def _looks(self, how: str) -> RuntimeError:
        return RuntimeError(f"onnx.export(): the model looks at numbers of its input ({how}{self._where()}): a result "
                            f"that depends on the input by more than ops cannot be written into the file; choose with "
                            f"tn.where, and compute with ops")

    def _around(self, primitive: Primitive, forward: Callable[..., Any]) -> Callable[..., Any]:
        def run(xp: Any, *arrays: Any, **options: Any) -> Any:
            if self._inside:  # a step of another op
                return forward(xp, *arrays, **options)
            self._inside = True
            try:
                out = forward(xp, *arrays, **options)
            finally:
                self._inside = False
            outs = tuple(map(settle, out)) if type(out) is tuple else (settle(out),)
            self._note(primitive.name, arrays, {**primitive.options, **options}, outs)
            return outs if type(out) is tuple else outs[0]
        return run

    # ---- which arrays are which
    def _note(self, op: str, arrays: Sequence[Any], options: dict[str, Any], outs: tuple[Any, ...]) -> None:
        args = [self._seen(a) for a in arrays]
        if any(isinstance(a, Value) for a in args) and any(id(o) not in self._values for o in outs):
            self.calls.append(Call(op, args, options, [self._value(o) for o in outs], self._where()))

    def _value(self, array: Array) -> Value:
        key = id(array)
        if key not in self._values:
            self._values[key], self._kept[key] = Value(len(self._values), array.shape, array.dtype), array
            self._memory[id(owner(array))] = owner(array)
        return self._values[key]

    def _seen(self, a: Any) -> Any:
        """The Value of an array that depends on the input; anything else itself."""
        memory = id(owner(a)) if isinstance(a, np.ndarray) else None
        if id(a) in self._written or memory in self._spoiled:
            raise RuntimeError(f"onnx.export(): something{self._where()} reads an array that was written in place, or "
                               f"of which a part or a view was: ONNX has no views. Use the ops without _, and no "
                               f"x[...] = v")
        if id(a) not in self._values and memory in self._memory:
            raise self._looks("one_hot() or the like")  # a view that no op made
        return self._values.get(id(a), a)

    def _overwrite(self, array: Array, source: Any) -> None:
        """An array took the values of source, as after x.relu_(); its views, and what it is a view of, are known no
        more."""
        memory = owner(array)
        for key, known in list(self._kept.items()):
            if known is not array and owner(known) is memory:
                self._written[key] = known
        if id(array) not in self._values:
            if source is None or isinstance(source, Value):
                self._spoiled[id(memory)] = memory
        elif isinstance(source, Value) and (source.shape, source.dtype) == (array.shape, array.dtype):
            self._values[id(array)] = source
        else:
            self._written[id(array)] = array

    def _where(self) -> str:
        if not self._modules:
            return ""
        module = self._modules[-1]
        path = self._paths.get(module)
        return f" in {f'model.{path} ' if path else ''}({type(module).__name__})"


def merged(first: Trace, second: Trace) -> tuple[list[Call], list[tuple[Any, Any]]]:
    """The calls of the first, each with its twin in the second, and the results of both. RuntimeError if their ops
    differ."""
    for a, b in zip(first.calls, second.calls, strict=False):
        a.twin = b
        if a.op != b.op or [_number(x) for x in a.args] != [_number(x) for x in b.args]:
            raise RuntimeError(f"onnx.export(): after {a.op}{a.where} the model runs other ops for another input "
                               f"({b.op}{b.where}): a file holds one sequence of ops. If the batch decides, fix it "
                               f"with batch_dim=None")
    if len(first.calls) != len(second.calls) or len(first.outputs) != len(second.outputs):
        raise RuntimeError(f"onnx.export(): the model runs {len(first.calls)} ops, and {len(second.calls)} for another "
                           f"input: a file holds one sequence of ops. If the batch decides, fix it with batch_dim=None")
    if not first.outputs:
        raise RuntimeError("onnx.export(): the model returns no tensor")
    return first.calls, list(zip(first.outputs, second.outputs, strict=True))


def _number(x: Any) -> int | None:
    return x.number if isinstance(x, Value) else None
