# %% [lesson]
# title: Softmax, cross-entropy, and how to count mistakes
# goal: Make a model choose between classes and say how sure it is, derive the most used gradient in deep learning
#   yourself, and judge a classifier by more than one number.
# time: 60 minutes
# needs: Lessons 2 (shapes), 3 (rules), 4 (checking them) and 5 (the training loop); what a logarithm is
# seconds: ci 3, laptop 8

# %% [markdown]
# ## Predict first
#
# A model looks at a photo and gives three *scores*: cat $2$, dog $1$, bird $-1$. Turn them into three shares of
# certainty: none negative, together $1$, and a higher score gets more. **Write down your three numbers, and how you
# got them.** Would your way still work for the scores $(-1, -2, -4)$?

# %%
scores = np.array([2.0, 1.0, -1.0])
shares = np.exp(scores) / np.exp(scores).sum()
for name, score, share in zip(("cat", "dog", "bird"), scores, shares, strict=True):
    print(f"{name:<5} score {score:4.0f}   e^score {np.exp(score):6.3f}   share {share:.3f}")

# %% [markdown]
# <details><summary>Why not just divide each score by their sum?</summary>
#
# The sum may be $0$ or negative, and a negative score gives a negative share. So first make the scores positive,
# keeping their order. $e^s$ does that, for any $s$. There are other ways. This one has a property that will soon be
# worth gold: its slope is the simplest there could be.
#
# </details>
#
# ## Softmax
#
# With $s$ for the scores and $p$ for the shares:
#
# $$p_i = \frac{e^{s_i}}{\sum_j e^{s_j}}$$
#
# Only *differences* of scores matter. Add $3$ to all of them, and every $e^{s}$ is multiplied by the same $e^3$, which
# cancels. One point more than another class means $e \approx 2.7$ times its share, wherever the two are. **Predict:**
# what comes out for the scores $(1000, 999, 998)$?

# %%
def softmax_naively(s):
    return np.exp(s) / np.exp(s).sum()


with np.errstate(all="ignore"):
    for s in ([3.0, 2.0, 1.0], [103.0, 102.0, 101.0], [1000.0, 999.0, 998.0]):
        print(s, softmax_naively(np.array(s)).round(3))

# %% [markdown]
# On paper all three are the same. The computer cannot hold $e^{1000}$: it becomes `inf`, and `inf / inf` is `nan`. One
# such number, and every weight of the network is `nan` after the next step. The cure follows from what you have seen:
# subtract the largest score from all of them first. The result is the same, and no exponent is above $0$.
#
# ## The logarithm of it
#
# In a moment we will need not $p$ itself, but its logarithm ($\log$ is the natural one here, `np.log`, which undoes
# $e^x$). By the rule $\log(a / b) = \log a - \log b$ it is
#
# $$\log p_i = s_i - \log \sum_j e^{s_j}$$
#
# The last part is called **logsumexp**. It is the only dangerous step of this lesson, so write it once, and write it
# well.
#
# ## Exercise 1: logsumexp
#
# For each row of `s`, $\log \sum_j e^{s_j}$. It must be right for scores of $10\,000$ and of $-10\,000$. Take $m$, the
# largest score of the row. How does $\log \sum_j e^{s_j}$ change when you subtract $m$ from all scores, and how do you
# make up for it?

# %%
@tn.exercise("06.logsumexp")
def logsumexp(s):
    """log of the sum of exp(s) over each row: (n, k) makes (n,)."""
    # BEGIN SOLUTION
    m = s.max(axis=1, keepdims=True)
    return m[:, 0] + np.log(np.exp(s - m).sum(axis=1))
    # END SOLUTION

# %%
tn.check("06.logsumexp")

# %% [markdown]
# ## What being wrong should cost
#
# The photo shows a dog, and the model gave it the share $p$. Lesson 5 would say: the loss is $(1 - p)^2$. But think of
# a model that is *sure and wrong*, $p = 0.0001$. It should learn the most of all. Its loss is near $1$, and if its
# score rises a little, $p$ goes from $0.0001$ to $0.00011$, and the loss is still $1$. There is no slope to walk down.
#
# Take instead the **surprise**, $-\log p$. Certain and right costs $0$. Each time $p$ is halved, the same amount is
# added, without end.
#
# $$L = -\log p_{\text{label}}$$
#
# Here are both, and their slopes, by the score of the right class, where another class has score $0$:

