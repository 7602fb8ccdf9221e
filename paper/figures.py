"""Figures 1 to 4 and 6 of the paper, from data to drawing; figure 5 is drawn by report.cells."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from paper.discretisation import Strength
from report.edges import edge_of, mixing_weights
from report.style import COLUMN, WIDE, Picture, Theme, new_figure, operation_look, whole_epochs
from runs.recorded import Recorded

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_TICKS = 8
"""Snapshots that each get a tick in figure 4."""

Trajectory = Mapping[str, Mapping[int, Sequence[float]]]
"""Selection -> epoch of search -> accuracy (%) of what was selected, over seeds."""


# Figures 1 and 2: alpha and strength ------------------------------------------------------------------------------


def by_edge(strengths: Sequence[Strength]) -> dict[int, list[Strength]]:
    """Edge -> its operations."""
    found: dict[int, list[Strength]] = {}
    for strength in strengths:
        found.setdefault(strength.edge, []).append(strength)
    return found


def disagreements(strengths: Sequence[Strength]) -> tuple[int, int]:
    """On how many edges the largest alpha is not the strongest operation, and of how many."""
    edges = by_edge(strengths)
    return sum(_by_weight(row) != _by_strength(row) for row in edges.values()), len(edges)


def _by_weight(row: Sequence[Strength]) -> str:
    return max(row, key=lambda strength: strength.weight).operation


def _by_strength(row: Sequence[Strength]) -> str:
    """Of equally strong operations the one with the larger weight: alpha is not wrong there."""
    return max(row, key=lambda strength: (strength.accuracy, strength.weight)).operation


def rank_correlation(row: Sequence[Strength]) -> float | None:
    """Spearman's, of weights and accuracies; None where one of them is constant."""
    from scipy import stats

    if len({s.weight for s in row}) < 2 or len({s.accuracy for s in row}) < 2:
        return None
    result = stats.spearmanr([s.weight for s in row], [s.accuracy for s in row])
    value = float(result.statistic)  # pyright: ignore[reportAttributeAccessIssue]
    return None if math.isnan(value) else value


def alpha_against_strength(run: Recorded, strengths: Sequence[Strength]) -> Picture:
    """Figure 1: a panel per edge, a mark per operation: its mixing weight, and the accuracy with it alone."""
    edges = by_edge(strengths)

    def draw(theme: Theme) -> Figure:
        from matplotlib.lines import Line2D

        figure = new_figure(WIDE, 2.5)
        panels = figure.subplots(1, len(edges), sharey=True, squeeze=False)[0]
        for axes, (edge, row) in zip(panels, edges.items(), strict=True):
            for strength in row:
                colour, marker = operation_look(strength.operation, theme)
                axes.plot(strength.weight, strength.accuracy, marker, color=colour, markersize=5.5)
            axes.margins(0.15)
            axes.ticklabel_format(axis="x", useOffset=False)
            axes.locator_params(axis="x", nbins=4)
            axes.set_title(f"edge {edge_of(run, row[0].cell_type, edge)}")
        figure.supxlabel("mixing weight, softmax(alpha)", fontsize=7.5)
        panels[0].set_ylabel("valid accuracy, discretised (%)")
        looks = {s.operation: operation_look(s.operation, theme) for s in strengths}
        handles = [Line2D([], [], color=c, marker=m, linestyle="", label=name) for name, (c, m) in looks.items()]
        figure.legend(handles=handles, loc="outside upper left", ncols=5 if len(handles) < 6 else 4)
        return figure

    words = "; ".join(
        f"edge {edge_of(run, row[0].cell_type, edge)}: largest alpha {_by_weight(row)}, strongest {_by_strength(row)}"
        for edge, row in edges.items()
    )
    return Picture("figure", "Alpha against discretisation accuracy", f"{words}.", draw, wide=True)


