"""A stand-in for CuPy: arrays of a class of their own, which a test can use as if they were on a GPU.

It computes with NumPy, but is as strict as CuPy 14: nothing becomes an array of NumPy's by itself, NumPy's arrays are
no operands, and there are only the functions and parameters that CuPy has (`FUNCTIONS`, `UFUNCS`, `METHODS`, which
test_fake.py compares with CuPy where that is installed). In two things it is stricter: every array must be on the
device in use, and an index must not be an array of NumPy's, which CuPy would bring to the GPU unasked. What comes from
the GPU or goes there, and what makes the processor wait, is counted in `traffic`.

While a stream is recorded (`Stream.begin_capture`) nothing is computed: results are garbage, as on a card, and what
computes them is kept in the graph, which does it when it is launched.
"""

from __future__ import annotations

import builtins
import math
import operator
import sys
import threading
import time
import types
import weakref
from collections import Counter
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

__version__ = "14.2.0"
traffic: Counter[str] = Counter()

# What tinynet uses, with the parameters CuPy has
_TABLE = """
    all: a axis out keepdims
    any: a axis out keepdims
    arange: start stop step dtype
    argmax: a axis dtype out keepdims
    argmin: a axis dtype out keepdims
    argsort: a axis kind
    argwhere: a
    array: obj dtype copy order subok ndmin blocking
    array_equal: a1 a2 equal_nan
    asarray: a dtype order copy blocking
    ascontiguousarray: a dtype
    bincount: x weights minlength
    broadcast_to: array shape
    clip: a a_min a_max out
    concatenate: tup axis out dtype casting
    diagonal: a offset axis1 axis2
    dot: a b out
    empty: shape dtype order
    empty_like: prototype dtype order subok shape
    expand_dims: a axis
    eye: N M k dtype order
    flip: a axis
    full: shape fill_value dtype order
    full_like: a fill_value dtype order subok shape
    linspace: start stop num endpoint retstep dtype axis
    may_share_memory: a b max_work
    moveaxis: a source destination
    nan_to_num: x copy nan posinf neginf
    nonzero: a
    ones: shape dtype order
    ones_like: a dtype order subok shape
    put_along_axis: arr indices values axis
    repeat: a repeats axis
    result_type: *arrays_and_dtypes
    roll: a shift axis
    round: a decimals out
    searchsorted: a v side sorter
    sort: a axis kind
    split: ary indices_or_sections axis
    stack: tup axis out dtype casting
    swapaxes: a axis1 axis2
    take: a indices axis out
    take_along_axis: a indices axis
    tile: A reps
    tri: N M k dtype
    tril: m k
    triu: m k
    unique: ar return_index return_inverse return_counts axis equal_nan
    where: condition x y
    zeros: shape dtype order
    zeros_like: a dtype order subok shape
"""
FUNCTIONS = {name.strip(): known.strip() for name, known in (line.split(":") for line in _TABLE.strip().splitlines())}
OPEN = {"einsum", "ix_", "pad"}  # of any number of arguments
MATMUL = "matmul"
_NAMES = """
    abs add arccos arcsin arctan arctan2 bitwise_and bitwise_or bitwise_xor ceil cos cosh equal exp expm1 floor
    floor_divide greater greater_equal invert isfinite isinf isnan less less_equal log log10 log1p log2 logical_and
    logical_not logical_or logical_xor maximum minimum multiply negative not_equal power remainder sign sin sinh sqrt
    subtract tan tanh true_divide trunc
"""
UFUNCS = _NAMES.split()
_NAMES = """
    all any argmax argmin astype base copy cumprod cumsum data device diagonal dot dtype fill flags get item itemsize
    max mean min nbytes ndim nonzero prod ravel repeat reshape round searchsorted shape size sort squeeze strides sum
    swapaxes T take tobytes tolist transpose view
"""
METHODS = _NAMES.split()
LINALG = ["cholesky", "det", "eigvalsh", "inv", "norm", "qr", "slogdet", "solve", "svd"]
SPECIAL = ["erf", "ndtr"]  # of cupyx.scipy.special
PARAMETERS = {"max": "axis out keepdims", "min": "axis out keepdims", "sum": "axis dtype out keepdims",
              "prod": "axis dtype out keepdims", "cumsum": "axis dtype out", "cumprod": "axis dtype out",
              "all": "axis out keepdims", "any": "axis out keepdims", "mean": "axis dtype out keepdims",
              "astype": "dtype order casting subok copy", "copy": "order", "argmax": "axis out dtype keepdims",
              "argmin": "axis out dtype keepdims"}  # fmt: skip
