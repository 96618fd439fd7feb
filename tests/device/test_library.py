"""What is there, and what is missing: each thing that can be wrong is said, with the command that helps."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import tinynet as tn
from tinynet.nvidia import driver, library, memory

ROOT = Path(__file__).parents[2]
TWO = driver.Driver("570.86", (12, 8), tuple(driver.Card(f"Card {k}", 2**34, (9, 0), f"GPU-{k}") for k in range(2)))


@pytest.fixture
def machine(monkeypatch, nothing_known):
    """A function that makes up a machine: its driver, its packages, its environment."""
    monkeypatch.setattr(library.os.path, "exists", lambda path: False)
    monkeypatch.setattr(library.importlib.util, "find_spec", lambda name: None)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delitem(sys.modules, "cupy", raising=False)

    def make(found=TWO, packages=None, visible=None, docker=False, card=False):
        library.obstacle.cache_clear()
        monkeypatch.setattr(driver, "find", lambda: found)
        packages = {"cupy-cuda12x": "14.2.0"} if packages is None else packages
        monkeypatch.setattr(library, "installed", lambda: packages)
        if visible is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        monkeypatch.setattr(library.os.path, "exists", lambda path: docker)
        monkeypatch.setattr(driver, "card_without_driver", lambda: card)

    return make


MISSING = [
    ({"found": None}, "no NVIDIA driver, and as far as can be seen no NVIDIA card", "tn.device("),
    ({"found": None, "card": True}, "an NVIDIA card in this machine, but no driver", "sudo apt install nvidia-driver"),
    ({"found": None, "docker": True}, "this container sees no NVIDIA driver", "docker run --gpus all"),
    ({"found": TWO._replace(cards=(), trouble="Driver/library version mismatch (NVML error 18)")},
     "the NVIDIA driver does not start: Driver/library version mismatch", "nvidia-smi"),
    ({"found": TWO._replace(cards=())}, "the NVIDIA driver is there, but no GPU", "nvidia-smi"),
    ({"found": TWO._replace(cards=(), hidden=2), "visible": ""}, "CUDA_VISIBLE_DEVICES='' hides every GPU",
     "unset CUDA_VISIBLE_DEVICES"),
    ({"packages": {}}, "through CuPy, which is not installed", 'pip install "cupy-cuda12x[ctk]"'),
    ({"packages": {}, "found": TWO._replace(cuda=(13, 1))}, "CuPy, which is not installed",
     'pip install "cupy-cuda13x[ctk]"'),
    ({"packages": {}, "found": TWO._replace(cuda=(14, 0))}, "not installed", 'pip install "cupy-cuda13x[ctk]"'),
    ({"packages": {"cupy-cuda12x": "14.2.0", "cupy-cuda13x": "14.2.0"}},
     "cupy-cuda12x and cupy-cuda13x are installed, which overwrite one another",
     'pip uninstall -y cupy-cuda12x cupy-cuda13x && pip install "cupy-cuda12x[ctk]"'),
    ({"packages": {"cupy-cuda13x": "14.2.0"}},
     r"cupy-cuda13x is CuPy for CUDA 13, but the NVIDIA driver runs CUDA 12.8",
     'pip uninstall -y cupy-cuda13x && pip install "cupy-cuda12x[ctk]"'),
    ({"packages": {"cupy-cuda11x": "13.6.0"}}, "cupy-cuda11x is CuPy for CUDA 11",
     'pip uninstall -y cupy-cuda11x && pip install "cupy-cuda12x[ctk]"'),
    ({"packages": {"cupy-cuda12x": "13.6.0"}}, "cupy-cuda12x 13.6.0 is older than CuPy 14",
     'pip install --upgrade "cupy-cuda12x[ctk]"'),
    ({"found": TWO._replace(cuda=(11, 4))}, "the NVIDIA driver runs CUDA 11.4, and CuPy needs one that runs 12.0",
     "sudo apt install nvidia-driver"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "what", "command"), MISSING)
def test_what_is_missing_is_said_with_the_command(machine, changes, what, command):
    machine(**changes)
    assert not tn.cuda.is_available() and tn.cuda.device_count() == 0
    for ask in (lambda: tn.device("cuda"), lambda: tn.ones(2).cuda(), lambda: tn.zeros(2, device="cuda:0"),
                lambda: tn.nn.Linear(1, 1).cuda(), tn.cuda.synchronize, lambda: tn.Generator("cuda")):  # fmt: skip
        with pytest.raises(RuntimeError, match=rf"device 'cuda(:0)?': .*{what}") as error:
            ask()
        assert f"Use device='cpu', or change it:\n    {command}" in str(error.value)
    found = tn.cuda.info()
    assert re.search(what, found["to do"][0]) and found["to do"][1].startswith(command)
    assert f"\n    {command}" in str(found) and "to use a GPU: " in str(found)
    assert tn.cuda.memory_allocated() == 0
    assert "cupy" not in sys.modules, "nothing is imported to find that out"


def test_what_fits_is_taken(machine):
    for changes in ({}, {"found": TWO._replace(cuda=(13, 0))}, {"packages": {"cupy": "14.2.0"}},
                    {"found": TWO._replace(cuda=(13, 0)), "packages": {"cupy-cuda13x": "15.0.0"}}):  # fmt: skip
        machine(**changes)
        assert library.obstacle() is None and tn.cuda.is_available() and tn.cuda.device_count() == 2


def test_a_number_beyond_the_last(gpu):
    with pytest.raises(RuntimeError, match="ordinal: there is no device 'cuda:2', the last one is 'cuda:1'"):
        tn.zeros(2, device="cuda:2")
    with pytest.raises(ValueError, match="Expected a cuda device, but got: cpu"):
        tn.cuda.synchronize("cpu")


# ---- a CuPy that is there, but does not work
def broken(monkeypatch, gpu, **changes):
    monkeypatch.setattr(library, "_loaded", None)
    cuda = SimpleNamespace(**{**vars(gpu.cuda), **changes.pop("cuda", {})})
    module = SimpleNamespace(**{name: getattr(gpu, name) for name in ("arange", "get_default_memory_pool")}, cuda=cuda)
    for name, value in changes.items():
        setattr(module, name, value)
    monkeypatch.setitem(sys.modules, "cupy", module)


def raising(error):
    def call(*args):
        raise error

    return call


@pytest.mark.parametrize(("changes", "what"), [
    ({"cuda": {"nvrtc": SimpleNamespace(getVersion=raising(RuntimeError("Failure finding 'libnvrtc.so.12'\nmore")))}},
     "NVRTC, NVIDIA's compiler, which makes the code for the GPU, is not there: Failure finding 'libnvrtc.so.12'. Use"),
    ({"cuda": {"nvrtc": SimpleNamespace(getVersion=raising(OSError("libnvrtc.so.12: no such file")))}}, "NVRTC"),
    ({"arange": raising(Exception("cannot open source file 'cuda_fp16.h'"))},
     "CuPy cannot compute on this GPU: cannot open source file 'cuda_fp16.h'"),
])  # fmt: skip
def test_cupy_without_its_libraries(gpu, monkeypatch, changes, what):
    broken(monkeypatch, gpu, **changes)
    with pytest.raises(RuntimeError, match=re.escape(what)) as error:
        tn.zeros(1, device="cuda")
    assert str(error.value).endswith('change it:\n    pip install "cupy-cuda12x[ctk]"')
    found = tn.cuda.info()
    assert found["to do"][1] == 'pip install "cupy-cuda12x[ctk]"' and what.split(".")[0] in found["to do"][0]
    assert library.loaded() is None, "another try may succeed"


def test_cupy_that_cannot_be_imported(gpu, monkeypatch):
    monkeypatch.setattr(library, "_loaded", None)
    monkeypatch.setattr(library.importlib, "import_module", raising(ImportError("libcudart.so.12: no such file")))
    with pytest.raises(RuntimeError, match=r"CuPy cannot be imported: libcudart.so.12: no such file[^$]*ctk"):
        tn.zeros(1, device="cuda")


# ---- memory
def test_out_of_memory_is_tried_once_more_and_then_explained(gpu):
    pool = gpu.get_default_memory_pool()
    a = tn.zeros(2**20, device="cuda")
    pool.capacity = 3 * 2**22
    del a
    assert pool.free_bytes() >= 2**22
    b = tn.zeros(2**21, device="cuda")
    assert pool.frees == 1 and tn.cuda.memory_allocated() >= 2**23, "what the pool kept was given back"
    with pytest.raises(tn.cuda.OutOfMemoryError) as error:
        tn.ones(2**28, device="cuda")
    said = str(error.value)
    assert said.startswith("CUDA out of memory. Tried to allocate 1.00 GiB. GPU 0 has 0.01 GiB, of which 0.00 GiB is ")
    assert all(word in said for word in ("tensors use 0.01 GiB", "the pool keeps", "other programs", "a smaller batch",
                                         "tn.no_grad()", "loss.item()"))  # fmt: skip
    assert isinstance(error.value, RuntimeError) and b.sum().item() == 0


def test_out_of_memory_within_an_op_and_a_backward(gpu):
    pool = gpu.get_default_memory_pool()
    x = tn.ones(2**18, device="cuda", requires_grad=True)
    y = (x * x).sum()
    pool.capacity = pool.used_bytes() + 1000
    for call in (lambda: x + 1, y.backward, lambda: x.cpu().cuda()):
        with pytest.raises(tn.cuda.OutOfMemoryError, match=r"Tried to allocate 0.00 GiB"):
            call()


def test_garbage_is_collected_first():
    calls = []

    def allocate(size):
        calls.append(size)
        if len(calls) < 3:
            raise MemoryError
        return size

    cycle = []
    cycle.append(cycle)
    pool = SimpleNamespace(free_all_blocks=lambda: calls.append("freed"))
    cupy = SimpleNamespace(get_default_memory_pool=lambda: pool)
    assert memory.guarded(cupy, allocate)(7) == 7 and calls == [7, "freed", 7]


# ---- a child of a program that uses the GPU
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_is_told_to_spawn(gpu):
    tn.zeros(1, device="cuda")
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            tn.zeros(1, device="cuda")
            os.write(writer, b"no error")
        except RuntimeError as problem:
            os.write(writer, str(problem).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 1000).startswith(b"Cannot re-initialize CUDA in forked subprocess.")
    assert tn.zeros(1, device="cuda").item() == 0, "the parent is as it was"


def test_a_child_can_be_forked_after_the_question():
    """To ask whether there is a GPU loads no CUDA driver into the process, and no CuPy."""
    program = """
