"""Threads of the CPU's kernels: how many, results bit for bit, several Python threads at once, forked children."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from tinynet import kernels
from tinynet.kernels.cpu import threads

pytest.importorskip("numba")
OPTIONS = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1}


@pytest.fixture(autouse=True)
def as_before():
    before = threads._count
    with kernels.use_kernels("numba"):  # once, for all threads of a test: it is a setting of the process
        yield
    threads._count = before


def gradients(seed=0, dtype="float32"):
    """A convolution and its gradients, and those of linear layers and of norms, by the fast kernels."""
    rng = np.random.default_rng(seed)

    def draw(*shapes):
        return [rng.standard_normal(shape).astype(dtype) for shape in shapes]

    x, w, g = draw((8, 20, 9, 9), (33, 20, 3, 3), (8, 33, 9, 9))
    rows, slopes, w1, b1, w2, b2 = draw((600, 20), (600, 12), (50, 20), (50,), (12, 50), (12,))
    out, between = kernels.run("feed_forward", np, rows, w1, b1, w2, b2)
    return (
        kernels.run("conv2d", np, x, w, None, **OPTIONS),
        kernels.run("conv2d_input_grad", np, g, w, size=(9, 9), **OPTIONS),
        kernels.run("conv2d_weight_grad", np, x, g, size=(3, 3), **OPTIONS),
        out,
        *kernels.run("feed_forward_grad", np, slopes, rows, w1, between, w2),
        *kernels.run("linear_grad", np, slopes, rows, w2[:, :20].copy(), wanted=(True, True, True)),
        *normalized(rows, rng.standard_normal(rows.shape).astype(dtype), (1,)),
        *normalized(*(a.transpose(0, 3, 1, 2) for a in draw((8, 9, 9, 20), (8, 9, 9, 20))), (0, 2, 3)),
    )


def normalized(x, g, dim):
    """x standardized, and the gradients."""
    out, mean, var = kernels.run("standardize", np, x, None, None, dim=dim, eps=1e-5)
    nothing, size = np.zeros_like(mean), x.shape[1:] if dim == (1,) else (1, x.shape[1], 1, 1)
    scale = np.full(size, 2, x.dtype)
    grads = kernels.run("standardize_grad", np, g, nothing, nothing, x, scale, mean, var, b_shape=size, dim=dim,
                        eps=1e-5)
    return out, mean, var, *grads


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


# ---- how many
def test_as_many_as_were_set():
    threads.set_num_threads(3)
    assert threads.get_num_threads() == 3
    assert threads.workers_for(1e9) == 3
    assert threads.workers_for(1) == 1  # waking another takes longer


@pytest.mark.parametrize(
    ("number", "error", "match"),
    [
        (0, RuntimeError, "expects a positive integer, but got 0"),
        (-1, RuntimeError, "expects a positive integer, but got -1"),
        (1.5, TypeError, "expects an int, but got float"),
        (True, TypeError, "expects an int, but got bool"),
    ],
)
def test_a_number_that_cannot_be_is_refused(number, error, match):
    threads.set_num_threads(2)
    with pytest.raises(error, match=match):
        threads.set_num_threads(number)
    assert threads.get_num_threads() == 2


@pytest.mark.parametrize(("asked", "found"), [("3", "3"), ("", None), ("none", None), ("0", None)])
def test_the_default_is_what_openmp_is_told(asked, found):
    code = "from tinynet.kernels.cpu import threads; import os; print(threads.get_num_threads(), threads._processors())"
    number, processors = run(code, OMP_NUM_THREADS=asked).split()
    assert number == (found or processors)


def large(op):
    """Arguments and options of a kernel that are worth more than one worker."""
    draw = np.random.default_rng(0).standard_normal
    q, x, w = draw((16, 4, 64, 16), "float32"), draw((8, 64, 24, 24), "float32"), draw((16, 64, 3, 3), "float32")
    a, b, state = draw((300, 200), "float32"), draw((200, 300), "float32"), np.zeros((40, 32), "float32")
    windows = {"kernel_size": (2, 2), "stride": (2, 2), "padding": (0, 0), "dilation": (1, 1), "ceil_mode": False}
    return {
        "attention": ((q, q, q, None), {"scale": 0.25, "causal": True}),
        "attention_grad": ((q, q, q, q, None, *np.ones((2, 16, 4, 64), "float32")),
                           {"scale": 0.25, "causal": True, "scores": False}),
        "conv2d": ((x, w, None), OPTIONS),
        "matmul": ((a, b), {}),
        "max_pool2d": ((x,), windows),
        "lstm": ((draw((30, 40, 32), "float32"), state, state, a[:128, :32], a[:128, 32:64]), {"reverse": False}),
    }[op]


@pytest.mark.parametrize("op", ["attention", "attention_grad", "conv2d", "matmul", "max_pool2d", "lstm"])
def test_a_number_that_is_set_counts_from_the_next_call_on(op, monkeypatch):
    parallel = pytest.importorskip("tinynet.kernels.cpu.compiler").parallel
    arguments, options = large(op)
    launched = []

    def note(kernel, workers, *rest):
        launched.append(workers)
        original(kernel, workers, *rest)

    original = parallel.__call__
    monkeypatch.setattr(parallel, "__call__", note)
    for count in (1, 2, 1, 3):
        threads.set_num_threads(count)
        launched.clear()
        kernels.run(op, np, *arguments, **options)
        assert max(launched) == count


# ---- what they compute
@pytest.mark.parametrize("count", [1, 2, 5])
def test_results_are_the_same_bit_for_bit_at_one_number_of_threads(count):
    threads.set_num_threads(count)
    first = gradients()
    assert all(same(gradients(), first) for _ in range(5))


def test_results_are_the_same_but_for_rounding_at_any_number():
    results = []
    for count in (1, 2, 3, 7):
        threads.set_num_threads(count)
        results.append(gradients(dtype="float64"))
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("columns", [1, 3, 40, 700])
def test_rows_are_added_up_in_their_order_at_any_number(columns):
    rng = np.random.default_rng(0)
    g, index = rng.standard_normal((4000, columns), "float32"), rng.integers(0, 9, 4000)
    expected = np.zeros((9, columns), "float32")
    np.add.at(expected, index, g)
    for count in (1, 2, 5):
        threads.set_num_threads(count)
        np.testing.assert_array_equal(kernels.run("embedding_grad", np, g, index, rows=9), expected)


def test_threads_of_python_may_compute_at_once():
    threads.set_num_threads(2)
    expected = [gradients(seed) for seed in range(3)]
    wrong = []

    def work(seed):
        wrong.extend(seed for _ in range(20) if not same(gradients(seed), expected[seed]))

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


FORK = """
import os, sys, numpy as np
from tinynet import kernels
from tinynet.kernels.cpu import threads
sys.path.insert(0, os.path.dirname({here!r}))
from test_threads import gradients, same
threads.set_num_threads(2)
kernels.use_kernels("numba")
{before}
child = os.fork()
if not child:
    first = gradients()
    os._exit(0 if same(first, gradients()) and ({after}) else 1)