WAITS = {"argwhere", "nonzero", "unique", "bincount", "array_equal"}  # CuPy must know how long the result is
BLAS = {"dot", "matmul", "einsum"}
ADDABLE = ("int32", "float16", "float32", "float64", "uint32", "uint64")  # atomicAdd has no others


# ---- devices and their memory
class _Current(threading.local):
    device = 0


class OutOfMemoryError(MemoryError):
    """CuPy's."""


class CUDARuntimeError(RuntimeError):
    """CuPy's."""


class Device:
    """A GPU of which there are two."""

    def __init__(self, device=None):
        self.id = _current.device if device is None else int(device)
        self._before = []

    def use(self):
        _current.device = self.id

    def __enter__(self):
        self._before.append(_current.device)
        _current.device = self.id
        return self

    def __exit__(self, *exc):
        _current.device = self._before.pop()

    def __eq__(self, other):
        return isinstance(other, Device) and self.id == other.id

    __hash__ = None

    def synchronize(self):
        traffic["wait"] += 1


class Block(NamedTuple):
    """Memory of a pool's."""

    pool: Pool
    size: int
    age: int


class Pool:
    """The memory of the GPUs: `capacity` bytes, of which dead arrays' stay taken until free_all_blocks()."""

    age = 0  # arrays of an earlier test may die in a later one

    def __init__(self):
        self.capacity, self.used, self.kept, self.frees, self.age = 10**9, 0, 0, 0, self.age + 1

    def malloc(self, size):
        if self.used + self.kept + size > self.capacity:
            raise OutOfMemoryError(f"Out of memory allocating {size:,} bytes (allocated so far: {self.used:,} bytes).")
        self.used += size
        return Block(self, size, self.age)

    def release(self, size, age):
        if age == self.age:
            self.used -= size
            self.kept += size

    def free_all_blocks(self):
        self.kept, self.frees = 0, self.frees + 1

    def used_bytes(self):
        return self.used

    def free_bytes(self):
        return self.kept

    def total_bytes(self):
        return self.used + self.kept


_current, _pool = _Current(), Pool()
_allocator = [_pool.malloc]
_of_thread = threading.local()  # .allocator, while using_allocator


def get_default_memory_pool():
    return _pool


@contextmanager
def _using_allocator(allocator):
    before, _of_thread.allocator = getattr(_of_thread, "allocator", None), allocator
    try:
        yield
    finally:
        _of_thread.allocator = before


def _malloc(size):
    return (getattr(_of_thread, "allocator", None) or _allocator[0])(size)


# ---- pinned memory, through which everything goes that is sent to a GPU
class PinnedPool:
    """That of the processor."""

    def malloc(self, size):
        return size


_pinned = PinnedPool()
_pinned_allocator = [_pinned.malloc]


def get_default_pinned_memory_pool():
    return _pinned


# ---- streams, and what is recorded of them
class Event:
    """A moment in the work of a stream."""

    def __init__(self, block=False, disable_timing=False, interprocess=False):
        self.time = 0.0

    def record(self, stream=None):
        self.time = time.perf_counter()

    def synchronize(self):
        _waits()


