"""safetensors: what is saved comes back, and a file is whole or not there."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load_file

import tinynet as tn
from tinynet import nn
from tinynet.dtypes import SUPPORTED
from tinynet.testing import arrays, shapes


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("weights")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@given(st.dictionaries(st.text(max_size=8), st.sampled_from(SUPPORTED).flatmap(
    lambda dtype: arrays(shapes(min_dims=0, max_dims=4, min_side=0), dtype=dtype)), max_size=5))  # fmt: skip
def test_any_tensors_come_back(folder, drawn):
    path = folder / "any.safetensors"
    tn.io.save_safetensors({name: tn.tensor(a) for name, a in drawn.items()}, path)
    back = tn.io.load_safetensors(path)
    assert back.keys() == drawn.keys()
    for name, a in drawn.items():
        assert back[name].dtype == a.dtype and back[name].shape == a.shape
        np.testing.assert_array_equal(back[name].numpy(), a)


@pytest.mark.parametrize("view", [
    lambda x: x.T,
    lambda x: x[::2, 1::2],
    lambda x: x.flip(0).permute(1, 0),
    lambda x: x[1],
    lambda x: x[:, :1].expand(4, 6),
    lambda x: x[2, 3],
    lambda x: x[4:],
])  # fmt: skip
def test_a_view_is_saved_as_what_it_shows(tmp_path, view):
    x = view(tn.arange(24).reshape(4, 6))
    tn.io.save_safetensors({"x": x}, tmp_path / "x")
    back = tn.io.load_safetensors(tmp_path / "x")["x"]
    assert back.shape == x.shape and back.tolist() == x.tolist()


def test_what_is_loaded_can_be_written_to_and_trained():
    path = "weights.safetensors"
    tn.io.save_safetensors({"w": tn.ones(3, requires_grad=True) * 2}, path)
    w = tn.io.load_safetensors(path, device="cpu")["w"]
    w += 1
    w.requires_grad_()
    (w * w).sum().backward()
    assert w.grad.tolist() == [6.0, 6.0, 6.0]
    assert tn.io.load_safetensors(path)["w"].tolist() == [2.0, 2.0, 2.0], "the file changed with the tensor"


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)
        self.last.weight = self.first.weight


def test_tied_weights_are_written_under_both_names_and_stay_tied(tmp_path):
    tied = Tied()
    tn.io.save_safetensors(tied.state_dict(), tmp_path / "tied")
    assert [*load_file(tmp_path / "tied")] == ["first.weight", "last.weight"]
    other = Tied()
    assert other.load_state_dict(tn.io.load_safetensors(tmp_path / "tied")) == ([], [])
    assert other.last.weight is other.first.weight and other.last.weight.equal(tied.last.weight)


def test_metadata_is_there_for_other_readers(tmp_path):
    tn.io.save_safetensors({"x": tn.ones(1)}, tmp_path / "x", metadata={"format": "pt", "epoch": "3"})
    with safe_open(tmp_path / "x", framework="numpy") as file:
        assert file.metadata() == {"format": "pt", "epoch": "3"}
    assert [*tn.io.load_safetensors(tmp_path / "x")] == ["x"]


def test_no_tensors_are_a_file_too(tmp_path):
    tn.io.save_safetensors({}, str(tmp_path / "none"))
    assert tn.io.load_safetensors(str(tmp_path / "none")) == {}


# --- whole or not there -------------------------------------------------------------------------------------
def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class Failure(BaseException):
    """As Ctrl-C is: no Exception."""


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_what_fails_half_way_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, step):
    def fail(*_):
        raise Failure

    tn.io.save_safetensors({"x": tn.zeros(3)}, tmp_path / "x")
    with monkeypatch.context() as broken, pytest.raises(Failure):
        broken.setattr(os, step, fail)
        tn.io.save_safetensors({"x": tn.ones(3)}, tmp_path / "x")
    assert names(tmp_path) == ["x"] and tn.io.load_safetensors(tmp_path / "x")["x"].tolist() == [0, 0, 0]


def test_a_full_disk_is_an_error_that_names_the_file(tmp_path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"could not write the file: No space left on device: '.*weights'"):
        tn.io.save_safetensors({"x": tn.ones(3)}, tmp_path / "weights")
    assert names(tmp_path) == []


def test_the_bytes_are_on_the_disk_before_the_name_is(tmp_path, monkeypatch):
    order = []
    for step in ("fsync", "replace"):
        real = getattr(os, step)
        monkeypatch.setattr(os, step, lambda *a, real=real, step=step: (order.append(step), real(*a)))
    tn.io.save_safetensors({"x": tn.ones(3)}, tmp_path / "x")
    assert order == ["fsync", "replace", "fsync"], "the last is the folder's"


def test_a_link_stays_a_link_and_rights_are_those_of_any_file(tmp_path):
    (tmp_path / "plain").touch()
    (tmp_path / "link").symlink_to(tmp_path / "target")
    tn.io.save_safetensors({"x": tn.ones(3)}, tmp_path / "link")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "target").is_file()
    assert (tmp_path / "target").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_whoever_reads_while_another_writes_sees_one_of_the_two(tmp_path):
    path, stop, seen = tmp_path / "x", threading.Event(), set()
    tn.io.save_safetensors({"x": tn.zeros(50_000)}, path)

    def write():
        k = 0
        while not stop.is_set():
            k = 1 - k
            tn.io.save_safetensors({"x": tn.full((50_000,), k)}, path)

    writers = [threading.Thread(target=write) for _ in range(2)]
    for thread in writers:
        thread.start()
    try:
        for _ in range(40):
            found = tn.io.load_safetensors(path)["x"].unique().tolist()
            assert len(found) == 1
            seen.update(found)
    finally:
        stop.set()
        for thread in writers:
            thread.join()
    assert seen <= {0, 1} and names(tmp_path) == ["x"]


# --- bad input ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("call", "error", "text"), [
    (lambda: tn.io.save_safetensors(nn.Linear(2, 1), "x"), TypeError, r"tensors must map names.*\.state_dict\(\)"),
    (lambda: tn.io.save_safetensors([tn.ones(1)], "x"), TypeError, "must map names to values, got list"),
    (lambda: tn.io.save_safetensors({1: tn.ones(1)}, "x"), TypeError, "names in tensors must be strings, got 1"),
    (lambda: tn.io.save_safetensors({"a": [1.0]}, "x"), TypeError, "'a' is of type list"),
    (lambda: tn.io.save_safetensors({"a": np.ones(1)}, "x"), TypeError, "'a' is of type ndarray"),
    (lambda: tn.io.save_safetensors({"__metadata__": tn.ones(1)}, "x"), ValueError, "rename that tensor"),
    (lambda: tn.io.save_safetensors({}, "x", metadata={"epoch": 3}), TypeError, r"metadata\['epoch'\] must be a str"),
    (lambda: tn.io.save_safetensors({}, "x", metadata="pt"), TypeError, "metadata must map names to values, got str"),
    (lambda: tn.io.save_safetensors({}, "no/such/x"), FileNotFoundError, "no/such/x"),
    (lambda: tn.io.save_safetensors({}, "."), OSError, r"could not write.*'\.'"),
    (lambda: tn.io.load_safetensors("absent"), FileNotFoundError, "absent"),
    (lambda: tn.io.load_safetensors("."), IsADirectoryError, r"'\.'"),
    (lambda: tn.io.load_safetensors("absent", device="tpu"), RuntimeError, "Expected one of cpu, cuda device type"),
])  # fmt: skip
def test_bad_input(tmp_path, call, error, text):
    with pytest.raises(error, match=text):
        call()
    assert names(tmp_path) == [], "something was written"


def whole() -> bytes:
    tn.io.save_safetensors({"a": tn.arange(6).reshape(2, 3), "b": tn.tensor(0.5)}, "whole", {"k": "v"})
    return Path("whole").read_bytes()


@pytest.mark.parametrize("damage", [
    lambda data: b"",
    lambda data: data[:5],
    lambda data: data[:-1],
    lambda data: data[:40],
    lambda data: data + b"\0",
    lambda data: b"\xff" * 8 + data[8:],
    lambda data: data.replace(b'"I64"', b'"I65"'),
    lambda data: data.replace(b"[2,3]", b"[2,4]"),
    lambda data: b"PK\x03\x04" + bytes(60),
    lambda data: b"\x80\x04\x95 pickled weights, as torch.save writes them" * 3,
])  # fmt: skip
def test_a_file_that_is_damaged_or_foreign(damage):
    Path("weights.bin").write_bytes(damage(whole()))
    with pytest.raises(ValueError, match=r"^weights\.bin is not a safetensors file, or is damaged or cut off: \w"):
        tn.io.load_safetensors("weights.bin")


@pytest.mark.parametrize("load", [tn.load, tn.io.load_safetensors])
@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_numpys_own_files_are_not_called_pickles(load, write):
    write("n.npz", weight=np.ones(2))
    with pytest.raises(ValueError, match=r"it is NumPy's \.npz: np\.load reads it.*tn\.data\.unpack") as caught:
        load("n.npz")
    assert "pickle" not in str(caught.value)


def test_pytorchs_own_files_are_called_pickles():
    with zipfile.ZipFile("model.pt", "w") as archive:
        archive.writestr("model/data.pkl", b"")
    with pytest.raises(ValueError, match=r"it looks like a pickle, as torch\.save writes it"):
        tn.load("model.pt")


@given(st.data())
def test_no_damage_gives_any_other_error(folder, data):
    contents = bytearray(whole())
    for _ in range(data.draw(st.integers(1, 3))):
        contents[data.draw(st.integers(0, len(contents) - 1))] = data.draw(st.integers(0, 255))
    path = folder / "damaged"
    path.write_bytes(contents)
    try:
        tn.io.load_safetensors(path)  # no checksum: damaged numbers are numbers
    except ValueError as error:
        assert str(path) in str(error)


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32, np.uint64, np.complex64])
def test_a_dtype_that_is_not_here(dtype):
    from safetensors.numpy import save_file

    save_file({"fine": np.ones(2), "layer.w": np.ones(2, dtype)}, "foreign")
    with pytest.raises(ValueError, match=r"^foreign has tensors of dtypes that tinynet has not: 'layer.w' \(\w+\)\. "):
        tn.io.load_safetensors("foreign")


# --- headers that are hostile -------------------------------------------------------------------------------
def entry(*offsets, shape=(2,), dtype="F32"):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def forge(header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    Path("forged").write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)


NO = r"^forged is not a safetensors file, or is damaged or cut off: "


@pytest.mark.parametrize(("header", "data"), [
    ({"a": entry(0, 8), "b": entry(4, 12)}, 12),  # they overlap
    ({"a": entry(0, 8), "b": entry(0, 8)}, 8),
    ({"a": entry(8, 16)}, 16),  # a gap before it
    ({"a": entry(0, 8)}, 16),  # something behind it
    ({"a": entry(0, 8)}, 7),
    ({"a": entry(8, 0)}, 8),
    ({"a": entry(-8, 0)}, 8),
    ({"a": entry(0.0, 8.0)}, 8),
    ({"a": entry(0, 8, 16)}, 8),
    ({"a": entry(0, 2**64 - 1)}, 8),
    ({"a": entry(0, 2**64)}, 8),
    ({"a": entry(0, 8, shape=(2**62, 4))}, 8),
    ({"a": entry(0, 0, shape=(2**32, 2**32))}, 0),
    ({"a": entry(0, 8, shape=(-1, -2))}, 8),
    ({"a": entry(0, 2**42, shape=(2**40,))}, 8),
    ({"a": entry(0, 0, shape=(0, 2**61))}, 0),
    ({"a": entry(0, 4, shape=(1,) * 200)}, 4),
    ({"a": entry(0, 8, dtype="O8")}, 8),
    ({"a": 1}, 0),
    ({"__metadata__": {"k": 1}}, 0),
    ([], 0),
    (b"null", 0),
    (b"{" * 200, 0),
    (b'{"a":' * 100_000, 0),
    (b'{"a":{},"a":{}}', 0),
    (b'{"\xff": {}}', 0),
])  # fmt: skip
def test_a_header_that_lies(header, data):
    forge(header, bytes(data))
    with pytest.raises(ValueError, match=NO):
        tn.io.load_safetensors("forged")


@pytest.mark.parametrize("length", [0, 1, 3, 100, 10**8 + 1, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1])
def test_a_header_of_another_length_than_it_says(length):
    forge({"a": entry(0, 8)}, bytes(8), length)
    with pytest.raises(ValueError, match=NO):
        tn.io.load_safetensors("forged")


LIMITED = """
import resource
import tinynet as tn
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 64_000_000, resource.RLIM_INFINITY))
for k in range(3):
    try:
        tn.load(f"forged{k}")
    except ValueError as error:
        print(str(error)[:10])
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's count of a process's memory")
def test_a_small_file_never_takes_much_memory():
    """Whatever it says of itself: a process that may take only 64 MB more reads it."""
    wide = json.dumps({"version": 1, "object": [[]] * 100_000})
    for k, (header, length) in enumerate((({"a": entry(0, 2**42, shape=(2**40,))}, None), ({"a": entry(0, 8)}, 2**40),
                                          ({"__metadata__": {"tinynet": wide[:-1] + "x"}}, None))):
        forge(header, bytes(8 if "a" in header else 0), length)
        Path("forged").rename(f"forged{k}")
    environment = {**os.environ, "PYTHONPATH": str(Path(tn.__file__).parents[1])}
    command = [sys.executable, "-W", "ignore", "-c", LIMITED]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert done.stdout == "forged0 is\nforged1 is\nforged2 is\n", done.stderr


@pytest.mark.skipif(os.name != "posix", reason="needs a pipe with a name")
@pytest.mark.parametrize("load", [tn.load, tn.io.load_safetensors, tn.data.unpack])
def test_a_device_or_a_pipe_is_not_waited_for(load):
    os.mkfifo("pipe")
    for path in ("pipe", "/dev/zero"):
        with pytest.raises(OSError, match=f"is no file, but a device or a pipe: '{path}'"):
            load(path)
