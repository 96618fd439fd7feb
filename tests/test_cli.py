"""The command line: what it prints and where, its exit status, and what it says when something goes wrong."""
from __future__ import annotations

import importlib.util
import json
import re
import signal
import struct
import subprocess
import sys
from dataclasses import replace

import pytest

import tinynet as tn
from tinynet import cli, recipes
from tinynet.data import datasets
from tinynet.data.sources import FILES
from tinynet.recipes import demo, digits_cnn
from tinynet.recipes.frame import save_picture

COMMANDS = [["demo"], ["train"], *(["train", name] for name in recipes.every()), ["evaluate"], ["gradcheck"], ["data"],
            ["data", "list"], ["data", "verify"], ["data", "fetch"], ["data", "pack"], ["grade"], ["lessons"],
            ["lessons", "list"], ["lessons", "open"], ["lessons", "reset"]]


def run(*args):
    return subprocess.run([sys.executable, "-m", "tinynet", *args], capture_output=True, text=True)


def leave(capsys, *args):
    """Run main() where it ends by SystemExit: its status, stdout and stderr."""
    with pytest.raises(SystemExit) as caught:
        cli.main(args)
    return caught.value.code, *capsys.readouterr()


@pytest.fixture
def small_mnist(small_images):
    return small_images["mnist"]


# --- help and usage -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("command", [[], *COMMANDS], ids=" ".join)
def test_help_has_examples_and_exit_status(capsys, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "80")
    status, out, err = leave(capsys, *command, "--help")
    assert status == 0 and err == ""
    assert f"examples:\n  tinynet {' '.join(command)}" in out and "exit status:" in out
    assert max(map(len, out.splitlines())) <= 80


def test_every_example_is_a_command_line_that_parses(capsys):
    examples = []
    for command in [[], *COMMANDS]:
        out = leave(capsys, *command, "--help")[1]
        examples += re.findall(r"^  tinynet (.*?)(?:   .*)?$", out, re.MULTILINE)
    assert len(examples) > 12
    for example in examples:
        cli._parser().parse_args(example.split(">")[0].split())


@pytest.mark.parametrize("args, message", [
    ([], "required: COMMAND"),
    (["dance"], "invalid choice: 'dance'"),
    (["train"], "required: RECIPE"),
    (["train", "resnet"], "invalid choice: 'resnet'"),
    (["train", "mnist-cnn", "--epochs", "0"], "--epochs: 0 is not a positive number"),
    (["train", "mnist-cnn", "--epochs", "two"], "--epochs: invalid int value: 'two'"),
    (["train", "mnist-cnn", "--batch-size", "-1"], "--batch-size: -1 is not a positive number"),
    (["train", "mnist-cnn", "--lr", "nan"], "--lr: nan is not a positive number"),
    (["train", "mnist-cnn", "--seed", "1.5"], "--seed: invalid int value: '1.5'"),
    (["train", "digits-cnn", "--data", "x"], "unrecognized arguments: --data x"),
    (["data"], "required: ACTION"),
    (["data", "fetch"], "required: NAME"),
    (["data", "fetch", "imagenet"], "invalid choice: 'imagenet'"),
    (["demo", "--nope"], "unrecognized arguments: --nope"),
])
def test_usage_errors_exit_2_on_stderr(capsys, args, message):
    status, out, err = leave(capsys, *args)
    assert status == 2 and out == "" and message in err


def test_python_m_tinynet_is_the_command(capsys):
    assert leave(capsys, "--version") == (0, f"tinynet {tn.__version__}\n", "")
    assert run("--version").stdout == f"tinynet {tn.__version__}\n"


def test_nothing_heavy_is_loaded_before_it_is_used():
    code = ("import sys; from tinynet.cli import main; main(['data', 'list'])\n"
            "heavy = 'matplotlib', 'tqdm', 'scipy', 'numba', 'cupy'\n"
            "sys.exit(str([module for module in heavy if module in sys.modules]))")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stderr == "[]\n"


# --- errors, Ctrl-C, a closed pipe --------------------------------------------------------------------------
@pytest.mark.parametrize("error", [RuntimeError("told\nin two lines"), OSError(28, "No space left on device"),
                                   ValueError("bad"), ImportError("no module"), MemoryError()])
def test_errors_are_told_without_a_traceback(capsys, monkeypatch, tmp_path, error):
    def fail(*_): raise error

    monkeypatch.setattr(digits_cnn, "RECIPE", replace(digits_cnn.RECIPE, train=fail))
    assert cli.main(["train", "digits-cnn", "--output", str(tmp_path)]) == 1
    out, err = capsys.readouterr()
    assert out == "" and err == f"tinynet: error: {error or 'MemoryError'}\n"


