"""`tinynet evaluate`: what it takes for a checkpoint of a recipe, and what it says of all others."""
from __future__ import annotations

import random

import pytest

import tinynet as tn
from tinynet import cli
from tinynet.recipes import Run
from tinynet.recipes.evaluate import evaluate, read
from tinynet.recipes.finetune import Fitted


@pytest.fixture
def checkpoint(tmp_path):
    """What `tinynet train digits-cnn` would save before the first step, as a dict, and a place for it."""
    run = Run.of("digits-cnn", output=tmp_path)
    run.save(run.network(), tn.History(), {"accuracy": 0.1})
    return tn.load(tmp_path / "digits-cnn.ckpt"), tmp_path / "changed.ckpt"


def test_what_is_saved_says_what_it_is(checkpoint):
    state, _ = checkpoint
    assert state["recipe"] == "digits-cnn" and state["metrics"] == {"accuracy": 0.1}
    assert state["tinynet"] == tn.__version__
    assert state["model"].keys() == Run.of("digits-cnn").network().state_dict().keys()
    assert state["settings"] == {"epochs": 15, "batch_size": 16, "lr": 5e-3, "seed": 0, "data": None, "options": {}}


def test_a_folder_given_is_kept_as_a_whole_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = Run.of("mnist-mlp", output=tmp_path, data="here")
    run.save(run.network(), tn.History(), {})
    assert read(tmp_path / "mnist-mlp.ckpt")[0].data == str(tmp_path / "here")


def changed(name, value):
    return lambda state: state | {name: value}


def setting(name, value):
    return lambda state: state | {"settings": state["settings"] | {name: value}}


def distilled(base):
    options = {"base": {"name": base, "data": None, "options": {}}}
    return lambda state: setting("options", options)(state) | {"recipe": "distill"}


def written(**options):
    return lambda state: setting("options", options)(state) | {"recipe": "names-lstm"}


@pytest.mark.parametrize("change, message", [
    (lambda state: state["model"], "is no checkpoint of a recipe but another file: `tinynet train RECIPE` writes"),
    (lambda state: [1, 2], "is no checkpoint of a recipe but another file"),
    (lambda state: {"model": {}, "optimizer": {}}, "is no checkpoint of a recipe but a checkpoint of a Trainer"),
    (changed("recipe", "resnet"), "is of the recipe 'resnet', which this tinynet has not; it has .*cifar-cnn, "),
    (changed("recipe", "../evil"), "is of the recipe '../evil'"),
    (changed("recipe", ["mnist-cnn"]), r"is of the recipe \['mnist-cnn'\]"),
    (changed("recipe", "frame"), "is of the recipe 'frame'"),
    (changed("settings", None), "is damaged: its settings are None"),
    (setting("epochs", "many"), "is damaged: its settings are"),
    (setting("options", []), "is damaged: its settings are"),
    (setting("data", 3), "is damaged: its settings are"),
    (setting("run", "rm"), "is damaged: its settings are"),
    (setting("batch_size", 0), "is damaged: there are no weights in it, or batches of none"),
    (changed("model", [1.0]), "is damaged: there are no weights in it"),
    (changed("model", {}), "does not hold the network of digits-cnn: (?s:.*)Missing key"),
    (changed("recipe", "distill"), "is damaged: options has no 'base'"),
    (distilled("digits-cnn"), "does not hold the network of distill"),
    (distilled("frame"), "is damaged: there is no recipe 'frame'"),
    (distilled(3), r"is damaged: options\['base'\]\['name'\] must be of type str, got 3"),
    (written(count=10**9), "is damaged: --count must be at most 1,000,000, got 1000000000"),
    (written(temperature="hot"), "is damaged: --temperature must be a number, got 'hot'"),
    (written(start=None), "is damaged: --start must be of type str, got None"),
])
def test_another_file_is_refused(capsys, checkpoint, change, message):
    state, path = checkpoint
    tn.save(change(state), path)
    with pytest.raises(ValueError, match=message):
        evaluate(path)
    assert cli.main(["evaluate", str(path)]) == 1
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(f"tinynet: error: {path} ")


def test_a_file_that_is_none(capsys, tmp_path):
    assert cli.main(["evaluate", str(tmp_path / "none.ckpt")]) == 1
    assert "No such file" in capsys.readouterr().err
    (tmp_path / "text.ckpt").write_text("hello")
    assert cli.main(["evaluate", str(tmp_path / "text.ckpt")]) == 1
    assert "is not a safetensors file" in capsys.readouterr().err
    assert cli.main(["evaluate", str(tmp_path)]) == 1


def test_damage_at_any_byte_is_an_error_or_harmless(checkpoint, tmp_path):
    whole = (tmp_path / "digits-cnn.ckpt").read_bytes()
    rng = random.Random(0)
    for trial in range(60):
        content = bytearray(whole)
        if trial % 2:
            content = content[:rng.randrange(len(content))]
        else:  # within the header, where all that is no weight stands
            content[rng.randrange(2000)] = rng.randrange(256)
        (tmp_path / "damaged.ckpt").write_bytes(content)
        try:
            run, weights = read(tmp_path / "damaged.ckpt")
        except ValueError as problem:
            assert "damaged.ckpt" in str(problem)
        else:
            assert isinstance(run, Run) and isinstance(weights, dict)


def test_the_networks_lens_takes_any_image():
    body = tn.nn.Flatten()
    image = tn.arange(16.0).reshape(1, 1, 4, 4)
    assert Fitted(body, 1, 2)(image).tolist() == [[2.5, 4.5, 10.5, 12.5]]  # means of squares
    assert Fitted(body, 3, 4)(image).shape == (1, 48)
    assert Fitted(body, 1, 8)(tn.rand(1, 3, 4, 4)).shape == (1, 64)
    assert Fitted(body, 1, 4)(tn.cat([image, image + 3, image + 6], 1)).tolist() == (image + 3).flatten(1).tolist()
