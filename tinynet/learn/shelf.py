"""`tinynet lessons`: which lessons there are, a copy of one to work in, and that copy as it was at first."""
from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from tinynet.errors import UnknownName

PACKAGE = Path(__file__).resolve().parents[1]


class Lesson(NamedTuple):
    """What the first cell of a notebook says of it."""

    path: Path
    number: int
    title: str
    goal: str
    time: str


def lessons() -> list[Lesson]:
    """All lessons, in order; installed they lie inside the package, in a clone beside it."""
    folder = next((f for f in (PACKAGE / "lessons", PACKAGE.parent / "lessons") if f.is_dir()), None)
    found = sorted(folder.glob("[0-9][0-9]_*.ipynb")) if folder else []
    if not found:
        raise ValueError("the lessons are not installed here: pip install 'tinynet-dl[lessons]'")
    return [_described(path) for path in found]


def _described(path: Path) -> Lesson:
    text = "".join(json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"])
    title = re.search(r"^# Lesson \d+: (.*)$", text, re.MULTILINE)
    goal, time = (re.search(rf"^\*\*{word}\.\*\* (.*)$", text, re.MULTILINE) for word in ("Goal", "Time"))
    said = [m[1] if m else "" for m in (title, goal, time)]
    return Lesson(path, int(path.name[:2]), said[0], said[1], said[2].rstrip("."))


def one(number: int) -> Lesson:
    """The lesson of that number; UnknownName if there is none."""
    there = lessons()
    for lesson in there:
        if lesson.number == number:
            return lesson
    raise UnknownName(f"there is no lesson {number}; there are {', '.join(str(k.number) for k in there)}")


def show(as_json: bool) -> int:
    """Print the list."""
    if as_json:
        print(json.dumps([lesson._asdict() | {"path": str(lesson.path)} for lesson in lessons()], indent=2))
        return 0
    for lesson in lessons():
        print(f"{lesson.number:>2}  {lesson.title} ({lesson.time})\n    {lesson.goal}")
    return 0


def copy(number: int, force: bool = False) -> tuple[Path, bool]:
    """(the notebook in this folder, whether it is new). One that is there stays as it is; with `force` it is replaced,
    and kept as NAME.bak, NAME.bak2, …"""
    source = one(number).path
    target = Path.cwd() / source.name
    if target.exists() and not force:
        return target, False
    if target.exists():
        kept, k = target.with_name(f"{target.name}.bak"), 2
        while kept.exists():
            kept, k = target.with_name(f"{target.name}.bak{k}"), k + 1
        target.rename(kept)
        print(f"yours is kept as {kept.name}")
    shutil.copyfile(source, target)
    return target, True


def open_(number: int, force: bool, browser: bool = True) -> int:
    """A copy of a lesson in this folder, opened in JupyterLab if that is installed."""
    target, new = copy(number, force)
    print(f"{target.name}: {'new here' if new else 'yours, as you left it (--force begins anew and keeps it)'}")
    if find_spec("jupyterlab") is None:
        print("to open it: pip install 'tinynet-dl[lessons]', then `jupyter lab`, or open it in your editor")
        return 0
    command = [sys.executable, "-m", "jupyterlab", *["--no-browser"] * (not browser), str(target)]
    return subprocess.run(command).returncode


def reset(number: int) -> int:
    """A lesson as it was at first."""
    target, _ = copy(number, force=True)
    print(f"{target.name} is as it was at first")
    return 0
