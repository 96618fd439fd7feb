"""What the README says is so: its example prints what it shows, its map is the tree, its commands work."""

from __future__ import annotations

import fnmatch
import json
import re
import socket
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
from pathlib import Path

import pytest

import tinynet as tn

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.S)


def test_the_example_prints_what_it_shows(tmp_path: Path) -> None:
    example = blocks("python")[1]
    assert len(example.splitlines()) <= 18
    program = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{example}"
    run = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout == blocks("text")[0]
    said = run.stderr.splitlines()
    assert all(line.startswith("tinynet: compiling kernels") for line in said)  # where they never ran before


def test_the_first_block_is_the_import() -> None:
    exec(blocks("python")[0], {})


def test_an_onnx_file_is_served(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    model = tn.nn.Sequential(tn.nn.Flatten(), tn.nn.Linear(4, 3))
    tn.onnx.export(model, tn.zeros(1, 2, 2), tmp_path / "model.onnx")
    with socket.create_server(("localhost", 0)) as free:
        port = str(free.getsockname()[1])
    batch = tn.randn(5, 2, 2)
    (program,) = (block for block in blocks("python") if "HTTPServer" in block)
    command = [sys.executable, "-c", program.replace("8000", port)]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL) as server:
        try:
            answer = asked(f"http://localhost:{port}", json.dumps(batch.tolist()).encode())
        finally:
            server.kill()
    assert tn.allclose(tn.tensor(answer), model(batch), rtol=1e-5)


def asked(address: str, data: bytes) -> list[list[float]]:
    """What a server answers, once it has started."""
    for _ in range(300):
        try:
            with urllib.request.urlopen(address, data, timeout=30) as reply:
                return json.load(reply)
        except urllib.error.URLError:
            time.sleep(0.1)
    pytest.fail("the server does not start")


# --- the map ------------------------------------------------------------------------------------------------
def named_in_the_map() -> list[str]:
    section = README.split("## The map")[1].split("\n## ")[0]
    table = [line for line in section.splitlines() if line.startswith("| `")]
    return [name.rstrip("/") for line in table for name in re.findall(r"`([\w./]+)`", line.split("|")[1])]


def test_every_path_in_the_readme_exists() -> None:
    paths = set(re.findall(r"`((?:tinynet|kernels|tests|\.ci)/[\w./]*)`", README)) | set(named_in_the_map())
    missing = [path for path in sorted(paths) if not (ROOT / path).exists()]
    assert not missing
    links = [path for path in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in path]
    assert links and all((ROOT / path).exists() for path in links)


def test_every_room_is_on_the_map() -> None:
    ignored = [line.rstrip("/") for line in (ROOT / ".gitignore").read_text().splitlines() if line]
    ignored += [".git", "__init__.py", "__main__.py", "py.typed"]

    def kept(folder: str) -> list[Path]:
        return [p for p in (ROOT / folder).iterdir() if not any(fnmatch.fnmatch(p.name, i) for i in ignored)]

    rooms = [p for p in kept(".") if p.is_dir()] + kept("tinynet")
    missing = {p.relative_to(ROOT).as_posix() for p in rooms} - set(named_in_the_map())
    assert not missing


# --- the commands -------------------------------------------------------------------------------------------
def test_the_commands_are_there() -> None:
    run_demo, run_tests = (block.strip() for block in blocks("sh"))
    assert run_demo == "python3 -m venv .venv && .venv/bin/pip install -e . && .venv/bin/tinynet demo"
    assert run_tests.endswith(" && .venv/bin/python -m pytest -n auto")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert "test" in project["optional-dependencies"]
    assert project["scripts"] == {"tinynet": "tinynet.cli:main"}


@pytest.mark.parametrize("command", sorted(set(re.findall(r"`tinynet ([a-z][^`]*)`", README))))
def test_every_command_named_is_a_command(command: str) -> None:
    program = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from tinynet.cli import main; main()"
    argv = [sys.executable, "-c", program, *command.split(), "--help"]
    run = subprocess.run(argv, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_pytorch_is_the_version_the_tests_name() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    version = next(d for d in project["optional-dependencies"]["dev"] if d.startswith("torch=="))
    assert version in README and version in (ROOT / "tests" / "conftest.py").read_text()


def test_ci_sets_up_by_the_readmes_own_command() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    assert "-m pytest -n auto' README.md" in script
    line = subprocess.run(
        ["grep", "-m", "1", "--", "-m pytest -n auto", "README.md"], cwd=ROOT, capture_output=True, text=True
    )
    assert line.stdout.strip() == blocks("sh")[1].strip()
