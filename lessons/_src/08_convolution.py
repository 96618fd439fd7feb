# %% [lesson]
# title: Convolution and pooling
# goal: Build the two operations that let a network see: a small filter that slides over an image, and the pooling that
#   shrinks what it finds. Derive their gradients, train a network on your own, then read tinynet's.
# time: 90 minutes
# needs: Lesson 3 (rules for gradients), lesson 7 (layers, training); slices of NumPy arrays
# seconds: ci 8, laptop 11

# %% [markdown]
# ## Predict first
#
# Six pixels in a row: three dark, then three bright. A window of two pixels slides along them, and at each place it
# computes *right pixel minus left pixel*. **What five numbers come out?** Write them down.

# %%
pixels = np.array([0, 0, 0, 1, 1, 1])
weights = np.array([-1, 1])
print([int((weights * pixels[r:r + 2]).sum()) for r in range(5)])

# %% [markdown]
# <details><summary>What is it good for?</summary>
#
# The result is 0 wherever nothing changes and 1 in the one place where dark turns to bright: two weights, used at five
# places, have found an **edge**, and say where it is. That is all that a convolution does. In this lesson the weights
# are learned, and there are many windows, in two dimensions.
#
# </details>
#
# ## Why not a linear layer?
#
# In lesson 7 an image went into the network as one long row of numbers, and every number had a weight of its own for
# every hidden number. That has two costs. Here are images to count them on: those of MNIST, if you have them, else the
# small digits that come with tinynet.

# %%
try:
    images, labels = tn.data.datasets.mnist(train=False, download=False).tensors
except RuntimeError:  # it is not on this machine
    images, labels = tn.data.datasets.digits(train=False).tensors
image = images[:1].numpy().astype(float)  # one image, one channel: (1, 1, height, width)
height, width = image.shape[2:]
print(f"{height} x {width} pixels")
print(f"a linear layer that makes another image of the same size: {(height * width) ** 2:,} weights")
print("a window of 3 x 3 pixels that slides over it:", 3 * 3, "weights")

# %% [markdown]
# The second cost is worse. Move the image by two pixels: for you it is the same digit, but for the linear layer every
# number now meets another weight. What it learned about an edge *here* tells it nothing of the same edge *there*. A
# window that slides uses the same weights everywhere, and so what it learns in one place it knows in all.
#
# ## In two dimensions
#
# An image has rows and columns, and often several **channels** (red, green and blue; later: the results of an earlier
# layer). So a batch of images is an array of shape $(N, C, H, W)$: image, channel, row, column. A **filter** covers
# all channels and $k_h \times k_w$ pixels. At each place it is laid on the image; weights and pixels are multiplied one
# by one; everything is added up. For the pixel at row $r$ and column $s$ of the result:
#
# $$y_{r s} = b + \sum_{c} \sum_{i} \sum_{j} w_{c i j} \; x_{c,\, r + i,\, s + j}$$
#
# ($i$ and $j$ count inside the window, and $b$ is a bias, as in a linear layer.) Two numbers say how the window moves:
#
# - **stride**: how many pixels from one place to the next. With stride 2 the result has half as many rows.
# - **padding**: how many rows and columns of zeros are put around the image first, so that the window can reach the
#   edge.

# %%
def draw_places(ax, n, size, stride, padding):
    """An image of n x n pixels with its border, and where the corners of the windows are."""
    whole = n + 2 * padding
    for r in range(whole):
        for s in range(whole):
            inside = padding <= r < padding + n and padding <= s < padding + n
            ax.add_patch(plt.Rectangle((s, r), 1, 1, facecolor="0.8" if inside else "white", edgecolor="0.5"))
    starts = range(0, whole - size + 1, stride)
    for r in starts:
        for s in starts:
            ax.plot(s + 0.5, r + 0.5, "ko", markersize=4)
    ax.add_patch(plt.Rectangle((0, 0), size, size, fill=False, linewidth=3))
    ax.add_patch(plt.Rectangle((starts[1], 0), size, size, fill=False, linewidth=2, linestyle="--", color="#d95f0e"))
    ax.set(xlim=(-0.2, whole + 0.2), ylim=(whole + 0.2, -0.2), aspect="equal",
           title=f"stride {stride}, padding {padding}:\n{len(starts)} × {len(starts)} places")
    ax.axis("off")


