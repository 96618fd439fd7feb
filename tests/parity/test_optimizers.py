"""Muon beside torch.optim's, and the options of the optimizers one by one."""

from __future__ import annotations

import inspect
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinynet as tn
from tinynet.optim import muon

torch = pytest.importorskip("torch")

SEEDS = st.integers(0, 2**32 - 1)
RATES = st.floats(1e-4, 1.0)
DECAYS = st.sampled_from([0.0, 1e-2, 0.5])
GROUPS = st.one_of(st.none(), st.fixed_dictionaries({"lr": RATES, "weight_decay": DECAYS}))
MATRICES = [(3, 2), (2, 3), (4, 4), (1, 5), (6, 2)]
MUON = st.fixed_dictionaries(
    {
        "lr": RATES,
        "weight_decay": DECAYS,
        "momentum": st.sampled_from([0.0, 0.5, 0.9]),
        "nesterov": st.booleans(),
        "ns_coefficients": st.sampled_from([(3.4445, -4.7750, 2.0315), (2.0, -1.5, 0.5)]),
        "eps": st.sampled_from([1e-7, 3.0]),
        "ns_steps": st.sampled_from([1, 5]),
        "adjust_lr_fn": st.sampled_from([None, "original", "match_rms_adamw"]),
    }
)


# ---- Muon: for matrices alone, and rounded on the way
@given(SEEDS, MUON, GROUPS)
def test_muon_without_rounding(pair, seed, options, groups):
    """Its formula: with the rounding taken out of both libraries they agree to the last digits."""
    exact = (
        patch.object(muon, "_bfloat16", lambda x: x),
        patch.object(torch.Tensor, "bfloat16", lambda x: x.clone()),
    )
    with exact[0], exact[1]:
        both = pair.Both(seed, "Muon", options, groups=groups, shapes=MATRICES)
        for _ in range(10):
            both.step()
            both.agree(rtol=1e-9)
        pair.same_layout(*(o.state_dict() for o in both.optimizers), rtol=1e-12)


@given(SEEDS, MUON, st.sampled_from(["float32", "float64"]))
def test_muon_with_rounding(pair, seed, options, dtype):
    """A sum taken in another order may round the other way, by a part in 256: no more than that."""
    both = pair.Both(seed, "Muon", options | {"lr": 1.0, "weight_decay": 0.0}, dtype, shapes=MATRICES)
    for _ in range(3):
        both.step()
    both.agree(rtol=0.02)


def test_rounding_is_that_of_bfloat16():
    rng = np.random.default_rng(0)
    bits = np.concatenate([rng.integers(0, 2**32, 1000), [0x3F808000, 0x3F818000, 0x7F800000, 0x7FFFFFFF, 0, 1]])
    x = bits.astype(np.uint32).view(np.float32)
    np.testing.assert_array_equal(muon._bfloat16(x), torch.tensor(x).bfloat16().float().numpy())


@given(SEEDS, MUON, st.booleans())
def test_muon_state_goes_from_one_library_to_the_other(pair, seed, options, to_torch):
    both = pair.Both(seed, "Muon", options, shapes=MATRICES)
    fresh = pair.Both(seed, "Muon", {"lr": 0.5}, shapes=MATRICES)
    both.step()
    ours, theirs = (o.state_dict() for o in both.optimizers)
    if to_torch:
        fresh.optimizers[1].load_state_dict(pair.converted(ours, torch.tensor))
    else:
        fresh.optimizers[0].load_state_dict(pair.converted(theirs, tn.tensor))
    there = fresh.optimizers[to_torch].state_dict()
    assert len(there["state"]) == len(ours["state"])
    if to_torch:
        pair.same_layout(ours, there, rtol=1e-12)
    else:
        pair.same_layout(there, theirs, rtol=1e-12)


# ---- options
NAMES = ["AdamW", "RMSprop", "Adagrad", "NAdam", "Muon"]


