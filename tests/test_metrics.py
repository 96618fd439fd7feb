"""tn.metrics: values by hand, then against scikit-learn on drawn labels, 0/0 included."""
from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinynet as tn
from tinynet import metrics

SCORES = {metrics.precision: "precision_score", metrics.recall: "recall_score", metrics.f1_score: "f1_score"}
AVERAGES = ["macro", "micro", "weighted", None]


@pytest.fixture(scope="module")
def sk():
    return pytest.importorskip("sklearn.metrics")


def label_pairs(classes: int = 4, most: int = 12):
    """Few samples of several classes, so that many classes are never true or never predicted: 0/0 in half the
    draws."""
    label = st.integers(0, classes - 1)
    return st.lists(st.tuples(label, label), min_size=1, max_size=most).map(lambda pairs: np.array(pairs).T)


def same(ours, theirs):
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12, equal_nan=True)
    assert np.shape(ours) == np.shape(theirs)


# --- by hand ------------------------------------------------------------------------------------------------
def test_values_by_hand():
    true, called = [1, 1, 1, 0, 0], [1, 1, 0, 1, 0]
    assert metrics.accuracy(true, called) == 0.6
    assert metrics.precision(true, called) == pytest.approx(2 / 3)
    assert metrics.recall(true, called) == pytest.approx(2 / 3)
    assert metrics.f1_score(true, called) == pytest.approx(2 / 3)
    assert metrics.confusion_matrix(true, called).tolist() == [[1, 1], [1, 2]]
    assert metrics.r2_score([0.0, 2.0, 4.0], [0.0, 2.0, 2.0]) == 0.5
    assert metrics.mean_absolute_error([[1.0, 2.0]], [[2.0, 4.0]]) == 1.5


def test_r2_of_a_constant_is_all_or_nothing():
    assert metrics.r2_score([3.0, 3.0], [3.0, 3.0]) == 1.0
    assert metrics.r2_score([3.0, 3.0], [3.0, 4.0]) == 0.0


def test_plain_numbers_come_back():
    for score in (metrics.accuracy, *SCORES, metrics.r2_score, metrics.mean_absolute_error):
        assert type(score([0, 1, 1], [0, 1, 0])) is float
    assert metrics.confusion_matrix([0, 1], [0, 1]).dtype == np.int64


def test_tensors_that_need_grad_are_read():
    predicted = tn.tensor([1.0, 2.0, 4.0], requires_grad=True)
    assert metrics.r2_score(tn.tensor([1.0, 2.0, 3.0]), predicted) == 0.5
    assert metrics.mean_absolute_error(tn.tensor([1.0, 2.0, 3.0]), predicted * 1.0) == pytest.approx(1 / 3)
    logits = tn.tensor([[0.1, 0.9], [0.8, 0.2]])
    assert metrics.accuracy(tn.tensor([1, 1]), logits.argmax(1)) == 0.5


@pytest.mark.parametrize("zero, value", [(0, 0.0), (1, 1.0), (math.nan, math.nan)])
def test_zero_division_by_hand(zero, value):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert metrics.precision([1, 0], [0, 0], zero_division=zero) == pytest.approx(value, nan_ok=True)
        assert metrics.recall([0, 0], [1, 0], zero_division=zero) == pytest.approx(value, nan_ok=True)
        assert metrics.f1_score([0, 0], [0, 0], zero_division=zero) == pytest.approx(value, nan_ok=True)


@pytest.mark.parametrize("score", SCORES)
def test_zero_division_warns_by_default(score):
    with pytest.warns(UserWarning, match="ill-defined and being set to 0"):
        assert score([0, 0], [0, 0]) == 0.0


# --- against scikit-learn -----------------------------------------------------------------------------------
@given(label_pairs())
def test_accuracy_is_scikit_learns(sk, pair):
    same(metrics.accuracy(*pair), sk.accuracy_score(*pair))


@given(label_pairs(), st.sampled_from([None, "true", "pred", "all"]))
def test_confusion_matrix_is_scikit_learns(sk, pair, normalize):
    theirs = sk_quiet(sk.confusion_matrix, *pair, normalize=normalize)
    same(metrics.confusion_matrix(*pair, normalize=normalize), theirs)


@given(label_pairs(5), st.lists(st.integers(0, 6), min_size=1, unique=True))
def test_confusion_matrix_of_chosen_labels_is_scikit_learns(sk, pair, labels):
    if set(labels) & set(pair[0].tolist()):
        theirs = sk_quiet(sk.confusion_matrix, *pair, labels=labels)
        same(metrics.confusion_matrix(*pair, labels=labels), theirs)
    else:
        with pytest.raises(ValueError, match="At least one label specified must be in y_true"):
            metrics.confusion_matrix(*pair, labels=labels)


