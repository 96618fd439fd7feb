"""doctor: what it finds, and what it says to do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import PIL
import pytest

import tinynet as tn
from tinynet.doctor import Diagnosis
from tinynet.nvidia import driver, library

ROOT = Path(__file__).parents[1]
doctor = import_module("tinynet.doctor")  # tn.doctor is its function


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(doctor, "READING", 0.0)


def test_what_is_found():
    state = tn.get_rng_state()
    found = doctor.doctor()
    facts = found.facts
    assert facts["versions"]["numpy"] == np.__version__
    assert facts["versions"]["python"].split(".")[:2] == [str(n) for n in sys.version_info[:2]]
    assert {"pandas", "pillow", "scikit-learn", "matplotlib", "torch"} <= facts["versions"].keys()
    assert facts["versions"]["pillow"] == PIL.__version__
    assert facts["processor"]["threads of the kernels"] == tn.get_num_threads()
    assert facts["processor"]["threads of BLAS"] >= 1 and facts["processor"]["BLAS"]
    assert facts["data sets"]["digits"].endswith("files")
    speed = facts["speed"].values()
    assert [v.split()[1] for v in speed] == ["GFLOP/s", "ms"] and all(float(v.split()[0]) > 0 for v in speed)
    assert "cupy" not in sys.modules, "it takes seconds to import"
    assert (tn.get_rng_state() == state).all(), "nothing is changed"
    text = str(found)
    assert "numpy" in text and ("nothing to fix" in text or "to fix" in text)


def test_json(capsys):
    assert doctor.main(as_json=True) == 0
    found = json.loads(capsys.readouterr().out)
    assert {"versions", "processor", "kernels", "caches", "gpu", "data sets", "speed", "advice"} == found.keys()
    assert doctor.main(as_json=False) == 0
    assert capsys.readouterr().out.startswith("versions\n  tinynet ")


def test_without_numba():
    code = ("import sys; sys.modules['numba'] = None\n"
            "from tinynet.doctor import doctor, main\nimport tinynet.doctor as d\nd.READING = 0.0\n"
            "sys.exit(main(as_json=True))")  # fmt: skip
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["kernels"]["in use"].startswith("reference") and "needs Numba" in found["kernels"]["numba"]
    assert found["kernels"]["threading library"] is None and found["caches"]["compiled kernels"] == []
    assert found["advice"][0]["command"] == "pip install --upgrade numba"


def facts(**changes):
    """Facts of a machine on which nothing is wrong, with changes: "subject__name" = value."""
    found = {
        "processor": {"processors": 4, "threads of BLAS": 4},
        "kernels": {"numba": True, "threading library": "omp"},
        "caches": {"data": "/home (empty)", "compiled kernels": ["/a (READ-ONLY)", "/b (empty)"]},
        "gpu": {"driver": "570.86, for CUDA 12.8 and older", "usable": True, "missing": None, "remedy": None},
    }
    for key, value in changes.items():
        subject, name = key.split("__")
        found[subject][name.replace("_", " ")] = value
    return found


def test_nothing_to_fix():
    assert doctor._advice(facts()) == []
    nobody_expects_one = facts(gpu__driver=None, gpu__usable=False, gpu__missing="no driver", gpu__remedy="buy one")
    assert doctor._advice(nobody_expects_one) == []
    assert str(Diagnosis({"versions": {"numpy": "2"}}, [])).endswith("nothing to fix")


@pytest.mark.parametrize(("changes", "what", "command"), [
    ({"kernels__numba": "cannot be imported"}, "reference kernels", "pip install --upgrade numba"),
    ({"kernels__threading_library": "none"}, "one thread", "pip install tbb"),
    ({"caches__compiled_kernels": ["/a (empty, READ-ONLY)"]}, "compiles them again", "export NUMBA_CACHE_DIR="),
    ({"caches__data": "/home (not there yet, READ-ONLY)"}, "data sets", "export TINYNET_CACHE="),
    ({"processor__threads_of_BLAS": 64}, "64 threads on 4 processors", "export OMP_NUM_THREADS=4"),
    ({"gpu__usable": False, "gpu__missing": "CuPy is not installed", "gpu__remedy": "pip install it"},
     "CuPy is not installed", "pip install it"),
])  # fmt: skip
def test_each_thing_to_fix_has_a_command(changes, what, command):
    ((found, how),) = doctor._advice(facts(**changes))
    assert what in found and how.startswith(command)
    assert f"  {found}:\n    {how}" in str(Diagnosis({"versions": {"numpy": "2"}}, [(found, how)]))


def test_the_gpu_is_that_of_cuda_info(monkeypatch):
    cards = (driver.Card("H100", 80 * 2**30, (9, 0)),)
    monkeypatch.setattr(driver, "find", lambda: driver.Driver("570.86", (12, 8), cards))
    monkeypatch.setattr(library, "installed", lambda: {})
    monkeypatch.setattr(library, "obstacle", lambda: library.Obstacle("no CuPy", "pip install cupy"))
    found = doctor._gpu()
    assert found["driver"] == "570.86, for CUDA 12.8 and older" and found["cards"] == ["cuda:0 H100, 80 GiB, sm_90"]
    assert (found["usable"], found["missing"], found["remedy"]) == (False, "no CuPy", "pip install cupy")
    assert "  usable  no" in str(Diagnosis({"gpu": {"usable": False}}, []))
    monkeypatch.setattr(library, "obstacle", lambda: None)
    assert doctor._gpu()["usable"] and doctor._gpu()["missing"] is None


def test_places(tmp_path):
    (tmp_path / "a.tinynet").write_bytes(b"12345")
    assert doctor._place(tmp_path, "*.tinynet") == f"{tmp_path} (1 files, 5 B)"
    assert doctor._place(tmp_path / "none" / "there") == f"{tmp_path}/none/there (not there yet)"
