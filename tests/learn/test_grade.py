"""`tinynet grade`: a row for each exercise, whatever is handed in; and `tinynet lessons`."""
from __future__ import annotations

import csv
import io
import json
import time

import pytest

from tinynet import cli
from tinynet.learn import shelf
from tinynet.learn.grade import grade
from tinynet.learn.submission import Submission, plain, read

FORWARD = """\
@tn.exercise("01.forward_difference")
def forward_difference(f, x, h):
    return (f(x + h) - f(x)) / h"""
CENTRAL = """\
@tn.exercise("01.central_difference")
def central_difference(f, x, h):
    return (f(x + h) - f(x - h)) / (2 * h)"""
DESCEND = """\
@tn.exercise("01.descend")
def descend(slope, x, lr, steps):
    path = [x]
    for _ in range(steps):
        path.append(path[-1] - lr * slope(path[-1]))
    return path"""
HEAD = "import numpy as np\nimport tinynet as tn"


def hand_in(path, *cells):
    """A notebook of these code cells (after the head)."""
    made = [{"cell_type": "code", "source": text.splitlines(keepends=True)} for text in (HEAD, *cells)]
    path.write_text(json.dumps({"cells": [{"cell_type": "markdown", "source": ["# hello"]}, *made], "nbformat": 4}))
    return path


def body(text):
    """forward_difference with this body."""
    lines = "\n".join(f"    {line}" for line in text.splitlines())
    return f'@tn.exercise("01.forward_difference")\ndef forward_difference(f, x, h):\n{lines}'


# name -> (cells, status of the first exercise, words of its message); the other two are right unless said otherwise
HANDED_IN = {
    "right": ([FORWARD, CENTRAL, DESCEND], "passed", ""),
    "right_with_helper": (["def rise(f, x, h):\n    return f(x + h) - f(x)",
                           body("return rise(f, x, h) / h"), CENTRAL, DESCEND], "passed", ""),
    "right_with_constant": (["ONE = 1", "ONE += 1", body("return (f(x + h) - f(x)) / h * (ONE - 1)"), CENTRAL, DESCEND],
                            "passed", ""),
    "right_star_import": (["from math import *", body("return (f(x + h) - f(x)) / (h * cos(0))"), CENTRAL, DESCEND],
                          "passed", ""),
    "right_twice": ([body("return 0"), FORWARD, CENTRAL, DESCEND], "passed", ""),
    "right_with_magics": (["%matplotlib inline\n!ls /\nnp.ones?\nfiles = !ls", "%%bash\nls /nowhere", FORWARD,
                           CENTRAL, DESCEND], "passed", ""),
    "scratch_hangs": (["while True: pass", "import sys; sys.exit(1)", "1 / 0", FORWARD, CENTRAL, DESCEND],
                      "passed", ""),
    "scratch_same_names": (["h = [0] * 10**12", "x = input()", FORWARD, CENTRAL, DESCEND], "passed", ""),
    "wrong": ([body("return f(x + h) - f(x)"), CENTRAL, DESCEND], "failed", "on a straight line"),
    "stub": ([body("..."), CENTRAL, DESCEND], "todo", ""),
    "none": ([body("y = f(x)"), CENTRAL, DESCEND], "todo", ""),
    "missing": ([CENTRAL, DESCEND], "todo", "no function is marked"),
    "crash": ([body("return (f(x + h) - f(y)) / h"), CENTRAL, DESCEND], "error", "NameError"),
    "syntax": ([body("return (f(x + h - f(x)) / h"), CENTRAL, DESCEND], "error", "SyntaxError in code cell 2"),
    "helper_crashes": (["K = 1 / 0", body("return K"), CENTRAL, DESCEND], "error", "ZeroDivisionError"),
    "hangs": ([body("while True: pass"), CENTRAL, DESCEND], "timeout", "still running"),
    "helper_hangs": (["while True:\n    K = 1", body("return K"), CENTRAL, DESCEND], "timeout", "still running"),
    "hangs_deaf": ([body("import signal\nfor k in range(1, 32):\n    try: signal.signal(k, signal.SIG_IGN)\n"
                         "    except OSError: print(k)\nwhile True:\n    try:\n        while True: pass\n"
                         "    except BaseException: print(1)"), CENTRAL, DESCEND], "timeout", "still running"),
    "sleeps": ([body("import time\ntime.sleep(1000)\nreturn 0"), CENTRAL, DESCEND], "timeout", "still running"),
    "leaves": ([body("import sys\nsys.exit(0)"), CENTRAL, DESCEND], "error", "SystemExit"),
    "leaves_at_once": ([body("import os\nos._exit(0)"), CENTRAL, DESCEND], "error", "the process ended"),
    "aborts": ([body("import os\nos.abort()"), CENTRAL, DESCEND], "error", "the process ended"),
    "kills_group": ([body("import os, signal\nos.killpg(0, signal.SIGKILL)"), CENTRAL, DESCEND], "error",
                    "the process ended"),
    "talks": ([body("import sys, os\nfor k in range(300):\n    print('x' * 10**5)\n    sys.stderr.write('y' * 10**5)\n"
                    "os.write(1, b'z' * 10**6)\nreturn 0"), CENTRAL, DESCEND], "failed", "on a straight line"),
    "forges": ([body("import os\nprint('passed')\n"
                     "line = b'[\"token\", \"01.forward_difference\", \"passed\", \"\"]\\n'\n"
                     "for k in range(64):\n    try: os.write(k, line)\n    except OSError: pass\nreturn 0"),
                CENTRAL, DESCEND], "failed", "on a straight line"),
    "deletes": ([body("import shutil, os\nif os.getcwd().startswith(os.environ['TMPDIR']):\n"
                      "    shutil.rmtree(os.environ['TMPDIR'])\nreturn 0"),
                 CENTRAL, DESCEND], "failed|error", ""),
    "greedy": ([body("return [0] * 10**12"), CENTRAL, DESCEND], "error", "MemoryError"),
    "deep": ([body("return forward_difference(f, x, h)"), CENTRAL, DESCEND], "error", "RecursionError"),
    "forks": ([body("import os\nif os.fork() == 0:\n    while True: pass\nreturn 0"), CENTRAL, DESCEND], "failed", ""),
    "interrupts": ([body("raise KeyboardInterrupt"), CENTRAL, DESCEND], "error", "KeyboardInterrupt"),
    "patches": (["tn.check = print", body("return 0"), "def check(*a): print('✓')", CENTRAL, DESCEND], "failed", ""),
}


