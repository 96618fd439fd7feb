"""Indexing against NumPy and by finite differences: every form, read and written, and what backward keeps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinynet as tn
from tinynet.ops import diagonals
from tinynet.ops import index as ops
from tinynet.ops.shape import permute, reshape

RNG = np.random.default_rng(0)
X = tn.tensor(RNG.standard_normal((3, 4)), requires_grad=True)
V = tn.tensor(RNG.standard_normal((2, 4)), requires_grad=True)
ROWS, MASK = np.array([2, 0, 2]), RNG.random((3, 4)) > 0.5
ALONG = np.array([[0, 2, 2, 1], [1, 0, 2, 2]])
PATH = ((ops.getitem, {"index": (slice(1, None),)}, None),)

PRIMITIVES = {
    "getitem, basic": (lambda x: ops.getitem(x, index=(slice(1, None), None, 2)), X),
    "getitem, rows": (lambda x: ops.getitem(x, index=(ROWS,)), X),
    "getitem, mask": (lambda x: ops.getitem(x, index=MASK), X),
    "getitem, int and array": (lambda x: ops.getitem(x, index=(1, ROWS)), X),
    "add_at, basic": (lambda v: ops.add_at(v, index=(slice(1, 3),), shape=(3, 4)), V),
    "add_at, rows": (lambda v: ops.add_at(v, index=(np.array([1, 1]),), shape=(3, 4)), V),
    "set_at": (lambda x, v: ops.set_at(x, v, index=(np.array([2, 0]),)), X, V),
    "set_at, broadcast": (
        lambda x, v: ops.set_at(x, v, index=(ROWS[:2],)),
        X,
        V.detach()[:1].requires_grad_(),
    ),
    "set_at, accumulate": (lambda x, v: ops.set_at(x, v, index=(np.array([2, 2]),), accumulate=True), X, V),
    "put": (lambda x, v: ops.put(x, v, path=PATH), X, V),
    "take_along": (lambda x: ops.take_along(x, ALONG, dim=0), X),
    "add_along": (lambda v: ops.add_along(v, ALONG, dim=0, shape=(3, 4)), V),
    "add_along, one a line": (
        lambda v: ops.add_along(v, ALONG[:1], dim=0, shape=(3, 4)),
        V.detach()[:1].requires_grad_(),
    ),
    "set_along": (lambda x, v: ops.set_along(x, v, np.array([[0, 2, 2, 1], [1, 0, 1, 2]]), dim=0), X, V),
    "diagonal": (lambda x: diagonals.diagonal(x, offset=1), X),
    "add_diagonal": (lambda v: diagonals.add_diagonal(v, shape=(4, 2, 4), offset=0, dim1=0, dim2=2), V),
    "tril": (lambda x: diagonals.tril(x, diagonal=-1), X),
    "triu": (lambda x: diagonals.triu(x, diagonal=1), X),
    "masked_fill": (
        lambda x, v: ops.masked_fill(x, tn.tensor(MASK), v),
        X,
        V.detach()[0, 0].clone().requires_grad_(),
    ),
    "index_add": (lambda x, v: ops.index_add(x, 0, tn.tensor([1, 1]), v, alpha=3), X, V),
    "repeat_interleave": (lambda x: ops.repeat_interleave(x, tn.tensor([2, 0, 1]), 0), X),
}


@pytest.mark.parametrize("name", PRIMITIVES)
def test_gradients(name):
    f, *xs = PRIMITIVES[name]
    assert tn.autograd.gradcheck(lambda *xs: f(*xs) * f(*xs), xs)
    assert tn.autograd.gradgradcheck(lambda *xs: f(*xs) * f(*xs), xs)


@given(st.data())
def test_reading_and_adding_are_adjoint(data):
    """<u, x[i]> = <add_at(u), x>, whatever the index."""
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=3))
    index = data.draw(hnp.basic_indices(shape, allow_newaxis=True) | hnp.integer_array_indices(shape))
    onward = [
        slice(k.start, k.stop, abs(k.step)) if isinstance(k, slice) and k.step else k
        for k in (index if isinstance(index, tuple) else (index,))
    ]
    index, x = ops.plain_index(tuple(onward)), RNG.standard_normal(shape)
    y = ops.getitem(x, index=index)
    u = RNG.standard_normal(np.shape(y))
    assert np.isclose((u * y).sum(), (ops.add_at(u, index=index, shape=shape) * x).sum())


@given(st.data())
def test_reading_and_writing_as_numpy(data):
    """Where NumPy and PyTorch agree: everything but an int beside an array."""
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=1))
    forms = hnp.basic_indices(shape, allow_newaxis=True, allow_ellipsis=True) | hnp.arrays(bool, shape)
    index = data.draw((forms | hnp.integer_array_indices(shape)) if shape else forms)
    if any(isinstance(k, slice) and (k.step or 1) < 0 for k in (index if isinstance(index, tuple) else (index,))):
        with pytest.raises(ValueError, match="step must be greater than zero"):
            tn.zeros(shape)[index]
        return
    a = np.arange(np.prod(shape, dtype=float)).reshape(shape)
    x = tn.tensor(a)
    np.testing.assert_array_equal(x[index].array, a[index])
    a[index] = -1
    x[index] = -1
    np.testing.assert_array_equal(x.array, a)


@pytest.mark.parametrize("index", [0, (1, 2), (slice(None), 1), None, ..., (), slice(0, 2), (..., 1)], ids=str)
def test_basic_indices_are_views(index):
    x = tn.zeros(3, 4)
    assert np.shares_memory(x[index].array, x.array)
    x[index].fill_(7.0)
    assert (x[index].array == 7).all()


def test_ints_go_before_arrays():
    a = np.arange(24).reshape(2, 3, 4)
    x, rows = tn.tensor(a), [2, 1]
    assert tn.equal(x[0, :, rows], tn.tensor(a[0][:, rows]))
    x[1, :, rows] = 0
    a[1][:, rows] = 0
    assert x[[[0, 1], [1, 0]]].shape == (2, 2, 3, 4) and x[[tn.tensor(1), tn.tensor(0)]].tolist() == x[[1, 0]].tolist()
    assert x.tolist() == a.tolist()
    assert x[0, ..., rows].shape == (3, 2) and x[..., rows, 0].shape == (2, 2) and x[0, True].shape == (1, 3, 4)


def test_a_later_change_of_the_index_changes_nothing():
    x, rows = tn.tensor([1.0, 2.0, 3.0], requires_grad=True), tn.tensor([0, 0])
    numbers = np.array([2])
    y, z, w = x[rows], x[numbers], x.index_select(0, rows)
    rows.fill_(1)
    numbers[:] = 1
    (y.sum() + z.sum() + w.sum()).backward()
    assert x.grad.tolist() == [4, 0, 1]


def test_gather_notices_a_changed_index():
    x, rows = tn.tensor([1.0, 2.0], requires_grad=True), tn.tensor([0, 0])
    y = x.gather(0, rows)
    rows.fill_(1)
    with pytest.raises(RuntimeError, match="take_along"):
        y.sum().backward()


def test_writes_are_differentiated():
    x, v = tn.ones(3, 4, requires_grad=True), tn.ones(4, requires_grad=True)
    y = x * 2
    y[[0, 2]] = v * 3
    y[1, 1:3] = 0
    y[y == 2] = v[0] * 5
    y.sum().backward()
    assert x.grad.tolist() == [[0] * 4] * 3
    assert v.grad.tolist() == [16, 6, 6, 6]


def test_writing_a_diagonal_and_a_slice():
    x = tn.ones(3, 3, requires_grad=True)
    y = x * 2
    y.diagonal().mul_(5)
    y.select(0, 1).mul_(2)
    y.narrow(1, 2, 1).zero_()
    y.sum().backward()
    assert x.grad.tolist() == [[10, 2, 0], [4, 20, 0], [2, 2, 0]]


def test_put_names_elements_by_number():
    """The window of a transposed base is a view; of the base laid out afresh, the same path would be a copy."""
    base = np.arange(6.0).reshape(2, 3).T
    path = ((permute, {"dims": (1, 0)}, None), (reshape, {"shape": (-1,)}, None))
    out = ops.put(base, np.arange(10.0, 16.0), path=path)
    assert out.tolist() == [[10, 13], [11, 14], [12, 15]] and base[0, 0] == 0


@pytest.mark.parametrize(
    "bad, error, text",
    [
        (5, IndexError, "index 5 is out of bounds for dimension 0 with size 3"),
        ((0, -5), IndexError, "index -5 is out of bounds for dimension 1 with size 4"),
        ((..., [4]), IndexError, "index 4 is out of bounds for dimension 1 with size 4"),
        ((0, 0, 0), IndexError, r"too many indices for tensor of dimension 2: 3 for shape \[3, 4\]"),
        (np.ones(2, bool), IndexError, r"mask \[2\] at index 0 does not match .* tensor \[3, 4\]"),
        (([0, 1], [0, 1, 2]), IndexError, r"could not be broadcast together with shapes \[2\], \[3\]"),
        (([0], ..., ...), IndexError, "single ellipsis"),
        (np.ones(2), IndexError, "must be int64, int32 or bool tensors, not float64"),
        ([[0], [0, 1]], ValueError, r"must be rectangular, got \[\[0\], \[0, 1\]\]"),
        ([[0], [0, 1]], ValueError, r"must be rectangular, got \[\[0\], \[0, 1\]\]"),
        ("a", TypeError, r"got str"),
        (1.5, IndexError, "got float"),
        (slice(None, None, -1), ValueError, "step must be greater than zero, got -1"),
    ],
    ids=str,
)
def test_what_cannot_be_an_index(bad, error, text):
    for do in (lambda x: x[bad], lambda x: x.__setitem__(bad, 0.0)):
        with pytest.raises(error, match=text):
            do(tn.zeros(3, 4))
