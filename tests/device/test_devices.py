"""Tensors on a GPU: how they get there and back, what they say of themselves, and what cannot be mixed."""

from __future__ import annotations

import copy
import pickle
import re

import numpy as np
import pytest

import tinynet as tn
from tinynet.nn import functional as F

HERE, THERE, OTHER = tn.device("cpu"), "cuda:0", "cuda:1"


def there(*values, **options):
    return tn.tensor(list(values), device="cuda", **options)


# ---- how they get there
def test_ways_there_and_back(gpu):
    x = tn.tensor([1.0, 2.0])
    for y in (x.to("cuda"), x.to("cuda:0"), x.to(0), x.to(tn.device("cuda", 0)), x.cuda(), x.cuda(0),
              x.to(there(1.0)), x.to(device="cuda"), tn.as_tensor(x, device="cuda"),
              tn.tensor(x, device="cuda")):  # fmt: skip
        assert str(y.device) == THERE and isinstance(y.array, gpu.ndarray)
        assert y.to("cuda") is y and y.cuda() is y and y.to("cuda:0") is y
    assert y.cpu().device == y.to("cpu").device == y.to(x).device == HERE and y.cpu().tolist() == [1.0, 2.0]
    both = x.to("cuda", tn.float64)
    assert both.dtype == tn.float64 and str(both.device) == THERE
    assert x.cpu() is x and str(x.cuda(1).device) == OTHER and str(x.cuda(1).to("cuda:0").device) == THERE
    assert y.to("cuda", copy=True) is not y


@pytest.mark.parametrize("make", [
    lambda **o: tn.zeros(2, **o), lambda **o: tn.ones(2, **o), lambda **o: tn.empty(2, **o),
    lambda **o: tn.full((2,), 3, **o), lambda **o: tn.arange(3, **o), lambda **o: tn.linspace(0, 1, 3, **o),
    lambda **o: tn.eye(2, **o), lambda **o: tn.tril_indices(2, 2, **o), lambda **o: tn.triu_indices(2, 2, **o),
    lambda **o: tn.tensor([1, 2], **o), lambda **o: tn.as_tensor(np.ones(2), **o), lambda **o: tn.rand(2, **o),
    lambda **o: tn.randn(2, **o), lambda **o: tn.randint(5, (2,), **o), lambda **o: tn.randperm(3, **o),
    lambda **o: tn.normal(0.0, 1.0, (2,), **o), lambda **o: tn.zeros_like(tn.ones(2), **o),
    lambda **o: tn.ones_like(tn.ones(2), **o), lambda **o: tn.full_like(tn.ones(2), 2, **o),
    lambda **o: tn.empty_like(tn.ones(2), **o), lambda **o: tn.rand_like(tn.ones(2), **o),
    lambda **o: tn.randn_like(tn.ones(2), **o), lambda **o: tn.nn.Linear(2, 1, **o).weight,
    lambda **o: tn.nn.BatchNorm2d(2, **o).running_var, lambda **o: tn.nn.LSTM(2, 1, **o).weight_ih_l0,
])  # fmt: skip
@pytest.mark.parametrize("device", [THERE, OTHER])
def test_tensors_are_made_where_they_are_asked_for(gpu, make, device):
    assert str(make(device=device).device) == device
    assert make().device == HERE
    assert str(make(device="cuda").device) == device, "the GPU in use is the one that was named last"


def test_what_is_made_like_a_tensor_is_made_beside_it(gpu):
    x = tn.ones(2, device=OTHER)
    made = [tn.zeros_like(x), tn.rand_like(x), tn.randn_like(x), tn.full_like(x, 2.0), tn.empty_like(x), x.clone(),
            x * 2, x.sum(), x[0], F.dropout(x), x.normal_(),
            F.one_hot(tn.zeros(2, dtype=tn.int64, device=OTHER), 3)]  # fmt: skip
    assert {str(t.device) for t in made} == {OTHER}
    x.requires_grad_()
    (x.exp() * 3).sum().backward()
    assert str(x.grad.device) == OTHER


def test_gradients_go_back_where_the_tensor_came_from(gpu):
    x = tn.tensor([1.0, 2.0], requires_grad=True)
    (x.to("cuda") ** 2).sum().backward()
    assert x.grad.device == HERE and x.grad.tolist() == [2.0, 4.0]
    g, = tn.autograd.grad((x.cuda() ** 3).sum(), x, create_graph=True)
    (g.cuda() ** 2).sum().backward()
    assert g.device == HERE and x.grad.tolist() == [2.0 + 36.0, 4.0 + 36.0 * 8]


