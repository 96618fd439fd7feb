# %% [lesson]
# title: Fast on the CPU
# goal: Make the same arithmetic many times faster by where the numbers lie, and know how far you are from the limit of
#   your machine. Then read the loop at the heart of tinynet.
# time: 75 minutes
# needs: Lessons 2 (shapes), 6 (softmax) and 8 (convolution)
# seconds: ci 8, laptop 38

# %% [markdown]
# ## Predict first
#
# Two functions add up all the numbers of a large table. They do the same additions; only the order of the two loops
# differs. **How many times faster is the faster one? And which is it?**
#
# (`njit` turns a Python function into machine code when it is first called. So what you see is what the processor does,
# and not what Python does. tinynet's own kernels are made with it.)

# %%
import time

from numba import njit


@njit
def row_by_row(table):
    total = 0.0
    for i in range(table.shape[0]):
        for j in range(table.shape[1]):
            total += table[i, j]
    return total


@njit
def column_by_column(table):
    total = 0.0
    for j in range(table.shape[1]):
        for i in range(table.shape[0]):
            total += table[i, j]
    return total


def seconds(run, times=5):
    """The best of some runs: everything else that goes on here can only make one slower. The first, which compiles,
    does not count."""
    run()
    best = np.inf
    for _ in range(times):
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return best


side = tn.learn.sized(ci=2000, laptop=4000)
table = np.random.rand(side, side).astype(np.float32)
took = {f.__name__: seconds(lambda f=f: f(table)) for f in (row_by_row, column_by_column)}
for name, s in took.items():
    print(f"{name:17} {s * 1e3:7.1f} ms")
print(f"{took['column_by_column'] / took['row_by_row']:.1f} times as long")

# %% [markdown]
# Memory is far away from where the processor computes: fetching a number takes as long as a hundred additions or more.
# So it never fetches one number. It fetches a **line** of 64 bytes, which are 16 numbers of `float32`, and keeps it
# close by, in a **cache**, for a while. Row by row, the next fifteen numbers are there already. Column by column, of
# each line fetched one number is used; when the loop comes back for the next one, the line has long been thrown out.
#
# > **The arithmetic costs next to nothing. The way to the numbers costs.**
#
# Everything in this lesson follows from that sentence.
#
# ## A ruler: flops per second
#
# An addition or multiplication of two numbers is one *flop*. The product of two $n \times n$ matrices takes $n^3$
# multiplications and as many additions, $2 n^3$ flops. How many does your machine do in a second, in three orders of
# the same three loops?

# %%
@njit
def dots(a, b):
    """Each element of c by itself: a row of a times a column of b."""
    c = np.zeros((a.shape[0], b.shape[1]), a.dtype)
    for i in range(a.shape[0]):
        for j in range(b.shape[1]):
            for k in range(a.shape[1]):
                c[i, j] += a[i, k] * b[k, j]
    return c


@njit
def rows(a, b):
    """Each row of c as a sum of rows of b."""
    c = np.zeros((a.shape[0], b.shape[1]), a.dtype)
    for i in range(a.shape[0]):
        for k in range(a.shape[1]):
            for j in range(b.shape[1]):
                c[i, j] += a[i, k] * b[k, j]
    return c


@njit
def four_rows(a, b):
    """The same, but four rows of b at a time: c is read and written a fourth as often."""
    c = np.zeros((a.shape[0], b.shape[1]), a.dtype)
    whole = a.shape[1] // 4 * 4
    for i in range(a.shape[0]):
        for k in range(0, whole, 4):
            a0, a1, a2, a3 = a[i, k], a[i, k + 1], a[i, k + 2], a[i, k + 3]
            for j in range(b.shape[1]):
                c[i, j] += a0 * b[k, j] + a1 * b[k + 1, j] + a2 * b[k + 2, j] + a3 * b[k + 3, j]
        for k in range(whole, a.shape[1]):
            for j in range(b.shape[1]):
                c[i, j] += a[i, k] * b[k, j]
    return c


n = tn.learn.sized(ci=384, laptop=1024)
a, b = np.random.rand(2, n, n).astype(np.float32)
speeds = {}  # billions of flops a second
for f, times in ((dots, 1), (rows, 3), (four_rows, 3)):
    speeds[f.__name__] = 2 * n**3 / seconds(lambda f=f: f(a, b), times) / 1e9
    print(f"{f.__name__:10} {speeds[f.__name__]:6.1f} billion flops a second")

