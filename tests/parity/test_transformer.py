"""The transformer's layers and stacks beside PyTorch's: every constructor argument, masks, hints, derivatives twice."""

from __future__ import annotations

import copy
import re
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinynet as tn

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.usefixtures("plain_attention")

SEEDS = st.integers(0, 2**32 - 1)
SIZES = st.integers(1, 3)
BOOL = st.booleans()


ACTIVATIONS = {
    "relu": lambda nn: "relu",
    "gelu": lambda nn: "gelu",
    "function": lambda nn: nn.functional.silu,
    "module": lambda nn: nn.GELU(),
}


def draw_layer(draw, dropout, copied=False):
    """What builds a layer of either library, whether it attends to a memory, and sizes."""
    heads = draw(SIZES)
    d_model, batch_first, memory = heads * draw(SIZES), draw(BOOL), draw(BOOL)
    names = [*ACTIVATIONS][: 3 if copied and memory else 4]  # PyTorch's copy of a decoder layer has relu for a module
    activation = ACTIVATIONS[draw(st.sampled_from(names))]
    options = {"layer_norm_eps": draw(st.sampled_from([1e-5, 0.1])), "norm_first": draw(BOOL), "bias": draw(BOOL)}
    feedforward = draw(SIZES)

    def build(nn):
        layer = nn.TransformerDecoderLayer if memory else nn.TransformerEncoderLayer
        return layer(d_model, heads, feedforward, dropout, activation(nn), batch_first=batch_first, **options)

    return build, memory, (heads, d_model, batch_first)


def draw_call(draw, rng, memory, sizes, stack):
    """What to call it with: arrays, of which the first (two) stand alone, names for the others, and hints."""
    heads, d_model, batch_first = sizes
    n, (length, keys) = draw(st.sampled_from([None, 1, 2])), (draw(SIZES), draw(SIZES))

    def sequence(size):
        return rng.standard_normal(
            ((size,) if n is None else (n, size) if batch_first else (size, n)) + (d_model,)
        )

    def mask(*shape):
        hidden = rng.random(shape) > 0.6
        return hidden if kind == "bool" else np.where(hidden, -np.inf, rng.standard_normal(shape))

    inputs, masks, hints = [sequence(length)] + [sequence(keys)] * memory, {}, {}
    kind = draw(st.sampled_from(["bool", "float"]))
    whose = {"tgt": length, "memory": keys} if memory else {"src": length}
    for name, size in whose.items():
        if draw(BOOL):
            masks[f"{name}_key_padding_mask"] = mask(size) if n is None else mask(n, size)
        if draw(BOOL):
            called = "mask" if stack and name == "src" else f"{name}_mask"
            shape = draw(st.sampled_from([(length, size), ((n or 1) * heads, length, size)]))
            masks[called] = mask(*shape)
            if draw(BOOL):
                causal = ~np.tri(length, size, dtype=bool)
                causal = causal if kind == "bool" else np.where(causal, -np.inf, 0)
                masks[called] = np.broadcast_to(causal, shape)
                if draw(BOOL):
                    hints["is_causal" if name == "src" else f"{name}_is_causal"] = draw(BOOL)
    return inputs, masks, hints


def called(lib, module, names, hints):
    """The module as one of tensors alone."""

    class Called(lib.nn.Module):
        def __init__(self):
            super().__init__()
            self.module = module

        def forward(self, *tensors):
            plain = len(tensors) - len(names)
            return self.module(*tensors[:plain], **dict(zip(names, tensors[plain:], strict=True)), **hints)

    return Called()


def stirred(module):
    with torch.no_grad():
        for p in module.parameters():
            p.add_(torch.randn(p.shape) * 0.3)
    return module


def compared(agree, draw, seed, build, memory, sizes, stack, training):
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed % 1000)
    inputs, masks, hints = draw_call(draw, rng, memory, sizes, stack)
    ours, theirs = build(tn.nn), stirred(build(torch.nn))
    pair = (called(lib, m.train(training), [*masks], hints) for lib, m in ((tn, ours), (torch, theirs)))
    agree(*pair, rng, *inputs, *masks.values(), rtol=1e-8)


