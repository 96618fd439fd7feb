"""How a window slides over images: the geometry that convolution and pooling share."""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Pair = tuple[int, int]


def output_size(image: int, size: int, stride: int, padding: int, dilation: int = 1,
                ceil_mode: bool = False) -> int:
    """How many windows fit along an axis of a padded image. ceil_mode: the last one may hang over the end, if
    it starts inside the image or the padding before it."""
    room = image + 2 * padding - dilation * (size - 1) - 1
    if not ceil_mode:
        return room // stride + 1
    count = -(-room // stride) + 1
    return count - 1 if (count - 1) * stride >= image + padding else count


def image_size(out: int, size: int, stride: int, padding: int, dilation: int = 1) -> int:
    """The smallest image along whose axis so many windows fit."""
    return (out - 1) * stride + dilation * (size - 1) + 1 - 2 * padding


class Windows:
    """Windows of `size` (rows, columns) over images of `image` (rows, columns). There are `out` of them."""

    def __init__(self, image: Pair, size: Pair, stride: Pair, padding: Pair, dilation: Pair = (1, 1),
                 ceil_mode: bool = False) -> None:
        self.image, self.size = image, size
        self.stride, self.padding, self.dilation = stride, padding, dilation
        axes = zip(image, size, stride, padding, dilation, strict=True)
        self.out = tuple(output_size(*axis, ceil_mode) for axis in axes)

    def starts(self, xp: Any, axis: int) -> Any:
        """The row (axis 0) or column (1) of the image where each window starts: negative in the border."""
        return xp.arange(self.out[axis]) * self.stride[axis] - self.padding[axis]

    def inside(self, xp: Any, axis: int) -> Any:
        """The first row (axis 0) or column (1) that each window meets inside the image."""
        first, d = self.starts(xp, axis), self.dilation[axis]
        first = xp.where(first < 0, first % d, first)
        return xp.minimum(first, self.image[axis] - 1)  # a wide dilation may step over the whole image

    def border(self, axis: int) -> Pair:
        """How far windows reach before the image and after it."""
        before, d = self.padding[axis], self.dilation[axis]
        end = (self.out[axis] - 1) * self.stride[axis] + d * (self.size[axis] - 1) + 1 - before
        return before, max(end - self.image[axis], 0)

    def pad(self, xp: Any, x: Any, fill: Any = 0) -> Any:
        """Images (N, C, H, W) with their border."""
        border = self.border(0), self.border(1)
        if border == ((0, 0), (0, 0)):
            return x
        return xp.pad(x, ((0, 0), (0, 0), *border), constant_values=fill)

    def blank(self, xp: Any, lead: Pair, dtype: Any) -> Any:
        """Images (*lead, H, W) of zeros, with their border."""
        return xp.zeros((*lead, *(self.image[axis] + sum(self.border(axis)) for axis in (0, 1))), dtype)

    def crop(self, xp: Any, padded: Any) -> Any:
        """The images without their border."""
        (h, w), (top, left) = self.image, self.padding
        return xp.ascontiguousarray(padded[:, :, top:top + h, left:left + w])

    def taps(self, padded: Any) -> Iterator[tuple[int, int, Any]]:
        """For each element (i, j) of the window, the pixels it meets in all windows: a view (N, C, *out) of
        `padded`, to read from or to add to."""
        (kh, kw), (sh, sw), (dh, dw), (rows, columns) = self.size, self.stride, self.dilation, self.out
        for i in range(kh):
            for j in range(kw):
                yield i, j, padded[:, :, i * dh:, j * dw:][:, :, :rows * sh:sh, :columns * sw:sw]
