"""Pictures: of a training (curves, a confusion matrix, images, filters, predictions), which are drawn by matplotlib,
return their Axes and take `ax=`; and of a graph, as SVG.

matplotlib is imported when a picture is asked for, not before, and works without a display.
"""
from __future__ import annotations

from tinynet.viz.graph import Svg, plot_graph
from tinynet.viz.plots import (
    plot_confusion,
    plot_filters,
    plot_history,
    plot_images,
    plot_predicted_vs_actual,
)

__all__ = ["Svg", "plot_confusion", "plot_filters", "plot_graph", "plot_history", "plot_images",
           "plot_predicted_vs_actual"]
