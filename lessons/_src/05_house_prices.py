# %% [lesson]
# title: House prices, by a straight line
# goal: Teach a model to price houses it has never seen, know how good it is, and know what the two commonest ways of
#   fooling yourself look like. The training loop you write here is the one of every later lesson.
# time: 60 minutes
# needs: Lessons 1 (descent), 2 (shapes) and 3 (what `backward` does)
# seconds: ci 3, laptop 8

# %% [markdown]
# ## Predict first
#
# In 1987 these four houses were sold in Windsor, Canada. The lot size is in square feet, the rest are counts, or $1$
# for yes: a driveway, a recreation room, a full basement, hot water by gas (`gashw`), air conditioning (`airco`),
# places in the garage (`garagepl`), a neighbourhood that is sought after (`prefarea`). **Write down a price for the
# last one**, in Canadian dollars.

# %%
houses = tn.data.datasets.housing()
x, prices = houses.tensors
shown = [0, 100, 250, 400]
print(f"{'price':<10}" + "".join(f"{'?' if k == 400 else f'{prices[k].item():,.0f}':>9}" for k in shown))
for j, feature in enumerate(houses.features):
    print(f"{feature:<10}" + "".join(f"{x[k, j].item():9.0f}" for k in shown))

# %% [markdown]
# You did something like this: looked for houses that are similar, and gave each difference a price. *A bathroom more,
# so ten thousand more.* That is already the model of this lesson. All that is left is to find the best price for each
# difference, and for that you know the tool: walk downhill.
#
# ## Put some houses away
#
# How will we know that the model is good? Not by the houses it was fitted to: one that had learned all prices by heart
# would be perfect there, and useless. So some of the houses are put away *now*, at random, and nothing about them is
# used until the end. They are the **test** set, the rest is for **training**.

# %%
order = tn.randperm(len(x))
train_x, test_x = x[order[109:]], x[order[:109]]
train_y, test_y = prices[order[109:]] / 1000, prices[order[:109]] / 1000  # in thousands of dollars
print(f"{len(train_x)} houses to train with, {len(test_x)} to test")
print(f"x has shape {tuple(train_x.shape)}, y {tuple(train_y.shape)}")

# %% [markdown]
# Before any model, the dumbest one: say the mean price, whatever the house. Its error is what there is to beat. We
# give errors as the root of the mean square (RMSE), which is in the units of the price:

# %%
def rmse(predicted, true):
    return (predicted - true).square().mean().sqrt().item()


always_the_mean = train_y.mean() * tn.ones(len(test_y), 1)
print(f"the last house was sold for {prices[400].item():,.0f}")
print(f"always the mean, {train_y.mean().item():.1f} thousand: wrong by {rmse(always_the_mean, test_y):.2f} thousand")

# %% [markdown]
# ## The model
#
# Every feature has a price, its **weight**. The prediction is each feature times its weight, all added up, and a
# number $b$ that every house gets (the **bias**):
#
# $$\hat{y} = x_1 w_1 + x_2 w_2 + \dots + x_k w_k + b$$
#
# For all houses at once that is a matrix product. Say the shapes aloud, as in lesson 2: $X$ is $(n, k)$, $w$ is $(k,
# 1)$, so $\hat{y}$ is $(n, 1)$, a column, as `y` is:
#
# $$\hat{y} = X w + b$$
#
# ## The loss
#
# To walk downhill we need one number that says how bad the weights are, and it must be smooth. The mean squared error
# is:
#
# $$L = \frac{1}{n} \sum_{i=1}^{n} (\hat{y}_i - y_i)^2$$
#
# It does not care about signs, and being wrong by 20 costs four times as much as being wrong by 10.
#
# ## Exercise 1: the mean squared error
#
# Both are tensors of one shape. If the shapes differ, raise `ValueError`: you remember from lesson 2 what broadcasting
# makes of a column and a row.

# %%
@tn.exercise("05.mse")
def mse(predicted, true):
    """The mean of the squares of predicted - true. ValueError if the shapes differ."""
    # BEGIN SOLUTION
    if predicted.shape != true.shape:
        raise ValueError(f"shapes {predicted.shape} and {true.shape}")
    return (predicted - true).square().mean()
    # END SOLUTION

# %%
tn.check("05.mse")

