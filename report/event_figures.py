"""Figures of a selection's events: the scores of all candidates, and what was kept or dropped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from report.edges import edge_of, file_name, node_of, of_cell
from report.style import WIDE, Picture, Theme, legend_above, operation_looks, row_figure
from runs.recorded import Record, Recorded, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def criterion(run: Recorded, cell_type: str, topology: bool = False) -> str:
    """`accuracy`, `loss` or `criterion` (the user's own function): which of them the run's options compare."""
    options = run.options
    chosen = options.get(f"proj_crit_{cell_type}") or options.get("proj_crit") or options.get("criterion")
    if topology:
        chosen = options.get("proj_crit_edge") or chosen
    return {"acc": "accuracy", None: "accuracy", "loss": "loss"}.get(chosen, "criterion")


def rounds(run: Recorded, record: Record) -> list[tuple[str, dict[str, Any]]]:
    """For each round (one per operation event) the operation kept or the edge dropped, and all scores."""
    values, cell = record.values, str(record.values.get("cell_type"))
    if record.kind == "operation_event":
        quantity = criterion(run, cell)
        return [(str(values.get("kept")), _by_name(values.get("candidates"), values.get(quantity)))]
    quantity = criterion(run, cell, topology=True)
    return [
        (
            edge_of(run, cell, each.get("dropped")),
            _by_name([edge_of(run, cell, edge) for edge in each.get("edges", ())], each.get(quantity)),
        )
        for each in values.get("rounds") or ()
    ]


def _by_name(names: Sequence[str] | None, scores: Sequence[Any] | None) -> dict[str, Any]:
    return dict(zip(names or (), scores or (), strict=False))


def event_scores(run: Recorded) -> list[Picture]:
    """One picture for each cell type and kind of event that was scored: a row per event, a mark per candidate."""
    made = []
    for cell in dict.fromkeys(str(record.values.get("cell_type")) for record in run.events):
        for kind, picture in (("operation_event", _operation_scores), ("topology_event", _topology_scores)):
            rows = [
                (record, chosen, finite)
                for record in run.events
                if record.kind == kind and record.values.get("cell_type") == cell
                for chosen, scores in rounds(run, record)
                if (finite := {name: plain for name, score in scores.items() if (plain := number(score)) is not None})
            ]
            if rows:
                made.append(picture(run, cell, rows))
    return made


Rows = list[tuple[Record, str, dict[str, float]]]
"""For each round its event, what was kept or dropped, and the scores."""


def _operation_scores(run: Recorded, cell: str, rows: Rows) -> Picture:
    edges = [edge_of(run, cell, record.values.get("edge")) for record, _, _ in rows]
    seen = "with nothing but" if run.options.get("selection") == "oneshot" else "without"

    def draw(theme: Theme) -> Figure:
        names = [f"{index}   {edge}" for index, edge in enumerate(edges, start=1)]
        xlabel = f"supernet's valid {criterion(run, cell)} {seen} the operation; filled: kept"
        figure, axes = row_figure(names, xlabel, WIDE, 0.95 + 0.23 * len(rows), above=0.6)
        looks = operation_looks((name for _, _, scores in rows for name in scores), theme)
        for y, (_, kept, scores) in enumerate(rows):
            _range(axes, y, scores, theme)
            values = list(scores.values())
            for index, (name, value) in enumerate(scores.items()):
                colour, marker = looks[name]
                beside = values[:index].count(value)  # Equal scores are stacked, so that none is hidden.
                face, size = (colour, 6) if name == kept else (theme.background, 4)
                place = y - 0.28 * beside
                axes.plot(value, place, marker, color=colour, markerfacecolor=face, markersize=size, zorder=3)
        legend_above(figure, looks)
        return figure

    words = "; ".join(
        f"{edge} keeps {kept} ({scores[kept]:.4g} without it)"
        for edge, (_, kept, scores) in zip(edges, rows, strict=True)
        if kept in scores
    )
    title = "Operation events" + of_cell(cell)
    return Picture(file_name("events", cell), title, f"{len(rows)} events in their order: {words}.", draw, wide=True)


def _topology_scores(run: Recorded, cell: str, rows: Rows) -> Picture:
    nodes = [node_of(run, record) for record, _, _ in rows]

    def draw(theme: Theme) -> Figure:
        quantity = criterion(run, cell, topology=True)
        xlabel = f"supernet's valid {quantity} without the edge; cross: dropped, since it is missed the least"
        figure, axes = row_figure(nodes, xlabel, WIDE, 0.65 + 0.36 * len(rows), above=0.7)
        for y, (_, dropped, scores) in enumerate(rows):
            _range(axes, y, scores, theme)
            for order, (name, value) in enumerate(sorted(scores.items(), key=lambda item: item[1])):
                colour, marker = (theme.red, "X") if name == dropped else (theme.blue, "o")
                axes.plot(value, y, marker, color=colour, zorder=3)
                offset = (0, -10 if order % 2 else 5)  # Keeps the names of neighbours apart.
                axes.annotate(
                    name, (value, y), offset, textcoords="offset points", ha="center", fontsize=6, color=colour
                )  # fmt: skip
        return figure

    words = "; ".join(f"{node} drops {dropped}" for node, (_, dropped, _) in zip(nodes, rows, strict=True))
    title = "Topology events" + of_cell(cell)
    return Picture(file_name("topology", cell), title, f"Round by round: {words}.", draw, wide=True)


def _range(axes: Axes, y: int, scores: dict[str, float], theme: Theme) -> None:
    axes.plot([min(scores.values()), max(scores.values())], [y, y], color=theme.grid, linewidth=3, zorder=1)
