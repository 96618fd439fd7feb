"""What `tinynet bench` times: each case is written once, for PyTorch and for tinynet, which have the same names.

A case is a training step, the forward pass alone, or both. Sizes are those of the networks a student trains; data are
random, and the same for every side.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Case(NamedTuple):
    """What a side runs: `step` a whole training step, `forward` without a graph; either may be missing."""

    step: Callable[[], Any] | None
    forward: Callable[[], Any] | None


NETWORKS = ("mlp", "mnist1", "mnist2", "cifar", "img224", "resnet20", "lstm", "gpt")
OVERHEAD = ("tiny", "scalar")
UNTUNED = ("odd-channels", "padded-5x5", "7x7-stride-2", "depthwise", "batch-1", "float64")
KERNELS = (
    *(f"sgemm-{n}" for n in (64, 128, 256, 512, 1024, 2048)),
    *(f"conv-{c}-{o}-k{k}-s{s}-{side}" for c, o, k, s, side in (
        (1, 32, 3, 1, 28), (3, 32, 3, 1, 64), (3, 64, 7, 2, 112), (16, 16, 3, 1, 32), (32, 64, 3, 1, 28),
        (64, 64, 1, 1, 28), (64, 64, 3, 1, 28), (64, 64, 3, 2, 28), (64, 64, 5, 1, 28), (128, 128, 3, 1, 14),
        (256, 256, 1, 1, 14), (256, 256, 3, 1, 14))),
    "grouped", "maxpool", "avgpool", "batchnorm", "layernorm", "softmax-ce", "adam-1e6",
)  # fmt: skip
EVERYTHING = (*NETWORKS, *OVERHEAD, *UNTUNED, *KERNELS)
# Where there are no images there is one layout only.
FLAT = ("mlp", "lstm", "gpt", *OVERHEAD, *KERNELS[:6], "layernorm", "softmax-ce", "adam-1e6")


def build(torch: Any, name: str, channels_last: bool = False) -> Case:
    """The case of this name, with parameters and data drawn."""
    torch.manual_seed(0)
    data = np.random.default_rng(0)
    nn = torch.nn

    def images(*shape: int) -> Any:
        x = torch.from_numpy(data.standard_normal(shape).astype("float32"))
        return x.to(memory_format=torch.channels_last) if channels_last and len(shape) == 4 else x

    def labels(n: int, classes: int) -> Any:
        return torch.from_numpy(data.integers(classes, size=n))

    def training(model: Any, loss: Callable[[], Any], forward: Callable[[], Any] | None = None) -> Case:
        optimizer = torch.optim.Adam(model.parameters())

        def step() -> Any:
            optimizer.zero_grad()
            value = loss()
            value.backward()
            optimizer.step()
            return value.item()

        return Case(step, without_graph(torch, forward) if forward else None)

    def classifier(model: Any, x: Any, y: Any) -> Case:
        if channels_last:
            model = model.to(memory_format=torch.channels_last)
        loss = nn.CrossEntropyLoss()
        return training(model, lambda: loss(model(x), y), lambda: model(x))

    def layer(module: Any, x: Any) -> Case:
        """The layer forward, and both its gradients."""
        if channels_last:
            module = module.to(memory_format=torch.channels_last)
        x.requires_grad_()
        g = torch.ones_like(module(x))

        def step() -> None:
            x.grad = None
            module.zero_grad()
            module(x).backward(g)

        return Case(step, without_graph(torch, lambda: module(x)))

    if name in CLASSIFIERS:
        shape, classes, layers = CLASSIFIERS[name]
        return classifier(nn.Sequential(*layers(nn)), images(*shape), labels(shape[0], classes))
    if name == "resnet20":
        return classifier(resnet20(torch), images(32, 3, 32, 32), labels(32, 10))
    if name in ("lstm", "gpt"):
        model = {"lstm": language_lstm, "gpt": small_gpt}[name](torch)
        tokens, after = labels(32 * 64, 65).reshape(32, 64), labels(32 * 64, 65)
        loss = nn.CrossEntropyLoss()
        return training(model, lambda: loss(model(tokens).reshape(-1, 65), after), lambda: model(tokens))
    if name == "tiny":
        model = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 1))
        x, y, mse = images(100, 2), images(100, 1), nn.MSELoss()
        return training(model, lambda: mse(model(x), y), lambda: model(x))
    if name == "scalar":
        return Case(scalar_graph(torch), None)
    if name == "float64":
        model = nn.Sequential(*CLASSIFIERS["mnist1"][2](nn)).double()
        return classifier(model, images(64, 1, 28, 28).double(), labels(64, 10))
    if name.startswith("sgemm-"):
        n = int(name.removeprefix("sgemm-"))
        a, b = images(n, n), images(n, n)
        return Case(None, without_graph(torch, lambda: a @ b))
    if found := re.fullmatch(r"conv-(\d+)-(\d+)-k(\d+)-s(\d+)-(\d+)", name):
        c, o, k, s, side = map(int, found.groups())
        return layer(nn.Conv2d(c, o, k, s, padding=k // 2), images(16, c, side, side))
    if name == "adam-1e6":
        weights = [torch.nn.Parameter(images(250, 1000)) for _ in range(4)]
        for w in weights:
            w.grad = images(250, 1000)
        return Case(torch.optim.Adam(weights).step, None)
    if name == "softmax-ce":
        x, y, loss = images(512, 1000).requires_grad_(), labels(512, 1000), nn.CrossEntropyLoss()
        return Case(lambda: loss(x, y).backward(), without_graph(torch, lambda: loss(x, y)))
    if name in LAYERS:
        make, shape = LAYERS[name]
        return layer(make(nn), images(*shape))
    raise ValueError(f"no case called {name!r}; choose from {', '.join(EVERYTHING)}")


def without_graph(torch: Any, run: Callable[[], Any]) -> Callable[[], None]:
    """`run` under no_grad."""

    def forward() -> None:
        with torch.no_grad():
            run()

    return forward


# ---- networks of separate layers: (shape of a batch, classes, layers)
CLASSIFIERS: dict[str, tuple[tuple[int, ...], int, Callable[[Any], list[Any]]]] = {
    "mlp": ((64, 784), 10, lambda nn: [nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10)]),
    "mnist1": ((64, 1, 28, 28), 10, lambda nn: [
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(5408, 128), nn.ReLU(),
        nn.Linear(128, 10)]),
    "mnist2": ((64, 1, 28, 28), 10, lambda nn: [
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(1600, 128), nn.ReLU(), nn.Linear(128, 10)]),
    "cifar": ((64, 3, 32, 32), 10, lambda nn: [
        nn.Conv2d(3, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(64, 64, 3), nn.ReLU(), nn.Flatten(), nn.Linear(1024, 64), nn.ReLU(), nn.Linear(64, 10)]),
    "img224": ((8, 3, 224, 224), 1000, lambda nn: [
        nn.Conv2d(3, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(64, 128, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(128 * 26 * 26, 128),
        nn.ReLU(), nn.Linear(128, 1000)]),
    # shapes nobody tuned for
    "odd-channels": ((32, 5, 29, 31), 7, lambda nn: [
        nn.Conv2d(5, 19, 3), nn.ReLU(), nn.Conv2d(19, 37, 3), nn.ReLU(), nn.MaxPool2d(3), nn.Flatten(),
        nn.Linear(37 * 8 * 9, 7)]),
    "padded-5x5": ((32, 3, 32, 32), 10, lambda nn: [
        nn.Conv2d(3, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 5, padding=2), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4096, 10)]),
    "7x7-stride-2": ((8, 3, 112, 112), 10, lambda nn: [
        nn.Conv2d(3, 64, 7, 2, 3), nn.ReLU(), nn.MaxPool2d(3, 2, 1), nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(),
        nn.AvgPool2d(28), nn.Flatten(), nn.Linear(64, 10)]),
    "depthwise": ((32, 32, 28, 28), 10, lambda nn: [
        nn.Conv2d(32, 32, 3, padding=1, groups=32), nn.ReLU(), nn.Conv2d(32, 64, 1), nn.ReLU(),
        nn.Conv2d(64, 64, 3, padding=1, groups=64), nn.ReLU(), nn.AvgPool2d(28), nn.Flatten(), nn.Linear(64, 10)]),
    "batch-1": ((1, 3, 32, 32), 10, lambda nn: [
        nn.Conv2d(3, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(2304, 10)]),
}  # fmt: skip
LAYERS: dict[str, tuple[Callable[[Any], Any], tuple[int, ...]]] = {
    "grouped": (lambda nn: nn.Conv2d(64, 64, 3, padding=1, groups=4), (16, 64, 28, 28)),
    "maxpool": (lambda nn: nn.MaxPool2d(2), (32, 64, 56, 56)),
    "avgpool": (lambda nn: nn.AvgPool2d(2), (32, 64, 56, 56)),
    "batchnorm": (lambda nn: nn.BatchNorm2d(64), (32, 64, 28, 28)),
    "layernorm": (lambda nn: nn.LayerNorm(256), (64, 64, 256)),
}


def resnet20(torch: Any) -> Any:
    """ResNet-20 for 32 x 32 images (He, Zhang, Ren & Sun 2015, section 4.2), shortcuts by a 1 x 1 convolution."""
    nn = torch.nn

    class Block(nn.Module):  # type: ignore[misc]
        def __init__(self, c: int, o: int, stride: int) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(c, o, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(o)
            self.conv2 = nn.Conv2d(o, o, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(o)
            self.skip = nn.Identity()
            if stride > 1 or c != o:
                self.skip = nn.Sequential(nn.Conv2d(c, o, 1, stride, bias=False), nn.BatchNorm2d(o))

        def forward(self, x: Any) -> Any:
            y = torch.relu(self.bn1(self.conv1(x)))
            return torch.relu(self.bn2(self.conv2(y)) + self.skip(x))

    blocks, c = [], 16
    for o, stride in ((16, 1), (32, 2), (64, 2)):
        for number in range(3):
            blocks.append(Block(c, o, stride if number == 0 else 1))
            c = o
    stem = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    return nn.Sequential(*stem, *blocks, nn.AvgPool2d(8), nn.Flatten(), nn.Linear(64, 10))


def language_lstm(torch: Any) -> Any:
    """65 characters -> embedding 64 -> LSTM 128 -> 65 scores."""
    nn = torch.nn

    class Model(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(65, 64)
            self.lstm = nn.LSTM(64, 128, batch_first=True)
            self.head = nn.Linear(128, 65)

        def forward(self, tokens: Any) -> Any:
            return self.head(self.lstm(self.embed(tokens))[0])

    return Model()


def small_gpt(torch: Any) -> Any:
    """A character GPT: 2 layers, d 64, 4 heads, 64 positions (Radford et al. 2019, in small)."""
    nn, functional = torch.nn, torch.nn.functional

    class Block(nn.Module):  # type: ignore[misc]
        def __init__(self, d: int, heads: int) -> None:
            super().__init__()
            self.heads = heads
            self.ln1, self.ln2 = nn.LayerNorm(d), nn.LayerNorm(d)
            self.qkv, self.out = nn.Linear(d, 3 * d), nn.Linear(d, d)
            self.mlp = nn.Sequential(nn.Linear(d, 4 * d), nn.GELU(), nn.Linear(4 * d, d))

        def forward(self, x: Any) -> Any:
            b, t, d = x.shape
            q, k, v = (
                part.reshape(b, t, self.heads, d // self.heads).transpose(1, 2)
                for part in self.qkv(self.ln1(x)).chunk(3, -1)
            )
            a = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.out(a.transpose(1, 2).reshape(b, t, d))
            return x + self.mlp(self.ln2(x))

    class GPT(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.token, self.position = nn.Embedding(65, 64), nn.Embedding(64, 64)
            self.blocks = nn.Sequential(Block(64, 4), Block(64, 4))
            self.norm, self.head = nn.LayerNorm(64), nn.Linear(64, 65, bias=False)

        def forward(self, tokens: Any) -> Any:
            x = self.token(tokens) + self.position(torch.arange(tokens.shape[1]))
            return self.head(self.norm(self.blocks(x)))

    return GPT()


def scalar_graph(torch: Any) -> Callable[[], None]:
    """10,000 operations on 0-d tensors, forward and backward: nothing but overhead."""
    w = torch.tensor(0.999, requires_grad=True)

    def step() -> None:
        w.grad = None
        x = w
        for _ in range(2500):
            x = (x * w + 0.001).tanh() + w
        x.backward()

    return step
