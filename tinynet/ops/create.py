"""Tensors from data, and tensors filled by a rule.

Of dtypes: arrays keep theirs, Python floats get the default dtype, ints int64, bools bool.
"""
from __future__ import annotations

import math
import operator
import warnings
from typing import Any

import numpy as np

from tinynet.autograd.variable import Variable, raw, wrap
from tinynet.device import array_module, backend, beside, host, is_array, placed
from tinynet.dtypes import SUPPORTED, Array, DType, as_dtype, bool_, get_default_dtype, int64, name
from tinynet.dtypes import result_type as common_dtype
from tinynet.ops.elementwise import cast
from tinynet.ops.joining import stack
from tinynet.ops.shape import expand

Shape = tuple[int, ...]
PLAIN: dict[type, Any] = {bool: lambda: bool_, int: lambda: int64, float: get_default_dtype}


# ---- what every creator shares
def finish(array: Array, requires_grad: bool = False) -> Any:
    """The tensor of a new array, a leaf of the graph if asked for."""
    t = wrap(array)
    if requires_grad:
        t.track()
    return t


def float_or(dtype: Any) -> DType:
    """dtype, or the default float if None."""
    return get_default_dtype() if dtype is None else as_dtype(dtype)


def size_of(function: str, sizes: tuple[Any, ...], size: Any = None) -> Shape:
    """The shape meant by f(2, 3), f((2, 3)) or f(size=(2, 3))."""
    if size is not None:
        sizes = (size,)
    if not sizes:
        raise TypeError(f'{function}() missing 1 required positional arguments: "size"')
    given = sizes[0] if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)) else sizes
    shape = tuple(whole(f"{function}(): argument 'size'", n) for n in given)
    for n in shape:
        if n < 0:
            raise RuntimeError(f"{function}: Trying to create tensor with negative dimension {n}: {[*shape]}")
    return shape


def whole(what: str, n: Any) -> int:
    """n as an int; a float is not rounded but refused."""
    if isinstance(n, bool) or not hasattr(n, "__index__"):
        raise TypeError(f"{what} must be of ints, not {n!r} of type {type(n).__name__}")
    return operator.index(n)


def array_of(function: str, input: Any) -> Array:
    """The array of a Tensor; TypeError for anything else."""
    if not isinstance(input, Variable):
        raise TypeError(f"{function}(): argument 'input' must be Tensor, not {type(input).__name__}")
    return input.array


def number(what: str, x: Any) -> Any:
    """A Python number, of a number or a 0-d tensor."""
    x = raw(x)
    if hasattr(x, "item") and x.ndim == 0:
        x = x.item()
    if not isinstance(x, (bool, int, float)):
        raise TypeError(f"{what} must be Number, not {type(x).__name__}")
    return x


def array_in(data: Any) -> Array:
    """The array of a tensor, an array itself, or what NumPy makes of something else."""
    return data.array if isinstance(data, Variable) else data if is_array(data) else np.asarray(data)


def store(numbers: Any, dtype: DType) -> Array:
    """Python's numbers as an array of dtype. RuntimeError for one that an integer dtype cannot hold."""
    with np.errstate(over="ignore"):  # a float too large is inf
        if dtype.kind in "fb":
            return np.array(numbers, dtype)
    exact, bounds = np.array(numbers), np.iinfo(dtype)
    exact = exact.astype(int64) if exact.dtype == bool_ else exact
    if exact.dtype.kind not in "if":
        raise ValueError("Overflow when unpacking long long: an integer here does not fit in int64")
    wraps = dtype.kind == "u" and exact.dtype.kind == "i"  # PyTorch lets -1 mean 255
    low = -bounds.max if wraps else bounds.min
    if not ((exact >= low) & (exact < bounds.max + 1)).all():
        raise RuntimeError(f"value cannot be converted to type {name(dtype)} without overflow")
    return exact.astype(int64).astype(dtype)


