"""Lesson 16, the GPU: how many blocks, a kernel for each element, a sum by a tree, a product of matrices by tiles.

Answers are CUDA C++, as text: the inside of a kernel whose head is given. The emulator runs it, and says what is wrong.
"""
from __future__ import annotations

import functools
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tinynet.kernels.cuda import launcher, record
from tinynet.kernels.cuda.compiler import CompileError, gxx
from tinynet.kernels.cuda.report import KernelFault
from tinynet.kernels.cuda.source import Source
from tinynet.learn import close, draw, reference, require
from tinynet.learn.compare import Unable, Wrong

AFFINE = """extern "C" __global__ void affine(const float* x, float* y, float a, float b, int n) {
""", """
}"""
SUMS = """extern "C" __global__ void sums(const float* x, float* parts, int n) {
    __shared__ float s[64];
    int t = threadIdx.x, i = blockIdx.x * 64 + t;
    s[t] = i < n ? x[i] : 0;
    __syncthreads();
""", """
    if (t == 0) parts[blockIdx.x] = s[0];
}"""
TILED = """extern "C" __global__ void tiled(const float* a, const float* b, float* c, int n) {
    __shared__ float as[16][16], bs[16][16];
    int x = threadIdx.x, y = threadIdx.y;
    int row = blockIdx.y * 16 + y, column = blockIdx.x * 16 + x;
    float sum = 0;
    for (int k = 0; k < n; k += 16) {
""", """
    }
    c[row * n + column] = sum;
}"""
HINTS = {
    "out of bounds": "There are more threads than elements: a thread must ask whether its number is below n.",
    "unwritten": "All that is read from shared memory must have been written before, and a barrier passed since.",
    "left early": "Every thread must come to each __syncthreads(), also those that have nothing to do: it may not "
                  "stand inside an if that is not true for all.",
    "index": "Indices of an array begin at 0 and end below its size.",
}
HINTS["two barriers"] = HINTS["left early"]


@functools.lru_cache(64)
def program(text: str) -> Source:
    """The kernel of a text: compiled once."""
    return Source(text, "yours.cu")


def run(frame: tuple[str, str], body: Any, grid: Any, block: Any, race: str = "", **given: Any) -> record.Launch:
    """Launch a kernel on the emulator. race: what to think of where it finds one."""
    require(isinstance(body, str), f"the text of the kernel is expected, a str, not {type(body).__name__}")
    try:
        gxx()
    except CompileError as missing:
        raise Unable(f"this cannot be checked here: {missing}") from missing
    source = program(body.join(frame))
    try:
        with record.emulate() as seen:
            launcher.launch(np, next(iter(source.kernels)), grid, block, source=source, **given)
    except KernelFault as fault:
        raise Wrong(str(fault), hint=race if fault.fault == "race" else HINTS.get(fault.fault, "")) from fault
    except CompileError as error:
        lines = [line for line in str(error).splitlines() if " error: " in line]
        raise Wrong("the compiler does not understand it", hint="\n".join(lines[:3] or [str(error)])) from error
    return seen.launches[0]


def empty(*shape: int) -> Any:
    """An array full of NaN, so that a gap shows."""
    return launcher.empty(np, shape, np.float32)


# ---- how many
@reference("16.blocks")
def blocks(n, threads):
    """⌈n / threads⌉"""
    return (n + threads - 1) // threads


@blocks.property("there is a thread for each of n elements", n=st.integers(1, 40), threads=st.sampled_from([4, 8]))
def _(mine, n, threads):
    got = mine(n, threads)
    require(isinstance(got, int | np.integer), f"a whole number is expected, not {got!r}", "// divides whole numbers.")
    require(got * threads >= n, f"{got} blocks of {threads} threads make {got * threads}, and there are {n} elements",
            "The last block may be filled in part only: round up, not down.")


@blocks.property("no block has nothing to do", n=st.integers(1, 40), threads=st.sampled_from([4, 8]))
def _(mine, n, threads):
    require((mine(n, threads) - 1) * threads < n, f"one block fewer would do for {n} elements", "Where threads divides "
            "n, no block is added.")


# ---- each element by itself
@reference("16.affine")
def affine():
    """y[i] = a x[i] + b"""
    return """
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = a * x[i] + b;
    """


MINE = ("Two threads write to the same element. Each needs a number of its own in the whole grid: blockIdx.x blocks of "
        "blockDim.x threads come before this block.")


