"""What a model is made of: its layers, what comes out of each, its parameters, and the work of a forward pass."""
from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from tinynet.autograd.modes import no_grad
from tinynet.autograd.writes import owner
from tinynet.dtypes import Array, as_dtype, get_default_dtype
from tinynet.nn.module import Module
from tinynet.ops._primitive import Primitive
from tinynet.ops._watch import watched
from tinynet.ops.create import zeros
from tinynet.ops.sampling import get_rng_state, set_rng_state
from tinynet.tensor import Tensor
from tinynet.text import size, table

Shape = tuple[int, ...]
HEAD = ("Layer (type)", "Output shape", "Parameters", "Multiply-adds", "Memory")


def _of_contract(spec: str, operands: Sequence[Array]) -> int:
    """Every combination of the letters is one product of all operands."""
    terms = spec.split("->")[0].split(",")
    sizes = {c: n for term, a in zip(terms, operands, strict=True) for c, n in zip(term, a.shape, strict=True)}
    return math.prod(sizes.values()) * (len(operands) - 1)


def _of_recurrence(x: Array, *weights: Array) -> int:
    """Each sample at each time meets all weights."""
    return math.prod(x.shape[:2]) * sum(math.prod(w.shape) for w in weights)


# How many products of two numbers are added up, for the ops where that is the work: (out, *arguments, **options).
MULTIPLY_ADDS: dict[str, Callable[..., int]] = {
    "matmul": lambda out, a, b: math.prod(out.shape) * a.shape[-1],
    "linear": lambda out, x, weight, *bias: math.prod(out.shape) * weight.shape[-1],
    "conv2d": lambda out, x, weight, *bias, **sizes: math.prod(out.shape) * math.prod(weight.shape[1:]),
    "conv2d_input_grad": lambda out, g, weight, **sizes: math.prod(g.shape) * math.prod(weight.shape[1:]),
    "contract": lambda out, *operands, spec: _of_contract(spec, operands),
    "attention": lambda out, q, k, v, *mask, **how: (
        math.prod(q.shape) * k.shape[-2] + math.prod(q.shape[:-1]) * math.prod(v.shape[-2:])),
    "lstm": lambda out, x, h, c, w_ih, w_hh, *biases, **how: _of_recurrence(x, w_ih, w_hh),
    "gru": lambda out, x, h, w_ih, w_hh, *biases, **how: _of_recurrence(x, w_ih, w_hh),
    "rnn": lambda out, x, h, w_ih, w_hh, *biases, **how: _of_recurrence(x, w_ih, w_hh),
}


@dataclass
class Layer:
    """A row of the table: a module, without what its rows below count."""

    path: str
    kind: str
    parameters: int = 0
    trainable: int = 0
    output_shapes: list[Shape] = field(default_factory=list)
    multiply_adds: int = 0
    memory: int = 0  # bytes of what it returns, where that is new memory
    calls: int = 0

    def add(self, other: Layer) -> None:
        """Count another row's figures here too."""
        for figure in ("parameters", "trainable", "multiply_adds", "memory"):
            setattr(self, figure, getattr(self, figure) + getattr(other, figure))


