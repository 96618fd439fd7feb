# %% [lesson]
# title: Networks with a hidden layer, and how to train them
# goal: Build the network that bends, start it with the right weights, and write the two optimisers that nearly
#   everybody uses, momentum and Adam. Then let the engine train with yours.
# time: 75 minutes
# needs: Lessons 5 (the training loop) and 6 (softmax and cross-entropy)
# seconds: ci 7, laptop 15

# %% [markdown]
# ## Predict first
#
# Two classes of points, two numbers each. The classifier of lesson 6 gives each class a score, $w \cdot x + b$, and
# picks the higher one. **Sketch the border that it will draw. About how many points will be on the right side?**

# %%
def spirals(n, rng):
    """n points on two arms of a spiral, and which arm each is on."""
    arm, turn = rng.integers(0, 2, n), 6.2 * np.sqrt(rng.uniform(0.02, 1, n))
    angle = turn + np.pi * arm
    points = np.stack([turn * np.cos(angle), turn * np.sin(angle)], axis=1) / 3.5 + rng.normal(scale=0.05, size=(n, 2))
    return tn.tensor(points, dtype=tn.float32), tn.tensor(arm)


def train(model, x, y, steps, lr=0.01):
    optimizer = tn.optim.Adam(model.parameters(), lr=lr)  # you will write this one yourself, below
    for _ in range(steps):
        loss = tn.nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return (model(x).argmax(axis=1) == y).float().mean().item()


def draw_border(ax, model, x, y, title):
    """The points, and grey where the model says class 1."""
    side = np.linspace(-2.1, 2.1, 100)
    grid = tn.tensor(np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2), dtype=tn.float32)
    with tn.no_grad():
        says = model(grid).argmax(axis=1).reshape(100, 100).numpy()
    ax.contourf(side, side, says, levels=[-0.5, 0.5, 1.5], colors=["white", "0.8"])
    for arm, marker, color in ((0, "o", "#08306b"), (1, "x", "#d95f0e")):
        ax.plot(*x[y == arm].numpy().T, marker, color=color, markersize=3, linestyle="")
    ax.set(title=title, aspect="equal", xlabel="first number", ylabel="second number")
    ax.grid(False)


x, y = spirals(300, np.random.default_rng(0))
tn.manual_seed(0)
line = tn.nn.Linear(2, 2)
right = train(line, x, y, 200)
fig, ax = plt.subplots(figsize=(3.8, 3.8))
draw_border(ax, line, x, y, f"A straight border: {right:.0%} are right")
plt.show()

# %% [markdown]
# ## A hidden layer
#
# A sum of weighted features can only draw straight borders. So put something between the features and the scores: new
# features, made of the old ones, *and found by the training itself*. Each is a weighted sum, cut off below $0$:
#
# $$h = \max(0,\ W x + b) \qquad \text{(ReLU, as in lesson 3)}$$
#
# Then the scores are made from $h$ as they were made from $x$ before. The numbers $h$ are called a **hidden layer**,
# and the whole a **multilayer perceptron**, or MLP.
#
# Why the $\max$? **Predict:** what kind of border can two layers *without* it draw?

# %%
rng = np.random.default_rng(0)
w1, w2 = rng.normal(size=(32, 2)), rng.normal(size=(2, 32))
point = rng.normal(size=2)
print("two layers without max:  ", w2 @ (w1 @ point))
print("one layer, of w2 @ w1:   ", (w2 @ w1) @ point)
print("two layers with max:     ", w2 @ np.maximum(w1 @ point, 0))

# %% [markdown]
# Without it, two layers are one: $W_2 (W_1 x) = (W_2 W_1) x$, a straight border again, however many layers there are.
# The kink is what makes the difference. One hidden number is a **hinge**, flat on one side of its kink and rising on
# the other. Add some hinges, and you have a line with bends wherever you want them:

# %%
s = np.linspace(-2, 2, 200)
hinges = [(1.0, 1.5, 1.5), (-2.5, 1.0, 0.5), (3.0, 1.0, -0.5), (-2.5, 1.0, -1.2)]  # height, slope, shift
parts = [height * np.maximum(0, slope * s + shift) for height, slope, shift in hinges]
fig, axes = plt.subplots(1, 2, figsize=(8, 2.8))
for k, part in enumerate(parts):
    axes[0].plot(s, part, label=f"hinge {k + 1}")