# ---- from data
def tensor(data: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Any:
    """A new tensor with a copy of `data`: a number, (nested) lists of numbers, an array or a tensor.

    ValueError if lists at one level differ in length, TypeError for what is no real number.

    >>> tn.tensor([[1, 2.5], [3, 4]])
    tensor([[1.0000, 2.5000],
            [3.0000, 4.0000]])
    """
    array_module(device)
    target = None if dtype is None else as_dtype(dtype)
    if isinstance(data, Variable) or hasattr(data, "__array__"):
        a = checked(array_in(data))
        moved = placed(a, device)
        with beside(moved):
            a = backend(moved).array(moved, target or a.dtype)
        return finish(a, requires_grad)
    flat, shape = flatten(data)
    return finish(placed(store(flat, target or dtype_of(flat)).reshape(shape), device), requires_grad)


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Any:
    """`data` as a tensor, copied only if it must be: a tensor is returned itself, an array shares its memory.

    >>> a = np.zeros(2); tn.as_tensor(a)[0] = 1; a
    array([1., 0.])
    """
    array_module(device)
    if is_array(data) and (dtype is None or as_dtype(dtype) == data.dtype):
        data = from_numpy(data) if isinstance(data, np.ndarray) else wrap(checked(data).view())
    if isinstance(data, Variable):
        data = data if device is None else data.to(device)  # type: ignore[attr-defined]
        same = dtype is None or as_dtype(dtype) == data.array.dtype
        return data if same else cast(data, dtype=as_dtype(dtype))
    return tensor(data, dtype=dtype, device=device)


def from_numpy(ndarray: Array) -> Any:
    """A tensor that shares memory with the array.

    ValueError for negative strides, TypeError for a dtype that tensors do not have.

    >>> tn.from_numpy(np.arange(3))
    tensor([0, 1, 2])
    """
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type(ndarray).__name__})")
    if any(s < 0 for s in ndarray.strides):
        raise ValueError("At least one stride in the given numpy array is negative, which tensors do not "
                         "support. Share a copy of it: from_numpy(array.copy())")
    a = checked(ndarray)
    if not a.flags.writeable:
        warnings.warn("The given NumPy array is not writable: a tensor that shares its memory cannot be "
                      "changed. Use tensor(array) for a copy.", UserWarning, stacklevel=2)
    return wrap(np.asarray(a).view())  # the tensor's own array, whose base says that the memory is not


def checked(a: Array) -> Array:
    """a, if its dtype is one a tensor can have."""
    if a.dtype in SUPPORTED:
        return a
    if a.dtype.newbyteorder("=") in SUPPORTED:
        raise ValueError("given numpy array has byte order different from the native byte order. Convert it: "
                         "array.astype(array.dtype.newbyteorder('='))")
    raise TypeError(f"can't convert np.ndarray of type {a.dtype.type.__name__}. "
                    f"The only supported types are: {', '.join(map(name, SUPPORTED))}.")


def flatten(data: Any) -> tuple[list[Any], Shape]:
    """The numbers in nested sequences, in reading order, and the shape of the nest; found level by level."""
    level, shape = [data], list[int]()
    while level and nested(level[0]):
        n, depth = len(level[0]), len(shape)
        for row in level:
            if not nested(row):
                raise TypeError(f"not a sequence: expected one of length {n} at dim {depth}, got {row!r}")
            if len(row) != n:
                raise ValueError(f"expected sequence of length {n} at dim {depth} (got {len(row)})")
        shape.append(n)
        level = [x for row in level for x in row]
    if not set(map(type, level)) <= PLAIN.keys():
        level = [leaf_number(x, len(shape)) for x in level]
    return level, tuple(shape)


def nested(x: Any) -> bool:
    """Whether x has a length of its own."""
    return isinstance(x, (list, tuple, range)) or (is_array(x) and x.ndim > 0)


def leaf_number(x: Any, depth: int) -> Any:
    """A number inside a list: Python's, NumPy's, or a tensor's only element."""
    if nested(x):
        raise TypeError(f"expected a number at dim {depth}, as its neighbours are, got {x!r}")
    x = raw(x)
    x = host(x) if is_array(x) else x
    if isinstance(x, (np.generic, np.ndarray)):
        if x.size != 1:
            raise ValueError("only one element tensors can be converted to Python scalars; "
                             "join tensors with stack() or cat()")
        return checked(x).reshape(())[()]
    if isinstance(x, (bool, int, float)):
        return x
    if isinstance(x, (str, bytes, complex)):
        raise TypeError(f"a tensor holds real numbers: invalid data {x!r} of type {type(x).__name__}")
    raise RuntimeError(f"Could not infer dtype of {type(x).__name__}")


def dtype_of(numbers: list[Any]) -> DType:
    """The widest dtype of the highest kind (bool, int, float) among the numbers; of none, the default."""
    dtypes = {x.dtype for x in numbers if isinstance(x, np.generic)}
    for kind in set(map(type, numbers)):
        if not issubclass(kind, np.generic):
            dtypes.add(next(dtype() for plain, dtype in PLAIN.items() if issubclass(kind, plain)))
    return common_dtype([np.empty(1, d) for d in dtypes]) if dtypes else get_default_dtype()


# ---- filled
def zeros(*sizes: Any, size: Any = None, dtype: Any = None, device: Any = None,
          requires_grad: bool = False) -> Any:
    """All 0. The size is given as numbers or as a tuple.

    >>> tn.zeros(2, dtype=tn.int64)
    tensor([0, 0])
    """
    return finish(array_module(device).zeros(size_of("zeros", sizes, size), float_or(dtype)), requires_grad)


