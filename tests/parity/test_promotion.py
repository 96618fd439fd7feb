"""PyTorch's dtype rules: every pair of dtypes, with tensors, 0-d tensors and Python numbers."""
import itertools

import numpy as np
import pytest

import tinynet as tn

torch = pytest.importorskip("torch")

DTYPES = ["float16", "float32", "float64", "int8", "uint8", "int16", "int32", "int64", "bool"]
PAIRS = list(itertools.product(DTYPES, DTYPES))
OPS = {"add": lambda a, b: a + b, "mul": lambda a, b: a * b, "div": lambda a, b: a / b, "eq": lambda a, b: a == b,
       "where": None}


def both(dtype, shape):
    """Ones of the dtype in both libraries."""
    return tn.ones(shape, dtype=getattr(tn, dtype)), torch.ones(shape, dtype=getattr(torch, dtype))


def name(t):
    return str(t.dtype).removeprefix("torch.")


@pytest.mark.parametrize(("left", "right"), PAIRS)
@pytest.mark.parametrize("shapes", [((2,), (2,)), ((2,), ()), ((), ())])
def test_of_two_tensors(left, right, shapes):
    (a, ta), (b, tb) = both(left, shapes[0]), both(right, shapes[1])
    for op, f in OPS.items():
        ours, theirs = (f(a, b), f(ta, tb)) if f else (tn.where(a > 0, a, b), torch.where(ta > 0, ta, tb))
        assert name(ours) == name(theirs), (op, left, right)
        assert ours.shape == tuple(theirs.shape)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("number", [True, 2, 2.5])
@pytest.mark.parametrize("shape", [(2,), ()])
def test_of_a_tensor_and_a_number(dtype, number, shape):
    a, ta = both(dtype, shape)
    for op, f in OPS.items():
        if f is None:
            continue
        assert name(f(a, number)) == name(f(ta, number)), (op, dtype, number)
        assert name(f(number, a)) == name(f(number, ta)), (op, number, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("op", ["exp", "sqrt", "sin", "tanh", "sigmoid", "reciprocal", "log1p", "rsqrt", "erf"])
def test_functions_of_integers_are_float(dtype, op):
    a, ta = both(dtype, (2,))
    assert name(getattr(tn, op)(a)) == name(getattr(torch, op)(ta))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("op", ["abs", "neg", "sign", "floor", "square", "isnan", "sum", "prod", "cumsum", "argmax",
                                "amax"])
def test_functions_that_keep_or_widen(dtype, op):
    a, ta = both(dtype, (2,))
    args = (0,) if op == "cumsum" else ()
    try:
        theirs = getattr(torch, op)(ta, *args)
    except RuntimeError:
        with pytest.raises(RuntimeError):
            getattr(tn, op)(a, *args)
        return
    assert name(getattr(tn, op)(a, *args)) == name(theirs)


def test_a_number_never_widens_and_wraps_round():
    x = tn.tensor([250], dtype=tn.uint8)
    assert (x + 10).tolist() == (torch.tensor([250], dtype=torch.uint8) + 10).tolist() == [4]
    assert (tn.ones(2, dtype=tn.float16) * 1e300).dtype == tn.float16
    assert (tn.ones(2) + np.float64(1)).dtype == tn.float32


def test_the_default_dtype_can_be_changed():
    try:
        tn.set_default_dtype(tn.float64)
        assert tn.tensor([1.0]).dtype == tn.zeros(1).dtype == (tn.tensor([1]) / 2).dtype == tn.float64
    finally:
        tn.set_default_dtype(tn.float32)
    with pytest.raises(TypeError, match="only floating-point"):
        tn.set_default_dtype(tn.int64)
    assert tn.get_default_dtype() == tn.float32
