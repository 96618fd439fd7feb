"""Mistakes in the values that a GPU works on, found there and told later.

A label out of range, say: on the CPU one looks and raises. On a GPU to look means to wait until it has computed all
that was asked of it, and then it has nothing to do while the processor goes on. So a note is made in the GPU's own
memory, and read when values come from there anyway: by item(), cpu(), print(), synchronize(). (PyTorch's assertions on
a GPU are told so, too.) Under `detect_anomaly()` one looks and waits.
"""
from __future__ import annotations

import sys
import threading
from typing import Any

import numpy as np

ROOM = 64  # kinds of mistakes


class _Mode(threading.local):
    at_once = False  # set by detect_anomaly


class _Notes:
    """The notes on one device: a bool there for each kind of mistake that was looked for."""

    def __init__(self, xp: Any) -> None:
        self.flags = xp.zeros(ROOM, bool)
        self.kinds: list[tuple[type[Exception], str]] = []


mode = _Mode()
_notes: dict[int, _Notes] = {}  # by the number of the device


def found(wrong: Any, error: type[Exception], text: str) -> bool:
    """Whether an element of `wrong`, an array of bools, is true, as far as that can be said now: for arrays on a GPU it
    is noted, and `error` with this text raised when values are next read. (A constant text: it stands for a kind.)"""
    if isinstance(wrong, (np.ndarray, np.generic)) or mode.at_once:
        return bool(wrong.any())
    kind, number = (error, text), wrong.device.id
    with wrong.device:
        if number not in _notes:
            _notes[number] = _Notes(sys.modules[type(wrong).__module__.partition(".")[0]])
        notes = _notes[number]
        if kind not in notes.kinds:
            if len(notes.kinds) == ROOM:
                return bool(wrong.any())
            notes.kinds.append(kind)
        k = notes.kinds.index(kind)
        note = notes.flags[k:k + 1]
        note |= wrong.any()
    return False


def look() -> None:
    """Raise what was noted, on whatever device; called where values were read, so nothing is waited for."""
    for notes in _notes.values():
        if notes.kinds:
            flags = notes.flags.get()
            if flags.any():
                notes.flags[...] = False
                error, text = notes.kinds[int(flags.argmax())]
                raise error(f"{text} (found on the GPU some time ago: with tn.autograd.detect_anomaly() the op that it "
                            "comes from raises)")


def forget() -> None:
    """As if nothing had ever been looked for."""
    _notes.clear()
