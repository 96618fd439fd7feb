"""What a primitive is: rules that name what they need, hidden outputs, joint rules, no array module named anywhere."""

import numpy as np
import pytest

import tinynet as tn
from tinynet.autograd.fit import unbroadcast
from tinynet.ops._primitive import PRIMITIVES, from_plain, primitive
from tinynet.testing import gradcheck


@pytest.fixture
def own_primitives():
    """Primitives made in the test are forgotten after it."""
    before = dict(PRIMITIVES)
    yield
    PRIMITIVES.clear()
    PRIMITIVES.update(before)


def layer_norm_primitive():
    """A fused op with all there is: hidden outputs, one rule for three arguments, second order from a composition."""
    @primitive(outputs="y mean rstd", hidden=2)
    def own_norm(xp, x, w, b, *, eps=1e-5):
        mean = x.mean(-1, keepdims=True)
        rstd = 1 / xp.sqrt(x.var(-1, keepdims=True) + eps)
        return (x - mean) * rstd * w + b, mean, rstd

    @primitive
    def own_norm_grad(xp, g, x, w, mean, rstd):
        xhat, gw = (x - mean) * rstd, g * w
        return (gw - gw.mean(-1, keepdims=True) - xhat * (gw * xhat).mean(-1, keepdims=True)) * rstd

    def rule(g, wanted, x, w, mean, rstd):
        n, dx = 1 / x.shape[-1], own_norm_grad(g[0], x, w, mean, rstd) if wanted[0] else None
        if wanted[0] and g[1] is not None:
            dx = dx + g[1] * n
        if wanted[0] and g[2] is not None:
            dx = dx - g[2] * rstd * rstd * rstd * (x - mean) * n
        return [dx, unbroadcast(g[0] * ((x - mean) * rstd), w.shape) if wanted[1] else None,
                unbroadcast(g[0], w.shape) if wanted[2] else None]

    def plain(g, x, w, mean, rstd):
        n, xhat, gw = 1 / x.shape[-1], (x - mean) * rstd, g * w
        means = gw.sum(axis=-1, keepdims=True) * n, (gw * xhat).sum(axis=-1, keepdims=True) * n
        return (gw - means[0] - xhat * means[1]) * rstd

    own_norm.vjp_all(rule)
    own_norm_grad.vjp_all(from_plain(plain))
    return own_norm


def draw(*shapes):
    rng = np.random.default_rng(0)
    return [tn.tensor(rng.standard_normal(s), requires_grad=True) for s in shapes]


def test_hidden_outputs_joint_rules_and_from_plain(own_primitives):
    norm = layer_norm_primitive()
    x, w, b = draw((3, 5), (5,), (5,))
    y = norm(x, w, b)
    assert isinstance(y, tn.Tensor), "hidden outputs are not shown"
    assert isinstance(norm(x.array, w.array, b.array), np.ndarray)
    assert gradcheck(lambda x, w, b: norm(x, w, b).tanh(), (x, w, b))
    assert tn.autograd.gradgradcheck(lambda x, w, b: norm(x, w, b).tanh(), (x, w, b))

    def second(x, w, b):
        g, = tn.autograd.grad(norm(x, w, b).tanh().sum(), x, create_graph=True)
        return tn.autograd.grad((g * g).sum(), (x, w), create_graph=True)
    assert gradcheck(second, (x, w, b)), "third order"
    assert gradcheck(lambda x: norm(x, w.detach(), b.detach()), x), "only what is wanted is computed"


def test_named_outputs_make_a_namedtuple():
    result = tn.max(tn.tensor([[1.0, 3.0]]), 1)
    assert (result.values.item(), result.indices.item()) == (3.0, 1)


def test_options_by_position_and_by_numpys_names():
    x = tn.tensor([[1.0, 2.0], [3.0, 4.0]])
    for y in (tn.sum(x, 1, True), tn.sum(x, dim=1, keepdim=True), tn.sum(x, axis=1, keepdims=True), x.sum(-1, True),
              tn.sum(input=x, dim=1, keepdim=True)):
        assert y.tolist() == [[3.0], [7.0]]
    assert tn.mul(x, other=x).tolist() == tn.mul(input=x, other=x).tolist() == [[1.0, 4.0], [9.0, 16.0]]
    with pytest.raises(TypeError, match="multiple values for argument 'dim'"):
        tn.sum(x, 1, dim=1)
    with pytest.raises(TypeError, match="missing required argument"):
        tn.mul(x)
    with pytest.raises(IndexError, match=r"expected to be in range of \[-2, 1\], but got 2"):
        tn.sum(x, 2)
    with pytest.raises(TypeError, match="dim must be an int"):
        tn.sum(x, 1.5)


def test_a_rule_that_asks_for_what_there_is_not(own_primitives):
    def doubles(xp, a):
        return a * 2
    op = primitive(doubles)
    op.vjp(a=lambda g, colour: g)
    with pytest.raises(TypeError, match="a rule of doubles asks for 'colour'"):
        op(tn.ones(2, requires_grad=True))
