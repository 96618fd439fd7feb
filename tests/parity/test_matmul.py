"""Products and linear algebra against PyTorch: values, dtypes, shapes, errors, first and second gradients."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinynet as tn

torch = pytest.importorskip("torch")

SEEDS = st.integers(0, 2**32 - 1)
SIZES = st.integers(1, 3)


def close(ours, theirs, rtol=1e-8, atol=1e-8):
    ours, theirs = ours.detach().numpy(), theirs.numpy(force=True)
    assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
    np.testing.assert_allclose(ours, theirs, rtol, atol)


def derivatives(lib, f, arrays, seed):
    """The result of f, and its first and second gradients for random cotangents."""
    rng = np.random.default_rng(seed)
    xs = [lib.tensor(a, requires_grad=True) for a in arrays]
    y = f(lib, *xs)
    first = lib.autograd.grad(y, xs, lib.tensor(rng.standard_normal(tuple(y.shape))), create_graph=True)
    total = sum((g * lib.tensor(rng.standard_normal(tuple(g.shape)))).sum() for g in first)
    second = lib.autograd.grad(total, xs, allow_unused=True) if total.requires_grad else [None] * len(xs)
    return [y, *first, *(lib.zeros_like(x) if g is None else g for g, x in zip(second, xs, strict=True))]


def agree(f, *arrays, seed=0):
    for ours, theirs in zip(
        derivatives(tn, f, arrays, seed), derivatives(torch, f, arrays, seed), strict=True
    ):
        close(ours, theirs)


def normals(seed, *shapes):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape) for shape in shapes]


def raises_alike(call):
    """Both libraries refuse, with the same exception type (PyTorch's subclasses stand for their bases)."""
    with pytest.raises(Exception) as theirs:
        call(torch)
    expected = next(k for k in theirs.type.__mro__ if k.__module__ == "builtins")
    with pytest.raises(expected) as ours:
        call(tn)
    return str(ours.value), str(theirs.value)


# ---- matrix products
@given(SEEDS, st.data())
def test_matmul(seed, data):
    n, k, m = data.draw(SIZES), data.draw(st.integers(0, 3)), data.draw(SIZES)
    batch = data.draw(st.lists(SIZES, max_size=2))
    ours = [1 if data.draw(st.booleans()) else b for b in batch]
    theirs = [1 if data.draw(st.booleans()) else b for b in batch][data.draw(st.integers(0, len(batch))) :]
    a = data.draw(st.sampled_from([(k,), (n, k), (*ours, n, k)]))
    b = data.draw(st.sampled_from([(k,), (k, m), (*theirs, k, m)]))
    agree(lambda lib, x, y: lib.matmul(x, y), *normals(seed, a, b), seed=seed)


@pytest.mark.parametrize("layout", ["transposed", "expanded", "strided"])
def test_matmul_of_views(layout):
    def view(x):
        if layout == "transposed":
            return x.transpose(-1, -2)
        return x[:1].expand(3, 2, 2) if layout == "expanded" else x[:, ::1, :][::2]

    agree(lambda lib, x, y: view(x) @ view(y), *normals(0, (3, 2, 2), (3, 2, 2)))


SHAPES = {
    "mm": [(2, 3), (3, 4)],
    "bmm": [(2, 2, 3), (2, 3, 4)],
    "mv": [(2, 3), (3,)],
    "dot": [(3,), (3,)],
    "inner": [(2, 2, 3), (4, 3)],
    "outer": [(2,), (3,)],
    "addmm": [(4,), (2, 3), (3, 4)],
    "baddbmm": [(2, 1, 4), (2, 2, 3), (2, 3, 4)],
}


@pytest.mark.parametrize("name", SHAPES)
@settings(max_examples=5)
@given(SEEDS)
def test_named_products(name, seed):
    arrays = normals(seed, *SHAPES[name])
    agree(lambda lib, *xs: getattr(lib, name)(*xs), *arrays, seed=seed)
    if name in ("addmm", "baddbmm"):
        agree(lambda lib, *xs: getattr(lib, name)(*xs, beta=-0.5, alpha=2), *arrays, seed=seed)


def test_inner_with_a_number():
    agree(lambda lib, x, y: lib.inner(x, y), *normals(0, (2, 3), ()))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "uint8", "int16", "int32"])
