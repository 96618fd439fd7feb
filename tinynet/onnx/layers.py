"""Each op of ours that is a layer in ONNX's operators; and `write_call`, for all ops."""
from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinynet.dtypes import Array, bool_
from tinynet.onnx.graph import Graph
from tinynet.onnx.operators import SAME, WRITERS, Names, axes_of, gelu_, ints, moments, moved, number, writes
from tinynet.onnx.trace import Call
from tinynet.ops.adaptive import windows


def write_call(graph: Graph, call: Call) -> Names:
    """Add a call's nodes; the names of its results. NotImplementedError for an op that is not in the table."""
    if call.op not in SAME and call.op not in WRITERS:
        raise NotImplementedError(f"onnx.export(): {call.op}{call.where} has no operator of ONNX here; export the "
                                  f"model without that part, or write it with other ops")
    first = next(a for a in call.args if hasattr(a, "dtype"))
    dtype = call.outs[0].dtype if call.op == "where" else first.dtype
    operands = [graph.operand(call, k, dtype) for k in range(len(call.args))]
    if call.op in SAME:
        return str(graph.add(SAME[call.op], *operands))
    return WRITERS[call.op](graph, call, *operands)


# ---- layers
@writes("linear", "linear_relu")
def linear_(g: Graph, c: Call, x: str, weight: str, bias: str = "") -> str:
    """One operator for matrices (Gemm); for inputs with more axes a product and a sum."""
    if len(c.args[0].shape) == 2:
        out = g.add("Gemm", x, weight, *([bias] if bias else []), transB=1)
    else:
        out = g.add("MatMul", x, g.add("Transpose", weight, perm=[1, 0]))
        out = g.add("Add", out, bias) if bias else out
    return str(g.add("Relu", out) if c.op == "linear_relu" else out)


@writes("feed_forward")
def feed_forward_(g: Graph, c: Call, x: str, weight1: str, bias1: str, weight2: str, bias2: str) -> str:
    """Layer by layer."""
    between = str(gelu_(g, c, linear_(g, c, x, weight1, bias1)))
    return str(linear_(g, c, between, weight2, bias2))


@writes("contract")
def contract_(g: Graph, c: Call, *operands: str) -> str:
    """einsum, by its letters."""
    return str(g.add("Einsum", *operands, equation=c.option("spec")))


def windowed(c: Call) -> dict[str, Any]:
    """The attributes of a convolution or a pool, as they are before the kernel's size."""
    found = {"strides": list(c.option("stride")), "pads": [*c.option("padding")] * 2}
    return found | ({"dilations": list(c.option("dilation"))} if "dilation" in c.options else {})


@writes("conv2d")
def conv2d_(g: Graph, c: Call, *operands: str) -> str:
    """With groups, stride, padding and dilation."""
    return str(g.add("Conv", *filter(None, operands), group=c.option("groups"), **windowed(c)))


@writes("conv2d_input_grad")
def conv2d_input_grad_(g: Graph, c: Call, x: str, weight: str) -> str:
    """A transposed convolution; what the stride left over is padded at the end."""
    least = [(n - 1) * s - 2 * p + d * (k - 1) + 1 for n, k, s, p, d in zip(
        c.args[0].shape[2:], c.args[1].shape[2:], c.option("stride"), c.option("padding"), c.option("dilation"),
        strict=True)]
    more = [n - m for n, m in zip(c.option("size"), least, strict=True)]
    return str(g.add("ConvTranspose", x, weight, group=c.option("groups"), output_padding=more, **windowed(c)))


def hanging(c: Call, attributes: dict[str, Any]) -> bool:
    """Pad the ends of the image until the last windows fit; whether more is padded than was asked for."""
    sizes = zip(c.args[0].shape[2:], c.outs[0].shape[2:], c.option("kernel_size"), c.option("stride"),
                c.option("padding"), attributes.get("dilations", (1, 1)), strict=True)
    more = [max((m - 1) * s + d * (k - 1) + 1 - n - 2 * p, 0) for n, m, k, s, p, d in sizes]
    attributes["pads"] = [*c.option("padding"), *(p + e for p, e in zip(c.option("padding"), more, strict=True))]
    return any(more)


