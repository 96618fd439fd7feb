"""What all recipes share: the command line, the report, what is saved, and what is said when something is wrong."""
from __future__ import annotations

import csv
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import tinynet as tn
from tinynet import cli, recipes
from tinynet.data import datasets
from tinynet.recipes import Recipe, Run, classification, cook, digits_cnn, every, regression
from tinynet.recipes.frame import about
from tinynet.recipes.report import as_json, as_text, confusion_table, duration, figure, peak_memory

SHARED = ("--epochs", "--batch-size", "--lr", "--seed", "--device", "--output", "--json")


def tiny(run):
    """digits-cnn's data, a hundred of each."""
    return [tn.data.Subset(part, range(100)) for part in digits_cnn.data(run)]


@pytest.fixture
def flat(monkeypatch):
    """A recipe of one linear layer and few images in the place of digits-cnn."""
    small = replace(digits_cnn.RECIPE, data=tiny, epochs=2, batch_size=20,
                    network=lambda run: tn.nn.Sequential(tn.nn.Flatten(), tn.nn.Linear(64, 10)))
    monkeypatch.setattr(digits_cnn, "RECIPE", small)


# --- a recipe is a module -----------------------------------------------------------------------------------
@pytest.mark.parametrize("name", every())
def test_each_says_what_it_is_in_one_line(name):
    assert 10 < len(about(name)) < 70 and "`" not in about(name)
    assert isinstance(every()[name], Recipe)


@pytest.mark.parametrize("name", every())
def test_each_has_the_shared_options_with_its_own_defaults(name, capsys):
    args = vars(cli._parser().parse_args(["train", name]))
    recipe = every()[name]
    assert (args["epochs"], args["batch_size"], args["lr"]) == (recipe.epochs, recipe.batch_size, recipe.lr)
    assert (args["seed"], args["device"], args["json"], str(args["output"])) == (0, "cpu", False, ".")
    with pytest.raises(SystemExit):
        cli.main(["train", name, "--help"])
    text = capsys.readouterr().out
    assert all(option in text for option in SHARED) and f"examples:\n  tinynet train {name}\n" in text


def test_the_names_are_those_of_the_modules():
    assert {"digits-cnn", "mnist-mlp", "mnist-cnn", "mnist-cnn-small", "fashion-cnn", "cifar-cnn", "cifar-resnet",
            "image-cnn-224", "finetune", "distill", "prune"} <= every().keys()
    assert not every().keys() & {"frame", "report", "evaluate", "demo", "base", "stripes"}


@pytest.mark.parametrize("args, message", [
    (["train", "resnet"], "invalid choice: 'resnet'"),
    (["train", "mnist-mlp", "--epochs", "0"], "--epochs: 0 is not a positive number"),
    (["train", "cifar-cnn", "--batch-size", "-1"], "--batch-size: -1 is not a positive number"),
    (["train", "prune", "--lr", "nan"], "--lr: nan is not a positive number"),
    (["train", "distill", "--seed", "1.5"], "--seed: invalid int value: '1.5'"),
    (["train", "finetune", "--onto", "imagenet"], "--onto: invalid choice: 'imagenet'"),
    (["train", "mnist-cnn", "--images", "x"], "unrecognized arguments: --images x"),
    (["train", "digits-cnn", "--data", "x"], "unrecognized arguments: --data x"),
    (["evaluate"], "required: CHECKPOINT"),
])
def test_usage_errors_exit_2(capsys, args, message):
    with pytest.raises(SystemExit) as caught:
        cli.main(args)
    out, err = capsys.readouterr()
    assert caught.value.code == 2 and out == "" and message in err


def test_an_unknown_name_in_python_names_those_there_are():
    with pytest.raises(ValueError, match=r"there is no recipe 'resnet'; there are .*cifar-cnn, .*mnist-cnn"):
        Run.of("resnet")


