"""`tn.set_precision`: how float32 is multiplied on a GPU."""
from __future__ import annotations

import importlib
from functools import partial
from typing import Any

from tinynet.nvidia import library

TYPES = {"fp32": "COMPUTE_TYPE_FP32", "tf32": "COMPUTE_TYPE_TF32"}  # what CuPy calls them


def set_precision(precision: str) -> None:
    """How a GPU multiplies float32, from now on: "fp32", exactly, as at first; or "tf32", several times as fast, by
    tensor cores that look at 10 bits of each fraction and add in fp32, so that products are off by about 1/2000.

    It holds for matrix products and convolutions, by our own kernels and by cuBLAS; attention, which is one kernel,
    stays in fp32, and so does a CPU. ValueError for another name.

    >>> tn.set_precision("tf32")
    >>> tn.set_precision("fp32")
    """
    from tinynet.kernels.cuda import choice  # late: `import tinynet` need not wait for it

    choice.set_precision(precision)
    library.when_opened = partial(tell, precision)
    if (cupy := library.loaded()) is not None:
        library.when_opened(cupy)


def tell(precision: str, cupy: Any) -> None:
    """Let CuPy ask the same of cuBLAS. (It has no public name for that, but $CUPY_TF32, which it reads once.)"""
    linalg = importlib.import_module("cupy._core._routines_linalg")
    linalg.set_compute_type("f", getattr(linalg, TYPES[precision]))
