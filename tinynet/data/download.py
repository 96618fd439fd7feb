"""Fetching a file: several mirrors, resumed where it broke off, checked, and only then put in its place.

Bytes go to `name.part`. A broken connection or Ctrl-C leaves that part, and the next attempt asks its mirror
for the rest (HTTP Range). Only a part with the right MD5 is flushed to the disk and renamed: under its own
name a file is whole.
"""
from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BufferedRandom
from pathlib import Path
from typing import Any

from tinynet.data._progress import progress
from tinynet.files import folder_there

try:
    import fcntl
except ImportError:  # Windows, which refuses to rename a file that another process has open
    fcntl = None  # type: ignore[assignment]

CHUNK = 1 << 16
TIMEOUT = 30.0  # seconds without a byte


def cache_dir() -> Path:
    """Where downloads are kept: $TINYNET_CACHE, else what the platform has for this ($XDG_CACHE_HOME/tinynet,
    ~/.cache/tinynet; ~/Library/Caches/tinynet; %LOCALAPPDATA%\\tinynet\\cache)."""
    if chosen := os.environ.get("TINYNET_CACHE"):
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "tinynet" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "tinynet"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tinynet"


def md5_of(path: Path) -> str:
    """The MD5 of a file as hex digits."""
    with open(path, "rb") as f:
        return hashlib.file_digest(f, _md5).hexdigest()


def _md5() -> Any:
    return hashlib.md5(usedforsecurity=False)  # it finds damage, not malice


DELETE = "Delete it and run again to download it, or put a good copy in its place"


def verify(path: Path, md5: str, remedy: str = DELETE) -> None:
    """RuntimeError, with the remedy, unless the file is there and whole."""
    if not path.exists():
        raise RuntimeError(f"{path} is missing. {remedy}.")
    actual = md5_of(path)
    if actual != md5:
        raise RuntimeError(f"{path} is corrupt or truncated: its {path.stat().st_size:,} bytes have MD5 "
                           f"{actual}, expected {md5}. {remedy}.")


def fetch(name: str, mirrors: Sequence[str], md5: str, folder: Path) -> Path:
    """Download `name` from the first mirror that has it whole; returns its path. A mirror is an URL: of the file, or,
    if it ends in a slash, of its folder.

    Raises RuntimeError naming every mirror with its reason if none has.
    """
    target, failures = folder / name, []
    try:
        with folder_there(folder), locked(folder / f"{name}.part") as part:
            if target.exists():  # another process had the lock and was faster
                verify(target, md5)
                return target
            for mirror in mirrors:
                url = mirror + name if mirror.endswith("/") else mirror
                problem = _try(url, part, md5)
                if problem is None:
                    put_in_place(part, target)
                    return target
                failures.append(f"  {url}: {problem}")
    except OSError as e:
        raise unwritable(target, e) from e
    raise RuntimeError(
        f"could not download {name}; no mirror gave a good copy:\n" + "\n".join(failures) +
        f"\nTo place it by hand: download it elsewhere from one of these, put it at {target} (MD5 {md5})")


def _try(url: str, part: BufferedRandom, md5: str) -> str | None:
    """Complete the part from this URL: None if its MD5 is now right, else the reason why not."""
    import http.client
    import urllib.error  # 25 ms, for those who download

    resumed = part.seek(0, os.SEEK_END)
    try:
        _receive(url, part)
    except urllib.error.HTTPError as e:
        return f"HTTP status {e.code} {e.reason}"
    except urllib.error.URLError as e:
        return str(e.reason)
    except (OSError, http.client.HTTPException, ValueError) as e:
        return str(e) or type(e).__name__
    part.flush()
    part.seek(0)
    actual = hashlib.file_digest(part, _md5).hexdigest()
    if actual == md5:
        return None
    part.truncate(0)
    if resumed:  # what it was added to may have been wrong: this mirror deserves a clean start
        return _try(url, part, md5)
    return f"wrong checksum: MD5 {actual}, expected {md5}"


def _receive(url: str, part: BufferedRandom) -> None:
    """Append to the part what is missing of the URL's body."""
    import http.client
    import urllib.error
    import urllib.request

    have = part.seek(0, os.SEEK_END)
    request = urllib.request.Request(url, headers={"User-Agent": "tinynet"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as e:
        if have and e.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # nothing is missing, or the part is nonsense: the checksum tells
        raise
    with response:
        if response.status != http.client.PARTIAL_CONTENT:  # the server does not resume
            have = 0
            part.truncate(0)
        length = response.headers.get("Content-Length")
        total = have + int(length) if length else None
        name = url.rsplit("/", 1)[-1]
        with progress(desc=name, total=total, initial=have, unit="B", unit_scale=True) as bar:
            while chunk := response.read(CHUNK):
                _write(part, chunk)
                have += len(chunk)
                bar.update(len(chunk))
    if total is not None and have != total:
        raise ConnectionError(f"the connection ended after {have:,} of {total:,} bytes")


def _write(part: BufferedRandom, chunk: bytes) -> None:
    try:
        part.write(chunk)
    except OSError as e:  # ours, not the mirror's: there is no use in trying the next one
        raise unwritable(Path(part.name), e) from e


def unwritable(path: Path, e: OSError) -> RuntimeError:
    """The error that says what to do about it."""
    return RuntimeError(f"could not write {path}: {e.strerror or e}. Make room for it, or choose another "
                        "folder with $TINYNET_CACHE")


def put_in_place(part: BufferedRandom, target: Path) -> None:
    """Give what is whole its name."""
    part.flush()
    os.fsync(part.fileno())
    if fcntl is None:
        part.close()
    os.replace(part.name, target)


def _names(path: Path, file: BufferedRandom) -> bool:
    """Whether the path still leads to this open file: another process may have renamed or removed it."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


@contextmanager
def locked(path: Path) -> Iterator[BufferedRandom]:
    """The part, opened for this process alone: a second one waits here until the first is done."""
    while True:
        part = open(path, "ab+")  # noqa: SIM115 (closed below, under the condition that it still is the part)
        if fcntl is None:
            break
        fcntl.flock(part, fcntl.LOCK_EX)
        if _names(path, part):
            break
        part.close()  # whoever had the lock has finished with that file: look again
    try:
        yield part
    finally:
        if not part.closed:
            if part.seek(0, os.SEEK_END) == 0:
                path.unlink(missing_ok=True)
            part.close()
