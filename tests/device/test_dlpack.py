"""Memory shared with other libraries, by DLPack."""

from __future__ import annotations

import numpy as np
import pytest

import tinynet as tn

torch = pytest.importorskip("torch")

DTYPES = ["float16", "float32", "float64", "int8", "uint8", "int16", "int32", "int64", "bool"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0, 2)])
def test_from_pytorch_and_back(dtype, shape):
    theirs = (torch.arange(int(np.prod(shape))).reshape(shape) % 2 == 1).to(getattr(torch, dtype))
    ours = tn.from_dlpack(theirs)
    assert ours.dtype == getattr(tn, dtype) and ours.shape == shape and ours.tolist() == theirs.tolist()
    again = torch.from_dlpack(ours)
    assert again.dtype == theirs.dtype and again.data_ptr() == theirs.data_ptr()
    if theirs.numel():
        ours.fill_(1)
        assert theirs.bool().all() and again.bool().all(), "one memory"
        theirs.zero_()
        assert not ours.any()


def test_without_order():
    theirs = torch.arange(24).reshape(2, 3, 4).permute(2, 0, 1)[1:, :, ::2]
    ours = tn.from_dlpack(theirs)
    assert ours.stride() == tuple(theirs.stride()) and ours.tolist() == theirs.tolist()
    x = tn.arange(24.0).reshape(4, 6).T[::2, 1:]
    theirs = torch.from_dlpack(x)
    assert theirs.stride() == x.stride() and theirs.tolist() == x.tolist()
    x[0, 0] = -1
    assert theirs[0, 0] == -1
    expanded = torch.from_dlpack(tn.ones(3, 1).expand(3, 4))
    assert expanded.stride() == (1, 0) and expanded.sum() == 12


def test_what_cannot_be_shared():
    with pytest.raises(BufferError, match=r"require gradient, use tensor.detach"):
        torch.from_dlpack(tn.ones(2, requires_grad=True))
    with pytest.raises((RuntimeError, BufferError), match="gradient"):
        tn.from_dlpack(torch.ones(2, requires_grad=True))
    with pytest.raises(TypeError, match=r"from_dlpack\(\): argument 'ext_tensor' must have __dlpack__.* list has not"):
        tn.from_dlpack([1.0])
    with pytest.raises((TypeError, BufferError, RuntimeError), match=r"bfloat|dtype|type"):
        tn.from_dlpack(torch.ones(2, dtype=torch.bfloat16))
    with pytest.raises(TypeError, match="complex"):
        tn.from_dlpack(torch.ones(2, dtype=torch.complex64))

    class Elsewhere:
        def __dlpack_device__(self):
            return 10, 0

    with pytest.raises(BufferError, match="Unsupported device type 10"):
        tn.from_dlpack(Elsewhere())


def test_read_only_memory():
    a = np.arange(3.0)
    a.flags.writeable = False
    x = tn.from_dlpack(a)
    assert x.tolist() == [0.0, 1.0, 2.0]
    with pytest.raises(RuntimeError, match=r"read-only array; clone"):
        x[0] = 1
    with pytest.raises(BufferError, match=r"readonly|read-only"):
        x.__dlpack__()
    assert x.__dlpack__(max_version=(1, 0)) is not None


def test_copies_and_devices():
    theirs = torch.ones(2)
    assert tn.from_dlpack(theirs, copy=True).fill_(5).sum().item() == 10 and theirs.sum() == 2
    assert tn.from_dlpack(theirs, device="cpu", copy=False).fill_(5) is not None and theirs.sum() == 10
    assert tn.from_dlpack(tn.ones(2)).sum().item() == 2 and np.from_dlpack(tn.ones(2)).sum() == 2
    assert tn.ones(2).__dlpack_device__() == (1, 0)


def test_of_a_gpu(gpu):
    theirs = gpu.ones(3)
    x = tn.from_dlpack(theirs)
    assert str(x.device) == "cuda:0" and x.__dlpack_device__() == (2, 0) and x.dtype == tn.float64
    x.fill_(4)
    assert theirs.get().tolist() == [4.0] * 3
    assert tn.from_dlpack(theirs, device="cpu").device == tn.device("cpu")
    assert str(tn.from_dlpack(np.ones(2), device="cuda").device) == "cuda:0"
    with pytest.raises(ValueError, match="cannot move the tensor from cuda:0 to cpu without copying"):
        tn.from_dlpack(theirs, device="cpu", copy=False)
    shared = tn.as_tensor(theirs)
    shared.zero_()
    assert theirs.get().sum() == 0 and tn.tensor(theirs).fill_(1).sum().item() == 3 and theirs.get().sum() == 0
