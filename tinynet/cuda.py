"""The GPU, as far as there is one: this version computes on the CPU only."""
from __future__ import annotations


def is_available() -> bool:
    """Whether tensors can live on a GPU: not in this version, so that a program that asks first runs on the CPU.

    >>> tn.device("cuda" if tn.cuda.is_available() else "cpu")
    device(type='cpu')
    """
    return False


def device_count() -> int:
    """How many GPUs tensors can live on: none in this version.

    >>> tn.cuda.device_count()
    0
    """
    return 0
