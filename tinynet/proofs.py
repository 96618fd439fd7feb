"""The proof of every primitive: for each, how to draw arguments at which its derivatives are held to measured
slopes.

PROOFS has an entry for every op in `ops._primitive.PRIMITIVES`: a function of a Drawer that gives the
arguments and options of one call. An argument that has a rule is differentiated. Ops without a derivative are
compared with NumPy (VALUES). `tinynet gradcheck` runs the table with fixed seeds; the tests let Hypothesis
draw.
"""
from __future__ import annotations

import json as json_module
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinynet.autograd.gradcheck import GradcheckResult, gradcheck, gradgradcheck
from tinynet.data.preprocessing import nearest
from tinynet.device import CPU
from tinynet.drawing import (
    Call,
    Drawer,
    add_along,
    add_at,
    add_diagonal,
    along,
    binary,
    call,
    clear_of_each_other,
    contract,
    diagonal,
    expanded,
    index,
    infinities,
    joined,
    matmul,
    matrix,
    numpy_names,
    power,
    put,
    recurrence,
    reduction,
    remainder,
    rolled,
    set_along,
    set_at,
    shaped,
    singular_values,
    solve,
    stacked,
    symmetric,
    take_along,
    topk,
    triangle,
    unary,
    where,
    with_a_zero,
    within,
)
from tinynet.drawing_layers import (
    attention,
    avg_pool2d,
    avg_pool2d_grad,
    col2im,
    conv2d,
    conv2d_input_grad,
    conv2d_relu,
    conv2d_weight_grad,
    cross_entropy,
    cross_entropy_grad,
    im2col,
    linear,
    linear_weight_grad,
    max_pool2d,
    max_pool2d_grad,
    pool_winners,
    rnn,
    sequence,
    standardize,
    unpool,
)
from tinynet.dtypes import float64
from tinynet.ops._primitive import PRIMITIVES, Primitive
from tinynet.tensor import Tensor

REQUIRED = 1e-6  # the relative error that no proof may exceed

