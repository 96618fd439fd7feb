"""Reductions and sorting against PyTorch: values, dtypes, errors, and gradients of first and second order."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinynet as tn

torch = pytest.importorskip("torch")

FEW = settings(max_examples=15)
TOLERANCE = {"float64": 1e-10, "float32": 2e-5, "float16": 2e-3}
SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)
ONE_OR_NONE, ONE, ANY = "one or none", "one", "any"
OF_DIMS: dict[str, tuple[str, Callable[..., Any]]] = {
    "sum": (ANY, lambda f, x, d: f.sum(x, **d)),
    "mean": (ANY, lambda f, x, d: f.mean(x, **d)),
    "amax": (ANY, lambda f, x, d: f.amax(x, **d)),
    "amin": (ANY, lambda f, x, d: f.amin(x, **d)),
    "var": (ANY, lambda f, x, d: f.var(x, **d)),
    "var, correction 0": (ANY, lambda f, x, d: f.var(x, correction=0, **d)),
    "std": (ANY, lambda f, x, d: f.std(x, **d)),
    "var_mean, correction 0.5": (ANY, lambda f, x, d: f.var_mean(x, correction=0.5, **d)),
    "std_mean": (ANY, lambda f, x, d: f.std_mean(x, **d)),
    "logsumexp": (ANY, lambda f, x, d: f.logsumexp(x, **{"dim": tuple(range(x.ndim)), **d}) if x.ndim else x),
    "norm inf": (ANY, lambda f, x, d: f.norm(x, math.inf, **d)),
    "norm -inf": (ANY, lambda f, x, d: f.norm(x, -math.inf, **d)),
    "norm 1": (ANY, lambda f, x, d: f.norm(x, 1, **d)),
    "prod": (ONE_OR_NONE, lambda f, x, d: f.prod(x, **d)),
    "max": (ONE_OR_NONE, lambda f, x, d: f.max(x, **d)),
    "min": (ONE_OR_NONE, lambda f, x, d: f.min(x, **d)),
    "cumsum": (ONE, lambda f, x, d: f.cumsum(x, d["dim"])),
    "cumprod": (ONE, lambda f, x, d: f.cumprod(x, d["dim"])),
    "sort": (ONE, lambda f, x, d: f.sort(x, dim=d["dim"], stable=True)),
    "sort, descending": (ONE, lambda f, x, d: f.sort(x, dim=d["dim"], stable=True, descending=True)),
}
NO_GRADIENT: dict[str, tuple[str, Callable[..., Any]]] = {
    "all": (ANY, lambda f, x, d: f.all(x, **d)),
    "any": (ANY, lambda f, x, d: f.any(x, **d)),
    "norm 0": (ANY, lambda f, x, d: f.norm(x.detach().to(f.float32), 0, **d)),
    "count_nonzero": (ANY, lambda f, x, d: f.count_nonzero(x, dim=d.get("dim"))),
    "argmax": (ONE_OR_NONE, lambda f, x, d: f.argmax(x, **d)),
    "argmin": (ONE_OR_NONE, lambda f, x, d: f.argmin(x, **d)),
    "argsort": (ONE, lambda f, x, d: f.argsort(x, dim=d["dim"], stable=True)),
}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """PyTorch warns of a variance with no degrees of freedom; both give nan."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*degrees of freedom")
        yield


@st.composite
def dims_of(draw: Any, ndim: int, kind: str) -> dict[str, Any]:
    """Keyword arguments dim= and keepdim=, or neither."""
    n = max(ndim, 1)
    one = st.integers(-n, n - 1)
    some = st.lists(st.integers(0, n - 1), min_size=1, unique=True).map(tuple)
    dim = draw({ONE: one, ONE_OR_NONE: st.none() | one, ANY: st.none() | one | some}[kind])
    return {} if dim is None else {"dim": dim} | ({"keepdim": True} if draw(st.booleans()) else {})


