"""Products of matrices, and the linear layer."""
from __future__ import annotations

from typing import Any

from .. import kernel


@kernel("reference")
def matmul(xp: Any, a: Any, b: Any) -> Any:
    """y[…, i, j] = Σ_k a[…, i, k] b[…, k, j], leading axes broadcast."""
    return xp.matmul(a, b)


@kernel("reference")
def linear(xp: Any, x: Any, w: Any, b: Any = None, *, relu: bool = False) -> Any:
    """y[n, o] = b[o] + Σ_i x[n, i] w[o, i]; relu: max(y, 0). x (N, I), w (O, I), b (O,)."""
    y = xp.matmul(x, w.T)
    if b is not None:
        y += b
    return xp.maximum(y, 0, out=y) if relu else y


@kernel("reference")
def linear_grad(xp: Any, g: Any, x: Any, w: Any, y: Any = None, *, wanted: Any) -> Any:
    """The gradients of x, w and b, None where not wanted, when that of the linear layer's output is g; or that of
    max(0, output), which is y."""
    if y is not None:
        g = xp.where(y <= 0, g.dtype.type(0), g)
    return (xp.matmul(g, w) if wanted[0] else None, xp.matmul(g.T, x) if wanted[1] else None,
            g.sum(0) if wanted[2] else None)
