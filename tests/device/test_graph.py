"""Steps that are recorded and replayed: the numbers of the eager ones, and a reason for what cannot be recorded."""

from __future__ import annotations

import copy
import gc
import re
import warnings
from functools import partial

import numpy as np
import pytest

import tinynet as tn
from tinynet.cuda import graph
from tinynet.nn import functional as F
from tinynet.nvidia import driver
from tinynet.optim import SGD, Adagrad, Adam, AdamW, Muon, NAdam, RMSprop

OPTIMIZERS = {
    "SGD": partial(SGD, lr=0.05),
    "momentum": partial(SGD, lr=0.05, momentum=0.9, dampening=0.1, weight_decay=0.01),
    "nesterov": partial(SGD, lr=0.05, momentum=0.9, nesterov=True),
    "Adam": partial(Adam, lr=0.01),
    "amsgrad": partial(Adam, lr=0.01, amsgrad=True, weight_decay=0.1),
    "AdamW": partial(AdamW, lr=0.01),
}


def pair(nets, name, make):
    """A net, its twin, and an optimizer of each."""
    here = nets.NETS[name][0]().cuda()
    return [(model, make(model.parameters())) for model in (here, copy.deepcopy(here))]


def recorded(nets, model, optimizer, **options):
    return tn.cuda.Graph(lambda x, y: nets.step(model, optimizer, x, y, **options))


def same(a, b, rtol=0.0):
    for (path, p), (_, q) in zip(a.state_dict().items(), b.state_dict().items(), strict=True):
        assert close(p, q, rtol), path


def close(a, b, rtol):
    """Equal; for Adam, whose √(1 - β2ᵗ) the plain code is told as 1 / √(1 - β2ᵗ), but for a rounding."""
    return tn.allclose(a, b, rtol=rtol, atol=rtol) if rtol else tn.equal(a, b)


# ---- as eager
@pytest.mark.parametrize("optimizer", sorted(OPTIMIZERS))
def test_the_numbers_of_the_eager_steps(gpu, nets, optimizer):
    """Weights, buffers, gradients and losses, with another learning rate each time."""
    rtol = 1e-6 if optimizer not in ("SGD", "momentum", "nesterov") else 0.0
    (a, one), (b, two) = pair(nets, "mlp", OPTIMIZERS[optimizer])
    a[3].p = b[3].p = 0.0  # the twins would draw one after the other
    step = recorded(nets, b, two, clip=True)
    schedules = [tn.optim.lr_scheduler.ExponentialLR(o, 0.8) for o in (one, two)]
    for _ in range(6):
        x, y = (t.cuda() for t in nets.NETS["mlp"][1]())
        want, got = nets.step(a, one, x, y, clip=True), step(x, y)
        assert close(got, want, rtol) and not got.requires_grad
        assert all(close(p.grad, q.grad, rtol) for p, q in zip(a.parameters(), b.parameters(), strict=True))
        for schedule in schedules:
            schedule.step()
    same(a, b, rtol)
    assert repr(one) == repr(two)
    for p, q in zip(one.state.values(), two.state.values(), strict=True):
        assert all(close(p[name], q[name], rtol) for name in p), "Adam's t too, which is on the CPU"


@pytest.mark.parametrize("name", ["cnn", "gpt", "lstm"])
def test_other_nets(gpu, nets, name):
    (a, one), (b, two) = pair(nets, name, OPTIMIZERS["momentum"])
    for module in [*a.modules(), *b.modules()]:
        if isinstance(module, tn.nn.Dropout):
            module.p = 0.0
    step = recorded(nets, b, two)
    for _ in range(5):
        x, y = (t.cuda() for t in nets.NETS[name][1]())
        assert nets.step(a, one, x, y).item() == step(x, y).item()
    same(a, b)


