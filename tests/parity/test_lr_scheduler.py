"""tinynet.optim.lr_scheduler beside torch.optim.lr_scheduler: the same learning rates, states, errors, warnings."""

from __future__ import annotations

import copy
import inspect
import math
import pickle
import re
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinynet as tn

torch = pytest.importorskip("torch")

LIBRARIES = (tn, torch)
FACTORS = st.sampled_from([0.1, 0.5, 0.9, 1.0])
ETA_MIN = st.sampled_from([0.0, 0.01])
FUNCTIONS = {"inverse": lambda t: 1 / (1 + t), "power": lambda t: 0.9**t}


class WarmUp:
    """A factor with a state."""

    def __init__(self, steps):
        self.steps = steps

    def __call__(self, t):
        return min(1.0, (t + 1) / self.steps)


def drawn(name, **options):
    return st.tuples(st.just(name), st.fixed_dictionaries(options))


LAMBDAS = st.one_of(st.sampled_from([*FUNCTIONS]), st.integers(1, 5))
KINDS = [
    drawn("LambdaLR", lr_lambda=st.one_of(LAMBDAS, st.lists(LAMBDAS, min_size=2, max_size=2))),
    drawn("StepLR", step_size=st.integers(1, 7), gamma=FACTORS),
    drawn("MultiStepLR", milestones=st.lists(st.integers(0, 15), max_size=4), gamma=FACTORS),
    drawn("ConstantLR", factor=FACTORS, total_iters=st.integers(0, 15)),
    drawn("LinearLR", start_factor=FACTORS, end_factor=st.one_of(st.just(0.0), FACTORS), total_iters=st.integers(1, 9)),
    drawn("ExponentialLR", gamma=FACTORS),
    drawn("CosineAnnealingLR", T_max=st.integers(1, 9), eta_min=ETA_MIN),
    drawn("CosineAnnealingWarmRestarts", T_0=st.integers(1, 7), T_mult=st.integers(1, 3), eta_min=ETA_MIN),
]
SIMPLE = st.one_of(KINDS)
HEIGHTS = st.sampled_from([0.1, 1.0, [0.3, 0.5]])
ONE_CYCLE = drawn(
    "OneCycleLR",
    max_lr=HEIGHTS,
    total_steps=st.integers(18, 40),
    pct_start=st.sampled_from([0.0, 0.3, 0.55]),
    anneal_strategy=st.sampled_from(["cos", "linear"]),
    cycle_momentum=st.booleans(),
    base_momentum=st.sampled_from([0.5, [0.6, 0.7]]),
    max_momentum=st.sampled_from([0.9, [0.8, 0.95]]),
    div_factor=st.sampled_from([4.0, 25.0]),
    final_div_factor=st.sampled_from([10.0, 1e4]),
    three_phase=st.booleans(),
)
CHAINED = drawn("ChainedScheduler", schedulers=st.lists(SIMPLE, min_size=1, max_size=3))


@st.composite
def sequential(draw):
    first = draw(st.one_of(SIMPLE, ONE_CYCLE, CHAINED))
    rest = draw(st.lists(st.one_of(SIMPLE, ONE_CYCLE), max_size=2))
    milestones = sorted(draw(st.lists(st.integers(1, 14), min_size=len(rest), max_size=len(rest), unique=True)))
    return "SequentialLR", {"schedulers": [first, *rest], "milestones": milestones}


EVERY = st.one_of(SIMPLE, ONE_CYCLE, CHAINED, sequential())
PLATEAU = drawn(
    "ReduceLROnPlateau",
    mode=st.sampled_from(["min", "max"]),
    factor=st.sampled_from([0.1, 0.5]),
    patience=st.integers(0, 3),
    threshold=st.sampled_from([1e-4, 0.3]),
    threshold_mode=st.sampled_from(["rel", "abs"]),
    cooldown=st.integers(0, 2),
    min_lr=st.sampled_from([0, 0.2, [0.05, 0.4]]),
    eps=st.sampled_from([1e-8, 0.1]),
)
OPTIMIZERS = st.sampled_from(
    [("SGD", {"momentum": 0.9}), ("Adam", {"betas": (0.8, 0.99)}), ("RMSprop", {"momentum": 0.5})]
)


def new_optimizer(lib, optimizer=("SGD", {"momentum": 0.9}), tensor=False):
    """Of two groups, which have learning rates of their own."""
    name, options = optimizer
    rates = [lib.tensor(r, dtype=lib.float64) if tensor else r for r in (1.0, 0.25)]
    groups = [{"params": [lib.ones(2, requires_grad=True)], "lr": rate} for rate in rates]
    return getattr(lib.optim, name)(groups, **options)


