"""Lesson 9, the CNN: its parameters, its layers, im2col, and a training that reaches its target."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

import tinynet as tn
from tinynet.kernels.reference import conv
from tinynet.learn import close, find, reference, require

nn = tn.nn


# ---- parameters
@reference("09.conv_parameters")
def conv_parameters(inputs, outputs, size):
    """For each output a weight for every input channel and element of the window, and a bias."""
    return outputs * (inputs * size * size + 1)


@conv_parameters.property("one filter of 3 × 3 over one channel has 9 weights and a bias")
def _(mine):
    close(mine(1, 1, 3), 10, "Do not forget the bias: one for each filter.")


@conv_parameters.property("it is what a layer of tinynet has", inputs=st.integers(1, 8), outputs=st.integers(1, 8),
                          size=st.integers(1, 5))
def _(mine, inputs, outputs, size):
    layer = nn.Conv2d(inputs, outputs, size)
    close(mine(inputs, outputs, size), sum(p.numel() for p in layer.parameters()),
          "A filter covers all input channels, and there is one filter (with one bias) for each output. The size of "
          "the image does not matter.")


# ---- layers
@reference("09.mnist_network")
def mnist_network():
    """Twice convolution, ReLU and pooling, then two linear layers with a ReLU between."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(64 * 5 * 5, 128), nn.ReLU(), nn.Linear(128, 10))


def images(count: int = 3) -> Any:
    """Some images with numbers of both signs."""
    return tn.randn(count, 1, 28, 28)


@mnist_network.property("it gives ten scores for each image of 28 × 28 pixels")
def _(mine):
    model = mine()
    require(isinstance(model, nn.Module), f"a network is expected, an nn.Sequential, not {type(model).__name__}")
    close(tuple(model(images()).shape), (3, 10), what="the shape of the result is wrong")


@mnist_network.property("its layers have the weights of the table")
def _(mine):
    got, want = ([tuple(p.shape) for p in model.parameters()] for model in (mine(), mnist_network()))
    for k, (g, w) in enumerate(zip(got, want, strict=False)):
        require(g == w, f"parameter number {k + 1} has another shape than in the table", "28 becomes 26 under a window "
                "of 3 without padding, and 13 by pooling; the maps before Flatten are 5 × 5.", expected=w, got=g)
    require(len(got) == len(want), f"{len(want)} parameters are expected, a weight and a bias for each of four layers, "
            f"not {len(got)}")


@mnist_network.property("with the same weights it gives the same scores as tinynet's solution")
def _(mine):
    model, other, x = mine(), mnist_network(), images()
    with tn.no_grad():
        for p, q in zip(model.parameters(), other.parameters(), strict=True):
            q.copy_(p)
        got, want = model(x), other(x)
    close(got, want, "A ReLU after every layer with weights but the last; pooling after both convolutions; nothing "
          "after the last layer: CrossEntropyLoss takes scores, not probabilities.")


# ---- im2col
def of_im2col(mine: Callable[..., Any]) -> list[Any]:
    """What the reference kernels of convolution lay the pixels out with."""
    kept = conv.windows_as_columns

    def columns(xp, x, at, groups):
        if at.stride[0] != at.stride[1] or at.padding[0] != at.padding[1] or tuple(at.dilation) != (1, 1) or groups > 1:
            return kept(xp, x, at, groups)
        return np.asarray(mine(x, at.size, at.stride[0], at.padding[0]), x.dtype)[None]
    return [(conv, "windows_as_columns", columns)]


@reference("09.im2col", engine=of_im2col)
def im2col(x, size, stride, padding):
    """(C · kh · kw, N · rows · columns): the pixels under each window in a column."""
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    n, c, h, w = x.shape
    rows, columns = (h - size[0]) // stride + 1, (w - size[1]) // stride + 1
    out = np.zeros((c, *size, n, rows, columns), x.dtype)
    for i in range(size[0]):
        for j in range(size[1]):
            met = x[:, :, i:i + rows * stride:stride, j:j + columns * stride:stride]
            out[:, i, j] = met.transpose(1, 0, 2, 3)
    return out.reshape(c * size[0] * size[1], n * rows * columns)


