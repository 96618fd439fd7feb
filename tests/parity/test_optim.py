"""tinynet.optim beside torch.optim: fed the same gradients, the parameters take the same path."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import tinynet as tn

torch = pytest.importorskip("torch")

SHAPES = [(3, 2), (4,), (), (0, 2), (2, 1, 2)]
ALONE = {"foreach", "capturable", "differentiable", "fused"}  # options of PyTorch's alone
SEEDS = st.integers(0, 2**32 - 1)
RATES = st.floats(1e-4, 1.0)
MOMENTA = st.sampled_from([0.0, 0.5, 0.9])
DECAYS = st.sampled_from([0.0, 1e-2, 0.5])


@st.composite
def sgd(draw):
    options = {"lr": draw(RATES), "momentum": draw(MOMENTA), "weight_decay": draw(DECAYS)}
    options["maximize"] = draw(st.booleans())
    if options["momentum"] and draw(st.booleans()):
        return "SGD", options | {"nesterov": True}
    return "SGD", options | {"dampening": draw(st.sampled_from([0.0, 0.3]))}


@st.composite
def adam(draw):
    return "Adam", {
        "lr": draw(RATES),
        "betas": (draw(st.sampled_from([0.0, 0.5, 0.9])), draw(st.sampled_from([0.0, 0.9, 0.999]))),
        "eps": draw(st.sampled_from([1e-8, 1e-3])),
        "weight_decay": draw(DECAYS),
        "amsgrad": draw(st.booleans()),
        "maximize": draw(st.booleans()),
        "decoupled_weight_decay": draw(st.booleans()),
    }


OPTIMIZERS = st.one_of(sgd(), adam())


class Both:
    """The same parameters in both libraries, their optimizers, and steps with random gradients."""

    def __init__(self, seed, name, options, dtype="float64", groups=None):
        self.rng = np.random.default_rng(seed)
        start = [self.rng.standard_normal(shape).astype(dtype) for shape in SHAPES]
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
            q.grad = None if gone else torch.tensor(g)

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


@given(SEEDS, OPTIMIZERS, st.one_of(st.none(), st.fixed_dictionaries({"lr": RATES, "weight_decay": DECAYS})))
def test_twelve_steps(seed, optimizer, groups):
    both = Both(seed, *optimizer, groups=groups)
    for _ in range(12):
        both.step()
        both.agree()
    same_layout(*(o.state_dict() for o in both.optimizers), rtol=1e-12)


@given(SEEDS, OPTIMIZERS)
def test_twelve_steps_in_single_precision(seed, optimizer):
    name, options = optimizer
    assume(options.get("betas", (0.9, 0.99))[1] > 0)  # else m / |g| hangs on the last bits of a small gradient
    both = Both(seed, name, options | {"lr": min(options["lr"], 0.1)}, "float32")
    for _ in range(12):
        both.step()
    assert all(p.dtype == tn.float32 for p in both.ours)
    both.agree(rtol=2e-5)


@given(SEEDS, OPTIMIZERS, st.booleans(), st.integers(0, 4))
def test_state_goes_from_one_library_to_the_other(seed, optimizer, to_torch, steps):
    """A run that changes library half way goes on as the other library's own."""
    both = Both(seed, *optimizer, groups={"lr": 0.01})
    for _ in range(steps):
        both.step()
    fresh = Both(seed, optimizer[0], {"lr": 0.5}, groups={"lr": 0.25})
    with tn.no_grad(), torch.no_grad():
        for new, old in zip(fresh.ours + fresh.theirs, both.ours + both.theirs, strict=True):
            new.copy_(old)
    ours, theirs = (o.state_dict() for o in both.optimizers)
    a, b = fresh.optimizers
    if to_torch:
        b.load_state_dict(converted(ours, torch.tensor))
        a.load_state_dict(ours)
    else:
        a.load_state_dict(converted(theirs, tn.tensor))
        b.load_state_dict(copy.deepcopy(theirs))  # PyTorch would go on in the very same buffers
    both.rng, fresh.rng = np.random.default_rng(seed + 1), np.random.default_rng(seed + 1)
    for _ in range(5):
        both.step()
        fresh.step()
    fresh.agree(rtol=1e-10)
    for p, q in zip(both.ours, fresh.ours, strict=True):
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=1e-10, atol=1e-10)


@given(SEEDS, OPTIMIZERS)
def test_closure(seed, optimizer):
    """step(closure) computes the gradients itself, with grad enabled, and returns the loss."""
    losses = []
    for lib in (tn, torch):
        rng = np.random.default_rng(seed)
        w = lib.tensor(rng.standard_normal(3), requires_grad=True)
        o = getattr(lib.optim, optimizer[0])([w], **optimizer[1])
        target = lib.tensor(rng.standard_normal(3))

        def closure(lib=lib, w=w, o=o, target=target):
            o.zero_grad()
            loss = ((w - target) ** 2).sum() + lib.exp(-(w * w)).sum()
            loss.backward()
            return loss

        with lib.no_grad():
            losses.append([float(o.step(closure)) for _ in range(6)])
    np.testing.assert_allclose(*losses, rtol=1e-9)


def a(lib):
    return lib.ones(2, requires_grad=True)


