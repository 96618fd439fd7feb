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


def test_fast_adam(xp):
    lists = [[draw(xp, 1024, 1024, seed=k) for _ in range(32)] for k in range(4)]
    lists[3] = [abs(v) for v in lists[3]]
    count = 7 * 32 * 4 * 1024 * 1024  # four lists are read, three written
    share_of(xp, "adam beside a copy", lambda: run("adam", xp, *lists, [], [3] * 32, **ADAM), copy_of(xp, count), 0.8)