@pytest.mark.parametrize("name", NAMES)
def test_options_and_defaults(pair, name):
    ours, theirs = (inspect.signature(getattr(lib.optim, name)).parameters for lib in (tn, torch))
    expected = {n: p.default for n, p in theirs.items() if n not in pair.alone}
    assert {n: p.default for n, p in ours.items()} == expected
    assert [*ours] == [*expected]
    o, q = (getattr(lib.optim, name)([lib.ones(2, 2, requires_grad=True)]) for lib in (tn, torch))
    assert o.defaults == {n: v for n, v in q.defaults.items() if n not in pair.alone}
    pair.same_layout(o.state_dict(), q.state_dict(), rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_a_tensor_as_learning_rate(name):
    results = []
    for lib in (tn, torch):
        w = lib.ones(2, 2, requires_grad=True)
        o = getattr(lib.optim, name)([w], lr=lib.tensor(0.5))
        (w * w).sum().backward()
        o.step()
        results.append(w.tolist())
    np.testing.assert_allclose(*results, rtol=1e-5)


def bad(name, **options):
    return pytest.param(name, options, id=f"{name}-{'-'.join(options)}")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        *(bad(name, lr=-1.0) for name in NAMES),
        *(bad(name, lr=float("nan")) for name in NAMES),
        *(bad(name, weight_decay=-0.1) for name in NAMES),
        *(bad(name, eps=-1.0) for name in NAMES if name != "Muon"),
        bad("AdamW", betas=(1.0, 0.9)),
        bad("AdamW", amsgrad=True, betas=(0.9, -0.1)),
        bad("RMSprop", alpha=-0.1),
        bad("RMSprop", momentum=-0.1),
        bad("RMSprop", momentum=float("nan")),
        bad("Adagrad", lr_decay=-1.0),
        bad("Adagrad", initial_accumulator_value=-1.0),
        bad("NAdam", betas=(-0.5, 0.9)),
        bad("NAdam", betas=(0.5, 1.0)),
        bad("NAdam", momentum_decay=-1.0),
        bad("Muon", momentum=-0.5),
        bad("Muon", adjust_lr_fn="adam"),
        bad("RMSprop", beta=0.5),
    ],
)
def test_options_out_of_range(name, options):
    caught = []
    for lib in (tn, torch):
        with pytest.raises(Exception) as info:
            getattr(lib.optim, name)([lib.ones(2, 2, requires_grad=True)], **options)
        caught.append(info.value)
    assert type(caught[0]) is type(caught[1])
    assert str(caught[0]).startswith(str(caught[1]))


@pytest.mark.parametrize("name", NAMES)
def test_a_learning_rate_of_two(name):
    for lib in (tn, torch):
        with pytest.raises(ValueError, match="Tensor lr must be 1-element"):
            getattr(lib.optim, name)([lib.ones(2, 2, requires_grad=True)], lr=lib.ones(2))


@pytest.mark.parametrize("options", [{"ns_steps": 100}, {"ns_coefficients": (1.0, 2.0)}])
def test_muon_refuses_at_the_step(options):
    texts = []
    for lib in (tn, torch):
        w = lib.ones(2, 2, requires_grad=True)
        w.grad = lib.ones(2, 2)
        with pytest.raises(ValueError) as info:
            lib.optim.Muon([w], **options).step()
        texts.append(str(info.value))
    assert texts[0] == texts[1]


def test_muon_is_for_matrices():
    for lib in (tn, torch):
        with pytest.raises(ValueError, match="Muon only supports 2D parameters whereas we found a parameter with size"):
            lib.optim.Muon([lib.ones(2, 2, requires_grad=True), lib.ones(2, requires_grad=True)])
        o = lib.optim.Muon([lib.ones(2, 2, requires_grad=True)])
        b = lib.ones(3, requires_grad=True)
        o.add_param_group({"params": [b]})
        b.grad = lib.ones(3)
        with pytest.raises(ValueError, match="Param gradient must be a 2D matrix"):
            o.step()


def test_adamw_stays_decoupled_when_it_loads_what_adam_saved():
    for lib in (tn, torch):
        w = lib.ones(2, requires_grad=True)
        o = lib.optim.AdamW([w])
        o.load_state_dict(lib.optim.Adam([w], weight_decay=0.5).state_dict())
        assert o.param_groups[0]["decoupled_weight_decay"] and o.param_groups[0]["weight_decay"] == 0.5


def test_adagrad_takes_a_later_group():
    results = []
    for lib in (tn, torch):
        v, w = lib.ones(2, requires_grad=True), lib.ones(2, requires_grad=True)
        o = lib.optim.Adagrad([v], initial_accumulator_value=0.5)
        o.add_param_group({"params": [w], "initial_accumulator_value": 9.0})
        (v * w).sum().backward()
        o.step()
        results.append([v.tolist(), w.tolist(), o.state[w]["sum"].tolist()])
    np.testing.assert_allclose(*results, rtol=1e-6)
