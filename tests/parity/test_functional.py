"""tn.nn.functional beside torch.nn.functional: values, and gradients of first and second order."""

from __future__ import annotations

import inspect
import re

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import tinynet as tn
from tinynet.testing import arrays, conv_configs

torch = pytest.importorskip("torch")

DTYPES = st.sampled_from(["float64", "float32"])
TOLERANCE = {"float64": 1e-9, "float32": 2e-4}


def tensor_of(library, a, wanted):
    t = library.tensor(np.array(a, order="C"))
    return t.requires_grad_() if wanted and a.dtype.kind == "f" else t


def derivatives(library, function, inputs, constants, cotangents):
    """The value, the gradients of <value, c>, and the gradients of <those gradients, c'>, by one library."""
    xs = [tensor_of(library, a, True) for a in inputs]
    fixed = [None if a is None else tensor_of(library, a, False) for a in constants]
    result = function(library.nn.functional, *xs, *fixed)
    extra = []
    if isinstance(result, tuple):  # with indices
        result, *extra = result
    c, *more = (tensor_of(library, a, False) for a in cotangents(tuple(result.shape)))
    first = library.autograd.grad((result * c).sum(), xs, create_graph=True)
    second = [None] * len(xs)
    linked = sum((g * k).sum() for g, k in zip(first, more, strict=True))
    if linked.requires_grad:
        second = library.autograd.grad(linked, xs, allow_unused=True)
    second = [library.zeros_like(x) if g is None else g for x, g in zip(xs, second, strict=True)]
    return [a.detach().numpy() for a in (result, *extra, *first, *second)]


def agree(function, inputs, *constants):
    """function(F, *tensors) gives the same in both libraries; the inputs are differentiated."""
    def cotangents(shape):
        rng = np.random.default_rng(0)
        shapes = (shape, *(a.shape for a in inputs))
        return [np.asarray(rng.standard_normal(s), inputs[0].dtype) for s in shapes]

    ours = derivatives(tn, function, inputs, constants, cotangents)
    theirs = derivatives(torch, function, inputs, constants, cotangents)
    names = ["value", *["indices"] * (len(ours) - 1 - 2 * len(inputs))]
    names += [f"gradient {k} of order {order}" for order in (1, 2) for k in range(len(inputs))]
    for name, a, b in zip(names, ours, theirs, strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype, (name, a.shape, b.shape, a.dtype, b.dtype)
        tolerance = TOLERANCE[inputs[0].dtype.name]
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance, err_msg=name)


# ---- convolution
@given(conv_configs(max_batch=2, max_channels=2), DTYPES, st.booleans(), st.booleans(), st.data())
def test_conv2d(config, dtype, bias, batched, data):
    x, w, b = (data.draw(arrays(shape, dtype)) for shape in (config.x, config.w, config.w[:1]))
    inputs = [x if batched else x[0], w, *([b] if bias else [])]
    agree(lambda F, *t: F.conv2d(*t, **config.options), inputs)


@given(conv_configs(dims=1, max_batch=2), DTYPES, st.data())
def test_conv1d(config, dtype, data):
    inputs = [data.draw(arrays(shape, dtype)) for shape in (config.x, config.w, config.w[:1])]
    agree(lambda F, *t: F.conv1d(*t, **config.options), inputs)


@pytest.mark.filterwarnings("ignore:Using padding='same':UserWarning")  # torch's: an even kernel makes a copy
@given(conv_configs(max_batch=2, max_channels=2), DTYPES, st.sampled_from(["same", "valid"]), st.data())
def test_padding_by_name(config, dtype, padding, data):
    reach = [d * (k - 1) + 1 for d, k in zip(config.dilation, config.w[2:], strict=True)]
    assume(padding == "same" or all(r <= n for r, n in zip(reach, config.x[2:], strict=True)))
    x, w = (data.draw(arrays(shape, dtype)) for shape in (config.x, config.w))
    options = {"dilation": config.dilation, "groups": config.groups, "padding": padding}
    agree(lambda F, *t: F.conv2d(*t, **options), [x, w])


