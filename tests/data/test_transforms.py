"""Transforms: each against a loop over the images that says the same, and what they refuse."""
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinynet as tn
from tinynet.data import DataLoader, TensorDataset
from tinynet.data.transforms import Compose, Normalize, RandomCrop, RandomHorizontalFlip, Transform


def numbered(n, c, h, w):
    """Every pixel is another number, none is zero."""
    return tn.arange(1, n * c * h * w + 1).reshape(n, c, h, w).float()


def seeded(seed=0):
    return tn.Generator().manual_seed(seed)


def windows(image, padding, size):
    """All pieces of an image (C, H, W), as the plainest loop finds them."""
    left, top, right, bottom = padding
    c, h, w = image.shape
    padded = np.zeros((c, h + top + bottom, w + left + right), image.dtype)
    padded[:, top:top + h, left:left + w] = image
    return [padded[:, i:i + size[0], j:j + size[1]] for i in range(padded.shape[1] - size[0] + 1)
            for j in range(padded.shape[2] - size[1] + 1)]


pads = st.integers(0, 3)
paddings = st.one_of(
    st.tuples(st.none(), st.just((0, 0, 0, 0))), pads.map(lambda p: (p, (p, p, p, p))),
    st.tuples(pads, pads).map(lambda p: (p, p + p)), st.tuples(pads, pads, pads, pads).map(lambda p: (p, p)))


@given(st.integers(0, 6), st.integers(1, 3), st.integers(3, 6), st.integers(3, 6), paddings, st.integers(0, 99),
       st.data())
def test_a_crop_is_one_of_the_pieces(n, c, h, w, padding, seed, data):
    given_padding, sides = padding
    left, top, right, bottom = sides
    size = data.draw(st.integers(1, h + top + bottom)), data.draw(st.integers(1, w + left + right))
    images = numbered(n, c, h, w)
    kept = images.tolist()
    pieces = RandomCrop(size, given_padding)(images, seeded(seed))
    assert pieces.shape == (n, c, *size) and pieces.dtype == images.dtype and images.tolist() == kept
    for image, piece in zip(images.numpy(), pieces.numpy(), strict=True):
        assert any((piece == window).all() for window in windows(image, sides, size))


def test_all_crops_come_up_equally_often_and_each_image_has_its_own():
    images = numbered(1, 1, 3, 3).repeat(9000, 1, 1, 1)
    pieces = RandomCrop(2)(images, seeded()).numpy()
    corners = np.unique(pieces[:, 0, 0, 0], return_counts=True)
    assert corners[0].tolist() == [1, 2, 4, 5] and abs(corners[1] - 2250).max() < 200


@given(st.integers(0, 9), st.sampled_from([0.0, 0.5, 1.0]), st.integers(0, 99))
def test_a_flip_is_the_image_or_its_mirror(n, p, seed):
    images = numbered(n, 2, 3, 4)
    flipped = RandomHorizontalFlip(p)(images, seeded(seed))
    mirrored = [not np.array_equal(a, b) for a, b in zip(images.numpy(), flipped.numpy(), strict=True)]
    assert p == 0.5 or mirrored == [p == 1.0] * n
    for image, out, mirror in zip(images.numpy(), flipped.numpy(), mirrored, strict=True):
        np.testing.assert_array_equal(out, image[:, :, ::-1] if mirror else image)
    assert images.tolist() == numbered(n, 2, 3, 4).tolist()


def test_flips_come_as_often_as_they_should():
    out = RandomHorizontalFlip(0.3)(numbered(1, 1, 1, 2).repeat(10_000, 1, 1, 1), seeded())
    assert abs((out[:, 0, 0, 0] == 2).sum().item() - 3000) < 150


@given(st.integers(1, 3), st.data())
def test_normalize(c, data):
    numbers = st.floats(-10, 10, width=32)
    mean = data.draw(st.lists(numbers, min_size=c, max_size=c))
    std = data.draw(st.lists(numbers.filter(lambda v: abs(v) > 0.01), min_size=c, max_size=c))
    for dtype in (tn.float32, tn.float64):
        x = numbered(2, c, 2, 2).to(dtype)
        out = Normalize(mean, std)(x)
        expected = [(x[:, k] - mean[k]) / std[k] for k in range(c)]
        assert out.dtype == dtype
        np.testing.assert_allclose(out.numpy(), tn.stack(expected, 1).numpy(), rtol=1e-5, atol=1e-5)
    assert x.tolist() == numbered(2, c, 2, 2).tolist()


def test_normalize_with_one_mean_for_all_channels():
    assert Normalize(1.0, 2.0)(tn.full((1, 3, 1, 1), 5.0)).flatten().tolist() == [2.0] * 3


def test_compose_is_one_after_the_other():
    images = numbered(5, 1, 4, 4)
    crop, flip, norm = RandomCrop(4, padding=2), RandomHorizontalFlip(), Normalize([2.0], [4.0])
    together = Compose([crop, flip, norm, tn.neg])(images, seeded(3))
    generator = seeded(3)
    assert together.tolist() == (-norm(flip(crop(images, generator), generator))).tolist()
    assert Compose([])(images) is images


def test_the_default_generator_is_drawn_from():
    images, crop = numbered(20, 1, 8, 8), RandomCrop(4)
    tn.manual_seed(1)
    first, second = crop(images).tolist(), crop(images).tolist()
    tn.manual_seed(1)
    assert crop(images).tolist() == first != second


