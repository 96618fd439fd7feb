"""Optimizers: what turns gradients into better parameters."""

from __future__ import annotations

from tinynet.optim.adam import Adam
from tinynet.optim.optimizer import Optimizer
from tinynet.optim.sgd import SGD

__all__ = ["SGD", "Adam", "Optimizer"]
