"""The convolution to one register of channels, against the reference, and where it is chosen. Its images are wider than
those of test_implementations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinynet import kernels, set_num_threads
from tinynet.kernels.cpu import choice

pytest.importorskip("numba")
from tinynet.kernels.cpu import narrow


@st.composite
def cases(draw):
    """Images, filters and a bias, and the options."""
    dtype = draw(st.sampled_from(["float32", "float64"]))
    n, c, h, w = draw(st.integers(1, 5)), draw(st.integers(1, 9)), draw(st.integers(5, 9)), draw(st.integers(16, 40))
    kh, down = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    padding = draw(st.integers(0, 2)), draw(st.integers(1, 2))
    rng, o = np.random.default_rng(draw(st.integers(0, 99))), 64 // np.dtype(dtype).itemsize
    x, filters = (rng.standard_normal(shape).astype(dtype) for shape in ((n, c, h, w), (o, c, kh, 3)))
    if draw(st.booleans()):  # channels last in memory, as the kernels leave their results
        x = x.transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2)
    bias = rng.standard_normal(o).astype(dtype) if draw(st.booleans()) else None
    how = {"stride": (down, 1), "padding": padding, "dilation": (draw(st.integers(1, 3 - down)), 1), "groups": 1}
    return rng, (x, filters, bias), how


def reference(op, *arguments, **options):
    return kernels.implementations(op)["reference"].compute(np, *arguments, **options)


@given(case=cases())
def test_it_is_the_reference(case):
    _, arguments, how = case
    assert choice.conv2d_module(*arguments, **how) == "narrow"
    got, want = narrow.conv2d(np, *arguments, **how), reference("conv2d", *arguments, **how)
    assert got.shape == want.shape and got.dtype == want.dtype
    tolerance = {"float32": 1e-5, "float64": 1e-12}[got.dtype.name]
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance * 10)


@given(case=cases(), value=st.sampled_from([np.nan, np.inf, -np.inf]))
def test_nan_and_infinity_travel_as_in_the_reference(case, value):
    rng, arguments, how = case
    for a in arguments:
        if a is not None:
            a[tuple(rng.integers(n) for n in a.shape)] = value
    with np.errstate(all="ignore"):
        got, want = narrow.conv2d(np, *arguments, **how), reference("conv2d", *arguments, **how)
    np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-3)


def test_the_number_of_threads_changes_nothing_in_it():
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((8, 16, 32, 32)).astype("float32"), rng.standard_normal((16, 16, 3, 3)).astype("float32")
    how = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1}
    before, found = kernels.cpu.threads.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            set_num_threads(threads)
            found.append(narrow.conv2d(np, x, w, **how))
    finally:
        set_num_threads(before)
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])


@pytest.mark.parametrize(
    ("shape", "filters", "how", "module"),
    [
        ((2, 16, 32, 32), (16, 16, 3, 3), {}, "narrow"),
        ((2, 16, 15, 15), (16, 16, 3, 3), {}, "conv"),  # rows are too short
        ((2, 16, 32, 32), (8, 16, 3, 3), {}, "conv"),
        ((2, 16, 32, 32), (16, 16, 3, 5), {}, "conv"),
        ((2, 16, 32, 32), (16, 16, 3, 3), {"stride": (1, 2)}, "conv"),
        ((2, 16, 32, 32), (16, 16, 3, 3), {"dilation": (1, 2)}, "conv"),
        ((2, 16, 32, 32), (16, 8, 3, 3), {"groups": 2}, "conv"),
        ((2, 32, 32, 32), (32, 32, 3, 3), {}, "winograd"),
    ],
)  # fmt: skip
def test_where_it_is_chosen(shape, filters, how, module):
    how = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1, **how}
    assert choice.conv2d_module(np.zeros(shape, "float32"), np.zeros(filters, "float32"), **how) == module
