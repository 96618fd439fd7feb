"""What `tinynet data` does: list, check and download the data sets there are, and pack one's own."""
from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tinynet.data.csvfile import OPTIONS, hints_as
from tinynet.data.datasets import SHIPPED, SOURCES, Images
from tinynet.data.download import md5_of
from tinynet.data.folder import ImageFolder
from tinynet.data.packed import pack, unpack
from tinynet.data.preprocessing import listed
from tinynet.data.sources import Folder, Shipped, Source
from tinynet.data.table import Table, read_csv
from tinynet.errors import UnknownName
from tinynet.text import size

NAMES = tuple(dict.fromkeys((*SHIPPED, *SOURCES)))


def _chosen(name: str | None, folder: Folder) -> list[tuple[str, Shipped | Source]]:
    """The data sets, or those of the name that was given; one may be shipped in short, and be downloaded in full."""
    if folder and not name:
        raise ValueError("--data is the folder of one data set: say of which, as in `tinynet data list mnist --data .`")
    every: list[tuple[str, Shipped | Source]] = [*SHIPPED.items(), *SOURCES.items()]
    return [item for item in every if name in (None, item[0])]


def show(name: str | None, folder: Folder, as_json: bool) -> int:
    """Say which data sets there are, and where; returns the exit status."""
    rows = []
    for one, data in _chosen(name, folder):
        files = data.places(folder)
        there = [path for path in files if path.exists()]
        folders = sorted({str(path.parent) for path in there or files})
        rows.append({"name": one, "about": data.about, "files": len(files), "there": len(there), "folders": folders,
                     "download": data.size if isinstance(data, Source) else None})
    return _told(as_json, rows, lambda: [f"{row['name']:18} {row['about']:23} {_state(row)}" for row in rows])


def _state(row: dict[str, Any]) -> str:
    folders = " and ".join(row["folders"])
    if not row["there"]:
        return f"not here; `tinynet data fetch {row['name']}` puts {row['download']} into {folders}"
    return f"{row['there']} of {row['files']} file{'s' * (row['files'] > 1)} in {folders}"


def verify(name: str | None, folder: Folder, as_json: bool) -> int:
    """Check the files that are there, or a packed one; returns the exit status, 1 if something is corrupt, or nothing
    is there of the set that was named."""
    rows = []
    if name is None or name in NAMES:
        for source, path in ((data, path) for _, data in _chosen(name, folder) for path in data.places(folder)):
            rows.append({"path": str(path), **_checked(path, source.check)})
    elif not Path(name).exists():
        raise UnknownName(f"{name} is neither a file nor a data set; there are {', '.join(NAMES)}")
    else:
        rows.append({"path": name, **_checked(Path(name), unpack)})
    problem = None
    if any(row["state"] == "CORRUPT" for row in rows):
        problem = "delete what is corrupt and fetch it again" if name is None or name in NAMES else rows[0]["problem"]
    elif name is not None and all(row["state"] == "missing" for row in rows):
        problem = f"nothing of {name} is here: `tinynet data fetch {name}` downloads it"
    status = _told(as_json, rows, lambda: [f"{row['state']:8} {row['path']}" for row in rows])
    if problem is not None:
        print(f"tinynet: error: {problem}", file=sys.stderr)
        return 1
    return status


def _checked(path: Path, check: Callable[[Path], Any]) -> dict[str, str]:
    if not path.exists():
        return {"state": "missing"}
    try:
        check(path)
    except (RuntimeError, ValueError) as problem:
        return {"state": "CORRUPT", "problem": str(problem)}
    return {"state": "ok"}


def fetch(name: str, folder: Folder, as_json: bool) -> int:
    """Download what is missing of a data set, check all, and say where it is; returns the exit status."""
    paths = [str(path) for path in (SOURCES[name].fetch(folder) if name in SOURCES else [SHIPPED[name].file()])]
    return _told(as_json, {"name": name, "files": paths}, lambda: paths)


def pack_up(source: Path, out: Path | None, image_size: tuple[int, int] | None, grey: bool, table: dict[str, Any],
            as_json: bool) -> int:
    """Pack a folder of images or a CSV file, and say what is in it; returns the exit status. table: the arguments of
    read_csv()."""
    if source.is_dir():
        data: Any = ImageFolder(source, size=image_size, mode="L" if grey else "RGB")
        source = source.resolve()  # . has no name
    else:
        with hints_as(OPTIONS):
            data = read_csv(source, one_hot=True, **table)
    out = out or Path(f"{source.name.removesuffix('.gz').removesuffix('.csv')}.npz")
    pack(data, out)
    packed = unpack(out)  # as it will be read
    found: dict[str, Any] = {"file": str(out), "bytes": out.stat().st_size, "md5": md5_of(out), "samples": len(packed),
                             "shapes": [list(t.shape[1:]) for t in packed.tensors]}
    found |= {name: getattr(packed, name, None) for name in ("classes", "features", "target")}
    return _told(as_json, found, lambda: _about(packed, found))


def _about(packed: Any, found: dict[str, Any]) -> list[str]:
    classes = "" if found["classes"] is None else f" of {len(found['classes'])} classes: {listed(found['classes'])}"
    if isinstance(packed, Images):
        what = f"images, {' x '.join(map(str, found['shapes'][0]))}{classes}"
    elif isinstance(packed, Table) and packed.target is not None:
        what = f"rows, {len(packed.features)} features to predict {packed.target!r}{classes}"
    else:
        what = f"rows, {len(found['features'])} features"
    return [f"{found['samples']:,} {what}", f"{found['file']}  {size(found['bytes'])}  MD5 {found['md5']}"]


def _told(as_json: bool, found: Any, lines: Callable[[], list[str]]) -> int:
    print(json.dumps(found, indent=2) if as_json else "\n".join(lines()))
    return 0
