"""tn.save and tn.load: what is saved comes back, nothing is run, and a file is whole or not there."""

from __future__ import annotations

import json
import math
import os
import pickle
import struct
import subprocess
import sys
import zipfile
from collections import Counter, OrderedDict, namedtuple
from io import FileIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

import tinynet as tn
import tinynet.files
from tinynet import nn
from tinynet.checkpoint import checksum
from tinynet.dtypes import SUPPORTED
from tinynet.testing import arrays, shapes


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("checkpoints")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def same(a, b):
    """Equal to the last bit, and of the same types."""
    if type(a) is not type(b) and not (isinstance(a, tn.Tensor) and isinstance(b, tn.Tensor)):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, (tn.Tensor, np.ndarray)):
        a, b = (t.numpy() if isinstance(t, tn.Tensor) else t for t in (a, b))
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    return a == b or (isinstance(a, float) and math.isnan(a) and math.isnan(b))


# --- what is saved comes back -------------------------------------------------------------------------------
anything = st.sampled_from(SUPPORTED).flatmap(
    lambda dtype: arrays(shapes(min_dims=0, max_dims=3, min_side=0), dtype=dtype))  # fmt: skip
plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
keys = plain.filter(lambda x: x == x) | st.tuples(st.integers(), st.text(max_size=3))
objects = st.recursive(
    plain | st.text(st.characters(), max_size=3) | anything | anything.map(tn.tensor),
    lambda inner: st.lists(inner, max_size=3) | st.lists(inner, max_size=3).map(tuple) | st.dictionaries(
        keys, inner, max_size=3) | st.dictionaries(keys, inner, max_size=3).map(OrderedDict), max_leaves=8)  # fmt: skip


@given(objects)
def test_any_object_comes_back(folder, obj):
    tn.save(obj, folder / "any")
    assert same(obj, tn.load(folder / "any"))


@pytest.mark.parametrize("obj", [
    tn.tensor(3.5), None, {}, (), [[]], {"": {"": tn.zeros(0)}}, {1: tn.ones(1), "1": tn.zeros(1), None: 2},
    {"__metadata__": tn.ones(2)}, {"a.b": tn.ones(1), "a": {"b": tn.zeros(1)}}, 10**100, -0.0, Counter("abca"),
    {"dict": {"tensor": "x"}}, "\ud800", {"\ud800": tn.ones(1)}, {("a", (1, None)): 1},
])  # fmt: skip
def test_objects_that_are_easily_confused(obj):
    tn.save(obj, "x")
    assert same(obj, tn.load("x"))


def test_the_order_is_kept():
    names = [*"hinata", 3, None]
    tn.save(dict.fromkeys(names), "x")
    assert list(tn.load("x")) == list(dict.fromkeys(names))


def test_numbers_of_numpy_become_those_of_python():
    tn.save([np.float64(0.1), np.float32(0.1), np.int64(3), np.bool_(True)], "x")
    assert same(tn.load("x"), [0.1, float(np.float32(0.1)), 3, True])


def test_a_parameter_comes_back_as_a_tensor_to_be_written_to():
    layer = nn.Linear(2, 1)
    tn.save(layer.weight, "w")
    back = tn.load("w", map_location="cpu", weights_only=True)
    assert type(back) is tn.Tensor and not back.requires_grad and tn.equal(back, layer.weight)
    back += 1


def test_a_state_dict_is_a_file_for_safetensors():
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    tn.save(model.state_dict(), "m.safetensors")
    assert load_file("m.safetensors").keys() == model.state_dict().keys()
    assert [*tn.io.load_safetensors("m.safetensors")] == sorted(model.state_dict())


