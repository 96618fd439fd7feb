"""Normalization of rows, runs and columns that take several pieces, and several blocks."""

from __future__ import annotations

import re
import shutil
from typing import NamedTuple

import numpy as np
import pytest

from tinynet import kernels
from tinynet.kernels.cuda import choice, emulator, norm, pieces, source

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed: NO CUDA KERNEL WAS RUN")
IMAGES, ROW = (0, 2, 3), (1,)


class Case(NamedTuple):
    """Shapes of x and of its parameters, what is normalized; and the kernels that this is for."""

    shape: tuple[int, ...]
    parameters: tuple[int, ...] | None
    dim: tuple[int, ...]
    kind: str
    ending: str
    slices: int = 1


CASES = [
    Case((600, 20), (20,), ROW, "rows", "128"),
    Case((5, 129), (129,), ROW, "rows", "1024"),
    Case((5, 1024), None, ROW, "rows", "1024"),
    Case((3, 4, 300), (4, 300), (1, 2), "rows", "8192"),
    Case((3, 5, 7, 7), (5, 1, 1), IMAGES, "runs", "128"),
    Case((3, 2, 30, 31), (1, 2, 1, 1), IMAGES, "runs", "1024"),
    Case((2, 2, 40, 41), None, IMAGES, "runs", "8192"),
    Case((2, 3, 9001), (3, 1), (0, 2), "runs", "8192", 2),
    Case((2, 3, 4, 5, 5), (1, 3, 4, 1, 1), (2, 3, 4), "runs", "128"),
    Case((2, 3, 9, 9), (3, 1, 1), (2, 3), "runs", "128"),
    Case((3, 2, 4), (1,), (0, 2), "runs", "128"),
    Case((2, 2, 90, 100), None, (1, 2, 3), "runs", "8192", 3),
    Case((150, 2, 3, 3), (2, 1, 1), IMAGES, "runs", "128"),
    Case((300, 70), (70,), (0,), "columns", "columns", 3),
    Case((300, 33), (1, 1), (0,), "columns", "columns", 3),
    Case((9, 40, 1, 1), (40, 1, 1), IMAGES, "columns", "columns"),
]


def arguments(case):
    """Numbers far from 0, of which the squares would lose the variance; and the arguments of the gradient."""
    rng = np.random.default_rng(0)
    kept = tuple(1 if d in case.dim else n for d, n in enumerate(case.shape))

    def draw(shape):
        return None if shape is None else rng.standard_normal(shape).astype("float32")

    x, w, b = draw(case.shape) + 300, draw(case.parameters), draw(case.parameters)
    wide = x.astype("float64")
    mean, var = (f(axis=case.dim, keepdims=True).astype("float32") for f in (wide.mean, wide.var))
    return (x, w, b), (draw(case.shape), draw(kept), draw(kept), x, w, mean, var), case.parameters


def exact(op, given, **options):
    wide = [a if a is None else a.astype("float64") for a in given]
    return kernels.implementations(op)["reference"].compute(np, *wide, **options)


def agree(got, want):
    for a, b in zip(got, want, strict=True):
        if b is None:
            assert a is None
        else:
            assert a.shape == b.shape
            assert abs(a - b).max() <= 2e-4 * abs(b).max()


@pytest.mark.parametrize("case", CASES, ids=lambda case: "x".join(map(str, case.shape)))
def test_each_way_gives_what_the_reference_gives_in_float64(case):
    forward, backward, b_shape = arguments(case)
    view = pieces.view_of(forward[0], case.dim, b_shape)
    assert (view.kind, view.ending, view.slices) == case[3:]
    how = {"dim": case.dim, "eps": 1e-5}
    agree(norm.standardize(np, *forward, **how), exact("standardize", forward, **how))
    how["b_shape"] = b_shape
    agree(norm.standardize_grad(np, *backward, **how), exact("standardize_grad", backward, **how))


