# %% [lesson]
# title: Generalisation
# goal: See a network learn its examples by heart, and know what to do about it: hold data out, stop in time, move the
#   images, drop units, normalise the layers. Measure what each of them is worth.
# time: 90 minutes
# needs: Lesson 9 (training a CNN), lesson 2 (sums over axes)
# seconds: ci 8, laptop 105, full 700

# %% [markdown]
# ## Predict first
#
# A network is trained on a thousand images, again and again, until it names nearly **all** of them right. **Of images
# it has never seen, how many will it name right? And what happened to that number on the way?** Draw two curves, the
# accuracy on the images it learns from and on new ones, over the epochs. Then go on.
#
# ## Three kinds of data
#
# What we want is to be right about things never seen. The loss that we make small says nothing about those: a table of
# all images with their labels would make it 0. So some data are kept apart, and each part has one purpose:
#
# | part | what it is for | how often it is looked at |
# |---|---|---|
# | **training** | the gradients | all the time |
# | **validation** | to choose: when to stop, which network, which rate | after each epoch |
# | **test** | to say how good the one is that was chosen | **once**, at the very end |
#
# Why not choose by the test data? Of twenty networks that are equally good, one has luck on just these images. If you
# choose it for that, the luck goes into your number. It will not be there tomorrow.
#
# Photographs, if CIFAR-10 is on this machine (few of them, so that the effect is seen soon); else the small digits that
# come with tinynet (very few).

# %%
nn, F = tn.nn, tn.nn.functional
try:
    known, final = (tn.data.datasets.cifar10(train=t, download=False) for t in (True, False))
    count, shift = tn.learn.sized(ci=100, laptop=1_000, full=4_000), 4
except RuntimeError:  # it is not on this machine
    known, final = (tn.data.datasets.digits(train=t) for t in (True, False))
    count, shift = tn.learn.sized(ci=100, laptop=200), 1
held_out = tn.learn.sized(ci=100, laptop=1_000)
images, labels = known.tensors
train = images[:count], labels[:count]
validation = images[count:count + held_out], labels[count:count + held_out]
test = tuple(t[:held_out] for t in final.tensors)
channels, side = images.shape[1:3]
print(f"{count:,} images to learn from, {len(validation[0]):,} to choose by, {len(test[0]):,} for the end")

# %% [markdown]
# ## By heart
#
# A network like those of lesson 9. The two options, dropout and batch norm, come later in this lesson; at first both
# are off.

