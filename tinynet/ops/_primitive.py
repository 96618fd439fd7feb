"""What a primitive is: a forward on raw arrays, and a rule for each differentiable argument that names what it needs.

    @primitive(elementwise=True)
    def mul(xp, a, b):
        return xp.multiply(a, b)

    mul.vjp(a=lambda g, b: g * b, b=lambda g, a: g * a)

A rule's names say all that is kept for backward: arguments (`a`), their shapes (`a_shape`), the result (`out`, or a
named output), options (`dim`), and `i`, the position in a list of arguments. The engine reads one rule two ways: on
raw arrays in an ordinary backward, on tensors under create_graph=True. So a rule uses only operators, comparisons,
.shape .ndim .dtype, .sum(axis=, keepdims=), .reshape(tuple) and other primitives, which take both.
"""
from __future__ import annotations

import inspect
import math
import types
from collections import namedtuple
from collections.abc import Callable
from typing import Any, overload

import numpy as np
from numpy import ndarray

from tinynet.autograd.engine import grad
from tinynet.autograd.fit import fit_broadcast, zeros_where_unused
from tinynet.autograd.graph import Node, Pick
from tinynet.autograd.modes import modes, set_grad_enabled
from tinynet.autograd.variable import Variable, raw, wrap
from tinynet.device import backend, beside, device_of, settle, together
from tinynet.dtypes import promote
from tinynet.errors import broadcast_error, check_dims

PRIMITIVES: dict[str, Primitive] = {}
NUMBERS = (int, float, bool, np.generic)
_NOTHING = (None, None)  # what a node of two arguments keeps when its rules name neither