def test_channels_last_stay_so():
    x, g = np.random.default_rng(0).standard_normal((2, 3, 9, 8, 40), "float32").transpose(0, 1, 4, 2, 3)
    w, how = np.arange(40, dtype="float32").reshape(40, 1, 1), {"dim": IMAGES, "eps": 0.1}
    y, mean, var = norm.standardize(np, x, w, None, **how)
    agree((y, mean, var), exact("standardize", (x, w, None), **how))
    given = np.ascontiguousarray(g), mean, var, x, w, mean, var
    found = norm.standardize_grad(np, *given, **how, b_shape=None)
    agree(found, exact("standardize_grad", given, **how, b_shape=None))
    for a in (y, found[0]):
        assert a.transpose(0, 2, 3, 1).flags.c_contiguous


def test_every_kernel_has_a_case():
    endings = {case.ending for case in CASES if case.kind != "rows"}, {c.ending for c in CASES if c.kind == "rows"}
    wanted = [f"{name}_{ending}" for name in ("moments", "standardize", "slopes", "gradient") for ending in endings[0]]
    wanted += [f"{name}_{ending}" for name in ("standardize_rows", "rows_grad") for ending in endings[1]]
    wanted += [f"join_{what}_{group}" for what in ("moments", "slopes", "weights") for group in (32, 256)]
    assert set(wanted) == set(source.files()["norm.cu"].kernels)


@pytest.mark.parametrize("case", [CASES[0], CASES[7], CASES[12]], ids=lambda case: case.kind)
def test_the_order_of_blocks_does_not_matter(case, monkeypatch):
    forward, backward, b_shape = arguments(case)
    how, found = {"dim": case.dim, "eps": 1e-5}, []
    for reverse in (False, True):
        monkeypatch.setattr(emulator.Settings, "reverse", reverse)
        found.append((*norm.standardize(np, *forward, **how),
                      *norm.standardize_grad(np, *backward, **how, b_shape=b_shape)))
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_infinite_weight_leaves_no_slope_of_its_channel():
    """∞ - ∞, as when each number is multiplied: not what the sums times it would be."""
    x = np.abs(np.random.default_rng(0).standard_normal((2, 4, 3, 3), "float32"))
    w, how = np.float32([np.inf, 1, -np.inf, np.nan]).reshape(4, 1, 1), {"dim": IMAGES, "eps": 0.1}
    _, mean, var = norm.standardize(np, x, w, None, **how)
    dx, dw, db = norm.standardize_grad(np, x, mean, var, x, w, mean, var, **how, b_shape=w.shape)
    assert np.isnan(dx[:, [0, 2, 3]]).all() and np.isfinite(dx[:, 1]).all()
    assert np.isfinite(dw).all() and np.isfinite(db).all()


@pytest.mark.parametrize(("x", "parameters", "dim", "why"), [
    (np.zeros((2, 3)), None, (0,), "takes float32, not float64"),
    (np.zeros((2, 3, 4), "f"), None, (1,), "rows to be normalized, or all axes but the second"),
    (np.zeros((2, 3, 4), "f"), (3, 1), (0, 1), "rows to be normalized, or all axes but the second"),
    (np.zeros((2, 3, 4), "f"), (2, 1, 4), (2,), "takes a weight and a bias of one shape"),
    (np.zeros((2, 8193), "f"), (8193,), (1,), "at most 8,192 weights to a mean, or rows of 8,192 numbers"),
    (np.broadcast_to(np.zeros((), "f"), (2**16, 2**15)), None, (1,), r"fewer than 2\*\*31 numbers"),
])  # fmt: skip
def test_what_is_left_to_the_reference(x, parameters, dim, why):
    b, one = None if parameters is None else np.zeros(parameters, "f"), np.zeros(1, "f")
    assert re.search(why, choice.normalizable(x, None, b, dim=dim, eps=0.1))
    answer = choice.normalized(x, one, one, x, None, one, one, b_shape=parameters, dim=dim, eps=0.1)
    assert re.search(why, answer)