def values(shape: tuple[int, ...], dtype: str = "float64", low: int = -3, high: int = 3) -> Any:
    """Small numbers, exact in every dtype, with zeros and ties among them."""
    return hnp.arrays(dtype, shape, elements=st.integers(low, high))


def outputs(result: Any) -> list[Any]:
    return list(result) if isinstance(result, (tuple, list)) else [result]


def weights(shape: Any, dtype: str) -> np.ndarray:
    n = math.prod(shape)
    return (np.sin(1.0 + 2.0 * np.arange(n)).reshape(shape)).astype(dtype)


def same(ours: Any, theirs: Any, what: str) -> None:
    a, b = ours.detach().numpy(), theirs.detach().numpy(force=True)
    assert a.shape == b.shape, what
    assert a.dtype == b.dtype, what
    tolerance = TOLERANCE.get(b.dtype.name, 0)
    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance, err_msg=what)


def gradient(f: Any, ys: list[Any], x: Any, wrap: Callable[[np.ndarray], Any]) -> Any:
    """The gradient of a weighted sum of the outputs; zeros where nothing depends on x."""
    total: Any = 0.0
    for y in ys:
        if y.requires_grad:
            total = total + (y * wrap(weights(tuple(y.shape), y.detach().numpy().dtype.name))).sum()
    if isinstance(total, float) or not total.requires_grad:
        return f.zeros_like(x)
    (g,) = f.autograd.grad(total, [x], create_graph=True, allow_unused=True)
    return f.zeros_like(x) if g is None else g


def agree(op: Callable[[Any, Any], Any], a: np.ndarray, orders: int = 2) -> None:
    """Both libraries raise the same error, or give the same values and the same gradients."""
    x, y = tn.tensor(a), torch.tensor(a)
    if a.dtype.kind == "f" and orders:
        x.requires_grad_()
        y.requires_grad_()
    try:
        theirs = op(torch, y)
    except Exception as error:
        kind = type(error)
        with pytest.raises(kind):
            op(tn, x)
        return
    ours, theirs = outputs(op(tn, x)), outputs(theirs)
    assert len(ours) == len(theirs)
    for k, (o, t) in enumerate(zip(ours, theirs, strict=True)):
        same(o, t, f"output {k}")
    for order in range(1, orders + 1 if a.dtype.kind == "f" else 1):
        ours, theirs = [gradient(tn, ours, x, tn.tensor)], [gradient(torch, theirs, y, torch.tensor)]
        same(ours[0], theirs[0], f"gradient of order {order}")
        if theirs[0].isnan().any():
            return  # what is the derivative of nan?


@pytest.mark.parametrize("name", OF_DIMS)
@FEW
@given(st.data())
def test_values_and_gradients(name: str, data: st.DataObject) -> None:
    kind, op = OF_DIMS[name]
    a = data.draw(SHAPES.flatmap(values))
    d = data.draw(dims_of(a.ndim, kind))
    agree(lambda f, x: op(f, x, d), a)


@pytest.mark.parametrize("name", [*OF_DIMS, *NO_GRADIENT])
@FEW
@given(st.data())
def test_other_dtypes(name: str, data: st.DataObject) -> None:
    kind, op = {**OF_DIMS, **NO_GRADIENT}[name]
    floats_only = name.startswith(("mean", "var", "std", "norm")) and name != "norm 0"  # in PyTorch
    dtypes = ["float32"] if floats_only else ["float32", "uint8", "int8", "int64", "bool"]
    dtype = data.draw(st.sampled_from(dtypes))
    low = 0 if dtype in ("bool", "uint8") else -3
    a = data.draw(SHAPES.flatmap(lambda shape: values(shape, dtype, low, high=1)))
    d = data.draw(dims_of(a.ndim, kind))
    agree(lambda f, x: op(f, x, d), a, orders=0 if name in NO_GRADIENT else 2)


