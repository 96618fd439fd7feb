"""What is wrong with a gradient, by hypothesis.

Each hypothesis is a way rules are often wrong. It is a function that looks at the evidence, and says what is
wrong, in words that begin with its name, or None. `diagnose` gives the first that fits.
"""
from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from tinynet.dtypes import Array


@dataclass
class Evidence:
    """All that is known of one wrong gradient. The cotangent is what backward was given as grad_output."""

    analytic: Array  # what backward gives
    numeric: Array  # the slope measured
    output_shapes: list[tuple[int, ...]]
    other: Array  # what backward gives for another cotangent ...
    both: Array  # ... and for the sum of the two
    repeated: Array  # what backward gives the second time on the same graph
    jacobians: tuple[Array, Array] | None  # analytic and numeric, if small: output elements by input elements


def close(a: Array, b: Array) -> bool:
    """Whether two gradients are the same but for the error of a measured slope."""
    return bool(a.shape == b.shape and np.abs(a - b).max(initial=0) <= 1e-5 * np.abs(b).max(initial=0))


def diagnose(e: Evidence) -> str:
    """The first hypothesis that explains the evidence, in words; "" if none does."""
    return next((words for hypothesis in HYPOTHESES if (words := hypothesis(e))), "")


def non_finite(e: Evidence) -> str | None:
    """nan or inf, where the slope is a number."""
    bad = int((~np.isfinite(e.analytic)).sum())
    if not bad:
        return None
    return (f"non-finite: {bad} of {e.analytic.size} elements of the gradient are nan or inf where the slope "
            "is finite. Look for a division by zero, log or sqrt of 0, or inf * 0, also in a branch that "
            "where() drops.")


def superfluous(e: Evidence) -> str | None:
    """A gradient where all slopes are 0."""
    if e.numeric.any():
        return None
    return "superfluous: backward gives a gradient for an input on which the output does not depend."


def all_zeros(e: Evidence) -> str | None:
    """No gradient at all."""
    if e.analytic.any():
        return None
    return ("all zeros: no gradient arrives. The graph is cut (detach(), .numpy(), .data, no_grad, a new "
            "tensor made from values), or the rule returns zeros or None.")


def accumulates(e: Evidence) -> str | None:
    """A second backward gives another gradient."""
    if close(e.repeated, e.analytic):
        return None
    return ("accumulated over calls: a second backward through the same graph gives another gradient than "
            "the first. The rule adds to something it keeps, or writes into what it saved or into "
            "grad_output.")


def grad_output_ignored(e: Evidence) -> str | None:
    """The gradient does not depend on grad_output, or not linearly."""
    if close(e.other, e.analytic):
        return ("grad_output ignored: the gradient is the same whatever grad_output is. A rule gives the "
                "local derivative times grad_output (the chain rule).")
    if not close(e.both, e.analytic + e.other):
        return ("not linear in grad_output: the gradient for the sum of two grad_outputs is not the sum of "
                "their gradients. A rule may only add, and multiply grad_output by what does not depend on "
                "it.")
    return None


def constant_ratio(e: Evidence) -> str | None:
    """All elements are the slope times one number, which tells what was forgotten."""
    a, n = e.analytic.ravel(), e.numeric.ravel()
    large = np.abs(n) > 1e-3 * np.abs(n).max()
    ratio = float(np.median(a[large] / n[large]))
    if not close(a, ratio * n):
        return None

    def near(value: float) -> bool:
        return abs(ratio - value) < 1e-4 * abs(value)

    if near(-1):
        return "sign flipped: the gradient is exactly minus the slope. A minus is missing, or one too many."
    reasons = ["accumulated twice, or a factor 1/2 is missing"] * near(2)
    reasons += ["a factor 2 is missing (as in that of x*x), or one of two branches is detached"] * near(0.5)
    for size, what in sizes(e):
        reasons += [f"{size} is {what}: a sum, where the 1/{size} of a mean is missing"] * near(size)
        reasons += [f"1/{size}, and {size} is {what}: a mean, where a sum is meant"] * near(1 / size)
    if not reasons and large.sum() < 3:
        return None  # one or two numbers are always in some ratio
    what = f"constant ratio: the gradient is {ratio:.6g} times the slope everywhere"
    return "; ".join([what, *reasons]) + "."


def sizes(e: Evidence) -> Iterator[tuple[int, str]]:
    """The numbers a forgotten or superfluous mean would divide by."""
    seen = {0, 1}
    for what, shape in [("input", e.analytic.shape), *(("output", s) for s in e.output_shapes)]:
        lengths = [(n, f"the length of axis {k} of the {what}") for k, n in enumerate(shape)]
        for size, text in [(math.prod(shape), f"the number of elements of the {what}"), *lengths]:
            if size not in seen:
                seen.add(size)
                yield size, text


