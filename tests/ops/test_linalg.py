"""Linear algebra: each gradient by finite differences, its laws, and errors that name the matrix at fault."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinynet as tn
from tinynet.ops.linalg import cofactors, singular_values

SEEDS = st.integers(0, 2**32 - 1)


def matrices(seed, *shape):
    """With singular values near 1, 2, 3, …: far from singular, and apart."""
    u, _, vt = np.linalg.svd(np.random.default_rng(seed).standard_normal(shape), full_matrices=False)
    return tn.tensor(u * np.arange(1.0, min(shape[-2:]) + 1) @ vt, requires_grad=True)


def proved(f, *xs):
    assert tn.autograd.gradcheck(f, xs)
    assert tn.autograd.gradgradcheck(f, xs)


@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (2, 3, 3), (0, 2, 2)])
@pytest.mark.parametrize(
    "f", [tn.linalg.inv, tn.linalg.det, cofactors, lambda A: tn.linalg.slogdet(A).logabsdet]
)
def test_square_matrices(f, shape):
    proved(f, matrices(0, *shape))


@pytest.mark.parametrize("left", [True, False])
@pytest.mark.parametrize(
    ("a", "b"), [((2, 2), (2, 2)), ((3, 2, 2), (2, 2)), ((2, 2), (3, 2, 2)), ((2, 1, 2, 2), (3, 2, 2))]
)
def test_solve(a, b, left):
    B = tn.tensor(np.random.default_rng(1).standard_normal(b), requires_grad=True)
    proved(lambda A, B: tn.linalg.solve(A, B, left=left), matrices(0, *a), B)


def test_solve_for_vectors():
    A, B = matrices(0, 2, 3, 3), tn.ones(2, 3, dtype=tn.float64, requires_grad=True)
    proved(tn.linalg.solve, A, B)
    assert tn.allclose((A @ tn.linalg.solve(A, B).unsqueeze(-1)).squeeze(-1), B)


@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (2, 2, 2)])
def test_cholesky(shape, upper):
    """Of a symmetric matrix, which a finite difference must keep symmetric."""
    eye = tn.eye(shape[-1], dtype=tn.float64)
    proved(lambda R: tn.linalg.cholesky(R @ R.mT + eye, upper=upper), matrices(0, *shape))


@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (2, 3), (3, 2), (2, 3, 2)])
def test_singular_values(shape):
    proved(singular_values, matrices(0, *shape))


@pytest.mark.parametrize("ord", ["fro", "nuc", 1, -1, 2, -2, math.inf, -math.inf])
def test_matrix_norms(ord):
    proved(lambda A: tn.linalg.norm(A, ord), matrices(3, 2, 3))


@pytest.mark.parametrize("ord", [0.5, 1, 2, 3, -1, math.inf, -math.inf])
def test_vector_norms(ord):
    x = tn.tensor([0.5, -1.0, 2.0, -3.0], dtype=tn.float64, requires_grad=True)
    proved(lambda x: tn.linalg.vector_norm(x, ord), x)


@given(SEEDS)
@settings(max_examples=5)
def test_laws(seed):
    A, B = matrices(seed, 3, 3), matrices(seed + 1, 3, 3)
    eye = tn.eye(3, dtype=tn.float64)
    assert tn.allclose(A @ tn.linalg.inv(A), eye)
    assert tn.allclose(tn.linalg.det(A @ B), tn.linalg.det(A) * tn.linalg.det(B))
    sign, logabsdet = tn.linalg.slogdet(A)
    assert tn.allclose(sign * logabsdet.exp(), tn.linalg.det(A))
    assert tn.allclose(cofactors(A), tn.linalg.det(A) * tn.linalg.inv(A).mT)
    L = tn.linalg.cholesky(A @ A.mT)
    assert tn.allclose(L @ L.mT, A @ A.mT)
    assert tn.allclose(singular_values(A), tn.tensor([3.0, 2.0, 1.0], dtype=tn.float64))


@pytest.mark.parametrize("rank", [0, 1, 2])
def test_det_has_a_gradient_at_singular_matrices(rank):
    """The cofactors, by their definition: the determinants of what is left without a row and a column."""
    A = np.diag([2.0, 3.0, 0.0][:rank] + [0.0] * (3 - rank))
    rng = np.random.default_rng(0)
    A = rng.standard_normal((3, 3)) @ A @ rng.standard_normal((3, 3))
    x = tn.tensor(A, requires_grad=True)
    tn.linalg.det(x).backward()
    minors = [[np.linalg.det(np.delete(np.delete(A, i, 0), j, 1)) for j in range(3)] for i in range(3)]
    signs = (-1.0) ** np.add.outer(range(3), range(3))
    np.testing.assert_allclose(x.grad.numpy(), signs * minors, atol=1e-12)


def test_slogdet_of_a_singular_matrix():
    sign, logabsdet = tn.linalg.slogdet(tn.ones(2, 2, requires_grad=True))
    assert (sign.item(), logabsdet.item()) == (0, -math.inf)
    with pytest.raises(tn.linalg.LinAlgError, match="singular"):
        logabsdet.backward()


def test_equal_singular_values_have_no_second_derivative():
    """What is infinite must not come out as a number."""
    x = tn.eye(2, dtype=tn.float64, requires_grad=True)
    with np.errstate(all="ignore"):
        (g,) = tn.autograd.grad(tn.linalg.norm(x, "nuc"), x, create_graph=True)
        (h,) = tn.autograd.grad(g[0, 1], x)
    assert tn.equal(g, x)
    assert not h.isfinite().all()


def test_the_matrix_at_fault_is_named():
    batch = tn.stack([tn.eye(2), tn.ones(2, 2)]).unsqueeze(0)
    for call in (lambda: tn.linalg.inv(batch), lambda: tn.linalg.solve(batch, tn.ones(2, 2))):
        with pytest.raises(tn.linalg.LinAlgError, match=r"\(Batch element 0, 1\): .* singular"):
            call()
    with pytest.raises(tn.linalg.LinAlgError, match=r"\(Batch element 2\): .*least eigenvalue -4"):
        tn.linalg.cholesky(tn.stack([tn.eye(2), 2 * tn.eye(2), -4 * tn.eye(2)]))
    with pytest.raises(RuntimeError, match="they are 2 by 3 matrices"):
        tn.linalg.inv(tn.ones(2, 3))
    with pytest.raises(RuntimeError, match=r"AX = B \(\[2, 2\] and \[3, 1\]\)"):
        tn.linalg.solve(tn.eye(2), tn.ones(3))


def test_empty_matrices():
    nothing = tn.zeros(0, 0)
    assert tn.linalg.det(nothing).item() == 1
    assert tn.linalg.inv(nothing).shape == (0, 0)
    assert tn.linalg.norm(nothing).item() == 0
    assert cofactors(nothing).shape == (0, 0)
