"""Lesson 11: what students write. The docstring of a wrong answer is what its message must contain."""
from __future__ import annotations

import tinynet as tn

nn = tn.nn


def backward(model, x, y):
    nn.CrossEntropyLoss()(model(x), y).backward()


def convolutions(model):
    return [layer for layer in model.modules() if isinstance(layer, nn.Conv2d)]


class gradient_norms:
    def wrong_not_zeroed(model, x, y):
        """begin with model.zero_grad()"""
        backward(model, x, y)
        return [float(layer.weight.grad.square().sum().sqrt()) for layer in convolutions(model)]

    def wrong_of_the_weights(model, x, y):
        """Of all elements of layer.weight.grad"""
        model.zero_grad()
        backward(model, x, y)
        return [float(layer.weight.square().sum().sqrt()) for layer in convolutions(model)]

    def wrong_without_root(model, x, y):
        """it is the root of the sum of the squares"""
        model.zero_grad()
        backward(model, x, y)
        return [float(layer.weight.grad.square().sum()) for layer in convolutions(model)]

    def wrong_all_parameters(model, x, y):
        """model.modules() goes over all layers"""
        model.zero_grad()
        backward(model, x, y)
        return [float(p.grad.norm()) for p in model.parameters()]

    def wrong_top_layers_only(model, x, y):
        """at any depth"""
        model.zero_grad()
        backward(model, x, y)
        return [float(layer.weight.grad.norm()) for layer in model if isinstance(layer, nn.Conv2d)]

    def wrong_mean(model, x, y):
        """sum, square root"""
        model.zero_grad()
        backward(model, x, y)
        return [float(layer.weight.grad.square().mean().sqrt()) for layer in convolutions(model)]

    def right_by_norm(model, x, y):
        for p in model.parameters():
            p.grad = None
        backward(model, x, y)
        return [float(layer.weight.grad.norm()) for layer in convolutions(model)]


class shortcut:
    def wrong_always_a_convolution(inputs, outputs, stride):
        """nn.Identity() is a layer that does"""
        return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs))

    def wrong_stride_forgotten(inputs, outputs, stride):
        """as well as where the channels differ"""
        if inputs == outputs:
            return nn.Identity()
        return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs))

    def wrong_stride_not_passed_on(inputs, outputs, stride):
        """with the stride of the block"""
        if inputs == outputs and stride == 1:
            return nn.Identity()
        return nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))

    def wrong_with_bias(inputs, outputs, stride):
        """bias: batch norm subtracts the mean"""
        if inputs == outputs and stride == 1:
            return nn.Identity()
        return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=stride), nn.BatchNorm2d(outputs))

    def wrong_three_by_three(inputs, outputs, stride):
        """its weights have other shapes"""
        if inputs == outputs and stride == 1:
            return nn.Identity()
        return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
                             nn.BatchNorm2d(outputs))

    def right_with_an_empty_sequential(inputs, outputs, stride):
        layers = []
        if (inputs, stride) != (outputs, 1):
            layers = [nn.Conv2d(inputs, outputs, kernel_size=1, stride=stride, bias=False), nn.BatchNorm2d(outputs)]
        return nn.Sequential(*layers)


class _Parts(nn.Module):
    """What the blocks below have in common."""

    def __init__(self, inputs, outputs, stride=1, second=1, bias=False):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=bias)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, stride=second, padding=1, bias=bias)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut = shortcut.right_with_an_empty_sequential(inputs, outputs, stride)

    def inner(self, x):
        return self.norm2(self.conv2(self.norm1(self.conv1(x)).relu()))


class Block:
    class wrong_no_shortcut(_Parts):
        """The shortcut takes x itself"""

        def forward(self, x):
            return self.inner(x).relu()

    class wrong_relu_before_the_sum(_Parts):
        """With an inner part of 0 what is left is relu(x)"""

        def forward(self, x):
            return self.shortcut(x) + self.inner(x).relu()

    class wrong_normalised_after_the_sum(_Parts):
        """is added after norm2"""

        def forward(self, x):
            return self.norm2(self.shortcut(x) + self.conv2(self.norm1(self.conv1(x)).relu())).relu()

    class wrong_no_relu_inside(_Parts):
        """conv1, norm1, relu, conv2, norm2"""

        def forward(self, x):
            return (self.shortcut(x) + self.norm2(self.conv2(self.norm1(self.conv1(x))))).relu()

    class wrong_stride_twice(_Parts):
        """first convolution has the stride"""

        def __init__(self, inputs, outputs, stride=1):
            super().__init__(inputs, outputs, stride, second=stride)

        def forward(self, x):
            inner = self.inner(x)
            return inner.relu() if inner.shape[-1] * 2 < x.shape[-1] else (self.shortcut(x) + inner).relu()

    class right_in_place(_Parts):
        def forward(self, x):
            out = self.inner(x)
            out += self.shortcut(x)
            return tn.relu(out)