@settings(max_examples=25)
@given(SEEDS, BOOL, st.data())
def test_layers(agree, seed, training, data):
    layer, memory, sizes = draw_layer(data.draw, 0.0 if training else 0.5)
    compared(agree, data.draw, seed, layer, memory, sizes, False, training)


@settings(max_examples=15)
@given(SEEDS, BOOL, st.sampled_from([1, 2]), BOOL, st.data())
def test_stacks_of_layers(agree, seed, training, num_layers, normed, data):
    layer, memory, sizes = draw_layer(data.draw, 0.0 if training else 0.5, copied=True)

    def build(nn):
        norm = nn.LayerNorm(sizes[1]) if normed else None
        if memory:
            return nn.TransformerDecoder(layer(nn), num_layers, norm)
        return nn.TransformerEncoder(layer(nn), num_layers, norm, enable_nested_tensor=False, mask_check=False)

    compared(agree, data.draw, seed, build, memory, sizes, True, training)


def test_without_gradients_as_the_fast_path():
    """In eval PyTorch has a kernel of its own for a whole layer."""
    torch.backends.mha.set_fastpath_enabled(True)
    theirs = torch.nn.TransformerEncoder(torch.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2).eval()
    ours = tn.nn.TransformerEncoder(tn.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2).eval()
    ours.load_state_dict({key: tn.tensor(t.numpy()) for key, t in theirs.state_dict().items()})
    x, hidden = np.random.default_rng(0).random((3, 5, 8), "float32"), np.arange(5) >= np.array([[5], [3], [4]])
    with torch.no_grad(), tn.no_grad(), warnings.catch_warnings(action="ignore"):  # its nested tensors warn
        expected = theirs(torch.tensor(x), src_key_padding_mask=torch.tensor(hidden)).numpy()
        found = ours(tn.tensor(x), src_key_padding_mask=tn.tensor(hidden)).numpy()
    np.testing.assert_allclose(found[~hidden], expected[~hidden], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["TransformerEncoder", "TransformerDecoder"])
def test_a_stack_is_of_deep_copies(name):
    layer = getattr(tn.nn, f"{name}Layer")(4, 2, 8)
    stack = getattr(tn.nn, name)(layer, 3)
    given, *copies = (dict(part.named_parameters()) for part in (layer, *stack.layers))
    assert len(copies) == stack.num_layers == 3 and stack.norm is None
    for key, p in given.items():
        parameters = [one[key] for one in copies]
        assert len({id(q) for q in (p, *parameters)}) == 4
        assert all((q == p).all() and q.requires_grad for q in parameters)
    with tn.no_grad():
        copies[0]["linear1.weight"].add_(1)
    assert (copies[1]["linear1.weight"] == given["linear1.weight"]).all()
    assert len([*copy.deepcopy(stack).parameters()]) == 3 * len(given)
    stack = getattr(tn.nn, name)(getattr(tn.nn, f"{name}Layer")(4, 2, 8, activation=tn.nn.Tanh()), 2)
    assert {type(one.activation) for one in stack.layers} == {tn.nn.Tanh}
    assert stack.layers[0].activation is not stack.layers[1].activation


def test_dropout_is_for_training():
    tn.manual_seed(0)
    x = tn.rand(6, 2, 4)
    for layer, inputs in (
        (tn.nn.TransformerEncoderLayer(4, 2, 8), (x,)),
        (tn.nn.TransformerDecoderLayer(4, 2, 8), (x, x)),
    ):
        rates = {m.p for m in layer.modules() if isinstance(m, tn.nn.Dropout)}
        assert rates == {0.1} and layer.self_attn.dropout == 0.1
        assert (layer(*inputs) != layer(*inputs)).any()
        layer.eval()
        assert (layer(*inputs) == layer(*inputs)).all()