class Primitive:
    """A differentiable op. Called with no tensor, it is just its forward on raw arrays."""

    def __init__(self, forward: Callable[..., Any], elementwise: bool = False, to_float: bool = False,
                 view: bool = False, outputs: str = "", hidden: int = 0, new_dim: bool = False,
                 told: bool = False, casts: bool = False) -> None:
        self.forward, self.name, self.__doc__ = forward, forward.__name__.rstrip("_"), forward.__doc__
        self.__name__, self.__module__ = self.name, forward.__module__
        self.elementwise, self.to_float, self.view, self.hidden = elementwise or to_float, to_float, view, hidden
        self.casts = casts or self.elementwise  # the forward may change the dtype: gradients are cast back
        parameters = list(inspect.signature(forward).parameters.values())[1:]
        self.params = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
        self.varargs = next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), None)
        self.most = len(self.params) if self.varargs is None else math.inf  # arguments by position
        self.options = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
        self.required = [name for name, default in self.options.items() if default is inspect.Parameter.empty]
        self.outputs = outputs.split()
        self.shown = len(self.outputs) - hidden
        self.lone = hidden > 0 and self.shown == 1  # a node's place is then that of the one output that is shown
        self.unused, self.told = [None] * hidden, told  # told: hidden outputs are handed over too, as arrays
        self.result: Any = namedtuple(self.name, self.outputs[:self.shown]) if self.shown > 1 else tuple
        self.dims = None if "dim" not in self.options else 1 if new_dim else 0
        self.written: dict[str, Callable[..., Any]] = {}  # the rules, by argument
        self.rules: list[Any] = []  # the same, by position, bound to what a node keeps
        self.needs: list[Any] = []  # by position: the arguments, shapes and outputs the rule names
        self.plans: dict[int, tuple[Any, set[int]]] = {}
        self.joint: Callable[..., Any] | None = None
        self.pure = True  # a rule's result is a new array, its g, or a view of something
        PRIMITIVES[self.name] = self

    # ---- declaring rules
    def vjp(self, **rules: Callable[..., Any]) -> None:
        """One rule for each argument: rule(g, *what it names) -> the gradient of that argument."""
        unknown = set(rules) - {*self.params, self.varargs}
        if unknown:
            raise TypeError(f"{self.name} has no argument {sorted(unknown)}")
        self.written = rules

    def vjp_all(self, rule: Callable[..., Any]) -> None:
        """One rule for all arguments at once, where they share work: rule(g, wanted, *named) -> a list of gradients."""
        self.written = {name: rule for name in (*self.params, self.varargs) if name}
        self.joint = self._bind(rule, None, "g, wanted")[0]

    def _bind(self, rule: Callable[..., Any], i: int | None, given: str) -> tuple[Any, set[tuple[str, Any]]]:
        """The rule as a function of what it is given and of what a node keeps, and so what forward must keep. For
        `lambda g, b: …` of mul(a, b): `lambda g, args, out, options: rule(g, args[1])`, and argument 1."""
        needs: set[tuple[str, Any]] = set()
        first, fetched = len(self.params), []
        position: dict[Any, Any] = {name: k for k, name in enumerate(self.params)} | {self.varargs: "rest"}
        for name in list(inspect.signature(rule).parameters)[given.count(",") + 1:]:
            bare = name.removesuffix("_shape")
            k = position.get(name, position.get(bare))
            if name in self.options:
                fetched.append(f"options[{name!r}]")
            elif name == "i":
                fetched.append(str(i))
            elif name in position:
                needs.add(("arg", k))
                fetched.append(f"args[{first}:]" if k == "rest" else f"args[{k}]")
            elif name in self.outputs:
                needs.add(("out", self.outputs.index(name)))
                fetched.append(f"out[{self.outputs.index(name)}]")
            elif name == "out":
                needs.add(("out", 0))
                fetched.append("out")
            elif bare in position:
                needs.add(("shape", k))
                fetched.append(f"[*map(shape_of, args[{first}:])]" if k == "rest" else f"shape_of(args[{k}])")
            else:
                raise TypeError(f"a rule of {self.name} asks for {name!r}: no argument, option or output of that name")
        source = f"lambda {given}, args, out, options: rule({', '.join([given, *fetched])})"
        return eval(source, {"rule": rule, "shape_of": shape_of}), needs

    def plan(self, key: int) -> tuple[Any, set[int]]:
        """What to keep when just these arguments need a gradient (key: a 1, then a bit for each argument): a list of
        kinds, 2 the array, 1 its shape, 0 nothing (None if all are kept), and the numbers of the outputs kept."""
        tracked = [bit == "1" for bit in bin(key)[3:]]
        for k in range(len(self.rules), len(tracked)):
            rule = self.written.get(self.params[k] if k < len(self.params) else self.varargs or "")
            given = "g, wanted" if self.joint else "g"
            call, needs = self._bind(rule, k - len(self.params), given) if rule else (None, None)
            self.rules.append(call)
            self.needs.append(needs)
        wanted: set[tuple[str, Any]] = set()
        for k, on in enumerate(tracked):
            if on and self.needs[k] is None:
                raise RuntimeError(f"{self.name} is not differentiable with respect to its argument {k + 1}; "
                                   f"detach() it")
            wanted |= self.needs[k] if on else set()
        names = [k if k < len(self.params) else "rest" for k in range(len(tracked))]
        kinds = [2 if ("arg", k) in wanted else 1 if ("shape", k) in wanted else 0 for k in names]
        self.plans[key] = None if all(k == 2 for k in kinds) else kinds, {k for kind, k in wanted if kind == "out"}
        return self.plans[key]

    # ---- running
    def __call__(self, *args: Any, **options: Any) -> Any:
        if len(args) > self.most or (options and not options.keys() <= self.options.keys()):
            args, options = self._sort_out(args, options)
        arrays: list[Any] = []
        places: list[Any] = []
        key, tensors, plain = 1, False, True
        away: Any = None  # an array that is not NumPy's
        for a in args:
            if isinstance(a, Variable):
                x, p, tensors = a.array, a.place if a.base is None else a.refresh(), True
                key += key + (p is not None)
            else:
                x, p = a, None
                key += key
            if type(x) is not ndarray:
                if hasattr(x, "dtype"):
                    plain = plain and x is not a
                    away = away if away is not None or isinstance(x, np.generic) else x
                elif type(x) is not float and type(x) is not int:
                    plain = False
            arrays.append(x)
            places.append(p)
        if self.dims is not None and options.get("dim") is not None:
            options["dim"] = check_dims(options["dim"], getattr(arrays[0], "ndim", 0) + self.dims)
        if self.elementwise:
            if not plain:
                self._check_operands(arrays)
            if tensors and not (plain and of_one_float(arrays)):
                arrays = promote(arrays, self.to_float)
        if away is not None:
            together(self.name, arrays)
            if any(p is not None and type(x) is ndarray for x, p in zip(arrays, places, strict=True)):
                there = device_of(away)  # what has no axes may come from the CPU, and wants its gradient there
                moved = [a.to(there) if isinstance(a, Variable) else a for a in args]  # type: ignore[attr-defined]
                return self(*moved, **options)
            arrays = [x.item() if type(x) is ndarray else x for x in arrays]
        try:
            if away is None:
                out = self.forward(np, *arrays, **options)
            else:
                with beside(away):
                    out = self.forward(backend(away), *arrays, **options)
        except (ValueError, TypeError, AttributeError) as e:
            raise self._explain(e, args, arrays, options) from None
        if not tensors:  # called by a rule on raw arrays
            return out if not self.hidden or self.told else out[0] if self.lone else out[:self.shown]
        tracked = key & (key - 1) != 0 and bool(self.written)
        record = modes.record if tracked else None
        if self.options:
            options = {**self.options, **options}
        if self.lone or type(out) is not tuple:
            several, a = (out, out[0]) if self.lone else (None, out)
            if type(a) is not ndarray:
                a = settle(a)
            result = Variable.public(a)
            if record is not None and a.dtype.kind == "f":  # a cast to integers ends the history
                kept, kept_outs = self._kept(key, arrays)
                saved: Any = a if kept_outs else None
                if several is not None and kept_outs:
                    saved = tuple([o if k in kept_outs else None for k, o in enumerate(several)])
                result.place = node = record(self, places, kept, saved, options, a.shape, a.dtype)
                if modes.anomaly:
                    node.watch(arrays, several or [a])
            if self.view:
                result.follow(args[0], (self, options, None), tracked and record is None)
            return (result, *out[1:]) if self.told else result
        results = [o if type(o) is ndarray else settle(o) for o in out]
        if record is None:
            outs = [Variable.public(a) for a in (results[:self.shown] if self.hidden else results)]
        else:
            kept, kept_outs = self._kept(key, arrays)
            saved, shapes, dtypes = [], [], []  # of all outputs
            for k, a in enumerate(results):
                saved.append(a if k in kept_outs else None)
                shapes.append(a.shape)
                dtypes.append(a.dtype)
            node = record(self, places, kept, tuple(saved), options, shapes, dtypes)
            outs = [Variable.public(a, Pick(node, k) if a.dtype.kind == "f" else None)
                    for k, a in enumerate(results[:self.shown] if self.hidden else results)]
            if modes.anomaly:
                node.watch(arrays, results)
        if self.view:
            for k, r in enumerate(outs):
                r.follow(args[0], (self, options, k), tracked and record is None)
        return self.result(*outs) if self.outputs else tuple(outs)

    def _kept(self, key: int, arrays: list[Any]) -> tuple[Any, set[int]]:
        """What the rules named of the arguments, and the numbers of the outputs that they named."""
        kinds, kept_outs = self.plans.get(key) or self.plan(key)
        if kinds is None:
            return arrays, kept_outs
        kept = arrays[:]
        for k, kind in enumerate(kinds):
            if kind != 2:
                kept[k] = shape_of(kept[k]) if kind else None
        return kept if kept_outs or 2 in kinds else tuple(kept), kept_outs

    @property
    def operator(self) -> Callable[..., Any]:
        """This op as a plain function of one or two tensors: the common case (NumPy, one dtype, no options) in a
        straight line, everything else by __call__. The same forward, the same node. (NumPy computes with its scalars
        several times faster than with arrays that have no axes; but who watches a forward, or writes one, gets arrays.)
        """
        op, plans, forward, asarray, differentiable = self, self.plans, self.forward, np.asarray, bool(self.written)

        def unary(a: Any) -> Any:
            x, p = a.array, a.place
            if type(x) is not ndarray or a.base is not None or x.dtype.kind != "f":
                return op(a)
            record = modes.record if p is not None and differentiable else None
            if record is not None and record is not Node:
                return op(a)
            out = op.forward(np, x) if x.ndim or op.forward is not forward else forward(np, x[()])
            out = out if type(out) is ndarray else asarray(out)
            if record is None:
                return Variable.public(out)
            kinds, kept_outs = plans.get(3) or op.plan(3)
            return Variable.public(out, Node(op, (p,), [x] if kinds is None else [None] if kept_outs else (x.shape,),
                                    out if kept_outs else None, op.options, out.shape, out.dtype))

        def binary(a: Any, b: Any) -> Any:
            x, p, q = a.array, a.place, None
            if isinstance(b, Variable):
                y, q = b.array, b.place
                if b.base is not None or type(y) is not ndarray or x.dtype is not y.dtype:
                    return op(a, b)
            elif type(b) is float or type(b) is int:
                y = b
            else:
                return op(a, b) if isinstance(b, NUMBERS) or hasattr(b, "dtype") else NotImplemented
            if type(x) is not ndarray or a.base is not None or x.dtype.kind != "f":
                return op(a, b)
            key = (7 if q is not None else 6) if p is not None else 5 if q is not None else 0
            record = modes.record if key and differentiable else None
            if record is not None and record is not Node:
                return op(a, b)
            try:
                if x.ndim or op.forward is not forward:
                    out = op.forward(np, x, y)
                else:
                    out = forward(np, x[()], y[()] if type(y) is ndarray else y)
            except ValueError as e:
                raise op._explain(e, (a, b), [x, y], {}) from None
            out = out if type(out) is ndarray else asarray(out)
            if record is None:
                return Variable.public(out)
            kinds, kept_outs = plans.get(key) or op.plan(key)
            args: Any = [x, y]
            if kinds is not None:
                i, j = kinds
                args = [x if i == 2 else None, y if j == 2 else None] if i == 2 or j == 2 or kept_outs else _NOTHING
            kept = out if kept_outs else None
            return Variable.public(out, Node(op, (p, q), args, kept, op.options, out.shape, out.dtype))

        chosen = unary if len(self.params) == 1 else binary
        chosen.__name__, chosen.__doc__ = self.name, self.__doc__
        return chosen

    def __get__(self, tensor: Any, owner: Any = None) -> Any:
        """As an attribute of the class Tensor a primitive is a method."""
        return self if tensor is None else types.MethodType(self, tensor)

    def __repr__(self) -> str:
        return f"<primitive {self.name}>"

    # ---- arguments given another way, and what to say when they do not fit
    def _sort_out(self, args: tuple[Any, ...], options: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Tensors by keyword to their positions, options by position to their names, NumPy's axis/keepdims to ours."""
        alias = dict(zip(("input", "other"), self.params, strict=False)) | {"axis": "dim", "keepdims": "keepdim"}
        given = {k if k in self.params or k in self.options else alias.get(k, k): v for k, v in options.items()}
        tensors = list(args[:len(self.params)]) if self.varargs is None else list(args)
        for name, value in zip(self.options, args[len(tensors):], strict=False):
            if name in given:
                raise TypeError(f"{self.name}() got multiple values for argument '{name}'")
            given[name] = value
        if len(args) > len(tensors) + len(self.options):
            most = len(tensors) + len(self.options)
            raise TypeError(f"{self.name}() takes at most {most} arguments, got {len(args)}")
        for name in self.params[len(tensors):]:
            if name in given:
                tensors.append(given.pop(name))
            elif any(later in given for later in self.params):
                raise TypeError(f"{self.name}() missing argument '{name}'")
        unknown = [k for k in given if k not in self.options]
        if unknown:
            raise TypeError(f"{self.name}() got an unexpected keyword argument '{unknown[0]}'; it takes "
                            f"{', '.join([*map(spoken, self.params), *self.options]) or 'none'}")
        return tuple(tensors), given

    def _check_operands(self, arrays: list[Any]) -> None:
        for a, name in zip(arrays, self.params, strict=False):
            if not isinstance(a, NUMBERS) and not hasattr(a, "dtype"):
                raise TypeError(f"{self.name}(): argument '{spoken(name)}' must be Tensor or number, not "
                                f"{type(a).__name__}")

    def _explain(self, error: Exception, args: Any, arrays: list[Any], options: dict[str, Any]) -> Exception:
        """The exception to raise for one that NumPy or Python raised: what the user gave wrong, not where it broke."""
        missing = [name for name in self.params[len(args):] if f"'{name}'" in str(error)]
        missing += [name for name in self.required if name not in options]
        if missing:
            return TypeError(f"{self.name}() missing required argument: '{spoken(missing[0])}'")
        if not self.elementwise:
            first = args[0] if args else None
            known = isinstance(first, (Variable, *NUMBERS)) or hasattr(first, "dtype")
            return error if known else TypeError(
                f"{self.name}(): argument 'input' must be Tensor, not {type(first).__name__}")
        shapes = [a.shape for a in arrays if hasattr(a, "dtype")]
        try:
            np.broadcast_shapes(*shapes)
        except ValueError:
            return broadcast_error(self.name, shapes)
        if isinstance(error, TypeError):
            dtypes = " and ".join(a.dtype.name for a in arrays if hasattr(a, "dtype"))
            remedy = ": use ~, ^ or logical_not(), or convert with .int()" if "bool" in dtypes else ""
            return RuntimeError(f"{self.name} is not supported for {dtypes}{remedy}")
        return RuntimeError(f"{self.name}: {error}")

    # ---- gradients coming back
    def fill(self, parts: list[Any], node: Node) -> list[Any]:
        """The gradients of all outputs, zero where nobody used one."""
        return zeros_where_unused(parts, node, len(parts) - self.hidden)

    def fit(self, g: Any, place: Any) -> Any:
        """The one check of every gradient. Elementwise ops broadcast and promote, so theirs is summed and cast back."""
        if self.elementwise or (self.casts and g.shape == place.shape):
            return fit_broadcast(g, place)
        if g.shape == place.shape and g.dtype == place.dtype:
            return g
        raise RuntimeError(f"a rule of {self.name} gave {g.dtype}{list(g.shape)} for an input "
                           f"{place.dtype}{list(place.shape)}")


@overload
def primitive(forward: Callable[..., Any], **how: Any) -> Primitive: ...


@overload
def primitive(**how: Any) -> Callable[[Callable[..., Any]], Primitive]: ...


def primitive(forward: Callable[..., Any] | None = None, **how: Any) -> Any:
    """Make a Primitive of a forward: `@primitive` or `@primitive(elementwise=True, …)`."""
    return Primitive(forward, **how) if forward else lambda f: Primitive(f, **how)


def of_one_float(arrays: list[Any]) -> bool:
    """Whether those that are arrays have one dtype, which is a float's."""
    first: Any = None
    for x in arrays:
        dtype = getattr(x, "dtype", first)
        if dtype is not first and (first is not None or dtype.kind != "f"):
            return False
        first = dtype
    return True


def spoken(param: str) -> str:
    """The name by which users know an argument: a and b are input and other."""
    return {"a": "input", "b": "other"}.get(param, param)


def shape_of(a: Any) -> Any:
    """The shape of an array or number; a shape that was kept in an array's stead is itself."""
    return a if type(a) is tuple else getattr(a, "shape", ())


def from_plain(plain: Callable[..., Any]) -> Callable[..., Any]:
    """A rule for all arguments by differentiating a plain composition: for what is seldom run, as the derivative of a
    fused backward."""
    def rule(g: Any, wanted: list[bool], *args: Any) -> list[Any]:
        create_graph = isinstance(g, Variable)
        with set_grad_enabled(True):  # a fresh node for each: stop there, though one argument may depend on another
            mine = [alias(a) if create_graph and a.place else leaf(raw(a)) for a in args]
            out = plain(*mine)
        asked = [m for m, on in zip(mine, wanted, strict=True) if on]
        found = iter(grad(out, asked, g if create_graph else wrap(g), create_graph=create_graph, allow_unused=True))
        grads = [next(found) if on else None for on in wanted]
        return grads if create_graph else [f if f is None else f.array for f in grads]

    names = ("g_", "wanted", *inspect.signature(plain).parameters)
    rule.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(n, inspect.Parameter.POSITIONAL_OR_KEYWORD) for n in names])
    return rule


def leaf(a: Any) -> Any:
    """A tensor of this array that requires grad, if it can."""
    t = wrap(a)
    if a.dtype.kind == "f":
        t.track()
    return t


@primitive
def alias(xp: Any, a: Any) -> Any:
    """The same array at a new place of the graph."""
    return a


alias.vjp(a=lambda g: g)
