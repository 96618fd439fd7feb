"""Optimizers on their own: they descend, resume, and take part in the engine's bookkeeping."""

from __future__ import annotations

import contextlib
import copy
import pickle

import numpy as np
import pytest

import tinynet as tn
from tinynet import optim

MAKERS = {
    "sgd": lambda p: optim.SGD(p, lr=0.05),
    "momentum": lambda p: optim.SGD(p, lr=0.02, momentum=0.9, nesterov=True),
    "adam": lambda p: optim.Adam(p, lr=0.1),
    "amsgrad": lambda p: optim.Adam(p, lr=0.1, amsgrad=True),
    "adamw": lambda p: optim.AdamW(p, lr=0.1, weight_decay=1e-4),
    "rmsprop": lambda p: optim.RMSprop(p, lr=0.01, alpha=0.9, momentum=0.5, centered=True),
    "adagrad": lambda p: optim.Adagrad(p, lr=0.5),
    "nadam": lambda p: optim.NAdam(p, lr=0.1),
}
MUON = {"muon": lambda p: optim.Muon(p, lr=0.02, momentum=0.9, weight_decay=0.0)}  # for matrices alone
EVERY = pytest.mark.parametrize("make", (MAKERS | MUON).values(), ids=MAKERS | MUON)


def problem():
    """Parameters and a loss that is least (0) where Aw = b."""
    rng = np.random.default_rng(0)
    A, answer = (tn.tensor(rng.standard_normal(shape), dtype=tn.float32) for shape in ((4, 3), (3, 2)))
    b = A @ answer
    w = tn.zeros(3, 2, requires_grad=True)
    return w, lambda: ((A @ w - b) ** 2).sum()


def run(optimizer, loss, steps):
    for _ in range(steps):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()


@EVERY
def test_descends(make):
    w, loss = problem()
    start = loss().item()
    run(make([w]), loss, 300)
    assert loss().item() < 1e-4 * start


@EVERY
def test_a_saved_run_goes_on_where_it_stood(make):
    w, loss = problem()
    optimizer = make([w])
    run(optimizer, loss, 7)
    saved, then = copy.deepcopy(optimizer.state_dict()), w.detach().clone()
    run(optimizer, loss, 5)
    end = w.detach().clone()
    with tn.no_grad():
        w.copy_(then)
    fresh = type(optimizer)([w], lr=9.0)
    fresh.load_state_dict(saved)
    run(fresh, loss, 5)
    assert tn.equal(w.detach(), end)


@EVERY
def test_loading_copies(make):
    w, loss = problem()
    optimizer = make([w])
    run(optimizer, loss, 2)
    saved = optimizer.state_dict()
    before = copy.deepcopy(saved["state"])
    other = make([w])
    other.load_state_dict(saved)
    run(other, loss, 2)
    for k, state in saved["state"].items():
        assert all(tn.equal(value, before[k][name]) for name, value in state.items())


@EVERY
def test_pickle_and_deepcopy(make):
    w, loss = problem()
    optimizer = make([w])
    run(optimizer, loss, 3)
    for twin_w, twin in (copy.deepcopy((w, optimizer)), pickle.loads(pickle.dumps((w, optimizer)))):
        assert twin.param_groups[0]["params"][0] is twin_w is not w
        assert twin.state_dict().keys() == optimizer.state_dict().keys()
        assert [*twin.state] == ([twin_w] if optimizer.state else [])


@EVERY
def test_a_step_is_a_write_that_the_graph_notices(make):
    w, loss = problem()
    optimizer = make([w])
    old = (w * w).sum()
    loss().backward()
    version = w._version
    optimizer.step()
    assert w._version > version
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        old.backward()


@EVERY
def test_a_step_changes_the_memory_in_place_and_not_the_gradient(make):
    w, loss = problem()
    alias = w.detach()
    optimizer = make([w])
    loss().backward()
    before = w.grad.clone()
    for _ in range(3):
        optimizer.step()
    assert tn.equal(alias, w.detach()) and tn.equal(w.grad, before)
    assert w.is_leaf and w.requires_grad


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_a_scalar_and_an_empty_parameter(make):
    w, e = tn.tensor(2.0, requires_grad=True), tn.zeros(0, 3, requires_grad=True)
    optimizer = make([w, e])
    for _ in range(2):
        optimizer.zero_grad()
        (w * w + e.sum()).backward()
        optimizer.step()
    assert w.shape == () and w.dtype == tn.float32 and w.item() < 2
    assert e.shape == (0, 3)


