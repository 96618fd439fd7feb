"""The graph and the backward walk: what is kept, what is freed, what is accumulated, and what is refused."""
import gc
import sys
import threading
import tracemalloc
import weakref

import numpy as np
import pytest

import tinynet as tn
from tinynet.ops._primitive import PRIMITIVES, primitive


def leaf(n=4):
    return tn.linspace(0.5, 1.5, n, dtype=tn.float64, requires_grad=True)


@pytest.fixture
def own_primitive():
    """Make a primitive that is forgotten after the test."""
    before = dict(PRIMITIVES)
    yield primitive
    PRIMITIVES.clear()
    PRIMITIVES.update(before)


def test_a_node_keeps_only_what_the_rules_of_tracked_arguments_name():
    x, y = leaf(), leaf()
    assert (x * 2.0).place.args == [None, 2.0]
    assert (x * y.detach()).place.args[0] is None
    assert (x + y).place.args == (None, None)
    assert tn.tanh(x).place.args == [None]
    values, _ = tn.max(x, 0)
    assert values.grad_fn.args == [(4,)]
    assert values.grad_fn.out[0] is None


class SavesItsOutput(tn.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        y = tn.exp(x)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, g):
        return g * ctx.saved_tensors[0]


def test_there_are_no_cycles():
    gc.collect()
    gc.disable()
    try:
        x = leaf(100)
        a = tn.tanh(x * x)
        b = a * a
        b.retain_grad()
        window = b[2:5]
        window *= 2.0
        loss = tn.softmax(b.reshape(10, 10), 1).sum() + b.reshape(10, 10).unbind()[3].sum()
        loss = loss + SavesItsOutput.apply(b).sum() + window.sum()
        dead = [weakref.ref(t) for t in (a, b, window, loss)] + [weakref.ref(t.array) for t in (a, b)]
        loss.backward(create_graph=True)
        g = x.grad
        (g * g).sum().backward()
        dead += [weakref.ref(g), weakref.ref(g.array)]
        x.grad = None
        del a, b, window, loss, g
        assert all(r() is None for r in dead), [r() is None for r in dead]
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_memory_falls_during_backward():
    x = leaf(100_000)
    gc.collect()
    gc.disable()
    try:
        tracemalloc.start()
        h = x
        for _ in range(20):
            h = tn.tanh(h)
        held = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        s = h.sum()
        del h
        s.backward()
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()
    assert peak < held + 4 * 0.8e6  # a few arrays in flight, not twenty
    assert after < 1e6  # the gradient alone, though the loss is alive


def test_a_second_backward_says_what_to_do():
    x = leaf()
    s = (x * x).sum()
    s.backward(retain_graph=True)
    s.backward()
    np.testing.assert_allclose(x.grad.array, 4 * x.array)
    with pytest.raises(RuntimeError, match=r"second time.*mul.*retain_graph=True"):
        s.backward()


def test_a_graph_that_saved_nothing_can_be_walked_again():
    x = leaf()
    s = (x + x).sum()
    s.backward()
    s.backward()
    np.testing.assert_allclose(x.grad.array, 4.0)


def test_hooks_see_and_replace_the_gradient_and_can_be_removed():
    x, seen = leaf(), []
    x.register_hook(lambda g: seen.append(g.array.copy()))
    h = x * x
    h.retain_grad()
    h.register_hook(lambda g: g * 3.0)
    h.register_hook(lambda g: g * 100.0).remove()
    (h + x * 1.0).sum().backward()
    assert len(seen) == 1
    np.testing.assert_allclose(h.grad.array, 3.0)  # what the hooks made of it
    np.testing.assert_allclose(x.grad.array, 6 * x.array + 1)
    with pytest.raises(RuntimeError, match="doesn't require gradient"):
        tn.ones(2).register_hook(print)
    y = leaf()
    y.register_hook(lambda g: g.sum())
    with pytest.raises(RuntimeError, match=r"hook returned \[\] for a gradient of shape \[4\]"):
        (y * y).sum().backward()


def test_retain_grad_follows_the_tensor_through_writes():
    x = leaf()
    h = x * 2.0
    h.retain_grad()
    h *= 3.0
    (h * h).sum().backward()
    np.testing.assert_allclose(h.grad.array, 2 * h.array)
    assert h.retains_grad


def test_leaves_never_share_a_gradient_and_accumulate_in_place():
    a, b, seed = leaf(), leaf(), tn.ones(4, dtype=tn.float64)
    (a + b).backward(seed)
    a.grad.array[...] *= 5
    assert b.grad.array[0] == seed.array[0] == 1
    first = a.grad
    (a * 2.0).sum().backward()
    assert a.grad is first
    assert first.array[0] == 7


