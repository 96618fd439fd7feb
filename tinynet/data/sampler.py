"""Samplers: an order of indices, or of lists of them."""
from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np

from tinynet.random import Generator, default_generator


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
        whole = [rng.permutation(n) for _ in range(-(-left // n))]  # all now: a loader may read ahead
        yield from np.concatenate(whole)[:left].tolist()

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
        return batches(iter(self.sampler), self.batch_size, self.drop_last)

    def __len__(self) -> int:
        return count(len(self.sampler), self.batch_size, self.drop_last)  # type: ignore[arg-type]


def batches(items: Iterator[Any], size: int, drop_last: bool) -> Iterator[list[Any]]:
    """The items in lists of `size`; the last may be shorter, or is dropped."""
    while batch := list(islice(items, size)):
        if len(batch) == size or not drop_last:
            yield batch


def count(n: int, size: int, drop_last: bool) -> int:
    """How many lists batches() makes of n items."""
    return n // size if drop_last else -(-n // size)
