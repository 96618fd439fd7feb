"""The checker checked: wrong rules, planted in the real ops and in Functions, are caught, and named if they can be."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest

import tinynet as tn
from tinynet.autograd.fit import unbroadcast
from tinynet.autograd.gradcheck import gradcheck, gradgradcheck
from tinynet.autograd.variable import raw, wrap
from tinynet.ops._primitive import PRIMITIVES, Primitive

P = PRIMITIVES


def randn(*shape, seed=0):
    return tn.tensor(np.random.default_rng(seed).standard_normal(shape), requires_grad=True)


def positive(*shape):
    return tn.tensor(np.random.default_rng(2).uniform(0.5, 2, shape), requires_grad=True)


@contextmanager
def planted(name, **rules):
    """The op with these rules in place of its own."""
    op = PRIMITIVES[name]
    right = op.written, op.joint

    def forget():
        for cache in (op.rules, op.needs, op.plans):
            cache.clear()

    op.written, op.joint = {**op.written, **rules}, None
    forget()
    try:
        yield op
    finally:
        op.written, op.joint = right
        forget()


@contextmanager
def own(forward, **rules):
    """A primitive of the test's own, that does not stay in the table."""
    op = Primitive(forward)
    del PRIMITIVES[op.name]
    op.vjp(**rules)
    yield op


@contextmanager
def function(forward, backward):
    """A Function with this forward of tensors and this backward(g, *saved inputs)."""
    class Planted(tn.autograd.Function):
        @staticmethod
        def forward(ctx, *args):
            ctx.save_for_backward(*args)
            return forward(*args)

        @staticmethod
        def backward(ctx, *g):
            return backward(*g, *ctx.saved_tensors)

    yield Planted.apply


def outer_add(xp, a, b):
    return a + b


def normalised(x):
    centred = x - x.mean(1, keepdim=True)
    return centred / (centred * centred).mean(1, keepdim=True).sqrt()


def normalised_without_mean(g, x):
    centred = x - x.mean(1, keepdim=True)
    sd = (centred * centred).mean(1, keepdim=True).sqrt()
    unit = centred / sd
    return (g - unit * (g * unit).mean(1, keepdim=True)) / sd


class Accumulates(tn.autograd.Function):
    """Adds to what the last backward left."""

    @staticmethod
    def forward(ctx, x):
        ctx.total = tn.zeros_like(x)
        return x * 3

    @staticmethod
    def backward(ctx, g):
        ctx.total = ctx.total + g * 3
        return ctx.total


class ForgetsUnused(tn.autograd.Function):
    """Takes an output that nobody used for one with the same gradient as the other."""

    @staticmethod
    def forward(ctx, x):
        ctx.set_materialize_grads(False)
        return x * 2, x * 3

    @staticmethod
    def backward(ctx, g, h):
        g, h = (h if g is None else g), (g if h is None else h)
        return g * 2 + h * 3


@contextmanager
def as_it_is(f):
    yield f


conv = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1}
labels = tn.tensor([0, 2, 1])
X, Y, ROWS, ROW = randn(3), randn(3, seed=1), randn(3, 4), randn(4, seed=1)
SQUARES = [randn(3, 3), randn(3, 3, seed=1)]
IMAGE, KERNEL = randn(2, 1, 5, 5), randn(1, 1, 3, 3, seed=1)
one, two = (lambda op, x: op(x)), (lambda op, a, b: op(a, b))

