"""tn.set_precision: our own kernels and cuBLAS are told, also where CuPy is opened later."""

from __future__ import annotations

import importlib
import shutil

import numpy as np
import pytest

import tinynet as tn
from tinynet import kernels
from tinynet.kernels.cuda import choice, launcher
from tinynet.nvidia import library


@pytest.fixture(autouse=True)
def as_it_was(monkeypatch):
    monkeypatch.setattr(choice, "precision", "fp32")
    monkeypatch.setattr(library, "when_opened", None)


def compute_type():
    linalg = importlib.import_module("cupy._core._routines_linalg")
    names = {getattr(linalg, f"COMPUTE_TYPE_{name}"): name for name in ("DEFAULT", "FP32", "TF32")}
    return names[linalg.get_compute_type("f")]


def test_cublas_is_told(gpu):
    tn.ones(2, device="cuda")
    assert compute_type() == "DEFAULT"
    for name in ("tf32", "fp32"):
        tn.set_precision(name)
        assert choice.precision == name and compute_type() == name.upper()


def test_cublas_is_told_when_cupy_is_opened(gpu):
    tn.set_precision("tf32")
    assert library.loaded() is None and compute_type() == "DEFAULT"
    tn.ones(2, device="cuda")
    assert compute_type() == "TF32"


def test_without_a_gpu_it_is_a_wish():
    tn.set_precision("tf32")
    assert choice.precision == "tf32" and library.loaded() is None
    x = tn.full((40, 40), 1 + 2.0**-20)
    np.testing.assert_array_equal((x @ tn.eye(40)).numpy(), x.numpy(), "a CPU computes in fp32")


@pytest.mark.parametrize("name", ["fp16", "TF32", None, 32])
def test_other_names(name):
    with pytest.raises(ValueError, match=rf"precision must be 'fp32' or 'tf32', not {name!r}"):
        tn.set_precision(name)
    assert choice.precision == "fp32" and library.when_opened is None


@pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed: NO CUDA KERNEL WAS RUN")
def test_products_of_tensors_go_through_tensor_cores(monkeypatch):
    started, launch = [], launcher.launch
    monkeypatch.setattr(launcher, "launch", lambda xp, name, *a, **k: (started.append(name), launch(xp, name, *a, **k)))
    x, w = tn.full((40, 48), 1 + 2.0**-12), tn.ones(36, 48)
    with kernels.use_kernels("emu"):
        for name, kernel, value in (("fp32", "sgemm_nt_64", 48 + 48 * 2.0**-12), ("tf32", "tf32_nt", 48.0)):
            tn.set_precision(name)
            y = tn.nn.functional.linear(x, w)
            assert started.pop() == kernel
            np.testing.assert_array_equal(y.numpy(), np.full((40, 36), value, "float32"))


def test_a_recorded_step_has_the_precision_that_it_was_recorded_with(gpu):
    step, x = tn.cuda.Graph(lambda x: x * 2), tn.ones(2, device="cuda")
    for _ in range(3):
        step(x)
    tn.set_precision("tf32")
    with pytest.raises(RuntimeError, match=r"recorded with .*'precision': 'fp32'.* called with .*'tf32'"):
        step(x)


@pytest.mark.gpu
@pytest.mark.parametrize("backend", ["auto", "reference"])  # our own kernel, and cuBLAS
def test_on_a_card(backend):
    x, one = tn.full((256, 256), 1 + 2.0**-12, device="cuda"), tn.eye(256, device="cuda")
    try:
        with kernels.use_kernels(backend):
            for name, value in (("fp32", 1 + 2.0**-12), ("tf32", 1.0)):
                tn.set_precision(name)
                assert ((x @ one) == value).all().item()
    finally:
        tn.set_precision("fp32")
