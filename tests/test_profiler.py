"""The profiler: what it times and where it counts it, and that nothing is left of it afterwards."""
from __future__ import annotations

import json
import threading
import time

import numpy as np
import pytest

import tinynet as tn
from tinynet.autograd import engine
from tinynet.autograd.graph import Node
from tinynet.nn import containers
from tinynet.nn.module import Module
from tinynet.ops._primitive import PRIMITIVES
from tinynet.optim.optimizer import Optimizer

nn = tn.nn
NAP = 0.02


class Slow(tn.autograd.Function):
    """The identity, whose backward takes its time."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, g):
        time.sleep(NAP)
        return g


class SlowBackward(nn.Module):
    def forward(self, x):
        return Slow.apply(x)


class SlowForward(nn.Module):
    def forward(self, x):
        time.sleep(NAP)
        return x.relu()


def found(p, by):
    return {row.name: row for row in p.rows(by)}


# ---- ops
def test_ops_forward_and_backward():
    x, w = tn.randn(5, 4), tn.randn(4, 3, requires_grad=True)
    with tn.profile() as p:
        for _ in range(2):
            tn.matmul(x, w).sum().backward()
    rows = found(p, "op")
    assert rows["matmul"].calls == rows["sum"].calls == 2
    for op in ("matmul", "sum"):
        assert rows[op].forward > 0 and rows[op].backward > 0
    kinds = [(e.kind, e.name, e.shapes) for e in p.events if not e.inner][:5]
    assert kinds == [("forward", "matmul", ((5, 4), (4, 3))), ("forward", "sum", ((5, 3),)),
                     ("engine", "walk of backward()", ()), ("backward", "sum", ((),)),
                     ("backward", "matmul", ((5, 3),))]
    assert sum(row.total for row in rows.values()) <= p.wall


def test_what_a_rule_calls_is_part_of_its_op():
    """The rule of matmul calls matmul: one op's backward, and no forward of another."""
    w = tn.randn(4, 4, requires_grad=True)
    y = tn.matmul(w, w).sum()
    with tn.profile() as p:
        y.backward()
    forwards = [e for e in p.events if e.kind == "forward"]
    assert [e.name for e in forwards].count("matmul") == 2 and all(e.inner for e in forwards)
    rows = found(p, "op")
    assert rows["matmul"].calls == 0 and rows["matmul"].forward == 0 < rows["matmul"].backward
    rules = [e for e in p.events if e.kind == "backward"]
    assert sum(e.within for e in rules) == pytest.approx(sum(e.duration for e in forwards))
    walk = next(e for e in p.events if e.kind == "engine")
    assert walk.within == pytest.approx(sum(e.duration for e in rules))


def test_a_graph_made_before_is_timed_too_and_functions_as_well():
    y = Slow.apply(tn.ones(3, requires_grad=True)).sum()
    with tn.profile() as p:
        y.backward()
    assert found(p, "op")["Slow"].backward >= NAP
    assert found(p, "op")["walk of backward()"].other < NAP  # the walk, without the rules


def test_untracked_ops_are_timed():
    x = tn.ones(2, 2)
    with tn.profile() as p, tn.no_grad():
        y = x @ x
        y = y + 1.0
        y = -(y * y)
        y -= 1.0
    rows = found(p, "op")
    assert [rows[op].calls for op in ("matmul", "add", "mul", "neg", "sub")] == [1] * 5


def test_the_optimizers_step():
    model = nn.Linear(3, 1)
    optimizer = tn.optim.SGD(model.parameters(), lr=0.1)
    with tn.profile() as p:
        model(tn.ones(2, 3)).sum().backward()
        optimizer.step()
    row = found(p, "op")["SGD.step"]
    assert row.calls == 1 and row.total == row.other > 0 == row.forward


# ---- modules
def test_modules_by_their_paths():
    model = nn.Sequential(nn.Linear(4, 4), SlowForward(), nn.Sequential(SlowBackward(), nn.Tanh()))
    loss_fn = nn.MSELoss()
    with tn.profile() as p:
        loss_fn(model(tn.ones(2, 4)), tn.zeros(2, 4)).backward()
    rows = found(p, "module")
    assert list(rows) == ["model (Sequential)", "model.0 (Linear)", "model.1 (SlowForward)", "model.2 (Sequential)",
                          "model.2.0 (SlowBackward)", "model.2.1 (Tanh)", "loss_fn (MSELoss)"]
    assert all(row.calls == 1 for row in rows.values())
    for name in ("model (Sequential)", "model.1 (SlowForward)"):
        assert rows[name].forward >= NAP
    for name in ("model (Sequential)", "model.2 (Sequential)", "model.2.0 (SlowBackward)"):
        assert rows[name].backward >= NAP
    for name in ("model.0 (Linear)", "model.2.1 (Tanh)", "loss_fn (MSELoss)"):
        assert 0 < rows[name].backward < rows["model.2.0 (SlowBackward)"].backward
    assert {e.module for e in p.events if e.name == "linear"} == {"model.0"}


