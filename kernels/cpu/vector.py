"""Vectors: numbers side by side in one register, as a type that Numba understands.

A processor multiplies sixteen float32 as fast as one if they lie in one of its vector registers. A compiler finds such
work in simple loops only, so the kernels here say what they mean: `x = load(a, i)` reads a whole register from array a,
`x * y + z` is three registers at work, `store(a, i, x)` writes one back. Nothing else in the kernels knows how wide a
register is; `lanes(a)` is how many numbers of a's dtype fit, 16, 8 or 4 float32 by processor, half as many float64.

Each operation below tells Numba two things: the type of its result, and the instruction of the compiler underneath
(LLVM) that computes it.
"""
from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.registry import cpu_target
from numba.core.typing.templates import AbstractTemplate, infer_global
from numba.extending import intrinsic, lower_builtin, models, register_model

_FEATURES = cpu_target.target_context.codegen().magic_tuple()[2].split(",")
BYTES = 64 if "+avx512f" in _FEATURES else 32 if "+avx" in _FEATURES else 16  # of a register
MASKED_LOADS_ARE_FREE = "+avx512f" in _FEATURES  # elsewhere they are slower than whole ones
ROOTS_ARE_ESTIMATED = "+avx512f" in _FEATURES
REGISTERS = 32 if "+avx512f" in _FEATURES or "+neon" in _FEATURES else 16

_I32, _I64 = ir.IntType(32), ir.IntType(64)
_ELEMENTS = {types.float32: ir.FloatType(), types.float64: ir.DoubleType()}
_INTEGERS = {types.float32: ir.IntType(32), types.float64: ir.IntType(64)}
# What the compiler may change in sums and products: contract a product and a sum to one instruction, and no more. NaN
# and infinity must come out as they do in NumPy.
_FLAGS = ("contract", "nsz")


# ---- the types
class Vector(types.Type):
    """As many numbers of an element type as fit a register."""

    def __init__(self, element: Any) -> None:
        self.element = element
        self.lanes = 8 * BYTES // element.bitwidth
        self.llvm = ir.VectorType(_ELEMENTS[element], self.lanes)
        super().__init__(f"Vector({self.lanes} x {element})")


class Mask(types.Type):
    """A truth value for each lane of a vector."""

    def __init__(self, vector: Vector) -> None:
        self.vector = vector
        self.llvm = ir.VectorType(ir.IntType(1), vector.lanes)
        super().__init__(f"Mask({vector})")


class InRegisters(models.PrimitiveModel):
    """To Numba's question what a value of such a type is in the compiler underneath."""

    def __init__(self, manager, kind):
        super().__init__(manager, kind, kind.llvm)


register_model(Vector)(InRegisters)
register_model(Mask)(InRegisters)


def vector_of(a: Any) -> Vector:
    """The type of a register full of a's elements; a: the type of an array, a pointer or a vector."""
    return a if isinstance(a, Vector) else Vector(a.dtype)


# ---- what LLVM is told
def constant(kind: Any, number: Any) -> Any:
    """The same number in every lane of an LLVM vector type."""
    return ir.Constant(kind, [number] * kind.count)


def splat_number(builder: Any, kind: Any, number: Any) -> Any:
    """A number, known only when it runs, in every lane."""
    undefined = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(undefined, number, ir.Constant(_I32, 0))
    return builder.shuffle_vector(first, undefined, constant(ir.VectorType(_I32, kind.count), 0))


