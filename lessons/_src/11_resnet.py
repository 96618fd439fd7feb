# %% [lesson]
# title: ResNet, or how to be deep
# goal: See why a stack of many layers cannot learn, mend it with one plus sign, and train a residual network.
# time: 60 minutes
# needs: Lesson 3 (slopes along a path), lesson 9 (CNNs), lesson 10 (batch norm, augmentation)
# seconds: ci 8, laptop 60, full 1800

# %% [markdown]
# ## Predict first
#
# Two networks learn the same images. One has 9 convolutions, the other 33; otherwise they are alike. The deep one could
# do all that the shallow one does: let 24 of its layers do nothing at all. **Which has the lower loss on the images
# they are *trained* on?**
#
# This is not a question about overfitting. In 2015 it puzzled everybody. You will answer it by measuring.
#
# ## Plain stacks
#
# The bricks: two convolutions, with or without batch norm. Of these we build networks of any depth. Halfway the maps
# shrink to half their size and double in number; at the end every map is averaged to one number.

# %%
nn = tn.nn
WIDTH = 12


def plain(inputs, outputs, stride=1, norm=True):
    """Convolution, batch norm, ReLU; and once more."""
    layers = []
    for i, s in ((inputs, stride), (outputs, 1)):
        layers += [nn.Conv2d(i, outputs, 3, stride=s, padding=1), *[nn.BatchNorm2d(outputs)] * norm, nn.ReLU()]
    return nn.Sequential(*layers)


def bare(inputs, outputs, stride=1):
    """The same without batch norm."""
    return plain(inputs, outputs, stride, norm=False)


def stack(brick, count, channels=1, seed=0):
    """A network of 2 * count bricks, so 4 * count + 1 convolutions."""
    tn.manual_seed(seed)
    norm = [] if brick is bare else [nn.BatchNorm2d(WIDTH)]
    return nn.Sequential(
        nn.Conv2d(channels, WIDTH, 3, padding=1), *norm, nn.ReLU(),
        *[brick(WIDTH, WIDTH) for _ in range(count)],
        brick(WIDTH, 2 * WIDTH, 2), *[brick(2 * WIDTH, 2 * WIDTH) for _ in range(count - 1)],
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2 * WIDTH, 10))


train, test = (tn.data.datasets.digits(train=t).tensors for t in (True, False))
for count in (2, 8):
    print(f"{4 * count + 1} convolutions, {sum(p.numel() for p in stack(plain, count).parameters()):,} parameters")

# %% [markdown]
# ## Slopes multiply
#
# From lesson 3: the gradient comes from the loss at the end and goes back layer by layer, and each layer multiplies it
# by its slope. Through $n$ layers that is a product of $n$ factors:
#
# $$\frac{\partial\, \text{loss}}{\partial x_1} = \frac{\partial\, \text{loss}}{\partial x_n} \cdot
# \frac{\partial x_n}{\partial x_{n-1}} \cdots \frac{\partial x_3}{\partial x_2} \cdot
# \frac{\partial x_2}{\partial x_1}$$
#
# If each factor is a bit smaller than 1, or a bit larger, what becomes of 32 of them?

# %%
for factor in (0.3, 0.9, 1.1, 2.0):
    print(f"{factor} to the power of 32 = {factor**32:.1e}")

# %% [markdown]
# ## Exercise 1: the gradient in each layer
#
# Measure it. Compute the gradients for some images, and return for each convolution the length of the gradient of its
# weights, $\sqrt{\sum g^2}$, from the first layer to the last. `model.modules()` goes over all layers in this order,
# also over those inside others.

# %%
@tn.exercise("11.gradient_norms")
def gradient_norms(model, x, y):
    """[length of the gradient of each convolution's weight] for the cross-entropy of model(x) and the labels y."""
    # BEGIN SOLUTION
    #? ...  # the gradients, anew
    #? return [... for layer in model.modules() if isinstance(layer, nn.Conv2d)]
    model.zero_grad()
    nn.CrossEntropyLoss()(model(x), y).backward()
    return [layer.weight.grad.square().sum().sqrt().item() for layer in model.modules() if isinstance(layer, nn.Conv2d)]
    # END SOLUTION

# %%
tn.check("11.gradient_norms")

