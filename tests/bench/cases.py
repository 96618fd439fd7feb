"""What `tinynet bench` times: each case is written once, for PyTorch and for tinynet, which have the same names.

A case is a training step, the forward pass alone, or both. Sizes are those of the networks a student trains; data are
random, and the same for every side. On a GPU batches are larger, results stay there (nobody waits for a number), and a
case knows the least work that it can be: its layers' operations, and the bytes that they read and write.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Case(NamedTuple):
    """What a side runs: `step` a whole training step, `forward` without a graph; either may be missing. Of a case on a
    GPU also its work: bytes and operations of the forward, and parameters that an optimizer changes."""

    step: Callable[[], Any] | None
    forward: Callable[[], Any] | None
    work: tuple[int, int, int] = (0, 0, 0)


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
ON_GPU = ("sgemm-4096", "sgemm-8192", "conv-128-128-k3-s1-28")  # large enough for one alone
GPU_BATCH = {"mlp": 64, "mnist1": 128, "mnist2": 128, "cifar": 256, "img224": 32, "resnet20": 128, "layers": 128}
# How the time of a step grows: with the batch, the width and the depth of an MLP, and with the length of a GPT's text.
SIZES = {"batch": (64, 256, 1024), "width": (128, 512, 2048), "depth": (2, 8, 32), "length": (16, 64, 256)}
GROWTH = tuple(f"{what}-{size}" for what, sizes in SIZES.items() for size in sizes)
EVERYTHING = (*NETWORKS, *OVERHEAD, *UNTUNED, *KERNELS, *GROWTH)
# Where there are no images there is one layout only.
FLAT = ("mlp", "lstm", "gpt", *OVERHEAD, *KERNELS[:6], "layernorm", "softmax-ce", "adam-1e6", *GROWTH)


def build(torch: Any, name: str, channels_last: bool = False, gpu_sizes: bool = False, device: str = "cpu",
          compile: Callable[[Any], Any] | None = None, **adam: Any) -> Case:
    """The case of this name, with parameters and data drawn. gpu_sizes: larger, and results are no numbers;
    compile: what makes a model faster; adam: further options of the optimizer."""
    torch.manual_seed(0)
    data = np.random.default_rng(0)
    nn = torch.nn

    def images(*shape: int) -> Any:
        x = torch.from_numpy(data.standard_normal(shape).astype("float32")).to(device)
        return x.to(memory_format=torch.channels_last) if channels_last and len(shape) == 4 else x

    def labels(n: int, classes: int) -> Any:
        return torch.from_numpy(data.integers(classes, size=n)).to(device)

    def compiled(model: Any) -> Any:
        return compile(model) if compile else model

    def work(model: Any, forward: Callable[[], Any]) -> tuple[int, int, int]:
        return work_of(torch, model, forward) if gpu_sizes and not compile else (0, 0, 0)

    def batch(name: str, n: int) -> int:
        return GPU_BATCH.get(name, n) if gpu_sizes else n

    def placed(model: Any) -> Any:
        """The model on the device; for a check, with parameters that do not depend on the library."""
        if channels_last:
            model = model.to(memory_format=torch.channels_last)
        if gpu_sizes:
            with torch.no_grad():
                for p in model.parameters():
                    p.copy_(torch.from_numpy(data.uniform(-1, 1, tuple(p.shape)) / max(p[0].numel(), 1) ** 0.5))
            model = model.to(device)
        return model

    def training(model: Any, loss: Callable[[], Any], forward: Callable[[], Any] | None = None) -> Case:
        optimizer = torch.optim.Adam(model.parameters(), **adam)

        def step() -> Any:
            optimizer.zero_grad()
            value = loss()
            value.backward()
            optimizer.step()
            return value if gpu_sizes else value.item()

        run = without_graph(torch, forward) if forward else None
        return Case(step, run, work(model, run) if run else (0, 0, 0))

    def classifier(model: Any, x: Any, y: Any) -> Case:
        model, loss = placed(model), nn.CrossEntropyLoss()
        run = compiled(model)
        return training(model, lambda: loss(run(x), y), lambda: run(x))

    def layer(module: Any, x: Any) -> Case:
        """The layer forward, and both its gradients."""
        module = placed(module)
        run = compiled(module)
        x.requires_grad_()
        g = torch.ones_like(run(x))

        def step() -> Any:
            x.grad = None
            module.zero_grad()
            run(x).backward(g)
            return x.grad

        forward = without_graph(torch, lambda: run(x))
        return Case(step, forward, (*work(module, forward)[:2], 0))

    if name in CLASSIFIERS:
        shape, classes, layers = CLASSIFIERS[name]
        n = batch(name, shape[0])
        return classifier(nn.Sequential(*layers(nn)), images(n, *shape[1:]), labels(n, classes))
    if name == "resnet20":
        n = batch(name, 32)
        return classifier(resnet20(torch), images(n, 3, 32, 32), labels(n, 10))
    if name in ("lstm", "gpt") or name.startswith("length-"):
        length = int(name.partition("-")[2] or 64)
        model = placed(language_lstm(torch) if name == "lstm" else small_gpt(torch, length))
        run = compiled(model)
        tokens, after = labels(32 * length, 65).reshape(32, length), labels(32 * length, 65)
        loss = nn.CrossEntropyLoss()
        return training(model, lambda: loss(run(tokens).reshape(-1, 65), after), lambda: run(tokens))
    if name in GROWTH:
        what, _, size = name.partition("-")
        n, width, depth = ({"batch": 64, "width": 128, "depth": 2} | {what: int(size)}).values()
        inner = [layer for _ in range(depth) for layer in (nn.Linear(width, width), nn.ReLU())]
        model = nn.Sequential(nn.Linear(784, width), nn.ReLU(), *inner, nn.Linear(width, 10))
        return classifier(model, images(n, 784), labels(n, 10))
    if name == "tiny":
        model = placed(nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 1)))
        x, y, mse, run = images(100, 2), images(100, 1), nn.MSELoss(), compiled(model)
        return training(model, lambda: mse(run(x), y), lambda: run(x))
    if name == "scalar":
        return Case(scalar_graph(torch, device), None)
    if name == "float64":
        model = nn.Sequential(*CLASSIFIERS["mnist1"][2](nn)).double()
        n = batch("mnist1", 64)
        return classifier(model, images(n, 1, 28, 28).double(), labels(n, 10))
    if name.startswith("sgemm-"):
        n = int(name.removeprefix("sgemm-"))
        a, b = images(n, n), images(n, n)
        product = compiled(lambda a, b: a @ b)
        return Case(None, without_graph(torch, lambda: product(a, b)), (12 * n * n, 2 * n**3, 0))
    if found := re.fullmatch(r"conv-(\d+)-(\d+)-k(\d+)-s(\d+)-(\d+)", name):
        c, o, k, s, side = map(int, found.groups())
        return layer(nn.Conv2d(c, o, k, s, padding=k // 2), images(batch("layers", 16), c, side, side))
    if name == "adam-1e6":
        weights = [torch.nn.Parameter(images(250, 1000)) for _ in range(4)]
        for w in weights:
            w.grad = images(250, 1000)
        optimizer = torch.optim.Adam(weights, **adam)

        def update() -> Any:
            optimizer.step()
            return weights[0]

        return Case(update, None, (0, 0, 10**6))
    if name == "softmax-ce":
        rows = 512 * batch("layers", 1)
        x, y, loss = images(rows, 1000).requires_grad_(), labels(rows, 1000), compiled(nn.CrossEntropyLoss())

        def gradient() -> Any:
            x.grad = None if gpu_sizes else x.grad
            loss(x, y).backward()
            return x.grad

        return Case(gradient, without_graph(torch, lambda: loss(x, y)), (4 * rows * 1000, 0, 0))
    if name in LAYERS:
        make, shape = LAYERS[name]
        return layer(make(nn), images(batch("layers", shape[0]), *shape[1:]))
    raise ValueError(f"no case called {name!r}; choose from {', '.join(EVERYTHING)}")


def without_graph(torch: Any, run: Callable[[], Any]) -> Callable[[], Any]:
    """`run` under no_grad."""

    def forward() -> Any:
        with torch.no_grad():
            return run()

    return forward


def work_of(torch: Any, model: Any, forward: Callable[[], Any]) -> tuple[int, int, int]:
    """Bytes, operations and parameters of a forward: each layer reads its inputs and parameters and writes its outputs
    once; only the products of linear layers and convolutions are counted as operations."""
    nn, total = torch.nn, [0, 0]

    def count(layer: Any, inputs: Any, out: Any) -> None:
        out = out[0] if isinstance(out, tuple) else out
        total[0] += 4 * (inputs[0].numel() + out.numel() + sum(p.numel() for p in layer.parameters()))
        if isinstance(layer, (nn.Linear, nn.Conv2d)):
            total[1] += 2 * out.numel() * layer.weight[0].numel()

    leaves = [m for m in model.modules() if not [*m.children()]]
    hooks = [leaf.register_forward_hook(count) for leaf in leaves]
    forward()
    for hook in hooks:
        hook.remove()
    return total[0], total[1], sum(p.numel() for p in model.parameters())


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


def small_gpt(torch: Any, length: int) -> Any:
    """A character GPT: 2 layers, d 64, 4 heads, so many positions (Radford et al. 2019, in small)."""
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
            self.token, self.position = nn.Embedding(65, 64), nn.Embedding(length, 64)
            self.blocks = nn.Sequential(Block(64, 4), Block(64, 4))
            self.norm, self.head = nn.LayerNorm(64), nn.Linear(64, 65, bias=False)

        def forward(self, tokens: Any) -> Any:
            x = self.token(tokens) + self.position(torch.arange(tokens.shape[1], device=tokens.device))
            return self.head(self.norm(self.blocks(x)))

    return GPT()


def scalar_graph(torch: Any, device: str) -> Callable[[], Any]:
    """10,000 operations on 0-d tensors, forward and backward: nothing but overhead."""
    w = torch.tensor(0.999, requires_grad=True, device=device)

    def step() -> Any:
        w.grad = None
        x = w
        for _ in range(2500):
            x = (x * w + 0.001).tanh() + w
        x.backward()
        return w.grad

    return step
