# %% [lesson]
# title: Slopes, and how to walk downhill
# goal: Measure the slope of any function you can compute, know how far to trust the number, and use it to walk
#   downhill to a minimum. All of deep learning is this walk, with more directions to choose from.
# time: 45 minutes
# needs: Python (functions, loops, lists), and what the graph of a function is. No calculus beyond "a slope is how
#   steep a curve is"
# seconds: ci 5, laptop 7

# %% [markdown]
# ## Predict first
#
# You stand on the curve $f(x) = x^2$ at $x = 3$, so at height $9$. You take a small step to the right, of length
# $0.01$. **By about how much do you rise?** Say a number aloud before you run the next cell.

# %%
def f(x):
    return x * x


rise = f(3.01) - f(3.0)
print(f"you rise by {rise:.4f}, which is {rise / 0.01:.2f} times the step")

# %% [markdown]
# <details><summary>What is this "times the step"?</summary>
#
# It is the **slope** of the curve where you stand: how many units up for one unit to the right. At $x = 3$ it is about
# 6. With the slope you can predict any small step without computing $f$ again: a step of $0.002$ rises by about $6
# \times 0.002$.
#
# </details>
#
# ## A slope is rise over run
#
# Choose a step $h$. Divide how much the curve rises by how far you went:
#
# $$\text{slope} \approx \frac{f(x + h) - f(x)}{h}$$
#
# This is the slope of the straight line through two points of the curve. The nearer the second point, the better the
# line lies along the curve. Watch it turn:

# %%
x0, xs = 1.0, np.linspace(0, 3, 200)
fig, ax = plt.subplots()
ax.plot(xs, f(xs), color="black", label="$f(x) = x^2$")
for h, style in ((1.5, ":"), (0.7, "-."), (0.1, "--")):
    slope = (f(x0 + h) - f(x0)) / h
    ax.plot(xs, f(x0) + slope * (xs - x0), style, label=f"line through x and x + {h}: slope {slope:.2f}")
    ax.plot(x0 + h, f(x0 + h), "ko", markersize=4)
ax.plot(x0, f(x0), "ko")
ax.set(xlabel="x", ylabel="height", ylim=(-1, 8), title="The second point comes nearer: the line becomes the tangent")
ax.legend()
plt.show()

# %% [markdown]
# The line that the others turn into is the **tangent**; its slope is called the **derivative** of $f$ at $x$, written
# $f'(x)$. The curve above has $f'(x) = 2x$, so the tangent at $x = 1$ has slope $2$: each line in the picture is a bit
# steeper, and the nearer point is closer to the truth.
#
# ## Exercise 1: the forward difference
#
# Write the equation above as a function. `f` is itself a function: call it.

# %%
@tn.exercise("01.forward_difference")
def forward_difference(f, x, h):
    """The slope of the line through the points of the curve f at x and at x + h."""
    # BEGIN SOLUTION
    return (f(x + h) - f(x)) / h
    # END SOLUTION

# %%
tn.check("01.forward_difference")

# %% [markdown]
# ## How wrong is it?
#
# For some curves the true slope is known, so the error can be seen. The slope of $\sin x$ is $\cos x$. Each row below
# has a step ten times shorter than the row above. **Before you run it: by how much does the error shrink?**

# %%
def errors(difference, steps, x=1.0):
    """How far the measured slope of the sine at x is from the true one, for each step."""
    return [abs(difference(np.sin, x, h) - np.cos(x)) for h in steps]


print("  step h      error")
for h, error in zip((0.1, 0.01, 0.001), errors(forward_difference, (0.1, 0.01, 0.001)), strict=True):
    print(f"  {h:<8} {error:.2e}")

# %% [markdown]
# Ten times shorter, ten times better. The reason is that near $x$ every smooth curve is a straight line plus a little
# bending, and the bending grows with the *square* of the distance:
#
# $$f(x + h) = f(x) + h\,f'(x) + \tfrac{1}{2} h^2 f''(x) + \dots$$
#
# ($f''$ is the slope of the slope: how fast the curve bends.) Put this into the forward difference: $f(x)$ cancels, $h$
# divides out, and what is left over is $f'(x) + \tfrac{1}{2} h f''(x)$. The error is $\tfrac{1}{2} h f''(x)$: it
# shrinks like $h$. One says that the method has **order 1**. Is that really all of the error?

# %%
for h in (0.1, 0.01, 0.001):
    predicted = abs(0.5 * h * -np.sin(1.0))  # the slope of the cosine is minus the sine
    (measured,) = errors(forward_difference, [h])
    print(f"  h = {h:<6} error predicted {predicted:.3e}   measured {measured:.3e}")

# %% [markdown]
# ## Exercise 2: the central difference
#
# Bending spoils the forward difference because it looks to one side only. Look to both sides instead: one step $h$ to
# the right, one step $h$ to the left.
#
# $$f'(x) \approx \frac{f(x + h) - f(x - h)}{\text{how far apart the two points are}}$$
#
# To the right the curve bends away from the straight line by $\tfrac{1}{2} h^2 f''$. To the left it bends away by the
# same amount, in the same direction: the difference of the two does not see it.

