"""How a kernel is started: every argument checked against what the .cu file declares, then run on a card, by CuPy, or
by the emulator.

    launch(xp, "softmax", grid=(rows,), x=x, y=y, columns=n)

A card checks nothing: an int where a float is meant, or a float64 array, would be read as garbage.
"""
from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from . import compiler, emulator
from .source import Argument, Kernel, Source, home_of

MOST_THREADS = 1024
MOST_BLOCKS = (2**31 - 1, 65535, 65535)


class Strided(NamedTuple):
    """An array whose strides the kernel is told of: it need not be contiguous."""

    array: Any


def launch(xp: Any, name: str, grid: Sequence[int], block: Sequence[int] | None = None, shared: int = 0,
           source: Source | None = None, **given: Any) -> None:
    """Start a kernel, of our own files or of `source`, on a grid of blocks; block: as the kernel declares, unless told.
    shared: bytes of `extern __shared__` memory. The arguments go by name; None is a null pointer."""
    source = source or home_of(name)
    if name not in source.kernels:
        raise LookupError(f"no kernel {name!r} in {source.file}; there are {', '.join(source.kernels)}")
    kernel = source.kernels[name]
    here = None if xp is np else xp.cuda.runtime.getDevice()
    try:
        values = [(a, checked(xp, here, name, a, given.pop(a.name))) for a in kernel.arguments]
    except KeyError as missing:
        raise TypeError(f"{name}({', '.join(a.name for a in kernel.arguments)}) lacks {missing.args[0]}") from None
    if given:
        raise TypeError(f"{name}({', '.join(a.name for a in kernel.arguments)}) takes no {', '.join(given)}")
    sizes = dimensions(name, grid, block or kernel.threads)
    if not all(sizes):
        return  # no blocks: nothing to do
    if xp is np:
        emulator.launch(source, kernel, sizes, shared, values)
    else:
        launch_on_card(xp, source, kernel, sizes, shared, values)


def dimensions(name: str, grid: Sequence[int], block: Sequence[int] | int | None) -> tuple[int, ...]:
    """Three sizes of the grid and three of a block."""
    if block is None:
        raise TypeError(f"{name} does not declare its __launch_bounds__: the launch must give the block")
    block = (block,) if isinstance(block, int) else block
    sizes = (*grid, *[1] * (3 - len(grid)), *block, *[1] * (3 - len(block)))
    if len(sizes) != 6:
        raise ValueError(f"{name}: a grid and a block have up to three sizes, not {grid} and {block}")
    threads = sizes[3] * sizes[4] * sizes[5]
    if threads > MOST_THREADS:
        raise ValueError(f"{name}: a block of {threads} threads; a card takes {MOST_THREADS} at most")
    if any(n > most for n, most in zip(sizes, MOST_BLOCKS, strict=False)):
        raise ValueError(f"{name}: a grid of {tuple(grid)} blocks; a card takes {MOST_BLOCKS} at most")
    return tuple(int(n) for n in sizes)


# ---- arguments
def checked(xp: Any, here: int | None, kernel: str, argument: Argument, value: Any) -> Any:
    """The value of an argument, if it is of the type that the kernel declares. here: the device, if there is one."""
    if argument.length > 1:
        if len(value) > argument.length:
            raise ValueError(f"{kernel}: {argument.name} takes {argument.length} values at most, not {len(value)}")
        single = argument._replace(length=1)
        return [checked(xp, here, kernel, single, one) for one in value]
    if argument.pointer:
        return array_of(xp, here, kernel, argument, value)
    return number_of(kernel, argument, value)


