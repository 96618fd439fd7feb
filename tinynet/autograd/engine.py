"""The backward walk: reverse-mode differentiation over the recorded graph.

Places are visited in reverse order of creation, each once, when its gradient is complete. A node's rules are called
with raw arrays; under create_graph=True with tensors that stand at their places in the graph, so that the gradients
are themselves recorded. The engine knows nothing of any particular op.
"""
from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy import generic, ndarray

from tinynet import kernels
from tinynet.autograd.fit import zeros
from tinynet.autograd.graph import Leaf, Node, Pick, Place, reach
from tinynet.autograd.modes import modes, recorder
from tinynet.autograd.variable import Variable, raw, wrap
from tinynet.autograd.writes import writes
from tinynet.device import backend, beside, settle, writeable

Tensors = Any  # a tensor or a sequence of tensors


def walk(seeds: dict[Place, Any], wanted: set[Place] | None, create_graph: bool, retain: bool) -> dict[Place, Any]:
    """Carry the seeds' gradients back. wanted=None: fill `.grad` of every leaf; else return the gradients of those
    places, and call only the rules on paths that lead to them."""
    order = reach(seeds)
    needed = None if wanted is None else leading_to(wanted, order)
    gradients = dict(seeds)
    fresh: set[Place] = set()  # places whose gradient is an array nobody else holds: it may be added to in place
    found: dict[Place, Any] = {}
    hidden: dict[Place, list[Any]] = {}  # the gradients of a node's hidden outputs: when a derivative is differentiated
    unused: set[Place] = set()  # nodes of which only those have a gradient
    anomaly = modes.anomaly
    outside, modes.record = modes.record, recorder() if create_graph else None
    try:
        with np.errstate(all="ignore"), beside(raw(next(iter(seeds.values())))):
            for place in reversed(order):
                g = gradients.pop(place, None)
                if g is None:
                    continue
                if place.hooks and place not in unused:
                    g = run_hooks(place, g)
                    fresh.discard(place)
                if wanted is not None and place in wanted and place not in unused:
                    found[place] = g
                    if needed is not None and not any(p in needed for p in place.inputs):
                        continue  # its own rules are not called, so what they saved stays
                kind = type(place)
                if kind is Leaf:
                    if wanted is None:
                        receive(place, g, place in fresh)
                    continue
                if kind is Pick:
                    gather(place, g, gradients, hidden, unused)
                    continue
                op, args, out, options = place.op, place.args, place.out, place.options
                if args is None or create_graph or writes.last > place.seq:
                    args, out = unpack(place, create_graph)
                several, given = type(g) is list, g
                if op.lone:
                    given = [g, *hidden.get(place, op.unused)]
                elif several:
                    given = op.fill(g, place)
                elif isinstance(g, generic) and type(args) is list:  # among its like it is faster than among 0-d arrays
                    args, out = [a[()] if type(a) is ndarray else a for a in args], out if out is None else out[()]
                inputs = place.inputs if needed is None else [p if p in needed else None for p in place.inputs]
                joint = op.joint and op.joint(given, [p is not None for p in inputs], args, out, options)
                for k, p in enumerate(inputs):
                    if p is None:
                        continue
                    gi = joint[k] if joint else op.rules[k](given, args, out, options)
                    if gi is None:
                        continue
                    if gi.shape != p.shape or gi.dtype is not p.dtype:
                        gi = op.fit(gi, p)
                    if anomaly:
                        check_finite(gi, place, order)
                    before = gradients.get(p)
                    if before is None:
                        gradients[p] = gi
                        made = type(p) is Leaf and gi is not g and not several and op.pure
                        if made and (gi if type(gi) is ndarray else raw(gi)).base is None:
                            fresh.add(p)  # the rule made it, and it is no view
                    elif p in fresh and not create_graph:
                        before += gi
                        gradients[p] = before  # NumPy's 0-d scalars are not changed but replaced
                    else:
                        gradients[p] = plus(before, gi)
                        fresh.add(p)
                if not retain and type(args) is list:  # a tuple: only shapes and numbers were saved, nothing to free
                    place.args = place.out = None
    finally:
        modes.record = outside
    return found


def gather(pick: Pick, g: Any, gradients: dict[Place, Any], hidden: dict[Place, list[Any]],
           unused: set[Place]) -> None:
    """Put the gradient of one output beside those of the node's others."""
    node = pick.node
    if not node.op.lone:
        parts = gradients.setdefault(node, [None] * len(node.shape))
        parts[pick.index] = g if parts[pick.index] is None else parts[pick.index] + g
        return
    hidden.setdefault(node, list(node.op.unused))[pick.index - 1] = g
    if node not in gradients:
        gradients[node] = zeros(node.shape, node.dtype, g)
        unused.add(node)


def plus(a: Any, b: Any) -> Any:
    """a + b, for arrays or tensors."""
    return kernels.run("add", np, a, b) if type(a) is type(b) is ndarray and a.size >= kernels.LARGE else a + b