# %% [markdown]
# You wrote no rule for going backwards, and the check measured slopes. They were right, because each step you used
# (minus, square, mean) has a rule in the engine. From now on that is how we work: write the way there, and
# `backward()` finds the way back.
#
# ## Exercise 2: the training loop
#
# Five lines that you will meet in every program that trains a network. In each step:
#
# 1. predict, `x @ w + b`, and compute the loss;
# 2. `loss.backward()`: the gradients are now in `w.grad` and `b.grad`;
# 3. move each a little, against its gradient. This is not to be recorded: do it inside `with tn.no_grad():`. And
#    change the tensor *in place*, `w -= ...`, so that it stays the one that you made;
# 4. forget the gradients, `w.grad = None`. `backward` *adds* to what is there.

# %%
@tn.exercise("05.fit")
def fit(x, y, lr, steps):
    """The weights w (k, 1) and the bias b (1,) after so many steps of descent of mse(x @ w + b, y), from 0."""
    w, b = tn.zeros(x.shape[1], 1, requires_grad=True), tn.zeros(1, requires_grad=True)
    for _ in range(steps):
        # BEGIN SOLUTION
        #? loss = ...
        #? ...
        loss = mse(x @ w + b, y)
        loss.backward()
        with tn.no_grad():
            w -= lr * w.grad
            b -= lr * b.grad
        w.grad = b.grad = None
        # END SOLUTION
    return w.detach(), b.detach()

# %%
tn.check("05.fit")

# %% [markdown]
# ## First attempt
#
# Start with all weights $0$ and walk. **Predict:** what goes wrong with the learning rate $0.001$? And with
# $0.00000001$?

# %%
print(f"weights all 0: wrong by {rmse(tn.zeros(len(train_y), 1), train_y):.1f} thousand")
for lr in (1e-3, 1e-6, 3e-8, 1e-8):
    print(f"lr {lr:g}:", end="")
    for steps in (5, 50, 500):
        w, b = fit(train_x, train_y, lr, steps)
        print(f"   {rmse(train_x @ w + b, train_y):9.4g} after {steps}", end="")
    print()

# %% [markdown]
# (`inf` is a number too large for the computer, and `nan`, *not a number*, what comes of calculating with it.) Either
# it explodes, or it walks a little and then hardly moves. There is no rate in between that works. Why? Look at two
# features alone. The lot size is in thousands, the number of bathrooms between 1 and 4. A weight of the first moves the
# prediction a thousand times as much as one of the second. So the slope along the first is enormous, and the rate must
# be tiny. With that tiny rate, the second weight does not move at all.

# %%
def draw_walk(ax, features, lr, names, title, low, high):
    """The loss by two weights, and 30 steps of descent from 0, 0. Features and prices have mean 0, so b is 0."""
    y = (train_y - train_y.mean()).numpy()
    w1, w2 = (np.linspace(low[k], high[k], 60) for k in (0, 1))
    grid = np.stack(np.meshgrid(w1, w2), -1)
    losses = np.mean((grid @ features.T - y[:, 0]) ** 2, axis=-1)
    ax.contour(w1, w2, losses, levels=np.quantile(losses, (0.02, 0.08, 0.2, 0.4, 0.6, 0.8)), colors="0.5", linewidths=1)
    path = [np.zeros((2, 1))]
    for _ in range(30):
        path.append(path[-1] - lr * 2 / len(y) * features.T @ (features @ path[-1] - y))
    path = np.array(path)[:, :, 0]
    best = np.linalg.lstsq(features, y, rcond=None)[0]
    ax.plot(path[:, 0], path[:, 1], "o-", color="#08306b", markersize=3, linewidth=1, label="30 steps")
    ax.plot(*best, "k*", markersize=12, label="the lowest point")
    ax.set(xlabel=f"weight of the {names[0]}", ylabel=f"weight of the {names[1]}", title=title)
    ax.legend(fontsize=8)


two = train_x[:, [0, 2]].numpy().astype(float)
two -= two.mean(axis=0)
fig, axes = plt.subplots(1, 2, figsize=(8.4, 3.8))
draw_walk(axes[0], two, 1.9e-7, ("lot size, in square feet", "bathrooms"), "As they are: stuck at the valley's edge",
          (-0.001, -5), (0.012, 30))
draw_walk(axes[1], two / two.std(axis=0), 0.2, ("lot size", "bathrooms"), "In like units: straight to the bottom",
          (-2, -2), (22, 18))
plt.show()

