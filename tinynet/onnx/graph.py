"""The file in the making: nodes, weights and other constants, and sizes that go with the batch."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinynet.device import backend
from tinynet.dtypes import Array
from tinynet.onnx.trace import Call, Trace, Value

IR_VERSION = 8  # of the format: that of the opset's time, which every runtime since reads
LARGEST = 2**31  # bytes: what a protobuf message may hold


class Graph:
    """Nodes are added in the order of the ops. Operands are names; arrays and lists of ints become constants."""

    def __init__(self, opset: int, traces: list[Trace], axes: list[int | None], names: list[str],
                 state: dict[int, str]) -> None:
        import onnx

        self.onnx, self.opset, self.state = onnx, opset, state
        self.nodes: list[Any] = []
        self.constants: dict[Any, tuple[str, Array]] = {}
        self.sizes: dict[Any, str] = {}
        self.truths: dict[str, str] = {}  # the bools that numbers were made of
        self.taken = {*names, *state.values()}
        self.where = ""
        pairs = list(zip(*(t.inputs for t in traces), strict=True))
        self.known = {a.number: what for (a, _), what in zip(pairs, names, strict=True)}
        self.inputs = [self._described(what, a, b) for (a, b), what in zip(pairs, names, strict=True)]
        self.batch = next(((what, d) for what, d in zip(names, axes, strict=True) if d is not None), None)

    @staticmethod
    def require() -> None:
        """ImportError, with what to do, where the package onnx is not installed."""
        try:
            import onnx  # noqa: F401 - to see whether it can be
        except ImportError as error:
            raise ImportError(f'onnx.export() needs the package onnx: pip install "tinynet-dl[onnx]" '
                              f"({error})") from None

    # ---- nodes
    def add(self, operator: str, *operands: Any, outputs: int = 1, **attributes: Any) -> Any:
        """Add a node; the name of its output, or of its outputs."""
        names = [a if isinstance(a, str) else self.constant(np.asarray(a)) for a in operands]
        outs = [self.fresh(operator.lower()) for _ in range(outputs)]
        self.nodes.append(self.onnx.helper.make_node(operator, names, outs, f"{self.where}{outs[0]}", **attributes))
        return outs[0] if outputs == 1 else tuple(outs)

    def fresh(self, stem: str) -> str:
        """A name nobody has."""
        k = len(self.taken)
        while f"{stem}_{k}" in self.taken:
            k += 1
        self.taken.add(f"{stem}_{k}")
        return f"{stem}_{k}"

    def outputs_of(self, call: Call, names: Any) -> None:
        """Say what the results of a call are called."""
        for value, what in zip(call.outs, (names,) if isinstance(names, str) else names, strict=False):
            self.known[value.number] = what

    def constant(self, a: Array) -> str:
        """The name of an array that is part of the file."""
        key: Any = id(a) if id(a) in self.state else (a.dtype.str, a.shape, a.tobytes())
        if key not in self.constants:
            self.constants[key] = self.state.get(id(a)) or self.fresh("constant"), a
        return self.constants[key][0]

    # ---- operands
    def operand(self, call: Call, k: int, dtype: Any) -> str:
        """The name of a call's argument; a number becomes one of dtype, None is ""."""
        mine, other = call.args[k], call.twin.args[k]
        if mine is None:
            return ""
        if not isinstance(mine, Value) and not hasattr(mine, "shape"):
            mine, other = np.asarray(mine, dtype), np.asarray(other, dtype)
        return self.of(mine, other, f"an operand of {call.op}{call.where}")

    def of(self, mine: Any, other: Any, what: str) -> str:
        """The name of a Value, or of a constant, which was `other` in the second run."""
        if isinstance(mine, Value):
            if mine.number not in self.known:
                raise NotImplementedError(f"onnx.export(): {what} is a result that ONNX's operator does not give")
            return self.known[mine.number]
        mine, other = np.asarray(mine), np.asarray(other)
        if mine.shape == other.shape:
            if np.array_equal(mine, other, equal_nan=mine.dtype.kind == "f"):
                return self.constant(mine if id(mine) in self.state else np.ascontiguousarray(mine).reshape(mine.shape))
            raise RuntimeError(f"onnx.export(): {what} has other values for another input, but no op made them "
                               f"of it: it was drawn at random, or computed past the ops")
        one = (slice(None),) * mine.ndim
        if mine.ndim == other.ndim:  # the same for each sample?
            one = tuple(slice(0, 1) if n != m else slice(None) for n, m in zip(mine.shape, other.shape, strict=True))
        alike = mine.ndim == other.ndim and all(np.array_equal(a, np.broadcast_to(mine[one], a.shape))
                                                for a in (mine, other))
        if not alike:
            raise RuntimeError(f"onnx.export(): {what} is a constant whose size {list(mine.shape)} goes with the "
                               f"batch, and whose values with the sample; fix the batch with batch_dim=None")
        return str(self.add("Expand", np.ascontiguousarray(mine[one]), self.size(mine.shape, other.shape, what)))

    def size(self, mine: Sequence[int], other: Sequence[int], what: str) -> str:
        """The name of a shape, whose entries may be multiples of the batch."""
        if list(mine) == list(other):
            return self.constant(np.array(mine, np.int64))
        key = tuple(mine), tuple(other)
        if key not in self.sizes:
            parts = [self._times_batch(a, b, what) for a, b in zip(mine, other, strict=True)]
            self.sizes[key] = self.add("Concat", *parts, axis=0)
        return self.sizes[key]

    def _times_batch(self, mine: int, other: int, what: str) -> Any:
        if mine == other:
            return np.array([mine], np.int64)
        factor = other - mine  # the batches are 2 and 3
        if self.batch is None or mine != 2 * factor:
            raise RuntimeError(f"onnx.export(): a size of {what} is {mine} for a batch of 2 and {other} for one of 3: "
                               f"no multiple of it")
        if "batch" not in self.sizes:
            source, axis = self.batch
            self.sizes["batch"] = self.add("Shape", source, start=axis, end=axis + 1)
        batch = self.sizes["batch"]
        return batch if factor == 1 else self.add("Mul", batch, np.array([factor], np.int64))

    # ---- the end
    def dtype(self, dtype: Any) -> int:
        """ONNX's number for a dtype."""
        return int(self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def _described(self, what: str, mine: Any, other: Any) -> Any:
        shape = [n if n == m else "batch" if m - n == 1 else f"{m - n} batch"
                 for n, m in zip(mine.shape, other.shape, strict=True)]
        return self.onnx.helper.make_tensor_value_info(what, self.dtype(mine.dtype), shape)

    def finished(self, results: Sequence[tuple[Any, Any]], names: Sequence[str], title: str) -> bytes:
        """The file's contents."""
        outputs = []
        for (mine, other), what in zip(results, names, strict=True):
            source = self.of(mine, other, f"the result {what}")
            self.nodes.append(self.onnx.helper.make_node("Identity", [source], [what], what))
            outputs.append(self._described(what, mine, other))
        self._drop_unused(names)
        size = sum(a.nbytes for _, a in self.constants.values())
        if size >= LARGEST:
            raise ValueError(f"onnx.export(): the weights are {size:,} bytes; a file of this format holds {LARGEST:,}")
        weights = [self.onnx.numpy_helper.from_array(_in_memory(a), what) for what, a in self.constants.values()]
        graph = self.onnx.helper.make_graph(self.nodes, title, self.inputs, outputs, weights)
        model = self.onnx.helper.make_model(graph, opset_imports=[self.onnx.helper.make_opsetid("", self.opset)],
                                            ir_version=IR_VERSION, producer_name="tinynet")
        self.onnx.checker.check_model(model)
        return bytes(model.SerializeToString())

    def _drop_unused(self, results: Sequence[str]) -> None:
        """Without the nodes and constants that no result needs."""
        needed = set(results)
        kept = []
        for node in reversed(self.nodes):
            if needed.intersection(node.output):
                kept.append(node)
                needed.update(node.input)
        self.nodes = kept[::-1]
        self.constants = {key: found for key, found in self.constants.items() if found[0] in needed}


def _in_memory(a: Array) -> Array:
    """The array as NumPy's, without gaps."""
    return np.ascontiguousarray(a if backend(a) is np else a.get()).reshape(a.shape)
