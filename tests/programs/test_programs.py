"""Programs written for PyTorch run on tinynet once their imports are changed: the same losses, and as good in the end.

A program is a file beside this one. `build()` makes its networks; `train(*networks, rng)` trains them, on data and
noise that come from NumPy's generator and so are the same for both, and returns the loss of every step (or several) and
how good the result is: a number of which more is better.
"""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

torch = pytest.importorskip("torch")

STEPS = 20  # over which the losses must agree
CHANGED_IMPORTS = [
    (r"^from torch\.utils\.data import", "from tinynet.data import"),
    (r"^(from|import) torch\.", r"\1 tinynet."),
    (r"^from torch import", "from tinynet import"),
    (r"^import torch$", "import tinynet as torch"),
]
PROGRAMS = {  # what the result must reach, and how far apart the two may end
    "bert": (0.9, 0.06),
    "distillation": (0.8, 0.05),
    "dqn": (0.9, 0.1),
    "gan": (0.6, 0.15),
    "gpt": (0.4, 0.15),
    "lstm_lm": (0.7, 0.1),
    "mbconv": (0.85, 0.05),
    "resnet20": (0.2, 0.12),  # of ten classes, after 180 steps
    "style_transfer": (0.9, 0.03),
    "vae": (0.4, 0.05),
    "vgg11": (0.75, 0.05),
    "wgan_gp": (0.8, 0.15),
}
SLOW = {"resnet20"}


@pytest.fixture(autouse=True)
def one_thread():
    """Matrices as small as these gain nothing from a second one, and lose much where the cores are busy."""
    with threadpool_limits(1):
        yield


def load(name, ours):
    """The program as a module, with its imports as they stand or changed."""
    path = Path(__file__).with_name(f"{name}.py")
    source = path.read_text()
    for pattern, change in CHANGED_IMPORTS if ours else ():
        source = re.sub(pattern, change, source, flags=re.MULTILINE)
    assert not (ours and re.search(r"\b(from|import) torch", source))
    program = ModuleType(name)
    exec(compile(source, str(path), "exec", dont_inherit=True), vars(program))
    return program


def run(name, ours, weights):
    """(weights to start from, losses, quality); without weights those that the library draws."""
    program = load(name, ours)
    program.torch.manual_seed(0)
    networks = program.build()
    for network, given in zip(networks, weights or (), strict=bool(weights)):
        assert network.load_state_dict({key: program.torch.tensor(a) for key, a in given.items()}) == ([], [])
    weights = [{key: t.numpy().copy() for key, t in network.state_dict().items()} for network in networks]
    losses, quality = program.train(*networks, np.random.default_rng(0))
    return weights, np.array(losses), quality


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in PROGRAMS]
)
def test_the_program_runs_the_same(name):
    weights, expected, their_quality = run(name, ours=False, weights=None)
    _, losses, quality = run(name, ours=True, weights=weights)
    assert losses.shape == expected.shape and len(losses) > STEPS
    np.testing.assert_allclose(losses[:STEPS], expected[:STEPS], rtol=1e-3)
    least, apart = PROGRAMS[name]
    assert their_quality > least, "PyTorch itself does not get there"
    assert quality > least and abs(quality - their_quality) < apart, (quality, their_quality)


def test_every_program_is_run():
    files = {path.stem for path in Path(__file__).parent.glob("*.py")}
    assert files - {Path(__file__).stem} == PROGRAMS.keys()
