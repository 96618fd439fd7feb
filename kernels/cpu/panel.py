"""The loop at the heart of every matrix product and convolution here.

    for p in range(count):
        for n in range(columns):
            c[places[p] + n] = Σ_k a[rows[p] + taps[k]] · b[k · pitch + n]

is a product of a matrix A and a narrow one, b. A is not stored as a matrix: two tables of offsets say where its
elements lie in a. A table of rows and one of taps make a matrix product (rows[p] = p · width, taps[k] = k), a
transposed one (the tables exchanged), a convolution (rows: where each pixel's patch begins; taps: the steps inside a
patch, so no matrix of patches is ever written), and the gradient of its weights (the same two tables, exchanged).

Why it is fast. The sums of a tile, 8 rows by 2 registers of columns, stay in registers for the whole loop over k. Each
step reads 2 registers of b and 8 single numbers of a, and uses each of them several times: 16 multiply-adds, which is
what a processor does while it reads those ten. (Such a loop that read two numbers for each multiply-add would wait for
memory.) On one thread it keeps up with the libraries that others call for this.

The loop is compiled once, as a C function that the kernels call: as a part of each of them it would be compiled again
for each, which takes longer than all the rest of a kernel.
"""
from __future__ import annotations

import functools
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, register_model

from .compiler import c_function, jit
from .vector import (
    REGISTERS,
    InRegisters,
    Vector,
    at,
    constant,
    first_lanes,
    lanes,
    load_lanes,
    multiply_add,
    splat_number,
    store_lanes,
)

FROM_ZERO, FROM_C, FROM_BIAS = 0, 1, 2  # what the sums start from
TALL = 8 if REGISTERS == 32 else 6  # rows of a tile: its sums, 2 registers a row, and 3 more must all find room
LOW = TALL // 2  # rows of the tile for what is left over
DEEP = 192  # rows of b, at most, that all tiles are multiplied with in turn: 2 registers wide, in the fastest cache
_I64 = ir.IntType(64)


# ---- a tile of sums, as a type
class Tile(types.Type):
    """height × width vectors. ragged: only some lanes of the last vector in each row are wanted."""

    def __init__(self, element: Any, height: int, width: int, ragged: bool) -> None:
        self.vector, self.height, self.width, self.ragged = Vector(element), height, width, ragged
        self.llvm = ir.ArrayType(ir.ArrayType(self.vector.llvm, width), height)
        super().__init__(f"Tile({height} x {width} x {self.vector}, ragged={ragged})")

    def each(self) -> list[tuple[int, int]]:
        return [(p, n) for p in range(self.height) for n in range(self.width)]

    def vectors(self, builder: Any, row: Any, columns: Any) -> list[tuple[Any, Any]]:
        """For each vector of a row that begins at a pointer: its pointer, and the mask if it is not whole."""
        lanes = self.vector.lanes
        pointers = [builder.gep(row, [ir.Constant(_I64, n * lanes)]) for n in range(self.width)]
        masks = [None] * self.width
        if self.ragged:
            rest = builder.sub(columns, ir.Constant(_I64, (self.width - 1) * lanes))
            masks[-1] = first_lanes(builder, self.vector, rest)
        return list(zip(pointers, masks, strict=True))


register_model(Tile)(InRegisters)


@intrinsic(prefer_literal=True)
def zeros(typing, like, height, width, ragged):
    """A tile of zeros, of like's elements."""
    tile = Tile(like.dtype, height.literal_value, width.literal_value, bool(ragged.literal_value))
    return tile(like, height, width, ragged), lambda *arguments: ir.Constant(tile.llvm, None)


@intrinsic
def offsets(typing, tile, table, count):
    """(table[0], …), one for each row of the tile. A table of fewer repeats its last: the tile then computes its last
    row several times over, and writes it several times to the same place, which is right and costs nothing."""
    height = tile.height

    def generate(context, builder, signature, arguments):
        _, start, count = arguments
        last, found = builder.sub(count, ir.Constant(_I64, 1)), []
        for p in range(height):
            row = ir.Constant(_I64, p)
            row = builder.select(builder.icmp_signed("<", row, last), row, last)
            found.append(builder.load(builder.gep(start, [row])))
        return context.make_tuple(builder, signature.return_type, found)
    return types.UniTuple(types.intp, height)(tile, table, count), generate


@intrinsic
def load_rows(typing, tile, c, places, columns):
    """The tile with c[places[p] + n]."""
    def generate(context, builder, signature, arguments):
        sums, c, places, columns = arguments
        for p in range(tile.height):
            row = builder.gep(c, [builder.extract_value(places, p)])
            for n, (pointer, mask) in enumerate(tile.vectors(builder, row, columns)):
                sums = builder.insert_value(sums, load_lanes(builder, tile.vector, pointer, mask), (p, n))
        return sums
    return tile(tile, c, places, columns), generate


@intrinsic
def store_rows(typing, tile, c, places, columns):
    """c[places[p] + n] = the tile"""
    def generate(context, builder, signature, arguments):
        sums, c, places, columns = arguments
        for p in range(tile.height):
            row = builder.gep(c, [builder.extract_value(places, p)])
            for n, (pointer, mask) in enumerate(tile.vectors(builder, row, columns)):
                store_lanes(builder, tile.vector, builder.extract_value(sums, (p, n)), pointer, mask)
        return context.get_dummy_value()
    return types.void(tile, c, places, columns), generate


