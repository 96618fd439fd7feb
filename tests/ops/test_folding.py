"""unfold and fold as users call them: what stands where, that each is the other's transpose, and errors."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinynet as tn
from tinynet.nn.functional import conv2d, fold, unfold
from tinynet.testing import assert_close, conv_configs, gradcheck, gradgradcheck

SEEDS = st.integers(0, 99)


def tensors(seed, *shapes):
    rng = np.random.default_rng(seed)
    return [tn.tensor(rng.standard_normal(shape), requires_grad=True) for shape in shapes]


def windows(config):
    return {
        "kernel_size": config.w[2:],
        "stride": config.stride,
        "padding": config.padding,
        "dilation": config.dilation,
    }


def test_columns_by_hand():
    x = tn.arange(12.0).reshape(1, 2, 2, 3)
    left, right = [0.0, 1.0, 3.0, 4.0], [1.0, 2.0, 4.0, 5.0]
    columns = tn.tensor([[left + [v + 6 for v in left], right + [v + 6 for v in right]]]).mT
    assert_close(unfold(x, 2), columns)
    assert_close(unfold(x, (1, 2), dilation=2, padding=(0, 1), stride=(1, 2))[0, :, 0], tn.tensor([0.0, 1, 0, 7]))
    times = tn.tensor([[1.0, 2.0, 1.0], [1.0, 2.0, 1.0]])  # how many windows there are over each pixel
    assert_close(fold(columns, (2, 3), 2), x * times)


@given(conv_configs(max_batch=2), SEEDS)
def test_a_convolution_is_a_product_with_the_columns(config, seed):
    x, w = tensors(seed, config.x, (3, config.x[1], *config.w[2:]))
    options = windows(config)
    y = conv2d(x, w, stride=config.stride, padding=config.padding, dilation=config.dilation)
    assert_close((w.flatten(1) @ unfold(x, **options)).reshape(y.shape), y, rtol=1e-9, atol=1e-9)


@given(conv_configs(max_batch=2), SEEDS)
def test_each_is_the_others_transpose(config, seed):
    (x,) = tensors(seed, config.x)
    y = unfold(x, **windows(config))
    (v,) = tensors(seed + 1, y.shape)
    back = fold(v, config.x[2:], **windows(config))
    assert back.shape == x.shape
    np.testing.assert_allclose((y * v).sum().item(), (x * back).sum().item(), rtol=1e-9, atol=1e-9)


def test_patches_that_do_not_overlap_are_put_together_again():
    (x,) = tensors(0, (2, 3, 4, 6))
    assert_close(fold(unfold(x, (2, 3), stride=(2, 3)), (4, 6), (2, 3), stride=(2, 3)), x)


@given(conv_configs(), SEEDS)
def test_an_image_without_a_batch(config, seed):
    (x,) = tensors(seed, config.x)
    y = unfold(x, **windows(config))
    assert_close(unfold(x[0], **windows(config)), y[0])
    assert_close(fold(y[0], config.x[2:], **windows(config)), fold(y, config.x[2:], **windows(config))[0])


@settings(max_examples=10)
@given(conv_configs(max_batch=2, max_channels=2, max_kernel=2), SEEDS)
def test_derivatives(config, seed):
    (x,) = tensors(seed, config.x)
    assert gradcheck(lambda x: unfold(x, **windows(config)), (x,))
    (y,) = tensors(seed, unfold(x, **windows(config)).shape)
    assert gradcheck(lambda y: fold(y, config.x[2:], **windows(config)), (y,))


def test_derivatives_of_second_order():
    (x,) = tensors(0, (1, 2, 3, 3))
    assert gradgradcheck(lambda x: unfold(x, 2, padding=1, stride=2) ** 3, (x,))
    (y,) = tensors(0, (1, 8, 4))
    assert gradgradcheck(lambda y: fold(y, 3, 2) ** 3, (y,))


def test_infinities_stay_where_they_are():
    x = tn.tensor([[[np.inf, 1.0], [np.nan, 2.0]]])
    assert unfold(x, 1).tolist()[0][:2] == [np.inf, 1.0]
    assert unfold(x, 2, stride=2).isnan().sum().item() == 1


def test_no_images_and_other_dtypes():
    assert unfold(tn.zeros(0, 3, 4, 4), 2).shape == (0, 12, 9)
    assert fold(tn.zeros(0, 12, 9), 4, 2).shape == (0, 3, 4, 4)
    yes = tn.ones(1, 2, 2).bool()
    assert unfold(yes, 2).dtype == fold(unfold(yes, 1), 2, 1).dtype == tn.bool
    assert unfold(yes.half(), 2).dtype == fold(unfold(yes.half(), 1), 2, 1).dtype == tn.float16


X, Y = tn.zeros(2, 3, 5, 5), tn.zeros(2, 12, 16)
ERRORS = [
    (unfold, {"input": X[0, 0]}, RuntimeError, "unfold: Expected 3D or 4D (batch mode) tensor with possibly 0"),
    (unfold, {"input": X[:, :0]}, RuntimeError, "other non-zero dimensions for input, but got: [2, 0, 5, 5]"),
    (unfold, {"input": X[:0, 0]}, RuntimeError, "other non-zero dimensions for input, but got: [0, 5, 5]"),
    (unfold, {"input": X.long()}, NotImplementedError, "unfold is not implemented for int64; use input.float()"),
    (unfold, {"input": X.numpy()}, TypeError, "unfold(): argument 'input' must be Tensor, not ndarray"),
    (unfold, {"kernel_size": 6}, RuntimeError, "spatial size (5, 5), kernel_size=(6, 6), stride=(1, 1)"),
    (unfold, {"kernel_size": (1, 6)}, RuntimeError, "sliding blocks as (5, 0), but its components must be at least"),
    (unfold, {"kernel_size": 0}, RuntimeError, "non-positive kernel_size is not supported: unfold got kernel_size=0"),
    (unfold, {"kernel_size": (2, 2, 2)}, RuntimeError, "kernel_size to be a single integer value or a list of 2"),
    (unfold, {"kernel_size": (2, 2.0)}, TypeError, "argument 'kernel_size' must be an int or 2 ints, but found 2.0"),
    (unfold, {"kernel_size": True}, TypeError, "argument 'kernel_size' must be an int or 2 ints, but found True"),
    (unfold, {"stride": 0}, RuntimeError, "non-positive stride is not supported: unfold got stride=0"),
    (unfold, {"dilation": (0, 1)}, RuntimeError, "non-positive dilation is not supported: unfold got dilation=(0, 1)"),
    (unfold, {"padding": -1}, RuntimeError, "negative padding is not supported: unfold got padding=-1"),
    (fold, {"input": Y[0, 0]}, RuntimeError, "fold: Expected 2D or 3D (batch mode) tensor with possibly 0 batch size"),
    (fold, {"input": Y[:, :0]}, RuntimeError, "other non-zero dimensions for input, but got: [2, 0, 16]"),
    (fold, {"input": Y[0, :, :0]}, RuntimeError, "other non-zero dimensions for input, but got: [12, 0]"),
    (fold, {"input": Y[:, :, :15]}, RuntimeError, "number of sliding blocks 4 * 4 = 16, but got input.size(2)=15"),
    (fold, {"input": Y[0, :, :15]}, RuntimeError, "expected size of input's dimension 1 to match"),
    (fold, {"input": Y[:, :10]}, RuntimeError, "dimension 1 to be divisible by the product of kernel_size"),
    (fold, {"input": Y.long()}, NotImplementedError, "fold is not implemented for int64; use input.float()"),
    (fold, {"input": Y.numpy()}, TypeError, "fold(): argument 'input' must be Tensor, not ndarray"),
    (fold, {"output_size": 0, "input": Y[:, :, :1]}, RuntimeError, "number of sliding blocks -1 * -1 = 1"),
    (fold, {"output_size": (5, 5, 5)}, RuntimeError, "output_size to be a single integer value or a list of 2"),
    (fold, {"output_size": 5.0}, TypeError, "argument 'output_size' must be an int or 2 ints, but found 5.0"),
    (fold, {"kernel_size": (0, 2)}, RuntimeError, "non-positive kernel_size is not supported: fold got"),
    (fold, {"padding": -1}, RuntimeError, "negative padding is not supported: fold got padding=-1"),
]  # fmt: skip


@pytest.mark.parametrize(("op", "given", "kind", "text"), ERRORS, ids=[text for *_, text in ERRORS])
def test_errors(op, given, kind, text):
    usual = {unfold: {"input": X, "kernel_size": 2}, fold: {"input": Y, "output_size": 5, "kernel_size": 2}}
    with pytest.raises(kind, match=re.escape(text)) as raised:
        op(**{**usual[op], **given})
    assert raised.type is kind
