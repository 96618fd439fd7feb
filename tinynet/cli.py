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
    >>> main(["data", "verify", "--data", "/nowhere"])  # doctest: +ELLIPSIS
    ok       ...digits.npz
    missing  ...
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

    actions = _group(commands, "data", "ACTION", "list, check and download data sets")
    listing = _command(actions, "list", _data_list, "say which data sets there are, and where",
                       "tinynet data list")
    verify = _command(actions, "verify", _data_verify, "compare the checksums of the files that are there",
                      "tinynet data verify", "tinynet data verify --data ~/mnist")
    fetch = _command(actions, "fetch", _data_fetch, "download a data set; what is there is only checked",
                     "tinynet data fetch mnist", "tinynet data fetch mnist --data ~/mnist")
    fetch.add_argument("name", choices=["mnist"], metavar="NAME", help="mnist (11 MB)")
    for action in (listing, verify, fetch):
        action.add_argument("--data", metavar="DIR", help=MNIST_FOLDER)
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


def _data_list(args: argparse.Namespace) -> int:
    from tinynet.data.datasets import DIGITS, mnist_files

    files = mnist_files(args.data)
    there = [path for path in files if path.exists()]
    folders = " and ".join(sorted({str(path.parent) for path in there or files}))
    found = f"{len(there)} of 4 files in" if there else "not here; `tinynet data fetch mnist` puts 11 MB into"
    print(f"digits   1,797 images,   8 x 8  {DIGITS}")
    print(f"mnist   70,000 images, 28 x 28  {found} {folders}")
    return 0


def _data_verify(args: argparse.Namespace) -> int:
    from tinynet.data.datasets import DIGITS, DIGITS_MD5, mnist_files
    from tinynet.data.download import md5_of

    corrupt = 0
    for path, md5 in {DIGITS: DIGITS_MD5, **mnist_files(args.data)}.items():
        state = "missing" if not path.exists() else "ok" if md5_of(path) == md5 else "CORRUPT"
        corrupt += state == "CORRUPT"
        print(f"{state:8} {path}")
    if corrupt:
        print("tinynet: error: delete what is corrupt and fetch it again", file=sys.stderr)
    return int(corrupt > 0)


def _data_fetch(args: argparse.Namespace) -> int:
    from tinynet.data.datasets import fetch_mnist

    for path in fetch_mnist(args.data):
        print(path)
    return 0