def test_modules_move_with_their_gradients_and_buffers(gpu):
    model = tn.nn.Sequential(tn.nn.Linear(2, 3), tn.nn.BatchNorm1d(3))
    model(tn.randn(4, 2)).sum().backward()
    weight = model[0].weight
    assert model.cuda() is model and model[0].weight is weight
    held = [*model.parameters(), *model.buffers(), *(p.grad for p in model.parameters())]
    assert {str(t.device) for t in held} == {THERE}
    model(tn.randn(4, 2, device="cuda")).sum().backward()
    assert {t.device for t in model.cpu().state_dict().values()} == {HERE} and weight.grad.device == HERE
    assert str(model.to("cuda:1", tn.float64)[1].running_mean.device) == OTHER
    assert model[1].num_batches_tracked.dtype == tn.int64 and model[0].weight.dtype == tn.float64


# ---- as values
def test_what_they_say_of_themselves(gpu):
    x = there(1.5, 2.0)
    assert repr(x) == "tensor([1.5000, 2.0000], device='cuda:0')"
    assert repr(there(1.0, requires_grad=True) * 2) == "tensor([2.], device='cuda:0', grad_fn=<MulBackward0>)"
    assert "..." in repr(tn.ones(3000, device="cuda")) and gpu.traffic["to host"] == 3
    assert x.type() == "tn.cuda.FloatTensor" and x.device.type == "cuda" and x.device.index == 0
    assert repr(x.device) == "device(type='cuda', index=0)"
    assert repr(tn.nn.ParameterList([tn.nn.Parameter(x)])).count("cuda:0") == 1


def test_numbers(gpu):
    x = there(2)
    assert (x.item(), x.tolist(), int(x), float(x), bool(x), f"{x[0]}", [7, 8, 9][x]) == (2, [2], 2, 2.0, True, "2", 9)
    assert 2 in x and 3 not in x and len(x) == 1 and [int(v) for v in x] == [2]
    assert there(1.0).numpy(force=True).tolist() == [1.0]
    refused = re.escape("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu()")
    for convert in (lambda: x.numpy(), lambda: np.asarray(x), lambda: np.array(x)):
        with pytest.raises(TypeError, match=refused):
            convert()


def test_copies_and_files(gpu, tmp_path):
    x = there(1.0, 2.0, requires_grad=True)
    (x * 3).sum().backward()
    for y in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert str(y.device) == THERE and y.requires_grad and y.tolist() == [1.0, 2.0]
    assert str(copy.deepcopy(x).grad.device) == THERE
    tn.save({"x": x, "a": np.arange(2)}, tmp_path / "f")
    assert tn.load(tmp_path / "f")["x"].device == HERE
    found = tn.load(tmp_path / "f", map_location="cuda")
    assert str(found["x"].device) == THERE and isinstance(found["a"], np.ndarray)
    tn.io.save_safetensors({"x": x}, tmp_path / "g")
    assert str(tn.io.load_safetensors(tmp_path / "g", device="cuda:1")["x"].device) == OTHER


def test_states_go_to_the_device_of_what_takes_them(gpu):
    here, there = tn.nn.Linear(2, 1), tn.nn.Linear(2, 1, device="cuda")
    there.load_state_dict(here.state_dict())
    assert str(there.weight.device) == THERE and there.weight.tolist() == here.weight.tolist()
    optimizers = [tn.optim.NAdam(m.parameters()) for m in (here, there)]
    here(tn.ones(1, 2)).sum().backward()
    optimizers[0].step()
    optimizers[1].load_state_dict(optimizers[0].state_dict())
    state = optimizers[1].state[there.weight]
    places = {name: str(value.device) for name, value in state.items()}
    assert places == {"step": "cpu", "mu_product": "cpu", "exp_avg": THERE, "exp_avg_sq": THERE}
    saved = optimizers[1].state_dict()
    optimizers[1].load_state_dict(saved | {"state": {0: {name: v.cuda() for name, v in state.items()}}})
    assert optimizers[1].state[there.weight]["step"].device == HERE, "it is read at every step"


def test_one_optimizer_for_two_devices(gpu):
    w = [tn.nn.Parameter(tn.full((2,), 9.0, device=place)) for place in ("cpu", "cuda", "cpu", "cuda:1")]
    for make in (tn.optim.Adam, tn.optim.SGD, tn.optim.RMSprop):
        optimizer = make(w, lr=0.5)
        for p in w:
            p.grad = tn.ones_like(p)
        before = w[0].tolist()
        optimizer.step()
        assert all(tn.allclose(p.cpu(), w[0], rtol=1e-4) for p in w) and w[0].tolist() != before


