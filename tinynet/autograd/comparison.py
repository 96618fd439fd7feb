"""One comparison of analytic with numeric gradients: what gradcheck and gradgradcheck share."""
from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tinynet.autograd.diagnosis import Evidence, broadcast_axes, diagnose
from tinynet.autograd.engine import grad
from tinynet.autograd.modes import enable_grad
from tinynet.autograd.report import GradcheckResult, InputCheck, WrongElement
from tinynet.autograd.slopes import Ruler, Slope, nearer
from tinynet.autograd.variable import Variable, raw, wrap
from tinynet.device import backend
from tinynet.dtypes import Array

MANY = 512  # elements of one input: beyond, a random direction is tried first
RAISED = RuntimeError, ValueError, TypeError, IndexError  # by a rule that is wrong
JACOBIAN = 20_000  # entries of a Jacobian that is computed whole for a diagnosis


def flatten(outputs: Any) -> Iterator[Any]:
    """The floating-point tensors in nested tuples, lists and dicts."""
    if isinstance(outputs, Variable):
        if outputs.array.dtype.kind == "f":
            yield outputs
    elif isinstance(outputs, (tuple, list)):
        for o in outputs:
            yield from flatten(o)
    elif isinstance(outputs, dict):
        yield from flatten(list(outputs.values()))


def differentiable(outputs: Any) -> list[Any]:
    """Those of them that require grad."""
    return [o for o in flatten(outputs) if o.refresh() is not None]


def tracked(a: Array) -> Any:
    """A leaf that requires grad."""
    t = wrap(a)
    t.track()
    return t


def host(a: Any) -> Array:
    """A tensor's or a device's array as NumPy's."""
    a = raw(a)
    return a.get() if hasattr(a, "get") else np.asarray(a)


def vector(tensors: Sequence[Any]) -> Array:
    """Their elements in one float64 vector."""
    return np.concatenate([host(t).ravel() for t in tensors]).astype(np.float64)


def cotangent(rng: np.random.Generator, like: Array) -> Array:
    """Random numbers of mixed sign, none small: each element of the output counts."""
    values = rng.uniform(0.5, 1.5, like.shape) * rng.choice([-1.0, 1.0], like.shape)
    return backend(like).asarray(values, dtype=like.dtype)


def largest(a: Array) -> float:
    """The largest finite magnitude; 0 if there is none."""
    return float(np.abs(a[np.isfinite(a)]).max(initial=0))


