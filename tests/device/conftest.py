"""A machine with two GPUs, as far as tinynet can tell."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from tinynet import late, random
from tinynet.nvidia import driver, library

CARD = driver.Card("NVIDIA Test", 80 * 2**30, (9, 0), "GPU-1234")
TWO_CARDS = driver.Driver("570.86", (12, 8), (CARD, CARD._replace(uuid="GPU-5678")))


def load(name):
    """A module beside this one: the tests' folders are no packages."""
    path = Path(__file__).with_name(f"{name}.py")
    spec = importlib.util.spec_from_file_location(f"tinynet_tests_{name}", path)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


fake_cupy, on_both, small_nets = map(load, ("fake_cupy", "on_both", "nets"))


@pytest.fixture
def both():
    """What runs a call on the CPU and on a GPU."""
    return on_both


@pytest.fixture
def gpu_module():
    """The stand-in for CuPy, not in use."""
    return fake_cupy


@pytest.fixture
def nets():
    """Small networks with data."""
    return small_nets


@pytest.fixture
def nothing_known(monkeypatch):
    """As when nobody has asked for a GPU yet; and so again afterwards."""
    def forget():
        for known in (driver.find, library.obstacle):
            getattr(known, "cache_clear", lambda: None)()
        late.forget()
        random._of_cards.clear()

    forget()
    monkeypatch.setattr(library, "_loaded", None)
    monkeypatch.setattr(library, "_forked", False)
    yield
    monkeypatch.undo()
    forget()


@pytest.fixture
def gpu(monkeypatch, nothing_known):
    """The stand-in for CuPy, in use."""
    monkeypatch.setattr(driver, "find", lambda: TWO_CARDS)
    monkeypatch.setattr(library, "installed", lambda: {"cupy-cuda12x": "14.2.0"})
    return fake_cupy.install(monkeypatch)
