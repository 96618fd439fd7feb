"""`tinynet data` as a command: what it prints for people and for machines, and its exit status."""

from __future__ import annotations

import dataclasses
import hashlib
import json

import numpy as np
import pytest
from PIL import Image

import tinynet as tn
from tinynet.cli import main
from tinynet.data import datasets
from tinynet.data.sources import FILES


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Nothing in the cache, no mirror; in the current folder there are images and a table."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TINYNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("TINYNET_DATA", raising=False)
    for name, source in datasets.SOURCES.items():
        monkeypatch.setitem(datasets.SOURCES, name, dataclasses.replace(source, mirrors=()))
    for k, name in enumerate(("cat/1.png", "cat/2.png", "dog/1.png")):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((6 + k, 5, 3), 50 * k, np.uint8)).save(path)
    (tmp_path / "flats.csv").write_text("size,floor,rent\n50,roof,500\n,ground,600\n70,ground,800\n")


def told(capsys, *args, status=0):
    """What a command with --json says."""
    assert main(["data", *args, "--json"]) == status
    return json.loads(capsys.readouterr().out)


# --- list, verify, fetch ------------------------------------------------------------------------------------
def test_a_list_for_machines(capsys, tmp_path):
    rows = told(capsys, "list")
    assert [row["name"] for row in rows] == [*datasets.SHIPPED, *datasets.SOURCES]
    assert rows[0] == {"name": "digits", "about": "1,797 images, 8 x 8", "files": 1, "there": 1,
                       "folders": [str(FILES)], "download": None}
    (row,) = told(capsys, "list", "mnist")
    assert row["there"] == 0 and row["files"] == 4 and row["folders"] == [str(tmp_path / "cache" / "mnist")]


def test_verify_for_machines(capsys, tmp_path):
    assert {row["state"] for row in told(capsys, "verify", "names")} == {"ok", "missing"}
    (tmp_path / "names.txt").write_text("emma")
    row = told(capsys, "verify", "names", "--data", ".", status=1)[-1]
    assert row["state"] == "CORRUPT" and "is corrupt or truncated: its 4 bytes" in row["problem"]


def test_a_set_of_which_nothing_is_there_is_not_in_order(capsys):
    assert {row["state"] for row in told(capsys, "verify", "cifar10", status=1)} == {"missing"}
    assert main(["data", "verify", "cifar10"]) == 1
    assert capsys.readouterr().err == (
        "tinynet: error: nothing of cifar10 is here: `tinynet data fetch cifar10` downloads it\n")
    assert main(["data", "verify"]) == 0, "of all sets, those that are here are"


def test_fetch_says_where_the_files_are(capsys, tmp_path, monkeypatch):
    assert told(capsys, "fetch", "digits") == {"name": "digits", "files": [str(FILES / "digits.npz")]}
    source = dataclasses.replace(datasets.SOURCES["tiny_shakespeare"], md5={
        "tinyshakespeare.txt": hashlib.md5(b"Speak.").hexdigest()})  # fmt: skip
    monkeypatch.setitem(datasets.SOURCES, "tiny_shakespeare", source)
    (tmp_path / "tinyshakespeare.txt").write_bytes(b"Speak.")
    assert told(capsys, "fetch", "tiny_shakespeare", "--data", ".")["files"] == ["tinyshakespeare.txt"]
    assert main(["data", "fetch", "tiny_shakespeare"]) == 1
    out, err = capsys.readouterr()
    assert out == "" and "could not download tinyshakespeare.txt" in err and "To place it by hand: " in err


# --- pack ---------------------------------------------------------------------------------------------------
def test_images_are_packed(capsys):
    assert main(["data", "pack", "photos", "--size", "4x3"]) == 0
    out, err = capsys.readouterr()
    first, second = out.splitlines()
    assert first == "3 images, 3 x 4 x 3 of 2 classes: 'cat', 'dog'"
    assert second.startswith("photos.npz  ") and "MD5" in second and "photos: 100%" in err
    assert tn.data.unpack("photos.npz").tensors[1].tolist() == [0, 0, 1]
    found = told(capsys, "pack", "photos", "--size", "5", "--grey", "--out", "grey.npz")
    assert found["file"] == "grey.npz" and found["samples"] == 3 and found["classes"] == ["cat", "dog"]
    assert found["shapes"] == [[1, 5, 5], []]


