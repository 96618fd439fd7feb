"""Reductions: the promises that no other library is needed to check."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinynet as tn
from tinynet.autograd import gradcheck, gradgradcheck
from tinynet.ops.cumulative import neighbour, recurrence

NAN, INF = math.nan, math.inf


def leaf(values: Any) -> tn.Tensor:
    return tn.tensor(values, dtype=tn.float64, requires_grad=True)


def gradient(f: Callable[[Any], Any], values: Any, order: int = 1) -> np.ndarray:
    """The gradient of sum(f(x)); of order 2, of the sum of that gradient times 1, 2, 3, …"""
    x = leaf(values)
    (g,) = tn.autograd.grad(f(x).sum(), [x], create_graph=True)
    if order == 2:
        w = tn.arange(1.0, 1.0 + x.numel(), dtype=tn.float64).reshape(x.shape)
        (g,) = tn.autograd.grad((g * w).sum(), [x])
    return g.detach().numpy()


# ---- products: the derivative is the product of the others, whatever is zero among them
def others(row: list[float], out: tuple[int, ...]) -> float:
    return math.prod(v for k, v in enumerate(row) if k not in out)


@given(st.lists(st.sampled_from([0.0, 0.0, 1.5, -2.0, 3.0]), min_size=1, max_size=5))
def test_prod_by_its_definition(row: list[float]) -> None:
    n = len(row)
    np.testing.assert_allclose(gradient(tn.prod, row), [others(row, (k,)) for k in range(n)], atol=1e-12)
    second = [sum((j + 1) * others(row, (j, k)) for j in range(n) if j != k) for k in range(n)]
    if n > 1:
        np.testing.assert_allclose(gradient(tn.prod, row, order=2), second, atol=1e-12)


@given(st.lists(st.sampled_from([0.0, 0.0, 1.5, -2.0, 3.0]), min_size=2, max_size=5))
def test_cumprod_is_the_prod_of_each_beginning(row: list[float]) -> None:
    both = [lambda x: tn.cumprod(x, 0), lambda x: tn.stack([tn.prod(x[:k]) for k in range(1, len(row) + 1)])]
    for order in (1, 2):
        one, other = (gradient(f, row, order) for f in both)
        np.testing.assert_allclose(one, other, atol=1e-12)


@pytest.mark.parametrize("dim", [0, 1])
def test_recurrence_runs_both_ways(dim: int) -> None:
    a, b = np.random.default_rng(0).standard_normal((2, 3, 4))
    for reverse in (False, True):
        order = range(a.shape[dim])[::-1] if reverse else range(a.shape[dim])
        y, expected = np.zeros(a.take(0, dim).shape), np.zeros_like(a)
        for k in order:
            y = a.take(k, dim) + b.take(k, dim) * y
            np.moveaxis(expected, dim, 0)[k] = y
        op = partial(recurrence, dim=dim, reverse=reverse)
        np.testing.assert_allclose(op(a, b), expected)
        assert gradcheck(op, (leaf(a), leaf(b))) and gradgradcheck(op, (leaf(a), leaf(b)))


def test_neighbour() -> None:
    a = np.arange(6.0).reshape(2, 3)
    assert neighbour(a, dim=1, fill=9).tolist() == [[9, 0, 1], [9, 3, 4]]
    assert neighbour(a, dim=0, reverse=True).tolist() == [[3, 4, 5], [0, 0, 0]]
    assert neighbour(np.array(2.0), dim=0, fill=7).tolist() == 7


def test_long_products_are_no_python_loop_in_backward() -> None:
    """The gradient of prod is made of two running products, not of one step for each element."""
    a = np.exp(np.random.default_rng(0).normal(0, 0.01, 200_000))
    np.testing.assert_allclose(gradient(tn.prod, a), a.prod() / a, rtol=1e-9)


# ---- at kinks the gradient is a chosen subgradient
@pytest.mark.parametrize("p", [2, "fro", 1, 3, 1.5, 0.5, INF, -INF, -1])
@pytest.mark.parametrize("order", [1, 2])
def test_norm_at_zero(p: Any, order: int) -> None:
    g = gradient(lambda x: tn.norm(x, p) * tn.norm(x, p), np.zeros(3), order)
    assert np.isfinite(g).all() and (g == 0).all()
    rows = gradient(lambda x: tn.norm(x, p, 1), [[0.0, 0.0], [3.0, 4.0]])
    assert (rows[0] == 0).all() and (rows[1] != 0).any()


@pytest.mark.parametrize("p", [2, 1, 3, 1.5, 0.5, -1, -2.5])
def test_norm_where_an_element_is_zero(p: float) -> None:
    for order in (1, 2):
        assert np.isfinite(gradient(lambda x: tn.norm(x, p), [1.0, 0.0, -2.0], order)).all()


def test_std_of_equal_elements() -> None:
    for order in (1, 2):
        assert (gradient(lambda x: tn.std(x, correction=0), [2.0, 2.0, 2.0], order) == 0).all()
    g = gradient(lambda x: tn.std(x, 1), [[2.0, 2.0], [1.0, 3.0]])
    np.testing.assert_allclose(g, [[0, 0], [-math.sqrt(0.5), math.sqrt(0.5)]])


def test_ties() -> None:
    x = [[1.0, 5.0, 5.0], [2.0, 2.0, 2.0]]
    assert gradient(lambda x: tn.amax(x, 1), x).tolist() == [[0, 0.5, 0.5], [1 / 3, 1 / 3, 1 / 3]]
    assert gradient(lambda x: tn.amin(x, 1), x).tolist() == [[1, 0, 0], [1 / 3, 1 / 3, 1 / 3]]
    assert gradient(tn.max, x).tolist() == [[0, 0.5, 0.5], [0, 0, 0]]
    assert gradient(lambda x: tn.max(x, 1).values, x).tolist() == [[0, 1, 0], [1, 0, 0]]
    assert gradient(lambda x: tn.min(x, 1).values, x).tolist() == [[1, 0, 0], [1, 0, 0]]
    assert gradient(tn.max, [1.0, NAN, NAN]).tolist() == gradient(tn.amin, [1.0, NAN, NAN]).tolist() == [0, 0.5, 0.5]
    assert gradient(lambda x: tn.norm(x, INF, 1), [[-5.0, 5.0]]).tolist() == [[-0.5, 0.5]]


# ---- numbers at the edge
def test_logsumexp_of_nothing_at_all() -> None:
    x = tn.tensor([[-INF, -INF], [-INF, 0.0], [INF, 0.0], [1e4, 1e4], [-1e4, -1e4]])
    log2 = math.log(2)
    np.testing.assert_allclose(tn.logsumexp(x, 1).numpy(), [-INF, 0, INF, 1e4 + log2, -1e4 + log2], rtol=1e-7)
    assert tn.logsumexp(tn.zeros(2, 0), 1).tolist() == [-INF, -INF]
    g = gradient(lambda x: tn.logsumexp(x, 1), [[-INF, 0.0], [1e4, 1e4]])
    np.testing.assert_allclose(g, [[0, 1], [0.5, 0.5]], rtol=1e-10)


@pytest.mark.parametrize("n", [4096, 70_000])
def test_half_precision_is_added_up_in_single(n: int) -> None:
    ones = tn.ones(n, 2).half()
    assert tn.sum(ones / 64).item() == np.float16(2 * n / 64)
    assert tn.mean(ones * 60_000).item() == np.float16(60_000)
    assert tn.var(ones * 60_000).item() == 0
    assert tn.std(ones * tn.tensor([300, -300]), correction=0).item() == 300
    assert tn.cumsum(ones / 64, 0)[-1, 0].item() == np.float16(n / 64)
    assert tn.norm(ones * 16, dim=0)[0].item() == np.float16(16 * math.sqrt(n))
    assert tn.logsumexp(ones, (0, 1)).item() == np.float16(1 + math.log(2 * n))
    assert {op(ones).dtype for op in (tn.sum, tn.mean, tn.var, tn.norm, tn.prod)} == {tn.float16}


def test_running_sums_of_single_precision() -> None:
    """In float32 steps the last of ten million sums of 0.1 would be 1087937."""
    x = tn.full((10_000_000,), 0.1)
    assert abs(tn.cumsum(x, 0)[-1].item() - 1e6) < 1


def test_degrees_of_freedom() -> None:
    assert math.isnan(tn.var(tn.tensor([1.0])).item()) and tn.var(tn.tensor([1.0]), correction=0).item() == 0
    assert tn.var(tn.tensor([1.0, 3.0]), correction=2).item() == INF
    assert np.isnan(gradient(tn.var, [1.0])).all()
    assert math.isnan(tn.mean(tn.zeros(0)).item()) and math.isnan(tn.std(tn.zeros(0)).item())


# ---- dtypes
@pytest.mark.parametrize("dtype", [tn.uint8, tn.int8, tn.int32, tn.int64, tn.bool])
def test_integers(dtype: Any) -> None:
    x = tn.tensor([[1, 0], [1, 1]], dtype=dtype)
    for op in (tn.sum, tn.prod, tn.count_nonzero):
        assert op(x).dtype == tn.int64
    assert tn.cumsum(x, 0).dtype == tn.cumprod(x, 0).dtype == tn.int64
    assert tn.max(x).dtype == tn.amin(x).dtype == dtype
    floats = [tn.mean(x), tn.var(x), tn.std(x), tn.norm(x), tn.logsumexp(x, 0)]
    assert {y.dtype for y in floats} == {tn.float32}
    assert tn.mean(x).item() == 0.75 and tn.norm(x, 1).item() == 3
    assert tn.all(x).dtype == tn.any(x).dtype == (tn.uint8 if dtype == tn.uint8 else tn.bool)


def test_small_integers_do_not_wrap() -> None:
    x = tn.full((1000,), 100, dtype=tn.uint8)
    assert tn.sum(x).item() == 100_000 and tn.cumsum(x, 0)[-1].item() == 100_000 and tn.mean(x).item() == 100
    assert tn.prod(x[:4]).item() == 100**4


RUNNING = [partial(tn.cumsum, dim=0), partial(tn.cumprod, dim=0)]


@pytest.mark.parametrize("op", [tn.sum, tn.mean, tn.prod, tn.norm, *RUNNING])
def test_the_gradient_of_a_cast_sum_has_the_dtype_of_its_input(op: Callable[..., Any]) -> None:
    x = tn.tensor([1.5, 2.0, 0.5], requires_grad=True)
    y = op(x, dtype=tn.float64)
    assert y.dtype == tn.float64
    y.sum().backward()
    assert x.grad.dtype == tn.float32 and x.grad.shape == (3,)


# ---- shapes
@given(st.integers(0, 3), st.sets(st.integers(0, 2)), st.booleans())
def test_every_set_of_dims(ndim: int, chosen: set[int], keepdim: bool) -> None:
    chosen = {d for d in chosen if d < max(ndim, 1)}
    a = np.random.default_rng(ndim).standard_normal((2, 3, 4)[:ndim])
    axis = tuple(chosen) if ndim else ()
    axis = axis or tuple(range(ndim))
    pairs = [(tn.sum, np.sum), (tn.mean, np.mean), (tn.amax, np.max), (tn.amin, np.min), (tn.var_mean, None)]
    for ours, theirs in pairs:
        result = ours(leaf(a), dim=tuple(chosen), keepdim=keepdim)
        if theirs is None:
            assert [r.shape for r in result] == [np.sum(a, axis, keepdims=keepdim).shape] * 2
        else:
            np.testing.assert_allclose(result.detach().numpy(), theirs(a, axis=axis, keepdims=keepdim))


def test_numpy_names() -> None:
    x = tn.arange(6.0).reshape(2, 3)
    for op in (tn.sum, tn.mean, tn.prod, tn.amax, tn.var, tn.std, tn.norm, tn.all, tn.any, tn.argmax):
        assert op(x, axis=1, keepdims=True).tolist() == op(x, dim=1, keepdim=True).tolist()
    assert x.max(axis=0).indices.tolist() == [1, 1, 1] and x.cumsum(axis=1).shape == (2, 3)


def test_pairs_have_names() -> None:
    x = tn.tensor([[1.0, 5.0], [3.0, 2.0]])
    values, indices = x.max(0)
    assert values.tolist() == [3, 5] and indices.dtype == tn.int64
    assert x.min(1).values.tolist() == [1, 2] and type(x.max(0)).__name__ == "max"
    assert type(tn.var_mean(x)) is tuple


@pytest.mark.parametrize("op", [tn.max, tn.min, tn.amax, tn.amin, tn.argmax, tn.argmin])
def test_nothing_has_no_greatest_element(op: Callable[..., Any]) -> None:
    with pytest.raises((RuntimeError, IndexError), match=r"reduction dim to be specified.*\[2, 0\]"):
        op(tn.zeros(2, 0))
    with pytest.raises(IndexError, match="reduction dim 1 to have non-zero size"):
        op(tn.zeros(2, 0), 1)
    result = op(tn.zeros(2, 0), 0)
    assert (result[0] if isinstance(result, tuple) else result).shape == (0,)


@pytest.mark.parametrize("dims", [*combinations([0, 1, -1, -2], 2)])
def test_a_dim_named_twice(dims: tuple[int, int]) -> None:
    if dims[0] % 2 == dims[1] % 2:
        with pytest.raises(RuntimeError, match="appears multiple times"):
            tn.sum(tn.zeros(2, 3), dims)
    else:
        assert tn.sum(tn.zeros(2, 3), dims).shape == ()


@pytest.mark.parametrize(("call", "error", "words"), [
    (lambda x: tn.sum(x, 2), IndexError, "range of [-2, 1], but got 2"),
    (lambda x: tn.prod(x, (0, 1)), TypeError, "prod(): argument 'dim' must be int"),
    (lambda x: tn.argmax(x, (0, 1)), TypeError, "argmax(): argument 'dim' must be int"),
    (lambda x: tn.cumsum(x, None), TypeError, "cumsum(): argument 'dim' must be int"),
    (lambda x: tn.max(x, (0, 1)), TypeError, "max(): argument 'dim' must be int"),
    (lambda x: tn.mean(x, dtype=tn.int64), RuntimeError, "dtype must be a floating point type, not int64"),
    (lambda x: tn.argmax(x > 0), RuntimeError, "argmax(): does not support bool"),
    (lambda x: tn.norm(x, "nuc"), RuntimeError, "'nuc' is not supported"),
    (lambda x: tn.norm(x[:0], INF), RuntimeError, "no inf norm: shape [0, 3]"),
    (lambda x: tn.norm(x[:0], -1, 0), RuntimeError, "no -1 norm"),
    (lambda x: tn.var(x, 0, unbiased=True, correction=1), TypeError, "unbiased or correction, not both"),
])
def test_errors_name_what_is_wrong(call: Callable[[Any], Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error) as caught:
        call(tn.zeros(2, 3))
    assert words in str(caught.value)


# ---- derivatives of every order, in both readings of the rules
OPS: dict[str, Callable[[Any], Any]] = {
    "sum": lambda x: tn.sum(x, 1),
    "mean": lambda x: tn.mean(x, (0, 1), True),
    "prod": lambda x: tn.prod(x, 1),
    "prod of all": lambda x: tn.prod(x),
    "cumsum": lambda x: tn.cumsum(x, 1),
    "cumprod": lambda x: tn.cumprod(x, 1),
    "var": lambda x: tn.var(x, 1),
    "std": lambda x: tn.std(x, 1, keepdim=True),
    "var_mean": lambda x: tn.var_mean(x, 1, correction=0),
    "std_mean": lambda x: tn.std_mean(x),
    "norm": lambda x: tn.norm(x, dim=1),
    "norm 3": lambda x: tn.norm(x, 3, 0),
    "norm 0.5": lambda x: tn.norm(x, 0.5),
    "norm -1": lambda x: tn.norm(x, -1, 1),
    "logsumexp": lambda x: tn.logsumexp(x, 1),
    "amax": lambda x: tn.amax(x, 1) ** 2,
    "max": lambda x: tn.max(x, 1).values ** 2,
}


@pytest.mark.parametrize("name", OPS)
def test_derivatives(name: str) -> None:
    f = OPS[name]
    x = leaf([[1.0, -2.0, 0.5], [1.5, 0.7, -0.3]])
    assert gradcheck(f, (x,))
    assert gradgradcheck(f, (x,))

    def slope(x: Any) -> Any:
        out = f(x)
        out = out[0] if isinstance(out, tuple) else out
        w = tn.arange(1.0, 1.0 + out.numel(), dtype=tn.float64).reshape(out.shape)
        return tn.autograd.grad((out * w * w).sum(), [x], create_graph=True)[0]

    if slope(x).requires_grad:
        assert gradgradcheck(slope, (x,))


@pytest.mark.parametrize("name", OPS)
def test_a_rule_reads_the_same_on_arrays_and_tensors(name: str) -> None:
    x = leaf([[1.0, -2.0, 0.0], [1.5, 1.5, -0.3]])
    out = OPS[name](x)
    out = out[0] if isinstance(out, tuple) else out
    w = leaf(np.arange(1.0, 1.0 + out.numel()).reshape(out.shape))
    (plain,) = tn.autograd.grad([out], [x], [w], retain_graph=True)
    (tracked,) = tn.autograd.grad([out], [x], [w], create_graph=True)
    np.testing.assert_allclose(plain.numpy(), tracked.detach().numpy(), rtol=1e-12)
