# %% [lesson]
# title: RNN and LSTM: networks that remember
# goal: Build a network that reads letter by letter and keeps notes, see why it forgets, mend that with gates, and let
#   it invent first names.
# time: 75 minutes
# needs: Lesson 3 (slopes along a path), lesson 6 (softmax, cross-entropy), lesson 11 (why deep stacks do not learn)
# seconds: ci 10, laptop 35

# %% [markdown]
# ## Predict first
#
# A name begins `emm`. What comes next? You are quite sure. Now you are told only that the last letter was `m`. **How
# sure are you now?** What must a reader keep in mind to do better than with the last letter alone?
#
# Here are the data: first names given to children in the United States in one year, the most frequent first.

# %%
try:  # the longer list, if it is wanted and on this machine
    names = list(dict.fromkeys(tn.data.datasets.names(full=SCALE == "full", download=False)))
except RuntimeError:
    names = tn.data.datasets.names()
print(f"{len(names):,} names:", ", ".join(names[:12]), "...")
often = sorted("aeiouyml", key=lambda c: -sum(name.count("m" + c) for name in names))
print("after m comes, most often:", ", ".join(often[:4]))
print("that begin with emm:", ", ".join(name for name in names if name.startswith("emm")))

# %% [markdown]
# A network wants numbers, so each letter gets one. The dot is both the beginning and the end. At each place the network
# sees one letter and has to say the next:

# %%
LETTERS = ".abcdefghijklmnopqrstuvwxyz"
LONGEST = max(map(len, names)) + 1


def coded(names):
    """(N, LONGEST) letters seen, and letters to be said next; -100 after the end, where nothing is asked."""
    seen = np.zeros((len(names), LONGEST), np.int64)
    following = np.full((len(names), LONGEST), -100)
    for k, name in enumerate(names):
        numbers = [LETTERS.index(c) for c in name]
        seen[k, 1:len(name) + 1] = numbers
        following[k, :len(name) + 1] = [*numbers, 0]
    return tn.tensor(seen), tn.tensor(following)


rng = np.random.default_rng(0)
names = [names[k] for k in rng.permutation(len(names))]
cut = len(names) // 10
train, held_out = coded(names[cut:][:tn.learn.sized(ci=600, laptop=9_000, full=30_000)]), coded(names[:cut])
seen, following = coded(["emma"])
print("sees:", *[LETTERS[k] for k in seen[0, :5].tolist()], "  says:", *[LETTERS[k] for k in following[0, :5].tolist()])

# %% [markdown]
# ## What is there to beat?
#
# The score is the cross-entropy of lesson 6: the mean of $-\log p$ of the right next letter. Two simple ways to play:
# all letters alike; and a table of pairs, how often $b$ follows $a$. ($e^{\text{loss}}$ says among how many letters one
# is as unsure as that.)

# %%
pairs = np.ones((27, 27))  # one of each, so that none is impossible
for a, b in zip(train[0].numpy().ravel(), train[1].numpy().ravel(), strict=True):
    if b >= 0:
        pairs[a, b] += 1
table = pairs / pairs.sum(1, keepdims=True)
asked = held_out[1].numpy() >= 0
table_loss = -np.log(table[held_out[0].numpy()[asked], held_out[1].numpy()[asked]]).mean()
for name, loss in (("guessing", np.log(27)), ("table of pairs", table_loss)):
    print(f"{name:15} loss {loss:.3f}: as unsure as among {np.exp(loss):.1f} letters")

# %% [markdown]
# ## A network with a state
#
# The table knows only the last letter. To know more, keep **notes**: a row of numbers $h$, the *state*. For each letter
# make new notes, of the letter $x$ and of the notes so far:
#
# $$h' = \tanh(W_x\, x + b_x + W_h\, h + b_h)$$
#
# ($\tanh$ brings each number between $-1$ and $1$.) The weights are the same at every letter: nothing else would work
# for names of any length. That is all of a **recurrent network**, an RNN.
#
# ## Exercise 1: one step
#
# `x` is $(N, I)$ and `h` is $(N, H)$, one row for each name. The weights are as in `nn.Linear`: `w_ih` is $(H, I)$ and
# `w_hh` is $(H, H)$. All are tensors.

# %%
@tn.exercise("12.rnn_step")
def rnn_step(x, h, w_ih, w_hh, b_ih, b_hh):
    """The next state, (N, H)."""
    # BEGIN SOLUTION
    return (x @ w_ih.T + b_ih + h @ w_hh.T + b_hh).tanh()
    # END SOLUTION

# %%
tn.check("12.rnn_step")