def callable_of(spec):
    return FUNCTIONS[spec] if spec in FUNCTIONS else WarmUp(spec)


def build(lib, o, recipe, **more):
    name, options = recipe
    options = copy.deepcopy(options) | more
    kind = getattr(lib.optim.lr_scheduler, name)
    if "lr_lambda" in options:
        spec = options["lr_lambda"]
        options["lr_lambda"] = [callable_of(s) for s in spec] if isinstance(spec, list) else callable_of(spec)
    if "schedulers" in options:
        options["schedulers"] = [build(lib, o, inner) for inner in options["schedulers"]]
    return kind(**options) if name == "ChainedScheduler" else kind(o, **options)


def advance(o, scheduler, *metrics):
    o.step()
    scheduler.step(*metrics)


def seen(o, scheduler):
    groups = [
        {n: group.get(n) for n in ("lr", "initial_lr", "momentum", "betas", "max_lr", "min_lr", "base_momentum")}
        for group in o.param_groups
    ]
    return {
        "groups": groups,
        "last": scheduler.get_last_lr(),
        "epoch": getattr(scheduler, "last_epoch", None),
        "base": getattr(scheduler, "base_lrs", None),
    }


def same(a, b, path="", rtol=1e-13):
    """Equal in every key and value; numbers to the last digits, since the formulas are PyTorch's own."""
    if hasattr(a, "item") and hasattr(b, "item"):
        a, b = a.item(), b.item()
    if isinstance(a, dict):
        assert a.keys() == b.keys(), path
        for key in a:
            same(a[key], b[key], f"{path}.{key}", rtol)
    elif isinstance(a, (list, tuple)):
        assert type(a) is type(b) and len(a) == len(b), path
        for k, (x, y) in enumerate(zip(a, b, strict=True)):
            same(x, y, f"{path}[{k}]", rtol)
    elif isinstance(a, float):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-17, err_msg=path)
    else:
        assert type(a) is type(b) and a == b, (path, a, b)


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")  # by a chain in a sequence, in PyTorch too
@given(EVERY, OPTIMIZERS, st.booleans())
def test_eighteen_epochs(recipe, optimizer, tensor):
    pairs = []
    for lib in LIBRARIES:
        o = new_optimizer(lib, optimizer, tensor)
        pairs.append((o, build(lib, o, recipe)))
    for _ in range(18):
        same(*(seen(*pair) for pair in pairs))
        same(*(s.state_dict() for _, s in pairs))
        for pair in pairs:
            advance(*pair)
    same(*(seen(*pair) for pair in pairs))
    if tensor:
        assert all(isinstance(group["lr"], tn.Tensor) for group in pairs[0][0].param_groups)


@given(PLATEAU, st.lists(st.floats(-2, 2), max_size=18), st.booleans())
def test_plateau(recipe, metrics, tensor):
    pairs = []
    for lib in LIBRARIES:
        o = new_optimizer(lib, tensor=tensor)
        pairs.append((o, build(lib, o, recipe)))
    for metric in metrics:
        for lib, pair in zip(LIBRARIES, pairs, strict=True):
            advance(*pair, lib.tensor(metric, dtype=lib.float64))
        same(*(seen(*pair) for pair in pairs))
        same(*(s.state_dict() for _, s in pairs))
        assert pairs[0][1].in_cooldown == pairs[1][1].in_cooldown


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")  # saved before its first epoch
@given(st.one_of(EVERY, PLATEAU), OPTIMIZERS, st.integers(0, 9), st.sampled_from(["ours", "theirs", "copied"]))
def test_a_saved_schedule_goes_on_where_it_stood(recipe, optimizer, epochs, source):
    """Our schedule, loaded from its own state, from PyTorch's, or copied, as the one that never stopped."""
    metrics = [1.0] if recipe[0] == "ReduceLROnPlateau" else []
    pairs = []
    for lib in LIBRARIES:
        o = new_optimizer(lib, optimizer)
        pairs.append((o, build(lib, o, recipe)))
        for _ in range(epochs):
            advance(*pairs[-1], *metrics)
    if source == "copied":
        resumed = copy.deepcopy(pairs[0])
        if "Lambda" not in repr(recipe):
            resumed = pickle.loads(pickle.dumps(resumed))
        assert resumed[1].optimizer is resumed[0] is not pairs[0][0]
    else:
        o = new_optimizer(tn, optimizer)
        resumed = o, build(tn, o, recipe)
        o_from, s_from = pairs[source == "theirs"]
        groups = copy.deepcopy(o_from.state_dict()["param_groups"])
        o.load_state_dict({"state": {}, "param_groups": groups})
        saved = copy.deepcopy(s_from.state_dict())
        before = copy.deepcopy(saved)
        resumed[1].load_state_dict(saved)
        same(saved, before)
    for _ in range(8):
        advance(*pairs[0], *metrics)
        advance(*resumed, *metrics)
        same(seen(*pairs[0]), seen(*resumed))
    same(pairs[0][1].state_dict(), resumed[1].state_dict())


