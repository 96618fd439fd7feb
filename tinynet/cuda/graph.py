"""`tn.cuda.Graph`: a whole training step recorded once as a CUDA graph, and replayed.

A small network computes on a GPU for less time than Python takes to ask for it. A CUDA graph is all that was asked for,
recorded as one: to replay it is one command, and the GPU is never without work. What is recorded are commands with
their addresses and numbers, not Python: so a recorded step keeps its memory, and what must change from step to step is
read there (`nvidia/recording.py`).
"""
from __future__ import annotations

import functools
import gc
import re
import threading
import traceback
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from typing import Any, NamedTuple

from tinynet import kernels
from tinynet.autograd import engine
from tinynet.autograd.modes import modes
from tinynet.autograd.writes import owner, writes
from tinynet.device import device_of, is_array
from tinynet.nvidia import library, memory, recording
from tinynet.nvidia.recording import Refused, Tape
from tinynet.ops._primitive import Primitive
from tinynet.ops._watch import replaced, watched
from tinynet.optim.optimizer import Optimizer
from tinynet.tensor import Tensor

WARM_UP = 2  # steps: the first compiles and makes the optimizer's state, the second is as all that follow
SENT = ("values go from the processor to the GPU there, and would be the same at each replay: give them to the step as "
        "an argument, a tensor on the GPU")


class Form(NamedTuple):
    """What of a tensor a recording is made for."""

    dtype: Any
    shape: tuple[int, ...]
    device: Any
    tracked: bool

    def __repr__(self) -> str:
        return f"a tensor of {self.dtype}{list(self.shape)} on {self.device}" + ", with a gradient" * self.tracked


class Graph:
    """step = Graph(fn), or @Graph above it: step(*args) does what fn(*args) does, on the GPU, without Python's share of
    the time. The first two calls run fn as it is; the third records it; from then on the recording is replayed on
    copies of the tensors in args. A step of training may be recorded whole: zero_grad(), forward, backward(), and
    step() of Adam, AdamW or SGD. Learning rates may change between calls, Adam's t and dropout's masks go on as ever.
    What fn returns comes back as copies without history.

    Python in fn is not run any more. RuntimeError, with the line and the reason, for what cannot be recorded: item(),
    print() and conditions on values, results whose shape depends on values, tensors that come from the CPU or go
    there, other optimizers; and for calls that do not fit the recording: other shapes, dtypes or numbers in args (make
    a Graph for each shape, and give loaders drop_last=True), other options of the optimizer, parameters that were
    moved. model.eval() and the like are not seen: make another Graph.

    >>> if tn.cuda.is_available():
    ...     w = tn.ones(2, device="cuda", requires_grad=True)
    ...     optimizer = tn.optim.SGD([w], lr=0.1)
    ...     @tn.cuda.Graph
    ...     def step(x):
    ...         optimizer.zero_grad()
    ...         loss = (w * x).sum()
    ...         loss.backward()
    ...         optimizer.step()
    ...         return loss
    ...     losses = [step(tn.ones(2, device="cuda")).item() for _ in range(5)]
    """

    def __init__(self, fn: Callable[..., Any]) -> None:
        library.check(None)
        if not callable(fn):
            raise TypeError(f"Graph(fn): fn must be a function, got {type(fn).__name__}")
        self.fn, self._calls = fn, 0
        self._form: Any = None
        self._recording: _Recording | None = None
        self._side: _Side | None = None
        functools.update_wrapper(self, fn)

    def __repr__(self) -> str:
        state = "recorded" if self._recording else "not recorded yet"
        return f"Graph({getattr(self.fn, '__name__', self.fn)}, {state})"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if recording.now.tape is not None:
            raise Refused("it calls another Graph")
        given: list[Tensor] = []
        form = {k: formed(v, given) for k, v in (*enumerate(args), *kwargs.items())}
        if self._form is None:
            check_arguments(form, given)
        elif form != self._form:
            raise RuntimeError(self._misfit(form))
        xp = library.cupy()
        with given[0].array.device if given else nullcontext():
            self._side = self._side or _Side(xp)
            if self._calls < WARM_UP:
                with self._side.used():
                    out = mapped(self.fn(*args, **kwargs), lambda t: t.detach())
            else:
                self._recording = self._recording or self._recorded(xp, args, kwargs, given)
                out = self._recording.replay(given)
        self._form, self._calls = form, self._calls + 1
        return out

    def _recorded(self, xp: Any, args: Any, kwargs: Any, given: list[Tensor]) -> _Recording:
        try:
            return _Recording(xp, self._side, self.fn, args, kwargs, given)
        except Exception as problem:
            reason = reason_of(problem)
            if reason is None:
                raise
            name, line = getattr(self.fn, "__name__", "the step"), line_of(problem, xp)
            raise RuntimeError(f"{name} cannot be recorded as a CUDA graph: {reason}{line}") from problem

    def _misfit(self, form: dict[Any, Any]) -> str:
        if form.keys() != self._form.keys():
            return f"the step was first called with arguments {[*self._form]}, and now with {[*form]}"
        name = next(k for k in form if form[k] != self._form[k])
        return (f"argument {name!r} was {self._form[name]} when the step was first called, and is {form[name]}: what "
                "is recorded is for the one; make another Graph for the other (a last batch that is smaller: "
                "drop_last=True)")


