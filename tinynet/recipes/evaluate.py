"""`tinynet evaluate CHECKPOINT`: a recipe's model, read back and measured on the data it has not seen."""
from __future__ import annotations

from pathlib import Path
from reprlib import repr as brief
from typing import Any

import tinynet as tn
from tinynet.kinds import check_kind, count
from tinynet.recipes.frame import FORMAT, Run, dest, every
from tinynet.recipes.report import report

MOST = 1_000_000  # of whatever an option counts: with more there would be no end
CHECKPOINT = "--checkpoint"  # the option of recipes that begin with the model of another
SETTINGS: dict[str, Any] = {"epochs": int, "batch_size": int, "lr": float, "seed": int, "data": (str, type(None)),
                            "options": dict}


def evaluate(path: Path, data: str | None = None, batch_size: int | None = None,
             device: str = "cpu") -> dict[str, Any]:
    """The report of the checkpoint's model on its recipe's test set, which is now at `data`, if that is given.
    ValueError for a file that is no such checkpoint, FileNotFoundError where there are no such data.

    >>> from tinynet.recipes.evaluate import evaluate
    >>> evaluate("mnist-cnn.ckpt")["metrics"]["accuracy"]  # doctest: +SKIP
    0.9871
    """
    tn.device(device)
    run, weights = read(path)
    if data is not None and run.recipe.source == "digits":
        raise ValueError(f"{path} is of {run.name}, whose digits come with tinynet: it reads no other data")
    if data is not None and not Path(data).exists():
        raise FileNotFoundError(f"--data: there is no {data}")
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
    try:
        count("batch_size", settings["batch_size"])
        run = Run.of(name, **settings, evaluating=True)
        check_options(run)
    except (KeyError, TypeError, ValueError) as problem:
        raise ValueError(f"{path} is damaged: {problem.args[0]}") from problem
    return run, state["model"]


def check_options(run: Run) -> None:
    """KeyError, TypeError or ValueError unless the run's options are such as the command line would give."""
    for flag, keywords in run.recipe.options.items():
        value, kind, choices = run.options[dest(flag)], keywords.get("type", str), keywords.get("choices")
        if value is None and keywords.get("default") is None:
            continue
        if choices is not None and value not in choices:
            raise ValueError(f"{flag} must be one of {', '.join(choices)}, got {brief(value)}")
        if kind is int and count(flag, value) > MOST:
            raise ValueError(f"{flag} must be at most {MOST:,}, got {value}")
        check_kind(flag, value, kind())
    if CHECKPOINT in run.recipe.options:
        check_kind("options", run.options, {"base": {"name": "", "data": None, "options": {}}})
        begun = run.options["base"]
        if begun.get("data") is not None:
            check_kind("options['base']['data']", begun["data"], "")
        check_options(Run.of(begun["name"], options=begun["options"]))


def restored(run: Run, weights: dict[str, Any], path: Path) -> Any:
    """The recipe's network with these weights. ValueError if they are another network's."""
    try:
        model = run.network()
        model.load_state_dict(weights)
    except (AttributeError, KeyError, IndexError, TypeError, ValueError, RuntimeError) as problem:
        raise ValueError(f"{path} does not hold the network of {run.name}: {problem}") from problem
    return model
