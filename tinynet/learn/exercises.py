"""What an exercise is: a reference solution, and properties that every right answer has."""
from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any, NamedTuple

from tinynet.learn.compare import close

Function = Callable[..., Any]
EXERCISES: dict[str, Exercise] = {}


class Property(NamedTuple):
    """One thing that is true of every right answer: `holds(mine, **drawn)` raises Wrong where it is not."""

    name: str
    holds: Function
    draws: dict[str, Any]
    examples: int


class Exercise:
    """A reference solution, which can be called, and the properties an answer is held to."""

    def __init__(self, id: str, reference: Function, tensors: bool, inplace: bool, engine: Function | None) -> None:
        self.id, self.reference, self.tensors, self.inplace, self.engine = id, reference, tensors, inplace, engine
        self.__name__, self.__doc__ = reference.__name__, reference.__doc__
        self.properties: list[Property] = []

    def __call__(self, *args: Any, **options: Any) -> Any:
        return self.reference(*args, **options)

    def property(self, name: str, *, examples: int = 20, **draws: Any) -> Callable[[Function], Function]:
        """The decorated function of (mine, **drawn) is a property: it raises Wrong (close, require and slope do) where
        the answer `mine` is wrong. `draws`: for each argument named sizes ("n k") or a Hypothesis strategy."""
        def register(holds: Function) -> Function:
            self.properties.append(Property(name, holds, draws, examples))
            return holds
        return register

    def agrees(self, name: str = "the result is right", *, hint: str = "", examples: int = 20,
               options: dict[str, Any] | None = None, **draws: Any) -> None:
        """Property: on these draws, passed in this order, the answer equals the reference. `options`: tolerances."""
        def holds(mine: Function, **drawn: Any) -> None:
            want = self.reference(*[_own(a) for a in drawn.values()])
            close(mine(*drawn.values()), want, hint, **(options or {}))
        self.properties.append(Property(name, holds, draws, examples))


def reference(id: str, *, tensors: bool = False, inplace: bool = False,
              engine: Function | None = None) -> Callable[[Function], Exercise]:
    """Make the decorated function the exercise `id`, with this reference solution.

    tensors: arrays are drawn as tensors. inplace: the answer may write into its arguments (it is told off otherwise).
    engine: what tn.use does: engine(answer) -> a list of (owner, attribute, replacement)."""
    def register(solution: Function) -> Exercise:
        EXERCISES[id] = Exercise(id, solution, tensors, inplace, engine)
        return EXERCISES[id]
    return register


def find(id: str) -> Exercise:
    """The exercise of that id; ValueError if there is none."""
    if id not in EXERCISES:
        number = id.partition(".")[0]
        there = of_lesson(number)
        if id not in EXERCISES:
            raise ValueError(f"there is no exercise {id!r}; lesson {number} has {', '.join(there) or 'none'}")
    return EXERCISES[id]


def of_lesson(number: str) -> list[str]:
    """The ids of a lesson's exercises, in order; none if there is no such lesson."""
    module = f"tinynet.learn.checks.lesson_{number}"
    if number.isdigit() and importlib.util.find_spec(module):
        importlib.import_module(module)
    return [id for id in EXERCISES if id.startswith(f"{number}.")]


def _own(a: Any) -> Any:
    """A copy of an array or tensor: what one side writes into it the other does not see."""
    if not hasattr(a, "dtype") or not hasattr(a, "ndim"):
        return a
    return a.detach().clone().requires_grad_(a.requires_grad) if hasattr(a, "detach") else a.copy()