# name: (a context that gives the op, how to call it, its inputs, the beginning of the diagnosis)
MUTANTS = {
    # one number is wrong
    "sign of the subtrahend": (lambda: planted("sub", b=lambda g: g), two, [X, Y], "sign flipped"),
    "square without its 2": (
        lambda: planted("square", a=lambda g, a: g * a),
        one, [ROWS], "constant ratio: the gradient is 0.5 times the slope everywhere; a factor 2 is missing"),
    "exp twice": (
        lambda: planted("exp", a=lambda g, out: g * out + g * out),
        one, [ROWS], "constant ratio: the gradient is 2 times the slope everywhere; accumulated twice"),
    "mean without 1/N": (
        lambda: planted("mean", a=lambda g, a_shape: P["expand"](g, shape=a_shape)),
        one, [ROWS], "constant ratio: the gradient is 12 times the slope everywhere; 12 is the number of elements"),
    "sum with 1/N": (
        lambda: planted("sum", a=lambda g, a_shape: P["expand"](g, shape=a_shape) / 12.0),
        one, [ROWS], "constant ratio: the gradient is 0.0833333 times the slope everywhere; 1/12, and 12 is "
                     "the number"),
    "mean over one axis, divided by the other": (
        lambda: planted("mean", a=lambda g, a_shape: P["expand"](g.reshape((3, 1)), shape=a_shape) / 3.0),
        lambda op, x: op(x, dim=1), [ROWS], "constant ratio: the gradient is 1.33333 times the slope"),
    "a detached branch": (
        lambda: as_it_is(lambda x: x * x.detach()),
        one, [X], "constant ratio: the gradient is 0.5 times the slope everywhere; a factor 2 is missing"),
    # the right numbers in the wrong places
    "matmul, g @ b": (
        lambda: planted("matmul", input=lambda g, other: P["matmul"](g, other)),
        two, SQUARES, "transposed: the rule multiplies by the Jacobian"),
    "matmul, gᵀ a": (
        lambda: planted("matmul", other=lambda g, input: P["matmul"](P["permute"](g, dims=(1, 0)), input)),
        two, SQUARES, "transposed: the gradient is the right one with its axes in the order (1, 0)"),
    "permute undone by reshape": (
        lambda: planted("permute", a=lambda g, a_shape: g.reshape(a_shape)),
        lambda op, x: op(x, dims=(1, 0)), [ROWS], "transposed: the right numbers in another order"),
    "cumsum not turned round": (
        lambda: planted("cumsum", a=lambda g, dim: P["cumsum"](g, dim=dim)),
        lambda op, x: op(x, dim=0), [randn(4)], "transposed: the rule multiplies by the Jacobian"),
    "conv, kernel not turned round": (
        lambda: planted("conv2d", weight=lambda g, input: P["flip"](
            P["conv2d_weight_grad"](input, g, size=(3, 3), **conv), dims=(2, 3))),
        lambda op, x, w: op(x, w, None, **conv), [IMAGE, KERNEL],
        "reversed: the gradient is the right one read backwards along axes (2, 3)"),
    "conv, padding off by one": (
        lambda: planted("conv2d", input=lambda g, weight: P["conv2d_input_grad"](
            g, weight, size=(5, 7), stride=(1, 1), padding=(1, 0), dilation=(1, 1), groups=1)[:, :, :, :5]),
        lambda op, x, w: op(x, w, None, **conv), [IMAGE, KERNEL], "shifted: the right gradient, moved by 1 along axis "
                                                                  "3"),
    "slice off by one": (
        lambda: planted("getitem", a=lambda g, a_shape: P["add_at"](g, index=(slice(2, 6),), shape=a_shape)),
        lambda op, x: op(x, index=(slice(1, 5),)), [randn(8)], "shifted: the right gradient, moved by 1 along axis 0"),
    "relu, mask inverted": (
        lambda: planted("relu", input=lambda g, out: P["where"](raw(out) <= 0, g, 0.0)), one, [ROWS], "mask inverted"),
    "the least for the greatest": (
        lambda: planted("amax", a=lambda g, a: P["where"](raw(a) == raw(a).min(), 1.0, 0.0) * g),
        one, [randn(5)], "wrong place"),
    "gradients of two inputs swapped": (
        lambda: function(lambda a, b: a * b, lambda g, a, b: (g * a, g * b)), two, [X, Y], ""),
    # something is left out
    "broadcast, not summed": (
        lambda: own(outer_add, a=lambda g: g, b=lambda g: g), two, [ROWS, ROW], "missing sum over broadcast axes?"),
    "broadcast, one row taken": (
        lambda: own(outer_add, a=lambda g: g, b=lambda g: P["getitem"](g, index=(0,))),
        two, [ROWS, ROW], "missing sum over broadcast axes: the input [4] was broadcast to [3, 4]"),
    "broadcast, averaged": (
        lambda: own(outer_add, a=lambda g: g, b=lambda g: unbroadcast(g, (4,)) / 3.0), two, [ROWS, ROW],
        "constant ratio: the gradient is 0.333333 times the slope everywhere; 1/3, and 3 is the length of axis 0 of "
        "the output: a mean"),
    "conv, bias not summed over the batch": (
        lambda: planted("conv2d", bias=lambda g: P["getitem"](g, index=(0,)).sum(axis=(1, 2))),
        lambda op, x, w, b: op(x, w, b, **conv), [IMAGE, KERNEL, randn(1, seed=2)],
        "missing sum over broadcast axes: the input [1] was broadcast to [2, 1, 5, 5]"),
    "roll without coming round": (
        lambda: planted("roll", a=lambda g: P["neighbour"](g, dim=0, reverse=True)),
        lambda op, x: op(x, shifts=1, dims=0), [randn(5, 3)], "part of grad_output is dropped"),
    "variance only": (
        lambda: planted("var_mean", a=lambda g, a: g[0] * (a - a.sum(axis=None) / 4.0) * (2 / 3)),
        one, [randn(4)], "part of grad_output is dropped"),
    "an output nobody used": (
        lambda: as_it_is(ForgetsUnused.apply),
        one, [X], "input gets another gradient when only some of the outputs are used"),
    "softmax, zeros": (
        lambda: planted("softmax", input=lambda g: g * 0.0), lambda op, x: op(x, dim=1), [ROWS], "all zeros"),
    "detached altogether": (lambda: as_it_is(lambda x, y: x.detach() * y), two, [X, Y], "all zeros"),
    "softmax without its sum": (
        lambda: planted("softmax", input=lambda g, out: g * out), lambda op, x: op(x, dim=1), [ROWS], ""),
    "softmax along the other axis": (
        lambda: planted("softmax", input=lambda g, out: out * (g - (g * out).sum(axis=0, keepdims=True))),
        lambda op, x: op(x, dim=1), [ROWS], ""),
    "log_softmax without its sum": (
        lambda: planted("log_softmax", input=lambda g: g), lambda op, x: op(x, dim=1), [ROWS], ""),
    "cross-entropy without the one-hot": (
        lambda: planted("label_loss", input=lambda g, probs: g[0] / len(probs) * probs),
        lambda op, x: tn.nn.functional.cross_entropy(x, labels), [ROWS], ""),
    "layer norm without the mean's term": (
        lambda: function(normalised, normalised_without_mean),
        one, [randn(3, 5)], "a term is missing: what is missing is the same all along axis 1"),
    "wrong only at the edge": (
        lambda: function(lambda x: x * x, lambda g, x: tn.cat([g[:1] * x[:1], g[1:] * x[1:] * 2])),
        one, [randn(5, 2)], "edges only: all wrong elements lie at the ends of axis 0"),
    # the wrong formula
    "exp of its input": (lambda: planted("exp", a=lambda g, a: g * a), one, [ROWS], ""),
    "log upside down": (lambda: planted("log", a=lambda g, a: g * a), one, [positive(3, 4)], ""),
    "quotient without the square": (
        lambda: planted("true_divide", b=lambda g, a, b: -g * a / b), two, [X, positive(3)], ""),
    "power off by one": (
        lambda: planted("pow", a=lambda g, a, exponent: g * exponent * P["pow"](a, exponent)),
        lambda op, x: op(x, 3), [X], ""),
    "floor with a gradient": (lambda: planted("floor", a=lambda g: g), one, [X], "superfluous"),
    "0/0 in a branch not taken": (
        lambda: as_it_is(lambda x: tn.where(x.detach() > 0, x.sqrt(), 0.0)), one, [randn(6)], "non-finite"),
    # what a rule may not do
    "tanh without grad_output": (
        lambda: planted("tanh", a=lambda g, out: 1 - out * out), one, [ROWS], "grad_output ignored"),
    "grad_output squared": (
        lambda: planted("sin", a=lambda g, a: g * g * P["cos"](a)), one, [ROWS], "not linear in grad_output"),
    "accumulates over calls": (
        lambda: as_it_is(Accumulates.apply), one, [X], "backward is not deterministic"),
    "too few gradients": (
        lambda: function(lambda a, b: a * b, lambda g, a, b: g * b), two, [X, Y], "backward raised: "),
    "another shape": (lambda: function(lambda x: x * x, lambda g, x: (g * x)[:2]), one, [X], "backward raised: "),
}


