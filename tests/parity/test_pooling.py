"""Pooling over one axis and adaptive pooling beside PyTorch's: windows of every kind, ties, derivatives twice."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinynet as tn
from tinynet.ops.adaptive import windows

torch = pytest.importorskip("torch")

SEEDS = st.integers(0, 2**32 - 1)
SIZES = st.integers(1, 3)
BOOL = st.booleans()
FEW = settings(max_examples=15)


def images(seed, shape, ties=True):
    """Numbers of which many are equal, if ties."""
    x = np.random.default_rng(seed).standard_normal(shape)
    return np.round(2 * x) / 2 if ties else x


def both(result):
    """Values and indices as one number each: agreement of it is agreement of them."""
    values, indices = result
    return values * (indices + 1)


# ---- one axis
@given(SEEDS, BOOL, SIZES, st.none() | SIZES, st.integers(0, 2), SIZES, BOOL, BOOL, st.integers(1, 9))
def test_max_pool1d(agree_on, seed, batched, size, stride, padding, dilation, ceil_mode, ask, length):
    options = {"stride": stride, "padding": min(padding, size // 2), "dilation": dilation, "ceil_mode": ceil_mode}
    length = max(length, dilation)  # where a dilation steps over the whole image PyTorch's backward writes outside

    def call(F, x):
        return both(F.max_pool1d(x, size, return_indices=True, **options)) if ask else F.max_pool1d(x, size, **options)

    agree_on(call, seed, images(seed, (*[2] * batched, 2, length)))


@given(SEEDS, BOOL, SIZES, st.none() | SIZES, st.integers(0, 2), BOOL, BOOL, st.integers(1, 9))
def test_avg_pool1d(agree_on, seed, batched, size, stride, padding, ceil_mode, counted, length):
    options = {"stride": stride, "padding": padding, "ceil_mode": ceil_mode, "count_include_pad": counted}
    agree_on(lambda F, x: F.avg_pool1d(x * x, size, **options), seed, images(seed, (*[2] * batched, 2, length)))


# ---- adaptive
WANTED = st.integers(1, 6) | st.just(-1)  # PyTorch's backward refuses 0


@pytest.mark.parametrize("kind", ["avg", "max", "max with indices"])
@given(SEEDS, st.lists(st.integers(0, 2), max_size=2), st.integers(1, 7), st.integers(1, 7), BOOL, st.data())
def test_adaptive_2d(agree_on, kind, seed, lead, rows, columns, ties, data):
    size = data.draw(st.one_of(WANTED, st.tuples(*[st.none() | WANTED] * 2), st.lists(WANTED, max_size=2)))
    lead = [*lead[:-1], 2]  # PyTorch's maximum refuses images of no channels, its mean does not

    def call(F, x):
        if kind == "avg":
            return F.adaptive_avg_pool2d(x * x, size)
        return both(F.adaptive_max_pool2d(x, size, True)) if "with" in kind else F.adaptive_max_pool2d(x, size)

    agree_on(call, seed, images(seed, (*lead, rows, columns), ties))


@pytest.mark.parametrize("kind", ["avg", "max", "max with indices"])
@given(SEEDS, BOOL, st.integers(1, 9), WANTED, BOOL)
def test_adaptive_1d(agree_on, kind, seed, batched, length, size, ties):
    def call(F, x):
        if kind == "avg":
            return F.adaptive_avg_pool1d(x * x, size)
        return both(F.adaptive_max_pool1d(x, size, True)) if "with" in kind else F.adaptive_max_pool1d(x, size)

    agree_on(call, seed, images(seed, (*[2] * batched, 2, length), ties))


@FEW
@given(SEEDS, st.integers(1, 4), st.integers(1, 4), st.sampled_from([np.nan, np.inf, -np.inf]))
def test_a_pixel_without_a_value_shows_in_its_own_windows_alone(seed, rows, columns, odd):
    x = images(seed, (2, 5, 4))
    x[np.random.default_rng(seed).random(x.shape) < 0.3] = odd
    for name, more in (("adaptive_avg_pool2d", ()), ("adaptive_max_pool2d", (True,))):
        ours = getattr(tn.nn.functional, name)(tn.tensor(x), (rows, columns), *more)
        theirs = getattr(torch.nn.functional, name)(torch.tensor(x), (rows, columns), *more)
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-12)


@pytest.mark.parametrize("n", range(1, 12))
def test_windows_the_other_way_round(n):
    for m in range(1, 12):
        holds = {(i, p) for i, (first, end) in enumerate(windows(n, m)) for p in range(first, end)}
        assert holds == {(i, p) for p, (first, end) in enumerate(windows(m, n)) for i in range(first, end)}


def test_no_windows():
    x = np.ones((2, 3, 4))
    for size in (0, (0, 2), (2, 0)):
        for name in ("adaptive_avg_pool2d", "adaptive_max_pool2d"):
            ours, theirs = (getattr(lib.nn.functional, name)(lib.tensor(x), size) for lib in (tn, torch))
            assert ours.shape == tuple(theirs.shape)
    x = tn.tensor(x, requires_grad=True)
    tn.nn.functional.adaptive_avg_pool2d(x, (2, 0)).sum().backward()
    tn.nn.functional.adaptive_max_pool2d(x, 0).sum().backward()
    assert not x.grad.any()


def test_half_precision_is_added_up_in_single():
    x = tn.full((1, 1, 100, 100), 60.0, dtype=tn.float16)  # their sum is no float16
    mean = tn.nn.functional.adaptive_avg_pool2d(x, 1)
    assert mean.dtype == tn.float16 and mean.item() == 60


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_narrow_dtypes(dtype):
    x = np.random.default_rng(0).standard_normal((2, 5, 7)).astype(dtype)
    for name, args in (("adaptive_avg_pool2d", [(2, 3)]), ("adaptive_max_pool2d", [(2, 3)]),
                       ("max_pool1d", [2]), ("avg_pool1d", [2])):  # fmt: skip
        ours, theirs = (getattr(lib.nn.functional, name)(lib.tensor(x), *args).numpy() for lib in (tn, torch))
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, rtol=2e-3 if dtype == "float16" else 2e-6)


# ---- layers
ONE = st.one_of(SIZES, st.tuples(SIZES))
TWO = st.one_of(SIZES, st.tuples(SIZES, SIZES))


def numbers(axes):
    """A number, or one for each axis."""
    return st.one_of(SIZES, st.tuples(*[SIZES] * axes))


@given(SEEDS, st.integers(1, 2), BOOL, BOOL, st.data())
def test_max_pool_layers(agree, seed, axes, batched, ceil_mode, data):
    size, dilation = data.draw(numbers(axes)), data.draw(numbers(axes))
    padding = data.draw(st.integers(0, int(np.min(size)) // 2))
    args = size, data.draw(st.none() | numbers(axes)), padding, dilation, False, ceil_mode
    ours, theirs = (getattr(nn, f"MaxPool{axes}d")(*args) for nn in (tn.nn, torch.nn))
    agree(ours, theirs, np.random.default_rng(seed), images(seed, (*[2] * batched, 2, *(8, 9)[:axes])))


@given(SEEDS, st.integers(1, 2), BOOL, BOOL, BOOL, st.data())
def test_avg_pool_layers(agree, seed, axes, batched, ceil_mode, counted, data):
    size = data.draw(numbers(axes))
    padding = data.draw(st.integers(0, int(np.min(size)) // 2))
    more = [data.draw(st.none() | st.just(3))] * (axes - 1)
    args = size, data.draw(st.none() | numbers(axes)), padding, ceil_mode, counted, *more
    ours, theirs = (getattr(nn, f"AvgPool{axes}d")(*args) for nn in (tn.nn, torch.nn))
    assert (ours.kernel_size, ours.stride, ours.padding) == (theirs.kernel_size, theirs.stride, theirs.padding)
    agree(ours, theirs, np.random.default_rng(seed), images(seed, (*[2] * batched, 2, *(8, 9)[:axes])))


@FEW
@given(SEEDS, st.sampled_from(["Avg", "Max"]), st.integers(1, 2), BOOL, st.data())
def test_adaptive_layers(agree, seed, kind, axes, batched, data):
    size = data.draw(numbers(axes))
    ours, theirs = (getattr(nn, f"Adaptive{kind}Pool{axes}d")(size) for nn in (tn.nn, torch.nn))
    agree(ours, theirs, np.random.default_rng(seed), images(seed, (*[2] * batched, 2, *(5, 4)[:axes])))


@pytest.mark.parametrize("layer", ["MaxPool1d(2, return_indices=True)", "MaxPool2d(2, return_indices=True)",
                                   "AdaptiveMaxPool1d(2, True)", "AdaptiveMaxPool2d((None, 2), True)"])  # fmt: skip
def test_layers_that_give_indices(layer):
    x = images(0, (2, 4, 5))
    for a, b in zip(eval(f"tn.nn.{layer}")(tn.tensor(x)), eval(f"torch.nn.{layer}")(torch.tensor(x)), strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
        assert a.numpy().dtype == b.numpy().dtype


X, Y = "ones(2, 3, 8)", "ones(2, 3, 8, 8)"
BAD = [
    ("max_pool1d([1.], 2)", TypeError, "max_pool1d(): argument 'input' must be Tensor, not list"),
    (f"max_pool1d({X}, 2.)", TypeError, "argument 'kernel_size' must be an int, but found 2.0"),
    (f"max_pool1d({X}, (2, 2))", RuntimeError, "kernel_size to be a single integer value or a list of 1 values"),
    (f"max_pool1d({X}, 0)", RuntimeError, "max_pool1d: kernel_size should be greater than zero, but got (0,)"),
    (f"max_pool1d({X}, 2, 0)", RuntimeError, "stride should be greater than zero, but got (0,)"),
    (f"max_pool1d({X}, 2, dilation=0)", RuntimeError, "dilation should be greater than zero, but got (0,)"),
    (f"max_pool1d({X}, 2, padding=2)", RuntimeError, "at most half of effective kernel size, but got pad=2"),
    (f"max_pool1d({X}, 2, padding=-1)", RuntimeError, "pad must be non-negative, but got pad: -1"),
    (f"max_pool1d({X}, 9)", RuntimeError, "Given input size: (3x1x8). Calculated output size: (3x1x0)"),
    (f"max_pool1d({Y}, 2)", RuntimeError, "Expected 2D or 3D (batch mode) tensor"),
    (f"max_pool1d({X}[:, :0], 2)", RuntimeError, "for input of max_pool1d, but got: [2, 0, 8]"),
    (f"max_pool1d({X} > 0, 2)", NotImplementedError, "max_pool1d is not implemented for bool"),
    (f"avg_pool1d({X}, 9)", RuntimeError, "Output size is too small: avg_pool1d with kernel_size=(9,)"),
    (f"avg_pool1d({X}[0, 0], 2)", RuntimeError, "for input of avg_pool1d, but got: [8]"),
    (f"avg_pool1d({X} > 0, 2)", NotImplementedError, "avg_pool1d is not implemented for bool"),
    ("adaptive_avg_pool1d([1.], 2)", TypeError, "adaptive_avg_pool1d(): argument 'input' must be Tensor, not list"),
    (f"adaptive_avg_pool1d({Y}, 2)", RuntimeError, "Expected 2D or 3D tensor, but got [2, 3, 8, 8]"),
    (f"adaptive_avg_pool1d({X}, (2, 3))", RuntimeError, "output_size must be 1 numbers, one for each axis"),
    (f"adaptive_avg_pool1d({X}, None)", TypeError, "argument 'output_size' must be an int, but found None"),
    (f"adaptive_avg_pool2d({Y}, -1)", RuntimeError, "must be greater than or equal to 0 but received (-1, -1)"),
    (f"adaptive_avg_pool2d({Y}, (2,))", RuntimeError, "output_size must be 2 numbers, one for each axis, but got (2,)"),
    (f"adaptive_avg_pool2d({Y}, None)", TypeError, "argument 'output_size' must be an int or 2 ints, but found None"),
    (f"adaptive_avg_pool2d({Y}, (2., 2))", TypeError, "but found 2.0 of type float"),
    (f"adaptive_avg_pool2d({Y}.long(), 2)", NotImplementedError, "is not implemented for int64; use input.float()"),
    (f"adaptive_max_pool2d({Y}[:, :, :0], 2)", RuntimeError, "non-zero size for non-batch dimensions, but input has"),
    (f"adaptive_max_pool2d({Y}[0, 0], 2)", RuntimeError, "Expected 3D or 4D tensor, but got [8, 8]"),
    (f"adaptive_max_pool1d({X}.int(), 2)", NotImplementedError, "adaptive_max_pool1d is not implemented for int32"),
]


@pytest.mark.parametrize(("call", "kind", "text"), BAD)
def test_errors(call, kind, text):
    for library, says in ((torch, None), (tn, re.escape(text))):
        with pytest.raises(kind, match=says):
            eval(call, vars(library.nn.functional) | {"ones": library.ones})
