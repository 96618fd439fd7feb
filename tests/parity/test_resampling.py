"""Images on another grid beside PyTorch's: every mode, sizes and factors, channels as pixels, derivatives twice."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import tinynet as tn

torch = pytest.importorskip("torch")

SEEDS = st.integers(0, 2**32 - 1)
FEW = settings(max_examples=15)
MODES = ["nearest", "nearest-exact", "linear", "bilinear", "trilinear", "bicubic", "area"]
AXES = {"linear": 1, "bilinear": 2, "bicubic": 2, "trilinear": 3}
FACTORS = [0.0, 0.3, 0.5, 0.75, 1.0, 1.1, 1.3, 1.5, 2.0, 2.6]


@pytest.mark.parametrize("mode", MODES)
@given(SEEDS, st.integers(1, 2), st.data())
def test_interpolate(agree_on, mode, seed, axes, data):
    axes = AXES.get(mode, axes)
    there = data.draw(st.lists(st.integers(1, 7), min_size=axes, max_size=axes))
    options = {}
    if mode in AXES:
        options["align_corners"] = data.draw(st.sampled_from([None, False, True]))
    if data.draw(st.booleans()):
        size = st.integers(1, 9)
        options["size"] = data.draw(st.one_of(size, st.lists(size, min_size=axes, max_size=axes)))
    else:
        factors = data.draw(st.lists(st.sampled_from(FACTORS), min_size=axes, max_size=axes))
        recompute = data.draw(st.sampled_from([None, False, True]))
        grown = [(n, f, int(n * f)) for n, f in zip(there, factors, strict=True)]
        assume(mode != "area" or all(m for *_, m in grown))  # PyTorch's backward refuses 0
        if mode in ("nearest", "bicubic") and not recompute:  # PyTorch's backward takes these for copies
            assume(not any(m in (n, 2 * n) and m != n * f for n, f, m in grown))
        options |= {"scale_factor": factors if len(set(factors)) > 1 else factors[0]}
        options |= {"recompute_scale_factor": recompute}
    x = np.random.default_rng(seed).standard_normal((2, 2, *there))
    agree_on(lambda F, x: F.interpolate(x * x, mode=mode, **options), seed, x)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("mode", ["nearest", "nearest-exact"])
@pytest.mark.parametrize("by", ["size", "scale_factor"])
def test_which_pixel_is_the_nearest_is_rounded_alike(by, mode, dtype):
    for n in range(1, 100, 3):
        for m in (3, 7, 13, 46, 71, 92, 99):
            x = np.arange(n, dtype=dtype).reshape(1, 1, n)
            options = {"size": m} if by == "size" else {"scale_factor": m / 10}
            if by == "size" or int(n * m / 10):
                a, b = (lib.nn.functional.interpolate(lib.tensor(x), mode=mode, **options) for lib in (tn, torch))
                assert a.tolist() == b.tolist(), (n, m)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_narrow_dtypes(dtype, mode):
    """float16 is made in single precision, as PyTorch makes it of float32: it rounds the weights for float16."""
    x = np.random.default_rng(0).standard_normal((1, 2, *(5, 6, 4)[: AXES.get(mode, 2)])).astype(dtype)
    ours = tn.nn.functional.interpolate(tn.tensor(x), scale_factor=1.7, mode=mode).numpy()
    theirs = torch.nn.functional.interpolate(torch.tensor(x).float(), scale_factor=1.7, mode=mode).numpy()
    assert ours.dtype == dtype
    np.testing.assert_allclose(ours, theirs, rtol=1e-3 if dtype == "float16" else 2e-5, atol=1e-6)


@pytest.mark.parametrize("mode", ["nearest", "nearest-exact"])
def test_bytes(mode):
    x = np.arange(24, dtype="uint8").reshape(1, 2, 3, 4)
    ours, theirs = (lib.nn.functional.interpolate(lib.tensor(x), (5, 7), mode=mode).numpy() for lib in (tn, torch))
    assert ours.dtype == "uint8" and ours.tolist() == theirs.tolist()


def test_no_images():
    for mode in MODES:
        shape = (0, 2, *(3, 4, 5)[: AXES.get(mode, 2)])
        ours, theirs = (lib.nn.functional.interpolate(lib.zeros(shape), size=2, mode=mode) for lib in (tn, torch))
        assert ours.shape == tuple(theirs.shape)


@pytest.mark.parametrize("mode", ["nearest", "linear", "area"])
def test_the_result_is_new_memory(mode):
    x = tn.ones(1, 1, 3)
    tn.nn.functional.interpolate(x, 3, mode=mode).zero_()
    assert x.tolist() == [[[1, 1, 1]]]


# ---- channels as pixels
@given(SEEDS, st.lists(st.integers(1, 2), max_size=3), *[st.integers(1, 6)] * 3, st.integers(-1, 3))
def test_pixel_shuffle(agree_on, seed, lead, channels, height, width, factor):
    x = np.random.default_rng(seed).standard_normal((*lead, channels, height, width))
    agree_on(lambda F, x: F.pixel_unshuffle(x * x, factor), seed, x)
    if factor > 0:
        x = np.random.default_rng(seed).standard_normal((*lead, (channels + 1) // 2 * factor**2, height, width))
    agree_on(lambda F, x: F.pixel_shuffle(x * x, factor), seed, x)


# ---- layers
@FEW
@given(SEEDS, st.sampled_from(["nearest", "bilinear", "bicubic"]), st.booleans(), st.data())
def test_upsample(agree, seed, mode, by_size, data):
    options = {} if mode == "nearest" else {"align_corners": data.draw(st.booleans())}
    if by_size:
        options["size"] = data.draw(st.one_of(st.integers(1, 6), st.tuples(*[st.integers(1, 6)] * 2)))
    else:
        factor = st.sampled_from([1, 2, 3])
        options["scale_factor"] = data.draw(st.one_of(factor, st.tuples(factor, factor)))
        options["recompute_scale_factor"] = data.draw(st.sampled_from([None, True]))
    rng = np.random.default_rng(seed)
    ours, theirs = (nn.Upsample(mode=mode, **options) for nn in (tn.nn, torch.nn))
    assert (ours.name, ours.size, ours.scale_factor) == (theirs.name, theirs.size, theirs.scale_factor)
    agree(ours, theirs, rng, rng.standard_normal((1, 2, 3, 4)))


@pytest.mark.parametrize("layer", ["PixelShuffle(2)", "PixelUnshuffle(3)"])
def test_pixel_layers(agree, layer):
    rng = np.random.default_rng(0)
    agree(eval(f"tn.nn.{layer}"), eval(f"torch.nn.{layer}"), rng, rng.standard_normal((2, 4, 6, 3)))


X, Y = "ones(1, 2, 4)", "ones(1, 2, 4, 4)"
BAD = [
    (f"interpolate({X})", ValueError, "either size or scale_factor should be defined"),
    (f"interpolate({X}, 2, 2)", ValueError, "only one of size or scale_factor should be defined"),
    (f"interpolate({X}, (2, 2))", ValueError, "spatial dimensions of [4] and output size of (2, 2)"),
    (f"interpolate({X}, None, (2, 2))", ValueError, "spatial dimensions of [4] and scale_factor of (2, 2)"),
    (f"interpolate({X}, 2, recompute_scale_factor=True)", ValueError, "not meaningful with an explicit size"),
    (f"interpolate({X}, 2, align_corners=False)", ValueError, "linear | bilinear | bicubic | trilinear, but mode is"),
    (f"interpolate({X}, 2, antialias=True)", ValueError, "restricted to bilinear and bicubic modes"),
    (f"interpolate({X}, 2.)", TypeError, "argument 'size' must be of ints, not 2.0 of type float"),
    (f"interpolate({X}, None, 'a')", TypeError, "argument 'scale_factor' must be Number, not str"),
    (f"interpolate({X}, 0)", RuntimeError, "greater than 0, but got input [4] and output [0]"),
    (f"interpolate({X}, None, 0.1)", RuntimeError, "greater than 0, but got input [4] and output [0]"),
    (f"interpolate({X}, None, float('inf'))", RuntimeError, "scale_factor must be finite, got inf"),
    (f"interpolate({X}[:, :, :0], 2)", RuntimeError, "greater than 0, but got input [0] and output [2]"),
    (f"interpolate({X}[:, :0], 2)", RuntimeError, "Non-empty 3D data tensor expected but got a tensor with sizes"),
    (f"interpolate({Y}, -1, mode='area')", RuntimeError, "greater than 0, but got input [4, 4] and output [-1, -1]"),
    (f"interpolate({X}, 2, mode='bilinear')", NotImplementedError, "bilinear mode needs 4D input"),
    (f"interpolate({Y}, 2, mode='linear')", NotImplementedError, "Got 4D input, but linear mode needs 3D input"),
    (f"interpolate({X}[0], 2)", NotImplementedError, "nearest mode needs 3D or 4D or 5D input, (N, C, …)"),
    (f"interpolate({X}, 2, mode='box')", NotImplementedError, "no mode is called 'box'; choose from nearest"),
    (f"interpolate({X}.long(), 2)", NotImplementedError, "nearest is not implemented for int64: use input.float()"),
    ("pixel_shuffle([1.], 2)", TypeError, "pixel_shuffle(): argument 'input' must be Tensor, not list"),
    (f"pixel_shuffle({Y}, 2.)", TypeError, "argument 'upscale_factor' must be of ints, not 2.0 of type float"),
    (f"pixel_shuffle({Y}, 2)", RuntimeError, "input.size(-3)=2 is not divisible by 4"),
    (f"pixel_shuffle({Y}, 0)", RuntimeError, "pixel_shuffle expects a positive upscale_factor, but got 0"),
    (f"pixel_shuffle({Y}[0, 0], 2)", RuntimeError, "at least 3 dimensions, but got input with 2 dimension(s)"),
    (f"pixel_unshuffle({Y}, 3)", RuntimeError, "expects height to be divisible by downscale_factor"),
]


@pytest.mark.parametrize(("call", "kind", "text"), BAD)
def test_errors(call, kind, text):
    for library, says in ((torch, None), (tn, re.escape(text))):
        with pytest.raises(kind, match=says):
            eval(call, vars(library.nn.functional) | {"ones": library.ones})


def test_what_is_not_there_says_so():
    x = tn.ones(1, 1, 4, 4)
    with pytest.raises(NotImplementedError, match="antialias=True is not implemented; mode='area'"):
        tn.nn.functional.interpolate(x, 2, mode="bilinear", antialias=True)
    with pytest.raises(TypeError, match=re.escape("interpolate(): argument 'input' must be Tensor, not ndarray")):
        tn.nn.functional.interpolate(x.numpy(), 2)
