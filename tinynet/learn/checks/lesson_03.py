"""Lesson 3, autograd from scratch: rules, an order to walk in, and the walk."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tinynet.learn import close, draw, gradient, reference, require, rule, slope
from tinynet.ops._primitive import PRIMITIVES


# ---- rules
def of_product(mine: Any) -> list[Any]:
    """tinynet's own rules for a * b."""
    return [gradient("mul", a=lambda g, a, b: mine(g, a, b)[0], b=lambda g, a, b: mine(g, a, b)[1])]


def of_matmul(mine: Any) -> list[Any]:
    """tinynet's own rules for a @ b where both are matrices; for stacks of them and vectors they stay as they are."""
    kept = dict(PRIMITIVES["matmul"].written)

    def left(g, input, other):
        return mine(g, input, other)[0] if input.ndim == other.ndim == 2 else kept["input"](g, input.shape, other)

    def right(g, input, other):
        return mine(g, input, other)[1] if input.ndim == other.ndim == 2 else kept["other"](g, input, other.shape)

    return [gradient("matmul", input=left, other=right)]


@reference("03.mul_rule", engine=of_product)
def mul_rule(g, a, b):
    """For c = a * b: (g * b, g * a)."""
    return g * b, g * a


@mul_rule.property("3 * 4 rises by 4 where the 3 rises by 1, and by 3 where the 4 does")
def _(mine):
    close(mine(np.array(1.0), np.array(3.0), np.array(4.0)), (4.0, 3.0), "Which of the two moves, and what is it "
          "multiplied with?")


@mul_rule.property("a measured slope agrees", examples=8, a="n k", b="n k")
def _(mine, a, b):
    slope(rule(np.multiply, mine), [a, b], "Chain rule: what arrives (g) times the slope of this step.")


@reference("03.matmul_rule", engine=of_matmul)
def matmul_rule(g, a, b):
    """For c = a @ b: (g @ bᵀ, aᵀ @ g)."""
    return g @ b.T, a.T @ g


@matmul_rule.property("each gradient has the shape of what it belongs to", g="n m", a="n k", b="k m")
def _(mine, g, a, b):
    got = mine(g, a, b)
    require(isinstance(got, tuple | list) and len(got) == 2, "two gradients are expected, for a and for b")
    for name, one, its in zip("ab", got, (a, b), strict=True):
        require(np.shape(one) == its.shape, f"{name} has shape {its.shape}, its gradient {np.shape(one)}",
                "Write the three shapes side by side: only one product of g with a transposed matrix fits.")


@matmul_rule.property("a measured slope agrees", examples=8, a="n k", b="k m")
def _(mine, a, b):
    slope(rule(np.matmul, mine), [a, b], "Shapes that fit are not enough where n, k and m are equal: which side does g "
          "stand on?")


@reference("03.sum_rule")
def sum_rule(g, a):
    """For c = a.sum(): g, for every element."""
    return np.full(a.shape, g)


@sum_rule.property("every element moves the sum as much as itself", a="n k", g=draw.number())
def _(mine, a, g):
    got = mine(np.array(g), a)
    require(np.shape(got) == a.shape, f"a has shape {a.shape}, its gradient {np.shape(got)}",
            "A gradient has the shape of what it belongs to: the one number g goes to each element.")
    close(got, np.full(a.shape, g), "If any one element rises by 0.01, the sum rises by 0.01.")


# ---- graphs
class Node:
    """A value made of others; it prints as its formula."""

    def __init__(self, name: str, data: Any, inputs: tuple[Node, ...] = (), rule: Any = None) -> None:
        self.name, self.data, self.inputs, self.rule = name, data, inputs, rule

    def __repr__(self) -> str:
        return self.name + (f"({', '.join(map(repr, self.inputs))})" if self.inputs else "")


OPS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "double": (lambda a: 2 * a, lambda g, a: (2 * g,)),
    "add": (np.add, lambda g, a, b: (g, g)),
    "mul": (np.multiply, mul_rule.reference)}


