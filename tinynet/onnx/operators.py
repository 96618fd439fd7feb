"""Each op of ours in ONNX's operators (opset 18): graph.add("Relu", x) adds a node and gives the name of its result."""
from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinynet.dtypes import Array, bool_, int64
from tinynet.onnx.graph import Graph
from tinynet.onnx.trace import Call

Names = str | tuple[str, ...]
Writer = Callable[..., Names]
WRITERS: dict[str, Writer] = {}  # (graph, call, *operands) -> the names of the results

# the same function of the same operands
SAME = {
    "neg": "Neg", "abs": "Abs", "sign": "Sign", "exp": "Exp", "log": "Log", "sqrt": "Sqrt", "reciprocal": "Reciprocal",
    "sin": "Sin", "cos": "Cos", "tan": "Tan", "asin": "Asin", "acos": "Acos", "atan": "Atan", "sinh": "Sinh",
    "cosh": "Cosh", "tanh": "Tanh", "sigmoid": "Sigmoid", "erf": "Erf", "relu": "Relu", "floor": "Floor",
    "ceil": "Ceil", "isnan": "IsNaN", "isinf": "IsInf", "mul": "Mul", "true_divide": "Div", "pow": "Pow",
    "maximum": "Max", "minimum": "Min", "clamp_min": "Max", "clamp_max": "Min", "eq": "Equal", "lt": "Less",
    "le": "LessOrEqual", "gt": "Greater", "ge": "GreaterOrEqual", "matmul": "MatMul",
    "alias": "Identity", "clone": "Identity"}
REDUCTIONS = {"sum": "ReduceSum", "mean": "ReduceMean", "amax": "ReduceMax", "amin": "ReduceMin",
              "logsumexp": "ReduceLogSumExp", "prod": "ReduceProd"}


def writes(*ops: str) -> Callable[[Writer], Writer]:
    """Enter a writer for these ops."""
    def enter(writer: Writer) -> Writer:
        WRITERS.update(dict.fromkeys(ops, writer))
        return writer
    return enter


def number(call: Call, value: float) -> Array:
    """A number in the dtype of the call's first operand."""
    return np.asarray(value, call.args[0].dtype)


def ints(*values: int) -> Array:
    """Sizes and axes, as operators take them."""
    return np.array(values, int64)


def shaped(g: Graph, call: Call, x: str, out: int = 0) -> str:
    """x in the shape of a result of the call."""
    mine, other = call.outs[out].shape, call.twin.outs[out].shape
    moving = [k for k, (n, m) in enumerate(zip(mine, other, strict=True)) if n != m]
    if len(moving) == 1:
        return str(g.add("Reshape", x, ints(*(-1 if k == moving[0] else n for k, n in enumerate(mine)))))
    return str(g.add("Reshape", x, g.size(mine, other, f"the result of {call.op}{call.where}"), allowzero=1))


def moved(g: Graph, x: str, ndim: int, dim: int, to: int) -> str:
    """x with an axis at another place."""
    order = [k for k in range(ndim) if k != dim % ndim]
    order.insert(to % ndim, dim % ndim)
    return x if order == list(range(ndim)) else str(g.add("Transpose", x, perm=order))


# ---- pointwise
@writes("add", "sub")
def add_(g: Graph, c: Call, a: str, b: str) -> str:
    """a ± alpha b"""
    alpha = c.option("alpha")
    b = b if alpha == 1 else g.add("Mul", b, number(c, alpha) if hasattr(c.args[0], "dtype") else
                                   np.asarray(alpha, c.args[1].dtype))
    return str(g.add("Add" if c.op == "add" else "Sub", a, b))


@writes("ne")
def ne_(g: Graph, c: Call, a: str, b: str) -> str:
    """not a = b"""
    return str(g.add("Not", g.add("Equal", a, b)))


@writes("logical_and", "logical_or", "logical_xor", "logical_not", "bitwise_and", "bitwise_or", "bitwise_xor",
        "bitwise_not")
def logical_and_(g: Graph, c: Call, *operands: str) -> str:
    """Of truths; of integers, bit by bit."""
    kind, _, word = c.op.partition("_")
    if kind == "bitwise" and c.outs[0].dtype != bool_:
        return str(g.add(f"Bitwise{word.capitalize()}", *operands))
    return str(g.add(word.capitalize(), *(g.add("Cast", a, to=g.dtype(bool_)) for a in operands)))


@writes("cast")
def cast_(g: Graph, c: Call, a: str) -> str:
    """In another dtype. What was a truth before is noted, for where()."""
    out = g.add("Cast", a, to=g.dtype(c.outs[0].dtype))
    if c.args[0].dtype == bool_:
        g.truths[out] = a
    return str(out)