assert os.waitpid(child, 0)[1] == 0
assert same(gradients(), gradients())
print("fine")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize(
    ("before", "after"),
    [("parent = gradients()", "same(first, parent)"), ("", "True")],
    ids=["after threads have started", "before"],
)
def test_a_forked_child_computes_the_same(before, after):
    assert run(FORK.format(here=__file__, before=before, after=after)) == "fine"


# ---- the library that runs them
def test_the_library_is_one_that_serves_several_python_threads():
    assert threads.library() in ("tbb", "omp", "none")
    assert threads.ready() == (threads.library() != "none")


def test_workqueue_is_never_used():
    code = (
        "import numba, numpy as np; from tinynet.kernels.cpu import threads; "
        "f = numba.njit(parallel=True)(lambda x: x + 1); f(np.zeros(9)); print(threads.library(), threads.ready())"
    )
    assert run(code, NUMBA_THREADING_LAYER="workqueue") == "none False"


def test_what_openmp_was_told_is_told_to_nobody_else():
    code = (
        "import os; from tinynet.kernels.cpu import threads; before = dict(os.environ); threads.library(); "
        "print(before == dict(os.environ))"
    )
    assert run(code) == "True"


def run(code, **environment):
    """What a Python program prints, in a process of its own."""
    environment = {**os.environ, **environment}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()
