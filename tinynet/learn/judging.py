"""Hold an answer to the properties of its exercise, and say what is wrong in words that help."""
from __future__ import annotations

import contextlib
import io
import linecache
import os
import random
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from tinynet.learn.answers import NotDone, run
from tinynet.learn.compare import HIDDEN, Unable, Wrong
from tinynet.learn.exercises import Exercise, Property, _own

KEPT = os.path.join(tempfile.gettempdir(), "tinynet-hypothesis")  # what Hypothesis writes: not beside the notebook
PATIENCE = 4.0  # seconds that are spent on finding a smaller failing example
LINES = 12  # of what an answer printed, or of an array, that are shown


class Verdict(NamedTuple):
    """What a check found. `status`: passed, failed (a wrong result), error (the answer raised), todo."""

    status: str
    message: str


class _Enough(BaseException):
    """There is a failing example, and no more time to look for a smaller one."""


def judge(exercise: Exercise, written: Any, seed: int = 0) -> Verdict:
    """Hold the student's function to every property, on inputs drawn from the seed; the first that fails is told."""
    with _nothing_changed():
        for held in exercise.properties:
            verdict = _first_failure(exercise, held, written, seed)
            if verdict:
                return verdict
    n = len(exercise.properties)
    examples = sum(p.examples if p.draws else 1 for p in exercise.properties)
    return Verdict("passed", f"✓ {exercise.id}: {n} {'properties hold' if n > 1 else 'property holds'}, on up to "
                   f"{examples} random inputs")


def _first_failure(exercise: Exercise, held: Property, written: Any, seed: int) -> Verdict | None:
    os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", KEPT)
    from hypothesis import HealthCheck, Phase, Verbosity, given, settings
    from hypothesis import seed as seeded
    from hypothesis.errors import HypothesisException

    from tinynet.learn.draw import cases
    from tinynet.random import manual_seed

    found: list[tuple[dict[str, Any], BaseException, str]] = []
    until = [float("inf")]

    def attempt(case: dict[str, Any]) -> None:
        if time.monotonic() > until[0]:
            raise _Enough
        shown, printed = {name: _own(value) for name, value in case.items()}, _Output()
        manual_seed(seed)
        try:
            with contextlib.redirect_stdout(printed):
                held.holds(_Guard(exercise, written), **case)
        except NotDone:
            raise
        except (Exception, SystemExit) as e:
            until[0] = min(until[0], time.monotonic() + PATIENCE)
            found.append((shown, e, printed.getvalue()))
            raise

    try:
        if not held.draws:
            np.random.seed(seed % 2**32)
            attempt({})
        else:
            quiet = settings(max_examples=held.examples, deadline=None, database=None, verbosity=Verbosity.quiet,
                             report_multiple_bugs=False, print_blob=False, phases=(Phase.generate, Phase.shrink),
                             suppress_health_check=list(HealthCheck))
            wrapped: Any = given(cases(held.draws, exercise.tensors))
            with_seed: Any = seeded(seed)
            with_seed(quiet(wrapped(attempt)))()
    except NotDone:
        return Verdict("todo", f"○ {exercise.id}: not done yet")
    except (Exception, SystemExit, _Enough) as e:
        if not found:  # a mistake in the check itself
            raise
        if isinstance(e, HypothesisException):
            return Verdict("failed", f"✗ {exercise.id}: the same arguments give another result at the next call\n\n"
                           "    Does it change a global variable, or something it keeps between calls?")
        return _told(exercise, held, written, *found[-1])
    return None


class _Guard:
    """The student's function as properties call it: it must return something, and leave its arguments alone."""

    def __init__(self, exercise: Exercise, written: Any) -> None:
        self.exercise, self.written = exercise, written

    def __call__(self, *args: Any, **options: Any) -> Any:
        given = [*args, *options.values()]
        before = [None if self.exercise.inplace else _own(a) for a in given]
        result = run(self.written, args, options)
        for k, (a, b) in enumerate(zip(given, before, strict=True)):
            if b is not None and hasattr(b, "dtype") and not np.array_equal(_raw(a), _raw(b), equal_nan=True):
                raise Wrong(f"argument number {k + 1} is changed by the call", _raw(b), _raw(a),
                            "The caller still wants it: make a new array (x = x - m, not x -= m) or a copy first.")
        return result

    def __getattr__(self, name: str) -> Any:
        return getattr(self.written, name)


