"""The fetcher, against mirrors on this machine: whole files or none, resumed where they broke off."""
from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from tinynet.data import download
from tinynet.data.download import cache_dir, fetch, verify

NAME = "some.bin"
CONTENT = np.random.default_rng(0).bytes(300_000)
MD5 = hashlib.md5(CONTENT).hexdigest()
FILES = {NAME: CONTENT}


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def get(folder, *mirrors):
    path = fetch(NAME, [m.url for m in mirrors], MD5, folder)
    assert path == folder / NAME and path.read_bytes() == CONTENT
    assert names(folder) == [NAME]


def test_a_file_is_fetched_and_progress_goes_to_stderr(tmp_path, capsys, Mirror):
    with Mirror(FILES) as mirror:
        get(tmp_path / "made" / "on the way", mirror)
    out, err = capsys.readouterr()
    assert out == "" and NAME in err and "300k/300k" in err
    assert mirror.requests == [(NAME, None)]


def test_what_is_there_already_is_not_fetched_again(tmp_path, Mirror):
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT[:200_000])
    with Mirror(FILES) as mirror:
        get(tmp_path, mirror)
    assert mirror.requests == [(NAME, "bytes=200000-")] and mirror.sent == 100_000


def test_a_mirror_without_ranges_sends_everything_again(tmp_path, Mirror):
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT[:200_000])
    with Mirror(FILES, ranges=False) as mirror:
        get(tmp_path, mirror)
    assert mirror.sent == 300_000


def test_the_next_mirror_continues_what_one_broke_off(tmp_path, Mirror):
    with Mirror(FILES, cut=120_000) as one, Mirror(FILES) as two:
        get(tmp_path, one, two)
    assert two.requests == [(NAME, "bytes=120000-")]


def test_a_missing_file_and_a_dead_mirror_send_us_to_the_next(tmp_path, Mirror):
    with Mirror() as dead:
        pass
    with Mirror(status=503) as ill, Mirror() as empty, Mirror(FILES) as good:
        get(tmp_path, dead, ill, empty, good)


def test_a_wrong_file_is_thrown_away_and_the_next_mirror_starts_afresh(tmp_path, Mirror):
    with Mirror({NAME: CONTENT[:-1] + b"?"}) as wrong, Mirror(FILES) as good:
        get(tmp_path, wrong, good)
    assert good.requests == [(NAME, None)]


def test_a_wrong_part_does_not_cost_us_the_mirror(tmp_path, Mirror):
    (tmp_path / f"{NAME}.part").write_bytes(b"?" * 1000)
    with Mirror(FILES) as mirror:
        get(tmp_path, mirror)
    assert mirror.requests == [(NAME, "bytes=1000-"), (NAME, None)]


@pytest.mark.parametrize("part", [CONTENT, b"?" * 300_001])
def test_a_part_as_long_as_the_file(tmp_path, part, Mirror):
    """The mirror answers 416: there is nothing to resume. The checksum decides whether that is good news."""
    (tmp_path / f"{NAME}.part").write_bytes(part)
    with Mirror(FILES) as mirror:
        get(tmp_path, mirror)


def test_if_all_fail_one_error_tells_why_each_did_and_what_to_do(tmp_path, Mirror):
    with Mirror() as dead:
        pass
    with Mirror(status=503) as ill, Mirror({NAME: b"?"}) as wrong, pytest.raises(RuntimeError) as caught:
        fetch(NAME, [dead.url, ill.url, wrong.url], MD5, tmp_path)
    message = str(caught.value)
    assert f"could not download {NAME}" in message
    assert f"{dead.url}{NAME}: [Errno" in message and "refused" in message
    assert f"{ill.url}{NAME}: HTTP status 503" in message
    actual = hashlib.md5(b"?").hexdigest()
    assert f"{wrong.url}{NAME}: wrong checksum: MD5 {actual}, expected {MD5}" in message
    assert f"put it at {tmp_path / NAME}" in message
    assert names(tmp_path) == []


def test_what_came_before_the_last_mirror_broke_off_is_kept(tmp_path, Mirror):
    broken = pytest.raises(RuntimeError, match="the connection ended after 120,000 of 300,000 bytes")
    with Mirror(FILES, cut=120_000) as mirror, broken:
        fetch(NAME, [mirror.url], MD5, tmp_path)
    assert names(tmp_path) == [f"{NAME}.part"]
    assert (tmp_path / f"{NAME}.part").read_bytes() == CONTENT[:120_000]


