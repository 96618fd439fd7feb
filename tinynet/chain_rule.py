"""The chain rule, line by line: a backward pass through a tiny graph, told as a table."""
from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinynet.autograd.engine import seed, unpack, walk
from tinynet.autograd.graph import Leaf, Node, Pick, Place, TracedNode, reach
from tinynet.autograd.modes import _Mode, modes
from tinynet.autograd.naming import by_place, named_tensors
from tinynet.autograd.variable import raw
from tinynet.device import CPU
from tinynet.dtypes import Array
from tinynet.ops.create import empty
from tinynet.tensor import Tensor
from tinynet.text import numbers, table

MOST_NODES, MOST_NUMBERS = 60, 64  # what can be followed by eye
HEAD = ("node", "", "value", "gradient", "local derivative", "chain rule: gradient × derivative")
INFIX = {"add": "+", "sub": "-", "mul": "*", "true_divide": "/", "pow": "**", "matmul": "@"}
UNKNOWN = "…"
WIDEST, SHORTER = 144, (math.inf, 28, 20, 14)  # columns of a table, and how much its cells may then show of an array


class _Seen(TracedNode):
    """A node that knows the arguments and outputs of its op, as they were (nothing of a write in place)."""

    __slots__ = ("arguments", "given", "outputs")

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.given: list[Any] = []
        self.arguments: list[Any] = []
        self.outputs: list[Any] = []

    def watch(self, arguments: Iterable[Any], outputs: Iterable[Any]) -> None:
        self.given = list(arguments)
        self.arguments, self.outputs = ([a.copy() if hasattr(a, "dtype") else a for a in values]
                                        for values in (self.given, outputs))


class _seeing(_Mode):
    """Record nodes of that kind."""

    def _set(self) -> None:
        modes.record, modes.anomaly = _Seen, True


@dataclass
class Step:
    """What backward does at one place: `gradient` is complete, and goes on to the arguments, each times its local
    derivative. A derivative has the shape of the output, then that of the argument."""

    name: str
    expression: str
    value: Array | None  # None: backward does not need it, and nobody else kept it
    gradient: Array
    arguments: list[str] = field(default_factory=list)
    derivatives: list[Array] = field(default_factory=list)
    contributions: list[Array] = field(default_factory=list)


@dataclass
class Explanation:
    """The steps of a backward pass, in its order; print it to see the table. `steps` has every number; where they would
    make the table too wide to read, it tells of arrays only the size and norm."""

    steps: list[Step]

    def __str__(self) -> str:
        tables = [self._lines(most) for most in SHORTER]
        return "\n".join(next((lines for lines in tables if max(map(len, lines)) <= WIDEST), tables[-1]))

    def _lines(self, most: float) -> list[str]:
        """The table, with the size and norm of an array in the place of numbers that take more than `most` columns."""
        rows: list[tuple[str, ...]] = []
        for step in self.steps:
            rows.append((step.name, step.expression, show(step.value, most), show(step.gradient, most)))
            passed = zip(step.arguments, step.derivatives, step.contributions, strict=True)
            for k, (x, derivative, c) in enumerate(passed):
                d, factor = _readable(derivative, step.gradient, c)
                product = f"{show(step.gradient)} × {show(d)} = " if factor and c.size <= 3 else ""
                cells = (f"∂{step.name}/∂{x} = {show(d, most)}",
                         f"{x} += {product if len(product) <= most else ''}{show(c, most)}")
                if k:
                    rows.append(("", "", "", "", *cells))
                else:
                    rows[-1] += cells
        lines = table(HEAD, rows, left=len(HEAD))
        if any(UNKNOWN in row[1] or row[2] == UNKNOWN for row in rows):
            lines += ["", f"{UNKNOWN} is a number that no derivative needs, so it was not kept; explain(lambda: …)",
                      "  with the code that computes the loss sees every number that an op is given."]
        return lines

    __repr__ = __str__


