"""The tree keeps its own rules: rooms know only those below, files stay short, nothing lies unused."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LONGEST = 450  # lines; a longer file has a second subject in it

# From the ground up. A room imports from the lines above its own and from itself; rooms that share a line
# do not know one another (but for the ground floor).
FLOORS = [
    "dtypes device random errors files kinds late nvidia",
    "repr kernels text",
    "autograd",
    "ops",
    "value",
    "tensor",
    "nn",
    "optim",
    "metrics",
    "cuda data viz testing drawing io chain_rule model_summary profiler compress",
    "drawing_layers checkpoint feed interrupts tally onnx doctor",
    "callbacks mistakes",
    "trainer",
    "proofs",
    "tinynet",  # the public names
    "recipes bench learn",
    "cli",
    "__main__",
]
FLOOR = {room: k for k, rooms in enumerate(FLOORS) for room in rooms.split()}


@cache
def sources() -> dict[str, Path]:
    """Module name -> file, of the whole package (kernels under its one name)."""
    files = {}
    for top, package in ((ROOT / "tinynet", "tinynet"), (ROOT / "kernels", "tinynet.kernels")):
        for path in sorted(top.rglob("*.py")):
            inner = path.relative_to(top).with_suffix("").parts
            if inner[0] == "kernels" and package == "tinynet":  # the symlink
                continue
            files[".".join((package, *inner)).removesuffix(".__init__")] = path
    return files


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def where(path: Path, node: ast.AST) -> str:
    return f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', '?')}"


MODULES = [pytest.param(name, path, id=name) for name, path in sources().items()]
every_module = pytest.mark.parametrize(("name", "path"), MODULES)


# --- packaging ----------------------------------------------------------------------------------------------
def test_packages_listed_are_packages_there() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    there = {name for name, path in sources().items() if path.name == "__init__.py"} | {"tinynet.lessons"}
    folders = {path.parent for path in sources().values()}
    unmarked = [str(f.relative_to(ROOT)) for f in folders if not (f / "__init__.py").is_file()]
    assert not unmarked, f"folders of modules without an __init__.py: {unmarked}"
    assert listed == sorted(there)


def test_kernels_are_linked_into_the_package() -> None:
    link = ROOT / "tinynet" / "kernels"
    assert link.is_symlink() and str(link.readlink()) == "../kernels"


# --- who may know whom --------------------------------------------------------------------------------------
def imports(name: str, path: Path) -> Iterator[tuple[str, ast.AST]]:
    """(module of ours that is imported, where), relative imports resolved."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = name if path.name == "__init__.py" else name.rpartition(".")[0]
            for _ in range(node.level - 1):
                package = package.rpartition(".")[0]
            base = ".".join(filter(None, (package if node.level else "", node.module or "")))
            targets = [f"{base}.{a.name}" if f"{base}.{a.name}" in sources() else base for a in node.names]
        else:
            continue
        for target in targets:
            if target.split(".")[0] in ("tinynet", "kernels"):
                yield target, node


def room(module: str) -> str:
    return module.removeprefix("tinynet.").partition(".")[0]


@every_module
def test_imports_run_one_way(name: str, path: Path) -> None:
    mine = room(name)
    assert mine in FLOOR, f"{path.relative_to(ROOT)}: a new room; give it its floor in FLOORS"
    for target, node in imports(name, path):
        theirs = room(target)
        assert theirs in FLOOR, f"{where(path, node)} imports {target}: name the room whose names it wants"
        fine = theirs == mine or FLOOR[theirs] < FLOOR[mine] or FLOOR[theirs] == FLOOR[mine] == 0
        assert fine, f"{where(path, node)}: {mine} imports {target}, which is not below it"
        assert mine != "kernels" or theirs in ("kernels", *FLOORS[0].split()), (
            f"{where(path, node)}: kernels know arrays"
        )


# --- what no file may hold ----------------------------------------------------------------------------------
@every_module
def test_a_file_is_read_in_one_sitting(name: str, path: Path) -> None:
    lines = len(path.read_text().splitlines())
    assert lines <= LONGEST, f"{path.relative_to(ROOT)} has {lines} lines: find the second subject in it"


@every_module
def test_errors_are_raised_and_never_swallowed(name: str, path: Path) -> None:
    for node in ast.walk(tree(path)):
        assert not isinstance(node, ast.Assert), f"{where(path, node)}: an assert is no error that teaches"
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"{where(path, node)}: a bare except"
            silent = all(isinstance(s, ast.Pass) for s in node.body)
            assert not silent, f"{where(path, node)}: an error is dropped"


@every_module
def test_no_unfinished_work_and_no_blanket_exemptions(name: str, path: Path) -> None:
    for number, line in enumerate(path.read_text().splitlines(), 1):
        found = re.search(r"\b(TODO|FIXME|XXX)\b|# type: ignore(?!\[)|# noqa(?!: )", line)
        assert not found, f"{path.relative_to(ROOT)}:{number}: {line.strip()}"


# --- nothing unused -----------------------------------------------------------------------------------------
WORD = re.compile(r"\w+")


@cache
def words_used() -> dict[str, int]:
    """How often each word stands in code or in a string that names things, definitions apart."""
    used: dict[str, int] = {}
    for path in [*sources().values(), *sorted((ROOT / "tests").rglob("*.py"))]:
        for node in ast.walk(tree(path)):
            found: list[str] = []
            if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Store):
                found = [node.id]
            elif isinstance(node, ast.Attribute):
                found = [node.attr]
            elif isinstance(node, ast.alias):
                found = [node.name, node.asname or ""]
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) < 2000:
                found = WORD.findall(node.value)
            elif isinstance(node, ast.arg | ast.keyword) and node.arg:
                found = [node.arg]
            for word in found:
                used[word] = used.get(word, 0) + 1
    return used


def defined(body: list[ast.stmt]) -> Iterator[tuple[str, ast.stmt]]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name, node
            if isinstance(node, ast.ClassDef):
                yield from defined(node.body)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                for leaf in ast.walk(target):
                    if isinstance(leaf, ast.Name):
                        yield leaf.id, node


@every_module
def test_every_name_is_used_somewhere(name: str, path: Path) -> None:
    for word, node in defined(tree(path).body):
        known = (
            word.startswith("__") or word == "_" or word in words_used() or word.rstrip("_") in words_used()
        )
        assert known, f"{where(path, node)}: {word} is used nowhere, not even in a test"
