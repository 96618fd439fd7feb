"""Every implementation of every kernel is held to the reference, and the reference to nested loops written
from the definitions: on drawn shapes, strides, paddings, dilations, groups and memory layouts."""

from __future__ import annotations

import importlib
import itertools
import math
import shutil

import numpy as np
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from tinynet import kernels
from tinynet.autograd.fit import unbroadcast
from tinynet.kernels.cpu.choice import numba_is_there
from tinynet.kernels.windows import output_size
from tinynet.testing import arrays, conv_configs

UPDATES = ("adam", "sgd")  # these change their arguments: test_updates.py
kernels.implementations("conv2d")  # loads every backend
OTHERS = ("philox", "scatter_add")  # without an array to begin with, or without one that is returned: cuda/ has theirs
IMPLEMENTATIONS = [(op, backend) for op, found in sorted(kernels._registry.items()) for backend in found]
IMPLEMENTATIONS = [(op, backend) for op, backend in IMPLEMENTATIONS if op not in {*UPDATES, *OTHERS}]
PAIRS = [pytest.param(*pair, marks=pytest.mark.gpu if pair[1] == "cuda" else ()) for pair in IMPLEMENTATIONS]
ALL = slice(None)
DTYPES = st.sampled_from(["float64", "float32"])
TOLERANCE = {"float64": 1e-12, "float32": 1e-5}


# ---- nested loops
def windows(image, size, stride, padding, dilation, out):
    """For each window (r, s): which of its elements (i, j) meet which pixel (row, column) of the image."""
    for r, s in itertools.product(*map(range, out)):
        met = []
        for i, j in itertools.product(*map(range, size)):
            row = r * stride[0] + i * dilation[0] - padding[0]
            column = s * stride[1] + j * dilation[1] - padding[1]
            if 0 <= row < image[0] and 0 <= column < image[1]:
                met.append((i, j, row, column))
        yield r, s, met


