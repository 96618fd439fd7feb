"""Pointwise ops against PyTorch: values, dtypes, first and second gradients, on drawn shapes and awkward values."""
import operator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinynet as tn

torch = pytest.importorskip("torch")

UNARY = [
    "neg", "abs", "sign", "exp", "expm1", "log", "log1p", "log2", "log10", "sqrt", "rsqrt", "square", "reciprocal",
    "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "sigmoid", "erf", "floor", "ceil", "round",
    "trunc", "isnan", "isinf", "isfinite", "logical_not", "nan_to_num",
]
BINARY = [
    "add", "sub", "mul", "div", "true_divide", "floor_divide", "remainder", "pow", "maximum", "minimum", "atan2",
    "eq", "ne", "lt", "le", "gt", "ge", "logical_and", "logical_or", "logical_xor",
]
AWKWARD = [0.0, -0.0, 1.0, -1.0, 0.5, 2.0, -2.5, 1e-30, 1e30, np.inf, -np.inf, np.nan]


def arrays(shape=None, elements=None):
    drawn = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)
    return hnp.arrays(np.float64, drawn if shape is None else shape, elements=elements or st.floats(-3, 3, width=32))


def same(ours, theirs, **tolerance):
    theirs = theirs.detach().numpy()
    ours = ours.detach().numpy()
    assert ours.dtype == theirs.dtype
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, **{"rtol": 1e-9, "atol": 1e-12, **tolerance})


def gradients(lib, y, xs):
    """First gradients, and the gradients of their sum of squares."""
    if not y.requires_grad:
        return []
    first = lib.autograd.grad(y.sum(), xs, create_graph=True, allow_unused=True)
    live = [g for g in first if g is not None and g.requires_grad]
    second = lib.autograd.grad(sum((g * g).sum() for g in live), xs, allow_unused=True) if live else [None] * len(xs)
    return [lib.zeros(1, dtype=lib.float64) if g is None else g for g in (*first, *second)]


def compare(name, arrays, **tolerance):
    ours = [tn.tensor(a, requires_grad=True) for a in arrays]
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
    y, ty = getattr(tn, name)(*ours), getattr(torch, name)(*theirs)
    same(y, ty, **tolerance)
    if name == "floor_divide":  # PyTorch has no derivative for it and says so late; ours is a constant from the start
        assert not y.requires_grad
        return
    for g, tg in zip(gradients(tn, y, ours), gradients(torch, ty, theirs), strict=True):
        np.testing.assert_allclose(*np.broadcast_arrays(g.detach().numpy(), tg.detach().numpy(force=True)),
                                   **{"rtol": 1e-7, "atol": 1e-9, **tolerance})


@pytest.mark.parametrize("name", UNARY)
@given(arrays())
def test_unary(name, a):
    if name in ("log", "log2", "log10", "sqrt", "rsqrt", "reciprocal"):
        a = np.abs(a) + 0.1
    elif name == "log1p":
        a = np.abs(a)
    elif name in ("asin", "acos"):
        a = a / 4
    elif name == "tan":
        a = a / 3
    compare(name, [a])


@pytest.mark.parametrize("name", UNARY)
def test_unary_on_awkward_values(name):
    a = np.array(AWKWARD)
    with np.errstate(all="ignore"):
        for dtype in (np.float64, np.float32):
            same(getattr(tn, name)(tn.tensor(a.astype(dtype))), getattr(torch, name)(torch.tensor(a.astype(dtype))),
                 rtol=1e-5 if dtype == np.float32 else 1e-12)


@pytest.mark.parametrize("name", BINARY)
@given(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, max_side=3, min_side=0), st.data())
def test_binary(name, shapes, data):
    a, b = (data.draw(arrays(s)) for s in shapes.input_shapes)
    if name == "pow":
        a = np.abs(a) + 0.1
    elif name in ("div", "true_divide", "floor_divide", "remainder", "atan2"):
        b = np.where(np.abs(b) < 0.1, 0.7, b)
    compare(name, [a, b])


@pytest.mark.parametrize("name", BINARY)
def test_binary_on_awkward_values(name):
    a, b = (g.reshape(-1) for g in np.meshgrid(AWKWARD, AWKWARD))
    with np.errstate(all="ignore"):
        same(getattr(tn, name)(tn.tensor(a), tn.tensor(b)), getattr(torch, name)(torch.tensor(a), torch.tensor(b)))


@pytest.mark.parametrize("exponent", [0, 1, 2, 3, -1, 0.5, 2.0, -2.5, 0.0])
def test_power_by_a_number(exponent):
    a = np.array([0.0, 0.5, 1.0, 3.0]) if exponent >= 0 else np.array([0.5, 1.0, 3.0])
    ours, theirs = tn.tensor(a, requires_grad=True), torch.tensor(a, requires_grad=True)
    same(ours ** exponent, theirs ** exponent)
    if exponent != 0.5:
        same(*[lib.autograd.grad((x ** exponent).sum(), x)[0] for lib, x in ((tn, ours), (torch, theirs))])
    same(2.0 ** ours, 2.0 ** theirs)
    same(*[lib.autograd.grad((2.0 ** x).sum(), x)[0] for lib, x in ((tn, ours), (torch, theirs))])


