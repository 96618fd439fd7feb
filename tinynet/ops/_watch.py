"""Looking on while ops run, for a while: what is looked through is put in place of what it looks at, and taken away
again. Where nobody looks, nothing is asked."""
from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from tinynet.ops._primitive import PRIMITIVES, Primitive

Forward = Callable[..., Any]
_onlooker = threading.RLock()  # two threads cannot take away what they put, each in its own order


@contextmanager
def replaced(owner: Any, name: str, new: Any) -> Iterator[None]:
    """owner.name is `new`, until the block ends."""
    before = owner.__dict__[name]
    setattr(owner, name, new)
    try:
        yield
    finally:
        setattr(owner, name, before)


@contextmanager
def watched(around: Callable[[Primitive, Forward], Forward]) -> Iterator[None]:
    """The forward of each primitive is around(primitive, forward) for this thread, until the block ends. RuntimeError
    if another thread is watching."""
    if not _onlooker.acquire(blocking=False):
        raise RuntimeError("a profile or a summary is running in another thread; wait for it to end")
    thread = threading.get_ident()

    def only_here(forward: Forward, looked_at: Forward) -> Forward:
        return lambda *args, **options: (looked_at if threading.get_ident() == thread else forward)(*args, **options)

    try:
        with ExitStack() as stack:
            for primitive in PRIMITIVES.values():
                forward = primitive.forward
                stack.enter_context(replaced(primitive, "forward", only_here(forward, around(primitive, forward))))
            yield
    finally:
        _onlooker.release()
