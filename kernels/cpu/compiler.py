"""The compiler: Python functions to machine code, kept on disk, and run by several threads.

Two decorators. `jit` is for the helpers of kernels. `parallel` is for a kernel itself: a function of (worker, workers,
…) that says what one of several workers does; calling it runs them all.

    @parallel
    def negate(worker, workers, x, y):
        for i in span(worker, workers, len(x)):
            y[i] = -x[i]

    negate(2, x, y)  # on two threads

Compiling takes a second or so for each kernel, at its first use. So the machine code is kept: in $NUMBA_CACHE_DIR if
that is set, or else beside the source as Python's own compiled files are, or else in the user's cache. A file there
counts only if nothing that it was made from has changed since. Where nothing can be written, every process compiles
for itself.
"""
from __future__ import annotations

import functools
import hashlib
import inspect
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_type_hints

import llvmlite.binding as llvm
import numba
from llvmlite import ir
from numba import _dynfunc, types
from numba.core import cgutils
from numba.core.compiler import CompileResult
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target
from numba.core.runtime import rtsys
from numba.extending import intrinsic

from .. import stored
from . import threads
from .arguments import INT64, OBJECT, ByTypes, item, value_of
from .memory import keep_freed_memory
from .parts import call, part

keep_freed_memory()

Function = Callable[..., Any]
_TASK = ir.FunctionType(ir.VoidType(), [INT64] * 3)  # of (worker, workers, address of the arguments)


# ---- what has been compiled before
def folders() -> list[Path]:
    """Where machine code may lie, the best place first."""
    return stored.folders(__file__, os.environ.get("NUMBA_CACHE_DIR"))


@functools.cache
def stamp(source: str) -> bytes:
    """What machine code depends on: the file it comes from, those that imports from its folder or from this one, Python
    and Numba."""
    digest, files = hashlib.sha256(f"{sys.version} {numba.__version__}".encode()), [Path(source)]
    for path in files:  # it grows
        text = path.read_text(encoding="utf-8")
        digest.update(text.encode())
        for here, name in re.findall(r"^from (tinynet\.kernels\.cpu)?\.(\w+) import", text, re.MULTILINE):
            other = (Path(__file__) if here else path).with_name(f"{name}.py")
            if other not in files:
                files.append(other)
    return digest.digest()


class Cache:
    """The machine code of one function."""

    said = False  # that compiling takes a while
    spent = 0.0  # seconds

    def __init__(self, name: str, source: str) -> None:
        self.name, self.source = f"{name}.tinynet", source

    def find_or(self, make: Callable[[], bytes]) -> bytes:
        """The code that is on disk, or else what `make` makes, which is kept."""
        for content in stored.contents(self.name, folders()):
            code = content[64:]
            if content[:64] == stamp(self.source) + hashlib.sha256(code).digest():  # neither stale nor damaged
                return code
        started = time.perf_counter()
        code = make()
        self.report(time.perf_counter() - started)
        stored.keep(stamp(self.source) + hashlib.sha256(code).digest() + code, self.name, folders())
        return code

    def report(self, seconds: float) -> None:
        """Say, once, why nothing else has happened for a second."""
        Cache.spent += seconds
        if Cache.spent > 1 and not Cache.said:
            Cache.said = True
            print("tinynet: compiling kernels for this processor; the next start finds them ready", file=sys.stderr)


# ---- functions of functions
def jit(function: Function) -> Any:
    """A helper of kernels: compiled as a part of whatever calls it."""
    def helper(typing, *arguments):
        compiled = part(function, arguments)

        def generate(context, builder, signature, values):
            context.active_code_library.add_linking_library(compiled.library)
            return context.call_internal(builder, compiled.fndesc, compiled.signature, values)
        return compiled.signature, generate
    functools.update_wrapper(helper, function)
    own, typing = inspect.signature(function), inspect.Parameter("typing", inspect.Parameter.POSITIONAL_ONLY)
    helper.__signature__ = own.replace(parameters=[typing, *own.parameters.values()])  # type: ignore[attr-defined]
    return intrinsic(helper)


