# %% [lesson]
# title: Trusting gradients
# goal: Write the tool that tells a right gradient from a wrong one, find four bugs with it, and prove the gradients of
#   the engine you are going to use, all of them, on your own machine.
# time: 60 minutes
# needs: Lessons 1 (central differences), 2 (shapes) and 3 (rules for going backwards)
# seconds: ci 5, laptop 11

# %% [markdown]
# ## Predict first
#
# A rule with a mistake in it does not crash. So one would notice it in the training, would one not? Here are three
# networks that learn to read digits. They are the same in all but one thing: the *backward* rule of their ReLU
# ($\max(x, 0)$). In lesson 3 you used the right rule, $g$ where $x > 0$ and $0$ elsewhere. **One of A, B and C has it.
# Look at the curves: which one?**
#
# An **op** is one step of a computation, together with its rule. First, an op with a rule of our own. tinynet has a
# class for that, `Function`: `forward` computes and keeps what the rule will need, `backward` is the rule. Ours takes
# both from two functions on NumPy arrays.

# %%
def op(compute, rule):
    """A tinynet op: compute(x) on the way there, rule(g, x) on the way back, both on NumPy arrays."""
    class Op(tn.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return tn.from_numpy(compute(x.detach().numpy()))

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return tn.from_numpy(rule(g.numpy(), x.numpy()))

    return Op.apply


def relu(x):
    return np.maximum(x, 0)


# The three rules, mixed up; do not read them closely yet.
RULES = {"A": lambda g, x: 1.0 * g, "B": lambda g, x: g * (x > 0), "C": lambda g, x: g * (x > 0) / 2.5}

# %% [markdown]
# The networks are made of tinynet's parts, which you will build yourself in lessons 5 to 7. For now it is enough that
# `Linear` is a matrix product with a matrix that is learned, `cross_entropy` a loss, and that `SGD` takes the step of
# lesson 1 for all numbers at once. Between the matrices stands `bend`, our ReLU with one of the three rules.

# %%
from tqdm.auto import tqdm

images, labels = tn.data.datasets.digits(train=True).tensors
test_images, test_labels = tn.data.datasets.digits(train=False).tensors
flat, test_flat = images.reshape(len(images), 64), test_images.reshape(len(test_images), 64)
epochs = tn.learn.sized(ci=4, laptop=15)


def learn(rule):
    """Three layers, with this rule for their ReLU: the losses, and the share of new digits that are read right."""
    tn.manual_seed(0)
    bend, losses = op(relu, rule), []
    first, second, last = tn.nn.Linear(64, 64), tn.nn.Linear(64, 64), tn.nn.Linear(64, 10)
    optimizer = tn.optim.SGD([*first.parameters(), *second.parameters(), *last.parameters()], lr=0.1)

    def network(x):
        return last(bend(second(bend(first(x)))))

    for _ in range(epochs):
        for rows in tn.randperm(len(flat)).split(32):
            loss = tn.nn.functional.cross_entropy(network(flat[rows]), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return losses, (network(test_flat).argmax(1) == test_labels).float().mean().item()


fig, ax = plt.subplots()
for name, rule in tqdm(RULES.items(), desc="networks"):
    losses, right = learn(rule)
    ax.plot(np.convolve(losses, np.ones(40) / 40, "valid"), label=f"{name}: reads {right:.1%} of new digits")
ax.set(xlabel="step", ylabel="loss (mean of 40 steps)", title="Which of them has the right gradient?")
ax.legend()
plt.show()

# %% [markdown]
# <details><summary>Which one is right?</summary>
#
# B. In A the rule lets everything through, also where $x$ is negative, and it learns just as well here. In C a factor
# is wrong, and it looks like a network whose learning rate is a little too small.
#
# </details>
#
# So one does *not* notice. The network learns around the mistake, a little worse, or on this data not even that, and
# months later somebody wonders why a result cannot be repeated. A gradient is not to be judged by the curve. It is to
# be **measured**.
#
# ## Part 1: measure
#
# In lesson 1 you measured the slope of a curve, by stepping to both sides:
#
# $$f'(x) \approx \frac{f(x + h) - f(x - h)}{2h}$$
#
# Now $x$ is an array, and $f(x)$ is still one number. There is a slope for each element: move *that one* up and down,
# and keep the others where they are.
#
# ## Exercise 1: the numerical gradient
#
# `f` takes an array and gives a number. Return an array of the shape of `x`. Two warnings. `x` belongs to the caller,
# so leave it as it is: work on a copy. And `x` may hold whole numbers; an array of integers cannot hold $1.00001$. So
# make the copy an array of `float`. To go through an array of any shape, `for i in np.ndindex(x.shape)` gives every
# index.

# %%
@tn.exercise("04.numerical_gradient")
def numerical_gradient(f, x, h=1e-5):
    """The slope of the number f(x) by each element of the array x, by central differences."""
    # BEGIN SOLUTION
    #? x = np.array(x, float)  # a copy
    #? slopes = np.zeros(x.shape)
    #? for i in np.ndindex(x.shape):
    #?     ...
    #? return slopes
    x = np.array(x, float)  # a copy
    slopes = np.zeros(x.shape)
    for i in np.ndindex(x.shape):
        here = x[i]
        x[i] = here + h
        up = f(x)
        x[i] = here - h
        down = f(x)
        x[i] = here
        slopes[i] = (up - down) / (2 * h)
    return slopes
    # END SOLUTION

# %%
tn.check("04.numerical_gradient")

# %% [markdown]
# ## Which step?
#
# Lesson 1 again: with a long step the curve bends, with a short one the computer rounds. How short is too short
# depends on how many digits a number has. `float64` keeps about 16, and `float32`, in which networks are trained,
# about 7. **Predict:** what is the best step for each, and how many digits of the slope are right then?

# %%
x = np.random.default_rng(0).normal(size=20)
true = 1 - np.tanh(x) ** 2  # the slope of tanh
steps = np.logspace(-1, -12, 45)
fig, ax = plt.subplots()
for dtype in (np.float64, np.float32):
    def f(x, dtype=dtype):
        return float(np.tanh(x.astype(dtype)).sum())
    errors = [np.abs(numerical_gradient(f, x, h) - true).max() for h in steps]
    best = int(np.argmin(errors))
    ax.loglog(steps, errors, label=dtype.__name__)
    ax.plot(steps[best], errors[best], "ko")
    print(f"{dtype.__name__}: best step {steps[best]:.0e}, error {errors[best]:.0e}")
ax.invert_xaxis()
ax.set(xlabel="step h (shorter to the right)", ylabel="largest error of a slope", ylim=(1e-13, 10),
       title="In float64 a slope has ten right digits, in float32 four")
ax.legend()
plt.show()

# %% [markdown]
# In `float32` the measurement is so poor that a small mistake would hide in it. **Gradients are checked in
# `float64`**, also those of a network that will be trained in `float32`.
#
# ## Part 2: how near is near enough?
#
# Two numbers are never exactly equal, so we need a limit. Which of these four pairs are the same slope, measured once
# and computed once?

# %%
pairs = ((1000.0, 1000.0001), (1.0, 1.01), (0.000002, 0.000001), (3e-11, 0.0))
for a, b in pairs:
    share = abs(a - b) / max(a, b)
    print(f"{a:<10g} {b:<12.8g} difference {abs(a - b):.0e}   share of the larger {share:.0e}")

# %% [markdown]
# The difference alone misleads: that of the third pair is the smallest but one, and yet one number is *twice* the
# other. What counts is the share, the **relative error**. Only near $0$ it fails, as in the fourth pair: noise against
# nothing is always $100\%$. So the size that we divide by is never taken below a floor:
#
# $$\text{relative error} = \frac{\max_i |a_i - b_i|}{\max(\max_i |a_i|,\ \max_i |b_i|,\ 10^{-5})}$$

# %%
def relative_error(a, b):
    return np.abs(a - b).max() / max(np.abs(a).max(), np.abs(b).max(), 1e-5)


for a, b in pairs:
    error = relative_error(np.array(a), np.array(b))
    print(f"{a:<10g} {b:<12.8g} relative error {error:.0e}: {'the same' if error < 1e-5 else 'not the same'}")

# %% [markdown]
# Two decisions are hidden here. The *limit*: below $10^{-5}$ two slopes are the same. Measuring in `float64` is off by
# about $10^{-10}$, and a forgotten factor or a wrong sign gives an error near $1$, so there is much room on either
# side. Even the $1\%$ of the second pair is no noise. And the *floor*, $10^{-5}$: what is smaller than limit times
# floor, $10^{-10}$, is taken for noise.
#
# ## Part 3: from an array to a number
#
# One thing is missing. Most ops give an *array*, and a slope needs one number. A rule takes $g$, what each element of
# the result is worth, so we make a number that way: each element times its worth, added up.
#
# $$f(x) = \sum_i g_i \cdot \text{forward}(x)_i, \qquad \text{rule}(g, x) \approx \text{the slopes of } f$$
#
# Which $g$? All ones is the obvious choice. **Watch it fail.** The op below takes the mean from each row, and this
# rule says that nothing that goes in has any influence:

# %%
def centre(x):
    return x - x.mean(axis=1, keepdims=True)


def says_zero(g, x):
    return np.zeros(x.shape)


x = np.random.default_rng(0).normal(size=(2, 4))
for name, g in (("all ones", np.ones((2, 4))), ("random  ", np.random.default_rng(1).normal(size=(2, 4)))):
    def f(x, g=g):
        return (g * centre(x)).sum()
    measured = numerical_gradient(f, x)
    claimed = says_zero(g, x)
    print(f"g {name}: largest slope measured {np.abs(measured).max():.1e}, the rule says {np.abs(claimed).max():.0f}")

# %% [markdown]
# A row less its mean always adds up to $0$, whatever goes in. With all ones, that sum is what we measured: the mistake
# was invisible. A random $g$ has no such blind spot. (In lesson 6 you will meet softmax, whose rows always add up to
# $1$: the same trap, and it has caught many.)
#
# ## Exercise 2: gradcheck
#
# Put it together. Does `rule(g, x)` give the slopes of `forward` at `x`? Return `True` or `False`. The check tries it
# on ten right rules and on eleven wrong ones, and yours must tell them apart. One mistake to think of: a rule that
# gives the wrong *shape*. NumPy would broadcast it in the comparison, and all would look well.

# %%
@tn.exercise("04.gradcheck")
def gradcheck(forward, rule, x):
    """Whether rule(g, x) is the gradient of x, where forward(x) gets the gradient g."""
    g = np.random.default_rng(0).normal(size=np.shape(forward(x)))
    claimed = rule(g, x)
    # BEGIN SOLUTION
    #? measured = numerical_gradient(..., x)
    #? return ...
    measured = numerical_gradient(lambda x: (g * forward(x)).sum(), x)
    return np.shape(claimed) == measured.shape and bool(relative_error(claimed, measured) < 1e-5)
    # END SOLUTION

# %%
tn.check("04.gradcheck")

# %% [markdown]
# Now back to A, B and C. The second line shows that **a check is only as good as its inputs**: where all numbers are
# positive, A's mistake cannot be seen. Inputs must go through every branch.

# %%
rng = np.random.default_rng(0)
for what, x in (("numbers of both signs", rng.normal(size=(4, 3))), ("positive numbers", rng.uniform(1, 2, (4, 3)))):
    print(f"{what:<22}", {name: gradcheck(relu, rule, x) for name, rule in RULES.items()})

# %% [markdown]
# ## At a kink
#
# What if an element is *exactly* $0$? To the right of it, ReLU has slope $1$, to the left $0$. The central difference
# says $\tfrac{1}{2}$, and no rule says that. **Predict:** does the check take the right rule there?

# %%
x = np.array([[-1.0, 0.0, 2.0]])
print("yours, with a zero in x:  ", gradcheck(relu, RULES["B"], x))
print("measured:", numerical_gradient(lambda x: relu(x).sum(), x), " rule:", RULES["B"](np.ones((1, 3)), x))

# %% [markdown]
# A false alarm: at a kink, any slope between those of the two sides is right. You can keep away from kinks, by drawing
# inputs at random. tinynet's check measures both sides there, takes what lies between, and tells you:

# %%
at = tn.tensor(x, requires_grad=True)
print(tn.gradcheck(op(relu, RULES["B"]), at))

# %% [markdown]
# ## Part 4: four bugs
#
# Here are four ops, each with a rule that somebody wrote in a hurry. All four are wrong, in four ways that happen
# every day. **Read each, and guess the mistake before you go on.**

# %%
def mean(x):
    return x.mean(axis=0)  # of each column: (n, k) -> (k,)


def wrong_mean_rule(g, x):
    return np.ones(x.shape) * g


def clip(x):
    return np.clip(x, -1, 1)  # nothing below -1, nothing above 1


def wrong_clip_rule(g, x):
    return g * (np.abs(x) > 1)


def wrong_centre_rule(g, x):  # centre: see above
    return 1.0 * g


def running(x):
    return np.cumsum(x, axis=1)  # in each row: a, a + b, a + b + c, ...


def wrong_running_rule(g, x):
    return np.cumsum(g, axis=1)


SUSPECTS = {"mean": (mean, wrong_mean_rule), "clip": (clip, wrong_clip_rule),
            "centre": (centre, wrong_centre_rule), "running": (running, wrong_running_rule)}
x = np.array([[0.5, -2.0, 0.25], [1.5, 0.75, -0.5]])
for name, (forward, rule) in SUSPECTS.items():
    g = np.arange(1.0, 1 + forward(x).size).reshape(forward(x).shape)
    measured = numerical_gradient(lambda x, forward=forward, g=g: (g * forward(x)).sum(), x)
    print(f"{name}: gradcheck says {gradcheck(forward, rule, x)}, with g = {g.tolist()}")
    print("  rule says", np.round(rule(g, x), 3).tolist())
    print("  measured ", np.round(measured, 3).tolist())

# %% [markdown]
# Compare the numbers of each pair of lines: the *way* in which they differ shows the mistake. Now mend the four. Ask
# each time the question from lesson 3: if this element of $x$ rises by $0.01$, which elements of the result rise, and
# by how much?

# %%
@tn.exercise("04.mean_rule")
def mean_rule(g, x):
    """The gradient of x (n, k), where x.mean(axis=0) has the gradient g (k,)."""
    # BEGIN SOLUTION
    return np.ones(x.shape) * g / len(x)
    # END SOLUTION

# %%
tn.check("04.mean_rule")

# %%
@tn.exercise("04.clip_rule")
def clip_rule(g, x):
    """The gradient of x, where np.clip(x, -1, 1) has the gradient g."""
    # BEGIN SOLUTION
    return g * (np.abs(x) < 1)
    # END SOLUTION

# %%
tn.check("04.clip_rule")

# %% [markdown]
# The next one has two paths. An element goes straight into its own place of the result. It *also* goes into the mean,
# which is taken from every place of its row. Over several paths, slopes add.

# %%
@tn.exercise("04.centre_rule")
def centre_rule(g, x):
    """The gradient of x (n, k), where x - x.mean(axis=1, keepdims=True) has the gradient g (n, k)."""
    # BEGIN SOLUTION
    return g - g.mean(axis=1, keepdims=True)
    # END SOLUTION

# %%
tn.check("04.centre_rule")

# %% [markdown]
# In a running sum the first element is part of *all* the sums, the last only of the last. (`a[:, ::-1]` is `a` with
# its columns in the opposite order.)

# %%
@tn.exercise("04.running_rule")
def running_rule(g, x):
    """The gradient of x (n, k), where np.cumsum(x, axis=1) has the gradient g (n, k)."""
    # BEGIN SOLUTION
    return np.cumsum(g[:, ::-1], axis=1)[:, ::-1]
    # END SOLUTION

# %%
tn.check("04.running_rule")

# %%
for name, rule in (("mean", mean_rule), ("clip", clip_rule), ("centre", centre_rule), ("running", running_rule)):
    print(f"{name:<8} {gradcheck(SUSPECTS[name][0], rule, rng.normal(size=(4, 3)))}")

# %% [markdown]
# ## A check that says what is wrong
#
# You found the mistakes by looking at *how* the numbers differ. That can be programmed. tinynet's gradcheck tries a
# list of hypotheses: is everything wrong by one factor? Is it zero just where it should not be? Here is its verdict on
# the four:

# %%
for name, (forward, rule) in SUSPECTS.items():
    at = tn.tensor(rng.normal(size=(4, 3)) * 1.5, requires_grad=True)
    result = tn.gradcheck(op(forward, rule), at, raise_exception=False)
    print(f"{name:<8} {result.inputs[0].diagnosis}\n")

# %% [markdown]
# (The **Jacobian** is the table of all slopes: a row for each element that comes out, a column for each that goes in. A
# rule multiplies by it the other way round, transposed.) This is how one hypothesis is written. `e.analytic` is what
# the rule gives, `e.numeric` what was measured, and `average` is what is missing, if it is the same all along an axis:

# %%
import inspect

from tinynet.autograd import diagnosis

print(inspect.getsource(diagnosis.term_missing))
print(f"{len(diagnosis.HYPOTHESES)} in all:", ", ".join(h.__name__ for h in diagnosis.HYPOTHESES))

# %% [markdown]
# ## Prove the engine
#
# From the next lesson on, you train with tinynet's own rules. Why believe them? You need not: check them, here.
# tinynet knows, for each of its primitive ops (those with a rule of their own), how to draw inputs that go through
# every branch. The next cell holds
# each of them to measured slopes: the first derivative, and the derivative of the derivative.

# %%
from tinynet import proofs
from tinynet.ops._primitive import PRIMITIVES

names = sorted(PRIMITIVES)[::tn.learn.sized(ci=5, laptop=1)]
proved = [proofs.prove(name, draws=1) for name in tqdm(names, desc="ops")]
worst = max(p.worst for p in proved)
print(f"{sum(p.ok for p in proved)} of {len(proved)} are right; the largest error is {worst:.0e}")

errors = sorted(p.worst for p in proved if p.first == "pass")
fig, ax = plt.subplots()
ax.semilogy(np.maximum(errors, 1e-16), "ko", markersize=3)
ax.axhline(1e-5, color="#d95f0e", linestyle="--", label="your limit")
ax.axhline(proofs.REQUIRED, color="#7a7a7a", linestyle=":", label="tinynet's limit")
ax.set(xlabel="op, the most exact first", ylabel="largest relative error", ylim=(3e-17, 1e-4),
       title="Every gradient of the engine, held to measured slopes")
ax.legend(loc="lower right")
plt.show()

# %% [markdown]
# Between the worst op and the limit there is a gap: that is the sign of a good check. No right rule comes near to the
# limit from below, and no wrong one (A, or the four bugs) from above. The same runs from a terminal as
# `tinynet gradcheck`, and before every change of the engine.
#
# ## What would break?
#
# 1. A dropout layer sets random elements to $0$. What does your `gradcheck` say of it, and why?
# 2. In `gradcheck`, someone leaves the shape out of the comparison. Which rule of a plain `x.sum()` would pass, and
#    what would happen in a network?
# 3. In `mean_rule`, someone divides by the number of columns instead of rows. With which $x$ would your check not
#    notice?
# 4. The true slope is $0$ everywhere, as that of `np.round`. Does a rule that returns zeros pass? Should it?
#
# <details><summary>Answers</summary>
#
# 1. Wrong, nearly always: up and down are measured with different random elements, and the difference is divided by a
#    tiny $h$. Fix the random seed inside `forward` and it is checked fairly. tinynet says so: "func is not
#    deterministic".
# 2. One that returns $g$, a single number, instead of an array of the shape of $x$. The comparison broadcasts it. In a
#    network the next rule would get one number where it expects an array, and might broadcast on.
# 3. A square one. A wrong size cannot be seen where it is equal to the right one, nor where both are 1: check with
#    sizes that are all different.
# 4. It passes, and it is right: that is the slope. It is useless for training, since no step goes anywhere. A check
#    tells you that a gradient is right, not that it is good for anything.
#
# </details>
#
# ## Further reading
#
# - C. Bishop, *Pattern Recognition and Machine Learning* (2006), section 5.3.3: backpropagation and central
#   differences.
# - Stanford CS231n, *Neural networks 3*, "Gradient checks": ten pieces of advice from people who were caught.
# - N. Higham, *Accuracy and Stability of Numerical Algorithms*, chapter 1.
# - PyTorch's notes, *Gradcheck mechanics*: what `torch.autograd.gradcheck` does, and its fast mode with random
#   vectors.
