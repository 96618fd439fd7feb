"""From a data set to batches: samplers choose the order, the loader fetches, default_collate stacks."""
from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, MutableSequence, Sequence
from itertools import islice
from typing import Any

import numpy as np

from tinynet.data.dataset import IterableDataset, Subset, TensorDataset
from tinynet.dtypes import float64
from tinynet.ops import as_tensor, stack, tensor
from tinynet.random import Generator, default_generator
from tinynet.tensor import Tensor


# --- samplers: an order of indices --------------------------------------------------------------------------
class Sampler:
    """An iterable of indices, or of lists of them. A subclass writes `__iter__`, and `__len__` if it can.

    >>> class Backwards(tn.data.Sampler):
    ...     def __iter__(self): return iter((2, 1, 0))
    >>> list(tn.data.DataLoader("abc", batch_size=None, sampler=Backwards()))
    ['c', 'b', 'a']
    """

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError(f"{type(self).__name__} must define __iter__(self)")


class SequentialSampler(Sampler):
    """0, 1, 2, ...

    >>> list(tn.data.SequentialSampler("abc"))
    [0, 1, 2]
    """

    def __init__(self, data_source: Any) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(Sampler):
    """A new permutation of the indices each time; with `replacement`, independent draws.

    `num_samples` (default: all) larger than the data set goes on with a further permutation.

    >>> sorted(tn.data.RandomSampler("abc"))
    [0, 1, 2]
    """

    def __init__(self, data_source: Any, replacement: bool = False, num_samples: int | None = None,
                 generator: Generator | None = None) -> None:
        if not isinstance(replacement, bool):
            raise TypeError(f"replacement should be a boolean value, but got replacement={replacement}")
        self.data_source, self.replacement, self.generator = data_source, replacement, generator
        self._num_samples = num_samples
        if not isinstance(self.num_samples, int) or self.num_samples <= 0:
            raise ValueError(
                f"num_samples should be a positive integer value, but got num_samples={self.num_samples}")

    @property
    def num_samples(self) -> int:
        """How many indices one pass yields."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self) -> Iterator[int]:
        n, left = len(self.data_source), self.num_samples
        rng = (self.generator or default_generator).rng
        if self.replacement:
            yield from rng.integers(n, size=left).tolist()
            return
        while left > 0:
            yield from rng.permutation(n)[:left].tolist()
            left -= n

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler):
    """The indices of a sampler in lists of `batch_size`; the last may be shorter, or is dropped.

    >>> list(tn.data.BatchSampler(range(5), 2, drop_last=False))
    [[0, 1], [2, 3], [4]]
    """

    def __init__(self, sampler: Iterable[Any], batch_size: int, drop_last: bool) -> None:
        if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size <= 0:
            raise ValueError(
                f"batch_size should be a positive integer value, but got batch_size={batch_size}")
        if not isinstance(drop_last, bool):
            raise ValueError(f"drop_last should be a boolean value, but got drop_last={drop_last}")
        self.sampler, self.batch_size, self.drop_last = sampler, batch_size, drop_last

    def __iter__(self) -> Iterator[list[Any]]:
        return _batches(iter(self.sampler), self.batch_size, self.drop_last)

    def __len__(self) -> int:
        return _count(len(self.sampler), self.batch_size, self.drop_last)  # type: ignore[arg-type]


def _batches(items: Iterator[Any], size: int, drop_last: bool) -> Iterator[list[Any]]:
    while batch := list(islice(items, size)):
        if len(batch) == size or not drop_last:
            yield batch


def _count(n: int, size: int, drop_last: bool) -> int:
    return n // size if drop_last else -(-n // size)


# --- collating: a list of samples -> one batch --------------------------------------------------------------
def default_collate(batch: Sequence[Any]) -> Any:
    """Samples, stacked along a new first dimension: tensors, arrays and numbers become tensors, containers
    keep their shape with each field collated (a tuple becomes a list), strings stay a list. Floats become
    float64, as in PyTorch.

    >>> tn.data.default_collate([(0, 1), (2, 3)])
    [tensor([0, 2]), tensor([1, 3])]
    """
    first = batch[0]
    if isinstance(first, Tensor):
        return stack(list(batch), 0)
    if isinstance(first, (np.ndarray, np.generic)) and first.dtype.kind in "fiub":
        return stack([as_tensor(x) for x in batch], 0)
    if isinstance(first, float):
        return tensor(list(batch), dtype=float64)
    if isinstance(first, int):
        return tensor(list(batch))
    if isinstance(first, (str, bytes)):
        return batch
    if isinstance(first, Mapping):
        return _rebuild(first, {key: default_collate([sample[key] for sample in batch]) for key in first})
    if isinstance(first, Sequence):
        sizes = {len(sample) for sample in batch}
        if len(sizes) > 1:
            raise RuntimeError(
                f"each element in list of batch should be of equal size, got sizes {sorted(sizes)}")
        fields = [default_collate(field) for field in zip(*batch, strict=True)]
        if hasattr(first, "_fields"):
            return type(first)(*fields)
        return fields if isinstance(first, tuple) else _rebuild(first, fields)
    found = f"dtype {first.dtype}" if hasattr(first, "dtype") else type(first).__name__
    raise TypeError("default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; "
                    f"found {found}. Give the loader a collate_fn that knows how to stack these samples")


def _rebuild(like: Any, fields: Any) -> Any:
    """The new fields in a container of like's own class, where that class can be copied and filled."""
    try:
        if isinstance(like, (MutableMapping, MutableSequence)):
            filled = copy.copy(like)
            for key, value in fields.items() if isinstance(fields, dict) else enumerate(fields):
                filled[key] = value
            return filled
        return type(like)(fields)
    except TypeError:
        return fields


