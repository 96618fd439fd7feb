"""The Trainer: the loop does what the loop by hand does, on all kinds of data; what stops it leaves all in order."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading

import numpy as np
import pytest

import tinynet as tn
from tinynet import nn
from tinynet.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset
from tinynet.optim import lr_scheduler

N, CLASSES = 50, 3


def data(n=N, seed=0):
    g = tn.Generator().manual_seed(seed)
    x = tn.randn(n, 4, generator=g)
    return x, (x[:, :CLASSES] + 0.1 * tn.randn(n, CLASSES, generator=g)).argmax(1)


def network(seed=0, dropout=0.0):
    tn.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(dropout), nn.Linear(8, CLASSES))


def trainer(model=None, lr=0.05, **kwargs):
    model = model or network()
    optimizer = tn.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    return tn.Trainer(model, nn.CrossEntropyLoss(), optimizer, **kwargs)


def fit(t, *args, **kwargs):
    return t.fit(*args, **{"verbose": False, **kwargs})


def bits(model):
    return {name: (t.shape, t.numpy().tobytes()) for name, t in model.state_dict().items()}


# --- the loop -----------------------------------------------------------------------------------------------
class Eager:
    """Batches in an order that is drawn before the first of them is asked for."""

    def __init__(self, x, y):
        self.batches = [(x[k : k + 16], y[k : k + 16]) for k in range(0, len(x), 16)]

    def __iter__(self):
        return iter([self.batches[k] for k in tn.randperm(len(self.batches)).tolist()])


@pytest.mark.parametrize("loader", [
    lambda x, y: DataLoader(TensorDataset(x, y), 16, shuffle=True), Eager], ids=["DataLoader", "eager"])  # fmt: skip
def test_it_is_the_loop_by_hand_to_the_last_bit(loader):
    x, y = data()
    hers, mine = network(dropout=0.3), network(dropout=0.3)
    optimizer, loss_fn = tn.optim.SGD(hers.parameters(), lr=0.05, momentum=0.9), nn.CrossEntropyLoss()
    tn.manual_seed(1)
    losses = []
    for _ in range(3):
        total = 0.0
        for xb, yb in loader(x, y):
            loss = loss_fn(hers(xb), yb)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(yb)
        losses.append(total / N)
    tn.manual_seed(1)
    history = fit(trainer(mine, device="cpu"), loader(x, y), epochs=3)
    assert bits(hers) == bits(mine) and history.history["loss"] == losses and history.epoch == [0, 1, 2]


def test_the_figures_are_those_of_whole_epochs():
    x, y = data()
    t = trainer(metrics=["accuracy"])
    held_out = data(20, seed=1)
    history = fit(t, x, y, batch_size=16, validation_data=held_out, shuffle=False).history
    assert list(history) == ["loss", "accuracy", "val_loss", "val_accuracy"]
    output = t.predict(held_out[0])
    assert history["val_loss"] == [pytest.approx(nn.CrossEntropyLoss()(output, held_out[1]).item(), rel=1e-6)]
    assert history["val_accuracy"] == [tn.metrics.accuracy(held_out[1], output.argmax(1))]
    assert t.evaluate(*held_out, batch_size=16) == {name: history[f"val_{name}"][0] for name in ("loss", "accuracy")}


def test_a_metric_sees_all_of_an_epoch_at_once():
    seen = []

    def spread(y_true, y_pred):
        seen.append((y_true.shape, y_pred.shape))
        return np.ptp(y_pred)

    x, y = data()
    fit(trainer(metrics=[spread]), x, y, batch_size=8, validation_data=(x[:5], y[:5]))
    assert seen == [((N,), (N,)), ((5,), (5,))]


@pytest.mark.parametrize(("loss", "output", "target", "expected"), [
    (nn.CrossEntropyLoss(), [[1.0, 2.0], [3.0, 0.0]], [1, 1], 0.5),
    (nn.CrossEntropyLoss(ignore_index=0), [[1.0, 2.0], [0.0, 3.0]], [1, 0], 1.0),
    (nn.CrossEntropyLoss(), [[1.0, 2.0], [3.0, 0.0]], [[0.1, 0.9], [0.2, 0.8]], 0.5),
    (nn.functional.cross_entropy, [[1.0, 2.0], [3.0, 0.0]], [1, 0], 1.0),
    (nn.CrossEntropyLoss(), [[[1.0, 3.0], [2.0, 0.0]]], [[1, 1]], 0.5),  # (N, C, T)
    (lambda output, target: output.sum(), [[1.0, 2.0], [3.0, 0.0]], [1, 1], 0.5),
    (nn.BCEWithLogitsLoss(), [[0.2], [-0.2]], [[1.0], [1.0]], 0.5),
    (nn.BCELoss(), [0.7, 0.2], [1.0, 0.0], 1.0),
])  # fmt: skip
def test_labels_are_compared_with_labels(loss, output, target, expected):
    class Constant(nn.Module):
        def forward(self, x):
            return x

    found = tn.Trainer(Constant(), loss, tn.optim.SGD([tn.zeros(1)]), metrics="accuracy").evaluate(output, target)
    assert found["accuracy"] == expected


def test_numbers_are_compared_as_they_are():
    model = nn.Linear(1, 1)
    t = tn.Trainer(model, nn.MSELoss(), tn.optim.SGD(model.parameters()), metrics=["r2_score", "mean_absolute_error"])
    x, y = tn.randn(20, 1), tn.randn(20, 1)
    found = t.evaluate(x, y, batch_size=3)
    assert found["r2_score"] == tn.metrics.r2_score(y, model(x)) and found["mean_absolute_error"] > 0


# --- data of all kinds --------------------------------------------------------------------------------------
class Pairs(Dataset):
    def __init__(self, x, y):
        self.x, self.y = x, y

    def __getitem__(self, i):
        return self.x[i], self.y[i]

    def __len__(self):
        return len(self.x)


class Stream(IterableDataset):
    def __init__(self, x, y):
        self.pairs = list(zip(x, y, strict=True))

    def __iter__(self):
        return iter(self.pairs)


KINDS = {
    "tensors": lambda x, y: (x, y),
    "arrays": lambda x, y: (x.numpy().astype(np.float64), y.numpy().astype(np.int32)),
    "lists": lambda x, y: (x.tolist(), y.tolist()),
    "a tuple of one input": lambda x, y: ((x,), y),
    "a TensorDataset": lambda x, y: (TensorDataset(x, y),),
    "a data set": lambda x, y: (Pairs(x, y),),
    "a Subset": lambda x, y: (Subset(Pairs(x, y), range(len(x))),),
    "a loader": lambda x, y: (DataLoader(TensorDataset(x, y), 16),),
    "a loader with workers": lambda x, y: (DataLoader(TensorDataset(x, y), 16, num_workers=2),),
    "a stream": lambda x, y: (Stream(x, y),),
    "a list of batches": lambda x, y: ([(x[k : k + 16], y[k : k + 16]) for k in range(0, len(x), 16)],),
}


@pytest.mark.parametrize("kind", KINDS)
def test_data_come_in_all_kinds(kind):
    x, y = data()
    expected, found = trainer(metrics="accuracy"), trainer(metrics="accuracy")
    given = KINDS[kind](x, y)
    one = fit(expected, x, y, epochs=2, batch_size=16, shuffle=False)
    two = fit(found, *given, epochs=2, batch_size=16, shuffle=False)
    assert one == two and bits(expected.model) == bits(found.model)
    assert found.evaluate(*given, batch_size=16) == expected.evaluate(x, y, batch_size=16)
    inputs = given[0]
    assert tn.equal(found.predict(inputs, batch_size=16), expected.predict(x, batch_size=16))


def test_a_model_of_several_inputs():
    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 1)

        def forward(self, a, b):
            return self.layer(a) + self.layer(b)

    model = Sum()
    a, b = tn.randn(10, 2), tn.randn(10, 2)
    t = tn.Trainer(model, nn.MSELoss(), tn.optim.SGD(model.parameters()))
    fit(t, (a, b), tn.zeros(10, 1), batch_size=4)
    assert tn.equal(t.predict((a, b), batch_size=10), model(a, b))
    assert tn.equal(t.predict(TensorDataset(a, b, tn.zeros(10, 1)), batch_size=10), model(a, b))


@pytest.mark.parametrize("given", [{"callbacks": None}, {"callbacks": [], "metrics": None}])
def test_none_is_no_callback_and_no_metric(given):
    t = trainer(**given)
    assert list(fit(t, *data(), callbacks=None).history) == ["loss"] and t.callbacks == []


def test_one_callback_need_not_be_in_a_list():
    one, other = tn.EarlyStopping("loss", patience=9), tn.Callback()
    t = trainer(callbacks=one)
    fit(t, *data(), callbacks=other)
    assert t.callbacks == [one, other]


@pytest.mark.parametrize("whole", [np.int64, np.uint8])
def test_whole_numbers_may_be_numpys(whole):
    x, y = data()
    t, same = trainer(), trainer()
    assert fit(t, x, y, epochs=whole(2), batch_size=whole(16), shuffle=False) == fit(
        same, x, y, epochs=2, batch_size=16, shuffle=False)  # fmt: skip
    assert t.evaluate(x, y, batch_size=whole(16)) == same.evaluate(x, y, batch_size=16)
    assert tn.equal(t.predict(x, batch_size=whole(7)), same.predict(x, batch_size=7))


def test_validation_split_takes_the_last_samples():
    x, y = data()
    for given in ((x, y), (Pairs(x, y),), (TensorDataset(x, y),)):
        split = fit(trainer(), *given, validation_split=0.3, shuffle=False)
        whole = fit(trainer(), x[:35], y[:35], validation_data=(x[35:], y[35:]), shuffle=False)
        assert split == whole


@pytest.mark.parametrize("held_out", [
    lambda *xy: xy, TensorDataset, lambda *xy: DataLoader(TensorDataset(*xy), 32)])  # fmt: skip
def test_validation_data_of_all_kinds(held_out):
    x, y = data()
    assert fit(trainer(), x, y, validation_data=held_out(x, y)).history["val_loss"] == [pytest.approx(0.8, abs=0.4)]


def test_shuffle_is_a_new_order_each_epoch():
    class Log(tn.Callback):
        def __init__(self):
            self.losses = []

        def on_train_batch_end(self, batch, logs):
            self.losses.append(logs["loss"])

    def losses(shuffle):
        log = Log()
        fit(trainer(lr=1e-12), *data(), epochs=2, batch_size=10, shuffle=shuffle, callbacks=[log])
        return np.round(log.losses[:5], 5).tolist(), np.round(log.losses[5:], 5).tolist()

    first, second = losses(True)
    assert first != second
    first, second = losses(False)
    assert first == second


# --- modes --------------------------------------------------------------------------------------------------
def test_evaluating_leaves_every_module_in_the_mode_it_was_in():
    t = trainer(network(dropout=0.5))
    t.model[1].eval()  # frozen statistics
    x, y = data()
    modes = [module.training for module in t.model.modules()]
    assert tn.equal(t.predict(x), t.predict(x)) and t.evaluate(x, y) == t.evaluate(x, y)
    assert [module.training for module in t.model.modules()] == modes
    before = t.model[1].running_mean.clone()
    fit(t, x, y, validation_data=(x, y))
    assert [module.training for module in t.model.modules()] == modes and tn.equal(t.model[1].running_mean, before)
    assert not t.predict(x).requires_grad


# --- clipping, class weights, schedules ---------------------------------------------------------------------
@pytest.mark.parametrize(("option", "clip"), [
    ({"clip_norm": 0.01}, lambda p: nn.utils.clip_grad_norm_(p, 0.01)),
    ({"clip_value": 0.003}, lambda p: nn.utils.clip_grad_value_(p, 0.003)),
])  # fmt: skip
def test_gradients_are_clipped(option, clip):
    x, y = data()
    t, model = trainer(**option), network()
    fit(t, x, y, batch_size=N, shuffle=False)
    nn.CrossEntropyLoss()(model(x), y).backward()
    clip(list(model.parameters()))
    tn.optim.SGD(model.parameters(), lr=0.05, momentum=0.9).step()
    assert bits(model) == bits(t.model) != bits(network())


@pytest.mark.parametrize("weights", [[1, 2.0, 0.5], {2: 0.5, 0: 1.0, 1: 2.0}, tn.tensor([1.0, 2.0, 0.5])], ids=type)
def test_class_weights_are_for_training(weights):
    x, y = data()
    t, model = trainer(class_weights=weights), network()
    history = fit(t, x, y, batch_size=N, shuffle=False, validation_data=(x, y))
    loss = nn.CrossEntropyLoss(weight=tn.tensor([1.0, 2.0, 0.5]))(model(x), y)
    assert history.history["loss"] == [pytest.approx(loss.item())]
    assert history.history["val_loss"] == [pytest.approx(nn.CrossEntropyLoss()(t.predict(x), y).item())]
    assert t.loss.weight is None


def test_a_schedule_makes_its_step_after_each_epoch_or_batch():
    rates = []
    look = tn.LambdaCallback(on_train_batch_begin=lambda batch: rates.append(t.optimizer.param_groups[0]["lr"]))
    for each, expected in (("epoch", [1, 1, 0.5, 0.5, 0.25, 0.25]), ("batch", [1, 0.5, 0.25, 0.125, 0.0625, 0.03125])):
        rates.clear()
        t = trainer(lr=1.0, callbacks=[look])
        t.scheduler, t.scheduler_each = lr_scheduler.ExponentialLR(t.optimizer, 0.5), each
        history = fit(t, *data(), epochs=3, batch_size=25)
        assert rates == expected
        assert history.history["lr"] == {"epoch": [1, 0.5, 0.25], "batch": [0.25, 0.0625, 0.015625]}[each]


@pytest.mark.parametrize(("monitor", "held_out", "expected"), [
    (None, False, "loss"), (None, True, "val_loss"), ("accuracy", True, "accuracy")])  # fmt: skip
def test_a_plateau_is_looked_for_in_one_quantity(monitor, held_out, expected):
    model, fed = network(), []
    optimizer = tn.optim.SGD(model.parameters(), lr=0.1)

    class Plateau(lr_scheduler.ReduceLROnPlateau):
        def step(self, metrics, epoch=None):
            fed.append(metrics)
            super().step(metrics)

    t = tn.Trainer(model, nn.CrossEntropyLoss(), optimizer, "accuracy", Plateau(optimizer), monitor=monitor)
    history = fit(t, *data(), epochs=3, validation_data=data(9) if held_out else None)
    assert fed == history.history[expected]


# --- Ctrl-C -------------------------------------------------------------------------------------------------
def at(epoch, batch, do):
    def look(number, logs):
        if (t_of[0].epoch, number) == (epoch, batch):
            do()

    t_of = []
    callback = tn.LambdaCallback(on_train_batch_end=look)
    callback.on_train_begin = lambda: t_of.insert(0, callback.trainer)
    return callback


def press_ctrl_c():
    signal.raise_signal(signal.SIGINT)


def test_ctrl_c_ends_after_the_step_and_training_can_go_on_from_there(tmp_path):
    x, y = data()
    whole = trainer(network(dropout=0.3), metrics="accuracy")
    tn.manual_seed(1)
    expected = fit(whole, x, y, epochs=3, batch_size=16)

    reached = []
    t = trainer(network(dropout=0.3), metrics="accuracy")
    tn.manual_seed(1)
    with pytest.raises(KeyboardInterrupt):
        fit(t, x, y, epochs=3, batch_size=16, callbacks=[at(1, 2, lambda: (press_ctrl_c(), reached.append(1)))])
    assert reached == [1], "it did not wait"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert t.history.epoch == [0] and t.history.history["loss"] == expected.history["loss"][:1]
    assert (t.epoch, t.batch) == (1, 3) and t.predict(x).isfinite().all()
    t.save_checkpoint(tmp_path / "stopped")
    assert fit(t, x, y, epochs=3, batch_size=16, resume_from=tmp_path / "stopped") == expected
    assert bits(t.model) == bits(whole.model)


def test_a_second_ctrl_c_does_not_wait():
    reached = []
    with pytest.raises(KeyboardInterrupt):
        fit(trainer(), *data(), callbacks=[at(0, 0, lambda: (press_ctrl_c(), press_ctrl_c(), reached.append(1)))])
    assert not reached


def test_ctrl_c_in_validation_and_at_the_very_end():
    x, y = data()
    t = trainer(metrics={"press": lambda *_: press_ctrl_c() or 0.0})
    with pytest.raises(KeyboardInterrupt):
        fit(t, x, y, epochs=2, validation_data=(x, y))
    assert (t.epoch, t.batch) == (0, 2)
    with pytest.raises(KeyboardInterrupt):
        fit(trainer(), x, y, callbacks=[tn.LambdaCallback(on_train_end=press_ctrl_c)])
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_another_handler_of_ctrl_c_and_another_thread_are_left_alone():
    pressed = []
    before = signal.signal(signal.SIGINT, lambda *_: pressed.append(1))
    try:
        fit(trainer(), *data(), callbacks=[at(0, 0, press_ctrl_c)])
    finally:
        signal.signal(signal.SIGINT, before)
    assert pressed == [1]
    done = []
    thread = threading.Thread(target=lambda: done.append(fit(trainer(), *data())))
    thread.start()
    thread.join()
    assert len(done) == 1


# --- nan and inf --------------------------------------------------------------------------------------------
class Log(nn.Module):
    def forward(self, x):
        return (x - 1000.0).log()


class Root(nn.Module):
    def forward(self, x):
        return (x * 0).sqrt() + x


def nan_at(x, *index):
    x = x.clone()
    x[index] = float("nan")
    return x


X, Y = tn.randn(8, 2, generator=tn.Generator().manual_seed(0)), tn.zeros(8, 2)


@pytest.mark.parametrize(("layer", "loss", "x", "y", "text"), [
    (Log(), nn.MSELoss(), X, Y, r"the loss is nan: the first op to make nan of finite numbers is log, in module 1 "
     r"\(Log\); .*test_trainer.py:\d+: return \(x - 1000.0\).log\(\)"),
    (nn.Identity(), lambda o, y: (o - 1e4).log().sum(), X, Y, "the loss is nan: the first op .* is log, in the loss"),
    (nn.Identity(), lambda o, y: (o * 1e30).exp().sum(), X, Y, "the loss is inf: the first op to make inf .* is exp, "),
    (Root(), nn.MSELoss(), X, Y, "a gradient is not finite: Function 'SqrtBackward0' returned"),
    (nn.Identity(), nn.MSELoss(), nan_at(X, 3, 1), Y, r"the data have nan or inf in them: input 0 at \[3, 1\] of this "
     r"batch \(counted in it, .*fill them in or leave those samples out$"),
    (nn.Identity(), nn.MSELoss(), X, nan_at(Y, 0, 0), r"the data have nan or inf .*: the target at \[0, 0\] of this"),
    (nn.Sequential(nn.Dropout(0.5), Log()), nn.MSELoss(), X, Y, r"is log, in module 1.1 \(Log\)"),
    (nn.Sequential(nn.ReLU(inplace=True), Log()), nn.MSELoss(), X, Y, r"is log, in module 1.1 \(Log\)"),
])  # fmt: skip
def test_a_nan_stops_and_says_where_it_comes_from(layer, loss, x, y, text):
    model = nn.Sequential(nn.Linear(2, 2), layer)
    before = bits(model)
    t = tn.Trainer(model, loss, tn.optim.SGD(model.parameters(), lr=1.0))
    with pytest.raises(RuntimeError, match=f"in epoch 1, batch 1, .*{text}"):
        fit(t, x, y, shuffle=False)
    assert bits(model) == before and all(p.grad is None for p in model.parameters())


def test_a_nan_before_the_first_layer_is_found_too():
    class Inputs(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 2)

        def forward(self, x):
            return self.layer(x.log())

    model = Inputs()
    t = tn.Trainer(model, nn.MSELoss(), tn.optim.SGD(model.parameters()))
    with pytest.raises(RuntimeError, match=r"is log, in Inputs; .*self.layer\(x.log\(\)\)"):
        fit(t, X, Y)


def test_a_parameter_that_is_nan_is_named():
    model = nn.Sequential(nn.Linear(2, 2))
    with tn.no_grad():
        model[0].weight[1, 0] = float("inf")
    t = tn.Trainer(model, nn.MSELoss(), tn.optim.SGD(model.parameters()))
    with pytest.raises(RuntimeError, match=r"the model has it already: 0.weight at \[1, 0\]. .*smaller learning rate"):
        fit(t, X, Y)


def test_the_step_that_is_run_again_draws_the_same_numbers():
    class Unlucky(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.drawn = nn.Linear(2, 2), []

        def forward(self, x):
            self.drawn.append(tn.rand(1).item())
            return self.layer(x) if len(self.drawn) < 3 else (self.layer(x) - 1e6).log()

    model = Unlucky()
    t = tn.Trainer(model, nn.MSELoss(), tn.optim.SGD(model.parameters()))
    with pytest.raises(RuntimeError, match=r"in epoch 1, batch 3, .* is log"):
        fit(t, X, Y, batch_size=2)
    assert len(model.drawn) == 4 and model.drawn[2] == model.drawn[3] != model.drawn[1]


# --- progress -----------------------------------------------------------------------------------------------
def test_the_bar_is_on_stderr_and_tells_the_figures(capsys):
    t = trainer(metrics="accuracy")
    t.fit(*data(), epochs=2, validation_data=data(9))
    out, err = capsys.readouterr()
    assert out == "" and "epoch 1/2: 100%" in err and f"{N}/{N}" in err and "samples/s" in err
    assert re.search(r"\d+/50 \[\d\d:\d\d<\d\d:\d\d, ", err), "time gone, and time left"
    assert "0%|" not in err.replace("100%|", ""), "a line in a log that tells nothing"
    last = err.replace("\r", "\n").strip().split("\n")[-1]
    assert all(name in last for name in ("epoch 2/2: 100%", "loss ", "accuracy ", "val_loss ", "val_accuracy "))
    fit(t, *data())
    t.evaluate(*data())
    assert capsys.readouterr() == ("", "")


def test_a_terminal_that_does_not_know_its_size_has_a_bar_too(monkeypatch):
    pty = pytest.importorskip("pty")
    ours, its = pty.openpty()  # of 0 rows and columns
    with monkeypatch.context() as patch, open(its, "w") as terminal:
        patch.setattr(sys, "stderr", terminal)
        assert terminal.isatty() and tuple(os.get_terminal_size(its)) == (0, 0)
        trainer().fit(*data(), epochs=1)
        terminal.flush()
        shown = os.read(ours, 1 << 16).decode()
    os.close(ours)
    assert "epoch 1/1: 100%|" in shown and "samples/s" in shown


def test_the_figures_are_shown_on_the_way(monkeypatch):
    from tinynet.data import _progress

    shown, now = [], iter(range(0, 10_000, 10))
    monkeypatch.setattr(_progress.time, "monotonic", lambda: next(now))
    monkeypatch.setattr(_progress.EpochBar, "_show", lambda self, figures: shown.append((self.speed, figures)))
    trainer(metrics="accuracy").fit(*data(24 * 40), batch_size=40)
    # to show took 10 seconds, so 200 pass until it is done again; the last are those of the whole epoch
    assert [speed for speed, _ in shown] == ["4 samples/s", "4 samples/s", "4 samples/s"] and next(now) == 270
    assert all(list(figures) == ["loss", "accuracy"] for _, figures in shown)
    assert shown[0][1]["loss"] > shown[1][1]["loss"] > shown[2][1]["loss"]


def test_in_a_notebook_the_bar_is_the_notebooks(monkeypatch):
    import tqdm.auto

    from tinynet.data._progress import progress

    made = []
    monkeypatch.setitem(sys.modules, "ipykernel", object())
    monkeypatch.setattr(tqdm.auto, "tqdm", lambda items, **options: made.append(options))
    progress([1], desc="x")
    assert made[0]["desc"] == "x" and made[0]["mininterval"] == 0.1


# --- bad input ----------------------------------------------------------------------------------------------
M = network()
SGD = tn.optim.SGD(M.parameters())
CE = nn.CrossEntropyLoss()
PLATEAU = lr_scheduler.ReduceLROnPlateau(SGD)
OTHER = tn.optim.SGD([tn.zeros(1)])


@pytest.mark.parametrize(("args", "kwargs", "error", "text"), [
    ((nn.Linear, CE, SGD), {}, TypeError, r"model=Linear is a class: make an object of it, Linear\(\.\.\.\)"),
    ((M, nn.CrossEntropyLoss, SGD), {}, TypeError, "loss=CrossEntropyLoss is a class"),
    ((M, CE, tn.optim.SGD), {}, TypeError, "optimizer=SGD is a class"),
    ((len, CE, SGD), {}, TypeError, "model must be a tn.nn.Module, got builtin"),
    ((M, "mse", SGD), {}, TypeError, r"loss must be a function of \(output, target\), got str"),
    ((M, CE, M.parameters()), {}, TypeError, "optimizer must be one of tn.optim, got generator"),
    ((M, CE, SGD), {"scheduler": lr_scheduler.StepLR(OTHER, 1)}, ValueError, "one of this very optimizer"),
    ((M, CE, SGD), {"scheduler_each": "step"}, ValueError, "'epoch' or 'batch', got 'step'"),
    ((M, CE, SGD), {"scheduler": PLATEAU, "scheduler_each": "batch"}, ValueError, "whole epochs"),
    ((M, CE, SGD, "acuracy"), {}, ValueError, "no metric 'acuracy' that gives one number; .* has accuracy, f1_score, "),
    ((M, CE, SGD, "confusion_matrix"), {}, ValueError, "no metric 'confusion_matrix' that gives one number"),
    ((M, CE, SGD, [lambda t, p: 0.0] * 2), {}, ValueError, "cannot be called '<lambda>' here"),
    ((M, CE, SGD, {"loss": max}), {}, ValueError, "cannot be called 'loss' here"),
    ((M, CE, SGD, {3: max}), {}, TypeError, "a metric without a name"),
    ((M, CE, SGD, [3]), {}, ValueError, "no metric 3"),
    ((M, CE, SGD), {"clip_norm": 0.0}, ValueError, "clip_norm must be above 0, got 0.0"),
    ((M, CE, SGD), {"clip_value": float("nan")}, ValueError, "clip_value must be above 0"),
    ((M, CE, SGD), {"callbacks": [tn.EarlyStopping]}, TypeError, "callbacks must be tn.Callback objects"),
    ((M, CE, SGD), {"callbacks": tn.EarlyStopping}, TypeError, "callbacks must be tn.Callback objects, got <class"),
    ((M, CE, SGD), {"device": "tpu"}, RuntimeError, "Expected one of cpu, cuda"),
    ((M, nn.MSELoss(), SGD), {"class_weights": [1]}, TypeError, "class_weights go with CrossEntropyLoss and NLLLoss"),
    ((M, nn.NLLLoss(tn.ones(3)), SGD), {"class_weights": [1]}, ValueError, "the loss has class weights already"),
    ((M, CE, SGD), {"class_weights": {1: 1.0, 2: 1.0}}, ValueError, "a weight for each class from 0 on"),
])  # fmt: skip
def test_bad_arguments_of_the_constructor(args, kwargs, error, text):
    with pytest.raises(error, match=text):
        tn.Trainer(*args, **kwargs)


X5, Y5 = data(5)
NOTHING = DataLoader(TensorDataset(X5, Y5), 10, drop_last=True)


@pytest.mark.parametrize(("args", "kwargs", "error", "text"), [
    ((X5,), {}, TypeError, "the targets are missing: give y beside x"),
    ((X5, Y5[:4]), {}, ValueError, "as many samples as one another: x has 5, y has 4"),
    (((X5, X5[:3]), Y5), {}, ValueError, r"x\[0\] has 5, x\[1\] has 3, y has 5"),
    ((X5[:0], Y5[:0]), {}, ValueError, "the data set is empty"),
    (([],), {}, TypeError, "the targets are missing"),
    ((iter([]),), {}, ValueError, "there is no batch in epoch 1: the data are empty, or a generator"),
    ((NOTHING,), {}, ValueError, "there is no batch in epoch 1"),
    ((3,), {}, TypeError, "x must be tensors or arrays, a data set or a loader, got int"),
    ((3, Y5), {}, ValueError, "x must have an axis of samples"),
    (([["a"]], Y5), {}, TypeError, "x must hold numbers, got <U1"),
    (([[1.0], [1.0, 2.0]], Y5), {}, ValueError, "x is no array"),
    ((TensorDataset(X5, Y5), Y5), {}, TypeError, "a TensorDataset has its targets itself"),
    ((TensorDataset(X5),), {}, TypeError, r"a batch must be \(inputs..., target\), got list of 1"),
    (([X5],), {}, TypeError, "the targets are missing"),
    (((b for b in [X5]),), {}, TypeError, "a batch must be .*got Tensor"),
    ((X5, Y5), {"epochs": 0}, ValueError, "epochs must be a whole number above 0, got 0"),
    ((X5, Y5), {"batch_size": 2.5}, ValueError, "batch_size must be a whole number above 0, got 2.5"),
    ((X5, Y5), {"batch_size": True}, ValueError, "batch_size must be a whole number above 0, got True"),
    ((X5, Y5), {"epochs": np.bool_(True)}, ValueError, "epochs must be a whole number above 0, got .*True"),
    ((X5, Y5), {"validation_split": 1.5}, ValueError, "between 0 and 1; got 1.5"),
    ((X5, Y5), {"validation_split": 0.9}, ValueError, "=0.9 of 5 samples leaves 0 to train with and 5"),
    ((X5, Y5), {"validation_split": 0.5, "validation_data": (X5, Y5)}, ValueError, "not both"),
    ((DataLoader(TensorDataset(X5, Y5)),), {"validation_split": 0.5}, ValueError, "a DataLoader has not"),
    ((X5, Y5), {"validation_data": (X5,)}, ValueError, r"validation_data is \(x, y\).*got 1"),
    ((X5, Y5), {"validation_data": X5}, TypeError, "the targets are missing"),
    ((X5, Y5), {"validation_data": NOTHING}, ValueError, "nothing to evaluate"),
    ((X5, Y5), {"callbacks": [print]}, TypeError, "callbacks must be tn.Callback objects"),
])  # fmt: skip
def test_bad_arguments_of_fit(args, kwargs, error, text):
    with pytest.raises(error, match=text):
        fit(trainer(), *args, **kwargs)


@pytest.mark.parametrize(("call", "error", "text"), [
    (lambda t: t.evaluate(X5), TypeError, "the targets are missing"),
    (lambda t: t.evaluate(iter([])), ValueError, "nothing to evaluate on"),
    (lambda t: t.evaluate(X5, Y5, batch_size=0), ValueError, "batch_size must be"),
    (lambda t: t.predict(X5[:0]), ValueError, "the data set is empty"),
    (lambda t: t.predict(X5, batch_size=-1), ValueError, "batch_size must be"),
    (lambda t: t.predict(iter([])), ValueError, "nothing to predict"),
])  # fmt: skip
def test_bad_arguments_of_evaluate_and_predict(call, error, text):
    with pytest.raises(error, match=text):
        call(trainer())


PIXELS = np.arange(20, dtype=np.uint8).reshape(5, 4)


@pytest.mark.parametrize(("x", "model", "error", "text"), [
    (PIXELS, network(), RuntimeError, r"^linear 4.8: .*got uint8 and float32.*The inputs are uint8, the model's "
     r"parameters float32: .* for pixels x.astype\('float32'\) / 255"),
    (PIXELS.tolist(), network(), RuntimeError, r"got int64 and float32.*tn.as_tensor\(x, dtype=tn.float32\)"),
    (X5.double(), network(), RuntimeError, r"got float64 and float32.*The inputs are float64, .*x.to\(tn.float32\)"),
    (X5.double()[:, :, None], nn.Conv1d(4, 3, 1), RuntimeError, "^Input type.*The inputs are float64"),
    (PIXELS[:, :, None], nn.LSTM(1, 3), ValueError, "^RNN input dtype .*The inputs are uint8"),
])  # fmt: skip
@pytest.mark.parametrize("how", ["fit", "evaluate", "predict"])
def test_inputs_of_another_dtype_than_the_model_are_told_what_to_become(x, model, error, text, how):
    t = trainer(model)
    args, kwargs = ((x,), {}) if how == "predict" else ((x, Y5), {"verbose": False} if how == "fit" else {})
    with pytest.raises(error, match=text) as caught:
        getattr(t, how)(*args, **kwargs)
    assert caught.type is error


def test_what_takes_whole_numbers_is_not_told_to_take_floats():
    words = nn.Sequential(nn.Embedding(30, 4), nn.Flatten(), nn.Linear(16, 3))
    fit(trainer(words), PIXELS.astype(np.int64), Y5)
    with pytest.raises(RuntimeError) as caught:
        fit(trainer(words), PIXELS, Y5)
    assert str(caught.value).endswith("got uint8 instead: use input.long()")


def test_an_error_of_the_loss_or_of_shapes_says_nothing_of_inputs():
    words = nn.Sequential(nn.Embedding(30, 1), nn.Flatten(), nn.Linear(4, 1), nn.Sigmoid())
    t = tn.Trainer(words, nn.BCELoss(), tn.optim.SGD(words.parameters()))
    with pytest.raises(RuntimeError, match="binary_cross_entropy: Found dtype int64 but expected float32") as caught:
        fit(t, PIXELS.astype(np.int64), Y5[:, None])
    assert "inputs" not in str(caught.value)
    with pytest.raises(RuntimeError, match="linear") as caught:
        fit(trainer(nn.Linear(3, 3)), X5, Y5)
    assert "inputs" not in str(caught.value)


@pytest.mark.parametrize("name", ["precision", "recall", "f1_score"])
def test_scores_of_two_classes_say_how_they_are_had_of_more(name):
    with pytest.raises(ValueError, match=r"Target is multiclass .*metrics={'f1': lambda t, p: tn.metrics.f1_score\("):
        fit(trainer(metrics=[name]), *data())
    mean = {"f1": lambda t, p: tn.metrics.f1_score(t, p, average="macro")}
    assert 0 < fit(trainer(metrics=mean), *data()).history["f1"][0] < 1


def test_results_that_no_metric_and_no_prediction_can_be_made_of():
    class Pair(nn.Module):
        def forward(self, x):
            return x, x

    t = tn.Trainer(Pair(), lambda output, y: output[0].sum(), OTHER, "accuracy")
    with pytest.raises(TypeError, match="metrics compare tensors, but the output is of type tuple"):
        t.evaluate(X5, Y5)
    with pytest.raises(TypeError, match=r"predict\(\) joins tensors, but the model gave a tuple"):
        t.predict(X5)
    t = trainer(metrics={"matrix": tn.metrics.confusion_matrix})
    with pytest.raises(TypeError, match="metric 'matrix' must give one number"):
        t.evaluate(X5, Y5)


def test_a_monitor_that_is_not_there():
    model = network()
    optimizer = tn.optim.SGD(model.parameters())
    plateau = lr_scheduler.ReduceLROnPlateau(optimizer)
    t = tn.Trainer(model, CE, optimizer, scheduler=plateau, monitor="val_loss")
    with pytest.raises(ValueError, match="monitor='val_loss', but there will only be 'loss', 'lr'"):
        fit(t, X5, Y5)
