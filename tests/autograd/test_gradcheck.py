"""gradcheck itself: what it accepts, what it refuses, what it says."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

import tinynet as tn
from tinynet.autograd import gradgradcheck
from tinynet.autograd.gradcheck import GradcheckError, gradcheck


def randn(*shape, seed=0):
    return tn.tensor(np.random.default_rng(seed).standard_normal(shape), requires_grad=True)


def leaf(values):
    return tn.tensor(np.asarray(values, dtype=float), requires_grad=True)


def strided(a):
    """A leaf whose memory has gaps."""
    return tn.tensor(np.zeros((*a.shape, 2)))[..., 0].copy_(tn.tensor(a)).requires_grad_()


class Relu(tn.autograd.Function):
    @staticmethod
    def forward(ctx, x, slope):
        ctx.save_for_backward(x)
        ctx.slope = slope
        return tn.where(x > 0, x, tn.zeros_like(x))

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return tn.where(x > 0, g * ctx.slope, tn.zeros_like(g)), None


# ---- right rules pass, at any input
A = np.random.default_rng(0).standard_normal((3, 4))
RIGHT = {
    "relu at 0": (tn.relu, [leaf([0.0, 1.0, -1.0])], "KINK"),
    "abs at 0": (tn.abs, [leaf([0.0, -2.0])], "KINK"),
    "max at ties": (lambda x: x.max(), [leaf([1.0, 3.0, 3.0])], "KINK"),
    "max along dim, at ties": (lambda x: x.max(dim=0), [leaf([1.0, 3.0, 3.0])], "KINK"),
    "maximum at ties": (tn.maximum, [leaf([1.0, 2.0]), leaf([1.0, 0.0])], "KINK"),
    "clamp at its limits": (lambda x: x.clamp(-1, 1), [leaf([-1.0, 1.0, 0.3])], "KINK"),
    "norm at 0": (lambda x: x[:2].norm() + x[2], [leaf([0.0, 0.0, 1.0])], "KINK"),
    "a jump": (tn.floor, [leaf([1.0, 1.5])], "KINK"),
    "near a kink": (tn.relu, [leaf([3e-4, -3e-4, 1e-8, -1e-8])], "PASS"),
    "nearer to a kink than most steps": (lambda x: tn.relu(x - 1.0), [leaf([1 + 2e-7, 1 - 2e-7])], "PASS"),
    "too near a kink for any step": (lambda x: tn.relu(x - 1.0), [leaf([1 + 2e-9, 1 - 2e-9, 2.0])], "KINK"),
    "tiny": (lambda x: x * x + tn.sin(x), [leaf([1e-8, -3e-8])], "PASS"),
    "tiny, log": (tn.log, [leaf([1e-8, 3e-8])], "PASS"),
    "tiny, sqrt": (tn.sqrt, [leaf([1e-8, 3e-8])], "PASS"),
    "tiny gradients": (lambda x: x * x * 1e-9, [leaf([1.0, -2.0])], "PASS"),
    "large": (lambda x: x * x, [leaf([1e6, -3e6])], "PASS"),
    "large, sin": (tn.sin, [leaf([1e6, 1.0])], "PASS"),
    "large, log": (tn.log, [leaf([1e6])], "PASS"),
    "large and small together": (lambda x, y: x * y, [leaf([1e6]), leaf([1e-6])], "PASS"),
    "a large constant": (lambda x: x + 1e6, [leaf(np.linspace(1, 2, 20))], "PASS"),
    "transposed memory": (tn.tanh, [tn.tensor(A.T).requires_grad_()], "PASS"),
    "memory with gaps": (tn.tanh, [strided(A)], "PASS"),
    "backwards": (tn.tanh, [tn.tensor(A).flip(0).requires_grad_()], "PASS"),
    "expanded": (lambda x: x * x, [leaf([1.0, 2.0]).detach().expand(3, 2).requires_grad_()], "PASS"),
    "broadcast": (lambda x, y: x * y, [randn(3, 4), randn(4, seed=1)], "PASS"),
    "broadcast 0-d": (lambda x, y: x / y, [randn(3, 4), leaf(2.0)], "PASS"),
    "zero-size": (lambda x: tn.tanh(x), [randn(0, 3)], "PASS"),
    "a zero-size output": (lambda x: tn.tanh(x)[:0], [randn(3)], "PASS"),
    "0-d": (tn.tanh, [leaf(0.5)], "PASS"),
    "constant gradient": (lambda x: x.sum(), [randn(5)], "PASS"),
    "no gradient at all": (lambda x: x - x, [randn(5)], "PASS"),
    "the sum of a softmax": (lambda x: tn.softmax(x, 0).sum(), [randn(5)], "PASS"),
    "nested outputs": (lambda x: (x * x, [tn.exp(x), {"sin": tn.sin(x)}]), [randn(3)], "PASS"),
    "an integer output": (lambda x: (x.argmax(), x * 2), [randn(3)], "PASS"),
    "an output without grad": (lambda x: (x * x, (x * 5).detach()), [randn(3)], "PASS"),
    "an unused input": (lambda x, y: x * x, [randn(3), randn(2)], "PASS"),
    "Function": (Relu.apply, [leaf([1.0, -1.0, 0.5]), 1.0], "PASS"),
    "a leaf's history": (lambda x: x * x, [randn(3) * 2.0], "PASS"),
}


@pytest.mark.parametrize("case", RIGHT)
def test_right_rules_pass(case):
    f, inputs, status = RIGHT[case]
    before = [x.detach().clone() for x in inputs if isinstance(x, tn.Tensor)]
    result = gradcheck(f, inputs)
    assert result
    assert result.inputs[0].status == status
    assert result.worst < 1e-6
    for x, b in zip(inputs, before, strict=False):
        assert tn.equal(x.detach(), b), "inputs must be put back"
        assert not x.is_leaf or x.grad is None


@pytest.mark.parametrize("case", [c for c in RIGHT if "jump" not in c])
def test_right_rules_pass_at_second_order(case):
    f, inputs, _ = RIGHT[case]
    assert gradgradcheck(f, inputs).worst < (1e-6 if case != "the sum of a softmax" else 1e-4)  # of zero


def test_the_same_tensor_twice_and_memory_shared_with_a_constant():
    x = randn(3)
    assert gradcheck(lambda a, b: a * b, (x, x))
    assert gradcheck(lambda a, b: a * b, (x, x.detach())).inputs[1].status == "SKIPPED"
    with pytest.warns(UserWarning, match="not writable"):
        x = tn.from_numpy(np.broadcast_to(2.0, (3,))).requires_grad_()
    assert gradcheck(lambda a: a * a, x)


def test_what_does_not_require_grad_is_skipped_but_passed_on():
    result = gradcheck(lambda x, y, k: x * y * k, (randn(3), randn(3).detach(), 3))
    assert [c.status for c in result.inputs] == ["PASS", "SKIPPED", "SKIPPED"]


def test_parameters_that_func_reaches_by_itself():
    layer = tn.nn.Linear(3, 2).double()
    x = randn(4, 3)
    assert gradcheck(lambda *_: layer(x), (x, *layer.parameters()))
    assert gradgradcheck(lambda *_: layer(x), (x, *layer.parameters()))


def test_inside_no_grad():
    with tn.no_grad():
        assert gradcheck(tn.exp, randn(3))
        assert not tn.is_grad_enabled()


def test_a_function_that_differentiates():
    def penalty(x):
        (g,) = tn.autograd.grad(tn.sin(x).sum(), x, create_graph=True)
        return (g * g).sum()

    assert gradcheck(penalty, randn(3))


def test_slopes_are_measured_to_ten_digits():
    assert gradcheck(lambda x: (3 * x).sin() * x.exp(), randn(5)).worst < 1e-10


def test_no_output_is_overlooked():
    x = leaf([1.0, 2.0])
    for wrap in (lambda y: [y], lambda y: (x * x, [y]), lambda y: {"a": (y,)}):
        assert not gradcheck(lambda x, wrap=wrap: wrap(Relu.apply(x, 0.5)), x, raise_exception=False)


# ---- kinks excuse no wrong rule
@pytest.mark.parametrize("at", [[1.0], [0.0, 1.0], [1e-3], [1e-7, -1.0]])
def test_a_wrong_slope_beside_a_kink_fails(at):
    assert not gradcheck(Relu.apply, (leaf(at), 0.5), raise_exception=False)


BESIDE_A_KINK = {  # wrong for all factors but 1
    "the rule of relu": lambda x, factor: Relu.apply(x - 1.0, factor),
    "an op before relu": lambda x, factor: tn.relu(Relu.apply(x, factor) - 1.0),
    "an op after relu": lambda x, factor: Relu.apply(0.5 + tn.relu(x - 1.0), factor),
    "a curved op after relu": lambda x, factor: (2 * Relu.apply(tn.relu(x - 1.0) + 1.0, factor)).tanh(),
    "to a loss": lambda x, factor: Relu.apply(x - 1.0, factor).sum(),
}


@pytest.mark.parametrize("many", [1, 512], ids=["along a direction", "element by element"])
@pytest.mark.parametrize("case", BESIDE_A_KINK)
@pytest.mark.parametrize("distance", [1.0, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 5e-8])
def test_a_wrong_slope_fails_at_any_distance_from_a_kink(monkeypatch, distance, case, many):
    monkeypatch.setattr(importlib.import_module("tinynet.autograd.comparison"), "MANY", many)
    at = leaf(1 + distance * np.array([1.0, 1.3, 1.6, 2.0]))
    for factor in (0.0, 0.5, 0.98, 1.02, 2.0, -1.0):
        assert not gradcheck(BESIDE_A_KINK[case], (at, factor), raise_exception=False), factor
    right = gradcheck(BESIDE_A_KINK[case], (at, 1.0)).inputs[0]
    assert (right.status, right.along) == ("PASS", many == 1)
    assert 0 <= right.worst < 1e-5


@pytest.mark.parametrize(("distance", "constant"), [(1e-4, 1e6), (1e-5, 1e6), (1e-6, 1e6), (1e-5, 1e7), (1e-6, 1e7)])
def test_beside_a_kink_a_large_constant_excuses_nothing(distance, constant):
    """What rounding does to short steps is not allowed to a gradient."""
    for factor in (0.5, 0.9, 0.97, 1.1, 2.0):
        for fast in {False, constant < 1e7}:  # beside 1e7 a direction is known to two digits
            at = leaf([1 + distance] * (1 + fast))
            assert not gradcheck(lambda x, factor=factor: Relu.apply(x - 1.0, factor) + constant, at, fast_mode=fast,
                                 raise_exception=False), (factor, fast)


def test_second_derivatives_beside_a_jump():
    """So near that no usual step stays on one side; the first derivative is right, the second, for want of 2, wrong."""
    class Wrong(tn.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return tn.where(x > 0, 3 * x + x * x, tn.zeros_like(x))

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return tn.where(x > 0, g * (3 + 2 * x.detach()), tn.zeros_like(x))

    x = leaf([1 + 2e-7, 1 + 3e-7])
    assert gradcheck(lambda x: Wrong.apply(x - 1.0), x)
    for fast in (False, True):
        assert not gradgradcheck(lambda x: Wrong.apply(x - 1.0), x, fast_mode=fast, raise_exception=False)


def test_where_all_is_at_kinks_there_is_no_error_to_tell():
    result = gradcheck(tn.relu, leaf([0.0, 0.0]))
    assert result and np.isnan(result.worst) and np.isnan(result.inputs[0].worst)
    assert "KINK     worst relative error -, 2 of 2 elements at a kink" in str(result)
    result = gradcheck(lambda x, y: tn.relu(x) * y, (leaf([0.0]), leaf([0.5])))
    assert [c.status for c in result.inputs] == ["KINK", "PASS"] and result.worst == result.inputs[1].worst


def test_a_mean_of_two_slopes_along_a_direction_is_no_comparison():
    """abs(x) at 0: backward's 0 is what a central difference says along every direction, of a kink."""
    found = gradcheck(tn.abs, leaf(np.zeros(6)), fast_mode=True).inputs[0]
    assert (found.status, found.kinks, found.along) == ("KINK", 6, False)


