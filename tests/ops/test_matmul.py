"""Products: their laws, their gradients by finite differences, and the messages that teach."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinynet as tn
from tinynet.ops.matmul import contract

SEEDS = st.integers(0, 2**32 - 1)


def leaves(seed, *shapes):
    rng = np.random.default_rng(seed)
    return [tn.tensor(rng.standard_normal(s), requires_grad=True) for s in shapes]


def proved(f, *xs):
    assert tn.autograd.gradcheck(f, xs)
    assert tn.autograd.gradgradcheck(f, xs)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((3,), (3,)),
        ((2, 3), (3,)),
        ((3,), (3, 2)),
        ((2, 3), (3, 2)),
        ((2, 2, 3), (3, 2)),
        ((2, 2, 3), (3,)),
        ((3,), (2, 3, 2)),
        ((2, 3), (2, 3, 2)),
        ((2, 1, 2, 3), (3, 3, 1)),
        ((0, 3), (3, 2)),
        ((2, 0), (0, 2)),
    ],
)
def test_matmul_is_proved(a, b):
    proved(tn.matmul, *leaves(0, a, b))


@pytest.mark.parametrize(
    "spec", ["ij,jk->ik", "ij,ij->ij", "ij,kj,k->i", "bij,bjk->bki", "i,j,k->kji", "ij,ji->i", "i,i->"]
)
def test_contract_is_proved(spec):
    sizes = dict(zip("bijk", (2, 3, 2, 3), strict=True))
    shapes = [[sizes[c] for c in term] for term in spec.split("->")[0].split(",")]
    proved(lambda *xs: contract(*xs, spec=spec), *leaves(0, *shapes))


@given(SEEDS, st.permutations("ijk"))
@settings(max_examples=10)
def test_the_order_of_operands_does_not_matter(seed, order):
    xs = leaves(seed, (2, 3), (3, 4), (4, 2))
    terms = ["ij", "jk", "ki"]
    k = ["ijk".index(c) for c in order]
    once = tn.einsum("ij,jk,ki->", *xs)
    again = tn.einsum(",".join(terms[i] for i in k) + "->", *[xs[i] for i in k])
    assert tn.allclose(once, again)
    assert tn.allclose(once, tn.trace(xs[0] @ xs[1] @ xs[2]))


def test_einsum_uses_only_letters_the_equation_leaves_free():
    letters = "".join(chr(c) for c in range(ord("a"), ord("z") + 1))
    x = tn.ones((1,) * 26 + (2, 3))
    assert tn.einsum(f"{letters}...->...{letters}", x).shape == (2, 3) + (1,) * 26


def test_the_axes_of_an_ellipsis_are_aligned_at_the_right():
    x, y = leaves(0, (4, 3, 2), (3, 2))
    assert tn.allclose(tn.einsum("...i,...i->...", x, y), (x * y).sum(-1))


def test_letters_of_an_implicit_result_are_sorted_capitals_first():
    (x,) = leaves(0, (2, 3, 4, 5))
    assert tn.einsum("bcBa", x).shape == (4, 5, 2, 3)


def test_einsum_sums_integers_without_overflow():
    x = tn.full((300,), 100, dtype=tn.int8)
    assert tn.einsum("i->", x).item() == 30000


def test_a_frozen_operand_is_not_asked_for_a_gradient():
    (x,) = leaves(0, (2, 3))
    y = tn.ones(3, 2, dtype=tn.float64)
    (x @ y).sum().backward()
    assert y.grad is None
    assert tn.equal(x.grad, tn.full((2, 3), 2.0, dtype=tn.float64))


def test_messages_say_what_would_fit():
    with pytest.raises(RuntimeError, match=r"\(2x3 and 2x3\).*second transposed \(.mT\) would fit"):
        tn.ones(2, 3) @ tn.ones(2, 3)
    with pytest.raises(RuntimeError, match=r"\(3x2 and 3x4\).*first transposed \(.mT\) would fit"):
        tn.ones(3, 2) @ tn.ones(3, 4)
    with pytest.raises(RuntimeError, match="float != double; convert one"):
        tn.ones(2, 3) @ tn.ones(3, 2).double()
    with pytest.raises(RuntimeError, match="int64 != float"):
        tn.ones(2, 3).long() @ tn.ones(3, 2)
    with pytest.raises(RuntimeError, match="For integral input tensors"):  # PyTorch truncates in silence
        tn.addmm(tn.ones(2).long(), tn.ones(2, 2).long(), tn.ones(2, 2).long(), alpha=1.5)
    with pytest.raises(RuntimeError, match=r"subscript j has size 4 .* previously seen size 3: 'ij,jk'"):
        tn.einsum("ij,jk", tn.ones(2, 3), tn.ones(4, 5))
    for equation, says in (
        ("ij->ii", "output subscript i appears more than once"),
        ("ij->ik", "output subscript k does not appear"),
        ("ijk", r"number of subscripts in the equation \(3\) does not match the number of dimensions \(2\)"),
        ("i", r"\(1\) does not match the number of dimensions \(2\) for operand 0 and no ellipsis was given"),
        ("i!", "invalid subscript '!' in 'i!'"),
        ("ij,j", "fewer operands were provided"),
        ("ii", "subscript i is repeated for operand 0 but the sizes don't match, 3 != 2"),
    ):
        with pytest.raises(RuntimeError, match=says):
            tn.einsum(equation, tn.ones(2, 3))


def test_operators():
    x, y = leaves(0, (2, 3), (3, 2))
    assert tn.equal(x @ y, tn.matmul(x, y))
    assert tn.equal(x.mm(y), tn.matmul(input=x, other=y))
    with pytest.raises(TypeError):
        x @ [[1.0], [2.0], [3.0]]
