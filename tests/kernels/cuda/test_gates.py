"""Every kernel, compiled for two cards without one: how many registers it takes, that none of them is spilled, and that
the instructions are there which it is written for."""

from __future__ import annotations

import functools
import importlib.util
import re
import subprocess
from pathlib import Path

import pytest

from tinynet.kernels.cuda import compiler, source

ARCHITECTURES = ("sm_80", "sm_90")

# Registers for each thread. A multiprocessor has 65,536: 256 threads of 128 fit twice, of 64 four times.
REGISTERS = {
    "sgemm_nn_128": 128, "sgemm_nt_128": 128, "sgemm_tn_128": 128,
    "sgemm_nn_64": 80, "sgemm_nt_64": 80, "sgemm_tn_64": 80, "sgemm_sum": 40,
    "tf32_nn": 232, "tf32_nt": 232, "tf32_tn": 232,  # 128 threads, which fit twice
    **{f"{op}_{group}": 32 for op in ("softmax", "cross_entropy", "cross_entropy_grad") for group in (1, 32, 256)},
    **{f"{op}_{group}": 32 for op in ("label_loss", "label_loss_grad") for group in (1, 32, 256)},
    "sum_chunks": 32, "column_sums": 32, "relu_grad": 32,
    "adam": 64, "sgd": 32,
    "max_pool": 40, "avg_pool": 40, "avg_pool_grad": 56, "max_pool_grad": 40,
    "attention_64": 128, "attention_128": 128, "attention_dq_64": 128, "attention_dk_64": 128,
    "attention_dq_128": 144, "attention_dk_128": 168,  # 128 threads, which fit three times
    **{f"{op}_128": 32 for op in ("standardize_rows", "rows_grad", "moments", "standardize", "slopes", "gradient")},
    **{f"{op}_{most}": n for op, n in (("standardize_rows", 64), ("rows_grad", 128), ("moments", 64),
                                       ("standardize", 80), ("slopes", 48), ("gradient", 96)) for most in (1024, 8192)},
    **{f"conv_{what}{last}": 128 for what in ("128", "tf32", "grad_128", "grad_tf32") for last in ("", "_last")},
    "conv_64": 96, "conv_64_last": 96, "conv_grad_64": 112, "conv_grad_64_last": 96,
    "conv_each": 40, "conv_each_last": 40, "conv_grad_each": 96, "conv_filters": 32,
    "relu_pool": 32, "unpool": 32, "pool_winners": 32, "channel_sums": 32,
    "moments_columns": 40, "standardize_columns": 48, "slopes_columns": 96, "gradient_columns": 96,
    **{f"join_{what}_{group}": 40 for what in ("moments", "slopes", "weights") for group in (32, 256)},
    "philox": 32, "dropout": 32, "dropout_channels": 32,
    "sort_tiles": 32, "merge_runs": 32, "add_runs": 32, "add_parts": 32,
}  # fmt: skip

FOURS = (r"LDG\.E\.128", r"LDS\.128", r"STG\.E\.128")  # 16 bytes at a time: global reads, shared reads, global writes
COPIES = (r"LDGSTS\.E\.BYPASS\.128", r"LDGDEPBAR", r"\bDEPBAR\.LE")  # cp.async, its commit and its wait
TENSOR = (r"HMMA\.1688\.F32\.TF32",)
INSTRUCTIONS = {
    **{f"sgemm_{layout}_{size}": FOURS for layout in ("nn", "nt", "tn") for size in (64, 128)},
    **{f"tf32_{layout}": (*COPIES, *TENSOR) for layout in ("nn", "nt", "tn")},
    **{f"conv_{size}{last}": FOURS for size in (64, 128) for last in ("", "_last")},
    **{f"conv_grad_{size}{last}": some for size in (64, 128) for last, some in (("", FOURS[1:]), ("_last", FOURS[:2]))},
    **{f"conv_{what}": (*COPIES, *TENSOR) for what in ("tf32", "tf32_last", "grad_tf32_last")},
    "conv_grad_tf32": (*COPIES[1:], *TENSOR),  # which brings numbers one by one
    "adam": (r"LDG\.E\.128", r"STG\.E\.128"),
    "sgd": (r"LDG\.E\.128", r"STG\.E\.128"),
    "relu_grad": (r"LDG\.E\.128", r"STG\.E\.128"),
    "dropout": (r"LDG\.E\.128", r"STG\.E\.128"),
    **{f"attention{what}_{most}": (*COPIES, r"LDS\.128") for what in ("", "_dq", "_dk") for most in (64, 128)},
}

