"""autograd.Function: an op of the user's own, its backward written by hand. It becomes an ordinary Node."""
from __future__ import annotations

from typing import Any

from tinynet.autograd.engine import lift
from tinynet.autograd.fit import fit_broadcast, zeros_where_unused
from tinynet.autograd.graph import Pick, TracedNode
from tinynet.autograd.modes import modes, no_grad, set_grad_enabled
from tinynet.autograd.variable import Variable, raw, wrap


class FunctionCtx:
    """What forward leaves for backward. The graph keeps arrays and where they stand, never tensors: no cycles."""

    def __init__(self) -> None:
        self._saving: tuple[Any, ...] = ()
        self._fetch: Any = None
        self._undifferentiable: tuple[Any, ...] = ()
        self._materialize = True
        self.needs_input_grad: tuple[bool, ...] = ()

    def save_for_backward(self, *tensors: Any) -> None:
        """Keep inputs, outputs or other tensors (or None) for backward, checked against later in-place changes."""
        for t in tensors:
            if t is not None and not isinstance(t, Variable):
                raise TypeError(f"save_for_backward can only save variables, but got {type(t).__name__}; "
                                f"keep other things as attributes of ctx")
        self._saving = tensors

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """What save_for_backward kept; in a backward with create_graph, at its places in the graph."""
        return tuple(self._fetch()) if self._fetch else self._saving

    def mark_non_differentiable(self, *outputs: Any) -> None:
        """These outputs have no gradient."""
        self._undifferentiable = outputs

    def set_materialize_grads(self, value: bool) -> None:
        """False: backward gets None, not zeros, for an output nobody used."""
        self._materialize = bool(value)


class _Op:
    """What the engine asks of an op, answered by a Function's backward."""

    pure = lone = False
    rules: tuple[Any, ...] = ()

    def __init__(self, function: type[Function], ctx: FunctionCtx, places: list[Any], spots: list[Any]) -> None:
        self.name, self.function, self.ctx, self.places, self.spots = function.__name__, function, ctx, places, spots

    def fill(self, parts: list[Any], node: Any) -> list[Any]:
        """Zeros for outputs nobody used, unless the Function said it wants None."""
        return zeros_where_unused(parts, node, len(parts)) if self.ctx._materialize else parts

    def joint(self, g: list[Any], targets: Any, inputs: Any, results: Any, options: Any) -> list[Any]:
        """Call backward with tensors, and check what it returns."""
        tracked = modes.record is not None

        def fetch() -> list[Any]:
            held = {"in": inputs, "out": results}
            return [lift(held[kind][k] if kind in held else k, None) for kind, k in self.spots]

        self.ctx._fetch = fetch
        try:
            with set_grad_enabled(tracked):
                got = self.function.backward(self.ctx, *[lift(x, None) for x in g])
        finally:
            self.ctx._fetch = None
        grads = list(got) if isinstance(got, (tuple, list)) else [got]
        n = len(self.places)
        if len(grads) > n and all(x is None for x in grads[n:]):
            grads = grads[:n]
        if len(grads) != n:
            raise RuntimeError(f"function {self.name}Backward returned an incorrect number of gradients "
                               f"(expected {n}, got {len(grads)}): one for each argument of forward, None where it "
                               f"has none")
        for k, x in enumerate(grads):
            if x is not None and not isinstance(x, Variable):
                raise RuntimeError(f"function {self.name}Backward returned {type(x).__name__} at index {k}, expected a "
                                   f"Tensor or None")
        return [x if x is None or tracked else x.array for x in grads]

    def fit(self, g: Any, place: Any) -> Any:
        """A gradient of another shape or dtype than its input is an error, but for what broadcasting explains."""
        try:
            return fit_broadcast(g, place)
        except (ValueError, RuntimeError):
            k = self.places.index(place)
            raise RuntimeError(
                f"Function {self.name}Backward returned an invalid gradient at index {k} - got {list(g.shape)} but "
                f"expected shape compatible with {list(place.shape)}") from None


class Function:
    """A differentiable op written by hand: subclass it with static methods `forward(ctx, *args)` and
    `backward(ctx, *grad_outputs)`, which returns one gradient for each argument of forward; call `apply`.
    (Or `forward(*args)` and `setup_context(ctx, inputs, output)`.) A backward written with tensor ops can be
    differentiated again. RuntimeError if backward returns the wrong number or shape of gradients.

    >>> class Square(tn.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x * x
    ...     @staticmethod
    ...     def backward(ctx, g):
    ...         return 2 * g * ctx.saved_tensors[0]
    >>> x = tn.tensor(3.0, requires_grad=True)
    >>> Square.apply(x).backward(); x.grad
    tensor(6.)
    """

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """Compute the result; not recorded. Must be overridden."""
        raise NotImplementedError("You must implement the forward function for custom autograd.Function.")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Keep for backward what it needs, where forward takes no ctx."""
        raise NotImplementedError("setup_context is not implemented.")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """One gradient for each argument of forward. Must be overridden."""
        raise NotImplementedError("You must implement the backward function for custom autograd.Function.")

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Run forward, and record one node whose rule is backward."""
        ctx, record = FunctionCtx(), modes.record
        places = [a.refresh() if isinstance(a, Variable) else None for a in args]
        ctx.needs_input_grad = tuple(p is not None for p in places)
        with no_grad():
            if cls.setup_context is not Function.setup_context:
                out = cls.forward(*args)
                cls.setup_context(ctx, args, out)
            else:
                out = cls.forward(ctx, *args)
        returned = list(out) if isinstance(out, (tuple, list)) else [out]
        outs = [wrap(o.array) if any(o is a for a in args) else o for o in returned]
        if record is not None and any(ctx.needs_input_grad):
            cls._record(record, ctx, args, places, outs, returned)
        ctx._saving = ctx._undifferentiable = ()
        return tuple(outs) if isinstance(out, (tuple, list)) else outs[0]

    @classmethod
    def _record(cls, record: Any, ctx: FunctionCtx, args: Any, places: Any, outs: Any, returned: Any) -> None:
        def spot(t: Any) -> tuple[str, Any]:
            """Where a saved tensor stands: an argument, an output, or memory of its own."""
            if t is None:
                return "else", None
            for kind, tensors in (("in", args), ("out", returned)):
                for k, a in enumerate(tensors):
                    if a is t:
                        return kind, k
            return "else", t.array

        def hold(kind: str, tensors: Any) -> list[Any]:
            saved = [k for what, k in spots if what == kind]
            return [t.array if k in saved else None for k, t in enumerate(tensors)]

        spots = [spot(t) for t in ctx._saving]
        tensors = [o if isinstance(o, Variable) else None for o in outs]
        node = record(_Op(cls, ctx, places, spots), places, hold("in", args), tuple(hold("out", outs)), {},
                      [getattr(o, "shape", ()) for o in tensors], [getattr(o, "dtype", None) for o in tensors])
        if isinstance(node, TracedNode):
            node.watch(map(raw, args), map(raw, outs))
        for k, (o, r) in enumerate(zip(tensors, returned, strict=True)):
            if o is not None and o.array.dtype.kind == "f" and all(r is not u for u in ctx._undifferentiable):
                o.place = Pick(node, k)
