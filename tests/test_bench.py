"""`tinynet bench` measures what it says, and says what went wrong. No test fails on a clock."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import tinynet as tn
from tinynet import bench
from tinynet.cli import main


def row(**sides):
    times = {name: {"min_ms": low, "median_ms": mid} for name, (low, mid) in sides.items()}
    return {"case": "mlp", "what": "step", **{name.replace("_", "-"): t for name, t in times.items()}}


def test_ratios_are_pytorchs_time_over_ours():
    found = bench.ratios(row(tinynet=(2.0, 4.0), torch=(6.0, 10.0), torch_channels_last=(4.0, 12.0)))
    assert found == {"default_min": 3.0, "better_min": 2.0, "default_median": 2.5, "better_median": 2.5}
    assert bench.ratios(row(torch=(1.0, 1.0))) == {}


def test_geometric_mean():
    assert bench.geometric_mean([1.0, 4.0, None]) == pytest.approx(2.0)
    assert bench.geometric_mean([None]) is None


def test_the_table():
    report = {
        "machine": {**bench.machine(1), "processor": "a processor"},
        "sides": ["tinynet", "torch"],
        "roofline": {"sgemm_gflops": 100.4, "copy_gb_s": 12.34},
        "rows": [
            row(tinynet=(1.0, 2.0), torch=(3.0, 4.0)),
            {"case": "lstm", "what": "step", "tinynet": {"error": "ouch"}},
        ],
    }
    text = bench.markdown(report)
    assert "| mlp | step | 1.000 / 2.000 | 3.000 / 4.000 | 3.00 (2.00) | 3.00 (2.00) |" in text
    assert "lstm (step), tinynet: ouch" in text and "Geometric mean over PyTorch's default layout: 3.00" in text
    assert "100 GFLOP/s" in text and "12.3 GB/s" in text and "a processor, 1 threads" in text


def test_a_run(capsys, tmp_path):
    sides = "tinynet,tinynet-reference"
    options = ["--rounds", "1", "--threads", "1", "--sides", sides, "--json", "--out", str(tmp_path / "t")]
    assert main(["bench", "tiny", *options]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report == json.loads((tmp_path / "t.json").read_text())
    (line,) = report["rows"]
    for side in sides.split(","):
        assert 0 < line[side]["min_ms"] <= line[side]["median_ms"] and line[side]["repeats"] >= 3
    assert "| tiny | step |" in (tmp_path / "t.md").read_text()


def test_every_case_runs_here():
    cases = bench.cases()
    for name in (*cases.NETWORKS[:1], *cases.OVERHEAD, "batch-1", "sgemm-64", "conv-16-16-k3-s1-32", "layernorm"):
        case = cases.build(tn, name)
        for run in case:
            if run is not None:
                run()


def test_a_side_that_fails_is_reported(capsys, monkeypatch, tmp_path):
    (tmp_path / "cases.py").write_text((bench.CASES / "cases.py").read_text())
    (tmp_path / "worker.py").write_text("raise OSError('no such luck')")
    monkeypatch.setattr(bench, "CASES", tmp_path)
    assert main(["bench", "tiny", "--rounds", "1", "--threads", "1", "--sides", "tinynet"]) == 1
    out = capsys.readouterr().out
    assert "| failed |" in out and "tiny (step), tinynet: tinynet: OSError: no such luck" in out


def test_what_is_not_there(capsys, monkeypatch):
    assert main(["bench", "tiny", "--sides", "torch,flame"]) == 1
    assert "no side called flame; choose from tinynet, torch" in capsys.readouterr().err
    assert main(["bench", "nosuchcase"]) == 1
    assert "no case called nosuchcase; choose from networks" in capsys.readouterr().err
    monkeypatch.setattr(bench, "CASES", Path("/nowhere"))
    assert main(["bench"]) == 1
    assert "run `tinynet bench` in a clone" in capsys.readouterr().err
