"""Where to draw the boxes and arrows of a graph without cycles, so that all arrows point down.

As Sugiyama, Tagawa & Toda (1981): boxes are put on layers; an arrow that passes a layer gets a point there; the order
within each layer is improved until few arrows cross; and the places follow from the order.
"""
from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from itertools import pairwise

GAP, LANE = 24.0, 10.0  # between neighbours; the width of an arrow that passes between them
DROP = 46.0  # between layers
SWEEPS = 12
Key = Hashable
Point = tuple[float, float]
Layers = list[list[Key]]
Neighbours = dict[Key, list[Key]]


class Layout:
    """The centre of each box, the points each arrow goes through, and the size of the whole.

    sizes: key -> (width, height) of each box, in an order in which the arrows point forward. arrows: (from, to).
    """

    def __init__(self, sizes: Mapping[Key, tuple[float, float]], arrows: Sequence[tuple[Key, Key]]) -> None:
        self.sizes: dict[Key, tuple[float, float]] = dict(sizes)
        rank = ranks(list(sizes), arrows)
        self.chains: dict[tuple[Key, Key], list[Key]] = {}  # an arrow -> its start, a point on each layer, its end
        layers: Layers = [[] for _ in range(1 + max(rank.values(), default=0))]
        for key in sizes:
            layers[rank[key]].append(key)
        for arrow in dict.fromkeys(arrows):
            passed = [(arrow, k) for k in range(rank[arrow[0]] + 1, rank[arrow[1]])]
            for point in passed:
                self.sizes[point] = LANE, 0.0
                layers[point[1]].append(point)
            self.chains[arrow] = [arrow[0], *passed, arrow[1]]
        above, below = self._neighbours()
        self.layers = ordered(layers, above, below)
        self._place(above, below)

    def _neighbours(self) -> tuple[Neighbours, Neighbours]:
        above, below = defaultdict(list), defaultdict(list)
        for chain in self.chains.values():
            for a, b in pairwise(chain):
                below[a].append(b)
                above[b].append(a)
        return above, below

    def _place(self, above: Neighbours, below: Neighbours) -> None:
        """Each box as near to the middle of its neighbours as the others leave room."""
        x: dict[Key, float] = {}
        for layer in self.layers:
            x |= zip(layer, spread([0.0] * len(layer), [1.0] * len(layer), self._steps(layer)), strict=True)
        for sweep in range(SWEEPS):
            for layer in self.layers[:: -1 if sweep % 2 else 1]:
                near = {key: (*above[key], *below[key]) for key in layer}
                wanted = [sum(x[n] for n in near[key]) / len(near[key]) if near[key] else x[key] for key in layer]
                weights = [1.0 if self.sizes[key][1] else 4.0 for key in layer]  # straight arrows before neat boxes
                x |= zip(layer, spread(wanted, weights, self._steps(layer)), strict=True)
        left = min((x[key] - self.sizes[key][0] / 2 for key in x), default=0.0)
        y, self.centres = 0.0, {}
        for layer in self.layers:
            height = max(self.sizes[key][1] for key in layer)
            for key in layer:
                self.centres[key] = x[key] - left, y + height / 2
            y += height + DROP
        self.size: Point = (max((self.centres[key][0] + self.sizes[key][0] / 2 for key in x), default=0.0),
                            max(y - DROP, 0.0))

    def _steps(self, layer: Sequence[Key]) -> list[float]:
        """How far apart the centres of neighbours must be at least."""
        return [(self.sizes[a][0] + self.sizes[b][0]) / 2 + GAP for a, b in pairwise(layer)]


def ranks(keys: Sequence[Key], arrows: Iterable[tuple[Key, Key]]) -> dict[Key, int]:
    """The layer of each key: the last has the number of arrows on the longest path, and each stands just above the
    first it points to."""
    targets = defaultdict(list)
    for a, b in arrows:
        targets[a].append(b)
    depth: dict[Key, int] = {}
    for key in reversed(keys):
        depth[key] = max((depth[b] + 1 for b in targets[key]), default=0)
    deepest = max(depth.values(), default=0)
    return {key: deepest - d for key, d in depth.items()}


def ordered(layers: Layers, above: Neighbours, below: Neighbours) -> Layers:
    """The layers, each in the order of the mean places of its neighbours, up and down in turns; the order with the
    fewest crossings that was met."""
    best, fewest = layers, crossings(layers, below)
    for sweep in range(SWEEPS):
        layers = [list(layer) for layer in layers]
        down = sweep % 2 == 0
        for k in range(1, len(layers)) if down else range(len(layers) - 2, -1, -1):
            place = {key: i for i, key in enumerate(layers[k - 1 if down else k + 1])}
            near = above if down else below
            middle = {key: sum(place[n] for n in near[key]) / len(near[key]) if near[key] else float(i)
                      for i, key in enumerate(layers[k])}
            layers[k].sort(key=middle.__getitem__)
        found = crossings(layers, below)
        if found < fewest:
            best, fewest = layers, found
    return best


def crossings(layers: Layers, below: Neighbours) -> int:
    """How many pairs of arrows between neighbouring layers cross."""
    count = 0
    for upper, lower in pairwise(layers):
        place = {key: i for i, key in enumerate(lower)}
        ends = [(i, place[b]) for i, a in enumerate(upper) for b in below[a]]
        count += sum((a - c) * (b - d) < 0 for k, (a, b) in enumerate(ends) for c, d in ends[:k])
    return count


def spread(wanted: Sequence[float], weights: Sequence[float], steps: Sequence[float]) -> list[float]:
    """The places nearest to those wanted, in the weighted sum of squares, of which each is at least its step beyond
    the one before. (Without the steps it is isotonic regression: neighbours in the wrong order are pooled.)

    >>> from tinynet.viz.layout import spread
    >>> spread([0.0, 0.0, 10.0], [1.0, 1.0, 1.0], [4.0, 4.0])
    [-2.0, 2.0, 10.0]
    """
    offsets = [0.0]
    for step in steps:
        offsets.append(offsets[-1] + step)
    pools: list[list[float]] = []  # mean, weight, how many
    for place, weight, offset in zip(wanted, weights, offsets, strict=False):
        pools.append([place - offset, weight, 1])
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            mean, heavy, count = pools.pop()
            last = pools[-1]
            last[0] = (last[0] * last[1] + mean * heavy) / (last[1] + heavy)
            last[1], last[2] = last[1] + heavy, last[2] + count
    means = [mean for mean, _, count in pools for _ in range(int(count))]
    return [mean + offset for mean, offset in zip(means, offsets, strict=False)]
