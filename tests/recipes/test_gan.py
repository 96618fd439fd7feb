"""`tinynet train gan-digits`: two networks in turns, and a score that says whether they learn."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

import tinynet as tn
from tinynet import cli
from tinynet.recipes import Run, cook, gan_digits


@pytest.fixture
def short(monkeypatch):
    """Few images, judged by one who has learned little."""
    monkeypatch.setattr(gan_digits, "LESSONS", 1)
    monkeypatch.setattr(gan_digits, "JUDGED", 64)


def test_the_score_of_known_answers():
    assert gan_digits.score(np.eye(10)) == pytest.approx(10)
    assert gan_digits.score(np.eye(10)[[3, 3, 3]]) == pytest.approx(1)
    assert gan_digits.score(np.full((5, 10), 0.1)) == pytest.approx(1)
    assert gan_digits.score(np.eye(10)[[1, 2] * 4]) == pytest.approx(2)


@given(arrays(np.float64, st.tuples(st.integers(1, 8), st.just(10)), elements=st.floats(0.01, 1)))
def test_the_score_lies_between_one_and_ten(p):
    assert 1 - 1e-9 <= gan_digits.score(p / p.sum(1, keepdims=True)) <= 10 + 1e-9


def test_ctrl_c_keeps_the_pair(capsys, monkeypatch, tmp_path, short):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(gan_digits, "score", stop)  # after the first epoch
    assert cli.main(["train", "gan-digits", "--output", str(tmp_path)]) == 130
    assert "gan-digits-interrupted.ckpt` measures it\n" in capsys.readouterr().err
    kept = tn.load(tmp_path / "gan-digits-interrupted.ckpt")["model"]
    assert kept.keys() == gan_digits.Pair().state_dict().keys()


def test_each_network_is_taught_by_an_optimizer_of_its_own(monkeypatch, short):
    """The discriminator's step leaves the generator as it is, and the other way round."""
    pair, step, changed = gan_digits.Pair(), tn.optim.Adam.step, []

    def states():
        return [[p.detach().clone() for p in part.parameters()] for part in (pair.generator, pair.discriminator)]

    def watched(self):
        before = states()
        step(self)
        changed.append(tuple(not all(map(tn.equal, a, b)) for a, b in zip(before, states(), strict=True)))

    monkeypatch.setattr(gan_digits, "Pair", lambda: pair)
    monkeypatch.setattr(gan_digits, "read_by", lambda run: lambda images: np.eye(10))
    monkeypatch.setattr(tn.optim.Adam, "step", watched)
    run = Run.of("gan-digits", epochs=1, batch_size=700)
    gan_digits.train(run, *gan_digits.data(run))
    assert changed == [(False, True), (True, False)] * 2


def test_in_short_through_the_command(capsys, tmp_path, short):
    assert cli.main(["train", "gan-digits", "--epochs=1", "--json", f"--output={tmp_path}"]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert {path.name for path in tmp_path.iterdir()} == {"gan-digits.ckpt", "gan-digits.png", "gan-digits-made.png"}
    assert found["data"] == {"source": "digits, part of tinynet", "train": 1433, "test": 364}
    real, made, untrained = (row["score"] for row in found["comparison"])
    assert real > 4 and 1 <= untrained < 1.2 and made == found["metrics"]["score"]
    assert sum(row["of 1000"] for row in found["digits made"]) == 64
    assert "the judge reads" in err and "epoch 1/1: discriminator_loss " in err and found["training"]["seconds"] > 0
    with Image.open(tmp_path / "gan-digits-made.png") as picture:
        assert picture.size == (1200, 1200)
    assert cli.main(["evaluate", f"{tmp_path}/gan-digits.ckpt", "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["metrics"] == pytest.approx(found["metrics"])


def test_the_same_seed_makes_the_same_images(short):
    runs = [Run.of("gan-digits", epochs=1, seed=seed) for seed in (5, 5, 6)]
    images = [gan_digits.made(run, cook(run)[0], 4) for run in runs]
    assert tn.equal(images[0], images[1]) and not tn.equal(images[0], images[2])
    assert images[0].shape == (4, 1, 8, 8) and images[0].min() >= -1 and images[0].max() <= 1


@pytest.mark.slow
def test_it_learns_to_write_digits():
    _, history, found = cook(Run.of("gan-digits", epochs=30))
    assert found["metrics"]["score"] > 4 and max(history.history["score"]) > history.history["score"][0] + 2
