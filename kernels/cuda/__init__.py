"""Kernels in CUDA C++, for float32: on a card, with CuPy's arrays ("cuda"), or on the CPU, with NumPy's ("emu").

To read them, begin with `softmax.cu`, then `sgemm.cu`; each .cu file has one subject, and the module of the same one
starts its kernels. `launcher` says how, `compiler` how they are made; `emulator` and host/ run them without a card, one
fiber for each thread, and watch every access of memory.
"""
from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any

from .. import kernel
from . import choice


@functools.cache
def _module(name: str) -> Any:
    return importlib.import_module(f".{name}", __name__)


def _launched(op: str, where: str, takes: Callable[..., choice.Answer]) -> None:
    """Register the function of the name `op` in a module here, for both backends."""
    def compute(xp: Any, *arrays: Any, **options: Any) -> Any:
        return getattr(_module(where), op)(xp, *arrays, **options)

    compute.__name__ = op
    kernel("cuda", choice.on("cupy", takes))(compute)
    kernel("emu", choice.on("numpy", takes), choice.when_asked)(compute)


_launched("matmul", "dense", choice.matrices)
_launched("linear", "dense", choice.rows)
_launched("linear_grad", "dense", choice.slopes)
_launched("softmax", "softmax", choice.lines)
_launched("log_softmax", "softmax", choice.lines)
_launched("cross_entropy", "softmax", choice.floats)
_launched("cross_entropy_grad", "softmax", choice.floats)
_launched("label_loss", "softmax", choice.labelled)
_launched("label_loss_grad", "softmax", choice.labelled_slopes)
_launched("adam", "optim", choice.parameters)
_launched("sgd", "optim", choice.parameters)
_launched("max_pool2d", "pool", choice.images)
_launched("max_pool2d_grad", "pool", choice.winners)
_launched("avg_pool2d", "pool", choice.images)
_launched("avg_pool2d_grad", "pool", choice.images)
_launched("conv2d", "conv", choice.windowed)
_launched("conv2d_relu", "conv", choice.windowed)
_launched("conv2d_input_grad", "conv", choice.windowed_back)
_launched("conv2d_weight_grad", "conv", choice.windowed_both)
_launched("conv2d_relu_grad", "fused", choice.windowed_all)
_launched("conv2d_relu_pool", "fused", choice.windowed)
_launched("conv2d_relu_pool_grad", "fused", choice.windowed_all)
_launched("unpool", "fused", choice.blocks)
_launched("pool_winners", "fused", choice.blocks)
_launched("relu_grad", "fused", choice.alike)
_launched("attention", "attention", choice.heads)
_launched("attention_grad", "attention", choice.heads_back)
_launched("embedding_grad", "lookup", choice.numbered)
_launched("scatter_add", "lookup", choice.scattered)
_launched("dropout", "dropout", choice.droppable)
_launched("philox", "dropout", choice.counters)
_launched("standardize", "norm", choice.normalizable)
_launched("standardize_grad", "norm", choice.normalized)