@EVERY
@pytest.mark.parametrize("dtype", [tn.float16, tn.float32, tn.float64])
def test_dtypes_are_kept(make, dtype):
    w = tn.ones(3, 2, dtype=dtype, requires_grad=True)
    optimizer = make([w])
    for group in optimizer.param_groups:  # what was computed with NumPy must not widen the parameters
        for option, value in group.items():
            if isinstance(value, float):
                group[option] = np.float64(value)
            elif option == "betas":
                group[option] = tuple(map(np.float64, value))
    for _ in range(2):
        optimizer.zero_grad()
        (w * w).sum().backward()
        optimizer.step()
    assert w.dtype == dtype
    for name, value in (item for state in optimizer.state.values() for item in state.items()):
        assert value.dtype == (tn.float32 if name in ("step", "mu_product") else dtype), name


def test_numpy_numbers_as_options_change_no_bit():
    ends = []
    for number in (float, np.float64):
        w = tn.tensor([1.0, 0.3, -0.7], requires_grad=True)
        optimizer = optim.Adam([w], number(0.1), (number(0.9), number(0.99)), number(1e-8), number(0.1))
        for _ in range(5):
            optimizer.zero_grad()
            (w**3).sum().backward()
            optimizer.step()
        ends.append(w.tolist())
    assert ends[0] == ends[1]


def test_parameters_that_are_not_contiguous():
    w = tn.nn.Parameter(tn.ones(2, 3).T)
    (w * w).sum().backward()
    optim.Adam([w], lr=0.5).step()
    np.testing.assert_allclose(w.detach().numpy(), 0.5, rtol=1e-6)


def test_an_expanded_parameter_is_refused():
    with pytest.raises(RuntimeError, match="was expanded"):
        optim.SGD([tn.nn.Parameter(tn.zeros(1).expand(3))])
    optim.SGD([tn.nn.Parameter(tn.zeros(1, 0).expand(3, 0))])


def test_a_state_of_another_shape_is_refused_and_nothing_loaded():
    w, loss = problem()
    optimizer = optim.Adam([w])
    run(optimizer, loss, 1)
    v = tn.ones(2, 2, requires_grad=True)
    other = optim.Adam([v], lr=0.7)
    with pytest.raises(ValueError, match=r"\['exp_avg'\] must be a tensor of shape \(2, 2\), got one of \(3, 2\)"):
        other.load_state_dict(optimizer.state_dict())
    assert other.param_groups[0]["lr"] == 0.7 and not other.state


def test_amsgrad_uses_the_largest():
    w = tn.ones(1, dtype=tn.float64, requires_grad=True)
    optimizer = optim.Adam([w], amsgrad=True, betas=(0.0, 0.5))
    for g in (10.0, 0.0, 0.0):
        w.grad = tn.tensor([g], dtype=tn.float64)
        optimizer.step()
    state = optimizer.state[w]
    assert state["max_exp_avg_sq"].item() == 50.0 and state["exp_avg_sq"].item() == 12.5


def test_the_first_adam_step_is_lr_in_each_direction():
    w = tn.zeros(3, requires_grad=True)
    w.grad = tn.tensor([1e-3, -5.0, 100.0])
    optim.Adam([w], lr=0.25).step()
    np.testing.assert_allclose(w.detach().numpy(), [-0.25, 0.25, -0.25], rtol=1e-4)


def test_a_schedule_does_not_warn_of_a_step_it_cannot_see():
    class Own(optim.SGD):
        def step(self, closure=None):
            return None

    for kind in (Own, optim.SGD):
        optimizer = kind([tn.zeros(2, requires_grad=True)], lr=1.0)
        schedule = optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
        with pytest.warns(UserWarning, match="before") if kind is optim.SGD else contextlib.nullcontext():
            schedule.step()


def test_an_optimizer_is_a_formula():
    """What the base class asks of a subclass: `_update` alone."""

    class Signs(optim.Optimizer):
        def _update(self, w, g, state, group):
            w -= group["lr"] * np.sign(g)

    w = tn.zeros(2, requires_grad=True)
    w.grad = tn.tensor([3.0, -0.1])
    Signs([w], {"lr": 0.5}).step()
    assert w.tolist() == [-0.5, 0.5]
