"""A launch checks its arguments against what the .cu file declares; what compilers make is kept, and never stale."""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from tinynet.kernels import stored
from tinynet.kernels.cuda import choice, compiler, launcher, source

TEXT = """
constexpr int MOST = 2;
struct Options { const float* x; float *y[MOST]; int n; float factor; };
extern "C" __global__ void __launch_bounds__(64) plain(const float* __restrict__ x, float* y, long long* z, int n,
                                                       float factor, bool flag) {
    y[threadIdx.x] = x[threadIdx.x] * factor;
}
extern "C" __global__ void packed(Options o) {}
"""
PROGRAM = source.Source(TEXT, "text.cu")
needs_gxx = pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed: NOTHING WAS RUN")


def good():
    x = np.ones(64, "float32")
    return {"x": x, "y": np.zeros(64, "float32"), "z": None, "n": 64, "factor": 2.0, "flag": True}


def launch(name="plain", grid=(1,), block=None, **given):
    launcher.launch(np, name, grid, block, source=PROGRAM, **given)


def test_a_declaration_is_read():
    plain, packed = PROGRAM.kernels["plain"], PROGRAM.kernels["packed"]
    assert (plain.threads, packed.threads, plain.layout) == (64, None, None)
    assert packed.layout.size == struct.calcsize("P2Pif") == 32
    read = [(a.name, a.dtype.name, a.pointer, a.written, a.length) for a in plain.arguments]
    assert read == [
        ("x", "float32", True, False, 1), ("y", "float32", True, True, 1), ("z", "int64", True, True, 1),
        ("n", "int32", False, True, 1), ("factor", "float32", False, True, 1), ("flag", "bool", False, True, 1),
    ]  # fmt: skip
    read = [(a.name, a.dtype.name, a.pointer, a.written, a.length) for a in packed.arguments]
    assert read == [("x", "float32", True, False, 1), ("y", "float32", True, True, 2), ("n", "int32", False, True, 1),
                    ("factor", "float32", False, True, 1)]  # fmt: skip


@pytest.mark.parametrize("text", ["wchar_t* x", "float& x", "half x"])
def test_a_declaration_that_could_not_be_checked_is_refused(text):
    with pytest.raises(TypeError, match=r"could check"):
        source.Source(f'extern "C" __global__ void k({text}) {{}}')


