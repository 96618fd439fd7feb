"""gradcheck: every gradient held to the slope of the function itself.

Backward gives Jᵀc, for a random cotangent c (of mixed sign: with all ones a softmax whose rule returns zeros
would pass). Moving one element of an input a little up and down gives the same number without any rule
(slopes.py). Where the two differ (comparison.py), diagnosis.py says what kind of mistake looks like that, and
faults.py which op makes it.
"""
from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from tinynet.autograd.comparison import Comparison, second_order, tracked
from tinynet.autograd.engine import grad
from tinynet.autograd.faults import first_fault
from tinynet.autograd.report import GradcheckError, GradcheckResult
from tinynet.autograd.slopes import Ruler
from tinynet.autograd.variable import Variable, wrap
from tinynet.device import backend
from tinynet.dtypes import Array

__all__ = ["GradcheckError", "GradcheckResult", "gradcheck", "gradgradcheck"]


def gradcheck(func: Callable[..., Any], inputs: Any, *, eps: float = 1e-6, atol: float = 1e-5,
              rtol: float = 1e-3, raise_exception: bool = True, nondet_tol: float = 0.0,
              check_undefined_grad: bool = True,
              check_grad_dtypes: bool = False, fast_mode: bool = False) -> GradcheckResult:
    """Compare func's gradients with measured slopes, for every element of every input that requires grad.

    An input passes if everywhere |analytic - numeric| <= atol * min(1, its largest slope) + rtol * |numeric|,
    rounding aside. `eps` is the smallest step; wider ones are more exact and come first. `fast_mode` tries
    one random direction for each input (as is done first wherever it has over 512 elements), and single
    elements only if that fails. `nondet_tol`: how far two calls may differ. `check_undefined_grad`: also use
    one output at a time. Inputs should be float64. Returns a GradcheckResult, true if all pass; otherwise,
    unless raise_exception=False, raises GradcheckError with the worst elements, a diagnosis, and the first op
    at fault. ValueError if no input requires grad, or one is an integer or bool tensor.

    >>> x = tn.tensor([0.5, 2.0], dtype=tn.float64, requires_grad=True)
    >>> bool(tn.gradcheck(lambda x: (x * x).exp(), x))
    True
    """
    args, labels = prepare(inputs)
    check = Comparison(func, func, args, labels, Ruler(eps), atol, rtol, nondet_tol, fast_mode,
                       check_undefined_grad)
    result = check.run(name_of(func), 1)
    if check_grad_dtypes and result:
        found = grad(check.outs, check.moved, check.seeds, materialize_grads=True)
        result.problems += [f"the gradient of {labels[k]} is {g.dtype.name}, the input {args[k].dtype.name}"
                            for k, g in zip(check.wanted, found, strict=True) if g.dtype != args[k].dtype]
    return finish(result, func, args, raise_exception)


def gradgradcheck(func: Callable[..., Any], inputs: Any, grad_outputs: Any = None, *, eps: float = 1e-6,
                  atol: float = 1e-5, rtol: float = 1e-3, gen_non_contig_grad_outputs: bool = False,
                  raise_exception: bool = True, nondet_tol: float = 0.0, check_undefined_grad: bool = True,
                  check_grad_dtypes: bool = False, fast_mode: bool = False) -> GradcheckResult:
    """gradcheck of func's gradients: they are differentiated (create_graph=True) with respect to the inputs
    and to grad_outputs (random if not given), and compared with slopes of the ordinary backward. So it also
    shows where the two readings of a rule, on arrays and on tensors, differ. Arguments and result are those
    of gradcheck.

    >>> x = tn.tensor([0.5, 2.0], dtype=tn.float64, requires_grad=True)
    >>> bool(tn.autograd.gradgradcheck(lambda x: x.exp(), x))
    True
    """
    args, labels = prepare(inputs)
    seeds = [grad_outputs] if isinstance(grad_outputs, Variable) else grad_outputs and list(grad_outputs)
    check = second_order(func, args, labels, seeds, gen_non_contig_grad_outputs, Ruler(eps), atol, rtol,
                         nondet_tol, fast_mode, check_undefined_grad)
    return finish(check.run(name_of(func), 2), func, args, raise_exception)


def prepare(inputs: Any) -> tuple[list[Any], list[str]]:
    """The arguments, each in memory of its own that can be moved by elements, and what to call them."""
    args = [inputs] if isinstance(inputs, Variable) else list(inputs)
    for k, a in enumerate(args):
        if isinstance(a, Variable) and a.array.dtype.kind != "f":
            raise ValueError(
                f"gradcheck: input {k} is {a.array.dtype.name}, which has no derivative. If it should be "
                "differentiated, make it x.double().requires_grad_(); if it is an index, a label or a mask, "
                "keep it out of the inputs: gradcheck(lambda x: func(x, labels), x)")
    if not any(isinstance(a, Variable) and a.refresh() is not None for a in args):
        raise ValueError("gradcheck expects at least one input tensor to require gradient, but none of them "
                         "have requires_grad=True: make it tn.tensor(..., dtype=tn.float64, "
                         "requires_grad=True)")
    for k, a in enumerate(args):
        if not isinstance(a, Variable):
            continue
        if a.place is not None and a.array.dtype != np.float64:
            digits = -0.8 * math.log10(np.finfo(a.array.dtype).eps)
            warnings.warn(f"gradcheck: input {k} requires gradient and is not a double precision floating "
                          f"point: a slope measured in {a.array.dtype.name} has {digits:.0f} digits at best. "
                          "Use x.double(), or expect to need a larger atol and rtol.", UserWarning, 3)
        xp = backend(a.array)
        shared = any(isinstance(b, Variable) and b is not a and xp.may_share_memory(a.array, b.array)
                     for b in args[:k])
        if shared or overlaps(a.array) or not getattr(a.array.flags, "writeable", True):
            copy = wrap(xp.array(a.array)) if a.place is None else tracked(xp.array(a.array))
            args = [copy if b is a else b for b in args]
    return args, ["input" + f" {k}" * (len(args) > 1) for k in range(len(args))]


def overlaps(a: Array) -> bool:
    """Whether elements share memory, as those of an expanded array do."""
    return any(s == 0 and n > 1 for s, n in zip(a.strides, a.shape, strict=True))


def name_of(func: Any) -> str:
    """What to call func: a Function by its class."""
    if isinstance(getattr(func, "__self__", None), type):
        return str(func.__self__.__name__)
    return getattr(func, "__qualname__", None) or getattr(func, "name", None) or type(func).__name__


def finish(result: GradcheckResult, func: Any, args: list[Any], raise_exception: bool) -> GradcheckResult:
    """The result; if it failed, with the op at fault, and raised if so wished."""
    if not result:
        result.culprit = first_fault(func, args, result.order)
        if raise_exception:
            raise GradcheckError(result) from result.cause
    return result
