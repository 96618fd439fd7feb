"""Adding at places that an index names: over tiles, chunks and groups of columns, and with any index NumPy takes."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pytest

import tinynet as tn
from tinynet import kernels
from tinynet.kernels.cuda import choice, emulator, lookup

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed: NO CUDA KERNEL WAS RUN")
CASES = [(1, 1, 1), (32, 5, 1), (33, 5, 40), (700, 1, 3), (600, 2, 33), (900, 400, 1), (1100, 9, 2), (256, 1000, 4)]


def table(count, rows, columns):
    """Whole numbers, whose sums are exact, for rows of which some are named far more often than others."""
    rng = np.random.default_rng(count)
    index = np.minimum(rng.integers(0, rows, count), rng.integers(0, rows, count))
    return rng.integers(-9, 10, (count, columns)).astype("float32"), index


@pytest.mark.parametrize("case", CASES)
def test_rows_are_added_up(case):
    g, index = table(*case)
    expected = np.zeros((case[1], case[2]), "float32")
    np.add.at(expected, index, g)
    np.testing.assert_array_equal(lookup.embedding_grad(np, g, index, rows=case[1]), expected)
    out = np.ones_like(expected)
    lookup.scatter_add(np, out, g, index=index)
    np.testing.assert_array_equal(out, expected + 1)


@pytest.mark.parametrize("count", [1, 255, 256, 257, 512, 1300])
def test_keys_are_sorted_by_row_and_then_by_place(count):
    rows = np.random.default_rng(0).integers(0, 2**31 - 1, count) // 2**20 * 2**20
    keys = lookup._sorted(np, rows)
    np.testing.assert_array_equal(keys & np.uint64(2**32 - 1), np.argsort(rows, kind="stable"))
    np.testing.assert_array_equal(keys >> np.uint64(32), np.sort(rows))


def test_sums_are_the_same_in_either_order_of_blocks(monkeypatch):
    g, index = np.random.default_rng(0).standard_normal((700, 3), "float32"), np.arange(700) ** 2 % 5
    found = []
    for reverse in (False, True):
        monkeypatch.setattr(emulator.Settings, "reverse", reverse)
        found.append(lookup.embedding_grad(np, g, index, rows=5))
    np.testing.assert_array_equal(*found)
    np.testing.assert_allclose(found[0], [g[index == row].sum(0) for row in range(5)], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("index", [
    np.array([1, 1, -2, 0]), (np.array([[0], [-1]]), np.array([1, 1, 2], "int32")), (slice(None), np.array([2, 2])),
    (np.array([3, 3]), slice(1, 3)), (np.array([0, 0]), np.array([1, 1]), np.array([4, 4])),
    np.arange(60).reshape(4, 3, 5) % 7 == 0, (1, np.array([0, 0, 2])), np.array(2), (np.array([250, 3], "uint8") % 4,),
], ids=str)  # fmt: skip
def test_every_index_is_taken(index):
    """Into an array, and into one with gaps in memory."""
    values = np.random.default_rng(0).standard_normal(np.zeros((4, 3, 5))[index].shape, "float32")
    for out in (np.zeros((4, 3, 5), "float32"), np.zeros((4, 3, 10), "float32")[..., ::2]):
        expected = out.copy()
        np.add.at(expected, index, values)
        lookup.scatter_add(np, out, values, index=index)
        np.testing.assert_allclose(out, expected, rtol=1e-6)
    lookup.scatter_add(np, out, np.float32(2), index=index)  # a number for all places
    np.add.at(expected, index, 2)
    np.testing.assert_allclose(out, expected, rtol=1e-6)


def test_the_ops_that_add_are_computed_by_it():
    def results():
        x = tn.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], requires_grad=True)
        i = tn.tensor([[0, 1, 1], [1, 1, 0]])
        y = x[tn.tensor([0, 0, 1])].sum() + x.gather(1, i).square().sum() + tn.nn.functional.embedding(i, x).exp().sum()
        y.backward()
        return x.grad.numpy(), x.detach().scatter_add(0, i, tn.ones(2, 3)).numpy()

    expected = results()
    with tn.use_kernels("emu"):
        for got, want in zip(results(), expected, strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-5)


@pytest.mark.parametrize(("g", "index", "rows", "why"), [
    (np.zeros((2, 3)), np.zeros(2, "int64"), 4, "takes float32, not float64"),
    (np.zeros((2, 3), "f"), np.zeros(2), 4, "takes numbers of rows, not float64"),
    (np.zeros((0, 3), "f"), np.zeros(0, "int64"), 4, "takes no array without elements"),
    (np.zeros((2, 3), "f"), np.zeros(2, "int64"), 2**31, r"fewer than 2\*\*31 rows"),
])  # fmt: skip
def test_what_is_left_to_the_reference(g, index, rows, why):
    assert re.search(why, choice.numbered(g, index, rows=rows))


def test_numbers_of_another_dtype_are_left_to_the_reference():
    found = kernels.implementations("scatter_add")["emu"]
    out, values = np.zeros(3, "f"), np.ones(2)
    assert found.supports(np, out, values, index=np.array([0, 0])) == "takes float32, not float32, float64"
    assert found.supports(np, out, values.astype("f"), index=np.array([0, 0])) is True
