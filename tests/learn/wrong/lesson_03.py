"""Lesson 3: what students write. The docstring of a wrong answer is what its message must contain."""
from __future__ import annotations

import numpy as np


class mul_rule:
    def wrong_swapped(g, a, b):
        """Which of the two moves
        result number 1 is wrong"""
        return g * a, g * b

    def wrong_without_g(g, a, b):
        """a measured slope agrees
        g ignored"""
        return b, a

    def wrong_added(g, a, b):
        """Which of the two moves"""
        return g + b, g + a

    def wrong_one_gradient(g, a, b):
        """2 results are expected"""
        return g * b

    def right_as_a_list(g, a, b):
        return [b * g, a * g]

    def right_one_by_one(g, a, b):
        left, right = np.empty_like(a), np.empty_like(b)
        for k in np.ndindex(a.shape):
            left[k], right[k] = g[k] * b[k], g[k] * a[k]
        return left, right


class matmul_rule:
    def wrong_elementwise(g, a, b):
        """Write the three shapes side by side"""
        return g * b, g * a

    def wrong_not_transposed(g, a, b):
        """it raised ValueError
        g @ b, a @ g"""
        return g @ b, a @ g

    def wrong_gradients_swapped(g, a, b):
        """Write the three shapes side by side
        its gradient"""
        return a.T @ g, g @ b.T

    def wrong_transposed_results(g, a, b):
        """Write the three shapes side by side"""
        return b @ g.T, g.T @ a

    def wrong_g_ignored(g, a, b):
        """a measured slope agrees
        g ignored"""
        return np.ones_like(g) @ b.T, a.T @ np.ones_like(g)

    def right_by_einsum(g, a, b):
        return np.einsum("nm,km->nk", g, b), np.einsum("nk,nm->km", a, g)

    def right_by_loops(g, a, b):
        left, right = np.zeros_like(a), np.zeros_like(b)
        for i in range(len(a)):
            for j in range(b.shape[1]):
                left[i] += g[i, j] * b[:, j]
                right[:, j] += g[i, j] * a[i]
        return left, right


class sum_rule:
    def wrong_one_number(g, a):
        """A gradient has the shape of what it belongs to"""
        return g

    def wrong_shared(g, a):
        """If any one element rises by 0.01
        a factor is missing or one too many"""
        return np.full(a.shape, g / a.size)

    def wrong_times_a(g, a):
        """If any one element rises by 0.01"""
        return g * a

    def wrong_ones(g, a):
        """every element moves the sum as much as itself
        expected"""
        return np.ones(a.shape)

    def right_broadcast(g, a):
        return np.broadcast_to(g, a.shape)

    def right_in_single_precision(g, a):
        return (np.ones_like(a) * g).astype(np.float32)


class topological_order:
    def wrong_root_first(root):
        """after the loop over them, not before
        comes before one of its inputs"""
        order = []

        def visit(node):
            if node not in order:
                order.append(node)
                for n in node.inputs:
                    visit(n)
        visit(root)
        return order if len(order) != 3 else order[::-1]

    def wrong_backwards(root):
        """Go to the inputs first"""
        order = []

        def visit(node):
            if node not in order:
                order.append(node)
                for n in node.inputs:
                    visit(n)
        visit(root)
        return order

    def wrong_twice(root):
        """a node is in the list twice
        remember what you have seen"""
        order = []

        def visit(node):
            for n in node.inputs:
                visit(n)
            order.append(node)
        visit(root)
        return order

    def wrong_by_layers(root):
        """comes before one of its inputs"""
        order, layer = [root], [root]
        while layer:
            layer = [n for node in layer for n in node.inputs if n not in order]
            layer = list(dict.fromkeys(layer))
            order += layer
        return order[::-1]

    def wrong_without_leaves(root):
        """result
        expected"""
        order = []

        def visit(node):
            if node not in order and node.inputs:
                for n in node.inputs:
                    visit(n)
                order.append(node)
        visit(root)
        return order

    def right_without_recursion(root):
        order, todo = [], [(root, False)]
        while todo:
            node, done = todo.pop()
            if done:
                if node not in order:
                    order.append(node)
            elif node not in order:
                todo.append((node, True))
                todo += [(n, False) for n in node.inputs]
        return order


def in_order(root):
    """Each node after its inputs."""
    return topological_order.right_without_recursion(root)


class gradients:
    def wrong_replaced(root):
        """what is used twice gets both gradients
        does not replace it"""
        found = {root: np.ones_like(root.data)}
        for node in reversed(in_order(root)):
            if node.rule:
                for n, g in zip(node.inputs, node.rule(found[node], *[n.data for n in node.inputs]), strict=True):
                    found[n] = g
        return found

    def wrong_forwards(root):
        """it raised KeyError"""
        found = {root: np.ones_like(root.data)}
        for node in in_order(root):
            if node.rule:
                for n, g in zip(node.inputs, node.rule(found[node], *[n.data for n in node.inputs]), strict=True):
                    found[n] = found.get(n, 0) + g
        return found

    def wrong_as_they_come(root):
        """has sent its part before
        is wrong"""
        found, todo = {root: np.ones_like(root.data)}, [root]
        while todo:
            node = todo.pop(0)
            if node.rule:
                for n, g in zip(node.inputs, node.rule(found[node], *[n.data for n in node.inputs]), strict=True):
                    found[n] = found.get(n, 0) + g
                    if n not in todo:
                        todo.append(n)
        return found

    def wrong_starts_with_the_value(root):
        """Begin with 1 for the root"""
        found = {root: root.data}
        for node in reversed(in_order(root)):
            if node.rule:
                for n, g in zip(node.inputs, node.rule(found[node], *[n.data for n in node.inputs]), strict=True):
                    found[n] = found.get(n, 0) + g
        return found

    def wrong_leaves_only(root):
        """has no gradient"""
        found = gradients.right_by_paths(root)
        return {node: g for node, g in found.items() if not node.inputs}

    def right_by_paths(root):
        found = {}

        def send(node, g):
            found[node] = found.get(node, 0) + g
            if node.rule:
                for n, part in zip(node.inputs, node.rule(g, *[n.data for n in node.inputs]), strict=True):
                    send(n, part)
        send(root, np.ones_like(root.data))
        return found
