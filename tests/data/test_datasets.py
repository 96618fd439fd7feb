"""The data sets: what is in them, where they are found, what is said about files that are not right."""
from __future__ import annotations

import dataclasses
import gzip
import hashlib
import struct

import numpy as np
import pytest

import tinynet as tn
from tinynet.data import datasets, sources
from tinynet.data.idx import read_idx


# --- digits -------------------------------------------------------------------------------------------------
def test_digits_are_what_is_promised():
    images, labels = datasets.digits().tensors
    assert images.shape == (1797, 1, 8, 8) and images.dtype == tn.float32
    assert labels.shape == (1797,) and labels.dtype == tn.int64
    assert images.min().item() == 0.0 and images.max().item() == 1.0
    assert labels.numpy().min() == 0 and labels.numpy().max() == 9


def test_digits_are_scikit_learns():
    theirs = pytest.importorskip("sklearn.datasets").load_digits()
    images, labels = datasets.digits().tensors
    np.testing.assert_array_equal(images.numpy()[:, 0] * 16, theirs.images)
    np.testing.assert_array_equal(labels.numpy(), theirs.target)


def test_digits_split_into_parts_with_the_same_share_of_every_class():
    whole, train, test = (datasets.digits(part) for part in (None, True, False))
    assert (len(train), len(test)) == (1433, 364)
    rows = [image.tobytes() for image in whole.tensors[0].numpy()]
    parts = [image.tobytes() for part in (train, test) for image in part.tensors[0].numpy()]
    assert sorted(rows) == sorted(parts)
    counts = [np.bincount(part.tensors[1].numpy(), minlength=10) for part in (whole, test)]
    np.testing.assert_array_equal(counts[1], np.ceil(counts[0] / 5))
    assert test.tensors[1].tolist()[:12] == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 5, 9]  # the split is fixed


def test_a_truncated_digits_file_is_named(tmp_path, monkeypatch):
    (tmp_path / "digits.npz").write_bytes((sources.FILES / "digits.npz").read_bytes()[:-100])
    monkeypatch.setattr(sources, "FILES", tmp_path)
    with pytest.raises(RuntimeError, match=r"digits\.npz is corrupt or truncated.*install tinynet again"):
        datasets.digits()


# --- a small MNIST ------------------------------------------------------------------------------------------
def idx(array):
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return gzip.compress(header + array.astype(np.uint8).tobytes(), mtime=0)


rng = np.random.default_rng(0)
ARRAYS = {
    "train-images-idx3-ubyte.gz": rng.integers(0, 256, (6, 28, 28)),
    "train-labels-idx1-ubyte.gz": np.array([5, 0, 4, 1, 9, 2]),
    "t10k-images-idx3-ubyte.gz": rng.integers(0, 256, (3, 28, 28)),
    "t10k-labels-idx1-ubyte.gz": np.array([7, 2, 1]),
}
FILES = {name: idx(array) for name, array in ARRAYS.items()}


def md5(content):
    return hashlib.md5(content).hexdigest()


def change(monkeypatch, name, **fields):
    """Have a data set come from elsewhere, or be other files."""
    monkeypatch.setitem(datasets.SOURCES, name, dataclasses.replace(datasets.SOURCES[name], **fields))