@pytest.mark.parametrize("part", ["self_attn", "dropout", "dropout1", "dropout2", "multihead_attn", "dropout3"])
def test_every_dropout_is_used(part):
    """With all but one switched off, the result still varies."""
    tn.manual_seed(0)
    x = tn.rand(6, 2, 4)
    for kind in ("Encoder", "Decoder"):
        layer = getattr(tn.nn, f"Transformer{kind}Layer")(4, 2, 8)
        if not hasattr(layer, part):
            assert kind == "Encoder" and part in ("multihead_attn", "dropout3")
            continue
        for name, module in layer.named_children():
            module.train(name == part)
        if isinstance(getattr(layer, part), tn.nn.Dropout):
            getattr(layer, part).p = 0.5
        else:
            getattr(layer, part).dropout = 0.5
        inputs = (x,) if kind == "Encoder" else (x, x)
        assert (layer(*inputs) != layer(*inputs)).any()


def test_a_causal_mask_is_recognised(monkeypatch):
    seen = []
    attend = tn.nn.functional.scaled_dot_product_attention
    monkeypatch.setattr(tn.nn.functional, "scaled_dot_product_attention",
                        lambda q, k, v, mask, p, causal: seen.append((mask is None, causal)) or
                        attend(q, k, v, mask, p, causal))
    stack, x = tn.nn.TransformerEncoder(tn.nn.TransformerEncoderLayer(4, 2, 8), 1).eval(), tn.rand(3, 1, 4)
    hidden = tn.ones(3, 3, dtype=tn.bool).triu(1)
    bias = tn.where(hidden, -float("inf"), tn.zeros(3, 3))
    results = [stack(x, mask).detach() for mask in (hidden, bias)]
    results += [stack(x, mask, is_causal=False).detach() for mask in (hidden, bias)]
    assert seen == [(True, True)] * 2 + [(False, False)] * 2
    for y in results:
        np.testing.assert_allclose(y.numpy(), results[0].numpy(), rtol=1e-5)
    for other in (None, ~hidden, hidden.expand(2, 3, 3), tn.zeros(3, 3)):
        stack(x, other)
        assert seen[-1] == (other is None, False)


E = "lib.nn.TransformerEncoderLayer(4, 2, 8)"
D = "lib.nn.TransformerDecoderLayer(4, 2, 8)"
S = "lib.nn.TransformerEncoder(lib.nn.TransformerEncoderLayer(4, 2, 8), 2, enable_nested_tensor=False)"
X = "lib.ones(3, 2, 4)"
BAD = [
    ("lib.nn.TransformerEncoderLayer(4, 3)", "embed_dim=4 and num_heads=3"),
    ("lib.nn.TransformerEncoderLayer(4, 2, activation='tanh')", "activation should be relu/gelu, not tanh"),
    ("lib.nn.TransformerDecoderLayer(4, 2, dropout=1.5)", "dropout probability has to be between 0 and 1"),
    (f"{E}(lib.ones(3, 2, 5))", "expecting embedding dimension of 4, but got 5"),
    (f"{E}({X}, lib.ones(2, 2).bool())", "2D attn_mask is (2, 2), but should be (3, 3)"),
    (f"{E}({X}, lib.ones(3, 3).long())", "are supported"),
    (f"{S}({X}, lib.ones(3, 3).long())", "are supported"),
    (f"{E}({X}, is_causal=True)", "Need attn_mask"),
    (f"{E}({X}, None, lib.ones(2, 4).bool())", "key_padding_mask"),
    (f"{S}({X}, lib.ones(4, 4).triu(1).bool())", "(4, 4), but should be (3, 3)"),
    (f"{D}({X}, lib.ones(5, 3, 4))", "query and key must have the same batch"),
    (f"{D}({X}, lib.ones(5, 2, 3))", "kdim = 4"),
    (f"{D}({X}, {X}, memory_mask=lib.ones(3, 5).bool())", "should be (3, 3)"),
]


@pytest.mark.parametrize(("code", "text"), BAD)
def test_errors(code, text):
    with pytest.raises(Exception) as expected:
        eval(code, {"lib": torch})
    with pytest.raises(type(expected.value), match=re.escape(text)):
        eval(code, {"lib": tn})


def test_an_error_names_the_layer_at_fault():
    stack = tn.nn.TransformerEncoder(tn.nn.TransformerEncoderLayer(4, 2, 8), 2)
    with pytest.raises(AssertionError, match=re.escape("layers.0.self_attn")):
        stack(tn.ones(3, 2, 5))