# %%
s = np.linspace(-8, 8, 200)
p = 1 / (1 + np.exp(-s))
fig, axes = plt.subplots(1, 2, figsize=(8, 3.2))
axes[0].plot(s, -np.log(p), label=r"$-\log p$")
axes[0].plot(s, (1 - p) ** 2, label="$(1 - p)^2$")
axes[0].set(xlabel="score of the right class", ylabel="loss", title="What it costs", ylim=(-0.3, 8))
axes[1].plot(s, p - 1, label=r"$-\log p$")
axes[1].plot(s, -2 * (1 - p) ** 2 * p, label="$(1 - p)^2$")
axes[1].set(xlabel="score of the right class", ylabel="slope of the loss", title="Sure and wrong: only one has a slope")
for ax in axes:
    ax.legend()
plt.show()

# %% [markdown]
# This loss is called **cross-entropy**. For a whole batch one takes the mean. With what you know about $\log p$:
#
# $$L = \frac{1}{n} \sum_i \left( \text{logsumexp}(s_i) - s_{i,\,\text{label}_i} \right)$$
#
# ## Exercise 2: cross-entropy
#
# `scores` is $(n, k)$, and `labels` are $n$ whole numbers, from $0$ to $k - 1$. To take from each row the element of
# its label, index with two arrays: `scores[np.arange(n), labels]`. Use your `logsumexp`. Do not compute $p$ and then
# its logarithm: where $p$ is too small for the computer, that is $\log 0$.

# %%
@tn.exercise("06.cross_entropy")
def cross_entropy(scores, labels):
    """The mean of -log p[label] over the rows, where p is the softmax of the row."""
    # BEGIN SOLUTION
    right = scores[np.arange(len(labels)), labels]
    return np.mean(logsumexp(scores) - right)
    # END SOLUTION

# %%
tn.check("06.cross_entropy")

# %% [markdown]
# A number to remember. **Predict:** a model for ten digits knows nothing yet and gives all of them the same score.
# What is its loss?

# %%
print(f"ten classes, nothing known: {cross_entropy(np.zeros((5, 10)), np.arange(5)):.4f}; log 10 is {np.log(10):.4f}")

# %% [markdown]
# If the first loss of a network of yours is far from $\log k$, look for a mistake before you train on.
#
# ## The gradient
#
# The loss has a slope by each score: how fast it rises if *that one* does, and the others stay. It is written
# $\partial L / \partial s_i$, with a round d. First logsumexp. The slope of $\log u$ is $1 / u$, that of $e^{s_i}$ is
# itself, and along the path they multiply:
#
# $$\frac{\partial}{\partial s_i} \log \sum_j e^{s_j} = \frac{e^{s_i}}{\sum_j e^{s_j}} = p_i$$
#
# The slope of logsumexp is softmax! And $-s_{\text{label}}$ has slope $-1$ at the label, and $0$ elsewhere. Together,
# for one row:
#
# $$\frac{\partial L}{\partial s_i} = p_i - \begin{cases} 1 & \text{if } i \text{ is the label} \\ 0 & \text{if not}
# \end{cases}$$
#
# *What the model said, minus what is true.* Nearly every classifier and every language model is trained with this
# difference.
#
# ## Exercise 3: the gradient of cross-entropy
#
# For the mean over $n$ rows. An array like `scores`. ($p = e^{\log p}$, and you have a safe way to $\log p$.)

# %%
@tn.exercise("06.cross_entropy_gradient")
def cross_entropy_gradient(scores, labels):
    """The gradient of cross_entropy(scores, labels) by each of the scores."""
    # BEGIN SOLUTION
    #? p = ...
    #? ...  # minus 1 at the labels, and the mean over the rows
    #? return ...
    p = np.exp(scores - logsumexp(scores)[:, None])
    p[np.arange(len(labels)), labels] -= 1
    return p / len(labels)
    # END SOLUTION

# %%
tn.check("06.cross_entropy_gradient")

