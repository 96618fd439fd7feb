# %% [lesson]
# title: A small GPT that writes verse
# goal: Build the network behind ChatGPT, at a millionth of the size or less: attention, a mask that hides the
#   future, and a loop that writes. Train it on Shakespeare, read what it writes, and look where it looks.
# time: 90 minutes
# needs: Lessons 6 (cross-entropy), 7 (layers, Adam) and 12 (text as numbers, temperature); residual connections of
#   lesson 11 help
# seconds: ci 9, laptop 67

# %% [markdown]
# ## Predict first
#
# A line of verse breaks off:
#
# > Shall I compare thee to a summer's d
#
# **Which letter comes next? And how far back did you have to look to know?** Here is what somebody says who sees the
# last letter only, and has counted what follows a *d* in the text we are about to learn:

# %%
import re

try:
    text = tn.data.datasets.tiny_shakespeare(download=False)  # 40,000 lines of plays, if they are on this machine
except RuntimeError:
    text = tn.data.datasets.sonnets()  # 154 poems, which come with tinynet

after_d = re.findall("(?<=d).", text, re.DOTALL)
likely = sorted(set(after_d), key=after_d.count, reverse=True)[:5]
print(f"{len(text):,} characters; the first line is {text.strip().splitlines()[0]!r}")
print("after d:", ", ".join(f"{c!r} {after_d.count(c) / len(after_d):.0%}" for c in likely))

# %% [markdown]
# You said *a*, for *day*. You knew from "summer's", several letters back, and perhaps from the poem. One letter was not
# enough; a fixed number of letters would not be either, for what matters is sometimes near and sometimes far.
#
# A **GPT** does one thing: given the characters so far, it says how likely each character is to come next. (Large ones
# take pieces of words instead of characters. Nothing else changes.) To write, draw one from those probabilities, put it
# at the end, and ask again.
#
# ## Text as numbers
#
# As in lesson 12, each character gets a number. The last tenth of the text is kept for testing.

# %%
chars = sorted(set(text))
number = {c: k for k, c in enumerate(chars)}


def encode(line):
    return [number[c] for c in line]


def decode(ids):
    return "".join(chars[k] for k in ids)


ids = tn.tensor(encode(text))
cut = int(0.9 * len(ids))
train, test = ids[:cut], ids[cut:]
print(f"{len(chars)} different characters; {encode('day')} is {decode(encode('day'))!r}")

# %% [markdown]
# ## Exercise 1: pairs to learn from
#
# Nobody has to label anything: **the text is its own answer**. Out of *summer* comes the input *summe* and the answer
# *ummer*: after *s* comes *u*, after *su* comes *m*, and so on. Five characters make five questions at once.
#
# Given the places `starts` in the text, make two tables with a row for each place:
#
# $$x_{ij} = \text{ids}[\text{starts}_i + j] \qquad y_{ij} = \text{ids}[\text{starts}_i + j + 1]$$
#
# `tn.stack([a, b, c])` makes the rows of a table out of pieces.

# %%
@tn.exercise("13.pairs")
def pairs(ids, starts, length):
    """(x, y): pieces of ids that begin at the places starts, and the same pieces one character later."""
    # BEGIN SOLUTION
    #? x = tn.stack([... for s in starts])
    #? return x, ...
    x = tn.stack([ids[s:s + length] for s in starts])
    y = tn.stack([ids[s + 1:s + length + 1] for s in starts])
    return x, y
    # END SOLUTION

# %%
tn.check("13.pairs")

# %%
x, y = pairs(tn.tensor(encode("summer's day")), [0, 4], 5)
for row_x, row_y in zip(x.tolist(), y.tolist(), strict=True):
    print(f"x {decode(row_x)!r:10} y {decode(row_y)!r}")

# %% [markdown]
# ## What is a good score?
#
# The loss is the cross-entropy of lesson 6: minus the logarithm of the probability that was given to the character that
# did come, on average. To know what a number means, measure two guessers that need no network. One thinks every
# character equally likely. The other counted, in the training text, which character follows which:

