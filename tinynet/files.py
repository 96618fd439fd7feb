"""Files that are whole or not there: written beside, brought to the disk, and only then given their name."""
from __future__ import annotations

import errno
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A file to write to, which stands beside `path` until it is complete and on the disk, and only then takes its
    name; if anything fails, nothing of it is left. What processes that were killed left beside `path` is removed.

    >>> import os; from tinynet.files import whole_file
    >>> with whole_file("notes.txt") as file: written = file.write(b"whole")
    >>> os.path.getsize("notes.txt")
    5
    """
    target = Path(os.path.realpath(path))  # a link stays a link
    file = None
    try:
        _clear(target)
        with _part(target) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            if fcntl is None:  # Windows renames no open file; elsewhere the lock holds until the name is there
                file.close()
            os.replace(file.name, target)
        _sync_folder(target.parent)
    except OSError as problem:
        raise OSError(problem.errno, f"could not write the file: {problem.strerror}", str(path)) from problem
    finally:
        if file is not None:
            Path(file.name).unlink(missing_ok=True)


@contextmanager
def folder_there(path: Path) -> Iterator[None]:
    """The folder is there, if need be made; one that was made, and is empty at the end, is removed.

    >>> from pathlib import Path; from tinynet.files import folder_there
    >>> with folder_there(Path("results/today")): Path("results").is_dir()
    True
    >>> Path("results").exists()
    False
    """
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        for folder in made:
            with suppress(OSError):  # there is something in it
                folder.rmdir()


def check_file(path: Path) -> None:
    """OSError, naming it, for what cannot be read, and for a device or a pipe: reading these might never end.

    >>> from pathlib import Path
    >>> from tinynet.files import check_file
    >>> check_file(Path("absent"))
    Traceback (most recent call last):
    FileNotFoundError: [Errno 2] No such file or directory: 'absent'
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise OSError(errno.EINVAL, "is no file, but a device or a pipe", str(path))
    open(path, "rb").close()


def _part(target: Path) -> BinaryIO:
    """A new file beside the target, locked for as long as it is open: so nobody clears it away."""
    while True:
        part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
        file = open(part, "xb")  # noqa: SIM115 - the caller closes it
        if fcntl is None:
            return file
        with suppress(OSError):  # a file system without locks: there nobody can lock it to clear it away, either
            fcntl.flock(file, fcntl.LOCK_EX)
        if part.exists():
            return file
        file.close()  # cleared away in the moment before it was locked


def _clear(target: Path) -> None:
    """Remove the parts of the target that nobody is writing any more: those that are not locked."""
    if fcntl is None:
        return
    name = re.compile(rf"\.{re.escape(target.name)}\.[0-9a-f]{{8}}\.part")
    with suppress(OSError):  # a folder that cannot be read; whether it can be written to is seen next
        for entry in os.scandir(target.parent):
            if name.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                with suppress(OSError), open(entry, "rb") as part:  # locked, or another's
                    fcntl.flock(part, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    os.unlink(entry)


def _sync_folder(folder: Path) -> None:
    """Have the folder's new entry on the disk, too."""
    if os.name != "posix":  # elsewhere folders cannot be opened
        return
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
