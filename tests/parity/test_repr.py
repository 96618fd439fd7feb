"""A tensor prints as PyTorch's does, character for character ("torch." read as "tn.")."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tinynet.repr import tensor_repr

torch = pytest.importorskip("torch")

DTYPES = ["float16", "float32", "float64", "int8", "uint8", "int16", "int32", "int64", "bool"]


def check(array: np.ndarray, requires_grad: bool = False) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        t = torch.from_numpy(array)
    compare(tensor_repr(array, requires_grad=requires_grad), repr(t.requires_grad_(requires_grad)))


def compare(ours: str, theirs: str) -> None:
    """ "dtype=tn." is three letters shorter than "dtype=torch.": there alone a line may hold a note more."""
    theirs = theirs.replace("torch.", "tn.")
    if "dtype=" in ours and ours != theirs:
        ours, theirs = (re.sub(r",\n +(?=[a-z])", ", ", text) for text in (ours, theirs))
    assert ours == theirs


def magnitudes(dtype: str) -> st.SearchStrategy[float]:
    """Floats of every size, and the sizes at which the format changes."""
    width = int(dtype.removeprefix("float"))
    anything = st.floats(width=width, allow_subnormal=True)
    corners = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.5,
        999.0,
        1000.0,
        1001.0,
        1e-4,
        0.99e-4,
        0.123,
        1234.5,
        float("nan"),
        float("inf"),
    ]
    corners += [1e8, 1.00000008e8, 12345678.0, -float("inf")] if width > 16 else []
    return st.one_of(
        st.sampled_from([float(np.dtype(dtype).type(v)) for v in corners]),
        st.integers(-2000, 2000).map(float),
        st.floats(-10, 10, width=width),
        anything,
    )


@st.composite
def arrays(draw: st.DrawFn) -> np.ndarray:
    dtype = draw(st.sampled_from(DTYPES))
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=7))
    elements = magnitudes(dtype) if dtype.startswith("float") else None
    array = draw(hnp.arrays(dtype, shape, elements=elements))
    if array.ndim and draw(st.booleans()):  # the same numbers, strided
        array = array.T
    return array


@given(arrays(), st.booleans())
@example(np.array([1.0, 1001.0], np.float32), False)
@example(np.array([1.0, 1000.0], np.float32), False)
@example(np.array([0.0, -0.0, np.nan]), False)
@example(np.array([1.0, 999.0, 1.00000001e8]), False)
@example(np.array(1e-4), False)
@example(np.array([0.99e-4, 5e-4]), False)
@example(np.array([5e-4, 0.0]), False)
@example(np.array([1e8, 99999999.0]), False)
@example(np.array([1.5e8, 1e8]), False)
@example(np.zeros((2, 30), np.float32), False)
@example(np.zeros((2, 0, 3), np.int64), False)
@example(np.zeros(0, bool), False)
def test_values_and_dtypes(array: np.ndarray, requires_grad: bool) -> None:
    requires_grad = requires_grad and array.dtype.kind == "f"
    check(array, requires_grad)


@pytest.mark.parametrize(
    "shape",
    [
        (1000,),
        (1001,),
        (100000,),
        (7, 200),
        (6, 200),
        (200, 7),
        (200, 6),
        (2, 3, 4, 50),
        (40, 2, 40),
        (8, 9, 10, 11),
        (1001, 1),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int16", "bool"])
def test_large_arrays_show_their_corners(shape: tuple[int, ...], dtype: str) -> None:
    values = np.random.default_rng(0).normal(size=shape) * 100
    values.flat[len(values) // 2] = 1e9  # not among those shown, so it must not choose the format
    for array in (values.astype(dtype), values.astype(dtype).T, values.astype(dtype)[::-1].copy()):
        check(array)


@pytest.mark.parametrize("n", range(1, 60))
def test_wrapping_of_lines_and_notes(n: int) -> None:
    for array in (
        np.arange(n),
        np.arange(n) / 7,
        np.arange(n).astype("float32"),
        np.arange(n).astype("uint8"),
    ):
        check(array)
        if array.dtype.kind == "f":
            check(array, requires_grad=True)


@pytest.mark.parametrize("shape", [(), (9,), (0, 2)])
def test_the_node_that_made_it_at_every_length_of_its_name(shape: tuple[int, ...]) -> None:
    for n in range(1, 70):
        function = type(
            "F" * n, (torch.autograd.Function,), {"forward": staticmethod(lambda ctx, a: a.clone())}
        )
        y = function.apply(torch.ones(shape).requires_grad_())
        compare(
            tensor_repr(y.detach().numpy(), requires_grad=True, grad_fn=type(y.grad_fn).__name__), repr(y)
        )


def test_notes_wrap_at_eighty_columns() -> None:
    shown = tensor_repr(np.arange(8) / 4, requires_grad=True)
    assert shown == (
        "tensor([0.0000, 0.2500, 0.5000, 0.7500, 1.0000, 1.2500, 1.5000, 1.7500],\n"
        "       dtype=tn.float64, requires_grad=True)"
    )


def test_the_device_is_named_first() -> None:
    shown = tensor_repr(np.zeros((0, 2)), device="cuda:0", requires_grad=True)
    assert shown == "tensor([], device='cuda:0', size=(0, 2), dtype=tn.float64, requires_grad=True)"
