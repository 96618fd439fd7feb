"""Differentiation: the engine, its modes, functions of the user's own, and the proof that gradients are right."""
from tinynet.autograd import functional
from tinynet.autograd.engine import backward, grad
from tinynet.autograd.function import Function
from tinynet.autograd.gradcheck import gradcheck, gradgradcheck
from tinynet.autograd.modes import (
    detect_anomaly,
    enable_grad,
    inference_mode,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)

__all__ = ["Function", "backward", "detect_anomaly", "enable_grad", "functional", "grad", "gradcheck", "gradgradcheck",
           "inference_mode", "is_grad_enabled", "no_grad", "set_grad_enabled"]