def alpha_beside_strength(run: Recorded, strengths: Sequence[Strength]) -> Picture:
    """Figure 2: for every edge the operations' mixing weights above, their strengths below; filled: the largest."""
    edges = by_edge(strengths)

    def draw(theme: Theme) -> Figure:
        from matplotlib.lines import Line2D

        figure = new_figure(WIDE, 3.2)
        above, below = figure.subplots(2, 1, sharex=True)
        for place, row in enumerate(edges.values()):
            if _by_weight(row) != _by_strength(row):
                for axes in (above, below):
                    axes.axvspan(place - 0.5, place + 0.5, color=theme.orange, alpha=0.16, linewidth=0)
            for axes, value, best in ((above, "weight", _by_weight(row)), (below, "accuracy", _by_strength(row))):
                for index, strength in enumerate(row):
                    colour, marker = operation_look(strength.operation, theme)
                    face = colour if strength.operation == best else theme.background
                    x = place + 0.5 * (index - (len(row) - 1) / 2) / len(row)  # Side by side: none hides another.
                    axes.plot(x, getattr(strength, value), marker, color=colour, markerfacecolor=face, markersize=5)
        above.set_ylabel("mixing weight")
        above.ticklabel_format(axis="y", useOffset=False)
        below.set_ylabel("valid accuracy,\ndiscretised (%)")
        below.set_xlabel("edge; filled: the largest, shaded: where they disagree")
        names = [edge_of(run, row[0].cell_type, edge).replace(" ", "") for edge, row in edges.items()]
        below.set_xticks(range(len(names)), names)
        for axes in (above, below):
            axes.xaxis.grid(False)
        looks = {s.operation: operation_look(s.operation, theme) for s in strengths}
        handles = [Line2D([], [], color=c, marker=m, linestyle="", label=name) for name, (c, m) in looks.items()]
        figure.legend(handles=handles, loc="outside upper left", ncols=5)
        return figure

    differ, total = disagreements(strengths)
    words = "; ".join(
        f"{edge_of(run, row[0].cell_type, edge)}: {_by_weight(row)}, {_by_strength(row)}" for edge, row in edges.items()
    )
    alt = f"The largest alpha and the strongest operation differ on {differ} of {total} edges. By edge: {words}."
    return Picture("figure", "The largest alpha and the strongest operation of every edge", alt, draw, wide=True)


# Figure 3: skip connections take over -----------------------------------------------------------------------------


def skip_gap(run: Recorded) -> tuple[list[int], list[float]]:
    """Epochs, and mean mixing weight of skip_connect minus that of the convolutions, over edges that have both.

    All cell types count; on an edge with several convolutions their mean stands for them.
    """
    sums: dict[int, list[float]] = {}
    for epochs, edges in mixing_weights(run).values():
        for operations in edges.values():
            convolutions = [row for name, row in operations.items() if "conv" in name]
            skip = operations.get("skip_connect")
            if skip is None or not convolutions:
                continue
            for index, epoch in enumerate(epochs):
                gap = skip[index] - statistics.fmean(row[index] for row in convolutions)
                sums.setdefault(epoch, []).append(gap)
    return sorted(sums), [statistics.fmean(sums[epoch]) for epoch in sorted(sums)]


def gap_against_accuracy(runs: Sequence[Recorded]) -> Picture | None:
    """Figure 3: the gap and the supernet's accuracy over the epochs, and one against the other."""
    series = []
    for run in runs:
        accuracy = dict(zip(*run.series("valid_accuracy"), strict=True))
        epochs, gaps = skip_gap(run)
        kept = [(epoch, gap, accuracy[epoch]) for epoch, gap in zip(epochs, gaps, strict=True) if epoch in accuracy]
        if kept:
            series.append(kept)
    if not series:
        return None

    def draw(theme: Theme) -> Figure:
        from matplotlib.ticker import MaxNLocator

        figure = new_figure(WIDE, 2.7)
        grid = figure.add_gridspec(2, 2, width_ratios=(1, 1.15))
        above = figure.add_subplot(grid[0, 0])
        below = figure.add_subplot(grid[1, 0], sharex=above)
        right = figure.add_subplot(grid[:, 1])
        points = None
        for kept in series:
            epochs, gaps, accuracies = zip(*kept, strict=True)
            above.plot(epochs, accuracies, color=theme.blue)
            below.plot(epochs, gaps, color=theme.red)
            points = right.scatter(accuracies, gaps, c=epochs, cmap="cividis", s=18, zorder=3)
        above.tick_params(labelbottom=False)
        above.set_ylabel("valid acc. (%)")
        below.set_ylabel("skip − conv")
        below.set_xlabel("epoch")
        whole_epochs(below)
        right.set_xlabel("supernet's valid accuracy (%)")
        right.set_ylabel("mean(skip − conv) of mixing weights")
        assert points is not None
        bar = figure.colorbar(points, ax=right, label="epoch", ticks=MaxNLocator(nbins=6, integer=True))
        bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
        for axes in (below, right):
            axes.axhline(0, color=theme.muted, linewidth=0.8)
        return figure

    first, last = series[0][0], series[0][-1]
    alt = (
        f"From epoch {first[0]} to {last[0]} the supernet's valid accuracy goes from {first[2]:.2f} to {last[2]:.2f} %, "
        f"and the mean gap between skip connections and convolutions from {first[1]:+.4f} to {last[1]:+.4f}."
    )
    return Picture("figure", "Skip connections against convolutions as the supernet learns", alt, draw, wide=True)