# %% [markdown]
# Each row of it adds up to $0$: what one class loses, the others gain. The check used this, as well as measured
# slopes. Here is what stands in the engine, in `tinynet/kernels/reference/softmax.py`. Read the two functions against
# yours (`p` comes from the way there, and `g` is what the loss is worth):

# %%
import inspect

from tinynet.kernels.reference import softmax as engine

print(inspect.getsource(engine.log_softmax))
print(inspect.getsource(engine.label_loss_grad))

# %% [markdown]
# ## Digits, by your gradient
#
# The model of lesson 5, once for each class: ten scores, each an image's $64$ numbers times $64$ weights, added up,
# plus a bias. `tn.use` puts your gradient into the engine's place, so this training runs on it:

# %%
images, labels = tn.data.datasets.digits(train=True).tensors
test_images, test_labels = tn.data.datasets.digits(train=False).tensors
flat, test_flat = images.reshape(len(images), 64), test_images.reshape(len(test_images), 64)
tn.use(cross_entropy_gradient)
model = tn.nn.Linear(64, 10)
trainer = tn.Trainer(model, tn.nn.CrossEntropyLoss(), tn.optim.SGD(model.parameters(), lr=0.2), metrics=["accuracy"])
history = trainer.fit(flat, labels, epochs=tn.learn.sized(ci=8, laptop=15))
tn.use(None)
found = trainer.evaluate(test_flat, test_labels)
print(f"first loss {history.history['loss'][0]:.2f} (mean of the first epoch), "
      f"last {history.history['loss'][-1]:.2f}; {found['accuracy']:.1%} of {len(test_labels)} new digits are right")

# %% [markdown]
# Each digit has $64$ weights: one for each place of the image. So they can be shown as an image: dark where ink speaks
# *for* the digit, light where it speaks against it.

# %%
fig, axes = plt.subplots(2, 5, figsize=(6.4, 2.9))
most = model.weight.detach().abs().max().item()
for digit, ax in enumerate(axes.flat):
    ax.imshow(model.weight[digit].detach().reshape(8, 8).numpy(), cmap="gray_r", vmin=-most, vmax=most)
    ax.set(title=f"for a {digit}", xticks=[], yticks=[])
    ax.grid(False)
plt.show()

# %% [markdown]
# Look at the $0$: ink in the middle speaks strongly against it.
#
# ## Which mistakes?
#
# One number, the share that is right (**accuracy**), does not say what goes wrong. The **confusion matrix** does: row
# $i$, column $j$ counts the images of digit $i$ that were read as $j$. Right ones are on the diagonal. **Predict** two
# digits that are confused.

# %%
predicted = trainer.predict(test_flat).argmax(axis=1)
matrix = tn.metrics.confusion_matrix(test_labels, predicted)
fig, ax = plt.subplots(figsize=(5, 4.6))
tn.viz.plot_confusion(matrix, ax=ax)
ax.grid(visible=False, which="major")
ax.set(title="What is read as what")
plt.show()

# %% [markdown]
# ## When accuracy lies
#
# Suppose that only the $8$s matter: is this one or not? Here is a program for it, and its accuracy:

# %%
is_eight = (test_labels == 8).numpy()
says_eight = np.zeros(len(is_eight), bool)  # the program: always no
print(f"accuracy of 'always no': {np.mean(is_eight == says_eight):.1%}")

# %% [markdown]
# Where a class is rare, "no" is nearly always right. A test for a rare illness that finds nobody would be $99.9\%$
# accurate. So one asks two questions. Of those *called* positive, how many are? And of those that *are*, how many were
# found?
#
# $$\text{precision} = \frac{\text{rightly called positive}}{\text{all called positive}} \qquad
# \text{recall} = \frac{\text{rightly called positive}}{\text{all that are positive}}$$
#
# Each alone is easy to cheat: call everything positive, and recall is $1$. So they are often put into one number that
# is high only if *both* are, **F1**:
#
# $$F_1 = \frac{2 \cdot \text{precision} \cdot \text{recall}}{\text{precision} + \text{recall}}$$
#
# ## Exercise 4: precision, recall, F1
#
# `true` and `predicted` are arrays of labels, and `positive` is the one that counts as positive. Where you would
# divide by $0$ (nothing was called positive, say), the answer is $0$.

