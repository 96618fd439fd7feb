"""Small networks with data, and a step of training, to be run on any device."""

from __future__ import annotations

import tinynet as tn
from tinynet import nn
from tinynet.nn import functional as F


class Block(nn.Module):
    """Of a transformer: attention and two layers, each added to what it is given."""

    def __init__(self, width, heads):
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width), nn.Dropout(0.1))
        self.heads = heads

    def forward(self, x):
        n, t, width = x.shape
        q, k, v = self.qkv(self.norms[0](x)).reshape(n, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(n, t, width))
        return x + self.mlp(self.norms[1](x))


class GPT(nn.Module):
    """Two blocks over characters."""

    def __init__(self, letters=11, width=16, length=8):
        super().__init__()
        self.letters, self.places = nn.Embedding(letters, width), nn.Embedding(length, width)
        self.blocks = nn.Sequential(Block(width, 2), Block(width, 2), nn.LayerNorm(width))
        self.head = nn.Linear(width, letters, bias=False)
        self.head.weight = self.letters.weight

    def forward(self, x):
        places = tn.arange(x.shape[1], device=x.device)
        return self.head(self.blocks(self.letters(x) + self.places(places)))


def mlp():
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.BatchNorm1d(16), nn.Dropout(0.2), nn.Linear(16, 3))


def cnn():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6), nn.SiLU(),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, 3),
    )  # fmt: skip


class Recurrent(nn.Module):
    """An LSTM, of which the last output counts."""

    def __init__(self):
        super().__init__()
        self.lstm, self.head = nn.LSTM(5, 7, batch_first=True), nn.Linear(7, 3)

    def forward(self, x):
        return self.head(self.lstm(x)[0][:, -1])


def of_classes(*shape):
    return lambda: (tn.randn(*shape), tn.randint(0, 3, shape[:1]))


def text():
    letters = tn.randint(0, 11, (4, 9))
    return letters[:, :-1], letters[:, 1:]


def cross_entropy(output, target):
    return F.cross_entropy(output.reshape(-1, output.shape[-1]), target.reshape(-1))


NETS = {"mlp": (mlp, of_classes(8, 6)), "cnn": (cnn, of_classes(4, 1, 12, 12)), "gpt": (GPT, text),
        "lstm": (Recurrent, of_classes(4, 6, 5))}  # fmt: skip


def step(model, optimizer, x, target, clip=False):
    """One step of training; the loss."""
    loss = cross_entropy(model(x), target)
    optimizer.zero_grad()
    loss.backward()
    if clip:
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return loss
