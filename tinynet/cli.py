"""The command `tinynet`. Results go to stdout, progress and errors to stderr; imports wait until needed."""
from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

EXAMPLES = """\
examples:
  tinynet demo                          train on real digits, check gradients
  tinynet gradcheck                     prove every gradient of the library
  tinynet gradcheck conv2d logsumexp    ... of these two
  tinynet train mnist-cnn --epochs 2    train on MNIST (downloads 11 MB once)
  tinynet data list                     which data sets there are, and where
  tinynet doctor                        what tinynet runs on, and what to fix
"""
EXIT_STATUS = """\
exit status:
  0  done        1  failed, or a check found something wrong
  2  usage     130  interrupted (Ctrl-C)
"""
MNIST_FOLDER = "folder of MNIST's four .gz files (default: $TINYNET_DATA/mnist, then the cache)"


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
        return 1


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

    recipes = _group(commands, "train", "RECIPE", "train a network and print its test accuracy")
    digits = _command(recipes, "digits-cnn", _train, "a small network on the digits that come with tinynet",
                      "tinynet train digits-cnn", "tinynet train digits-cnn --epochs 30 --seed 1")
    _training_options(digits, "digits_cnn", epochs=15, batch_size=16, lr=5e-3)
    mnist = _command(recipes, "mnist-cnn", _train, "two convolutions and two linear layers on MNIST",
                     "tinynet train mnist-cnn", "tinynet train mnist-cnn --epochs 2 --batch-size 64 --seed 0")
    _training_options(mnist, "mnist_cnn", epochs=2, batch_size=64, lr=1e-3)
    mnist.add_argument("--data", metavar="DIR", help=MNIST_FOLDER)

    gradcheck = _command(commands, "gradcheck", _gradcheck, "check the gradients of every primitive",
                         "tinynet gradcheck", "tinynet gradcheck conv2d logsumexp",
                         "tinynet gradcheck --json > table.json")
    gradcheck.add_argument("ops", nargs="*", metavar="OP", help="the primitives to check (default: all)")
    gradcheck.add_argument("--json", action="store_true", help="print the table as JSON")

    bench = _command(commands, "bench", _bench, "time training steps beside PyTorch's, alternating",
                     "tinynet bench", "tinynet bench mnist2 cifar --threads 1", "tinynet bench all --out results")
    bench.add_argument("cases", nargs="*", metavar="CASE",
                       help="cases, or groups of them: networks (default), overhead, untuned, kernels, all")
    bench.add_argument("--sides", default="tinynet,torch,torch-channels-last", metavar="A,B",
                       help="who is timed (default: %(default)s; there is also tinynet-reference)")
    bench.add_argument("--threads", type=_positive(int), default=os.cpu_count(), metavar="N",
                       help="threads of each side (default: %(default)s)")
    bench.add_argument("--rounds", type=_positive(int), default=7, metavar="N",
                       help="turns of each side (default: %(default)s)")
    bench.add_argument("--json", action="store_true", help="print the report as JSON")
    bench.add_argument("--out", type=Path, metavar="FILE", help="also write FILE.md and FILE.json")

    doctor = _command(commands, "doctor", _doctor, "say what tinynet runs on, how fast, and what to fix",
                      "tinynet doctor", "tinynet doctor --json")
    doctor.add_argument("--json", action="store_true", help="print it as JSON")

    actions = _group(commands, "data", "ACTION", "list, check and download data sets")
    listing = _command(actions, "list", _data_list, "say which data sets there are, and where",
                       "tinynet data list", "tinynet data list mnist")
    verify = _command(actions, "verify", _data_verify, "check the files that are there",
                      "tinynet data verify", "tinynet data verify mnist --data ~/mnist")
    fetch = _command(actions, "fetch", _data_fetch, "download a data set; what is there is only checked",
                     "tinynet data fetch mnist", "tinynet data fetch cifar10 --data ~/cifar")
    shipped, sources = ("digits", "housing", "sonnets"), (
        "mnist", "fashion_mnist", "cifar10", "california_housing", "tiny_shakespeare", "names")
    fetch.add_argument("name", choices=sources, metavar="NAME", help=f"one of {', '.join(sources)}")
    for action in (listing, verify):
        action.add_argument("name", nargs="?", choices=shipped + sources, metavar="NAME",
                            help="one data set (default: all)")
    for action in (listing, verify, fetch):
        action.add_argument("--data", metavar="DIR", help="folder of this data set's files (default: the set's own in "
                            "$TINYNET_DATA, then in the cache)")
    return parser


