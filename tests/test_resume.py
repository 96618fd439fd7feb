"""A training that is saved, killed and resumed is, bit for bit, the training that never stopped."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import tinynet as tn
from tinynet import nn
from tinynet.data import DataLoader, Dataset, TensorDataset
from tinynet.data.transforms import Compose, RandomCrop, RandomHorizontalFlip
from tinynet.optim import lr_scheduler

EPOCHS, BATCHES = 3, 4


class Stop(Exception):
    pass


class Noisy(Dataset):
    """Draws from the default stream for every sample."""

    def __init__(self, x, y):
        self.x, self.y = x, y

    def __getitem__(self, i):
        return self.x[i] + tn.randn(*self.x[i].shape), self.y[i]

    def __len__(self):
        return len(self.x)


class Eager:
    """Batches in an order that is drawn before the first of them is asked for."""

    def __init__(self, x, y):
        self.batches = [(x[k : k + 8], y[k : k + 8]) for k in range(0, len(x), 8)]

    def __iter__(self):
        return iter([self.batches[k] for k in tn.randperm(len(self.batches)).tolist()])


def images():
    g = tn.Generator().manual_seed(0)
    return tn.randn(30, 1, 6, 6, generator=g), tn.randint(3, (30,), generator=g)


def network():
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.3), nn.Flatten(),
                         nn.Linear(64, 3))  # fmt: skip


AUGMENT = Compose([RandomCrop(6, padding=1), RandomHorizontalFlip()])
DATA = {
    "tensors": lambda: images(),
    "own generator": lambda: (
        DataLoader(TensorDataset(*images()), 8, shuffle=True, generator=tn.Generator().manual_seed(7)),),
    "augmented by threads": lambda: (
        DataLoader(TensorDataset(*images()), 8, shuffle=True, num_workers=2, collate_fn=AUGMENT),),
    "a data set that draws": lambda: (Noisy(*images()),),
    "an order drawn at once": lambda: (Eager(*images()),),
}  # fmt: skip
SCHEDULES = {
    "none": lambda o: None,
    "plateau": lambda o: lr_scheduler.ReduceLROnPlateau(o, patience=0, factor=0.5),
    "one cycle": lambda o: lr_scheduler.OneCycleLR(o, 0.05, total_steps=EPOCHS * BATCHES + 1),
    "in turn": lambda o: lr_scheduler.SequentialLR(
        o, [lr_scheduler.LinearLR(o, 0.1), lr_scheduler.ExponentialLR(o, 0.5)], [1]),
}  # fmt: skip
OPTIMIZERS = {
    "SGD": lambda p: tn.optim.SGD(p, lr=0.05, momentum=0.9),
    "Adam": lambda p: tn.optim.Adam(p, lr=0.01, amsgrad=True),
    "NAdam": lambda p: tn.optim.NAdam(p, lr=0.01),
}


def run(seed, kind="tensors", schedule="none", optimizer="Adam", callbacks=(), **kwargs):
    """One training; its model starts from the seed."""
    tn.manual_seed(seed)
    given, model = DATA[kind](), network()
    o = OPTIMIZERS[optimizer](model.parameters())
    stop = tn.EarlyStopping("loss", patience=9, restore_best_weights=True)
    trainer = tn.Trainer(model, nn.CrossEntropyLoss(), o, "accuracy", SCHEDULES[schedule](o), [stop], clip_norm=1.0,
                         scheduler_each="batch" if schedule == "one cycle" else "epoch")  # fmt: skip
    tn.manual_seed(seed + 1)
    try:
        trainer.fit(*given, **{"epochs": EPOCHS, "batch_size": 8, "verbose": False, "validation_data": images(),
                               "callbacks": callbacks, **kwargs})  # fmt: skip
    except Stop:
        return trainer
    return trainer


def everything(trainer):
    """All that a training is, in a form that is compared by bits."""

    def plain(x):
        if isinstance(x, dict):
            return [(key, plain(x[key])) for key in sorted(x, key=str)]
        if isinstance(x, (list, tuple)):
            return [plain(part) for part in x]
        if hasattr(x, "dtype"):
            a = x.numpy() if isinstance(x, tn.Tensor) else x
            return str(a.dtype), a.shape, a.tobytes()
        return x

    return plain(trainer.state_dict())


def save_at(path, epoch, batch):
    """Save after this batch of this epoch, and stop there; batch None: after the epoch."""

    def save(*_):
        callback.trainer.save_checkpoint(path)
        raise Stop

    def on_train_batch_end(number, logs):
        if (callback.trainer.epoch, number) == (epoch, batch):
            save()

    def on_epoch_end(number, logs):
        if (number, None) == (epoch, batch):
            save()

    callback = tn.LambdaCallback(on_train_batch_end=on_train_batch_end, on_epoch_end=on_epoch_end)
    return callback


WHOLE: dict = {}


def whole(**how):
    key = tuple(sorted(how.items()))
    if key not in WHOLE:
        trainer = run(0, **how)
        WHOLE[key] = everything(trainer), trainer.history
    return WHOLE[key]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("resumed")


@example(1, BATCHES - 1, "tensors", "in turn", "SGD")  # a schedule that begins where the training is resumed
@settings(max_examples=20)
@given(epoch=st.integers(0, EPOCHS - 1), batch=st.sampled_from([*range(BATCHES), None]),
       kind=st.sampled_from([*DATA]), schedule=st.sampled_from([*SCHEDULES]), optimizer=st.sampled_from([*OPTIMIZERS]))
def test_from_any_moment_on_it_is_the_same_training(folder, epoch, batch, kind, schedule, optimizer):
    how = {"kind": kind, "schedule": schedule, "optimizer": optimizer}
    path = folder / "saved"
    stopped = run(0, **how, callbacks=[save_at(path, epoch, batch)])
    assert everything(stopped) != whole(**how)[0] or (epoch, batch) == (EPOCHS - 1, None)
    resumed = run(99, **how, resume_from=path)
    assert resumed.history == whole(**how)[1] and everything(resumed) == whole(**how)[0]


def test_saving_changes_nothing(tmp_path):
    trainer = run(0, callbacks=[tn.ModelCheckpoint(tmp_path / "x", save_freq=1)])
    expected = whole()[0]
    found = everything(trainer)
    assert [part for part in found if part[0] != "callbacks"] == [part for part in expected if part[0] != "callbacks"]


def test_more_epochs_after_the_end(tmp_path):
    first = run(0, epochs=2)
    first.save_checkpoint(tmp_path / "two")
    resumed = run(5, resume_from=tmp_path / "two")
    assert resumed.history.epoch == [0, 1, 2] and resumed.history.history["loss"][:2] == first.history.history["loss"]
    again = run(5, resume_from=tmp_path / "two", epochs=2)
    assert again.history == first.history, "there was nothing left to do"


def test_a_training_that_stopped_early_stays_stopped(tmp_path):
    path = tmp_path / "stopped"
    stop = tn.LambdaCallback(on_epoch_end=lambda epoch, logs: setattr(stop.trainer, "stop_training", epoch == 1))
    first = run(0, callbacks=[stop, tn.ModelCheckpoint(path)])
    assert first.history.epoch == [0, 1]
    resumed = run(1, callbacks=[stop, tn.ModelCheckpoint(path)], resume_from=path)
    assert resumed.history == first.history and everything(resumed) == everything(first)


def test_early_stopping_counts_on(tmp_path):
    def training(**kwargs):
        tn.manual_seed(3)
        model = nn.Linear(2, 1)
        x = tn.randn(8, 2)
        t = tn.Trainer(model, nn.MSELoss(), tn.optim.SGD(model.parameters(), lr=0.1))
        callbacks = [tn.EarlyStopping("loss", patience=3, min_delta=10.0), tn.ModelCheckpoint(tmp_path / "{epoch}")]
        return t.fit(x, x[:, :1], callbacks=callbacks, verbose=False, **kwargs).epoch

    assert training(epochs=2) == [0, 1]
    assert training(epochs=9, resume_from=tmp_path / "2") == training(epochs=9) == [0, 1, 2, 3]


# --- killed -------------------------------------------------------------------------------------------------
KILLED = """
import os, random, signal, sys, time
from threading import Timer
sys.path.insert(0, sys.argv[1])
import tinynet as tn
from test_resume import everything, run

