# %% [lesson]
# title: The CNN, on digits and photographs
# goal: Build the network that everybody starts with, know where its numbers are and where its time goes, and train it
#   to read 97 of 100 handwritten digits it has never seen. Then see it struggle with photographs.
# time: 75 minutes
# needs: Lesson 7 (optimizers, training), lesson 8 (convolution, pooling)
# seconds: ci 8, laptop 48, full 240

# %% [markdown]
# ## Predict first
#
# This is the network. Images of $28 \times 28$ pixels go in, ten scores come out. No convolution is padded.
#
# | layer | what comes out |
# |---|---|
# | convolution, 32 filters of $3 \times 3$ | 32 maps of ? |
# | ReLU, max pooling $2 \times 2$ | 32 maps of ? |
# | convolution, 64 filters of $3 \times 3$ | 64 maps of ? |
# | ReLU, max pooling $2 \times 2$ | 64 maps of ? |
# | flatten | a row of ? numbers |
# | linear, to 128 numbers, ReLU | 128 numbers |
# | linear, to 10 numbers | 10 scores |
#
# Fill in the question marks (a window of 3 fits $n - 2$ times along $n$ pixels, and pooling leaves out half a window).
# **And guess: which of the four layers with weights has the most of them? Which has the most work to do?**
#
# <details><summary>The sizes</summary>
#
# $28 \to 26 \to 13 \to 11 \to 5$: the row has $64 \cdot 5 \cdot 5 = 1600$ numbers. The guess is settled below.
#
# </details>
#
# ## Exercise 1: how many numbers are there to learn?
#
# A linear layer has a weight for each pair of an input and an output, and a bias for each output:
#
# $$\text{inputs} \cdot \text{outputs} + \text{outputs}$$
#
# How many has a convolution, from `inputs` channels to `outputs` channels with a window of `size` $\times$ `size`?

# %%
@tn.exercise("09.conv_parameters")
def conv_parameters(inputs, outputs, size):
    """How many weights and biases a convolution has."""
    # BEGIN SOLUTION
    return outputs * (inputs * size * size + 1)
    # END SOLUTION

# %%
tn.check("09.conv_parameters")

# %%
parts = [conv_parameters(1, 32, 3), conv_parameters(32, 64, 3), 1600 * 128 + 128, 128 * 10 + 10]
print(" + ".join(f"{n:,}" for n in parts), f"= {sum(parts):,}")

# %% [markdown]
# ## Exercise 2: the network
#
# Write it down: `nn.Sequential` of the layers in the table. There is nothing after the last linear layer. (Why not a
# softmax? `CrossEntropyLoss` takes the scores: lesson 6.)

# %%
nn = tn.nn


@tn.exercise("09.mnist_network")
def mnist_network():
    """The network of the table."""
    # BEGIN SOLUTION
    return nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(64 * 5 * 5, 128), nn.ReLU(), nn.Linear(128, 10))
    # END SOLUTION

# %%
tn.check("09.mnist_network")

# %%
summary = tn.summary(mnist_network(), input_size=(1, 1, 28, 28))
print(summary)

# %% [markdown]
# Look at the columns *Parameters* and *Multiply-adds*. They tell opposite stories:

# %%
def shares(name):
    """The part that each layer with weights has in the total."""
    numbers = [getattr(layer, name) for layer in summary.layers if layer.parameters]
    return [n / sum(numbers) for n in numbers]


names = ["conv 1", "conv 2", "linear 1", "linear 2"]
fig, ax = plt.subplots(figsize=(6.4, 2.8))
places = np.arange(4)
ax.bar(places - 0.2, shares("parameters"), 0.4, color="0.75", edgecolor="black", label="of the numbers to learn")
ax.bar(places + 0.2, shares("multiply_adds"), 0.4, color="0.25", edgecolor="black", label="of the work")
ax.set(xticks=places, xticklabels=names, ylabel="share", title="The numbers are in one layer, the work is in another")
ax.legend(loc="upper left")
plt.show()