def test_batches(gpu):
    data = tn.data.TensorDataset(tn.arange(6.0).reshape(6, 1).cuda(), tn.arange(6))
    loader = tn.data.DataLoader(data, batch_size=4, shuffle=True)
    x, y = next(iter(loader))
    assert str(x.device) == THERE and y.device == HERE and x.flatten().tolist() == y.tolist()
    assert str(tn.data.default_collate([(there(1.0), 1), (there(2.0), 2)])[0].device) == THERE
    with pytest.raises(RuntimeError, match=r"Normalize works on the CPU.* got a tensor on cuda:0: transform first"):
        tn.data.transforms.Normalize([0.0], [1.0])(tn.ones(1, 1, 2, 2, device="cuda"))


# ---- indices and writes
def test_an_index_may_come_from_the_cpu(gpu):
    x, rows = tn.arange(12.0, device="cuda").reshape(3, 4), tn.tensor([2, 0])
    for index in (rows, rows.cuda(), [2, 0], np.array([2, 0]), (slice(None), rows), ([0, 1], [1, 2]), rows[0], 1,
                  (Ellipsis, rows), x.cpu() > 4, x > 4, (None, rows), [there(2)[0], there(0)[0]]):  # fmt: skip
        plain = tuple(i.cpu() if isinstance(i, tn.Tensor) else i for i in index) if isinstance(index, tuple) else index
        plain = plain.cpu() if isinstance(plain, tn.Tensor) else plain
        plain = [2, 0] if isinstance(plain, list) and isinstance(plain[0], tn.Tensor) else plain
        assert x[index].tolist() == x.cpu()[plain].tolist() and str(x[index].device) == THERE
    x.requires_grad_()
    x[rows].sum().backward()
    assert x.grad.sum(1).tolist() == [4.0, 0.0, 4.0]
    with pytest.raises(RuntimeError, match=r"either on cpu or on the same device as the indexed tensor \(cpu\)"):
        x.detach().cpu()[rows.cuda()]


def test_writes_from_elsewhere(gpu):
    x = tn.zeros(2, 2, device="cuda")
    x[0] = tn.tensor([1.0, 2.0])
    x[1, 0] = 3
    x[1, 1] = tn.tensor(4.0)
    assert x.tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert x.copy_(tn.ones(2, 2)).sum().item() == 4.0 and tn.zeros(2).copy_(there(1.0, 2.0)).tolist() == [1.0, 2.0]
    gpu.traffic.clear()
    x.zero_().fill_(2).add_(1).mul_(2.0)
    assert not gpu.traffic and x.tolist() == [[6.0, 6.0], [6.0, 6.0]]
    x[x > 1] = 0.0
    assert x.sum().item() == 0
    v = tn.tensor(5.0, requires_grad=True)
    y = x.clone()
    y[0, 0] = v
    (y * 3).sum().backward()
    assert v.grad.device == HERE and v.grad.item() == 3.0
    with pytest.raises(RuntimeError, match=r"Expected all tensors to be on the same device.* cpu and cuda:0"):
        tn.ones(2).add_(there(1.0, 2.0))


# ---- what cannot be mixed
@pytest.mark.parametrize(("call", "op", "places"), [
    (lambda x, y: x + y, "add", "cuda:0 and cpu"), (lambda x, y: y * x, "mul", "cpu and cuda:0"),
    (lambda x, y: x @ y, "matmul", "cuda:0 and cpu"), (lambda x, y: tn.cat([x, y]), "cat", "cuda:0 and cpu"),
    (lambda x, y: tn.where(x > 0, x, y), "where", "cuda:0 and cpu"),
    (lambda x, y: x + tn.ones(2, 2, device="cuda:1"), "add", "cuda:0 and cuda:1"),
    (lambda x, y: F.linear(x, y), "linear", "cuda:0 and cpu"), (lambda x, y: F.mse_loss(x, y), "sub", "cuda:0 and cpu"),
    (lambda x, y: F.conv2d(x[None], y[None, None]), "conv2d", "cuda:0 and cpu"),
    (lambda x, y: F.embedding(y.long(), x), "embedding", "cuda:0 and cpu"),
    (lambda x, y: tn.gather(x, 0, y.long()), "take_along", "cuda:0 and cpu"),
    (lambda x, y: x.gather(0, y.long()), "take_along", "cuda:0 and cpu"),
    (lambda x, y: x.cpu().sort().indices == x, "eq", "cpu and cuda:0"),
])  # fmt: skip
def test_tensors_on_two_devices(gpu, call, op, places):
    x, y = tn.ones(2, 2, device="cuda"), tn.ones(2, 2)
    with pytest.raises(RuntimeError) as error:
        call(x, y)
    said = f"{op}: Expected all tensors to be on the same device, but found at least two devices, {places}! Move one: "
    assert said in str(error.value)


