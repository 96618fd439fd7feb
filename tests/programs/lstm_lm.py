"""A language model with LSTM (Zaremba, Sutskever and Vinyals 2014), trained by truncated backpropagation through time
on a nursery rhyme; after PyTorch's word_language_model."""

import math

import torch
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

LINES = """the house that Jack built .
the malt that lay in
the rat that ate
the cat that killed
the dog that worried
the cow with the crumpled horn that tossed
the maiden all forlorn that milked
the man all tattered and torn that kissed
the priest all shaven and shorn that married
the cock that crowed in the morn that waked
the farmer sowing his corn that kept
the horse and the hound and the horn that belonged to""".splitlines()
VERSES = [" ".join(["This is", *LINES[k::-1]]).split() for k in range(len(LINES))]
VOCABULARY = sorted({word for verse in VERSES for word in verse})
BATCH, BPTT = 4, 12


class RNNModel(nn.Module):
    def __init__(self, ntoken, ninp, nhid, nlayers):
        super().__init__()
        self.encoder = nn.Embedding(ntoken, ninp)
        self.rnn = nn.LSTM(ninp, nhid, nlayers)
        self.decoder = nn.Linear(nhid, ntoken)
        nn.init.uniform_(self.encoder.weight, -0.1, 0.1)
        nn.init.uniform_(self.decoder.weight, -0.1, 0.1)
        nn.init.zeros_(self.decoder.bias)

    def forward(self, tokens, hidden):
        output, hidden = self.rnn(self.encoder(tokens), hidden)
        return self.decoder(output), hidden

    def init_hidden(self, batch):
        shape = (self.rnn.num_layers, batch, self.rnn.hidden_size)
        return torch.zeros(shape), torch.zeros(shape)


def repackage_hidden(hidden):
    """The same state without the history that led to it."""
    return tuple(h.detach() for h in hidden)


def batchify(words, batch):
    """One column for each of `batch` pieces of the text."""
    data = torch.tensor([VOCABULARY.index(word) for word in words])
    length = data.size(0) // batch
    return data.narrow(0, 0, length * batch).view(batch, length).t().contiguous()


def build():
    return (RNNModel(len(VOCABULARY), ninp=24, nhid=48, nlayers=1),)


def train(model, rng):
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    scheduler = ReduceLROnPlateau(optimizer, factor=0.5, patience=2)
    losses = []
    for _ in range(20):
        model.train()
        text = batchify([word for k in rng.permutation(len(VERSES)) for word in VERSES[k]], BATCH)
        hidden, total = model.init_hidden(BATCH), 0.0
        starts = range(0, text.size(0) - 1, BPTT)
        for i in starts:
            length = min(BPTT, len(text) - 1 - i)
            tokens, targets = text[i : i + length], text[i + 1 : i + 1 + length].reshape(-1)
            hidden = repackage_hidden(hidden)
            output, hidden = model(tokens, hidden)
            loss = criterion(output.view(-1, len(VOCABULARY)), targets)
            model.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 0.25)
            optimizer.step()
            losses.append(loss.item())
            total += losses[-1] / len(starts)
        scheduler.step(total)

    model.eval()
    with torch.no_grad():
        text = batchify([word for verse in VERSES for word in verse], 1)
        output, _ = model(text[:-1], model.init_hidden(1))
        loss = criterion(output.squeeze(1), text[1:, 0])
    return losses, 1 / math.exp(loss.item())