def test_a_gradient_the_rule_made_is_kept_uncopied(own_primitive):
    made = []
    twice = own_primitive(lambda xp, a: xp.multiply(a, 2))
    twice.vjp(a=lambda g: made.append(g * 2) or made[-1])
    a = leaf()
    twice(a).backward(tn.ones(4, dtype=tn.float64))
    assert a.grad.array is made[0]


def test_a_gradient_of_images_lies_in_memory_as_they_do():
    """Kernels hand over images with channels last; .grad has rows, and memory of its own."""
    x = tn.randn(2, 8, 20, 20, requires_grad=True)
    g = tn.arange(2 * 20 * 20 * 8.0).reshape(2, 20, 20, 8).permute(0, 3, 1, 2)
    y = tn.cat([x])  # its rule hands g on
    y.backward(g)
    assert x.grad.array.flags.c_contiguous and not g.array.flags.c_contiguous
    assert not np.shares_memory(x.grad.array, g.array) and tn.equal(x.grad, g)


def test_a_rule_that_gives_another_shape_is_named(own_primitive):
    def shrinks(xp, a):
        return a * 2
    op = own_primitive(shrinks)
    op.vjp(a=lambda g: g.sum())
    with pytest.raises(RuntimeError, match=r"a rule of shrinks gave float64\[\] for an input float64\[4\]"):
        op(leaf()).backward(tn.ones(4, dtype=tn.float64))


def test_a_primitive_refuses_what_would_lose_a_gradient(own_primitive):
    with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
        tn.exp(leaf(), colour=1)
    with pytest.raises(RuntimeError, match="where is not differentiable with respect to its argument 1"):
        PRIMITIVES["where"](leaf(), 1.0, 2.0)
    with pytest.raises(TypeError, match="no argument"):
        own_primitive(lambda xp, a: a).vjp(b=lambda g: g)


def test_only_inputs_means_nothing_any_more():
    x = leaf()
    (g,) = tn.autograd.grad((x * x).sum(), x, None, True, False, True)
    assert g.tolist() == (2 * x).tolist()
    with pytest.warns(FutureWarning, match="only_inputs argument is deprecated"):
        tn.autograd.grad(x.sum(), x, only_inputs=False)


def test_backward_of_what_cannot_be():
    x = leaf()
    with pytest.raises(RuntimeError, match=r"only for scalar outputs, not for shape \[4\]"):
        (x * x).backward()
    with pytest.raises(RuntimeError, match="does not require grad and does not have a grad_fn"):
        tn.ones(1).backward()
    with pytest.raises(RuntimeError, match="Mismatch in shape"):
        (x * x).backward(tn.ones(3))
    with pytest.raises(TypeError, match="gradients can be either Tensors or None"):
        (x * x).backward(1.0)
    with pytest.raises(RuntimeError, match="only Tensors of floating point dtype can require gradients"):
        tn.ones(2, dtype=tn.int64, requires_grad=True)
    with pytest.raises(RuntimeError, match="Can't call numpy"):
        x.numpy()
    with pytest.raises(RuntimeError, match="leaf variables"):
        (x * 2).requires_grad_(False)


def test_grad_of_unused_inputs():
    x, y = leaf(), leaf()
    s = (x * x).sum()
    with pytest.raises(RuntimeError, match=r"not have been used in the graph: inputs\[1\].*allow_unused=True"):
        tn.autograd.grad(s, (x, y), retain_graph=True)
    gx, gy = tn.autograd.grad(s, (x, y), allow_unused=True, retain_graph=True)
    assert gy is None
    assert x.grad is None, "autograd.grad leaves .grad alone"
    gx, gy = tn.autograd.grad(s, (x, y), materialize_grads=True)
    np.testing.assert_allclose(gx.array, 2 * x.array)
    np.testing.assert_allclose(gy.array, 0)
    with pytest.raises(RuntimeError, match="does not require grad"):
        tn.autograd.grad(s, tn.ones(1))


def test_grad_with_respect_to_what_was_computed():
    x = leaf()
    h = x * 2.0
    s = (h * h).sum()
    gh, = tn.autograd.grad(s, h)
    np.testing.assert_allclose(gh.array, 2 * h.array)


def test_backward_into_chosen_leaves_alone():
    x, y = leaf(), leaf()
    (x * y).sum().backward(inputs=[x])
    np.testing.assert_allclose(x.grad.array, y.array)
    assert y.grad is None
    with pytest.raises(RuntimeError, match="cannot be empty"):
        (x * y).sum().backward(inputs=[])


def test_third_derivative():
    x = tn.tensor(2.0, dtype=tn.float64, requires_grad=True)
    y = x * x * x * x
    for expected in (32.0, 48.0, 48.0):
        y, = tn.autograd.grad(y, x, create_graph=True)
        assert y.item() == pytest.approx(expected, rel=1e-12)


