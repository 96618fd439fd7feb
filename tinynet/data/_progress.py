"""The one progress bar: on stderr, and quiet in a log."""
from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any


def progress(items: Iterable[Any] | None = None, **options: Any) -> Any:
    """A tqdm bar; where stderr is no terminal it writes a line every ten seconds and at the end."""
    from tqdm import tqdm

    terminal = sys.stderr.isatty()
    interval = 0.1 if terminal else 10.0
    return tqdm(items, file=sys.stderr, dynamic_ncols=terminal, mininterval=interval, **options)