class Comparison:
    """`func` is differentiated in those of `args` that require grad; `plain`, the same function, measured."""

    def __init__(self, func: Any, plain: Any, args: list[Any], labels: list[str], ruler: Ruler,
                 atol: float = 1e-5, rtol: float = 1e-3, nondet_tol: float = 0.0, fast: bool = False,
                 each_output: bool = True) -> None:
        self.func, self.plain, self.args, self.labels, self.ruler = func, plain, args, labels, ruler
        self.atol, self.rtol, self.nondet_tol = atol, rtol, nondet_tol
        self.fast, self.each_output = fast, each_output
        self.wanted = [k for k, a in enumerate(args) if isinstance(a, Variable) and a.refresh() is not None]
        self.moved = [args[k] for k in self.wanted]
        self.rng = np.random.default_rng(0)
        ruler.precision = max(float(np.finfo(x.array.dtype).eps) for x in self.moved)

    def run(self, name: str, order: int) -> GradcheckResult:
        """Check every input, unless there is a problem that makes the comparison meaningless."""
        self.result = GradcheckResult(name, order)
        before = [a.array.copy() if isinstance(a, Variable) else None for a in self.args]
        with np.errstate(all="ignore"), enable_grad():
            try:
                outs = list(flatten(self.func(*self.args)))
            except RAISED as e:
                if order == 1:
                    raise  # it is func that fails, not its gradient
                self.result.fail(e)
                return self.result
            if not outs:
                raise ValueError(f"gradcheck: {name} returned no floating-point tensor: there is nothing to "
                                 "differentiate")
            live = [o.refresh() is not None for o in outs]
            # an output of func without gradient is meant so (as PyTorch has it), one of a derivative is not
            self.chosen = [k for k in range(len(outs)) if live[k] or order > 1 or not any(live)]
            self.outs = [outs[k] for k in self.chosen]
            arrays = [cotangent(self.rng, o.array) for o in self.outs]
            self.seeds, self.ruler.c = [wrap(c) for c in arrays], vector(arrays)
            if self.unchanged(before) and self.repeatable():
                analytic = self.backward()
                if analytic is not None:
                    self.result.inputs = [self.check_input(k, analytic.get(k)) for k in range(len(self.args))]
        return self.result

    # ---- before any slope is measured
    def unchanged(self, before: list[Any]) -> bool:
        """Whether func left its inputs as they were; they are put back."""
        for label, a, b in zip(self.labels, self.args, before, strict=True):
            if b is not None and not np.array_equal(host(a), host(b), equal_nan=True):
                a.array[...] = b
                self.result.problems.append(f"func changes its {label} in place, so it cannot be called "
                                            "again at the same point: let it work on a clone().")
        return not self.result.problems

    def repeatable(self) -> bool:
        """Whether plain gives the same twice, and func the same as plain."""
        ours, one, two = vector(self.outs), self.value(), self.value()
        gap = largest(one - two) if one.shape == two.shape else math.inf
        if gap > self.nondet_tol:
            self.result.problems.append(
                f"func is not deterministic: two calls differ by up to {gap:.3g} (nondet_tol is "
                f"{self.nondet_tol:g}). Is there dropout or other randomness in it? Use eval(), or seed a "
                "generator inside func.")
        elif self.plain is not self.func and largest(ours - one) > 1e6 * self.ruler.precision * largest(one):
            self.result.problems.append(
                "the two readings of a rule differ: under create_graph=True the gradient is another by up "
                f"to {largest(ours - one):.3g}. A rule works on raw arrays, or uses what means something "
                "else on tensors.")
        return gap <= self.nondet_tol

    def backward(self) -> dict[int, Array] | None:
        """The analytic gradients, by the number of the input; None if backward fails."""
        try:
            first, self.again = self.gradients(self.seeds), self.gradients(self.seeds)
            if self.each_output and len(self.outs) > 1:
                self.one_at_a_time(first)
        except RAISED as e:
            self.result.fail(e)
            shape = self.outs[0].array.shape
            self.result.problems += [
                f"missing sum over broadcast axes? {self.labels[k]} {list(x.array.shape)} may have been "
                f"broadcast to {list(shape)}; then its gradient is grad_output summed over axes {axes}."
                for k, x in zip(self.wanted, self.moved, strict=True)
                if (axes := broadcast_axes(x.array.shape, shape)) and str(list(x.array.shape)) in str(e)]
            return None
        for k in self.wanted:
            gap = largest(first[k] - self.again[k])
            if gap > self.nondet_tol:
                self.result.problems.append("backward is not deterministic: two calls on one graph give "
                                            f"gradients of {self.labels[k]} that differ by up to {gap:.3g}.")
        return first

    def gradients(self, seeds: Sequence[Any]) -> dict[int, Array]:
        """The gradient of each input that has one, for these cotangents (None: the output is not used)."""
        pairs = [(o, c) for o, c in zip(self.outs, seeds, strict=True) if o.place and c is not None]
        if not pairs:
            return {k: np.zeros(x.array.shape) for k, x in zip(self.wanted, self.moved, strict=True)}
        outs, cotangents = zip(*pairs, strict=True)
        found = grad(outs, self.moved, cotangents, retain_graph=True, materialize_grads=True)
        return {k: host(g).astype(np.float64) for k, g in zip(self.wanted, found, strict=True)}

    def one_at_a_time(self, joint: dict[int, Array]) -> None:
        """With several outputs, the gradient is the sum of what each gives when the others are not used."""
        n = range(len(self.outs))
        parts = [self.gradients([c if j == k else None for j, c in enumerate(self.seeds)]) for k in n]
        for k in self.wanted:
            size = max(largest(p[k]) for p in parts)
            if largest(sum(p[k] for p in parts) - joint[k]) > 1e6 * self.ruler.precision * (size + 1e-3):
                self.result.problems.append(
                    f"{self.labels[k]} gets another gradient when only some of the outputs are used: a rule "
                    "mishandles the gradient of an output that nobody used.")

    def value(self) -> Array:
        """All outputs as one vector, measured."""
        outs = list(flatten(self.plain(*self.args)))
        return vector([outs[k] for k in self.chosen])

    # ---- slopes
    def check_input(self, k: int, g: Array | None) -> InputCheck:
        """Compare the gradient g of one input with its slopes."""
        x = raw(self.args[k])
        if g is None:
            dtype = str(getattr(x, "dtype", type(x).__name__))
            return InputCheck(self.labels[k], getattr(x, "shape", ()), dtype, "SKIPPED")
        check, chosen = InputCheck(self.labels[k], x.shape, x.dtype.name), np.arange(x.size)
        if x.size > MANY or (self.fast and x.size > 1):
            self.along(x, g, chosen, check)
            if check.status != "FAIL":
                return check
            while len(chosen) > 8 * MANY:  # follow the half that is further out
                chosen = max(np.array_split(chosen, 2), key=lambda half: self.along(x, g, half, check))
        self.each_element(k, x, g, chosen, check)
        if check.status != "FAIL" and len(chosen) < x.size:  # what was wrong along the direction is elsewhere
            self.each_element(k, x, g, np.arange(x.size), check)
        return check

    def along(self, x: Array, g: Array, chosen: Array, check: InputCheck) -> float:
        """Compare along one random direction over the chosen elements; the relative error."""
        direction = np.zeros(x.size)
        direction[chosen] = cotangent(self.rng, direction[chosen])
        direction = direction.reshape(x.shape)
        step, start, parts = backend(x).asarray(direction, dtype=x.dtype), x.copy(), g * direction

        def at(t: float) -> tuple[Array, float]:
            x[...] = start + t * step
            try:
                return self.value(), t
            finally:
                x[...] = start

        here, expected, typical = self.value(), float(parts.sum()), float(np.sqrt((parts**2).sum()))
        floor, check.along = 0.0, True
        for line in (at, nearer(at)):
            slope = self.ruler.measure(line, here, 1.0, expected)
            floor = floor or max(1e-3 * typical, 1e8 * slope.rounding, 1e4 * self.ruler.unit)
            size = max(abs(expected), abs(slope.value), floor)
            error, allowed = abs(expected - slope.value), 1e-2 * self.rtol * size
            right = error <= allowed
            if right:
                break
        if right and slope.bent:  # across a kink a mean of its two slopes is measured, which is the gradient of neither
            sides = self.ruler.sides(at, here, 1.0)
            right = not sides.sharp and abs(expected - sides.middle) <= allowed + sides.noise
        check.worst, check.status = error / size, "PASS" if right else "FAIL"
        return check.worst if math.isfinite(check.worst) else math.inf

    def each_element(self, k: int, x: Array, g: Array, chosen: Array, check: InputCheck) -> None:
        """Compare at each chosen element; where they differ look for a kink; diagnose what remains."""
        values, analytic = host(x).ravel()[chosen].astype(np.float64), g.ravel()[chosen]
        lines = [self.line(x, np.unravel_index(i, x.shape)) for i in chosen]
        here = self.value()
        slopes = [self.ruler.measure(at, here, abs(v), a)
                  for at, v, a in zip(lines, values, analytic, strict=True)]
        numeric, rounding = np.array([s.value for s in slopes]), np.array([s.rounding for s in slopes])
        noise, kinks = 1e2 * rounding, np.zeros(len(chosen), bool)
        error, allowed = self.errors(analytic, numeric, noise)
        for j in np.flatnonzero(~(error <= allowed) | np.array([s.bent for s in slopes], bool)):
            sides = self.ruler.sides(lines[j], here, abs(values[j]))
            if sides.sharp:
                kinks[j] = error[j] <= allowed[j] or sides.allow(analytic[j], allowed[j], error[j])
            elif not error[j] <= allowed[j] or abs(sides.middle - numeric[j]) > max(0.5 * allowed[j], 3 * sides.noise):
                value, doubt = self.ruler.close_by(lines[j], here, abs(values[j]), analytic[j], sides)
                gap = abs(value - numeric[j])  # if all steps crossed a kink near by
                if gap > max(0.5 * allowed[j], 3 * doubt) and doubt <= 1e-2 * max(gap, largest(analytic)):
                    numeric[j], noise[j] = value, doubt
        error, allowed = self.errors(analytic, numeric, noise)
        wrong, floor = ~(error <= allowed) & ~kinks, np.maximum(1e-3 * largest(numeric), 1e4 * self.ruler.unit)
        relative = error / np.maximum.reduce([np.abs(analytic), np.abs(numeric), np.maximum(floor, 1e8 * rounding)])
        check.along, check.looked_at = False, len(chosen)
        check.wrong, check.kinks = int(wrong.sum()), int(kinks.sum())
        check.status = "FAIL" if wrong.any() else "KINK" if kinks.any() else "PASS"
        compared = np.where(np.isfinite(relative), relative, np.inf)[~kinks]
        check.worst = float(compared.max(initial=0)) if len(compared) or not kinks.any() else math.nan
        if not wrong.any():
            return
        order = np.argsort(-np.where(np.isfinite(error), error, np.inf)[wrong], kind="stable")[:5]
        for j in np.flatnonzero(wrong)[order]:
            index = tuple(int(i) for i in np.unravel_index(chosen[j], x.shape))
            check.elements.append(WrongElement(index, values[j], analytic[j], numeric[j], relative[j]))
        if np.isnan(numeric).any():
            check.diagnosis = ("no slope: func is not finite close to some elements. Keep the inputs away "
                               "from the edge of its domain.")
        elif len(chosen) == x.size:
            measured = np.where(kinks, analytic, numeric).reshape(x.shape)
            check.diagnosis = diagnose(self.evidence(k, g, measured, slopes))

    def errors(self, analytic: Array, numeric: Array, noise: Array) -> tuple[Array, Array]:
        """How far the gradients are from the slopes, and how far they may be."""
        allowed = self.atol * min(1.0, largest(numeric)) + self.rtol * np.abs(numeric) + noise + self.ruler.unit
        return np.abs(analytic - numeric), allowed

    def line(self, x: Array, index: Any) -> Callable[[float], tuple[Array, float]]:
        """All outputs, as a function of how far one element of x is moved."""
        start = x[index].copy()

        def at(t: float) -> tuple[Array, float]:
            x[index] = start + t
            try:
                return self.value(), float(x[index] - start)
            finally:
                x[index] = start
        return at

    def evidence(self, k: int, g: Array, numeric: Array, slopes: list[Slope]) -> Evidence:
        """What a diagnosis is made from: how the gradient answers to other cotangents."""
        other = [wrap(cotangent(self.rng, c.array)) for c in self.seeds]
        both = [wrap(a.array + b.array) for a, b in zip(self.seeds, other, strict=True)]
        jacobians = None
        if len(self.ruler.c) * g.size <= JACOBIAN:
            units, rows = [wrap(backend(c.array).zeros_like(c.array)) for c in self.seeds], []
            for u in units:
                for i in np.ndindex(u.array.shape):
                    u.array[i] = 1
                    rows.append(self.gradients(units)[k].ravel())
                    u.array[i] = 0
            jacobians = np.array(rows), np.stack([s.vector for s in slopes], axis=1)
        return Evidence(g, numeric, [o.array.shape for o in self.outs], self.gradients(other)[k],
                        self.gradients(both)[k], self.again[k], jacobians)


