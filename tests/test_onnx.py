"""ONNX: a file, run by onnxruntime, gives what the model gives, for another batch than that of the example."""

from __future__ import annotations

import copy
import math
import re
import sys
import warnings

import numpy as np
import pytest

import tinynet as tn
import tinynet.onnx
from tinynet import nn
from tinynet.nn import functional as F

onnx = pytest.importorskip("onnx", reason="NO ONNX FILE WAS CHECKED: pip install onnx onnxruntime")
onnxruntime = pytest.importorskip("onnxruntime", reason="NO ONNX FILE WAS RUN: pip install onnx onnxruntime")

export = tinynet.onnx.export


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tn.manual_seed(0)


class Calls(nn.Module):
    """A function as a model."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *inputs):
        return self.function(*inputs)


def run(path, *arrays):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {i.name: a for i, a in zip(session.get_inputs(), arrays, strict=True)})


def flat(outputs):
    return [t for o in outputs for t in flat(o)] if isinstance(outputs, tuple) else [outputs] * (outputs is not None)


def agree(model, *shapes, batch_dim=0, batch=5, draw=None, arguments=()):
    """Export from an example with the given shapes; run with another batch; compare."""
    rng = np.random.default_rng(3)
    draw = draw or (lambda shape: rng.standard_normal(shape).astype(np.float32))
    model = model if isinstance(model, nn.Module) else Calls(model)
    examples = tuple(tn.tensor(draw(shape)) for shape in shapes)
    export(model, (*examples, *arguments), "model.onnx", batch_dim=batch_dim)
    model.eval()
    inputs = []
    for shape in shapes:
        if batch_dim is not None:
            shape = (*shape[:batch_dim], batch, *shape[batch_dim + 1 :])
        inputs.append(np.asarray(draw(shape)))
    with tn.no_grad():
        expected = flat(model(*map(tn.tensor, inputs), *arguments))
    found = run("model.onnx", *inputs)
    assert len(found) == len(expected)
    for ours, theirs in zip(expected, found, strict=True):
        assert theirs.dtype == ours.dtype and theirs.shape == ours.shape
        np.testing.assert_allclose(theirs, ours.numpy(), rtol=1e-5, atol=1e-6)
    return onnx.load("model.onnx")


def operators(file):
    return [node.op_type for node in file.graph.node]


IMAGE, LINE, ROWS = (1, 4, 9, 8), (1, 4, 11), (1, 6)

LAYERS = [
    (nn.Linear(6, 3), ROWS), (nn.Linear(6, 3, bias=False), (1, 2, 6)), (nn.Bilinear(6, 6, 2), ROWS, ROWS),
    (nn.Conv1d(4, 6, 3, stride=2, padding=1), LINE), (nn.Conv1d(4, 4, 4, padding="same", groups=2), LINE),
    (nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2)), IMAGE),
    (nn.Conv2d(4, 8, 3, groups=4, bias=False), IMAGE), (nn.Conv2d(4, 2, 2, padding="same"), IMAGE),
    (nn.Conv2d(4, 2, 3, padding=2, padding_mode="circular"), IMAGE),
    (nn.Conv2d(4, 2, 3, padding=1, padding_mode="replicate"), IMAGE),
    (nn.ConvTranspose1d(4, 3, 3, stride=2, output_padding=1), LINE),
    (nn.ConvTranspose2d(4, 6, 3, stride=(2, 3), padding=1, output_padding=(1, 2), groups=2), IMAGE),
    (nn.MaxPool1d(3, 2, 1), LINE), (nn.MaxPool2d((3, 2), (2, 1), 1), IMAGE),
    (nn.MaxPool2d(3, 3, ceil_mode=True), IMAGE),
    (nn.MaxPool2d(2, 2, dilation=2, ceil_mode=True), IMAGE), (nn.MaxPool2d(2, return_indices=True), IMAGE),
    (nn.AvgPool1d(3, 2, 1), LINE), (nn.AvgPool2d(3, 2, 1), IMAGE),
    (nn.AvgPool2d(3, 2, 1, count_include_pad=False), IMAGE),
    (nn.AvgPool2d(3, 2, 1, ceil_mode=True), IMAGE), (nn.AvgPool2d(2, 3, divisor_override=3), IMAGE),
    (nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False), IMAGE),
    (nn.AdaptiveAvgPool1d(4), LINE), (nn.AdaptiveAvgPool2d(1), IMAGE), (nn.AdaptiveAvgPool2d((3, 5)), IMAGE),
    (nn.AdaptiveMaxPool1d(3), LINE), (nn.AdaptiveMaxPool2d((4, 3)), IMAGE),
    (nn.BatchNorm1d(4), LINE), (nn.BatchNorm2d(4), IMAGE), (nn.BatchNorm2d(4, track_running_stats=False), IMAGE),
    (nn.LayerNorm(6), ROWS), (nn.LayerNorm((4, 11), elementwise_affine=False), LINE),
    (nn.LayerNorm(11, bias=False), LINE),
    (nn.GroupNorm(2, 4), IMAGE), (nn.InstanceNorm1d(4, affine=True), LINE), (nn.InstanceNorm2d(4), IMAGE),
    (nn.RMSNorm(6), ROWS), (nn.Dropout(0.5), ROWS), (nn.Dropout2d(0.5), IMAGE), (nn.Identity(), ROWS),
    (nn.Flatten(), IMAGE), (nn.Flatten(0), LINE), (nn.Unflatten(1, (2, 3)), ROWS), (nn.Upsample(scale_factor=2), IMAGE),
    (nn.Upsample(size=(5, 12), mode="nearest-exact"), IMAGE), (nn.Upsample(scale_factor=1.7, mode="bilinear"), IMAGE),
    (nn.Upsample(scale_factor=2, mode="bicubic", align_corners=True), IMAGE),
    (nn.Upsample(size=7, mode="linear"), LINE),
    (nn.PixelShuffle(2), IMAGE),
    (nn.PixelUnshuffle(2), (1, 3, 4, 6)), (nn.ZeroPad2d((1, 2, 0, -1)), IMAGE), (nn.ConstantPad1d((2, 1), 3.0), LINE),
    (nn.ConstantPad2d(1, -1.0), IMAGE), (nn.ReflectionPad2d((1, 2, 3, 0)), IMAGE),
    *((layer(), ROWS) for layer in (
        nn.ReLU, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Softplus, nn.Softsign,
        nn.Sigmoid, nn.LogSigmoid, nn.Tanh, nn.Hardtanh, nn.Hardsigmoid, nn.Hardswish, nn.ReLU6, nn.GLU)),
    (nn.GELU("tanh"), ROWS), (nn.PReLU(4), IMAGE), (nn.ReLU(inplace=True), ROWS), (nn.SiLU(inplace=True), ROWS),
    (nn.Softmax(1), ROWS), (nn.Softmin(-1), LINE), (nn.LogSoftmax(1), IMAGE),
]  # fmt: skip


NAMED = [pytest.param(model, shapes, id=f"{type(model).__name__}-{k}") for k, (model, *shapes) in enumerate(LAYERS)]
OTHERS = (nn.Embedding, nn.RNN, nn.LSTM, nn.GRU, nn.RNNCell, nn.LSTMCell, nn.GRUCell, nn.MultiheadAttention,
          nn.TransformerEncoderLayer, nn.TransformerEncoder, nn.TransformerDecoderLayer, nn.TransformerDecoder,
          nn.Module, nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict,
          nn.Parameter)  # fmt: skip


@pytest.mark.parametrize(("model", "shapes"), NAMED)
def test_a_layer_gives_the_same(model, shapes):
    agree(model, *shapes)


def test_every_layer_is_here():
    """All of nn's but losses, containers, and those that have a test of their own."""
    met = {type(model) for model, *_ in LAYERS}
    layers = {getattr(nn, name) for name in nn.__all__ if not name.endswith("Loss")}
    assert {kind for kind in layers if isinstance(kind, type)} - met - {*OTHERS} == set()


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_recurrent_layers(kind, batch_first):
    layer = kind(3, 4, num_layers=2, bidirectional=True, batch_first=batch_first, dropout=0.3)
    shape = (1, 5, 3) if batch_first else (5, 1, 3)
    agree(layer, shape, batch_dim=0 if batch_first else 1)


