"""Making tensors: what is copied and what is shared, dtypes, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinynet as tn

KEPT = ["float16", "float32", "float64", "int8", "uint8", "int16", "int32", "int64", "bool"]


@given(hnp.arrays(st.sampled_from(KEPT), hnp.array_shapes(min_dims=0, min_side=0)))
def test_arrays_keep_their_dtype_and_are_copied(a):
    t = tn.tensor(a)
    assert (t.dtype, t.shape) == (a.dtype, a.shape)
    assert np.array_equal(t.numpy(), a, equal_nan=a.dtype.kind == "f")
    assert not np.shares_memory(t.numpy(), a)
    assert not np.shares_memory(tn.tensor(t).numpy(), t.numpy())
    assert a.size == 0 or np.shares_memory(tn.from_numpy(a).numpy(), a)
    assert a.size == 0 or np.shares_memory(tn.as_tensor(a).numpy(), a)


@given(hnp.arrays(st.sampled_from(["float64", "int64", "bool"]), hnp.array_shapes(max_dims=4, min_side=0)))
def test_nested_lists_are_read_as_numpy_reads_them(a):
    t = tn.tensor(a.tolist())
    expected = np.array(a.tolist())  # which cannot tell how long the lists inside an empty one would be
    assert t.shape == expected.shape
    assert t.dtype == ("float32" if a.size == 0 or a.dtype == "float64" else a.dtype)
    with np.errstate(over="ignore"):
        assert np.array_equal(t.numpy(), expected.astype(t.dtype), equal_nan=True)


def test_the_default_dtype_is_that_of_python_floats():
    before = tn.get_default_dtype()
    tn.set_default_dtype(tn.float64)
    try:
        for t in (tn.tensor(1.5), tn.zeros(1), tn.ones(1), tn.empty(1), tn.eye(1), tn.full((1,), 2.0)):
            assert t.dtype == tn.float64
        for t in (tn.arange(1.0), tn.linspace(0, 1, 2), tn.rand(1), tn.randn(1), tn.normal(0, 1, (1,))):
            assert t.dtype == tn.float64
        assert tn.tensor(np.float32(1)).dtype == tn.float32
    finally:
        tn.set_default_dtype(before)


@pytest.mark.parametrize(
    ("data", "error", "says"),
    [
        ([[1, 2], [3]], ValueError, r"expected sequence of length 2 at dim 1 \(got 1\)"),
        ([[[1], [2]], [[3], [4, 5]]], ValueError, r"expected sequence of length 1 at dim 2 \(got 2\)"),
        ([[1, 2], 3], TypeError, "not a sequence: expected one of length 2 at dim 1, got 3"),
        ([1, [2, 3]], TypeError, r"expected a number at dim 1, .* got \[2, 3\]"),
        ("12", TypeError, "invalid data '12' of type str"),
        (["a"], TypeError, "invalid data 'a' of type str"),
        ([1, 2j], TypeError, "invalid data 2j of type complex"),
        (1j, TypeError, "complex"),
        ([None], RuntimeError, "Could not infer dtype of NoneType"),
        (np.zeros(2, np.uint16), TypeError, "uint16. The only supported types are: float16, float32"),
        (np.zeros(2, complex), TypeError, "complex128. The only supported"),
        ([np.uint16(3)], TypeError, "uint16"),
        (np.array([None]), TypeError, "object_"),
        (np.zeros(2, ">f8"), ValueError, "byte order"),
        ([2**70], ValueError, "Overflow"),
        ([tn.tensor([1.0, 2.0])], ValueError, "only one element tensors"),
    ],
    ids=repr,
)
def test_refused_data(data, error, says):
    with pytest.raises(error, match=says):
        tn.tensor(data)


def test_numbers_an_integer_dtype_cannot_hold():
    for value, dtype in ((300, tn.uint8), (-300, tn.uint8), (128, tn.int8), (math.nan, tn.int64), (-1.5, tn.uint8)):
        with pytest.raises(RuntimeError, match=f"cannot be converted to type {dtype} without overflow"):
            tn.tensor([0, value], dtype=dtype)
        with pytest.raises(RuntimeError, match="without overflow"):
            tn.full((2,), value, dtype=dtype)
    with pytest.raises(RuntimeError, match="without overflow"):  # PyTorch gives the least int64
        tn.tensor(2.0**63, dtype=tn.int64)
    assert tn.tensor(2**63 - 1).item() == 2**63 - 1
    assert tn.tensor([-(2**63)]).item() == -(2**63)


def test_a_long_list_mixed_with_numpy_numbers():
    data = [np.float64(0.1)] * 3 + [1, True]
    assert tn.tensor(data).dtype == tn.float64
    assert tn.tensor([np.float16(1), 2]).dtype == tn.float16
    assert tn.tensor([np.float16(1), 2.0]).dtype == tn.float32
    assert tn.tensor([np.int8(1), True]).dtype == tn.int8


def test_a_tensor_of_a_tensor_has_no_history():
    x = tn.ones(2, requires_grad=True)
    y = tn.tensor(x * 2)
    assert y.is_leaf and not y.requires_grad
    assert tn.tensor(x, requires_grad=True).is_leaf


def test_as_tensor_casts_differentiably():
    x = tn.ones(2, requires_grad=True)
    tn.as_tensor(x, dtype=tn.float64).sum().backward()
    assert tn.equal(x.grad, tn.ones(2))


def test_from_numpy_of_what_cannot_be_written():
    a = np.zeros(3)
    a.flags.writeable = False
    with pytest.warns(UserWarning, match="not writable"):
        t = tn.from_numpy(a)
    with pytest.raises(RuntimeError, match="read-only"):
        t.add_(1)
    assert not a.any()
    with pytest.raises(ValueError, match="negative"):
        tn.from_numpy(np.arange(3)[::-1])
    assert tn.tensor(np.arange(3)[::-1]).tolist() == [2, 1, 0]  # a copy has no such stride


def test_subclasses_of_ndarray_become_plain_arrays():
    masked = np.ma.masked_array([1.0, 2.0], mask=[True, False])
    assert type(tn.tensor(masked).numpy()) is np.ndarray
    assert type(tn.from_numpy(masked).numpy()) is np.ndarray


class Listlike:
    """Anything that NumPy can read, such as a column of a data frame."""

    def __array__(self, dtype=None, copy=None):
        return np.array([1, 2], np.int16)


def test_what_numpy_can_read():
    t = tn.tensor(Listlike())
    assert (t.dtype, t.tolist()) == (tn.int16, [1, 2])


@pytest.mark.parametrize("make", [tn.zeros, tn.ones, tn.empty, tn.rand, tn.randn])
def test_sizes(make):
    assert make(2, 3).shape == make((2, 3)).shape == make([2, 3]).shape == make(size=(2, 3)).shape == (2, 3)
    assert make(()).shape == ()
    assert make(np.int64(2), tn.tensor(3)).shape == (2, 3)
    assert make(2, dtype=tn.float64, requires_grad=True).is_leaf
    with pytest.raises(RuntimeError, match=rf"{make.__name__}: .*negative dimension -1: \[2, -1\]"):
        make(2, -1)
    for wrong in ((), (2.0,), ((2, "a"),), (True,), (None,)):
        with pytest.raises(TypeError, match=make.__name__):
            make(*wrong)
    with pytest.raises(RuntimeError, match="float"):
        make(2, dtype=tn.int64, requires_grad=True)
    with pytest.raises(RuntimeError, match="device"):
        make(2, device="mars")


def test_the_same_shape_and_dtype():
    x = tn.ones(2, 3, dtype=tn.float64).T
    for make in (tn.zeros_like, tn.ones_like, tn.empty_like, tn.rand_like, tn.randn_like):
        y = make(x)
        assert (y.shape, y.dtype, y.requires_grad) == ((3, 2), tn.float64, False)
        assert make(x, dtype=tn.float32, requires_grad=True).requires_grad
        with pytest.raises(TypeError, match=rf"{make.__name__}\(\): argument 'input' must be Tensor, not list"):
            make([1.0])


@given(st.integers(-50, 50), st.integers(-50, 50), st.integers(1, 9))
def test_arange_counts_as_range(start, end, step):
    low, high = sorted((start, end))
    assert tn.arange(low, high, step).tolist() == [*range(low, high, step)]
    assert tn.arange(high, low, -step).tolist() == [*range(high, low, -step)]


def test_arange_of_huge_integers_is_exact():
    assert tn.arange(2**62, 2**62 + 2).tolist() == [2**62, 2**62 + 1]


def test_linspace_has_both_ends():
    t = tn.linspace(-0.1, 0.7, 9)
    assert t[0] == np.float32(-0.1) and t[-1] == np.float32(0.7) and t.shape == (9,)


@given(st.integers(0, 4), st.integers(0, 4), st.integers(-5, 5))
def test_triangles_partition_the_matrix(rows, columns, offset):
    mask = np.zeros((rows, columns), np.int64)
    mask[tuple(tn.tril_indices(rows, columns, offset).numpy())] += 1
    mask[tuple(tn.triu_indices(rows, columns, offset + 1).numpy())] += 1
    assert (mask == 1).all()


def test_meshgrid_gives_views():
    x = tn.arange(3.0)
    a, b = tn.meshgrid(x, tn.arange(2.0), indexing="xy")
    assert a.tolist() == [[0, 1, 2], [0, 1, 2]] and b.tolist() == [[0, 0, 0], [1, 1, 1]]
    assert np.shares_memory(a.numpy(), x.numpy())
