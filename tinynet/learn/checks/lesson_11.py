"""Lesson 11, ResNet: the gradient in each layer, the shortcut, and the residual block."""
from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

import tinynet as tn
from tinynet.learn import close, draw, reference, require

nn = tn.nn
SIZES = st.sampled_from([(2, 2, 1), (2, 4, 1), (2, 2, 2), (3, 4, 2)])  # inputs, outputs, stride


# ---- the gradient in each layer
@reference("11.gradient_norms")
def gradient_norms(model, x, y):
    """The length of the gradient of each convolution's weights, from the first layer to the last."""
    model.zero_grad()
    nn.CrossEntropyLoss()(model(x), y).backward()
    gradients: list[Any] = [layer.weight.grad for layer in model.modules() if isinstance(layer, nn.Conv2d)]
    return [g.square().sum().sqrt().item() for g in gradients]


def small(seed: int) -> tuple[Any, Any, Any]:
    """A network of two convolutions with something between, images and labels."""
    tn.manual_seed(seed)
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Sequential(nn.BatchNorm2d(2), nn.ReLU(), nn.Conv2d(2, 3, 2)),
                          nn.Flatten(), nn.Linear(12, 4))
    return model, tn.randn(5, 1, 5, 5), tn.randint(4, (5,))


@gradient_norms.property("a number for each convolution, and for nothing else", examples=4, seed=draw.seed())
def _(mine, seed):
    got = mine(*small(seed))
    require(np.shape(got) == (2,), "this network has two convolutions, one of them in a Sequential inside: a list of "
            "two numbers is expected", "model.modules() goes over all layers, at any depth; isinstance(layer, "
            "nn.Conv2d) says which are convolutions.", got=got)


@gradient_norms.property("it is the root of the sum of the squares", examples=8, seed=draw.seed())
def _(mine, seed):
    close(mine(*small(seed)), np.array(gradient_norms(*small(seed))), "Of all elements of layer.weight.grad: square, "
          "sum, square root. The loss is nn.CrossEntropyLoss()(model(x), y).")


@gradient_norms.property("gradients of an earlier backward do not count", examples=4, seed=draw.seed())
def _(mine, seed):
    model, x, y = small(seed)
    first = np.array(mine(model, x, y))
    close(mine(model, x, y), first, "backward() adds to the gradients that are there: begin with model.zero_grad().")


# ---- the shortcut
@reference("11.shortcut")
def shortcut(inputs, outputs, stride):
    """Nothing where the shapes are equal, else a convolution of 1 × 1 and a batch norm."""
    if inputs == outputs and stride == 1:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs))


@shortcut.property("where the shape stays, it is the identity", channels=st.integers(1, 4))
def _(mine, channels):
    layer, x = mine(channels, channels, 1), tn.randn(2, channels, 4, 4)
    require(isinstance(layer, nn.Module), f"a layer is expected, not {type(layer).__name__}")
    require(not list(layer.parameters()), "it has weights, but none are needed", "nn.Identity() is a layer that does "
            "nothing.")
    close(layer(x), x)


@shortcut.property("what comes out has the channels and the size of the block's result", sizes=SIZES,
                   side=st.integers(4, 7))
def _(mine, sizes, side):
    inputs, outputs, stride = sizes
    got = tuple(mine(*sizes)(tn.randn(2, inputs, side, side)).shape)
    other = tuple(nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1)(tn.randn(2, inputs, side, side)).shape)
    close(got, other, "A convolution of 1 × 1, without padding, with the stride of the block. It is needed where the "
          "stride is not 1 as well as where the channels differ.", what="the shape is wrong")


@shortcut.property("its only weights are those of a 1 × 1 convolution and a batch norm",
                   sizes=SIZES.filter(lambda s: s[0] != s[1] or s[2] > 1))
def _(mine, sizes):
    shapes = [tuple(p.shape) for p in mine(*sizes).parameters()]
    close(sorted(shapes), sorted([(sizes[1], sizes[0], 1, 1), (sizes[1],), (sizes[1],)]), "The convolution needs no "
          "bias: batch norm subtracts the mean, and has a bias of its own.", what="its weights have other shapes")


# ---- the block
class Residual(nn.Module):
    """relu(shortcut(x) + norm2(conv2(relu(norm1(conv1(x))))))"""

    def __init__(self, inputs, outputs, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut = shortcut(inputs, outputs, stride)

    def forward(self, x):
        """The block's result."""
        inner = self.norm2(self.conv2(self.norm1(self.conv1(x)).relu()))
        return (self.shortcut(x) + inner).relu()


Block = reference("11.Block")(Residual)


def made(mine: Any, inputs: int, outputs: int, stride: int) -> Any:
    """A block of the student's, with the layers it must have."""
    block = mine(inputs, outputs, stride)
    require(isinstance(block, nn.Module), f"a layer is expected, not {type(block).__name__}")
    for name in ("conv1", "norm1", "conv2", "norm2", "shortcut"):
        require(hasattr(block, name), f"it has no layer {name}")
    return block


@Block.property("its second convolution has stride 1 and as many channels as come out", sizes=SIZES)
def _(mine, sizes):
    block = made(mine, *sizes)
    close(tuple(block.conv2.weight.shape), (sizes[1], sizes[1], 3, 3), "What it gets are the maps of the first one.",
          what="conv2 has weights of another shape")
    close(tuple(block(tn.randn(2, sizes[0], 6, 6)).shape), (2, sizes[1], 6 // sizes[2], 6 // sizes[2]), "Only the "
          "first convolution has the stride; both have padding 1.", what="the shape of the result is wrong")


@Block.property("where norm2.weight is 0 the block lets pass what is positive, unchanged", channels=st.integers(1, 3))
def _(mine, channels):
    block = made(mine, channels, channels, 1)
    nn.init.zeros_(block.norm2.weight)
    x = tn.rand(2, channels, 4, 4)
    close(block(x), x, "The shortcut takes x itself and is added after norm2. Nothing that has weights comes between "
          "the sum and the result.")


@Block.property("there is a ReLU at the end, after the sum")
def _(mine):
    block = made(mine, 1, 1, 1)
    nn.init.zeros_(block.norm2.weight)
    x = tn.tensor([-1.0, 2.0, -3.0, 4.0]).reshape(1, 1, 2, 2)
    close(block(x), x.relu(), "With an inner part of 0 what is left is relu(x).")


@Block.property("with the same weights it gives the same as tinynet's solution", sizes=SIZES)
def _(mine, sizes):
    block, other, x = made(mine, *sizes), Block(*sizes), tn.randn(3, sizes[0], 4, 4)
    names = [name for name, _ in other.named_parameters()]
    found = dict(block.named_parameters())
    if sorted(found) == sorted(names):
        with tn.no_grad():
            for name, p in other.named_parameters():
                p.copy_(found[name])
    close(block(x), other(x), "conv1, norm1, relu, conv2, norm2, then the sum with the shortcut of x, then relu. "
          "(Without biases in the convolutions: batch norm has one.)")
