"""Lesson 2: what students write. The docstring of a wrong answer is what its message must contain."""
from __future__ import annotations

import numpy as np

import tinynet as tn


class broadcast_shape:
    def wrong_flush_left(a, b):
        """shapes stand flush right
        the shorter shape gets 1s in front"""
        n = max(len(a), len(b))
        a, b = a + (1,) * (n - len(a)), b + (1,) * (n - len(b))
        return tuple(max(pair) for pair in zip(a, b, strict=True))

    def wrong_no_error(a, b):
        """shapes that do not fit raise ValueError
        neither of them 1"""
        n = max(len(a), len(b))
        a, b = (1,) * (n - len(a)) + a, (1,) * (n - len(b)) + b
        return tuple(max(pair) for pair in zip(a, b, strict=True))

    def wrong_says_nothing(a, b):
        """no ValueError was raised"""
        try:
            return np.broadcast_shapes(a, b)
        except ValueError:
            return None

    def wrong_the_longer(a, b):
        """a 1 is stretched
        where one of them is 1, take the other"""
        return a if len(a) >= len(b) else b

    def wrong_one_side_only(a, b):
        """shapes stand flush right
        Either of the two may be the shorter"""
        b = (1,) * (len(a) - len(b)) + b
        return tuple(max(m, n) for m, n in zip(a, b, strict=False))

    def wrong_backwards(a, b):
        """equal sizes stay
        a size for each axis"""
        n = max(len(a), len(b))
        a, b = (1,) * (n - len(a)) + a, (1,) * (n - len(b)) + b
        return tuple(max(pair) for pair in zip(a[::-1], b[::-1], strict=True))

    def right_from_the_right(a, b):
        shape = []
        for k in range(1, max(len(a), len(b)) + 1):
            m = a[-k] if k <= len(a) else 1
            n = b[-k] if k <= len(b) else 1
            if m != n and m != 1 and n != 1:
                raise ValueError
            shape.insert(0, max(m, n))
        return shape


class unbroadcast:
    def wrong_in_front_only(g, shape):
        """An axis of size 1 was stretched"""
        return g.sum(axis=tuple(range(g.ndim - len(shape))))

    def wrong_stretched_only(g, shape):
        """The axis in front was put there"""
        return g.sum(axis=tuple(k for k, n in enumerate(shape) if n == 1), keepdims=True)

    def wrong_mean(g, shape):
        """each of its numbers is worth 3
        a factor is missing"""
        while g.ndim > len(shape):
            g = g.mean(0)
        return g.mean(axis=tuple(k for k, n in enumerate(shape) if n == 1), keepdims=True)

    def wrong_without_keepdims(g, shape):
        """keep it, with keepdims=True"""
        g = g.sum(axis=tuple(range(g.ndim - len(shape))))
        return g.sum(axis=tuple(k for k, n in enumerate(shape) if n == 1))

    def wrong_one_copy(g, shape):
        """each of its numbers is worth 3
        The axis in front"""
        while g.ndim > len(shape):
            g = g[0]
        return g

    def wrong_reshaped(g, shape):
        """it raised ValueError
        return g.reshape(shape)"""
        return g.reshape(shape)

    def wrong_axes_of_the_small_one(g, shape):
        """a column that was added to 4 columns
        An axis of size 1 was stretched"""
        axes = tuple(k for k, n in enumerate(shape) if n != 1)
        return g.sum(axis=axes)

    def right_in_one_sum(g, shape):
        lead = g.ndim - len(shape)
        axes = (*range(lead), *(k + lead for k, n in enumerate(shape) if n == 1))
        return g.sum(axis=axes, keepdims=True).reshape(shape)

    def right_step_by_step(g, shape):
        while g.ndim > len(shape):
            g = g.sum(axis=0)
        for k, n in enumerate(shape):
            if n == 1:
                g = g.sum(axis=k, keepdims=True)
        return g


class pairwise_distances:
    def wrong_without_root(a, b):
        """(0, 0) and (3, 4) are 5 apart
        then take the root"""
        return (a[:, None] - b[None]).square().sum(-1)

    def wrong_root_before_sum(a, b):
        """Square the differences, sum them over k, then take the root"""
        return (a[:, None] - b[None]).abs().sum(-1)

    def wrong_transposed(a, b):
        """n points and m points make a table
        the shape should be"""
        return (a[None] - b[:, None]).square().sum(-1).sqrt()

    def wrong_axis(a, b):
        """5 apart
        the shape should be (1, 1), not (1, 2)"""
        return (a[:, None] - b[None]).square().sum(1).sqrt()

    def wrong_same_row(a, b):
        """the shape should be (1, 1), not (1,)"""
        return (a - b).square().sum(-1).sqrt()

    def right_by_loops(a, b):
        return [[(p - q).square().sum().sqrt().item() for q in b] for p in a]

    def right_by_products(a, b):
        squares = a.square().sum(1, keepdims=True) + b.square().sum(1) - 2 * a @ b.T
        return squares.clamp(min=0).sqrt()

    def right_in_single_precision(a, b):
        return tn.linalg.vector_norm(a.float().unsqueeze(1) - b.float(), dim=2)
