"""Random numbers on a GPU: a stream for each device, the same on every card; and what they are distributed like."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tinynet as tn
from tinynet import kernels
from tinynet.ops._streams import Philox
from tinynet.random import Generator


def by_hand(counter, key):
    """Philox4x32-10 in Python's own numbers, for one counter."""
    c, k = list(counter), list(key)
    for _ in range(10):
        p, q = c[0] * 0xD2511F53, c[2] * 0xCD9E8D57
        c = [(q >> 32) ^ c[1] ^ k[0], q & 0xFFFFFFFF, (p >> 32) ^ c[3] ^ k[1], p & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


@pytest.mark.parametrize(("counter", "key", "answer"), [
    ((0, 0, 0, 0), (0, 0), "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ((0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0), "d16cfe09 94fdcceb 5001e420 24126ea1"),
])  # fmt: skip
def test_known_answers(counter, key, answer):
    """The answers that come with the paper's own code."""
    assert " ".join(f"{word:08x}" for word in by_hand(counter, key)) == answer


@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1, 2**64 - 1, 0x299F31D0A4093822])
@pytest.mark.parametrize("offset", [0, 5, 2**32 - 2, 2**40])
def test_the_kernel(seed, offset):
    words = kernels.run("philox", np, seed=seed, offset=offset, blocks=4)
    assert words.shape == (4, 4) and words.dtype == np.uint32
    for k, block in enumerate(words.tolist()):
        n = offset + k
        assert block == by_hand((n & 0xFFFFFFFF, n >> 32, 0, 0), (seed & 0xFFFFFFFF, seed >> 32))


def draws(device):
    return [tn.rand(5, device=device), tn.randn(3, 3, device=device), tn.randint(0, 10, (7,), device=device),
            tn.randperm(9, device=device), tn.rand(2, dtype=tn.float64, device=device),
            tn.randn(3, dtype=tn.float64, device=device), tn.zeros(4, device=device).exponential_(),
            tn.rand(3, dtype=tn.float16, device=device), tn.bernoulli(tn.full((9,), 0.5, device=device)),
            tn.multinomial(tn.ones(6, device=device), 3), tn.multinomial(tn.ones(2, 6, device=device), 8, True),
            tn.nn.functional.dropout(tn.ones(9, device=device)), tn.normal(tn.zeros(3, device=device), 1.0),
            tn.zeros(5, device=device).uniform_(-1, 1).normal_(3, 2).random_(0, 9)]  # fmt: skip


def test_each_device_has_a_stream_of_its_own(gpu):
    tn.manual_seed(7)
    there, here, other = draws("cuda:0"), draws("cpu"), draws("cuda:1")
    tn.manual_seed(7)
    here_again, there_again = draws("cpu"), draws("cuda:0")
    assert all(tn.equal(a, b) for a, b in zip(here, here_again, strict=True)), "what a GPU draws does not matter here"
    assert all(tn.equal(a, b) for a, b in zip(there, there_again, strict=True))
    assert all(tn.equal(a.cpu(), b.cpu()) for a, b in zip(there, other, strict=True)), "one seed, the same on all cards"
    assert not tn.equal(there[0].cpu(), here[0])
    assert not tn.equal(tn.rand(5, device="cuda"), there[0])


def test_nothing_is_read_to_draw(gpu):
    tn.rand(3, device="cuda")
    gpu.traffic.clear()
    x = tn.empty(3, device="cuda")
    x.normal_().uniform_().exponential_()
    tn.nn.functional.dropout(tn.randn(8, device="cuda")), tn.randperm(5, device="cuda")
    assert not gpu.traffic
    tn.nn.Linear(3, 4, device="cuda"), tn.nn.init.kaiming_normal_(tn.empty(3, 4, device="cuda"))
    assert not gpu.traffic


@pytest.mark.parametrize("dropout", [tn.nn.functional.dropout, tn.nn.functional.dropout2d])
def test_backward_dropout_draws_the_same_numbers_again(dropout, gpu):
    x = tn.ones(3, 8, 2, 5, device="cuda", requires_grad=True)
    tn.manual_seed(5)
    y = dropout(x, 0.25)
    after = tn.rand(4, device="cuda")
    y.backward(y)
    assert tn.equal(x.grad, y * y), "each is 0 or 4/3"
    tn.manual_seed(5)
    words = tn.rand(*(y.shape if dropout is tn.nn.functional.dropout else (3, 8, 1, 1)), device="cuda")
    assert tn.equal(y != 0, (words >= 0.25).expand(y.shape)) and tn.equal(after, tn.rand(4, device="cuda"))


