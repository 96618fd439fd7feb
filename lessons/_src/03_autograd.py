# %% [lesson]
# title: Autograd from scratch
# goal: Build the machine that finds the slope of anything you compute, by every number in it at once. Train a network
#   with yours, then read tinynet's own and find the same five lines.
# time: 75 minutes
# needs: Lesson 1 (what a slope is), lesson 2 (shapes); Python classes; products of matrices
# seconds: ci 5, laptop 6

# %% [markdown]
# ## Predict first
#
# $$y = a \cdot b + a \qquad \text{with } a = 2,\ b = 3$$
#
# If $a$ rises by $0.01$, by how much does $y$ rise? Careful: $a$ is there twice.

# %%
def y_of(a, b):
    return a * b + a


print(f"y rises by {y_of(2.01, 3) - y_of(2, 3):.4f}")

# %% [markdown]
# <details><summary>Why four times as much?</summary>
#
# $a$ reaches $y$ in two ways. Through the product, where it is multiplied by $b = 3$, it adds $0.03$. Directly, it adds
# $0.01$. Together $0.04$.
#
# </details>
#
# That was all of it. Draw the computation as a **graph**, an arrow from each value to what is made of it, and the rule
# is:
#
# > **Along a path, slopes multiply. Over several paths, they add.**
#
# This is the *chain rule*. A network is the same picture with a few million values, and a program that follows the rule
# through the picture is called **autograd**. You will write it in about forty lines. It has three parts: a *rule* for
# each kind of step, an *order* to go in, and the *walk*.
#
# ## Part 1: rules
#
# Think of one step, $c = a \cdot b$, in the middle of a long computation which ends in one number $y$. Somebody has
# already found $g$, the slope of $y$ by $c$: if $c$ rises by $0.01$, $y$ rises by $0.01\,g$. What are the slopes of $y$
# by $a$ and by $b$? If $a$ rises by $0.01$, $c$ rises by $0.01\,b$, and so $y$ by $0.01\,b\,g$. So the slope by $a$ is
#
# $$g_a = g \cdot b$$
#
# A **rule** takes $g$ and the inputs of the step, and gives a slope for each input. Slopes of $y$ are also called
# *gradients*. Two rules are written for you:

# %%
def add_rule(g, a, b):  # c = a + b: whatever raises a or b raises c as much
    return g, g


def relu_rule(g, a):  # c = a where a is positive, 0 elsewhere: there a does nothing
    return (g * (a > 0),)

# %% [markdown]
# ## Exercise 1: the rule of a product
#
# All values are NumPy arrays of one shape, and `*` goes element by element.

# %%
@tn.exercise("03.mul_rule")
def mul_rule(g, a, b):
    """The gradients of a and of b, where c = a * b and the gradient of c is g."""
    # BEGIN SOLUTION
    #? return ..., ...
    return g * b, g * a
    # END SOLUTION

# %%
tn.check("03.mul_rule")

# %% [markdown]
# ## Exercise 2: the rule of a matrix product
#
# This one step is most of the work of any network. With $C = A B$ each element of $C$ is a sum of products:
#
# $$C_{ij} = \sum_k A_{ik} B_{kj}$$
#
# Follow one element, $A_{ik}$. It reaches every $C_{ij}$ of row $i$, and each time it is multiplied by $B_{kj}$. Slopes
# multiply along a path, and add over the paths:
#
# $$(g_A)_{ik} = \sum_j g_{ij} B_{kj}$$
#
# That is itself a matrix product. Of which two matrices? Let the shapes help you: a gradient has the shape of what it
# belongs to. Where $A$ is $2 \times 3$ and $B$ is $3 \times 4$, then $g$ is $2 \times 4$, like $C$. How do you get $2
# \times 3$ out of $g$ and $B$?

# %%
@tn.exercise("03.matmul_rule")
def matmul_rule(g, a, b):
    """The gradients of the matrices a and b, where c = a @ b and the gradient of c is g."""
    # BEGIN SOLUTION
    #? return ..., ...
    return g @ b.T, a.T @ g
    # END SOLUTION

