"""The lessons run: solutions pass their checks, stubs run through and call every exercise undone, without a network."""
from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
LESSONS = ROOT / "lessons"
SOURCES = sorted((LESSONS / "_src").glob("[0-9][0-9]_*.py"))
NAMES = [path.stem for path in SOURCES]
LIMIT = 30  # seconds for a lesson at ci scale, on two cores
NO_NETWORK = """\
import socket
def refuse(self, address):
    raise AssertionError(f"a lesson calls {address}")
socket.socket.connect = socket.socket.connect_ex = refuse
socket.getaddrinfo = lambda host, *_, **__: refuse(None, host)
"""

every_lesson = pytest.mark.parametrize("name", NAMES)


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def code(path: Path) -> list[str]:
    return ["".join(cell["source"]) for cell in read(path)["cells"] if cell["cell_type"] == "code"]


def exercises(name: str) -> list[str]:
    return re.findall(r'@tn\.exercise\("([\w.]+)"\)', "\n".join(code(LESSONS / f"{name}.ipynb")))


# --- as files -----------------------------------------------------------------------------------------------
def test_a_rebuild_changes_nothing() -> None:
    run = subprocess.run([sys.executable, LESSONS / "_src" / "build.py", "--check"], capture_output=True, text=True)
    assert run.returncode == 0, f"run python lessons/_src/build.py\n{run.stdout}{run.stderr}"


def test_a_badge_only_where_the_project_has_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = importlib.util.spec_from_file_location("lessons_build", LESSONS / "_src" / "build.py")
    assert spec is not None and spec.loader is not None
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    assert f'"{build.PROJECT["name"]}[lessons]"' in build.INSTALL
    monkeypatch.setitem(build.PROJECT, "urls", {"Documentation": "https://a.b/c"})
    assert build.badge("01_slopes") == ""
    monkeypatch.setitem(build.PROJECT, "urls", {"Repository": "https://github.com/some-one/net.git"})
    assert "/github/some-one/net/blob/main/lessons/01_slopes.ipynb)" in build.badge("01_slopes")


@every_lesson
@pytest.mark.parametrize("folder", ["", "solutions"])
def test_the_files_are_small_and_hold_no_outputs(name: str, folder: str) -> None:
    path = LESSONS / folder / f"{name}.ipynb"
    assert path.stat().st_size < 200_000
    cells = read(path)["cells"]
    assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in cells)
    ids = [cell["id"] for cell in cells]
    assert len(set(ids)) == len(ids)


@every_lesson
def test_stubs_are_short_and_hide_the_solution(name: str) -> None:
    stub, whole = code(LESSONS / f"{name}.ipynb"), code(LESSONS / "solutions" / f"{name}.ipynb")
    marked = [cell for cell in stub if "@tn.exercise(" in cell]
    assert len(marked) >= 3
    for cell in marked:
        assert "..." in cell and cell not in whole
        body = cell[cell.index("@tn.exercise("):]
        assert len(body.splitlines()) <= 16, f"the stub is longer than 15 lines:\n{body}"
    assert not [cell for cell in stub + whole if "SOLUTION" in cell or "#?" in cell]
    for id in exercises(name):
        assert any(f'tn.check("{id}")' in cell for cell in stub), f"{id} is never checked"


@every_lesson
def test_the_exercises_are_those_with_checks(name: str) -> None:
    from tinynet.learn import of_lesson

    assert exercises(name) == of_lesson(name[:2])


@every_lesson
def test_nothing_in_it_is_bound_to_one_machine(name: str) -> None:
    text = (LESSONS / "_src" / f"{name}.py").read_text()
    found = re.search(r"drive\.mount|/content/|/home/|/work/|/tmp/|[A-Z]:\\\\|sys\.path", text)
    assert not found, found


def test_the_index_names_every_lesson() -> None:
    index = (LESSONS / "README.md").read_text()
    assert SOURCES
    for name in NAMES:
        assert f"]({name}.ipynb)" in index, f"{name} is not in lessons/README.md"


# --- run ----------------------------------------------------------------------------------------------------
def run_all(path: Path, where: Path, **variables: str) -> tuple[str, list[str]]:
    """Run a notebook as Run All does, at scale ci: (all that it printed, the first error if there is one)."""
    nbclient = pytest.importorskip("nbclient", reason="NO LESSON RAN: pip install nbclient ipykernel")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel", reason="NO LESSON RAN: pip install nbclient ipykernel")
    notebook = nbformat.read(path, as_version=4)
    assert not list(nbformat.validator.iter_validate(notebook))
    notebook.cells.insert(0, nbformat.v4.new_code_cell(NO_NETWORK))
    path_to_us = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "TINYNET_SCALE": "ci", "PYTHONPATH": path_to_us, **variables}
    client = nbclient.NotebookClient(notebook, timeout=4 * LIMIT, kernel_name="python3",
                                     resources={"metadata": {"path": str(where)}})
    try:
        client.execute(env=environment)
    except nbclient.exceptions.CellExecutionError as e:
        return "", [str(e)]
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    texts = [o.get("text", "") or o.get("data", {}).get("text/plain", "") for o in outputs]
    return "\n".join("".join(text) for text in texts), []


@pytest.mark.slow
@every_lesson
@pytest.mark.filterwarnings("default")
def test_the_solution_passes_its_checks(name: str, tmp_path: Path) -> None:
    import time

    start = time.monotonic()
    said, errors = run_all(LESSONS / "solutions" / f"{name}.ipynb", tmp_path)
    took = time.monotonic() - start
    assert not errors, errors[0]
    missing = [id for id in exercises(name) if f"✓ {id}" not in said]
    assert not missing, f"not passed: {missing}\n{said}"
    assert "✗" not in said and "○" not in said, said
    allowed = LIMIT * (2 if "PYTEST_XDIST_WORKER" in os.environ else 1)  # workers share the cores
    assert took < allowed, f"{took:.0f} s at ci scale: {allowed} s are allowed"


@pytest.mark.slow
@every_lesson
@pytest.mark.filterwarnings("default")
def test_the_stub_runs_through_and_nothing_is_done(name: str, tmp_path: Path) -> None:
    said, errors = run_all(LESSONS / f"{name}.ipynb", tmp_path)
    assert not errors, errors[0]
    missing = [id for id in exercises(name) if f"○ {id}: not done yet" not in said]
    assert not missing, f"not called undone: {missing}\n{said}"
    assert "✓ " not in said and "✗" not in said, said


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the emulator runs on Linux")
@pytest.mark.filterwarnings("default")
def test_without_a_compiler_lesson_16_ends_with_one_sentence(tmp_path: Path) -> None:
    elsewhere = tmp_path / "bin"
    elsewhere.mkdir()
    for tool in ("env", "sh", "uname"):
        (elsewhere / tool).symlink_to(shutil.which(tool) or "/bin/sh")
    _, (error,) = run_all(LESSONS / "16_gpu.ipynb", tmp_path, PATH=str(elsewhere), CXX="g++")
    assert "apt install g++" in error and "This lesson ends here for today" in error
    assert "Traceback" not in error and "File " not in error, error