def findings(result):
    return [c.diagnosis for c in result.inputs if c.status == "FAIL"] + result.problems


@pytest.mark.parametrize("name", MUTANTS)
def test_a_wrong_rule_is_caught_and_named(name):
    plant, call, inputs, diagnosis = MUTANTS[name]
    with plant() as op:
        result = gradcheck(lambda *xs: call(op, *xs), inputs, raise_exception=False)
    assert not result, "a wrong rule passed"
    assert any(words.startswith(diagnosis) for words in findings(result)), str(result)


@pytest.mark.parametrize("name", [n for n, (plant, *_) in MUTANTS.items()
                                  if "planted" in plant.__code__.co_names])
def test_the_right_rule_passes_in_its_place(name):
    plant, call, inputs, _ = MUTANTS[name]
    with plant() as op:
        pass
    assert gradcheck(lambda *xs: call(op, *xs), inputs)


@pytest.mark.parametrize("name", ["tanh without grad_output", "conv, padding off by one",
                                  "relu, mask inverted"])
def test_the_op_is_named_in_a_larger_function(name):
    plant, call, inputs, diagnosis = MUTANTS[name]

    def model(*xs):
        h = call(op, *(tn.sin(x) for x in xs))
        return (h * h + tn.exp(h)).sum()

    with plant() as op:
        result = gradcheck(model, inputs, raise_exception=False)
    assert result.culprit.startswith(f"First op at fault: {op.name} (op {len(inputs) + 1} of ")
    assert "test_mutants.py" in result.culprit
    assert f"its gradient for argument {op.params[0]!r} is wrong: {diagnosis}" in result.culprit


