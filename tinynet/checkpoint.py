"""save and load: whatever a training must remember, as a safetensors file.

The tensors are the file's tensors, which other libraries read too. All the rest is JSON in the file's header:
{"version": 1, "crc32": checksum, "object": tree}, where numbers, strings, True, False, None and lists are themselves,
and anything else is an object with one key that says what it is: {"tensor": name}, {"dict": {...}}, {"tuple": [...]},
... Loading reads data and runs none of it: there is no pickle here.
"""
from __future__ import annotations

import json
import math
import os
import zlib
from collections import Counter, OrderedDict
from typing import Any

import numpy as np

from tinynet.device import device as Device
from tinynet.io import read_safetensors, save_safetensors
from tinynet.ops import from_numpy
from tinynet.tensor import Tensor

__all__ = ["load", "save"]

HEADER = "tinynet"  # where in the file's metadata the JSON stands
VERSION = 1
DEEPEST = 100  # levels of nesting; one that goes on for longer has itself inside
MAPPINGS: dict[str, type[dict[Any, Any]]] = {kind.__name__: kind for kind in (dict, OrderedDict, Counter)}


def save(obj: Any, f: str | os.PathLike[str]) -> None:
    """Write tensors, numbers, strings, None, and dicts, lists and tuples of them to the file f: any state_dict, and
    what you put together of several. NumPy's arrays and numbers may be among them (a number comes back as Python's).

    The file is complete, and on the disk, before it takes its name: until then an old one of this name stays as it
    was, whatever happens. A state_dict of a module becomes a file that PyTorch's safetensors reads. TypeError for
    anything else, naming where it stands: "['optimizer']['state'][3]".

    >>> tn.save({"epoch": 3, "weights": tn.tensor([1.0, 2.0])}, "last.ckpt")
    >>> tn.load("last.ckpt")
    {'epoch': 3, 'weights': tensor([1., 2.])}
    """
    tensors: dict[str, Tensor] = {}
    _write(_encode(obj, (), tensors), tensors, f)


def _write(tree: Any, tensors: dict[str, Tensor], f: str | os.PathLike[str]) -> None:
    header = {"version": VERSION, "crc32": checksum(tree, tensors), "object": tree}
    save_safetensors(tensors, f, {HEADER: json.dumps(header)})


def load(f: str | os.PathLike[str], map_location: str | Device | None = None, *, weights_only: bool = True) -> Any:
    """What save() wrote to the file f: of the same structure, new tensors that require no grad. map_location: the
    device to put them on. weights_only is accepted as PyTorch's; never is there anything else in a file, and never is
    code run. ValueError for a file that is damaged, be it by one bit, or that save() did not write; OSError where it
    cannot be read.

    >>> layer, other = tn.nn.Linear(2, 1), tn.nn.Linear(2, 1)
    >>> tn.save(layer.state_dict(), "layer.ckpt"); other.load_state_dict(tn.load("layer.ckpt"))
    <All keys matched successfully>
    """
    tensors, metadata = read_safetensors(f, map_location)
    if HEADER not in metadata:
        raise ValueError(f"{f} was not written by tn.save: it has tensors, but not how they belong together. "
                         "tn.io.load_safetensors gives them by name")
    try:
        header = json.loads(metadata[HEADER])
        if header["version"] != VERSION:
            raise ValueError(f"it is of version {header['version']!r}, this tinynet reads version {VERSION}")
        found = _decode(header["object"], tensors)
        if header["crc32"] != checksum(header["object"], tensors):
            raise ValueError("its checksum is another than when it was written")
        return found
    except (ValueError, KeyError, TypeError, RecursionError) as problem:
        raise ValueError(f"{f} is damaged, or was not written by tn.save: {problem}") from None


def checksum(tree: Any, tensors: dict[str, Tensor]) -> int:
    """A number that changes with any part of the object."""
    crc = zlib.crc32(json.dumps(tree).encode())
    for name in sorted(tensors):
        a = np.ascontiguousarray(tensors[name].detach().cpu().numpy())
        crc = zlib.crc32(f"{name} {a.dtype} {tensors[name].shape}".encode("utf-8", "replace"), crc)
        crc = zlib.crc32(a.reshape(-1).view(np.uint8).data, crc)
    return crc


