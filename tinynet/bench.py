"""`tinynet bench`: our times beside PyTorch's, taken so that they can be believed.

Each side of a comparison runs in a process of its own; the sides take turns, so that a machine that slows down
slows all of them; each is warmed up first; the least and the median of all repeats are kept. What can be reached is
measured in the same run: the fastest matrix product and the fastest copy of this machine.

The cases stand in `tests/bench/` of a clone. `--device cuda` takes them at sizes for a GPU, on which PyTorch is also
timed with TF32, CUDA graphs and torch.compile, and each case beside the least time that this card could take for it.
"""
from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from tinynet.errors import UnknownName
from tinynet.files import whole_file
from tinynet.nvidia.library import obstacle

CASES = Path(__file__).parents[1] / "tests" / "bench"
SIDES = ("tinynet", "torch", "torch-channels-last", "tinynet-reference", "autograd", "tinygrad")
ON_GPU = ("tinynet", "tinynet-graph", "tinynet-tf32", "torch", "torch-graph", "torch-compile", "torch-tf32",
          "torch-channels-last", "tinynet-reference")
REST = 0.15  # seconds between turns: the threads of the side before may still be spinning
TURN = 0.25  # about the seconds of a turn
NOT_MEASURED = "not measured"
LARGE = 8192  # rows and columns of the matrices that a GPU is measured by


