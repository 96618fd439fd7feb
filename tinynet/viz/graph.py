"""The graph that backward walks, as a picture: a box for each leaf and op, and arrows from arguments to results."""
from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from tinynet.autograd.graph import Leaf, Node, Pick, Place, reach
from tinynet.autograd.naming import by_place, named_tensors
from tinynet.autograd.variable import raw
from tinynet.device import host
from tinynet.dtypes import Array
from tinynet.files import whole_file
from tinynet.tensor import Tensor
from tinynet.text import numbers
from tinynet.viz.layout import DROP, Layout, Point

KEPT = 2  # an argument, as a whole: see Primitive.plan
MOST_BOXES = 300  # more cannot be read
CHARACTER, LINE, PADDING, MARGIN = 7.25, 16.0, 10.0, 20.0  # of a monospaced font of 12 pixels
FONT = "font-family='DejaVu Sans Mono, Menlo, Consolas, monospace' font-size='12'"
# kind of box: fill, border, dashes, radius of the corners; told apart without colours too
STYLES = {"leaf": ("#e3f4df", "#3a7d34", "", 12), "data": ("#f4f4f4", "#888888", "4 3", 12),
          "op": ("#e6eefb", "#3b5b92", "", 2), "result": ("#fdebd3", "#b5651d", "", 2)}