def _encode(value: Any, path: tuple[Any, ...], tensors: dict[str, Tensor]) -> Any:
    """The value as JSON; its tensors are entered among `tensors`."""
    kind = type(value)
    if len(path) > DEEPEST:
        raise ValueError(f"save(): nested more than {DEEPEST} deep at {_where(path[:5])}...: does it contain itself?")
    if isinstance(value, np.generic) and type(value.item()) in (bool, int, float):
        return _encode(value.item(), path, tensors)
    if value is None or kind in (bool, int, str) or (kind is float and math.isfinite(value)):
        return value
    if kind is float:
        return {"float": repr(value)}
    if isinstance(value, Tensor):
        return {"tensor": _enter(value, path, tensors)}
    if kind is np.ndarray:
        try:
            return {"array": _enter(from_numpy(np.array(value)), path, tensors)}
        except (TypeError, ValueError):
            _refuse(value, path)
    if kind is list:
        return [_encode(item, (*path, k), tensors) for k, item in enumerate(value)]
    if kind is tuple:
        return {"tuple": _encode(list(value), path, tensors)}
    if kind in MAPPINGS.values():
        if all(type(key) is str for key in value):
            return {kind.__name__: {key: _encode(item, (*path, key), tensors) for key, item in value.items()}}
        pairs = [[_key(key, path), _encode(item, (*path, key), tensors)] for key, item in value.items()]
        return {kind.__name__: pairs}
    return _refuse(value, path)


def _key(key: Any, path: tuple[Any, ...]) -> Any:
    """A key of a mapping as JSON."""
    tensors: dict[str, Tensor] = {}
    try:
        tree = _encode(key, (), tensors)
    except TypeError:
        return _refuse(key, path, "has a key")
    return _refuse(key, path, "has a key") if tensors else tree


def _enter(tensor: Tensor, path: tuple[Any, ...], tensors: dict[str, Tensor]) -> str:
    """Put the tensor among the others, under its path, and return that name."""
    name = ".".join(map(str, path)).encode("utf-8", "backslashreplace").decode() or "tensor"
    while name in tensors or name == "__metadata__":  # {1: ...} and {"1": ...}; and a name the format keeps
        name += "'"
    tensors[name] = tensor
    return name


def _refuse(value: Any, path: tuple[Any, ...], what: str = "is") -> Any:
    hints = {"state_dict": " (save its .state_dict())", "get_state": " (save its .get_state())"}
    hint = next((text for name, text in hints.items() if hasattr(value, name)), "")
    kind = type(value).__name__ + (f" of {value.dtype}" if isinstance(value, np.ndarray) else "")
    raise TypeError(f"save(): {_where(path)} {what} of type {kind}{hint}; what can be saved are tensors, numbers, "
                    "strings, None, and dicts, lists and tuples of them")


def _where(path: tuple[Any, ...]) -> str:
    return "".join(f"[{key!r}]" for key in path) or "the object itself"


def _decode(tree: Any, tensors: dict[str, Tensor]) -> Any:
    """The value that _encode made this JSON of; an error if it is other JSON."""
    if isinstance(tree, list):
        return [_decode(item, tensors) for item in tree]
    if not isinstance(tree, dict):
        return tree
    kind, content = next(iter(tree.items())) if len(tree) == 1 else ("", None)
    if kind in ("tensor", "array") and content in tensors:
        return tensors[content] if kind == "tensor" else tensors[content].cpu().numpy()
    if kind == "float" and content in ("nan", "inf", "-inf"):
        return float(content)
    if kind == "tuple" and isinstance(content, list):
        return tuple(_decode(content, tensors))
    if kind in MAPPINGS and isinstance(content, dict):
        return MAPPINGS[kind]({key: _decode(item, tensors) for key, item in content.items()})
    if kind in MAPPINGS and isinstance(content, list):
        return MAPPINGS[kind]({_decode(key, tensors): _decode(item, tensors) for key, item in content})
    raise ValueError(f"there is no meaning to {str(tree)[:80]}")