# %%
@tn.exercise("06.precision_recall_f1")
def precision_recall_f1(true, predicted, positive):
    """(precision, recall, F1) of the label `positive`; 0 where there would be a division by 0."""
    # BEGIN SOLUTION
    #? hits = ...
    #? called, there = ..., ...
    #? ...
    #? return ..., ..., ...
    hits = np.sum((predicted == positive) & (true == positive))
    called, there = np.sum(predicted == positive), np.sum(true == positive)
    precision = hits / called if called else 0.0
    recall = hits / there if there else 0.0
    f1 = 2 * precision * recall / (precision + recall) if hits else 0.0
    return precision, recall, f1
    # END SOLUTION

# %%
tn.check("06.precision_recall_f1")

# %%
print("digit   precision   recall     F1")
for digit in range(10):
    scores_of_it = precision_recall_f1(test_labels.numpy(), predicted.numpy(), digit)
    print(f"{digit:>5}" + "".join(f"{score:11.3f}" for score in scores_of_it))

# %% [markdown]
# ## The two pull against each other
#
# To call something an $8$, how sure must the model be? If you ask for $p > 0.9$, what it calls an $8$ is one, and
# many are missed. If $p > 0.01$ is enough, it is the other way round. Move the threshold and draw both:

# %%
from tqdm.auto import tqdm

shares = tn.nn.functional.softmax(trainer.predict(test_flat), dim=1)[:, 8].numpy()
thresholds = np.geomspace(3e-4, 0.99 * shares.max(), 60)
rows = [precision_recall_f1(is_eight, shares > t, True) for t in tqdm(thresholds, desc="thresholds")]
precision, recall, f1 = np.array(rows).T
fig, ax = plt.subplots()
for values, name in ((precision, "precision"), (recall, "recall"), (f1, "F1")):
    ax.semilogx(thresholds, values, label=name)
ax.set(xlabel="called an 8 if p is above this threshold", ylabel="share", ylim=(0, 1.05),
       title="Sure enough: precision goes up, recall goes down")
ax.legend()
plt.show()
print(f"F1 is highest, {f1.max():.3f}, at the threshold {thresholds[f1.argmax()]:.2f}")

# %% [markdown]
# Which threshold is right is not a question of mathematics. A filter for spam wants precision: no letter of a friend
# must be lost. A test that decides who gets a second examination wants recall.
#
# ## What would break?
#
# 1. A model ends with a softmax layer, and is trained with `CrossEntropyLoss`, which has a softmax inside. Nothing
#    crashes. What is the smallest loss it can reach for ten classes? (The first softmax gives at best $1, 0, \dots,
#    0$.)
# 2. In your gradient, you forget to divide by $n$. Which of the checks of lesson 4 would tell you, and in which words?
# 3. `logsumexp` subtracts the largest score *of the whole array*, not of each row. When does that go wrong?
# 4. A data set has 990 healthy and 10 ill people. What are accuracy, precision and recall of "all are ill"?
#
# <details><summary>Answers</summary>
#
# 1. $-\log\left(e / (e + 9)\right) \approx 1.46$, instead of $0$. It learns, slowly and badly, and it is one of the
#    commonest mistakes there are. tinynet's Trainer warns of it.
# 2. gradcheck: "constant ratio: the gradient is $n$ times the slope everywhere ... a sum, where the $1/n$ of a mean is
#    missing".
# 3. When rows are far apart: in a row whose scores all lie $1000$ below the largest of the array, every $e^{s - m}$ is
#    $0$, and its logarithm is $-\infty$. The check tries it.
# 4. Accuracy $1\%$, precision $1\%$, recall $100\%$.
#
# </details>
#
# ## Further reading
#
# - M. Nielsen, *Neural Networks and Deep Learning*, chapter 3, "The cross-entropy cost function".
# - C. Bishop, *Pattern Recognition and Machine Learning*, section 4.3: where softmax comes from.
# - P. Blanchard, D. Higham and N. Higham, *Accurately computing the log-sum-exp and softmax functions* (2021).
# - C. Guo and others, *On calibration of modern neural networks* (2017): when a network says $90\%$, is it right
#   $90\%$ of the time?
