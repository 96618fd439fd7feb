"""The picture of a graph: what it says of leaves, ops and data, and that it can be read."""
from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

import tinynet as tn
from tinynet.viz import Svg, plot_graph

SVG = "{http://www.w3.org/2000/svg}"


def boxes(picture):
    """(kind, lines, rectangle) of every box; the picture is well-formed XML."""
    root = ElementTree.fromstring(picture)
    found = []
    for group in root.iter(f"{SVG}g"):
        if group.get("class"):
            rect = group.find(f"{SVG}rect")
            place = [float(rect.get(side)) for side in ("x", "y", "width", "height")]
            found.append((group.get("class"), [text.text for text in group.findall(f"{SVG}text")], place))
    return found


def lines(picture, kind):
    return [text for k, text, _ in boxes(picture) if k == kind]


def arrows(picture):
    return sum(path.get("marker-end") is not None for path in ElementTree.fromstring(picture).iter(f"{SVG}path"))


def overlap(a, b):
    return a[0] < b[0] + b[2] and b[0] < a[0] + a[2] and a[1] < b[1] + b[3] and b[1] < a[1] + a[3]


class Residual(tn.nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1 = tn.nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = tn.nn.BatchNorm2d(channels)
        self.conv2 = tn.nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        return (x + self.conv2(self.norm(self.conv1(x)).relu())).relu()


def mlp():
    model = tn.nn.Sequential(tn.nn.Linear(4, 8), tn.nn.Tanh(), tn.nn.Linear(8, 1))
    x = tn.randn(5, 4)
    return model, model(x).square().mean()


def test_a_constant_that_nobody_keeps_is_a_box_of_its_own():
    """The shortcut of a residual block whose input needs no gradient."""
    x = tn.randn(2, 3, 5, 5)
    loss = Residual(3)(x).square().mean()
    before = plot_graph(loss)
    assert lines(before, "data") == [["x", "2×3×5×5"], ["constant", "not kept"]]
    into_ops = {"conv2d": 3, "standardize": 3, "relu": 1, "add": 2, "square": 1, "mean": 1}
    assert arrows(before) == sum(into_ops[name] for kind in ("op", "result") for name, *_ in lines(before, kind))
    loss.backward()
    assert ["constant", "not kept"] in lines(plot_graph(loss), "data")
    w = tn.ones(2, requires_grad=True)
    assert lines(plot_graph((w * 2.0 + 1.0).sum()), "data") == [["constant", "not kept"]]  # the 1; the 2 is the op's
    assert lines(plot_graph(tn.cat([w, tn.ones(3)]).sum()), "data") == [["constant", "3"]]


def test_a_small_network_before_and_after_backward():
    model, loss = mlp()
    before = plot_graph(loss, params=dict(model.named_parameters()))
    assert lines(before, "leaf") == [["0.weight", "8×4"], ["0.bias", "8"], ["2.weight", "1×8"],
                                     ["2.bias", "1", f"value {model[2].bias.item():.4g}"]]
    assert lines(before, "op") == [["linear", "5×8"], ["tanh", "5×8"], ["linear", "5×1"], ["square", "5×1"]]
    assert lines(before, "result") == [["mean", "loss: scalar"]]
    assert lines(before, "data") == [["data", "5×4"]]
    assert arrows(before) == 2 + 1 + 2 + 1 + 1 + 1 + 1  # to linear with its x, tanh, linear, square, mean

    loss.backward(retain_graph=True)
    after = plot_graph(loss, params=model)
    norm = model[0].weight.grad.norm().item()
    assert lines(after, "leaf")[0] == ["0.weight", "8×4", f"‖grad‖ {norm:.4g}"]
    assert lines(after, "leaf")[3][-1] == f"grad {model[2].bias.grad.item():.4g}"


def test_what_the_user_calls_things():
    """Variables name leaves, data and results, where params do not."""
    w, x = tn.tensor([1.0, 2.0], requires_grad=True), tn.tensor([3.0, 4.0])
    y = w * x
    z = y.sum()
    picture = plot_graph(z)
    assert lines(picture, "leaf") == [["w", "2"]] and lines(picture, "data") == [["x", "2"]]
    assert lines(picture, "op") == [["mul", "y: 2"]] and lines(picture, "result") == [["sum", "z: scalar"]]
    assert lines(plot_graph(z, params={"a<b>&c": w}), "leaf") == [["a<b>&c", "2"]]


@pytest.mark.parametrize("make", [mlp, lambda: (m := Residual(3), m(tn.randn(2, 3, 5, 5)).sum())])
def test_no_box_lies_on_another_and_texts_fit(make):
    model, loss = make()
    loss.backward(retain_graph=True)
    picture = plot_graph(loss, params=model)
    found = boxes(picture)
    root = ElementTree.fromstring(picture)
    for k, (_, text, place) in enumerate(found):
        assert max(map(len, text)) * 7.25 <= place[2] and len(text) * 16 <= place[3]
        assert place[0] >= 0 and place[0] + place[2] <= float(root.get("width"))
        assert place[1] >= 0 and place[1] + place[3] <= float(root.get("height"))
        assert not any(overlap(place, other[2]) for other in found[:k])


def test_the_arrow_around_a_residual_block_passes_the_boxes():
    model = Residual(3)
    x = tn.randn(2, 3, 5, 5, requires_grad=True)
    picture = plot_graph(model(x).sum(), params=model)
    root = ElementTree.fromstring(picture)
    paths = [p.get("d") for p in root.iter(f"{SVG}path") if p.get("marker-end")]
    (around,) = [d for d in paths if "L" in d]  # only x -> add passes layers
    lanes = [[tuple(map(float, point.split(","))) for point in ends]
             for ends in re.findall(r"(\S+) L(\S+)", around)]
    assert len(lanes) == 4  # conv2d, standardize, relu, conv2d
    for (x0, y0), (x1, y1) in lanes:  # straight down, from above the boxes of the layer to below them
        assert x0 == x1
        beside = [place for _, _, place in boxes(picture) if place[1] < y1 and place[1] + place[3] > y0]
        assert beside and all(y0 <= top + 0.1 and top + height <= y1 + 0.1 for _, top, _, height in beside)
        assert not any(left < x0 < left + width for left, _, width, _ in beside)


def test_a_tensor_used_twice_by_one_op_and_one_op_used_twice():
    x = tn.tensor(3.0, requires_grad=True)
    picture = plot_graph((x * x).exp())
    assert arrows(picture) == 2 and "2×" in picture
    y = x.exp()
    assert arrows(plot_graph(y + y.sin())) == 4 and "2×" not in plot_graph(y + y.sin())


def test_a_number_that_has_a_name_is_shown_with_its_value():
    w, x = tn.tensor(2.0, requires_grad=True), tn.tensor(3.0)
    assert lines(plot_graph(w * x * 5.0), "data") == [["x", "scalar", "value 3"]]


def test_only_outputs_that_are_used_are_shown():
    x = tn.tensor([3.0, 1.0], requires_grad=True)
    values, _ = x.max(0)
    assert ["max", "values: scalar"] in lines(plot_graph(values * 2), "op")
    a, b = tn.randn(4, requires_grad=True).split(2)
    (op,) = lines(plot_graph((a * b).sum()), "op")[:1]
    assert op == ["split_with_sizes", "a: 2", "b: 2"]


def test_a_leaf_alone_and_a_function_of_the_users():
    class Twice(tn.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g * 2

    w = tn.ones(2, requires_grad=True)
    assert lines(plot_graph(w), "leaf") == [["w", "2"]]
    assert ["Twice", "2"] in lines(plot_graph(Twice.apply(w).sum()), "op")


def test_after_the_buffers_are_freed_it_can_still_be_drawn():
    model, loss = mlp()
    loss.backward()
    assert len(lines(plot_graph(loss, params=model), "leaf")) == 4


def test_notebooks_files_and_repr(tmp_path):
    _, loss = mlp()
    picture = plot_graph(loss, path=tmp_path / "graph.svg")
    assert (tmp_path / "graph.svg").read_text(encoding="utf-8") == picture == picture._repr_svg_()
    assert type(picture._repr_svg_()) is str and len(repr(picture)) < 80
    assert picture.startswith("<svg") and "5 ops, 4 leaves" in picture


def deep():
    x = tn.tensor(1.0, requires_grad=True)
    for _ in range(400):
        x = x + 1.0
    return x


@pytest.mark.parametrize("call, error, message", [
    (lambda: plot_graph(1.0), TypeError, "'loss' must be a Tensor, not float"),
    (lambda: plot_graph(tn.ones(2)), RuntimeError, "does not require grad"),
    (lambda: plot_graph(deep()), ValueError, "has 401 ops and leaves, more than the 300"),
    (lambda: plot_graph(tn.ones(1, requires_grad=True), path="a.png"), ValueError, r"an SVG, .* as a\.svg, got a\.png"),
    (lambda: Svg("<svg/>").save("a.pdf"), ValueError, r"as a\.svg, got a\.pdf"),
    (lambda: plot_graph(tn.ones(1, requires_grad=True), params={"w": 1}), TypeError, r"params\['w'\] is of type int"),
])
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
