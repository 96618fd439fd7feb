"""tinynet.optim beside torch.optim: fed the same gradients, the parameters take the same path."""

from __future__ import annotations

import copy
import warnings
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import tinynet as tn

torch = pytest.importorskip("torch")

SEEDS = st.integers(0, 2**32 - 1)
RATES = st.floats(1e-4, 1.0)
MOMENTA = st.sampled_from([0.0, 0.5, 0.9])
DECAYS = st.sampled_from([0.0, 1e-2, 0.5])
EPSILONS = st.sampled_from([1e-8, 1e-3])
BETAS = st.tuples(st.sampled_from([0.0, 0.5, 0.9]), st.sampled_from([0.0, 0.9, 0.999]))
GROUPS = st.one_of(st.none(), st.fixed_dictionaries({"lr": RATES, "weight_decay": DECAYS}))


def options(**more):
    return st.fixed_dictionaries({"lr": RATES, "weight_decay": DECAYS, "maximize": st.booleans(), **more})


OPTIONS = {
    "SGD": st.one_of(
        options(momentum=MOMENTA, dampening=st.sampled_from([0.0, 0.3])),
        options(momentum=st.sampled_from([0.5, 0.9]), nesterov=st.just(True)),
    ),
    "Adam": options(betas=BETAS, eps=EPSILONS, amsgrad=st.booleans(), decoupled_weight_decay=st.booleans()),
    "AdamW": options(betas=BETAS, eps=EPSILONS, amsgrad=st.booleans()),
    "RMSprop": options(alpha=st.sampled_from([0.9, 0.99]), eps=EPSILONS, momentum=MOMENTA, centered=st.booleans()),
    "Adagrad": options(
        lr_decay=st.sampled_from([0.0, 0.1, 2.0]),
        initial_accumulator_value=st.sampled_from([0.0, 0.5]),
        eps=st.sampled_from([1e-10, 1e-3]),
    ),
    "NAdam": options(
        betas=BETAS,
        eps=EPSILONS,
        momentum_decay=st.sampled_from([0.0, 4e-3, 0.5]),
        decoupled_weight_decay=st.booleans(),
    ),
}
EVERY = pytest.mark.parametrize("name", OPTIONS)


@EVERY
@given(SEEDS, st.data(), GROUPS)
def test_twelve_steps(pair, name, seed, data, groups):
    both = pair.Both(seed, name, data.draw(OPTIONS[name]), groups=groups)
    for _ in range(12):
        both.step()
        both.agree()
    pair.same_layout(*(o.state_dict() for o in both.optimizers), rtol=1e-12)


@EVERY
@given(SEEDS, st.data())
def test_twelve_steps_in_single_precision(pair, name, seed, data):
    drawn = data.draw(OPTIONS[name])
    assume(drawn.get("betas", (0.9, 0.99))[1] > 0)  # else m / |g| hangs on the last bits of a small gradient
    both = pair.Both(seed, name, drawn | {"lr": min(drawn["lr"], 0.1)}, "float32")
    for _ in range(12):
        both.step()
    assert all(p.dtype == tn.float32 for p in both.ours)
    both.agree(rtol=2e-5)


@contextmanager
def doubles_as_default():
    """NAdam's mu_product is kept in the default dtype, and in the parameter's once it was loaded: where the two
    are one, a loaded run goes on exactly."""
    before = tn.get_default_dtype(), torch.get_default_dtype()
    tn.set_default_dtype(tn.float64)
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        tn.set_default_dtype(before[0])
        torch.set_default_dtype(before[1])


@EVERY
@doubles_as_default()
@given(SEEDS, st.data(), st.booleans(), st.integers(0, 4))
def test_state_goes_from_one_library_to_the_other(pair, name, seed, data, to_torch, steps):
    """A run that changes library half way goes on as the other library's own."""
    both = pair.Both(seed, name, data.draw(OPTIONS[name]), groups={"lr": 0.01})
    for _ in range(steps):
        both.step()
    fresh = pair.Both(seed, name, {"lr": 0.5}, groups={"lr": 0.25})
    with tn.no_grad(), torch.no_grad():
        for new, old in zip(fresh.ours + fresh.theirs, both.ours + both.theirs, strict=True):
            new.copy_(old)
    ours, theirs = (o.state_dict() for o in both.optimizers)
    a, b = fresh.optimizers
    if to_torch:
        b.load_state_dict(pair.converted(ours, torch.tensor))
        a.load_state_dict(ours)
    else:
        a.load_state_dict(pair.converted(theirs, tn.tensor))
        b.load_state_dict(copy.deepcopy(theirs))  # PyTorch would go on in the very same buffers
    both.rng, fresh.rng = np.random.default_rng(seed + 1), np.random.default_rng(seed + 1)
    for _ in range(5):
        both.step()
        fresh.step()
    fresh.agree(rtol=1e-10)
    for p, q in zip(both.ours, fresh.ours, strict=True):
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=1e-10, atol=1e-10)


@EVERY
@given(SEEDS, st.data())
def test_closure(name, seed, data):
    """step(closure) computes the gradients itself, with grad enabled, and returns the loss."""
    drawn, losses = data.draw(OPTIONS[name]), []
    for lib in (tn, torch):
        rng = np.random.default_rng(seed)
        w = lib.tensor(rng.standard_normal(3), requires_grad=True)
        o = getattr(lib.optim, name)([w], **drawn)
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
        assert str(ours).replace("tinynet", "torch").startswith(str(theirs))


def with_gradient(lib):
    p = a(lib)
    p.grad = lib.ones(2)
    lib.optim.Optimizer([p], {}).step()


def facts(lib, pair):
    """What can be seen of an optimizer and its groups."""
    w, b, late = a(lib), lib.zeros((), requires_grad=True), a(lib)
    o = lib.optim.Adam([{"params": w, "lr": 0.5}, {"params": (b,), "betas": (0.5, 0.5)}], lr=0.25)
    o.add_param_group({"params": [late], "eps": 1e-4})
    yield [[o.param_groups[k][n] for n in ("lr", "betas", "eps", "amsgrad")] for k in range(3)]
    yield pair.values(o.state_dict())
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
    yield pair.values(named.state_dict())
    other = lib.optim.SGD([w, b])
    other.load_state_dict(named.state_dict())
    yield pair.values(other.state_dict())
    named.load_state_dict(lib.optim.SGD([w, b], lr=0.125).state_dict())
    yield pair.values(named.state_dict())
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        double = lib.optim.SGD([w, w, b])
    yield len(seen), double.state_dict()["param_groups"][0]["params"]
    yield [line for line in repr(named).split("\n") if line.split(":")[0].strip() not in pair.alone]
    yield lib.optim.SGD([w]).defaults["lr"], lib.optim.Adam([w]).defaults["betas"]


def test_the_same_is_seen(pair):
    with tn.use_kernels("reference"):  # which round as PyTorch does
        seen = [*facts(tn, pair)]
    for ours, theirs in zip(seen, facts(torch, pair), strict=True):
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