SCHEDULES = {
    "StepLR": lambda S, o: S.StepLR(o, 2),
    "MultiStepLR": lambda S, o: S.MultiStepLR(o, [1, 3]),
    "LambdaLR": lambda S, o: S.LambdaLR(o, lambda t: 1 / (1 + t)),
    "OneCycleLR": lambda S, o: S.OneCycleLR(o, 0.1, 20, cycle_momentum=type(o) is not tn.optim.Adagrad),
    "ReduceLROnPlateau": lambda S, o: S.ReduceLROnPlateau(o, patience=0),
    "SequentialLR": lambda S, o: S.SequentialLR(o, [S.LinearLR(o, 0.5), S.CosineAnnealingLR(o, 5)], [2]),
}


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("optimizer", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "NAdam", "Muon"])
def test_states_of_optimizers_and_schedules_come_back_and_go_on_the_same(optimizer, schedule):
    def make():
        model = nn.Linear(3, 3, bias=optimizer != "Muon")
        kwargs = {"momentum": 0.9} if optimizer == "SGD" else {}
        o = getattr(tn.optim, optimizer)(model.parameters(), lr=0.05, **kwargs)
        return model, o, SCHEDULES[schedule](tn.optim.lr_scheduler, o)

    def steps(parts, n):
        model, o, s = parts
        for _ in range(n):
            o.zero_grad()
            (model(tn.ones(2, 3)) ** 2).sum().backward()
            o.step()
            s.step(*[1.0] * (schedule == "ReduceLROnPlateau"))

    first, second = make(), make()
    steps(first, 3)
    tn.save([part.state_dict() for part in first], "states")
    for part, state in zip(second, tn.load("states"), strict=True):
        part.load_state_dict(state)
    steps(first, 3)
    steps(second, 3)
    assert same([part.state_dict() for part in first], [part.state_dict() for part in second])


def test_a_generator_goes_on_from_where_it_stood():
    g = tn.Generator().manual_seed(1)
    tn.rand(5, generator=g)
    tn.save({"numpy": g.get_state(), "default": tn.get_rng_state()}, "g")
    expected = tn.rand(4, generator=g), tn.rand(4)
    back = tn.load("g")
    tn.set_rng_state(back["default"])
    again = tn.rand(4, generator=tn.Generator().set_state(back["numpy"])), tn.rand(4)
    assert all(map(tn.equal, expected, again))


# --- what cannot be saved, and where it stands --------------------------------------------------------------
Point = namedtuple("Point", "x y")
itself: list = []
itself.append(itself)


@pytest.mark.parametrize(("obj", "error", "text"), [
    ({"optimizer": {"state": {3: object()}}}, TypeError, r"\(\): \['optimizer'\]\['state'\]\[3\] is of type object"),
    ([1, (2, {"k": {1, 2}})], TypeError, r"\[1\]\[1\]\['k'\] is of type set"),
    (nn.Linear(1, 1), TypeError, r"the object itself is of type Linear \(save its \.state_dict\(\)\)"),
    ({"g": tn.Generator()}, TypeError, r"\['g'\] is of type Generator \(save its \.get_state\(\)\)"),
    ({"f": len}, TypeError, r"\['f'\] is of type builtin_function_or_method"),
    ({"c": 1j}, TypeError, r"\['c'\] is of type complex"),
    ({"p": Point(1, 2)}, TypeError, r"\['p'\] is of type Point"),
    ({"a": np.array(["x"])}, TypeError, r"\['a'\] is of type ndarray of <U1"),
    ({"a": np.array([None])}, TypeError, r"\['a'\] is of type ndarray of object"),
    ({"a": np.ones(2, complex)}, TypeError, r"\['a'\] is of type ndarray of complex128"),
    ({"l": np.longdouble(1)}, TypeError, r"\['l'\] is of type longdouble"),
    ({"d": {frozenset(): 1}}, TypeError, r"\['d'\] has a key of type frozenset"),
    ({"d": {(1, b""): 1}}, TypeError, r"\['d'\] has a key of type tuple"),
    ({tn.ones(1): 1}, TypeError, "the object itself has a key of type Tensor"),
    ({"b": b"x"}, TypeError, r"\['b'\] is of type bytes"),
    (itself, ValueError, r"nested more than 100 deep at \[0\]\[0\]\[0\].*does it contain itself"),
])  # fmt: skip
def test_what_cannot_be_saved_is_named_and_nothing_is_written(tmp_path, obj, error, text):
    tn.save("old", "x")
    with pytest.raises(error, match=text):
        tn.save(obj, "x")
    assert tn.load("x") == "old" and [path.name for path in tmp_path.iterdir()] == ["x"]


# --- whole or not there -------------------------------------------------------------------------------------
STATES = [{"step": k, "weights": tn.full((20_000,), float(k)), "more": [tn.tensor(k)] * 3} for k in range(4)]