fig, axes = plt.subplots(1, 3, figsize=(7.5, 3.1))
for ax, (stride, padding) in zip(axes, ((1, 0), (2, 0), (1, 1)), strict=True):
    draw_places(ax, 5, 3, stride, padding)
plt.show()

# %% [markdown]
# Grey pixels are the image, white ones the padding. Each dot is the upper left corner of one place of the $3 \times 3$
# window; the first place is drawn solid and the next one dashed. **Predict:** an image of $7 \times 7$, a window of $3
# \times 3$, stride 2, no padding. How many places along a row? And on $8 \times 8$?
#
# ## Exercise 1: the windows
#
# Everything in this lesson is a loop over the places of a window, so write that loop once. Return a list of `(r, s,
# pixels)`, row by row, where `pixels` is the slice of `x` under the window, for all images and channels at once: its
# shape is $(N, C, k_h, k_w)$. The border is there already, if there is one. A window that would hang over the end is
# left out.

# %%
@tn.exercise("08.windows")
def windows(x, size, stride):
    """[(r, s, pixels), ...] for every place of a window of size (kh, kw) on the images x (N, C, H, W)."""
    (h, w), (kh, kw) = x.shape[2:], size
    # BEGIN SOLUTION
    #? rows, columns = ..., ...  # how many places there are along each axis
    #? return [(r, s, x[:, :, ...]) for r in range(rows) for s in range(columns)]
    rows, columns = (h - kh) // stride + 1, (w - kw) // stride + 1
    return [(r, s, x[:, :, r * stride:r * stride + kh, s * stride:s * stride + kw])
            for r in range(rows) for s in range(columns)]
    # END SOLUTION

# %%
tn.check("08.windows")

# %%
for n in (7, 8):
    places = windows(np.zeros((1, 1, n, n)), (3, 3), 2)
    print(f"{n} x {n}, window 3, stride 2: {places[-1][0] + 1} places along a row")

# %% [markdown]
# On $8 \times 8$ the last column is never seen. With padding $p$ on both sides the count is
#
# $$\text{rows} = \left\lfloor \frac{H + 2p - k}{\text{stride}} \right\rfloor + 1$$
#
# where $\lfloor\ \rfloor$ means rounded down. For stride 1, $k = 3$ and $p = 1$ that is just $H$: the usual choice when
# the result should be as large as the image.
#
# ## Exercise 2: convolution
#
# Now the sum. One line of NumPy does it for all images and all filters at a place: `np.einsum`. You tell it the axes by
# letters. It multiplies where letters are equal, and adds up over each letter that does not stand behind the arrow:

# %%
a, b = np.arange(6.0).reshape(2, 3), np.arange(12.0).reshape(3, 4)
print("matrix product:", np.allclose(np.einsum("nk,km->nm", a, b), a @ b))
print("sum of a row:  ", np.einsum("nk->n", a))

# %% [markdown]
# At a place, `pixels` has the axes $n, c, i, j$ and the filters `w` have $o, c, i, j$ ($o$ says which filter). The
# result at that place has the axes $n, o$. So what do you write?

# %%
def pad(x, p):
    """The images x with a border of p zeros."""
    return np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))


@tn.exercise("08.conv2d")
def conv2d(x, w, b, stride, padding):
    """Images x (N, C, H, W), filters w (O, C, kh, kw) and biases b (O,) -> maps (N, O, rows, columns)."""
    places = windows(pad(x, padding), w.shape[2:], stride)
    y = np.zeros((len(x), len(w), places[-1][0] + 1, places[-1][1] + 1))
    for r, s, pixels in places:
        # BEGIN SOLUTION
        #? y[:, :, r, s] = ...
        y[:, :, r, s] = np.einsum("ncij,ocij->no", pixels, w) + b
        # END SOLUTION
    return y