@writes("where")
def where_(g: Graph, c: Call, condition: str, a: str, b: str) -> str:
    """a where the condition holds, else b."""
    if c.args[0].dtype != bool_:  # promoted with the others
        condition = g.truths.get(condition) or g.add("Cast", condition, to=g.dtype(bool_))
    return str(g.add("Where", condition, a, b))


@writes("square")
def square_(g: Graph, c: Call, a: str) -> str:
    """a a"""
    return str(g.add("Mul", a, a))


@writes("rsqrt")
def rsqrt_(g: Graph, c: Call, a: str) -> str:
    """1 / √a"""
    return str(g.add("Reciprocal", g.add("Sqrt", a)))


@writes("expm1")
def expm1_(g: Graph, c: Call, a: str) -> str:
    """eᵃ - 1"""
    return str(g.add("Sub", g.add("Exp", a), number(c, 1)))


@writes("log1p")
def log1p_(g: Graph, c: Call, a: str) -> str:
    """log(a + 1)"""
    return str(g.add("Log", g.add("Add", a, number(c, 1))))


@writes("log2", "log10")
def log2_(g: Graph, c: Call, a: str) -> str:
    """log a / log 2, and with 10."""
    return str(g.add("Div", g.add("Log", a), number(c, math.log(int(c.op[3:])))))


@writes("floor_divide")
def floor_divide_(g: Graph, c: Call, a: str, b: str) -> str:
    """⌊a / b⌋, for floats."""
    if c.outs[0].dtype.kind != "f":
        raise NotImplementedError(f"onnx.export(): floor_divide of {c.outs[0].dtype}{c.where}: ONNX rounds to zero")
    return str(g.add("Floor", g.add("Div", a, b)))


@writes("trunc")
def trunc_(g: Graph, c: Call, a: str) -> str:
    """sign(a) ⌊|a|⌋"""
    return str(g.add("Mul", g.add("Sign", a), g.add("Floor", g.add("Abs", a))))


@writes("round")
def round_(g: Graph, c: Call, a: str) -> str:
    """To so many decimals."""
    scale = number(c, 10.0 ** c.option("decimals"))
    return str(g.add("Div", g.add("Round", g.add("Mul", a, scale)), scale))


@writes("gelu")
def gelu_(g: Graph, c: Call, x: str) -> str:
    """x (1 + erf(x / √2)) / 2"""
    below = g.add("Add", g.add("Erf", g.add("Mul", x, number(c, math.sqrt(0.5)))), number(c, 1))
    return str(g.add("Mul", g.add("Mul", x, below), number(c, 0.5)))


@writes("softplus")
def softplus_(g: Graph, c: Call, x: str) -> str:
    """log(1 + exp(β x)) / β; x itself where β x is above the threshold."""
    beta, threshold = number(c, c.option("beta")), c.option("threshold")
    scaled = g.add("Mul", x, beta)
    soft = g.add("Div", g.add("Softplus", scaled), beta)
    if threshold == math.inf:
        return str(soft)
    return str(g.add("Where", g.add("Greater", scaled, number(c, threshold)), x, soft))


@writes("softmax", "log_softmax")
def softmax_(g: Graph, c: Call, x: str) -> str:
    """Over one dim; or its logarithm."""
    return str(g.add({"softmax": "Softmax", "log_softmax": "LogSoftmax"}[c.op], x, axis=c.option("dim")))


# ---- reductions
def axes_of(c: Call, dim: Any) -> tuple[int, ...]:
    """The axes that a reduction over dim makes one."""
    ndim = len(c.args[0].shape)
    return tuple(range(ndim)) if dim is None or dim == () else tuple(dim) if isinstance(dim, tuple) else (dim,)


def reduced(g: Graph, c: Call, operator: str, x: str) -> str:
    """x, reduced as the call says."""
    axes, keep = axes_of(c, c.option("dim")), c.option("keepdim")
    return str(g.add(operator, x, ints(*axes), keepdims=int(keep))) if axes else x


@writes(*REDUCTIONS)
def sum_(g: Graph, c: Call, x: str) -> str:
    """Sums, means, products and the like: one operator each."""
    if c.op in ("sum", "mean", "prod") and c.outs[0].dtype != c.args[0].dtype:
        x = g.add("Cast", x, to=g.dtype(c.outs[0].dtype))
    return reduced(g, c, REDUCTIONS[c.op], x)


