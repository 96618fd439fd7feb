"""`tinynet bench` measures what it says, and says what went wrong. No test fails on a clock."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest

import tinynet as tn
from tinynet import bench
from tinynet.cli import main
from tinynet.nvidia.library import Obstacle


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
    assert "| mlp | step | 1.000 / 2.000 | 3.000 / 4.000 | 3.00 (2.00) | 3.00 (2.00) |  /  |" in text
    assert "lstm (step), tinynet: ouch" in text and "Geometric mean over PyTorch's default layout: 3.00" in text
    assert "100 GFLOP/s" in text and "12.3 GB/s" in text and "a processor, 1 threads" in text


def test_growth_is_the_slope_of_the_logarithms():
    times = {10: 1.0, 100: 30.0, 1000: 1000.0}
    rows = [{"case": f"batch-{n}", "what": "step", "tinynet": {"min_ms": ms}} for n, ms in times.items()]
    report = {"sizes": {"batch": tuple(times), "depth": (1, 2)}, "sides": ["tinynet", "torch"], "rows": rows}
    assert bench.growth(report)[3:] == ["- tinynet: a step takes time as batch^1.50, from 10 to 1000"]
    assert bench.growth(report | {"rows": rows[1:]}) == []


@pytest.mark.parametrize("side", ["autograd", "tinygrad"])
def test_the_other_libraries(side, monkeypatch):
    pytest.importorskip(side)
    monkeypatch.syspath_prepend(bench.CASES)
    others = importlib.import_module("others")
    for what in ("step", "forward"):
        run = others.build(side, "mlp", what)
        run()
        run()
    with pytest.raises(LookupError, match="networks of separate layers"):
        others.build(side, "gpt", "step")


def test_a_run(capsys, tmp_path):
    sides = "tinynet,tinynet-reference"
    options = ["--rounds", "1", "--threads", "1", "--sides", sides, "--json", "--out", str(tmp_path / "t")]
    assert main(["bench", "tiny", *options]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report == json.loads((tmp_path / "t.json").read_text())
    (line,) = report["rows"]
    for side in sides.split(","):
        assert 0 < line[side]["min_ms"] <= line[side]["median_ms"] and line[side]["repeats"] >= 3
        assert 20 < line[side]["peak_mb"] < 4000
    assert "| tiny | step |" in (tmp_path / "t.md").read_text()


def test_every_case_runs_here():
    cases = bench.cases()
    for name in (*cases.NETWORKS[:1], *cases.OVERHEAD, "batch-1", "sgemm-64", "conv-16-16-k3-s1-32", "layernorm"):
        case = cases.build(tn, name)
        for run in (case.step, case.forward):
            if run is not None:
                run()


def test_a_side_that_fails_is_reported(capsys, monkeypatch, tmp_path):
    (tmp_path / "cases.py").write_text((bench.CASES / "cases.py").read_text())
    (tmp_path / "worker.py").write_text("raise OSError('no such luck')")
    monkeypatch.setattr(bench, "CASES", tmp_path)
    assert main(["bench", "tiny", "--rounds", "1", "--threads", "1", "--sides", "tinynet"]) == 1
    out = capsys.readouterr().out
    assert "| failed |" in out and "tiny (step), tinynet: tinynet: OSError: no such luck" in out


def test_a_side_that_fails_later_is_reported_and_the_others_go_on(monkeypatch):
    class Side:
        def __init__(self, side, case, what, threads, device):
            self.side, self.seconds, self.turns, self.peak_mb = side, [], 0, 1.0
            self.ready = {"import_s": 0.1, "start_to_first_s": 0.2}

        def run(self, times):
            self.turns += 1
            if self.side == "torch" and self.turns == 2:
                raise RuntimeError("torch: out of memory")
            return [0.1] * times

        def close(self):
            closed.append(self.side)

    closed = []
    monkeypatch.setattr(bench, "Side", Side)
    monkeypatch.setattr(bench, "REST", 0)
    found = bench.compare("mlp", "step", ["torch", "tinynet"], 1, rounds=2)
    assert found["torch"] == {"error": "torch: out of memory"} and found["tinynet"]["repeats"] == 6
    assert closed == ["torch", "tinynet"]


def test_what_is_not_there(capsys, monkeypatch):
    assert main(["bench", "tiny", "--sides", "torch,flame"]) == 2
    assert "no side called flame; choose from tinynet, torch" in capsys.readouterr().err
    assert main(["bench", "nosuchcase"]) == 2
    assert "no case called nosuchcase; choose from networks" in capsys.readouterr().err
    monkeypatch.setattr(bench, "CASES", Path("/nowhere"))
    assert main(["bench"]) == 1
    assert "run `tinynet bench` in a clone" in capsys.readouterr().err


# ---- on a GPU
ROOF = {"sgemm_gflops": 1000.0, "tf32_gflops": 8000.0, "copy_gb_s": 100.0}


def test_the_floor():
    """10⁹ bytes at 100 GB/s are 10 ms, 2·10¹⁰ operations at 1000 GFLOP/s 20; a step is three forwards and Adam."""
    bytes_, products = (10**9, 0, 0), (0, 2 * 10**10, 10**3)
    assert bench.floor_ms({"case": "maxpool", "what": "forward", "work": bytes_}, ROOF) == pytest.approx(10)
    assert bench.floor_ms({"case": "mlp", "what": "forward", "work": products}, ROOF) == pytest.approx(20)
    assert bench.floor_ms({"case": "mlp", "what": "step", "work": products}, ROOF) == pytest.approx(60)
    assert bench.floor_ms({"case": "mlp", "what": "step", "work": products}, ROOF, "torch-tf32") == pytest.approx(7.5)
    assert bench.floor_ms({"case": "adam-1e6", "what": "step", "work": (0, 0, 10**6)}, ROOF) == pytest.approx(0.28)
    assert bench.floor_ms({"case": "lstm", "what": "step"}, ROOF) is None


def test_the_table_of_a_gpu():
    sides = ["tinynet", "tinynet-graph", "torch", "torch-graph", "torch-tf32"]
    rows = [
        row(tinynet=(1.0, 2.0), tinynet_graph=(0.1, 0.5), torch=(3.0, 4.0))
        | {"work": (10**8, 2 * 10**9, 0), "what": "forward", "torch-graph": {"error": "it cannot be recorded"},
           "torch-tf32": {"median_ms": 2.0}},
        {"case": "lstm", "what": "step", "torch": {"error": "no torch here"}},
    ]
    where = {**bench.machine(1), "card": "a card", "driver": "570", "cupy": "14.2"}
    text = bench.gpu_markdown({"machine": where, "sides": sides, "roofline": ROOF, "rows": rows})
    assert "| mlp | forward | 2.0000 | 2.0000 (1.0) | 0.5000 (0.2) | 4.0000 (2.0) | not measured | 2.0000 (2.0)" in text
    assert "| lstm | step |  " + "| not measured " * 5 in text
    assert "reaches 1000 GFLOP/s (cuBLAS, float32; with TF32 8000) and copies 100 GB/s" in text
    assert "torch takes 8.00 times as long as tinynet-graph, as a geometric mean of 1 rows" in text
    assert "tinynet-graph beside torch-graph: not measured." in text and "a card; driver 570" in text
    assert "lstm (step), torch: no torch here" in text and "mlp (forward), torch-graph: it cannot be recorded" in text


def test_without_a_gpu(capsys, monkeypatch):
    monkeypatch.setattr(bench, "obstacle", lambda: Obstacle("no driver", "get one"))
    assert main(["bench", "mlp", "--device", "cuda"]) == 1
    assert capsys.readouterr().err == "tinynet: error: there is no GPU to measure: no driver (get one)\n"
    assert main(["bench", "mlp", "--device", "cuda", "--sides", "torch-fast"]) == 2
    assert "choose from tinynet, tinynet-graph, tinynet-tf32, torch, torch-graph" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["mlp", "tiny", "softmax-ce", "layernorm", "adam-1e6", "conv-16-16-k3-s1-32"])
def test_cases_at_sizes_for_a_gpu_are_the_same_in_both_libraries(name):
    """Data and parameters are drawn by neither, so the results can be compared: a training's after three steps."""
    torch = pytest.importorskip("torch")
    ours, theirs = (bench.cases().build(library, name, gpu_sizes=True) for library in (tn, torch))
    assert ours.work == theirs.work and any(ours.work)
    for one, other in zip(ours[:2], theirs[:2], strict=True):
        if one is not None:
            for _ in range(3):
                a, b = one().detach().numpy(), other().detach().numpy()
            assert abs(a - b).max() <= 1e-4 * abs(b).max()
