"""How the arguments of the ops of networks are drawn: layers, convolutions and pools, losses, sequences."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinynet.drawing import Call, Drawer, call
from tinynet.ops._primitive import PRIMITIVES


def linear(d: Drawer) -> Call:
    """Each unit's bias decides its sign: no output is near ReLU's kink."""
    lead, n, m = d.of((), (2,), (2, 3)), d.pick(1, 3), d.pick(1, 3)
    bias = 20 * d.away(m)
    return call(d.normal(*lead, n), d.normal(m, n), *([bias] if d.flag() else []))


def linear_weight_grad(d: Drawer) -> Call:
    """The gradient of the outputs (…, out), and the inputs (…, in)."""
    lead = d.of((), (2,), (2, 3))
    return call(d.normal(*lead, d.pick(1, 3)), d.normal(*lead, d.pick(1, 3)))


def conv(d: Drawer) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], dict[str, Any]]:
    """Shapes of input, weight and output, and options."""
    groups, kernel = d.pick(1, 2), (d.pick(1, 3), d.pick(1, 2))
    stride, padding, dilation = ((d.pick(low, 2), d.pick(low, 2)) for low in (1, 0, 1))
    size = tuple(max(1, w * (k - 1) + 1 - 2 * p) + d.pick(0, 2)
                 for k, p, w in zip(kernel, padding, dilation, strict=True))
    out = tuple((n + 2 * p - w * (k - 1) - 1) // s + 1
                for n, k, s, p, w in zip(size, kernel, stride, padding, dilation, strict=True))
    n, cin, cout = d.pick(1, 2), groups * d.pick(1, 2), groups * d.pick(1, 2)
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return (n, cin, *size), (cout, cin // groups, *kernel), (n, cout, *out), options


def conv2d(d: Drawer) -> Call:
    """Images, filters, and a bias or none."""
    x, w, _, options = conv(d)
    return call(d.normal(*x), d.normal(*w), d.normal(w[0]) if d.flag() else None, **options)


def conv2d_relu(d: Drawer) -> Call:
    """The input is distinct pixels and the weight one of them at each place: no two outputs are near each other, and
    the bias keeps them away from ReLU's kink."""
    cout, n = d.pick(1, 2), d.pick(1, 2)
    size = d.pick(2, 4), d.pick(2, 5)
    weight = np.zeros((cout, 1, 1, 1)) + d.away(cout, 1, 1, 1)
    bias = 20 * d.away(cout)
    return call(d.distinct(n, 1, *size), weight, bias, stride=(1, 1), padding=(d.pick(0, 1), 0), dilation=(1, 1),
                groups=1)


def standardize(d: Drawer) -> Call:
    """Over batch norm's dims, with a weight and a bias for each channel, or over others."""
    dim = d.of((0, 2), (1, 2), (2,))
    weight, bias = ((3,), (3,)) if dim == (0, 2) else (d.of((3, 1), (4,)), (4,))
    return call(d.normal(2, 3, 4), d.of(d.away(*weight), None), d.of(d.normal(*bias), None), dim=dim, eps=0.1)


def unpool(d: Drawer) -> Call:
    """The gradient of each 2 x 2 block, and its winner (4: none is positive); the image may be larger by a row."""
    blocks, odd = (d.pick(1, 2), d.pick(1, 3)), (d.pick(0, 1), d.pick(0, 1))
    shape = d.pick(1, 2), d.pick(1, 2), *blocks
    size = tuple(2 * n + k for n, k in zip(blocks, odd, strict=True))
    return call(d.normal(*shape), d.ints(5, *shape).astype("uint8"), size=size)


def pool_winners(d: Drawer) -> Call:
    """The gradient of an image, and each block's winner."""
    (g, winner), options, _ = unpool(d)
    return call(d.normal(*g.shape[:2], *options["size"]), winner)


def conv2d_input_grad(d: Drawer) -> Call:
    """The gradient of the outputs, the filters, and the size of the images."""
    x, w, out, options = conv(d)
    return call(d.normal(*out), d.normal(*w), size=x[2:], **options)


def conv2d_weight_grad(d: Drawer) -> Call:
    """The images, the gradient of the outputs, and the size of the filters."""
    x, w, out, options = conv(d)
    return call(d.normal(*x), d.normal(*out), size=w[2:], **options)


def im2col(d: Drawer) -> Call:
    """Images, and the size of the windows."""
    x, w, _, options = conv(d)
    del options["groups"]
    return call(d.normal(*x), size=w[2:], **options)