PROOFS: dict[str, Callable[[Drawer], Call]] = {
    # elementwise
    "alias": unary("normal"), "clone": unary("normal"), "to_device": unary("normal", device=CPU, back=CPU),
    "cast": unary("normal", dtype=float64), "neg": unary("normal"),
    "add": lambda d: call(*d.two(), alpha=d.of(1, -2.5)), "sub": lambda d: call(*d.two(), alpha=d.of(1, -2.5)),
    "mul": binary("normal", "normal"), "true_divide": binary("normal", "away"), "remainder": remainder, "pow": power,
    "exp": unary("normal"), "expm1": unary("normal"), "log": unary("positive"), "log1p": within(-0.5, 2),
    "log2": unary("positive"), "log10": unary("positive"), "sqrt": unary("positive"), "rsqrt": unary("positive"),
    "square": unary("normal"), "reciprocal": unary("away"), "sin": unary("normal"), "cos": unary("normal"),
    "tan": within(-1, 1), "asin": within(-0.8, 0.8), "acos": within(-0.8, 0.8), "atan": unary("normal"),
    "atan2": binary("away", "away"), "sinh": unary("normal"), "cosh": unary("normal"), "tanh": unary("normal"),
    "sigmoid": unary("normal"), "erf": unary("normal"), "abs": unary("away"), "sign": unary("away"),
    "floor": unary("between_integers"), "ceil": unary("between_integers"), "trunc": unary("between_integers"),
    "round": unary("between_integers", decimals=0), "nan_to_num": unary("normal"), "where": where,
    "maximum": clear_of_each_other, "minimum": clear_of_each_other,
    "clamp_min": clear_of_each_other, "clamp_max": clear_of_each_other,
    # reductions, running sums, sorting
    "sum": reduction("normal"), "mean": reduction("normal"), "logsumexp": reduction("normal"),
    "amax": reduction("distinct"), "max": reduction("distinct", several=False),
    "amin": reduction("distinct"), "min": reduction("distinct", several=False),
    "var_mean": reduction("normal", least=2), "std_mean": reduction("distinct", least=2),
    "norm": lambda d: reduction("away", p=d.of(2, 1, 3, 1.5))(d),
    "prod": with_a_zero(True), "cumprod": with_a_zero(False), "cumsum": along("normal"),
    "neighbour": lambda d: along("normal", reverse=d.flag())(d), "recurrence": recurrence,
    "sort": lambda d: along("distinct", descending=d.flag())(d), "topk": topk,
    "median": reduction("distinct", several=False), "median_of_all": lambda d: call(d.distinct(*d.shape())),
    # shape and index
    "reshape": shaped, "permute": lambda d: call(d.normal(2, 3, 1), dims=d.order(3)), "expand": expanded,
    "transposed": lambda d: call(d.normal(*d.of((2, 3), (2, 1, 3)))),
    "repeat": lambda d: call(d.normal(2, 3), repeats=d.of((2, 1), (1, 3), (2, 1, 2))), "cat": joined, "stack": stacked,
    "split_with_sizes": lambda d: call(d.normal(3, 6), split_sizes=d.of([1, 5], [2, 3, 1], [6]), dim=1),
    "unbind": along("normal"), "flip": lambda d: call(d.normal(2, 3), dims=d.of((0,), (1,), (0, 1))), "roll": rolled,
    "constant_pad": lambda d: call(d.normal(3, 3), pad=((d.pick(-1, 2), d.pick(-1, 2)), (d.pick(-2, 1), 1)), value=1.5),
    "getitem": lambda d: call(d.normal(3, 4), index=index(d)), "add_at": add_at, "set_at": set_at, "put": put,
    "take_along": take_along, "add_along": add_along, "set_along": set_along,
    "diagonal": diagonal, "add_diagonal": add_diagonal, "tril": triangle, "triu": triangle,
    # products and matrices
    "matmul": matmul, "contract": contract, "solve": solve, "cholesky": symmetric, "singular_values": singular_values,
    "inv": matrix, "det": matrix, "cofactors": matrix, "slogdet": matrix,
    # networks
    "linear": linear, "linear_relu": linear, "linear_weight_grad": linear_weight_grad,
    "feed_forward": lambda d: call(*(d.normal(*shape) for shape in (
        d.of((2, 3), (2, 1, 3)), (4, 3), (4,), (2, 4), (2,)))),
    "relu": unary("away"), "relu_grad": lambda d: call(d.normal(2, 3), d.ints(3, 2, 3)),
    "softmax": along("normal"), "log_softmax": along("normal"),
    "gelu": unary("normal"), "gelu_grad": lambda d: call(*(d.normal(*shape) for shape in [d.shape()] * 2)),
    "softplus": lambda d: call(d.away(*d.shape()), beta=d.of(1.0, 2.0), threshold=d.of(20.0, 0.0)),
    "standardize": standardize,
    "rms_norm": lambda d: call(d.normal(2, 3, 4), d.of(d.away(4), d.away(3, 4), None), dim=d.of((1, 2), (2,)), eps=0.1),
    "binary_cross_entropy": lambda d: call(*d.between(0.1, 0.9, 2, 3, d.pick(1, 2))),
    "conv2d": conv2d, "conv2d_input_grad": conv2d_input_grad, "conv2d_weight_grad": conv2d_weight_grad,
    "conv2d_relu": conv2d_relu, "conv2d_relu_pool": conv2d_relu, "unpool": unpool, "pool_winners": pool_winners,
    "im2col": im2col, "col2im": col2im,
    "max_pool2d": max_pool2d, "max_pool2d_grad": max_pool2d_grad,
    "avg_pool2d": avg_pool2d, "avg_pool2d_grad": avg_pool2d_grad,
    "adaptive_sum": lambda d: call(d.normal(2, d.pick(1, 5), d.pick(1, 5)), size=(d.pick(1, 5), d.pick(1, 5))),
    "cross_entropy": cross_entropy, "cross_entropy_grad": cross_entropy_grad,
    "mean_square": lambda d: call(d.normal(2, 3), d.normal(2, 3)),
    "label_loss": lambda d: call(d.normal(2, 3, n := d.pick(1, 2)), d.ints(3, 2, n)),
    "label_loss_grad": lambda d: call(d.normal(), d.normal(2, 3, n := d.pick(1, 2)), d.ints(3, 2, n)),
    "dropped": lambda d: call(d.normal(3, 2), d.between(0, 1, 3, d.pick(1, 2)), p=d.of(0.5, 1.0)),
    "lstm_cell": lambda d: call(d.normal(2, 12), d.normal(2, 12), d.normal(2, 3)),
    "gru_cell": lambda d: call(d.normal(2, 9), d.normal(2, 9), d.normal(2, 3)),
    "lstm": sequence(4, 2), "gru": sequence(3, 1), "rnn": rnn,
    "embedding": lambda d: call(d.normal(4, 2), d.ints(4, *d.shape())),
    "embedding_grad": lambda d: call(d.normal(2, 3, 2), d.ints(4, 2, 3), rows=5, padding_idx=d.of(None, 1),
                                     by_freq=d.flag()),
    "attention": attention,
}

