"""Every implementation of every kernel is held to the reference, and the reference to nested loops written
from the definitions: on drawn shapes, strides, paddings, dilations, groups and memory layouts."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from tinynet import kernels
from tinynet.kernels.windows import output_size
from tinynet.testing import arrays, conv_configs

kernels.implementations("conv2d")  # loads every backend
IMPLEMENTATIONS = [(op, backend) for op, found in sorted(kernels._registry.items()) for backend in found]
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


def log_softmax_of(line):
    largest = max(line)
    return [v - largest - math.log(sum(math.exp(u - largest) for u in line)) for v in line]


def log_softmax(x, *, dim):
    return along(dim, log_softmax_of, x)


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


# ---- cases
def draw_conv(draw):
    dtype = draw(DTYPES)
    if draw(st.integers(0, 3)):
        config = draw(conv_configs(max_batch=2, max_channels=2))
        x, w, options = config.x, config.w, config.options
    else:  # depthwise: every channel by itself
        (n, _, *image), (_, _, *size), *_ = config = draw(conv_configs(max_batch=2, max_channels=2))
        x, w, options = (n, 3, *image), (6, 1, *size), {**config.options, "groups": 3}
    out = outputs(x[2:], w[2:], options["stride"], options["padding"], options["dilation"])
    return *(draw(arrays(shape, dtype)) for shape in (x, w, (x[0], w[0], *out))), options


def case_conv2d(draw):
    x, w, _, options = draw_conv(draw)
    b = draw(st.none() | arrays((len(w),), x.dtype))
    return (x, w, b), options


def case_conv2d_input_grad(draw):
    x, w, g, options = draw_conv(draw)
    return (g, w), {"size": x.shape[2:], **options}


def case_conv2d_weight_grad(draw):
    x, w, g, options = draw_conv(draw)
    return (x, g), {"size": w.shape[2:], **options}


def draw_images(draw, dilations):
    """Images, and the options of a pooling that suit them."""
    pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))
    size, stride, dilation = draw(pairs), draw(pairs), draw(pairs) if dilations else (1, 1)
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, size, strict=True)]
    padding = tuple(draw(st.integers(0, r // 2)) for r in reach)
    least = [max(r - 2 * p, d) for r, p, d in zip(reach, padding, dilation, strict=True)]
    image = [n + draw(st.integers(0, 4)) for n in least]
    shape = (draw(st.integers(1, 2)), draw(st.integers(1, 2)), *image)
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
    _, indices = max_pool2d(x, **options)
    return (draw(arrays(indices.shape, x.dtype)), indices), {"size": x.shape[2:]}


def case_avg_pool2d(draw):
    x, options = draw_images(draw, dilations=False)
    more = {"count_include_pad": draw(st.booleans()), "divisor_override": draw(st.none() | st.just(3))}
    return (x,), options | more


def case_avg_pool2d_grad(draw):
    (x,), options = case_avg_pool2d(draw)
    return (draw(arrays(avg_pool2d(x, **options).shape, x.dtype)),), {"size": x.shape[2:], **options}


def case_softmax(draw):
    shape = draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    scale = draw(st.sampled_from([1, 1e4]))
    x = draw(arrays(shape, draw(DTYPES))) * scale
    if draw(st.booleans()):
        x[x < -3 * scale] = -np.inf
        x[..., 0] = np.where(np.isinf(x).all(-1), 0, x[..., 0])
    dim = len(shape) - 1 if np.isinf(x).any() else draw(st.integers(0, len(shape) - 1))
    return (x,), {"dim": dim}


def draw_scores(draw):
    shape = (draw(st.integers(1, 3)), draw(st.integers(2, 4)), *draw(st.sampled_from([(), (2,), (1, 3)])))
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


case_log_softmax = case_softmax


# ---- the test
@pytest.mark.parametrize(("op", "backend"), IMPLEMENTATIONS)
@given(data=st.data())
def test_implementation(op, backend, data):
    arguments, options = globals()[f"case_{op}"](data.draw)
    kernel = kernels.implementations(op)[backend]
    before = [None if a is None else a.copy() for a in arguments]
    if not kernel.supports(np, *arguments, **options):
        reject()
    result = kernel.compute(np, *arguments, **options)
    if backend == "reference":
        wide = [a if a is None or a.dtype.kind != "f" else a.astype("float64") for a in arguments]
        expected = globals()[op](*wide, **options)
    else:
        expected = kernels.implementations(op)["reference"].compute(np, *arguments, **options)
    several = isinstance(expected, tuple)
    dtype = options.get("dtype", arguments[0].dtype)
    for got, want in zip(result, expected, strict=True) if several else [(result, expected)]:
        assert got.dtype == (want.dtype if want.dtype.kind == "i" else dtype)
        assert got.flags.c_contiguous or "2d" not in op  # the pointwise ones keep the layout they find
        tolerance = TOLERANCE[dtype.name]
        np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance * 10)
    for a, b in zip(arguments, before, strict=True):
        np.testing.assert_array_equal(a, b, "an argument was written")


def test_every_kernel_is_tested():
    drawn = {name.removeprefix("case_") for name in globals() if name.startswith("case_")}
    assert {op for op, _ in IMPLEMENTATIONS} == drawn
    assert all("reference" in kernels.implementations(op) for op, _ in IMPLEMENTATIONS)


def test_softmax_of_nothing():
    for op in ("softmax", "log_softmax"):
        assert kernels.run(op, np, np.zeros((2, 0)), dim=1).shape == (2, 0)
