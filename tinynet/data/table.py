"""Tables in CSV files, as one matrix of numbers."""
from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from tinynet.dtypes import Array


def read_table(lines: Iterable[str], columns: Sequence[str], choices: Mapping[str, Sequence[str]],
               what: str) -> tuple[list[str], Array]:
    """The names of the columns and the rows (float32) of a CSV file whose first line has (at least) these names.

    An empty number is NaN. A column of two choices, say no and yes, becomes 0 or 1; one of more becomes as many
    columns `name=choice`, of which one is 1 and the others 0. RuntimeError names the line that is not as it should be.
    """
    reader = csv.reader(lines)
    header = next(reader, [])
    missing = [name for name in columns if name not in header]
    if missing:
        raise RuntimeError(f"{what} has no column {', '.join(missing)}; its first line has {', '.join(header) or '-'}")
    names: list[str] = []
    for name in columns:
        several = choices.get(name, ())[2:]
        names += [f"{name}={choice}" for choice in choices[name]] if several else [name]
    rows = []
    for cells in reader:
        if len(cells) != len(header):
            raise RuntimeError(f"{what}, line {reader.line_num}: {len(cells)} cells, expected {len(header)}")
        row: list[float] = []
        for name in columns:
            cell = cells[header.index(name)]
            try:
                row += _numbers(cell, choices.get(name))
            except ValueError:
                expected = f"one of {', '.join(choices[name])}" if name in choices else "a number"
                raise RuntimeError(f"{what}, line {reader.line_num}: {name} is {cell!r}, expected {expected}") from None
        rows.append(row)
    if not rows:
        raise RuntimeError(f"{what} has no rows")
    return names, np.array(rows, np.float32)


def _numbers(cell: str, choices: Sequence[str] | None) -> list[float]:
    if choices is None:
        return [float(cell or "nan")]
    chosen = list(choices).index(cell)
    return [chosen] if len(choices) == 2 else [float(k == chosen) for k in range(len(choices))]
