"""What properties are made of: `close`, `require`, `slope` and `rule` raise Wrong, which says what was expected."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

DIGITS = {"float16": 2e-2, "float32": 2e-4, "float64": 1e-7}
HIDDEN = object()


class Wrong(AssertionError):
    """An answer is wrong: what was expected, what came, and what may help."""

    def __init__(self, what: str = "", expected: Any = HIDDEN, got: Any = HIDDEN, hint: str = "") -> None:
        super().__init__(what or hint)
        self.what, self.expected, self.got, self.hint = what, expected, got, hint


class Unable(Wrong):
    """Nothing is known of the answer: what would check it is missing here."""


def require(condition: Any, what: str, hint: str = "", *, expected: Any = HIDDEN, got: Any = HIDDEN) -> None:
    """Raise Wrong unless the condition is true. `what`: a sentence that says what is wrong."""
    if not condition:
        raise Wrong(what, expected, got, hint)


def close(got: Any, expected: Any, hint: str = "", *, what: str = "", rtol: float | None = None,
          atol: float | None = None) -> None:
    """Raise Wrong unless got equals expected: numbers, arrays and tensors up to rounding in the poorer dtype (a list
    is as good as an array), tuples, lists and dicts by their parts, anything else exactly."""
    if isinstance(expected, dict):
        require(isinstance(got, dict) and got.keys() == expected.keys(), what or "other keys are expected", hint,
                expected=sorted(expected), got=sorted(got) if isinstance(got, dict) else got)
        for key in expected:
            close(got[key], expected[key], hint, what=what or f"entry {key!r} is wrong", rtol=rtol, atol=atol)
        return
    if isinstance(expected, tuple) and expected and all(type(n) is int for n in expected):  # a shape, or places
        same = np.ndim(values(got)) == 1 and list(got) == list(expected)
        require(same, what, hint, expected=expected, got=got)
        return
    if isinstance(expected, tuple) or (isinstance(expected, list) and not _numeric(expected)):
        several = isinstance(got, tuple | list) or np.ndim(values(got)) > 0
        require(several and len(got) == len(expected), what or f"{len(expected)} results are expected", hint,
                expected=expected, got=got)
        for k, (g, e) in enumerate(zip(got, expected, strict=True)):
            close(g, e, hint, what=what or f"result number {k + 1} is wrong", rtol=rtol, atol=atol)
        return
    e = values(expected)
    if e.dtype.kind not in "fiub":
        require(type(got) is type(expected) and got == expected, what, hint, expected=expected, got=got)
        return
    g = values(got)
    if g.dtype.kind not in "fiub":
        raise Wrong(what or f"a {_kind(expected)} is expected, not {_kind(got)}", expected, got, hint)
    require(g.shape == e.shape, what or f"the shape should be {e.shape}, not {g.shape}", hint or _shape_hint(g, e),
            expected=expected, got=got)
    poorer = max(DIGITS.get(x.dtype.name, 0.0) for x in (g, e))
    tolerance = poorer if rtol is None else rtol
    scale = np.abs(e[np.isfinite(e)].astype(float)).max(initial=0.0)
    least = poorer * min(1.0, scale) if atol is None else atol
    if not np.allclose(g.astype(float), e.astype(float), rtol=tolerance, atol=max(least, 1e-12), equal_nan=True):
        raise Wrong(what, expected, got, "\n".join(filter(None, (hint, looks_like(g, e)))))


def values(a: Any) -> np.ndarray:
    """The NumPy array of a tensor, number, list or array; of dtype object for anything else."""
    a = a.detach().numpy() if hasattr(a, "detach") else a
    try:
        return np.asarray(a)
    except ValueError:  # lists of unequal lengths
        return np.asarray(None)


def _numeric(sequence: Any) -> bool:
    return len(sequence) > 0 and all(isinstance(n, int | float | bool | np.generic) for n in sequence)


def _kind(a: Any) -> str:
    return {"ndarray": "array", "Tensor": "tensor", "NoneType": "None"}.get(type(a).__name__, type(a).__name__)


def _shape_hint(g: np.ndarray, e: np.ndarray) -> str:
    if g.ndim > 1 and g.shape == e.shape[::-1]:
        return "It looks transposed."
    if g.ndim < e.ndim and g.size * max(e.shape, default=1) >= e.size and 1 in e.shape:
        return "An axis is lost: a sum or mean with keepdims=True keeps it, with length 1."
    if g.ndim > e.ndim == 0:
        return "One number is expected: a sum or mean is missing, or is over one axis only."
    return ""


def looks_like(g: np.ndarray, e: np.ndarray) -> str:
    """What kind of mistake gives g where e is right; "" if none is known."""
    g, e = g.astype(float), e.astype(float)
    bad = ~np.isfinite(g) & np.isfinite(e)
    if bad.any():
        return "Some numbers are nan or inf: look for a division by 0, log(0), or exp of something large."
    large = np.abs(e) > 1e-6 * max(float(np.abs(e).max(initial=0)), 1e-300)
    if e.ndim > 1 and not np.allclose(e, e.T if e.shape == e.T.shape else 0) and e.shape == e.T.shape \
            and np.allclose(g, e.T):
        return "It looks transposed."
    if not large.any() or not np.isfinite(e).all():
        return ""
    ratio = float(np.median(g[large] / e[large]))
    if np.allclose(g, ratio * e) and not np.isclose(ratio, (0, 1), rtol=1e-3).any() and large.sum() > 1:
        if np.isclose(ratio, -1):
            return "The sign is flipped."
        return f"Every number is {ratio:.4g} times the right one: a factor is missing or one too many."
    return ""


def slope(function: Callable[..., Any], inputs: Sequence[Any], hint: str = "", *, second: bool = False) -> None:
    """Raise Wrong unless gradcheck proves the gradient of `function` (of tensors) at these arrays, in float64; with
    gradcheck's diagnosis of what kind of mistake it looks like."""
    from tinynet.autograd import gradcheck, gradgradcheck
    from tinynet.tensor import Tensor

    tensors = [Tensor(np.array(values(a), np.float64)).requires_grad_() for a in inputs]
    result = (gradgradcheck if second else gradcheck)(function, tensors, raise_exception=False)
    if result.cause is not None:
        raise result.cause
    if not result:
        raise Wrong(_told(result), hint=hint)


