"""Build the notebooks of the lessons: NN_slug.py here -> ../NN_slug.ipynb (stubs) and ../solutions/NN_slug.ipynb.

    python lessons/_src/build.py            all lessons
    python lessons/_src/build.py 03         those whose name begins so
    python lessons/_src/build.py --check    write nothing; status 1 if a notebook is not what its source makes

The sources are in percent format: `# %%` begins a cell of code, `# %% [markdown]` one of text in comments, and
`# %% [lesson]`, the first, says what the header cells are made of. Between `# BEGIN SOLUTION` and `# END SOLUTION`
stands what only the solution has; in the stub there is a `...`, or the lines that follow `#? ` there.

This parser is twenty lines; jupytext would have to be taught the header, the solutions and cell ids that stay the same,
and would be one more thing to install.
"""
from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PROJECT = tomllib.loads((HERE.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
COLAB = "https://colab.research.google.com"
KEYS = ("title", "goal", "time", "needs", "seconds")
INSTALL = f"""\
try:
    import tinynet as tn
except ImportError:  # not installed here: then for this session
    %pip install --quiet "{PROJECT["name"]}[lessons]"
    import tinynet as tn"""

Cell = tuple[str, str]  # kind ("code", "markdown", "lesson"), text


def cells(source: str) -> Iterator[Cell]:
    """The cells of a source file."""
    for part in re.split(r"^# %%", source, flags=re.MULTILINE)[1:]:
        head, _, body = part.partition("\n")
        kind = head.strip().strip("[]") or "code"
        if kind not in ("code", "markdown", "lesson"):
            raise ValueError(f"a cell begins `# %%{head}`: expected `# %%`, `# %% [markdown]` or `# %% [lesson]`")
        body = body.strip("\n")
        if kind != "code":
            lines = body.splitlines()
            strange = [line for line in lines if line and not line.startswith("#")]
            if strange:
                raise ValueError(f"in a {kind} cell every line is a comment, but not {strange[0]!r}")
            body = "\n".join(line.removeprefix("#").removeprefix(" ") for line in lines)
        yield kind, body


def about(source: str) -> dict[str, str]:
    """The entries of the cell `# %% [lesson]`; a line that begins with blanks goes on with the entry above it."""
    kind, text = next(cells(source))
    entries = dict(re.findall(r"^(\w+): (.*(?:\n +.*)*)", text, re.MULTILINE))
    if kind != "lesson" or entries.keys() != set(KEYS):
        raise ValueError(f"the first cell is `# %% [lesson]`, with the entries {', '.join(KEYS)}")
    return {key: " ".join(value.split()) for key, value in entries.items()}


def badge(name: str) -> str:
    """The button that opens a lesson in Colab; nothing while pyproject.toml names no repository on GitHub."""
    for address in PROJECT.get("urls", {}).values():
        if found := re.fullmatch(r"https://github\.com/([\w.-]+/[\w.-]+?)(\.git)?/?", address):
            there = f"{COLAB}/github/{found[1]}/blob/main/lessons/{name}.ipynb"
            return f"[![Open in Colab]({COLAB}/assets/colab-badge.svg)]({there})\n\n"
    return ""


def header(name: str, entries: dict[str, str]) -> list[Cell]:
    """The cells that every lesson begins with."""
    text = (f"# Lesson {int(name[:2])}: {entries['title']}\n\n{badge(name)}"
            f"**Goal.** {entries['goal']}\n\n**Time.** {entries['time']}.\n\n"
            f"**You need.** {entries['needs']}\n\n"
            "Read, predict, run (Shift+Enter). Where a cell has `...`, write; the cell below it checks what you wrote, "
            "as often as you like. What is not done yet is stood in for by tinynet's own, so everything always runs.")
    times = re.findall(r"(ci|laptop|full) ([\d.]+)", entries["seconds"])
    seconds = ", ".join(f"{word}={number}" for word, number in times)
    start = f"import matplotlib.pyplot as plt\nimport numpy as np\n\nSCALE = tn.learn.begin({seconds})"
    return [("markdown", text), ("code", INSTALL), ("code", start)]


def stub(text: str) -> str:
    """A cell as the student gets it."""
    def blank(block: re.Match[str]) -> str:
        given = re.findall(r"^( *)#\? ?(.*)\n", block[2], re.MULTILINE)
        return "".join(f"{indent}{line}".rstrip() + "\n" for indent, line in given) or f"{block[1]}...\n"
    return re.sub(r"^( *)# BEGIN SOLUTION\n(.*?)^ *# END SOLUTION(?:\n|\Z)", blank, text + "\n",
                  flags=re.MULTILINE | re.DOTALL).rstrip("\n")


def solution(text: str) -> str:
    """A cell with its solution, without the marks."""
    return re.sub(r"^ *(# (BEGIN|END) SOLUTION|#\?.*)(?:\n|\Z)", "", text + "\n", flags=re.MULTILINE).rstrip("\n")


def notebook(parts: list[Cell]) -> str:
    """The file of a notebook with these cells, without outputs. A cell's id is a hash of its text."""
    made, seen = [], Counter[str]()
    for kind, text in parts:
        key = hashlib.sha256(f"{kind}\n{text}".encode()).hexdigest()[:8]
        seen[key] += 1
        id = key + (f"-{seen[key]}" if seen[key] > 1 else "")
        cell: dict[str, Any] = {"cell_type": kind, "id": id, "metadata": {}, "source": text.splitlines(keepends=True)}
        if kind == "code":
            cell |= {"execution_count": None, "outputs": []}
        made.append(dict(sorted(cell.items())))
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    whole = {"cells": made, "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
             "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


def built(path: Path) -> dict[Path, str]:
    """The notebooks a source makes: path -> contents."""
    source = path.read_text(encoding="utf-8")
    parts = header(path.stem, about(source)) + list(cells(source))[1:]
    folder = HERE.parent
    return {folder / place / f"{path.stem}.ipynb": notebook([(k, version(t) if k == "code" else t) for k, t in parts])
            for place, version in (("", stub), ("solutions", solution))}


def main() -> int:
    """Build what the command line asks for."""
    parser = argparse.ArgumentParser(description="Build the notebooks of the lessons.")
    parser.add_argument("names", nargs="*", metavar="NN", help="lessons whose name begins so (default: all)")
    parser.add_argument("--check", action="store_true", help="write nothing; status 1 if a rebuild would differ")
    args = parser.parse_args()
    different = 0
    for path in sorted(HERE.glob("[0-9][0-9]_*.py")):
        if not path.name.startswith(tuple(args.names) or ""):
            continue
        try:
            made = built(path)
        except ValueError as e:
            print(f"{path.name}: {e}", file=sys.stderr)
            return 1
        for target, text in made.items():
            same = target.exists() and target.read_text(encoding="utf-8") == text
            if not same:
                different += 1
                print(f"{'differs' if args.check else 'built'}: {target.relative_to(HERE.parents[1])}")
                if not args.check:
                    target.parent.mkdir(exist_ok=True)
                    target.write_text(text, encoding="utf-8")
    return int(args.check and different > 0)


if __name__ == "__main__":
    sys.exit(main())
