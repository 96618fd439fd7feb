"""What all tests share: how hard Hypothesis tries, which tests run here, and what the summary must say."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import os
import struct
from dataclasses import replace
from functools import cache
from pathlib import Path

if (
    "PYTEST_XDIST_WORKER" in os.environ
):  # the workers share the cores: one thread each, set before NumPy loads
    for library in ("OMP", "OPENBLAS", "MKL", "NUMBA"):
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

import tinynet
from tinynet.data import datasets
from tinynet.data.cifar import RECORD, TEST, TRAIN

IN_CI = bool(os.environ.get("CI"))
PACKAGE = Path(__file__).parents[1] / "tinynet"
NO_DEVICE = "no CUDA device"

common = {"deadline": None, "database": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("here", max_examples=25, **common)
settings.register_profile("ci", max_examples=100, derandomize=True, **common)
settings.load_profile("ci" if IN_CI else "here")


@cache
def has_device() -> bool:
    """Is there a CUDA device and a CuPy that can compute on it?"""
    return tinynet.cuda.is_available()


@pytest.fixture(autouse=True)
def the_same_start_for_every_test() -> None:
    """tinynet's own stream, its default dtype and its kernels are what they are in a new process."""
    tinynet.manual_seed(0)
    tinynet.set_default_dtype(tinynet.float32)
    tinynet.use_kernels("auto")


@pytest.fixture
def small_images(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Path]:
    """Folders with an MNIST and a Fashion-MNIST of 8 and 4 images, which pass for the real ones, and a CIFAR-10 of 40
    and 8; there is no mirror, and the cache is empty."""
    rng, folders = np.random.default_rng(0), {}
    for which in ("mnist", "fashion_mnist"):
        sums, folders[which] = {}, tmp_path / which
        folders[which].mkdir()
        for name in datasets.SOURCES[which].md5:
            n = 8 if "train" in name else 4
            array = rng.integers(0, 256, (n, 28, 28)) if "images" in name else rng.integers(0, 10, n)
            header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
            content = gzip.compress(header + array.astype(np.uint8).tobytes())
            (folders[which] / name).write_bytes(content)
            sums[name] = hashlib.md5(content).hexdigest()
        monkeypatch.setitem(datasets.SOURCES, which, replace(datasets.SOURCES[which], md5=sums, mirrors=()))
    folders["cifar10"] = tmp_path / "cifar10"
    folders["cifar10"].mkdir()
    for name in (*TRAIN, *TEST):
        records = rng.integers(0, 256, (8, RECORD)).astype(np.uint8)
        records[:, 0] = rng.integers(0, 10, 8)
        (folders["cifar10"] / name).write_bytes(records.tobytes())
    monkeypatch.setitem(datasets.SOURCES, "cifar10", replace(datasets.SOURCES["cifar10"], mirrors=()))
    monkeypatch.setenv("TINYNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("TINYNET_DATA", raising=False)
    return folders


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--slow", action="store_true", help="also run the tests marked slow (always on where $CI is set)"
    )


def runs_slow(config: pytest.Config) -> bool:
    return IN_CI or bool(config.getoption("--slow"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not runs_slow(config):
        config.hook.pytest_deselected(items=[t for t in items if "slow" in t.keywords])
        items[:] = [t for t in items if "slow" not in t.keywords]
    for test in items:
        if "gpu" in test.keywords and not has_device():
            test.add_marker(pytest.mark.skip(reason=NO_DEVICE))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    skipped = [r for r in terminalreporter.stats.get("skipped", []) if NO_DEVICE in str(r.longrepr)]
    terminalreporter.write_line(f"gpu tests skipped for want of a device: {len(skipped)}")
    if not runs_slow(config):
        terminalreporter.write_line("tests marked slow were left out: --slow runs them")
    core = [path for where in ("autograd/*.py", "ops/*.py", "tensor.py") for path in PACKAGE.glob(where)]
    lines = sum(len(path.read_text().splitlines()) for path in core)
    terminalreporter.write_line(f"the core (autograd, ops, tensor) is {lines:,} lines in {len(core)} files")
    if importlib.util.find_spec("torch") is None:
        text = "PyTorch is not installed: NO PARITY TEST RAN. To run them: pip install torch==2.13.0"
        terminalreporter.write_line(text, red=True, bold=True)
