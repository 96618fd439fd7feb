"""Checkpoints whose checksum is right and whose contents are not: each part in turn is replaced by what it cannot be.
Either the training takes its next step all the same, or there is an error of ours, which says what is wrong."""

from __future__ import annotations

import copy
import linecache
import math
import os
import warnings
from itertools import product
from pathlib import Path

import numpy as np
import pytest

import tinynet as tn
from tinynet import nn
from tinynet.checkpoint import _encode, _write
from tinynet.optim import lr_scheduler as schedules
from tinynet.recipes import Run
from tinynet.recipes.evaluate import evaluate

PACKAGE = str(Path(tn.__file__).parent)
OURS = (ValueError, TypeError, KeyError, RuntimeError)
REMOVED = object()
LIES = [None, True, -1, 1e308, math.nan, "word", [], {}, REMOVED]


@pytest.fixture(autouse=True)
def no_wait_for_the_disk(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


# ---- the lies
def leaves(tree, path=()):
    """The paths to all parts of a JSON tree that have no parts."""
    parts = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    if not parts or (path and path[-1] in ("tensor", "array")):
        yield path
        return
    for key, part in parts:
        yield from leaves(part, (*path, key))


def replaced(tree, path, lie):
    """A copy of the tree, with the lie at the end of the path."""
    tree = copy.deepcopy(tree)
    place = tree
    for key in path[:-1]:
        place = place[key]
    if not path:
        return lie
    if lie is REMOVED:
        del place[path[-1]]
    else:
        place[path[-1]] = lie
    return tree


def other_tensors(t):
    """The tensor in other shapes and dtypes."""
    flat = t.reshape(-1)
    yield from (tn.cat([flat, flat[:1]]) if t.numel() else tn.zeros(3), t[None], flat[:0], tn.zeros(()))
    yield from (t.to(dtype) for dtype in (tn.bool, tn.uint8, tn.int64, tn.float16, tn.float64) if dtype != t.dtype)


def lies(obj):
    """(what was changed, tree, tensors) of all files that differ from that of obj in one thing."""
    tensors = {}
    tree = _encode(obj, (), tensors)
    for path in leaves(tree):
        whole = path[:-1] if path and path[-1] in ("tensor", "array") else path  # {"tensor": name} is one value
        for lie in LIES:
            if whole or lie is not REMOVED:
                yield (whole, lie), replaced(tree, whole, lie), tensors
    for name, t in tensors.items():
        for other in other_tensors(t):
            yield (name, other.dtype.name, other.shape), tree, tensors | {name: other}


def is_ours(error):
    """Raised by a `raise` of this library, as is what it was raised from; and it says something."""
    if isinstance(error, OSError):
        return error.filename is not None  # of data that are not there
    tb = error.__traceback__
    while tb.tb_next:
        tb = tb.tb_next
    name = tb.tb_frame.f_code.co_filename
    raised = linecache.getline(name, tb.tb_lineno).strip().startswith("raise")
    ours = isinstance(error, OURS) and name.startswith(PACKAGE) and raised and len(str(error)) > 10
    return ours and (error.__cause__ is None or is_ours(error.__cause__))


def outcomes(obj, use, path, every=1):
    """Use each file that differs from that of obj in one thing (or one of so many): how many did no harm, how many were
    refused, and what else happened."""
    harmless, refused, wrong = 0, 0, []
    for k, (what, tree, tensors) in enumerate(lies(obj)):
        if k % every:
            continue
        _write(tree, tensors, path)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                use(path)
            harmless += 1
        except Exception as error:
            refused += 1
            if not is_ours(error):
                wrong.append((what, repr(error)[:200]))
    return harmless, refused, wrong


# ---- what is loaded, and used for a step
MAKERS = {
    "SGD": lambda p: tn.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "Adam": lambda p: tn.optim.Adam(p, lr=0.1, amsgrad=True),
    "AdamW": lambda p: tn.optim.AdamW(p, lr=tn.tensor(0.1)),
    "NAdam": lambda p: tn.optim.NAdam(p),
    "RMSprop": lambda p: tn.optim.RMSprop(p, momentum=0.5, centered=True),
    "Adagrad": lambda p: tn.optim.Adagrad(p),
    "Muon": lambda p: tn.optim.Muon(p),
}
SCHEDULES = {
    "StepLR": lambda o: schedules.StepLR(o, 2),
    "MultiStepLR": lambda o: schedules.MultiStepLR(o, [1, 2, 2]),
    "ConstantLR": lambda o: schedules.ConstantLR(o, 0.5),
    "LinearLR": lambda o: schedules.LinearLR(o, 0.5),
    "ExponentialLR": lambda o: schedules.ExponentialLR(o, 0.5),
    "CosineAnnealingLR": lambda o: schedules.CosineAnnealingLR(o, 3),
    "CosineAnnealingWarmRestarts": lambda o: schedules.CosineAnnealingWarmRestarts(o, 2, 2),
    "OneCycleLR": lambda o: schedules.OneCycleLR(o, 0.1, 9),
    "ReduceLROnPlateau": lambda o: schedules.ReduceLROnPlateau(o, patience=0, min_lr=[0.0, 0.1]),
    "LambdaLR": lambda o: schedules.LambdaLR(o, [Half(), lambda t: 1.0]),
    "SequentialLR": lambda o: schedules.SequentialLR(o, [schedules.LinearLR(o), schedules.ExponentialLR(o, 0.5)], [1]),
    "ChainedScheduler": lambda o: schedules.ChainedScheduler([schedules.LinearLR(o), schedules.StepLR(o, 1)]),
}


class Half:
    def __init__(self):
        self.factor = 0.5

    def __call__(self, t):
        return self.factor / (1 + t)


def parts(optimizer, schedule=None):
    """Two groups of a parameter each, and their optimizer; and a schedule."""
    params = [tn.ones(2, 3, requires_grad=True), tn.ones(3, 3, requires_grad=True)]
    o = MAKERS[optimizer]([{"params": [p]} for p in params])
    return params, o, schedule and SCHEDULES[schedule](o)


def step(params, o, schedule):
    o.zero_grad()
    (params[0] @ params[1]).square().sum().backward()
    o.step()
    if schedule is not None:
        schedule.step(*[1.0] * isinstance(schedule, schedules.ReduceLROnPlateau))


SOME = pytest.mark.parametrize("every", [pytest.param(1, marks=pytest.mark.slow), 7])  # of so many lies one is told


@SOME
@pytest.mark.parametrize("how", [*((name,) for name in MAKERS), *(("SGD", name) for name in SCHEDULES)], ids="-".join)
def test_optimizers_and_schedules(tmp_path, how, every):
    made = parts(*how)
    for _ in range(2):
        step(*made)
    before, last = made[1].state_dict(), [part for part in made if part is not None][-1]

    def use(path):
        fresh = parts(*how)
        fresh[1].load_state_dict(before)
        fresh[len(how)].load_state_dict(tn.load(path))
        for _ in range(2):
            step(*fresh)

    harmless, refused, wrong = outcomes(last.state_dict(), use, tmp_path / "x", every)
    assert not wrong and harmless and refused > 30 / every, (harmless, refused, wrong)


@pytest.mark.parametrize(("how", "place", "lie", "error", "text"), [
    (("Adam",), ("param_groups", 1, "lr"), [], TypeError, r"param_groups\[1\]\['lr'\] must be a number, got \[\]"),
    (("Adam",), ("param_groups", 0, "betas"), "word", TypeError, r"\['betas'\] must be a list, got 'word'"),
    (("Adam",), ("param_groups", 0, "betas", 1), 1.0, ValueError, r"beta parameter at index 1: 1\.0; it must be in"),
    (("Adam",), ("param_groups", 0, "eps"), -1.0, ValueError, r"Invalid epsilon value: -1\.0; it must be >= 0"),
    (("Adam",), ("param_groups", 0, "amsgrad"), 1, TypeError, r"\['amsgrad'\] must be of type bool, got 1"),
    (("Adam",), ("param_groups", 0, "params"), [7], ValueError, r"state\[0\] is of no parameter: .* are \[7, 1\]"),
    (("Adam",), ("param_groups", 0, "params"), REMOVED, KeyError, r"\['param_groups'\]\[0\] has no 'params', only"),
    (("Adam",), ("state", 0, "step"), -3, ValueError, r"state\[0\]\['step'\] must be a number from 0 to .*, got -3"),
    (("Adam",), ("state", 0, "step"), "soon", TypeError, r"state\[0\]\['step'\] must be a number, got 'soon'"),
    (("Adam",), ("state", 0, "exp_avg"), tn.ones(2), ValueError, r"of shape \(2, 3\), got one of \(2,\)"),
    (("Adam",), ("state", 0, "exp_avg"), REMOVED, KeyError, r"state\[0\] has no 'exp_avg', only \['step', 'exp_avg_sq"),
    (("NAdam",), ("state", 0, "mu_product"), 1.5, ValueError, r"\['mu_product'\] must be a number from 0 to 1, got"),
    (("Muon",), ("param_groups", 0, "ns_steps"), 2.5, TypeError, r"ns_steps must be a whole number, got 2\.5"),
    (("SGD", "StepLR"), ("last_epoch",), "two", TypeError, r"StepLR\['last_epoch'\] must be a number, got 'two'"),
    (("SGD", "StepLR"), ("last_epoch",), 1e300, ValueError, r"last_epoch must be a number of epochs, got 1e\+300"),
    (("SGD", "StepLR"), ("step",), 3, TypeError, r"\['step'\] must be of type method, got 3"),
    (("SGD", "StepLR"), ("base_lrs",), [0.1], ValueError, "there are 1 base_lrs for 2 groups of parameters"),
    (("SGD", "LinearLR"), ("start_factor",), 3, ValueError, "Starting multiplicative factor expected .*, got 3"),
    (("SGD", "OneCycleLR"), ("_schedule_phases",), [], ValueError, "_schedule_phases has none"),
    (("SGD", "SequentialLR"), ("_schedulers",), [{}], ValueError, "SequentialLR has 2 schedules, got states of 1"),
    (("SGD", "SequentialLR"), ("_schedulers", 1, "last_epoch"), "two", TypeError, "ExponentialLR.*must be"),
    (("SGD", "ChainedScheduler"), ("_last_lr",), "two", TypeError, "ChainedScheduler.'_last_lr'. must be"),
])  # fmt: skip
def test_what_is_said(how, place, lie, error, text):
    """And nothing is loaded."""
    made, fresh = parts(*how), parts(*how)
    step(*made)
    state = copy.deepcopy(made[len(how)].state_dict())
    spot = state
    for key in place[:-1]:
        spot = spot[key]
    if isinstance(spot, tuple):
        state["param_groups"][place[1]]["betas"] = [0.9, lie]
    elif lie is REMOVED:
        del spot[place[-1]]
    else:
        spot[place[-1]] = lie
    before = repr(fresh[len(how)].state_dict())
    with pytest.raises(error, match=text):
        fresh[len(how)].load_state_dict(state)
    assert repr(fresh[len(how)].state_dict()) == before


def test_what_pytorch_writes_too():
    """Steps as numbers, options of its own, names, state of no parameter's; no momentum yet; betas from JSON."""
    p = tn.ones(2, requires_grad=True)
    o = tn.optim.Adam([p])
    group = {**o.state_dict()["param_groups"][0], "foreach": None, "fused": None, "betas": [0, 0.9], "lr": tn.ones(1)}
    state = {"step": 3, "exp_avg": tn.zeros(2, dtype=tn.float64), "exp_avg_sq": tn.ones(2), "extra": "any"}
    o.load_state_dict({"state": {0: state, "global": {"n": 1}}, "param_groups": [group]})
    p.sum().backward()
    o.step()
    assert o.state[p]["step"].item() == 4 and o.state["global"] == {"n": 1} and o.param_groups[0]["fused"] is None
    o = tn.optim.SGD([p], momentum=0.9)
    o.load_state_dict({"state": {0: {"momentum_buffer": None}}, "param_groups": o.state_dict()["param_groups"]})
    o.step()
    assert tn.equal(o.state[p]["momentum_buffer"], tn.ones(2))


def data():
    g = tn.Generator().manual_seed(0)
    return tn.randn(12, 2, generator=g), tn.randint(3, (12,), generator=g)


def training(folder, *callbacks, **kwargs):
    model = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 3))
    o = tn.optim.Adam(model.parameters(), lr=0.01)
    schedule = schedules.OneCycleLR(o, 0.1, 20)
    t = tn.Trainer(model, nn.CrossEntropyLoss(), o, ["accuracy"], schedule, scheduler_each="batch")
    stop = tn.EarlyStopping("loss", patience=9, restore_best_weights=True)
    callbacks = [*callbacks, stop, tn.CSVLogger(folder / "log.csv"),
                 tn.ModelCheckpoint(folder / "saved", "loss", save_best_only=True)]
    t.fit(*data(), batch_size=4, verbose=False, callbacks=callbacks, **kwargs)
    return t