def test_an_interruption_leaves_the_part_and_nothing_else(tmp_path, monkeypatch, Mirror):
    class Interrupted:
        def __init__(self, **_): pass
        def __enter__(self): return self
        def __exit__(self, *_): pass
        def update(self, _): raise KeyboardInterrupt

    with Mirror(FILES) as mirror:
        with monkeypatch.context() as patch:
            patch.setattr(download, "progress", Interrupted)
            with pytest.raises(KeyboardInterrupt):
                fetch(NAME, [mirror.url], MD5, tmp_path)
        assert names(tmp_path) == [f"{NAME}.part"]
        assert (tmp_path / f"{NAME}.part").read_bytes() == CONTENT[:download.CHUNK]
        get(tmp_path, mirror)
    assert mirror.requests[-1] == (NAME, f"bytes={download.CHUNK}-")


SCRIPT = "import sys; from pathlib import Path; from tinynet.data.download import fetch\n"


@pytest.mark.skipif(os.name == "nt", reason="needs kill -9")
def test_a_killed_process_leaves_the_part_and_nothing_else(tmp_path, Mirror):
    with Mirror(FILES, pause=0.01) as mirror:
        code = f"{SCRIPT}fetch({NAME!r}, [{mirror.url!r}], {MD5!r}, Path({str(tmp_path)!r}))"
        process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
        while mirror.sent < 150_000:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert names(tmp_path) == [f"{NAME}.part"]
    with Mirror(FILES) as mirror:
        get(tmp_path, mirror)


@pytest.mark.skipif(os.name == "nt", reason="needs RLIMIT_FSIZE")
def test_a_full_disk_is_told_as_such(tmp_path, Mirror):
    with Mirror(FILES) as one, Mirror(FILES) as two:
        code = ("import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n" + SCRIPT +
                f"fetch({NAME!r}, [{one.url!r}, {two.url!r}], {MD5!r}, Path({str(tmp_path)!r}))")
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert f"RuntimeError: could not write {tmp_path / NAME}" in run.stderr
    assert "Make room for it" in run.stderr
    assert len(one.requests) == 1 and two.requests == []
    assert names(tmp_path) == [f"{NAME}.part"]


def test_a_folder_that_cannot_be_made_is_told_as_such(tmp_path, Mirror):
    (tmp_path / "file").write_text("")
    with Mirror(FILES) as mirror, pytest.raises(RuntimeError, match=r"could not write .*file.*TINYNET_CACHE"):
        fetch(NAME, [mirror.url], MD5, tmp_path / "file")
    assert mirror.requests == []


@pytest.mark.skipif(download.fcntl is None, reason="Windows has no locks of this kind")
def test_two_at_once_fetch_once(tmp_path, Mirror):
    problems = []

    def one():
        try:
            assert fetch(NAME, [mirror.url], MD5, tmp_path).read_bytes() == CONTENT
        except BaseException as e:  # raised in a thread, it would be lost
            problems.append(e)

    with Mirror(FILES, pause=0.001) as mirror:
        threads = [threading.Thread(target=one) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert problems == [] and names(tmp_path) == [NAME]
    assert mirror.requests == [(NAME, None)]


def test_verify_names_the_file_the_sums_and_the_remedy(tmp_path):
    path = tmp_path / NAME
    with pytest.raises(RuntimeError, match=f"{NAME} is missing"):
        verify(path, MD5)
    path.write_bytes(CONTENT[:1234])
    actual = hashlib.md5(CONTENT[:1234]).hexdigest()
    with pytest.raises(RuntimeError, match=f"its 1,234 bytes have MD5 {actual}, expected {MD5}.*Delete it"):
        verify(path, MD5)
    path.write_bytes(CONTENT)
    verify(path, MD5)


def test_the_cache_is_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("TINYNET_CACHE", str(tmp_path / "mine"))
    assert cache_dir() == tmp_path / "mine"
    monkeypatch.delenv("TINYNET_CACHE")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_dir() == tmp_path / "tinynet"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert cache_dir() == tmp_path / ".cache" / "tinynet"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cache_dir() == tmp_path / "Library" / "Caches" / "tinynet"
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "Local"))
    assert cache_dir() == tmp_path / "Local" / "tinynet" / "cache"


def test_the_network_is_loaded_by_those_who_download():
    code = ("import sys, tinynet; tinynet.data.datasets.names()\n"
            "rare = 'urllib.request', 'http.client', 'ssl', 'email', 'tarfile'\n"
            "sys.exit(str([module for module in rare if module in sys.modules]))")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stderr == "[]\n"


def test_a_mirror_may_have_the_file_under_another_name(tmp_path, Mirror):
    with Mirror({"their.txt": CONTENT}) as one, Mirror() as none:
        with pytest.raises(RuntimeError, match=f"  {none.url}their.txt: HTTP status 404"):
            fetch(NAME, [f"{none.url}their.txt"], MD5, tmp_path)
        assert fetch(NAME, [f"{one.url}their.txt"], MD5, tmp_path).read_bytes() == CONTENT
    assert names(tmp_path) == [NAME]
