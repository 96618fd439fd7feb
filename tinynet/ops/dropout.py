"""Dropout: elements, or whole channels, set to zero at random, so that no unit can rely on one other."""
from __future__ import annotations

import math
import warnings
from typing import Any

from tinynet import kernels
from tinynet.autograd.variable import raw, wrap
from tinynet.device import device_of
from tinynet.dtypes import float32, name
from tinynet.errors import check_tensor
from tinynet.ops._primitive import primitive
from tinynet.ops._streams import Philox, stream
from tinynet.ops.inplace import write


@primitive
def dropped(xp: Any, input: Any, noise: Any, *, p: float, drawn: tuple[int, Any, int] | None = None) -> Any:
    """input / (1 - p) where noise, from [0, 1), is p or more; else 0. drawn: the noise is a GPU's, which draws it as it
    needs it: the seed, where in the stream it begins, and for how many neighbours each number is."""
    return kernels.run("dropout", xp, input, noise, p=p, drawn=drawn)


dropped.vjp(input=lambda g, noise, p, drawn: dropped(g, noise, p=p, drawn=drawn))


def dropout(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """In training each element is 0 with probability p, else input / (1 - p): the expectation is the input. Otherwise
    the input. In input's own memory if inplace. ValueError for p outside [0, 1]. Srivastava et al., 2014.

    >>> tn.nn.functional.dropout(tn.ones(2, 3), p=0.5, training=False)
    tensor([[1., 1., 1.],
            [1., 1., 1.]])
    """
    return _dropped("dropout", input, p, training, inplace, lambda shape: shape)


def dropout2d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """dropout of whole channels of input (N, C, H, W): all of a channel's elements or none. Of three axes the second
    is the channels. Tompson et al., 2015.

    >>> tn.nn.functional.dropout2d(tn.ones(1, 2, 1, 1), p=1.0).flatten()
    tensor([0., 0.])
    """
    check_tensor("dropout2d", input)
    if input.ndim not in (3, 4):
        warnings.warn(f"dropout2d: Received a {input.ndim}-D input to dropout2d, which is deprecated and will result "
                      f"in an error in a future release: channels of images are (N, C, H, W); for other inputs "
                      f"use dropout.", stacklevel=2)
    if input.ndim == 3:
        warnings.warn("dropout2d: Received a 3D input to dropout2d, which is read as (N, C, L), where C is the channel "
                      "dim, not as (C, H, W): for one image use input.unsqueeze(0).", stacklevel=2)
    return _dropped("dropout2d", input, p, training, inplace, _one_for_each_channel)


def _one_for_each_channel(shape: tuple[int, ...]) -> tuple[int, ...]:
    if len(shape) < 2:
        raise RuntimeError(f"Feature dropout requires at least 2 dimensions in the input, got the shape {shape}")
    return (*shape[:2], *[1] * (len(shape) - 2))


def _dropped(op: str, input: Any, p: float, training: bool, inplace: bool, mask_shape: Any) -> Any:
    check_tensor(op, input)
    if not 0 <= p <= 1:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    if not training or p == 0:
        return input
    if input.dtype.kind != "f":
        raise RuntimeError(f"{op}: result type Float can't be cast to the desired output type {name(input.dtype)}: use "
                           f"input.float()")
    source, shape = stream(None, device_of(raw(input))), mask_shape(input.shape)
    if isinstance(source, Philox):
        count = math.prod(shape)
        out = dropped(input, None, p=p, drawn=(*source.take(count), input.numel() // max(count, 1) or 1))
    else:
        out = dropped(input, wrap(source.random(shape, dtype=float32)), p=p)
    return write(input, out, own=True) if inplace else out
