"""Products inside a kernel: all panels of a matrix, one after the other, packed or where it lies."""
from __future__ import annotations

from .compiler import jit
from .matmul import pack
from .panel import panel
from .vector import at, lanes


@jit
def product(count, columns, length, a, rows, taps, b, apart, pitch, c, places, start, bias):
    """c = A b (+ c, or + bias), as `panel` does, for any number of columns; so many numbers `apart` lie in b what
    belongs to one column and what to the next. All are pointers, or arrays."""
    wide = 2 * lanes(a)
    for column in range(0, columns, wide):
        panel(count, min(wide, columns - column), length, a, at(rows, 0), at(taps, 0), at(b, column * apart), pitch,
              at(c, column), at(places, 0), start, at(bias, column), 0)


@jit
def pack_panels(b, start, down, right, depth, first, columns, out):
    """The panels of b from column `first` on, side by side: for `product` they are `depth` apart."""
    wide = 2 * lanes(b)
    for column in range(first, columns, wide):
        pack(b, start + column * right, down, right, depth, min(wide, columns - column), at(out, column * depth))
