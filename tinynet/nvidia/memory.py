"""The GPU's memory: how it is handed out, and what is said where it does not suffice."""
from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any


class OutOfMemoryError(RuntimeError):
    """The GPU's memory does not suffice. The message says how much is used, by what, and what helps.

    >>> issubclass(tn.cuda.OutOfMemoryError, RuntimeError)
    True
    """


def guarded(cupy: Any, allocate: Callable[[int], Any]) -> Callable[[int], Any]:
    """An allocator that, where `allocate` finds no room, lets go of what nobody uses (garbage, and the blocks that the
    pool keeps for later) and tries once more. Then: OutOfMemoryError."""
    def allocator(size: int) -> Any:
        try:
            return allocate(size)
        except MemoryError as problem:
            gc.collect()
            cupy.get_default_memory_pool().free_all_blocks()
            try:
                return allocate(size)
            except MemoryError:
                raise OutOfMemoryError(_situation(cupy, size)) from problem

    return allocator


def _situation(cupy: Any, size: int) -> str:
    free, total = cupy.cuda.runtime.memGetInfo()
    pool, card = cupy.get_default_memory_pool(), cupy.cuda.Device().id
    used, kept = pool.used_bytes(), pool.free_bytes()
    others = max(total - free - pool.total_bytes(), 0)
    return (f"CUDA out of memory. Tried to allocate {_gib(size)}. GPU {card} has {_gib(total)}, of which {_gib(free)} "
            f"is free: tensors use {_gib(used)}, the pool keeps {_gib(kept)} in pieces too small for this, and other "
            f"programs (nvidia-smi lists them) and CUDA itself have {_gib(others)}. What helps: a smaller batch; "
            "with tn.no_grad() where no gradient is wanted; loss.item() instead of keeping losses, which hold their "
            "graphs; del of what is not needed any more")


def _gib(n: int) -> str:
    return f"{n / 2**30:.2f} GiB"