def test_the_gradient_of_pow_at_zero():
    for base, exponent in ((0.0, 0.0), (0.0, 2.0), (2.0, 0.0), (0.0, 1.0)):
        pairs = []
        for lib in (tn, torch):
            a, b = (lib.tensor(v, dtype=lib.float64, requires_grad=True) for v in (base, exponent))
            pairs.append(lib.autograd.grad(a ** b, (a, b)))
        for ours, theirs in zip(*pairs, strict=True):
            same(ours, theirs)


@given(arrays((2, 3)), arrays((3,)), arrays((2, 1)))
def test_ternary(a, b, c):
    compare("lerp", [a, np.broadcast_to(b, (2, 3)).copy(), np.broadcast_to(c, (2, 3)).copy()])
    compare("addcmul", [a, b, c])
    compare("clamp", [a, np.minimum(b, 0) - 0.05, np.maximum(c, 0) + 0.05])


@pytest.mark.parametrize("bounds", [(0, 1), (None, 1), (0, None), (1, 0), (-1.5, 0.5)])
def test_clamp_to_numbers(bounds):
    a = np.array([-2.0, -0.5, 0.0, 0.25, 1.0, 5.0, np.nan])
    same(tn.clamp(tn.tensor(a), *bounds), torch.clamp(torch.tensor(a), *bounds))
    low, high = bounds
    same(tn.clamp(tn.tensor(a), min=low, max=high), torch.clamp(torch.tensor(a), min=low, max=high))
    ints = np.array([-3, 0, 2, 7])
    same(tn.tensor(ints).clamp(*bounds), torch.tensor(ints).clamp(*bounds))


@pytest.mark.parametrize("name", ["maximum", "minimum"])
def test_ties_share_the_gradient(name):
    a = np.array([1.0, 2.0, 3.0])
    compare(name, [a, a.copy()])


@pytest.mark.parametrize("mode", [None, "floor", "trunc"])
@pytest.mark.parametrize("values", [([7, -7, 8], [2, 2, -3]), ([7.5, -7.5, 8.0], [2.0, 2.0, -3.0])])
def test_rounding_modes(mode, values):
    a, b = values
    same(*[lib.div(lib.tensor(a), lib.tensor(b), rounding_mode=mode) for lib in (tn, torch)])


def test_integers():
    a, b = [7, -7, 5, 0], [3, 3, -2, 4]
    for f in (lambda x, y: x // y, lambda x, y: x % y, lambda x, y: x & y, lambda x, y: x | y, lambda x, y: x ^ y,
              lambda x, y: ~x, lambda x, y: x ** 2, lambda x, y: -x, lambda x, y: abs(x), lambda x, y: 7 // y,
              lambda x, y: 7 % y, lambda x, y: 2 - x, lambda x, y: x == y, lambda x, y: x.clamp(min=y)):
        same(f(tn.tensor(a), tn.tensor(b)), f(torch.tensor(a), torch.tensor(b)))


REFUSED = {
    "shapes": lambda t: t.ones(2, 3) + t.ones(2),
    "integer by zero": lambda t: t.tensor([1]) // t.tensor([0]),
    "integer modulo zero": lambda t: t.tensor([1]) % 0,
    "integer to a negative power": lambda t: t.tensor([2]) ** -1,
    "bool minus bool": lambda t: t.tensor([True]) - t.tensor([True]),
    "minus a bool": lambda t: -t.tensor([True]),
    "a list": lambda t: operator.add(t.ones(2), [1, 2]),
    "a string": lambda t: t.ones(2) * "x",
    "a list as argument": lambda t: t.add(t.ones(2), [1, 2]),
    "None": lambda t: t.ones(2) * None,
    "clamp to nothing": lambda t: t.ones(2).clamp(),
    "rounding mode": lambda t: t.div(t.ones(2), 2, rounding_mode="up"),
    "bits of a float": lambda t: t.ones(2) & t.ones(2),
    "bits inverted": lambda t: ~t.ones(2),
    "too few": lambda t: t.add(t.ones(2)),
    "too many": lambda t: t.exp(t.ones(2), t.ones(2), t.ones(2), t.ones(2)),
    "unknown keyword": lambda t: t.exp(t.ones(2), spam=1),
    "in place, shape": lambda t: t.ones(2).add_(t.ones(3, 2)),
    "in place, dtype": lambda t: t.ones(2, dtype=t.int64).add_(1.5),
    "in place, leaf": lambda t: t.ones(2, requires_grad=True).mul_(2),
    "in place, expanded": lambda t: t.ones(1).expand(3).mul_(2),
    "allclose of two dtypes": lambda t: t.allclose(t.ones(2), t.ones(2, dtype=t.float64)),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_pytorch_refuses_we_refuse_with_its_type(case):
    with pytest.raises(Exception) as theirs:
        REFUSED[case](torch)
    with pytest.raises(theirs.type) as ours:
        REFUSED[case](tn)
    assert len(str(ours.value)) > 15
