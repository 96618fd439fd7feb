"""Convolutions that take several tiles on each axis, both layouts of images, any stride; and on tensor cores."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

import tinynet as tn
from tinynet import kernels
from tinynet.kernels.cuda import choice, conv, emulator, fused, launcher, source
from tinynet.kernels.windows import Windows
from tinynet.ops import fused as ops_fused

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed: NO CUDA KERNEL WAS RUN")


@pytest.fixture
def precision(monkeypatch):
    return lambda name: monkeypatch.setattr(choice, "precision", name)


def channels_last(x):
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)


def options(stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1):
    return {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}


# images, filters, and how
SHAPES = {
    "one of each": ((1, 1, 1, 1), (1, 1, 1, 1), options()),
    "several tiles": ((3, 12, 11, 9), (70, 12, 3, 3), options(padding=(1, 1))),
    "more tiles": ((3, 24, 7, 9), (130, 24, 2, 2), options()),
    "strides": ((2, 8, 13, 11), (8, 8, 3, 2), options((2, 3), (1, 0))),
    "strides and dilations": ((2, 3, 20, 17), (5, 3, 3, 4), options((4, 3), (5, 4), (6, 2))),
    "wider than the images": ((2, 4, 5, 6), (4, 4, 3, 3), options((1, 2), (6, 7), (4, 5))),
    "patches": ((2, 4, 8, 8), (6, 4, 4, 4), options((4, 4))),
    "steps over pixels": ((2, 3, 7, 8), (5, 3, 1, 1), options((3, 2))),
    "depthwise": ((3, 6, 12, 9), (12, 1, 3, 4), options((1, 2), (1, 2), groups=6)),
    "small groups": ((2, 8, 7, 7), (6, 4, 3, 3), options((2, 1), (1, 1), groups=2)),
    "groups": ((2, 24, 6, 5), (36, 8, 3, 3), options(padding=(1, 1), groups=3)),
    "three channels": ((2, 3, 12, 12), (16, 3, 5, 5), options(padding=(2, 2))),
    "lines": ((3, 8, 1, 40), (12, 8, 1, 5), options((1, 2), (0, 2))),
}  # fmt: skip


def drawn(name, *, whole=False, last=False):
    """Images, filters, biases, numbers shaped like the output, and options."""
    (x, w, how), rng = SHAPES[name], np.random.default_rng(0)
    y = (x[0], w[0], *Windows(x[2:], w[2:], how["stride"], how["padding"], how["dilation"]).out)
    draw = (lambda shape: rng.integers(-4, 5, shape)) if whole else rng.standard_normal
    x, w, b, g = (draw(shape).astype("float32") for shape in (x, w, w[:1], y))
    return (*((channels_last(a) if last else a) for a in (x, g)), w, b, how)


def reference(op, *arrays, **how):
    return kernels.implementations(op)["reference"].compute(np, *arrays, **how)


def passes(x, g, w, b, how):
    """Each pass, ours and the reference's."""
    for op, arrays, size in (("conv2d", (x, w, b), None), ("conv2d_relu", (x, w, b), None),
                             ("conv2d_input_grad", (g, w), x.shape[2:]), ("conv2d_weight_grad", (x, g), w.shape[2:])):
        options = {**how, "size": size} if size else how
        yield getattr(conv, op)(np, *arrays, **options), reference(op, *arrays, **options)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("name", SHAPES)
def test_every_pass_is_the_reference_s(name, last):
    for got, want in passes(*drawn(name, last=last)):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=2e-4)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("name", ["more tiles", "strides", "groups", "three channels"])
def test_large_tiles_give_the_same(name, last, monkeypatch):
    assert conv.plan(128, 1000, 1, 8) == conv.plan(192 + 1, 500, 1, 8) == ("128", 128, 0)
    assert conv.plan(128, 800, 1, 8) == conv.plan(192, 500, 1, 8) == ("64", 64, 0)
    monkeypatch.setattr(conv, "plan", lambda *shape: ("128", 128, 0))
    for got, want in passes(*drawn(name, whole=True, last=last)):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("name", ["several tiles", "more tiles", "strides", "groups", "three channels"])
