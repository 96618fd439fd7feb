"""Lesson 4: what students write. The docstring of a wrong answer is what its message must contain."""
from __future__ import annotations

import numpy as np


def measured(f, x, h=1e-5):
    x, slopes = np.array(x, float), np.zeros(np.shape(x))
    for i in np.ndindex(x.shape):
        step = np.zeros(x.shape)
        step[i] = h
        slopes[i] = (f(x + step) - f(x - step)) / (2 * h)
    return slopes


class numerical_gradient:
    def wrong_not_put_back(f, x, h=1e-5):
        """argument number 2 is changed by the call"""
        slopes = np.zeros(x.shape)
        for i in np.ndindex(x.shape):
            x[i] += h
            up = f(x)
            x[i] -= 2 * h
            slopes[i] = (up - f(x)) / (2 * h)
        return slopes

    def wrong_divided_by_h(f, x, h=1e-5):
        """of 2a + 5b the slopes are 2 and 5
        How far apart are the two points?"""
        return 2 * measured(f, x, h)

    def wrong_forward(f, x, h=1e-5):
        """on a parabola it is exact
        Step to both sides"""
        x, slopes = np.array(x, float), np.zeros(x.shape)
        for i in np.ndindex(x.shape):
            step = np.zeros(x.shape)
            step[i] = h
            slopes[i] = (f(x + step) - f(x)) / h
        return slopes

    def wrong_all_at_once(f, x, h=1e-5):
        """of 2a + 5b the slopes are 2 and 5
        Move one element, measure, put it back"""
        return np.full(x.shape, (f(x + h) - f(x - h)) / (2 * h))

    def wrong_whole_numbers(f, x, h=1e-5):
        """x may hold whole numbers
        Make the copy one of float"""
        x, slopes = x.copy(), np.zeros(x.shape)
        for i in np.ndindex(x.shape):
            here = x[i]
            x[i] = here + h
            up = f(x)
            x[i] = here - h
            down = f(x)
            x[i] = here
            slopes[i] = (up - down) / (2 * h)
        return slopes

    def wrong_step_of_its_own(f, x, h=1e-5):
        """on a parabola it is exact, with any step"""
        return measured(lambda x: f(x) + 1e-3 * (x**3).sum() * (h > 1e-3), x)

    def wrong_flat(f, x, h=1e-5):
        """the result has the shape of x"""
        return measured(f, x, h).ravel()

    def right_with_a_new_array_each_time(f, x, h=1e-5):
        return measured(f, x, h)

    def right_over_the_flat_array(f, x, h=1e-5):
        flat = x.astype(float).ravel()
        slopes = []
        for k in range(flat.size):
            up, down = flat.copy(), flat.copy()
            up[k] += h
            down[k] -= h
            slopes.append((f(up.reshape(x.shape)) - f(down.reshape(x.shape))) / (2 * h))
        return np.array(slopes).reshape(x.shape)


def sides(forward, rule, x):
    g = np.random.default_rng(0).normal(size=np.shape(forward(x)))
    return np.asarray(rule(g, x)), measured(lambda x: (g * forward(x)).sum(), x)


