"""How long each lesson takes here, beside what it says: Run All of the solution, in a kernel of its own.

    python lessons/_src/times.py                          all, at scale laptop
    python lessons/_src/times.py --scale full 09 13       those whose names begin so

`says` is the entry `seconds:` of the source; `here` is what the lesson prints on this machine, by a small measurement.
The last column is the time it took by what it prints; status 1 where that is less than half or more than 1.5, or where
a cell raises. On a machine that does other work these times mean nothing.
"""
from __future__ import annotations

import argparse
import re
import sys
import tempfile
from pathlib import Path

from build import HERE, about
from show import run

sys.path.insert(0, str(HERE.parents[1]))
from tinynet.learn.lessons import SCALES, YARDSTICK, measure


def main() -> int:
    """Time what the command line asks for."""
    parser = argparse.ArgumentParser(description="How long each lesson takes here, beside what it says.")
    parser.add_argument("names", nargs="*", metavar="NN", help="lessons whose names begin so (default: all)")
    parser.add_argument("--scale", default="laptop", choices=SCALES)
    args = parser.parse_args()
    pace, wrong = measure() / YARDSTICK, 0
    print(f"this machine takes {pace:.2f} times as long as the one where the lessons were timed; scale {args.scale}\n")
    print(f"{'lesson':20} {'says':>6} {'here':>6} {'took':>6}   took/here", flush=True)
    for path in sorted(HERE.glob("[0-9][0-9]_*.py")):
        if not path.name.startswith(tuple(args.names) or ""):
            continue
        stated = dict(re.findall(r"(\w+) ([\d.]+)", about(path.read_text(encoding="utf-8"))["seconds"]))
        says = float(stated.get(args.scale, stated["laptop"]))
        with tempfile.TemporaryDirectory() as where:
            notebook, took = run(path.stem, Path(where), args.scale)
        raised = [out.evalue for cell in notebook.cells for out in cell.get("outputs", [])
                  if out.output_type == "error"]
        share = took / (says * pace)
        off = not 0.5 <= share <= 1.5
        wrong += off or bool(raised)
        print(f"{path.stem:20} {says:6.0f} {says * pace:6.0f} {took:6.1f} {share:8.2f}{'  <- off' if off else ''}",
              *raised, flush=True)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