# %%
@tn.exercise("01.central_difference")
def central_difference(f, x, h):
    """The slope of the line through the points of the curve f at x - h and at x + h."""
    # BEGIN SOLUTION
    return (f(x + h) - f(x - h)) / (2 * h)
    # END SOLUTION

# %%
tn.check("01.central_difference")

# %%
print("  step h      forward    central")
for h in (0.1, 0.01, 0.001):
    (forward,), (central,) = errors(forward_difference, [h]), errors(central_difference, [h])
    print(f"  {h:<8} {forward:.2e}   {central:.2e}")

# %% [markdown]
# Ten times shorter, a **hundred** times better: the error shrinks like $h^2$, the method has **order 2**. It costs as
# much as the other (two values of $f$) and is the one that is used in earnest.
#
# ## Predict: is a shorter step always better?
#
# Down to $h = 0.001$, shorter was better. What do you expect at $h = 10^{-8}$? At $10^{-15}$? Sketch the two curves,
# error against step, on paper. Then look.

# %%
steps = np.logspace(0, -16, 65)
fig, ax = plt.subplots()
ax.loglog(steps, np.maximum(errors(forward_difference, steps), 1e-13), "-", label="forward")
ax.loglog(steps, np.maximum(errors(central_difference, steps), 1e-13), "--", label="central")
ax.invert_xaxis()
ax.set(xlabel="step h (shorter to the right)", ylabel="error of the slope", title="Shorter steps help, then they hurt")
ax.annotate("the curve bends:\nshorter is better", (5e-2, 3e-12), ha="center")
ax.annotate("the computer rounds:\nshorter is worse", (1e-13, 3e-12), ha="center")
ax.legend(loc="upper center")
plt.show()

# %% [markdown]
# Two different mistakes are at work. On the left the line is too long for a curve that bends. On the right the
# **computer rounds**: it keeps about 16 digits of every number. At $h = 10^{-15}$ the two heights agree in nearly all
# their digits, so their difference is made of the last digit or two, which are noise, and dividing by a tiny $h$ makes
# the noise huge:
#
# $$\text{error from rounding} \approx \frac{10^{-16}}{h}$$
#
# The best step is where both mistakes are equally large. Where is that?

# %%
for name, difference in (("forward", forward_difference), ("central", central_difference)):
    found = errors(difference, steps)
    best = int(np.argmin(found))
    print(f"{name}: best step {steps[best]:.0e}, error {found[best]:.0e}")
print(f"digits kept by this computer: one part in {1 / np.finfo(float).eps:.0e}")

# %% [markdown]
# Remember two things from this picture. **A measured slope is never exact**, and has at best about ten correct digits.
# And: to measure slopes one wants numbers with many digits (`float64`). With `float32`, which keeps 7 digits and which
# networks are trained in, the right half of the picture begins much earlier. In lesson 4 this becomes a tool that finds
# mistakes in other people's gradients.
#
# ## Downhill
#
# Now use the slope. You want the lowest point of a curve, but you see only the ground at your feet. If the slope is
# positive, the ground rises to the right: go left. If it is negative, go right. Where it is steep go far, where it is
# flat go carefully, for the bottom is near. All of that in one line:
#
# $$x \leftarrow x - \text{lr} \cdot f'(x)$$
#
# The number $\text{lr}$ is called the **learning rate**: how far to go for a slope of 1. This is **gradient descent**,
# and there is no other idea in how networks learn.
#
# ## Exercise 3: descend
#
# Return the whole path as a list, so that it can be drawn: the start, then one point for each step.

# %%
@tn.exercise("01.descend")
def descend(slope, x, lr, steps):
    """The path [x0, x1, ...] of so many steps downhill. slope: a function, the slope at a point."""
    # BEGIN SOLUTION
    path = [x]
    for _ in range(steps):
        path.append(path[-1] - lr * slope(path[-1]))
    return path
    # END SOLUTION

# %%
tn.check("01.descend")

# %% [markdown]
# Here is a valley whose bottom nobody told us. Its slope is not given either: your `central_difference` measures it at
# every step.

# %%
def valley(x):
    return 0.1 * x**4 - x**2 + 0.3 * x + 4


def slope_of_valley(x):
    return central_difference(valley, x, 1e-5)


def draw_path(ax, path, title):
    xs = np.linspace(-3.4, 3.4, 300)
    ax.plot(xs, valley(xs), color="0.6", linestyle="-")
    ax.plot(path, [valley(x) for x in path], "ko-", markersize=4, linewidth=1)
    ax.plot(path[0], valley(path[0]), "ks", markersize=8, fillstyle="none")
    ax.set(xlabel="x", title=title, ylim=(0, 8))


path = descend(slope_of_valley, 3.2, 0.1, 20)
fig, ax = plt.subplots()
draw_path(ax, path, "Twenty steps downhill: long where steep, short where flat")
ax.set(ylabel="height")
plt.show()
print(f"it stops at x = {path[-1]:.4f}, where the slope is {slope_of_valley(path[-1]):.1e}")