def second_order(func: Callable[..., Any], args: list[Any], labels: list[str], seeds: list[Any] | None,
                 strided: bool, *how: Any) -> Comparison:
    """The comparison for func's gradient as a function of its arguments and of grad_outputs, the seeds."""
    with np.errstate(all="ignore"), enable_grad():
        outs = differentiable(func(*args))
    if not outs:
        raise ValueError("gradgradcheck: no output of func requires grad, so there is no gradient to "
                         "differentiate")
    if seeds is None:
        rng = np.random.default_rng(1)
        arrays = [cotangent(rng, o.array) for o in outs]
        seeds = [tracked(backend(a).stack([a, a], -1)[..., 0] if strided else a) for a in arrays]
    n = len(args)

    def gradients(create_graph: bool) -> Callable[..., Any]:
        def run(*both: Any) -> Any:
            xs = [x for x in both[:n] if isinstance(x, Variable) and x.refresh() is not None]
            outs = differentiable(func(*both[:n]))
            # the inputs may have a history, which is walked again at every step
            return grad(outs, xs, both[n:], True, create_graph, materialize_grads=True)
        return run

    names = ["grad_output" + f" {k}" * (len(seeds) > 1) for k in range(len(seeds))]
    return Comparison(gradients(True), gradients(False), [*args, *seeds], [*labels, *names], *how)