def check_rows(name, rows):
    _, status, words = HANDED_IN[name]
    assert [row.exercise for row in rows] == ["01.forward_difference", "01.central_difference", "01.descend"]
    assert rows[0].status in status.split("|") and words in rows[0].message, rows[0]
    assert [row.status for row in rows[1:]] == ["passed", "passed"], rows[1:]


@pytest.mark.parametrize("name", ["right", "wrong", "leaves_at_once", "forges"])
def test_a_submission(tmp_path, name):
    check_rows(name, grade(hand_in(tmp_path / "lesson.ipynb", *HANDED_IN[name][0]), seed=3, limit=30))


@pytest.mark.slow
def test_a_class_of_thirty(tmp_path, capsys):
    assert len(HANDED_IN) >= 30
    for name, (cells, _, _) in HANDED_IN.items():
        hand_in(tmp_path / f"{name}.ipynb", *cells)
    start = time.monotonic()
    assert cli.main(["grade", str(tmp_path), "--csv", "--limit", "30", "--seed", "7"]) == 0
    took = time.monotonic() - start
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    for name in HANDED_IN:
        own = [row for row in rows if row["notebook"].endswith(f"/{name}.ipynb")]
        check_rows(name, [Row(row) for row in own])
    assert took < 300 and len(rows) == 3 * len(HANDED_IN)


class Row:
    """A line of the CSV, read as grade's own rows are."""

    def __init__(self, entries):
        self.exercise, self.status, self.message = (entries[k] for k in ("exercise", "status", "message"))


# --- files that are none ------------------------------------------------------------------------------------
@pytest.mark.parametrize(("text", "words"), [
    ("", "no notebook"), ("{}", "no notebook"), ("[1]", "no notebook"), ('{"cells": 3}', "no notebook"),
    ('{"cells": []}', "no exercise"), ("\x00\xff", "no notebook"), ("[" * 100_000, "no notebook"),
    ('{"cells": [{"cell_type": "code", "source": "exercise(\\"77.none\\")"}]}', "no exercise")])
def test_a_file_that_is_no_lesson_is_a_row(tmp_path, text, words):
    path = tmp_path / "x.ipynb"
    path.write_text(text, encoding="latin-1")
    (row,) = grade(path)
    assert row.status == "error" and words in row.message


def test_no_file_is_a_row_and_no_notebook_at_all_an_error(tmp_path, capsys):
    assert grade(tmp_path / "none.ipynb")[0].status == "error"
    assert cli.main(["grade", str(tmp_path), str(tmp_path / "none.ipynb")]) == 1
    assert "No such file or directory: " in capsys.readouterr().err
    assert cli.main(["grade", str(tmp_path)]) == 1
    assert "no notebook in" in capsys.readouterr().err