# %% [markdown]
# A convolution uses each of its few weights at hundreds of places: few numbers, much work. A linear layer uses each
# weight once. So if a network is too *large*, look at its linear layers; if it is too *slow*, at its convolutions. We
# are going to train on thousands of images: the convolutions must be fast.
#
# ## Convolution as one matrix product
#
# Computers are fastest at products of large matrices. At the end of lesson 8 you saw the trick that makes one of a
# convolution. Copy the pixels under each window into a column of a matrix $X$. Write each filter as a row of a matrix
# $W$. Then row times column is just "multiply and add up", for every filter at every place:
#
# $$Y = W X$$
#
# Here is $X$ for one image of $4 \times 4$ pixels, numbered, and a window of $2 \times 2$:

# %%
example = np.arange(16.0).reshape(1, 1, 4, 4)
columns = tn.learn.find("09.im2col")(example, (2, 2), 1, 0)  # what you will write in a moment
fig, axes = plt.subplots(1, 2, figsize=(7.5, 2.7), width_ratios=[1, 2.2])
for ax, matrix, title in ((axes[0], example[0, 0], "the image"), (axes[1], columns, "X: a column for each place")):
    ax.imshow(matrix, cmap="Greys", vmin=0, vmax=32)
    for (r, s), n in np.ndenumerate(matrix):
        ax.text(s, r, f"{n:g}", ha="center", va="center", fontsize=9)
    ax.set(title=title, xticks=[], yticks=[])
    ax.grid(False)
for ax, corner in ((axes[0], (-0.5, -0.5)), (axes[1], (-0.5, -0.5))):
    ax.add_patch(plt.Rectangle(corner, 2 if ax is axes[0] else 1, 2 if ax is axes[0] else 4, fill=False, linewidth=3,
                               clip_on=False))
axes[1].set(yticks=range(4), yticklabels=["weight (0, 0)", "weight (0, 1)", "weight (1, 0)", "weight (1, 1)"])
plt.show()

# %% [markdown]
# The framed window is the framed column. Read $X$ the other way, along a **row**: those are the pixels that *one
# weight* meets at all places. In the image they are a rectangle, moved by $(i, j)$. So each row is one slice of the
# image, and a loop over the few weights of a window is enough.
#
# ## Exercise 3: im2col
#
# With several images and channels, the rows go over channels, $i$ and $j$; the columns over images, rows and columns
# of places. Fill `out` for one weight $(i, j)$ at a time. A slice may have a step: `a[start:stop:step]`.

# %%
@tn.exercise("09.im2col")
def im2col(x, size, stride, padding):
    """(C * kh * kw, N * rows * columns): the pixels under each window of size (kh, kw) in a column."""
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    n, c, h, w = x.shape
    rows, columns = (h - size[0]) // stride + 1, (w - size[1]) // stride + 1
    out = np.zeros((c, *size, n, rows, columns), x.dtype)
    for i in range(size[0]):
        for j in range(size[1]):
            # BEGIN SOLUTION
            #? met = ...  # (n, c, rows, columns): what weight (i, j) meets
            #? out[:, i, j] = ...  # the same, channels first
            met = x[:, :, i:i + rows * stride:stride, j:j + columns * stride:stride]
            out[:, i, j] = met.transpose(1, 0, 2, 3)
            # END SOLUTION
    return out.reshape(c * size[0] * size[1], n * rows * columns)

# %%
tn.check("09.im2col")

# %% [markdown]
# What is it worth? Against the loop of lesson 8 (tinynet's solution of it), for a batch of 32 images with 8 channels:

# %%
import time

naive = tn.learn.find("08.conv2d")


def by_product(x, w, b):
    y = w.reshape(len(w), -1) @ im2col(x, w.shape[2:], 1, 0) + b[:, None]
    return y.reshape(len(w), len(x), x.shape[2] - 2, x.shape[3] - 2).transpose(1, 0, 2, 3)


