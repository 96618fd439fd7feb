"""Lesson 7: what students write. The docstring of a wrong answer is what its message must contain."""
from __future__ import annotations

import numpy as np

import tinynet as tn


class hidden_layer:
    def wrong_not_transposed(x, w, b):
        """it raised RuntimeError
        x @ w + b"""
        return (x @ w + b).relu()

    def wrong_without_relu(x, w, b):
        """those below become 0
        then the ReLU over all of it"""
        return x @ w.T + b

    def wrong_relu_before_bias(x, w, b):
        """First the sums and the bias, then the ReLU"""
        return (x @ w.T).relu() + b

    def wrong_result_transposed(x, w, b):
        """the shape should be
        which of them must be transposed"""
        return (w @ x.T + b[:, None]).relu()

    def wrong_one_bias(x, w, b):
        """each hidden number has its own weights and bias
        it fits a row of the result"""
        return (x @ w.T + (b.max() if len(x) > 1 else b)).relu()

    def wrong_out_of_the_graph(x, w, b):
        """gradients flow through it
        NumPy's functions cut the graph"""
        return tn.tensor(np.maximum((x @ w.T + b).detach().numpy(), 0))

    def wrong_absolute(x, w, b):
        """those below become 0"""
        return (x @ w.T + b).abs()

    def right_with_the_engines_own(x, w, b):
        return tn.nn.functional.relu(tn.nn.functional.linear(x, w, b))

    def right_by_a_mask(x, w, b):
        h = x @ w.T + b
        return h * (h > 0)


class he:
    def wrong_not_the_root(fan_out, fan_in, rng):
        """the variance should be 2 / fan_in
        multiply by the root"""
        return rng.normal(size=(fan_out, fan_in)) * 2 / fan_in

    def wrong_one(fan_out, fan_in, rng):
        """the variance should be 2 / fan_in"""
        return rng.normal(size=(fan_out, fan_in)) / np.sqrt(fan_in)

    def wrong_fan_out(fan_out, fan_in, rng):
        """the variance should be 2 / fan_in"""
        return rng.normal(size=(fan_out, fan_in)) * np.sqrt(2 / fan_out)

    def wrong_transposed(fan_out, fan_in, rng):
        """A row for each output"""
        return rng.normal(size=(fan_in, fan_out)) * np.sqrt(2 / fan_in)

    def wrong_positive(fan_out, fan_in, rng):
        """the mean should be 0
        as often negative as positive"""
        return rng.uniform(size=(fan_out, fan_in)) * np.sqrt(2 / fan_in)

    def wrong_plain(fan_out, fan_in, rng):
        """Numbers that are multiplied by c"""
        return 0.01 * rng.normal(size=(fan_out, fan_in))

    def right_by_scale(fan_out, fan_in, rng):
        return rng.normal(0, (2 / fan_in) ** 0.5, (fan_out, fan_in))

    def right_uniform(fan_out, fan_in, rng):
        bound = np.sqrt(6 / fan_in)
        return rng.uniform(-bound, bound, (fan_out, fan_in)).astype(np.float32)


class momentum_step:
    def wrong_uphill(w, g, v, lr, beta=0.9):
        """Downhill is minus
        result number 1 is wrong"""
        v = beta * v + g
        return w + lr * v, v

    def wrong_a_mean(w, g, v, lr, beta=0.9):
        """the first step is one of plain descent
        v begins at 0, so it becomes g"""
        v = beta * v + (1 - beta) * g
        return w - lr * v, v

    def wrong_old_speed(w, g, v, lr, beta=0.9):
        """the first step is one of plain descent"""
        return w - lr * v, beta * v + g

    def wrong_no_friction(w, g, v, lr, beta=0.9):
        """the ball rolls on, slower
        beta times the old one"""
        v = v + g
        return w - lr * v, v

    def wrong_slope_only(w, g, v, lr, beta=0.9):
        """the ball rolls on, slower
        the step is made with the new speed"""
        return w - lr * g, beta * v + g

    def wrong_only_w(w, g, v, lr, beta=0.9):
        """Return (w, v)"""
        return w - lr * (beta * v + g)

    def wrong_in_place(w, g, v, lr, beta=0.9):
        """argument number 1 is changed by the call"""
        v = beta * v + g
        w -= lr * v
        return w, v

    def right_as_a_list(w, g, v, lr, beta=0.9):
        speed = v * beta + g
        return [w - speed * lr, speed]


class adam_step:
    def wrong_uncorrected(w, g, m, v, t, lr, beta1=0.9, beta2=0.999, eps=1e-8):
        """in the first step each weight moves by lr
        divide both by 1 - beta**t"""
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
        return w - lr * m / (np.sqrt(v) + eps), m, v

    def wrong_without_the_root(w, g, m, v, t, lr, beta1=0.9, beta2=0.999, eps=1e-8):
        """the step is m over the root of v"""
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
        return w - lr * m / (1 - beta1**t) / (v / (1 - beta2**t) + eps), m, v

    def wrong_not_squared(w, g, m, v, t, lr, beta1=0.9, beta2=0.999, eps=1e-8):
        """v is wrong
        of the slope squared"""
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g
        return w - lr * m / (1 - beta1**t) / (np.sqrt(np.abs(v / (1 - beta2**t))) + eps), m, v

    def wrong_betas_swapped(w, g, m, v, t, lr, beta1=0.9, beta2=0.999, eps=1e-8):
        """m is wrong
        beta1 parts of the old mean"""
        m, v = beta2 * m + (1 - beta2) * g, beta1 * v + (1 - beta1) * g**2
        return w - lr * m / (1 - beta2**t) / (np.sqrt(v / (1 - beta1**t)) + eps), m, v

    def wrong_keeps_the_divided(w, g, m, v, t, lr, beta1=0.9, beta2=0.999, eps=1e-8):
        """Return m and v as they are kept
        v is wrong"""
        m, v = beta1 * m + (1 - beta1) * g, (beta2 * v + (1 - beta2) * g**2) / (1 - beta2**t)
        return w - lr * m / (1 - beta1**t) / (np.sqrt(v) + eps), m, v

    def wrong_eps_under_the_root(w, g, m, v, t, lr, beta1=0.9, beta2=0.999, eps=1e-8):
        """eps is added to the root, not under it
        half the rate"""
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
        return w - lr * m / (1 - beta1**t) / np.sqrt(v / (1 - beta2**t) + eps), m, v

    def wrong_without_eps(w, g, m, v, t, lr, beta1=0.9, beta2=0.999, eps=1e-8):
        """nothing is divided by 0
        That is what eps is for"""
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
        return w - lr * m / (1 - beta1**t) / np.sqrt(v / (1 - beta2**t)), m, v

    def wrong_first_step_only(w, g, m, v, t, lr, beta1=0.9, beta2=0.999, eps=1e-8):
        """three steps are those of tinynet's Adam
        t counts the steps"""
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
        return w - lr * m / (1 - beta1) / (np.sqrt(v / (1 - beta2)) + eps), m, v

    def right_as_in_the_paper(w, g, m, v, t, lr, beta1=0.9, beta2=0.999, eps=1e-8):
        m = m + (1 - beta1) * (g - m)
        v = v + (1 - beta2) * (g * g - v)
        rate = lr * (1 - beta2**t) ** 0.5 / (1 - beta1**t)
        return w - rate * m / (v**0.5 + eps * (1 - beta2**t) ** 0.5), m, v