axes[0].legend(fontsize=8)
axes[0].set(xlabel="x", ylabel="h times its weight", title="Four hinges ...")
axes[1].plot(s, sum(parts), color="black")
axes[1].set(xlabel="x", ylabel="their sum", title="... and their sum: a line with four bends")
plt.show()

# %% [markdown]
# With enough hinges, any curve can be approached as near as you like.
#
# ## Exercise 1: the hidden layer
#
# For a batch: `x` is $(n, \text{in})$, a row for each example. `w` is $(\text{out}, \text{in})$: a row for each hidden
# number, which is how tinynet and PyTorch keep it. `b` is $(\text{out},)$. The result is $(n, \text{out})$. Tensors
# have `.T` and `.relu()`, and gradients will flow through what you write.

# %%
@tn.exercise("07.hidden_layer")
def hidden_layer(x, w, b):
    """max(0, the weighted sums of x): (n, in), weights (out, in) and bias (out,) make (n, out)."""
    # BEGIN SOLUTION
    return (x @ w.T + b).relu()
    # END SOLUTION

# %%
tn.check("07.hidden_layer")

# %% [markdown]
# Now as a model. A `Module` is a thing with parameters and a `forward`; `nn.Linear` holds the weights and the bias of
# one layer. Yours does the computing:

# %%
from itertools import pairwise


class MLP(tn.nn.Module):
    """Layers of the given sizes, with a ReLU between them."""

    def __init__(self, *sizes):
        super().__init__()
        self.layers = tn.nn.ModuleList([tn.nn.Linear(m, n) for m, n in pairwise(sizes)])

    def forward(self, x):
        *hidden, last = self.layers
        for layer in hidden:
            x = hidden_layer(x, layer.weight, layer.bias)
        return last(x)


fig, axes = plt.subplots(1, 3, figsize=(9.6, 3.4))
for ax, sizes in zip(axes, ((2, 3, 2), (2, 12, 2), (2, 24, 24, 2)), strict=True):
    tn.manual_seed(1)
    model = MLP(*sizes)
    right = train(model, x, y, tn.learn.sized(ci=200, laptop=800), lr=0.02)
    draw_border(ax, model, x, y, f"sizes {sizes}: {right:.0%}")
plt.show()

# %% [markdown]
# Three hinges: a border with a few bends. With more of them the border follows the spiral. In the first two you can
# count the bends.
#
# ## Where to start
#
# In lesson 5 all weights started at $0$. **Predict:** what happens if those of an MLP do? Or if they all start at the
# same number, $0.1$?

# %%
for value in (0.0, 0.1):
    model = MLP(2, 24, 2)
    for p in model.parameters():
        tn.nn.init.constant_(p, value)
    right = train(model, x, y, 200)
    different = len(np.unique(model.layers[0].weight.detach().numpy().round(4), axis=0))
    print(f"all weights {value}: after training, {different} of 24 hidden numbers are different; {right:.0%} right")

# %% [markdown]
# Hidden numbers with equal weights get equal gradients, so they stay equal for ever: 24 copies of one hinge. (And from
# $0$ none moves at all.) They must start *different*, so they start at **random**. But how large?
#
# ## How large?
#
# Each hidden number is a sum of $n$ products, $\sum_j w_j x_j$. Random signs partly cancel, and the mean square of
# such a sum is $n$ times that of one product:
#
# $$\text{mean of } \left(\sum_{j=1}^{n} w_j x_j\right)^2 = n \cdot \text{var}(w) \cdot \text{mean of } x^2$$
#
# The ReLU then sets one half of them to $0$, which halves the mean square. For it to come out as it went in:
#
# $$\frac{n}{2} \cdot \text{var}(w) = 1 \qquad \Rightarrow \qquad \text{var}(w) = \frac{2}{n}$$
#
# This is **He initialisation** (K. He, 2015). A factor a little off does not matter in one layer. But it is there
# again in the next: with half the weights, $20$ layers make $2^{20}$, a million.
#
# ## Exercise 2: He's weights
#
# Draw them from a normal distribution with the right *standard deviation*, which is the root of the variance. `fan_in`
# is $n$, the number of inputs that each sum has; `rng` is NumPy's random generator, with `rng.normal(size=...)`.

