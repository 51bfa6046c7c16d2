"""Plots as SVG, small, and the same file for the same points."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator

from bench.record import Axis, Plot

# Text stays text, in whatever sans serif the reader has; ids are hashes of a constant instead of a random one.
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "pulsex",
    "font.family": "sans-serif",
    "axes.grid": True,
    "grid.alpha": 0.3,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
WIDTH, HEIGHT = 8, 4  # inches


def draw(plot: Plot, file: Path) -> None:
    """Write a plot into a file."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
        axes = figure.add_subplot(title=plot.title, xlabel=plot.x.label, ylabel=plot.y.label)
        for label, points in plot.series.items():
            axes.plot(*zip(*points, strict=True), marker="o", markersize=4, label=label)
        for axis, shape, scale in ((axes.xaxis, plot.x, axes.set_xscale), (axes.yaxis, plot.y, axes.set_yscale)):
            _shape(axis, shape, scale)
        if len(plot.series) > 1:
            axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
        save(figure, file)


def save(figure: Figure, file: Path) -> None:
    """Write a figure into a file, without its date and without blanks at the ends of lines."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(STYLE):
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    file.write_text("".join(f"{line.rstrip()}\n" for line in file.read_text().splitlines()))


def _shape(axis: mpl.axis.Axis, shape: Axis, scale: object) -> None:
    """Make an axis logarithmic or not, its numbers written out."""
    if shape.log:
        scale("log")
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axis.set_minor_formatter(FuncFormatter(lambda value, _: ""))
