"""Which op is at fault: run the function once, keep every op with its arguments, and check each alone."""
from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinynet.autograd.comparison import RAISED, Comparison, second_order
from tinynet.autograd.graph import TracedNode
from tinynet.autograd.modes import enable_grad, modes
from tinynet.autograd.report import UNKNOWN, GradcheckResult
from tinynet.autograd.slopes import Ruler
from tinynet.autograd.variable import Variable, wrap


@dataclass
class Call:
    """One op that was recorded: its arguments as they were, which were tracked, and the user's line."""

    op: Any
    arguments: list[Any]
    tracked: list[bool]
    options: dict[str, Any]
    line: str

    def function(self) -> Callable[..., Any]:
        """The op alone, as a function of its arguments."""
        if hasattr(self.op, "function"):
            return self.op.function.apply
        return lambda *args: self.op(*args, **self.options)

    def names(self) -> list[str]:
        """What its arguments are called."""
        n = len(self.arguments)
        known = self.op.params if hasattr(self.op, "params") else \
            list(inspect.signature(self.op.function.forward).parameters)[-n:]  # without ctx
        return [f"argument {known[k]!r}" if k < len(known) else f"argument {k + 1}"
                for k in range(n)]

    def leaves(self) -> list[Any]:
        """Its arguments again, with no history."""
        made = []
        for a, on in zip(self.arguments, self.tracked, strict=True):
            t = wrap(a) if hasattr(a, "dtype") else a
            if on:
                t.track()
            made.append(t)
        return made


@contextmanager
def listening() -> Iterator[list[Call]]:
    """Gather every op recorded in this block by this thread."""
    calls: list[Call] = []

    class Listener(TracedNode):
        __slots__ = ()

        def watch(self, arguments: Any, outputs: Any) -> None:
            kept = [a.copy() if hasattr(a, "dtype") else a for a in arguments]
            calls.append(Call(self.op, kept, [p is not None for p in self.inputs], self.options,
                              self.stack or "?"))

    before = modes.record, modes.anomaly
    modes.record, modes.anomaly = Listener, True
    try:
        yield calls
    finally:
        modes.record, modes.anomaly = before


def first_fault(func: Callable[..., Any], args: list[Any], order: int) -> str:
    """The first of the ops that func is made of whose own gradient (of this order) is wrong, in words."""
    before = [a.array.copy() if isinstance(a, Variable) else None for a in args]
    with np.errstate(all="ignore"), enable_grad(), listening() as calls, suppress(*RAISED):
        func(*args)  # if it raises, then because a backward inside it does: what ran before will do
    for a, b in zip(args, before, strict=True):
        if b is not None:
            a.array[...] = b
    for n, call in enumerate(calls):
        found = check_alone(call, order)
        if not found:
            where = f"{call.op.name} (op {n + 1} of {len(calls)}), which ran in {call.line}"
            lines = [f"First op at fault: {where}"]
            if len(calls) > 1:
                lines += [f"its gradient for {c.label} is wrong: {c.diagnosis or UNKNOWN}"
                          for c in found.inputs if c.status == "FAIL"]
                lines += found.problems
            return "\n    ".join(lines)
    if not calls:
        return "No op that needs a gradient was recorded."
    return (f"Every op that was recorded ({len(calls)}) is right by itself, so the graph does not show all "
            "that was computed: look for detach(), .data, .numpy(), no_grad, and values written past the "
            "ops.")


def check_alone(call: Call, order: int) -> GradcheckResult:
    """Check one op at the arguments it had; one that cannot be run alone is passed over."""
    leaves, labels = call.leaves(), call.names()
    op, how = call.function(), (Ruler(), 1e-5, 1e-3, math.inf, True)
    try:
        check = Comparison(op, op, leaves, labels, *how) if order == 1 else \
            second_order(op, leaves, labels, None, False, *how)
        return check.run(call.op.name, order)
    except RAISED:
        return GradcheckResult(call.op.name, order)
