"""CIFAR-10's binary version: records of a label and 3 x 32 x 32 bytes, in six files that come as one archive."""
from __future__ import annotations

import zlib
from collections.abc import Collection
from dataclasses import dataclass
from gzip import BadGzipFile
from pathlib import Path

import numpy as np

from tinynet.data.download import DELETE, fetch, locked, put_in_place, unwritable
from tinynet.data.sources import Folder, Source
from tinynet.dtypes import Array

RECORD = 1 + 3 * 32 * 32
TRAIN = tuple(f"data_batch_{k}.bin" for k in range(1, 6))
TEST = ("test_batch.bin",)
ARCHIVE = "cifar-10-binary.tar.gz"
INNER = "cifar-10-batches-bin"  # the archive's one folder


@dataclass(frozen=True)
class Cifar10(Source):
    """The six files as they are, or out of the archive (whose MD5 is the one that is known)."""

    def folders(self, root: Folder = None) -> list[Path]:
        """Beside the usual ones, where the archive lies that was unpacked there, and where it unpacks itself."""
        usual = super().folders(root)
        return [place for folder in usual for place in (
            (folder, folder / INNER) if root is not None else (folder.parent, folder))]

    def places(self, root: Folder = None) -> list[Path]:
        """The six files; or the archive, if that is all there is."""
        files = [self.place(name, root) for name in TRAIN + TEST]
        archive = self.place(ARCHIVE, root)
        return [archive] if archive.exists() and not any(file.exists() for file in files) else files

    def check(self, path: Path) -> None:
        """RuntimeError if this is neither the archive nor a file of records."""
        if path.name == ARCHIVE:
            super().check(path)
        else:
            read_records(path)

    def file(self, name: str, root: Folder = None, download: bool = True) -> Path:
        """One of the six files, unpacked if it has to be."""
        path = self.place(name, root)
        if path.exists():
            return path
        archive = self.place(ARCHIVE, root)
        if archive.exists():
            super().check(archive)
        elif not download:
            raise self.not_found(f"{name} (or {ARCHIVE})", root)
        else:
            fetch(ARCHIVE, self.mirrors, self.md5[ARCHIVE], archive.parent)
        unpack(archive, TRAIN + TEST, path.parent)
        return path

    def fetch(self, root: Folder = None) -> list[Path]:
        """Download and unpack the archive unless the six files are there; check them; return where they are."""
        files = [self.file(name, root) for name in TRAIN + TEST]
        for file in files:
            self.check(file)
        return files


def unpack(archive: Path, names: Collection[str], folder: Path) -> None:
    """Write the named files of the archive to the folder, each under its name only when it is whole.

    Nothing else is taken from the archive, and no path in it decides where something is written. RuntimeError if it
    is damaged or lacks one of them.
    """
    import shutil
    import tarfile

    missing = set(names)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                name = member.name.rpartition("/")[2]
                content = tar.extractfile(member) if name in missing and member.isreg() else None
                if content is None:
                    continue
                with locked(folder / f"{name}.part") as part:
                    part.truncate(0)
                    try:
                        shutil.copyfileobj(content, part)
                    except BaseException:
                        part.truncate(0)  # an empty part is removed
                        raise
                    put_in_place(part, folder / name)
                missing.remove(name)
    except (tarfile.TarError, EOFError, zlib.error, BadGzipFile) as e:
        raise RuntimeError(f"{archive} is no whole .tar.gz archive ({e}). {DELETE}.") from e
    except OSError as e:
        raise unwritable(folder, e) from e
    if missing:
        raise RuntimeError(f"{archive} has no {', '.join(sorted(missing))}. {DELETE}.")


def read_records(path: Path) -> tuple[Array, Array]:
    """The images (uint8, N x 3 x 32 x 32: red, green, blue) and labels (uint8, N) of a file of 3,073-byte records.

    RuntimeError if the file is not just that. A. Krizhevsky, "Learning multiple layers of features from tiny images",
    2009.
    """
    data = np.fromfile(path, np.uint8)
    if data.size == 0 or data.size % RECORD:
        raise RuntimeError(f"{path} has {data.size:,} bytes, which is no whole number of {RECORD:,}-byte records (a "
                           f"label and 3 x 32 x 32 pixels): it is truncated or something else. {DELETE}.")
    records = data.reshape(-1, RECORD)
    wrong = np.flatnonzero(records[:, 0] > 9)
    if wrong.size:
        raise RuntimeError(f"{path}: the label of record {wrong[0]:,} is {records[wrong[0], 0]}, not 0 to 9: it is "
                           f"corrupt or something else. {DELETE}.")
    return records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0]
