# %% [lesson]
# title: The GPU
# goal: Write kernels for a graphics card in CUDA C++, see what each of their threads reads and writes, find races, and
#   understand why a product of matrices by tiles fetches sixteen times less. No card is needed.
# time: 90 minutes
# needs: Lesson 15 (memory is the limit); Linux (on Windows, that of WSL) with the compiler g++ (apt install g++). A
#   card is used if there is one
# seconds: ci 14, laptop 17

# %% [markdown]
# ## Predict first
#
# A processor has a few cores, each of them quick and clever. A graphics card (GPU) has over ten thousand, slow and
# simple. All of them run **the same function**, called a *kernel*. A million numbers are to be doubled.
#
# **Who tells each worker which number is its own?** Think about it, then look at how it is done, written in Python:

# %%
def affine_in_python(blockIdx, threadIdx, blockDim, x, y, a, b):
    i = blockIdx * blockDim + threadIdx
    y[i] = a * x[i] + b
    return i


x, y = np.arange(24.0), np.zeros(24)
for block in range(3):
    print(f"block {block} does", [affine_in_python(block, thread, 8, x, y, 2, 1) for thread in range(8)])
print(y)

# %% [markdown]
# Nobody tells them. Each **thread** knows its number within its **block**, `threadIdx`, and the number of the block,
# `blockIdx`. From these it works out where its element is. Here the loops of Python ran one thread after another; a
# card runs thousands at once, in an order that nobody knows.
#
# Why blocks? Threads of one block run on the same part of the card, where they can wait for each other and share a
# little memory. Blocks know nothing of each other.
#
# ## CUDA C++ in five lines
#
# Kernels are written in C++. You need very little of it:
#
# | Python | CUDA C++ |
# |---|---|
# | `i = 3` | `int i = 3;` (the type first, a semicolon last) |
# | `s = 0.0` | `float s = 0;` |
# | `if i < n: y[i] = 1` | `if (i < n) y[i] = 1;` |
# | `for k in range(n):` and an indented block | `for (int k = 0; k < n; k++) { ... }` |
# | an array argument | `const float* x` if it is only read, `float* y` if it is written |
#
# An array in C++ does not know how long it is. That is why kernels get $n$ as well; and nobody stops them at the end.
#
# ## An emulator that watches
#
# You may have no card; and a card would tell you nothing anyway: a kernel that writes beyond the end of an array spoils
# whatever lies there, in silence. tinynet has an **emulator**. It compiles a kernel for your processor, runs every
# thread, and looks at each access of memory. It needs a compiler for that. Is there one?

# %%
from tinynet.kernels.cuda.compiler import CompileError, gxx

try:
    print("there is:", gxx())
except CompileError as missing:
    raise tn.learn.Stop(f"This lesson ends here for today: {missing}.") from None

# %% [markdown]
# This is how we shall launch:

# %%
from tinynet.kernels.cuda import launcher, record
from tinynet.kernels.cuda.report import KernelFault
from tinynet.kernels.cuda.source import Source


def launch(text, grid, block, **arguments):
    """Run the kernel of this text on the emulator, with so many blocks of so many threads: what it read and wrote."""
    source = Source(text, "kernel.cu")
    (name,) = source.kernels
    with record.emulate() as seen:
        launcher.launch(np, name, grid, block, source=source, **arguments)
    return seen.launches[0]

# %% [markdown]
# ## Exercise 1: how many blocks?
#
# There are $n$ elements, and a block has so many threads. How many blocks are needed, so that every element has a
# thread and no block has nothing to do?

# %%
@tn.exercise("16.blocks")
def blocks(n, threads):
    """The number of blocks of so many threads that n elements need."""
    # BEGIN SOLUTION
    return (n + threads - 1) // threads
    # END SOLUTION

# %%
tn.check("16.blocks")

# %%
n, threads = 20, 8
print(f"{n} elements: {blocks(n, threads)} blocks of {threads} threads, so {blocks(n, threads) * threads} threads")

# %% [markdown]
# ## Exercise 2: a kernel
#
# There are more threads than elements! In the last block some have numbers beyond the end. They must do nothing: a
# kernel needs a **guard**.
#
# Write the inside of the kernel `affine`, which computes $y_i = a x_i + b$. In C++ it is `threadIdx.x`, `blockIdx.x`
# and `blockDim.x`, the number of threads in a block (`.x`, since there may be two or three directions). Your function
# returns the lines as one text.

# %%
head, tail = """extern "C" __global__ void affine(const float* x, float* y, float a, float b, int n) {
""", """
}"""

