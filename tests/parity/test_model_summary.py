"""Parameters and multiply-adds of a summary against those that PyTorch counts."""
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinynet as tn

torch = pytest.importorskip("torch")
flop_counter = pytest.importorskip("torch.utils.flop_counter")


def check(make, *sizes):
    ours, theirs = make(tn.nn), make(torch.nn)
    counter = flop_counter.FlopCounterMode(display=False)
    with counter, torch.no_grad():
        theirs(*[torch.zeros(size) for size in sizes])
    found = tn.summary(ours, list(sizes))
    assert found.multiply_adds == counter.get_total_flops() / 2
    assert found.total_parameters == sum(p.numel() for p in theirs.parameters())


@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.integers(0, 2), st.integers(1, 2),
       st.booleans(), st.booleans())
def test_convolutions(groups, inside, out, kernel, padding, stride, bias, transposed):
    def make(nn):
        layer, pad = (nn.ConvTranspose2d, 0) if transposed else (nn.Conv2d, padding)
        return layer(groups * inside, groups * out, kernel, stride, pad, groups=groups, bias=bias)

    check(make, (2, groups * inside, 7, 6))


@given(st.integers(1, 3), st.sampled_from([2, 4]), st.integers(1, 6))
def test_attention_and_linear_layers(batch, heads, length):
    check(lambda nn: nn.MultiheadAttention(8, heads), *[(length, batch, 8)] * 3)
    check(lambda nn: nn.Sequential(nn.Linear(8, 3), nn.ReLU(), nn.Linear(3, 5, bias=False)), (batch, length, 8))
