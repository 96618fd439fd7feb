"""Padding beside PyTorch's: every mode, cutting off as well as adding, derivatives twice, the same refusals."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import tinynet as tn
import tinynet.nn.functional as F
from tinynet.testing import arrays

torch = pytest.importorskip("torch")

SEEDS = st.integers(0, 2**32 - 1)
SIZES = st.integers(1, 4)
FEW = settings(max_examples=15)


@given(SEEDS, st.lists(st.integers(0, 3), max_size=4), st.floats(-2, 2), st.data())
def test_constant(agree_on, seed, shape, value, data):
    pad = data.draw(st.lists(st.integers(-2, 3), max_size=2 * len(shape) + 1))
    x = np.random.default_rng(seed).standard_normal(shape)
    agree_on(lambda F, x: F.pad(x * x, pad, value=value), seed, x)


@given(SEEDS, st.sampled_from(["reflect", "replicate", "circular"]), st.integers(1, 3), st.data())
def test_continued(agree_on, seed, mode, axes, data):
    sizes = data.draw(st.lists(SIZES, min_size=axes, max_size=axes))
    most = data.draw(st.sampled_from([-1, -1, 1]))  # often what fits, now and then too much
    pad = [k for n in sizes for k in data.draw(st.tuples(*[st.integers(-(n // 3), n + most)] * 2))][::-1]
    if mode == "circular":  # where a cut leaves too little to go round, PyTorch reads what it has not written yet
        for n, after, before in zip(sizes[::-1], pad[::2], pad[1::2], strict=True):
            assume(min(before, after) >= 0 or max(before, after, 0) <= n + min(before, 0) + min(after, 0))
    lead = data.draw(st.lists(st.integers(1, 2), min_size=1, max_size=2))
    x = np.random.default_rng(seed).standard_normal((*lead, *sizes))
    agree_on(lambda F, x: F.pad(x * x, pad, mode), seed, x)


@given(st.integers(0, 5), st.integers(0, 8), st.sampled_from(["constant", "reflect", "replicate", "circular"]))
def test_which_numbers_of_axes_are_padded(agree_on, ndim, count, mode):
    agree_on(lambda F, x: F.pad(x, [1] * count, mode), 0, np.ones([3] * ndim))


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
@pytest.mark.parametrize("shape", [(0, 2, 3), (2, 0, 3), (2, 2, 0)])
@pytest.mark.parametrize("pad", [(1, 1), (0, 0)])
def test_nothing_to_pad(agree_on, shape, pad, mode):
    agree_on(lambda F, x: F.pad(x, pad, mode), 0, np.ones(shape))


@FEW
@given(st.sampled_from(["float16", "float32", "int64", "uint8", "bool"]), st.data())
def test_dtypes(dtype, data):
    x = np.array(data.draw(arrays((2, 3), dtype)), order="C")
    for mode, value in (("constant", 1.5), ("constant", None), ("circular", None), ("reflect", 0)):
        if dtype == "bool" and mode == "reflect":
            continue
        ours = F.pad(tn.tensor(x), (2, -1), mode, value).numpy()
        theirs = torch.nn.functional.pad(torch.tensor(x), (2, -1), mode, value).numpy()
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


LAYERS = {
    "ConstantPad1d": (1, [(0.5,)]),
    "ConstantPad2d": (2, [(-1.0,)]),
    "ZeroPad2d": (2, [()]),
    "ReflectionPad2d": (2, [()]),
}


@FEW
@given(SEEDS, st.sampled_from([*LAYERS]), st.booleans(), st.booleans(), st.data())
def test_layers(agree, seed, name, batched, one, data):
    axes, more = LAYERS[name]
    ends = st.integers(-1, 2)
    padding = data.draw(ends if one else st.tuples(*[ends] * (2 * axes)))
    rng = np.random.default_rng(seed)
    ours, theirs = (getattr(nn, name)(padding, *more[0]) for nn in (tn.nn, torch.nn))
    assert ours.padding == theirs.padding
    agree(ours, theirs, rng, rng.standard_normal((*[2] * batched, 2, 3, 4)))


def test_the_result_is_new_memory():
    x = tn.ones(2, 2)
    F.pad(x, ())[0, 0] = 5
    F.pad(x, (0, 0))[0, 0] = 5
    assert x.tolist() == [[1, 1], [1, 1]]


X = "ones(2, 5)"
BAD = [
    ("pad([1.], [1, 1])", TypeError, "argument 'input' must be Tensor, not list"),
    (f"pad({X}, 1)", TypeError, "argument 'pad' must be tuple of ints, not int"),
    (f"pad({X}, (1., 1))", TypeError, "argument 'pad' must be of ints, not 1.0 of type float"),
    (f"pad({X}, (1, 1), None)", TypeError, "argument 'mode' must be str, not NoneType"),
    (f"pad({X}, (1, 1), value='a')", TypeError, "argument 'value' must be Number, not str"),
    (f"pad({X}, (1, 1), 'edge')", NotImplementedError, "choose constant, reflect, replicate, circular"),
    (f"pad({X}, (1, 1), 'reflect', 1.)", RuntimeError, "doesn't take in value argument, but got value=1.0"),
    (f"pad({X}, (1,))", RuntimeError, "must be divisible by 2, two numbers for an axis, but got pad=[1]"),
    (f"pad({X}, [1] * 6)", RuntimeError, "got padding length 6 and input of dimension 2"),
    (f"pad({X}, (-3, -3))", RuntimeError, "cuts off more than there is of an input of shape [2, 5]"),
    (f"pad({X}, [1] * 4, 'reflect')", NotImplementedError, "takes 2 numbers for (C, L), 4 for (C, H, W)"),
    (f"pad({X}, (5, 0), 'reflect')", RuntimeError, "padding (5, 0) at dimension 1 of input [2, 5]"),
    (f"pad({X}, (6, 0), 'circular')", RuntimeError, "wrapping around more than once: (6, 0) at dimension 1"),
    (f"pad({X}, (-2, -3), 'replicate')", RuntimeError, "input [2, 5] is too small: padding [(-2, -3)]"),
    (f"pad({X}.bool(), (1, 1), 'reflect')", NotImplementedError, "is not implemented for bool: use input.int()"),
    ("pad(ones(2, 0), (1, 1), 'replicate')", RuntimeError, "other non-zero dimensions for input, but got: [2, 0]"),
    (f"pad({X}.half(), (1, 1), value=1e9)", RuntimeError, "without overflow: 1000000000.0"),
    (f"pad({X}.long(), (1, 1), value=float('nan'))", RuntimeError, "cannot be converted to type int64"),
]


@pytest.mark.parametrize(("call", "kind", "text"), BAD)
def test_errors(call, kind, text):
    for library, says in ((torch, None), (tn, re.escape(text))):
        with pytest.raises(kind, match=says):
            eval(call, {"ones": library.ones, "pad": library.nn.functional.pad})
