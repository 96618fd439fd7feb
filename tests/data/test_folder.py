"""ImageFolder: the classes, samples and pixels that are in a folder, and what is said of files that are no images."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tinynet as tn
from tinynet.data import ImageFolder


def colours(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.fixture
def photos(tmp_path):
    """Two classes: three dogs, one of them in a folder of its own, and a cat; and things that do not belong."""
    root = tmp_path / "photos"
    for name in ("dog/more", "cat", ".hidden"):
        (root / name).mkdir(parents=True)
    Image.fromarray(colours(6, 5, 1)).save(root / "dog" / "b.png")
    Image.fromarray(colours(6, 5, 2)).save(root / "dog" / "a.PNG")
    Image.fromarray(colours(6, 5, 3)).save(root / "dog" / "more" / "c.bmp")
    Image.fromarray(colours(6, 5, 4)[:, :, 0]).save(root / "cat" / "grey.png")
    for name in ("dog/notes.txt", "dog/.b.png", ".hidden/x.png", "stray.png"):
        (root / name).write_bytes(b"no image")
    return root


def test_what_is_in_a_folder(photos):
    data = ImageFolder(photos)
    assert data.classes == ["cat", "dog"] and data.class_to_idx == {"cat": 0, "dog": 1}
    assert data.samples == [(str(photos / name), label) for name, label in (
        ("cat/grey.png", 0), ("dog/a.PNG", 1), ("dog/b.png", 1), ("dog/more/c.bmp", 1))]
    assert data.targets == [0, 1, 1, 1] and len(data) == 4
    assert repr(data) == f"ImageFolder({str(photos)!r}: 4 images of 2 classes)"


def test_images_are_tensors_with_the_channels_first(photos):
    data = ImageFolder(photos)
    image, label = data[2]
    assert image.shape == (3, 6, 5) and image.dtype == tn.float32 and label == 1
    np.testing.assert_array_equal(image.numpy(), (colours(6, 5, 1).transpose(2, 0, 1) / 255).astype(np.float32))
    grey = data[0][0]
    assert tn.equal(grey[0], grey[1]) and tn.equal(grey[0], grey[2])
    assert [t.shape for t, _ in ImageFolder(photos, mode="L")] == [(1, 6, 5)] * 4
    np.testing.assert_array_equal(ImageFolder(photos, mode="L")[0][0].numpy()[0] * 255, colours(6, 5, 4)[:, :, 0])


def test_a_size_scales_them(photos):
    image = ImageFolder(photos, size=(12, 4))[2][0]
    expected = np.asarray(Image.fromarray(colours(6, 5, 1)).resize((4, 12), Image.Resampling.BILINEAR))
    assert image.shape == (3, 12, 4)
    np.testing.assert_allclose(image.numpy(), expected.transpose(2, 0, 1) / 255, atol=1e-6)
    assert ImageFolder(photos, size=7)[0][0].shape == (3, 7, 7)


def test_jpegs_are_decoded_small_but_never_smaller_than_asked(tmp_path):
    (tmp_path / "a").mkdir()
    ramp = np.linspace(0, 255, 512).astype(np.uint8)[None, :, None].repeat(256, 0).repeat(3, 2)
    Image.fromarray(ramp).save(tmp_path / "a" / "ramp.jpg", quality=95)
    image = ImageFolder(tmp_path, size=(60, 100))[0][0]
    assert image.shape == (3, 60, 100)
    np.testing.assert_allclose(image.numpy()[0, 30], np.linspace(0, 1, 100), atol=0.03)


def test_transforms_get_what_torchvisions_get(photos):
    data = ImageFolder(photos, lambda picture: np.asarray(picture.rotate(180)), lambda label: -label)
    image, label = data[2]
    np.testing.assert_array_equal(image, colours(6, 5, 1)[::-1, ::-1])
    assert label == -1


def test_batches_of_a_loader(photos):
    x, y = next(iter(tn.data.DataLoader(ImageFolder(photos), batch_size=4)))
    assert x.shape == (4, 3, 6, 5) and y.tolist() == [0, 1, 1, 1] and y.dtype == tn.int64
    part = tn.data.random_split(ImageFolder(photos), [3, 1])[0]
    assert len(next(iter(tn.data.DataLoader(part, batch_size=3, num_workers=2)))[0]) == 3
    flip = tn.data.transforms.RandomHorizontalFlip(p=1.0)
    flipped, _ = next(iter(tn.data.DataLoader(ImageFolder(photos), batch_size=4, collate_fn=flip)))
    assert tn.equal(flipped, x.flip(3))


def test_a_model_is_trained_on_a_folder(photos):
    model = tn.nn.Sequential(tn.nn.Flatten(), tn.nn.Linear(48, 2))
    trainer = tn.Trainer(model, tn.nn.CrossEntropyLoss(), tn.optim.Adam(model.parameters(), 0.1), metrics="accuracy")
    history = trainer.fit(ImageFolder(photos, size=4), epochs=30, batch_size=4, verbose=False)
    assert history.history["accuracy"][-1] == 1


def test_links_are_followed_once(photos):
    (photos / "fox").symlink_to(photos / "cat")
    (photos / "dog" / "again").symlink_to(photos / "dog")
    data = ImageFolder(photos)
    assert data.classes == ["cat", "dog", "fox"] and data.targets == [0, 1, 1, 1, 2]


def test_images_of_different_sizes_are_no_batch(photos):
    Image.fromarray(colours(7, 5)).save(photos / "cat" / "tall.png")
    data, whole = ImageFolder(photos), re.escape(str(photos / "cat" / "grey.png"))
    with pytest.raises(ValueError, match=rf"{whole} is 3 x 6 x 5, .*tall\.png is 3 x 7 x 5.*ImageFolder\(root, size="):
        next(iter(tn.data.DataLoader(data, batch_size=4)))
    assert len(next(iter(tn.data.DataLoader(ImageFolder(photos, size=5), batch_size=5)))[0]) == 5


def cut_off(path):
    Image.fromarray(colours(60, 50)).save(path)
    path.write_bytes(path.read_bytes()[:-700])


def of_16_bits(path):
    Image.fromarray(np.full((4, 4), 700, np.uint16)).save(path)


@pytest.mark.parametrize(("name", "write", "text"), [
    ("x.png", lambda path: path.write_bytes(b"hello"), "its format is not known"),
    ("x.jpg", lambda path: path.write_bytes(b""), "its format is not known"),
    ("x.png", cut_off, "truncated"),
    ("x.jpg", cut_off, "truncated"),
    ("x.png", of_16_bits, r"more than 8 bits \(mode I;16\)"),
])
def test_a_file_that_is_no_whole_image_is_named(tmp_path, name, write, text):
    (tmp_path / "a").mkdir()
    write(tmp_path / "a" / name)
    with pytest.raises(ValueError, match=f"{re.escape(str(tmp_path / 'a' / name))} .*{text}"):
        ImageFolder(tmp_path)[0]
    with pytest.raises(ValueError, match=text):
        ImageFolder(tmp_path, size=3)[0]


def test_a_picture_that_would_fill_the_memory_is_refused(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    Image.fromarray(colours(60, 50)).save(tmp_path / "a" / "x.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(ValueError, match=r"x\.png is no image, or is damaged.*decompression bomb"):
        ImageFolder(tmp_path)[0]


def test_a_file_that_has_gone_is_not_there(photos):
    data = ImageFolder(photos)
    (photos / "dog" / "b.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"b\.png"):
        data[2]


def empty(tmp_path, *folders):
    for name in folders:
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.mark.parametrize(("call", "error", "text"), [
    (lambda here: ImageFolder(here / "no"), FileNotFoundError, "no is not there: it must have a folder"),
    (lambda here: ImageFolder(Path(__file__)), FileNotFoundError, r"test_folder\.py is no folder: it must"),
    (lambda here: ImageFolder(here), FileNotFoundError, "no images in folders of their own.*Couldn't find any"),
    (lambda here: ImageFolder(empty(here, "cat", "dog")), FileNotFoundError, r"has no images of cat, dog\. .*\.png"),
    (lambda here: ImageFolder(here, mode="CMYK"), ValueError, r"mode must be 'RGB' or 'L' \(grey\), got 'CMYK'"),
    (lambda here: ImageFolder(here, size=0), ValueError, "size is .*, got 0"),
    (lambda here: ImageFolder(here, size=(3, 4, 5)), ValueError, r"size is .*, got \(3, 4, 5\)"),
    (lambda here: ImageFolder(here, size=2.5), ValueError, "size is .*, got 2.5"),
    (lambda here: ImageFolder(here, abs, size=3), ValueError, "size goes without a transform"),
])
def test_bad_input(tmp_path, call, error, text):
    with pytest.raises(error, match=text):
        call(tmp_path)