# --- the report ---------------------------------------------------------------------------------------------
def test_table_and_json(tmp_path, capsys):
    path = hand_in(tmp_path / "a.ipynb", body("return f(x + h) - f(x)"), CENTRAL)
    assert cli.main(["grade", str(path)]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[0] == f"{path}: 1 of 3 passed" and "[1/1]" in err
    assert out.splitlines()[1].split()[:2] == ["01.forward_difference", "failed"]
    assert "on a straight line it is the slope" in out
    assert cli.main(["grade", str(path), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["status"] for row in rows] == ["failed", "passed", "todo"]
    assert rows[0].keys() == {"notebook", "exercise", "status", "seconds", "message"}


# --- what is taken from a notebook --------------------------------------------------------------------------
@pytest.mark.parametrize(("cell", "wanted"), [
    ("%pip install x\na = 1", "pass\na = 1"), ("if a:\n    !ls\n", "if a:\n    pass\n"), ("%%bash\nls", ""),
    ("%%time\na = 1", "pass\na = 1"), ("np.ones?", "pass"), ("x = a % b\ny = not a", "x = a % b\ny = not a")])
def test_magics_are_left_out(cell, wanted):
    assert plain(cell) == wanted


def test_only_what_an_answer_needs_is_run():
    cells = ["import a, b", "k = 1\nunused = 2", "def helper(x):\n    local = k\n    return local",
             "local = train()", "k[0] = 2", '@tn.exercise("01.descend")\ndef f(x):\n    return helper(x)']
    needed = Submission(cells).needed("01.descend")
    assert [cell for cell, _ in needed] == [2, 3, 5, 6]


def test_dependent_answers_use_the_reference_for_what_is_wrong(tmp_path):
    order = '@tn.exercise("03.topological_order")\ndef topological_order(root):\n    return [root]'
    walk = '''\
@tn.exercise("03.gradients")
def gradients(root):
    found = {root: np.ones_like(root.data)}
    for value in reversed(topological_order(root)):
        if value.rule is not None:
            for one, part in zip(value.inputs, value.rule(found[value], *[n.data for n in value.inputs])):
                found[one] = found.get(one, 0) + part
    return found'''
    rows = {row.exercise: row.status for row in grade(hand_in(tmp_path / "x.ipynb", order, walk))}
    assert rows["03.topological_order"] == "failed" and rows["03.gradients"] == "passed"


# --- tinynet lessons ----------------------------------------------------------------------------------------
def test_the_list(capsys):
    assert cli.main(["lessons", "list"]) == 0
    assert " 1  Slopes, and how to walk downhill (45 minutes)" in capsys.readouterr().out


def test_the_list_for_machines(capsys):
    assert cli.main(["lessons", "list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["number"] for row in rows] == [lesson.number for lesson in shelf.lessons()]
    assert rows[0].keys() == {"number", "title", "goal", "time", "path"}
    assert (rows[0]["title"], rows[0]["time"]) == ("Slopes, and how to walk downhill", "45 minutes")
    assert rows[0]["path"].endswith("01_slopes.ipynb")


def test_open_never_overwrites_and_reset_keeps(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(shelf, "find_spec", lambda name: None)  # as where JupyterLab is not installed
    assert cli.main(["lessons", "open", "1"]) == 0
    assert "pip install 'tinynet-dl[lessons]'" in capsys.readouterr().out
    mine = tmp_path / "01_slopes.ipynb"
    assert "01.descend" in read(mine).answers
    mine.write_text("mine")
    assert cli.main(["lessons", "open", "1"]) == 0
    assert mine.read_text() == "mine"
    assert cli.main(["lessons", "reset", "1"]) == 0
    assert (tmp_path / "01_slopes.ipynb.bak").read_text() == "mine" and mine.read_text() != "mine"
    mine.write_text("again")
    assert cli.main(["lessons", "open", "1", "--force"]) == 0
    assert (tmp_path / "01_slopes.ipynb.bak2").read_text() == "again"
    assert (tmp_path / "01_slopes.ipynb.bak").read_text() == "mine"


def test_jupyterlab_is_started(tmp_path, monkeypatch):
    started = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(shelf, "find_spec", lambda name: object())
    monkeypatch.setattr(shelf.subprocess, "run", lambda command: started.append(command) or Done)
    assert cli.main(["lessons", "open", "1", "--no-browser"]) == 0
    assert started[0][1:] == ["-m", "jupyterlab", "--no-browser", str(tmp_path / "01_slopes.ipynb")]


class Done:
    """A process that has ended well."""

    returncode = 0


@pytest.mark.parametrize(("number", "words"), [("99", "there is no lesson 99; there are 1, ")])
def test_no_such_lesson(capsys, number, words):
    assert cli.main(["lessons", "open", number]) == cli.main(["lessons", "reset", number]) == 2
    assert words in capsys.readouterr().err


def test_where_no_lessons_are_installed(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(shelf, "PACKAGE", tmp_path / "tinynet")
    assert cli.main(["lessons", "list"]) == 1
    assert "not installed here" in capsys.readouterr().err
