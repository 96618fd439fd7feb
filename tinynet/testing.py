"""For tests, of tinynet's own ops and of yours: gradcheck, assert_close, and Hypothesis strategies.

    from hypothesis import given
    @given(tn.testing.tensors(requires_grad=True))
    def test_mine(x):
        assert tn.testing.gradcheck(mine, x)

The strategies need Hypothesis (`pip install hypothesis`); the rest does not.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tinynet.autograd.gradcheck import GradcheckError, GradcheckResult, gradcheck, gradgradcheck
from tinynet.dtypes import float64
from tinynet.tensor import Tensor

__all__ = ["ConvConfig", "GradcheckError", "GradcheckResult", "arrays", "assert_close", "broadcastable",
           "conv_configs", "gradcheck", "gradgradcheck", "shapes", "tensors"]

TOLERANCE = {"float16": (1e-3, 1e-5), "float32": (1.3e-6, 1e-5), "float64": (1e-7, 1e-7)}  # rtol, atol
EXACT = (0.0, 0.0)  # of integers and bools


def assert_close(actual: Any, expected: Any, *, rtol: float | None = None, atol: float | None = None,
                 equal_nan: bool = False, check_dtype: bool = True, msg: str | None = None) -> None:
    """AssertionError unless |actual - expected| <= atol + rtol * |expected| everywhere, with shapes and
    dtypes equal.

    Tensors, arrays, numbers, and sequences and mappings of them. rtol and atol are given together or not at
    all: then they follow the dtype (float32 1.3e-6, 1e-5; float64 1e-7, 1e-7; float16 1e-3, 1e-5; integers
    and bools 0, 0).

    >>> tn.testing.assert_close(tn.tensor([1.0]), tn.tensor([1.0 + 1e-7]))
    >>> tn.testing.assert_close(tn.tensor([1, 2]), tn.tensor([1, 3]))
    Traceback (most recent call last):
    AssertionError: Tensor-likes are not equal!...
    """
    if (rtol is None) != (atol is None):
        raise ValueError(f"rtol and atol must both be specified or both be unspecified, but got rtol={rtol} "
                         f"and atol={atol}")
    compare(actual, expected, rtol, atol, equal_nan, check_dtype, msg, "")


def compare(actual: Any, expected: Any, rtol: float | None, atol: float | None, equal_nan: bool,
            check_dtype: bool, msg: str | None, where: str) -> None:
    """assert_close, at a place inside a sequence or mapping."""
    rest = rtol, atol, equal_nan, check_dtype, msg
    if isinstance(expected, Mapping) and isinstance(actual, Mapping):
        if actual.keys() != expected.keys():
            fail(f"The keys of the mappings do not match: {sorted(actual)} != {sorted(expected)}", where, msg)
        for key in expected:
            compare(actual[key], expected[key], *rest, f"{where}[{key!r}]")
        return
    if all(isinstance(a, Sequence) and not isinstance(a, str) for a in (actual, expected)):
        if len(actual) != len(expected):
            fail(f"The length of the sequences mismatch: {len(actual)} != {len(expected)}", where, msg)
        for k, (a, e) in enumerate(zip(actual, expected, strict=True)):
            compare(a, e, *rest, f"{where}[{k}]")
        return
    if actual is None and expected is None:
        return
    a, e = as_array(actual), as_array(expected)
    if a is None or e is None:
        raise TypeError("assert_close compares tensors, arrays and numbers (and sequences and mappings of "
                        f"them), not {type(actual).__name__} and "
                        f"{type(expected).__name__}{where and f' at item {where}'}")
    if a.shape != e.shape:
        fail(f"The values for attribute 'shape' do not match: {a.shape} != {e.shape}.", where, msg)
    if check_dtype and a.dtype != e.dtype:
        fail(f"The values for attribute 'dtype' do not match: {a.dtype} != {e.dtype}.", where, msg)
    loosest = [max(pair) for pair in zip(*(TOLERANCE.get(x.dtype.name, EXACT) for x in (a, e)), strict=True)]
    r, t = loosest if rtol is None or atol is None else (rtol, atol)
    report = mismatch(a, e, r, t, equal_nan)
    if report:
        fail(report, where, msg)


def as_array(a: Any) -> Any:
    """The NumPy array of a tensor, array or number; None for anything else."""
    a = a.detach().cpu().numpy() if isinstance(a, Tensor) else a
    a = a.numpy(force=True) if type(a).__module__ == "torch" else a
    return np.asarray(a) if isinstance(a, (np.ndarray, np.generic, int, float, bool)) else None


def mismatch(a: Any, e: Any, rtol: float, atol: float, equal_nan: bool) -> str:
    """What to say of two arrays of one shape that differ by more than is allowed; "" if they do not."""
    wide = np.result_type(a, e)
    x, y = (z.astype(wide if wide.kind == "f" else np.int64) for z in (a, e))
    with np.errstate(all="ignore"):
        difference = np.abs(x - y)
        fine = (x == y) | ((difference <= atol + rtol * np.abs(y)) & np.isfinite(y.astype(float)))
        relative = np.where(x == y, 0, difference / np.abs(y).astype(float))
    if equal_nan:
        fine = fine | ((x != x) & (y != y))
    if np.all(fine):
        return ""
    what = "Tensor-likes" if a.ndim else "Scalars"
    lines = [f"{what} are not {'close' if rtol or atol else 'equal'}!", ""]
    if what == "Scalars":
        return "\n".join([*lines, f"Expected {e.item()} but got {a.item()}.",
                          f"Absolute difference: {difference.item()} (up to {atol} allowed)",
                          f"Relative difference: {relative.item()} (up to {rtol} allowed)"])
    wrong = np.asarray(~fine)
    lines.append(f"Mismatched elements: {wrong.sum()} / {wrong.size} ({100 * wrong.mean():.1f}%)")
    for name, values, allowed in (("absolute", difference, atol), ("relative", relative, rtol)):
        ranked = np.where(wrong, np.where(values != values, np.inf, values.astype(float)), -1.0)
        at = tuple(int(i) for i in np.unravel_index(int(np.argmax(ranked)), wrong.shape))
        lines.append(f"Greatest {name} difference: {values[at]} at index {at} (up to {allowed} allowed): "
                     f"{a[at]} and {e[at]}")
    return "\n".join(lines)


def fail(text: str, where: str, msg: str | None) -> None:
    """Raise the AssertionError."""
    raise AssertionError(msg or (f"{text}\n\nThe failure occurred for item {where}" if where else text))


# ---- strategies
def hypothesis() -> tuple[Any, Any]:
    """(hypothesis.strategies, hypothesis.extra.numpy), when they are first wanted."""
    try:
        import hypothesis.extra.numpy as numpy_strategies
        import hypothesis.strategies as strategies
    except ImportError as e:
        raise ImportError("the strategies of tn.testing draw with Hypothesis, which is not installed: pip "
                          "install hypothesis") from e
    return strategies, numpy_strategies


def shapes(min_dims: int = 0, max_dims: int = 3, min_side: int = 1, max_side: int = 4) -> Any:
    """Strategy: shapes, as tuples; min_side=0 to include tensors without elements.

    >>> from hypothesis import find  # the simplest there is
    >>> find(tn.testing.shapes(), lambda shape: len(shape) == 2)
    (1, 1)
    """
    return hypothesis()[1].array_shapes(min_dims=min_dims, max_dims=max_dims,
                                        min_side=min_side, max_side=max_side)


def arrays(shape: Any = None, dtype: Any = float64, min_value: float = -4.0, max_value: float = 4.0,
           contiguous: bool = False) -> Any:
    """Strategy: arrays of a shape (or of shapes from a strategy). Unless `contiguous`, their memory is laid
    out in any of the ways that views have: axes in another order, strides with gaps, backwards.

    >>> from hypothesis import find
    >>> find(tn.testing.arrays((3,), tn.int64, 0, 0), lambda a: a.strides == (16,))
    array([0, 0, 0])
    """
    st, _ = hypothesis()
    dtype = np.dtype(dtype)
    sizes = shapes() if shape is None else shape if isinstance(shape, st.SearchStrategy) else st.just(shape)

    def lay_out(draw: Any) -> Any:
        size, rng = tuple(draw(sizes)), np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        values: Any
        if dtype.kind == "f":
            values = rng.uniform(min_value, max_value, size)
        else:  # whole numbers, none negative if the dtype has none
            low = int(min_value) if dtype.kind == "i" else 0
            values = rng.integers(low, 2 if dtype.kind == "b" else int(max_value) + 1, size)
        a = np.asarray(values, dtype)
        layouts = ["plain"] if contiguous or not size else ["plain", "permuted", "gaps", "backwards"]
        layout = draw(st.sampled_from(layouts))
        if layout == "permuted":
            axes = draw(st.permutations(range(a.ndim)))
            return np.ascontiguousarray(a.transpose(axes)).transpose(np.argsort(axes))
        if layout == "gaps":
            return np.stack([a, a], -1)[..., 0]
        return np.ascontiguousarray(a[::-1])[::-1] if layout == "backwards" else a

    return st.composite(lay_out)()


def tensors(shape: Any = None, dtype: Any = float64, min_value: float = -4.0, max_value: float = 4.0,
            contiguous: bool = False, requires_grad: bool = False) -> Any:
    """Strategy: tensors, as `arrays`.

    >>> from hypothesis import find
    >>> find(tn.testing.tensors((2,), tn.int64, 0, 0), lambda t: True)
    tensor([0, 0])
    """
    def make(a: Any) -> Tensor:
        t = Tensor(a)
        return t.requires_grad_() if requires_grad else t
    return arrays(shape, dtype, min_value, max_value, contiguous).map(make)


def broadcastable(n: int = 2, max_dims: int = 3, max_side: int = 4) -> Any:
    """Strategy: n shapes that broadcast with each other.

    >>> from hypothesis import find
    >>> find(tn.testing.broadcastable(), lambda shapes: len(shapes[0]) > len(shapes[1]))
    ((1,), ())
    """
    drawn = hypothesis()[1].mutually_broadcastable_shapes(num_shapes=n, max_dims=max_dims, max_side=max_side)
    return drawn.map(lambda result: result.input_shapes)


class ConvConfig(NamedTuple):
    """A convolution that can be computed: shapes of input and weight, and the options.

    >>> tn.testing.ConvConfig((1, 2, 5, 5), (3, 2, 3, 3), (1, 1), (0, 0), (1, 1), 1).options["stride"]
    (1, 1)
    """

    x: tuple[int, ...]
    w: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int

    @property
    def options(self) -> dict[str, Any]:
        """stride, padding, dilation and groups, to pass on with **."""
        return {"stride": self.stride, "padding": self.padding, "dilation": self.dilation,
                "groups": self.groups}


def conv_configs(dims: int = 2, max_batch: int = 3, max_channels: int = 4, max_kernel: int = 3) -> Any:
    """Strategy: ConvConfigs, with strides, paddings, dilations, groups, and pixels that no window reaches.

    >>> from hypothesis import find
    >>> find(tn.testing.conv_configs(), lambda c: c.groups == 2).w
    (2, 1, 1, 1)
    """
    st, _ = hypothesis()

    def build(draw: Any) -> ConvConfig:
        def each(low: int, high: int) -> tuple[int, ...]:
            return tuple(draw(st.integers(low, high)) for _ in range(dims))

        groups = draw(st.integers(1, 2))
        cin, cout = (groups * draw(st.integers(1, max_channels // groups)) for _ in range(2))
        kernel, stride, dilation = each(1, max_kernel), each(1, 3), each(1, 2)
        padding, extra = each(0, 2), each(0, 4)
        least = [max(1, d * (k - 1) + 1 - 2 * p) for k, d, p in zip(kernel, dilation, padding, strict=True)]
        size = tuple(n + e for n, e in zip(least, extra, strict=True))
        return ConvConfig((draw(st.integers(1, max_batch)), cin, *size), (cout, cin // groups, *kernel),
                          stride, padding, dilation, groups)

    return st.composite(build)()