def test_tensor_cores_multiply_exactly_what_they_can_hold(name, last, precision, monkeypatch):
    precision("tf32")
    monkeypatch.setattr(conv, "FEW", 0)
    for got, want in passes(*drawn(name, whole=True, last=last)):
        np.testing.assert_array_equal(got, want)


def test_channels_that_are_last_stay_last():
    x, g, w, _, how = drawn("groups", last=True)
    for y in (conv.conv2d(np, x, w, **how), conv.conv2d_input_grad(np, g, w, size=x.shape[2:], **how)):
        assert y.shape[1] > 1 and y.transpose(0, 2, 3, 1).flags.c_contiguous


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("name", ["several tiles", "strides", "wider than the images"])
@pytest.mark.parametrize("in_tf32", [False, True])
def test_an_infinite_weight_does_not_reach_out_of_the_border(name, last, in_tf32, precision, monkeypatch):
    x, g, w, b, how = drawn(name, whole=True, last=last)
    w[1, 2, 0, 0], w[2, 1, -1, -1], w[3, 3, 0, 1], g[0, 0, 0, 0] = np.inf, -np.inf, np.nan, np.inf
    precision("tf32" if in_tf32 else "fp32")
    monkeypatch.setattr(conv, "FEW", 0)
    for got, want in passes(x, g, w, b, how):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("last", [(False, False), (True, True), (True, False)])
def test_what_follows_a_convolution_is_done_in_either_layout(last):
    x, g, w, b, how = drawn("groups", whole=True, last=last[0])
    y = reference("conv2d_relu", x, w, b, **how)
    best, winner = reference("conv2d_relu_pool", x, w, b, **how)
    slopes = np.random.default_rng(1).integers(-3, 4, best.shape).astype("float32")
    if last[1]:
        y, slopes, winner = (channels_last(a) for a in (y, slopes, winner))
    everything = {"wanted": (True, True, True), **how}
    for op, arrays, options in [
        ("conv2d_relu_pool", (x, w, b), how), ("conv2d_relu_grad", (g, y, x, w), everything), ("relu_grad", (g, y), {}),
        ("conv2d_relu_pool_grad", (slopes, winner, x, w), everything), ("pool_winners", (y, winner), {}),
        ("unpool", (slopes, winner), {"size": y.shape[2:]}),
    ]:  # fmt: skip
        got, want = getattr(fused, op)(np, *arrays, **options), reference(op, *arrays, **options)
        for one, other in zip(got, want, strict=True) if isinstance(want, tuple) else [(got, want)]:
            np.testing.assert_array_equal(one, other, op)


def test_what_is_left_to_the_reference():
    def shaped(*shape, dtype="float32"):
        return np.broadcast_to(np.zeros((), dtype), shape)  # without the memory

    x, w, g, how = shaped(2, 4, 9, 9), shaped(8, 4, 3, 3), shaped(2, 8, 7, 7), options()
    many, most = shaped(2**9, 4, 2**10, 2**10), "takes 2,147,418,112 numbers at most, in 32,768 groups"
    assert choice.windowed(x, w, None, **how) is choice.windowed_back(g, w, size=(9, 9), **how) is True
    assert choice.windowed_both(x, g, size=(3, 3), **how) is choice.alike(g, g) is True
    assert choice.windowed_all(g, g, x, w, wanted=(True,) * 3, **how) is True
    assert choice.windowed(x, w, shaped(8, dtype="float64"), **how) == "takes float32, not float32, float32, float64"
    assert choice.windowed(x[:0], w, **how) == "takes no array without elements"
    assert choice.windowed(many, w, **how) == choice.windowed(shaped(1, 2**16, 1, 1), shaped(2**16, 1, 1, 1),
                                                              **options(groups=2**16)) == most
    assert choice.windowed_back(g, w, size=(2**14, 2**14), **options((2**11, 2**11))) == most
    assert choice.windowed_both(many, g, size=(3, 3), **how) == most
    assert choice.windowed_all(g, g.astype("float64"), x, w, wanted=(), **how) == "takes float32, not float32, float64"
    assert choice.alike(g, g[:1]) == "takes arrays of the same shape"
    assert choice.blocks(g, g) == "takes winners in uint8"


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (9, 3, 5, 4), (2, 40, 3, 3)])
def test_channels_are_summed_by_parts(shape):
    g = np.random.default_rng(0).integers(-9, 9, shape).astype("float32")
    for images in (g, channels_last(g)):
        np.testing.assert_array_equal(fused.of_channels(np, images), g.sum((0, 2, 3)))


