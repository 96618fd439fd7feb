"""The command `tinynet`. Results go to stdout, progress and errors to stderr; imports wait until needed."""
from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tinynet import recipes
from tinynet.data.datasets import SHIPPED, SOURCES
from tinynet.errors import UnknownName
from tinynet.recipes.frame import about, dest, writable
from tinynet.recipes.report import as_json, as_text

EXAMPLES = """\
examples:
  tinynet demo                          train on real digits, check gradients
  tinynet gradcheck                     prove every gradient of the library
  tinynet gradcheck conv2d logsumexp    ... of these two
  tinynet train mnist-cnn --epochs 2    train on MNIST (downloads 11 MB once)
  tinynet evaluate mnist-cnn.ckpt       measure what it has saved
  tinynet data list                     which data sets there are, and where
  tinynet lessons open 1                learn it all: a notebook to work in
  tinynet doctor                        what tinynet runs on, and what to fix
"""
EXIT_STATUS = """\
exit status:
  0  done        1  failed, or a check found something wrong
  2  usage     130  interrupted (Ctrl-C)
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line (default: this process's); returns its exit status.

    >>> from tinynet.cli import main
    >>> main(["data", "verify", "digits"])  # doctest: +ELLIPSIS
    ok       ...digits.npz
    0
    """
    args = _parser().parse_args(argv)
    try:
        status: int = args.run(args)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        print("tinynet: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever reads our output has seen enough, as in `tinynet data list | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (RuntimeError, OSError, ValueError, ImportError, MemoryError) as e:
        print(f"tinynet: error: {e or type(e).__name__}", file=sys.stderr)
        return 2 if isinstance(e, UnknownName) else 1


def _parser() -> argparse.ArgumentParser:
    from tinynet import __version__

    parser = argparse.ArgumentParser(
        prog="tinynet", description="Deep learning in code short enough to read, with every gradient proved.",
        epilog=f"{EXAMPLES}\n{EXIT_STATUS}", formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", action="version", version=f"tinynet {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    demo = _command(commands, "demo", _demo, "train on handwritten digits, show mistakes, check gradients",
                    "tinynet demo", "tinynet demo --out results")
    demo.add_argument("--out", type=Path, default=Path(), metavar="DIR",
                      help="folder for training.png (default: this one)")

    training = _group(commands, "train", "RECIPE", "train a network; print how good, how large and how fast it is",
                      "tinynet train digits-cnn", "tinynet train mnist-cnn --epochs 10 --output results",
                      "tinynet train housing --json > housing.json")
    for name, recipe in recipes.every().items():
        examples = [f"tinynet train {line}" for line in (name, *recipe.examples)]
        _training_options(_command(training, name, _train, about(name), *examples), name, recipe)
    evaluation = _command(commands, "evaluate", _evaluate, "measure a model that `tinynet train` has saved",
                          "tinynet evaluate mnist-cnn.ckpt", "tinynet evaluate mnist-cnn.ckpt --json")
    evaluation.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="the file NAME.ckpt of a recipe")
    evaluation.add_argument("--data", metavar="PATH", help="where its data are now (default: as in the training)")
    evaluation.add_argument("--batch-size", type=_positive(int), metavar="N", help="samples at a time")
    evaluation.add_argument("--device", default="cpu", help="cpu or cuda (default: %(default)s)")
    evaluation.add_argument("--json", action="store_true", help="print the report as JSON")

    gradcheck = _command(commands, "gradcheck", _gradcheck, "check the gradients of every primitive",
                         "tinynet gradcheck", "tinynet gradcheck conv2d logsumexp",
                         "tinynet gradcheck --json > table.json")
    gradcheck.add_argument("ops", nargs="*", metavar="OP", help="the primitives to check (default: all)")
    gradcheck.add_argument("--json", action="store_true", help="print the table as JSON")

    bench = _command(commands, "bench", _bench, "time training steps beside PyTorch's, alternating",
                     "tinynet bench", "tinynet bench mnist2 cifar --threads 1", "tinynet bench all --out results")
    bench.add_argument("cases", nargs="*", metavar="CASE",
                       help="cases, or groups of them: networks (default), overhead, untuned, kernels, growth, all")
    bench.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="(default: %(default)s)")
    bench.add_argument("--sides", type=lambda text: text.split(","), metavar="A,B",
                       help="who is timed (default: tinynet,torch,torch-channels-last, on a GPU also -graph, -tf32 and "
                            "-compile; there are also tinynet-reference, autograd and "
                            "tinygrad)")
    bench.add_argument("--threads", type=_positive(int), default=os.cpu_count(), metavar="N",
                       help="threads of each side (default: %(default)s)")
    bench.add_argument("--rounds", type=_positive(int), default=7, metavar="N",
                       help="turns of each side (default: %(default)s)")
    bench.add_argument("--json", action="store_true", help="print the report as JSON")
    bench.add_argument("--out", type=Path, metavar="FILE", help="also write FILE.md and FILE.json")

    doctor = _command(commands, "doctor", _doctor, "say what tinynet runs on, how fast, and what to fix",
                      "tinynet doctor", "tinynet doctor --json")
    doctor.add_argument("--json", action="store_true", help="print it as JSON")

    actions = _group(commands, "data", "ACTION", "list, check and download data sets, and pack your own",
                     "tinynet data list", "tinynet data fetch mnist")
    listing = _command(actions, "list", _data_list, "say which data sets there are, and where",
                       "tinynet data list", "tinynet data list mnist", "tinynet data list --json")
    verify = _command(actions, "verify", _data_verify, "check the files that are there",
                      "tinynet data verify", "tinynet data verify mnist --data ~/mnist",
                      "tinynet data verify photos.npz")
    fetch = _command(actions, "fetch", _data_fetch, "download a data set; what is there is only checked",
                     "tinynet data fetch mnist", "tinynet data fetch cifar10 --data ~/cifar")
    notebooks = _group(commands, "lessons", "ACTION", "list the lessons, open one, begin one anew",
                       "tinynet lessons list", "tinynet lessons open 1")
    contents = _command(notebooks, "list", _lessons, "say which lessons there are",
                        "tinynet lessons list", "tinynet lessons list --json")
    contents.add_argument("--json", action="store_true", help="print it as JSON")
    work = _command(notebooks, "open", _lessons, "copy a lesson into this folder and open it; yours is kept",
                    "tinynet lessons open 1")
    work.add_argument("--force", action="store_true", help="begin anew; the one that is here is kept as .bak")
    work.add_argument("--no-browser", action="store_true", help="start JupyterLab, but no browser")
    again = _command(notebooks, "reset", _lessons, "bring a lesson back as it was; yours is kept as .bak",
                     "tinynet lessons reset 1")
    for action in (work, again):
        action.add_argument("number", type=_positive(int), metavar="N", help="number of the lesson")
    grading = _command(commands, "grade", _grade, "hold handed-in notebooks to the properties of their exercises",
                       "tinynet grade lesson.ipynb", "tinynet grade submissions --seed 7 --csv > grades.csv")
    grading.add_argument("notebooks", nargs="+", type=Path, metavar="NOTEBOOK", help="notebooks, or folders of them")
    grading.add_argument("--seed", type=int, default=1, metavar="N",
                         help="where the random inputs start (default: %(default)s)")
    grading.add_argument("--limit", type=_positive(float), default=60.0, metavar="SECONDS",
                         help="time for each notebook (default: %(default)g)")
    forms = grading.add_mutually_exclusive_group()
    for form in ("csv", "json"):
        forms.add_argument(f"--{form}", action="store_const", const=form, dest="form", default="table",
                           help=f"print {form.upper()} instead of a table")

    names = [*dict.fromkeys((*SHIPPED, *SOURCES))]
    fetch.add_argument("name", choices=names, metavar="NAME", help=f"one of {', '.join(names)}")
    listing.add_argument("name", nargs="?", choices=names, metavar="NAME", help="one data set (default: all)")
    verify.add_argument("name", nargs="?", metavar="NAME", help="one data set (default: all), or a file of `pack`")
    for action in (listing, verify, fetch):
        action.add_argument("--data", metavar="DIR", help="folder of this data set's files (default: the set's own in "
                            "$TINYNET_DATA, then in the cache)")
    _packing_options(_command(
        actions, "pack", _data_pack, "make one compressed file of your data, for tn.data.unpack",
        "tinynet data pack photos --size 64x48", "tinynet data pack flats.csv --target rent --missing drop"))
    for action in actions.choices.values():
        action.add_argument("--json", action="store_true", help="print it as JSON")
    return parser


def _packing_options(packing: argparse.ArgumentParser) -> None:
    packing.add_argument("source", type=Path, metavar="SOURCE",
                         help="a folder with a folder of images for each class, or a CSV file")
    packing.add_argument("--out", type=Path, metavar="FILE", help="file to write (default: the source's name, .npz)")
    packing.add_argument("--size", type=_size, metavar="HxW", help="what to scale images to, as 64x48 or 64")
    packing.add_argument("--grey", action="store_true", help="images of one channel instead of three")
    packing.add_argument("--target", metavar="COLUMN", help="of a table: the column to predict")
    packing.add_argument("--features", type=lambda text: text.split(","), metavar="A,B",
                         help="the columns to predict it from (default: all others); words become 0s and 1s")
    packing.add_argument("--missing", choices=("error", "drop", "nan"), default="error",
                         help="what to do about empty cells (default: %(default)s)")
    packing.add_argument("--delimiter", type=lambda text: text.replace(r"\t", "\t"), default=",", metavar="SIGN",
                         help=r"what separates cells, \t for tabs (default: %(default)s)")
    packing.add_argument("--encoding", default="utf-8", help="how letters are written (default: %(default)s)")


def _size(text: str) -> tuple[int, int]:
    sides = [int(side) if side.isdecimal() else 0 for side in text.split("x")]
    if len(sides) > 2 or 0 in sides:
        raise argparse.ArgumentTypeError(f"{text} is no size: write HEIGHTxWIDTH, or one number for both")
    return sides[0], sides[-1]


def _command(commands: Any, name: str, run: Any, text: str, *examples: str) -> argparse.ArgumentParser:
    lines = "\n".join(f"  {example}" for example in examples)
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=text, description=text[0].upper() + text[1:] + ".",
        epilog=f"examples:\n{lines}\n\n{EXIT_STATUS}", formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.set_defaults(run=run)
    return parser


def _group(commands: Any, name: str, metavar: str, text: str, *examples: str) -> Any:
    parser = _command(commands, name, None, text, *examples)
    return parser.add_subparsers(title=f"{metavar} is one of", metavar=metavar, required=True)


def _training_options(parser: argparse.ArgumentParser, name: str, recipe: recipes.Recipe) -> None:
    parser.set_defaults(recipe=name)
    for option, kind, default, metavar, text in (
            ("--epochs", _positive(int), recipe.epochs, "N", "passes over the training data"),
            ("--batch-size", _positive(int), recipe.batch_size, "N", "samples a step"),
            ("--lr", _positive(float), recipe.lr, "RATE", "the optimizer's step size"),
            ("--seed", int, 0, "N", "where the random numbers start"),
            ("--device", str, "cpu", "DEVICE", "where to train: cpu or cuda"),
            ("--output", Path, Path(), "DIR", "folder for the model and its curves")):
        shown = "this one" if default == Path() else default
        parser.add_argument(option, type=kind, default=default, metavar=metavar, help=f"{text} (default: {shown})")
    if recipe.source in SOURCES:
        parser.add_argument("--data", metavar="DIR", help=f"folder with the files of {recipe.source} (default: its own "
                            "in $TINYNET_DATA, then in the cache)")
    for flag, keywords in recipe.options.items():
        parser.add_argument(flag, **keywords)
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def _positive(kind: Any) -> Any:
    def number(text: str) -> Any:
        value = kind(text)
        if not 0 < value < float("inf"):
            raise argparse.ArgumentTypeError(f"{text} is not a positive number")
        return value
    number.__name__ = kind.__name__  # argparse says "invalid int value" with it
    return number


# --- the commands -------------------------------------------------------------------------------------------
def _demo(args: argparse.Namespace) -> int:
    from tinynet.recipes.demo import demo

    with writable(args.out, "--out"):
        demo(args.out)
    return 0


def _train(args: argparse.Namespace) -> int:
    given = vars(args)
    settings = {key: given[key] for key in ("epochs", "batch_size", "lr", "seed", "device", "output")}
    options = {dest(flag): given[dest(flag)] for flag in recipes.every()[args.recipe].options}
    run = recipes.Run.of(args.recipe, **settings, data=given.get("data"), options=options)
    *_, found = recipes.cook(run)
    print(as_json(found) if args.json else as_text(found))
    return 0


def _evaluate(args: argparse.Namespace) -> int:
    from tinynet.recipes.evaluate import evaluate

    found = evaluate(args.checkpoint, args.data, args.batch_size, args.device)
    print(as_json(found) if args.json else as_text(found, confusion=True))
    return 0


def _gradcheck(args: argparse.Namespace) -> int:
    from tinynet import proofs

    return proofs.main(args.ops, args.json)


def _doctor(args: argparse.Namespace) -> int:
    from tinynet.doctor import main

    return main(args.json)


def _bench(args: argparse.Namespace) -> int:
    from tinynet import bench

    return bench.run(args.cases, args.sides, args.threads, args.rounds, args.json, args.out, args.device)


def _lessons(args: argparse.Namespace) -> int:
    from tinynet.learn import shelf

    if "number" not in args:
        return shelf.show(args.json)
    return shelf.open_(args.number, args.force, not args.no_browser) if "force" in args else shelf.reset(args.number)


def _grade(args: argparse.Namespace) -> int:
    from tinynet.learn import grade

    return grade.main(args.notebooks, args.seed, args.limit, args.form)


def _data_list(args: argparse.Namespace) -> int:
    from tinynet.data import shelf

    return shelf.show(args.name, args.data, args.json)


def _data_verify(args: argparse.Namespace) -> int:
    from tinynet.data import shelf

    return shelf.verify(args.name, args.data, args.json)


def _data_fetch(args: argparse.Namespace) -> int:
    from tinynet.data import shelf

    return shelf.fetch(args.name, args.data, args.json)


def _data_pack(args: argparse.Namespace) -> int:
    from tinynet.data import shelf

    table = {name: getattr(args, name) for name in ("target", "features", "missing", "delimiter", "encoding")}
    return shelf.pack_up(args.source, args.out, args.size, args.grey, table, args.json)
