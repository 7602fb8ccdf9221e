"""The figure of benchmarks.methods: per search method, what every selection finds in its supernets, seed by seed."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMATS = ("svg", "png", "pdf")
DATELESS: dict[str, Any] = {"svg": {"Date": None}, "png": {}, "pdf": {"CreationDate": None}}
"""Equal figures give equal files."""
LOOKS = (
    ("#0072b2", "o"),
    ("#d55e00", "s"),
    ("#00805d", "^"),
    ("#b3568a", "D"),
    ("#c98500", "v"),
    ("#3a9bd4", "P"),
    ("#1d2733", "X"),
    ("#66727f", "*"),
    ("#7a4b00", "h"),
    ("#004d80", "<"),
)
"""Colours of Okabe and Ito and darker ones, each with a marker, so that nothing depends on colour alone."""


class Point(NamedTuple):
    """What one selection found: test accuracy in percent."""

    method: str
    selection: str
    seed: int
    accuracy: float


def draw(points: Sequence[Point], selections: Sequence[str], stem: Path) -> str:
    """Writes STEM.svg, .png and .pdf; returns what one sees, in words.

    A row per search method; a line per selection with a small mark per seed, the median large and a bar from the worst seed
    to the best. Seeds far below all others, such as networks that do not learn, are named at the edge.

    Args:
        selections: their order.
    """
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot
    from matplotlib.lines import Line2D

    methods = list(dict.fromkeys(point.method for point in points))
    shown = [name for name in selections if any(point.selection == name for point in points)]
    settings: dict[Any, Any] = {
        "svg.hashsalt": "methods", "font.size": 7.5, "axes.spines.top": False, "axes.spines.right": False,
        "axes.axisbelow": True, "axes.edgecolor": "#66727f", "pdf.fonttype": 42,
    }  # fmt: skip
    with pyplot.rc_context(settings):
        present = [[name for name in shown if _accuracies(points, method, name)] for method in methods]
        height = sum(map(len, present)) + len(methods)
        figure, axes = pyplot.subplots(figsize=(7.0, 0.8 + 0.14 * height), layout="constrained")
        places, y, lowest = [], 0.0, _lowest([point.accuracy for point in points])
        for number, (method, names) in enumerate(zip(methods, present, strict=True)):
            if number % 2 == 0:
                axes.axhspan(y - 1, y + len(names), color="#f2f4f7", linewidth=0, zorder=0)
            places.append(y + (len(names) - 1) / 2)
            for name in names:
                _marks(axes, _accuracies(points, method, name), y, lowest, *LOOKS[shown.index(name) % len(LOOKS)])
                y += 1
            y += 1
        axes.set_yticks(places, methods)
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(y - 1, -1)
        if any(point.accuracy < lowest for point in points):  # room for their numbers
            best = max(point.accuracy for point in points)
            axes.set_xlim(lowest - 0.1 * (best - lowest), best + 0.03 * (best - lowest))
        axes.grid(axis="x", color="#d5dbe2", linewidth=0.5)
        axes.set_xlabel(
            "test accuracy on digits (%); small: a seed, large: the median, bar: from the worst to the best seed"
        )
        handles = [
            Line2D([], [], color=colour, marker=marker, linestyle="", markersize=5, label=name)
            for name, (colour, marker) in zip(shown, LOOKS * len(shown), strict=False)
        ]
        figure.legend(handles=handles, loc="outside upper left", ncols=min(4, len(handles)), frameon=False)
        for fmt in FORMATS:
            figure.savefig(stem.with_suffix(f".{fmt}"), dpi=300, metadata=DATELESS[fmt])
        pyplot.close(figure)
    return _medians(points, methods, shown)


def _accuracies(points: Sequence[Point], method: str, selection: str) -> list[float]:
    return [point.accuracy for point in points if (point.method, point.selection) == (method, selection)]


def _lowest(accuracies: Sequence[float]) -> float:
    """Where the axis begins: far enough below the quartiles, or at the worst of all."""
    if len(accuracies) < 4:
        return min(accuracies)
    first, _, third = statistics.quantiles(accuracies, n=4)
    return max(min(accuracies), first - 4 * (third - first))


def _marks(axes: Axes, accuracies: list[float], y: float, lowest: float, colour: str, marker: str) -> None:
    within = [accuracy for accuracy in accuracies if accuracy >= lowest]
    below = sorted(accuracy for accuracy in accuracies if accuracy < lowest)
    worst = max(min(accuracies), lowest)
    axes.plot([worst, max(worst, *accuracies)], [y, y], color=colour, linewidth=3, alpha=0.3, solid_capstyle="butt")
    if below:
        named = "\N{LEFTWARDS ARROW} " + ", ".join(f"{accuracy:.1f}" for accuracy in below)
        axes.annotate(
            named, (lowest, y), (-2, 0), textcoords="offset points", color=colour, va="center", ha="right", fontsize=6
        )
    if len(accuracies) > 1:
        axes.plot(within, [y] * len(within), marker, color=colour, markersize=2.5, alpha=0.6, linestyle="")
    axes.plot(max(statistics.median(accuracies), lowest), y, marker, color=colour, markersize=5, linestyle="")


def _medians(points: Sequence[Point], methods: Sequence[str], selections: Sequence[str]) -> str:
    """For those who do not see the figure: the median of every method under every selection."""
    rows = []
    for method in methods:
        medians = [
            f"{name} {statistics.median(values):.2f}"
            for name in selections
            if (values := _accuracies(points, method, name))
        ]
        rows.append(f"{method}: {', '.join(medians)}")
    return f"Median test accuracy in percent by search method and selection. {'; '.join(rows)}."
