"""One side of a comparison, in a process of its own: builds a case, then times it as often as it is told.

    python worker.py SIDE CASE WHAT THREADS DEVICE

It prints a line of JSON when it is ready (seconds to import, seconds of the first run, memory), then reads numbers from
its input; for each it runs the case so many times and prints the seconds of each.

On a GPU the seconds are those between two events of its own, and before anything is timed the case's result is compared
with that of the same library on the CPU: the memory that it will get was filled with NaN.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]  # the cases, and this clone's tinynet
START = time.perf_counter()


def peak_mb() -> float:
    """The most memory this process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 if sys.platform == "darwin" else 1024) / 1024


def library(side: str, threads: int) -> tuple[Any, dict[str, Any]]:
    """The library of a side, set to so many threads, and what else its cases are built with."""
    if side.startswith("torch"):
        import torch

        torch.set_num_threads(threads)
        return torch, {"channels_last": side == "torch-channels-last"}
    import tinynet

    tinynet.set_num_threads(threads)
    if side == "tinynet-reference":
        tinynet.use_kernels("reference")
    return tinynet, {}


def main() -> None:
    side, case, what, threads, device = sys.argv[1:]
    torch, options = library(side, int(threads))
    imported, base_mb = time.perf_counter() - START, resident_mb()
    from cases import build

    if device == "cuda":
        run, begun, work = on_gpu(torch, side, case, what, options)
        clock = gpu_clock(torch)
    else:
        run, begun, work = getattr(build(torch, case, **options), what), time.perf_counter(), (0, 0, 0)
        clock = processor_clock
    run()
    first = time.perf_counter() - begun
    ready = {"import_s": imported, "first_s": first, "start_to_first_s": time.perf_counter() - START, "work": work}
    print(json.dumps(ready), flush=True)
    for line in sys.stdin:
        print(json.dumps({"seconds": clock(run, int(line)), "peak_mb": peak_mb() - base_mb}), flush=True)


def processor_clock(run: Callable[[], Any], times: int) -> list[float]:
    """Seconds of each of so many runs."""
    seconds = []
    for _ in range(times):
        begun = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - begun)
    return seconds


# ---- on a GPU
CLOSE = {"fp32": 1e-3, "tf32": 2e-2}  # of a result and the CPU's, in units of the largest number


def gpu_clock(torch: Any) -> Callable[[Callable[[], Any], int], list[float]]:
    """The same, by the GPU's own clock."""
    if torch.__name__ == "torch":
        event, passed = lambda: torch.cuda.Event(enable_timing=True), lambda a, b: a.elapsed_time(b)
    else:
        import cupy

        event, passed = cupy.cuda.Event, cupy.cuda.get_elapsed_time

    def clock(run: Callable[[], Any], times: int) -> list[float]:
        marks = [event() for _ in range(times + 1)]
        torch.cuda.synchronize()
        marks[0].record()
        for mark in marks[1:]:
            run()
            mark.record()
        torch.cuda.synchronize()
        return [passed(a, b) / 1e3 for a, b in pairwise(marks)]

    return clock


def on_gpu(torch: Any, side: str, case: str, what: str,
           options: dict[str, Any]) -> tuple[Callable[[], Any], float, Any]:
    """What is to be timed, checked; when it was first run; the work that it is."""
    from cases import build

    precision = "tf32" if side.endswith("tf32") else "fp32"
    options = {"gpu_sizes": True, **options}
    if torch.__name__ == "torch":
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
        torch.backends.cudnn.benchmark = True
    else:
        from tinynet.kernels.cuda import choice

        choice.set_precision(precision)
    expected = results(getattr(build(torch, case, **options), what))
    if side == "torch-compile":
        options["compile"] = torch.compile
    if side == "torch-graph":
        options["capturable"] = True
    built = build(torch, case, device="cuda", **options)
    run = getattr(built, what)
    torch.full((2**28,), float("nan"), device="cuda")  # 1 GiB, which goes back to the pool that outputs come from
    begun = time.perf_counter()
    if side == "tinynet-graph":
        run = torch.cuda.Graph(run)
    if side == "torch-graph":
        run = recorded(torch, run)
    for k, (want, got) in enumerate(zip(expected, results(run, len(expected)), strict=True)):
        worst, size = abs(got - want).max(), abs(want).max()
        if not worst <= CLOSE[precision] * size:  # a NaN is not
            raise RuntimeError(f"result {k} is off by {worst:.2g}, of {size:.2g}: it is not timed")
    return run, begun, built.work


def results(run: Callable[[], Any], times: int = 4) -> list[Any]:
    """What the first runs return, as NumPy's arrays: of a training the losses, so that a wrong gradient shows."""
    return [run().detach().cpu().numpy().astype("float64") for _ in range(times)]


def recorded(torch: Any, run: Callable[[], Any]) -> Callable[[], Any]:
    """PyTorch's own CUDA graph: its first calls run as they are, as tinynet's do."""
    calls: list[Any] = []
    graph, side = torch.cuda.CUDAGraph(), torch.cuda.Stream()

    def replay() -> Any:
        if len(calls) < 3:
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                calls.append(run())
            torch.cuda.current_stream().wait_stream(side)
            return calls[-1]
        if len(calls) == 3:
            with torch.cuda.graph(graph):
                calls.append(run())
        graph.replay()
        return calls[3]

    return replay


def resident_mb() -> float:
    """The memory this process has now, in MB, where the system says; else the most it has had."""
    statm = Path("/proc/self/statm")
    if not statm.exists():
        return peak_mb()
    return int(statm.read_text().split()[1]) * resource.getpagesize() / 2**20


if __name__ == "__main__":
    main()
