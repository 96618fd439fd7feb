"""Lesson 1, slopes: the forward and the central difference, and descent."""
from __future__ import annotations

from collections.abc import Callable

import numpy as np
from hypothesis import strategies as st

from tinynet.learn import close, draw, reference, require

Curve = Callable[[float], float]


def sine(x: float) -> float:
    """Its slope is the cosine."""
    return float(np.sin(x))


def cube(x: float) -> float:
    """Its slope is 3x²."""
    return x**3


def growth(x: float) -> float:
    """Its slope is itself."""
    return float(np.exp(x))


SLOPES: dict[Curve, Curve] = {sine: np.cos, cube: lambda x: 3 * x * x, growth: np.exp}
CURVES = st.sampled_from(list(SLOPES))
STEPS = st.sampled_from([0.5, 0.1, 0.01])


def order(difference: Callable[..., float], f: Curve, x: float) -> float:
    """p where the error behaves as hᵖ: measured at h = 0.02 and h = 0.01."""
    wide, narrow = (abs(difference(f, x, h) - SLOPES[f](x)) for h in (0.02, 0.01))
    return float(np.log2(wide / narrow))


@reference("01.forward_difference")
def forward_difference(f: Curve, x: float, h: float) -> float:
    """(f(x + h) - f(x)) / h"""
    return (f(x + h) - f(x)) / h


@forward_difference.property("on a straight line it is the slope, whatever h is",
                             slope=draw.number(), x=draw.number(), h=STEPS)
def _(mine, slope, x, h):
    def line(x):
        return slope * x + 1
    close(mine(line, x, h), slope, "How much higher is the curve at x + h than at x? Then divide by the step h.")


forward_difference.agrees("it is the slope of the line through the points at x and x + h",
                          hint="One point is at x itself, the other to its right, as far as the h that is given.",
                          f=CURVES, x=draw.number(), h=STEPS)


@forward_difference.property("its error shrinks like h", f=CURVES, x=st.sampled_from([0.5, 1.0, 2.0]))
def _(mine, f, x):
    p = order(mine, f, x)
    require(abs(p - 1) < 0.1, f"half the step divides the error by {2**p:.2f}, but it should by about 2")


@reference("01.central_difference")
def central_difference(f: Curve, x: float, h: float) -> float:
    """(f(x + h) - f(x - h)) / 2h"""
    return (f(x + h) - f(x - h)) / (2 * h)


@central_difference.property("on a straight line it is the slope, whatever h is",
                             slope=draw.number(), x=draw.number(), h=STEPS)
def _(mine, slope, x, h):
    def line(x):
        return slope * x + 1
    close(mine(line, x, h), slope, "From x - h to x + h, how far is it?")


@central_difference.property("on a parabola it is exact too", x=draw.number(), h=STEPS)
def _(mine, x, h):
    def parabola(x):
        return x * x
    close(mine(parabola, x, h), 2 * x, "Step to both sides: the errors of the two halves cancel.")


@central_difference.property("its error shrinks like h²", f=CURVES, x=st.sampled_from([0.5, 1.0, 2.0]))
def _(mine, f, x):
    p = order(mine, f, x)
    require(abs(p - 2) < 0.1, f"half the step divides the error by {2**p:.2f}, but it should by about 4")


@reference("01.descend")
def descend(slope: Curve, x: float, lr: float, steps: int) -> list[float]:
    """[x₀, x₁, …]: each is the one before, less lr times the slope there."""
    path = [x]
    for _ in range(steps):
        path.append(path[-1] - lr * slope(path[-1]))
    return path


@descend.property("the path has the start and one point for each step",
                  x=draw.number(), steps=st.integers(0, 5))
def _(mine, x, steps):
    def flat(x):
        return 0.0
    path = mine(flat, x, 0.5, steps)
    require(hasattr(path, "__len__"), f"a list of points is expected, not {type(path).__name__}")
    require(len(path) == steps + 1, f"{steps} steps from one point make {steps + 1} points, not {len(path)}")
    close(path[0], x, "The first point is the start itself.")


@descend.property("one step goes lr times the slope, downhill", x=draw.number(), slope=draw.number(), lr=STEPS)
def _(mine, x, slope, lr):
    def constant(x):
        return slope
    close(mine(constant, x, lr, 1)[1], x - lr * slope,
          "Where the slope is positive the curve rises to the right: downhill is to the left, x - lr * slope.")


@descend.property("each step uses the slope where it stands", x=draw.number(), steps=st.integers(1, 5))
def _(mine, x, steps):
    def steeper(x):
        return 2 * x
    close(mine(steeper, x, 0.25, steps), descend(steeper, x, 0.25, steps),
          "The slope changes on the way: ask for it anew, at the last point, before every step.")
