"""Figures 1 to 4 and 6 of the paper, from data to drawing; figure 5 is drawn by report.cells."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING

from paper.discretisation import Strength
from report.edges import edge_of, mixing_weights
from report.style import (
    COLUMN,
    MARKERS,
    WIDE,
    Picture,
    Theme,
    epoch_figure,
    legend_above,
    new_figure,
    operation_look,
    whole_epochs,
)
from runs.recorded import Recorded

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_TICKS = 8
"""Snapshots that each get a tick in figure 4."""

MOST_VALUES = 8
"""Values of a curve that its description gives."""

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

    weights, accuracies = [s.weight for s in row], [s.accuracy for s in row]
    if len(set(weights)) < 2 or len(set(accuracies)) < 2:
        return None
    return float(stats.spearmanr(weights, accuracies).statistic)  # pyright: ignore[reportAttributeAccessIssue]


def alpha_against_strength(run: Recorded, strengths: Sequence[Strength]) -> Picture:
    """Figure 1: a panel per edge, a mark per operation: its mixing weight, and the accuracy with it alone."""
    edges = by_edge(strengths)

    def draw(theme: Theme) -> Figure:
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
        legend_above(figure, looks)
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
        legend_above(figure, looks)
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
    gaps: dict[int, list[float]] = defaultdict(list)
    for epochs, edges in mixing_weights(run).values():
        for operations in edges.values():
            convolutions = [row for name, row in operations.items() if "conv" in name]
            skip = operations.get("skip_connect")
            if skip is None or not convolutions:
                continue
            for epoch, skipped, *convolved in zip(epochs, skip, *convolutions, strict=True):
                gaps[epoch].append(skipped - statistics.fmean(convolved))
    return sorted(gaps), [statistics.fmean(gaps[epoch]) for epoch in sorted(gaps)]


def gap_and_accuracy(run: Recorded) -> list[tuple[int, float, float]]:
    """Epoch, gap and the supernet's valid accuracy (percent), where both were measured."""
    accuracy = dict(zip(*run.series("valid_accuracy"), strict=True))
    return [(epoch, gap, accuracy[epoch]) for epoch, gap in zip(*skip_gap(run), strict=True) if epoch in accuracy]


def gap_against_accuracy(runs: Sequence[Recorded]) -> Picture | None:
    """Figure 3: the gap and the supernet's accuracy over the epochs, and one against the other."""
    series = [found for run in runs if (found := gap_and_accuracy(run))]
    if not series:
        return None

    def draw(theme: Theme) -> Figure:
        from matplotlib.ticker import MaxNLocator

        figure = new_figure(WIDE, 2.7)
        grid = figure.add_gridspec(2, 2, width_ratios=(1, 1.15))
        above = figure.add_subplot(grid[0, 0], ylabel="valid acc. (%)")
        below = figure.add_subplot(grid[1, 0], sharex=above, ylabel="skip − conv", xlabel="epoch")
        right = figure.add_subplot(
            grid[:, 1], xlabel="supernet's valid accuracy (%)", ylabel="mean(skip − conv) of mixing weights"
        )
        for kept in series:
            epochs, gaps, accuracies = zip(*kept, strict=True)
            above.plot(epochs, accuracies, color=theme.blue)
            below.plot(epochs, gaps, color=theme.red)
            right.scatter(accuracies, gaps, c=epochs, cmap="cividis", s=18, zorder=3)
        above.tick_params(labelbottom=False)
        whole_epochs(below)
        ticks = MaxNLocator(nbins=6, integer=True)
        bar = figure.colorbar(right.collections[-1], ax=right, label="epoch", ticks=ticks)
        bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
        for axes in (below, right):
            axes.axhline(0, color=theme.muted, linewidth=0.8)
        return figure

    (began, gap, accuracy), (ended, last_gap, last_accuracy) = (
        [statistics.fmean(values) for values in zip(*(kept[place] for kept in series), strict=True)]
        for place in (0, -1)
    )
    alt = (
        f"From epoch {began:g} to {ended:g} the supernet's valid accuracy goes from {accuracy:.2f} to "
        f"{last_accuracy:.2f} %, and the mean gap between skip connections and convolutions from {gap:+.4f} to "
        f"{last_gap:+.4f}{f' (means of {len(series)} searches)' if len(series) > 1 else ''}."
    )
    return Picture("figure", "Skip connections against convolutions as the supernet learns", alt, draw, wide=True)


# Figure 4: trajectories -------------------------------------------------------------------------------------------