# %%
tn.check("03.matmul_rule")

# %% [markdown]
# The check did not look at your formula. It moved each element of $A$ and $B$ a little up and down, as you did in
# lesson 1, and compared the slopes it measured with the ones you gave.
#
# ## Exercise 3: the rule of a sum
#
# At the end of each computation everything is added up to one number: $c = \sum_{ij} a_{ij}$. The gradient $g$ that
# arrives is one number. What goes to each element?

# %%
@tn.exercise("03.sum_rule")
def sum_rule(g, a):
    """The gradient of the array a, where c = a.sum() and the gradient of c is the number g."""
    # BEGIN SOLUTION
    return np.full(a.shape, g)
    # END SOLUTION

# %%
tn.check("03.sum_rule")

# %% [markdown]
# ## Part 2: values that remember
#
# Now the graph. We want to write `y = a * b + a` as always, and have it recorded. So we make a class of values that
# remember what they were made of (`inputs`) and by which rule. Nothing else happens while we compute.

# %%
class Value:
    """An array that remembers how it was made."""

    def __init__(self, data, inputs=(), rule=None, name=""):
        self.data, self.inputs, self.rule, self.name = np.asarray(data, float), inputs, rule, name

    def __add__(self, other):
        return Value(self.data + other.data, (self, other), add_rule, "+")

    def __mul__(self, other):
        return Value(self.data * other.data, (self, other), mul_rule, "×")

    def __matmul__(self, other):
        return Value(self.data @ other.data, (self, other), matmul_rule, "@")

    def relu(self):
        return Value(np.maximum(self.data, 0), (self,), relu_rule, "relu")

    def sum(self):
        return Value(self.data.sum(), (self,), lambda g, a: (sum_rule(g, a),), "sum")

    def __repr__(self):
        return self.name


a, b = Value(2, name="a"), Value(3, name="b")
c = a * b
y = c + a
print(f"y is {y.data:g}, made by {y.name} of {y.inputs}; {y.inputs[0]} was made of {y.inputs[0].inputs}")

# %% [markdown]
# `y` knows its inputs, they know theirs, and so on back to `a` and `b`: the whole graph hangs on `y`.
#
# ## Part 3: the order
#
# Gradients flow from $y$ back. **Predict:** when may the rule of a value be called? Look at $a$ in $y = a \cdot b + a$:
# one part of its gradient comes from the sum, and one from the product, later. If $a$ had been made by a step of its
# own, and we had called that step's rule after the first part, the second part would never have got through.
#
# So: **a value passes its gradient on when it has all of it**, that is, after everything that uses it has had its turn.
# An order in which each value comes *after* what it was made of is called a **topological order**. Backwards, it is
# what we need.
#
# ## Exercise 4: a topological order
#
# Return a list of `root` and of all that it was made of, however many steps back: each once, and each after its
# `inputs`. (A value can stand in a `set`.) A function that calls itself makes this short.

# %%
@tn.exercise("03.topological_order")
def topological_order(root):
    """All values that root was made of, and root itself, each once, and after all of its inputs."""
    order, seen = [], set()
    # BEGIN SOLUTION
    #?
    #? def visit(value):
    #?     ...  # nothing, if it was seen; else its inputs first, then itself

    def visit(value):
        if value not in seen:
            seen.add(value)
            for one in value.inputs:
                visit(one)
            order.append(value)
    # END SOLUTION

    visit(root)
    return order

# %%
tn.check("03.topological_order")

# %%
print("forwards: ", *topological_order(y))
print("backwards:", *reversed(topological_order(y)))

# %% [markdown]
# ## Part 4: the walk
#
# Everything is there now. Begin with the root: its own gradient is $1$. Go through the order backwards. Call each
# value's rule with its gradient and the data of its inputs, and **add** what comes to the gradients of the inputs:
#
# $$g_{\text{input}} \mathrel{+}= \text{rule}(g_{\text{value}}, \dots)$$
#
# ## Exercise 5: the walk
#
# Return a dict, from each value to its gradient. Values without a rule (`rule is None`) are where the graph begins.

