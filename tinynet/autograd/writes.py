"""The clock, and when each memory was last written in place."""
from __future__ import annotations

import itertools
import weakref
from collections.abc import Iterable
from typing import Any

from numpy import ndarray

from tinynet.dtypes import Array

tick = itertools.count(1).__next__  # one clock dates nodes and writes: "saved, then written" compares two dates


def owner(a: Array) -> Array:
    """The array whose memory a views."""
    return a if a.base is None or type(a.base) is not type(a) else a.base


class _Writes:
    """When each memory was last written, keyed by the array that owns it: views share the date, tensors carry
    nothing, and an op whose operands nobody writes over pays for one comparison."""

    def __init__(self) -> None:
        self.last = 0
        self._dates: dict[int, tuple[int, str, Any]] = {}
        self._used: dict[int, bool] = {}  # gradients that an optimizer used: has backward() added to them since?

    def record(self, *arrays: Array, line: str = "run under detect_anomaly() to see where") -> int:
        """Note that these arrays' memory was written now (by `line`, where known); returns the date."""
        self.last = now = tick()
        for a in arrays:
            memory = a if a.base is None else owner(a)
            key = id(memory)
            known = self._dates.get(key)
            self._dates[key] = now, line, known[2] if known else self._watch(memory)
            self._used.pop(key, None)
        return now

    def _watch(self, memory: Array) -> Any:
        """What forgets the memory when it goes, before another array can be given the same id."""
        key = id(memory)
        return weakref.ref(memory, lambda _: (self._dates.pop(key, None), self._used.pop(key, None)))

    def use(self, gradient: Array) -> bool:
        """Note that an optimizer uses this gradient. True if one did before, and backward() has only added to it
        since: nobody cleared it."""
        memory = owner(gradient)
        key = id(memory)
        if key not in self._dates:
            self._dates[key] = 0, "", self._watch(memory)
        stale, self._used[key] = self._used.get(key, False), False
        return stale

    def add(self, gradient: Array) -> None:
        """Record that backward() added to this gradient."""
        key = id(owner(gradient))
        used = key in self._used
        self.record(gradient)
        if used:
            self._used[key] = True

    def after(self, date: int, arrays: Iterable[Any]) -> str | None:
        """The line that wrote over one of the arrays after the date; None if none did."""
        for a in arrays:
            if type(a) is ndarray or hasattr(a, "dtype"):
                written = self._dates.get(id(owner(a)))
                if written is not None and written[0] > date:
                    return written[1]
        return None

    def version(self, array: Array) -> int:
        """The date of the last write to the array's memory; 0 if it was never written."""
        return self._dates.get(id(owner(array)), (0, "", None))[0]


writes = _Writes()
