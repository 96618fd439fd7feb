"""Where random numbers come from: on the CPU NumPy's PCG64, on each GPU a Philox, whose numbers are made there."""
from __future__ import annotations

import math
from typing import Any

from tinynet import kernels
from tinynet.device import CPU, array_module, located
from tinynet.device import device as Device
from tinynet.dtypes import Array, DType, float32, float64, int64
from tinynet.random import Generator, generator_of

Shape = tuple[int, ...]


def stream(generator: Any, place: Device | str | None = None) -> Any:
    """The generator's stream of numbers, which come as arrays on the device; None means the device's default one."""
    place = CPU if place is None else located(Device(place))
    if generator is None:
        generator = generator_of(place)
    elif not isinstance(generator, Generator):
        raise TypeError(f"argument 'generator' must be tn.Generator, not {type(generator).__name__}")
    elif generator.device.type != place.type:
        raise RuntimeError(f"Expected a '{place.type}' device type for generator but found '{generator.device.type}': "
                           f"make it by tn.Generator('{place.type}')")
    return generator.rng if place == CPU else Philox(generator, array_module(place))


class Philox:
    """What is used here of NumPy's Generator, made of the words that the kernel `philox` computes for the generator's
    seed, from where it stands."""

    def __init__(self, generator: Generator, xp: Any) -> None:
        self.generator, self.xp = generator, xp

    def take(self, count: int) -> tuple[int, Any]:
        """Leave the next words to another, who draws them: the seed, and where in the stream they are."""
        return self.generator.initial_seed(), self.generator.advance(-(-count // 4))

    def _words(self, count: int) -> Array:
        """The next words, as uint32."""
        seed, offset = self.take(count)
        return kernels.run("philox", self.xp, seed=seed, offset=offset, blocks=-(-count // 4)).reshape(-1)[:count]

    def _long_words(self, count: int) -> Array:
        """The same, two by two, as uint64."""
        high, low = self._words(2 * count).reshape(2, count).astype("uint64")
        return (high << 32) | low

    def random(self, shape: Shape, dtype: DType = float64) -> Array:
        """Uniform in [0, 1): as many of a word's first bits as the dtype holds exactly."""
        if dtype == float32:
            return ((self._words(math.prod(shape)) >> 8).astype(float32) * 2.0**-24).reshape(shape)
        return ((self._long_words(math.prod(shape)) >> 11).astype(float64) * 2.0**-53).reshape(shape)

    def standard_normal(self, shape: Shape, dtype: DType = float64) -> Array:
        """A point of a uniform angle and the distance √(-2 log u) has normal coordinates (Box & Muller 1958)."""
        xp, count = self.xp, math.prod(shape)
        half = -(-count // 2)
        u, angle = self.random((2, half), dtype)
        distance = xp.sqrt(xp.log1p(-u) * -2)  # 1 - u is never 0
        angle = angle * (2 * math.pi)
        return xp.concatenate([distance * xp.cos(angle), distance * xp.sin(angle)])[:count].reshape(shape)

    def standard_exponential(self, shape: Shape, dtype: DType = float64) -> Array:
        """-log(1 - u), for u uniform in [0, 1)."""
        return -self.xp.log1p(-self.random(shape, dtype))

    def integers(self, low: int, high: int, shape: Shape, dtype: DType = int64) -> Array:
        """Whole numbers in [low, high): words of 64 bits modulo their number; how they lean is not to be seen."""
        words = self._long_words(math.prod(shape))
        if high - low < 2**64:
            words = words % self.xp.uint64(high - low)
        return (words.view(int64) + low).astype(dtype).reshape(shape)

    def permutation(self, n: int) -> Array:
        """The numbers 0 to n - 1 in random order: that of n random words."""
        return self.xp.argsort(self._long_words(n))
