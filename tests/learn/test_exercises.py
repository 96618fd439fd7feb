"""Every exercise takes right answers however they are written, and refuses the mistakes students make, in words.

wrong/lesson_NN.py has a class for each exercise, of its name. Its functions (or classes) `wrong_…` must fail, with a
message that contains every line of their docstring; those called `right_…` must pass.
"""
from __future__ import annotations

import importlib.util
import inspect
from pathlib import Path
from typing import Any

import pytest

from tinynet.learn import find, judge, of_lesson

HERE = Path(__file__).parent
LESSONS = [path.stem[-2:] for path in sorted((HERE.parents[1] / "tinynet" / "learn" / "checks").glob("lesson_*.py"))]
EXERCISES = [id for number in LESSONS for id in of_lesson(number)]


def planted(number: str) -> dict[str, dict[str, Any]]:
    """Exercise -> name -> what was written for it, of one lesson."""
    path = HERE / "wrong" / f"lesson_{number}.py"
    if not path.exists():
        return {}
    spec = importlib.util.spec_from_file_location(f"wrong_{number}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    classes = {name: value for name, value in vars(module).items() if inspect.isclass(value)}
    return {f"{number}.{name}": {k: v for k, v in vars(c).items() if k.startswith(("wrong_", "right_"))}
            for name, c in classes.items() if c.__module__ == module.__name__ and not name.startswith("_")}


PLANTED = {id: written for number in LESSONS for id, written in planted(number).items()}
CASES = [pytest.param(id, name, id=f"{id}-{name}") for id, written in PLANTED.items() for name in written]


@pytest.mark.parametrize(("id", "name"), CASES)
def test_right_is_taken_and_wrong_is_explained(id: str, name: str) -> None:
    written = PLANTED[id][name]
    verdict = judge(find(id), written, seed=1)
    if name.startswith("right_"):
        assert verdict.status == "passed", verdict.message
        return
    assert verdict.status in ("failed", "error"), verdict.message
    words = [line.strip() for line in (written.__doc__ or "").splitlines() if line.strip()]
    assert words, "the docstring of a wrong answer says what the message must contain"
    missing = [line for line in words if line not in verdict.message]
    assert not missing, f"{missing} not in\n{verdict.message}"


@pytest.mark.parametrize("id", EXERCISES)
def test_the_reference_is_right_with_any_seed(id: str) -> None:
    for seed in (0, 1, 2):
        verdict = judge(find(id), find(id).reference, seed)
        assert verdict.status == "passed", verdict.message


@pytest.mark.parametrize("id", EXERCISES)
def test_at_least_three_mistakes_and_a_variant_are_planted(id: str) -> None:
    names = list(PLANTED.get(id, {}))
    assert sum(name.startswith("wrong_") for name in names) >= 3, names
    assert any(name.startswith("right_") for name in names), names


def test_everything_planted_is_for_an_exercise_there_is() -> None:
    assert set(PLANTED) <= set(EXERCISES)
    assert EXERCISES