# %% [markdown]
# `dots` is the definition in the book, and goes down a column of $b$ for each number. `rows` only ever goes along rows,
# and then the compiler helps as well: the processor has registers of 8 or 16 numbers, and multiplies and adds all of
# them in one go, if they lie side by side.
#
# ## Blocks
#
# There is still waste. For each row $i$ the function `rows` goes through **all** of $b$. How often does each number of
# $b$ come from memory, and how large is $b$?

# %%
print(f"b has {b.nbytes / 2**20:.1f} MiB; it is gone through {n} times: {n * b.nbytes / 2**30:.1f} GiB for one product")
print(f"a block of 256 x 256 has {256 * 256 * 4 / 1024:.0f} KiB")

# %% [markdown]
# A processor's own cache holds something like 32 to 2000 KiB. If $b$ does not fit, it comes from farther away, each
# time. A *block* of $b$ fits. So use a block for all that it is good for before turning to the next one:
#
# $$C_{:,J} \mathrel{+}= A_{:,K}\; B_{K,J}$$
#
# Here $K$ and $J$ are ranges of numbers, `k:k + size` and `j:j + size`. The block $B_{K,J}$ needs those columns of $A$
# that belong to its rows, and adds to those columns of $C$ that belong to its own.
#
# ## Exercise 1: a product in blocks
#
# `product(a, b)` multiplies two smaller matrices and is given. Slices do not mind running over the end: `b[k:k + size]`
# is shorter where nothing is left.

# %%
@tn.exercise("15.matmul_blocked")
def matmul_blocked(a, b, size, product):
    """a @ b, by product(some columns of a, a block of b of at most size x size) and additions."""
    c = np.zeros((len(a), b.shape[1]), a.dtype)
    # BEGIN SOLUTION
    for k in range(0, len(b), size):
        for j in range(0, b.shape[1], size):
            c[:, j:j + size] += product(a[:, k:k + size], b[k:k + size, j:j + size])
    # END SOLUTION
    return c

# %%
tn.check("15.matmul_blocked")

# %% [markdown]
# Before a block is multiplied it is **packed**: copied, so that its numbers lie side by side. In the large matrix each
# of its rows is far from the next. A copy costs $n^2$ steps, and is used for $n^3$.

# %%
def packed(a, b):
    return four_rows(np.ascontiguousarray(a), np.ascontiguousarray(b))


print("size of a block   billion flops a second")
for size in (32, 64, 128, 256, n):
    speed = 2 * n**3 / seconds(lambda size=size: matmul_blocked(a, b, size, packed), 3) / 1e9
    speeds["in blocks"] = max(speed, speeds.get("in blocks", 0))
    print(f"{size:15} {speed:10.1f}{'   (all in one)' if size == n else ''}")
print("equal to NumPy's, but for rounding:", np.allclose(matmul_blocked(a, b, 128, packed), a @ b, rtol=1e-3))

# %% [markdown]
# Too small, and the blocks' borders cost too much; too large, and they do not fit. The best size depends on your
# machine. Where its caches are larger than these matrices there is little to gain.
#
# ## Exercise 2: softmax without going to memory
#
# Softmax of a large table, as in lesson 6:
#
# `e = np.exp(x - x.max(1, keepdims=True)); y = e / e.sum(1, keepdims=True)`
#
# Each step goes through the whole table, and makes a new table of the same size. **Predict:** count how often all of it
# is read from memory or written to it.
#
# <details><summary>Count</summary>
#
# max: read. Subtract: read, write. exp: read, write. Sum: read. Divide: read, write. Eight times; two are needed, one
# read of $x$ and one write of $y$.
#
# </details>
#
# Take some rows at a time, do *all* steps to them while they are in the cache, and write into the result right away.
# NumPy's functions take `out=`: `np.exp(here, out=here)` makes no new array. (But leave `x` as it is.)

