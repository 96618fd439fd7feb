"""`tn.use`: a student's function in the place of the engine's own."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinynet import kernels
from tinynet.learn.answers import ANSWERS, Answer
from tinynet.ops._primitive import PRIMITIVES, Primitive

Patch = tuple[Any, str, Any]  # owner, attribute, what it is now

_in_use: dict[str, list[Patch]] = {}  # exercise -> what to put back, in this order
_apart = kernels.one_by_one


def forward(primitive: str, compute: Callable[..., Any]) -> Patch:
    """For an exercise's `engine`: compute(*arrays, **options), on NumPy arrays, is what the primitive now runs."""
    return PRIMITIVES[primitive], "forward", lambda xp, *arrays, **options: compute(*arrays, **options)


def gradient(primitive: str, **rules: Callable[..., Any]) -> Patch:
    """For an exercise's `engine`: rules for arguments of the primitive, as `Primitive.vjp` takes them."""
    op = PRIMITIVES[primitive]
    return op, "written", {**op.written, **rules}


class use:
    """From now on, or inside a `with`, the engine computes by your own function: one that `tn.exercise` decorates and
    `tn.check` has passed. tn.use(None) brings the engine's own back.

    Of an answer that has not passed it says so, and changes nothing. TypeError for what is no answer; ValueError for
    an exercise that the engine has no place for.

    >>> tn.use(None)
    <the engine runs its own functions>
    """

    def __init__(self, answer: Answer | None) -> None:
        self.answer, self.before = answer, list(_in_use)
        if answer is None:
            for id in self.before:
                _put_back(id)
            return
        if not isinstance(answer, Answer):
            raise TypeError(f"tn.use takes a function decorated with @tn.exercise(...), or None; got "
                            f"{type(answer).__name__}")
        engine = answer.exercise.engine
        if engine is None:
            raise ValueError(f"{answer.id} is an exercise whose answer the engine has no place for")
        if answer.status != "passed":
            print(f"○ {answer.id} has not passed its check: the engine keeps its own {answer.__name__}")
            return
        _put_back(answer.id)
        patches = engine(answer.written)
        _in_use[answer.id] = [(owner, name, getattr(owner, name)) for owner, name, _ in patches]
        _set(patches)
        kernels.one_by_one = lambda: True  # neighbouring layers are not fused into one kernel, past the student's
        print(f"✓ the engine now runs your {answer.__name__}")

    def __enter__(self) -> use:
        return self

    def __exit__(self, *exc: object) -> None:
        if self.answer is not None and self.answer.id not in self.before:
            _put_back(self.answer.id)

    def _ipython_display_(self) -> None:
        """Nothing at the end of a cell: what there is to say has been printed."""

    def __repr__(self) -> str:
        running = [f"your {ANSWERS[id].__name__}" for id in _in_use if id in ANSWERS]
        return f"<the engine runs {', '.join(running) or 'its own functions'}>"


def _put_back(id: str) -> None:
    _set(_in_use.pop(id, []))
    if not _in_use:
        kernels.one_by_one = _apart


def _set(patches: list[Patch]) -> None:
    for owner, name, new in patches:
        setattr(owner, name, new)
        if isinstance(owner, Primitive):  # what a node keeps follows from the rules: it is worked out anew
            owner.rules, owner.needs = [], []
            owner.plans.clear()
