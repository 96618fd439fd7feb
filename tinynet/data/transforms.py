"""Transforms of images, a whole batch (N, C, H, W) at a time; random ones treat every image in its own way.

Call one with a batch, or give it to a loader, which then applies it to the first field of every batch, in its worker
threads if it has some:

    augment = Compose([RandomCrop(32, padding=4), RandomHorizontalFlip(), Normalize(mean, std)])
    loader = DataLoader(train, 128, shuffle=True, collate_fn=augment, num_workers=2)

Called directly, a random transform draws from the generator given, by default the one that `tn.manual_seed` seeds. A
loader gives each batch a stream of its own, seeded from the loader's generator, so that what comes does not depend on
the number of workers.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from tinynet.data.collate import default_collate
from tinynet.device import CPU
from tinynet.dtypes import Array
from tinynet.ops import from_numpy
from tinynet.random import Generator, default_generator
from tinynet.tensor import Tensor

__all__ = ["Compose", "Normalize", "RandomCrop", "RandomHorizontalFlip"]


class Transform:
    """What is done to a batch of images. A subclass writes `images(array, rng)`; array and result: (N, C, H, W)."""

    def __call__(self, batch: Any, generator: Generator | None = None) -> Any:
        """The images transformed; or, of a list of samples, the batch with its images transformed."""
        return self.first(batch if isinstance(batch, Tensor) else default_collate(batch), generator)

    def first(self, batch: Any, generator: Generator | None) -> Any:
        """The batch with its first field, the images, transformed."""
        if isinstance(batch, Tensor):
            return self.tensor(batch, generator or default_generator)
        if isinstance(batch, (list, tuple)) and batch and isinstance(batch[0], Tensor):
            return [self.first(batch[0], generator), *batch[1:]]
        raise TypeError(f"{type(self).__name__} takes images, or samples of which they are the first field; got "
                        f"{type(batch).__name__}: transform what you mean in a collate_fn of your own")

    def tensor(self, x: Tensor, generator: Generator) -> Tensor:
        """The images transformed."""
        name = type(self).__name__
        if x.ndim != 4:
            raise ValueError(f"{name} takes images of shape (N, C, H, W), got {x.shape}"
                             + (": a batch of one is x[None]" if x.ndim == 3 else ""))
        if x.device != CPU:
            raise RuntimeError(f"{name} works on the CPU, where data are read, got a tensor on {x.device}: transform "
                               "first, then move the batch")
        if x.requires_grad:
            raise RuntimeError(f"{name} works on data and keeps no gradient, got a tensor that requires grad: "
                               "use x.detach()")
        return from_numpy(self.images(x.array, generator.rng))

    def images(self, x: Array, rng: np.random.Generator) -> Array:
        """The images transformed, as arrays."""
        raise NotImplementedError(f"{type(self).__name__} must define images(self, x, rng)")


class Compose(Transform):
    """One transform after the other; any function of a tensor may be among them.

    >>> T = tn.data.transforms
    >>> T.Compose([T.RandomHorizontalFlip(p=1.0), tn.square])(tn.arange(3.).reshape(1, 1, 1, 3))
    tensor([[[[4., 1., 0.]]]])
    """

    def __init__(self, transforms: Sequence[Callable[[Tensor], Tensor]]) -> None:
        for t in transforms:
            if not callable(t):
                raise TypeError(f"Compose takes transforms and functions, got {type(t).__name__}: {t!r}")
        self.transforms = transforms

    def tensor(self, x: Tensor, generator: Generator) -> Tensor:
        """The images after all transforms."""
        for t in self.transforms:
            x = t.tensor(x, generator) if isinstance(t, Transform) else t(x)
        return x

    def __repr__(self) -> str:
        return "\n    ".join(["Compose(", *map(repr, self.transforms)]) + "\n)"


class Normalize(Transform):
    """(x − mean) / std, with a mean and a standard deviation for each channel.

    Raises ValueError when one is missing or a standard deviation is zero.

    >>> tn.data.transforms.Normalize([0.5], [0.25])(tn.ones(1, 1, 1, 2))
    tensor([[[[2., 2.]]]])
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        self.mean, self.std = mean, std
        self._mean, self._std = (np.asarray(v, np.float64).reshape(-1, 1, 1) for v in (mean, std))
        if not (self._std != 0).all():
            raise ValueError(f"Normalize divides by std, which has a zero: {std}")
        if len(self._mean) != len(self._std):
            raise ValueError(f"Normalize takes one mean and one std a channel, got mean={mean} and std={std}")

    def images(self, x: Array, rng: np.random.Generator) -> Array:
        """(x − mean) / std, in x's dtype."""
        if x.dtype.kind != "f":
            raise TypeError(f"Input tensor should be a float tensor. Got {x.dtype}: Normalize(...)(x.float())")
        if len(self._mean) not in (1, x.shape[1]):
            raise ValueError(f"Normalize has {len(self._mean)} means and stds, the images have {x.shape[1]} channels")
        y = x - self._mean.astype(x.dtype)
        y /= self._std.astype(x.dtype)
        return y

    def __repr__(self) -> str:
        return f"Normalize(mean={self.mean}, std={self.std})"


