"""The figures of one run: how it learnt, where alpha went, what its selection events saw, and what it cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from report.edges import edge_name, mixing_weights
from report.event_figures import event_scores
from report.style import WIDE, Picture, Theme, new_figure, whole_epochs
from runs.recorded import Recorded, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SPLITS = (
    ("train", "train half", "blue", "-"),
    ("valid", "valid half", "red", "-"),
    ("test", "test set", "green", "--"),
)


def run_pictures(run: Recorded) -> list[Picture]:
    """All that the run's records suffice for."""
    made = [curves(run, "accuracy"), curves(run, "loss"), cost(run), table_trajectory(run)]
    made += alpha_maps(run)
    made += event_scores(run)
    return [picture for picture in made if picture is not None]


# Learning --------------------------------------------------------------------------------------------------------


def curves(run: Recorded, quantity: str) -> Picture | None:
    """Accuracy (percent) or loss (nats) of both halves, and of the test set where it was evaluated, over the epochs."""
    half = "set" if run.kind == "training" else "half"
    shown: list[tuple[str, str, str, list[int], list[float]]] = []
    for name, label, colour, dash in _SPLITS:
        epochs, values = run.series(f"{name}_{quantity}")
        if epochs:
            shown.append((label.replace("half", half), colour, dash, epochs, values))
    if not shown:
        return None
    unit = "%" if quantity == "accuracy" else "nats"

    def draw(theme: Theme) -> Figure:
        figure = new_figure()
        axes = figure.add_subplot()
        for label, colour, dash, epochs, values in shown:
            line = axes.plot(epochs, values, dash, color=getattr(theme, colour), label=f"{label} {values[-1]:.4g}")[0]
            if len(epochs) == 1:
                line.set_marker("o")
        _mark_events(axes, run, theme)
        axes.set_xlabel(f"{'tuning ' if run.kind == 'selection' else ''}epoch")
        axes.set_ylabel(f"{quantity} ({unit})")
        whole_epochs(axes)
        axes.legend(loc="best")
        return figure

    words = [f"{label} from {values[0]:.4g} to {values[-1]:.4g} {unit}" for label, _, _, _, values in shown]
    title = quantity.capitalize()
    return Picture(quantity, title, f"{title} over {shown[0][3][-1]} epochs: {'; '.join(words)}.", draw)


def _mark_events(axes: Axes, run: Recorded, theme: Theme) -> None:
    for epoch in sorted({record.epoch for record in run.events}):
        axes.axvline(epoch, color=theme.muted, linewidth=0.6, linestyle=":", zorder=0)


def table_trajectory(run: Recorded) -> Picture | None:
    """The benchmark's test accuracy of the architecture that alpha stood for after each epoch."""
    series = {name: points for name, points in run.table_series().items() if name.endswith(" test")}
    if not series:
        return None

    def draw(theme: Theme) -> Figure:
        figure = new_figure()
        axes = figure.add_subplot()
        for index, (name, (epochs, values)) in enumerate(series.items()):
            label = f"{name.removesuffix(' test')} {values[-1]:.2f}"
            axes.step(epochs, values, where="mid", color=theme.cycle[index % 8], label=label)
        axes.set_xlabel("epoch")
        axes.set_ylabel("table's test accuracy (%)")
        whole_epochs(axes)
        axes.legend(loc="best")
        return figure

    words = [f"{name} from {values[0]:.2f} to {values[-1]:.2f} %" for name, (_, values) in series.items()]
    title = "True accuracy of the current architecture"
    return Picture("table", title, f"By the benchmark table, after each epoch: {'; '.join(words)}.", draw)