# %%
@tn.exercise("16.affine")
def affine():
    """The inside of: void affine(const float* x, float* y, float a, float b, int n)"""
    # BEGIN SOLUTION
    #? lines = ...  # a text, in triple quotes: int i = ...; and so on
    #? return lines
    return """
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = a * x[i] + b;
    """
    # END SOLUTION

# %%
tn.check("16.affine")

# %%
x, y = np.arange(n, dtype=np.float32), np.full(n, np.nan, np.float32)
seen = launch(head + affine() + tail, (blocks(n, threads),), (threads,), x=x, y=y, a=2.0, b=1.0, n=n)
print(y)
print(seen)

# %% [markdown]
# Every access was recorded: which thread, which element, read or written. Draw it, a row for each thread:

# %%
fig, axes = plt.subplots(1, 2, figsize=(8, 3.6), sharey=True)
for ax, name, marker in zip(axes, "xy", "os", strict=True):
    mine = seen.accesses[seen.accesses["array"] == name]
    ax.plot(mine["element"], mine["block"] * threads + mine["thread"], marker, color="black", markersize=4)
    for border in range(0, blocks(n, threads) * threads + 1, threads):
        ax.axhline(border - 0.5, color="0.6", linestyle="--", linewidth=1)
    ax.set(xlabel=f"element of {name}", title=f"{'read' if name == 'x' else 'written'}: {name}", xlim=(-1, n + 4))
axes[0].set(ylabel="thread (dashed: blocks)", ylim=(blocks(n, threads) * threads - 0.5, -0.5))
fig.suptitle("Each thread has one element; the last threads have none")
plt.show()

# %% [markdown]
# And without the guard?

# %%
def attempt(text, *arguments, **options):
    """Launch, or say what is wrong."""
    try:
        launch(text, *arguments, **options)
        print("nothing was found")
    except KernelFault as fault:
        print(fault)


unguarded = head + "int i = blockIdx.x * blockDim.x + threadIdx.x;\n    y[i] = a * x[i] + b;" + tail
attempt(unguarded, (blocks(n, threads),), (threads,), x=x, y=y, a=2.0, b=1.0, n=n)

# %% [markdown]
# The line, the thread, the element. On a card it would have read whatever lies behind $x$, and overwritten what lies
# behind $y$.
#
# ## Neighbours read neighbours
#
# The 32 threads of a **warp** go through the kernel in step. If they read 32 numbers side by side, the card fetches
# them at once: 128 bytes, one *segment*. What if thread $i$ reads element $i \cdot \text{step}$?

# %%
strided = """extern "C" __global__ void strided(const float* x, float* y, int step) {
    y[threadIdx.x] = x[threadIdx.x * step];
}"""
wide, narrow = np.zeros(32 * 32, np.float32), np.zeros(32, np.float32)
for step in (1, 2, 4, 8, 32):
    fetched = launch(strided, (1,), (32,), x=wide, y=narrow, step=step).transactions("x")
    print(f"step {step:2}: {fetched:4.0f} segments, {fetched * 128:5.0f} bytes fetched for {32 * 4} that are used")

# %% [markdown]
# It is the cache line of lesson 15 again, only more expensive. Rule: **neighbouring threads should read neighbouring
# elements**.
#
# ## Exercise 3: a sum
#
# In `affine` no thread had to know of any other. A sum is different: in the end all must come together in one number.
# If each thread added to one total, all would write to the same place. So make a tree. The block has 64 numbers in
# `s`, its **shared memory**. In the first step threads 0 to 31 add what lies 32 further on; in the second, threads 0 to
# 15 add what lies 16 further on; and so on, until the sum is in `s[0]`.
#
# Between the steps everybody must **wait for everybody**: what thread 0 reads in step two was written by thread 16 in
# step one. `__syncthreads();` is this barrier, and *all* threads of the block must come to it. Write the loop.

# %%
head, tail = """extern "C" __global__ void sums(const float* x, float* parts, int n) {
    __shared__ float s[64];                  // one for each block
    int t = threadIdx.x, i = blockIdx.x * 64 + t;
    s[t] = i < n ? x[i] : 0;                 // x[i] if i < n, else 0
    __syncthreads();
""", """
    if (t == 0) parts[blockIdx.x] = s[0];    // a sum for each block
}"""