def _command(commands: Any, name: str, run: Any, text: str, *examples: str) -> argparse.ArgumentParser:
    lines = "\n".join(f"  {example}" for example in examples)
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=text, description=text[0].upper() + text[1:] + ".",
        epilog=f"examples:\n{lines}\n\n{EXIT_STATUS}", formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.set_defaults(run=run)
    return parser


def _group(commands: Any, name: str, metavar: str, text: str) -> Any:
    parser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    return parser.add_subparsers(title=f"{metavar} is one of", metavar=metavar, required=True)


def _training_options(parser: argparse.ArgumentParser, recipe: str, epochs: int, batch_size: int,
                      lr: float) -> None:
    parser.set_defaults(recipe=recipe)
    for option, kind, default, metavar, text in (
            ("--epochs", _positive(int), epochs, "N", "passes over the training data"),
            ("--batch-size", _positive(int), batch_size, "N", "images a step"),
            ("--seed", int, 0, "N", "where the random numbers start"),
            ("--lr", _positive(float), lr, "RATE", "Adam's step size")):
        parser.add_argument(option, type=kind, default=default, metavar=metavar,
                            help=f"{text} (default: {default})")


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
    args.out.mkdir(parents=True, exist_ok=True)
    if not os.access(args.out, os.W_OK):  # better said now than after the training
        raise PermissionError(f"cannot write into {args.out}: choose another folder with --out")
    from tinynet.recipes.demo import demo

    demo(args.out)
    return 0


def _train(args: argparse.Namespace) -> int:
    recipe = import_module(f"tinynet.recipes.{args.recipe}")
    folder = {"data": args.data} if "data" in args else {}
    _, history = recipe.train(args.epochs, args.batch_size, args.seed, args.lr, **folder)
    print(f"test accuracy {history['val_accuracy'][-1]:.2%}")
    return 0


def _gradcheck(args: argparse.Namespace) -> int:
    from tinynet import proofs

    return proofs.main(args.ops, args.json)


def _doctor(args: argparse.Namespace) -> int:
    from tinynet.doctor import main

    return main(args.json)


def _bench(args: argparse.Namespace) -> int:
    from tinynet import bench

    return bench.run(args.cases, args.sides.split(","), args.threads, args.rounds, args.json, args.out)


def _chosen(args: argparse.Namespace) -> list[tuple[str, Any]]:
    """The data sets, or those of the name that was given; one may be shipped in short, and be downloaded in full."""
    from tinynet.data.datasets import SHIPPED, SOURCES

    if args.data and not args.name:
        raise ValueError("--data is the folder of one data set: say of which, as in `tinynet data list mnist --data .`")
    return [item for item in (*SHIPPED.items(), *SOURCES.items()) if args.name in (None, item[0])]


def _data_list(args: argparse.Namespace) -> int:
    for name, data in _chosen(args):
        files = data.places(args.data)
        there = [path for path in files if path.exists()]
        folders = " and ".join(sorted({str(path.parent) for path in there or files}))
        state = f"{len(there)} of {len(files)} file{'s' * (len(files) > 1)} in"
        if not there:
            state = f"not here; `tinynet data fetch {name}` puts {data.size} into"
        print(f"{name:18} {data.about:23} {state} {folders}")
    return 0


def _data_verify(args: argparse.Namespace) -> int:
    corrupt = 0
    files = [(data, path) for _, data in _chosen(args) for path in data.places(args.data)]
    for source, path in files:
        state = "ok" if path.exists() else "missing"
        try:
            if path.exists():
                source.check(path)
        except RuntimeError:
            state = "CORRUPT"
            corrupt += 1
        print(f"{state:8} {path}")
    if corrupt:
        print("tinynet: error: delete what is corrupt and fetch it again", file=sys.stderr)
    return int(corrupt > 0)


def _data_fetch(args: argparse.Namespace) -> int:
    from tinynet.data.datasets import SOURCES

    for path in SOURCES[args.name].fetch(args.data):
        print(path)
    return 0