def test_numbers_go_anywhere(gpu):
    """A tensor of the CPU's without axes is a number, as in PyTorch: of its kind, but not wide."""
    x = there(1.0, 2.0)
    n = tn.tensor(3.0, dtype=tn.float64, requires_grad=True)
    y = x * n
    assert y.dtype == tn.float32 and y.tolist() == [3.0, 6.0]
    y.sum().backward()
    assert n.grad.device == HERE and n.grad.item() == 3.0 and n.grad.dtype == tn.float64
    assert (there(1, 2) + tn.tensor(300)).tolist() == [301, 302] and (np.float32(2) * x).tolist() == [2.0, 4.0]
    assert (there(1, 2) * tn.tensor(0.5)).dtype == tn.float32


# ---- what is wrong with values is told later
WRONG = [
    (lambda x: F.cross_entropy(tn.zeros(2, 3, device="cuda"), there(0, 3)), IndexError, "Target is out of bounds"),
    (lambda x: F.nll_loss(tn.zeros(2, 3, device="cuda"), there(-1, 0)), IndexError, "Target is out of bounds"),
    (lambda x: F.embedding(there(7), tn.ones(3, 2, device="cuda")), IndexError, "index out of range in self"),
    (lambda x: x[there(5)], IndexError, "index is out of bounds"),
    (lambda x: x.gather(0, there(2)), RuntimeError, "index is out of bounds"),
    (lambda x: x.index_select(0, there(9)), IndexError, "index is out of bounds"),
    (lambda x: there(1) // there(0), RuntimeError, "ZeroDivisionError"),
    (lambda x: there(2) ** there(-1), RuntimeError, "pow: Integers to negative integer powers"),
    (lambda x: F.binary_cross_entropy(there(1.5), there(1.0)), RuntimeError, "should be between 0 and 1"),
    (lambda x: F.one_hot(there(4), 3), RuntimeError, "Class values must be smaller than num_classes"),
    (lambda x: F.one_hot(there(-1), 3), RuntimeError, "Class values must be non-negative"),
    (lambda x: tn.bernoulli(there(1.5)), RuntimeError, r"bernoulli expects p to be in \[0, 1\]"),
    (lambda x: tn.multinomial(there(-1.0, 2.0), 1), RuntimeError, "probability tensor contains"),
    (lambda x: tn.multinomial(there(0.0, 0.0), 1), RuntimeError, "invalid multinomial distribution"),
    (lambda x: tn.normal(x, there(-1.0, 1.0)), RuntimeError, "normal expects std >= 0.0"),
]


@pytest.mark.parametrize(("call", "error", "text"), WRONG)
def test_it_is_told_when_values_are_read(gpu, call, error, text):
    x = there(1.0, 2.0)
    gpu.traffic.clear()
    call(x)
    assert not gpu.traffic["to host"] and not gpu.traffic["wait"]
    with pytest.raises(error, match=rf"{text}.*\(found on the GPU some time ago: with tn.autograd.detect_anomaly"):
        x.sum().item()
    assert x.sum().item() == 3.0, "it is told once"


@pytest.mark.parametrize(("call", "error", "text"), WRONG)
def test_under_detect_anomaly_it_is_told_at_once(gpu, call, error, text):
    with tn.autograd.detect_anomaly(), pytest.raises(error) as told:
        call(there(1.0, 2.0))
    assert "some time ago" not in str(told.value) and str(told.value)
    assert there(1.0).item() == 1.0, "and not again"


@pytest.mark.parametrize("read", [
    lambda x: x.item(), lambda x: x.tolist(), lambda x: x.cpu(), repr, bool, float, tn.Tensor.__int__,
    lambda x: x.numpy(force=True), lambda x: tn.cuda.synchronize(), lambda x: tn.equal(x, x),
])  # fmt: skip
def test_every_way_to_read_tells(gpu, read):
    x = there(1)
    x[there(1)]
    with pytest.raises(IndexError, match="index is out of bounds"):
        read(x)


def test_what_is_right_is_not_told(gpu):
    F.cross_entropy(tn.zeros(2, 3, device="cuda"), there(0, -100))
    assert there(1, 2)[there(-2, 1)].tolist() == [1, 2]


# ---- matrices: CuPy waits for them, as PyTorch does
def test_matrices_without_an_inverse(gpu):
    A = tn.zeros(2, 2, device="cuda")
    for call in (tn.linalg.inv, tn.linalg.cholesky, lambda A: tn.linalg.solve(A, tn.ones(2, device="cuda"))):
        with pytest.raises(tn.linalg.LinAlgError, match=r"singular|not positive-definite"):
            call(A)
    batch = tn.eye(2, device="cuda").expand(3, 2, 2)
    assert tn.linalg.solve(batch, tn.ones(2, 1, device="cuda")).shape == (3, 2, 1), "leading axes broadcast"


def test_dtypes_that_atomics_cannot_add(gpu):
    for dtype in (tn.int8, tn.uint8, tn.int16, tn.int32, tn.int64, tn.float16, tn.float64):
        x = tn.zeros(3, dtype=dtype, device="cuda")
        y = x.index_add(0, there(0, 0, 2), tn.tensor([1, 2, 3], dtype=dtype, device="cuda"))
        assert y.tolist() == [3, 0, 3] and y.dtype == dtype
    assert there(-5, 1).scatter_add(0, there(0, 0), there(-1, -1)).tolist() == [-7, 1]


def test_gradcheck_and_functions_of_autograd(gpu):
    x = tn.randn(3, dtype=tn.float64, device="cuda").requires_grad_()
    assert tn.gradcheck(lambda x: (x * x).exp().sum(), x)
    assert not tn.gradcheck(lambda x: (x * x.detach()).sum(), x, raise_exception=False)
    J = tn.autograd.functional.jacobian(lambda x: x * x, x)
    assert str(J.device) == THERE and tn.allclose(J, tn.diag(2 * x.detach()))

    class Twice(tn.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g * 2

    Twice.apply(x).sum().backward()
    assert x.grad.tolist() == [2.0] * 3


def test_in_place_ops_views_and_hooks(gpu):
    x = there(1.0, 2.0, 3.0, requires_grad=True)
    y = x * 1
    y[1:].mul_(2)
    y.register_hook(lambda g: g * 10)
    y.sum().backward(retain_graph=True)
    assert x.grad.tolist() == [10.0, 20.0, 20.0]
    y.sum().backward()
    assert x.grad.tolist() == [20.0, 40.0, 40.0], "added to where it is"
    z = x * x
    x.data.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.sum().backward()


def test_what_only_the_cpu_can_do_says_so(gpu):
    model = tn.nn.Linear(2, 1, device="cuda")
    with pytest.raises(RuntimeError, match=r"explain\(\) looks at every number, and the loss is on cuda:0"):
        tn.explain(lambda: model(tn.ones(1, 2, device="cuda")).sum())
    pytest.importorskip("onnx")
    with pytest.raises(RuntimeError, match=r"onnx.export\(\): a tensor is on cuda:0.*model.cpu\(\)"):
        tn.onnx.export(model, tn.ones(1, 2, device="cuda"), "f")


def test_tools_that_look_at_networks(gpu, nets):
    model = nets.cnn().cuda()
    x = tn.randn(2, 1, 12, 12, device="cuda")
    assert "Conv2d" in str(tn.summary(model, (2, 1, 12, 12)))
    with tn.profile() as p:
        model(x).sum().backward()
    assert p.rows("op") and gpu.traffic["wait"] > 5, "a GPU is waited for, or it would be the launch that is timed"
    assert 0.4 < tn.compress.sparsity(tn.compress.prune_magnitude(nets.mlp().cuda(), 0.5)) < 0.6
    quantized = tn.compress.quantize(nets.mlp().eval().cuda(), [tn.randn(8, 6, device="cuda")])
    assert str(quantized(tn.randn(2, 6, device="cuda")).device) == THERE
    tn.nn.utils.prune.random_unstructured(model[0], "weight", 0.5)
    assert tn.viz.plot_graph(model(x).sum()) is not None
    assert tn.metrics.accuracy(there(1, 2), there(1, 1)) == 0.5
    tn.testing.assert_close(there(1.0), tn.tensor([1.0]))
