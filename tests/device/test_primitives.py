"""Every primitive on a GPU's arrays gives what it gives on NumPy's: values, gradients, second gradients."""

from __future__ import annotations

import pytest

from tinynet.proofs import PROOFS, VALUES


@pytest.mark.parametrize("name", sorted([*PROOFS, *VALUES]))
def test_as_on_the_cpu(gpu, both, name):
    for seed in range(both.DRAWS):
        call = both.drawn(name, seed)
        there, here = both.outcome(name, call, "cuda"), both.outcome(name, call, "cpu")
        assert not both.differences(here, there), call
