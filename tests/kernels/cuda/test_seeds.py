"""Bugs put into our own kernels on purpose: the emulator must find every one, as what it is, or the numbers must be
wrong. A bug that passes would mean that the tests of that line prove nothing."""

from __future__ import annotations

import copy
import re
import shutil
from typing import NamedTuple

import numpy as np
import pytest

from tinynet import kernels
from tinynet.kernels.cuda import choice, emulator, launcher, report, source

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed: NO BUG WAS LOOKED FOR")

WRONG = "wrong numbers"


class Seed(NamedTuple):
    """A change to one kernel of a file, and how it must be found out: one of report.FAULTS, or WRONG."""

    file: str
    kernel: str
    before: str
    after: str
    found: str
    case: str  # which of CASES runs into it


def draws(*shapes):
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape).astype("float32") for shape in shapes]


POOL = {"kernel_size": (3, 2), "stride": (2, 2), "padding": (1, 1), "ceil_mode": True}
MEAN = {**POOL, "count_include_pad": True, "divisor_override": None}
WINNERS = kernels.run("max_pool2d", np, *draws((2, 2, 9, 7)), **POOL, dilation=(1, 1))
HEADS, SEEN = draws((2, 70, 20), (2, 90, 20), (2, 90, 12)), {"scale": 0.3, "causal": False}
KEPT = kernels.run("attention", np, *HEADS, **SEEN)[1:]
ADAM = {"lr": 0.1, "beta1": 0.9, "beta2": 0.9, "eps": 0.1, "weight_decay": 0.1, "decoupled": False, "maximize": False}
ONES = np.ones((600, 1), "float32")
CONV = {"stride": (1, 2), "padding": (1, 1), "dilation": (1, 1), "groups": 1}
LAST = [a.transpose(0, 3, 1, 2) for a in draws((2, 7, 9, 12), (10, 3, 3, 12), (2, 7, 5, 8))]  # images, filters, slopes
ENDLESS = np.where(draws((5, 6, 3, 3))[0] > 2, np.float32(np.inf), 1)


def lists(number):
    return [draws((5, 3), (30,)) for _ in range(number)]