# %%
def loss_of(probabilities, ids):
    """The mean of -log p(next | this) over a text."""
    return -np.log(probabilities[ids[:-1].numpy(), ids[1:].numpy()]).mean()


counts = np.ones((len(chars), len(chars)))  # 1, not 0: what was never seen is not impossible
np.add.at(counts, (train[:-1].numpy(), train[1:].numpy()), 1)
losses = {"knows nothing": loss_of(np.full_like(counts, 1 / len(chars)), test),
          "sees one character": loss_of(counts / counts.sum(1, keepdims=True), test)}
for name, loss in losses.items():
    print(f"{name:20} loss {loss:.2f}: as unsure as between {np.exp(loss):4.1f} equally likely characters")

# %% [markdown]
# So the second number is the one to beat. Whoever gets below it has looked further back than one character.
#
# ## Attention: a dictionary that takes the best fit
#
# How can position 30 use something from position 17, when in another line it would be position 5? A recurrent network
# (lesson 12) carries everything along, step by step, through one vector. **Attention** looks it up.
#
# Think of a Python dictionary: you ask with a *query*, it finds the equal *key*, you get its *value*. Attention does
# this with **vectors**, rows of numbers, and without needing an exact match:
#
# 1. Each position has a **key**, a vector that says what there is to be found here.
# 2. Each position has a **value**, the vector one gets there.
# 3. A position that wants to know something sends a **query**. Its dot product with each key (multiply number by
#    number, add up) is a **score**: large where both are large in the same places.
# 4. Softmax turns the scores into weights which sum to 1. The answer is the mixture of the values with these weights.
#
# By hand, for four characters and keys of two numbers, *am I a vowel?* and *am I a space?*:

# %%
letters = ["t", "h", "e", "␣"]
k = tn.tensor([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])  # a row for each character
v = tn.tensor([[10.0], [20.0], [30.0], [40.0]])
for wish, q in (("a vowel", [[5.0, 0.0]]), ("a space", [[0.0, 5.0]]), ("no wish", [[0.0, 0.0]])):
    weights = (tn.tensor(q) @ k.transpose(-2, -1)).softmax(-1)
    shown = "  ".join(f"{c} {w:.2f}" for c, w in zip(letters, weights[0].tolist(), strict=True))
    print(f"{wish}: weights {shown}   gets {(weights @ v).item():.1f}")

# %% [markdown]
# Who looks for a vowel gets (nearly) the value of *e*. Who has no wish gets the mean of all.
#
# Nothing in this was a choice between yes and no: every step has a slope. So the network can *learn* what to ask for,
# what to offer and what to hand over. All queries go into the rows of one matrix $Q$, keys into $K$, values into $V$:
#
# $$\text{weights} = \text{softmax}\!\left(\frac{Q K^T}{\sqrt{d}}\right) \qquad \text{result} = \text{weights} \cdot V$$
#
# Where does the $\sqrt{d}$ come from? $d$ is how many numbers a query has. A dot product adds up $d$ products, so the
# more there are, the larger it gets, for no good reason. See what that does to softmax, with random queries and keys:

# %%
print("   d   spread of scores   largest of 10 weights     both after dividing by √d")
for d in (4, 64, 1024):
    scores = tn.randn(1000, 1, d) @ tn.randn(1000, d, 10)
    before, after = (f"{s.std():6.1f} {s.softmax(-1).amax(-1).mean():18.2f}" for s in (scores, scores / d**0.5))
    print(f"{d:4}   {before}            {after}")

# %% [markdown]
# Undivided, one weight is 1 and the others 0 before anything is learnt, and softmax is flat there: no slope, nothing to
# learn by. Divided, the spread is 1 for any $d$.
#
# ## Exercise 2: attention
#
# One more thing belongs to it: `allowed`, a table of True and False, with a row for each query and a column for each
# key. Where it is False, the weight must be exactly 0, and the rest of the row must still sum to 1. *Which number must
# the score be, so that softmax makes a 0 of it?* (`scores.masked_fill(table, number)` writes the number wherever the
# table is True.)
#
# Later there are more axes in front, for the batch and for several heads. `k.transpose(-2, -1)` swaps the last two.

