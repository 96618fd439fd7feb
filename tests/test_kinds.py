"""What is said of things that are not of the kind they should be."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tinynet as tn
from tinynet.kinds import check_kind, check_known, count, number, positive


def test_what_fits():
    assert number("x", tn.tensor([2.5])) == number("x", np.float32(2.5)) == number("x", 2.5) == 2.5
    assert number("x", True) == 1.0 and math.isnan(number("x", math.nan))
    assert count("x", np.int64(3)) == 3 and count("x", 0) == 0
    assert type(positive("x", np.uint8(3))) is int and positive("x", 1) == 1
    here = {"lr": 0.1, "betas": (0.9, 0.99), "on": True, "name": "a", "step": tn.tensor(1.0), "w": tn.ones(2, 3),
            "best": math.nan, "weights": None, "rows": [], "loss": print}  # fmt: skip
    came = {"lr": tn.tensor(3), "betas": [0, 1, 2], "on": False, "name": "", "step": 7, "w": np.ones((2, 3), np.int8),
            "best": math.nan, "weights": "any", "rows": [None], "loss": len, "more": 1}  # fmt: skip
    check_kind("it", came, here)
    check_known("it", {"lr": 1}, here)


@pytest.mark.parametrize(("call", "error", "text"), [
    (lambda: number("lr", "0.1"), TypeError, r"^lr must be a number, got '0\.1'$"),
    (lambda: number("lr", None), TypeError, "lr must be a number, got None"),
    (lambda: number("lr", [1.0]), TypeError, r"lr must be a number, got \[1\.0\]"),
    (lambda: number("lr", tn.ones(2)), ValueError, r"lr must be one number, got a tensor of shape \(2,\)"),
    (lambda: number("lr", np.ones(0)), ValueError, r"lr must be one number, got a tensor of shape \(0,\)"),
    (lambda: number("lr", 10**400), ValueError, "lr must be a number that a float can hold, got 1000"),
    (lambda: count("epoch", True), TypeError, "epoch must be a whole number, got True"),
    (lambda: count("epoch", 1.0), TypeError, r"epoch must be a whole number, got 1\.0"),
    (lambda: count("epoch", -1), ValueError, "epoch must be a number from 0 on that can be counted to, got -1"),
    (lambda: count("epoch", 2**63), ValueError, "epoch must be a number from 0 on that can be counted to, got 9223"),
    (lambda: positive("epochs", 0), ValueError, "^epochs must be a whole number above 0, got 0$"),
    (lambda: positive("epochs", True), ValueError, "epochs must be a whole number above 0, got True"),
    (lambda: positive("epochs", 2.0), ValueError, r"epochs must be a whole number above 0, got 2\.0"),
    (lambda: check_kind("it", [], {}), TypeError, r"it must be a dict, got \[\]"),
    (lambda: check_kind("it", {}, {"a": 1}), KeyError, r"it has no 'a', only \[\]"),
    (lambda: check_kind("it", {"a": {"b": None}}, {"a": {"b": 1}}), TypeError, r"it\['a'\]\['b'\] must be a number, "),
    (lambda: check_kind("it", {}, []), TypeError, r"it must be a list, got \{\}"),
    (lambda: check_kind("it", [1, "2"], [0]), TypeError, r"it\[1\] must be a number, got '2'"),
    (lambda: check_kind("it", math.nan, 0.5), ValueError, "it must be a number, got nan"),
    (lambda: check_kind("it", 1, True), TypeError, "it must be of type bool, got 1"),
    (lambda: check_kind("it", "x", print), TypeError, "it must be of type builtin_function_or_method, got 'x'"),
    (lambda: check_kind("it", 1, tn.ones(2)), TypeError, r"it must be a tensor of shape \(2,\), got 1"),
    (lambda: check_kind("it", tn.ones(3), tn.ones(2)), ValueError, r"tensor of shape \(2,\), got one of \(3,\)"),
    (lambda: check_known("it", None, {"a": 1}), TypeError, "it must be a dict, got None"),
    (lambda: check_known("it", {"a": "x"}, {"a": 1, "b": 1}), TypeError, r"it\['a'\] must be a number, got 'x'"),
])  # fmt: skip
def test_what_does_not_is_named(call, error, text):
    with pytest.raises(error, match=text):
        call()
