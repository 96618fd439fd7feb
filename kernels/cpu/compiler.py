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
import pickle
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import Any, get_type_hints

import llvmlite.binding as llvm
import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.ccallback import CFunc
from numba.core.compiler import CompileResult
from numba.core.imputils import impl_ret_borrowed
from numba.core.serialize import dumps
from numba.extending import intrinsic

from .. import stored
from . import threads
from .memory import keep_freed_memory

keep_freed_memory()

# Sums may be reordered, and a product and a sum be one instruction; but NaN and infinity travel as in NumPy: never
# "nnan" or "ninf". Division by zero gives infinity, not an exception.
OPTIONS: dict[str, Any] = {"fastmath": {"contract", "reassoc", "nsz", "arcp", "afn"}, "error_model": "numpy",
                           "nogil": True}
Function = Callable[..., Any]


# ---- what has been compiled before
def folders() -> list[Path]:
    """Where machine code may lie, the best place first."""
    return stored.folders(__file__, os.environ.get("NUMBA_CACHE_DIR"))


@functools.cache
def stamp(source: str) -> bytes:
    """What machine code depends on: the file it comes from, those that imports from its folder, Python and Numba."""
    digest, files = hashlib.sha256(f"{sys.version} {numba.__version__}".encode()), [Path(source)]
    for path in files:  # it grows
        text = path.read_text(encoding="utf-8")
        digest.update(text.encode())
        found = (path.with_name(f"{name}.py") for name in re.findall(r"^from \.(\w+) import", text, re.MULTILINE))
        files += [other for other in found if other not in files]
    return digest.digest()


class Cache:
    """The machine code of one function, a file for each signature: what Numba asks before it compiles
    (`load_overload`), and tells afterwards (`save_overload`)."""

    said = False  # that compiling takes a while
    spent = 0.0  # seconds

    def __init__(self, name: str, source: str, before: Callable[[Any], None] = lambda signature: None) -> None:
        self.name, self.source, self.before = name, source, before
        self.started = 0.0

    def file(self, signature: Any, codegen: Any) -> str:
        key = hashlib.sha256(repr((str(signature), codegen.magic_tuple())).encode()).hexdigest()
        return f"{self.name}-{key[:16]}.tinynet"

    def load_overload(self, signature: Any, context: Any) -> Any:
        """The code for a signature, or None: then Numba compiles it. First, what the code calls is made ready."""
        context.refresh()
        self.before(signature)
        for content in stored.contents(self.file(signature, context.codegen()), folders()):
            code = content[64:]
            if content[:64] == stamp(self.source) + hashlib.sha256(code).digest():  # neither stale nor damaged
                return CompileResult._rebuild(context, *pickle.loads(code))
        self.started = time.perf_counter()
        return None

    def save_overload(self, signature: Any, compiled: Any) -> None:
        """Keep new code."""
        self.report()
        code = dumps(compiled._reduce())
        content = stamp(self.source) + hashlib.sha256(code).digest() + code
        stored.keep(content, self.file(signature, compiled.codegen), folders())

    def report(self) -> None:
        """Say, once, why nothing else has happened for a second."""
        Cache.spent += time.perf_counter() - self.started
        if Cache.spent > 1 and not Cache.said:
            Cache.said = True
            print("tinynet: compiling kernels for this processor; the next start finds them ready", file=sys.stderr)


# ---- functions of functions
def jit(function: Function) -> Any:
    """A helper of kernels: compiled as a part of whatever calls it."""
    return numba.njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, **OPTIONS)(function)  # Python never calls it


def c_function(function: Function, name: str, arguments: tuple[Any, ...], source: str = "", **options: Any) -> int:
    """The address of a function compiled as C would be. Compiled code can call it by that, or by its name; it is not
    compiled again as a part of each caller, which would take longer than the callers themselves."""
    compiled: Any = CFunc(function, (arguments, types.void), {}, {**OPTIONS, **options})
    compiled._cache = Cache(name, source or function.__code__.co_filename)
    compiled.compile()
    llvm.add_symbol(name, compiled.address)
    _kept.append(compiled)
    return compiled.address


_kept: list[Any] = []  # machine code lives as long as what made it


