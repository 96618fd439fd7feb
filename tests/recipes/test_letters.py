"""The recipes that write: what they read and predict, and that they learn (`tinynet train char-gpt`, `names-lstm`)."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinynet as tn
from tinynet import cli
from tinynet.data.datasets import SOURCES
from tinynet.recipes import Run, char_gpt, cook, names_lstm
from tinynet.recipes.letters import NOTHING, Pieces, draw, encode, prediction, spelled


def ran(capsys, folder, name, *args):
    """The report of a recipe, run by the command; its model is evaluated, and gives the same."""
    assert cli.main(["train", name, "--json", f"--output={folder}", *args]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {path.name for path in folder.iterdir()} == {f"{name}{end}" for end in ("-epochs.csv", ".ckpt", ".png")}
    assert cli.main(["evaluate", f"{folder}/{name}.ckpt", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["metrics"] == pytest.approx(found["metrics"])
    return found


# --- letters, pieces, predictions ---------------------------------------------------------------------------
@given(st.text("abc", min_size=1))
def test_letters_are_numbers_and_back(text):
    assert spelled(encode(text, "abc"), "abc") == text


def test_a_letter_that_is_not_known():
    with pytest.raises(ValueError, match="does not know the letter 'ß' in 'Straße'; it has learned 'Sraet'"):
        encode("Straße", "Sraet")


@given(st.integers(2, 40), st.integers(1, 10))
def test_pieces_of_a_text(letters, length):
    numbers = tn.arange(letters)
    if letters <= length:
        with pytest.raises(ValueError, match=f"a text of {letters} letters has no piece of {length} and the letter"):
            Pieces(numbers, length)
        return
    pieces = Pieces(numbers, length)
    assert len(pieces) == letters - length
    for k in (0, len(pieces) - 1):
        x, y = pieces[k]
        assert x.tolist() == list(range(k, k + length)) and y.tolist() == list(range(k + 1, k + length + 1))
    x, y = pieces.whole().tensors
    assert len(x) == max((letters - length) // length, 1) and x.flatten().tolist() == list(range(x.numel()))
    assert tn.equal(y, x + 1)
    with pytest.raises(IndexError):
        pieces[len(pieces)]


def test_the_loss_is_the_mean_of_what_is_to_be_predicted():
    scores, target = tn.randn(2, 3, 5), tn.tensor([[1, 2, NOTHING], [4, NOTHING, NOTHING]])
    p = scores.softmax(2)
    expected = -(p[0, 0, 1].log() + p[0, 1, 2].log() + p[1, 0, 4].log()) / 3
    assert prediction(scores, target).item() == pytest.approx(expected.item())


def test_what_is_drawn_follows_the_temperature():
    scores = tn.tensor([[0.0, 1.0]]).expand(4000, 2)
    for heat in (0.5, 1.0, 2.0):
        share = draw(scores, heat).float().mean().item()
        assert share == pytest.approx(1 / (1 + math.exp(-1 / heat)), abs=0.03)
    assert draw(scores, 0.01).min() == 1


# --- char-gpt -----------------------------------------------------------------------------------------------
@pytest.fixture
def small_gpt(monkeypatch, tmp_path):
    """A network of few numbers; the text is short, and there is no other."""
    for name, value in (("CONTEXT", 8), ("WIDTH", 16), ("HEADS", 2), ("LAYERS", 1)):
        monkeypatch.setattr(char_gpt, name, value)
    text = b"To be, or not to be: that is the question.\n" * 20
    shelf = tmp_path / "shelf"
    (shelf / "text").mkdir(parents=True)
    (shelf / "text" / "tinyshakespeare.txt").write_bytes(text)
    digest = hashlib.md5(text).hexdigest()
    source = replace(SOURCES["tiny_shakespeare"], mirrors=(), md5={"tinyshakespeare.txt": digest})
    monkeypatch.setitem(SOURCES, "tiny_shakespeare", source)
    monkeypatch.setenv("TINYNET_DATA", str(shelf))
    monkeypatch.setenv("TINYNET_CACHE", str(tmp_path / "cache"))
    return shelf / "text"


def test_a_gpt_learns_a_line_by_heart(capsys, tmp_path, small_gpt):
    args = ["--epochs=2", "--steps=60", "--batch-size=32", "--lr=0.02", "--prompt=To be", "--length=30"]
    found = ran(capsys, tmp_path / "out", "char-gpt", *args, "--temperature=0.1")
    assert found["data"] == {"source": f"tiny_shakespeare, {small_gpt}", "train": 766, "test": 9}
    figures = found["metrics"]
    assert figures["nats_per_letter"] < 0.5 and figures["accuracy"] > 0.85
    assert figures["perplexity"] == pytest.approx(math.exp(figures["nats_per_letter"]))
    assert found["written at temperature 0.1"].startswith("To be, or not to be")
    assert found["parameters"] == sum(p.numel() for p in char_gpt.GPT(18).parameters())


def test_no_letter_sees_those_that_come_after_it(small_gpt):
    model, x = char_gpt.GPT(5), tn.randint(0, 5, (1, 8))
    changed = x.clone()
    changed[0, 5] = (x[0, 5] + 1) % 5
    before, after = model(x)[0], model(changed)[0]
    assert tn.equal(before[:5], after[:5]) and not tn.equal(before[5], after[5])


def test_the_step_size_rises_and_falls_along_a_cosine(monkeypatch, small_gpt):
    sizes = []
    step = tn.optim.AdamW.step
    monkeypatch.setattr(tn.optim.AdamW, "step", lambda self: (sizes.append(self.param_groups[0]["lr"]), step(self)))
    cook(Run.of("char-gpt", epochs=2, batch_size=2, lr=0.1, options={"steps": 50, "length": 1}))
    top = int(np.argmax(sizes))
    assert len(sizes) == 100 and sizes[0] == pytest.approx(0.001) and max(sizes) == pytest.approx(0.1) and top == 11
    assert sizes[:top] == sorted(sizes[:top]) and sizes[top:] == sorted(sizes[top:], reverse=True)
    assert sizes[-1] == pytest.approx(0.01, rel=0.01)


def test_only_matrices_decay(monkeypatch, small_gpt):
    groups = []
    monkeypatch.setattr(tn.optim, "AdamW", lambda given, **options: groups.extend(given) or tn.optim.SGD(given, lr=0.1))
    cook(Run.of("char-gpt", epochs=1, batch_size=2, options={"steps": 1, "length": 1}))
    assert {p.ndim for p in groups[0]["params"]} == {2} and {p.ndim for p in groups[1]["params"]} == {1}
    assert (groups[0]["weight_decay"], groups[1]["weight_decay"]) == (0.1, 0.0)


def test_without_the_plays_it_learns_the_sonnets(capsys, tmp_path, small_gpt, monkeypatch):
    monkeypatch.setenv("TINYNET_DATA", str(tmp_path))
    args = ["train", "char-gpt", "--epochs=1", "--steps=1", "--length=3", f"--output={tmp_path / 'out'}"]
    assert cli.main([*args, "--json"]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert found["data"]["source"] == "sonnets, part of tinynet" and found["data"]["train"] == 86_048 - 8
    assert "tiny_shakespeare is not to be had, so the sonnets are learned: could not download" in err
    assert cli.main([*args, f"--data={tmp_path}"]) == 1  # which was to be the plays
    out, err = capsys.readouterr()
    assert out == "" and "char-gpt needs the data set tiny_shakespeare" in err and "tinynet data fetch tiny_shak" in err


@pytest.mark.parametrize(("name", "args", "text"), [
    ("char-gpt", ["--prompt="], "--prompt must have a letter that the writing begins with"),
    ("char-gpt", ["--prompt=aù"], "does not know the letter 'ù' in 'aù'"),
    ("char-gpt", ["--temperature=0"], "--temperature must be above 0, got 0.0"),
    ("names-lstm", ["--start=r2"], "does not know the letter '2' in 'r2'"),
    ("names-lstm", ["--temperature=nan"], "--temperature must be above 0, got nan"),
])
def test_what_cannot_be_written_is_told_before_the_training(capsys, tmp_path, small_gpt, name, args, text):
    (tmp_path / "out").mkdir()
    assert cli.main(["train", name, *args, f"--output={tmp_path / 'out'}"]) == 1
    out, err = capsys.readouterr()
    assert out == "" and text in err and "epoch" not in err and not any((tmp_path / "out").iterdir())


# --- names-lstm ---------------------------------------------------------------------------------------------
@pytest.fixture
def few_names(monkeypatch):
    names = [f"{first}{middle}{last}" for first in ("ma", "jo") for middle in "rnlst" for last in ("a", "ie", "us")]
    names += [f"li{middle}{last}" for middle in "rnlst" for last in ("a", "ie", "us")]
    monkeypatch.setattr(tn.data.datasets, "names", lambda: names)
    return names


def test_each_letter_of_a_name_predicts_the_next(few_names):
    parts = names_lstm.data(Run.of("names-lstm"))
    pairs = [pair for part in parts for pair in zip(*(t.tolist() for t in part.tensors), strict=True)]
    assert [len(part) for part in parts] == [41, 4]
    found = []
    for x, y in pairs:
        before, after = spelled(x, names_lstm.LETTERS), spelled([k for k in y if k != NOTHING], names_lstm.LETTERS)
        assert before.startswith(".") and after.endswith(".") and before.startswith("." + after[:-1])
        assert y[len(after):] == [NOTHING] * (len(y) - len(after))  # fmt: skip
        found.append(after[:-1])
    assert sorted(found) == sorted(few_names)


def test_an_lstm_learns_names(capsys, tmp_path, few_names):
    found = ran(capsys, tmp_path / "out", "names-lstm", "--epochs=25", "--lr=0.02", "--start=Jo", "--count=40",
                "--temperature=0.5")  # fmt: skip
    assert found["data"] == {"source": "names, part of tinynet", "train": 41, "test": 4}
    assert found["metrics"]["nats_per_letter"] < 1.2  # of 27 letters each as likely it would be 3.3
    (title, text), = ((k, v) for k, v in found.items() if k.startswith("written"))
    assert title == "written at temperature 0.5; * nobody has it" and len(text.splitlines()) == 40
    for line in text.splitlines():
        name, _, star = line.partition(" ")
        assert name.startswith("jo") and (star == "*") == (name not in few_names)
    assert 0 <= found["metrics"]["new_names"] < 1


def test_what_is_written_goes_on_from_the_state(few_names):
    """Letter by letter with the state carried on gives what the model gives for the whole."""
    model = names_lstm.Writer()
    numbers = tn.tensor([encode(".mari", names_lstm.LETTERS)])
    state, outputs = None, []
    for k in range(5):
        out, state = model.lstm(model.letter(numbers[:, k : k + 1]), *([state] if state else []))
        outputs.append(model.head(out))
    np.testing.assert_allclose(tn.cat(outputs, 1).detach().numpy(), model(numbers).detach().numpy(), atol=1e-6)
    assert all(name.startswith("ab") and len(name) <= names_lstm.LONGEST for name in model.write("ab", 5, 1.0))