import ctypes, sys
asked, load = [], ctypes.CDLL
ctypes.CDLL = lambda name, *rest, **options: asked.append(str(name)) or load(name, *rest, **options)
import tinynet as tn
before = [name for name in asked if "cuda" in name or "nvidia" in name]
tn.cuda.is_available(), tn.cuda.device_count(), tn.cuda.memory_allocated()
print(before, "cupy" in sys.modules, asked[0 if not asked else -1:])
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert run.stdout.startswith("[] False ["), run.stdout + run.stderr


# ---- the driver
class Nvml:
    """NVIDIA's library for administrators, as far as it is asked."""

    def __init__(self, status=0):
        self.status, self.closed = status, 0
        self.nvmlErrorString = SimpleNamespace()
        self.nvmlErrorString = self._error

    class _Function:
        restype = None

        def __call__(self, status):
            return b"Driver/library version mismatch"

    _error = _Function()

    def nvmlInit_v2(self):
        return self.status

    def nvmlShutdown(self):
        self.closed += 1

    def nvmlDeviceGetCount_v2(self, count):
        count._obj.value = 2

    def nvmlSystemGetCudaDriverVersion(self, version):
        version._obj.value = 12080

    def nvmlSystemGetDriverVersion(self, text, size):
        text.value = b"570.86"
        return 0

    def nvmlDeviceGetHandleByIndex_v2(self, number, handle):
        handle._obj.value = number.value + 1

    def nvmlDeviceGetMemoryInfo(self, handle, memory):
        memory._obj[0] = 80 * 2**30

    def nvmlDeviceGetCudaComputeCapability(self, handle, major, minor):
        major._obj.value, minor._obj.value = 9, 0

    def nvmlDeviceGetName(self, handle, text, size):
        text.value = b"NVIDIA H100 %d" % (handle.value - 1)
        return 0

    def nvmlDeviceGetUUID(self, handle, text, size):
        text.value = b"GPU-%d" % (handle.value - 1)
        return 0


