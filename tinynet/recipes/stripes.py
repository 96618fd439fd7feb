"""Images that are made when they are needed, of up to a thousand classes."""
from __future__ import annotations

import colorsys
from typing import Any

import numpy as np

import tinynet as tn


class Stripes(tn.data.Dataset):
    """Generated images, 3 x side x side in [0, 1]: the digits of the class's number are the width, the colour and the
    direction of stripes; their place is random, and there is noise. The k-th is the same at every time.

    >>> from tinynet.recipes.stripes import Stripes
    >>> image, label = Stripes(10, classes=3)[4]
    >>> image.shape, label
    ((3, 224, 224), 1)
    """

    def __init__(self, samples: int, classes: int, first: int = 0, side: int = 224) -> None:
        if samples < 1 or not 1 <= classes <= 1000:
            raise ValueError(f"there must be 1 or more images, of 1 to 1000 classes; got {samples} of {classes}")
        self.samples, self.first, self.side = samples, first, side
        self.classes = [str(k) for k in range(classes)]

    def __len__(self) -> int:
        return self.samples

    def __getitem__(self, index: int) -> tuple[Any, int]:
        if not 0 <= index < self.samples:
            raise IndexError(f"there are {self.samples} images, there is no number {index}")
        number = self.first + index
        rng, label = np.random.default_rng(number), number % len(self.classes)
        width, colour, direction = label // 100, label // 10 % 10, label % 10
        angle, period = np.pi * direction / 10, 8 * 1.35 ** width
        y, x = np.mgrid[:self.side, :self.side]
        wave = np.sin(2 * np.pi * ((x * np.cos(angle) + y * np.sin(angle)) / period + rng.random()))
        stripes = np.multiply.outer(colorsys.hsv_to_rgb(colour / 10, 0.8, 1.0), 0.5 + 0.4 * wave)
        noisy = stripes + rng.normal(0, 0.1, stripes.shape)
        return tn.from_numpy(np.clip(noisy, 0, 1).astype(np.float32)), label
