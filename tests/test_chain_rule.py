"""explain: every number of the table against the chain rule done by hand, and against backward."""
from __future__ import annotations

import math

import numpy as np
import pytest

import tinynet as tn


def number(value, requires_grad=True):
    return tn.tensor(value, dtype=tn.float64, requires_grad=requires_grad)


def told(explanation):
    """name -> (expression, value, gradient, [(argument, derivative, contribution)])"""
    def plain(a):
        return None if a is None else np.asarray(a).tolist()

    def passed(s):
        return [(x, plain(d), plain(c)) for x, d, c in zip(s.arguments, s.derivatives, s.contributions, strict=True)]

    return {s.name: (s.expression, plain(s.value), plain(s.gradient), passed(s)) for s in explanation.steps}


# ---- by hand
def test_a_neuron_line_by_line():
    """L = (w x + b - y)²: dL/dw = 2 (w x + b - y) x."""
    w, b, x, y = number(3.0), number(1.0), number(2.0, False), number(4.0, False)
    found = tn.explain((w * x + b - y) ** 2)
    assert told(found) == {
        "loss": ("v3 ** 2", 9.0, 1.0, [("v3", 6.0, 6.0)]),
        "v3": ("v2 - …", 3.0, 6.0, [("v2", 1.0, 6.0)]),
        "v2": ("v1 + b", 7.0, 6.0, [("v1", 1.0, 6.0), ("b", 1.0, 6.0)]),
        "v1": ("w * x", 6.0, 6.0, [("w", 2.0, 12.0)]),
        "b": ("", 1.0, 6.0, []),
        "w": ("", 3.0, 12.0, []),
    }
    assert [step.name for step in found.steps] == ["loss", "v3", "v2", "v1", "b", "w"]
    assert w.grad is None and b.grad is None


def test_the_table():
    w, x = number(3.0), number(2.0, False)
    assert str(tn.explain(lambda: (w * x - 5) ** 2)).splitlines() == [
        "node           value  gradient  local derivative  chain rule: gradient × derivative",
        "───────────────────────────────────────────────────────────────────────────────────",
        "loss  v2 ** 2  1      1         ∂loss/∂v2 = 2     v2 += 1 × 2 = 2",
        "v2    v1 - 5   1      2         ∂v2/∂v1 = 1       v1 += 2 × 1 = 2",
        "v1    w * x    6      2         ∂v1/∂w = 2        w += 2 × 2 = 4",
        "w              3      4",
    ]


def test_what_is_used_twice_gathers_both_gradients():
    """z = x² + e^x: dz/dx = 2x + e^x, and x · x has a derivative for each x."""
    x = number(2.0)
    square = x * x
    z = square + x.exp()
    found = told(tn.explain(z))
    assert found["square"] == ("x * x", 4.0, 1.0, [("x", 2.0, 2.0), ("x", 2.0, 2.0)])
    assert found["x"][2] == pytest.approx(4 + math.exp(2))
    assert found["v1"] == ("exp(x)", pytest.approx(math.exp(2)), 1.0,
                           [("x", pytest.approx(math.exp(2)), pytest.approx(math.exp(2)))])


def test_matrices_pass_gradients_through_their_jacobians():
    """h = W q: dh_i/dq_j = W_ij, and dL/dq = Wᵀ dL/dh."""
    q, W = number([1.0, 2.0]), number([[1.0, 2.0], [3.0, 4.0], [-1.0, 0.0]], False)
    h = W @ q
    loss = (h * number([1.0, 0.0, 2.0], False)).sum()
    found = told(tn.explain(loss))
    assert found["h"][3] == [("q", W.tolist(), [1.0 - 2.0, 2.0])]
    assert found["v1"][3] == [("h", np.diag([1.0, 0.0, 2.0]).tolist(), [1.0, 0.0, 2.0])]
    text = str(tn.explain(loss))
    assert "∂v1/∂h = [1, 0, 2]" in text and "h += [1, 1, 1] × [1, 0, 2] = [1, 0, 2]" in text
    assert "∂h/∂q = [[1, 2], [3, 4], [-1, 0]]" in text and "q += [-1, 2]" in text
    assert "v1 += 1 × [1, 1, 1] = [1, 1, 1]" in text


