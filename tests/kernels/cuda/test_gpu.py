"""On a card: sizes that fill it, the same bits twice, and how fast kernels are beside NVIDIA's own and beside a copy.

    pytest -m gpu                                                            everything, the parametrised tests too
    pytest -m gpu -s tests/kernels/cuda/test_gpu.py                          with the figures
    compute-sanitizer --tool memcheck  python -m pytest -m gpu tests/kernels -k "not fast"
    compute-sanitizer --tool racecheck python -m pytest -m gpu tests/kernels -k "not fast"
"""

from __future__ import annotations

import importlib

import numpy as np
import pytest

from tinynet import kernels
from tinynet.kernels.cuda import choice, dense
from tinynet.kernels.windows import Windows

pytestmark = pytest.mark.gpu
ADAM = {"lr": 0.01, "beta1": 0.9, "beta2": 0.99, "eps": 1e-6, "weight_decay": 0.1, "decoupled": True, "maximize": False}


@pytest.fixture
def xp():
    return importlib.import_module("cupy")


@pytest.fixture
def precision(monkeypatch):
    return lambda name: monkeypatch.setattr(choice, "precision", name)


def draw(xp, *shape, seed=0):
    return xp.asarray(np.random.default_rng(seed).standard_normal(shape, dtype="float32"))


def milliseconds(xp, function, times=20):
    """The median time of a call, by the card's own clock."""
    for _ in range(3):
        function()
    spent = []
    for _ in range(times):
        begin, end = xp.cuda.Event(), xp.cuda.Event()
        begin.record()
        function()
        end.record()
        end.synchronize()
        spent.append(xp.cuda.get_elapsed_time(begin, end))
    return float(np.median(spent))


def share_of(xp, what, ours, theirs, least):
    """Print how fast ours is beside theirs, and hold it to the least that it should be."""
    mine, other = milliseconds(xp, ours), milliseconds(xp, theirs)
    print(f"\n{what}: {mine:.3f} ms, {other / mine:.0%} of {other:.3f} ms")
    assert other / mine >= least, f"{what} runs at {other / mine:.0%}, and should at {least:.0%}"


def copy_of(xp, count):
    """A function that copies memory, reading and writing so many bytes in all."""
    source, target = xp.ones(count // 8, "float32"), xp.empty(count // 8, "float32")
    return lambda: xp.copyto(target, source)


def run(op, xp, *arrays, **options):
    found = kernels.implementations(op)["cuda"]
    assert found.supports(xp, *arrays, **options) is True
    return found.compute(xp, *arrays, **options)


def reference(op, xp, *arrays, **options):
    return kernels.implementations(op)["reference"].compute(xp, *arrays, **options)


def agree(xp, got, want, tolerance):
    several = isinstance(want, tuple)
    for one, other in zip(got, want, strict=True) if several else [(got, want)]:
        xp.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance / 10)


@pytest.mark.parametrize("layout", [(0, 0), (0, 1), (1, 0), (1, 1)])
@pytest.mark.parametrize("shape", [(1000, 1001, 1003), (64, 10, 5000), (4096, 4096, 64), (3, 5, 7)])
@pytest.mark.parametrize("name", ["fp32", "tf32"])
def test_large_products(shape, layout, name, xp, precision):
    (m, n, k), (a_turned, b_turned) = shape, layout
    a, b = draw(xp, m, k), draw(xp, k, n, seed=1)
    a = xp.ascontiguousarray(a.T).T if a_turned else a
    b = xp.ascontiguousarray(b.T).T if b_turned else b
    exact = a.astype("float64") @ b.astype("float64")
    precision(name)
    results = [run("matmul", xp, a, b) for _ in range(2)]
    assert (results[0] == results[1]).all()  # to the last bit
    error = xp.linalg.norm(results[0] - exact) / xp.linalg.norm(exact)
    assert float(error) < {"fp32": 2e-6, "tf32": 6e-4}[name]


@pytest.mark.parametrize("shape", [(4096, 1000), (128, 50_000), (64, 21, 64, 64), (100_000, 10)])
def test_large_softmax_and_cross_entropy(shape, xp):
    x, q = draw(xp, *shape), abs(draw(xp, *shape, seed=1))
    for op in ("softmax", "log_softmax"):
        agree(xp, run(op, xp, x, dim=1), reference(op, xp, x, dim=1), 1e-4)
    agree(xp, run("cross_entropy", xp, x, q), reference("cross_entropy", xp, x, q), 1e-3)


