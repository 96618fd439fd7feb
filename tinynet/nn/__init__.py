"""Neural networks: modules, layers, losses, and the functions behind them (`functional`)."""

from __future__ import annotations

from tinynet.nn import functional, init
from tinynet.nn.activation import ReLU
from tinynet.nn.containers import Identity, ModuleDict, ModuleList, Sequential
from tinynet.nn.conv import Conv2d
from tinynet.nn.flatten import Flatten, Unflatten
from tinynet.nn.linear import Linear
from tinynet.nn.loss import CrossEntropyLoss, MSELoss, NLLLoss
from tinynet.nn.module import Module
from tinynet.nn.parameter import Parameter
from tinynet.nn.parameter_containers import ParameterDict, ParameterList
from tinynet.nn.pooling import AvgPool2d, MaxPool2d

__all__ = [
    "AvgPool2d",
    "Conv2d",
    "CrossEntropyLoss",
    "Flatten",
    "Identity",
    "Linear",
    "MSELoss",
    "MaxPool2d",
    "Module",
    "ModuleDict",
    "ModuleList",
    "NLLLoss",
    "Parameter",
    "ParameterDict",
    "ParameterList",
    "ReLU",
    "Sequential",
    "Unflatten",
    "functional",
    "init",
]