def _convert(sample: Any) -> Any:
    """What a loader that does not batch gives: arrays as tensors, at any depth, and the rest as it is."""
    if isinstance(sample, (np.ndarray, np.generic)) and sample.dtype.kind in "fiub":
        return as_tensor(sample)
    if isinstance(sample, Mapping):
        return _rebuild(sample, {key: _convert(value) for key, value in sample.items()})
    if isinstance(sample, Sequence) and not isinstance(sample, (str, bytes)):
        if hasattr(sample, "_fields"):
            return type(sample)(*(_convert(value) for value in sample))
        values = [_convert(value) for value in sample]
        return values if isinstance(sample, tuple) else _rebuild(sample, values)
    return sample


# --- the loader ---------------------------------------------------------------------------------------------
FIXED = ("dataset", "batch_size", "sampler", "batch_sampler", "drop_last")  # once a loader is made


class DataLoader:
    """Batches of a data set; iterate over it once an epoch.

    The order is that of `sampler` (or of `batch_sampler`, which yields lists of indices), a new random one
    each time with `shuffle`, else the data set's own. `batch_size=None` gives single samples. Samples are
    joined by `collate_fn`, by default `default_collate`; batches of a TensorDataset (or a Subset of one) are
    taken with one index a tensor. Raises ValueError for arguments that exclude one another.

    >>> loader = tn.data.DataLoader(tn.data.TensorDataset(tn.arange(5)), batch_size=2)
    >>> [x.tolist() for x, in loader]
    [[0, 1], [2, 3], [4]]
    """

    def __init__(self, dataset: Any, batch_size: int | None = 1, shuffle: bool | None = None,
                 sampler: Iterable[Any] | None = None, batch_sampler: Iterable[Any] | None = None, *,
                 collate_fn: Callable[[list[Any]], Any] | None = None, drop_last: bool = False,
                 generator: Generator | None = None) -> None:
        if isinstance(dataset, IterableDataset):
            given = {"shuffle": shuffle or None, "sampler": sampler, "batch_sampler": batch_sampler}
            for name, value in given.items():
                if value is not None:
                    raise ValueError(f"DataLoader with IterableDataset: expected unspecified {name} option, "
                                     f"but got {name}={value}: a stream comes in its own order")
        if sampler is not None and shuffle:
            raise ValueError("sampler option is mutually exclusive with shuffle: a sampler is an order")
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                raise ValueError("batch_sampler option is mutually exclusive with batch_size, shuffle, "
                                 "sampler, and drop_last")
            batch_size = None
        elif batch_size is None and drop_last:
            raise ValueError("batch_size=None option disables auto-batching and is mutually exclusive with "
                             "drop_last")
        if sampler is None and not isinstance(dataset, IterableDataset):
            sampler = RandomSampler(dataset, generator=generator) if shuffle else SequentialSampler(dataset)
        if batch_size is not None:
            batch_sampler = BatchSampler(() if sampler is None else sampler, batch_size, drop_last)
        self.dataset, self.generator = dataset, generator
        self.batch_size, self.drop_last = batch_size, drop_last
        self.sampler, self.batch_sampler = sampler, batch_sampler
        self.collate_fn = collate_fn or (_convert if batch_sampler is None else default_collate)
        self._fixed = True

    def __setattr__(self, name: str, value: Any) -> None:
        if hasattr(self, "_fixed") and name in FIXED:
            raise ValueError(
                f"{name} attribute should not be set after DataLoader is initialized: make a new loader")
        super().__setattr__(name, value)

    def __iter__(self) -> Iterator[Any]:
        if isinstance(self.dataset, IterableDataset):
            samples = iter(self.dataset)
            if self.batch_size is None:
                return map(self.collate_fn, samples)
            return map(self.collate_fn, _batches(samples, self.batch_size, self.drop_last))
        if self.batch_sampler is None:
            return (self.collate_fn(self.dataset[i]) for i in self.sampler or ())
        return (self._fetch(indices) for indices in self.batch_sampler)

    def _fetch(self, indices: Any) -> Any:
        dataset = self.dataset
        while type(dataset) is Subset:  # not a subclass: it may have its own __getitem__
            indices, dataset = [dataset.indices[i] for i in indices], dataset.dataset
        if type(dataset) is TensorDataset and self.collate_fn is default_collate:
            rows = np.asarray(indices)
            if rows.dtype.kind in "iu":
                return [t[rows] for t in dataset.tensors]
        if hasattr(dataset, "__getitems__"):
            return self.collate_fn(dataset.__getitems__(indices))
        return self.collate_fn([dataset[i] for i in indices])

    def __len__(self) -> int:
        if isinstance(self.dataset, IterableDataset):
            n = len(self.dataset)  # type: ignore[arg-type]
            return n if self.batch_size is None else _count(n, self.batch_size, self.drop_last)
        return len(self.sampler if self.batch_sampler is None else self.batch_sampler)  # type: ignore[arg-type]
