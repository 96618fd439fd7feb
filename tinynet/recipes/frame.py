"""The frame of every recipe: its settings, where its data are from, how it is run, what it leaves behind."""
from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import tinynet as tn
from tinynet.data.datasets import SOURCES
from tinynet.files import folder_there, whole_file

FORMAT = "recipe"  # the key of a checkpoint that has the recipe's name


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A training: the functions that make it up, and the defaults of its settings. `tinynet.recipes` says how one is
    written.

    >>> from tinynet.recipes import every
    >>> every()["mnist-cnn"].source
    'mnist'
    """

    data: Callable[[Run], tuple[Any, Any]]
    network: Callable[[Run], Any]
    train: Callable[[Run, Any, Any], tuple[Any, tn.History]]
    measure: Callable[[Run, Any, Any], dict[str, float]]
    epochs: int
    batch_size: int
    lr: float
    source: str | None = None  # the name of its data set
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # what it adds to the command line
    examples: Sequence[str] = ()  # of command lines, from the recipe's name on


def every() -> dict[str, Recipe]:
    """The recipes by name.

    >>> from tinynet.recipes import every
    >>> "digits-cnn" in every()
    True
    """
    modules = (info.name for info in iter_modules([str(Path(__file__).parent)]))
    found = {name.replace("_", "-"): getattr(_module(name), "RECIPE", None) for name in sorted(modules)}
    return {name: recipe for name, recipe in found.items() if recipe is not None}


def about(name: str) -> str:
    """What the recipe is, in a line: the first of its docstring."""
    return (_module(name).__doc__ or "").splitlines()[0].partition(": `")[0]


def _module(name: str) -> Any:
    return import_module(f"tinynet.recipes.{name.replace('-', '_')}")


@dataclass
class Run:
    """A recipe and its settings, as its functions get them; and what it has to report. output: the folder for what it
    leaves behind; without one nothing is written.

    >>> from tinynet.recipes import Run
    >>> Run.of("mnist-cnn", lr=0.01).batch_size
    64
    """

    name: str
    recipe: Recipe
    epochs: int
    batch_size: int
    lr: float
    seed: int = 0
    device: str = "cpu"
    data: str | None = None  # the folder or file to take the data from, if not the usual one
    output: Path | None = None
    options: dict[str, Any] = field(default_factory=dict)
    evaluating: bool = False  # the model is there already
    source: str = ""  # where the data are from
    shown: dict[str, Any] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    seconds: float = 0.0  # of training
    seconds_per_sample: float | None = None  # of prediction
    trained: Any = None  # the model, once its training has begun: what Ctrl-C keeps

    @classmethod
    def of(cls, name: str, **settings: Any) -> Run:
        """The recipe of this name, with these settings and the defaults of the others. ValueError if there is none."""
        recipes = every()
        if name not in recipes:
            raise ValueError(f"there is no recipe {name!r}; there are {', '.join(recipes)}")
        recipe = recipes[name]
        defaults: dict[str, Any] = {key: getattr(recipe, key) for key in ("epochs", "batch_size", "lr")}
        flags = {dest(flag): keywords.get("default") for flag, keywords in recipe.options.items()}
        options = flags | settings.pop("options", {})
        return cls(name, recipe, **{**defaults, **settings}, options=options)

    # ---- for the recipe's functions
    def network(self) -> Any:
        """The recipe's model, untrained, on the device."""
        return self.recipe.network(self).to(self.device)

    def load(self) -> tuple[Any, Any]:
        """The recipe's training and test set. RuntimeError with what to do if they are missing."""
        with self.needs(self.recipe.source) if self.recipe.source else nullcontext():
            return self.recipe.data(self)

    @contextmanager
    def needs(self, name: str) -> Iterator[None]:
        """A block that loads the data set of this name; it is told from where, or what to do if that fails."""
        source = SOURCES.get(name)
        try:
            yield
        except RuntimeError as problem:
            if source is None:
                raise
            raise RuntimeError(
                f"{problem}\n{self.name} needs the data set {name} ({source.about}): `tinynet data fetch {name}` "
                f"downloads {source.size}; --data DIR names a folder that has it") from problem
        if not self.source:
            place = "part of tinynet" if source is None else str(source.places(self.data)[0].parent)
            self.source = f"{name}, {place}"

    @property
    def callbacks(self) -> list[tn.Callback]:
        """For fit(): one takes the time, one writes the table of the epochs."""
        table = [] if self.output is None else [tn.CSVLogger(self.file("csv", "epochs"))]
        return [_Stopwatch(self), *table]

    def predict(self, model: Any, data_set: Any) -> tuple[tn.Tensor, tn.Tensor]:
        """The model's outputs for all of a data set, in eval mode, and the targets; the time per sample is taken."""
        outputs: list[tn.Tensor] = []
        targets: list[tn.Tensor] = []
        seconds = 0.0
        with tn.no_grad():
            for *inputs, target in tn.data.DataLoader(data_set, self.batch_size):
                placed = [x.to(self.device) for x in inputs]
                if not outputs:
                    model.eval()(*placed)  # the first call compiles what it needs
                began = time.perf_counter()
                outputs.append(model(*placed).cpu())
                seconds += time.perf_counter() - began
                targets.append(target)
        if not outputs:
            raise ValueError(f"there is nothing to test with: {self.source or 'the test set'} is empty")
        self.seconds_per_sample = seconds / sum(map(len, outputs))
        return tn.cat(outputs), tn.cat(targets)

    def say(self, text: str) -> None:
        """Tell how far it is, on stderr."""
        print(text, file=sys.stderr, flush=True)

    def show(self, title: str, value: str | list[dict[str, Any]]) -> None:
        """Put a text, or a table as a list of rows, into the report."""
        self.shown[title] = value

    def figure(self, width: float, height: float) -> Any:
        """A new figure of matplotlib's, this size in inches: it needs no display."""
        return _figure(width, height)

    def picture(self, name: str, figure: Any) -> None:
        """Save a figure as NAME-name.png."""
        if self.output is not None:
            save_picture(figure, self.file("png", name))

    def file(self, suffix: str, name: str = "") -> Path:
        """A file to write to, which the report will list."""
        if self.output is None:
            raise ValueError("a run without output writes no files")
        path = self.output / (f"{self.name}-{name}.{suffix}" if name else f"{self.name}.{suffix}")
        if path not in self.files:
            self.files.append(path)
        return path

    # ---- what it leaves behind
    def save(self, model: Any, history: tn.History, figures: Mapping[str, float]) -> None:
        """Write the checkpoint and the curves."""
        self._write(model, figures)
        if history.epoch:
            self.picture("", curves(history.history))

    def keep(self) -> None:
        """After Ctrl-C: write what was trained so far beside the checkpoint of an earlier run, if there is something,
        and it is the recipe's network (halfway some are still another, as one that is pruned)."""
        model = self.trained
        if self.output is None or model is None or model.state_dict().keys() != self.network().state_dict().keys():
            return
        path = self._write(model, {}, "interrupted")
        self.say(f"what was trained so far is kept: `tinynet evaluate {path}` measures it")

    def _write(self, model: Any, figures: Mapping[str, float], name: str = "") -> Path:
        """Write the checkpoint that `tinynet evaluate` reads."""
        settings = {key: getattr(self, key) for key in ("epochs", "batch_size", "lr", "seed", "data", "options")}
        if self.data is not None:
            settings["data"] = whole_path(self.data)
        path = self.file("ckpt", name)
        tn.save({FORMAT: self.name, "tinynet": tn.__version__, "settings": settings, "metrics": dict(figures),
                 "model": model.state_dict()}, path)
        return path


