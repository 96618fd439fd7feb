"""Shape ops against NumPy and by finite differences; which share memory, and what writing to a view does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinynet as tn
from tinynet.ops import joining
from tinynet.ops import shape as ops

X = tn.tensor(np.random.default_rng(0).standard_normal((2, 3, 4)), requires_grad=True)
ROW = tn.tensor(np.random.default_rng(1).standard_normal((1, 3)), requires_grad=True)

PRIMITIVES = {
    "reshape": (lambda x: ops.reshape(x, shape=(4, -1)), X),
    "permute": (lambda x: ops.permute(x, dims=(2, -3, 1)), X),
    "expand": (lambda x: ops.expand(x, shape=(2, 4, -1)), ROW),
    "expand to the same": (lambda x: ops.expand(x, shape=(1, 3)), ROW),
    "repeat": (lambda x: ops.repeat(x, repeats=(2, 3, 1)), ROW),
    "cat": (lambda x, y: joining.cat_(x, y, x, dim=1), ROW, ROW.detach()[:, :2].requires_grad_()),
    "stack": (lambda x, y: joining.stack_(x, y, dim=-1), ROW, (ROW * 2).detach().requires_grad_()),
    "split": (lambda x: joining.split_with_sizes(x, split_sizes=[1, 0, 2], dim=1), X),
    "unbind": (lambda x: joining.unbind(x, dim=-1), X),
    "flip": (lambda x: ops.flip(x, dims=(0, -1)), X),
    "roll": (lambda x: ops.roll(x, shifts=(1, -2), dims=(0, 2)), X),
    "roll as one": (lambda x: ops.roll(x, shifts=5), X),
}


@pytest.mark.parametrize("name", PRIMITIVES)
def test_gradients(name):
    f, *xs = PRIMITIVES[name]
    bent = lambda *xs: [y * y for y in (lambda r: r if isinstance(r, tuple) else (r,))(f(*xs))]  # noqa: E731
    assert tn.autograd.gradcheck(lambda *xs: tuple(bent(*xs)), xs)
    assert tn.autograd.gradgradcheck(lambda *xs: tuple(bent(*xs)), xs)


@given(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0), st.lists(st.integers(0, 2), max_size=4))
def test_tile_is_numpys(shape, counts):
    a = np.arange(np.prod(shape, dtype=int)).reshape(shape)
    np.testing.assert_array_equal(tn.tile(tn.tensor(a), tuple(counts)).array, np.tile(a, counts))


@given(hnp.array_shapes(min_dims=1, max_dims=3, min_side=0), st.integers(-7, 7), st.data())
def test_roll_and_flip_are_numpys(shape, n, data):
    a, d = (
        np.arange(np.prod(shape, dtype=int)).reshape(shape),
        data.draw(st.integers(-len(shape), len(shape) - 1)),
    )
    np.testing.assert_array_equal(tn.roll(tn.tensor(a), n, d).array, np.roll(a, n, d))
    np.testing.assert_array_equal(tn.roll(tn.tensor(a), n).array, np.roll(a, n))
    np.testing.assert_array_equal(tn.flip(tn.tensor(a), (d,)).array, np.flip(a, d))


@given(hnp.array_shapes(min_dims=1, max_dims=3, min_side=0), st.integers(1, 4), st.data())
def test_what_is_cut_joins_again(shape, n, data):
    d = data.draw(st.integers(-len(shape), len(shape) - 1))
    x = tn.arange(int(np.prod(shape, dtype=int))).reshape(shape)
    for pieces in (x.split(n, d), x.chunk(n, d)):
        assert tn.equal(tn.cat(pieces, d), x)
    if shape[d]:
        assert tn.equal(tn.stack(x.unbind(d), d), x)


VIEWS = {
    "reshape": lambda x: x.reshape(6, 4),
    "view": lambda x: x.view(-1),
    "permute": lambda x: x.permute(2, 0, 1),
    "expand": lambda x: x.unsqueeze(0).expand(2, -1, -1, -1),
    "squeeze": lambda x: x[:1].squeeze(),
    "transpose": lambda x: x.transpose(0, 2),
    "mT": lambda x: x.mT,
    "split": lambda x: x.split(2, 2)[1],
    "chunk": lambda x: x.chunk(2)[1],
    "unbind": lambda x: x.unbind(1)[2],
    "one of a vector": lambda x: x.view(-1).unbind()[5],
    "flatten": lambda x: x.flatten(1),
    "unflatten": lambda x: x.unflatten(2, (2, -1)),
    "movedim": lambda x: x.movedim(0, 2),
}
COPIES = {
    "flip": lambda x: x.flip(0),
    "roll": lambda x: x.roll(1),
    "repeat": lambda x: x.repeat(1, 1, 1),
    "tile": lambda x: x.tile(1),
    "cat": lambda x: tn.cat([x]),
    "stack": lambda x: tn.stack([x]),
    "no view possible": lambda x: x.transpose(0, 2).reshape(-1),
    "contiguous": lambda x: x.transpose(0, 2).contiguous(),
}


@pytest.mark.parametrize("name", [*VIEWS, *COPIES])
def test_memory(name):
    x = tn.zeros(2, 3, 4)
    assert np.shares_memory((VIEWS | COPIES)[name](x).array, x.array) == (name in VIEWS)


@pytest.mark.parametrize("name", sorted(set(VIEWS) - {"expand"}))
def test_writing_into_a_view_is_differentiated(name):
    """y = 2x, then a window of y is tripled: dy/dx is 6 there and 2 elsewhere."""
    x = tn.ones(2, 3, 4, requires_grad=True)
    y = x * 2
    VIEWS[name](y).mul_(3)
    y.sum().backward()
    window = tn.full((2, 3, 4), 2.0)
    VIEWS[name](window).fill_(6.0)
    np.testing.assert_array_equal(x.grad.array, window.array)


def test_another_shape_in_place():
    """The tensor itself changes shape; views taken before stay views of its memory, and writes go both ways."""
    w = tn.ones(3, requires_grad=True)
    y = w * 2
    head = y[:2]
    assert y.unsqueeze_(0).transpose_(0, 1) is y and y.shape == (3, 1) and head.shape == (2,)
    head.mul_(3)
    y.mul_(10)
    assert head.tolist() == [60, 60]
    (y.squeeze_(1) * head.sum()).sum().backward()  # S (S + 20 w3), for S = 60 (w1 + w2)
    assert y.shape == (3,)
    assert w.grad.tolist() == [60 * (2 * 120 + 20)] * 2 + [20 * 120]
    m = tn.zeros(2, 3)
    assert m.t_().shape == (3, 2)
    with tn.no_grad():
        assert w.unsqueeze_(1).is_leaf
    w.grad = None
    w.sum().backward()
    assert w.grad.shape == (3, 1)


def test_a_leaf_keeps_its_shape_where_its_gradient_is_wanted():
    for change in ("squeeze_", "t_"):
        with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
            getattr(tn.ones(1, requires_grad=True), change)()
    with pytest.raises(RuntimeError, match="a view of a leaf Variable"):
        tn.ones(1, requires_grad=True)[:].unsqueeze_(0)


def test_an_expanded_tensor_is_not_written():
    with pytest.raises(RuntimeError, match="more than one element of the written-to tensor"):
        tn.zeros(1).expand(3).add_(1)
    part = tn.zeros(1, 2).expand(3, 2)[0]
    part.add_(1)  # each element of this is there once
    assert part.tolist() == [1, 1]


@pytest.mark.parametrize(
    "call, text",
    [
        (lambda x: x.reshape(5, -1), r"shape '\[5, -1\]' is invalid for input of size 24"),
        (lambda x: x.reshape(-3, 8), r"invalid shape dimension -3 at index 0"),
        (lambda x: x.mT.view(-1), r"view size \[24\] is not compatible .* Use .reshape"),
        (
            lambda x: x.expand(2, 5, 4),
            r"expanded size of the tensor \(5\) must match the existing size \(3\) .* dimension 1",
        ),
        (lambda x: x.split([1, 2], 2), r"sum exactly to 4 .*dimension 2\), but got split_sizes=\[1, 2\]"),
        (
            lambda x: tn.cat([x, x[:, :, 1:]]),
            r"except in dimension 0. Expected size 4 but got size 3 for tensor number 1",
        ),
        (
            lambda x: tn.stack([x, x[0]]),
            r"equal size, but got \[2, 3, 4\] at entry 0 and \[3, 4\] at entry 1",
        ),
        (
            lambda x: tn.broadcast_tensors(x, x[:, :2]),
            r"size of tensor a \(3\) must match the size of tensor b \(2\)",
        ),
    ],
)
def test_messages_name_the_figures(call, text):
    with pytest.raises(RuntimeError, match=text):
        call(tn.zeros(2, 3, 4))


def test_images_of_the_kernels_can_be_viewed_whatever_their_memory():
    x = tn.randn(8, 3, 32, 32).requires_grad_()
    w = tn.randn(16, 3, 3, 3)
    for images in (tn.nn.functional.conv2d(x, w), tn.nn.functional.conv2d(x, w).relu() + 1):
        expected = images.detach().numpy().reshape(8, -1)
        np.testing.assert_array_equal(images.view(8, -1).detach().numpy(), expected)
        (images.view(8, -1) * 2).sum().backward()
    with tn.no_grad():
        assert tn.nn.functional.conv2d(x, w).sqrt().view(-1).shape == (8 * 16 * 30 * 30,)
    theirs = np.zeros((2, 4, 5, 3)).transpose(0, 3, 1, 2)
    shared = tn.from_numpy(theirs)
    with pytest.raises(RuntimeError, match="view size"):  # it shares its memory
        shared.view(-1)
    with pytest.raises(RuntimeError, match="view size"):
        tn.from_numpy(np.asfortranarray(np.zeros((2, 3, 4, 5)))).view(-1)
