"""Callbacks: when they are called, when they stop a training, what they save and write."""

from __future__ import annotations

import csv
import math
import os

import numpy as np
import pytest

import tinynet as tn
from tinynet import nn


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def training(*callbacks, epochs=2, values=None, own=(), **kwargs):
    """A training of two batches an epoch; `values`: what the metric `score` gives, epoch by epoch."""
    tn.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 1))
    x = tn.randn(8, 2)
    given = iter(values or ())
    metrics = {"score": lambda y_true, y_pred: next(given)} if values else ()
    optimizer = tn.optim.SGD(model.parameters(), lr=0.1)
    t = tn.Trainer(model, nn.MSELoss(), optimizer, metrics, callbacks=own)
    t.fit(x, x[:, :1], epochs=epochs, batch_size=4, callbacks=callbacks, verbose=False, **kwargs)
    return t


# --- hooks --------------------------------------------------------------------------------------------------
HOOKS = [f"on_{what}_{when}" for what in ("train", "epoch", "train_batch") for when in ("begin", "end")]


def test_the_hooks_are_called_in_their_order():
    called = []
    hooks = {name: lambda *args, name=name: called.append((name.removeprefix("on_"), *args[:1])) for name in HOOKS}
    t = training(tn.LambdaCallback(**hooks))
    epoch = [("train_batch_begin", 0), ("train_batch_end", 0), ("train_batch_begin", 1), ("train_batch_end", 1)]
    assert called == [("train_begin",), ("epoch_begin", 0), *epoch, ("epoch_end", 0),
                      ("epoch_begin", 1), *epoch, ("epoch_end", 1), ("train_end",)]  # fmt: skip
    assert t.history.epoch == [0, 1]


def test_a_callback_of_ones_own_sees_trainer_model_and_figures():
    class Mine(tn.Callback):
        def on_train_batch_end(self, batch, logs):
            assert list(logs) == ["loss"] and math.isfinite(logs["loss"])

        def on_epoch_end(self, epoch, logs):
            assert self.model is self.trainer.model and logs["loss"] == self.trainer.history.history["loss"][-1]
            self.trainer.stop_training = epoch == 3

    assert training(Mine(), epochs=9).history.epoch == [0, 1, 2, 3]


def test_those_of_the_trainer_and_those_of_the_call():
    called = []
    own = tn.LambdaCallback(on_train_begin=lambda: called.append("own"))
    given = tn.LambdaCallback(on_train_begin=lambda: called.append("given"))
    t = training(given, own=[tn.ModelCheckpoint("x"), own])
    assert called == ["own", "given"] and isinstance(t.callbacks[-1], tn.ModelCheckpoint)
    t.fit(tn.zeros(2, 2), tn.zeros(2, 1), verbose=False)
    assert called == ["own", "given", "own"]


# --- EarlyStopping ------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("values", "options", "stops_after"), [
    ([3, 2, 1, 1, 0], {"mode": "min"}, 3),
    ([3, 2, 1, 1, 0], {"mode": "min", "patience": 1}, 3),
    ([3, 2, 1, 1, 0], {"mode": "min", "patience": 2}, 4),
    ([3, 2, 3, 1, 3, 3, 0], {"mode": "min", "patience": 2}, 5),
    ([1, 2, 3, 2.9, 9], {"mode": "max"}, 3),
    ([1, 1.5, 1.9, 2.1], {"mode": "max", "min_delta": 1, "patience": 2}, 2),
    ([1, 1.5, 2.1, 2.2], {"mode": "max", "min_delta": -1, "patience": 2}, 3),
    ([math.nan, math.nan, 0], {"mode": "min", "patience": 2}, 1),
    ([math.inf, 5, 4], {"mode": "min"}, 0),
    ([1, 2], {"mode": "max"}, 1),
])  # fmt: skip
def test_it_stops_when_nothing_has_been_better_for_long_enough(values, options, stops_after):
    t = training(tn.EarlyStopping("score", **options), epochs=len(values), values=values)
    assert t.history.epoch[-1] == stops_after


