"""Every public name says what it is and shows it: a docstring with an example, and every example is run."""

from __future__ import annotations

import doctest
import inspect
import pkgutil
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import tinynet as tn

# The rooms whose names are for the user; each is looked into as soon as it exists.
ROOMS = """
    tn tn.linalg tn.cuda tn.autograd tn.autograd.functional tn.nn tn.nn.functional tn.nn.init tn.nn.utils
    tn.nn.utils.prune tn.optim tn.optim.lr_scheduler tn.data tn.data.datasets tn.data.transforms tn.metrics tn.mistakes
    tn.viz tn.io tn.onnx tn.compress tn.testing tn.recipes
"""


def rooms() -> Iterator[tuple[str, ModuleType]]:
    for path in ROOMS.split():
        try:
            yield path, import_module(path.replace("tn", "tinynet", 1))
        except ModuleNotFoundError as missing:
            room: Any = tn
            for part in path.split(".")[1:]:  # a room need not be a file
                room = getattr(room, part, None)
            if room is not None:
                yield path, room
            elif not (missing.name or "").startswith("tinynet"):
                raise


def all_modules() -> Iterator[ModuleType]:
    """Every module of the package, the inner ones too: their examples are run as well."""
    for info in pkgutil.walk_packages(tn.__path__, "tinynet."):
        if not info.name.endswith("__main__"):
            yield import_module(info.name)


def is_ours(value: Any) -> bool:
    """A function, class or primitive of tinynet: not a constant, a dtype or something from elsewhere."""
    defined_in = getattr(value, "__module__", None) or ""
    return defined_in.split(".")[0] == "tinynet" and (callable(value) or inspect.isclass(value))


def exported(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """What __all__ lists; without it, what has a public name here and is not just imported for use."""
    listed = getattr(module, "__all__", None)
    gathers = listed or hasattr(module, "__path__") or module.__name__ == "tinynet.nn.functional"
    for name in listed or [n for n in vars(module) if not n.startswith("_")]:
        value = getattr(module, name)
        if is_ours(value) and (gathers or value.__module__ == module.__name__):
            yield name, value


def members(cls: type) -> Iterator[tuple[str, Any]]:
    for name, value in vars(cls).items():
        value = getattr(value, "__func__", value)  # class and static methods
        is_slot = inspect.ismemberdescriptor(value)
        if not name.startswith("_") and not is_slot and (callable(value) or isinstance(value, property)):
            yield name, value


def shown_elsewhere(method: str) -> bool:
    """t.reshape is shown by tn.reshape and t.add_ by tn.add."""
    plain = method.rstrip("_")
    return hasattr(tn, plain) or (plain != method and hasattr(tn.Tensor, plain))


def collect() -> tuple[list[Any], list[Any]]:
    """(every public thing, every docstring), each once however many names it has."""
    things: dict[str, tuple[str | None, bool]] = {}
    seen: set[int] = set()

    def add(path: str, value: Any, doc: str | None, needs_example: bool) -> None:
        if id(value) not in seen:
            seen.add(id(value))
            things[path] = doc, needs_example

    for path, module in rooms():
        add(path, module, module.__doc__, False)
        for name, value in exported(module):
            if inspect.isclass(value):
                for member, method in members(value):
                    doc = inspect.getdoc(method) or inspect.getdoc(getattr(value, member))
                    needs_example = name == "Tensor" and not shown_elsewhere(member)
                    add(f"{path}.{name}.{member}", method, doc, needs_example)
            is_error = inspect.isclass(value) and issubclass(value, BaseException)
            add(f"{path}.{name}", value, value.__doc__, needs_example=not is_error)

    described = [pytest.param(doc, needs, id=path) for path, (doc, needs) in things.items()]
    for module in all_modules():
        for name, value in vars(module).items():
            if is_ours(value):
                add(f"{module.__name__}.{name}", value, value.__doc__, False)
    examples: dict[str, str] = {}
    for path, (doc, _) in things.items():
        if doc and ">>>" in doc:
            examples.setdefault(inspect.cleandoc(doc), path)
    return described, [pytest.param(doc, path, id=path) for doc, path in examples.items()]


DESCRIBED, EXAMPLES = collect()


@pytest.mark.parametrize(("doc", "needs_example"), DESCRIBED)
def test_it_says_what_it_is(doc: str | None, needs_example: bool) -> None:
    assert doc and doc.strip(), "there is no docstring"
    assert ">>>" in doc or not needs_example, f"there is no example (>>>) in:\n{doc}"


@pytest.fixture
def in_a_clean_state(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Examples may write files and set defaults: neither outlives them."""
    monkeypatch.chdir(tmp_path)
    before = tn.get_default_dtype()
    yield
    tn.set_default_dtype(before)


@pytest.mark.usefixtures("in_a_clean_state")
@pytest.mark.parametrize(("doc", "path"), EXAMPLES)
def test_its_example_is_true(doc: str, path: str) -> None:
    test = doctest.DocTestParser().get_doctest(doc, {"tn": tn, "np": np}, path, None, 0)
    report: list[str] = []
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=report.append)
    if report:
        pytest.fail("".join(report), pytrace=False)


def test_much_is_seen() -> None:
    assert len(DESCRIBED) > 200 and len(EXAMPLES) > 100