def test_nvml_is_asked(monkeypatch, nothing_known):
    nvml, asked = Nvml(), []
    monkeypatch.setattr(driver.ctypes, "CDLL", lambda name: asked.append(name) or nvml)
    monkeypatch.setattr(driver.sys, "platform", "linux")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    found = driver.find()
    assert found.release == "570.86" and found.cuda == (12, 8) and found.hidden == 0 and found.trouble is None
    assert found.cards[1] == driver.Card("NVIDIA H100 1", 80 * 2**30, (9, 0), "GPU-1") and len(found.cards) == 2
    assert driver.find() is found and asked == ["libnvidia-ml.so.1"] and nvml.closed == 1, "asked once, and let go"
    driver.find.cache_clear()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert [card.uuid for card in driver.find().cards] == ["GPU-1"] and driver.find().hidden == 1


def test_a_driver_that_does_not_start(monkeypatch, nothing_known):
    monkeypatch.setattr(driver.ctypes, "CDLL", lambda name: Nvml(status=18))
    monkeypatch.setattr(driver.sys, "platform", "linux")
    assert driver.find().trouble == "Driver/library version mismatch (NVML error 18)" and not driver.find().cards


@pytest.mark.parametrize(("wanted", "seen"), [
    (None, "012"), ("", ""), ("0,2", "02"), ("2", "2"), ("1,-1,0", "1"), ("3", ""), ("0,7,1", "0"), ("GPU-b", "1"),
    ("GPU-c,GPU-a", "20"), ("GPU-", ""), ("NoDevFiles", ""), (" 1 , 0", "10"), ("0,0", ""), ("MIG-12/3/0", "0"),
])  # fmt: skip
def test_which_cards_are_visible(wanted, seen):
    cards = [driver.Card(str(k), 1, (9, 0), f"GPU-{letter}") for k, letter in enumerate("abc")]
    assert "".join(card.name for card in driver.visible(cards, wanted)) == seen