def test_dtypes(dtype):
    a, b = (np.arange(6).reshape(shape).astype(dtype) for shape in ((2, 3), (3, 2)))
    for f in (
        lambda lib, x, y: x @ y,
        lambda lib, x, y: x.reshape(1, 2, 3) @ y,
        lambda lib, x, y: lib.einsum("ij,jk->ik", x, y),
        lambda lib, x, y: lib.outer(x[0], y[:, 0]),
        lambda lib, x, y: lib.addmm(x[:, :2], x, y, beta=2, alpha=3),
        lambda lib, x, y: lib.einsum("ij->i", x),
    ):
        close(f(tn, tn.tensor(a), tn.tensor(b)), f(torch, torch.tensor(a), torch.tensor(b)))


def test_beta_zero_ignores_nan():
    for lib in (tn, torch):
        nan = lib.full((2, 2), math.nan)
        assert not lib.addmm(nan, lib.ones(2, 3), lib.ones(3, 2), beta=0).isnan().any()


@pytest.mark.parametrize(
    ("a", "b", "says"),
    [
        ((2, 3), (4, 5), "mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)"),
        ((2, 3), (2, 3), "the second transposed (.mT) would fit"),
        ((3, 2), (3, 4), "the first transposed (.mT) would fit"),
        ((3,), (4,), "(3 and 4)"),
        ((2, 3), (4,), "(2x3 and 4)"),
        ((3,), (4, 5), "(3 and 4x5)"),
        ((2, 2, 3), (2, 4, 5), "(2x2x3 and 2x4x5)"),
        ((2, 2, 3), (3, 3, 4), "The size of tensor a (2) must match the size of tensor b (3)"),
        ((), (3,), "both arguments to matmul need to be at least 1D, but they are 0D and 1D"),
    ],
)
def test_shapes_that_do_not_fit(a, b, says):
    assert says in raises_alike(lambda lib: lib.matmul(lib.ones(a), lib.ones(b)))[0]


def test_dtypes_that_do_not_fit():
    ours, theirs = raises_alike(lambda lib: lib.ones(2, 3) @ lib.ones(3, 2, dtype=lib.float64))
    assert ours.startswith(theirs)  # and then says what to do
    raises_alike(lambda lib: lib.ones(2, 3) @ lib.ones(3, 2, dtype=lib.int64))
    raises_alike(lambda lib: lib.ones(2, 3).bool() @ lib.ones(3, 2).bool())
    raises_alike(lambda lib: lib.einsum("ij,jk", lib.ones(2, 3), lib.ones(3, 2).double()))
    raises_alike(lambda lib: lib.addmm(lib.ones(2).double(), lib.ones(2, 3), lib.ones(3, 2)))


@pytest.mark.parametrize(
    "call",
    [
        lambda lib: lib.mm(lib.ones(2, 2, 2), lib.ones(2, 2)),
        lambda lib: lib.bmm(lib.ones(2, 2), lib.ones(2, 2)),
        lambda lib: lib.bmm(lib.ones(1, 2, 2), lib.ones(3, 2, 2)),
        lambda lib: lib.mv(lib.ones(2, 2), lib.ones(2, 1)),
        lambda lib: lib.dot(lib.ones(2), lib.ones(3)),
        lambda lib: lib.dot(lib.ones(2, 2), lib.ones(2, 2)),
        lambda lib: lib.outer(lib.ones(2, 2), lib.ones(2)),
        lambda lib: lib.inner(lib.ones(2, 2), lib.ones(3)),
        lambda lib: lib.addmm(lib.ones(3), lib.ones(2, 3), lib.ones(3, 2)),
        lambda lib: lib.addmm(lib.ones(2, 2, 2), lib.ones(2, 3), lib.ones(3, 2)),
        lambda lib: lib.matmul(lib.ones(2, 3), [1.0, 2.0, 3.0]),
        lambda lib: lib.mm(lib.ones(2, 3), [1.0, 2.0, 3.0]),
        lambda lib: lib.tensordot(lib.ones(2, 3), lib.ones(4, 5), dims=1),
        lambda lib: lib.tensordot(lib.ones(2, 3), lib.ones(4, 5), dims=3),
        lambda lib: lib.tensordot(lib.ones(2, 3), lib.ones(4, 5), dims=-1),
        lambda lib: lib.tensordot(lib.ones(2, 3), lib.ones(4, 5), dims=([0], [0, 1])),
        lambda lib: lib.tensordot(lib.ones(2, 3), lib.ones(4, 5), dims=([0], [5])),
        lambda lib: lib.tensordot(lib.ones(2, 2), lib.ones(2, 2), dims=([0, 0], [0, 1])),
    ],
)
def test_refused(call):
    raises_alike(call)


