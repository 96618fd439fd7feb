# %% [lesson]
# title: Tensors and broadcasting
# goal: Say the shape of any computation before you run it, compute with whole tables at once and without loops, and
#   read handwritten digits with nothing but distances.
# time: 60 minutes
# needs: Lesson 1 (what a slope is); Python lists and loops
# seconds: ci 4, laptop 7

# %% [markdown]
# ## Predict first
#
# Two students, three exams. The teacher has two ideas. First, exam by exam, so many points are added: $100$, $200$ and
# $300$. Second, student by student: $100$ for the first and $200$ for the second. **What will the two sums below be?**
# Write them down.

# %%
marks = tn.tensor([[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]])
for bonus in (tn.tensor([100.0, 200.0, 300.0]), tn.tensor([100.0, 200.0])):
    try:
        print(marks + bonus, "\n")
    except RuntimeError as error:
        print(f"{type(error).__name__}: {error}")

# %% [markdown]
# <details><summary>Why did the first work, and not the second?</summary>
#
# The table has 2 rows and 3 columns. Three numbers fit a *row*, so they are added to each row. Two numbers do not fit
# a row. They would fit a *column*, but nobody has said that they are one. At the end of this lesson you will know how
# to say it, and the rule by which tinynet (and NumPy, and PyTorch) decides. It is one rule of three lines.
#
# </details>
#
# ## A tensor is a box of numbers with a shape
#
# A **tensor** holds numbers in a grid. Its `shape` says how many there are along each **axis**. One axis: a list. Two:
# a table. Three: a stack of tables. None at all: a single number. The images of digits that you will read below are
# one tensor of four axes:

# %%
images, labels = tn.data.datasets.digits(train=True).tensors
print("shape:", tuple(images.shape), "  numbers:", images.numel(), "  each a", images.dtype)
for axis, (size, meaning) in enumerate(zip(images.shape, ("image", "colour", "row", "column"), strict=True)):
    print(f"axis {axis}: {meaning:<7} {size}")

# %% [markdown]
# Axes are numbered from $0$, and from the end with $-1$, as in a Python list. An index takes away an axis, a slice
# keeps it:

# %%
for text, part in (("images[7]", images[7]), ("images[7, 0, 3]", images[7, 0, 3]),
                   ("images[7, 0, 3, 5]", images[7, 0, 3, 5]), ("images[7:9]", images[7:9]),
                   ("images[:, 0, 3, 5]", images[:, 0, 3, 5])):
    print(f"{text:<20} shape {tuple(part.shape)}")

# %% [markdown]
# `reshape` puts the same numbers, in the same order, into another grid. Where you write $-1$, the size is worked out.
# `flat` is what we will use later: each image is now one row of $64$ numbers.

# %%
flat = images.reshape(len(images), -1)
print(tuple(images.shape), "->", tuple(flat.shape))
print("the same numbers:", bool((images[7, 0, 1] == flat[7, 8:16]).all()))

# %% [markdown]
# ## Whole tensors at once
#
# Arithmetic on tensors goes element by element, without a loop. That is shorter to write. It is also much faster: the
# loop is still there, but it runs in compiled code, over numbers that lie side by side. How much faster?

# %%
import time

a, b = tn.rand(200_000), tn.rand(200_000)
list_a, list_b = a.tolist(), b.tolist()
seconds = {}
for name, add in (("a loop of Python", lambda: [x + y for x, y in zip(list_a, list_b, strict=True)]),
                  ("a + b", lambda: a + b)):
    best = []
    for _ in range(5):
        start = time.perf_counter()
        add()
        best.append(time.perf_counter() - start)
    seconds[name] = min(best)
    print(f"{name:<17} {1e3 * seconds[name]:8.3f} ms")
print(f"{seconds['a loop of Python'] / seconds['a + b']:.0f} times faster")

# %% [markdown]
# ## Sums along an axis
#
# `marks.sum(axis=0)`: is that the sum of each row, or of each column? There is one sentence to remember:
#
# > **The axis that you name is the one that goes away.**
#
# Axis $0$ counts the students. Sum over it, and there are no students left, only one number for each exam.

# %%
print("marks             shape", tuple(marks.shape))
for axis in (0, 1):
    print(f"marks.sum(axis={axis}) shape {tuple(marks.sum(axis=axis).shape)}:  ", marks.sum(axis=axis).tolist())
print("sum(axis=1, keepdims=True) shape", tuple(marks.sum(axis=1, keepdims=True).shape))