def call(builder: Any, name: str, result: Any, *arguments: Any) -> Any:
    """One of LLVM's own functions, for which processors mostly have an instruction."""
    kind = ir.FunctionType(result, [a.type for a in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)


def suffix(vector: Vector) -> str:
    """How LLVM marks a function's name with the type it is for."""
    return f"v{vector.lanes}f{vector.element.bitwidth}"


def load_lanes(builder: Any, vector: Vector, pointer: Any, mask: Any = None, other: Any = None) -> Any:
    """The numbers at a pointer. Those outside the mask are not touched; there the lanes are those of `other`, or 0."""
    pointer = builder.bitcast(pointer, vector.llvm.as_pointer())
    size = vector.element.bitwidth // 8
    if mask is None:
        return builder.load(pointer, align=size)
    return call(builder, f"llvm.masked.load.{suffix(vector)}.p0", vector.llvm,
                pointer, ir.Constant(_I32, size), mask, other or constant(vector.llvm, 0.0))


def store_lanes(builder: Any, vector: Vector, value: Any, pointer: Any, mask: Any = None) -> None:
    """Write the numbers, or those inside the mask, to a pointer."""
    pointer = builder.bitcast(pointer, vector.llvm.as_pointer())
    size = vector.element.bitwidth // 8
    if mask is None:
        builder.store(value, pointer, align=size)
    else:
        call(builder, f"llvm.masked.store.{suffix(vector)}.p0", ir.VoidType(),
             value, pointer, ir.Constant(_I32, size), mask)


def first_lanes(builder: Any, vector: Vector, count: Any) -> Any:
    """The mask of the first `count` lanes."""
    numbers = ir.VectorType(_I64, vector.lanes)
    return builder.icmp_signed("<", ir.Constant(numbers, list(range(vector.lanes))),
                               splat_number(builder, numbers, count))


def all_lanes(builder: Any, vector: Vector, count: Any) -> Any:
    """Whether `count` lanes are all there are."""
    return builder.icmp_signed(">=", count, ir.Constant(_I64, vector.lanes))


def multiply_add(builder: Any, vector: Vector, x: Any, y: Any, z: Any) -> Any:
    """x y + z, in one instruction where the processor has one."""
    return call(builder, f"llvm.fmuladd.{suffix(vector)}", vector.llvm, x, y, z)


def start_of(context: Any, builder: Any, kind: Any, a: Any) -> Any:
    """The pointer to the first element of an array; a pointer is one."""
    return context.make_array(kind)(context, builder, a).data if isinstance(kind, types.Array) else a


# ---- memory. a is a 1-d array without gaps, or a pointer into one; nobody checks that i is inside
@intrinsic
def at(typing, a, i):
    """The pointer to a[i]."""
    def generate(context, builder, signature, arguments):
        return builder.gep(start_of(context, builder, signature.args[0], arguments[0]), [arguments[1]])
    return types.CPointer(a.dtype)(a, types.intp), generate


@intrinsic
def lanes(typing, a):
    """How many of a's numbers fit a register. Known to the compiler."""
    return types.intp(a), lambda context, builder, signature, arguments: ir.Constant(_I64, vector_of(a).lanes)


@intrinsic
def load(typing, a, i):
    """a[i : i + lanes(a)]"""
    def generate(context, builder, signature, arguments):
        start = start_of(context, builder, signature.args[0], arguments[0])
        return load_lanes(builder, signature.return_type, builder.gep(start, [arguments[1]]))
    return vector_of(a)(a, types.intp), generate


@intrinsic
def load_else(typing, a, i, count, other):
    """a[i : i + count], then what the vector `other` has there. For a register that hangs over the end of a row: no
    other memory is read."""
    vector = vector_of(a)

    def generate(context, builder, signature, arguments):
        start = start_of(context, builder, signature.args[0], arguments[0])
        _, i, count, other = arguments
        pointer, mask = builder.gep(start, [i]), first_lanes(builder, vector, count)
        if MASKED_LOADS_ARE_FREE:
            return load_lanes(builder, vector, pointer, mask, other)
        result = cgutils.alloca_once(builder, vector.llvm)
        with builder.if_else(all_lanes(builder, vector, count)) as (whole, ragged):
            with whole:
                builder.store(load_lanes(builder, vector, pointer), result)
            with ragged:
                builder.store(load_lanes(builder, vector, pointer, mask, other), result)
        return builder.load(result)
    return vector(a, types.intp, types.intp, vector), generate


@intrinsic
def store(typing, a, i, x):
    """a[i : i + lanes(a)] = x"""
    def generate(context, builder, signature, arguments):
        start = start_of(context, builder, signature.args[0], arguments[0])
        store_lanes(builder, x, arguments[2], builder.gep(start, [arguments[1]]))
        return context.get_dummy_value()
    return types.void(a, types.intp, x), generate


@intrinsic
def store_some(typing, a, i, x, count):
    """a[i : i + count] = the first of x; no other memory is written."""
    def generate(context, builder, signature, arguments):
        start = start_of(context, builder, signature.args[0], arguments[0])
        pointer, mask = builder.gep(start, [arguments[1]]), first_lanes(builder, x, arguments[3])
        # a load waits long for what a masked store has just written
        with builder.if_else(all_lanes(builder, x, arguments[3])) as (whole, ragged):
            with whole:
                store_lanes(builder, x, arguments[2], pointer)
            with ragged:
                store_lanes(builder, x, arguments[2], pointer, mask)
        return context.get_dummy_value()
    return types.void(a, types.intp, x, types.intp), generate


@intrinsic
def store_integers(typing, a, i, x, count):
    """a[i : i + count] = the first of x, whole numbers, into an array of integers."""
    def generate(context, builder, signature, arguments):
        pointer, integers = _integers_at(context, builder, signature, arguments, x)
        call(builder, f"llvm.masked.store.v{x.lanes}i{a.dtype.bitwidth}.p0", ir.VoidType(),
             builder.fptosi(arguments[2], integers), pointer, ir.Constant(_I32, a.dtype.bitwidth // 8),
             first_lanes(builder, x, arguments[3]))
        return context.get_dummy_value()
    return types.void(a, types.intp, x, types.intp), generate


@intrinsic
def load_integers(typing, a, i, like, count):
    """a[i : i + count], from an array of integers, as numbers like those of the vector `like`; then zeros."""
    def generate(context, builder, signature, arguments):
        pointer, integers = _integers_at(context, builder, signature, arguments, like)
        numbers = call(builder, f"llvm.masked.load.v{like.lanes}i{a.dtype.bitwidth}.p0", integers,
                       pointer, ir.Constant(_I32, a.dtype.bitwidth // 8), first_lanes(builder, like, arguments[3]),
                       constant(integers, 0))
        return builder.sitofp(numbers, like.llvm)
    return like(a, types.intp, like, types.intp), generate


def _integers_at(context: Any, builder: Any, signature: Any, arguments: Any, vector: Vector) -> tuple[Any, Any]:
    """The pointer to as many integers of an array as a vector has lanes, and their LLVM type."""
    integers = ir.VectorType(ir.IntType(signature.args[0].dtype.bitwidth), vector.lanes)
    start = start_of(context, builder, signature.args[0], arguments[0])
    return builder.bitcast(builder.gep(start, [arguments[1]]), integers.as_pointer()), integers


# ---- arithmetic
@intrinsic
def splat(typing, like, number):
    """The number in every lane of a vector of like's elements (an array, a pointer or a vector)."""
    vector = vector_of(like)

    def generate(context, builder, signature, arguments):
        value = context.cast(builder, arguments[1], signature.args[1], vector.element)
        return splat_number(builder, vector.llvm, value)
    return vector(like, number), generate


@intrinsic
def fma(typing, x, y, z):
    """x y + z"""
    return x(x, x, x), lambda context, builder, signature, xyz: multiply_add(builder, x, *xyz)


def _operator(symbol: Callable[..., Any], emit: Callable[..., Any], result: Callable[[Vector], Any]) -> None:
    """Teach Numba `x symbol y` for two vectors, or a vector and a number."""
    @infer_global(symbol)
    class Lanewise(AbstractTemplate):
        def generic(self, xy, named):
            vector = next((kind for kind in xy if isinstance(kind, (Vector, Mask))), None)
            number = types.Number if isinstance(vector, Vector) else ()
            if vector and all(kind == vector or isinstance(kind, number) for kind in xy):
                return result(vector)(*xy)
            return None

    def generate(context, builder, signature, xy):
        vector = next(kind for kind in signature.args if isinstance(kind, (Vector, Mask)))

        def as_vector(value, kind):
            if kind == vector:
                return value
            return splat_number(builder, vector.llvm, context.cast(builder, value, kind, vector.element))
        return emit(builder, *map(as_vector, xy, signature.args))

    for kinds in ((Vector, Vector), (Vector, types.Number), (types.Number, Vector), (Mask, Mask)):
        lower_builtin(symbol, *kinds)(generate)


_operator(operator.add, lambda builder, x, y: builder.fadd(x, y, flags=_FLAGS), lambda x: x)
_operator(operator.sub, lambda builder, x, y: builder.fsub(x, y, flags=_FLAGS), lambda x: x)
_operator(operator.mul, lambda builder, x, y: builder.fmul(x, y, flags=_FLAGS), lambda x: x)
_operator(operator.truediv, lambda builder, x, y: builder.fdiv(x, y, flags=("nsz",)), lambda x: x)
# no order holds for NaN, but != does: x != x asks whether x is NaN
_operator(operator.lt, lambda builder, x, y: builder.fcmp_ordered("<", x, y), Mask)
_operator(operator.gt, lambda builder, x, y: builder.fcmp_ordered(">", x, y), Mask)
_operator(operator.eq, lambda builder, x, y: builder.fcmp_ordered("==", x, y), Mask)
_operator(operator.ne, lambda builder, x, y: builder.fcmp_unordered("!=", x, y), Mask)
_operator(operator.le, lambda builder, x, y: builder.fcmp_ordered("<=", x, y), Mask)
_operator(operator.or_, lambda builder, x, y: builder.or_(x, y), lambda x: x)
_operator(operator.and_, lambda builder, x, y: builder.and_(x, y), lambda x: x)


@intrinsic
def where(typing, mask, x, y):
    """x in the lanes where mask holds, y in the others."""
    return x(mask, x, x), lambda context, builder, signature, arguments: builder.select(*arguments)


@intrinsic
def first(typing, x, count):
    """The first of x, then zeros."""
    def generate(context, builder, signature, arguments):
        return builder.select(first_lanes(builder, x, arguments[1]), arguments[0], constant(x.llvm, 0.0))
    return x(x, types.intp), generate


@intrinsic
def one_over_root(typing, x):
    """1 / √x; of float32 on processors with AVX-512 only the first 14 bits, in a tenth of the time."""
    def generate(context, builder, signature, arguments):
        if ROOTS_ARE_ESTIMATED and x.element is types.float32:
            everywhere = ir.Constant(ir.IntType(x.lanes), -1)
            return call(builder, "llvm.x86.avx512.rsqrt14.ps.512", x.llvm, *arguments, arguments[0], everywhere)
        root = call(builder, f"llvm.sqrt.{suffix(x)}", x.llvm, *arguments)
        return builder.fdiv(constant(x.llvm, 1.0), root, flags=("nsz",))  # else an estimate, -∞ for a very small x
    return x(x), generate


@intrinsic
def nearest(typing, x):
    """The whole numbers nearest to x."""
    def generate(context, builder, signature, arguments):
        return call(builder, f"llvm.rint.{suffix(x)}", x.llvm, *arguments)
    return x(x), generate


@intrinsic
def power_of_two(typing, n):
    """2 ** n for whole numbers n of a normal result, by writing n + bias where a float keeps its exponent."""
    mantissa = {32: 23, 64: 52}[n.element.bitwidth]
    bias = {32: 127, 64: 1023}[n.element.bitwidth]

    def generate(context, builder, signature, arguments):
        integers = ir.VectorType(_INTEGERS[n.element], n.lanes)
        # beside 1.5 · 2**mantissa there is room for whole numbers only: the lowest bits of the sum are those of n
        low = builder.bitcast(builder.fadd(arguments[0], constant(n.llvm, 1.5 * 2**mantissa), flags=("nsz",)), integers)
        exponent = builder.shl(builder.add(low, constant(integers, bias)), constant(integers, mantissa))
        return builder.bitcast(exponent, n.llvm)
    return n(n), generate


@intrinsic
def largest(typing, x):
    """The maximum of the lanes; NaN if there is one. Half of them are compared with the other half, and so on."""
    def generate(context, builder, signature, arguments):
        (most,), half = arguments, x.lanes // 2
        while half:
            order = ir.Constant(ir.VectorType(_I32, x.lanes), [k ^ half for k in range(x.lanes)])
            other = builder.shuffle_vector(most, most, order)
            wins = builder.or_(builder.fcmp_ordered(">", most, other), builder.fcmp_unordered("uno", most, most))
            most, half = builder.select(wins, most, other), half // 2
        return builder.extract_element(most, ir.Constant(_I32, 0))
    return x.element(x), generate


@intrinsic
def total(typing, x):
    """The sum of the lanes."""
    def generate(context, builder, signature, arguments):
        kind = ir.FunctionType(x.llvm.element, [x.llvm.element, x.llvm])
        add = cgutils.get_or_insert_function(builder.module, kind, f"llvm.vector.reduce.fadd.{suffix(x)}")
        return builder.call(add, [ir.Constant(x.llvm.element, 0.0), arguments[0]], fastmath=("reassoc",))
    return x.element(x), generate


@intrinsic
def transpose_square(typing, a, i, pitch, out, j, out_pitch):
    """out[j + m · out_pitch + n] = a[i + n · pitch + m] for a square of lanes(a) rows and columns.

    Shuffle the rows as one does a pack of cards: row k and row k + half, lane by lane in turn. The element (row, lane)
    of a pack of 2ᵇ rows of 2ᵇ has a number of 2 b bits, and each shuffle turns the number by one bit; after b of them
    lane and row have changed places."""
    vector = vector_of(a)

    def generate(context, builder, signature, arguments):
        source, i, pitch, target, j, out_pitch = arguments
        source, target = (start_of(context, builder, signature.args[k], arguments[k]) for k in (0, 3))
        n = vector.lanes
        numbers = [ir.Constant(_I64, row) for row in range(n)]
        rows = [load_lanes(builder, vector, builder.gep(source, [builder.add(i, builder.mul(k, pitch))]))
                for k in numbers]
        halves = [ir.Constant(ir.VectorType(_I32, n), [k // 2 + n * (k % 2) for k in range(start, start + n)])
                  for start in (0, n)]
        for _ in range(n.bit_length() - 1):
            pairs = zip(rows[:n // 2], rows[n // 2:], strict=True)
            rows = [builder.shuffle_vector(*pair, half) for pair in pairs for half in halves]
        for k, row in zip(numbers, rows, strict=True):
            store_lanes(builder, vector, row, builder.gep(target, [builder.add(j, builder.mul(k, out_pitch))]))
        return context.get_dummy_value()
    return types.void(a, types.intp, types.intp, out, types.intp, types.intp), generate