def test_a_bug_is_not_hidden(monkeypatch, tmp_path):
    def fail(*_): raise TypeError("a bug")

    monkeypatch.setattr(digits_cnn, "RECIPE", replace(digits_cnn.RECIPE, train=fail))
    with pytest.raises(TypeError):
        cli.main(["train", "digits-cnn", "--output", str(tmp_path)])


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGINT")
def test_ctrl_c_exits_130_and_keeps_what_was_trained(capsys, tmp_path):
    finished, kept = tmp_path / "digits-cnn.ckpt", tmp_path / "digits-cnn-interrupted.ckpt"
    finished.write_bytes(b"that of another day")
    command = [sys.executable, "-m", "tinynet", "train", "digits-cnn", "--epochs=1000", f"--output={tmp_path}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            began = b""
            while b"epoch" not in began:  # it may have to compile first
                began += process.stderr.read(1) or pytest.fail(f"it ended with {began}")
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130 and out == b""
    *_, said, last = err.decode().replace("\r", "\n").splitlines()
    assert "Traceback" not in err.decode() and last == "tinynet: interrupted"
    assert said == f"what was trained so far is kept: `tinynet evaluate {kept}` measures it"
    assert finished.read_bytes() == b"that of another day"
    assert {path.name for path in tmp_path.iterdir()} <= {finished.name, kept.name, "digits-cnn-epochs.csv"}
    assert cli.main(["evaluate", str(kept)]) == 0
    assert "accuracy" in capsys.readouterr().out


@pytest.mark.skipif(sys.platform == "win32", reason="pipes end differently there")
def test_a_reader_that_stops_reading_is_no_crash():
    command = [sys.executable, "-m", "tinynet", "data", "list"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b"" and process.wait(60) == 1


# --- gradcheck ----------------------------------------------------------------------------------------------
@pytest.mark.skipif(importlib.util.find_spec("tinynet.proofs") is None, reason="there are no proofs to run")
@pytest.mark.parametrize("status", [0, 1])
def test_gradcheck_hands_over(monkeypatch, status):
    from tinynet import proofs

    asked = []
    monkeypatch.setattr(proofs, "main", lambda *args: asked.append(args) or status)
    assert cli.main(["gradcheck"]) == cli.main(["gradcheck", "exp", "conv2d", "--json"]) == status
    assert asked == [([], False), (["exp", "conv2d"], True)]


# --- data ---------------------------------------------------------------------------------------------------
def test_data_list(capsys, small_mnist):
    assert cli.main(["data", "list", "mnist", "--data", str(small_mnist)]) == 0
    assert capsys.readouterr().out.endswith(f"4 of 4 files in {small_mnist}\n")
    assert cli.main(["data", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [*datasets.SHIPPED, *datasets.SOURCES]
    assert lines[0].endswith(f"1 of 1 file in {FILES}")
    assert any("not here; `tinynet data fetch cifar10` puts 170 MB into" in line for line in lines)


def test_the_commands_name_the_data_sets_there_are():
    parse = cli._parser().parse_args
    for name in (*datasets.SHIPPED, *datasets.SOURCES):
        assert parse(["data", "list", name]).name == parse(["data", "verify", name]).name == name
    for name in datasets.SOURCES:
        assert parse(["data", "fetch", name]).name == name


def test_a_folder_is_that_of_one_data_set(capsys):
    assert cli.main(["data", "list", "--data", "."]) == cli.main(["data", "verify", "--data", "."]) == 1
    assert "--data is the folder of one data set" in capsys.readouterr().err


def test_data_verify(capsys, small_mnist):
    damaged, lost = (small_mnist / f"{part}-labels-idx1-ubyte.gz" for part in ("train", "t10k"))
    lost.unlink()
    assert cli.main(["data", "verify", "mnist", "--data", str(small_mnist)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"missing  {lost}" in lines and f"ok       {damaged}" in lines and len(lines) == 4
    damaged.write_bytes(damaged.read_bytes()[:-1])
    assert cli.main(["data", "verify", "mnist", "--data", str(small_mnist)]) == 1
    out, err = capsys.readouterr()
    assert f"CORRUPT  {damaged}" in out and "delete what is corrupt" in err
    assert cli.main(["data", "verify"]) == 0
    assert f"ok       {FILES / 'sonnets.txt.gz'}\n" in capsys.readouterr().out


def test_data_fetch(capsys, small_mnist, tmp_path):
    assert cli.main(["data", "fetch", "mnist", "--data", str(small_mnist)]) == 0
    assert capsys.readouterr().out.split() == [str(small_mnist / name) for name in datasets.SOURCES["mnist"].md5]
    assert cli.main(["data", "fetch", "mnist", "--data", str(tmp_path / "empty")]) == 1
    out, err = capsys.readouterr()
    assert out == "" and "tinynet: error: could not download train-images" in err
    assert "To place it by hand" in err


# --- the demo -----------------------------------------------------------------------------------------------
def png_size(path):
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n" and data.endswith(b"IEND\xaeB`\x82")
    return struct.unpack(">II", data[16:24])


def test_demo_in_short(capsys, monkeypatch, tmp_path):
    flat = tn.nn.Sequential(tn.nn.Flatten(), tn.nn.Linear(64, 10))
    short = replace(digits_cnn.RECIPE, epochs=1, batch_size=64, network=lambda run: flat)
    monkeypatch.setattr(digits_cnn, "RECIPE", short)
    assert cli.main(["demo", "--out", str(tmp_path / "new" / "folder")]) == 0
    out, err = capsys.readouterr()
    said = re.search(r"^test accuracy .* \((\d+) of (\d+) right\)$", out, re.MULTILINE)
    right, total = map(int, said.groups())
    assert total == 364 and "epoch 1/1: 100%" in err
    rows = [line.split() for line in out.splitlines() if re.match(r" +\d  ", line)]
    assert [row[0] for row in rows] == list("0123456789") and {len(row) for row in rows} == {11}
    counts = [[0 if n == "." else int(n) for n in row[1:]] for row in rows]
    assert sum(map(sum, counts)) == 364 and sum(counts[k][k] for k in range(10)) == right
    assert "PASS: the gradients of all 650 parameters are right" in out
    assert [path.name for path in (tmp_path / "new" / "folder").iterdir()] == ["training.png"]
    assert png_size(tmp_path / "new" / "folder" / "training.png") == (1500, 540)


@pytest.mark.slow
def test_demo_reaches_98_percent(tmp_path):
    result = run("demo", "--out", str(tmp_path))
    assert result.returncode == 0
    assert float(re.search(r"^test accuracy ([\d.]+)%", result.stdout, re.MULTILINE)[1]) >= 98
    assert re.search(r"PASS: the gradients of (all|14,\d+ of) 14,698 parameters are right", result.stdout)
    assert png_size(tmp_path / "training.png") == (1500, 540)


def test_the_demo_would_notice_a_wrong_gradient():
    class Wrong(tn.autograd.Function):
        @staticmethod
        def forward(ctx, x): return x * 1.0
        @staticmethod
        def backward(ctx, g): return g * 1.01

    class Layer(tn.nn.Module):
        def forward(self, x): return Wrong.apply(x)

    model = tn.nn.Sequential(tn.nn.Flatten(), tn.nn.Linear(64, 10), Layer())
    images, labels = datasets.digits()[:4]
    with pytest.raises(RuntimeError, match=r"1\.01"):
        demo.check(model, images, labels)


def test_the_demo_counts_what_lies_at_kinks_as_not_compared():
    model = tn.nn.Sequential(tn.nn.Flatten(), tn.nn.Linear(64, 10), tn.nn.ReLU())
    tn.nn.init.zeros_(model[1].bias)
    tn.nn.init.zeros_(model[1].weight)
    images, labels = datasets.digits()[:4]
    said = demo.check(model, images, labels)
    kinks = [int(count) for count in re.findall(r"(\d+) of \d+ elements at a kink", said)]
    assert kinks == [10 * int((images > 0).any(0).sum()), 10]
    assert said.splitlines()[-1] == (f"PASS: the gradients of {650 - sum(kinks)} of 650 parameters are right; "
                                     f"{sum(kinks)} lie at kinks, where there is no slope to compare with")
    assert "worst relative error -, 10 of 10 elements at a kink" in said


def test_a_folder_that_cannot_be_written_is_told_before_the_training(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(digits_cnn, "train", lambda *_: pytest.fail("trained for nothing"))
    (tmp_path / "file").write_text("")
    assert cli.main(["demo", "--out", str(tmp_path / "file")]) == 1
    monkeypatch.setattr(cli.os, "access", lambda *_: False)
    assert cli.main(["demo", "--out", str(tmp_path)]) == 1
    err = capsys.readouterr().err
    assert "tinynet: error: " in err and "choose another folder with --out" in err


def test_a_plot_that_fails_leaves_no_half_written_picture(tmp_path):
    class Unfinished:
        def savefig(self, file, **_):
            file.write(b"half")
            raise KeyboardInterrupt

    (tmp_path / "training.png").write_bytes(b"the last one")
    with pytest.raises(KeyboardInterrupt):
        save_picture(Unfinished(), tmp_path / "training.png")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"the last one"]


def test_the_doctor_speaks_to_people_and_to_machines(capsys):
    assert cli.main(["doctor", "--json"]) in (0, 1)  # 1: something is to be mended
    assert "numpy" in json.dumps(json.loads(capsys.readouterr().out))
    assert cli.main(["doctor"]) in (0, 1)
    assert "numpy" in capsys.readouterr().out.lower()
