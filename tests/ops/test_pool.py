"""max_pool2d and avg_pool2d as users call them: ties, NaN, -inf, indices, derivatives, and errors."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinynet as tn
from tinynet.nn.functional import avg_pool2d, max_pool2d
from tinynet.testing import assert_close, gradcheck, gradgradcheck

NAN, INF = float("nan"), float("inf")


@st.composite
def poolings(draw, dilations):
    """The shape of images and the arguments of a pooling."""
    size, stride = (draw(st.tuples(st.integers(1, 3), st.integers(1, 3))) for _ in range(2))
    dilation = draw(st.tuples(st.integers(1, 2), st.integers(1, 2))) if dilations else (1, 1)
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, size, strict=True)]
    padding = tuple(draw(st.integers(0, r // 2)) for r in reach)
    least = [max(r - 2 * p, d) for r, p, d in zip(reach, padding, dilation, strict=True)]
    image = [n + draw(st.integers(0, 3)) for n in least]
    shape = (*draw(st.sampled_from([(1, 2), (2, 1), (2,)])), *image)
    options = {"kernel_size": size, "stride": stride, "padding": padding, "ceil_mode": draw(st.booleans())}
    return shape, options | ({"dilation": dilation} if dilations else {})


def distinct(seed, shape):
    """No two elements near each other: the largest stays the largest when one is moved a little."""
    order = np.random.default_rng(seed).permutation(int(np.prod(shape)))
    return tn.tensor(order.reshape(shape) * 0.1, requires_grad=True)


@settings(max_examples=10)
@given(poolings(dilations=True), st.integers(0, 99))
def test_derivatives_of_max_pooling(pooling, seed):
    shape, options = pooling
    x = distinct(seed, shape)
    assert gradcheck(lambda x: max_pool2d(x, **options), x, atol=1e-7, rtol=1e-7)
    assert gradgradcheck(lambda x: max_pool2d(x, **options), x, atol=1e-7, rtol=1e-7)


@settings(max_examples=10)
@given(poolings(dilations=False), st.booleans(), st.sampled_from([None, 5]), st.integers(0, 99))
def test_derivatives_of_average_pooling(pooling, count_include_pad, divisor, seed):
    shape, options = pooling
    x = distinct(seed, shape)
    more = {"count_include_pad": count_include_pad, "divisor_override": divisor}
    assert gradcheck(lambda x: avg_pool2d(x, **options, **more), x, atol=1e-7, rtol=1e-7)
    assert gradgradcheck(lambda x: avg_pool2d(x, **options, **more), x, atol=1e-7, rtol=1e-7)


@given(poolings(dilations=True), st.integers(0, 99))
def test_the_indices_are_where_the_values_stand(pooling, seed):
    shape, options = pooling
    x = distinct(seed, shape)
    values, indices = max_pool2d(x, **options, return_indices=True)
    assert values.shape == indices.shape and indices.dtype == tn.int64 and not indices.requires_grad
    flat = x.reshape(*shape[:-2], -1)
    assert_close(flat.gather(-1, indices.reshape(*shape[:-2], -1)).reshape(values.shape), values)


def test_of_equal_pixels_the_first_gets_the_gradient():
    x = tn.ones(1, 2, 2, requires_grad=True)
    max_pool2d(x, 2).backward(tn.ones(1, 1, 1))
    assert_close(x.grad, tn.tensor([[[1.0, 0.0], [0.0, 0.0]]]))


def test_a_pixel_that_wins_several_windows_gets_their_sum():
    x = tn.tensor([[[0.0, 9.0, 0.0]]], requires_grad=True)
    max_pool2d(x, (1, 2), 1).backward(tn.tensor([[[1.0, 2.0]]]))
    assert_close(x.grad, tn.tensor([[[0.0, 3.0, 0.0]]]))


def test_nan_beats_everything():
    x = tn.tensor([[[1.0, NAN, INF, 3.0], [4.0, 5.0, 6.0, 7.0]]])
    values, indices = max_pool2d(x, 2, return_indices=True)
    assert_close(values, tn.tensor([[[NAN, INF]]]), equal_nan=True)
    assert indices.tolist() == [[[1, 2]]]


def test_the_border_never_wins():
    x = tn.full((1, 3, 3), -INF)
    values, indices = max_pool2d(x, 2, 2, 1, return_indices=True)
    assert_close(values, tn.full((1, 2, 2), -INF))
    assert indices.tolist() == [[[0, 1], [3, 4]]]
    lowest = tn.full((1, 3, 3), -128, dtype=tn.int8)
    values, indices = max_pool2d(lowest, 2, 2, 1, return_indices=True)
    assert values.dtype == tn.int8 and values.tolist() == [[[-128] * 2] * 2]
    assert indices.tolist() == [[[0, 1], [3, 4]]]


def test_a_window_of_many_pixels():
    x = tn.arange(200.0 * 200).reshape(1, 200, 200)
    values, indices = max_pool2d(x, 200, return_indices=True)
    assert values.item() == indices.item() == 200 * 200 - 1


def test_stride_is_the_kernel_size_unless_given():
    x = tn.arange(36.0).reshape(1, 6, 6)
    assert max_pool2d(x, (2, 3)).shape == avg_pool2d(x, (2, 3)).shape == (1, 3, 2)
    assert max_pool2d(x, (2, 3), 1).shape == avg_pool2d(x, (2, 3), 1).shape == (1, 5, 4)


def test_no_images():
    x = tn.zeros(0, 3, 8, 8)
    assert max_pool2d(x, 2).shape == avg_pool2d(x, 2).shape == (0, 3, 4, 4)


def test_half_precision_keeps_its_dtype():
    x = tn.ones(1, 4, 4, dtype=tn.float16)
    assert max_pool2d(x, 2).dtype == avg_pool2d(x, 2).dtype == tn.float16


X = tn.zeros(2, 3, 8, 8)
FOR_BOTH = [
    (lambda f: f(X, 0), RuntimeError, "kernel_size should be greater than zero"),
    (lambda f: f(X, 2, 0), RuntimeError, "stride should be greater than zero, but got (0, 0)"),
    (
        lambda f: f(X, 2, padding=2),
        RuntimeError,
        "pad should be at most half of effective kernel size, but got pad=2",
    ),
    (lambda f: f(X, 2, padding=-1), RuntimeError, "pad must be non-negative, but got pad: -1"),
    (
        lambda f: f(X, 9),
        RuntimeError,
        "Given input size: (3x8x8). Calculated output size: (3x0x0). Output size is too",
    ),
    (lambda f: f(X[0, 0], 2), RuntimeError, "Expected 3D or 4D (batch mode) tensor"),
    (lambda f: f(X[:, :0], 2), RuntimeError, "optional 0 dim batch size"),
    (
        lambda f: f(X, (2, 2, 2)),
        RuntimeError,
        "expected kernel_size to be a single integer value or a list of 2",
    ),
    (lambda f: f(X, 2.0), TypeError, "argument 'kernel_size' must be an int or 2 ints, but found 2.0"),
    (lambda f: f(X.numpy(), 2), TypeError, "argument 'input' must be Tensor, not ndarray"),
    (lambda f: f(X > 0, 2), NotImplementedError, "is not implemented for bool"),
]


@pytest.mark.parametrize("pool", [max_pool2d, avg_pool2d])
@pytest.mark.parametrize(("call", "kind", "text"), FOR_BOTH, ids=[text for *_, text in FOR_BOTH])
def test_errors(pool, call, kind, text):
    with pytest.raises(kind, match=re.escape(text)):
        call(pool)


def test_errors_of_one():
    with pytest.raises(RuntimeError, match="dilation should be greater than zero"):
        max_pool2d(X, 2, dilation=0)
    with pytest.raises(RuntimeError, match="divisor must be not zero"):
        avg_pool2d(X, 2, divisor_override=0)
    with pytest.raises(NotImplementedError, match=r"not implemented for int64; use input\.float"):
        avg_pool2d(X.long(), 2)