def leading_to(wanted: set[Place], order: Iterable[Place]) -> set[Place]:
    """The places through which a gradient flows to one that is wanted (order: oldest first)."""
    needed: set[Place] = set()
    for place in order:
        if place in wanted or any(p in needed for p in place.inputs):
            needed.add(place)
    return needed


def receive(leaf: Leaf, g: Any, fresh: bool) -> None:
    """Add the gradient to the leaf's `.grad`. A rule may hand over its own g, or a view: only a fresh array is kept
    without a copy."""
    tensor = leaf.tensor()
    if tensor is None:
        return
    kept = tensor.gradient
    if kept is None and type(g) is ndarray:  # nearly always
        tensor.gradient = Variable.public(g if fresh else by_rows(g))
    elif isinstance(g, Variable):  # create_graph
        if kept is not None:
            tensor.gradient = kept + g
        else:
            tensor.gradient = g if fresh else wrap(g.array.copy(), g.place)
    elif kept is None:
        tensor.gradient = wrap(g if fresh else backend(g).array(g))
    elif kept.place is None and writeable(kept.array):
        kept.array += g
        writes.add(kept.array)
    else:
        tensor.gradient = wrap(kept.array + g)


def by_rows(a: Any) -> Any:
    """A copy of a NumPy array, in memory row by row; of images with channels last NumPy's own takes long."""
    return kernels.run("in_rows", np, a) if a.ndim == 4 and not a.flags.c_contiguous else a.copy()


def unpack(node: Node, create_graph: bool) -> tuple[Any, Any]:
    """What the node saved, checked; for create_graph as tensors that stand where the arrays stood in the graph."""
    args, out, name = node.args, node.out, node.op.name
    ran = node.stack or "run under detect_anomaly() to see where"
    if args is None:
        raise RuntimeError(
            f"Trying to backward through the graph a second time: what {name} saved was freed by the first backward. "
            f"Call the first one with retain_graph=True, or run the forward again. ({name} ran: {ran})")
    line = writes.after(node.seq, (*args, *(out if type(out) is tuple else (out,))))
    if line:
        raise RuntimeError(
            f"one of the variables needed for gradient computation has been modified by an inplace operation: {name} "
            f"saved it for its gradient ({name} ran: {ran}), then it was changed ({line}). Use the out-of-place form, "
            f"or change a clone().")
    if create_graph:
        args = [lift(a, p) for a, p in zip(args, node.inputs, strict=True)]
        several = type(out) is tuple
        out = tuple(lift(o, node, k) for k, o in enumerate(out)) if several else lift(out, node)
    return args, out


def lift(a: Any, place: Place, output: int | None = None) -> Any:
    """A saved array as a tensor at its place, or at that of an output; shapes, numbers and tensors as they are."""
    if isinstance(a, Variable) or not hasattr(a, "dtype"):
        return a
    if a.dtype.kind != "f":  # an integer output has no place to differentiate
        return wrap(a)
    return wrap(a, place if output is None or (output == 0 and place.op.lone) else Pick(place, output))


def run_hooks(place: Place, g: Any) -> Any:
    """The gradient after the hooks of its place, each of which may replace it."""
    t = g if isinstance(g, Variable) else wrap(g)
    for _, hook in list(place.hooks):
        t2 = hook(t)
        if t2 is None:
            continue
        if not isinstance(t2, Variable) or t2.array.shape != place.shape:
            got = list(t2.array.shape) if isinstance(t2, Variable) else type(t2).__name__
            raise RuntimeError(f"a hook returned {got} for a gradient of shape {list(place.shape)}")
        t = t2
    return t if isinstance(g, Variable) else t.array


def check_finite(g: Any, node: Any, order: Sequence[Place]) -> None:
    """In detect_anomaly: stop at the first gradient that is nan or inf, and name the op where the trouble began."""
    a = raw(g)
    if backend(a).isfinite(a).all():
        return
    what = "nan" if (a != a).any() else "inf"
    culprit = next((p for p in order if getattr(p, "made", None)), None)
    origin = "" if culprit is None else (
        f" The first value that was not finite ({culprit.made}) was made by {culprit.op.name}, which ran: "
        f"{culprit.stack}.")
    raise RuntimeError(f"Function '{node.name()}' returned {what} values in its backward: {node.op.name} ran: "
                       f"{node.stack or 'outside detect_anomaly()'}.{origin}")


