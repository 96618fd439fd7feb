"""The pictures: what they say, that they can be drawn without a display, and on Axes that are given."""
from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import tinynet as tn
from tinynet import viz

matplotlib = pytest.importorskip("matplotlib")
HISTORY = {"loss": [2.0, 1.0, 0.5], "val_loss": [2.1, 1.3, 1.0],
           "accuracy": [0.3, 0.6, 0.9], "val_accuracy": [0.3, 0.5, 0.7]}


@pytest.fixture(autouse=True)
def no_display(monkeypatch):
    from matplotlib import pyplot

    pyplot.switch_backend("Agg")
    yield
    pyplot.close("all")


def draw(axes):
    """Render the figure and give back its pixels: errors in texts and layouts show only then."""
    figure = np.ravel(axes)[0].figure
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())
    assert pixels[..., :3].min() < 100 < pixels[..., :3].max()
    return pixels


def test_history_has_a_labelled_panel_for_each_quantity():
    axes = viz.plot_history(HISTORY)
    assert [ax.get_ylabel() for ax in axes] == ["loss", "accuracy"]
    for ax, name in zip(axes, ("loss", "accuracy"), strict=True):
        assert ax.get_xlabel() == "epoch"
        assert [line.get_label() for line in ax.lines] == ["train", "validation"]
        assert [text.get_text() for text in ax.get_legend().texts] == ["train", "validation"]
        for line, key in zip(ax.lines, (name, f"val_{name}"), strict=True):
            assert line.get_xdata().tolist() == [1, 2, 3] and list(line.get_ydata()) == HISTORY[key]
    draw(axes)


def test_the_two_curves_can_be_told_apart_in_grey():
    train, validation = viz.plot_history({"loss": [1, 2], "val_loss": [2, 1]})[0].lines
    to_rgb = matplotlib.colors.to_rgb
    grey = [np.dot(to_rgb(line.get_color()), [0.299, 0.587, 0.114]) for line in (train, validation)]
    assert abs(grey[0] - grey[1]) > 0.4 and train.get_linestyle() != validation.get_linestyle()


def test_history_on_given_axes_and_of_chosen_quantities():
    figure = matplotlib.figure.Figure()
    ax = figure.subplots()
    assert viz.plot_history(HISTORY, "accuracy", ax).tolist() == [ax] and ax.get_ylabel() == "accuracy"
    both = figure.subplots(2, 1)
    assert viz.plot_history(HISTORY, ax=both).tolist() == both.tolist()

    class Fitted:
        history = HISTORY

    assert len(viz.plot_history(Fitted())) == 2
    assert len(viz.plot_history({"val_loss": [1.0]})[0].lines) == 1
    with pytest.raises(ValueError, match="2 panels to draw, and ax= gives 1"):
        viz.plot_history(HISTORY, ax=ax)
    with pytest.raises(ValueError, match=r"no 'lr'; it has 'loss', 'val_loss'"):
        viz.plot_history(HISTORY, ["loss", "lr"])


def test_one_epoch_is_visible():
    """A line through one point is nothing; a marker is something. There is no epoch 0.96."""
    (ax,) = viz.plot_history({"loss": [1.0]})
    assert ax.lines[0].get_marker() == "o" and [label.get_text() for label in ticks(ax.xaxis)] == ["1"]


def test_names_that_are_no_words_are_written_out_and_one_curve_needs_no_legend():
    axes = viz.plot_history({"lr": [0.1, 0.01], "r2_score": [0.5, 0.6], "mean_absolute_error": [2, 1]})
    assert [ax.get_ylabel() for ax in axes] == ["learning rate", "R²", "mean absolute error"]
    assert all(ax.get_legend() is None for ax in axes)


def ticks(axis):
    """The labels that can be seen."""
    axis.figure.canvas.draw()
    low, high = sorted(axis.get_view_interval())
    return [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]


