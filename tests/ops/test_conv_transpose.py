"""conv_transpose2d and conv_transpose1d as users call them: sizes, the transpose, derivatives, and errors."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import tinynet as tn
from tinynet.nn.functional import conv1d, conv2d, conv_transpose1d, conv_transpose2d
from tinynet.testing import assert_close, conv_configs, gradcheck, gradgradcheck

SEEDS = st.integers(0, 99)
SMALL = conv_configs(max_batch=2, max_channels=2, max_kernel=2)


def tensors(seed, *shapes):
    rng = np.random.default_rng(seed)
    return [tn.tensor(rng.standard_normal(shape), requires_grad=True) for shape in shapes]


def remainder(config):
    """What a convolution with stride leaves over at the end of each axis: the output_padding of the way back."""
    axes = zip(config.x[2:], config.w[2:], config.stride, config.padding, config.dilation, strict=True)
    return tuple((n + 2 * p - d * (k - 1) - 1) % s for n, k, s, p, d in axes)


def test_a_transposed_convolution_by_hand():
    x = tn.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    w = tn.tensor([[[[1.0, 0.0], [0.0, 10.0]]]])
    assert_close(
        conv_transpose2d(x, w), tn.tensor([[[[1.0, 2.0, 0.0], [3.0, 14.0, 20.0], [0.0, 30.0, 40.0]]]])
    )
    apart = [[1.0, 0.0, 2.0, 0.0], [0.0, 10.0, 0.0, 20.0], [3.0, 0.0, 4.0, 0.0], [0.0, 30.0, 0.0, 40.0]]
    apart = tn.tensor([[apart]])
    assert_close(conv_transpose2d(x, w, stride=2), apart)
    assert_close(conv_transpose2d(x, w, tn.tensor([0.5]), stride=2), apart + 0.5)
    assert_close(conv_transpose2d(x, w, stride=2, padding=1), apart[..., 1:-1, 1:-1])
    longer = conv_transpose2d(x, w, stride=2, output_padding=(1, 0))
    assert_close(longer[..., :4, :], apart)
    assert_close(longer[..., 4:, :], tn.zeros(1, 1, 1, 4))


def test_output_padding_uncovers_what_padding_hides():
    x = tn.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    w = tn.tensor([[[[1.0, 0.0], [0.0, 10.0]]]])
    whole = conv_transpose2d(x, w, stride=2)
    assert_close(conv_transpose2d(x, w, stride=2, padding=1, output_padding=1), whole[..., 1:, 1:])


@given(conv_configs(max_batch=2), SEEDS)
def test_it_is_the_transpose_of_the_convolution(config, seed):
    """<conv(x), y> = <x, conv_transpose(y)>, whatever x and y are: for every size that x may have had."""
    x, w = tensors(seed, config.x, config.w)
    y = conv2d(x, w, **config.options)
    (v,) = tensors(seed + 1, y.shape)
    back = conv_transpose2d(v, w, output_padding=remainder(config), **config.options)
    assert back.shape == x.shape
    np.testing.assert_allclose((y * v).sum().item(), (x * back).sum().item(), rtol=1e-9, atol=1e-9)


@given(conv_configs(dims=1, max_batch=2), st.booleans(), SEEDS)
def test_over_one_axis_it_is_that_over_images_of_one_row(config, batched, seed):
    lead = (2, config.w[0]) if batched else (config.w[0],)
    x, w, b = tensors(seed, (*lead, 5), config.w, config.w[1] * config.groups)
    (k,), (s,), (p,), (d,) = config.w[2:], config.stride, config.padding, config.dilation
    size = 4 * s + d * (k - 1) + 1 - 2 * p + (s - 1)
    assume(size > 0)
    y = conv_transpose1d(x, w, b, s, p, s - 1, config.groups, d)
    assert y.shape[-1] == size
    rows = conv_transpose2d(
        x.unsqueeze(-2), w.unsqueeze(-2), b, (1, s), (0, p), (0, s - 1), config.groups, (1, d)
    )
    assert_close(y, rows.squeeze(-2))


@given(conv_configs(), SEEDS)
def test_an_image_without_a_batch(config, seed):
    y = conv2d(tn.zeros(config.x), tn.zeros(config.w), **config.options)
    x, w, b = tensors(seed, y.shape, config.w, config.w[1] * config.groups)
    options = {**config.options, "output_padding": remainder(config)}
    assert_close(conv_transpose2d(x[0], w, b, **options), conv_transpose2d(x, w, b, **options)[0])


@pytest.mark.parametrize("padding", [0, 1, 4])
@pytest.mark.parametrize(("stride", "dilation", "extra"), [(1, 2, 1), (1, 4, 3), (2, 3, 2), (2, 5, 4)])
def test_an_output_padding_of_a_stride_and_more(stride, dilation, extra, padding):
    """Less than the dilation is allowed: as much more of what follows the padding, and then zeros."""
    x, w = tensors(0, (2, 2, 5), (2, 2, 3))
    whole = conv_transpose1d(x, w, stride=stride, dilation=dilation)
    y = conv_transpose1d(x, w, stride=stride, dilation=dilation, padding=padding, output_padding=extra)
    end = whole.shape[-1] - padding + extra
    expected = tn.cat([whole, tn.zeros(2, 2, extra, dtype=tn.float64)], dim=-1)[..., padding:end]
    assert_close(y, expected)
    assert gradcheck(lambda x, w: conv_transpose1d(x, w, None, stride, padding, extra, 1, dilation), (x, w))


@settings(max_examples=10)
@given(SMALL, st.booleans(), SEEDS)
def test_derivatives_of_first_and_second_order(config, batched, seed):
    image = conv2d(tn.zeros(config.x), tn.zeros(config.w), **config.options).shape
    x, w, b = tensors(seed, image if batched else image[1:], config.w, config.w[1] * config.groups)

    def f(x, w, b):
        return conv_transpose2d(x, w, b, output_padding=remainder(config), **config.options)

    assert gradcheck(f, (x, w, b), atol=1e-7, rtol=1e-7)
    assert gradgradcheck(f, (x, w, b), atol=1e-7, rtol=1e-7)


def test_derivatives_of_third_order():
    x, w = tensors(0, (1, 2, 2, 2), (2, 1, 2, 2))

    def gradient(x, w):
        y = conv_transpose2d(x, w, stride=2, padding=1, output_padding=1)
        return tn.autograd.grad((y * y * y).sum(), w, create_graph=True)

    assert gradgradcheck(gradient, (x, w), atol=1e-6, rtol=1e-6)


def test_no_images():
    w = tn.zeros(3, 4, 3, 3, requires_grad=True)
    y = conv_transpose2d(tn.zeros(0, 3, 8, 8), w)
    assert y.shape == (0, 4, 10, 10)
    y.sum().backward()
    assert_close(w.grad, tn.zeros(3, 4, 3, 3))


def test_integers_and_half_precision():
    x, w = tn.arange(4).reshape(1, 1, 4), tn.ones(1, 1, 2, dtype=tn.int64)
    assert_close(conv_transpose1d(x, w), tn.tensor([[[0, 1, 3, 5, 3]]]))
    assert conv_transpose1d(x.half(), w.half()).dtype == conv1d(x.half(), w.half()).dtype == tn.float16


def test_only_what_is_needed_is_kept():
    x, w = tensors(0, (1, 1, 3, 3), (1, 1, 2, 2))
    y = conv_transpose2d(x.detach(), w)
    with tn.no_grad():
        w.zero_()  # the gradient of w does not need w
    y.sum().backward()
    assert w.grad is not None


X, W = tn.zeros(2, 4, 5, 5), tn.zeros(4, 3, 3, 3)
ERRORS = [
    ({"input": tn.zeros(2, 3, 5, 5)}, RuntimeError, "expected input[2, 3, 5, 5] to have 4 channels, but got 3"),
    ({"input": X[0, 0]}, RuntimeError, "Expected 3D (unbatched) or 4D (batched) input to conv_transpose2d, but got"),
    ({"input": X[:, :, :0]}, RuntimeError, "Only zero batch or zero channel inputs are supported, but got input"),
    ({"input": X.numpy()}, TypeError, "argument 'input' must be Tensor, not ndarray"),
    ({"input": X.double()}, RuntimeError, "Input type (float64) and weight type (float32) should be the same"),
    ({"input": X > 0}, NotImplementedError, "conv_transpose2d is not implemented for bool; use input.float()"),
    ({"weight": W[0]}, RuntimeError, "expected a weight of size (in_channels, out_channels / groups, rows, columns)"),
    ({"weight": W[:, :, :0]}, RuntimeError, "expected a weight of size (in_channels, out_channels / groups, rows"),
    ({"weight": W[:0]}, RuntimeError, "at least 1 and divisible by 1 at dimension 0"),
    ({"weight": W[:, :0]}, RuntimeError, "at least 1 at dimension 1, but got weight of size [4, 0, 3, 3]"),
    ({"bias": tn.zeros(4)}, RuntimeError, "bias to be 1-dimensional with 3 elements, but got bias of size [4]"),
    ({"bias": tn.zeros(3), "groups": 2}, RuntimeError, "expected bias to be 1-dimensional with 6 elements"),
    ({"bias": tn.zeros(3).double()}, RuntimeError, "Input type (float32) and bias type (float64)"),
    ({"bias": [1.0]}, TypeError, "argument 'bias' must be Tensor, not list"),
    ({"groups": 3}, RuntimeError, "divisible by 3 at dimension 0"),
    ({"groups": 0}, RuntimeError, "non-positive groups is not supported: conv_transpose2d got groups=0"),
    ({"groups": 1.5}, TypeError, "argument 'groups' must be an int, but found 1.5 of type float"),
    ({"groups": [1]}, TypeError, "argument 'groups' must be an int, but found [1] of type list"),
    ({"stride": 0}, RuntimeError, "non-positive stride is not supported: conv_transpose2d got stride=0"),
    ({"stride": (1, 2, 3)}, RuntimeError, "a list of 2 values to match the conv_transpose2d dimensions"),
    ({"stride": 1.5}, TypeError, "argument 'stride' must be an int or 2 ints, but found 1.5"),
    ({"dilation": (1, 0)}, RuntimeError, "non-positive dilation is not supported: conv_transpose2d got"),
    ({"padding": -1}, RuntimeError, "negative padding is not supported"),
    ({"padding": "same"}, TypeError, "argument 'padding' must be an int or 2 ints, but found 'same' of type str"),
    ({"padding": (3, 4)}, RuntimeError, "Calculated output size per channel: (1 x -1). Output size is too small"),
    ({"output_padding": -1}, RuntimeError, "negative output_padding is not supported"),
    ({"output_padding": 1}, RuntimeError, "output padding must be smaller than either stride or dilation, but"),
    ({"output_padding": (1, 2), "stride": 2}, RuntimeError, "output_padding=(1, 2), stride=(2, 2), dilation=(1, 1)"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "kind", "text"), ERRORS, ids=[text for *_, text in ERRORS])
def test_errors(given, kind, text):
    with pytest.raises(kind, match=re.escape(text)) as raised:
        conv_transpose2d(**{"input": X, "weight": W, **given})
    assert raised.type is kind


def test_errors_over_one_axis():
    with pytest.raises(RuntimeError, match=re.escape("2D (unbatched) or 3D (batched) input to conv_transpose1d")):
        conv_transpose1d(X, W)
    with pytest.raises(RuntimeError, match=re.escape("a list of 1 values to match the conv_transpose1d dimensions")):
        conv_transpose1d(X[0], W[0], stride=(2, 2))
