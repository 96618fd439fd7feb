"""Which code computes an op: several backends may, one is chosen at each call.

A kernel is a function of the array module, raw arrays and options, registered by its own name for a backend:

    @kernel("reference")
    def conv2d(xp, x, w, b, *, stride, padding, dilation, groups): ...

`run("conv2d", xp, x, w, b, stride=…)` calls the fastest kernel that supports the case: a backend may be
choosy, then `@kernel("fast", supports=…)` names a function of the same arguments that says whether it takes
them. The reference takes every case, and is the specification: the others must equal it up to rounding.
"""
from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

# Fastest first. Each is a module of this package, which registers its kernels when it is imported.
BACKENDS = ("reference",)

Function = Callable[..., Any]


class Kernel(NamedTuple):
    """One backend's way to compute an op, and whether it takes a case."""

    compute: Function
    supports: Callable[..., bool]


_registry: dict[str, dict[str, Kernel]] = {}  # op -> backend -> kernel
_preferred = "auto"


def anything(*arrays: Any, **options: Any) -> bool:
    """The `supports` of a kernel that takes every case."""
    return True


def kernel(backend: str, supports: Callable[..., bool] = anything) -> Callable[[Function], Function]:
    """Register the decorated function as a backend's kernel for the op of its name."""
    def register(compute: Function) -> Function:
        _registry.setdefault(compute.__name__, {})[backend] = Kernel(compute, supports)
        return compute
    return register


@functools.cache
def load(backend: str) -> None:
    """Import a backend: once, and only when an op could use it."""
    importlib.import_module(f".{backend}", __name__)


def implementations(op: str) -> dict[str, Kernel]:
    """Every backend's kernel for an op, fastest first."""
    for backend in BACKENDS:
        load(backend)
    return {backend: _registry[op][backend] for backend in BACKENDS if backend in _registry.get(op, {})}


def run(op: str, xp: Any, *arrays: Any, **options: Any) -> Any:
    """Compute an op by the preferred backend, or else by the fastest that supports the case."""
    for backend in BACKENDS if _preferred == "auto" else (_preferred, *BACKENDS):
        load(backend)
        found = _registry.get(op, {}).get(backend)
        if found is not None and found.supports(xp, *arrays, **options):
            return found.compute(xp, *arrays, **options)
    raise NotImplementedError(f"none of the backends {', '.join(BACKENDS)} computes {op} with {options}")


class use_kernels:
    """Prefer one backend's kernels, from now on or inside a `with`. "auto": the fastest that supports the
    case, which also computes what a named backend does not support. ValueError for an unknown name.

    >>> with tn.use_kernels("reference"):
    ...     tn.softmax(tn.zeros(2), 0)
    tensor([0.5000, 0.5000])
    """

    def __init__(self, backend: str = "auto") -> None:
        global _preferred
        if backend not in ("auto", *BACKENDS):
            raise ValueError(f"no kernels called {backend!r}; choose from auto, {', '.join(BACKENDS)}")
        self.before, _preferred = _preferred, backend

    def __enter__(self) -> use_kernels:
        return self

    def __exit__(self, *exc: object) -> None:
        global _preferred
        _preferred = self.before