# %% [markdown]
# The check ran five steps, one after the other, and compared the gradients of the weights with measured slopes. To get
# them, autograd went back through all five: *backpropagation through time*. For autograd that is nothing new. A network
# that reads ten letters is a network with ten layers, whose weights happen to be the same.
#
# ## Why it forgets
#
# **Predict:** from lesson 11 you know what happens to gradients in a stack of 33 layers. What will happen over 50
# letters, where all layers have the *same* weights?
#
# Let us measure: how much does the last output change, if an input $k$ steps earlier does? `nn.RNN` runs the step over
# whole sequences. To see more than one case, its weights $W_h$ are also taken four times as large.

# %%
LENGTH = 50


def slopes_by_lag(layer):
    """How long the gradient of the last output is by the input 0, 1, 2, ... steps before."""
    tn.manual_seed(0)
    x = tn.randn(LENGTH, 16, 8).requires_grad_()
    layer(x)[0][-1].sum().backward()
    return x.grad.square().sum((1, 2)).sqrt().numpy()[::-1]


def rnn(factor):
    tn.manual_seed(1)
    layer = tn.nn.RNN(8, 32)
    with tn.no_grad():
        layer.weight_hh_l0.mul_(factor)
    return layer


fig, ax = plt.subplots()
for factor, style in ((1, "-"), (4, "--")):
    ax.semilogy(slopes_by_lag(rnn(factor)), style, label=f"RNN, weights times {factor}")
ax.set(xlabel="how many steps before the end", ylabel="length of the gradient",
       title="What an earlier input still means for the end")
ax.legend()
plt.show()

# %% [markdown]
# With the weights as they are drawn the gradient **vanishes**: of what was ten letters ago nothing can be learned. With
# larger weights it **explodes**: a step of descent throws the weights anywhere. In between there is no comfortable
# place, for the same factor is taken to the power of the length.
#
# ## Against explosions: clipping
#
# An exploding gradient points in a good direction; it is only too long. So shorten it. Put the gradients of all weights
# into one long row, and measure its length (its *norm*). If it is greater than allowed, multiply **all** of them by the
# same number:
#
# $$g \leftarrow g \cdot \min\left(1, \frac{\text{most}}{\sqrt{\sum g^2}}\right)$$
#
# ## Exercise 2: clip by norm

# %%
@tn.exercise("12.clip_by_norm")
def clip_by_norm(gradients, most):
    """gradients: a list of arrays. The same times one number, so that they have together a length of at most `most`."""
    # BEGIN SOLUTION
    length = np.sqrt(sum((g * g).sum() for g in gradients))
    return [g * min(1.0, most / length) if length > 0 else g for g in gradients]
    # END SOLUTION

# %%
tn.check("12.clip_by_norm")

# %% [markdown]
# ## Against vanishing: gates
#
# In lesson 11 the remedy was a path on which nothing is multiplied: $y = x + f(x)$. The same idea, found 18 years
# earlier, in time: beside the notes $h$ keep a **cell** $c$, which is passed on and *added to*:
#
# $$c' = f \cdot c + i \cdot g$$
#
# $g$ is what is new. $i$ and $f$ are **gates**, numbers between 0 and 1, one for each number of the cell: the *input
# gate* says how much of the new is written, the *forget gate* how much of the old is kept. Where $f = 1$ and $i = 0$ a
# number stays as it is, for as many steps as you like, and so does its gradient. A third gate says how much of the cell
# is shown:
#
# $$h' = o \cdot \tanh(c')$$
#
# The gates are computed as an RNN computes its state, each with weights of its own, from $x$ and $h$:
#
# $$i, f, o = \text{sigmoid}(W x + b + W' h + b') \qquad g = \tanh(\text{the same, with weights of its own})$$
#
# ($\text{sigmoid}(z) = 1 / (1 + e^{-z})$ lies between 0 and 1.) This is **long short-term memory**, LSTM.
#
# ## Exercise 3: one step of an LSTM
#
# The four parts are computed in one go: `w_ih` is $(4H, I)$, with the rows for $i$, $f$, $g$ and $o$ one below the
# other, in this order; `w_hh` likewise. `z.chunk(4, -1)` cuts a tensor into four along its last axis.