# ---- Einstein's sum
EQUATIONS = """
ij,jk->ik; ij,jk; ij,jk->; ij,ij->ij; ij,ij; bij,bjk->bik; i,j->ij; i,i; ij->ji; ij->j; ij->; ij; ji
ii; ii->i; iij->j; iji->ij; iii->i; iii; ii,ij->j; ij,ji->i; i,j,k->kij; ij,jk,kl->il; ij,jk,ki; aB,BA->Aa
...ij,...jk->...ik; ...ij->...ji; ...,...->; ...i,i...; i...,i...->i; ...ij->ij; ij->...ij; ...; ...->
i...j,j...->i...; ij,...; ijk,ilm,njm,nlk,abc->; i j , j k -> i k; bhqd,bhkd->bhqk; ij,k->i; bn,anm,bm->ba
"""


@pytest.mark.parametrize("equation", [e.strip() for e in EQUATIONS.replace("\n", ";").split(";") if e])
@settings(max_examples=4)
@given(SEEDS, st.data())
def test_einsum(equation, seed, data):
    sizes = {c: data.draw(SIZES) for c in sorted(set(equation) - set(" ,->."))}
    dots = data.draw(st.lists(SIZES, max_size=2))
    shapes = []
    for term in equation.replace(" ", "").split("->")[0].split(","):
        repeated = any(term.count(c) > 1 for c in term if c != ".")
        shape = []
        for c in term.replace("...", "."):
            if c == ".":
                axes = dots[data.draw(st.integers(0, len(dots))) :] if "->" in equation else dots
                shape += [1 if data.draw(st.booleans()) else n for n in axes]
            else:  # a size of 1 broadcasts
                shape.append(sizes[c] if repeated or data.draw(st.booleans()) else 1)
        shapes.append(shape)
    agree(lambda lib, *xs: lib.einsum(equation, *xs), *normals(seed, *shapes), seed=seed)


def test_einsum_takes_a_list_and_empty_terms():
    agree(lambda lib, x, y: lib.einsum("ij,jk", [x, y]), *normals(0, (2, 3), (3, 4)))
    agree(lambda lib, x, y: lib.einsum("ij,", x, y), *normals(0, (2, 3), ()))
    agree(lambda lib, x: lib.einsum("", x), *normals(0, ()))


def test_einsum_of_one_operand_is_a_view():
    for lib in (tn, torch):
        x = lib.zeros(2, 3)
        lib.einsum("ij->ji", x)[0, 1] = 5.0
        assert x[1, 0] == 5
        square = lib.zeros(2, 2)
        lib.einsum("ii->i", square)[1] = 7.0
        assert square[1, 1] == 7


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [
        ("ij,jk", [(2, 3), (4, 5)]),
        ("ij", [(2,)]),
        ("i", [(2, 3)]),
        ("...ij", [(2,)]),
        ("ij,jk", [(2, 3)]),
        ("ij", [(2, 3), (2, 3)]),
        ("ij->k", [(2, 3)]),
        ("ij->ii", [(2, 2)]),
        ("i1", [(2, 2)]),
        ("ii", [(2, 3)]),
        ("ii", [(1, 3)]),
        ("..ij", [(2, 3)]),
        ("ij->i->j", [(2, 3)]),
        ("ij-", [(2, 3)]),
        ("i...j...", [(2, 3)]),
        ("...i,...i", [(2, 3, 4), (5, 4)]),
        ("ij", []),
    ],
)
def test_einsum_refuses(equation, shapes):
    raises_alike(lambda lib: lib.einsum(equation, *map(lib.ones, shapes)))


@given(SEEDS, st.data())
def test_tensordot(seed, data):
    a = data.draw(st.lists(SIZES, min_size=1, max_size=3))
    pairs = data.draw(st.integers(0, min(2, len(a))))
    ours = data.draw(st.permutations(range(len(a))))[:pairs]
    b = [data.draw(SIZES) for _ in range(data.draw(st.integers(pairs, 3)))]
    theirs = data.draw(st.permutations(range(len(b))))[:pairs]
    for i, j in zip(ours, theirs, strict=True):
        b[j] = a[i]
    dims = [ours, [j - len(b) for j in theirs]]
    agree(lambda lib, x, y: lib.tensordot(x, y, dims=dims), *normals(seed, a, b), seed=seed)


