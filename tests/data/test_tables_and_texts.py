"""The tables and texts: what is in them, and what is said about files that are not right."""
from __future__ import annotations

import dataclasses
import hashlib
import re

import numpy as np
import pytest

import tinynet as tn
from tinynet.data import datasets, sources
from tinynet.data.sources import FILES


@pytest.fixture
def shelf(monkeypatch, tmp_path):
    """An empty $TINYNET_DATA and an empty cache; no mirror answers."""
    monkeypatch.setenv("TINYNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TINYNET_DATA", str(tmp_path / "shelf"))
    for name in ("california_housing", "tiny_shakespeare", "names"):
        change(monkeypatch, name, mirrors=())
    return tmp_path / "shelf"


def change(monkeypatch, name, **fields):
    monkeypatch.setitem(datasets.SOURCES, name, dataclasses.replace(datasets.SOURCES[name], **fields))


def put(monkeypatch, shelf, name, text):
    """Put a file of a data set on the shelf, and have its checksum be right."""
    ((file, _),) = datasets.SOURCES[name].md5.items()
    path = shelf / datasets.SOURCES[name].folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    change(monkeypatch, name, md5={file: hashlib.md5(text.encode()).hexdigest()})
    return path


# --- what ships ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", datasets.SHIPPED)
def test_a_shipped_file_that_is_damaged_or_gone_is_named(name, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "FILES", tmp_path)
    file = datasets.SHIPPED[name].name
    with pytest.raises(RuntimeError, match=f"{re.escape(file)} is missing.*install tinynet again"):
        getattr(datasets, name)()
    (tmp_path / file).write_bytes((FILES / file).read_bytes()[:-1])
    with pytest.raises(RuntimeError, match=f"{re.escape(file)} is corrupt or truncated.*install tinynet again"):
        getattr(datasets, name)()


def test_every_shipped_file_has_its_source_licence_and_checksum_told():
    sections = re.split("^## ", (FILES / "README.md").read_text(), flags=re.MULTILINE)
    told = {section.splitlines()[0]: section for section in sections}
    there = {path.name for path in FILES.iterdir()} - {"README.md"}
    assert there == {data.name for data in datasets.SHIPPED.values()} == {name for name in told if name.endswith("z")}
    for data in datasets.SHIPPED.values():
        assert "Source: " in told[data.name] and "Licence: " in told[data.name] and data.md5 in told[data.name]
    assert sum(path.stat().st_size for path in FILES.iterdir()) < 150_000


def test_sonnets():
    text = datasets.sonnets()
    parts = re.split("^([IVXLC]+)$", text, flags=re.MULTILINE)
    numbers, poems = parts[1::2], parts[2::2]
    assert parts[0] == "" and [roman(n) for n in numbers] == list(range(1, 155))
    lines = [len(poem.strip("\n").splitlines()) for poem in poems]
    assert [(n + 1, count) for n, count in enumerate(lines) if count != 14] == [(99, 15), (126, 12)]  # as printed
    assert poems[17].startswith("\n\nShall I compare thee to a summer's day?\n")
    assert len(text) == 95_609 and len(set(text)) == 62 and text.isascii() and not re.search(" \n|\n\n\n|\r", text)


def roman(text):
    values = [{"I": 1, "V": 5, "X": 10, "L": 50, "C": 100}[letter] for letter in text]
    return sum(-v if v < max(values[k:]) else v for k, v in enumerate(values))


def test_names():
    names = datasets.names()
    assert len(names) == len(set(names)) == 9096 and all(re.fullmatch("[a-z]+", name) for name in names)
    assert names[:3] == ["emma", "liam", "olivia"] and {"zoe", "ada", "william"} <= set(names)


def test_housing():
    data = datasets.housing()
    x, y = data.tensors
    assert x.shape == (546, 11) and y.shape == (546, 1) and x.dtype == y.dtype == tn.float32
    assert data.target == "price" and len(data.features) == 11
    column = dict(zip(data.features, x.numpy().T, strict=True))
    assert column["lotsize"].min() == 1650 and column["lotsize"].max() == 16200
    assert set(column["driveway"]) == {0, 1} and column["driveway"].sum() == 469 and column["airco"].sum() == 173
    assert set(column["stories"]) == {1, 2, 3, 4} and set(column["garagepl"]) == {0, 1, 2, 3}
    assert y.numpy().min() == 25_000 and y.numpy().max() == 190_000 and not np.isnan(x.numpy()).any()
    assert [t.tolist() for t in data[0]] == [[5850, 3, 1, 2, 1, 0, 1, 0, 0, 1, 0], [42000]]


def test_a_line_through_the_houses():
    """Least squares on the logarithms, as in the paper's successors: a house with air conditioning costs more."""
    x, y = (t.numpy().astype(float) for t in datasets.housing().tensors)
    x[:, :4] = np.log(x[:, :4])
    slope = np.linalg.lstsq(np.column_stack([x, np.ones(len(x))]), np.log(y), rcond=None)[0][:, 0]
    of = dict(zip(datasets.housing().features, slope, strict=False))
    assert of["lotsize"] == pytest.approx(0.31, abs=0.02) and of["airco"] == pytest.approx(0.17, abs=0.02)


