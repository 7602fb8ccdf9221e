"""The figures of one run: learning curves, mixing weights, selection events and cost."""

from __future__ import annotations

import math
from itertools import accumulate, cycle
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from report.edges import edge_name, file_name, mixing_weights, of_cell
from report.event_figures import event_scores
from report.style import WIDE, Picture, Theme, epoch_figure, new_figure, whole_epochs
from runs.recorded import Recorded, number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SPLITS = (
    ("train", "train half", "blue", "-"),
    ("valid", "valid half", "red", "-"),
    ("test", "test set", "green", "--"),
)


def run_pictures(run: Recorded) -> list[Picture]:
    """All pictures for which the run has records."""
    made = [curves(run, "accuracy"), curves(run, "loss"), cost(run), table_trajectory(run)]
    return [picture for picture in made if picture is not None] + alpha_maps(run) + event_scores(run)


# Learning --------------------------------------------------------------------------------------------------------


def curves(run: Recorded, quantity: str) -> Picture | None:
    """Accuracy (percent) or loss (nats) of both halves, and of the test set if evaluated, over the epochs."""
    half = "set" if run.kind == "training" else "half"
    shown = {
        (label.replace("half", half), colour, dash): series
        for name, label, colour, dash in _SPLITS
        if (series := run.series(f"{name}_{quantity}"))[0]
    }
    if not shown:
        return None
    unit = "%" if quantity == "accuracy" else "nats"

    def draw(theme: Theme) -> Figure:
        xlabel = "tuning epoch" if run.kind == "selection" else "epoch"
        figure, axes = epoch_figure(xlabel, f"{quantity} ({unit})")
        for (label, colour, dash), (epochs, values) in shown.items():
            marker = "o" if len(epochs) == 1 else ""
            shade, named = getattr(theme, colour), f"{label} {values[-1]:.4g}"
            axes.plot(epochs, values, dash, marker=marker, color=shade, label=named)
        for epoch in sorted({record.epoch for record in run.events}):
            axes.axvline(epoch, color=theme.muted, linewidth=0.6, linestyle=":", zorder=0)
        axes.legend(loc="best")
        return figure

    words = [f"{label} from {values[0]:.4g} to {values[-1]:.4g} {unit}" for (label, *_), (_, values) in shown.items()]
    title, last = quantity.capitalize(), next(iter(shown.values()))[0][-1]
    return Picture(quantity, title, f"{title} over {last} epochs: {'; '.join(words)}.", draw)


def table_trajectory(run: Recorded) -> Picture | None:
    """The benchmark table's test accuracy of the current architecture after each epoch."""
    series = {
        name.removesuffix(" test"): points for name, points in run.table_series().items() if name.endswith(" test")
    }
    if not series:
        return None

    def draw(theme: Theme) -> Figure:
        figure, axes = epoch_figure("epoch", "table's test accuracy (%)")
        for colour, (name, (epochs, values)) in zip(cycle(theme.cycle), series.items(), strict=False):
            axes.step(epochs, values, where="mid", color=colour, label=f"{name} {values[-1]:.2f}")
        axes.legend(loc="best")
        return figure

    words = [f"{name} test from {values[0]:.2f} to {values[-1]:.2f} %" for name, (_, values) in series.items()]
    title = "True accuracy of the current architecture"
    return Picture("table", title, f"By the benchmark table, after each epoch: {'; '.join(words)}.", draw)


def cost(run: Recorded) -> Picture | None:
    """The time spent so far, after each epoch or event."""
    minutes = [value / 60 for line in run.timing if (value := number(line.get("seconds"))) is not None]
    so_far = list(accumulate(minutes))
    if len(so_far) < 3 or so_far[-1] < 1 / 60:
        return None

    def draw(theme: Theme) -> Figure:
        figure, axes = epoch_figure("record (an epoch or a selection event)", "minutes so far")
        records = range(1, len(so_far) + 1)
        axes.fill_between(records, so_far, color=theme.blue, alpha=0.25, linewidth=0)
        axes.plot(records, so_far, color=theme.blue)
        axes.set_ylim(bottom=0)
        return figure

    memory = f", at most {run.peak_memory:,.0f} MiB of memory" if run.peak_memory else ""
    return Picture("time", "Time spent", f"{so_far[-1]:.1f} minutes in all over {len(so_far)} records{memory}.", draw)


# Alpha -----------------------------------------------------------------------------------------------------------


def alpha_maps(run: Recorded) -> list[Picture]:
    """One picture per cell type: a heat map for every edge, with a row per operation and a column per epoch."""
    return [_alpha_map(cell, epochs, edges) for cell, (epochs, edges) in mixing_weights(run).items() if epochs]


def _alpha_map(cell: str, epochs: list[int], edges: dict[str, dict[str, list[float]]]) -> Picture:
    columns = 3 if len(edges) <= 6 else 4
    rows = math.ceil(len(edges) / columns)
    most = max(len(operations) for operations in edges.values())
    strongest = {edge: _strongest(operations) for edge, operations in edges.items()}
    shared = len({tuple(operations) for operations in edges.values()}) == 1

    def draw(theme: Theme) -> Figure:
        figure = new_figure(WIDE, 0.65 + rows * (0.36 + 0.14 * most))
        grid = figure.subplots(rows, columns, squeeze=False, sharex=True)
        weights = [weight for row in edges.values() for series in row.values() for weight in series]
        look: Any = {"cmap": "cividis", "vmin": min(weights), "vmax": max(weights), "interpolation": "nearest"}
        for axes in grid.flat[len(edges) :]:
            axes.set_axis_off()
        for index, (axes, (edge, operations)) in enumerate(zip(grid.flat, edges.items(), strict=False)):
            extent = (epochs[0] - 0.5, epochs[-1] + 0.5, len(operations) - 0.5, -0.5)
            table = list(operations.values())
            axes.imshow(table, aspect="auto", extent=extent, **look)
            axes.grid(False)
            axes.set_title(edge_name(edge))
            labelled = index % columns == 0 or not shared
            axes.set_yticks(range(len(table)), list(operations) if labelled else [""] * len(table), fontsize=6)
            if found := strongest[edge]:
                place = list(operations).index(found[0])
                axes.plot([epochs[-1] + 0.5], [place], marker="<", color=theme.red, clip_on=False, markersize=5)
            whole_epochs(axes)
        for axes in list(grid.flat[: len(edges)])[-columns:]:  # The lowest of every column.
            axes.tick_params(labelbottom=True)
            axes.set_xlabel("epoch")
        bar = figure.colorbar(grid.flat[0].images[0], ax=grid, fraction=0.03, pad=0.02, aspect=30)
        bar.set_label("mixing weight, softmax(alpha)" if rows > 1 else "mixing weight")
        bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
        return figure

    words = "; ".join(
        f"{edge_name(edge)}: {f'{found[0]} {found[1]:.2f}' if found else 'dropped'}"
        for edge, found in strongest.items()
    )
    title = "Mixing weights over the epochs" + of_cell(cell)
    return Picture(
        file_name("alpha", cell), title, f"Largest mixing weight of every edge at the end: {words}.", draw, wide=True
    )


def _strongest(operations: dict[str, list[float]]) -> tuple[str, float] | None:
    """The operation with the largest mixing weight at the end, and the weight; None for a dropped edge."""
    last = {name: row[-1] for name, row in operations.items() if row[-1] > 0}
    return max(last.items(), key=itemgetter(1)) if last else None