def explain(loss: Tensor | Callable[[], Tensor], params: Any = None) -> Explanation:
    """The backward pass of a scalar, node by node: value, gradient, local derivatives, and what the chain rule makes of
    them.

    loss: a scalar whose graph has not been freed, or a function of no arguments that computes one. Tensors are called
    as in `params` (a module, or a mapping from names to tensors), or else as the variables that hold them where
    explain() is called. No `.grad` is changed. ValueError for graphs too large to follow by eye.

    >>> w, x = tn.tensor(3.0, requires_grad=True), tn.tensor(2.0)
    >>> tn.explain(lambda: (w * x - 5) ** 2)
    node           value  gradient  local derivative  chain rule: gradient × derivative
    ───────────────────────────────────────────────────────────────────────────────────
    loss  v2 ** 2  1      1         ∂loss/∂v2 = 2     v2 += 1 × 2 = 2
    v2    v1 - 5   1      2         ∂v2/∂v1 = 1       v1 += 2 × 1 = 2
    v1    w * x    6      2         ∂v1/∂w = 2        w += 2 × 2 = 4
    w              3      4
    """
    tensors = named_tensors(params)
    if callable(loss):
        with _seeing():
            loss = loss()
    if not isinstance(loss, Tensor):
        raise TypeError(f"explain(): argument 'loss' must be a Tensor or a function that returns one, not "
                        f"{type(loss).__name__}")
    if loss.device != CPU:
        raise RuntimeError(f"explain() looks at every number, and the loss is on {loss.device}: compute it on the CPU, "
                           "with model.cpu()")
    seeds = seed([loss], [None], False)
    order = reach(seeds)
    _check(order)
    teller = _Teller(loss, order, tensors)
    return Explanation(teller.steps(dict(seeds)))


def _check(order: Sequence[Place]) -> None:
    nodes = [p for p in order if type(p) is not Pick]
    if len(nodes) > MOST_NODES:
        raise ValueError(f"explain() is for graphs that can be followed by eye, of at most {MOST_NODES} nodes, but "
                         f"this one has {len(nodes)}; tn.viz.plot_graph draws larger ones")
    for place in nodes:
        if isinstance(place, Node):
            unpack(place, False)  # an error if what it kept was freed, or written to
        for shape in place.shape if type(place.shape) is list else [place.shape]:
            if math.prod(shape) > MOST_NUMBERS:
                what = "a leaf" if type(place) is Leaf else place.name()
                raise ValueError(f"explain() is for tensors of at most {MOST_NUMBERS} numbers, but {what} has the "
                                 f"shape {shape}; take fewer samples and smaller layers")


class _Teller:
    """What is known of each place: what it is called, and its value."""

    def __init__(self, loss: Tensor, order: Sequence[Place], tensors: dict[str, Any]) -> None:
        self.order, self.found = order, by_place(tensors)
        self.found.setdefault(loss.place, ("loss", loss))
        self.variables = {id(raw(tensor)): name for name, tensor in tensors.items()}
        leaves, nodes = (_new_names(letter, {*tensors, "loss"}) for letter in "xv")
        self.names: dict[Place, str] = {}
        self.values: dict[Place, Any] = {}
        for place in order:  # arguments before results
            if place in self.found:
                self.names[place] = self.found[place][0]
            elif type(place) is Leaf or not _is_several(place):
                self.names[place] = next(leaves if type(place) is Leaf else nodes)
            self._learn(place)

    def _learn(self, place: Place) -> None:
        """The value of a place, if the tensor that stands there is known, or else if what its node kept tells it; and
        the values of its arguments that it kept."""
        if place in self.found:
            self.values[place] = raw(self.found[place][1])
        elif type(place) is Leaf:
            self.values[place] = raw(place.tensor())
        node = _node(place)
        if node is None:
            return
        arguments = self._arguments(node)
        self.values.update((p, a) for p, a in zip(node.inputs, arguments, strict=True) if p is not None)
        if self.values.get(place) is None and not _is_several(place):
            self.values[place] = self._result(node, getattr(place, "index", 0), arguments)

    def _arguments(self, node: Node) -> list[Any]:
        """What the op was called with, as far as it is known."""
        if isinstance(node, _Seen) and node.given:
            return node.arguments
        kept = [None if type(a) is tuple else a for a in node.args]  # a tuple: only the shape was kept
        return [self.values.get(p) if a is None else a for p, a in zip(node.inputs, kept, strict=True)]

    def _result(self, node: Node, index: int, arguments: list[Any]) -> Any:
        """The op's output of that number: seen, kept, or computed again."""
        if isinstance(node, _Seen) and node.given:
            return node.outputs[index]
        kept = node.out[index] if type(node.out) is tuple else node.out
        if kept is not None or any(a is None for a in arguments) or not hasattr(node.op, "forward"):
            return kept
        out = node.op.forward(np, *arguments, **node.options)
        return out[index] if type(out) is tuple else out

    # ---- the walk
    def steps(self, gradients: dict[Place, Any]) -> list[Step]:
        """One for each place, as the engine visits them: later results first."""
        told: list[Step] = []
        for place in reversed(self.order):
            if place not in gradients:
                continue
            value = self.values.get(place)
            step = Step(self.names[place], self._expression(place), None if value is None else np.array(value),
                        gradients[place])
            node = _node(place)
            for k, p in enumerate(node.inputs if node else ()):
                if p is not None:
                    step.arguments.append(self.names[p])
                    step.derivatives.append(_derivative(place, k))
                    step.contributions.append(_pulled(place, step.gradient)[k])
                    gradients[p] = gradients.get(p, 0) + step.contributions[-1]
            told.append(step)
        return told

    def _expression(self, place: Place) -> str:
        node = _node(place)
        if node is None:
            return ""
        given = getattr(node, "given", None) or self._arguments(node)
        names = [self._constant(a, node) if p is None else self.names[p]
                 for p, a in zip(node.inputs, given, strict=True)]
        op, defaults = node.op.name, getattr(node.op, "options", {})
        if op == "neg":
            return f"-{names[0]}"
        if op in INFIX:
            return f"{names[0]} {INFIX[op]} {names[1]}"
        options = [f"{what}={value}" for what, value in node.options.items()
                   if repr(value) != repr(defaults.get(what)) and op != "put"]  # a view's path says nothing to a reader
        one_of_several = type(place) is Pick and getattr(node.op, "shown", len(node.shape)) > 1
        return f"{op}({', '.join([*names, *options])})"[:48] + (f"[{place.index}]" if one_of_several else "")

    def _constant(self, a: Any, node: Node) -> str:
        if a is None:
            return "None" if getattr(node, "given", None) else UNKNOWN
        return self.variables.get(id(a)) or (show(a) if np.size(a) <= 4 else f"data{np.shape(a)}")


