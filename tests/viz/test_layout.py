"""Where boxes and arrows are put: nothing overlaps, all arrows point down, and what need not cross does not."""
from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinynet.viz.layout import GAP, Layout, crossings, spread


@st.composite
def graphs(draw):
    """Boxes of drawn sizes, and arrows that point to later ones."""
    n = draw(st.integers(1, 12))
    side = st.floats(10, 120)
    sizes = {k: (draw(side), draw(side)) for k in range(n)}
    pairs = [(a, b) for b in range(n) for a in range(b)]
    return sizes, draw(st.lists(st.sampled_from(pairs), max_size=20)) if pairs else []


@given(graphs())
def test_nothing_overlaps_and_all_arrows_point_down(graph):
    sizes, arrows = graph
    layout = Layout(sizes, arrows)
    assert sorted(key for layer in layout.layers for key in layer if key in sizes) == sorted(sizes)
    for layer in layout.layers:
        for a, b in pairwise(layer):
            room = (layout.sizes[a][0] + layout.sizes[b][0]) / 2 + GAP
            assert layout.centres[b][0] - layout.centres[a][0] >= room - 1e-6
    for upper, lower in pairwise(layout.layers):
        bottom = max(layout.centres[k][1] + layout.sizes[k][1] / 2 for k in upper)
        assert bottom < min(layout.centres[k][1] - layout.sizes[k][1] / 2 for k in lower)
    number = {key: k for k, layer in enumerate(layout.layers) for key in layer}
    for (a, b), chain in layout.chains.items():  # an arrow has a lane on every layer it passes
        assert [number[point] for point in chain] == list(range(number[a], number[b] + 1))
    for key, (w, h) in sizes.items():
        x, y = layout.centres[key]
        assert x - w / 2 >= -1e-6 and x + w / 2 <= layout.size[0] + 1e-6
        assert y - h / 2 >= -1e-6 and y + h / 2 <= layout.size[1] + 1e-6


def test_leaves_stand_just_above_what_uses_them():
    layout = Layout(dict.fromkeys("xwabcy", (30.0, 20.0)), [("x", "a"), ("w", "y"), ("a", "b"), ("b", "y"), ("c", "y")])
    assert [sorted(key for key in layer) for layer in layout.layers] == [["x"], ["a"], ["b", "c", "w"], ["y"]]


def test_two_chains_given_crosswise_do_not_cross():
    arrows = [("a", "d"), ("b", "c"), ("d", "e"), ("c", "f"), ("e", "g"), ("f", "g")]
    layout = Layout(dict.fromkeys("abcdefg", (30.0, 20.0)), arrows)
    below = {key: [b for a, b in arrows if a == key] for key in "abcdefg"}
    assert crossings([["a", "b"], ["c", "d"], ["e", "f"], ["g"]], below) > 0
    assert crossings(layout.layers, below) == 0


def test_a_lone_chain_is_straight():
    layout = Layout({"a": (80.0, 20.0), "b": (20.0, 20.0), "c": (50.0, 20.0)}, [("a", "b"), ("b", "c")])
    assert len({round(x, 6) for x, _ in layout.centres.values()}) == 1


@given(st.lists(st.tuples(st.floats(-50, 50), st.floats(0.5, 4), st.floats(0, 30)), min_size=1, max_size=8))
def test_places_are_the_nearest_that_leave_room(rows):
    isotonic = pytest.importorskip("sklearn.isotonic")
    wanted, weights, steps = map(list, zip(*rows, strict=True))
    offsets = np.cumsum([0.0, *steps[1:]])
    found = spread(wanted, weights, steps[1:])
    expected = isotonic.isotonic_regression(np.array(wanted) - offsets, sample_weight=weights) + offsets
    np.testing.assert_allclose(found, expected, atol=1e-6)