class Checkpoint(tn.ModelCheckpoint):
    "Is killed at a random moment of one save, or right after it."
    saves, seconds = 0, 0.0

    def _save(self, epoch, logs):
        self.saves -= 1
        if not self.saves:
            Timer(random.uniform(0, self.seconds), os.kill, (os.getpid(), signal.SIGKILL)).start()
        began = time.perf_counter()
        super()._save(epoch, logs)
        self.seconds = time.perf_counter() - began
        if not self.saves:
            os.kill(os.getpid(), signal.SIGKILL)

def train(seed, saves=0):
    checkpoint = Checkpoint("x", save_freq=1 if saves else 1000)
    checkpoint.saves = saves
    return run(seed, epochs=15, callbacks=[checkpoint], resume_from="x" if os.path.exists("x") else None)

tn.use_kernels("reference")  # no threads, which a fork would lose
whole = everything(train(1))
for kill in range(20):
    random.seed(kill)
    child = os.fork()
    if not child:
        train(1 + kill, saves=random.choice([2, 3]))
        os._exit(0)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    state = tn.load("x")
    print(4 * state["epoch"] + state["batch"], len([name for name in os.listdir() if name.endswith(".part")]))
assert everything(train(100)) == whole
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked processes")
def test_killed_in_twenty_saves_it_ends_as_if_it_never_was(tmp_path):
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(Path(tn.__file__).parents[1])}
    command = [sys.executable, "-W", "ignore", "-c", KILLED, str(Path(__file__).parent)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=120)
    assert done.returncode == 0, done.stderr
    batches, parts = zip(*(map(int, line.split()) for line in done.stdout.splitlines()), strict=True)
    assert len(batches) == 20 and list(batches) == sorted(set(batches)) and batches[-1] < 60, "it had ended before"
    assert any(parts), "no kill was in the middle of a save"


