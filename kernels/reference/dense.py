"""Products of matrices, and the linear layer."""
from __future__ import annotations

from typing import Any

from .. import kernel
from .activation import gelu, gelu_grad


@kernel("reference", ufuncs=True)
def matmul(xp: Any, a: Any, b: Any) -> Any:
    """y[…, i, j] = Σ_k a[…, i, k] b[…, k, j], leading axes broadcast."""
    return xp.matmul(a, b)


@kernel("reference", ufuncs=True)
def linear(xp: Any, x: Any, w: Any, b: Any = None, *, relu: bool = False) -> Any:
    """y[n, o] = b[o] + Σ_i x[n, i] w[o, i]; relu: max(y, 0). x (N, I), w (O, I), b (O,)."""
    y = xp.dot(x, w.T)  # of matrices the same as matmul, and quicker to start
    if b is not None:
        y += b
    return xp.maximum(y, 0, out=y) if relu else y


@kernel("reference", ufuncs=True)
def linear_grad(xp: Any, g: Any, x: Any, w: Any, y: Any = None, *, wanted: Any) -> Any:
    """The gradients of x, w and b, None where not wanted, when that of the linear layer's output is g; or that of
    max(0, output), which is y."""
    if y is not None:
        g = xp.where(y <= 0, g.dtype.type(0), g)
    return (xp.dot(g, w) if wanted[0] else None, xp.dot(g.T, x) if wanted[1] else None,
            xp.add.reduce(g, axis=0) if wanted[2] else None)


@kernel("reference")
def feed_forward(xp: Any, x: Any, w1: Any, b1: Any, w2: Any, b2: Any) -> tuple[Any, Any]:
    """gelu(h) w2ᵀ + b2 for h = x w1ᵀ + b1, and h."""
    h = linear(xp, x, w1, b1)
    return linear(xp, gelu(xp, h), w2, b2), h


@kernel("reference")
def feed_forward_grad(xp: Any, g: Any, x: Any, w1: Any, h: Any, w2: Any) -> tuple[Any, ...]:
    """The gradients of x, w1, b1, w2 and b2, when that of the result is g."""
    of_active, dw2, db2 = linear_grad(xp, g, gelu(xp, h), w2, wanted=(True, True, True))
    dx, dw1, db1 = linear_grad(xp, gelu_grad(xp, of_active, h), x, w1, wanted=(True, True, True))
    return dx, dw1, db1, dw2, db2