def conv_terms(x, w, out, stride, padding, dilation, groups):
    """The indices (of y, w, x) of each product in a convolution."""
    o_per_group, c_per_group = w[0] // groups, w[1]
    for r, s, met in windows(x[2:], w[2:], stride, padding, dilation, out):
        for n, o, c in itertools.product(range(x[0]), range(w[0]), range(c_per_group)):
            for i, j, row, column in met:
                yield (n, o, r, s), (o, c, i, j), (n, o // o_per_group * c_per_group + c, row, column)


def outputs(image, size, stride, padding, dilation, ceil_mode=False):
    axes = zip(image, size, stride, padding, dilation, strict=True)
    return tuple(output_size(*axis, ceil_mode) for axis in axes)


def conv2d(x, w, b=None, **how):
    out = outputs(x.shape[2:], w.shape[2:], how["stride"], how["padding"], how["dilation"])
    y = np.zeros((len(x), len(w), *out)) + (0 if b is None else b[:, None, None])
    for at_y, at_w, at_x in conv_terms(x.shape, w.shape, out, **how):
        y[at_y] += w[at_w] * x[at_x]
    return y


def conv2d_input_grad(g, w, *, size, **how):
    dx = np.zeros((len(g), w.shape[1] * how["groups"], *size))
    for at_y, at_w, at_x in conv_terms(dx.shape, w.shape, g.shape[2:], **how):
        dx[at_x] += w[at_w] * g[at_y]
    return dx


def conv2d_weight_grad(x, g, *, size, **how):
    dw = np.zeros((g.shape[1], x.shape[1] // how["groups"], *size))
    for at_y, at_w, at_x in conv_terms(x.shape, dw.shape, g.shape[2:], **how):
        dw[at_w] += g[at_y] * x[at_x]
    return dw


def columns_of(x, size, how):
    """The indices (of the columns, x) of what im2col copies."""
    out = outputs(x[2:], size, how["stride"], how["padding"], how["dilation"])
    for r, s, met in windows(x[2:], size, out=out, **how):
        for n, c in np.ndindex(x[:2]):
            for i, j, row, column in met:
                yield (n, (c * size[0] + i) * size[1] + j, r * out[1] + s), (n, c, row, column)


def im2col(x, *, size, **how):
    out = outputs(x.shape[2:], size, how["stride"], how["padding"], how["dilation"])
    y = np.zeros((len(x), x.shape[1] * math.prod(size), math.prod(out)))
    for at_y, at_x in columns_of(x.shape, size, how):
        y[at_y] = x[at_x]
    return y


def col2im(g, *, image, size, **how):
    dx = np.zeros((len(g), g.shape[1] // math.prod(size), *image))
    for at_y, at_x in columns_of(dx.shape, size, how):
        dx[at_x] += g[at_y]
    return dx


def max_pool2d(x, *, kernel_size, stride, padding, dilation, ceil_mode):
    out = outputs(x.shape[2:], kernel_size, stride, padding, dilation, ceil_mode)
    values, indices = np.empty((*x.shape[:2], *out)), np.empty((*x.shape[:2], *out), "int64")
    for n, c in np.ndindex(x.shape[:2]):
        for r, s, met in windows(x.shape[2:], kernel_size, stride, padding, dilation, out):
            best = None
            for _, _, row, column in met:
                pixel = x[n, c, row, column]
                if best is None or pixel > best[0] or math.isnan(pixel):
                    best = pixel, row * x.shape[3] + column
            values[n, c, r, s], indices[n, c, r, s] = best
    return values, indices


def max_pool2d_grad(g, indices, *, size):
    dx = np.zeros((*g.shape[:2], size[0] * size[1]))
    for n, c, r, s in np.ndindex(g.shape):
        dx[n, c, indices[n, c, r, s]] += g[n, c, r, s]
    return dx.reshape(*g.shape[:2], *size)


def shares(image, out, *, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override):
    """For each window of an average: (r, s), the pixels it meets, and what their sum is divided by."""
    for r, s, met in windows(image, kernel_size, stride, padding, (1, 1), out):
        counted = 0
        for i, j in itertools.product(*map(range, kernel_size)):
            row, column = r * stride[0] + i - padding[0], s * stride[1] + j - padding[1]
            counted += row < image[0] + padding[0] and column < image[1] + padding[1]
        counted = counted if count_include_pad else len(met)
        yield r, s, [(row, column) for _, _, row, column in met], divisor_override or counted


def avg_pool2d(x, **how):
    out = outputs(x.shape[2:], how["kernel_size"], how["stride"], how["padding"], (1, 1), how["ceil_mode"])
    y = np.zeros((*x.shape[:2], *out))
    for n, c in np.ndindex(x.shape[:2]):
        for r, s, met, divisor in shares(x.shape[2:], out, **how):
            y[n, c, r, s] = sum(x[n, c, row, column] for row, column in met) / divisor
    return y


def avg_pool2d_grad(g, *, size, **how):
    dx = np.zeros((*g.shape[:2], *size))
    for n, c in np.ndindex(g.shape[:2]):
        for r, s, met, divisor in shares(size, g.shape[2:], **how):
            for row, column in met:
                dx[n, c, row, column] += g[n, c, r, s] / divisor
    return dx


def along(dim, function, x):
    return np.apply_along_axis(function, dim, x)


def gelu(x):
    return x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2


def gelu_grad(g, x):
    bell = np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
    return g * ((1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2 + x * bell)


def dropout(x, noise, *, p, drawn=None):
    if drawn:
        seed, offset, each = drawn
        words = kernels.run("philox", np, seed=seed, offset=offset, blocks=x.size).reshape(-1)
        noise = np.reshape([float(words[i // each] // 256) / 2**24 for i in range(x.size)], x.shape)
    kept = np.broadcast_to(noise, x.shape) >= np.float32(p)
    return np.where(kept, x / (1 - p if p < 1 else 1), 0)


def log_softmax_of(line):
    largest = max(line)
    return [v - largest - math.log(sum(math.exp(u - largest) for u in line)) for v in line]


def log_softmax(x, *, dim):
    return along(dim, log_softmax_of, x)


def embedding_grad(g, index, *, rows):
    out = np.zeros((rows, g.shape[-1]))
    for at in np.ndindex(index.shape):
        out[int(index[at])] += g[at]
    return out


def softmax(x, *, dim):
    return np.exp(log_softmax(x, dim=dim))


def soft_labels(labels, weight=None, *, classes, ignore_index, label_smoothing, dtype):
    q = np.zeros((labels.shape[0], classes, *labels.shape[1:]))
    for at in np.ndindex(labels.shape):
        for c in range(classes if labels[at] != ignore_index else 0):
            share = (1 - label_smoothing) * (c == labels[at]) + label_smoothing / classes
            q[(at[0], c, *at[1:])] = share * (1 if weight is None else weight[c])
    return q


def cross_entropy(x, q):
    log_p = log_softmax(x, dim=1)
    products = np.zeros(q.shape)
    for at in zip(*q.nonzero(), strict=True):
        products[at] = q[at] * log_p[at]
    return -products.sum(1), np.exp(log_p)


def cross_entropy_grad(g, p, q):
    dx = np.zeros(p.shape)
    for n, c, *rest in np.ndindex(p.shape):
        everything = sum(q[(n, k, *rest)] for k in range(p.shape[1]))
        dx[(n, c, *rest)] = g[(n, *rest)] * (p[(n, c, *rest)] * everything - q[(n, c, *rest)])
    return dx


def in_rows(x):
    return np.array(x.ravel()).reshape(x.shape)


def relu(x):
    return np.reshape([0.0 if a <= 0 else a for a in x.ravel()], x.shape)


def add(a, b):
    return np.reshape([p + q for p, q in zip(a.ravel(), b.ravel(), strict=True)], a.shape)


def relu_grad(g, y):
    return np.reshape([0.0 if b <= 0 else a for a, b in zip(g.ravel(), y.ravel(), strict=True)], y.shape)


def linear_grad(g, x, w, y=None, *, wanted):
    if y is not None:
        g = [[0.0 if b <= 0 else a for a, b in zip(*rows, strict=True)] for rows in zip(g, y, strict=True)]
    found = matmul(np.array(g), w), matmul(np.array(g).T, x), np.array([sum(column) for column in zip(*g, strict=True)])
    return tuple(a if on else None for a, on in zip(found, wanted, strict=True))


def feed_forward(x, w1, b1, w2, b2):
    h = linear(x, w1, b1, relu=False)
    return linear(gelu(h), w2, b2, relu=False), h


def feed_forward_grad(g, x, w1, h, w2):
    da, dw2, db2 = linear_grad(g, gelu(h), w2, wanted=(True,) * 3)
    dx, dw1, db1 = linear_grad(gelu_grad(da, h), x, w1, wanted=(True,) * 3)
    return dx, dw1, db1, dw2, db2


def label_loss(x, labels):
    log_p = log_softmax(x, dim=1)
    losses = [-log_p[(n, labels[(n, *rest)], *rest)] for n, *rest in np.ndindex(labels.shape)]
    return np.array(sum(losses) / len(losses)), np.exp(log_p)


def label_loss_grad(g, p, labels):
    dx = np.zeros(p.shape)
    for n, c, *rest in np.ndindex(p.shape):
        dx[(n, c, *rest)] = g / labels.size * (p[(n, c, *rest)] - (c == labels[(n, *rest)]))
    return dx


def scores_of(q, k, mask, scale, causal):
    """For each query: where it is, and the scores of the keys that it sees."""
    shape = (*q.shape[:-1], k.shape[-2])
    bias = np.zeros(shape) if mask is None else np.where(mask, 0, -np.inf) if mask.dtype == bool else mask
    bias = np.broadcast_to(bias, shape)
    for *at, i in np.ndindex(q.shape[:-1]):
        at = tuple(at)
        seen = [j for j in range(k.shape[-2]) if bias[(*at, i, j)] > -np.inf and not (causal and j > i)]
        yield at, i, {j: scale * math.fsum(q[at][i] * k[at][j]) + bias[(*at, i, j)] for j in seen}


def attention(q, k, v, mask=None, *, scale, causal):
    out, top, total = np.zeros((*q.shape[:-1], v.shape[-1])), np.zeros(q.shape[:-1]), np.ones(q.shape[:-1])
    for at, i, scores in scores_of(q, k, mask, scale, causal):
        if scores:
            top[(*at, i)] = max(scores.values())
            total[(*at, i)] = math.fsum(math.exp(score - top[(*at, i)]) for score in scores.values())
        for j, score in scores.items():
            out[(*at, i)] += math.exp(score - top[(*at, i)]) / total[(*at, i)] * v[at][j]
    return out, top, total


def attention_grad(g, q, k, v, mask, top, total, *, scale, causal, scores):
    dq, dk, dv, ds = (np.zeros(a.shape) for a in (q, k, v, np.empty((*q.shape[:-1], k.shape[-2]))))
    for at, i, found in scores_of(q, k, mask, scale, causal):
        p = {j: math.exp(score - top[(*at, i)]) / total[(*at, i)] for j, score in found.items()}
        dp = {j: g[at][i] @ v[at][j] for j in p}
        for j in p:
            slope = math.fsum(dp[m] * ((j == m) - p[m]) for m in p) * p[j]  # of p_m by score j
            ds[(*at, i, j)] = slope
            dq[at][i] += scale * slope * k[at][j]
            dk[at][j] += scale * slope * q[at][i]
            dv[at][j] += p[j] * g[at][i]
    return dq, dk, dv, ds if scores else None


def matmul(a, b):
    lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a, b = (np.broadcast_to(m, (*lead, *m.shape[-2:])) for m in (a, b))
    y = np.zeros((*lead, a.shape[-2], b.shape[-1]))
    for *at, i, j in np.ndindex(y.shape):
        y[(*at, i, j)] = math.fsum(a[(*at, i)] * b[(*at, ALL, j)])
    return y


def linear(x, w, b=None, *, relu):
    y = matmul(x, w.T) + (0 if b is None else b)
    return np.maximum(y, 0) if relu else y


# Recurrent layers: forward unit by unit; gradients the other way round, by how far each number of an argument moves the
# results.
def squash(z):
    return 1 / (1 + math.exp(-z))


def gates_at(n, u, x, h, w_ih, w_hh, biases):
    """What the input and the state give each gate of a unit: pairs."""
    units = len(w_hh) // h.shape[1]
    for row in range(u, len(w_hh), len(w_hh) // units):
        yield tuple(math.fsum(w[row] * v[n]) + (biases[k][row] if biases else 0)
                    for k, (w, v) in enumerate(((w_ih, x), (w_hh, h))))


def in_time(x, reverse):
    return range(len(x))[::-1] if reverse else range(len(x))


def lstm(x, h, c, w_ih, w_hh, *biases, reverse):
    out, cells = np.zeros((*x.shape[:2], h.shape[1])), np.zeros((*x.shape[:2], h.shape[1]))
    gates = np.zeros((*x.shape[:2], len(w_hh)))
    for t in in_time(x, reverse):
        cells[t], before = c, h
        h, c = h.copy(), c.copy()
        for n, u in np.ndindex(h.shape):
            i, f, g, o = (a + b for a, b in gates_at(n, u, x[t], before, w_ih, w_hh, biases))
            gates[t, n, u :: h.shape[1]] = i, f, g, o = squash(i), squash(f), math.tanh(g), squash(o)
            c[n, u] = f * c[n, u] + i * g
            h[n, u] = o * math.tanh(c[n, u])
        out[t] = h
    return out, h, c, gates, cells


def gru(x, h, w_ih, w_hh, *biases, reverse):
    out, news = np.zeros((*x.shape[:2], h.shape[1])), np.zeros((*x.shape[:2], h.shape[1]))
    gates = np.zeros((*x.shape[:2], len(w_hh)))
    for t in in_time(x, reverse):
        before, h = h, h.copy()
        for n, u in np.ndindex(h.shape):
            reset, update, new = gates_at(n, u, x[t], before, w_ih, w_hh, biases)
            reset, update = squash(sum(reset)), squash(sum(update))
            news[t, n, u], new = new[1], math.tanh(new[0] + reset * new[1])
            gates[t, n, u :: h.shape[1]] = reset, update, new
            h[n, u] = (1 - update) * new + update * h[n, u]
        out[t] = h
    return out, h, gates, news


def rnn(x, h, w_ih, w_hh, *biases, reverse, relu):
    out = np.zeros((*x.shape[:2], h.shape[1]))
    for t in in_time(x, reverse):
        before, h = h, h.copy()
        for n, u in np.ndindex(h.shape):
            (gate,) = gates_at(n, u, x[t], before, w_ih, w_hh, biases)
            h[n, u] = max(0, sum(gate)) if relu else math.tanh(sum(gate))
        out[t] = h
    return out, h


def walk_back(step, grads, out, x, states, w_ih, w_hh, wanted, reverse):
    """The gradients of x, the states, the weights and the biases. step(t, x', r', h, h', c') gives the motions of the
    next states, for those of what the input and the state give the gates, and of the states."""
    times = in_time(x, reverse)
    before = dict(zip(times, [states[0], *(out[t] for t in times)], strict=False))
    arguments = [x, *states, w_ih, w_hh, np.zeros(len(w_ih)), np.zeros(len(w_hh))]
    found = [np.zeros(a.shape) for a in arguments]
    for k, argument in enumerate(arguments):
        for at in np.ndindex(argument.shape):
            moves = [np.zeros(a.shape) for a in arguments]
            moves[k][at] = 1
            dx, *ds, dw_ih, dw_hh, db_ih, db_hh = moves
            for t in times:
                to_gates = dx[t] @ w_ih.T + x[t] @ dw_ih.T + db_ih
                to_rest = ds[0] @ w_hh.T + before[t] @ dw_hh.T + db_hh
                ds = step(t, to_gates, to_rest, before[t], *ds)
                found[k][at] += (grads[0][t] * ds[0]).sum()
            found[k][at] += sum((g * d).sum() for g, d in zip(grads[1:], ds, strict=True))
    return found[0] if wanted[0] else None, *found[1:]


def lstm_grad(of_out, of_h, of_c, x, h, w_ih, w_hh, out, gates, cells, *, wanted, reverse):
    def step(t, dx, dr, h, dh, dc):
        (i, f, g, o), (di, df, dg, do) = (np.split(a, 4, 1) for a in (gates[t], dx + dr))
        tanh_c = np.tanh(f * cells[t] + i * g)
        dc = f * (1 - f) * df * cells[t] + f * dc + i * (1 - i) * di * g + i * (1 - g * g) * dg
        return o * (1 - o) * do * tanh_c + o * (1 - tanh_c**2) * dc, dc

    return walk_back(step, (of_out, of_h, of_c), out, x, (h, cells[-1 if reverse else 0]), w_ih, w_hh, wanted, reverse)


def gru_grad(of_out, of_h, x, h, w_ih, w_hh, out, gates, news, *, wanted, reverse):
    def step(t, dx, dr, h, dh):
        (r, z, n), (xr, xz, xn), (rr, rz, rn) = (np.split(a, 3, 1) for a in (gates[t], dx, dr))
        dn = (1 - n * n) * (xn + r * (1 - r) * (xr + rr) * news[t] + r * rn)
        return ((1 - z) * dn + z * dh + z * (1 - z) * (xz + rz) * (h - n),)

    return walk_back(step, (of_out, of_h), out, x, (h,), w_ih, w_hh, wanted, reverse)


def rnn_grad(of_out, of_h, x, h, w_ih, w_hh, out, *, wanted, reverse, relu):
    def step(t, dx, dr, h, dh):
        return ((dx + dr) * (out[t] > 0 if relu else 1 - out[t] ** 2),)

    return walk_back(step, (of_out, of_h), out, x, (h,), w_ih, w_hh, wanted, reverse)


def conv2d_relu(x, w, b=None, **how):
    return np.maximum(conv2d(x, w, b, **how), 0)


def conv2d_relu_pool(x, w, b=None, **how):
    y = conv2d_relu(x, w, b, **how)
    n, o, rows, columns = y.shape
    out, winner = np.zeros((n, o, rows // 2, columns // 2)), np.zeros((n, o, rows // 2, columns // 2), "uint8")
    for *at, r, s in np.ndindex(out.shape):
        block = y[(*at, slice(2 * r, 2 * r + 2), slice(2 * s, 2 * s + 2))].reshape(-1)
        out[(*at, r, s)] = block.max()
        winner[(*at, r, s)] = 4 if block.max() == 0 else block.argmax()
    return out, winner


def unpool(g, winner, *, size):
    y = np.zeros((*g.shape[:2], *size))
    for *at, r, s in np.ndindex(g.shape):
        number = int(winner[(*at, r, s)])
        if number < 4:
            y[(*at, 2 * r + number // 2, 2 * s + number % 2)] = g[(*at, r, s)]
    return y


def pool_winners(y, winner):
    out = np.zeros(winner.shape)
    for *at, r, s in np.ndindex(winner.shape):
        number = int(winner[(*at, r, s)])
        out[(*at, r, s)] = y[(*at, 2 * r + number // 2, 2 * s + number % 2)] if number < 4 else 0
    return out


def standardize(x, w, b, *, dim, eps):
    y, kept = np.zeros(x.shape), tuple(1 if d in dim else n for d, n in enumerate(x.shape))
    mean, var = np.zeros(kept), np.zeros(kept)
    scale, offset = (np.broadcast_to(value if a is None else a, x.shape) for a, value in ((w, 1), (b, 0)))
    for at in np.ndindex(kept):
        there = tuple(ALL if d in dim else slice(k, k + 1) for d, k in enumerate(at))
        values = x[there].reshape(-1).tolist()
        mean[at] = math.fsum(values) / len(values)
        var[at] = math.fsum((v - mean[at]) ** 2 for v in values) / len(values)
        y[there] = (x[there] - mean[at]) / math.sqrt(var[at] + eps) * scale[there] + offset[there]
    return y, mean, var


def standardize_grad(g, of_mean, of_var, x, w, mean, var, *, b_shape, dim, eps):
    """By the chain rule through the mean and the variance, which are taken as they come."""
    scale = np.broadcast_to(1 if w is None else w, x.shape)
    n = math.prod(x.shape[d] for d in dim)
    dvar, dmean = np.array(of_var), np.array(of_mean)
    dx, dw, db = np.zeros(x.shape), np.zeros(x.shape), np.zeros(x.shape)
    for at in np.ndindex(x.shape):
        to = tuple(0 if d in dim else k for d, k in enumerate(at))
        rstd = 1 / math.sqrt(var[to] + eps)
        dx[at] = g[at] * scale[at] * rstd
        dmean[to] -= g[at] * scale[at] * rstd
        dvar[to] -= g[at] * scale[at] * (x[at] - mean[to]) * rstd**3 / 2
        dw[at], db[at] = g[at] * (x[at] - mean[to]) * rstd, g[at]
    for at in np.ndindex(x.shape):
        to = tuple(0 if d in dim else k for d, k in enumerate(at))
        dx[at] += dmean[to] / n + dvar[to] * 2 * (x[at] - mean[to]) / n
    return dx, None if w is None else unbroadcast(dw, w.shape), None if b_shape is None else unbroadcast(db, b_shape)


def conv_grads(g, x, w, wanted, how):
    dx = conv2d_input_grad(g, w, size=x.shape[2:], **how) if wanted[0] else None
    return dx, conv2d_weight_grad(x, g, size=w.shape[2:], **how), g.sum((0, 2, 3))


def conv2d_relu_grad(g, y, x, w, *, wanted, **how):
    return conv_grads(np.where(y <= 0, 0, g), x, w, wanted, how)


def conv2d_relu_pool_grad(g, winner, x, w, *, wanted, **how):
    size = outputs(x.shape[2:], w.shape[2:], how["stride"], how["padding"], how["dilation"])
    return conv_grads(unpool(g, winner, size=size), x, w, wanted, how)


# ---- cases
def case_conv2d_relu_grad(draw):
    x, w, g, options = draw_conv(draw)
    y = np.maximum(draw(arrays(g.shape, x.dtype)), 0)
    return (g, y, x, w), {"wanted": (draw(st.booleans()), True, True), **options}


def case_conv2d_relu_pool_grad(draw):
    x, w, y, options = draw_conv(draw, least=2)
    shape = (*y.shape[:2], y.shape[2] // 2, y.shape[3] // 2)
    winner = draw(arrays(shape, "int64", 0, 4)).astype("uint8")
    return (draw(arrays(shape, x.dtype)), winner, x, w), {"wanted": (draw(st.booleans()), True, True), **options}


def case_standardize(draw):
    kind, dtype = draw(st.sampled_from(["images", "channels last", "rows", "matrix", "groups"])), draw(DTYPES)
    n, c, h, w = (draw(st.integers(1, 5)) for _ in range(4))
    shape, dim, parameters = {
        "rows": ((n, c, h, w), (2, 3), (h, w)), "matrix": ((n + 1, c), (0,), (c,)),
        "groups": ((n, c, h, w), (2, 3), (c, 1, 1))}.get(kind, ((n, c, h, w), (0, 2, 3), (c, 1, 1)))  # fmt: skip
    x = draw(arrays(shape, dtype))
    if kind == "channels last":
        x = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    parameters = (1,) * draw(st.integers(0, 1)) * (kind != "rows") + parameters
    parameters = [draw(arrays(parameters, dtype)) if draw(st.booleans()) else None for _ in range(2)]
    return (x, *parameters), {"dim": dim, "eps": draw(st.sampled_from([0.1, 2.0]))}


def case_standardize_grad(draw):
    (x, w, b), options = case_standardize(draw)
    _, mean, var = standardize(x, None, None, **options)
    g = np.empty_like(x) if draw(st.booleans()) else np.empty(x.shape, x.dtype)  # in memory as x, or in order
    g[...] = draw(arrays(x.shape, x.dtype))
    of_mean, of_var = (draw(arrays(mean.shape, x.dtype)) for _ in range(2))
    given = g, of_mean, of_var, x, w, mean.astype(x.dtype), var.astype(x.dtype)
    return given, {"b_shape": None if b is None else b.shape, **options}


def case_lstm(draw, gates=4, states=2):
    times, samples, features = (draw(st.integers(1, 3)) for _ in range(3))
    hidden, dtype = draw(st.integers(1, draw.channels)), draw(DTYPES)
    x = draw(arrays((samples, times, features), dtype)).swapaxes(0, 1)
    x = x if draw(st.booleans()) else x.copy()  # either order of memory
    shapes = [*[(samples, hidden)] * states, (gates * hidden, features), (gates * hidden, hidden)]
    shapes += [(gates * hidden,)] * 2 * draw(st.booleans())
    return (x, *(draw(arrays(shape, dtype)) / 4 for shape in shapes)), {"reverse": draw(st.booleans())}


def case_gru(draw):
    return case_lstm(draw, 3, 1)


def case_rnn(draw):
    arguments, options = case_lstm(draw, 1, 1)
    return arguments, {**options, "relu": draw(st.booleans())}


def walked(op, parts, draw):
    """The arguments and results of a walk, and gradients that come back."""
    arguments, options = globals()[f"case_{op}"](draw)
    x, h, *_ = arguments
    out, *rest = kernels.implementations(op)["reference"].compute(np, *arguments, **options)
    grads = [draw(arrays((*out.shape[1::-1], out.shape[2]), x.dtype)).swapaxes(0, 1)]
    grads += [draw(arrays(h.shape, x.dtype)) for _ in range(parts)]
    weights = arguments[1 + parts : 3 + parts]
    wanted = (draw(st.booleans()), *[True] * (len(arguments) - 1))
    return (*grads, x, h, *weights, out, *rest[parts:]), {"wanted": wanted, **options}


def case_lstm_grad(draw):
    return walked("lstm", 2, draw)


def case_gru_grad(draw):
    return walked("gru", 1, draw)


def case_rnn_grad(draw):
    return walked("rnn", 1, draw)


def case_conv2d_relu(draw):
    (x, w, b), options = case_conv2d(draw)
    return (x, w, b), options


def case_conv2d_relu_pool(draw):
    return case_conv2d(draw, least=2)


def draw_winners(draw):
    winner = draw(arrays([draw(st.integers(1, 3)) for _ in range(4)], "int64", 0, 4)).astype("uint8")
    return winner, tuple(2 * n + draw(st.integers(0, 1)) for n in winner.shape[2:])


def case_unpool(draw):
    winner, size = draw_winners(draw)
    return (draw(arrays(winner.shape, draw(DTYPES))), winner), {"size": size}


def case_pool_winners(draw):
    winner, size = draw_winners(draw)
    return (draw(arrays((*winner.shape[:2], *size), draw(DTYPES))), winner), {}


def case_matmul(draw):
    n, k, m = (draw(st.sampled_from([1, 2, 3, 5, 8, 17, 33])) for _ in range(3))
    lead, other = draw(st.sampled_from([((), ()), ((2,), (2,)), ((2, 1), (3,)), ((2,), ())]))
    dtype, flip = draw(DTYPES), draw(st.sampled_from([(0, 0), (1, 0), (0, 1), (1, 1)]))
    shapes = [(*lead, n, k), (*other, k, m)]
    a, b = (draw(arrays((*s[:-2], s[-1], s[-2]) if t else s, dtype)) for s, t in zip(shapes, flip, strict=True))
    return tuple(np.swapaxes(x, -1, -2) if t else x for x, t in zip((a, b), flip, strict=True)), {}


def case_linear(draw):
    n, k, m = (draw(st.sampled_from([1, 2, 3, 5, 8, 17, 33])) for _ in range(3))
    dtype = draw(DTYPES)
    bias = draw(arrays((m,), dtype)) if draw(st.booleans()) else None
    return (draw(arrays((n, k), dtype)), draw(arrays((m, k), dtype)), bias), {"relu": draw(st.booleans())}


def case_attention(draw):
    lead = draw(st.sampled_from([(), (2,), (2, 1)]))
    length, keys, features, wide = (draw(st.integers(low, most)) for low, most in (
        (1, 2 * draw.channels), (0, 2 * draw.channels), (1, draw.channels), (1, draw.channels)))  # fmt: skip
    dtype = draw(DTYPES)
    shapes = (*lead, length, features), (*lead, keys, features), (*lead, keys, wide), (*lead, length, keys)
    q, k, v, mask = (draw(arrays(shape, dtype)) for shape in shapes)
    if draw(st.booleans()) and q.shape == k.shape == v.shape:  # parts of one array, of which every row has a bit
        q, k, v = np.split(np.concatenate([q, k, v], -1), 3, -1)
    if draw(st.booleans()):  # with the heads side by side
        q, k, v = (np.moveaxis(np.moveaxis(a, 0, -2).copy(), -2, 0) for a in (q, k, v))
    kind = draw(st.sampled_from(["none", "bools", "numbers", "one for all", "one for each query", "infinities"]))
    mask = {"none": None, "bools": mask > 0, "one for all": mask[(0,) * (mask.ndim - 1)]}.get(kind, mask)
    if kind == "one for each query":
        mask = mask[..., :1]
    if kind == "infinities":
        mask = np.where(mask < 0, mask.dtype.type(-np.inf), mask)
    scale = draw(st.sampled_from([1.0, 0.3, -1.0])) / features
    return (q, k, v, mask), {"scale": scale, "causal": draw(st.booleans())}


def case_attention_grad(draw):
    arguments, options = case_attention(draw)
    out, *kept = kernels.implementations("attention")["reference"].compute(np, *arguments, **options)
    g = draw(arrays(out.shape, out.dtype)) / out.shape[-1]
    return (g, *arguments, *kept), {**options, "scores": draw(st.booleans())}


def draw_conv(draw, least=1):
    """Images, filters, numbers shaped like the output, and options; at least so many rows and columns of output."""
    dtype = draw(DTYPES)
    if draw(st.integers(0, 3)):
        config = draw(conv_configs(max_batch=2, max_channels=draw.channels))
        x, w, options = config.x, config.w, config.options
    else:  # depthwise: every channel by itself
        (n, _, *image), (_, _, *size), *_ = config = draw(conv_configs(max_batch=2, max_channels=2))
        c = draw(st.integers(2, draw.channels + 1))
        x, w, options = (n, c, *image), (draw(st.integers(1, 2)) * c, 1, *size), {**config.options, "groups": c}
    how = options["stride"], options["padding"], options["dilation"]
    wider = [s * max(0, least - n) for s, n in zip(options["stride"], outputs(x[2:], w[2:], *how), strict=True)]
    x = (*x[:2], *(n + more for n, more in zip(x[2:], wider, strict=True)))
    return *(draw(arrays(shape, dtype)) for shape in (x, w, (x[0], w[0], *outputs(x[2:], w[2:], *how)))), options


def case_conv2d(draw, least=1):
    x, w, _, options = draw_conv(draw, least)
    b = draw(st.none() | arrays((len(w),), x.dtype))
    return (x, w, b), options


def case_conv2d_input_grad(draw):
    x, w, g, options = draw_conv(draw)
    return (g, w), {"size": x.shape[2:], **options}


def case_conv2d_weight_grad(draw):
    x, w, g, options = draw_conv(draw)
    return (x, g), {"size": w.shape[2:], **options}


def case_im2col(draw):
    x, w, _, options = draw_conv(draw)
    del options["groups"]
    return (x,), {"size": w.shape[2:], **options}


def case_col2im(draw):
    (x,), options = case_im2col(draw)
    columns = im2col(x, **options).shape
    return (draw(arrays(columns, x.dtype)),), {"image": x.shape[2:], **options}


def draw_images(draw, dilations):
    """Images, and the options of a pooling that suit them."""
    pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))
    size, stride, dilation = draw(pairs), draw(pairs), draw(pairs) if dilations else (1, 1)
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, size, strict=True)]
    padding = tuple(draw(st.integers(0, r // 2)) for r in reach)
    least = [max(r - 2 * p, d) for r, p, d in zip(reach, padding, dilation, strict=True)]
    image = [n + draw(st.integers(0, 4)) for n in least]
    shape = (draw(st.integers(1, 2)), draw(st.integers(1, draw.channels)), *image)
    options = {"kernel_size": size, "stride": stride, "padding": padding, "ceil_mode": draw(st.booleans())}
    return draw(arrays(shape, draw(DTYPES))), options | ({"dilation": dilation} if dilations else {})


def case_max_pool2d(draw):
    x, options = draw_images(draw, dilations=True)
    x = np.round(x)  # many pixels are equal
    for value in draw(st.sets(st.sampled_from([np.nan, -np.inf]))):
        rate = draw(st.sampled_from([0.1, 0.6]))
        x[np.random.default_rng(draw(st.integers(0, 99))).random(x.shape) < rate] = value
    return (x,), options


def case_max_pool2d_grad(draw):
    (x,), options = case_max_pool2d(draw)
    _, indices = kernels.implementations("max_pool2d")["reference"].compute(np, x, **options)
    return (draw(arrays(indices.shape, x.dtype)), indices), {"size": x.shape[2:]}


def case_avg_pool2d(draw):
    x, options = draw_images(draw, dilations=False)
    more = {"count_include_pad": draw(st.booleans()), "divisor_override": draw(st.none() | st.just(3))}
    return (x,), options | more


def case_avg_pool2d_grad(draw):
    (x,), options = case_avg_pool2d(draw)
    how = [options[name] for name in ("kernel_size", "stride", "padding")]
    out = outputs(x.shape[2:], *how, (1, 1), options["ceil_mode"])
    return (draw(arrays((*x.shape[:2], *out), x.dtype)),), {"size": x.shape[2:], **options}


def case_embedding_grad(draw):
    shape, rows = draw(st.lists(st.integers(1, 4), max_size=3)), draw(st.integers(1, 4))
    index = draw(arrays(shape, draw(st.sampled_from(["int64", "int32"])), 0, rows - 1))
    return (draw(arrays((*shape, draw(st.integers(1, draw.channels))), draw(DTYPES))), index), {"rows": rows}


def case_gelu(draw):
    shape = draw(st.lists(st.integers(1, draw.channels), min_size=1, max_size=3))
    x = draw(arrays(shape, draw(DTYPES)))
    return (x.T if draw(st.booleans()) else x,), {}


def case_gelu_grad(draw):
    ((x,), _), layout = case_gelu(draw), draw(st.sampled_from("CFK"))
    return (np.array(draw(arrays(x.shape, x.dtype)), order=layout), x), {}


def case_dropout(draw):
    ((x,), _), p = case_gelu(draw), draw(st.sampled_from([0.1, 0.5, 1.0]))
    shape = x.shape if draw(st.booleans()) else (*x.shape[:1], *[1] * (x.ndim - 1))
    if draw.backend in ("cuda", "emu") or (draw.backend == "reference" and draw(st.booleans())):
        offset = draw(st.sampled_from([3, np.array(2**32 - 2, "uint64")]))
        return (x, None), {"p": p, "drawn": (draw(st.integers(0, 2**64 - 1)), offset, x.size // math.prod(shape))}
    return (x, np.random.default_rng(draw(st.integers(0, 99))).random(shape, "float32")), {"p": p}


def case_softmax(draw):
    shape = draw(st.lists(st.integers(1, draw.channels + 2), min_size=1, max_size=3))
    scale = draw(st.sampled_from([1, 1e4]))
    x = draw(arrays(shape, draw(DTYPES))) * scale
    if draw(st.booleans()):
        x[x < -3 * scale] = -np.inf
        x[..., 0] = np.where(np.isinf(x).all(-1), 0, x[..., 0])
    dim = len(shape) - 1 if np.isinf(x).any() else draw(st.integers(0, len(shape) - 1))
    return (x,), {"dim": dim}


def draw_scores(draw):
    n, c = draw(st.integers(1, 3)), draw(st.integers(2, draw.channels + 2))
    shape = (n, c, *draw(st.sampled_from([(), (2,), (1, 3)])))
    x = draw(arrays(shape, draw(DTYPES)))
    q = draw(arrays(shape, x.dtype, min_value=0, max_value=1))
    return x, q * (q > 0.3)


def case_soft_labels(draw):
    x, _ = draw_scores(draw)
    classes, dtype = x.shape[1], x.dtype
    labels = draw(arrays((x.shape[0], *x.shape[2:]), "int64", 0, classes - 1))
    ignore_index = draw(st.sampled_from([-100, 0, 1]))
    labels = np.where(labels == 0, ignore_index, labels)
    weight = draw(st.none() | arrays((classes,), dtype, min_value=0, max_value=2))
    smoothing = draw(st.sampled_from([0.0, 0.1, 1.0]))
    options = {"classes": classes, "ignore_index": ignore_index, "label_smoothing": smoothing, "dtype": dtype}
    return (labels, weight), options


def case_cross_entropy(draw):
    x, q = draw_scores(draw)
    if draw(st.booleans()):
        x[q == 0] = -np.inf  # a class that cannot be, and is not
        x[:, 0] = np.where(np.isinf(x).all(1), 0, x[:, 0])
    return (x, q), {}


def case_cross_entropy_grad(draw):
    x, q = draw_scores(draw)
    return (draw(arrays((x.shape[0], *x.shape[2:]), x.dtype)), np.abs(x), q), {}


def case_in_rows(draw):
    n, h, w = (draw(st.integers(1, most)) for most in (3, 5, 5))
    c = draw(st.integers(1, draw.channels))
    return (draw(arrays((n, h, w, c), draw(DTYPES))).transpose(0, 3, 1, 2),), {}


def case_relu_grad(draw):
    (y,), _ = case_in_rows(draw)
    return (draw(arrays(y.shape, y.dtype)), y if draw(st.booleans()) else np.ascontiguousarray(y)), {}


def case_relu(draw):
    return ((case_relu_grad(draw)[0][1],), {})


def case_add(draw):
    return case_relu_grad(draw)


def case_linear_grad(draw):
    n, k, m = (draw(st.sampled_from([1, 2, 3, 5, 8, 17, 33])) for _ in range(3))
    dtype, wanted = draw(DTYPES), draw(st.tuples(*[st.booleans()] * 3))
    g, x, w = (draw(arrays(shape, dtype)) for shape in ((n, m), (n, k), (m, k)))
    y, rows = draw(st.none() | arrays(g.shape, dtype)), draw(st.sampled_from([n, 515]))  # of 515 another kernel is fond
    g, x, y = (a if a is None else np.resize(a, (rows, a.shape[1])) for a in (g, x, y))
    return (g / rows, x, w, y), {"wanted": wanted}  # sums over many rows: means, whose rounding is that of their terms


def case_feed_forward(draw):
    n, k, m, o = (draw(st.sampled_from([1, 2, 3, 5, 17, 33])) for _ in range(4))
    dtype, rows = draw(DTYPES), draw(st.sampled_from([n, 130]))  # more than a block
    x = np.resize(draw(arrays((n, k), dtype)), (rows, k))
    w1, b1, w2, b2 = (draw(arrays(shape, dtype)) for shape in ((m, k), (m,), (o, m), (o,)))
    return (x, w1 / (2 * k), b1, w2, b2), {}  # far out Φ is 0 or next to it, and of ∞ times that comes NaN or ∞


def case_feed_forward_grad(draw):
    (x, w1, b1, w2, _), _ = case_feed_forward(draw)
    g = np.resize(draw(arrays((3, len(w2)), x.dtype)), (len(x), len(w2)))
    g /= len(w1) * len(w2)  # of two products one after the other: means, whose rounding is that of their terms
    return (g, x, w1, x @ w1.T + b1, w2), {}


def case_label_loss(draw):
    x, _ = draw_scores(draw)
    return (x, draw(arrays((x.shape[0], *x.shape[2:]), "int64", 0, x.shape[1] - 1))), {}


def case_label_loss_grad(draw):
    (x, labels), _ = case_label_loss(draw)
    return (draw(arrays((), x.dtype)), np.abs(x), labels), {}


case_log_softmax = case_softmax


# ---- the test
class Draw:
    """Draws for a case: few channels where nested loops compute it, and as many as fill registers elsewhere."""

    def __init__(self, data, backend):
        self.draw, self.channels = data.draw, {"reference": 2, "emu": 6}.get(backend, 40)
        self.backend = backend

    def __call__(self, strategy):
        return self.draw(strategy)


def implementation(op, backend):
    """The kernel, and the case for it; the test is skipped where the kernel cannot be."""
    if backend == "numba" and numba_is_there() is not True:
        pytest.skip("Numba is not installed: the fast kernels were not tested")
    if backend == "emu" and shutil.which("g++") is None:
        pytest.skip("g++ is not installed: THE CUDA KERNELS WERE NOT TESTED on the emulator")
    return kernels.implementations(op)[backend], globals()[f"case_{op}"]


def computed(kernel, backend, arguments, options):
    """What a kernel makes of NumPy's arrays, by way of the card if it is for one."""
    xp = importlib.import_module("cupy" if backend == "cuda" else "numpy")
    given = [a if a is None else xp.asarray(a) for a in arguments]
    if kernel.supports(xp, *given, **options) is not True:
        reject()
    result = kernel.compute(xp, *given, **options)
    if backend != "cuda":
        return result
    several = result if isinstance(result, tuple) else (result,)
    back = tuple(r if r is None else xp.asnumpy(r) for r in several)
    return back if isinstance(result, tuple) else back[0]


@pytest.mark.parametrize(("op", "backend"), PAIRS)
@given(data=st.data())
def test_implementation(op, backend, data):
    kernel, case = implementation(op, backend)
    arguments, options = case(Draw(data, backend))
    before = [None if a is None else a.copy() for a in arguments]
    result = computed(kernel, backend, arguments, options)
    if backend == "reference":
        wide = [a if a is None or a.dtype.kind != "f" else a.astype("float64") for a in arguments]
        expected = globals()[op](*wide, **options)
    else:
        expected = kernels.implementations(op)["reference"].compute(np, *arguments, **options)
    several = isinstance(expected, tuple)
    dtype = options.get("dtype", arguments[0].dtype)
    for got, want in zip(result, expected, strict=True) if several else [(result, expected)]:
        if want is None:
            assert got is None
            continue
        assert got.dtype == (want.dtype if want.dtype.kind in "iu" else dtype)
        assert got.shape == want.shape
        # the reference's images lie in order; the pointwise ones keep the layout they find
        assert got.flags.c_contiguous or "2d" not in op or backend != "reference"
        tolerance = TOLERANCE[dtype.name]
        np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance * 10)
    for a, b in zip(arguments, before, strict=True):
        np.testing.assert_array_equal(a, b, "an argument was written")


@pytest.mark.parametrize(("op", "backend"), [p for p in PAIRS if p.values[1] != "reference"])
@given(data=st.data())
def test_nan_and_infinity_travel_as_in_the_reference(op, backend, data):
    kernel, case = implementation(op, backend)
    arguments, options = case(Draw(data, backend))
    if op == "conv2d_relu_pool_grad":  # the pixels of an odd last row are not looked at: no 0 · NaN comes of them
        x, w, how = arguments[2], arguments[3], options
        if any(n % 2 for n in outputs(x.shape[2:], w.shape[2:], how["stride"], how["padding"], how["dilation"])):
            reject()
    if options.get("causal"):  # keys after a query are not looked at either
        options["causal"] = False
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    rate = data.draw(st.sampled_from([0.01, 0.2]))
    for a in arguments:
        if a is not None and a.dtype.kind == "f":
            a[rng.random(a.shape) < rate] = rng.choice([np.nan, np.inf, -np.inf])
    with np.errstate(all="ignore"):
        result = computed(kernel, backend, arguments, options)  # it may leave an infinite weight to the reference
        expected = kernels.implementations(op)["reference"].compute(np, *arguments, **options)
    tolerance = TOLERANCE[arguments[0].dtype.name]
    for got, want in zip(result, expected, strict=True) if isinstance(expected, tuple) else [(result, expected)]:
        if want is not None:
            np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance * 10)


def test_every_kernel_is_tested():
    drawn = {name.removeprefix("case_") for name in globals() if name.startswith("case_")}
    assert {op for op, _ in IMPLEMENTATIONS} == drawn
    assert all("reference" in kernels.implementations(op) for op, _ in IMPLEMENTATIONS)


def test_softmax_of_nothing():
    for op in ("softmax", "log_softmax"):
        assert kernels.run(op, np, np.zeros((2, 0)), dim=1).shape == (2, 0)