def transposed(e: Evidence) -> str | None:
    """The right numbers, with axes exchanged."""
    a, n = e.analytic, e.numeric
    for axes in itertools.permutations(range(n.ndim)) if 2 <= n.ndim <= 4 else ():
        if axes != tuple(range(n.ndim)) and close(a, n.transpose(axes)):
            return f"transposed: the gradient is the right one with its axes in the order {axes}."
    if n.ndim >= 2 and close(a.ravel(), n.T.ravel()):
        return "transposed: the right numbers in another order, by a reshape() where a transpose is meant."
    if e.jacobians is not None and close(e.jacobians[0], e.jacobians[1].T):
        return ("transposed: the rule multiplies by the Jacobian where it should by its transpose: a matrix "
                "in it lacks its .T (g @ b where g @ b.T is meant).")
    return None


def reversed_axes(e: Evidence) -> str | None:
    """The right numbers, read backwards."""
    every = range(e.numeric.ndim)
    for axes in itertools.chain.from_iterable(itertools.combinations(every, n + 1) for n in every):
        if close(e.analytic, np.flip(e.numeric, axes)):
            return (f"reversed: the gradient is the right one read backwards along axes {axes} (a "
                    "convolution, where a correlation is meant).")
    return None


def missing_sum(e: Evidence) -> str | None:
    """Rows of the Jacobian are 0: part of grad_output is dropped, as when a broadcast is not summed."""
    if e.jacobians is None:
        return None
    ours, right = e.jacobians
    lost = ~ours.any(axis=1) & right.any(axis=1)
    if not lost.any() or not close(ours[~lost], right[~lost]):
        return None
    shape = e.output_shapes[0]
    axes = broadcast_axes(e.analytic.shape, shape) if len(e.output_shapes) == 1 else ()
    if axes:
        return (f"missing sum over broadcast axes: the input {list(e.analytic.shape)} was broadcast to "
                f"{list(shape)}, so its gradient is grad_output summed over axes {axes}; only part of "
                "grad_output arrives.")
    return f"part of grad_output is dropped: {lost.sum()} of {len(lost)} output elements send nothing back."


def broadcast_axes(small: tuple[int, ...], large: tuple[int, ...]) -> tuple[int, ...]:
    """The axes of large along which small was repeated; () if it was not, or does not broadcast to it."""
    lead = len(large) - len(small)
    if lead < 0 or any(s not in (1, n) for s, n in zip(small, large[lead:], strict=True)):
        return ()
    return (*range(lead), *(k + lead for k, s in enumerate(small) if s != large[k + lead]))


def elsewhere(e: Evidence) -> str | None:
    """No element that should have a gradient has one."""
    a, n = e.analytic != 0, np.abs(e.numeric) > 1e-9 * np.abs(e.numeric).max()
    if (a & n).any():
        return None
    if not (a | n).all():
        return ("wrong place: the gradient goes to elements on which the output does not depend, and none "
                "to those on which it does.")
    return ("mask inverted: the gradient is zero just where the slope is not, and not zero where it is: a "
            "condition in the rule is the wrong way round.")


def term_missing(e: Evidence) -> str | None:
    """What is missing is the same all along an axis: a mean or a sum was not gone through."""
    missing = e.numeric - e.analytic
    for axis in reversed(range(missing.ndim)):
        average = np.broadcast_to(missing.mean(axis, keepdims=True), missing.shape)
        if missing.shape[axis] > 2 and close(missing, average):
            return (f"a term is missing: what is missing is the same all along axis {axis}. Where the "
                    "forward takes a mean or a sum over that axis (to centre, to normalise), the rule must "
                    "go through it too.")
    return None


def shifted(e: Evidence) -> str | None:
    """The right numbers, off by one place."""
    for axis in range(e.numeric.ndim):
        a, n = (np.moveaxis(x, axis, 0) for x in (e.analytic, e.numeric))
        for step, ours, right in ((1, a[1:], n[:-1]), (-1, a[:-1], n[1:])):
            if len(right) > 1 and right.any() and close(ours, right):
                return (f"shifted: the right gradient, moved by {step} along axis {axis}: an index, a slice "
                        "or a padding is off by one.")
    return None


def edges_only(e: Evidence) -> str | None:
    """Only elements at the ends of an axis are wrong."""
    wrong = np.abs(e.analytic - e.numeric) > 1e-5 * np.abs(e.numeric).max()
    for axis in range(wrong.ndim):
        rows = np.moveaxis(wrong, axis, 0)
        if len(rows) > 2 and not rows[1:-1].any():
            return (f"edges only: all wrong elements lie at the ends of axis {axis}: look at padding and at "
                    "the limits of slices.")
    return None


HYPOTHESES: list[Callable[[Evidence], str | None]] = [
    non_finite, superfluous, all_zeros, accumulates, grad_output_ignored, constant_ratio, transposed,
    reversed_axes, missing_sum, elsewhere, term_missing, shifted, edges_only]
