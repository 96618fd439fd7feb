"""The throw-away process of `tinynet grade`: python -m tinynet.learn.grading NOTEBOOK SEED TOKEN EXERCISE[=STATUS]…

It writes a line of JSON to what was its stdout when an exercise begins and when it is judged. The first comes when
everything is loaded, so that loading costs no student time.
"""
from __future__ import annotations

import contextlib
import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from tinynet.learn.answers import ANSWERS
from tinynet.learn.exercises import Exercise, find
from tinynet.learn.judging import Verdict, judge
from tinynet.learn.submission import namespace, read

MEMORY = 8 << 30  # bytes: an answer that wants more gets a MemoryError, not the teacher's machine


def main(path: str, seed: str, token: str, *words: str) -> None:
    """Judge the exercises in their order. A word `exercise=status` says what is known of one: where another answer
    calls it, the reference solution stands in for what has not passed."""
    submission = read(Path(path))
    known = {id: status for id, _, status in (word.partition("=") for word in words) if status}
    exercises = [find(word) for word in words if "=" not in word]
    trial = Exercise("", abs, tensors=False, inplace=False, engine=None)
    trial.agrees(x="n")
    judge(trial, abs)  # what is slow once is now done
    report = reporter(os.dup(1), token)
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)  # where the student's prints go
    with contextlib.suppress(ImportError):  # there is no such module on Windows
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    sys.argv = [""]
    for exercise in exercises:
        report("begin")
        try:
            ANSWERS.clear()
            namespace(submission, exercise.id)
            for id, status in known.items():
                if id in ANSWERS:
                    ANSWERS[id].status = status
            answer = ANSWERS[exercise.id]
            todo = answer.status == "todo"
            verdict = Verdict("todo", "not done yet") if todo else judge(exercise, answer.written, int(seed))
        except BaseException as e:  # whatever the student's code does, the next exercise has its turn
            last = traceback.extract_tb(e.__traceback__)[-1]
            verdict = Verdict("error", f"{type(e).__name__}: {e} ({last.filename}, line {last.lineno}: {last.line})")
        known[exercise.id] = verdict.status
        report(exercise.id, verdict.status, verdict.message)


def reporter(descriptor: int, token: str) -> Callable[..., None]:
    """A function that writes its arguments into the pipe, after the token."""
    write, dumps = os.write, json.dumps  # as they are before the student's code runs

    def report(*words: str) -> None:
        rest = (dumps([token, *words]) + "\n").encode()
        while rest:
            rest = rest[write(descriptor, rest):]
    return report


if __name__ == "__main__":
    main(*sys.argv[1:])
