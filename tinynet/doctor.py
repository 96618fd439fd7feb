"""`tn.doctor()`: what this installation runs on, how fast that is, and what to do where it could be better."""
from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinynet import kernels, nn, optim
from tinynet.cuda import report
from tinynet.data.datasets import SHIPPED, SOURCES
from tinynet.data.download import cache_dir
from tinynet.data.sources import Shipped, Source
from tinynet.kernels.cpu import choice, threads
from tinynet.nvidia import library
from tinynet.ops import randint, randn
from tinynet.ops.sampling import get_rng_state, set_rng_state
from tinynet.text import size

PACKAGES = ("numpy", "scipy", "numba", "matplotlib", "tqdm", "threadpoolctl", "safetensors", "tbb", "pillow", "pandas",
            "scikit-learn", "onnx", "onnxruntime", "torch")
READING = 0.4  # seconds for each of the two readings of speed
SIDE = 1024  # of the matrices
NONE = "not installed"

Facts = dict[str, Any]


@dataclass
class Diagnosis:
    """What was found, by subject, and what to do: pairs of what is not as it could be and the command that helps.
    Print it to read it; `json()` is for machines."""

    facts: dict[str, Facts]
    advice: list[tuple[str, str]]

    def json(self) -> str:
        """The same as JSON."""
        advice = [{"what": what, "command": command} for what, command in self.advice]
        return json.dumps({**self.facts, "advice": advice}, indent=2)

    def __str__(self) -> str:
        width = max(len(name) for facts in self.facts.values() for name in facts)
        lines = []
        for subject, facts in self.facts.items():
            lines += [subject, *(f"  {name:{width}}  {_said(value)}" for name, value in facts.items()), ""]
        if not self.advice:
            return "\n".join([*lines, "nothing to fix"])
        return "\n".join([*lines, "to fix", *(f"  {what}:\n    {command}" for what, command in self.advice)])

    __repr__ = __str__


def _said(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value) or "none"
    return "none" if value is None else "yes" if value is True else "no" if value is False else str(value)


def doctor() -> Diagnosis:
    """Versions, threads, kernels, caches, GPU, data sets, a reading of speed that takes a second, and what to fix, each
    with the command. Nothing is changed, downloaded or sent.

    >>> from tinynet.doctor import doctor
    >>> print(doctor())                                                                    # doctest: +ELLIPSIS
    versions
      tinynet ...
    """
    facts = {"versions": _versions(), "processor": _processor(), "kernels": _kernels(), "caches": _caches(),
             "gpu": _gpu(), "data sets": _data_sets(), "speed": _speed()}
    return Diagnosis(facts, _advice(facts))


# ---- what there is
def _version(package: str) -> str:
    import importlib.metadata  # late, as below: `import tinynet` need not wait for what only a diagnosis wants

    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return NONE


def _versions() -> Facts:
    import importlib.metadata

    cupy = importlib.metadata.packages_distributions().get("cupy")
    ours = _version("tinynet-dl")
    return {"tinynet": "run from its source" if ours == NONE else ours, "python": platform.python_version(),
            "system": f"{platform.system()} {platform.machine()}", **{name: _version(name) for name in PACKAGES},
            "cupy": f"{_version(cupy[0])} ({cupy[0]})" if cupy else NONE}


