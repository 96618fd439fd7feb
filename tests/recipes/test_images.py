"""The recipes about images, each in small through the command; and what they read and make."""
from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import tinynet as tn
from tinynet import cli
from tinynet.data.datasets import SOURCES
from tinynet.recipes import Run, cook, digits_cnn, every, image_cnn_224, regression
from tinynet.recipes.cifar_cnn import augmented
from tinynet.recipes.cifar_resnet import Block
from tinynet.recipes.report import class_names
from tinynet.recipes.stripes import Stripes

NETWORKS = {  # parameters, input
    "digits-cnn": (14_698, (1, 8, 8)),
    "mnist-mlp": (235_146, (1, 28, 28)),
    "mnist-cnn": (225_034, (1, 28, 28)),
    "mnist-cnn-small": (693_962, (1, 28, 28)),
    "fashion-cnn": (421_834, (1, 28, 28)),
    "cifar-cnn": (113_962, (3, 32, 32)),
    "cifar-resnet": (269_722, (3, 32, 32)),
    "image-cnn-224": (11_297_960, (3, 224, 224)),
}


def ran(capsys, folder, name, *args):
    """The report of a recipe, run by the command; its model is evaluated, and gives the same figures."""
    assert cli.main(["train", name, "--json", f"--output={folder}", *args]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [path.removeprefix(f"{folder}/{name}") for path in found["files"]] == ["-epochs.csv", ".ckpt", ".png"]
    assert cli.main(["evaluate", f"{folder}/{name}.ckpt", "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["metrics"] == pytest.approx(found["metrics"]) and again["data"]["source"] == found["data"]["source"]
    return found


@pytest.mark.parametrize("name", NETWORKS)
def test_the_networks_are_those_promised(name):
    parameters, shape = NETWORKS[name]
    model = Run.of(name).network()
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert model(tn.zeros(1, *shape)).shape == (1, 1000 if "224" in name else 10)


@pytest.mark.parametrize("name, data", [
    ("mnist-mlp", "mnist"), ("mnist-cnn", "mnist"), ("mnist-cnn-small", "mnist"), ("fashion-cnn", "fashion_mnist"),
    ("cifar-cnn", "cifar10"), ("cifar-resnet", "cifar10")])
def test_from_a_folder(capsys, tmp_path, small_images, name, data):
    folder = small_images[data]
    found = ran(capsys, tmp_path / "out", name, "--epochs=2", "--batch-size=4", "--data", str(folder))
    train, test = (40, 8) if data == "cifar10" else (8, 4)
    assert found["data"] == {"source": f"{data}, {folder}", "train": train, "test": test}
    assert found["parameters"] == NETWORKS[name][0]


def test_evaluate_finds_data_that_have_moved(capsys, tmp_path, small_images):
    found = ran(capsys, tmp_path / "out", "mnist-mlp", "--epochs=1", "--data", str(small_images["mnist"]))
    small_images["mnist"].rename(tmp_path / "moved")
    command = ["evaluate", str(tmp_path / "out" / "mnist-mlp.ckpt"), "--json"]
    assert cli.main(command) == 1
    assert "mnist-mlp needs the data set mnist" in capsys.readouterr().err
    assert cli.main([*command, "--data", str(tmp_path / "mvoed")]) == 1
    assert f"--data: there is no {tmp_path / 'mvoed'}" in capsys.readouterr().err
    assert cli.main([*command, "--data", str(tmp_path / "moved")]) == 0
    assert json.loads(capsys.readouterr().out)["metrics"] == found["metrics"]


def test_augmentation_changes_images_and_not_labels(small_images):
    run = Run.of("cifar-cnn", data=str(small_images["cifar10"]), batch_size=40)
    train_set, _ = run.load()
    (images, labels), = augmented(run, train_set)
    assert images.shape == (40, 3, 32, 32) and sorted(labels.tolist()) == sorted(train_set.tensors[1].tolist())
    given = {image.tobytes() for image in train_set.tensors[0].numpy()}
    assert sum(image.tobytes() in given for image in images.numpy()) < 5


def test_a_block_adds_to_its_input():
    same, narrower = Block(4, 4).eval(), Block(4, 6).eval()
    x = tn.rand(1, 4, 8, 8)
    for block in (same, narrower):
        tn.nn.init.zeros_(block.bn2.weight)
    assert tn.equal(same(x), x)
    assert tn.equal(narrower(x)[:, :4], x[:, :, ::2, ::2]) and not narrower(x)[:, 4:].any()


# --- image-cnn-224 ------------------------------------------------------------------------------------------
@pytest.fixture
def photos(tmp_path):
    """A folder of three dark and seven bright pictures, of different sizes and kinds."""
    rng = np.random.default_rng(0)
    for name, n in (("dark", 3), ("bright", 7)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for k in range(n):
            pixels = rng.integers(0, 60, (20 + k, 30, 3)) + 180 * (name == "bright")
            kind = "RGB" if k % 2 else "L"
            picture = Image.fromarray(pixels.astype(np.uint8)).convert(kind)
            picture.save(tmp_path / "photos" / name / f"{k}.{'png' if k % 3 else 'jpg'}")
    (tmp_path / "photos" / "dark" / "notes.txt").write_text("no image")
    (tmp_path / "photos" / "README").write_text("no folder")
    return tmp_path / "photos"


def test_every_fifth_image_of_each_class_tests(photos):
    run = Run.of("image-cnn-224", options={"images": str(photos)})
    train_set, test_set = run.load()
    path = [name for name, _ in train_set.dataset.samples]
    assert [path[k].removeprefix(f"{photos}/") for k in test_set.indices] == [
        "bright/0.jpg", "bright/5.png", "dark/0.jpg"]
    assert sorted([*train_set.indices, *test_set.indices]) == list(range(10))
    image, label = test_set[2]
    assert image.shape == (3, 224, 224) and label == 1 and image.max() < 0.5 < train_set[0][0].min()
    assert class_names(test_set) == ["bright", "dark"]


@pytest.mark.parametrize("change, message", [
    (lambda p: p.rename(p.with_name("elsewhere")), "photos is not there: it must have a folder of images"),
    (lambda p: [path.unlink() for path in (p / "dark").iterdir()], "photos has no images of dark"),
    (lambda p: [path.unlink() for path in p.glob("*/[1-9].*")], "photos has one image of each class: it would test"),
    (lambda p: (p / "dark" / "1.png").write_bytes(b"PNG"), r"1\.png is no image, or is damaged"),
])
def test_a_folder_that_will_not_do(photos, change, message, capsys, tmp_path):
    change(photos)
    args = [f"--output={tmp_path}", "--images", str(photos), "--epochs=1"]
    assert cli.main(["train", "image-cnn-224", *args]) == 1
    assert re.search(f"tinynet: error: .*{message}", capsys.readouterr().err)


def test_more_classes_than_scores(photos, monkeypatch):
    monkeypatch.setattr(image_cnn_224, "CLASSES", 1)
    with pytest.raises(ValueError, match=r"has 2 classes, the network has 1 scores"):
        Run.of("image-cnn-224", options={"images": str(photos)}).load()


def test_stripes_are_made_again_and_differ_by_class():
    images = Stripes(30, classes=3, side=16)
    assert len(images) == 30 and images.classes == ["0", "1", "2"]
    assert tn.equal(images[4][0], images[4][0]) and not tn.equal(images[4][0], images[7][0])
    assert [images[k][1] for k in range(4)] == [0, 1, 2, 0]
    assert len(list(images)) == 30
    later = Stripes(5, classes=3, first=30, side=16)
    assert not any(tn.equal(later[k][0], images[j][0]) for k in range(5) for j in range(30))
    for wrong in ((0, 3), (5, 0), (5, 1001)):
        with pytest.raises(ValueError, match="there must be 1 or more images"):
            Stripes(*wrong)


def test_image_cnn_224_on_stripes_and_on_a_folder(capsys, tmp_path, photos, monkeypatch):
    """Its network is made smaller: 128 x 26 x 26 features take a gigabyte to train."""
    small = replace(image_cnn_224.RECIPE, network=lambda run: tn.nn.Sequential(
        tn.nn.AvgPool2d(28), tn.nn.Flatten(), tn.nn.Linear(192, 1000)))
    monkeypatch.setattr(image_cnn_224, "RECIPE", small)
    found = ran(capsys, tmp_path / "out", "image-cnn-224", "--epochs=1", "--samples=10", "--classes=4")
    assert found["data"] == {"source": "stripes in 4 classes, generated, as no --images FOLDER was given",
                             "train": 10, "test": 2}
    monkeypatch.chdir(tmp_path)
    found = ran(capsys, tmp_path / "out", "image-cnn-224", "--epochs=40", "--lr=0.05", "--images=photos")
    assert found["data"] == {"source": f"images of 2 classes in {photos}", "train": 7, "test": 3}
    assert found["metrics"]["accuracy"] == 1 and found["confusion"]["classes"] == ["bright", "dark"]
    monkeypatch.chdir(tmp_path / "out")  # from elsewhere the images are still found
    assert cli.main(["evaluate", "image-cnn-224.ckpt"]) == 0


@pytest.mark.slow
def test_image_cnn_224_learns_stripes(tmp_path):
    *_, found = cook(Run.of("image-cnn-224", options={"classes": 4, "samples": 64}, epochs=12, output=tmp_path))
    assert found["metrics"]["accuracy"] > 0.7


# --- recipes that begin with another's model ----------------------------------------------------------------
@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A checkpoint of digits-cnn, after three epochs."""
    folder = tmp_path_factory.mktemp("digits")
    cook(Run.of("digits-cnn", epochs=3, output=folder))
    return folder / "digits-cnn.ckpt"


def test_finetune(capsys, tmp_path, digits, small_images):
    found = ran(capsys, tmp_path, "finetune", "--checkpoint", str(digits), "--samples=6", "--epochs=2", "--data",
                str(small_images["mnist"]))
    assert found["data"] == {"source": f"mnist, {small_images['mnist']}; for a network of digits-cnn", "train": 6,
                             "test": 4}
    tuned, scratch = found["comparison"]
    assert (tuned["parameters trained"], scratch["parameters trained"]) == (5_130, 14_698)
    saved, begun = (tn.load(path)["model"] for path in (tmp_path / "finetune.ckpt", digits))
    for name, weights in begun.items():
        assert tn.equal(saved[f"body.{name}"], weights) == (not name.startswith("6."))


def test_finetune_goes_on_from_colours_to_grey_and_from_its_own(capsys, tmp_path, small_images):
    folder = small_images["cifar10"]
    cook(Run.of("cifar-cnn", epochs=1, data=str(folder), output=tmp_path))
    begun = tn.load(tmp_path / "cifar-cnn.ckpt")["model"]
    ran(capsys, tmp_path, "finetune", f"--checkpoint={tmp_path}/cifar-cnn.ckpt", "--onto=digits", "--samples=9",
        "--epochs=1")
    saved = tn.load(tmp_path / "finetune.ckpt")["model"]
    means = [name for name in begun if "running" in name]
    assert len(means) == 6 and all(tn.equal(saved[f"body.{name}"], begun[name]) for name in means)
    (tmp_path / "finetune.ckpt").rename(tmp_path / "first.ckpt")
    ran(capsys, tmp_path, "finetune", f"--checkpoint={tmp_path}/first.ckpt", "--onto=cifar10", f"--data={folder}",
        "--samples=9", "--epochs=1")


def test_distill(capsys, tmp_path, digits):
    found = ran(capsys, tmp_path, "distill", "--checkpoint", str(digits), "--epochs=10", "--labels=40")
    teacher, alone, taught = found["comparison"]
    assert teacher["parameters"] == 14_698 and alone["parameters"] == taught["parameters"] == 1_210
    assert teacher["accuracy"] > taught["accuracy"] > alone["accuracy"] + 0.05
    assert taught["accuracy"] == found["metrics"]["accuracy"]
    assert alone["network"] == "student, 40 labels"


def test_prune(capsys, tmp_path, digits):
    found = ran(capsys, tmp_path, "prune", "--checkpoint", str(digits), "--epochs=4", "--zeros=0.8")
    rows = found["comparison"]
    assert [row["network"] for row in rows] == ["as it was", *["pruned"] * 4, "in eight bits"]
    assert [row["zeros"] for row in rows][:5] == ["0.0%", "35.0%", "60.0%", "75.0%", "80.0%"]
    assert float(rows[5]["zeros"][:-1]) >= 80 and rows[5]["accuracy"] > rows[0]["accuracy"] - 0.05
    assert [row["size"] for row in rows[:5]] == ["57.4 KiB"] * 5
    packed = [float(row["packed"].split()[0]) for row in rows]
    assert packed == sorted(packed, reverse=True) and packed[0] > 5 * packed[5]


def test_prune_in_fewer_epochs_than_stages(digits):
    for epochs in (1, 3):
        *_, found = cook(Run.of("prune", epochs=epochs, options={"checkpoint": str(digits), "zeros": 0.5}))
        assert found["comparison"][-2]["zeros"] == "50.0%" and len(found["comparison"]) == epochs + 2


def test_without_a_checkpoint_one_is_trained(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(digits_cnn, "RECIPE", replace(digits_cnn.RECIPE, epochs=1))
    assert cli.main(["train", "prune", "--epochs=1", f"--output={tmp_path}"]) == 0
    assert "no --checkpoint: first a digits-cnn is trained\n" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["prune-epochs.csv", "prune.ckpt", "prune.png"]


@pytest.mark.parametrize("name", ["finetune", "distill", "prune"])
def test_a_checkpoint_that_is_none(capsys, tmp_path, name):
    tn.save({"x": 1}, tmp_path / "x.ckpt")
    assert cli.main(["train", name, f"--output={tmp_path}", f"--checkpoint={tmp_path}/x.ckpt"]) == 1
    assert "x.ckpt is no checkpoint of a recipe" in capsys.readouterr().err


def test_a_network_that_tells_no_images_apart(monkeypatch, tmp_path, digits):
    monkeypatch.setattr(digits_cnn, "RECIPE", replace(digits_cnn.RECIPE, measure=regression))
    with pytest.raises(ValueError, match="prune begins with a network that tells images apart, digits-cnn is another"):
        Run.of("prune", options={"checkpoint": str(digits)}).load()


@pytest.mark.parametrize("zeros", [-0.1, 1.0])
def test_a_share_that_is_none(capsys, tmp_path, zeros):
    assert cli.main(["train", "prune", f"--output={tmp_path}", f"--zeros={zeros}"]) == 1
    assert f"--zeros is a share of the weights, from 0 to below 1; got {zeros}\n" in capsys.readouterr().err


def test_what_has_no_head_cannot_be_finetuned(tmp_path, digits, small_images):
    cook(Run.of("prune", epochs=1, options={"checkpoint": str(digits)}, output=tmp_path))
    with pytest.raises(ValueError, match="no linear layer that could be replaced"):
        cook(Run.of("finetune", epochs=1, data=str(small_images["mnist"]),
                    options={"checkpoint": str(tmp_path / "prune.ckpt")}))


# --- in full: minutes each, with the data sets that not every machine has -----------------------------------
@pytest.mark.slow
@pytest.mark.parametrize("name, epochs, least", [
    ("mnist-mlp", 5, 0.97), ("mnist-cnn", 10, 0.99), ("mnist-cnn-small", None, 0.981), ("cifar-cnn", None, 0.6)])
def test_the_accuracy_promised(name, epochs, least):
    source = every()[name].source
    if not all(path.exists() for path in SOURCES[source].places()):
        pytest.skip(f"{source} is not on this machine")
    settings = {} if epochs is None else {"epochs": epochs}
    assert cook(Run.of(name, **settings))[2]["metrics"]["accuracy"] >= least
