"""A tensor as a value of Python and NumPy: what it says of itself, what it converts to, how it is copied."""
from __future__ import annotations

import builtins
import copy
from typing import Any

import numpy as np

from tinynet import late
from tinynet.autograd.graph import Leaf, Pick
from tinynet.autograd.variable import Variable
from tinynet.autograd.writes import writes
from tinynet.device import CPU, device_of, host
from tinynet.device import device as Device
from tinynet.dtypes import DType, as_dtype, float32, float64, int32, int64
from tinynet.dtypes import bool_ as bool_dtype
from tinynet.dtypes import float16 as half_dtype
from tinynet.errors import check_dim
from tinynet.ops.elementwise import cast, clone
from tinynet.ops.exchange import to_device
from tinynet.repr import tensor_repr

_TYPES = {"int64": "Long", "int32": "Int", "int16": "Short", "int8": "Char", "uint8": "Byte", "bool": "Bool",
          "float16": "Half", "float32": "Float", "float64": "Double"}


class Value(Variable):
    """The part of Tensor that does no arithmetic."""

    __slots__ = ()
    __array_priority__ = 1000  # array * tensor comes to our reflected operator
    __hash__ = object.__hash__

    # ---- what it is
    @property
    def shape(self) -> tuple[builtins.int, ...]:
        """The size along each axis.

        >>> tn.zeros(2, 3).shape
        (2, 3)
        """
        return self.array.shape

    @property
    def ndim(self) -> builtins.int:
        """The number of axes.

        >>> tn.zeros(2, 3).ndim
        2
        """
        return self.array.ndim

    @property
    def dtype(self) -> DType:
        """The type of the elements.

        >>> tn.zeros(2).dtype
        dtype('float32')
        """
        return self.array.dtype

    @property
    def device(self) -> Device:
        """Where the elements are kept.

        >>> tn.zeros(2).device
        device(type='cpu')
        """
        return device_of(self.array)

    def size(self, dim: builtins.int | None = None) -> Any:
        """The shape, or the size along dim.

        >>> tn.zeros(2, 3).size(1)
        3
        """
        return self.shape if dim is None else self.shape[check_dim(dim, self.ndim)]

    def dim(self) -> builtins.int:
        """The number of axes.

        >>> tn.zeros(2, 3).dim()
        2
        """
        return self.ndim

    def numel(self) -> builtins.int:
        """The number of elements.

        >>> tn.zeros(2, 3).numel()
        6
        """
        return self.array.size

    def element_size(self) -> builtins.int:
        """Bytes an element.

        >>> tn.zeros(2).element_size()
        4
        """
        return self.array.itemsize

    def stride(self, dim: builtins.int | None = None) -> Any:
        """For each axis (or dim), how many elements apart its neighbours lie in memory.

        >>> tn.zeros(2, 3).stride()
        (3, 1)
        """
        strides = tuple(s // self.array.itemsize for s in self.array.strides)
        return strides if dim is None else strides[check_dim(dim, self.ndim)]

    def is_contiguous(self) -> builtins.bool:
        """Whether the elements lie in memory in the order in which they are counted.

        >>> tn.zeros(2, 3).T.is_contiguous()
        False
        """
        return self.array.flags.c_contiguous

    def is_floating_point(self) -> builtins.bool:
        """Whether the dtype is a float.

        >>> tn.arange(3).is_floating_point()
        False
        """
        return self.array.dtype.kind == "f"

    @property
    def is_leaf(self) -> builtins.bool:
        """Whether the user made it: no recorded op did.

        >>> x = tn.ones(2, requires_grad=True)
        >>> x.is_leaf, (x * 2).is_leaf
        (True, False)
        """
        place = self.refresh()
        return place is None or isinstance(place, Leaf)

    @property
    def grad_fn(self) -> Any:
        """The node of the graph that made this tensor; None for a leaf.

        >>> (tn.ones(2, requires_grad=True) * 2).grad_fn
        <MulBackward0>
        """
        place = self.refresh()
        return None if isinstance(place, Leaf) else place.node if type(place) is Pick else place

    @property
    def _version(self) -> builtins.int:
        return writes.version(self.array)

    # ---- as numbers and arrays
    def item(self) -> Any:
        """The Python number of a tensor with one element. RuntimeError for more.

        >>> tn.tensor([2.5]).item()
        2.5
        """
        a = self.array
        if a.size != 1:
            raise RuntimeError(f"a Tensor with {a.size} elements cannot be converted to Scalar")
        return a.item() if type(a) is np.ndarray else self._read().item()

    def tolist(self) -> Any:
        """Nested lists of Python numbers.

        >>> tn.tensor([[1, 2]]).tolist()
        [[1, 2]]
        """
        return self._read().tolist()

    def _read(self) -> Any:
        """The elements as NumPy has them. From a GPU they are fetched, and with them what was noted there (`late`)."""
        values = host(self.array)
        if values is not self.array:
            late.look()
        return values

    def numpy(self, *, force: builtins.bool = False) -> Any:
        """The elements as a NumPy array that shares this memory. RuntimeError if it requires grad, TypeError if it is
        on a GPU, unless force: then it is a copy.

        >>> tn.tensor([1, 2]).numpy()
        array([1, 2])
        """
        if self.refresh() is not None and not force:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")
        if not force and not isinstance(self.array, np.ndarray):
            raise TypeError(f"can't convert {self.device} device type tensor to numpy. Use Tensor.cpu() to copy the "
                            "tensor to host memory first.")
        return self._read()

    def __array__(self, dtype: Any = None, copy: builtins.bool | None = None) -> Any:
        a = self.numpy()
        if copy is None:
            return a if dtype is None else a.astype(dtype, copy=False)
        return np.array(a, dtype, copy=copy)

    def __dlpack__(self, **options: Any) -> Any:
        if self.refresh() is not None:
            raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self.array.__dlpack_device__()

    def __bool__(self) -> builtins.bool:
        if self.array.size != 1:
            what = "no values" if not self.array.size else "more than one value"
            raise RuntimeError(f"Boolean value of Tensor with {what} is ambiguous; use .any() or .all()")
        return builtins.bool(self._read().item())

    def __float__(self) -> builtins.float:
        return builtins.float(self._number())

    def __int__(self) -> builtins.int:
        return builtins.int(self._number())

    def _number(self) -> Any:
        if self.array.size != 1:
            raise ValueError(f"only one element tensors can be converted to Python scalars, this one has shape "
                             f"{list(self.shape)}")
        return self._read().item()

    def __index__(self) -> builtins.int:
        if self.array.size != 1 or self.array.dtype.kind == "f":
            raise TypeError("only integer tensors of a single element can be converted to an index")
        return builtins.int(self._read().item())

    def __len__(self) -> builtins.int:
        if not self.array.ndim:
            raise TypeError("len() of a 0-d tensor")
        return self.array.shape[0]

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if not self.array.ndim else format(repr(self), spec)

    def __repr__(self) -> str:
        fn = self.grad_fn
        place = self.device
        text = tensor_repr(self.array, requires_grad=self.refresh() is not None, grad_fn=fn and fn.name(),
                           device=None if place == CPU else str(place))
        if place != CPU:
            late.look()
        return text

    # ---- copies
    def __deepcopy__(self, memo: dict[builtins.int, Any]) -> Any:
        if id(self) in memo:
            return memo[id(self)]
        if not self.is_leaf:
            raise RuntimeError("Only Tensors created explicitly by the user (graph leaves) support the deepcopy "
                               "protocol at the moment: detach() or clone() this one first")
        new = memo[id(self)] = _rebuild(builtins.type(self), self.array.copy(), self.place is not None, {})
        new.gradient = copy.deepcopy(self.gradient, memo)
        vars_ = getattr(self, "__dict__", None)
        if vars_:
            new.__dict__.update(copy.deepcopy(vars_, memo))
        return new

    def __reduce_ex__(self, protocol: Any) -> Any:
        if not self.is_leaf:
            raise RuntimeError("only leaves can be pickled: detach() the tensor first")
        return _rebuild, (builtins.type(self), self.array, self.place is not None, getattr(self, "__dict__", {}))

    # ---- in another dtype or place (last: some names are those of Python's types)
    def to(self, *args: Any, device: Any = None, dtype: Any = None, non_blocking: builtins.bool = False,
           copy: builtins.bool = False) -> Any:
        """The tensor in another dtype and/or on another device: to(dtype), to(device), to(device, dtype), to(other).
        Itself if nothing changes, unless copy.

        >>> tn.tensor([1.5]).to(tn.int64)
        tensor([1])
        """
        for a in args:
            if isinstance(a, Variable):
                dtype, device = a.array.dtype, device_of(a.array)
            elif isinstance(a, (str, Device)) or (isinstance(a, builtins.int) and not isinstance(a, builtins.bool)):
                device = a
            elif a is not None and not isinstance(a, builtins.bool):
                dtype = as_dtype(a)
        here, wanted = device_of(self.array), self.array.dtype if dtype is None else as_dtype(dtype)
        there = here if device is None else Device(device)  # raises for one that is not here
        if there != here and (there.type, there.index) != (here.type, None):
            moved = to_device(self, device=there, back=here)
            if there == CPU:
                late.look()
            return moved if wanted == moved.array.dtype else cast(moved, dtype=wanted)
        if wanted != self.array.dtype:
            return cast(self, dtype=wanted)
        return clone(self) if copy else self

    def cpu(self) -> Any:
        """The tensor in main memory.

        >>> tn.ones(1).cpu()
        tensor([1.])
        """
        return self.to("cpu")

    def cuda(self, device: Any = None, non_blocking: builtins.bool = False) -> Any:
        """The tensor on a GPU. RuntimeError where there is none.

        >>> x = tn.ones(1).cuda() if tn.cuda.is_available() else tn.ones(1)
        """
        return self.to(Device("cuda" if device is None else device))

    def type(self, dtype: Any = None) -> Any:
        """Cast to dtype; without one, the name of the type.

        >>> tn.ones(1).type()
        'tn.FloatTensor'
        """
        if dtype is not None:
            return self.to(as_dtype(dtype))
        return f"tn.{'' if self.device == CPU else 'cuda.'}{_TYPES[self.array.dtype.name]}Tensor"

    def type_as(self, other: Any) -> Any:
        """Cast to the dtype of other.

        >>> tn.ones(1).type_as(tn.tensor(2))
        tensor([1])
        """
        return self.to(other.dtype)

    def half(self) -> Any:
        """Cast to float16.

        >>> tn.ones(1).half()
        tensor([1.], dtype=tn.float16)
        """
        return self.to(half_dtype)

    def double(self) -> Any:
        """Cast to float64.

        >>> tn.ones(1).double()
        tensor([1.], dtype=tn.float64)
        """
        return self.to(float64)

    def long(self) -> Any:
        """Cast to int64.

        >>> tn.tensor([1.9]).long()
        tensor([1])
        """
        return self.to(int64)

    def float(self) -> Any:
        """Cast to float32.

        >>> tn.tensor([1]).float()
        tensor([1.])
        """
        return self.to(float32)

    def int(self) -> Any:
        """Cast to int32.

        >>> tn.tensor([1.9]).int()
        tensor([1], dtype=tn.int32)
        """
        return self.to(int32)

    def bool(self) -> Any:
        """Cast to bool: whether each element is not zero.

        >>> tn.tensor([0, 3]).bool()
        tensor([False,  True])
        """
        return self.to(bool_dtype)


def _rebuild(cls: type[Value], array: Any, requires_grad: bool, attributes: dict[str, Any]) -> Value:
    """A leaf of this class, for copies and pickles."""
    t = cls.__new__(cls)
    Variable.__init__(t, array)
    if requires_grad:
        t.track()
    if attributes:
        t.__dict__.update(attributes)
    return t