def c_function(function: Function, name: str, arguments: tuple[Any, ...], parallel: bool = False) -> int:
    """The address of a function compiled as C would be. Compiled code can call it by that, or by its name; it is not
    compiled again as a part of each caller, which would take longer than the callers themselves."""
    def write(module: Any) -> CompileResult:
        compiled = part(function, arguments, parallel)
        kinds = [cpu_target.target_context.get_value_type(kind) for kind in arguments]
        entry, builder = _begin(module, name, ir.FunctionType(ir.VoidType(), kinds))
        call(builder, compiled, entry.args)
        builder.ret_void()
        return compiled
    return machine_code(name, arguments, function.__code__.co_filename, write)


def c_functions(function: Function) -> Iterator[Any]:
    """The C functions that a function calls, or one of its helpers."""
    for name in function.__code__.co_names:
        called: Any = function.__globals__.get(name)
        if hasattr(called, "prepare_for"):
            yield called
        elif hasattr(called, "__wrapped__"):
            yield from c_functions(inspect.unwrap(called))


def machine_code(name: str, arguments: tuple[Any, ...], source: str, write: Callable[[Any], CompileResult]) -> int:
    """The address of a function's machine code. Where it is not on disk, write(module) writes the function into a
    module of LLVM, and returns the part that it calls."""
    target, codegen = cpu_target.target_context, cpu_target.target_context.codegen()

    def make() -> bytes:
        target.refresh()  # with what Numba knows of Python's and NumPy's functions
        module = target.create_module(name)
        parts = write(module).library.modules()
        whole = llvm.parse_assembly(str(module))
        for each in parts:
            whole.link_in(each, preserve=True)
        for each in (*whole.functions, *whole.global_variables):
            if not each.is_declaration and each.name != name:
                each.linkage = "internal"  # nobody else sees it: what all callers have taken in can go
        passes, builder = codegen._module_pass_manager()
        passes.run(whole, builder)
        return codegen._tm.emit_object(whole)

    key = hashlib.sha256(repr((str(arguments), codegen.magic_tuple())).encode()).hexdigest()
    with global_compiler_lock:
        rtsys.initialize(target)  # for kernels that make arrays
        engine = codegen._engine._ee
        engine.add_object_file(llvm.ObjectFileRef.from_data(Cache(f"{name}-{key[:16]}", source).find_or(make)))
        engine.finalize_object()
        address = engine.get_function_address(name)
    llvm.add_symbol(name, address)
    return address


def _begin(module: Any, name: str, kind: Any) -> tuple[Any, Any]:
    """A function in a module, and what writes instructions into it."""
    function = ir.Function(module, kind, name)
    return function, ir.IRBuilder(function.append_basic_block())