BAD = {
    "negative lr": lambda lib, o: o.SGD([a(lib)], lr=-1.0),
    "negative momentum": lambda lib, o: o.SGD([a(lib)], momentum=-0.1),
    "negative decay": lambda lib, o: o.SGD([a(lib)], weight_decay=-0.1),
    "nesterov alone": lambda lib, o: o.SGD([a(lib)], nesterov=True),
    "nesterov damped": lambda lib, o: o.SGD([a(lib)], momentum=0.9, dampening=0.1, nesterov=True),
    "negative Adam lr": lambda lib, o: o.Adam([a(lib)], lr=-1.0),
    "negative eps": lambda lib, o: o.Adam([a(lib)], eps=-1.0),
    "beta1": lambda lib, o: o.Adam([a(lib)], betas=(1.0, 0.9)),
    "beta2": lambda lib, o: o.Adam([a(lib)], betas=(0.9, -0.1)),
    "negative Adam decay": lambda lib, o: o.Adam([a(lib)], weight_decay=-1.0),
    "nan": lambda lib, o: o.Adam([a(lib)], lr=float("nan")),
    "integer beta": lambda lib, o: o.Adam([a(lib)], betas=(0, 0.9)),
    "lr of two": lambda lib, o: o.SGD([a(lib)], lr=lib.ones(2)),
    "no parameters": lambda lib, o: o.SGD([]),
    "one tensor": lambda lib, o: o.SGD(a(lib)),
    "a set": lambda lib, o: o.SGD([{"params": {a(lib)}}]),
    "numbers": lambda lib, o: o.SGD([1.0]),
    "not a leaf": lambda lib, o: o.SGD([a(lib) * 2]),
    "a group of a list": lambda lib, o: o.SGD([a(lib)]).add_param_group([a(lib)]),
    "a group without parameters": lambda lib, o: o.SGD([{"lr": 0.1}]),
    "twice": lambda lib, o: (lambda p: o.SGD([{"params": [p]}, {"params": p}]))(a(lib)),
    "some names": lambda lib, o: o.SGD([("a", a(lib)), a(lib)]),
    "names in one group": lambda lib, o: o.SGD([("a", a(lib))]).add_param_group({"params": a(lib)}),
    "names in the other": lambda lib, o: o.SGD([a(lib)]).add_param_group({"params": [("a", a(lib))]}),
    "groups": lambda lib, o: o.SGD([a(lib)]).load_state_dict({"state": {}, "param_groups": []}),
    "group size": lambda lib, o: o.SGD([a(lib)]).load_state_dict(o.SGD([a(lib), a(lib)]).state_dict()),
    "base": lambda lib, o: o.Optimizer([a(lib)], {}).step(),
    "keyword": lambda lib, o: o.SGD([a(lib)], learning_rate=1),
    "positional": lambda lib, o: o.SGD([a(lib)], 1, 0, 0, 0, False, True),
}  # fmt: skip
OTHER_TEXT = {
    "integer beta", "one tensor", "numbers", "not a leaf", "a group without parameters", "groups", "group size",
    "base", "keyword", "positional",
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_errors(name):
    caught = []
    for lib in (tn, torch):
        with pytest.raises(Exception) as info:
            BAD[name](lib, lib.optim) if name != "base" else with_gradient(lib)
        caught.append(info.value)
    ours, theirs = caught
    assert type(ours) is type(theirs)
    if name not in OTHER_TEXT:
        assert str(ours).replace("tinynet", "torch") == str(theirs)


def with_gradient(lib):
    p = a(lib)
    p.grad = lib.ones(2)
    lib.optim.Optimizer([p], {}).step()


def facts(lib):
    """What can be seen of an optimizer and its groups."""
    w, b, late = a(lib), lib.zeros((), requires_grad=True), a(lib)
    o = lib.optim.Adam([{"params": w, "lr": 0.5}, {"params": (b,), "betas": (0.5, 0.5)}], lr=0.25)
    o.add_param_group({"params": [late], "eps": 1e-4})
    yield [[o.param_groups[k][n] for n in ("lr", "betas", "eps", "amsgrad")] for k in range(3)]
    yield values(o.state_dict())
    (w.sum() * b + b).backward()
    o.step()
    yield w.tolist(), b.tolist(), late.tolist(), late in o.state, w in o.state
    grad = w.grad
    o.zero_grad(set_to_none=False)
    yield w.grad is grad, grad.tolist(), late.grad
    o.zero_grad()
    yield w.grad
    yield o.step(), w.tolist()
    named = lib.optim.SGD([("w", w), ("b", b)], lr=0.5)
    yield values(named.state_dict())
    other = lib.optim.SGD([w, b])
    other.load_state_dict(named.state_dict())
    yield values(other.state_dict())
    named.load_state_dict(lib.optim.SGD([w, b], lr=0.125).state_dict())
    yield values(named.state_dict())
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        double = lib.optim.SGD([w, w, b])
    yield len(seen), double.state_dict()["param_groups"][0]["params"]
    yield [line for line in repr(named).split("\n") if line.split(":")[0].strip() not in ALONE]
    yield lib.optim.SGD([w]).defaults["lr"], lib.optim.Adam([w]).defaults["betas"]


def test_the_same_is_seen():
    for ours, theirs in zip(facts(tn), facts(torch), strict=True):
        if isinstance(ours, dict):
            assert ours["param_groups"] == theirs["param_groups"]
            assert ours["state"].keys() == theirs["state"].keys()
        else:
            np.testing.assert_equal(ours, theirs)


def test_a_tensor_as_learning_rate():
    for name in ("SGD", "Adam"):
        results = []
        for lib in (tn, torch):
            w = a(lib)
            o = getattr(lib.optim, name)([w], lr=lib.tensor(0.5))
            (w * w).sum().backward()
            o.step()
            results.append(w.tolist())
        np.testing.assert_allclose(*results, rtol=1e-6)
