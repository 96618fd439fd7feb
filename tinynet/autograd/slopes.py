"""Slopes measured without any rule: central differences, Richardson's step, and what a kink is.

A function is given as at(t) -> (its outputs in one vector, how far the point really moved after rounding),
along a line that passes the point in question at t = 0; `c` weighs the outputs. For a function with
derivatives

    D(h) = (f(h) - f(-h)) / 2h = f' + f''' h²/6 + O(h⁴),    so    (4 D(h/2) - D(h)) / 3 = f' + O(h⁴).
"""
from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinynet.dtypes import Array

Line = Callable[[float], tuple[Array, float]]


def nearer(at: Line) -> Line:
    """The same line in shorter steps: where others cross a kink near by, these may not."""
    return lambda t: at(t / 1024)


@dataclass
class Slope:
    """A measured slope of c·f."""

    value: float = math.nan
    doubt: float = math.inf  # its own estimate of its error ...
    rounding: float = 0.0  # ... and the part of that due to rounding
    vector: Any = None  # the slope of each output
    bent: bool = False  # the slopes from the two sides differ as they would at a kink


@dataclass
class Sides:
    """The slopes of c·f from the two sides."""

    least: float
    greatest: float
    noise: float  # their error
    sharp: bool  # whether they differ

    @property
    def middle(self) -> float:
        """What both are where they do not differ."""
        return (self.least + self.greatest) / 2

    def allow(self, value: float, slack: float, error: float) -> bool:
        """Whether the value lies between them. (They must be known better than the error that this would excuse.)"""
        margin = slack + self.noise
        return self.noise < 0.3 * error and self.least - margin <= value <= self.greatest + margin


@dataclass
class Ruler:
    """How slopes are measured."""

    eps: float = 1e-6  # the smallest step
    precision: float = 2.0**-52  # the distance from 1.0 to the next number of the dtype
    c: Array = None  # the weight of each output

    @property
    def unit(self) -> float:
        """Slopes below this may be what rounding leaves of zero."""
        return 10 * self.precision**0.8

    def steps(self, size: float) -> list[float]:
        """From wide to narrow. `size`: how large the number is that moves. Large ones may move far; tiny ones
        must also be tried with steps that do not pass zero, where functions bend or end."""
        h = max(self.eps, self.precision**0.2)
        steps = {h * max(size, 1.0), h * (min(size, 1.0) or 1.0)}
        while h >= 0.9 * self.eps:
            steps.add(h)
            h /= 32
        return sorted(steps, reverse=True)

    def rounding(self, values: Array, width: float) -> float:
        """What rounding of the outputs can do to a difference over this width."""
        return self.precision * float(np.abs(self.c) @ np.abs(values)) / width

    def measure(self, at: Line, here: Array, size: float, expected: float) -> Slope:
        """The slope at 0, where the outputs are `here`: of all steps the one that doubts itself least. It
        stops at once at a step that agrees with what is expected to nine digits: no wrong value does so by
        chance."""
        best, c = Slope(), np.abs(self.c)
        for h in self.steps(size):
            (far_up, t1), (far_down, t2), (up, t3), (down, t4) = at(h), at(-h), at(h / 2), at(-h / 2)
            if not (t1 > t3 > t4 > t2 and np.isfinite(far_up).all() and np.isfinite(far_down).all()):
                continue
            wide, narrow = (far_up - far_down) / (t1 - t2), (up - down) / (t3 - t4)
            vector = (4 * narrow - wide) / 3
            value = float(self.c @ vector)
            rounding = self.rounding(np.maximum(np.abs(up), np.abs(down)), t3 - t4)
            doubt = float(c @ np.abs(narrow - wide)) / 3 + rounding
            bend, nearer = (c @ np.abs(a + b - 2 * here) for a, b in ((far_up, far_down), (up, down)))
            # at half the distance a parabola bends 1/4 as much, a kink 1/2
            slope = Slope(value, doubt, rounding, vector, bool(nearer > 0.4 * bend > 4e2 * self.precision))
            if not best.doubt / (1 + abs(best.value)) <= doubt / (1 + abs(value)):  # or there is none yet
                best = slope
                if abs(value - expected) <= 1e-9 * max(abs(value), abs(expected)) + rounding:
                    break
        return best

    def sides(self, at: Line, here: Array, size: float) -> Sides:
        """The slopes very near 0, from the left and from the right. At a smooth point they are the same; at a kink they
        are not; where the function jumps they grow without end, and none is wrong."""
        near = min(math.sqrt(self.precision) * max(size, 1.0), self.precision**0.2 * (size or 1.0))
        noise, steepness = 10 * self.rounding(here, near), []
        for h in (1e3 * near, near):
            (up, t1), (down, t2) = at(h), at(-h)
            if not t1 > 0 > t2:
                return Sides(math.nan, math.nan, noise, False)
            right, left = self.c * (up - here) / t1, self.c * (down - here) / t2
            steepness.append(float(np.maximum(np.abs(right), np.abs(left)).sum()))
        if steepness[1] > 1e2 * steepness[0] + noise:
            return Sides(-math.inf, math.inf, noise, True)
        sharp = float(np.abs(right - left).sum()) > 1e-3 * steepness[1] + noise
        return Sides(float(np.minimum(left, right).sum()), float(np.maximum(left, right).sum()), noise, sharp)

    def close_by(self, at: Line, here: Array, size: float, expected: float, sides: Sides) -> tuple[float, float]:
        """The slope very near 0 if it is the same on both sides, and its error."""
        slope = self.measure(nearer(at), here, size, expected)
        if abs(slope.value - sides.middle) <= sides.noise:  # the same, to more digits
            return slope.value, min(sides.noise, 10 * slope.rounding)
        return sides.middle, sides.noise
