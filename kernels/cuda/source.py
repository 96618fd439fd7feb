"""What a .cu file says: which kernels are in it, what arguments they take, and how g++ is to read it.

Kernels are written `extern "C" __global__ void __launch_bounds__(threads) name(arguments) {`, on as many lines as it
takes. An argument is a number, a pointer to numbers, or a struct of these, by value: then its fields are the names by
which a launch gives them.
"""
from __future__ import annotations

import functools
import re
import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np

HERE = Path(__file__).parent
DTYPES = {"float": "float32", "double": "float64", "int": "int32", "unsigned": "uint32", "bool": "bool",
          "long long": "int64", "unsigned long long": "uint64", "unsigned char": "uint8", "uint8_t": "uint8",
          "int32_t": "int32", "uint32_t": "uint32", "int64_t": "int64", "uint64_t": "uint64", "signed char": "int8",
          "unsigned int": "uint32", "short": "int16", "char": "int8", "float2": "float32", "float4": "float32"}
KERNEL = re.compile(r'extern\s+"C"\s+__global__\s+void\s+(?:__launch_bounds__\(([^)]*)\)\s*)?(\w+)\s*\(([^)]*)\)\s*\{')
STRUCT = re.compile(r"struct\s+(\w+)\s*\{([^}]*)\};")
CONSTANT = re.compile(r"(?:#define|constexpr\s+(?:int|unsigned))\s+(\w+)\s*=?\s*(\d+)\b")
SHARED = re.compile(r"^(\s*)(extern\s+)?__shared__\s+(?:__align__\(\d+\)\s*)?([\w ]*\w)\s+([^;]*);", re.MULTILINE)
INCLUDE = re.compile(r'^#include "(\w+\.h)"\n', re.MULTILINE)
WORDS = re.compile(r"\b(const|__restrict__|__grid_constant__)\b")


class Argument(NamedTuple):
    """One argument of a kernel, or one field of a struct; `length` of them, if it is an array of such."""

    name: str
    dtype: np.dtype  # of the number, or of those that it points to
    pointer: bool
    written: bool
    length: int


class Kernel(NamedTuple):
    """A kernel as its source declares it."""

    name: str
    threads: int | None  # in a block, if it says so
    arguments: tuple[Argument, ...]
    layout: struct.Struct | None  # if they come as one: how that lies in memory


class Source:
    """A .cu file, or its text."""

    def __init__(self, text: str, file: str = "kernel.cu") -> None:
        self.text, self.file = text, file
        plain = re.sub(r"//[^\n]*", "", text)
        self.constants = {name: int(value) for name, value in CONSTANT.findall(plain)}
        structs = {name: fields for name, fields in STRUCT.findall(plain)}
        self.kernels = {name: self.kernel(name, bounds, arguments, structs)
                        for bounds, name, arguments in KERNEL.findall(plain)}

    def number(self, text: str) -> int | None:
        """A number as written, or the constant of that name."""
        return int(text) if text.isdigit() else self.constants.get(text)

    def kernel(self, name: str, bounds: str, arguments: str, structs: dict[str, str]) -> Kernel:
        """A kernel from the text of its declaration; its arguments are listed, or the fields of one struct."""
        parts = [part.strip() for part in arguments.split(",") if part.strip()]
        whole = WORDS.sub("", parts[0]).split() if len(parts) == 1 else []
        if whole and whole[0] in structs:
            fields = [line.strip() for line in structs[whole[0]].split(";") if line.strip()]
            declared = [argument for line in fields for argument in self.declaration(line)]
            return Kernel(name, self.number(bounds.partition(",")[0].strip()), tuple(declared), _layout(declared))
        declared = [argument for part in parts for argument in self.declaration(part)]
        return Kernel(name, self.number(bounds.partition(",")[0].strip()), tuple(declared), None)

    def declaration(self, text: str) -> list[Argument]:
        """The arguments of one declaration: `const float* __restrict__ x`, or, in a struct, `float *w[9], *g[9]`."""
        head = re.match(r"((?:const\s+)?(?:unsigned\s+|signed\s+)?(?:long\s+long|\w+))(.*)", text, re.DOTALL)
        kind = WORDS.sub("", head[1]).strip() if head else ""
        if head is None or kind not in DTYPES:
            raise TypeError(f"{self.file}: {text!r} is no argument that a launch could check; the types are "
                            f"{', '.join(DTYPES)}, pointers to them, and structs of these")
        found = []
        for part in head[2].split(","):
            declared = re.fullmatch(r"\s*(\*?)\s*(\w+)\s*(?:\[([^\]]*)\])?\s*", WORDS.sub("", part))
            if declared is None:
                raise TypeError(f"{self.file}: {text!r} is no declaration that a launch could check")
            star, name, count = declared.groups()
            found.append(Argument(name, np.dtype(DTYPES[kind]), bool(star), "const" not in head[1],
                                  1 if count is None else self.number(count) or 0))
        return found

    def for_host(self) -> str:
        """What g++ compiles: __shared__ arrays are asked of the emulator, and each kernel has a door to enter by."""
        doors = "\n".join(f"TN_ENTRY({name})" for name in self.kernels)
        return f"{SHARED.sub(_shared, self.with_common())}\n{doors}\n"

    def for_card(self) -> str:
        """What NVRTC compiles: our own words, and the file."""
        return f"{_text('device.h')}\n{self.with_common()}"

    def with_common(self) -> str:
        """The file, after what all files use."""
        return f'#line 1 "common.h"\n{_text("common.h")}\n#line 1 "{self.file}"\n{self.text}'


def _layout(fields: list[Argument]) -> struct.Struct:
    """A struct of these fields, as C lays it out."""
    codes = "".join(f"{f.length}{'P' if f.pointer else f.dtype.char}" for f in fields)
    return struct.Struct(f"@{codes}0q")  # and up to a multiple of 8


@functools.cache
def _text(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def _shared(declaration: re.Match[str]) -> str:
    indent, outside, kind, names = declaration.groups()
    done = []
    for part in re.split(r",(?![^\[]*\])", names):
        name, sizes = re.fullmatch(r"\s*(\w+)\s*((?:\[[^\]]*\]\s*)*)", part).groups()  # type: ignore[union-attr]
        if outside:
            done.append(f'{kind}* {name} = tn_dynamic_shared_as<{kind}>("{name}");')
        else:
            done.append(f"static uint64_t {name}_key[2];")
            done.append(f'auto& {name} = tn_shared_as<{kind} {sizes}>({name}_key, "{name}");')
    return indent + " ".join(done)


@functools.cache
def files() -> dict[str, Source]:
    """The .cu files here, by their names."""
    return {path.name: Source(_whole(path), str(path)) for path in sorted(HERE.glob("*.cu"))}


def _whole(path: Path) -> str:
    """A file with those of ours that it includes."""
    text = path.read_text(encoding="utf-8")
    return INCLUDE.sub(lambda found: f'#line 1 "{found[1]}"\n{_text(found[1])}'
                                     f'#line {text.count(chr(10), 0, found.end()) + 1} "{path}"\n', text)


@functools.cache
def home_of(kernel: str) -> Source:
    """The file that a kernel is in."""
    for source in files().values():
        if kernel in source.kernels:
            return source
    raise LookupError(f"no kernel {kernel!r} in {', '.join(files())}")