def test_masks_are_drawn_anew(gpu):
    """Of dropout, and as the eager calls draw them; between calls the stream may be used, too."""
    def fn(x):
        return F.dropout(x, 0.5) + tn.rand(4, 8, device="cuda"), tn.randn(3, device="cuda")

    x = tn.ones(4, 8, device="cuda")
    tn.manual_seed(3)
    want = []
    for _ in range(6):
        want += [*fn(x), tn.rand(2, device="cuda")]
    tn.manual_seed(3)
    step, got = tn.cuda.Graph(fn), []
    for _ in range(6):
        got += [*step(x), tn.rand(2, device="cuda")]
    assert all(tn.equal(a, b) for a, b in zip(want, got, strict=True))
    assert not tn.equal(got[-3], got[-6])
    tn.manual_seed(4)
    with pytest.raises(RuntimeError, match="recorded with another seed: after manual_seed"):
        step(x)


def test_arguments_and_results_of_many_kinds(gpu):
    @tn.cuda.Graph
    def step(x, pair, *, scale, others):
        """Its docstring."""
        total = x * scale + pair[0] - pair[1]
        return {"total": total, "two": (total.sum(), others["k"] * 2), "number": 3, "none": None, "input": x}

    assert step.__name__ == "step" and step.__doc__ == "Its docstring." and "not recorded yet" in repr(step)
    kept = []
    for k in range(5):
        x = tn.full((2, 3), float(k), device="cuda")
        out = step(x, (x + 1, x.T.contiguous().T), scale=2.0, others={"k": tn.tensor(k, device="cuda")})
        kept.append(out)
        assert out["number"] == 3 and out["none"] is None and isinstance(out["two"], tuple)
    assert "Graph(step, recorded)" in repr(step)
    for k, out in enumerate(kept):  # what came back is not written over
        assert out["total"].tolist() == [[2.0 * k + 1] * 3] * 2 and out["input"].tolist() == [[float(k)] * 3] * 2
        assert out["two"][1].item() == 2 * k and out["two"][0].item() == 6 * (2.0 * k + 1)


def test_a_replay_is_one_launch(gpu, nets):
    (_, _), (model, optimizer) = pair(nets, "mlp", OPTIMIZERS["SGD"])
    step = recorded(nets, model, optimizer)
    x, y = (t.cuda() for t in nets.NETS["mlp"][1]())
    for _ in range(4):
        step(x, y)
    graph = step._recording.graph
    gpu.traffic.clear()
    step(x, y)
    assert graph.launches == 3 and gpu.traffic == {"to device": 1}, "dropout's place in its stream"
    with tn.no_grad():
        for module in model:
            module.p = 0.0
    model.eval()
    loss = tn.cuda.Graph(lambda x, y: nets.cross_entropy(model(x), y))
    for _ in range(3):
        loss(x, y)
    gpu.traffic.clear()
    loss(x, y)
    assert not gpu.traffic, "there is nothing to tell"


def test_memory_is_the_graphs_own(gpu, nets):
    (_, _), (model, optimizer) = pair(nets, "cnn", Adam)
    step = recorded(nets, model, optimizer)
    x, y = (t.cuda() for t in nets.NETS["cnn"][1]())
    for _ in range(3):
        step(x, y)
    pool, before = step._side.pool, tn.cuda.memory_allocated()
    assert pool.used_bytes() > 0
    used = pool.used_bytes()
    for _ in range(3):
        step(x, y)
    assert pool.used_bytes() == used and tn.cuda.memory_allocated() == before
    del step
    gc.collect()
    assert tn.cuda.memory_allocated() < before, "the copies of the inputs go with it"


def test_gradients_that_are_added_to(gpu):
    """The step does not clear them, so those of three calls are added up, as in eager code."""
    w = tn.nn.Parameter(tn.ones(2, device="cuda"))
    step = tn.cuda.Graph(lambda x: (w * x).sum().backward())
    for _ in range(5):
        step(tn.ones(2, device="cuda"))
    assert w.grad.tolist() == [5.0, 5.0]
    w.grad = None
    with pytest.raises(RuntimeError, match="were kept before the step that was recorded, and are cleared"):
        step(tn.ones(2, device="cuda"))