# %%
@tn.exercise("03.gradients")
def gradients(root):
    """{value: the gradient of root by that value} for root and all that it was made of."""
    found = {root: np.ones_like(root.data)}
    for value in reversed(topological_order(root)):
        # BEGIN SOLUTION
        #? ...  # value.rule(found[value], the data of each input) gives a gradient for each input
        if value.rule is None:
            continue
        parts = value.rule(found[value], *[one.data for one in value.inputs])
        for one, part in zip(value.inputs, parts, strict=True):
            found[one] = found.get(one, 0) + part
        # END SOLUTION
    return found

# %%
tn.check("03.gradients")

# %% [markdown]
# That is autograd. Ask it the question from the top of this page:

# %%
found = gradients(y)
print(f"if a rises by 0.01, y rises by {0.01 * found[a]:.2f}; if b does, by {0.01 * found[b]:.2f}")

# %% [markdown]
# Here is the walk in slow motion. Each picture is one rule later. The number at an arrow is what flows back along it,
# the number in a box is what has arrived there.

# %%
PLACES = {"a": (0, 0), "b": (0, 1), "×": (1, 1), "+": (2, 0.5)}


def flows(root):
    """What each rule sends where, in the order of the walk: (from, to, how much)."""
    found = gradients(root)
    for value in reversed(topological_order(root)):
        if value.rule is not None:
            parts = value.rule(found[value], *[one.data for one in value.inputs])
            yield [(value.name, one.name, float(part)) for one, part in zip(value.inputs, parts, strict=True)]


def draw_graph(ax, values, sent, title):
    for value in values:
        x, up = PLACES[value.name]
        arrived = [how_much for _, to, how_much in sent if to == value.name] or [1.0] * (value is values[-1])
        text = f"{value.name} = {value.data:g}" if not value.inputs else f"{value.name}  gives {value.data:g}"
        text += "\ngradient " + (" + ".join(f"{part:g}" for part in arrived) or "?")
        ax.text(x, up, text, ha="center", va="center", fontsize=9, zorder=3,
                bbox={"boxstyle": "round,pad=0.4", "facecolor": "0.85" if arrived else "white", "edgecolor": "black"})
        for one in value.inputs:
            how_much = [h for start, to, h in sent if (start, to) == (value.name, one.name)]
            (x0, y0), (x1, y1) = (x, up), PLACES[one.name]
            style = {"arrowstyle": "->", "linewidth": 2 if how_much else 1, "color": "black" if how_much else "0.7"}
            ax.annotate("", (x1, y1), (x0, y0), arrowprops=style | {"shrinkA": 32, "shrinkB": 32})
            if how_much:
                ax.text(0.45 * x0 + 0.55 * x1, 0.45 * y0 + 0.55 * y1 + 0.07, f"{how_much[0]:g}", fontweight="bold")
    ax.set(title=title, xlim=(-0.5, 2.5), ylim=(-0.35, 1.35))
    ax.axis("off")


fig, axes = plt.subplots(3, 1, figsize=(6.4, 6.6))
sent = []
for ax, step, title in zip(axes, [[], *flows(y)], ("Begin: y by itself has slope 1", "The rule of + sends 1 both ways",
                                                  "The rule of × sends b to a, and a to b"), strict=True):
    sent += step
    draw_graph(ax, topological_order(y), sent, title)
plt.show()

# %% [markdown]
# ## Is it right?
#
# Trust nothing that is not measured. Here is a small network: two matrices, a ReLU between them, and the sum of the
# squares of what comes out. Move one weight up and down, and compare.

# %%
rng = np.random.default_rng(0)
x = Value(rng.normal(size=(5, 4)), name="x")
w1, w2 = (Value(rng.normal(size=shape), name=name) for name, shape in (("w1", (4, 3)), ("w2", (3, 2))))


def network():
    out = (x @ w1).relu() @ w2
    return (out * out).sum()