# %% [markdown]
# With `keepdims=True` the axis stays, with size $1$. The sums are then a *column*, beside the table they came from.
#
# ## The rule
#
# When shapes differ, tensors are **broadcast**: what is too small is repeated. Write the two shapes below one another,
# **flush right**. Then, column by column:
#
# 1. Where one shape has nothing, put a $1$.
# 2. Equal sizes stay as they are.
# 3. A $1$ is stretched to the other size. Anything else is an error.
#
# $$\begin{array}{rrr} \text{marks} & 2 & 3 \\ \text{bonus} & & 3 \\ \hline \text{sum} & 2 & 3 \end{array} \qquad
# \begin{array}{rrr} \text{marks} & 2 & 3 \\ \text{bonus} & & 2 \\ \hline & & \text{no} \end{array} \qquad
# \begin{array}{rrr} \text{column} & 3 & 1 \\ \text{row} & & 4 \\ \hline \text{sum} & 3 & 4 \end{array}$$
#
# Here is the rule as a picture. Solid boxes hold numbers that are there. Dashed boxes are repeated by the rule: no
# memory is used for them. Look at the last line, where *both* sides are stretched.

# %%
def draw_boxes(ax, small, shape, title):
    """The array as the rule sees it: solid where its numbers are, dashed where they are repeated."""
    table = np.broadcast_to(small, shape)
    rows, columns = (1,) * (2 - small.ndim) + small.shape
    for i, j in np.ndindex(*shape):
        real = i < rows and j < columns
        ax.add_patch(plt.Rectangle((j + 0.05, i + 0.05), 0.9, 0.9, facecolor="#9ecae1" if real else "white",
                                   edgecolor="black" if real else "0.6", linestyle="-" if real else "--"))
        ax.text(j + 0.5, i + 0.5, f"{table[i, j]:g}", ha="center", va="center", color="black" if real else "0.5")
    ax.set(xlim=(-0.1, shape[1] + 0.1), ylim=(shape[0] + 0.1, -0.1), aspect="equal")
    ax.set_title(title, fontsize=10)
    ax.axis("off")


table, row, column = np.array([[1, 2, 3], [10, 20, 30]]), np.array([100, 200, 300]), np.array([[100], [200]])
tall, wide = np.array([[0], [10], [20]]), np.array([1, 2, 3, 4])
fig, axes = plt.subplots(3, 3, figsize=(6.8, 5.2), height_ratios=(2, 2, 3))
for line, (left, right) in zip(axes, ((table, row), (table, column), (tall, wide)), strict=True):
    both = left + right
    for ax, array, sign in zip(line, (left, right, both), ("", "+ ", "= "), strict=True):
        draw_boxes(ax, array, both.shape, f"{sign}{array.shape}")
plt.show()

# %% [markdown]
# ## Exercise 1: the shape before you run it
#
# Write the rule as a function of two shapes (tuples of sizes). It returns the shape they have together, a tuple, or
# raises `ValueError` if they do not fit. *From the right* is the part to think about: `a[-1]` is the last size,
# `a[-2]` the one before.

# %%
@tn.exercise("02.broadcast_shape")
def broadcast_shape(a, b):
    """The shape of x + y, where x has the shape a and y the shape b. ValueError if there is none."""
    # BEGIN SOLUTION
    #? a = (1,) * ... + a  # rule 1: as many axes as the other has
    #? b = (1,) * ... + b
    #? ...  # rules 2 and 3, for each pair of sizes
    a, b = (1,) * (len(b) - len(a)) + a, (1,) * (len(a) - len(b)) + b
    shape = ()
    for m, n in zip(a, b, strict=True):
        if m != n and 1 not in (m, n):
            raise ValueError(f"{m} and {n} do not fit")
        shape += (n if m == 1 else m,)
    return shape
    # END SOLUTION

# %%
tn.check("02.broadcast_shape")

# %% [markdown]
# Now you can say it before you run it. **Predict each line**, then look:

# %%
shapes = (((2, 3), (3,)), ((2, 3), (2,)), ((2, 3), (2, 1)), ((3, 1), (4,)), ((5, 1, 2), (3, 2)), ((8, 8), (9, 1, 8)))
for a, b in shapes:
    try:
        said = broadcast_shape(a, b)
    except ValueError:
        said = "do not fit"
    print(f"{a!s:<10} and {b!s:<13} {said}")