class Svg(str):
    """The text of an SVG picture, which notebooks show as the picture.

    >>> tn.viz.Svg("<svg/>")
    <Svg of 6 characters; save(path) writes it>
    """

    __slots__ = ()

    def _repr_svg_(self) -> str:
        return str(self)

    def __repr__(self) -> str:
        return f"<Svg of {len(self):,} characters; save(path) writes it>"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it to a file. ValueError if that has the suffix of another format.

        >>> tn.viz.Svg("<svg/>").save("empty.svg")
        """
        wanted = Path(path)
        if wanted.suffix.lower() not in ("", ".svg"):
            raise ValueError("the picture is an SVG, which any browser shows: save it as "
                             f"{wanted.with_suffix('.svg')}, got {wanted}")
        with whole_file(path) as file:
            file.write(self.encode())


@dataclass
class Box:
    """Something drawn: its kind, its text (the first line bold), and the keys of the boxes with arrows to it."""

    kind: str
    lines: list[str]
    sources: list[Any] = field(default_factory=list)


def plot_graph(loss: Tensor, params: Any = None, path: str | os.PathLike[str] | None = None) -> Svg:
    """The graph behind a tensor as SVG: leaves (rounded) with shapes and, after backward, gradients; ops with the
    shapes of their results; dashed, the data that ops keep for backward (until it frees them). What needs no gradient
    and is not kept, as an input that is only added, is a box of its own: "constant". Written to `path` too, if given.

    Leaves are called as in `params` (a module, or a mapping from names to tensors), or else as the variables that hold
    them where plot_graph() is called. ValueError for graphs of more boxes than can be read, and for a path of another
    format.

    >>> model, x = tn.nn.Linear(3, 1), tn.ones(2, 3)
    >>> loss = model(x).square().mean()
    >>> picture = tn.viz.plot_graph(loss, params=model)
    >>> all(name in picture for name in ("weight", "bias", "linear", "square", "mean"))
    True
    """
    if not isinstance(loss, Tensor):
        raise TypeError(f"plot_graph(): argument 'loss' must be a Tensor, not {type(loss).__name__}")
    if not loss.requires_grad:
        raise RuntimeError("plot_graph(): this tensor does not require grad and does not have a grad_fn: nothing it "
                           "was computed from has requires_grad=True (or it ran under no_grad, or was detached)")
    order = reach([loss.place])
    count = sum(type(place) is not Pick for place in order)
    if count > MOST_BOXES:
        raise ValueError(f"plot_graph(): this graph has {count:,} ops and leaves, more than the {MOST_BOXES} that can "
                         f"be read; take fewer layers or time steps, or a part of the model")
    boxes = _boxes(loss, order, params)
    ops = sum(box.kind in ("op", "result") for box in boxes.values())
    leaves = sum(box.kind == "leaf" for box in boxes.values())
    picture = _drawn(boxes, f"{ops} op{'s' * (ops != 1)}, {leaves} {'leaf' if leaves == 1 else 'leaves'}")
    if path is not None:
        picture.save(path)
    return picture


# ---- what to draw
def _boxes(loss: Tensor, order: Sequence[Place], params: Any) -> dict[Any, Box]:
    """The boxes by key, arguments before results."""
    tensors = named_tensors(params)
    found = {place: name for place, (name, _) in by_place(tensors).items()}
    data = {id(raw(tensor)): name for name, tensor in tensors.items()}
    end = loss.place.node if type(loss.place) is Pick else loss.place
    boxes: dict[Any, Box] = {}
    for place in order:
        if type(place) is Leaf:
            boxes[place] = Box("leaf", _leaf_lines(place, found.get(place, "leaf")))
        elif isinstance(place, Node):
            box = Box("result" if place is end else "op", _op_lines(place, order, found))
            needed = "".join("01"[p is not None] for p in place.inputs)
            keeps = place.op.plan(int(f"1{needed}", 2))[0] if hasattr(place.op, "plan") else None
            for k, (p, a) in enumerate(zip(place.inputs, place.args or [None] * len(place.inputs), strict=True)):
                if p is not None:
                    box.sources.append(p.node if type(p) is Pick else p)
                elif hasattr(a, "dtype") and (a.ndim or id(a) in data):
                    value = [_briefly("value", a)] if a.size == 1 else []
                    boxes.setdefault(id(a), Box("data", [data.get(id(a), "data"), _shape(a.shape), *value]))
                    box.sources.append(id(a))
                elif keeps is not None and keeps[k] != KEPT:
                    boxes[place, k] = Box("data", ["constant", _shape(a) if type(a) is tuple else "not kept"])
                    box.sources.append((place, k))
            boxes[place] = box
    return boxes


def _leaf_lines(leaf: Leaf, name: str) -> list[str]:
    tensor = leaf.tensor()
    lines = [name, _shape(leaf.shape)]
    if tensor is not None and tensor.array.size == 1:
        lines.append(_briefly("value", tensor.array))
    if tensor is not None and tensor.gradient is not None:
        lines.append(_briefly("grad", tensor.gradient.array))
    return lines


def _briefly(what: str, a: Array) -> str:
    a = host(a)
    if a.size > 3:
        return f"‖{what}‖ {np.linalg.norm(a.ravel()):.4g}"
    return f"{what} {numbers(a.item() if a.size == 1 else a)}"


def _op_lines(node: Node, order: Sequence[Place], found: dict[Place, str]) -> list[str]:
    """The op, and the outputs that something was computed from."""
    outputs = [node] if type(node.shape) is not list else sorted(
        (p for p in order if type(p) is Pick and p.node is node), key=lambda pick: pick.index)
    return [node.op.name, *((f"{found[p]}: " if p in found else "") + _shape(p.shape) for p in outputs)]


def _shape(shape: Iterable[int]) -> str:
    return "×".join(map(str, shape)) or "scalar"


# ---- drawing
def _drawn(boxes: dict[Any, Box], caption: str) -> Svg:
    sizes = {key: (max(map(len, box.lines)) * CHARACTER + 2 * PADDING, len(box.lines) * LINE + PADDING)
             for key, box in boxes.items()}
    layout = Layout(sizes, [(source, key) for key, box in boxes.items() for source in box.sources])
    width = max(layout.size[0], len(caption) * CHARACTER) + 2 * MARGIN
    height = layout.size[1] + 2 * MARGIN + LINE
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{width:.0f}' height='{height:.0f}' "
        f"viewBox='0 0 {width:.0f} {height:.0f}' role='img' {FONT}>",
        f"<title>autograd graph: {caption}</title>",
        "<defs><marker id='tip' viewBox='0 0 8 8' refX='7' refY='4' markerWidth='7' markerHeight='7' orient='auto'>"
        "<path d='M0,0.5 L8,4 L0,7.5 z' fill='#555555'/></marker></defs>",
        "<rect width='100%' height='100%' fill='white'/>",
        f"<text x='{MARGIN:.0f}' y='{MARGIN:.0f}' fill='#555555'>{caption}</text>",
        f"<g transform='translate({MARGIN:.0f},{MARGIN + LINE:.0f})'>",
    ]
    for key, box in boxes.items():
        parts += _arrows(key, box, layout)
    parts += [_box(box, layout.centres[key], sizes[key]) for key, box in boxes.items()]
    return Svg("\n".join([*parts, "</g>", "</svg>"]) + "\n")


def _box(box: Box, centre: Point, size: Point) -> str:
    fill, border, dashes, radius = STYLES[box.kind]
    (x, y), (w, h) = centre, size
    lines = [f"<rect x='{x - w / 2:.1f}' y='{y - h / 2:.1f}' width='{w:.1f}' height='{h:.1f}' rx='{radius}' "
             f"fill='{fill}' stroke='{border}' stroke-dasharray='{dashes or 'none'}'/>"]
    for k, line in enumerate(box.lines):
        weight = "bold" if k == 0 else "normal"
        lines.append(f"<text x='{x:.1f}' y='{y - h / 2 + PADDING / 2 + LINE * (k + 0.75):.1f}' text-anchor='middle' "
                     f"font-weight='{weight}'>{escape(line)}</text>")
    return f"<g class='{box.kind}'>{''.join(lines)}</g>"


def _arrows(key: Any, box: Box, layout: Layout) -> list[str]:
    """The arrows to a box, side by side in the order of where they come from; one that comes twice says so."""
    (x, y), (w, h) = layout.centres[key], layout.sizes[key]
    sources = sorted(dict.fromkeys(box.sources), key=lambda s: layout.centres[layout.chains[s, key][-2]][0])
    parts = []
    for k, source in enumerate(sources):
        chain = layout.chains[source, key]
        end = x + 0.6 * w * ((k + 0.5) / len(sources) - 0.5), y - h / 2
        start = layout.centres[source][0], layout.centres[source][1] + layout.sizes[source][1] / 2
        d = f"M{start[0]:.1f},{start[1]:.1f}"
        before = start
        for point in chain[1:-1]:  # straight past the boxes of its layer
            top, bottom = _lane(point, layout)
            d += _curve(before, top) + f" L{bottom[0]:.1f},{bottom[1]:.1f}"
            before = bottom
        parts.append(f"<path d='{d + _curve(before, end)}' fill='none' stroke='#555555' marker-end='url(#tip)'/>")
        times = box.sources.count(source)
        if times > 1:
            side, anchor = (-6, "end") if before[0] > end[0] else (6, "start")
            parts.append(f"<text x='{end[0] + side:.1f}' y='{end[1] - 4:.1f}' text-anchor='{anchor}' fill='#555555'>"
                         f"{times}×</text>")
    return parts


def _lane(point: Any, layout: Layout) -> tuple[Point, Point]:
    """Where an arrow enters and leaves a layer that it passes."""
    x, middle = layout.centres[point]
    half = max(layout.sizes[other][1] for other in next(layer for layer in layout.layers if point in layer)) / 2
    return (x, middle - half), (x, middle + half)


def _curve(a: Point, b: Point) -> str:
    """From a to b, leaving and arriving straight down."""
    bend = min(DROP, abs(b[1] - a[1])) / 2
    return f" C{a[0]:.1f},{a[1] + bend:.1f} {b[0]:.1f},{b[1] - bend:.1f} {b[0]:.1f},{b[1]:.1f}"