def test_gradients_that_are_cleared_outside(gpu):
    w = tn.nn.Parameter(tn.ones(2, device="cuda"))
    step = tn.cuda.Graph(lambda x: (w * x).sum().backward())
    for k in range(6):
        w.grad = None
        step(tn.full((2,), float(k), device="cuda"))
        assert w.grad.tolist() == [float(k)] * 2
    with pytest.raises(RuntimeError, match="were cleared before the step that was recorded, and are kept"):
        step(tn.ones(2, device="cuda"))


def test_a_graph_from_before_a_replay_sees_its_writes(gpu):
    """What backward() saved was written over: as by an eager step."""
    w = tn.nn.Parameter(tn.ones(2, device="cuda"))
    optimizer = SGD([w], lr=0.1)

    @tn.cuda.Graph
    def step(x):
        optimizer.zero_grad()
        (w * x).sum().backward()
        optimizer.step()

    for _ in range(3):
        step(tn.ones(2, device="cuda"))
    loss = (w * w).sum()
    step(tn.ones(2, device="cuda"))
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_a_mistake_in_values_is_told_later(gpu):
    step = tn.cuda.Graph(lambda x, y: F.cross_entropy(x, y))
    x = tn.zeros(2, 3, device="cuda")
    for _ in range(4):
        step(x, tn.tensor([0, 2], device="cuda")).item()
    step(x, tn.tensor([0, 3], device="cuda"))
    with pytest.raises(IndexError, match="Target is out of bounds"):
        tn.cuda.synchronize()


# ---- what cannot be recorded
def training(optimizer, between=lambda loss: None):
    def fn(x):
        optimizer.zero_grad()
        loss = (optimizer.param_groups[0]["params"][0] * x).sum()
        between(loss)
        loss.backward()
        optimizer.step()
        return loss
    return fn


REFUSED = [
    (lambda x: x.sum().item(), "the processor waits for a value"),
    (lambda x: x * 2 if x.sum() > 0 else x, "the processor waits for a value"),
    (lambda x: print(x), "the processor waits for a value"),
    (lambda x: x[x > 0], "shape depends on values"),
    (lambda x: x.nonzero(), "shape depends on values"),
    (lambda x: x.cpu() * 2, "the processor waits for a value"),
    (lambda x: x + tn.tensor([1.0, 2.0]).cuda(), "values go from the processor to the GPU"),
    (lambda x: x[tn.tensor([1, 0])], "values go from the processor to the GPU"),
    (lambda x: (x, tn.ones(2) * 2), "mul is computed on the CPU"),
    (lambda x: (x, tn.ones(2)), "returns a tensor of the CPU's"),
    (lambda x: x.add_(1), "writes to one of its arguments"),
    (lambda x: x.double() @ x.double(), "cuBLAS"),
    (lambda x: tn.linalg.inv(tn.eye(2, device="cuda")), "computed by NVIDIA's cuSOLVER, which CuPy does not record"),
    (lambda x: tn.cuda.Graph(lambda y: y)(x), "calls another Graph"),
]


@pytest.mark.parametrize(("fn", "reason"), REFUSED)
def test_what_is_refused(gpu, fn, reason, capsys):
    step, x = tn.cuda.Graph(fn), tn.ones(2, device="cuda")
    for _ in range(2):
        step(x)
    with pytest.raises(RuntimeError, match="<lambda> cannot be recorded as a CUDA graph: ") as error:
        step(x)
    assert reason in str(error.value).partition(f" ({__file__}:")[0], "not in the line, which has it in it, too"
    assert (x + 1).tolist() in ([2.0, 2.0], [4.0, 4.0]), "what comes after it is computed"
    assert gpu._recorded() is None and tn.rand(2, device="cuda").shape == (2,) and tn.ones(1).cuda().item() == 1


def test_the_line_is_named(gpu):
    @tn.cuda.Graph
    def step(x):
        y = x * 2
        return y.sum().item()

    x = tn.ones(2, device="cuda")
    step(x), step(x)
    with pytest.raises(RuntimeError, match=rf"\({re.escape(__file__)}:\d+: return y.sum\(\).item\(\)\)$"):
        step(x)