@writes("max", "min")
def max_(g: Graph, c: Call, x: str) -> Names:
    """The largest or smallest along a dim, and where it is."""
    dim, keep = c.option("dim"), int(c.option("keepdim"))
    what = c.op.capitalize()
    return (g.add(f"Reduce{what}", x, ints(dim), keepdims=keep),
            g.add(f"Arg{what}", x, axis=dim, keepdims=keep))


@writes("argmax", "argmin")
def argmax_(g: Graph, c: Call, x: str) -> str:
    """Where the largest or smallest is, along a dim or of all numbers."""
    dim, what = c.option("dim"), f"Arg{c.op[3:].capitalize()}"
    if dim is not None:
        return str(g.add(what, x, axis=dim, keepdims=int(c.option("keepdim"))))
    return shaped(g, c, g.add(what, g.add("Reshape", x, ints(-1)), axis=0, keepdims=0))


@writes("all", "any")
def all_(g: Graph, c: Call, x: str) -> str:
    """The smallest or the largest of truths, as 0 and 1."""
    truth = g.add("Cast", g.add("Cast", x, to=g.dtype(bool_)), to=g.dtype(np.int32))
    found = reduced(g, c, "ReduceMin" if c.op == "all" else "ReduceMax", truth)
    return str(g.add("Cast", found, to=g.dtype(c.outs[0].dtype)))


def moments(g: Graph, x: str, axes: tuple[int, ...], keepdim: bool = True) -> tuple[str, str, str]:
    """x - mean, the mean of its squares, and the mean."""
    mean = g.add("ReduceMean", x, ints(*axes), keepdims=1)
    centred = g.add("Sub", x, mean)
    var = g.add("ReduceMean", g.add("Mul", centred, centred), ints(*axes), keepdims=int(keepdim))
    return centred, var, mean


@writes("var_mean", "std_mean")
def var_mean_(g: Graph, c: Call, x: str) -> Names:
    """The variance, or its root, and the mean; corrected for the number of elements, if that is known."""
    axes, keep, correction = axes_of(c, c.option("dim")), c.option("keepdim"), c.option("correction")
    sizes = [math.prod(t.args[0].shape[d] for d in axes) for t in (c, c.twin)]
    _, var, mean = moments(g, x, axes, keep)
    if correction:
        if sizes[0] != sizes[1] or sizes[0] <= correction:
            raise NotImplementedError(f"onnx.export(): {c.op}{c.where} over the batch, with correction={correction}")
        var = g.add("Mul", var, number(c, sizes[0] / (sizes[0] - correction)))
    mean = mean if keep else shaped(g, c, mean, 1)
    return (g.add("Sqrt", var) if c.op == "std_mean" else var), mean


@writes("norm")
def norm_(g: Graph, c: Call, x: str) -> str:
    """(Σ |x|ᵖ)^(1/p)"""
    p = c.option("p")
    if p == 2:
        return reduced(g, c, "ReduceL2", x)
    powers = reduced(g, c, "ReduceSum", g.add("Pow", g.add("Abs", x), number(c, p)))
    return str(g.add("Pow", powers, number(c, 1 / p)))


@writes("cumsum")
def cumsum_(g: Graph, c: Call, x: str) -> str:
    """Sums so far, along a dim."""
    if c.outs[0].dtype != c.args[0].dtype:
        x = g.add("Cast", x, to=g.dtype(c.outs[0].dtype))
    return str(g.add("CumSum", x, np.asarray(c.option("dim"), int64)))


# ---- shapes
@writes("reshape")
def reshape_(g: Graph, c: Call, x: str) -> str:
    """In another shape, the batch of any size."""
    return shaped(g, c, x)


@writes("permute", "transposed")
def permute_(g: Graph, c: Call, x: str) -> str:
    """With the axes in another order."""
    ndim = len(c.args[0].shape)
    dims = (*range(ndim - 2), ndim - 1, ndim - 2) if c.op == "transposed" else c.option("dims")
    return str(g.add("Transpose", x, perm=[d % ndim for d in dims]))


@writes("expand")
def expand_(g: Graph, c: Call, x: str) -> str:
    """Broadcast to a shape."""
    return str(g.add("Expand", x, g.size(c.outs[0].shape, c.twin.outs[0].shape, f"expand{c.where}")))


@writes("repeat")
def repeat_(g: Graph, c: Call, x: str) -> str:
    """Several times over, along each axis."""
    repeats, ndim = c.option("repeats"), len(c.args[0].shape)
    if len(repeats) > ndim:
        x = g.add("Unsqueeze", x, ints(*range(len(repeats) - ndim)))
    return str(g.add("Tile", x, ints(*repeats)))