# ---- arguments and results
def formed(x: Any, found: list[Tensor]) -> Any:
    """x with a Form in place of each tensor, which goes to `found`."""
    if isinstance(x, Tensor):
        found.append(x)
        return Form(x.array.dtype, x.array.shape, device_of(x.array), x.requires_grad)
    if isinstance(x, dict):
        return {k: formed(v, found) for k, v in x.items()}
    if isinstance(x, (tuple, list)):
        return [formed(v, found) for v in x]
    if is_array(x):
        raise RuntimeError("an array was given to a step that is to be recorded: give tn.from_numpy(x).cuda()")
    return x


def mapped(x: Any, each: Callable[[Tensor], Any]) -> Any:
    """x with each(t) in place of each tensor."""
    if isinstance(x, Tensor):
        return each(x)
    if isinstance(x, dict):
        return {k: mapped(v, each) for k, v in x.items()}
    if isinstance(x, (tuple, list)):
        parts = [mapped(v, each) for v in x]
        return type(x)(*parts) if hasattr(x, "_fields") else type(x)(parts)
    return x


def check_arguments(form: dict[Any, Any], given: list[Tensor]) -> None:
    """RuntimeError for tensors that cannot be inputs of a recorded step."""
    places = {str(device_of(t.array)) for t in given}
    if "cpu" in places:
        raise RuntimeError(f"a recorded step takes tensors on a GPU, got {[*form.values()]}: give x.cuda()")
    if len(places) > 1:
        raise RuntimeError(f"a recorded step takes tensors on one GPU, got some on {' and '.join(sorted(places))}")
    if any(t.requires_grad for t in given):
        raise RuntimeError("an argument of a recorded step must not require a gradient, which would go to the copy "
                           "that the step works on: give x.detach(), or let fn use the parameter itself")


# ---- what a recording cannot hold
def reason_of(problem: Exception) -> str | None:
    """Why a step cannot be recorded, if that is what the problem says."""
    text = str(problem)
    if isinstance(problem, Refused):
        return text
    if refused := re.search(r"calling (\w+) API during stream capture", text):
        if refused[1] == "cuBLAS":
            return ("a product that our own kernels do not take (they take float32 matrices) is cuBLAS's, which CuPy "
                    "does not record")
        return f"it is computed by NVIDIA's {refused[1]}, which CuPy does not record"
    if isinstance(problem, RuntimeError) and ("StreamCapture" in text or "stream is capturing" in text):
        return ("the processor waits for a value there: item(), print(), a condition, sort(), or a result whose shape "
                "depends on values, as that of nonzero() and x[mask]")
    return None


def line_of(problem: Exception, xp: Any) -> str:
    """The innermost of the user's own lines on the way to the problem, in brackets."""
    ours = {"tinynet", "numpy", "contextlib", "functools", xp.__name__.partition(".")[0]}
    found = ""
    for frame, number in traceback.walk_tb(problem.__traceback__):
        if str(frame.f_globals.get("__name__")).partition(".")[0] not in ours:
            summary = traceback.FrameSummary(frame.f_code.co_filename, number, frame.f_code.co_name)
            found = f" ({summary.filename}:{number}: {summary.line})"
    return found


def on_the_gpu(primitive: Primitive, forward: Callable[..., Any]) -> Callable[..., Any]:
    """The forward of a primitive, for arrays on a GPU alone: a recording would not know of the others."""
    def checked(xp: Any, *args: Any, **options: Any) -> Any:
        if xp.__name__ == "numpy":
            raise Refused(SENT if primitive.name == "to_device" else f"{primitive.name} is computed on the CPU")
        return forward(xp, *args, **options)

    return checked


