"""CSV files: text in, columns of cells out; and of every fault where it stands."""
from __future__ import annotations

import csv
import gzip
import io
import os
import re
import warnings
import zlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinynet.dtypes import Array

MISSING = frozenset(("", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "#N/A", "<NA>"))  # pandas' own
LARGE = 4_000_000  # characters: from here on importing pandas is made up for by its speed
PLAIN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
SUGGESTED = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


# Errors give hints in the words of read_csv(). What a command says instead: its options ...
OPTIONS = {r"(missing|encoding)='(\S+?)'": r"--\1 \2", r"delimiter=": "--delimiter ",
           r"features=\[\.\.\.\]": "--features A,B"}
# ... or, where it has none of these, what to do with the file
EDITS = {r"missing='drop' leaves such rows out": "take such rows out of the file",
         r"Then say delimiter='.+?'": "Then write it with commas", r"say so: encoding='.+?'": "save it as UTF-8",
         r"Leave it out with features=\[\.\.\.\]": "Take it out of the file",
         r"choose others with features=\[\.\.\.\]": "take it out of the file"}


@contextmanager
def hints_as(words: Mapping[str, str]) -> Iterator[None]:
    """A block whose ValueErrors give their hints in other words."""
    try:
        yield
    except ValueError as problem:
        text = str(problem)
        for pattern, other in words.items():
            text = re.sub(pattern, other, text)
        raise ValueError(text) from problem


@dataclass
class Sheet:
    """Columns by name: of numbers (float64, NaN where there is none) or of cells ("" where there is nothing); and the
    line of each row, for messages."""

    columns: dict[str, Array | list[str]]
    lines: list[int] | None = None
    name: str = "the table"

    def where(self, row: int) -> str:
        """What a message calls a row."""
        return f"row {row}" if self.lines is None else f"{self.name}, line {self.lines[row]}"


def read_text(path: str | os.PathLike[str], encoding: str) -> str:
    """The text of a file, compressed (.gz) or not, without a byte order mark. ValueError if it is in another
    encoding."""
    path = Path(path).expanduser()
    data = path.read_bytes()
    if path.suffix == ".gz":
        try:
            data = gzip.decompress(data)
        except (gzip.BadGzipFile, EOFError, zlib.error) as problem:
            raise ValueError(f"{path} is no whole gzip file: {problem}") from None
    try:
        return data.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as problem:
        line = data.count(b"\n", 0, problem.start) + 1
        byte = data[problem.start]
        hint = SUGGESTED.get(data[:2], "latin-1")
        raise ValueError(f"{path}, line {line}: byte 0x{byte:02x} is not {encoding}; if the file is in another one, "
                         f"say so: encoding={hint!r}") from None
    except LookupError:
        raise ValueError(f"there is no encoding {encoding!r}; there are 'utf-8', 'latin-1', 'cp1252', 'utf-16', ...") \
            from None


def number(cell: str) -> float | None:
    """The number in a cell; nan for a missing one, None for anything else, also for one that float() would take."""
    if cell in MISSING:
        return float("nan")
    return float(cell) if PLAIN.fullmatch(cell) else None


def by_csv(text: str, delimiter: str, name: str) -> Sheet:
    """The cells, read with Python's csv. ValueError says in which line something is wrong."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
    header: list[str] = []
    rows, lines = [], []
    try:
        for cells in reader:
            if not cells:  # an empty line
                continue
            if not header:
                header = [cell.strip() for cell in cells]
                _check_header(header, name)
                continue
            if len(cells) != len(header):
                raise ValueError(f"{name}, line {reader.line_num}: {len(cells)} cells, expected {len(header)}")
            rows.append([cell.strip() for cell in cells])
            lines.append(reader.line_num)
    except csv.Error as problem:
        raise ValueError(f"{name}, line {reader.line_num}: {problem}") from None
    if not rows:
        raise ValueError(f"{name} has no rows: nothing but the line of names" if header else f"{name} is empty")
    found = zip(header, zip(*rows, strict=True), strict=True)
    columns = {column: ["" if cell in MISSING else cell for cell in cells] for column, cells in found}
    return Sheet({**columns}, lines, name)


def _check_header(header: list[str], name: str) -> None:
    """ValueError for names that stand there twice, and for numbers in their place."""
    twice = next((column for column in header if header.count(column) > 1), None)
    if twice is not None:
        places = " and ".join(str(k + 1) for k, column in enumerate(header) if column == twice)
        what = f"the column {twice!r}" if twice else "a column without a name"
        raise ValueError(f"{name} has {what} more than once: columns {places}")
    if all(PLAIN.fullmatch(column) for column in header):
        raise ValueError(f"{name} has no names of columns: its first line is {delimited(header)}. Put a line of names "
                         "above it")


def delimited(cells: list[str]) -> str:
    """Cells for a message."""
    return ", ".join(cells[:6]) + ", ..." * (len(cells) > 6)


def by_pandas(text: str, delimiter: str, name: str, words: Collection[str]) -> Sheet | None:
    """The same, read with pandas, which is faster; the columns of `words` stay words. None where pandas is not there,
    and for any file with which it might do something else than by_csv: that one says then what is wrong."""
    try:
        import pandas
    except ImportError:
        return None
    text = text.replace("\r\n", "\n")
    if '"' in text or "\r" in text or "\0" in text:
        return None
    separators = {line.count(delimiter) for line in text.split("\n") if line}  # pandas fills up rows that are too short
    if len(separators) != 1 or separators == {0}:
        return None
    header = [cell.strip() for cell in next(line for line in text.split("\n") if line).split(delimiter)]
    try:
        _check_header(header, name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of float_precision, whose default is exact one day
            warnings.simplefilter("error", pandas.errors.ParserWarning)
            exact = {"float_precision": "round_trip"} if int(pandas.__version__.partition(".")[0]) < 4 else {}
            frame = pandas.read_csv(
                io.StringIO(text), sep=delimiter, names=header, header=0, index_col=False, dtype=dict.fromkeys(
                    {*words} & {*header}, str), keep_default_na=False, na_values=[*MISSING], low_memory=False,
                quoting=csv.QUOTE_NONE, **exact)
    except (ValueError, pandas.errors.ParserWarning):  # pandas' own errors are ValueErrors
        return None
    columns: dict[str, Array | list[str]] = {}
    for column in header:
        cells = frame[column]
        if cells.dtype.kind in "iuf":
            columns[column] = cells.to_numpy(np.float64)
            if np.isinf(columns[column]).any():
                return None
        elif cells.dtype.kind == "b" or len(frame) == 0:  # True, TRUE or true?
            return None
        else:
            there = cells.notna().to_numpy(bool)
            stripped = [str(cell).strip() if known else "" for cell, known in zip(cells.tolist(), there, strict=True)]
            columns[column] = ["" if cell in MISSING else cell for cell in stripped]
    return Sheet(columns, None, name) if len(frame) else None
