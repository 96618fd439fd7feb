"""Which kernel runs: the fastest that supports the case, or the one that was asked for."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from tinynet import kernels


@pytest.fixture
def fast(monkeypatch):
    """A second backend, faster than the reference, that adds float64 vectors; those of one number only if asked to."""
    monkeypatch.setattr(kernels, "BACKENDS", ("fast", "reference"))
    monkeypatch.setattr(kernels, "_registry", {op: {**found} for op, found in kernels._registry.items()})
    monkeypatch.setattr(kernels, "load", lambda backend: None)

    def takes(xp, x, *, by):
        return (x.dtype == np.float64 and by > 0) or "adds float64"

    def worth(xp, x, *, by):
        return len(x) > 1

    def add(xp, x, *, by):
        return "reference", x + by

    def fast_add(xp, x, *, by):
        return "fast", x + by

    fast_add.__name__ = "add"
    kernels.kernel("reference")(add)
    kernels.kernel("fast", takes, worth, lambda xp, x, *, by: f"by adding {by}")(fast_add)
    yield
    kernels.in_order.cache_clear()


X64, X32, ONE = np.zeros(2), np.zeros(2, "float32"), np.zeros(1)


def who(x, by=1):
    return kernels.run("add", np, x, by=by)[0]


def test_the_fastest_that_supports_the_case_runs(fast):
    assert who(X64) == "fast"
    assert who(X32) == "reference"
    assert who(X64, by=-1) == "reference"  # options count, too


def test_a_block_prefers_a_backend_and_the_end_of_it_restores(fast):
    with kernels.use_kernels("reference"):
        assert who(X64) == "reference"
        with kernels.use_kernels("fast"):
            assert who(X64) == "fast"
            assert who(X32) == "reference"  # what is not supported still runs
        with kernels.use_kernels("auto"):
            assert who(X64) == "fast"
        assert who(X64) == "reference"
    assert who(X64) == "fast"


def test_what_is_not_worth_it_runs_where_it_is_asked_for(fast):
    assert who(ONE) == "reference"
    with kernels.use_kernels("fast"):
        assert who(ONE) == "fast"
        assert who(X32) == "reference"


def test_explain_says_what_would_run_and_why(fast):
    assert kernels.explain("add", X64, by=1) == "add of float64[2]\n  fast: yes, by adding 1"
    assert kernels.explain("add", X32, by=1) == "add of float32[2]\n  fast: no, adds float64\n  reference: yes"
    small = "add of float64[1]\n  fast: no, it does not take the case\n  reference: yes"
    assert kernels.explain("add", ONE, by=1) == small
    with kernels.use_kernels("fast"):
        assert kernels.explain("add", ONE, by=1) == "add of float64[1]\n  fast: yes, by adding 1"
    with kernels.use_kernels("reference"):
        assert kernels.explain("add", X64, by=1) == "add of float64[2]\n  reference: yes"


def test_explain_knows_no_op_without_a_kernel(fast):
    with pytest.raises(ValueError, match=r"no kernel computes 'subtract'; there are kernels for .*add"):
        kernels.explain("subtract", X64)


def test_a_plain_call_lasts(fast):
    before = kernels.use_kernels("reference")
    try:
        assert who(X64) == "reference"
    finally:
        before.__exit__()
    assert who(X64) == "fast"


def test_an_error_inside_a_block_restores(fast):
    with pytest.raises(ZeroDivisionError), kernels.use_kernels("reference"):
        raise ZeroDivisionError
    assert who(X64) == "fast"


def test_unknown_names_are_refused_and_change_nothing(fast):
    with pytest.raises(ValueError, match=r"no kernels called 'numpy'; choose from auto, fast, reference"):
        kernels.use_kernels("numpy")
    assert who(X64) == "fast"


def test_an_op_without_a_kernel_says_so(fast):
    with pytest.raises(NotImplementedError, match=r"fast, reference computes subtract"):
        kernels.run("subtract", np, X64)


def test_implementations_lists_the_fastest_first(fast):
    assert [*kernels.implementations("add")] == ["fast", "reference"]
    assert [*kernels.implementations("subtract")] == []


def test_a_backend_is_imported_when_first_needed():
    code = (
        "import sys, numpy; from tinynet import kernels; name = 'tinynet.kernels.reference'\n"
        "assert name not in sys.modules; kernels.run('softmax', numpy, numpy.zeros(2), dim=0)\n"
        "assert name in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# ---- the backends there are
CONV = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}


def images(*shape, dtype="float32"):
    return np.zeros(shape, dtype)


@pytest.mark.parametrize(
    ("op", "arrays", "options", "said"),
    [
        ("conv2d", [images(2, 16, 9, 9), images(32, 16, 3, 3), None], CONV, "yes, tinynet.kernels.cpu.conv:"),
        ("conv2d", [images(4, 64, 9, 9), images(64, 1, 3, 3), None], {**CONV, "groups": 64}, "cpu.depthwise:"),
        ("conv2d", [images(1, 1, 9, 9), images(1, 1, 3, 3), None], CONV, "no, 441 multiplications are too few"),
        ("conv2d", [images(2, 16, 9, 9, dtype="float16"), images(32, 16, 3, 3, dtype="float16"), None], CONV,
         "no, takes float32 or float64, not float16, float16"),
        ("conv2d", [images(0, 16, 9, 9), images(32, 16, 3, 3), None], CONV, "no, takes no array without elements"),
        ("matmul", [images(64, 64), images(64, 64)], {}, "yes, tinynet.kernels.cpu.matmul:"),
        ("matmul", [images(64), images(64, 64)], {}, "no, takes matrices, not vectors"),
        ("matmul", [images(1, 900), images(900, 900)], {}, "no, takes more than 3 rows and columns"),
        ("linear", [images(64, 64), images(64, 64), images(1)], {}, "no, takes rows, and one bias for each output"),
        ("softmax", [images(64, 10)], {"dim": 1}, "yes, tinynet.kernels.cpu.softmax:"),
        ("max_pool2d_grad", [images(9, 9, 9, 9), images(9, 9, 9, 9, dtype="int32")], {"size": (18, 18)},
         "no, takes indices in int64, not int32"),
    ],
)  # fmt: skip
def test_the_fast_kernels_say_what_they_take(op, arrays, options, said):
    pytest.importorskip("numba")
    assert said in kernels.explain(op, *arrays, **options).splitlines()[1]


def program(code):
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def test_numba_is_imported_by_the_first_case_that_is_worth_it():
    pytest.importorskip("numba")
    code = (
        "import sys, numpy as np; from tinynet import kernels\n"
        "for n in (2, 2000): kernels.run('softmax', np, np.zeros(n), dim=0); print('numba' in sys.modules)"
    )
    assert program(code).split() == ["False", "True"]


def test_without_numba_the_reference_computes_everything():
    code = (
        "import sys; sys.modules['numba'] = None\n"
        "import numpy as np; from tinynet import kernels; x = np.zeros(2000)\n"
        "print(kernels.run('softmax', np, x, dim=0).sum().round(9)); print(kernels.explain('softmax', x, dim=0))"
    )
    said = program(code).splitlines()
    assert said[0] == "1.0"
    assert said[2].startswith("  numba: no, needs Numba, which cannot be imported") and said[3] == "  reference: yes"