@im2col.property("one image of 2 × 3 pixels, a window of 2 × 2: two places, so two columns of four pixels")
def _(mine):
    close(mine(np.arange(6.0).reshape(1, 1, 2, 3), (2, 2), 1, 0), np.array([[0, 1], [1, 2], [3, 4], [4, 5.0]]),
          "Weight (i, j) meets the pixels from row i and column j on: as many rows and columns as there are places.")


@im2col.property("filters as rows, times these columns, is the convolution", x="n c 4 5", w="o c 2 3",
                 stride=st.integers(1, 3), padding=st.integers(0, 2))
def _(mine, x, w, stride, padding):
    want = find("08.conv2d")(x, w, 0, stride, padding)
    got = mine(x, w.shape[2:], stride, padding)
    n, o, rows, columns = want.shape
    shape = (w[0].size, n * rows * columns)
    require(np.shape(got) == shape, f"the matrix should have the shape {shape}, not {np.shape(got)}")
    product = (w.reshape(o, -1) @ got).reshape(o, n, rows, columns)
    close(product.transpose(1, 0, 2, 3), want, "From one place to the next the window goes `stride` pixels: a slice "
          "has a third number for that. And in `out` the channels come first, then i and j, then the images.")


im2col.agrees("each pixel is where it belongs", x="n c 4 5", size=st.tuples(st.integers(1, 3), st.integers(1, 3)),
              stride=st.integers(1, 3), padding=st.integers(0, 1))


# ---- training
TARGET = 0.9


@reference("09.fit")
def fit(model, train, test, epochs, verbose=True):
    """Adam, at a step size that falls to 0 in equal steps."""
    steps = epochs * -(-len(train[0]) // 32)
    optimizer = tn.optim.Adam(model.parameters(), lr=2e-3)
    decay = tn.optim.lr_scheduler.LambdaLR(optimizer, lambda step: max(0.0, 1 - step / steps))
    trainer = tn.Trainer(model, nn.CrossEntropyLoss(), optimizer, metrics=["accuracy"], scheduler=decay,
                         scheduler_each="batch")
    return trainer.fit(*train, epochs=epochs, validation_data=test, batch_size=32, verbose=verbose)


def small() -> Any:
    """A network for 8 × 8 pixels."""
    return nn.Sequential(nn.Conv2d(1, 16, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(144, 10))


@fit.property("it trains the network that it is given, and returns the history, with val_accuracy")
def _(mine):
    model = small()
    before = [p.detach().clone() for p in model.parameters()]
    history = mine(model, (tn.rand(64, 1, 8, 8), tn.arange(64) % 10), (tn.rand(8, 1, 8, 8), tn.arange(8)), 1, False)
    curves: Any = getattr(history, "history", None)
    require(isinstance(curves, dict) and {"loss", "val_accuracy"} <= curves.keys(), "the history of trainer.fit is "
            "expected, with loss and val_accuracy", "Return what trainer.fit returns; the Trainer wants metrics="
            "['accuracy'], its fit validation_data=test.")
    require(any((p != q).any() for p, q in zip(model.parameters(), before, strict=True)), "no weight has changed",
            "Does the optimizer have the parameters of this model?")
    close(len(curves["loss"]), 1, "One entry for each epoch: pass `epochs` on.")


@fit.property(f"in 8 epochs a small network learns to read {TARGET:.0%} of new digits")
def _(mine):
    model = small()
    train, test = (tn.data.datasets.digits(train=t).tensors for t in (True, False))
    mine(model, train, test, 8, False)
    right = float((model(test[0]).argmax(1) == test[1]).float().mean())
    require(right >= TARGET, f"only {right:.1%} of {len(test[1])} new digits are read right", "Try another learning "
            "rate, a factor of 3 or 10 up and down (Adam likes 0.001 to 0.01), and batches of 16 to 64. The loss "
            "should fall in every epoch.")