def _processor() -> Facts:
    import threadpoolctl

    pools = [pool for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
    available = getattr(os, "sched_getaffinity", None)
    return {"processors": len(available(0)) if available else os.cpu_count() or 1,
            "threads of the kernels": threads.get_num_threads(),
            "BLAS": [f"{pool['internal_api']} {pool['version'] or ''}".strip() for pool in pools],
            "threads of BLAS": max((pool["num_threads"] for pool in pools), default=None)}


def _kernels() -> Facts:
    there = choice.numba_is_there()
    return {"in use": "numba, and reference where that does not take a case" if there is True else
            "reference: plain NumPy, the specification, and slower",
            "numba": there if there is True else str(there), "backends": list(kernels.BACKENDS),
            "threading library": threads.library() if there is True else None}


def _caches() -> Facts:
    found: Facts = {"data": _place(cache_dir()), "TINYNET_DATA": os.environ.get("TINYNET_DATA"), "compiled kernels": []}
    if choice.numba_is_there() is True:
        from tinynet.kernels.cpu.compiler import folders

        found["compiled kernels"] = [_place(folder, "*.tinynet") for folder in folders()]
    return found


def _place(folder: Path, pattern: str = "**/*") -> str:
    """The folder, what is in it, and whether it can be written."""
    first = next(f for f in (folder, *folder.parents) if f.exists())
    files = [f.stat().st_size for f in folder.glob(pattern) if f.is_file()]
    state = f"{len(files)} files, {size(sum(files))}" if files else "empty" if folder.exists() else "not there yet"
    return f"{folder} ({state}{'' if os.access(first, os.W_OK) else ', READ-ONLY'})"


def _gpu() -> Facts:
    """What is known without CUDA and CuPy, which take seconds to load. (`tn.cuda.info()` loads them.)"""
    missing = library.obstacle()
    return {**report.facts(), "usable": missing is None, "missing": missing and missing.what,
            "remedy": missing and missing.command}


def _data_sets() -> Facts:
    found = {}
    sources: dict[str, Shipped | Source] = {**SHIPPED, **SOURCES}
    for name, source in sources.items():
        files = source.places()
        there = [file for file in files if file.exists()]
        found[name] = str(files[0].parent) if len(there) == len(files) else f"{len(there)} of {len(files)} files"
    return found


# ---- how fast it is
def _speed() -> Facts:
    state, a = get_rng_state(), np.ones((SIDE, SIDE), np.float32)
    x, y = randn(64, 1, 28, 28), randint(0, 10, (64,))
    model = nn.Sequential(nn.Conv2d(1, 16, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(2704, 10))
    optimizer = optim.Adam(model.parameters())

    def step() -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()

    product, training = _least_seconds(lambda: a @ a), _least_seconds(step)
    set_rng_state(state)
    return {f"product of two {SIDE} × {SIDE} matrices": f"{2 * SIDE**3 / product / 1e9:.0f} GFLOP/s",
            "training step, small CNN, batch of 64": f"{1e3 * training:.1f} ms"}


def _least_seconds(run: Callable[[], Any]) -> float:
    run()  # the first compiles
    end, taken = time.perf_counter() + READING, list[float]()
    while not taken or time.perf_counter() < end:
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    return min(taken)


# ---- what to do
def _advice(facts: dict[str, Facts]) -> list[tuple[str, str]]:
    """What is not as it could be, and the command that helps."""
    processor, gpu = facts["processor"], facts["gpu"]
    found = []
    if facts["kernels"]["numba"] is not True:
        found.append(("the fast kernels need Numba, which cannot be imported; the reference kernels are used",
                      "pip install --upgrade numba"))
    elif facts["kernels"]["threading library"] == "none":
        found.append(("Numba finds no threading library, so kernels run on one thread", "pip install tbb"))
    places = facts["caches"]["compiled kernels"]
    if places and all(place.endswith("READ-ONLY)") for place in places):
        found.append(("compiled kernels cannot be kept, so every start compiles them again",
                      "export NUMBA_CACHE_DIR=/a/folder/that/can/be/written"))
    if facts["caches"]["data"].endswith("READ-ONLY)"):
        found.append(("data sets cannot be kept in the cache", "export TINYNET_CACHE=/a/folder/that/can/be/written"))
    if (processor["threads of BLAS"] or 0) > processor["processors"]:
        found.append((f"BLAS runs {processor['threads of BLAS']} threads on {processor['processors']} processors",
                      f"export OMP_NUM_THREADS={processor['processors']}"))
    if gpu["driver"] is not None and not gpu["usable"]:  # where there is no driver, nobody expects a GPU
        found.append((gpu["missing"], gpu["remedy"]))
    return found


def main(as_json: bool) -> int:
    """The command `tinynet doctor`."""
    found = doctor()
    print(found.json() if as_json else found)
    return 0