# %%
some = tuple(t[:tn.learn.sized(ci=32, laptop=128)] for t in train)
norms = {"bare": gradient_norms(stack(bare, 8), *some)}
fig, ax = plt.subplots()
ax.semilogy(range(1, 34), norms["bare"], "o-", markersize=3)
ax.set(xlabel="convolution, from the images to the scores", ylabel="length of its gradient",
       title="Bare layers: nothing reaches the first ones")
plt.show()
share = (norms["bare"][0] / norms["bare"][-1]) ** (1 / 32)
print(f"from the last to the first: {norms['bare'][-1]:.1e} to {norms['bare'][0]:.1e};",
      f"each layer passes on about {share:.2f} of it")

# %% [markdown]
# The first layers get a gradient of which nothing can be learned: it **vanishes**. Lesson 10 has a remedy that puts
# each layer's numbers back to a sensible size. Does batch norm help?

# %%
norms["batch norm"] = gradient_norms(stack(plain, 8), *some)
print(f"with batch norm: {norms['batch norm'][-1]:.2f} at the last layer, {norms['batch norm'][0]:.2f} at the first")

# %% [markdown]
# Much better: within a factor of some tens. (It grows towards the images now, a little in each layer.) So let us train.
# Two depths, plain stacks with batch norm:

# %%
CURVES = {}


def train_it(name, brick, count):
    """Train a stack of these bricks on the digits, and keep its curves."""
    model = stack(brick, count)
    optimizer = tn.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    trainer = tn.Trainer(model, nn.CrossEntropyLoss(), optimizer, metrics=["accuracy"])
    images, labels = (t[:tn.learn.sized(ci=96, laptop=1_433)] for t in train)
    held_out = tuple(t[:tn.learn.sized(ci=50, laptop=364)] for t in test)
    epochs = tn.learn.sized(ci=1, laptop=5)
    CURVES[name] = trainer.fit(images, labels, epochs=epochs, batch_size=64, validation_data=held_out).history


train_it("plain, 9 convolutions", plain, 2)
train_it("plain, 33 convolutions", plain, 8)

# %%
def draw_curves():
    _, ax = plt.subplots()
    for (name, h), style in zip(CURVES.items(), ("o-", "o--", "s-", "s--"), strict=False):
        color = "#d95f0e" if name.startswith("plain") else "#08306b"
        ax.plot(range(1, len(h["loss"]) + 1), h["loss"], style, color=color, markersize=5, label=name)
    ax.set(xlabel="epoch", ylabel="loss on the training images", title="How well they learn what they are shown")
    ax.legend()
    plt.show()


draw_curves()

# %% [markdown]
# There is the answer. The deeper network is worse *on its own training images*, although it could represent all that
# the other can. It has the room, but descent does not find the way. For 24 layers to do nothing, each of them must
# learn the identity: to pass on its input unchanged. That is hard to learn for two convolutions with a ReLU.
#
# ## One plus sign
#
# So give it to them. Let the layers compute not the result, but only **what to add** to the input:
#
# $$y = x + f(x)$$
#
# Doing nothing is now easy: $f = 0$, all weights at zero. And look at the slope:
#
# $$\frac{\partial y}{\partial x} = 1 + f'(x)$$
#
# Whatever $f'$ is, there is the $1$. Through 16 such blocks the product has a term that is $1 \cdot 1 \cdots 1$: **the
# gradient at the end arrives at the beginning, whole**, and the rest is added to it. From lesson 3 you know how: where
# $x$ is used twice, the gradients of both uses are added up. This is a **residual network** (He and others, 2015).

# %%
fig, ax = plt.subplots(figsize=(7.5, 2.3))
boxes = {"x": 0, "conv1": 1.2, "norm1": 2.2, "relu": 3.2, "conv2": 4.2, "norm2": 5.2, "+": 6.2, "relu ": 7.0, "y": 8.0}
for name, place in boxes.items():
    ax.text(place, 0, name.strip(), ha="center", va="center", fontsize=10,
            bbox={"boxstyle": "round,pad=0.4", "facecolor": "0.9" if len(name) > 1 else "white", "edgecolor": "black"})
for a, b in zip(list(boxes.values())[:-1], list(boxes.values())[1:], strict=True):
    ax.annotate("", (b - 0.32, 0), (a + 0.32, 0), arrowprops={"arrowstyle": "->"})