# %% [markdown]
# ## How to say "this is a column"
#
# An axis of size $1$ is made by an index: `None` puts one in. So the teacher's second idea is written like this:

# %%
bonus = tn.tensor([100.0, 200.0])
for text, one in (("bonus", bonus), ("bonus[:, None]", bonus[:, None]), ("bonus[None]", bonus[None])):
    print(f"{text:<15} {tuple(one.shape)}")
print(marks + bonus[:, None])

# %% [markdown]
# Each student's marks, less that student's mean, is the same thing with `keepdims`. **Predict:** what happens without
# it?

# %%
print(marks - marks.mean(axis=1, keepdims=True))
try:
    marks - marks.mean(axis=1)
except RuntimeError as error:
    print(str(error).splitlines()[0])

# %% [markdown]
# ## The trap: when a wrong shape fits
#
# An error is the good case. The bad one is a shape that you did not mean, and that fits. Three predictions and three
# true values; one of them happens to be a column. All predictions are perfect. **What is the mean squared error?**

# %%
true = tn.tensor([1.0, 2.0, 3.0])
predicted = tn.tensor([[1.0], [2.0], [3.0]])  # a column, as a network gives it
errors = predicted - true
print(errors)
print(f"shape {tuple(errors.shape)}: mean squared error {errors.square().mean():.3f}, and it should be 0")

# %% [markdown]
# Each prediction was compared with *every* true value. Nothing crashed. A network trained like that learns to say the
# mean, whatever it sees, and people have lost weeks to it. Where broadcasting is never meant, tinynet refuses:

# %%
try:
    tn.nn.functional.mse_loss(predicted, true)
except ValueError as error:
    print(error)

# %% [markdown]
# ## Slopes through a broadcast
#
# In lesson 1 you measured slopes: a number rises by $0.01$, and by how much does the result rise? Now a number may be
# repeated. Take `bonus` of three numbers, added to the table of two rows. If `bonus[0]` rises by $0.01$, **two**
# numbers of the sum rise by $0.01$, one in each row.
#
# Say that somebody gives us, for each number of the sum, what it is worth: $g_{ij}$, how much the final result rises
# if that number rises by $1$. (That is a slope, too.) Then raising `bonus[j]` is worth the sum over all its copies:
#
# $$\text{worth of bonus}_j = \sum_i g_{ij}$$
#
# > **What was repeated on the way there is summed on the way back.**
#
# ## Exercise 2: the way back
#
# `g` has the shape after broadcasting. Return it summed to the shape before, `shape`. Two things may have happened on
# the way there, and each needs a sum: axes were put in front (rule 1), and axes of size $1$ were stretched (rule 3).
# `g` is a NumPy array; it has `.ndim`, `.shape`, `.reshape(shape)`, and `.sum(axis=...)`, where `axis` may be a tuple.

# %%
@tn.exercise("02.unbroadcast")
def unbroadcast(g, shape):
    """g summed over the axes that broadcasting from the shape `shape` put in front, or stretched."""
    # BEGIN SOLUTION
    #? in_front = tuple(range(...))
    #? g = g.sum(axis=in_front)
    #? stretched = ...  # the axes where shape has a 1
    #? return ...
    g = g.sum(axis=tuple(range(g.ndim - len(shape))))
    stretched = tuple(k for k, n in enumerate(shape) if n == 1)
    return g.sum(axis=stretched, keepdims=True)
    # END SOLUTION

# %%
tn.check("02.unbroadcast")

# %% [markdown]
# One of the properties that was checked deserves a look. Spread $x$ out and weigh its copies by $g$, or sum $g$ and
# weigh the numbers themselves: the total is the same. Written with $\langle u, v \rangle$ for "multiply element by
# element and add up":
#
# $$\langle g,\ \text{broadcast}(x) \rangle = \langle \text{unbroadcast}(g),\ x \rangle$$
#
# Two operations for which this holds are called **adjoint**. Every backward computation in deep learning is the
# adjoint of a forward one, and this equation is the quickest test there is.

# %%
rng = np.random.default_rng(0)
x, g = rng.normal(size=(3, 1)), rng.normal(size=(2, 3, 4))
print(f"on the way there: {np.sum(g * np.broadcast_to(x, g.shape)):.12f}")
print(f"on the way back:  {np.sum(unbroadcast(g, x.shape) * x):.12f}")

# %% [markdown]
# tinynet does this whenever you add a bias. Its own function stands in `tinynet/autograd/fit.py`. Compare it with
# yours:

