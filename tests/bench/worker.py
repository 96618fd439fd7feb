"""One side of a comparison, in a process of its own: builds a case, then times it as often as it is told.

    python worker.py SIDE CASE WHAT THREADS DEVICE

It prints a line of JSON when it is ready (seconds to import, seconds of the first run, memory), then reads numbers from
its input; for each it runs the case so many times and prints the seconds of each.

On a GPU the seconds are those between two events of its own, and before anything is timed the case's result is compared
with that of the same library on the CPU: the memory that it gets was filled with NaN.
"""

from __future__ import annotations

import json
import re
import resource
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]  # the cases, and this clone's tinynet
START = time.perf_counter()
OTHERS = ("autograd", "tinygrad")


def peak_mb() -> float:
    """The most memory this process has had, in MB. (getrusage may tell that of the process that started this one.)"""
    status = Path("/proc/self/status")
    told = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.exists() else None
    if told:
        return int(told[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2 ** (20 if sys.platform == "darwin" else 10)


def library(side: str, threads: int) -> tuple[Any, dict[str, Any]]:
    """The library of a side, set to so many threads, and what else its cases are built with."""
    if side in OTHERS:
        return None, {}
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
    imported = time.perf_counter() - START
    from cases import build

    if side in OTHERS:
        import others

        run, begun, work, clock = others.build(side, case, what), time.perf_counter(), (0, 0, 0), processor_clock
    elif device == "cuda":
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
        print(json.dumps({"seconds": clock(run, int(line)), "peak_mb": peak_mb()}), flush=True)


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
RUNS = 5  # are compared with the CPU's: a step to be recorded is that at the third or the fourth
WARM_UP = 3  # calls before PyTorch's is
POISONED = (2**27, *[2**k for k in (6, 10, 14, 18, 22) for _ in range(8)])  # numbers of the blocks that are filled


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
        torch.set_precision(precision)
    on_cpu = getattr(build(torch, case, **options), what)
    # of a training the losses one after the other, so that a wrong gradient shows; a forward is always the same
    expected = [array_of(on_cpu()) for _ in range(RUNS if what == "step" else 1)]
    if side == "torch-compile":
        options["compile"] = torch.compile
    if side == "torch-graph":
        options["capturable"] = True
    built = build(torch, case, device="cuda", **options)
    run = getattr(built, what)
    begun = time.perf_counter()
    if side == "tinynet-graph":
        run = torch.cuda.Graph(run)
    if side == "torch-graph":
        run = Recorded(torch, run)
    for k in range(RUNS):
        poison(torch, run)
        got, want = array_of(run()), expected[min(k, len(expected) - 1)]
        worst, size = abs(got - want).max(), abs(want).max()
        if not worst <= CLOSE[precision] * size:  # a NaN is not
            raise RuntimeError(f"result {k} is off by {worst:.2g}, of {size:.2g}: it is not timed")
    return run, begun, built.work


def array_of(result: Any) -> Any:
    """A tensor, as an array of NumPy's."""
    return result.detach().cpu().numpy().astype("float64")


def poison(torch: Any, run: Any) -> None:
    """Fill with NaN what results are written to: memory that goes back to the pool from which they get theirs, and the
    result of a recorded step, which has its own. (Not parameters that a step returns: they are read, too.)"""
    blocks = [torch.full((size,), float("nan"), device="cuda") for size in POISONED]
    del blocks
    out = run.out if isinstance(run, Recorded) else getattr(getattr(run, "_recording", None), "out", None)
    if out is not None and not (out.is_leaf and out.requires_grad):
        out.detach().fill_(float("nan"))


class Recorded:
    """PyTorch's own CUDA graph: its first calls run as they are, as tinynet's do."""

    def __init__(self, torch: Any, run: Callable[[], Any]) -> None:
        self.torch, self.run, self.calls = torch, run, 0
        self.graph, self.side, self.out = torch.cuda.CUDAGraph(), torch.cuda.Stream(), None

    def __call__(self) -> Any:
        cuda, self.calls = self.torch.cuda, self.calls + 1
        if self.calls <= WARM_UP:
            self.side.wait_stream(cuda.current_stream())
            with cuda.stream(self.side):
                first = self.run()
            cuda.current_stream().wait_stream(self.side)
            return first
        if self.calls == WARM_UP + 1:
            with cuda.graph(self.graph):
                self.out = self.run()
        self.graph.replay()
        return self.out


if __name__ == "__main__":
    main()
