"""Creation and sampling against PyTorch: values, dtypes, shapes, and what is refused."""

from __future__ import annotations

import math
import re
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinynet as tn

torch = pytest.importorskip("torch")


def same(ours, theirs, **tolerance):
    assert ours.shape == tuple(theirs.shape)
    assert ours.requires_grad == theirs.requires_grad
    ours, theirs = ours.detach().numpy(), theirs.detach().numpy()
    assert ours.dtype == theirs.dtype
    np.testing.assert_allclose(ours, theirs, **{"rtol": 1e-6, "atol": 0, **tolerance})


def alike(call):
    """Both give the same tensor, or both raise the same built-in exception."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            theirs = call(torch)
        except Exception as e:
            expected = next(k for k in type(e).__mro__ if k.__module__ == "builtins")
            with pytest.raises(expected):
                call(tn)
        else:
            ours = call(tn)
            pairs = zip(ours, theirs, strict=True) if isinstance(theirs, tuple) else [(ours, theirs)]
            for pair in pairs:
                same(*pair)


# ---- from data
DATA = [
    *([], [[]], [[], []], [[[]]], 1, 1.5, True, -3, [True, 2], [1, 2.5], [True, 2.0]),
    *((1, 2), [(1, 2), [3.0, 4]], range(3), [range(2), [5, 6]], [math.nan, math.inf], [[[1], [2]]]),
    *(2**62, [[1, 2], [3]], [[1, 2], 3], [1, [2, 3]], [[1], [[2]]], "text", b"text", None, [None], {}, {1}),
    *([[1, 2], "ab"], 2**63, [2**70], -(2**70), iter([1]), object()),
    *(np.float64(1), np.float32(1), [np.float64(1)], [np.float32(1), 2], [np.float64(1), 2.0], [np.int32(1)]),
    *([np.int32(1), 2], [np.bool_(True)], [np.array([1, 2]), np.array([3, 4])], [np.array([1.0, 2])]),
    *(np.array(5), np.zeros((2, 0)), np.array(["a"]), np.array([1, None]), np.array([1.0], ">f4")),
    *(np.arange(6, dtype=np.int8).reshape(2, 3).T, np.array([True]), np.arange(3, dtype=np.float16)),
    *(np.datetime64("2020"), [[1.0, 2.0], np.array([3.0, 4.0])]),
]


@pytest.mark.parametrize("k", range(len(DATA)))
def test_tensor(k):
    alike(lambda lib: lib.tensor(DATA[k]))
    alike(lambda lib: lib.as_tensor(DATA[k]))


NUMBERS = [0, 1, -1, 127, 300, -200, -300, 1.7, -0.5, -1.7, 1e300, math.nan, 2**31, 2**70, True]


@pytest.mark.parametrize("dtype", ["float16", "float32", "uint8", "int8", "int32", "int64", "bool"])
@pytest.mark.parametrize("value", NUMBERS)
def test_tensor_of_a_dtype(dtype, value):
    alike(lambda lib: lib.tensor(value, dtype=getattr(lib, dtype)))
    alike(lambda lib: lib.tensor([[value, 0]], dtype=getattr(lib, dtype)))


@pytest.mark.parametrize("source", ["int8", "uint8", "int64", "float16", "float64", "bool"])
@pytest.mark.parametrize("dtype", ["float16", "float32", "int8", "int32", "int64", "bool"])
def test_arrays_are_cast(source, dtype):
    a = np.array([[0, 1, 100]]).astype(source)
    alike(lambda lib: lib.tensor(a, dtype=getattr(lib, dtype)))
    alike(lambda lib: lib.as_tensor(a, dtype=getattr(lib, dtype)))
    alike(lambda lib: lib.tensor(lib.tensor(a), dtype=getattr(lib, dtype)))


def test_tensors_in_lists():
    alike(lambda lib: lib.tensor([lib.tensor(1), lib.tensor(2)]))
    alike(lambda lib: lib.tensor([lib.tensor(1.0).double(), 2.5]))
    alike(lambda lib: lib.tensor([[lib.tensor([[1.5]])], [2]]))
    alike(lambda lib: lib.tensor([lib.tensor([1.0, 2.0]), lib.tensor([1.0, 2.0])]))
    alike(lambda lib: lib.tensor([lib.tensor(1.0, requires_grad=True)]))


def test_tensor_of_a_tensor_is_a_leaf():
    alike(lambda lib: lib.tensor(lib.ones(2, requires_grad=True)))
    alike(lambda lib: lib.tensor(lib.ones(2, requires_grad=True) * 2, requires_grad=True))
    alike(lambda lib: lib.tensor([1], requires_grad=True))


def test_as_tensor_keeps_history():
    for lib in (tn, torch):
        x = lib.ones(2, requires_grad=True)
        assert lib.as_tensor(x) is x
        assert lib.as_tensor(x, dtype=lib.float64).requires_grad


@pytest.mark.parametrize(
    "array",
    [
        np.arange(3),
        np.ones((2, 3))[:, ::2],
        np.ones((2, 3), np.float32).T,
        np.arange(3)[::-1],
        np.array([None]),
        np.array([1.0], ">f4"),
        np.float32(1),
        [1],
        3,
    ],
    ids=repr,
)
def test_from_numpy(array):
    alike(lambda lib: lib.from_numpy(array))


# ---- filled
CALLS = """
zeros()  zeros(())  zeros(2,3)  zeros((2,3))  zeros([2,3])  zeros(size=(2,))  zeros(0,2)  zeros(-1)
zeros(2,-1)  zeros(2.)  zeros((2.,))  zeros('a')  zeros(lib.tensor(2),3)  zeros(2,dtype=int)
zeros(2,dtype=lib.bool)  zeros(None)  zeros(True)  zeros(2,requires_grad=True)
zeros(2,dtype=lib.int64,requires_grad=True)  zeros(2,device='cpu')  zeros(2,device='mars')  zeros((2,),3)
zeros(np.int64(2))  zeros(lib.ones(2,3).shape)  ones(2,3,dtype=lib.float16)  ones(size=[2])  full((2,),1)
full((2,),1.)  full((2,),True)  full((2,),lib.tensor(1.5))  full((2,),lib.tensor(3))  full(2,1)
full((-2,),1)  full((2,),300,dtype=lib.uint8)  full((2,),1.5,dtype=lib.int64)  full((2,),lib.ones(2))
full((2,),'a')  full(size=(2,),fill_value=3)  full((2,),1,requires_grad=True)
full((2,),1.,requires_grad=True)  full((),7)  zeros_like([1])  zeros_like(np.ones(2))
zeros_like(lib.ones(2,3).T)  zeros_like(lib.tensor([1]),dtype=lib.float64)
ones_like(lib.ones(2),dtype=lib.int64)  ones_like(lib.ones(2),requires_grad=True)
ones_like(lib.tensor(3))  full_like(lib.ones(2),3)  full_like(lib.ones(2).long(),3.5)
full_like(lib.ones(2).bool(),2)  full_like(lib.ones(2),lib.tensor(2))
full_like(lib.ones(2).to(lib.uint8),300)  arange(5)  arange(5.)  arange(1,5)  arange(1,5,2)
arange(1,5,2.)  arange(5,1)  arange(5,1,-1)  arange(0,1,0)  arange(0,1,-1)  arange(0,1,.1)
arange(0.,float('inf'))  arange(float('nan'))  arange(end=3)  arange(start=1,end=3)  arange(lib.tensor(3))
arange(lib.tensor(3.))  arange(3,dtype=lib.float16)  arange(3,dtype=lib.bool)
arange(.5,4,dtype=lib.int64)  arange(-2.7,3,dtype=lib.int64)  arange(np.float32(3))  arange(np.int64(3))
arange(True)  arange('a')  arange()  arange(0)  arange(3,3)  arange(300,dtype=lib.uint8)  arange(1,2,3,4)
arange(2.5,10,2,dtype=lib.int32)  arange(5,requires_grad=True)  arange(5.,requires_grad=True)  arange(-1)
arange(2**40,2**40+3)  arange(-3,4,3)  arange(1,0,-.25)  arange(0,.6,.2)  linspace(0,1,5)  linspace(0,1,1)
linspace(0,1,0)  linspace(0,1,-1)  linspace(0,10,4,dtype=lib.int64)  linspace(0,-10,4,dtype=lib.int64)
linspace(0,1)  linspace(0,1,2.)  linspace(lib.tensor(0.),1,3)  linspace(start=0,end=1,steps=3)
linspace(0,1,3,dtype=lib.bool)  linspace(-3,7,100,dtype=lib.float64)  linspace(1,0,7,dtype=lib.float64)
linspace(0,1,3,requires_grad=True)  linspace('a',1,3)  eye(2)  eye(2,3)  eye(3,2)  eye(-1)  eye(2,-1)
eye(2.)  eye(2,m=3)  eye(2,dtype=lib.bool)  eye(0)  eye(2,requires_grad=True)
meshgrid(lib.arange(2),lib.arange(3))  meshgrid([lib.arange(2),lib.arange(3)],indexing='xy')
meshgrid(lib.ones(2,2))  meshgrid(lib.arange(2),lib.ones(2))  meshgrid(lib.arange(2),indexing='foo')
meshgrid()  meshgrid([])  meshgrid(3)  meshgrid(lib.tensor(1.),lib.ones(2))
meshgrid(lib.arange(2),lib.arange(3),lib.arange(4),indexing='xy')
meshgrid(lib.arange(2),lib.arange(0),lib.arange(4))  meshgrid(lib.arange(2),indexing='xy')
tril_indices(2,3)  tril_indices(3,3,-1)  tril_indices(3,3,-5)  tril_indices(3,2,7)  tril_indices(0,2)
tril_indices(-1,2)  tril_indices(2,2,dtype=lib.int32)  triu_indices(2,3)  triu_indices(3,3,1)
triu_indices(3,3,-1)  triu_indices(2,-1)  triu_indices(3,2,9)  cartesian_prod(lib.arange(2),lib.arange(2))
cartesian_prod(lib.arange(2))  cartesian_prod(lib.ones(2,2))  cartesian_prod()
cartesian_prod(lib.arange(2),lib.ones(2))  cartesian_prod(lib.arange(1),lib.arange(2),lib.arange(1))
rand()  rand(-1)  rand(2,dtype=lib.int64)  rand(2.)  randn(2,dtype=lib.int64)  randn()  randn(-2)
randint(2,3,(2,))  randint(3,3,(2,))  randint(5,3,(2,))  randint(0,(2,))  randint(3,2)
randint(low=1,high=2,size=(2,))  randint(-5,-4,(2,))  randint(1,size=(2,))  randint(1,[2])
randint(2.5,(2,))  randint(0,300,(2,),dtype=lib.uint8)  randint(-300,3,(2,),dtype=lib.int8)
randint(255,256,(2,),dtype=lib.uint8)  randint(0,1,(2,),dtype=lib.float32)
randint(0,1,(2,),dtype=lib.bool)  randint(3,(-2,))  randint(3,4,())  randint()  randint(3)  randperm(1)
randperm(0)  randperm(-1)  randperm(1,dtype=lib.float32)  randperm(300,dtype=lib.uint8)  randperm(3.)
normal(0.,0.,(2,))  normal(3,0,(2,))  normal(lib.ones(2),0.)  normal(lib.zeros(2),lib.ones(3))
normal(lib.ones(2,1),lib.zeros(3))  normal(5.,lib.zeros(3))  normal(lib.zeros(2),-1.)
normal(lib.zeros(2),-lib.ones(2))  normal(0.,-1.,(2,))  normal(0.,1.)  normal(lib.zeros(2).long(),1.)
normal(lib.ones(2).double(),lib.zeros(2))  normal(0.,lib.ones(2).long())
normal(0.,0.,size=(2,),dtype=lib.float64)  normal(mean=lib.ones(2),std=0.)  bernoulli(lib.ones(2))
bernoulli(lib.tensor([1.5]))  bernoulli(lib.tensor([-.5]))  bernoulli(lib.tensor([float('nan')]))
bernoulli(lib.tensor([1]))  bernoulli(lib.ones(2),0.)  bernoulli(lib.ones(2),2.)
bernoulli(lib.ones(2).long(),1.)  multinomial(lib.ones(3),4)  multinomial(lib.ones(1),4,True)
multinomial(lib.ones(1,2,3),2)  multinomial(lib.tensor(1.),1)  multinomial(lib.tensor([-1.,2]),1)
multinomial(lib.tensor([float('inf'),2]),1)  multinomial(lib.zeros(3),1)
multinomial(lib.zeros(2,3),1,True)  multinomial(lib.ones(3),0)  multinomial(lib.ones(3),-1)
multinomial(lib.ones(3).long(),1)  multinomial(lib.zeros(0),1)  multinomial(lib.ones(0,3),1)
multinomial(lib.tensor([float('nan'),2]),1)  multinomial([1.,2.],1)
multinomial(lib.tensor([[0.,1.],[1.,0.]]),1)
multinomial(lib.tensor([[0.,2.,0.],[1e-9,0.,0.]]),5,replacement=True)  rand_like(lib.ones(2).long())
rand_like([1])  randn_like(lib.ones(2).long())  zeros(2).normal_(0,-1)  zeros(2).long().normal_()
zeros(2).normal_(mean=1,std=0)  zeros(2).uniform_(1,0)  zeros(2).uniform_(1,1)  zeros(2).long().uniform_()
zeros(2).uniform_(0,float('inf'))  zeros(2).bernoulli_(2.)  zeros(2).long().bernoulli_(1.)
zeros(2).bernoulli_(lib.tensor([0.,1.]))  zeros(2).bernoulli_(lib.tensor([0.,1.,1.]))
zeros(2,2).bernoulli_(lib.tensor([0.,1.]))  zeros(2).random_(1)  zeros(2).random_(5,5)
zeros(2).random_(6,5)  zeros(2).random_(0)  zeros(2).random_(7,8)  zeros(2).to(lib.int8).random_(300)
zeros(2).half().random_(100000)  zeros(2).random_(1.5)  zeros(2).exponential_(0.)
zeros(2).exponential_(-1)  zeros(2).long().exponential_()  zeros(2,requires_grad=True).normal_()
"""


@pytest.mark.parametrize("call", re.split(r"  |\n", CALLS.strip()))
def test_calls(call):
    alike(lambda lib: eval(f"lib.{call}", {"lib": lib, "np": np}))


@pytest.mark.parametrize("name", ["rand", "randn"])
def test_what_has_other_values(name):
    """The shape, the dtype and whether a gradient is wanted are the same."""
    alike(lambda lib: getattr(lib, name)(2, 3) * 0)
    alike(lambda lib: getattr(lib, name)(()) * 0)
    alike(lambda lib: getattr(lib, name)((2,), dtype=lib.float64) * 0)
    alike(lambda lib: getattr(lib, name)(size=(2,), dtype=lib.float16) * 0)
    alike(lambda lib: getattr(lib, name)(0, requires_grad=True))


@given(st.integers(-20, 20), st.integers(-20, 20), st.integers(-5, 5))
def test_arange_of_ints(start, end, step):
    alike(lambda lib: lib.arange(start, end, step))
    alike(lambda lib: lib.arange(start, end, step, dtype=lib.float32))


@given(st.floats(-9, 9, width=16), st.floats(-9, 9, width=16), st.integers(0, 9))
def test_linspace(start, end, steps):
    ours, theirs = (lib.linspace(start, end, steps, dtype=lib.float64) for lib in (tn, torch))
    same(ours, theirs, rtol=1e-12, atol=1e-12)


def test_grids_are_differentiable():
    def gradients(lib):
        x, y = (lib.tensor(v, dtype=lib.float64, requires_grad=True) for v in ([1.0, 2.0], [3.0, 4.0, 5.0]))
        a, b = lib.meshgrid(x, y, indexing="xy")
        c = lib.cartesian_prod(x, y)
        return lib.autograd.grad((a * b * b).sum() + (c[:, 0] * c[:, 1] ** 3).sum(), (x, y))

    for ours, theirs in zip(gradients(tn), gradients(torch), strict=True):
        same(ours, theirs)