def test_a_broadcast_is_summed():
    a, b = number([1.0, 2.0, 3.0]), number(10.0)
    found = told(tn.explain((a * b).sum()))
    assert found["v1"][3] == [("a", (10 * np.eye(3)).tolist(), [10.0] * 3), ("b", [1.0, 2.0, 3.0], 6.0)]


def test_ops_of_several_outputs():
    y = number([3.0, 1.0])
    v, _ = y.max(0)
    found = told(tn.explain(v * v + y[1]))
    assert found["v"] == ("max(y, dim=0)[0]", 3.0, 6.0, [("y", [1.0, 0.0], [6.0, 0.0])])
    assert found["y"][2] == [6.0, 1.0]


# ---- against backward
class Cube(tn.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x * x

    @staticmethod
    def backward(ctx, g):
        return 3 * g * ctx.saved_tensors[0] ** 2


PROGRAMS = [
    lambda x, w: (w @ x).tanh().square().mean(),
    lambda x, w: tn.softmax(w @ x, 0).log()[1],
    lambda x, w: tn.nn.functional.cross_entropy((w @ x)[None], tn.tensor([2])),
    lambda x, w: Cube.apply(x).sum() * w.max(),
    lambda x, w: tn.cat([x, w.flatten()]).logsumexp(0) + x[0] / x[1],
    lambda x, w: (-x).exp().prod() - tn.where(w > 0, w, w * 0.1).norm(),
    lambda x, w: tn.nn.functional.layer_norm(w, (2,), x, None).pow(3).sum(),
    lambda x, w: sum(part.sum() * k for k, part in enumerate(w.split(1))) + x.sort()[0][0],
]


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("as_function", [False, True])
def test_gradients_are_those_of_backward(program, as_function):
    tn.manual_seed(1)
    x, w = tn.randn(2, dtype=tn.float64, requires_grad=True), tn.randn(3, 2, dtype=tn.float64, requires_grad=True)
    loss = program(x, w)
    steps = {s.name: s for s in tn.explain((lambda: program(x, w)) if as_function else loss).steps}
    for step in steps.values():
        for d, c in zip(step.derivatives, step.contributions, strict=True):
            expected = np.tensordot(step.gradient, d, step.gradient.ndim)  # the chain rule itself
            np.testing.assert_allclose(c, expected, atol=1e-12)
        if as_function:
            assert step.value is not None
    for name, g in zip("xw", tn.autograd.grad(loss, (x, w)), strict=True):
        np.testing.assert_allclose(steps[name].gradient, g.numpy(), atol=1e-12)


def test_the_graph_is_still_there():
    x = number(2.0)
    y = x.exp()
    first = str(tn.explain(y))
    assert str(tn.explain(y)) == first
    y.backward()
    assert x.grad.item() == math.exp(2)


# ---- values and names
def test_values_come_from_where_they_are_known():
    x = number(2.0)
    kept = x * 3.0 + 1.0  # a variable holds it
    found = told(tn.explain((kept + 5.0) * 2.0))
    assert found["kept"][:2] == ("v1 + …", 7.0)
    assert found["v2"][:2] == ("kept + …", None)  # nobody kept this one
    assert found["v1"][:2] == ("x * 3", 6.0)  # computed again
    text = str(tn.explain((kept + 5.0) * 2.0))
    assert "… is a number that no derivative needs" in text
    assert "…" not in str(tn.explain(lambda: ((x * 3.0 + 1.0) + 5.0) * 2.0))


def test_writes_in_place_are_steps_too():
    """y = (4 x, with 5 put first and doubled): the first element no longer depends on x."""
    x = number([1.0, 2.0])

    def loss():
        y = x * 4.0
        y[0] = 5.0
        y.mul_(2.0)
        return y.sum()

    found = told(tn.explain(loss))
    assert found["v1"][:3] == ("x * 4", [4.0, 8.0], [0.0, 2.0])
    assert found["v2"][:3] == ("put(v1, …)", [5.0, 8.0], [2.0, 2.0])
    assert found["v3"][:3] == ("v2 * 2", [10.0, 16.0], [1.0, 1.0])
    assert found["x"][1:3] == ([1.0, 2.0], [0.0, 8.0])
    assert found["x"][2] == tn.autograd.grad(loss(), x)[0].tolist()


def test_an_explanation_keeps_the_numbers_it_told():
    w = number(3.0)
    found = tn.explain(w * 2.0)
    with tn.no_grad():
        w.zero_()
    assert told(found)["w"][1] == 3.0


def test_names_of_params_come_first_and_made_up_ones_are_new():
    v1, x = number(2.0), number(3.0)
    found = told(tn.explain(v1 * x + 1.0, params={"weight": x}))
    assert set(found) == {"loss", "v2", "v1", "weight"}

    def unnamed():
        return number(4.0) * number(5.0)

    assert set(told(tn.explain(unnamed()))) == {"loss", "x1", "x2"}
    model = tn.nn.Linear(1, 1)
    assert {"weight", "bias"} <= set(told(tn.explain(model(tn.ones(1)).sum(), params=model)))


def test_many_numbers_are_summed_up():
    a = tn.ones(4, 4, requires_grad=True)
    text = str(tn.explain((a * a).sum()))
    assert "4×4, norm 4" in text and "a += 4×4, norm 4" in text


def test_the_table_of_a_small_network_can_be_read():
    tn.manual_seed(0)
    model = tn.nn.Sequential(tn.nn.Linear(2, 3), tn.nn.Tanh(), tn.nn.Linear(3, 1))
    for samples in (1, 4):
        x, y = tn.randn(samples, 2), tn.randn(samples, 1)
        explanation = tn.explain(tn.nn.functional.mse_loss(model(x), y), model)
        text = str(explanation)
        assert max(map(len, text.splitlines())) <= 144
        assert "3×2, norm " in text
        assert next(step for step in explanation.steps if step.name == "0.weight").gradient.shape == (3, 2)


# ---- what it refuses
def chain():
    x = number(1.0)
    for _ in range(60):
        x = x * 2.0
    return x


def freed():
    y = number(1.0).exp()
    y.backward()
    return y


def written():
    x = number([1.0, 2.0])
    y = x.exp()
    z = y.sum()
    y.add_(1.0)
    return z


@pytest.mark.parametrize("call, error, message", [
    (lambda: tn.explain(chain()), ValueError, "of at most 60 nodes, but this one has 61"),
    (lambda: tn.explain(tn.ones(65, requires_grad=True).sum()), ValueError, r"but a leaf has the shape \(65,\)"),
    (lambda: tn.explain(tn.ones(2, requires_grad=True) * 2), RuntimeError, "only for scalar outputs"),
    (lambda: tn.explain(tn.ones(())), RuntimeError, "does not require grad"),
    (lambda: tn.explain(freed()), RuntimeError, "a second time"),
    (lambda: tn.explain(written()), RuntimeError, "modified by an inplace operation"),
    (lambda: tn.explain(2.0), TypeError, "not float"),
    (lambda: tn.explain(lambda: 2.0), TypeError, "not float"),
    (lambda: tn.explain(number(1.0).exp(), params={"w": 1.0}), TypeError, r"params\['w'\] is of type float"),
])
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_function_that_fails_leaves_no_mode_behind():
    with pytest.raises(ZeroDivisionError):
        tn.explain(lambda: 1 / 0)
    y = number(2.0) * 1.0
    assert type(y.grad_fn).__name__ == "Node"
