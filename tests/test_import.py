"""`import tinynet` is light: what takes long to load is loaded by what needs it."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

HEAVY = ["numba", "llvmlite", "cupy", "matplotlib", "scipy", "sklearn", "tqdm", "torch", "hypothesis", "nbformat"]


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    """The top-level modules that `import tinynet` loads, in an interpreter of its own."""
    command = [sys.executable, "-X", "importtime", "-c", "import tinynet, sys; print(*sys.modules)"]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    timed = {
        line.split("|")[-1].strip() for line in run.stderr.splitlines() if line.startswith("import time:")
    }
    return {name.split(".")[0] for name in timed | set(run.stdout.split())}


@pytest.mark.parametrize("module", HEAVY)
def test_importing_tinynet_does_not_load(loaded: set[str], module: str) -> None:
    assert module not in loaded


def test_what_is_loaded_is_seen(loaded: set[str]) -> None:
    assert {"tinynet", "numpy"} <= loaded


def test_kernels_have_one_name(loaded: set[str]) -> None:
    assert "kernels" not in loaded  # another project owns that name


def test_installing_tinynet_installs_no_bare_kernels(tmp_path: Path) -> None:
    try:
        distribution("tinynet-dl")
    except PackageNotFoundError:
        pytest.skip("tinynet is not installed here")
    program = "import tinynet.kernels, importlib.util; print(importlib.util.find_spec('kernels'))"
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "None"
