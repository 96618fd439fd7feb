"""The public surface beside PyTorch's, by introspection: arguments with their order and defaults; attributes, text and
state of every layer."""

from __future__ import annotations

import importlib
import inspect
import warnings

import pytest

import tinynet as tn
from tinynet.ops._primitive import Primitive, spoken

torch = pytest.importorskip("torch")

ROOMS = {
    "nn": "nn",
    "nn.functional": "nn.functional",
    "nn.init": "nn.init",
    "nn.utils": "nn.utils",
    "nn.utils.prune": "nn.utils.prune",
    "optim": "optim",
    "optim.lr_scheduler": "optim.lr_scheduler",
    "autograd.functional": "autograd.functional",
    "data": "utils.data",
}
# Arguments of PyTorch's for what is left out on purpose: its own ways to run, strategies, results in `out`.
LEFT_OUT = {"foreach", "fused", "capturable", "differentiable", "out", "vectorize", "strategy"}
LEFT_OUT |= {"outer_jacobian_strategy", "pin_memory_device", "in_order"}
# What PyTorch has nothing of: tables and folders of images on the way in.
OURS_ALONE = {"ImageFolder", "OneHotEncoder", "StandardScaler", "Table", "pack", "read_csv", "unpack"}


def room(library, path):
    return importlib.import_module(f"{library.__name__}.{path}")


def parameters(thing):
    """(name, default) of what a call takes, in order; None where it cannot be said."""
    if isinstance(thing, Primitive):
        return [*((spoken(name), "_empty") for name in thing.params), *thing.options.items()]
    try:
        found = [p for p in inspect.signature(thing).parameters.values() if p.name not in LEFT_OUT | {"self"}]
    except (TypeError, ValueError):  # written in C
        return None
    if any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in found):
        return None
    return [(p.name, named(p.default)) for p in found]


def named(default):
    """Functions and generators are compared by their names alone."""
    plain = isinstance(default, (int, float, str, bool, tuple, type(None)))
    return default if plain else getattr(default, "__name__", type(default).__name__)


def pairs():
    for path, theirs in ROOMS.items():
        ours, other = room(tn, path), room(torch, theirs)
        for name in (name for name in ours.__all__ if name not in OURS_ALONE):
            thing = getattr(ours, name)
            if callable(thing) and getattr(thing, "__module__", "").startswith("tinynet"):
                yield pytest.param(thing, getattr(other, name, None), id=f"{path}.{name}")
                for method in methods(thing):
                    yield pytest.param(
                        getattr(thing, method),
                        getattr(getattr(other, name, None), method, None),
                        id=f"{path}.{name}.{method}",
                    )


def methods(thing):
    """The public methods that a class writes itself."""
    if not inspect.isclass(thing):
        return []
    return [name for name, value in vars(thing).items() if not name.startswith("_") and inspect.isfunction(value)]


@pytest.mark.parametrize(("ours", "theirs"), [*pairs()])
def test_arguments(ours, theirs):
    assert theirs is not None, "PyTorch has no such name"
    expected = parameters(theirs)
    assert expected is None or parameters(ours) == expected


