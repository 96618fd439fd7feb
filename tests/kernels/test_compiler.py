"""Machine code on disk: found again, never stale, and missed by nobody where it cannot be kept."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

pytest.importorskip("numba")
from tinynet.kernels.cpu import compiler

KERNELS = Path(__file__).parents[2] / "kernels"
PROGRAM = """
import numpy as np
from tinynet import kernels
from tinynet.kernels.cpu import compiler
with kernels.use_kernels("numba"):
    p = kernels.run("softmax", np, np.array([0.0, np.log(2), -np.inf], "float32"), dim=0)
print(p.astype(float).round(2).tolist(), compiler.Cache.spent > 0)
"""


@pytest.fixture
def package(tmp_path):
    """A copy of the kernels that may be edited, and nothing else of tinynet."""
    shutil.copytree(KERNELS, tmp_path / "tinynet" / "kernels", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "tinynet" / "__init__.py").touch()
    return tmp_path


def start(package, cache):
    """What the program prints in a process of its own, and on stderr."""
    environment = {**os.environ, "PYTHONPATH": str(package), "NUMBA_CACHE_DIR": str(cache)}
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=environment, cwd=package)
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


def test_code_is_found_at_the_next_start_unless_it_is_damaged_or_a_helper_has_changed(package):
    cache = package / "cache"
    assert start(package, cache) == "[0.33, 0.67, 0.0] True"
    assert start(package, cache) == "[0.33, 0.67, 0.0] False"
    for path in cache.rglob("*.tinynet"):
        path.write_bytes(path.read_bytes()[:-9] + b"gibberish")
    assert start(package, cache) == "[0.33, 0.67, 0.0] True"
    helper = package / "tinynet" / "kernels" / "cpu" / "functions.py"
    line = "    n = nearest(x * LOG2_E)\n"
    text = helper.read_text()
    assert text.count(line) == 1
    helper.write_text(text.replace(line, "    x = x + x\n" + line))
    assert start(package, cache) == "[0.2, 0.8, 0.0] True"


def test_where_nothing_can_be_kept_everybody_compiles(package):
    (package / "file").touch()
    assert start(package, package / "file" / "in a file") == "[0.33, 0.67, 0.0] True"


def test_code_is_kept_beside_the_source_or_else_at_home(monkeypatch):
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert compiler.folders() == [Path(compiler.__file__).parent / "__pycache__", Path("/elsewhere/tinynet/kernels")]
    monkeypatch.setenv("NUMBA_CACHE_DIR", "/there")
    assert compiler.folders() == [Path("/there/tinynet")]


def test_what_code_calls_is_made_ready_before_it():
    class Context:
        def refresh(self):
            pass

        def codegen(self):
            return self

        def magic_tuple(self):
            return "no such processor"

    ready = []
    cache = compiler.Cache("no.such.kernel", __file__, ready.append)
    assert cache.load_overload("signature", Context()) is None
    assert ready == ["signature"]


def test_a_long_wait_is_explained_once(monkeypatch, capsys):
    monkeypatch.setattr(compiler.Cache, "spent", 0.0)
    monkeypatch.setattr(compiler.Cache, "said", False)
    cache = compiler.Cache("some.kernel", __file__)
    for seconds, said in ((0.6, 0), (0.6, 1), (9.0, 1)):
        cache.started = compiler.time.perf_counter() - seconds
        cache.report()
        assert compiler.Cache.said == bool(said)
    assert capsys.readouterr().err.count("compiling kernels for this processor") == 1


class Sizes(NamedTuple):
    """A number and a table."""

    n: int
    table: object


@compiler.parallel
def spread(worker, workers, x, factor, y, s: Sizes):
    """y = factor x + table"""
    for i in compiler.span(worker, workers, s.n):
        y[i] = factor * x[i] + s.table[i]


def test_a_kernel_takes_arrays_numbers_and_a_named_tuple():
    x, y = np.arange(10.0), np.zeros(10)
    for workers in (1, 2, 3):
        y[:] = 0
        spread(workers, x, 2, y, Sizes(10, np.arange(10)))
        np.testing.assert_array_equal(y, 2 * x + np.arange(10))
