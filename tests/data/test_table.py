"""Tables: what is in a CSV file, a frame or columns is in the tensors, and what is wrong is told where it stands."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinynet as tn
from tinynet.data import Table, csvfile, read_csv

FLATS = "size,lift,floor,rent\n50,no,ground,500\n70.5,yes,roof,800\n 30 ,no,middle,3e2\n"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def written(contents, name="flats.csv"):
    Path(name).write_bytes(contents if isinstance(contents, bytes) else contents.encode())
    return name


def same(a, b):
    """Of the same names and tensors, the missing ones among them."""
    assert (a.features, a.target, a.classes) == (b.features, b.target, b.classes)
    for s, t in zip(a.tensors, b.tensors, strict=True):
        assert s.dtype == t.dtype and s.shape == t.shape
        np.testing.assert_array_equal(s.numpy(), t.numpy())


# --- what comes out -----------------------------------------------------------------------------------------
def test_numbers_words_and_a_target():
    table = read_csv(written(FLATS), "rent", one_hot=["lift", "floor"])
    x, y = table.tensors
    assert table.features == ["size", "lift=yes", "floor=ground", "floor=middle", "floor=roof"]
    assert table.target == "rent"
    assert x.tolist() == [[50, 0, 1, 0, 0], [70.5, 1, 0, 0, 1], [30, 0, 0, 1, 0]] and x.dtype == y.dtype == tn.float32
    assert y.tolist() == [[500], [800], [300]] and table.classes is None
    assert [t.tolist() for t in table[1]] == [[70.5, 1, 0, 0, 1], [800]] and len(table) == 3
    assert repr(table) == "Table(3 rows, 5 features to predict 'rent')"


def test_a_target_of_words_becomes_labels():
    table = read_csv(written(FLATS), "floor", features=["rent", "size"])
    assert table.classes == ["ground", "middle", "roof"] and table.features == ["rent", "size"]
    assert table.tensors[1].tolist() == [0, 2, 1] and table.tensors[1].dtype == tn.int64
    assert table.tensors[0].tolist() == [[500, 50], [800, 70.5], [300, 30]]


def test_without_a_target_there_is_x_alone():
    (x,) = read_csv(written(FLATS), one_hot=True).tensors
    assert x.shape == (3, 6)


def test_all_columns_without_a_number_are_words_if_so_asked():
    table = read_csv(written("a,b,c,d\nx,1,,yes\ny,2,u,\n"), "b", one_hot=True, missing="nan")
    assert table.features == ["a=y", "c=u", "d=yes"]
    with pytest.raises(ValueError, match=r"line 3: a is 'y', expected a number$"):
        read_csv(written("a,b\n1,1\ny,2\n"), "b", one_hot=True)


def test_words_may_be_given_in_an_order_of_their_own():
    floors = ["roof", "ground", "cellar", "middle"]
    table = read_csv(written(FLATS), "rent", features=["floor"], one_hot={"floor": floors})
    assert table.features == ["floor=roof", "floor=ground", "floor=cellar", "floor=middle"]
    assert table.tensors[0].tolist() == [[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]]
    text = "flats.csv, line 3: floor is 'roof', expected one of 'ground', 'rooff' (did you mean 'rooff'?)"
    with pytest.raises(ValueError, match=re.escape(text)):
        read_csv("flats.csv", "rent", features=["floor"], one_hot={"floor": ["ground", "rooff"]})


def test_numbers_can_be_taken_as_words():
    table = read_csv(written("zip,y\n01,1\n2,2\n01,3\n"), "y", one_hot=["zip"])
    assert table.features == ["zip=2"] and table.tensors[0].tolist() == [[0], [1], [0]]
    table = Table({"k": [1234567, 1234568, 0.5], "y": [1, 2, 3]}, "y", one_hot=["k"])
    assert table.features == ["k=0.5", "k=1234567", "k=1234568"]


GAPS = "a,w,y\n1,u,1\n,v,2\n3,,3\n4,u,4\n"


def test_missing_values():
    with pytest.raises(ValueError, match=re.escape("flats.csv, line 3: a is missing (as is something in 2 of 4 rows)")):
        read_csv(written(GAPS), "y", one_hot=["w"])
    x, y = read_csv("flats.csv", "y", one_hot=["w"], missing="drop").tensors
    assert x.tolist() == [[1, 0], [4, 0]] and y.tolist() == [[1], [4]]
    x, y = read_csv("flats.csv", "y", one_hot=["w"], missing="nan").tensors
    assert x.nan_to_num(-1).tolist() == [[1, 0], [-1, 1], [3, -1], [4, 0]] and len(y) == 4


@pytest.mark.parametrize("missing", ["error", "nan"])
@pytest.mark.parametrize("cell", ["", "NA", " nan ", "null"])
def test_a_target_that_is_missing_is_no_sample(missing, cell):
    for target in ("1", "u"):
        with pytest.raises(ValueError, match=r"line 3: y, the target, is missing \(in 1 of 2 rows\); missing='drop'"):
            read_csv(written(f"a,y\n1,{target}\n2,{cell}\n"), "y", missing=missing)
        assert len(read_csv("flats.csv", "y", missing="drop")) == 1


@pytest.mark.parametrize("contents", [
    "a,y\r\n1,2\r\n",
    "a,y\r1,2\r",
    "\n\na,y\n\n1,2",
    "a , y\n 1 ,2 \n",
    '"a","y"\n"1","2"\n',
    'a, "y"\n1, "2"\n',
    codecs.BOM_UTF8 + b"a,y\n1,2\n",
    "a,y\n+1.0,.2e1\n",
])
def test_the_same_table_written_in_many_ways(contents):
    same(read_csv(written(contents), "y"), Table({"a": [1], "y": [2]}, "y"))


def test_a_cell_in_quotes_may_hold_anything():
    table = read_csv(written('name,y\n"Smith, ""Bob""\nJr",1\n"ü",2\n'), "y", one_hot=["name"])
    assert table.features == ["name=ü"]
    table = read_csv(written('name,y\n"a, b",x\n"c\nd",z\n'), one_hot=["name", "y"])
    assert table.features == ["name=c\nd", "y=z"]


def test_other_separators_encodings_and_compressed_files():
    expected = Table({"größe": [1, 3], "y": [2, 4]}, "y")
    text = "größe;y\n1;2\n3;4\n"
    for encoding in ("utf-8", "latin-1", "utf-16"):
        same(read_csv(written(text.encode(encoding)), "y", delimiter=";", encoding=encoding), expected)
    same(read_csv(written(text.replace(";", "\t")), "y", delimiter="\t"), expected)
    same(read_csv(written(gzip.compress(text.encode()), "flats.csv.gz"), "y", delimiter=";"), expected)


def test_a_trainer_takes_a_table():
    table = read_csv(written("x,y\n" + "".join(f"{k},{2 * k}\n" for k in range(8))), "y")
    model = tn.nn.Linear(1, 1)
    trainer = tn.Trainer(model, tn.nn.MSELoss(), tn.optim.SGD(model.parameters(), lr=0.01))
    assert trainer.fit(table, epochs=2, validation_split=0.25, verbose=False).history["loss"][-1] < 100


# --- what is wrong, and where -------------------------------------------------------------------------------
WIDE = "a,b\n" + "".join(f"w{k},{k}\n" for k in range(1001))


@pytest.mark.parametrize(("contents", "options", "text"), [
    ("", {}, "flats.csv is empty"),
    (codecs.BOM_UTF8, {}, "flats.csv is empty"),
    ("\n\n", {}, "flats.csv is empty"),
    ("a,y\n", {}, "flats.csv has no rows: nothing but the line of names"),
    ("a,y\n1,2\n3\n", {}, "flats.csv, line 3: 1 cells, expected 2"),
    ("a,y\n1,2\n\n3,4,5\n", {}, "flats.csv, line 4: 3 cells, expected 2"),
    ("a,y\n1,2\n  \n", {}, "flats.csv, line 3: 1 cells, expected 2"),
    ("a,y,a\n1,2,3\n", {}, "flats.csv has the column 'a' more than once: columns 1 and 3"),
    ("a,,\n1,2,3\n", {}, "flats.csv has a column without a name more than once: columns 2 and 3"),
    (",y\n1,2\n", {}, "column 1 of flats.csv has no name: .*features=.*index=False"),
    ("1,2\n3,4\n", {}, "flats.csv has no names of columns: its first line is 1, 2. Put a line of names above it"),
    ("a,y\n1,2\nx1,3\n", {}, "flats.csv, line 3: a is 'x1', expected a number$"),
    ("a,y\nu,2\nv,3\n", {}, r"flats.csv, line 2: a is 'u', expected a number\. .*one_hot=\['a'\]"),
    ("a,y\n88O.0,2\n3,3\n", {}, "flats.csv, line 2: a is '88O.0', expected a number$"),
    ("a,y\n1_000,2\n", {}, "line 2: a is '1_000', expected a number"),
    ("a,y\n١,2\n", {}, "line 2: a is '١', expected a number"),
    ("a,y\ninf,2\n", {}, "line 2: a is 'inf', expected a number"),
    ('a,y\n"1,5",2\n', {}, "line 2: a is '1,5', expected a number"),
    ("a,y\n1e39,2\n", {}, "line 2: a is 1e[+]39, more than a float32 can hold"),
    ("a,y\n1e999,2\n", {}, "line 2: a is inf, more than a float32 can hold"),
    ("a,y\n" + "x" * 60 + ",2\n", {}, r"line 2: a is 'x{37}\.\.\.', expected"),
    ("a,y\n1,2\n1,x\n", {}, "line 3: y is 'x', expected a number"),
    ("a,y\n1,2\n", {"target": "z"}, "target: flats.csv has no column 'z'. It has 'a', 'y'"),
    ("size,rent\n1,2\n", {"target": "rents"}, r"no column 'rents' \(did you mean 'rent'\?\)"),
    ("a;y\n1;2\n", {}, r"has no column 'y'.*It has 'a;y'; is it separated by ';'\? Then say delimiter=';'"),
    ("a,y\n1,2\n", {"features": ["a", "b"]}, "features: flats.csv has no column 'b'"),
    ("a,y\n1,2\n", {"features": ["a", "a"]}, "'a' is there twice"),
    ("a,y\n1,2\n", {"features": ["a", "y"]}, "'y' is the target, which would be predicted from itself"),
    ("a,y\n1,2\n", {"features": []}, "none is left"),
    ("y\n1\n", {}, "none is left"),
    ("a,y\n1,2\n", {"one_hot": ["b"]}, "one_hot: flats.csv has no column 'b'"),
    (WIDE, {"target": "b", "one_hot": True}, "column 'a' has 1,001 different words: it names the rows. .*features="),
    ("a,y\n,2\n", {"one_hot": ["a"]}, "column 'a' has no words: all are missing"),
    ("a,y\n,2\n1,\n", {"missing": "drop"}, "something is missing in every row"),
    ("a,y\n1,2\n", {"missing": "mean"}, "missing must be 'error', 'drop' or 'nan', got 'mean'"),
    ("a,y\n1,2\n", {"delimiter": "::"}, "delimiter must be one character"),
    ("a,y\n1,2\n", {"delimiter": "\n"}, "delimiter must be one character"),
    ("a,y\n1,2\n", {"encoding": "utf-9"}, "there is no encoding 'utf-9'"),
    ("a,y\n1,ü\n".encode("latin-1"), {}, "line 2: byte 0xfc is not utf-8; .*encoding='latin-1'"),
    ("a,y\n1,2\n".encode("utf-16"), {}, "line 1: byte 0xff is not utf-8; .*encoding='utf-16'"),
    ('a,y\n"1,2\n', {}, "flats.csv, line 2: unexpected end of data"),
    ('a,y\n"1"0,2\n', {}, "flats.csv, line 2: ',' expected after '\"'"),
    ("a,y\n" + "x" * 200_000 + ",2\n", {}, "flats.csv, line 2: field larger than field limit"),
])  # fmt: skip
def test_what_is_wrong_is_told(contents, options, text):
    with pytest.raises(ValueError, match=text):
        read_csv(written(contents), **{"target": "y", **options})


@pytest.mark.parametrize(("call", "error", "text"), [
    (lambda: read_csv("absent.csv"), FileNotFoundError, "absent.csv"),
    (lambda: read_csv("."), IsADirectoryError, r"'\.'"),
    (lambda: read_csv(written(b"\x1f\x8b nonsense", "x.csv.gz")), ValueError, "x.csv.gz is no whole gzip file"),
    (lambda: read_csv(written(gzip.compress(b"a\n1\n")[:-4], "x.csv.gz")), ValueError, "x.csv.gz is no whole gzip"),
    (lambda: read_csv(written(FLATS), "rent", features="size"), TypeError, "features must be a list of names, got 's"),
    (lambda: read_csv(written(FLATS), "rent", one_hot="lift"), TypeError, "one_hot must be a list of names, got 'l"),
    (lambda: Table([[1, 2]]), TypeError, r"mapping from names to columns.*got list.*read_csv\(path\)"),
    (lambda: Table({}), ValueError, "the table is empty: it has 0 columns"),
    (lambda: Table({"a": []}), ValueError, "the table is empty: it has 1 columns and no rows"),
    (lambda: Table({"a": [1, 2], "b": [1]}), ValueError, "of one length: 'a' has 2, 'b' has 1"),
    (lambda: Table({"a": np.ones((2, 2))}), ValueError, r"column 'a' must be one number or .*shape \(2, 2\)"),
    (lambda: Table({"a": [[1], [2, 3]]}), ValueError, "column 'a' must be one number or word a row: "),
    (lambda: Table({"a": [1, np.inf]}), ValueError, "row 1: a is inf, more than a float32 can hold"),
    (lambda: Table({"a": [1, None], "y": [1, 2]}, "y"), ValueError, "row 1: a is missing"),
    (lambda: Table({"a": ["1", "x"]}), ValueError, "row 1: a is 'x', expected a number"),
])  # fmt: skip
def test_bad_input(call, error, text):
    with pytest.raises(error, match=text):
        call()


def test_columns_may_be_lists_arrays_and_tensors():
    columns = {"a": [1, True, None], "b": np.arange(3), "c": tn.tensor([0.5, 1, 2]), "d": ["u", None, float("nan")],
               "e": np.array(["1", " 2 ", "NA"])}
    table = Table(columns, "c", one_hot=["d"], missing="nan")
    x, y = table.tensors
    assert table.features == ["a", "b", "d=u", "e"] and y.tolist() == [[0.5], [1], [2]]
    assert x.nan_to_num(-1).tolist() == [[1, 0, 1, 1], [1, 1, -1, 2], [-1, 2, -1, -1]]


# --- with pandas and without --------------------------------------------------------------------------------
cell = st.one_of(
    st.integers(-(10**6), 10**6).map(str), st.floats(width=32).map(repr), st.floats(-1e3, 1e3).map("{:.3f}".format),
    st.sampled_from(["", "NA", " nan", "null", "yes", "no", "True", "false", "inf", "1e400", "007", " 8 ", "1_0", "0x",
                     "12345678901234567890", "é", "a b", 'say "hi"', "x,y", "two\nlines", "#5", "1.", ".5", "+3", "-",
                     "2020-01-01", "1,5", "\t", "\0", "3%"]))  # fmt: skip


@st.composite
def files(draw):
    """The text of a table, with or without faults."""
    width = draw(st.integers(1, 4))
    header = draw(st.lists(st.sampled_from(["a", "b", " c", "d ", "", "1", "e=f"]), min_size=width, max_size=width))
    kinds = st.sampled_from([cell, st.integers(0, 9).map(str), st.sampled_from(["u", "v", ""])])
    columns = [draw(kinds) for _ in header]
    rows = draw(st.lists(st.tuples(*columns), max_size=5))
    text = io.StringIO()
    how = csv.writer(text, lineterminator=draw(st.sampled_from(["\n", "\r\n"])))
    how.writerows([header, *rows])
    contents = text.getvalue()
    if draw(st.booleans()) and contents:  # a fault, perhaps
        at = draw(st.integers(0, len(contents) - 1))
        contents = contents[:at] + draw(st.sampled_from([",", "\n", "", '"', "\r"])) + contents[at + 1 :]
    return contents


@given(files(), st.sampled_from(["error", "drop", "nan"]), st.sampled_from([True, (), ["a"], ["b"]]),
       st.sampled_from([None, "a", "c"]))  # fmt: skip
def test_pandas_reads_the_same_and_refuses_the_same(contents, missing, one_hot, target):
    pytest.importorskip("pandas")
    Path("drawn.csv").write_bytes(contents.encode())

    def outcome(large):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(csvfile, "LARGE", large)
            try:
                return read_csv("drawn.csv", target, one_hot=one_hot, missing=missing)
            except ValueError as error:
                return str(error)

    by_pandas, by_csv = outcome(0), outcome(10**9)
    if isinstance(by_csv, str):
        assert by_pandas == by_csv
    else:
        same(by_pandas, by_csv)


def test_pandas_does_read_plain_files():
    pytest.importorskip("pandas")
    text = "a,w,y\n1,u,0.5\n,v,2\n3.25, NA ,1e-3\n"
    sheet = csvfile.by_pandas(text, ",", "it", ["w"])
    assert sheet is not None and [*sheet.columns] == ["a", "w", "y"] and sheet.columns["w"] == ["u", "v", ""]
    np.testing.assert_array_equal(sheet.columns["a"], [1, np.nan, 3.25])


def test_without_pandas_large_files_are_read_too(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    monkeypatch.setattr(csvfile, "LARGE", 0)
    assert csvfile.by_pandas("a,y\n1,2\n", ",", "it", []) is None
    assert read_csv(written(FLATS), "rent", one_hot=True).tensors[0].shape == (3, 5)


def test_frames_of_pandas():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({
        "a": [1, 2, 3], "b": pandas.array([1, None, 3], dtype="Int64"), "c": pandas.Categorical(["u", "v", None]),
        "d": ["x", "y", "x"], 5: [0.5, None, 1.5], "y": pandas.array([True, False, True])})  # fmt: skip
    table = Table(frame, "y", one_hot=["c", "d"], missing="nan")
    assert table.features == ["a", "b", "c=v", "d=y", "5"]
    assert table.tensors[0].nan_to_num(-1).tolist() == [[1, 1, 0, 0, 0.5], [2, -1, 1, 1, -1], [3, 3, -1, 0, 1.5]]
    assert table.tensors[1].tolist() == [[1], [0], [1]]
    with pytest.raises(ValueError, match="row 1: b is missing"):
        Table(frame[["a", "b", "y"]], "y")
    with pytest.raises(ValueError, match="the column 'a' is there more than once"):
        Table(frame[["a", "a", "y"]], "y")
    with pytest.raises(ValueError, match=r"row 0: t is '2020-01-01 00:00:00', expected a number"):
        Table(pandas.DataFrame({"t": pandas.to_datetime(["2020-01-01"]), "y": [1]}), "y")
