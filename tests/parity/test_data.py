"""tn.data against torch.utils.data."""
from __future__ import annotations

import inspect
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinynet as tn

torch = pytest.importorskip("torch")
theirs = pytest.importorskip("torch.utils.data")


def structures():
    """A sample's structure, and two samples of it: numbers, arrays, strings in lists, tuples and dicts."""
    leaf = st.sampled_from([
        (1, 2), (0.5, -1.5), (True, False), ("a", "b"), (b"a", b"b"),
        (np.arange(3), np.arange(3) + 1), (np.float32(1), np.float32(2)), (np.ones((2, 1), np.uint8),) * 2,
    ])

    def extend(inner):
        pairs = st.lists(inner, min_size=1, max_size=3)
        return st.one_of(
            pairs.map(lambda p: tuple([s[k] for s in p] for k in (0, 1))),
            pairs.map(lambda p: tuple(tuple(s[k] for s in p) for k in (0, 1))),
            pairs.map(lambda p: tuple({f"f{n}": s[k] for n, s in enumerate(p)} for k in (0, 1))),
        )
    return st.recursive(leaf, extend, max_leaves=6)


def same(ours, expected):
    if isinstance(expected, torch.Tensor):
        assert isinstance(ours, tn.Tensor)
        assert str(expected.dtype) == f"torch.{ours.dtype}" and tuple(expected.shape) == ours.shape
        np.testing.assert_array_equal(ours.numpy(), expected.numpy())
    elif isinstance(expected, dict):
        assert type(ours) is dict and list(ours) == list(expected)
        for key in expected:
            same(ours[key], expected[key])
    elif isinstance(expected, (list, tuple)):
        assert type(ours) is type(expected) and len(ours) == len(expected)
        for a, b in zip(ours, expected, strict=True):
            same(a, b)
    else:
        assert type(ours) is type(expected) and ours == expected


@given(structures())
def test_default_collate(samples):
    same(tn.data.default_collate(list(samples)), theirs.default_collate(list(samples)))


@given(structures(), st.sampled_from([None, 1, 2]), st.booleans(), st.integers(0, 2))
def test_loader(samples, batch_size, drop_last, num_workers):
    """PyTorch's without workers: its processes would take seconds, and change nothing."""
    options = {"batch_size": batch_size, "drop_last": drop_last and batch_size is not None}
    data = [*samples, samples[0]]
    ours = tn.data.DataLoader(data, **options, num_workers=num_workers, pin_memory=True)
    expected = theirs.DataLoader(data, **options)
    assert len(ours) == len(expected)
    for a, b in zip(ours, expected, strict=True):
        same(a, b)


def test_the_loaders_arguments_are_pytorchs():
    ours, expected = (inspect.signature(data.DataLoader).parameters for data in (tn.data, theirs))
    left_out = {"pin_memory_device", "in_order"}
    assert list(ours) == [name for name in expected if name not in left_out]
    for name, parameter in ours.items():
        assert (parameter.default, parameter.kind) == (expected[name].default, expected[name].kind), name


@pytest.mark.parametrize("num_workers", [0, 2])
def test_the_loaders_attributes_are_pytorchs(num_workers):
    ours, expected = (data.DataLoader([1, 2], 2, num_workers=num_workers, timeout=4) for data in (tn.data, theirs))
    for name in ("batch_size", "drop_last", "num_workers", "pin_memory", "timeout", "worker_init_fn", "generator",
                 "prefetch_factor", "persistent_workers"):
        assert getattr(ours, name) == getattr(expected, name), name


@given(st.integers(1, 40), st.lists(st.integers(1, 9), min_size=1, max_size=4))
def test_random_split_sizes(n, weights):
    fractions = [w / sum(weights) for w in weights]
    sizes = []
    for library in (tn.data, theirs):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # some parts are empty
            try:
                sizes.append([len(part) for part in library.random_split(range(n), fractions)])
            except ValueError as e:  # fractions that sum to a little more than 1
                sizes.append(type(e))
    assert sizes[0] == sizes[1]


def calls(data, tensor):
    class Stream(data.IterableDataset):
        def __iter__(self): return iter(range(3))

    yield lambda: data.TensorDataset(tensor([1]), tensor([1, 2]))
    yield lambda: data.TensorDataset(tensor(1))
    yield lambda: data.TensorDataset(tensor([1]))[1]
    yield lambda: data.Subset([1, 2], [0])[1]
    yield lambda: data.ConcatDataset([])
    yield lambda: data.ConcatDataset([Stream()])
    yield lambda: data.ConcatDataset([[1], [2]])[2]
    yield lambda: data.ConcatDataset([[1], [2]])[-3]
    yield lambda: data.random_split(range(3), [1, 1])
    yield lambda: data.random_split(range(3), [-0.5, 1.5])
    yield lambda: data.RandomSampler([])
    yield lambda: data.RandomSampler([1], replacement=1)
    yield lambda: data.BatchSampler([1], 0, False)
    yield lambda: data.BatchSampler([1], 1, None)
    yield lambda: data.DataLoader([1], shuffle=True, sampler=[0])
    yield lambda: data.DataLoader([1], batch_size=2, batch_sampler=[[0]])
    yield lambda: data.DataLoader([1], batch_size=None, drop_last=True)
    yield lambda: data.DataLoader([1], batch_size=0)
    yield lambda: data.DataLoader([1], num_workers=-1)
    yield lambda: data.DataLoader([1], timeout=-1)
    yield lambda: iter(data.DataLoader([1], timeout=1))
    yield lambda: data.DataLoader([1], prefetch_factor=2)
    yield lambda: data.DataLoader([1], num_workers=1, prefetch_factor=-1)
    yield lambda: data.DataLoader([1], persistent_workers=True)
    yield lambda: data.DataLoader([1], num_workers=1, multiprocessing_context="nothing")
    yield lambda: setattr(data.DataLoader([1]), "persistent_workers", False)
    yield lambda: data.DataLoader(Stream(), shuffle=True)
    yield lambda: data.DataLoader(Stream(), sampler=[0])
    yield lambda: setattr(data.DataLoader([1]), "batch_size", 3)
    yield lambda: len(data.DataLoader(Stream()))
    yield lambda: data.default_collate([[1, 2], [3]])
    yield lambda: data.default_collate([None])
    yield lambda: data.default_collate([np.array(["a"])])
    yield lambda: data.default_collate([tensor([1]), tensor([1, 2])])
    yield lambda: data.default_collate([])


PAIRS = list(zip(calls(tn.data, tn.tensor), calls(theirs, torch.tensor), strict=True))


@pytest.mark.parametrize("number", range(len(PAIRS)))
def test_misuse_raises_the_same_type(number):
    ours, expected = PAIRS[number]
    with pytest.raises(Exception) as caught:  # whatever PyTorch raises
        expected()
    with pytest.raises(type(caught.value)):
        ours()
