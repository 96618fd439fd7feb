"""What the emulator found wrong with a kernel, in a sentence with the line, the threads and the array."""
from __future__ import annotations

import ctypes
import functools
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple


class Party(ctypes.Structure):
    """One side of a fault."""

    _fields_ = [("pc", ctypes.c_void_p), ("block", ctypes.c_uint32), ("thread", ctypes.c_uint32),
                ("write", ctypes.c_int32)]


class Report(ctypes.Structure):
    """host/emulator.h has the same."""

    _fields_ = [("fault", ctypes.c_int32), ("space", ctypes.c_int32), ("array", ctypes.c_int32),
                ("size", ctypes.c_int32), ("offset", ctypes.c_int64), ("one", Party), ("other", Party),
                ("type", ctypes.c_char_p)]


FAULTS = ("none", "race", "out of bounds", "index", "unwritten", "misaligned", "in flight", "left early",
          "two barriers", "deadlock", "absent lane", "outside mask", "division", "stack", "too much shared")
SENTENCES = {
    "race": "{one} {does} {where}, and {other} {did} it at {there}, {why}: which comes first is left to chance",
    "out of bounds": "{one} {does} {where}, which has {length} elements",
    "index": "{one} uses index {index} for a {type}",
    "unwritten": "{one} reads {where}, which no thread of its block has written so far: if one will, a barrier is "
                 "missing",
    "misaligned": "{one} {does} {size} bytes at {where}, whose address is not a multiple of {size}",
    "in flight": "{one} {does} {where}, to which {other} copies asynchronously since {there}: it has not yet waited "
                 "for the copy",
    "left early": "{one} waits at a barrier that {other} does not reach, for it has left the kernel",
    "two barriers": "{one} waits at this barrier, and {other} at that of {there}: all threads of a block must meet at "
                    "one",
    "deadlock": "{one} waits for its warp, and {other}, whom it has named, {elsewhere}",
    "absent lane": "{one} asks for the number of a lane that does not take part",
    "outside mask": "{one} calls with a mask that leaves it out",
    "division": "{one} divides by zero",
    "stack": "{one} has more local variables than the emulator has room for",
    "too much shared": "the kernel asks for more shared memory than a card has: 48 KiB if declared with its size, and "
                       "up to 227 KiB if given at the launch",
}


class KernelFault(RuntimeError):
    """A kernel does what no kernel may. Attributes: fault (a word of FAULTS), kernel, file, line, array."""

    def __init__(self, message: str, fault: str, kernel: str, file: str, line: int, array: str | None) -> None:
        super().__init__(message)
        self.fault, self.kernel, self.file, self.line, self.array = fault, kernel, file, line, array


class Place(NamedTuple):
    """A line of a file."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{Path(self.file).name}:{self.line}"


@functools.cache
def _addr2line() -> str | None:
    return shutil.which("addr2line")


_known: dict[tuple[str, int], Place] = {}  # (library, offset)


def places(library: Path, image: int, addresses: Sequence[int], file: str) -> list[Place]:
    """The lines of `file` (not of the words that it uses) that calls return to; line 0 where that is not known."""
    offsets = [int(address) - image - 1 for address in addresses]
    unknown = sorted({offset for offset in offsets if (str(library), offset) not in _known})
    tool = _addr2line()
    if unknown and tool:
        given = "\n".join(hex(offset) for offset in unknown)
        command = [tool, "-a", "-i", "-e", str(library)]
        told = subprocess.run(command, input=given, capture_output=True, text=True, check=True)
        for part, offset in zip(re.split("^0x", told.stdout, flags=re.MULTILINE)[1:], unknown, strict=True):
            chain = [line.partition(" (")[0].rpartition(":") for line in part.splitlines()[1:]]
            ours = [line for path, _, line in chain if Path(path).name == Path(file).name and line.isdigit()]
            lines = [Place(file, int(line)) for line in ours]
            _known[str(library), offset] = lines[0] if lines else Place(file, 0)
    return [_known.get((str(library), offset), Place(file, 0)) for offset in offsets]


def thread_of(number: int, block: int, sizes: Sequence[int]) -> str:
    """Thread and block by their coordinates, as far as there are any."""
    def coordinates(n: int, size: Sequence[int]) -> Any:
        at = n % size[0], n // size[0] % size[1], n // (size[0] * size[1])
        used = 3 if size[2] > 1 else 2 if size[1] > 1 else 1
        return at[0] if used == 1 else at[:used]
    return f"thread {coordinates(number, sizes[3:])} of block {coordinates(block, sizes[:3])}"


def explain(report: Report, kernel: str, file: str, sizes: Sequence[int], arrays: Sequence[tuple[str, int, int]],
            place: Any) -> KernelFault:
    """The exception for a report. arrays: the name, bytes of an element and bytes of each of its space; place: of an
    address, the line."""
    fault = FAULTS[report.fault]
    here, there = place(report.one.pc), place(report.other.pc)
    known = 0 <= report.array < len(arrays)
    name, element, size = arrays[report.array] if known else ("memory of nobody's", 1, 0)
    text = SENTENCES[fault].format(
        one=thread_of(report.one.thread, report.one.block, sizes),
        other=thread_of(report.other.thread, report.other.block, sizes),
        why="with no barrier between them" if report.one.block == report.other.block else "and blocks run in any order",
        does="writes" if report.one.write else "reads", did="writes" if report.other.write else "reads",
        where=f"{'shared ' if report.space else ''}{name}[{report.offset // element}]" if known else name,
        index=report.offset, type=(report.type or b"").decode().strip("'"), there=there, size=report.size,
        length=size // element,
        elsewhere=f"waits at {there}" if report.other.pc else "has left the kernel")
    return KernelFault(f"{here}: in {kernel}, {text}", fault, kernel, here.file, here.line, name if known else None)