class Stream:
    """What is asked for in it is done at once, or recorded."""

    def __init__(self, null=False, non_blocking=False, ptds=False):
        self.null, self.thunks, self.void = null, None, False

    def __enter__(self):
        _streams.append(self)
        return self

    def __exit__(self, *exc):
        _streams.pop()

    def record(self, event=None):
        return event or Event()

    def wait_event(self, event):
        self.waited = event

    def synchronize(self):
        traffic["wait"] += 1
        if self.thunks is not None:
            self.void = True
            raise CUDARuntimeError("cudaErrorStreamCaptureUnsupported: operation not permitted when stream is "
                                   "capturing")

    def begin_capture(self, mode=None):
        if self.null:
            raise RuntimeError("cannot capture on the default (legacy) stream")
        self.thunks, self.void = [], False

    def end_capture(self):
        thunks, self.thunks = self.thunks, None
        if self.void:
            raise CUDARuntimeError("cudaErrorStreamCaptureInvalidated: operation failed due to a previous error during "
                                   "capture")
        return Graph(thunks)


class Graph:
    """What was asked of a stream, to be done at each launch."""

    def __init__(self, thunks):
        self.thunks, self.launches = thunks, 0

    def launch(self, stream=None):
        self.launches += 1
        with np.errstate(all="ignore"):
            for thunk in self.thunks:
                thunk()


_streams = [Stream(null=True)]


def _recorded():
    """The list of what the stream in use records; None if it does not."""
    return _streams[-1].thunks


def _waits():
    """The processor waits until the GPU has done all: in a recording nothing is ever done."""
    _streams[-1].synchronize()


def _done(change):
    """Change an array: now, or at each launch."""
    change() if _recorded() is None else _recorded().append(change)


cuda = types.SimpleNamespace(
    Device=Device,
    Event=Event,
    Graph=Graph,
    MemoryPool=Pool,
    Stream=Stream,
    get_allocator=lambda: _allocator[0],
    set_allocator=lambda allocator: _allocator.__setitem__(0, allocator),
    using_allocator=_using_allocator,
    set_pinned_memory_allocator=lambda allocator=None: _pinned_allocator.__setitem__(0, allocator),
    get_current_stream=lambda: _streams[-1],
    get_elapsed_time=lambda begin, end: (end.time - begin.time) * 1e3,
    get_cublas_handle=lambda: 0,
    memory=types.SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
    nvrtc=types.SimpleNamespace(getVersion=lambda: (12, 9)),
    runtime=types.SimpleNamespace(
        CUDARuntimeError=CUDARuntimeError,
        getDeviceCount=lambda: 2,
        runtimeGetVersion=lambda: 12090,
        memGetInfo=lambda: (_pool.capacity - _pool.total_bytes(), _pool.capacity),
    ),
)


# ---- arrays
class Flags:
    """Without `writeable`, as CuPy's."""

    def __init__(self, flags, owndata):
        self.c_contiguous, self.f_contiguous, self.owndata = flags.c_contiguous, flags.f_contiguous, owndata


def _root(a):
    while isinstance(a.base, np.ndarray):
        a = a.base
    return a


