"""What recipes share that begin with the model of another: which one that is, and that model."""
from __future__ import annotations

from pathlib import Path
from typing import Any

from tinynet.recipes.evaluate import read, restored
from tinynet.recipes.frame import Run, cook, every
from tinynet.recipes.report import classification

FIRST = "digits-cnn"
CHECKPOINT = {"metavar": "FILE", "help": f"of the model to begin with (default: one of {FIRST}, trained now)"}


def base(run: Run) -> Run:
    """The run of the recipe that this one begins with: that of --checkpoint, or else of digits-cnn. ValueError if it is
    not one that tells classes of images apart."""
    options = run.options
    if not run.evaluating:
        first = read(Path(options["checkpoint"]))[0] if options["checkpoint"] else Run.of(FIRST)
        options["base"] = {"name": first.name, "data": first.data, "options": first.options}
    name, data, chosen = (options["base"].get(key) for key in ("name", "data", "options"))
    if every()[name].measure is not classification:
        raise ValueError(f"{run.name} begins with a network that tells images apart, {name} is another: "
                         f"`tinynet train {FIRST}` trains one")
    return Run.of(name, seed=run.seed, device=run.device, data=run.data or data, options=chosen,
                  evaluating=run.evaluating or bool(options["checkpoint"]))


def base_data(run: Run) -> tuple[Any, Any]:
    """The data of that recipe."""
    first = base(run)
    sets = first.load()
    run.options["base"]["options"], run.source = first.options, first.source
    return sets


def trained(run: Run) -> Any:
    """The model of --checkpoint; without one, that of digits-cnn, trained now."""
    if not run.options["checkpoint"]:
        run.say(f"no --checkpoint: first a {FIRST} is trained")
        return cook(base(run))[0]
    path = Path(run.options["checkpoint"])
    first, weights = read(path)
    return restored(Run.of(first.name, device=run.device, options=first.options, evaluating=True), weights, path)