@writes("max_pool2d")
def max_pool2d_(g: Graph, c: Call, x: str) -> Names:
    """The largest of each window, and its number in the image."""
    attributes = windowed(c)
    hanging(c, attributes)
    values, numbers = g.add("MaxPool", x, kernel_shape=list(c.option("kernel_size")), outputs=2, **attributes)
    return values, g.add("Mod", numbers, ints(math.prod(c.args[0].shape[2:])))  # counted from the first image on


@writes("avg_pool2d")
def avg_pool2d_(g: Graph, c: Call, x: str) -> str:
    """The mean of each window; if ONNX counts its pixels in another way, times what makes up for it."""
    attributes, kernel = windowed(c), list(c.option("kernel_size"))
    padded, divisor = c.option("count_include_pad"), c.option("divisor_override")
    if not hanging(c, attributes) and divisor is None:
        return str(g.add("AveragePool", x, kernel_shape=kernel, count_include_pad=int(padded), **attributes))
    mean = g.add("AveragePool", x, kernel_shape=kernel, count_include_pad=1, **attributes)
    sizes = zip(c.args[0].shape[2:], c.outs[0].shape[2:], kernel, c.option("stride"), c.option("padding"), strict=True)
    rows, columns = (_lengths(*axis, padded) for axis in sizes)
    counts = np.outer(rows, columns) if divisor is None else np.full((1, 1), divisor)
    return str(g.add("Mul", mean, (math.prod(kernel) / counts).astype(c.args[0].dtype)))


def _lengths(n: int, m: int, kernel: int, stride: int, padding: int, padded: bool) -> Array:
    """How many places of each window count."""
    first, border = np.arange(m) * stride - padding, padding if padded else 0
    return np.minimum(first + kernel, n + border) - np.maximum(first, -border)


@writes("adaptive_sum")
def adaptive_sum_(g: Graph, c: Call, x: str) -> str:
    """The sums of windows that share out the image: products with matrices of 0 and 1, axis by axis."""
    size, ndim = c.option("size"), len(c.args[0].shape)
    if set(size) == {1}:
        return str(g.add("ReduceSum", x, ints(*range(ndim - len(size), ndim)), keepdims=1))
    for axis, m in enumerate(size, start=ndim - len(size)):
        n = c.args[0].shape[axis]
        inside = np.zeros((n, m), c.args[0].dtype)  # whether a window holds a pixel
        for k, (first, end) in enumerate(windows(n, m)):
            inside[first:end, k] = 1
        x = moved(g, g.add("MatMul", moved(g, x, ndim, axis, -1), inside), ndim, -1, axis)
    return x


@writes("standardize")
def standardize_(g: Graph, c: Call, x: str, weight: str, bias: str) -> Names:
    """Layer norm has an operator; other norms are written out."""
    dim, eps, shape = axes_of(c, c.option("dim")), c.option("eps"), c.args[0].shape
    last = tuple(range(len(shape) - len(dim), len(shape)))
    if dim == last and weight and bias and c.args[1].shape == c.args[2].shape == shape[last[0]:]:
        return (str(g.add("LayerNormalization", x, weight, bias, axis=last[0], epsilon=eps)),)
    centred, var, mean = moments(g, x, dim)
    out = g.add("Div", centred, g.add("Sqrt", g.add("Add", var, number(c, eps))))
    if dim == (0, *range(2, len(shape))):  # batch norm's parameters, (channels,)
        weight, bias = (p and g.add("Reshape", p, ints(-1, *[1] * (len(shape) - 2))) for p in (weight, bias))
    return affine(g, out, weight, bias), mean, var


def affine(g: Graph, x: str, weight: str, bias: str = "") -> str:
    """x · weight + bias, where there are any."""
    x = g.add("Mul", x, weight) if weight else x
    return str(g.add("Add", x, bias) if bias else x)


@writes("rms_norm")
def rms_norm_(g: Graph, c: Call, x: str, weight: str) -> Names:
    """x / √(mean x² + ε) · weight"""
    square = g.add("ReduceMean", g.add("Mul", x, x), ints(*axes_of(c, c.option("dim"))), keepdims=1)
    rms = g.add("Sqrt", g.add("Add", square, number(c, c.option("eps"))))
    return (affine(g, g.add("Div", x, rms), weight),)