@pytest.mark.parametrize("k", range(len(KINDS) + 1))
@given(st.data(), st.integers(0, 6))
def test_going_on_at_last_epoch(k, data, epoch):
    recipe, pairs = data.draw([*KINDS, ONE_CYCLE][k]), []
    for lib in LIBRARIES:
        o = new_optimizer(lib)
        first = build(lib, o, recipe)
        for _ in range(epoch):
            advance(o, first)
        pairs.append((o, build(lib, o, recipe, last_epoch=epoch)))
    for _ in range(8):
        same(*(seen(*pair) for pair in pairs))
        same(*(s.state_dict() for _, s in pairs))
        for pair in pairs:
            advance(*pair)


@given(SIMPLE, st.lists(st.integers(0, 20), min_size=1, max_size=5))
@pytest.mark.filterwarnings("ignore:.*epoch parameter in `scheduler.step")
def test_a_given_epoch(recipe, epochs):
    pairs = []
    for lib in LIBRARIES:
        o = new_optimizer(lib)
        pairs.append((o, build(lib, o, recipe)))
    for epoch in epochs:
        for pair in pairs:
            advance(*pair, epoch)
        same(*(seen(*pair) for pair in pairs))


@given(st.integers(1, 5), st.integers(1, 3), st.lists(st.floats(0, 40), min_size=1, max_size=6))
def test_warm_restarts_between_epochs(T_0, T_mult, epochs):
    pairs = []
    for lib in LIBRARIES:
        o = new_optimizer(lib)
        pairs.append((o, lib.optim.lr_scheduler.CosineAnnealingWarmRestarts(o, T_0, T_mult)))
    for epoch in epochs:
        for pair in pairs:
            advance(*pair, epoch)
        same(*(s.state_dict() for _, s in pairs))


@given(SIMPLE, st.integers(1, 8))
def test_a_learning_rate_that_the_user_changes(recipe, when):
    pairs = []
    for lib in LIBRARIES:
        o = new_optimizer(lib)
        pairs.append((o, build(lib, o, recipe)))
    for k in range(12):
        for o, s in pairs:
            if k == when:
                o.param_groups[1]["lr"] = 7.0
            advance(o, s)
        same(*(seen(*pair) for pair in pairs))


# ---- signatures, errors, warnings
NAMES = [name for name in tn.optim.lr_scheduler.__all__]


@pytest.mark.parametrize("name", NAMES)
def test_signatures(name):
    ours, theirs = (inspect.signature(getattr(lib.optim.lr_scheduler, name)).parameters for lib in LIBRARIES)
    assert [(n, p.default, p.kind) for n, p in ours.items()] == [(n, p.default, p.kind) for n, p in theirs.items()]
    kinds = [getattr(lib.optim.lr_scheduler, name) for lib in LIBRARIES]
    assert issubclass(kinds[0], tn.optim.lr_scheduler.LRScheduler)
    steps = [[*inspect.signature(kind.step).parameters] for kind in kinds]
    assert steps[0] == steps[1]


def adam(lib):
    return lib.optim.Adam([lib.ones(2, requires_grad=True)], lr=0.1)


def resumed_without_initial_lr(lib, s):
    s.StepLR(adam(lib), 2, last_epoch=3)


def one_step_too_many(lib, s):
    o = adam(lib)
    scheduler = s.OneCycleLR(o, 0.1, total_steps=2)
    for _ in range(3):
        advance(o, scheduler)


def plateau_and_a_new_group(lib, s):
    o = adam(lib)
    scheduler = s.ReduceLROnPlateau(o, min_lr=[0.1], patience=0)
    o.add_param_group({"params": [lib.ones(2, requires_grad=True)]})
    for _ in range(3):
        scheduler.step(1.0)