# The ops that are run, with their arguments and options; "tf32 …": on tensor cores.
CASES = {
    "thin": ("matmul", draws((20, 40), (40, 24)), {}),
    "odd": ("matmul", draws((20, 38), (38, 23)), {}),
    "uneven": ("matmul", draws((20, 40), (40, 23)), {}),
    "deep": ("matmul", draws((3, 300), (300, 5)), {}),
    "tf32 rows": ("matmul", draws((40, 70), (70, 36)), {}),
    "tf32 columns": ("linear", draws((40, 70), (36, 70), (36,)), {"relu": True}),
    "tf32 uneven": ("linear", draws((40, 70), (35, 70), (35,)), {"relu": True}),
    "scores": ("softmax", draws((9, 40)), {"dim": 1}),
    "pixels": ("log_softmax", draws((2, 5, 7)), {"dim": 1}),
    "many": ("softmax", draws((2, 1100)), {"dim": 1}),
    "labels": ("cross_entropy", draws((5, 40), (5, 40)), {}),
    "slopes": ("cross_entropy_grad", draws((5,), (5, 40), (5, 40)), {}),
    "classes": ("label_loss", [*draws((70, 40)), np.arange(70) % 40], {}),
    "layer grad": ("linear_grad", draws((130, 35), (130, 9), (35, 9), (130, 35)), {"wanted": (True, True, True)}),
    "adam": ("adam", [*lists(3), [abs(v) for v in lists(1)[0]], [], [1, 2]], ADAM),
    "sgd": ("sgd", lists(3), {"lr": 0.1, "momentum": 0.9, "dampening": 0.1, "weight_decay": 0.0, "nesterov": True,
                              "maximize": False}),
    "largest": ("max_pool2d", draws((2, 2, 9, 7)), {**POOL, "dilation": (1, 1)}),
    "largest grad": ("max_pool2d_grad", [*draws(WINNERS[0].shape), WINNERS[1]], {"size": (9, 7)}),
    "means": ("avg_pool2d", draws((2, 2, 9, 7)), MEAN),
    "means grad": ("avg_pool2d_grad", draws(WINNERS[0].shape), {"size": (9, 7), **MEAN}),
    "layer": ("linear", draws((9, 30), (11, 30), (11,)), {"relu": True}),
    "windows": ("conv2d_relu", draws((2, 6, 7, 9), (7, 6, 3, 3), (7,)), CONV),
    "windows, last": ("conv2d", LAST[:2], CONV),
    "windows grad": ("conv2d_input_grad", [draws((2, 5, 7, 5))[0], ENDLESS], {**CONV, "size": (7, 9)}),
    "weights": ("conv2d_weight_grad", draws((8, 6, 7, 9), (8, 7, 7, 5)), {**CONV, "size": (3, 3)}),
    "weights, last": ("conv2d_weight_grad", LAST[::2], {**CONV, "size": (3, 3)}),
    "tf32 windows": ("conv2d", draws((2, 20, 7, 9), (35, 20, 3, 3)), {**CONV, "stride": (1, 1)}),
    "tf32 windows, last": ("conv2d", [LAST[0], np.tile(LAST[1], (4, 1, 1, 1))], CONV),
    "tf32 weights": ("conv2d_weight_grad", draws((2, 6, 7, 9), (2, 35, 7, 5)), {**CONV, "size": (3, 3)}),
    "depthwise": ("conv2d", draws((2, 3, 7, 9), (3, 1, 3, 3)), {**CONV, "groups": 3}),
    "depthwise weights": ("conv2d_weight_grad", draws((2, 3, 7, 9), (2, 3, 7, 5)), {**CONV, "size": (3, 4), "groups": 3,
                                                                                  "padding": (1, 2)}),
    "pooled": ("conv2d_relu_pool", draws((2, 3, 7, 9), (3, 3, 3, 3)), CONV),
    "unpooled": ("unpool", [draws((2, 3, 3, 2))[0], np.arange(36, dtype="uint8").reshape(2, 3, 3, 2) % 5],
                 {"size": (7, 5)}),
    "biases": ("conv2d_relu_grad", draws((2, 3, 7, 5), (2, 3, 7, 5), (2, 3, 7, 9), (3, 3, 3, 3)),
               {**CONV, "wanted": (True, True, True)}),
    "heads": ("attention", HEADS, SEEN),
    "heads grad": ("attention_grad", [*draws((2, 70, 12)), *HEADS, None, *KEPT], {**SEEN, "scores": True}),
    "rows": ("standardize", draws((9, 40), (40,), (40,)), {"dim": (1,), "eps": 0.1}),
    "rows grad": ("standardize_grad", [*draws((600, 5), (600, 1), (600, 1), (600, 5), (5,), (600, 1)), ONES[:600]],
                  {"dim": (1,), "eps": 0.1, "b_shape": (5,)}),
    "channels": ("standardize", draws((3, 5, 7), (5, 1), (5, 1)), {"dim": (0, 2), "eps": 0.1}),
    "channels grad": ("standardize_grad", [*draws((3, 5, 7), (1, 5, 1), (1, 5, 1), (3, 5, 7), (5, 1), (1, 5, 1)),
                                           ONES[:5].reshape(1, 5, 1)],
                      {"dim": (0, 2), "eps": 0.1, "b_shape": (5, 1)}),
    "dropped": ("dropout", [*draws((5, 7)), None], {"p": 0.5, "drawn": (1, 2, 1)}),
    "dropped channels": ("dropout", [*draws((50, 3)), None], {"p": 0.5, "drawn": (1, 2, 3)}),
    "words": ("embedding_grad", [*draws((600, 3)), np.arange(600) % 7], {"rows": 7}),
    "columns": ("standardize", draws((300, 5), (5,), (5,)), {"dim": (0,), "eps": 0.1}),
}