# %%
tn.check("08.conv2d")

# %% [markdown]
# ## What filters see
#
# Four filters, written by hand. **Before you run it:** which of them lights up where the ink *begins*, going from left
# to right? What does the last one do?

# %%
FILTERS = {
    "left edge": [[-1, 0, 1], [-1, 0, 1], [-1, 0, 1]],
    "upper edge": [[-1, -1, -1], [0, 0, 0], [1, 1, 1]],
    "spot": [[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]],
    "mean": [[1 / 9] * 3] * 3,
}
w = np.array(list(FILTERS.values()), float)[:, None]  # (4, 1, 3, 3)
maps = conv2d(image, w, np.zeros(4), 1, 1)

fig, axes = plt.subplots(1, 5, figsize=(8, 2.1))
axes[0].imshow(image[0, 0], cmap="gray_r")
axes[0].set(title="image")
for ax, name, found in zip(axes[1:], FILTERS, maps[0], strict=True):
    limit = np.abs(found).max()
    ax.imshow(found, vmin=-limit, vmax=limit)
    ax.set(title=name)
for ax in axes:
    ax.set(xticks=[], yticks=[])
plt.show()

# %% [markdown]
# White is a large positive number, black a large negative one, and the grey around is zero. The first filter is
# positive where the ink begins and negative where it ends; the second does the same from top to bottom; the third
# answers where a pixel differs from those around it; the last one blurs. Nobody writes filters by hand today. But when
# a network has learned its own, you will recognise some of these.
#
# And the promise from the start: move the image, and the maps move with it, unchanged.

# %%
moved = np.roll(image, 1, axis=3)  # one pixel to the right
inside = slice(2, -2)  # away from the border, where something comes in
difference = conv2d(moved, w, np.zeros(4), 1, 1) - np.roll(maps, 1, axis=3)
print("largest difference:", np.abs(difference[:, :, :, inside]).max())

# %% [markdown]
# ## Back: who sent what where?
#
# To train the filters we need gradients. You know the rule from lesson 3: where a product $w \cdot x$ is part of a sum
# whose gradient is $g$, the gradient of $x$ is $g \cdot w$ and that of $w$ is $g \cdot x$; and what is used several
# times gets the sum of all its parts. A convolution is nothing but such products. So let one pixel ask: *in which
# windows am I?*

# %%
count = np.zeros((1, 1, 6, 6))
for _, _, pixels in windows(count, (3, 3), 1):
    pixels += 1  # a slice looks into the array: this adds to count

fig, ax = plt.subplots(figsize=(3.4, 3.2))
ax.imshow(count[0, 0], cmap="Greys", vmin=0, vmax=14)
for (r, s), n in np.ndenumerate(count[0, 0]):
    ax.text(s, r, f"{n:g}", ha="center", va="center")
ax.set(title="In how many windows is each pixel?", xticks=[], yticks=[])
ax.grid(False)
plt.show()

# %% [markdown]
# A corner is in one window, a pixel in the middle in nine, and each time it was multiplied by another weight of the
# filter. Its gradient is the sum over all of them. To find it you need not solve for "which windows": **go over the
# places as you did forward, and add to the pixels under the window.**
#
# $$\text{at each place:}\qquad (g_x)_{n c i j} \mathrel{+}= \sum_o g_{n o}\, w_{o c i j}$$
#
# ## Exercise 3: the gradient of the images
#
# `g` has the shape of the maps. `dx` is made with its border, since windows reach into it. At the end, cut the border
# off: nobody asks for the gradient of a padding zero.

# %%
@tn.exercise("08.conv2d_input_grad")
def conv2d_input_grad(g, w, size, stride, padding):
    """The gradient of the images, of size (height, width), where that of the maps is g (N, O, rows, columns)."""
    dx = np.zeros((len(g), w.shape[1], size[0] + 2 * padding, size[1] + 2 * padding))
    for r, s, pixels in windows(dx, w.shape[2:], stride):
        # BEGIN SOLUTION
        #? pixels += ...  # what every pixel under this window gets
        pixels += np.einsum("no,ocij->ncij", g[:, :, r, s], w)
        # END SOLUTION
    # BEGIN SOLUTION
    #? return ...  # dx without its border
    return dx[:, :, padding:padding + size[0], padding:padding + size[1]]
    # END SOLUTION

