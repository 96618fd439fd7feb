"""On a real card: recorded steps give what the eager ones give, and take less time."""

from __future__ import annotations

import copy
import time

import pytest

import tinynet as tn
from tinynet.nn import functional as F
from tinynet.optim import SGD, Adam, AdamW

pytestmark = pytest.mark.gpu

OPTIMIZERS = {"SGD": lambda p: SGD(p, lr=0.05, momentum=0.9), "Adam": Adam,
              "AdamW": lambda p: AdamW(p, lr=0.01), "amsgrad": lambda p: Adam(p, amsgrad=True)}  # fmt: skip


@pytest.mark.parametrize("optimizer", sorted(OPTIMIZERS))
@pytest.mark.parametrize("name", ["mlp", "cnn", "gpt", "lstm"])
def test_the_numbers_of_the_eager_steps(nets, name, optimizer):
    """With learning rates that change. (Where plain code multiplies by cuBLAS, which is not recorded, a recorded step
    uses our own kernel: so equal up to rounding.)"""
    make, batch = nets.NETS[name]
    a = make().cuda()
    for module in a.modules():
        if isinstance(module, tn.nn.Dropout):
            module.p = 0.0
    b = copy.deepcopy(a)
    one, two = (OPTIMIZERS[optimizer](model.parameters()) for model in (a, b))
    step = tn.cuda.Graph(lambda x, y: nets.step(b, two, x, y, clip=True))
    for k in range(8):
        x, y = (t.cuda() for t in batch())
        for o in (one, two):
            o.param_groups[0]["lr"] = 0.01 / (k + 1)
        want, got = nets.step(a, one, x, y, clip=True), step(x, y)
        assert got.item() == pytest.approx(want.item(), rel=1e-4)
    for (path, p), (_, q) in zip(a.state_dict().items(), b.state_dict().items(), strict=True):
        assert tn.allclose(p, q, rtol=1e-3, atol=1e-4), path


def test_masks_are_drawn_anew():
    x, step = tn.ones(64, 64, device="cuda"), tn.cuda.Graph(lambda x: F.dropout(x, 0.5))
    tn.manual_seed(3)
    want = [F.dropout(x, 0.5) for _ in range(6)]
    tn.manual_seed(3)
    got = [step(x) for _ in range(6)]
    assert all(tn.equal(a, b) for a, b in zip(want, got, strict=True)) and not tn.equal(got[4], got[5])


@pytest.mark.parametrize(("fn", "reason"), [
    (lambda x: x.sum().item(), "waits for a value"),
    (lambda x: x[x > 0], "shape depends on values"),
    (lambda x: x.cpu(), "waits for a value"),
    (lambda x: x + tn.ones(4, 4).cuda(), "values go from the processor to the GPU"),
    (lambda x: x[tn.tensor([1, 0])], "values go from the processor to the GPU"),
    (lambda x: x.double() @ x.double(), "cuBLAS"),
    (lambda x: (x, tn.ones(2) * 2), "mul is computed on the CPU"),
])  # fmt: skip
def test_what_is_refused(fn, reason):
    step, x = tn.cuda.Graph(fn), tn.ones(4, 4, device="cuda")
    for _ in range(2):
        step(x)
    with pytest.raises(RuntimeError, match="cannot be recorded as a CUDA graph") as error:
        step(x)
    assert reason in str(error.value).partition(f" ({__file__}:")[0], "not in the line, which has it in it, too"
    assert (x + 1).sum().item() == 32, "the card is as it was"
    other = tn.cuda.Graph(lambda x: x * 2)
    assert [other(x).sum().item() for _ in range(4)] == [32.0] * 4


def test_what_is_done_between_replays_does_not_harm_its_memory(nets):
    """Others' arrays come and go: none may lie where the recording writes."""
    make, batch = nets.NETS["cnn"]
    model = make().cuda()
    optimizer = Adam(model.parameters())
    step = tn.cuda.Graph(lambda x, y: nets.step(model, optimizer, x, y))
    x, y = (t.cuda() for t in batch())
    kept = [tn.full((1000,), 7.0, device="cuda")]
    for k in range(20):
        step(x, y)
        kept.append(tn.full((1000 * (k + 1),), 7.0, device="cuda"))
        if k % 3 == 0:
            del kept[0]
    assert all((t == 7.0).all().item() for t in kept)


def test_it_is_fast(nets):
    """The mlp of 64 images, as in `tinynet bench`: printed beside the eager step."""
    model = tn.nn.Sequential(tn.nn.Linear(784, 128), tn.nn.ReLU(), tn.nn.Linear(128, 10)).cuda()
    optimizer = Adam(model.parameters())
    x, y = tn.randn(64, 784).cuda(), tn.randint(0, 10, (64,)).cuda()

    def eager(x, y):
        return nets.step(model, optimizer, x, y)

    def seconds(step):
        for _ in range(10):
            step(x, y)
        tn.cuda.synchronize()
        begun = time.perf_counter()
        for _ in range(200):
            step(x, y)
        tn.cuda.synchronize()
        return (time.perf_counter() - begun) / 200

    before, after = seconds(eager), seconds(tn.cuda.Graph(eager))
    print(f"\neager {before * 1e6:.0f} µs, recorded {after * 1e6:.0f} µs, {before / after:.1f} times as fast")
    assert after < before
