"""Two other libraries from which one may learn, in the cases that they can run: autograd (networks of Linear and ReLU)
and tinygrad (those with convolutions, too)."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
from cases import CLASSIFIERS

RATE = 1e-3


def build(side: str, case: str, what: str) -> Callable[[], Any]:
    """What is timed: a training step of Adam, or the forward alone. LookupError for a case that a side cannot run."""
    if case not in CLASSIFIERS:
        raise LookupError(f"{side} runs only the networks of separate layers")
    shape, classes, layers = CLASSIFIERS[case]
    data = np.random.default_rng(0)
    x, y = data.standard_normal(shape).astype("float32"), data.integers(classes, size=shape[0])
    return {"autograd": with_autograd, "tinygrad": with_tinygrad}[side](layers, x, y, what)


def with_autograd(layers: Callable[[Any], list[Any]], x: Any, y: Any, what: str) -> Callable[[], Any]:
    """The layers as functions of a list of parameters (Maclaurin, Duvenaud & Adams)."""
    from autograd import grad
    from autograd import numpy as anp

    def linear(inputs: int, outputs: int) -> Any:
        w = np.random.default_rng(1).uniform(-1, 1, (outputs, inputs)) / inputs**0.5
        return [w.astype("float32"), np.zeros(outputs, "float32")]

    chain = layers(Only(Linear=linear, ReLU=lambda: None))

    def forward(params: Any) -> Any:
        h, rest = x, iter(params)
        for layer in chain:
            h = anp.maximum(h, 0) if layer is None else anp.dot(h, next(rest).T) + next(rest)
        return h

    def loss(params: Any) -> Any:
        scores = forward(params)
        top = anp.max(scores, axis=1, keepdims=True)
        total = anp.log(anp.sum(anp.exp(scores - top), axis=1)) + top[:, 0]
        return anp.mean(total - scores[np.arange(len(y)), y])

    slopes = grad(loss)
    params = [p for layer in chain if layer is not None for p in layer]
    means, squares = ([np.zeros_like(p) for p in params] for _ in range(2))
    steps = [0]

    def step() -> None:
        steps[0] += 1
        rate = RATE * (1 - 0.999 ** steps[0]) ** 0.5 / (1 - 0.9 ** steps[0])
        for p, g, m, v in zip(params, slopes(params), means, squares, strict=True):
            m += 0.1 * (g - m)
            v += 0.001 * (g * g - v)
            p -= rate * m / (np.sqrt(v) + 1e-8)

    return step if what == "step" else lambda: forward(params)


def with_tinygrad(layers: Callable[[Any], list[Any]], x: Any, y: Any, what: str) -> Callable[[], Any]:
    """The layers as tinygrad's own, the step compiled by its TinyJit."""
    from tinygrad import Context, Tensor, TinyJit, nn

    chain = layers(Only(
        Linear=nn.Linear, Conv2d=nn.Conv2d, ReLU=lambda: Tensor.relu, Flatten=lambda: lambda t: t.flatten(1),
        MaxPool2d=lambda k: lambda t: t.max_pool2d(k), AvgPool2d=lambda k: lambda t: t.avg_pool2d(k)))  # fmt: skip
    optimizer = nn.optim.Adam(nn.state.get_parameters(chain), lr=RATE)
    x, y = Tensor(x), Tensor(y)

    @TinyJit
    def step() -> Any:
        with Context(TRAINING=1):
            optimizer.zero_grad()
            loss = x.sequential(chain).sparse_categorical_crossentropy(y).backward()
            optimizer.step()
            return loss.realize()

    @TinyJit
    def forward() -> Any:
        return x.sequential(chain).realize()

    return (lambda: step().item()) if what == "step" else lambda: forward().numpy()


class Only(SimpleNamespace):
    """The layers that a side has. LookupError for another."""

    def __getattr__(self, name: str) -> Any:
        raise LookupError(f"no layer {name} on this side")
