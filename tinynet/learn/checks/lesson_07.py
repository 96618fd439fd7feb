"""Lesson 7, networks with a hidden layer: the layer, how to start it, and two optimisers."""
from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

import tinynet as tn
from tinynet.learn import close, draw, reference, require, slope
from tinynet.learn.compare import values


@reference("07.hidden_layer", tensors=True)
def hidden_layer(x, w, b):
    """relu(x wᵀ + b)"""
    return (x @ w.T + b).relu()


@hidden_layer.property("n rows, and a column for each row of the weights", x="n i", w="o i", b="o")
def _(mine, x, w, b):
    got, want = np.shape(values(mine(x, w, b))), (len(x), len(w))
    require(got == want, f"the shape should be {want}, not {got}", "x is (n, in), w is (out, in): which of them must "
            "be transposed, for the inner sizes to be equal?")


@hidden_layer.property("sums above 0 stay, those below become 0", x=st.just(np.array([[1.0, 2.0]])),
                       w=st.just(np.array([[1.0, 1.0], [-1.0, -1.0]])), b=st.just(np.array([10.0, 1.0])))
def _(mine, x, w, b):
    close(mine(x, w, b), np.array([[13.0, 0.0]]), "First the sums and the bias, then the ReLU over all of it.")


hidden_layer.agrees("each hidden number has its own weights and bias", x="n i", w="o i", b="o",
                    hint="b has a number for each hidden number: it fits a row of the result.")


@hidden_layer.property("gradients flow through it", examples=6, x="n i", w="o i", b="o")
def _(mine, x, w, b):
    slope(mine, [x, w, b], "Compute with the tensors themselves: NumPy's functions cut the graph.")


# ---- how to start
@reference("07.he")
def he(fan_out, fan_in, rng):
    """N(0, 2 / fan_in)"""
    return rng.normal(size=(fan_out, fan_in)) * np.sqrt(2 / fan_in)


@he.property("the weights have the shape (fan_out, fan_in)", out=st.integers(1, 9), into=st.integers(1, 9))
def _(mine, out, into):
    got = np.shape(mine(out, into, np.random.default_rng(0)))
    require(got == (out, into), f"the shape should be {(out, into)}, not {got}", "A row for each output.")


@he.property("their mean is 0 and their variance 2 / fan_in", examples=5, seed=draw.seed())
def _(mine, seed):
    w = np.asarray(mine(400, 100, np.random.default_rng(seed)))
    require(abs(w.mean()) < 0.01, "the mean should be 0", "rng.normal is as often negative as positive.", got=w.mean())
    require(abs(w.var() / 0.02 - 1) < 0.1, "the variance should be 2 / fan_in", "rng.normal has variance 1. "
            "Numbers that are multiplied by c have c² times the variance: multiply by the root.", expected=0.02,
            got=w.var())


@he.property("through 20 layers with ReLU the mean square stays what it was", examples=3, seed=draw.seed())
def _(mine, seed):
    rng = np.random.default_rng(seed)
    h = rng.normal(size=(200, 100))
    for _ in range(20):
        h = np.maximum(np.asarray(mine(200, 200, rng)) @ h, 0)
    require(0.2 < (h**2).mean() < 5, "after 20 layers the mean square should still be near 1", "Half of the numbers "
            "are set to 0 by the ReLU: that is where the 2 comes from.", got=(h**2).mean())


# ---- optimisers, also of the engine
def of_sgd(mine: Any) -> list[Any]:
    """tinynet's SGD, where it has momentum and nothing else."""
    own = tn.optim.SGD._update_all

    def update_all(self: Any, params: list[Any], group: dict[str, Any]) -> None:
        if not group["momentum"] or any(group[k] for k in ("dampening", "weight_decay", "nesterov", "maximize")):
            own(self, params, group)
            return
        for p in params:
            state = self.state[p]
            v = state.setdefault("momentum_buffer", tn.zeros_like(p))
            p.array[...], v.array[...] = mine(p.array, p.grad.array, v.array, group["lr"], group["momentum"])

    return [(tn.optim.SGD, "_update_all", update_all)]


def of_adam(mine: Any) -> list[Any]:
    """tinynet's Adam, without its options."""
    own = tn.optim.Adam._update_all

    def update_all(self: Any, params: list[Any], group: dict[str, Any]) -> None:
        if any(group.get(k) for k in ("weight_decay", "amsgrad", "maximize")):
            own(self, params, group)
            return
        for p in params:
            state = self._begun(p, group)
            state["step"].array += 1
            w, m, v = p.array, state["exp_avg"].array, state["exp_avg_sq"].array
            w[...], m[...], v[...] = mine(w, p.grad.array, m, v, int(state["step"].array), group["lr"], *group["betas"],
                                          group["eps"])

    return [(tn.optim.Adam, "_update_all", update_all)]