BARRIER = "        b_next.put(bs[half]);\n        __syncthreads();\n"
SEEDS = [
    Seed("sgemm.cu", "sgemm_nn_64", BARRIER, "        b_next.put(bs[half]);\n", "unwritten", "thin"),
    Seed("sgemm.cu", "sgemm_nn_64", BARRIER, BARRIER.replace("__sync", "if (lane) __sync"), "unwritten", "thin"),
    Seed("sgemm.cu", "sgemm_nn_64", "at + j < p.n) c[", "at + j <= p.n) c[", "race", "odd"),
    Seed("sgemm.cu", "sgemm_nn_64", "if (r >= p.m) continue;", "if (r > p.m) continue;", "out of bounds", "thin"),
    Seed("sgemm.cu", "sgemm_nn_64", "there > 2 ? next[2]", "there > 1 ? next[2]", "out of bounds", "odd"),
    Seed("sgemm.cu", "sgemm_nn_64", "p.a_pitch | p.b_pitch) % 4", "p.a_pitch) % 4", "misaligned", "uneven"),
    Seed("sgemm.cu", "sgemm_nn_64", "panel[k + 3][i]", "panel[k + 2][i]", "unwritten", "thin"),
    Seed("sgemm.cu", "sgemm_nn_64", "half ^= 1;", "", "race", "thin"),
    Seed("sgemm.cu", "sgemm_nn_64", "lane % 8 * 4;", "lane % 8 * 5;", "misaligned", "thin"),
    Seed("sgemm.cu", "sgemm_nt_64", "p.bias[at + j]", "p.bias[at]", WRONG, "layer"),
    Seed("sgemm.cu", "sgemm_sum", "slice * size + i", "slice * size", WRONG, "deep"),
    Seed("tf32.cu", "tf32_nn", "copy_wait<STAGES - 2>();", "copy_wait<STAGES - 1>();", "in flight", "tf32 rows"),
    Seed("tf32.cu", "tf32_nn", "__syncthreads();          //", "//", "unwritten", "tf32 rows"),
    Seed("tf32.cu", "tf32_nn", "q % 2 * 8 + r, k + q / 2 * 4", "q / 2 * 8 + r, k + q % 2 * 4", WRONG, "tf32 rows"),
    Seed("tf32.cu", "tf32_nn", "fetch(step + STAGES - 1);", "fetch(step + STAGES);", "in flight", "tf32 rows"),
    Seed("tf32.cu", "tf32_nn", "min(column_end - column0 - column, 4)", "4", "out of bounds", "tf32 rows"),
    Seed("tf32.cu", "tf32_nt", "column + j * 8 + r, k", "column + j * 8 + c, k", WRONG, "tf32 columns"),
    Seed("tf32.cu", "tf32_nt", "pairs = p.n % 2 == 0;", "pairs = true;", "misaligned", "tf32 uneven"),
    Seed("tf32.cu", "tf32_nt", "at_column + q < p.n", "at_column + q <= p.n", "out of bounds", "tf32 uneven"),
    Seed("softmax.cu", "softmax_32", "s; c += GROUP) largest", "s + 1; c += GROUP) largest", "out of bounds", "scores"),
    Seed("softmax.cu", "softmax_32", "if (part.line >= s.lines) return;  //", "//", "out of bounds", "scores"),
    Seed("softmax.cu", "softmax_32", "sum = group_sum<GROUP>(sum);\n}", "}", WRONG, "scores"),
    Seed("softmax.cu", "softmax_1", "line % inner;", "line % classes;", "race", "pixels"),
    Seed("softmax.cu", "cross_entropy_32", "if (part.first == 0) s.loss", "s.loss", "race", "labels"),
    Seed("softmax.cu", "cross_entropy_grad_32", "* sum - q[at]", "- q[at]", WRONG, "slopes"),
    Seed("softmax.cu", "label_loss_32", "if (c == label) s.loss", "if (c >= label) s.loss", "race", "classes"),
    Seed("sums.cu", "column_sums", "__syncthreads();", "", "unwritten", "layer grad"),
    Seed("sums.cu", "column_sums", "if (column < columns) {", "if (true) {", "out of bounds", "layer grad"),
    Seed("sums.cu", "sum_chunks", "i < end; i += 256", "i <= end; i += 256", "out of bounds", "classes"),
    Seed("sums.cu", "relu_grad", "for (; i < end; i++)", "for (; i <= end; i++)", "out of bounds", "layer grad"),
    Seed("optim.cu", "adam", "first[array + 1] <= blockIdx.x", "first[array + 1] < blockIdx.x", WRONG, "adam"),
    Seed("optim.cu", "adam", "there >= 4) {\n        float4", "there) {\n        float4", "out of bounds", "adam"),
    Seed("optim.cu", "sgd", "if (i < there) to[i]", "to[i]", "out of bounds", "sgd"),
    Seed("optim.cu", "sgd", "slope + s.momentum * b[i] :", "slope + b[i] :", WRONG, "sgd"),
    Seed("pool.cu", "max_pool", "y < 0 || y >= p.height", "y < 0 || y > p.height", "out of bounds", "largest"),
    Seed("pool.cu", "max_pool", "winner = y * p.width + x;", "winner = y * p.height + x;", WRONG, "largest"),
    Seed("pool.cu", "max_pool_grad", "__syncthreads();\n    for (int y", "for (int y", "unwritten", "largest grad"),
    Seed("pool.cu", "max_pool_grad", "y <= row_to[row])", "y < row_to[row])", WRONG, "largest grad"),
    Seed("pool.cu", "max_pool_grad", "_to = column_from + columns;", "_to = column_from;", WRONG, "largest grad"),
    Seed("pool.cu", "avg_pool_grad", "/ p.stride_y + 1;", "/ p.stride_y;", WRONG, "means grad"),
    Seed("pool.cu", "avg_pool", "y < min(top + p.size_y, p.height)", "y < top + p.size_y", "out of bounds", "means"),
    Seed("conv.cu", "conv_64", "half]);\n            __syncthreads();", "half]);", "unwritten", "windows"),
    Seed("conv.cu", "conv_64", "half ^= 1;", "", "race", "windows"),
    Seed("conv.cu", "conv_64", "(unsigned)x < (", "(unsigned)x <= (", "out of bounds", "windows"),
    Seed("conv.cu", "conv_64", "i0 + i(0) < i_end", "i0 + i(0) <= i_end", "out of bounds", "windows"),
    Seed("conv.cu", "conv_64", "if (filter >= p.filters) continue;", "", "out of bounds", "windows"),
    Seed("conv.cu", "conv_64", "if (window >= p.windows) return nullptr;", "", "out of bounds", "windows"),
    Seed("conv.cu", "conv_64", "if (window >= p.windows) y = -(1 << 30);", "", "out of bounds", "windows"),
    Seed("conv.cu", "conv_64", "if (p.careful) look_again", "if (false) look_again", WRONG, "windows grad"),
    Seed("conv.cu", "conv_64_last", "together = p.filters % NEAR == 0;", "together = true;", "misaligned",
         "windows, last"),
    Seed("conv.cu", "conv_64_last", "panel[k + v][i] =", "panel[k + v][i + 1] =", "unwritten", "windows, last"),
    Seed("conv.cu", "conv_each", ">= p.windows) return;", "> p.windows) return;", "out of bounds", "depthwise"),
    Seed("conv.cu", "conv_filters", "filter < filters ?", "filter <= filters ?", "out of bounds", "windows"),
    Seed("conv.cu", "conv_tf32", "copy_wait<STAGES - 2>();", "copy_wait<STAGES - 1>();", "in flight", "tf32 windows"),
    Seed("conv.cu", "conv_tf32", "__syncthreads();          //", "//", "unwritten", "tf32 windows"),
    Seed("conv.cu", "conv_tf32", "q % 2 * 8 + r, k + q / 2", "q / 2 * 8 + r, k + q % 2", WRONG, "tf32 windows"),
    Seed("conv.cu", "conv_tf32_last", "fingers[u].move(p, DEPTH);", "", WRONG, "tf32 windows, last"),
    Seed("conv_grad.cu", "conv_grad_64", "half]);\n            __syncthreads();", "half]);", "unwritten", "weights"),
    Seed("conv_grad.cu", "conv_grad_64", "i(u) < filters &&", "i(u) <= filters &&", "out of bounds", "weights"),
    Seed("conv_grad.cu", "conv_grad_64", "if (++row == p.rows) row = 0, image++;", "row++;", WRONG, "weights"),
    Seed("conv_grad.cu", "conv_grad_64", "(number >= taps * p.channels)", "(false)", "out of bounds", "weights"),
    Seed("conv_grad.cu", "conv_grad_64", "slice * p.groups + group", "0 * p.groups + group", "race", "weights"),
    Seed("conv_grad.cu", "conv_grad_64_last", "% p.channels * taps", "% p.channels", "race", "weights, last"),
    Seed("conv_grad.cu", "conv_grad_tf32", "at + weights[u].offset", "at", "out of bounds", "tf32 weights"),
    Seed("conv_grad.cu", "conv_grad_each", "first + u < weights)", "true)", "race", "depthwise weights"),
    Seed("conv_grad.cu", "conv_grad_each", "block_sum<THREADS>(sum[u])", "sum[u]", WRONG, "depthwise weights"),
    Seed("fused.cu", "relu_pool", "i / 2 * width + i % 2", "i / 2 * width + i / 2", WRONG, "pooled"),
    Seed("fused.cu", "unpool", "if (y / 2 < rows && x / 2 < columns)", "", "out of bounds", "unpooled"),
    Seed("fused.cu", "channel_sums", "i < plane;", "i <= plane;", "out of bounds", "biases"),
    Seed("attention.cu", "attention_64", "__syncthreads();  // the keys are", "// the keys are", "unwritten", "heads"),
    Seed("attention.cu", "attention_64", "__syncthreads();  // the values", "// the values", "in flight", "heads"),
    Seed("attention.cu", "attention_64", "total[i] *= shrink;", "", WRONG, "heads"),
    Seed("attention.cu", "attention_64", "|| key >= p.keys", "|| key > p.keys", WRONG, "heads"),
    Seed("attention.cu", "attention_64", "first + row < rows ?", "first + row <= rows ?", "out of bounds", "heads"),
    Seed("attention.cu", "attention_dq_64", "copy_wait<1>();  // all but the v", "//", "in flight", "heads grad"),
    Seed("attention.cu", "attention_dq_64", "__syncthreads();  // all have done with the last keys", "//", "race",
         "heads grad"),
    Seed("attention.cu", "attention_dq_64", "(d[i][j] - mean[i])", "d[i][j]", WRONG, "heads grad"),
    Seed("attention.cu", "attention_dk_64", "x[i][j];\n    __syncwarp();", "x[i][j];", "race", "heads grad"),
    Seed("norm.cu", "standardize_rows_128", "if (row >= s.rows) return;", "", "out of bounds", "rows"),
    Seed("norm.cu", "rows_grad_128", "__syncthreads();\n    for", "for", "unwritten", "rows grad"),
    Seed("norm.cu", "rows_grad_128", "gridDim.x * GROUPS", "gridDim.x", "race", "rows grad"),
    Seed("norm.cu", "moments_128", "+ GROUP - 1) / GROUP : 0;", "+ GROUP) / GROUP : 0;", "out of bounds", "channels"),
    Seed("norm.cu", "moments_columns", "lane] = x;\n    __syncthreads();", "lane] = x;", "unwritten", "columns"),
    Seed("norm.cu", "moments_columns", "run < s.runs;\n            n", "1;\n            n", "out of bounds", "columns"),
    Seed("norm.cu", "join_moments_32", "+ count * apart * apart", "", WRONG, "channels"),
    Seed("norm.cu", "slopes_128", "* (centred * rstd)", "* centred", WRONG, "channels grad"),
    Seed("norm.cu", "join_slopes_32", "s.pieces; k += GROUP) sum", "s.pieces - 1; k += GROUP) sum", WRONG,
         "channels grad"),
    Seed("norm.cu", "gradient_128", "- mean) * slope + constant", "- mean) * slope", WRONG, "channels grad"),
    Seed("dropout.cu", "dropout", "i + 4 <= s.count) {", "i < s.count) {", "out of bounds", "dropped"),
    Seed("dropout.cu", "dropout", "round < 10", "round < 9", WRONG, "dropped"),
    Seed("dropout.cu", "dropout", "c = p ^ d ^ other", "c = p ^ other", WRONG, "dropped"),
    Seed("dropout.cu", "dropout", "draw(offset + i / 4,", "draw(offset + i,", WRONG, "dropped"),
    Seed("dropout.cu", "dropout_channels", "(i + k) / s.each", "i / s.each", WRONG, "dropped channels"),
    Seed("dropout.cu", "dropout_channels", "number % 4 == 3 ?", "number % 4 == 1 ?", WRONG, "dropped channels"),
    Seed("lookup.cu", "sort_tiles", "__syncthreads();", "", "unwritten", "words"),
    Seed("lookup.cu", "sort_tiles", "other < there;", "other < TILE;", "out of bounds", "words"),
    Seed("lookup.cu", "merge_runs", "% width + smaller(", "% width + 1 + smaller(", "out of bounds", "words"),
    Seed("lookup.cu", "add_runs", "if (inside && !begun_before)", "if (inside)", "race", "words"),
    Seed("lookup.cu", "add_runs", "&& next != now", "&& next == now", "race", "words"),
    Seed("lookup.cu", "add_parts", "other <= last;", "other < last;", WRONG, "words"),
    Seed("lookup.cu", "add_parts", "first / CHUNK != chunk ||", "", "race", "words"),
]


