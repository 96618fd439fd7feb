"""Attention beside PyTorch's: the function and the layer, for masks and shapes of every kind, derivatives twice."""

from __future__ import annotations

import math
import re
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinynet as tn
import tinynet.nn.functional as F

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.usefixtures("plain_attention")

SEEDS = st.integers(0, 2**32 - 1)
SIZES = st.integers(1, 3)
BOOL = st.booleans()


def called(lib, f, layer=None):
    """f(lib, layer, *tensors) as a module."""

    class Called(lib.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer

        def forward(self, *tensors):
            return f(lib, self.layer, *tensors)

    return Called()


# ---- the function
def draw_mask(draw, kind, rng, shape):
    """bool: some False; float: some -inf."""
    seen = rng.random(shape) > draw(st.sampled_from([0.3, 0.9]))
    return seen if kind == "bool" else np.where(seen, rng.standard_normal(shape), -np.inf)


@settings(max_examples=40)
@given(SEEDS, st.data())
def test_scaled_dot_product_attention(agree, seed, data):
    draw, rng = data.draw, np.random.default_rng(seed)
    length, keys, e, f = (draw(st.integers(1, 4)) for _ in range(4))
    lead = draw(st.sampled_from([(), (2,), (2, 3)]))
    q_lead, k_lead, v_lead = (tuple(n if draw(st.integers(0, 3)) else 1 for n in lead)[draw(st.integers(0, 3)) // 3:]
                              for _ in range(3))
    options = {"scale": draw(st.sampled_from([None, 1.0, 0.3, -1.0, 0]))}
    if draw(BOOL) and lead:
        heads, each = draw(SIZES), draw(SIZES)
        q_lead, k_lead, v_lead = (*lead, heads * each), (*lead, heads), (*lead, draw(st.sampled_from([1, heads])))
        options["enable_gqa"] = True
    inputs = [rng.standard_normal(s) for s in ((*q_lead, length, e), (*k_lead, keys, e), (*v_lead, keys, f))]
    kind = draw(st.sampled_from(["none", "causal", "bool", "float"]))
    if kind in ("bool", "float"):
        batch = np.broadcast_shapes(q_lead, q_lead if "enable_gqa" in options else k_lead)
        shape = tuple(n if draw(st.integers(0, 3)) else 1 for n in (*batch, length, keys))
        inputs.append(draw_mask(draw, kind, rng, shape[draw(st.integers(0, len(shape))):]))
    options["is_causal"] = kind == "causal"
    agree(*(called(lib, lambda lib, _, *t: lib.nn.functional.scaled_dot_product_attention(*t, **options))
            for lib in (tn, torch)), rng, *inputs)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("mask", [None, "bool", "float32"])
def test_narrow_dtypes(dtype, mask):
    rng = np.random.default_rng(0)
    arrays = [(rng.standard_normal(s) * 20).astype(dtype) for s in ((2, 5, 200), (2, 7, 200), (2, 7, 3))]
    arrays += {None: [], "bool": [rng.random((5, 7)) > 0.3], "float32": [rng.random((5, 7), "float32")]}[mask]
    ours, theirs = (lib.nn.functional.scaled_dot_product_attention(*map(lib.tensor, arrays)) for lib in (tn, torch))
    assert ours.dtype == dtype
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=2e-3 if dtype == "float16" else 1e-5)


def test_a_query_that_may_see_no_key_gives_zero():
    rng = np.random.default_rng(0)
    q, k, v = (rng.standard_normal(s) for s in ((3, 4), (5, 4), (5, 2)))
    for mask in (np.arange(3)[:, None] != np.ones(5), np.where(np.arange(3)[:, None] == 1, -np.inf, np.zeros(5))):
        results = []
        for lib in (tn, torch):
            tensors = [lib.tensor(a, requires_grad=True) for a in (q, k, v)]
            out = lib.nn.functional.scaled_dot_product_attention(*tensors, lib.tensor(mask))
            results.append([out, *lib.autograd.grad(out.sum(), tensors)])
        for ours, theirs in zip(*results, strict=True):
            np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=1e-12, atol=1e-15)
        assert results[0][0][1].tolist() == [0, 0] and results[0][1][1].tolist() == [0] * 4
    for shapes in (((2, 3, 4), (2, 0, 4), (2, 0, 2)), ((2, 0, 4), (2, 3, 4), (2, 3, 2)), ((2, 0), (3, 0), (3, 2))):
        ours, theirs = (lib.nn.functional.scaled_dot_product_attention(*(lib.ones(s) for s in shapes))
                        for lib in (tn, torch))
        assert ours.tolist() == theirs.tolist()