def test_large_pools(xp):
    x = draw(xp, 16, 64, 113, 111)
    how = {"kernel_size": (3, 3), "stride": (2, 2), "padding": (1, 1), "ceil_mode": True}
    mean = {**how, "count_include_pad": True, "divisor_override": None}
    agree(xp, run("avg_pool2d", xp, x, **mean), reference("avg_pool2d", xp, x, **mean), 1e-5)
    how["dilation"] = (1, 1)
    agree(xp, run("max_pool2d", xp, x, **how), reference("max_pool2d", xp, x, **how), 0)
    indices = run("max_pool2d", xp, x, **how)[1]
    g = draw(xp, *indices.shape)
    first, second = (run("max_pool2d_grad", xp, g, indices, size=(113, 111)) for _ in range(2))
    assert (first == second).all() and abs(float(first.sum() - g.sum())) < 1


@pytest.mark.parametrize("name", ["fp32", "tf32"])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize(("images", "filters", "stride", "padding", "dilation", "groups"), [
    ((32, 128, 28, 28), (128, 128, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((16, 64, 57, 55), (96, 64, 3, 3), (2, 2), (1, 1), (1, 1), 1),
    ((8, 3, 224, 224), (64, 3, 7, 7), (2, 2), (3, 3), (1, 1), 1),
    ((16, 100, 14, 15), (70, 100, 3, 2), (3, 2), (2, 1), (2, 3), 1),
    ((16, 64, 30, 31), (128, 16, 3, 3), (1, 1), (1, 1), (1, 1), 4),
    ((16, 64, 56, 56), (64, 1, 3, 3), (2, 1), (1, 1), (1, 1), 64),
    ((2, 512, 7, 7), (512, 512, 1, 1), (1, 1), (0, 0), (1, 1), 1),
    ((4, 32, 1, 100_000), (32, 32, 1, 9), (1, 1), (0, 4), (1, 1), 1),
])
def test_large_convolutions(images, filters, stride, padding, dilation, groups, last, name, xp, precision):
    precision(name)
    how = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    x, w, b = draw(xp, *images), draw(xp, *filters, seed=1), draw(xp, filters[0], seed=2)
    g = draw(xp, images[0], filters[0], *Windows(images[2:], filters[2:], stride, padding, dilation).out, seed=3)
    if last:
        x, g = (xp.ascontiguousarray(a.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2) for a in (x, g))
    passes = {"conv2d": (x, w, b), "conv2d_relu": (x, w, b), "conv2d_input_grad": (g, w), "conv2d_weight_grad": (x, g),
              "conv2d_relu_pool": (x, w, b)}
    sizes = {"conv2d_input_grad": {"size": images[2:]}, "conv2d_weight_grad": {"size": filters[2:]}}
    for op, arrays in passes.items():
        several = [run(op, xp, *arrays, **how, **sizes.get(op, {})) for _ in range(2)]
        wide = [a.astype("float64") for a in arrays]
        pairs = [s[0] if isinstance(s, tuple) else s
                 for s in (*several, reference(op, xp, *wide, **how, **sizes.get(op, {})))]
        assert (pairs[0] == pairs[1]).all(), op  # to the last bit
        error = xp.linalg.norm(pairs[0] - pairs[2]) / xp.linalg.norm(pairs[2])
        assert float(error) < {"fp32": 5e-6, "tf32": 1e-3}[name], op


def test_many_parameters(xp):
    sizes = [(64, 64, 3, 3), (64,), (1,), (1000, 512)] * 30
    lists = [[draw(xp, *size, seed=k) for size in sizes] for k in range(3)]
    squares = [abs(v) for v in lists[2]]
    both = []
    for backend in ("cuda", "reference"):
        given = [[a.copy() for a in one] for one in (lists[0], lists[1], lists[2], squares)]
        kernels.implementations("adam")[backend].compute(xp, *given, [], [3] * len(sizes), **ADAM)
        both.append(given)
    for mine, other in zip(*both, strict=True):
        agree(xp, tuple(mine), tuple(other), 1e-5)


@pytest.mark.parametrize(("heads", "length", "keys", "features"), [((4, 8), 1024, 1024, 64), ((2, 3), 333, 517, 100)])
@pytest.mark.parametrize("causal", [False, True])
def test_large_attention(heads, length, keys, features, causal, xp):
    q, g = draw(xp, *heads, length, features), draw(xp, *heads, length, features, seed=1)
    k, v = draw(xp, *heads, keys, features, seed=2), draw(xp, *heads, keys, features, seed=3)
    how = {"scale": features**-0.5, "causal": causal}
    want = reference("attention", xp, q, k, v, None, **how)
    agree(xp, run("attention", xp, q, k, v, None, **how), want, 1e-4)
    given, how = (g, q, k, v, None, *want[1:]), {**how, "scores": False}
    first, second = (run("attention_grad", xp, *given, **how)[:3] for _ in range(2))
    assert all((a == b).all() for a, b in zip(first, second, strict=True))  # to the last bit
    agree(xp, first, reference("attention_grad", xp, *given, **how)[:3], 1e-3)


@pytest.mark.parametrize(("shape", "parameters", "dim"), [
    ((4096, 768), (768,), (1,)), ((10_000, 50), (50,), (1,)), ((300, 8000), (8000,), (1,)),
    ((16, 64, 57, 57), (64, 1, 1), (0, 2, 3)), ((4, 3, 301, 299), (3, 1, 1), (0, 2, 3)), ((100_000, 70), (70,), (0,)),
    ((8, 4, 16, 30, 30), (1, 4, 16, 1, 1), (2, 3, 4)),
])  # fmt: skip
def test_large_norms(shape, parameters, dim, xp):
    x, w, b, how = draw(xp, *shape), draw(xp, *parameters), draw(xp, *parameters, seed=1), {"dim": dim, "eps": 1e-3}
    forward = [run("standardize", xp, x, w, b, **how) for _ in range(2)]
    agree(xp, forward[0], reference("standardize", xp, x, w, b, **how), 1e-3)
    _, mean, var = forward[0]
    given = draw(xp, *shape, seed=2), draw(xp, *mean.shape), draw(xp, *mean.shape, seed=3), x, w, mean, var
    back = [run("standardize_grad", xp, *given, b_shape=b.shape, **how) for _ in range(2)]
    wide = [a.astype("float64") for a in given]
    for got, want in zip(back[0], reference("standardize_grad", xp, *wide, b_shape=b.shape, **how), strict=True):
        assert float(abs(got - want).max()) <= 1e-4 * float(abs(want).max())
    for one, other in zip((*forward[0], *back[0]), (*forward[1], *back[1]), strict=True):
        assert (one == other).all()  # to the last bit


@pytest.mark.parametrize(("count", "rows", "columns"), [(20_000, 50_000, 768), (70_000, 2, 300), (1_000_000, 999, 1)])
def test_large_embedding_grads(count, rows, columns, xp):
    """Of rows that are named a few times, and of some that are named by many."""
    g, index = draw(xp, count, columns), xp.asarray(np.random.default_rng(0).integers(0, rows, count))
    found = [run("embedding_grad", xp, g, index, rows=rows) for _ in range(2)]
    assert (found[0] == found[1]).all()  # to the last bit
    exact = reference("embedding_grad", xp, g.astype("float64"), index, rows=rows)
    assert float(abs(found[0] - exact).max()) <= 1e-4 * float(abs(exact).max())


def test_large_dropout(xp):
    x = draw(xp, 1000, 1003)
    for offset in (2**33, xp.asarray(2**33, "uint64")):
        for each in (1, 17, 59):
            how = {"p": 0.3, "drawn": (2**63 + 5, offset, each)}
            xp.testing.assert_array_equal(run("dropout", xp, x, None, **how), reference("dropout", xp, x, None, **how))
    how = {"seed": 2**63 + 5, "offset": 2**32 - 5, "blocks": 9999}
    xp.testing.assert_array_equal(run("philox", xp, **how), reference("philox", xp, **how))


def test_another_stream_and_arrays_of_another_kind(xp):
    x = draw(xp, 300, 200)
    with xp.cuda.Stream(non_blocking=True) as stream:
        y = run("softmax", xp, x, dim=1)
        stream.synchronize()
    xp.testing.assert_allclose(y.sum(1), xp.ones(300), rtol=1e-5)
    with pytest.raises(TypeError, match=r"must be an array of cupy's, not numpy\.ndarray"):
        dense.linear(xp, x, xp.asarray(np.ones((5, 200), "float32")), np.ones(5, "float32"))


def test_a_launch_can_be_captured_and_replayed(xp):
    x, w = draw(xp, 64, 100), draw(xp, 50, 100, seed=1)
    expected = run("linear", xp, x, w, None, relu=True)
    with xp.cuda.Stream(non_blocking=True) as stream:
        run("linear", xp, x, w, None, relu=True)  # the memory that this frees is there for the capture
        stream.begin_capture()
        y = run("linear", xp, x, w, None, relu=True)
        graph = stream.end_capture()
        graph.launch(stream)
        stream.synchronize()
    xp.testing.assert_array_equal(y, expected)


# ---- how fast: run with -s to see the figures
def test_fast_product_in_fp32(xp, precision):
    a, b = draw(xp, 4096, 4096), draw(xp, 4096, 4096, seed=1)
    precision("fp32")
    share_of(xp, "sgemm 4096³ beside cuBLAS", lambda: run("matmul", xp, a, b), lambda: xp.matmul(a, b), 0.8)


def test_fast_product_in_tf32(xp, precision):
    linalg = importlib.import_module("cupy._core._routines_linalg")
    a, b = draw(xp, 4096, 4096), draw(xp, 4096, 4096, seed=1)
    precision("tf32")
    before = linalg.get_compute_type("f")
    linalg.set_compute_type("f", linalg.COMPUTE_TYPE_TF32)
    try:
        share_of(xp, "tf32 4096³ beside cuBLAS", lambda: run("matmul", xp, a, b), lambda: xp.matmul(a, b), 0.5)
    finally:
        linalg.set_compute_type("f", before)


@pytest.mark.parametrize("last", [False, True])
def test_fast_convolutions(last, xp, precision, monkeypatch):
    """Beside cuDNN's in fp32, of which PyTorch chooses the algorithm; and beside ours, for those in TF32."""
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("this PyTorch has no cuDNN: CONVOLUTIONS WERE NOT COMPARED")
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    x, w, g = draw(xp, 128, 128, 28, 28), draw(xp, 128, 128, 3, 3, seed=1), draw(xp, 128, 128, 28, 28, seed=2)
    tx, tw, tg = (torch.from_dlpack(a) for a in (x, w, g))
    if last:
        x, g = (xp.ascontiguousarray(a.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2) for a in (x, g))
        tx, tw, tg = (a.contiguous(memory_format=torch.channels_last) for a in (tx, tw, tg))
    how = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1}
    rows = {
        "forward": (lambda: run("conv2d", xp, x, w, None, **how), lambda: torch.conv2d(tx, tw, padding=1), 0.6),
        "of the images": (lambda: run("conv2d_input_grad", xp, g, w, size=(28, 28), **how),
                          lambda: torch.nn.grad.conv2d_input(tx.shape, tw, tg, padding=1), 0.55),
        "of the filters": (lambda: run("conv2d_weight_grad", xp, x, g, size=(3, 3), **how),
                           lambda: torch.nn.grad.conv2d_weight(tx, tw.shape, tg, padding=1), 0.5),
    }
    for what, (ours, theirs, least) in rows.items():
        what = f"convolution{', channels last' * last}, {what}"
        precision("fp32")
        share_of(xp, f"{what}, beside cuDNN", ours, theirs, least)
        in_fp32 = milliseconds(xp, ours)
        precision("tf32")
        in_tf32 = milliseconds(xp, ours)
        print(f"{what}, in TF32: {in_tf32:.3f} ms")
        assert in_tf32 < in_fp32, what


def test_fast_cross_entropy(xp):
    x, q = draw(xp, 65_536, 1000), abs(draw(xp, 65_536, 1000, seed=1))
    p, g = xp.empty_like(x), draw(xp, 65_536)
    copy = copy_of(xp, 3 * x.nbytes)
    share_of(xp, "cross-entropy beside a copy", lambda: run("cross_entropy", xp, x, q), copy, 0.8)
    share_of(xp, "its gradient beside a copy", lambda: run("cross_entropy_grad", xp, g, p, q), copy, 0.8)


def test_fast_pools(xp):
    x = draw(xp, 64, 64, 112, 112)
    how = {"kernel_size": (2, 2), "stride": (2, 2), "padding": (0, 0), "ceil_mode": False}
    mean = {**how, "count_include_pad": True, "divisor_override": None}
    g = draw(xp, 64, 64, 56, 56)
    indices = run("max_pool2d", xp, x, **how, dilation=(1, 1))[1]
    timed = {
        "max pool": (lambda: run("max_pool2d", xp, x, **how, dilation=(1, 1)), x.nbytes + 3 * g.nbytes),
        "its gradient": (lambda: run("max_pool2d_grad", xp, g, indices, size=(112, 112)), x.nbytes + 3 * g.nbytes),
        "average pool": (lambda: run("avg_pool2d", xp, x, **mean), x.nbytes + g.nbytes),
        "its gradient, too": (lambda: run("avg_pool2d_grad", xp, g, size=(112, 112), **mean), x.nbytes + g.nbytes),
    }
    for what, (function, count) in timed.items():
        share_of(xp, f"{what} beside a copy", function, copy_of(xp, count), 0.8)


@pytest.mark.parametrize("size", [100, 1024, 8192])
def test_fast_layer_norm(size, xp):
    """Forward a number is read and one written; backward two and one."""
    x, g = draw(xp, 2**26 // size, size), draw(xp, 2**26 // size, size, seed=1)
    w, b, how = draw(xp, size), draw(xp, size, seed=2), {"dim": (1,), "eps": 1e-5}
    _, mean, var = run("standardize", xp, x, w, b, **how)
    none, copies = xp.zeros_like(mean), [copy_of(xp, n * x.nbytes) for n in (2, 3)]
    share_of(xp, f"layer norm of {size} beside a copy", lambda: run("standardize", xp, x, w, b, **how), copies[0], 0.8)
    share_of(xp, "its gradient beside a copy", lambda: run("standardize_grad", xp, g, none, none, x, w, mean, var,
                                                           b_shape=b.shape, **how), copies[1], 0.8)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("size", [(64, 64, 112, 112), (128, 256, 28, 28)])
def test_fast_batch_norm(size, last, xp):
    """Forward all is read twice, as the mean comes of all, and written; backward two arrays twice, and one written."""
    x, g = draw(xp, *size), draw(xp, *size, seed=1)
    if last:
        x, g = (xp.ascontiguousarray(a.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2) for a in (x, g))
    w, b, how = (*(draw(xp, size[1], 1, 1, seed=k) for k in (2, 3)), {"dim": (0, 2, 3), "eps": 1e-5})
    _, mean, var = run("standardize", xp, x, w, b, **how)
    none, copies = xp.zeros_like(mean), [copy_of(xp, n * x.nbytes) for n in (3, 5)]
    share_of(xp, f"batch norm of {size} beside a copy", lambda: run("standardize", xp, x, w, b, **how), copies[0], 0.8)
    share_of(xp, "its gradient beside a copy", lambda: run("standardize_grad", xp, g, none, none, x, w, mean, var,
                                                           b_shape=b.shape, **how), copies[1], 0.8)


def test_fast_dropout(xp):
    x = draw(xp, 2**13, 2**13)
    share_of(xp, "dropout beside a copy", lambda: run("dropout", xp, x, None, p=0.5, drawn=(1, 2, 1)),
             copy_of(xp, 2 * x.nbytes), 0.8)


def test_fast_embedding_grad(xp):
    """Beside a copy of what is read and written; sorting comes on top."""
    g, index = draw(xp, 2**15, 768), xp.asarray(np.random.default_rng(0).integers(0, 50_000, 2**15))
    count = g.nbytes + 2 * 4 * 50_000 * 768
    share_of(xp, "embedding gradient beside a copy", lambda: run("embedding_grad", xp, g, index, rows=50_000),
             copy_of(xp, count), 0.3)


def test_fast_adam(xp):
    lists = [[draw(xp, 1024, 1024, seed=k) for _ in range(32)] for k in range(4)]
    lists[3] = [abs(v) for v in lists[3]]
    count = 7 * 32 * 4 * 1024 * 1024  # four lists are read, three written
    share_of(xp, "adam beside a copy", lambda: run("adam", xp, *lists, [], [3] * 32, **ADAM), copy_of(xp, count), 0.8)


def test_fast_attention(xp):
    """Beside three kernels with the scores in memory between them: cuBLAS's products, in fp32, and our softmax."""
    q, k, v = (draw(xp, 8, 12, 1024, 64, seed=seed) for seed in range(3))

    def plain():
        return xp.matmul(run("softmax", xp, xp.matmul(q, k.swapaxes(-1, -2)), dim=3), v)

    share_of(xp, "attention beside its parts", lambda: run("attention", xp, q, k, v, scale=1.0, causal=False), plain, 1)
    half = {"scale": 1.0, "causal": True}
    share_of(xp, "causal attention beside its parts", lambda: run("attention", xp, q, k, v, **half), plain, 1.5)
