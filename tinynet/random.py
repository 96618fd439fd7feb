"""Random streams of our own. NumPy's global state is never touched."""
from __future__ import annotations

import secrets
from typing import Any

import numpy as np

from tinynet.dtypes import Array


class Generator:
    """A stream of random numbers (PCG64, O'Neill 2014). Every sampling function takes one as `generator=`.

    >>> g = tn.Generator().manual_seed(0)
    >>> tn.equal(tn.rand(2, generator=g), tn.rand(2, generator=g.manual_seed(0)))
    True
    """

    def __init__(self, device: Any = "cpu") -> None:
        self.device = device
        self.manual_seed(secrets.randbits(63))

    def manual_seed(self, seed: int) -> Generator:
        """Start the stream that belongs to this seed; returns the generator."""
        self._seed = int(seed) % 2**64
        self._bits = np.random.PCG64(self._seed)
        self.rng = np.random.Generator(self._bits)
        return self

    def seed(self) -> int:
        """Start a stream nobody can foresee; returns its seed."""
        return self.manual_seed(secrets.randbits(63)).initial_seed()

    def initial_seed(self) -> int:
        """The seed this stream was started with."""
        return self._seed

    def get_state(self) -> Array:
        """Where the stream stands, as 48 bytes (uint8)."""
        s: Any = self._bits.state
        numbers = [(s["state"]["state"], 16), (s["state"]["inc"], 16), (s["has_uint32"], 4), (s["uinteger"], 4),
                   (self._seed, 8)]
        return np.frombuffer(b"".join(n.to_bytes(size, "little") for n, size in numbers), np.uint8).copy()

    def set_state(self, state: Any) -> Generator:
        """Continue from where get_state() was called. RuntimeError if `state` is no such state."""
        data = np.asarray(state)
        if data.dtype != np.uint8 or data.shape != (48,):
            raise RuntimeError(f"a generator state is 48 bytes of uint8, got {data.dtype} of shape {data.shape}")
        raw = data.tobytes()
        cut = [int.from_bytes(raw[a:b], "little") for a, b in ((0, 16), (16, 32), (32, 36), (36, 40), (40, 48))]
        self._bits.state = {"bit_generator": "PCG64", "state": {"state": cut[0], "inc": cut[1]},
                            "has_uint32": cut[2], "uinteger": cut[3]}
        self._seed = cut[4]
        return self


default_generator = Generator()


def manual_seed(seed: int) -> Generator:
    """Start the default stream from `seed`, so that what follows can be repeated.

    >>> a = tn.manual_seed(0); x = tn.rand(3)
    >>> a = tn.manual_seed(0); tn.equal(x, tn.rand(3))
    True
    """
    return default_generator.manual_seed(seed)
