"""Data sets. Images come as a TensorDataset of (images: float32, N x C x H x W, in [0, 1]; labels: int64, N) with the
names of the `classes`; tables as one of (x: float32, N x features; y: float32, N x 1) with the names of the `features`
and of the `target`; texts as a str, names as a list.

`digits housing names sonnets` are part of tinynet. The others are looked for in `root`; without one in their folder of
$TINYNET_DATA, then of the cache; what is missing is downloaded to `root` or the cache. RuntimeError if a file is
corrupt, or missing and not to be had.
"""
from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tinynet.data.cifar import ARCHIVE, TEST, TRAIN, Cifar10, read_records
from tinynet.data.dataset import TensorDataset
from tinynet.data.idx import read_idx
from tinynet.data.sources import Folder, Shipped, Source
from tinynet.data.table import Table, read_csv
from tinynet.dtypes import Array
from tinynet.ops import from_numpy

__all__ = ["california_housing", "cifar10", "digits", "fashion_mnist", "housing", "mnist", "names", "sonnets",
           "tiny_shakespeare"]

SHIPPED = {
    "digits": Shipped("1,797 images, 8 x 8", "digits.npz", "35fa292850aefdac88ea117403394609"),
    "housing": Shipped("546 sales of houses", "housing.csv.gz", "606224313f27671c840037c0f06feb84"),
    "names": Shipped("9,096 first names", "names.txt.gz", "79ab53468fe9fcb5847065dda3d00780"),
    "sonnets": Shipped("154 poems", "sonnets.txt.gz", "7fd3a05596005af442cf6a219a0a101e"),
}
SOURCES = {
    "mnist": Source("70,000 images, 28 x 28", "11 MB", "mnist", {
        "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
        "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
    }, ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "http://yann.lecun.com/exdb/mnist/")),
    "fashion_mnist": Source("70,000 images, 28 x 28", "30 MB", "fashion-mnist", {
        "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
    }, ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/")),
    "cifar10": Cifar10("60,000 images, 32 x 32", "170 MB", "cifar-10-batches-bin", {
        ARCHIVE: "c32a1d4ab5d03f1284b67883e8d87530"}, ("https://www.cs.toronto.edu/~kriz/",)),
    "california_housing": Source("20,640 districts", "1.4 MB", "housing", {
        "housing.csv": "d1c47305887e2252bf1ccbd74ff159a6",
    }, ("https://raw.githubusercontent.com/ageron/handson-ml2/master/datasets/housing/",)),
    "tiny_shakespeare": Source("40,000 lines", "1.1 MB", "text", {
        "tinyshakespeare.txt": "6fb458f1232090904fb40fe944165e91",
    }, ("https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",)),
    "names": Source("32,033 first names", "0.2 MB", "text", {
        "names.txt": "401b3c4cac9e28a586ed15e81256680d",
    }, ("https://raw.githubusercontent.com/karpathy/makemore/master/",)),
}

DIGITS = tuple("0123456789")
CLOTHES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
THINGS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

CALIFORNIA = ("longitude", "latitude", "housing_median_age", "total_rooms", "total_bedrooms", "population",
              "households", "median_income", "ocean_proximity")
OCEAN = ("<1H OCEAN", "INLAND", "ISLAND", "NEAR BAY", "NEAR OCEAN")
WINDSOR = ("lotsize", "bedrooms", "bathrms", "stories", "driveway", "recroom", "fullbase", "gashw", "airco", "garagepl",
           "prefarea")
YES_OR_NO = ("driveway", "recroom", "fullbase", "gashw", "airco", "prefarea")


class Images(TensorDataset):
    """Images and labels: an image with label k shows `classes[k]`."""

    def __init__(self, images: Array, labels: Array, brightest: int, classes: Sequence[str]) -> None:
        pixels = images.astype(np.float32)
        pixels /= brightest
        super().__init__(from_numpy(pixels), from_numpy(labels.astype(np.int64)))
        self.classes = classes


# --- part of tinynet ----------------------------------------------------------------------------------------
def digits(train: bool | None = None) -> Images:
    """1,797 images of handwritten digits, 8 x 8: all of them, the 1,433 to train with, or the 364 to test.

    The test images are the first, sixth, eleventh ... of each class, so both parts have the same share of
    every digit (and the same writers). Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits,
    UCI Machine Learning Repository, 1998, https://doi.org/10.24432/C50P49, licence CC BY 4.0.

    >>> tn.data.datasets.digits(train=False).tensors[0].shape
    (364, 1, 8, 8)
    """
    with np.load(SHIPPED["digits"].file()) as file:
        images, labels = file["images"], file["labels"]
    if train is not None:
        tested = np.zeros(len(labels), bool)
        for digit in range(10):
            tested[np.flatnonzero(labels == digit)[::5]] = True
        images, labels = images[tested != train], labels[tested != train]
    return Images(images[:, None], labels, 16, DIGITS)


def housing() -> Table:
    """546 houses sold in Windsor, Canada, in 1987: the price, in Canadian dollars, and eleven facts; a yes is 1.

    Source: P. M. Anglin and R. Gencay, Semiparametric estimation of a hedonic price function, Journal of Applied
    Econometrics 11(6), 1996, 633-648; the table is `Housing` of the R package Ecdat.

    >>> data = tn.data.datasets.housing()
    >>> data.features[:3], data.target, data[0][1]
    (['lotsize', 'bedrooms', 'bathrms'], 'price', tensor([42000.]))
    """
    yes_or_no = dict.fromkeys(YES_OR_NO, ("no", "yes"))
    table = read_csv(SHIPPED["housing"].file(), "price", features=WINDSOR, one_hot=yes_or_no)
    table.features = [*WINDSOR]  # not "driveway=yes"
    return table