class ndarray:
    """An array on a GPU; `_a` are its values."""

    __array_priority__ = 100
    __array_ufunc__ = None
    __hash__ = None

    def __init__(self, shape, dtype=float):
        _own(self, np.empty(shape, dtype))

    def __array__(self, dtype=None, copy=None):
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct a NumPy "
                        "array explicitly.")

    def __array_function__(self, func, *rest):
        raise TypeError(f"numpy.{func.__name__} was called on a GPU's array")

    # ---- what is known without looking at values
    shape, dtype, ndim, size, nbytes, itemsize, strides = (
        property(lambda self, name=name: getattr(self._a, name))
        for name in ("shape", "dtype", "ndim", "size", "nbytes", "itemsize", "strides"))  # fmt: skip
    flags = property(lambda self: Flags(self._a.flags, self.base is None))
    T = property(lambda self: self if self.ndim < 2 else self.transpose())
    data = property(lambda self: types.SimpleNamespace(device_id=self.device.id))
    __cuda_array_interface__ = property(lambda self: {"version": 3})

    def __len__(self):
        return len(self._a)

    def __dlpack_device__(self):
        return 2, self.device.id

    def __dlpack__(self, **options):
        return self

    # ---- values that come to the processor
    def get(self, stream=None, order="C", out=None, blocking=True):
        traffic["to host"] += 1
        if _recorded() is not None:
            _waits()
        return np.array(self._a, order=order)

    def set(self, arr, stream=None):
        if not isinstance(arr, np.ndarray) or (arr.dtype, arr.shape) != (self.dtype, self.shape):
            raise TypeError("Only numpy.ndarray of the same dtype and shape can be set to cupy.ndarray")
        traffic["to device"] += 1
        self._a[...] = arr

    def item(self):
        if self.size != 1:
            raise ValueError("can only convert an array of size 1 to a Python scalar")
        return self.get().item()

    def tolist(self):
        return self.get().tolist()

    def tobytes(self, order="C"):
        return self.get().tobytes(order)

    def __bool__(self):
        return bool(self.get())

    def __float__(self):
        return float(self.get())

    def __int__(self):
        return int(self.get())

    def __index__(self):
        return operator.index(self.get())

    def __format__(self, spec):
        return format(self.get().item(), spec)

    def __repr__(self):
        return repr(self.get())

    def __reduce__(self):
        return asarray, (self.get(),)

    def __iter__(self):
        return (self[k] for k in range(len(self)))

    # ---- indexing
    def __getitem__(self, index):
        at = _index(self, index)
        return _computed(lambda: self._a[_taken(at)], self)

    def __setitem__(self, index, value):
        _check(value)
        at = _index(self, index)
        by_array = _any_array(at) and not isinstance(value, ndarray)
        traffic.update({"to device": 1} if by_array else {})  # CuPy makes an array of a number then

        def change():
            self._a[_taken(at)] = _raw(value)

        _done(change)

    # ---- methods
    def view(self, dtype=None):
        return _made(self._a.view() if dtype is None else self._a.view(dtype), self)

    def fill(self, value):
        _check(value)
        _done(lambda: self._a.fill(_raw(value)))

    def __copy__(self):
        return self.copy()

    def __deepcopy__(self, memo):
        return self.copy()

    def reshape(self, *shape, order="C", copy=None):
        return _computed(lambda: self._a.reshape(*shape, order=order), self)

    def transpose(self, *axes):
        return self if self.ndim < 2 else _made(self._a.transpose(*axes), self)

    def take(self, indices, axis=None, out=None):
        n = self.size if axis is None else self.shape[axis]
        _check(indices)
        return _computed(lambda: self._a.take(_raw(indices) % max(n, 1), axis))

    def searchsorted(self, v, side="left", sorter=None):
        _check(v)
        return _computed(lambda: np.searchsorted(self._a, _raw(v), side))

    def nonzero(self):
        _waits()
        return tuple(_made(k) for k in self._a.nonzero())


def _own(new, a):
    """Give a new array memory of its own, which comes from the allocator and goes back to the pool."""
    new._a = a if a.base is None else np.array(a, order="K")
    new.base, new.device = None, Device()
    block = _malloc(new._a.nbytes)
    weakref.finalize(new, block.pool.release, block.size, block.age)


def _computed(compute, *sources):
    """What NumPy computes, as arrays here; in a recording garbage, to be filled in at each launch."""
    result = compute()
    made = _made(result, *sources)
    if _recorded() is not None:
        several = isinstance(result, (tuple, list))
        for k, new in enumerate(made if several else [made]):
            if new.base is None:
                new._a.fill(math.nan if new.dtype.kind == "f" else 1)
                _done(lambda new=new, k=k: np.copyto(new._a, compute()[k] if several else compute()))
    return made


def _made(result, *sources):
    """NumPy's result as an array here: a view of a source, if it shares its memory."""
    if isinstance(result, (tuple, list)):
        return type(result)(_made(r, *sources) for r in result)
    a, new = np.asarray(result), ndarray.__new__(ndarray)
    for source in sources:
        owner = source if source.base is None else source.base
        if _root(a) is owner._a:
            new._a, new.base, new.device = a, owner, owner.device
            return new
    _own(new, a)
    return new


def _check(value):
    """The operand, if CuPy takes it, and if it is on the device in use."""
    for x in value if isinstance(value, (tuple, list)) else [value]:
        if isinstance(x, np.ndarray):
            raise TypeError(f"Unsupported type {type(x)}")
        if isinstance(x, ndarray) and x.device.id != _current.device:
            raise ValueError(f"Array device must be same as the current device: array device = {x.device.id} while "
                             f"current = {_current.device}")
    return value