# %%
tn.check("08.conv2d_input_grad")

# %% [markdown]
# ## Exercise 4: the gradient of the filters
#
# The other side of the same product. A weight is used at *every* place and for *every* image, so it gets a part from
# each:
#
# $$\text{at each place:}\qquad (g_w)_{o c i j} \mathrel{+}= \sum_n g_{n o}\, x_{n c i j}$$
#
# That is the point of sharing weights: a filter of nine numbers learns from hundreds of places in each image.

# %%
@tn.exercise("08.conv2d_weight_grad")
def conv2d_weight_grad(x, g, size, stride, padding):
    """The gradient of the filters, of size (kh, kw), where that of the maps is g (N, O, rows, columns)."""
    dw = np.zeros((g.shape[1], x.shape[1], *size))
    for r, s, pixels in windows(pad(x, padding), size, stride):
        # BEGIN SOLUTION
        #? dw += ...
        dw += np.einsum("no,ncij->ocij", g[:, :, r, s], pixels)
        # END SOLUTION
    return dw

# %%
tn.check("08.conv2d_weight_grad")

# %% [markdown]
# (The bias is added to each pixel of its map: its gradient is the sum of `g` over images, rows and columns.)
#
# There is a beautiful way to see that forward and backward fit together. For a fixed filter, convolution is linear:
# some big matrix $A$ times the pixels. Backward is then $A^\top$, its transposed: you met this in `matmul_rule`, and
# the test that follows in lesson 2, as *adjoint*. For every $x$ and $g$ the same number comes out both ways:
#
# $$\langle g,\; A x \rangle = \langle A^\top g,\; x \rangle$$

# %%
rng = np.random.default_rng(0)
x, w = rng.normal(size=(2, 3, 7, 7)), rng.normal(size=(4, 3, 3, 3))
y = conv2d(x, w, np.zeros(4), 2, 1)
g = rng.normal(size=y.shape)
print(f"<g, conv(x)>      = {(g * y).sum():.10f}")
print(f"<input_grad(g), x> = {(conv2d_input_grad(g, w, (7, 7), 2, 1) * x).sum():.10f}")
print(f"<weight_grad(g), w> = {(conv2d_weight_grad(x, g, (3, 3), 2, 1) * w).sum():.10f}")

# %% [markdown]
# Three numbers, one value: no mistake in an index can hide from that. The matrix $A$ is never built. It would have a
# row for each pixel of the maps and a column for each pixel of the images, nearly all of it zeros.
#
# ## Pooling: keep the strongest
#
# A map says where its edge was found, to the pixel. To read a digit one needs not know it so exactly. **Max pooling**
# cuts the map into windows of $2 \times 2$ that do not overlap, and keeps the largest number of each. A quarter of the
# numbers is left, and a feature that moves by a pixel often stays in its window.
#
# **Predict:** which of the four pixels gets a gradient? And what if two of them are equally large?
#
# <details><summary>Answer</summary>
#
# Only the largest has any influence on the result: move another a little, and nothing changes. So it gets all of $g$,
# and the others get 0. With a tie, whoever computes must choose one. If both got $g$, the gradients would add up to
# more than arrived. tinynet, like PyTorch, gives it to the first, row by row. Ties are common: after a ReLU whole
# windows are zeros.
#
# </details>
#
# ## Exercise 5: max pooling
#
# So forward must remember *which* pixel won. Return two arrays: the largest values, and for each the number of its
# pixel in the whole image, counted row by row: $\text{row} \cdot W + \text{column}$. `flat.argmax(-1)` gives the first
# of the largest, counted inside the window: turn that into a row and a column of the image.