class Halt(Exception):
    pass


@SOME
def test_trainings(tmp_path, every):
    def save(batch, logs):
        t = told.trainer
        if (t.epoch, batch) == (1, 1):
            t.save_checkpoint(tmp_path / "whole")
            raise Halt

    told = tn.LambdaCallback(on_train_batch_end=save)
    with pytest.raises(Halt):
        training(tmp_path, told, epochs=2)
    harmless, refused, wrong = outcomes(
        tn.load(tmp_path / "whole"), lambda path: training(tmp_path, epochs=2, resume_from=path), tmp_path / "x", every)
    assert not wrong and harmless > 200 / every and refused > 600 / every, (harmless, refused, wrong)


def test_streams_of_random_numbers():
    """A stream goes on from any state, or says that it is none."""
    state = tn.Generator().manual_seed(1).get_state()
    for k, value in product(range(len(state)), (0, 1, 127, 255)):
        other = state.copy()
        other[k] = value
        try:
            tn.rand(3, generator=tn.Generator().set_state(other))
        except RuntimeError as error:
            assert is_ours(error) and ("increment" in str(error) or "half a word" in str(error))
    for lie in (*LIES, state[:-1], state.astype(np.int64), state[None], tn.zeros(48), [0] * 48, b"0" * 48):
        with pytest.raises((TypeError, RuntimeError)) as caught:
            tn.Generator().set_state(lie)
        assert is_ours(caught.value)
        with pytest.raises((TypeError, RuntimeError)) as caught:
            tn.set_rng_state(lie)
        assert is_ours(caught.value)


RECIPES = {
    "housing": ({"network": "mlp"}, 1),
    "names-lstm": ({"count": 1, "start": "z"}, 4),
    "distill": ({"base": {"name": "digits-cnn", "data": None, "options": {}}}, 1),
    "digits-cnn": ({}, 3),
}


@SOME
@pytest.mark.parametrize("name", RECIPES)
def test_models_of_recipes(tmp_path, name, every):
    options, seldom = RECIPES[name]
    run = Run.of(name, output=tmp_path, options=options, evaluating=name == "distill")  # whose large network is there
    run.load()
    run.save(run.network(), tn.History(), {})
    obj = tn.load(tmp_path / f"{name}.ckpt")
    harmless, refused, wrong = outcomes(obj, evaluate, tmp_path / "x", every * seldom)
    assert not wrong and refused > 20 / every, (harmless, refused, wrong)