def seconds(function, *args):
    """The best of five."""
    times = []
    for _ in range(5):
        start = time.perf_counter()
        function(*args)
        times.append(time.perf_counter() - start)
    return min(times)


rng = np.random.default_rng(0)
x, w, b = (rng.normal(size=s).astype("float32") for s in ((32, 8, 28, 28), (16, 8, 3, 3), (16,)))
slow, fast = seconds(naive, x, w, b, 1, 0), seconds(by_product, x, w, b)
print(f"place by place {slow * 1e3:.0f} ms, as one product {fast * 1e3:.1f} ms: {slow / fast:.1f} times faster")
print(f"they differ by {np.abs(naive(x, w, b, 1, 0) - by_product(x, w, b)).max():.0e} at most")
print(f"the price: X has {im2col(x, (3, 3), 1, 0).size / x.size:.1f} times as many numbers as the images")

# %% [markdown]
# tinynet's plain ("reference") kernels do exactly this. With `tn.use` they lay out the pixels by *your* function. (The
# training below takes the compiled kernels: they need no $X$ at all, and lesson 15 shows how. They are held to the
# plain ones by tests.)

# %%
tn.use(im2col)
layer, some = nn.Conv2d(8, 16, 3), tn.tensor(x)
with tn.use_kernels("reference"):
    plain = layer(some)
tn.use(None)
print(f"plain kernels with im2col, and compiled ones: they differ by {(plain - layer(some)).abs().max().item():.0e}")

# %% [markdown]
# ## The digits
#
# MNIST has 60,000 handwritten digits to learn from and 10,000 by other writers to test with. If it is not on this
# machine, the $8 \times 8$ digits that come with tinynet stand in, enlarged to the same size: fewer, and easier.

# %%
F = nn.functional


def digits(train):
    """Images (N, 1, 28, 28) from 0 (paper) to 1 (ink), and labels."""
    try:
        return tn.data.datasets.mnist(train=train, download=False).tensors
    except RuntimeError:  # it is not on this machine
        images, labels = tn.data.datasets.digits(train=train).tensors
        return F.pad(F.interpolate(images, size=(20, 20), mode="bilinear"), (4, 4, 4, 4)), labels


count = tn.learn.sized(ci=300, laptop=10_000, full=60_000)
train = tuple(t[:count] for t in digits(train=True))
test = tuple(t[:tn.learn.sized(ci=300, laptop=10_000)] for t in digits(train=False))
print(f"{len(train[0]):,} to learn from, {len(test[0]):,} to test with")
tn.viz.plot_images(train[0][:16], titles=train[1][:16].tolist())
plt.show()

# %% [markdown]
# ## Exercise 4: reach the target
#
# Now train. `tn.Trainer` is the loop of lesson 7 with a progress bar. Choose an optimizer, its learning rate and the
# size of the batches, and return what `trainer.fit` returns: the history, with a number for each epoch. The check
# trains a small network for 8 epochs with your choices, and wants 90 % of new digits read right. There are many right
# answers. (One thing that helps is to take smaller steps towards the end; `tn.optim.lr_scheduler` has ways to do that,
# and the Trainer takes one as `scheduler=`. You can do without.)
#
# - `trainer = tn.Trainer(model, loss, optimizer, metrics=["accuracy"])`
# - `trainer.fit(images, labels, epochs=..., batch_size=..., validation_data=(images, labels), verbose=...)`

