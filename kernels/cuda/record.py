"""What a kernel reads and writes, and how well it does so: for lessons, and for the curious."""
from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import use_kernels
from .emulator import Library, Passed, Settings
from .source import Kernel

RAW = np.dtype([("offset", "i8"), ("pc", "u8"), ("block", "u4"), ("thread", "u4"), ("space", "i2"), ("array", "i2"),
                ("size", "i4"), ("write", "i8")])  # host/memory.cpp has the same
ACCESS = np.dtype([("order", "i8"), ("array", "U32"), ("element", "i8"), ("size", "i4"), ("write", "?"),
                   ("shared", "?"), ("block", "i4"), ("thread", "i4"), ("line", "i4"), ("instruction", "i8"),
                   ("offset", "i8")])
SEGMENT = 128  # bytes that a card fetches at once
BANKS = 32  # of 4 bytes each, which shared memory serves at once


class Array(NamedTuple):
    """An array that a kernel knew."""

    shape: tuple[int, ...]
    itemsize: int
    shared: bool


class Launch:
    """One launch of a kernel: kernel, grid, block, arrays (by name), and accesses, a record of each access of memory:
    order, array, element (its number in the array), size (bytes), write, shared, block, thread, line (of the .cu file),
    instruction (the same number for what a warp does at once), offset (bytes)."""

    def __init__(self, library: Library, kernel: Kernel, sizes: Sequence[int], passed: Sequence[Passed],
                 addresses: Sequence[int]) -> None:
        self.kernel, self.grid, self.block = kernel.name, tuple(sizes[:3]), tuple(sizes[3:])
        shared = library.shared_arrays()
        self.arrays = {p.name: Array(p.array.shape, p.array.itemsize, False) for p in passed}
        self.arrays |= {name: Array((size // item,), item, True) for name, item, size in shared}
        self.accesses = self._read(library, [p.name for p in passed], [name for name, _, _ in shared], addresses)

    def _read(self, library: Library, given: list[str], shared: list[str], addresses: Sequence[int]) -> np.ndarray:
        first = ctypes.c_void_p()
        count = library.code.tn_recorded(ctypes.byref(first))
        raw = np.frombuffer(ctypes.string_at(first.value or 0, count * RAW.itemsize) if count else b"", RAW)
        found = np.zeros(count, ACCESS)
        found["order"] = np.arange(count)
        in_shared = raw["space"] == 1
        names = np.array([*given, *shared], ACCESS["array"])
        which = raw["array"] + in_shared * len(given)
        found["array"], found["shared"] = names[which] if count else "", in_shared
        items = np.array([self.arrays[name].itemsize for name in names], "i8")
        starts = np.array([*(address % SEGMENT for address in addresses), *[0] * len(shared)], "i8")
        if count:
            found["element"], found["offset"] = raw["offset"] // items[which], raw["offset"] + starts[which]
        for field in ("size", "write", "block", "thread"):
            found[field] = raw[field]
        codes, inverse = np.unique(raw["pc"], return_inverse=True)
        lines = np.array([place.line for place in library.places(codes.tolist())], "i4")
        found["line"] = lines[inverse] if count else 0
        found["instruction"] = instructions(raw)
        return found

    def counts(self, array: str, write: bool = False) -> np.ndarray:
        """How often each element of an array was read (or written), in the array's shape."""
        about = self.arrays[array]
        mine = self.accesses[(self.accesses["array"] == array) & (self.accesses["write"] == write)]
        times = np.zeros(math.prod(about.shape), "i8")
        for step in range(int(mine["size"].max(initial=0)) // about.itemsize):
            there = mine[mine["size"] > step * about.itemsize]
            np.add.at(times, there["element"] + step, 1)
        return times.reshape(about.shape)

    def transactions(self, array: str, write: bool = False) -> float:
        """How many pieces a warp's access falls into, on average. In global memory: segments of 128 bytes, at best one
        for 4 bytes a thread. In shared memory: turns, as two numbers in one bank wait for one another; at best one."""
        mine = self.accesses[(self.accesses["array"] == array) & (self.accesses["write"] == write)]
        if not len(mine):
            return 0.0
        if not self.arrays[array].shared:
            pieces = np.unique(np.stack([mine["instruction"], mine["offset"] // SEGMENT]), axis=1)
            return pieces.shape[1] / len(np.unique(mine["instruction"]))
        lanes = 4 * BANKS // mine["size"]  # so many are served at once
        turn = mine["instruction"] * BANKS + mine["thread"] % 32 // lanes
        word = np.unique(np.stack([turn, mine["offset"] // 4]), axis=1)
        turns, inverse = np.unique(word[0], return_inverse=True)
        in_bank = np.zeros((len(turns), BANKS), "i8")
        np.add.at(in_bank, (inverse, word[1] % BANKS), 1)
        return float(in_bank.max(1).mean())

    def __str__(self) -> str:
        blocks, threads = math.prod(self.grid), math.prod(self.block)
        lines = [f"{self.kernel}: {blocks:,} blocks of {threads} threads"]
        for name, about in self.arrays.items():
            for write, does in ((False, "read"), (True, "written")):
                times = self.counts(name, write)
                if times.any():
                    pieces = "turns" if about.shared else "segments"
                    lines.append(f"  {'shared ' if about.shared else ''}{name}: each of {times.size:,} elements {does} "
                                 f"{times.sum() / times.size:.3g} times, in "
                                 f"{self.transactions(name, write):.3g} {pieces} a warp")
        return "\n".join(lines)


def instructions(raw: np.ndarray) -> np.ndarray:
    """For each access, the number of the instruction of a warp that it is a part of: the n-th time that each of its
    threads comes to the same place in the code."""
    order = np.lexsort((np.arange(len(raw)), raw["pc"], raw["thread"], raw["block"]))
    keys = raw[["block", "thread", "pc"]][order]
    starts = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]]) if len(raw) else np.zeros(0, int)
    times = np.arange(len(raw)) - np.repeat(starts, np.diff(np.r_[starts, len(raw)]))
    together = np.zeros(len(raw), [("block", "u4"), ("warp", "u4"), ("pc", "u8"), ("time", "i8")])
    together["block"], together["warp"], together["pc"] = raw["block"], raw["thread"] // 32, raw["pc"]
    together["time"][order] = times
    return np.unique(together, return_inverse=True)[1]


class emulate:
    """Run the CUDA kernels on the CPU inside a `with`, and record every access of memory, of each launch.

    reverse: the last thread first, which changes nothing if the kernel is right. Needs g++, and no card; CompileError
    without.

    >>> with tn.cuda.emulate() as seen:
    ...     pass  # tn.softmax(x, 1), say, of which seen.launches then has the kernel's accesses
    >>> print(seen)
    no kernel was launched
    """

    def __init__(self, *, record: bool = True, reverse: bool = False) -> None:
        self.record, self.reverse = record, reverse
        self.launches: list[Launch] = []

    def __enter__(self) -> emulate:
        self.before = Settings.recorder, Settings.reverse, use_kernels("emu")
        Settings.recorder, Settings.reverse = self._add if self.record else None, self.reverse
        return self

    def __exit__(self, *exc: object) -> None:
        Settings.recorder, Settings.reverse, kernels = self.before
        kernels.__exit__()

    def _add(self, *launch: Any) -> None:
        self.launches.append(Launch(*launch))

    def __str__(self) -> str:
        return "\n".join(map(str, self.launches)) or "no kernel was launched"