@pytest.mark.parametrize("p", [2, "fro", 3, 1.5, 0.5, -1, -2.5])
@FEW
@given(st.data())
def test_norm(p: float | str, data: st.DataObject) -> None:
    """PyTorch's second derivative is nan where an element is zero."""
    zeros = data.draw(st.booleans())
    a = data.draw(SHAPES.flatmap(lambda shape: values(shape, low=0 if zeros else 1)))
    a = a * (1 - 2 * (np.arange(a.size) % 2)).reshape(a.shape)
    d = data.draw(dims_of(a.ndim, ANY if p != "fro" else ONE_OR_NONE))
    agree(lambda f, x: f.norm(x, p, **d), a, orders=1 if zeros else 2)


@FEW
@given(st.data())
def test_median(data: st.DataObject) -> None:
    """Along a dim all elements differ: which of several equal ones PyTorch names is left open."""
    shape = data.draw(SHAPES)
    n = math.prod(shape)
    a = np.array(data.draw(st.permutations(range(n))), "float64").reshape(shape) - n // 2
    d = data.draw(dims_of(a.ndim, ONE_OR_NONE))
    agree(lambda f, x: f.median(x, **d), a)
    agree(lambda f, x: f.median(x, **d), a.astype("int32") if d or n else np.ones((), "int32"))
    agree(lambda f, x: f.median(x), data.draw(values(shape)))


@FEW
@given(st.data())
def test_topk(data: st.DataObject) -> None:
    shape = data.draw(SHAPES)
    a = np.array(data.draw(st.permutations(range(math.prod(shape)))), "float64").reshape(shape)
    dim = data.draw(dims_of(a.ndim, ONE))["dim"]
    k, largest = data.draw(st.integers(-1, 4)), data.draw(st.booleans())
    agree(lambda f, x: f.topk(x, k, dim, largest), a)


@FEW
@given(st.data())
def test_unique(data: st.DataObject) -> None:
    a = data.draw(SHAPES.flatmap(values)).astype(data.draw(st.sampled_from(["float64", "int64", "bool"])))
    asked = {k: True for k in ("return_inverse", "return_counts") if data.draw(st.booleans())}
    dim = data.draw(st.none() | st.integers(-a.ndim, a.ndim - 1)) if a.ndim else None
    agree(lambda f, x: f.unique(x, dim=dim, **asked), a, orders=0)


@FEW
@given(st.data())
def test_bincount(data: st.DataObject) -> None:
    dtype = data.draw(st.sampled_from(["int64", "uint8"]))
    a = data.draw(hnp.arrays(dtype, st.integers(0, 6), elements=st.integers(0, 5)))
    minlength = data.draw(st.integers(-1, 8))
    w = data.draw(st.sampled_from([None, "float32", "float64", "float16", "int64"])) if a.size else None
    weigh = lambda f: None if w is None else f.tensor(weights(a.shape, "float64").astype(w))  # noqa: E731
    agree(lambda f, x: f.bincount(x, weigh(f), minlength), a)


NAN, INF = math.nan, math.inf


ROWS = [[1.0, NAN, 3.0], [NAN, 1.0, NAN], [INF, 1.0, -INF], [-INF, -INF, -INF]]


@pytest.mark.parametrize("row", ROWS, ids=str)
@pytest.mark.parametrize("name", [n for n in OF_DIMS | NO_GRADIENT if n[:4] not in ("norm", "amax", "amin")])
def test_nan_and_inf_travel(name: str, row: list[float]) -> None:
    kind, op = {**OF_DIMS, **NO_GRADIENT}[name]
    a = np.array([row, [1.0, 2.0, 3.0]])
    for dim in (0, 1) if kind == ONE else (0, 1, None):
        if "_mean" in name and INF in np.abs(a):
            continue  # the mean is infinite, in PyTorch nan
        orders = 0 if name in NO_GRADIENT or "prod" in name else 1  # PyTorch divides by the nan
        agree(lambda f, x, d={} if dim is None else {"dim": dim}: op(f, x, d), a, orders)


