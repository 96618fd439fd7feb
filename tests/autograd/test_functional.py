"""jacobian, hessian, vjp and jvp: values by hand; structure, values and errors as PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest

import tinynet as tn
from tinynet.autograd import functional


def t(*shape, seed=0):
    return tn.tensor(np.random.default_rng(seed).standard_normal(shape))


def test_by_hand():
    x = tn.tensor([1.0, 2.0, 3.0], dtype=tn.float64)
    assert functional.jacobian(lambda x: x * x, x).tolist() == [[2, 0, 0], [0, 4, 0], [0, 0, 6]]
    assert functional.hessian(lambda x: (x**3).sum(), x).tolist() == [[6, 0, 0], [0, 12, 0], [0, 0, 18]]
    out, g = functional.vjp(lambda x: x * x, x, tn.tensor([1.0, 0.0, 2.0], dtype=tn.float64))
    assert (out.tolist(), g.tolist()) == ([1, 4, 9], [2, 0, 12])
    out, moved = functional.jvp(lambda x: x * x, x, tn.tensor([1.0, 0.0, 2.0], dtype=tn.float64))
    assert (out.tolist(), moved.tolist()) == ([1, 4, 9], [2, 0, 12])


def test_nothing_is_left_behind():
    x = t(3).requires_grad_()
    for result in (functional.jacobian(tn.exp, x), functional.hessian(lambda x: x.exp().sum(), x),
                   functional.vjp(lambda x: x.exp().sum(), x)[1], functional.jvp(tn.exp, x, t(3))[1]):
        assert not result.requires_grad
    assert x.grad is None


def test_inside_no_grad():
    with tn.no_grad():
        assert functional.jacobian(tn.exp, t(2)).shape == (2, 2)
        assert functional.hessian(lambda x: x.exp().sum(), t(2)).shape == (2, 2)


def test_create_graph_can_be_differentiated():
    x = t(3).requires_grad_()
    for f in (lambda x: functional.jacobian(tn.sin, x, create_graph=True),
              lambda x: functional.hessian(lambda x: x.sin().sum(), x, create_graph=True),
              lambda x: functional.vjp(lambda x: x.sin().sum(), x, create_graph=True)[1],
              lambda x: functional.jvp(tn.sin, x, x, create_graph=True)[1]):
        assert tn.gradcheck(f, x)


def test_zero_sizes_and_0_d():
    assert functional.jacobian(tn.exp, t(0)).shape == (0, 0)
    assert functional.jacobian(lambda x: x[:0], t(3)).shape == (0, 3)
    assert functional.jacobian(tn.exp, t()).shape == ()
    assert functional.hessian(tn.exp, t()).shape == ()


def test_tuples_are_wanted():
    with pytest.raises(TypeError, match="must be either a Tensor or a tuple of Tensors"):
        functional.jacobian(lambda x: x, [t(2)])
    with pytest.raises(TypeError, match="outputs of the user-provided function given to vjp"):
        functional.vjp(lambda x: [x, x], t(2))


# ---- against PyTorch
FUNCTIONS = {
    "one to one": (lambda L, x: L.sin(x) * x.sum(), [(3,)]),
    "a matrix": (lambda L, x: L.exp(x) @ x.T, [(2, 3)]),
    "two in": (lambda L, x, y: x * y.sum() + L.sin(x), [(2,), (3,)]),
    "two out": (lambda L, x: (x * x, L.exp(x).sum()), [(3,)]),
    "two in, two out": (lambda L, x, y: (x * y[:2], L.sin(y)), [(2,), (3,)]),
    "independent": (lambda L, x, y: L.sin(x), [(2,), (3,)]),
    "a tuple of one": (lambda L, x: (x * x,), [(2,)]),
    "linear": (lambda L, x: x * 2.0, [(2,)]),
    "a number": (lambda L, x: L.sin(x).sum(), [(2, 2)]),
    "a number of two": (lambda L, x, y: (x * y[:2]).sum() * L.sin(y).sum(), [(2,), (3,)]),
    "a number, independent": (lambda L, x, y: (x * x).sum(), [(2,), (3,)]),
    "a number, linear": (lambda L, x: x.sum() * 2.0, [(2,)]),
    "detached": (lambda L, x: (x * 2.0).detach(), [(2,)]),
}


def plain(result):
    """Nested tuples of shapes and values."""
    if isinstance(result, tuple):
        return tuple(plain(r) for r in result)
    return {"value": result.detach().numpy(), "requires_grad": bool(result.requires_grad)}


def same(ours, theirs):
    assert type(ours) is type(theirs)
    if isinstance(theirs, tuple):
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            same(a, b)
        return
    assert ours["value"].shape == theirs["value"].shape
    np.testing.assert_allclose(ours["value"], theirs["value"], rtol=1e-9, atol=1e-12)
    assert ours["requires_grad"] == theirs["requires_grad"]


@pytest.mark.parametrize("wrapped", [False, True], ids=["tensors", "tuples"])
@pytest.mark.parametrize("strict", [False, True], ids=["", "strict"])
@pytest.mark.parametrize("create_graph", [False, True], ids=["", "create_graph"])
@pytest.mark.parametrize("what", ["jacobian", "hessian", "vjp", "jvp"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_as_pytorch(name, what, create_graph, strict, wrapped):
    torch = pytest.importorskip("torch")
    theirs = pytest.importorskip("torch.autograd.functional")
    f, sizes = FUNCTIONS[name]
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(s) for s in sizes]

    def run(L, library, make):
        inputs = tuple(make(a) for a in arrays)
        for x in inputs:
            x.requires_grad_(create_graph)
        given = inputs if len(inputs) > 1 or wrapped else inputs[0]
        args = []
        if what in ("vjp", "jvp"):
            if what == "jvp":
                like = tuple(make(np.cos(a)) for a in arrays)
                like = like if isinstance(given, tuple) else like[0]
            else:
                out = f(L, *inputs)
                like = tuple(make(np.cos(o.detach().numpy())) for o in (out if isinstance(out, tuple) else (out,)))
                like = like if isinstance(out, tuple) else like[0]
            args = [like]
        options = {"create_graph": create_graph, "strict": strict}
        try:
            return plain(getattr(library, what)(lambda *xs: f(L, *xs), given, *args, **options))
        except RuntimeError as e:
            return str(e)

    right = run(torch, theirs, lambda a: torch.tensor(a))
    ours = run(tn, functional, lambda a: tn.tensor(a))
    if isinstance(right, str):
        assert isinstance(ours, str), right
        if "strict" in right or "should" in right:
            assert ours.split(" of ")[0][:25] == right.split(" of ")[0][:25], (ours, right)
    else:
        same(ours, right)


@pytest.mark.parametrize(("what", "v"), [("vjp", (3,)), ("vjp", ((2,), (2,))), ("vjp", None), ("jvp", (3,)),
                                         ("jvp", None)])
def test_a_v_that_does_not_fit(what, v):
    torch = pytest.importorskip("torch")
    theirs = pytest.importorskip("torch.autograd.functional")

    def run(L, library):
        make = None if v is None else tuple(L.ones(s) for s in v) if isinstance(v[0], tuple) else L.ones(v)
        with pytest.raises(RuntimeError) as caught:
            getattr(library, what)(lambda x: x * 2, L.ones(2), make)
        return str(caught.value)

    assert run(tn, functional).replace("[", "").split("(")[0][:30] == run(torch, theirs).replace("torch.Size",
                                                                                                 "")[:30].split("(")[0]