@writes("flip")
def flip_(g: Graph, c: Call, x: str) -> str:
    """Read backwards along some axes: a slice with step -1."""
    dims, least = ints(*axes_of(c, c.option("dims"))), np.iinfo(int64).min
    return str(g.add("Slice", x, np.full_like(dims, -1), np.full_like(dims, least), dims, np.full_like(dims, -1)))


@writes("cat")
def cat_(g: Graph, c: Call, *xs: str) -> str:
    """One after the other."""
    return str(g.add("Concat", *xs, axis=c.option("dim")))


@writes("stack")
def stack_(g: Graph, c: Call, *xs: str) -> str:
    """One after the other, along a new axis."""
    dim = c.option("dim")
    return str(g.add("Concat", *(g.add("Unsqueeze", x, ints(dim)) for x in xs), axis=dim))


@writes("split_with_sizes")
def split_with_sizes_(g: Graph, c: Call, x: str) -> Names:
    """Parts of these sizes."""
    sizes = list(c.option("split_sizes"))
    found: Names = g.add("Split", x, ints(*sizes), axis=c.option("dim"), outputs=len(sizes))
    return found


@writes("unbind")
def unbind_(g: Graph, c: Call, x: str) -> Names:
    """The parts along an axis, without it."""
    dim, n = c.option("dim"), len(c.outs)
    return tuple(g.add("Gather", x, np.asarray(k, int64), axis=dim) for k in range(n))


@writes("constant_pad")
def constant_pad_(g: Graph, c: Call, x: str) -> str:
    """With a number all around."""
    ends = c.option("pad")
    return str(g.add("Pad", x, ints(*(before for before, _ in ends), *(after for _, after in ends)),
                     number(c, c.option("value"))))


@writes("tril", "triu")
def tril_(g: Graph, c: Call, x: str) -> str:
    """The lower or the upper triangle."""
    return str(g.add("Trilu", x, np.asarray(c.option("diagonal"), int64), upper=int(c.op == "triu")))


# ---- indexing
@writes("getitem")
def getitem_(g: Graph, c: Call, x: str) -> str:
    """Arrays that take from an axis each, apart from all others; slices; numbers; None."""
    index = c.option("index")
    entries = list(index) if type(index) is tuple else [index]
    ndim = len(c.args[0].shape)
    if not any(k is Ellipsis for k in entries):
        entries.append(Ellipsis)
    used = sum(k is not None and k is not Ellipsis for k in entries)
    at = next(k for k, e in enumerate(entries) if e is Ellipsis)
    entries[at:at + 1] = [slice(None)] * (ndim - used)
    many = [k for k in entries if hasattr(k, "dtype")]
    apart = len(many) == 1 or all(k.ndim == len(many) and k.size == k.shape[d] for d, k in enumerate(many))
    side = [d for d, k in enumerate(entries) if hasattr(k, "dtype")]
    if any(k.dtype == bool_ for k in many) or not apart or (many and side[-1] - side[0] >= len(side)):
        raise NotImplementedError(f"onnx.export(): indexing{c.where} by several tensors at once, or by a mask, has no "
                                  f"operator of ONNX here")
    dim, slices = 0, []
    gone: list[int] = []
    new: list[int] = []
    for place, k in enumerate(entries):
        if k is None:
            new.append(place - len(gone))
            continue
        if hasattr(k, "dtype"):
            x = g.add("Gather", x, (k if len(many) == 1 else k.reshape(-1)).astype(int64), axis=dim)
            dim += (k.ndim if len(many) == 1 else 1) - 1
        elif isinstance(k, slice) and k != slice(None):
            end = np.iinfo(int64).max if k.stop is None else k.stop
            slices.append((0 if k.start is None else k.start, end, dim, 1 if k.step is None else k.step))
        elif not isinstance(k, slice):
            slices.append((k, k + 1 if k != -1 else np.iinfo(int64).max, dim, 1))
            gone.append(dim)
        dim += 1
    if slices:
        x = g.add("Slice", x, *(ints(*column) for column in zip(*slices, strict=True)))
    if gone:
        x = g.add("Squeeze", x, ints(*gone))
    return shaped(g, c, x) if new else str(x)


@writes("take_along")
def take_along_(g: Graph, c: Call, x: str, index: str) -> str:
    """x at an index, along a dim."""
    return str(g.add("GatherElements", x, index, axis=c.option("dim")))


@writes("embedding")
def embedding_(g: Graph, c: Call, weight: str, index: str) -> str:
    """Rows of the weight."""
    return str(g.add("Gather", weight, index, axis=0))
