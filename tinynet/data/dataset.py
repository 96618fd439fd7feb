"""Data sets: anything that answers `dataset[i]` with a sample and `len(dataset)`; and ways to join and split
them."""
from __future__ import annotations

import itertools
import math
import operator
import warnings
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from tinynet.random import Generator, default_generator
from tinynet.tensor import Tensor


class Dataset:
    """`dataset[i]` is the i-th sample. Subclasses write `__getitem__`, and `__len__` if they know their size.

    >>> class Squares(tn.data.Dataset):
    ...     def __getitem__(self, i): return i * i
    ...     def __len__(self): return 10
    >>> Squares()[3]
    9
    """

    def __getitem__(self, index: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} must define __getitem__(self, index)")

    def __add__(self, other: Dataset) -> Dataset:
        return ConcatDataset([self, other])


class IterableDataset(Dataset):
    """Samples that come in their own order, from a file or a stream: subclasses write `__iter__`.

    >>> class Countdown(tn.data.IterableDataset):
    ...     def __iter__(self): return iter((3, 2, 1))
    >>> list(Countdown())
    [3, 2, 1]
    """

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError(f"{type(self).__name__} must define __iter__(self)")

    def __add__(self, other: Dataset) -> Dataset:
        raise TypeError("streams cannot be joined by number: read one after the other with itertools.chain")


class TensorDataset(Dataset):
    """Tensors of one length, taken apart along their first dimension: sample i is `(a[i], b[i], ...)`.

    Raises AssertionError when the lengths differ.

    >>> tn.data.TensorDataset(tn.tensor([1., 2.]), tn.tensor([0, 1]))[1]
    (tensor(2.), tensor(1))
    """

    def __init__(self, *tensors: Any) -> None:
        for t in tensors:
            if not isinstance(t, Tensor):
                raise TypeError(
                    f"TensorDataset takes tensors, got {type(t).__name__}: make one with tn.as_tensor(x)")
            if t.ndim == 0:
                raise IndexError(
                    "TensorDataset takes tensors apart along their first dimension; a 0-d tensor has none")
        lengths = [t.size(0) for t in tensors]
        if len(set(lengths)) != 1:
            raise AssertionError(
                f"Size mismatch between tensors: TensorDataset takes tensors of one length, got {lengths}")
        self.tensors = tensors

    def __getitem__(self, index: Any) -> tuple[Any, ...]:
        return tuple(t[index] for t in self.tensors)

    def __len__(self) -> int:
        return len(self.tensors[0])


class Subset(Dataset):
    """The samples of a data set at the given indices, in that order.

    >>> list(tn.data.Subset("abcd", [3, 0]))
    ['d', 'a']
    """

    def __init__(self, dataset: Any, indices: Sequence[int]) -> None:
        self.dataset, self.indices = dataset, indices

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, list):
            return self.dataset[[self.indices[i] for i in index]]
        return self.dataset[self.indices[index]]

    def __len__(self) -> int:
        return len(self.indices)


class ConcatDataset(Dataset):
    """Data sets one after the other, as one.

    >>> both = tn.data.ConcatDataset(["abc", "de"])
    >>> len(both), both[3], both[-1]
    (5, 'd', 'e')
    """

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise AssertionError("datasets should not be an empty iterable: ConcatDataset joins at least one")
        if any(isinstance(d, IterableDataset) for d in self.datasets):
            raise AssertionError("ConcatDataset does not support IterableDataset: a stream has no i-th item")
        self.cumulative_sizes = list(itertools.accumulate(len(d) for d in self.datasets))

    def __getitem__(self, index: int) -> Any:
        if not -len(self) <= index < len(self):
            # The types are PyTorch's; the IndexError is also what ends a `for` over a data set.
            error = IndexError if index >= 0 else ValueError
            raise error(f"index {index} is out of range: absolute value of index should not exceed dataset "
                        f"length, which is {len(self)}")
        index %= len(self)
        which = bisect_right(self.cumulative_sizes, index)
        return self.datasets[which][index - (self.cumulative_sizes[which - 1] if which else 0)]

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]


def random_split(dataset: Any, lengths: Sequence[Any],
                 generator: Generator | None = default_generator) -> list[Subset]:
    """Disjoint random subsets of the given lengths, or of the given fractions where these sum to 1.

    With fractions, part i has floor(fraction_i · n) samples; what is left over goes one each to the first
    parts. Raises ValueError when the lengths do not sum to the length of the data set.

    >>> [len(part) for part in tn.data.random_split(range(10), [0.75, 0.25])]
    [8, 2]
    """
    n, total = len(dataset), sum(lengths)
    if math.isclose(total, 1) and total <= 1:
        for i, fraction in enumerate(lengths):
            if not 0 <= fraction <= 1:
                raise ValueError(f"Fraction at index {i} is not between 0 and 1: {fraction}")
        sizes = [math.floor(n * fraction) for fraction in lengths]
        for i in range(n - sum(sizes)):
            sizes[i % len(sizes)] += 1
        for i, size in enumerate(sizes):
            if size == 0:
                warnings.warn(f"Length of split at index {i} is 0. This might result in an empty dataset.",
                              stacklevel=2)
    else:
        sizes = [operator.index(length) for length in lengths] if total == n else []
        if total != n or min(sizes) < 0:
            raise ValueError(
                "Sum of input lengths does not equal the length of the input dataset: "
                f"{list(lengths)} sum to {total}, the data set has {n} samples (lengths are not negative, "
                "fractions sum to 1)")
    order = (generator or default_generator).rng.permutation(n).tolist()
    ends = list(itertools.accumulate(sizes))
    return [Subset(dataset, order[end - size:end]) for size, end in zip(sizes, ends, strict=True)]