def apart(texts):
    """Whether none of the texts is written over another."""
    extents = [text.get_window_extent() for text in texts]
    return not any(a.overlaps(b) for k, a in enumerate(extents) for b in extents[:k])


def test_confusion_writes_the_counts_where_they_belong():
    ax = viz.plot_confusion(tn.tensor([[5, 0, 1], [0, 7, 0], [2, 0, 0]]), ["cat", "dog", "giraffe"])
    assert {text.get_position(): text.get_text() for text in ax.texts} == {
        (0, 0): "5", (2, 0): "1", (1, 1): "7", (0, 2): "2"}
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("predicted", "true")
    assert [label.get_text() for label in ax.get_yticklabels()] == ["cat", "dog", "giraffe"]
    shares = ax.images[0].get_array()
    np.testing.assert_allclose(shares, [[5 / 6, 0, 1 / 6], [0, 1, 0], [1, 0, 0]])
    for text in ax.texts:  # dark on light, light on dark
        column, row = text.get_position()
        assert text.get_color() == ("white" if shares[row, column] > 0.7 else "black")
    draw(ax)


def test_confusion_of_shares_on_given_axes_and_with_an_empty_class():
    ax = matplotlib.figure.Figure().subplots()
    assert viz.plot_confusion(np.array([[0.125, 0.875], [0.0, 0.0]]), ax=ax) is ax
    assert [text.get_text() for text in ax.texts] == ["0.12", "0.88"]
    ax = viz.plot_confusion(np.full((10, 10), 0.00092) + np.eye(10) * 0.9908)
    assert [text.get_text() for text in ax.texts] == ["0.99"] * 10 and apart(ax.texts)


@pytest.mark.parametrize("shape", [(5, 8, 8), (5, 1, 8, 8), (5, 3, 8, 8)])
def test_images_in_rows(shape):
    images = tn.rand(*shape)
    axes = viz.plot_images(images, titles=range(5), columns=3)
    assert len(axes) == 5 == len(axes[0].figure.axes) and [ax.get_title() for ax in axes] == list("01234")
    expected = images.numpy()[3]
    if expected.ndim == 3:
        expected = expected[0] if len(expected) == 1 else expected.transpose(1, 2, 0)
    np.testing.assert_array_equal(axes[3].images[0].get_array(), expected)
    draw(axes)


def test_long_titles_do_not_run_into_one_another():
    axes = viz.plot_images(tn.rand(3, 8, 8), ["true cat, said dog", "automobile for truck", "b"])
    draw(axes)
    assert apart([ax.title for ax in axes])


def tiles(ax, rows, columns):
    """The picture cut into its tiles, each number once."""
    image = np.asarray(ax.images[0].get_array())
    return [[image[22 * row:, 22 * column:][:18:6, :18:6] for column in range(columns)] for row in range(rows)]


