"""`tinynet train housing`: scikit-learn's line, on the table that ships and on any other."""

from __future__ import annotations

import json

import numpy as np
import pytest

import tinynet as tn
from tinynet import cli
from tinynet.data.datasets import SOURCES
from tinynet.recipes import Run, cook, housing


def ran(capsys, *args):
    """What the command reports."""
    assert cli.main(["train", "housing", "--json", *args]) == 0
    return json.loads(capsys.readouterr().out)


def scikit_learns(x, y, seed=0):
    """RMSE and R² of scikit-learn's LinearRegression, on the same houses."""
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LinearRegression
    from sklearn.metrics import r2_score, root_mean_squared_error
    from sklearn.pipeline import make_pipeline

    order = tn.randperm(len(x), generator=tn.Generator().manual_seed(seed)).numpy()
    test, train = order[: len(x) // 5], order[len(x) // 5 :]
    line = make_pipeline(SimpleImputer(), LinearRegression()).fit(x[train], y[train])
    predicted = line.predict(x[test])
    return root_mean_squared_error(y[test], predicted), r2_score(y[test], predicted)


def test_the_line_is_scikit_learns_on_the_table_that_ships(capsys, tmp_path):
    pytest.importorskip("sklearn")
    found = ran(capsys, f"--output={tmp_path}")
    rmse, r2 = scikit_learns(*(t.numpy().astype(np.float64) for t in tn.data.datasets.housing().tensors))
    assert found["metrics"]["rmse"] == pytest.approx(rmse, rel=0.02)
    assert found["metrics"]["r2"] == pytest.approx(r2, rel=0.02)
    exact = found["comparison"][1]
    assert exact["beside it"] == "least squares" and exact["RMSE"] == pytest.approx(rmse, rel=1e-4)
    assert exact["R²"] == pytest.approx(r2, rel=1e-4)
    assert found["data"] == {"source": "housing, part of tinynet", "train": 437, "test": 109}
    assert found["parameters"] == 12
    names = {path.name for path in tmp_path.iterdir()}
    assert {"housing.ckpt", "housing.png", "housing-predicted.png"} <= names
    assert cli.main(["evaluate", str(tmp_path / "housing.ckpt"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["metrics"] == pytest.approx(found["metrics"])


@pytest.mark.slow
def test_the_line_is_scikit_learns_on_the_districts_of_california(capsys, tmp_path):
    pytest.importorskip("sklearn")
    (path,) = SOURCES["california_housing"].places()
    if not path.exists():
        pytest.skip("california_housing is not on this machine")
    found = ran(capsys, f"--csv={path}", "--target=median_house_value", f"--output={tmp_path}")
    table = tn.data.read_csv(path, "median_house_value", one_hot=True, missing="nan")
    rmse, r2 = scikit_learns(*(t.numpy().astype(np.float64) for t in table.tensors))
    assert found["data"]["train"] + found["data"]["test"] == 20_640
    assert found["metrics"]["rmse"] == pytest.approx(rmse, rel=0.02)
    assert found["metrics"]["r2"] == pytest.approx(r2, rel=0.02)
    assert (tmp_path / "housing-predicted.png").stat().st_size > 10_000


@pytest.fixture
def flats(tmp_path):
    """Rents in four streets, with some sizes missing; and x, y as scikit-learn wants them."""
    rng = np.random.default_rng(0)
    size, street, floor = rng.uniform(30, 120, 400), rng.integers(0, 4, 400), rng.integers(0, 2, 400)
    rent = 10 * size + 100 * street - 50 * floor + rng.normal(0, 40, 400)
    gone = rng.random(400) < 0.05
    rows = [
        f"{'' if gone[k] else size[k]},{'abcd'[street[k]]},{('low', 'high')[floor[k]]},{rent[k]}" for k in range(400)
    ]
    path = tmp_path / "flats.csv"
    path.write_text("size,street,floor,rent\n" + "\n".join(rows))
    x = np.column_stack([np.where(gone, np.nan, size), *(street == k for k in range(4)), floor == 0])
    return path, x, rent


def test_the_line_is_scikit_learns_on_a_table_of_ones_own(capsys, flats, tmp_path):
    pytest.importorskip("sklearn")
    path, x, rent = flats
    found = ran(capsys, f"--csv={path}", "--target=rent", "--seed=3", f"--output={tmp_path / 'out'}")
    rmse, r2 = scikit_learns(x, rent, seed=3)
    assert found["metrics"]["rmse"] == pytest.approx(rmse, rel=0.02)
    assert found["metrics"]["r2"] == pytest.approx(r2, rel=0.02)
    assert found["data"] == {"source": f"{path}, to predict rent", "train": 320, "test": 80}
    path.write_text(path.read_text().replace("size", "space"))
    assert cli.main(["evaluate", str(tmp_path / "out" / "housing.ckpt"), "--json"]) == 0  # what was learned of the data
    assert json.loads(capsys.readouterr().out)["metrics"] == pytest.approx(found["metrics"])


def test_the_houses_that_test_decide_nothing(flats):
    """Others in their place leave the weights, and what was subtracted and divided by, as they were."""
    path, *_ = flats
    options = {"csv": str(path), "target": "rent"}
    first = cook(Run.of("housing", epochs=2, options={**options}))[0].state_dict()
    lines = path.read_text().splitlines()
    order = tn.randperm(400, generator=tn.Generator().manual_seed(0)).tolist()
    for k in order[:80]:
        lines[1 + k] = "1000,a,low,1"
    path.write_text("\n".join(lines))
    run = Run.of("housing", epochs=2, options={**options})
    second = cook(run)[0].state_dict()
    assert all(tn.equal(first[name], second[name]) for name in first)
    assert run.options["facts"]["mean_"][0] < 120


def test_a_small_network_learns_what_no_line_can(capsys, tmp_path):
    x = np.random.default_rng(0).uniform(-1, 1, 500)
    (tmp_path / "v.csv").write_text("x,y\n" + "\n".join(f"{a},{abs(a)}" for a in x))
    args = (f"--csv={tmp_path / 'v.csv'}", "--target=y", f"--output={tmp_path}", "--epochs=30")
    line, network = (ran(capsys, *args, f"--network={kind}")["metrics"]["r2"] for kind in ("linear", "mlp"))
    assert line < 0.2 and network > 0.95


@pytest.mark.parametrize(("contents", "args", "text"), [
    ("a,y\n1,2\n", ["--csv=x.csv"], "say which column of x.csv is to be predicted: --target, with one of a, y"),
    ("a,price\n1,2\n", ["--csv=x.csv", "--target=prize"], "no column 'prize' (did you mean 'price'?)"),
    ("a,y\n1,u\n2,v\n", ["--csv=x.csv", "--target=y"], "y is a column of words (u, v, ...)"),
    ("a,y\n1,2\n2,3\n", ["--csv=x.csv", "--target=y"], "there are 2 rows: it takes 10, of which every fifth"),
    ("a,y\n" + "1,2\n" * 9, ["--csv=x.csv", "--target=y"], "9 rows: it takes 10, of which every fifth tests"),
    ("a,y\n1,2\n88O,3\n", ["--csv=x.csv", "--target=y"], "x.csv, line 3: a is '88O', expected a number"),
    ("a,y\n1,2\n1,\n", ["--csv=x.csv", "--target=y"], "x.csv, line 3: y, the target, is missing (in 1 of 2 rows); "
     "take such rows out of the file\n"),
    ("a;y\n1;2\n", ["--csv=x.csv", "--target=y"], "is it separated by ';'? Then write it with commas\n"),
    ("a,y\n1,\xff\n", ["--csv=x.csv", "--target=y"], "if the file is in another one, save it as UTF-8\n"),
    (",y\n1,2\n", ["--csv=x.csv", "--target=y"], "give it one, or take it out of the file (pandas writes"),
    ("a,y\n" + "".join(f"w{k},{k}\n" for k in range(1001)), ["--csv=x.csv", "--target=y"],
     "it names the rows. Take it out of the file\n"),
    ("", ["--csv=x.csv", "--target=y"], "x.csv is empty"),
    ("", ["--csv=absent.csv", "--target=y"], "No such file or directory: 'absent.csv'"),
])  # fmt: skip
def test_a_table_that_will_not_do(capsys, tmp_path, monkeypatch, contents, args, text):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.csv").write_text(contents, encoding="latin-1")
    assert cli.main(["train", "housing", *args]) == 1
    out, err = capsys.readouterr()
    assert out == "" and text in err and [path.name for path in tmp_path.iterdir()] == ["x.csv"]


def test_a_table_called_as_the_recipe_is_not_overwritten(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = "a,y\n" + "\n".join(f"{k},{2 * k}" for k in range(10))
    (tmp_path / "housing.csv").write_text(text)
    assert cli.main(["train", "housing", "--csv=housing.csv", "--target=y", "--epochs=1"]) == 0
    assert (tmp_path / "housing.csv").read_text() == text


def test_the_options_are_those_of_the_help():
    assert [*housing.OPTIONS] == ["--csv", "--target", "--network"]