def sk_quiet(f, *args, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return f(*args, **options)


@pytest.mark.parametrize("ours", SCORES)
@given(pair=label_pairs(), average=st.sampled_from(AVERAGES),
       zero=st.sampled_from([0.0, 1.0, math.nan, "warn"]))
def test_multiclass_scores_are_scikit_learns(sk, ours, pair, average, zero):
    theirs = getattr(sk, SCORES[ours])
    options = {"average": average, "zero_division": zero}
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        value = ours(*pair, **options)
    with warnings.catch_warnings(record=True) as expected:
        warnings.simplefilter("always")
        reference = theirs(*pair, **options)
    same(value, reference)
    assert bool(seen) == bool(expected)


@pytest.mark.parametrize("ours", SCORES)
@given(pair=label_pairs(2), zero=st.sampled_from([0.0, 1.0, math.nan]), positive=st.sampled_from([0, 1]))
def test_binary_scores_are_scikit_learns(sk, ours, pair, zero, positive):
    theirs = getattr(sk, SCORES[ours])
    options = {"pos_label": positive, "zero_division": zero}
    same(ours(*pair, **options), theirs(*pair, **options))


@pytest.mark.parametrize("ours", SCORES)
@given(pair=label_pairs(5), average=st.sampled_from(AVERAGES),
       labels=st.lists(st.integers(0, 6), min_size=1, unique=True))
def test_scores_of_chosen_labels_are_scikit_learns(sk, ours, pair, average, labels):
    theirs = getattr(sk, SCORES[ours])
    options = {"labels": labels, "average": average, "zero_division": 0}
    same(ours(*pair, **options), theirs(*pair, **options))


numbers = st.integers(-8, 8).map(lambda n: n / 4)  # exact in binary: 0/0 in R² is decided alike


@given(st.integers(1, 3).flatmap(lambda k: st.lists(
    st.tuples(*[st.tuples(numbers, numbers)] * k), min_size=1, max_size=6)),
    st.sampled_from(["uniform_average", "raw_values"]))
def test_regression_scores_are_scikit_learns(sk, rows, multioutput):
    table = np.array(rows, np.float64)
    true, predicted = table[..., 0], table[..., 1]
    same(metrics.mean_absolute_error(true, predicted, multioutput=multioutput),
         sk.mean_absolute_error(true, predicted, multioutput=multioutput))
    same(sk_quiet(metrics.r2_score, true, predicted, multioutput=multioutput),
         sk_quiet(sk.r2_score, true, predicted, multioutput=multioutput))


def test_string_labels_are_scikit_learns(sk):
    true, called = ["cat", "dog", "cat", "eel"], ["cat", "cat", "dog", "eel"]
    same(metrics.f1_score(true, called, average="macro"), sk.f1_score(true, called, average="macro"))
    same(metrics.confusion_matrix(true, called), sk.confusion_matrix(true, called))


# --- bad input ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("call, message", [
    (lambda: metrics.accuracy([0, 1], [0]), "inconsistent numbers of samples: 2 in y_true, 1 in y_pred"),
    (lambda: metrics.accuracy([], []), "at least one sample"),
    (lambda: metrics.accuracy([0, 1], [[0.1, 0.9], [0.9, 0.1]]), r"shape \(2, 2\).*argmax\(1\)"),
    (lambda: metrics.accuracy([0, 1], [0.5, 1.0]), "continuous is not supported"),
    (lambda: metrics.precision([0, 1, 2], [0, 1, 2]), "Target is multiclass"),
    (lambda: metrics.recall([3, 4], [3, 4]), r"pos_label=1 is not a valid .*should be one of \[3, 4\]"),
    (lambda: metrics.f1_score([0, 1], [0, 1], average="mean"), "average has to be"),
    (lambda: metrics.f1_score([0, 1], [0, 1], zero_division=0.5), "zero_division must be"),
    (lambda: metrics.f1_score([0, 1], [0, 1], zero_division="nan"), "zero_division must be"),
    (lambda: metrics.confusion_matrix([0], [0], normalize="rows"), "normalize must be one of"),
    (lambda: metrics.r2_score([1.0, 2.0], [[1.0, 2.0], [2.0, 3.0]]), r"different number of output \(1!=2\)"),
    (lambda: metrics.r2_score([1.0, 2.0], [1.0, math.nan]), "y_pred contains NaN"),
    (lambda: metrics.mean_absolute_error([], []), "at least one sample"),
    (lambda: metrics.mean_absolute_error(1.0, 2.0), r"shape \(N,\)"),
    (lambda: metrics.mean_absolute_error([1.0], [1.0], multioutput="sum"), "multioutput must be"),
])
def test_bad_input_is_a_clear_value_error(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_r2_of_one_sample_is_nan_and_says_so():
    with pytest.warns(UserWarning, match="less than two samples"):
        assert math.isnan(metrics.r2_score([1.0], [1.0]))