class RandomCrop(Transform):
    """From each image, with zeros around it, a piece of the given size, cut out wherever it falls.

    size: a side, or (height, width). padding, before the cut: one number for all sides, (left and right, top and
    bottom), or (left, top, right, bottom). Raises ValueError when the piece is larger than the padded image.

    >>> tn.data.transforms.RandomCrop(28, padding=2)(tn.zeros(10, 1, 28, 28)).shape
    (10, 1, 28, 28)
    """

    def __init__(self, size: int | Sequence[int], padding: int | Sequence[int] | None = None) -> None:
        self.size = _ints("size", size, 2)
        self.padding = padding
        sides = [0] if padding is None else _ints("padding", padding, 1, 2, 4)
        self._left, self._top, self._right, self._bottom = (*sides, *sides, *sides, *sides)[:4]
        if min(self.size) < 1 or min(sides) < 0:
            raise ValueError(f"RandomCrop takes a size above zero and a padding that is not negative, got size={size} "
                             f"and padding={padding}")

    def images(self, x: Array, rng: np.random.Generator) -> Array:
        """A window of each image."""
        x = np.pad(x, ((0, 0), (0, 0), (self._top, self._bottom), (self._left, self._right)))
        rows, columns = x.shape[2] - self.size[0] + 1, x.shape[3] - self.size[1] + 1
        if rows < 1 or columns < 1:
            raise ValueError(f"Required crop size {self.size} is larger than input image size {x.shape[2:]}, padding "
                             "included")
        n = np.arange(len(x))
        windows = sliding_window_view(x, self.size, axis=(2, 3))  # (N, C, rows, columns, height, width)
        return windows[n, :, rng.integers(rows, size=len(x)), rng.integers(columns, size=len(x))]

    def __repr__(self) -> str:
        return f"RandomCrop(size={self.size}, padding={self.padding})"


class RandomHorizontalFlip(Transform):
    """Each image, as in a mirror with probability p.

    >>> tn.data.transforms.RandomHorizontalFlip(p=1.0)(tn.arange(3.).reshape(1, 1, 1, 3))
    tensor([[[[2., 1., 0.]]]])
    """

    def __init__(self, p: float = 0.5) -> None:
        if not 0 <= p <= 1:
            raise ValueError(f"p is a probability, between 0 and 1; got {p}")
        self.p = p

    def images(self, x: Array, rng: np.random.Generator) -> Array:
        """Some of them flipped."""
        flipped = rng.random(len(x)) < self.p
        y = x.copy()
        y[flipped] = x[flipped][..., ::-1]
        return y

    def __repr__(self) -> str:
        return f"RandomHorizontalFlip(p={self.p})"


def _ints(name: str, value: Any, *lengths: int) -> tuple[int, ...]:
    """An int, as often as the first length says, or a sequence of one of the lengths."""
    values = (value,) * lengths[0] if isinstance(value, int) else tuple(value) if isinstance(value, Sequence) else ()
    if len(values) not in lengths or not all(isinstance(v, int) for v in values):
        counts = " or ".join(str(n) for n in lengths if n > 1)
        raise ValueError(f"RandomCrop takes an int or {counts} ints as {name}, got {value!r}")
    return values