@pytest.mark.parametrize("dims", [0, 1, 2])
def test_tensordot_by_number(dims):
    agree(lambda lib, x, y: lib.tensordot(x, y, dims), *normals(0, (2, 3, 3), (3, 3, 2)))


# ---- linear algebra
def well_conditioned(seed, *shape):
    """Far from singular, its singular values apart."""
    rng = np.random.default_rng(seed)
    u, _, vt = np.linalg.svd(rng.standard_normal(shape), full_matrices=False)
    k = min(shape[-2:])
    return u * (np.arange(1, k + 1) + 0.3 * rng.random((*shape[:-2], 1, k))) @ vt


@pytest.mark.parametrize("name", ["inv", "det", "slogdet"])
@settings(max_examples=5)
@given(SEEDS, SIZES, st.lists(SIZES, max_size=2))
def test_inverse_and_determinant(name, seed, n, batch):
    A = well_conditioned(seed, *batch, n, n)

    def f(lib, x):
        out = getattr(lib.linalg, name)(x)
        return out.logabsdet if name == "slogdet" else out

    agree(f, A, seed=seed)
    if name == "slogdet":
        close(tn.linalg.slogdet(tn.tensor(A)).sign, torch.linalg.slogdet(torch.tensor(A)).sign)


@pytest.mark.parametrize("left", [True, False])
@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((2, 2), (2,)),
        ((2, 2), (2, 2)),
        ((3, 2, 2), (3, 2)),
        ((3, 2, 2), (2, 2)),
        ((2, 2), (3, 2, 2)),
        ((3, 1, 2, 2), (4, 2, 2)),
        ((3, 2, 2), (2,)),
        ((2, 3, 2, 2), (2, 3, 2)),
    ],
)
def test_solve(a, b, left):
    A, B = well_conditioned(1, *a), normals(2, b)[0]
    try:
        torch.linalg.solve(torch.tensor(A), torch.tensor(B), left=left)
    except RuntimeError:
        raises_alike(lambda lib: lib.linalg.solve(lib.tensor(A), lib.tensor(B), left=left))
    else:
        agree(lambda lib, x, y: lib.linalg.solve(x, y, left=left), A, B)


@pytest.mark.parametrize("upper", [False, True])
@settings(max_examples=5)
@given(SEEDS, SIZES, st.lists(SIZES, max_size=2))
def test_cholesky(upper, seed, n, batch):
    root = well_conditioned(seed, *batch, n, n)
    A = root @ np.swapaxes(root, -1, -2) + np.eye(n)
    agree(lambda lib, x: lib.linalg.cholesky(x, upper=upper), A, seed=seed)
    other = np.tril if upper else np.triu  # the triangle that is not read
    A += other(np.ones(A.shape), -1 if upper else 1) * 100
    close(*(lib.linalg.cholesky(lib.tensor(A), upper=upper) for lib in (tn, torch)))


@pytest.mark.parametrize("ord", ["fro", "nuc", math.inf, -math.inf, 1, -1, 2, -2, None])
@pytest.mark.parametrize("keepdim", [False, True])
@settings(max_examples=3)
@given(SEEDS, SIZES, SIZES)
def test_matrix_norms(ord, keepdim, seed, n, m):
    A = well_conditioned(seed, n, m)
    agree(lambda lib, x: lib.linalg.norm(x, ord, keepdim=keepdim), A, seed=seed)
    if ord is not None:
        batch = np.moveaxis(well_conditioned(seed, 2, n, m), 0, 1)
        agree(lambda lib, x: lib.linalg.norm(x, ord, (-1, 0), keepdim), batch, seed=seed)


@pytest.mark.parametrize("ord", [0, 0.5, 1, 1.5, 2, 3, -1, -2.5, math.inf, -math.inf])
@pytest.mark.parametrize("dim", [None, 0, (0, 2), ()])
@settings(max_examples=3)
@given(SEEDS)
def test_vector_norms(ord, dim, seed):
    x = normals(seed, (2, 3, 2))[0]
    x += np.sign(x) * 0.1
    close(*(lib.linalg.vector_norm(lib.tensor(x), ord, dim, True) for lib in (tn, torch)))
    if ord != 0:
        agree(lambda lib, t: lib.linalg.vector_norm(t, ord, dim), x, seed=seed)


