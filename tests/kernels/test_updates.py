"""The optimizers' kernels, which change lists of arrays in place: every implementation against the definition, written
out for one number."""

from __future__ import annotations

import importlib
import math
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinynet import kernels
from tinynet.testing import arrays

UPDATES = [
    pytest.param(op, backend, marks=pytest.mark.gpu if backend == "cuda" else ())
    for op in ("adam", "sgd")
    for backend in kernels.implementations(op)
]
TOLERANCE = {"float64": 1e-12, "float32": 2e-5}


def adam(w, g, m, v, most, t, *, lr, beta1, beta2, eps, weight_decay, decoupled, maximize):
    g = -g if maximize else g
    if decoupled:
        w -= lr * weight_decay * w
    else:
        g += weight_decay * w
    m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
    most = None if most is None else max(most, v)
    used = v if most is None else most
    return w - lr * (m / (1 - beta1**t)) / (math.sqrt(used / (1 - beta2**t)) + eps), g, m, v, most


def sgd(w, g, b, *, lr, momentum, dampening, weight_decay, nesterov, maximize):
    g = (-g if maximize else g) + weight_decay * w
    if b is None:
        return w - lr * g, g, b
    b = momentum * b + (1 - dampening) * g
    return w - lr * (g + momentum * b if nesterov else b), g, b


numbers = st.sampled_from([0.0, 0.1, 0.9])


def case_adam(draw, make):
    ws = make(-2, 2)
    largest = make(0, 1) if draw(st.booleans()) else []
    steps = [float(draw(st.integers(1, 9))) for _ in ws]
    options = {name: draw(numbers) for name in ("lr", "beta1", "beta2", "weight_decay")}
    options |= {name: draw(st.booleans()) for name in ("decoupled", "maximize")}
    return (ws, make(-2, 2), make(-2, 2), make(0, 1), largest, steps), {"eps": 0.1, **options}


def case_sgd(draw, make):
    options = {name: draw(numbers) for name in ("lr", "momentum", "dampening", "weight_decay")}
    buffers = make(-2, 2) if draw(st.booleans()) else []
    options |= {name: draw(st.booleans()) for name in ("nesterov", "maximize")}
    return (make(-2, 2), make(-2, 2), buffers), options


@pytest.mark.parametrize(("op", "backend"), UPDATES)
@given(data=st.data())
def test_update(op, backend, data):
    if backend == "emu" and shutil.which("g++") is None:
        pytest.skip("g++ is not installed: THE CUDA KERNELS WERE NOT TESTED on the emulator")
    dtype = data.draw(st.sampled_from(["float32", "float64"]))
    shapes = data.draw(st.lists(st.sampled_from([(), (1,), (3, 5), (0,), (40,)]), min_size=1, max_size=3))

    def make(low, high):
        return [data.draw(arrays(shape, dtype, min_value=low, max_value=high)).copy() for shape in shapes]

    lists, options = globals()[f"case_{op}"](data.draw, make)
    kernel = kernels.implementations(op)[backend]
    xp = importlib.import_module("cupy" if backend == "cuda" else "numpy")
    given = [[xp.asarray(a) if isinstance(a, np.ndarray) else a for a in arrays_] for arrays_ in lists]
    if kernel.supports(xp, *given, **options) is not True:
        return
    before = [[np.array(a, "float64") for a in arrays_] for arrays_ in lists]
    kernel.compute(xp, *given, **options)
    if backend == "cuda":
        lists = [[xp.asnumpy(a) if isinstance(a, xp.ndarray) else a for a in arrays_] for arrays_ in given]
    for k, shape in enumerate(shapes):
        for at in np.ndindex(shape):
            one = [float(items[k][at if items[k].ndim else ()]) if items else None for items in before]
            expected = globals()[op](*one, **options)
            for number, (items, want) in enumerate(zip(lists, expected, strict=False)):
                if items and number != 1:
                    np.testing.assert_allclose(items[k][at], want, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])
            np.testing.assert_array_equal(lists[1][k], before[1][k].astype(dtype), "the gradient was written")