def only(text, kernel):
    """A .cu file without its other kernels: it compiles sooner."""
    for found in reversed(list(source.KERNEL.finditer(text))):
        if found[2] != kernel:
            end, depth = found.end(), 1
            while depth:
                depth += {"{": 1, "}": -1}.get(text[end], 0)
                end += 1
            text = text[: found.start()] + text[end:]
    return text


def first_of_each_file(seeds):
    """Seeds, of which all but the first of each file are slow."""
    first = {seed.file: seed for seed in reversed(seeds)}
    names = [f"{seed.kernel}: {' '.join(seed.after.split())}" for seed in seeds]
    return [pytest.param(seed, marks=() if seed is first[seed.file] else pytest.mark.slow, id=name)
            for seed, name in zip(seeds, names, strict=True)]


@pytest.fixture
def planted(monkeypatch, tmp_path):
    """A function that puts a changed file in the place of ours."""
    monkeypatch.setenv("TINYNET_CUDA_CACHE", str(tmp_path))

    def plant(seed):
        ours = source.files()[seed.file]
        times = ours.text.count(seed.before)
        assert times == 1, f"{seed.before!r} stands {times} times in {seed.file}"
        changed = source.Source(only(ours.text.replace(seed.before, seed.after), seed.kernel), ours.file)
        monkeypatch.setattr(launcher, "home_of", lambda name: changed if name == seed.kernel else source.home_of(name))

    return plant