def trajectories(panels: Mapping[str, Trajectory]) -> Picture:
    """Figure 4: a panel per data set; test accuracy of what each selection takes from the supernet of an epoch."""

    def draw(theme: Theme) -> Figure:
        figure = new_figure(COLUMN if len(panels) == 1 else WIDE)
        grid = figure.subplots(1, len(panels), squeeze=False)[0]
        for axes, (name, curves) in zip(grid, panels.items(), strict=True):
            for index, (selection, by_epoch) in enumerate(curves.items()):
                _curve(axes, selection, by_epoch, theme.cycle[index], MARKERS[index])
            axes.set_title(name)
            axes.set_xlabel("epoch of search")
            snapshots = sorted({epoch for by_epoch in curves.values() for epoch in by_epoch})
            if len(snapshots) <= MOST_TICKS:
                axes.set_xticks(snapshots)
            else:
                whole_epochs(axes)
        grid[0].set_ylabel("test accuracy (%)")
        grid[-1].legend(loc="best")
        return figure

    words = []
    for name, curves in panels.items():
        for selection, by_epoch in curves.items():
            words.append(f"{name}, {selection}: {', '.join(_in_words(by_epoch))}")
    title = "What magnitude and PT take from the same supernets"
    return Picture("figure", title, f"Test accuracy in percent. {'; '.join(words)}.", draw, wide=len(panels) > 1)


def _in_words(by_epoch: Mapping[int, Sequence[float]]) -> list[str]:
    """The means, equal neighbours together; of many, some evenly spaced ones with the first and the last."""
    ordered = ((epoch, f"{statistics.fmean(by_epoch[epoch]):.2f}") for epoch in sorted(by_epoch))
    runs = [(value, [epoch for epoch, _ in run]) for value, run in groupby(ordered, key=itemgetter(1))]
    words = [f"{value} at epoch{f's {run[0]} to' if len(run) > 1 else ''} {run[-1]}" for value, run in runs]
    count = min(len(words), MOST_VALUES)
    return [words[round(place * (len(words) - 1) / max(count - 1, 1))] for place in range(count)]


def _curve(axes: Axes, label: str, by_epoch: Mapping[int, Sequence[float]], colour: str, marker: str) -> None:
    """Means over seeds, and one standard deviation around them where there are several."""
    epochs = sorted(by_epoch)
    means = [statistics.fmean(by_epoch[epoch]) for epoch in epochs]
    axes.plot(epochs, means, marker=marker, color=colour, label=label)
    spread = [statistics.stdev(by_epoch[epoch]) if len(by_epoch[epoch]) > 1 else 0.0 for epoch in epochs]
    if any(spread):
        low, high = ([m + sign * s for m, s in zip(means, spread, strict=True)] for sign in (-1, 1))
        axes.fill_between(epochs, low, high, color=colour, alpha=0.18, linewidth=0)


# Figure 6: the supernet while it is decided -----------------------------------------------------------------------


def accuracy_during_selection(runs: Mapping[str, Sequence[Recorded]]) -> Picture:
    """Figure 6: valid accuracy after every tuning epoch, a curve per run; dots: the events."""
    curves = [(label, run, *run.series("valid_accuracy")) for label, members in runs.items() for run in members]

    def draw(theme: Theme) -> Figure:
        xlabel, ylabel = "tuning epoch; a mark: after a selection event", "supernet's valid accuracy (%)"
        figure, axes = epoch_figure(xlabel, ylabel, height=2.4)
        looks = dict(zip(runs, zip(theme.cycle, MARKERS, strict=True), strict=False))
        labels = {label: _at_the_end(label, [values for name, *_, values in curves if name == label]) for label in runs}
        for label, run, epochs, values in curves:
            colour, marker = looks[label]
            events = {record.epoch for record in run.events}
            marked = [place for place, epoch in enumerate(epochs) if epoch - 1 in events]
            named = labels.pop(label, None)
            axes.plot(epochs, values, marker=marker, markevery=marked, markersize=3, color=colour, label=named)
        axes.legend(loc="best")
        return figure

    words = "; ".join(
        f"{label}{f', seed {run.seed}' if len(runs[label]) > 1 else ''}: from {values[0]:.2f} to {values[-1]:.2f} %, "
        f"lowest {min(values):.2f} %"
        for label, run, _, values in curves
        if values
    )
    return Picture("figure", "Valid accuracy during selection", f"{words}.", draw)


def _at_the_end(label: str, curves: Sequence[Sequence[float]]) -> str | None:
    """The entry of a legend."""
    ends = [values[-1] for values in curves if values]
    mean = f", mean of {len(ends)}" if len(ends) > 1 else ""
    return f"{label}, {statistics.fmean(ends):.2f} % at the end{mean}" if ends else None