def test_the_current_folder_has_a_name(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path / "photos")
    assert main(["data", "pack", ".", "--size", "3"]) == 0
    assert (tmp_path / "photos" / "photos.npz").exists()


def test_a_table_is_packed(capsys):
    assert main(["data", "pack", "flats.csv", "--target", "rent", "--missing", "drop"]) == 0
    assert capsys.readouterr().out.startswith("2 rows, 2 features to predict 'rent'\nflats.npz  ")
    assert tn.data.unpack("flats.npz").features == ["size", "floor=roof"]
    assert main(["data", "pack", "flats.csv", "--target", "floor", "--features", "rent"]) == 0
    assert capsys.readouterr().out.startswith("3 rows, 1 features to predict 'floor' of 2 classes: 'ground', 'roof'\n")
    assert main(["data", "pack", "flats.csv", "--features", "rent,floor"]) == 0
    assert capsys.readouterr().out.startswith("3 rows, 2 features\n")


def test_a_tab_can_be_written_as_the_hint_does(capsys, tmp_path):
    (tmp_path / "tabs.csv").write_text("a\tb\n1\t2\n")
    assert main(["data", "pack", "tabs.csv", "--target", "b", "--delimiter", r"\t"]) == 0
    assert capsys.readouterr().out.startswith("1 rows, 1 features to predict 'b'\n")


def test_a_packed_file_is_verified(capsys, tmp_path):
    main(["data", "pack", "photos", "--size", "3"])
    capsys.readouterr()
    assert main(["data", "verify", "photos.npz"]) == 0
    assert capsys.readouterr().out == "ok       photos.npz\n"
    (tmp_path / "photos.npz").write_bytes((tmp_path / "photos.npz").read_bytes()[:-9])
    assert main(["data", "verify", "photos.npz"]) == 1
    out, err = capsys.readouterr()
    assert out == "CORRUPT  photos.npz\n" and "photos.npz was not written by tn.data.pack, or is damaged" in err
    assert told(capsys, "verify", "photos.npz", status=1)[0]["state"] == "CORRUPT"


@pytest.mark.parametrize(("args", "text"), [
    (["verify", "imagenet"], "imagenet is neither a file nor a data set; there are digits, housing, "),
    (["pack", "absent"], "No such file or directory: 'absent'"),
    (["pack", "photos"], "different sizes cannot be stacked: "),
    (["pack", "cache", "--size", "3"], "cache has no images in folders of their own"),
    (["pack", "flats.csv"], "flats.csv, line 3: size is missing (as is something in 1 of 3 rows); --missing drop "
     "leaves such rows out, --missing nan keeps them"),
    (["pack", "semicolons.csv", "--target", "b"], "is it separated by ';'? Then say --delimiter ';'"),
    (["pack", "tabs.csv", "--target", "b"], r"is it separated by '\t'? Then say --delimiter '\t'"),
    (["pack", "latin.csv"], "if the file is in another one, say so: --encoding latin-1"),
    (["pack", "numbered.csv"], "has no name: give it one, or choose others with --features A,B"),
    (["pack", "flats.csv", "--target", "rant"], "no column 'rant' (did you mean 'rent'?)"),
    (["pack", "flats.csv", "--delimiter", "::"], "delimiter must be one character"),
    (["pack", "flats.csv", "--missing", "drop", "--out", "no/such.npz"], "could not write the file"),
])
def test_errors_are_told_and_nothing_is_written(capsys, tmp_path, args, text):
    (tmp_path / "cache").mkdir()
    (tmp_path / "semicolons.csv").write_text("a;b\n1;2\n")
    (tmp_path / "tabs.csv").write_text("a\tb\n1\t2\n")
    (tmp_path / "latin.csv").write_bytes("a,b\n1,ü\n".encode("latin-1"))
    (tmp_path / "numbered.csv").write_text(",b\n1,2\n")
    before = sorted(tmp_path.rglob("*"))
    assert main(["data", *args]) == (2 if args == ["verify", "imagenet"] else 1)
    out, err = capsys.readouterr()
    assert out == "" and text in err and sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("size", ["0", "x", "3x", "3x0", "-3", "3x4x5", "big"])
def test_a_size_that_is_none(capsys, size):
    with pytest.raises(SystemExit):
        main(["data", "pack", "photos", f"--size={size}"])
    assert f"argument --size: {size} is no size: write HEIGHTxWIDTH" in capsys.readouterr().err
