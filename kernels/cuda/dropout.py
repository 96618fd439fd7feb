"""Random words by Philox, and dropout, which draws them in the kernel that uses them: dropout.cu."""
from __future__ import annotations

from typing import Any

from .launcher import empty, launch


def philox(xp: Any, *, seed: int, offset: Any, blocks: int) -> Any:
    """Four words for each of the counters offset, offset + 1, …"""
    words = empty(xp, (blocks, 4), "uint32")
    launch(xp, "philox", (-(-blocks // 256),), words=words, seed=seed, blocks=blocks, **_where(xp, offset))
    return words


def dropout(xp: Any, x: Any, noise: Any, *, p: float, drawn: tuple[int, Any, int]) -> Any:
    """x / (1 - p) where a uniform number is p or more, else 0 · x."""
    (seed, offset, each), y = drawn, empty(xp, x.shape, x.dtype)
    launch(xp, "dropout" if each == 1 else "dropout_channels", (-(-x.size // 1024),), x=xp.ascontiguousarray(x), y=y,
           count=x.size, each=each, p=p, scale=1 / (1 - p) if p < 1 else 0, seed=seed, **_where(xp, offset))
    return y


def _where(xp: Any, offset: Any) -> dict[str, Any]:
    """An offset is a number, or lies in memory."""
    given = isinstance(offset, int)
    return {"live": None if given else xp.asarray(offset, "uint64"), "offset": offset if given else 0}
