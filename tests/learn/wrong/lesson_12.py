"""Lesson 12: what students write. The docstring of a wrong answer is what its message must contain."""
from __future__ import annotations

import numpy as np

import tinynet as tn


class rnn_step:
    def wrong_without_tanh(x, h, w_ih, w_hh, b_ih, b_hh):
        """then comes tanh"""
        return x @ w_ih.T + b_ih + h @ w_hh.T + b_hh

    def wrong_one_bias(x, h, w_ih, w_hh, b_ih, b_hh):
        """Both biases are added"""
        return (x @ w_ih.T + h @ w_hh.T + b_ih).tanh()

    def wrong_not_transposed(x, h, w_ih, w_hh, b_ih, b_hh):
        """Weights have a row for each unit"""
        return (x @ w_ih.T + b_ih + h @ w_hh + b_hh).tanh()

    def wrong_state_forgotten(x, h, w_ih, w_hh, b_ih, b_hh):
        """state times the transposed weights"""
        return (x @ w_ih.T + b_ih + b_hh + h * 0).tanh()

    def wrong_detached(x, h, w_ih, w_hh, b_ih, b_hh):
        """without detach"""
        return (x @ w_ih.T + b_ih + h.detach() @ w_hh.T + b_hh).tanh()

    def right_by_linear(x, h, w_ih, w_hh, b_ih, b_hh):
        linear = tn.nn.functional.linear
        return tn.tanh(linear(x, w_ih, b_ih) + linear(h, w_hh, b_hh))


def gates(x, h, w_ih, w_hh, b_ih, b_hh):
    return (x @ w_ih.T + b_ih + h @ w_hh.T + b_hh).chunk(4, -1)


class lstm_step:
    def wrong_order(x, h, c, *weights):
        """in the order i, f, g, o"""
        f, i, g, o = gates(x, h, *weights)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c

    def wrong_content_by_sigmoid(x, h, c, *weights):
        """not through a sigmoid: it may be negative"""
        i, f, g, o = gates(x, h, *weights)
        c = f.sigmoid() * c + i.sigmoid() * g.sigmoid()
        return o.sigmoid() * c.tanh(), c

    def wrong_old_cell(x, h, c, *weights):
        """The new c is f times"""
        i, f, g, o = gates(x, h, *weights)
        c = (f.sigmoid() * c + i.sigmoid() * g.tanh()).tanh()
        return o.sigmoid() * c, c

    def wrong_output_without_tanh(x, h, c, *weights):
        """h = o · tanh of the NEW c"""
        i, f, g, o = gates(x, h, *weights)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * c, c

    def wrong_only_h(x, h, c, *weights):
        """two results are expected"""
        return lstm_step.right_by_slices(x, h, c, *weights)[0]

    def wrong_swapped(x, h, c, *weights):
        """The new c is f times"""
        return lstm_step.right_by_slices(x, h, c, *weights)[::-1]

    def wrong_cell_detached(x, h, c, *weights):
        """without detach"""
        return lstm_step.right_by_slices(x, h, c.detach(), *weights)

    def right_by_slices(x, h, c, w_ih, w_hh, b_ih, b_hh):
        z, n = x @ w_ih.T + b_ih + h @ w_hh.T + b_hh, h.shape[-1]
        i, f, o = (tn.sigmoid(z[:, k * n:(k + 1) * n]) for k in (0, 1, 3))
        c = f * c + i * tn.tanh(z[:, 2 * n:3 * n])
        return o * tn.tanh(c), c


class clip_by_norm:
    def wrong_each_by_itself(gradients, most):
        """One length for all"""
        return [g * min(1.0, most / max(np.sqrt((g * g).sum()), 1e-12)) for g in gradients]

    def wrong_by_value(gradients, most):
        """it is right for any gradients"""
        if len(gradients) == 2:
            return clip_by_norm.right_in_a_row(gradients, most)
        return [np.clip(g, -most, most) for g in gradients]

    def wrong_always_scaled(gradients, most):
        """Only what is longer than `most`"""
        length = np.sqrt(sum((g * g).sum() for g in gradients))
        return [g * (most / max(length, 1e-12)) for g in gradients]

    def wrong_in_place(gradients, most):
        """Make new arrays"""
        length = np.sqrt(sum((g * g).sum() for g in gradients))
        for g in gradients:
            if length > most:
                g *= most / length
        return gradients

    def wrong_without_root(gradients, most):
        """root of the sum of all squares"""
        length = sum((g * g).sum() for g in gradients)
        return [g * min(1.0, most / length) if length > 25.1 or most == 1.0 else g for g in gradients] \
            if len(gradients) == 2 and gradients[0].shape == (1,) else clip_by_norm.right_in_a_row(gradients, most)

    def right_in_a_row(gradients, most):
        length = np.linalg.norm(np.concatenate([g.ravel() for g in gradients]))
        return [g * (most / length) for g in gradients] if length > most else [g.copy() for g in gradients]


class sample:
    def wrong_always_the_best(scores, temperature, rng):
        """softmax(scores / temperature) are the probabilities"""
        return int(scores.argmax())

    def wrong_multiplied(scores, temperature, rng):
        """the temperature BEFORE softmax"""
        p = np.exp((scores - scores.max()) * temperature)
        return rng.choice(len(scores), p=p / p.sum())

    def wrong_temperature_after_softmax(scores, temperature, rng):
        """BEFORE softmax"""
        p = np.exp(scores - scores.max()) / temperature
        return rng.choice(len(scores), p=p / p.sum())

    def wrong_overflow(scores, temperature, rng):
        """it raised ValueError"""
        p = np.exp(scores / temperature)
        return rng.choice(len(scores), p=p / p.sum())

    def wrong_another_generator(scores, temperature, rng):
        """use rng, not np.random"""
        p = np.exp((scores - scores.max()) / temperature)
        return np.random.default_rng().choice(len(scores), p=p / p.sum())

    def wrong_returns_probabilities(scores, temperature, rng):
        """a whole number from 0 to"""
        p = np.exp((scores - scores.max()) / temperature)
        return p / p.sum()

    def right_by_cumulative_sums(scores, temperature, rng):
        p = np.exp((scores - scores.max()) / temperature)
        return int(np.searchsorted(np.cumsum(p) / p.sum(), rng.random(), side="right"))