# %% [markdown]
# ## Like units
#
# The cure is to measure each feature in units of its own: how many *standard deviations* is it from the mean?
#
# $$x' = \frac{x - \text{mean}}{\text{standard deviation}}$$
#
# Whose mean, and whose standard deviation? The **training set's, for both sets.** For two reasons. The model has
# learned what a weight means in those units; in other units, its weights are wrong. And the test houses stand for
# houses that will be sold next year: their mean is not known today. To use it is a **leak**, the first way of fooling
# yourself.
#
# ## Exercise 3: standardise
#
# Return both, standardised, as a pair. Each column has its own mean and standard deviation (`.mean(axis=...)`,
# `.std(axis=...)`). One case needs care: a column that is the same for all houses has standard deviation $0$. It
# should become all $0$, and not `nan`.

# %%
@tn.exercise("05.standardise")
def standardise(train, test):
    """Both tensors, less the mean and divided by the standard deviation that train has in each column."""
    # BEGIN SOLUTION
    #? mean, std = ..., ...
    #? return ..., ...
    mean, std = train.mean(axis=0), train.std(axis=0)
    std = tn.where(std == 0, 1.0, std)
    return (train - mean) / std, (test - mean) / std
    # END SOLUTION

# %%
tn.check("05.standardise")

# %%
a, b = standardise(train_x, test_x)
print("            train           test")
print("feature     mean    std     mean    std")
for j, feature in enumerate(houses.features[:5]):
    print(f"{feature:<10}{a[:, j].mean().item():6.2f} {a[:, j].std().item():6.2f}   "
          f"{b[:, j].mean().item():6.2f} {b[:, j].std().item():6.2f}")

# %% [markdown]
# The test set's means are *nearly* $0$, not exactly, and that is right: these houses are a little different from those
# we know.

# %% [markdown]
# ## The houses
#
# For this model the lowest point can also be computed at once, with a formula that is older than computers (**least
# squares**, Gauss and Legendre). It works for straight lines only, and descent works for everything. But it tells us
# whether we have arrived:

# %%
standard_x, standard_test = standardise(train_x, test_x)
w, b = fit(standard_x, train_y, lr=0.1, steps=200)
ones = np.ones((len(train_y), 1), np.float32)
exact = np.linalg.lstsq(np.hstack([standard_x.numpy(), ones]), train_y.numpy(), rcond=None)[0]
predicted = standard_test @ w + b
print(f"RMSE in training: {rmse(standard_x @ w + b, train_y):.4f} thousand by descent, "
      f"{rmse(standard_x @ tn.tensor(exact[:-1]) + exact[-1, 0].item(), train_y):.4f} by least squares")
print(f"RMSE of houses never seen: {rmse(predicted, test_y):.2f} thousand; "
      f"always the mean: {rmse(always_the_mean, test_y):.2f}")

# %%
ax = tn.viz.plot_predicted_vs_actual(test_y, predicted)
ax.set(xlabel="sold for (thousand dollars)", ylabel="predicted (thousand dollars)")
plt.show()

# %% [markdown]
# Each point is a house that the model had never seen. On the dashed line the prediction is right. $R^2$ is the share
# of the differences between the prices that the model explains: $1$ is everything, $0$ is what "always the mean" does.
#
# **Look at the expensive houses, on the right.** On which side of the line are they? A straight line cannot bend, and
# the price of a house does: a garage is worth more to a house that is worth more.
#
# ## Reading the weights
#
# The model has eleven numbers and you can ask it what each is worth. Divide a weight by the standard deviation, and it
# is in dollars for one more of the feature:

# %%
dollars = 1000 * w[:, 0] / train_x.std(axis=0)
for j in dollars.argsort(descending=True).tolist():
    print(f"one more {houses.features[j]:<9} {dollars[j].item():9,.0f} dollars")

# %% [markdown]
# Careful with such a table. It says that *of two houses that are alike in all else*, the one with air conditioning was
# sold for so much more. It does not say that air conditioning *makes* that price: perhaps houses that have it also
# have better kitchens, which nobody counted.
#
# ## The same, with tinynet's parts
#
# `nn.Linear` holds $w$ and $b$, `MSELoss` is your `mse`, `SGD` does the step, and `Trainer` the loop. One thing is
# new: each step looks only at a **batch** of 32 houses, drawn at random. The slope is then a little wrong, but a step
# costs a fraction, and one makes many more of them. A run through all the data is an **epoch**.
#
# `validation_split` holds a fifth of the *training* houses out, to watch how the model does on houses that it is not
# fitted to. Why not watch the test houses? The section after the next one is about that.

# %%
model = tn.nn.Linear(11, 1)
trainer = tn.Trainer(model, tn.nn.MSELoss(), tn.optim.SGD(model.parameters(), lr=0.02), metrics=["r2_score"])
history = trainer.fit(standard_x, train_y, epochs=tn.learn.sized(ci=15, laptop=20), batch_size=32,
                      validation_split=0.2)
