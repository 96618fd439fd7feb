"""Random numbers without a memory: the n-th is computed from n, so every thread of a GPU can draw its own."""
from __future__ import annotations

from typing import Any

from .. import kernel

LOW = 0xFFFFFFFF  # the lower half of 64 bits
FACTORS = 0xD2511F53, 0xCD9E8D57
STEPS = 0x9E3779B9, 0xBB67AE85  # the golden ratio and √3 - 1, as fractions of 2³²


@kernel("reference")
def philox(xp: Any, *, seed: int, offset: Any, blocks: int) -> Any:
    """Philox4x32-10 (Salmon, Moraes, Dror & Shaw 2011): four random words of 32 bits (blocks, 4) for each of the
    counters offset, offset + 1, …; ten rounds mix a counter with the seed by products whose halves change places.
    offset: a number, or an array of uint64 that holds it."""
    counter = xp.arange(blocks, dtype="uint64") + (xp.uint64(offset) if isinstance(offset, int) else offset)
    a, b, c, d = counter & LOW, counter >> 32, xp.zeros_like(counter), xp.zeros_like(counter)
    key, other = seed & LOW, seed >> 32
    for _ in range(10):
        p, q = a * FACTORS[0], c * FACTORS[1]
        a, b, c, d = (q >> 32) ^ b ^ key, q & LOW, (p >> 32) ^ d ^ other, p & LOW
        key, other = (key + STEPS[0]) & LOW, (other + STEPS[1]) & LOW
    return xp.stack([a, b, c, d], -1).astype("uint32")
