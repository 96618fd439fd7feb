"""Every primitive: its first and second derivatives, at arguments that Hypothesis draws; and that none is forgotten."""

from __future__ import annotations

import contextlib
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinynet as tn
from tinynet import proofs
from tinynet.drawing import Call, Drawer, call
from tinynet.ops._primitive import PRIMITIVES, primitive
from tinynet.proofs import PROOFS, VALUES


def drawers():
    """Drawers whose sizes and options are Hypothesis's to choose, so that a failure is shrunk to the smallest."""
    return st.builds(lambda seed, data: Drawer(seed, lambda low, high: data.draw(st.integers(low, high))),
                     st.integers(0, 2**32 - 1), st.data())


def test_every_primitive_has_an_entry():
    assert sorted(PRIMITIVES) == sorted([*PROOFS, *VALUES])


def test_an_op_has_a_value_check_just_if_it_has_no_rule():
    assert {name for name, op in PRIMITIVES.items() if not op.written} == set(VALUES)


@pytest.mark.parametrize("name", sorted(PROOFS))
@settings(max_examples=5, deadline=None, database=None)
@given(d=drawers())
def test_derivatives(name, d):
    """Both orders, and that the two readings of each rule agree, on arrays and on tensors."""
    first, second = proofs.orders(PRIMITIVES[name], PROOFS[name](d))
    assert proofs.right(first), first
    assert proofs.right(second), second


@pytest.mark.parametrize("name", sorted(VALUES))
@settings(max_examples=10, deadline=None, database=None)
@given(d=drawers())
def test_values_of_ops_without_a_derivative(name, d):
    draw, reference = VALUES[name]
    assert not proofs.same_value(PRIMITIVES[name], draw(d), reference)


@pytest.mark.parametrize("name", sorted(PROOFS))
def test_every_argument_with_a_rule_is_differentiated_in_some_draw(name):
    op, seen = PRIMITIVES[name], set()
    names = [*op.params, *[op.varargs] * 5]
    for seed in range(40):
        drawn = PROOFS[name](Drawer(seed))
        _, tensors = proofs.differentiate(op, drawn)
        assert tensors
        seen |= {names[k] for k, a in enumerate(drawn.args) if isinstance(a, np.ndarray) and a.dtype == np.float64}
    assert set(op.written) <= seen


# ---- the proof itself
@contextlib.contextmanager
def wrong_op():
    @primitive
    def wrong(xp, a):
        return xp.sin(a)

    wrong.vjp(a=lambda g, a: g * tn.ops.cos(a) * 1.00001)
    PROOFS["wrong"] = lambda d: call(d.normal(2))
    try:
        yield
    finally:
        del PRIMITIVES["wrong"]
        PROOFS.pop("wrong", None)


def test_the_table_and_the_exit_status(capsys):
    assert proofs.main(["tanh", "argmax"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0].split() == ["op", "first", "order", "second", "order", "worst", "error", "time"]
    assert out.splitlines()[1].split()[:3] == ["tanh", "pass", "pass"]
    assert "1 ops differentiated twice, 1 without a derivative compared with NumPy" in out
    assert proofs.main(["nonsense", "conv"]) == 2
    assert "error: no op is called nonsense, conv (did you mean 'conv2d'?); there are abs, " in capsys.readouterr().err


def test_a_wrong_rule_fails_the_proof_though_gradcheck_would_let_it_pass(capsys):
    with wrong_op():
        func, tensors = proofs.differentiate(PRIMITIVES["wrong"], PROOFS["wrong"](Drawer(0)))
        assert tn.gradcheck(func, tensors), "an error of 1e-5 is within gradcheck's tolerance"
        assert proofs.main(["sin", "wrong"]) == 1
        out = capsys.readouterr().out
        assert "1 FAILED: wrong" in out
        assert "The worst relative error is 1.0e-05" in out
        assert proofs.main(["wrong"], json=True) == 1
        (row,) = json.loads(capsys.readouterr().out)
        assert row["op"] == "wrong" and row["first"] == "FAIL" and not row["ok"]


def test_an_op_without_an_entry_fails(capsys):
    with wrong_op():
        del PROOFS["wrong"]
        assert proofs.main(["wrong"]) == 1
    assert "no entry in tinynet.proofs" in capsys.readouterr().out


def test_a_wrong_value_fails(capsys, monkeypatch):
    monkeypatch.setitem(VALUES, "argmax", (VALUES["argmax"][0], lambda a, dim, keepdim: np.argmin(a, dim)))
    assert proofs.main(["argmax"]) == 1
    assert "argmax gives" in capsys.readouterr().out


def test_the_table_as_text():
    rows = proofs.prove_all(["exp", "eq"])
    text = proofs.table(rows)
    assert all(p.ok for p in rows)
    assert text.startswith(proofs.HEADER) and "Everything is right." in text
    assert isinstance(PROOFS["exp"](Drawer(0)), Call)
