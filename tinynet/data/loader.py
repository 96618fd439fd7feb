"""From a data set to batches: a sampler chooses the order, the loader fetches, in threads of its own if told so."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import count as numbers
from itertools import takewhile
from typing import Any

import numpy as np

from tinynet.data.collate import convert, default_collate
from tinynet.data.dataset import IterableDataset, Subset, TensorDataset
from tinynet.data.prefetch import END, Pool, prefetched
from tinynet.data.sampler import BatchSampler, RandomSampler, SequentialSampler, batches, count
from tinynet.data.transforms import Transform
from tinynet.random import Generator, default_generator

FIXED = ("dataset", "batch_size", "sampler", "batch_sampler", "drop_last", "persistent_workers")  # once it is made


class DataLoader:
    """Batches of a data set; iterate over it once an epoch.

    The order is that of `sampler` (or of `batch_sampler`, which yields lists of indices), a new random one each time
    with `shuffle`, drawn from `generator`; else the data set's own. `batch_size=None` gives single samples. Samples are
    joined by `collate_fn`, by default `default_collate`; batches of a TensorDataset (or a Subset of one) are taken with
    one index a tensor. A `collate_fn` out of `tn.data.transforms` joins, then transforms the first field.

    `num_workers` threads keep `prefetch_factor` batches each (2) ready while you compute; the batches and their order
    are those of `num_workers=0`. They share the data set, which must bear being read by several at once; what *it*
    draws from `tn`'s generator it then draws in no fixed order. A stream (IterableDataset) is read once, by one thread,
    however many workers. An error in a worker is raised here as it was there. The threads end with the iteration,
    also if that ends early, or with the loader if `persistent_workers`. RuntimeError if a batch takes longer than
    `timeout` seconds (0: wait). `worker_init_fn(number)` is called in each thread before its first batch. `pin_memory`
    is accepted; there is nothing to pin. ValueError for arguments that exclude one another.

    >>> loader = tn.data.DataLoader(tn.data.TensorDataset(tn.arange(5)), batch_size=2)
    >>> [x.tolist() for x, in loader]
    [[0, 1], [2, 3], [4]]
    """

    def __init__(self, dataset: Any, batch_size: int | None = 1, shuffle: bool | None = None,
                 sampler: Iterable[Any] | None = None, batch_sampler: Iterable[Any] | None = None,
                 num_workers: int = 0, collate_fn: Callable[[list[Any]], Any] | None = None,
                 pin_memory: bool = False, drop_last: bool = False, timeout: float = 0,
                 worker_init_fn: Callable[[int], Any] | None = None, multiprocessing_context: None = None,
                 generator: Generator | None = None, *, prefetch_factor: int | None = None,
                 persistent_workers: bool = False) -> None:
        self._check_workers(num_workers, timeout, multiprocessing_context, prefetch_factor, persistent_workers)
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
        self.collate_fn = collate_fn or (convert if batch_sampler is None else default_collate)
        self.num_workers, self.timeout, self.worker_init_fn = num_workers, timeout, worker_init_fn
        self.prefetch_factor = prefetch_factor or (2 if num_workers else None)
        self.pin_memory, self.persistent_workers = pin_memory, persistent_workers
        self._pool: Pool | None = None
        self._fixed = True

    @staticmethod
    def _check_workers(num_workers: int, timeout: float, multiprocessing_context: Any, prefetch_factor: int | None,
                       persistent_workers: bool) -> None:
        if not isinstance(num_workers, int):
            raise TypeError(f"num_workers is a number of threads, got {num_workers!r}")
        if num_workers < 0:
            raise ValueError(f"num_workers option should be non-negative, got {num_workers}; use num_workers=0 to "
                             "fetch each batch when it is asked for")
        if timeout < 0:
            raise ValueError(f"timeout option should be non-negative, got {timeout}")
        if multiprocessing_context is not None:
            raise ValueError("multiprocessing_context has no use here: the workers are threads")
        if prefetch_factor is not None and num_workers == 0:
            raise ValueError("prefetch_factor option could only be specified with workers: let num_workers > 0, or "
                             "leave prefetch_factor None")
        if prefetch_factor is not None and prefetch_factor < 1:
            raise ValueError(f"prefetch_factor option should be positive, got {prefetch_factor}")
        if persistent_workers and num_workers == 0:
            raise ValueError("persistent_workers option needs num_workers > 0")

    def __setattr__(self, name: str, value: Any) -> None:
        if hasattr(self, "_fixed") and name in FIXED:
            raise ValueError(
                f"{name} attribute should not be set after DataLoader is initialized: make a new loader")
        super().__setattr__(name, value)

    def __iter__(self) -> Iterator[Any]:
        if not self.num_workers:
            if self.timeout:
                raise AssertionError(f"timeout={self.timeout} needs num_workers > 0: without a worker there is nobody "
                                     "to stop waiting for")
            return takewhile(lambda batch: batch is not END, (call() for call in self._calls()))
        return self._prefetched(self.num_workers * (self.prefetch_factor or 1))

    def _prefetched(self, ahead: int) -> Iterator[Any]:
        calls, is_stream = self._calls(), isinstance(self.dataset, IterableDataset)
        pool = self._pool or Pool(1 if is_stream else self.num_workers, self.worker_init_fn)
        if self.persistent_workers:
            self._pool = pool
        yield from prefetched(calls, pool, ahead, self.timeout, self.persistent_workers)

    def _calls(self) -> Iterator[Callable[[], Any]]:
        """For each batch in turn, the call that fetches it; any thread may make it."""
        if isinstance(self.dataset, IterableDataset):
            samples = iter(self.dataset)
            if self.batch_size is not None:
                samples = batches(samples, self.batch_size, self.drop_last)
            tasks: Iterator[Callable[..., Any]] = (partial(self._read, samples) for _ in numbers())
        else:
            order: Any = self.sampler if self.batch_sampler is None else self.batch_sampler
            tasks = (partial(self._fetch, indices) for indices in order)
        return (partial(task, stream) for task, stream in zip(tasks, self._streams(), strict=False))

    def _streams(self) -> Iterator[Generator | None]:
        """For each batch, what its transforms draw from: the same whoever fetches it, and when."""
        if not isinstance(self.collate_fn, Transform):
            while True:
                yield None
        seed = int((self.generator or default_generator).rng.integers(2**63))
        for number in numbers():
            yield Generator().manual_seed(seed + number)

    def _read(self, samples: Iterator[Any], stream: Generator | None) -> Any:
        """The next batch of a stream."""
        found = next(samples, END)
        return END if found is END else self._collate(found, stream)

    def _fetch(self, indices: Any, stream: Generator | None) -> Any:
        """The batch with these indices, or the one sample where there are no batches."""
        dataset, collate = self.dataset, self.collate_fn
        if self.batch_sampler is None:
            return self._collate(dataset[indices], stream)
        while type(dataset) is Subset:  # not a subclass: it may have its own __getitem__
            indices, dataset = [dataset.indices[i] for i in indices], dataset.dataset
        if hasattr(dataset, "__getitems__"):
            return self._collate(dataset.__getitems__(indices), stream)
        rows = np.asarray(indices)
        if rows.dtype.kind in "iu" and _takes_rows(dataset) and (
                collate is default_collate or isinstance(collate, Transform)):
            fields = [t[rows] for t in dataset.tensors]
            return collate.first(fields, stream) if isinstance(collate, Transform) else fields
        return self._collate([dataset[i] for i in indices], stream)

    def _collate(self, samples: Any, stream: Generator | None) -> Any:
        if not isinstance(self.collate_fn, Transform):
            return self.collate_fn(samples)
        if self.batch_size is None and self.batch_sampler is None:
            return self.collate_fn.first(convert(samples), stream)
        return self.collate_fn(samples, stream)

    def __len__(self) -> int:
        if isinstance(self.dataset, IterableDataset):
            n = len(self.dataset)  # type: ignore[arg-type]
            return n if self.batch_size is None else count(n, self.batch_size, self.drop_last)
        return len(self.sampler if self.batch_sampler is None else self.batch_sampler)  # type: ignore[arg-type]


def _takes_rows(dataset: Any) -> bool:
    """Whether one index a tensor gives a whole batch: a subclass may have its own idea of a sample."""
    return isinstance(dataset, TensorDataset) and type(dataset).__getitem__ is TensorDataset.__getitem__