# ---- what can be seen of a layer
LAYERS = {
    "Linear": "(3, 2)",
    "Bilinear": "(2, 3, 4)",
    "Conv1d": "(2, 4, 3, groups=2)",
    "Conv2d": "(2, 4, (3, 1), padding='same', bias=False)",
    "ConvTranspose1d": "(2, 4, 3, stride=2, output_padding=1)",
    "ConvTranspose2d": "(2, 4, 3, dilation=2)",
    "MaxPool1d": "(2, return_indices=True)",
    "MaxPool2d": "((2, 3), padding=1)",
    "AvgPool1d": "(2, 1)",
    "AvgPool2d": "(2, ceil_mode=True)",
    "AdaptiveAvgPool1d": "(2)",
    "AdaptiveAvgPool2d": "((2, None))",
    "AdaptiveMaxPool1d": "(2)",
    "AdaptiveMaxPool2d": "(2)",
    "BatchNorm1d": "(3, momentum=None)",
    "BatchNorm2d": "(3, track_running_stats=False)",
    "LayerNorm": "((2, 3), bias=False)",
    "GroupNorm": "(2, 4, affine=False)",
    "InstanceNorm1d": "(3)",
    "InstanceNorm2d": "(3, affine=True, track_running_stats=True)",
    "RMSNorm": "(3)",
    "Dropout": "(0.25)",
    "Dropout2d": "(inplace=True)",
    "Embedding": "(4, 3, padding_idx=-1, max_norm=2.0)",
    "RNN": "(2, 3, nonlinearity='relu', bidirectional=True)",
    "LSTM": "(2, 3, 2, batch_first=True)",
    "GRU": "(2, 3, bias=False)",
    "RNNCell": "(2, 3, nonlinearity='relu')",
    "LSTMCell": "(2, 3)",
    "GRUCell": "(2, 3, bias=False)",
    "MultiheadAttention": "(4, 2, kdim=3, vdim=5, add_bias_kv=True)",
    "TransformerEncoderLayer": "(4, 2, activation='gelu', norm_first=True)",
    "TransformerDecoderLayer": "(4, 2, batch_first=True)",
    "Flatten": "(0)",
    "Unflatten": "(1, (2, 3))",
    "Upsample": "(scale_factor=2, mode='bilinear')",
    "PixelShuffle": "(2)",
    "PixelUnshuffle": "(2)",
    "ZeroPad2d": "(1)",
    "ConstantPad1d": "(1, 2.5)",
    "ConstantPad2d": "((1, 2, 3, 4), 0.5)",
    "ReflectionPad2d": "(1)",
    "PReLU": "(3, 0.1)",
    "LeakyReLU": "(0.1, True)",
    "ELU": "(2.0)",
    "GELU": "('tanh')",
    "Softplus": "(2, 10)",
    "Hardtanh": "(-2, 2)",
    "GLU": "(1)",
    **dict.fromkeys(["Softmax", "Softmin", "LogSoftmax"], "(1)"),
    **dict.fromkeys(["ReLU", "ReLU6", "SELU", "SiLU", "Mish", "Softsign", "Sigmoid", "LogSigmoid", "Tanh"], "()"),
    **dict.fromkeys(["Hardsigmoid", "Hardswish", "MSELoss", "L1Loss", "NLLLoss", "BCELoss", "KLDivLoss"], "()"),
    **dict.fromkeys(["CrossEntropyLoss", "BCEWithLogitsLoss", "HingeEmbeddingLoss", "MarginRankingLoss"], "()"),
    **dict.fromkeys(["CosineEmbeddingLoss", "TripletMarginLoss"], "()"),
    "SmoothL1Loss": "(beta=0.5)",
    "HuberLoss": "('sum', 2.0)",
    **dict.fromkeys(["Sequential", "ModuleList", "ModuleDict", "ParameterList", "ParameterDict", "Identity"], "()"),
}
OWN_FLAGS = {"activation_relu_or_gelu"}  # for PyTorch's fused kernels alone


def test_every_layer_is_looked_at():
    layers = {n for n in tn.nn.__all__ if inspect.isclass(getattr(tn.nn, n))}
    stacks = {"Module", "Parameter", "TransformerEncoder", "TransformerDecoder"}  # need others to be made
    assert layers - stacks == LAYERS.keys()


@pytest.mark.parametrize("name", LAYERS)
def test_attributes(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours, theirs = (eval(f"nn.{name}{LAYERS[name]}", {"nn": library.nn}) for library in (tn, torch))
    assert repr(ours) == repr(theirs)
    assert [(k, t.shape) for k, t in ours.state_dict().items()] == [
        (k, tuple(t.shape)) for k, t in theirs.state_dict().items()
    ]
    assert [*dict(ours.named_buffers())] == [*dict(theirs.named_buffers())]
    mine, others = (
        {key for key in (*vars(layer), *getattr(layer, "__constants__", ())) if not key.startswith("_")}
        for layer in (ours, theirs)
    )
    assert not mine - {key for key in mine if hasattr(theirs, key)}
    for key in others - OWN_FLAGS:
        value = getattr(theirs, key)
        if isinstance(value, (int, float, str, bool, tuple, type(None))):
            assert getattr(ours, key) == value, key
        else:
            assert hasattr(ours, key), key