def cost(run: Recorded) -> Picture | None:
    """Seconds of each epoch or event, and the time in all."""
    seconds = [value for line in run.timing if (value := number(line.get("seconds"))) is not None]
    total = sum(seconds)
    if len(seconds) < 3 or total < 1:
        return None

    def draw(theme: Theme) -> Figure:
        figure = new_figure()
        axes = figure.add_subplot()
        so_far = [sum(seconds[: index + 1]) / 60 for index in range(len(seconds))]
        axes.fill_between(range(1, len(seconds) + 1), so_far, color=theme.blue, alpha=0.25, linewidth=0)
        axes.plot(range(1, len(seconds) + 1), so_far, color=theme.blue)
        axes.set_xlabel("record (an epoch or a selection event)")
        axes.set_ylabel("minutes so far")
        axes.set_ylim(bottom=0)
        whole_epochs(axes)
        return figure

    memory = f", at most {run.peak_memory:,.0f} MiB of memory" if run.peak_memory else ""
    return Picture("time", "Time spent", f"{total / 60:.1f} minutes in all over {len(seconds)} records{memory}.", draw)


# Alpha -----------------------------------------------------------------------------------------------------------


def alpha_maps(run: Recorded) -> list[Picture]:
    """One picture per cell type: a heat map for every edge, operations down and epochs to the right."""
    return [_alpha_map(cell, epochs, edges) for cell, (epochs, edges) in mixing_weights(run).items() if epochs]


def _alpha_map(cell: str, epochs: list[int], edges: dict[str, dict[str, list[float]]]) -> Picture:
    columns = 3 if len(edges) <= 6 else 4
    rows = math.ceil(len(edges) / columns)
    most = max(len(operations) for operations in edges.values())
    strongest = {
        edge: max(operations, key=lambda name, row=operations: _last(row[name])) for edge, operations in edges.items()
    }
    shared = len({tuple(operations) for operations in edges.values()}) == 1

    def draw(theme: Theme) -> Figure:
        figure = new_figure(WIDE, 0.65 + rows * (0.36 + 0.14 * most))
        grid = figure.subplots(rows, columns, squeeze=False, sharex=True)
        weights = [weight for row in edges.values() for series in row.values() for weight in series]
        low, high = min(weights), max(weights)
        image = None
        for axes in grid.flat[len(edges) :]:
            axes.set_axis_off()
        for index, (edge, operations) in enumerate(edges.items()):
            axes = grid.flat[index]
            table = [operations[name] for name in operations]
            extent = (epochs[0] - 0.5, epochs[-1] + 0.5, len(table) - 0.5, -0.5)
            image = axes.imshow(
                table, aspect="auto", cmap="cividis", vmin=low, vmax=high, interpolation="nearest", extent=extent
            )
            axes.grid(False)
            axes.set_title(edge_name(edge))
            labelled = index % columns == 0 or not shared
            axes.set_yticks(range(len(table)), list(operations) if labelled else [""] * len(table), fontsize=6)
            if _last(operations[strongest[edge]]) > 0:
                place = list(operations).index(strongest[edge])
                axes.plot([epochs[-1] + 0.5], [place], marker="<", color=theme.red, clip_on=False, markersize=5)
            whole_epochs(axes)
        for axes in list(grid.flat[: len(edges)])[-columns:]:  # The lowest of every column.
            axes.tick_params(labelbottom=True)
            axes.set_xlabel("epoch")
        assert image is not None
        bar = figure.colorbar(image, ax=grid, fraction=0.03, pad=0.02, aspect=30)
        bar.set_label("mixing weight, softmax(alpha)")
        bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
        return figure

    words = "; ".join(
        f"{edge_name(edge)}: {f'{name} {value:.2f}' if (value := _last(edges[edge][name])) > 0 else 'dropped'}"
        for edge, name in strongest.items()
    )
    title = "Mixing weights over the epochs" + ("" if cell == "cell" else f", {cell} cell")
    return Picture(f"alpha-{cell}", title, f"Largest mixing weight of every edge at the end: {words}.", draw, wide=True)


def _last(row: Sequence[float]) -> float:
    return row[-1] if row and not math.isnan(row[-1]) else -1.0
