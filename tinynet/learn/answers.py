"""What `tn.exercise` makes of a student's function: something to call, which falls back on the reference."""
from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from typing import Any

from tinynet.learn.exercises import Exercise, find

ANSWERS: dict[str, Answer] = {}


class NotDone(Exception):
    """The answer is still the stub."""


class Answer:
    """A student's function (or class). Until it has failed a check it is what is called; a stub, and what has failed,
    is stood in for by the reference solution, so that the cells below always run."""

    def __init__(self, id: str, written: Any) -> None:
        self.id, self.written, self.__doc__ = id, written, written.__doc__
        self.__name__ = self.__qualname__ = getattr(written, "__name__", id)
        self.status = "todo" if is_stub(written) else "unchecked"

    @property
    def exercise(self) -> Exercise:
        """The exercise this answers."""
        return find(self.id)

    def __call__(self, *args: Any, **options: Any) -> Any:
        if self.status == "unchecked":
            try:
                return run(self.written, args, options)
            except NotDone:
                self.status = "todo"
        return (self.written if self.status == "passed" else self.exercise)(*args, **options)

    def __instancecheck__(self, value: Any) -> bool:
        return any(isinstance(c, type) and isinstance(value, c) for c in (self.written, self.exercise.reference))

    def __repr__(self) -> str:
        return f"<your {self.__name__}: {self.status}>"


def exercise(id: str) -> Callable[[Any], Answer]:
    """The decorated function is an answer to the exercise `id`, which `tn.check(id)` looks at.

    While it is a stub (its body is `...`), or has failed the check, calling it calls tinynet's own solution.

    >>> @tn.exercise("01.central_difference")
    ... def central_difference(f, x, h):
    ...     ...
    >>> central_difference(lambda x: x * x, 3.0, 0.5)
    6.0
    """
    def register(written: Any) -> Answer:
        ANSWERS[id] = Answer(id, written.written if isinstance(written, Answer) else written)
        return ANSWERS[id]
    return register


def run(written: Any, args: Any, options: Any) -> Any:
    """Call a student's function; NotDone if what comes shows that it is a stub."""
    try:
        result = written(*args, **options)
    except NotImplementedError as e:
        raise NotDone from e
    parts = result if type(result) is tuple and result else (result,)
    if all(part is None or part is ... for part in parts):
        raise NotDone
    return result


def is_stub(written: Any) -> bool:
    """Whether the source still has a `...` to fill in (one that is not an index), or nothing but a docstring."""
    parts = [m for m in vars(written).values() if inspect.isfunction(m)] if inspect.isclass(written) else [written]
    trees = []
    for part in parts:
        try:
            trees += ast.parse(textwrap.dedent(inspect.getsource(part))).body
        except (OSError, TypeError, SyntaxError):  # written where there is no source to read
            continue
    bodies = [tree.body for tree in trees if isinstance(tree, ast.FunctionDef)]
    return any(_blank(statement) for body in bodies for statement in body) or (
        bool(bodies) and all(_empty(body) for body in bodies))


def _blank(node: ast.AST) -> bool:
    """Whether a `...` stands here where a value belongs: not in an index, nor in the makings of one, as (..., 0)."""
    if isinstance(node, ast.Constant):
        return node.value is ...
    if isinstance(node, ast.Subscript):
        return _blank(node.value)
    blank = [_blank(child) for child in ast.iter_child_nodes(node) if not isinstance(child, ast.expr_context)]
    return all(blank) and bool(blank) if isinstance(node, ast.Tuple | ast.List) else any(blank)


def _empty(body: list[ast.stmt]) -> bool:
    return all(isinstance(s, ast.Pass) or (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant)) for s in body)