# %%
@tn.exercise("15.softmax_blocked")
def softmax_blocked(x, rows):
    """Softmax of each row of x, `rows` of them at a time, without temporary arrays as large as x."""
    out = np.empty_like(x)
    for r in range(0, len(x), rows):
        # BEGIN SOLUTION
        #? part, here = x[r:r + rows], out[r:r + rows]  # both look into the large arrays
        #? ...
        part, here = x[r:r + rows], out[r:r + rows]
        np.subtract(part, part.max(1, keepdims=True), out=here)
        np.exp(here, out=here)
        here /= here.sum(1, keepdims=True)
        # END SOLUTION
    return out

# %%
tn.check("15.softmax_blocked")

# %%
def softmax_plain(x):
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


x = np.random.randn(*tn.learn.sized(ci=(1024, 1000), laptop=(8192, 1000))).astype(np.float32)
plain = seconds(lambda: softmax_plain(x))
print(f"whole table      {plain * 1e3:6.1f} ms")
fused = {count: seconds(lambda count=count: softmax_blocked(x, count)) for count in (1, 4, 16, 64, 256)}
for count, s in fused.items():
    print(f"{count:4} rows at once {s * 1e3:6.1f} ms, {count * x.shape[1] * 4 / 1024:6.0f} KiB")

# %% [markdown]
# One row at a time is slow for another reason: each call of NumPy costs about a microsecond of Python. Doing all steps
# while the numbers are near is called **fusing**. It is the most useful trick there is for everything that is not a
# matrix product: on a GPU, too.
#
# ## Exercise 3: several workers
#
# Your processor has more than one core. Split the work into **tasks** that have nothing to do with one another. In a
# convolution each channel of each image is such a task: it reads what others read too, but **writes where nobody else
# writes**. Two workers that add to the same number would read the same old value, and one of the sums would be lost.
#
# Every worker runs the same function, and knows its number `worker`, from $0$ to `workers` $- 1$. Task $t$ is channel
# `t % channels` of image `t // channels`. Worker 0 of 3 takes tasks 0, 3, 6, and so on, worker 1 takes 1, 4, 7. What a
# task computes is that of lesson 8, for a window of any size, stride 1, and no padding; write it as loops over all five
# letters, with $j$ innermost (why?):
#
# $$y_{\text{image},\,o,\,i,\,j} = \sum_{c,r,s} w_{o,c,r,s} \cdot x_{\text{image},\,c,\;i+r,\;j+s}$$
#
# `nogil=True` lets go of Python's lock, so that several threads really run at once. If the compiler complains and you
# do not see why, take the line with `@njit` away: then Python itself says what is wrong.

# %%
@tn.exercise("15.conv_share")
@njit(nogil=True)
def conv_share(worker, workers, x, w, y):
    """Write this worker's share of the convolution of images x with weights w to y; return how many tasks it did."""
    images, channels, height, width = y.shape
    done = 0
    # BEGIN SOLUTION
    #? for task in range(...):
    #?     ...
    for task in range(worker, images * channels, workers):
        image, o = task // channels, task % channels
        y[image, o] = 0.0
        for c in range(w.shape[1]):
            for r in range(w.shape[2]):
                for s in range(w.shape[3]):
                    weight = w[o, c, r, s]
                    for i in range(height):
                        for j in range(width):
                            y[image, o, i, j] += weight * x[image, c, i + r, j + s]
        done += 1
    # END SOLUTION
    return done

# %%
tn.check("15.conv_share")

# %%
import os
from concurrent.futures import ThreadPoolExecutor

images = np.random.rand(tn.learn.sized(ci=8, laptop=32), 16, 34, 34).astype(np.float32)
w = np.random.rand(32, 16, 3, 3).astype(np.float32)
y = np.empty((len(images), 32, 32, 32), np.float32)
cores = os.cpu_count() or 1


def convolve(workers):
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(lambda worker: conv_share(worker, workers, images, w, y), range(workers)))


with tn.no_grad():
    right = tn.nn.functional.conv2d(tn.tensor(images), tn.tensor(w)).numpy()
conv_flops, conv_speeds = 2 * y.size * 16 * 9, {}
for workers in sorted({1, 2, cores}):
    y.fill(np.nan)
    shares = convolve(workers)
    apart = np.abs(y - right).max() / np.abs(right).max()
    conv_speeds[workers] = conv_flops / seconds(lambda workers=workers: convolve(workers), 3) / 1e9
    print(f"{workers} workers did {shares} tasks: {conv_speeds[workers]:5.1f} billion flops a second, "
          f"{conv_speeds[workers] / conv_speeds[1]:.2f} times one worker's; off by {apart:.0e}")