def _raw(x):
    if isinstance(x, (tuple, list)):
        return type(x)(map(_raw, x))
    return x._a if isinstance(x, ndarray) else x


def _index(a, index):
    """An index for NumPy. CuPy raises for no number out of range in an array: it counts round the axis."""
    entries = index if type(index) is tuple else (index,)
    used = sum(0 if k is None or k is Ellipsis else k.ndim if _is_mask(k) else 1 for k in entries)
    found, dim = [], 0
    for k in entries:
        if isinstance(k, (np.ndarray, list)):
            raise TypeError(f"an index that must be brought to the GPU first: {type(k)}")
        if _is_mask(k):
            _waits()
            found.append(k._a)
            dim += k.ndim
        elif isinstance(k, ndarray):
            _check(k)
            found.append(Around(k._a, a.shape[dim]))
            dim += 1
        else:
            found.append(k)
            dim += a.ndim - used if k is Ellipsis else k is not None
    if not _any_array(tuple(found)) and not builtins.any(k is Ellipsis for k in found):  # `any` is made below
        found.append(Ellipsis)  # CuPy gives arrays without axes, never numbers
    return tuple(found) if type(index) is tuple or len(found) > 1 else found[0]


class Around(NamedTuple):
    """An array of numbers that are counted round an axis, when they are looked at."""

    numbers: np.ndarray
    size: int


def _taken(index):
    """An index as NumPy takes it, with the numbers that are in its arrays now."""
    if isinstance(index, Around):
        return index.numbers % max(index.size, 1) if index.size else index.numbers
    return tuple(map(_taken, index)) if type(index) is tuple else index


def _any_array(index):
    return builtins.any(isinstance(k, (np.ndarray, Around)) for k in (index if type(index) is tuple else (index,)))


def _is_mask(k):
    return isinstance(k, ndarray) and k.dtype.kind == "b"


def _method(name):
    def method(self, *args, **options):
        _parameters(name, PARAMETERS.get(name), args, options)
        _check(self)
        for x in (args, *options.values()):
            _check(x)
        if name == "astype" and not options.get("copy", True) and self.dtype == args[0]:
            return self

        def compute():
            if name == "copy":
                return np.array(self._a, order=options.get("order", "C"))
            result = getattr(self._a, name)(*_raw(args), **_raw_options(options))
            if name == "diagonal":
                result.flags.writeable = True  # NumPy hands it out for reading only
            return result

        return _computed(compute, self)

    method.__name__ = name
    return method


def _raw_options(options):
    return {k: _raw(_check(v)) for k, v in options.items()}


def _parameters(name, known, args, options):
    if known is not None and known[:1] != "*":
        names = known.split()
        if len(args) > len(names) or not options.keys() <= set(names):
            raise TypeError(f"{name}() of CuPy takes {known}, got {len(args)} arguments and {', '.join(options)}")


for _name in METHODS:
    if not hasattr(ndarray, _name) and _name not in ("base", "device"):
        setattr(ndarray, _name, _method(_name))


# ---- ufuncs
class ufunc:
    """One of NumPy's, on arrays here."""

    def __init__(self, name):
        self.name, self.numpy = name, getattr(np, name)

    def __call__(self, *args, out=None, dtype=None, casting="same_kind"):
        _check(args)
        options = {} if dtype is None else {"dtype": dtype}
        if self.name == "power" and np.result_type(*_raw(args)).kind in "iu":
            args = args[0], maximum(args[1], 0)  # noqa: F821 - CuPy computes something, and raises nothing
        with np.errstate(all="ignore"):
            if out is not None:
                _check(out)
                _done(lambda: self.numpy(*_raw(args), out=out._a, casting=casting, **options))
                return out
            return _computed(lambda: self.numpy(*_raw(args), casting=casting, **options))

    def reduce(self, array, axis=0, dtype=None, out=None, keepdims=False):
        if self.name not in ("add", "multiply"):
            raise NotImplementedError(f"CuPy has no {self.name}.reduce")
        _check(array)
        return _computed(lambda: self.numpy.reduce(_raw(array), axis=axis, dtype=dtype, keepdims=keepdims))

    def at(self, a, indices, b=None):
        if self.name != "add" or a.dtype not in ADDABLE:
            raise TypeError(f"scatter_add only supports {', '.join(ADDABLE)}, not {self.name} of {a.dtype}")
        _check(b)
        at = _index(a, indices)
        _done(lambda: np.add.at(a._a, _taken(at), _raw(b)))


