"""Where the time of a training goes: op by op, forward and backward, and module by module.

While a profile runs, a stopwatch stands around what is to be timed: the forward of each primitive, what a node shows
the backward walk as its op, the walk, the call of a module, the step of an optimizer. Afterwards nothing is left of it.
"""
from __future__ import annotations

import json
import os
import threading
import weakref
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any, Self

import numpy as np

from tinynet.autograd import engine
from tinynet.autograd.graph import Node
from tinynet.autograd.naming import user_names
from tinynet.autograd.variable import raw
from tinynet.autograd.writes import owner, tick
from tinynet.files import whole_file
from tinynet.nn import containers, fusion
from tinynet.nn.module import Module
from tinynet.nvidia import library
from tinynet.ops._primitive import Primitive
from tinynet.ops._watch import replaced, watched
from tinynet.optim.optimizer import Optimizer
from tinynet.text import size, table

OPS = ("forward", "backward")  # the kinds of events that are an op's own work


@dataclass(slots=True)
class Event:
    """Something that was timed, in seconds since the profile began. `kind`: forward or backward (of an op), module,
    engine (a backward walk) or optimizer."""

    kind: str
    name: str
    module: str  # the path of the module it belongs to; "" for none
    shapes: tuple[Any, ...] = ()
    start: float = 0.0
    duration: float = 0.0
    within: float = 0.0  # of that, in events inside this one
    memory: int = 0  # bytes of new arrays that ops returned
    inner: bool = False  # part of the work of another op


@dataclass
class Row:
    """The sum of the events of an op or a module."""

    name: str
    calls: int = 0
    forward: float = 0.0
    backward: float = 0.0
    memory: int = 0
    other: float = 0.0  # neither forward nor backward of an op

    @property
    def total(self) -> float:
        """All of its time, in seconds."""
        return self.forward + self.backward + self.other


