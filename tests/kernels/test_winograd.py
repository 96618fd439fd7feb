"""Winograd's convolution against the reference, and where it is chosen. Its channels fill whole registers, which would
make the cases of test_implementations slow to draw."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinynet import kernels, set_num_threads
from tinynet.kernels.cpu import choice

pytest.importorskip("numba")
from tinynet.kernels.cpu import winograd

FORWARD = ("conv2d", "conv2d_relu", "conv2d_relu_pool")
BACKWARD = ("conv2d_input_grad", "conv2d_weight_grad", "conv2d_relu_grad", "conv2d_relu_pool_grad")


def reference(op, *arguments, **options):
    return kernels.implementations(op)["reference"].compute(np, *arguments, **options)


@st.composite
def cases(draw):
    """Images, filters, a bias, and the padding: a seed for the numbers, as there are many."""
    n, h, w = draw(st.integers(1, 4)), draw(st.integers(3, 9)), draw(st.integers(3, 9))
    c, o = draw(st.sampled_from([16, 32, 48])), draw(st.sampled_from([16, 32, 48]))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    x, filters = (rng.standard_normal(shape).astype("float32") for shape in ((n, c, h, w), (o, c, 3, 3)))
    if draw(st.booleans()):  # channels last in memory, as the kernels leave their results
        x = x.transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2)
    bias = rng.standard_normal(o).astype("float32") if draw(st.booleans()) else None
    return rng, x, filters, bias, (draw(st.integers(0, 2)), draw(st.integers(0, 2)))


def arguments_of(op, case):
    """What the kernel of an op is given."""
    rng, x, w, b, padding = case
    how = {"stride": (1, 1), "padding": padding, "dilation": (1, 1), "groups": 1}
    if op in FORWARD:
        return (x, w, b), how
    if op == "conv2d_relu_pool_grad":
        y, winner = reference("conv2d_relu_pool", x, w, b, **how)
        return (rng.standard_normal(y.shape).astype("float32"), winner, x, w), how | {"wanted": (True, True, True)}
    y = reference("conv2d_relu", x, w, b, **how)
    g = rng.standard_normal(y.shape).astype("float32")
    return {"conv2d_input_grad": ((g, w), how | {"size": x.shape[2:]}),
            "conv2d_weight_grad": ((x, g), how | {"size": (3, 3)}),
            "conv2d_relu_grad": ((g, y, x, w), how | {"wanted": (True, True, True)})}[op]  # fmt: skip


def outputs(case):
    _, x, _, _, padding = case
    return [n + 2 * p - 2 for n, p in zip(x.shape[2:], padding, strict=True)]


def poolable(case):
    return min(outputs(case)) > 1


def results(found):
    return found if isinstance(found, tuple) else (found,)


@pytest.mark.parametrize("op", [*FORWARD, *BACKWARD])
@given(case=cases())
def test_it_is_the_reference(op, case):
    if "pool" in op and not poolable(case):
        return
    arguments, options = arguments_of(op, case)
    found = results(getattr(winograd, op)(np, *arguments, **options))
    for k, (got, want) in enumerate(zip(found, results(reference(op, *arguments, **options)), strict=True)):
        assert got.shape == want.shape and got.dtype == want.dtype
        if op == "conv2d_relu_pool" and k == 1:  # which of two nearly equal pixels is larger is a matter of rounding
            assert (got != want).mean() < 0.01
            continue
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5 * np.abs(want).max(initial=1))


@pytest.mark.parametrize("op", ["conv2d_relu_grad", "conv2d_relu_pool_grad"])
@given(case=cases())
def test_the_images_gradient_can_be_left_out(op, case):
    if not poolable(case):
        return
    arguments, options = arguments_of(op, case)
    kernel = getattr(winograd, op)
    nothing, *others = kernel(np, *arguments, **(options | {"wanted": (False, True, True)}))
    assert nothing is None
    for got, want in zip(others, kernel(np, *arguments, **options)[1:], strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("op", [*FORWARD, *BACKWARD])
@given(case=cases(), value=st.sampled_from([np.nan, np.inf, -np.inf]))
def test_what_is_not_finite_stays_so(op, case, value):
    """Its neighbours may become NaN, too: differences of pixels are computed."""
    if "pool" in op and (not poolable(case) or any(n % 2 for n in outputs(case))):
        return  # the pixels of an odd last row are not looked at: no 0 · NaN comes of them
    arguments, options = arguments_of(op, case)
    for a in arguments:
        if a is not None and a.dtype.kind == "f":
            a[tuple(case[0].integers(n) for n in a.shape)] = value
    with np.errstate(all="ignore"):
        found = results(getattr(winograd, op)(np, *arguments, **options))
        for got, want in zip(found, results(reference(op, *arguments, **options)), strict=True):
            if want.dtype.kind == "f":
                nan = np.isnan(want)
                assert np.isnan(got[nan]).all()
                assert not np.isfinite(got[np.isinf(want)]).any()


@pytest.mark.parametrize("op", [*FORWARD, *BACKWARD])
def test_workers_change_nothing_but_the_order_of_sums(op):
    rng = np.random.default_rng(0)
    x, w = (rng.standard_normal(s).astype("float32") for s in ((6, 32, 9, 11), (64, 32, 3, 3)))
    arguments, options = arguments_of(op, (rng, x, w, w[:, 0, 0, 0].copy(), (1, 1)))
    runs = []
    before = kernels.cpu.threads.get_num_threads()
    try:
        for threads in (1, 3, 3):
            set_num_threads(threads)
            runs.append(results(getattr(winograd, op)(np, *arguments, **options)))
    finally:
        set_num_threads(before)
    for one, three, again in zip(*runs, strict=True):
        np.testing.assert_allclose(one, three, rtol=1e-5, atol=1e-4)
        np.testing.assert_array_equal(three, again)


def chosen(n=8, c=32, o=64, size=(3, 3), stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1, dtype="float32"):
    x, w = np.empty((n, c, 9, 9), dtype), np.empty((o, c // groups, *size), dtype)
    return choice.conv2d_module(x, w, stride=stride, padding=padding, dilation=dilation, groups=groups)


def test_where_it_is_chosen():
    assert chosen() == chosen(padding=(2, 1)) == "winograd"
    others = [{"size": (5, 5)}, {"stride": (2, 1)}, {"dilation": (1, 2)}, {"groups": 2}, {"dtype": "float64"},
              {"c": 16}, {"o": 40}, {"n": 1}, {"padding": (3, 0)}]  # fmt: skip
    assert {chosen(**other) for other in others} == {"conv"}
    x, w = np.empty((8, 32, 9, 9), "f"), np.empty((64, 32, 3, 3), "f")
    said = kernels.explain("conv2d", x, w, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1)
    assert "winograd" in said and "16 multiplications where 36" in said
