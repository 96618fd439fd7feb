"""Normalization beside PyTorch's: every constructor argument, both modes, running moments, derivatives twice."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinynet as tn
import tinynet.nn.functional as F
from tinynet.testing import assert_close

torch = pytest.importorskip("torch")

SEEDS = st.integers(0, 2**32 - 1)
SIZES = st.integers(1, 3)
EPS = st.sampled_from([1e-5, 0.1])
BOOL = st.booleans()


def both(build):
    """A module of ours and one of PyTorch's, of which the parameters and moments are not those of the start."""
    return build(tn.nn), stirred(build(torch.nn))


def stirred(module):
    with torch.no_grad():
        for name, t in module.state_dict().items():
            if t.dtype.is_floating_point:
                t.copy_(torch.rand(t.shape) + (0.5 if "var" in name or "weight" in name else -0.5))
    return module


@given(SEEDS, st.sampled_from([1, 2]), SIZES, EPS, st.sampled_from([0.1, 0.7, None]), BOOL, BOOL, BOOL, BOOL, st.data())
def test_batch_norm(agree, seed, axes, channels, eps, momentum, affine, bias, track, training, data):
    rng, name = np.random.default_rng(seed), f"BatchNorm{axes}d"
    torch.manual_seed(seed % 1000)
    pair = both(lambda nn: getattr(nn, name)(channels, eps, momentum, affine, track, bias=bias).train(training))
    rest = data.draw(st.lists(SIZES, min_size=axes - 1 if axes == 1 else 2, max_size=axes if axes == 1 else 2))
    agree(*pair, rng, rng.standard_normal((data.draw(st.integers(2, 3)), channels, *rest)), calls=2)


@given(SEEDS, st.sampled_from([1, 2]), SIZES, EPS, st.sampled_from([0.1, None]), BOOL, BOOL, BOOL, BOOL, BOOL)
def test_instance_norm(agree, seed, axes, channels, eps, momentum, affine, bias, track, training, batched):
    rng, name = np.random.default_rng(seed), f"InstanceNorm{axes}d"
    torch.manual_seed(seed % 1000)
    pair = both(lambda nn: getattr(nn, name)(channels, eps, momentum, affine, track, bias=bias).train(training))
    agree(*pair, rng, rng.standard_normal((*[2] * batched, channels, *(3, 2)[:axes])), calls=2)


@given(SEEDS, SIZES, SIZES, EPS, BOOL, BOOL, st.lists(SIZES, max_size=2))
def test_group_norm(agree, seed, groups, each, eps, affine, bias, rest):
    rng = np.random.default_rng(seed)
    pair = both(lambda nn: nn.GroupNorm(groups, groups * each, eps, affine, bias=bias))
    agree(*pair, rng, rng.standard_normal((2, groups * each, *rest)))


@given(SEEDS, st.lists(SIZES, max_size=2), st.lists(SIZES, min_size=1, max_size=2), EPS, BOOL, BOOL)
def test_layer_norm(agree, seed, lead, shape, eps, affine, bias):
    rng = np.random.default_rng(seed)
    shape[-1] += 1
    pair = both(lambda nn: nn.LayerNorm(shape if len(shape) > 1 else shape[0], eps, affine, bias))
    agree(*pair, rng, rng.standard_normal((*lead, *shape)))


@given(SEEDS, st.lists(SIZES, max_size=2), st.lists(SIZES, min_size=1, max_size=2), st.sampled_from([None, 0.1]), BOOL)
def test_rms_norm(agree, seed, lead, shape, eps, affine):
    rng = np.random.default_rng(seed)
    pair = both(lambda nn: nn.RMSNorm(shape if len(shape) > 1 else shape[0], eps, affine))
    agree(*pair, rng, rng.standard_normal((*lead, *shape)))


@settings(max_examples=10)
@given(SEEDS, st.sampled_from(["float16", "float32"]), st.sampled_from([0.0, 1000.0]))
def test_narrow_dtypes(seed, dtype, offset):
    """A mean far from 0, and sums that do not fit into float16."""
    rng = np.random.default_rng(seed)
    x = (rng.standard_normal((4, 6, 50)) + offset).astype(dtype)
    for name, args in (("layer_norm", [(50,)]), ("group_norm", [2]), ("rms_norm", [(50,)])):
        ours, theirs = getattr(F, name)(tn.tensor(x), *args), getattr(torch.nn.functional, name)(torch.tensor(x), *args)
        assert ours.dtype == dtype
        tolerance = 2e-3 if dtype == "float16" else 1e-3 if offset else 2e-5
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=tolerance, atol=tolerance)


def test_half_inputs_and_full_parameters():
    x = tn.tensor(np.random.default_rng(0).standard_normal((3, 4)).astype("float16"), requires_grad=True)
    for layer in (tn.nn.LayerNorm(4), tn.nn.BatchNorm1d(4), tn.nn.BatchNorm1d(4).eval()):
        y = layer(x)
        y.sum().backward()
        assert (y.dtype, x.grad.dtype, layer.weight.grad.dtype) == (tn.float16, tn.float16, tn.float32)
        x.grad = None


def test_an_empty_batch_moves_no_moments():
    layer, other = tn.nn.BatchNorm1d(3), torch.nn.BatchNorm1d(3)
    assert layer(tn.zeros(0, 3)).shape == tuple(other(torch.zeros(0, 3)).shape)
    for name, t in other.state_dict().items():
        assert layer.state_dict()[name].tolist() == t.tolist()
    assert tn.nn.LayerNorm(3)(tn.zeros(0, 3)).shape == (0, 3)