# %%
import inspect

from tinynet.autograd import fit

print(inspect.getsource(fit.unbroadcast))

# %% [markdown]
# `tn.use` makes the engine run yours. Below, tinynet finds the slopes of a sum by the column and by the row that went
# into it (`backward` does that; how, is lesson 3):

# %%
tn.use(unbroadcast)
column, row = tn.zeros(3, 1, requires_grad=True), tn.ones(4, requires_grad=True)
(column + 10 * row).sum().backward()
print("each number of the column is worth", column.grad.tolist())
print("each number of the row is worth   ", row.grad.tolist())
tn.use(None)

# %% [markdown]
# ## All pairs at once
#
# Broadcasting shines where *everything meets everything*. Let $a$ be $n$ numbers and $b$ be $m$ numbers. All
# differences are a table of $n \times m$: make $a$ a column, and leave $b$ a row.

# %%
a, b = tn.tensor([1.0, 2.0, 4.0]), tn.tensor([10.0, 20.0])
print(tuple(a[:, None].shape), "-", tuple(b.shape), "->", tuple((a[:, None] - b).shape))
print(a[:, None] - b)

# %% [markdown]
# ## Exercise 3: pairwise distances
#
# Now each of the $n$ is a point, a row of $k$ numbers, and so is each of the $m$. The distance of two points is
#
# $$d_{ij} = \sqrt{\sum_k (a_{ik} - b_{jk})^2}$$
#
# Return the table of all distances, $n \times m$, without a loop. Write the shapes down first: `a` is $(n, k)$, `b` is
# $(m, k)$. Where must an axis of size $1$ go in each, so that together they make $(n, m, k)$? Tensors have
# `.square()`, `.sum(axis=...)` and `.sqrt()`.

# %%
@tn.exercise("02.pairwise_distances")
def pairwise_distances(a, b):
    """The distance of each row of a from each row of b: (n, k) and (m, k) make (n, m)."""
    # BEGIN SOLUTION
    return (a[:, None] - b[None]).square().sum(axis=-1).sqrt()
    # END SOLUTION

# %%
tn.check("02.pairwise_distances")

# %% [markdown]
# ## What distances know
#
# An image of $8 \times 8$ is a row of $64$ numbers: a point in a space of $64$ dimensions. Take eight images of each
# digit, and all their distances from one another. **Predict:** the images are sorted by digit. Where will the picture
# be dark (near), and which two digits will be near each other?

# %%
some = tn.cat([flat[labels == digit][:8] for digit in range(10)])
distances = pairwise_distances(some, some)
fig, ax = plt.subplots(figsize=(5, 4.2))
shown = ax.imshow(distances.numpy(), cmap="gray")
ax.set(xlabel="digit", ylabel="digit", xticks=np.arange(10) * 8 + 3.5, yticks=np.arange(10) * 8 + 3.5,
       xticklabels=range(10), yticklabels=range(10), title="Dark blocks: images of one digit lie near each other")
ax.grid(False)
fig.colorbar(shown, label="distance")
plt.show()

# %% [markdown]
# So here is a way to read a digit: find the nearest image whose digit is known, and say the same. Nothing is learned,
# and no slope is needed. It is called the **nearest neighbour** rule. For each of the test images, which it has never
# seen, compare with all of the others:

# %%
from tqdm.auto import tqdm

test_images, test_labels = tn.data.datasets.digits(train=False).tensors
test_flat = test_images.reshape(len(test_images), -1)
nearest = []
for chunk in tqdm(test_flat.split(20), desc="test images, 20 at a time"):
    nearest.append(pairwise_distances(chunk, flat).argmin(axis=1))
nearest = tn.cat(nearest)
right = labels[nearest] == test_labels
print(f"{right.float().mean():.1%} of {len(right)} new digits are read right")

# %% [markdown]
# That is hard to beat: lesson 3's first network will be worse. Where it is wrong you may understand why:

# %%
wrong = (~right).nonzero()[:, 0][:6]
fig, axes = plt.subplots(2, len(wrong), figsize=(6.4, 2.9))
for k, i in enumerate(wrong.tolist()):
    j = int(nearest[i])
    for ax, image, label in ((axes[0, k], test_images[i], test_labels[i]), (axes[1, k], images[j], labels[j])):
        ax.imshow(image[0].numpy(), cmap="gray_r")
        ax.set(title=f"a {label}", xticks=[], yticks=[])
        ax.grid(False)
