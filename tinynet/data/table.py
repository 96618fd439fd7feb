"""Tables of numbers and words, from CSV files, pandas' frames or columns: as tensors to learn from."""
from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from tinynet.data import csvfile
from tinynet.data.csvfile import Sheet, number
from tinynet.data.dataset import TensorDataset
from tinynet.data.preprocessing import OneHotEncoder, listed, nearest
from tinynet.dtypes import Array
from tinynet.metrics import to_numpy
from tinynet.ops import from_numpy
from tinynet.tensor import Tensor

MOST = 1000  # different words in a column; one of more names its rows


class Table(TensorDataset):
    """A table as (x, y): x the `features`, float32, N x features; y the `target`, a column float32, N x 1, or, where it
    holds words, their labels, int64, N, with the words in `classes`. Without a target there is x alone.

    columns: a mapping from names to columns of numbers or words: a dict of arrays, or a DataFrame. features: the
    columns to take, by default all but the target. one_hot: names of columns of words; or True, all that hold no
    number. Each becomes columns "name=word" of which one is 1, or a single one where there are but two words; a dict
    gives the words of each. missing: what to do with None, NaN and empty cells: "error"; "drop" those rows; or "nan",
    leave them NaN. ValueError for all that is not as it should be, with its row, its column and what to do.

    >>> table = tn.data.Table({"size": [50, 70], "lift": ["no", "yes"], "rent": [500, 800]}, "rent", one_hot=["lift"])
    >>> table.features, table.tensors[0]
    (['size', 'lift=yes'], tensor([[50.,  0.],
            [70.,  1.]]))
    """

    def __init__(self, columns: Mapping[str, Any] | Sheet, target: str | None = None, *,
                 features: Sequence[str] | None = None,
                 one_hot: Sequence[str] | Mapping[str, Sequence[str]] | bool = (), missing: str = "error") -> None:
        sheet = columns if isinstance(columns, Sheet) else _sheet(columns)
        if missing not in ("error", "drop", "nan"):
            raise ValueError(f"missing must be 'error', 'drop' or 'nan', got {missing!r}")
        for argument, names in (("features", features), ("one_hot", one_hot)):
            if isinstance(names, str):
                raise TypeError(f"{argument} must be a list of names, got {names!r}")
        chosen = _chosen(sheet, target, features)
        words = {name for name in chosen if _is_words(sheet, name)} if one_hot is True else set(one_hot or ())
        _check_known(sheet, sorted(words, key=str), "one_hot")
        numbers = {name: _numbers(sheet, name) for name in chosen if name not in words}
        classes = target is not None and _is_words(sheet, target)
        if target is not None and not classes:
            numbers[target] = _numbers(sheet, target)
        given = one_hot if isinstance(one_hot, Mapping) else {}
        encoded = {name: _encoded(sheet, name, given.get(name)) for name in chosen if name in words}
        names = [column for name in chosen for column in (encoded[name][0] if name in encoded else [name])]
        blocks = {name: encoded[name][1] if name in encoded else numbers[name][:, None] for name in chosen}
        y, labels = _target(sheet, target, numbers) if target is not None else (None, None)
        kept = _kept(sheet, missing, blocks, target, y)
        x = np.concatenate([*blocks.values()], 1)
        fields = [x[kept].astype(np.float32), *([] if y is None else [y[kept]])]
        super().__init__(*map(from_numpy, fields))
        self.features, self.target, self.classes = names, target, labels

    @classmethod
    def of(cls, tensors: Sequence[Tensor], features: list[str], target: str | None = None,
           classes: list[str] | None = None) -> Table:
        """The table of tensors that are ready: x, or x and y.

        >>> tn.data.Table.of([tn.zeros(3, 2)], ["size", "lift"])
        Table(3 rows, 2 features)
        """
        table = cls.__new__(cls)
        TensorDataset.__init__(table, *tensors)
        table.features, table.target, table.classes = features, target, classes
        return table

    def __repr__(self) -> str:
        what = "" if self.target is None else f" to predict {self.target!r}"
        return f"Table({len(self):,} rows, {len(self.features)} features{what})"