def test_they_keep_integers():
    images = numbered(2, 1, 3, 3).to(tn.uint8)
    for transform in (RandomCrop(3, padding=1), RandomHorizontalFlip()):
        assert transform(images).dtype == tn.uint8


def test_they_say_what_they_are():
    transform = Compose([RandomCrop(32, padding=4), RandomCrop((3, 4), (1, 2)), RandomHorizontalFlip(0.25),
                         Normalize([0.5], (0.25,))])
    assert repr(transform) == """Compose(
    RandomCrop(size=(32, 32), padding=4)
    RandomCrop(size=(3, 4), padding=(1, 2))
    RandomHorizontalFlip(p=0.25)
    Normalize(mean=[0.5], std=(0.25,))
)"""


# --- with a loader ------------------------------------------------------------------------------------------
def test_a_loader_joins_then_transforms_the_first_field():
    images, labels = numbered(10, 1, 2, 2), tn.arange(10)
    norm = Normalize([1.0], [2.0])
    pairs = [(image, label) for image, label in zip(images, labels, strict=True)]
    expected = [(norm(images[k:k + 4]).tolist(), labels[k:k + 4].tolist()) for k in (0, 4, 8)]
    for data in (TensorDataset(images, labels), pairs):
        for collate in (norm, Compose([norm])):
            got = [(x.tolist(), y.tolist()) for x, y in DataLoader(data, 4, collate_fn=collate)]
            assert got == expected
    assert [b.tolist() for b in DataLoader(images, 4, collate_fn=norm)] == [x for x, _ in expected]
    assert norm(pairs[:4])[1].tolist() == [0, 1, 2, 3]  # a collate_fn like others


def test_a_batch_of_a_tensor_dataset_is_taken_and_transformed_whole(monkeypatch):
    def one_by_one(*_):
        raise AssertionError("a sample was taken on its own")

    data = TensorDataset(numbered(10, 1, 2, 2), tn.arange(10))
    monkeypatch.setattr(TensorDataset, "__getitem__", one_by_one)
    for x, y in DataLoader(tn.data.Subset(data, [3, 1, 2]), 2, collate_fn=RandomHorizontalFlip(1.0)):
        assert [image[0, 0, 1].item() for image in x] == [4 * i + 1 for i in y.tolist()]


# --- what they refuse ---------------------------------------------------------------------------------------
IMAGES = numbered(2, 3, 4, 4)


@pytest.mark.parametrize("call, error, message", [
    (lambda: RandomCrop(2)(IMAGES[0]), ValueError, r"RandomCrop takes images of shape \(N, C, H, W\), got \(3, 4, 4\): "
                                                   r"a batch of one is x\[None\]"),
    (lambda: RandomHorizontalFlip()(tn.zeros(3)), ValueError, r"\(N, C, H, W\), got \(3,\)$"),
    (lambda: RandomCrop(2)(IMAGES.clone().requires_grad_()), RuntimeError, r"keeps no gradient.*detach\(\)"),
    (lambda: RandomCrop(2)([{"image": IMAGES[0]}]), TypeError, "RandomCrop takes images, or samples .* got dict"),
    (lambda: RandomCrop(2)([("a", 1)]), TypeError, "got list"),
    (lambda: RandomCrop(6, padding=(1, 0))(IMAGES), ValueError, r"crop size \(6, 6\) is larger than .* \(4, 6\)"),
    (lambda: RandomCrop(0), ValueError, "a size above zero .* size=0"),
    (lambda: RandomCrop(2, -1), ValueError, "padding that is not negative.* padding=-1"),
    (lambda: RandomCrop((1, 2, 3)), ValueError, r"an int or 2 ints as size, got \(1, 2, 3\)"),
    (lambda: RandomCrop(1.5), ValueError, r"as size, got 1\.5"),
    (lambda: RandomCrop(2, (1, 2, 3)), ValueError, r"an int or 2 or 4 ints as padding, got \(1, 2, 3\)"),
    (lambda: RandomHorizontalFlip(1.5), ValueError, r"between 0 and 1; got 1\.5"),
    (lambda: RandomHorizontalFlip(float("nan")), ValueError, "between 0 and 1; got nan"),
    (lambda: Normalize([0.5], [0.0]), ValueError, r"divides by std, which has a zero: \[0\.0\]"),
    (lambda: Normalize([0.5, 0.5], [1.0]), ValueError, r"one mean and one std a channel, got mean=\[0\.5, 0\.5\]"),
    (lambda: Normalize([0.5] * 2, [1.0] * 2)(IMAGES), ValueError, "has 2 means and stds, the images have 3 channels"),
    (lambda: Normalize([0.5], [1.0])(IMAGES.long()), TypeError, "should be a float tensor. Got int64"),
    (lambda: Compose([3]), TypeError, "takes transforms and functions, got int: 3"),
    (lambda: Transform()(IMAGES), NotImplementedError, "Transform must define images"),
    (lambda: next(iter(DataLoader([IMAGES], batch_size=None, collate_fn=RandomCrop(9)))), ValueError, "crop size"),
])
def test_transforms_refuse(call, error, message):
    with pytest.raises(error, match=message):
        call()