# %%
@tn.exercise("07.he")
def he(fan_out, fan_in, rng):
    """Random weights (fan_out, fan_in) that keep the mean square through a ReLU layer."""
    # BEGIN SOLUTION
    return rng.normal(size=(fan_out, fan_in)) * np.sqrt(2 / fan_in)
    # END SOLUTION

# %%
tn.check("07.he")

# %%
width, depth = 256, 20
fig, ax = plt.subplots()
for factor, name in ((0.5, "half of He's"), (1.0, "He's"), (2.0, "twice He's")):
    rng = np.random.default_rng(0)
    h, sizes = rng.normal(size=(width, 200)), []
    for _ in range(depth):
        h = np.maximum(factor * he(width, width, rng) @ h, 0)
        sizes.append(np.sqrt(np.mean(h**2)))
    ax.semilogy(range(1, depth + 1), sizes, label=f"{name}: {sizes[-1]:.2g} after {depth} layers")
ax.set(xlabel="layer", ylabel="size of the hidden numbers (RMS)", xticks=range(0, depth + 1, 5),
       title="Only one size of weights keeps the numbers alive")
ax.legend()
plt.show()

# %% [markdown]
# On the way back the gradients go through the same matrices, and die or explode in the same way. tinynet has this as
# `nn.init.kaiming_normal_` (Kaiming is He's first name). The heart of it:

# %%
import inspect

from tinynet.nn import init

print(inspect.getsource(init._kaiming_std))

# %% [markdown]
# ## A narrow valley
#
# Now to the walk itself. You saw in lesson 5 what goes wrong: where the valley is steep across and flat along, the
# step must be small for the steep direction, and takes for ever in the flat one. Features can be standardised. The
# inside of a network cannot, so the *walk* must get better. Here is such a valley, forty times steeper across than
# along:

# %%
STEEP = np.array([1.0, 40.0])


def height(w):
    return 0.5 * (STEEP * w**2).sum(axis=-1)


def slope(w):
    return STEEP * w


def draw_path(ax, path, title):
    a, b = np.linspace(-4.6, 0.8, 80), np.linspace(-1.1, 1.1, 80)
    heights = height(np.stack(np.meshgrid(a, b), axis=-1))
    ax.contour(a, b, heights, levels=[0.1, 0.5, 2, 5, 10, 20], colors="0.7", linewidths=1)
    path = np.array(path)
    ax.plot(*path.T, "o-", color="#08306b", markersize=3, linewidth=1)
    ax.plot(0, 0, "k*", markersize=10)
    ax.set(xlabel="first weight", title=f"{title}: height {height(path[-1]):.2g}", ylim=(-1.1, 1.1))


start = np.array([-4.3, 0.7])
path = [start]
for _ in range(40):
    path.append(path[-1] - 0.045 * slope(path[-1]))
fig, ax = plt.subplots(figsize=(6.4, 2.8))
draw_path(ax, path, "40 steps of plain descent")
ax.set(ylabel="second weight")
plt.show()

# %% [markdown]
# ## Momentum
#
# Think of a ball, not of a walker. It keeps its speed $v$, less some friction, and the slope adds to it. Across the
# valley the slopes alternate in sign, and cancel. Along the valley they all point the same way, and add up.
#
# $$v \leftarrow \beta v + g \qquad\qquad w \leftarrow w - \text{lr} \cdot v$$
#
# With $\beta = 0.9$, a slope that stays the same is worth $1 + 0.9 + 0.81 + \dots = 10$ times as much.
#
# ## Exercise 3: momentum
#
# One step. Return the new `w` and the new `v`, and leave the old ones as they are.

# %%
@tn.exercise("07.momentum_step")
def momentum_step(w, g, v, lr, beta=0.9):
    """One step of descent with momentum: (w, v), where g is the slope at w, and v was 0 in the beginning."""
    # BEGIN SOLUTION
    #? return ..., ...
    v = beta * v + g
    return w - lr * v, v
    # END SOLUTION

