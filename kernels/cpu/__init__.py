"""The fast kernels on the CPU, for float32 and float64, compiled by Numba when they are first used.

To read them, begin with `vector` (registers as a type), then `panel` (the loop that everything stands on), `matmul` and
`conv` (how it is fed). `choice` says which cases go where; `compiler` and `threads` how code is made and run. Numba is
imported by the first case that wants it.
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


@functools.cache
def _function(module: str, op: str) -> Any:
    return getattr(_module(module), op)


def _twin(op: str, where: str | Callable[..., str], supports: Callable[..., Any], worth: Callable[..., Any]) -> None:
    """Register the function of the name `op` in a module here, whose name is `where`, or depends on the case."""
    def compute(xp: Any, *arrays: Any, **options: Any) -> Any:
        function = _function(where if isinstance(where, str) else where(*arrays, **options), op)
        if isinstance(where, str):
            register(function)  # from now on it is called itself
        return function(xp, *arrays, **options)

    def how(xp: Any, *arrays: Any, **options: Any) -> str:
        found = _module(where if isinstance(where, str) else where(*arrays, **options))
        return f"{found.__name__}: {found.__doc__.splitlines()[0]}"

    compute.__name__ = op
    register = kernel("numba", supports, worth, how, choice.numba_is_there)
    register(compute)


_twin("conv2d", choice.conv2d_module, choice.floats, choice.large_conv2d)
_twin("conv2d_input_grad", choice.input_grad_module, choice.floats, choice.large_input_grad)
_twin("conv2d_weight_grad", choice.weight_grad_module, choice.floats, choice.large_weight_grad)
_twin("in_rows", "layout", choice.last_channels, choice.many_numbers)
_twin("max_pool2d", "pool", choice.images, choice.many_numbers)
_twin("max_pool2d_grad", "pool", choice.winners, choice.many_numbers)
_twin("avg_pool2d", "pool", choice.floats, choice.many_numbers)
_twin("avg_pool2d_grad", "pool", choice.floats, choice.many_pixels)
_twin("matmul", "matmul", choice.matrices, choice.thick_matrices)
_twin("linear", "matmul", choice.rows, choice.thick_rows)
_twin("linear_grad", choice.linear_grad_module, choice.rows_and_slopes, choice.thick_slopes)
_twin("feed_forward", "feedforward", choice.floats, choice.small_layers)
_twin("feed_forward_grad", "feedforward", choice.floats, choice.small_layers_back)
_twin("softmax", "softmax", choice.floats, choice.many_scores)
_twin("log_softmax", "softmax", choice.floats, choice.many_scores)
_twin("cross_entropy", "softmax", choice.floats, choice.many_scores)
_twin("cross_entropy_grad", "softmax", choice.floats, choice.many_scores)
_twin("label_loss", "softmax", choice.labelled, choice.many_scores)
_twin("label_loss_grad", "softmax", choice.labelled_slopes, choice.many_slopes)
_twin("conv2d_relu", choice.fused_module, choice.floats, choice.large_conv2d)
_twin("conv2d_relu_grad", choice.fused_grad_module, choice.floats, choice.large_fused_grad)
_twin("conv2d_relu_pool", choice.pooled_module, choice.floats, choice.large_conv2d)
_twin("conv2d_relu_pool_grad", choice.fused_grad_module, choice.pooled, choice.large_fused_grad)
_twin("relu", "elementwise", choice.without_gaps, choice.very_many_numbers)
_twin("relu_grad", "elementwise", choice.without_gaps, choice.many_numbers)
_twin("add", "elementwise", choice.alike, choice.very_many_numbers)
_twin("standardize", choice.norm_module, choice.normalizable, choice.many_numbers)
_twin("standardize_grad", choice.norm_grad_module, choice.normalized, choice.many_numbers)
_twin("gelu", "activation", choice.floats, choice.many_numbers)
_twin("gelu_grad", "activation", choice.floats, choice.many_numbers)
_twin("dropout", "activation", choice.with_noise, choice.many_numbers)
_twin("attention", "attention", choice.attended, choice.many_scores_of_heads)
_twin("attention_grad", "attention", choice.attended_back, choice.many_scores_of_heads_back)
_twin("lstm", "recurrent", choice.floats, choice.long_walk)
_twin("lstm_grad", "recurrent", choice.floats, choice.long_walk_back)
_twin("gru", "recurrent", choice.floats, choice.long_walk)
_twin("gru_grad", "recurrent", choice.floats, choice.long_walk_back)
_twin("rnn", "recurrent", choice.floats, choice.long_walk)
_twin("rnn_grad", "recurrent", choice.floats, choice.long_walk_back)
_twin("embedding_grad", "lookup", choice.numbered, choice.many_numbers)
_twin("adam", "optim", choice.parameters, choice.always)
_twin("sgd", "optim", choice.parameters, choice.always)
