"""A list of samples -> one batch."""
from __future__ import annotations

import copy
from collections.abc import Mapping, MutableMapping, MutableSequence, Sequence
from typing import Any

import numpy as np

from tinynet.dtypes import float64
from tinynet.ops import as_tensor, stack, tensor
from tinynet.tensor import Tensor


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


def convert(sample: Any) -> Any:
    """What a loader that does not batch gives: arrays as tensors, at any depth, and the rest as it is."""
    if isinstance(sample, (np.ndarray, np.generic)) and sample.dtype.kind in "fiub":
        return as_tensor(sample)
    if isinstance(sample, Mapping):
        return _rebuild(sample, {key: convert(value) for key, value in sample.items()})
    if isinstance(sample, Sequence) and not isinstance(sample, (str, bytes)):
        if hasattr(sample, "_fields"):
            return type(sample)(*(convert(value) for value in sample))
        values = [convert(value) for value in sample]
        return values if isinstance(sample, tuple) else _rebuild(sample, values)
    return sample
