"""Layers that put images on another grid."""

from __future__ import annotations

from typing import Any

from tinynet.nn import functional as F
from tinynet.nn.module import Module
from tinynet.tensor import Tensor


class Upsample(Module):
    """Images (N, C, L), (N, C, H, W) or (N, C, D, H, W) of another size, or scale_factor times as large: see
    F.interpolate, of which mode "nearest", "linear", "bilinear", "trilinear" and "bicubic" are the usual ones.

    >>> tn.nn.Upsample(scale_factor=2)(tn.tensor([[[1., 2.]]]))
    tensor([[[1., 1., 2., 2.]]])
    """

    def __init__(
        self,
        size: Any = None,
        scale_factor: Any = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:
        super().__init__()
        self.name, self.size, self.mode = type(self).__name__, size, mode
        self.scale_factor: Any = None
        if isinstance(scale_factor, tuple):
            self.scale_factor = tuple(float(factor) for factor in scale_factor)
        elif scale_factor:
            self.scale_factor = float(scale_factor)
        self.align_corners, self.recompute_scale_factor = align_corners, recompute_scale_factor

    def forward(self, input: Tensor) -> Tensor:
        """The resized images."""
        return F.interpolate(
            input, self.size, self.scale_factor, self.mode, self.align_corners, self.recompute_scale_factor
        )

    def extra_repr(self) -> str:
        """The factor or the size, and the mode."""
        factor = self.scale_factor is not None
        grid = f"scale_factor={self.scale_factor!r}" if factor else f"size={self.size!r}"
        return f"{grid}, mode={self.mode!r}"


class PixelShuffle(Module):
    """Each pixel's channels, r² at a time, as r × r pixels: (…, C r², H, W) becomes (…, C, H r, W r). Shi et al.,
    2016.

    >>> tn.nn.PixelShuffle(2)(tn.zeros(1, 8, 5, 5)).shape
    (1, 2, 10, 10)
    """

    def __init__(self, upscale_factor: int) -> None:
        super().__init__()
        self.upscale_factor = upscale_factor

    def forward(self, input: Tensor) -> Tensor:
        """The larger images of fewer channels."""
        return F.pixel_shuffle(input, self.upscale_factor)

    def extra_repr(self) -> str:
        """The factor."""
        return f"upscale_factor={self.upscale_factor}"


class PixelUnshuffle(Module):
    """What PixelShuffle undoes: (…, C, H r, W r) becomes (…, C r², H, W).

    >>> tn.nn.PixelUnshuffle(2)(tn.zeros(1, 2, 10, 10)).shape
    (1, 8, 5, 5)
    """

    def __init__(self, downscale_factor: int) -> None:
        super().__init__()
        self.downscale_factor = downscale_factor

    def forward(self, input: Tensor) -> Tensor:
        """The smaller images of more channels."""
        return F.pixel_unshuffle(input, self.downscale_factor)

    def extra_repr(self) -> str:
        """The factor."""
        return f"downscale_factor={self.downscale_factor}"
