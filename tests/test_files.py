"""whole_file: a file is whole or not there, whatever happens while it is written, and nothing is left beside it."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import tempfile
from io import FileIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinynet as tn
import tinynet.files
from tinynet.files import whole_file

posix = pytest.mark.skipif(os.name != "posix", reason="needs locks of open files")
OLD, NEW = b"what was there", bytes(range(256)) * 800


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def write(path, data=NEW, step=7_777):
    with whole_file(path) as file:
        for k in range(0, len(data), step):
            file.write(data[k : k + step])


def child(code: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(tn.__file__).parents[1])}
    command = [sys.executable, "-W", "ignore", "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder, timeout=60)


def test_the_name_is_given_at_the_end(tmp_path):
    (tmp_path / "x").write_bytes(OLD)
    with whole_file(tmp_path / "x") as file:
        file.write(NEW)
        assert (tmp_path / "x").read_bytes() == OLD
    assert contents(tmp_path) == {"x": NEW}


# --- the disk is full, or fails -----------------------------------------------------------------------------
@given(st.integers(0, len(NEW) - 1), st.booleans(), st.sampled_from([errno.ENOSPC, errno.EDQUOT, errno.EIO]))
def test_a_disk_that_is_full_at_any_byte(tmp_path_factory, room, anew, number):
    class Full(FileIO):
        """A file on a disk that has room for so many bytes more."""

        def write(self, data):
            left = room - self.tell()
            if left < len(data):
                super().write(data[: max(left, 0)])
                raise OSError(number, os.strerror(number))
            return super().write(data)

    folder = tmp_path_factory.mktemp("full")
    if not anew:
        (folder / "x").write_bytes(OLD)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(OSError, match="could not write the file: ") as caught:
        patch.setattr(tinynet.files, "open", Full, raising=False)
        write(folder / "x")
    assert caught.value.errno == number and caught.value.filename == str(folder / "x")
    assert contents(folder) == ({} if anew else {"x": OLD})


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_a_disk_that_fails_at_the_end(tmp_path, monkeypatch, step, number):
    def fail(*_):
        raise OSError(number, os.strerror(number))

    (tmp_path / "x").write_bytes(OLD)
    with monkeypatch.context() as patch, pytest.raises(OSError, match=os.strerror(number)) as caught:
        patch.setattr(os, step, fail)
        write(tmp_path / "x")
    assert caught.value.errno == number and contents(tmp_path) == {"x": OLD}


LIMITED = """
import resource, sys
import tinynet as tn
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
tn.save({"step": 2, "weights": tn.full((20_000,), 2.0)}, "x")
"""


@posix
@pytest.mark.parametrize("most", [1, 50_001])
def test_a_process_that_may_write_no_more_leaves_the_old_checkpoint(tmp_path, most):
    tn.save({"step": 1}, tmp_path / "x")
    done = child(LIMITED, tmp_path, str(most))
    assert done.returncode == 1 and "could not write the file: File too large: 'x'" in done.stderr
    assert [*contents(tmp_path)] == ["x"] and tn.load(tmp_path / "x") == {"step": 1}


# --- a folder that cannot be written to ---------------------------------------------------------------------
READ_ONLY = """
import os, sys
import tinynet as tn
if os.geteuid() == 0:
    os.seteuid(65534)  # nothing stops root
try:
    tn.save({"step": 2}, sys.argv[1])
except OSError as error:
    print(type(error).__name__, error)
"""


@posix
def test_a_folder_that_may_not_be_written_to(tmp_path):
    with tempfile.TemporaryDirectory() as name:  # not tmp_path, into which only its owner can look
        folder = Path(name)
        tn.save({"step": 1}, folder / "x")
        folder.chmod(0o555)
        done = child(READ_ONLY, tmp_path, str(folder / "x"))
        folder.chmod(0o755)
        said = f"PermissionError [Errno 13] could not write the file: Permission denied: '{folder / 'x'}'\n"
        assert done.stdout == said, done.stderr
        assert [*contents(folder)] == ["x"] and tn.load(folder / "x") == {"step": 1}


@pytest.mark.parametrize(("name", "error"), [
    ("no/such/x", FileNotFoundError),
    ("file/x", NotADirectoryError),
    (".", OSError),
    ("n" * 300, OSError),
])  # fmt: skip
def test_a_path_where_no_file_can_be(tmp_path, name, error):
    (tmp_path / "file").write_bytes(OLD)
    with pytest.raises(error, match="could not write the file: "):
        write(tmp_path / name)
    assert contents(tmp_path) == {"file": OLD}


# --- what a process that was killed left --------------------------------------------------------------------
KILLED = """
import os, signal
from tinynet.files import whole_file
with whole_file("x") as file:
    file.write(b"half of it")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