# %%
tn.check("07.momentum_step")

# %% [markdown]
# ## Adam
#
# The other idea: a rate of its own for each weight. Where slopes have been large, take smaller steps; where they have
# been small, larger ones. So keep two running means, of the slope and of its square:
#
# $$m \leftarrow \beta_1 m + (1 - \beta_1)\, g \qquad\qquad v \leftarrow \beta_2 v + (1 - \beta_2)\, g^2$$
#
# Both begin at $0$, so in the first steps they are too small: after one step, $m$ is only $0.1\,g$. At step $t$
# exactly the share $1 - \beta^t$ of the full weight is there, so divide by it:
#
# $$\hat{m} = \frac{m}{1 - \beta_1^t} \qquad\qquad \hat{v} = \frac{v}{1 - \beta_2^t}$$
#
# And then a step in units of the typical slope. The tiny $\varepsilon$ is there so that nothing is divided by $0$:
#
# $$w \leftarrow w - \text{lr} \cdot \frac{\hat{m}}{\sqrt{\hat{v}} + \varepsilon}$$
#
# **Predict:** in the very first step, how far does a weight move whose slope is $1000$? And one whose slope is
# $0.001$?
#
# ## Exercise 4: Adam

# %%
@tn.exercise("07.adam_step")
def adam_step(w, g, m, v, t, lr, beta1=0.9, beta2=0.999, eps=1e-8):
    """Step number t = 1, 2, ... of Adam: the new (w, m, v), where g is the slope at w."""
    # BEGIN SOLUTION
    #? m = ...
    #? v = ...
    #? return ..., m, v
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_full, v_full = m / (1 - beta1**t), v / (1 - beta2**t)
    return w - lr * m_full / (np.sqrt(v_full) + eps), m, v
    # END SOLUTION

# %%
tn.check("07.adam_step")

# %%
w, m, v = adam_step(np.zeros(2), np.array([1000.0, 0.001]), np.zeros(2), np.zeros(2), t=1, lr=0.01)
print("slopes 1000 and 0.001: the weights move to", w)

# %% [markdown]
# Both move by the rate, $0.01$: only the sign of the slope counts at first. Now all three in the valley, $40$ steps
# each:

# %%
by_momentum, by_adam = [start], [start]
v = m_adam = v_adam = np.zeros(2)
for t in range(1, 41):
    w, v = momentum_step(by_momentum[-1], slope(by_momentum[-1]), v, lr=0.02, beta=0.8)
    by_momentum.append(w)
    w, m_adam, v_adam = adam_step(by_adam[-1], slope(by_adam[-1]), m_adam, v_adam, t, lr=0.2, beta2=0.99)
    by_adam.append(w)
fig, axes = plt.subplots(3, 1, figsize=(6.4, 6.4), sharex=True)
for ax, steps, title in zip(axes, (path, by_momentum, by_adam), ("Plain", "Momentum", "Adam"), strict=True):
    draw_path(ax, steps, title)
    ax.set(ylabel="second weight", xlabel="first weight" if ax is axes[-1] else "")
plt.show()

# %% [markdown]
# Plain descent jumps from side to side and creeps along. Momentum swings through and arrives. Adam makes steps of like
# length in both directions, so it goes diagonally at first, whatever the shape of the valley. Its $m$ is a momentum,
# too: it overshoots, and turns.
#
# ## Digits
#
# Is it so for a real network? `tn.use` puts your two steps into tinynet's `SGD` and `Adam`. The network is the same
# each time, and starts at the same weights:

# %%
from tqdm.auto import tqdm

tn.use(momentum_step)
tn.use(adam_step)
images, labels = tn.data.datasets.digits(train=True).tensors
test_images, test_labels = tn.data.datasets.digits(train=False).tensors
flat, test_flat = images.reshape(len(images), 64), test_images.reshape(len(test_images), 64)
optimizers = {"plain, lr 0.1": lambda p: tn.optim.SGD(p, lr=0.1),
              "your momentum, lr 0.1": lambda p: tn.optim.SGD(p, lr=0.1, momentum=0.9),
              "your Adam, lr 0.003": lambda p: tn.optim.Adam(p, lr=0.003)}