# %%
import math


@tn.exercise("13.attention")
def attention(q, k, v, allowed):
    """(mixed values, weights) for queries q (..., n, d), keys k (..., s, d), values v (..., s, m)."""
    # BEGIN SOLUTION
    #? scores = ...
    #? weights = ...
    #? return weights @ v, weights
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    weights = scores.masked_fill(~allowed, -math.inf).softmax(-1)
    return weights @ v, weights
    # END SOLUTION

# %%
tn.check("13.attention")

# %% [markdown]
# ## Exercise 3: no looking ahead
#
# The row *summe* asks five questions at once, and its answers *ummer* stand in the same row, one place further on. A
# position that may look to its right **reads the answer off**. In training the loss would fall to nearly zero, and in
# writing, when there is no future to look at, the network would know nothing.
#
# So position $i$ may look at position $j$ only where $j \le i$. Make that table.

# %%
@tn.exercise("13.causal_mask")
def causal_mask(n):
    """An (n, n) tensor of bools: row i is True in the columns of the positions that position i may look at."""
    # BEGIN SOLUTION
    return tn.ones(n, n, dtype=tn.bool).tril()
    # END SOLUTION

# %%
tn.check("13.causal_mask")

# %% [markdown]
# The check changed the last rows of an input and looked whether the first rows of the result moved. That is what
# "causal" means: *changing the future does not change the past*. In pictures, with random queries and keys for eight
# characters:

# %%
line = "summer's"
q, k, v = tn.randn(3, len(line), 16)
mask = causal_mask(len(line))
weights = attention(q, k, v, mask)[1]
shown = (("scores", q @ k.transpose(-2, -1) / 4), ("allowed", mask.to(tn.float32)), ("weights", weights))
fig, axes = plt.subplots(1, 3, figsize=(8, 3.5))
for ax, (title, table) in zip(axes, shown, strict=True):
    ax.imshow(table.numpy(), cmap="Greys")
    ax.set(title=title, xlabel="is looked at", xticks=range(len(line)), yticks=range(len(line)))
    ax.set_xticklabels(line)
    ax.set_yticklabels(line)
    ax.grid(False)
axes[0].set_ylabel("looks")
fig.suptitle("Scores, with all that lies ahead hidden, become weights: each row sums to 1")
plt.show()

# %% [markdown]
# The first row has one choice: itself, with weight 1. The further down, the more there is to choose from.
#
# ## Attention does not know the order
#
# **Predict:** shuffle all characters before the last. What changes in the answer that the last one gets?

# %%
order = [*np.random.permutation(len(line) - 1).tolist(), len(line) - 1]
mixed, shuffled = attention(q, k, v, mask)[0], attention(q[order], k[order], v[order], mask)[0]
print(f"the last position's answer changes by {(mixed[-1] - shuffled[-1]).abs().max().item():.1e}")

# %% [markdown]
# Nothing but rounding: a sum has no order. To attention, a line is a bag of letters. So each position gets a learnt
# vector of its own, which is added to the vector of the character: now a key can say "I am a vowel, *and* I am at
# place 17".
#
# ## The whole network
#
# Four more decisions, each one line of code:
#
# - **Several heads.** One query finds one thing. So the width is divided among a few attentions side by side, each with
#   queries, keys and values of its own.
# - **Two steps to a block.** Attention fetches from other positions; then a small MLP (lesson 7) works on what was
#   fetched, at each position by itself. (Its kink is `GELU`, a ReLU whose corner is rounded.)
# - **Residual connections.** Each step *adds* to what there was: `x + step(x)`. Gradients go straight through the plus.
# - **LayerNorm** before each step brings every position's vector to mean 0 and spread 1.