def measured(weight, index, h=1e-5):
    kept, heights = weight.data[index], []
    for value in (kept + h, kept - h):
        weight.data[index] = value
        heights.append(network().data)
    weight.data[index] = kept
    return (heights[0] - heights[1]) / (2 * h)


found = gradients(network())
for weight, index in ((w1, (0, 0)), (w1, (3, 2)), (w2, (2, 0))):
    print(f"{weight.name}{list(index)}: walked {found[weight][index]:12.8f}   measured {measured(weight, index):12.8f}")

# %% [markdown]
# ## Train a network with it
#
# Real data: small images of handwritten digits, which come with tinynet. Each image is $8 \times 8$ numbers. The
# network gives ten numbers, and the largest should be that of the right digit.
#
# The network is the one you have just checked: a matrix product, a ReLU, and another matrix product. (Why the ReLU must
# be there is for lesson 7.) The **loss**, the one number to go downhill with, says how far the ten numbers are from a 1
# at the right digit and 0 elsewhere: the differences, squared and added up, as a mean over the images. Not over all
# of them: to know about where it is downhill, 32 are enough, a **batch**. When all have had their turn, that was an
# **epoch**. And each step is as in lesson 1: gradient, a little downhill, again.

# %%
def numbers(train):
    """The images as rows of 64 numbers and a 1 (so that a weight can be added to each sum), and the labels."""
    images, labels = (t.numpy() for t in tn.data.datasets.digits(train=train).tensors)
    return np.hstack([images.reshape(len(images), 64), np.ones((len(images), 1))]), labels


images, labels = numbers(train=True)
fig, axes = plt.subplots(1, 8, figsize=(6.4, 1.1))
for ax, image, label in zip(axes, images, labels, strict=False):
    ax.imshow(image[:64].reshape(8, 8), cmap="gray_r")
    ax.set(title=f"{label}")
    ax.axis("off")
plt.show()

# %%
from tqdm.auto import tqdm

