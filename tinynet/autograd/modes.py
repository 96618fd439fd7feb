"""What the calling thread records: nothing, nodes, or nodes that know the line that made them."""
from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable
from typing import Any

from tinynet import late
from tinynet.autograd.graph import Node, TracedNode


class _Modes(threading.local):
    """Per thread. (Not a ContextVar: notebooks run each cell in a copy of the context, and would forget a setting.)"""

    record: Any = Node  # what records an op; None under no_grad. One attribute, so one look-up an op
    anomaly = False


modes = _Modes()


class _Mode:
    """A setting of the thread, used as a context manager, as a decorator, or (some) as a plain call."""

    def __enter__(self) -> Any:
        self._before.append((modes.record, modes.anomaly))
        self._set()
        return self

    def __exit__(self, *exc: object) -> None:
        modes.record, modes.anomaly = self._before.pop()
        late.mode.at_once = modes.anomaly

    def __init__(self) -> None:
        self._before: list[Any] = []  # a stack: one object may be entered again inside itself

    def _set(self) -> None:
        raise NotImplementedError

    def _again(self) -> _Mode:
        return type(self)()

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.isgeneratorfunction(function):
            raise TypeError(f"{type(self).__name__} cannot decorate the generator {function.__name__}: its body runs "
                            f"later; write `with {type(self).__name__}():` inside it")

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with self._again():
                return function(*args, **kwargs)
        return wrapper


class _Argless(_Mode):
    """Modes without an argument may decorate with or without brackets: @no_grad and @no_grad()."""

    def __new__(cls, function: Callable[..., Any] | None = None) -> Any:
        mode = super().__new__(cls)
        if function is None:
            return mode
        mode.__init__()  # type: ignore[misc]
        return mode(function)

    def __init__(self, function: None = None) -> None:
        super().__init__()


def recorder() -> Any:
    """What records an op where ops are recorded."""
    return TracedNode if modes.anomaly else Node


class no_grad(_Argless):
    """Record nothing: results do not require grad. Context manager or decorator.

    >>> x = tn.ones(2, requires_grad=True)
    >>> with tn.no_grad(): (x * 2).requires_grad
    False
    """

    def _set(self) -> None:
        modes.record = None


class inference_mode(no_grad):
    """The same as no_grad: tinynet keeps no extra bookkeeping that could be saved.

    >>> with tn.inference_mode(): tn.is_grad_enabled()
    False
    """


class enable_grad(_Argless):
    """Record again, inside no_grad. Context manager or decorator.

    >>> with tn.no_grad(), tn.enable_grad(): tn.is_grad_enabled()
    True
    """

    def _set(self) -> None:
        modes.record = recorder()


class set_grad_enabled(_Mode):
    """Record or not, as `mode` says: at once when called, and until the end of the block when used with `with`.

    >>> with tn.set_grad_enabled(False): tn.is_grad_enabled()
    False
    """

    def __init__(self, mode: bool) -> None:
        super().__init__()
        self.mode, self._outside = bool(mode), (modes.record, modes.anomaly)
        self._set()

    def _set(self) -> None:
        modes.record = recorder() if self.mode else None

    def __enter__(self) -> Any:
        super().__enter__()
        self._before[-1] = self._outside
        return self

    def _again(self) -> _Mode:
        return set_grad_enabled(self.mode)

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        modes.record, modes.anomaly = self._outside  # as a decorator it sets nothing by itself
        return super().__call__(function)


class detect_anomaly(_Mode):
    """Record the user's line with every op; a backward that meets a nan or inf raises RuntimeError and names the op
    and the line that made the first one. Slow: for finding a fault.

    >>> x = tn.tensor(0.0, requires_grad=True)
    >>> with tn.autograd.detect_anomaly(): (x.sqrt() * 0).backward()
    Traceback (most recent call last):
    RuntimeError: ...
    """

    def __init__(self, check_nan: bool = True) -> None:
        super().__init__()
        self.check_nan = check_nan

    def _set(self) -> None:
        modes.anomaly = late.mode.at_once = self.check_nan
        modes.record = modes.record and recorder()

    def _again(self) -> _Mode:
        return detect_anomaly(self.check_nan)


def is_grad_enabled() -> bool:
    """Whether ops are recorded in this thread.

    >>> tn.is_grad_enabled()
    True
    """
    return modes.record is not None