class gradcheck:
    def wrong_with_all_ones(forward, rule, x):
        """each row less its mean, as zeros
        with all ones some mistakes cannot be seen"""
        claimed = np.asarray(rule(np.ones(np.shape(forward(x))), x))
        slopes = measured(lambda x: forward(x).sum(), x)
        return claimed.shape == x.shape and bool(np.allclose(claimed, slopes, 1e-5, 1e-7))

    def wrong_absolute(forward, rule, x):
        """0.000001 x², the factor 2 forgotten
        divide by their size"""
        claimed, slopes = sides(forward, rule, x)
        return claimed.shape == x.shape and bool(np.abs(claimed - slopes).max() < 1e-3)

    def wrong_exactly(forward, rule, x):
        """is right, and was refused
        a measured slope is never exact"""
        claimed, slopes = sides(forward, rule, x)
        return bool(np.array_equal(claimed, slopes))

    def wrong_without_the_shape(forward, rule, x):
        """the sum of all, as one number
        Compare the shapes first"""
        rng = np.random.default_rng(0)
        g = rng.normal(size=np.shape(forward(x)))
        return bool(np.allclose(rule(g, x), measured(lambda x: (g * forward(x)).sum(), x), 1e-5, 1e-9))

    def wrong_too_generous(forward, rule, x):
        """is wrong, and was taken"""
        claimed, slopes = sides(forward, rule, x)
        return claimed.shape == x.shape and bool(np.abs(claimed - slopes).max() < 2 * np.abs(slopes).max())

    def wrong_says_yes(forward, rule, x):
        """x², the factor 2 forgotten
        Compare what the rule claims"""
        return True

    def wrong_without_g(forward, rule, x):
        """is right, and was refused"""
        g = np.random.default_rng(0).normal(size=np.shape(forward(x)))
        return bool(np.allclose(rule(g, x), measured(lambda x: forward(x).sum(), x)))

    def wrong_one_truth_each(forward, rule, x):
        """True or False is expected, not ndarray
        one truth for the whole array"""
        claimed, slopes = sides(forward, rule, x)
        return np.abs(claimed - slopes) < 1e-5 * np.abs(slopes)

    def right_by_allclose(forward, rule, x):
        claimed, slopes = sides(forward, rule, x)
        return claimed.shape == x.shape and np.allclose(claimed, slopes, rtol=1e-5, atol=1e-8)

    def right_by_the_norm(forward, rule, x):
        claimed, slopes = sides(forward, rule, x)
        if claimed.shape != slopes.shape:
            return False
        return np.linalg.norm(claimed - slopes) <= 1e-6 * (np.linalg.norm(claimed) + np.linalg.norm(slopes))


class mean_rule:
    def wrong_as_it_was(g, x):
        """each moves the mean half as much
        by how much does their mean rise?"""
        return np.ones(x.shape) * g

    def wrong_number_of_columns(g, x):
        """each moves the mean half as much"""
        return np.ones(x.shape) * g / x.shape[1]

    def wrong_number_of_all(g, x):
        """a factor is missing or one too many"""
        return np.ones(x.shape) * g / x.size

    def wrong_shape(g, x):
        """the shape should be (2, 3), not (3,)"""
        return g / len(x)

    def right_broadcast(g, x):
        return np.broadcast_to(g / len(x), x.shape)


class clip_rule:
    def wrong_as_it_was(g, x):
        """what is cut off has no influence
        Where x is 1.5 the result is 1"""
        return g * (np.abs(x) > 1)

    def wrong_one_end(g, x):
        """Where x is 1.5 the result is 1"""
        return g * (x < 1)

    def wrong_clipped_g(g, x):
        """what is cut off has no influence"""
        return np.clip(g, -1, 1)

    def wrong_everything(g, x):
        """what is cut off has no influence
        expected"""
        return g * 1.0

    def right_with_the_ends(g, x):
        return np.where((x >= -1) & (x <= 1), g, 0.0)


class centre_rule:
    def wrong_as_it_was(g, x):
        """if a whole row is raised
        An element has two paths"""
        return 1.0 * g

    def wrong_axis(g, x):
        """An element has two paths"""
        return g - g.mean(0, keepdims=True)

    def wrong_own_share_only(g, x):
        """An element has two paths"""
        return g * (1 - 1 / x.shape[1])

    def wrong_sum(g, x):
        """An element has two paths"""
        return g - g.sum(1, keepdims=True)

    def wrong_zeros(g, x):
        """a measured slope agrees
        each element sends -1/k"""
        return np.zeros(x.shape)

    def right_two_paths(g, x):
        k = x.shape[1]
        return g + (-g.sum(axis=1) / k)[:, None] * np.ones((1, k))


class running_rule:
    def wrong_as_it_was(g, x):
        """the first of three is part of all three sums
        Element k is part of the sums k"""
        return np.cumsum(g, axis=1)

    def wrong_turned_once(g, x):
        """A running sum from the right
        turn back"""
        return np.cumsum(g, axis=1)[:, ::-1]

    def wrong_axis(g, x):
        """Element k is part of the sums"""
        return np.cumsum(g[::-1], axis=0)[::-1]

    def wrong_without_itself(g, x):
        """Element k is part of the sums"""
        return np.cumsum(g[:, ::-1], axis=1)[:, ::-1] - g

    def right_total_less_before(g, x):
        return g.sum(axis=1, keepdims=True) - np.cumsum(g, axis=1) + g

    def right_by_loops(g, x):
        found = np.zeros_like(g)
        for k in range(g.shape[1]):
            found[:, k] = g[:, k:].sum(axis=1)
        return found