epochs, batch, lr = tn.learn.sized(ci=3, laptop=20), 32, 0.2
rng = np.random.default_rng(0)
w1 = Value(rng.normal(size=(65, 32)) * 0.2, name="w1")
w2 = Value(rng.normal(size=(32, 10)) * 0.2, name="w2")
history = []
for _ in tqdm(range(epochs), desc="epochs"):
    order = rng.permutation(len(images))
    for rows in np.array_split(order, len(images) // batch):
        wanted = np.eye(10)[labels[rows]]  # 1 for the right digit, 0 for the others
        wrong = (Value(images[rows]) @ w1).relu() @ w2 + Value(-wanted)
        loss = (wrong * wrong).sum() * Value(1 / len(rows))
        found = gradients(loss)
        for w in (w1, w2):
            w.data -= lr * found[w]
        history.append(float(loss.data))

fig, ax = plt.subplots()
ax.plot(history, color="0.7", linewidth=1, label="each batch")
smooth = np.convolve(history, np.ones(40) / 40, "valid")
ax.plot(np.arange(len(smooth)) + 20, smooth, color="black", label="mean of 40")
ax.set(xlabel="step", ylabel="loss", yscale="log", title="A network learns to read digits by your own gradients")
ax.legend()
plt.show()

# %%
test_images, test_labels = numbers(train=False)
scores = (Value(test_images) @ w1).relu() @ w2
print(f"{np.mean(scores.data.argmax(1) == test_labels):.1%} of {len(test_labels)} new digits are read right")

# %% [markdown]
# ## Read the real engine
#
# tinynet does what you did. Its rules stand in a table, a line for each argument. Here are some lines of the file
# `tinynet/ops/elementwise.py`, as it is on your machine:

# %%
import inspect

from tinynet.ops import elementwise

for line in inspect.getsource(elementwise).splitlines():
    if line.startswith(("mul.vjp", "neg.vjp", "exp.vjp", "true_divide.vjp")):
        print(line)
print(inspect.getsource(tn.matmul.written["input"]))

# %% [markdown]
# The line that begins with `mul` is your `mul_rule`. The names in a rule's brackets are all that is kept for it: the
# rule for `a` names `b`, so `b` is kept, and nothing else. The function below the lines is the first half of your
# `matmul_rule`; the rest of it is for vectors and stacks of matrices.
#
# **The graph.** A `Node` is your `Value` without the data of its own: inputs, the op that holds the rule, and what the
# rule named (`args`, `out`).

# %%
from tinynet.autograd import engine, graph

print(inspect.getsource(graph.Node.__init__))

# %% [markdown]
# **The order.** Yours looks for it. tinynet's engine makes it easier: each node gets a number when it is made (`seq`,
# above). Whatever a node is made of was made before it, so sorting by number *is* a topological order. And it does not
# call itself: a chain of a million steps would be too deep for Python.

# %%
print(inspect.getsource(graph.reach))

# %% [markdown]
# **The walk.** It is longer than yours, since it serves more purposes (hooks, second derivatives, several results, less
# memory). Find these five lines in it:
#
# | yours | tinynet's |
# |---|---|
# | `found = {root: 1}` | `gradients = dict(seeds)` |
# | `for value in reversed(topological_order(root))` | `for place in reversed(order)` |
# | `found[value]` | `g = gradients.pop(place, None)` |
# | `value.rule(g, ...)` | `op.rules[k](g, args, out, options)` |
# | `found.get(one, 0) + part` | `gradients[p] = gradients[p] + gi` |

# %%
print(inspect.getsource(engine.walk))

# %% [markdown]
# ## Put your rules into it
#
# `tn.use` replaces tinynet's own rule by yours, wherever it is used. The network below is made of tinynet's tensors.
# Its gradients now come from your two functions, and gradcheck compares them with measured slopes:

# %%
tn.use(mul_rule)
tn.use(matmul_rule)
x, w1, w2 = (tn.tensor(rng.normal(size=s), requires_grad=True) for s in ((5, 4), (4, 3), (3, 2)))
print(tn.gradcheck(lambda x, w1, w2: (((x @ w1).relu() @ w2) * 2.0).sum(), (x, w1, w2)))
tn.use(None)

# %% [markdown]
# ## What would break?
#
# 1. In `gradients`, write `found[one] = part`, without adding. Which of the checks fails, and would the digits still be
#    learned? (In the network for digits, is any value used twice?)
# 2. Walk with `topological_order(root)`, not reversed. What happens at the first value?
# 3. Make a chain: `v = Value(1.0)`, then ten thousand times `v = v + v`. What does your `topological_order` say?
# 4. `w.data -= lr * found[w]` changes a weight in place. What if that were done between the forward computation and the
#    walk?
#
# <details><summary>Answers</summary>
#
# 1. The second property of exercise 5. And yes: `wrong * wrong` uses `wrong` twice, so its gradient would be half of
#    what it should be. Everything below it would be halved as well: the network learns, at half the rate. Mistakes in
#    gradients often look like that: a little worse, no crash. Lesson 4 is about finding them.
# 2. `KeyError`: the first values are where the graph begins, and no gradient has arrived there yet.
# 3. `RecursionError`, if it calls itself: Python allows a few thousand calls inside one another, at most.
# 4. Rules would be called with the new data, and give the slopes of a computation that never took place. tinynet
#    notices: each array has a version, and a rule that finds a newer one raises an error.
#
# </details>
#
# ## Further reading
#
# - A. Karpathy, *micrograd* (2020): the same idea for single numbers, in a hundred lines, with a lecture.
# - A. Griewank and A. Walther, *Evaluating Derivatives* (2008), chapters 1 to 3: why backwards costs no more than a few
#   times forwards.
# - S. Linnainmaa, *The representation of the cumulative rounding error of an algorithm* (1970): where it was invented,
#   to follow rounding errors.
# - D. Rumelhart, G. Hinton and R. Williams, *Learning representations by back-propagating errors*, Nature 323 (1986).
# - D. Maclaurin, D. Duvenaud and M. Johnson, *autograd* (2015): a table of rules, as tinynet's is.
