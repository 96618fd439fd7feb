"""The one progress bar: on stderr, and quiet in a log; in a notebook a widget."""
from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any


def progress(items: Iterable[Any] | None = None, **options: Any) -> Any:
    """A tqdm bar; where stderr is neither terminal nor notebook it writes a line every ten seconds and at the end."""
    notebook = "ipykernel" in sys.modules
    if notebook:
        from tqdm.auto import tqdm
    else:
        from tqdm import tqdm

    terminal = sys.stderr.isatty()
    interval = 0.1 if terminal or notebook else 10.0
    bare = terminal and not notebook and 0 in _size()  # one that does not know its size: tqdm would show no bar
    return tqdm(items, file=sys.stderr, dynamic_ncols=terminal and not bare, mininterval=interval,
                **({"ncols": 80, "nrows": 24} if bare else {}), **options)


def _size() -> Sequence[int]:
    """Columns and rows of the terminal, 0 if it does not know them."""
    try:
        return os.get_terminal_size(sys.stderr.fileno())
    except (OSError, ValueError, AttributeError):  # it is closed, or of another kind
        return 0, 0


class EpochBar:
    """The bar of an epoch: its share that is done, the time left, samples a second, the figures so far."""

    def __init__(self, name: str, samples: int | None, done: int, silent: bool) -> None:
        form = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"
        later = 0.0 if "ipykernel" in sys.modules else 1e-9  # nothing is shown before there is something to tell
        self.bar = progress(desc=name, total=samples, initial=done, disable=silent, bar_format=form, delay=later)
        self.done, self.began, self.speed = done, time.monotonic(), ""
        self.next = self.began  # when to show figures again

    def __enter__(self) -> EpochBar:
        return self

    def __exit__(self, *exc: object) -> None:
        self.bar.close()

    def advance(self, done: int, figures: Callable[[], dict[str, float]]) -> None:
        """So many samples are done. figures() gives the figures so far; it is asked so seldom that it costs little."""
        if self.bar.disable:
            return
        now = time.monotonic()
        speed = (done - self.done) / max(now - self.began, 1e-9)
        self.speed = f"{speed:.0f} samples/s" if speed >= 1 else f"{speed:.2g} samples/s"
        if now > self.next:
            with warnings.catch_warnings():  # of metrics that a part of the epoch does not define
                warnings.simplefilter("ignore")
                self._show(figures())
            end = time.monotonic()
            self.next = end + max(self.bar.mininterval, 20 * (end - now))
        self.bar.update(done - self.bar.n)

    def finish(self, figures: dict[str, float]) -> None:
        """Show the figures of the whole epoch, however long the line becomes."""
        self.bar.ncols = self.bar.dynamic_ncols = None
        self.bar.delay = 0
        self._show(figures)

    def _show(self, figures: dict[str, float]) -> None:
        parts = [self.speed, *(f"{name} {value:.4g}" for name, value in figures.items())]
        self.bar.set_postfix_str(", ".join(part for part in parts if part), refresh=False)