# %%
@tn.exercise("16.sums")
def sums():
    """The lines in the middle of the kernel sums: they bring the sum of the 64 numbers in s to s[0]."""
    # BEGIN SOLUTION
    #? lines = ...  # for (int apart = 32; apart > 0; apart /= 2) { and so on
    #? return lines
    return """
    for (int apart = 32; apart > 0; apart /= 2) {
        if (t < apart) s[t] += s[t + apart];
        __syncthreads();
    }
    """
    # END SOLUTION

# %%
tn.check("16.sums")

# %%
x, parts = np.arange(150, dtype=np.float32), np.full(3, np.nan, np.float32)
seen = launch(head + sums() + tail, (3,), (64,), x=x, parts=parts, n=150)
print("one sum a block:", parts, "  together", parts.sum(), "  NumPy's", x.sum())

# %% [markdown]
# Which element was added to which? From the record of the first block, every addition as a line, from what was read to
# where it was written:

# %%
mine = seen.accesses[(seen.accesses["array"] == "s") & (seen.accesses["block"] == 0)]
fig, ax = plt.subplots(figsize=(8, 3.4))
additions = []
for thread in range(64):
    step, read = 0, []
    for access in mine[mine["thread"] == thread]:
        if not access["write"]:
            read.append(int(access["element"]))
        else:
            additions += [(step, element, int(access["element"])) for element in read if step]
            step, read = step + 1, []
for step, start, end in additions:
    ax.plot([start, end], [step - 1, step], color="0.2" if start == end else "0.6", linewidth=1, linestyle="-")
ax.set(xlabel="element of s", ylabel="step", ylim=(max(step for step, _, _ in additions) + 0.2, -0.2),
       title="64 numbers become one in six steps")
plt.show()

# %% [markdown]
# Sixty-three additions in six steps. With a million numbers it would be twenty steps.
#
# ## A race
#
# What if the barrier is forgotten? **Predict:** is the result wrong?

# %%
no_barrier = "for (int apart = 32; apart > 0; apart /= 2) if (t < apart) s[t] += s[t + apart];"
attempt(head + no_barrier + tail, (3,), (64,), x=x, parts=parts, n=150)

# %% [markdown]
# It may be wrong, or right, or right until next Tuesday: that depends on which thread happens to be first. This is a
# **race**, and tests do not find it, since the result is often right. The emulator does not look at the result. It
# looks for two threads of which one writes what the other reads or writes, with no barrier between. (It can also run
# the last thread first: `record.emulate(reverse=True)`.)
#
# And a barrier that only some come to?

# %%
in_the_if = "for (int apart = 32; apart > 0; apart /= 2) if (t < apart) { s[t] += s[t + apart]; __syncthreads(); }"
attempt(head + in_the_if + tail, (3,), (64,), x=x, parts=parts, n=150)

# %% [markdown]
# Those that did come would wait for ever.
#
# ## A product of matrices
#
# The first attempt: a thread for each element of $C = AB$, in blocks of $16 \times 16$. Thread $(x, y)$ of a block goes
# along a row of $A$ and down a column of $B$.