def test_recurrent_cells_and_states_that_are_given():
    agree(nn.RNNCell(3, 4, nonlinearity="relu"), (1, 3), (1, 4))
    agree(nn.GRUCell(3, 4), (1, 3), (1, 4))
    cell = nn.LSTMCell(3, 4)
    agree(lambda x, h, c: cell(x, (h, c)), (1, 3), (1, 4), (1, 4))
    lstm = nn.LSTM(3, 4)
    agree(lambda x, h, c: lstm(x, (h, c)), (2, 1, 3), (1, 1, 4), (1, 1, 4), batch_dim=1)


def test_unbatched_input():
    agree(nn.GRU(3, 4), (5, 3), batch_dim=None)
    agree(nn.Conv2d(2, 3, 3), (2, 5, 5), batch_dim=None)


def test_attention():
    layer = nn.MultiheadAttention(8, 2, batch_first=True, add_bias_kv=True, add_zero_attn=True)
    agree(layer, (1, 5, 8), (1, 6, 8), (1, 6, 8))
    layer = nn.MultiheadAttention(8, 2, kdim=3, vdim=4)
    agree(lambda q, k, v: layer(q, k, v, need_weights=False)[0], (5, 1, 8), (6, 1, 3), (6, 1, 4), batch_dim=1)
    agree(lambda q: F.scaled_dot_product_attention(q, q, q, is_causal=True), (1, 2, 5, 4))
    mask = tn.tensor([[True, False, True], [False, False, False], [True, True, False]])  # the second sees nothing
    agree(lambda q: F.scaled_dot_product_attention(q, q, q, mask), (1, 2, 3, 4))
    agree(lambda q: F.scaled_dot_product_attention(q, q, q, mask.float(), scale=0.3), (1, 2, 3, 4))