class profile:
    """Measure the time and the memory of every op and module that this thread runs in the block; print it to see where
    they went.

    Memory is that of the arrays ops return (a view is none); `peak_memory` the most of it that was alive at once.
    Fused layers are one row ("0…2"). An op's backward belongs to the module that ran its forward. To be measured costs
    every op about 10 µs more, which its row does not hold. RuntimeError if another thread is being profiled.

    >>> model, x = tn.nn.Linear(4, 2), tn.ones(3, 4)
    >>> with tn.profile() as p: model(x).sum().backward()
    >>> sorted(row.name for row in p.rows("op") if row.forward)
    ['linear', 'sum']
    >>> [row.name for row in p.rows("module")]
    ['model (Linear)']
    """

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.peak_memory, self.wall = 0, 0.0
        self._running: ExitStack | None = None

    # ---- on and off
    def __enter__(self) -> Self:
        if self._running:
            raise RuntimeError("this profile is running already; make another one")
        self.events, self.peak_memory = [], 0
        self._open: list[Event] = []
        self._modules: list[tuple[Module, str]] = []
        self._paths: dict[tuple[Module | None, Module], str] = {}
        self._since, self._whose = [0.0], [""]  # from that date on, nodes belong to that module
        self._live: dict[int, Any] = {}
        self._memory: list[tuple[float, int]] = [(0.0, 0)]  # how much of it was alive, and from when on
        self._thread = threading.get_ident()
        stops = self._stopwatches()
        with ExitStack() as stack:
            for stop in stops:
                stack.enter_context(stop)
            self._running = stack.pop_all()
        self._began = perf_counter()
        return self

    def __exit__(self, *exc: object) -> None:
        self.wall = self._now()
        if self._running:
            self._running.close()
        self._running = None
        self._live.clear()

    def _now(self) -> float:
        return perf_counter() - self._began

    def _stopwatches(self) -> Iterator[Any]:
        """What is put in place of what is timed."""
        call, step, walk, together = Module.__call__, Optimizer.step, engine.walk, fusion.together
        op: Any = Node.__dict__["op"]

        def here(mine: Callable[..., Any], plain: Callable[..., Any]) -> Callable[..., Any]:
            return lambda *args, **kwargs: (mine if threading.get_ident() == self._thread else plain)(*args, **kwargs)

        def timed_call(module: Module, *args: Any, **kwargs: Any) -> Any:
            path, run = self._path(module), partial(call, module, *args, **kwargs)
            return self._run_module(path, type(module).__name__, module, run)

        def timed_together(layers: Any, first: int, input: Any) -> Any:
            count, compute = together(layers, first, input)
            if count == 1:  # the layer itself, which is timed as any module
                return count, compute
            fused = layers[first:first + count]
            kind, last = "+".join(type(layer).__name__ for layer in fused), self._path(fused[-1]).rpartition(".")[2]
            path = f"{self._path(fused[0])}…{last}"
            return count, lambda x: self._run_module(path, kind, fused[0], lambda: compute(x))

        def timed_step(optimizer: Optimizer, *args: Any, **kwargs: Any) -> Any:
            return self._timed(Event("optimizer", f"{type(optimizer).__name__}.step", ""),
                               partial(step, optimizer, *args, **kwargs))

        def timed_walk(*args: Any) -> Any:
            return self._timed(Event("engine", "walk of backward()", ""), partial(walk, *args))

        yield watched(self._timed_forward)
        yield replaced(Module, "__call__", here(timed_call, call))
        yield replaced(containers, "together", here(timed_together, together))
        yield replaced(Optimizer, "step", here(timed_step, step))
        yield replaced(engine, "walk", here(timed_walk, walk))
        yield replaced(Node, "op", property(here(lambda node: _TimedOp(self, node, op.__get__(node)), op.__get__),
                                            op.__set__))

    # ---- timing
    def _timed(self, event: Event, call: Callable[[], Any], inputs: Iterable[Any] | None = None) -> Any:
        """call(), as an event; of an op with these inputs also the memory."""
        event.inner = any(outer.kind in OPS for outer in self._open)
        self.events.append(event)
        self._open.append(event)
        event.start = self._now()
        try:
            out = call()
            if library.loaded() is not None:  # what a GPU was asked to do counts when it is done
                library.loaded().cuda.get_current_stream().synchronize()
            event.duration = self._now() - event.start
            if inputs is not None:
                self._note_memory(out, inputs)
            return out
        finally:
            event.duration = event.duration or self._now() - event.start
            self._open.pop()
            if self._open:
                self._open[-1].within += event.duration

    def _timed_forward(self, primitive: Primitive, forward: Callable[..., Any]) -> Callable[..., Any]:
        def run(xp: Any, *arrays: Any, **options: Any) -> Any:
            module = self._modules[-1][1] if self._modules else ""
            event = Event("forward", primitive.name, module, tuple(getattr(a, "shape", ()) for a in arrays))
            return self._timed(event, partial(forward, xp, *arrays, **options), arrays)
        return run

    def _timed_rule(self, node: Node, name: str, rule: Callable[..., Any], g: Any, *args: Any) -> Any:
        module = self._whose[bisect_right(self._since, node.seq) - 1]
        gradients = g if isinstance(g, list) else [g]
        event = Event("backward", name, module, tuple(getattr(a, "shape", ()) for a in gradients))
        return self._timed(event, partial(rule, g, *args), gradients)

    def _run_module(self, path: str, kind: str, module: Module, run: Callable[[], Any]) -> Any:
        self._modules.append((module, path))
        self._mark()
        try:
            return self._timed(Event("module", kind, path), run)
        finally:
            self._modules.pop()
            self._mark()

    def _mark(self) -> None:
        """Nodes made from now on belong to the module that runs now."""
        self._since.append(tick())
        self._whose.append(self._modules[-1][1] if self._modules else "")

    def _path(self, module: Module) -> str:
        """Where the module stands in the one that calls it, or what the user calls it."""
        parent, path = self._modules[-1] if self._modules else (None, "")
        key = parent, module
        if key not in self._paths:
            inside = parent.named_modules() if parent else ()
            step = next((name for name, m in inside if m is module), "")
            name = next((name for name, v in user_names().items() if v is module), type(module).__name__)
            self._paths[key] = f"{path}.{step}" if step else name
        return self._paths[key]

    def _note_memory(self, out: Any, inputs: Iterable[Any]) -> None:
        """Count the arrays among the results that are new memory, for as long as they live."""
        known = [owner(raw(a)) for a in inputs if hasattr(a, "dtype")]
        for result in out if isinstance(out, (tuple, list)) else [out]:
            array = raw(result)
            if not hasattr(array, "base") or isinstance(array, np.generic):  # None, or a number
                continue
            memory = owner(array)
            if id(memory) in self._live or any(memory is a for a in known):
                continue
            self._live[id(memory)] = weakref.ref(memory, partial(self._forget, id(memory), memory.nbytes))
            self._count(memory.nbytes)
            for event in self._open:
                event.memory += memory.nbytes

    def _forget(self, key: int, nbytes: int, _: Any) -> None:
        if self._live.pop(key, None) is not None:
            self._count(-nbytes)

    def _count(self, nbytes: int) -> None:
        alive = self._memory[-1][1] + nbytes
        self._memory.append((self._now(), alive))
        self.peak_memory = max(self.peak_memory, alive)

    # ---- what was found
    def rows(self, by: str = "op") -> list[Row]:
        """The sums by "op", the slowest first, or by "module", in the order in which they first ran: there the time of
        a module holds that of the modules in it."""
        if by not in ("op", "module"):
            raise ValueError(f"by must be 'op' or 'module', got {by!r}")
        return sorted(self._by_op(), key=lambda row: -row.total) if by == "op" else self._by_module()

    def _by_op(self) -> list[Row]:
        found: dict[str, Row] = {}
        for event in self.events:
            if event.inner or event.kind == "module":
                continue
            row = found.setdefault(event.name, Row(event.name))
            if event.kind in OPS:
                setattr(row, event.kind, getattr(row, event.kind) + event.duration)
                row.memory += event.memory
            else:
                row.other += event.duration - event.within
            row.calls += event.kind != "backward"
        return list(found.values())

    def _by_module(self) -> list[Row]:
        found: dict[str, Row] = {}
        for event in self.events:
            if event.kind == "module":
                row = found.setdefault(event.module, Row(f"{event.module} ({event.name})"))
                row.calls += 1
                row.forward += event.duration
                row.memory += event.memory
        for event in self.events:
            if event.kind == "backward" and not event.inner:
                for path, row in found.items():
                    if f"{event.module}.".startswith(f"{path}."):
                        row.backward += event.duration
                        row.memory += event.memory
        return list(found.values())

    def table(self, by: str = "op") -> str:
        """The rows as text, and what is left of the time."""
        wall = self._now() if self._running else self.wall
        rows = self.rows(by)
        cells = [self._cells(row, wall) for row in rows]
        if by == "op":
            rest = Row("Python around them", other=wall - sum(row.total for row in rows))
            cells.append(self._cells(rest, wall))
        head = (by, "calls", "forward", "backward", "total", "share", "memory")
        return "\n".join(table(head, cells))

    def _cells(self, row: Row, wall: float) -> tuple[str, ...]:
        times = [f"{1e3 * t:.3f} ms" if t else "" for t in (row.forward, row.backward)]
        share = f"{row.total / wall:.1%}" if wall else ""
        return (row.name, f"{row.calls:,}" if row.calls else "", *times, f"{1e3 * row.total:.3f} ms", share,
                size(row.memory) if row.memory else "")

    def __str__(self) -> str:
        if not self.events:
            return "nothing was profiled: run something under `with tn.profile() as p:`"
        wall = self._now() if self._running else self.wall
        parts = [self.table("op")]
        if any(event.kind == "module" for event in self.events):
            parts.append(self.table("module"))
        parts.append(f"{1e3 * wall:.3f} ms in all; at most {size(self.peak_memory)} of results alive at once")
        return "\n\n".join(parts)

    def export_chrome_trace(self, path: str | os.PathLike[str]) -> None:
        """Write every event, and the memory over time, as JSON for chrome://tracing or ui.perfetto.dev."""
        where = {"pid": os.getpid(), "tid": 0}
        trace: list[dict[str, Any]] = [{"name": "process_name", "ph": "M", **where, "args": {"name": "tinynet"}}]
        for event in self.events:
            more = {"module": event.module, "shapes": str(list(event.shapes)), "memory": event.memory}
            what = {"module": f" ({event.module})", "backward": " backward"}.get(event.kind, "")
            trace.append({"name": event.name + what, "cat": event.kind, "ph": "X", "ts": 1e6 * event.start,
                          "dur": 1e6 * event.duration, **where, "args": more})
        trace += [{"name": "memory", "ph": "C", "ts": 1e6 * when, **where, "args": {"bytes": alive}}
                  for when, alive in self._memory]
        with whole_file(path) as file:
            file.write(json.dumps({"traceEvents": trace, "displayTimeUnit": "ms"}).encode())


class _TimedOp:
    """What a node shows the backward walk as its op: the same, with a stopwatch around its rules."""

    def __init__(self, timer: profile, node: Node, op: Any) -> None:
        self.timer, self.node, self.op = timer, node, op

    def __getattr__(self, name: str) -> Any:
        return getattr(self.op, name)

    @property
    def rules(self) -> Self:
        return self

    def __getitem__(self, k: int) -> Callable[..., Any]:
        return partial(self.timer._timed_rule, self.node, self.op.name, self.op.rules[k])

    @property
    def joint(self) -> Callable[..., Any] | None:
        joint = self.op.joint
        return joint and partial(self.timer._timed_rule, self.node, self.op.name, joint)