# ops without a derivative: how to draw their arguments, and what gives the same in NumPy
two_integers: Callable[[Drawer], Call] = lambda d: call(d.ints(3, *d.shape()), d.pick(0, 2))  # noqa: E731
VALUES: dict[str, tuple[Callable[[Drawer], Call], Callable[..., Any]]] = {
    "eq": (two_integers, np.equal), "ne": (two_integers, np.not_equal), "lt": (two_integers, np.less),
    "le": (two_integers, np.less_equal), "gt": (two_integers, np.greater),
    "ge": (two_integers, np.greater_equal),
    **{f.__name__: (two_integers, f) for f in (
        np.logical_and, np.logical_or, np.logical_xor, np.bitwise_and, np.bitwise_or, np.bitwise_xor)},
    **{f.__name__: (infinities, f) for f in (np.isnan, np.isinf, np.isfinite)},
    **{f.__name__: (reduction("zeros_and_ones"), numpy_names(f)) for f in (np.all, np.any)},
    **{f.__name__: (reduction("distinct", several=False), numpy_names(f)) for f in (np.argmax, np.argmin)},
    "floor_divide": (binary("normal", "away"), lambda a, b: np.floor(a / b)),
    "logical_not": (unary("zeros_and_ones"), np.logical_not),
    "bitwise_not": (unary("zeros_and_ones"), np.invert),
    "argsort": (along("distinct"), lambda a, dim: np.argsort(a, dim)),
    "count_nonzero": (along("zeros_and_ones"), lambda a, dim: np.count_nonzero(a, axis=dim)),
    "nonzero": (lambda d: call(d.ints(2, *d.shape(1))), np.argwhere),
    "unique": (lambda d: call(d.ints(4, *d.shape(1))), np.unique),
    "bincount": (lambda d: call(d.ints(4, d.pick(1, 6)), None, minlength=d.pick(0, 6)), np.bincount),
}


# ---- the proofs
@dataclass
class Proof:
    """What was found for one op. first, second: pass, FAIL or, for ops without a derivative, -."""

    op: str
    first: str
    second: str
    worst: float  # the largest relative error
    seconds: float
    report: str = ""  # what failed

    @property
    def ok(self) -> bool:
        """Whether everything was right."""
        return not self.report

    def __str__(self) -> str:
        error = f"{self.worst:.1e}" if self.first != "-" else "as NumPy" if self.ok else "WRONG"
        return f"{self.op:<20}{self.first:<13}{self.second:<14}{error:>11}{1e3 * self.seconds:>7.0f} ms"


HEADER = f"{'op':<20}{'first order':<13}{'second order':<14}{'worst error':>11}{'time':>10}"


def differentiate(op: Primitive, drawn: Call) -> tuple[Callable[..., Any], list[Any]]:
    """The call as a function of those arguments that have a rule, and these arguments."""
    args = [Tensor(a) if isinstance(a, np.ndarray) else a for a in drawn.args]
    names = [*op.params, *[op.varargs] * len(args)]
    moved = [k for k, a in enumerate(args)
             if names[k] in op.written and isinstance(a, Tensor) and a.dtype == float64]

    def f(*tensors: Any) -> Any:
        given = dict(zip(moved, tensors if drawn.first is None else map(drawn.first, tensors), strict=True))
        return op(*[given.get(k, a) for k, a in enumerate(args)], **drawn.options)

    f.__qualname__ = op.name
    return f, [args[k].requires_grad_() for k in moved]