@pytest.mark.parametrize("ord", [0.5, 1, 1.5, 2, 3, -1, math.inf, -math.inf])
@pytest.mark.parametrize("values", [[0.0, 0.0, 2.0, -1.0], [0.0, 0.0], [1.0, 0.0]])
def test_vector_norms_at_their_kinks(ord, values):
    def gradient(lib):
        x = lib.tensor(values, dtype=lib.float64, requires_grad=True)
        return lib.autograd.grad(lib.linalg.vector_norm(x, ord), x)[0]

    close(gradient(tn), gradient(torch))


def test_norm_dtypes():
    for dtype in ("float16", "float32"):
        x = (np.arange(6).reshape(2, 3) * 100).astype(dtype)
        close(*(lib.linalg.norm(lib.tensor(x)) for lib in (tn, torch)), rtol=1e-3)
        close(*(lib.linalg.norm(lib.tensor(x), dtype=lib.float64) for lib in (tn, torch)))


BAD = [
    lambda lib: lib.linalg.inv(lib.ones(2, 2)),
    lambda lib: lib.linalg.inv(lib.ones(2, 3)),
    lambda lib: lib.linalg.inv(lib.ones(3)),
    lambda lib: lib.linalg.inv(lib.ones(2, 2).long()),
    lambda lib: lib.linalg.inv(lib.eye(2).half()),
    lambda lib: lib.linalg.inv([[1.0]]),
    lambda lib: lib.linalg.det(lib.ones(2, 3)),
    lambda lib: lib.linalg.slogdet(lib.ones(2)),
    lambda lib: lib.linalg.solve(lib.ones(2, 2), lib.ones(2)),
    lambda lib: lib.linalg.solve(lib.ones(2, 3), lib.ones(2)),
    lambda lib: lib.linalg.solve(lib.eye(2), lib.ones(3)),
    lambda lib: lib.linalg.solve(lib.eye(2), lib.ones(2).double()),
    lambda lib: lib.linalg.solve(lib.eye(2).expand(3, 2, 2), lib.ones(4, 2, 2)),
    lambda lib: lib.linalg.cholesky(-lib.eye(2)),
    lambda lib: lib.linalg.cholesky(lib.ones(2, 3)),
    lambda lib: lib.linalg.norm(lib.ones(2, 2, 3), 2),
    lambda lib: lib.linalg.norm(lib.tensor(2.0), 2),
    lambda lib: lib.linalg.norm(lib.ones(2, 3), 3),
    lambda lib: lib.linalg.norm(lib.ones(2, 3), 0, (0, 1)),
    lambda lib: lib.linalg.norm(lib.ones(2, 3), "odd"),
    lambda lib: lib.linalg.norm(lib.ones(3), "fro"),
    lambda lib: lib.linalg.norm(lib.ones(2, 3), "fro", 1),
    lambda lib: lib.linalg.norm(lib.ones(2, 3), dim=5),
    lambda lib: lib.linalg.norm(lib.ones(2, 3), dim=(0, 0)),
    lambda lib: lib.linalg.norm(lib.ones(2, 2, 3), dim=(0, 1, 2)),
    lambda lib: lib.linalg.norm(lib.ones(3).long()),
    lambda lib: lib.linalg.norm(lib.ones(3), dtype=lib.int64),
    lambda lib: lib.linalg.norm(lib.ones(3).double(), dtype=lib.float32),
    lambda lib: lib.linalg.norm(lib.ones(0), math.inf),
    lambda lib: lib.linalg.vector_norm(lib.ones(0), -1),
    lambda lib: lib.linalg.vector_norm(lib.ones(3), "fro"),
]


@pytest.mark.parametrize("k", range(len(BAD)))
def test_linalg_refuses(k):
    raises_alike(BAD[k])


def test_singular_matrices_are_a_linalg_error():
    refused = [
        lambda lib: lib.linalg.inv(lib.stack([lib.eye(2), lib.ones(2, 2)])),
        lambda lib: lib.linalg.solve(lib.stack([lib.eye(2), lib.ones(2, 2)]), lib.ones(2, 2)),
        lambda lib: lib.linalg.cholesky(lib.stack([lib.eye(2), -lib.eye(2)])),
    ]
    for lib, error in ((tn, tn.linalg.LinAlgError), (torch, torch.linalg.LinAlgError)):
        assert issubclass(error, RuntimeError)
        for call in refused:
            with pytest.raises(error, match=r"\(Batch element 1\): "):
                call(lib)