axes[0, 0].set_ylabel("new")
axes[1, 0].set_ylabel("its nearest")
plt.show()

# %% [markdown]
# ## What it costs
#
# Why $20$ at a time? The table of differences, before it is summed, has $n \times m \times k$ numbers. All test images
# at once would need:

# %%
n, m, k = len(test_flat), len(flat), flat.shape[1]
print(f"{n} x {m} x {k} numbers of 4 bytes: {4 * n * m * k / 1e6:.0f} MB, for a result of {4 * n * m / 1e6:.1f} MB")

# %% [markdown]
# ## The matrix product
#
# The commonest computation of all has the same pattern, everything meets everything and then a sum. Row $i$ of $A$
# meets column $j$ of $B$; their elements are multiplied in pairs, and added:
#
# $$C_{ij} = \sum_k A_{ik} B_{kj}$$
#
# As broadcasting it is a product of $(n, k, 1)$ with $(k, m)$, summed over the middle. Python writes it `A @ B`, and
# never makes the big table:

# %%
A, B = tn.rand(2, 3), tn.rand(3, 4)
slowly = (A[:, :, None] * B).sum(axis=1)
print(tuple(A.shape), "@", tuple(B.shape), "->", tuple((A @ B).shape))
print("the same numbers:", tn.allclose(slowly, A @ B))

# %% [markdown]
# The inner sizes must be equal (here $3$), and go away; the outer ones stay. A network is mostly such products. They
# also give distances without the big table, if you multiply the square out:
#
# $$\sum_k (a_{ik} - b_{jk})^2 = \sum_k a_{ik}^2 + \sum_k b_{jk}^2 - 2 \sum_k a_{ik} b_{jk}$$
#
# The first sum is a column, the second a row, and the last a matrix product with $B$ **transposed** (`.T`: rows become
# columns). Both ways, timed:

# %%
def distances_by_products(a, b):
    squares = a.square().sum(axis=1, keepdims=True) + b.square().sum(axis=1) - 2 * a @ b.T
    return squares.clamp(min=0).sqrt()  # rounding may leave a little less than 0


few = test_flat[:50]
for name, compute in (("broadcasting", pairwise_distances), ("products", distances_by_products)):
    best = []
    for _ in range(5):
        start = time.perf_counter()
        table = compute(few, flat)
        best.append(time.perf_counter() - start)
    print(f"{name:<13} {1e3 * min(best):6.2f} ms   the first distance: {table[0, 0]:.4f}")

# %% [markdown]
# ## What would break?
#
# Think first, then try.
#
# 1. Marks of three students in three exams, shape $(3, 3)$. Somebody writes `marks - marks.mean(axis=1)` and means
#    "each student's marks, less that student's mean". What happens?
# 2. An image file holds bytes: whole numbers from $0$ to $255$ (`uint8`). Two pixels are $3$ and $5$. What is their
#    difference as bytes? Try `tn.tensor([3], dtype=tn.uint8) - tn.tensor([5], dtype=tn.uint8)`. What would that do to
#    the nearest neighbours?
# 3. `unbroadcast` takes the mean where it should take the sum. Which equation fails?
# 4. Does the nearest neighbour rule still work if every test image is shifted one pixel to the right? Try
#    `test_images.roll(1, -1)`.
#
# <details><summary>Answers</summary>
#
# 1. It runs, and is wrong. The means are a row of three, so the mean of student $j$ is taken from *exam* $j$. Square
#    tables hide mistakes of axes: test with sizes that are all different.
# 2. $254$: bytes go round like a clock. Pixels that are nearly equal would be far apart. The images here are of
#    `float32`, where $3 - 5$ is $-2$.
# 3. The adjoint one: the way back is smaller by the number of copies. Wherever a bias is added to a batch of 32, its
#    slope would be 32 times too small.
# 4. Far worse: to a distance, a shifted digit is another point. Lesson 8 is about computations that do not mind where
#    in the image something is.
#
# </details>
#
# ## Further reading
#
# - C. Harris and others, *Array programming with NumPy*, Nature 585 (2020): four pages on axes, views and
#   broadcasting.
# - NumPy's user guide, *Broadcasting*: the rule, with its pictures.
# - N. Rougier, *From Python to NumPy* (2017): how to think without loops. Free online.
# - T. Cover and P. Hart, *Nearest neighbor pattern classification* (1967): with enough examples, it is never more than
#   twice as often wrong as the best rule there can be.
