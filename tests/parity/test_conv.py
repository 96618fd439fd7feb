"""Conv1d, Conv2d, ConvTranspose1d and ConvTranspose2d beside torch.nn's: constructors, text, state, values, derivatives
of both orders, sizes asked for in the call, and the types of errors."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import tinynet as tn

torch = pytest.importorskip("torch")

SEEDS = st.integers(0, 2**32 - 1)
AXES = pytest.mark.parametrize("axes", [1, 2])
LAYERS = ["Conv1d", "Conv2d", "ConvTranspose1d", "ConvTranspose2d"]
# torch makes a copy then, and says so
SAME_WARNS = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")


def each(axes, low, high):
    """One number for all axes, or one for each."""
    number = st.integers(low, high)
    return number | st.tuples(*[number] * axes)


def spelled(value, axes):
    return value if isinstance(value, tuple) else (value,) * axes


@st.composite
def channels(draw):
    """Of the input, of the output, and groups; often as many groups as channels."""
    groups = draw(st.integers(1, 3))
    return groups * draw(st.integers(1, 2)), groups * draw(st.integers(1, 2)), groups


@st.composite
def convolutions(draw, axes):
    """Arguments of a layer, and the shape of an input that it takes."""
    into, out, groups = draw(channels())
    kernel, dilation, stride = draw(each(axes, 1, 4)), draw(each(axes, 1, 2)), draw(each(axes, 1, 3))
    padding = draw(each(axes, 0, 2) | st.sampled_from(["same", "valid"]))
    options = {
        "stride": 1 if padding == "same" else stride,
        "padding": padding,
        "dilation": dilation,
        "groups": groups,
        "bias": draw(st.booleans()),
        "padding_mode": draw(st.sampled_from(["zeros", "zeros", "reflect", "replicate", "circular"])),
    }
    reach = [d * (k - 1) + 1 for d, k in zip(spelled(dilation, axes), spelled(kernel, axes), strict=True)]
    image = [max(3, r) + draw(st.integers(0, 3)) for r in reach]
    return (into, out, kernel), options, (*[2] * draw(st.booleans()), into, *image)


@st.composite
def transposed_convolutions(draw, axes):
    """Arguments of a layer, the shape of an input, and the sizes that its output may be asked to have."""
    into, out, groups = draw(channels())
    kernel, dilation, stride = draw(each(axes, 1, 3)), draw(each(axes, 1, 3)), draw(each(axes, 1, 3))
    padding = draw(each(axes, 0, 2))
    k, d, s, p = (spelled(value, axes) for value in (kernel, dilation, stride, padding))
    extra = tuple(draw(st.integers(0, max(*pair) - 1)) for pair in zip(s, d, strict=True))
    image = [draw(st.integers(1, 4)) for _ in range(axes)]
    least = [(image[a] - 1) * s[a] + d[a] * (k[a] - 1) + 1 - 2 * p[a] for a in range(axes)]
    assume(min(least) > 0)
    options = {
        "stride": stride,
        "padding": padding,
        "output_padding": extra,
        "groups": groups,
        "bias": draw(st.booleans()),
        "dilation": dilation,
    }
    asked = tuple(n + draw(st.integers(0, step - 1)) for n, step in zip(least, s, strict=True))
    return (into, out, kernel), options, (*[2] * draw(st.booleans()), into, *image), asked


# ---- values and derivatives
@SAME_WARNS
@AXES
@given(st.data(), SEEDS)
def test_convolution(agree, axes, data, seed):
    args, options, shape = data.draw(convolutions(axes))
    rng = np.random.default_rng(seed)
    layers = (getattr(nn, f"Conv{axes}d")(*args, **options) for nn in (tn.nn, torch.nn))
    agree(*layers, rng, rng.standard_normal(shape))


@AXES
@given(st.data(), SEEDS)
def test_transposed_convolution(agree, axes, data, seed):
    args, options, shape, _ = data.draw(transposed_convolutions(axes))
    rng = np.random.default_rng(seed)
    layers = (getattr(nn, f"ConvTranspose{axes}d")(*args, **options) for nn in (tn.nn, torch.nn))
    agree(*layers, rng, rng.standard_normal(shape))


@AXES
@settings(max_examples=12)
@given(st.data(), st.sampled_from([tuple, list]), SEEDS)
def test_an_output_of_the_size_asked_for(agree, axes, data, kind, seed):
    args, options, shape, asked = data.draw(transposed_convolutions(axes))
    asked = kind((*shape[:-axes], *asked) if data.draw(st.booleans()) else asked)
    rng = np.random.default_rng(seed)

    def up_to_size(nn):
        class Up(nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = getattr(nn, f"ConvTranspose{axes}d")(*args, **options)

            def forward(self, input):
                return self.layer(input, output_size=asked)

        return Up()

    agree(up_to_size(tn.nn), up_to_size(torch.nn), rng, rng.standard_normal(shape))


ODD = [(-1, "reflect"), (-1, "replicate"), (-1, "circular"), ("same", "circular"), ("valid", "reflect")]


@pytest.mark.parametrize(("padding", "mode"), ODD)
@AXES
@SAME_WARNS
def test_padding_that_cuts_off_or_is_odd(agree, axes, padding, mode):
    rng = np.random.default_rng(0)
    layers = (getattr(nn, f"Conv{axes}d")(2, 2, 2, padding=padding, padding_mode=mode) for nn in (tn.nn, torch.nn))
    agree(*layers, rng, rng.standard_normal((2, 2, *[5, 6][:axes])))


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_a_dtype_at_construction(name, dtype):
    ours, theirs = (getattr(lib.nn, name)(4, 6, 3, 2, dtype=getattr(lib, dtype)) for lib in (tn, torch))
    ours.load_state_dict({k: tn.tensor(v.numpy().copy()) for k, v in theirs.state_dict().items()})
    x = np.random.default_rng(0).standard_normal((2, 4, *[6, 7][: int(name[-2])])).astype(dtype)
    out, expected = ours(tn.tensor(x)).detach().numpy(), theirs(torch.tensor(x)).detach().numpy()
    assert out.dtype == expected.dtype == dtype and out.shape == expected.shape
    tolerance = {"float16": 5e-3, "float32": 1e-5, "float64": 1e-12}[dtype]
    np.testing.assert_allclose(out, expected, rtol=tolerance, atol=tolerance)


# ---- construction
@pytest.mark.parametrize("name", LAYERS)
def test_arguments_have_torchs_names_order_and_defaults(name):
    ours, theirs = (
        [(p.name, p.default, p.kind) for p in inspect.signature(call).parameters.values()]
        for nn in (tn.nn, torch.nn)
        for call in (getattr(nn, name),)
    )
    assert ours == theirs
    ours, theirs = (
        [(p.name, p.default, p.kind) for p in inspect.signature(getattr(nn, name).forward).parameters.values()]
        for nn in (tn.nn, torch.nn)
    )
    assert ours == theirs


@pytest.mark.parametrize("name", LAYERS)
def test_attributes(name):
    sizes = (3, 4)[: int(name[-2])]
    only = {"output_padding": 1} if "Transpose" in name else {"padding": "valid", "padding_mode": "reflect"}
    both = {"stride": 2, "padding": 1, "dilation": sizes, "bias": False}
    for options in ({}, both, {"stride": [2] * len(sizes), **only}):
        ours, theirs = (getattr(nn, name)(4, 6, sizes, **options) for nn in (tn.nn, torch.nn))
        public = {k: v for k, v in vars(theirs).items() if not k.startswith("_")}
        assert {k: getattr(ours, k) for k in public} == public
        assert (ours.bias is None) == (theirs.bias is None)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("groups", [1, 4])
def test_layers_start_from_the_same_distribution(name, groups):
    ours, theirs = (getattr(nn, name)(64, 32, 3, groups=groups) for nn in (tn.nn, torch.nn))
    bound = 1 / np.sqrt((32 if "Transpose" in name else 64) / groups * 3 ** int(name[-2]))
    for ours_p, theirs_p in zip(ours.parameters(), theirs.parameters(), strict=True):
        for values in (ours_p.detach().numpy(), theirs_p.detach().numpy()):
            assert 0.75 * bound < np.abs(values).max() <= bound
    np.testing.assert_allclose(ours.weight.detach().numpy().std(), bound / np.sqrt(3), rtol=0.05)


# ---- errors
ERRORS = """
nn.Conv2d(4, 4, 3, groups=3)                        nn.Conv2d(4, 3, 3, groups=2)
nn.Conv2d(4, 4, 3, groups=0)                        nn.Conv2d(4, 4, 3, groups=1.0)
nn.Conv2d(4, 4, 3, padding="full")                  nn.Conv2d(4, 4, 3, padding="same", stride=2)
nn.Conv2d(4, 4, 3, padding_mode="mirror")           nn.Conv2d(4, 4, 3.0)
nn.Conv2d(4, 4, "33")                               nn.Conv2d(-4, 4, 3)
nn.Conv2d(4, 4, -1)                                 nn.Conv2d(4.0, 4, 3)
nn.Conv2d(4, 4, 3)(x[:, :3])                        nn.Conv2d(4, 4, 3)(x[0, 0])
nn.Conv2d(4, 4, 3)(x.double())                      nn.Conv2d(4, 4, 7)(x)
nn.Conv2d(4, 4, 3, dilation=3)(x)                   nn.Conv2d(4, 4, 3, stride=0)(x)
nn.Conv2d(4, 4, 3, dilation=-1)(x)                  nn.Conv2d(4, 4, 3, padding=-1)(x)
nn.Conv2d(4, 4, 3, stride=1.5)(x)                   nn.Conv2d(4, 4, 3, stride=(1, 2, 3))(x)
nn.Conv2d(4, 4, (3, 3, 3))(x)                       nn.Conv2d(4, 4, 1, padding=1)(x[:, :, :0])
nn.Conv2d(4, 4, 3, padding=5, padding_mode="reflect")(x)
nn.Conv2d(4, 4, 3, padding=6, padding_mode="circular")(x)
nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect")(x[:, :3])
nn.Conv2d(4, 4, 3, padding=1, padding_mode="replicate")(x[0, 0])
nn.Conv1d(4, 4, 3)(x)                               nn.Conv1d(4, 4, (3, 3))(x[0])
nn.Conv1d(4, 4, 3, padding=1, padding_mode="circular")(x)
nn.ConvTranspose2d(4, 4, 3, padding_mode="reflect") nn.ConvTranspose2d(4, 3, 3, groups=2)
nn.ConvTranspose2d(4, 4, 3, groups=3)               nn.ConvTranspose2d(4, 4, 3, padding="same")(x)
nn.ConvTranspose2d(4, 4, 3)(x[:, :3])               nn.ConvTranspose2d(4, 4, 3)(x[0, 0])
nn.ConvTranspose2d(4, 4, 3)(x.double())             nn.ConvTranspose2d(4, 4, 3, stride=0)(x)
nn.ConvTranspose2d(4, 4, 3, dilation=0)(x)          nn.ConvTranspose2d(4, 4, 3, padding=-1)(x)
nn.ConvTranspose2d(4, 4, 3, padding=4)(x)           nn.ConvTranspose2d(4, 4, 3, output_padding=1)(x)
nn.ConvTranspose2d(4, 4, 3, output_padding=-1)(x)   nn.ConvTranspose2d(4, 4, 3, 2, output_padding=(1, 2))(x)
nn.ConvTranspose2d(4, 4, 3, output_padding=1.5)(x)  nn.ConvTranspose2d(4, 4, 3)(x[:, :, :0])
nn.ConvTranspose2d(4, 4, 3, 2)(x, (13, 12))         nn.ConvTranspose2d(4, 4, 3, 2)(x, (12, 10))
nn.ConvTranspose2d(4, 4, 3, 2)(x, (12,))            nn.ConvTranspose2d(4, 4, 3, 2)(x[0], (2, 4, 12, 12))
nn.ConvTranspose2d(4, 4, 3, 2)(x, 12)               nn.ConvTranspose2d(4, 4, 3, 2)(x, (12.0, 12.0))
nn.ConvTranspose1d(4, 4, 3)(x)                      nn.ConvTranspose1d(4, 4, 3, 2)(x[0], [13])
F.conv_transpose2d(x, w)                            F.conv_transpose2d(x, w[:4], groups=3)
F.conv_transpose2d(x, w[:4], groups=0)              F.conv_transpose2d(x, w[:4], groups=1.5)
F.conv_transpose2d(x, w[:4], groups=[1])            F.conv_transpose2d(x, w[:4], t.zeros(4))
F.conv_transpose2d(x, w[:4], [1.0])                 F.conv_transpose2d(x, w[:4], stride=(1, 2, 3))
F.conv_transpose2d(x, w[:4], padding="same")        F.conv_transpose2d(x, w[:4, :, :0])
F.conv_transpose2d(x, w[:4, :0])                    F.conv_transpose2d(x[:, :0], w[:0])
F.conv_transpose2d(x > 0, w[:4] > 0)                F.conv_transpose2d(x.numpy(), w[:4])
F.conv_transpose1d(x[0], w[:4])                     F.conv_transpose1d(x, w[:4, :, 0])
F.conv2d(x, w[:, :1], groups=1.5)                   F.conv2d(x, w[:, :1], groups=[4])
F.conv2d(x > 0, w[:, :1] > 0, groups=4)             F.conv2d(x, w[:, :1], stride=[], groups=4)
F.conv1d(x[0], t.zeros(2, 4, 4), stride=2, padding="same")
"""
ERRORS = [text for line in ERRORS.strip().splitlines() for text in (line[:52].strip(), line[52:].strip()) if text]


@pytest.mark.parametrize("text", ERRORS)
def test_errors_have_torchs_types(text, agree_to_refuse):
    agree_to_refuse(text.strip(), x=(2, 4, 5, 5), w=(8, 3, 3, 3))
