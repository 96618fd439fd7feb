"""StandardScaler and OneHotEncoder: scikit-learn's results, and errors that say what to do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import tinynet as tn
from tinynet.data import OneHotEncoder, StandardScaler

theirs = pytest.importorskip("sklearn.preprocessing")

numbers = st.one_of(st.floats(-1e6, 1e6), st.just(np.nan), st.sampled_from([0.1, 5.0, 1e6]))


@st.composite
def tables(draw):
    shape = draw(st.tuples(st.integers(1, 6), st.integers(1, 3)))
    table = draw(arrays(np.float64, shape, elements=numbers))
    if draw(st.booleans()):
        table[:, 0] = draw(st.sampled_from([0.0, 0.1, -1e6]))  # a constant
    return table


@pytest.mark.filterwarnings("ignore:Mean of empty slice", "ignore:invalid value", "ignore:Degrees of freedom")
@given(tables(), st.booleans(), st.booleans())
def test_the_scaler_is_that_of_scikit_learn(table, with_mean, with_std):
    mine = StandardScaler(with_mean=with_mean, with_std=with_std).fit(table)
    other = theirs.StandardScaler(with_mean=with_mean, with_std=with_std).fit(table)
    if with_mean:
        np.testing.assert_allclose(mine.mean_, other.mean_, rtol=1e-12, atol=1e-12)
    if with_std:
        np.testing.assert_allclose(mine.scale_, other.scale_, rtol=1e-9)
        np.testing.assert_allclose(mine.var_, other.var_, rtol=1e-9, atol=1e-12)
        # of numbers that differ by less than rounding, what is left of the mean is divided by as little
        if (mine.scale_ > 1e-6).all():
            np.testing.assert_allclose(mine.transform(table).numpy(), other.transform(table), rtol=1e-9, atol=1e-9)
    back = mine.inverse_transform(mine.transform(table))
    assert back.dtype == tn.float64
    np.testing.assert_allclose(back.numpy(), table, rtol=1e-9, atol=1e-6)


def test_what_the_scaler_has_learned_is_of_the_data_given_to_fit_alone():
    scaler = StandardScaler()
    train = scaler.fit_transform(tn.tensor([[1.0, 10.0], [3.0, 10.0]]))
    assert train.tolist() == [[-1, 0], [1, 0]] and train.dtype == tn.float32
    before = {name: t.tolist() for name, t in scaler.state_dict().items()}
    assert scaler.transform(tn.tensor([[100.0, 11.0]])).tolist() == [[98, 1]]
    assert {name: t.tolist() for name, t in scaler.state_dict().items()} == before


def test_whole_numbers_become_floats_and_missing_ones_stay():
    scaler = StandardScaler().fit([[1, 1], [3, 1]])
    assert scaler.transform([[2, 1]]).dtype == tn.float32
    scaler = StandardScaler().fit([[1.0], [np.nan], [3.0]])
    assert scaler.transform([[np.nan], [5.0]]).nan_to_num(0).tolist() == [[0], [3]]


def test_a_scaler_is_saved_with_the_model(tmp_path):
    scaler, other = StandardScaler().fit([[1.0, 5.0], [2.0, 9.0]]), StandardScaler()
    tn.save({"scaler": scaler.state_dict()}, tmp_path / "x")
    other.load_state_dict(tn.load(tmp_path / "x")["scaler"])
    x = tn.randn(3, 2)
    assert tn.equal(other.transform(x), scaler.transform(x)) and tn.equal(
        other.inverse_transform(x), scaler.inverse_transform(x))


def test_what_is_scaled_keeps_its_graph():
    x = tn.ones(1, 1, requires_grad=True)
    StandardScaler().fit([[0.0], [4.0]]).transform(x).sum().backward()
    assert x.grad.tolist() == [[0.5]]


rows = st.tuples(st.sampled_from("abc"), st.sampled_from(["u", "v"]), st.integers(0, 2))
words = st.lists(rows, min_size=1, max_size=8)


@given(words, words, st.sampled_from([None, "if_binary"]))
def test_the_encoder_is_that_of_scikit_learn(train, test, drop):
    train, test = ([list(row) for row in rows] for rows in (train, test))
    mine = OneHotEncoder(drop=drop, handle_unknown="ignore").fit(train)
    x = np.array(train, dtype=object)
    other = theirs.OneHotEncoder(drop=drop, handle_unknown="error", sparse_output=False).fit(x)
    assert mine.categories_ == [list(found) for found in other.categories_]
    np.testing.assert_array_equal(mine.transform(train).numpy(), other.transform(x))
    assert mine.transform(train).dtype == tn.float32
    if drop is None:
        other = theirs.OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(x)
        np.testing.assert_array_equal(mine.transform(test).numpy(), other.transform(np.array(test, dtype=object)))


def test_categories_may_be_given():
    encoder = OneHotEncoder([["small", "large"], [1, 0]])
    assert encoder.fit_transform([["large", 1], ["small", 0]]).tolist() == [[0, 1, 1, 0], [1, 0, 0, 1]]
    with pytest.raises(ValueError, match=r"unknown categories: 'huge' in column 0, row 0; those of fit\(\) are 'sm"):
        encoder.fit([["huge", 1]])
    with pytest.raises(ValueError, match="there are categories for 2 columns, and X has 1"):
        encoder.fit([["small"]])


@pytest.mark.parametrize(("call", "error", "text"), [
    (lambda: StandardScaler().transform([[1.0]]), ValueError, "not fitted yet: call fit"),
    (lambda: StandardScaler().state_dict(), ValueError, "not fitted yet"),
    (lambda: StandardScaler().fit([1.0, 2.0]), ValueError, r"Expected 2D array, got shape \(2,\).*reshape\(-1, 1\)"),
    (lambda: StandardScaler().fit(tn.zeros(1, 1, 1)), ValueError, r"Expected 2D array, got shape \(1, 1, 1\)"),
    (lambda: StandardScaler().fit(np.zeros((0, 2))), ValueError, "0 sample"),
    (lambda: StandardScaler().fit([[1.0], [np.inf]]), ValueError, "contains infinity, in row 1"),
    (lambda: StandardScaler().fit([["a"]]), ValueError, "X must hold numbers, got <U1: .* OneHotEncoder"),
    (lambda: StandardScaler().fit([[1.0], [1.0, 2.0]]), ValueError, "rows are of different lengths"),
    (lambda: StandardScaler().fit([[1.0]]).transform([[1.0, 2.0]]), ValueError, "X has 2 features, .*expecting 1 "),
    (lambda: OneHotEncoder().transform([["a"]]), ValueError, "not fitted yet: call fit"),
    (lambda: OneHotEncoder().fit(["a", "b"]), ValueError, r"Expected 2D array, got shape \(2,\): .*\[\[word\] for"),
    (lambda: OneHotEncoder().fit(np.zeros((0, 1))), ValueError, "0 sample"),
    (lambda: OneHotEncoder().fit([["a"], [1]]), TypeError, "must be words, or whole numbers, got int, str"),
    (lambda: OneHotEncoder().fit([[0.5]]), TypeError, "must be words, or whole numbers, got float"),
    (lambda: OneHotEncoder().fit([["a"], ["bus"]]).transform([["a"], ["buss"]]), ValueError,
     r"Found unknown categories: 'buss' in column 0, row 1 \(did you mean 'bus'\?\); those of fit\(\) are 'a', 'bus'"),
    (lambda: OneHotEncoder().fit([["a"]]).transform([["a", "b"]]), ValueError, "X has 2 features, .*expecting 1 "),
    (lambda: OneHotEncoder(drop="first"), ValueError, "drop must be one of None, 'if_binary', got 'first'"),
    (lambda: OneHotEncoder(handle_unknown="x"), ValueError, "handle_unknown must be one of 'error', 'ignore', got 'x'"),
])  # fmt: skip
def test_bad_input(call, error, text):
    with pytest.raises(error, match=text):
        call()
