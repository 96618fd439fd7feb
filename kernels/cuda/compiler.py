"""From a .cu file to what runs: by NVRTC to a cubin, for a card; by g++ to a shared library, for the emulator.

Both are kept on disk, under a name that stands for everything they were made of: in $TINYNET_CUDA_CACHE if that is
set, or beside the source, or in the user's cache. NVRTC is called by ctypes: it needs neither a card nor a driver
nor CuPy.
"""
from __future__ import annotations

import contextlib
import ctypes
import functools
import glob
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from .. import stored
from .source import HERE, Source

NVRTC_OPTIONS = ("-std=c++17", "-lineinfo", "--ptxas-options=-v")
HOST = HERE / "host"
# The debugger's knowledge names the line of each access. Vectors, merged stores and split structs would hide what a
# kernel asks of memory. A thread's stack has 128 KiB.
GXX_OPTIONS = ("-std=c++17", "-O1", "-g", "-fPIC", "-fno-tree-vectorize", "-fno-store-merging", "-fno-tree-sra",
               "-Werror=frame-larger-than=100000", "-fno-threadsafe-statics", "-fno-gnu-unique", "-U_FORTIFY_SOURCE",
               "-ffp-contract=off")
CHECKS = ("-fsanitize=thread", "-fsanitize=bounds,integer-divide-by-zero", "-fsanitize-recover=all")
FAST = ("-O2",)


class CompileError(RuntimeError):
    """A kernel that a compiler refuses, with what it says."""


def places() -> list[Path]:
    """Where compiled kernels are kept."""
    return stored.folders(__file__, os.environ.get("TINYNET_CUDA_CACHE"))


def named(*parts: str, ending: str) -> str:
    """A file name that stands for everything that the file is made of."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32] + ending


def made(name: str, make: Callable[[], bytes]) -> Path:
    """The file of that name: found, or made and kept; where nothing can be kept, for this process alone."""
    found = stored.find(name, places())
    if found is None:
        content = make()
        found = stored.keep(content, name, places()) or stored.keep(content, name, [Path(scratch())])
    if found is None:
        raise CompileError(f"compiled kernels can be written to none of {', '.join(map(str, places()))}, {scratch()}")
    return found


@functools.cache
def scratch() -> str:
    """A folder of this process's own."""
    return tempfile.mkdtemp(prefix="tinynet-")


# ---- for a card
@functools.cache
def nvrtc(cuda: int = 0) -> ctypes.CDLL:
    """NVIDIA's run-time compiler, as pip installs it or as the system has it: of that major version of CUDA if there
    is one, or else the newest."""
    nvidia = importlib.util.find_spec("nvidia")
    folders = [f"{folder}/*/lib" for folder in (nvidia.submodule_search_locations or () if nvidia else ())]
    folders += [f"{os.environ.get('CUDA_PATH', '/usr/local/cuda')}/lib64"]
    found = [path for folder in folders for path in glob.glob(f"{folder}/libnvrtc.so.*")]
    found += ["libnvrtc.so.13", "libnvrtc.so.12"]  # wherever the system looks for libraries
    for path in sorted(found, key=lambda path: (f".so.{cuda}" in path, Path(path).name), reverse=True):
        with contextlib.suppress(OSError):
            return ctypes.CDLL(path)
    raise CompileError("NVRTC, which compiles kernels for a card, is not installed: pip install nvidia-cuda-nvrtc, or "
                       "tinynet-dl[cuda12] or [cuda13] for CuPy and all that it needs")


def nvrtc_version(cuda: int = 0) -> tuple[int, int]:
    """Its major and minor version."""
    major, minor = ctypes.c_int(), ctypes.c_int()
    nvrtc(cuda).nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
    return major.value, minor.value


