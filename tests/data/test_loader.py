"""Samplers, default_collate and the loader."""
from __future__ import annotations

from collections import Counter, OrderedDict, namedtuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinynet as tn
from tinynet.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    Subset,
    TensorDataset,
    default_collate,
)

sizes = st.integers(0, 20), st.integers(1, 7), st.booleans()


class Stream(IterableDataset):
    def __init__(self, n): self.n = n
    def __iter__(self): return iter(range(self.n))
    def __len__(self): return self.n


class Slow(Dataset):
    """Answers one sample at a time, so that no short cut applies."""

    def __init__(self, *tensors): self.tensors = tensors
    def __getitem__(self, i): return tuple(t[i] for t in self.tensors)
    def __len__(self): return len(self.tensors[0])


def batches(n, size, drop_last):
    parts = [list(range(n))[k:k + size] for k in range(0, n, size)]
    return [p for p in parts if len(p) == size or not drop_last]


# --- samplers -----------------------------------------------------------------------------------------------
@given(*sizes)
def test_batch_sampler(n, size, drop_last):
    sampler = BatchSampler(SequentialSampler(range(n)), size, drop_last)
    assert list(sampler) == batches(n, size, drop_last) and len(sampler) == len(list(sampler))


@given(st.integers(1, 20), st.integers(1, 60))
def test_random_sampler_permutes_before_it_repeats(n, num_samples):
    assert sorted(RandomSampler(range(n))) == list(range(n))
    drawn = list(RandomSampler(range(n), num_samples=num_samples))
    counts = Counter(drawn)
    assert len(drawn) == num_samples == len(RandomSampler(range(n), num_samples=num_samples))
    assert set(drawn) <= set(range(n)) and max(counts.values()) == -(-num_samples // n)
    many = list(RandomSampler(range(n), num_samples=20 * n))
    assert n < 3 or len({tuple(many[k:k + n]) for k in range(0, 20 * n, n)}) > 1
    drawn = list(RandomSampler(range(n), replacement=True, num_samples=num_samples))
    assert len(drawn) == num_samples and set(drawn) <= set(range(n))


def test_random_sampler_draws_independently_with_replacement():
    counts = np.bincount(list(RandomSampler(range(5), True, 10_000, tn.Generator().manual_seed(0))))
    assert counts.sum() == 10_000 and abs(counts - 2000).max() < 200


def test_random_sampler_is_new_each_time_and_repeatable():
    sampler = RandomSampler(range(100), generator=tn.Generator().manual_seed(0))
    first, second = list(sampler), list(sampler)
    again = RandomSampler(range(100), generator=tn.Generator().manual_seed(0))
    assert first != second and [list(again), list(again)] == [first, second]


@pytest.mark.parametrize("make, error, message", [
    (lambda: RandomSampler([]), ValueError, "num_samples=0"),
    (lambda: RandomSampler([1], num_samples=-1), ValueError, "num_samples=-1"),
    (lambda: RandomSampler([1], replacement=1), TypeError, "replacement=1"),
    (lambda: BatchSampler([1], 0, False), ValueError, "batch_size=0"),
    (lambda: BatchSampler([1], 1.5, False), ValueError, r"batch_size=1\.5"),
    (lambda: BatchSampler([1], True, False), ValueError, "batch_size=True"),
    (lambda: BatchSampler([1], 1, 1), ValueError, "drop_last=1"),
    (lambda: iter(Sampler()), NotImplementedError, "Sampler must define __iter__"),
])
def test_samplers_refuse(make, error, message):
    with pytest.raises(error, match=message):
        make()


# --- collating ----------------------------------------------------------------------------------------------
Point = namedtuple("Point", "x y")


def test_collate_keeps_the_structure():
    sample = {"image": tn.zeros(2, 3), "meta": [1, 2.5, "name"], "point": Point(np.float32(1), np.arange(2)),
              "pair": (True, b"raw")}
    batch = default_collate([sample, sample])
    assert batch["image"].shape == (2, 2, 3)
    number, real, names = batch["meta"]
    assert number.dtype == tn.int64 and real.dtype == tn.float64 and list(names) == ["name", "name"]
    assert type(batch["point"]) is Point
    assert batch["point"].x.dtype == tn.float32 and batch["point"].y.tolist() == [[0, 1], [0, 1]]
    flag, raw = batch["pair"]
    assert type(batch["pair"]) is list and flag.dtype == tn.bool and list(raw) == [b"raw", b"raw"]


def test_collate_keeps_the_containers_class_and_leaves_the_samples_alone():
    samples = [OrderedDict(a=1, b=[2]), OrderedDict(a=3, b=[4])]
    batch = default_collate(samples)
    assert type(batch) is OrderedDict and batch["a"].tolist() == [1, 3] and batch["b"][0].tolist() == [2, 4]
    assert samples == [OrderedDict(a=1, b=[2]), OrderedDict(a=3, b=[4])]


def test_collated_tensors_carry_gradients():
    x = tn.tensor([1.0, 2.0], requires_grad=True)
    default_collate([x, x * 3]).sum().backward()
    assert x.grad.tolist() == [4.0, 4.0]


@pytest.mark.parametrize("batch, error, message", [
    ([[1, 2], [3]], RuntimeError, r"equal size, got sizes \[1, 2\]"),
    ([object()], TypeError, "found object"),
    ([np.array(["a"])], TypeError, "found dtype <U1"),
    ([None], TypeError, "found NoneType.*collate_fn"),
    ([tn.zeros(2), tn.zeros(3)], RuntimeError, "equal size"),
])
def test_collate_refuses(batch, error, message):
    with pytest.raises(error, match=message):
        default_collate(batch)


# --- the loader ---------------------------------------------------------------------------------------------
@given(*sizes)
def test_the_loader_gives_the_data_in_order(n, size, drop_last):
    expected = batches(n, size, drop_last)
    for dataset in (range(n), Stream(n)):
        loader = DataLoader(dataset, size, drop_last=drop_last)
        for _ in range(2):
            assert [b.tolist() for b in loader] == expected
        assert len(loader) == len(expected)


@given(st.integers(1, 20), st.integers(1, 7), st.integers(0, 99))
def test_the_short_cut_gives_what_the_long_way_gives(n, size, seed):
    tensors = tn.arange(3 * n).reshape(n, 3).float(), tn.arange(n)
    order = np.random.default_rng(seed).permutation(n)[: max(1, n // 2)].tolist()
    for quick, slow in ((TensorDataset(*tensors), Slow(*tensors)),
                        (Subset(TensorDataset(*tensors), order), Subset(Slow(*tensors), order)),
                        (Subset(Subset(TensorDataset(*tensors), order), [0, -1]),
                         Subset(Subset(Slow(*tensors), order), [0, -1]))):
        both = [DataLoader(d, size, shuffle=True, generator=tn.Generator().manual_seed(seed))
                for d in (quick, slow)]
        for a, b in zip(*both, strict=True):
            assert type(a) is type(b) is list
            for x, y in zip(a, b, strict=True):
                assert x.dtype == y.dtype and x.shape == y.shape and x.tolist() == y.tolist()


def test_the_short_cut_copies():
    data = TensorDataset(tn.zeros(4))
    for (batch,) in DataLoader(data, 2):
        batch.fill_(1.0)
    assert data.tensors[0].tolist() == [0, 0, 0, 0]


def test_a_subclass_with_its_own_samples_is_asked_for_them():
    class Doubled(TensorDataset):
        def __getitem__(self, i): return super().__getitem__(i)[0] * 2

    class Negated(Subset):
        def __getitem__(self, i): return -super().__getitem__(i)

    assert [b.tolist() for b in DataLoader(Doubled(tn.arange(4)), 2)] == [[0, 2], [4, 6]]
    assert [b.tolist() for b in DataLoader(Negated(range(5), [1, 2]), 2)] == [[-1, -2]]


def test_a_dataset_may_fetch_batches_itself():
    class Batched(Dataset):
        def __getitems__(self, indices): return [10 * i for i in indices]
        def __len__(self): return 4

    assert [b.tolist() for b in DataLoader(Batched(), 3)] == [[0, 10, 20], [30]]


def test_shuffle_is_new_each_epoch_and_complete():
    tn.manual_seed(0)
    loader = DataLoader(range(50), 8, shuffle=True)
    epochs = [[i for batch in loader for i in batch.tolist()] for _ in range(2)]
    assert epochs[0] != epochs[1] and all(sorted(e) == list(range(50)) for e in epochs)
    tn.manual_seed(0)
    assert [i for batch in loader for i in batch.tolist()] == epochs[0]


def test_samplers_and_collate_fn_of_ones_own():
    assert [b.tolist() for b in DataLoader([5, 6, 7], 2, sampler=[2, 0, 1])] == [[7, 5], [6]]
    loader = DataLoader([5, 6, 7], batch_sampler=[[0], [1, 2]], collate_fn=tuple)
    assert list(loader) == [(5,), (6, 7)] and len(loader) == 2
    assert list(DataLoader(TensorDataset(tn.arange(2)), 2, collate_fn=len)) == [2]


def test_without_batches():
    loader = DataLoader([np.zeros(2), "text", (1, [np.float32(2)])], batch_size=None)
    array, text, pair = loader
    assert isinstance(array, tn.Tensor) and array.shape == (2,) and text == "text"
    assert pair[0] == 1 and isinstance(pair[1][0], tn.Tensor) and len(loader) == 3
    assert list(DataLoader(Stream(3), batch_size=None)) == [0, 1, 2]


@pytest.mark.parametrize("options, message", [
    ({"shuffle": True, "sampler": [0]}, "mutually exclusive with shuffle"),
    ({"batch_sampler": [[0]], "batch_size": 2}, "mutually exclusive"),
    ({"batch_sampler": [[0]], "shuffle": True}, "mutually exclusive"),
    ({"batch_sampler": [[0]], "sampler": [0]}, "mutually exclusive"),
    ({"batch_sampler": [[0]], "drop_last": True}, "mutually exclusive"),
    ({"batch_size": None, "drop_last": True}, "disables auto-batching"),
    ({"batch_size": 0}, "batch_size=0"),
])
def test_the_loader_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        DataLoader(range(3), **options)


@pytest.mark.parametrize("options", [{"shuffle": True}, {"sampler": [0]}, {"batch_sampler": [[0]]}])
def test_a_stream_has_its_own_order(options):
    (name,) = options
    with pytest.raises(ValueError, match=f"IterableDataset: expected unspecified {name} option"):
        DataLoader(Stream(3), **options)


def test_what_the_loader_was_made_with_stays():
    loader = DataLoader(range(3))
    for name in ("dataset", "batch_size", "sampler", "batch_sampler", "drop_last"):
        with pytest.raises(ValueError, match=f"{name} attribute should not be set"):
            setattr(loader, name, None)


def test_an_empty_data_set():
    assert list(DataLoader([], 2)) == [] and len(DataLoader([], 2)) == 0
    with pytest.raises(ValueError, match="num_samples=0"):
        DataLoader([], 2, shuffle=True)