# --- what is found or downloaded ----------------------------------------------------------------------------
HEADER = ("longitude,latitude,housing_median_age,total_rooms,total_bedrooms,population,households,median_income,"
          "median_house_value,ocean_proximity\n")
ROWS = ("-122.23,37.88,41.0,880.0,129.0,322.0,126.0,8.3252,452600.0,NEAR BAY\n"
        "-118.5,34.25,36.0,1500.0,,800.0,300.0,4.5,210000.0,<1H OCEAN\n")


def test_california_housing(monkeypatch, shelf):
    put(monkeypatch, shelf, "california_housing", HEADER + ROWS)
    data = datasets.california_housing()
    x, y = data.tensors
    assert x.shape == (2, 13) and x.dtype == tn.float32 and y.tolist() == [[452600.0], [210000.0]]
    assert data.features[4] == "total_bedrooms" and data.target == "median_house_value"
    assert data.features[8:] == [f"ocean_proximity={c}" for c in
                                 ("<1H OCEAN", "INLAND", "ISLAND", "NEAR BAY", "NEAR OCEAN")]
    assert x[:, 8:].tolist() == [[0, 0, 0, 1, 0], [1, 0, 0, 0, 0]]
    assert tn.isnan(x).tolist() == [[False] * 13, [k == 4 for k in range(13)]]
    assert x[0, :8].tolist() == pytest.approx([-122.23, 37.88, 41, 880, 129, 322, 126, 8.3252])


def test_columns_are_found_by_their_names(monkeypatch, shelf):
    rows = [line.split(",") for line in (HEADER + ROWS).splitlines()]
    put(monkeypatch, shelf, "california_housing", "\n".join(",".join(row[::-1]) for row in rows))
    turned = datasets.california_housing()
    put(monkeypatch, shelf, "california_housing", HEADER + ROWS)
    straight = datasets.california_housing()
    assert turned.features == straight.features
    for a, b in zip(turned.tensors, straight.tensors, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_texts_are_found_on_the_shelf(monkeypatch, shelf):
    put(monkeypatch, shelf, "tiny_shakespeare", "First Citizen:\n\nSpeak.\n")
    put(monkeypatch, shelf, "names", "emma\nliam")
    assert datasets.tiny_shakespeare() == "First Citizen:\n\nSpeak.\n"
    assert datasets.names(full=True) == ["emma", "liam"] and len(datasets.names()) == 9096
    assert datasets.names(True, shelf / "text", download=False) == ["emma", "liam"]


LOADERS = [datasets.california_housing, datasets.tiny_shakespeare, lambda **o: datasets.names(full=True, **o)]


@pytest.mark.parametrize("load", LOADERS)
def test_what_is_not_there_and_not_to_be_had(shelf, load):
    with pytest.raises(RuntimeError, match=r"not found in .*shelf.* or .*cache.*download=True"):
        load(download=False)
    with pytest.raises(RuntimeError, match=r"could not download .*(?s:.)*To place it by hand"):
        load()
    assert not any(path.is_file() for path in shelf.parent.rglob("*"))


def test_a_text_is_downloaded_under_the_name_it_has_here(monkeypatch, shelf, Mirror):
    text = b"First Citizen:\n"
    with Mirror({"char-rnn/input.txt": text}) as mirror:
        change(monkeypatch, "tiny_shakespeare", mirrors=(f"{mirror.url}char-rnn/input.txt",),
               md5={"tinyshakespeare.txt": hashlib.md5(text).hexdigest()})
        assert [datasets.tiny_shakespeare() for _ in range(2)] == ["First Citizen:\n"] * 2
    assert mirror.requests == [("char-rnn/input.txt", None)]
    assert (shelf.parent / "cache" / "text" / "tinyshakespeare.txt").read_bytes() == text


def test_a_changed_text_is_told_as_such(monkeypatch, shelf):
    put(monkeypatch, shelf, "tiny_shakespeare", "First Citizen:\n").write_bytes(b"First Citizen:\r\n")
    with pytest.raises(RuntimeError, match=r"tinyshakespeare\.txt is corrupt or truncated: its 16 bytes"):
        datasets.tiny_shakespeare()


# --- the real ones ------------------------------------------------------------------------------------------
def real(load):
    try:
        return load(download=False)
    except RuntimeError as e:
        pytest.skip(f"not on this machine: {e}")


def test_the_real_california_housing():
    data = real(datasets.california_housing)
    x, y = (t.numpy() for t in data.tensors)
    assert x.shape == (20640, 13) and y.shape == (20640, 1)
    assert np.isnan(x).sum(axis=0).tolist() == [0] * 4 + [207] + [0] * 8
    assert x[:, 8:].sum(axis=0).tolist() == [9136, 6551, 5, 2290, 2658] and (x[:, 8:].sum(axis=1) == 1).all()
    assert y.min() == 14_999 and y.max() == 500_001 and np.median(y) == 179_700


def test_the_real_tiny_shakespeare():
    text = real(datasets.tiny_shakespeare)
    assert len(text) == 1_115_394 and len(set(text)) == 65 and text.count("\n") == 40_000


def test_the_real_names():
    names = real(lambda download: datasets.names(full=True, download=download))
    assert len(names) == 32_033 and names[:3] == ["emma", "olivia", "ava"] and max(map(len, names)) == 15
    assert len(set(names) & set(datasets.names())) > 9000