def _told(result: Any) -> str:
    """What of gradcheck's report helps here: one input that is wrong, its worst elements, and the diagnosis."""
    failed = [c for c in result.inputs if c.status == "FAIL"]
    if not failed:
        return "\n".join(result.problems)
    one = next((c for c in failed if c.diagnosis), failed[0])
    which = "the gradient" if len(result.inputs) == 1 else f"the gradient of argument {one.label.split()[-1]} (from 0)"
    lines = [f"{which} is not the slope at {one.wrong} of {one.looked_at} elements. The worst of them, by your rule "
             "(analytic) and measured (numeric):", *one.details()]
    others = ", ".join(c.label.split()[-1] for c in failed if c is not one)
    lines += [f"Also wrong, of the arguments: {others}"] * bool(others)
    lines += [one.diagnosis.replace("grad_output", "g")] * bool(one.diagnosis)
    lines += [result.culprit] * bool(result.culprit and "at fault" not in result.culprit)
    return "\n".join(lines)


def rule(forward: Callable[..., Any], backward: Callable[..., Any]) -> Callable[..., Any]:
    """A function of tensors, for `slope`: computes forward(*arrays), and takes backward(g, *arrays) -> a gradient for
    each array (one, or a tuple) for its derivative. Both work on NumPy arrays."""
    from tinynet.autograd import Function
    from tinynet.tensor import Tensor

    class Rule(Function):
        @staticmethod
        def forward(ctx: Any, *tensors: Any) -> Any:
            ctx.save_for_backward(*tensors)
            return Tensor(np.asarray(forward(*[values(t) for t in tensors])))

        @staticmethod
        def backward(ctx: Any, *cotangents: Any) -> Any:
            arrays = [values(t).copy() for t in ctx.saved_tensors]
            got = backward(values(cotangents[0]).copy(), *arrays)
            got = got if isinstance(got, tuple | list) else (got,)
            require(len(got) == len(arrays), f"a gradient is expected for each of the {len(arrays)} arguments, not "
                    f"{len(got)}")
            for k, (g, a) in enumerate(zip(got, arrays, strict=True)):
                g = values(g)
                require(g.shape == a.shape, f"gradient number {k + 1} has shape {g.shape}, but what it is the gradient "
                        f"of has shape {a.shape}", "A gradient always has the shape of its argument.")
            return tuple(Tensor(np.array(values(g), np.float64)) for g in got)

    return Rule.apply
