"""The Tensor class: its properties, conversions, and manners as a Python object."""
import copy
import pickle

import numpy as np
import pytest

import tinynet as tn


def test_properties():
    x = tn.zeros(2, 3, dtype=tn.float64, requires_grad=True)
    assert (x.shape, x.ndim, x.dim(), x.numel(), x.size(-1), x.element_size()) == ((2, 3), 2, 2, 6, 3, 8)
    assert x.dtype == tn.float64
    assert x.device == tn.device("cpu")
    assert x.is_leaf
    assert x.grad is None
    assert x.grad_fn is None
    assert x.stride() == (3, 1)
    assert x.T.stride(0) == 1
    assert x.is_contiguous()
    assert not x.T.is_contiguous()
    assert x.is_floating_point()
    y = x * 2
    assert not y.is_leaf
    assert repr(y.grad_fn) == "<MulBackward0>"
    assert y.grad_fn.next_functions[0][0].name() == "AccumulateGrad"
    assert tn.ones(1).type() == "tn.FloatTensor"


def test_requires_grad_can_be_set_on_leaves():
    x = tn.ones(2)
    x.requires_grad = True
    assert x.requires_grad
    x.requires_grad = False
    assert not x.requires_grad
    assert x.requires_grad_() is x


def test_grad_can_be_assigned_if_it_fits():
    x = tn.ones(2, requires_grad=True)
    x.grad = tn.ones(2)
    (x * 3).sum().backward()
    assert x.grad.tolist() == [4.0, 4.0]
    x.grad = None
    with pytest.raises(RuntimeError, match=r"float32\[3\], the tensor has float32\[2\]"):
        x.grad = tn.ones(3)
    with pytest.raises(TypeError, match="assigned grad expected to be a Tensor or None"):
        x.grad = 1.0


def test_data_shares_memory_and_can_be_replaced():
    x = tn.ones(2, requires_grad=True)
    x.data[0] = 5.0
    assert x.tolist() == [5.0, 1.0]
    assert not x.data.requires_grad
    x.data = tn.zeros(3)
    (x * 2).sum().backward()
    assert x.grad.tolist() == [2.0, 2.0, 2.0]


def test_numpy_shares_memory_both_ways():
    a = np.zeros(3, np.float32)
    x = tn.from_numpy(a)
    a[0] = 1
    x[1] = 2.0
    assert x.tolist() == a.tolist() == [1.0, 2.0, 0.0]
    assert np.shares_memory(x.numpy(), a)
    assert np.asarray(x, np.float64).dtype == np.float64
    assert tn.tensor(a).numpy() is not a
    y = tn.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match=r"Use tensor.detach\(\).numpy\(\)"):
        np.asarray(y)
    assert y.numpy(force=True).tolist() == [1.0, 1.0]


def test_arrays_and_numpy_numbers_on_the_left_give_tensors():
    x = tn.ones(2, requires_grad=True)
    for left in (np.ones(2, np.float32), np.float32(2), np.float64(2), np.int64(2), 2, 2.0):
        for f in (lambda a, b: a * b, lambda a, b: a + b, lambda a, b: a - b, lambda a, b: a / b, lambda a, b: a ** b):
            y = f(left, x)
            assert isinstance(y, tn.Tensor)
            assert y.requires_grad
            assert y.dtype == tn.float32
    assert isinstance(np.ones((2, 2), np.float32) @ x, tn.Tensor)
    assert isinstance(np.exp(tn.ones(2)), np.ndarray)


def test_dlpack_round_trip():
    x = tn.arange(4)
    assert np.from_dlpack(x).tolist() == [0, 1, 2, 3]
    with pytest.raises(BufferError, match="detach"):
        tn.ones(1, requires_grad=True).__dlpack__()


def test_as_a_python_value():
    x = tn.tensor([[1, 2], [3, 4]])
    assert len(x) == 2
    assert [row.tolist() for row in x] == [[1, 2], [3, 4]]
    assert 3 in x
    assert 7 not in x
    assert (float(tn.tensor(2.5)), int(tn.tensor(2.5)), bool(tn.tensor(0.0))) == (2.5, 2, False)
    assert [10, 20, 30][tn.tensor(1)] == 20
    assert f"{tn.tensor(3.14159):.2f}" == "3.14"
    assert f"{tn.tensor([1.0])}" == "tensor([1.])"
    assert tn.tensor(3).item() == 3
    assert hash(x) == hash(x)
    assert (x == None).__class__ is bool  # noqa: E711 - as PyTorch's