# %%
@tn.exercise("09.fit")
def fit(model, train, test, epochs, verbose=True):
    """Train the model on train = (images, labels), looking at test after each epoch; the history."""
    # BEGIN SOLUTION
    #? optimizer = ...
    #? trainer = ...
    #? return trainer.fit(*train, ..., validation_data=test, verbose=verbose)
    steps = epochs * -(-len(train[0]) // 32)
    optimizer = tn.optim.Adam(model.parameters(), lr=2e-3)
    decay = tn.optim.lr_scheduler.LambdaLR(optimizer, lambda step: max(0.0, 1 - step / steps))  # down to 0 at the end
    trainer = tn.Trainer(model, nn.CrossEntropyLoss(), optimizer, metrics=["accuracy"],
                         scheduler=decay, scheduler_each="batch")
    return trainer.fit(*train, epochs=epochs, validation_data=test, batch_size=32, verbose=verbose)
    # END SOLUTION

# %%
tn.check("09.fit")

# %% [markdown]
# The target: 97 % with 10,000 images (a minute or so), 99 % with all of them.

# %%
tn.manual_seed(0)
model = mnist_network()
history = fit(model, train, test, epochs=tn.learn.sized(ci=2, laptop=4, full=8)).history

# %%
target = tn.learn.sized(ci=0.6, laptop=0.97, full=0.99)
accuracy = history["val_accuracy"][-1]
print(f"{accuracy:.2%} of {len(test[0]):,} new digits are read right; the target of {target:.0%} is",
      "reached" if accuracy >= target else "not reached: try other rates, or an epoch more")
tn.viz.plot_history(history, ["loss", "accuracy"])
plt.show()

# %% [markdown]
# ## What it sees
#
# The maps of one digit, after the first convolution and ReLU, and after the second: some of the 32, some of the 64.

# %%
digit = test[0][:1]
with tn.no_grad():
    first, second = model[:2](digit).numpy()[0], model[:5](digit).numpy()[0]
fig, axes = plt.subplots(2, 9, figsize=(8, 2.2))
axes[0, 0].imshow(digit[0, 0].numpy(), cmap="gray_r")
for row, maps in zip(axes, (first, second), strict=True):
    strongest = np.argsort(-maps.max((1, 2)))[:8]
    for ax, k in zip(row[1:], strongest, strict=True):
        ax.imshow(maps[k], cmap="gray_r", vmin=0)
for ax in axes.ravel():
    ax.set(xticks=[], yticks=[])
axes[1, 0].axis("off")
axes[0, 1].set_ylabel("first", fontsize=8)
axes[1, 1].set_ylabel("second", fontsize=8)
fig.suptitle("Strokes and edges first, then parts of the digit, coarser")
plt.show()

# %% [markdown]
# ## Its worst mistakes
#
# An average hides what goes wrong. So look at it: of all digits that are read wrongly, those where the network was most
# certain. Above each: what it is, what was read, and how certain. **Would you have read them?**

# %%
def worst(model, images, labels, most=8):
    """The numbers of the most certain mistakes, what was read, and the probabilities."""
    with tn.no_grad():
        probabilities = tn.cat([model(images[k:k + 500]) for k in range(0, len(images), 500)]).softmax(1).numpy()
    read = probabilities.argmax(1)
    certain = np.where(read == labels.numpy(), 0, probabilities.max(1))
    order = np.argsort(-certain)[:most]
    return [int(k) for k in order if certain[k] > 0], read, certain


found, read, certain = worst(model, *test)
if found:
    tn.viz.plot_images(test[0][found], titles=[f"{test[1][k].item()} as {read[k]}, {certain[k]:.0%}" for k in found])
    plt.show()
print(f"{(read != test[1].numpy()).sum()} mistakes in {len(read):,} digits")

# %% [markdown]
# ## Photographs
#
# CIFAR-10 holds photographs of $32 \times 32$ pixels, in colour: three channels. Ten kinds of things, seen from all
# sides, in front of anything. (If it is not on this machine: coloured digits on a coloured ground. They are not as
# hard.) The network gets one convolution more, and it is *smaller* than the one for digits. **Predict: by how much? And
# how well will it do?**

# %%
def photographs(train):
    """Images (N, 3, 32, 32), labels, and what the labels mean."""
    try:
        data = tn.data.datasets.cifar10(train=train, download=False)
        return *data.tensors, data.classes
    except RuntimeError:  # it is not on this machine
        ink, labels = tn.data.datasets.digits(train=train).tensors
        ink = F.interpolate(ink, size=(32, 32), mode="bilinear")
        front, ground = tn.rand(2, len(ink), 3, 1, 1)
        return ground + ink * (front - ground), labels, [str(k) for k in range(10)]


*train, classes = photographs(train=True)
*test, _ = photographs(train=False)
count = tn.learn.sized(ci=100, laptop=8_000, full=50_000)
train = tuple(t[:count] for t in train)
test = tuple(t[:tn.learn.sized(ci=100, laptop=4_000, full=10_000)] for t in test)
tn.viz.plot_images(train[0][:16], titles=[classes[k] for k in train[1][:16].tolist()])
plt.show()

# %%
tn.manual_seed(0)
model = nn.Sequential(
    nn.Conv2d(3, 32, 3), nn.ReLU(), nn.MaxPool2d(2),
    nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
    nn.Conv2d(64, 64, 3), nn.ReLU(),
    nn.Flatten(), nn.Linear(64 * 4 * 4, 64), nn.ReLU(), nn.Linear(64, 10))
parts = [conv_parameters(*sizes, 3) for sizes in ((3, 32), (32, 64), (64, 64))] + [1024 * 64 + 64, 64 * 10 + 10]
print(" + ".join(f"{n:,}" for n in parts), f"= {sum(parts):,};",
      f"the model says {sum(p.numel() for p in model.parameters()):,}")

# %%
history = fit(model, train, test, epochs=tn.learn.sized(ci=2, laptop=5, full=10)).history
print(f"{history['val_accuracy'][-1]:.1%} of {len(test[0]):,} new images are named right; guessing gives 10%")
tn.viz.plot_history(history, ["loss", "accuracy"])
plt.show()

# %% [markdown]
# Far from what the digits gave, with more work. Which things does it confuse? Each row is what a picture shows, each
# column what was said.

# %%
_, said, _ = worst(model, *test)
fig, ax = plt.subplots(figsize=(6, 6))
tn.viz.plot_confusion(tn.metrics.confusion_matrix(test[1], said, labels=range(10)), labels=classes, ax=ax)
ax.grid(False)
plt.show()

# %% [markdown]
# With photographs you will find cats among the dogs, and trucks among the cars: the mistakes have sense in them.
# Animals are seldom taken for vehicles. What would help? More images, and a network that does not learn the ones it has
# by heart: that is lesson 10. Deeper networks: lesson 11.
#
# ## What would break?
#
# 1. Give `fit` the labels in order (all zeros first, then all ones, ...) and do not shuffle. What does the network
#    answer at the end of an epoch?
# 2. Leave out both poolings. How many inputs has the first linear layer then, and how many weights?
# 3. Take the network as it was trained on digits and turn every test image upside down. Which digits survive?
# 4. Divide all pixels by 255 once more, by mistake. Does it still learn?
#
# <details><summary>Answers</summary>
#
# 1. Mostly the last digit it saw: each batch pulls all weights towards its own label.
# 2. $28 \to 26 \to 24$: $64 \cdot 24 \cdot 24 = 36{,}864$ inputs, so 4.7 million weights in that layer alone.
# 3. Those that look alike: 0, 8, often 1. It never saw the others so. A convolution knows of shifts, not of turns.
# 4. Slowly. The pixels are nearly 0, so the first layer gives little but its biases, and its gradients are as small.
#    Adam makes up for some of it; plain SGD gets stuck.
#
# </details>
#
# ## Further reading
#
# - Y. LeCun and others, *Gradient-based learning applied to document recognition*, Proc. IEEE 86 (1998): MNIST, and the
#   network LeNet-5.
# - A. Krizhevsky, *Learning multiple layers of features from tiny images* (2009): CIFAR-10.
# - A. Krizhevsky, I. Sutskever and G. Hinton, *ImageNet classification with deep convolutional neural networks* (2012).
# - M. Zeiler and R. Fergus, *Visualizing and understanding convolutional networks* (2014): what deeper maps answer to.
# - C. Northcutt, A. Athalye and J. Mueller, *Pervasive label errors in test sets* (2021): some of the worst mistakes
#   are not the network's.