# %%
from tinynet import nn


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.ask = nn.Linear(width, 3 * width)  # query, key and value of all heads, in one product
        self.tell = nn.Linear(width, width)

    def forward(self, x):  # (batch, length, width)
        parts = self.ask(x).unflatten(-1, (3 * self.heads, -1)).transpose(1, 2)  # (batch, 3 heads, length, width/heads)
        q, k, v = parts.chunk(3, 1)
        mixed, self.weights = attention(q, k, v, causal_mask(x.shape[1]))
        return self.tell(mixed.transpose(1, 2).flatten(2))  # the heads side by side again


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class GPT(nn.Module):
    def __init__(self, characters, context, width, heads, blocks):
        super().__init__()
        self.context = context  # how many characters it can look at
        self.what = nn.Embedding(characters, width)  # a vector for each character
        self.where = nn.Embedding(context, width)  # and one for each place
        self.blocks = nn.Sequential(*[Block(width, heads) for _ in range(blocks)])
        self.out = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, characters))
        for embedding in (self.what, self.where):
            nn.init.normal_(embedding.weight, std=0.1)

    def forward(self, ids):  # (batch, length) -> scores (batch, length, characters)
        return self.out(self.blocks(self.what(ids) + self.where(tn.arange(ids.shape[1]))))


width, blocks, context = tn.learn.sized(ci=(32, 1, 32), laptop=(96, 2, 64), full=(192, 4, 128))
model = GPT(len(chars), context, width, heads=4, blocks=blocks)
print(f"{sum(p.numel() for p in model.parameters()):,} numbers to learn")
x, y = pairs(test, [0, 1000, 2000], context)
print(f"loss before training: {nn.functional.cross_entropy(model(x).flatten(0, 1), y.flatten()).item():.2f}")

# %% [markdown]
# Untrained, it is near "knows nothing", as it should be, or a little above: it has opinions, all of them wrong. (A loss
# that begins far above that is a sign of a mistake. Always look at it.)
#
# And does the *whole* network keep the rule? Change one character, and see at which positions the scores change:

# %%
model.eval()
row = test[:context].clone()[None]
changed = row.clone()
changed[0, 10] = (row[0, 10] + 1) % len(chars)
moved = (model(row) - model(changed)).abs().amax(-1)[0].detach().numpy() > 0
print("position 10 was changed; scores moved at positions", np.flatnonzero(moved)[:4], "and on, to", len(moved) - 1)

# %% [markdown]
# ## Exercise 4: write
#
# In a loop: show the model the characters so far, but at most the last `model.context` of them. It answers with scores
# at *every* position; you want those for what follows the **last**. Draw, append, go on.
#
# Drawing is given. Temperature you know from lesson 12: below 1 the likely becomes likelier, above 1 all become alike.

# %%
def pick(scores, temperature):
    """A number drawn with the probabilities softmax(scores / temperature)."""
    return int(tn.multinomial((scores / temperature).softmax(-1), 1))

# %%
@tn.exercise("13.generate")
def generate(model, ids, count, temperature=1.0):
    """The list ids and `count` numbers more. model(tensor of shape (1, n)) gives scores (1, n, characters)."""
    ids = list(ids)
    for _ in range(count):
        # BEGIN SOLUTION
        #? scores = ...  # what the model says about what follows
        #? ids.append(...)
        scores = model(tn.tensor([ids[-model.context:]]))[0, -1]
        ids.append(pick(scores, temperature))
        # END SOLUTION
    return ids

# %%
tn.check("13.generate")

# %%
def write(count, temperature=0.8, start="\n"):
    model.eval()
    with tn.no_grad():
        written = decode(generate(model, encode(start), count, temperature))
    model.train()
    return written.strip("\n")


print(write(80))

# %% [markdown]
# That is what it writes before it has learnt anything. Keep it in mind.
#
# ## Train it
#
# Nothing in this loop is new: a batch of pairs from random places, the cross-entropy at all positions, a step. AdamW is
# the Adam of lesson 7, which also makes the weights a little smaller at each step. The learning rate rises at the start
# and then falls to nothing.

# %%
from tqdm.auto import tqdm

steps, batch = tn.learn.sized(ci=60, laptop=1000, full=4000), tn.learn.sized(ci=8, laptop=16, full=32)
optimizer = tn.optim.AdamW(model.parameters(), lr=3e-3, betas=(0.9, 0.99), weight_decay=0.1)
schedule = tn.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
rng = np.random.default_rng(0)