# %%
@tn.exercise("08.max_pool2d")
def max_pool2d(x, size):
    """(largest, where): the largest pixel of each size x size window of x (N, C, H, W), and row * W + column of it."""
    n, c, h, w = x.shape
    largest = np.zeros((n, c, h // size, w // size))
    where = np.zeros(largest.shape, int)
    for r, s, pixels in windows(x, (size, size), size):
        flat = pixels.reshape(n, c, size * size)  # the pixels of each window in a row
        # BEGIN SOLUTION
        #? largest[:, :, r, s] = ...
        #? where[:, :, r, s] = ...
        winner = flat.argmax(-1)
        largest[:, :, r, s] = flat.max(-1)
        where[:, :, r, s] = (r * size + winner // size) * w + s * size + winner % size
        # END SOLUTION
    return largest, where

# %%
tn.check("08.max_pool2d")

# %% [markdown]
# ## A network that runs on your code
#
# `tn.use` puts your four functions into the engine. From here on every `nn.Conv2d` and `nn.MaxPool2d` computes by them,
# forward and backward. The network is small: two convolutions, each followed by a ReLU and pooling, then one linear
# layer. `tn.summary` shows what becomes of an image.

# %%
train, test = (tn.data.datasets.digits(train=t).tensors for t in (True, False))
nn = tn.nn


def network():
    tn.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(16 * 2 * 2, 10))


print(tn.summary(network(), input_size=(1, 1, 8, 8)))

# %%
for mine in (conv2d, conv2d_input_grad, conv2d_weight_grad, max_pool2d):
    tn.use(mine)

# %%
import time


def train_it():
    """A new network after some epochs, its history, and the seconds it took."""
    model, start = network(), time.perf_counter()
    trainer = tn.Trainer(model, nn.CrossEntropyLoss(), tn.optim.Adam(model.parameters(), lr=0.01), metrics=["accuracy"])
    history = trainer.fit(*train, epochs=tn.learn.sized(ci=2, laptop=4), validation_data=test, batch_size=32)
    return model, history.history, time.perf_counter() - start


before = network()[0].weight.detach().numpy()
model, history, took = train_it()
right = history["val_accuracy"][-1]
print(f"{right:.1%} of {len(test[1])} new digits are read right, by your convolution, in {took:.1f} s")

# %% [markdown]
# The same training on tinynet's own kernels must give the same losses, up to rounding:

# %%
tn.use(None)
_, theirs, took_theirs = train_it()
print("yours:    ", " ".join(f"{loss:.5f}" for loss in history["loss"]), f"  {took:.2f} s")
print("tinynet's:", " ".join(f"{loss:.5f}" for loss in theirs["loss"]), f"  {took_theirs:.2f} s")

# %% [markdown]
# ## What it learned
#
# In the first row the eight filters of the first layer as they were drawn at random, in the second after training.
# White is positive, black negative: look for edges, a light side and a dark side. Below, the map that each makes of one
# digit, after the ReLU (ink is positive).

# %%
after = model[0].weight.detach().numpy()
limit = np.abs(after).max()
fig, axes = plt.subplots(3, 8, figsize=(7.5, 3.2))
digit = test[0][1:2]
found = model[:2](digit).detach().numpy()[0]
for k in range(8):
    for row, part in enumerate((before, after)):
        axes[row, k].imshow(part[k, 0], vmin=-limit, vmax=limit)
    axes[2, k].imshow(found[k], cmap="gray_r", vmin=0, vmax=found.max())
for ax, name in zip(axes[:, 0], ("before", "after", "its map"), strict=True):
    ax.set_ylabel(name, fontsize=8)
for ax in axes.ravel():
    ax.set(xticks=[], yticks=[])
fig.suptitle(f"Filters turn into detectors of edges and strokes (the digit is a {test[1][1].item()})")
plt.show()
moved = np.abs(after - before).max((1, 2, 3))
print("how far the weights of each filter have moved:", " ".join(f"{m:.2f}" for m in moved))

# %% [markdown]
# If one of them has not moved and its map is empty, you see a **dead ReLU**: its filter gave nothing but negative
# numbers from the start, the ReLU made zeros of them, and through a zero comes no gradient. It will stay like that.

# %% [markdown]
# ## Read the real kernel
#
# tinynet has a plain version of each heavy operation, its **reference**: it says what the fast ones must compute, and
# tests compare them. Here is its convolution:

# %%
import inspect

from tinynet.kernels import windows as geometry
from tinynet.kernels.reference import conv

print(inspect.getsource(conv.conv2d))
print(inspect.getsource(conv.windows_as_columns))

# %% [markdown]
# It does what yours does, with one idea more. Yours goes over the *places* and takes all weights at once. This one goes
# over the *weights* of a window (`taps`), and takes all places at once: for weight $(i, j)$ the pixels it meets are one
# big slice, in steps of `stride`.

# %%
print(inspect.getsource(geometry.Windows.taps))
print(f"on this image your loop goes round {len(windows(pad(image, 1), (3, 3), 1))} times, and this one {3 * 3} times")

# %% [markdown]
# The slices are copied side by side into a matrix, a column for each place. Then the whole convolution is **one matrix
# product**, filters times columns, and matrix products are what computers are fastest at. The trick is called *im2col*;
# in lesson 9 you write it yourself. And backward?

# %%
print(inspect.getsource(conv.conv2d_input_grad))
print(inspect.getsource(conv.columns_as_images))

# %% [markdown]
# `pixels += ...`: you know that line. The arguments are those of your exercises, too (`xp` is NumPy, or another module
# of arrays; `groups` cuts the channels into parts). How much is the idea worth? And what do the kernels add that are
# compiled for this machine's processor?

# %%
x, w, b = (rng.normal(size=s).astype("float32") for s in ((32, 8, height, width), (16, 8, 3, 3), (16,)))
sizes = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1}
WAYS = {
    "yours, place by place": lambda: conv2d(x, w, b, 1, 1),
    "reference, one matrix product": lambda: conv.conv2d(np, x, w, b, **sizes),
    "compiled for this processor": lambda: tn.kernels.run("conv2d", np, x, w, b, **sizes),
}
for name, way in WAYS.items():
    assert np.allclose(way(), WAYS["yours, place by place"](), atol=1e-4)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        way()
        times.append(time.perf_counter() - start)
    print(f"{name:30} {min(times) * 1e3:8.2f} ms")

# %% [markdown]
# ## What would break?
#
# Think first, then change the cells above and try.
#
# 1. In `conv2d_input_grad` write `pixels[...] = ` for `pixels +=`. Which pixels still get the right gradient?
# 2. Take the padding out of both layers of `network()`. What else must change, and how large are the maps?
# 3. Turn every filter around by 180° before it is used. Does the network still learn? (Mathematicians mean that when
#    they say *convolution*; what networks do they call *cross-correlation*.)
# 4. Replace `MaxPool2d` by `nn.AvgPool2d`. Which pixels get a gradient then, and how much each?
#
# <details><summary>Answers</summary>
#
# 1. Those that are in one window only: with stride 1 the four corners. Where windows do not overlap, as in pooling, it
#    makes no difference.
# 2. $8 \to 6 \to 3 \to 1 \to 0$: a window of $3 \times 3$ fits once on $3 \times 3$, and a map of $1 \times 1$ cannot
#    be pooled. Leave the second pooling out, and the linear layer has $16$ inputs.
# 3. Just as well. It learns the filters turned around.
# 4. All of them, a quarter each: the mean is a convolution whose weights are fixed.
#
# </details>
#
# ## Further reading
#
# - Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, *Gradient-based learning applied to document recognition*, Proc. IEEE
#   86 (1998): the network that read cheques.
# - K. Fukushima, *Neocognitron*, Biological Cybernetics 36 (1980): sliding features and pooling, before anybody could
#   train them.
# - V. Dumoulin and F. Visin, *A guide to convolution arithmetic for deep learning* (2016): strides and paddings in
#   pictures.
# - K. Chellapilla, S. Puri and P. Simard, *High performance convolutional neural networks for document processing*
#   (2006): convolution as a matrix product.
# - C. Olah, A. Mordvintsev and L. Schubert, *Feature visualization*, Distill (2017): what filters of later layers see.
