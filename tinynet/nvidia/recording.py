"""What a training step asks of the code below it while it is recorded as a CUDA graph (`tinynet.cuda.Graph`).

What is recorded are commands with their arguments: a number that Python hands to a kernel is the same at every replay.
So the few that change from step to step (the learning rate, the factors of Adam's t, where a stream of random numbers
stands) are read by the kernels in the GPU's memory, where the processor writes new ones before each replay. Nobody
asks anything here while no step is recorded.
"""
from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

ROOM = 256  # cells of 8 bytes


class Refused(RuntimeError):
    """Why a step cannot be recorded."""


class _Now(threading.local):
    tape: Tape | None = None  # of the step that this thread is recording


class Tape:
    """What a recorded step must be told before each replay."""

    def __init__(self, xp: Any) -> None:
        self.memory, self._cells = xp.zeros(ROOM, "uint64"), np.zeros(ROOM, np.uint64)
        self._sent = b""
        self._used = 0
        self._tell: list[Callable[[], None]] = []
        self.optimizers: dict[Any, list[Any]] = {}  # and the learning rates that their groups had
        self.streams: dict[Any, _Stream] = {}

    def numbers(self, count: int, dtype: Any, now: Callable[[], Sequence[float]]) -> Any:
        """An array of so many numbers on the GPU, which at each replay holds what now() gives then."""
        there, here = self._slot(-(-count * np.dtype(dtype).itemsize // 8), dtype)

        def tell() -> None:
            here[:count] = now()

        self._tell.append(tell)
        return there

    def advance(self, generator: Any, blocks: int) -> Any:
        """Where the generator stands, as a whole number on the GPU; it goes on by so many blocks, at each replay."""
        if generator not in self.streams:
            stream = self.streams[generator] = _Stream(generator, *self._slot(1, "uint64"))
            self._tell.append(stream.tell)
        return self.streams[generator].advance(blocks)

    def _slot(self, cells: int, dtype: Any) -> tuple[Any, Any]:
        """Some cells of the memory, and those of the processor that are copied there."""
        begin, self._used = self._used, self._used + cells
        if self._used > ROOM:
            raise Refused(f"more than {ROOM} of its numbers change from step to step: give the optimizer fewer groups")
        return self.memory[begin:self._used].view(dtype), self._cells[begin:self._used].view(dtype)

    def tell(self) -> None:
        """Write what is true now, if it is not what was written last. (The copy waits for nothing: so few bytes go with
        the command.)"""
        for tell in self._tell:
            tell()
        cells = self._cells[:self._used]
        if cells.tobytes() != self._sent:
            self.memory[:self._used].set(cells)
            self._sent = cells.tobytes()


class _Stream:
    """A generator of random numbers on the GPU, from which a recorded step draws."""

    def __init__(self, generator: Any, there: Any, here: Any) -> None:
        self.generator, self.seed = generator, generator.initial_seed()
        self._there, self._here, self._drawn = there, here, 0

    def advance(self, blocks: int) -> Any:
        before, self._drawn = self._drawn, self._drawn + blocks
        return self._there[0] + before

    def tell(self) -> None:
        self._here[0] = self.generator.advance(self._drawn)


now = _Now()


def only_eager(reason: str) -> None:
    """Refuse to go on while a step is recorded."""
    if now.tape is not None:
        raise Refused(reason)