@posix
def test_the_next_save_clears_away_what_a_killed_one_left(tmp_path):
    (tmp_path / "x").write_bytes(OLD)
    for _ in range(2):
        assert child(KILLED, tmp_path).returncode == -signal.SIGKILL
        left = contents(tmp_path)
        assert len(left) == 2 and left["x"] == OLD and b"half of it" in left.values()
    write(tmp_path / "x")
    assert contents(tmp_path) == {"x": NEW}


WRITING = """
import sys
from tinynet.files import whole_file
with whole_file("x") as file:
    file.write(b"of the other")
    file.flush()
    print("writing", flush=True)
    sys.stdin.read()
"""


@posix
def test_what_another_process_is_writing_stays(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(Path(tn.__file__).parents[1])}
    command = [sys.executable, "-W", "ignore", "-c", WRITING]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, cwd=tmp_path) as it:
        assert it.stdout.readline() == b"writing\n"
        for _ in range(2):
            write(tmp_path / "x")
            assert len(contents(tmp_path)) == 2 and contents(tmp_path)["x"] == NEW
        it.stdin.close()
    assert it.returncode == 0 and contents(tmp_path) == {"x": b"of the other"}


@posix
def test_what_this_process_is_writing_stays(tmp_path):
    with whole_file(tmp_path / "x") as file:
        file.write(b"the outer one")
        write(tmp_path / "x")
        assert contents(tmp_path)["x"] == NEW
    assert contents(tmp_path) == {"x": b"the outer one"}


@posix
@pytest.mark.parametrize("name", [".x.part", ".x.0123456.part", ".x.0123456g.part", "x.01234567.part", ".x.01234567",
                                  ".y.01234567.part", ".x.01234567.part.bak", "..01234567.part", ".xx.01234567.part"])
def test_files_of_other_names_are_nobodys_parts(tmp_path, name):
    (tmp_path / name).write_bytes(OLD)
    (tmp_path / ".x.01234567.part").mkdir()
    (tmp_path / ".x.abcdef01.part").symlink_to("/dev/null")
    write(tmp_path / "x")
    assert (tmp_path / name).read_bytes() == OLD and (tmp_path / "x").read_bytes() == NEW
    assert (tmp_path / ".x.01234567.part").is_dir() and (tmp_path / ".x.abcdef01.part").is_symlink()


@posix
def test_a_part_that_is_cleared_away_before_it_is_locked_is_begun_again(tmp_path, monkeypatch):
    lock, stolen = tinynet.files.fcntl.flock, []

    def late(file, how):
        if not stolen:
            stolen.append(Path(file.name))
            stolen[0].unlink()
        lock(file, how)

    monkeypatch.setattr(tinynet.files.fcntl, "flock", late)
    write(tmp_path / "x")
    assert stolen and contents(tmp_path) == {"x": NEW}


@posix
def test_a_file_system_without_locks_is_written_to_all_the_same(tmp_path, monkeypatch):
    def none(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    (tmp_path / ".x.01234567.part").write_bytes(OLD)
    monkeypatch.setattr(tinynet.files.fcntl, "flock", none)
    write(tmp_path / "x")
    assert contents(tmp_path) == {"x": NEW, ".x.01234567.part": OLD}


def test_without_locks_at_all_as_on_windows(tmp_path, monkeypatch):
    monkeypatch.setattr(tinynet.files, "fcntl", None)
    replace, closed = os.replace, []
    monkeypatch.setattr(os, "replace", lambda part, target: (closed.append(file.closed), replace(part, target)))
    with whole_file(tmp_path / "x") as file:
        file.write(NEW)
    assert closed == [True] and contents(tmp_path) == {"x": NEW}
