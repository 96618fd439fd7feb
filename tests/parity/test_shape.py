"""Shape ops against PyTorch: values, dtypes, which results are views, two orders of gradients, and errors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinynet as tn

torch = pytest.importorskip("torch")

SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3)


def listed(result):
    return list(result) if isinstance(result, (tuple, list)) else [result]


def leaf(lib, a):
    return lib.tensor(a, requires_grad=a.dtype.kind == "f")


def gradients(lib, outputs, inputs, weights):
    """d/dx of sum w y^2, and d/dx of the sum of its squares: zeros where PyTorch has None."""
    loss = sum(
        (lib.tensor(w) * y * y).sum() for w, y in zip(weights, outputs, strict=True) if y.requires_grad
    )
    if not isinstance(loss, lib.Tensor):
        return []
    first = lib.autograd.grad(loss, inputs, create_graph=True, allow_unused=True)
    live = [g for g in first if g is not None and g.requires_grad]
    second = (
        lib.autograd.grad(sum((g * g).sum() for g in live), inputs, allow_unused=True)
        if live
        else [None for _ in inputs]
    )
    return [
        lib.zeros_like(x) if g is None else g
        for g, x in zip((*first, *second), (*inputs, *inputs), strict=True)
    ]


def agree(f, *arrays):
    """f(lib, *tensors) is the same in both: values, two derivatives, and what memory it shares."""
    ours, theirs = [[leaf(lib, a) for a in arrays] for lib in (tn, torch)]
    ys, zs = listed(f(tn, *ours)), listed(f(torch, *theirs))
    assert len(ys) == len(zs)
    for y, z in zip(ys, zs, strict=True):
        assert (y.shape, y.dtype.name) == (tuple(z.shape), str(z.dtype).removeprefix("torch."))
        np.testing.assert_array_equal(y.detach().numpy(), z.detach().numpy())
        for x, w in zip(ours, theirs, strict=True):
            if z.numel():
                assert np.may_share_memory(y.array, x.array) == (
                    z.untyped_storage().data_ptr() == w.untyped_storage().data_ptr()
                ), "one is a view, the other a copy"
    floats = [k for k, a in enumerate(arrays) if a.dtype.kind == "f"]
    weights = [np.random.default_rng(k).standard_normal(y.shape) for k, y in enumerate(ys)]
    mine, others = ([t[k] for k in floats] for t in (ours, theirs))
    for g, h in zip(gradients(tn, ys, mine, weights), gradients(torch, zs, others, weights), strict=True):
        np.testing.assert_allclose(g.detach().numpy(), h.detach().numpy(), rtol=1e-12, atol=1e-12)


def numbered(shape, dtype=np.float64):
    a = np.arange(1, 1 + np.prod(shape, dtype=int), dtype=dtype).reshape(shape)
    return a / 4 if dtype == np.float64 else a


LAYOUTS = {
    "plain": lambda x: x,
    "transposed": lambda x: x.transpose(0, -1),
    "every other": lambda x: x[..., ::2] if x.ndim else x,
    "expanded": lambda x: x.unsqueeze(0).expand(2, *x.shape),
}


# each draws the arguments for a shape, and gives f(lib, x)
def dims(draw, n, **size):
    return draw(st.lists(st.integers(-max(n, 1), max(n, 1) - 1), unique_by=lambda d: d % max(n, 1), **size))


def dim(draw, n):
    return draw(st.integers(-max(n, 1), max(n, 1) - 1))


def regrouped(draw, shape):
    """Another shape for as many elements, perhaps with a -1."""
    size, out = int(np.prod(shape, dtype=int)), []
    while size > 1 and len(out) < 3:
        out.append(draw(st.sampled_from([k for k in range(1, size + 1) if size % k == 0])))
        size //= out[-1]
    out.append(size)
    if draw(st.booleans()) and 0 not in out:
        out[draw(st.integers(0, len(out) - 1))] = -1
    return out


def reshape(draw, shape):
    new, spread = regrouped(draw, shape), draw(st.booleans())
    return lambda lib, x: x.reshape(*new) if spread else lib.reshape(x, tuple(new))


def view(draw, shape):
    new = regrouped(draw, shape)

    def f(lib, x):
        try:
            return x.view(*new)
        except RuntimeError as e:
            assert "view size" in str(e)
            return []

    return f


def flatten(draw, shape):
    a, b = sorted((dim(draw, len(shape)), dim(draw, len(shape))), key=lambda d: d % max(len(shape), 1))
    return lambda lib, x: lib.flatten(x, a, b)


def unflatten(draw, shape):
    if not shape:
        return lambda lib, x: x
    d = dim(draw, len(shape))
    new = regrouped(draw, shape[d : d + 1] if d >= 0 else (shape[d],))
    return lambda lib, x: x.unflatten(d, new)


def squeeze(draw, shape):
    some = draw(st.sampled_from(["none", "one", "several"]))
    if some == "none":
        return lambda lib, x: lib.squeeze(x)
    ds = dim(draw, len(shape)) if some == "one" else tuple(dims(draw, len(shape)))
    return lambda lib, x: lib.squeeze(x, ds)


def unsqueeze(draw, shape):
    d = draw(st.integers(-len(shape) - 1, len(shape)))
    return lambda lib, x: lib.unsqueeze(x, d)


def permute(draw, shape):
    order = draw(st.permutations(range(len(shape))))
    order = [d - len(shape) if draw(st.booleans()) else d for d in order]
    return lambda lib, x: lib.permute(x, tuple(order))


def transpose(draw, shape):
    a, b = dim(draw, len(shape)), dim(draw, len(shape))
    return lambda lib, x: lib.transpose(x, a, b)


def matrix_transposes(draw, shape):
    return lambda lib, x: [*([x.t(), x.T] if x.ndim == 2 else []), *([x.mT] if x.ndim > 1 else [])]


def movedim(draw, shape):
    a = dims(draw, len(shape))
    b = dims(draw, len(shape), min_size=len(a), max_size=len(a))
    return lambda lib, x: lib.movedim(x, tuple(a), tuple(b))


def expand(draw, shape):
    lead = draw(st.lists(st.integers(0, 3), max_size=2))
    new = [*lead, *(draw(st.integers(0, 3)) if n == 1 else draw(st.sampled_from([-1, n])) for n in shape)]
    full = [n if k < len(lead) or n != -1 else shape[k - len(lead)] for k, n in enumerate(new)]
    return lambda lib, x: [x.expand(new), lib.broadcast_to(x, full), x.expand_as(lib.zeros(full))]


def repeat(draw, shape):
    counts = draw(st.lists(st.integers(0, 2), min_size=len(shape), max_size=len(shape) + 1))
    return lambda lib, x: x.repeat(*counts) if counts else x.repeat(())


def tile(draw, shape):
    counts = tuple(draw(st.lists(st.integers(0, 2), max_size=3)))
    return lambda lib, x: lib.tile(x, counts)


def split(draw, shape):
    if not shape:
        return lambda lib, x: x
    d = dim(draw, len(shape))
    return lambda lib, x: lib.split(x, max(1, x.shape[d] - 1), d)


def split_sections(draw, shape):
    if not shape:
        return lambda lib, x: x
    d, share = dim(draw, len(shape)), draw(st.integers(0, 3))
    return lambda lib, x: x.split([min(share, x.shape[d]), 0, x.shape[d] - min(share, x.shape[d])], dim=d)


def chunk(draw, shape):
    if not shape:
        return lambda lib, x: x
    d, n = dim(draw, len(shape)), draw(st.integers(1, 4))
    return lambda lib, x: lib.chunk(x, n, d)


def unbind(draw, shape):
    if not shape:
        return lambda lib, x: x
    d = dim(draw, len(shape))
    return lambda lib, x: lib.unbind(x, d)


def flip(draw, shape):
    ds = tuple(dims(draw, len(shape)))
    return lambda lib, x: lib.flip(x, ds)


def roll(draw, shape):
    if draw(st.booleans()) or not shape:
        n = draw(st.integers(-4, 4))
        return lambda lib, x: lib.roll(x, n)
    ds = draw(st.lists(st.integers(-len(shape), len(shape) - 1), min_size=1, max_size=2))
    shifts = [draw(st.integers(-4, 4)) for _ in ds]
    return lambda lib, x: lib.roll(x, tuple(shifts), tuple(ds))


def contiguous(draw, shape):
    return lambda lib, x: x.contiguous()


OPS = [
    reshape,
    view,
    flatten,
    unflatten,
    squeeze,
    unsqueeze,
    permute,
    transpose,
    matrix_transposes,
    movedim,
    expand,
    repeat,
    tile,
    split,
    split_sections,
    chunk,
    unbind,
    flip,
    roll,
    contiguous,
]


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.__name__)
@given(SHAPES, st.sampled_from(sorted(LAYOUTS)), st.sampled_from([np.float64, np.int64]), st.data())
def test_one_tensor(op, shape, layout, dtype, data):
    laid = LAYOUTS[layout](torch.zeros(shape))
    f = op(data.draw, tuple(laid.shape))
    agree(lambda lib, x: f(lib, LAYOUTS[layout](x)), numbered(shape, dtype))


@given(SHAPES.filter(len), st.lists(st.integers(0, 3), min_size=1, max_size=3), st.data())
def test_cat(shape, lengths, data):
    d = dim(data.draw, len(shape))
    shapes = [(*shape[: d % len(shape)], n, *shape[d % len(shape) + 1 :]) for n in lengths]
    agree(lambda lib, *xs: lib.cat(xs, d), *map(numbered, shapes))
    agree(lambda lib, *xs: lib.cat([*xs, xs[0]], dim=d), *map(numbered, shapes))


@given(SHAPES, st.integers(1, 3), st.data())
def test_stack(shape, n, data):
    d = data.draw(st.integers(-len(shape) - 1, len(shape)))
    agree(lambda lib, *xs: lib.stack(xs, d), *(numbered(shape) + k for k in range(n)))


@given(hnp.array_shapes(min_dims=0, max_dims=3, min_side=1, max_side=2), st.integers(1, 2))
def test_hstack_vstack(shape, n):
    agree(lambda lib, *xs: [lib.hstack(xs), lib.vstack(xs)], *(numbered(shape) + k for k in range(n)))


@given(hnp.mutually_broadcastable_shapes(num_shapes=3, max_dims=3, max_side=3))
def test_broadcast_tensors(shapes):
    agree(lambda lib, *xs: lib.broadcast_tensors(*xs), *map(numbered, shapes.input_shapes))


@pytest.mark.parametrize(
    "dtypes", [("f4", "f8"), ("i8", "f4"), ("i4", "i8"), ("?", "i4"), ("f2", "i8"), ("u1", "i1")]
)
def test_joining_promotes(dtypes):
    arrays = [np.ones(2, d) for d in dtypes]
    agree(lambda lib, *xs: [lib.cat(xs), lib.stack(xs), lib.hstack(xs), lib.vstack(xs)], *arrays)


def test_an_empty_vector_joins_anything():
    agree(lambda lib, x: lib.cat([lib.tensor([], dtype=lib.float64), x]), numbered((2, 3)))


def test_the_same_object_where_there_is_nothing_to_do():
    x = tn.zeros(2, 3)
    assert x.contiguous() is x and x.flatten(1) is x


REFUSED = """x.reshape(2, 5); x.reshape(-1, 5); x.reshape(-1, -1); x.reshape(-2, 6); z.reshape(-1, 0)
x.t().view(12); x.view(-1, 5); x.permute(0); x.permute(0, 0); x.permute(0, 2); x.expand(2, 4); x.expand(4)
x.expand(-1, 3, 4); x.expand(3, -2); x.broadcast_to((2, 4)); lib.broadcast_tensors(x, v)
lib.transpose(x, 0, 2); lib.zeros(1, 1, 1).t(); v.mT; x.movedim((0, 1), (0,)); x.movedim((0, 0), (0, 1))
x.movedim((0, 1), (1, 1)); x.movedim(0, 2); x.unflatten(0, (2, 2)); x.unflatten(0, (-1, 2))
x.unflatten(0, (-1, -3)); x.unflatten(0, ()); x.unflatten(5, (1,)); x.flatten(1, 0); x.flatten(3)
x.squeeze(3); x.squeeze((0, 0)); x.unsqueeze(3); x.repeat(2); x.repeat(2, -1); x.split(0); x.split(-1)
x.split([1, 1]); x.split([4, -1]); x.split(2.0); x.split(1, 2); x.chunk(0); x.chunk(2.0); x.chunk(2, 3)
s.chunk(1); s.split(1); s.unbind(); x.unbind(3); lib.cat([]); lib.cat([s]); lib.cat([x, lib.ones(3, 3)])
lib.cat([x, v]); lib.cat([x, x], dim=2); lib.cat(x); lib.cat([x, 3]); lib.stack([]); lib.stack([x, v])
lib.stack([x, x], dim=3); lib.hstack([]); lib.hstack([x, v]); lib.vstack([]); lib.vstack([x, v])
lib.flip(x, (0, 0)); lib.flip(x, (2,)); lib.roll(x, 1, (0, 1)); lib.roll(x, (1, 2))
lib.roll(x, (1, 2), 0); lib.roll(x, 1, 5); lib.roll(x, (), ()); lib.roll(s, 1, 0)
lib.reshape(x, (2.0, 6)); x.transpose(0, 1, 2); lib.cat([x, x], dim=1.5)"""


@pytest.mark.parametrize("line", [c.strip() for c in REFUSED.replace("\n", ";").split(";")])
def test_refused_as_in_pytorch(line):
    raised = []
    for lib in (tn, torch):
        names = {"lib": lib, "x": lib.zeros(3, 4), "v": lib.zeros(3), "z": lib.zeros(0), "s": lib.tensor(1.0)}
        with pytest.raises(Exception) as caught:  # the type is compared below
            eval(line, names)
        raised.append(caught)
    assert raised[0].type is raised[1].type, raised[0].value
    assert "array" not in str(raised[0].value)  # NumPy's word