def array_of(xp: Any, here: int | None, kernel: str, argument: Argument, value: Any) -> Any:
    """An array for a pointer, or None: of the declared dtype, contiguous unless it comes with its strides (`Strided`),
    writeable if the kernel writes it, and on the kernel's device. TypeError or ValueError if not."""
    told = isinstance(value, Strided)
    value = value.array if told else value
    if value is None:
        return None
    where = f"{kernel}: argument {argument.name}"
    if not isinstance(value, xp.ndarray):
        kind = type(value)
        raise TypeError(f"{where} must be an array of {xp.__name__}'s, not {kind.__module__}.{kind.__name__}")
    if value.dtype != argument.dtype:
        raise TypeError(f"{where} must be {argument.dtype}, not {value.dtype}")
    if not told and not value.flags.c_contiguous:
        raise ValueError(f"{where} must be contiguous; its shape is {value.shape}, its strides are {value.strides}")
    if here is None:
        if argument.written and not value.flags.writeable:
            raise ValueError(f"{where} is written, and the array is read-only")
    elif value.data.device_id != here:
        raise ValueError(f"{where} is on device {value.data.device_id}, and the kernel runs on {here}")
    return value


NUMBERS: dict[str, tuple[type, ...]] = {"f": (int, float, np.integer, np.floating), "b": (bool, np.bool_)}
RANGES = {code: (int(np.iinfo(code).min), int(np.iinfo(code).max)) for code in "bBhHiIlLqQ"}


def number_of(kernel: str, argument: Argument, value: Any) -> Any:
    """A number for an argument by value: of the declared kind, and within its dtype. TypeError or OverflowError if
    not."""
    kind, code = argument.dtype.kind, argument.dtype.char
    if type(value) is int and code == "i" and -(2**31) <= value < 2**31:  # the most frequent case
        return value
    fits = isinstance(value, NUMBERS.get(kind, (int, np.integer)))
    if not fits or (type(value) is bool and kind != "b"):
        raise TypeError(f"{kernel}: argument {argument.name} must be {argument.dtype}, not {type(value).__name__}")
    if code in RANGES and not RANGES[code][0] <= value <= RANGES[code][1]:
        raise OverflowError(f"{kernel}: argument {argument.name} is {value}, which {argument.dtype} does not hold")
    return value


# ---- on a card
@functools.cache
def function_on_card(source: Source, name: str, device: int) -> Any:
    """A kernel, loaded by CuPy."""
    import cupy

    arch, cuda = f"sm_{cupy.cuda.Device(device).compute_capability}", cupy.cuda.runtime.runtimeGetVersion() // 1000
    return cupy.RawModule(path=str(compiler.cubin(source, arch, cuda))).get_function(name)


def launch_on_card(xp: Any, source: Source, kernel: Kernel, sizes: Sequence[int], shared: int,
                   values: Sequence[tuple[Argument, Any]]) -> None:
    """Start a kernel on the current device and stream. sizes: of the grid, then of a block; shared: bytes of dynamic
    shared memory."""
    function = function_on_card(source, kernel.name, xp.cuda.runtime.getDevice())
    if shared > 48 << 10 and function.max_dynamic_shared_size_bytes < shared:
        function.max_dynamic_shared_size_bytes = shared
    packed = emulator.pack(kernel, values, lambda array: array.data.ptr)
    # by value: numbers and addresses as NumPy's scalars, a struct by its bytes
    arguments = [part[()] for part in packed] if kernel.layout is None else [xp.cuda.function.CNumpyArray(packed[0])]
    function(tuple(sizes[:3]), tuple(sizes[3:]), tuple(arguments), shared_mem=shared)


# ---- what the functions that launch need to know
def empty(xp: Any, shape: Sequence[int], dtype: Any) -> Any:
    """An array for a kernel to fill. For the emulator it is full of NaN (or huge numbers), so that a gap shows."""
    y = xp.empty(shape, dtype)
    if xp is np:
        y.view(np.uint8).fill(0xFF) if y.dtype.kind == "f" and y.ndim else y.fill(0x7F)
    return y


@functools.cache
def _multiprocessors_of(device: int) -> int:
    import cupy

    return int(cupy.cuda.Device(device).attributes["MultiProcessorCount"])


def multiprocessors(xp: Any) -> int:
    """How many multiprocessors the card has, to spread work over; the emulator has a small one."""
    return 8 if xp is np else _multiprocessors_of(xp.cuda.runtime.getDevice())
