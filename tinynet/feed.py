"""What a Trainer reads: arrays, data sets and loaders come in, loaders of batches (inputs..., target) go out."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from tinynet.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset
from tinynet.dtypes import DType
from tinynet.ops import from_numpy
from tinynet.random import Generator, default_generator, generator_of
from tinynet.tensor import Tensor


def batches(x: Any, y: Any, batch_size: int, shuffle: bool, dtype: DType, targets: bool = True) -> Any:
    """A loader of x and y, tensors or arrays (x may be a tuple of several); or of x, a data set. One that is a loader
    already, or a list of batches, stays as it is. targets: whether there must be some."""
    if y is None and targets and is_array(x):
        raise TypeError("the targets are missing: give y beside x, or a data set or loader that has both")
    if y is None and not is_array(x):
        if isinstance(x, DataLoader) or not hasattr(x, "__getitem__") or isinstance(x, list):
            if not isinstance(x, Iterable):
                raise TypeError(f"x must be tensors or arrays, a data set or a loader, got {type(x).__name__}")
            return x
    elif isinstance(x, (DataLoader, Dataset)):
        raise TypeError(f"y goes with tensors and arrays: a {type(x).__name__} has its targets itself")
    else:
        x = _tensors(x, y, dtype)
    if not isinstance(x, IterableDataset) and not len(x):
        raise ValueError("the data set is empty: there is no sample in it")
    return DataLoader(x, batch_size, None if isinstance(x, IterableDataset) else shuffle)


def training_batches(x: Any, y: Any, held_out: Any, fraction: float, batch_size: int, shuffle: bool,
                     dtype: DType) -> tuple[Any, Any]:
    """Loaders of what to train with and of what to validate with, which is `held_out`, or the last `fraction` of x and
    y, or nothing (None)."""
    if fraction:
        if held_out is not None:
            raise ValueError("give validation_data or validation_split, not both")
        x, held_out, y = *_split(_tensors(x, y, dtype) if is_array(x) else x, y, fraction), None
    train = batches(x, y, batch_size, shuffle, dtype)
    if held_out is None:
        return train, None
    if type(held_out) is tuple and len(held_out) != 2:
        raise ValueError(f"validation_data is (x, y), a data set or a loader; got {len(held_out)} things")
    x, y = held_out if type(held_out) is tuple else (held_out, None)
    return train, batches(x, y, batch_size, False, dtype)


def _split(dataset: Any, y: Any, fraction: float) -> tuple[Any, Any]:
    if not 0 < fraction < 1:
        raise ValueError(f"validation_split is the share to validate with, between 0 and 1; got {fraction}")
    if isinstance(dataset, (DataLoader, IterableDataset)) or not hasattr(dataset, "__getitem__"):
        raise ValueError("validation_split takes the last samples of arrays or of a data set with indices, which a "
                         f"{type(dataset).__name__} has not: give validation_data")
    n, first = len(dataset), int(len(dataset) * (1 - fraction))
    if first in (0, n):
        raise ValueError(f"validation_split={fraction} of {n} samples leaves {first} to train with and {n - first} to "
                         "validate with")
    return Subset(dataset, range(first)), Subset(dataset, range(first, n))


def is_array(x: Any) -> bool:
    """Tensors, arrays, tables, lists of numbers, and tuples of them: not a list of batches."""
    if isinstance(x, list):
        return not (x and isinstance(x[0], (list, tuple)) and any(isinstance(part, Tensor) for part in x[0]))
    return isinstance(x, (Tensor, tuple)) or hasattr(x, "__array__")


def _tensors(x: Any, y: Any, dtype: DType) -> TensorDataset:
    inputs = x if type(x) is tuple else (x,)
    named = [(f"x[{k}]" if len(inputs) > 1 else "x", value) for k, value in enumerate(inputs)]
    fields = [as_tensor(name, value, dtype) for name, value in [*named, *([] if y is None else [("y", y)])]]
    lengths = {name: len(t) for (name, _), t in zip([*named, ("y", y)], fields, strict=False)}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{name} has {n}" for name, n in lengths.items())
        raise ValueError(f"x and y must have as many samples as one another: {found}")
    return TensorDataset(*fields)


def as_tensor(name: str, value: Any, dtype: DType) -> Tensor:
    """A tensor as it is. What is none becomes one: its floats in this dtype, its labels in int64."""
    if not isinstance(value, Tensor):
        try:
            array = np.asarray(value)
        except ValueError as problem:
            raise ValueError(f"{name} is no array: {problem}") from None
        if array.dtype.kind not in "biuf":
            raise TypeError(f"{name} must hold numbers, got {array.dtype}: turn words into numbers first")
        if array.dtype not in (np.bool_, np.uint8):
            array = array.astype(dtype if array.dtype.kind == "f" else np.int64, copy=False)
        value = from_numpy(array)
    if not value.ndim:
        raise ValueError(f"{name} must have an axis of samples, got a single number")
    return value


def samples(loader: Any) -> int | None:
    """How many samples a loader has; None where only the end will tell."""
    if not isinstance(loader, DataLoader) or loader.batch_size is None:
        return None
    source = loader.dataset if isinstance(loader.dataset, IterableDataset) else loader.sampler
    try:
        n = len(source)  # type: ignore[arg-type]
    except TypeError:
        return None
    return n - n % loader.batch_size if loader.drop_last else n


def streams(*owners: Any) -> list[Generator]:
    """The generators of random numbers that a training draws from: the default one of each device, and those that its
    modules, loaders, samplers and data sets have as attributes."""
    found, seen, todo = {id(default_generator): default_generator}, set(), list(owners)
    while todo:
        owner = todo.pop(0)
        if id(owner) in seen:
            continue
        seen.add(id(owner))
        for p in getattr(owner, "_parameters", {}).values():
            if p is not None:
                found.setdefault(id(generator_of(p.device)), generator_of(p.device))
        for name, value in getattr(owner, "__dict__", {}).items():
            if isinstance(value, Generator):
                found.setdefault(id(value), value)
            elif name in ("dataset", "sampler", "batch_sampler", "collate_fn"):
                todo.append(value)
            elif name == "datasets" and isinstance(value, list):
                todo += value
    return list(found.values())
