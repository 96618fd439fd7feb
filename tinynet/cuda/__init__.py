"""The GPU: is one there, what runs on it, how much of its memory is in use. Tensors get there by `.to("cuda")`."""
from __future__ import annotations

from typing import Any

from tinynet import late
from tinynet.cuda.graph import Graph
from tinynet.cuda.report import Info, info
from tinynet.device import device as Device
from tinynet.nvidia import library
from tinynet.nvidia.memory import OutOfMemoryError

__all__ = [
    "Graph", "Info", "OutOfMemoryError", "device_count", "emulate", "info", "is_available", "memory_allocated",
    "synchronize",
]


def __getattr__(name: str) -> Any:
    if name == "emulate":  # loaded when it is asked for
        from tinynet.kernels.cuda.record import emulate
        return emulate
    raise AttributeError(f"module 'tinynet.cuda' has no attribute '{name}'")


def is_available() -> bool:
    """Whether tensors can live on a GPU: there are a card, a driver, and a CuPy that fits both. (To ask starts neither
    CUDA nor CuPy, so processes can still be forked.) Where it is False, `tn.cuda.info()` says what is missing.

    >>> device = tn.device("cuda" if tn.cuda.is_available() else "cpu")
    """
    return library.obstacle() is None


def device_count() -> int:
    """How many GPUs tensors can live on.

    >>> tn.cuda.device_count() > 0 or not tn.cuda.is_available()
    True
    """
    return library.count()


def _on(device: Any) -> Any:
    """CuPy, and one of its devices."""
    place = Device("cuda" if device is None else device)
    if place.type != "cuda":
        raise ValueError(f"Expected a cuda device, but got: {place}")
    cupy = library.cupy()
    return cupy, cupy.cuda.Device(place.index)


def synchronize(device: Any = None) -> None:
    """Wait until the GPU has done all it was asked to. RuntimeError where there is none.

    >>> if tn.cuda.is_available(): tn.cuda.synchronize()
    """
    _, card = _on(device)
    card.synchronize()
    late.look()


def memory_allocated(device: Any = None) -> int:
    """How many bytes of the GPU's memory tensors use. (The pool keeps more, to hand out again.)

    >>> tn.cuda.memory_allocated() >= 0
    True
    """
    if library.loaded() is None:
        return 0
    cupy, card = _on(device)
    with card:
        return int(cupy.get_default_memory_pool().used_bytes())
