"""ONNX, the file format for trained networks that other programs run: `onnxruntime`, browsers, phones.

`export` runs the model (`trace.py`), says each op in ONNX's operators (`operators.py`, `layers.py`), and puts them
together with the weights (`graph.py`).
"""
from __future__ import annotations

import inspect
import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tinynet.device import CPU, backend
from tinynet.errors import check_dim
from tinynet.files import whole_file
from tinynet.nn.module import Module
from tinynet.onnx.graph import Graph
from tinynet.onnx.layers import write_call
from tinynet.onnx.trace import Trace, merged
from tinynet.tensor import Tensor

__all__ = ["export"]

OPSET = 18


def export(model: Module, args: Any, f: str | os.PathLike[str], *, input_names: Sequence[str] | None = None,
           output_names: Sequence[str] | None = None, batch_dim: int | Sequence[int | None] | None = 0) -> None:
    """Write the model, as it is in eval mode, to the file f in ONNX's format.

    args: an example of its input, or a tuple of its arguments. The model is run on arrays like it, and each op that is
    met becomes ONNX's; so a loop is written out as often as it ran. Only shapes and dtypes of the example count, and of
    integers the range. batch_dim: the axis (or one for each tensor of args) that may have any size when the file is
    run; None for none. Weights keep their names of the state_dict; inputs are called as forward's arguments, outputs
    "output" or "output_0", …, unless named. Until the file is complete an old one of this name stays as it was.

    ImportError without the package onnx (`pip install "tinynet-dl[onnx]"`). NotImplementedError for an op that ONNX has
    no operator for here, with the module's path; RuntimeError where the model looks at numbers of its input (bool() as
    in `if x.sum() > 0`, .item(), .numpy(), x[ids]), for a result would depend on them by more than ops; where it draws
    at random; and where other ops are run for another batch. Parameters, buffers and sizes it may look at.

    >>> model = tn.nn.Sequential(tn.nn.Linear(4, 3), tn.nn.ReLU())
    >>> tn.onnx.export(model, tn.zeros(1, 4), "model.onnx")                                 # doctest: +SKIP
    >>> onnxruntime.InferenceSession("model.onnx").run(None, {"input": x})                  # doctest: +SKIP
    """
    if not isinstance(model, Module):
        raise TypeError(f"onnx.export(): argument 'model' must be a tn.nn.Module, not {type(model).__name__}")
    Graph.require()
    given = args if isinstance(args, tuple) else (args,)
    tensors = [a for a in given if isinstance(a, Tensor)]
    if not tensors:
        raise TypeError("onnx.export(): args must be a Tensor, or a tuple with one among the arguments of the model, "
                        f"got {type(args).__name__}")
    away = next((t.device for t in (*tensors, *(t for _, t in _state(model))) if t.device != CPU), None)
    if away is not None:
        raise RuntimeError(f"onnx.export(): a tensor is on {away}, and values are looked at one by one: move the model "
                           "and its example to the CPU, model.cpu()")
    axes = _batch_axes(tensors, batch_dim)
    traces = [Trace(model, _like(given, axes, n), n) for n in (2, 3)]  # what differs between them goes with the batch
    calls, results = merged(*traces)
    names = _names("input_names", input_names, len(tensors), _arguments(model, given))
    graph = Graph(OPSET, traces, axes, names, {id(t.array): name for name, t in _state(model)})
    for call in calls:
        graph.outputs_of(call, write_call(graph, call))
    defaults = ["output"] if len(results) == 1 else [f"output_{k}" for k in range(len(results))]
    contents = graph.finished(results, _names("output_names", output_names, len(results), defaults, names),
                              type(model).__name__)
    with whole_file(f) as file:
        file.write(contents)


def _state(model: Module) -> Iterable[tuple[str, Tensor]]:
    yield from model.named_parameters()
    yield from model.named_buffers()


def _batch_axes(tensors: list[Tensor], batch_dim: Any) -> list[int | None]:
    """For each tensor the axis of the batch."""
    dims = list(batch_dim) if isinstance(batch_dim, (tuple, list)) else [batch_dim] * len(tensors)
    if len(dims) != len(tensors):
        raise ValueError(f"onnx.export(): batch_dim has {len(dims)} entries for {len(tensors)} tensors in args")
    for t, d in zip(tensors, dims, strict=True):
        if d is not None and not t.ndim:
            raise ValueError("onnx.export(): a 0-d tensor in args has no axis for the batch; give None for it in "
                             "batch_dim, one entry for each tensor")
    return [None if d is None else check_dim(d, t.ndim) for t, d in zip(tensors, dims, strict=True)]


def _like(args: tuple[Any, ...], axes: list[int | None], n: int) -> tuple[Any, ...]:
    """args with a batch of n, and with other values of the same range: what depends on them will differ too."""
    left, rng = iter(axes), np.random.default_rng(n)
    return tuple(_other(a, next(left), n, rng) if isinstance(a, Tensor) else a for a in args)


def _other(example: Tensor, axis: int | None, n: int, rng: np.random.Generator) -> Tensor:
    a = example.numpy(force=True)
    if axis is not None:
        if not a.shape[axis]:
            raise ValueError(f"onnx.export(): the example {list(a.shape)} is empty: its batch must hold a sample")
        a = a.take(np.arange(n) % a.shape[axis], axis)
    if a.dtype.kind == "f":
        mixed = np.where(a == 0, rng.standard_normal(a.shape), a * rng.uniform(0.5, 1.5, a.shape)).astype(a.dtype)
    else:
        mixed = rng.permutation(a.reshape(-1)).reshape(a.shape)
    return Tensor(backend(example.array).asarray(mixed))


def _arguments(model: Module, args: tuple[Any, ...]) -> list[str]:
    """The names of forward's arguments that are tensors."""
    parameters = inspect.signature(model.forward).parameters.values()
    known = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    known += [f"input_{k}" for k in range(len(known), len(args))]
    return [name for name, a in zip(known, args, strict=False) if isinstance(a, Tensor)]


def _names(what: str, given: Sequence[str] | None, count: int, default: list[str], taken: Sequence[str] = ()
           ) -> list[str]:
    names = default if given is None else list(given)
    wrong = given is not None and (isinstance(given, str) or not all(isinstance(n, str) and n for n in names))
    if wrong or len(names) != count or len({*names, *taken}) < count + len(taken):
        others = f", other than {list(taken)}" if taken else ""
        raise ValueError(f"onnx.export(): {what} must be {count} different name{'s' * (count != 1)}{others}, got "
                         f"{names if given is None else given}")
    return names