@intrinsic
def add_products(typing, tile, a, rows, b, columns):
    """The tile plus a[rows[p]] · b[n]: one column of A times one row of b. This is all the arithmetic there is."""
    def generate(context, builder, signature, arguments):
        sums, a, rows, b, columns = arguments
        right = [load_lanes(builder, tile.vector, *where) for where in tile.vectors(builder, b, columns)]
        for p in range(tile.height):
            number = builder.load(builder.gep(a, [builder.extract_value(rows, p)]))
            left = splat_number(builder, tile.vector.llvm, number)
            for n in range(tile.width):
                more = multiply_add(builder, tile.vector, left, right[n], builder.extract_value(sums, (p, n)))
                sums = builder.insert_value(sums, more, (p, n))
        return sums
    return tile(tile, a, rows, b, columns), generate


@intrinsic
def rectified(typing, tile):
    """max(sums, 0); NaN is not less than 0 and stays."""
    def generate(context, builder, signature, arguments):
        (sums,), zero = arguments, constant(tile.vector.llvm, 0.0)
        for place in tile.each():
            x = builder.extract_value(sums, place)
            sums = builder.insert_value(sums, builder.select(builder.fcmp_ordered("<", x, zero), zero, x), place)
        return sums
    return tile(tile), generate


# ---- the loop
def tile_loop(height: int, width: int, ragged: bool) -> Any:
    """The loop over k for tiles of one size. It is a constant to the compiler, so that every sum gets a register."""
    same = (0,) * height

    @jit
    def loop(columns, count, length, a, rows, taps, b, pitch, c, places, start, bias, relu):
        sums = zeros(a, height, width, ragged)
        row, place = offsets(sums, rows, count), offsets(sums, places, count)
        if start == FROM_C:
            sums = load_rows(sums, c, place, columns)
        elif start == FROM_BIAS:
            sums = load_rows(sums, bias, same, columns)
        for k in range(length):
            sums = add_products(sums, at(a, taps[k]), row, at(b, k * pitch), columns)
        if relu:
            sums = rectified(sums)
        store_rows(sums, c, place, columns)
    return loop


_tall_2, _tall_1 = tile_loop(TALL, 2, False), tile_loop(TALL, 1, False)
_tall_2r, _tall_1r = tile_loop(TALL, 2, True), tile_loop(TALL, 1, True)
_low_2r, _low_1r = tile_loop(LOW, 2, True), tile_loop(LOW, 1, True)


def _panel(count, columns, length, a, rows, taps, b, pitch, c, places, start, bias, relu):
    stretches = max(1, (length + DEEP - 1) // DEEP)
    deep, k = (length + stretches - 1) // stretches, 0
    for stretch in range(stretches):
        last = stretch == stretches - 1
        _tiles(count, columns, length - k if last else deep, a, rows, at(taps, k), at(b, k * pitch), pitch, c, places,
               FROM_C if k else start, bias, relu and last)
        k += deep


@jit
def _tiles(count, columns, length, a, rows, taps, b, pitch, c, places, start, bias, relu):
    p, w = 0, lanes(c)
    while p < count:
        left = count - p
        r, q = at(rows, p), at(places, p)
        if left <= LOW:
            if columns > w:
                _low_2r(columns, left, length, a, r, taps, b, pitch, c, q, start, bias, relu)
            else:
                _low_1r(columns, left, length, a, r, taps, b, pitch, c, q, start, bias, relu)
        elif columns == 2 * w:
            _tall_2(columns, left, length, a, r, taps, b, pitch, c, q, start, bias, relu)
        elif columns > w:
            _tall_2r(columns, left, length, a, r, taps, b, pitch, c, q, start, bias, relu)
        elif columns == w:
            _tall_1(columns, left, length, a, r, taps, b, pitch, c, q, start, bias, relu)
        else:
            _tall_1r(columns, left, length, a, r, taps, b, pitch, c, q, start, bias, relu)
        p += TALL


# ---- as a C function
def _symbol(element: Any) -> str:
    return f"tinynet.panel.{element}"


@intrinsic
def panel(typing, count, columns, length, a, rows, taps, b, pitch, c, places, start, bias, relu):
    """c[places[p] + n] = Σ_k a[rows[p] + taps[k]] · b[k · pitch + n], for p < count, n < columns ≤ 2 lanes(c), k <
    length.

    a, b, c, bias, rows, taps, places: pointers, the last three to int64. start: whether the sum begins at zero, at
    what c holds, or at bias[n]. relu: max(c, 0) at the end."""
    size = types.intp
    signature = types.void(size, size, size, a, rows, taps, b, size, c, places, size, bias, size)

    def generate(context, builder, signature, arguments):
        kind = ir.FunctionType(ir.VoidType(), [x.type for x in arguments])
        function = cgutils.get_or_insert_function(builder.module, kind, _symbol(a.dtype))
        builder.call(function, arguments)
        return context.get_dummy_value()
    return signature, generate


@functools.cache
def prepare_for(element: Any) -> None:
    """Compile the loop for a type of numbers, or find it on disk, before a kernel that calls it."""
    if element in (types.float32, types.float64):
        numbers, table, size = types.CPointer(element), types.CPointer(types.intp), types.intp
        c_function(_panel, _symbol(element),
                   (size, size, size, numbers, table, table, numbers, size, numbers, table, size, numbers, size))


panel.prepare_for = prepare_for