print(f"RMSE of houses never seen: {rmse(trainer.predict(standard_test), test_y):.2f} thousand")

# %%
tn.viz.plot_history(history, "loss")[0].set(yscale="log", ylabel="loss (thousand dollars, squared)",
                                            title="It falls fast, then there is nothing left to learn")
plt.show()

# %% [markdown]
# Here is one step of the Trainer, as it stands in `tinynet/trainer.py`. Find your four points in it:

# %%
import inspect

print(inspect.getsource(tn.Trainer._step))

# %% [markdown]
# ## The second way of fooling yourself
#
# Try many things, and keep the one that does best on the test set. Each try is a ticket in a lottery. Below, a
# *useless* feature, a random number for each house, is added; two hundred times, another one. Nothing can be learned
# from it:

# %%
from tqdm.auto import tqdm

rng, lucky = np.random.default_rng(0), []
a, t = (np.hstack([part.numpy(), np.ones((len(part), 1))]) for part in (standard_x, standard_test))
for _ in tqdm(range(200), desc="useless features"):
    with_noise = np.hstack([a, rng.normal(size=(len(a), 1))]), np.hstack([t, rng.normal(size=(len(t), 1))])
    weights = np.linalg.lstsq(with_noise[0], train_y.numpy(), rcond=None)[0]
    lucky.append(rmse(tn.tensor(with_noise[1] @ weights), test_y))
honest = rmse(predicted, test_y)
print(f"without: {honest:.2f}   with a useless feature: mean {np.mean(lucky):.2f}, the best of 200 {min(lucky):.2f}")
print(f"{np.mean(np.array(lucky) < honest):.0%} of the useless features seem to help")

# %% [markdown]
# The best of them looks like progress, and is luck. So the test set is looked at *once*, at the end. To choose between
# models, or to watch a training, a third part is put away, the **validation** set.
#
# ## More houses
#
# If the larger data set is on this machine (20,640 districts of California, `housing/housing.csv` in the folder that
# `TINYNET_DATA` names), the same code runs on it:

# %%
try:
    larger = tn.data.datasets.california_housing(download=False)
except RuntimeError:
    print("not on this machine: nothing to do")
else:
    lx, ly = larger.tensors
    keep = ~lx.isnan().any(axis=1)  # in some districts the number of bedrooms is missing
    lx, ly = lx[keep], ly[keep] / 1000
    order = tn.randperm(len(lx))
    (lx, lt), ly, lty = standardise(lx[order[4000:]], lx[order[:4000]]), ly[order[4000:]], ly[order[:4000]]
    lw, lb = fit(lx, ly, lr=0.1, steps=tn.learn.sized(ci=50, laptop=500))
    the_mean = ly.mean() * tn.ones(len(lt), 1)
    print(f"RMSE {rmse(lt @ lw + lb, lty):.1f} thousand; always the mean: {rmse(the_mean, lty):.1f}")

# %% [markdown]
# ## What would break?
#
# 1. In `fit`, you do not forget the gradients. What does the path of the weights look like?
# 2. You standardise the test set by its own mean and standard deviation. A customer asks for the price of *one* house.
#    What do you say?
# 3. Someone adds the feature "price in the tax register of next year" and reports an RMSE of almost $0$. What
#    happened?
# 4. The weights start at $0$. Why is that no problem here? (Keep the question for lesson 7, where it will be one.)
#
# <details><summary>Answers</summary>
#
# 1. Each step uses the sum of all gradients so far. It builds up speed, runs across the valley, comes back, and
#    swings. (With a brake added, that is an idea: momentum, in lesson 7.)
# 2. The mean of one house is the house itself: every feature becomes $0$, and every customer hears the same price.
# 3. A leak again: what was paid this year is in next year's register. A result that is too good is a bug until proved
#    otherwise.
# 4. The loss of a straight-line model has one valley, shaped like a bowl: wherever you start, you end at the same
#    lowest point.
#
# </details>
#
# ## Further reading
#
# - G. James and others, *An Introduction to Statistical Learning*, chapter 3: linear regression, and what its numbers
#   do and do not say. Free online.
# - A. Géron, *Hands-On Machine Learning*, chapter 2: a project with the California houses, from the data to the
#   launch.
# - S. Kaufman and others, *Leakage in data mining* (2012): how competitions were won by accident.
# - P. Anglin and R. Gençay, *Semiparametric estimation of a hedonic price function* (1996): where these houses come
#   from.