# %% [markdown]
# Two workers are twice as fast at best, and only if the second core has nothing else to do. (On a busy machine you see
# less.) Work that cannot be split stays: if a tenth of the time is in such a part, a thousand workers make it ten times
# faster, and no more. That is *Amdahl's law*.
#
# ## The roof
#
# How fast could it be? There are two limits. The processor does so many flops a second, its **peak**. And so many bytes
# a second come from memory, its **bandwidth**. Which one binds depends on how many flops are done for each byte that
# must come, the **intensity** $I$:
#
# $$\text{flops per second} \le \min(\text{peak},\; \text{bandwidth} \cdot I)$$
#
# Adding up a table: one flop for four bytes, $I = \tfrac{1}{4}$. A product of matrices: $2n^3$ flops for $3n^2$
# numbers of four bytes, $I = n/6$. **Predict:** which of the two can ever reach the peak?
#
# Measure both limits here. For bandwidth, copy an array that fits into no cache. For the peak, take the best product of
# matrices there is.

# %%
big = np.random.rand(tn.learn.sized(ci=8, laptop=24) * 2**20).astype(np.float32)
target = np.empty_like(big)
bandwidth = 2 * big.nbytes / seconds(lambda: np.copyto(target, big)) / 1e9
ta, tb, tx, timages, tw = map(tn.tensor, (a, b, x, images, w))
with tn.no_grad():
    speeds["tinynet"] = 2 * n**3 / seconds(lambda: ta @ tb, 10) / 1e9
    tn_softmax = seconds(lambda: tx.softmax(1))
    tn_conv = conv_flops / seconds(lambda: tn.nn.functional.conv2d(timages, tw)) / 1e9
peak = max(speeds["tinynet"], 2 * n**3 / seconds(lambda: a @ b, 10) / 1e9)
print(f"bandwidth {bandwidth:.1f} billion bytes a second, peak {peak:.0f} billion flops a second:")
print(f"use each number that is fetched in {4 * peak / bandwidth:.0f} flops or more, or the processor waits for memory")

# %%
of_softmax = 5 * x.size / 1e9  # flops: max, subtract, exp, add, divide
conv_intensity = conv_flops / (images.nbytes + w.nbytes + y.nbytes)
points = [("sum of a table", 1 / 4, [(name.replace("_", " "), side**2 / s / 1e9) for name, s in took.items()]),
          ("softmax", 5 / 8, [("plain", of_softmax / plain), ("in blocks", of_softmax / min(fused.values())),
                              ("tinynet", of_softmax / tn_softmax)]),
          ("convolution", conv_intensity, [("1 worker", conv_speeds[1]), (f"{cores} workers", conv_speeds[cores]),
                                           ("tinynet", tn_conv)]),
          (f"product, n = {n}", n / 6, [(name.replace("_", " "), speed) for name, speed in speeds.items()])]
fig, ax = plt.subplots(figsize=(8, 4.6))
intensity = np.logspace(-1.2, 3, 200)
ax.loglog(intensity, np.minimum(peak, bandwidth * intensity), "k-", linewidth=2.5)
for (name, at, found), marker, side in zip(points, "osD^", (-1, 1, -1, 1), strict=True):
    ax.loglog([at] * len(found), [speed for _, speed in found], marker, color="0.35", markersize=7, label=name)
    height = 0.0
    for what, speed in sorted(found, key=lambda pair: pair[1]):
        height = max(speed, 1.4 * height)  # so that no label lies on another
        ax.annotate(what, (at, height), (side * 8, -3), textcoords="offset points", fontsize=8,
                    ha="left" if side > 0 else "right", bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5})
above = 1.25 * bandwidth
ax.text(0.3, above * 0.3, "memory is the limit", fontsize=9, rotation=np.degrees(np.arctan(above)),
        rotation_mode="anchor", transform_rotates_text=True)