def test_a_chain_of_a_million_ops_leaves_no_memory_behind():
    x = tn.ones(1, requires_grad=True)
    gc.collect()
    gc.disable()
    try:
        before = sys.getallocatedblocks()
        z = x
        for _ in range(1_000_000):
            z = z * 1.0000001
        z.backward()
        assert x.grad.item() == pytest.approx(1.1048, rel=2e-2)
        last = weakref.ref(z)
        x.grad = None
        del z
        assert last() is None
        assert sys.getallocatedblocks() - before < 20_000, "what is left is Python's caches, not millions of objects"
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_threads_have_modes_of_their_own():
    seen = []

    def work():
        y = leaf()
        for _ in range(30):
            y.grad = None
            tn.tanh(y * y).sum().backward()
        seen.append(y.grad.array)
    with tn.no_grad():
        threads = [threading.Thread(target=work) for _ in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert not (leaf() * 2).requires_grad
    assert len(seen) == 4
    assert all((s == seen[0]).all() for s in seen)


def test_a_backward_inside_a_hook_and_after_an_exception():
    x = leaf()

    @tn.enable_grad()  # hooks run in the mode of the backward, as PyTorch's
    def inner(g):
        w = leaf()
        (w * w).sum().backward()
        np.testing.assert_allclose(w.grad.array, 2 * w.array)
    h = x * x
    h.register_hook(inner)
    h.sum().backward()
    np.testing.assert_allclose(x.grad.array, 2 * x.array)
    y = leaf()
    h = y * y

    def fails(g):
        raise KeyError("in the hook")
    handle = h.register_hook(fails)
    s = h.sum()
    with pytest.raises(KeyError):
        s.backward()
    handle.remove()
    s.backward()
    np.testing.assert_allclose(y.grad.array, 2 * y.array)


def test_gradients_have_the_dtype_and_shape_of_their_leaf():
    a = tn.ones(3, requires_grad=True)
    b = tn.ones(2, 1, dtype=tn.float64, requires_grad=True)
    (a * b).sum().backward()
    assert (a.grad.dtype, a.grad.shape) == (tn.float32, (3,))
    assert (b.grad.dtype, b.grad.shape) == (tn.float64, (2, 1))


def test_one_output_of_several_has_one_gradient_whoever_asks():
    """Under create_graph the places of outputs are made anew: they must count as the same."""
    x = leaf()
    std, mean = tn.std_mean(x)
    seen = []
    std.register_hook(lambda g: seen.append(g.item()))
    first, = tn.autograd.grad(std, x, create_graph=True)
    (first * first).sum().backward(retain_graph=True)
    assert len(seen) == 2, "once in each walk, though the second meets the output in std's own rule only"
    dstd, = tn.autograd.grad((first * first).sum() + mean, std)
    assert dstd.item() == pytest.approx(seen[-1])

    def second(x):
        first, = tn.autograd.grad(tn.std(x), x, create_graph=True)
        return tn.autograd.grad(first.square().sum(), x, create_graph=True)[0]
    assert tn.gradcheck(second, x)


def test_a_cast_to_integers_ends_the_history():
    x = leaf()
    assert not x.long().requires_grad
    assert not x.sum(dtype=tn.int64).requires_grad
    assert x.half().requires_grad


@pytest.mark.parametrize("f", [tn.sum, tn.exp, tn.sort, tn.reshape])
def test_what_is_no_tensor_is_refused(f):
    with pytest.raises(TypeError, match=r"must be Tensor|missing required"):
        f([1.0, 2.0])


def centred(x):
    """Layer norm of the rows of x, of plain ops."""
    away = x - x.mean(1, keepdim=True)
    return away / ((away * away).mean(1, keepdim=True) + 1e-5).sqrt()


@pytest.mark.parametrize("loss", [lambda y: (y**3).sum(), lambda y: (y * tn.arange(12.0).reshape(3, 4).double()).sum()],
                         ids=["of y and of the moments", "of the moments alone"])
def test_gradients_of_hidden_outputs_meet_that_of_the_one_that_is_shown(loss):
    found = []
    for norm in (centred, lambda x: tn.nn.functional.layer_norm(x, (4,))):
        x = tn.tensor([[1.0, 2, 4, 3], [0, -1, 5, 2], [3, 3, 1, 0]], dtype=tn.float64, requires_grad=True)
        y, hooked = norm(x), []
        y.retain_grad()
        y.register_hook(lambda g, hooked=hooked: hooked.append(g.detach().clone()))
        (g,) = tn.autograd.grad(loss(y), x, create_graph=True)
        (g * g).sum().backward()
        found.append((x.grad, y.grad if y.grad is not None else tn.zeros_like(y), hooked[0]))
    for plain, fused in zip(*found, strict=True):
        np.testing.assert_allclose(plain.detach().numpy(), fused.detach().numpy(), rtol=1e-9, atol=1e-9)
