"""`tn.cuda.info()`: the driver, the cards, CuPy and NVIDIA's libraries, and what is missing."""
from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from tinynet.nvidia import driver, library

NONE = "not there"


class Info(dict[str, Any]):
    """What was found, by name; print it to read it. "to do" is a pair of what is missing and the command that helps, or
    None.

    >>> tn.cuda.info()["to do"] is None or not tn.cuda.is_available()
    True
    """

    def __str__(self) -> str:
        facts = {name: value for name, value in self.items() if name != "to do"}
        width = max(map(len, facts))
        lines = [f"{name:{width}}  {_said(value)}" for name, value in facts.items()]
        if self["to do"]:
            what, command = self["to do"]
            lines += ["", f"to use a GPU: {what}:", f"    {command}"]
        return "\n".join(lines)

    __repr__ = __str__


def _said(value: Any) -> str:
    return ", ".join(value) or "none" if isinstance(value, list) else NONE if value is None else str(value)


def info() -> Info:
    """The driver, the cards, CuPy, NVIDIA's runtime, compiler (NVRTC) and cuBLAS, each with its version, and what is
    missing, with the command. (Where nothing is missing CuPy is imported for it; `tn.doctor()` does not do that.)

    >>> print(tn.cuda.info())                                                              # doctest: +ELLIPSIS
    driver ...
    """
    found, missing = facts(), library.obstacle()
    if missing is None:
        try:
            found |= _measured(library.cupy())
        except RuntimeError as problem:
            what, _, command = str(problem).partition(library.REMEDY)
            return Info(found, **{"to do": (what, command or "nvidia-smi")})
    return Info(found, **{"to do": None if missing is None else tuple(missing)})


def facts() -> dict[str, Any]:
    """What can be said without CUDA and CuPy: versions are those of the installed packages."""
    found, packages = driver.find(), library.installed()
    cards = [] if found is None else [_card(k, card) for k, card in enumerate(found.cards)]
    return {
        "driver": _driver(found),
        "cards": cards,
        "CUDA_VISIBLE_DEVICES": os.environ.get("CUDA_VISIBLE_DEVICES", "not set"),
        "CuPy": ", ".join(f"{version} ({name})" for name, version in packages.items()) or None,
        **{name: _version(package, packages) for name, package in (
            ("runtime", "nvidia-cuda-runtime"), ("NVRTC", "nvidia-cuda-nvrtc"), ("cuBLAS", "nvidia-cublas"))},
    }


def _driver(found: driver.Driver | None) -> str | None:
    if found is None:
        return None
    if found.trouble:
        return f"does not start: {found.trouble}"
    release = f"{found.release}, " if found.release else ""
    hidden = f", {found.hidden} hidden by CUDA_VISIBLE_DEVICES" if found.hidden else ""
    return f"{release}for CUDA {found.cuda[0]}.{found.cuda[1]} and older{hidden}"


def _card(number: int, card: driver.Card) -> str:
    return f"cuda:{number} {card.name}, {card.memory / 2**30:.0f} GiB, sm_{card.capability[0]}{card.capability[1]}"


def _version(package: str, cupy: dict[str, str]) -> str | None:
    """That of NVIDIA's package, under its name for the CUDA that CuPy is for (13's have no number)."""
    import importlib.metadata  # late: `import tinynet` need not wait for it

    number = next((name[-3:-1] for name in cupy if name.endswith("x")), "12")
    for name in (f"{package}-cu{number}", package):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def _measured(cupy: Any) -> dict[str, Any]:
    """What CuPy has loaded, whoever installed it."""
    def cublas() -> str:
        from cupy_backends.cuda.libs import cublas as library

        return _dotted(library.getVersion(cupy.cuda.get_cublas_handle()), 10000, 100)

    ways: dict[str, Callable[[], str]] = {
        "runtime": lambda: _dotted(cupy.cuda.runtime.runtimeGetVersion(), 1000, 10),
        "NVRTC": lambda: ".".join(map(str, cupy.cuda.nvrtc.getVersion())),
        "cuBLAS": cublas,
    }
    found = {}
    for name, way in ways.items():
        try:
            found[name] = way()
        except (ImportError, OSError, RuntimeError) as problem:
            found[name] = f"cannot be loaded: {problem}"
    return found


def _dotted(number: int, major: int, minor: int) -> str:
    return f"{number // major}.{number % major // minor}"