def ones(*sizes: Any, size: Any = None, dtype: Any = None, device: Any = None,
         requires_grad: bool = False) -> Any:
    """All 1. The size is given as numbers or as a tuple.

    >>> tn.ones((1, 2))
    tensor([[1., 1.]])
    """
    return finish(array_module(device).ones(size_of("ones", sizes, size), float_or(dtype)), requires_grad)


def empty(*sizes: Any, size: Any = None, dtype: Any = None, device: Any = None,
          requires_grad: bool = False) -> Any:
    """Memory as it was found: whatever values are there, until you write.

    >>> tn.empty(2, 3).shape
    (2, 3)
    """
    return finish(array_module(device).empty(size_of("empty", sizes, size), float_or(dtype)), requires_grad)


def full(size: Any, fill_value: Any, *, dtype: Any = None, device: Any = None,
         requires_grad: bool = False) -> Any:
    """All fill_value, whose type decides the dtype if none is given.

    >>> tn.full((2,), 7)
    tensor([7, 7])
    """
    if not isinstance(size, (tuple, list)):
        raise TypeError(f"full(): argument 'size' must be tuple of ints, not {type(size).__name__}")
    value = number("full(): argument 'fill_value'", fill_value)
    value = store(value, dtype_of([value]) if dtype is None else as_dtype(dtype))
    return finish(array_module(device).full(size_of("full", (size,)), value.item(), value.dtype), requires_grad)


def _like(function: str, input: Any, fill: Any, dtype: Any, device: Any, requires_grad: bool) -> Any:
    array_module(device)
    a = array_of(function, input)
    with beside(a):
        out = backend(a).empty_like(a, a.dtype if dtype is None else as_dtype(dtype))
    if fill is not None:
        out[...] = store(fill, out.dtype).item()
    out = placed(out, device)
    return finish(out, requires_grad)


