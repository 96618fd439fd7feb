"""The losses: extremes, dtypes, every way to give a target, derivatives, and errors."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinynet as tn
import tinynet.nn.functional as F
from tinynet.testing import arrays, assert_close, gradcheck, gradgradcheck, shapes

NAN, INF = float("nan"), float("inf")


def leaf(a):
    return tn.tensor(np.asarray(a, "float64"), requires_grad=True)


# ---- cross-entropy
def test_a_mean_over_labels_is_weighted():
    log_p = tn.tensor([[0.5, 0.5], [0.25, 0.75], [0.5, 0.5]], dtype=tn.float64).log()
    labels, weight = tn.tensor([0, 1, 0]), tn.tensor([1.0, 3.0], dtype=tn.float64)
    a, b = np.log(2), np.log(4 / 3)
    for loss in (F.cross_entropy, F.nll_loss):
        assert loss(log_p, labels).item() == pytest.approx((a + b + a) / 3)
        assert loss(log_p, labels, weight).item() == pytest.approx((a + 3 * b + a) / 5)
        assert loss(log_p, labels, weight, ignore_index=0).item() == pytest.approx(b)
        assert loss(log_p, labels, weight, ignore_index=1).item() == pytest.approx(a)
        assert loss(log_p, labels, weight, reduction="sum").item() == pytest.approx(a + 3 * b + a)
    one_class, everyone = a + 3 * b + a, 0.5 * (a + 3 * a + np.log(4) + 3 * b + a + 3 * a)
    smooth = F.cross_entropy(log_p, labels, weight, label_smoothing=0.2)
    assert smooth.item() == pytest.approx((0.8 * one_class + 0.2 * everyone) / 5)


@st.composite
def labelled(draw):
    """Scores, labels and the arguments of a loss."""
    n, classes = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    rest = draw(st.sampled_from([(), (2,), (2, 1)]))
    scores = draw(arrays((n, classes, *rest)))
    labels = draw(arrays((n, *rest), "int64", 0, classes - 1))
    ignore_index = draw(st.sampled_from([-100, 0, -1]))
    if ignore_index < 0 and draw(st.booleans()):
        labels.flat[0] = ignore_index
    weight = draw(st.none() | arrays((classes,), min_value=0.1, max_value=2))
    options = {
        "weight": None if weight is None else tn.tensor(weight),
        "ignore_index": ignore_index,
        "reduction": draw(st.sampled_from(["none", "mean", "sum"])),
    }
    return leaf(scores), tn.tensor(labels), options


@given(labelled())
def test_cross_entropy_is_log_softmax_then_nll(case):
    scores, labels, options = case
    expected = F.nll_loss(tn.log_softmax(scores, 1), labels, **options)
    assert_close(F.cross_entropy(scores, labels, **options), expected, equal_nan=True)


@settings(max_examples=10)
@given(labelled(), st.sampled_from([0.0, 0.2, 1.0]))
def test_derivatives_of_losses_of_labels(case, smoothing):
    scores, labels, options = case
    if (labels == options["ignore_index"]).all():
        options["reduction"] = "sum"  # their mean is nan
    for loss, more in ((F.cross_entropy, {"label_smoothing": smoothing}), (F.nll_loss, {})):

        def f(x, loss=loss, more=more):
            return loss(x, labels, **options, **more)

        assert gradcheck(f, scores, atol=1e-7, rtol=1e-7)
        if loss is F.cross_entropy:  # nll_loss is linear
            assert gradgradcheck(f, scores, atol=1e-6, rtol=1e-6)


@settings(max_examples=10)
@given(labelled(), st.sampled_from([0.0, 0.2]), st.integers(0, 99))
def test_derivatives_of_the_loss_of_probabilities(case, smoothing, seed):
    scores, _, options = case
    options["ignore_index"] = -100
    weight = options.pop("weight")
    target = leaf(np.random.default_rng(seed).uniform(0.1, 1, scores.shape))
    inputs = [scores, target] + ([] if weight is None else [weight.requires_grad_()])

    def f(x, q, w=None):
        return F.cross_entropy(x, q, w, label_smoothing=smoothing, **options)

    assert gradcheck(f, inputs, atol=1e-7, rtol=1e-7)
    assert gradgradcheck(f, inputs, atol=1e-6, rtol=1e-6)


@given(labelled(), st.sampled_from([0.0, 0.2]))
def test_labels_are_probabilities_that_are_all_at_one_class(case, smoothing):
    scores, labels, options = case
    options["ignore_index"] = -100
    labels = labels.clamp(0)
    classes_last = np.eye(scores.shape[1])[labels.numpy()]
    target = tn.tensor(np.moveaxis(classes_last, -1, 1))
    if options["reduction"] == "mean" and options["weight"] is not None:
        options["reduction"] = "sum"  # a mean over labels is weighted, one over probabilities is not
    ours = F.cross_entropy(scores, labels, label_smoothing=smoothing, **options)
    assert_close(ours, F.cross_entropy(scores, target, label_smoothing=smoothing, **options))


def test_one_sample_without_a_batch():
    x, w = tn.tensor([1.0, 2.0, 3.0]), tn.tensor([1.0, 2.0, 4.0])
    for loss in (F.cross_entropy, F.nll_loss):
        whole = loss(x.unsqueeze(0), tn.tensor([2]), w)
        assert_close(loss(x, tn.tensor(2), w), whole)
        assert loss(x, tn.tensor(2), w, reduction="none").shape == ()
        assert loss(x, tn.tensor([2]), w, reduction="none").shape == (1,)
    q = tn.tensor([0.2, 0.3, 0.5])
    assert_close(F.cross_entropy(x, q, w), F.cross_entropy(x.unsqueeze(0), q.unsqueeze(0), w))
    assert F.cross_entropy(x, q, reduction="none").shape == ()


def test_enormous_scores_and_impossible_classes():
    x = tn.tensor([[1e4, 0.0, -INF]], requires_grad=True)
    loss = F.cross_entropy(x, tn.tensor([1]))
    loss.backward()
    assert_close(loss, tn.tensor(1e4))
    assert_close(x.grad, tn.tensor([[1.0, -1.0, 0.0]]))
    assert F.cross_entropy(x, tn.tensor([2])).item() == INF


def test_a_mean_of_nothing_is_nan_and_a_sum_zero():
    for loss in (F.cross_entropy, F.nll_loss):
        x, ignored = tn.zeros(2, 3, requires_grad=True), tn.full((2,), -100)
        assert np.isnan(loss(x, ignored).item())
        assert loss(x, ignored, reduction="sum").item() == 0
        assert np.isnan(loss(x[:0], ignored[:0]).item())
        assert loss(x[:0], ignored[:0], reduction="sum").item() == 0


def test_an_ignored_sample_has_no_gradient_even_if_its_scores_are_infinite():
    x = tn.tensor([[-INF, 1.0], [0.0, 0.0]], requires_grad=True)
    loss = F.cross_entropy(x, tn.tensor([0, 1]), ignore_index=0)
    loss.backward()
    assert_close(loss, tn.tensor(np.log(2), dtype=tn.float32))
    assert_close(x.grad, tn.tensor([[0.0, 0.0], [0.5, -0.5]]))


@pytest.mark.parametrize("dtype", [tn.float16, tn.float32, tn.float64])
def test_the_dtype_of_a_loss_is_that_of_its_input(dtype):
    x = tn.zeros(2, 3, dtype=dtype, requires_grad=True)
    labels = tn.tensor([0, 2], dtype=tn.uint8)
    weight = tn.ones(3, dtype=dtype)
    for loss in (F.cross_entropy(x, labels, weight, label_smoothing=0.1), F.nll_loss(x, labels)):
        loss.backward()
        assert loss.dtype == dtype
    loss = F.cross_entropy(x, tn.ones(2, 3, dtype=tn.float64))
    loss.backward()
    assert loss.dtype == tn.float64


def test_older_words_for_reduction():
    x, t = tn.zeros(2, 3), tn.tensor([0, 1])
    for loss, target in ((F.cross_entropy, t), (F.nll_loss, t), (F.mse_loss, tn.ones(2, 3))):
        for old, value, new in [
            ("size_average", False, "sum"),
            ("size_average", True, "mean"),
            ("reduce", False, "none"),
        ]:
            with pytest.warns(UserWarning, match=f"please use reduction='{new}' instead"):
                ours = loss(x, target, **{old: value})
            assert_close(ours, loss(x, target, reduction=new))


X, T = tn.zeros(4, 3), tn.tensor([0, 1, 2, 0])
MAP, LABELS = tn.zeros(2, 3, 4, 5), tn.zeros(2, 4, 5, dtype=tn.int64)
FOR_LABELS = [
    (
        lambda f: f(X, tn.tensor([0, 1, 3, 0])),
        IndexError,
        "Target 3 is out of bounds: target[2] must be in [0, 3)",
    ),
    (
        lambda f: f(X, tn.tensor([0, -1, 2, 0])),
        IndexError,
        "Target -1 is out of bounds: target[1] must be in [0, 3)",
    ),
    (lambda f: f(X, T - 100, ignore_index=1), IndexError, "Target -100 is out of bounds"),
    (lambda f: f(MAP, LABELS + 7), IndexError, "Target 7 is out of bounds: target[0, 0, 0]"),
    (lambda f: f(X[0], tn.tensor(3)), IndexError, "Target 3 is out of bounds: target must be in [0, 3)"),
    (lambda f: f(X, T.float()), RuntimeError, "expected scalar type Long or Byte for labels but got float32"),
    (lambda f: f(X, T.int()), RuntimeError, "expected scalar type Long or Byte for labels but got int32"),
    (lambda f: f(X, T > 0), RuntimeError, "expected scalar type Long or Byte for labels but got bool"),
    (lambda f: f(X, T[:3]), ValueError, "Expected input batch_size (4) to match target batch_size (3)."),
    (lambda f: f(X, T[:, None]), RuntimeError, "multi-target not supported"),
    (
        lambda f: f(MAP, LABELS[:, :, :4]),
        RuntimeError,
        "size mismatch (got input: [2, 3, 4, 5], target: [2, 4, 4])",
    ),
    (
        lambda f: f(X, T, tn.ones(2)),
        RuntimeError,
        "either for all 3 classes or no classes but got weight tensor of shape",
    ),
    (lambda f: f(X, T, tn.ones(3).double()), RuntimeError, "expected scalar type float32 but found float64"),
    (
        lambda f: f(X, T, tn.ones(3).requires_grad_()),
        RuntimeError,
        "not differentiable with respect to argument 'weight'",
    ),
    (lambda f: f(X, T, reduction="avg"), ValueError, "avg is not a valid value for reduction"),
    (lambda f: f(X.long(), T), NotImplementedError, "is not implemented for int64"),
    (lambda f: f(tn.tensor(1.0), tn.tensor(0)), ValueError, "got a 0-d tensor"),
    (lambda f: f(X, [0, 1, 2, 0]), TypeError, "argument 'target' must be Tensor, not list"),
]


@pytest.mark.parametrize("loss", [F.cross_entropy, F.nll_loss])
@pytest.mark.parametrize(("call", "kind", "text"), FOR_LABELS, ids=[text for *_, text in FOR_LABELS])
def test_errors_of_losses_of_labels(loss, call, kind, text):
    with pytest.raises(kind, match=re.escape(text)):
        call(loss)


def test_errors_of_cross_entropy():
    for smoothing in (1.5, -0.5):
        with pytest.raises(RuntimeError, match=r"label_smoothing must be between 0\.0 and 1\.0"):
            F.cross_entropy(X, T, label_smoothing=smoothing)
    with pytest.raises(RuntimeError, match=r"Expected floating point type for target .*, got int64"):
        F.cross_entropy(X, tn.ones(4, 3).long())
    with pytest.raises(RuntimeError, match="ignore_index is not supported for floating point target"):
        F.cross_entropy(X, tn.ones(4, 3), ignore_index=2)


# ---- mean squared error
@given(shapes(), st.sampled_from(["none", "mean", "sum"]), st.booleans(), st.data())
def test_mse_loss(shape, reduction, weighted, data):
    x, y = (data.draw(arrays(shape)) for _ in range(2))
    w = data.draw(arrays(shape, min_value=0.1, max_value=2)) if weighted else None
    losses = (x - y) ** 2 * (1 if w is None else w)
    total = losses.size if w is None else w.sum()
    expected = {"none": losses, "mean": losses.sum() / total, "sum": losses.sum()}[reduction]
    inputs = [leaf(a) for a in (x, y, w) if a is not None]

    def f(x, y, w=None):
        return F.mse_loss(x, y, reduction=reduction, weight=w)

    assert_close(f(*inputs), tn.tensor(expected))
    assert gradcheck(f, inputs, atol=1e-7, rtol=1e-6)


def test_derivatives_of_mse_loss_of_second_order():
    assert gradgradcheck(F.mse_loss, [leaf([[1.0, -2.0]]), leaf([[0.5, 3.0]])])


def test_mse_loss_refuses_to_broadcast():
    expected = "got (64, 1) and (64,). Broadcasting would have averaged over (64, 64)"
    with pytest.raises(ValueError, match=re.escape(expected)) as e:
        F.mse_loss(tn.zeros(64, 1), tn.zeros(64))
    assert "target.reshape(64, 1)" in str(e.value)
    with pytest.raises(ValueError, match=re.escape("would have averaged over (4, 3)")):
        F.mse_loss(X, X[0])
    with pytest.raises(ValueError, match="They do not even broadcast"):
        F.mse_loss(X, tn.zeros(2, 5))


def test_errors_of_mse_loss():
    with pytest.raises(NotImplementedError, match="mse_loss is not implemented for int64"):
        F.mse_loss(T, T)
    with pytest.raises(TypeError, match="argument 'target' must be Tensor, not float"):
        F.mse_loss(X, 0.5)
    with pytest.raises(ValueError, match="foo is not a valid value for reduction"):
        F.mse_loss(X, X, reduction="foo")
    with pytest.raises(ValueError, match="Weights and input must have the same size"):
        F.mse_loss(X, X, weight=tn.ones(3))


def test_mse_loss_promotes():
    assert F.mse_loss(X, X.double()).dtype == tn.float64
    assert F.mse_loss(X[:, 0], T).dtype == tn.float32