# %% [markdown]
# ## Predict: the learning rate
#
# The same start with three learning rates: $0.01$, $0.1$ and $0.45$. One creeps, one arrives, one does something else.
# Which does what?

# %%
fig, axes = plt.subplots(1, 3, figsize=(9, 3), sharey=True)
for ax, lr in zip(axes, (0.01, 0.1, 0.45), strict=True):
    path = descend(slope_of_valley, 3.2, lr, 12)
    draw_path(ax, path, f"lr = {lr}: ends at {path[-1]:.2f}")
axes[0].set(ylabel="height")
plt.show()

# %% [markdown]
# With a large learning rate one step carries you **across** the valley. You may still come to rest, but not in the
# valley you started in. Make it larger still and you fly off for good. No formula tells the right rate in advance. One
# tries some, a factor of 3 or 10 apart, and looks at the curve. You will do that in every lesson.
#
# ## Where you start decides where you end
#
# This curve has two valleys. Descent knows nothing of the other one:

# %%
starts = np.linspace(-3, 3, 13)
ends = [descend(slope_of_valley, x, 0.05, 200)[-1] for x in starts]
for x in sorted({round(float(end), 3) for end in ends}):
    print(f"{sum(abs(end - x) < 1e-2 for end in ends)} of {len(starts)} starts end at x = {x}, height {valley(x):.3f}")

# %% [markdown]
# ## From one number to a million
#
# A network is a function too: here, of an image of 784 pixels, and what comes out are 10 numbers. (What is inside are
# sums and products; lesson 7 opens it.) It has not one number $x$ to choose but thousands or millions, and the height
# of the curve is now called the **loss**: one number that says how bad the network is. Below it is made up: the mean
# square of all that comes out. There is a slope for each number to choose; together they are called the **gradient**.
# To measure it as you did, each of them needs two runs of the whole network. What would that cost?

# %%
import time

model = tn.nn.Sequential(tn.nn.Linear(784, 100), tn.nn.ReLU(), tn.nn.Linear(100, 10))
images = tn.rand(64, 784)
numbers = sum(p.numel() for p in model.parameters())
model(images).square().mean().backward()  # the first run of anything is slow, and does not count
start = time.perf_counter()
for _ in range(20):
    model(images)
once = (time.perf_counter() - start) / 20  # seconds
print(f"{numbers:,} numbers, {once * 1e3:.2f} ms a run: one gradient by measuring takes {2 * numbers * once:.0f} s")

# %% [markdown]
# And that for **one** step downhill, with thousands of steps to go. tinynet gets the same gradient another way, by
# working backwards through the computation once:

# %%
start = time.perf_counter()
model(images).square().mean().backward()
took = time.perf_counter() - start
print(f"the whole gradient in {took * 1e3:.1f} ms, {2 * numbers * once / took:,.0f} times sooner")

# %% [markdown]
# How that works is lesson 3. But who says that those numbers are right? Your central difference does. Take one weight,
# move it a little up and down, and compare:

# %%
weight = model[2].weight
model.double()
images = images.double()
model.zero_grad()
model(images).square().mean().backward()


def loss_if_weight_is(value):
    with tn.no_grad():
        kept = weight[0, 0].item()
        weight[0, 0] = value
        loss = model(images).square().mean().item()
        weight[0, 0] = kept
    return loss


print(f"tinynet, backwards:      {weight.grad[0, 0].item():.10f}")
print(f"your central difference: {central_difference(loss_if_weight_is, weight[0, 0].item(), 1e-5):.10f}")

# %% [markdown]
# Every gradient in tinynet has been compared with a measured slope in this way. The file that does it begins with an
# equation you can now read:

# %%
from tinynet.autograd import slopes

print(slopes.__doc__)

# %% [markdown]
# ## What would break?
#
# Think first, then change the cells above and try.
#
# 1. Your forward difference is used in `slope_of_valley` with $h = 10^{-15}$. Does descent still find the valley?
# 2. In `descend` someone writes `+` for `-`. Where does the path end?
# 3. The function is $|x|$, and you stand at $x = 0$. What do the forward and the central difference say?
#
# <details><summary>Answers</summary>
#
# 1. Roughly: the slope is then mostly noise where the curve is flat. Where it is steep the sign is still right, so the
#    path comes near, and then it jitters.
# 2. Uphill, faster and faster, to infinity: the check calls this out as its second property.
# 3. Forward says $1$, central says $0$, and a backward difference would say $-1$. The curve has a **kink**: there is no
#    tangent. Networks are full of kinks (ReLU is one), and lesson 4 deals with them.
#
# </details>
#
# ## Further reading
#
# - 3Blue1Brown, *Essence of calculus*, chapters 1 and 2: the same pictures, moving.
# - M. Nielsen, *Neural Networks and Deep Learning*, chapter 1, "Learning with gradient descent".
# - N. Higham, *Accuracy and Stability of Numerical Algorithms*, chapter 1: why computers round and what follows.
# - A. Cauchy, *Méthode générale pour la résolution des systèmes d'équations simultanées* (1847): the two pages in which
#   gradient descent was invented.
