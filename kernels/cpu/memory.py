"""Memory that one training step frees is kept for the next, which wants as much.

The C library gives large arrays back to the system when they are freed, and for a new one asks again; the system hands
out memory page by page, each cleared first, at the moment it is touched. In a step that lasts milliseconds this takes a
third of the time. So glibc is asked to keep up to KEPT bytes. It counts for the whole process, and has no effect where
another allocator is used or the user has set $MALLOC_TRIM_THRESHOLD_ or $MALLOC_MMAP_THRESHOLD_.
"""
from __future__ import annotations

import ctypes
import os

KEPT = 1 << 30
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # their numbers in glibc's malloc.h
LARGEST = 1 << 25  # of the second, that glibc allows


def keep_freed_memory() -> bool:
    """Ask for it. False if nobody listens, or the user has decided."""
    if any(f"MALLOC_{what}_THRESHOLD_" in os.environ for what in ("TRIM", "MMAP")):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # not glibc, or not a system with one C library
        return False
    return bool(mallopt(TRIM_THRESHOLD, KEPT) and mallopt(MMAP_THRESHOLD, LARGEST))