@pytest.mark.parametrize("options", [{}, {"norm_first": True, "activation": "gelu", "batch_first": True}])
def test_transformers(options):
    batch_dim = 0 if options else 1
    source, target = ((1, 5, 8), (1, 4, 8)) if options else ((5, 1, 8), (4, 1, 8))
    encoder = nn.TransformerEncoderLayer(8, 2, 16, **options)
    agree(encoder, source, batch_dim=batch_dim)
    agree(nn.TransformerEncoder(encoder, 2, enable_nested_tensor=False), source, batch_dim=batch_dim)
    decoder = nn.TransformerDecoderLayer(8, 2, 16, **options)
    causal = tn.ones(4, 4, dtype=tn.bool).triu(1)
    stack = nn.TransformerDecoder(decoder, 2).eval()
    agree(lambda t, s: stack(t, s, tgt_mask=causal), target, source, batch_dim=batch_dim)


def test_embedding():
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Embedding(7, 4, padding_idx=0), nn.LSTM(4, 3, batch_first=True))
    file = agree(model, (2, 5), draw=lambda shape: rng.integers(0, 7, shape))
    assert {"0.weight", "1.weight_ih_l0"} <= {w.name for w in file.graph.initializer}, "weights keep their names"


class Residual(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1, self.conv2 = (nn.Conv2d(channels, channels, 3, padding=1, bias=False) for _ in range(2))
        self.bn1, self.bn2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        y += x
        return self.relu(y)


def test_whole_networks():
    cnn = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(400, 32), nn.ReLU(), nn.Dropout(0.5), nn.Linear(32, 10))  # fmt: skip
    file = agree(cnn, (1, 1, 28, 28))
    assert [w.name for w in file.graph.initializer if w.dims] [:2] == ["0.weight", "0.bias"]
    assert operators(file) == [*["Conv", "Relu", "MaxPool"] * 2, "Reshape", "Gemm", "Relu", "Gemm", "Identity"]
    residual = Residual(4)
    residual(tn.rand(8, 4, 6, 6))  # the running moments are now something
    file = agree(residual, (1, 4, 6, 6))
    assert operators(file).count("Conv") == 2


