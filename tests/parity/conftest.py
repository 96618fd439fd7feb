"""What the comparisons of modules with PyTorch's share: one module beside another, to the second derivative."""

from __future__ import annotations

import numpy as np
import pytest

import tinynet as tn


def array(t):
    return t.detach().numpy() if isinstance(t, tn.Tensor) else t.numpy(force=True)  # PyTorch has zeros without memory


def close(ours, theirs, what, rtol=1e-9):
    """Equal to nine digits; no gradient (None) is as good as zeros."""
    if ours is None and theirs is None:
        return
    a, b = (None if t is None else array(t) for t in (ours, theirs))
    a, b = (np.zeros_like(b) if a is None else a), (np.zeros_like(a) if b is None else b)
    assert a.shape == b.shape, what
    np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol / 100 * (1 + np.abs(b).max(initial=0)), err_msg=what)


def slopes(nn, module, tensors, factors, twice):
    """Result, first derivatives, and second ones (those of the first, summed with random factors); nn: tn or torch."""
    out = module(*tensors)
    sources = [t for t in tensors if t.requires_grad] + [p for _, p in module.named_parameters()]
    seeds = [nn.tensor(factors.standard_normal(tuple(t.shape))) for t in (out, *sources)]
    grad = nn.autograd.grad
    if not (out.requires_grad and sources):
        return out, [], []
    firsts = grad(out, sources, seeds[0], create_graph=True, allow_unused=True)
    total = [(g * s).sum() for g, s in zip(firsts, seeds[1:], strict=True) if g is not None and g.requires_grad]
    seconds = grad(sum(total), sources, allow_unused=True) if total and twice else [None] * len(sources)
    return out, firsts, seconds


def compare(ours, theirs, rng, *inputs, calls=1, twice=True, rtol=1e-9):
    """Two modules in float64, called a number of times: the same text, state, result, buffers and derivatives, first
    and second, by every parameter and every float input. twice=False: PyTorch has no second ones."""
    torch = pytest.importorskip("torch")
    assert repr(ours) == repr(theirs)
    assert [*ours.state_dict()] == [*theirs.state_dict()]
    ours, theirs = ours.double(), theirs.double()
    state = {name: tn.tensor(t.numpy().copy()) for name, t in theirs.state_dict().items()}
    assert ours.load_state_dict(state) == ([], [])
    names = [name for name, _ in ours.named_parameters()]
    assert names == [name for name, _ in theirs.named_parameters()]
    free = [a.dtype.kind == "f" for a in inputs]
    for _ in range(calls):
        seed = rng.integers(2**32)
        found = []
        for nn, module in ((tn, ours), (torch, theirs)):
            tensors = [nn.tensor(a).requires_grad_(on) for a, on in zip(inputs, free, strict=True)]
            found.append(slopes(nn, module, tensors, np.random.default_rng(seed), twice))
        (out, *orders), (expected, *their_orders) = found
        assert out.dtype == tn.float64
        close(out, expected, "result", rtol)
        whose = [f"input {k}" for k, on in enumerate(free) if on] + names
        for order, mine, other in zip(("first", "second"), orders, their_orders, strict=True):
            for what, a, b in zip(whose, mine, other, strict=False):
                close(a, b, f"{order} derivative by {what}", rtol)
        buffers = dict(theirs.named_buffers())
        assert [name for name, _ in ours.named_buffers()] == [*buffers]
        for name, buffer in ours.named_buffers():
            close(buffer, buffers[name], f"buffer {name}", rtol)


@pytest.fixture(scope="session")
def agree():
    """compare(ours, theirs, rng, *inputs), as a fixture: tests import nothing from one another."""
    return compare
