"""On a real card: `pytest -m gpu`. What the stand-in shows of every op and of training, here it is true."""

from __future__ import annotations

import gc

import numpy as np
import pytest

import tinynet as tn
from tinynet import late
from tinynet.nn import functional as F
from tinynet.optim import SGD, Adagrad, Adam, AdamW, NAdam, RMSprop
from tinynet.proofs import PROOFS, VALUES

pytestmark = pytest.mark.gpu


@pytest.fixture(autouse=True)
def clean():
    """No test sees what another noted on the card, or holds its memory."""
    gc.collect()
    yield
    late.forget()


@pytest.fixture
def traffic(monkeypatch):
    """Counts what comes from the card, and what CuPy brings there."""
    import cupy

    class Counted:
        to_host = to_device = 0

    get, array = cupy.ndarray.get, cupy.array

    def counted_get(self, *args, **options):
        Counted.to_host += 1
        return get(self, *args, **options)

    def counted_asarray(a, *args, **options):
        Counted.to_device += isinstance(a, np.ndarray)
        return array(a, *args, copy=not isinstance(a, cupy.ndarray), **options)

    monkeypatch.setattr(cupy, "asarray", counted_asarray)
    monkeypatch.setattr(cupy.ndarray, "get", counted_get)  # item(), float() and the like all call it
    return Counted


# ---- every op
@pytest.mark.parametrize("name", sorted([*PROOFS, *VALUES]))
def test_as_on_the_cpu(both, name):
    """Values, gradients and their gradients, in float64."""
    for seed in range(both.DRAWS):
        call = both.drawn(name, seed)
        there, here = both.outcome(name, call, "cuda"), both.outcome(name, call, "cpu")
        assert not both.differences(here, there, 1e-8), call


@pytest.mark.parametrize("backend", ["auto", "reference"])
@pytest.mark.parametrize("name", ["mlp", "cnn", "gpt", "lstm"])
def test_the_same_training_as_on_the_cpu(nets, name, backend):
    import copy

    make, batch = nets.NETS[name]
    here = make().to(tn.float64)
    for module in here.modules():
        if isinstance(module, tn.nn.Dropout):
            module.p = 0.0
    there = copy.deepcopy(here).cuda()
    pairs = [(model, Adam(model.parameters(), lr=1e-2)) for model in (here, there)]
    with tn.use_kernels(backend):
        for _ in range(4):
            x, target = batch()
            x = x.double() if x.is_floating_point() else x
            a, b = (nets.step(model, optimizer, x.to(place), target.to(place), clip=True)
                    for (model, optimizer), place in zip(pairs, ("cpu", "cuda"), strict=True))  # fmt: skip
            assert a.item() == pytest.approx(b.item(), rel=1e-7)
    for (path, p), (_, q) in zip(here.state_dict().items(), there.state_dict().items(), strict=True):
        assert tn.allclose(p, q.cpu(), rtol=1e-5, atol=1e-7), path


@pytest.mark.parametrize("make", [SGD, Adam, AdamW, NAdam, RMSprop, Adagrad])
def test_optimizers(make):
    start, slopes = tn.randn(5, 4), [tn.randn(5, 4) for _ in range(3)]
    ends = []
    for place in ("cpu", "cuda"):
        w = tn.nn.Parameter(start.to(place, copy=True))
        optimizer = make([w], lr=0.1)
        for g in slopes:
            w.grad = g.to(place)
            optimizer.step()
        ends.append(w.detach().cpu())
    assert tn.allclose(*ends, rtol=1e-5, atol=1e-6)


# ---- nothing comes unasked
@pytest.mark.parametrize("name", ["mlp", "cnn", "gpt", "lstm"])
def test_nothing_comes_from_the_gpu_unasked(nets, traffic, name):
    make, batch = nets.NETS[name]
    model = make().cuda()
    optimizer = Adam(model.parameters())
    x, target = (t.cuda() for t in batch())
    nets.step(model, optimizer, x, target, clip=True)
    traffic.to_host = traffic.to_device = 0
    loss = nets.step(model, optimizer, x, target, clip=True)
    assert traffic.to_host == traffic.to_device == 0
    assert np.isfinite(loss.item()) and traffic.to_host == 2, "the number, and the notes of what was wrong"


def test_an_error_in_values_is_told_when_they_are_read():
    scores = tn.zeros(2, 3, device="cuda")
    F.cross_entropy(scores, tn.tensor([0, 3], device="cuda"))
    with pytest.raises(IndexError, match=r"Target is out of bounds.*found on the GPU"):
        tn.cuda.synchronize()
    scores[tn.tensor([5], device="cuda")]
    with pytest.raises(IndexError, match="index is out of bounds"):
        scores.sum().item()
    with tn.autograd.detect_anomaly(), pytest.raises(IndexError, match="Target 3 is out of bounds"):
        F.cross_entropy(scores, tn.tensor([0, 3], device="cuda"))
    with pytest.raises(tn.linalg.LinAlgError, match="singular"):
        tn.linalg.inv(tn.zeros(2, 2, device="cuda"))