def asked_cuda(monkeypatch, answer):
    """A machine without NVML; `answer` is what the process prints that asks CUDA."""
    def load(name):
        if "cuda" not in name:
            raise OSError(name)

    monkeypatch.setattr(driver.ctypes, "CDLL", load)
    monkeypatch.setattr(driver.sys, "platform", "linux")
    monkeypatch.setattr(driver.subprocess, "run", answer)


def test_without_nvml_cuda_is_asked_by_another_process(monkeypatch, nothing_known):
    commands = []

    def answer(command, **options):
        commands.append(command)
        return SimpleNamespace(stdout=json.dumps([0, 13000, [["Orin", 2**35, [8, 7], ""]]]))

    asked_cuda(monkeypatch, answer)
    found = driver.find()
    assert found.cuda == (13, 0) and found.cards == (driver.Card("Orin", 2**35, (8, 7)),)
    assert commands[0][0] == sys.executable and commands[0][-1] == "libcuda.so.1"


@pytest.mark.parametrize(("answer", "trouble"), [
    (lambda *a, **o: SimpleNamespace(stdout="[100, 12080, []]"), "CUDA error 100"),
    (lambda *a, **o: SimpleNamespace(stdout="?"), "it does not answer"),
    (lambda *a, **o: raising(subprocess.TimeoutExpired("x", 60))(), "it does not answer"),
])  # fmt: skip
def test_a_cuda_that_does_not_start(monkeypatch, nothing_known, answer, trouble):
    asked_cuda(monkeypatch, answer)
    assert trouble in driver.find().trouble and not driver.find().cards