@dataclass
class Summary:
    """A model's layers and totals; print it to see the table. Parameters that modules share count once. Multiply-adds
    are those of matrix products, convolutions and attention; memory is in bytes."""

    layers: list[Layer]
    total_parameters: int
    trainable_parameters: int
    parameter_memory: int
    buffer_memory: int
    multiply_adds: int
    output_memory: int
    ran: bool  # with an input; else only the parameters are known

    def __str__(self) -> str:
        lines = table(HEAD if self.ran else ("Layer (type)", "Parameters"), [*map(self._row, self.layers)],
                      left=2 if self.ran else 1)
        rule = lines[1]
        frozen = self.total_parameters - self.trainable_parameters
        lines += [rule, f"Parameters     {self.total_parameters:,} ({size(self.parameter_memory)}): "
                        f"{self.trainable_parameters:,} trainable, {frozen:,} not"]
        if self.buffer_memory:
            lines.append(f"Buffers        {size(self.buffer_memory)}")
        if self.ran:
            lines += [f"Multiply-adds  {self.multiply_adds:,}", f"Outputs        {size(self.output_memory)}"]
        return "\n".join(lines)

    __repr__ = __str__

    def _row(self, layer: Layer) -> tuple[str, ...]:
        notes = [layer.kind, *["frozen"] * (layer.parameters > 0 == layer.trainable)]
        notes += [f"{layer.calls} calls"] if layer.calls > 1 else []
        name = f"{layer.path} ({', '.join(notes)})" if layer.path else ", ".join(notes)
        holds = any(other.path.startswith(f"{layer.path}." if layer.path else "") for other in self.layers
                    if other is not layer)
        shown = [f"{n:,}" if n or not holds else "" for n in (layer.parameters, layer.multiply_adds)]
        if not self.ran:
            return name, shown[0]
        if not layer.calls:
            return name, "not called", shown[0]
        shapes = ", ".join(map(str, layer.output_shapes[:1])) + ", …" * (len(layer.output_shapes) > 1)
        return name, shapes, *shown, size(layer.memory) if layer.memory or not holds else ""


def summary(model: Module, input_size: Any = None, input_data: Any = None, dtypes: Sequence[Any] | None = None,
            depth: int | None = None) -> Summary:
    """A table of the model's layers: path and type, output shape, parameters, multiply-adds, memory of the output.

    input_size: the shape of the input with its batch, or a list of shapes; zeros of these shapes are run through
    the model, in `dtypes` (default: that of its parameters). input_data: a tensor to be run instead, or a tuple of the
    arguments. With neither, only the parameters are counted. depth: how far below the model rows go; what lies deeper
    is counted in its ancestor's row. The model runs in eval mode under no_grad; its modes, its buffers and the random
    stream are afterwards as they were. A module that is called several times has one row, with the work of all calls.

    >>> tn.summary(tn.nn.Sequential(tn.nn.Linear(4, 8), tn.nn.ReLU()), (1, 4))
    Layer (type)  Output shape  Parameters  Multiply-adds  Memory
    ─────────────────────────────────────────────────────────────
    Sequential    (1, 8)
    0 (Linear)    (1, 8)                40             32    32 B
    1 (ReLU)      (1, 8)                 0              0    32 B
    ─────────────────────────────────────────────────────────────
    Parameters     40 (160 B): 40 trainable, 0 not
    Multiply-adds  32
    Outputs        64 B
    """
    if not isinstance(model, Module):
        raise TypeError(f"summary(): argument 'model' must be a tn.nn.Module, not {type(model).__name__}")
    if depth is not None and (not isinstance(depth, int) or depth < 0):
        raise ValueError(f"summary(): depth must be None or an int from 0, got {depth!r}")
    inputs = _inputs(model, input_size, input_data, dtypes)
    rows = {module: Layer(path, type(module).__name__) for path, module in model.named_modules()}
    counted: set[int] = set()
    for module, row in rows.items():
        own = [p for p in module.parameters(recurse=False) if id(p) not in counted]
        counted |= set(map(id, own))
        row.parameters = sum(p.numel() for p in own)
        row.trainable = sum(p.numel() for p in own if p.requires_grad)
    if inputs is not None:
        with as_it_was(model), _observed(rows):
            model(*inputs)
    layers = list(rows.values())
    total = Layer("", "")
    for row in layers:
        total.add(row)
    return Summary(_folded(layers, depth), total.parameters, total.trainable, _bytes(model.parameters()),
                   _bytes(model.buffers()), total.multiply_adds, total.memory, inputs is not None)


def _folded(layers: list[Layer], depth: int | None) -> list[Layer]:
    """The rows down to a depth, with the figures of those below."""
    if depth is None:
        return layers
    kept: dict[str, Layer] = {}
    for row in layers:
        ancestor = ".".join(row.path.split(".")[:depth])
        if ancestor in kept:
            kept[ancestor].add(row)
        else:
            kept[row.path] = row
    return list(kept.values())


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(t.array.nbytes for t in tensors)


