"""Activations beside PyTorch's: every constructor argument, in place too, derivatives twice, kinks and extremes."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinynet as tn
import tinynet.nn.functional as F

torch = pytest.importorskip("torch")

SEEDS = st.integers(0, 2**32 - 1)
SHAPES = st.lists(st.integers(1, 3), max_size=3)
SLOPES = st.sampled_from([0.01, 0.5, 1.5])
MODULES = {
    "ReLU": st.just({}),
    "LeakyReLU": st.fixed_dictionaries({}, optional={"negative_slope": SLOPES}),
    "ELU": st.fixed_dictionaries({}, optional={"alpha": SLOPES}),
    "SELU": st.just({}),
    "GELU": st.fixed_dictionaries({}, optional={"approximate": st.sampled_from(["none", "tanh"])}),
    "SiLU": st.just({}),
    "Mish": st.just({}),
    "Softplus": st.fixed_dictionaries({}, optional={"beta": SLOPES, "threshold": st.sampled_from([0.3, 20])}),
    "Softsign": st.just({}),
    "Sigmoid": st.just({}),
    "LogSigmoid": st.just({}),
    "Tanh": st.just({}),
    "Hardtanh": st.fixed_dictionaries({}, optional={"min_val": st.just(-0.5), "max_val": st.just(0.25)}),
    "Hardsigmoid": st.just({}),
    "Hardswish": st.just({}),
    "ReLU6": st.just({}),
    "PReLU": st.fixed_dictionaries({}, optional={"init": SLOPES}),
}
LIMITS = {"Hardsigmoid": {"twice": False, "rtol": 1e-7}}  # PyTorch's slope is 1/6 in float32, without a derivative
IN_PLACE = ["ReLU", "LeakyReLU", "ELU", "SELU", "SiLU", "Mish", "Hardtanh", "Hardsigmoid", "Hardswish", "ReLU6"]


def both(build):
    return build(tn.nn), build(torch.nn)


@pytest.mark.parametrize("name", MODULES)
@given(st.data())
def test_activation(agree, name, data):
    options = data.draw(MODULES[name])
    rng = np.random.default_rng(data.draw(SEEDS))
    x = np.asarray(rng.standard_normal(data.draw(SHAPES)) * data.draw(st.sampled_from([1.0, 5.0])))
    agree(*both(lambda nn: getattr(nn, name)(**options)), rng, x, **LIMITS.get(name, {}))


@pytest.mark.parametrize("name", IN_PLACE)
@given(SEEDS, st.booleans(), st.data())
def test_activation_in_place(agree, name, seed, after_tanh, data):
    """Of what the layer before needs again (tanh, its result) or not."""
    options = data.draw(MODULES[name])
    rng = np.random.default_rng(seed)
    assert repr(getattr(tn.nn, name)(inplace=True)) == repr(getattr(torch.nn, name)(inplace=True))
    x = rng.standard_normal((2, 3))
    y = tn.tensor(x)
    assert getattr(tn.nn, name)(**options, inplace=True)(y) is y
    assert tn.equal(y, getattr(tn.nn, name)(**options)(tn.tensor(x)))
    if after_tanh:  # PyTorch refuses
        z = tn.tensor(x, requires_grad=True)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            getattr(tn.nn, name)(**options, inplace=True)(z.tanh()).sum().backward()
    else:
        pair = both(lambda nn: nn.Sequential(nn.Linear(3, 3), getattr(nn, name)(**options, inplace=True)))
        agree(*pair, rng, x, **LIMITS.get(name, {}))


@given(SEEDS, st.integers(1, 3), st.lists(st.integers(1, 2), max_size=2), SLOPES, st.booleans())
def test_prelu(agree, seed, channels, rest, init, one):
    rng = np.random.default_rng(seed)
    pair = both(lambda nn: nn.PReLU(1 if one else channels, init))
    agree(*pair, rng, rng.standard_normal((2, channels, *rest)))


@given(SEEDS, st.lists(st.integers(1, 3), min_size=1, max_size=3), st.data())
def test_along_an_axis(agree, seed, shape, data):
    rng = np.random.default_rng(seed)
    dim = data.draw(st.integers(-len(shape), len(shape) - 1))
    for name in ("Softmax", "Softmin", "LogSoftmax"):
        agree(*both(lambda nn, name=name: getattr(nn, name)(dim)), rng, rng.standard_normal(shape))
    shape[dim] *= 2
    agree(*both(lambda nn: nn.GLU(dim)), rng, rng.standard_normal(shape))


@pytest.mark.parametrize("name", ["Softmax", "Softmin", "LogSoftmax"])
@pytest.mark.parametrize("ndim", [0, 1, 2, 3, 4])
def test_an_axis_left_out_is_chosen_with_a_warning(name, ndim):
    x = np.random.default_rng(0).standard_normal((2,) * ndim)
    with pytest.warns(UserWarning, match="Implicit dimension choice") as ours:
        y = getattr(tn.nn, name)()(tn.tensor(x))
    with pytest.warns(UserWarning, match="Implicit dimension choice") as theirs:
        z = getattr(torch.nn, name)()(torch.tensor(x))
    assert [str(w.message) for w in ours] == [str(w.message) for w in theirs]
    np.testing.assert_allclose(y.numpy(), z.numpy())


KINKS = [-1000.0, -6.0, -3.0, -1.0, -0.0, 0.0, 1.0, 3.0, 6.0, 20.0, 1000.0, float("inf"), float("-inf"), float("nan")]


@pytest.mark.parametrize("name", [*MODULES])
def test_slopes_at_kinks_and_extremes(name):
    """Where PyTorch's own value at infinity is nan, ours may be better."""
    found = []
    for nn, make in ((tn.nn, tn.tensor), (torch.nn, torch.tensor)):
        x = make(np.array(KINKS)).requires_grad_()
        y = getattr(nn, name)().double()(x)
        y.sum().backward()
        found.append((y.detach().numpy(), x.grad.numpy()))
    (y, slope), (z, expected) = found
    assert np.isnan(y[-1])
    for ours, theirs in ((y, z), (slope[:-1], expected[:-1])):
        known = ~np.isnan(theirs)
        assert known[:-3].all()
        np.testing.assert_allclose(ours[known], theirs[known], rtol=1e-7, atol=1e-12)