ax.annotate("arithmetic is the limit", (6, 1.25 * peak), fontsize=9)
ax.set(xlabel="intensity (flops for each byte that must come from memory)", ylabel="billion flops a second",
       title="The roofline: below the roof there is something to gain", ylim=(None, 4 * peak))
ax.legend(loc="upper left")
plt.show()

# %% [markdown]
# Read it from the left. The sum and softmax can never be fast in flops: their roof is low, and once they touch it
# nothing but fewer bytes will help. (A point *above* the slanted roof had its numbers in the cache.) The convolution
# and the product stand under the high part: there, the distance to the roof is what good code can gain. (The roof is
# that of all cores together. tinynet uses them all; your product in blocks used one.)
#
# ## How the last factor is gained
#
# Your blocks keep the numbers in the cache. The fastest place is nearer still: the **registers**, some 16 or 32 of
# them. Count what `four_rows` reads for each multiply-add: it reads a row of $c$ and four of $b$, writes one, and does
# four multiply-adds. Better: a **tile** of sums which stays in registers for the whole loop over $k$:

# %%
for name, down, across, writes in (("rows", 1, 1, 1), ("four_rows", 1, 1, 1), ("a tile of 8 x 2", 8, 2, 0)):
    if writes:
        depth = 4 if name == "four_rows" else 1
        reads, work = 1 + depth + 1, depth  # c, the rows of b; and c is written
    else:
        reads, work = down + across, down * across  # single numbers of a, registers of b
    print(f"{name:16} {reads:3} reads and writes for {work:2} multiply-adds of a register: {reads / work:.2f} each")

# %% [markdown]
# This is tinynet's loop, under every product of matrices and every convolution. The text at the top of its file says
# what you now know:

# %%
from tinynet.kernels.cpu import panel

print(panel.__doc__)

# %% [markdown]
# And here it is. `sums` is the tile. Compare the four steps with `rows`: zeros, for each $k$ add products, store.

# %%
import inspect

print(inspect.getsource(panel.tile_loop))

# %% [markdown]
# `add_products` is all the arithmetic there is. It hardly looks like Python any more, since it tells the compiler which
# machine instructions to write: two loads of $b$, then for each row one number of $a$, spread over a register, and the
# multiply-adds.

# %%
print(inspect.getsource(panel.add_products))

# %% [markdown]
# And the workers? Like yours, they run one function and know their number. This is softmax: `span` is a worker's share
# of the rows.

# %%
from tinynet.kernels.cpu import softmax

source = inspect.getsource(softmax)
start = source.index("@parallel\ndef softmax_rows")
print(source[start:source.index("@parallel", start + 1)])

# %% [markdown]
# ## What would break?
#
# 1. In `conv_share`, split by channels of the *input*, $c$, so that each worker adds its part to all of $y$. What
#    happens with one worker, with two?
# 2. `matmul_blocked` with `size` 1. Same result? How fast?
# 3. A table of $4096 \times 4096$, column by column, is often slower than one of $4100 \times 4100$, though it is
#    smaller. Try both. Why?
# 4. Somebody shows a program that is 100 times faster than NumPy's `a @ b`. What do you check first?
#
# <details><summary>Answers</summary>
#
# 1. With one it is right. With two, both read an old sum, both add, and the later write wins: wrong results, sometimes,
#    and other ones each time. It is called a *race*, and in lesson 16 there is a tool that finds them.
# 2. The same, and very slow: each call of `product` costs far more than its one column of multiplications.
# 3. Steps of exactly $2^{14}$ bytes all fall into the same few places of a cache, which then holds only a few of the
#    lines. A number of columns that is no power of two spreads them.
# 4. Whether the results are equal. Then which dtype, how many threads on either side, and whether the first run, which
#    compiles, was counted for one of them. And the roof: nothing is above it.
#
# </details>
#
# ## Further reading
#
# - S. Williams, A. Waterman and D. Patterson, *Roofline: an insightful visual performance model* (2009).
# - K. Goto and R. van de Geijn, *Anatomy of High-Performance Matrix Multiplication* (2008): blocks, packing, tiles.
# - U. Drepper, *What Every Programmer Should Know About Memory* (2007), sections 3 and 6.
# - *Algorithmica*, en.algorithmica.org/hpc: matrix multiplication, step by step, to the peak.