def test_lines_keep_their_numbers_after_what_a_file_includes():
    text = source.files()["conv.cu"].text
    number, path, rest = re.search(r'#line (\d+) "(.*conv\.cu)"\n([^\0]*)', text).groups()
    assert Path(path).read_text(encoding="utf-8").split("\n", int(number) - 1)[-1] == rest
    assert '#line 1 "product.h"\n// The product of' in text


def test_the_engine_takes_these_kernels(monkeypatch):
    """All that the layers ask for, and their gradients to the second order."""
    seen = set()

    def launch(xp, name, *rest, **given):
        seen.add(name)
        launcher.launch(xp, name, *rest, **given)

    for module in (conv, fused):
        monkeypatch.setattr(module, "launch", launch)
    rng = np.random.default_rng(0)
    x, w, v = (tn.tensor(rng.standard_normal(s).astype("float32"), requires_grad=True)
               for s in ((2, 5, 6, 6), (6, 5, 3, 3), (6, 5, 3, 3)))
    functions = {
        "conv2d": lambda: tn.nn.functional.conv2d(x, w, padding=1),
        "conv_transpose2d": lambda: tn.nn.functional.conv_transpose2d(tn.nn.functional.conv2d(x, w), v, stride=2),
        "fused": lambda: ops_fused.conv2d_relu(x, w, None, (1, 1), (1, 1), (1, 1), 1),
        "pooled": lambda: ops_fused.conv2d_relu_pool(x, w, None, (1, 1), (1, 1), (1, 1), 1)[0],
    }
    for name, function in functions.items():
        slopes = []
        for backend in ("reference", "emu"):
            seen.clear()
            with tn.use_kernels(backend):
                y = function()
                first = tn.autograd.grad((y * y).sum(), [x, w], create_graph=True)
                slopes.append([*first, *tn.autograd.grad(sum((f * f).sum() for f in first), [x, w])])
        assert {"conv_64", "conv_grad_64"} <= seen, name
        for one, other in zip(*slopes, strict=True):
            one, other = (f.detach().numpy() for f in (one, other))
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5 * abs(other).max())


def test_images_between_others_are_copied_or_read_where_they_are():
    x, _, w, b, how = drawn("several tiles")
    want = reference("conv2d", x[:, ::-1, 1:], w, b, **how)
    np.testing.assert_allclose(conv.conv2d(np, x[:, ::-1, 1:], w, b, **how), want, rtol=1e-4, atol=1e-4)
    whole = np.zeros(x.size + 1, "float32")
    unaligned = whole[1:].reshape(3, 11, 9, 12).transpose(0, 3, 1, 2)
    unaligned[:] = x
    assert conv.as_read(np, unaligned, 12)[1] is False and conv.as_read(np, channels_last(x), 12)[1] is True
    got = conv.conv2d(np, unaligned, w, b, **how)
    np.testing.assert_allclose(got, reference("conv2d", x, w, b, **how), rtol=1e-4, atol=1e-4)


def test_the_same_bits_in_either_order_of_threads(monkeypatch, precision):
    monkeypatch.setattr(conv, "FEW", 0)
    for name in ("fp32", "tf32"):
        precision(name)
        results = []
        for reverse in (False, True):
            monkeypatch.setattr(emulator.Settings, "reverse", reverse)
            results.append([got for got, _ in passes(*drawn("strides"))])
        for one, other in zip(*results, strict=True):
            np.testing.assert_array_equal(one, other)
