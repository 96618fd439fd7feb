"""What the emulator records of a kernel: which elements, by which threads, at which lines, in how many pieces."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from tinynet import kernels
from tinynet.kernels.cuda import emulator, launcher, record, source

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed: NOTHING WAS RECORDED")
TEXT = """extern "C" __global__ void __launch_bounds__(64) touch(const float* x, float* y, int step) {
    __shared__ float s[64][32];
    y[threadIdx.x] = x[threadIdx.x * step];
    for (int k = 0; k < 32; k++) s[threadIdx.x][k] = k;
    for (int k = 0; k < 32; k++) s[threadIdx.x][(k + threadIdx.x) % 32] = k;
    store4(y + 64 + 4 * threadIdx.x, load4(x + 4 * threadIdx.x));
}"""


@pytest.fixture(scope="module")
def launch(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINYNET_CUDA_CACHE", str(tmp_path_factory.mktemp("kernels")))
        program = source.Source(TEXT, "touch.cu")

        def run(step, blocks=1):
            x, y = np.arange(1024, dtype="float32"), np.zeros((5, 64), "float32")
            with record.emulate() as seen:
                launcher.launch(np, "touch", (blocks,), source=program, x=x, y=y, step=step)
            return seen

        yield run


def test_every_access_is_there_with_its_thread_and_line(launch):
    (seen,) = launch(2).launches
    assert (seen.kernel, seen.grid, seen.block) == ("touch", (1, 1, 1), (64, 1, 1))
    first = seen.accesses[seen.accesses["line"] == 3]
    for thread in (0, 5, 63):
        read, written = first[first["thread"] == thread]
        assert (read["array"], read["element"], read["size"], read["write"]) == ("x", 2 * thread, 4, False)
        assert (written["array"], written["element"], written["size"], written["write"]) == ("y", thread, 4, True)
        assert read["order"] < written["order"] and not read["shared"]
    fours = seen.accesses[seen.accesses["line"] == 6]
    assert len(fours) == 128 and (fours["size"] == 16).all()
    assert (seen.accesses["shared"] == (seen.accesses["array"] == "s")).all()
    assert set(seen.accesses["block"]) == {0} and (np.diff(seen.accesses["order"]) == 1).all()


def test_elements_are_counted_in_the_shape_of_their_array(launch):
    (seen,) = launch(2).launches
    counts = seen.counts("x")
    assert counts.shape == (1024,) and counts.sum() == 64 + 256
    np.testing.assert_array_equal(counts[:256], 1 + (np.arange(256) % 2 == 0) * (np.arange(256) < 128))
    np.testing.assert_array_equal(seen.counts("y", write=True), np.ones((5, 64)))
    assert seen.counts("y").sum() == 0


@pytest.mark.parametrize(("step", "segments"), [(1, 1), (2, 2), (4, 4), (0, 1)])
def test_a_warp_s_reads_are_counted_in_segments(step, segments, launch):
    (seen,) = launch(step).launches
    x = seen.accesses[(seen.accesses["line"] == 3) & (seen.accesses["array"] == "x")]
    assert len(set(x["instruction"])) == 2  # one a warp
    vectors = 4  # the 16 bytes a thread of line 6
    assert seen.transactions("x") == (segments + vectors) / 2


def test_numbers_in_one_bank_take_turns(launch):
    (seen,) = launch(1).launches
    writes = seen.accesses[seen.accesses["shared"]]
    for line, turns in ((4, 32), (5, 1)):
        seen.accesses = writes[writes["line"] == line]
        assert seen.transactions("s", write=True) == turns


def test_the_summary_says_it_in_words(launch):
    text = str(launch(1))
    assert text.splitlines() == [
        "touch: 1 blocks of 64 threads",
        "  x: each of 1,024 elements read 0.312 times, in 2.5 segments a warp",
        "  y: each of 320 elements written 1 times, in 2.5 segments a warp",
        "  shared s: each of 2,048 elements written 2 times, in 16.5 turns a warp",
    ]


def test_inside_the_block_ops_run_on_the_emulator_and_outside_as_before():
    x = np.random.default_rng(0).standard_normal((3, 40)).astype("float32")
    with record.emulate(reverse=True) as seen:
        kernels.run("softmax", np, x, dim=1)
        assert emulator.Settings.reverse
    kernels.run("softmax", np, x, dim=1)
    assert [launched.kernel for launched in seen.launches] == ["softmax_32"]
    assert not emulator.Settings.reverse and emulator.Settings.recorder is None
    assert "emu" not in kernels.explain("softmax", x, dim=1)
    assert str(record.emulate()) == "no kernel was launched"


def test_nothing_is_recorded_where_only_running_is_asked_for():
    with record.emulate(record=False) as seen:
        kernels.run("softmax", np, np.zeros((2, 5), "float32"), dim=1)
    assert not seen.launches