def test_at_a_kink_only_what_lies_between_the_slopes_passes():
    class Abs(tn.autograd.Function):
        @staticmethod
        def forward(ctx, x, slope):
            ctx.slope = slope
            return x.abs()

        @staticmethod
        def backward(ctx, g):
            return g * ctx.slope, None

    for slope, right in ((-1.0, True), (0.3, True), (1.0, True), (1.01, False), (-3.0, False)):
        assert bool(gradcheck(Abs.apply, (leaf([0.0]), slope), raise_exception=False)) is right


def test_opposite_kinks_do_not_cancel():
    """relu(x) - relu(-x) is x, but no rule for relu at 0 makes backward say so: each output has its own interval."""
    assert gradcheck(lambda x: (tn.relu(x), tn.relu(-x)), leaf([0.0])).inputs[0].status == "KINK"


def test_rounding_excuses_nothing():
    """From so near that it would find a kink, rounding of 1e6 hides any slope."""
    assert not gradcheck(lambda x: Relu.apply(x, 2.0) + 1e6, leaf([1.0, 2.0]), raise_exception=False)


def test_strong_curvature_is_no_kink():
    class Wrong(tn.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return (x * x * 1e6).exp().log1p()

        @staticmethod
        def backward(ctx, g):
            return g

    assert not gradcheck(Wrong.apply, leaf([1e-5]), raise_exception=False)


# ---- many elements
class OneWrong(tn.autograd.Function):
    """sin, with the slope of one element wrong."""

    @staticmethod
    def forward(ctx, x, at):
        ctx.save_for_backward(x)
        ctx.at = at
        return x.sin()

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        slope = x.cos()
        slope[ctx.at] = slope[ctx.at] * -1
        return g * slope, None


def test_many_elements_are_checked_along_a_direction_and_one_wrong_one_is_found(monkeypatch):
    comparison = importlib.import_module("tinynet.autograd.comparison")
    monkeypatch.setattr(comparison, "MANY", 20)
    calls = []
    result = gradcheck(lambda x: (calls.append(1), tn.sin(x))[1], randn(30, 40))
    assert result
    assert result.inputs[0].along
    assert len(calls) < 30
    result = gradcheck(OneWrong.apply, (randn(10, 4), (7, 3)), raise_exception=False)
    assert [e.index for e in result.inputs[0].elements] == [(7, 3)]
    assert result.inputs[0].looked_at == 40
    result = gradcheck(OneWrong.apply, (randn(20, 30), (17, 3)), raise_exception=False)
    assert [e.index for e in result.inputs[0].elements] == [(17, 3)]
    assert result.inputs[0].looked_at < 160, "too many to look at each: the half that is further out is followed"


def test_many_kinks_do_not_hide_a_wrong_element(monkeypatch):
    monkeypatch.setattr(importlib.import_module("tinynet.autograd.comparison"), "MANY", 20)
    x = randn(10, 4).detach()
    x[:5] = 0.0
    result = gradcheck(lambda x, at: tn.relu(x) + OneWrong.apply(x, at), (x.requires_grad_(), (7, 3)),
                       raise_exception=False)
    assert [e.index for e in result.inputs[0].elements] == [(7, 3)]
    assert gradcheck(tn.relu, x).inputs[0].kinks == 20
    near = tn.full((5, 8), 3e-7, dtype=tn.float64).requires_grad_()
    found = gradcheck(tn.relu, near).inputs[0]
    assert (found.status, found.along) == ("PASS", True), "steps that are shorter cross no kink"


def test_fast_mode_tries_a_direction_first():
    calls = []
    assert gradcheck(lambda x: (calls.append(1), tn.sin(x))[1], randn(20), fast_mode=True).inputs[0].along
    assert len(calls) < 15
    assert not gradcheck(Relu.apply, (randn(20), 0.9), fast_mode=True, raise_exception=False)


# ---- what cannot be checked
def test_integer_and_bool_inputs_are_refused_with_advice():
    labels = tn.tensor([0, 1])
    for t in (labels, labels > 0):
        with pytest.raises(ValueError, match=r"input 1 is (int64|bool)") as caught:
            gradcheck(lambda x, y: x, (randn(2), t))
        assert "x.double()" in str(caught.value)
        assert "gradcheck(lambda x: func(x, labels), x)" in str(caught.value)


def test_nothing_to_differentiate():
    with pytest.raises(ValueError, match="at least one input tensor to require gradient"):
        gradcheck(tn.exp, tn.ones(2, dtype=tn.float64))
    with pytest.raises(ValueError, match="returned no floating-point tensor"):
        gradcheck(lambda x: x.argmax(), randn(3))
    with pytest.raises(ValueError, match="no output of func requires grad"):
        gradgradcheck(lambda x: x.detach(), randn(3))


def test_float32_is_warned_of_and_measured_as_well_as_it_can_be():
    x = tn.tensor([0.5, 2.0], requires_grad=True)
    with pytest.warns(UserWarning, match="input 0 requires gradient and is not a double precision"):
        assert gradcheck(lambda x: x * x.exp(), x)
    with pytest.warns(UserWarning), pytest.raises(GradcheckError):
        gradcheck(Relu.apply, (x, 1.05))


def test_func_that_raises_raises_its_own_error():
    with pytest.raises(RuntimeError, match="must match the size"):
        gradcheck(lambda x: x + tn.ones(4), randn(3))


def test_not_deterministic():
    with pytest.raises(GradcheckError, match="not deterministic: two calls differ by up to") as caught:
        gradcheck(lambda x: x * tn.rand(3, dtype=tn.float64), randn(3))
    assert not caught.value.result.inputs, "nothing can be said of the slopes"
    step = iter(range(1000))
    assert gradcheck(lambda x: x.exp() + next(step) * 1e-13, randn(3), nondet_tol=1e-9)


def test_changing_an_input_in_place():
    x, y = randn(3), randn(3, seed=1).detach()
    kept = y.clone()
    with pytest.raises(GradcheckError, match="changes its input 1 in place"):
        gradcheck(lambda x, y: x * y.mul_(2), (x, y))
    assert tn.equal(y, kept)


def test_where_func_is_not_finite():
    result = gradcheck(tn.sqrt, leaf([-1.0, 1.0]), raise_exception=False)
    assert not result
    assert "not finite" in str(result)


def test_gradients_are_not_accumulated_anywhere():
    x = randn(3)
    gradcheck(tn.exp, x)
    gradgradcheck(tn.exp, x)
    assert x.grad is None


# ---- options
def test_options_of_gradgradcheck():
    x, g = randn(3), randn(3, seed=1)
    result = gradgradcheck(tn.exp, x, g)
    assert [c.label for c in result.inputs] == ["input", "grad_output"]
    assert gradgradcheck(tn.exp, x, (g.detach(),)).inputs[1].status == "SKIPPED"
    assert gradgradcheck(tn.exp, x, gen_non_contig_grad_outputs=True)


def test_tolerances():
    close = leaf([1.0, 2.0])
    assert not gradcheck(Relu.apply, (close, 1.002), raise_exception=False)
    assert gradcheck(Relu.apply, (close, 1.0005))
    assert gradcheck(Relu.apply, (close, 1.002), rtol=1e-2)
    assert not gradcheck(Relu.apply, (close, 1.0005), rtol=1e-4, raise_exception=False)


def test_tiny_gradients_are_not_hidden_by_atol():
    assert not gradcheck(lambda x: Relu.apply(x, 0.5) * 1e-9, leaf([1.0, 2.0]), raise_exception=False)


def test_check_grad_dtypes():
    assert gradcheck(tn.exp, randn(3), check_grad_dtypes=True)


# ---- the report
def test_the_report():
    def model(x, w):
        h = (x * w).tanh()
        h = Relu.apply(h, 0.5)
        return (h * h).sum()

    x, w = randn(3, 4), randn(4, seed=1)
    with pytest.raises(GradcheckError) as caught:
        gradcheck(model, (x, w))
    text, result = str(caught.value), caught.value.result
    assert text == str(result) and not result
    assert "gradcheck: the gradient of test_the_report.<locals>.model is wrong." in text
    assert "input 0       float64[3, 4]         FAIL" in text
    assert "First op at fault: Relu (op 3 of 5), which ran in" in text
    assert "h = Relu.apply(h, 0.5)" in text
    assert "its gradient for argument 'x' is wrong: constant ratio: the gradient is 0.5 times the slope" in text
    assert isinstance(caught.value, RuntimeError)
    wrong = result.inputs[0].elements[0]
    assert wrong.x == pytest.approx(x[wrong.index].item())
    assert abs(wrong.analytic - wrong.numeric) == max(abs(e.analytic - e.numeric)
                                                      for e in result.inputs[0].elements)
    good = str(gradcheck(tn.exp, x))
    assert "is right" in good and "PASS" in good


def test_when_every_op_is_right_the_graph_is_blamed():
    result = gradcheck(lambda x: x * x.detach(), randn(3), raise_exception=False)
    assert "Every op that was recorded (1) is right by itself" in str(result)
    assert "detach()" in result.inputs[0].diagnosis or "branches is detached" in result.inputs[0].diagnosis


def test_the_op_at_fault_at_second_order():
    class Raw(tn.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x * x

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * (3 * x * x).detach()

    def model(x):
        return tn.tanh(Raw.apply(tn.sin(x)))

    assert gradcheck(model, randn(3))
    with pytest.raises(GradcheckError, match="First op at fault: Raw"):
        gradgradcheck(model, randn(3))


def test_a_nan_in_a_gradient_inside_func_does_not_stop_the_search():
    def f(x):
        y, z = Relu.apply(x, 0.5), leaf([0.0])
        tn.autograd.grad((z.sqrt() * 0.0).sum(), z)
        return y

    with pytest.raises(GradcheckError, match="First op at fault: Relu"):
        gradcheck(f, leaf([1.0]))


def test_what_backward_raised_is_the_cause():
    class Broken(tn.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            raise IndexError("mine")

    for check in (gradcheck, gradgradcheck):
        with pytest.raises(GradcheckError, match="backward raised: mine") as caught:
            check(Broken.apply, randn(3))
        assert isinstance(caught.value.__cause__, IndexError)


def test_a_trained_models_loss():
    """The whole of a small network, every parameter, in one go."""
    model = tn.nn.Sequential(tn.nn.Linear(6, 5), tn.nn.ReLU(), tn.nn.Linear(5, 3)).double()
    labels = tn.tensor([0, 2, 1, 1])
    x = randn(4, 6)
    result = gradcheck(lambda x, *_: tn.nn.functional.cross_entropy(model(x), labels),
                       (x, *model.parameters()))
    assert result.worst < 1e-6