# --- a run --------------------------------------------------------------------------------------------------
def test_settings_reach_the_recipe(monkeypatch, tmp_path, capsys):
    asked = []

    def train(run, train_set, test_set):
        asked.append((run.epochs, run.batch_size, run.seed, run.lr, run.device, run.output, run.data, run.options))
        return run.network(), tn.History()

    monkeypatch.setattr(digits_cnn, "RECIPE", replace(
        digits_cnn.RECIPE, data=tiny, train=train, epochs=4, options={"--min-ink": {"type": float, "default": 0.5}}))
    args = ["--epochs=3", "--batch-size=8", "--seed=7", "--lr=0.5", f"--output={tmp_path}"]
    assert cli.main(["train", "digits-cnn", *args, "--min-ink", "0.25"]) == 0
    assert cli.main(["train", "digits-cnn", f"--output={tmp_path}"]) == 0
    assert asked == [(3, 8, 7, 0.5, "cpu", tmp_path, None, {"min_ink": 0.25}),
                     (4, 16, 0, 5e-3, "cpu", tmp_path, None, {"min_ink": 0.5})]


@pytest.mark.usefixtures("flat")
def test_the_report_and_the_files(tmp_path, capsys):
    assert cli.main(["train", "digits-cnn", "--output", str(tmp_path / "new" / "folder")]) == 0
    out, err = capsys.readouterr()
    lines = dict(re.split(r" {2,}", line, maxsplit=1) for line in out.splitlines())
    assert list(lines) == ["recipe", "data", "parameters", "training", "accuracy", "precision", "recall", "F1", "time",
                           "peak memory", "written"]
    assert lines["data"] == "digits, part of tinynet; 100 to train with and 100 to test with"
    assert lines["parameters"] == "650 (2.5 KiB)" and lines["training"].startswith("2 epochs in ")
    assert re.fullmatch(r"[\d.]+%", lines["accuracy"]) and re.fullmatch(r"[\d.]+ [µm]?s a sample", lines["time"])
    assert "epoch 1/2: 100%" in err and "epoch 2/2: 100%" in err and "loss " in err
    written = [tmp_path / "new" / "folder" / f"digits-cnn{end}" for end in ("-epochs.csv", ".ckpt", ".png")]
    assert lines["written"] == ", ".join(map(str, written))
    assert sorted(written) == sorted((tmp_path / "new" / "folder").iterdir())
    with open(written[0]) as file:
        table = list(csv.DictReader(file))
    assert [row["epoch"] for row in table] == ["0", "1"] and {"loss", "val_accuracy"} <= table[0].keys()
    with Image.open(written[2]) as picture:
        assert picture.size == (1500, 540)


