"""Attention as one op against its composition of products and a softmax, to the second order."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import tinynet as tn
import tinynet.nn.functional as F
from tinynet.ops.attention import as_bias, attention_weights
from tinynet.testing import assert_close, tensors

SIZES = st.integers(1, 4)


def composition(query, key, value, mask, scale, causal):
    """softmax(scale query keyᵀ + mask) value, written out."""
    scores = query @ key.mT * scale
    if causal:
        mask = tn.ones(scores.shape[-2:], dtype=tn.bool).tril()
    if mask is not None:
        scores = scores + (tn.where(mask, 0.0, -float("inf")) if mask.dtype == tn.bool else mask)
    blind = (scores == -float("inf")).all(dim=-1, keepdim=True)
    return tn.where(blind, 0.0, tn.softmax(tn.where(blind, 0.0, scores), -1)) @ value


def slopes(out, inputs, rng):
    """First derivatives of a random sum of the outputs, and second ones of a random sum of those."""
    firsts = tn.autograd.grad(out, inputs, tn.tensor(rng.standard_normal(out.shape)), create_graph=True)
    total = sum((g * tn.tensor(rng.standard_normal(g.shape))).sum() for g in firsts)
    return [*firsts, *tn.autograd.grad(total, inputs)]


@given(st.data(), st.integers(0, 2**32 - 1))
def test_attention_is_its_composition(data, seed):
    draw = data.draw
    lead, length, keys, e, f = draw(st.sampled_from([(), (2,), (2, 2)])), *(draw(SIZES) for _ in range(4))
    shapes = (*lead, length, e), (*lead, keys, e), (*lead, keys, f)
    inputs = [draw(tensors(shape)).detach().requires_grad_() for shape in shapes]
    kind, mask = draw(st.sampled_from(["none", "causal", "bool", "float"])), None
    if kind in ("bool", "float"):
        mask = draw(tensors((length, keys))).detach()
        mask = mask > -1 if kind == "bool" else mask.requires_grad_()
    scale = draw(st.sampled_from([1.0, 0.5, -1.0]))
    given_mask = [] if kind != "float" else [mask]
    fused = F.scaled_dot_product_attention(*inputs, mask, is_causal=kind == "causal", scale=scale)
    plain = composition(*inputs, mask, scale, kind == "causal")
    assert_close(fused, plain)
    found, expected = (slopes(out, inputs + given_mask, np.random.default_rng(seed)) for out in (fused, plain))
    for a, b in zip(found, expected, strict=True):
        assert_close(a, b, rtol=1e-9, atol=1e-9)


def test_it_is_one_node_of_the_graph():
    q, k, v = (tn.rand(2, 3, 4, requires_grad=True) for _ in range(3))
    out = F.scaled_dot_product_attention(q, k, v)
    assert out.grad_fn.name() == "AttentionBackward0"


def test_the_third_derivative():
    """A rule's rule is made of ops that have rules."""
    tn.manual_seed(0)
    inputs = [tn.rand(2, 2, dtype=tn.float64, requires_grad=True) for _ in range(3)]

    def first(*tensors):
        out = F.scaled_dot_product_attention(*tensors)
        return tn.autograd.grad((out * out).sum(), tensors, create_graph=True)

    assert tn.autograd.gradgradcheck(first, inputs)


def test_weights_and_bias():
    query, key = tn.tensor([[0.0, 0.0]]), tn.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    seen = tn.tensor([True, True, False])
    assert as_bias(seen, tn.float64).tolist() == [0, 0, -float("inf")]
    assert as_bias(seen, tn.float64).dtype == tn.float64
    for mask in (seen, as_bias(seen, tn.float32)):
        assert attention_weights(query, key, mask).tolist() == [[0.5, 0.5, 0.0]]
    assert attention_weights(query.half(), key.half(), as_bias(seen, tn.float32)).dtype == tn.float16