def names(full: bool = False, root: Folder = None, download: bool = True) -> list[str]:
    """First names in small letters a to z, each once, the most frequent first: the 9,096 that at least 25 children born
    in the United States in 2017 were given.

    With `full`, the 32,033 of names.txt ($TINYNET_DATA/text), girls' names first, then boys', and about 2,500 twice:
    the list of A. Karpathy's makemore, for 2018. Both from the US Social Security Administration, public domain.

    >>> tn.data.datasets.names()[:5]
    ['emma', 'liam', 'olivia', 'noah', 'ava']
    """
    path = SOURCES["names"].file("names.txt", root, download) if full else SHIPPED["names"].file()
    return _text(path).split()


def sonnets() -> str:
    """Shakespeare's 154 sonnets (1609), each after its number in Roman figures; 95,609 characters, 62 different ones.

    Source: Project Gutenberg's edition of 1997; public domain.

    >>> print(tn.data.datasets.sonnets()[:45])
    I
    <BLANKLINE>
    From fairest creatures we desire increase,
    """
    return _text(SHIPPED["sonnets"].file())


# --- found or downloaded ------------------------------------------------------------------------------------
def mnist(root: Folder = None, train: bool = True, download: bool = True) -> Images:
    """70,000 images of handwritten digits, 28 x 28: the 60,000 to train with, or the 10,000 to test with.

    The four .gz files, in `root` or $TINYNET_DATA/mnist. Source: Y. LeCun, C. Cortes and C. J. C. Burges, The MNIST
    database of handwritten digits, 1998.

    >>> images, labels = tn.data.datasets.mnist(train=False).tensors  # doctest: +SKIP
    """
    return _idx_images("mnist", root, train, download, DIGITS)


def fashion_mnist(root: Folder = None, train: bool = True, download: bool = True) -> Images:
    """70,000 pictures of clothes, 28 x 28, in ten classes: the 60,000 to train with, or the 10,000 to test with.

    The four .gz files, in `root` or $TINYNET_DATA/fashion-mnist. Source: H. Xiao, K. Rasul and R. Vollgraf,
    Fashion-MNIST, 2017, https://arxiv.org/abs/1708.07747, licence MIT.

    >>> tn.data.datasets.fashion_mnist(train=False).classes  # doctest: +SKIP
    ('T-shirt/top', 'Trouser', 'Pullover', 'Dress', 'Coat', 'Sandal', 'Shirt', 'Sneaker', 'Bag', 'Ankle boot')
    """
    return _idx_images("fashion_mnist", root, train, download, CLOTHES)


def cifar10(root: Folder = None, train: bool = True, download: bool = True) -> Images:
    """60,000 colour photographs, 32 x 32, in ten classes: the 50,000 to train with, or the 10,000 to test with.

    The six .bin files of the binary version, or its archive cifar-10-binary.tar.gz, in `root` or
    $TINYNET_DATA/cifar-10-batches-bin, or one folder up or down. Files with fewer records are as good. Source:
    A. Krizhevsky, Learning multiple layers of features from tiny images, 2009.

    >>> tn.data.datasets.cifar10(train=False).tensors[0].shape  # doctest: +SKIP
    (10000, 3, 32, 32)
    """
    files = [SOURCES["cifar10"].file(name, root, download) for name in (TRAIN if train else TEST)]
    images, labels = zip(*map(read_records, files), strict=True)
    return Images(np.concatenate(images), np.concatenate(labels), 255, THINGS)


def california_housing(root: Folder = None, download: bool = True) -> Table:
    """20,640 districts of California in the census of 1990: the median value of a house, in dollars, eight numbers, and
    the nearness to the ocean as five columns of which one is 1. 207 of `total_bedrooms` are missing: NaN.

    housing.csv, in `root` or $TINYNET_DATA/housing. Source: R. K. Pace and R. Barry, Sparse spatial autoregressions,
    Statistics & Probability Letters 33(3), 1997, 291-297, as prepared by A. Géron for Hands-On Machine Learning.

    >>> tn.data.datasets.california_housing().tensors[0].shape  # doctest: +SKIP
    (20640, 13)
    """
    path = SOURCES["california_housing"].file("housing.csv", root, download)
    return read_csv(path, "median_house_value", features=CALIFORNIA, one_hot={"ocean_proximity": OCEAN}, missing="nan")


def tiny_shakespeare(root: Folder = None, download: bool = True) -> str:
    """40,000 lines out of Shakespeare's plays: 1,115,394 characters, 65 different ones.

    tinyshakespeare.txt, in `root` or $TINYNET_DATA/text. Source: A. Karpathy's char-rnn, 2015 (its input.txt); public
    domain.

    >>> tn.data.datasets.tiny_shakespeare()[:14]  # doctest: +SKIP
    'First Citizen:'
    """
    return _text(SOURCES["tiny_shakespeare"].file("tinyshakespeare.txt", root, download))


def _idx_images(which: str, root: Folder, train: bool, download: bool, classes: Sequence[str]) -> Images:
    part, source = "train" if train else "t10k", SOURCES[which]
    images = read_idx(source.file(f"{part}-images-idx3-ubyte.gz", root, download), 3)
    labels = read_idx(source.file(f"{part}-labels-idx1-ubyte.gz", root, download), 1)
    if len(images) != len(labels):
        raise RuntimeError(f"{which} {part}: {len(images)} images and {len(labels)} labels are not of one set")
    return Images(images[:, None], labels, 255, classes)


def _text(path: Path) -> str:
    """The text in a file, compressed or not: all of them are ASCII."""
    data = path.read_bytes()
    return (gzip.decompress(data) if path.suffix == ".gz" else data).decode("ascii")
