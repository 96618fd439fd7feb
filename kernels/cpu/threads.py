"""Threads: this file alone says how many work, which library runs them, and what happens after a fork.

Numba hands a loop to a threading library. TBB, if its package `tbb` is installed, serves several Python threads at once
and survives a fork. Otherwise OpenMP, which comes with Numba: it serves several Python threads too, but aborts in a
forked child, so there the workers of a kernel take turns. Numba's third library, workqueue, aborts when two Python
threads meet and is never used; where there is no other, workers take turns.
"""
from __future__ import annotations

import ctypes
import functools
import importlib
import math
import os
import sys
import threading
from typing import Any

import numpy as np

LINE = 64  # bytes of the cache that are read and written together
GRAIN = 20_000  # ns of work that are worth waking a thread for
_count = 0  # as set; 0: as many as there are processors
_forked = False  # from a process whose threads are not here


class _ThisThread(threading.local):
    """What Numba was told for the Python thread, and its work space."""

    told = 0
    scratch: dict[Any, Any] | None = None


_this_thread = _ThisThread()


# ---- how many
def get_num_threads() -> int:
    """How many threads work on a large operation: as set by set_num_threads, or else $OMP_NUM_THREADS, or else one for
    each processor.

    >>> tn.get_num_threads() > 0
    True
    """
    return _count or _default()


def set_num_threads(num: int) -> None:
    """Let as many threads work on a large operation. Results are the same, bit for bit, each time at one number;
    between numbers, sums are rounded differently.

    >>> tn.set_num_threads(tn.get_num_threads())
    """
    global _count
    if isinstance(num, bool) or not hasattr(num, "__index__"):
        raise TypeError(f"set_num_threads expects an int, but got {type(num).__name__}")
    if num <= 0:
        raise RuntimeError(f"set_num_threads expects a positive integer, but got {num}")
    _count = int(num)


@functools.cache
def _default() -> int:
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return int(asked) if asked.isdigit() and int(asked) > 0 else _processors()


def _processors() -> int:
    """Those this process may use: in a container, fewer than the machine has."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def workers_for(nanoseconds: float) -> int:
    """How many workers should share work that would take one of them so long."""
    worth = int(nanoseconds / GRAIN)
    return 1 if worth < 2 else min(worth, _count or _default())


# ---- by which library
def ready() -> bool:
    """May a parallel loop run here? Starts the threads if they are not there yet."""
    if _forked:
        return False
    if _this_thread.told != (_count or _default()):
        if library() == "none":
            return False
        import numba

        numba.set_num_threads(min(get_num_threads(), numba.config.NUMBA_NUM_THREADS))  # each Python thread has its own
        _this_thread.told = get_num_threads()
    return True


@functools.cache
def library() -> str:
    """The threading library: "tbb", "omp" or "none". Chosen at the first call."""
    import numba

    asked = str(numba.config.THREADING_LAYER)
    found = next((name for name in ((asked,) if asked in ("tbb", "omp") else ("tbb", "omp")) if _loads(name)), "none")
    if found != "none":
        numba.config.THREADING_LAYER = found
        numba.set_num_threads(1)  # starts them
        found = numba.threading_layer()  # another, if other code has started threads before
    if found == "omp" and hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_after_fork)
    return found if found in ("tbb", "omp") else "none"


def _loads(name: str) -> bool:
    """Is the threading library there, and Numba's part that uses it?"""
    spin = "GOMP_SPINCOUNT"
    spun = os.environ.get(spin)
    try:
        if name == "tbb":
            _load_tbb()
        else:
            # Between loops OpenMP's threads would spin for long, in the way of all others. But to wake one that sleeps
            # takes as long as a small kernel: so they spin about as long as Python needs between two. Read as it loads.
            os.environ.setdefault(spin, "30000")
        importlib.import_module(f"numba.np.ufunc.{name}pool")
    except (ImportError, OSError):
        return False
    finally:
        if spun is None:
            os.environ.pop(spin, None)
    return True


def _load_tbb() -> None:
    """Load TBB's own library from its package: Numba looks only where the system looks."""
    import importlib.metadata  # late: `import tinynet` need not wait for it

    name = {"win32": "tbb12.dll", "darwin": "libtbb.12.dylib"}.get(sys.platform, "libtbb.so.12")
    try:
        files = importlib.metadata.files("tbb") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    path = next((str(file.locate()) for file in files if file.name == name), name)
    ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)


def _after_fork() -> None:
    global _forked
    _forked = True


# ---- memory to work in
def aligned(size: int, dtype: Any) -> Any:
    """An array with any values that begins with a line of the cache: to read a register's width that lies across two
    lines takes as long as to read two."""
    memory = np.empty(size * dtype.itemsize + LINE, np.uint8)
    return np.ndarray(size, dtype, memory, _to_line(memory))


def aligned_like(x: Any) -> Any:
    """The same, with the shape and the order in memory of x, which has no gaps."""
    memory = np.empty(x.nbytes + LINE, np.uint8)
    return np.ndarray(x.shape, x.dtype, memory, _to_line(memory), x.strides)


def _to_line(memory: Any) -> int:
    """How many bytes to the next line of the cache. (Four times as fast as to ask NumPy for the address.)"""
    return -ctypes.addressof(ctypes.c_char.from_buffer(memory)) % LINE


def scratch(workers: int, size: int, dtype: Any, use: str = "") -> Any:
    """`size` numbers for each worker, with any values: the Python thread's own, there again at its next such call."""
    kept = _this_thread.scratch
    if kept is None:
        kept = _this_thread.scratch = {}
    size = -(-size // LINE) * LINE  # a worker never shares a line of the cache with another
    have = kept.get((use, dtype))
    if have is None or have.size < workers * size:
        have = kept[use, dtype] = aligned(workers * size, dtype)
    return have[:workers * size].reshape(workers, size)


def sum_of_workers(work: Any, first: int, shape: tuple[int, ...]) -> Any:
    """The sum of what the workers' memories hold from number `first` on. (An array of its own, no view: the engine may
    keep it without a copy.)"""
    return np.add.reduce(work[:, first:first + math.prod(shape)].reshape(-1, *shape), axis=0)
