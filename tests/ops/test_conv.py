"""conv2d and conv1d as users call them: sizes, padding by name, no batch, derivatives, and errors."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinynet as tn
from tinynet.nn.functional import conv1d, conv2d
from tinynet.testing import assert_close, conv_configs, gradcheck, gradgradcheck

SMALL = conv_configs(max_batch=2, max_channels=2, max_kernel=2)


def tensors(seed, *shapes):
    rng = np.random.default_rng(seed)
    return [tn.tensor(rng.standard_normal(shape), requires_grad=True) for shape in shapes]


def test_a_convolution_by_hand():
    x = tn.arange(9.0).reshape(1, 1, 3, 3)
    w = tn.tensor([[[[1.0, 0.0], [0.0, 10.0]]]])
    assert_close(conv2d(x, w), tn.tensor([[[[40.0, 51.0], [73.0, 84.0]]]]))
    assert_close(conv2d(x, w, tn.tensor([0.5])), tn.tensor([[[[40.5, 51.5], [73.5, 84.5]]]]))
    assert_close(conv2d(x, w, stride=2, padding=1), tn.tensor([[[[0.0, 20.0], [60.0, 84.0]]]]))
    assert_close(conv2d(x, w, dilation=2), tn.tensor([[[[80.0]]]]))


@settings(max_examples=10)
@given(SMALL, st.booleans(), st.integers(0, 99))
def test_derivatives_of_first_and_second_order(config, batched, seed):
    x, w, b = tensors(seed, config.x if batched else config.x[1:], config.w, config.w[:1])

    def f(x, w, b):
        return conv2d(x, w, b, **config.options)

    assert gradcheck(f, (x, w, b), atol=1e-7, rtol=1e-7)
    assert gradgradcheck(f, (x, w, b), atol=1e-7, rtol=1e-7)


def test_derivatives_of_third_order():
    x, w = tensors(0, (1, 2, 3, 3), (2, 2, 2, 2))

    def gradient(x, w):
        y = conv2d(x, w, padding=1)
        return tn.autograd.grad((y * y * y).sum(), x, create_graph=True)

    assert gradgradcheck(gradient, (x, w), atol=1e-6, rtol=1e-6)


@given(conv_configs(), st.integers(0, 99))
def test_an_image_without_a_batch(config, seed):
    x, w = tensors(seed, config.x, config.w)
    whole = conv2d(x, w, **config.options)
    assert_close(conv2d(x[0], w, **config.options), whole[0])


@given(st.tuples(*[st.integers(1, 4)] * 2), st.tuples(*[st.integers(1, 3)] * 2), st.integers(0, 99))
def test_same_padding_puts_the_odd_one_after_the_end(size, dilation, seed):
    x, w = tensors(seed, (2, 1, 5, 6), (1, 1, *size))
    y = conv2d(x, w, padding="same", dilation=dilation)
    assert y.shape == x.shape
    total = [d * (k - 1) for d, k in zip(dilation, size, strict=True)]
    sides = [(t // 2, t - t // 2) for t in total]
    padded = tn.tensor(np.pad(x.detach().numpy(), ((0, 0), (0, 0), *sides)))
    assert_close(y, conv2d(padded, w, dilation=dilation))


def test_valid_padding_is_none():
    x, w = tensors(0, (1, 1, 5, 6), (1, 1, 3, 2))
    assert_close(conv2d(x, w, padding="valid", stride=2), conv2d(x, w, stride=2))


def test_same_padding_has_derivatives():
    x, w = tensors(0, (1, 3, 3), (1, 1, 2, 2))
    assert gradgradcheck(lambda x, w: conv2d(x, w, padding="same"), (x, w))


@settings(max_examples=15)
@given(conv_configs(dims=1), st.sampled_from(["numbers", "same", "valid"]), st.booleans(), st.integers(0, 99))
def test_conv1d_is_conv2d_over_images_of_one_row(config, padding, batched, seed):
    x, w, b = tensors(seed, config.x if batched else config.x[1:], config.w, config.w[:1])
    options = {**config.options, "padding": config.padding if padding == "numbers" else padding}
    if padding == "same":
        options["stride"] = 1
    if padding == "valid" and x.shape[-1] < config.dilation[0] * (config.w[-1] - 1) + 1:
        return
    as_pairs = {
        "stride": (1, *np.atleast_1d(options["stride"])),
        "padding": (0, *config.padding) if padding == "numbers" else padding,
        "dilation": (1, *config.dilation),
        "groups": config.groups,
    }
    y = conv1d(x, w, b, **options)
    assert_close(y, conv2d(x.unsqueeze(-2), w.unsqueeze(-2), b, **as_pairs).squeeze(-2))
    assert y.shape[-1] == x.shape[-1] or padding != "same"


def test_conv1d_has_derivatives():
    x, w, b = tensors(0, (1, 2, 4), (2, 2, 2), (2,))
    assert gradgradcheck(lambda x, w, b: conv1d(x, w, b, stride=2, padding=1), (x, w, b))


def test_no_images_and_no_channels():
    w = tn.zeros(4, 3, 3, 3, requires_grad=True)
    y = conv2d(tn.zeros(0, 3, 8, 8), w)
    assert y.shape == (0, 4, 6, 6)
    y.sum().backward()
    assert_close(w.grad, tn.zeros(4, 3, 3, 3))
    assert_close(conv2d(tn.zeros(2, 0, 8, 8), tn.zeros(4, 0, 3, 3)), tn.zeros(2, 4, 6, 6))


def test_only_what_is_needed_is_kept():
    x, w = tensors(0, (1, 1, 3, 3), (1, 1, 2, 2))
    y = conv2d(x.detach(), w)
    with tn.no_grad():
        w.zero_()  # the gradient of w does not need w
    y.sum().backward()
    assert w.grad is not None


X, W = tn.zeros(2, 3, 8, 8), tn.zeros(4, 3, 3, 3)
ERRORS = [
    (
        lambda: conv2d(X, tn.zeros(4, 2, 3, 3)),
        RuntimeError,
        "expected input[2, 3, 8, 8] to have 2 channels",
    ),
    (
        lambda: conv2d(X[0], tn.zeros(4, 2, 3, 3)),
        RuntimeError,
        "expected input[3, 8, 8] to have 2 channels, but got 3",
    ),
    (
        lambda: conv2d(X, tn.zeros(4, 1, 3, 3), groups=2),
        RuntimeError,
        "Given groups=2, weight of size [4, 1, 3, 3], expected input[2, 3, 8, 8] to have 2 channels",
    ),
    (
        lambda: conv2d(X, tn.zeros(4, 1, 3, 3), groups=3),
        RuntimeError,
        "divisible by 3 at dimension 0, but got weight",
    ),
    (lambda: conv2d(X, W[:0]), RuntimeError, "at least 1"),
    (
        lambda: conv2d(X, W, groups=0),
        RuntimeError,
        "non-positive groups is not supported: conv2d got groups=0",
    ),
    (lambda: conv2d(X, W, tn.zeros(3)), RuntimeError, "expected bias to be 1-dimensional with 4 elements"),
    (
        lambda: conv2d(tn.zeros(2, 3, 2, 2), W),
        RuntimeError,
        "input size per channel: (2 x 2). Kernel size: (3 x 3). Kernel size can't be greater than actual",
    ),
    (lambda: conv2d(X, W, dilation=4), RuntimeError, "Kernel size: (9 x 9)"),
    (
        lambda: conv2d(X, W, stride=0),
        RuntimeError,
        "non-positive stride is not supported: conv2d got stride=0",
    ),
    (lambda: conv2d(X, W, stride=(1, -2)), RuntimeError, "non-positive stride is not supported"),
    (lambda: conv2d(X, W, dilation=0), RuntimeError, "non-positive dilation is not supported"),
    (lambda: conv2d(X, W, padding=-1), RuntimeError, "negative padding is not supported"),
    (
        lambda: conv2d(X, W, stride=(1, 2, 3)),
        RuntimeError,
        "a list of 2 values to match the conv2d dimensions",
    ),
    (
        lambda: conv2d(X, W, stride=1.5),
        TypeError,
        "argument 'stride' must be an int or 2 ints, but found 1.5",
    ),
    (lambda: conv2d(X, W, stride=True), TypeError, "argument 'stride'"),
    (
        lambda: conv2d(X, W, padding="same", stride=2),
        RuntimeError,
        "padding='same' is not supported for strided",
    ),
    (lambda: conv2d(X, W, padding="full"), RuntimeError, "Invalid padding string: 'full'"),
    (
        lambda: conv2d(X.double(), W),
        RuntimeError,
        "Input type (float64) and weight type (float32) should be the same",
    ),
    (
        lambda: conv2d(X, W, tn.zeros(4).double()),
        RuntimeError,
        "Input type (float32) and bias type (float64)",
    ),
    (
        lambda: conv2d(X[0, 0], W),
        RuntimeError,
        "Expected 3D (unbatched) or 4D (batched) input to conv2d, but got input",
    ),
    (
        lambda: conv2d(X, W[0]),
        RuntimeError,
        "expected a weight of size (out_channels, in_channels / groups, rows",
    ),
    (lambda: conv2d(X.numpy(), W), TypeError, "argument 'input' must be Tensor, not ndarray"),
    (lambda: conv2d(X, W, [1.0]), TypeError, "argument 'bias' must be Tensor, not list"),
    (lambda: conv1d(X, W), RuntimeError, "Expected 2D (unbatched) or 3D (batched) input to conv1d"),
    (lambda: conv1d(X[0], W[0, :, :1]), RuntimeError, "to have 1 channels, but got 8"),
]


@pytest.mark.parametrize(("call", "kind", "text"), ERRORS, ids=[text for *_, text in ERRORS])
def test_errors(call, kind, text):
    with pytest.raises(kind, match=re.escape(text)):
        call()


def test_single_numbers_in_a_sequence_and_numpy_integers():
    x, w = tensors(0, (1, 1, 5, 6), (1, 1, 3, 2))
    assert_close(conv2d(x, w, stride=(2,)), conv2d(x, w, stride=2))
    assert_close(conv2d(x, w, stride=[np.int64(2), 1]), conv2d(x, w, stride=(2, 1)))