@pytest.mark.parametrize("name", ["median", "topk", "unique", "amax", "amin", "norm"])
def test_nan_in_the_others(name: str) -> None:
    a = np.array([[1.0, NAN, 3.0, 2.0], [4.0, 1.0, 5.0, 2.0]])
    along: dict[str, Callable[..., Any]] = {}
    along |= {"topk": lambda f, x: f.topk(x, 2), "median": lambda f, x: f.median(x, 1)}
    agree(along.get(name, lambda f, x: getattr(f, name)(x)), a, orders=1 if name in along else 0)
    agree(lambda f, x: f.median(x), a, orders=1)


@pytest.mark.parametrize("big", [1e4, -1e4, 0.0])
def test_logsumexp_far_out(big: float) -> None:
    a = np.array([[big, big + 1, big - 1], [-INF, big, 0.0], [-INF, -INF, 0.0]])
    agree(lambda f, x: f.logsumexp(x, 1), a)


ZEROS = [[2.0, 3.0, 4.0], [2.0, 0.0, 4.0], [0.0, 3.0, 0.0], [0.0, 0.0, 0.0]]


PRODUCTS: list[Callable[..., Any]] = [
    lambda f, x: f.prod(x, 1),
    lambda f, x: f.prod(x),
    lambda f, x: f.cumprod(x, 1),
    lambda f, x: f.cumprod(x, 0),
]


@pytest.mark.parametrize("op", PRODUCTS, ids=["prod 1", "prod", "cumprod 1", "cumprod 0"])
def test_products_with_zeros(op: Callable[..., Any]) -> None:
    agree(op, np.array(ZEROS), orders=3)
    for row in ZEROS:
        agree(op, np.array([row]), orders=3)


@pytest.mark.parametrize("dtype", ["float16", "float32", "int64"])
@pytest.mark.parametrize("to", ["float64", "float32", "int32"])
@pytest.mark.parametrize("op", ["sum", "mean", "prod", "cumsum", "cumprod"])
def test_dtype(op: str, dtype: str, to: str) -> None:
    a = np.array([[1.5, 0.1, 2.0], [3.0, 0.7, 1.9]]).astype(dtype)
    agree(lambda f, x: getattr(f, op)(x, 0, dtype=getattr(f, to)), a, orders=2 if "float" in to else 0)


HALF: list[Callable[..., Any]] = [
    lambda f, x: f.sum(x / 400),
    lambda f, x: f.mean(x),
    lambda f, x: f.cumsum(x / 400, 0),
    lambda f, x: f.norm(x),
    lambda f, x: f.norm(x / 400, 1),
    lambda f, x: f.logsumexp(x, 0),
    lambda f, x: f.std(x, correction=0),
]


@pytest.mark.parametrize("n", [1, 2, 3000])
def test_half_precision(n: int) -> None:
    for a in (np.full(n, 1.0, "float16"), np.linspace(100, 500, n).astype("float16")):
        for op in HALF:
            agree(op, a, orders=1)
        agree(lambda f, x: f.norm(x, 3), a, orders=0)  # PyTorch's gradient overflows