def test_nan_travels():
    for values, seen in (((1, math.nan), (True, False)), ((math.nan, math.nan), (True, True))):
        t = np.array(values)[:, None]
        for inputs in ((np.ones((1, 1)), t, np.ones((2, 1))), (np.ones((1, 1)), np.ones((2, 1)), t)):
            ours, theirs = (lib.nn.functional.scaled_dot_product_attention(
                *map(lib.tensor, inputs), lib.tensor([seen])) for lib in (tn, torch))
            assert np.isnan(ours.numpy()).tolist() == np.isnan(theirs.numpy()).tolist()


# ---- the layer
def draw_layer(draw):
    """Constructor arguments: (positional, options)."""
    heads = draw(SIZES)
    embed = heads * draw(SIZES)
    kdim, vdim = draw(st.sampled_from([(None, None), (embed, embed), (2, None), (2, 5)]))
    options = {"bias": draw(BOOL), "add_bias_kv": draw(BOOL), "add_zero_attn": draw(BOOL), "kdim": kdim, "vdim": vdim,
               "batch_first": draw(BOOL)}
    return (embed, heads), options


def stirred(layer):
    with torch.no_grad():
        for p in layer.parameters():
            p.copy_(torch.randn(p.shape))
    return layer


@settings(max_examples=50)
@given(SEEDS, st.data())
def test_multihead_attention(agree, seed, data):
    draw, rng = data.draw, np.random.default_rng(seed)
    torch.manual_seed(seed % 1000)
    args, options = draw_layer(draw)
    layers = [lib.nn.MultiheadAttention(*args, **options).train(draw(BOOL)) for lib in (tn, torch)]
    stirred(layers[1])
    embed, heads, kdim, vdim = *args, layers[0].kdim, layers[0].vdim
    length, keys = draw(SIZES), draw(SIZES)
    n = draw(st.sampled_from([None, 1, 2]))

    def sequence(size, features):
        shape = (size,) if n is None else (n, size) if options["batch_first"] else (size, n)
        return rng.standard_normal((*shape, features))

    same = draw(st.sampled_from(["all", "memory", "none"])) if kdim == vdim == embed else "none"
    keys = length if same == "all" else keys
    inputs = [sequence(length, embed)]
    inputs += {"all": [], "memory": [sequence(keys, kdim)], "none": [sequence(keys, kdim), sequence(keys, vdim)]}[same]
    use = {"all": (0, 0, 0), "memory": (0, 1, 1), "none": (0, 1, 2)}[same]
    how = {"need_weights": draw(BOOL), "average_attn_weights": draw(BOOL)}
    kind, named = draw(st.sampled_from(["bool", "float"])), []
    batch = n or 1
    if draw(BOOL):
        named.append("key_padding_mask")
        inputs.append(draw_mask(draw, kind, rng, (keys,) if n is None else (n, keys)))
    if draw(BOOL):
        named.append("attn_mask")
        shape = draw(st.sampled_from([(length, keys), (batch * heads, length, keys)]))
        inputs.append(draw_mask(draw, kind, rng, shape))
        if draw(BOOL):  # a causal one, with or without the hint
            causal = np.tri(length, keys, dtype=bool)
            inputs[-1] = np.broadcast_to(causal if kind == "bool" else np.where(causal, 0, -np.inf), shape)
            how["is_causal"] = draw(BOOL)
    for k in range(len(inputs) - len(named), len(inputs)):
        if how["need_weights"] and not (options["add_bias_kv"] or options["add_zero_attn"]):
            inputs[k] = inputs[k].copy()
            inputs[k][..., 0] = kind == "bool"  # no query that may see nothing: nan
        inputs[k] = ~inputs[k] if kind == "bool" else inputs[k]  # True hides

    def run(lib, layer, *tensors):
        masks = dict(zip(named, tensors[len(tensors) - len(named):], strict=True))
        y, weights = layer(*(tensors[i] for i in use), **masks, **how)
        assert (weights is None) != how["need_weights"]
        parts = [y] if weights is None else [y, weights]
        sizes = lib.tensor([n for t in parts for n in t.shape], dtype=lib.float64)
        return lib.cat([sizes, *(t.reshape(-1) for t in parts)])

    agree(*(called(lib, run, layer) for lib, layer in zip((tn, torch), layers, strict=True)), rng, *inputs)


