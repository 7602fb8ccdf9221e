"""The figure of benchmarks.methods: for each search method the results of every selection, seed by seed."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from itertools import cycle
from typing import TYPE_CHECKING, NamedTuple

from report.style import MARKERS, WIDE, Picture, Theme, legend_above, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class Point(NamedTuple):
    """The result of one selection: test accuracy in percent."""

    method: str
    selection: str
    seed: int
    accuracy: float


def picture(points: Sequence[Point], selections: Sequence[str]) -> Picture:
    """A row per search method, a line per selection: small marks for seeds, a large one for the median, a bar as range.

    Seeds far below all others, such as networks that do not learn, are written as numbers at the edge.

    Args:
        selections: their order.
    """
    found: dict[str, dict[str, list[float]]] = {point.method: {} for point in points}
    for point in sorted(points, key=lambda point: selections.index(point.selection)):
        found[point.method].setdefault(point.selection, []).append(point.accuracy)
    shown = [name for name in selections if any(name in lines for lines in found.values())]
    accuracies = [point.accuracy for point in points]
    lowest, best = _lowest(accuracies), max(accuracies)

    def draw(theme: Theme) -> Figure:
        categories = zip((*theme.cycle, "#7a4b00", "#004d80"), (*MARKERS, "h", "<"), strict=True)
        looks = dict(zip(shown, cycle(categories), strict=False))
        figure = new_figure(WIDE, 0.8 + 0.14 * (sum(map(len, found.values())) + len(found)))
        axes = figure.add_subplot()
        places, y = [], 0
        for number, lines in enumerate(found.values()):
            if number % 2 == 0:
                axes.axhspan(y - 1, y + len(lines), color=theme.grid, alpha=0.5, linewidth=0, zorder=0)
            places.append(y + (len(lines) - 1) / 2)
            for place, (name, values) in enumerate(lines.items(), start=y):
                _marks(axes, values, place, lowest, *looks[name])
            y += len(lines) + 1
        axes.set_yticks(places, list(found))
        axes.tick_params(axis="y", length=0)
        axes.yaxis.grid(False)
        axes.set_ylim(y - 1, -1)
        if min(accuracies) < lowest:  # Room for the numbers at the edge.
            axes.set_xlim(lowest - 0.1 * (best - lowest), best + 0.03 * (best - lowest))
        axes.set_xlabel(
            "test accuracy on digits (%); small: a seed, large: the median, bar: from the worst to the best seed"
        )
        legend_above(figure, looks)
        return figure

    medians = "; ".join(
        f"{method}: {', '.join(f'{name} {statistics.median(values):.2f}' for name, values in lines.items())}"
        for method, lines in found.items()
    )
    words = f"Median test accuracy in percent by search method and selection. {medians}."
    return Picture("methods", "Search methods under selections", words, draw, wide=True)


def _lowest(accuracies: Sequence[float]) -> float:
    """The lower end of the axis: the worst accuracy, but not too far below the quartiles."""
    if len(accuracies) < 4:
        return min(accuracies)
    first, _, third = statistics.quantiles(accuracies, n=4)
    return max(min(accuracies), first - 4 * (third - first))


def _marks(axes: Axes, accuracies: list[float], y: float, lowest: float, colour: str, marker: str) -> None:
    within = [accuracy for accuracy in accuracies if accuracy >= lowest]
    below = sorted(accuracy for accuracy in accuracies if accuracy < lowest)
    ends = [max(end, lowest) for end in (min(accuracies), max(accuracies))]
    axes.plot(ends, [y, y], color=colour, linewidth=3, alpha=0.3, solid_capstyle="butt")
    if below:
        named = "\N{LEFTWARDS ARROW} " + ", ".join(f"{accuracy:.1f}" for accuracy in below)
        axes.annotate(
            named, (lowest, y), (-2, 0), textcoords="offset points", color=colour, va="center", ha="right", fontsize=6
        )
    if len(accuracies) > 1:
        axes.plot(within, [y] * len(within), marker, color=colour, markersize=2.5, alpha=0.6)
    axes.plot(max(statistics.median(accuracies), lowest), y, marker, color=colour, markersize=5)
