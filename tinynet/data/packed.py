"""A data set of your own as one compressed file: images of a folder, or a table, with the names of what is in it.

The file is NumPy's .npz: a zip of arrays, and of a JSON text that says what they are. Reading it runs no code.
"""
from __future__ import annotations

import io
import json
import math
import os
import re
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from tinynet.data._progress import progress
from tinynet.data.dataset import TensorDataset
from tinynet.data.datasets import Images
from tinynet.data.folder import ImageFolder, check_sizes, pixels, read_picture
from tinynet.data.table import Table
from tinynet.dtypes import SUPPORTED, Array
from tinynet.files import check_file, whole_file
from tinynet.ops import from_numpy

ABOUT = "tinynet"  # the JSON text among the arrays
VERSION = 1
DEFLATE = 1032  # zlib makes nothing smaller than by this factor
ARRAY = re.compile(rb"\x93NUMPY\x01\0..{'descr': '([<>|]\w\d)', 'fortran_order': False, 'shape': \(([\d, ]*)\), } *\n",
                   re.DOTALL)


def pack(data: Any, path: str | os.PathLike[str]) -> None:
    """Write an ImageFolder, a Table or another TensorDataset to one compressed file, for `tn.data.unpack`.

    Images keep their 8 bits, and must be of one size: ImageFolder(root, size=...) scales them. The file is complete,
    and on the disk, before it takes its name. The same data give the same bytes. TypeError for other data sets.

    >>> tn.data.pack(tn.data.Table({"size": [50, 70], "rent": [500, 800]}, "rent"), "flats.npz")
    >>> tn.data.unpack("flats.npz").features
    ['size']
    """
    if not isinstance(data, (ImageFolder, TensorDataset)):
        raise TypeError(f"pack() takes an ImageFolder, a Table or a TensorDataset, got {type(data).__name__}")
    arrays = _images(data) if isinstance(data, ImageFolder) else [
        np.ascontiguousarray(t.numpy(force=True)) for t in data.tensors]
    kind = "table" if isinstance(data, Table) else "images" if isinstance(data, (ImageFolder, Images)) else "tensors"
    about = {"version": VERSION, "kind": kind, "arrays": len(arrays)}
    about |= {name: getattr(data, name) for name in ("classes", "features", "target") if hasattr(data, name)}
    text = np.frombuffer(json.dumps(about).encode(), np.uint8)
    named: dict[str, Any] = {ABOUT: text, **{str(k): array for k, array in enumerate(arrays)}}
    with whole_file(path) as file:
        np.savez_compressed(file, **named)


def unpack(path: str | os.PathLike[str]) -> Images | Table | TensorDataset:
    """What pack() wrote: images in [0, 1] with labels and `classes`, as `tn.data.datasets` has them; or the Table, or
    the TensorDataset. ValueError for a file that is damaged, cut off or of another kind; OSError where there is none.

    >>> images = tn.data.unpack("photos.npz")                                              # doctest: +SKIP
    """
    path = Path(path).expanduser()
    check_file(path)
    contents = path.read_bytes()
    try:
        with zipfile.ZipFile(io.BytesIO(contents)) as archive:
            about = json.loads(_array(archive, ABOUT).tobytes())
            if about["version"] != VERSION:
                raise ValueError(f"it is of version {about['version']!r}, this tinynet reads version {VERSION}")
            return _data(about, [_array(archive, str(k)) for k in range(min(about["arrays"], len(archive.namelist())))])
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, RuntimeError, AssertionError, LookupError,
            TypeError, ValueError) as problem:
        raise ValueError(f"{path} was not written by tn.data.pack, or is damaged or cut off: {problem}") from None


def _images(folder: ImageFolder) -> list[Array]:
    """The pixels, N x C x H x W, and the labels."""
    if folder.transform is not None or folder.target_transform is not None:
        raise ValueError("pack() takes images as they are: give an ImageFolder without transforms")
    images = []
    for path in progress([path for path, _ in folder.samples], desc=f"reading {folder.root}", unit="image"):
        images.append(pixels(read_picture(path, folder.mode, folder.size)))
        check_sizes({folder.samples[0][0]: images[0].shape, path: images[-1].shape})
    return [np.stack(images), np.array(folder.targets, np.int64)]


def _array(archive: zipfile.ZipFile, name: str) -> Array:
    """An array of the archive. ValueError if it is not of the size that is promised: memory is taken for no more."""
    info = archive.getinfo(f"{name}.npy")
    if info.file_size > DEFLATE * (info.compress_size + 1):
        raise ValueError(f"{name} cannot be {info.file_size:,} bytes, of {info.compress_size:,} compressed ones")
    data = archive.read(info)
    head = ARRAY.match(data)
    dtype = np.dtype(head[1].decode()) if head else None
    if head is None or dtype not in SUPPORTED:
        raise ValueError(f"{name} is no array that pack() writes")
    shape = tuple(int(n) for n in head[2].split(b",") if n.strip())
    if head.end() + dtype.itemsize * math.prod(shape) != len(data):
        raise ValueError(f"{name} has {len(data) - head.end():,} bytes, not those of {shape} {dtype}")
    return np.frombuffer(data, dtype, offset=head.end()).reshape(shape).copy()


def _data(about: dict[str, Any], arrays: list[Array]) -> Images | Table | TensorDataset:
    kind, classes = about["kind"], about.get("classes")
    if classes is not None:
        _check_names(classes, "classes")
        if arrays[1].ndim != 1 or not ((arrays[1] >= 0) & (arrays[1] < len(classes))).all():
            raise ValueError(f"labels are not those of {len(classes)} classes")
    if kind == "images":
        if classes is None or arrays[0].ndim != 4:
            raise ValueError(f"no images with classes, of shape {arrays[0].shape}")
        return Images(arrays[0], arrays[1], 255 if arrays[0].dtype == np.uint8 else 1, classes)
    data = TensorDataset(*map(from_numpy, arrays))
    if kind == "table":
        _check_names(about["features"], "features")
        if arrays[0].ndim != 2 or arrays[0].shape[1] != len(about["features"]):
            raise ValueError(f"{len(about['features'])} features, and columns of shape {arrays[0].shape}")
        return Table.of(data.tensors, about["features"], about["target"], classes)
    return data


def _check_names(names: Any, what: str) -> None:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{what} must be a list of words")
