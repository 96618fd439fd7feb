"""New first names, letter by letter, by an LSTM: `tinynet train names-lstm`.

It learns 9,000 names that children were given, and writes such as nobody has; every tenth name tests. Hochreiter and
Schmidhuber 1997; the task is that of A. Karpathy's makemore.
"""
from __future__ import annotations

import math
from typing import Any

import tinynet as tn
from tinynet import nn
from tinynet.recipes import Recipe, Run
from tinynet.recipes.letters import NOTHING, TEMPERATURE, draw, encode, prediction, spelled, temperature

END = "."  # before a name, and behind it
LETTERS = END + "abcdefghijklmnopqrstuvwxyz"
LONGEST = 20


def data(run: Run) -> tuple[Any, Any]:
    """.emma -> emma., as numbers: each name as long as the longest, and nothing to be predicted after its end."""
    temperature(run), encode(run.options["start"].lower(), LETTERS)  # an error now, not after the training
    names = tn.data.datasets.names()
    run.source = "names, part of tinynet"
    width = 1 + max(map(len, names))
    x = tn.tensor([encode((END + name).ljust(width, END), LETTERS) for name in names])
    y = tn.tensor([encode(name + END, LETTERS) + [NOTHING] * (width - len(name) - 1) for name in names])
    order = tn.randperm(len(names), generator=tn.Generator().manual_seed(run.seed))
    tested, trained = order[:len(names) // 10], order[len(names) // 10:]
    return tn.data.TensorDataset(x[trained], y[trained]), tn.data.TensorDataset(x[tested], y[tested])


class Writer(nn.Module):
    """Letters -> scores of the letter that comes next; what was read so far is in the LSTM's state."""

    def __init__(self) -> None:
        super().__init__()
        self.letter = nn.Embedding(len(LETTERS), 32)
        self.lstm = nn.LSTM(32, 128, batch_first=True)
        self.head = nn.Linear(128, len(LETTERS))

    def forward(self, letters: tn.Tensor) -> tn.Tensor:
        """N x T numbers of letters -> N x T x letters scores."""
        return self.head(self.lstm(self.letter(letters))[0])

    def write(self, start: str, count: int, heat: float) -> list[str]:
        """So many names that begin with `start`, letter by letter: each goes on from the state after the last."""
        device = self.head.weight.device
        written = tn.tensor([encode(END + start, LETTERS)] * count, device=device)
        with tn.no_grad():
            out, state = self.lstm(self.letter(written))
            for _ in range(LONGEST - len(start)):
                last = draw(self.head(out[:, -1]), heat)
                written = tn.cat([written, last], 1)
                out, state = self.lstm(self.letter(last), state)
        return [spelled(name[1:], LETTERS).partition(END)[0] for name in written.tolist()]


def network(run: Run) -> Any:
    """27 letters -> 32 numbers each -> 128 cells of memory -> 27 scores."""
    return Writer()


def train(run: Run, train_set: Any, test_set: Any) -> tuple[Any, tn.History]:
    """Adam, with a step size that falls along a cosine; the gradient's norm is clipped at 1."""
    model = run.network()
    optimizer = tn.optim.Adam(model.parameters(), lr=run.lr)
    cosine = tn.optim.lr_scheduler.CosineAnnealingLR(optimizer, run.epochs, run.lr / 50)
    trainer = tn.Trainer(model, prediction, optimizer, scheduler=cosine, clip_norm=1.0, device=run.device)
    history = trainer.fit(train_set, epochs=run.epochs, batch_size=run.batch_size, validation_data=test_set,
                          callbacks=run.callbacks)
    return model, history


def measure(run: Run, model: Any, test_set: Any) -> dict[str, float]:
    """How surprising the next letter of a name is (its -log probability, on average), and names that it has written;
    the share of them that nobody has."""
    scores, target = run.predict(model, test_set)
    counted = target.flatten() != NOTHING
    scores, target = scores.flatten(0, 1)[counted], target.flatten()[counted]
    nats = nn.functional.cross_entropy(scores, target).item()
    heat, known = temperature(run), set(tn.data.datasets.names())
    names = model.write(run.options["start"].lower(), run.options["count"], heat)
    run.show(f"written at temperature {heat:g}; * nobody has it",
             "\n".join(name + " *" * (name not in known) for name in names))
    return {"nats_per_letter": nats, "perplexity": math.exp(nats),
            "accuracy": tn.metrics.accuracy(target, scores.argmax(1)),
            "new_names": sum(name not in known for name in names) / max(len(names), 1)}


OPTIONS: dict[str, dict[str, Any]] = {
    "--start": {"default": "", "metavar": "LETTERS", "help": "what its names begin with"},
    "--count": {"type": int, "default": 20, "metavar": "N", "help": "names to write (default: %(default)s)"},
    "--temperature": TEMPERATURE,
}
RECIPE = Recipe(data=data, network=network, train=train, measure=measure, options=OPTIONS,
                epochs=12, batch_size=32, lr=5e-3, examples=["names-lstm --start mar --temperature 0.5"])