@pytest.mark.parametrize(("restore", "best"), [(True, 1), (False, 3)])
def test_the_best_weights_come_back(restore, best):
    weights = []
    note = tn.LambdaCallback(on_epoch_end=lambda *_: weights.append(t.model[0].weight.detach().clone()))
    stop = tn.EarlyStopping("score", patience=2, restore_best_weights=restore)
    tn.manual_seed(0)
    model, values = nn.Sequential(nn.Linear(2, 1)), iter([1, 3, 2, 2, 2])
    optimizer = tn.optim.SGD(model.parameters(), lr=0.1)
    t = tn.Trainer(model, nn.MSELoss(), optimizer, {"score": lambda *_: next(values)}, callbacks=[note, stop])
    t.fit(tn.randn(8, 2), tn.randn(8, 1), epochs=9, verbose=False)
    assert len(weights) == 4 and stop.best == 3 and stop.best_epoch == 1
    assert tn.equal(model[0].weight, weights[best]) and not tn.equal(weights[1], weights[3])


def test_a_second_training_begins_anew():
    stop = tn.EarlyStopping("score", mode="min", patience=1)
    for _ in range(2):
        assert training(stop, epochs=9, values=[1, 0, 0, 0]).history.epoch == [0, 1, 2]


@pytest.mark.parametrize(("monitor", "mode"), [
    ("val_loss", "min"), ("loss", "min"), ("val_accuracy", "max"), ("f1_score", "max"), ("val_r2_score", "max"),
    ("mean_absolute_error", "min"), ("precision", "max"), ("recall", "max"), ("val_rmse", "min"), ("perplexity", "min"),
])  # fmt: skip
def test_it_knows_what_is_better(monitor, mode):
    assert tn.EarlyStopping(monitor).mode == mode


# --- ModelCheckpoint ----------------------------------------------------------------------------------------
def test_it_saves_after_each_epoch_under_the_name_it_is_given(tmp_path):
    training(tn.ModelCheckpoint("epoch {epoch:02d}, {loss:.0f}.ckpt"), epochs=3)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert [name[:8] for name in names] == ["epoch 01", "epoch 02", "epoch 03"] and names[0][8:10] == ", "
    assert [tn.load(name)["epoch"] for name in names] == [1, 2, 3]


def test_only_the_best_is_kept():
    t = training(tn.ModelCheckpoint("best", "score", save_best_only=True), epochs=4, values=[1, 3, 2, 3])
    assert tn.load("best")["epoch"] == 2 and t.history.epoch == [0, 1, 2, 3]


def test_only_the_weights():
    t = training(tn.ModelCheckpoint("w.safetensors", save_weights_only=True))
    state, mine = tn.io.load_safetensors("w.safetensors"), t.model.state_dict()
    assert state.keys() == mine.keys() and all(tn.equal(state[name], mine[name]) for name in mine)
    t.model.load_state_dict(tn.load("w.safetensors"))


def test_every_so_many_batches():
    saved = []
    note = tn.LambdaCallback(on_train_batch_begin=lambda batch: saved.append(os.path.exists("x")))
    training(note, tn.ModelCheckpoint("x", save_freq=np.int64(2)), epochs=1)
    assert saved == [False, False] and tn.load("x")["batch"] == 2


