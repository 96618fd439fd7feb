"""A masked encoder (BERT; Devlin et al. 2018): pre-trained to fill in words, then fine-tuned to judge sentences."""

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Subset, TensorDataset

PAD, CLS, MASK = 0, 1, 2
NOUNS, RELATIVES, VERBS = ("cat", "dog", "poet"), ("beside", "behind"), ("sleep", "sing", "think")
WORDS = ["[PAD]", "[CLS]", "[MASK]", "the", "this", "these", *RELATIVES]
WORDS += [stem + s for stem in NOUNS + VERBS for s in ("", "s")]
LENGTH, WIDTH = 8, 32


def sentence(rng, grammatical=True):
    """As "this cat beside the dogs sleeps": the verb has the number of the first noun."""

    def noun_phrase(plural):
        article = rng.choice(["these" if plural else "this", "the"])
        return [str(article), str(rng.choice(NOUNS)) + ("s" if plural else "")]

    plural = bool(rng.integers(2))
    words = noun_phrase(plural)
    if rng.integers(2):
        words += [str(rng.choice(RELATIVES)), *noun_phrase(bool(rng.integers(2)))]
    return [*words, str(rng.choice(VERBS)) + ("" if plural == grammatical else "s")]


def encode(sentences):
    ids = np.full((len(sentences), LENGTH), PAD)
    for row, words in zip(ids, sentences, strict=True):
        row[: len(words) + 1] = [CLS, *map(WORDS.index, words)]
    return ids


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens = nn.Embedding(len(WORDS), WIDTH, padding_idx=PAD)
        self.positions = nn.Parameter(0.02 * torch.randn(LENGTH, WIDTH))
        self.norm = nn.LayerNorm(WIDTH)
        layer = nn.TransformerEncoderLayer(
            WIDTH, nhead=4, dim_feedforward=2 * WIDTH, dropout=0.0, activation="gelu", batch_first=True
        )
        self.layers = nn.TransformerEncoder(layer, num_layers=2, enable_nested_tensor=False)

    def forward(self, ids):
        x = self.norm(self.tokens(ids) + self.positions)
        return self.layers(x, src_key_padding_mask=ids == PAD)


class MaskedLanguageModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = Encoder()
        self.head = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.GELU(), nn.LayerNorm(WIDTH), nn.Linear(WIDTH, len(WORDS)))

    def forward(self, ids):
        return self.head(self.encoder(ids))


class Judge(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = Encoder()
        self.pooler = nn.Linear(WIDTH, WIDTH)
        self.classifier = nn.Linear(WIDTH, 2)

    def forward(self, ids):
        first = self.encoder(ids)[:, 0]
        return self.classifier(torch.tanh(self.pooler(first)))


def build():
    return MaskedLanguageModel(), Judge()


def mask_words(ids, rng):
    """(input, targets): of 20% of the words four fifths are hidden, a tenth replaced, and a tenth left as they are."""
    chosen = (rng.random(ids.shape) < 0.2) & (ids > MASK)
    dice = rng.random(ids.shape)
    inputs = np.where(chosen & (dice < 0.8), MASK, ids)
    inputs = np.where(chosen & (dice > 0.9), rng.integers(MASK + 1, len(WORDS), ids.shape), inputs)
    return torch.from_numpy(inputs), torch.from_numpy(np.where(chosen, ids, -100))


def train(mlm, judge, rng):
    corpus = encode([sentence(rng) for _ in range(1000)])
    criterion = nn.CrossEntropyLoss(ignore_index=-100)
    optimizer = torch.optim.Adam(mlm.parameters(), lr=3e-3)
    pretraining = []
    for _ in range(160):
        inputs, targets = mask_words(corpus[rng.integers(len(corpus), size=32)], rng)
        loss = criterion(mlm(inputs).transpose(1, 2), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        pretraining.append(loss.item())

    labels = rng.integers(2, size=1000)
    judged = TensorDataset(
        torch.from_numpy(encode([sentence(rng, grammatical=bool(label)) for label in labels])), torch.from_numpy(labels)
    )
    judge.encoder.load_state_dict(mlm.encoder.state_dict())
    heads = [*judge.pooler.parameters(), *judge.classifier.parameters()]
    optimizer = torch.optim.AdamW([{"params": judge.encoder.parameters(), "lr": 2e-3}, {"params": heads}], lr=3e-3)
    tuning = []
    for _ in range(4):
        for ids, answers in DataLoader(Subset(judged, range(640)), batch_size=32):
            loss = criterion(judge(ids), answers)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            tuning.append(loss.item())

    judge.eval()
    with torch.inference_mode():
        ids, answers = (torch.stack(column) for column in zip(*Subset(judged, range(640, 1000)), strict=True))
        accuracy = (judge(ids).argmax(-1) == answers).float().mean()
    return list(zip(pretraining[:80], pretraining[80:], tuning, strict=True)), accuracy.item()
