"""What the places of a graph are called: as the user calls the tensors that stand there."""
from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from tinynet.autograd.graph import _PACKAGE, Place
from tinynet.autograd.variable import Variable


def user_names() -> dict[str, Any]:
    """The variables of the innermost function outside this package, its own before the globals; none that begin
    with an underscore."""
    frame: Any = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    names = {} if frame is None else {**frame.f_locals, **{k: v for k, v in frame.f_globals.items()
                                                           if k not in frame.f_locals}}
    return {name: value for name, value in names.items() if name.isidentifier() and not name.startswith("_")}


def named_tensors(params: Any = None) -> dict[str, Variable]:
    """Name -> tensor: those of `params` (a mapping, or a module), then the user's variables."""
    given = dict(params.named_parameters() if hasattr(params, "named_parameters") else params or {})
    for name, tensor in given.items():
        if not isinstance(tensor, Variable):
            raise TypeError(f"params must be a module, or map names to tensors, but params[{name!r}] is of type "
                            f"{type(tensor).__name__}")
    known = set(map(id, given.values()))
    found = {name: v for name, v in user_names().items()
             if isinstance(v, Variable) and id(v) not in known and name not in given}
    return given | found


def by_place(tensors: Mapping[str, Variable]) -> dict[Place, tuple[str, Variable]]:
    """Place -> (name, tensor), for the tensors that have a place; the first name counts."""
    places: dict[Place, tuple[str, Variable]] = {}
    for name, tensor in tensors.items():
        if tensor.refresh() is not None:
            places.setdefault(tensor.place, (name, tensor))
    return places