# --- bad input ----------------------------------------------------------------------------------------------
def replaced(state, path, value):
    """The state with another value at one place."""
    if not path:
        return value
    return {key: replaced(item, path[1:], value) if key == path[0] else item for key, item in state.items()}


PLACES = [*((key,) for key in ("model", "optimizer", "callbacks", "history", "epoch", "batch", "tally", "streams")),
          ("optimizer", "param_groups"), ("optimizer", "state"), ("streams", "now"), ("streams", "epoch began"),
          ("tally", "total"), ("history", "epoch")]  # fmt: skip


@pytest.mark.parametrize("place", PLACES, ids=".".join)
def test_a_checkpoint_with_something_else_in_it(tmp_path, place):
    run(0, epochs=1, callbacks=[tn.ModelCheckpoint(tmp_path / "x")])
    state = tn.load(tmp_path / "x")
    for value in (None, "x", [3], {"a": [None]}, tn.ones(1)):
        tn.save(replaced(state, place, value), tmp_path / "y")
        try:
            run(0, epochs=2, callbacks=[tn.ModelCheckpoint(tmp_path / "x")], resume_from=tmp_path / "y")
        except (ValueError, RuntimeError) as error:
            assert str(error)
    with pytest.raises(ValueError, match=r"y is no checkpoint of such .* is damaged: the file\['streams'\] must"):
        tn.save(replaced(state, ("streams",), 3), tmp_path / "y")
        run(0, epochs=2, callbacks=[tn.ModelCheckpoint(tmp_path / "x")], resume_from=tmp_path / "y")


