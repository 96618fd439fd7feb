"""Numbers and words made ready for a network, with scikit-learn's names: what must be learned from data is learned by
fit(), of the data to train with, and then the same for all."""
from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from reprlib import repr as brief
from typing import Any, Self

import numpy as np

from tinynet.dtypes import Array, get_default_dtype
from tinynet.kinds import check_kind
from tinynet.metrics import to_numpy
from tinynet.ops import as_tensor, from_numpy
from tinynet.tensor import Tensor


class StandardScaler:
    """(x − mean) / std, column by column, with the mean and the standard deviation of what fit() was given: that must
    be the data to train with and no others, or the test would know of itself.

    A column that is constant is divided by 1. NaN is passed over by fit(), and stays NaN; `.nan_to_num(0)` then puts
    the mean in its place. state_dict() can be saved with the model. There are `mean_`, `var_` and `scale_`.

    >>> scaler = tn.data.StandardScaler().fit([[1.0], [3.0]])
    >>> scaler.transform([[1.0], [5.0]]), scaler.inverse_transform([[0.0]])
    (tensor([[-1.],
            [ 3.]], dtype=tn.float64), tensor([[2.]], dtype=tn.float64))
    """

    def __init__(self, *, with_mean: bool = True, with_std: bool = True) -> None:
        self.with_mean, self.with_std = with_mean, with_std

    def fit(self, X: Any) -> Self:
        """Take the mean and the standard deviation of each column; ValueError if there is no row, or an infinity."""
        x = to_numpy(self._table(X)).astype(np.float64)
        if not len(x):
            raise ValueError("Found array with 0 sample(s): StandardScaler needs at least one row to fit")
        if np.isinf(x).any():
            raise ValueError(f"Input X contains infinity, in row {np.isinf(x).any(1).argmax()}")
        there = ~np.isnan(x)
        n = there.sum(0)
        count = np.where(n, n, np.nan)  # of a column without a number the mean is nan
        self.mean_ = np.where(there, x, 0).sum(0) / count
        centred = np.where(there, x - self.mean_, 0)
        # the correction of rounding in the mean: Chan, Golub and LeVeque 1983
        self.var_ = ((centred**2).sum(0) - centred.sum(0) ** 2 / count) / count
        eps = np.finfo(np.float64).eps
        noise = n * eps * self.var_ + (n * self.mean_ * eps) ** 2  # as large as this is the variance of a constant
        self.scale_ = np.where(self.var_ <= noise, 1.0, np.sqrt(self.var_))
        return self

    def transform(self, X: Any) -> Tensor:
        """(x − mean) / std, in the dtype of X if that is a float's."""
        x, mean, scale = self._ready(X)
        return (x - mean) / scale

    def fit_transform(self, X: Any) -> Tensor:
        """fit(X).transform(X): for the data to train with."""
        return self.fit(X).transform(X)

    def inverse_transform(self, X: Any) -> Tensor:
        """x · std + mean: back to the numbers as they were."""
        x, mean, scale = self._ready(X)
        return x * scale + mean

    def state_dict(self) -> dict[str, Tensor]:
        """What fit() found, as tensors."""
        self._check()
        return {name: from_numpy(getattr(self, name).copy()) for name in ("mean_", "var_", "scale_")}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with what another one found. TypeError or ValueError if that is not three rows of numbers, one for each
        column."""
        check_kind("the state of StandardScaler", state, {})
        rows: dict[str, Any] = {name: state.get(name) for name in ("mean_", "var_", "scale_")}
        for name, row in rows.items():
            if getattr(row, "ndim", 0) != 1 or row.dtype.kind != "f" or len(row) != len(rows["mean_"]):
                raise ValueError(f"{name} of a StandardScaler must be a row of numbers, one a column, got {brief(row)}")
        self.mean_, self.var_, self.scale_ = map(to_numpy, rows.values())

    def _check(self) -> None:
        if not hasattr(self, "scale_"):
            raise ValueError("This StandardScaler instance is not fitted yet: call fit() with the data to train with")

    def _ready(self, X: Any) -> tuple[Tensor, Tensor, Tensor]:
        """X, and what to subtract and to divide by, beside it and in its dtype."""
        self._check()
        x = self._table(X)
        if x.shape[1] != len(self.mean_):
            raise ValueError(f"X has {x.shape[1]} features, but StandardScaler is expecting {len(self.mean_)} features "
                             "as input: those of fit()")
        mean = self.mean_ if self.with_mean else np.zeros_like(self.mean_)
        scale = self.scale_ if self.with_std else np.ones_like(self.scale_)
        return x, *(from_numpy(a).to(x.device).to(x.dtype) for a in (mean, scale))

    def _table(self, X: Any) -> Tensor:
        """X as a tensor of floats, a row for each sample."""
        x = X if isinstance(X, Tensor) else _numbers(X)
        if x.ndim != 2:
            raise ValueError(f"Expected 2D array, got shape {tuple(x.shape)}: a row for each sample, a column for each "
                             "feature; of one column that is x.reshape(-1, 1)")
        return x if x.dtype.kind == "f" else x.to(get_default_dtype())


def _numbers(X: Any) -> Tensor:
    try:
        x = np.asarray(X)
    except ValueError as problem:
        raise ValueError(f"X is no table, its rows are of different lengths: {problem}") from None
    if x.dtype.kind not in "biuf":
        raise ValueError(f"X must hold numbers, got {x.dtype}: make words 0s and 1s first, with OneHotEncoder")
    return as_tensor(x)


class OneHotEncoder:
    """Of each column of words (or whole numbers) as many columns as it has categories: 1 where that is the one, else 0.

    X is a list of rows, or an array N × columns. categories: "auto", those that fit() finds, sorted; or a list of them
    for each column. drop="if_binary": of two categories only the second gets a column. handle_unknown: of a category
    that is not among them "error" says ValueError, with the nearest name, and "ignore" makes all its columns 0.

    >>> encoder = tn.data.OneHotEncoder().fit([["red"], ["blue"], ["red"]])
    >>> encoder.categories_, encoder.transform([["red"], ["blue"]])
    ([['blue', 'red']], tensor([[0., 1.],
            [1., 0.]]))
    """

    def __init__(self, categories: Any = "auto", *, drop: str | None = None, handle_unknown: str = "error") -> None:
        for name, value, known in (("drop", drop, (None, "if_binary")),
                                   ("handle_unknown", handle_unknown, ("error", "ignore"))):
            if value not in known:
                raise ValueError(f"{name} must be one of {', '.join(map(repr, known))}, got {value!r}")
        self.categories, self.drop, self.handle_unknown = categories, drop, handle_unknown

    def fit(self, X: Any) -> Self:
        """Find the categories; ValueError if there is no row."""
        columns = _columns(X)
        if self.categories == "auto":
            self.categories_ = [_sorted(column) for column in columns]
        elif len(self.categories) != len(columns):
            raise ValueError(f"Shape mismatch: there are categories for {len(self.categories)} columns, and X has "
                             f"{len(columns)}")
        else:
            self.categories_ = [list(given) for given in self.categories]
            self.transform(X)  # an error now if one is unknown
        return self

    def transform(self, X: Any) -> Tensor:
        """The columns of 0s and 1s, float32, side by side."""
        if not hasattr(self, "categories_"):
            raise ValueError("This OneHotEncoder instance is not fitted yet: call fit() with the data to train with")
        columns = _columns(X)
        if len(columns) != len(self.categories_):
            raise ValueError(f"X has {len(columns)} features, but OneHotEncoder is expecting {len(self.categories_)} "
                             "features as input: those of fit()")
        parts = [self._encode(k, column, known) for k, (column, known) in
                 enumerate(zip(columns, self.categories_, strict=True))]
        return from_numpy(np.concatenate(parts, 1))

    def fit_transform(self, X: Any) -> Tensor:
        """fit(X).transform(X): for the data to train with."""
        return self.fit(X).transform(X)

    def _encode(self, number: int, column: list[Any], known: list[Any]) -> Array:
        place = {category: k for k, category in enumerate(known)}
        chosen = np.array([place.get(value, -1) for value in column])
        if (chosen < 0).any() and self.handle_unknown == "error":
            row = int((chosen < 0).argmax())
            raise ValueError(f"Found unknown categories: {column[row]!r} in column {number}, row {row}"
                             f"{nearest(column[row], known)}; those of fit() are {listed(known)}")
        table = (chosen[:, None] == np.arange(len(known))).astype(np.float32)
        return table[:, 1:] if self.drop == "if_binary" and len(known) == 2 else table


def _columns(X: Any) -> list[list[Any]]:
    """X column by column, as Python's words and numbers."""
    rows = (to_numpy(X) if hasattr(X, "dtype") or hasattr(X, "to_numpy") else np.array(X, dtype=object))
    if rows.ndim != 2:
        raise ValueError(f"Expected 2D array, got shape {rows.shape}: a row for each sample, also of one column: "
                         "[[word] for word in words]")
    if not len(rows):
        raise ValueError("Found array with 0 sample(s): OneHotEncoder needs at least one row")
    return [column.tolist() for column in rows.T]


def _sorted(column: list[Any]) -> list[Any]:
    found = set(column)
    if not (all(isinstance(value, str) for value in found) or all(isinstance(value, int) for value in found)):
        kinds = ", ".join(sorted({type(value).__name__ for value in found}))
        raise TypeError(f"the categories of a column must be words, or whole numbers, got {kinds}")
    return sorted(found)


def nearest(name: Any, known: Sequence[Any]) -> str:
    """ (did you mean 'price'?), where one of the known names is near."""
    close = get_close_matches(str(name), [str(one) for one in known], n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def listed(names: Sequence[Any], most: int = 20) -> str:
    """'a', 'b', 'c', and how many more."""
    text = ", ".join(map(repr, names[:most]))
    return f"{text} and {len(names) - most:,} more" if len(names) > most else text