BAD = {
    "no optimizer": lambda lib, s: s.StepLR("adam", 2),
    "no optimizer for a plateau": lambda lib, s: s.ReduceLROnPlateau(3),
    "no optimizer for a cycle": lambda lib, s: s.OneCycleLR(3, 0.1, 10),
    "no initial lr": resumed_without_initial_lr,
    "too many lambdas": lambda lib, s: s.LambdaLR(adam(lib), [float, float]),
    "constant above 1": lambda lib, s: s.ConstantLR(adam(lib), 1.5),
    "constant below 0": lambda lib, s: s.ConstantLR(adam(lib), -0.5),
    "linear from 0": lambda lib, s: s.LinearLR(adam(lib), 0.0),
    "linear from 2": lambda lib, s: s.LinearLR(adam(lib), 2.0),
    "linear to 2": lambda lib, s: s.LinearLR(adam(lib), 1.0, 2.0),
    "linear to -1": lambda lib, s: s.LinearLR(adam(lib), 1.0, -1.0),
    "T_0 of 0": lambda lib, s: s.CosineAnnealingWarmRestarts(adam(lib), 0),
    "T_0 of 1.5": lambda lib, s: s.CosineAnnealingWarmRestarts(adam(lib), 1.5),
    "T_mult of 0": lambda lib, s: s.CosineAnnealingWarmRestarts(adam(lib), 1, 0),
    "T_mult of 1.5": lambda lib, s: s.CosineAnnealingWarmRestarts(adam(lib), 1, 1.5),
    "eta_min as text": lambda lib, s: s.CosineAnnealingWarmRestarts(adam(lib), 1, 1, "0"),
    "negative epoch": lambda lib, s: s.CosineAnnealingWarmRestarts(adam(lib), 1).step(-1),
    "no total_steps": lambda lib, s: s.OneCycleLR(adam(lib), 0.1),
    "only epochs": lambda lib, s: s.OneCycleLR(adam(lib), 0.1, epochs=3),
    "total_steps of 0": lambda lib, s: s.OneCycleLR(adam(lib), 0.1, 0),
    "total_steps of 1.5": lambda lib, s: s.OneCycleLR(adam(lib), 0.1, 1.5),
    "epochs of 0": lambda lib, s: s.OneCycleLR(adam(lib), 0.1, epochs=0, steps_per_epoch=3),
    "steps_per_epoch of -1": lambda lib, s: s.OneCycleLR(adam(lib), 0.1, epochs=2, steps_per_epoch=-1),
    "pct_start of 2": lambda lib, s: s.OneCycleLR(adam(lib), 0.1, 10, pct_start=2.0),
    "pct_start of 1": lambda lib, s: s.OneCycleLR(adam(lib), 0.1, 10, pct_start=1),
    "anneal strategy": lambda lib, s: s.OneCycleLR(adam(lib), 0.1, 10, anneal_strategy="exp"),
    "two max_lrs": lambda lib, s: s.OneCycleLR(adam(lib), [0.1, 0.2], 10),
    "two momenta": lambda lib, s: s.OneCycleLR(adam(lib), 0.1, 10, base_momentum=[0.8, 0.9]),
    "no momentum": lambda lib, s: s.OneCycleLR(lib.optim.Adagrad([lib.ones(2, requires_grad=True)]), 0.1, 10),
    "one step too many": one_step_too_many,
    "factor of 1": lambda lib, s: s.ReduceLROnPlateau(adam(lib), factor=1.0),
    "two min_lrs": lambda lib, s: s.ReduceLROnPlateau(adam(lib), min_lr=[0.1, 0.2]),
    "mode": lambda lib, s: s.ReduceLROnPlateau(adam(lib), "best"),
    "threshold mode": lambda lib, s: s.ReduceLROnPlateau(adam(lib), threshold_mode="some"),
    "a new group": plateau_and_a_new_group,
    "a metric as text": lambda lib, s: s.ReduceLROnPlateau(adam(lib)).step("low"),
    "a plateau has no get_lr": lambda lib, s: s.ReduceLROnPlateau(adam(lib)).get_lr(),
    "nothing in sequence": lambda lib, s: s.SequentialLR(adam(lib), [], []),
    "nothing chained": lambda lib, s: s.ChainedScheduler([]),
    "no scheduler in sequence": lambda lib, s: s.SequentialLR(adam(lib), [1], []),
    "no scheduler chained": lambda lib, s: s.ChainedScheduler([1], adam(lib)),
    "milestones": lambda lib, s: (lambda o: s.SequentialLR(o, [s.StepLR(o, 2)], [3]))(adam(lib)),
    "another optimizer": lambda lib, s: s.SequentialLR(adam(lib), [s.StepLR(adam(lib), 2)], []),
    "two optimizers": lambda lib, s: s.ChainedScheduler([s.StepLR(adam(lib), 2), s.StepLR(adam(lib), 2)]),
    "a plateau in sequence": lambda lib, s: (lambda o: s.SequentialLR(o, [s.ReduceLROnPlateau(o)], []))(adam(lib)),
    "a plateau chained": lambda lib, s: s.ChainedScheduler([s.ReduceLROnPlateau(adam(lib))]),
    "the base": lambda lib, s: s.LRScheduler(adam(lib)),
}
OTHER_TEXT = {
    *("no initial lr", "a new group", "another optimizer", "two optimizers", "the base"),
    "a plateau has no get_lr",
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.filterwarnings("ignore:To get the last learning rate")
def test_errors(name):
    caught = []
    for lib in LIBRARIES:
        with pytest.raises(Exception) as info:
            BAD[name](lib, lib.optim.lr_scheduler)
        caught.append(info.value)
    assert type(caught[0]) is type(caught[1])
    if name not in OTHER_TEXT:
        assert str(caught[0]).startswith(str(caught[1]).rstrip("."))


def warned(run, *args):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run(*args)
    return [(w.category, re.match(r"[^:.]*", str(w.message))[0]) for w in caught]


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_warnings(name):
    results = []
    for lib in LIBRARIES:
        o = getattr(lib.optim, name)([lib.ones(2, requires_grad=True)], lr=0.1)
        scheduler = lib.optim.lr_scheduler.ExponentialLR(o, 0.5)
        other, plateau = lib.optim.lr_scheduler.StepLR(o, 2), lib.optim.lr_scheduler.ReduceLROnPlateau(o)
        calls = [
            scheduler.step,  # before o.step()
            scheduler.step,
            scheduler.get_lr,
            scheduler.get_last_lr,
            lambda plateau=plateau: plateau.step(1.0),
            o.step,
            other.step,
        ]
        results.append([warned(call) for call in calls])
    assert results[0] == results[1]
    assert [len(found) for found in results[0]] == [1, 0, 1, 0, 0, 0, 0]


def test_a_given_epoch_is_deprecated():
    results = []
    for lib in LIBRARIES:
        o = adam(lib)
        step, plateau = lib.optim.lr_scheduler.StepLR(o, 2), lib.optim.lr_scheduler.ReduceLROnPlateau(o)
        restarts = lib.optim.lr_scheduler.CosineAnnealingWarmRestarts(o, 2)
        o.step()
        results.append([len(warned(step.step, 3)), len(warned(plateau.step, 1.0, 3)), len(warned(restarts.step, 3))])
    assert results[0] == results[1] == [1, 1, 0]


def test_warnings_name_the_line_that_called():
    o = adam(tn)
    scheduler, plateau = tn.optim.lr_scheduler.StepLR(o, 2), tn.optim.lr_scheduler.ReduceLROnPlateau(o)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        scheduler.step()
        scheduler.get_lr()
        scheduler.step(3)
        plateau.step(1.0, 3)
    assert [w.filename for w in caught] == [__file__] * 4


def test_an_optimizer_of_ones_own_is_noticed_too():
    class Signs(tn.optim.Optimizer):
        def step(self):
            """Not the base's."""

    o = Signs([tn.ones(2)], {"lr": 1.0})
    scheduler = tn.optim.lr_scheduler.StepLR(o, 1)
    o.step()
    assert warned(scheduler.step) == []
    assert Signs.step.__doc__ == "Not the base's."


def test_a_schedule_of_ones_own():
    results = []
    for lib in LIBRARIES:

        class Halved(lib.optim.lr_scheduler.LRScheduler):
            def get_lr(self):
                return [group["lr"] / 2 for group in self.optimizer.param_groups]

        o = new_optimizer(lib)
        scheduler = Halved(o)
        for _ in range(3):
            advance(o, scheduler)
        results.append([scheduler.get_last_lr(), scheduler.state_dict()])
    same(*results)


def test_a_cycle_whose_way_up_is_one_step():
    """PyTorch divides by zero here."""
    o = adam(tn)
    scheduler = tn.optim.lr_scheduler.OneCycleLR(o, 0.5, total_steps=10, pct_start=0.1)
    assert scheduler.get_last_lr() == [0.5]
    for _ in range(9):
        advance(o, scheduler)
    assert math.isclose(scheduler.get_last_lr()[0], 0.5 / 25 / 1e4)
