"""Products of matrices that take several blocks, several slices, any layout; and on tensor cores."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from tinynet.kernels.cuda import choice, dense, emulator, launcher, sums

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed: NO CUDA KERNEL WAS RUN")
LAYOUTS = [(0, 0), (0, 1), (1, 0), (1, 1)]
SHAPES = [(130, 140, 20), (257, 66, 9), (5, 3, 700), (64, 64, 256), (200, 1, 40), (1, 200, 40)]


@pytest.fixture
def precision(monkeypatch):
    return lambda name: monkeypatch.setattr(choice, "precision", name)


def matrix(rows, columns, turned, integers=False):
    rng = np.random.default_rng(rows + columns)
    a = rng.integers(-8, 9, (rows, columns)) if integers else rng.standard_normal((rows, columns))
    a = a.astype("float32")
    return np.ascontiguousarray(a.T).T if turned else a


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", SHAPES)
def test_fp32_is_as_exact_as_sums_of_fp32_are(shape, layout, monkeypatch):
    (m, n, k), (a_turned, b_turned) = shape, layout
    a, b = matrix(m, k, a_turned), matrix(k, n, b_turned)
    monkeypatch.setattr(launcher, "multiprocessors", lambda xp: 4)  # so that large tiles have their turn
    np.testing.assert_allclose(dense.matmul(np, a, b), a.astype("float64") @ b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(130, 140, 20), (129, 66, 9), (64, 64, 300)])
def test_tf32_multiplies_exactly_what_it_can_hold(shape, layout, precision):
    (m, n, k), (a_turned, b_turned) = shape, layout
    a, b = matrix(m, k, a_turned, integers=True), matrix(k, n, b_turned, integers=True)
    precision("tf32")
    np.testing.assert_array_equal(dense.matmul(np, a, b), a @ b)


def test_tf32_errs_by_half_a_thousandth_and_fp32_does_not(precision):
    a, b = matrix(70, 300, 0), matrix(300, 60, 0)
    exact = a.astype("float64") @ b
    error = {}
    for name in ("fp32", "tf32"):
        precision(name)
        error[name] = np.linalg.norm(dense.matmul(np, a, b) - exact) / np.linalg.norm(exact)
    assert error["fp32"] < 1e-6 and 1e-4 < error["tf32"] < 5e-4


def test_tf32_keeps_nan_and_infinity(precision):
    precision("tf32")
    a, b = matrix(40, 50, 0), matrix(50, 40, 0)
    a[3, 4], a[5, 6] = np.uint32(0x7FFFFFFF).view("float32"), np.inf
    b[:, 7] = np.abs(b[:, 7])
    y = dense.matmul(np, a, b)
    assert np.isnan(y[3]).all() and not np.isfinite(y[5]).any() and y[5, 7] == np.inf
    assert np.isfinite(np.delete(y, [3, 5], 0)).all()


def test_a_layer_has_its_bias_and_relu_in_the_same_kernel_or_in_the_sum(precision):
    for name in ("fp32", "tf32"):
        precision(name)
        for k in (40, 900):
            x, w = matrix(70, k, 0, True), matrix(50, k, 0, True)
            b = np.arange(-25, 25, dtype="float32") * 100
            for relu in (False, True):
                expected = x @ w.T + b
                got = dense.linear(np, x, w, b, relu=relu)
                np.testing.assert_array_equal(got, np.maximum(expected, 0) if relu else expected)


@pytest.mark.parametrize("lead", [((3,), (3,)), ((2, 3), (3,)), ((2, 1), (1, 3)), ((), (4,)), ((2, 1, 2), (3, 1))])
def test_batches_are_broadcast_without_copies_where_steps_say_it(lead):
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((*shape, 5, 5)).astype("float32") for shape in lead)
    np.testing.assert_allclose(dense.matmul(np, a, b), a @ b, rtol=1e-5, atol=1e-5)
    a, b = a[..., ::-1, :], b.swapaxes(-1, -2)
    np.testing.assert_allclose(dense.matmul(np, a, b), a @ b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", [(5, 3, 4), (300, 70, 9), (2000, 5, 3), (1, 200, 7)])
def test_the_gradients_of_a_layer_are_those_of_its_product(shape):
    n, m, k = shape
    g, x, w, y = (matrix(*s, 0) for s in ((n, m), (n, k), (m, k), (m, n)))
    y = np.ascontiguousarray(y.T)
    for given, slope in ((None, g), (y, np.where(y <= 0, 0, g))):
        expected = slope @ w, slope.T @ x, slope.sum(0)
        for got, want in zip(dense.linear_grad(np, g, x, w, given, wanted=(True,) * 3), expected, strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-3)
    assert dense.linear_grad(np, g[:, 1:], x, w[1:], y[:, 1:], wanted=(False,) * 3) == (None, None, None)


@pytest.mark.parametrize("count", [1, 255, 4096, 4097, 50_000])
def test_many_numbers_are_summed_by_parts(count):
    x = np.random.default_rng(0).integers(-9, 9, count).astype("float32")
    y = sums.total(np, x, 0.5)
    assert y.shape == () and y == x.sum() / 2


def test_relu_s_gradient_takes_arrays_that_start_anywhere():
    whole = matrix(3, 41, 0).reshape(-1)
    g, y = whole[1:], whole[:-1]
    np.testing.assert_array_equal(sums.relu_grad(np, g, y), np.where(y <= 0, 0, g))


def test_matrices_inside_others_are_read_where_they_lie():
    whole = matrix(40, 40, 0)
    a, b = whole[3:20, 5:30], whole[2:38:1, 4:29].T
    read = dense.as_read(np, a, (), (1, 1)), dense.as_read(np, b, (), (1, 1))
    assert [(m.turned, m.pitch) for m in read] == [(False, 40), (True, 40)]
    assert all(np.shares_memory(m.array, whole) for m in read)
    np.testing.assert_allclose(dense.matmul(np, a, b), a @ b, rtol=1e-5, atol=1e-5)
    skipped = whole[::2, ::3]
    np.testing.assert_allclose(dense.matmul(np, skipped.T, skipped), skipped.T @ skipped, rtol=1e-5, atol=1e-5)


def test_slices_give_the_same_bits_in_either_order_of_blocks(monkeypatch):
    a, b = matrix(9, 1500, 0), matrix(1500, 7, 0)
    results = []
    for reverse in (False, True):
        monkeypatch.setattr(emulator.Settings, "reverse", reverse)
        results.append(dense.matmul(np, a, b))
    np.testing.assert_array_equal(*results)