def test_what_runs_between_modules_is_not_theirs():
    """Neither the op after a layer, which is the model's own, nor the one after the model, which is nobody's."""
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 2)

        def forward(self, x):
            return Slow.apply(self.layer(x))

    model = Model()
    with tn.profile() as p:
        Slow.apply(model(tn.ones(1, 2))).sum().backward()
    rows = found(p, "module")
    assert rows["model.layer (Linear)"].backward < NAP <= rows["model (Model)"].backward
    assert [e.module for e in p.events if (e.kind, e.name) == ("backward", "Slow")] == ["", "model"]


def test_layers_that_are_computed_as_one_are_one_row():
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 2), nn.ReLU())
    with tn.profile() as p:
        model(tn.ones(1, 1, 8, 8)).sum().backward()
    rows = found(p, "module")
    assert list(rows) == ["model (Sequential)", "model.0…2 (Conv2d+ReLU+MaxPool2d)", "model.3 (Flatten)",
                          "model.4…5 (Linear+ReLU)"]
    assert all(row.backward > 0 for row in rows.values())
    with tn.use_kernels("reference"), tn.profile() as p:
        model(tn.ones(1, 1, 8, 8))
    assert "model.1 (ReLU)" in found(p, "module")


def test_modules_nobody_named_and_modules_used_by_hand():
    with tn.profile() as p:
        nn.Sequential(nn.Tanh())(tn.ones(1))
        nn.Sequential(nn.Linear(1, 1), nn.ReLU()).forward(tn.ones(1))
    assert list(found(p, "module")) == ["Sequential (Sequential)", "Sequential.0 (Tanh)", "Linear…ReLU (Linear+ReLU)"]


# ---- memory
def test_memory_is_that_of_new_arrays():
    x = tn.ones(1000)
    with tn.profile() as p:
        y = tn.nn.functional.softplus(x)
        z = y.reshape(10, 100)
        x.reshape(10, 100).transpose(0, 1)  # views of what was there before
        del y, z
        tn.nn.functional.softplus(x)
    rows = found(p, "op")
    assert rows["softplus"].memory == 8000 and rows["reshape"].memory == 0
    assert p.peak_memory == 4000  # the first was gone before the second came
    assert [alive for _, alive in p._memory] == [0, 4000, 0, 4000, 0]


def test_memory_of_backward_and_of_modules():
    model, x = nn.Linear(10, 20), tn.ones(5, 10, requires_grad=True)
    with tn.profile() as p:
        model(x).sum().backward()
    out, gradients = 4 * 5 * 20, 4 * (5 * 10 + 20 * 10 + 20)
    assert found(p, "op")["linear"].memory == out + gradients
    assert found(p, "module")["model (Linear)"].memory == out + gradients


# ---- it changes nothing
def seams():
    return (Module.__dict__["__call__"], Optimizer.__dict__["step"], engine.walk, containers.together,
            Node.__dict__["op"], *(p.__dict__["forward"] for p in PRIMITIVES.values()))


def test_nothing_is_left_of_it():
    before = seams()
    with tn.profile() as p:
        assert all(a is not b for a, b in zip(seams(), before, strict=True))
    assert seams() == before
    with pytest.raises(KeyError), p:
        raise KeyError
    assert seams() == before


def train(steps=3):
    tn.manual_seed(0)
    convolution = nn.Conv2d(1, 3, 3), nn.ReLU(), nn.MaxPool2d(2)
    model = nn.Sequential(*convolution, nn.Flatten(), nn.LayerNorm(27), nn.Linear(27, 4))
    optimizer = tn.optim.Adam(model.parameters())
    x, y = tn.randn(6, 1, 8, 8), tn.randint(0, 4, (6,))
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    return [p.tolist() for p in model.parameters()]


def test_results_are_the_same_to_the_last_bit():
    plain = train()
    with tn.profile():
        assert train() == plain


def test_higher_derivatives_are_the_same():
    x = tn.tensor([0.5, 2.0], requires_grad=True)

    def second():
        (g,) = tn.autograd.grad(tn.matmul(x, x).exp() + Slow.apply(x).sum(), x, create_graph=True)
        return tn.autograd.grad(g.sum(), x)[0].tolist()

    plain = second()
    with tn.profile() as p:
        assert second() == plain
    assert found(p, "op")["exp"].backward > 0


