"""Which kernel runs: the fastest that supports the case, or the one that was asked for."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from tinynet import kernels


@pytest.fixture
def fast(monkeypatch):
    """A second backend, faster than the reference, that adds float64 vectors only."""
    monkeypatch.setattr(kernels, "BACKENDS", ("fast", "reference"))
    monkeypatch.setattr(kernels, "_registry", {op: {**found} for op, found in kernels._registry.items()})
    monkeypatch.setattr(kernels, "load", lambda backend: None)

    def takes(xp, x, *, by):
        return x.dtype == np.float64 and by > 0

    def add(xp, x, *, by):
        return "reference", x + by

    def fast_add(xp, x, *, by):
        return "fast", x + by

    fast_add.__name__ = "add"
    kernels.kernel("reference")(add)
    kernels.kernel("fast", supports=takes)(fast_add)


X64, X32 = np.zeros(2), np.zeros(2, "float32")


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
