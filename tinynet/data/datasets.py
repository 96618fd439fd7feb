"""Data sets of real images, each a TensorDataset of (images: float32, N x 1 x H x W, in [0, 1]; labels:
int64, N)."""
from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tinynet.data.dataset import TensorDataset
from tinynet.data.download import cache_dir, fetch, verify
from tinynet.data.idx import read_idx
from tinynet.dtypes import Array
from tinynet.ops import from_numpy

__all__ = ["digits", "mnist"]

DIGITS = Path(__file__).parent / "files" / "digits.npz"
DIGITS_MD5 = "35fa292850aefdac88ea117403394609"

MNIST_MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "http://yann.lecun.com/exdb/mnist/",
)
MNIST_MD5 = {
    "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
}


def digits(train: bool | None = None) -> TensorDataset:
    """1,797 images of handwritten digits, 8 x 8: all of them, the 1,433 to train with, or the 364 to test.

    The test images are the first, sixth, eleventh ... of each class, so both parts have the same share of
    every digit (and the same writers). The file is part of tinynet. Source: E. Alpaydin and C. Kaynak,
    Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998,
    https://doi.org/10.24432/C50P49, licence CC BY 4.0.

    >>> tn.data.datasets.digits(train=False).tensors[0].shape
    (364, 1, 8, 8)
    """
    verify(DIGITS, DIGITS_MD5, "It is part of tinynet: install tinynet again")
    with np.load(DIGITS) as file:
        images, labels = file["images"], file["labels"]
    if train is not None:
        tested = np.zeros(len(labels), bool)
        for digit in range(10):
            tested[np.flatnonzero(labels == digit)[::5]] = True
        images, labels = images[tested != train], labels[tested != train]
    return _as_dataset(images, labels, brightest=16)


def mnist(root: str | os.PathLike[str] | None = None, train: bool = True,
          download: bool = True) -> TensorDataset:
    """70,000 images of handwritten digits, 28 x 28: the 60,000 to train with, or the 10,000 to test with.

    The four .gz files are looked for in `root`; without one in $TINYNET_DATA/mnist, then in the cache. What
    is missing is downloaded to `root` or the cache. RuntimeError if a file is corrupt, or missing and not to
    be had. Source: Y. LeCun, C. Cortes and C. J. C. Burges, The MNIST database of handwritten digits, 1998.

    >>> images, labels = tn.data.datasets.mnist(train=False).tensors  # doctest: +SKIP
    """
    part = "train" if train else "t10k"
    images = read_idx(_mnist_file(f"{part}-images-idx3-ubyte.gz", root, download), 3)
    labels = read_idx(_mnist_file(f"{part}-labels-idx1-ubyte.gz", root, download), 1)
    if len(images) != len(labels):
        raise RuntimeError(f"MNIST {part}: {len(images)} images and {len(labels)} labels are not of one set")
    return _as_dataset(images, labels, brightest=255)


def mnist_files(root: str | os.PathLike[str] | None = None) -> dict[Path, str]:
    """The four files, where they are or else where they would be downloaded to, and their MD5s."""
    return {_place(name, _mnist_folders(root)): md5 for name, md5 in MNIST_MD5.items()}


def fetch_mnist(root: str | os.PathLike[str] | None = None) -> list[Path]:
    """Download those of the four files that are not there; check all; return where they are."""
    return [_mnist_file(name, root, download=True) for name in MNIST_MD5]


def _mnist_folders(root: str | os.PathLike[str] | None) -> list[Path]:
    """Where the files are looked for, in this order; a download goes to the last."""
    if root is not None:
        return [Path(root).expanduser()]
    data = os.environ.get("TINYNET_DATA")
    return [*([Path(data).expanduser() / "mnist"] if data else []), cache_dir() / "mnist"]


def _mnist_file(name: str, root: str | os.PathLike[str] | None, download: bool) -> Path:
    return _whole_file(name, MNIST_MD5[name], MNIST_MIRRORS, _mnist_folders(root), download)


def _place(name: str, folders: Sequence[Path]) -> Path:
    """The file in the first folder that has it, else in the last."""
    return next((folder / name for folder in folders if (folder / name).exists()), folders[-1] / name)


def _whole_file(name: str, md5: str, mirrors: Sequence[str], folders: Sequence[Path], download: bool) -> Path:
    """The file, of the right checksum, from a folder that has it or else from a mirror."""
    path = _place(name, folders)
    if path.exists():
        verify(path, md5)
    elif not download:
        raise RuntimeError(f"{name} not found in {' or '.join(map(str, folders))}. Put it there, or use "
                           "download=True to download it")
    else:
        fetch(name, mirrors, md5, path.parent)
    return path


def _as_dataset(images: Array, labels: Array, brightest: int) -> TensorDataset:
    pixels = images[:, None].astype(np.float32)
    pixels /= brightest
    return TensorDataset(from_numpy(pixels), from_numpy(labels.astype(np.int64)))
