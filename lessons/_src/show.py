"""Run a lesson and write down what a reader sees: its printed text, its figures, and the seconds it took.

    python lessons/_src/show.py 01_slopes FOLDER                  the solution, at scale ci
    python lessons/_src/show.py 01_slopes FOLDER --scale laptop --stub

`run` is what times.py needs too.
"""
from __future__ import annotations

import argparse
import base64
import os
import sys
import time
from pathlib import Path

import nbclient
import nbformat

LESSONS = Path(__file__).resolve().parents[1]


def run(name: str, where: Path, scale: str, stub: bool = False) -> tuple[nbformat.NotebookNode, float]:
    """A lesson after Run All in a kernel of its own, and the seconds that took; a cell that raises ends nothing."""
    notebook = nbformat.read(LESSONS / ("" if stub else "solutions") / f"{name}.ipynb", as_version=4)
    path = os.pathsep.join(filter(None, (str(LESSONS.parent), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "TINYNET_SCALE": scale, "PYTHONPATH": path}
    resources = {"metadata": {"path": str(where)}}
    client = nbclient.NotebookClient(notebook, timeout=3600, allow_errors=True, resources=resources)
    start = time.monotonic()
    client.execute(env=environment)
    return notebook, time.monotonic() - start


def main() -> int:
    """Run what the command line asks for; status 1 if a cell raises."""
    parser = argparse.ArgumentParser(description="Run a lesson, and write its text and figures.")
    parser.add_argument("name", help="of the lesson, as 01_slopes")
    parser.add_argument("folder", type=Path, help="for text.md and the figures")
    parser.add_argument("--scale", default="ci", choices=("ci", "laptop", "full"))
    parser.add_argument("--stub", action="store_true", help="the stub, not the solution")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    notebook, seconds = run(args.name, args.folder, args.scale, args.stub)
    failed, figures, text = 0, 0, []
    for number, cell in enumerate(notebook.cells):
        text.append(f"--- cell {number}\n{cell.source}")
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "image/png" in data:
                figures += 1
                (args.folder / f"{number:02}-{figures}.png").write_bytes(base64.b64decode(data["image/png"]))
            elif output.output_type == "error":
                failed += 1
                text.append(f">>> {output.ename}: {output.evalue}")
            text.append("".join(output.get("text", "") or data.get("text/plain", "")))
    (args.folder / "text.md").write_text("\n".join(text))
    print(f"{len(notebook.cells)} cells, {seconds:.1f} s, {figures} figures, {failed} errors: {args.folder}/text.md")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