for _name in UFUNCS:
    globals()[_name] = ufunc(_name)


def _operator(name, reflected=False):
    f = globals()[name]

    def method(self, other):
        if not isinstance(other, (ndarray, int, float, np.generic, np.ndarray)):
            return NotImplemented
        return f(other, self) if reflected else f(self, other)

    return method


def _inplace(name):
    f = globals()[name]
    return lambda self, other: f(self, other, out=self)


for _symbol, _name in {
    "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "true_divide", "floordiv": "floor_divide",
    "mod": "remainder", "pow": "power", "and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor",
}.items():  # fmt: skip
    setattr(ndarray, f"__{_symbol}__", _operator(_name))
    setattr(ndarray, f"__r{_symbol}__", _operator(_name, reflected=True))
    setattr(ndarray, f"__i{_symbol}__", _inplace(_name))
for _symbol, _name in {"eq": "equal", "ne": "not_equal", "lt": "less", "le": "less_equal", "gt": "greater",
                       "ge": "greater_equal"}.items():  # fmt: skip
    setattr(ndarray, f"__{_symbol}__", _operator(_name))
ndarray.__neg__ = lambda self: negative(self)  # noqa: F821 - made above
ndarray.__abs__ = lambda self: abs(self)
ndarray.__invert__ = lambda self: invert(self)  # noqa: F821 - made above
ndarray.__matmul__ = lambda self, other: matmul(self, other)  # noqa: F821 - made below
ndarray.__rmatmul__ = lambda self, other: matmul(other, self)  # noqa: F821 - made below
ndarray.__rshift__ = lambda self, n: _computed(lambda: self._a >> n)
ndarray.__lshift__ = lambda self, n: _computed(lambda: self._a << n)


# ---- functions
def _function(name):
    numpy = getattr(np, name)

    def function(*args, **options):
        _parameters(name, FUNCTIONS.get(name), args, options)
        for x in (*args, *options.values()):
            _check(x)
        if name in WAITS:
            _waits()
        if name in BLAS and _recorded() is not None:
            _no_blas(args)
        options.pop("blocking", None)
        sources = [x for x in args if isinstance(x, ndarray)]
        if name in ("result_type", "may_share_memory", "array_equal"):
            return numpy(*_raw(args), **_raw_options(options))
        with np.errstate(all="ignore"):
            if name == "put_along_axis":
                return _done(lambda: numpy(*_raw(args), **_raw_options(options)))
            return _computed(lambda: numpy(*_raw(args), **_raw_options(options)), *sources)

    function.__name__ = name
    return function


def _no_blas(args):
    """CuPy does not record cuBLAS. What float32 matrices our own kernel multiplies on a card, NumPy does here."""
    matrices = [x for x in args if isinstance(x, ndarray)]
    if builtins.any(x.dtype != np.float32 or x.ndim < 2 for x in matrices):
        raise NotImplementedError("calling cuBLAS API during stream capture is currently unsupported")


for _name in (*FUNCTIONS, *OPEN, MATMUL):
    globals()[_name] = _function(_name)
_NAMES = "float16 float32 float64 int8 int16 int32 int64 uint8 uint32 uint64 inf iinfo finfo newaxis"
for _name in _NAMES.split():
    globals()[_name] = getattr(np, _name)


def array(obj, dtype=None, copy=True, order="K", subok=False, ndmin=0, *, blocking=False):
    if isinstance(obj, ndarray):  # from another device too
        return _computed(lambda: np.array(obj._a, dtype, order=order)) if copy else asarray(obj, dtype)
    traffic["to device"] += 1
    values = np.array(obj, dtype, order=order)
    if values.ndim:
        _pinned_allocator[0](values.nbytes)
    return _computed(lambda: values)


