"""The stand-in for CuPy is as strict as CuPy; what it has, CuPy has, where that is installed."""

from __future__ import annotations

import importlib
import importlib.util
import inspect

import numpy as np
import pytest


@pytest.fixture
def real():
    """CuPy itself: to look at its names needs no GPU."""
    if importlib.util.find_spec("cupy") is None:
        pytest.skip("CuPy is not installed, so its names cannot be compared")
    import cupy

    return cupy


def test_functions_are_those_of_cupy(real, gpu_module):
    for name, ours in gpu_module.FUNCTIONS.items():
        parameters = inspect.signature(getattr(real, name)).parameters.values()
        theirs = " ".join("*" * (p.kind is p.VAR_POSITIONAL) + p.name for p in parameters)
        assert ours == theirs, name
    for name in (*gpu_module.OPEN, gpu_module.MATMUL):
        assert callable(getattr(real, name)), name
    for name in gpu_module.UFUNCS:
        assert isinstance(getattr(real, name), real.ufunc), name
    for name in gpu_module.METHODS:
        assert hasattr(real.ndarray, name), name
    for name in gpu_module.LINALG:
        assert callable(getattr(real.linalg, name)), name
    special = importlib.import_module("cupyx.scipy.special")
    for name in gpu_module.SPECIAL:
        assert callable(getattr(special, name)), name
    for name, ours in gpu_module.PARAMETERS.items():
        said = getattr(real.ndarray, name).__doc__.splitlines()[0]
        assert all(f"{p}=" in said or f" {p}," in said for p in ours.split()), said


def test_what_cupy_has_beside_arrays(real, gpu_module):
    names = """
        cuda.Device cuda.get_allocator cuda.set_allocator cuda.nvrtc cuda.get_current_stream cuda.get_cublas_handle
        cuda.runtime.memGetInfo cuda.runtime.runtimeGetVersion get_default_memory_pool from_dlpack
    """
    for path in names.split():
        owner = real
        for part in path.split("."):
            owner = getattr(owner, part)
    pool = real.cuda.MemoryPool
    assert all(hasattr(pool, name) for name in ("used_bytes", "free_bytes", "total_bytes", "free_all_blocks"))
    assert all(hasattr(real.cuda.Device, name) for name in ("use", "synchronize", "__enter__", "id"))
    assert issubclass(real.cuda.memory.OutOfMemoryError, MemoryError)
    linalg = importlib.import_module("cupy._core._routines_linalg")
    assert callable(linalg.set_compute_type) and callable(linalg.get_compute_type)
    assert {name: getattr(linalg, name) for name in gpu_module.COMPUTE_TYPES} == gpu_module.COMPUTE_TYPES
    assert real.ndarray.__module__ == "cupy" and real.ndarray.__weakrefoffset__, "writes are dated by weak references"
    assert not hasattr(np.ndarray, "get") and hasattr(real.ndarray, "get")


@pytest.mark.parametrize("use", [
    np.asarray, np.isfinite, np.sum, lambda x: np.ones(3) * x, lambda x: x * np.ones(3), lambda x: x + np.array(1.0),
    lambda x: x[np.array([0])], lambda x: x[[0]], lambda x: x.__setitem__(0, np.ones(())),
    lambda x: np.concatenate([x, x]), lambda x: x.max(initial=0), lambda x: x.sum(where=True), lambda x: np.stack([x]),
])  # fmt: skip
def test_numpy_and_it_do_not_mix(gpu, use):
    with pytest.raises(TypeError):
        use(gpu.arange(3))


def test_what_cupy_lacks(gpu):
    x = gpu.arange(3)
    for lacking in (lambda: gpu.errstate_of_numpy, lambda: gpu.lib, lambda: x.flags.writeable, lambda: x.ctypes):
        with pytest.raises(AttributeError):
            lacking()
    with pytest.raises(NotImplementedError):
        gpu.maximum.reduce(x)
    with pytest.raises(TypeError, match="scatter_add only supports"):
        gpu.add.at(x, gpu.arange(3), 1)
    with pytest.raises(AttributeError):
        gpu.where(True, x, x)
    with pytest.raises(ValueError, match="must have"):
        gpu.linalg.solve(gpu.ones((1, 2, 2)), gpu.ones((2, 2)))


def test_what_is_counted(gpu):
    x = gpu.asarray(np.arange(3.0))
    assert gpu.traffic == {"to device": 1}
    x.get(), x.tolist(), float(x[0]), bool(x[1]), int(x[2])
    assert gpu.traffic["to host"] == 5 and not gpu.traffic["wait"]
    x[x > 1], gpu.nonzero(x), gpu.unique(x)
    x[x > 1] = 0
    assert gpu.traffic["wait"] == 4 and gpu.traffic["to host"] == 5


def test_views_and_memory(gpu):
    pool = gpu.get_default_memory_pool()
    x = gpu.zeros((2, 3))
    assert pool.used_bytes() == 48
    y = x[1:]
    assert y.base is x and y.reshape(-1).base is x and x.T.base is x and (x + 1).base is None and x.copy().base is None
    y[...] = 1
    assert x.get().tolist() == [[0.0] * 3, [1.0] * 3]
    del x
    assert pool.used_bytes() == 48, "a view keeps it"
    del y
    assert pool.used_bytes() == 0 and pool.free_bytes() >= 48
    assert gpu.zeros(3)[0].shape == () and type(gpu.zeros(3).sum()) is gpu.ndarray, "there are no numbers on a GPU"


def test_an_index_out_of_range_goes_round(gpu):
    assert gpu.arange(3)[gpu.asarray(np.array([4, -4]))].get().tolist() == [1, 2]


def test_every_array_is_on_the_device_in_use(gpu):
    with gpu.Device(1):
        x = gpu.ones(2)
        assert (x + x).device == gpu.Device(1)
    with pytest.raises(ValueError, match="must be same as the current device"):
        x + x
