"""The examples of every public name, with all their tensors made on a GPU: they print what they say."""

from __future__ import annotations

import doctest
import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

import tinynet as tn
from tinynet.ops import _streams, create

spec = importlib.util.spec_from_file_location("docstrings", Path(__file__).parents[1] / "test_docstrings.py")
docstrings = importlib.util.module_from_spec(spec)
spec.loader.exec_module(docstrings)

ON_THE_CPU = re.compile(
    r"tn\.(value|writes|explain|onnx|data|viz|profile|recipes|learn|kernels|bench|doctor|cli|repr|text|interrupts"
    r"|device|from_numpy|from_dlpack|random|Generator|tally|feed|callbacks|cuda|late|nvidia)\b"
    r"|rng_state|manual_seed|\.numpy$|\.device$|as_tensor$|\.cuda$|\.cpu$|\.type$|tensor_repr|set_num_threads"
)


def elsewhere(example):
    """Whether the example is about what is on the CPU in any case, or draws from its stream."""
    (doc, path) = example.values
    return ON_THE_CPU.search(path.replace("tinynet.", "tn.")) or "np." in doc


EXAMPLES = [example for example in docstrings.EXAMPLES if not elsewhere(example)]


def made_on_the_gpu(monkeypatch):
    """Have what names no device be made there."""
    array_module, placed, stream = create.array_module, create.placed, _streams.stream
    monkeypatch.setattr(create, "array_module", lambda place: array_module("cuda" if place is None else place))
    monkeypatch.setattr(create, "placed", lambda a, place: placed(a, "cuda" if place is None else place))
    by_default = lambda generator, place=None: stream(generator, "cuda" if place is None else place)  # noqa: E731
    monkeypatch.setattr(tn.ops.sampling, "stream", by_default)


def test_tensors_are_made_there(gpu, monkeypatch):
    made_on_the_gpu(monkeypatch)
    makers = tn.ones(2), tn.tensor([1]), tn.rand(2), tn.arange(3), tn.full((2,), 1.0), tn.nn.Linear(2, 1).weight
    assert {str(t.device) for t in makers} == {"cuda:0"}
    assert len(EXAMPLES) > 400


@pytest.mark.parametrize(("doc", "path"), EXAMPLES)
def test_its_example_is_true(gpu, monkeypatch, tmp_path, doc, path):
    monkeypatch.chdir(tmp_path)
    made_on_the_gpu(monkeypatch)

    class Checker(doctest.OutputChecker):
        def check_output(self, want, got, flags):
            return super().check_output(want, re.sub(r",\s*device='cuda:0'", "", got), flags)

    test = doctest.DocTestParser().get_doctest(doc, {"tn": tn, "np": np}, path, None, 0)
    report = []
    doctest.DocTestRunner(Checker(), optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE).run(
        test, out=report.append
    )
    if report:
        pytest.fail("".join(report), pytrace=False)