def test_what_libraries_below_say():
    """As Thrust does, which sort() goes through, and CUDA; an error that has nothing to do with it stays as it is."""
    thrust = RuntimeError("radix_sort: failed: cudaErrorStreamCaptureUnsupported: operation not permitted when stream "
                          "is capturing")
    assert "the processor waits for a value there" in graph.reason_of(thrust)
    for other in (RuntimeError("a capture of flags"), ValueError("calling API"), NotImplementedError("capture")):
        assert graph.reason_of(other) is None


@pytest.mark.parametrize("make", [NAdam, RMSprop, Adagrad, Muon])
def test_optimizers_that_are_refused(gpu, make):
    weight = tn.nn.Parameter(tn.ones(2, 2, device="cuda"))
    step = tn.cuda.Graph(training(make([weight])))
    x = tn.ones(2, 2, device="cuda")
    step(x), step(x)
    before, gradient = weight.tolist(), weight.grad
    with pytest.raises(RuntimeError, match=rf"{make.__name__} computes numbers on the processor .* AdamW and SGD"):
        step(x)
    assert weight.tolist() == before and weight.grad is gradient and gradient.tolist() == x.tolist()


def test_schedules_and_rates_within_a_step(gpu):
    weight = tn.nn.Parameter(tn.ones(2, device="cuda"))
    optimizer = Adam([weight])
    schedule = tn.optim.lr_scheduler.StepLR(optimizer, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is stepped before the optimizer
        step = tn.cuda.Graph(training(optimizer, lambda loss: schedule.step()))
        step(tn.ones(2, device="cuda")), step(tn.ones(2, device="cuda"))
        with pytest.raises(RuntimeError, match="a schedule counts on the processor"):
            step(tn.ones(2, device="cuda"))

    def slower(x):
        training(optimizer)(x)
        optimizer.param_groups[0]["lr"] *= 0.5

    step, t = tn.cuda.Graph(slower), optimizer.state[weight]["step"].item()
    step(tn.ones(2, device="cuda")), step(tn.ones(2, device="cuda"))
    with pytest.raises(RuntimeError, match="it changes a learning rate"):
        step(tn.ones(2, device="cuda"))
    assert optimizer.state[weight]["step"].item() == t + 2, "what was refused was not a step"


def test_a_parameter_that_comes_late(gpu):
    a, b = (tn.nn.Parameter(tn.ones(2, device="cuda")) for _ in range(2))
    for make, reason in ((Adam, "Adam's means of it begin"), (partial(SGD, momentum=0.9), "its momentum begins")):
        optimizer, calls = make([a, b]), []

        def fn(x, optimizer=optimizer, calls=calls):
            calls.append(1)
            optimizer.zero_grad()
            (a * x + b * x if len(calls) > 2 else a * x).sum().backward()
            optimizer.step()

        step = tn.cuda.Graph(fn)
        step(tn.ones(2, device="cuda")), step(tn.ones(2, device="cuda"))
        with pytest.raises(RuntimeError, match=reason):
            step(tn.ones(2, device="cuda"))
        fn(tn.ones(2, device="cuda"))
    with pytest.raises(RuntimeError, match="have taken different numbers of steps"):
        optimizer = Adam([a, b])
        optimizer.zero_grad()
        (a * 1).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        step = tn.cuda.Graph(lambda x: ((a * x + b * x).sum().backward(), optimizer.step(), optimizer.zero_grad())[:0])
        for _ in range(3):
            step(tn.ones(2, device="cuda"))


def test_calls_that_do_not_fit(gpu):
    step, x = tn.cuda.Graph(lambda x, n=1: x * n), tn.ones(2, 3, device="cuda")
    for _ in range(3):
        step(x, n=2)
    for args, options, said in (
        ((tn.ones(1, 3, device="cuda"),), {"n": 2}, "argument 0 was a tensor of float32[2, 3] on cuda:0"),
        ((x.double(),), {"n": 2}, "and is a tensor of float64[2, 3] on cuda:0: what is recorded is for the one"),
        ((x,), {"n": 3}, "argument 'n' was 2 when the step was first called, and is 3"),
        ((x,), {}, "the step was first called with arguments [0, 'n'], and now with [0]"),
        ((x.cpu(),), {"n": 2}, "on cpu"), ((x.to("cuda:1"),), {"n": 2}, "on cuda:1"),
        ((x.clone().requires_grad_(),), {"n": 2}, "with a gradient"),
    ):  # fmt: skip
        with pytest.raises(RuntimeError, match=re.escape(said)):
            step(*args, **options)
    assert step(x, n=2).tolist() == (x * 2).tolist()


@pytest.mark.parametrize(("args", "said"), [
    (lambda: (tn.ones(2),), "takes tensors on a GPU"),
    (lambda: (tn.ones(2, device="cuda:0"), tn.ones(2, device="cuda:1")), "one GPU, got some on cuda:0 and cuda:1"),
    (lambda: (tn.ones(2, device="cuda").requires_grad_(),), "must not require a gradient"),
    (lambda: ([np.ones(2)],), "an array was given"),
])  # fmt: skip
def test_arguments_that_are_refused(gpu, args, said):
    with pytest.raises(RuntimeError, match=said):
        tn.cuda.Graph(lambda *args: args)(*args())


@pytest.mark.parametrize(("change", "said"), [
    (lambda model, optimizer: optimizer.load_state_dict(optimizer.state_dict()), "was given another state"),
    (lambda model, optimizer: model.to("cuda:1"), "has other memory"),
    (lambda model, optimizer: setattr(model.weight, "data", tn.ones(1, 2, device="cuda")), "has other memory"),
    (lambda model, optimizer: optimizer.param_groups[0].update(betas=(0.5, 0.9)), "has other options"),
    (lambda model, optimizer: optimizer.add_param_group({"params": [tn.ones(1)]}), "another group of parameters"),
    (lambda model, optimizer: tn.use_kernels("reference"), "recorded with .*'kernels': 'auto'"),
    (lambda model, optimizer: tn.set_grad_enabled(False), "gradients are recorded': True"),
])  # fmt: skip
def test_what_changes_after_the_recording(gpu, change, said):
    model = tn.nn.Linear(2, 1, device="cuda")
    optimizer = Adam(model.parameters())
    step = tn.cuda.Graph(training(optimizer))
    x = tn.ones(1, 2, device="cuda")
    for _ in range(4):
        step(x)
    try:
        change(model, optimizer)
        with pytest.raises(RuntimeError, match=said):
            step(x)
    finally:
        tn.use_kernels("auto")
        tn.set_grad_enabled(True)


def test_an_error_of_the_step_itself_is_its_own(gpu):
    calls = []

    def fn(x):
        calls.append(1)
        if len(calls) > 2:
            raise KeyError("mine")
        return x

    step, x = tn.cuda.Graph(fn), tn.ones(2, device="cuda")
    step(x), step(x)
    with pytest.raises(KeyError, match="mine"):
        step(x)
    assert gpu._recorded() is None and x.sum().item() == 2
    with tn.autograd.detect_anomaly(), pytest.raises(RuntimeError, match="detect_anomaly"):
        step(x)
    calls.clear()
    assert step(x).tolist() == [1.0, 1.0], "and it can be recorded then"


def test_without_a_gpu(monkeypatch, nothing_known):
    monkeypatch.setattr(driver, "find", lambda: None)
    with pytest.raises(RuntimeError, match=r"device 'cuda': .*Use device='cpu'"):
        tn.cuda.Graph(lambda x: x)


def test_it_takes_a_function(gpu):
    with pytest.raises(TypeError, match=r"Graph\(fn\): fn must be a function, got Tensor"):
        tn.cuda.Graph(tn.ones(1))