class _Stopwatch(tn.Callback):
    """Adds up the time of the epochs, and notes the model."""

    def __init__(self, run: Run) -> None:
        self.run, self.began = run, 0.0

    def on_epoch_begin(self, epoch: int) -> None:
        """Start."""
        self.began, self.run.trained = time.perf_counter(), self.model

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float]) -> None:
        """Stop."""
        self.run.seconds += time.perf_counter() - self.began


def cook(run: Run) -> tuple[Any, tn.History, dict[str, Any]]:
    """Run a recipe: the trained model, its History, and the report. What there is to save is saved.

    >>> from tinynet.recipes import Run, cook
    >>> model, history, report = cook(Run.of("digits-cnn", epochs=1))  # doctest: +SKIP
    """
    from tinynet.recipes.report import report

    with nullcontext() if run.output is None else writable(run.output):
        tn.device(run.device)  # an error now, not after the data are read
        tn.manual_seed(run.seed)
        train_set, test_set = run.load()
        try:
            model, history = run.recipe.train(run, train_set, test_set)
            figures = run.recipe.measure(run, model, test_set)
        except KeyboardInterrupt:
            run.keep()
            raise
        if run.output is not None:
            run.save(model, history, figures)
    return model, history, report(run, model, figures, train_set, test_set)


def dest(flag: str) -> str:
    """The name of an option in run.options: --min-count is min_count."""
    return flag.lstrip("-").replace("-", "_")


def whole_path(path: str) -> str:
    """The path from the root on, which is the same wherever it is read again."""
    return str(Path(path).expanduser().absolute())


@contextmanager
def writable(folder: Path, flag: str = "--output") -> Iterator[None]:
    """A block that may write into the folder, which is made for it; if nothing is written, it is as if it never was.
    OSError if nothing can be written there: better said now than after the training."""
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file: choose another folder with {flag}")
    with folder_there(folder):
        if not os.access(folder, os.W_OK):
            raise PermissionError(f"cannot write into {folder}: choose another folder with {flag}")
        yield


def curves(history: Mapping[str, Sequence[float]]) -> Any:
    """A figure of what the epochs were like, a panel for each quantity but the step size."""
    names = [name for name in dict.fromkeys(key.removeprefix("val_") for key in history) if name != "lr"]
    figure = _figure(5 * len(names), 3.6)
    tn.viz.plot_history(history, names, ax=figure.subplots(1, len(names)))
    return figure


def _figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure  # not pyplot: no window

    return Figure(figsize=(width, height), layout="constrained")


def save_picture(figure: Any, path: Path) -> Path:
    """The figure as a PNG, which appears under its name only when it is whole."""
    with whole_file(path) as file:
        figure.savefig(file, format="png", dpi=150)
    return path