@pytest.fixture
def small(monkeypatch, tmp_path):
    """MNIST of nine images; the cache is tmp_path/cache, and no mirror answers."""
    change(monkeypatch, "mnist", mirrors=(), md5={name: md5(content) for name, content in FILES.items()})
    monkeypatch.setenv("TINYNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("TINYNET_DATA", raising=False)
    return tmp_path


def put(folder, names=FILES):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(FILES[name])
    return folder


def check(train, part):
    images, labels = train.tensors
    expected = ARRAYS[f"{part}-images-idx3-ubyte.gz"]
    assert images.shape == (len(expected), 1, 28, 28)
    assert images.dtype == tn.float32 and labels.dtype == tn.int64
    np.testing.assert_array_equal(images.numpy()[:, 0], expected.astype(np.float32) / np.float32(255))
    assert labels.tolist() == ARRAYS[f"{part}-labels-idx1-ubyte.gz"].tolist()


def test_mnist_from_a_folder(small):
    root = put(small / "files")
    check(datasets.mnist(root), "train")
    check(datasets.mnist(str(root), train=False, download=False), "t10k")


def test_mnist_from_the_data_folder_then_the_cache(small, monkeypatch):
    monkeypatch.setenv("TINYNET_DATA", str(small / "shelf"))
    put(small / "shelf" / "mnist", ["train-images-idx3-ubyte.gz"])
    put(small / "cache" / "mnist", [name for name in FILES if name != "train-images-idx3-ubyte.gz"])
    check(datasets.mnist(), "train")
    folders = [path.parent.parent.name for path in datasets.SOURCES["mnist"].places()]
    assert folders == ["shelf", "cache", "cache", "cache"]


def test_mnist_is_downloaded_once_into_the_cache(small, monkeypatch, Mirror):
    monkeypatch.setenv("TINYNET_DATA", str(small / "shelf"))
    with Mirror(FILES) as mirror:
        change(monkeypatch, "mnist", mirrors=(mirror.url,))
        for _ in range(2):
            check(datasets.mnist(train=False), "t10k")
    test_files = ["t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"]
    assert [name for name, _ in mirror.requests] == test_files
    assert sorted(path.name for path in (small / "cache" / "mnist").iterdir()) == test_files
    assert not (small / "shelf").exists()


def test_mnist_is_downloaded_into_the_root_that_was_given(small, monkeypatch, Mirror):
    with Mirror(FILES) as mirror:
        change(monkeypatch, "mnist", mirrors=(mirror.url,))
        check(datasets.mnist(small / "here"), "train")
        assert datasets.SOURCES["mnist"].fetch(small / "here") == [small / "here" / name for name in FILES]
    assert len(mirror.requests) == 4 and not (small / "cache").exists()


def test_without_download_the_error_says_where_it_looked(small, monkeypatch):
    monkeypatch.setenv("TINYNET_DATA", str(small / "shelf"))
    with pytest.raises(RuntimeError, match=r"train-images.* not found in .*shelf.* or .*cache.*download=T"):
        datasets.mnist(download=False)


def test_a_corrupt_file_is_named_and_not_overwritten(small, monkeypatch, Mirror):
    root = put(small / "files")
    damaged = root / "train-labels-idx1-ubyte.gz"
    damaged.write_bytes(FILES[damaged.name][:-3])
    with Mirror(FILES) as mirror:
        change(monkeypatch, "mnist", mirrors=(mirror.url,))
        with pytest.raises(RuntimeError, match=r"train-labels-idx1-ubyte\.gz is corrupt or truncated"):
            datasets.mnist(root)
    assert damaged.read_bytes() == FILES[damaged.name][:-3] and mirror.requests == []


def test_images_and_labels_must_be_of_one_set(small, monkeypatch):
    root = put(small / "files")
    other = idx(np.arange(5))
    (root / "train-labels-idx1-ubyte.gz").write_bytes(other)
    change(monkeypatch, "mnist", md5=datasets.SOURCES["mnist"].md5 | {"train-labels-idx1-ubyte.gz": md5(other)})
    with pytest.raises(RuntimeError, match="6 images and 5 labels are not of one set"):
        datasets.mnist(root)


def test_the_real_mnist():
    try:
        train, test = (datasets.mnist(train=part, download=False) for part in (True, False))
    except RuntimeError as e:
        pytest.skip(f"MNIST is not on this machine: {e}")
    assert train.tensors[0].shape == (60000, 1, 28, 28) and test.tensors[0].shape == (10000, 1, 28, 28)
    assert train.tensors[1].tolist()[:8] == [5, 0, 4, 1, 9, 2, 1, 3]
    counts = np.bincount(test.tensors[1].numpy()).tolist()
    assert counts == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert train.tensors[0].mean().item() == pytest.approx(0.1307, abs=1e-4)
    assert train.classes == tuple("0123456789")


def test_fashion_mnist_is_found_beside_mnist(small, monkeypatch, Mirror):
    """The files have MNIST's names, and a folder and checksums of their own."""
    other = {name: idx(255 - array if "images" in name else array) for name, array in ARRAYS.items()}
    with Mirror(other) as mirror:
        change(monkeypatch, "fashion_mnist", mirrors=(mirror.url,), md5={n: md5(c) for n, c in other.items()})
        data = datasets.fashion_mnist(train=False)
    assert data.classes[5] == "Sandal" and len(data.classes) == 10 and data.tensors[1].tolist() == [7, 2, 1]
    np.testing.assert_array_equal(data.tensors[0].numpy()[:, 0] * 255, 255 - ARRAYS["t10k-images-idx3-ubyte.gz"])
    assert (small / "cache" / "fashion-mnist" / "t10k-labels-idx1-ubyte.gz").exists()
    with pytest.raises(RuntimeError, match=r"t10k-images.* is corrupt"):
        datasets.fashion_mnist(put(small / "files"), train=False)


def test_the_checksums_of_fashion_mnist_are_the_published_ones():
    assert list(datasets.SOURCES["fashion_mnist"].md5.values()) == [
        "8d4fb7e6c68d591d4c3dfef9ec88bf0d", "25c81989df183df01b3e8a0aad5dffbe",
        "bef4ecab320f06d8554ea6380940ec79", "bb300cfdad3c16e7a12a480ee83cd310"]


# --- idx files that are not right ---------------------------------------------------------------------------
LABELS = idx(np.arange(10))
RAW = gzip.decompress(LABELS)


@pytest.mark.parametrize("content, message", [
    (b"", r"starts with '', expected '00 00 08 01'"),
    (b"plain bytes", "not a whole gzip file"),
    (LABELS[:-9], "not a whole gzip file"),
    (LABELS[:10] + b"\xff" + LABELS[11:], "not a whole gzip file .*invalid block type"),
    (idx(np.zeros((2, 3))), r"no idx file of 1-dimensional bytes: it starts with '00 00 08 02'"),
    (gzip.compress(b"\0\0\x0d\x01" + RAW[4:], mtime=0), r"starts with '00 00 0d 01', expected '00 00 08 01'"),
    (gzip.compress(RAW[:6], mtime=0), "its header promises"),
    (gzip.compress(RAW[:-1], mtime=0), "9 bytes of data; its header promises 10 = 10"),
    (gzip.compress(RAW + b"\0", mtime=0), "11 bytes of data; its header promises 10 = 10"),
])
def test_malformed_idx_files_are_runtime_errors(tmp_path, content, message):
    path = tmp_path / "labels.gz"
    path.write_bytes(content)
    with pytest.raises(RuntimeError, match=message) as caught:
        read_idx(path, 1)
    assert str(path) in str(caught.value)


def test_idx_files_of_any_shape(tmp_path):
    for array in (np.arange(24).reshape(2, 3, 4), np.zeros((0, 28, 28)), np.arange(7)):
        (tmp_path / "a.gz").write_bytes(idx(array))
        np.testing.assert_array_equal(read_idx(tmp_path / "a.gz", array.ndim), array)