KERNELS = [(name, kernel) for name, found in source.files().items() for kernel in found.kernels]


def nvrtc_is_there() -> bool:
    try:
        compiler.nvrtc()
    except compiler.CompileError:
        return False
    return True


def nvdisasm() -> Path | None:
    """NVIDIA's disassembler, as pip installs it."""
    found = importlib.util.find_spec("nvidia")
    folders = found.submodule_search_locations or () if found else ()
    return next((path for folder in folders for path in sorted(Path(folder).glob("*/bin/nvdisasm*"))), None)


needs_nvrtc = pytest.mark.skipif(not nvrtc_is_there(), reason="NVRTC is not installed: NO KERNEL WAS COMPILED")
needs_nvdisasm = pytest.mark.skipif(nvdisasm() is None, reason="nvdisasm is not installed: NO INSTRUCTION WAS SEEN")


@functools.cache
def compiled(file: str, architecture: str) -> tuple[bytes, dict[str, tuple[int, int]], str]:
    """The cubin, the registers and the spilled bytes of each kernel, and the compiler's warnings."""
    cubin, log = compiler.compile_for_card(source.files()[file], architecture)
    used = {}
    for part in log.split("Compiling entry function '")[1:]:
        registers = re.search(r"Used (\d+) registers", part)
        spilled = [int(n) for n in re.findall(r"(\d+) bytes (?:spill stores|spill loads|stack frame)", part)]
        assert registers, log
        used[part.partition("'")[0]] = int(registers[1]), sum(spilled)
    return cubin, used, "\n".join(line for line in log.splitlines() if "warning" in line)


@functools.cache
def instructions(file: str, architecture: str) -> dict[str, str]:
    """The machine code of each kernel, as text."""
    tool = nvdisasm()
    assert tool
    tool.chmod(0o755)  # a wheel may have lost it
    name = compiler.named(file, architecture, ending=".cubin")
    path = Path(compiler.scratch()) / name
    path.write_bytes(compiled(file, architecture)[0])
    text = subprocess.run([tool, "-c", path], capture_output=True, text=True, check=True).stdout
    parts = re.split(r"\.section\s+\.text\.(\w+)", text)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@needs_nvrtc
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(("file", "kernel"), KERNELS)
def test_registers_suffice(file, kernel, architecture):
    _, used, warnings = compiled(file, architecture)
    registers, spilled = used[kernel]
    assert spilled == 0, f"{kernel} keeps {spilled} bytes in local memory"
    assert registers <= REGISTERS[kernel]
    assert not warnings


@needs_nvrtc
@needs_nvdisasm
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(("file", "kernel"), [(f, k) for f, k in KERNELS if k in INSTRUCTIONS])
def test_the_instructions_are_there(file, kernel, architecture):
    code = instructions(file, architecture)[kernel]
    for wanted in INSTRUCTIONS[kernel]:
        assert re.search(wanted, code), f"{kernel} has no {wanted}"


@needs_nvrtc
@needs_nvdisasm
@pytest.mark.parametrize("file", source.files())
def test_no_float_is_added_atomically(file):
    """The order of such sums is left to chance, and so is their rounding."""
    for kernel, code in instructions(file, ARCHITECTURES[0]).items():
        assert not re.search(r"\b(ATOM|ATOMG|ATOMS|RED)\.", code), kernel


def test_every_kernel_has_a_budget():
    assert set(REGISTERS) == {kernel for _, kernel in KERNELS}
    assert set(INSTRUCTIONS) <= set(REGISTERS)
