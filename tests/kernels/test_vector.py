"""Vectors and their functions, each by a kernel that does nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import erfcx

pytest.importorskip("numba")
from tinynet.kernels.cpu.compiler import parallel
from tinynet.kernels.cpu.functions import exp, larger, load_some, normal, root, sigmoid, tanh
from tinynet.kernels.cpu.vector import (
    BYTES,
    lanes,
    largest,
    load,
    load_else,
    splat,
    store_some,
    total,
    transpose_square,
)

every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


@parallel
def exponentials(worker, workers, x, out):
    """out = exp(x), with a register that hangs over the end."""
    for i in range(0, len(x), lanes(x)):
        store_some(out, i, exp(load_some(x, i, len(x) - i)), len(x) - i)


@parallel
def roots(worker, workers, x, out):
    """out = √x"""
    for i in range(0, len(x), lanes(x)):
        store_some(out, i, root(load_some(x, i, len(x) - i)), len(x) - i)


@parallel
def smooth_functions(worker, workers, x, out):
    """sigmoid, tanh, the normal distribution and its bell, one after the other."""
    size, n = lanes(x), len(x)
    for i in range(0, n, size):
        v, some = load_some(x, i, n - i), n - i
        below, bell = normal(v)
        store_some(out, i, sigmoid(v), some)
        store_some(out, n + i, tanh(v), some)
        store_some(out, 2 * n + i, below, some)
        store_some(out, 3 * n + i, bell, some)


@parallel
def maxima(worker, workers, x, y, out):
    """The larger of each pair, and after them the largest x of all."""
    size = lanes(x)
    store_some(out, 0, larger(load(x, 0), load(y, 0)), size)
    out[size] = largest(load(x, 0))


@parallel
def transposed(worker, workers, a, out):
    """A square with a number left free at the end of each row of a."""
    transpose_square(a, 0, lanes(a) + 1, out, 0, lanes(a))


@parallel
def sums(worker, workers, x, count, out):
    """The sum of the first numbers of x, and the same with ones in place of the rest."""
    out[0] = total(load_some(x, 0, count))
    out[1] = total(load_else(x, 0, count, splat(x, 1)))


def size(dtype):
    return BYTES // np.dtype(dtype).itemsize


@every_dtype
def test_exp_is_right_to_the_last_digits(dtype):
    top = np.log(np.finfo(dtype).max)
    x = np.concatenate([np.linspace(-0.97 * top, 0.9999 * top, 100_003), np.linspace(-1, 1, 1001)]).astype(dtype)
    out = np.empty_like(x)
    exponentials(1, x, out)
    expected = np.exp(x.astype("longdouble"))
    assert np.abs(out / expected - 1).max() < 2 * np.finfo(dtype).eps


@every_dtype
def test_exp_of_the_ends(dtype):
    x = np.array([0, -np.inf, np.inf, np.nan, -1e4, 1e4, -0.0], dtype)
    out = np.empty_like(x)
    exponentials(1, x, out)
    np.testing.assert_array_equal(out, np.array([1, 0, np.inf, np.nan, 0, np.inf, 1], dtype))


@every_dtype
def test_a_root_is_right_to_the_last_digit(dtype):
    """Also of numbers so small that they have lost digits; NumPy's is the nearest."""
    limits = np.finfo(dtype)
    x = np.concatenate([np.geomspace(limits.tiny, limits.max, 100_003, dtype="longdouble"), np.linspace(0.5, 4, 9_001),
                        np.arange(1, 1_000) * limits.smallest_subnormal.astype("longdouble")]).astype(dtype)
    out = np.empty_like(x)
    roots(1, x, out)
    expected = np.sqrt(x.astype("longdouble"))
    assert (np.abs(out - expected) <= limits.eps * expected).all()


@every_dtype
def test_roots_at_the_ends(dtype):
    x = np.array([0, np.inf, np.nan, -1, -np.inf], dtype)
    out = np.empty_like(x)
    roots(1, x, out)
    np.testing.assert_array_equal(out, np.array([0, np.inf, np.nan, np.nan, np.nan], dtype))


def normal_of(x):
    tail = np.exp(-x * x / 2) * erfcx(np.abs(x / np.sqrt(2)).astype("float64")) / 2  # scipy's own ndtr is less exact
    return np.where(x < 0, tail, 1 - tail)


SMOOTH = {  # in double precision or better
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "normal": normal_of,
    "bell": lambda x: np.exp(-x * x / 2),
}


@every_dtype
def test_smooth_functions_are_right_to_the_last_digits(dtype):
    far = {"float32": 12, "float64": 37}[dtype]  # beyond, e^(-x²/2) is no normal number
    x = np.concatenate([np.linspace(-far, far, 30_011), np.geomspace(1e-30, 1, 999), -np.geomspace(1e-30, 1, 999)])
    x, eps = x.astype(dtype), np.finfo(dtype).eps
    out = np.empty((4, len(x)), dtype)
    smooth_functions(1, x, out.reshape(-1))
    for got, (name, function) in zip(out, SMOOTH.items(), strict=True):
        expected = function(x.astype("longdouble"))
        rounded = eps * x * x / 2 if name in ("normal", "bell") else 0  # what the rounding of x² comes to
        assert (np.abs(got - expected) <= (8 * eps + rounded) * np.abs(expected)).all(), name


@every_dtype
def test_smooth_functions_at_the_ends(dtype):
    x = np.array([0, -np.inf, np.inf, np.nan, -1e4, 1e4], dtype)
    out = np.empty((4, len(x)), dtype)
    smooth_functions(1, x, out.reshape(-1))
    expected = [[0.5, 0, 1, np.nan, 0, 1], [0, -1, 1, np.nan, -1, 1], [0.5, 0, 1, np.nan, 0, 1],
                [1, 0, 0, np.nan, 0, 0]]
    np.testing.assert_array_equal(out, np.array(expected, dtype))


@every_dtype
def test_a_maximum_keeps_nan(dtype):
    n = size(dtype)
    for place in range(n):
        x, y = np.arange(n).astype(dtype), np.arange(n)[::-1].astype(dtype)
        for pick in range(4):
            if pick % 2:
                x[place] = np.nan
            if pick // 2:
                y[place] = np.nan
            out = np.empty(n + 1, dtype)
            maxima(1, x, y, out)
            np.testing.assert_array_equal(out[:n], np.maximum(x, y))
            np.testing.assert_array_equal(out[n], np.max(x))


@every_dtype
def test_a_square_is_transposed(dtype):
    n = size(dtype)
    a, out = np.arange(n * (n + 1)).astype(dtype), np.empty(n * n, dtype)
    transposed(1, a, out)
    np.testing.assert_array_equal(out.reshape(n, n), a.reshape(n, n + 1)[:, :n].T)


@every_dtype
def test_part_of_a_register(dtype):
    n = size(dtype)
    x, out = np.arange(2.0, n + 2).astype(dtype), np.empty(2, dtype)
    for count in range(1, n + 1):
        sums(1, x, count, out)
        assert out.tolist() == [x[:count].sum(), x[:count].sum() + n - count]