def test_a_rule_that_fails_is_still_an_error():
    class Broken(tn.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, g):
            raise KeyError("mine")

    with tn.profile() as p:
        y = Broken.apply(tn.ones(1, requires_grad=True))
        with pytest.raises(KeyError, match="mine"):
            y.backward()
        tn.matmul(tn.ones(1, 1), tn.ones(1, 1))
    assert "Broken" in found(p, "op") and not p.events[-1].inner


# ---- threads, and profiles in profiles
def test_only_this_thread_is_profiled():
    errors = []

    def elsewhere():
        nn.Linear(2, 2)(tn.ones(1, 2)).sum().backward()
        try:
            with tn.profile():
                pass
        except RuntimeError as error:
            errors.append(str(error))

    before = seams()
    with tn.profile() as p:
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
    assert p.events == [] and "running in another thread" in errors[0] and seams() == before


def test_a_profile_within_a_profile_and_a_summary_within_one():
    before = seams()
    with tn.profile() as outer:
        tn.ones(2, 2).softmax(0)
        with tn.profile() as inner:
            tn.matmul(tn.ones(2, 2), tn.ones(2, 2))
        tn.summary(nn.Linear(2, 2), (1, 2))
    assert seams() == before
    assert list(found(inner, "op")) == ["matmul", "Python around them"][:1]
    assert {"softmax", "matmul", "linear"} <= set(found(outer, "op"))
    with outer, pytest.raises(RuntimeError, match="running already"), outer:
        pass
    assert seams() == before


# ---- how it is told
def test_the_tables():
    model, x = nn.Sequential(nn.Linear(4, 4), SlowForward()), tn.ones(2, 4)
    with tn.profile() as p:
        model(x).sum().backward()
    text = str(p)
    op, module, total = text.split("\n\n")
    assert op.splitlines()[0].split() == ["op", "calls", "forward", "backward", "total", "share", "memory"]
    assert op.splitlines()[-1].startswith("Python around them")
    totals = [row.total for row in p.rows()]
    assert totals == sorted(totals, reverse=True)
    assert module.splitlines()[2].startswith("model (Sequential)") and "model.1 (SlowForward)" in module
    assert total.startswith(f"{1e3 * p.wall:.3f} ms in all; at most ")
    shares = [float(line.split("%")[0].split()[-1]) for line in op.splitlines()[2:]]
    assert sum(shares) == pytest.approx(100, abs=0.1 * len(shares))


def test_nothing_profiled_and_a_profile_that_still_runs():
    assert "nothing was profiled" in str(tn.profile())
    with tn.profile() as p:
        tn.ones(2, 2).softmax(0)
        assert "softmax" in str(p)
    with p:
        pass
    assert p.events == [] and p.peak_memory == 0  # a second use begins anew
    with pytest.raises(ValueError, match="'op' or 'module', got 'layer'"):
        p.rows("layer")


def test_the_chrome_trace(tmp_path):
    model, x = nn.Sequential(nn.Linear(4, 4), nn.Tanh()), tn.ones(2, 4)
    with tn.profile() as p:
        (model(x) @ tn.ones(4, 3)).sum().backward()
    p.export_chrome_trace(tmp_path / "trace.json")
    trace = json.loads((tmp_path / "trace.json").read_text(encoding="utf-8"))
    events = trace["traceEvents"]
    assert {e["ph"] for e in events} == {"M", "X", "C"}
    slices = [e for e in events if e["ph"] == "X"]
    assert len(slices) == len(p.events)
    for e in slices:
        assert e["ts"] >= 0 and e["dur"] >= 0 and {"name", "cat", "pid", "tid", "args"} <= set(e)
    for outer, inner in (("Sequential (model)", "Linear (model.0)"), ("Linear (model.0)", "linear"),
                         ("walk of backward()", "linear backward"), ("matmul backward", "matmul")):
        assert any(a["ts"] <= b["ts"] and b["ts"] + b["dur"] <= a["ts"] + a["dur"] + 1e-3
                   for a in slices if a["name"] == outer for b in slices if b["name"] == inner)
    (linear,) = [e for e in slices if e["name"] == "linear"]
    assert linear["args"] == {"module": "model.0", "shapes": "[(2, 4), (4, 4), (4,)]", "memory": 32}
    counts = [e["args"]["bytes"] for e in events if e["ph"] == "C"]
    assert counts[0] == 0 and max(counts) == p.peak_memory
    assert np.all(np.diff([e["ts"] for e in events if e["ph"] == "C"]) >= 0)
