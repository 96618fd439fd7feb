"""Which code computes an op: several backends may, one is chosen at each call.

A kernel is a function of the array module, raw arrays and options, registered by its own name for a backend:

    @kernel("reference")
    def conv2d(xp, x, w, b, *, stride, padding, dilation, groups): ...

`run("conv2d", xp, x, w, b, stride=…)` calls the fastest kernel for the case. A backend may be choosy: `@kernel("fast",
supports=…, worth=…)` names functions of the same arguments that answer True, or say why not: whether the kernel can
compute the case, and whether that would be the fastest. The reference takes every case, and is the specification: the
others must equal it up to rounding. `explain` says what `run` would choose.
"""
from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

# Fastest first. Each is a module of this package, which registers its kernels when it is imported.
# "emu" comes after the reference, which takes every case: it computes only where it is asked for.
BACKENDS = ("numba", "cuda", "reference", "emu")
MODULES = {"numba": "cpu", "emu": "cuda"}  # where it has another name

LARGE = 65_536  # numbers of an array, from which on several threads compute faster what NumPy computes on one

Function = Callable[..., Any]


def anything(*arrays: Any, **options: Any) -> bool:
    """The condition of a kernel that takes every case."""
    return True


class Kernel(NamedTuple):
    """One backend's way to compute an op, whether it can and whether it should take a case, how it would, in words, and
    (asked last) whether what it needs is installed."""

    compute: Function
    supports: Callable[..., bool | str] = anything
    worth: Callable[..., bool | str] = anything
    how: Callable[..., str] | None = None
    ready: Callable[[], bool | str] = anything


_registry: dict[str, dict[str, Kernel]] = {}  # op -> backend -> kernel
_preferred = "auto"


def kernel(backend: str, *conditions: Any, ufuncs: bool = False, **more: Any) -> Callable[[Function], Function]:
    """Register the decorated function as a backend's kernel for the op of its name; the rest as for Kernel.

    nan and inf travel in silence: NumPy's warnings of them are off while a reference computes. That takes longer than
    a small product, and one that calls nothing but `ufuncs` does without: what warns then is a line of tinynet's, and
    those are silenced by a filter."""
    def register(compute: Function) -> Function:
        quiet = compute if ufuncs or backend != "reference" else np.errstate(all="ignore")(compute)
        _registry.setdefault(compute.__name__, {})[backend] = Kernel(quiet, *conditions, **more)
        in_order.cache_clear()
        return compute
    return register


@functools.cache
def load(backend: str) -> None:
    """Import a backend: once, and only when an op could use it."""
    importlib.import_module(f".{MODULES.get(backend, backend)}", __name__)


def implementations(op: str) -> dict[str, Kernel]:
    """Every backend's kernel for an op, fastest first."""
    for backend in BACKENDS:
        load(backend)
    return {backend: _registry[op][backend] for backend in BACKENDS if backend in _registry.get(op, {})}


@functools.cache
def in_order(op: str, preferred: str, on_gpu: bool) -> list[tuple[bool, str, Kernel]]:
    """The kernels for an op of arrays on a GPU or not, in the order in which they are asked, and whether one is
    preferred."""
    known = [(name == preferred, name, found) for name, found in implementations(op).items()
             if name == "reference" or (name == "cuda") == on_gpu]
    return sorted(known, key=lambda entry: not entry[0])


def takes(found: Kernel, preferred: bool, xp: Any, arrays: Any, options: Any) -> bool | str:
    """Is a case for this kernel? True, or why not. One that is preferred takes all it can."""
    answer = found.supports(xp, *arrays, **options)
    if answer is True and not preferred:
        answer = found.worth(xp, *arrays, **options)
    return found.ready() if answer is True else answer


def run(op: str, xp: Any, *arrays: Any, **options: Any) -> Any:
    """Compute an op by the preferred backend, or else by the fastest that takes the case."""
    for preferred, _, found in in_order(op, _preferred, xp is not np):  # (in a hurry: this is `takes`)
        if found.supports is anything or (
                found.supports(xp, *arrays, **options) is True
                and (preferred or found.worth(xp, *arrays, **options) is True) and found.ready() is True):
            return found.compute(xp, *arrays, **options)
    raise NotImplementedError(f"none of the backends {', '.join(BACKENDS)} computes {op} with {options}")


def chosen(op: str, xp: Any, *arrays: Any, **options: Any) -> str:
    """The backend whose kernel `run` would call."""
    return next(name for preferred, name, found in in_order(op, _preferred, xp is not np)
                if takes(found, preferred, xp, arrays, options) is True)


def explain(op: str, *arrays: Any, **options: Any) -> str:
    """Which backend's kernel `run` would choose for an op of these arrays or tensors, and why not those before it.

    >>> print(tn.kernels.explain("softmax", tn.zeros(2, 3), dim=1))
    softmax of float32[2, 3]
      numba: no, 6 scores are too few to gain by: 512 are enough
      reference: yes
    """
    arrays = tuple(getattr(a, "array", a) for a in arrays)  # a tensor's
    given = [a for a in arrays if hasattr(a, "dtype")]
    xp = importlib.import_module(type(given[0]).__module__.split(".")[0] if given else "numpy")
    order = in_order(op, _preferred, xp is not np)
    if not order:
        raise ValueError(f"no kernel computes {op!r}; there are kernels for {', '.join(sorted(_registry))}")
    lines = [f"{op} of {', '.join(f'{a.dtype}{list(a.shape)}' for a in given)}"]
    for preferred, name, found in order:
        answer = takes(found, preferred, xp, arrays, options)
        if answer is True:
            how = f", {found.how(xp, *arrays, **options)}" if found.how else ""
            return "\n".join([*lines, f"  {name}: yes{how}"])
        lines.append(f"  {name}: no, {answer or 'it does not take the case'}")
    return "\n".join(lines)


def one_by_one() -> bool:
    """Whether neighbouring layers are to be kept apart: when the plain kernels are asked for."""
    return _preferred in ("reference", "emu")


class use_kernels:
    """Prefer one backend's kernels, from now on or inside a `with`. "auto": the fastest that supports the
    case, which also computes what a named backend does not support. It is a setting of the process, so of all its
    threads. ValueError for an unknown name.

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
