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
    monkeypatch.setattr(kernels, "LARGE", 1)  # the sum asks for a kernel only where there is much to add
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


@pytest.mark.parametrize("axes", [(0, 2, 1, 3), (1, 2, 0, 3)])  # a batch first, or a sequence
def test_gradients_of_queries_keys_and_values_from_one_array_need_not_be_joined(axes):
    rng = np.random.default_rng(0)
    x, g = rng.standard_normal((5, 6, 3 * 8)), rng.standard_normal((5, 6, 8))
    given = [part.reshape(5, 6, 2, 4).transpose(axes) for part in np.split(x, 3, -1)]
    g, how = g.reshape(5, 6, 2, 4).transpose(axes), {"scale": 0.5, "causal": True}
    with kernels.use_kernels("numba"):
        _, *kept = kernels.run("attention", np, *given, **how)
        found = kernels.run("attention_grad", np, g, *given, None, *kept, **how, scores=False)[:3]
        apart = kernels.run("attention_grad", np, g, *[a.copy() for a in given], None, *kept, **how, scores=False)[:3]
    parts = [part.transpose(np.argsort(axes)).reshape(5, 6, 8) for part in found]
    join = PRIMITIVES["split_with_sizes"].written["a"]
    joined = join(parts, 2)
    assert np.shares_memory(joined, found[0])
    np.testing.assert_allclose(joined, np.concatenate(parts, -1), rtol=0)
    for a, b in zip(found, apart, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    mixed = join([parts[1], parts[0], parts[2]], 2)  # not as they lie
    np.testing.assert_array_equal(mixed, np.concatenate([parts[1], parts[0], parts[2]], -1))