@pytest.fixture
def computed(monkeypatch):
    """A function for what a case gives: what an op returns, or the lists that it changes."""

    def compute(case, backend):
        op, arguments, options = CASES[case]
        monkeypatch.setattr(choice, "precision", "tf32" if case.startswith("tf32") else "fp32")
        arguments = copy.deepcopy(arguments)
        result = kernels.implementations(op)[backend].compute(np, *arguments, **options)
        if result is None:
            return [a for changed in arguments[:-1] for a in changed]
        return list(result) if isinstance(result, tuple) else [result]

    return compute


def tolerance(case):
    return 3e-2 if case.startswith("tf32") else 1e-4


@pytest.mark.parametrize("seed", first_of_each_file(SEEDS))
def test_a_seeded_bug_is_found(seed, planted, computed):
    planted(seed)
    try:
        result = computed(seed.case, "emu")
    except report.KernelFault as fault:
        assert fault.fault == seed.found, str(fault)
        assert re.match(rf"{seed.file}:\d+: in {seed.kernel}, ", str(fault)) and fault.line > 0
        return
    near = {"rtol": tolerance(seed.case), "atol": tolerance(seed.case)}
    close = all(np.allclose(a, b, **near) for a, b in zip(result, computed(seed.case, "reference"), strict=True))
    assert seed.found == WRONG and not close, "the bug was not found"


@pytest.mark.parametrize("case", CASES)
def test_without_a_bug_all_is_well(case, computed, monkeypatch):
    """Forwards and backwards, to the same bits."""
    results = []
    for reverse in (False, True):
        monkeypatch.setattr(emulator.Settings, "reverse", reverse)
        results.append(computed(case, "emu"))
    for a, b, c in zip(*results, computed(case, "reference"), strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_allclose(a, c, rtol=tolerance(case), atol=tolerance(case))