@needs_gxx
def test_what_fits_is_run():
    given = good()
    launch(**given)
    np.testing.assert_array_equal(given["y"], 2)
    launch(grid=(0, 3), **given)  # no blocks: nothing to do


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"x": np.ones(64)}, TypeError, "plain: argument x must be float32, not float64"),
        ({"x": [1.0]}, TypeError, "argument x must be an array of numpy's, not builtins.list"),
        ({"x": np.ones(128, "float32")[::2]}, ValueError, r"x must be contiguous; its shape is \(64,\), its str"),
        ({"z": np.zeros(64, "int32")}, TypeError, "argument z must be int64, not int32"),
        ({"n": 64.0}, TypeError, "argument n must be int32, not float"),
        ({"n": True}, TypeError, "argument n must be int32, not bool"),
        ({"n": 2**31}, OverflowError, "argument n is 2147483648, which int32 does not hold"),
        ({"factor": "2"}, TypeError, "argument factor must be float32, not str"),
        ({"flag": 1}, TypeError, "argument flag must be bool, not int"),
        ({"flags": 1}, TypeError, r"plain\(x, y, z, n, factor, flag\) takes no flags"),
        ({"block": (2048,)}, ValueError, "plain: a block of 2048 threads; a card takes 1024 at most"),
        ({"grid": (1, 70_000)}, ValueError, r"a grid of \(1, 70000\) blocks; a card takes \(2147483647, 6"),
        ({"grid": (1, 1, 1, 1)}, ValueError, "a grid and a block have up to three sizes"),
        ({"name": "absent"}, LookupError, "no kernel 'absent' in text.cu; there are plain, packed"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(change, error, said):
    with pytest.raises(error, match=said):
        launch(**(good() | change))


def test_a_read_only_array_is_not_written():
    y = np.zeros(64, "float32")
    y.flags.writeable = False
    with pytest.raises(ValueError, match="argument y is written, and the array is read-only"):
        launch(**(good() | {"y": y}))


def test_a_missing_argument_and_a_missing_block_are_named():
    with pytest.raises(TypeError, match=r"packed\(x, y, n, factor\) lacks factor"):
        launch("packed", x=None, y=[], n=1)
    with pytest.raises(TypeError, match=r"packed does not declare its __launch_bounds__: the launch must"):
        launch("packed", x=None, y=[], n=1, factor=1)
    with pytest.raises(ValueError, match="packed: y takes 2 values at most, not 3"):
        launch("packed", block=(1,), x=None, y=[None] * 3, n=1, factor=1)


def test_kernels_have_names_of_their_own():
    names = [kernel for found in source.files().values() for kernel in found.kernels]
    assert len(names) == len(set(names)) and names
    with pytest.raises(LookupError, match=r"no kernel 'absent' in .*sgemm\.cu"):
        source.home_of("absent")


def test_every_argument_of_ours_is_written_only_if_it_is_not_const():
    for found in source.files().values():
        for kernel in found.kernels.values():
            assert any(a.pointer and a.written for a in kernel.arguments), f"{kernel.name} has no result"
            assert kernel.threads, f"{kernel.name} does not declare its block"


class OnCard(ModuleType):
    """As much of CuPy as a launch asks for; what a kernel is given is kept."""

    class ndarray:
        def __init__(self, dtype, device_id=1):
            self.dtype, self.shape, self.strides = np.dtype(dtype), (4,), (4,)
            self.flags = np.zeros(4, dtype).flags
            self.data = SimpleNamespace(ptr=0x7000 + device_id, device_id=device_id)

    cuda = SimpleNamespace(
        runtime=SimpleNamespace(getDevice=lambda: 1), function=SimpleNamespace(CNumpyArray=np.ndarray.tobytes)
    )


def test_on_a_card_each_argument_goes_by_value_and_with_its_type(monkeypatch):
    started = []

    class Function:
        max_dynamic_shared_size_bytes = 48 << 10

        def __call__(self, grid, block, arguments, shared_mem):
            started.append((grid, block, arguments, shared_mem, self.max_dynamic_shared_size_bytes))

    monkeypatch.setattr(launcher, "function_on_card", lambda source, name, device: Function())
    x = OnCard.ndarray("float32")
    cupy = OnCard("cupy")
    launcher.launch(cupy, "plain", (3,), source=PROGRAM, x=x, y=x, z=None, n=5, factor=2, flag=False)
    launcher.launch(cupy, "packed", (3, 2), (32,), 60_000, PROGRAM, x=None, y=[x], n=5, factor=2)
    (grid, block, plain, shared, _), (_, _, (packed,), more, most) = started
    assert (grid, block, shared, more, most) == ((3, 1, 1), (64, 1, 1), 0, 60_000, 60_000)
    assert plain == (0x7001, 0x7001, 0, 5, 2.0, False)
    assert [value.dtype.name for value in plain] == ["uint64", "uint64", "uint64", "int32", "float32", "bool"]
    assert packed == struct.pack("PPPif", 0, 0x7001, 0, 5, 2.0)
    with pytest.raises(ValueError, match="argument x is on device 2, and the kernel runs on 1"):
        launcher.launch(cupy, "packed", (1,), (1,), 0, PROGRAM, x=OnCard.ndarray("float32", 2), y=[], n=5, factor=2)
    with pytest.raises(TypeError, match=r"argument x must be an array of cupy's, not numpy\.ndarray"):
        launcher.launch(cupy, "packed", (1,), (1,), 0, PROGRAM, x=np.zeros(4, "float32"), y=[], n=5, factor=2)


def test_a_cubin_is_made_by_the_compiler_of_the_cuda_that_loads_it(monkeypatch):
    opened = []
    there = ["a/libnvrtc.so.12", "b/libnvrtc.so.13"]
    monkeypatch.setattr(compiler.glob, "glob", lambda pattern: there)
    monkeypatch.setattr(compiler.ctypes, "CDLL", lambda path: opened.append(path) or path)
    for cuda in (0, 12, 13, 11):
        compiler.nvrtc.cache_clear()
        compiler.nvrtc(cuda)
    compiler.nvrtc.cache_clear()
    assert [path[-2:] for path in opened] == ["13", "12", "13", "13"]


# ---- what is kept on disk
def test_what_was_made_is_found_and_made_anew_only_if_something_changed(tmp_path, monkeypatch):
    monkeypatch.setenv("TINYNET_CUDA_CACHE", str(tmp_path))
    made = []

    def make():
        made.append(1)
        return b"code"

    name = compiler.named("text", "-O1", ending=".so")
    for _ in range(2):
        assert compiler.made(name, make).read_bytes() == b"code"
    assert len(made) == 1 and compiler.made(name, make).parent == tmp_path / "tinynet"
    others = [compiler.named(*parts, ending=".so") for parts in (("text", "-O2"), ("text-O1",), ("tex", "t-O1"))]
    assert len({name, *others}) == 4


def test_where_nothing_can_be_kept_this_process_keeps_it(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("TINYNET_CUDA_CACHE", str(tmp_path / "file" / "within"))
    assert str(compiler.made("some.so", lambda: b"code")).startswith(compiler.scratch())


def test_the_first_folder_that_can_be_written_is_taken(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    (tmp_path / "source").touch()
    beside, home = stored.folders(str(tmp_path / "source" / "file.py"))
    assert (beside, home) == (tmp_path / "source" / "__pycache__", tmp_path / "home" / "tinynet" / "kernels")
    assert stored.keep(b"x", "name", [beside, home]) == home / "name"  # the source's folder is none
    assert stored.find("name", [beside, home]) == home / "name" and stored.find("other", [beside, home]) is None
    assert stored.keep(b"x", "name", [beside]) is None
    assert [path.name for path in home.iterdir()] == ["name"]  # and no draft


@needs_gxx
def test_a_changed_word_of_the_emulators_compiles_kernels_anew(tmp_path, monkeypatch):
    monkeypatch.setenv("TINYNET_CUDA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(compiler, "HOST", tmp_path / "host")
    shutil.copytree(Path(source.HERE) / "host", tmp_path / "host")
    names = []
    for line in ("", "// changed\n"):
        for file in ("cuda.h", "memory.cpp"):
            path = tmp_path / "host" / file
            path.write_text(path.read_text() + line)
            compiler.library.cache_clear()
            names.append(compiler.library(PROGRAM, True).name)
    assert names[0] == names[1] and len(set(names)) == 3
    compiler.library.cache_clear()


def test_without_nvrtc_it_is_said_what_to_install(monkeypatch):
    def refuse(name):
        raise OSError(name)

    compiler.nvrtc.cache_clear()
    monkeypatch.setattr(compiler.ctypes, "CDLL", refuse)
    with pytest.raises(compiler.CompileError, match="NVRTC, which compiles kernels for a card, is not installed: pip"):
        compiler.nvrtc()
    compiler.nvrtc.cache_clear()


def test_precision_is_one_of_two():
    with pytest.raises(ValueError, match="precision must be 'fp32' or 'tf32', not 'fp16'"):
        choice.set_precision("fp16")
    assert choice.precision == "fp32"
    choice.set_precision("tf32")
    assert choice.precision == "tf32"
    choice.set_precision("fp32")


@needs_gxx
def test_the_emulator_needs_no_cupy_and_no_numba():
    code = (
        "import sys; sys.modules['cupy'] = sys.modules['numba'] = None\n"
        "import numpy as np; from tinynet import kernels\n"
        "with kernels.use_kernels('emu'): print(kernels.run('softmax', np, np.zeros((1, 5), 'f'), dim=1))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout == "[[0.2 0.2 0.2 0.2 0.2]]\n", run.stderr
