"""From Python to machine code: which code is for these arguments, and what they are to it.

Numba's own way keeps count of each array's owners, which kernels need not know: they borrow.
"""
from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import CPUDispatcher
from numba.np.arrayobj import make_array, populate_array

INT64, OBJECT = ir.IntType(64), ir.IntType(8).as_pointer()
# PyArrayObject, in NumPy's C interface: the head that all objects have, where the numbers are, how many axes, the sizes
# and strides
_ARRAY = ir.LiteralStructType([ir.ArrayType(ir.IntType(8), object.__basicsize__), OBJECT, ir.IntType(32),
                               INT64.as_pointer(), INT64.as_pointer()])


class ByTypes(CPUDispatcher):
    """A function of `count` arguments that calls the one for their types: make(types), at the first call with such."""

    def __init__(self, make: Callable[[tuple[Any, ...]], Any], count: int) -> None:
        def any_arguments(*arguments: Any) -> None:
            """Only its signature matters."""
        names = [inspect.Parameter(f"_{k}", inspect.Parameter.POSITIONAL_ONLY) for k in range(count)]
        any_arguments.__signature__ = inspect.Signature(names)  # type: ignore[attr-defined]
        super().__init__(any_arguments, targetoptions={"nopython": True})
        self.make = make
        self.functions: dict[tuple[Any, ...], Any] = {}

    def _compile_for_args(self, *arguments: Any) -> Any:
        kinds = tuple(self.typeof_pyval(argument) for argument in arguments)
        with global_compiler_lock:
            if kinds not in self.functions:  # by another thread, while this one waited
                self.functions[kinds] = self.make(kinds)
                self._insert([kind._code for kind in kinds], self.functions[kinds])
        return self.functions[kinds]


def value_of(context: Any, builder: Any, kind: Any, thing: Any) -> Any:
    """Write what takes the value of a type out of a Python object: of an array, a number, or a tuple of such."""
    if isinstance(kind, types.BaseTuple):
        values = [value_of(context, builder, each, item(builder, thing, k)) for k, each in enumerate(kind)]
        return context.make_tuple(builder, kind, values)
    if isinstance(kind, types.Float):
        number = _call(builder, ir.DoubleType(), "PyFloat_AsDouble", thing)
        return builder.fptrunc(number, context.get_value_type(kind))
    if not isinstance(kind, types.Array):
        return builder.trunc(_call(builder, INT64, "PyLong_AsLongLong", thing), context.get_value_type(kind))
    array, fields = make_array(kind)(context, builder), builder.bitcast(thing, _ARRAY.as_pointer())
    data, *tables = (builder.load(cgutils.gep_inbounds(builder, fields, 0, k)) for k in (1, 3, 4))
    shape, strides = ([builder.load(cgutils.gep_inbounds(builder, table, k)) for k in range(kind.ndim)]
                      for table in tables)
    size = context.get_constant(types.intp, kind.dtype.bitwidth // 8)
    populate_array(array, builder.bitcast(data, array.data.type), shape, strides, size, None)
    return array._getvalue()


def item(builder: Any, objects: Any, k: int) -> Any:
    """Write what finds an item of a tuple."""
    return _call(builder, OBJECT, "PyTuple_GetItem", objects, ir.Constant(INT64, k))


def _call(builder: Any, result: Any, name: str, *arguments: Any) -> Any:
    """Write a call of one of Python's own functions."""
    kind = ir.FunctionType(result, [argument.type for argument in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)
