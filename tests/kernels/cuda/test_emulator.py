"""The emulator: what kernels may do works, in either order of threads; what they may not is reported with line, threads
and array."""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

from tinynet.kernels.cuda import compiler, emulator, launcher, report, source

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed: THE EMULATOR WAS NOT TESTED")

# Each kernel does one thing wrong, on the line that ends with its name.
WRONG = """
extern "C" __global__ void race(float* x) {
    __shared__ float s[64];
    s[threadIdx.x] = 1;
    x[threadIdx.x] = s[threadIdx.x / 2];  // race
}
extern "C" __global__ void warp_race(float* x) {
    __shared__ float s[64];
    s[threadIdx.x] = 1;
    x[threadIdx.x] = s[threadIdx.x / 32 * 32];  // warp_race
}
extern "C" __global__ void overwritten(float* x) {
    __shared__ float s[64];
    s[threadIdx.x] = 1;
    __syncthreads();
    x[threadIdx.x] = s[(threadIdx.x + 1) % 64];
    s[threadIdx.x] = 2;  // overwritten
}
extern "C" __global__ void two_blocks(float* x) {
    x[threadIdx.x] = blockIdx.x;  // two_blocks
}
extern "C" __global__ void other_block(float* x) {
    x[64 * blockIdx.x + threadIdx.x] = x[64 * (blockIdx.x ^ 1) + threadIdx.x];  // other_block
}
extern "C" __global__ void beyond(float* x) {
    x[threadIdx.x + 65] = 1;  // beyond
}
extern "C" __global__ void before(float* x) {
    x[(int)threadIdx.x - 1] = 1;  // before
}
extern "C" __global__ void far_away(float* x) {
    x[threadIdx.x + (1ll << 40)] = 1;  // far_away
}
extern "C" __global__ void shared_beyond(float* x) {
    __shared__ float s[64], t[64];
    float* end = s + 64;
    end[threadIdx.x] = 1;  // shared_beyond
    t[threadIdx.x] = x[threadIdx.x];
}
extern "C" __global__ void row_beyond(float* x) {
    __shared__ float s[64][4];
    s[threadIdx.x][4 - threadIdx.x / 63] = 1;  // row_beyond
    __syncthreads();
    x[threadIdx.x] = s[threadIdx.x][0];
}
extern "C" __global__ void unwritten(float* x) {
    __shared__ float s[64];
    if (threadIdx.x != 9) s[threadIdx.x] = 1;
    __syncthreads();
    x[threadIdx.x] = s[threadIdx.x];  // unwritten
}
extern "C" __global__ void misaligned(float* x) {
    float4 four = load4(x + threadIdx.x);  // misaligned
    x[threadIdx.x] = four.x;
}
extern "C" __global__ void too_soon(float* x) {
    __shared__ float s[2][64];
    copy_async_one(&s[0][threadIdx.x], &x[threadIdx.x]);
    copy_commit();
    copy_async_one(&s[1][threadIdx.x], &x[threadIdx.x]);
    copy_commit();
    copy_wait<1>();
    x[threadIdx.x] = s[0][threadIdx.x] +
                     s[1][threadIdx.x];  // too_soon
}
extern "C" __global__ void left_early(float* x) {
    if (threadIdx.x == 3) return;
    __syncthreads();  // left_early
    x[threadIdx.x] = 1;
}
extern "C" __global__ void two_barriers(float* x) {
    if (threadIdx.x < 32) {
        __syncthreads();  // two_barriers
        x[0] = 1;
    } else {
        __syncthreads();
        x[1] = 1;
    }
}
extern "C" __global__ void lane_missing(float* x) {
    if (threadIdx.x != 5)
        x[threadIdx.x] = __shfl_xor_sync(~0u, x[threadIdx.x], 1);  // lane_missing
}
extern "C" __global__ void not_in_mask(float* x) {
    x[threadIdx.x] = __shfl_xor_sync(0xffff, x[threadIdx.x], 1);  // not_in_mask
}
extern "C" __global__ void asks_nobody(float* x) {
    if (threadIdx.x < 16) x[threadIdx.x] = __shfl_sync(0xffff, x[threadIdx.x], 20);  // asks_nobody
}
extern "C" __global__ void divides(float* x, int n) {
    x[threadIdx.x] = threadIdx.x / n;  // divides
}
extern "C" __global__ void too_large(float* x) {
    __shared__ float s[13000];  // too_large
    s[threadIdx.x] = x[threadIdx.x];
}
"""
FAULTS = {
    "race": ("race", "thread 1 of block 0 reads shared s[0], and thread 0 of block 0 writes it at wrong.cu:", "s"),
    "warp_race": ("race", "reads shared s[0], and thread 0 of block 0 writes it at wrong.cu:", "s"),
    "overwritten": ("race", "thread 1 of block 0 writes shared s[1], and thread 0 of block 0 reads it", "s"),
    "two_blocks": ("race", "thread 0 of block 1 writes x[0], and thread 0 of block 0 writes it at wrong.cu:", "x"),
    "other_block": ("race", "thread 0 of block 1 reads x[0], and thread 0 of block 0 writes it", "x"),
    "beyond": ("out of bounds", "thread 63 of block 0 writes x[128], which has 128 elements", "x"),
    "before": ("out of bounds", "thread 0 of block 0 writes x[-1], which has 128 elements", "x"),
    "far_away": ("out of bounds", "writes x[1099511627776], which has 128 elements", "x"),
    "shared_beyond": ("out of bounds", "writes shared s[64], which has 64 elements", "s"),
    "row_beyond": ("index", "thread 0 of block 0 uses index 4 for a float [4]", None),
    "unwritten": ("unwritten", "thread 9 of block 0 reads shared s[9], which no thread of its block has", "s"),
    "misaligned": ("misaligned", "thread 1 of block 0 reads 16 bytes at x[1], whose address is not", "x"),
    "too_soon": ("in flight", "thread 0 of block 0 reads shared s[64], to which thread 0 of block 0 copies", "s"),
    "left_early": ("left early", "thread 0 of block 0 waits at a barrier that thread 3 of block 0 does", None),
    "two_barriers": ("two barriers", "thread 0 of block 0 waits at this barrier, and thread 32 of block 0", None),
    "lane_missing": ("deadlock", "thread 0 of block 0 waits for its warp, and thread 5 of block 0, whom it has", None),
    "not_in_mask": ("outside mask", "thread 16 of block 0 calls with a mask that leaves it out", None),
    "asks_nobody": ("absent lane", "thread 0 of block 0 asks for the number of a lane that does not take part", None),
    "divides": ("division", "thread 0 of block 0 divides by zero", None),
    "too_large": ("too much shared", "the kernel asks for more shared memory than a card has", None),
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def apart(tmp_path_factory):
    """These kernels are compiled into a folder of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINYNET_CUDA_CACHE", str(tmp_path_factory.mktemp("kernels")))
        yield


@pytest.fixture(scope="module")
def wrong(apart):
    return source.Source(WRONG, "wrong.cu")


def start(program, name, x, grid=1, block=64, **more):
    launcher.launch(np, name, (grid,), (block,), source=program, x=x, **more)
    return x


@pytest.mark.parametrize("name", FAULTS)
def test_what_is_wrong_is_reported_with_line_threads_and_array(name, wrong):
    fault, said, array = FAULTS[name]
    more = {"n": 0} if name == "divides" else {}
    with pytest.raises(report.KernelFault) as caught:
        start(wrong, name, np.zeros(128, "float32"), grid=2, **more)
    found, lines = caught.value, WRONG.splitlines()
    assert found.fault == fault
    assert said in str(found)
    assert (found.kernel, found.array) == (name, array)
    if lines[found.line - 1].rpartition("// ")[2] != name:
        pytest.fail(f"line {found.line} is {lines[found.line - 1]!r}: {found}")


def test_every_fault_has_a_kernel_that_commits_it():
    assert {fault for fault, *_ in FAULTS.values()} == set(report.FAULTS) - {"none", "stack"}
    assert {kernel[1] for kernel in re.finditer(r"void (\w+)\(", WRONG)} == set(FAULTS)


def test_a_race_is_found_in_either_order_of_threads(wrong, monkeypatch):
    monkeypatch.setattr(emulator.Settings, "reverse", True)
    for name in ("race", "warp_race", "overwritten", "two_blocks", "other_block"):
        with pytest.raises(report.KernelFault, match=r"no barrier between|a barrier is missing|in any order"):
            start(wrong, name, np.zeros(128, "float32"), grid=2)


def test_after_a_fault_the_next_launch_is_sound(wrong):
    for _ in range(2):
        with pytest.raises(report.KernelFault, match="left the kernel"):
            start(wrong, "left_early", np.zeros(128, "float32"))
    x = start(wrong, "two_blocks", np.zeros(128, "float32"))
    assert not x.any()


RIGHT = """
constexpr int SIZE = 4;
__constant__ float table[4] = {1, 2, 4, 8};
struct Many { float* x; const float* w[SIZE]; int n[SIZE]; long long all; float factor; };
extern "C" __global__ void __launch_bounds__(64) many(Many m) {
    float sum = 0;
    for (int i = 0; i < SIZE; i++) if (m.w[i]) for (int k = 0; k < m.n[i]; k++) sum += m.w[i][k] * table[i];
    m.x[threadIdx.x] = sum * m.factor + m.all;
}
extern "C" __global__ void shuffles(float* x) {
    int lane = threadIdx.x % 32;
    float up = __shfl_up_sync(~0u, (float)lane, 2), down = __shfl_down_sync(~0u, (float)lane, 3, 8);
    float other = __shfl_xor_sync(~0u, (float)lane, 5), first = __shfl_sync(~0u, (double)lane, 1, 16);
    unsigned odd = __ballot_sync(~0u, lane % 2), any = __any_sync(~0u, lane == 40), all = __all_sync(~0u, lane < 40);
    x[threadIdx.x] = up + 100 * down + 1e4f * other + (first == lane / 16 * 16 + 1 && odd == 0xaaaaaaaa && !any && all);
}
extern "C" __global__ void some_lanes(float* x) {
    float v = threadIdx.x;
    if (threadIdx.x % 32 < 8) v = __shfl_xor_sync(0xff, v, 1);
    else v = __shfl_sync(0xffffff00, v, 9);
    x[threadIdx.x] = v;
}
extern "C" __global__ void warp_sync(float* x) {
    __shared__ float s[64];
    s[threadIdx.x] = threadIdx.x;
    __syncwarp();
    x[threadIdx.x] = s[threadIdx.x ^ 1];
}
extern "C" __global__ void dynamic(float* x, int n) {
    extern __shared__ float pool[];
    for (int i = threadIdx.x; i < n; i += 64) pool[i] = i;
    __syncthreads();
    x[threadIdx.x] = pool[n - 1 - threadIdx.x];
}
extern "C" __global__ void votes(int* x) { atomicAdd(x, (int)threadIdx.x); }
extern "C" __global__ void bytes(unsigned char* x) {
    __shared__ unsigned char s[64];
    s[threadIdx.x] = threadIdx.x;
    __syncthreads();
    x[threadIdx.x] = s[63 - threadIdx.x];
}
extern "C" __global__ void coordinates(float* x) {
    int at = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    int block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
    x[block * 24 + at] = block * 24 + at;
}
extern "C" __global__ void vectors(float* x) {
    float4 v = load4(x + 4 * threadIdx.x);
    store4(x + 4 * threadIdx.x, make_float4(v.w, v.z, v.y, v.x));
    float2 pair = *(float2*)(x + 4 * threadIdx.x);
    *(float2*)(x + 4 * threadIdx.x + 2) = make_float2(pair.y, pair.x);
}
extern "C" __global__ void ring(float* x) {
    __shared__ float s[2][64];
    if (threadIdx.x % 4 == 0) copy_async(&s[0][threadIdx.x], x + threadIdx.x, 8);
    copy_commit();
    copy_async_one(&s[1][threadIdx.x], x, false);
    copy_commit();
    copy_wait<0>();
    __syncthreads();
    x[64 + threadIdx.x] = s[0][threadIdx.x] + s[1][63 - threadIdx.x];
}
extern "C" __global__ void reductions(float* x) {
    float v = threadIdx.x == 7 ? NAN : (float)threadIdx.x;
    x[threadIdx.x] = block_sum<64>(1.0f) + 100 * block_max<64>((float)threadIdx.x);
    x[64 + threadIdx.x] = block_max<64>(v);
}
"""
ZEROS = np.zeros(128, "float32")
T = np.arange(64)


def right(name, x, checks=True, **more):
    results = []
    for reverse in (False, True):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(emulator.Settings, "reverse", reverse)
            patch.setattr(emulator.Settings, "checks", checks)
            results.append(start(source_of_right(), name, x.copy(), **more))
    np.testing.assert_array_equal(*results)
    return results[0]


@functools.cache
def source_of_right():
    return source.Source(RIGHT, "right.cu")


@pytest.mark.parametrize("checks", [True, False])
def test_what_kernels_may_do_works(checks):
    x = right("shuffles", ZEROS, checks)[:64]
    lane = T % 32
    down = np.where(lane % 8 + 3 < 8, lane + 3, lane)
    np.testing.assert_array_equal(x, np.where(lane >= 2, lane - 2, lane) + 100 * down + 1e4 * (lane ^ 5) + 1)
    np.testing.assert_array_equal(right("some_lanes", ZEROS, checks)[:64], np.where(lane < 8, T ^ 1, T // 32 * 32 + 9))
    np.testing.assert_array_equal(right("warp_sync", ZEROS, checks)[:64], T ^ 1)
    np.testing.assert_array_equal(right("dynamic", ZEROS, checks, n=20000, shared=80000)[:64], 19999 - T)
    np.testing.assert_array_equal(right("votes", np.zeros(1, "int32"), checks, grid=3), [3 * T.sum()])
    np.testing.assert_array_equal(right("bytes", np.zeros(64, "uint8"), checks), 63 - T)
    np.testing.assert_array_equal(right("vectors", np.arange(8, dtype="float32"), checks, block=2),
                                  [3, 2, 2, 3, 7, 6, 6, 7])  # fmt: skip
    x = right("ring", np.arange(128, dtype="float32"), checks)
    np.testing.assert_array_equal(x[64:], np.where(T % 4 < 2, T, 0))
    x = right("reductions", ZEROS, checks)
    assert (x[:64] == 64 + 6300).all() and np.isnan(x[64:]).all()


def test_threads_and_blocks_have_three_coordinates():
    x = np.zeros(24 * 24, "float32")
    launcher.launch(np, "coordinates", (2, 3, 4), (4, 3, 2), source=source_of_right(), x=x)
    np.testing.assert_array_equal(x, np.arange(24 * 24))


def test_a_struct_of_lists_and_numbers_arrives():
    x, w = np.zeros(64, "float32"), [np.full(n, n, "float32") for n in (1, 2, 3)]
    launcher.launch(np, "many", (1,), source=source_of_right(), x=x, w=w, n=[1, 2, 3], all=2**40, factor=0.5)
    np.testing.assert_array_equal(x, np.float32((1 + 2 * 4 + 4 * 9) * 0.5 + 2**40))


def test_arrays_that_share_memory_stay_together():
    whole = np.arange(128, dtype="float32")
    program = source.Source('extern "C" __global__ void shift(const float* from, float* x) '
                            "{ x[threadIdx.x] = from[threadIdx.x] + 1; }", "shift.cu")  # fmt: skip
    launcher.launch(np, "shift", (1,), (64,), source=program, **{"from": whole[64:], "x": whole[:64]})
    np.testing.assert_array_equal(whole[:64], T + 65)
    with pytest.raises(report.KernelFault, match=r"thread 1 of block 0 reads from\[1\], and thread 0"):
        launcher.launch(np, "shift", (1,), (64,), source=program, **{"from": whole[:64], "x": whole[1:65]})


def test_an_array_that_starts_off_a_multiple_of_16_is_so_for_the_kernel(wrong):
    x = np.zeros(64 * 4 + 1, "float32")
    with pytest.raises(report.KernelFault, match=r"reads 16 bytes at x\[0\]"):
        launcher.launch(np, "misaligned", (1,), (1,), source=wrong, x=x[1:])


def test_what_g_plus_plus_refuses_is_told_with_the_line():
    program = source.Source('extern "C" __global__ void bad(float* x) {\n    x[0] = nonsense;\n}', "bad.cu")
    with pytest.raises(compiler.CompileError, match=r"bad.cu:2:12: error: .*nonsense"):
        launcher.launch(np, "bad", (1,), (1,), source=program, x=ZEROS.copy())


def test_local_arrays_larger_than_a_stack_are_refused():
    program = source.Source(
        'extern "C" __global__ void big(float* x) {\n    float local[40000];\n'
        "    for (int i = 0; i < 40000; i++) local[i] = x[i % 7];\n"
        "    x[threadIdx.x] = local[(int)x[0]];\n}", "big.cu")  # fmt: skip
    with pytest.raises(compiler.CompileError, match=r"frame size of \d+ bytes is larger than 100000 bytes"):
        launcher.launch(np, "big", (1,), (1,), source=program, x=ZEROS.copy())


def test_without_g_plus_plus_one_sentence_says_what_to_do(tmp_path):
    code = (
        "import numpy as np; from tinynet import kernels\n"
        "from tinynet.kernels.cuda.compiler import CompileError\n"
        "with kernels.use_kernels('emu'):\n"
        "    try: kernels.run('softmax', np, np.zeros((3, 5), 'f'), dim=1)\n"
        "    except CompileError as error: print(error)"
    )
    environment = {"PATH": str(tmp_path), "TINYNET_CUDA_CACHE": str(tmp_path), "PYTHONPATH": ":".join(sys.path)}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert run.returncode == 0, run.stderr
    assert re.fullmatch(r"the emulator compiles kernels by g\+\+, which is not installed: apt install .*\n", run.stdout)