FORMS: dict[str, Callable[..., Any]] = {
    "sum(1, True)": lambda f, x: x.sum(1, True),
    "mean((0, 1))": lambda f, x: x.mean((0, 1)),
    "mean([0, -1])": lambda f, x: x.mean([0, -1]),
    "var(False)": lambda f, x: x.var(False),
    "var(1, False)": lambda f, x: x.var(1, False),
    "var(1, False, True)": lambda f, x: x.var(1, False, True),
    "var(0, unbiased=False)": lambda f, x: f.var(x, 0, unbiased=False),
    "var(dim=(0, 1), unbiased=True)": lambda f, x: f.var(x, dim=(0, 1), unbiased=True),
    "var(correction=0.5)": lambda f, x: x.var(correction=0.5),
    "var twice": lambda f, x: x.var(0, unbiased=True, correction=1),
    "std(unbiased=False)": lambda f, x: x.std(unbiased=False),
    "std(0, keepdim)": lambda f, x: f.std(x, 0, keepdim=True, correction=0),
    "std_mean(False)": lambda f, x: f.std_mean(x, False),
    "var_mean(0, True)": lambda f, x: f.var_mean(x, 0, True),
    "max(1, True)": lambda f, x: x.max(1, True),
    "max(dim=0).values": lambda f, x: f.max(x, dim=0).values,
    "max(other)": lambda f, x: f.max(x, x * x - 2),
    "min(other=)": lambda f, x: f.min(x, other=x * 0 + 1),
    "min(input=)": lambda f, x: f.min(input=x, dim=0).indices,
    "argmax(None, True)": lambda f, x: f.argmax(x, None, True),
    "norm()": lambda f, x: x.norm(),
    "norm(2, (0, 1))": lambda f, x: x.norm(2, (0, 1)),
    "norm(None)": lambda f, x: f.norm(x, None, keepdim=True),
    "norm(dtype)": lambda f, x: f.norm(x.to(f.float32), 3, 0, dtype=f.float64),
    "all(0)": lambda f, x: f.all(x, 0),
    "any((0, 1), True)": lambda f, x: f.any(x, (0, 1), True),
    "sort(0, True)": lambda f, x: x.sort(0, True),
    "sort(stable)": lambda f, x: f.sort(x, stable=True, dim=0).indices,
    "argsort(1, True)": lambda f, x: x.argsort(1, True),
    "topk": lambda f, x: x.topk(1, largest=False).indices,
    "median(1)": lambda f, x: x.median(1),
    "count_nonzero((0, 1))": lambda f, x: x.count_nonzero((0, 1)),
    "cumsum(dim=-1)": lambda f, x: x.cumsum(dim=-1),
    "logsumexp([0, 1], True)": lambda f, x: x.logsumexp([0, 1], True),
    "sum(())": lambda f, x: x.sum(()),
    "amax(())": lambda f, x: f.amax(x, ()),
    "norm(())": lambda f, x: f.norm(x, 3, ()),
    "all(())": lambda f, x: f.all(x > 0, ()),
    "count_nonzero(())": lambda f, x: f.count_nonzero(x > 0, ()),
    "sum dim out of range": lambda f, x: f.sum(x, 2),
    "sum twice the same dim": lambda f, x: f.sum(x, (0, -2)),
    "prod((0, 1))": lambda f, x: f.prod(x, (0, 1)),
    "argmax((0, 1))": lambda f, x: f.argmax(x, (0, 1)),
    "median((0, 1))": lambda f, x: f.median(x, (0, 1)),
    "cumsum()": lambda f, x: f.cumsum(x),
    "cumprod(None)": lambda f, x: f.cumprod(x, None),
    "topk(3)": lambda f, x: f.topk(x, 4),
    "topk(1.0)": lambda f, x: f.topk(x, 1.0),
    "norm('nuc') of a vector": lambda f, x: f.norm(x[0], "nuc"),
    "norm('what')": lambda f, x: f.norm(x, "what"),
    "mean(dtype=int)": lambda f, x: f.mean(x, dtype=f.int64),
    "unique(dim=2)": lambda f, x: f.unique(x, dim=2),
    "unique 0-d": lambda f, x: f.unique(x[0, 0], dim=0),
    "bincount of floats": lambda f, x: f.bincount(x[0]),
    "bincount of a matrix": lambda f, x: f.bincount(x.long()),
    "bincount of negatives": lambda f, x: f.bincount(x[0].long()),
    "bincount weights": lambda f, x: f.bincount(x[0].long() * 0, x),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_a_call(form: str) -> None:
    agree(FORMS[form], np.array([[1.0, -2.5, 0.5], [3.0, 0.25, -1.0]]), orders=1)