NEW = ("w", "m", "v")
SLOPES = draw.arrays((3, 2), -3, 3)


@reference("07.momentum_step", engine=of_sgd)
def momentum_step(w, g, v, lr, beta=0.9):
    """v ← beta v + g, w ← w - lr v"""
    v = beta * v + g
    return w - lr * v, v


@momentum_step.property("from rest, the first step is one of plain descent")
def _(mine):
    close(mine(np.array([1.0, 2.0]), np.array([4.0, -8.0]), np.zeros(2), 0.25, 0.5),
          (np.array([0.0, 4.0]), np.array([4.0, -8.0])), "v begins at 0, so it becomes g. Return (w, v). Downhill is "
          "minus.")


@momentum_step.property("with slope 0 the ball rolls on, slower")
def _(mine):
    close(mine(np.array([1.0]), np.array([0.0]), np.array([2.0]), 0.25, 0.5), (np.array([0.75]), np.array([1.0])),
          "The new speed is beta times the old one, plus the slope; and the step is made with the new speed.")


@momentum_step.property("three steps are those of tinynet's SGD", slopes=SLOPES, beta=st.sampled_from([0.0, 0.5, 0.9]))
def _(mine, slopes, beta):
    w, v = np.ones(2), np.zeros(2)
    for g in slopes:
        w, v = taken(mine(w, g, v, 0.1, beta), ("w", "v"))
    optimizer = tn.optim.SGD([p := tn.ones(2, dtype=tn.float64, requires_grad=True)], lr=0.1, momentum=beta)
    close(w, walked(optimizer, p, slopes), "The slope counts whole, lr times the new v is the step.")


@reference("07.adam_step", engine=of_adam)
def adam_step(w, g, m, v, t, lr, beta1=0.9, beta2=0.999, eps=1e-8):
    """m ← β₁ m + (1 - β₁) g, v ← β₂ v + (1 - β₂) g², w ← w - lr m̂ / (√v̂ + ε)"""
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    return w - lr * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps), m, v


@adam_step.property("m and v are running means, of the slope and of its square")
def _(mine):
    _, m, v = taken(mine(np.zeros(1), np.array([4.0]), np.array([1.0]), np.array([8.0]), 3, 0.1, 0.5, 0.75), NEW)
    close(m, [2.5], "m: beta1 parts of the old mean, 1 - beta1 of the slope.", what="m is wrong")
    close(v, [10.0], "v: beta2 parts of the old mean, 1 - beta2 of the slope squared. Return m and v as they are kept, "
          "not divided by 1 - beta**t.", what="v is wrong")


@adam_step.property("in the first step each weight moves by lr, whatever its slope is", g=draw.distinct((3,)))
def _(mine, g):
    w, _, _ = taken(mine(np.zeros(3), 1000 * g, np.zeros(3), np.zeros(3), 1, 0.1), NEW)
    close(w, -0.1 * np.sign(g), "m and v began at 0: divide both by 1 - beta**t. And the step is m over the root of v.",
          rtol=1e-6)


@adam_step.property("where the slope is 0 nothing moves, and nothing is divided by 0")
def _(mine):
    w, _, _ = taken(mine(np.ones(2), np.zeros(2), np.zeros(2), np.zeros(2), 1, 0.1), NEW)
    close(w, np.ones(2), "That is what eps is for.")


@adam_step.property("eps is added to the root, not under it")
def _(mine):
    w, _, _ = taken(mine(np.zeros(1), np.array([0.5]), np.zeros(1), np.zeros(1), 1, 1.0, 0.9, 0.999, 0.5), NEW)
    close(w, [-0.5], "sqrt(v) + eps: with the slope 0.5 and eps 0.5 the step is half the rate.")


@adam_step.property("three steps are those of tinynet's Adam", slopes=SLOPES)
def _(mine, slopes):
    w, m, v = np.ones(2), np.zeros(2), np.zeros(2)
    for t, g in enumerate(slopes, 1):
        w, m, v = taken(mine(w, g, m, v, t, 0.1), NEW)
    optimizer = tn.optim.Adam([p := tn.ones(2, dtype=tn.float64, requires_grad=True)], lr=0.1)
    close(w, walked(optimizer, p, slopes), "t counts the steps, from 1; each of the two means has its own beta.")


def taken(got: Any, names: tuple[str, ...]) -> list[Any]:
    """The arrays that an answer returns."""
    require(isinstance(got, tuple | list) and len(got) == len(names), f"{len(names)} results are expected: the new "
            f"{', '.join(names)}")
    return [np.asarray(values(one), float) for one in got]


def walked(optimizer: Any, p: Any, slopes: Any) -> Any:
    """Where the optimizer takes p by these slopes."""
    for g in slopes:
        p.grad = tn.tensor(g)
        optimizer.step()
    return p.detach()
