"""Sorting and its kin: order, ties, nan, and where the gradient goes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinynet as tn
from tinynet.autograd import gradcheck, gradgradcheck

NAN, INF = math.nan, math.inf
ROWS = hnp.arrays("float64", st.integers(0, 8), elements=st.sampled_from([-1.0, 0.0, 2.0, INF, -INF, NAN]))


def rank(row: np.ndarray) -> list[tuple[bool, float]]:
    """What is sorted by: nan above everything."""
    return [(math.isnan(v), 0.0 if math.isnan(v) else v) for v in row]


@given(ROWS, st.booleans())
def test_sort_is_pythons(row: np.ndarray, descending: bool) -> None:
    """sorted() keeps the order of what ties, also in reverse."""
    key = rank(row)
    expected = sorted(range(len(row)), key=key.__getitem__, reverse=descending)
    values, indices = tn.sort(tn.tensor(row), descending=descending)
    assert indices.tolist() == expected
    np.testing.assert_array_equal(values.numpy(), row[expected])
    assert tn.argsort(tn.tensor(row), descending=descending).tolist() == expected


@given(ROWS, st.data(), st.booleans())
def test_topk_is_the_head_of_sort(row: np.ndarray, data: st.DataObject, largest: bool) -> None:
    k = data.draw(st.integers(0, len(row)))
    values, indices = tn.topk(tn.tensor(row), k, largest=largest)
    whole = tn.sort(tn.tensor(row), descending=largest)
    np.testing.assert_array_equal(values.numpy(), whole.values.numpy()[:k])
    assert indices.tolist() == whole.indices.tolist()[:k]


@given(ROWS)
def test_median_is_the_lower_of_the_middle(row: np.ndarray) -> None:
    numbers = len(row) and not np.isnan(row).any()
    expected = sorted(row)[(len(row) - 1) // 2] if numbers else NAN
    np.testing.assert_array_equal(tn.median(tn.tensor(row)).item(), expected)
    if len(row):
        value, index = tn.median(tn.tensor(row), 0)
        np.testing.assert_array_equal([value.item(), row[index.item()]], [expected, expected])


@pytest.mark.parametrize("dim", [0, 1, -1])
@pytest.mark.parametrize("keepdim", [False, True])
def test_median_of_a_matrix(dim: int, keepdim: bool) -> None:
    a = np.array([[3, 1, 2, 9], [4, 6, 5, 0], [7, 8, 9, 1]])
    values, indices = tn.median(tn.tensor(a), dim, keepdim)
    expected = np.sort(a, dim).take((a.shape[dim] - 1) // 2, dim)
    expected = np.expand_dims(expected, dim) if keepdim else expected
    np.testing.assert_array_equal(values.numpy(), expected)
    found = indices.numpy() if keepdim else np.expand_dims(indices.numpy(), dim)
    np.testing.assert_array_equal(np.take_along_axis(a, found, dim).reshape(expected.shape), expected)


def test_ties_share_the_gradient_of_the_median() -> None:
    x = tn.tensor([2.0, 1.0, 2.0, 3.0, 2.0], requires_grad=True)
    tn.median(x).backward()
    np.testing.assert_allclose(x.grad.numpy(), [1 / 3, 0, 1 / 3, 0, 1 / 3], rtol=1e-6)
    x = tn.tensor([2.0, 1.0, 2.0, 3.0, 2.0], requires_grad=True)
    tn.median(x, 0).values.backward()
    assert sorted(x.grad.tolist()) == [0, 0, 0, 0, 1] and x.grad[1] == x.grad[3] == 0


DERIVATIVES: dict[str, Callable[[Any], Any]] = {
    "sort": lambda x: tn.sort(x, 1).values ** 3,
    "sort descending": lambda x: tn.sort(x, 0, descending=True).values ** 3,
    "topk": lambda x: tn.topk(x, 2).values ** 3,
    "topk of the least": lambda x: tn.topk(x, 1, 0, largest=False).values ** 3,
    "median": lambda x: tn.median(x) ** 3,
    "median along": lambda x: tn.median(x, 1, True).values ** 3,
}


@pytest.mark.parametrize("name", DERIVATIVES)
@pytest.mark.parametrize("values", [[[1.0, -2.0, 0.5], [1.5, 0.7, -0.3]], [[0.4]]], ids=["matrix", "one"])
def test_derivatives(name: str, values: list[list[float]]) -> None:
    if name == "topk" and values == [[0.4]]:
        values = [[0.4, 0.1]]
    x = tn.tensor(values, dtype=tn.float64, requires_grad=True)
    assert gradcheck(DERIVATIVES[name], (x,))
    assert gradgradcheck(DERIVATIVES[name], (x,))


def test_numbers_are_sorted_too() -> None:
    x = tn.tensor(3.0, requires_grad=True)
    for pair in (tn.sort(x), tn.topk(x, 1), tn.median(x, 0)):
        assert pair.values.shape == pair.indices.shape == () and pair.indices.item() == 0
        (g,) = tn.autograd.grad(pair.values * 2, [x])
        assert g.item() == 2
    assert tn.argsort(x).item() == 0 and tn.median(x).item() == 3


def test_pairs_have_names() -> None:
    x = tn.tensor([3.0, 1.0, 2.0])
    assert [type(p).__name__ for p in (x.sort(), x.topk(2), x.median(0))] == ["sort", "topk", "median"]
    assert x.sort().indices.dtype == tn.int64 and not x.sort().indices.requires_grad


@given(st.lists(st.integers(-3, 3), max_size=8))
def test_unique_can_be_undone(row: list[int]) -> None:
    values, inverse, counts = tn.unique(tn.tensor(row, dtype=tn.int64), True, True, True)
    assert values.tolist() == sorted(set(row))
    assert [values.tolist()[k] for k in inverse.tolist()] == row
    assert counts.tolist() == [row.count(v) for v in sorted(set(row))]


def test_unique_of_rows_and_columns() -> None:
    x = tn.tensor([[3, 1, 3], [1, 2, 1], [3, 1, 3]])
    values, inverse = tn.unique(x, dim=0, return_inverse=True)
    assert values.tolist() == [[1, 2, 1], [3, 1, 3]] and inverse.tolist() == [1, 0, 1]
    values, counts = tn.unique(x, dim=-1, return_counts=True)
    assert values.tolist() == [[1, 3], [2, 1], [1, 3]] and counts.tolist() == [1, 2]
    assert isinstance(tn.unique(x), tn.Tensor)


def test_no_nan_is_another() -> None:
    assert len(tn.unique(tn.tensor([NAN, 1.0, NAN]))) == 3
    assert tn.unique(tn.tensor([[NAN], [1.0], [NAN]]), dim=0).shape == (3, 1)


@given(st.lists(st.integers(0, 5), max_size=8), st.integers(0, 8))
def test_bincount_counts(row: list[int], minlength: int) -> None:
    n = max([minlength, *(v + 1 for v in row)])
    x = tn.tensor(row, dtype=tn.int64)
    assert tn.bincount(x, minlength=minlength).tolist() == [row.count(k) for k in range(n)]
    weighed = tn.bincount(x, tn.full((len(row),), 0.5), minlength)
    assert weighed.tolist() == [0.5 * row.count(k) for k in range(n)] and weighed.dtype == tn.float32


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda x: tn.sort(x, 2), IndexError, "range of [-2, 1], but got 2"),
        (lambda x: tn.sort(x, (0, 1)), TypeError, "sort(): argument 'dim' must be int"),
        (lambda x: tn.topk(x, 4), RuntimeError, "k out of range: 4 of 3 elements along dim -1"),
        (lambda x: tn.topk(x, -1), RuntimeError, "k out of range"),
        (lambda x: tn.topk(x, 1.5), TypeError, "float"),
        (lambda x: tn.median(x, (0, 1)), TypeError, "median(): argument 'dim' must be int"),
        (lambda x: tn.median(x[:0], 0), IndexError, "Expected reduction dim 0 to have non-zero size"),
        (lambda x: tn.unique(x[0, 0], dim=0), IndexError, "no dimensions"),
        (lambda x: tn.unique(x[:0], dim=1), RuntimeError, "0 sized dimensions"),
        (lambda x: tn.bincount(x), NotImplementedError, "counts integers, not float32"),
        (lambda x: tn.bincount(x.long()), RuntimeError, "1-d non-negative"),
        (lambda x: tn.bincount(x[0].long() - 3), RuntimeError, "least -3"),
        (lambda x: tn.bincount(x[0].long(), minlength=-1), RuntimeError, "minlength should be >= 0"),
        (lambda x: tn.bincount(x[0].long(), tn.ones(2)), RuntimeError, "same length as input: [2] for [3]"),
    ],
)
def test_errors_name_what_is_wrong(call: Callable[[Any], Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error) as caught:
        call(tn.zeros(2, 3))
    assert words in str(caught.value)
