"""Files that took time to make, kept on disk to be found at the next start: machine code."""
from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def folders(source: str, chosen: str | None = None) -> list[Path]:
    """Where what was made of a source may lie, the best place first: the folder that an environment variable has
    chosen; or beside the source, as Python's own compiled files do; or else in the user's cache."""
    if chosen:
        return [Path(chosen) / "tinynet"]
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return [Path(source).parent / "__pycache__", Path(home) / "tinynet" / "kernels"]


def keep(content: bytes, name: str, places: list[Path]) -> Path | None:
    """Write a file, in the first folder that takes it; None if none does. A reader never meets half a file."""
    for folder in places:
        path = folder / name
        draft = path.with_name(f"{name}.{os.getpid()}")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            draft.write_bytes(content)
            draft.replace(path)
        except OSError:
            continue  # a folder that cannot be written, or a full disk: the next one, or none
        return path
    return None


def find(name: str, places: list[Path]) -> Path | None:
    """The file of that name, where there is one."""
    return next((folder / name for folder in places if (folder / name).is_file()), None)


def contents(name: str, places: list[Path]) -> Iterator[bytes]:
    """What the files of that name hold, the best place first."""
    for folder in places:
        try:
            yield (folder / name).read_bytes()
        except OSError:
            continue  # not here