FUNCTIONS = {
    **{f.name: f for f in (
        tn.neg, tn.abs, tn.exp, tn.expm1, tn.square, tn.sin, tn.cos, tn.tan, tn.atan, tn.sinh, tn.cosh, tn.tanh,
        tn.sigmoid, tn.erf, tn.sign, tn.floor, tn.ceil, tn.trunc, tn.round, tn.relu, tn.isnan)},
    **{f.name: lambda x, f=f: f(x.abs() + 0.5) for f in (
        tn.log, tn.log1p, tn.log2, tn.log10, tn.sqrt, tn.rsqrt, tn.reciprocal)},
    **{f.name: lambda x, f=f: f(x.clamp(-0.9, 0.9)) for f in (tn.asin, tn.acos)},
    "numbers": lambda x: 2 - x * 3 / 4 + (1 / (x * x + 1)) ** 0.5 - x // 2,
    "alpha": lambda x: tn.add(x, x * x, alpha=3) + tn.sub(1.0, x, alpha=2),
    "compare": lambda x: ((x > 0), (x <= 0.5) & (x != 1), ~(x >= 0) | (x < -1), x == x),
    "mixed dtypes": lambda x: (x > 0) * x + (x > 0).long() + tn.where(x > 0, x, 0.0),
    "cast": lambda x: (x * 3).int().float() + x.double(),
    "masked": lambda x: x.masked_fill(x < 0, -1.0).tril() + x.triu(1),
    "clamp": lambda x: x.clamp(-0.5, 0.5) + x.clamp_min(0) + tn.maximum(x, x * x) - tn.minimum(x, -x),
    "sums": lambda x: (x.sum(), x.sum(1), x.mean((0, 1), keepdim=True), x.sum(-1, keepdim=True), (x > 0).sum(0)),
    "extremes": lambda x: (x.max(), x.min(1), x.max(1, keepdim=True), x.amax((0, 1)), x.argmax(1), x.argmin()),
    "moments": lambda x: (x.var(1), x.std(1, unbiased=False), x.mean(), x.norm(dim=1), x.norm(p=3, dim=1), x.norm(1)),
    "logsumexp": lambda x: x.logsumexp(1) + x.softmax(0).log_softmax(1).sum(1),
    "products": lambda x: (x.prod(1), x.cumsum(1), x.exp().cumsum(0)),
    "truth": lambda x: ((x > 0).all(1), (x > 1).any(0), (x > 9).any()),
    "shapes": lambda x: (x.T, x.reshape(-1), x.unsqueeze(1).expand(-1, 3, -1), x.repeat(2, 2), x.flip(1),
                         x.view(2, -1)),
    "joined": lambda x: (tn.cat([x, x * 2], 1), tn.stack([x, x], 0), *x.split([2, 4], 1), *x.unbind(1)[:2]),
    "indexed": lambda x: (x[:, 1], x[..., -1], x[:, 1:5:2], x[:, None, :-1], x[:, [3, 0]], x[0], x[-1, 2]),
    "gathered": lambda x: x.gather(1, x.argmax(1, keepdim=True)),
    "matmul": lambda x: (x @ x.T, x @ tn.ones(6), x.unsqueeze(1) @ x.unsqueeze(2), tn.einsum("ni,nj->nij", x, x)),
    "one-hot": lambda x: F.one_hot(tn.tensor([0, 2]), 3).float() + x[:, :3].sum(),
    "flattened batch": lambda x: (x.reshape(-1, 2, 3).flatten(0, 1) * 2).reshape(-1, 6),
    "twice the batch": lambda x: tn.cat([x, x]).expand(3, -1, -1),
    "zeros for the batch": lambda x: tn.cat([x, tn.zeros(len(x), 2), tn.arange(3.0).expand(len(x), 3)], 1),
    "in place": lambda x: (x * 2).add_(1).relu_(),
    "copied in place": lambda x: (y := x * 2, z := x + 1, y.copy_(x), y + z)[3],
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name):
    agree(FUNCTIONS[name], (2, 6), batch=4)


@pytest.mark.parametrize("dtype", ["float64", "int64"])
def test_other_dtypes(dtype):
    rng = np.random.default_rng(0)
    agree(lambda x: (x * 2 + x.sum(1, keepdim=True) - x.amax(0), x > 1),
          (2, 6), draw=lambda s: rng.integers(-5, 5, s).astype(dtype))  # fmt: skip


def test_names_and_sizes():
    model = Calls(lambda x, y: (x + y, x.flatten()))
    export(model, (tn.ones(1, 3), tn.ones(1, 3)), "a.onnx", input_names=["left", "right"], output_names=["sum", "all"])
    graph = onnx.load("a.onnx").graph
    sizes = {v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in
             [*graph.input, *graph.output]}  # fmt: skip
    assert sizes == {"left": ["batch", 3], "right": ["batch", 3], "sum": ["batch", 3], "all": ["3 batch"]}
    export(nn.Linear(3, 2), tn.ones(1, 3), "b.onnx", batch_dim=None)
    graph = onnx.load("b.onnx").graph
    assert [v.name for v in (*graph.input, *graph.output)] == ["input", "output"]
    assert graph.input[0].type.tensor_type.shape.dim[0].dim_value == 1


