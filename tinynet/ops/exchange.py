"""Tensors from elsewhere: from another device, or from another library."""
from __future__ import annotations

from typing import Any

import numpy as np

from tinynet.autograd.variable import wrap
from tinynet.device import array_module, move
from tinynet.device import device as Device
from tinynet.dtypes import Array
from tinynet.ops._primitive import primitive
from tinynet.ops.create import checked

CPU, GPU = 1, 2  # DLPack's numbers for them


@primitive
def to_device(xp: Any, a: Array, *, device: Device, back: Device) -> Array:
    """a on another device; its gradient goes back to where a is."""
    return move(a, device)


to_device.vjp(a=lambda g, device, back: to_device(g, device=back, back=device))


def from_dlpack(ext_tensor: Any, *, device: Any = None, copy: bool | None = None) -> Any:
    """A tensor that shares the memory of another library's: of PyTorch's, CuPy's, JAX's, ... on the CPU or a GPU.

    device: where to put it. copy: True for memory of its own, False to refuse that. BufferError where none is shared.

    >>> tn.from_dlpack(np.arange(3))
    tensor([0, 1, 2])
    """
    if not hasattr(ext_tensor, "__dlpack_device__"):
        raise TypeError(f"from_dlpack(): argument 'ext_tensor' must have __dlpack__, as what shares its memory has: "
                        f"{type(ext_tensor).__name__} has not; use tensor()")
    kind, number = ext_tensor.__dlpack_device__()
    if kind not in (CPU, GPU):
        raise BufferError(f"from_dlpack(): Unsupported device type {kind} of DLPack: move it to the CPU there")
    xp = np if kind == CPU else array_module(Device("cuda", number))
    shared = wrap(checked(xp.from_dlpack(ext_tensor)))
    moved = shared if device is None else shared.to(device)
    if moved is not shared and copy is False:
        raise ValueError(f"from_dlpack(): cannot move the tensor from {shared.device} to {device} without copying")
    return moved.clone() if copy and moved is shared else moved
