"""Optimizers: what turns gradients into better parameters, and the schedules of their learning rates
(`lr_scheduler`)."""

from __future__ import annotations

from tinynet.optim import lr_scheduler
from tinynet.optim.adagrad import Adagrad
from tinynet.optim.adam import Adam
from tinynet.optim.adamw import AdamW
from tinynet.optim.muon import Muon
from tinynet.optim.nadam import NAdam
from tinynet.optim.optimizer import Optimizer
from tinynet.optim.rmsprop import RMSprop
from tinynet.optim.sgd import SGD

__all__ = ["SGD", "Adagrad", "Adam", "AdamW", "Muon", "NAdam", "Optimizer", "RMSprop", "lr_scheduler"]