def seed(outputs: Sequence[Variable], cotangents: Sequence[Any], create_graph: bool) -> dict[Place, Any]:
    """The gradients the walk begins with."""
    seeds: dict[Place, Any] = {}
    if len(outputs) != len(cotangents):
        raise RuntimeError(f"got {len(outputs)} tensors and {len(cotangents)} gradients")
    for k, (y, c) in enumerate(zip(outputs, cotangents, strict=True)):
        if y.refresh() is None:
            raise RuntimeError(f"element {k} of tensors does not require grad and does not have a grad_fn: nothing it "
                               f"was computed from has requires_grad=True (or it ran under no_grad, or was detached)")
        if c is None:
            if y.array.size != 1:
                raise RuntimeError(f"grad can be implicitly created only for scalar outputs, not for shape "
                                   f"{list(y.array.shape)}: reduce it first (.sum(), .mean()) or pass a gradient of "
                                   f"that shape")
            shape, dtype = y.array.shape, y.array.dtype
            c = np.array(1, dtype).reshape(shape) if type(y.array) is ndarray else backend(y.array).ones(shape, dtype)
            c = wrap(c) if create_graph else c
        elif not isinstance(c, Variable):
            raise TypeError(f"gradients can be either Tensors or None, but got {type(c).__name__}")
        elif c.array.shape != y.array.shape:
            raise RuntimeError(f"Mismatch in shape: grad_output[{k}] has a shape of {list(c.array.shape)} and "
                               f"output[{k}] has a shape of {list(y.array.shape)}")
        elif c.array.dtype != y.array.dtype:
            c = wrap(c.array.astype(y.array.dtype)) if c.place is None else c.to(y.array.dtype)  # type: ignore[attr-defined]
        c = c if create_graph else raw(c)
        seeds[y.place] = c if y.place not in seeds else seeds[y.place] + c
    return seeds


def as_list(tensors: Tensors, n: int | None = None) -> list[Any]:
    """One tensor or several as a list; None as n times None."""
    if tensors is None:
        return [None] * (n or 0)
    return [tensors] if isinstance(tensors, Variable) or not hasattr(tensors, "__iter__") else list(tensors)


def grad(outputs: Tensors, inputs: Tensors, grad_outputs: Tensors = None, retain_graph: bool | None = None,
         create_graph: bool = False, only_inputs: bool = True, allow_unused: bool | None = None, *,
         materialize_grads: bool = False) -> Any:
    """The gradients of sum_k <outputs[k], grad_outputs[k]> with respect to each of `inputs`, as a tuple; `.grad` is
    not touched. create_graph=True: they can be differentiated again. RuntimeError if an input was not used, unless
    allow_unused (None in its place) or materialize_grads (zeros). only_inputs means nothing any more, as in PyTorch.

    >>> x = tn.tensor(3.0, requires_grad=True)
    >>> tn.autograd.grad(x * x, x)
    (tensor(6.),)
    """
    if not only_inputs:
        warnings.warn("only_inputs argument is deprecated and is ignored now (defaults to True). To accumulate "
                      "gradient for other parts of the graph, please use autograd.backward.", FutureWarning, 2)
    outs, ins = as_list(outputs), as_list(inputs)
    allow_unused = materialize_grads if allow_unused is None else allow_unused
    if materialize_grads and not allow_unused:
        raise ValueError("Expected allow_unused to be True or not passed when materialize_grads=True, but got: False.")
    for k, x in enumerate(ins):
        if not isinstance(x, Variable) or x.refresh() is None:
            raise RuntimeError(f"One of the differentiated Tensors does not require grad: inputs[{k}]")
    retain = create_graph if retain_graph is None else retain_graph
    seeds = seed(outs, as_list(grad_outputs, len(outs)), create_graph)
    found = walk(seeds, {x.place for x in ins}, create_graph, retain)
    result: list[Any] = []
    for k, x in enumerate(ins):
        g = found.get(x.place)
        if g is None and not allow_unused:
            raise RuntimeError(f"One of the differentiated Tensors appears to not have been used in the graph: "
                               f"inputs[{k}]. Set allow_unused=True if this is the desired behavior (its gradient is "
                               f"then None).")
        if g is None and materialize_grads:
            g = backend(x.array).zeros_like(x.array)
        result.append(g if g is None or isinstance(g, Variable) else wrap(settle(g)))
    return tuple(result)


def backward(tensors: Tensors, grad_tensors: Tensors = None, retain_graph: bool | None = None,
             create_graph: bool = False, inputs: Tensors = None) -> None:
    """Add the gradient of sum_k <tensors[k], grad_tensors[k]> to `.grad` of every leaf it depends on, or of `inputs`
    alone. What the graph saved is freed on the way unless retain_graph.

    >>> x = tn.tensor([1.0, 2.0], requires_grad=True)
    >>> tn.autograd.backward((x * x).sum()); x.grad
    tensor([2., 4.])
    """
    outs = as_list(tensors)
    retain = create_graph if retain_graph is None else retain_graph
    seeds = seed(outs, as_list(grad_tensors, len(outs)), create_graph)
    if inputs is None:
        walk(seeds, None, create_graph, retain)
        return
    chosen = as_list(inputs)
    if not chosen:
        raise RuntimeError("`inputs` argument to `backward()` cannot be empty.")
    for x in chosen:
        if x.refresh() is None:
            raise RuntimeError("One of the differentiated Tensors does not require grad")
    found = walk(seeds, {x.place for x in chosen}, create_graph, retain)
    for x in chosen:
        if x.place in found:
            if type(x.place) is not Leaf:
                raise RuntimeError("backward(inputs=...) fills .grad of leaves: for other tensors use autograd.grad")
            receive(x.place, found[x.place], False)
