"""What models of text share: letters as numbers, pieces of a text, and the loss of a prediction of what comes next."""
from __future__ import annotations

import reprlib
from collections.abc import Sequence
from typing import Any

import tinynet as tn
from tinynet.nn import functional as F

NOTHING = -100  # as a target: nothing is to be predicted here
TEMPERATURE = {"type": float, "default": 0.8, "metavar": "T",
               "help": "how freely it writes: near 0 the likeliest letters, 1 as learned (default: %(default)s)"}


def encode(text: str, letters: str) -> list[int]:
    """The number of each letter. ValueError names one that is not among those that the model knows.

    >>> from tinynet.recipes.letters import encode
    >>> encode("cab", "abc")
    [2, 0, 1]
    """
    number = {letter: k for k, letter in enumerate(letters)}
    unknown = next((letter for letter in text if letter not in number), None)
    if unknown is not None:
        raise ValueError(f"the model does not know the letter {unknown!r} in {reprlib.repr(text)}; it has learned "
                         f"{letters!r}")
    return [number[letter] for letter in text]


class Pieces(tn.data.Dataset):
    """All pieces of a text, each with the same piece one letter on: what is to be predicted.

    >>> from tinynet.recipes.letters import Pieces
    >>> Pieces(tn.arange(10), 3)[4]
    (tensor([4, 5, 6]), tensor([5, 6, 7]))
    """

    def __init__(self, numbers: tn.Tensor, length: int) -> None:
        if len(numbers) <= length:
            raise ValueError(f"a text of {len(numbers)} letters has no piece of {length} and the letter after it")
        self.numbers, self.length = numbers, length

    def __len__(self) -> int:
        return len(self.numbers) - self.length

    def __getitem__(self, index: int) -> tuple[tn.Tensor, tn.Tensor]:
        if not 0 <= index < len(self):
            raise IndexError(f"there are {len(self)} pieces, there is no number {index}")
        piece = self.numbers[index:index + self.length + 1]
        return piece[:-1], piece[1:]

    def whole(self) -> tn.data.TensorDataset:
        """The text once, cut into pieces: what is left over at its end goes."""
        n = len(self) // self.length * self.length or self.length
        return tn.data.TensorDataset(*(self.numbers[k:n + k].view(-1, self.length) for k in (0, 1)))


def prediction(scores: tn.Tensor, target: tn.Tensor) -> tn.Tensor:
    """The mean of -log p(the letter that does come next), in nats; scores: N x T x letters, target: N x T."""
    return F.cross_entropy(scores.flatten(0, 1), target.flatten(), ignore_index=NOTHING)


def draw(scores: Any, temperature: float) -> tn.Tensor:
    """A letter for each row of scores (N x letters -> N x 1), drawn with the probability that the model gives it; a
    temperature below 1 prefers the likely ones."""
    return tn.multinomial(F.softmax(scores / temperature, 1), 1)


def temperature(run: Any) -> float:
    """The one of the command line. ValueError if it is not above 0."""
    given: float = run.options["temperature"]
    if not 0 < given < float("inf"):
        raise ValueError(f"--temperature must be above 0, got {given}")
    return given


def spelled(numbers: Sequence[int], letters: str) -> str:
    """The letters of these numbers."""
    return "".join(letters[k] for k in numbers)
