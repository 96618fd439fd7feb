"""Weights as files that other libraries read too: safetensors, which holds named tensors and no code.

PyTorch's side of it is `safetensors.torch`: what either writes, the other loads.
"""
from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from tinynet.device import device as Device
from tinynet.files import check_file, whole_file
from tinynet.ops import from_numpy
from tinynet.tensor import Tensor

__all__ = ["load_safetensors", "save_safetensors"]

READABLE = {"F16", "F32", "F64", "I8", "U8", "I16", "I32", "I64", "BOOL"}


def save_safetensors(tensors: Mapping[str, Tensor], path: str | os.PathLike[str],
                     metadata: Mapping[str, str] | None = None) -> None:
    """Write named tensors, such as a state_dict, and a few texts about them (`metadata`) to a file.

    Tensors that share memory, as tied weights do, are each written whole. Until the new file is complete an old one
    of this name stays as it was. TypeError for anything but tensors under names; OSError where it cannot be written.

    >>> model = tn.nn.Linear(2, 1)
    >>> tn.io.save_safetensors(model.state_dict(), "model.safetensors")
    """
    arrays = {name: _array(name, value) for name, value in _names("tensors", tensors)}
    texts = dict(_names("metadata", metadata or {}))
    for name, text in texts.items():
        if not isinstance(text, str):
            raise TypeError(f"save_safetensors(): metadata[{name!r}] must be a string, got {type(text).__name__}")
    if "__metadata__" in arrays:
        raise ValueError("save_safetensors(): the format keeps the name '__metadata__' for itself; rename that tensor")
    contents = save(arrays, texts or None)
    with whole_file(path) as file:
        file.write(contents)


def load_safetensors(path: str | os.PathLike[str], device: str | Device | None = None) -> dict[str, Tensor]:
    """The tensors of a file by name, for `model.load_state_dict(...)`.

    A name that PyTorch's `save_model` left out, because another tensor has its memory, is there again. ValueError for
    a file that is damaged, of another kind, or has a dtype tinynet has not; OSError where it cannot be read.

    >>> tn.io.save_safetensors({"x": tn.tensor([1.0, 2.0])}, "x.safetensors")
    >>> tn.io.load_safetensors("x.safetensors")
    {'x': tensor([1., 2.])}
    """
    return read_safetensors(path, device)[0]


def read_safetensors(path: str | os.PathLike[str],
                     device: str | Device | None = None) -> tuple[dict[str, Tensor], dict[str, str]]:
    """load_safetensors, and the file's metadata."""
    place = None if device is None else Device(device)
    path = Path(path)
    check_file(path)  # its OSError names the file; that of safe_open does not always
    try:
        with safe_open(path, framework="numpy") as file:
            dtypes = {name: file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118 - no mapping
            foreign = {name: dtype for name, dtype in dtypes.items() if dtype not in READABLE}
            if foreign:
                listed = ", ".join(f"'{name}' ({dtype})" for name, dtype in foreign.items())
                raise ValueError(f"{path} has tensors of dtypes that tinynet has not: {listed}. Convert them where the "
                                 f"file was written, to float32 for example")
            tensors = {name: _read(file, name) for name in dtypes}
            metadata = file.metadata() or {}
    except SafetensorError as problem:
        raise ValueError(f"{path} is not a safetensors file, or is damaged or cut off: {problem}"
                         f"{_foreign(path)}") from None
    if place is not None:
        tensors = {name: tensor.to(place) for name, tensor in tensors.items()}
    twins = {name: tensors[twin] for name, twin in metadata.items() if name not in tensors and twin in tensors}
    return tensors | twins, metadata


def _read(file: Any, name: str) -> Tensor:
    """A tensor of the file. SafetensorError where the format allows a shape that no array has."""
    try:
        return from_numpy(file.get_tensor(name))
    except ValueError as problem:
        raise SafetensorError(f"tensor {name!r}: {problem}") from None


def _foreign(path: Path) -> str:
    """What to say of a file that looks like NumPy's format, or PyTorch's own."""
    with open(path, "rb") as file:
        head = file.read(1024)
    first = head[30:30 + int.from_bytes(head[26:28], "little")]  # if it is a zip: the name of its first member
    if head.startswith(b"PK") and first.endswith(b".npy"):
        return "; it is NumPy's .npz: np.load reads it, or tn.data.unpack, if tn.data.pack wrote it"
    if head[:2] not in (b"PK", b"\x80\x02", b"\x80\x04"):
        return ""
    return ("; it looks like a pickle, as torch.save writes it. Unpickling can run any code, so tinynet never does: "
            "where the file was written, save with safetensors.torch.save_file")


def _names(argument: str, mapping: Any) -> Iterator[tuple[str, Any]]:
    """The items of a mapping from strings."""
    if not isinstance(mapping, Mapping):
        hint = "; for a module that is its .state_dict()" if hasattr(mapping, "state_dict") else ""
        raise TypeError(f"save_safetensors(): {argument} must map names to values, got {type(mapping).__name__}{hint}")
    for name, value in mapping.items():
        if not isinstance(name, str):
            raise TypeError(f"save_safetensors(): the names in {argument} must be strings, got {name!r}")
        yield name, value


def _array(name: str, value: Any) -> Any:
    """The elements in the order of their indices, as the format wants them."""
    if not isinstance(value, Tensor):
        raise TypeError(f"save_safetensors(): {name!r} is of type {type(value).__name__}: the format holds tensors "
                        f"only, each under a name of its own")
    return np.asarray(value.detach().cpu().numpy(), order="C")
