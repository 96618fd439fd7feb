"""Numbers a person can read, and tables of them."""
from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

import numpy as np

UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def table(head: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> list[str]:
    """The head, a rule and the rows as lines; the first `left` columns begin at the left, the others end at the right.
    A row may be shorter than the head.

    >>> from tinynet.text import table
    >>> print(*table(["op", "calls"], [["add", "2"], ["matmul", "11"]]), sep="\\n")
    op      calls
    ─────────────
    add         2
    matmul     11
    """
    columns = list(zip_longest(head, *rows, fillvalue=""))
    widths = [max(map(len, column)) for column in columns]
    padded = [[cell.ljust(width) if k < left else cell.rjust(width) for cell in column]
              for k, (column, width) in enumerate(zip(columns, widths, strict=True))]
    lines = ["  ".join(row).rstrip() for row in zip(*padded, strict=True)]
    return [lines[0], "─" * max(map(len, lines)), *lines[1:]]


def numbers(a: Any, few: int = 8) -> str:
    """An array: a number, a few of them, or what there is to say of many.

    >>> from tinynet.text import numbers
    >>> numbers(0.1), numbers(np.eye(2)), numbers(np.ones((5, 4)))
    ('0.1', '[[1, 0], [0, 1]]', '5×4, norm 4.472')
    """
    a = np.asarray(a)
    if a.size > few:
        return f"{'×'.join(map(str, a.shape))}, norm {np.linalg.norm(a.ravel()):.4g}"
    return f"{a:.4g}" if a.ndim == 0 else f"[{', '.join(numbers(row, few) for row in a)}]"


def rounded(value: float) -> str:
    """A number with four digits, or with all that it has before the point.

    >>> from tinynet.text import rounded
    >>> rounded(0.408248), rounded(15189.4)
    ('0.4082', '15,189')
    """
    return f"{value:,.0f}" if abs(value) >= 1e4 else f"{value:.4g}"


def size(count: float) -> str:
    """A number of bytes.

    >>> from tinynet.text import size
    >>> size(100), size(900136)
    ('100 B', '879.0 KiB')
    """
    unit = 0
    while count >= 1024 and unit + 1 < len(UNITS):
        count, unit = count / 1024, unit + 1
    return f"{count:.1f} {UNITS[unit]}" if unit else f"{count:.0f} B"