@pytest.mark.parametrize(("f", "error", "message"), [
    (lambda: len(tn.tensor(1)), TypeError, "0-d"),
    (lambda: iter(tn.tensor(1)), TypeError, "0-d"),
    (lambda: bool(tn.ones(2)), RuntimeError, "more than one value is ambiguous"),
    (lambda: bool(tn.ones(0)), RuntimeError, "no values"),
    (lambda: tn.ones(2).item(), RuntimeError, "2 elements cannot be converted to Scalar"),
    (lambda: [1, 2][tn.tensor(1.0)], TypeError, "only integer tensors"),
    (lambda: tn.ones(2).to("cuda:99"), RuntimeError, "device 'cuda:99'"),
    (lambda: tn.ones(2).to("tpu"), RuntimeError, "Expected one of cpu, cuda"),
    (lambda: tn.ones(2).to("float31"), RuntimeError, "device"),
    (lambda: tn.ones(2, dtype="complex64"), TypeError, "no dtype of tinynet"),
    (lambda: tn.ones(3).mT, RuntimeError, "1-D tensor"),
    (lambda: tn.ones(2).size(3), IndexError, r"expected to be in range of \[-1, 0\], but got 3"),
    (lambda: copy.deepcopy(tn.ones(2, requires_grad=True) * 2), RuntimeError, "deepcopy"),
    (lambda: pickle.dumps(tn.ones(2, requires_grad=True) * 2), RuntimeError, "leaves"),
    (lambda: tn.ones(3)[5], IndexError, "index 5 is out of bounds for dimension 0 with size 3"),
    (lambda: tn.ones(3)["a"], TypeError, "valid indices"),
    (lambda: tn.ones(3).__setitem__(0, "a"), TypeError, "can't assign a str"),
    (lambda: tn.ones(3).__setitem__(slice(None), tn.ones(2)), RuntimeError, r"\[3\] doesn't match .* shape \[2\]"),
    (lambda: tn.ones(2).register_hook(print), RuntimeError, "doesn't require gradient"),
    (lambda: tn.ones(2).retain_grad(), RuntimeError, "requires_grad=False"),
])
def test_refused(f, error, message):
    with pytest.raises(error, match=message):
        f()


def test_conversions():
    x = tn.tensor([1.7, -1.7])
    assert x.long().tolist() == x.to(tn.int64).tolist() == [1, -1]
    assert x.to(tn.float32) is x
    assert x.to(tn.float32, copy=True) is not x
    assert [getattr(x, n)().dtype.name for n in ("half", "float", "double", "int", "long", "bool")] == [
        "float16", "float32", "float64", "int32", "int64", "bool"]
    assert x.to(tn.ones(1, dtype=tn.float64)).dtype == tn.float64
    assert x.to("cpu", tn.float64).dtype == x.to(device="cpu", dtype=tn.float64).dtype == tn.float64
    y = tn.ones(2, requires_grad=True)
    y.double().sum().backward()
    assert y.grad.dtype == tn.float32


def test_copies_and_pickles():
    x = tn.tensor([1.0, 2.0], requires_grad=True)
    x.grad = tn.ones(2)
    for y in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert y.tolist() == x.tolist()
        assert y.requires_grad
        assert not np.shares_memory(y.array, x.array)
    assert copy.deepcopy(x).grad.tolist() == [1.0, 1.0]
    twice = copy.deepcopy([x, x])
    assert twice[0] is twice[1]


def test_writes():
    x = tn.zeros(3)
    assert x.fill_(2.0) is x
    assert x.copy_(tn.tensor([1, 2, 3])).tolist() == [1.0, 2.0, 3.0]
    assert x.zero_().tolist() == [0.0, 0.0, 0.0]
    y = tn.ones(3)
    y += 1
    y *= tn.tensor([1.0, 2.0, 3.0])
    y -= 1
    y /= 2
    y **= 2
    assert y.tolist() == [0.25, 2.25, 6.25]
    z = tn.tensor([7, 8])
    z //= 2
    z %= 3
    assert z.tolist() == [0, 1]
    assert tn.tensor([1.0, -2.0]).gt_(0).tolist() == [1.0, 0.0]
    assert tn.tensor([0.0, 3.0]).logical_not_().tolist() == [1.0, 0.0]
    assert tn.tensor([0.0, 1.0]).bernoulli().tolist() == [0.0, 1.0]
    x[1:] = tn.tensor([[5.0, 6.0]])
    assert x.tolist() == [0.0, 5.0, 6.0]
    x[x > 5] = -1.0
    x[tn.tensor([0])] = tn.tensor([9])
    assert x.tolist() == [9.0, 5.0, -1.0]
    version = x._version
    x.add_(1)
    assert x._version > version


def test_parameters_take_attributes_of_the_users():
    p = tn.nn.Parameter(tn.ones(2))
    p.mark = "residual"
    assert pickle.loads(pickle.dumps(p)).mark == "residual"
    with pytest.raises(AttributeError):
        tn.ones(2).mark = "only parameters have a dict"