# %%
def network(dropout=0.0, norm=False):
    """Two convolutions and two linear layers."""
    def block(inputs, outputs):
        layers = [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        return [layers[0], nn.BatchNorm2d(outputs), *layers[1:]] if norm else layers

    drop = [nn.Dropout(dropout)] if dropout else []
    return nn.Sequential(
        *block(channels, 16), *block(16, 32), nn.Flatten(), *drop,
        nn.Linear(32 * (side // 4) ** 2, 64), nn.ReLU(), *drop, nn.Linear(64, 10))


HISTORIES, MODELS = {}, {}
epochs = tn.learn.sized(ci=2, laptop=24, full=40)


def train_it(name, change=None, **options):
    """Train a network, and keep it and its history under this name. change: what is done to each batch of images."""
    tn.manual_seed(0)
    model = MODELS[name] = network(**options)
    loader = tn.data.DataLoader(tn.data.TensorDataset(*train), 32, shuffle=True, collate_fn=change)
    trainer = tn.Trainer(model, nn.CrossEntropyLoss(), tn.optim.Adam(model.parameters(), lr=2e-3), metrics=["accuracy"])
    HISTORIES[name] = trainer.fit(loader, epochs=epochs, validation_data=validation).history


train_it("plain")

# %%
tn.viz.plot_history(HISTORIES["plain"])
plt.show()
last = HISTORIES["plain"]
print(f"at the end: {last['accuracy'][-1]:.0%} of the training images, {last['val_accuracy'][-1]:.0%} of new ones")

# %% [markdown]
# The loss on the training images falls and falls. The loss on new ones falls, stops, and then **rises**: from there on
# the network learns these images, not what they show. That is **overfitting**. (The accuracy often does not fall with
# it: the network is not wrong more often, but it is more and more sure of its mistakes.)
#
# ## Remedy 1: stop in time
#
# The cheapest remedy. After each epoch look at the validation loss. When it has not been better than its best for some
# epochs (this number is called **patience**), stop, and take back the weights of the best epoch.
#
# Why not stop at the first rise? The curve is not smooth. One bad epoch means little.
#
# ## Exercise 1: early stopping
#
# Given the losses of all epochs, say after which one the training would have been stopped, and which was the best until
# then. Epochs count from 0. If it is never stopped, the last one is the end.

# %%
@tn.exercise("10.early_stopping")
def early_stopping(losses, patience):
    """(stop, best): the epoch after which to stop, when the best was `patience` epochs ago; and the best epoch."""
    best = 0
    # BEGIN SOLUTION
    #? for epoch, loss in enumerate(losses):
    #?     ...
    for epoch, loss in enumerate(losses):
        if loss < losses[best]:
            best = epoch
        if epoch - best >= patience:
            return epoch, best
    # END SOLUTION
    return len(losses) - 1, best

# %%
tn.check("10.early_stopping")

# %%
losses = HISTORIES["plain"]["val_loss"]
stop, best = early_stopping(losses, patience=3)
counted = range(1, len(losses) + 1)  # from 1, as the progress bar does
fig, ax = plt.subplots()
ax.plot(counted, HISTORIES["plain"]["loss"], label="training")
ax.plot(counted, losses, "--", label="validation")
ax.plot(counted[best], losses[best], "ko", markersize=10, fillstyle="none", label="these weights are kept")
ax.axvline(counted[stop], color="black", linestyle=":", label="stop")
ax.set(xlabel="epoch", ylabel="loss", title="With a patience of 3")
ax.legend()
plt.show()
print(f"best: epoch {counted[best]}, with loss {losses[best]:.3f}")
print(f"stopped after {counted[stop]}; last {losses[-1]:.3f}")

# %% [markdown]
# `tn.EarlyStopping` is that, as a **callback**: an object that the Trainer calls, here after each epoch. Look for your
# two `if`s:

# %%
import inspect

print(inspect.getsource(tn.EarlyStopping.on_epoch_end))

# %% [markdown]
# ## Remedy 2: more images, for nothing
#
# Best of all against learning by heart is more data. And you have more than you think: a cat moved by three pixels is
# still a cat, and so is its mirror image. If every image is moved and mirrored anew, at random, each time it is shown,
# the network never sees the same one twice. This is called **augmentation**.
#
# It must not change what the image means. **Predict:** is mirroring a good idea for digits?
#
# <details><summary>Answer</summary>
#
# No: a mirrored 2 is no digit, and a mirrored 6 would not be a 6. For photographs of things it is fine. Upside down is
# not, unless photographs come so.
#
# </details>
#
# ## Exercise 2: shift and mirror
#
# For each image by itself: put a border of zeros around it, `padding` pixels wide; cut a piece of the old size out of
# it, wherever it falls (all places with the same probability); and with probability a half mirror it from left to
# right. All chance comes from `rng`: `rng.integers(0, high)` draws from $0, \dots, \text{high} - 1$, and `rng.random()`
# between 0 and 1.

# %%
@tn.exercise("10.augment")
def augment(x, padding, rng):
    """Images like x (N, C, H, W), each one shifted by up to `padding` pixels and perhaps mirrored."""
    h, w = x.shape[2:]
    wide = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    out = np.empty_like(x)
    for k in range(len(x)):
        # BEGIN SOLUTION
        #? out[k] = ...
        r, s = rng.integers(0, 2 * padding + 1, 2)
        piece = wide[k, :, r:r + h, s:s + w]
        out[k] = piece[:, :, ::-1] if rng.random() < 0.5 else piece
        # END SOLUTION
    return out

# %%
tn.check("10.augment")

# %%
rng = np.random.default_rng(0)
one = np.repeat(images[7:8].numpy(), 8, axis=0)
tn.viz.plot_images(augment(one, shift, rng))
plt.show()

# %% [markdown]
# One image, eight times. Now train on such images. tinynet's loader takes a transform that it applies to every batch;
# this one calls your function:

# %%
class Augment(tn.data.transforms.Transform):
    def images(self, x, rng):
        return augment(x, shift, rng)


train_it("shift and mirror", change=Augment())

# %% [markdown]
# tinynet has both steps, as `tn.data.transforms.RandomCrop` and `RandomHorizontalFlip`, without a loop over the images.
# How does it cut another window out of each? With all windows of all images, as a view that copies nothing:

# %%
print(inspect.getsource(tn.data.transforms.RandomCrop.images))

# %% [markdown]
# ## Remedy 3: dropout
#
# To learn by heart, the hidden numbers (also called **units**) must rely on each other: "if those three are large, it
# is image 1207". So take that away. In every training step each unit is switched off, set to 0, with probability $p$.
# No unit can count on another; each must be of use by itself.
#
# In use (in `eval` mode) all units are there. But then the next layer gets more than it was trained with: with
# $p = 0.5$ twice as much. To keep the average, the units that stay are made larger **in training**, so that nothing has
# to be done in use.
#
# $$y = x \cdot m \qquad m = \begin{cases} 0 & \text{with probability } p \\ \text{?} & \text{else} \end{cases}$$
#
# **Which number** must stand there, so that the mean of $m$ is 1? (This is called *inverted* dropout.)
#
# ## Exercise 3: the mask

# %%
@tn.exercise("10.dropout_mask")
def dropout_mask(shape, p, rng):
    """An array m of this shape: each element 0 with probability p, else the number that makes the mean 1."""
    # BEGIN SOLUTION
    return (rng.random(shape) >= p) / (1 - p)
    # END SOLUTION

# %%
tn.check("10.dropout_mask")

# %%
tn.use(dropout_mask)
layer, ones = nn.Dropout(0.5), tn.ones(1, 8)
print("in training:  ", layer(ones)[0].tolist())
print("once more:    ", layer(ones)[0].tolist())
layer.eval()
print("in use (eval):", layer(ones)[0].tolist())

# %% [markdown]
# Forget `model.eval()` and the network stays half blind in use, and gives another answer each time. (The Trainer does
# it for you where it validates.)

# %%
train_it("dropout", dropout=0.5)
tn.use(None)

# %% [markdown]
# ## Remedy 4: batch norm
#
# Here is a problem of another kind. Each layer learns from what the layer below sends, and that changes with every
# step: today its numbers are around 0, tomorrow around 5. Batch norm puts each channel back to mean 0 and variance 1,
# measured over the batch (images, rows and columns), and then lets the network choose: two learned numbers a channel,
# a weight $\gamma$ and a bias $\beta$.
#
# $$y = \frac{x - \mu}{\sqrt{\sigma^2 + \varepsilon}} \cdot \gamma + \beta$$
#
# $$\mu = \text{mean of } x \qquad \sigma^2 = \text{mean of } (x - \mu)^2$$
#
# ($\varepsilon = 10^{-5}$ keeps the root away from 0.) The slope matters as much as the value: moving one pixel moves
# $\mu$ and $\sigma$ as well, so the gradient must flow through them. Written with tensors, it does so by itself.
#
# In use there may be just one image, and its answer should not depend on what else is in the batch. So the layer
# remembers: after each training batch a **running mean** moves a tenth of the way towards that batch's mean, and a
# running variance likewise. In use they take the place of $\mu$ and $\sigma^2$.
#
# ## Exercise 4: batch norm
#
# `x` is a tensor of shape $(N, C, H, W)$; the others are tensors of shape $(C,)$. In training compute mean and variance
# of each channel (`dim=(0, 2, 3)`; `keepdim=True` helps), otherwise use the `mean` and `var` that are given.

# %%
@tn.exercise("10.batch_norm")
def batch_norm(x, weight, bias, mean, var, training):
    """x, each channel normalised by the batch (in training) or by the mean and var given; times weight, plus bias."""
    mean, var, weight, bias = (t.reshape(1, -1, 1, 1) for t in (mean, var, weight, bias))
    if training:
        # BEGIN SOLUTION
        #? mean = ...
        #? var = ...
        mean = x.mean((0, 2, 3), keepdim=True)
        var = ((x - mean) ** 2).mean((0, 2, 3), keepdim=True)
        # END SOLUTION
    # BEGIN SOLUTION
    #? return ...
    return (x - mean) / (var + 1e-5).sqrt() * weight + bias
    # END SOLUTION

# %%
tn.check("10.batch_norm")

# %% [markdown]
# Watch the running mean find its way. The batches have means around 3; the layer starts at 0:

# %%
tn.use(batch_norm)
layer = nn.BatchNorm2d(1)
seen = []
for _ in range(40):
    layer(tn.randn(8, 1, 4, 4) * 2 + 3)
    seen.append((layer.running_mean.item(), layer.running_var.item()))

fig, ax = plt.subplots(figsize=(6.4, 2.8))
ax.plot(seen, label=["running mean", "running variance"])
ax.axhline(3, color="0.6", linestyle=":", linewidth=1)
ax.axhline(4, color="0.6", linestyle=":", linewidth=1)
ax.set(xlabel="batch", ylabel="value", title="A tenth of the way with each batch: after 40 it has arrived")
ax.legend()
plt.show()

# %%
train_it("batch norm", norm=True)
tn.use(None)

# %% [markdown]
# ## All together
#
# Dropout and batch norm can get into each other's way; a little dropout is enough where the images move.

# %%
train_it("all of it", change=Augment(), dropout=0.2, norm=True)

# %%
fig, axes = plt.subplots(1, len(HISTORIES), figsize=(9, 2.7), sharey=True)
for ax, (name, h) in zip(axes, HISTORIES.items(), strict=True):
    ax.plot(range(1, epochs + 1), h["loss"], color="#08306b", label="training")
    ax.plot(range(1, epochs + 1), h["val_loss"], "--", color="#d95f0e", label="validation")
    ax.fill_between(range(1, epochs + 1), h["loss"], h["val_loss"], color="0.9")
    ax.set(title=name, xlabel="epoch")
axes[0].set(ylabel="loss")
axes[0].legend(fontsize=8)
plt.show()

# %% [markdown]
# The grey area is the gap between what the network knows of its own images and what it knows of others. In numbers,
# each at the epoch with the lowest validation loss:

# %%
print(f"{'':18} epoch  training  validation  validation")
print(f"{'':18}  best      loss        loss    accuracy")
for name, h in HISTORIES.items():
    best = int(np.argmin(h["val_loss"]))
    print(f"{name:18} {best + 1:5} {h['loss'][best]:9.3f} {h['val_loss'][best]:11.3f} {h['val_accuracy'][best]:11.1%}")

# %% [markdown]
# Read the table with two cautions. The training loss of *shift and mirror* and of *dropout* is measured while images
# are moved and units are off: it is the harder task, so it is high. And what slows down learning by heart slows down
# learning, too: such remedies pay when you train long. Batch norm is different: look at how fast its training loss
# falls. It was made for that; alone it also learns by heart sooner, and so it goes with one of the others.
#
# ## The test data, once
#
# The choice is made by the validation loss, that of the last epoch, since those are the weights we have. Now, and only
# now, the test images:

# %%
chosen = min(HISTORIES, key=lambda name: HISTORIES[name]["val_loss"][-1])
scores = {}
for name in dict.fromkeys(("plain", chosen)):
    model = MODELS[name].eval()
    with tn.no_grad():
        scores[name] = tn.metrics.accuracy(test[1], model(test[0]).argmax(1))
print(", ".join(f"{name}: {score:.1%} of the test images right" for name, score in scores.items()))

# %% [markdown]
# ## What would break?
#
# 1. Leave out `model.eval()` in the last cell. What happens to the network with dropout? With batch norm, if you give
#    it one image at a time?
# 2. Train with batches of one image of $1 \times 1$ pixels, and batch norm. What is $\sigma^2$?
# 3. Compute the mean of the pixels over *all* images, test images included, and subtract it before you train. Nobody
#    looked at a label. Is that cheating?
# 4. Augment the validation images, too. What does the curve say then?
# 5. Choose among 100 networks by 50 validation images. How much should you trust the best one's accuracy?
#
# <details><summary>Answers</summary>
#
# 1. Units are still dropped: worse, and different each time. With batch norm one image is normalised by itself, which
#    it never was in training: often nonsense.
# 2. 0, whatever the pixel is: the result is always $\beta$. tinynet refuses it with an error.
# 3. A little: the number now knows something of the test data. Here it would change nothing you could measure, with
#    other preparations (choosing features, filling gaps) it can change everything. Compute it from the training images.
# 4. How good the network is on moved images. That is not what it is for.
# 5. Little. One image is worth 2 %, and the best of 100 has been lucky several times.
#
# </details>
#
# ## Further reading
#
# - N. Srivastava, G. Hinton, A. Krizhevsky, I. Sutskever and R. Salakhutdinov, *Dropout: a simple way to prevent neural
#   networks from overfitting*, JMLR 15 (2014).
# - S. Ioffe and C. Szegedy, *Batch normalization* (2015); and S. Santurkar and others, *How does batch normalization
#   help optimization?* (2018), who find that the reason is another.
# - C. Zhang and others, *Understanding deep learning requires rethinking generalization* (2017): networks that learn
#   random labels by heart.
# - L. Prechelt, *Early stopping: but when?* (1998).
# - R. Roelofs and others, *A meta-analysis of overfitting in machine learning* (2019): what happens to test sets that
#   many people look at.