def made(op: str, *inputs: Node) -> Node:
    """The node of an op."""
    compute, its_rule = OPS[op]
    return Node(op, compute(*[n.data for n in inputs]), inputs, its_rule)


@st.composite
def graphs(pick: Any) -> Node:
    """A random graph: each node is made of earlier ones, which may be used again and again."""
    nodes = [Node(name, np.array(pick(draw.number(1, 3)))) for name in "ab"]
    for _ in range(pick(st.integers(1, 5))):
        op = pick(st.sampled_from(list(OPS)))
        count = 1 if op == "double" else 2
        nodes.append(made(op, *[nodes[pick(st.integers(0, len(nodes) - 1))] for _ in range(count)]))
    return nodes[-1]


@reference("03.topological_order")
def topological_order(root):
    """All that root is made of, and root, each once, and after all it is made of."""
    order: list[Any] = []
    seen: set[Any] = set()

    def visit(node: Any) -> None:
        if node not in seen:
            seen.add(node)
            for n in node.inputs:
                visit(n)
            order.append(node)
    visit(root)
    return order


@topological_order.property("a chain a -> double -> double comes in that order")
def _(mine):
    a = Node("a", np.array(1.0))
    middle = made("double", a)
    end = made("double", middle)
    close(mine(end), [a, middle, end], "Go to the inputs first, and write a node down after them.")


@topological_order.property("each node is there once", root=graphs())
def _(mine, root):
    got = mine(root)
    require(isinstance(got, list), f"a list is expected, not {type(got).__name__}")
    require(len(set(got)) == len(got), "a node is in the list twice",
            "Two paths may lead to one node: remember what you have seen, and go there once.", got=got)
    missing = [n for n in topological_order(root) if n not in got]
    require(not missing, f"missing: {missing}; root, and all it is made of, should be there", got=got)


@topological_order.property("each node comes after its inputs, and the root last", root=graphs())
def _(mine, root):
    got = mine(root)
    hint = "A node is written down when all of its inputs have been: after the loop over them, not before."
    for k, node in enumerate(got):
        require(all(n in got[:k] for n in node.inputs), f"{node!r} comes before one of its inputs", hint, got=got)
    require(got[-1] is root, "the last should be the root: it needs all the others", got=got)


@reference("03.gradients")
def gradients(root):
    """{node: the slope of root by that node}, for all that root is made of."""
    found = {root: np.ones_like(root.data)}
    for node in reversed(topological_order(root)):
        if node.rule is not None:
            for n, g in zip(node.inputs, node.rule(found[node], *[n.data for n in node.inputs]), strict=True):
                found[n] = found.get(n, 0) + g
    return found


def same(got: Any, root: Node, hint: str) -> None:
    """The gradients are those of the reference."""
    want = gradients(root)
    require(isinstance(got, dict), f"a dict is expected, from each node to its gradient, not {type(got).__name__}")
    for node, g in want.items():
        require(node in got, f"{node!r} has no gradient", "Every node has one: those that you start from, too.")
        close(got[node], g, hint, what=f"the gradient of {node!r} is wrong")


@gradients.property("the root's own gradient is 1, and double passes on 2 times what it gets")
def _(mine):
    root = made("double", Node("a", np.array(3.0)))
    same(mine(root), root, "Begin with 1 for the root: if it rises by 0.01, it rises by 0.01. Then call its rule.")


@gradients.property("what is used twice gets both gradients, added", op=st.sampled_from(["add", "mul"]))
def _(mine, op):
    a = Node("a", np.array(3.0))
    root = made(op, a, a)
    same(mine(root), root, "Each use sends a gradient: the second is added to the first, and does not replace it.")


@gradients.property("a node passes its gradient on when it has all of it", root=graphs())
def _(mine, root):
    same(mine(root), root, "Walk the topological order backwards: then whatever uses a node has sent its part before "
         "the node's own rule is called, once.")