def read_csv(path: str | os.PathLike[str], target: str | None = None, *, features: Sequence[str] | None = None,
             one_hot: Sequence[str] | Mapping[str, Sequence[str]] | bool = (), missing: str = "error",
             delimiter: str = ",", encoding: str = "utf-8") -> Table:
    """The Table in a CSV file (or .csv.gz), whose first line names the columns; the other arguments are those of Table.

    A cell is a number as Python writes it, or a word; empty ones, NA, NaN, null and their like are missing. Large files
    are read by pandas where it is installed, to the same result. OSError where there is no file to read; ValueError for
    one that is empty, in another encoding, with rows of different lengths or names that stand there twice, and for
    cells that are no numbers, each with its line.

    >>> with open("flats.csv", "w") as file: written = file.write("size,rent\\n50,500\\n70,800\\n")
    >>> x, y = tn.data.read_csv("flats.csv", "rent").tensors
    >>> x.T, y.T
    (tensor([[50., 70.]]), tensor([[500., 800.]]))
    """
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise ValueError(f"delimiter must be one character, such as ',' or ';', got {delimiter!r}")
    text, name = csvfile.read_text(path, encoding), str(path)
    options: dict[str, Any] = {"features": features, "one_hot": one_hot, "missing": missing}
    if len(text) >= csvfile.LARGE:
        words = one_hot if isinstance(one_hot, Iterable) else ()
        sheet = csvfile.by_pandas(text, delimiter, name, [*words])
        if sheet is not None:
            with suppress(ValueError):  # what is wrong, and in which line, the other reader says
                return Table(sheet, target, **options)
    return Table(csvfile.by_csv(text, delimiter, name), target, **options)


