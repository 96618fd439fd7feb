"""What the NVIDIA driver says of this machine: which CUDA it can run, and the cards that a program may use.

It is asked through NVML, its library for administrators, not through CUDA: after cuInit no child that the process forks
can use a GPU any more, and nobody should pay that for the question whether there is one. Where there is no NVML, as on
some small boards, CUDA is asked by a process of its own, which ends with the answer.
"""
from __future__ import annotations

import ctypes
import functools
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

NVML = {"linux": "libnvidia-ml.so.1", "win32": "nvml.dll"}
CUDA = {"linux": "libcuda.so.1", "win32": "nvcuda.dll"}
PCI = Path("/sys/bus/pci/devices")
NVIDIA = "0x10de"  # its number as a maker of PCI cards
PATIENCE = 60  # seconds for a driver to answer

# What the process of its own runs: CUDA's driver library by name -> JSON
QUESTION = """
import ctypes, json, sys
driver = ctypes.CDLL(sys.argv[1])
def number(call, *arguments):
    value = ctypes.c_int()
    call(ctypes.byref(value), *arguments)
    return value.value
cards, status = [], driver.cuInit(0)
for k in range(0 if status else number(driver.cuDeviceGetCount)):
    card, name, memory = number(driver.cuDeviceGet, k), ctypes.create_string_buffer(100), ctypes.c_size_t()
    driver.cuDeviceGetName(name, len(name), card)
    driver.cuDeviceTotalMem_v2(ctypes.byref(memory), card)
    cards.append([name.value.decode(errors="replace"), memory.value,
                  [number(driver.cuDeviceGetAttribute, what, card) for what in (75, 76)], ""])
print(json.dumps([status, number(driver.cuDriverGetVersion), cards]))
"""


class Card(NamedTuple):
    """A GPU: its name, how many bytes it has, and its compute capability, as (9, 0)."""

    name: str
    memory: int
    capability: tuple[int, int]
    uuid: str = ""


class Driver(NamedTuple):
    """The driver: its release where known, the newest CUDA it runs, the cards that a program sees, how many
    CUDA_VISIBLE_DEVICES hides from it, and, of one that does not start, the reason."""

    release: str | None
    cuda: tuple[int, int]
    cards: tuple[Card, ...]
    hidden: int = 0
    trouble: str | None = None


@functools.cache
def find() -> Driver | None:
    """The driver of this machine, asked once; None if there is none."""
    try:
        library = ctypes.CDLL(NVML.get(sys.platform, ""))
    except (OSError, TypeError):
        return _from_cuda()
    return _from_nvml(library)


# ---- by NVML
def _from_nvml(library: Any) -> Driver | None:
    library.nvmlErrorString.restype = ctypes.c_char_p
    status = library.nvmlInit_v2()
    if status:  # "Driver Not Loaded", "Driver/library version mismatch"
        reason = library.nvmlErrorString(status) or b"unknown error"
        return Driver(None, (0, 0), (), trouble=f"{reason.decode()} (NVML error {status})")
    try:
        count = ctypes.c_uint()
        library.nvmlDeviceGetCount_v2(ctypes.byref(count))
        cards = [_card(library, k) for k in range(count.value)]
        seen = visible(cards, os.environ.get("CUDA_VISIBLE_DEVICES"))
        version = ctypes.c_int()
        library.nvmlSystemGetCudaDriverVersion(ctypes.byref(version))
        return Driver(_text(library.nvmlSystemGetDriverVersion) or None, _cuda(version.value), seen,
                      hidden=len(cards) - len(seen))
    finally:
        library.nvmlShutdown()


def _card(library: Any, number: int) -> Card:
    handle, memory, capability = ctypes.c_void_p(), (ctypes.c_ulonglong * 3)(), (ctypes.c_int(), ctypes.c_int())
    library.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(number), ctypes.byref(handle))
    library.nvmlDeviceGetMemoryInfo(handle, ctypes.byref(memory))
    library.nvmlDeviceGetCudaComputeCapability(handle, *map(ctypes.byref, capability))
    return Card(_text(library.nvmlDeviceGetName, handle), memory[0], (capability[0].value, capability[1].value),
                _text(library.nvmlDeviceGetUUID, handle))


def _text(call: Any, *arguments: Any) -> str:
    text = ctypes.create_string_buffer(100)
    status = call(*arguments, text, ctypes.c_uint(len(text)))
    return "" if status else text.value.decode(errors="replace")


def _cuda(number: int) -> tuple[int, int]:
    """12080 as (12, 8)."""
    return number // 1000, number % 1000 // 10


def visible(cards: Iterable[Card], wanted: str | None) -> tuple[Card, ...]:
    """The cards that CUDA_VISIBLE_DEVICES leaves, as CUDA reads it: numbers, or how UUIDs begin, up to the first that
    is neither; of cards named twice, none. (A slice of a card, MIG-..., counts as one.)"""
    cards = tuple(cards)
    if wanted is None:
        return cards
    chosen: list[Card] = []
    for entry in map(str.strip, wanted.split(",")):
        if entry.isdigit():
            meant = cards[int(entry):int(entry) + 1]
        elif entry.startswith("MIG-"):
            meant = cards[:1]
        else:
            meant = tuple(card for card in cards if entry and card.uuid.startswith(entry))
        if len(meant) != 1:
            break
        if meant[0] in chosen and meant[0].uuid:
            return ()
        chosen += meant
    return tuple(chosen)


# ---- by CUDA
def _from_cuda() -> Driver | None:
    name = CUDA.get(sys.platform, "")
    try:
        ctypes.CDLL(name)  # to load it is no harm; to start it would be
    except (OSError, TypeError):
        return None
    command = [sys.executable, "-I", "-c", QUESTION, name]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE)
        status, version, cards = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as problem:
        return Driver(None, (0, 0), (), trouble=f"it does not answer: {problem}")
    if status:
        return Driver(None, _cuda(version), (), trouble=f"CUDA error {status}")
    return Driver(None, _cuda(version), tuple(Card(n, memory, tuple(c), uuid) for n, memory, c, uuid in cards))


# ---- where there is no driver
def card_without_driver() -> bool:
    """Whether there is a card of NVIDIA's in this machine, as far as the system tells."""
    return any(_read(card / "vendor") == NVIDIA and _read(card / "class").startswith("0x03")
               for card in (PCI.iterdir() if PCI.is_dir() else ()))


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