# ---- kernels
class parallel:
    """A kernel: task(worker, workers, *arguments), called as kernel(workers, *arguments), which calls the task for
    every worker. They run side by side on threads where that is possible and else in turn; the results are the same,
    bit for bit, if workers share out the work by their numbers and each writes to memory of its own.

    The arguments are arrays and numbers; the last may be a NamedTuple of such, to give many a name.

    How: a function that Python can call takes the values out of the arguments and puts them into memory. It gives their
    address, for every worker, to another function, which calls the task; or it has `side_by_side` do so."""

    def __init__(self, task: Function) -> None:
        functools.update_wrapper(self, task)
        *before, last = list(inspect.signature(task).parameters)[2:]
        self.task, self.count = task, len(before)
        self.named = get_type_hints(task).get(last)  # the NamedTuple, if the last argument is one
        self.name = f"tinynet.{task.__module__.rpartition('.')[2]}.{task.__name__}"
        self.by_types = ByTypes(self.function, 2 + self.count + len(self.named._fields if self.named else [last]))

    def __call__(self, workers: int, *arguments: Any) -> None:
        launch = launcher() if workers > 1 and threads.ready() else 0
        if self.named:
            self.by_types(launch, workers, *arguments[:-1], *arguments[-1])
        else:
            self.by_types(launch, workers, *arguments)

    def function(self, kinds: tuple[Any, ...]) -> Any:
        """The function for Python, for a launcher, workers and arguments of these types. Compiled, or found on disk;
        and before that, the C functions that the task may call, for the dtypes of its arrays."""
        arguments = kinds[2:]
        for function in c_functions(self.task):
            for array in arguments:
                function.prepare_for(getattr(array, "dtype", None))
        name = f"{self.name}.{hashlib.sha256(str(arguments).encode()).hexdigest()[:16]}"
        address = machine_code(name, arguments, self.task.__code__.co_filename,
                               lambda module: self.write(module, name, arguments))
        return _dynfunc.make_function(sys.modules[__name__], name, "", address, _dynfunc.Environment({}), None)

    def write(self, module: Any, name: str, arguments: tuple[Any, ...]) -> CompileResult:
        """Write the two functions into a module."""
        context, packed = cpu_target.target_context, types.Tuple(arguments)
        kinds, named = list(arguments), None
        if self.named:
            named = types.BaseTuple.from_types(tuple(kinds[self.count:]), self.named)
            kinds[self.count:] = [named]

        # task_at(worker, workers, address of the values)
        task = part(self.task, (types.intp, types.intp, *kinds))
        task_at, builder = _begin(module, f"{name}.at", _TASK)
        worker, workers, address = task_at.args
        found = builder.load(builder.inttoptr(address, context.get_value_type(packed).as_pointer()))
        values = cgutils.unpack_tuple(builder, found, len(arguments))
        if named:
            values[self.count:] = [context.make_tuple(builder, named, values[self.count:])]
        call(builder, task, [worker, workers, *values])
        builder.ret_void()

        # PyObject *python(PyObject *self, PyObject *arguments, PyObject *keywords): a "PyCFunctionWithKeywords"
        python, builder = _begin(module, name, ir.FunctionType(OBJECT, [OBJECT] * 3))
        api, objects = context.get_python_api(builder), python.args[1]
        launch, workers, *values = (value_of(context, builder, kind, item(builder, objects, k))
                                    for k, kind in enumerate((types.intp, types.intp, *arguments)))
        address = cgutils.alloca_once_value(builder, context.make_tuple(builder, packed, values))
        address = builder.ptrtoint(address, INT64)
        others = api.save_thread()  # other Python threads may go on
        with builder.if_else(cgutils.is_null(builder, launch)) as (in_turn, at_once):
            with in_turn, cgutils.for_range(builder, workers) as loop:
                builder.call(task_at, [loop.index, workers, address])
            with at_once:
                builder.call(builder.inttoptr(launch, _TASK.as_pointer()),
                             [builder.ptrtoint(task_at, INT64), workers, address])
        api.restore_thread(others)
        builder.ret(api.make_none())
        return task


@intrinsic
def call_task(typing, task, worker, workers, address):
    """Call the function at an address."""
    def generate(context, builder, signature, values):
        builder.call(builder.inttoptr(values[0], _TASK.as_pointer()), values[1:])
        return context.get_dummy_value()
    return types.void(task, worker, workers, address), generate


def side_by_side(task, workers, address):
    """Call the task at an address for each worker, all at once."""
    for worker in numba.prange(workers):
        call_task(task, worker, workers, address)


@functools.cache
def launcher() -> int:
    """The address of the C function that calls a task for every worker at once. It is compiled once, for all tasks."""
    return c_function(side_by_side, "tinynet.side_by_side", (types.intp,) * 3, parallel=True)


@jit
def span(worker, workers, n):
    """This worker's share of range(n)."""
    return range(n * worker // workers, n * (worker + 1) // workers)