def orders(op: Primitive, drawn: Call) -> tuple[GradcheckResult, GradcheckResult]:
    """The first and the second derivatives of one call, checked. (The second check also compares the two
    readings of each rule, on arrays and on tensors.)"""
    func, tensors = differentiate(op, drawn)
    return gradcheck(func, tensors, raise_exception=False), gradgradcheck(func, tensors,
                                                                          raise_exception=False)


def same_value(op: Primitive, drawn: Call, reference: Callable[..., Any]) -> str:
    """What the op gives, if NumPy gives something else; "" if they agree."""
    args = [Tensor(a) if isinstance(a, np.ndarray) else a for a in drawn.args]
    with np.errstate(all="ignore"):
        ours = op(*args, **drawn.options).numpy()
        right = np.asarray(reference(*[a for a in drawn.args if a is not None], **drawn.options))
    same = ours.shape == right.shape and (ours == right).all()
    return "" if same else f"{op.name} gives {ours}, NumPy {right}, for {drawn}"


def prove(name: str, draws: int = 3) -> Proof:
    """One op, for arguments drawn with fixed seeds."""
    op, start = PRIMITIVES[name], time.perf_counter()
    drawers = [Drawer(sum(map(ord, name)) + 1000 * k) for k in range(draws)]
    if name in VALUES:
        draw, reference = VALUES[name]
        wrong = [same_value(op, draw(d), reference) for d in drawers]
        return Proof(name, "-", "-", 0.0, time.perf_counter() - start, "\n".join(filter(None, wrong)))
    if name not in PROOFS:
        return Proof(name, "FAIL", "FAIL", math.inf, 0.0, "no entry in tinynet.proofs says how to draw its "
                                                          "arguments")
    found = [orders(op, PROOFS[name](d)) for d in drawers]
    firsts, seconds = zip(*found, strict=True)
    first, second = ("pass" if all(map(right, results)) else "FAIL" for results in (firsts, seconds))
    wrong = [f"{r}\n  The worst relative error is {r.worst:.1e}." for pair in found
             for r in pair if not right(r)]
    worst = max(r.worst for pair in found for r in pair)
    return Proof(name, first, second, worst, time.perf_counter() - start, "\n\n".join(wrong))


def right(result: GradcheckResult) -> bool:
    """A proof asks for more than a check: the error must be as small as that of the measurement."""
    return bool(result) and result.worst < REQUIRED


def prove_all(names: Sequence[str] | None = None) -> list[Proof]:
    """Every primitive, or those named."""
    return [prove(name) for name in (names or sorted(PRIMITIVES))]


def table(rows: Sequence[Proof]) -> str:
    """The proofs as a table, with what failed below it."""
    return "\n".join([HEADER, *map(str, rows), "", summary(rows)])


def summary(rows: Sequence[Proof]) -> str:
    """How many ops, the worst error, and the reports of those that failed."""
    proved = [p for p in rows if p.first != "-"]
    lines = [f"\n--- {p.op}\n{p.report}" for p in rows if not p.ok]
    lines.append(f"{len(proved)} ops differentiated twice, {len(rows) - len(proved)} without a derivative "
                 f"compared with NumPy, in {sum(p.seconds for p in rows):.1f} s.")
    if proved:
        worst = max(proved, key=lambda p: p.worst)
        lines.append(f"Worst relative error {worst.worst:.1e} ({worst.op}); {REQUIRED:.0e} is allowed.")
    bad = [p.op for p in rows if not p.ok]
    return "\n".join([*lines, f"{len(bad)} FAILED: {', '.join(bad)}" if bad else "Everything is right."])


def main(names: Sequence[str] | None = None, json: bool = False) -> int:
    """`tinynet gradcheck [OP ...] [--json]`: prove and print. The exit status is 1 if something is wrong, 2
    for a name that is no op's."""
    unknown = [name for name in names or () if name not in PRIMITIVES]
    if unknown:
        known = sorted(PRIMITIVES)
        wrong = ", ".join(name + nearest(name, known) for name in unknown)
        print(f"tinynet: error: no op is called {wrong}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    if json:
        rows = prove_all(names)
        print(json_module.dumps([vars(p) | {"ok": p.ok} for p in rows], indent=1))
    else:
        print(HEADER)
        rows = []
        for name in names or sorted(PRIMITIVES):
            rows.append(prove(name))
            print(rows[-1], flush=True)
        print("\n" + summary(rows))
    return 0 if all(p.ok for p in rows) else 1