def _new_names(letter: str, taken: set[str]) -> Iterator[str]:
    return (name for k in itertools.count(1) if (name := f"{letter}{k}") not in taken)


# ---- one node alone
def _node(place: Place) -> Node | None:
    return place.node if type(place) is Pick else None if type(place) is Leaf else place


def _is_several(place: Place) -> bool:
    """A node of several outputs: the places of its outputs speak for it."""
    return isinstance(place, Node) and type(place.shape) is list


def _pulled(place: Place, g: Any) -> list[Array]:
    """What backward makes of the gradient g at this place for each argument of its op: the engine's own walk, on a node
    that stands alone, each argument a leaf of its own."""
    node: Any = _node(place)
    leaves = [None if p is None else Leaf(empty(p.shape, dtype=p.dtype)) for p in node.inputs]
    alone = Node(node.op, leaves, node.args, node.out, node.options, node.shape, node.dtype)
    for leaf in leaves:
        if leaf is not None:
            leaf.seq = 0  # older than the node, as arguments are
    root = Pick(alone, place.index) if type(place) is Pick else alone
    found = walk({root: g}, {leaf for leaf in leaves if leaf is not None}, False, True)
    return [np.asarray(found[leaf]) if leaf in found else np.zeros(p.shape if p is not None else (), place.dtype)
            for leaf, p in zip(leaves, node.inputs, strict=True)]


def _derivative(place: Place, k: int) -> Array:
    """d output[i] / d argument[k][j], as an array [i, j]: a backward for each element of the output."""
    units = np.eye(math.prod(place.shape), dtype=place.dtype).reshape(-1, *place.shape)
    rows = [_pulled(place, unit)[k] for unit in units]
    return np.array(rows).reshape((*place.shape, *rows[0].shape))


# ---- how numbers are shown
def show(a: Any, most: float = math.inf) -> str:
    """The numbers, in at most so many columns, or that they are not known."""
    if a is None:
        return UNKNOWN
    text = numbers(a)
    return text if len(text) <= most else numbers(a, few=1)


def _readable(derivative: Array, gradient: Array, argument: Array) -> tuple[Array, bool]:
    """A derivative to read, and whether the gradient is multiplied by it element by element: if one of them is a
    single number, and where every output depends on its own argument alone. Else it is a matrix, with a row for each
    output, and the product is gradientᵀ matrix."""
    n, m = gradient.size, argument.size
    matrix = derivative.reshape(n, m)
    if n == 1:
        return derivative.reshape(argument.shape), gradient.ndim == 0
    if gradient.shape == argument.shape and not (matrix - np.diag(np.diagonal(matrix))).any():
        return np.diagonal(matrix).reshape(argument.shape), True
    return matrix, False