# ---- memory
def test_memory_falls_the_moment_a_graph_dies(nets):
    make, batch = nets.NETS["cnn"]
    model = make().cuda()
    x, target = (t.cuda() for t in batch())
    optimizer = SGD(model.parameters(), lr=0.1)
    nets.step(model, optimizer, x, target)
    optimizer.zero_grad()
    gc.disable()
    try:
        before = tn.cuda.memory_allocated()
        loss = nets.cross_entropy(model(x), target)
        held = tn.cuda.memory_allocated()
        loss.backward()
        optimizer.zero_grad()
        del loss
        assert held > before and tn.cuda.memory_allocated() == before
    finally:
        gc.enable()


def test_out_of_memory_says_where_it_is():
    with pytest.raises(tn.cuda.OutOfMemoryError, match=r"Tried to allocate .* GiB. GPU 0 has .* What helps: a smaller"):
        tn.empty(2**44, device="cuda")
    assert tn.ones(3, device="cuda").sum().item() == 3, "and the card is as it was"


# ---- random numbers
def test_a_seed_gives_the_numbers_of_the_plain_code():
    """Those that NumPy computes by the same code: so they are the same on every card."""
    from tinynet.ops._streams import Philox
    from tinynet.random import Generator

    plain = Philox(Generator().manual_seed(11), np)
    g = tn.Generator("cuda").manual_seed(11)
    for draw, dtype in (("rand", tn.float32), ("rand", tn.float64), ("randn", tn.float32), ("randn", tn.float64)):
        there = getattr(tn, draw)(1001, generator=g, dtype=dtype, device="cuda").cpu().numpy()
        here = getattr(plain, {"rand": "random", "randn": "standard_normal"}[draw])((1001,), dtype)
        np.testing.assert_allclose(there, here, rtol=1e-5, atol=1e-6)
    there = tn.randint(-5, 5, (1001,), generator=g, device="cuda").cpu().numpy()
    assert np.array_equal(there, plain.integers(-5, 5, (1001,)))


def test_each_device_has_a_stream_of_its_own():
    tn.manual_seed(0)
    there, here = tn.rand(8, device="cuda"), tn.rand(8)
    tn.manual_seed(0)
    assert tn.equal(tn.rand(8), here) and tn.equal(tn.rand(8, device="cuda"), there)
    x = F.dropout(tn.ones(100_000, device="cuda"), 0.3)
    assert abs((x == 0).float().mean().item() - 0.3) < 0.01 and abs(x.mean().item() - 1) < 0.01
    assert tn.randperm(1000, device="cuda").sort().values.tolist() == list(range(1000))


# ---- as values
def test_there_and_back(tmp_path):
    x = tn.randn(3, 4).cuda()
    assert "device='cuda:0'" in repr(x) and x.T.cpu().stride() is not None and tn.equal(x.T.cpu(), x.cpu().T)
    x[1:, tn.tensor([0, 2])] = tn.zeros(2, 2, device="cuda")
    assert x[1, 0].item() == 0 and x[x != 0].numel() == 8
    tn.save({"x": x}, tmp_path / "f")
    assert tn.equal(tn.load(tmp_path / "f", map_location="cuda")["x"], x)
    with pytest.raises(RuntimeError, match="found at least two devices, cuda:0 and cpu"):
        x + x.cpu()
    with pytest.raises(TypeError, match="can't convert cuda:0 device type tensor to numpy"):
        x.numpy()


def test_info_names_all_that_is_in_use():
    found = tn.cuda.info()
    assert found["to do"] is None and found["cards"]
    assert all(found[name] for name in ("driver", "CuPy", "runtime", "NVRTC", "cuBLAS"))
    assert "cannot be loaded" not in str(found), found
    assert tn.cuda.device_count() == len(found["cards"])


# ---- with PyTorch
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "bool", "float16"])
def test_memory_shared_with_pytorch(dtype):
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("this PyTorch has no CUDA")
    theirs = (torch.arange(12, device="cuda") % 2 == 0).to(getattr(torch, dtype)).reshape(3, 4)[1:, ::2]
    ours = tn.from_dlpack(theirs)
    assert ours.tolist() == theirs.tolist() and str(ours.device) == "cuda:0"
    ours.fill_(1)
    assert bool(theirs.bool().all())
    again = torch.from_dlpack(ours)
    assert again.data_ptr() == theirs.data_ptr() and again.dtype == theirs.dtype


def test_gradients_equal_pytorchs():
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("this PyTorch has no CUDA")
    a, b = np.random.default_rng(0).standard_normal((2, 4, 4))
    found = []
    for lib in (tn, torch):
        x, w = (lib.tensor(v, device="cuda", requires_grad=True) for v in (a, b))
        lib.nn.functional.layer_norm(lib.softmax(x @ w, -1), (4,)).pow(2).sum(0).max().backward()
        found.append((x.grad.cpu().tolist(), w.grad.cpu().tolist()))
    np.testing.assert_allclose(found[0], found[1], rtol=1e-8, atol=1e-10)
