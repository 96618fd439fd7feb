"""tn.testing: assert_close and the strategies."""

from __future__ import annotations

import importlib
import sys

import numpy as np
import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

import tinynet as tn
from tinynet import testing
from tinynet.testing import arrays, assert_close, broadcastable, conv_configs, shapes, tensors

torch = pytest.importorskip("torch") if importlib.util.find_spec("torch") else None

PAIRS = [
    ([1.0, 2.0], [1.0, 2.0]), ([1.0, 2.0], [1.0, 2.0 + 1e-6]), ([1.0, 2.0], [1.0, 2.001]), ([0.0], [1e-6]),
    ([0.0], [1e-4]), ([float("nan")], [float("nan")]), ([float("inf")], [float("inf")]), ([float("inf")], [1.0]),
    ([float("inf")], [-float("inf")]), ([1.0], [float("inf")]), ([1, 2], [1, 2]), ([1, 2], [1, 3]), ([], []),
    ([True], [False]), ([1.0], [1]), ([1.0], [1.0, 2.0]), (1.0, 1.0 + 1e-9), (1.0, 1.1), (3, 3), (3, 4),
]


@pytest.mark.skipif(torch is None, reason="needs PyTorch")
@pytest.mark.parametrize(("actual", "expected"), PAIRS)
@pytest.mark.parametrize("options", [{}, {"equal_nan": True}, {"rtol": 1e-2, "atol": 0.0}, {"rtol": 0.0, "atol": 1e-3},
                                     {"check_dtype": False}])
@pytest.mark.parametrize("as_tensors", [True, False])
def test_the_same_verdict_as_pytorch(actual, expected, options, as_tensors):
    def verdict(close, make):
        try:
            close(make(actual), make(expected), **options)
        except AssertionError as e:
            return str(e).splitlines()[0]
        return "close"

    ours = verdict(assert_close, tn.tensor if as_tensors else lambda x: x)
    theirs = verdict(torch.testing.assert_close, torch.tensor if as_tensors else lambda x: x)
    assert (ours == "close") == (theirs == "close"), (ours, theirs)
    if as_tensors and ours != "close":
        assert ours.replace("float32", "torch.float32").replace("int64", "torch.int64")[:40] == theirs[:40] or (
            "attribute" in theirs and "attribute" in ours)


@pytest.mark.parametrize(("dtype", "fine", "wrong"), [
    ("float64", 1e-8, 1e-6), ("float32", 1e-6, 1e-4), ("float16", 1e-3, 1e-2)])
def test_the_tolerance_follows_the_dtype(dtype, fine, wrong):
    one = tn.ones(3, dtype=dtype)
    assert_close(one, one + fine)
    with pytest.raises(AssertionError, match="not close"):
        assert_close(one, one + wrong)


def test_the_report_names_figures_and_places():
    a, b = tn.tensor([[1.0, 2.0], [3.0, 4.0]]), tn.tensor([[1.0, 2.5], [3.0, 14.0]])
    with pytest.raises(AssertionError) as caught:
        assert_close(a, b)
    text = str(caught.value)
    assert "Mismatched elements: 2 / 4 (50.0%)" in text
    assert "Greatest absolute difference: 10.0 at index (1, 1) (up to 1e-05 allowed): 4.0 and 14.0" in text
    assert "at index (1, 1) (up to 1.3e-06 allowed)" in text
    with pytest.raises(AssertionError, match=r"^mine$"):
        assert_close(a, b, msg="mine")


def test_sequences_and_mappings():
    good = {"w": [tn.ones(2), (tn.zeros(3), None)], "n": 2}
    assert_close(good, {"w": [tn.ones(2), (tn.zeros(3), None)], "n": 2})
    with pytest.raises(AssertionError, match=r"item \['w'\]\[1\]\[0\]"):
        assert_close(good, {"w": [tn.ones(2), (tn.ones(3), None)], "n": 2})
    with pytest.raises(AssertionError, match="length of the sequences"):
        assert_close([tn.ones(2)], [tn.ones(2), tn.ones(2)])
    with pytest.raises(AssertionError, match="keys of the mappings"):
        assert_close({"a": 1}, {"b": 1})


def test_what_it_compares_with():
    assert_close(tn.ones(2), np.ones(2, "f4"))
    assert_close(tn.ones(2, requires_grad=True), tn.ones(2))
    with pytest.raises(TypeError, match="tensors, arrays and numbers"):
        assert_close(tn.ones(2), "ones")
    with pytest.raises(ValueError, match="both"):
        assert_close(tn.ones(2), tn.ones(2), rtol=1e-3)


# ---- strategies
@settings(max_examples=30, database=None)
@given(shapes(1, 2, 0, 3))
def test_shapes(shape):
    assert 1 <= len(shape) <= 2
    assert all(0 <= n <= 3 for n in shape)


@settings(max_examples=60, database=None)
@given(st.sampled_from(["float64", "float32", "int64", "uint8", "bool"]), st.data())
def test_arrays(dtype, data):
    a = data.draw(arrays((3, 2), dtype, -2, 2))
    assert a.shape == (3, 2) and a.dtype == dtype
    assert a.min() >= (0 if dtype in ("uint8", "bool") else -2) and a.max() <= 2


def test_arrays_are_laid_out_in_every_way():
    for wanted in (lambda a: a.flags.c_contiguous, lambda a: a.flags.f_contiguous and not a.flags.c_contiguous,
                   lambda a: min(a.strides) < 0, lambda a: a.strides[1] == 16):
        assert wanted(find(arrays((3, 2)), wanted, settings=settings(database=None)))


@settings(max_examples=20, database=None)
@given(arrays((3, 2), contiguous=True), tensors(requires_grad=True), tensors(shapes(2, 2), tn.int64))
def test_tensors(a, x, k):
    assert a.flags.c_contiguous
    assert isinstance(x, tn.Tensor) and x.requires_grad and x.is_leaf and x.dtype == tn.float64
    assert k.ndim == 2 and k.dtype == tn.int64


@settings(max_examples=30, database=None)
@given(broadcastable(3))
def test_broadcastable(three):
    assert len(three) == 3
    np.broadcast_shapes(*three)


@settings(max_examples=60, deadline=None, database=None)
@given(conv_configs())
def test_conv_configs_can_be_computed(c):
    out = tn.nn.functional.conv2d(tn.ones(c.x), tn.ones(c.w), **c.options)
    assert out.shape[:2] == (c.x[0], c.w[0])
    assert min(out.shape) > 0
    assert c.x[1] == c.w[1] * c.groups


def test_conv_configs_of_one_dim():
    @settings(max_examples=10, database=None)
    @given(conv_configs(dims=1))
    def check(c):
        assert len(c.x) == 3 and len(c.stride) == 1
    check()


def test_without_hypothesis(monkeypatch):
    monkeypatch.setitem(sys.modules, "hypothesis.extra.numpy", None)
    with pytest.raises(ImportError, match="pip install hypothesis"):
        testing.shapes()
    assert testing.gradcheck(tn.exp, tn.ones(2, dtype=tn.float64, requires_grad=True))
