"""Neighbours in a Sequential that are computed as one op: the same numbers, and only where nobody looks in between."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinynet as tn
from tinynet import nn
from tinynet.testing import assert_close


def ops_of(y):
    """The names of the ops that y was computed by."""
    seen, todo = [], [y.grad_fn]
    while todo:
        place = todo.pop()
        seen.append(place.name())
        todo += [p for p, _ in place.next_functions if p is not None]
    return [name for name in seen if name != "AccumulateGrad"]


def results(model, x):
    x.grad = None
    model.zero_grad()
    y = model(x)
    (y * y).sum().backward()
    return y.detach(), x.grad, *(p.grad for p in model.parameters())


@given(data=st.data())
def test_the_numbers_are_those_of_separate_layers(data):
    draw = data.draw
    channels, out, kernel = draw(st.integers(1, 2)), 2 * draw(st.integers(1, 2)), draw(st.integers(1, 3))
    stride, padding, dilation = (draw(st.integers(low, low + 1)) for low in (1, 0, 1))
    options = {"stride": stride, "padding": padding, "dilation": dilation}
    tn.manual_seed(draw(st.integers(0, 99)))
    conv = nn.Conv2d(channels, out, kernel, bias=draw(st.booleans()), **options)
    layers = [conv, nn.ReLU(), *[nn.MaxPool2d(2)] * draw(st.integers(0, 1)), nn.Flatten()]
    size = draw(st.integers(7, 10)), draw(st.integers(7, 10))
    x = tn.randn(2, channels, *size)
    features = nn.Sequential(*layers)(x).shape[1]
    model = nn.Sequential(*layers, nn.Linear(features, 3), nn.ReLU(), nn.Linear(3, 2)).double()
    x = x.double().requires_grad_()
    fused = results(model, x)
    with tn.use_kernels("reference"):
        apart = results(model, x)
    for a, b in zip(fused, apart, strict=True):
        assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_what_is_computed_as_one():
    x = tn.ones(1, 1, 6, 6)
    conv, relu, pool = nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2)
    assert ops_of(nn.Sequential(conv, relu, pool)(x))[0] == "Conv2dReluPoolBackward0"
    assert ops_of(nn.Sequential(conv, relu)(x))[0] == "Conv2dReluBackward0"
    assert ops_of(nn.Sequential(nn.Linear(6, 2), relu)(x))[0] == "LinearReluBackward0"
    with tn.use_kernels("reference"):
        assert ops_of(nn.Sequential(conv, relu, pool)(x))[0] == "MaxPool2dBackward0"


def test_a_feed_forward_network():
    pytest.importorskip("numba")
    tn.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(6, 24), nn.GELU(), nn.Linear(24, 5)), tn.randn(8, 70, 6)
    assert ops_of(model(x))[0] == "FeedForwardBackward0"
    for few in (x[0], tn.ones(6)):  # the rows are too few
        assert ops_of(model(few))[0] == "LinearBackward0"
    for other in (nn.GELU("tanh"), nn.ReLU()):
        assert ops_of(nn.Sequential(model[0], other, model[2])(x))[0] == "LinearBackward0"
    assert ops_of(nn.Sequential(*model[:2], nn.Linear(24, 5, bias=False))(x))[0] == "LinearBackward0"
    assert ops_of(nn.Sequential(*model[:2])(x))[0] == "GeluBackward0"
    with pytest.raises(RuntimeError, match="expected \\(…, 7\\)"):
        nn.Sequential(*model[:2], nn.Linear(7, 5))(x)
    fused = results(model, x.requires_grad_())
    with tn.use_kernels("reference"):
        apart = results(model, x)
    for a, b in zip(fused, apart, strict=True):
        assert_close(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("pool", [
    nn.MaxPool2d(3), nn.MaxPool2d(2, 1), nn.MaxPool2d(2, padding=1), nn.MaxPool2d(2, dilation=2),
    nn.MaxPool2d(2, ceil_mode=True), nn.MaxPool2d((2, 1))], ids=str)  # fmt: skip
def test_other_pools_stay_apart(pool):
    y = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), pool)(tn.ones(1, 1, 7, 7))
    assert ops_of(y)[:2] == ["MaxPool2dBackward0", "Conv2dReluBackward0"]


def test_an_image_of_one_row_is_too_small_to_pool():
    with pytest.raises(RuntimeError, match="Output size is too small"):
        nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2))(tn.ones(1, 1, 3, 7))


def test_a_hook_sees_what_lies_between():
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 3), nn.ReLU())
    seen = []
    handle = model[0].register_forward_hook(lambda module, args, out: seen.append(out))
    later = model[3].register_forward_hook(lambda module, args, out: seen.append(out))
    y = model(tn.ones(2))
    assert len(seen) == 2 and ops_of(y).count("LinearReluBackward0") == 0
    handle.remove(), later.remove()
    assert ops_of(model(tn.ones(2))).count("LinearReluBackward0") == 2


def test_a_layer_with_its_own_ways_stays_itself():
    class Doubled(nn.Linear):
        def forward(self, x):
            return 2 * super().forward(x)

    x = tn.ones(2)
    linear = Doubled(2, 3)
    np.testing.assert_array_equal(
        nn.Sequential(linear, nn.ReLU())(x).detach().numpy(), np.maximum(linear(x).detach().numpy(), 0)
    )
    patched = nn.Linear(2, 3)
    patched.forward = lambda x: x * 0 + 7
    assert nn.Sequential(patched, nn.ReLU())(x).tolist() == [7, 7]


@pytest.mark.parametrize(("layer", "shape"), [
    (nn.Conv2d(1, 2, 3), (1, 2, 6, 6)), (nn.Conv2d(1, 2, 3), (1, 1, 2, 6)), (nn.Linear(2, 3), (4,))])  # fmt: skip
def test_an_input_that_does_not_fit_is_the_layers_error(layer, shape):
    with pytest.raises(RuntimeError) as alone:
        layer(tn.ones(shape))
    with pytest.raises(RuntimeError) as inside:
        nn.Sequential(layer, nn.ReLU())(tn.ones(shape))
    assert str(alone.value) == str(inside.value)
