"""CIFAR-10: records, the archive they come in, and what is said about files that are not right."""
from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import os
import stat
import tarfile

import numpy as np
import pytest

import tinynet as tn
from tinynet.data import datasets
from tinynet.data.cifar import ARCHIVE, RECORD, TEST, TRAIN, read_records, unpack

rng = np.random.default_rng(0)
FILES = {}
for k, file_name in enumerate(TRAIN + TEST):
    batch = rng.integers(0, 256, (k + 1, RECORD), np.uint8)
    batch[:, 0] = rng.integers(0, 10, k + 1)
    FILES[file_name] = batch.tobytes()
INNER = "cifar-10-batches-bin/"


def archive(members=None, kind=tarfile.REGTYPE):
    """A .tar.gz of these members; the names of FILES are put into its folder."""
    members = {INNER + name: content for name, content in FILES.items()} if members is None else members
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in {f"{INNER}readme.html": b"not wanted", **members}.items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/hostname"
            info.size = len(content) if kind == tarfile.REGTYPE else 0
            tar.addfile(info, io.BytesIO(content))
    return gzip.compress(buffer.getvalue(), mtime=0)


@pytest.fixture
def small(monkeypatch, tmp_path):
    """CIFAR-10 of 15 and 6 images; the cache is tmp_path/cache, and no mirror answers."""
    monkeypatch.setenv("TINYNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("TINYNET_DATA", raising=False)
    change(monkeypatch, archive(), ())
    return tmp_path


def change(monkeypatch, content, mirrors):
    md5 = {ARCHIVE: hashlib.md5(content).hexdigest()}
    monkeypatch.setitem(datasets.SOURCES, "cifar10",
                        dataclasses.replace(datasets.SOURCES["cifar10"], md5=md5, mirrors=mirrors))


def put(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def check(data, files):
    records = np.frombuffer(b"".join(FILES[name] for name in files), np.uint8).reshape(-1, RECORD)
    images, labels = data.tensors
    assert images.dtype == tn.float32 and labels.dtype == tn.int64
    assert labels.tolist() == records[:, 0].tolist()
    np.testing.assert_array_equal(images.numpy(), records[:, 1:].reshape(-1, 3, 32, 32) / np.float32(255))
    assert data.classes[0] == "airplane" and data.classes[9] == "truck" and len(data.classes) == 10


# --- where it is found --------------------------------------------------------------------------------------
@pytest.mark.parametrize("inner", ["", INNER])
def test_from_a_folder_of_records(small, inner):
    root = small / "files"
    put(root / inner, FILES)
    check(datasets.cifar10(root), TRAIN)
    check(datasets.cifar10(str(root), train=False, download=False), TEST)


@pytest.mark.parametrize("folder", ["shelf", f"shelf/{INNER}", "cache", f"cache/{INNER}"])
def test_an_archive_is_unpacked_once(small, monkeypatch, folder):
    monkeypatch.setenv("TINYNET_DATA", str(small / "shelf"))
    put(small / folder, {ARCHIVE: archive()})
    check(datasets.cifar10(train=False, download=False), TEST)
    unpacked = small / "cache" / INNER
    assert set(names(unpacked)) == {*FILES, *([ARCHIVE] if folder == f"cache/{INNER}" else [])}
    (small / folder / ARCHIVE).unlink()
    check(datasets.cifar10(download=False), TRAIN)


def test_it_is_downloaded_and_unpacked_into_the_root_that_was_given(small, monkeypatch, Mirror):
    with Mirror({ARCHIVE: archive()}) as mirror:
        change(monkeypatch, archive(), (mirror.url,))
        for _ in range(2):
            check(datasets.cifar10(small / "here"), TRAIN)
        assert datasets.SOURCES["cifar10"].fetch(small / "here") == [small / "here" / INNER / name for name in FILES]
    assert mirror.requests == [(ARCHIVE, None)] and not (small / "cache").exists()


def test_where_the_command_line_looks(small):
    source = datasets.SOURCES["cifar10"]
    assert source.places(small / "empty") == [small / "empty" / INNER / name for name in FILES]
    assert source.places(put(small / "packed", {ARCHIVE: b"?"})) == [small / "packed" / ARCHIVE]
    with pytest.raises(RuntimeError, match="is corrupt"):
        source.check(small / "packed" / ARCHIVE)
    put(small / "mixed", {ARCHIVE: archive(), TRAIN[0]: FILES[TRAIN[0]]})
    assert source.places(small / "mixed")[0] == small / "mixed" / TRAIN[0]
    source.check(small / "mixed" / TRAIN[0])


def test_without_download_the_error_says_where_it_looked(small):
    with pytest.raises(RuntimeError, match=rf"data_batch_1.bin \(or {ARCHIVE}\) not found in .*cache.*download=T"):
        datasets.cifar10(download=False)


# --- archives that are not right ----------------------------------------------------------------------------
def test_a_corrupt_archive_is_named_and_nothing_is_unpacked(small):
    root = put(small / "files", {ARCHIVE: archive()[:-10]})
    with pytest.raises(RuntimeError, match=rf"{ARCHIVE} is corrupt or truncated"):
        datasets.cifar10(root)
    assert names(root) == [ARCHIVE]


WHOLE = archive()
TAR = gzip.decompress(WHOLE)  # the readme in two blocks, then data_batch_1.bin's header, then its records


@pytest.mark.parametrize("content, message", [
    (b"plain bytes", "no whole .tar.gz archive"),
    (WHOLE[: len(WHOLE) // 2], "no whole .tar.gz archive"),
    (WHOLE[:200] + b"?" * 200 + WHOLE[400:], "no whole .tar.gz archive"),
    (gzip.compress(TAR[:512 * 2 + 300]), "has no data_batch_1.bin"),
    (gzip.compress(TAR[:512 * 3 + 300]), r"no whole .tar.gz archive \(unexpected end of data\)"),
    (archive({}), "has no data_batch_1.bin, data_batch_2.bin.*test_batch.bin"),
    (archive({INNER + name: c for name, c in FILES.items() if name not in TEST}), r"has no test_batch.bin\. Delete"),
    (archive(kind=tarfile.SYMTYPE), "has no data_batch_1.bin"),
    (archive(kind=tarfile.DIRTYPE), "has no data_batch_1.bin"),
])
def test_archives_that_are_refused(tmp_path, content, message):
    put(tmp_path, {ARCHIVE: content})
    with pytest.raises(RuntimeError, match=message) as caught:
        unpack(tmp_path / ARCHIVE, TRAIN + TEST, tmp_path / "out")
    assert str(tmp_path / ARCHIVE) in str(caught.value)
    left = names(tmp_path / "out")
    assert all((tmp_path / "out" / name).read_bytes() == FILES[name] for name in left)  # whole, or not there


def test_no_path_of_the_archive_decides_where_is_written(tmp_path):
    evil = {"../../" + TRAIN[0]: FILES[TRAIN[0]], str(tmp_path / "absolute" / TRAIN[1]): FILES[TRAIN[1]],
            "../outside.txt": b"?"}
    put(tmp_path / "in", {ARCHIVE: archive(evil)})
    out = tmp_path / "deep" / "out"
    unpack(tmp_path / "in" / ARCHIVE, TRAIN[:2], out)
    assert names(out) == sorted(TRAIN[:2]) and names(tmp_path) == ["deep", "in"] and names(tmp_path / "deep") == ["out"]


def test_an_interruption_leaves_nothing_half_written(tmp_path, monkeypatch):
    import shutil

    def interrupted(source, target):
        target.write(source.read(100))
        raise KeyboardInterrupt

    put(tmp_path, {ARCHIVE: archive()})
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfileobj", interrupted)
        with pytest.raises(KeyboardInterrupt):
            unpack(tmp_path / ARCHIVE, TRAIN, tmp_path / "out")
    assert names(tmp_path / "out") == []
    unpack(tmp_path / ARCHIVE, TRAIN, tmp_path / "out")
    assert names(tmp_path / "out") == sorted(TRAIN)
    assert stat.S_IMODE((tmp_path / "out" / TRAIN[0]).stat().st_mode) == 0o666 & ~_umask()


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_folder_that_cannot_be_made_is_told_as_such(tmp_path):
    put(tmp_path, {ARCHIVE: archive(), "file": b""})
    with pytest.raises(RuntimeError, match=r"could not write .*file.*TINYNET_CACHE"):
        unpack(tmp_path / ARCHIVE, TRAIN, tmp_path / "file")


# --- records that are not right -----------------------------------------------------------------------------
GOOD = FILES[TRAIN[1]]


@pytest.mark.parametrize("content, message", [
    (b"", "has 0 bytes, which is no whole number of 3,073-byte records"),
    (GOOD[:-1], "has 6,145 bytes, which is no whole number"),
    (GOOD + b"\0", "has 6,147 bytes"),
    (GOOD[:RECORD] + b"\x0a" + GOOD[RECORD + 1:], "the label of record 1 is 10, not 0 to 9"),
])
def test_malformed_records_are_runtime_errors(small, content, message):
    root = put(small / "files", FILES | {TRAIN[1]: content})
    with pytest.raises(RuntimeError, match=message) as caught:
        datasets.cifar10(root)
    assert str(root / TRAIN[1]) in str(caught.value)
    with pytest.raises(RuntimeError, match=message):
        datasets.SOURCES["cifar10"].fetch(root)


def test_the_archive_is_the_published_one():
    assert datasets.SOURCES["cifar10"].md5 == {"cifar-10-binary.tar.gz": "c32a1d4ab5d03f1284b67883e8d87530"}


def test_the_real_records():
    try:
        train, test = (datasets.cifar10(train=part, download=False) for part in (True, False))
    except RuntimeError as e:
        pytest.skip(f"CIFAR-10 is not on this machine: {e}")
    for data in (train, test):
        images, labels = data.tensors
        assert images.shape == (len(labels), 3, 32, 32) and len(labels) % 2000 == 0
        assert images.min().item() == 0.0 and images.max().item() == 1.0
        counts = np.bincount(labels.numpy(), minlength=10)
        assert len(counts) == 10 and counts.min() > 0.8 * len(labels) / 10


def test_read_records_gives_views_of_one_array(tmp_path):
    put(tmp_path, {"a.bin": GOOD})
    images, labels = read_records(tmp_path / "a.bin")
    assert images.base is labels.base is not None and images.dtype == np.uint8