def test_a_disk_that_is_full_is_an_error_and_the_last_checkpoint_is_whole(monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    fill = tn.LambdaCallback(on_epoch_begin=lambda epoch: epoch == 2 and monkeypatch.setattr(os, "fsync", full))
    with pytest.raises(OSError, match="No space left on device: 'x'"):
        training(fill, tn.ModelCheckpoint("x"), epochs=5)
    assert tn.load("x")["epoch"] == 2


@pytest.mark.parametrize("make", [tn.ModelCheckpoint, tn.CSVLogger])
def test_a_folder_that_is_not_there_is_missed_before_the_first_step(make):
    steps = []
    note = tn.LambdaCallback(on_train_batch_begin=steps.append)
    with pytest.raises(FileNotFoundError, match=r"no folder 'no/such': make it first.*'no/such/x'") as caught:
        training(note, make("no/such/x"))
    assert not steps and caught.value.filename == "no/such/x"


def test_a_folder_may_be_made_when_training_begins_and_may_be_named_by_the_epoch(tmp_path):
    (tmp_path / "here").mkdir()
    training(tn.LambdaCallback(on_train_begin=lambda: os.mkdir("new")), tn.ModelCheckpoint("new/x"), epochs=1)
    training(tn.ModelCheckpoint(tmp_path / "here" / "x"), tn.CSVLogger("here/y"), epochs=1)
    own = tn.LambdaCallback(on_epoch_begin=lambda epoch: os.mkdir(f"epoch {epoch + 1}"))
    training(own, tn.ModelCheckpoint("epoch {epoch}/x"), epochs=2)
    assert all(os.path.exists(path) for path in ("new/x", "here/x", "here/y", "epoch 1/x", "epoch 2/x"))


# --- CSVLogger ----------------------------------------------------------------------------------------------
def table(name, separator=","):
    with open(name, newline="") as file:
        return list(csv.reader(file, delimiter=separator))


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_the_table_has_a_row_an_epoch_with_the_exact_figures(separator):
    t = training(tn.CSVLogger("log.csv", separator), epochs=3, values=[1, 0.5, 0.25])
    head, *rows = table("log.csv", separator)
    assert head == ["epoch", "loss", "score"] and [row[0] for row in rows] == ["0", "1", "2"]
    assert [float(row[1]) for row in rows] == t.history.history["loss"]
    assert [row[2] for row in rows] == ["1.0", "0.5", "0.25"]


def test_the_table_of_a_resumed_training_is_whole():
    whole = training(tn.CSVLogger("whole.csv"), epochs=4)
    training(tn.CSVLogger("log.csv"), tn.ModelCheckpoint("x"), epochs=2)
    training(tn.CSVLogger("log.csv"), tn.ModelCheckpoint("x"), epochs=4, resume_from="x")
    assert table("log.csv") == table("whole.csv") and len(whole.history.epoch) == 4


# --- History ------------------------------------------------------------------------------------------------
def test_the_history_can_be_drawn():
    pytest.importorskip("matplotlib").use("Agg")
    history = training(epochs=2, validation_split=0.5).history
    assert isinstance(history, tn.History) and [axes.get_ylabel() for axes in tn.viz.plot_history(history)] == ["loss"]
    assert np.shape(list(history.history.values())) == (2, 2)


# --- bad input ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("call", "error", "text"), [
    (lambda: tn.EarlyStopping("score_of_mine", mode="best"), ValueError, "must be 'auto', 'min' or 'max', got 'best'"),
    (lambda: tn.EarlyStopping("height"), ValueError, "is a higher 'height' better, or a lower one"),
    (lambda: tn.ModelCheckpoint("x", "height", save_best_only=True), ValueError, "is a higher 'height' better"),
    (lambda: tn.EarlyStopping(patience=-1), ValueError, "patience must be a number from 0 on .*got -1"),
    (lambda: tn.EarlyStopping(patience=None), TypeError, "patience must be a whole number, got None"),
    (lambda: tn.ModelCheckpoint("x", save_freq=0), ValueError, "if not 'epoch', must be a whole number above 0, got 0"),
    (lambda: tn.ModelCheckpoint("x", save_freq=True), ValueError, "save_freq, if not 'epoch', must be .*, got True"),
    (lambda: tn.ModelCheckpoint("x", save_freq="batch"), ValueError, "must be a whole number above 0, got 'batch'"),
    (lambda: tn.ModelCheckpoint("x", save_freq=5, save_best_only=True), ValueError, "looks at whole epochs"),
    (lambda: tn.ModelCheckpoint(None), TypeError, "NoneType"),
    (lambda: tn.LambdaCallback(on_epoch=print), TypeError, "no hook 'on_epoch'; there are on_train_begin, "),
    (lambda: tn.LambdaCallback(state_dict=print), TypeError, "no hook 'state_dict'"),
    (lambda: tn.LambdaCallback(on_epoch_end=3), TypeError, "on_epoch_end must be a function, got 3"),
    (lambda: training(tn.EarlyStopping()), ValueError,
     "EarlyStopping monitors 'val_loss', but there will only be 'loss': give validation_data"),
    (lambda: training(tn.EarlyStopping("accuracy")), ValueError, "monitors 'accuracy', but there will only be 'loss'$"),
    (lambda: training(tn.ModelCheckpoint("x", save_best_only=True)), ValueError, "ModelCheckpoint monitors 'val_loss'"),
    (lambda: training(tn.ModelCheckpoint("{val_loss}")), ValueError, r"'\{val_loss\}' can hold \{epoch\} and 'loss'"),
    (lambda: training(tn.ModelCheckpoint("{}")), ValueError, "can hold {epoch}"),
    (lambda: training(tn.ModelCheckpoint("no/such/x")), FileNotFoundError, "no/such/x"),
    (lambda: training(tn.CSVLogger("no/such/x")), FileNotFoundError, "no/such/x"),
])  # fmt: skip
def test_bad_input(call, error, text):
    with pytest.raises(error, match=text):
        call()
