"""A small GPT that writes plays, letter by letter: `tinynet train char-gpt`.

It learns to predict the next letter in a million letters of Shakespeare's; where these are not to be had, in his
sonnets, which are part of tinynet. The first nine tenths train, the rest tests. After Radford et al. 2018 and
A. Karpathy's nanoGPT.
"""
from __future__ import annotations

import math
from typing import Any

import tinynet as tn
from tinynet import nn
from tinynet.nn import functional as F
from tinynet.recipes import Recipe, Run
from tinynet.recipes.letters import TEMPERATURE, Pieces, draw, encode, prediction, spelled, temperature

CONTEXT, WIDTH, HEADS, LAYERS = 64, 128, 4, 4


def data(run: Run) -> tuple[Any, Any]:
    """Pieces of 64 letters, each with the same piece one letter on."""
    try:
        text = tn.data.datasets.tiny_shakespeare(run.data)
    except RuntimeError as problem:
        if run.data is not None:
            raise
        run.say(f"tiny_shakespeare is not to be had, so the sonnets are learned: {str(problem).splitlines()[0]}")
        text, run.source = tn.data.datasets.sonnets(), "sonnets, part of tinynet"
    run.options["letters"] = letters = "".join(sorted(set(text)))
    if not encode(run.options["prompt"], letters) or not temperature(run):  # an error now, not after the training
        raise ValueError("--prompt must have a letter that the writing begins with")
    numbers = tn.tensor(encode(text, letters))
    first = len(numbers) * 9 // 10
    return Pieces(numbers[:first], CONTEXT), Pieces(numbers[first:], CONTEXT).whole()


class Attention(nn.Module):
    """Each letter looks at those before it, in several ways at once."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH, bias=False), nn.Linear(WIDTH, WIDTH, bias=False)

    def forward(self, x: tn.Tensor) -> tn.Tensor:
        """softmax(q kᵀ / √d, over what came before) v, for each head."""
        n, length, _ = x.shape
        q, k, v = self.qkv(x).view(n, length, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4).unbind()
        seen = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(seen.transpose(1, 2).reshape(n, length, WIDTH))


class Block(nn.Module):
    """Attention, then a network for each letter; both are added to what came in."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.attention, self.norm2 = nn.LayerNorm(WIDTH), Attention(), nn.LayerNorm(WIDTH)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH))

    def forward(self, x: tn.Tensor) -> tn.Tensor:
        """x + attention(norm(x)), and that + mlp(norm(that))."""
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class GPT(nn.Module):
    """Letters -> scores of the letter that comes next, at each place."""

    def __init__(self, letters: int) -> None:
        super().__init__()
        self.letter, self.place = nn.Embedding(letters, WIDTH), nn.Embedding(CONTEXT, WIDTH)
        self.blocks = nn.Sequential(*(Block() for _ in range(LAYERS)))
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, letters, bias=False)
        for name, p in self.named_parameters():
            if p.ndim == 2:  # what is added to the sum, 2 in each block, starts so small that the sum stays as it is
                added = name.endswith(("out.weight", "mlp.2.weight"))
                nn.init.normal_(p, std=0.02 / math.sqrt(2 * LAYERS) if added else 0.02)

    def forward(self, letters: tn.Tensor) -> tn.Tensor:
        """N x T numbers of letters -> N x T x letters scores."""
        x = self.letter(letters) + self.place(tn.arange(letters.shape[1], device=letters.device))
        return self.head(self.norm(self.blocks(x)))


def network(run: Run) -> Any:
    """4 blocks of attention with 4 heads, 128 wide, that see 64 letters."""
    return GPT(len(run.options["letters"]))


def train(run: Run, train_set: Any, test_set: Any) -> tuple[Any, tn.History]:
    """AdamW on random pieces. The step size rises, then falls along a cosine; the gradient's norm is clipped at 1; only
    matrices decay."""
    model = run.network()
    parameters = list(model.parameters())
    optimizer = tn.optim.AdamW([{"params": [p for p in parameters if p.ndim == 2], "weight_decay": 0.1},
                                {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0}],
                               lr=run.lr, betas=(0.9, 0.99))
    each = run.options["steps"]
    total, rise = run.epochs * each, min(100, run.epochs * each // 10 + 1)
    S = tn.optim.lr_scheduler
    cosine = S.SequentialLR(optimizer, [S.LinearLR(optimizer, 0.01, total_iters=rise),
                                        S.CosineAnnealingLR(optimizer, max(1, total - rise), run.lr / 10)], [rise])
    order = tn.data.RandomSampler(train_set, replacement=True, num_samples=each * run.batch_size)
    trainer = tn.Trainer(model, prediction, optimizer, scheduler=cosine, scheduler_each="batch", clip_norm=1.0,
                         device=run.device)
    history = trainer.fit(tn.data.DataLoader(train_set, run.batch_size, sampler=order), epochs=run.epochs,
                          validation_data=tn.data.DataLoader(test_set, 64), callbacks=run.callbacks)
    return model, history


def measure(run: Run, model: Any, test_set: Any) -> dict[str, float]:
    """How surprising the next letter is (its -log probability, on average), and how often it is the likeliest; and
    something that the model has written."""
    scores, target = run.predict(model, test_set)
    nats = prediction(scores, target).item()
    text = written(model, run.options["prompt"], run.options["letters"], run.options["length"], temperature(run))
    run.show(f"written at temperature {temperature(run):g}", text)
    return {"nats_per_letter": nats, "perplexity": math.exp(nats),
            "accuracy": tn.metrics.accuracy(target.flatten(), scores.argmax(2).flatten())}


def written(model: Any, prompt: str, letters: str, length: int, heat: float) -> str:
    """The prompt, and so many letters more."""
    numbers = tn.tensor([encode(prompt, letters)], device=next(model.parameters()).device)
    with tn.no_grad():
        for _ in range(length):
            scores = model.eval()(numbers[:, -CONTEXT:])[:, -1]
            numbers = tn.cat([numbers, draw(scores, heat)], 1)
    return spelled(numbers[0].tolist(), letters).strip("\n")


OPTIONS: dict[str, dict[str, Any]] = {
    "--steps": {"type": int, "default": 250, "metavar": "N", "help": "steps an epoch (default: %(default)s)"},
    "--prompt": {"default": "\n", "metavar": "TEXT", "help": "what its writing begins with"},
    "--length": {"type": int, "default": 500, "metavar": "N", "help": "letters to write (default: %(default)s)"},
    "--temperature": TEMPERATURE,
}
RECIPE = Recipe(data=data, network=network, train=train, measure=measure, source="tiny_shakespeare", options=OPTIONS,
                epochs=8, batch_size=16, lr=2e-3, examples=["char-gpt --prompt ROMEO: --temperature 0.6"])
