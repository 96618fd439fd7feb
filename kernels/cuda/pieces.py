"""How normalization sees an array: which numbers share a mean, which a weight, and the pieces that norm.cu reads."""
from __future__ import annotations

import math
from typing import Any, NamedTuple

Shape = tuple[int, ...]
MOST, OF_COLUMN = 8192, 128  # numbers that a block holds of a run, and of each of 32 columns
MOST_RUNS = 8192  # that share a mean


class View(NamedTuple):
    """Runs of `size` numbers each, which are neighbours in memory, or columns. All of a run have the same mean and the
    same weight, that of number run // each % count; but in "rows" each number has its own weight."""

    kind: str  # "rows", "runs" or "columns"
    runs: int
    size: int
    mean_each: int = 1
    mean_count: int = 1
    weight_each: int = 1
    weight_count: int = 1

    @property
    def slices(self) -> int:
        """How many pieces a run is cut into."""
        return -(-self.size // (OF_COLUMN if self.kind == "columns" else MOST))

    @property
    def length(self) -> int:
        """Numbers of a piece; the last of a run may have fewer."""
        return -(-self.size // self.slices)

    @property
    def groups(self) -> int:
        """How many pieces a block takes."""
        return 32 if self.kind == "columns" else 8 if self.length <= 1024 else 1

    @property
    def ending(self) -> str:
        """That of the names of the kernels for such pieces."""
        return self.kind if self.kind == "columns" else str(next(n for n in (128, 1024, MOST) if self.length <= n))

    @property
    def grid(self) -> Shape:
        """Blocks for all pieces."""
        blocks = -(-self.runs // 32), -(-self.runs * self.slices // self.groups)
        return (self.slices, blocks[0]) if self.kind == "columns" else blocks[1:]

    def cut(self) -> dict[str, Any]:
        """What a kernel must know."""
        return {"runs": self.runs, "size": self.size, "slices": self.slices, "length": self.length,
                "mean_each": self.mean_each, "mean_count": self.mean_count, "weight_each": self.weight_each,
                "weight_count": self.weight_count}

    def joined(self, each: int, count: int) -> dict[str, Any]:
        """Where the pieces lie that share one of `count` means or weights: so many are neighbours (near), and the next
        as many follow further on (far)."""
        pieces = self.runs * self.slices
        near = each * self.slices
        if self.kind == "columns":  # a piece of each column, then the next of each
            near = 1 if count == self.runs else pieces
        return {"count": count, "near": near, "far": count * near, "pieces": pieces // count}


def view_of(x: Any, dim: Shape, *parameters: Shape | None) -> View:
    """How x is seen, with the axes dim normalized, and a weight and a bias of these shapes (None: there is none).
    ValueError, which says why, if that is not for these kernels."""
    places = {_place(shape, x.shape) for shape in parameters if shape is not None}
    if len(places) > 1 or None in places:
        raise ValueError("takes a weight and a bias of one shape, that of some neighbouring axes")
    inner, count = next(iter(places), None) or (x.size, 1)  # the weight of the i-th number: i // inner % count
    if dim == tuple(range(x.ndim - len(dim), x.ndim)):
        run = math.prod(x.shape[d] for d in dim)
        means = x.size // run
        if run <= MOST and (not places or (inner, count) == (1, run)):
            return View("rows", means, run)
    elif dim == (0, *range(2, x.ndim)):
        run, means = math.prod(x.shape[2:]), x.shape[1]
        if (run == 1 or channels_last(x)) and (count == 1 or (inner, count) == (run, means)):
            return View("columns", means, x.size // means, mean_count=means, weight_count=count)
    else:
        raise ValueError("takes rows to be normalized, or all axes but the second")
    size = min(run, inner)
    if run // size > MOST_RUNS:
        raise ValueError(f"takes at most {MOST_RUNS:,} weights to a mean, or rows of {MOST:,} numbers")
    return View("runs", x.size // size, size, run // size, means, inner // size, count)


def channels_last(x: Any) -> bool:
    """Do the channels, axis 1, lie side by side in memory?"""
    return x.ndim > 2 and not x.flags.c_contiguous and x.transpose(0, *range(2, x.ndim), 1).flags.c_contiguous


def _place(shape: Shape, of: Shape) -> tuple[int, int] | None:
    """For a shape that is ones, then sizes of x's, then ones: after how many numbers of x the next one of its own
    follows, and how many it has. Else None."""
    shape = (1,) * (len(of) - len(shape)) + shape
    wide = [k for k, n in enumerate(shape) if n > 1]
    if not wide:
        return math.prod(of), 1
    first, end = wide[0], wide[-1] + 1
    return (math.prod(of[end:]), math.prod(shape)) if shape[first:end] == of[first:end] else None
