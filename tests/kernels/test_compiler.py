"""Machine code on disk: found again, never stale, and missed by nobody where it cannot be kept."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

pytest.importorskip("numba")
from numba import types

from tinynet.kernels.cpu import arguments, attention, compiler, layout, matmul, panel, parts

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


def test_code_written_elsewhere_depends_on_the_helpers_that_it_imports(package, monkeypatch):
    helpers, own = package / "tinynet" / "kernels" / "cpu" / "functions.py", package / "own.py"
    own.write_text("import math\nfrom tinynet.kernels.cpu.functions import exp\n")
    monkeypatch.setattr(compiler, "__file__", str(helpers.with_name("compiler.py")))
    before = compiler.stamp.__wrapped__(str(own))
    assert compiler.stamp.__wrapped__(str(own)) == before
    helpers.write_text(helpers.read_text() + "# changed\n")
    assert compiler.stamp.__wrapped__(str(own)) != before


def test_where_nothing_can_be_kept_everybody_compiles(package):
    (package / "file").touch()
    assert start(package, package / "file" / "in a file") == "[0.33, 0.67, 0.0] True"


def test_code_is_kept_beside_the_source_or_else_at_home(monkeypatch):
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert compiler.folders() == [Path(compiler.__file__).parent / "__pycache__", Path("/elsewhere/tinynet/kernels")]
    monkeypatch.setenv("NUMBA_CACHE_DIR", "/there")
    assert compiler.folders() == [Path("/there/tinynet")]


def test_what_code_calls_is_made_ready_before_it(monkeypatch):
    kernels = (matmul.product, attention.attend)  # the second calls it in a helper, in another file
    assert [{*compiler.c_functions(kernel.task)} for kernel in kernels] == [{panel.panel}] * 2
    assert not [*compiler.c_functions(layout.transpose.task)]
    order = []
    monkeypatch.setattr(panel.panel, "prepare_for", order.append)
    monkeypatch.setattr(compiler, "machine_code", lambda *arguments: order.append("machine code") or 1)
    kinds = types.int64, types.int64, types.Array(types.float64, 1, "C"), types.int64
    matmul.product.function(kinds)
    assert order == [types.float64, None, "machine code"]


def test_what_is_replaced_here_is_there_in_numba():
    for kind, names in (
        (arguments.ByTypes, ["_compile_for_args"]),
        (parts.Part, ["add_linking_library", "_optimize_functions", "finalize"]),
        (parts.Steps, ["define_pipelines"]),
    ):
        for name in names:
            assert name in vars(kind) and callable(getattr(kind.__base__, name))


def test_a_long_wait_is_explained_once(monkeypatch, capsys):
    monkeypatch.setattr(compiler.Cache, "spent", 0.0)
    monkeypatch.setattr(compiler.Cache, "said", False)
    cache = compiler.Cache("some.kernel", __file__)
    for seconds, said in ((0.6, 0), (0.6, 1), (9.0, 1)):
        cache.report(seconds)
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


class Pair(NamedTuple):
    """Two numbers."""

    first: int
    second: float


@compiler.parallel
def gather(worker, workers, table, row, scale, negative, pair, out, some: Sizes):
    """out = what the arguments are"""
    if worker == 0:
        for i in range(table.shape[1]):
            out[i] = table[row, i] * scale
        out[4], out[5], out[6] = pair.first, pair.second, some.n
        out[7], out[8] = some.table[1], -1 if negative else 1


def test_arguments_arrive_as_what_they_are_and_are_only_borrowed():
    table = np.arange(40, dtype="float32").reshape(5, 8)[1::2, ::2]  # with gaps
    out, numbers = np.zeros(9), np.array([3, 4], np.uint8)
    before = [sys.getrefcount(x) for x in (table, out, numbers)]
    for scale, negative in ((np.float32(2), True), (-0.5, False)):
        for workers in (1, 2):
            out[:] = 0
            gather(workers, table, np.int64(1), scale, negative, Pair(-7, 2.5), out, Sizes(2**40, numbers))
            expected = [*(table[1] * scale), -7, 2.5, 2**40, 4, -1 if negative else 1]
            np.testing.assert_array_equal(out, expected)
    assert [sys.getrefcount(x) for x in (table, out, numbers)] == before


def test_two_threads_meet_at_a_kernel_that_is_not_compiled_yet():
    @compiler.parallel
    def double(worker, workers, x, y):
        for i in compiler.span(worker, workers, len(x)):
            y[i] = x[i] + x[i]

    make, made = double.by_types.make, []
    double.by_types.make = lambda kinds: made.append(kinds) or make(kinds)
    x, results = np.arange(1000.0), [np.zeros(1000) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda y: double(1, x, y), results))
    for y in results:
        np.testing.assert_array_equal(y, x + x)
    assert len(made) == 1