def test_generators(gpu):
    g = tn.Generator("cuda").manual_seed(3)
    assert g.device == tn.device("cuda:0") and tn.Generator().device == tn.device("cpu")
    a = tn.rand(6, generator=g, device="cuda")
    state = g.get_state()
    b = tn.rand(6, generator=g, device="cuda")
    assert state.shape == (16,) and tn.equal(tn.rand(6, generator=g.set_state(state), device="cuda"), b)
    assert tn.equal(tn.rand(6, generator=g.manual_seed(3), device="cuda"), a) and g.initial_seed() == 3
    with pytest.raises(RuntimeError, match=r"Expected a 'cpu' device type for generator but found 'cuda'"):
        tn.rand(2, generator=g)
    with pytest.raises(RuntimeError, match=r"Expected a 'cuda' device type for generator but found 'cpu'"):
        tn.rand(2, generator=tn.Generator(), device="cuda")
    with pytest.raises(RuntimeError, match="16 bytes of uint8"):
        g.set_state(np.zeros(48, np.uint8))
    with pytest.raises(RuntimeError, match="Expected a 'cpu' device type for generator but found 'cuda': data sets"):
        next(iter(tn.data.DataLoader(tn.arange(3), shuffle=True, generator=g)))


# ---- distributions, of the same code on NumPy's arrays
@pytest.fixture
def rng():
    return Philox(Generator().manual_seed(5), np)


def test_uniform(rng):
    for dtype, bits in ((np.float32, 24), (np.float64, 53)):
        x = rng.random((200, 500), np.dtype(dtype))
        assert x.dtype == dtype and x.min() >= 0 and x.max() < 1 and (x * 2**bits == np.floor(x * 2**bits)).all()
        assert abs(x.mean() - 0.5) < 0.004 and abs(x.var() - 1 / 12) < 0.002
        counts = np.histogram(x, 20, (0, 1))[0]
        assert ((counts - 5000) ** 2 / 5000).sum() < 50, "chi square of 19 degrees of freedom"
    assert rng.random(()).shape == () and rng.random((0, 3)).shape == (0, 3)


def test_normal(rng):
    for dtype in (np.float32, np.float64):
        x = rng.standard_normal((100_001,), np.dtype(dtype))
        assert x.dtype == dtype and x.shape == (100_001,) and np.isfinite(x).all()
        moments = [(x**k).mean() for k in (1, 2, 3, 4)]
        assert np.allclose(moments, [0, 1, 0, 3], atol=[0.02, 0.03, 0.05, 0.15])
        assert abs((abs(x) < 1).mean() - math.erf(math.sqrt(0.5))) < 0.01
        pairs = (x[:-1] * x[1:]).mean(), (x[:50_000] * x[50_001:]).mean()  # neighbours; and those of one distance
        assert np.abs(pairs).max() < 0.03


def test_exponential(rng):
    x = rng.standard_exponential((100_000,), np.dtype("float64"))
    assert x.min() >= 0 and abs(x.mean() - 1) < 0.02 and abs(np.median(x) - math.log(2)) < 0.02


def test_integers(rng):
    x = rng.integers(-3, 4, (70_000,))
    assert x.dtype == np.int64 and ((np.bincount(x + 3) - 10_000) ** 2 / 10_000).sum() < 30
    assert set(rng.integers(0, 1, (5,)).tolist()) == {0}
    wide = rng.integers(-2**63, 2**63, (1000,))
    assert wide.min() < -2**61 and wide.max() > 2**61
    large = rng.integers(2**62, 2**63, (1000,))
    assert large.min() >= 2**62 and large.max() > 2**62 + 2**60


def test_permutation(rng):
    first = np.array([rng.permutation(5) for _ in range(3000)])
    assert (np.sort(first, 1) == np.arange(5)).all()
    for column in first.T:
        assert ((np.bincount(column, minlength=5) - 600) ** 2 / 600).sum() < 25


def test_the_stream_goes_on(rng):
    generator = rng.generator
    a, b = rng.random((6,)), rng.random((6,))
    generator.manual_seed(5)
    assert np.array_equal(np.concatenate([a, b]), np.concatenate([rng.random((6,)), rng.random((6,))]))
    assert not np.intersect1d(a, b).size