@pytest.mark.usefixtures("flat")
def test_json_says_the_same_and_evaluate_finds_it_again(tmp_path, capsys):
    assert cli.main(["train", "digits-cnn", "--json", "--seed=3", "--output", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert "epoch 2/2" in err
    assert found["recipe"] == "digits-cnn" and found["parameters"] == 650 and found["bytes"] == 2600
    assert found["data"] == {"source": "digits, part of tinynet", "test": 100, "train": 100}
    assert {k: v for k, v in found["training"].items() if k != "seconds"} == {
        "epochs": 2, "batch_size": 20, "lr": 0.005, "seed": 3, "device": "cpu"}
    assert found["training"]["seconds"] > 0 and found["seconds_per_sample"] > 0
    assert found["peak_memory"] is None or found["peak_memory"] > 2**20
    assert sum(map(sum, found["confusion"]["counts"])) == 100
    right = sum(row[k] for k, row in enumerate(found["confusion"]["counts"]))
    assert found["metrics"]["accuracy"] == right / 100

    checkpoint = str(tmp_path / "digits-cnn.ckpt")
    assert cli.main(["evaluate", checkpoint, "--data", str(tmp_path)]) == 1
    assert "whose digits come with tinynet: it reads no other data" in capsys.readouterr().err
    assert cli.main(["evaluate", checkpoint, "--json", "--batch-size=7"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["metrics"] == found["metrics"] and again["confusion"] == found["confusion"]
    assert "training" not in again and again["files"] == [] and again["data"]["test"] == 100

    assert cli.main(["evaluate", str(tmp_path / "digits-cnn.ckpt")]) == 0
    text = capsys.readouterr().out
    assert "true \\ predicted    0   1   2" in text
    assert re.search(r"^class +precision +recall +F1 +samples$", text, re.MULTILINE)
    assert f"accuracy     {found['metrics']['accuracy']:.2%}\n" in text


@pytest.mark.usefixtures("flat")
def test_a_run_can_be_repeated():
    one, two, other = (cook(Run.of("digits-cnn", seed=seed))[1].history for seed in (5, 5, 6))
    assert one == two != other


@pytest.mark.usefixtures("flat")
def test_without_output_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    *_, found = cook(Run.of("digits-cnn"))
    assert found["files"] == [] and list(tmp_path.iterdir()) == []


def test_digits_are_learned_in_an_epoch():
    _, history, found = cook(Run.of("digits-cnn", epochs=1, batch_size=64, seed=5))
    assert found["metrics"]["accuracy"] == history.history["val_accuracy"][0] > 0.6


def test_what_is_shown_is_printed(monkeypatch, capsys, tmp_path):
    def train(run, train_set, test_set):
        run.show("sample", "to be, or\nnot")
        run.show("comparison", [{"network": "a", "accuracy": 0.5, "parameters": 12345}, {"network": "b"}])
        picture = run.figure(2, 1)
        picture.subplots().plot([1, 2])
        run.picture("line", picture)
        run.say("half of it")
        return run.network(), tn.History()

    figures = {"nats": 1.23456, "rmse": 123456.7, "r2": float("nan")}
    monkeypatch.setattr(digits_cnn, "RECIPE", replace(
        digits_cnn.RECIPE, data=tiny, train=train, measure=lambda *_: figures))
    assert cli.main(["train", "digits-cnn", "--output", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert err == "half of it\n" and (tmp_path / "digits-cnn-line.png").exists()
    for expected in ("nats         1.235\n", "RMSE         123,457\n", "R²           nan\n",
                     "\n\nsample\n\nto be, or\nnot\n", "network  accuracy  parameters\n",
                     "a          50.00%      12,345"):
        assert expected in out
    assert cli.main(["train", "digits-cnn", "--json", "--output", str(tmp_path)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["sample"] == "to be, or\nnot" and found["metrics"]["r2"] is None
    assert found["comparison"][0]["parameters"] == 12345 and found["seconds_per_sample"] is None


# --- how good it is -----------------------------------------------------------------------------------------
def scored(scores, labels):
    """A model that gives these scores, and a test set with these labels."""
    inputs = tn.tensor(np.array(scores, np.float32))
    return Run.of("digits-cnn"), tn.nn.Identity(), tn.data.TensorDataset(inputs, tn.tensor(labels))


def test_classification_is_scikit_learns():
    sklearn, rng = pytest.importorskip("sklearn.metrics"), np.random.default_rng(0)
    scores, labels = rng.standard_normal((50, 4)), rng.integers(0, 4, 50)
    run, model, test_set = scored(scores, labels.tolist())
    found, predicted = classification(run, model, test_set), scores.argmax(1)
    means = sklearn.precision_recall_fscore_support(labels, predicted, average="macro", zero_division=0)
    assert list(found.values()) == pytest.approx([sklearn.accuracy_score(labels, predicted), *means[:3]])
    assert run.shown["confusion"]["counts"] == sklearn.confusion_matrix(labels, predicted).tolist()
    text = as_text(recipes.report.report(run, model, found, None, test_set), confusion=True)
    each = sklearn.precision_recall_fscore_support(labels, predicted, zero_division=0)
    for k in range(4):
        expected = [str(k), *(f"{each[i][k]:.2%}" for i in range(3)), str(each[3][k])]
        assert expected in [line.split() for line in text.splitlines()]


def test_classes_that_never_occur_are_in_no_mean():
    run, model, test_set = scored(np.eye(1000)[[0, 1, 1]], [0, 1, 0])
    assert classification(run, model, test_set) == pytest.approx(
        {"accuracy": 2 / 3, "precision": 0.75, "recall": 0.75, "f1": 2 / 3})
    assert run.shown["confusion"] == {"classes": ["0", "1"], "counts": [[1, 1], [0, 1]]}


def test_of_many_classes_no_confusion_is_shown():
    run, model, test_set = scored(np.eye(21), list(range(21)))
    classification(run, model, test_set)
    assert "confusion" not in run.shown


def test_regression_is_scikit_learns():
    sklearn, rng = pytest.importorskip("sklearn.metrics"), np.random.default_rng(1)
    y, x = rng.standard_normal((2, 30, 1)).astype(np.float32)
    found = regression(*scored(x, y.tolist()))
    assert found == pytest.approx({"rmse": sklearn.root_mean_squared_error(y, x), "r2": sklearn.r2_score(y, x),
                                   "mae": sklearn.mean_absolute_error(y, x)})


def test_nothing_to_test_with_is_an_error():
    run, model, test_set = scored(np.zeros((0, 2)), [])
    run.source = "digits"
    with pytest.raises(ValueError, match="nothing to test with: digits is empty"):
        classification(run, model, test_set)


def test_the_model_is_measured_in_eval_mode():
    run, _, test_set = scored(np.eye(3), [0, 1, 2])
    assert classification(run, tn.nn.Dropout(1.0), test_set)["accuracy"] == 1


@pytest.mark.parametrize("seconds, text", [(2.13e-5, "21.3 µs"), (0.00821, "8.21 ms"), (8.214, "8.21 s"),
                                           (725.2, "12 min 5 s")])
def test_durations(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize("name, value, text", [("accuracy", 0.98765, "98.77%"), ("rmse", 15433.2, "15,433"),
                                               ("r2", 0.67345, "0.6734"), ("nats", float("nan"), "nan")])
def test_figures(name, value, text):
    assert figure(name, value) == text


def test_json_has_no_nan():
    assert json.loads(as_json({"a": [float("inf"), {"b": float("nan")}], "c": 1.5})) == {"a": [None, {"b": None}],
                                                                                         "c": 1.5}


def test_memory_is_told_in_bytes():
    assert peak_memory() is None or 2**24 < peak_memory() < 2**42


def test_a_confusion_table_has_room_for_names():
    assert confusion_table(["cat", "ox"], [[10, 0], [1, 2]]) == (
        "true \\ predicted  cat  ox\n             cat   10   .\n              ox    1   2")


# --- where something is wrong -------------------------------------------------------------------------------
def test_a_data_set_that_is_missing_is_named_with_the_command(capsys, small_images, tmp_path):
    args = ["--output", str(tmp_path / "out" / "today"), "--data", str(tmp_path / "absent")]
    before = sorted(tmp_path.iterdir())
    assert cli.main(["train", "fashion-cnn", *args]) == 1
    assert sorted(tmp_path.iterdir()) == before, "an empty folder was left"
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("tinynet: error: could not download train-images-idx3-ubyte.gz")
    assert ("fashion-cnn needs the data set fashion_mnist (70,000 images, 28 x 28): `tinynet data fetch fashion_mnist` "
            "downloads 30 MB; --data DIR names a folder that has it\n") in err


def test_the_folder_is_tried_before_the_data_are_read(capsys, monkeypatch, tmp_path):
    never = replace(digits_cnn.RECIPE, data=lambda run: pytest.fail("read for nothing"))
    monkeypatch.setattr(digits_cnn, "RECIPE", never)
    (tmp_path / "file").write_text("")
    assert cli.main(["train", "digits-cnn", "--output", str(tmp_path / "file")]) == 1
    assert capsys.readouterr().err == (
        f"tinynet: error: {tmp_path / 'file'} is a file: choose another folder with --output\n")
    monkeypatch.setattr(cli.os, "access", lambda *_: False)
    assert cli.main(["train", "digits-cnn", "--output", str(tmp_path)]) == 1
    assert capsys.readouterr().err == (
        f"tinynet: error: cannot write into {tmp_path}: choose another folder with --output\n")


@pytest.mark.parametrize("command", [["train", "digits-cnn"], ["evaluate", "x.ckpt"]])
def test_a_device_that_is_none(capsys, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main([*command, "--device", "tpu"]) == 1
    assert "tpu" in capsys.readouterr().err


@pytest.mark.usefixtures("flat")
def test_ctrl_c_keeps_only_what_can_be_evaluated(capsys, monkeypatch, tmp_path):
    """Nothing before a training has begun, and no model that is not, or not yet, the recipe's network."""
    def stop(*_): raise KeyboardInterrupt

    class Stop(tn.Callback):
        on_epoch_end = stop

    def other(run, train_set, test_set):
        model = tn.nn.Sequential(tn.nn.Flatten(), tn.nn.Linear(64, 10, bias=False))
        optimizer = tn.optim.SGD(model.parameters(), lr=0.1)
        tn.Trainer(model, tn.nn.CrossEntropyLoss(), optimizer).fit(train_set, callbacks=[*run.callbacks, Stop()])

    for train in (stop, other):
        monkeypatch.setattr(digits_cnn, "RECIPE", replace(digits_cnn.RECIPE, train=train))
        assert cli.main(["train", "digits-cnn", "--output", str(tmp_path)]) == 130
        assert not [*tmp_path.glob("*.ckpt")] and "kept" not in capsys.readouterr().err


@pytest.mark.usefixtures("flat")
def test_ctrl_c_while_it_is_measured_keeps_the_model(capsys, monkeypatch, tmp_path):
    def stop(*_): raise KeyboardInterrupt

    monkeypatch.setattr(digits_cnn, "RECIPE", replace(digits_cnn.RECIPE, measure=stop))
    assert cli.main(["train", "digits-cnn", "--output", str(tmp_path)]) == 130
    assert tn.load(tmp_path / "digits-cnn-interrupted.ckpt")["metrics"] == {}
    assert "digits-cnn-interrupted.ckpt` measures it\ntinynet: interrupted\n" in capsys.readouterr().err


@pytest.mark.usefixtures("flat")
def test_the_line_of_a_loss_that_is_nan_is_the_recipes(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(digits_cnn, "RECIPE", replace(digits_cnn.RECIPE, network=lambda run: tn.nn.Sequential(
        tn.nn.Flatten(), tn.nn.Linear(64, 10), tn.nn.Linear(10, 10))))
    assert cli.main(["train", "digits-cnn", "--lr=1e30", "--output", str(tmp_path)]) == 1
    err = capsys.readouterr().err
    assert re.search(r"digits_cnn\.py:\d+: history = trainer\.fit\(", err), err


@pytest.mark.usefixtures("flat")
def test_a_disk_that_is_full_leaves_the_old_model(capsys, monkeypatch, tmp_path):
    (tmp_path / "digits-cnn.ckpt").write_bytes(b"the last one")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tn, "save", full)
    assert cli.main(["train", "digits-cnn", "--output", str(tmp_path)]) == 1
    assert "No space left on device" in capsys.readouterr().err
    assert (tmp_path / "digits-cnn.ckpt").read_bytes() == b"the last one"


def test_a_broken_file_of_a_shipped_set_has_no_advice_to_fetch_it(monkeypatch):
    def fail(run):
        raise RuntimeError("it is part of tinynet")

    monkeypatch.setattr(digits_cnn, "RECIPE", replace(digits_cnn.RECIPE, data=fail))
    with pytest.raises(RuntimeError, match=r"^it is part of tinynet$"):
        Run.of("digits-cnn").load()
    assert "digits" in datasets.SHIPPED
