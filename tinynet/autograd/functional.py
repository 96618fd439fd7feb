"""Whole derivatives of functions: vjp = vᵀJ, jvp = Jv, jacobian = J, hessian = the jacobian's."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tinynet.autograd.engine import grad
from tinynet.autograd.modes import enable_grad, is_grad_enabled, set_grad_enabled
from tinynet.autograd.variable import Variable, wrap
from tinynet.device import backend

__all__ = ["hessian", "jacobian", "jvp", "vjp"]


def vjp(func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False,
        strict: bool = False) -> Any:
    """(func(*inputs), vᵀJ): the gradients of the inputs for the cotangent v, shaped as the output (it may be
    left out if that is a single number).

    >>> tn.autograd.functional.vjp(lambda x: x * x, tn.tensor([1.0, 2.0]), tn.tensor([1.0, 10.0]))
    (tensor([1., 4.]), tensor([ 2., 40.]))
    """
    with enable_grad():
        xs, is_tuple = start(inputs, "inputs", "vjp", create_graph)
        outs, outs_tuple = results(func, xs, "vjp", strict)
        vs = directions(v, outs, outs_tuple, create_graph, "returns", "vjp")
    with set_grad_enabled(create_graph or is_grad_enabled()):
        grads = fill(gradients(outs, xs, vs, create_graph), xs, strict, create_graph,
                     "The output of the user-provided function is")
    return finish(outs, outs_tuple, create_graph), finish(grads, is_tuple, create_graph)


def jvp(func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False,
        strict: bool = False) -> Any:
    """(func(*inputs), Jv): how the outputs change when the inputs move along v. vᵀJ is linear in v, so Jv is
    its derivative with respect to v: two backwards make a forward.

    >>> tn.autograd.functional.jvp(lambda x: x * x, tn.tensor([1.0, 2.0]), tn.tensor([1.0, 10.0]))
    (tensor([1., 4.]), tensor([ 2., 40.]))
    """
    with enable_grad():
        xs, is_tuple = start(inputs, "inputs", "jvp", create_graph)
        vs = directions(v, xs, is_tuple, create_graph, "receives", "jvp")
        outs, outs_tuple = results(func, xs, "jvp", strict)
        seeds = [zeros(o) for o in outs]
        for s in seeds:
            s.track()
        grads = gradients(outs, xs, seeds, True)
        if strict:
            demand(grads, "The gradient with respect to input {} is independent of the inputs of the "
                          "user-provided function.")
    with set_grad_enabled(create_graph or is_grad_enabled()):
        moved = fill(gradients(grads, seeds, vs, create_graph), outs, strict, create_graph,
                     "The gradient with respect to the input is")
    return finish(outs, outs_tuple, create_graph), finish(moved, outs_tuple, create_graph)


def jacobian(func: Callable[..., Any], inputs: Any, create_graph: bool = False, strict: bool = False) -> Any:
    """J, of shape (*output.shape, *input.shape), one backward an output element; a tuple over inputs, over
    outputs, or of tuples J[output][input], where func takes or returns tuples. strict: RuntimeError where an
    output does not depend on an input (otherwise zeros).

    >>> tn.autograd.functional.jacobian(lambda x: x * x, tn.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    with enable_grad():
        xs, is_tuple = start(inputs, "inputs", "jacobian", create_graph)
        outs, outs_tuple = results(func, xs, "jacobian", strict)
        rows: list[tuple[Any, ...]] = []
        for n, out in enumerate(outs):
            flat, parts = out.reshape(-1), []
            for k in range(out.numel()):
                row = gradients([flat[k]], xs, [None], create_graph, retain_graph=True)
                what = f"Output {n} of the user-provided function is"
                parts.append(fill(row, xs, strict, create_graph, what))
            rows.append(tuple(joined([p[k] for p in parts], out, x) for k, x in enumerate(xs)))
    found = tuple(finish(row, is_tuple, create_graph) for row in rows)
    return found if outs_tuple else found[0]


def hessian(func: Callable[..., Any], inputs: Any, create_graph: bool = False, strict: bool = False) -> Any:
    """The second derivatives of a function with a single number as its result, of shape (*input.shape,
    *input.shape); for several inputs a tuple of tuples H[i][j].

    >>> tn.autograd.functional.hessian(lambda x: (x * x * x).sum(), tn.tensor([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    def single(*xs: Any) -> Any:
        (out, *others), is_tuple = results(func, xs, "hessian", strict)
        if is_tuple or others:
            raise RuntimeError("The function given to hessian should return a single Tensor")
        if out.array.size != 1:
            raise RuntimeError("The Tensor returned by the function given to hessian should contain a single element")
        return out.reshape(())

    def slope(*xs: Any) -> Any:
        found = jacobian(single, xs, create_graph=True)
        if strict:
            demand(found, "While computing the hessian, found that the jacobian of the user-provided function with "
                          "respect to input {} is independent of the input.")
        return found

    found = jacobian(slope, inputs, create_graph=create_graph, strict=strict)
    return found if isinstance(inputs, tuple) else found[0]


def joined(rows: list[Any], out: Any, x: Any) -> Any:
    """The gradients of the elements of out with respect to x, in one tensor."""
    whole = wrap(backend(x.array).zeros((len(rows), *x.shape), x.array.dtype))
    for k, row in enumerate(rows):
        whole[k] = row
    return whole.reshape((*out.shape, *x.shape))


# ---- inputs, outputs and the structure of results
def start(tensors: Any, what: str, name: str, create_graph: bool,
          track: bool = True) -> tuple[list[Any], bool]:
    """Fresh tensors of the same values: on the graph of those given if create_graph, else leaves."""
    is_tuple = isinstance(tensors, tuple)
    given = list(tensors) if is_tuple else [tensors]
    for t in given:
        if not isinstance(t, Variable):
            raise TypeError(f"The {what} given to {name} must be either a Tensor or a tuple of Tensors but "
                            f"got {type(t)}.")
    return [fresh(t, create_graph, track) for t in given], is_tuple


def fresh(t: Any, create_graph: bool, track: bool) -> Any:
    """The same values at a place of their own in the graph, or else as a leaf."""
    if create_graph and t.refresh() is not None:
        return t.reshape(t.shape)  # a place of its own, so that a t captured by func is another tensor
    new = wrap(t.array)
    if track:
        new.track()
    return new


def results(func: Callable[..., Any], xs: Sequence[Any], name: str, strict: bool) -> tuple[list[Any], bool]:
    """What func makes of xs as a list, and whether it was a tuple. TypeError for what is no tensor."""
    out = func(*xs)
    is_tuple = isinstance(out, tuple)
    outs = list(out) if is_tuple else [out]
    for o in outs:
        if not isinstance(o, Variable):
            raise TypeError(f"The outputs of the user-provided function given to {name} must be either a "
                            f"Tensor or a tuple of Tensors but got {type(o)}.")
    if strict:
        demand(outs, "Output {} of the user-provided function does not require gradients. The outputs must "
                     "be computed in a differentiable manner from the input when running in strict mode.")
    return outs, is_tuple


def directions(v: Any, like: Sequence[Any], is_tuple: bool, create_graph: bool, verb: str,
               name: str) -> list[Any]:
    """v, checked against what it multiplies; a one where there is a single number."""
    if v is None:
        if len(like) != 1 or like[0].array.size != 1:
            raise RuntimeError(f"The vector v can only be None if the user-provided function {verb} a single "
                               "Tensor with a single element.")
        return [wrap(backend(like[0].array).ones_like(like[0].array))]
    vs, _ = start(v, "v", name, create_graph, track=False)
    if len(vs) != len(like):
        raise RuntimeError(f"v is a tuple of invalid length: should be {len(like)} but got {len(vs)}."
                           if is_tuple else "The given v should contain a single Tensor.")
    for k, (one, other) in enumerate(zip(vs, like, strict=True)):
        if one.shape != other.shape:
            entry = f"Entry {k} in " if is_tuple else ""
            raise RuntimeError(f"{entry}v has invalid size: should be {list(other.shape)} but got "
                               f"{list(one.shape)}.")
    return vs


def gradients(outs: Sequence[Any], xs: Sequence[Any], seeds: Sequence[Any], create_graph: bool,
              retain_graph: bool | None = None) -> Sequence[Any]:
    """grad for those outputs that exist and require grad; None where an x is not used."""
    pairs = [(o, s) for o, s in zip(outs, seeds, strict=True) if o is not None and o.refresh() is not None]
    if not pairs:
        return [None] * len(xs)
    live, cotangents = zip(*pairs, strict=True)
    found: Sequence[Any] = grad(live, xs, cotangents, retain_graph, create_graph, allow_unused=True)
    return found


def fill(grads: Sequence[Any], like: Sequence[Any], strict: bool, create_graph: bool, what: str) -> list[Any]:
    """Zeros for what does not depend on an input; in strict mode an error."""
    for k, g in enumerate(grads):
        if strict and g is None:
            raise RuntimeError(f"{what} independent of input {k}. This is not allowed in strict mode.")
        if strict and create_graph and g.refresh() is None:
            raise RuntimeError(f"The jacobian of the user-provided function is independent of input {k}. "
                               f"This is not allowed in strict mode when create_graph=True.")
    return [zeros(x) if g is None else g for g, x in zip(grads, like, strict=True)]


def demand(tensors: Sequence[Any], message: str) -> None:
    """RuntimeError unless all tensors require grad."""
    for k, t in enumerate(tensors):
        if t is None:
            message = "The output of the user-provided function is independent of input {}."
        if t is None or t.refresh() is None:
            raise RuntimeError(message.format(k) + " This is not allowed in strict mode.")


def zeros(like: Any) -> Any:
    """Zeros, in the shape and dtype of a tensor."""
    return wrap(backend(like.array).zeros_like(like.array))


def finish(tensors: Sequence[Any], is_tuple: bool, create_graph: bool) -> Any:
    """A tuple where one was given, without history unless it is wanted."""
    done = tuple(t if create_graph else wrap(t.array) for t in tensors)
    return done if is_tuple else done[0]
