"""Data sets that are joined, split and taken apart."""
from __future__ import annotations

import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinynet as tn
from tinynet.data import ConcatDataset, Dataset, IterableDataset, Subset, TensorDataset, random_split


def test_a_dataset_must_say_what_its_samples_are():
    class Nothing(Dataset):
        pass

    class Silent(IterableDataset):
        pass

    with pytest.raises(NotImplementedError, match="Nothing must define __getitem__"):
        Nothing()[0]
    with pytest.raises(NotImplementedError, match="Silent must define __iter__"):
        iter(Silent())
    with pytest.raises(TypeError):
        len(Nothing())


def test_tensor_dataset():
    data = TensorDataset(tn.arange(12).reshape(4, 3), tn.tensor([1.0, 2.0, 3.0, 4.0]))
    assert len(data) == 4
    row, number = data[-1]
    assert row.tolist() == [9, 10, 11] and number.item() == 4.0
    assert [t.shape for t in data[1:3]] == [(2, 3), (2,)]
    with pytest.raises(IndexError):
        data[4]


@pytest.mark.parametrize("tensors, error, message", [
    ((tn.zeros(3), tn.zeros(4)), AssertionError, r"Size mismatch between tensors.*\[3, 4\]"),
    ((), AssertionError, "Size mismatch"),
    ((tn.tensor(1.0),), IndexError, "0-d tensor"),
    (([1, 2, 3],), TypeError, "takes tensors, got list"),
])
def test_tensor_dataset_refuses(tensors, error, message):
    with pytest.raises(error, match=message):
        TensorDataset(*tensors)


def test_subset():
    part = Subset("abcdef", [4, 0, 0, -1])
    assert len(part) == 4 and list(part) == ["e", "a", "a", "f"]
    data = TensorDataset(tn.arange(10))
    assert Subset(data, [5, 6, 7])[[0, 2]][0].tolist() == [5, 7]


@given(st.lists(st.integers(0, 4), min_size=1, max_size=5))
def test_concat_is_the_concatenation(lengths):
    parts = [list(range(100 * k, 100 * k + n)) for k, n in enumerate(lengths)]
    flat, joined = [i for part in parts for i in part], ConcatDataset(parts)
    assert len(joined) == len(flat) and list(joined) == flat
    for i in range(-len(flat), len(flat)):
        assert joined[i] == flat[i]
    with pytest.raises(ValueError, match="should not exceed dataset length"):
        joined[-len(flat) - 1]
    with pytest.raises(IndexError, match=f"index {len(flat)} is out of range"):
        joined[len(flat)]


def test_concat_with_plus_and_what_it_refuses():
    class Stream(IterableDataset):
        def __iter__(self): return iter("abc")

    one = TensorDataset(tn.arange(3))
    assert [sample[0].item() for sample in one + one] == [0, 1, 2, 0, 1, 2]
    with pytest.raises(AssertionError, match="empty"):
        ConcatDataset([])
    with pytest.raises(AssertionError, match="IterableDataset"):
        ConcatDataset([one, Stream()])
    with pytest.raises(TypeError, match=r"itertools\.chain"):
        Stream() + one


@given(st.integers(0, 30), st.lists(st.integers(0, 10), min_size=1, max_size=5))
def test_random_split_gives_every_sample_once(extra, lengths):
    n = sum(lengths) + extra
    with warnings.catch_warnings():
        if n == 1:  # of [1, 0] nobody can say whether it means lengths or fractions; here it is the same,
            warnings.simplefilter("ignore")  # but for the warning of an empty part
        parts = random_split(range(n), [*lengths, extra])
    if n != 1:
        assert [len(part) for part in parts] == [*lengths, extra]
    assert sorted(i for part in parts for i in part) == list(range(n))


def test_random_split_by_fractions():
    assert [len(part) for part in random_split(range(10), [0.3, 0.3, 0.4])] == [3, 3, 4]
    assert [len(part) for part in random_split(range(11), [1 / 3, 1 / 3, 1 / 3])] == [4, 4, 3]
    with pytest.warns(UserWarning, match="Length of split at index 1 is 0"):
        random_split(range(2), [0.5, 0.0, 0.5])


def test_random_split_follows_its_generator():
    def order(seed):
        return [list(part) for part in random_split(range(50), [20, 30], tn.Generator().manual_seed(seed))]

    assert order(1) == order(1) != order(2)
    tn.manual_seed(3)
    one = [list(part) for part in random_split(range(50), [20, 30])]
    tn.manual_seed(3)
    assert one == [list(part) for part in random_split(range(50), [20, 30], None)]


@pytest.mark.parametrize("lengths, error, message", [
    ([3, 4], ValueError, r"\[3, 4\] sum to 7, the data set has 10 samples"),
    ([0.5, 0.6], ValueError, "does not equal"),
    ([-1, 11], ValueError, "lengths are not negative"),
    ([-0.5, 1.5], ValueError, "Fraction at index 0 is not between 0 and 1"),
    ([2.5, 7.5], TypeError, "float"),
])
def test_random_split_refuses(lengths, error, message):
    with pytest.raises(error, match=message):
        random_split(range(10), lengths)
