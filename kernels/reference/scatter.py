"""Adding into an array at places that an index names."""
from __future__ import annotations

from typing import Any

import numpy as np

from .. import kernel


@kernel("reference")
def scatter_add(xp: Any, out: Any, values: Any, *, index: Any) -> None:
    """out[index] += values, in place; where the index names a place twice, twice. (CuPy so adds no other integers than
    of 32 bits and without a sign: int64 are added as uint64, which is the same to the bit, and small ones widened.)"""
    if xp is np or out.dtype.kind == "f" or out.dtype == "int32":
        xp.add.at(out, index, values)
    elif out.dtype == "int64":
        xp.add.at(out.view("uint64"), index, xp.asarray(values, "int64").view("uint64"))
    else:
        wide = out.astype("int32")
        xp.add.at(wide, index, xp.asarray(values, "int32"))
        out[...] = wide.astype(out.dtype)


@kernel("reference")
def embedding_grad(xp: Any, g: Any, index: Any, *, rows: int) -> Any:
    """Zeros of so many rows, with g[k] (…, columns) added to row index[k] (…)."""
    if xp is np and g.dtype != "float16":  # as a product with a sparse matrix of ones, far faster than add.at
        import scipy.sparse  # it takes long, so not before it is used

        flat = index.reshape(-1)
        looked_up = scipy.sparse.csr_array((np.ones(flat.size, g.dtype), flat, np.arange(flat.size + 1)),
                                           shape=(flat.size, rows))
        return looked_up.T @ g.reshape(flat.size, g.shape[-1])
    out = xp.zeros((rows, g.shape[-1]), g.dtype)
    scatter_add(xp, out, g, index=index)
    return out
