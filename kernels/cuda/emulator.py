"""Kernels on the CPU: each CUDA thread a fiber, each access of memory looked at (host/ has how).

A launch takes NumPy arrays. With checks, it runs on copies of them that lie far apart, so that a step beyond the end of
one is seen; what the kernel may have written is copied back.
"""
from __future__ import annotations

import ctypes
import functools
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.array_utils import byte_bounds

from . import compiler, report
from .source import Argument, Kernel, Source

GAP = 64 << 10  # bytes between arrays
ALIGNED = 256  # as a card's allocations are
_one_launch = threading.RLock()  # at a time: the emulator has one set of threads


class Settings:
    """How launches run."""

    checks = True
    reverse = False  # the last thread and block first
    recorder: Any = None  # told of every launch


class Passed(NamedTuple):
    """An array that a kernel is given: for which argument, and may it write there?"""

    name: str
    array: Any
    written: bool


class Library:
    """A compiled source."""

    def __init__(self, source: Source, checks: bool) -> None:
        self.source, self.path = source, compiler.library(source, checks)
        self.code = ctypes.CDLL(str(self.path))
        self.code.tn_image.restype = self.code.tn_recorded.restype = ctypes.c_uint64
        self.image = self.code.tn_image()

    def places(self, addresses: Sequence[int]) -> list[report.Place]:
        """Where in the source these addresses of its code are."""
        return report.places(self.path, self.image, addresses, self.source.file)

    def shared_arrays(self) -> list[tuple[str, int, int]]:
        """The name, bytes of an element and bytes of each __shared__ array of the last launch."""
        found: list[tuple[str, int, int]] = []
        name, element, size = ctypes.c_char_p(), ctypes.c_uint(), ctypes.c_size_t()
        pointers = [ctypes.byref(part) for part in (name, element, size)]
        while self.code.tn_shared_array(len(found), *pointers):
            found.append(((name.value or b"").decode(), element.value, size.value))
        return found


@functools.cache
def library(source: Source, checks: bool) -> Library:
    """A source, compiled and loaded."""
    return Library(source, checks)


class Spans:
    """The memory of arrays: those that overlap are one span, and each span a copy with room around it."""

    def __init__(self, passed: Sequence[Passed]) -> None:
        bounds = sorted({byte_bounds(p.array) for p in passed if p.array.size})
        spans: list[list[int]] = []
        for start, end in bounds:
            if spans and start < spans[-1][1]:
                spans[-1][1] = max(end, spans[-1][1])
            else:
                spans.append([start, end])
        self.spans, self.at, room = spans, [], GAP
        for start, end in spans:
            room = -(-room // ALIGNED) * ALIGNED + self.offset(start, passed)
            self.at.append(room)
            room += end - start + GAP
        self.memory = np.full(room + ALIGNED, 0x7F, np.uint8)
        self.base = -(-self.memory.ctypes.data // ALIGNED) * ALIGNED
        for (start, end), at in zip(spans, self.at, strict=True):
            ctypes.memmove(self.base + at, start, end - start)

    @staticmethod
    def offset(start: int, passed: Sequence[Passed]) -> int:
        """How far into its allocation a span starts: on a card, the allocation would be aligned."""
        owner = next(p.array for p in passed if p.array.size and byte_bounds(p.array)[0] == start)
        while isinstance(owner.base, np.ndarray):
            owner = owner.base
        return (start - owner.ctypes.data) % ALIGNED

    def address(self, array: Any) -> int:
        """Where the copy of an array starts."""
        pointer = array.ctypes.data
        for (start, end), at in zip(self.spans, self.at, strict=True):
            if start <= pointer < end:
                return self.base + at + pointer - start
        return self.base  # of an array without elements: in the gap

    def copy_back(self, passed: Sequence[Passed]) -> None:
        """What may have been written, to where it belongs."""
        for p in passed:
            if p.written and p.array.size:
                start, end = byte_bounds(p.array)
                ctypes.memmove(start, self.address(p.array) + start - p.array.ctypes.data, end - start)


def launch(source: Source, kernel: Kernel, sizes: Sequence[int], shared: int,
           values: Sequence[tuple[Argument, Any]]) -> None:
    """Run a kernel. sizes: three of the grid, three of a block; values: what each argument is, checked."""
    checks = Settings.checks or Settings.recorder is not None
    compiled = library(source, checks)
    passed = [Passed(f"{a.name}[{k}]" if a.length > 1 else a.name, array, a.written)
              for a, value in values if a.pointer
              for k, array in enumerate(value if a.length > 1 else [value]) if array is not None]
    with _one_launch:
        spans = Spans(passed) if checks else None
        address = spans.address if spans else lambda array: array.ctypes.data
        packed = pack(kernel, values, address)
        code, result = compiled.code, report.Report()
        code.tn_forget_arrays()
        if checks:
            for number, p in enumerate(passed):
                start, end = byte_bounds(p.array) if p.array.size else (0, 0)
                at = address(p.array) + (start - p.array.ctypes.data if p.array.size else 0)
                code.tn_array(ctypes.c_void_p(at), ctypes.c_size_t(end - start), ctypes.c_uint(p.array.itemsize),
                              number)
        pointers = (ctypes.c_void_p * len(packed))(*[part.ctypes.data for part in packed])
        code.tn_forget_record()
        wrong = code.tn_launch(getattr(code, f"enter_{kernel.name}"), pointers, (ctypes.c_uint * 6)(*sizes),
                               ctypes.c_size_t(shared), Settings.reverse, checks, Settings.recorder is not None,
                               ctypes.byref(result))
        if wrong:
            globals_ = [(p.name, p.array.itemsize, p.array.size * p.array.itemsize) for p in passed]
            arrays = compiled.shared_arrays() if result.space else globals_

            def place(address: int | None) -> report.Place:
                return compiled.places([address])[0] if address else report.Place(source.file, 0)

            raise report.explain(result, kernel.name, source.file, sizes, arrays, place)
        if spans:
            spans.copy_back(passed)
        if Settings.recorder is not None:
            Settings.recorder(compiled, kernel, sizes, passed, [address(p.array) for p in passed])


def pack(kernel: Kernel, values: Sequence[tuple[Argument, Any]], address: Any) -> list[np.ndarray]:
    """The arguments in memory, as a launch wants them: each by itself, or one struct."""
    if kernel.layout is None:
        return [np.array(bits(a, value, address), np.uint64 if a.pointer else a.dtype) for a, value in values]
    flat: list[Any] = []
    for argument, value in values:
        if argument.length > 1:
            flat += [bits(argument, one, address) for one in value]
            flat += [0] * (argument.length - len(value))
        else:
            flat.append(bits(argument, value, address))
    return [np.frombuffer(kernel.layout.pack(*flat), np.uint8)]


def bits(argument: Argument, value: Any, address: Any) -> Any:
    """A number as it is; an array's address."""
    return value if not argument.pointer else 0 if value is None else address(value)