# ---- columns as they come
def _sheet(columns: Any) -> Sheet:
    """The columns of a dict or a frame; ValueError if they are not of one length."""
    if not hasattr(columns, "items"):
        raise TypeError(f"columns must be a mapping from names to columns, as a dict or a DataFrame is, got "
                        f"{type(columns).__name__}; of a file that is tn.data.read_csv(path)")
    names = [*columns] if isinstance(columns, Mapping) else list(columns.columns)
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"the column {twice!r} is there more than once")
    found = {str(name): _column(str(name), columns[name]) for name in names}
    lengths = {name: len(column) for name, column in found.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError("columns must be of one length: "
                         + ", ".join(f"{name!r} has {n}" for name, n in lengths.items()))
    if not found or not next(iter(lengths.values())):
        raise ValueError(f"the table is empty: it has {len(found)} columns and no rows")
    return Sheet(found)


def _column(name: str, values: Any) -> Array | list[str]:
    """Numbers as float64, anything else as cells."""
    try:
        array = to_numpy(values)
    except ValueError as problem:
        raise ValueError(f"column {name!r} must be one number or word a row: {problem}") from None
    if array.ndim != 1:
        raise ValueError(f"column {name!r} must be one number or word a row, got shape {array.shape}")
    if array.dtype.kind in "biuf":
        return array.astype(np.float64)
    gaps = values.isna() if hasattr(values, "isna") else [cell is None or cell != cell for cell in array.tolist()]
    cells = [None if gap else cell for cell, gap in zip(array.tolist(), gaps, strict=True)]
    if all(cell is None or isinstance(cell, (int, float)) for cell in cells):
        return np.array([np.nan if cell is None else cell for cell in cells], np.float64)
    return ["" if cell is None else str(cell).strip() for cell in cells]


def _chosen(sheet: Sheet, target: str | None, features: Sequence[str] | None) -> list[str]:
    """The columns to predict from; ValueError if one is not there."""
    if target is not None:
        _check_known(sheet, [target], "target")
    chosen = [name for name in sheet.columns if name != target] if features is None else list(features)
    _check_known(sheet, chosen, "features")
    twice = next((name for name in chosen if chosen.count(name) > 1), None)
    if twice is not None or target in chosen or not chosen:
        problem = (f"{twice!r} is there twice" if twice is not None else "none is left" if not chosen else
                   f"{target!r} is the target, which would be predicted from itself")
        raise ValueError(f"features are the columns to predict from: {problem}")
    if "" in chosen:
        raise ValueError(f"column {[*sheet.columns].index('') + 1} of {sheet.name} has no name: give it "
                         "one, or choose others with features=[...] (pandas writes such a column of row numbers; "
                         "frame.to_csv(path, index=False) does not)")
    return chosen


def _check_known(sheet: Sheet, names: Sequence[str], argument: str) -> None:
    for name in names:
        if name not in sheet.columns:
            there = [*sheet.columns]
            split = next((sign for sign in (";", "\t", "|", ",") if len(there) == 1 and sign in there[0]), None)
            hint = f"; is it separated by {split!r}? Then say delimiter={split!r}" if split else ""
            raise ValueError(f"{argument}: {sheet.name} has no column {name!r}{nearest(name, there)}. It has "
                             f"{listed(there)}{hint}")


# ---- numbers and words
def _is_words(sheet: Sheet, name: str) -> bool:
    """Whether there are words in a column, and no number."""
    cells = sheet.columns[name]
    return isinstance(cells, list) and any(cells) and all(not cell or number(cell) is None for cell in cells)


def _numbers(sheet: Sheet, name: str) -> Array:
    """The column as float64; ValueError names the first cell that is no number."""
    cells = sheet.columns[name]
    if isinstance(cells, list):
        values = [number(cell) for cell in cells]
        if None in values:
            row = values.index(None)
            hint = (f". Is it a column of words? one_hot=[{name!r}] makes 0s and 1s of them, features=[...] leaves it "
                    "out" if _is_words(sheet, name) else "")
            raise ValueError(f"{sheet.where(row)}: {name} is {_short(cells[row])}, expected a number{hint}")
        cells = np.array(values, np.float64)
    with np.errstate(over="ignore"):
        large = np.isinf(cells.astype(np.float32))
    if large.any():
        row = int(large.argmax())
        raise ValueError(f"{sheet.where(row)}: {name} is {cells[row]:g}, more than a float32 can hold")
    return cells


def _short(cell: str) -> str:
    return repr(cell if len(cell) <= 40 else cell[:37] + "...")


def _words(sheet: Sheet, name: str) -> list[str]:
    """The column as words, also if they are numbers."""
    cells = sheet.columns[name]
    return cells if isinstance(cells, list) else ["" if np.isnan(cell) else f"{cell:.17g}" for cell in cells]


def _categories(sheet: Sheet, name: str, words: list[str]) -> list[str]:
    """The different words, sorted. ValueError if there are too many, or none."""
    found = sorted(set(words) - {""})
    if not 0 < len(found) <= MOST:
        problem = f"{len(found):,} different words: it names the rows" if found else "no words: all are missing"
        raise ValueError(f"{sheet.name}: column {name!r} has {problem}. Leave it out with features=[...]")
    return found


def _encoded(sheet: Sheet, name: str, known: Sequence[str] | None) -> tuple[list[str], Array]:
    """The columns that stand for words, and their names; nan where a word is missing."""
    words = _words(sheet, name)
    categories = list(known or _categories(sheet, name, words))
    allowed = {"", *categories}
    row = next((row for row, word in enumerate(words) if word not in allowed), None)
    if row is not None:
        raise ValueError(f"{sheet.where(row)}: {name} is {_short(words[row])}, expected one of {listed(categories)}"
                         f"{nearest(words[row], categories)}")
    encoder = OneHotEncoder([categories], drop="if_binary")
    there = np.array([word != "" for word in words])
    table = to_numpy(encoder.fit_transform([[word or categories[0]] for word in words])).astype(np.float64)
    table[~there] = np.nan
    return [f"{name}={category}" for category in categories[-table.shape[1]:]], table


def _target(sheet: Sheet, name: str, numbers: Mapping[str, Array]) -> tuple[Array, list[str] | None]:
    """The target as a column of numbers; or as labels, -1 where one is missing, and the words."""
    if name in numbers:
        return numbers[name][:, None].astype(np.float32), None
    words = _words(sheet, name)
    categories = _categories(sheet, name, words)
    place = {"": -1} | {word: label for label, word in enumerate(categories)}
    return np.array([place[word] for word in words], np.int64), categories


def _kept(sheet: Sheet, missing: str, blocks: Mapping[str, Array], target: str | None, y: Array | None) -> Array:
    """Which rows stay. ValueError names the first missing cell, if there must be none."""
    gaps = np.stack([np.isnan(block).any(1) for block in blocks.values()], 1)  # rows x columns as they came
    unknown = np.zeros(len(gaps), bool) if y is None else np.isnan(y[:, 0]) if y.ndim == 2 else y < 0
    if missing == "drop":
        kept = ~(gaps.any(1) | unknown)
        if not kept.any():
            raise ValueError(f"{sheet.name}: something is missing in every row; leave columns out with features=[...]")
        return kept
    if unknown.any():
        row = int(unknown.argmax())
        raise ValueError(f"{sheet.where(row)}: {target}, the target, is missing (in {unknown.sum():,} of {len(gaps):,} "
                         "rows); missing='drop' leaves such rows out")
    if gaps.any() and missing == "error":
        row = int(gaps.any(1).argmax())
        name = [*blocks][int(gaps[row].argmax())]
        raise ValueError(f"{sheet.where(row)}: {name} is missing (as is something in {gaps.any(1).sum():,} of "
                         f"{len(gaps):,} rows); missing='drop' leaves such rows out, "
                         "missing='nan' keeps them")
    return ~unknown