def col2im(d: Drawer) -> Call:
    """The windows as columns, and the size of the images."""
    x, w, out, options = conv(d)
    del options["groups"]
    columns = d.normal(x[0], x[1] * w[2] * w[3], out[2] * out[3])
    return call(columns, image=x[2:], size=w[2:], **options)


def windows(d: Drawer, pool: str) -> tuple[tuple[int, ...], dict[str, Any]]:
    """The shape of images, and options of a pooling."""
    kernel, stride = (d.pick(1, 3), d.pick(1, 3)), (d.pick(1, 3), d.pick(1, 3))
    options: dict[str, Any] = {"kernel_size": kernel, "stride": stride,
                               "padding": tuple(d.pick(0, k // 2) for k in kernel),
                               "ceil_mode": d.flag()}
    average = {"count_include_pad": d.flag(), "divisor_override": d.of(None, 3)}
    more: dict[str, Any] = {"dilation": (1, 1)} if pool == "max" else average
    return (d.pick(1, 2), d.pick(1, 2), kernel[0] + d.pick(0, 2), kernel[1] + d.pick(0, 2)), options | more


def max_pool2d(d: Drawer) -> Call:
    """Images of which no two pixels are near each other."""
    shape, options = windows(d, "max")
    return call(d.distinct(*shape), **options)


def max_pool2d_grad(d: Drawer) -> Call:
    """The gradient of the outputs, and where the largest pixels were."""
    (x,), options, _ = max_pool2d(d)
    values, indices = PRIMITIVES["max_pool2d"](x, **options)
    return call(d.normal(*values.shape), indices, size=x.shape[2:])


def avg_pool2d(d: Drawer) -> Call:
    """Images."""
    shape, options = windows(d, "avg")
    return call(d.normal(*shape), **options)


def avg_pool2d_grad(d: Drawer) -> Call:
    """The gradient of the outputs, and the size of the images."""
    (x,), options, _ = avg_pool2d(d)
    return call(d.normal(*PRIMITIVES["avg_pool2d"](x, **options).shape), size=x.shape[2:], **options)


def scores(d: Drawer) -> tuple[int, ...]:
    """A shape (N, C) or (N, C, L)."""
    return (d.pick(1, 3), d.pick(2, 4), *d.shape(0, 1))


def cross_entropy(d: Drawer) -> Call:
    """Scores, and what share each class has."""
    shape = scores(d)
    return call(d.normal(*shape), d.positive(*shape))


def cross_entropy_grad(d: Drawer) -> Call:
    """The gradients of the losses, the probabilities, and what share each class has."""
    shape = scores(d)
    return call(d.normal(shape[0], *shape[2:]), d.positive(*shape), d.positive(*shape))


def sequence(gates: int, states: int) -> Callable[[Drawer], Call]:
    """A sequence, its first states, the weights, and two biases or none."""
    def draw(d: Drawer) -> Call:
        times, samples, into, hidden = (d.pick(1, n) for n in (3, 2, 2, 2))
        biases = [d.normal(gates * hidden) for _ in range(2 * d.flag())]
        return call(d.normal(times, samples, into), *(d.normal(samples, hidden) for _ in range(states)),
                    d.normal(gates * hidden, into), d.normal(gates * hidden, hidden), *biases, reverse=d.flag())
    return draw


def rnn(d: Drawer) -> Call:
    """With ReLU, each unit's bias decides its sign: no output is near the kink."""
    (x, h, w_ih, w_hh, *biases), options, _ = sequence(1, 1)(d)
    if d.flag():
        return call(x, h, w_ih, w_hh / 4, 20 * d.away(len(w_hh)), d.normal(len(w_hh)), **options, relu=True)
    return call(x, h, w_ih, w_hh, *biases, **options, relu=False)


def attention(d: Drawer) -> Call:
    """Queries, keys and values, and a mask of bools, of numbers, or none."""
    lead, length, keys, features = d.shape(0, 2), d.pick(1, 3), d.pick(1, 3), d.pick(1, 2)
    mask = d.of(None, d.bools(length, keys), d.normal(*lead, length, keys), d.normal(keys))
    return call(d.normal(*lead, length, features), d.normal(*lead, keys, features), d.normal(*lead, keys, d.pick(1, 2)),
                mask, scale=d.of(1.0, 0.5), causal=d.flag())