fig, ax = plt.subplots()
for name, make in tqdm(optimizers.items(), desc="optimisers"):
    tn.manual_seed(0)
    model = MLP(64, 64, 10)
    trainer = tn.Trainer(model, tn.nn.CrossEntropyLoss(), make(model.parameters()), metrics=["accuracy"])
    history = trainer.fit(flat, labels, epochs=tn.learn.sized(ci=4, laptop=20), verbose=False)
    found = trainer.evaluate(test_flat, test_labels)
    losses = history.history["loss"]
    ax.semilogy(range(1, len(losses) + 1), losses, label=f"{name}: {found['accuracy']:.1%} of new digits")
ax.set(xlabel="epoch", ylabel="loss in training", title="The same network, three ways to walk")
ax.legend(loc="lower left")
plt.show()
tn.use(None)

# %% [markdown]
# Which is best? On this problem, with these rates, you see it. (The rates are not quite fair: with $\beta = 0.9$ a
# slope counts ten times.) In general nobody knows beforehand. Adam forgives a badly chosen rate, which is why it is
# tried first. Momentum, with a rate chosen well, often ends at a slightly better place.
#
# The engine's own lines for both are in `tinynet/kernels/reference/optim.py`. Adam's options (`decoupled`, `maximize`,
# `largest`) aside, they are yours:

# %%
from tinynet.kernels.reference import optim

print(inspect.getsource(optim.adam))

# %% [markdown]
# ## More digits
#
# If MNIST is on this machine (60,000 images of $28 \times 28$; in the folder that `TINYNET_DATA` names), the same
# network reads it. Nothing needs to change but the size of the first layer:

# %%
try:
    mnist, mnist_test = (tn.data.datasets.mnist(train=part, download=False).tensors for part in (True, False))
except RuntimeError:
    print("not on this machine: nothing to do")
else:
    n = tn.learn.sized(ci=1000, laptop=10_000, full=60_000)
    model = MLP(784, 128, 10)
    trainer = tn.Trainer(model, tn.nn.CrossEntropyLoss(), tn.optim.Adam(model.parameters()), metrics=["accuracy"])
    trainer.fit(mnist[0][:n].flatten(1), mnist[1][:n], epochs=tn.learn.sized(ci=2, laptop=4, full=8), batch_size=64)
    found = trainer.evaluate(mnist_test[0].flatten(1), mnist_test[1], batch_size=500)
    print(f"trained with {n:,} images: {found['accuracy']:.1%} of {len(mnist_test[1]):,} new ones are right")

# %% [markdown]
# ## What would break?
#
# 1. In Adam you leave out the two divisions by $1 - \beta^t$. How far does a weight move in the first step, with
#    $\beta_1 = 0.9$ and $\beta_2 = 0.999$?
# 2. In momentum you set $\beta = 1$. What does the ball do?
# 3. You train the spirals with `MLP(2, 24, 24, 2)`, but forget the ReLU. How many points are right?
# 4. The accuracy in training is $100\%$, on new digits less. Is that a bug?
#
# <details><summary>Answers</summary>
#
# 1. $0.1 / \sqrt{0.001} \approx 3.2$ times the rate. Then the steps get out of hand, in the very beginning, when the
#    network knows least.
# 2. No friction: it rolls through the valley and back, for ever. With the steps of a computer it may even gain speed.
# 3. As many as with one straight line: it is one.
# 4. No. The network has more weights than there are images, and can learn some of them by heart. What to do about that
#    is lesson 10.
#
# </details>
#
# ## Further reading
#
# - M. Nielsen, *Neural Networks and Deep Learning*, chapter 4: a visual proof that networks can compute any function.
# - K. He and others, *Delving deep into rectifiers* (2015), section 2.2: the two lines of algebra above, for every
#   layer.
# - G. Goh, *Why momentum really works*, Distill (2017): with a valley that you can steer through.
# - D. Kingma and J. Ba, *Adam: a method for stochastic optimization* (2015), sections 2 and 3.
# - I. Goodfellow, Y. Bengio and A. Courville, *Deep Learning*, chapters 6 and 8. Free online.
