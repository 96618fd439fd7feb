"""CuPy, NumPy's twin on the GPU: is one installed that the driver can run? If not, what to do; if so, it is imported
when the first array is wanted."""
from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from tinynet.nvidia import driver, memory

PACKAGES = {12: "cupy-cuda12x", 13: "cupy-cuda13x"}  # for CUDA 12 and 13
OLDEST = 14  # of CuPy's releases that we were written for
REMEDY = ". Use device='cpu', or change it:\n    "  # and then the command

_loaded: Any = None  # CuPy, once it is open
_forked = False
when_opened: Callable[[Any], None] | None = None  # told of CuPy, once it is open


class Obstacle(NamedTuple):
    """Why there is no GPU to compute on, and the command that changes it."""

    what: str
    command: str

    def __str__(self) -> str:
        return f"{self.what}{REMEDY}{self.command}"


def installed() -> dict[str, str]:
    """The CuPy packages that are installed, and their versions."""
    import importlib.metadata  # late: `import tinynet` need not wait for it

    found = {}
    for name in ("cupy", "cupy-cuda11x", *PACKAGES.values()):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


@functools.cache
def obstacle() -> Obstacle | None:
    """The first thing that is missing for a GPU to be used; None if nothing is. Neither CUDA nor CuPy is loaded."""
    found = driver.find()
    if found is None:
        return _no_driver()
    if found.trouble:
        return Obstacle(f"the NVIDIA driver does not start: {found.trouble}; after an update of the driver restart the "
                        "machine", "nvidia-smi")
    if not found.cards:
        chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
        if chosen is not None:
            return Obstacle(f"CUDA_VISIBLE_DEVICES={chosen!r} hides every GPU from this program",
                            "unset CUDA_VISIBLE_DEVICES")
        return Obstacle("the NVIDIA driver is there, but no GPU", "nvidia-smi")
    return _no_library(found.cuda)


def _no_driver() -> Obstacle:
    if os.path.exists("/.dockerenv"):
        return Obstacle("this container sees no NVIDIA driver", "docker run --gpus all ...")
    if driver.card_without_driver():
        return Obstacle("there is an NVIDIA card in this machine, but no driver for it",
                        "sudo apt install nvidia-driver   # or the name that your system has for it")
    return Obstacle("this machine has no NVIDIA driver, and as far as can be seen no NVIDIA card",
                    'tn.device("cuda" if tn.cuda.is_available() else "cpu")   # runs on any machine')


def _no_library(runs: tuple[int, int]) -> Obstacle | None:
    """What is wrong with the CuPy that is installed, beside a driver that runs this CUDA."""
    major, there = runs[0], installed()
    fitting = PACKAGES[max(k for k in PACKAGES if k <= max(major, min(PACKAGES)))]
    install = f'pip install "{fitting}[ctk]"'
    if major < min(PACKAGES):
        return Obstacle(f"the NVIDIA driver runs CUDA {runs[0]}.{runs[1]}, and CuPy needs one that runs "
                        f"{min(PACKAGES)}.0 or newer", "sudo apt install nvidia-driver   # a newer one")
    if not there and importlib.util.find_spec("cupy") is None:
        return Obstacle("the GPU is used through CuPy, which is not installed", install)
    if len(there) > 1:
        return Obstacle(f"{' and '.join(there)} are installed, which overwrite one another's files; one may be there",
                        f"pip uninstall -y {' '.join(there)} && {install}")
    for name, version in there.items():
        built = next((k for k, package in PACKAGES.items() if package == name), None)
        remove = f"pip uninstall -y {name} && {install}"
        if name == "cupy-cuda11x" or (built and built > major):
            wanted = 11 if built is None else built
            return Obstacle(f"{name} is CuPy for CUDA {wanted}, but the NVIDIA driver runs CUDA {runs[0]}.{runs[1]}",
                            remove)
        if int(version.partition(".")[0]) < OLDEST:
            return Obstacle(f"{name} {version} is older than CuPy {OLDEST}, which tinynet is written for",
                            install.replace("install", "install --upgrade"))
    return None


def check(index: int | None) -> None:
    """RuntimeError unless there is a card of this number (None: any) to compute on."""
    if _forked:
        raise RuntimeError("Cannot re-initialize CUDA in forked subprocess. To use CUDA with multiprocessing, you must "
                           "use the 'spawn' start method: multiprocessing.set_start_method('spawn')")
    name = "cuda" if index is None else f"cuda:{index}"
    if _loaded is None and obstacle() is not None:
        raise RuntimeError(f"device '{name}': {obstacle()}")
    if index is not None and index >= count():
        raise RuntimeError(f"CUDA error: invalid device ordinal: there is no device '{name}', the last one is "
                           f"'cuda:{count() - 1}'")


def count() -> int:
    """How many cards can be computed on."""
    found = driver.find()
    return 0 if found is None or obstacle() is not None else len(found.cards)


# ---- CuPy itself
def cupy() -> Any:
    """CuPy, imported and tried out at the first call. RuntimeError, with the remedy, if it cannot be used."""
    global _loaded
    if _loaded is None or _forked:
        check(None)
        _loaded = _opened()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_lose)
    return _loaded


def loaded() -> Any:
    """CuPy, if it is in use; else None."""
    return _loaded


def _lose() -> None:
    """In a child the parent's GPU cannot be used, nor can one of its own be had."""
    global _forked
    _forked = True


def _opened() -> Any:
    found = driver.find()
    package = next(iter(installed()), PACKAGES[12 if found is None or found.cuda[0] < 13 else 13])
    remedy = f'pip install "{package}[ctk]"'
    try:
        module = importlib.import_module("cupy")
    except ImportError as problem:
        sys.modules.pop("cupy", None)
        raise RuntimeError(str(Obstacle(f"CuPy cannot be imported: {_first_line(problem)}", remedy))) from problem
    try:
        module.cuda.nvrtc.getVersion()
    except (ImportError, OSError, RuntimeError) as problem:
        raise RuntimeError(str(Obstacle("NVRTC, NVIDIA's compiler, which makes the code for the GPU, is not there: "
                                        f"{_first_line(problem)}", remedy))) from problem
    try:
        (module.arange(2) + 1).sum()  # is there all that a first kernel needs?
    except Exception as problem:
        what = f"CuPy cannot compute on this GPU: {_first_line(problem)}"
        raise RuntimeError(str(Obstacle(what, remedy))) from problem
    module.cuda.set_allocator(memory.guarded(module, module.cuda.get_allocator()))
    if when_opened is not None:
        when_opened(module)
    return module


def _first_line(problem: Exception) -> str:
    return next(iter(str(problem).splitlines()), type(problem).__name__)
