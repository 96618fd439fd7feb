"""What the comparisons with PyTorch share: one module beside another, to the second derivative; two optimizers."""

from __future__ import annotations

from types import SimpleNamespace

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


def compare_calls(call, seed, *inputs):
    """call(F, *tensors) in both libraries: refused with the same type of error (which is returned), or compared as
    modules are."""
    torch = pytest.importorskip("torch")
    refused = []
    for nn, tensor in ((tn.nn, tn.tensor), (torch.nn, torch.tensor)):
        try:
            call(nn.functional, *map(tensor, inputs))
            refused.append(None)
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            refused.append(type(error))
    assert refused[0] is refused[1], refused

    def module(nn):
        class Call(nn.Module):
            def forward(self, *tensors):
                return call(nn.functional, *tensors)

        return Call()

    if refused[0] is None:
        compare(module(tn.nn), module(torch.nn), np.random.default_rng(seed), *inputs)
    return refused[0]


@pytest.fixture(scope="session")
def agree_on():
    """compare_calls(call, seed, *inputs), as a fixture."""
    return compare_calls


def compare_errors(text, **shapes):
    """A call, as text in which t is either library, F its functional and nn its nn, must be refused by both with the
    same type of error; shapes: those of tensors of zeros that it names."""
    torch = pytest.importorskip("torch")
    errors = []
    for t in (tn, torch):
        try:
            eval(text, {"t": t, "nn": t.nn, "F": t.nn.functional, **{name: t.zeros(n) for name, n in shapes.items()}})
            errors.append(None)
        except Exception as error:
            errors.append(error)
    ours, theirs = errors
    assert theirs is not None, f"torch takes {text}"
    assert type(ours) is type(theirs), f"{text}\n  ours:   {ours!r}\n  theirs: {theirs!r}"


@pytest.fixture(scope="session")
def agree_to_refuse():
    """compare_errors(text, **shapes), as a fixture."""
    return compare_errors


@pytest.fixture(scope="module")
def plain_attention():
    """PyTorch's fast kernels of attention have no second derivative, and skip what they take to be padding."""
    torch = pytest.importorskip("torch")
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        yield
    torch.backends.mha.set_fastpath_enabled(fast)


# ---- optimizers: fed the same gradients, the parameters take the same path
SHAPES = [(3, 2), (4,), (), (0, 2), (2, 1, 2)]
ALONE = {"foreach", "capturable", "differentiable", "fused"}  # options of PyTorch's alone


class Both:
    """The same parameters in both libraries, their optimizers, and steps with random gradients."""

    def __init__(self, seed, name, options, dtype="float64", groups=None, shapes=SHAPES):
        self.torch = torch = pytest.importorskip("torch")
        self.rng = np.random.default_rng(seed)
        start = [self.rng.standard_normal(shape).astype(dtype) for shape in shapes]
        self.ours = [tn.tensor(np.array(a), requires_grad=True) for a in start]
        self.theirs = [torch.tensor(a, requires_grad=True) for a in start]
        self.optimizers = [
            getattr(lib.optim, name)(self.split(params, groups), **options)
            for lib, params in ((tn, self.ours), (torch, self.theirs))
        ]

    @staticmethod
    def split(params, groups):
        return params if groups is None else [{"params": params[:2]}, {"params": params[2:], **groups}]

    def gradients(self, absent=0.1):
        for p, q in zip(self.ours, self.theirs, strict=True):
            g = np.asarray(self.rng.standard_normal(p.shape), p.dtype)
            gone = self.rng.random() < absent  # a parameter without a gradient is left alone
            p.grad = None if gone else tn.tensor(g)
            q.grad = None if gone else self.torch.tensor(g)

    def step(self):
        self.gradients()
        for optimizer in self.optimizers:
            optimizer.step()

    def agree(self, rtol=1e-12):
        for p, q in zip(self.ours, self.theirs, strict=True):
            np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=rtol, atol=rtol)


def values(state_dict):
    """A state_dict with arrays for tensors, without the options that are PyTorch's alone."""
    arrays = {k: {n: v.detach().numpy() for n, v in s.items()} for k, s in state_dict["state"].items()}
    return {
        "state": arrays,
        "param_groups": [{n: v for n, v in g.items() if n not in ALONE} for g in state_dict["param_groups"]],
    }


def converted(state_dict, tensor):
    """A state_dict of one library as one of the other."""
    arrays = values(state_dict)["state"]
    state = {k: {n: tensor(np.array(a)) for n, a in s.items()} for k, s in arrays.items()}
    return {"state": state, "param_groups": state_dict["param_groups"]}


def same_layout(ours, theirs, rtol):
    a, b = values(ours), values(theirs)
    assert a["param_groups"] == b["param_groups"]
    assert [*a["state"]] == [*b["state"]]
    for k, state in a["state"].items():
        assert [*state] == [*b["state"][k]]
        for name, value in state.items():
            expected = b["state"][k][name]
            assert value.dtype == expected.dtype and value.shape == expected.shape
            np.testing.assert_allclose(value, expected, rtol=rtol, atol=rtol, err_msg=name)


@pytest.fixture(scope="session")
def pair():
    """What compares two optimizers: pair.Both, and pair.values, .converted, .same_layout of their state_dicts."""
    return SimpleNamespace(Both=Both, values=values, converted=converted, same_layout=same_layout, alone=ALONE)