def test_the_question_is_a_program(tmp_path):
    """What the other process runs, with a driver's library of a few lines of C."""
    cc = shutil.which("gcc") or shutil.which("cc")
    if cc is None or sys.platform != "linux":
        pytest.skip("no C compiler here")
    source = """
        #include <string.h>
        int cuInit(unsigned f) { return 0; }
        int cuDriverGetVersion(int* v) { *v = 12080; return 0; }
        int cuDeviceGetCount(int* n) { *n = 2; return 0; }
        int cuDeviceGet(int* d, int k) { *d = k; return 0; }
        int cuDeviceGetName(char* s, int n, int d) { strcpy(s, d ? "B" : "A"); return 0; }
        int cuDeviceTotalMem_v2(size_t* m, int d) { *m = 1000000000000ull; return 0; }
        int cuDeviceGetAttribute(int* v, int what, int d) { *v = what == 75 ? 9 : d; return 0; }
    """
    path = str(tmp_path / "libcuda.so")
    subprocess.run([cc, "-shared", "-fPIC", "-x", "c", "-", "-o", path], input=source, text=True, check=True)
    command = [sys.executable, "-I", "-c", driver.QUESTION, path]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [0, 12080, [["A", 10**12, [9, 0], ""], ["B", 10**12, [9, 1], ""]]]


def test_no_driver_at_all(monkeypatch, nothing_known):
    monkeypatch.setattr(driver.ctypes, "CDLL", raising(OSError("no such file")))
    assert driver.find() is None
    driver.find.cache_clear()
    monkeypatch.setattr(driver.sys, "platform", "darwin")
    assert driver.find() is None


def test_a_card_without_a_driver(monkeypatch, tmp_path):
    monkeypatch.setattr(driver, "PCI", tmp_path)
    assert not driver.card_without_driver()
    for name, (vendor, kind) in {"a": ("0x8086", "0x030000"), "b": ("0x10de", "0x040300")}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "vendor").write_text(vendor + "\n")
        (tmp_path / name / "class").write_text(kind + "\n")
    assert not driver.card_without_driver(), "another maker's, and the sound of NVIDIA's"
    (tmp_path / "b" / "class").write_text("0x030200\n")
    assert driver.card_without_driver()
    monkeypatch.setattr(driver, "PCI", tmp_path / "none")
    assert not driver.card_without_driver()


def test_installed_packages(monkeypatch):
    import importlib.metadata

    versions = {"cupy-cuda12x": "14.2.0", "cupy-cuda13x": "14.1.0"}

    def version(name):
        if name not in versions:
            raise importlib.metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert library.installed() == versions


# ---- the report
def test_info_of_a_machine_on_which_nothing_is_missing(gpu, monkeypatch):
    cublas = SimpleNamespace(getVersion=lambda handle: 120901)
    for name, module in {"cupy_backends": SimpleNamespace(), "cupy_backends.cuda": SimpleNamespace(),
                         "cupy_backends.cuda.libs": SimpleNamespace(cublas=cublas)}.items():  # fmt: skip
        monkeypatch.setitem(sys.modules, name, module)
    found = tn.cuda.info()
    assert found["driver"] == "570.86, for CUDA 12.8 and older" and found["CuPy"] == "14.2.0 (cupy-cuda12x)"
    assert found["cards"] == [f"cuda:{k} NVIDIA Test, 80 GiB, sm_90" for k in range(2)]
    assert (found["runtime"], found["NVRTC"], found["cuBLAS"]) == ("12.9", "12.9", "12.9") and found["to do"] is None
    assert str(found).splitlines()[0].split() == ["driver", "570.86,", "for", "CUDA", "12.8", "and", "older"]
    monkeypatch.setattr(gpu.cuda, "get_cublas_handle", raising(RuntimeError("not there")))
    assert tn.cuda.info()["cuBLAS"] == "cannot be loaded: not there"


def test_cuda_with_a_gpu(gpu):
    assert tn.cuda.is_available() and tn.cuda.device_count() == 2
    x = tn.ones(1000, device="cuda")
    assert tn.cuda.memory_allocated() >= 4000
    before = gpu.traffic["wait"]
    tn.cuda.synchronize()
    tn.cuda.synchronize("cuda:1")
    assert gpu.traffic["wait"] == before + 2 and x.sum().item() == 1000
