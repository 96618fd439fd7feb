"""Lessons 8 to 12: with tn.use the engine computes by the answers, forward and backward, and gives what it gave."""
from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

import tinynet as tn
from tinynet.learn import ANSWERS, find

nn = tn.nn
CONVOLUTION = ["08.conv2d", "08.conv2d_input_grad", "08.conv2d_weight_grad", "08.max_pool2d"]
Run = Callable[[], list[np.ndarray]]


@pytest.fixture
def use() -> Iterator[Callable[..., list[str]]]:
    """Puts answers into the engine, each the reference, and gives the list in which their calls are noted."""
    calls: list[str] = []

    def put(*ids: str) -> list[str]:
        for id in ids:
            def answer(*args, id=id):
                calls.append(id)
                return find(id)(*args)
            tn.exercise(id)(answer).status = "passed"
            tn.use(ANSWERS[id])
        return calls

    before = dict(ANSWERS)
    yield put
    tn.use(None)
    ANSWERS.clear()
    ANSWERS.update(before)


def same_without(calls: list[str], run: Run, mine: list[np.ndarray], tolerance: float = 1e-4) -> None:
    """The engine's own functions are back, and give the same."""
    tn.use(None)
    calls.clear()
    for got, wanted in zip(mine, run(), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=tolerance, atol=1e-5)
        assert got.dtype == np.float32
    assert not calls


def gradients(model: nn.Module, x: tn.Tensor) -> list[np.ndarray]:
    """The loss, and the gradients of the input and of all parameters."""
    x.requires_grad_()
    out = model(x)
    loss = (out[0] if isinstance(out, tuple) else out).square().sum()
    loss.backward()
    return [t.detach().numpy().copy() for t in (loss, x.grad, *(p.grad for p in model.parameters()))]


def convolution(stride: int, groups: int = 1) -> list[np.ndarray]:
    tn.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 4, 3, stride=stride, padding=1, groups=groups), nn.ReLU(), nn.MaxPool2d(2))
    return gradients(model, tn.rand(2, 2, 9, 9))


@pytest.mark.parametrize("stride", [1, 2])
def test_convolution_and_pooling(use: Callable[..., list[str]], stride: int) -> None:
    calls = use(*CONVOLUTION)
    mine = convolution(stride)
    assert sorted(set(calls)) == sorted(CONVOLUTION)
    same_without(calls, lambda: convolution(stride), mine)


def test_groups_stay_the_engine_s_own(use: Callable[..., list[str]]) -> None:
    calls = use(*CONVOLUTION)
    mine = convolution(1, groups=2)
    assert set(calls) == {"08.max_pool2d"}
    same_without(calls, lambda: convolution(1, groups=2), mine)


def test_im2col_lays_out_for_the_plain_kernels(use: Callable[..., list[str]]) -> None:
    calls = use("09.im2col")
    with tn.use_kernels("reference"):
        mine = convolution(2)
        assert set(calls) == {"09.im2col"}
        same_without(calls, lambda: convolution(2), mine)


def test_dropout_in_training_only(use: Callable[..., list[str]]) -> None:
    calls = use("10.dropout_mask")
    layer, x = nn.Dropout(0.5), tn.ones(50, 40)
    dropped = layer(x)
    assert calls
    assert set(np.unique(dropped.numpy())) == {0.0, 2.0}
    calls.clear()
    assert tn.equal(layer.eval()(x), x)
    assert not calls


def batch_norm() -> list[np.ndarray]:
    tn.manual_seed(0)
    layer, x = nn.BatchNorm2d(3), tn.randn(4, 3, 5, 5) * 2 + 1
    found = gradients(layer, x)
    return [*found, layer.running_mean.numpy(), layer.running_var.numpy(), layer.eval()(x).detach().numpy()]


def test_batch_norm_and_its_running_moments(use: Callable[..., list[str]]) -> None:
    calls = use("10.batch_norm")
    mine = batch_norm()
    assert len(calls) == 2
    same_without(calls, batch_norm, mine)


def recurrence(kind: type[nn.Module], **options: bool) -> list[np.ndarray]:
    tn.manual_seed(0)
    return gradients(kind(3, 4, 2, **options), tn.randn(6, 2, 3))


@pytest.mark.parametrize("options", [{}, {"bidirectional": True}, {"bias": False}], ids=str)
@pytest.mark.parametrize(("id", "kind"), [("12.rnn_step", nn.RNN), ("12.lstm_step", nn.LSTM)])
def test_recurrent_layers_of_any_kind(use: Callable[..., list[str]], id: str, kind: type[nn.Module],
                                      options: dict[str, bool]) -> None:
    calls = use(id)
    mine = recurrence(kind, **options)
    assert len(calls) == 6 * 2 * (1 + options.get("bidirectional", False))
    same_without(calls, lambda: recurrence(kind, **options), mine, 1e-3)


def clipped() -> list[np.ndarray]:
    tn.manual_seed(0)
    model = nn.Linear(3, 2)
    trainer = tn.Trainer(model, nn.MSELoss(), tn.optim.SGD(model.parameters(), lr=1.0), clip_norm=0.1)
    trainer.fit(tn.ones(4, 3), tn.full((4, 2), 9.0), verbose=False)
    return [p.detach().numpy() for p in model.parameters()]


def test_the_trainer_clips(use: Callable[..., list[str]]) -> None:
    calls = use("12.clip_by_norm")
    mine = clipped()
    assert calls
    same_without(calls, clipped, mine)