ax.plot([0.45, 0.45, 6.2], [0, 1, 1], color="black", linewidth=2.5)
ax.annotate("", (6.2, 0.28), (6.2, 1.02), arrowprops={"arrowstyle": "->", "linewidth": 2.5})
ax.text(3.2, 1.12, "shortcut", ha="center")
ax.text(3.2, -0.65, "f(x): what to add", ha="center")
ax.set(xlim=(-0.4, 8.4), ylim=(-0.9, 1.5), title="A residual block")
ax.axis("off")
plt.show()

# %% [markdown]
# ## Exercise 2: the shortcut
#
# $x$ and $f(x)$ can be added only if they have the same shape. Mostly they do. But where a block has a stride of 2, or
# more channels come out than go in, $x$ must be brought into shape, with as little as possible: a convolution with a
# window of $1 \times 1$ (at each place it mixes the channels of one pixel) and the stride of the block, without bias,
# and then a batch norm. Where the shape does not change: `nn.Identity()`, a layer that does nothing.

# %%
@tn.exercise("11.shortcut")
def shortcut(inputs, outputs, stride):
    """A layer that brings x (N, inputs, H, W) into the shape of a block's result, and does no more than needed."""
    # BEGIN SOLUTION
    if inputs == outputs and stride == 1:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs))
    # END SOLUTION

# %%
tn.check("11.shortcut")

# %% [markdown]
# ## Exercise 3: the block
#
# As in the picture. The first convolution has the stride. (Neither has a bias: batch norm would subtract it at once.)