# ---- the stream and the memory of a graph
class _Side:
    """A stream of the graph's own, as recording asks for, and a pool of memory that nobody else gets anything from: a
    recording writes to the same addresses for ever."""

    def __init__(self, xp: Any) -> None:
        self.xp, self.stream, self.pool = xp, xp.cuda.Stream(non_blocking=True), xp.cuda.MemoryPool()
        self.allocate = memory.guarded(xp, self.pool.malloc)
        self.gradients: dict[Tensor, None] = {}  # the leaves that backward() gives one

    @contextmanager
    def used(self) -> Iterator[None]:
        """What is asked for goes there: after all that was asked for before, and before all that comes then."""
        here = self.xp.cuda.get_current_stream()
        self.stream.wait_event(here.record())
        try:
            with (self.stream, self.xp.cuda.using_allocator(self.allocate),
                  replaced(self.xp, "matmul", self._product(self.xp.matmul)),
                  replaced(engine, "receive", self._noted(engine.receive))):
                yield
        finally:
            here.wait_event(self.stream.record())

    def _product(self, cublas: Callable[..., Any]) -> Callable[..., Any]:
        """CuPy's matmul by our own kernel, for plain code that asks for it: cuBLAS cannot be recorded."""
        from tinynet.kernels.cuda import choice, dense  # late: not before there is a GPU

        def product(a: Any, b: Any, **options: Any) -> Any:
            if options or choice.on("cupy", choice.matrices)(self.xp, a, b) is not True:
                return cublas(a, b, **options)
            return dense.matmul(self.xp, a, b)

        return product

    def _noted(self, receive: Callable[..., None]) -> Callable[..., None]:
        thread = threading.get_ident()

        def noted(leaf: Any, g: Any, fresh: bool) -> None:
            if threading.get_ident() == thread and (tensor := leaf.tensor()) is not None:
                self.gradients[tensor] = None
            receive(leaf, g, fresh)

        return noted


@contextmanager
def refusing(xp: Any, tape: Tape, written: list[Any]) -> Iterator[None]:
    """While a step is recorded: what cannot be is refused, and what is written in place is noted."""
    thread, record, pool = threading.get_ident(), type(writes).record, xp.get_default_pinned_memory_pool()

    def transfer(size: int) -> Any:
        if threading.get_ident() == thread:
            raise Refused(SENT)
        return pool.malloc(size)

    def noted(self: Any, *arrays: Any, **where: Any) -> int:
        written.extend(weakref.ref(owner(array)) for array in arrays)
        return record(self, *arrays, **where)

    with ExitStack() as stack:
        stack.enter_context(watched(on_the_gpu))
        stack.enter_context(replaced(type(writes), "record", noted))
        xp.cuda.set_pinned_memory_allocator(transfer)  # what is sent to the GPU goes through pinned memory
        stack.callback(xp.cuda.set_pinned_memory_allocator, pool.malloc)
        recording.now.tape = tape
        stack.callback(setattr, recording.now, "tape", None)
        yield


# ---- the recording
class _Kept(NamedTuple):
    """An optimizer as it was when its step was recorded."""

    optimizer: Optimizer
    state: Any
    groups: list[dict[str, Any]]
    options: list[dict[str, Any]]
    arrays: list[tuple[Any, Any]]

    @classmethod
    def of(cls, optimizer: Optimizer) -> _Kept:
        groups = optimizer.param_groups
        return cls(optimizer, optimizer.state, groups, [_fixed(group) for group in groups],
                   [(p, p.array) for group in groups for p in group["params"]])

    def difference(self) -> str | None:
        """What is not as it was then."""
        optimizer, name = self.optimizer, type(self.optimizer).__name__
        if optimizer.state is not self.state or optimizer.param_groups is not self.groups:
            return f"{name} was given another state (load_state_dict)"
        if any(p.array is not array for p, array in self.arrays):
            return f"a parameter of {name} has other memory (moved by .to(), or given by .data)"
        if len(self.groups) != len(self.options):
            return f"{name} was given another group of parameters"
        for group, before in zip(self.groups, self.options, strict=True):
            if (now := _fixed(group)) != before:
                return f"{name} has other options: {now}, and had {before} (only lr may change)"
        return None


def _fixed(group: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in group.items() if k not in ("params", "param_names", "lr", "initial_lr")}


