"""unfold and fold beside torch.nn.functional's: values, derivatives, and the types of errors."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinynet as tn
from tinynet.testing import conv_configs

torch = pytest.importorskip("torch")


def cubed(nn, op, *args):
    """A module of one function; of cubes, so that it has a second derivative."""

    class Cubed(nn.Module):
        def forward(self, input):
            return getattr(nn.functional, op)(input**3, *args)

    return Cubed()


def both(agree, rng, shape, op, *args):
    agree(cubed(tn.nn, op, *args), cubed(torch.nn, op, *args), rng, rng.standard_normal(shape))


@given(conv_configs(max_kernel=4), st.booleans(), st.integers(0, 2**32 - 1))
def test_there_and_back(agree, config, batched, seed):
    rng = np.random.default_rng(seed)
    kernel, image = config.w[2:], config.x[2:]
    options = (config.dilation, config.padding, config.stride)
    shape = config.x if batched else config.x[1:]
    both(agree, rng, shape, "unfold", kernel, *options)
    columns = tuple(tn.nn.functional.unfold(tn.zeros(shape), kernel, *options).shape)
    both(agree, rng, columns, "fold", image, kernel, *options)


@pytest.mark.parametrize("batch", [(), (0,), (2,)])
def test_single_numbers(agree, batch):
    rng = np.random.default_rng(0)
    both(agree, rng, (*batch, 3, 5, 5), "unfold", 2, 2, 1, 3)
    both(agree, rng, (*batch, 12, 4), "fold", 5, 2, 2, 1, 3)


@pytest.mark.parametrize("name", ["unfold", "fold"])
def test_arguments_have_torchs_names_order_and_defaults(name):
    ours, theirs = (
        [(p.name, p.default) for p in inspect.signature(getattr(nn.functional, name)).parameters.values()]
        for nn in (tn.nn, torch.nn)
    )
    assert ours == theirs


ERRORS = """
F.unfold(x, 6)                       F.unfold(x, 0)                       F.unfold(x, 2, dilation=0)
F.unfold(x, 2, stride=0)             F.unfold(x, 2, padding=-1)           F.unfold(x, (2, 2, 2))
F.unfold(x, 2.0)                     F.unfold(x, (2, 2.0))                F.unfold(x, True)
F.unfold(x[:, :0], 2)                F.unfold(x[:, :, :0], 2, padding=1)  F.unfold(x[:0, 0], 2)
F.unfold(x.long(), 2)                F.unfold(x.numpy(), 2)               F.unfold(x[None], 2)
F.unfold(None, 2)                    F.fold(y[:, :, :15], 5, 2)           F.fold(y[:, :11], 5, 2)
F.fold(y[0, 0], 5, 2)                F.fold(y[None], 5, 2)                F.fold(y, (5, 5, 5), 2)
F.fold(y, 5, 0)                      F.fold(y, 5, 2, dilation=0)          F.fold(y, 5, 2, stride=0)
F.fold(y, 5, 2, padding=-1)          F.fold(y, 0, 2)                      F.fold(y, -3, 2)
F.fold(y, 5, 7)                      F.fold(y, 5, 2.0)                    F.fold(y[:, :0], 5, 2)
F.fold(y[:, :, :0], 5, 2)            F.fold(y[0, :, :0], 5, 2)            F.fold(y.long(), 5, 2)
F.fold(y.numpy(), 5, 2)
"""
ERRORS = [text for line in ERRORS.strip().splitlines() for text in (line[:37], line[37:74], line[74:]) if text.strip()]


@pytest.mark.parametrize("text", ERRORS)
def test_errors_have_torchs_types(text, agree_to_refuse):
    agree_to_refuse(text.strip(), x=(2, 3, 5, 5), y=(2, 12, 16))
