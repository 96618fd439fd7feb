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


@dataclass
class Slope:
    """A measured slope of c·f."""

    value: float = math.nan
    doubt: float = math.inf  # its own estimate of its error ...
    rounding: float = 0.0  # ... and the part of that due to rounding
    vector: Any = None  # the slope of each output
    bent: bool = False  # the slopes from the two sides differ as they would at a kink


@dataclass
class Ruler:
    """How slopes are measured."""

    eps: float = 1e-6  # the smallest step
    precision: float = 2.0**-52  # the distance from 1.0 to the next number of the dtype
    c: Array = None  # the weight of each output

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
            if doubt < best.doubt:
                best = slope
                if abs(value - expected) <= 1e-9 * max(abs(value), abs(expected)) + rounding:
                    break
        return best

    def kink(self, at: Line, here: Array, size: float) -> tuple[float, float] | None:
        """The least and the greatest slope if there is a kink at 0: if the slopes from the two sides differ
        as much a thousand times nearer. (Where a function is smooth the difference, too, shrinks a thousand
        times.) Where it jumps the slopes grow without end, and none is wrong."""
        gaps, steepness = [], []
        near = min(math.sqrt(self.precision) * max(size, 1.0), self.precision**0.2 * (size or 1.0))
        for h in (1e3 * near, near):
            (up, t1), (down, t2) = at(h), at(-h)
            if not t1 > 0 > t2:
                return None
            right, left = self.c * (up - here) / t1, self.c * (down - here) / t2
            gaps.append(float(np.abs(right - left).sum()))
            steepness.append(float(np.maximum(np.abs(right), np.abs(left)).sum()))
        noise = 1e2 * self.rounding(here, near)
        if steepness[1] > 1e2 * steepness[0] + noise:
            return -math.inf, math.inf
        if gaps[1] > 0.5 * gaps[0] and gaps[1] > 1e-3 * steepness[1] + noise:
            return float(np.minimum(left, right).sum()), float(np.maximum(left, right).sum())
        return None
