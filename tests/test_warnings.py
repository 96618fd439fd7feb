"""nan and inf travel in silence, as in PyTorch, though NumPy warns of them; NumPy's warnings to others stay."""

from __future__ import annotations

import subprocess
import sys

LOUD = """
import warnings
warnings.simplefilter("error")
import numpy as np
import tinynet as tn

F, inf, nan = tn.nn.functional, float("inf"), float("nan")
x = tn.tensor([[inf, -inf, 1.0], [nan, 0.0, -1.0], [1e38, 3e38, inf]], requires_grad=True)
"""
CASES = {
    "arithmetic": "((x / 0) * (x - x) + x % 0 + x // 0).sum().backward()",
    "functions": "(x.log() + x.exp() + x.sqrt() + x.rsqrt() + (x * 10).asin() + x.tan() + x ** x).sum().backward()",
    "reductions": "(x.sum(0) + x.mean(0) + x.var(0) + x.prod(0) + x.logsumexp(0) + x.norm(dim=0)).sum().backward()",
    "a gradient that is summed": "(tn.zeros(2, requires_grad=True) * tn.tensor([[inf], [-inf]])).sum().backward()",
    "products": "(x @ x + tn.einsum('ij,jk->ik', x, x) + tn.inner(x, x) + tn.tensordot(x, x, 1)).sum().backward()",
    "linear algebra": "(tn.linalg.det(x) + tn.linalg.slogdet(x).logabsdet)",
    "round": "(x * 1e30).round(decimals=2)",
    "softmax": "(x.softmax(1) + x.log_softmax(1)).sum().backward()",
    "cross-entropy": "F.cross_entropy(x, tn.tensor([0, 1, 2])).backward(tn.tensor(inf))",
    "the second derivative": "tn.autograd.grad((x**3).sum(), x, create_graph=True)[0].sum().backward()",
    "a norm layer": "F.layer_norm(x, (3,)).sum().backward()",
    "an optimizer": "x.sum().backward(); x.grad.mul_(x.detach()); tn.optim.Adam([x], lr=1e38).step()",
}


EACH = """
for name, code in cases.items():
    try:
        exec(code)
    except RuntimeWarning as warning:
        print(name, warning, sep=": ")
"""


def run(code):
    """In a Python of its own: pytest has filters of warnings itself."""
    return subprocess.run([sys.executable, "-c", LOUD + code], capture_output=True, text=True, check=False)


def test_tinynet_is_silent():
    done = run(f"cases = {CASES!r}{EACH}")
    assert (done.stdout, done.stderr) == ("", "")


def test_numpy_still_warns_others():
    assert "RuntimeWarning: invalid value encountered" in run("np.array([inf, -inf]).sum()").stderr