@writes("lstm_cell")
def lstm_cell_(g: Graph, c: Call, x: str, r: str, state: str) -> Names:
    """One step: the output and the state after it; x and r are what input and output before give the gates."""
    i, f, new, o = g.add("Split", g.add("Add", x, r), axis=-1, num_outputs=4, outputs=4)
    kept = g.add("Mul", g.add("Sigmoid", f), state)
    after = g.add("Add", kept, g.add("Mul", g.add("Sigmoid", i), g.add("Tanh", new)))
    return g.add("Mul", g.add("Sigmoid", o), g.add("Tanh", after)), after


@writes("gru_cell")
def gru_cell_(g: Graph, c: Call, x: str, r: str, h: str) -> Names:
    """One step; x and r are what input and state give the gates."""
    (x_reset, x_update, x_new), (r_reset, r_update, r_new) = (
        g.add("Split", part, axis=-1, num_outputs=3, outputs=3) for part in (x, r))
    reset, update = (g.add("Sigmoid", g.add("Add", a, b)) for a, b in ((x_reset, r_reset), (x_update, r_update)))
    new = g.add("Tanh", g.add("Add", x_new, g.add("Mul", reset, r_new)))
    return (g.add("Add", new, g.add("Mul", update, g.add("Sub", h, new))),)


@writes("lstm", "gru", "rnn")
def recurrent_(g: Graph, c: Call, x: str, *operands: str) -> Names:
    """ONNX has the gates in another order, and everything for each direction, of which there is one here."""
    order = {"lstm": (0, 3, 1, 2), "gru": (1, 0, 2), "rnn": (0,)}[c.op]
    parts = 2 if c.op == "lstm" else 1
    n = c.args[1].shape[-1]
    rows = np.concatenate([np.arange(k * n, (k + 1) * n) for k in order])
    *states, weight_ih, weight_hh = (g.add("Unsqueeze", operand, ints(0)) for operand in operands[:parts + 2])
    weights = [g.add("Gather", weight, rows, axis=1) for weight in (weight_ih, weight_hh)]
    both = [g.add("Gather", bias, rows, axis=0) for bias in operands[parts + 2:]]
    bias = g.add("Unsqueeze", g.add("Concat", *both, axis=0), ints(0)) if both else ""
    how: dict[str, Any] = {"hidden_size": n, "direction": "reverse" if c.option("reverse") else "forward"}
    if c.op == "gru":
        how["linear_before_reset"] = 1
    if c.op == "rnn":
        how["activations"] = ["Relu" if c.option("relu") else "Tanh"]
    out, *last = g.add(c.op.upper(), x, *weights, bias, "", *states, outputs=1 + parts, **how)
    return g.add("Squeeze", out, ints(1)), *(g.add("Squeeze", state, ints(0)) for state in last)


@writes("attention")
def attention_(g: Graph, c: Call, q: str, k: str, v: str, mask: str = "") -> Names:
    """A query that may see no key gives 0."""
    low, ndim = number(c, -math.inf), len(c.args[1].shape)
    keys = g.add("Transpose", k, perm=[*range(ndim - 2), ndim - 1, ndim - 2])
    scores = g.add("MatMul", g.add("Mul", q, number(c, c.option("scale"))), keys)
    if mask:
        boolean = c.args[3].dtype == bool_
        scores = g.add("Where", mask, scores, low) if boolean else g.add("Add", scores, mask)
    if c.option("causal"):
        seen, other = (np.tri(t.args[0].shape[-2], t.args[1].shape[-2], dtype=bool) for t in (c, c.twin))
        scores = g.add("Where", g.of(seen, other, f"the causal mask{c.where}"), scores, low)
    if not mask:
        return (str(g.add("MatMul", g.add("Softmax", scores, axis=-1), v)),)
    blind = g.add("Equal", g.add("ReduceMax", scores, ints(-1), keepdims=1), low)
    probs = g.add("Softmax", g.add("Where", blind, number(c, 0), scores), axis=-1)
    return (str(g.add("MatMul", g.add("Where", blind, number(c, 0), probs), v)),)