# ---- kernels
class parallel:
    """A kernel: task(worker, workers, *arguments), called as kernel(workers, *arguments), which calls the task for
    every worker. They run side by side on threads where that is possible and else in turn; the results are the same,
    bit for bit, if workers share out the work by their numbers and each writes to memory of its own.

    The arguments are arrays and numbers; the last may be a NamedTuple of such, to give many a name.

    How: `hand_over` puts the arguments into memory, and gives their address and the task's to `side_by_side` or
    `in_turn`, which are compiled once, for all tasks."""

    def __init__(self, task: Function) -> None:
        functools.update_wrapper(self, task)
        names = list(inspect.signature(task).parameters)
        self.task, self.count = jit(task), len(names) - 3
        self.named = get_type_hints(task).get(names[-1])  # the NamedTuple, if the last argument is one
        self.source = task.__code__.co_filename
        self.name = f"tinynet.{task.__module__.rpartition('.')[2]}.{task.__name__}"
        hand_over = FunctionType(_hand_over.__code__, {"pass_on": self.pass_on(), "__name__": task.__module__})
        self.hand_over = numba.njit(**OPTIONS)(hand_over)
        self.hand_over._cache = Cache(f"{self.name}.hand_over", self.source, self.prepare)

    def __call__(self, workers: int, *arguments: Any) -> None:
        run = launcher(workers > 1 and threads.ready())
        if self.named:
            self.hand_over(run, workers, *arguments[:-1], *arguments[-1])
        else:
            self.hand_over(run, workers, *arguments)

    def symbol(self, arguments: Any) -> str:
        """The name of the task's C function for arguments of these types."""
        return f"{self.name}.{hashlib.sha256(str(tuple(arguments)).encode()).hexdigest()[:16]}"

    def prepare(self, signature: Any) -> None:
        """Compile the task, or find it on disk, before the code that hands over to it; and before that, the C functions
        that it may call, for the dtypes of its arrays."""
        arguments = signature[2]
        for function in self.task.py_func.__globals__.values():
            if hasattr(function, "prepare_for"):
                for array in arguments:
                    function.prepare_for(getattr(array, "dtype", None))
        task, named, count, unpack = self.task, self.named, self.count, value_at(arguments)
        if named is None:
            def entry(worker, workers, address):
                task(worker, workers, *unpack(address))
        else:
            def entry(worker, workers, address):
                arguments = unpack(address)
                task(worker, workers, *arguments[:count], named(*arguments[count:]))
        c_function(entry, self.symbol(arguments), (types.intp,) * 3, self.source)

    def pass_on(self) -> Any:
        """For compiled code: call a launcher with this task, and the address of the arguments."""
        @intrinsic
        def pass_on(typing, run, workers, arguments):
            def generate(context, builder, signature, values):
                run, workers, packed = values
                address = builder.ptrtoint(cgutils.alloca_once_value(builder, packed), _I64)
                task = cgutils.get_or_insert_function(builder.module, _function(3), self.symbol(arguments))
                builder.call(builder.inttoptr(run, _function(3).as_pointer()),
                             [builder.ptrtoint(task, _I64), workers, address])
                return context.get_dummy_value()
            return types.void(run, workers, arguments), generate
        return pass_on


def _hand_over(run: int, workers: int, *arguments: Any) -> None:
    pass_on(run, workers, arguments)  # type: ignore[name-defined]  # noqa: F821 - the kernel's


_I64 = ir.IntType(64)


def _function(count: int) -> Any:
    return ir.FunctionType(ir.VoidType(), [_I64] * count)


def value_at(kind: Any) -> Any:
    """For compiled code: the value, of a type of Numba's, that lies at an address."""
    @intrinsic
    def read(typing, address):
        def generate(context, builder, signature, arguments):
            value = builder.load(builder.inttoptr(arguments[0], context.get_value_type(kind).as_pointer()))
            return impl_ret_borrowed(context, builder, kind, value)  # its owner is the one who put it there
        return kind(address), generate
    return read


@intrinsic
def call_task(typing, task, worker, workers, arguments):
    """Call the function at an address."""
    def generate(context, builder, signature, values):
        builder.call(builder.inttoptr(values[0], _function(3).as_pointer()), values[1:])
        return context.get_dummy_value()
    return types.void(task, worker, workers, arguments), generate


def side_by_side(task, workers, arguments):
    for worker in numba.prange(workers):
        call_task(task, worker, workers, arguments)


def in_turn(task, workers, arguments):
    for worker in range(workers):
        call_task(task, worker, workers, arguments)


@functools.cache
def launcher(threaded: bool) -> int:
    """The address of the C function that calls a task for every worker."""
    function = side_by_side if threaded else in_turn
    return c_function(function, f"tinynet.{function.__name__}", (types.intp,) * 3, parallel=threaded)


@jit
def span(worker, workers, n):
    """This worker's share of range(n)."""
    return range(n * worker // workers, n * (worker + 1) // workers)