def compile_for_card(source: Source, arch: str, cuda: int = 0) -> tuple[bytes, str]:
    """The cubin for an architecture (sm_90), and what the compiler says of it: registers, spills."""
    library, program = nvrtc(cuda), ctypes.c_void_p()
    given = [f"--gpu-architecture={arch}".encode(), *(option.encode() for option in NVRTC_OPTIONS)]
    options = (ctypes.c_char_p * len(given))(*given)
    library.nvrtcCreateProgram(ctypes.byref(program), source.for_card().encode(), source.file.encode(), 0, None, None)
    failed = library.nvrtcCompileProgram(program, len(given), options)

    def fetch(what: str) -> bytes:
        size = ctypes.c_size_t()
        getattr(library, f"nvrtcGet{what}Size")(program, ctypes.byref(size))
        buffer = ctypes.create_string_buffer(size.value)
        getattr(library, f"nvrtcGet{what}")(program, buffer)
        return buffer.raw

    log = fetch("ProgramLog").decode(errors="replace").rstrip("\0")
    cubin = b"" if failed else fetch("CUBIN")
    library.nvrtcDestroyProgram(ctypes.byref(program))
    if failed:
        raise CompileError(f"{source.file} does not compile for {arch}:\n{log}")
    return cubin, log


@functools.cache
def cubin(source: Source, arch: str, cuda: int = 0) -> Path:
    """The file of a source's cubin."""
    name = named(source.for_card(), arch, *NVRTC_OPTIONS, str(nvrtc_version(cuda)), ending=".cubin")
    return made(name, lambda: compile_for_card(source, arch, cuda)[0])


# ---- for the emulator
@functools.cache
def gxx() -> str:
    """Where g++ is."""
    if sys.platform != "linux":
        raise CompileError(f"the emulator runs on Linux (on Windows, within WSL), not on {sys.platform}")
    found = shutil.which(os.environ.get("CXX", "g++"))
    if found is None:
        raise CompileError("the emulator compiles kernels by g++, which is not installed: apt install g++, or "
                           "dnf install gcc-c++, or another that $CXX names")
    return found


@functools.cache
def gxx_version() -> str:
    """What it says that it is."""
    return subprocess.run([gxx(), "--version"], capture_output=True, text=True, check=True).stdout.partition("\n")[0]


def run_gxx(arguments: list[str], of: str) -> bytes:
    """What g++ makes of files."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        run = subprocess.run([gxx(), *arguments, "-o", str(out)], capture_output=True, text=True, check=False)
        if run.returncode:
            raise CompileError(f"{of} does not compile:\n{run.stderr}")
        return out.read_bytes()


def host_part(file: str) -> Path:
    """One of the emulator's own files, compiled."""
    text = (HOST / "emulator.h").read_text() + (HOST / file).read_text()
    arguments = ["-std=c++17", "-O2", "-fPIC", "-U_FORTIFY_SOURCE", "-c", str(HOST / file)]
    return made(named(text, gxx_version(), *arguments, ending=".o"), lambda: run_gxx(arguments, file))


@functools.cache
def library(source: Source, checks: bool) -> Path:
    """The shared library of a source and the emulator, with or without a look at every access of memory."""
    options = [*GXX_OPTIONS, *(CHECKS if checks else FAST)]
    text = source.for_host()
    parts = [(HOST / name).read_text() for name in ("cuda.h", "emulator.h", "threads.cpp", "memory.cpp")]

    def make() -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            given, kernels = Path(folder) / Path(source.file).name, Path(folder) / "kernels.o"
            given.write_text(text, encoding="utf-8")
            kernels.write_bytes(run_gxx([*options, "-include", str(HOST / "cuda.h"), "-x", "c++", "-c", str(given)],
                                        source.file))
            objects = [str(kernels), str(host_part("threads.cpp")), str(host_part("memory.cpp"))]
            return run_gxx(["-shared", "-Wl,-Bsymbolic", *objects], source.file)

    return made(named(text, *parts, gxx_version(), *options, ending=".so"), make)