def test_one_input_may_be_without_a_batch():
    table = tn.rand(4, 3)
    export(Calls(lambda x, t: x @ t.T), (tn.rand(2, 3), table), "m.onnx", batch_dim=(0, None))
    x = np.random.default_rng(0).random((7, 3), np.float32)
    np.testing.assert_allclose(run("m.onnx", x, table.numpy())[0], x @ table.numpy().T, rtol=1e-5)


def test_nothing_of_the_model_changes():
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(0.5), nn.ReLU(inplace=True))
    before = {k: v.clone() for k, v in model.state_dict().items()}
    x = -tn.ones(4, 3)
    state = tn.get_rng_state()
    export(model, x, "m.onnx")
    assert model.training and all(m.training for m in model)
    assert all((before[k] == v).all() for k, v in model.state_dict().items())
    assert (x == -1).all() and (tn.get_rng_state() == state).all()
    assert model(x).grad_fn is not None, "and it can still be trained"


def test_pruned_weights_are_written_as_they_are_used():
    model = nn.Sequential(nn.Linear(6, 4))
    nn.utils.prune.l1_unstructured(model[0], "weight", 0.5)
    agree(model, ROWS)


class Deep(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.body = nn.Sequential(nn.ReLU(), Calls(function))

    def forward(self, x):
        return self.body(x)


def one(x):
    """1, whatever the input: two runs of the model agree."""
    return (x.sum() > -99).long()


REFUSED = {
    "no operator": (lambda x: x.sort(1)[0], NotImplementedError, r"sort in model\.body\.1 \(Calls\) has no operator"),
    "a mask": (lambda x: x[x > 0], RuntimeError, r"index of getitem in model\.body\.1 .*depends on the input"),
    "several indices": (lambda x: x[[0, 1], [1, 0]], NotImplementedError, r"model\.body\.1 .*several tensors at once"),
    "numpy": (lambda x: x + tn.tensor(x.numpy() * 2), RuntimeError, r"\(numpy\(\) in model\.body\.1 .*more than ops"),
    "item": (lambda x: x * x.sum().item(), RuntimeError, r"\(item\(\) in model\.body\.1 .*more than ops"),
    "random": (lambda x: x + tn.rand(6), RuntimeError, r"drawn at random"),
    "a view written": (lambda x: (v := x.reshape(-1, 3, 2), x.mul_(2), v + 1)[2], RuntimeError, r"written in place"),
    "a part written": (lambda x: (y := tn.zeros(6), y.__setitem__(0, one(x)), x + y)[2], RuntimeError, "in place"),
    "a view filled": (lambda x: (y := tn.zeros(6), y[:3].fill_(one(x)), x + y)[2], RuntimeError, "written in place"),
    "seen by a view": (lambda x: (y := tn.zeros(6), v := y[:3], y.fill_(one(x)), v + 1)[3], RuntimeError, "in place"),
    "the input copied": (lambda x: tn.zeros(len(x), 6).copy_(x) + 1, RuntimeError, "written in place"),
    "copied and read": (lambda x: x * tn.zeros(1).copy_(one(x)).item(), RuntimeError, "written in place"),
    "filled": (lambda x: (y := (x > -99).float(), y.fill_(1.0), x * y)[2], RuntimeError, "written in place"),
    "other ops": (lambda x: x + 1 if len(x) == 2 else x * 2, RuntimeError, r"runs other ops .*batch_dim=None"),
    "more ops": (lambda x: x + 1 if len(x) == 2 else x * 2 + 1, RuntimeError, r"other ops|and 3 for another"),
    "no result": (lambda x: None, RuntimeError, r"returns no tensor"),
    "samples": (lambda x: x + tn.arange(float(len(x))).reshape(-1, 1), RuntimeError, r"goes with the batch"),
    "odd sizes": (lambda x: tn.zeros(len(x) ** 2) + x.sum(), RuntimeError, r"no multiple of it"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_said_is_refused_and_old_files_stay(case, tmp_path):
    function, error, message = REFUSED[case]
    (tmp_path / "m.onnx").write_bytes(b"old")
    with pytest.raises(error, match=message):
        export(Deep(function), tn.rand(1, 6), "m.onnx")
    assert [p.name for p in tmp_path.iterdir()] == ["m.onnx"] and (tmp_path / "m.onnx").read_bytes() == b"old"


TABLE = tn.arange(12.0).reshape(4, 3)
LOOKS = {
    "if": ("bool()", lambda x: x * 2 if x.sum() > -99 else x),
    "and": ("bool()", lambda x: x * (one(x) and 3)),
    "any": ("bool()", lambda x: x * 2 if (x > -99).any() else x),
    "in": ("bool()", lambda x: x * 2 if 1 in one(x).reshape(1) else x),
    "max of Python": ("bool()", lambda x: max(list(x.reshape(-1)))),
    "equal": ("bool()", lambda x: x * 2 if tn.equal(one(x), tn.tensor(1)) else x),
    "item": ("item()", lambda x: x * one(x).item()),
    "a view": ("item()", lambda x: x * one(x).reshape(1, 1)[0].item()),
    "detached": ("item()", lambda x: x * one(x).detach().data.item()),
    "written in place": ("item()", lambda x: x * one(x).mul_(2).item()),
    "a format": ("item()", lambda x: x * int(f"{one(x):d}")),
    "float": ("float()", lambda x: x * float(one(x))),
    "int": ("int()", lambda x: x * int(one(x))),
    "math": ("float()", lambda x: x * math.sqrt(one(x))),
    "tolist": ("tolist()", lambda x: x * one(x).tolist()),
    "numpy": ("numpy()", lambda x: x * one(x).numpy()),
    "asarray": ("np.asarray()", lambda x: x * np.asarray(one(x))),
    "a ufunc": ("np.asarray()", lambda x: x * tn.tensor(np.exp(one(x)))),
    "dlpack": ("from_dlpack()", lambda x: x * tn.from_dlpack(one(x))),
    "deepcopy": ("deepcopy()", lambda x: x * copy.deepcopy(one(x))),
    "a loop": ("a tensor given for an int", lambda x: sum(x for _ in range(one(x)))),
    "a slice": ("a tensor given for an int", lambda x: x[:, :one(x)]),
    "select": ("a tensor given for an int", lambda x: x.select(1, one(x))),
    "a size": ("a tensor given for an int", lambda x: x.sum() + tn.zeros(one(x))),
    "an index": ("index of getitem", lambda x: x[:, one(x)]),
    "an index of a constant": ("index of getitem", lambda x: TABLE[one(x).reshape(1)]),
    "an index in a list": ("index of getitem", lambda x: TABLE[[one(x), 2]]),
    "written at an index": ("index of getitem", lambda x: (y := TABLE.clone(), y.__setitem__(one(x), 0.0), y)[2]),
    "index_select": ("a vector of indices", lambda x: TABLE.index_select(0, one(x).reshape(1))),
    "repeat_interleave": ("repeat_interleave()", lambda x: TABLE.repeat_interleave(one(x))),
    "tensor": ("tensor()", lambda x: x * tn.tensor(one(x))),
    "tensor of a list": ("a tensor given for a number", lambda x: x * tn.tensor([1, one(x), 1, 1, 1, 1])),
    "full": ("a tensor given for a number", lambda x: x * tn.full((6,), one(x))),
    "pad": ("a tensor given for a number", lambda x: F.pad(x, (1, 1), value=one(x))),
    "one_hot": ("one_hot() or the like", lambda x: F.one_hot(one(x), 3)),
    "bernoulli": ("bernoulli()", lambda x: x * tn.bernoulli(one(x).float())),
    "multinomial": ("multinomial()", lambda x: x * tn.multinomial(one(x).float().reshape(1), 1)),
}  # fmt: skip


@pytest.mark.parametrize("case", LOOKS)
def test_a_model_that_looks_at_its_input_is_refused(case, tmp_path):
    """However the numbers come out, and though they are the same for most inputs."""
    how, function = LOOKS[case]
    (tmp_path / "m.onnx").write_bytes(b"old")
    with pytest.raises(RuntimeError, match=rf"numbers of its input \({re.escape(how)} in model\.body\.1 \(Calls\)\)"):
        export(Deep(function), tn.rand(1, 6), "m.onnx")
    assert [p.name for p in tmp_path.iterdir()] == ["m.onnx"] and (tmp_path / "m.onnx").read_bytes() == b"old"
    assert Deep(function)(tn.rand(1, 6)) is not None, "and afterwards it runs as ever"


class Choosing(nn.Module):
    """Looks at its buffer, its parameter, a constant and the sizes of its input."""

    def __init__(self):
        super().__init__()
        self.register_buffer("factor", tn.tensor([2.0]))
        self.register_buffer("order", tn.tensor([2, 0, 1]))
        self.register_buffer("runs", tn.tensor(0))
        self.weight = nn.Parameter(tn.tensor([[3.0, -1.0, 4.0]]))

    def forward(self, x):
        if self.factor > 1 and (self.weight < 0).any():
            x = x * self.factor.item() + float(self.weight.detach().max())
        if tn.tensor(1) in tn.arange(3) and len(x) and x.shape[1] == 3:
            x = x[:, self.order] + tn.tensor(self.order.numpy()) * int(self.order[0])
        x = x.index_select(1, self.order) + tn.full((3,), self.factor[0]) + F.one_hot(self.order[0], 3)
        self.runs += 1
        shift = tn.zeros(3)
        shift[1:] = int(self.runs) // 100 + 7.0
        x = x + shift.mul_(2)
        return x - tn.tensor(self.weight.tolist()) + np.asarray(self.factor * 2)


def test_a_model_may_look_at_what_does_not_depend_on_its_input():
    agree(Choosing(), (1, 3))


def test_ops_may_look_whether_numbers_are_in_range():
    rng = np.random.default_rng(0)
    agree(nn.Embedding(4, 3, padding_idx=1), (1, 3), draw=lambda shape: rng.integers(0, 4, shape))
    agree(lambda n: TABLE.gather(0, n), (1, 3), draw=lambda shape: rng.integers(0, 4, shape), batch=4)


def test_a_mask_of_a_transformer_may_be_an_input():
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False).eval()
    causal = tn.ones(4, 4, dtype=tn.bool).triu(1)
    export(Calls(encoder), (tn.rand(2, 4, 8), causal), "m.onnx", batch_dim=(0, None))
    x = tn.rand(3, 4, 8)
    for mask in (causal, causal.T, tn.zeros(4, 4, dtype=tn.bool)):
        np.testing.assert_allclose(run("m.onnx", x.numpy(), mask.numpy())[0], encoder(x, mask).detach().numpy(),
                                   rtol=1e-4, atol=1e-6)  # fmt: skip


@pytest.mark.parametrize(("arguments", "options", "error", "message"), [
    ((lambda x: x, tn.ones(1, 3)), {}, TypeError, "must be a tn.nn.Module, not function"),
    ((nn.ReLU(), [1.0]), {}, TypeError, "args must be a Tensor, or a tuple"),
    ((nn.ReLU(), tn.ones(1, 3)), {"batch_dim": 2}, IndexError, "Dimension out of range"),
    ((nn.ReLU(), tn.ones(())), {}, ValueError, "0-d tensor"),
    ((nn.ReLU(), tn.ones(1, 3)), {"batch_dim": (0, 0)}, ValueError, "2 entries for 1 tensors"),
    ((nn.ReLU(), tn.ones(0, 3)), {}, ValueError, "must hold a sample"),
    ((nn.ReLU(), tn.ones(1, 3)), {"input_names": ["a", "b"]}, ValueError, "input_names must be 1 different name,"),
    ((nn.ReLU(), tn.ones(1, 3)), {"input_names": "x"}, ValueError, "input_names must be 1"),
    ((nn.ReLU(), tn.ones(1, 3)), {"output_names": ["input"]}, ValueError, r"other than \['input'\]"),
])  # fmt: skip
def test_bad_arguments(arguments, options, error, message):
    with pytest.raises(error, match=message):
        export(*arguments, "m.onnx", **options)


def test_a_folder_that_is_not_there():
    with pytest.raises(OSError, match="could not write the file"):
        export(nn.ReLU(), tn.ones(1, 3), "nowhere/m.onnx")


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r'pip install "tinynet-dl\[onnx\]"'):
        export(nn.ReLU(), tn.ones(1, 3), "m.onnx")


def test_operators_are_seen_again_afterwards():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        export(Calls(lambda x: x + x), tn.ones(1, 3), "m.onnx")
    x = tn.ones(2, requires_grad=True)
    (x + x * x).sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]