def test_weights_of_a_query_that_may_see_no_key_are_nan():
    layers = [lib.nn.MultiheadAttention(4, 2) for lib in (tn, torch)]
    layers[0].load_state_dict({key: tn.tensor(t.numpy()) for key, t in layers[1].state_dict().items()})
    x, hidden = np.ones((3, 1, 4), "float32"), np.ones((3, 3), bool) & (np.arange(3)[:, None] == 1)
    ours, theirs = ([t.detach().numpy() for t in layer(*[lib.tensor(x)] * 3, attn_mask=lib.tensor(hidden))]
                    for lib, layer in zip((tn, torch), layers, strict=True))
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)
    assert np.isnan(ours[1][0, 1]).all() and not np.isnan(ours[1][0, 0]).any()


def test_masks_of_two_kinds_warn():
    layers = [lib.nn.MultiheadAttention(4, 2).double() for lib in (tn, torch)]
    layers[0].load_state_dict({key: tn.tensor(t.numpy()) for key, t in layers[1].state_dict().items()})
    x, bias, hidden = np.random.default_rng(0).random((3, 2, 4)), np.arange(9.0).reshape(3, 3), [[0, 0, 1], [0, 1, 1]]
    found = []
    for lib, layer in zip((tn, torch), layers, strict=True):
        with pytest.warns(UserWarning, match="mismatched key_padding_mask and attn_mask is deprecated") as said:
            y, w = layer(*[lib.tensor(x)] * 3, lib.tensor(hidden, dtype=lib.bool), attn_mask=lib.tensor(bias))
        found.append((str(said[0].message), said[0].filename, y.detach().numpy(), w.detach().numpy()))
    assert found[0][0] == found[1][0] and found[0][1] == __file__
    np.testing.assert_allclose(found[0][2], found[1][2], rtol=1e-9)
    np.testing.assert_allclose(found[0][3], found[1][3], rtol=1e-9)


@pytest.mark.parametrize("options", [{}, {"kdim": 64, "vdim": 300}, {"add_bias_kv": True}, {"bias": False}])
def test_starting_values(options):
    """From the same distributions: the same mean, standard deviation and largest number."""
    tn.manual_seed(0)
    torch.manual_seed(0)
    ours, theirs = (dict(lib.nn.MultiheadAttention(128, 4, **options).named_parameters()) for lib in (tn, torch))
    assert [*ours] == [*theirs]
    for key, p in theirs.items():
        a, b = ours[key].detach().numpy(), p.detach().numpy()
        assert a.shape == b.shape and a.dtype == b.dtype
        close = {"rel": 0.25 if a.size < 1000 else 0.03, "abs": 1e-12}
        assert abs(a.mean()) <= 4 * b.std() / math.sqrt(b.size)
        assert a.std() == pytest.approx(b.std(), **close)
        if "bias_" not in key:  # uniform, or zero
            assert abs(a).max() == pytest.approx(abs(b).max(), **close)


def test_attributes():
    ours, theirs = (lib.nn.MultiheadAttention(6, 2, 0.1, vdim=4, batch_first=True) for lib in (tn, torch))
    names = ["embed_dim", "num_heads", "head_dim", "dropout", "kdim", "vdim", "batch_first", "add_zero_attn"]
    for name in [*names, "bias_k", "bias_v"]:
        assert getattr(ours, name) == getattr(theirs, name)
    assert ours.in_proj_weight is None and theirs.in_proj_weight is None


# ---- dropout, of which PyTorch draws other numbers
def test_dropout_of_the_function():
    tn.manual_seed(0)
    q, k, identity = tn.rand(40, 3, dtype=tn.float64), tn.rand(50, 3, dtype=tn.float64), tn.eye(50, dtype=tn.float64)
    mask = tn.ones(40, 50, dtype=tn.bool)
    mask[0] = False
    whole = F.scaled_dot_product_attention(q, k, identity, mask)
    dropped = F.scaled_dot_product_attention(q, k, identity, mask, dropout_p=0.25)
    kept = (dropped != 0)[1:]
    np.testing.assert_allclose(dropped[1:][kept].numpy(), (whole[1:][kept] / 0.75).numpy(), rtol=1e-6)
    assert 0.7 < kept.double().mean().item() < 0.8 and (dropped[0] == 0).all()
    causal = F.scaled_dot_product_attention(q, k, identity, dropout_p=0.25, is_causal=True)
    assert (causal.triu(1) == 0).all() and (causal != 0).any()
    assert (F.scaled_dot_product_attention(q, k, identity, dropout_p=1.0) == 0).all()