@pytest.mark.parametrize(("place", "value", "text"), [
    ("batch", 2**60, r"is damaged: it has counted 0 samples in 1152\d* batches"),
    ("batch", -1, "is damaged: batch must be a number from 0 on that can be counted to, got -1"),
    ("epoch", -(2**70), r"is damaged: epoch must be a number from 0 on that can be counted to, got -1180\d*"),
    ("epoch", 3, r"is damaged: it has the figures of the epochs \[0\], but goes on after 3 epochs"),
    ("stop_training", "no", r"is damaged: the file\['stop_training'\] must be of type bool, got 'no'"),
    ("history", {"epoch": [0], "history": {"loss": ["low"]}}, r"history\['loss'\]\[0\] must be a number, got 'low'"),
    ("history", {"epoch": [0], "history": {"loss": [1.0, 2.0]}}, "history is no table of 1 epochs, their loss among"),
    ("history", {"epoch": [0], "history": {"accuracy": [1.0]}}, "history is no table of 1 epochs, their loss among"),
    ("history", {"epoch": [1], "history": {"loss": [1.0]}}, r"figures of the epochs \[1\], but goes on after 1 epoch"),
    ("tally", {"total": 1.0, "samples": 8}, r"tally\['truths'\] is None, of 8 samples and for 1 metrics"),
    ("tally", {"total": 1.0, "samples": -8}, r"tally\['samples'\] must be a number from 0 on .*, got -8"),
    ("callbacks", [["EarlyStopping"]], r"callbacks must be pairs of a name and a state, got \[\['EarlyStopping'\]\]"),
    ("streams", {"now": ["x"], "epoch began": ["x"]}, "a generator state is a tensor of bytes, got 'x'"),
])  # fmt: skip
def test_what_cannot_be_is_said_and_there_is_no_endless_loop(tmp_path, place, value, text):
    checkpoint = tn.ModelCheckpoint(tmp_path / "x")
    run(0, epochs=1, callbacks=[checkpoint])
    tn.save(replaced(tn.load(tmp_path / "x"), (place,), value), tmp_path / "y")
    with pytest.raises(ValueError, match=text):
        run(0, callbacks=[checkpoint], resume_from=tmp_path / "y")


def test_what_would_begin_anew_without_a_word_is_missed(tmp_path):
    checkpoint = tn.ModelCheckpoint(tmp_path / "x")
    run(0, schedule="in turn", epochs=1, callbacks=[checkpoint])
    for part, name in (("optimizer", "lr"), ("scheduler", "last_epoch")):
        state = tn.load(tmp_path / "x")
        del (state["optimizer"]["param_groups"][0] if part == "optimizer" else state["scheduler"])[name]
        tn.save(state, tmp_path / "y")
        with pytest.raises(ValueError, match=f"is damaged: it has no '{name}' among"):
            run(0, schedule="in turn", callbacks=[checkpoint], resume_from=tmp_path / "y")


def test_fewer_data_than_were_done(tmp_path):
    checkpoint = tn.ModelCheckpoint(tmp_path / "x", save_freq=3)
    run(0, epochs=1, callbacks=[checkpoint])
    with pytest.raises(ValueError, match="saved after 3 batches of epoch 1, but the data have 2: give the same data"):
        run(0, batch_size=16, callbacks=[checkpoint], resume_from=tmp_path / "x")


def test_within_an_epoch_the_batches_must_be_as_large_as_then(tmp_path):
    run(0, callbacks=[save_at(tmp_path / "within", 0, 1)])
    text = r"saved after 2 batches of epoch 1, which had 16 samples, but here they have 10: give .* batch_size as then"
    with pytest.raises(ValueError, match=text):
        run(0, batch_size=5, resume_from=tmp_path / "within")
    run(0, callbacks=[save_at(tmp_path / "between", 0, None)])
    assert run(0, batch_size=5, resume_from=tmp_path / "between").epoch == EPOCHS


def test_checkpoints_that_do_not_fit(tmp_path):
    run(0, epochs=1, callbacks=[tn.ModelCheckpoint(tmp_path / "x")])
    checkpoint = tn.ModelCheckpoint(tmp_path / "x")
    cases = [
        ({"callbacks": []}, ValueError, r"the state of the callbacks \['EarlyStopping', 'ModelCheckpoint'\], this"),
        ({"callbacks": [checkpoint], "schedule": "plateau"}, ValueError, "was saved without a scheduler"),
        ({"callbacks": [checkpoint], "kind": "own generator"}, ValueError, "saved with 1 generators .* has 2"),
    ]
    for how, error, text in cases:
        with pytest.raises(error, match=text):
            run(0, resume_from=tmp_path / "x", **how)
    tn.save({"model": {}}, tmp_path / "y")
    with pytest.raises(ValueError, match=r"y is no checkpoint of a Trainer"):
        run(0, resume_from=tmp_path / "y")
    with pytest.raises(FileNotFoundError, match="absent"):
        run(0, resume_from=tmp_path / "absent")