def loss_on(ids, rng, batch):
    x, y = pairs(ids, rng.integers(0, len(ids) - context - 1, batch).tolist(), context)
    return nn.functional.cross_entropy(model(x).flatten(0, 1), y.flatten())


def tested():
    """The loss on text it was not trained on: always the same pieces."""
    model.eval()
    with tn.no_grad():
        loss = loss_on(test, np.random.default_rng(1), 64).item()
    model.train()
    return loss


history, held_out, heard = [], [(0, tested())], {}
for step in tqdm(range(1, steps + 1), desc="steps"):
    loss = loss_on(train, rng, batch)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    schedule.step()
    history.append(loss.item())
    if step % (steps // 10) == 0:
        held_out.append((step, tested()))
    if step in (steps // 20, steps // 5):
        heard[step] = write(70)

# %%
fig, ax = plt.subplots()
ax.plot(history, color="0.75", linewidth=1, linestyle="-", label="each batch")
ax.plot(*zip(*held_out, strict=True), "ko-", markersize=4, label="text it was not trained on")
for (name, loss), style in zip(losses.items(), (":", "--"), strict=True):
    ax.axhline(loss, color="black", linestyle=style, linewidth=1)
    ax.annotate(name, (steps, loss), ha="right", va="bottom")
ax.set(xlabel="step", ylabel="loss", title="It soon knows more than one character tells")
ax.legend(loc="center right")
plt.show()
final = held_out[-1][1]
print(f"loss {final:.2f}: as unsure as between {np.exp(final):.1f} characters")

# %% [markdown]
# ## Listen to it learn
#
# First come letters in the right proportions, then the lengths of words, then words, then lines that begin with a
# capital letter. Nobody told it what a word is.

# %%
for step, written in heard.items():
    print(f"--- after {step} steps\n{written}\n")
for temperature in (0.5, 0.8, 1.2):
    print(f"--- at the end, temperature {temperature}\n{write(tn.learn.sized(ci=80, laptop=300), temperature)}\n")

# %% [markdown]
# Cold, it says the same safe words again and again. Hot, it invents. It has no idea what it is talking about, and after
# some minutes on a laptop that is to be expected: GPT-2 was the same network, with a few thousand times as many
# numbers and a hundred thousand times as much text.
#
# ## Where does it look?
#
# The weights of each head were kept. For each, what share of the attention goes to the position itself, to the one
# before, and to the last space or line break (where the word began)?

# %%
row = test[:context][None]
with tn.no_grad():
    model(row)
seen = decode(row[0].tolist())
maps = {(b + 1, h + 1): block.attention.weights[0, h].numpy() for b, block in enumerate(model.blocks)
        for h in range(4)}


def shares(weights):
    """Of the weight of all positions but the first: on itself, on the one before, on where the word began."""
    places = range(1, len(seen))
    began = [max([j for j in range(i) if seen[j] in " \n"], default=None) for i in places]
    return (np.mean([weights[i, i] for i in places]), np.mean([weights[i, i - 1] for i in places]),
            np.mean([weights[i, j] for i, j in zip(places, began, strict=True) if j is not None]))


table = {head: shares(weights) for head, weights in maps.items()}
print("block head   itself   the one before   where the word began")
for (b, h), row_of in table.items():
    print(f"{b:5} {h:4} {row_of[0]:8.0%} {row_of[1]:16.0%} {row_of[2]:22.0%}")

# %%
near = max(table, key=lambda head: table[head][1])
far = min(table, key=lambda head: table[head][0] + table[head][1])
few = 32
fig, axes = plt.subplots(1, 2, figsize=(9, 4.6))
for ax, (b, h), title in zip(axes, (near, far), ("most to the one before", "most to farther ones"), strict=True):
    weights = maps[b, h][:few, :few]
    ax.imshow(weights / weights.max(1, keepdims=True), cmap="Greys", vmin=0)  # each row's largest is black
    ax.set(title=f"block {b}, head {h}: {title}", xlabel="is looked at", xticks=range(few), yticks=range(few))
    for labels in (ax.set_xticklabels, ax.set_yticklabels):
        labels([{" ": "·", "\n": "↵"}.get(c, c) for c in seen[:few]], fontsize=7)
    ax.grid(False)
axes[0].set_ylabel("looks")
fig.suptitle("Each row is one character: black is what it looks at most")
plt.show()

# %% [markdown]
# Each head has found a task of its own: nobody assigned them. In the left map a dark line runs beside the diagonal.
# Look for dark columns in the right one: what is it that many characters look at?
#
# ## Read the real engine
#
# tinynet's own attention is `nn.functional.scaled_dot_product_attention`. What it computes is written down in a file
# called `kernels/reference/attention.py`. Find your three lines:

# %%
import inspect

from tinynet.kernels.reference import attention as the_reference

print(inspect.getsource(the_reference.attention))

# %% [markdown]
# It subtracts the largest score of each row before `exp`, as you did in lesson 6, and takes care of rows in which
# nothing is allowed: there softmax would be $0/0$. What really runs on a processor is a twin of it, one pass over the
# rows, shared among threads (lesson 15 is about such twins). Same numbers? And which takes less time, for longer texts?

# %%
import time

q, k, v = tn.randn(3, 4, 4, 256, 24)
mask = causal_mask(256)
engine = nn.functional.scaled_dot_product_attention


def milliseconds(compute, times=15):
    """The best of some runs: whatever else the machine does makes the others slower."""
    best = math.inf
    for _ in range(times):
        start = time.perf_counter()
        compute()
        best = min(best, time.perf_counter() - start)
    return best * 1e3


apart = (attention(q, k, v, mask)[0] - engine(q, k, v, is_causal=True)).abs().max().item()
yours = milliseconds(lambda: attention(q, k, v, mask))
theirs = milliseconds(lambda: engine(q, k, v, is_causal=True))
print(f"apart by at most {apart:.0e}; yours {yours:.2f} ms, tinynet's {theirs:.2f} ms")

# %% [markdown]
# The whole block is there too: `nn.TransformerEncoderLayer(width, heads, norm_first=True)`, with a causal mask, is the
# `Block` above.
#
# ## What would break?
#
# 1. In `causal_mask`, write `.tril(1)`: everyone sees one character ahead. The check notices; but what would the *loss*
#    do in training, and what would the text be like?
# 2. Return `x, x` from `pairs`. What does the network learn, and how fast?
# 3. Leave out `self.where(...)`. Does it still beat the counter? (It is less bad than one thinks. Why?)
# 4. Double `context`. How many scores does each head compute then, and why do large models fight over this?
# 5. `write(100, temperature=0.01)`.
#
# <details><summary>Answers</summary>
#
# 1. The loss falls towards 0: each position looks at the next and copies it. The text is rubbish, since in writing
#    there is no next one. A loss that is too good to be true is a leak, nearly always.
# 2. To repeat its input, within a few steps; what it writes is one character, for ever.
# 3. Yes: the mask lets position 5 see six characters and position 6 seven, so *how many* there are says something
#    about where one is. Order among them stays unknown. The loss is worse, but below "sees one character".
# 4. Four times as many: scores go with the *square* of the length. At a hundred thousand characters that is all the
#    time and memory there is. Kernels such as FlashAttention never store the table, and compute it piece by piece.
# 5. It takes the likeliest each time, and soon goes round in a circle.
#
# </details>
#
# ## Further reading
#
# - A. Vaswani et al., *Attention Is All You Need* (2017): sections 3.1 to 3.3 are this lesson.
# - A. Karpathy, *Let's build GPT: from scratch, in code, spelled out* (2023), and *nanoGPT*: two hours, and the next
#   size up.
# - A. Radford et al., *Language Models are Unsupervised Multitask Learners* (2019): GPT-2.
# - N. Elhage et al., *A Mathematical Framework for Transformer Circuits* (2021): what heads learn, and why two blocks
#   can do what one cannot.
# - T. Dao et al., *FlashAttention* (2022): the table that is never stored.
