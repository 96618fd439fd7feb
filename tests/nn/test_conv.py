"""Convolution layers: what they say when something does not fit, and that there and back is the same size."""

from __future__ import annotations

import re

import pytest

import tinynet as tn
from tinynet import nn
from tinynet.testing import assert_close, gradcheck

X = tn.zeros(2, 4, 5, 5)


@pytest.mark.parametrize("name", ["kernel_size", "stride", "padding", "dilation"])
@pytest.mark.parametrize("layer", [nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d, nn.ConvTranspose2d])
def test_a_number_for_each_axis(layer, name):
    axes = 1 if "1d" in layer.__name__ else 2
    usual = {"in_channels": 4, "out_channels": 4, "kernel_size": 3}
    with pytest.raises(RuntimeError, match=rf"a list of {axes} values to match the {layer.__name__} dimensions"):
        layer(**usual | {name: (1, 2, 3)})
    with pytest.raises(TypeError, match=rf"{layer.__name__}\(\): argument '{name}' must be an int.*, but found 1.5"):
        layer(**usual | {name: 1.5})
    for ones in (1, [1] * axes):
        assert getattr(layer(**usual | {name: ones}), name) == (1,) * axes


@pytest.mark.parametrize("name", ["kernel_size", "stride", "dilation"])
@pytest.mark.parametrize("layer", [nn.Conv2d, nn.ConvTranspose2d])
def test_sizes_below_one_are_refused_at_once(layer, name):
    with pytest.raises(RuntimeError, match=rf"non-positive {name} is not supported: {layer.__name__} got {name}=0"):
        layer(**{"in_channels": 4, "out_channels": 4, "kernel_size": 3, name: 0})


ERRORS = [
    (lambda: nn.Conv2d(4, 4, 3, groups=0), ValueError, "groups must be a positive integer, got groups=0"),
    (lambda: nn.Conv2d(3, 4, 3, groups=2), ValueError, "in_channels must be divisible by groups, got in_channels=3"),
    (lambda: nn.Conv2d(4, 3, 3, groups=2), ValueError, "out_channels must be divisible by groups, got out_channels=3"),
    (lambda: nn.Conv2d(4, 4, 3, padding="full"), ValueError, "Invalid padding string 'full', should be one of 'same'"),
    (lambda: nn.Conv1d(4, 4, 3, 2, "same"), ValueError, "not supported for strided convolutions, got stride=(2,)"),
    (lambda: nn.Conv2d(4, 4, 3, padding_mode="mirror"), ValueError, "one of zeros, reflect, replicate, circular, but"),
    (lambda: nn.Conv2d(3, 4, 3)(X), RuntimeError, "expected input[2, 4, 5, 5] to have 3 channels, but got 4"),
    (lambda: nn.Conv2d(4, 4, 7)(X), RuntimeError, "input size per channel: (5 x 5). Kernel size: (7 x 7)"),
    (lambda: nn.Conv2d(4, 4, 3)(X.double()), RuntimeError, "Input type (float64) and weight type (float32)"),
    (lambda: nn.Conv1d(4, 4, 3)(X), RuntimeError, "Expected 2D (unbatched) or 3D (batched) input to conv1d"),
    (lambda: nn.Conv2d(4, 4, 3, padding=-1)(X), RuntimeError, "negative padding is not supported: conv2d got padding"),
    (lambda: nn.ConvTranspose2d(4, 4, 3, padding_mode="reflect"), ValueError, 'Only "zeros" padding mode is supported'),
    (lambda: nn.ConvTranspose1d(4, 4, 3, padding="same"), TypeError, "argument 'padding' must be an int, but found"),
    (lambda: nn.ConvTranspose2d(4, 4, 3, 2, 0, 2)(X), RuntimeError, "output padding must be smaller than either"),
    (lambda: nn.ConvTranspose2d(4, 4, 3, 2)(X, 12), TypeError, "output_size must be a sequence of ints, not int"),
    (lambda: nn.ConvTranspose2d(4, 4, 3, 2)(X, (12,)), ValueError, "output_size must have 2 or 4 elements (got 1"),
    (lambda: nn.ConvTranspose2d(4, 4, 3, 2)(X[0], (12,)), ValueError, "for 3D input, output_size must have 2 or 3"),
    (lambda: nn.ConvTranspose2d(4, 4, 3, 2)(X, (12, 13)), ValueError, "valid sizes range from [11, 11] to [12, 12]"),
    (lambda: nn.ConvTranspose2d(4, 4, 3, 2)(X, (12, 9.5)), TypeError, "argument 'output_size' must be an int or 2"),
    (lambda: nn.ConvTranspose2d(4, 4, 3, 2)(X[0, 0, 0], (12, 12)), RuntimeError, "Expected 3D (unbatched) or 4D"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "text"), ERRORS, ids=[text for *_, text in ERRORS])
def test_errors(call, kind, text):
    with pytest.raises(kind, match=re.escape(text)):
        call()


@pytest.mark.parametrize("size", [(7, 8), (8, 7), (9, 10)])
def test_an_autoencoder_gives_back_the_size_it_was_given(size):
    down, up = nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.ConvTranspose2d(6, 3, 3, stride=2, padding=1)
    x = tn.randn(2, 3, *size)
    assert up(down(x), output_size=size).shape == up(down(x), output_size=x.shape).shape == x.shape


def test_tied_weights_make_the_transpose_the_gradient():
    conv = nn.Conv2d(3, 6, 3, stride=2, bias=False, dtype=tn.float64)
    back = nn.ConvTranspose2d(6, 3, 3, stride=2, bias=False)
    back.weight = conv.weight
    x = tn.randn(2, 3, 7, 9, dtype=tn.float64, requires_grad=True)
    (gradient,) = tn.autograd.grad((conv(x) ** 2).sum() / 2, x)
    assert_close(gradient, back(conv(x)))


def test_derivatives_through_padding_modes_and_output_size():
    x = tn.randn(1, 2, 5, dtype=tn.float64, requires_grad=True)
    for mode in ("reflect", "replicate", "circular"):
        assert gradcheck(nn.Conv1d(2, 2, 3, padding="same", dilation=2, padding_mode=mode).double(), (x,))
    up = nn.ConvTranspose1d(2, 2, 2, stride=3).double()
    assert gradcheck(lambda x: up(x, output_size=(16,)), (x,))
