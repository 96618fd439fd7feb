"""Lesson 1: what students write. The docstring of a wrong answer is what its message must contain."""
from __future__ import annotations

import numpy as np


class forward_difference:
    def wrong_not_divided(f, x, h):
        """on a straight line it is the slope
        divide by the step h"""
        return f(x + h) - f(x)

    def wrong_backward(f, x, h):
        """the line through the points at x and x + h
        to its right"""
        return (f(x) - f(x - h)) / h

    def wrong_sign(f, x, h):
        """on a straight line it is the slope
        got"""
        return (f(x) - f(x + h)) / h

    def wrong_brackets(f, x, h):
        """on a straight line it is the slope"""
        return f(x + h) - f(x) / h

    def wrong_step_of_its_own(f, x, h):
        """the line through the points at x and x + h
        the h that is given"""
        return (f(x + 1e-6) - f(x)) / 1e-6

    def wrong_central(f, x, h):
        """the line through the points at x and x + h
        One point is at x itself"""
        return (f(x + h) - f(x - h)) / (2 * h)

    def right_in_single_precision(f, x, h):
        return np.float32((f(x + h) - f(x)) / h)

    def right_named_otherwise(curve, at, step):
        there = at + step
        rise = curve(there) - curve(at)
        return rise / step


class central_difference:
    def wrong_divided_by_h(f, x, h):
        """on a straight line it is the slope
        From x - h to x + h, how far is it?"""
        return (f(x + h) - f(x - h)) / h

    def wrong_brackets(f, x, h):
        """on a straight line it is the slope"""
        return (f(x + h) - f(x - h)) / 2 * h

    def wrong_forward(f, x, h):
        """on a parabola it is exact too
        Step to both sides"""
        return (f(x + h) - f(x)) / h

    def wrong_half_sign(f, x, h):
        """on a straight line it is the slope"""
        return (f(x + h) + f(x - h)) / (2 * h)

    def right_mean_of_two_sides(f, x, h):
        return 0.5 * ((f(x + h) - f(x)) / h + (f(x) - f(x - h)) / h)


class descend:
    def wrong_uphill(slope, x, lr, steps):
        """one step goes lr times the slope, downhill
        x - lr * slope"""
        path = [x]
        for _ in range(steps):
            path.append(path[-1] + lr * slope(path[-1]))
        return path

    def wrong_without_the_start(slope, x, lr, steps):
        """the path has the start"""
        path = []
        for _ in range(steps):
            x = x - lr * slope(x)
            path.append(x)
        return path

    def wrong_slope_of_the_start(slope, x, lr, steps):
        """each step uses the slope where it stands
        The slope changes on the way"""
        return [x - k * lr * slope(x) for k in range(steps + 1)]

    def wrong_only_the_end(slope, x, lr, steps):
        """a list of points is expected, not float"""
        for _ in range(steps):
            x = x - lr * slope(x)
        return x

    def wrong_a_set(slope, x, lr, steps):
        """what it returns cannot be used as the right result can"""
        return set(descend.right_into_an_array(slope, x, lr, steps))

    def wrong_without_the_rate(slope, x, lr, steps):
        """one step goes lr times the slope"""
        path = [x]
        for _ in range(steps):
            path.append(path[-1] - slope(path[-1]))
        return path

    def right_into_an_array(slope, x, lr, steps):
        path = np.empty(steps + 1)
        path[0] = x
        for k in range(steps):
            path[k + 1] = path[k] - lr * slope(path[k])
        return path