def test_stable_forms():
    x = tn.tensor([-1e4, -50.0, 50.0, 1e4], dtype=tn.float64)
    assert F.softplus(x).tolist() == [0.0, float(np.exp(-50)), 50.0, 1e4]
    assert F.logsigmoid(x).tolist() == [-1e4, -50.0, -float(np.exp(-50)), 0.0]
    small = tn.tensor([-30.0], requires_grad=True)
    F.softplus(small).backward(tn.ones(1))
    assert small.grad.item() == pytest.approx(np.exp(-30), rel=1e-6)


@pytest.mark.parametrize(
    "name",
    ["leaky_relu", "elu", "selu", "gelu", "silu", "mish", "softplus", "logsigmoid", "hardsigmoid", "hardswish", "glu"],
)
def test_integers_have_no_such_function(name):
    for f, x in ((F, tn.tensor([1, 2])), (torch.nn.functional, torch.tensor([1, 2]))):
        with pytest.raises(NotImplementedError, match="not implemented"):
            getattr(f, name)(x)
    with pytest.raises(TypeError, match="argument 'input' must be Tensor, not list"):
        getattr(F, name)([1.0])


@pytest.mark.parametrize("name", ["hardtanh", "relu6", "softsign", "sigmoid", "tanh"])
def test_functions_of_integers(name):
    ours, theirs = getattr(F, name)(tn.tensor([1, -2, 9])), getattr(torch.nn.functional, name)(torch.tensor([1, -2, 9]))
    assert str(ours.dtype) == str(theirs.dtype).removeprefix("torch.")
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-6)


BAD = [
    ("prelu", ((2, 3), (2,)), {}, "Found parameter numbers = 2 and channel size = 3"),
    ("prelu", ((3,), (3,)), {}, "Found parameter numbers = 3 and channel size = 1"),
    ("prelu", ((2, 3), (3, 1)), {}, "ndim = 2"),
    ("glu", ((2, 3),), {}, "Halving dimension must be even, but dimension 1 is size 3"),
    ("glu", ((),), {}, "glu does not support scalars"),
    ("glu", ((2,),), {"dim": 1}, "Dimension out of range"),
    ("gelu", ((2,),), {"approximate": "erf"}, "approximate argument must be either none or tanh"),
    ("hardtanh", ((2,),), {"min_val": 1.0, "max_val": 0.0}, "min_val cannot be greater than max_val"),
]


@pytest.mark.parametrize(("name", "shapes", "options", "text"), BAD)
def test_errors(name, shapes, options, text):
    with pytest.raises(Exception, match=re.escape(text)) as expected:
        getattr(torch.nn.functional, name)(*map(torch.ones, shapes), **options)
    with pytest.raises(type(expected.value), match=re.escape(text)):
        getattr(F, name)(*map(tn.ones, shapes), **options)


def test_errors_of_dtypes_and_bounds():
    with pytest.raises(RuntimeError, match=r"Type promoting not supported\. Got float32 and float64"):
        F.prelu(tn.ones(2), tn.ones(1, dtype=tn.float64))
    for nn in (tn.nn, torch.nn):
        with pytest.raises(AssertionError, match=re.escape("max_val (0.0) must be greater than min_val (0.0)")):
            nn.Hardtanh(0.0, 0.0)
    leaf = tn.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match="leaf Variable"):
        F.silu(leaf, inplace=True)


def test_older_names_of_bounds():
    for nn in (tn.nn, torch.nn):
        with pytest.warns(FutureWarning, match="`max_value` is deprecated and renamed to `max_val`"):
            assert nn.Hardtanh(max_value=2.0).max_val == 2.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert tn.nn.Hardtanh().max_val == 1.0