def test_filters_of_one_channel_stand_in_rows():
    weight = tn.randn(5, 1, 3, 3)
    ax = viz.plot_filters(weight, columns=3)
    assert ax.images[0].get_array().shape == (2 * 22 - 4, 3 * 22 - 4)
    found = tiles(ax, 2, 3)
    for k in range(5):
        np.testing.assert_allclose(found[k // 3][k % 3], weight.numpy()[k, 0])
    assert np.ma.getmaskarray(ax.images[0].get_array())[22:, 44:].all()  # nothing where there is no sixth
    assert [label.get_text() for label in ax.get_yticklabels()] == ["0", "3"]
    low, high = ax.images[0].get_clim()
    assert low == -high == pytest.approx(-abs(weight.numpy()).max())
    assert ax.get_title() == "5 filters of 1 × 3 × 3" and ax.get_ylabel()
    draw(ax)


def test_filters_of_three_channels_are_colours():
    weight = np.zeros((2, 3, 3, 3))
    weight[1, 0], weight[1, 2] = 2.0, -2.0
    ax = viz.plot_filters(weight)
    grey, orange = tiles(ax, 1, 2)[0]
    assert (grey == 0.5).all() and (orange == [1.0, 0.5, 0.0]).all()
    draw(ax)


def test_filters_of_many_channels_have_a_row_for_each_filter():
    from matplotlib import pyplot

    layer, ax = tn.nn.Conv2d(4, 40, 3), pyplot.figure().subplots()
    assert viz.plot_filters(layer, ax=ax) is ax
    np.testing.assert_allclose(tiles(ax, 40, 4)[7][2], layer.weight.detach().numpy()[7, 2])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("input channel", "filter")
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0", "1", "2", "3"]
    assert [label.get_text() for label in ax.get_yticklabels()] == [str(k) for k in range(0, 40, 3)]
    draw(ax)


def test_weights_of_a_linear_layer_as_images():
    ax = viz.plot_filters(tn.nn.Linear(12, 2).weight.reshape(2, 3, 4))
    assert ax.get_title() == "2 filters of 1 × 3 × 4"


def test_predicted_vs_actual():
    actual, predicted = tn.tensor([[1.0], [2.0], [4.0]]), np.array([1.5, 2.0, 3.5])
    ax = viz.plot_predicted_vs_actual(actual, predicted)
    assert ax.collections[0].get_offsets().tolist() == [[1.0, 1.5], [2.0, 2.0], [4.0, 3.5]]
    (line,) = ax.lines
    assert tuple(line.get_xdata()) == tuple(line.get_ydata()) == ax.get_xlim() == ax.get_ylim()
    assert ax.get_title() == "3 samples: RMSE 0.4082, R² 0.893"  # sqrt(0.5 / 3), 1 - 0.5 / (14 / 3)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("actual", "predicted")
    draw(ax)
    assert viz.plot_predicted_vs_actual([2.0, 2.0], [2.0, 2.0], ax=ax) is ax


@pytest.mark.parametrize("factor", [1e-5, 1.0, 1e4, 1e5])
def test_prices_can_be_read_on_both_axes(factor):
    ax = viz.plot_predicted_vs_actual(np.arange(1.0, 40.0) * factor, np.arange(2.0, 41.0) * factor)
    across, up = ticks(ax.xaxis), ticks(ax.yaxis)
    assert [label.get_text() for label in across] == [label.get_text() for label in up] and len(across) > 2
    assert apart(across) and apart(up)
    assert factor < 1e5 or all("," in label.get_text() for label in across[1:])


@pytest.mark.parametrize("call, message", [
    (lambda: viz.plot_filters(np.zeros((2, 2))), r"\(O, C, H, W\) or \(O, H, W\), got \(2, 2\)"),
    (lambda: viz.plot_filters(np.zeros((0, 1, 3, 3))), r"got \(0, 1, 3, 3\)"),
    (lambda: viz.plot_predicted_vs_actual([1.0, 2.0], [1.0]), "the same number of values, at least 2, got 2 and 1"),
    (lambda: viz.plot_predicted_vs_actual([1.0], [1.0]), "got 1 and 1"),
    (lambda: viz.plot_predicted_vs_actual([1.0, np.nan], [1.0, 2.0]), "NaN"),
    (lambda: viz.plot_confusion(np.zeros((2, 3))), r"square, got shape \(2, 3\)"),
    (lambda: viz.plot_confusion(np.eye(2), ["one"]), "1 labels for a confusion matrix of 2 classes"),
    (lambda: viz.plot_images(np.zeros((2, 2, 8, 8))), r"got \(2, 2, 8, 8\)"),
    (lambda: viz.plot_images(np.zeros((0, 8, 8))), r"got \(0, 1, 8, 8\)"),
    (lambda: viz.plot_images(np.zeros((2, 8, 8)), titles="a"), "1 titles for 2 images"),
])
def test_bad_input_is_a_clear_value_error(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_importing_it_loads_no_matplotlib():
    code = "import sys, tinynet.viz; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
