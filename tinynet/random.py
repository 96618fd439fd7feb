"""Random streams of our own, one for each device. NumPy's global state is never touched."""
from __future__ import annotations

import secrets
from reprlib import repr as brief
from typing import Any

import numpy as np

from tinynet.device import CPU, located
from tinynet.device import device as Device
from tinynet.dtypes import Array
from tinynet.nvidia import recording


class Generator:
    """A stream of random numbers. Every sampling function takes one as `generator=`. On the CPU it is PCG64 (O'Neill
    2014), on a GPU Philox (Salmon et al. 2011), the same on every GPU: one seed gives other numbers there than here.

    >>> g = tn.Generator().manual_seed(0)
    >>> tn.equal(tn.rand(2, generator=g), tn.rand(2, generator=g.manual_seed(0)))
    True
    """

    def __init__(self, device: Any = "cpu") -> None:
        self.device = located(Device(device))
        self.manual_seed(secrets.randbits(63))

    def manual_seed(self, seed: int) -> Generator:
        """Start the stream that belongs to this seed; returns the generator."""
        self._seed, self._offset = int(seed) % 2**64, 0
        if self.device == CPU:
            self._bits = np.random.PCG64(self._seed)
            self._rng = np.random.Generator(self._bits)
        return self

    @property
    def rng(self) -> np.random.Generator:
        """NumPy's generator, for numbers on the CPU. RuntimeError for a generator of a GPU."""
        if self.device != CPU:
            raise RuntimeError(f"Expected a 'cpu' device type for generator but found '{self.device.type}': data sets, "
                               "samplers and loaders draw on the CPU")
        return self._rng

    def advance(self, blocks: int) -> Any:
        """Where the stream of a GPU stands, in blocks of four words; it goes on by so many. (While a step is recorded,
        a number in the GPU's memory.)"""
        if recording.now.tape is not None:
            return recording.now.tape.advance(self, blocks)
        before, self._offset = self._offset, self._offset + blocks
        return before

    def seed(self) -> int:
        """Start a stream nobody can foresee; returns its seed."""
        return self.manual_seed(secrets.randbits(63)).initial_seed()

    def initial_seed(self) -> int:
        """The seed this stream was started with."""
        return self._seed

    def get_state(self) -> Array:
        """Where the stream stands, as 48 bytes (uint8), of a GPU's as 16: seed and offset."""
        if self.device != CPU:
            return np.array([self._seed, self._offset], np.uint64).view(np.uint8)
        s: Any = self._bits.state
        numbers = [(s["state"]["state"], 16), (s["state"]["inc"], 16), (s["has_uint32"], 4), (s["uinteger"], 4),
                   (self._seed, 8)]
        return np.frombuffer(b"".join(n.to_bytes(size, "little") for n, size in numbers), np.uint8).copy()

    def set_state(self, state: Any) -> Generator:
        """Continue from where get_state() was called. TypeError or RuntimeError if `state` is no such state."""
        if not hasattr(state, "dtype"):
            raise TypeError(f"a generator state is a tensor of bytes, got {brief(state)}")
        data = np.asarray(state)
        size = 48 if self.device == CPU else 16
        if data.dtype != np.uint8 or data.shape != (size,):
            raise RuntimeError(f"a generator state is {size} bytes of uint8, got {data.dtype} of shape {data.shape}")
        if self.device != CPU:
            self._seed, self._offset = map(int, np.ascontiguousarray(data).view(np.uint64))
            return self
        raw = data.tobytes()
        cut = [int.from_bytes(raw[a:b], "little") for a, b in ((0, 16), (16, 32), (32, 36), (36, 40), (40, 48))]
        if not cut[1] % 2 or cut[2] > 1:
            raise RuntimeError("these 48 bytes are no state of a generator: its increment is even, or it has more than "
                               "half a word left")
        self._bits.state = {"bit_generator": "PCG64", "state": {"state": cut[0], "inc": cut[1]},
                            "has_uint32": cut[2], "uinteger": cut[3]}
        self._seed = cut[4]
        return self


default_generator = Generator()
_of_cards: dict[Device, Generator] = {}


def generator_of(place: Device) -> Generator:
    """The default stream of a device. That of a GPU starts, when first used, from the seed of the CPU's."""
    if place == CPU:
        return default_generator
    if place not in _of_cards:
        _of_cards[place] = Generator(place).manual_seed(default_generator.initial_seed())
    return _of_cards[place]


def manual_seed(seed: int) -> Generator:
    """Start the default streams of all devices from `seed`, so that what follows can be repeated.

    >>> a = tn.manual_seed(0); x = tn.rand(3)
    >>> a = tn.manual_seed(0); tn.equal(x, tn.rand(3))
    True
    """
    for generator in _of_cards.values():
        generator.manual_seed(seed)
    return default_generator.manual_seed(seed)