# Figure 4: trajectories -------------------------------------------------------------------------------------------


def trajectories(panels: Mapping[str, Trajectory], quantity: str) -> Picture:
    """Figure 4: a panel per data set; accuracy of what each selection takes from the supernet of an epoch."""

    def draw(theme: Theme) -> Figure:
        figure = new_figure(COLUMN if len(panels) == 1 else WIDE)
        grid = figure.subplots(1, len(panels), squeeze=False)[0]
        for axes, (name, curves) in zip(grid, panels.items(), strict=True):
            for index, (selection, by_epoch) in enumerate(curves.items()):
                _curve(axes, selection, by_epoch, theme.cycle[index], "os^D"[index % 4])
            axes.set_title(name)
            axes.set_xlabel("epoch of search")
            snapshots = sorted({epoch for by_epoch in curves.values() for epoch in by_epoch})
            if len(snapshots) <= MOST_TICKS:
                axes.set_xticks(snapshots)
            else:
                whole_epochs(axes)
        grid[0].set_ylabel(f"{quantity} (%)")
        grid[-1].legend(loc="best")
        return figure

    words = []
    for name, curves in panels.items():
        for selection, by_epoch in curves.items():
            values = [f"{statistics.fmean(by_epoch[epoch]):.2f} at epoch {epoch}" for epoch in sorted(by_epoch)]
            words.append(f"{name}, {selection}: {', '.join(values)}")
    title = "What magnitude and PT take from the same supernets"
    return Picture(
        "figure", title, f"{quantity.capitalize()} in percent. {'; '.join(words)}.", draw, wide=len(panels) > 1
    )


def _curve(axes: Axes, label: str, by_epoch: Mapping[int, Sequence[float]], colour: str, marker: str) -> None:
    epochs = sorted(by_epoch)
    means = [statistics.fmean(by_epoch[epoch]) for epoch in epochs]
    axes.plot(epochs, means, marker=marker, color=colour, label=label)
    spread = [statistics.stdev(by_epoch[epoch]) if len(by_epoch[epoch]) > 1 else 0.0 for epoch in epochs]
    if any(spread):
        low = [mean - deviation for mean, deviation in zip(means, spread, strict=True)]
        high = [mean + deviation for mean, deviation in zip(means, spread, strict=True)]
        axes.fill_between(epochs, low, high, color=colour, alpha=0.18, linewidth=0)


# Figure 6: the supernet while it is decided -----------------------------------------------------------------------


def accuracy_during_selection(runs: Mapping[str, Sequence[Recorded]]) -> Picture:
    """Figure 6: valid accuracy after every tuning epoch, a curve per run; dots: the events."""

    def draw(theme: Theme) -> Figure:
        figure = new_figure(COLUMN, 2.4)
        axes = figure.add_subplot()
        for index, (label, members) in enumerate(runs.items()):
            colour, marker = theme.cycle[index], "os^D"[index % 4]
            for count, run in enumerate(members):
                epochs, values = run.series("valid_accuracy")
                shown = f"{label}, {values[-1]:.2f} % at the end" if values else label
                events = {record.epoch for record in run.events}
                marked = [place for place, epoch in enumerate(epochs) if epoch - 1 in events]
                axes.plot(
                    epochs, values, marker=marker, markevery=marked, markersize=3, color=colour,
                    label=None if count else shown,
                )  # fmt: skip
        axes.set_xlabel("tuning epoch; a mark: after a selection event")
        axes.set_ylabel("supernet's valid accuracy (%)")
        whole_epochs(axes)
        axes.legend(loc="best")
        return figure

    words = []
    for label, members in runs.items():
        for run in members:
            values = run.series("valid_accuracy")[1]
            if values:
                words.append(f"{label}: from {values[0]:.2f} to {values[-1]:.2f} %, lowest {min(values):.2f} %")
    title = "Valid accuracy during selection"
    return Picture("figure", title, f"{'; '.join(words)}.", draw, wide=False)