def _setting() -> dict[str, Any]:
    """What the calling thread computes with."""
    from tinynet.kernels.cuda import choice

    return {"gradients are recorded": modes.record is not None, "kernels": kernels._preferred,
            "precision": choice.precision}


class _Gradient(NamedTuple):
    """The gradient of a leaf. If the step does not clear it, it must be before each replay what it was before the step
    was recorded: none, or the same array, to which is added."""

    tensor: Tensor
    cleared: bool
    before: Any
    after: Any

    @classmethod
    def of(cls, tensor: Tensor, before: Any) -> _Gradient:
        after = tensor.gradient
        cleared = before is not None and (after is None or after.array is not before.array)
        return cls(tensor, cleared, None if cleared or before is None else before.array, after)


class _Recording:
    """A recorded step: the graph, the tensors that it reads and writes, and what else must be as it was."""

    def __init__(self, xp: Any, side: Any, fn: Callable[..., Any], args: Any, kwargs: Any,
                 given: list[Tensor]) -> None:
        if modes.anomaly:
            raise Refused("detect_anomaly() looks at each gradient")
        self.side, self.setting, self.tape = side, _setting(), Tape(xp)
        self.inputs = [xp.empty(t.array.shape, t.array.dtype) for t in given]
        fresh = iter(self.inputs)
        args, kwargs = mapped((args, kwargs), lambda t: Tensor(next(fresh)))
        before = {t: t.gradient for t in side.gradients}
        written: list[Any] = []
        gc.collect()
        with side.used():
            try:
                with captured(side.stream) as capture, refusing(xp, self.tape, written):
                    self.out = fn(*args, **kwargs)
                self.graph = capture[0]
                self.written = [a for ref in written if (a := ref()) is not None]
                self.optimizers = [_Kept.of(optimizer) for optimizer in self.tape.optimizers]
                self.gradients = [_Gradient.of(t, before.get(t)) for t in side.gradients]
                self._check()
            finally:  # nothing was computed yet: so the gradients are the old ones
                for t in side.gradients:
                    t.gradient = before.get(t)

    def _check(self) -> None:
        if any(a is x for a in self.written for x in self.inputs):
            raise Refused("it writes to one of its arguments, of which a recorded step has a copy: use the form that "
                          "is not in place, or return the result")
        found: list[Tensor] = []
        formed(self.out, found)
        if any(device_of(t.array).type == "cpu" for t in found):
            raise Refused("it returns a tensor of the CPU's, which would be the same at each replay")
        for optimizer, rates in self.tape.optimizers.items():
            if rates != [group["lr"] for group in optimizer.param_groups]:
                raise Refused("it changes a learning rate: do that after the step, outside")

    def replay(self, given: list[Tensor]) -> Any:
        """The step once more, for these inputs."""
        self._check_all_is_as_it_was()
        for x, t in zip(self.inputs, given, strict=True):
            x[...] = t.array
        self.tape.tell()
        self.graph.launch()
        for g in self.gradients:
            g.tensor.gradient = g.after
        writes.record(*self.written)
        return mapped(self.out, lambda t: Tensor(t.array.copy()))

    def _check_all_is_as_it_was(self) -> None:
        for stream in self.tape.streams.values():
            if stream.generator.initial_seed() != stream.seed:
                raise RuntimeError("the step was recorded with another seed: after manual_seed() make another Graph")
        if (now := _setting()) != self.setting:
            raise RuntimeError(f"the step was recorded with {self.setting}, and is called with {now}: make another "
                               "Graph")
        for kept in self.optimizers:
            if what := kept.difference():
                raise RuntimeError(f"since the step was recorded {what}: make another Graph")
        for g in self.gradients:
            found = None if g.tensor.gradient is None else g.tensor.gradient.array
            if not g.cleared and found is not g.before:
                were, are = ("cleared" if array is None else "kept" for array in (g.before, found))
                raise RuntimeError(f"the gradients were {were} before the step that was recorded, and are {are} before "
                                   "this one, or others: call zero_grad() in the step, at its beginning")


@contextmanager
def captured(stream: Any) -> Iterator[list[Any]]:
    """What is asked of the stream is not done, but recorded: a list, into which the graph comes at the end."""
    graph: list[Any] = []
    stream.begin_capture()
    try:
        yield graph
    except BaseException:
        with suppress(Exception):  # it must be ended; CUDA says that it is void, if it was CUDA that refused something
            stream.end_capture()
        raise
    graph.append(stream.end_capture())
