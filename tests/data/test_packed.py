"""pack and unpack: what goes in comes out, the file is whole or not there, and no file does harm."""

from __future__ import annotations

import json
import os
import pickle
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import tinynet as tn
from tinynet.data import ImageFolder, Table, TensorDataset, pack, unpack
from tinynet.data.datasets import Images


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def photos(tmp_path):
    for k, name in enumerate(("cat/1.png", "cat/2.png", "dög/1.png")):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(k).integers(0, 256, (6, 5, 3), np.uint8)).save(path)
    return tmp_path / "photos"


def test_a_folder_of_images_comes_back_as_images(photos):
    for options in ({}, {"size": 4}, {"mode": "L"}):
        folder = ImageFolder(photos, **options)
        pack(folder, "photos.npz")
        images = unpack("photos.npz")
        assert type(images) is Images and images.classes == ["cat", "dög"] and images.tensors[1].tolist() == [0, 0, 1]
        assert tn.equal(images.tensors[0], tn.stack([image for image, _ in folder]))
        with np.load("photos.npz", allow_pickle=False) as file:  # an .npz like any other
            assert file["0"].dtype == np.uint8


def test_images_in_memory_come_back(tmp_path):
    digits = tn.data.datasets.digits(train=False)
    pack(digits, "digits.npz")
    back = unpack("digits.npz")
    assert back.classes == list("0123456789") and all(map(tn.equal, back.tensors, digits.tensors))