def affine_of(mine: Any, n: int, threads: int) -> None:
    """Run it, and compare."""
    x, y = np.arange(n, dtype=np.float32), empty(n)
    run(AFFINE, mine(), (blocks(n, threads),), (threads,), MINE, x=x, y=y, a=2.0, b=1.0, n=n)
    close(y, 2 * x + 1, "Thread number i of the whole grid writes y[i], and nothing else. (nan: nobody wrote there.)")


@affine.property("one block of 8 threads, 8 elements")
def _(mine):
    affine_of(mine, 8, 8)


@affine.property("three blocks of 8 threads, 24 elements")
def _(mine):
    affine_of(mine, 24, 8)


@affine.property("as many elements as one likes", examples=8, n=st.integers(1, 100), threads=st.sampled_from([4, 32]))
def _(mine, n, threads):
    affine_of(mine, n, threads)


# ---- a sum
@reference("16.sums")
def sums():
    """s[0] = Σ s, by halves."""
    return """
    for (int apart = 32; apart > 0; apart /= 2) {
        if (t < apart) s[t] += s[t + apart];
        __syncthreads();
    }
    """


BETWEEN = ("A thread reads what another one writes at about the same time. After each step of the loop all must wait "
           "for all: __syncthreads().")


@sums.property("64 numbers, one block", examples=6, x=draw.whole((64,), -3, 3))
def _(mine, x):
    x, parts = x.astype(np.float32), empty(1)
    run(SUMS, mine(), (1,), (64,), BETWEEN, x=x, parts=parts, n=64)
    close(parts, x.sum(keepdims=True), "First s[t] += s[t + 32] for t below 32, then with 16, 8, 4, 2 and 1: the sum "
          "is in s[0] at the end.")


@sums.property("several blocks", examples=6, n=st.integers(1, 200))
def _(mine, n):
    x, parts = np.arange(n, dtype=np.float32), empty(blocks(n, 64))
    run(SUMS, mine(), (len(parts),), (64,), BETWEEN, x=x, parts=parts, n=n)
    close(parts, [x[k:k + 64].sum() for k in range(0, n, 64)], "Each block has its own s, and its own sum.")


@sums.property("the work halves from step to step")
def _(mine):
    x, parts = np.ones(64, np.float32), empty(1)
    adds = run(SUMS, mine(), (1,), (64,), BETWEEN, x=x, parts=parts, n=64).counts("s", write=True).sum() - 64
    require(adds <= 64 + 6, f"s is written {adds} times after it was filled, and 63 additions are enough", "In a step "
            "only the threads below `apart` add: 32, 16, 8, 4, 2, 1.", expected=63, got=int(adds))


# ---- a product of matrices
@reference("16.tiled")
def tiled():
    """sum += the product of a tile of a and a tile of b, from shared memory."""
    return """
        as[y][x] = a[row * n + k + x];
        bs[y][x] = b[(k + y) * n + column];
        __syncthreads();
        for (int i = 0; i < 16; i++) sum += as[y][i] * bs[i][x];
        __syncthreads();
    """


BOTH = ("Two barriers: one when the tiles are full, before anybody reads them, and one when all have read, before "
        "anybody fills them anew.")


def tiled_of(mine: Any, n: int) -> record.Launch:
    """Run it, and compare."""
    rng = np.random.default_rng(0)
    a, b = rng.integers(-3, 4, (2, n, n)).astype(np.float32)
    c = empty(n, n)
    seen = run(TILED, mine(), (n // 16, n // 16), (16, 16), BOTH, a=a, b=b, c=c, n=n)
    close(c, a @ b, "as is the tile of a in the rows of this block and columns k to k + 15; bs that of b in rows k to "
          "k + 15 and the columns of this block. Thread (x, y) fills [y][x] of both, and adds up as[y][i] · bs[i][x].")
    return seen


@tiled.property("16 x 16: one block, one step")
def _(mine):
    tiled_of(mine, 16)


@tiled.property("48 x 48: nine blocks, three steps")
def _(mine):
    tiled_of(mine, 48)


@tiled.property("each element of a and b is fetched once for each block that needs it")
def _(mine):
    seen = tiled_of(mine, 48)
    for name in "ab":
        times = seen.counts(name).max()
        require(times <= 3, f"an element of {name} is read {times} times from global memory, and 3 are enough", "Each "
                "thread fetches one number of each tile; the loop over i reads as and bs, which are near.",
                expected=3, got=int(times))