KILLED = """
import os, random, signal, sys, time
import tinynet as tn

states = [{"step": k, "weights": tn.full((20_000,), float(k)), "more": [tn.tensor(k)] * 3} for k in range(4)]
tn.save(states[0], "x")
random.seed(int(sys.argv[1]))
for kill in range(20):
    child = os.fork()
    if not child:
        k = 0
        while True:
            k = (k + 1) % 4
            tn.save(states[k], "x")
    time.sleep(random.uniform(0.001, 0.04))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    found = tn.load("x")
    k = found["step"]
    assert k in range(4) and tn.equal(found["weights"], states[k]["weights"]), found
    assert all(t.item() == k for t in found["more"]) and len(found["more"]) == 3, found
    print(k)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked processes")
def test_killed_at_any_moment_the_file_is_one_of_those_saved():
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(Path(tn.__file__).parents[1])}
    command = [sys.executable, "-W", "ignore", "-c", KILLED, "1"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) == 20 and len(set(done.stdout.split())) > 1, "it was never killed during a save"


class FullDisk(FileIO):
    """A file on a disk that has room for a thousand bytes more."""

    def write(self, contents):
        super().write(contents[:1000])
        raise OSError(28, os.strerror(28))


def fail(*_):
    raise OSError(5, os.strerror(5))


@pytest.mark.parametrize(("where", "name", "broken", "text"), [
    (tinynet.files, "open", FullDisk, "No space left on device"),
    (os, "fsync", fail, "Input/output error"),
    (os, "replace", fail, "Input/output error"),
])  # fmt: skip
def test_a_disk_that_is_full_or_fails_leaves_the_old_file(tmp_path, monkeypatch, where, name, broken, text):
    tn.save(STATES[1], "x")
    with monkeypatch.context() as patch, pytest.raises(OSError, match=f"could not write the file: {text}: 'x'"):
        patch.setattr(where, name, broken, raising=False)
        tn.save(STATES[2], "x")
    assert same(tn.load("x"), STATES[1]) and [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_folder_that_cannot_be_written_to(tmp_path, monkeypatch):
    (tmp_path / "locked").mkdir()
    tn.save(STATES[1], "locked/x")
    (tmp_path / "locked").chmod(0o500)
    if os.access("locked", os.W_OK):  # nothing stops root
        denied = PermissionError(13, "Permission denied")
        monkeypatch.setattr(tinynet.files, "open", lambda path, mode: fail_with(denied), raising=False)
    with pytest.raises(PermissionError, match="could not write the file: Permission denied: 'locked/x'"):
        tn.save(STATES[2], "locked/x")
    monkeypatch.undo()
    (tmp_path / "locked").chmod(0o700)
    assert same(tn.load(tmp_path / "locked" / "x"), STATES[1])
    assert [path.name for path in (tmp_path / "locked").iterdir()] == ["x"]


def fail_with(error):
    raise error


# --- files that are damaged, foreign or hostile -------------------------------------------------------------
@pytest.fixture(scope="module")
def whole(folder):
    obj = {"model": nn.Linear(2, 3).state_dict(), "list": [1, 2.5, (None, "text")], "n": {1: tn.arange(4)}}
    tn.save(obj, folder / "w")
    return (folder / "w").read_bytes()


@given(st.data())
def test_a_file_cut_off_anywhere_is_an_error(folder, whole, data):
    path = folder / "cut"
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(ValueError, match="cut is not a safetensors file, or is damaged or cut off"):
        tn.load(path)


@given(st.data())
def test_no_damage_gives_any_other_error(folder, whole, data):
    contents, path = bytearray(whole), folder / "damaged"
    for _ in range(data.draw(st.integers(1, 4))):
        contents[data.draw(st.integers(0, len(contents) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(contents)
    try:
        assert same(tn.load(path), tn.load(folder / "w")), "what is not noticed changes nothing"
    except ValueError as error:
        assert str(path) in str(error)


def test_one_bit_of_a_weight_is_seen(whole):
    Path("x").write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(ValueError, match=r"x is damaged, .*: its checksum is another than when it was written"):
        tn.load("x")


@given(st.binary(max_size=300))
def test_any_bytes_give_no_other_error(folder, contents):
    path = folder / "noise"
    path.write_bytes(contents)
    with pytest.raises(ValueError, match="noise is not a safetensors file"):
        tn.load(path)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.just("t"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["tensor", "array", "float", "tuple", "dict", "OrderedDict", "Counter", "eval", ""]) | st.text(
            max_size=3), inner, max_size=2), max_leaves=8)  # fmt: skip


def forged(path, tree, **header):
    right = checksum(json.loads(json.dumps(tree)), {"t": tn.ones(2)})
    header = {"version": 1, "crc32": right, "object": tree, **header}
    save_file({"t": np.ones(2, np.float32)}, path, {"tinynet": json.dumps(header)})


@given(json_values)
def test_whatever_the_header_says_it_is_an_object_or_an_error(folder, tree):
    forged(folder / "forged", tree)
    try:
        tn.load(folder / "forged")
    except ValueError as error:
        assert str(error).startswith(f"{folder / 'forged'} is damaged, or was not written by tn.save: ")


def nested(depth):
    return "[" * depth + "]" * depth


@pytest.mark.parametrize(("header", "text"), [
    ({"tinynet": "{"}, "is damaged, or was not written by tn.save"),
    ({"tinynet": "[]"}, "is damaged, or was not written by tn.save"),
    ({"tinynet": "{}"}, "'version'"),
    ({"tinynet": '{"version": 1}'}, "'object'"),
    ({"tinynet": '{"version": 1, "object": 1}'}, "'crc32'"),
    ({"tinynet": '{"version": 1, "object": 1, "crc32": "1"}'}, "its checksum is another"),
    ({"tinynet": '{"version": 2, "object": 1}'}, "of version 2, this tinynet reads version 1"),
    ({"tinynet": '{"version": 1, "object": {"tensor": "missing"}}'}, "no meaning to {'tensor': 'missing'}"),
    ({"tinynet": '{"version": 1, "object": {"tensor": ["t"]}}'}, "is damaged, or was not written by tn.save"),
    ({"tinynet": '{"version": 1, "object": {"eval": "exit()"}}'}, "no meaning to {'eval'"),
    ({"tinynet": '{"version": 1, "object": {"dict": {}, "tuple": []}}'}, "no meaning"),
    ({"tinynet": '{"version": 1, "object": {"dict": [[[1], 2]]}}'}, "unhashable"),
    ({"tinynet": '{"version": 1, "object": {"dict": [1]}}'}, "is damaged, or was not written by tn.save"),
    ({"tinynet": '{"version": 1, "object": {"tuple": "abc"}}'}, "no meaning"),
    ({"tinynet": '{"version": 1, "object": ' + nested(100_000) + "}"}, "recursion"),
    ({"tinynet": '{"version": 1, "object": ' + "9" * 5000 + "}"}, "is damaged, or was not written by tn.save"),
    ({"other": "text"}, "was not written by tn.save: it has tensors.*tn.io.load_safetensors"),
    (None, "was not written by tn.save: it has tensors"),
])  # fmt: skip
def test_headers_that_are_foreign_or_hostile(header, text):
    save_file({"t": np.ones(2, np.float32)}, "x", header)
    with pytest.raises(ValueError, match=f"^x .*{text}"):
        tn.load("x")


class Weapon:
    def __reduce__(self):
        return os.system, ("touch fired",)


def write_zip(path):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", pickle.dumps(Weapon()))


@pytest.mark.parametrize("write", [
    lambda path: path.write_bytes(pickle.dumps(Weapon(), protocol=2)),
    lambda path: path.write_bytes(pickle.dumps({"weights": Weapon()})),
    write_zip,
])  # fmt: skip
def test_a_pickle_is_never_opened(tmp_path, write):
    write(tmp_path / "model.pt")
    with pytest.raises(ValueError, match=r"looks like a pickle.*any code.*safetensors\.torch\.save_file"):
        tn.load("model.pt")
    assert not (tmp_path / "fired").exists()


def test_a_header_of_a_size_that_no_file_has():
    Path("x").write_bytes(struct.pack("<Q", 2**62) + b"{}")
    with pytest.raises(ValueError, match="x is not a safetensors file"):
        tn.load("x")


def test_nothing_here_can_run_code():
    source = Path(tn.__file__).with_name("checkpoint.py").read_text()
    code = source.replace("there is no pickle here", "")
    assert not any(word in code for word in ("pickle", "eval(", "exec(", "import_module", "getattr"))


@pytest.mark.parametrize(("call", "error", "text"), [
    (lambda: tn.load("absent"), FileNotFoundError, "absent"),
    (lambda: tn.load("."), IsADirectoryError, r"'\.'"),
    (lambda: tn.load(3), TypeError, "int"),
    (lambda: tn.load("absent", map_location="tpu"), RuntimeError, "Expected one of cpu, cuda device type"),
    (lambda: tn.save(1, "no/such/x"), FileNotFoundError, "no/such/x"),
    (lambda: tn.save(1, "."), OSError, r"could not write.*'\.'"),
])  # fmt: skip
def test_bad_input(tmp_path, call, error, text):
    with pytest.raises(error, match=text):
        call()
    assert list(tmp_path.iterdir()) == [], "something was written"