# %%
naive = """extern "C" __global__ void naive(const float* a, const float* b, float* c, int n) {
    int row = blockIdx.y * 16 + threadIdx.y, column = blockIdx.x * 16 + threadIdx.x;
    float sum = 0;
    for (int k = 0; k < n; k++) sum += a[row * n + k] * b[k * n + column];
    c[row * n + column] = sum;
}"""
n = tn.learn.sized(ci=32, laptop=64)
a, b = np.random.rand(2, n, n).astype(np.float32)
c = np.full((n, n), np.nan, np.float32)
slow = launch(naive, (n // 16, n // 16), (16, 16), a=a, b=b, c=c, n=n)
print("equal to NumPy's, but for rounding:", np.allclose(c, a @ b, rtol=1e-4))
print(slow)

# %% [markdown]
# **Each element of $A$ and $B$ is fetched $n$ times**, once for each element of $C$ that it goes into. For each
# multiplication two numbers come all the way from memory. From lesson 15 you know what that means.
#
# ## Exercise 4: tiles
#
# The 256 threads of a block need the same numbers over and over: 16 rows of $A$ and 16 columns of $B$. So fetch them
# once, together, and share them. Go along $k$ in steps of 16. In each step
#
# 1. each thread fetches **one** number of $A$ and **one** of $B$ into shared memory: together a tile of each;
# 2. all wait, until the tiles are full;
# 3. each thread adds the 16 products that it needs, all of them from shared memory;
# 4. all wait, until nobody needs the tiles any more.
#
# `as[y][x]` shall be the element of $A$ in this thread's `row`, and column `k + x`; `bs[y][x]` that of $B$ in row
# `k + y`, and this thread's `column`. ($n$ is a multiple of 16 here.)

# %%
head, tail = """extern "C" __global__ void tiled(const float* a, const float* b, float* c, int n) {
    __shared__ float as[16][16], bs[16][16];
    int x = threadIdx.x, y = threadIdx.y;
    int row = blockIdx.y * 16 + y, column = blockIdx.x * 16 + x;
    float sum = 0;
    for (int k = 0; k < n; k += 16) {
""", """
    }
    c[row * n + column] = sum;
}"""

# %%
@tn.exercise("16.tiled")
def tiled():
    """The inside of the loop of the kernel tiled: fill as and bs, wait, add to sum, wait."""
    # BEGIN SOLUTION
    #? lines = ...  # as[y][x] = a[row * n + ...]; and so on
    #? return lines
    return """
        as[y][x] = a[row * n + k + x];
        bs[y][x] = b[(k + y) * n + column];
        __syncthreads();
        for (int i = 0; i < 16; i++) sum += as[y][i] * bs[i][x];
        __syncthreads();
    """
    # END SOLUTION

# %%
tn.check("16.tiled")

# %%
c.fill(np.nan)
quick = launch(head + tiled() + tail, (n // 16, n // 16), (16, 16), a=a, b=b, c=c, n=n)
print("equal to NumPy's, but for rounding:", np.allclose(c, a @ b, rtol=1e-4))
print(quick)
for name in "ab":
    many, few = slow.counts(name).sum(), quick.counts(name).sum()
    print(f"{name} is read {many:,} times without tiles, {few:,} times with them: {many / few:.0f} times less")

# %% [markdown]
# Sixteen times less, for tiles of sixteen. Look at what a single block reads, and how often:

# %%
from matplotlib.colors import PowerNorm


def reads_of(seen, name, block):
    """How often one block reads each element of an array."""
    mine = seen.accesses[(seen.accesses["array"] == name) & (seen.accesses["block"] == block) & ~seen.accesses["write"]]
    return np.bincount(mine["element"], minlength=n * n).reshape(n, n)


fig, axes = plt.subplots(2, 2, figsize=(7, 6.4))
for pair, seen, what in zip(axes, (slow, quick), ("without tiles", "with tiles"), strict=True):
    for ax, name in zip(pair, "ab", strict=True):
        times = reads_of(seen, name, 1)  # the second block of the first row of blocks
        image = ax.imshow(times, cmap="Greys", norm=PowerNorm(0.4, 0, 16))
        ax.set(title=f"{what}: {name}, {times.max()} times", xlabel="column", ylabel="row")
        ax.grid(False)
fig.colorbar(image, ax=axes, label="times that block (1, 0) reads it", shrink=0.6)
fig.suptitle("The same numbers, but fetched once, not sixteen times")
plt.show()

# %% [markdown]
# Drop one of the two barriers. Which fault is it now?

# %%
lines = """
        as[y][x] = a[row * n + k + x];
        bs[y][x] = b[(k + y) * n + column];
        __syncthreads();
        for (int i = 0; i < 16; i++) sum += as[y][i] * bs[i][x];
"""
attempt(head + lines + tail, (n // 16, n // 16), (16, 16), a=a, b=b, c=c, n=n)

# %% [markdown]
# A quick thread fills its place for the next step, while a slow one still reads from this step.
#
# ## Read the real kernel
#
# tinynet's own kernels for cards are files of CUDA C++; `record.emulate()` runs whole tensors on them. Here is what its
# product of matrices reads of the same $A$ and $B$:

# %%
with record.emulate() as seen:
    product = tn.tensor(a) @ tn.tensor(b)
print("equal to NumPy's, but for rounding:", np.allclose(product.numpy(), a @ b, rtol=1e-4))
print(seen)

# %% [markdown]
# Larger tiles: each element is fetched even less often. And it goes one step further, as did the loop at the end of
# lesson 15: from shared memory into registers. The text at the head of the file:

# %%
from pathlib import Path

kernel = Path(launcher.__file__).with_name("sgemm.cu").read_text()
print(kernel[:kernel.index("struct Product")])

# %% [markdown]
# ## On a card
#
# A kernel text is the same for a card as for the emulator. If there is a card, the next cell runs yours on it, and
# measures both products. What the picture above said about fetching is then a time:

# %%
def milliseconds(text, n, times=20):
    """The time of a product of two n x n matrices on the card."""
    import cupy

    source = Source(text, "kernel.cu")
    (name,) = source.kernels
    a, b = cupy.random.rand(2, n, n, dtype=cupy.float32)
    c = cupy.empty((n, n), cupy.float32)
    for k in range(times + 3):
        if k == 3:  # the first ones do not count
            tn.cuda.synchronize()
            start = time.perf_counter()
        launcher.launch(cupy, name, (n // 16, n // 16), (16, 16), source=source, a=a, b=b, c=c, n=n)
    tn.cuda.synchronize()
    took = (time.perf_counter() - start) / times * 1e3
    print(f"{name}: {took:.3f} ms, {2 * n**3 / took / 1e9:.1f} trillion flops a second, off by "
          f"{float(abs(c - a @ b).max()):.0e}")


import time

if tn.cuda.is_available():
    for text in (naive, head + tiled() + tail):
        milliseconds(text, 2048)
else:
    print("there is no card that tinynet can use here:")
    print(tn.cuda.info())

# %% [markdown]
# ## The same script, on either
#
# In everyday life you write no kernels. You say where the tensors shall be, and everything else stays as it is. The
# network, its gradients and the optimiser run where their tensors are:

# %%
from tqdm.auto import tqdm

device = "cuda" if tn.cuda.is_available() else "cpu"
width, steps = tn.learn.sized(ci=(64, 100), laptop=(256, 500))


def train(device):
    images, labels = (t.to(device) for t in tn.data.datasets.digits(train=True).tensors)
    tn.manual_seed(0)
    model = tn.nn.Sequential(tn.nn.Flatten(), tn.nn.Linear(64, width), tn.nn.ReLU(), tn.nn.Linear(width, 10)).to(device)
    optimizer, rng = tn.optim.Adam(model.parameters(), lr=2e-3), np.random.default_rng(0)
    start = time.perf_counter()
    for _ in tqdm(range(steps), desc=device):
        rows = tn.tensor(rng.integers(0, len(images), 128)).to(device)
        optimizer.zero_grad()
        loss = tn.nn.functional.cross_entropy(model(images[rows]), labels[rows])
        loss.backward()
        optimizer.step()
    took = time.perf_counter() - start
    images, labels = (t.to(device) for t in tn.data.datasets.digits(train=False).tensors)
    with tn.no_grad():
        right = (model(images).argmax(1) == labels).float().mean().item()
    print(f"{device}: {steps} steps in {took:.1f} s, {right:.1%} of new digits are right")


for where in dict.fromkeys(["cpu", device]):
    train(where)

# %% [markdown]
# (If you have a card: is it faster here? Such a network is far too small for it. Each step is a dozen kernels, and to
# start one takes some millionths of a second, whether there is work for ten threads or for a hundred thousand. Set
# `width=4096` and compare again.)
#
# ## What would break?
#
# 1. In `tiled`, swap the roles of `x` and `y` where `b` is fetched: `bs[x][y] = b[(k + x) * n + blockIdx.x * 16 + y]`.
#    Right or wrong? And what does the record say about segments?
# 2. `__shared__ float s[64]` has 64 places. What if the kernel `sums` is launched with 128 threads a block?
# 3. Why are the sums of the blocks not added up in the same launch, by the block that finishes last?
# 4. Why not tiles of $64 \times 64$, to read 64 times less?
#
# <details><summary>Answers</summary>
#
# 1. Right: the same tile is in the same place. But neighbouring threads now fetch from different rows, so there are
#    many more segments to a warp.
# 2. The emulator says which thread uses which index of `s`. On a card the numbers would be written into somebody else's
#    shared memory.
# 3. Blocks cannot wait for each other: not all of them need be on the card at the same time. Two launches one after the
#    other are the barrier between blocks.
# 4. A block has 1024 threads at most, and the part of the card that runs it has about 200 KiB of shared memory. tinynet
#    does use tiles of $64 \times 64$ and $128 \times 128$, but with 64 elements of $C$ to each thread.
#
# </details>
#
# ## Further reading
#
# - D. Kirk and W. Hwu, *Programming Massively Parallel Processors*: chapters 3 to 6 are this lesson.
# - NVIDIA, *CUDA C++ Programming Guide*, chapters 2 and 5.
# - M. Harris, *Optimizing Parallel Reduction in CUDA* (2007): seven versions of the sum.
# - S. Boehm, *How to Optimize a CUDA Matmul Kernel* (2022): from the naive kernel to the library's speed.
# - S. Rush, *GPU Puzzles* (2022): more small kernels, in Python.
