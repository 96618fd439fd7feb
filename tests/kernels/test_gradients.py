"""The derivatives of ops are proved with the fast kernels, too, in double precision and to second order."""

from __future__ import annotations

import numpy as np
import pytest

from tinynet import kernels, proofs
from tinynet.drawing import Drawer
from tinynet.ops._primitive import PRIMITIVES

pytest.importorskip("numba")
KNOWN = [name for name in sorted(proofs.PROOFS) if "numba" in kernels.implementations(name)]
KNOWN.remove("relu_grad")  # its second argument has no gradient, so the proofs draw integers; relu has it proved


def test_the_ops_with_fast_kernels_are_known():
    wanted = {"conv2d", "conv2d_input_grad", "conv2d_weight_grad", "max_pool2d", "max_pool2d_grad", "avg_pool2d"}
    wanted |= {"avg_pool2d_grad", "softmax", "log_softmax", "cross_entropy", "cross_entropy_grad", "matmul"}
    assert wanted <= {*KNOWN}


@pytest.mark.parametrize("name", KNOWN)
def test_derivatives(name, monkeypatch):
    ran = []
    found = kernels.implementations(name)["numba"]

    def compute(xp, *arrays, **options):
        ran.append(arrays[0].dtype)
        return found.compute(xp, *arrays, **options)

    monkeypatch.setitem(kernels._registry[name], "numba", found._replace(compute=compute))
    kernels.in_order.cache_clear()
    with kernels.use_kernels("numba"):
        for seed in range(20):
            first, second = proofs.orders(PRIMITIVES[name], proofs.PROOFS[name](Drawer(seed)))
            assert proofs.right(first), first
            assert proofs.right(second), second
            if seed >= 2 and ran:  # some are choosy
                break
    monkeypatch.undo()
    kernels.in_order.cache_clear()
    assert np.dtype("float64") in ran
