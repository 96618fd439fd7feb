"""Random words, and dropout by them: to the bit what the reference draws."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from tinynet import kernels
from tinynet.kernels.cuda import choice, dropout

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed: NO CUDA KERNEL WAS RUN")


def reference(op, *arrays, **options):
    return kernels.implementations(op)["reference"].compute(np, *arrays, **options)


@pytest.mark.parametrize("seed", [0, 2**32 - 1, 0x299F31D0A4093822, 2**64 - 1])
@pytest.mark.parametrize("offset", [0, 2**32 - 2, 2**40, np.array(2**33 - 1, "uint64")])
def test_words_are_the_reference_s(seed, offset):
    for blocks in (1, 300):
        how = {"seed": seed, "offset": offset, "blocks": blocks}
        words = dropout.philox(np, **how)
        assert words.dtype == np.uint32
        np.testing.assert_array_equal(words, reference("philox", **how))


@pytest.mark.parametrize(("shape", "each"), [
    ((1,), 1), ((3, 7), 1), ((1030,), 1), ((2, 3, 5), 5), ((7, 2), 2), ((5, 3, 4), 12), ((1500, 3), 3), ((9, 6), 54),
])
@pytest.mark.parametrize("p", [0.1, 0.5, 1.0])
def test_the_same_numbers_are_dropped(shape, each, p):
    x = np.random.default_rng(0).standard_normal((2, *shape), "float32")[1:]
    for offset in (5, np.array(2**32 - 3, "uint64")):
        how = {"p": p, "drawn": (7, offset, each)}
        np.testing.assert_array_equal(dropout.dropout(np, x, None, **how), reference("dropout", x, None, **how))


def test_a_share_p_is_dropped_and_the_mean_stays():
    x = np.ones(20_000, "float32")
    y = dropout.dropout(np, x, None, p=0.3, drawn=(1, 0, 1))
    assert set(y.tolist()) == {0.0, float(np.float32(1 / 0.7))}
    assert abs((y == 0).mean() - 0.3) < 0.01 and abs(y.mean() - 1) < 0.02


def test_what_is_left_to_the_reference():
    x, noise = np.ones(4, "float32"), np.zeros(4, "float32")
    assert choice.droppable(x, noise, p=0.5) == "draws by itself, where it is told to begin"
    assert choice.droppable(x.astype("f8"), None, p=0.5, drawn=(0, 0, 1)) == "takes float32, not float64"
    assert choice.droppable(x[:0], None, p=0.5, drawn=(0, 0, 1)) == "takes no array without elements"
    many = np.broadcast_to(x[:1], 2**31)
    assert choice.droppable(many, None, p=0.5, drawn=(0, 0, 1)) == "takes fewer than 2**31 numbers"
    assert choice.counters(seed=0, offset=0, blocks=0) == "takes one block at least"
    assert choice.droppable(x, None, p=0.5, drawn=(0, 0, 1)) is choice.counters(seed=0, offset=0, blocks=1) is True