# ---- what to run
def _inputs(model: Module, input_size: Any, input_data: Any, dtypes: Sequence[Any] | None) -> tuple[Any, ...] | None:
    if input_data is not None:
        if input_size is not None or dtypes is not None:
            raise ValueError("summary(): give input_data, or input_size (and dtypes), not both")
        several = input_data if isinstance(input_data, (tuple, list)) else (input_data,)
        return tuple(x.detach().clone() if isinstance(x, Tensor) else x for x in several)  # ops may write into it
    if input_size is None:
        return None
    sizes = list(input_size) if isinstance(input_size, Iterable) else [input_size]
    shapes = [tuple(s) for s in sizes] if sizes and isinstance(sizes[0], Iterable) else [tuple(sizes)]
    for shape in shapes:
        if not all(isinstance(n, int) and n > 0 for n in shape):
            raise ValueError(f"summary(): input_size must be a shape of ints from 1, with the batch, as (1, 3, 32, 32)"
                             f", or a list of such shapes, got {input_size!r}")
    first = next(model.parameters(), None)
    dtype = get_default_dtype() if first is None else first.dtype
    chosen = [dtype] * len(shapes) if dtypes is None else [as_dtype(d) for d in dtypes]
    if len(chosen) != len(shapes):
        raise ValueError(f"summary(): {len(chosen)} dtypes for {len(shapes)} inputs")
    return tuple(zeros(s, dtype=d, device=None if first is None else first.device)
                 for s, d in zip(shapes, chosen, strict=True))


@contextmanager
def as_it_was(model: Module) -> Iterator[None]:
    """Eval mode under no_grad; afterwards the modes, the buffers and the random stream are what they were."""
    modes = {module: module.training for module in model.modules()}
    buffers = {module: dict(module._buffers) for module in modes}
    values = [(b, b.array.copy()) for b in model.buffers()]
    stream = get_rng_state()
    try:
        with no_grad():
            model.eval()
            yield
    finally:
        for module, training in modes.items():
            module.training, module._buffers = training, buffers[module]
        for buffer, value in values:
            if buffer.array.tobytes() != value.tobytes():
                buffer.array[...] = value
        set_rng_state(stream)


# ---- looking on
@contextmanager
def _observed(rows: Mapping[Module, Layer]) -> Iterator[None]:
    """Note what each module returns, and the products that are computed in it."""
    running: list[Layer] = []
    seen: dict[int, Any] = {}  # the memory met so far, by its owner: a view of it is no new memory

    def is_new(tensor: Tensor) -> bool:
        memory = owner(tensor.array)
        known = seen.get(id(memory))
        if known is not None and known() is memory:
            return False
        seen[id(memory)] = weakref.ref(memory)
        return True

    def before(module: Module, args: Any, kwargs: Any) -> None:
        running.append(rows[module])
        for tensor in tensors_in((args, kwargs)):
            is_new(tensor)

    def after(module: Module, args: Any, output: Any) -> None:
        row, outputs = running.pop(), list(tensors_in(output))
        row.calls += 1
        row.output_shapes = [t.shape for t in outputs]
        row.memory += sum(t.array.nbytes for t in outputs if is_new(t))

    def counting(primitive: Primitive, forward: Callable[..., Any]) -> Callable[..., Any]:
        work = MULTIPLY_ADDS.get(primitive.name)
        if work is None:
            return forward

        def run(xp: Any, *arrays: Any, **options: Any) -> Any:
            out = forward(xp, *arrays, **options)
            running[-1].multiply_adds += work(out[0] if type(out) is tuple else out, *arrays, **options)
            return out
        return run

    with ExitStack() as stack:
        for module in rows:
            stack.enter_context(module.register_forward_pre_hook(before, prepend=True, with_kwargs=True))
            stack.enter_context(module.register_forward_hook(after))
        stack.enter_context(watched(counting))
        yield


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Every tensor in a nest of tuples, lists and dicts."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for v in value:
            yield from tensors_in(v)
    elif isinstance(value, Mapping):
        yield from tensors_in(list(value.values()))
