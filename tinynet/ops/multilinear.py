"""Products of several vectors through one array of weights."""
from __future__ import annotations

from typing import Any

from tinynet.dtypes import name
from tinynet.errors import check_tensor
from tinynet.ops.matmul import einsum


def bilinear(input1: Any, input2: Any, weight: Any, bias: Any = None) -> Any:
    """out[o] = Σ_ij input1[i] weight[o, i, j] input2[j] + bias[o], for input1 (…, I), input2 (…, J), weight (O, I, J),
    bias (O,).

    RuntimeError for shapes and dtypes that do not fit.

    >>> tn.nn.functional.bilinear(tn.tensor([1., 2.]), tn.tensor([3.]), tn.ones(1, 2, 1))
    tensor([9.])
    """
    _check_bilinear(input1, input2, weight, bias)
    out = einsum("...i,oij,...j->...o", input1, weight, input2)
    return out if bias is None else out + bias


def _check_bilinear(input1: Any, input2: Any, weight: Any, bias: Any) -> None:
    given = {"input1": input1, "input2": input2, "weight": weight} | ({} if bias is None else {"bias": bias})
    for what, t in given.items():
        check_tensor("bilinear", t, what)
    if len({t.dtype for t in given.values()}) > 1:
        raise RuntimeError(f"bilinear(): All tensors must have the same dtype, got "
                           f"{', '.join(f'{what}: {name(t.dtype)}' for what, t in given.items())}: convert with "
                           f".to(dtype)")
    if weight.ndim != 3:
        raise RuntimeError(f"bilinear(): expected a weight (out, in1, in2), got {weight.shape}")
    if input1.ndim != input2.ndim or not input1.ndim:
        raise RuntimeError(f"bilinear(): input dimensions do not match: got {input1.ndim} and {input2.ndim}; expected "
                           f"input1 (…, {weight.shape[1]}) and input2 (…, {weight.shape[2]}), got {input1.shape} and "
                           f"{input2.shape}")
    for k, (n, m) in enumerate(zip(input1.shape[:-1], input2.shape[:-1], strict=True)):
        if n != m:
            raise RuntimeError(f"bilinear(): input batch dimensions do not match at dim {k}: got {n} and {m} (input1 "
                               f"{input1.shape}, input2 {input2.shape})")
    for k, (what, t) in enumerate((("input1", input1), ("input2", input2)), 1):
        if t.shape[-1] != weight.shape[k]:
            raise RuntimeError(f"bilinear(): {what} size does not match weight size: got {t.shape[-1]} but expected "
                               f"{weight.shape[k]}: weight {weight.shape} is (out, in1, in2), {what} {t.shape}")
    if bias is not None and bias.shape != weight.shape[:1]:
        raise RuntimeError(f"bilinear(): bias size does not match weight size: got {bias.shape} but expected "
                           f"{weight.shape[:1]}")
