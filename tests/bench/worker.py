"""One side of a comparison, in a process of its own: builds a case, then times it as often as it is told.

    python worker.py SIDE CASE WHAT THREADS

It prints a line of JSON when it is ready (seconds to import, seconds of the first run, memory), then reads numbers from
its input; for each it runs the case so many times and prints the seconds of each.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]  # the cases, and this clone's tinynet
START = time.perf_counter()


def peak_mb() -> float:
    """The most memory this process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 if sys.platform == "darwin" else 1024) / 1024


def library(side: str, threads: int) -> tuple[Any, dict[str, Any]]:
    """The library of a side, set to so many threads, and what else its cases are built with."""
    if side in ("torch", "torch-channels-last"):
        import torch

        torch.set_num_threads(threads)
        return torch, {"channels_last": side == "torch-channels-last"}
    import tinynet

    tinynet.set_num_threads(threads)
    if side == "tinynet-reference":
        tinynet.use_kernels("reference")
    return tinynet, {}


def main() -> None:
    side, case, what, threads = sys.argv[1:]
    torch, options = library(side, int(threads))
    imported, base_mb = time.perf_counter() - START, resident_mb()
    from cases import build

    run = getattr(build(torch, case, **options), what)
    begun = time.perf_counter()
    run()
    first = time.perf_counter() - begun
    ready = {"import_s": imported, "first_s": first, "start_to_first_s": time.perf_counter() - START}
    print(json.dumps(ready), flush=True)
    for line in sys.stdin:
        seconds = []
        for _ in range(int(line)):
            begun = time.perf_counter()
            run()
            seconds.append(time.perf_counter() - begun)
        print(json.dumps({"seconds": seconds, "peak_mb": peak_mb() - base_mb}), flush=True)


def resident_mb() -> float:
    """The memory this process has now, in MB, where the system says; else the most it has had."""
    statm = Path("/proc/self/statm")
    if not statm.exists():
        return peak_mb()
    return int(statm.read_text().split()[1]) * resource.getpagesize() / 2**20


if __name__ == "__main__":
    main()