# %%
@tn.exercise("11.Block")
class Block(nn.Module):
    """relu(shortcut(x) + f(x)), where f is conv1, norm1, relu, conv2, norm2."""

    def __init__(self, inputs, outputs, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        # BEGIN SOLUTION
        #? self.conv2, self.norm2 = ..., ...
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        # END SOLUTION
        self.shortcut = shortcut(inputs, outputs, stride)

    def forward(self, x):
        # BEGIN SOLUTION
        #? return ...
        inner = self.norm2(self.conv2(self.norm1(self.conv1(x)).relu()))
        return (self.shortcut(x) + inner).relu()
        # END SOLUTION

# %%
tn.check("11.Block")

# %% [markdown]
# **Predict:** the weight of `norm2` (its $\gamma$) is set to zero. What does the block do to a positive $x$?

# %%
block = Block(4, 4)
nn.init.zeros_(block.norm2.weight)
x = tn.rand(2, 4, 5, 5)
print("changed by", (block(x) - x).abs().max().item())

# %% [markdown]
# Nothing. Many people start all residual networks so: at the first step the network is as shallow as can be, and every
# block grows as it is needed.
#
# ## What it does to the gradient

# %%
model = stack(Block, 8)
layers = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
norms["residual"] = [n for n, layer in zip(gradient_norms(model, *some), layers, strict=True)
                     if layer.kernel_size == (3, 3)]  # without the 1 × 1 of the shortcut
fig, ax = plt.subplots()
for (name, values), style in zip(norms.items(), ("o-", "^--", "s:"), strict=True):
    ax.semilogy(range(1, 34), values, style, markersize=4, label=name)
ax.set(xlabel="convolution, from the images to the scores", ylabel="length of its gradient",
       title="33 convolutions, before training")
ax.legend()
plt.show()
for name, values in norms.items():
    print(f"{name:11} the largest is {max(values) / min(values):.1e} times the smallest")

# %% [markdown]
# With shortcuts each layer gets a gradient of nearly the same size. Does it learn?

# %%
train_it("residual, 9 convolutions", Block, 2)
train_it("residual, 33 convolutions", Block, 8)
draw_curves()
for name, h in CURVES.items():
    print(f"{name:27} training loss {h['loss'][-1]:.3f}, new digits right {max(h['val_accuracy']):.1%} (best epoch)")

# %% [markdown]
# The same depth, nearly the same number of weights, the same optimizer, and one plus sign.
#
# ## A residual network for photographs
#
# The networks that won in 2015 had up to 152 layers, and the kind is still everywhere; the transformer of lesson 13 is
# full of plus signs, for the same reason. This one is small: three groups of blocks with 16, 32 and 64 channels, and
# images that are shifted and mirrored as in lesson 10. (Where CIFAR-10 is not on this machine it learns digits, which
# are not mirrored.)

# %%
T = tn.data.transforms
try:
    known, final = (tn.data.datasets.cifar10(train=t, download=False) for t in (True, False))
    change = T.Compose([T.RandomCrop(32, padding=4), T.RandomHorizontalFlip()])
except RuntimeError:  # it is not on this machine
    known, final = (tn.data.datasets.digits(train=t) for t in (True, False))
    change = T.RandomCrop(8, padding=1)


def resnet(channels, blocks=1):
    """6 * blocks + 1 convolutions of 3 x 3."""
    tn.manual_seed(0)
    layers, inputs = [nn.Conv2d(channels, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()], 16
    for outputs in (16, 32, 64):
        for k in range(blocks):
            layers.append(Block(inputs, outputs, 2 if k == 0 and outputs > 16 else 1))
            inputs = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


images, labels = (t[:tn.learn.sized(ci=96, laptop=3_000, full=50_000)] for t in known.tensors)
test = tuple(t[:tn.learn.sized(ci=96, laptop=1_000, full=10_000)] for t in final.tensors)
model = resnet(images.shape[1])
print(tn.summary(model, input_size=images[:1].shape, depth=2))

# %% [markdown]
# Few weights, much work: the opposite of the network in lesson 9, whose linear layer held nearly all of them. The
# average over each map needs none.
#
# It is trained as in the paper: with momentum (lesson 7); with **weight decay**, which makes all weights a little
# smaller in each step, so that none grows without need; and with a learning rate that falls to 0 along a cosine.

# %%
epochs = tn.learn.sized(ci=1, laptop=6, full=10)
loader = tn.data.DataLoader(tn.data.TensorDataset(images, labels), 64, shuffle=True, collate_fn=change)
optimizer = tn.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
decay = tn.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * len(loader))
trainer = tn.Trainer(model, nn.CrossEntropyLoss(), optimizer, metrics=["accuracy"], scheduler=decay,
                     scheduler_each="batch")
history = trainer.fit(loader, epochs=epochs, validation_data=test).history
tn.viz.plot_history({k: v for k, v in history.items() if k != "lr"})
plt.show()
print(f"{history['val_accuracy'][-1]:.1%} of {len(test[0]):,} new images, from {len(images):,} to learn from")

# %% [markdown]
# With all images and more epochs this small network goes far beyond that of lesson 9; three blocks in each group and a
# few hours make it ResNet-20 of the original paper.
#
# ## What would break?
#
# 1. Multiply the shortcut by $0.5$: $y = 0.5\, x + f(x)$. What is left of the gradient after 16 blocks?
# 2. Put the ReLU on $f(x)$ before the sum. What can a block then no longer do to $x$?
# 3. Use concatenation in place of the sum. What happens to the number of channels?
# 4. In the block of exercise 3 the ReLU stands *after* the sum, so the path is not quite the identity. For which $x$
#    does that matter?
#
# <details><summary>Answers</summary>
#
# 1. At least one path is multiplied by $0.5^{16}$, which is about $10^{-5}$: it vanishes again. The 1 matters.
# 2. Make it smaller: it could only add.
# 3. It grows with every block. (DenseNet does that, with few channels each time.)
# 4. Where the sum is negative. After the first ReLU all $x$ are positive, but $f$ may pull below zero. A later version
#    of ResNet moves norm and ReLU before the convolutions, and the path is clean.
#
# </details>
#
# ## Further reading
#
# - K. He, X. Zhang, S. Ren and J. Sun, *Deep residual learning for image recognition* (2015), and *Identity mappings in
#   deep residual networks* (2016).
# - S. Hochreiter, *Untersuchungen zu dynamischen neuronalen Netzen* (1991): vanishing gradients, found in networks that
#   are deep in time. That is lesson 12.
# - A. Veit, M. Wilber and S. Belongie, *Residual networks behave like ensembles of relatively shallow networks* (2016).
# - H. Li and others, *Visualizing the loss landscape of neural nets* (2018): what shortcuts do to the valley.
# - G. Yang and others, *A mean field theory of batch normalization* (2019): why gradients grow in the stack with batch
#   norm.
