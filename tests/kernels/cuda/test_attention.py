"""Attention of several blocks and tiles, heads of all widths, masks of all forms, wherever its matrices lie."""

from __future__ import annotations

import shutil
from functools import partial

import numpy as np
import pytest

import tinynet as tn
from tinynet import kernels
from tinynet.kernels.cuda import attention, choice, emulator, launcher

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed: NO CUDA KERNEL WAS RUN")


def draws(*shapes):
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape).astype("float32") for shape in shapes]


def reference(op, *arguments, **options):
    wide = [a if a is None or a.dtype == bool else a.astype("float64") for a in arguments]
    return kernels.implementations(op)["reference"].compute(np, *wide, **options)


def check(q, k, v, mask=None, causal=False, scores=False):
    """Forward and backward, beside the reference in float64."""
    how = {"scale": q.shape[-1] ** -0.5, "causal": causal}
    assert choice.heads(q, k, v, mask, **how) is True
    out = attention.attention(np, q, k, v, mask, **how)
    for got, want in zip(out, reference("attention", q, k, v, mask, **how), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
    (g,) = draws(out[0].shape)
    given = g, q, k, v, mask, *out[1:]
    assert choice.heads_back(*given, **how, scores=scores) is True
    found = attention.attention_grad(np, *given, **how, scores=scores)
    for got, want in zip(found, reference("attention_grad", *given, **how, scores=scores), strict=True):
        if want is None:
            assert got is None
        else:
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=2e-5)


# Queries and keys on both sides of the tiles' edges, which are at 32 and 64.
@pytest.mark.parametrize(("queries", "keys"), [(1, 1), (64, 64), (65, 129), (130, 31), (33, 97)])
@pytest.mark.parametrize(("features", "width"), [(16, 61), (64, 64), (65, 128)])
def test_edges_of_tiles(queries, keys, features, width):
    check(*draws((queries, features), (keys, features), (keys, width)))


@pytest.mark.parametrize(("queries", "keys"), [(130, 130), (40, 200), (200, 40)])
@pytest.mark.parametrize("features", [20, 70])
@pytest.mark.parametrize("scores", [False, True])
def test_causal(queries, keys, features, scores):
    """With fewer keys than queries, and with more, which nobody sees."""
    check(*draws((2, queries, features), (2, keys, features), (2, keys, features)), causal=True, scores=scores)


def test_keys_that_nobody_may_see_are_not_read():
    """After the last query of a block: so what is there cannot matter."""
    q, k, v = draws((64, 8), (128, 8), (128, 8))
    k[64:], v[64:] = np.nan, np.inf
    out = attention.attention(np, q, k, v, scale=1.0, causal=True)
    assert all(np.isfinite(a).all() for a in out)


@pytest.mark.parametrize("shape", [(2, 3, 66, 70), (66, 70), (3, 66, 70), (2, 1, 1, 70), (66, 1), (70,), ()])
@pytest.mark.parametrize("kind", ["bools", "infinities"])
def test_masks_are_read_as_they_are(shape, kind, monkeypatch):
    """Not written out for every head and query; -∞ may leave a query nothing to see."""
    q, k, v, mask = draws((2, 3, 66, 12), (2, 3, 70, 12), (2, 3, 70, 8), shape)
    mask = np.asarray(mask > 0) if kind == "bools" else np.where(mask < 0, np.float32("-inf"), mask)
    given, launch = [], launcher.launch
    monkeypatch.setattr(attention, "launch", lambda *a, **k: (given.append(k), launch(*a, **k)))
    check(q, k, v, mask, scores=True)
    told = given[0]["allowed" if kind == "bools" else "mask"].array
    assert np.shares_memory(told, mask)


def test_largest_scores_that_come_last_and_scores_beyond_exp():
    q, k, v = draws((70, 8), (200, 8), (200, 8))
    check(np.abs(q), np.sort(k, 0), v)
    q, k = q * 100, k * 10
    got, want = (call(q, k, v, scale=1.0, causal=False) for call in (partial(attention.attention, np),
                                                                    partial(reference, "attention")))
    np.testing.assert_allclose(got[0], want[0], rtol=1e-2, atol=1e-3)  # a score of 10⁴ is known to 10⁻³
    np.testing.assert_allclose(got[1], want[1], rtol=1e-5)


@pytest.mark.parametrize("lead", [(2,), (2, 3), (2, 1, 3)])
def test_parts_of_one_array_are_read_where_they_lie(lead, monkeypatch):
    """(…, rows, 3, heads, features), as a layer's product gives them."""
    monkeypatch.setattr(np, "ascontiguousarray", None)  # the kernels' xp is NumPy: nothing may be copied
    (whole,) = draws((*lead[:-1], 70, 3, lead[-1], 20))
    q, k, v = (np.moveaxis(whole[..., part, :, :], -2, -3) for part in range(3))
    inputs = attention._inputs(np, (q, k, v), None, 1.0, False)
    assert all(np.shares_memory(m.array, whole) for m in inputs["in"])
    monkeypatch.undo()
    check(q, k, v, causal=True)


def test_matrices_that_lie_otherwise_are_copied_and_those_of_several_heads_are_not():
    q, k, v = draws((4, 40, 12), (12, 4, 50), (1, 50, 12))
    check(q[:, ::-1], k.transpose(1, 2, 0), np.broadcast_to(v, (4, 50, 12)))
    unaligned = [a.reshape(-1)[1:481].reshape(1, 40, 12) for a in draws((500,), (500,), (500,))]
    check(*unaligned)


def test_of_tensors_with_the_gradient_of_a_mask():
    """As layers call it: heads of one product, and a mask for all samples that is learned."""
    (x,) = draws((2, 40, 3, 2, 8))
    results = []
    for backend in ("emu", "reference"):
        whole, mask = tn.tensor(x, requires_grad=True), tn.zeros(40, 40, requires_grad=True)
        q, k, v = whole.permute(2, 0, 3, 1, 4).unbind(0)
        with kernels.use_kernels(backend):
            out = tn.nn.functional.scaled_dot_product_attention(q, k, v, mask)
            (out * out).sum().backward()
        results.append([out, whole.grad, mask.grad])
    for got, want in zip(*results, strict=True):
        np.testing.assert_allclose(got.detach().numpy(), want.detach().numpy(), rtol=1e-4, atol=1e-5)


def test_what_is_left_to_the_reference():
    q, k, v = draws((3, 129), (3, 129), (3, 5))
    assert choice.heads(q, k, v) == "takes heads of 128 features at most"
    assert choice.heads(q[:, :5], k[:, :5], v, np.zeros((3, 3))) == (
        "takes float32, not float32, float32, float32, float64")
    assert choice.heads(q[:, :5], k[:0, :5], v[:0]) == "takes no array without elements"
    assert choice.heads_back(v.astype("f8"), q, k, v, None, v[:, 0], v[:, 0]).startswith("takes float32, not float64")


def test_the_same_bits_in_either_order_of_threads(monkeypatch):
    q, k, v, g = draws((2, 100, 20), (2, 130, 20), (2, 130, 20), (2, 100, 20))
    results = []
    for reverse in (False, True):
        monkeypatch.setattr(emulator.Settings, "reverse", reverse)
        out, *kept = attention.attention(np, q, k, v, scale=0.3, causal=True)
        more = attention.attention_grad(np, g, q, k, v, None, *kept, scale=0.3, causal=True, scores=True)
        results.append([out, *kept, *more])
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)