def asarray(a, dtype=None, order=None, *, copy=None, blocking=False):
    if isinstance(a, ndarray) and (dtype is None or a.dtype == dtype):
        return a
    return array(a, dtype)


def from_dlpack(array, *, device=None, copy=None):
    return array.view()


def _where(condition, x=None, y=None):
    if not isinstance(condition, ndarray):
        raise AttributeError(f"{type(condition).__name__!r} object has no attribute 'astype'")
    for each in (condition, x, y):
        _check(each)
    return _computed(lambda: np.where(*_raw((condition, x, y))))


def _take(a, indices, axis=None, out=None):
    return a.take(indices, axis)


def _full(shape, fill_value, dtype=None, order="C"):
    _check(fill_value)
    return _computed(lambda: np.full(shape, _raw(fill_value), dtype))


where, take, full = _where, _take, _full


# ---- matrices
_linalg = threading.local()


@contextmanager
def errstate(*, linalg=None):
    """cupyx.errstate: whether a factorization that fails is an error, for which the processor waits."""
    before = getattr(_linalg, "state", "ignore")
    _linalg.state = linalg
    try:
        yield
    finally:
        _linalg.state = before


def _factorization(name):
    numpy = getattr(np.linalg, name)

    def function(*args, **options):
        _check(args)
        if name == "solve" and args[0].shape[:-1] != args[1].shape[:-1]:
            raise ValueError("a must have (..., M, M) shape and b must have (..., M, K)")
        if _recorded() is not None and name != "norm":
            raise NotImplementedError("calling cuSOLVER API during stream capture is currently unsupported")
        if getattr(_linalg, "state", "ignore") == "raise":
            _waits()
        try:
            with np.errstate(all="ignore"):
                result = numpy(*_raw(args), **options)
        except np.linalg.LinAlgError:
            if getattr(_linalg, "state", "ignore") == "raise":
                raise
            result = np.full(args[-1].shape, math.nan, args[0].dtype)
        return tuple(map(_made, result)) if isinstance(result, tuple) else _made(result)

    return function


linalg = types.SimpleNamespace(**{name: _factorization(name) for name in LINALG})

# ---- how cuBLAS multiplies each dtype: of a module of CuPy's own
COMPUTE_TYPES = {"COMPUTE_TYPE_DEFAULT": 1, "COMPUTE_TYPE_FP32": 4, "COMPUTE_TYPE_TF32": 7}
_compute_types: dict[str, int] = {}
_routines_linalg = types.SimpleNamespace(
    **COMPUTE_TYPES,
    get_compute_type=lambda dtype: _compute_types.get(dtype, COMPUTE_TYPES["COMPUTE_TYPE_DEFAULT"]),
    set_compute_type=lambda dtype, compute_type: _compute_types.__setitem__(dtype, compute_type),
)


def _special(name):
    def function(a):
        from scipy import special

        _check(a)
        return _computed(lambda: getattr(special, name)(a._a))

    return function


def install(monkeypatch):
    """Let `import cupy` find this module, fresh."""
    here = sys.modules[__name__]
    ndarray.__module__ = "cupy"
    special = types.ModuleType("cupyx.scipy.special")
    for name in SPECIAL:
        setattr(special, name, _special(name))
    cupyx = types.ModuleType("cupyx")
    cupyx.errstate = errstate
    for name, module in {"cupy": here, "cupy._core._routines_linalg": _routines_linalg, "cupyx": cupyx,
                         "cupyx.scipy": types.ModuleType("cupyx.scipy"), "cupyx.scipy.special": special}.items():
        monkeypatch.setitem(sys.modules, name, module)
    traffic.clear()
    _pool.__init__()
    _allocator[0] = _pool.malloc
    _pinned_allocator[0] = _pinned.malloc
    _streams[1:], _streams[0].thunks = [], None
    _current.device = 0
    _compute_types.clear()
    return here