# ---- wrong only at second order: what makes the gradient is not itself differentiated, or differently
def on_tensors(g):
    return hasattr(g, "place")


SECOND = {
    "a raw array in a rule": (lambda: planted("sin", a=lambda g, a: g * np.cos(raw(a))), [X], "all zeros"),
    "a constant made of grad_output": (
        lambda: planted("sin", a=lambda g, a: (wrap(raw(g)) if on_tensors(g) else g) * P["cos"](a)), [X], "all zeros"),
    "a gradient cut off": (
        lambda: planted("mul", a=lambda g, b: wrap(raw(g) * raw(b)) if on_tensors(g) else g * b), [X, Y],
        "all zeros"),
    "a fused backward whose own rule is wrong": (
        lambda: planted("label_loss_grad", p=lambda u, g: -(u * g / len(u))), None, "sign flipped"),
    "two readings": (
        lambda: planted("square", a=lambda g, a: g * a * (2.001 if on_tensors(g) else 2.0)),
        [X], "the two readings of a rule differ"),
    "a sum over no axes, which on tensors is over all": (
        lambda: planted("square", a=lambda g, a: (g * a).sum(axis=()) * 2.0), [X], "backward raised"),
}


@pytest.mark.parametrize("name", SECOND)
def test_a_rule_wrong_only_at_second_order(name):
    plant, inputs, diagnosis = SECOND[name]
    with plant() as op:
        f = op
        if inputs is None:
            inputs, f = [randn(3, 4)], lambda x: tn.nn.functional.cross_entropy(x, labels)
        assert gradcheck(f, inputs)
        result = gradgradcheck(f, inputs, raise_exception=False)
    assert not result
    assert any(words.startswith(diagnosis) for words in findings(result)), str(result)