# ---- pooling
@st.composite
def poolings(draw, dilations):
    """Images whose pixels are often equal, and the arguments of a pooling that torch takes."""
    size, stride = (draw(st.tuples(st.integers(1, 3), st.integers(1, 3))) for _ in range(2))
    dilation = draw(st.tuples(st.integers(1, 2), st.integers(1, 2))) if dilations else (1, 1)
    padding = tuple(draw(st.integers(0, k // 2)) for k in size)
    axes = zip(size, dilation, padding, strict=True)
    image = [max(d * (k - 1) + 1 - 2 * p, d) + draw(st.integers(0, 4)) for k, d, p in axes]
    shape = (*draw(st.sampled_from([(2, 2), (1, 1), (2,)])), *image)
    stride = draw(st.none() | st.just(stride))
    options = {"stride": stride, "padding": padding, "ceil_mode": draw(st.booleans())}
    x = np.round(draw(arrays(shape, draw(DTYPES))))
    return x, size, options | ({"dilation": dilation} if dilations else {})


@given(poolings(dilations=True), st.booleans())
def test_max_pool2d(pooling, return_indices):
    x, size, options = pooling
    agree(lambda F, x: F.max_pool2d(x, size, **options, return_indices=return_indices), [x])


@given(poolings(dilations=True), st.data())
def test_max_pool2d_of_nan_and_infinity(pooling, data):
    x, size, options = pooling
    x[data.draw(arrays(x.shape, "bool"))] = data.draw(st.sampled_from([np.nan, -np.inf]))
    x[data.draw(arrays(x.shape, "bool")) & data.draw(arrays(x.shape, "bool"))] = np.inf
    ours = tn.nn.functional.max_pool2d(tn.tensor(x), size, **options, return_indices=True)
    theirs = torch.nn.functional.max_pool2d(torch.tensor(x), size, **options, return_indices=True)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


@given(poolings(dilations=False), st.booleans(), st.sampled_from([None, 3, -2]))
def test_avg_pool2d(pooling, count_include_pad, divisor_override):
    x, size, options = pooling
    more = {"count_include_pad": count_include_pad, "divisor_override": divisor_override}
    agree(lambda F, x: F.avg_pool2d(x, size, **options, **more), [x])


# ---- activations
def test_relu():
    agree(lambda F, x: F.relu(x * 2), [np.array([-1.0, 0.0, 2.0, -0.0])])


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@given(x=arrays(dtype="float32", min_value=-30, max_value=30), data=st.data())
def test_softmax(name, x, data):
    dim = data.draw(st.integers(-x.ndim, x.ndim - 1)) if x.ndim else 0
    x = x.astype(data.draw(DTYPES))
    agree(lambda F, x: getattr(F, name)(x, dim), [x])


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax_of_infinite_scores(name):
    rows = [[-np.inf, 0, 1], [-np.inf, -np.inf, -np.inf], [np.inf, 0, 1], [np.nan, 0, 1], [1e4, -1e4, 0]]
    ours = getattr(tn, name)(tn.tensor(rows), 1).numpy()
    np.testing.assert_allclose(ours, getattr(torch, name)(torch.tensor(rows), 1).numpy(), rtol=1e-6)


@given(st.lists(st.integers(1, 3), max_size=3), st.booleans(), DTYPES, st.data())
def test_linear(lead, bias, dtype, data):
    inputs = [data.draw(arrays(shape, dtype)) for shape in ((*lead, 3), (2, 3), (2,))]
    agree(lambda F, *t: F.linear(*t), inputs[: 3 if bias else 2])


# ---- losses
@st.composite
def labelled(draw):
    """Scores, labels, a weight for each class, and a label to ignore."""
    shape = draw(st.sampled_from([(3,), (1, 1), (2, 3), (3, 4), (2, 3, 2), (2, 2, 2, 3)]))
    dtype, classes = draw(DTYPES), shape[min(1, len(shape) - 1)]
    scores = draw(arrays(shape, dtype))
    labels = draw(arrays(shape[:1] + shape[2:] if len(shape) > 1 else (), "int64", 0, classes - 1))
    weight = draw(arrays((classes,), dtype, min_value=0.1, max_value=2))
    ignore_index = draw(st.sampled_from([-100, 0, 1]))
    return scores, labels, weight, -100 if (labels == ignore_index).all() else ignore_index


def every_kind_of_loss(test):
    for name, values in (("reduction", ["none", "mean", "sum"]), ("weighted", [False, True])):
        test = pytest.mark.parametrize(name, values)(test)
    return settings(max_examples=8)(test)


@every_kind_of_loss
@given(case=labelled(), smoothing=st.sampled_from([0.0, 0.1, 1.0]))
def test_cross_entropy_of_labels(case, reduction, weighted, smoothing):
    scores, labels, weight, ignore_index = case
    options = {"ignore_index": ignore_index, "reduction": reduction, "label_smoothing": smoothing}

    def loss(F, x, t, w):
        return F.cross_entropy(x, t, w, **options)

    agree(loss, [scores], labels, weight if weighted else None)


def test_labels_of_one_byte():
    scores, labels = np.random.default_rng(0).standard_normal((4, 3)), np.array([0, 2, 1, 1], "uint8")
    for name in ("cross_entropy", "nll_loss"):
        agree(lambda F, x, t, name=name: getattr(F, name)(x * x, t), [scores], labels)


@every_kind_of_loss
@given(case=labelled(), smoothing=st.sampled_from([0.0, 0.1]), data=st.data())
def test_cross_entropy_of_probabilities(case, reduction, weighted, smoothing, data):
    scores, _, weight, _ = case
    target = data.draw(arrays(scores.shape, scores.dtype, min_value=0, max_value=1))

    def loss(F, x, q, w):
        return F.cross_entropy(x, q, w, reduction=reduction, label_smoothing=smoothing)

    agree(loss, [scores, target], weight if weighted else None)


@every_kind_of_loss
@given(case=labelled())
def test_nll_loss(case, reduction, weighted):
    scores, labels, weight, ignore_index = case

    def loss(F, x, t, w):
        log_p = F.log_softmax(x, min(1, x.ndim - 1))
        return F.nll_loss(log_p, t, w, ignore_index=ignore_index, reduction=reduction)

    agree(loss, [scores], labels, weight if weighted else None)


@every_kind_of_loss
@given(x=arrays(), data=st.data())
def test_mse_loss(x, reduction, weighted, data):
    y, w = data.draw(arrays(x.shape)), data.draw(arrays(x.shape, min_value=0.1, max_value=2))

    def loss(F, x, y, w):
        return F.mse_loss(x, y, reduction=reduction, weight=w if weighted else None)

    agree(loss, [x, y], w)


# ---- calls and errors
@pytest.mark.parametrize("name", ["relu", "softmax", "log_softmax", "cross_entropy", "nll_loss", "mse_loss"])
def test_arguments_have_torchs_names_order_and_defaults(name):
    ours = inspect.signature(getattr(tn.nn.functional, name)).parameters
    theirs = inspect.signature(getattr(torch.nn.functional, name)).parameters
    assert [(p.name, p.default) for p in ours.values()] == [(p.name, p.default) for p in theirs.values()]


def call(library, text):
    """The type of exception that text raises."""
    F, t = library.nn.functional, library
    names = {"F": F, "t": t, "x": t.zeros(2, 3, 8, 8), "w": t.zeros(4, 3, 3, 3), "s": t.zeros(4, 3)}
    names["k"] = t.tensor([0, 1, 2, 0])
    try:
        eval(text, names)
    except Exception as e:
        return e
    return None


ERRORS = """
F.conv2d(x, t.zeros(4, 2, 3, 3))          F.conv2d(x, w, groups=0)               F.conv2d(x, w, t.zeros(3))
F.conv2d(t.zeros(2, 3, 2, 2), w)          F.conv2d(x, w, stride=0)               F.conv2d(x, w, dilation=0)
F.conv2d(x, w, padding=-1)                F.conv2d(x, w, stride=(1, 2, 3))       F.conv2d(x, w, stride=1.5)
F.conv2d(x, w, padding="same", stride=2)  F.conv2d(x, w, padding="full")         F.conv2d(x.double(), w)
F.conv2d(x[0, 0], w)                      F.conv2d(x, w[0])                      F.conv2d(x.numpy(), w)
F.conv1d(x, w)                            F.max_pool2d(x, 0)                     F.max_pool2d(x, 2, 0)
F.max_pool2d(x, 2, padding=2)             F.max_pool2d(x, 2, padding=-1)         F.max_pool2d(x, 9)
F.max_pool2d(x[0, 0], 2)                  F.max_pool2d(x[:, :0], 2)              F.max_pool2d(x, 2.0)
F.max_pool2d(x, 2, dilation=0)            F.max_pool2d(x > 0, 2)                 F.avg_pool2d(x, 0)
F.avg_pool2d(x, 2, padding=2)             F.avg_pool2d(x, 9)                     F.avg_pool2d(x.int(), 2)
F.avg_pool2d(x, 2, divisor_override=0)    F.softmax(k, 0)                        F.softmax(s, 2)
F.log_softmax(k, 0)                       F.relu(s > 0)                          F.linear(s, t.zeros(5, 4))
F.linear(s, t.zeros(5, 3).double())       F.linear(s, t.zeros(2, 5, 3))
F.linear(s, t.zeros(5, 3), t.zeros(4))
F.cross_entropy(s, k + 1)                 F.cross_entropy(s, k - 1)              F.cross_entropy(s, k.int())
F.cross_entropy(s, k.float())             F.cross_entropy(s, k[:3])
F.cross_entropy(s, k[:, None])
F.cross_entropy(s, k, t.ones(2))          F.cross_entropy(s, k, t.ones(3).double())
F.cross_entropy(s, k, reduction="foo")    F.cross_entropy(s, k, label_smoothing=1.5)
F.cross_entropy(s, s, ignore_index=2)     F.cross_entropy(s, s.long())           F.cross_entropy(s.long(), k)
F.cross_entropy(x, t.zeros(2, 8, 7).long())                                      F.nll_loss(s, k[:3])
F.nll_loss(s, k + 1)                      F.nll_loss(s, k.float())               F.nll_loss(s.long(), k)
F.mse_loss(k, k)                          F.mse_loss(s, s, reduction="foo")
F.mse_loss(s, s, weight=t.ones(3))
"""


@pytest.mark.parametrize("text", [part.strip() for part in re.split(r"\n|  +", ERRORS) if part.strip()])
def test_errors_have_torchs_types(text):
    ours, theirs = call(tn, text), call(torch, text)
    assert theirs is not None, f"torch takes {text}"
    assert type(ours) is type(theirs), f"{text}\n  ours:   {ours!r}\n  theirs: {theirs!r}"