# %%
@tn.exercise("12.lstm_step")
def lstm_step(x, h, c, w_ih, w_hh, b_ih, b_hh):
    """The next state and the next cell, (h, c)."""
    # BEGIN SOLUTION
    #? i, f, g, o = ...
    #? c = ...
    #? return ..., c
    i, f, g, o = (x @ w_ih.T + b_ih + h @ w_hh.T + b_hh).chunk(4, -1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c
    # END SOLUTION

# %%
tn.check("12.lstm_step")

# %% [markdown]
# Does it remember? As it is drawn, each forget gate is half open. But it *can* be open, and it learns to be; for the
# picture, one LSTM gets a bias of 4 there. Both run on **your** step: `tn.use` puts it into `nn.LSTM`.

# %%
tn.use(rnn_step)
tn.use(lstm_step)


def lstm(forget):
    tn.manual_seed(1)
    layer = tn.nn.LSTM(8, 32)
    with tn.no_grad():
        layer.bias_ih_l0[32:64] += forget  # the rows of f
    return layer


fig, ax = plt.subplots()
ax.semilogy(slopes_by_lag(rnn(1)), "-", color="0.6", label="RNN")
ax.semilogy(slopes_by_lag(lstm(0)), "--", label="LSTM, as drawn")
ax.semilogy(slopes_by_lag(lstm(4)), ":", linewidth=3, label="LSTM, forget gates open")
ax.set(xlabel="how many steps before the end", ylabel="length of the gradient",
       title="An open gate lets the past through")
ax.legend()
plt.show()

# %% [markdown]
# tinynet's own layers do the same sums for all steps in one piece of compiled code. How much does that save, and do
# they agree with yours?

# %%
import time

layer, x = lstm(0), tn.randn(LENGTH, 16, 8)


def timed(function):
    """The result, and the best of three times in milliseconds."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        result = function()
        times.append(time.perf_counter() - start)
    return result, min(times) * 1e3


mine, took_mine = timed(lambda: layer(x)[0])
tn.use(None)
theirs, took_theirs = timed(lambda: layer(x)[0])
difference = (mine - theirs).abs().max().item()
print(f"yours {took_mine:.1f} ms, tinynet's {took_theirs:.1f} ms; they differ by {difference:.0e}")

# %% [markdown]
# ## Read the real one
#
# Here is the step inside tinynet's plain kernel. It writes the gates over the sums they are made of, to save memory.
# Find your three lines:

# %%
import inspect

from tinynet.kernels.reference import recurrent

print(inspect.getsource(recurrent.lstm_step))

# %% [markdown]
# ## Learn the names
#
# The network: each letter gets a row of learned numbers (`nn.Embedding` is a table of such rows); an RNN or an LSTM
# reads them; a linear layer makes 27 scores of each state. The Trainer clips with your function.

# %%
nn, F = tn.nn, tn.nn.functional


class Reader(nn.Module):
    """Letters (N, T) -> scores for the next letter at each place (N, T, 27)."""

    def __init__(self, recurrent):
        super().__init__()
        self.letters = nn.Embedding(27, 16)
        self.recurrent = recurrent(16, 96, batch_first=True)
        self.scores = nn.Linear(96, 27)

    def read(self, letters, state=None):
        """The scores and the state after the last letter."""
        out, state = self.recurrent(self.letters(letters), state)
        return self.scores(out), state

    def forward(self, letters):
        return self.read(letters)[0]


def loss(scores, following):
    """The cross-entropy, over all places where a letter is asked for."""
    return F.cross_entropy(scores.reshape(-1, 27), following.reshape(-1), ignore_index=-100)


tn.use(clip_by_norm)
MODELS, CURVES = {}, {}
for name, layer in (("RNN", nn.RNN), ("LSTM", nn.LSTM)):
    tn.manual_seed(0)
    MODELS[name] = Reader(layer)
    trainer = tn.Trainer(MODELS[name], loss, tn.optim.Adam(MODELS[name].parameters(), lr=5e-3), clip_norm=1.0)
    CURVES[name] = trainer.fit(*train, epochs=tn.learn.sized(ci=2, laptop=8), batch_size=64,
                               validation_data=held_out).history
tn.use(None)

# %%
fig, ax = plt.subplots()
for (name, curve), style in zip(CURVES.items(), ("o-", "s--"), strict=True):
    ax.plot(range(1, len(curve["val_loss"]) + 1), curve["val_loss"], style, label=name)
ax.axhline(table_loss, color="0.5", linestyle=":", label="table of pairs")
ax.set(xlabel="epoch", ylabel="loss on names held out", title="Both know more than the last letter")
ax.legend()
plt.show()
for name, curve in CURVES.items():
    best = min(curve["val_loss"])
    print(f"{name:5} loss {best:.3f}: as unsure as among {np.exp(best):.1f} letters")

# %% [markdown]
# Names are short, so the RNN is not far behind; with words and sentences it would be. What does the LSTM expect after
# each letter of a name? Each row is the beginning read so far; the darker, the likelier.

# %%
def chances(model, start):
    """The probabilities of the next letter after each letter of the start, (len(start) + 1, 27)."""
    with tn.no_grad():
        return model(tn.tensor([[0, *(LETTERS.index(c) for c in start)]]))[0].softmax(-1).numpy()


word = "emmanuel"
p = chances(MODELS["LSTM"], word)
fig, ax = plt.subplots(figsize=(7, 3.3))
ax.imshow(p, cmap="Greys", vmin=0, vmax=0.8, aspect="auto")
for k, c in enumerate(word + "."):
    ax.add_patch(plt.Rectangle((LETTERS.index(c) - 0.5, k - 0.5), 1, 1, fill=False, edgecolor="#d95f0e", linewidth=2))
ax.set(xticks=range(27), xticklabels=list(LETTERS), yticks=range(len(word) + 1), xlabel="next letter",
       yticklabels=[word[:k] or "(start)" for k in range(len(word) + 1)],
       title="What it expects; framed: what comes (the dot is the end)")
ax.grid(False)
plt.show()
after_m, after_emm = table[LETTERS.index("m")], chances(MODELS["LSTM"], "emm")[-1]
print(f"a after m, by the table: {after_m[1]:.0%}; a after emm, by the LSTM: {after_emm[1]:.0%}")

# %% [markdown]
# ## Invent names
#
# Give it the dot, and it says how likely each first letter is. Draw one; give it that; and so on, until it draws the
# dot. How bold it is, is yours to choose: divide the scores by a **temperature** $T$ before the softmax.
#
# $$p_k = \frac{e^{s_k / T}}{\sum_j e^{s_j / T}}$$
#
# **Predict:** what comes at $T = 0.1$? What at $T = 2$?
#
# ## Exercise 4: sample
#
# Draw a class. `rng.choice(n, p=probabilities)` draws from $0, \dots, n - 1$. Remember lesson 6: large scores.

# %%
@tn.exercise("12.sample")
def sample(scores, temperature, rng):
    """A number from 0 to len(scores) - 1, drawn with the probabilities softmax(scores / temperature)."""
    # BEGIN SOLUTION
    z = np.exp((scores - scores.max()) / temperature)
    return rng.choice(len(scores), p=z / z.sum())
    # END SOLUTION

# %%
tn.check("12.sample")

# %%
def invent(model, temperature, rng):
    """A name, letter by letter."""
    name, letter, state = "", 0, None
    with tn.no_grad():
        while len(name) < 20:
            scores, state = model.read(tn.tensor([[letter]]), state)
            letter = int(sample(scores[0, 0].numpy().astype(float), temperature, rng))
            if letter == 0:
                break
            name += LETTERS[letter]
    return name


known = set(names)
for temperature in (0.1, 0.5, 1.0, 2.0):
    rng = np.random.default_rng(0)
    made = [invent(MODELS["LSTM"], temperature, rng) for _ in range(10)]
    print(f"T = {temperature}: ", ", ".join(name + "*" * (name in known) for name in made))
rng = np.random.default_rng(1)
made = [invent(MODELS["LSTM"], 0.8, rng) for _ in range(tn.learn.sized(ci=20, laptop=200))]
print(f"(* is a real one.) Of {len(made)} names at T = 0.8, {np.mean([n in known for n in made]):.0%} are real")

# %% [markdown]
# Cold, it repeats what is most likely. Hot, it rolls dice. In between it says names that nobody gave it and that could
# be: it has learned how names are made, not the list.
#
# ## What would break?
#
# 1. Train the RNN with its weights times 4 and without clipping. What does the loss do?
# 2. Set the forget gates of the LSTM to 0, for good. What kind of network is left?
# 3. In `invent`, leave out the state: call `model.read(letter)` each time. Which of the two simple ways of playing do
#    you get?
# 4. Padding: what if `following` were 0 after the end of a name, not -100? Would the loss be better or worse?
#
# <details><summary>Answers</summary>
#
# 1. It jumps about: some steps are thousands of times too long. With clipping the same start learns.
# 2. One that sees the last letter and the state $h$, but has no cell to keep anything: an RNN with gates, which forgets
#    as an RNN does.
# 3. The table of pairs: only the last letter counts.
# 4. Better, and worth nothing: most places would be padding, where saying "dot" is always right. A loss can only be
#    compared where the same is asked.
#
# </details>
#
# ## Further reading
#
# - S. Hochreiter and J. Schmidhuber, *Long short-term memory*, Neural Computation 9 (1997); F. Gers, J. Schmidhuber and
#   F. Cummins, *Learning to forget* (2000): the forget gate came later.
# - R. Pascanu, T. Mikolov and Y. Bengio, *On the difficulty of training recurrent neural networks* (2013): vanishing,
#   exploding, clipping.
# - A. Karpathy, *The unreasonable effectiveness of recurrent neural networks* (2015), and *makemore* (2022): these
#   names.
# - C. Olah, *Understanding LSTM networks* (2015): the gates in pictures.
# - R. Jozefowicz, W. Zaremba and I. Sutskever, *An empirical exploration of recurrent network architectures* (2015):
#   why the forget gate should start open.