def test_dropout_of_the_layer_is_for_training():
    tn.manual_seed(0)
    layer, x = tn.nn.MultiheadAttention(4, 2, dropout=0.5), tn.rand(20, 3, 4)
    for need_weights in (True, False):
        first, second = (layer.train()(x, x, x, need_weights=need_weights)[0] for _ in range(2))
        assert (first != second).any()
        y, _ = layer.eval()(x, x, x, need_weights=need_weights)
        assert (y == layer(x, x, x, need_weights=need_weights)[0]).all()
    _, weights = layer.train()(x, x, x, average_attn_weights=False)
    assert 0.4 < (weights == 0).double().mean().item() < 0.6


# ---- errors: what to call, and what the message must say
Q, K, V = "lib.ones(2, 3, 4)", "lib.ones(2, 5, 4)", "lib.ones(2, 5, 6)"
BAD_CALLS = [
    ("lib.ones(4), lib.ones(5, 4), lib.ones(5, 4)", "at least 2 dimensional, but got query.ndim: 1"),
    (f"{Q}, lib.ones(2, 5, 3), {V}", "equally many features (axis -1), but got query (2, 3, 4), key (2, 5, 3)"),
    (f"{Q}, {K}, lib.ones(2, 4, 6)", "key and value must be equally long (axis -2)"),
    (f"{Q}, {K}, lib.ones(3, 5, 6)", "all axes but the last two must match or be 1"),
    (f"lib.ones(3, 3, 4), {K}, {V}", "query (3, 3, 4), key (2, 5, 4)"),
    (f"{Q}, {K}.double(), {V}", "query.dtype: float32, key.dtype: float64 and value.dtype: float32"),
    (f"{Q}.long(), {K}.long(), {V}.long()", "floating point, but got int64"),
    (f"[1.0], {K}, {V}", "argument 'query'"),
    (f"{Q}, {K}, {V}, [True]", "argument 'attn_mask'"),
    (f"{Q}, {K}, {V}, lib.ones(3, 5).long()", "attn_mask.dtype: int64 and query.dtype: float32"),
    (f"{Q}, {K}, {V}, lib.ones(3, 5).double()", "attn_mask.dtype: float64 and query.dtype: float32"),
    (f"{Q}, {K}, {V}, lib.ones(3, 4).bool()", "(…, L, S) = (2, 3, 5), but got the shape (3, 4)"),
    (f"{Q}, {K}, {V}, lib.ones(7, 2, 3, 5)", "but got the shape (7, 2, 3, 5)"),
    (f"{Q}, {K}, {V}, lib.ones(3, 5).bool(), is_causal=True", "Explicit attn_mask should not be set when is_causal"),
    (f"{Q}, {K}, {V}, dropout_p=1.5", "between 0 and 1, but got 1.5"),
    (f"{Q}, {K}, {V}, None, 0.0, False, 1.0", "positional arguments"),
    ("lib.ones(4, 3, 2), lib.ones(2, 3, 2), lib.ones(2, 3, 2)", "pass enable_gqa=True"),
    ("lib.ones(4, 3, 2), lib.ones(3, 3, 2), lib.ones(3, 3, 2), enable_gqa=True", "key has 3, query 4 (axis -3)"),
    ("lib.ones(3, 2), lib.ones(3, 2), lib.ones(3, 2), enable_gqa=True", "wants an axis -3 of heads"),
]
BAD_LAYERS = [
    ("0, 1", "must be greater than 0, got embed_dim=0"),
    ("4, 0", "got embed_dim=4 and num_heads=0"),
    ("4, 3", "embed_dim must be divisible by num_heads, got embed_dim=4 and num_heads=3"),
]
X = "lib.ones(3, 2, 4)"
BAD_INPUTS = [
    ("4, 2", "*[lib.ones(4)] * 3", "unbatched 2D or batched 3D tensor but received 1-D query"),
    ("4, 2", f"{X}, lib.ones(3, 4), {X}", "to be 3-D but found 2-D and 3-D tensors"),
    ("4, 2", "lib.ones(3, 4), lib.ones(3, 4), lib.ones(3, 1, 4)", "For unbatched (2-D) `query`"),
    ("4, 2", "*[lib.ones(3, 2, 6)] * 3", "expecting embedding dimension of 4, but got 6"),
    ("4, 2", f"{X}, {X}, lib.ones(5, 2, 4)", "but got key (3, 2, 4) and value (5, 2, 4)"),
    ("4, 2, kdim=3", f"{X}, lib.ones(3, 2, 3), lib.ones(5, 2, 4)", "but got key (3, 2, 3) and value (5, 2, 4)"),
    ("4, 2", f"{X}, lib.ones(3, 2, 3), lib.ones(3, 2, 3)", "kdim = 4 features and value vdim = 4"),
    ("4, 2, kdim=3", f"{X}, {X}, {X}", "kdim = 3 features and value vdim = 4"),
    ("4, 2", f"{X}, lib.ones(3, 5, 4), lib.ones(3, 5, 4)", "same batch (axis 1), but got query (3, 2, 4)"),
    ("4, 2", f"{X}.double(), {X}.double(), {X}.double()", "same dtype"),
    ("4, 2", f"{X}, {X}, {X}, lib.ones(2, 3).long()", "floating types of key_padding_mask are supported, but"),
    ("4, 2", f"{X}, {X}, {X}, attn_mask=lib.ones(3, 3).long()", "floating types of attn_mask are supported"),
    ("4, 2", f"{X}, {X}, {X}, lib.ones(3).bool()", "key_padding_mask"),
    ("4, 2", f"{X}, {X}, {X}, lib.ones(2, 4).bool()", "(2, 3), but got (2, 4)"),
    ("4, 2", f"{X}, {X}, {X}, lib.ones(3, 2).bool()", "(2, 3), but got (3, 2)"),
    ("4, 2", "*[lib.ones(3, 4)] * 3, lib.ones(1, 3).bool()", "key_padding_mask"),
    ("4, 2", f"{X}, {X}, {X}, attn_mask=lib.ones(3).bool()", "2-D or 3-D"),
    ("4, 2", f"{X}, {X}, {X}, attn_mask=lib.ones(3, 4).bool()", "2D attn_mask is (3, 4), but should be (3, 3)"),
    ("4, 2", f"{X}, {X}, {X}, attn_mask=lib.ones(2, 3, 3).bool()", "(2, 3, 3), but should be (4, 3, 3)"),
    ("4, 2", "*[lib.ones(3, 4)] * 3, attn_mask=lib.ones(1, 3, 3).bool()", "(2, 3, 3)"),
    ("4, 2", f"{X}, {X}, {X}, need_weights=False, attn_mask=lib.ones(3, 3).double()", "attn_mask.dtype: float64"),
    ("4, 2", f"{X}, {X}, {X}, is_causal=True", "Need attn_mask if specifying the is_causal hint"),
]


