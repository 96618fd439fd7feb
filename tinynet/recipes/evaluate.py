"""`tinynet evaluate CHECKPOINT`: a recipe's model, read back and measured on the data it has not seen."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import tinynet as tn
from tinynet.recipes.frame import FORMAT, Run, every
from tinynet.recipes.report import report

SETTINGS: dict[str, Any] = {"epochs": int, "batch_size": int, "lr": float, "seed": int, "data": (str, type(None)),
                            "options": dict}


def evaluate(path: Path, data: str | None = None, batch_size: int | None = None,
             device: str = "cpu") -> dict[str, Any]:
    """The report of the checkpoint's model on its recipe's test set. ValueError for a file that is no such checkpoint.

    >>> from tinynet.recipes.evaluate import evaluate
    >>> evaluate("mnist-cnn.ckpt")["metrics"]["accuracy"]  # doctest: +SKIP
    0.9871
    """
    tn.device(device)
    run, weights = read(path)
    run.device, run.data, run.batch_size = device, data or run.data, batch_size or run.batch_size
    tn.manual_seed(run.seed)
    try:
        _, test_set = run.load()
    except (AttributeError, KeyError, IndexError, TypeError) as problem:  # settings that are none of this recipe
        raise ValueError(f"{path} is damaged: its options are {str(run.options)[:80]}") from problem
    model = restored(run, weights, path)
    return report(run, model, run.recipe.measure(run, model, test_set), None, test_set)


def read(path: Path) -> tuple[Run, dict[str, Any]]:
    """The run that a checkpoint is of, and its model's state_dict. ValueError if it is none of a recipe."""
    state = tn.load(path)
    if not isinstance(state, dict) or not {FORMAT, "settings", "model"} <= state.keys():
        kind = "a checkpoint of a Trainer" if isinstance(state, dict) and "optimizer" in state else "another file"
        raise ValueError(f"{path} is no checkpoint of a recipe but {kind}: `tinynet train RECIPE` writes RECIPE.ckpt")
    name, settings = state[FORMAT], state["settings"]
    if not isinstance(name, str) or name not in every():
        raise ValueError(f"{path} is of the recipe {name!r}, which this tinynet has not; it has {', '.join(every())}")
    fits = isinstance(settings, dict) and settings.keys() == SETTINGS.keys()
    if not fits or not all(isinstance(settings[key], kind) for key, kind in SETTINGS.items()):
        raise ValueError(f"{path} is damaged: its settings are {str(settings)[:80]}")
    if not isinstance(state["model"], dict) or settings["batch_size"] < 1:
        raise ValueError(f"{path} is damaged: there are no weights in it, or batches of none")
    return Run.of(name, **settings, evaluating=True), state["model"]


def restored(run: Run, weights: dict[str, Any], path: Path) -> Any:
    """The recipe's network with these weights. ValueError if they are another network's."""
    try:
        model = run.network()
        model.load_state_dict(weights)
    except (AttributeError, KeyError, IndexError, TypeError, ValueError, RuntimeError) as problem:
        raise ValueError(f"{path} does not hold the network of {run.name}: {problem}") from problem
    return model