def _raw(a: Any) -> Any:
    return a.detach().numpy() if hasattr(a, "detach") else a


class _Output(io.StringIO):
    """Keeps what is printed, but not without end."""

    def write(self, text: str) -> int:
        return super().write(text) if self.tell() < 10_000 else len(text)


@contextlib.contextmanager
def _nothing_changed() -> Iterator[None]:
    """A check leaves the random numbers of the notebook where they were, and prints no warnings."""
    from tinynet.ops.sampling import get_rng_state, set_rng_state

    kept = random.getstate(), np.random.get_state(), get_rng_state()
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            yield
    finally:
        random.setstate(kept[0])
        np.random.set_state(kept[1])
        set_rng_state(kept[2])


# ---- what is said
def _told(exercise: Exercise, held: Property, written: Any, case: dict[str, Any], error: BaseException,
          printed: str) -> Verdict:
    rows = [(name, show(value)) for name, value in case.items()]
    what, hint, status = "", "", "failed"
    if isinstance(error, Wrong):
        what, hint, status = error.what, error.hint, "error" if isinstance(error, Unable) else "failed"
        rows += [(word, show(value)) for word, value in (("expected", error.expected), ("got", error.got))
                 if value is not HIDDEN]
    else:
        hint, raised = _their_line(error, written), f"{type(error).__name__}: {error}"
        status, what = ("error", f"it raised {raised}") if hint else (
            "failed", f"what it returns cannot be used as the right result can ({raised})")
    if printed:
        lines = printed.splitlines()
        rows.append(("printed", "\n".join(lines[:LINES] + ["…"] * (len(lines) > LINES))))
    width = max((len(name) for name, _ in rows), default=0)
    parts = [f"✗ {exercise.id}: not so: {held.name}" if status == "failed" else f"✗ {exercise.id}: {what}"]
    parts += [_indent(what)] * bool(what and status == "failed")
    if rows:
        parts.append("\n".join(_indent(text, f"{name:<{width}}  ") for name, text in rows))
    parts += [_indent(hint)] * bool(hint)
    return Verdict(status, "\n\n".join(parts))


def _indent(text: str, head: str = "") -> str:
    return "\n".join(f"    {head if k == 0 else ' ' * len(head)}{line}".rstrip()
                     for k, line in enumerate(text.splitlines() or [""]))


def show(value: Any) -> str:
    """A value in few lines: an array by its numbers, a function by its name."""
    value = _raw(value)
    if isinstance(value, np.ndarray | np.generic):
        text = np.array2string(np.asarray(value), precision=6, separator=", ", threshold=64, edgeitems=2)
        dtype = "" if value.dtype.name in ("float64", "int64", "bool") else f" ({value.dtype.name})"
        text += dtype
    elif isinstance(value, list | tuple) and any(isinstance(part, np.generic) for part in value):
        text = repr(type(value)(part.item() if isinstance(part, np.generic) else part for part in value))
    elif callable(value) and hasattr(value, "__name__"):
        text = value.__name__
    else:
        text = repr(value)
    lines = text.splitlines()
    return "\n".join(line[:110] for line in lines[:LINES]) + "\n…" * (len(lines) > LINES)


def _their_line(error: BaseException, written: Any) -> str:
    """The innermost line of the student's own code in the traceback."""
    methods = [written, *(vars(written).values() if isinstance(written, type) else ())]
    files = {code.co_filename for m in methods if (code := getattr(m, "__code__", None))}
    for frame, number in reversed(list(traceback.walk_tb(error.__traceback__))):
        file = frame.f_code.co_filename
        if file in files:
            return f"in {frame.f_code.co_name}, line {number}:  {linecache.getline(file, number).strip()}"
    return ""