def evaluated(code):
    """Ours and PyTorch's, each evaluated when called."""
    return (lambda lib=lib: eval(code, {"lib": lib, "sdpa": lib.nn.functional.scaled_dot_product_attention})
            for lib in (tn, torch))


@pytest.mark.parametrize(("code", "text"), [
    *[(f"sdpa({call})", text) for call, text in BAD_CALLS],
    *[(f"lib.nn.MultiheadAttention({args})", text) for args, text in BAD_LAYERS],
    *[(f"lib.nn.MultiheadAttention({args})({inputs})", text) for args, inputs, text in BAD_INPUTS],
])
def test_errors(code, text):
    ours, theirs = evaluated(code)
    with pytest.raises(Exception) as expected:
        theirs()
    with warnings.catch_warnings(), pytest.raises(type(expected.value), match=re.escape(text)):
        warnings.simplefilter("error")
        ours()


def test_errors_that_pytorch_does_not_raise():
    with pytest.raises(TypeError, match=re.escape("MultiheadAttention(): argument 'key' must be Tensor, not list")):
        tn.nn.MultiheadAttention(4, 2)(tn.ones(3, 4), [1.0], tn.ones(3, 4))
    with pytest.raises(RuntimeError, match=re.escape("between 0 and 1, but got -0.5")):
        F.scaled_dot_product_attention(tn.ones(2, 2), tn.ones(2, 2), tn.ones(2, 2), dropout_p=-0.5)
    with pytest.raises(RuntimeError, match=re.escape("2D attn_mask is (3, 4), but should be (3, 3)")):
        x = tn.ones(3, 4)
        tn.nn.MultiheadAttention(4, 2)(x, x, x, need_weights=False, attn_mask=tn.ones(3, 4), is_causal=True)
