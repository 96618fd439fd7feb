"""`tinynet grade`: hold handed-in notebooks to the properties of their exercises, each in a process of its own.

The process that runs a student's code (grading.py) has a folder of its own that is thrown away, no standard input, and
a pipe for what is found, which prints do not reach. It is killed, with all that it started, when its time is over. A
teacher who suspects more reads the notebook: no Python process can be made safe against its own code.
"""
from __future__ import annotations

import contextlib
import csv
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

from tinynet.learn.exercises import of_lesson
from tinynet.learn.judging import KEPT
from tinynet.learn.submission import read

LONGEST = 2000  # characters of a message that are kept
STARTING = 20.0  # seconds more for the process to start


class Row(NamedTuple):
    """What became of one exercise in one notebook. `status`: passed, failed, todo, error, timeout."""

    notebook: str
    exercise: str
    status: str
    seconds: float
    message: str


def grade(path: Path, seed: int = 0, limit: float = 60.0) -> list[Row]:
    """A row for each exercise of the notebook's lesson. Never raises for what is in the file."""
    try:
        submission = read(path)
    except ValueError as e:
        return [Row(str(path), "", "error", 0.0, str(e))]
    lessons = sorted({id.partition(".")[0] for id in (*submission.answers, *submission.broken)})
    ids = [id for lesson in lessons for id in of_lesson(lesson)]
    if not ids:
        return [Row(str(path), "", "error", 0.0, "no exercise of a lesson is in this notebook")]
    rows = {}
    for id in ids:
        if id in submission.broken:
            rows[id] = Row(str(path), id, "error", 0.0, submission.broken[id])
        elif id not in submission.answers:
            rows[id] = Row(str(path), id, "todo", 0.0, f"no function is marked @tn.exercise({id!r})")
    waiting = [id for id in ids if id not in rows]
    each = limit / max(len(waiting), 1)
    while waiting:  # a new process where one has died or was stopped
        known = [f"{id}={row.status}" for id, row in rows.items()]
        for id, status, seconds, message in _run(path, waiting, known, seed, each):
            rows[id] = Row(str(path), id, status, round(seconds, 2), message[:LONGEST])
            waiting.remove(id)
    return [rows[id] for id in ids]


Found = tuple[str, str, float, str]  # exercise, status, seconds, message


def _run(path: Path, ids: list[str], known: list[str], seed: int, each: float) -> Iterator[Found]:
    """Grade in a new process until it is done, dies, or takes too long for one exercise: at least one of `ids`."""
    token = os.urandom(16).hex()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        where = Path(folder) / "work"
        where.mkdir()
        command = [sys.executable, "-m", "tinynet.learn.grading", str(path.resolve()), str(seed), token, *known, *ids]
        ours = str(Path(__file__).resolve().parents[2])
        environment = {"HYPOTHESIS_STORAGE_DIRECTORY": KEPT, **os.environ, "MPLBACKEND": "Agg", "HOME": folder,
                       "TMPDIR": folder, "TINYNET_SCALE": "ci",
                       "PYTHONPATH": os.pathsep.join(filter(None, (ours, os.environ.get("PYTHONPATH"))))}
        process = subprocess.Popen(command, cwd=where, env=environment, stdin=subprocess.DEVNULL, encoding="utf-8",
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True)
        lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=_pump, args=(process.stdout, lines), daemon=True).start()
        try:
            yield from _listen(process, lines, token, ids, each)
        finally:
            _end(process)


def _pump(pipe: IO[str], lines: queue.SimpleQueue[str]) -> None:
    """Pass on what comes through the pipe, as it comes."""
    with pipe:
        for line in pipe:
            lines.put(line)


def _listen(process: subprocess.Popen[str], lines: queue.SimpleQueue[str], token: str, ids: list[str],
            each: float) -> Iterator[Found]:
    todo, start, deadline = list(ids), time.monotonic(), time.monotonic() + STARTING
    while todo:
        ended = process.poll() is not None  # asked first: what it said before its end is then in the pipe
        try:
            line = lines.get(timeout=0.2)
        except queue.Empty:
            took = time.monotonic() - start
            if ended:
                yield todo[0], "error", took, f"the process ended while this ran, with status {process.returncode}"
                return
            if time.monotonic() > deadline:
                yield todo[0], "timeout", took, f"still running after {took:.0f} s"
                return
            continue
        found = json.loads(line) if line.startswith(f'["{token}"') else ["", ""]
        if found[1] == "begin":
            start = time.monotonic()
            deadline = start + each
        elif found[1] in todo:
            todo.remove(found[1])
            yield found[1], found[2], time.monotonic() - start, found[3]


def _end(process: subprocess.Popen[str]) -> None:
    """End a process and all it started."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError):  # it has ended by itself, with all of them
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()


# ---- the report
def write(rows: Iterable[Row], form: str, out: IO[str]) -> None:
    """Rows as "csv", "json" or, for people, a "table"."""
    rows = list(rows)
    if form == "json":
        json.dump([row._asdict() for row in rows], out, indent=2, ensure_ascii=False)
        out.write("\n")
    elif form == "csv":
        writer = csv.writer(out)
        writer.writerow(Row._fields)
        writer.writerows(rows)
    else:
        _table(rows, out)


def _table(rows: list[Row], out: IO[str]) -> None:
    width = max((len(row.exercise) for row in rows), default=0)
    for path in dict.fromkeys(row.notebook for row in rows):
        own = [row for row in rows if row.notebook == path]
        out.write(f"{path}: {sum(row.status == 'passed' for row in own)} of {len(own)} passed\n")
        for row in own:
            first = next(iter(row.message.splitlines()), "")
            said = "" if row.status == "passed" else first.removeprefix(f"✗ {row.exercise}: ").removeprefix("not so: ")
            out.write(f"  {row.exercise:<{width}}  {row.status:<7}  {said}".rstrip() + "\n")


def main(paths: list[Path], seed: int, limit: float, form: str) -> int:
    """Grade notebooks (of folders: all in them) and print the report; status 0. OSError for a path that is none."""
    for path in paths:
        path.stat()
    files = [file for path in paths for file in (sorted(path.rglob("*.ipynb")) if path.is_dir() else [path])]
    files = [file for file in files if ".ipynb_checkpoints" not in file.parts]
    if not files:
        raise ValueError(f"no notebook in {', '.join(map(str, paths))}")
    rows = []
    for number, file in enumerate(files, 1):
        print(f"[{number}/{len(files)}] {file}", file=sys.stderr)
        rows += grade(file, seed, limit)
    write(rows, form, sys.stdout)
    return 0
