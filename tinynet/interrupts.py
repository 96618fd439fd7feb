"""Ctrl-C between two steps, not in the middle of one."""
from __future__ import annotations

import signal
import threading
from typing import Any


class Interrupts:
    """While this is entered Ctrl-C waits for the next check(), which raises KeyboardInterrupt; a second one does not
    wait. Outside the main thread, and where the program has a handler of its own, nothing is changed."""

    _asked = False

    def __enter__(self) -> Interrupts:
        mine = threading.current_thread() is threading.main_thread()
        self._changed = mine and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self._changed:
            signal.signal(signal.SIGINT, self._note)
        return self

    def _note(self, number: int, frame: Any) -> None:
        self._asked = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def check(self) -> None:
        """KeyboardInterrupt, if it was asked for."""
        if self._asked:
            self._asked = False
            raise KeyboardInterrupt

    def __exit__(self, kind: Any, *rest: object) -> None:
        if self._changed:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if kind is None:
            self.check()