def zeros_like(input: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Any:
    """All 0, in the shape and dtype of input.

    >>> tn.zeros_like(tn.tensor([1, 2]))
    tensor([0, 0])
    """
    return _like("zeros_like", input, 0, dtype, device, requires_grad)


def ones_like(input: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Any:
    """All 1, in the shape and dtype of input.

    >>> tn.ones_like(tn.tensor([1., 2.]))
    tensor([1., 1.])
    """
    return _like("ones_like", input, 1, dtype, device, requires_grad)


def empty_like(input: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Any:
    """Memory as it was found, in the shape and dtype of input.

    >>> tn.empty_like(tn.ones(2, 3)).shape
    (2, 3)
    """
    return _like("empty_like", input, None, dtype, device, requires_grad)


def full_like(input: Any, fill_value: Any, *, dtype: Any = None, device: Any = None,
              requires_grad: bool = False) -> Any:
    """All fill_value, in the shape and dtype of input.

    >>> tn.full_like(tn.ones(2), 3)
    tensor([3., 3.])
    """
    value = number("full_like(): argument 'fill_value'", fill_value)
    return _like("full_like", input, value, dtype, device, requires_grad)


# ---- sequences
def arange(start: Any = None, end: Any = None, step: Any = 1, *, dtype: Any = None, device: Any = None,
           requires_grad: bool = False) -> Any:
    """start, start + step, … up to but without end: arange(end), arange(start, end) or with a step too.

    int64 if all are ints, the default float otherwise. RuntimeError if step is 0 or leads away from end.

    >>> tn.arange(1, 4)
    tensor([1, 2, 3])
    """
    if start is None and end is None:
        raise TypeError("arange() missing required argument: 'end'")
    given = (0, start, step) if end is None else (0 if start is None else start, end, step)
    limits = [number("arange(): every argument", x) for x in given]
    target = dtype_of([*limits, 0]) if dtype is None else as_dtype(dtype)
    if target == bool_:
        raise NotImplementedError("arange is not implemented for bool; use an integer dtype")
    if not all(map(math.isfinite, limits)):
        raise RuntimeError(f"unsupported range: {limits[0]} -> {limits[1]}")
    low, high, by = limits if target.kind == "f" else map(int, limits)
    if by == 0:
        raise RuntimeError("step must be nonzero")
    if (high - low) * by < 0:
        raise RuntimeError(f"upper bound and lower bound inconsistent with step sign: {low}, {high}, {by}")
    n = math.ceil((high - low) / by) if target.kind == "f" else -((low - high) // by)
    return finish((low + by * array_module(device).arange(n)).astype(target), requires_grad)


def linspace(start: Any, end: Any, steps: int, *, dtype: Any = None, device: Any = None,
             requires_grad: bool = False) -> Any:
    """`steps` numbers from start to end, both included, evenly spaced.

    >>> tn.linspace(0, 1, 3)
    tensor([0.0000, 0.5000, 1.0000])
    """
    low, high = (number("linspace(): start and end", x) for x in (start, end))
    n, target = whole("linspace(): argument 'steps'", steps), float_or(dtype)
    if n < 0:
        raise RuntimeError(f"number of steps must be non-negative, got {n}")
    if target == bool_:
        raise NotImplementedError("linspace is not implemented for bool")
    return finish(array_module(device).linspace(low, high, n).astype(target), requires_grad)


# ---- matrices and grids
def eye(n: int, m: int | None = None, *, dtype: Any = None, device: Any = None,
        requires_grad: bool = False) -> Any:
    """The n x m (n x n) matrix with 1 on the diagonal and 0 elsewhere.

    >>> tn.eye(2)
    tensor([[1., 0.],
            [0., 1.]])
    """
    rows, columns = whole("eye(): argument 'n'", n), whole("eye(): argument 'm'", n if m is None else m)
    for what, k in (("n", rows), ("m", columns)):
        if k < 0:
            raise RuntimeError(f"{what} must be greater or equal to 0, got {k}")
    return finish(array_module(device).eye(rows, columns, dtype=float_or(dtype)), requires_grad)


def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple[Any, ...]:
    """The k-th result varies along axis k as the k-th vector does ("xy": axes 0 and 1 exchanged). Views.

    >>> tn.meshgrid(tn.arange(2), tn.arange(2))[1]
    tensor([[0, 1],
            [0, 1]])
    """
    vectors = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)) else tensors
    if not vectors:
        raise RuntimeError("meshgrid expects a non-empty TensorList")
    for v in vectors:
        if array_of("meshgrid", v).ndim > 1:
            raise RuntimeError(f"meshgrid: Expected 0D or 1D tensors but got one of shape {[*v.shape]}")
        if v.dtype != vectors[0].dtype:
            raise RuntimeError(f"meshgrid expects all tensors to have the same dtype, "
                               f"got {name(vectors[0].dtype)} and {name(v.dtype)}")
    if indexing not in ("ij", "xy"):
        raise RuntimeError(f'meshgrid: indexing must be one of "xy" or "ij", but received: {indexing}')
    axes = list(range(len(vectors)))
    if indexing == "xy":
        axes[:2] = axes[:2][::-1]
    shape = tuple(vectors[k].array.size for k in axes)
    columns = [v.reshape((-1, *(1,) * (len(axes) - 1 - axis))) for axis, v in zip(axes, vectors, strict=True)]
    return tuple(expand(column, shape=shape) for column in columns)


def cartesian_prod(*tensors: Any) -> Any:
    """Every combination of the vectors' elements, one a row, the last varying fastest.

    >>> tn.cartesian_prod(tn.tensor([1, 2]), tn.tensor([5, 6]))
    tensor([[1, 5],
            [1, 6],
            [2, 5],
            [2, 6]])
    """
    for t in tensors:
        if array_of("cartesian_prod", t).ndim != 1:
            raise RuntimeError(f"Expect a 1D vector, but got shape {list(t.shape)}")
    return tensors[0] if len(tensors) == 1 else stack([m.reshape((-1,)) for m in meshgrid(*tensors)], 1)


def _triangle(below: bool, row: int, col: int, offset: int, dtype: Any, device: Any) -> Any:
    for what, n in (("row", row), ("col", col)):
        if whole(f"argument '{what}'", n) < 0:
            raise RuntimeError(f"{what} must be non-negative, got {n}")
    xp = array_module(device)
    mask = xp.tri(row, col, offset, dtype=bool) if below else ~xp.tri(row, col, offset - 1, dtype=bool)
    return wrap(xp.stack(xp.nonzero(mask)).astype(as_dtype(dtype)))


def tril_indices(row: int, col: int, offset: int = 0, *, dtype: Any = int64, device: Any = None) -> Any:
    """Rows and columns of the elements on and below diagonal `offset` of a row x col matrix: shape (2, n).

    >>> tn.tril_indices(2, 2)
    tensor([[0, 1, 1],
            [0, 0, 1]])
    """
    return _triangle(True, row, col, offset, dtype, device)


def triu_indices(row: int, col: int, offset: int = 0, *, dtype: Any = int64, device: Any = None) -> Any:
    """Rows and columns of the elements on and above diagonal `offset` of a row x col matrix: shape (2, n).

    >>> tn.triu_indices(2, 2)
    tensor([[0, 0, 1],
            [0, 1, 1]])
    """
    return _triangle(False, row, col, offset, dtype, device)