@pytest.mark.parametrize("target", ["y", "w", None])
def test_a_table_comes_back(target):
    table = Table({"a": [0.1, None, 3], "w": ["u", "v", "u"], "y": [1, 2, 3]}, target, one_hot=["w"], missing="nan")
    pack(table, "table.npz")
    back = unpack("table.npz")
    assert type(back) is Table
    assert (back.features, back.target, back.classes) == (table.features, table.target, table.classes)
    for a, b in zip(back.tensors, table.tensors, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
        assert a.dtype == b.dtype


def test_tensors_come_back():
    data = TensorDataset(tn.arange(6).reshape(2, 3).T, tn.tensor([True, False, True]), tn.ones(3, 0, dtype=tn.float16))
    pack(data, "x.npz")
    back = unpack("x.npz")
    assert type(back) is TensorDataset and [t.dtype for t in back.tensors] == [t.dtype for t in data.tensors]
    assert all(map(tn.equal, back.tensors, data.tensors))
    back.tensors[0][0, 0] = 7  # to be written to


def test_the_same_data_give_the_same_bytes(photos):
    pack(ImageFolder(photos), "a.npz")
    pack(ImageFolder(photos), "b.npz")
    a, b = (Path(name).read_bytes() for name in ("a.npz", "b.npz"))
    assert a == b and len(a) < 1500


def test_what_cannot_be_packed(photos, tmp_path):
    pack(TensorDataset(tn.ones(1)), "x.npz")
    old = (tmp_path / "x.npz").read_bytes()
    Image.fromarray(np.zeros((7, 5, 3), np.uint8)).save(photos / "cat" / "tall.png")
    for data, error, text in (
        ([tn.ones(1)], TypeError, "takes an ImageFolder, a Table or a TensorDataset, got list"),
        (ImageFolder(photos), ValueError, r"different sizes cannot be stacked: .*3 x 6 x 5.*tall\.png is 3 x 7 x 5"),
        (ImageFolder(photos, lambda picture: picture), ValueError, "without transforms"),
    ):
        with pytest.raises(error, match=text):
            pack(data, "x.npz")
    assert (tmp_path / "x.npz").read_bytes() == old and {p.name for p in tmp_path.iterdir()} == {"photos", "x.npz"}


# --- files that are damaged, foreign or hostile -------------------------------------------------------------
@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("packed")


@pytest.fixture(scope="module")
def whole(folder):
    pack(Table({"a": [0.1, 2, 3], "w": ["u", "v", "u"]}, "w"), folder / "w")
    return (folder / "w").read_bytes()


NO = "was not written by tn.data.pack, or is damaged or cut off: "


@given(st.data())
def test_a_file_cut_off_anywhere_is_an_error(folder, whole, data):
    (folder / "cut").write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(ValueError, match=f"cut {NO}"):
        unpack(folder / "cut")


@given(st.data())
def test_no_damage_gives_another_error_or_another_table(folder, whole, data):
    contents = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        contents[data.draw(st.integers(0, len(contents) - 1))] = data.draw(st.integers(0, 255))
    (folder / "damaged").write_bytes(contents)
    try:
        table = unpack(folder / "damaged")
    except ValueError as error:
        assert f"damaged {NO}" in str(error)
    else:  # every byte of the data is under a checksum
        assert table.features == ["a"] and table.classes == ["u", "v"] and table.tensors[1].tolist() == [0, 1, 0]


@given(st.binary(max_size=300))
def test_any_bytes_are_an_error(folder, contents):
    (folder / "noise").write_bytes(contents)
    with pytest.raises(ValueError, match=f"noise {NO}"):
        unpack(folder / "noise")


def forged(about, *arrays, raw=None):
    """A file that says of these arrays what it likes."""
    text = about if isinstance(about, bytes) else json.dumps(about).encode()
    named = {"tinynet": np.frombuffer(text, np.uint8), **{str(k): a for k, a in enumerate(arrays)}}
    np.savez_compressed("forged", **named)
    if raw is not None:
        with zipfile.ZipFile("forged.npz", "a", zipfile.ZIP_DEFLATED) as file:
            file.writestr("0.npy", raw)
    return "forged.npz"


def header(text, magic=b"\x93NUMPY\x01\x00"):
    return magic + len(text).to_bytes(2, "little") + text.encode() + bytes(8)


X, Y = np.zeros((2, 3), np.float32), np.array([0, 1])
IMAGES = np.zeros((2, 1, 3, 3), np.uint8)
TABLE = {"version": 1, "kind": "table", "arrays": 2, "features": ["a", "b", "c"], "target": "y", "classes": ["u", "v"]}
PICTURES = {"version": 1, "kind": "images", "arrays": 2, "classes": ["u", "v"]}
ONE = {"version": 1, "kind": "tensors", "arrays": 1}


@pytest.mark.parametrize(("write", "text"), [
    (lambda: forged(b"{"), "Expecting"),
    (lambda: forged(b"[" * 100_000), "recursion"),
    (lambda: forged(b"\xff"), "utf-8"),
    (lambda: forged([]), "list indices"),
    (lambda: forged({}), "version"),
    (lambda: forged({**TABLE, "version": 2}, X, Y), "of version 2, this tinynet reads version 1"),
    (lambda: forged({**TABLE, "arrays": 3}, X, Y), "no item named '2.npy'"),
    (lambda: forged({**TABLE, "arrays": 10**12}, X, Y), "no item named '2.npy'"),
    (lambda: forged({**TABLE, "arrays": "2"}, X, Y), ""),
    (lambda: forged({**TABLE, "arrays": 0}), ""),
    (lambda: forged({**TABLE, "features": ["a"]}, X, Y), r"1 features, and columns of shape \(2, 3\)"),
    (lambda: forged({**TABLE, "features": "abc"}, X, Y), "features must be a list of words"),
    (lambda: forged({**TABLE, "features": [1, 2, 3]}, X, Y), "features must be a list of words"),
    (lambda: forged({**TABLE, "classes": ["u"]}, X, Y), "labels are not those of 1 classes"),
    (lambda: forged({**TABLE, "classes": 5}, X, Y), "classes must be a list of words"),
    (lambda: forged(TABLE, X, Y[:1]), "Size mismatch"),
    (lambda: forged(TABLE, X[0], Y[[0, 1, 1]]), "3 features, and columns of shape"),
    (lambda: forged(PICTURES, X, Y), "no images with classes"),
    (lambda: forged({**PICTURES, "classes": None}, IMAGES, Y), "no images with classes"),
    (lambda: forged(PICTURES, IMAGES, Y[:1]), "Size mismatch"),
    (lambda: forged(ONE, np.array([object()])), "0 is no array that pack.. writes"),
    (lambda: forged(ONE, np.array(["word"])), "0 is no array that pack.. writes"),
    (lambda: forged(ONE, np.ones(2, complex)), "0 is no array that pack.. writes"),
    (lambda: forged(ONE, np.asfortranarray(np.ones((2, 2)))), "0 is no array that pack.. writes"),
    (lambda: forged(ONE, np.float32(1)), "0-d tensor"),
    (lambda: forged(ONE, raw=b"\x93NUMPY"), "0 is no array that pack.. writes"),
    (lambda: forged(ONE, raw=header("{'descr': '<f4', 'fortran_order': False, 'shape': (10000000000,), }\n")),
     r"0 has 8 bytes, not those of \(10000000000,\) float32"),
    (lambda: forged(ONE, raw=header("{'descr': '<f4', 'fortran_order': False, 'shape': (-2, -1), }\n")), "0 is no"),
    (lambda: forged(ONE, raw=header("{'descr': '|O8', 'fortran_order': False, 'shape': (1,), }\n")), "0 is no array"),
    (lambda: forged(ONE, raw=header("__import__('os').mkdir('fired')\n")), "0 is no array"),
])  # fmt: skip
def test_files_that_are_forged(tmp_path, write, text):
    name = write()
    try:
        with pytest.raises(ValueError, match=f"forged.npz {NO}.*{text}"):
            unpack(name)
    finally:
        assert not (tmp_path / "fired").exists()


class Weapon:
    def __reduce__(self):
        return os.mkdir, ("fired",)


@pytest.mark.parametrize("write", [
    lambda path: path.write_bytes(pickle.dumps(Weapon())),
    lambda path: np.savez(path, tinynet=np.array([Weapon()])),
    lambda path: np.savez(path, x=np.ones(3)),
])  # fmt: skip
def test_a_pickle_is_never_opened(tmp_path, write):
    write(tmp_path / "x.npz")
    with pytest.raises(ValueError, match=f"x.npz {NO}"):
        unpack("x.npz")
    assert not (tmp_path / "fired").exists()


def test_a_file_that_says_it_is_larger_than_it_can_be_takes_no_memory():
    name = forged(ONE, np.zeros(1_000_000))
    contents = bytearray(Path(name).read_bytes())
    for mark, at in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):  # where the size is, in either of the zip's headers
        start = contents.rindex(mark)
        contents[start + at : start + at + 4] = (0xFFFF_FF00).to_bytes(4, "little")
    Path(name).write_bytes(contents)
    tracemalloc.start()
    with pytest.raises(ValueError, match=f"{NO}0 cannot be 4,294,967,040 bytes, of"):
        unpack(name)
    assert tracemalloc.get_traced_memory()[1] < 5_000_000
    tracemalloc.stop()


def test_a_file_of_a_zip_with_a_password():
    name = forged(ONE, np.zeros(3))
    contents = bytearray(Path(name).read_bytes())
    for mark, at in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        contents[contents.index(mark) + at] |= 1
    Path(name).write_bytes(contents)
    with pytest.raises(ValueError, match=f"{NO}.*encrypted"):
        unpack(name)


@pytest.mark.parametrize(("call", "error", "text"), [
    (lambda: unpack("absent"), FileNotFoundError, "absent"),
    (lambda: unpack("."), IsADirectoryError, r"'\.'"),
    (lambda: pack(TensorDataset(tn.ones(1)), "no/such/x"), FileNotFoundError, "no/such/x"),
])  # fmt: skip
def test_bad_input(tmp_path, call, error, text):
    with pytest.raises(error, match=text):
        call()
    assert list(tmp_path.iterdir()) == []


def test_it_is_read_from_where_it_is_written_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    pack(TensorDataset(tn.ones(1)), tmp_path / "x.npz")
    assert len(unpack("~/x.npz")) == 1
