"""Indexing against PyTorch: values, which results are views, writes, two orders of gradients, and errors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinynet as tn

torch = pytest.importorskip("torch")

SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3)
FULL = hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=3)


def listed(result):
    return list(result) if isinstance(result, (tuple, list)) else [result]


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
    ours, theirs = [[lib.tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays] for lib in (tn, torch)]
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


def numbered(shape, dtype=np.float64, start=1):
    a = np.arange(start, start + np.prod(shape, dtype=int), dtype=dtype).reshape(shape)
    return a / 4 if dtype == np.float64 else a


@st.composite
def indices(draw, shape, unique=False):
    """What can stand in brackets: ints, slices, None, one ..., masks, and arrays that broadcast."""
    out, dim, length, dots = [], 0, draw(st.integers(1, 3)), False
    while dim < len(shape) and len(out) < 6:
        n = shape[dim]
        kind = draw(
            st.sampled_from(
                ["int", "slice", "slice", "array", "array", "mask", "mask2", "none", "dots", "true", "stop"]
            )
        )
        if kind == "stop":
            break
        if kind == "none":
            out.append(None)
        elif kind == "true" and dim + 1 == len(shape):
            out.append(draw(st.sampled_from([True, np.array(True)])))
        elif kind == "dots" and not dots:
            dots, skip = True, draw(st.integers(0, len(shape) - dim))
            out.append(...)
            dim = len(shape) if skip == len(shape) - dim else dim + skip
            if dim < len(shape):  # what follows ... is counted from the end
                out += [slice(None)] * (len(shape) - dim)
                break
        elif kind == "int" and n:
            out.append(
                draw(st.sampled_from([int, np.int64, lambda k: np.array(k)]))(draw(st.integers(-n, n - 1)))
            )
            dim += 1
        elif kind == "slice":
            bound = st.none() | st.integers(-n - 1, n + 1)
            out.append(slice(draw(bound), draw(bound), draw(st.none() | st.integers(1, 3))))
            dim += 1
        elif kind == "array" and n and not (unique and n < length):
            cells = st.lists(st.integers(0, n - 1), min_size=length, max_size=length, unique=unique)
            a = np.array(draw(cells), dtype=draw(st.sampled_from(["i8", "i4"])))
            a = a - n if draw(st.booleans()) else a
            out.append(a.reshape(draw(st.sampled_from([(length,), (1, length)]))))
            dim += 1
        elif kind == "mask":
            mask = np.zeros(n, bool)
            mask[:length] = True
            if mask.sum() == length:
                out.append(mask[::-1].copy())
                dim += 1
        elif kind == "mask2" and dim + 1 < len(shape):
            mask = np.zeros(shape[dim : dim + 2], bool)
            mask.reshape(-1)[:length] = True
            if mask.sum() == length:
                out.append(mask)
                dim += 2
    return out[0] if len(out) == 1 and draw(st.booleans()) else tuple(out)


def translated(lib, index):
    if isinstance(index, tuple):
        return tuple(translated(lib, k) for k in index)
    return lib.tensor(index) if isinstance(index, np.ndarray) else index


@given(SHAPES, st.sampled_from([np.float64, np.int64]), st.data())
def test_getitem(shape, dtype, data):
    index = data.draw(indices(shape))
    agree(lambda lib, x: x[translated(lib, index)], numbered(shape, dtype))


@given(SHAPES, st.sampled_from(["number", "row", "whole", "more dims"]), st.booleans(), st.data())
def test_setitem(shape, kind, view, data):
    index = data.draw(indices(shape, unique=True))
    target = tuple(torch.zeros(shape)[translated(torch, index)].shape)
    value = {"number": (), "row": target[-1:], "whole": target, "more dims": (1, *target)}[kind]

    def f(lib, x, v):
        y = x * 2
        (y.transpose(0, -1) if view and shape == shape[::-1] else y)[translated(lib, index)] = v
        return y

    agree(f, numbered(shape), numbered(value, start=100))


@pytest.mark.parametrize("value", [7, 2.5, True])
@pytest.mark.parametrize("dtype", ["f4", "i8", "?"])
def test_setting_to_a_number_keeps_the_dtype(dtype, value):
    def f(lib, x):
        y = x.clone()
        y[[0, 2]] = value
        y[1] = value
        return y

    agree(f, np.zeros((4, 2), dtype))


@pytest.mark.parametrize(
    "index",
    [
        [0, 2],
        [],
        [True, False, True],
        (0, [0, 1]),
        (slice(None), 0, [0, 1]),
        (0, slice(None), [1, 1]),
        ([0, 1], slice(None), 0),
        (slice(None), True),
        (0, True),
        ([0, 1], None, [0, 1]),
        range(2),
        ((0, 1),),
        (),
        np.array([2, 0]),
        np.int32(1),
        False,
        (Ellipsis, [0, 1]),
        ([1, 0], Ellipsis, [0, 1]),
        slice(np.int64(0), 2),
    ],
    ids=str,
)
def test_forms(index):
    agree(lambda lib, x: x[index], numbered((3, 2, 3)))


def test_ints_in_a_tensor_index_a_view_and_bytes_are_a_mask():
    agree(lambda lib, x: x[lib.tensor(1)], numbered((3, 2)))
    with pytest.warns(UserWarning, match="uint8 is now deprecated"):
        agree(lambda lib, x: x[lib.tensor([0, 1, 1], dtype=lib.uint8)], numbered((3, 2)))


@given(SHAPES, st.booleans(), st.data())
def test_index_put(shape, accumulate, data):
    index = data.draw(indices(shape, unique=not accumulate))
    index = index if isinstance(index, tuple) else (index,)
    index = tuple(k for k in index if isinstance(k, np.ndarray) and k.ndim)
    if not index:
        return
    try:
        target = tuple(torch.zeros(shape)[translated(torch, index)].shape)
    except IndexError:
        return
    agree(
        lambda lib, x, v: lib.index_put(x, translated(lib, index), v, accumulate),
        numbered(shape),
        numbered(target, start=50),
    )
    agree(
        lambda lib, x, v: x.index_put(translated(lib, index), v, accumulate=accumulate),
        numbered(shape),
        np.array(9.0),
    )


@given(FULL, st.data())
def test_gather_and_scatter(shape, data):
    d = data.draw(st.integers(-len(shape), len(shape) - 1))
    small = tuple(data.draw(st.integers(0, n)) for n in shape)
    index = data.draw(hnp.arrays("i8", small, elements=st.integers(0, shape[d] - 1)))
    agree(lambda lib, x: lib.gather(x, d, lib.tensor(index)), numbered(shape))
    agree(
        lambda lib, x, v: x.scatter_add(d, lib.tensor(index), v), numbered(shape), numbered(small, start=30)
    )
    agree(lambda lib, x, v: x.scatter_add(d, lib.tensor(index), v), *[numbered(shape, np.int64)] * 2)
    each_once = np.argsort(np.random.default_rng(0).random(shape), axis=d)
    order = each_once[tuple(map(slice, small))]
    agree(lambda lib, x, v: x.scatter(d, lib.tensor(order), v), numbered(shape), numbered(small, start=30))
    agree(lambda lib, x, v: x.scatter(d, lib.tensor(order), v), *[numbered(shape, np.int64)] * 2)
    agree(lambda lib, x: lib.scatter(x, d, lib.tensor(order), 1.5), numbered(shape))


@given(
    hnp.mutually_broadcastable_shapes(num_shapes=2, min_dims=2, max_dims=2, min_side=1, max_side=3), st.data()
)
def test_take_along_dim(shapes, data):
    a, b = (((1,) * 2 + s)[-2:] for s in shapes.input_shapes)
    d = data.draw(st.integers(-2, 1))
    index = data.draw(hnp.arrays("i8", b, elements=st.integers(-a[d], a[d] - 1)))
    agree(lambda lib, x: lib.take_along_dim(x, lib.tensor(index), d), numbered(a))
    agree(lambda lib, x: lib.take_along_dim(x, lib.tensor(index % a[d])), numbered(a))


@given(FULL, st.data())
def test_slices(shape, data):
    d = data.draw(st.integers(-len(shape), len(shape) - 1))
    n = shape[d]
    k, start = data.draw(st.integers(-n, n - 1)), data.draw(st.integers(0, n))
    rows = data.draw(hnp.arrays("i8", st.integers(0, 4), elements=st.integers(0, n - 1)))
    more = (*shape[: d % len(shape)], len(rows), *shape[d % len(shape) + 1 :])
    counts = data.draw(hnp.arrays("i8", n, elements=st.integers(0, 2)))
    agree(lambda lib, x: lib.select(x, d, k), numbered(shape))
    agree(lambda lib, x: lib.narrow(x, d, start, data.draw(st.just(n - start))), numbered(shape))
    agree(lambda lib, x: lib.index_select(x, d, lib.tensor(rows)), numbered(shape))
    agree(
        lambda lib, x, v: lib.index_add(x, d, lib.tensor(rows), v, alpha=2),
        numbered(shape),
        numbered(more, start=9),
    )
    agree(lambda lib, x: lib.repeat_interleave(x, lib.tensor(counts), d), numbered(shape))
    agree(lambda lib, x: [x.repeat_interleave(2), x.repeat_interleave(2, dim=d)], numbered(shape))


@given(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, max_side=3), st.data())
def test_masks(shapes, data):
    a, m = shapes.input_shapes
    mask = data.draw(hnp.arrays(bool, m))
    agree(
        lambda lib, x: [lib.masked_fill(x, lib.tensor(mask), 2.5), lib.masked_select(x, lib.tensor(mask))],
        numbered(a),
    )
    agree(lambda lib, x, v: x.masked_fill(lib.tensor(mask), v), numbered(a), np.array(5.0))
    agree(lambda lib, x: x.masked_fill(lib.tensor(mask), 2.5), numbered(a, np.int64))
    agree(lambda lib, x: [lib.nonzero(x), *x.nonzero(as_tuple=True)], mask)


@given(hnp.array_shapes(min_dims=2, max_dims=4, min_side=0, max_side=3), st.integers(-4, 4), st.data())
def test_diagonals_and_triangles(shape, offset, data):
    i, j = data.draw(st.permutations(range(len(shape))))[:2]
    agree(lambda lib, x: [lib.diagonal(x, offset, i, j - len(shape)), x.diagonal()], numbered(shape))
    agree(lambda lib, x: [lib.tril(x, offset), lib.triu(x, diagonal=offset)], numbered(shape))
    agree(lambda lib, x: [lib.diag(x, offset), lib.trace(x)], numbered(shape[:2]))
    agree(lambda lib, x: lib.diag(x, offset), numbered(shape[:1]))


@pytest.mark.parametrize(
    "f",
    [
        lambda lib, x: lib.gather(x, 0, lib.tensor([0, 0])),
        lambda lib, x: lib.gather(x, -1, lib.tensor(0)),
        lambda lib, x: lib.index_select(x, 0, lib.tensor([0])),
        lambda lib, x: lib.nonzero(x),
        lambda lib, x: x[None],
        lambda lib, x: x.nonzero(as_tuple=True),
        lambda lib, x: x.scatter_add(0, lib.tensor([0, 0]), lib.ones(2, dtype=x.dtype)),
        lambda lib, x: lib.take_along_dim(x, lib.tensor([0])),
        lambda lib, x: x[lib.tensor(True)],
        lambda lib, x: x[...],
    ],
)
def test_a_number_is_a_vector_of_one(f):
    agree(f, np.array(2.0))


def test_the_rest():
    x = numbered((3, 4), np.int32)
    agree(
        lambda lib, x: [
            lib.trace(x),
            lib.tril(x),
            lib.diag(x),
            x.index_add(0, lib.tensor([0]), x[1:2] * 2, alpha=1.5),
        ],
        x,
    )
    agree(
        lambda lib, x: [lib.repeat_interleave(x), lib.repeat_interleave(x, 2, output_size=8)],
        np.array([1, 0, 2, 1]),
    )
    agree(lambda lib, x: x.masked_fill(x > 3, -1), np.arange(6, dtype="u1"))
    for dtype in ("f4", "i8"):
        agree(lambda lib, x, v: x.masked_fill(x > 3, v.detach()), np.arange(6, dtype=dtype), np.array(1.5))
    agree(lambda lib, x: x.scatter(0, lib.tensor([[0]]), value=3), x)


@pytest.mark.parametrize(
    "name", ["masked_fill_", "scatter_", "scatter_add_", "index_add_", "index_put_", "tril_"]
)
def test_in_place(name):
    def f(lib, x, v):
        i = lib.tensor([[0, 1, 1, 0]])
        given = {
            "masked_fill_": (x > 1, 3.0),
            "scatter_": (0, i, v),
            "scatter_add_": (0, i, v),
            "tril_": (),
            "index_add_": (0, lib.tensor([2]), v),
            "index_put_": ((lib.tensor([2]),), v),
        }[name]
        y = x * 1
        assert getattr(y, name)(*given) is y
        return y

    agree(f, numbered((3, 4)), numbered((1, 4), start=20))


REFUSED = """x[5]; x[0, 7]; x[-4]; x[0, 0, 0]; x[[0, 7]]; x[[0, -4]]; x[:, [0, 4]]
x[T([0, 1]), T([0, 1, 2])]; x[T([True, False])]; x[T([[True, False]])]; x[:, T([True, False, True])]
x[T([0.0, 1.0])]; x[1.0]; x[::-1]; x[1.5:]; x[T([0], dtype=lib.int8)]
x[T([True, False, True]), T([0, 1, 2])]; s[0]; s[:]; s[T([0])]; x[T([]),]; x.__setitem__(5, 1.0)
x.__setitem__(0, lib.ones(3)); x.__setitem__(0, lib.ones(2, 4)); x.__setitem__([0, 1], lib.ones(3))
x.__setitem__(x > -1, lib.ones(3)); x.__setitem__([0, 9], 1.0); x.__setitem__(0, 'a')
lib.gather(x, 0, T([[0, 5]])); lib.gather(x, 0, T([[0, -1]])); lib.gather(x, 0, T([0]))
lib.gather(x, 0, T([[0.0]])); lib.gather(x, 0, T([[0]], dtype=lib.int16))
lib.gather(x, 0, lib.zeros(2, 5, dtype=lib.int64)); lib.gather(x, 2, T([[0]])); lib.gather(x, 0, [[0]])
lib.gather(s, 0, T(1)); lib.scatter(x, 0, T([[0, 5]]), 1.0)
lib.scatter(x, 0, T([[0, 1]]), lib.ones(1, 1))
lib.scatter(x, 0, T([[0, 1]]), lib.ones(2, 3, dtype=lib.float64)); lib.scatter(x, 0, T([[0]]))
lib.scatter(x, 0, T([[0]]), T(3.0)); lib.scatter_add(x, 0, T([[0, 5]]), lib.ones(1, 2))
lib.scatter_add(x, 0, T([[0, 1]]), lib.ones(1, 1)); lib.scatter_add(x, 0, T([[0, 1]]), 1.0)
lib.index_select(x, 0, T([5])); lib.index_select(x, 0, T([-1])); lib.index_select(x, 0, T([[0]]))
lib.index_select(x, 0, T([0.0])); lib.index_select(x, 3, T([0])); lib.index_select(x, 0, [0])
lib.index_add(x, 0, T([0]), lib.ones(2, 4)); lib.index_add(x, 0, T([5]), lib.ones(1, 4))
lib.index_add(x, 0, T([-1]), lib.ones(1, 4)); lib.index_add(x, 0, T([0]), lib.ones(1, 3))
lib.index_add(x, 0, T([0.0]), lib.ones(1, 4))
lib.index_add(x, 0, T([0]), lib.ones(1, 4, dtype=lib.float64))
lib.index_add(x, 0, T([[0]]), lib.ones(1, 4)); lib.masked_fill(x, x, 1.0)
lib.masked_fill(x, x > 3, lib.ones(4)); lib.masked_fill(x, T([True, False]), 1.0)
lib.masked_fill(x, [True], 1.0); lib.zeros(2, dtype=lib.uint8).masked_fill(T([True, False]), 300)
lib.masked_select(x, x); lib.masked_select(x, T([True, False])); lib.masked_select(x, [True])
lib.take_along_dim(x, T([0, 5]), 0); lib.take_along_dim(x, T([[0.0]]), 1)
lib.take_along_dim(x, T([[0]], dtype=lib.int32), 1); lib.take_along_dim(x, T([[0], [0]]), 1)
lib.index_put(x, (T([0]),), lib.ones(3)); lib.index_put(x, (T([0]),), T(1.0, dtype=lib.float64))
lib.index_put(x, (T([5]),), T(1.0)); lib.index_put(x, T([0]), T(1.0)); lib.index_put(x, (T([0]),), 1.0)
lib.diagonal(v); lib.diagonal(x, 0, 1, 1); lib.diagonal(x, -1, 0, 3); lib.trace(v)
lib.diag(lib.zeros(1, 1, 1)); lib.diag(s); lib.tril(v); lib.triu(s); x.narrow(0, 5, 1); x.narrow(0, 2, 5)
x.narrow(0, 0, -1); x.narrow(0, -5, 1); x.select(0, 3); x.select(2, 0); s.select(0, 0); s.narrow(0, 0, 1)
lib.repeat_interleave(x, T([1, 2]), 0); lib.repeat_interleave(x, -1)
lib.repeat_interleave(x, lib.ones(1, 3), 0); lib.take_along_dim(s, T(0), 0)
lib.repeat_interleave(x, T([1, -2, 1]), 0); lib.repeat_interleave(x, T([2, 2, 2]), 0, output_size=5)"""


@pytest.mark.parametrize("line", [c.strip() for c in REFUSED.replace("\n", ";").split(";")])
def test_refused_as_in_pytorch(line):
    raised = []
    for lib in (tn, torch):
        names = {"lib": lib, "T": lib.tensor, "x": lib.zeros(3, 4), "v": lib.zeros(3), "s": lib.tensor(1.0)}
        with pytest.raises(Exception) as caught:
            eval(line, names)
        raised.append(caught)
    assert raised[0].type is raised[1].type, raised[0].value
    assert "array" not in str(raised[0].value)  # NumPy's word


def test_messages_name_the_index_and_the_size():
    x = tn.zeros(3, 4)
    for index, text in (
        (5, "index 5 is out of bounds for dimension 0 with size 3"),
        ((0, [1, -9]), "index -9 is out of bounds for dimension 1 with size 4"),
        ((..., 4), "index 4 is out of bounds for dimension 1 with size 4"),
    ):
        with pytest.raises(IndexError, match=text):
            x[index]
    with pytest.raises(IndexError, match="index 9 is out of bounds for dimension 1 with size 4"):
        x.take_along_dim(tn.tensor([[9]]), 1)  # PyTorch wraps it round