def cases() -> ModuleType:
    """The module of the cases. FileNotFoundError outside a clone."""
    path = CASES / "cases.py"
    if not path.exists():
        raise FileNotFoundError(f"the cases are not installed with the package: run `tinynet bench` in a clone "
                                f"of the repository, after `pip install -e .` (looked for {path})")
    spec = importlib.util.spec_from_file_location("tinynet_bench_cases", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no module")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Side:
    """A process that runs one case of one library."""

    def __init__(self, side: str, case: str, what: str, threads: int, device: str) -> None:
        self.side, self.peak_mb = side, 0.0
        self.seconds: list[float] = []
        command = [sys.executable, str(CASES / "worker.py"), side, case, what, str(threads), device]
        threads_everywhere = {"OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)}
        errors, name = tempfile.mkstemp()  # no pipe: the process would wait for ever when that is full
        self.said = Path(name)
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
                                        text=True, env=os.environ | threads_everywhere)
        os.close(errors)
        self.ready = self._answer()

    def _answer(self) -> dict[str, Any]:
        line = self.process.stdout.readline() if self.process.stdout else ""
        if not line:
            self.process.communicate()
            said = (self.said.read_text().strip().splitlines() or [f"exit status {self.process.returncode}"])[-1]
            self.said.unlink()
            raise RuntimeError(f"{self.side}: {said}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def run(self, times: int) -> list[float]:
        """Seconds of each of so many runs."""
        if self.process.stdin is None:
            raise RuntimeError(f"{self.side} cannot be written to")
        self.process.stdin.write(f"{times}\n")
        self.process.stdin.flush()
        answer = self._answer()
        self.peak_mb = answer["peak_mb"]
        return list(answer["seconds"])

    def close(self) -> None:
        """End the process."""
        self.process.communicate()
        self.said.unlink(missing_ok=True)


def compare(case: str, what: str, sides: Sequence[str], threads: int, rounds: int = 7,
            device: str = "cpu") -> dict[str, Any]:
    """Time one case on all sides: {side: {min_ms, median_ms, …} or {error}}."""
    row: dict[str, Any] = {"case": case, "what": what}
    running: list[Side] = []
    for name in sides:
        try:
            running.append(Side(name, case, what, threads, device))
        except RuntimeError as e:
            row[name] = {"error": str(e)}

    def timed(side: Side, times: int) -> list[float]:
        time.sleep(REST)
        try:
            return side.run(times)
        except (RuntimeError, OSError) as e:  # the others go on
            row[side.side] = {"error": str(e)}
            running.remove(side)
            side.close()
            return []

    try:
        repeats = {side: max(3, min(2000, int(TURN / max(min(warm), 1e-7)))) for side in [*running]
                   if (warm := timed(side, 3))}
        for _ in range(rounds):
            for side in [*running]:
                side.seconds += timed(side, repeats[side])
    finally:
        for side in running:
            side.close()
    for side in running:
        if any(side.ready.get("work", ())):
            row["work"] = side.ready["work"]
        row[side.side] = {"min_ms": min(side.seconds) * 1e3, "median_ms": statistics.median(side.seconds) * 1e3,
                          "peak_mb": side.peak_mb, "import_s": side.ready["import_s"],
                          "start_to_first_s": side.ready["start_to_first_s"], "repeats": len(side.seconds)}
    return row


def ratios(row: dict[str, Any]) -> dict[str, float]:
    """How many times longer PyTorch takes than we do: in its default layout and in its better one, by the least
    times and by the medians."""
    found: dict[str, float] = {}
    layouts = [row[side] for side in ("torch", "torch-channels-last") if "min_ms" in row.get(side, {})]
    if "min_ms" not in row.get("tinynet", {}) or "min_ms" not in row.get("torch", {}):
        return found
    for key in ("min_ms", "median_ms"):
        ours, suffix = row["tinynet"][key], key.removesuffix("_ms")
        found[f"default_{suffix}"] = row["torch"][key] / ours
        found[f"better_{suffix}"] = min(layout[key] for layout in layouts) / ours
    return found


def roofline() -> dict[str, float]:
    """What this machine can do, by NumPy: GFLOP/s of a float32 matrix product, GB/s of a copy (read and written)."""
    a = np.ones((1536, 1536), np.float32)
    source = np.ones(1 << 25, np.float32)
    target = np.empty_like(source)
    product = best(lambda: a @ a)
    copy = best(lambda: np.copyto(target, source))
    return {"sgemm_gflops": 2 * len(a) ** 3 / product / 1e9, "copy_gb_s": 2 * source.nbytes / copy / 1e9}


def roofline_of_gpu() -> dict[str, float]:
    """What the card can do: GFLOP/s of cuBLAS's float32 matrix product, in fp32 and in TF32; GB/s of a copy (read and
    written)."""
    from tinynet.cuda.precision import tell
    from tinynet.nvidia import library

    xp = library.cupy()

    def seconds(run: Any) -> float:
        spent = []
        for _ in range(13):
            begin, end = xp.cuda.Event(), xp.cuda.Event()
            begin.record()
            run()
            end.record()
            end.synchronize()
            spent.append(xp.cuda.get_elapsed_time(begin, end) / 1e3)
        return statistics.median(spent[3:])  # the first are its warm-up

    a, b = (xp.asarray(np.random.default_rng(k).standard_normal((LARGE, LARGE), "float32")) for k in range(2))
    speed = {}
    for precision in ("tf32", "fp32"):
        tell(precision, xp)
        speed[precision] = 2 * LARGE**3 / seconds(lambda: xp.matmul(a, b)) / 1e9
    copy = seconds(lambda: xp.copyto(b, a))
    return {"sgemm_gflops": speed["fp32"], "tf32_gflops": speed["tf32"], "copy_gb_s": 2 * a.nbytes / copy / 1e9}


def floor_ms(row: dict[str, Any], roof: dict[str, float], side: str = "") -> float | None:
    """The least that a case could take if its layers were computed one by one, in the precision of a side: its bytes at
    the speed of a copy, or its operations at that of a product. A backward is taken to be two forwards; Adam reads and
    writes 7 numbers a parameter."""
    if "work" not in row:
        return None
    count, operations, parameters = row["work"]
    times = 3 if row["what"] == "step" else 1
    moved = times * count + (28 * parameters if row["what"] == "step" else 0)
    reached = roof["tf32_gflops" if side.endswith("tf32") else "sgemm_gflops"]
    return max(moved / roof["copy_gb_s"], times * operations / reached) / 1e6


def best(run: Any, seconds: float = 1.0) -> float:
    """The least time of a run, within so many seconds."""
    run()
    least, end = math.inf, time.perf_counter() + seconds
    while time.perf_counter() < end:
        begun = time.perf_counter()
        run()
        least = min(least, time.perf_counter() - begun)
    return least


def processor() -> str:
    """The processor's name, as the system tells it."""
    info = Path("/proc/cpuinfo")
    names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")
             ] if info.exists() else []
    return names[0] if names else platform.processor() or platform.machine()


def machine(threads: int) -> dict[str, Any]:
    """Where and with what the table was made."""
    versions = {}
    for name in ("tinynet-dl", "numpy", "numba", "torch"):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return {"date": date.today().isoformat(), "processor": processor(), "cores": os.cpu_count(), "threads": threads,
            "system": platform.platform(terse=True), "python": platform.python_version(), "precision": "float32",
            **versions}


def card() -> dict[str, Any]:
    """The GPU, its driver, and CuPy."""
    from tinynet.cuda.report import facts

    found = facts()
    return {"card": found["cards"][0].partition(" ")[2], "driver": found["driver"], "cupy": found["CuPy"]}


def markdown(report: dict[str, Any]) -> str:
    """The report as a table to read."""
    where, lines = report["machine"], []
    sides = report["sides"]
    versions = ", ".join(f"{name} {where[name]}" for name in ("python", "numpy", "numba", "torch"))
    lines.append(f"{where['processor']}, {where['threads']} threads of {where['cores']} cores, {where['precision']}; "
                 f"{versions}; {where['date']}.")
    roof = report["roofline"]
    lines.append(f"\nThis machine reaches {roof['sgemm_gflops']:.0f} GFLOP/s (NumPy's float32 matrix product) and "
                 f"copies {roof['copy_gb_s']:.1f} GB/s.\n")
    lines.append("Milliseconds, least / median. × is PyTorch's time over ours, by the least (by the median): in its "
                 "default layout, and in the better of its layouts.\n")
    lines.append("MB: the most memory that the process has had, with all that it has imported, ours / PyTorch's.\n")
    lines.append("| case | what | " + " | ".join(sides) + " | × default | × better | MB |")
    lines.append("|---|---|" + "---:|" * (len(sides) + 3))
    for row in report["rows"]:
        cells = [row["case"], row["what"]]
        for side in sides:
            t = row.get(side, {})
            cells.append(f"{t['min_ms']:.3f} / {t['median_ms']:.3f}" if "min_ms" in t else "failed" if t else "")
        r = ratios(row)
        cells += [f"{r[f'{k}_min']:.2f} ({r[f'{k}_median']:.2f})" if r else "" for k in ("default", "better")]
        memory = [row.get(side, {}).get("peak_mb") for side in ("tinynet", "torch")]
        cells.append(" / ".join("" if mb is None else f"{mb:.0f}" for mb in memory))
        lines.append("| " + " | ".join(cells) + " |")
    lines += growth(report)
    mean = geometric_mean(ratios(row).get("default_min") for row in report["rows"])
    if mean:
        lines.append(f"\nGeometric mean over PyTorch's default layout: {mean:.2f}")
    failed = [f"{row['case']} ({row['what']}), {side}: {row[side]['error']}" for row in report["rows"] for side in sides
              if "error" in row.get(side, {})]
    return "\n".join(lines + (["\nFailed:", *failed] if failed else []))


def growth(report: dict[str, Any]) -> list[str]:
    """For each size that was varied, the exponent p of size^p with which the least times grow, fitted to their
    logarithms."""
    lines = []
    for what, sizes in report.get("sizes", {}).items():
        for side in report["sides"]:
            times = {row["case"]: row[side]["min_ms"] for row in report["rows"] if row["what"] == "step"
                     and "min_ms" in row.get(side, {})}
            if all(f"{what}-{size}" in times for size in sizes):
                logs = [math.log(times[f"{what}-{size}"]) for size in sizes]
                p = statistics.linear_regression([math.log(size) for size in sizes], logs).slope
                lines.append(f"- {side}: a step takes time as {what}^{p:.2f}, from {sizes[0]} to {sizes[-1]}")
    return ["", "Growth, of the least times:", "", *lines] if lines else []


def gpu_markdown(report: dict[str, Any]) -> str:
    """The report of a GPU as a table to read."""
    where, sides, roof = report["machine"], report["sides"], report["roofline"]
    versions = ", ".join(f"{name} {where[name]}" for name in ("python", "numpy", "cupy", "torch"))
    lines = [f"{where['card']}; driver {where['driver']}; {versions}; {where['date']}.",
             f"\nThis card reaches {roof['sgemm_gflops']:.0f} GFLOP/s (cuBLAS, float32; with TF32 "
             f"{roof['tf32_gflops']:.0f}) and copies {roof['copy_gb_s']:.0f} GB/s: the floor is a case's operations, "
             "or its bytes, at these speeds.\n",
             "Milliseconds by CUDA events, median; in brackets how many times as long as the floor, for TF32 as the "
             "floor with TF32. Data are random, and results were compared with the CPU's before, in memory that had "
             "been filled with NaN. float32; TF32 where the side's name says so; torch is PyTorch with cuBLAS and "
             "cuDNN, eager.\n",
             "| case | what | floor | " + " | ".join(sides) + " |", "|---|---|---:|" + "---:|" * len(sides)]
    for row in report["rows"]:
        floor = floor_ms(row, roof)
        cells = [row["case"], row["what"], f"{floor:.4f}" if floor else ""]
        for side in sides:
            t, least = row.get(side, {}).get("median_ms"), floor_ms(row, roof, side)
            cells.append(NOT_MEASURED if t is None else f"{t:.4f}" + (f" ({t / least:.1f})" if least else ""))
        lines.append("| " + " | ".join(cells) + " |")
    for ours, theirs in (("tinynet", "torch"), ("tinynet-graph", "torch"), ("tinynet-graph", "torch-graph"),
                         ("tinynet-graph", "torch-compile"), ("tinynet-tf32", "torch-tf32")):
        both = [row for row in report["rows"] if all("median_ms" in row.get(side, {}) for side in (ours, theirs))]
        mean = geometric_mean(row[theirs]["median_ms"] / row[ours]["median_ms"] for row in both)
        lines.append(f"\n{theirs} takes {mean:.2f} times as long as {ours}, as a geometric mean of {len(both)} rows."
                     if mean else f"\n{ours} beside {theirs}: {NOT_MEASURED}.")
    why = [f"{row['case']} ({row['what']}), {side}: {row[side]['error']}" for row in report["rows"] for side in sides
           if "error" in row.get(side, {})]
    return "\n".join(lines + (["\nNot measured, and why:", *why] if why else []))


def geometric_mean(values: Iterable[float | None]) -> float | None:
    """exp(mean(log values)), of those that are there."""
    logs = [math.log(v) for v in values if v]
    return math.exp(statistics.fmean(logs)) if logs else None


def run(names: Sequence[str], sides: Sequence[str] | None, threads: int, rounds: int, as_json: bool, out: Path | None,
        device: str = "cpu") -> int:
    """Time the cases, print the table (progress on stderr), and write it beside as JSON and Markdown if asked."""
    on_gpu, known = device == "cuda", ON_GPU if device == "cuda" else SIDES
    sides = sides or (ON_GPU[:7] if on_gpu else SIDES[:3])
    if unknown := [side for side in sides if side not in known]:
        raise UnknownName(f"no side called {', '.join(unknown)}; choose from {', '.join(known)}")
    if on_gpu and (missing := obstacle()):
        raise RuntimeError(f"there is no GPU to measure: {missing.what} ({missing.command})")
    module, table = cases(), gpu_markdown if on_gpu else markdown
    groups = {"networks": module.NETWORKS, "overhead": module.OVERHEAD, "untuned": module.UNTUNED,
              "kernels": module.KERNELS + module.ON_GPU * on_gpu, "growth": module.GROWTH,
              "all": module.EVERYTHING + module.ON_GPU * on_gpu}
    chosen = [case for name in names or ["networks"] for case in groups.get(name, (name,))]
    if unknown := [case for case in chosen if case not in groups["all"]]:
        raise UnknownName(f"no case called {', '.join(unknown)}; choose from {', '.join([*groups, *groups['all']])}")
    report: dict[str, Any] = {"machine": machine(threads) | (card() if on_gpu else {}), "sides": list(sides),
                              "roofline": roofline_of_gpu() if on_gpu else roofline(), "sizes": module.SIZES,
                              "rows": []}
    steps_only = (*module.OVERHEAD, *module.GROWTH, "adam-1e6")
    for case in chosen:
        for what in ("step", "forward"):
            if (what == "forward" and case in steps_only) or (what == "step" and "sgemm" in case):
                continue
            print(f"{case} {what} …", end=" ", flush=True, file=sys.stderr)
            flat = case in module.FLAT
            row = compare(case, what, [s for s in sides if not (flat and "channels" in s)], threads, rounds, device)
            report["rows"].append(row)
            r = ratios(row)
            print(f"× {r['default_min']:.2f} default, × {r['better_min']:.2f} better" if r else "", file=sys.stderr)
    print(json.dumps(report, indent=1) if as_json else table(report))
    if out is not None:
        for suffix, text in ((".json", json.dumps(report, indent=1)), (".md", table(report))):
            with whole_file(out.with_suffix(suffix)) as file:
                file.write(f"{text}\n".encode())
    return int(any("error" in row.get(side, {}) for row in report["rows"] for side in sides))
