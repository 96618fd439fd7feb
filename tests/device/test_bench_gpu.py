"""`tinynet bench --device cuda`, as far as a stand-in for a card can show it: what is checked before it is timed, what
a recorded step of PyTorch's is, what is measured beside it."""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
import types
from contextlib import contextmanager

import numpy as np
import pytest

import tinynet as tn
from tinynet import bench
from tinynet.cli import main
from tinynet.kernels.cuda import choice
from tinynet.nvidia import library


@pytest.fixture
def worker(monkeypatch):
    """The module that a side of a comparison runs."""
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.setattr(choice, "precision", "fp32")
    monkeypatch.setattr(library, "when_opened", None)
    spec = importlib.util.spec_from_file_location("tinynet_bench_worker", bench.CASES / "worker.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "POISONED", (64, 512))
    return module


@pytest.mark.parametrize("side", ["tinynet", "tinynet-graph", "tinynet-tf32", "tinynet-reference"])
@pytest.mark.parametrize("what", ["step", "forward"])
def test_a_side_of_ours_is_checked_and_timed(gpu, worker, side, what):
    run, _, work = worker.on_gpu(tn, side, "tiny", what, {})
    assert isinstance(run, tn.cuda.Graph) == (side == "tinynet-graph") and any(work)
    assert choice.precision == ("tf32" if side == "tinynet-tf32" else "fp32")
    assert run().device.type == "cuda"
    seconds = worker.gpu_clock(tn)(run, 3)
    assert len(seconds) == 3 and min(seconds) > 0


@pytest.mark.parametrize("case", ["mlp", "softmax-ce", "layernorm", "adam-1e6", "sgemm-64"])
def test_cases_are_recorded(gpu, worker, monkeypatch, case):
    what = "forward" if case == "sgemm-64" else "step"
    monkeypatch.setitem(importlib.import_module("cases").GPU_BATCH, "layers", 1)
    run, _, _ = worker.on_gpu(tn, "tinynet-graph", case, what, {})
    assert "recorded)" in repr(run) and "not recorded" not in repr(run)


def test_a_wrong_result_is_not_timed(gpu, worker, monkeypatch):
    """A step that is wrong shows in the second loss."""
    step = tn.optim.Adam.step

    def idle_on_a_gpu(self):
        if self.param_groups[0]["params"][0].device.type == "cpu":
            step(self)

    monkeypatch.setattr(tn.optim.Adam, "step", idle_on_a_gpu)
    with pytest.raises(RuntimeError, match=r"result 1 is off by .*, of .*: it is not timed"):
        worker.on_gpu(tn, "tinynet", "tiny", "step", {})


def test_what_is_not_written_is_nan(gpu, worker):
    step, x = tn.cuda.Graph(lambda x: x * 2), tn.ones(3, device="cuda")
    for _ in range(3):
        step(x)
    worker.poison(tn, step)
    assert np.isnan(step._recording.out.tolist()).all()
    assert step(x).tolist() == [2.0] * 3
    weight = tn.nn.Parameter(tn.ones(2, device="cuda"))
    keep = tn.cuda.Graph(lambda: weight)
    for _ in range(3):
        keep()
    worker.poison(tn, keep)
    assert weight.tolist() == [1.0, 1.0], "a parameter is read, too"


class Torch:
    """PyTorch's words for graphs; what is recorded is not done, but at each replay."""

    def __init__(self):
        self.log, self.recording = [], None
        stream = types.SimpleNamespace(wait_stream=lambda other: self.log.append("wait"))
        self.cuda = types.SimpleNamespace(
            CUDAGraph=lambda: types.SimpleNamespace(replay=lambda: [done() for done in self.recording]),
            Stream=lambda: stream, current_stream=lambda: stream, stream=self.aside, graph=self.record)  # fmt: skip

    @contextmanager
    def aside(self, stream):
        self.log.append("aside")
        yield

    @contextmanager
    def record(self, graph):
        self.recording = []
        yield


def test_a_recorded_step_of_pytorchs(worker):
    torch, result = Torch(), []

    def step():
        if torch.recording is not None:
            torch.recording.append(lambda: result.append("replayed"))
            return result
        result.append("eager")
        return list(result)

    run = worker.Recorded(torch, step)
    assert [run() for _ in range(3)][-1] == ["eager"] * 3 and torch.log == ["wait", "aside", "wait"] * 3
    assert run() is result and result == ["eager"] * 3 + ["replayed"]
    assert run() is result and result == ["eager"] * 3 + ["replayed"] * 2 and len(torch.log) == 9


def test_what_the_card_can_do(gpu, monkeypatch):
    monkeypatch.setattr(library, "when_opened", None)
    monkeypatch.setattr(bench, "LARGE", 32)
    asked, matmul = [], gpu.matmul
    linalg = sys.modules["cupy._core._routines_linalg"]
    monkeypatch.setattr(gpu, "matmul", lambda a, b: (asked.append(linalg.get_compute_type("f")), matmul(a, b))[1])
    monkeypatch.setattr(gpu, "copyto", lambda a, b: a.__setitem__(..., b), raising=False)
    roof = bench.roofline_of_gpu()
    assert roof.keys() == {"sgemm_gflops", "tf32_gflops", "copy_gb_s"} and min(roof.values()) > 0
    assert sorted(set(asked), reverse=True) == [linalg.COMPUTE_TYPE_TF32, linalg.COMPUTE_TYPE_FP32]
    assert asked[-1] == linalg.COMPUTE_TYPE_FP32, "and so it stays"


class Side:
    """A side that answers at once; PyTorch's graph cannot be."""

    def __init__(self, side, case, what, threads, device):
        if side == "torch-graph":
            raise RuntimeError("torch-graph: no such luck")
        assert device == "cuda"
        self.side, self.seconds, self.peak_mb = side, [], 1.0
        self.ready = {"work": (10**6, 0, 10), "import_s": 0.1, "start_to_first_s": 0.2}

    def run(self, times):
        return [0.001] * times

    def close(self):
        pass


def test_a_run(gpu, monkeypatch, capsys, tmp_path):
    """Every side in every row, and the reason where one is missing."""
    roof = {"sgemm_gflops": 5e4, "tf32_gflops": 3e5, "copy_gb_s": 2000.0}
    for name, value in (("Side", Side), ("REST", 0), ("obstacle", lambda: None), ("roofline_of_gpu", lambda: roof),
                        ("card", lambda: {"card": "a card", "driver": "570", "cupy": "14.2"})):  # fmt: skip
        monkeypatch.setattr(bench, name, value)
    assert bench.run(["mlp", "sgemm-4096"], None, 1, 1, True, tmp_path / "out", "cuda") == 1
    report = json.loads(capsys.readouterr().out)
    assert [(row["case"], row["what"]) for row in report["rows"]] == [
        ("mlp", "step"), ("mlp", "forward"), ("sgemm-4096", "forward")]  # fmt: skip
    assert report["sides"] == ["tinynet", "tinynet-graph", "tinynet-tf32", "torch", "torch-graph", "torch-compile",
                               "torch-tf32"]  # fmt: skip
    for row in report["rows"]:
        assert all("median_ms" in row[side] or side == "torch-graph" for side in report["sides"])
    text = (tmp_path / "out.md").read_text()
    assert "mlp (step), torch-graph: torch-graph: no such luck" in text and "tinynet-graph beside torch-graph" in text
    assert "torch-compile takes 1.00 times as long as tinynet-graph, as a geometric mean of 3 rows." in text


@pytest.mark.gpu
def test_on_a_card(capsys):
    sides = "tinynet,tinynet-graph,tinynet-tf32,tinynet-reference"
    assert main(["bench", "tiny", "mlp", "--device", "cuda", "--rounds", "1", "--json", "--sides", sides]) == 0
    report = json.loads(capsys.readouterr().out)
    assert all(row[side]["median_ms"] > 0 for row in report["rows"] for side in report["sides"])


@pytest.mark.gpu
@pytest.mark.parametrize(("case", "least"), [("mlp", 4), ("mnist2", 2)])
def test_a_recorded_step_beside_pytorchs(case, least):
    """So many times as fast as the eager one, and not a fifth slower than the recorded one."""
    row = bench.compare(case, "step", ["tinynet-graph", "torch", "torch-graph"], 4, rounds=5, device="cuda")
    if "error" in row["torch"]:
        pytest.skip(f"PyTorch has nothing to compare with: {row['torch']['error']}")
    ours, eager, recorded = (row[side]["median_ms"] for side in ("tinynet-graph", "torch", "torch-graph"))
    print(f"\n{case}: {ours:.3f} ms; PyTorch {eager:.3f} ms, recorded {recorded:.3f} ms")
    assert eager >= least * ours and ours <= 1.2 * recorded
