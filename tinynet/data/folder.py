"""Images in folders, one for each class: root/cat/1.png, root/cat/more/2.jpg, root/dog/1.png, ..."""
from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinynet.data.dataset import Dataset
from tinynet.dtypes import Array
from tinynet.ops import from_numpy
from tinynet.tensor import Tensor

IMG_EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
MODES = ("RGB", "L")


class ImageFolder(Dataset):
    """The images below `root`, whose folders are the classes, in alphabetical order: sample i is (image, label).

    An image is a tensor, float32, C x H x W, in [0, 1]; mode: "RGB", or "L" for grey. size: (height, width), or one
    number for both, to which each is scaled; without it they keep theirs, and only images of one size make a batch.
    With `transform` an image is what that makes of PIL's image, as in torchvision; with target_transform so is a label.
    Files of other kinds are passed over. There are `classes`, `class_to_idx`, `targets` and `samples`, the pairs of a
    path and a label. FileNotFoundError where there are no classes or no images; ValueError for a file that is no whole
    image, when it is read.

    >>> data = tn.data.ImageFolder("photos", size=224)                                     # doctest: +SKIP
    >>> loader = tn.data.DataLoader(data, batch_size=32, shuffle=True, num_workers=2)      # doctest: +SKIP
    """

    def __init__(self, root: str | os.PathLike[str], transform: Callable[[Any], Any] | None = None,
                 target_transform: Callable[[int], Any] | None = None, *, size: int | Sequence[int] | None = None,
                 mode: str = "RGB") -> None:
        if mode not in MODES:
            raise ValueError(f"mode must be 'RGB' or 'L' (grey), got {mode!r}")
        if transform is not None and size is not None:
            raise ValueError("size goes without a transform: let the transform scale the images")
        self.root, self.mode, self.size = Path(root).expanduser(), mode, None if size is None else _pair(size)
        self.transform, self.target_transform = transform, target_transform
        if not self.root.is_dir():
            problem = "is no folder" if self.root.exists() else "is not there"
            raise FileNotFoundError(f"{self.root} {problem}: it must have a folder of images for each class")
        self.classes = sorted(entry.name for entry in os.scandir(self.root) if entry.is_dir() and _seen(entry.name))
        self.class_to_idx = {name: label for label, name in enumerate(self.classes)}
        self.samples = [(path, label) for label, name in enumerate(self.classes) for path in _images(self.root / name)]
        self.targets = [label for _, label in self.samples]
        empty = [name for name, label in self.class_to_idx.items() if label not in set(self.targets)]
        if empty or not self.classes:
            lacking = f"of {', '.join(empty)}" if empty else "in folders of their own: Couldn't find any class folder"
            raise FileNotFoundError(f"{self.root} has no images {lacking}. It must have a folder for each class, with "
                                    f"files {', '.join(IMG_EXTENSIONS)}")

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        path, label = self.samples[index]
        picture = read_picture(path, self.mode, self.size)
        image = _tensor(picture) if self.transform is None else self.transform(picture)
        return image, label if self.target_transform is None else self.target_transform(label)

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[Any, Any]]:
        """Samples for one batch. ValueError, naming two files, if their images are of different sizes."""
        samples = [self[index] for index in indices]
        images = {self.samples[index][0]: image for index, (image, _) in zip(indices, samples, strict=True)}
        check_sizes({path: image.shape for path, image in images.items() if isinstance(image, Tensor)})
        return samples

    def __repr__(self) -> str:
        return f"ImageFolder({str(self.root)!r}: {len(self):,} images of {len(self.classes)} classes)"


def _pair(size: Any) -> tuple[int, int]:
    pair = (size, size) if isinstance(size, int) else tuple(size) if isinstance(size, Sequence) else ()
    if len(pair) != 2 or not all(isinstance(n, int) and n > 0 for n in pair):
        raise ValueError(f"size is (height, width), or one number for both, got {size!r}")
    return pair


def _seen(name: str) -> bool:
    return not name.startswith(".")


def _images(folder: Path) -> list[str]:
    found, been = [], set()
    for where, folders, files in os.walk(folder, followlinks=True):
        if (real := os.path.realpath(where)) in been:  # a link that leads back
            folders.clear()
            continue
        been.add(real)
        folders[:] = sorted(filter(_seen, folders))
        found += [os.path.join(where, name) for name in sorted(files)
                  if _seen(name) and name.lower().endswith(IMG_EXTENSIONS)]
    return found


def read_picture(path: str, mode: str, size: tuple[int, int] | None) -> Any:
    """PIL's image in a file, of this mode and size (height, width). ValueError if it is no whole image."""
    from PIL import Image, UnidentifiedImageError  # comes with matplotlib; 50 ms

    try:
        with Image.open(path) as picture:
            if picture.mode[0] in "IF":
                raise ValueError(f"{path} has numbers of more than 8 bits (mode {picture.mode}), of which all from 255 "
                                 "on would be white: convert it first")
            if size is None:
                return picture.convert(mode)
            picture.draft(mode, size[::-1])  # JPEG is decoded no larger than it needs to be
            return picture.convert(mode).resize(size[::-1], Image.Resampling.BILINEAR)
    except (FileNotFoundError, PermissionError):
        raise
    except (Image.DecompressionBombError, OSError, SyntaxError, EOFError) as problem:
        why = "its format is not known" if isinstance(problem, UnidentifiedImageError) else problem
        raise ValueError(f"{path} is no image, or is damaged or cut off: {why}") from problem


def pixels(picture: Any) -> Array:
    """The bytes of PIL's image, C x H x W."""
    array = np.asarray(picture, np.uint8)
    return array[None] if array.ndim == 2 else np.ascontiguousarray(array.transpose(2, 0, 1))


def _tensor(picture: Any) -> Tensor:
    """In [0, 1], the channels first."""
    return from_numpy(pixels(picture).astype(np.float32) / 255)


def check_sizes(shapes: Mapping[str, tuple[int, ...]]) -> None:
    """ValueError, naming two files, unless all images are of one size."""
    if len(set(shapes.values())) > 1:
        one = next(iter(shapes))
        other = next(path for path in shapes if shapes[path] != shapes[one])
        told = ", ".join(f"{path} is {' x '.join(map(str, shapes[path]))}" for path in (one, other))
        raise ValueError(f"images of different sizes cannot be stacked: {told}. Have them scaled: "
                         "ImageFolder(root, size=(height, width))")
