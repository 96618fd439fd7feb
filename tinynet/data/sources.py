"""Where the files of the data sets come from, and where they are kept."""
from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tinynet.data.download import cache_dir, fetch, verify

Folder = str | os.PathLike[str] | None

FILES = Path(__file__).parent / "files"


@dataclass(frozen=True)
class Source:
    """Files to be found in `folder` of $TINYNET_DATA or of the cache, or else downloaded to the latter."""

    about: str
    size: str  # of what is downloaded
    folder: str
    md5: Mapping[str, str]  # file -> checksum
    mirrors: Sequence[str]

    def folders(self, root: Folder = None) -> list[Path]:
        """Where files are looked for, in this order; a download goes to the last."""
        if root is not None:
            return [Path(root).expanduser()]
        data = os.environ.get("TINYNET_DATA")
        return [*([Path(data).expanduser() / self.folder] if data else []), cache_dir() / self.folder]

    def place(self, name: str, root: Folder = None) -> Path:
        """The file in the first folder that has it, else in the last."""
        folders = self.folders(root)
        return next((folder / name for folder in folders if (folder / name).exists()), folders[-1] / name)

    def places(self, root: Folder = None) -> list[Path]:
        """All files, where they are or else where they would be downloaded to."""
        return [self.place(name, root) for name in self.md5]

    def check(self, path: Path) -> None:
        """RuntimeError if this file of the source is not whole."""
        verify(path, self.md5[path.name])

    def file(self, name: str, root: Folder = None, download: bool = True) -> Path:
        """The file, whole, from a folder that has it or else from a mirror."""
        path = self.place(name, root)
        if path.exists():
            self.check(path)
        elif not download:
            raise self.not_found(name, root)
        else:
            fetch(name, self.mirrors, self.md5[name], path.parent)
        return path

    def not_found(self, name: str, root: Folder) -> RuntimeError:
        """The error that says where the file was looked for."""
        return RuntimeError(f"{name} not found in {' or '.join(map(str, self.folders(root)))}. Put it there, or use "
                            "download=True to download it")

    def fetch(self, root: Folder = None) -> list[Path]:
        """Download those of the files that are not there; check all; return where they are."""
        return [self.file(name, root) for name in self.md5]


@dataclass(frozen=True)
class Shipped:
    """A file that is part of tinynet; `files/README.md` says where it is from."""

    about: str
    name: str
    md5: str

    def places(self, root: Folder = None) -> list[Path]:
        """The file, where it must be."""
        return [FILES / self.name]

    def check(self, path: Path) -> None:
        """RuntimeError if the file is not whole."""
        verify(path, self.md5, "It is part of tinynet: install tinynet again")

    def file(self) -> Path:
        """The file, whole."""
        (path,) = self.places()
        self.check(path)
        return path
