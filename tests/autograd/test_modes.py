"""Grad modes, anomaly detection, and autograd.Function."""
import linecache

import numpy as np
import pytest

import tinynet as tn


def leaf(n=4):
    return tn.linspace(0.5, 1.5, n, dtype=tn.float64, requires_grad=True)


def test_modes_nest_and_decorate():
    x = leaf()
    with tn.no_grad():
        assert not tn.is_grad_enabled()
        assert not (x * 2).requires_grad
        with tn.enable_grad():
            assert (x * 2).requires_grad
        with tn.set_grad_enabled(True):
            assert tn.is_grad_enabled()
        assert not tn.is_grad_enabled()
    assert tn.is_grad_enabled()

    @tn.no_grad()
    def with_brackets(y):
        return y * 2

    @tn.inference_mode
    def without(y):
        return y * 2

    @tn.set_grad_enabled(False)
    def set_off(y):
        return y * 2
    assert tn.is_grad_enabled()
    assert not with_brackets(x).requires_grad
    assert not without(x).requires_grad
    assert not set_off(x).requires_grad
    before = tn.set_grad_enabled(False)
    assert not tn.is_grad_enabled()
    tn.set_grad_enabled(True)
    assert tn.is_grad_enabled()
    assert before is not None
    with pytest.raises(TypeError, match="generator"):
        @tn.no_grad()
        def steps():
            yield 1


def test_a_mode_is_left_when_the_block_raises():
    with pytest.raises(KeyError), tn.no_grad():
        raise KeyError
    assert tn.is_grad_enabled()


def run(source, **names):
    """Run lines as a file of a student's, so that messages can name them."""
    linecache.cache["student.py"] = (len(source), None, source.splitlines(True), "student.py")
    exec(compile(source, "student.py", "exec"), {"tn": tn, "x": leaf(), **names})


def test_anomaly_names_the_line_that_changed_a_saved_tensor():
    with tn.autograd.detect_anomaly(), pytest.raises(RuntimeError, match="inplace operation") as e:
        run("y = x * 1.0\ne = y.exp()\ne *= 2.0\ne.sum().backward()")
    assert "exp ran: student.py:2: e = y.exp()" in str(e.value)
    assert "student.py:3: e *= 2.0" in str(e.value)


def test_anomaly_names_the_rule_that_gave_nan():
    with tn.autograd.detect_anomaly(), pytest.raises(RuntimeError, match=r"SqrtBackward0.*nan") as e:
        run("z = x - x\ny = z.sqrt()\n(y * 0.0).sum().backward()")
    assert "student.py:2: y = z.sqrt()" in str(e.value)


def test_anomaly_names_the_op_that_made_the_first_nan_in_the_forward():
    with tn.autograd.detect_anomaly(), pytest.raises(RuntimeError) as e:
        run("y = (x - 1).log()\nz = y * 2.0\nw = z.exp() + z * z\nw.sum().backward()")
    assert "made by log, which ran: student.py:1" in str(e.value)


def test_anomaly_lets_masks_of_minus_infinity_pass():
    with tn.autograd.detect_anomaly():
        x = leaf()
        y = tn.where(tn.tensor([True, True, False, True]), x, float("-inf"))
        tn.softmax(y, 0)[0].backward()
    assert np.isfinite(x.grad.array).all()


class Square(tn.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, g):
        x, = ctx.saved_tensors
        return 2 * g * x


class Two(tn.autograd.Function):
    @staticmethod
    def forward(ctx, x, y, n):
        e = tn.exp(x)
        ctx.save_for_backward(x, y, e, None)
        ctx.n = n
        ctx.set_materialize_grads(False)
        return e * y, x + n

    @staticmethod
    def backward(ctx, g, h):
        x, y, _, nothing = ctx.saved_tensors
        assert nothing is None
        gx = gy = None
        if g is not None:
            gx, gy = g * tn.exp(x) * y, g * tn.exp(x)
        if h is not None:
            gx = h if gx is None else gx + h
        return gx, gy, None


def test_function_first_and_second_order():
    x, y = leaf(), leaf()
    g, = tn.autograd.grad(Square.apply(x).sum(), x, create_graph=True)
    np.testing.assert_allclose(g.detach().numpy(), 2 * x.array)
    np.testing.assert_allclose(tn.autograd.grad(g.sum(), x)[0].numpy(), 2.0)
    a, b = Two.apply(x, y, 3)
    np.testing.assert_allclose(b.array, x.array + 3)
    gx, gy = tn.autograd.grad(a.sum(), (x, y), create_graph=True)
    np.testing.assert_allclose(gx.array, np.exp(x.array) * y.array)
    np.testing.assert_allclose(gy.array, np.exp(x.array))
    np.testing.assert_allclose(tn.autograd.grad(gx.sum(), y)[0].array, np.exp(x.array))
    np.testing.assert_allclose(tn.autograd.grad(Two.apply(x, y, 3)[1].sum(), x)[0].array, 1.0)


class SetUp(tn.autograd.Function):
    @staticmethod
    def forward(x):
        return x * x, x > 1

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, g, _):
        return 2 * g * ctx.saved_tensors[0]


def test_function_with_setup_context_and_an_integer_output():
    x = leaf()
    y, mask = SetUp.apply(x)
    assert not mask.requires_grad
    y.sum().backward()
    np.testing.assert_allclose(x.grad.array, 2 * x.array)


def returning(make):
    class Wrong(tn.autograd.Function):
        @staticmethod
        def forward(ctx, x, y):
            return x * y

        @staticmethod
        def backward(ctx, g):
            return make(g)
    return Wrong.apply(leaf(), leaf()).sum()


@pytest.mark.parametrize(("make", "message"), [
    (lambda g: g, r"incorrect number of gradients \(expected 2, got 1\)"),
    (lambda g: (g, g, g), r"incorrect number of gradients \(expected 2, got 3\)"),
    (lambda g: (g, g[:3]), r"invalid gradient at index 1 - got \[3\] but expected shape compatible with \[4\]"),
    (lambda g: (g, 3), "returned int at index 1"),
])
def test_function_that_returns_wrong_gradients(make, message):
    with pytest.raises(RuntimeError, match=message):
        returning(make).backward()


def test_function_saved_tensors_are_guarded():
    x = leaf()
    h = x * 1.0
    y = Square.apply(h)
    h += 1.0
    with pytest.raises(RuntimeError, match="Square saved it"):
        y.sum().backward()
    with pytest.raises(TypeError, match="can only save variables"):
        class Bad(tn.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                ctx.save_for_backward(3)
        Bad.apply(x)
    with pytest.raises(NotImplementedError):
        tn.autograd.Function.apply(x)


def test_mark_non_differentiable():
    class Positive(tn.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            y = tn.sign(x)
            ctx.mark_non_differentiable(y)
            return x * 2, y

        @staticmethod
        def backward(ctx, g, _):
            return g * 2
    x = leaf()
    a, b = Positive.apply(x)
    assert a.requires_grad
    assert not b.requires_grad
