"""Exercises that check themselves: tn.exercise marks an answer, tn.check holds it to its properties, tn.use runs the
engine on it; `tinynet grade` does the same for a teacher.

An exercise is a reference solution and properties, in `checks/lesson_NN.py`:

    from tinynet.learn import close, draw, reference, require, slope

    @reference("06.softmax")
    def softmax(x):
        e = np.exp(x - x.max(-1, keepdims=True))
        return e / e.sum(-1, keepdims=True)

    @softmax.property("every row sums to 1", x="n k")
    def _(mine, x):
        close(mine(x).sum(-1), np.ones(len(x)), "Divide by the sum over the row: axis=-1, keepdims=True.")

    softmax.agrees(x=draw.arrays((3,), -1000, 1000), hint="Subtract the largest number of the row before exp.")

A property draws its inputs (draw.py says what "n k" means), calls `mine`, the student's function, and raises Wrong
where it is wrong, which these do: `close(got, expected, hint)`, `require(condition, sentence, hint)`,
`slope(function, arrays, hint)` where a gradient must be proved; `rule(forward, backward)` makes such a function of two
on NumPy arrays. Hypothesis finds the smallest example. That nothing is returned, that an argument was changed in
place, that it raised: all of that is looked after. Properties are tried in the order they are written: begin with the
one whose failure explains most, and end with `agrees`, the comparison with the reference.
"""
from __future__ import annotations

from importlib import import_module
from typing import Any

from tinynet.learn.answers import ANSWERS, Answer, exercise
from tinynet.learn.compare import Wrong, close, require, rule, slope
from tinynet.learn.engine import forward, gradient, use
from tinynet.learn.exercises import Exercise, find, of_lesson, reference
from tinynet.learn.judging import Verdict, judge
from tinynet.learn.lessons import Stop, begin, sized

__all__ = ["ANSWERS", "Answer", "Exercise", "Stop", "Verdict", "Wrong", "begin", "check", "close", "exercise", "find",
           "forward", "gradient", "judge", "of_lesson", "reference", "require", "rule", "sized", "slope", "use"]

STANDS_IN = "    Until it is right the cells below use tinynet's own solution."


def check(id: str, seed: int = 0) -> None:
    """Hold your answer to the exercise `id` to its properties, on inputs drawn from the seed, and print what comes of
    it: ✓ right, ○ not done yet, or ✗ with the smallest example that fails, what is expected there, and what came.

    >>> @tn.exercise("01.forward_difference")
    ... def forward_difference(f, x, h):
    ...     return f(x + h) - f(x)
    >>> tn.check("01.forward_difference")  # doctest: +ELLIPSIS
    ✗ 01.forward_difference: not so: on a straight line it is the slope, whatever h is
    ...
    """
    wanted = find(id)
    answer = ANSWERS.get(id)
    if answer is None:
        print(f"✗ {id}: nothing is decorated with @tn.exercise({id!r}) yet: run the cell that defines it first")
        return
    if answer.status == "todo":
        print(f"○ {id}: not done yet\n{STANDS_IN}")
        return
    verdict = judge(wanted, answer.written, seed)
    answer.status = verdict.status
    print(verdict.message if verdict.status == "passed" else f"{verdict.message}\n\n{STANDS_IN}")


def __getattr__(name: str) -> Any:
    if name == "draw":  # it loads Hypothesis
        return import_module("tinynet.learn.draw")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