def test_running_moments_are_kept_and_reset():
    layer = tn.nn.BatchNorm1d(2)
    layer(tn.tensor([[1.0, 2.0], [3.0, 6.0]]))
    assert_close(layer.running_mean, tn.tensor([0.2, 0.4]))
    assert_close(layer.running_var, tn.tensor([1.1, 1.7]))  # unbiased: 2 and 8
    assert not layer.running_mean.requires_grad and layer.num_batches_tracked.item() == 1
    layer.reset_running_stats()
    assert layer.running_var.tolist() == [1, 1] and layer.num_batches_tracked.item() == 0
    layer.eval()(tn.ones(2, 2))
    assert layer.num_batches_tracked.item() == 0


def test_channels_of_an_instance_norm_that_is_not_affine():
    x = np.random.default_rng(0).standard_normal((2, 3, 4))
    with pytest.warns(UserWarning, match="does not match num_features") as ours:
        y = tn.nn.InstanceNorm1d(5)(tn.tensor(x))
    with pytest.warns(UserWarning, match="does not match num_features") as theirs:
        z = torch.nn.InstanceNorm1d(5)(torch.tensor(x))
    assert str(ours[0].message) == str(theirs[0].message)
    np.testing.assert_allclose(y.numpy(), z.numpy(), rtol=1e-9)


BAD = [
    ("BatchNorm1d(3)", (3,), "expected 2D or 3D input (got 1D input)"),
    ("BatchNorm1d(3)", (2, 3, 2, 2), "expected 2D or 3D input (got 4D input)"),
    ("BatchNorm2d(3)", (2, 3, 2), "expected 4D input (got 3D input)"),
    ("BatchNorm1d(3)", (1, 3), "Expected more than 1 value per channel"),
    ("BatchNorm1d(3)", (2, 4), "should contain 4 elements not 3"),
    ("BatchNorm1d(3, eps=0.0)", (2, 3), "eps must be positive during training"),
    ("BatchNorm1d(3, eps=-1.0).eval()", (2, 3), "eps must be non-negative"),
    ("BatchNorm1d(3).double()", (2, 3), "mixed dtype"),
    ("BatchNorm1d(3).eval().double()", (2, 3), "mixed dtype"),
    ("InstanceNorm1d(3)", (3,), "expected 2D or 3D input (got 1D input)"),
    ("InstanceNorm2d(3)", (2, 3), "expected 3D or 4D input (got 2D input)"),
    ("InstanceNorm1d(3)", (2, 3, 1), "Expected more than 1 spatial element"),
    ("InstanceNorm1d(3, affine=True)", (2, 4, 2), "to match num_features (3), but got: 4"),
    ("GroupNorm(2, 4)", (2, 3), "divisible by num_groups"),
    ("GroupNorm(2, 4)", (4,), "Expected at least 2 dimensions"),
    ("GroupNorm(2, 4)", (2, 6), "weight should contain 6 elements not 4"),
    ("GroupNorm(2, 2)", (1, 2), "Expected more than 1 value per channel"),
    ("LayerNorm(3)", (2, 4), "Given normalized_shape=[3], expected input with shape [*, 3]"),
    ("LayerNorm((2, 3))", (3,), "Given normalized_shape=[2, 3], expected input with shape [*, 2, 3]"),
    ("LayerNorm(())", (3,), "Expected normalized_shape to be at least 1-dimensional"),
    ("LayerNorm(3).double()", (2, 3), "mixed dtype"),
    ("RMSNorm(3)", (2, 4), "Given normalized_shape=[3], expected input with shape [*, 3]"),
]


@pytest.mark.parametrize(("layer", "shape", "text"), BAD)
def test_errors(layer, shape, text):
    build = {"nn": tn.nn}, {"nn": torch.nn}
    ours, theirs = (eval(f"nn.{layer}", names) for names in build)
    with pytest.raises(Exception) as expected:
        theirs(torch.ones(shape))
    with pytest.raises(type(expected.value), match=re.escape(text)):
        ours(tn.ones(shape))


def test_errors_of_the_functions():
    x, three = tn.ones(2, 3), tn.zeros(3)
    with pytest.raises(ValueError, match="must either both be None or neither"):
        F.batch_norm(x, three, None, training=True)
    with pytest.raises(RuntimeError, match="running_mean must be defined in evaluation mode"):
        F.batch_norm(x, None, None)
    with pytest.raises(RuntimeError, match=re.escape("weight should contain 3 elements not 2")):
        F.batch_norm(x, three, three, tn.ones(2))
    with pytest.raises(NotImplementedError, match="batch_norm is not implemented for int64"):
        F.batch_norm(x.long(), three, three)
    with pytest.raises(RuntimeError, match="to be defined when use_input_stats is false"):
        F.instance_norm(tn.ones(2, 3, 2), use_input_stats=False)
    with pytest.raises(RuntimeError, match="Expected weight to be of same shape"):
        F.layer_norm(x, (3,), tn.ones(2))
    with pytest.raises(RuntimeError, match="num_groups=0"):
        F.group_norm(x, 0)
    with pytest.raises(ValueError, match=re.escape("num_channels (4) must be divisible by num_groups (3)")):
        tn.nn.GroupNorm(3, 4)
    with pytest.raises(TypeError, match="must be Tensor, not list"):
        F.layer_norm([1.0], (1,))


def test_eval_of_an_untracked_layer_uses_the_batch():
    x = tn.tensor([[1.0], [3.0]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        layer = tn.nn.BatchNorm1d(1, track_running_stats=False)
    assert tn.equal(layer(x), layer.eval()(x)) and list(layer.state_dict()) == ["weight", "bias"]
