"""The idx format of MNIST: two zero bytes, a type code, the number of dimensions, each size big-endian, the
bytes."""
from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from tinynet.dtypes import Array

UNSIGNED_BYTE = 0x08


def read_idx(path: Path, ndim: int) -> Array:
    """The uint8 array in a gzipped idx file of `ndim` dimensions. RuntimeError if the file is not just that.

    Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of handwritten digits", 1998.
    """
    try:
        with gzip.open(path, "rb") as f:
            data = f.read()
    except (gzip.BadGzipFile, EOFError, zlib.error) as e:
        raise RuntimeError(f"{path} is not a whole gzip file ({e}): download it again") from e
    magic = bytes((0, 0, UNSIGNED_BYTE, ndim))
    if data[:4] != magic:
        raise RuntimeError(f"{path} is no idx file of {ndim}-dimensional bytes: it starts with "
                           f"{data[:4].hex(' ')!r}, expected {magic.hex(' ')!r}")
    start = 4 + 4 * ndim
    shape: Any = np.frombuffer(data[4:start].ljust(4 * ndim, b"\0"), ">u4").tolist()
    if len(data) != start + math.prod(shape):
        raise RuntimeError(f"{path} has {max(len(data) - start, 0):,} bytes of data; its header promises "
                           f"{' x '.join(map(str, shape))} = {math.prod(shape):,}")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)
